//! Rotation of the file sink's own making: `events.ndjson` becomes `events.ndjson.1`, `.1` becomes `.2`, and what is
//! beyond the number to keep is deleted. Renames only, so that programs that follow the file keep what they have open;
//! nothing is copied and nothing truncated.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::file::sync_folder;
use super::plan::FilePlan;
use crate::clock::Time;

/// Whether the file has to make room before so many bytes are appended: it would grow over its size, or was last
/// written in an earlier day or hour (UTC). An empty file never has.
pub fn due(plan: &FilePlan, file: &File, bytes: usize) -> io::Result<bool> {
    if plan.max_size.is_none() && plan.every.is_none() {
        return Ok(false);
    }
    let facts = file.metadata()?;
    if facts.len() == 0 || bytes == 0 {
        return Ok(false);
    }
    if plan.max_size.is_some_and(|max| facts.len().saturating_add(bytes as u64) > max) {
        return Ok(true);
    }
    let Some(every) = plan.every else { return Ok(false) };
    let period = |at: Time| at.secs().div_euclid(i64::try_from(every.as_secs().max(1)).unwrap_or(i64::MAX));
    let written = Time::from_secs(std::os::unix::fs::MetadataExt::mtime(&facts));
    Ok(period(plan.clock.now()) > period(written))
}

/// Renames the file and those before it. Interrupted anywhere, it has lost none but the one beyond the number to keep;
/// done again, it goes on.
///
/// # Errors
/// The folder cannot be written to.
pub fn rotate(plan: &FilePlan) -> io::Result<()> {
    let missing = |err: &io::Error| err.kind() == io::ErrorKind::NotFound;
    let there = |done: io::Result<()>| match done {
        Err(err) if !missing(&err) => Err(err),
        _ => Ok(()),
    };
    // beyond the gap, if an earlier one was interrupted or somebody took a file away, nothing has to move
    let gap = (1..=plan.keep).find(|n| !numbered(&plan.path, *n).exists());
    let last = gap.unwrap_or(plan.keep);
    if gap.is_none() {
        there(std::fs::remove_file(numbered(&plan.path, last)))?;
    }
    for n in (1..last).rev() {
        there(std::fs::rename(numbered(&plan.path, n), numbered(&plan.path, n + 1)))?;
    }
    there(std::fs::rename(&plan.path, numbered(&plan.path, 1)))?;
    sync_folder(&plan.path)
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}
