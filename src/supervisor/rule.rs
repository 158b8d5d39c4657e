//! The vocabulary of a row of the recovery table: which faults it is about, how far it reaches, what is done,
//! and what a person is told. The rows themselves are in `rows_*.rs`, in the order in which they are asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use super::host::Shows;
pub(super) use super::lasting::*;
pub use super::on::{FieldClass, On};
use super::policy::RULES;
use crate::fault::{Fault, Kind, Origin};

/// One row of the recovery table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The row's name in the recovery table: `M10`. Rows that treat variants of one case share it.
    pub id: &'static str,
    /// Where the fault may come from.
    pub surfaces: &'static [Origin],
    /// Which faults of those surfaces.
    pub on: On,
    /// How far the verdict reaches.
    pub scope: Scope,
    /// What is done.
    pub verdict: Verdict,
    /// Trying again without a change makes it worse (a lock is extended, a secret leaks, a quota burns).
    pub harmful: bool,
    pub severity: Severity,
    /// A person has to be told at once, not only the log.
    pub alert: bool,
    /// How it grows when it lasts: from each of these lengths on a person is told, with that severity.
    pub lasting: &'static [(Duration, Severity)],
    /// What ends it.
    pub clears: Clears,
    /// One word for metrics and logs: `locked_out`.
    pub title: &'static str,
    /// What it means, for people.
    pub meaning: &'static str,
    /// What to do about it, for people.
    pub remedy: &'static str,
}

impl Rule {
    /// Tells this row from others in what outlives the process: `M10/locked_out`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.title)
    }
    /// Whether this row is about `fault`.
    pub fn matches(&self, fault: &Fault) -> bool {
        self.surfaces.contains(&fault.origin) && self.on.holds(fault)
    }
    /// The credential's gate handles it, for all feeds at once: everything the token endpoint says, and what an
    /// API function says about the credential.
    pub fn is_for_gate(&self, origin: Origin) -> bool {
        match origin {
            Origin::Token => true,
            Origin::Api => matches!(self.scope, Scope::Credential | Scope::Tenant),
            Origin::Download | Origin::Sink | Origin::Local => false,
        }
    }
    /// Whether an attempt that it answers is one more failed login in the account's books.
    pub fn counts_as_failed_login(&self) -> bool {
        self.harmful && self.scope == Scope::Credential
    }
    /// Whether it is about what lies between us and Mimecast: the host, or the proxy of the process.
    pub fn is_in_between(&self) -> bool {
        matches!(self.scope, Scope::Host | Scope::Process)
    }
    /// How loud it is after it has lasted for so long.
    pub fn severity_after(&self, lasting: Duration) -> Severity {
        let grown = self.lasting.iter().filter(|(from, _)| lasting >= *from).map(|(_, severity)| *severity);
        grown.fold(self.severity, Severity::max)
    }
    /// What this fault, which the row answers, shows of the host: whoever gets an answer in Mimecast's own words has
    /// got through to it.
    pub fn shows(&self, fault: &Fault) -> Shows {
        match fault.kind {
            Kind::Status(_) if fault.attributed => Shows::Works,
            _ => self.on.shows,
        }
    }
    /// Whether this fault, which the row answers, may be the host's.
    pub fn of_host(&self, fault: &Fault) -> bool {
        matches!(self.shows(fault), Shows::MayBeAway | Shows::Away)
    }
    /// Whether this row, or another variant of its case, names this code; if not, it answers for the status as a whole.
    pub fn knows(&self, code: &str) -> bool {
        let variants = RULES.iter().filter(|rule| rule.id == self.id).flat_map(|rule| rule.on.codes());
        self.on.codes().iter().chain(variants).any(|known| known.eq_ignore_ascii_case(code))
    }
}

/// How far a verdict reaches; each one contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One record.
    Item,
    /// One downloaded file.
    File,
    /// One feed of one tenant.
    Feed,
    /// Everything that uses one credential.
    Credential,
    /// One tenant on this machine.
    Tenant,
    /// Everything on one remote host.
    Host,
    /// One destination.
    Sink,
    /// The daemon.
    Process,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Item => "item",
            Scope::File => "file",
            Scope::Feed => "feed",
            Scope::Credential => "credential",
            Scope::Tenant => "tenant",
            Scope::Host => "host",
            Scope::Sink => "sink",
            Scope::Process => "process",
        }
    }
}

/// How loudly a rule is told to the operator, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warn,
    Error,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// Waits that grow: after the n-th failure in a row, evenly from `[first, min(cap, first * 2^n)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    pub first: Duration,
    pub cap: Duration,
}

