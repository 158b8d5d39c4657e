//! The task of one receiver: sends what is due, and on a fault does what the recovery table says. It never holds up
//! anybody: whoever has news puts it into the outbox and goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outbox::{Due, Outbox};
use super::target::Target;
use crate::clock::{Clock, Time};
use crate::fault::Fault;
use crate::limits::{
    ALERT_GATHER, ALERT_POST_MESSAGES, ALERT_REFUSED_AGAIN, ALERTMANAGER_EVERY, MAX_ALERTS, SINK_PROBE_EVERY,
};
use crate::store::Store;
use crate::supervisor::backoff::Pace;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::{Ladder, Rule, Verdict};
use crate::telemetry::notice::{Alert as News, Incident, Notice};
use crate::telemetry::pulse;

/// What an operator sees of a receiver.
#[derive(Clone, Debug, Default)]
pub struct TargetState {
    /// The last attempt reached it; `None` before the first.
    pub up: Option<bool>,
    pub last_told: Option<Time>,
    pub next_attempt: Option<Time>,
    pub rule: Option<&'static Rule>,
    pub since: Option<Time>,
    pub why: Option<String>,
    /// Messages that it refused and that wait for another try.
    pub refused: usize,
}

/// Tells one receiver.
pub struct Teller {
    pub target: Target,
    pub outbox: Arc<Outbox>,
    pub store: Store,
    pub clock: Clock,
    pub pace: Pace,
    /// This machine's name.
    pub host: String,
    pub state: watch::Sender<TargetState>,
    /// Bumped by a reload and by `resume`: ends a pause.
    pub wake: watch::Receiver<u64>,
    pub stop: CancellationToken,
}

/// For verdicts without a wait of their own.
const SOON: Ladder = Ladder { first: Duration::from_secs(5), cap: Duration::from_secs(300) };

impl Teller {
    /// Runs until told to stop. What was not told by then is in the store.
    pub async fn run(mut self) {
        let (mut failures, mut most) = (0_u8, ALERT_POST_MESSAGES);
        let mut again = Instant::now() + ALERTMANAGER_EVERY;
        let mut refused = Refused::default();
        while !self.stop.is_cancelled() {
            refused.look_again(self.wake.has_changed().unwrap_or(false));
            self.wake.mark_unchanged();
            let mut due = self.outbox.next(MAX_ALERTS);
            refused.numbers.retain(|number| due.iter().any(|due| due.number == *number));
            due.retain(|due| !refused.numbers.contains(&due.number));
            due.truncate(most);
            let repost = self.target.form.repeats() && Instant::now() >= again;
            if due.is_empty() && !repost {
                if !self.idle(again, &refused).await {
                    return;
                }
                continue;
            }
            pulse::beat();
            match self.tell(&due, repost, &refused).await {
                Ok(()) => {
                    (failures, most) = (0, ALERT_POST_MESSAGES);
                    if repost {
                        again = Instant::now() + ALERTMANAGER_EVERY;
                    }
                }
                Err(fault) if is_refused(&fault) && due.len() > 1 => most = 1, // one of them is refused: which?
                Err(fault) if is_refused(&fault) && !due.is_empty() => {
                    self.put_off(&due, &fault, &mut refused)
                }
                Err(fault) => {
                    failures = failures.saturating_add(1);
                    self.pause(&fault, failures).await;
                }
            }
        }
    }

