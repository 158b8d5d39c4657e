//! The daemon: built from settings (bound, migrated, nothing running), then run, then drained. It owns every
//! task; nobody else spawns one.

mod board;
mod destination;
#[cfg(test)]
mod destination_tests;
mod drain;
pub mod findings;
pub mod findings_words;
mod fleet;
mod heartbeat;
mod history;
mod jobs;
mod loss;
pub mod plan;
pub mod positions;
pub mod repair;
pub mod requests;
pub mod scopes;
mod shadow;
mod shared_folder;
mod tellers;
pub mod transfer;
mod upkeep;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use board::{Board, SinkView, TargetView, TenantView};
pub use plan::known_feeds;

use crate::admin;
use crate::clock::{Clock, Time};
use crate::config::settings::LogFormat;
use crate::config::{self, Settings};
use crate::limits::{DRAIN_TIMEOUT, FEEDS_NAMED_UNFINISHED};
use crate::setup_error::{ExitCode, SetupError};
use crate::signals::{Signal, Signals, service};
use crate::store::{Options, Store};
use crate::supervisor::policy;
use crate::supervisor::rule::Verdict;
use crate::telemetry::exporter::{self, Exporter};
use crate::telemetry::label::{self, CredentialState};
use crate::telemetry::log;
use crate::telemetry::notice::{Notice, Process};
use fleet::Fleet;
use jobs::Jobs;
use requests::{Answer, Request};
use tellers::Tellers;
use watch::Watch;

/// File in the state directory that says where the running daemon's admin listener is.
pub const ADMIN_ADDRESS_FILE: &str = "admin.address";

/// Reads the configuration, runs until told to stop (with `once`: until everything is collected and delivered),
/// and says how it ended.
///
/// # Errors
/// Whatever keeps it from running, for people, with its exit code.
pub async fn run(config: &Path, once: bool) -> Result<ExitCode, SetupError> {
    let settings = config::load(config, &known_feeds())?;
    let clock = Clock::System;
    let started = clock.now();
    log::init(&settings.log.filter, log_format(settings.log.format))?;
    label::know_codes(policy::RULES.iter().flat_map(|rule| rule.on.codes().iter().copied()));
    let exporter = exporter::install(started)?;
    // one TLS provider for client and sinks; a second call changes nothing
    let _ = rustls::crypto::ring::default_provider().install_default();
    let signals =
        Signals::listen().map_err(|e| SetupError::failed(format!("failed to take over signals: {e}")))?;
    let mut daemon = Daemon::build(config, settings, (clock, started), exporter, once).await?;
    let exit = if once { daemon.run_once(signals).await } else { daemon.run(signals).await };
    let sound = once || exit == ExitCode::Done; // else the next start looks at the store before it uses it
    daemon.stop(started, sound).await;
    Ok(exit)
}

fn log_format(format: LogFormat) -> log::Format {
    match format {
        LogFormat::Auto => log::Format::Auto,
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    }
}

struct Daemon {
    config: PathBuf,
    settings: Settings,
    board: Arc<Board>,
    fleet: Fleet,
    jobs: Jobs,
    tellers: Tellers,
    /// `run --once` looks for alerts itself, when it is time.
    watch: Option<Watch>,
    heartbeat: tokio::sync::watch::Sender<Option<Duration>>,
    exporter: Exporter,
    stop_upkeep: CancellationToken,
}

