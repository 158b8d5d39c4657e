//! The exhaustive model of [`decide`]: a small Mimecast and a small store, every fault at every request, answers
//! lost after the commit, crashes before and after every step. All reachable states are visited, shortest story
//! first; a story that breaks an invariant is printed step by step.
//!
//! Three shapes of feed are explored: listings of files, pages of records stored together with the cursor, and
//! answers that are files, which are stored in parts before their cursor moves and may have to be given up.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use super::decide::{By, Leads, Outcome, State, Step, Why, decide};
use super::decide_faults::{api_faults, download_faults, fault, local_faults};
use super::state::{Rest, Trouble};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind, Origin};
use crate::supervisor::backoff::{Overrides, Pace};

const PAGES: u8 = 3;
const FILES: u8 = 2;
const INTERVAL: i64 = 300_000;
/// Faults, lost answers and crashes in one story. Retry counts in the table end at three.
const ADVERSITY: u8 = 3;
/// Requests in one cycle: every page with its files, once more after a rewind, and what the table allows to be
/// tried again within a cycle.
const MOST_REQUESTS: u16 = 2 * (PAGES * (FILES + 2)) as u16 + 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Files,
    Records,
    Answers,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    shape: Shape,
    now: Time,
    // the store
    cursor: u8,
    done: [bool; FILES as usize],
    /// Stored, or given up with a gap record; per page and file.
    stored: [[u8; FILES as usize]; PAGES as usize],
    /// The feed went back once, so that repeats are expected and removed by id.
    repeats: bool,
    // the runner
    state: State,
    step: Step,
    listing: Vec<u8>,
    listed_at: u8,
    // side work: pages of records, or one listing of one file, still to be read
    side: u8,
    side_file: bool,
    // the story so far
    requests: u16,
    last_cycle: Option<Time>,
    left: u8,
}

#[derive(Clone, Debug)]
enum Fate {
    Good,
    /// The step's work is committed, but its answer is lost.
    Lost(Fault),
    Bad(Outcome),
    /// Part of an answer is stored, and then something goes wrong.
    Half(Fault),
    Crash {
        after: bool,
        state_saved: bool,
    },
}

fn pace() -> Pace {
    Pace::new(Duration::from_millis(INTERVAL as u64), false, Overrides::default())
}

impl World {
    fn new(shape: Shape) -> Self {
        let mut world = World {
            shape,
            now: Time(0),
            cursor: 0,
            done: [false; FILES as usize],
            stored: [[0; FILES as usize]; PAGES as usize],
            repeats: false,
            state: State::default(),
            step: Step::Stop,
            listing: Vec::new(),
            listed_at: 0,
            side: 2,
            side_file: false,
            requests: 0,
            last_cycle: None,
            left: ADVERSITY,
        };
        world.answer(Outcome::Ready).unwrap();
        world
    }

