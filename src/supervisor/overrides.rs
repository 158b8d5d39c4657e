//! `[recovery."STATUS"]` and `[recovery."STATUS/CODE"]` of the configuration: what an operator may change in the
//! recovery table. Durations may grow and, down to each row's floor, shrink; a code that no row names may be
//! given a rule. An attempt that the table calls harmful is turned on only by `allow_harmful = true`.

use std::time::Duration;

use super::policy::judge;
use super::rule::{
    CYCLES, Clears, HALT, LOCKOUT_FLOOR, On, Rule, STEADY, Scope, Severity, Verdict, halt_probing,
};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::MIN_POLL_INTERVAL;

/// One such table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub status: u16,
    /// `None`: every code of that status that has no table of its own.
    pub code: Option<String>,
    /// How long to wait between attempts.
    pub pause: Option<Duration>,
    /// What to do about a code that the table does not name.
    pub action: Option<Action>,
    /// The operator accepts that an attempt may lock the account.
    pub allow_harmful: bool,
}

/// What an operator may choose for a code that the table does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask again after `pause`.
    Pause,
    /// Stop until `resume`; with a `pause`, look again that often.
    Halt,
}

/// Why a table of the configuration cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The key at fault: `pause` or `action`; empty for the table as a whole.
    pub key: &'static str,
    pub why: String,
    pub help: String,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Vec<Override>);

impl Override {
    /// Whether the table allows it; `floors` is false where every tenant is a simulator on this machine.
    ///
    /// # Errors
    /// The first reason why not, with what to write instead.
    pub fn check(&self, floors: bool) -> Result<(), Refusal> {
        for origin in [Origin::Api, Origin::Token] {
            self.check_row(judge(&self.example(origin)), floors)?;
        }
        Ok(())
    }

    fn example(&self, origin: Origin) -> Fault {
        let mut fault = Fault::new(origin, Kind::Status(self.status), "");
        fault.code = self.code.as_deref().and_then(Code::new);
        fault.attributed = true;
        fault
    }

    fn check_row(&self, rule: &Rule, floors: bool) -> Result<(), Refusal> {
        let refusal = |key, why: String, help: &str| Err(Refusal { key, why, help: help.to_owned() });
        let name = format!("{} ({})", rule.id, rule.title);
        if self.action.is_some() {
            match &self.code {
                None => {
                    let help = "give the code as well: [recovery.\"409/some_code\"]";
                    return refusal("action", format!("{name} answers for this status"), help);
                }
                Some(code) if rule.knows(code) => {
                    let help = "remove `action`; of a row of the table only `pause` may be changed";
                    return refusal("action", format!("the table knows this code: {name}"), help);
                }
                Some(_) => {}
            }
        }
        let again = self.action == Some(Action::Pause) || (self.action.is_none() && floor(rule).is_none());
        if rule.harmful && again && !self.allow_harmful {
            let help =
                "leave it out, or add allow_harmful = true if you accept that the account may get locked";
            return refusal("", format!("{name}: another attempt without a change makes it worse"), help);
        }
        match (self.pause, self.floor(rule)) {
            (None, _) if self.action == Some(Action::Pause) => {
                refusal("action", "it needs a duration".to_owned(), "add pause = \"10m\"")
            }
            (Some(_), None) => {
                refusal("pause", format!("{name} has no pause to choose"), "see `mimecollectd explain`")
            }
            (Some(pause), Some(least)) if floors && pause < least => {
                let least = humantime_of(least);
                refusal(
                    "pause",
                    format!("{name} allows {least} or more"),
                    &format!("write pause = \"{least}\" or more"),
                )
            }
            _ => Ok(()),
        }
    }

    /// The shortest pause for this row; `None` when there is none to choose.
    fn floor(&self, rule: &Rule) -> Option<Duration> {
        match self.action {
            Some(_) => Some(MIN_POLL_INTERVAL),
            None if self.allow_harmful && rule.harmful => Some(floor(rule).unwrap_or(MIN_POLL_INTERVAL)),
            None => floor(rule),
        }
    }
}

/// Shortest pause that may be chosen for this row; `None` when the row has no pause to choose.
pub fn floor(rule: &Rule) -> Option<Duration> {
    match rule.verdict {
        Verdict::Backoff { wait, .. }
        | Verdict::BackoffThenShrink { wait, .. }
        | Verdict::PauseFor(wait)
        | Verdict::Shrink { wait }
        | Verdict::Relist { wait, .. }
        | Verdict::Insist { wait, .. } => Some(wait.first),
        Verdict::Lockout { .. } => Some(LOCKOUT_FLOOR),
        Verdict::ConfirmThenHalt(confirm) => Some(confirm.after),
        Verdict::Halt { probe: Some(every) } if rule.harmful => Some(every),
        Verdict::Halt { probe: Some(every) } => Some(every.min(MIN_POLL_INTERVAL)),
        Verdict::Halt { probe: None } if rule.harmful => None,
        Verdict::Halt { probe: None } => Some(LOCKOUT_FLOOR),
        _ => None,
    }
}