/// What is done about a fault, with its timers. In-cycle tries (`quick`) are for faults of transport only:
/// everything else waits for the next cycle, so that the 300 s between polls hold even when things burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Count it and go on.
    Proceed,
    /// Same again later; first `quick` times within seconds. Without `last` there is no giving up.
    Backoff { wait: Ladder, quick: u8, last: Option<Last> },
    /// Same again later; once it has lasted for `after`, with half the page each time, never giving up.
    BackoffThenShrink { wait: Ladder, after: Duration },
    /// Same again when the service allows it; its own figure wins over `wait`.
    PauseFor(Ladder),
    /// A new token, once per token generation; the second generation refused in a row waits. With `spent`, so many
    /// generations refused in a row are the secret's fault; a key that signs has but one generation, unless
    /// our clock is to blame.
    Refresh { wait: Ladder, spent: Option<Spent> },
    /// Ask the listing again from the same cursor for fresh links: `at_once` times in a cycle, then later. A file
    /// that fails on through all `patience` is given up, with a gap record.
    Relist { at_once: u8, wait: Ladder, patience: Option<Patience> },
    /// Try the file again; when it was the same `tries` times over at least `over`, give the file up.
    Insist { quick: u8, tries: u8, over: Duration, wait: Ladder },
    /// Leave the refused cursor and start from a date, with a gap record where the two do not meet. Refused
    /// again before anything came: halt.
    Rewind { probe: Option<Duration> },
    /// Ask for half as much in the next cycle; at the smallest size, halt.
    Shrink { wait: Ladder },
    /// The account is locked: silence for `rungs[n]` plus up to `jitter`, one attempt, next rung; then halt.
    Lockout { rungs: [Duration; 3], jitter: Duration },
    /// The secret was refused: a few late attempts may show that it was not its fault, then halt.
    ConfirmThenHalt(Confirm),
    /// Nothing more until the row's key turns; `probe` is how often one request may look whether it did.
    Halt { probe: Option<Duration> },
    /// Keep the bytes aside and go on.
    Quarantine,
    /// Go on without the item, with a gap record.
    SkipWithGap,
    /// This cycle ends here; the cursor stays.
    StopPaging,
    /// Send the batch in halves until the refused event stands alone. `smaller`: it is the size that is refused, so
    /// that the batches that follow are smaller, for a while.
    Bisect { smaller: bool },
    /// The destination will never take this event: put it aside with the reason.
    DeadLetter,
    /// Stop collecting, keep delivering; look again every `check`.
    PauseIntake { check: Duration },
    /// End the process with this exit code.
    Exit(u8),
}

/// The attempts that a refused secret still gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// One attempt after this long.
    pub after: Duration,
    /// And a last one after this long; `None`: there is none.
    pub last: Option<Duration>,
    /// Keys that sign get them too. `false`: such keys stand for a password and are tried once.
    pub keys: bool,
}

/// When a [`Verdict::Refresh`] gives the secret up, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Tokens refused in a row.
    pub generations: u8,
    pub end: Refused,
}

/// What becomes of a secret that is taken to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Confirm(Confirm),
    Halt,
}

/// What follows when a [`Verdict::Backoff`] failed `after` times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    pub after: u8,
    pub end: End,
}

/// How long one file may hold its feed up: at least so many tries over at least so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub tries: u8,
    pub over: Duration,
}

/// Where a row of failed tries ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Halt { probe: Option<Duration> },
    Exit(u8),
}

impl Verdict {
    /// A feed that meets it, and for which no wait was set, has not stopped: it goes on with other links, from another
    /// date, without the item.
    pub fn goes_on_at_once(self) -> bool {
        matches!(
            self,
            Verdict::Proceed
                | Verdict::Relist { .. }
                | Verdict::Rewind { .. }
                | Verdict::Insist { .. }
                | Verdict::Quarantine
                | Verdict::SkipWithGap
        )
    }
    /// The metric label `action`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Proceed => "proceed",
            Verdict::Backoff { .. } | Verdict::BackoffThenShrink { .. } => "backoff",
            Verdict::PauseFor(_) => "pause",
            Verdict::Refresh { .. } => "refresh",
            Verdict::Relist { .. } => "relist",
            Verdict::Insist { .. } => "insist",
            Verdict::Rewind { .. } => "rewind",
            Verdict::Shrink { .. } => "shrink",
            Verdict::Lockout { .. } => "lockout",
            Verdict::ConfirmThenHalt(_) => "confirm_then_halt",
            Verdict::Halt { .. } => "halt",
            Verdict::Quarantine => "quarantine",
            Verdict::SkipWithGap => "skip_with_gap",
            Verdict::StopPaging => "stop_paging",
            Verdict::Bisect { .. } => "bisect",
            Verdict::DeadLetter => "dead_letter",
            Verdict::PauseIntake { .. } => "pause_intake",
            Verdict::Exit(_) => "exit",
        }
    }
}

