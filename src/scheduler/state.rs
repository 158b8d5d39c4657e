//! The words between [`decide`](super::decide::decide) and the runner: what is to be done, what came of it, and
//! everything a feed remembers in between.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::fault::Fault;
use crate::limits::MIN_PAGE_SIZE;
use crate::supervisor::rule::Rule;

/// What the runner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Report `Ready` at that time, or `Woken` before.
    Wait { until: Time, why: Why },
    /// Halted: report `Ready` at the probe's time if there is one, `Woken` when someone turned the key.
    Hold { probe: Option<Time> },
    /// Report `Ready` when the credential's gate lets requests through again.
    AwaitGate,
    /// One API request at the cursor the store holds: a listing without the files already done (`Listed`), or a
    /// page of records that is stored with its cursor in the same step (`Stored`).
    Ask,
    /// Download that file of the listing in hand, store it and mark it done in one transaction (`Took`).
    Take { file: u16 },
    /// Move the cursor to where the listing in hand leads (`Turned`).
    Turn,
    /// One request of the feed's side work, or nothing when there is none (`Nothing`): the daily sweep, a backfill.
    /// Otherwise as `Ask`; the listing in hand is then the side's.
    Aside,
    /// Get a new token (`Refreshed`, or `Shut` when the gate closes).
    Refresh,
    /// Store what can be read of the file, quarantine the rest, record the gap, mark it done (`GaveUp`).
    GiveUp { file: u16 },
    /// Move the cursor to a date the service accepts, with overlap or a gap record (`Rewound`).
    Rewind,
    /// Nothing more. When the rule's verdict is `Exit`, the daemon ends with its code.
    Stop,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// The next poll.
    Poll,
    /// Spreading the first polls after a start.
    Spread,
    /// A failure.
    Backoff,
    /// A quota, the service's or our share of it.
    Throttled,
    /// No room for more events.
    Paused,
}

/// Where a page leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Leads {
    /// To another position.
    Forward,
    /// To the position it was asked from.
    Same,
    /// It does not say.
    Missing,
}

/// Who closed the way before anything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The credential's gate.
    Gate,
    /// Our share of a quota.
    Quota,
    /// The remote host, which does not answer others either.
    Host,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The wait is over; also the first outcome after a start.
    Ready,
    /// Someone changed the configuration or ran `resume`.
    Woken,
    Listed {
        files: u16,
        leads: Leads,
        caught_up: bool,
    },
    Stored {
        /// None also where a page leads on and shows what this cycle has been shown.
        records: u64,
        leads: Leads,
        caught_up: bool,
    },
    /// There is no side work, or not now.
    Nothing,
    Took,
    Turned,
    Refreshed,
    GaveUp,
    Rewound,
    /// Nothing was sent. `until`: when it may be; `None`: when somebody turns the key.
    Shut {
        until: Option<Time>,
        by: By,
    },
    Fault(Fault),
    Stopping,
}

/// The next step, the state to keep, and the row of the recovery table behind it, if a fault led here.
#[derive(Clone, Debug)]
pub struct Decision {
    pub state: State,
    pub step: Step,
    pub rule: Option<&'static Rule>,
}

/// Everything that is remembered between two steps of a feed. Keep it in the store ([`State::to_text`]): failure
/// counts and halts survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    pub(super) phase: Phase,
    pub(super) rest: Rest,
    /// When the current cycle began.
    pub(super) cycle: Option<Time>,
    pub(super) page: Option<Listing>,
    /// Of this cycle: quick tries, fresh listings, empty pages, a fresh token.
    pub(super) quick: u8,
    pub(super) relisted: u8,
    pub(super) empty: u8,
    pub(super) refreshed: bool,
    /// Failures since something was last stored or found up to date.
    pub(super) failures: u8,
    /// A file that keeps failing.
    pub(super) trouble: Option<Trouble>,
    /// The cursor was given up since the feed was last up to date.
    pub(super) rewound: bool,
    pub(super) halvings: u8,
    /// Good pages since the page size last changed.
    #[serde(default)]
    pub(super) good: u8,
    /// Since when nothing has been stored for failures of the service.
    #[serde(default)]
    pub(super) stumbling: Option<Time>,
    pub(super) caught_up: bool,
    /// Side requests of this cycle; from the first one on, the main position has nothing more to read.
    #[serde(default)]
    pub(super) aside: u8,
    /// Tells the configuration from others under which it was written.
    #[serde(default)]
    pub(super) config: u64,
}

/// What the runner is busy with, or was when it had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Phase {
    Start,
    /// Between cycles.
    Idle,
    Asking,
    Taking(u16),
    Turning,
    Refreshing,
    GivingUp(u16),
    Rewinding,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Rest {
    None,
    Wait { until: Time, why: Why },
    Gate { until: Option<Time> },
    Held { probe: Option<Time> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) files: u16,
    pub(super) leads: Leads,
    pub(super) caught_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// The same row saying the same words (which name the file and the hash of its bytes).
    pub(super) mark: u64,
    pub(super) count: u8,
    pub(super) since: Time,
    /// It was met in side work.
    #[serde(default)]
    pub(super) aside: bool,
}