impl Daemon {
    async fn build(
        config: &Path,
        settings: Settings,
        (clock, started): (Clock, Time),
        exporter: Exporter,
        once: bool,
    ) -> Result<Daemon, SetupError> {
        let options = Options::new(settings.store.max_size, settings.store.retention, clock.clone());
        let store = Store::open(&settings.state_dir, &options).await?;
        requests::prepare(&settings.state_dir)?;
        let now = clock.now();
        shadow::take_up(&store, &settings.state_dir, now)
            .await
            .map_err(|fault| SetupError::failed(format!("failed to take up the kept positions: {fault}")))?;
        let board = Board::new(store, clock.clone(), Some(started));
        board.parts().passing = Some("the daemon is starting; tenants and sinks are shown when they run");
        let stop_upkeep = CancellationToken::new();
        let admin = serve_admin(&settings, &board, &exporter, &stop_upkeep).await?;
        let mut fleet = Fleet::new(board.clone(), host_name(), once);
        for warning in &settings.warnings {
            Notice::Process(Process::ConfigWarning { words: warning }).emit();
        }
        let mut tellers = Tellers::new(board.clone(), host_name(), fleet.failed());
        let ready = tellers.prepare(&settings)?;
        let unread = |fault| SetupError::failed(format!("failed to read the store: {fault}"));
        board.load_alerts().await.map_err(unread)?;
        tellers.apply(ready).await.map_err(unread)?;
        fleet.apply(&settings).await?;
        {
            let mut parts = board.parts();
            (parts.config_ok, parts.passing) = (true, None);
        }
        let news = Process::Started {
            version: env!("CARGO_PKG_VERSION"),
            tenants: settings.tenants.len(),
            feeds: settings.tenants.iter().map(|tenant| tenant.feeds.len()).sum(),
            sinks: settings.sinks.len(),
            admin,
            took: clock.now().since(started),
        };
        Notice::Process(news).emit();
        fleet.guard("upkeep of the store", upkeep::store(board.clone(), stop_upkeep.clone()));
        let dir = settings.state_dir.clone();
        fleet.guard("shadow of the positions", shadow::keep(board.clone(), dir, stop_upkeep.clone()));
        fleet.guard(
            "upkeep of metrics",
            upkeep::telemetry(board.clone(), exporter.clone(), fleet.failed(), stop_upkeep.clone()),
        );
        fleet.guard("history of the last day", history::keep(board.clone(), stop_upkeep.clone()));
        fleet.guard("reminder of ending secrets", upkeep::secrets(board.clone(), stop_upkeep.clone()));
        let heartbeat = tokio::sync::watch::Sender::new(settings.heartbeat);
        let mut watch = Some(Watch::new(board.clone()));
        if let Some(watch) = watch.take_if(|_| !once) {
            fleet.guard("watch over alerts", watch.run(heartbeat.subscribe(), stop_upkeep.clone()));
        }
        heard(service::ready(&fleet_words(&settings)));
        Ok(Daemon {
            config: config.to_owned(),
            settings,
            board,
            fleet,
            jobs: Jobs::default(),
            tellers,
            watch,
            heartbeat,
            exporter,
            stop_upkeep,
        })
    }

