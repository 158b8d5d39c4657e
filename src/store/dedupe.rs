//! Repeats of re-read windows, recognised exactly and inside the commit: a record is left out only when equal
//! bytes (or its own id) are stored already, and a crash can separate neither from the other.
//!
//! True twins survive because occurrences are counted per read-through: when one holds a record twice, the second
//! one is new the first time and a repeat ever after, in whatever order the service lists them. What a read-through
//! is, is the asker's to say: a page, or pages that are counted together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sqlx::SqliteConnection;

use super::sql::{event_id, int, local};
use super::{Dedupe, Quarantined};
use crate::chunk::{Chunk, Record};
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::EventId;
use crate::fault::{Fault, Kind};
use crate::limits::{READMITTED_KEPT, SEEN_ROWS};

/// A row of `seen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    pass: i64,
    pass_count: i64,
    total: i64,
    /// Equal items of the quarantine that were read once more.
    settled: i64,
}

impl Seen {
    /// One more equal item of the quarantine can be read; the ordinal it is to be stored with. Where windows are read
    /// `again`, as many of them as are stored had come in readable meanwhile: `None`. Elsewhere none can have.
    fn settled(&mut self, again: bool) -> Option<u32> {
        self.settled += 1;
        (!again || self.settled > self.total).then(|| {
            self.total += 1;
            u32::try_from(self.total - 1).unwrap_or(u32::MAX)
        })
    }

    /// One more occurrence in `pass`; the ordinal it is to be stored with, or `None` for a repeat.
    fn sighted(&mut self, pass: i64) -> Option<u32> {
        if self.pass != pass {
            (self.pass, self.pass_count) = (pass, 0);
        }
        self.pass_count += 1;
        (self.pass_count > self.total).then(|| {
            self.total = self.pass_count;
            u32::try_from(self.total - 1).unwrap_or(u32::MAX)
        })
    }
}

/// The same, with read-throughs numbered apart from those before the position was last set by hand, which begin with the
/// same numbers.
pub(super) fn in_turn(dedupe: Dedupe, turn: i64) -> Dedupe {
    match dedupe {
        Dedupe::Ids { pass, horizon } => {
            Dedupe::Ids { pass: pass ^ (turn.cast_unsigned() << TURN_SHIFT), horizon }
        }
        other => other,
    }
}

/// Read-throughs of one turn need no more bits: those of the side begin at 2^32, and each has sixteen more for its answers
/// (`mimecast::edge`), which makes 49. What is left is 4,095 turns before a number is used again.
const TURN_SHIFT: u32 = 52;

pub(super) fn horizon(dedupe: &Dedupe) -> Option<i64> {
    match dedupe {
        Dedupe::None => None,
        Dedupe::Ids { horizon, .. } | Dedupe::Exact { horizon } => Some(horizon.0),
    }
}

