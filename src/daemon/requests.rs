//! What operators ask of a running daemon from another process: a small file in a directory that only its user
//! and group can write to. A file survives a daemon that is just restarting; a socket would not. What has an answer
//! is answered by a file of the same name in a directory beside it.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared_folder::SharedFolder;
use crate::clock::Time;
use crate::limits::{ANSWER_LOOKS, MAX_REQUEST_ANSWER_BYTES, MAX_REQUEST_BYTES, WATCH_EVERY};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Pick;

const DIRECTORY: &str = "requests";
const ANSWERS: &str = "answers";

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Lift what holds `scope` back: `acme`, `acme/siem.*`, `sink:siem` or `host:NAME`.
    Resume { scope: String },
    /// Read the feeds of `scope` (`acme`, `acme/audit`, `acme/siem.*`) from `since` on; `again`: also what is known.
    CursorSet { scope: String, since: Time, again: bool },
    /// Begin the feeds of `scope` as if they had never been polled.
    CursorReset { scope: String, again: bool },
    /// Let the feeds of tenant `to` begin where those of tenant `from` stopped.
    CursorMigrate { from: String, to: String },
    /// Fetch the open gaps of `scope` (empty: of all) that Mimecast still has.
    Backfill { scope: String },
    /// Close open gaps that stay: these, or those of `scope` (empty: of all) when none is numbered. Those that Mimecast
    /// still has only when `fetchable`.
    AcceptGaps { gaps: Vec<i64>, scope: String, by: String, why: String, fetchable: bool },
    /// Send dead letters once more.
    DeadLettersAgain { pick: Pick },
    /// Give dead letters up.
    DeadLettersDrop { pick: Pick },
    /// Read quarantined items once more.
    QuarantineAgain { pick: Pick },
    /// Give quarantined items up.
    QuarantineDrop { pick: Pick },
    /// Send stored events to a sink once more: of `scope` (empty: of all), from `since` to `until`, exclusive.
    Replay { sink: String, scope: String, since: Time, until: Time },
    /// End a replay before its end.
    ReplayEnd { replay: i64 },
}

impl Request {
    /// The scope of the feeds whose positions it sets. What is wanted of a gap is fetched after a poll that succeeds,
    /// so it is no reason to ask earlier.
    pub fn moves(&self) -> Option<&str> {
        match self {
            Request::CursorSet { scope, .. } | Request::CursorReset { scope, .. } => Some(scope),
            Request::CursorMigrate { to, .. } => Some(to),
            Request::Backfill { .. }
            | Request::AcceptGaps { .. }
            | Request::DeadLettersAgain { .. }
            | Request::DeadLettersDrop { .. }
            | Request::QuarantineAgain { .. }
            | Request::QuarantineDrop { .. }
            | Request::Replay { .. }
            | Request::ReplayEnd { .. }
            | Request::Resume { .. } => None,
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// An [`ExitCode`].
    pub exit: u8,
    /// For people: what was done, or why not.
    pub text: String,
    /// The same for `--json`.
    pub data: Value,
}

impl Request {
    /// The feeds it is about, as a [`crate::cursor::Scope`]; empty where it says none.
    pub fn feeds(&self) -> &str {
        match self {
            Request::CursorSet { scope, .. }
            | Request::CursorReset { scope, .. }
            | Request::Backfill { scope }
            | Request::AcceptGaps { scope, .. }
            | Request::Replay { scope, .. } => scope,
            Request::DeadLettersAgain { pick }
            | Request::DeadLettersDrop { pick }
            | Request::QuarantineAgain { pick }
            | Request::QuarantineDrop { pick } => &pick.scope,
            Request::Resume { .. } | Request::CursorMigrate { .. } | Request::ReplayEnd { .. } => "",
        }
    }

    /// The sink whose dead letters it is about; `None`: of all sinks, or of none.
    pub fn sink(&self) -> Option<&str> {
        match self {
            Request::DeadLettersAgain { pick } | Request::DeadLettersDrop { pick } => pick.sink.as_deref(),
            _ => None,
        }
    }
}

/// A request as the daemon finds it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where its answer goes.
    pub name: String,
    /// Or why it is none, in words for whoever asked.
    pub request: Result<Request, String>,
}

/// Asks the daemon for something and waits for its answer; `None`: no daemon took the request.
///
/// # Errors
/// The directory is not there (no daemon ever ran) or may not be written to; exit 75 when the daemon took the request
/// and gave no answer in time.
pub async fn ask(state_dir: &Path, request: &Request, name: &str) -> Result<Option<Answer>, SetupError> {
    let directory = state_dir.join(DIRECTORY);
    let text = serde_json::to_string(request)
        .map_err(|error| SetupError::failed(format!("failed to write the request: {error}")))?;
    if !leave(&directory, &text, name).await? {
        return Ok(None);
    }
    for _ in 0..ANSWER_LOOKS {
        if let Ok(text) = fetch(&directory, OsStr::new(name)) {
            return serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| SetupError::failed(format!("failed to read the daemon's answer: {error}")));
        }
        tokio::time::sleep(WATCH_EVERY / 20).await;
    }
    let text = "the daemon took the request and has not answered yet; `status`, the lists and its log tell what came of it";
    Err(SetupError::new(ExitCode::TryLater, text))
}

