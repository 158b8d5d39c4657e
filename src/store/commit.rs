//! Storing: bodies ahead of time, and the one transaction that makes them count.

use std::sync::Arc;

use sqlx::SqliteConnection;

use super::intake::{Facts, check, check_chunk, check_keys, facts};
use super::notes::{Note, is_a_move};
use super::read::StoredChunk;
use super::sql::{int, local};
use super::{Committed, Intake, Lane, StagedChunk, Store, dedupe, files, positions};
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::EventId;
use crate::fault::{Fault, Kind};
use crate::limits::MAX_QUARANTINE_BYTES;

/// A chunk this commit made visible; `chunk` is absent when only its handle was at hand.
pub(super) struct Fresh {
    seq: i64,
    bytes: i64,
    chunk: Option<Chunk>,
}

impl Store {
    /// Writes a chunk's bytes ahead of the commit that will make it visible, so that a file of any size needs
    /// the memory of one chunk. On return the bytes are on stable storage. Left-overs go with [`Store::unstage`]
    /// or when the store is opened next.
    pub async fn stage(&self, feed: &FeedKey, chunk: Chunk) -> Result<StagedChunk, Fault> {
        check_chunk(&chunk)?;
        self.refuse_while_full("store a part of a file")?;
        let (facts, idx) = facts(&chunk);
        let now = self.inner.clock.now();
        let mut tx = self.begin("store a part of a file").await?;
        let outcome = async {
            let body = insert_body(tx.conn(), idx, chunk.gzip.into()).await?;
            let sql = "INSERT INTO staged (body, feed, staged_at) SELECT ?1, id, ?4 FROM feed WHERE tenant = ?2 AND feed = ?3";
            let done = sqlx::query(sql).bind(body).bind(&feed.tenant).bind(feed.feed).bind(now.0);
            match done.execute(tx.conn()).await?.rows_affected() {
                1 => Ok(StagedChunk { body, facts }),
                _ => Err(unknown(feed)),
            }
        }
        .await;
        tx.finish(outcome).await
    }

    /// Deletes what a feed has staged and not committed; returns how many chunks. Handles to them are void.
    pub async fn unstage(&self, feed: &FeedKey) -> Result<u64, Fault> {
        let mut tx = self.begin("delete parts of an abandoned file").await?;
        let outcome = unstage_in(tx.conn(), feed).await;
        tx.finish(outcome).await
    }

    /// Stores a page: events become visible, quarantine, gaps and counters are written, and the cursor moves,
    /// all or nothing, on stable storage when this returns.
    ///
    /// # Errors
    /// `Conflict`: the feed's cursor stands neither at `span.from` nor at `span.to`. `DiskFull`, `DiskIo`,
    /// `Corrupt`, `Busy`: nothing was written (after `DiskIo`: perhaps).
    pub async fn commit(&self, intake: Intake) -> Result<Committed, Fault> {
        self.commit_keyed(intake, &[]).await
    }

    /// The same for records that may come again in other bytes: `keys` has, for each record of each chunk, what is
    /// equal when they say the same. Repeats are told by it instead of by the bytes. Without keys as
    /// [`Store::commit`].
    ///
    /// # Errors
    /// As [`Store::commit`]; `Conflict` as well when there are keys, but not one for each record.
    pub async fn commit_keyed(&self, intake: Intake, keys: &[Vec<EventId>]) -> Result<Committed, Fault> {
        check(&intake)?;
        check_keys(&intake, keys)?;
        self.refuse_while_full("store a page")?;
        if is_a_move(&intake) {
            return self.note(Note::Move(Box::new(intake))).await;
        }
        let (feed, collected) = (intake.feed.clone(), intake.collected);
        let mut tx = self.begin("store a page").await?;
        let outcome = commit_in(tx.conn(), intake, keys).await;
        let (committed, fresh) = tx.finish(outcome).await?;
        self.publish(&feed, collected, fresh); // the transaction's lock is still held: in order
        drop(tx);
        Ok(committed)
    }

    /// The room that the ballast gave back is for sinks to drain and for deleting. Feeds that are in the middle
    /// of a page when the disk fills up must not take it.
    pub(super) fn refuse_while_full(&self, doing: &str) -> Result<(), Fault> {
        match self.inner.live().disk_full {
            None => Ok(()),
            Some(needed) => {
                let why = format!(
                    "the disk was full, and {needed} bytes have to be free before collection goes on"
                );
                Err(local(Kind::DiskFull, format!("failed to {doing}: {why}")))
            }
        }
    }

    pub(super) fn publish(&self, feed: &FeedKey, collected: Time, fresh: Vec<Fresh>) {
        let Some(newest) = fresh.last().map(|last| last.seq) else { return };
        let mut live = self.inner.live();
        let mut before = *self.inner.newest.borrow();
        let leader = live.leader();
        for Fresh { seq, bytes, chunk } in fresh {
            if leader.is_some() {
                live.undelivered = live.undelivered.saturating_add(bytes.unsigned_abs());
            }
            if let Some(chunk) = chunk {
                let stored = Arc::new(StoredChunk { seq, key: feed.clone(), collected, chunk, damage: None });
                live.recent.add(before, stored, leader);
            }
            before = seq;
        }
        drop(live);
        self.inner.announce(newest);
    }
}

