//! Where a secret is kept, and reading it from there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::access::SECRET_KEY_HELP;
use crate::limits::MAX_SECRET_BYTES;
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};

/// A secret, or the place that holds it. Printing one never shows the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// Written in the configuration itself; warned about.
    Literal(Secret),
    /// A file that only its owner may read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A file of systemd's `LoadCredential=`, in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl SecretRef {
    /// The secret as it is now; read it again after every refusal, it may have been replaced. A byte order mark and
    /// one trailing line break are dropped. Fails when there is none, when it is empty, larger than
    /// [`MAX_SECRET_BYTES`](crate::limits::MAX_SECRET_BYTES), not UTF-8, of several lines or with blanks around it
    /// (each attempt with a wrong one counts towards a lockout, so what is plainly a mistake is not tried), or
    /// when a file may be read by group or
    /// others (files of systemd excepted: it grants the read by an ACL, which shows as a group permission).
    pub fn read(&self) -> Result<Secret, SetupError> {
        self.read_with(&|name| std::env::var_os(name))
    }

    /// Like [`SecretRef::read`], of a secret that is base64; returns its text.
    ///
    /// # Errors
    /// As [`SecretRef::read`]; and it is not base64, so that it must not be used.
    pub fn read_base64(&self) -> Result<Secret, SetupError> {
        let secret = self.read()?;
        if secret.base64_bytes().is_none() {
            return Err(SetupError::config(format!(
                "the secret key from {self} is not base64, so nothing was sent with it; {SECRET_KEY_HELP}"
            )));
        }
        Ok(secret)
    }

    pub(super) fn read_with(&self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Secret, SetupError> {
        let secret = match self {
            SecretRef::Literal(secret) => secret.clone(),
            SecretRef::File(path) => read_file(path, true)?,
            SecretRef::Credential(name) => {
                let directory = env("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    SetupError::config(format!(
                        "failed to read the credential `{name}`: $CREDENTIALS_DIRECTORY is not set, so systemd did \
                         not start this program with credentials; add LoadCredential={name}:/path/of/the/secret to \
                         the unit, or use {{ file = \"…\" }}"
                    ))
                })?;
                read_file(&Path::new(&directory).join(name), false)?
            }
            SecretRef::Env(name) => {
                let text = env(name).ok_or_else(|| {
                    SetupError::config(format!(
                        "failed to read the secret from ${name}: the variable is not set; set it in the environment \
                         of the service"
                    ))
                })?;
                let text = text.into_string().map_err(|_| {
                    SetupError::config(format!("failed to read the secret from ${name}: it is not UTF-8"))
                })?;
                trimmed(text)
            }
        };
        match flaw(secret.expose()) {
            None => Ok(secret),
            Some(flaw) => Err(SetupError::config(format!(
                "failed to read the secret from {self}: {flaw}; nothing was sent with it"
            ))),
        }
    }
}

/// Names the place, never the secret.
impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretRef::Literal(_) => f.write_str("the configuration"),
            SecretRef::File(path) => write!(f, "file {}", path.display()),
            SecretRef::Env(name) => write!(f, "environment variable {name}"),
            SecretRef::Credential(name) => write!(f, "systemd credential {name}"),
        }
    }
}

fn read_file(path: &Path, owner_only: bool) -> Result<Secret, SetupError> {
    let failed = |error: io::Error| {
        let (exit, advice) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let advice = "; run as root or as the daemon's user, or correct the file's owner and mode";
                (ExitCode::Permission, advice)
            }
            _ => (ExitCode::Configuration, ""),
        };
        SetupError::new(exit, format!("failed to read the secret file {}: {error}{advice}", path.display()))
    };
    let refused = |why: &str| {
        SetupError::new(
            ExitCode::Permission,
            format!("failed to read the secret file {}: {why}", path.display()),
        )
    };
    // Asked before opening because opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if owner_only && mode & 0o077 != 0 {
        return Err(refused(&format!(
            "its mode {mode:03o} lets others read or change it; run: chmod 600 {}",
            path.display()
        )));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(refused(&format!("it is larger than {MAX_SECRET_BYTES} bytes, which no secret is")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| refused("it is not UTF-8 text"))?;
    Ok(trimmed(text.to_owned()))
}