impl Default for State {
    fn default() -> Self {
        State {
            phase: Phase::Start,
            rest: Rest::None,
            cycle: None,
            page: None,
            quick: 0,
            relisted: 0,
            empty: 0,
            refreshed: false,
            failures: 0,
            trouble: None,
            rewound: false,
            halvings: 0,
            good: 0,
            stumbling: None,
            caught_up: false,
            aside: 0,
            config: 0,
        }
    }
}

impl State {
    /// The state as it was written down before a restart; the page in hand is gone, waits and halts are not.
    /// `None` when the text is not a state.
    pub fn restore(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(State::restarted)
    }
    /// The state as a clock that was ahead by so much should have written it: a wait must not outlast the mistake.
    #[must_use]
    pub fn set_back(self, by: Duration) -> Self {
        let back = |at: Time| at.minus(by);
        let rest = match self.rest {
            Rest::Wait { until, why } => Rest::Wait { until: back(until), why },
            Rest::Held { probe } => Rest::Held { probe: probe.map(back) },
            Rest::Gate { until } => Rest::Gate { until: until.map(back) },
            Rest::None => Rest::None,
        };
        let trouble = self.trouble.map(|trouble| Trouble { since: back(trouble.since), ..trouble });
        let (cycle, stumbling) = (self.cycle.map(back), self.stumbling.map(back));
        State { rest, trouble, cycle, stumbling, ..self }
    }
    /// For the store.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain fields: cannot fail
    }
    /// The state for a single run, which asks at once: that the next poll was planned for later, before the process
    /// ended, is no reason to end without one. Waits for the sake of others stay.
    #[must_use]
    pub fn due_now(self) -> Self {
        match self.rest {
            Rest::Wait { why: Why::Poll | Why::Spread, .. } => State { rest: Rest::None, ..self },
            _ => self,
        }
    }
    /// What was asked moments ago, by a process that has ended, is not asked again before `floor` has passed since: one
    /// that is started again and again would else poll, and log in, each time. Any other feed begins as after a first
    /// start, one of many.
    #[must_use]
    pub fn not_again_within(self, floor: Duration, now: Time) -> Self {
        let due = self.cycle.map_or(now, |began| began.plus(floor)).min(now.plus(floor));
        let spread = |until| Rest::Wait { until, why: Why::Spread };
        match self.rest {
            Rest::None | Rest::Wait { why: Why::Spread, .. } if due > now => {
                State { rest: spread(due), ..self }
            }
            Rest::None | Rest::Wait { why: Why::Spread, .. } => {
                State { rest: Rest::None, cycle: None, ..self }
            }
            _ => self,
        }
    }
    /// It waits for no other reason than [`State::not_again_within`].
    pub fn just_asked(&self) -> bool {
        self.cycle.is_some() && matches!(self.rest, Rest::Wait { why: Why::Spread, .. })
    }
    /// It was written under another configuration.
    pub fn is_under_another(&self, config: u64) -> bool {
        self.config != config
    }
    /// The state under that configuration: another one may have removed what a feed was halted for.
    #[must_use]
    pub fn under(self, config: u64) -> Self {
        match self.rest {
            Rest::Held { .. } if self.config != config => State { rest: Rest::None, config, ..self },
            _ => State { config, ..self },
        }
    }
    fn restarted(self) -> Self {
        let rest = if let Rest::Gate { .. } = self.rest { Rest::None } else { self.rest };
        State { phase: Phase::Start, page: None, rest, aside: 0, ..self }
    }
    /// `feed_state` of the metrics.
    pub fn name(&self) -> &'static str {
        match (self.rest, self.phase) {
            (Rest::Held { .. } | Rest::Gate { until: None }, _) => "halted",
            (Rest::Gate { .. } | Rest::Wait { why: Why::Paused, .. }, _) => "paused",
            (Rest::Wait { why: Why::Throttled, .. }, _) => "throttled",
            (Rest::Wait { why: Why::Backoff, .. }, _) => "backing_off",
            (Rest::Wait { why: Why::Spread, .. }, _) | (_, Phase::Start) => "starting",
            (Rest::Wait { why: Why::Poll, .. }, _) if self.caught_up => "caught_up",
            (Rest::None, _) if self.caught_up && self.aside > 0 => "caught_up",
            _ => "collecting",
        }
    }
    /// When the feed acts again by itself; `None` while it acts, or when it waits for a person or the gate.
    pub fn next(&self) -> Option<Time> {
        match self.rest {
            Rest::Wait { until, .. } => Some(until),
            Rest::Held { probe } => probe,
            Rest::Gate { until } => until,
            Rest::None => None,
        }
    }
    /// How many records or files to ask for, when `full` is the usual number.
    pub fn page_size(&self, full: u32) -> u32 {
        (full >> self.halvings.min(31)).max(MIN_PAGE_SIZE).min(full)
    }
    /// Failures in a row, for `status`.
    pub fn failures(&self) -> u8 {
        self.failures
    }
}
