//! The courier of one sink: read, hand over, move the position, and on a fault do what the recovery table says.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::errands::Errands;
use super::reader::{Filter, Load, Reader, add_tally};
use super::refusal::{Delivery, about_contents};
use super::room::Room;
use super::stream::{Streamed, stream};
use crate::clock::{Clock, Time};
use crate::cursor::FeedKey;
use crate::fault::{Fault, Origin};
use crate::limits::{ACK_PROBE_EVERY, ONCE_SINK_TRIES, SINK_PROBE_EVERY};
use crate::sink::{Packer, Sink, Window, ack_words};
use crate::store::{DeadLetter, Position, Store, Tally};
use crate::supervisor::backoff::Pace;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::{Ladder, Rule, Verdict};
use crate::telemetry::label::Attempt;
use crate::telemetry::metrics;
use crate::telemetry::notice::{Incident, Notice, Sink as News};
use crate::telemetry::pulse;

/// What an operator sees of a courier.
#[derive(Clone, Debug, Default)]
pub struct SinkState {
    /// The last attempt reached the sink; `None` before the first.
    pub up: Option<bool>,
    pub ack_level: Option<u8>,
    pub last_ack: Option<Time>,
    /// When the next attempt is due; `None` while all is well.
    pub next_attempt: Option<Time>,
    pub rule: Option<&'static Rule>,
    pub since: Option<Time>,
    pub why: Option<String>,
}

/// The wires between a courier and the daemon.
pub struct Wires {
    pub state: watch::Sender<SinkState>,
    /// Bumped by a reload or `resume`: ends a pause.
    pub wake: watch::Receiver<u64>,
    /// Bumped when an operator asked for something: ends no pause, for it says nothing of what the sink was held for.
    pub errands: watch::Receiver<u64>,
    /// Nothing further is started; what is in flight is confirmed.
    pub stop: CancellationToken,
    /// End when the store is exhausted (`run --once`).
    pub drain: CancellationToken,
    /// Cancelled when the recovery table wants the process to end.
    pub failed: CancellationToken,
}

/// Hands the store's events over to one sink.
pub struct Courier {
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) sink: Sink,
    reader: Reader,
    clock: Clock,
    pace: Pace,
    pub(super) wires: Wires,
    /// Loads a request sink has not decided yet, oldest first.
    under_way: VecDeque<(Load, Delivery)>,
    /// What operators asked for.
    pub(super) errands: Errands,
    failures: u32,
    /// What failed last, of what has failed since the last success.
    blamed: Option<Origin>,
    refused_in_a_row: usize,
    room: Room,
    /// Where the store knows the sink to stand.
    confirmed: Position,
    /// When the worth of an acknowledgement is looked at next.
    probe_at: Time,
}