    /// Waits for news, and a moment more, so that what comes together is told together. False: stop.
    async fn idle(&mut self, again: Instant, refused: &Refused) -> bool {
        let repost = async {
            if self.target.form.repeats() {
                tokio::time::sleep_until(again).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let once_more = async {
            if refused.numbers.is_empty() {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep_until(refused.until).await;
            }
        };
        pulse::rest();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            () = self.outbox.changed() => {}
            Ok(()) = self.wake.changed() => {
                self.wake.mark_changed();
                return true;
            }
            () = once_more => return true,
            () = repost => return true,
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(ALERT_GATHER) => true,
        }
    }

    async fn tell(&self, due: &[Due], repost: bool, refused: &Refused) -> Result<(), Fault> {
        let mut messages: Vec<_> = due.iter().map(|due| due.message.clone()).collect();
        if repost {
            let put_off = self.outbox.next(MAX_ALERTS);
            let put_off = put_off.iter().filter(|due| refused.numbers.contains(&due.number));
            let told: BTreeSet<String> =
                due.iter().chain(put_off).map(|due| due.message.key.name()).collect();
            let told = |name: &str| told.contains(name);
            messages.extend(self.outbox.active().into_iter().filter(|message| !told(&message.key.name())));
        }
        for part in messages.chunks(ALERT_POST_MESSAGES) {
            let body = self.target.form.body(part, &self.host, self.clock.now());
            self.target.post(body).await?;
        }
        if messages.is_empty() {
            return Ok(());
        }
        self.note_success(messages.len(), refused);
        self.forget(due).await;
        Ok(())
    }

    /// What the store cannot take note of now is told once more after a restart.
    async fn forget(&self, due: &[Due]) {
        let names = self.outbox.done(due);
        if !names.is_empty()
            && let Err(fault) = self.store.alerts_told(&self.target.name, &names).await
        {
            Notice::Alert(News::NotKept { words: &fault.to_string() }).emit();
        }
    }

    /// What is refused waits in the outbox and in the store: it is tried again with the next look at it, and holds up
    /// nothing else.
    fn put_off(&self, due: &[Due], fault: &Fault, refused: &mut Refused) {
        for due in due {
            let (target, words) = (self.target.name.as_str(), fault.to_string());
            Notice::Alert(News::Refused { target, alert: &due.message.key.alert, words: &words }).emit();
        }
        if refused.numbers.is_empty() {
            refused.until = Instant::now() + ALERT_REFUSED_AGAIN;
        }
        refused.numbers.extend(due.iter().map(|due| due.number));
        let now = self.clock.now();
        self.state.send_modify(|state| {
            state.since = state.since.or(Some(now));
            (state.up, state.rule, state.refused) = (Some(false), Some(judge(fault)), refused.numbers.len());
            state.next_attempt = Some(now.plus(refused.until.saturating_duration_since(Instant::now())));
            state.why = Some(fault.to_string());
        });
    }

    fn note_success(&self, messages: usize, refused: &Refused) {
        let (target, now) = (self.target.name.as_str(), self.clock.now());
        Notice::Alert(News::Told { target, messages }).emit();
        if !refused.numbers.is_empty() {
            return self.state.send_modify(|state| state.last_told = Some(now)); // it still refuses another one
        }
        if let Some(since) = self.state.borrow().since {
            Notice::Alert(News::TargetUp { target, down_for: now.since(since) }).emit();
        }
        self.state.send_replace(TargetState {
            up: Some(true),
            last_told: Some(now),
            ..TargetState::default()
        });
    }

    async fn pause(&mut self, fault: &Fault, failures: u8) {
        let (rule, moment) = (judge(fault), self.clock.moment());
        let wait = match rule.verdict {
            Verdict::Backoff { wait, .. } | Verdict::PauseFor(wait) => {
                self.pace.after_failure(fault, wait, failures, moment)
            }
            Verdict::Halt { probe } => probe.unwrap_or(SINK_PROBE_EVERY),
            _ => self.pace.after(SOON, failures, moment),
        };
        let (target, waiting) = (self.target.name.as_str(), self.outbox.waiting());
        let incident = Incident::of(fault, rule, Some(wait));
        let news = match failures {
            1 => News::TargetDown { target, incident, waiting },
            _ => News::TargetStillDown { target, incident, waiting },
        };
        Notice::Alert(news).emit();
        self.state.send_modify(|state| {
            state.since = state.since.or(Some(moment.now));
            (state.up, state.rule) = (Some(false), Some(rule));
            (state.next_attempt, state.why) = (Some(moment.now.plus(wait)), Some(fault.to_string()));
        });
        self.wake.mark_unchanged();
        pulse::promise(wait);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            Ok(()) = self.wake.changed() => self.wake.mark_changed(),
        }
    }
}

/// What the receiver refused.
struct Refused {
    /// Numbers of the messages; a newer message of the same alert is not among them.
    numbers: BTreeSet<i64>,
    /// When they are tried again.
    until: Instant,
}

impl Default for Refused {
    fn default() -> Self {
        Refused { numbers: BTreeSet::new(), until: Instant::now() }
    }
}

impl Refused {
    /// The time has come, or somebody changed something: nothing is refused until it is refused again.
    fn look_again(&mut self, woken: bool) {
        if woken || Instant::now() >= self.until {
            self.numbers.clear();
        }
    }
}

/// The receiver does not want this message, as it is set up now.
fn is_refused(fault: &Fault) -> bool {
    matches!(judge(fault).verdict, Verdict::Bisect { .. } | Verdict::DeadLetter)
}
