//! The running receivers of alerts, as the configuration has them: made ready before anything is stopped, and only
//! what differs is stopped and started.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::board::{Board, TargetView};
use super::fleet::guarded;
use crate::alerting::Form;
use crate::alerting::outbox::{Accepts, Outbox, SCOPE};
use crate::alerting::target::{Plan, Target};
use crate::alerting::teller::{TargetState, Teller};
use crate::config::settings::{AlertForm, AlertSeverity, AlertTarget};
use crate::config::{self, Settings};
use crate::cursor::fits;
use crate::fault::Fault;
use crate::limits::{ALERT_FAREWELL, MIN_POLL_INTERVAL};
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::supervisor::backoff::{Overrides, Pace};
use crate::telemetry::label::Grade;
use crate::telemetry::metrics;
use crate::telemetry::pulse;

/// Everybody who is told.
pub struct Tellers {
    board: Arc<Board>,
    host: String,
    running: Vec<Running>,
    failed: CancellationToken,
    wake: watch::Sender<u64>,
}

struct Running {
    settings: AlertTarget,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Receivers that are ready to run but do not yet.
pub struct Ready {
    new: Vec<(AlertTarget, Target)>,
    wanted: Vec<AlertTarget>,
}

impl Tellers {
    /// Nobody yet. `failed` is cancelled when a task panics.
    pub fn new(board: Arc<Board>, host: String, failed: CancellationToken) -> Self {
        Tellers { board, host, running: Vec::new(), failed, wake: watch::Sender::new(0) }
    }

    /// Reads secrets and certificates of what is new or different.
    ///
    /// # Errors
    /// One that cannot be read or used.
    pub fn prepare(&self, settings: &Settings) -> Result<Ready, SetupError> {
        let known = |target: &&AlertTarget| !self.running.iter().any(|running| running.settings == **target);
        let new = settings.alerts.iter().filter(known);
        let new = new.map(|target| Ok((target.clone(), Target::new(plan(target)?)?)));
        Ok(Ready { new: new.collect::<Result<_, SetupError>>()?, wanted: settings.alerts.clone() })
    }

    /// Stops what is gone or different, starts what is new. What had not been told goes on where it stopped.
    ///
    /// # Errors
    /// The store's.
    pub async fn apply(&mut self, ready: Ready) -> Result<(), Fault> {
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| ready.wanted.contains(&running.settings));
        self.running = kept;
        let known = |view: &TargetView| self.running.iter().any(|running| running.settings.name == view.name);
        self.board.parts().targets.retain(known);
        end(gone).await;
        let names: Vec<&str> = ready.wanted.iter().map(|target| target.name.as_str()).collect();
        self.board.store.retain_alert_targets(&names).await?;
        let due = self.board.store.alerts_due().await?;
        for (settings, target) in ready.new {
            let accepts = Accepts {
                name: settings.name.clone(),
                tenants: settings.tenants.clone(),
                at_least: grade(settings.at_least),
            };
            let outbox = Outbox::new(accepts);
            for row in due.iter().filter(|row| row.target == settings.name) {
                if let Ok(message) = serde_json::from_str(&row.message) {
                    outbox.restore(row.number, message);
                }
            }
            self.start(settings, target, Arc::new(outbox));
        }
        self.wake.send_modify(|count| *count += 1);
        Ok(())
    }

    fn start(&mut self, settings: AlertTarget, target: Target, outbox: Arc<Outbox>) {
        let (state, stop) = (watch::Sender::new(TargetState::default()), CancellationToken::new());
        metrics::begin_alert_target(&settings.name);
        self.board.parts().targets.push(TargetView {
            name: settings.name.clone(),
            form: target.form,
            address: target.peer.clone(),
            state: state.subscribe(),
            outbox: outbox.clone(),
        });
        let teller = Teller {
            target,
            outbox,
            store: self.board.store.clone(),
            clock: self.board.clock.clone(),
            pace: Pace::new(MIN_POLL_INTERVAL, false, Overrides::default()),
            host: self.host.clone(),
            state,
            wake: self.wake.subscribe(),
            stop: stop.clone(),
        };
        let name = format!("alert target {}", settings.name);
        let (watched, task) = pulse::living(name.clone(), teller.run());
        self.board.parts().watch(watched);
        let task = guarded(self.failed.clone(), name, task);
        self.running.push(Running { settings, stop, task });
    }

    /// Tries receivers again, at once: `alerts:ops`, as `status` names one. Says whether there is such.
    pub fn resume(&self, scope: &str) -> bool {
        let Some(glob) = scope.strip_prefix(SCOPE) else { return false };
        let known = self.running.iter().any(|running| fits(glob, &running.settings.name));
        if known {
            self.wake.send_modify(|count| *count += 1); // the others too, which costs them one attempt
        }
        known
    }

    /// Waits until everybody was told, for a short while at most: the rest is in the store.
    pub async fn farewell(&self) {
        let told = async {
            loop {
                let waits =
                    |view: &TargetView| view.outbox.waiting() > 0 && view.state.borrow().up != Some(false);
                if !self.board.parts().targets.iter().any(waits) {
                    return;
                }
                tokio::time::sleep(ALERT_FAREWELL / 100).await;
            }
        };
        let _ = tokio::time::timeout(ALERT_FAREWELL, told).await; // late is not lost
    }

    /// Ends every task.
    pub async fn stop(&mut self) {
        end(std::mem::take(&mut self.running)).await;
    }
}

/// Each may have a post under way, for [`ALERT_TIMEOUT`](crate::limits::ALERT_TIMEOUT) at most: all at the same time.
async fn end(gone: Vec<Running>) {
    gone.iter().for_each(|running| running.stop.cancel());
    for running in gone {
        let _ = running.task.await; // its wrapper reports a panic and ends well
    }
}

fn grade(severity: AlertSeverity) -> Grade {
    match severity {
        AlertSeverity::Info => Grade::Info,
        AlertSeverity::Warn => Grade::Warning,
        AlertSeverity::Error => Grade::Error,
        AlertSeverity::Critical => Grade::Critical,
    }
}

fn plan(target: &AlertTarget) -> Result<Plan, SetupError> {
    let bad = |why: &str| SetupError::config(format!("the address of [alerts.{}]: {why}", target.name));
    let url = target.url.read()?;
    let url = Secret::new(url.expose().trim());
    let parsed = Url::parse(url.expose()).map_err(|_| bad("it is no URL"))?;
    config::url_fits(&parsed, target.allow_insecure).map_err(bad)?;
    Ok(Plan {
        name: target.name.clone(),
        form: match target.form {
            AlertForm::Json => Form::Json,
            AlertForm::Slack => Form::Slack,
            AlertForm::Teams => Form::Teams,
            AlertForm::Alertmanager => Form::Alertmanager,
        },
        url,
        token: target.token.as_ref().map(config::SecretRef::read).transpose()?,
        headers: target
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value.as_str())))
            .collect(),
        proxy: target.proxy.clone(),
        ca_file: target.ca_file.as_deref().map(Path::to_owned),
    })
}
