//! What operators ask of a running daemon from another process: a small file in a directory that only its user
//! and group can write to. A file survives a daemon that is just restarting; a socket would not.

use std::path::{Path, PathBuf};

use crate::limits::{MAX_REQUEST_BYTES, WATCH_EVERY};
use crate::setup_error::{ExitCode, SetupError};

const DIRECTORY: &str = "requests";

/// Asks the daemon to lift what holds `scope` back, and says whether it took the request. `name` keeps requests
/// apart.
///
/// # Errors
/// The directory is not there (no daemon ever ran) or may not be written to.
pub async fn resume(state_dir: &Path, scope: &str, name: &str) -> Result<bool, SetupError> {
    let directory = state_dir.join(DIRECTORY);
    let failed = |error: std::io::Error| {
        let why = "the daemon's user or group owns this directory; run the command as that user, and see that the daemon runs";
        SetupError::new(
            ExitCode::Permission,
            format!("failed to write into {}: {error} ({why})", directory.display()),
        )
    };
    let (unfinished, finished) = (directory.join(format!(".{name}")), directory.join(name));
    std::fs::write(&unfinished, scope).map_err(failed)?;
    std::fs::rename(unfinished, &finished).map_err(failed)?;
    for _ in 0..LOOKS {
        tokio::time::sleep(WATCH_EVERY / 4).await;
        if !finished.exists() {
            return Ok(true);
        }
    }
    std::fs::remove_file(finished).map_err(failed)?; // nobody is there: it must not be carried out some other day
    Ok(false)
}

/// Looks at a request, four in each of the daemon's rounds: two rounds and a half are patience enough.
const LOOKS: u32 = 10;

/// Makes the directory, for the daemon's user and group only.
///
/// # Errors
/// The state directory cannot be written to.
pub fn prepare(state_dir: &Path) -> Result<(), SetupError> {
    let directory = state_dir.join(DIRECTORY);
    let made = std::fs::create_dir_all(&directory).and_then(|()| {
        std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o770))
    });
    made.map_err(|error| SetupError::failed(format!("failed to make {}: {error}", directory.display())))
}

/// The next request's scope; its file is gone when this returns.
pub async fn next(state_dir: &Path) -> String {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if let Some(file) = oldest(&state_dir.join(DIRECTORY)) {
            let size = std::fs::metadata(&file).map_or(0, |meta| meta.len());
            let text =
                if size <= MAX_REQUEST_BYTES { std::fs::read_to_string(&file) } else { Ok(String::new()) };
            let removed = std::fs::remove_file(&file).is_ok(); // else it would be carried out for ever
            if let (Ok(text), true) = (text, removed) {
                return text.trim().to_owned();
            }
        }
    }
}

fn oldest(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let finished = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    finished.map(|entry| entry.path()).min()
}