fn unknown(feed: &FeedKey) -> Fault {
    local(Kind::Conflict, format!("{feed} is not registered in the store"))
}

pub(super) async fn commit_in(
    conn: &mut SqliteConnection,
    mut intake: Intake,
    keys: &[Vec<EventId>],
) -> Result<(Committed, Vec<Fresh>), Fault> {
    let key = &intake.feed;
    let sql =
        "SELECT id, CASE WHEN ?3 THEN side ELSE cursor END, turn FROM feed WHERE tenant = ?1 AND feed = ?2";
    let side = intake.lane == Lane::Side;
    let found = sqlx::query_as(sql).bind(&key.tenant).bind(key.feed).bind(side).fetch_optional(&mut *conn);
    let (feed, cursor, turn): (i64, String, i64) = found.await?.ok_or_else(|| unknown(key))?;
    if done_before(&intake.span, cursor, key)? {
        for staged in &intake.staged {
            delete_staged(conn, staged.body).await?; // the page was read twice: these are its second copies
        }
        return Ok((Committed { already: true, ..Committed::default() }, Vec::new()));
    }
    let (dedupe, collected) = (dedupe::in_turn(intake.dedupe, turn), intake.collected);
    let reached = intake.chunks.last().filter(|_| !side).and_then(Chunk::middle);
    let by = (&dedupe, collected);
    let known = dedupe::drop_kept(conn, feed, &intake.feed, by, &mut intake.quarantined).await?;
    let (quarantined, duplicate) = (intake.quarantined.len() as u64, known.len() as u64);
    let mut committed = Committed { quarantined, duplicate, known, ..Committed::default() };
    insert_findings(conn, feed, &intake).await?;
    let staged = std::mem::take(&mut intake.staged);
    let chunks = std::mem::take(&mut intake.chunks);
    let mut fresh = Vec::with_capacity(staged.len() + chunks.len());
    for staged in staged {
        if let Some(seq) = reveal(conn, feed, collected, &staged).await? {
            fresh.push(Fresh { seq, bytes: staged.facts.bytes, chunk: None });
            committed.stored += staged.events();
        }
    }
    for (n, mut chunk) in chunks.into_iter().enumerate() {
        let known_by = (&dedupe, keys.get(n).map(Vec::as_slice));
        committed.duplicate +=
            dedupe::drop_repeats(conn, feed, &intake.feed, known_by, collected, &mut chunk).await?;
        if !chunk.records.is_empty() {
            committed.stored += chunk.records.len() as u64;
            fresh.push(insert_visible(conn, feed, collected, chunk).await?);
        }
    }
    move_on(conn, feed, &intake, &committed, reached).await?;
    Ok((committed, fresh))
}

/// The feed's row after everything else: its position, its half of the books, and what else the page settles.
async fn move_on(
    conn: &mut SqliteConnection,
    feed: i64,
    intake: &Intake,
    committed: &Committed,
    reached: Option<i64>,
) -> Result<(), Fault> {
    let gap: u64 = intake.gaps.iter().map(|gap| gap.records).sum();
    let at = intake.collected.0;
    let sql = "UPDATE feed SET cursor_updated = CASE WHEN ?12 OR cursor = ?2 THEN cursor_updated ELSE ?3 END, \
               cursor = CASE WHEN ?12 THEN cursor ELSE ?2 END, side = CASE WHEN ?12 THEN ?2 ELSE side END, \
               last_success = ?3, last_event = nullif(max(coalesce(last_event, ?11), coalesce(?4, ?11)), ?11), \
               listed = listed + ?5, stored = stored + ?6, duplicate = duplicate + ?7, \
               quarantined = quarantined + ?8, gap = gap + ?9, horizon = coalesce(?10, horizon), \
               complete = coalesce(?13, complete), reached = coalesce(?14, reached) WHERE id = ?1";
    let update = sqlx::query(sql).bind(feed).bind(&intake.span.to.0).bind(at);
    let update = update.bind(intake.newest.map(|t| t.0));
    let update =
        update.bind(int(intake.listed.saturating_sub(committed.duplicate))).bind(int(committed.stored));
    let update = update.bind(int(committed.duplicate)).bind(int(committed.quarantined)).bind(int(gap));
    let update = update.bind(dedupe::horizon(&intake.dedupe)).bind(i64::MIN);
    let update = update.bind(intake.lane == Lane::Side).bind(intake.complete.map(|t| t.0)).bind(reached);
    update.execute(&mut *conn).await?;
    if let Some(file) = intake.file {
        files::remember(conn, feed, file, at).await?;
    }
    for gap in &intake.closes {
        let sql = "UPDATE gap SET closed = ?2 WHERE id = ?1 AND closed IS NULL";
        sqlx::query(sql).bind(gap).bind(at).execute(&mut *conn).await?;
    }
    Ok(())
}