fn humantime_of(span: Duration) -> String {
    match span.as_secs() {
        secs if secs % 3_600 == 0 && secs > 0 => format!("{}h", secs / 3_600),
        secs if secs % 60 == 0 && secs > 0 => format!("{}m", secs / 60),
        secs => format!("{secs}s"),
    }
}

impl Overrides {
    pub fn new(all: Vec<Override>) -> Self {
        Overrides(all)
    }
    /// The first reason why a table cannot be followed is the configuration's to report; here what is too short
    /// is raised, and what is not allowed has no effect.
    fn find(&self, fault: &Fault) -> Option<&Override> {
        let status = fault.status().filter(|_| fault.origin != Origin::Sink)?;
        let of_status = || self.0.iter().filter(move |o| o.status == status);
        let exact =
            of_status().find(|o| o.code.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(fault.code_str())));
        exact.or_else(|| of_status().find(|o| o.code.is_none()))
    }

    /// What is done about `fault`: the table's row, unless the operator gave its code a rule.
    pub fn judge(&self, fault: &Fault) -> &'static Rule {
        let rule = judge(fault);
        let Some(change) = self.find(fault) else { return rule };
        let wide = matches!(rule.scope, Scope::Credential | Scope::Tenant);
        // somebody in between says nothing of Mimecast's
        let unknown = fault.attributed && fault.code.is_some() && !rule.knows(fault.code_str());
        let allowed = !rule.harmful || change.allow_harmful;
        match change.action {
            Some(Action::Pause) if unknown && allowed => {
                if wide {
                    &PAUSE_ALL
                } else {
                    &PAUSE_ONE
                }
            }
            Some(Action::Halt) if unknown => {
                if wide {
                    &HALT_ALL
                } else {
                    &HALT_ONE
                }
            }
            None if rule.harmful
                && change.allow_harmful
                && change.pause.is_some()
                && floor(rule).is_none() =>
            {
                if wide {
                    &PAUSE_ALL
                } else {
                    &PAUSE_ONE
                }
            }
            _ => rule,
        }
    }

    /// The wait chosen for this fault, the table with a code before the one without; never below the row's
    /// floor, which does not apply to a simulator.
    pub fn pause(&self, fault: &Fault, loopback: bool) -> Option<Duration> {
        let change = self.find(fault)?;
        let least = if loopback { SHORTEST } else { floor(self.judge(fault))? };
        change.pause.map(|pause| pause.max(least))
    }
}

/// No wait is shorter: a loop without any pause would burn a core whatever the pace.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// The rows that an operator may give to a code. They are no part of the table: nothing leads to them but
/// `action` in the configuration.
pub(super) static CONFIGURED: [&Rule; 4] = [&PAUSE_ONE, &PAUSE_ALL, &HALT_ONE, &HALT_ALL];

static PAUSE_ONE: Rule = configured("C01", Scope::Feed, Verdict::PauseFor(CYCLES), "configured_pause");
static PAUSE_ALL: Rule = configured("C02", Scope::Credential, Verdict::PauseFor(CYCLES), "configured_pause");
static HALT_ONE: Rule = configured("C03", Scope::Feed, halt_probing(super::rule::DAY), "configured_halt");
static HALT_ALL: Rule = configured("C04", Scope::Credential, HALT, "configured_halt");

const fn configured(id: &'static str, scope: Scope, verdict: Verdict, title: &'static str) -> Rule {
    Rule {
        id,
        surfaces: &[Origin::Token, Origin::Api, Origin::Download],
        on: On::ANYTHING,
        scope,
        verdict,
        harmful: false,
        severity: Severity::Error,
        alert: true,
        lasting: STEADY,
        clears: match verdict {
            Verdict::Halt { probe: None } => Clears::Config,
            Verdict::Halt { .. } => Clears::Probe,
            _ => Clears::Success,
        },
        title,
        meaning: "A code that the recovery table does not name; what is done about it is written in `[recovery]` of \
                  the configuration.",
        remedy: "Remove the cause, or change the table in the configuration.",
    }
}

#[cfg(test)]
#[path = "overrides_edges.rs"]
mod edges;
