//! The books, kept twice: counters written at each commit and advance on one side, the chunks that are really
//! there on the other. [`Account::differences`] is what `reconcile` prints.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::sql::{count, feed_key, time};
use super::writer::{put_aside, undelivered};
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::fault::Fault;

/// One feed's books. Counts are records since the feed was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub feed: FeedKey,
    /// Records Mimecast listed; repeats of re-read windows are not counted.
    pub listed: u64,
    pub stored: u64,
    pub quarantined: u64,
    /// The same, counted where they lie, and what operators have given up of them.
    pub in_quarantine: (u64, u64),
    /// Listed records known to be lost.
    pub gap: u64,
    /// The same, added up over the ledger's rows.
    pub in_ledger: u64,
    /// Repeats left out; for information.
    pub duplicate: u64,
    /// Events counted in the chunks that are there.
    pub kept: u64,
    /// Events of chunks deleted after delivery and retention.
    pub swept: u64,
    /// One per sink, in order of name.
    pub sinks: Vec<SinkAccount>,
}

/// One feed's books with one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkAccount {
    pub sink: String,
    /// Events stored before the sink's start, never owed to it.
    pub base: u64,
    pub delivered: u64,
    /// Events counted in the chunks after the sink's position.
    pub waiting: u64,
    pub dead_lettered: u64,
    /// The same, counted where they lie, and what operators have given up of them.
    pub in_letters: (u64, u64),
    pub filtered: u64,
}

impl Account {
    /// What does not add up, as sentences; empty when the books balance.
    pub fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: String, left: u64, right: u64| {
            if left != right {
                found.push(format!("{}: {what}: {left} is not {right}", self.feed));
            }
        };
        let known = self.stored + self.quarantined + self.gap;
        compare("listed = stored + quarantined + gap".into(), self.listed, known);
        compare("stored = kept + swept".into(), self.stored, self.kept + self.swept);
        compare("gap = records of the ledger's gaps".into(), self.gap, self.in_ledger);
        let (lie, dropped) = self.in_quarantine;
        compare("quarantined = in quarantine + dropped".into(), self.quarantined, lie + dropped);
        for sink in &self.sinks {
            let (lie, dropped) = sink.in_letters;
            let what = format!("sink {}: dead-lettered = dead letters + dropped", sink.sink);
            compare(what, sink.dead_lettered, lie + dropped);
            let known = sink.base + sink.delivered + sink.waiting + sink.dead_lettered + sink.filtered;
            let what = "stored = before its start + delivered + waiting + dead-lettered + filtered";
            compare(format!("sink {}: {what}", sink.sink), self.stored, known);
        }
        found
    }
}

/// How full the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What `max_size` limits: bytes of chunks that some sink still needs, and of what was put aside.
    pub bytes_used: u64,
    /// Bytes of dead letters, of these.
    pub dead_letter_bytes: u64,
    /// Bytes of the quarantine, of these.
    pub quarantine_bytes: u64,
    /// `max_size`, bytes.
    pub limit: u64,
    /// Collection has to pause; see [`Store::over_limit`].
    pub over_limit: bool,
    /// A write found the disk full, and room was not found again since.
    pub disk_full: bool,
    /// Size of the database file, bytes; it includes delivered chunks kept for `replay` and free pages.
    pub file_bytes: u64,
    /// Present size of the ballast, bytes.
    pub ballast_bytes: u64,
    /// In order of name.
    pub sinks: Vec<SinkUsage>,
}

/// What waits in the store for one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkUsage {
    pub sink: String,
    /// Events after the sink's position.
    pub events_waiting: u64,
    /// Bytes of the chunks they are in.
    pub bytes_waiting: u64,
    /// Time of the oldest waiting event (of its storing, for events that carry none); `None`: nothing waits.
    pub oldest_waiting: Option<Time>,
}

/// One statement, so that all numbers are of one moment.
pub(super) const ACCOUNTS: &str = "
    WITH live AS (SELECT feed, sum(events) AS kept FROM chunk GROUP BY feed),
         due AS (
             SELECT s.id AS sink, c.feed,
                    sum(c.events - CASE WHEN c.seq = (SELECT min(seq) FROM chunk WHERE seq > s.seq)
                                        THEN s.idx ELSE 0 END) AS waiting
             FROM sink AS s JOIN chunk AS c ON c.seq > s.seq GROUP BY s.id, c.feed),
         lie AS (SELECT feed, count(*) AS items FROM quarantine GROUP BY feed),
         dead AS (SELECT sink, feed, count(*) AS letters FROM dead_letter WHERE booked = 1 GROUP BY sink, feed)
    SELECT f.tenant, f.feed, f.listed, f.stored, f.quarantined, f.gap, f.duplicate, f.swept,
           (SELECT coalesce(sum(records), 0) FROM gap WHERE gap.feed = f.id) AS in_ledger,
           coalesce(live.kept, 0) AS kept, s.name AS sink, coalesce(a.base, 0) AS base,
           coalesce(a.delivered, 0) AS delivered, coalesce(a.dead_lettered, 0) AS dead_lettered,
           coalesce(a.filtered, 0) AS filtered, coalesce(due.waiting, 0) AS waiting,
           coalesce(lie.items, 0) AS items, f.quarantine_dropped, coalesce(dead.letters, 0) AS letters,
           coalesce(a.dropped, 0) AS letters_dropped
    FROM feed AS f LEFT JOIN live ON live.feed = f.id LEFT JOIN sink AS s ON true
         LEFT JOIN account AS a ON a.sink = s.id AND a.feed = f.id
         LEFT JOIN due ON due.sink = s.id AND due.feed = f.id
         LEFT JOIN lie ON lie.feed = f.id LEFT JOIN dead ON dead.sink = s.name AND dead.feed = f.id
    ORDER BY f.tenant, f.feed, s.name";

