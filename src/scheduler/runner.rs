//! The runner of one feed: performs the step [`decide`] asked for, reports the outcome, asks again. What steps
//! do is in `steps.rs`; here is the loop, the waiting, and what the world is told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::decide::{By, Outcome, State, Step, Why, decide};
use super::hosts::{HostName, Leave};
use super::live::FeedView;
use super::places::Places;
use super::steps::{Hand, Reach};
use crate::clock::{Clock, Time};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{
    BATCH_QUOTA_WINDOW, LOOK_AT_GATE_EVERY, MIN_POLL_INTERVAL, ONCE_LONGEST_WAIT, ONCE_POLL_FLOOR, SIDE_WAIT,
    WINDOW_SWEEP_EVERY,
};
use crate::mimecast::feed::{Endpoint, Feed};
use crate::store::{Begun, Store};
use crate::supervisor::backoff::Pace;
use crate::supervisor::rule::{Rule, Verdict};
use crate::telemetry::label::FeedState;
use crate::telemetry::notice::{Feed as News, Incident, Notice, Skip};
use crate::telemetry::pulse;

/// How a runner ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Told to.
    Stopped,
    /// `run --once`: nothing more to collect.
    CaughtUp,
    /// `run --once`: halted, or not going on within a reasonable time.
    HeldBack,
    /// The recovery table wants the process to end, with this exit code.
    Exit(u8),
}

/// The wires between a runner and the daemon.
pub struct RunnerWires {
    /// What others see of the feed, and the bell.
    pub view: Arc<FeedView>,
    pub stop: CancellationToken,
    /// Where files are read, over all feeds.
    pub places: Arc<Places>,
    /// End when caught up.
    pub once: bool,
    /// Tells the tenant's configuration from others.
    pub config: u64,
}

/// Collects one feed of one tenant.
pub struct Runner {
    hand: Hand,
    account: Arc<Account>,
    store: Store,
    clock: Clock,
    pace: Pace,
    wires: RunnerWires,
    state: State,
    /// The stored state tells of trouble, so that the end of trouble has to be stored too.
    trouble_stored: bool,
    /// The store knows that this process has begun to ask, so that one that is restarted again and again does not.
    begin_stored: bool,
    halted_since: Option<Time>,
    /// The host whose being back ends the present wait.
    awaited: Option<HostName>,
}

/// What a wait ended with.
enum Waited {
    Outcome(Outcome),
    Ended(Ended),
}

impl Runner {
    /// Takes up where the feed stood: its cursor, and what held it back. `begun` is what the store has of it.
    pub fn new(
        feed: &'static Feed,
        (overlap, lookback, endpoint): (Duration, Duration, Endpoint),
        account: Arc<Account>,
        (store, (row, kept)): (Store, Begun),
        (clock, pace): (Clock, Pace),
        wires: RunnerWires,
    ) -> Runner {
        let restored = |saved: crate::store::Saved| {
            Some(State::restore(&saved.text)?.set_back(saved.ahead_of(clock.now())))
        };
        let state = kept.and_then(restored).unwrap_or_default();
        // whoever changes the configuration is a person, and wants to see what comes of it
        let floor = match pace.loopback || state.is_under_another(wires.config) {
            true => Duration::ZERO,
            false if wires.once => ONCE_POLL_FLOOR,
            false => MIN_POLL_INTERVAL,
        };
        let state = state.under(wires.config);
        let state = if wires.once { state.due_now() } else { state };
        let state = state.not_again_within(floor, clock.now());
        if state.just_asked() {
            wires.view.live().why = Some(Skip::JustAsked.as_str().to_owned());
        }
        wires.view.live().last_success = row.last_success;
        let mut hand = Hand::new(
            row.key,
            feed,
            Reach { overlap, lookback, endpoint, sweep_every: pace.scaled(WINDOW_SWEEP_EVERY) },
            account.clone(),
            (store.clone(), clock.clone()),
            wires.places.clone(),
        );
        hand.stop = wires.stop.clone();
        Runner {
            hand,
            account,
            store,
            clock,
            begin_stored: pace.loopback,
            pace,
            wires,
            trouble_stored: state.failures() > 0 || state.next().is_some(),
            state,
            halted_since: None,
            awaited: None,
        }
    }

