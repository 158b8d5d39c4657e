//! What feeds and credentials have to remember besides events: small writes, of which a daemon with a thousand tenants
//! has hundreds a second. Each is on stable storage when its call returns, but all that wait at the same moment share
//! one transaction, and so one sync: whoever comes to the writer first takes everybody's along. A slow disk makes the
//! groups larger, not the queue longer.

use std::sync::{Arc, PoisonError};

use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::commit::commit_in;
use super::feeds::unregistered;
use super::writer::Tx;
use super::{Committed, Dedupe, Inner, Intake, Store};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey};
use crate::fault::Fault;
use crate::limits::NOTES_AT_ONCE;

/// One such write. Writing it twice is as good as once: whoever cannot know whether it was written writes it again.
#[derive(Debug)]
pub(super) enum Note {
    /// The first position of a feed that has none.
    First { feed: FeedKey, cursor: Cursor, complete: Time },
    /// The feed was found up to date at that position without anything to store.
    Complete { feed: FeedKey, cursor: Cursor, at: Time },
    /// A cursor moves and nothing else happens: [`is_a_move`].
    Move(Box<Intake>),
    /// The text of a feed's runner.
    State { feed: FeedKey, text: String },
    /// The text of a tenant's credential.
    Gate { tenant: String, text: String },
    /// The text of a tenant's quota.
    Quota { tenant: String, text: String },
}

/// A note whose writer waits for the answer.
pub(super) struct Waiting {
    note: Arc<Note>,
    answer: oneshot::Sender<Result<Committed, Fault>>,
}

/// A commit that stores nothing and only moves a cursor, so that repeating it changes nothing.
pub(super) fn is_a_move(intake: &Intake) -> bool {
    let Intake { span, chunks, staged, quarantined, gaps, listed, dedupe, file, closes, .. } = intake;
    let empty = chunks.is_empty() && staged.is_empty() && quarantined.is_empty() && gaps.is_empty();
    empty
        && *listed == 0
        && *dedupe == Dedupe::None
        && file.is_none()
        && closes.is_empty()
        && span.from != span.to
}

impl Store {
    /// Writes the note, together with those that wait. On stable storage when this returns.
    pub(super) async fn note(&self, note: Note) -> Result<Committed, Fault> {
        let note = Arc::new(note);
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.inner.notes().push_back(Waiting { note: note.clone(), answer });
            loop {
                tokio::select! {
                    biased; // who has been taken along needs no turn
                    done = &mut answered => match done {
                        Ok(done) => return done,
                        // whoever had taken it was dropped before telling: nobody knows whether it was written
                        Err(_) => break,
                    },
                    tx = self.begin(note.doing()) => self.lead(tx?).await,
                }
                // mine may not have been in that group, and there may be nobody behind me: another turn
            }
        }
    }

    /// Writes the next group and tells everybody in it.
    async fn lead(&self, mut tx: Tx<'_>) {
        let group = self.inner.take_notes();
        let outcome = write_all(tx.conn(), &group, self.inner.clock.now()).await;
        let outcome = tx.finish(outcome).await;
        drop(tx);
        self.tell(group, outcome).await;
    }

    /// Tells everybody of the group what came of it. When one could not be written none was, and each tries alone.
    async fn tell(&self, group: Vec<Waiting>, outcome: Result<Vec<Committed>, Fault>) {
        match outcome {
            Ok(done) => {
                for (waiting, done) in group.into_iter().zip(done) {
                    let _ = waiting.answer.send(Ok(done)); // who has gone does not want to know
                }
            }
            Err(fault) if group.len() == 1 => {
                for waiting in group {
                    let _ = waiting.answer.send(Err(fault.clone()));
                }
            }
            Err(_) => {
                for waiting in group {
                    let done = self.note_alone(&waiting.note).await;
                    let _ = waiting.answer.send(done);
                }
            }
        }
    }

    async fn note_alone(&self, note: &Note) -> Result<Committed, Fault> {
        let mut tx = self.begin(note.doing()).await?;
        let outcome = note.write(tx.conn(), self.inner.clock.now()).await;
        tx.finish(outcome).await
    }
}

impl Inner {
    fn notes(&self) -> std::sync::MutexGuard<'_, std::collections::VecDeque<Waiting>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next group, oldest first, without those whose writers have gone.
    fn take_notes(&self) -> Vec<Waiting> {
        let mut notes = self.notes();
        let some = notes.len().min(NOTES_AT_ONCE);
        notes.drain(..some).filter(|waiting| !waiting.answer.is_closed()).collect()
    }
}

async fn write_all(
    conn: &mut SqliteConnection,
    group: &[Waiting],
    now: Time,
) -> Result<Vec<Committed>, Fault> {
    let mut done = Vec::with_capacity(group.len());
    for waiting in group {
        done.push(waiting.note.write(conn, now).await?);
    }
    Ok(done)
}

impl Note {
    /// Completes "failed to …".
    fn doing(&self) -> &'static str {
        match self {
            Note::First { .. } => "write down where a feed begins",
            Note::Complete { .. } => "note that a feed is up to date",
            Note::Move(_) => "store a page",
            Note::State { .. } => "save the state of a feed",
            Note::Gate { .. } => "save the state of a credential",
            Note::Quota { .. } => "count a call",
        }
    }

    async fn write(&self, conn: &mut SqliteConnection, now: Time) -> Result<Committed, Fault> {
        let done = match self {
            Note::First { feed, cursor, complete } => {
                let sql = "UPDATE feed SET cursor = ?3, cursor_updated = ?4, complete = ?5 \
                           WHERE tenant = ?1 AND feed = ?2 AND cursor = ''";
                let update = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(&cursor.0);
                update.bind(now.0).bind(complete.0).execute(conn).await
            }
            Note::Complete { feed, cursor, at } => {
                let sql = "UPDATE feed SET complete = ?3, last_success = max(coalesce(last_success, ?3), ?3) \
                           WHERE tenant = ?1 AND feed = ?2 AND cursor = ?4";
                let update = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(at.0);
                update.bind(&cursor.0).execute(conn).await
            }
            Note::Move(intake) => {
                let (committed, _) = commit_in(conn, Intake::clone(intake), &[]).await?; // no events, so none are new
                return Ok(committed);
            }
            Note::State { feed, text } => {
                let sql = "UPDATE feed SET state = ?3, state_updated = ?4 WHERE tenant = ?1 AND feed = ?2";
                let update = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(text).bind(now.0);
                match update.execute(conn).await {
                    Ok(done) if done.rows_affected() == 0 => return Err(unregistered(feed)),
                    done => done,
                }
            }
            Note::Gate { tenant, text } => {
                let sql = "INSERT INTO tenant (name, gate, gate_updated) VALUES (?1, ?2, ?3) ON CONFLICT (name) \
                           DO UPDATE SET gate = excluded.gate, gate_updated = excluded.gate_updated";
                sqlx::query(sql).bind(tenant).bind(text).bind(now.0).execute(conn).await
            }
            Note::Quota { tenant, text } => {
                let sql = "INSERT INTO tenant (name, quota) VALUES (?1, ?2) \
                           ON CONFLICT (name) DO UPDATE SET quota = excluded.quota";
                sqlx::query(sql).bind(tenant).bind(text).execute(conn).await
            }
        };
        done.map(|_| Committed::default()).map_err(Fault::from)
    }
}
