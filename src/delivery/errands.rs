//! What operators ask of a sink beside its new events: dead letters that it is to get once more, and replays. Both
//! are written in the store, so that they survive a restart; both go out between batches of new events, whose order
//! they leave alone, and move neither the sink's position nor, but for letters that it takes now, its account. What the
//! sink does not take of it is held back by the same waits as anything else, and new events go on meanwhile.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::courier::{Courier, Round, attempt_of};
use super::reader::{Load, Reader};
use super::refusal::Delivery;
use super::stream::{Streamed, stream};
use crate::cursor::FeedKey;
use crate::fault::{Fault, Origin};
use crate::limits::{LETTERS_ALONE, LETTERS_AT_ONCE, ONCE_SINK_TRIES};
use crate::sink::Batch;
use crate::store::{DeadLetter, Position, Replay, Tally, Walked};
use crate::supervisor::policy::judge;
use crate::telemetry::notice::{Incident, Notice, Sink as News};
use crate::telemetry::pulse;

/// What is asked of one sink.
pub struct Errands {
    /// Reads events that are sent once more.
    reader: Reader,
    wake: watch::Receiver<u64>,
    /// The store may hold something to do.
    due: bool,
    /// The sink did not take it: not before then.
    held: Option<Instant>,
    /// How often in a row.
    failures: u32,
    /// What became of letters, until it is booked: numbers of those taken, and of those refused with the sink's words.
    decided: (Vec<i64>, Vec<(i64, String)>),
    /// A load of this replay that a request sink has not decided yet.
    replayed: Option<(i64, Load, Delivery)>,
}

impl Errands {
    /// `wake` tells that somebody asked for something; what was asked before a start is looked for anyway.
    pub fn new(reader: Reader, wake: watch::Receiver<u64>) -> Self {
        Errands {
            reader,
            wake,
            due: true,
            held: None,
            failures: 0,
            decided: (Vec::new(), Vec::new()),
            replayed: None,
        }
    }

