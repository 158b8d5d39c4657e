//! Chunks: how events travel from intake to the store and from the store to couriers. A chunk is a run of raw
//! records of one feed, stored as a gzip stream (for a batch file: the very bytes Mimecast sent), plus an
//! index of what intake learnt about each record, so that nothing is parsed or hashed twice.

use bytes::Bytes;

use crate::event::{Event, EventId, Severity};

/// What intake learnt about one record, and where it lies in the chunk's raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Start in the raw bytes.
    pub offset: u32,
    /// Length in bytes, without any line end.
    pub len: u32,
    pub id: EventId,
    /// Event time, Unix milliseconds.
    pub time: Option<i64>,
    /// Index into [`Chunk::kinds`].
    pub kind: u8,
    pub severity: Severity,
    /// Not valid UTF-8.
    pub repaired: bool,
}

/// A finished run of records, ready to be stored or formatted.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The raw bytes, inflated. Records are slices of it; what lies between them (line ends, quarantined
    /// lines) belongs to no record.
    pub raw: Bytes,
    /// The same bytes as one gzip stream (possibly of several members).
    pub gzip: Bytes,
    pub records: Vec<Record>,
    /// The record types that occur; at most 256.
    pub kinds: Vec<String>,
    /// Records are JSON texts (false: API 1.0 key-value lines).
    pub json: bool,
    /// Where the bytes came from: file name without query, or the endpoint's path. For people and `source`.
    pub source: String,
}

impl Chunk {
    /// The `n`th record as an event; `None` when the index does not fit the bytes (a damaged store).
    pub fn event<'a>(
        &'a self,
        n: usize,
        tenant: &'a str,
        feed: &'a str,
        collected: i64,
    ) -> Option<Event<'a>> {
        let record = self.records.get(n)?;
        let start = record.offset as usize;
        let raw = self.raw.get(start..start.checked_add(record.len as usize)?)?;
        Some(Event {
            id: record.id,
            tenant,
            feed,
            kind: self.kinds.get(usize::from(record.kind)).map_or("", String::as_str),
            time: record.time,
            collected,
            severity: record.severity,
            repaired: record.repaired,
            json: self.json,
            raw,
        })
    }

    /// The middle one of its events' times: a few that are absurd do not move it.
    pub fn middle(&self) -> Option<i64> {
        let mut times: Vec<i64> = self.records.iter().filter_map(|record| record.time).collect();
        let middle = times.len().checked_sub(1)? / 2;
        Some(*times.select_nth_unstable(middle).1)
    }

    /// Newest event time in the chunk.
    pub fn newest(&self) -> Option<i64> {
        self.records.iter().filter_map(|record| record.time).max()
    }
}

/// Without checksum: what older versions wrote.
const INDEX_UNCHECKED: u8 = 1;
const INDEX_VERSION: u8 = 2;
const CHECKSUM_BYTES: usize = 4;
const HAS_TIME: u8 = 0x10;
const REPAIRED: u8 = 0x20;
const SEVERITY_MASK: u8 = 0x0f;

/// The index as bytes: a version, then per record: gap to the previous record's end, length, flags, kind,
/// time as difference to the previous one (all LEB128, signed ones zigzag), and the 16 bytes of the id. In the end the
/// CRC-32 of all that, little endian. About 23 bytes a record.
pub fn encode_index(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + records.len() * 24 + CHECKSUM_BYTES);
    out.push(INDEX_VERSION);
    let (mut end, mut time) = (0_u32, 0_i64);
    for record in records {
        put(&mut out, u64::from(record.offset.wrapping_sub(end)));
        put(&mut out, u64::from(record.len));
        let mut flags = record.severity as u8 & SEVERITY_MASK;
        flags |= if record.time.is_some() { HAS_TIME } else { 0 };
        flags |= if record.repaired { REPAIRED } else { 0 };
        out.extend_from_slice(&[flags, record.kind]);
        if let Some(at) = record.time {
            let delta = at.wrapping_sub(time);
            put(&mut out, ((delta << 1) ^ (delta >> 63)) as u64);
            time = at;
        }
        out.extend_from_slice(&record.id.0);
        end = record.offset.wrapping_add(record.len);
    }
    let sum = checksum(&out);
    out.extend_from_slice(&sum);
    out
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The inverse of [`encode_index`], and whether every bit of it is as it was written; `None` when the bytes are not an
/// index (a damaged store).
pub fn decode_index(bytes: &[u8]) -> Option<(Vec<Record>, bool)> {
    match *bytes.first()? {
        INDEX_UNCHECKED => Some((decode_records(bytes.get(1..)?)?, true)),
        INDEX_VERSION => {
            let (index, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
            Some((decode_records(index.get(1..)?)?, checksum(index) == *sum))
        }
        _ => None,
    }
}

fn decode_records(mut rest: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::with_capacity(rest.len() / 20);
    let (mut end, mut time) = (0_u32, 0_i64);
    while !rest.is_empty() {
        let offset = end.wrapping_add(u32::try_from(get(&mut rest)?).ok()?);
        let len = u32::try_from(get(&mut rest)?).ok()?;
        let (flags, kind) = (take(&mut rest)?, take(&mut rest)?);
        let at = if flags & HAS_TIME != 0 {
            let zigzag = get(&mut rest)?;
            time = time.wrapping_add(((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64));
            Some(time)
        } else {
            None
        };
        let (id, tail) = rest.split_first_chunk::<16>()?;
        rest = tail;
        records.push(Record {
            offset,
            len,
            id: EventId(*id),
            time: at,
            kind,
            severity: Severity::from_number(flags & SEVERITY_MASK),
            repaired: flags & REPAIRED != 0,
        });
        end = offset.wrapping_add(len);
    }
    Some(records)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    Some(*first)
}

fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        (
            any::<u32>(),
            any::<u32>(),
            any::<[u8; 16]>(),
            any::<Option<i64>>(),
            any::<u8>(),
            4_u8..7,
            any::<bool>(),
        )
            .prop_map(|(offset, len, id, time, kind, severity, repaired)| Record {
                offset,
                len,
                id: EventId(id),
                time,
                kind,
                severity: Severity::from_number(severity),
                repaired,
            })
    }

    proptest! {
        #[test]
        fn index_survives_the_round_trip(records in proptest::collection::vec(record(), 0..40)) {
            prop_assert_eq!(decode_index(&encode_index(&records)), Some((records, true)));
        }

        /// What older versions wrote stays readable.
        #[test]
        fn an_index_without_checksum_is_read(records in proptest::collection::vec(record(), 0..40)) {
            let mut old = encode_index(&records);
            old.truncate(old.len() - CHECKSUM_BYTES);
            old[0] = INDEX_UNCHECKED;
            prop_assert_eq!(decode_index(&old), Some((records, true)));
        }

        #[test]
        fn no_bit_of_an_index_changes_unnoticed(
            records in proptest::collection::vec(record(), 0..40), at in any::<proptest::sample::Index>(), bit in 0_u8..8
        ) {
            let mut spoiled = encode_index(&records);
            let at = at.index(spoiled.len() - 1) + 1; // a version is a number of its own
            spoiled[at] ^= 1 << bit;
            prop_assert!(!matches!(decode_index(&spoiled), Some((_, true))));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_index(&bytes);
        }
    }
}