    async fn run(&mut self, mut signals: Signals) -> ExitCode {
        let failed = self.fleet.failed();
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => {
                        Notice::Process(Process::Stopping { why: "told to" }).emit();
                        return ExitCode::Done;
                    }
                    Signal::Reload => self.reload().await,
                },
                asked = requests::next(&self.settings.state_dir) => self.take_up(asked).await,
                done = self.jobs.next() => match done {
                    Ok(done) => {
                        if let Some(scope) = &done.moved {
                            self.fleet.look_again(scope);
                        }
                        self.fleet.tell_errands();
                        self.answer(&done.name, &done.answer);
                    }
                    Err(error) => {
                        let words = &error.to_string();
                        Notice::Process(Process::TaskFailed { task: "a request", words, wait: None }).emit();
                        return ExitCode::Failed;
                    }
                },
                () = failed.cancelled() => return ExitCode::Failed,
                code = self.fleet.watch() => return ExitCode::from_number(code),
            }
        }
    }

    async fn run_once(&mut self, mut signals: Signals) -> ExitCode {
        let caught_up = tokio::select! {
            caught_up = Self::run_out(&mut self.fleet, &mut self.watch) => caught_up,
            _ = signals.next() => {
                Notice::Process(Process::Stopping { why: "told to" }).emit();
                return ExitCode::Failed;
            }
        };
        if let Some(watch) = &mut self.watch {
            watch.look(false).await; // an event stored now would reach no sink any more
        }
        self.tellers.farewell().await;
        let status = self.board.status().await;
        let closed = |exit| status.tenants.iter().any(|tenant| exit_of(&tenant.credential) == Some(exit));
        if closed(ExitCode::Permission) {
            return ExitCode::Permission;
        }
        let down: Vec<&str> = status
            .sinks
            .iter()
            .filter(|sink| sink.up == Some(false))
            .map(|sink| sink.name.as_str())
            .collect();
        if closed(ExitCode::Unreachable) || !down.is_empty() {
            let words = if down.is_empty() {
                "not everything is collected: no token could be had; the lines above say why".to_owned()
            } else {
                format!("not everything is delivered; sinks that could not be reached: {}", down.join(", "))
            };
            Notice::Process(Process::Unfinished { words: &words }).emit();
            return ExitCode::Unreachable;
        }
        let waiting = match self.board.store.usage().await {
            Ok(usage) => usage.sinks.iter().map(|sink| sink.events_waiting).sum(),
            Err(_) => u64::MAX, // nobody knows, so nobody may call it done
        };
        if caught_up && waiting == 0 {
            return ExitCode::Done;
        }
        Notice::Process(Process::Unfinished { words: &unfinished(&status, waiting) }).emit();
        ExitCode::Failed
    }

    /// Feeds, then what they gave reason to tell, then sinks. Says whether every feed was caught up.
    async fn run_out(fleet: &mut Fleet, watch: &mut Option<Watch>) -> bool {
        let caught_up = fleet.feeds_out().await;
        if let Some(watch) = watch {
            watch.look(true).await;
        }
        fleet.sinks_out().await;
        caught_up
    }

    async fn take_up(&mut self, asked: requests::Asked) {
        let refused = |text: String| {
            let data = serde_json::Value::Null;
            Some(Answer { exit: ExitCode::Usage as u8, text: text + "\n", data })
        };
        let answer = match asked.request {
            Err(why) => refused(why),
            Ok(Request::Resume { scope }) => Some(self.resume(&scope)),
            Ok(request) => self.jobs.begin(&self.board, &self.settings, &asked.name, request),
        };
        if let Some(answer) = answer {
            self.answer(&asked.name, &answer);
        }
    }

    fn answer(&self, name: &str, answer: &Answer) {
        Notice::Process(Process::CarriedOut { words: &answer.text }).emit();
        requests::answer(&self.settings.state_dir, name, answer);
    }

    fn resume(&self, scope: &str) -> Answer {
        let (exit, text) = if let Some(why) = scopes::no_part(&self.settings, scope) {
            (ExitCode::Usage, why)
        } else if self.tellers.resume(scope) || self.fleet.resume(scope) {
            (ExitCode::Done, format!("the daemon tries {scope} again now; `status` shows what comes of it"))
        } else {
            (ExitCode::Usage, format!("{scope} names nothing that was held back; `status` shows what is"))
        };
        let data = serde_json::json!({ "scope": scope, "resumed": exit == ExitCode::Done });
        Answer { exit: exit as u8, text: text + "\n", data }
    }

    /// A new configuration, or the old one and the reason why.
    async fn reload(&mut self) {
        heard(service::reloading());
        match self.try_reload().await {
            Ok(changes) => {
                Notice::Process(Process::Reloaded { changes: &changes }).emit();
                let mut parts = self.board.parts();
                (parts.config_ok, parts.refused) = (true, None);
            }
            Err(error) => {
                let lines: Vec<&str> =
                    error.message.lines().map(str::trim).filter(|line| line.len() > 1).collect();
                let why = lines.join("; ");
                Notice::Process(Process::ReloadRefused { why: &why }).emit();
                let mut parts = self.board.parts();
                (parts.config_ok, parts.refused) = (false, Some(why));
            }
        }
        heard(service::ready(&fleet_words(&self.settings)));
    }

    async fn try_reload(&mut self) -> Result<String, SetupError> {
        let mut new = config::load(&self.config, &known_feeds())?;
        let fixed = [
            ("state_dir", keep(&self.settings.state_dir, &mut new.state_dir)),
            ("[log]", keep(&self.settings.log, &mut new.log)),
            ("[admin]", keep(&self.settings.admin, &mut new.admin)),
        ];
        let told = self.tellers.prepare(&new)?;
        let mut changes = self.fleet.apply(&new).await?;
        let applied = self.tellers.apply(told).await;
        applied.map_err(|fault| SetupError::failed(format!("failed to prepare the store: {fault}")))?;
        self.heartbeat.send_replace(new.heartbeat);
        self.board.store.limit(new.store.max_size, new.store.retention);
        let in_force = [
            ("[alerts]", self.settings.alerts != new.alerts),
            ("[heartbeat]", self.settings.heartbeat != new.heartbeat),
            ("[store]", self.settings.store != new.store),
        ];
        let changed = in_force.iter().filter(|(_, changed)| *changed);
        changes.extend(changed.map(|(table, _)| format!("{table} is in force as it is now")));
        if changes.is_empty() {
            changes.push("nothing that runs is different".to_owned());
        }
        let fixed = fixed.iter().filter(|(_, changed)| *changed);
        changes.extend(fixed.map(|(key, _)| format!("{key} takes effect at the next start")));
        self.settings = new;
        Ok(changes.join("; "))
    }

    async fn stop(mut self, started: Time, sound: bool) {
        heard(service::stopping());
        self.board.parts().passing =
            Some("the daemon is stopping; tenants and sinks that have stopped are not shown");
        let begun = self.board.clock.now();
        self.jobs.stop(&self.settings.state_dir).await;
        self.fleet.drain(DRAIN_TIMEOUT).await;
        self.stop_upkeep.cancel();
        self.tellers.stop().await;
        history::save(&self.board).await;
        let _ = std::fs::remove_file(self.settings.state_dir.join(ADMIN_ADDRESS_FILE)); // none when admin is off
        let waiting = self
            .board
            .store
            .usage()
            .await
            .map_or(0, |usage| usage.sinks.iter().map(|sink| sink.events_waiting).sum());
        let now = self.board.clock.now();
        if shadow::write(&self.board.store, &self.settings.state_dir, now).await.is_ok() && sound {
            let _ = self.board.store.close().await; // else the next start checks the store
        }
        self.exporter.upkeep();
        let took = self.board.clock.now().since(begun.max(started));
        Notice::Process(Process::Stopped { took, waiting }).emit();
    }
}