/// True at `span.to`, false at `span.from`, a conflict elsewhere.
fn done_before(span: &Span, cursor: String, key: &FeedKey) -> Result<bool, Fault> {
    let cursor = Cursor(cursor);
    if cursor == span.from {
        return Ok(false);
    }
    if cursor == span.to {
        return Ok(true);
    }
    let text =
        "another reader moved the cursor: the store stands neither where this page begins nor where it ends";
    Err(local(Kind::Conflict, format!("{key}: {text}")))
}

async fn insert_findings(conn: &mut SqliteConnection, feed: i64, intake: &Intake) -> Result<(), Fault> {
    let at = intake.collected.0;
    for item in &intake.quarantined {
        let kept = item.bytes.get(..MAX_QUARANTINE_BYTES).unwrap_or(&item.bytes);
        let sql = "INSERT INTO quarantine (feed, found, source, reason, detail, bytes, sha256, length) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let insert =
            sqlx::query(sql).bind(feed).bind(at).bind(&item.source).bind(&item.reason).bind(&item.detail);
        let insert = insert.bind(kept).bind(item.sha256.as_slice()).bind(int(item.len));
        insert.execute(&mut *conn).await?;
    }
    for gap in &intake.gaps {
        positions::insert_gap(conn, feed, gap, at).await?;
    }
    Ok(())
}

async fn insert_body(conn: &mut SqliteConnection, idx: Vec<u8>, gzip: Vec<u8>) -> Result<i64, Fault> {
    let insert = sqlx::query("INSERT INTO body (idx, gzip) VALUES (?1, ?2)").bind(idx).bind(gzip);
    Ok(insert.execute(conn).await?.last_insert_rowid())
}

async fn insert_chunk(
    conn: &mut SqliteConnection,
    feed: i64,
    collected: Time,
    body: i64,
    facts: &Facts,
) -> Result<i64, Fault> {
    let sql = "INSERT INTO chunk (feed, body, events, bytes, raw_len, collected, oldest, newest, json, kinds, source) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let insert =
        sqlx::query(sql).bind(feed).bind(body).bind(facts.events).bind(facts.bytes).bind(facts.raw_len);
    let insert = insert.bind(collected.0).bind(facts.oldest).bind(facts.newest).bind(facts.json);
    Ok(insert.bind(&facts.kinds).bind(&facts.source).execute(conn).await?.last_insert_rowid())
}

/// Writes a chunk where couriers see it.
pub(super) async fn insert_visible(
    conn: &mut SqliteConnection,
    feed: i64,
    collected: Time,
    mut chunk: Chunk,
) -> Result<Fresh, Fault> {
    let (facts, idx) = facts(&chunk);
    let gzip = std::mem::take(&mut chunk.gzip).into(); // no copy when nobody else holds the bytes
    let body = insert_body(conn, idx, gzip).await?;
    let seq = insert_chunk(conn, feed, collected, body, &facts).await?;
    Ok(Fresh { seq, bytes: facts.bytes, chunk: Some(chunk) })
}

/// Makes a staged body count; `None` when it holds no event, in which case it is deleted.
async fn reveal(
    conn: &mut SqliteConnection,
    feed: i64,
    collected: Time,
    staged: &StagedChunk,
) -> Result<Option<i64>, Fault> {
    if staged.facts.events == 0 {
        delete_staged(conn, staged.body).await?;
        return Ok(None);
    }
    let sql = "DELETE FROM staged WHERE body = ?1 AND feed = ?2";
    if sqlx::query(sql).bind(staged.body).bind(feed).execute(&mut *conn).await?.rows_affected() != 1 {
        return Err(local(
            Kind::Conflict,
            "a staged part of the file is gone; the file has to be read again",
        ));
    }
    insert_chunk(conn, feed, collected, staged.body, &staged.facts).await.map(Some)
}

async fn delete_staged(conn: &mut SqliteConnection, body: i64) -> Result<(), Fault> {
    // A body that was revealed before is in no row of `staged` and stays.
    if sqlx::query("DELETE FROM staged WHERE body = ?1").bind(body).execute(&mut *conn).await?.rows_affected()
        > 0
    {
        sqlx::query("DELETE FROM body WHERE id = ?1").bind(body).execute(conn).await?;
    }
    Ok(())
}

pub(super) async fn unstage_in(conn: &mut SqliteConnection, feed: &FeedKey) -> Result<u64, Fault> {
    let sql = "SELECT body FROM staged WHERE feed = (SELECT id FROM feed WHERE tenant = ?1 AND feed = ?2)";
    let bodies: Vec<i64> =
        sqlx::query_scalar(sql).bind(&feed.tenant).bind(feed.feed).fetch_all(&mut *conn).await?;
    for body in &bodies {
        delete_staged(conn, *body).await?;
    }
    Ok(bodies.len() as u64)
}