/// What shows without asking anybody that it is not the secret.
fn flaw(secret: &str) -> Option<&'static str> {
    if secret.trim().is_empty() {
        Some("it is empty; put the secret there")
    } else if secret.contains(char::is_control) {
        Some("it has a line break or another control character inside; leave only the secret, on one line")
    } else if secret.trim() != secret {
        Some("it begins or ends with a blank; remove it")
    } else {
        None
    }
}

/// Without one line break at the end, which editors and `echo` add, and without the byte order mark of Windows' editors.
fn trimmed(mut text: String) -> Secret {
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(dir: &tempfile::TempDir, text: &[u8], mode: u32) -> PathBuf {
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn no_env(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn one_line_break_and_a_byte_order_mark_are_dropped_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("s3cret\n", "s3cret"),
            ("s3cret\r\n", "s3cret"),
            ("\u{feff}s3cret", "s3cret"),
            ("s \u{e9}\n", "s \u{e9}"),
        ] {
            let secret = SecretRef::File(file(&dir, text.as_bytes(), 0o600)).read().unwrap();
            assert_eq!(secret.expose(), expected);
        }
    }

    /// Each would cost an attempt at the account.
    #[test]
    fn what_is_plainly_no_secret_is_not_tried() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "hunter2\n\n",
            " hunter2",
            "hunter2 \n",
            "hunter2\nhunter2",
            "hunter2\0",
            "\thunter2",
            " ",
            "\u{feff}\n",
        ] {
            let error = SecretRef::File(file(&dir, text.as_bytes(), 0o600)).read().unwrap_err();
            assert_eq!(error.exit, ExitCode::Configuration, "{text:?}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn files_open_to_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o601] {
            let error = SecretRef::File(file(&dir, b"hunter2", mode)).read().unwrap_err();
            assert_eq!(error.exit, ExitCode::Permission, "{mode:o}");
            assert!(error.message.contains("chmod 600") && !error.message.contains("hunter2"), "{error}");
        }
        for mode in [0o600, 0o400] {
            assert!(SecretRef::File(file(&dir, b"hunter2", mode)).read().is_ok());
        }
    }

    #[test]
    fn empty_large_broken_and_missing_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for text in [&b""[..], b"\n", b"\xff\xfe", &vec![b'a'; MAX_SECRET_BYTES as usize + 1]] {
            assert!(SecretRef::File(file(&dir, text, 0o600)).read().is_err());
        }
        assert!(SecretRef::File(dir.path().join("none")).read().is_err());
        assert!(SecretRef::File(dir.path().to_owned()).read().is_err());
        assert!(SecretRef::Literal(Secret::new("")).read().is_err());
    }

    #[test]
    fn a_secret_key_has_to_be_base64() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretRef::File(file(&dir, b"ZGVtbw==\n", 0o600));
        assert_eq!(key.read_base64().unwrap().expose(), "ZGVtbw==");
        let error = SecretRef::File(file(&dir, b"hunter2", 0o600)).read_base64().unwrap_err();
        assert_eq!(error.exit, ExitCode::Configuration);
        assert!(error.message.contains("copy the secret key again"), "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn credentials_and_variables() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir, b"from systemd\n", 0o440);
        let directory = dir.path().as_os_str().to_owned();
        let env = move |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(directory.clone()),
            "TOKEN" => Some("from env\n".into()),
            _ => None,
        };
        let read = |secret: SecretRef| secret.read_with(&env).map(|s| s.expose().to_owned());
        assert_eq!(read(SecretRef::Credential("secret".into())).unwrap(), "from systemd");
        assert_eq!(read(SecretRef::Env("TOKEN".into())).unwrap(), "from env");
        let error = SecretRef::Credential("secret".into()).read_with(&no_env).unwrap_err();
        assert!(error.message.contains("LoadCredential=secret"), "{error}");
        assert!(SecretRef::Env("TOKEN".into()).read_with(&no_env).is_err());
    }
}
