//! A file of certificates or a key, as it was when the configuration was read.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Its path, and what tells that it was replaced under its old name: a reload compares settings, and starts anew what
/// uses a file that is another one now, as renewed certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    path: PathBuf,
    /// Inode, bytes, and time of the last change in ns; `None` when it cannot be looked at, which whoever uses it reports.
    version: Option<(u64, u64, i128)>,
}

impl PemFile {
    /// The file as it is now. Links are followed.
    pub fn new(path: PathBuf) -> Self {
        let version = fs::metadata(&path).ok().map(|facts| {
            let changed = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
            (facts.ino(), facts.len(), changed)
        });
        PemFile { path, version }
    }
}

impl Deref for PemFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, renewed) = (dir.path().join("client.pem"), dir.path().join("renewed.pem"));
        let missing = PemFile::new(path.clone());
        fs::write(&path, "one").unwrap();
        let first = PemFile::new(path.clone());
        assert_ne!(first, missing);
        assert_eq!(first, PemFile::new(path.clone()));
        fs::write(&renewed, "two").unwrap();
        fs::rename(&renewed, &path).unwrap();
        let second = PemFile::new(path.clone());
        assert_ne!(second, first);
        // as certbot does it: the link stays, what it points to changes
        let link = dir.path().join("live.pem");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let live = PemFile::new(link.clone());
        fs::write(&renewed, "three").unwrap();
        fs::rename(&renewed, &path).unwrap();
        assert_ne!(PemFile::new(link), live);
        assert_eq!(&*second, path.as_path());
    }
}