const USAGE: &str = "
    SELECT s.name, coalesce(sum(c.events), 0) - s.idx AS events, coalesce(sum(c.bytes), 0) AS bytes,
           min(coalesce(c.oldest, c.collected)) AS oldest
    FROM sink AS s LEFT JOIN chunk AS c ON c.seq > s.seq GROUP BY s.id ORDER BY s.name";

impl Store {
    /// The books of every feed, counted anew.
    pub async fn accounts(&self) -> Result<Vec<Account>, Fault> {
        let mut conn = self.inner.sums.lock().await;
        let mut rows = sqlx::query(ACCOUNTS).fetch(&mut *conn);
        let mut accounts: Vec<Account> = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let row = &row;
            let feed = feed_key(row.try_get("tenant")?, row.try_get("feed")?)?;
            if accounts.last().is_none_or(|last| last.feed != feed) {
                accounts.push(account(row, feed)?);
            }
            if let (Some(account), Some(sink)) =
                (accounts.last_mut(), row.try_get::<Option<String>, _>("sink")?)
            {
                account.sinks.reserve_exact(1); // ten thousand feeds, mostly of one sink or two
                account.sinks.push(sink_account(row, sink)?);
            }
        }
        Ok(accounts)
    }

    /// How full the store is, and what waits for whom.
    pub async fn usage(&self) -> Result<Usage, Fault> {
        let mut conn = self.inner.sums.lock().await;
        let rows = sqlx::query(USAGE).fetch_all(&mut *conn).await?;
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let file_bytes = count(sqlx::query_scalar(size).fetch_one(&mut *conn).await?);
        let undelivered = undelivered(&mut conn).await?;
        let [dead_letter_bytes, quarantine_bytes] = put_aside(&mut conn).await?;
        drop(conn);
        let over_limit = self.over_limit();
        let (limit, disk_full) = {
            let live = self.inner.live();
            (live.max_size, live.disk_full.is_some())
        };
        Ok(Usage {
            bytes_used: undelivered.saturating_add(dead_letter_bytes).saturating_add(quarantine_bytes),
            dead_letter_bytes,
            quarantine_bytes,
            limit,
            over_limit,
            disk_full,
            file_bytes,
            ballast_bytes: super::ballast::size(&self.inner.dir),
            sinks: rows.iter().map(sink_usage).collect::<Result<_, _>>()?,
        })
    }
}

fn account(row: &SqliteRow, feed: FeedKey) -> Result<Account, Fault> {
    Ok(Account {
        feed,
        listed: count(row.try_get("listed")?),
        stored: count(row.try_get("stored")?),
        quarantined: count(row.try_get("quarantined")?),
        in_quarantine: (count(row.try_get("items")?), count(row.try_get("quarantine_dropped")?)),
        gap: count(row.try_get("gap")?),
        in_ledger: count(row.try_get("in_ledger")?),
        duplicate: count(row.try_get("duplicate")?),
        kept: count(row.try_get("kept")?),
        swept: count(row.try_get("swept")?),
        sinks: Vec::new(),
    })
}

fn sink_account(row: &SqliteRow, sink: String) -> Result<SinkAccount, Fault> {
    Ok(SinkAccount {
        sink,
        base: count(row.try_get("base")?),
        delivered: count(row.try_get("delivered")?),
        waiting: count(row.try_get("waiting")?),
        dead_lettered: count(row.try_get("dead_lettered")?),
        in_letters: (count(row.try_get("letters")?), count(row.try_get("letters_dropped")?)),
        filtered: count(row.try_get("filtered")?),
    })
}

fn sink_usage(row: &SqliteRow) -> Result<SinkUsage, Fault> {
    Ok(SinkUsage {
        sink: row.try_get("name")?,
        events_waiting: count(row.try_get("events")?),
        bytes_waiting: count(row.try_get("bytes")?),
        oldest_waiting: time(row.try_get("oldest")?),
    })
}
