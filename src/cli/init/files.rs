//! Writing files whose mode is right from their first byte on, and taking them back when something fails.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use crate::cli::daemon_user::{self, Owner};
use crate::setup_error::{ExitCode, SetupError};

const SECRET_MODE: u32 = 0o600;
/// Readable by the daemon's group, which root's own file would otherwise not be.
const SHARED_MODE: u32 = 0o640;

/// What is written, in order; dropped without [`Files::keep`], it is taken back.
pub struct Files {
    written: Vec<(PathBuf, Option<PathBuf>)>,
    owner: Option<Owner>,
    force: bool,
}

impl Files {
    /// `force`: a file that is there is kept as `NAME.bak` and replaced.
    pub fn new(force: bool) -> Files {
        Files { written: Vec::new(), owner: daemon_user::to_give_to(), force }
    }

    /// A secret: mode 0600, of the daemon's user.
    ///
    /// # Errors
    /// The file exists (and no force), or cannot be written.
    pub fn secret(&mut self, path: &Path, text: &str) -> Result<(), SetupError> {
        let owner = self.owner;
        self.write(path, text, SECRET_MODE, owner.map(|owner| (Some(owner.user), Some(owner.group))))
    }

    /// A configuration: 0640 of the daemon's group when root writes it, else 0600.
    ///
    /// # Errors
    /// As [`Files::secret`].
    pub fn configuration(&mut self, path: &Path, text: &str) -> Result<(), SetupError> {
        match self.owner {
            Some(owner) => self.write(path, text, SHARED_MODE, Some((None, Some(owner.group)))),
            None => self.write(path, text, SECRET_MODE, None),
        }
    }

    fn write(
        &mut self,
        path: &Path,
        text: &str,
        mode: u32,
        owner: Option<(Option<u32>, Option<u32>)>,
    ) -> Result<(), SetupError> {
        let failed = |why: std::io::Error| {
            let hint = match why.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "; run this as root, or name another place with --config PATH"
                }
                _ => "",
            };
            let exit = if hint.is_empty() { ExitCode::Failed } else { ExitCode::Permission };
            SetupError::new(exit, format!("failed to write {}: {why}{hint}", path.display()))
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(failed)?;
            if let Some(owner) = self.owner {
                chown(directory, None, Some(owner.group)).map_err(failed)?;
            }
        }
        let kept = self.move_aside(path).map_err(failed)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|why| {
                if why.kind() == std::io::ErrorKind::AlreadyExists { there(path) } else { failed(why) }
            })?;
        self.written.push((path.to_owned(), kept));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        if let Some((user, group)) = owner {
            chown(path, user, group).map_err(failed)?;
        }
        Ok(())
    }

    fn move_aside(&self, path: &Path) -> std::io::Result<Option<PathBuf>> {
        if !self.force || !path.exists() {
            return Ok(None);
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".bak");
        let kept = PathBuf::from(name);
        fs::rename(path, &kept)?;
        Ok(Some(kept))
    }

    /// Everything went well: one line per file, for people.
    pub fn keep(mut self) -> String {
        let mut text = String::new();
        for (path, kept) in std::mem::take(&mut self.written) {
            let mode = fs::metadata(&path).map_or(0, |found| found.mode() & 0o777);
            text.push_str(&format!("written  {} (mode {mode:04o})\n", path.display()));
            if let Some(kept) = kept {
                text.push_str(&format!("kept     {} as it was before\n", kept.display()));
            }
        }
        text
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for (path, kept) in self.written.drain(..).rev() {
            // the error that brought us here says what is wrong with this place
            let _ = match kept {
                Some(kept) => fs::rename(kept, path),
                None => fs::remove_file(path),
            };
        }
    }
}

/// A file that is there and stays as it is.
pub fn there(path: &Path) -> SetupError {
    let text = format!(
        "{} exists already and was left as it is; edit it, choose another name, or replace it with --force (it is kept as \
         .bak)",
        path.display()
    );
    SetupError::new(ExitCode::Usage, text)
}

/// Whether the service will be able to read a secret file that somebody else made.
///
/// # Errors
/// Its owner or place keeps the daemon's user from reading it.
pub fn readable_by_daemon(path: &Path, configuration: &Path) -> Result<(), SetupError> {
    let Some(daemon) = daemon_user::find().filter(|_| configuration.starts_with("/etc")) else {
        return Ok(());
    };
    let instead = "or pipe it in, for a copy with the right owner: `--secret-file - < FILE` (with the flag of this secret)";
    let refused = |why: String| {
        Err(SetupError::new(ExitCode::Permission, format!("{}: {why}, {instead}", path.display())))
    };
    let hidden = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
    if hidden.iter().any(|place| path.starts_with(place)) {
        return refused("the service does not see files there; move it to /etc/mimecollectd".to_owned());
    }
    let owner = fs::metadata(path).map(|found| found.uid()).unwrap_or(daemon.user);
    if owner != daemon.user {
        return refused(format!(
            "it belongs to another user than the service's; `chown mimecollectd: {}`",
            path.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_failed_halfway_leaves_nothing_behind_and_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, config) = (dir.path().join("acme-client-secret"), dir.path().join("conf.d/acme.toml"));
        fs::write(&secret, "old").unwrap();
        let mut files = Files::new(true);
        files.secret(&secret, "hunter2").unwrap();
        files.configuration(&config, "x = 1\n").unwrap();
        assert_eq!((mode(&secret), mode(&config) & 0o007), (0o600, 0));
        drop(files);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "old");
        assert!(!config.exists());
    }

    #[test]
    fn nothing_is_overwritten_unless_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mimecollectd.toml");
        fs::write(&path, "mine").unwrap();
        let error = Files::new(false).configuration(&path, "theirs").unwrap_err();
        assert!(error.message.contains("exists already") && error.message.contains("--force"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let mut files = Files::new(true);
        files.configuration(&path, "theirs").unwrap();
        let said = files.keep();
        assert!(said.contains("mimecollectd.toml.bak as it was"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(dir.path().join("mimecollectd.toml.bak")).unwrap(), "mine");
    }
}