    /// Runs until told to stop, or (`--once`) until there is nothing more to do. In a box, because a future that
    /// takes a value keeps room for it twice, and a daemon has thousands of waiting runners.
    pub async fn run(mut self: Box<Self>) -> Ended {
        let mut outcome = Outcome::Ready;
        loop {
            let (step, rule) = self.next_step(outcome);
            // told to stop: what is written down already, waits and halts with it, is what the next start has to know
            if step != Step::Stop || rule.is_some() {
                Box::pin(self.keep(step, rule)).await; // kilobytes of a transaction, needed only in trouble
            }
            outcome = match step {
                Step::Stop => return self.stopped(rule),
                Step::Wait { .. } | Step::Hold { .. } | Step::AwaitGate => match self.wait(step).await {
                    Waited::Outcome(outcome) => outcome,
                    Waited::Ended(ended) => return ended,
                },
                step => self.perform(step).await,
            };
        }
    }

    /// What is to be done after `outcome`, and the row of the recovery table behind it; the world is told.
    fn next_step(&mut self, outcome: Outcome) -> (Step, Option<&'static Rule>) {
        let fault = if let Outcome::Fault(fault) = &outcome { Some(fault.clone()) } else { None };
        let shut = if let Outcome::Shut { by, .. } = outcome { Some(by) } else { None };
        let decision = decide(self.state.clone(), outcome, self.clock.moment(), &self.pace);
        self.state = decision.state;
        self.tell(decision.step, decision.rule, fault.as_ref(), shut);
        (decision.step, decision.rule)
    }

    /// One step of work. What is in flight when the daemon stops is finished: its result is worth storing.
    async fn perform(&mut self, step: Step) -> Outcome {
        if self.wires.stop.is_cancelled() {
            return Outcome::Stopping;
        }
        pulse::beat();
        self.awaited = None;
        let _ = self.wires.view.wake.notified().now_or_never(); // this step is the look that was wished so far
        let leave = match self.hand.host_of(step).map(|host| (self.account.hosts().leave(&host), host)) {
            Some((Err(until), host)) => {
                self.awaited = Some(host);
                return Outcome::Shut { until: Some(until), by: By::Host };
            }
            Some((Ok(leave), _)) => Some(leave),
            None => None,
        };
        self.hand.leave.clone_from(&leave);
        let page_size = self.state.page_size(self.hand.page_size());
        // boxed, so that the ten kilobytes an exchange needs are there while there is one: a runner mostly waits
        let done = Box::pin(Self::work(&mut self.hand, step, page_size)).await;
        if let Some(leave) = leave {
            self.report(&leave, &done);
        }
        done.unwrap_or_else(|fault| {
            self.hand.put_aside(&fault, self.pace.scaled(SIDE_WAIT));
            self.hand.fell_back();
            Outcome::Fault(fault)
        })
    }

    async fn work(hand: &mut Hand, step: Step, page_size: u32) -> Result<Outcome, Fault> {
        match step {
            Step::Ask => hand.ask(page_size).await,
            Step::Aside => hand.aside(page_size).await,
            Step::Take { file } => hand.take(file).await,
            Step::Turn => hand.turn().await,
            // the gate has forgotten the refused token: the next request logs in
            Step::Refresh => Ok(Outcome::Refreshed),
            Step::GiveUp { file } => hand.give_up(file).await,
            Step::Rewind => hand.rewind().await,
            Step::Wait { .. } | Step::Hold { .. } | Step::AwaitGate | Step::Stop => Ok(Outcome::Ready),
        }
    }

    /// Tells what came of a step about the host it was sent to.
    fn report(&mut self, leave: &Leave, done: &Result<Outcome, Fault>) {
        let hosts = self.account.hosts();
        let waits = match done {
            // a wait that the other side named is its own, whatever becomes of the host
            Err(fault) => {
                hosts.fault(leave, self.hand.key(), fault, &self.pace) && fault.retry_after.is_none()
            }
            Ok(Outcome::Shut { .. } | Outcome::Nothing | Outcome::Stopping) => {
                hosts.not_sent(leave);
                matches!(done, Ok(Outcome::Shut { by: By::Gate | By::Host, .. }))
            }
            Ok(_) => {
                hosts.answered(leave);
                false
            }
        };
        self.awaited = Some(&leave.host).filter(|host| waits && hosts.held(host).is_some()).cloned();
    }

    /// Completes when the host that is waited for is back. Not everybody at once, then.
    async fn host_back(&self) {
        let Some(host) = &self.awaited else { return std::future::pending().await };
        // in a box: few wait for a host, and everybody has room for it
        Box::pin(async {
            self.account.hosts().back(host).await;
            tokio::time::sleep(self.clock.moment().between(Duration::ZERO, self.pace.spread)).await;
        })
        .await;
    }