    /// Completes when somebody may have asked for something, or what was held back is due again. Never when the daemon
    /// has let go of the wire and nothing is held back.
    pub async fn asked(&mut self) {
        let held = self.held;
        let over = async {
            match held {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.wake.changed() => self.due = true,
            () = over => {}
        }
        self.held = None;
    }

    /// For `run --once`: what is held back is tried some times more, soon; false when that is over.
    pub async fn hurry(&mut self) -> bool {
        let Some(until) = self.held.filter(|_| self.failures < ONCE_SINK_TRIES) else { return false };
        sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
        self.held = None;
        true
    }

    fn due(&mut self) -> bool {
        if self.wake.has_changed().unwrap_or(false) {
            (self.due, self.held) = (true, None);
        }
        self.wake.mark_unchanged();
        self.due && self.held.is_none_or(|until| until <= Instant::now())
    }
}

impl Courier {
    /// A batch of what operators asked for, if they did.
    pub(super) async fn errand_round(&mut self) -> Result<Round, Fault> {
        if !self.errands.due() {
            return Ok(Round::Nothing);
        }
        let more = match self.letters_round().await {
            Ok(false) => self.replay_round().await,
            other => other,
        };
        match more {
            Ok(more) => {
                (self.errands.due, self.errands.held, self.errands.failures) = (more, None, 0);
                Ok(if more { Round::Moved } else { Round::Nothing })
            }
            // new events find out for themselves whether the sink is down
            Err(fault) if fault.origin == Origin::Sink => {
                self.errands.failures += 1;
                let (rule, wait) = self.wait_after(&fault, self.errands.failures);
                self.errands.held = Some(Instant::now() + wait);
                let (incident, first) = (Incident::of(&fault, rule, Some(wait)), self.errands.failures == 1);
                Notice::Sink(&self.name, News::AgainWaits { incident, attempt: attempt_of(&fault), first })
                    .emit();
                Ok(Round::Nothing)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Sends dead letters that are wanted; false when there are none. They are read anew for every attempt, because
    /// an operator may have given some up meanwhile.
    async fn letters_round(&mut self) -> Result<bool, Fault> {
        self.book_letters().await?;
        let (window, alone) = (self.window(), self.sink.judges_as_a_whole());
        let events = if alone { LETTERS_ALONE } else { LETTERS_AT_ONCE };
        let events = events.min(u32::try_from(window.max_events).unwrap_or(u32::MAX));
        let letters = self.store.wanted_dead_letters(&self.name, events, window.max_bytes as u64).await?;
        if letters.is_empty() {
            return Ok(false);
        }
        let start = Instant::now();
        let (batch, ids, too_long) = self.errands.encode(&letters, window.max_bytes);
        // each was refused before: that proves nothing against the sink
        let mut delivery =
            if alone { Delivery::each_alone(batch, false) } else { Delivery::new(batch, false) };
        let sent = if ids.is_empty() { Ok(()) } else { delivery.proceed(&self.sink, 0).await };
        self.note_size(delivery.too_large);
        let (taken, mut refused) = parted(&ids, &delivery);
        let size = (taken.len(), refused.len(), delivery.batch.bytes.len());
        refused.extend(too_long);
        self.errands.decided = (taken, refused);
        self.book_letters().await?;
        if sent.is_ok() && !ids.is_empty() {
            let words = format!("dead letters; {} were refused once more", size.1);
            let news = News::Replaying { events: size.0 as u64, words: &words };
            Notice::Sink(&self.name, news).emit();
        }
        self.note_batch(size, start.elapsed(), &[]);
        sent.map(|()| true)
    }

    /// Until this succeeds nothing else is sent, so that nothing is sent again because the store was in trouble.
    async fn book_letters(&mut self) -> Result<(), Fault> {
        let (taken, refused) = &self.errands.decided;
        if !taken.is_empty() || !refused.is_empty() {
            self.store.settle_dead_letters(&self.name, taken, refused).await?;
            (self.errands.decided, self.errands.failures) = ((Vec::new(), Vec::new()), 0);
        }
        Ok(())
    }

    /// Sends the next events of a replay, or ends it; false when there is none.
    async fn replay_round(&mut self) -> Result<bool, Fault> {
        let Some(replay) = self.store.next_replay(&self.name).await? else {
            self.errands.replayed = None; // of one that was cancelled
            return Ok(false);
        };
        pulse::beat();
        let moved = match self.sink.window().confirm_every {
            0 => self.replay_requests(&replay).await?,
            _ => self.replay_stream(&replay).await?,
        };
        if !moved && !self.wires.stop.is_cancelled() && self.store.end_replay(replay.id, "").await? {
            let gone = match replay.gone() {
                0 => String::new(),
                gone => format!("; {gone} were deleted before it came to them, or could not be read back"),
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
                let window = self.window();
                let load = self.errands.reader.next(window.max_events, window.max_bytes).await?;
                let Some(mut load) = load else { return Ok(false) };
                let batch = std::mem::take(&mut load.batch);
                (load, Delivery::new(batch, true))
            }
        };
        let sent = delivery.proceed(&self.sink, 0).await;
        self.note_size(delivery.too_large.take());
        let done = match sent {
            Ok(()) => match load.letters(&self.store, &delivery.dead).await {
                Ok(letters) => {
                    self.move_replay(replay, load.to, (&load.tally(&delivery.dead), &letters)).await
                }
                Err(fault) => Err(fault),
            },
            // as it is now, the sink takes none of them: they would be in the way of new events for good
            Err(fault) if delivery.all_refused => return self.give_up(replay, &fault).await.map(|()| true),
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            self.errands.replayed = Some((replay.id, load, delivery));
        }
        done.map(|()| true)
    }

    async fn give_up(&self, replay: &Replay, fault: &Fault) -> Result<(), Fault> {
        if self.store.end_replay(replay.id, &format!("the sink refuses its events: {fault}")).await? {
            let incident = Incident::of(fault, judge(fault), None);
            let news = News::ReplayRefused { replay: replay.id, incident, attempt: attempt_of(fault) };
            Notice::Sink(&self.name, news).emit();
        }
        Ok(())
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
}

impl Errands {
    /// A batch of about so many bytes, the numbers of its letters, and those that are too long, with why.
    fn encode(
        &mut self,
        letters: &[(i64, DeadLetter)],
        max_bytes: usize,
    ) -> (Batch, Vec<i64>, Vec<(i64, String)>) {
        let (mut batch, mut ids, mut too_long) = (Batch::default(), Vec::new(), Vec::new());
        for (id, letter) in letters {
            if batch.bytes.len() >= max_bytes {
                break;
            }
            match self.reader.encode(&letter.event(), &mut batch) {
                Ok(_) => ids.push(*id),
                Err(words) => too_long.push((*id, words)),
            }
        }
        (batch, ids, too_long)
    }
}

/// Numbers of letters that were taken, and those that were refused with the sink's words.
fn parted(ids: &[i64], delivery: &Delivery) -> (Vec<i64>, Vec<(i64, String)>) {
    let (taken, refused) = delivery.so_far();
    let refused = refused.filter_map(|(place, words)| Some((*ids.get(*place)?, words.clone())));
    (taken.into_iter().filter_map(|place| ids.get(place).copied()).collect(), refused.collect())
}
