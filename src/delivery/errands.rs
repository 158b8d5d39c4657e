//! What operators ask of a sink beside its new events: dead letters that it is to get once more, and replays. Both
//! are written in the store, so that they survive a restart; both go out between batches of new events, whose order
//! they leave alone, and move neither the sink's position nor, but for letters that it takes now, its account.

use tokio::sync::watch;

use super::courier::{Courier, Round, Streamed, confirm, stream};
use super::reader::{Load, Reader};
use super::refusal::{Delivery, Refused};
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::LETTERS_AT_ONCE;
use crate::sink::{Batch, Sent};
use crate::store::{DeadLetter, Position, Replay, Tally, Walked};
use crate::telemetry::notice::{Notice, Sink as News};
use crate::telemetry::pulse;

/// What is asked of one sink.
pub struct Errands {
    /// Reads events that are sent once more.
    reader: Reader,
    wake: watch::Receiver<u64>,
    /// The store may hold something to do.
    due: bool,
    /// Letters that a request sink has not decided yet, with their numbers.
    letters: Option<(Vec<i64>, Delivery)>,
    /// A load of this replay that a request sink has not decided yet.
    replayed: Option<(i64, Load, Delivery)>,
}

impl Errands {
    /// `wake` tells that somebody asked for something; what was asked before a start is looked for anyway.
    pub fn new(reader: Reader, wake: watch::Receiver<u64>) -> Self {
        Errands { reader, wake, due: true, letters: None, replayed: None }
    }

    /// Completes when somebody may have asked for something. Never when the daemon has let go of the wire.
    pub async fn asked(&mut self) {
        if self.wake.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.due = true;
    }

    fn due(&mut self) -> bool {
        self.due |= self.wake.has_changed().unwrap_or(false);
        self.wake.mark_unchanged();
        self.due
    }
}

impl Courier {
    /// A batch of what operators asked for, if they did.
    pub(super) async fn errand_round(&mut self) -> Result<Round, Fault> {
        if !self.errands.due() {
            return Ok(Round::Nothing);
        }
        if self.letters_round().await? || self.replay_round().await? {
            return Ok(Round::Moved);
        }
        self.errands.due = false;
        Ok(Round::Nothing)
    }

    /// Sends dead letters that are wanted; false when there are none.
    async fn letters_round(&mut self) -> Result<bool, Fault> {
        let (ids, mut delivery) = match self.errands.letters.take() {
            Some(kept) => kept,
            None => {
                let window = self.sink.window();
                let events = LETTERS_AT_ONCE.min(u32::try_from(window.max_events).unwrap_or(u32::MAX));
                let letters =
                    self.store.wanted_dead_letters(&self.name, events, window.max_bytes as u64).await?;
                if letters.is_empty() {
                    return Ok(false);
                }
                let (batch, ids, too_long) = self.errands.encode(&letters);
                if !too_long.is_empty() {
                    self.store.settle_dead_letters(&self.name, &[], &too_long).await?;
                }
                if ids.is_empty() {
                    return Ok(true);
                }
                (ids, Delivery::new(batch, false)) // each was refused before: that proves nothing against the sink
            }
        };
        let start = tokio::time::Instant::now();
        if let Err(fault) = self.hand_over(&mut delivery).await {
            self.errands.letters = Some((ids, delivery));
            return Err(fault);
        }
        let (taken, refused) = parted(&ids, &delivery.dead);
        let size = (taken.len(), delivery.batch.bytes.len());
        if let Err(fault) = self.store.settle_dead_letters(&self.name, &taken, &refused).await {
            self.errands.letters = Some((ids, delivery)); // decided, not yet booked: nothing is sent again
            return Err(fault);
        }
        let words = format!("dead letters; {} were refused once more", refused.len());
        let news = News::Replaying { events: taken.len() as u64, words: &words };
        Notice::Sink(&self.name, news).emit();
        self.note_batch(size, start.elapsed(), &[]);
        Ok(true)
    }