/// An answer that has come.
fn fetch(directory: &Path, name: &OsStr) -> io::Result<String> {
    let answers = SharedFolder::open(directory)?.inner(ANSWERS)?;
    let text = answers.read(name, MAX_REQUEST_ANSWER_BYTES)?;
    let _ = answers.remove(name); // the daemon removes what is left when it starts
    Ok(text)
}

async fn leave(directory: &Path, text: &str, name: &str) -> Result<bool, SetupError> {
    let failed = |error: io::Error| {
        let why = "the daemon's user or group owns this directory; run the command as that user, and see that the daemon runs";
        SetupError::new(
            ExitCode::Permission,
            format!("failed to write into {}: {error} ({why})", directory.display()),
        )
    };
    // readable by the daemon, whoever asks: nobody else gets into the directory
    match SharedFolder::open(directory).and_then(|folder| folder.write(name, text, 0o644)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false), // no daemon ever ran here
        written => written.map_err(failed)?,
    }
    let finished = directory.join(name);
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

/// Makes the directories, for the daemon's user and group only, and removes answers nobody fetched. In the first each
/// member of the group can take away and rename only what is its own (the sticky bit), so that the second stays in place.
///
/// # Errors
/// The state directory cannot be written to.
pub fn prepare(state_dir: &Path) -> Result<(), SetupError> {
    let directory = state_dir.join(DIRECTORY);
    let made = || {
        match std::fs::create_dir(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {} // new or there
        }
        let folder = SharedFolder::open(&directory)?;
        folder.set_mode(0o1770)?;
        let answers = folder.make_inner(ANSWERS)?;
        answers.set_mode(0o770)?;
        answers.empty()
    };
    made().map_err(|error| {
        let here = directory.display();
        SetupError::failed(format!(
            "failed to prepare {here} for requests of operators: {error}; it has to be a directory of the user that the              daemon runs as, and so has {here}/{ANSWERS}: remove what is not"
        ))
    })
}

/// The next request; its file is gone when this returns.
pub async fn next(state_dir: &Path) -> Asked {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let directory = state_dir.join(DIRECTORY);
        let Ok(folder) = SharedFolder::open(&directory) else { continue };
        if let Some(name) = oldest(&directory) {
            let request = read(&folder, &name);
            let removed = folder.remove(&name).is_ok(); // else it would be carried out for ever
            if removed {
                return Asked { name: name.to_string_lossy().into_owned(), request };
            }
        }
    }
}

fn read(folder: &SharedFolder, name: &OsStr) -> Result<Request, String> {
    let text = folder
        .read(name, MAX_REQUEST_BYTES)
        .map_err(|error| format!("the daemon failed to read the request: {error}"))?;
    if text.len() as u64 > MAX_REQUEST_BYTES {
        return Err(format!(
            "the request is longer than {MAX_REQUEST_BYTES} bytes, and nothing of it was done: name fewer numbers, or use a filter"
        ));
    }
    serde_json::from_str(&text)
        .map_err(|error| format!("the daemon does not understand the request: {error}"))
}