    /// Once: the waits that follow are not the host's.
    fn host_is_back(&mut self) -> Outcome {
        self.awaited = None;
        Outcome::Ready
    }

    fn stopped(&self, rule: Option<&'static Rule>) -> Ended {
        match rule.map(|rule| rule.verdict) {
            Some(Verdict::Exit(code)) => Ended::Exit(code),
            _ => Ended::Stopped,
        }
    }

    // --- waiting ------------------------------------------------------------------------------------------

    async fn wait(&mut self, step: Step) -> Waited {
        if self.wires.once
            && let Some(ended) = self.once_ends(step)
        {
            return Waited::Ended(ended);
        }
        Waited::Outcome(match step {
            Step::Wait { until, why } => {
                if let Why::Poll | Why::Spread = why {
                    self.hand.new_cycle(); // every other wait goes on with the page in hand
                }
                self.until(until).await
            }
            // in boxes: a runner mostly waits for its next poll, and these two take twice the room
            Step::Hold { probe } => Box::pin(self.held(probe)).await,
            _ => Box::pin(self.at_the_gate()).await,
        })
    }

    async fn until(&mut self, until: Time) -> Outcome {
        let wait = until.since(self.clock.now());
        pulse::promise(wait);
        tokio::select! {
            biased;
            () = self.wires.stop.cancelled() => Outcome::Stopping,
            () = tokio::time::sleep(wait) => Outcome::Ready,
            () = self.host_back() => self.host_is_back(),
        }
    }