/// Takes repeats out of the chunk's index (the raw bytes stay: they are the evidence) and gives twins their
/// ordinal; returns how many were taken out.
pub(super) async fn drop_repeats(
    conn: &mut SqliteConnection,
    feed: i64,
    key: &FeedKey,
    (dedupe, given): (&Dedupe, Option<&[EventId]>),
    collected: Time,
    chunk: &mut Chunk,
) -> Result<u64, Fault> {
    if *dedupe == Dedupe::None {
        return Ok(0);
    }
    let records = std::mem::take(&mut chunk.records);
    let before = records.len();
    let mut kept = Vec::with_capacity(before);
    for (n, slice) in records.chunks(SEEN_ROWS).enumerate() {
        let keys = match given.and_then(|given| given.get(n * SEEN_ROWS..n * SEEN_ROWS + slice.len())) {
            Some(given) => given.to_vec(),
            None => slice
                .iter()
                .map(|record| identity(record, key, dedupe, chunk))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let mut seen = load(conn, feed, &keys).await?;
        for (record, id) in slice.iter().zip(keys) {
            if let Some(id) = judge(&mut seen, id, record, key, dedupe, chunk)? {
                kept.push(Record { id, ..record.clone() });
            }
        }
        save(conn, feed, collected, &seen).await?;
    }
    chunk.records = kept;
    Ok((before - chunk.records.len()) as u64)
}

/// Takes out what lies in the quarantine already, or lay there, because the window was read before; returns the reasons
/// of what was taken out. Twins survive as those that can be read do.
pub(super) async fn drop_kept(
    conn: &mut SqliteConnection,
    feed: i64,
    key: &FeedKey,
    (dedupe, collected): (&Dedupe, Time),
    items: &mut Vec<Quarantined>,
) -> Result<Vec<String>, Fault> {
    let pass = match dedupe {
        Dedupe::None => return Ok(Vec::new()),
        Dedupe::Ids { pass, .. } => pass.cast_signed(),
        // what cannot be read has no id of its own: equal bytes of one page are twins, those of two are one
        Dedupe::Exact { .. } => collected.0,
    };
    let (mut kept, mut known) = (Vec::with_capacity(items.len()), Vec::new());
    let mut rest = std::mem::take(items).into_iter();
    loop {
        let slice: Vec<Quarantined> = rest.by_ref().take(SEEN_ROWS).collect();
        if slice.is_empty() {
            break;
        }
        let keys: Vec<EventId> = slice.iter().map(|item| unreadable(key, item)).collect();
        let mut seen = load(conn, feed, &keys).await?;
        for (item, id) in slice.into_iter().zip(keys) {
            match seen.entry(id).or_default().sighted(pass) {
                Some(_) => kept.push(item),
                None => known.push(item.reason),
            }
        }
        save(conn, feed, collected, &seen).await?;
    }
    *items = kept;
    Ok(known)
}

/// What equal unreadable items have in common. It is no id of an event: one that can be read some day is new then.
fn unreadable(key: &FeedKey, item: &Quarantined) -> EventId {
    EventId::of(&key.tenant, key.feed, &[b"quarantined ", item.sha256.as_slice()].concat(), 0)
}

/// Gives records that could not be read until now their identities, and takes out those that came in readable
/// meanwhile, which is possible where windows are read again (`again`). Elsewhere each is an occurrence of its own,
/// and is counted here because no file can be asked any more.
pub(super) async fn admit(
    conn: &mut SqliteConnection,
    feed: i64,
    key: &FeedKey,
    (again, now): (bool, Time),
    chunk: &mut Chunk,
) -> Result<(), Fault> {
    let mut kept = Vec::with_capacity(chunk.records.len());
    for slice in chunk.records.chunks(SEEN_ROWS) {
        let base = |record| Ok(EventId::of(&key.tenant, key.feed, raw(record, chunk)?, 0));
        let keys = slice.iter().map(base).collect::<Result<Vec<_>, Fault>>()?;
        let mut seen = load(conn, feed, &keys).await?;
        for (record, base) in slice.iter().zip(keys) {
            if let Some(ordinal) = seen.entry(base).or_default().settled(again) {
                let id = EventId::of(&key.tenant, key.feed, raw(record, chunk)?, ordinal);
                kept.push(Record { id, ..record.clone() });
            }
        }
        save(conn, feed, now, &seen).await?;
    }
    chunk.records = kept;
    Ok(())
}

/// What equal records have in common. The ordinal-0 id is computed anew, so that it does not matter whether
/// intake numbered the twins of a page.
fn identity(record: &Record, key: &FeedKey, dedupe: &Dedupe, chunk: &Chunk) -> Result<EventId, Fault> {
    match dedupe {
        Dedupe::Exact { .. } => Ok(record.id),
        _ => Ok(EventId::of(&key.tenant, key.feed, raw(record, chunk)?, 0)),
    }
}

fn raw<'a>(record: &Record, chunk: &'a Chunk) -> Result<&'a [u8], Fault> {
    let start = record.offset as usize;
    let bytes = start.checked_add(record.len as usize).and_then(|end| chunk.raw.get(start..end));
    bytes.ok_or_else(|| local(Kind::Conflict, "a record lies outside of its chunk"))
}