    /// Sends the next events of a replay, or ends it; false when there is none.
    async fn replay_round(&mut self) -> Result<bool, Fault> {
        let Some(replay) = self.store.next_replay(&self.name).await? else { return Ok(false) };
        pulse::beat();
        let moved = match self.sink.window().confirm_every {
            0 => self.replay_requests(&replay).await?,
            _ => self.replay_stream(&replay).await?,
        };
        if !moved && !self.wires.stop.is_cancelled() && self.store.end_replay(replay.id, "").await? {
            let gone = match replay.gone() {
                0 => String::new(),
                gone => format!("; {gone} were deleted before it came to them"),
            };
            let words = format!("replay {} is finished, {} were refused{gone}", replay.id, replay.refused);
            Notice::Sink(&self.name, News::Replaying { events: replay.sent, words: &words }).emit();
        }
        Ok(true)
    }

    async fn replay_stream(&mut self, replay: &Replay) -> Result<bool, Fault> {
        self.errands.reader.follow(replay);
        let streamed = stream(&self.sink, &mut self.errands.reader, &self.wires.stop).await?;
        let Some(Streamed { accounts, .. }) = streamed else { return Ok(false) };
        self.move_replay(replay, accounts.to, (&accounts.tally, &accounts.dead)).await?;
        Ok(true)
    }

    async fn replay_requests(&mut self, replay: &Replay) -> Result<bool, Fault> {
        let kept = self.errands.replayed.take().filter(|(id, ..)| *id == replay.id);
        let (load, mut delivery) = match kept {
            Some((_, load, delivery)) => (load, delivery),
            None => {
                self.errands.reader.follow(replay);
                let window = self.sink.window();
                let load = self.errands.reader.next(window.max_events, window.max_bytes).await?;
                let Some(mut load) = load else { return Ok(false) };
                let batch = std::mem::take(&mut load.batch);
                (load, Delivery::new(batch, true))
            }
        };
        let done = match self.hand_over(&mut delivery).await {
            Ok(()) => {
                let letters = load.letters(&delivery.dead);
                self.move_replay(replay, load.to, (&load.tally(&delivery.dead), &letters)).await
            }
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            self.errands.replayed = Some((replay.id, load, delivery));
        }
        done.map(|()| true)
    }

    async fn move_replay(
        &self,
        replay: &Replay,
        to: Position,
        (tally, letters): (&[(FeedKey, Tally)], &[DeadLetter]),
    ) -> Result<(), Fault> {
        let sum = |of: fn(&Tally) -> u64| tally.iter().map(|(_, tally)| of(tally)).sum::<u64>();
        let sent = sum(|tally| tally.delivered);
        let looked_at = sent + sum(|tally| tally.filtered + tally.dead_lettered);
        self.store.advance_replay(replay, to, Walked { looked_at, sent }, letters).await?;
        self.note_dead(letters);
        Ok(())
    }

    /// Sends a batch until each of its events has been taken or refused.
    async fn hand_over(&mut self, delivery: &mut Delivery) -> Result<(), Fault> {
        if self.sink.window().confirm_every == 0 {
            return delivery.proceed(&self.sink, 0).await;
        }
        if delivery.decided() {
            return Ok(());
        }
        if let Sent::Written = self.sink.send(&delivery.batch).await? {
            confirm(&self.sink, delivery.batch.len()).await?;
        }
        delivery.decide();
        Ok(())
    }
}

impl Errands {
    /// A batch, the numbers of its letters, and those that are too long, with why.
    fn encode(&mut self, letters: &[(i64, DeadLetter)]) -> (Batch, Vec<i64>, Vec<(i64, String)>) {
        let (mut batch, mut ids, mut too_long) = (Batch::default(), Vec::new(), Vec::new());
        for (id, letter) in letters {
            match self.reader.encode(&letter.event(), &mut batch) {
                Ok(_) => ids.push(*id),
                Err(words) => too_long.push((*id, words)),
            }
        }
        (batch, ids, too_long)
    }
}

/// Numbers of letters that were taken, and those that were refused with the sink's words.
fn parted(ids: &[i64], dead: &[Refused]) -> (Vec<i64>, Vec<(i64, String)>) {
    let refused: Vec<(i64, String)> =
        dead.iter().filter_map(|(place, words)| Some((*ids.get(*place)?, words.clone()))).collect();
    let taken = ids.iter().copied().filter(|id| !refused.iter().any(|(known, _)| known == id)).collect();
    (taken, refused)
}
