//! A directory that a whole group may write to. Any name in it can be a link to something else, or become one between
//! two looks, and the daemon, or root who asks it, must not be led anywhere by it: everything goes through the directory's
//! own descriptor, follows no link and waits for nobody.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, Dir, Mode, OFlags};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OURS: Mode = Mode::RWXU;

/// An open directory.
#[derive(Debug)]
pub struct SharedFolder(OwnedFd);

impl SharedFolder {
    /// Errors: it is not there, or `path` is a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(SharedFolder(fs::openat(CWD, path, DIRECTORY, Mode::empty())?))
    }

    /// A directory inside.
    pub fn inner(&self, name: &str) -> io::Result<Self> {
        Ok(SharedFolder(fs::openat(&self.0, name, DIRECTORY, Mode::empty())?))
    }

    /// The same, made where it is missing; what else has its name is removed.
    pub fn make_inner(&self, name: &str) -> io::Result<Self> {
        if let Ok(there) = self.inner(name) {
            return Ok(there);
        }
        let _ = self.remove(OsStr::new(name)); // mostly there is nothing
        fs::mkdirat(&self.0, name, OURS)?;
        self.inner(name)
    }

    /// Sets its mode.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fs::fchmod(&self.0, Mode::from_raw_mode(mode))?)
    }

    /// A new file of this mode, which appears under its name as a whole.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> io::Result<()> {
        let unfinished = format!(".{name}");
        let _ = self.remove(OsStr::new(&unfinished)); // mostly there is nothing
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&self.0, &unfinished, new, Mode::RUSR | Mode::WUSR)?);
        file.write_all(text.as_bytes())?;
        fs::fchmod(&file, Mode::from_raw_mode(mode))?; // whatever the umask is
        Ok(fs::renameat(&self.0, &unfinished, &self.0, name)?)
    }

    /// The text of a file, and at most one byte more than `limit` of it.
    pub fn read(&self, name: &OsStr, limit: u64) -> io::Result<String> {
        // without NONBLOCK a pipe would wait for somebody who writes
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(fs::openat(&self.0, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut text = String::new();
        file.take(limit.saturating_add(1)).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Takes a name away; a link's, not what it leads to.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Takes the names of all files away.
    pub fn empty(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            let _ = fs::unlinkat(&self.0, entry?.file_name(), AtFlags::empty()); // directories stay
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_link_in_the_place_of_a_file_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (foreign, folder) = (dir.path().join("foreign"), dir.path().join("shared"));
        std::fs::write(&foreign, "theirs").unwrap();
        std::fs::set_permissions(&foreign, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for name in [".x", "x"] {
            symlink("../foreign", folder.join(name)).unwrap();
        }
        let shared = SharedFolder::open(&folder).unwrap();
        assert!(shared.read(OsStr::new("x"), 10).is_err(), "a link is not read");
        shared.write("x", "ours", 0o660).unwrap();
        assert_eq!(shared.read(OsStr::new("x"), 10).unwrap(), "ours");
        assert_eq!(mode(&folder.join("x")), 0o660);
        assert_eq!((std::fs::read_to_string(&foreign).unwrap().as_str(), mode(&foreign)), ("theirs", 0o600));
        shared.write("x", "ours, too", 0o660).unwrap();
        assert_eq!(shared.read(OsStr::new("x"), 3).unwrap(), "ours", "one byte more than the limit");
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("store.db"), "events").unwrap();
        let before = mode(dir.path());
        let folder = dir.path().join("shared");
        std::fs::create_dir(&folder).unwrap();
        symlink("..", folder.join("answers")).unwrap();
        symlink("shared", dir.path().join("link")).unwrap();
        assert!(SharedFolder::open(&dir.path().join("link")).is_err());
        let shared = SharedFolder::open(&folder).unwrap();
        assert!(shared.inner("answers").is_err());
        let inner = shared.make_inner("answers").unwrap();
        inner.set_mode(0o770).unwrap();
        inner.write("store.db", "an answer", 0o660).unwrap();
        inner.empty().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("store.db")).unwrap(), "events");
        assert_eq!(mode(dir.path()), before);
        assert_eq!(std::fs::read_dir(folder.join("answers")).unwrap().count(), 0);
        assert!(shared.make_inner("answers").is_ok(), "and again");
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let shared = SharedFolder::open(dir.path()).unwrap();
        fs::mknodat(&shared.0, "pipe", fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let refused = shared.read(OsStr::new("pipe"), 10).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
    }
}