/// The store, not the sink, failed: look again soon, without burning a core.
const LOCAL_TROUBLE: Ladder = Ladder { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// How a round ended.
pub(super) enum Round {
    Moved,
    Nothing,
}

impl Courier {
    /// A courier that goes on from `at`. It needs two packers: events that are sent once more must not disturb what
    /// the first one remembers of the others.
    pub fn new(
        (name, sink): (String, Sink),
        store: Store,
        ([packer, second], wants): ([Packer; 2], Filter),
        at: Position,
        (clock, pace): (Clock, Pace),
        wires: Wires,
    ) -> Self {
        let again = Reader::new(store.clone(), wants.clone(), second, at);
        Courier {
            errands: Errands::new(again, wires.errands.clone()),
            reader: Reader::new(store.clone(), wants, packer, at),
            name,
            store,
            sink,
            clock,
            pace,
            wires,
            under_way: VecDeque::new(),
            failures: 0,
            blamed: None,
            refused_in_a_row: 0,
            room: Room::default(),
            confirmed: at,
            probe_at: Time(i64::MIN),
        }
    }

    /// Runs until told to stop. What is in flight is confirmed and stored before it returns.
    pub async fn run(mut self) {
        // cannot be read: it is counted anew, as for a new sink
        let refused = self.store.refused_in_a_row(&self.name).await.unwrap_or_default();
        self.refused_in_a_row = usize::try_from(refused).unwrap_or(usize::MAX);
        let mut newest = self.store.newest();
        while !self.wires.stop.is_cancelled() {
            newest.mark_unchanged();
            // before the attempt, not after it: who asks while it is failing wants another one
            self.wires.wake.mark_unchanged();
            pulse::beat();
            match self.rounds().await {
                Ok(Round::Moved) => self.note_success(),
                Ok(Round::Nothing) => {
                    self.reader.rest();
                    pulse::rest();
                    tokio::select! {
                        biased;
                        () = self.wires.stop.cancelled() => break,
                        changed = newest.changed() => if changed.is_err() { break },
                        () = self.errands.asked() => {}
                        () = self.wires.drain.cancelled() => if !self.errands.hurry().await { break },
                    }
                }
                Err(fault) => {
                    self.pause(&fault).await;
                    if self.wires.drain.is_cancelled() && self.failures >= ONCE_SINK_TRIES {
                        break; // `run --once` leaves the rest in the store, and says so by its exit code
                    }
                }
            }
        }
    }

    /// One round of new events, then one of what operators asked for: what is new waits for at most one batch of it.
    async fn rounds(&mut self) -> Result<Round, Fault> {
        let new = self.round().await?;
        if self.wires.stop.is_cancelled() {
            return Ok(new);
        }
        match (new, self.errand_round().await?) {
            (Round::Nothing, Round::Nothing) => Ok(Round::Nothing),
            _ => Ok(Round::Moved),
        }
    }

    async fn round(&mut self) -> Result<Round, Fault> {
        self.probe_if_due().await?;
        if self.sink.window().confirm_every > 0 {
            self.stream_round().await
        } else {
            self.request_round().await
        }
    }

    /// At start and daily: is the sink there, and what is its acknowledgement worth (recovery row S13)?
    async fn probe_if_due(&mut self) -> Result<(), Fault> {
        let now = self.clock.now();
        if now < self.probe_at {
            return Ok(());
        }
        let level = match self.sink.probe().await {
            Ok(level) => level,
            // an answer about the contents of a batch without events says nothing about events, whose answer is heard next
            Err(fault) if about_contents(&fault) => self.sink.ack_level(),
            Err(fault) => return Err(fault),
        };
        self.probe_at = now.plus(ACK_PROBE_EVERY);
        let known = self.wires.state.borrow().ack_level;
        if known != Some(level) {
            Notice::Sink(&self.name, News::AckLevel { level, words: ack_words(level) }).emit();
        }
        self.wires.state.send_modify(|state| state.ack_level = Some(level));
        self.note_success();
        Ok(())
    }

    /// Writes events to a stream until a batch is full or the store is exhausted, then asks for the one
    /// confirmation that moves the position.
    async fn stream_round(&mut self) -> Result<Round, Fault> {
        self.reader.rewind_to(self.confirmed);
        let start = tokio::time::Instant::now();
        let streamed = stream(&self.sink, &mut self.reader, &self.wires.stop).await?;
        let Some(Streamed { accounts, events, bytes }) = streamed else { return Ok(Round::Nothing) };
        self.settle(accounts.to, &accounts.tally, &accounts.dead).await?;
        self.note_cut(accounts.cut);
        self.note_batch((events, 0, bytes), start.elapsed(), &accounts.times);
        Ok(Round::Moved)
    }

    /// Keeps up to `concurrency` requests under way; the position moves over the decided ones in order.
    async fn request_round(&mut self) -> Result<Round, Fault> {
        let start = tokio::time::Instant::now();
        let doubt = self.in_doubt();
        self.drop_scout();
        while self.has_room(doubt) && !self.wires.stop.is_cancelled() {
            pulse::beat();
            let Some(mut load) = self.gather().await? else { break };
            let batch = std::mem::take(&mut load.batch);
            self.under_way.push_back((load, Delivery::new(batch, true)));
        }
        if self.under_way.is_empty() {
            return Ok(Round::Nothing);
        }
        let mut results = self.proceed(doubt).await;
        let moved = |count, (_, delivery): &mut (Load, Delivery)| {
            count + u32::from(std::mem::take(&mut delivery.progress))
        };
        let too_large = self.under_way.iter_mut().filter_map(|(_, delivery)| delivery.too_large.take()).min();
        self.note_size(too_large);
        if self.under_way.iter_mut().fold(0, moved) > 0 {
            self.failures = self.failures.min(1); // a sink that takes some is busy, not down: no longer waits
            for ((_, delivery), result) in self.under_way.iter_mut().zip(&mut results) {
                if delivery.vouch() {
                    *result = Ok(());
                }
            }
        }
        self.book_decided(start).await?;
        match results.into_iter().find_map(Result::err) {
            Some(fault) => Err(fault),
            None => Ok(Round::Moved),
        }
    }

    /// Sends what is undecided, and says for each load what came of it. A sink that failed gets one load, until it has
    /// answered well: as many as usual would knock at a door that is likely to be shut, or trip up who is just getting up.
    /// So does one whose refusal must not be repeated (a password, say), whatever became of it since.
    async fn proceed(&mut self, doubt: bool) -> Vec<Result<(), Fault>> {
        let harmful = self.wires.state.borrow().rule.is_some_and(|rule| rule.harmful);
        let mut most = if doubt || (self.failures == 0 && !harmful) { usize::MAX } else { 1 };
        let (sink, before) = (&self.sink, self.refused_in_a_row);
        let sends = self.under_way.iter_mut().map(|(_, delivery)| {
            let sent = !delivery.decided() && most > 0;
            most -= usize::from(sent);
            async move { if sent { delivery.proceed(sink, before).await } else { Ok(()) } }
        });
        join_all(sends).await
    }

    /// While the sink refuses all that is under way, one load more shows whether it is the sink or these events.
    fn has_room(&self, doubt: bool) -> bool {
        let concurrency = self.sink.window().concurrency.max(1);
        if !doubt {
            return self.under_way.len() < concurrency;
        }
        // what others' events lie between must not keep those from being found that the sink may take
        self.under_way.iter().filter(|(_, delivery)| !delivery.batch.is_empty()).count() <= concurrency
    }

    /// The last of the loads that are refused is read anew for every attempt, with what was stored behind it meanwhile.
    fn drop_scout(&mut self) {
        if self.in_doubt() && self.under_way.len() > 1 {
            let last = self.under_way.pop_back_if(|(_, delivery)| !delivery.acknowledged);
            last.into_iter().for_each(|(load, _)| self.reader.rewind_to(load.from));
        }
    }

    /// All that is undecided was refused.
    fn in_doubt(&self) -> bool {
        let mut open = self.under_way.iter().filter(|(_, delivery)| !delivery.decided()).peekable();
        open.peek().is_some() && open.all(|(_, delivery)| delivery.in_doubt())
    }

    /// Moves the position over the requests that are decided, as far as they follow each other, in one transaction:
    /// with several requests under way that is one instead of several. While it fails they stay decided, so that
    /// nothing is sent again.
    async fn book_decided(&mut self, start: tokio::time::Instant) -> Result<(), Fault> {
        let count = self.under_way.iter().take_while(|(_, delivery)| delivery.decided()).count();
        let decided = || self.under_way.iter().take(count);
        let Some(to) = decided().next_back().map(|(load, _)| load.to) else { return Ok(()) };
        let (mut tally, mut dead) = (Vec::new(), Vec::new());
        for (load, delivery) in decided() {
            add_tally(&mut tally, load.tally(&delivery.dead));
            dead.extend(load.letters(&self.store, &delivery.dead).await?);
        }
        self.settle(to, &tally, &dead).await?;
        let decided: Vec<_> = self.under_way.drain(..count).collect();
        let at_once = decided.len();
        for (load, delivery) in decided {
            self.note_cut(load.cut);
            let dead = delivery.dead.len();
            self.refused_in_a_row = if delivery.acknowledged { 0 } else { self.refused_in_a_row + dead };
            let size = (delivery.batch.len() - dead, dead, delivery.batch.bytes.len());
            self.note_batch(size, start.elapsed(), &load.times());
            self.reader.reuse(delivery.batch, at_once);
        }
        Ok(())
    }

    /// The batches the sink wants, of a size that it takes.
    pub(super) fn window(&mut self) -> Window {
        self.room.fit(self.sink.window(), self.clock.now())
    }

    /// So many bytes were too large for the sink.
    pub(super) fn note_size(&mut self, too_large: Option<usize>) {
        if let Some(bytes) = too_large {
            self.room.refused(bytes, self.clock.now());
        }
    }

    /// One load for a request; waits up to the sink's `wait` for a batch worth sending.
    async fn gather(&mut self) -> Result<Option<Load>, Fault> {
        let window = self.window();
        let start = self.reader.at();
        let mut newest = self.store.newest();
        newest.mark_unchanged();
        let load = self.reader.next(window.max_events, window.max_bytes).await?;
        let Some(load) = load else { return Ok(None) };
        let draining = self.wires.drain.is_cancelled();
        if !load.last
            || draining
            || load.batch.is_empty()
            || !self.under_way.is_empty()
            || window.wait.is_zero()
        {
            return Ok(Some(load));
        }
        tokio::select! {
            () = self.wires.stop.cancelled() => {}
            () = self.wires.drain.cancelled() => {}
            () = tokio::time::sleep(window.wait) => {}
            _ = newest.changed() => {}
        }
        self.reader.rewind_to(start);
        self.reader.next(window.max_events, window.max_bytes).await
    }

    /// Moves the stored position over acknowledged events, with their accounts, in one transaction.
    async fn settle(
        &mut self,
        to: Position,
        tally: &[(FeedKey, Tally)],
        dead: &[DeadLetter],
    ) -> Result<(), Fault> {
        self.store.advance(&self.name, self.confirmed, to, tally, dead).await?;
        self.confirmed = to;
        self.note_dead(dead);
        let lost: u64 = tally.iter().map(|(_, tally)| tally.lost).sum();
        if lost > 0 {
            Notice::Sink(&self.name, News::Lost { events: lost }).emit();
        }
        Ok(())
    }

    fn note_cut(&self, events: u64) {
        if events > 0 {
            Notice::Sink(&self.name, News::Truncated { events }).emit();
        }
    }

    pub(super) fn note_dead(&self, dead: &[DeadLetter]) {
        if let Some(first) = dead.first() {
            let news = News::DeadLettered { events: dead.len() as u64, first: first.id, words: &first.words };
            Notice::Sink(&self.name, news).emit();
        }
    }

    /// `events` were acknowledged, `refused` are dead letters now.
    pub(super) fn note_batch(
        &self,
        (events, refused, bytes): (usize, usize, usize),
        took: Duration,
        times: &[Time],
    ) {
        if events + refused == 0 {
            return;
        }
        let news = News::BatchConfirmed {
            events: events as u64,
            refused: refused as u64,
            bytes: bytes as u64,
            took,
        };
        Notice::Sink(&self.name, news).emit();
        if events == 0 {
            return;
        }
        let now = self.clock.now();
        metrics::delivery_lag(&self.name, now, times.iter().map(|time| time.0));
        let level = self.sink.ack_level();
        self.wires.state.send_modify(|state| (state.last_ack, state.ack_level) = (Some(now), Some(level)));
    }

    fn note_success(&mut self) {
        if self.failures > 0 {
            let since = self.wires.state.borrow().since.unwrap_or_else(|| self.clock.now());
            let down_for = self.clock.now().since(since);
            Notice::Sink(&self.name, News::Up { down_for, waiting: 0 }).emit();
        }
        (self.failures, self.blamed) = (0, None);
        self.wires.state.send_if_modified(|state| {
            let news = state.up != Some(true);
            if news {
                (state.up, state.next_attempt, state.rule, state.since, state.why) =
                    (Some(true), None, None, None, None);
            }
            news
        });
    }

    /// What the recovery table says about the `nth` fault in a row, and how long to wait for that reason.
    pub(super) fn wait_after(&self, fault: &Fault, nth: u32) -> (&'static Rule, Duration) {
        let (rule, moment) = (judge(fault), self.clock.moment());
        let nth = u8::try_from(nth).unwrap_or(u8::MAX);
        let wait = match rule.verdict {
            Verdict::Backoff { wait, .. } | Verdict::PauseFor(wait) | Verdict::Insist { wait, .. } => {
                self.pace.after_failure(fault, wait, nth, moment)
            }
            Verdict::Halt { probe } => probe.unwrap_or(SINK_PROBE_EVERY),
            // each event refused one by one: the sink is wrong, treat it as halted (recovery row S05)
            Verdict::Bisect { .. } | Verdict::DeadLetter => SINK_PROBE_EVERY,
            _ => self.pace.after(LOCAL_TROUBLE, nth, moment),
        };
        (rule, wait)
    }

    /// Does what the recovery table says about a fault: waits, until the time is up or the daemon wakes it.
    async fn pause(&mut self, fault: &Fault) {
        self.failures += 1;
        let moment = self.clock.moment();
        let (rule, wait) = self.wait_after(fault, self.failures);
        let usage = self.store.usage().await.ok();
        let mine = usage.iter().flat_map(|usage| &usage.sinks).find(|sink| sink.sink == self.name);
        // a sink that is down and then a store that cannot be written to are two incidents
        let other = self.blamed.replace(fault.origin) != Some(fault.origin);
        self.say_down((fault, other), rule, wait, mine.map_or(0, |sink| sink.events_waiting));
        if let Verdict::Exit(_) = rule.verdict {
            self.wires.failed.cancel();
        }
        let draining = self.wires.drain.is_cancelled();
        let wait = if draining { wait.min(Duration::from_secs(1)) } else { wait };
        self.wires.state.send_modify(|state| {
            state.since = state.since.or(Some(moment.now));
            (state.up, state.rule) = (Some(false), Some(rule));
            (state.next_attempt, state.why) = (Some(moment.now.plus(wait)), Some(fault.to_string()));
        });
        pulse::promise(wait);
        let untried = about_contents(fault) && self.in_doubt() && self.has_room(true);
        let (mut newest, tried) = (self.store.newest(), self.reader.at().seq);
        tokio::select! {
            () = self.wires.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            // what the sink makes of the next events tells whether it or those before are at fault
            Ok(_) = newest.wait_for(|newest| *newest > tried), if untried => {}
            () = self.wires.drain.cancelled(), if !draining => {}
            _ = self.wires.wake.changed() => {}
        }
    }

    fn say_down(&self, (fault, other): (&Fault, bool), rule: &'static Rule, wait: Duration, waiting: u64) {
        let incident = Incident::of(fault, rule, Some(wait));
        let attempt = attempt_of(fault);
        let news = match rule.verdict {
            Verdict::Halt { .. } | Verdict::Bisect { .. } | Verdict::DeadLetter => {
                News::Halted { incident, attempt, waiting, clears: rule.clears.as_str() }
            }
            _ if other => News::Down { incident, attempt, waiting },
            _ => News::StillDown { incident, attempt, waiting },
        };
        Notice::Sink(&self.name, news).emit();
    }
}

/// A sink that says no is another trouble than one that cannot be asked.
pub(super) fn attempt_of(fault: &Fault) -> Attempt {
    if fault.status().is_some() { Attempt::Refused } else { Attempt::Failed }
}