/// What a reload cannot change stays what it is in force. Returns whether the new file wants it otherwise.
fn keep<T: Clone + PartialEq>(in_force: &T, wanted: &mut T) -> bool {
    let differs = in_force != wanted;
    wanted.clone_from(in_force);
    differs
}

/// Binds the admin listener and serves it; `None` when it is off.
async fn serve_admin(
    settings: &Settings,
    board: &Arc<Board>,
    exporter: &Exporter,
    stop: &CancellationToken,
) -> Result<Option<std::net::SocketAddr>, SetupError> {
    let Some(config::Admin { listen: address, hosts }) = settings.admin.clone() else { return Ok(None) };
    let failed = |e: std::io::Error| {
        let why = "another program uses the address, or it is not this machine's; change [admin] listen";
        SetupError::failed(format!("failed to listen on {address}: {e} ({why})"))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let file = settings.state_dir.join(ADMIN_ADDRESS_FILE);
    std::fs::write(&file, bound.to_string())
        .map_err(|e| SetupError::failed(format!("failed to write {}: {e}", file.display())))?;
    let (board, exporter, stop) = (board.clone(), exporter.clone(), stop.clone());
    tokio::spawn(async move {
        if let Err(error) = admin::serve((listener, hosts), board, exporter, stop.cancelled_owned()).await {
            Notice::Process(Process::AdminFailed { words: &error.to_string() }).emit();
        }
    });
    Ok(Some(bound))
}

fn fleet_words(settings: &Settings) -> String {
    format!("{} tenants, {} sinks", settings.tenants.len(), settings.sinks.len())
}

/// What a single run leaves undone, in words: it must not end without saying what.
fn unfinished(status: &admin::status::Status, waiting: u64) -> String {
    let behind = status.tenants.iter().flat_map(|tenant| {
        let behind = tenant.feeds.iter().filter(|feed| !feed.caught_up);
        behind.map(|feed| {
            let why = feed.why.as_deref().unwrap_or("not read to its end");
            format!("{}/{} is {}: {why}", tenant.name, feed.name, feed.state.as_str())
        })
    });
    let behind: Vec<String> = behind.collect();
    let named = behind.iter().take(FEEDS_NAMED_UNFINISHED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match behind.len().saturating_sub(FEEDS_NAMED_UNFINISHED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let left = match waiting {
        0 => String::new(),
        u64::MAX => "; the store cannot tell what waits for its sinks".to_owned(),
        events => format!("; {events} events wait in the store for their sinks"),
    };
    let feeds = match behind.len() {
        1 => "1 feed is".to_owned(),
        feeds => format!("{feeds} feeds are"),
    };
    format!("not everything is done: {feeds} behind ({named}{more}){left}")
}

/// What a closed credential means for a program that asks; `None`: it is open. One that is suspended was refused, even
/// if one more attempt is to confirm it, or nobody answered.
pub fn exit_of(credential: &admin::status::Credential) -> Option<ExitCode> {
    let refused = || {
        let rule = credential.rule.as_deref().and_then(policy::by_id);
        rule.is_some_and(|rule| {
            rule.counts_as_failed_login() || matches!(rule.verdict, Verdict::Refresh { .. })
        })
    };
    match credential.state {
        CredentialState::Ok | CredentialState::Refreshing => None,
        CredentialState::Suspended if !refused() => Some(ExitCode::Unreachable),
        _ => Some(ExitCode::Permission),
    }
}

/// What this host calls itself, for syslog headers.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Not being heard by the service manager is worth a debug line and nothing else.
fn heard(result: std::io::Result<()>) {
    if let Err(error) = result {
        Notice::Process(Process::Unheard { words: &error.to_string() }).emit();
    }
}
