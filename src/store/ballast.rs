//! A file that is only there to be given back. On a full disk SQLite can neither delete nor checkpoint, so a
//! full store could never empty itself; with the ballast gone sinks drain, chunks go, and the sweep puts it back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Inner;
use crate::limits::ROOM_TO_OPEN;

/// One write while building.
const BLOCK: usize = 64 << 10;

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("ballast")
}

/// Present size, bytes.
pub(super) fn size(dir: &Path) -> u64 {
    fs::metadata(path(dir)).map_or(0, |meta| meta.len())
}

/// Bytes this user may still write.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Gives the ballast back and pauses collection. The empty file stays behind as a note for the next start:
/// a daemon that is started again must not fill the room that sinks need to drain.
pub(super) fn release(store: &Inner) {
    // Fails when there is no ballast and no room for an empty file: then there is nothing to give back either.
    let _ = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path(&store.dir));
    store.live().disk_full = Some(needed(&store.dir, store.ballast));
}

/// A disk that others have filled while nothing ran here: opening writes, too, so the ballast is given back before.
pub(super) fn make_room(dir: &Path) {
    if size(dir) > 0 && free(dir).is_ok_and(|free| free < ROOM_TO_OPEN) {
        let _ = OpenOptions::new().write(true).truncate(true).open(path(dir)); // opening will say what is wrong
    }
}

pub(super) fn was_released(dir: &Path) -> bool {
    fs::metadata(path(dir)).is_ok_and(|meta| meta.len() == 0)
}

/// Free bytes with which collection may go on after a full disk: room for the ballast and as much again, or a
/// quarter of a disk too small for that. With less, the next page would only fill it again.
pub(super) fn needed(dir: &Path, ballast: u64) -> u64 {
    let quarter =
        rustix::fs::statvfs(dir).map_or(u64::MAX, |stat| stat.f_blocks.saturating_mul(stat.f_frsize) / 4);
    quarter.min(ballast.saturating_mul(2))
}

/// Brings the ballast up to `wanted` bytes, or to a quarter of the free space where that is less; returns its
/// size. Blocks are really written, with content that does not compress: a sparse file would give nothing back.
pub(super) fn build(dir: &Path, wanted: u64) -> io::Result<u64> {
    let present = size(dir);
    let room = present.saturating_add(free(dir)?) / 4;
    let target = wanted.min(room) / BLOCK as u64 * BLOCK as u64;
    if present >= target {
        return Ok(present);
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path(dir))?;
    let built = fill(&mut file, present, target);
    if built.is_err() {
        fs::remove_file(path(dir))?; // what little room there is belongs to the store
    }
    built.map(|()| target)
}

fn fill(file: &mut File, from: u64, to: u64) -> io::Result<()> {
    let mut block = vec![0_u8; BLOCK];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ from;
    let mut left = to.saturating_sub(from);
    while left > 0 {
        for word in block.as_chunks_mut::<8>().0 {
            state ^= state << 13; // xorshift64: not random, merely incompressible
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let size = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        file.write_all(block.get(..size).unwrap_or(&block))?;
        left -= size as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn takes_up_real_blocks_and_grows() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(build(dir.path(), 1 << 20).unwrap(), 1 << 20);
        assert_eq!(build(dir.path(), 1 << 20).unwrap(), 1 << 20, "once is enough");
        assert_eq!(build(dir.path(), 3 << 20).unwrap(), 3 << 20);
        let meta = fs::metadata(path(dir.path())).unwrap();
        assert_eq!(meta.len(), 3 << 20);
        assert!(meta.blocks() * 512 >= 3 << 20, "not sparse");
        assert_eq!(meta.mode() & 0o777, 0o600);
    }
}