/// Leaves an answer for whoever asked under that name. That nobody may be there to read it any more is no fault of the
/// daemon's.
pub fn answer(state_dir: &Path, name: &str, answer: &Answer) {
    let text = serde_json::to_string(answer).unwrap_or_default(); // text and JSON always have a JSON form
    let answers = SharedFolder::open(&state_dir.join(DIRECTORY)).and_then(|folder| folder.inner(ANSWERS));
    let _ = answers.and_then(|answers| answers.write(name, &text, 0o660)); // the group may read and remove it
}

fn oldest(directory: &Path) -> Option<OsString> {
    let entries = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let finished = entries.filter(|entry| {
        !entry.file_name().to_string_lossy().starts_with('.')
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    finished.map(|entry| entry.file_name()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_answered_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let request = Request::CursorSet { scope: "acme/audit".into(), since: Time(5), again: false };
        let daemon = async {
            let asked = next(dir.path()).await;
            assert_eq!(asked.request, Ok(request.clone()));
            let done = Answer { exit: 1, text: "no".into(), data: Value::Null };
            answer(dir.path(), &asked.name, &done);
            done
        };
        tokio::time::pause();
        let (sent, got) = tokio::join!(daemon, ask(dir.path(), &request, "set-1"));
        assert_eq!(got.unwrap(), Some(sent));
        assert!(oldest(&dir.path().join(DIRECTORY)).is_none());
        let nobody = ask(dir.path(), &request, "set-2").await.unwrap();
        assert_eq!(nobody, None);
        assert!(oldest(&dir.path().join(DIRECTORY)).is_none(), "it is not carried out some other day");
    }

    /// What a member of the group might try: nothing outside of the directory is written, read or made accessible.
    #[tokio::test]
    async fn no_link_leads_an_answer_out_of_its_directory() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.db");
        std::fs::write(&store, "events").unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o710)).unwrap();
        let (directory, mode) =
            (dir.path().join(DIRECTORY), |path: &Path| std::fs::metadata(path).unwrap().permissions().mode());
        std::fs::create_dir(&directory).unwrap();
        symlink("..", directory.join(ANSWERS)).unwrap();
        let done = Answer { exit: 0, text: "done".into(), data: Value::Null };
        answer(dir.path(), "store.db", &done);
        prepare(dir.path()).unwrap();
        assert_eq!((mode(dir.path()) & 0o7777, mode(&directory) & 0o7777), (0o710, 0o1770));
        symlink("../../store.db", directory.join(ANSWERS).join(".x")).unwrap();
        answer(dir.path(), "x", &done);
        assert_eq!(std::fs::read_to_string(&store).unwrap(), "events");
        assert!(fetch(&directory, OsStr::new("x")).unwrap().contains("done"));
        symlink("../../store.db", directory.join(ANSWERS).join("y")).unwrap();
        assert!(fetch(&directory, OsStr::new("y")).is_err());
        prepare(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&store).unwrap(), "events");
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_words_and_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        tokio::time::pause();
        let pick = Pick::ids((0..20_000).collect::<Vec<i64>>());
        let long = serde_json::to_string(&Request::DeadLettersDrop { pick }).unwrap();
        for (bytes, words) in [
            (long.as_bytes(), "longer than 32768 bytes"),
            (b"", "does not understand"),
            (b"acme/audit", "does not understand"),
            (b"{\"verb\":\"drop-everything\"}", "does not understand"),
            (b"\xff\xfe", "failed to read"),
        ] {
            std::fs::write(dir.path().join(DIRECTORY).join("odd"), bytes).unwrap();
            let asked = next(dir.path()).await;
            let why = asked.request.unwrap_err();
            assert!(why.contains(words), "{why}");
            assert!(oldest(&dir.path().join(DIRECTORY)).is_none());
        }
    }
}
