//! `[sinks.NAME]` with `type = "file"`.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::diagnostic::{Book, Problem};
use super::secret_ref::SecretRef;
use super::settings::{Settings, Sink, SinkKind};
use super::table::Table;
use super::value::Value;
use crate::limits::{MAX_ROTATE_BYTES, MAX_ROTATED_FILES, MIN_ROTATE_BYTES};

/// A file that events are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    pub path: PathBuf,
    /// Bytes above which it is rotated; `None`: by nothing.
    pub rotate_size: Option<u64>,
    /// Rotated when a new hour or day (UTC) has begun; `None`: by nothing.
    pub rotate_every: Option<Duration>,
    /// Rotated files that are kept, at least 1.
    pub keep: u32,
    /// Permissions of a new file.
    pub mode: u32,
    /// A confirmation is an fsync.
    pub fsync: bool,
}

/// Names in the state directory that are the daemon's (docs/security.md).
const OWN_FILES: [&str; 7] =
    ["store.db", "store.db-wal", "store.db-shm", "store.lock", "cursors.shadow", "ballast", "admin.address"];
const MODE: u32 = 0o640;
const KEEP: u32 = 7;

/// What may be written of a file.
pub(super) fn read_file(table: &Table<'_>) -> Option<FileSink> {
    let path = table.require("path", "path = \"/var/log/mimecast/events.ndjson\"").and_then(|v| v.path());
    let rotate_size = table.get("rotate_size").map_or(Some(None), |v| match v.peek_text() {
        Some("off") => Some(None),
        _ => v.size(MIN_ROTATE_BYTES, MAX_ROTATE_BYTES).map(Some),
    });
    let periods = [
        ("off", None),
        ("hourly", Some(Duration::from_secs(3_600))),
        ("daily", Some(Duration::from_secs(86_400))),
    ];
    let rotate_every = table.get("rotate_every").map_or(Some(None), |v| v.choice(&periods, &[]));
    let keep = table.get("keep");
    let keep =
        keep.map_or(Some(KEEP), |v| v.integer(1, MAX_ROTATED_FILES).and_then(|n| u32::try_from(n).ok()));
    let mode = table.get("mode").map_or(Some(MODE), |v| read_mode(&v));
    let fsync = table.get("fsync").map_or(Some(true), |v| v.flag());
    Some(FileSink {
        path: path?,
        rotate_size: rotate_size?,
        rotate_every: rotate_every?,
        keep: keep?,
        mode: mode?,
        fsync: fsync?,
    })
}

/// `"0640"`: as `chmod` takes it. The daemon itself has to be able to read and write its file.
fn read_mode(value: &Value<'_>) -> Option<u32> {
    let text = value.text()?;
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
    if mode.is_none() {
        let title = format!("`{}` is not the mode of a file", value.name);
        value.refuse(title, "must be octal, and let the owner read and write", "write \"0640\" or \"0600\"");
    }
    mode
}

/// Two sinks that append to one file would tear each other's lines and rotate each other's files away.
pub(super) fn refuse_shared(book: &Book<'_>, sinks: &[Option<Sink>], values: &[Value<'_>]) {
    let mut seen: Vec<(PathBuf, &Value<'_>)> = Vec::new();
    for (sink, value) in sinks.iter().zip(values) {
        let Some(SinkKind::File(file)) = sink.as_ref().map(|sink| &sink.kind) else { continue };
        let path = plain(&file.path);
        match seen.iter().find(|(known, _)| *known == path) {
            Some((_, first)) => {
                let problem = Problem::new(format!("two sinks write to {}", path.display()));
                let problem = problem.at(first.key_place(), "this one").at(value.key_place(), "and this one");
                book.report(problem.help("give each its own file, or remove one of them"));
            }
            None => seen.push((path, value)),
        }
    }
}

/// A sink appends to its file and rotates it: the daemon's own files and those it reads are not for that.
pub(super) fn refuse_taken(book: &Book<'_>, settings: &Settings, values: &[Value<'_>]) {
    let own = OWN_FILES.iter().map(|name| (settings.state_dir.join(name), "the daemon's own state"));
    let read = book.files().iter().map(|file| (file.path.clone(), "the configuration"));
    let secrets = settings.secrets();
    let secrets = secrets.iter().filter_map(|secret| match secret.place {
        SecretRef::File(path) => Some((path.clone(), "a secret")),
        _ => None,
    });
    let taken: Vec<(PathBuf, &str)> = own.chain(read).chain(secrets).collect();
    for (sink, value) in settings.sinks.iter().zip(values) {
        let SinkKind::File(file) = &sink.kind else { continue };
        let mine = real(&file.path);
        if let Some((path, what)) = taken.iter().find(|(path, _)| real(path) == mine) {
            let problem = Problem::new(format!("sink {} would write into {}", sink.name, path.display()));
            let problem = problem.at(value.key_place(), format!("that file is {what}"));
            book.report(problem.help("give it a file of its own, such as /var/log/mimecast/events.ndjson"));
        }
    }
}

/// What a path leads to; as [`plain`] where nothing is yet.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| plain(path))
}

/// Without `.` and `..`, as far as that can be told without looking at the disk.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = out.pop(),
            part => out.push(part),
        }
    }
    out
}