/// The id to store the record with; `None` for a repeat.
fn judge(
    seen: &mut HashMap<EventId, Seen>,
    base: EventId,
    record: &Record,
    key: &FeedKey,
    dedupe: &Dedupe,
    chunk: &Chunk,
) -> Result<Option<EventId>, Fault> {
    let entry = seen.entry(base);
    if let Dedupe::Ids { pass, .. } = dedupe {
        let ordinal = entry.or_default().sighted(pass.cast_signed());
        // its own id, which is not the key where that was given
        let own = |ordinal| Ok(EventId::of(&key.tenant, key.feed, raw(record, chunk)?, ordinal));
        return ordinal.map(own).transpose();
    }
    match entry {
        Entry::Occupied(_) => Ok(None),
        Entry::Vacant(place) => {
            place.insert(Seen { pass_count: 1, total: 1, ..Seen::default() });
            Ok(Some(record.id))
        }
    }
}

/// The rows of these ids, in one statement: a page has hundreds, and each statement costs a thread switch.
async fn load(
    conn: &mut SqliteConnection,
    feed: i64,
    keys: &[EventId],
) -> Result<HashMap<EventId, Seen>, Fault> {
    // CROSS JOIN fixes the order: look up each id, never walk the table.
    let sql = "SELECT DISTINCT s.hash, s.pass, s.pass_count, s.total, s.settled FROM json_each(?2) AS wanted \
               CROSS JOIN seen AS s ON s.feed = ?1 AND s.hash = unhex(wanted.value)";
    let wanted = keys.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    let rows: Vec<(Vec<u8>, i64, i64, i64, i64)> =
        sqlx::query_as(sql).bind(feed).bind(format!("[{wanted}]")).fetch_all(conn).await?;
    let row = |(hash, pass, pass_count, total, settled): (Vec<u8>, i64, i64, i64, i64)| {
        Ok((event_id(&hash)?, Seen { pass, pass_count, total, settled }))
    };
    rows.into_iter().map(row).collect()
}

async fn save(
    conn: &mut SqliteConnection,
    feed: i64,
    collected: Time,
    seen: &HashMap<EventId, Seen>,
) -> Result<(), Fault> {
    let sql = "INSERT INTO seen (feed, hash, pass, pass_count, total, settled, time) \
               SELECT ?1, unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?3 \
               FROM json_each(?2) WHERE true \
               ON CONFLICT (feed, hash) DO UPDATE SET pass = excluded.pass, pass_count = excluded.pass_count, \
               total = excluded.total, settled = excluded.settled, time = max(time, excluded.time)";
    let row = |(id, seen): (&EventId, &Seen)| {
        format!("[\"{id}\",{},{},{},{}]", seen.pass, seen.pass_count, seen.total, seen.settled)
    };
    let rows = seen.iter().map(row).collect::<Vec<_>>().join(",");
    sqlx::query(sql).bind(feed).bind(format!("[{rows}]")).bind(collected.0).execute(conn).await?;
    Ok(())
}

/// Deletes at most [`SEEN_ROWS`] rows that no later read can meet; returns how many. Where no window is read again, what
/// the quarantine gave back is remembered for [`READMITTED_KEPT`].
pub(super) async fn purge(conn: &mut SqliteConnection, now: Time) -> Result<u64, Fault> {
    let sql = "DELETE FROM seen WHERE (feed, hash) IN (SELECT s.feed, s.hash FROM feed AS f CROSS JOIN seen AS s \
               ON s.feed = f.id AND s.time < coalesce(f.horizon, ?2) LIMIT ?1)";
    let delete = sqlx::query(sql).bind(int(SEEN_ROWS)).bind(now.minus(READMITTED_KEPT).0);
    Ok(delete.execute(conn).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_counted_per_read_through() {
        let mut seen = Seen::default();
        assert_eq!(
            [seen.sighted(1), seen.sighted(1)],
            [Some(0), Some(1)],
            "twins of one read-through are both new"
        );
        assert_eq!([seen.sighted(2), seen.sighted(2)], [None, None], "and both repeats in the next");
        assert_eq!(seen.sighted(2), Some(2), "a third one is new");
        assert_eq!([seen.sighted(3), seen.sighted(4)], [None, None]);
    }
}