/// What ends a rule's hold: its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clears {
    /// Nothing is held.
    Itself,
    /// The next good answer.
    Success,
    /// One probe that succeeds.
    Probe,
    /// One of the attempts that are left, a changed secret, or `resume`.
    Attempt,
    /// A changed secret, or `resume`.
    Secret,
    /// The secret's file, once it can be read again.
    File,
    /// A changed configuration, or `resume`.
    Config,
    /// A person who looked at what was put aside.
    Review,
    /// Another start of the program.
    Restart,
}

impl Clears {
    /// The end of a sentence that begins "Ends with …": the same words in `status`, log, alert and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Clears::Itself => "the moment it happened; nothing is held up",
            Clears::Success => "the next good answer",
            Clears::Probe => "one attempt that succeeds, or `resume`",
            Clears::Attempt => "an attempt that succeeds, a changed secret, or `resume`",
            Clears::File => "a file that can be read and is nobody else's to read",
            Clears::Secret => "a changed secret, or `resume`",
            Clears::Config => "a changed configuration, or `resume`",
            Clears::Review => "a person who reviews what was put aside",
            Clears::Restart => "a restart after the cause is gone",
        }
    }
}

// --- timers shared by many rows -----------------------------------------------------------------------------

/// 60 s; also the jitter of [`LOCKOUT`].
pub const MINUTE: Duration = Duration::from_secs(60);
/// 3,600 s; also the span in which logins without a success are counted.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// 86,400 s; the last attempt of [`CONFIRM`] comes this late.
pub const DAY: Duration = Duration::from_secs(86_400);
/// 300 s x2, cap 30 min: the wait of nearly everything Mimecast can do to us; 300 s is the floor between polls.
pub const CYCLES: Ladder = Ladder { first: Duration::from_secs(300), cap: Duration::from_secs(1_800) };
/// 1 s x2, cap 5 min: destinations, where nobody counts our attempts.
pub(super) const SINKS: Ladder = Ladder { first: Duration::from_secs(1), cap: Duration::from_secs(300) };
/// Mimecast's pages say 15 and 30 minutes; configuration may not go below the shorter one.
pub(super) const LOCKOUT_FLOOR: Duration = Duration::from_secs(15 * 60);

/// 31 min, 61 min, 4 h, each plus up to 1 min: the first outlasts the 30 minutes that Mimecast's pages say.
pub const LOCKOUT: Verdict = Verdict::Lockout {
    rungs: [Duration::from_secs(31 * 60), Duration::from_secs(61 * 60), Duration::from_secs(4 * 3_600)],
    jitter: MINUTE,
};
/// One attempt after 15 min and a last one after a day: a secret refused at both is taken to be wrong. Keys that sign
/// are not tried again: repeats with a wrong password lead to a lock.
pub const TWICE_MORE: Confirm = Confirm { after: Duration::from_secs(15 * 60), last: Some(DAY), keys: false };
/// One attempt after 15 min, whatever the secret: the refusal may have meant something else.
pub const ONCE_MORE: Confirm = Confirm { after: Duration::from_secs(15 * 60), last: None, keys: true };
pub const CONFIRM: Verdict = Verdict::ConfirmThenHalt(TWICE_MORE);
pub const CONFIRM_ONCE: Verdict = Verdict::ConfirmThenHalt(ONCE_MORE);
pub(super) const LATER: Verdict = Verdict::Backoff { wait: CYCLES, quick: 0, last: None };
pub(super) const RELIST: Verdict =
    Verdict::Relist { at_once: 3, wait: CYCLES, patience: Some(Patience { tries: 24, over: DAY }) };
pub(super) const HALT: Verdict = Verdict::Halt { probe: None };

/// A new token once; refused again, `end`.
pub(super) const fn renew(generations: u8, end: Refused) -> Verdict {
    Verdict::Refresh { wait: CYCLES, spent: Some(Spent { generations, end }) }
}
pub(super) const fn soon(quick: u8) -> Verdict {
    Verdict::Backoff { wait: CYCLES, quick, last: None }
}
/// As [`soon`], and then in every cycle: however many wait for a host, one request looks whether it is back.
pub(super) const fn soon_and_each_cycle(quick: u8) -> Verdict {
    let wait = Ladder { first: CYCLES.first, cap: CYCLES.first };
    Verdict::Backoff { wait, quick, last: None }
}
pub(super) const fn halt_probing(every: Duration) -> Verdict {
    Verdict::Halt { probe: Some(every) }
}
pub(super) const fn tries_then_halt(after: u8, probe: Option<Duration>) -> Verdict {
    Verdict::Backoff { wait: CYCLES, quick: 0, last: Some(Last { after, end: End::Halt { probe } }) }
}
