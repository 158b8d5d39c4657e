//! The loop: a queue of events in virtual time, the runners of all feeds around the real `decide`, deaths and
//! restarts of the process, and a person who looks after it now and then. Nothing here reads a clock or waits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::account::Account;
use super::audit::Audit;
use super::courier::Courier;
use super::hand::{Ghost, Hand};
use super::mimecast::Mimecast;
use super::plan::Plan;
use super::planted::Planted;
use super::store::Store;
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::MIN_POLL_INTERVAL;
use crate::mimecast::feed::Feed;
use crate::mimecast::quota::Quota;
use crate::scheduler::decide::{Outcome, State, Step, Why, decide};
use crate::scheduler::server_clock::ServerClock;
use crate::supervisor::backoff::{Overrides, Pace};
use crate::supervisor::gate::Gate;
use crate::supervisor::rule::Rule;
use crate::supervisor::spread::Spread;

/// Decisions without time passing: more is a busy loop.
const MOST_AT_ONCE: u32 = 2_000;
const LOOK_AT_GATE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Wake {
        feed: usize,
        serial: u64,
    },
    Arrives {
        feed: usize,
    },
    Deliver {
        sink: usize,
    },
    Dies,
    /// A process that was taken for dead finishes what it had begun.
    Haunts,
    Starts,
    Person,
    Happens {
        log: usize,
    },
    SecretChanges,
    SecretFollows,
    /// Our clock is wrong by so many milliseconds from now on.
    ClockSet(i64),
    /// Another configuration.
    Reload,
    Calm,
}

