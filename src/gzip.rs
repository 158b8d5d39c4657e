//! Gzip streams that are in memory as a whole and have one member, as Mimecast's files do: inflated in one go,
//! which costs about half of what inflating piece by piece does. Anything else about a stream is not decided
//! here: [`inflate_whole`] says `None`, and the streaming reader finds out what it is.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use libdeflater::{Crc, Decompressor};

use crate::limits::{CHUNK_MAX_BYTES, CHUNK_TARGET_BYTES};

/// Header and footer around an empty body.
const SMALLEST: usize = 18;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// The first flag, in the byte behind the magic, that no header has.
const RESERVED_FLAGS: u8 = 0x20;

/// The one that was used last: a new one costs more than inflating a small file.
static DECOMPRESSOR: Mutex<Option<Decompressor>> = Mutex::new(None);

/// The inflated bytes of a stream with exactly one member and nothing behind it, if they are at most `most`.
///
/// The size in the footer is a promise of the other side: memory is taken for no more than `most`, and the
/// promise must come true to the byte. No second member can be overlooked: its header would begin with
/// [`MAGIC`] and flags below [`RESERVED_FLAGS`], which then occur somewhere behind the first.
pub fn inflate_whole(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let (head, footer) = packed.split_last_chunk::<8>().filter(|_| packed.len() >= SMALLEST)?;
    let rest = head.strip_prefix(&MAGIC)?;
    let header = |at: usize| packed.get(at + 2 * MAGIC.len()).is_some_and(|flags| *flags < RESERVED_FLAGS);
    if memchr::memmem::find_iter(rest, &MAGIC).any(header) {
        return None;
    }
    let [checksum, size] = footer.as_chunks::<4>().0 else { return None };
    let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= most)?;
    let mut raw = spare(size);
    let kept = DECOMPRESSOR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut decompressor = kept.unwrap_or_default();
    let written = decompressor.gzip_decompress(packed, &mut raw).ok();
    *DECOMPRESSOR.lock().unwrap_or_else(PoisonError::into_inner) = Some(decompressor);
    let written = written?;
    // The inflater stops at the end of the first member; that its checksum stands at the end of the stream says
    // that nothing follows.
    let mut crc = Crc::new();
    crc.update(&raw);
    (written == size && crc.sum() == u32::from_le_bytes(*checksum)).then_some(raw)
}

/// Memory that the last large chunk gave back. Taking new memory for each file of a backlog costs as much as
/// looking through its lines: the system hands it out page by page, and cleared.
static SPARE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A buffer of `size` bytes with any content.
fn spare(size: usize) -> Vec<u8> {
    let mut raw = {
        let mut kept = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        // A small chunk must not hold the memory of a large one.
        if kept.capacity() / 4 > size { Vec::new() } else { std::mem::take(&mut *kept) }
    };
    if raw.capacity() < size {
        drop(std::mem::take(&mut raw)); // before new memory is taken
        // the next file may be a little larger; the memory of a small one is not kept
        let room =
            if size < CHUNK_TARGET_BYTES / 4 { size } else { size.next_multiple_of(CHUNK_TARGET_BYTES) };
        raw.reserve_exact(room);
    }
    raw.resize(size, 0); // what is there needs no clearing
    raw
}

/// Empty, with the room that is to spare: for what is inflated piece by piece.
pub fn spare_room() -> Vec<u8> {
    let mut raw = std::mem::take(&mut *SPARE.lock().unwrap_or_else(PoisonError::into_inner));
    raw.clear();
    raw
}

/// The bytes of a chunk; when the last holder lets go, the memory of a large one is kept for the next.
pub fn lend(raw: Vec<u8>) -> Bytes {
    Bytes::from_owner(Lent(raw))
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let size = self.0.capacity();
        if (CHUNK_TARGET_BYTES..=CHUNK_MAX_BYTES).contains(&size) {
            let mut kept = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.capacity() < size {
                std::mem::swap(&mut *kept, &mut self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::Compression;
    use flate2::bufread::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(raw: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn anything_but_one_plain_member_is_left_to_the_streaming_reader() {
        let text = b"one line\nanother line\n".repeat(1000);
        let one = packed(&text, 6);
        assert_eq!(inflate_whole(&one, text.len()).as_deref(), Some(&*text));
        assert_eq!(inflate_whole(&packed(b"", 6), 0), Some(Vec::new()));
        assert_eq!(inflate_whole(&one, text.len() - 1), None, "larger than wanted");
        assert_eq!(inflate_whole(&[one.clone(), one.clone()].concat(), usize::MAX), None, "the same twice");
        assert_eq!(inflate_whole(&[one.clone(), packed(b"x", 0)].concat(), usize::MAX), None, "two members");
        assert_eq!(inflate_whole(&[&*one, b"\0"].concat(), usize::MAX), None, "padding");
        for cut in [0, 1, 9, 17, one.len() / 2, one.len() - 1] {
            assert_eq!(inflate_whole(&one[..cut], usize::MAX), None, "cut at {cut}");
        }
        for at in 0..one.len() {
            let mut bent = one.clone();
            bent[at] ^= 0x10;
            let raw = inflate_whole(&bent, usize::MAX >> 20);
            // Some bits say nothing about the content: time, system, what pads the last byte of the body.
            assert!(raw.is_none_or(|raw| raw == text), "byte {at}");
        }
    }

    #[test]
    fn a_footer_that_promises_too_much_takes_no_memory() {
        let mut liar = packed(b"small", 6);
        let at = liar.len() - 1;
        liar[at] = 0xff;
        assert_eq!(inflate_whole(&liar, 1 << 20), None);
    }

    #[test]
    fn memory_is_used_again_and_never_shows() {
        let large = vec![b'x'; 3 << 20];
        let file = packed(&large, 6);
        let first = lend(inflate_whole(&file, CHUNK_MAX_BYTES).unwrap());
        assert_eq!(first, large);
        let other = first.clone();
        drop(first);
        assert_eq!(other, large, "still held");
        drop(other);
        let less: Vec<u8> = (0..2 << 20).map(|n| n as u8).collect();
        assert_eq!(inflate_whole(&packed(&less, 1), CHUNK_MAX_BYTES).unwrap(), less);
        assert_eq!(lend(b"small".to_vec()), "small");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_the_streaming_reader_reads(
            raw in proptest::collection::vec(0_u8..7, 0..3000), level in 0_u32..10,
            tail in proptest::collection::vec(any::<u8>(), 0..20), bend in any::<(usize, u8)>(),
        ) {
            let mut file = packed(&raw, level);
            prop_assert_eq!(inflate_whole(&file, 1 << 20), Some(raw));
            file.extend_from_slice(&tail);
            let at = bend.0 % file.len();
            file[at] ^= bend.1;
            if let Some(fast) = inflate_whole(&file, 1 << 20) {
                let mut slow = Vec::new();
                MultiGzDecoder::new(&*file).read_to_end(&mut slow).unwrap();
                prop_assert_eq!(fast, slow);
            }
        }

        #[test]
        fn any_bytes_are_read_or_left(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = inflate_whole(&[&MAGIC[..], &bytes].concat(), 1 << 16);
        }
    }
}