    async fn held(&mut self, probe: Option<Time>) -> Outcome {
        self.hand.new_cycle();
        match probe {
            Some(at) => pulse::promise(at.since(self.clock.now())),
            None => pulse::rest(),
        }
        let probing = async {
            match probe {
                Some(at) => tokio::time::sleep(at.since(self.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.wires.stop.cancelled() => Outcome::Stopping,
            () = probing => Outcome::Ready,
            () = self.host_back() => match (self.host_is_back(), probe) {
                (ready, Some(_)) => ready,
                (_, None) => Outcome::Woken, // by itself it would not look again
            },
            () = self.wires.view.wake.notified() => Outcome::Woken,
        }
    }

    /// Until the gate changes, its time comes, or it is time to look whether the secret has changed.
    async fn at_the_gate(&mut self) -> Outcome {
        let now = self.clock.now();
        let look = self.pace.scaled(LOOK_AT_GATE_EVERY);
        let wait = self.state.next().map_or(look, |until| until.since(now).min(look));
        pulse::promise(wait);
        let mut changes = self.account.changes();
        changes.mark_unchanged();
        tokio::select! {
            biased;
            () = self.wires.stop.cancelled() => Outcome::Stopping,
            () = tokio::time::sleep(wait) => Outcome::Ready,
            () = self.host_back() => self.host_is_back(),
            _ = changes.changed() => Outcome::Ready,
            () = self.wires.view.wake.notified() => Outcome::Ready,
        }
    }

    /// Whether `run --once` has nothing more to wait for.
    fn once_ends(&self, step: Step) -> Option<Ended> {
        let now = self.clock.now();
        let soon = |until: Option<Time>| until.is_some_and(|until| until.since(now) <= ONCE_LONGEST_WAIT);
        match step {
            Step::Wait { why: Why::Poll, .. } if self.state.name() == FeedState::CaughtUp.as_str() => {
                Some(Ended::CaughtUp)
            }
            Step::Wait { why: Why::Poll, .. } => Some(Ended::HeldBack),
            Step::Wait { why: Why::Spread, .. } => None,
            // our own share of a quota, which is sure to come back; what Mimecast asks for is its fault's wait
            Step::Wait { until, why: Why::Throttled } if self.state.failures() == 0 => {
                (until.since(now) > BATCH_QUOTA_WINDOW).then_some(Ended::HeldBack)
            }
            // room comes from sinks, and they are not waited for before the feeds have ended
            Step::Wait { why: Why::Paused, .. } => Some(Ended::HeldBack),
            Step::Wait { until, why: Why::Backoff | Why::Throttled } => {
                (!soon(Some(until))).then_some(Ended::HeldBack)
            }
            Step::Hold { .. } => Some(Ended::HeldBack),
            Step::AwaitGate => (!soon(self.state.next())).then_some(Ended::HeldBack),
            _ => None,
        }
    }

    // --- telling ------------------------------------------------------------------------------------------

    /// Keeps counts and halts over a restart; a feed without trouble costs one write, when it first asks.
    async fn keep(&mut self, step: Step, rule: Option<&'static Rule>) {
        let trouble = rule.is_some() || self.state.failures() > 0;
        let begins = step == Step::Ask && !self.begin_stored;
        if !trouble && !self.trouble_stored && !begins {
            return;
        }
        // a store that cannot take it says so at the next commit, where it matters
        if self.store.save_feed_state(self.hand.key(), &self.state.to_text()).await.is_ok() {
            self.trouble_stored = trouble;
            self.begin_stored |= begins;
        }
    }

    fn tell(&mut self, step: Step, rule: Option<&'static Rule>, fault: Option<&Fault>, shut: Option<By>) {
        let now = self.clock.now();
        let next = self.state.next();
        let wait = next.map(|until| until.since(now));
        // what is wrong with pages that are right one by one
        let between = rule.map(|rule| Fault::new(Origin::Api, Kind::NoProgress, rule.meaning));
        if let (Some(fault), Some(rule)) = (fault.or(between.as_ref()), rule)
            && !rule.is_for_gate(fault.origin)
        {
            match (rule.verdict, wait) {
                // the store tells it, once for all feeds and not at each look
                (Verdict::PauseIntake { .. }, Some(wait)) if fault.sent_id.is_none() => {
                    Notice::Feed(self.hand.key(), News::PollSkipped { why: Skip::StoreFull, wait }).emit();
                }
                _ => self.tell_fault(step, Incident::of(fault, rule, wait), rule, now),
            }
        }
        let skip = shut.map(|by| match by {
            By::Gate => Skip::CredentialClosed,
            By::Quota => Skip::Quota,
            By::Host => Skip::HostAway,
        });
        if let (Some(why), Some(wait)) = (skip, wait) {
            Notice::Feed(self.hand.key(), News::PollSkipped { why, wait }).emit();
        }
        let name = self.state.name();
        if name == FeedState::CaughtUp.as_str()
            && let Some(since) = self.halted_since.take()
        {
            let news = News::Resumed { halted_for: now.since(since), why: "it answers again" };
            Notice::Feed(self.hand.key(), news).emit();
        }
        let held = |host: &HostName| Some((host.clone(), self.account.hosts().held(host)?));
        let away = self.awaited.as_ref().and_then(held);
        let last_success = self.hand.last_success();
        let mut live = self.wires.view.live();
        let progressed = last_success > live.last_success;
        live.state =
            FeedState::ALL.iter().copied().find(|s| s.as_str() == name).unwrap_or(FeedState::Collecting);
        live.next_attempt = next;
        live.host = away.as_ref().map(|(host, _)| host.clone());
        live.last_success = last_success.or(live.last_success);
        live.caught_up = live.state == FeedState::CaughtUp;
        // what closed the credential is told once, with the credential
        if let Some(rule) = rule.filter(|_| step != Step::AwaitGate) {
            live.since = live.since.filter(|_| live.rule.is_some_and(|old| old.id == rule.id)).or(Some(now));
            live.rule = Some(rule);
            live.why = fault.map(ToString::to_string).or_else(|| Some(rule.meaning.to_owned()));
        } else if let Some((_, held)) = away.as_ref().filter(|_| skip == Some(Skip::HostAway)) {
            live.rule = Some(held.rule);
            live.since = Some(held.since);
            live.why = Some(held.words.to_string());
        } else if let Some(skip) = skip.or((step == Step::AwaitGate).then_some(Skip::CredentialClosed)) {
            live.why = Some(skip.as_str().to_owned());
        } else if live.caught_up || progressed {
            (live.rule, live.why, live.since) = (None, None, None);
        }
    }

    fn tell_fault(&mut self, step: Step, incident: Incident<'_>, rule: &'static Rule, now: Time) {
        let news = match step {
            Step::Hold { .. } => {
                self.halted_since = self.halted_since.or(Some(now));
                News::Halted { incident, clears: rule.clears.as_str() }
            }
            Step::Wait { why: Why::Throttled, .. } => News::Throttled(incident),
            _ => News::FaultMet(incident),
        };
        Notice::Feed(self.hand.key(), news).emit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand waiting runners are to fit into 12 MB (docs/performance.md, "Many tenants"): they took 35 when the
    /// future held the runner twice and room for a transaction besides, and 18 with room for a page and for every kind of
    /// wait.
    #[test]
    fn a_waiting_runner_is_small() {
        fn future<F>(_: impl FnOnce(Box<Runner>) -> F) -> usize {
            size_of::<F>()
        }
        let (runner, future) = (size_of::<Runner>(), future(Runner::run));
        assert!(runner + future <= 1100, "a runner of {runner} bytes in a future of {future}");
    }
}