    /// Lets `decide` answer the outcome, and checks what it decides.
    fn answer(&mut self, outcome: Outcome) -> Result<(), String> {
        let by_hand = matches!(outcome, Outcome::Woken);
        let moment = Moment { now: self.now, dice: 0 };
        let decision = decide(self.state.clone(), outcome, moment, &pace());
        let began = decision.state.cycle != self.state.cycle;
        self.state = decision.state;
        self.step = decision.step;
        if began {
            let early = self.last_cycle.is_some_and(|last| self.now < last.plus(pace().interval));
            if early && !by_hand {
                return Err("a cycle began before the polling interval was over".into());
            }
            (self.last_cycle, self.requests) = (Some(self.now), 0);
        }
        if matches!(self.step, Step::Ask | Step::Aside | Step::Take { .. } | Step::Refresh) {
            self.requests += 1;
        }
        if self.requests > MOST_REQUESTS {
            return Err(format!("{} requests in one cycle", self.requests));
        }
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        for page in 0..PAGES {
            for file in 0..FILES {
                let times = self.stored[page as usize][file as usize];
                let passed = page < self.cursor || (page == self.cursor && self.done[file as usize]);
                if passed && times == 0 {
                    return Err(format!(
                        "the position passed file {file} of page {page}, which was never stored"
                    ));
                }
                if times > 1 {
                    return Err(format!("file {file} of page {page} was stored {times} times"));
                }
                if times == 1 && !passed && !self.repeats && self.shape != Shape::Answers {
                    return Err(format!(
                        "file {file} of page {page} is stored, but the position does not know"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the step does when all goes well: to the store, and the outcome.
    fn perform(&mut self) -> Result<Outcome, String> {
        Ok(match self.step {
            Step::Wait { until, .. } => {
                self.now = self.now.max(until);
                Outcome::Ready
            }
            Step::Hold { probe: Some(probe) } => {
                self.now = self.now.max(probe);
                Outcome::Ready
            }
            Step::Hold { probe: None } => Outcome::Woken,
            Step::AwaitGate => {
                // Sometimes the gate is open again at once: the next call is the next cycle's all the same.
                let poll = self.state.next().unwrap_or(self.now.plus(pace().interval));
                self.now = self.now.max(poll);
                Outcome::Ready
            }
            Step::Refresh => Outcome::Refreshed,
            Step::Ask if self.shape == Shape::Files => self.list(),
            Step::Ask => self.store_page(),
            Step::GiveUp { file: 0 } if self.shape == Shape::Answers && !self.side_file => {
                self.store_page();
                Outcome::GaveUp
            }
            Step::Aside => self.aside()?,
            Step::Take { .. } | Step::GiveUp { .. } | Step::Turn if self.side_file => self.side_listing()?,
            Step::Take { file } | Step::GiveUp { file } => self.store_file(file)?,
            Step::Turn => {
                // The store refuses a movement from anywhere but where it stands; it stood there before if the
                // answer was lost.
                if self.cursor == self.listed_at {
                    (self.cursor, self.done) = (self.listed_at + 1, [false; FILES as usize]);
                } else if self.cursor != self.listed_at + 1 {
                    return Err("a movement from where the store never stood".into());
                }
                Outcome::Turned
            }
            Step::Rewind => {
                (self.cursor, self.done, self.repeats) = (0, [false; FILES as usize], true);
                Outcome::Rewound
            }
            Step::Stop => {
                self.state = State::restore(&self.state.to_text()).ok_or("state does not read back")?;
                Outcome::Ready
            }
        })
    }
    /// Side work never begins before the main position has nothing more to read.
    fn aside(&mut self) -> Result<Outcome, String> {
        if self.cursor < PAGES {
            return Err(format!("side work although page {} is not read", self.cursor));
        }
        if self.side == 0 {
            self.side_file = false;
            return Ok(Outcome::Nothing);
        }
        if self.shape == Shape::Records {
            self.side -= 1;
            return Ok(Outcome::Stored { records: 1, leads: Leads::Forward, caught_up: self.side == 0 });
        }
        self.side_file = true;
        Ok(Outcome::Listed { files: u16::from(self.side > 1), leads: Leads::Forward, caught_up: true })
    }
    fn side_listing(&mut self) -> Result<Outcome, String> {
        let (from, outcome) = match self.step {
            Step::Turn => (1, Outcome::Turned),
            Step::GiveUp { .. } => (2, Outcome::GaveUp),
            _ => (2, Outcome::Took),
        };
        if self.side > from {
            return Err("the side's listing is turned before its file is read".into());
        }
        self.side = self.side.min(from - 1);
        Ok(outcome)
    }
    fn list(&mut self) -> Outcome {
        self.side_file = false;
        self.listed_at = self.cursor;
        if self.cursor >= PAGES {
            self.listing.clear();
            return Outcome::Listed { files: 0, leads: Leads::Same, caught_up: true };
        }
        self.listing = (0..FILES).filter(|&file| !self.done[file as usize]).collect();
        let files = self.listing.len() as u16;
        Outcome::Listed { files, leads: Leads::Forward, caught_up: self.cursor + 1 == PAGES }
    }
    fn store_page(&mut self) -> Outcome {
        if self.cursor >= PAGES {
            return Outcome::Stored { records: 0, leads: Leads::Missing, caught_up: true };
        }
        let page = self.cursor as usize;
        for file in 0..FILES as usize {
            // of an answer read twice the store leaves out what it has
            let known = self.repeats || self.shape == Shape::Answers;
            self.stored[page][file] = if known { 1 } else { self.stored[page][file] + 1 };
        }
        self.cursor += 1;
        Outcome::Stored { records: 2, leads: Leads::Forward, caught_up: self.cursor == PAGES }
    }
    fn store_file(&mut self, file: u16) -> Result<Outcome, String> {
        let file = *self.listing.get(file as usize).ok_or("a file that is not in the listing")? as usize;
        if self.cursor != self.listed_at {
            return Err("a file of a listing that is not the store's position".into());
        }
        if !self.done[file] {
            let stored = &mut self.stored[self.cursor as usize][file];
            *stored = if self.repeats { 1 } else { *stored + 1 };
            self.done[file] = true;
        }
        Ok(if let Step::GiveUp { .. } = self.step { Outcome::GaveUp } else { Outcome::Took })
    }

    /// Everything that may come of the present step.
    fn fates(&self) -> Vec<Fate> {
        let mut fates = vec![Fate::Good];
        if self.left == 0 {
            return fates;
        }
        let shut = |until, by| Outcome::Shut { until, by };
        let bad: Vec<Outcome> = match self.step {
            Step::Wait { .. } | Step::Hold { .. } | Step::AwaitGate => vec![Outcome::Woken],
            Step::Ask | Step::Aside => api_faults()
                .into_iter()
                .chain(local_faults())
                .chain(if self.shape == Shape::Answers { download_faults() } else { Vec::new() })
                .map(Outcome::Fault)
                .chain([shut(None, By::Gate), shut(Some(self.now), By::Gate), shut(Some(Time(0)), By::Quota)])
                .collect(),
            Step::Take { .. } => {
                download_faults().into_iter().chain(local_faults()).map(Outcome::Fault).collect()
            }
            Step::Refresh => vec![
                shut(Some(self.now), By::Gate),
                Outcome::Fault(fault(Origin::Token, Kind::Status(401), "0010")),
                Outcome::Fault(fault(Origin::Token, Kind::Timeout, "")),
            ],
            Step::Turn | Step::GiveUp { .. } | Step::Rewind => {
                local_faults().into_iter().map(Outcome::Fault).collect()
            }
            Step::Stop => Vec::new(),
        };
        fates.extend(bad.into_iter().map(Fate::Bad));
        if matches!(
            self.step,
            Step::Take { .. } | Step::GiveUp { .. } | Step::Turn | Step::Rewind | Step::Ask | Step::Aside
        ) {
            let busy = fault(Origin::Local, Kind::Busy, "");
            let cut = fault(Origin::Api, Kind::Interrupted, "");
            let request = matches!(self.step, Step::Ask | Step::Aside);
            fates.push(Fate::Lost(if request { cut } else { busy }));
        }
        if self.shape == Shape::Answers && matches!(self.step, Step::Ask | Step::GiveUp { .. }) {
            fates.push(Fate::Half(fault(Origin::Local, Kind::Busy, "")));
            fates.push(Fate::Half(fault(Origin::Download, Kind::Bomb, "")));
        }
        for after in [false, true] {
            for state_saved in [false, true] {
                fates.push(Fate::Crash { after, state_saved });
            }
        }
        fates
    }

    fn after(&self, fate: &Fate) -> Result<World, String> {
        let mut world = self.clone();
        world.left -= u8::from(!matches!(fate, Fate::Good));
        let outcome = match fate {
            Fate::Good => world.perform()?,
            Fate::Lost(fault) => {
                world.perform()?;
                Outcome::Fault(fault.clone())
            }
            Fate::Bad(outcome) => outcome.clone(),
            Fate::Half(fault) => {
                if let Some(page) = world.stored.get_mut(world.cursor as usize) {
                    page[0] = 1;
                }
                Outcome::Fault(fault.clone())
            }
            Fate::Crash { after, state_saved } => {
                if *after {
                    world.perform()?;
                }
                (world.listing, world.requests, world.last_cycle) = (Vec::new(), 0, None);
                world.side_file = false;
                world.state = if *state_saved {
                    State::restore(&world.state.to_text()).ok_or("state does not read back")?
                } else {
                    State::default()
                };
                Outcome::Ready
            }
        };
        if let Step::Stop = self.step {
            (world.requests, world.last_cycle) = (0, None); // another process
        }
        world.answer(outcome)?;
        Ok(world)
    }

    fn is_goal(&self) -> bool {
        let all = self.stored.iter().flatten().all(|&times| times == 1);
        let rests = matches!(self.step, Step::Wait { why: Why::Poll, .. });
        all && self.side == 0 && self.cursor == PAGES && rests && self.state.name() == "caught_up"
    }

    /// The same situation at another time of day is the same situation: all times become distances from now,
    /// and what grows without changing anything any more stops growing.
    fn key(&self) -> World {
        let rel = |at: Time| Time((at.0 - self.now.0).clamp(-2_000_000, 100_000_000));
        let mut key = self.clone();
        key.now = Time(0);
        key.last_cycle = self.last_cycle.map(|at| Time(rel(at).0.max(-INTERVAL)));
        key.state.cycle = self.state.cycle.map(|at| Time(rel(at).0.max(-INTERVAL)));
        key.state.trouble =
            self.state.trouble.map(|t| Trouble { since: rel(t.since), count: t.count.min(5), ..t });
        key.state.failures = self.state.failures.min(7);
        key.state.rest = match self.state.rest {
            Rest::Wait { until, why } => Rest::Wait { until: rel(until), why },
            Rest::Held { probe } => Rest::Held { probe: probe.map(rel) },
            Rest::Gate { until } => Rest::Gate { until: until.map(rel) },
            Rest::None => Rest::None,
        };
        key.step = match self.step {
            Step::Wait { until, why } => Step::Wait { until: rel(until), why },
            Step::Hold { probe } => Step::Hold { probe: probe.map(rel) },
            other => other,
        };
        key
    }
}

/// All situations seen, each with the one before it and what happened in between.
struct Seen {
    worlds: Vec<World>,
    how: Vec<(usize, String)>,
    index: HashMap<World, usize>,
}

impl Seen {
    fn story(&self, mut at: usize, end: &str) -> String {
        let mut lines = vec![end.to_owned()];
        while at != 0 {
            let (before, how) = &self.how[at];
            lines
                .push(format!("  {how}  ->  {:?}   cursor {}", self.worlds[at].step, self.worlds[at].cursor));
            at = *before;
        }
        lines.push(format!("  start  ->  {:?}", self.worlds[0].step));
        lines.reverse();
        lines.join("\n")
    }
}

fn name(fate: &Fate) -> String {
    match fate {
        Fate::Good => "good".into(),
        Fate::Bad(Outcome::Fault(fault)) => format!("{fault}"),
        other => format!("{other:?}"),
    }
}

fn explore(shape: Shape) -> Seen {
    let first = World::new(shape);
    let mut seen =
        Seen { index: HashMap::from([(first.key(), 0)]), worlds: vec![first], how: vec![(0, String::new())] };
    let mut queue = VecDeque::from([0]);
    while let Some(at) = queue.pop_front() {
        for fate in seen.worlds[at].fates() {
            let next = match seen.worlds[at].after(&fate) {
                Ok(next) => next,
                Err(why) => panic!("{}", seen.story(at, &format!("  {}  ->  BROKEN: {why}", name(&fate)))),
            };
            let key = next.key();
            if seen.index.contains_key(&key) {
                continue;
            }
            let id = seen.worlds.len();
            seen.index.insert(key, id);
            seen.worlds.push(next);
            seen.how.push((at, name(&fate)));
            queue.push_back(id);
        }
    }
    seen
}

/// From every situation, when nothing goes wrong any more, the feed gets to the end with everything stored.
fn never_stuck(seen: &Seen) {
    let mut good: Vec<bool> = seen.worlds.iter().map(World::is_goal).collect();
    for start in 0..seen.worlds.len() {
        let mut path = Vec::new();
        let (mut at, mut world) = (Some(start), seen.worlds[start].clone());
        loop {
            if at.is_some_and(|at| good[at]) || world.is_goal() {
                break;
            }
            path.extend(at);
            assert!(path.len() < 200, "{}", seen.story(start, "  ... and never gets to the end"));
            world = world.after(&Fate::Good).unwrap_or_else(|why| panic!("{}", seen.story(start, &why)));
            at = seen.index.get(&world.key()).copied();
        }
        path.into_iter().for_each(|at| good[at] = true);
    }
}

#[test]
fn listings_of_files() {
    let seen = explore(Shape::Files);
    never_stuck(&seen);
    assert!(seen.worlds.len() > 10_000, "{} situations: the model has lost its bite", seen.worlds.len());
}

#[test]
fn pages_of_records() {
    let seen = explore(Shape::Records);
    never_stuck(&seen);
    assert!(seen.worlds.len() > 2_000, "{} situations: the model has lost its bite", seen.worlds.len());
}

#[test]
fn answers_that_are_files() {
    let seen = explore(Shape::Answers);
    never_stuck(&seen);
    let given_up = seen.worlds.iter().any(|world| matches!(world.step, Step::GiveUp { .. }));
    assert!(
        given_up && seen.worlds.len() > 2_000,
        "{} situations: the model has lost its bite",
        seen.worlds.len()
    );
}