/// Everything there is.
pub struct World {
    pub plan: Plan,
    pub dice: fastrand::Rng,
    pub now: Time,
    /// How far our clock is ahead, milliseconds.
    pub skew: i64,
    /// Feeds that the configuration does not name.
    pub off: Vec<bool>,
    /// Tells one configuration from another.
    pub(super) config: u64,
    queue: BinaryHeap<Reverse<(Time, u64, u64, Event)>>,
    number: u64,
    /// Which life of the process this is.
    life: u64,
    /// What the last one had in hand, if it comes back.
    pub(super) ghost: Option<Ghost>,
    pub dead: bool,
    pub server: Mimecast,
    pub store: Store,
    pub account: Account,
    pub feeds: Vec<Hand>,
    pub sinks: Vec<Courier>,
    pub audit: Audit,
    pub pace: Pace,
    planted: Option<Planted>,
    pub polls: u64,
    /// The story, when somebody wants to read it.
    pub story: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, planted: Option<Planted>, telling: bool) -> World {
        let (plan, dice) = Plan::of(seed);
        let account = Account {
            gate: Gate::new("secret 0"),
            token: None,
            quota: Quota::new(&plan.feeds, true),
            spread: Spread::default(),
            server_clock: ServerClock::default(),
            skew: 0,
            secret: 0,
        };
        World {
            dice,
            now: plan.start,
            skew: 0,
            off: vec![false; plan.feeds.len()],
            config: 0,
            queue: BinaryHeap::new(),
            number: 0,
            life: 0,
            ghost: None,
            dead: false,
            server: Mimecast::new(&plan.feeds),
            store: Store::new(plan.feeds.len(), plan.sinks, plan.room),
            account,
            feeds: plan.feeds.iter().map(|feed| Hand::new(feed)).collect(),
            sinks: (0..plan.sinks).map(|_| Courier::default()).collect(),
            audit: Audit::of(plan.feeds.len()),
            pace: Pace::new(plan.interval, false, Overrides::default()),
            planted,
            polls: 0,
            story: telling.then(Vec::new),
            plan,
        }
    }

    pub(super) fn is(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }
    pub(super) fn planted(&self) -> Option<Planted> {
        self.planted
    }
    pub(super) fn moment(&mut self) -> Moment {
        Moment { now: self.clock(), dice: self.dice.u64(..) }
    }
    pub(super) fn feeds_of_plan(&self) -> Vec<&'static Feed> {
        self.plan.feeds.clone()
    }
    pub(super) fn tell(&mut self, words: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{}  {}", now.rfc3339(), words()));
        }
    }
    pub(super) fn at(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((at.max(self.now), self.number, self.life, event)));
    }
    pub(super) fn within(&mut self, seconds: u64, event: Event) {
        let millis = self.dice.u64(1..=seconds.max(1) * 1_000);
        self.at(self.now.plus(Duration::from_millis(millis)), event);
    }
    /// Around that time from now, as chance has it.
    fn around(&mut self, seconds: u64, event: Event) {
        self.within(seconds * 2, event);
    }

    // --- the story ----------------------------------------------------------------------------------------

    /// Tells the story to its end; what was broken first, if anything was.
    pub fn run(&mut self) -> Option<String> {
        for log in 0..self.feeds.len() {
            self.around(self.plan.happens_every, Event::Happens { log });
        }
        self.around(self.plan.person_every, Event::Person);
        if let Some((changes, follows)) = self.plan.secret {
            self.at(changes, Event::SecretChanges);
            self.at(follows, Event::SecretFollows);
        }
        for (at, skew) in self.plan.clock.clone() {
            self.at(at, Event::ClockSet(skew));
        }
        if let Some(every) = self.plan.reloads_every {
            self.around(every, Event::Reload);
        }
        self.at(self.plan.calm, Event::Calm);
        self.start();
        while let Some(Reverse((at, _, life, event))) = self.queue.pop() {
            if at > self.plan.end || self.audit.broken.is_some() {
                break;
            }
            self.now = at;
            let of_a_life = matches!(
                event,
                Event::Wake { .. } | Event::Arrives { .. } | Event::Deliver { .. } | Event::Dies
            );
            if !of_a_life || (life == self.life && !self.dead) {
                self.happen(event);
            }
        }
        if self.audit.broken.is_none() {
            self.now = self.plan.end;
            self.audit_end();
        }
        self.audit.broken.clone()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { feed, serial } if serial == self.feeds[feed].serial => {
                self.advance(feed, Outcome::Ready);
            }
            Event::Wake { .. } => {}
            Event::Arrives { feed } => {
                if let Some(flight) = self.feeds[feed].flight.take() {
                    let outcome = self.arrive(feed, flight);
                    self.advance(feed, outcome);
                }
            }
            Event::Deliver { sink } => self.deliver(sink),
            Event::Dies if self.now < self.plan.calm => self.die("the process dies"),
            Event::Dies => {}
            Event::Haunts => self.haunt(),
            Event::Starts => self.start(),
            Event::Person => {
                self.a_person_looks();
                self.around(self.plan.person_every, Event::Person);
            }
            Event::Happens { log } => {
                if self.now < self.plan.end.minus(Duration::from_secs(100_000)) {
                    self.server.happen(log, self.now, &mut self.dice);
                    self.around(self.plan.happens_every, Event::Happens { log });
                }
            }
            Event::SecretChanges => {
                self.tell(|| "Mimecast's password changes".into());
                self.server.secret = 1;
            }
            Event::SecretFollows => {
                self.tell(|| "the password here follows".into());
                self.account.secret = 1;
                self.audit.a_person_acted();
            }
            Event::ClockSet(skew) => self.set_clock(skew),
            Event::Reload if self.now < self.plan.calm => {
                self.reload();
                self.plan.reloads_every.into_iter().for_each(|every| self.around(every, Event::Reload));
            }
            Event::Reload => {}
            // the person comes when somebody is there to listen
            Event::Calm if self.dead => self.within(90, Event::Calm),
            Event::Calm => {
                self.tell(|| "all faults end".into());
                self.account.secret = self.server.secret;
                if self.off.contains(&true) {
                    self.finish_what_is_under_way();
                    self.off.fill(false);
                    self.begin_again();
                }
                self.a_person_looks();
            }
        }
    }

    /// `resume` for the tenant and for every feed that is held.
    fn a_person_looks(&mut self) {
        if self.dead {
            return;
        }
        self.tell(|| "a person says `resume`".into());
        self.audit.a_person_acted();
        self.account.gate.resume();
        self.store.gate = Some((self.account.gate.clone(), self.clock()));
        for feed in 0..self.feeds.len() {
            match self.feeds[feed].step {
                Step::Hold { .. } => self.advance(feed, Outcome::Woken),
                Step::AwaitGate => self.advance(feed, Outcome::Ready),
                _ => {}
            }
        }
    }

    pub(super) fn die(&mut self, how: &'static str) {
        self.tell(|| how.to_owned());
        self.dead = true;
        self.life += 1;
        self.ghost = self.feeds.iter_mut().find_map(Hand::leave);
        if self.ghost.is_some() && self.dice.u8(0..3) == 0 {
            self.within(600, Event::Haunts);
        }
        self.within(90, Event::Starts);
    }

    pub(super) fn start(&mut self) {
        self.tell(|| "the process starts".into());
        self.dead = false;
        self.life += 1;
        self.audit.restarted(self.now);
        self.open_account();
        if let Some(every) = self.plan.dies_every {
            self.around(every, Event::Dies);
        }
        for sink in 0..self.sinks.len() {
            self.open_courier(sink);
        }
        for feed in 0..self.feeds.len() {
            let kept = self.store.rows[feed].state.clone().filter(|_| !self.is(Planted::StateForgotten));
            let now = self.clock();
            let state = kept.and_then(|(state, at)| {
                let ahead =
                    if self.is(Planted::AheadTakenAtItsWord) { Duration::ZERO } else { at.since(now) };
                Some(State::restore(&state.to_text())?.set_back(ahead))
            });
            let state = state.unwrap_or_default().under(self.config);
            let serial = self.feeds[feed].serial + 1;
            let mut hand = Hand::new(self.plan.feeds[feed]);
            (hand.state, hand.serial, hand.trouble_stored) = (state, serial, true);
            self.feeds[feed] = hand;
            if self.off[feed] && !self.is(Planted::RemovedFeedGoesOn) {
                continue;
            }
            self.advance(feed, Outcome::Ready);
            if self.dead {
                return;
            }
        }
    }

    // --- one runner ---------------------------------------------------------------------------------------

    /// Lets `decide` answer, and does what it says until something takes time.
    pub(super) fn advance(&mut self, feed: usize, outcome: Outcome) {
        let mut next = Some(outcome);
        for _ in 0..MOST_AT_ONCE {
            let Some(outcome) = next.take() else { return };
            if self.dead || self.audit.broken.is_some() {
                return;
            }
            self.decide(feed, outcome);
            next = match self.feeds[feed].step {
                Step::Wait { until, why } => self.wait(feed, until, why),
                Step::Hold { probe } => self.hold(feed, probe),
                Step::AwaitGate => {
                    let look = self.now.plus(LOOK_AT_GATE);
                    let until =
                        self.feeds[feed].state.next().map_or(look, |until| self.slept(until).min(look));
                    self.wake(feed, until.max(self.now.plus(Duration::from_millis(1))))
                }
                Step::Stop => {
                    self.die("the process ends as the table says");
                    None
                }
                step => self.perform(feed, step),
            };
        }
        let step = self.feeds[feed].step;
        self.breach(format!("{MOST_AT_ONCE} decisions at once, the last: {step:?}"));
    }

    pub(super) fn decide(&mut self, feed: usize, outcome: Outcome) {
        let by_hand = matches!(outcome, Outcome::Woken);
        // a halt has its own pace, which is the shortest interval there may be
        let held = matches!(self.feeds[feed].step, Step::Hold { .. });
        let least = if held { MIN_POLL_INTERVAL } else { self.plan.interval };
        let moment = self.moment();
        let state = std::mem::take(&mut self.feeds[feed].state);
        let before = state.cycle;
        let decision = decide(state, outcome, moment, &self.pace);
        let began = decision.state.cycle != before;
        let hand = &mut self.feeds[feed];
        (hand.state, hand.step) = (decision.state, decision.step);
        if self.planted == Some(Planted::QuickTriesNotCounted) {
            hand.state.quick = 0;
        }
        if self.planted == Some(Planted::RelistsNotCounted) {
            hand.state.relisted = 0;
        }
        if began {
            self.polls += 1;
            let early = hand.cycle.is_some_and(|last| self.now < last.plus(least));
            hand.cycle = Some(self.now);
            self.audit.cycle(feed);
            if early && !by_hand {
                let name = self.feeds[feed].feed.name;
                self.breach(format!("{name}: a cycle began before the polling interval was over"));
            }
        }
        self.keep(feed, decision.rule);
    }

    /// As the runner does: counts and halts outlive the process, a feed without trouble costs no write.
    fn keep(&mut self, feed: usize, rule: Option<&'static Rule>) {
        let hand = &self.feeds[feed];
        let trouble = rule.is_some() || hand.state.failures() > 0;
        if !trouble && !hand.trouble_stored {
            return;
        }
        if self.writable().is_ok() {
            let now = self.clock();
            let hand = &mut self.feeds[feed];
            hand.trouble_stored = trouble;
            self.store.rows[feed].state = Some((hand.state.clone(), now));
        }
    }

    fn wake(&mut self, feed: usize, at: Time) -> Option<Outcome> {
        self.audit_wait(feed, at.since(self.now));
        self.feeds[feed].serial += 1;
        let serial = self.feeds[feed].serial;
        self.at(at, Event::Wake { feed, serial });
        None
    }

    fn wait(&mut self, feed: usize, until: Time, why: Why) -> Option<Outcome> {
        if matches!(why, Why::Poll | Why::Spread) {
            self.feeds[feed].new_cycle();
        } else {
            let name = self.feeds[feed].feed.name;
            self.tell(|| format!("{name}: waits until {} ({why:?})", until.rfc3339()));
        }
        let hasty = self.is(Planted::WaitsEndAtOnce) && why == Why::Backoff;
        let until = if hasty { self.now.plus(Duration::from_secs(1)) } else { self.slept(until) };
        if hasty {
            self.feeds[feed].state.cycle = None;
        }
        self.wake(feed, until)
    }

    fn hold(&mut self, feed: usize, probe: Option<Time>) -> Option<Outcome> {
        self.feeds[feed].new_cycle();
        let name = self.feeds[feed].feed.name;
        self.tell(|| format!("{name}: is held, probe {:?}", probe.map(Time::rfc3339)));
        if self.is(Planted::HaltsEndAtOnce) {
            self.feeds[feed].state = State::default();
            return self.wake(feed, self.now.plus(Duration::from_secs(600)));
        }
        match probe {
            Some(at) => self.wake(feed, self.slept(at)),
            None => {
                self.feeds[feed].serial += 1;
                None
            }
        }
    }

    fn perform(&mut self, feed: usize, step: Step) -> Option<Outcome> {
        let done = match step {
            Step::Ask => self.ask(feed),
            Step::Aside => Ok(Some(Outcome::Nothing)),
            Step::Take { file } => {
                self.fetch(feed, file);
                Ok(None)
            }
            Step::Turn => self.turn(feed).map(Some),
            Step::Refresh => Ok(Some(Outcome::Refreshed)),
            Step::GiveUp { file } => self.give_up(feed, file).map(Some),
            Step::Rewind => self.rewind(feed).map(Some),
            Step::Wait { .. } | Step::Hold { .. } | Step::AwaitGate | Step::Stop => Ok(Some(Outcome::Ready)),
        };
        done.unwrap_or_else(|fault| Some(Outcome::Fault(fault)))
    }

    // --- chance -------------------------------------------------------------------------------------------

    /// What strikes a request of that kind right now.
    pub(super) fn weather(&mut self, on: Origin, feed: usize) -> Option<super::weather::Answer> {
        let (now, dice) = (self.now, &mut self.dice);
        let struck = self.plan.episodes.iter().find(|episode| episode.strikes(on, feed, now, dice));
        struck.map(|episode| episode.answer.clone())
    }

    /// What the disk does right now.
    pub(super) fn local_trouble(&mut self) -> Option<Kind> {
        let answer = self.weather(Origin::Local, usize::MAX)?;
        match answer {
            super::weather::Answer::Broken(
                kind @ (Kind::DiskFull | Kind::DiskIo | Kind::Busy | Kind::Corrupt),
            ) => Some(kind),
            _ => Some(Kind::Busy),
        }
    }
}

/// A fault of this machine.
pub fn local(kind: Kind) -> Fault {
    Fault::new(Origin::Local, kind, "same words")
}
