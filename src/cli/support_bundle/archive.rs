//! The archive itself: a gzipped tar with one directory.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Part;
use crate::clock::Time;
use crate::setup_error::SetupError;

const MODE: u32 = 0o600;

/// Writes `readme` and every part that is there into a new file below the directory `name`.
///
/// # Errors
/// The file exists or cannot be written; what was begun is removed.
pub fn write(path: &Path, name: &str, readme: &str, parts: &[Part], now: Time) -> Result<(), SetupError> {
    let failed = |why: std::io::Error| {
        SetupError::failed(format!(
            "failed to write {}: {why}; name another place with --output",
            path.display()
        ))
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(failed)?;
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let seconds = u64::try_from(now.secs()).unwrap_or(0);
    let mut put = |file: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(MODE);
        header.set_mtime(seconds);
        tar.append_data(&mut header, format!("{name}/{file}"), text.as_bytes())
    };
    let all = std::iter::once(("README.txt", readme))
        .chain(parts.iter().filter_map(|part| Some((part.name.as_str(), part.content.as_deref().ok()?))));
    let written = all.into_iter().try_for_each(|(file, text)| put(file, text));
    let ended = written.and_then(|()| tar.into_inner()?.finish()?.sync_all());
    ended.map_err(|why| {
        let _ = std::fs::remove_file(path); // a part of an archive helps nobody
        failed(why)
    })
}
