//! The running parts: runners per feed, couriers per sink. A new configuration is compared with the running one,
//! and only what differs is stopped and started.

mod knock;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::board::{Board, SinkView, TenantView};
use super::drain;
use super::plan::{self, Exits};
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::cursor::{FeedKey, Scope, fits};
use crate::delivery::{Courier, SinkState, Wires};
use crate::fault::Fault;
use crate::limits::{MIN_POLL_INTERVAL, TENANTS_REGISTERED_AT_ONCE, WATCH_EVERY};
use crate::mimecast::catalogue;
use crate::scheduler::account::{Account, Identity};
use crate::scheduler::live::{FeedLive, FeedView};
use crate::scheduler::places::Places;
use crate::scheduler::runner::{Ended, Runner, RunnerWires};
use crate::scheduler::spool;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Begun, Start, Store};
use crate::supervisor::backoff::{Overrides, Pace};
use crate::telemetry::metrics;
use crate::telemetry::notice::{Notice, Process};
use crate::telemetry::pulse;

/// Everything that runs for one configuration.
pub struct Fleet {
    board: Arc<Board>,
    store: Store,
    clock: Clock,
    host: String,
    /// Where files are downloaded and inflated, over all tenants: bounds memory.
    places: Arc<Places>,
    once: bool,
    overrides: Overrides,
    tenants: Vec<RunningTenant>,
    sinks: Vec<RunningSink>,
    /// Bumped when an operator asked for something: every sink looks into the store for what is asked of it.
    errands: watch::Sender<u64>,
    /// The store is exhausted and nothing will be added: couriers may end.
    drain: CancellationToken,
    /// A part panicked: the daemon ends and is started again by its service manager.
    failed: CancellationToken,
}

struct RunningTenant {
    settings: Arc<config::Tenant>,
    account: Arc<Account>,
    feeds: Vec<Arc<FeedView>>,
    /// Tells its secret from others; `None` while it cannot be read.
    secret: Option<String>,
    stop: CancellationToken,
    runners: JoinSet<Ended>,
}

struct RunningSink {
    settings: config::Sink,
    state: watch::Receiver<SinkState>,
    /// As of a tenant.
    secret: Option<String>,
    /// When bumped, the sink is tried at once.
    wake: watch::Sender<u64>,
    stop: CancellationToken,
    courier: JoinHandle<()>,
    abort: AbortHandle,
}

/// A part that is ready to run but does not yet.
struct ReadySink {
    settings: config::Sink,
    sink: crate::sink::Sink,
    /// One for new events, one for those that are sent once more.
    packers: [crate::sink::Packer; 2],
}

struct ReadyTenant {
    settings: Arc<config::Tenant>,
    identity: Identity,
    pace: Pace,
}

impl Fleet {
    /// A fleet without parts; [`Fleet::apply`] adds them.
    pub fn new(board: Arc<Board>, host: String, once: bool) -> Self {
        Fleet {
            store: board.store.clone(),
            clock: board.clock.clone(),
            board,
            host,
            places: Places::new(),
            once,
            overrides: Overrides::default(),
            tenants: Vec::new(),
            sinks: Vec::new(),
            errands: watch::Sender::new(0),
            drain: CancellationToken::new(),
            failed: CancellationToken::new(),
        }
    }

    /// Completes when a part has panicked.
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Makes the running parts those of `settings`. Everything that can fail is tried before anything is
    /// stopped, so that a refused configuration changes nothing. Returns what changed, for people.
    ///
    /// # Errors
    /// A secret or certificate that cannot be read, or a store that cannot be written.
    pub async fn apply(&mut self, settings: &Settings) -> Result<Vec<String>, SetupError> {
        let overrides = plan::overrides(settings);
        let same_rules = overrides == self.overrides || self.tenants.is_empty();
        let wanted: BTreeMap<_, _> =
            settings.tenants.iter().map(|tenant| (tenant.name.as_str(), tenant)).collect();
        let kept_tenants = |running: &&RunningTenant| {
            same_rules && wanted.get(running.settings.name.as_str()) == Some(&&running.settings)
        };
        let kept: BTreeSet<String> =
            self.tenants.iter().filter(kept_tenants).map(|t| t.settings.name.clone()).collect();
        let (mut tenants, mut exits) = (Vec::new(), Exits::new(self.board.hosts.clone()));
        for tenant in settings.tenants.iter().filter(|tenant| !kept.contains(&tenant.name)) {
            tenants.push(self.ready_tenant(tenant, &overrides, &mut exits)?);
        }
        let kept_sinks = |running: &&RunningSink| settings.sinks.contains(&running.settings);
        let kept_sinks: BTreeSet<String> =
            self.sinks.iter().filter(kept_sinks).map(|s| s.settings.name.clone()).collect();
        let changed = settings.sinks.iter().filter(|sink| !kept_sinks.contains(&sink.name));
        let sinks = changed
            .map(|sink| {
                let (made, packers) = plan::sink(sink, &self.host)?;
                Ok(ReadySink { settings: sink.clone(), sink: made, packers })
            })
            .collect::<Result<Vec<_>, SetupError>>()?;
        let mut changes = self.changes(&tenants, &sinks, &kept, &kept_sinks);
        self.overrides = overrides;
        self.stop_tenants(|name| kept.contains(name)).await;
        self.stop_sinks(|name| kept_sinks.contains(name)).await;
        // who starts now takes up what held it, unless its configuration is another one
        changes.extend(self.knock_where_it_may_help());
        let started = self.start(sinks, tenants, settings).await;
        if started.is_err() {
            self.failed.cancel(); // half of a configuration must not go on: a restart tries the whole
        }
        started.map(|()| changes)
    }

    async fn start(
        &mut self,
        sinks: Vec<ReadySink>,
        tenants: Vec<ReadyTenant>,
        settings: &Settings,
    ) -> Result<(), SetupError> {
        self.start_sinks(sinks, settings).await?;
        spool::sweep(self.store.dir());
        let feeds: usize = settings.tenants.iter().map(|tenant| tenant.feeds.len()).sum();
        let mut tenants = tenants.into_iter();
        loop {
            let some: Vec<ReadyTenant> = tenants.by_ref().take(TENANTS_REGISTERED_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let keys: Vec<FeedKey> = some.iter().flat_map(|ready| feed_keys(&ready.settings)).collect();
            let mut begun = self.store.begin_feeds(&keys).await.map_err(startup)?.into_iter();
            for tenant in some {
                self.start_tenant(tenant, &mut begun, feeds).await?;
            }
        }
    }

    fn changes(
        &self,
        tenants: &[ReadyTenant],
        sinks: &[ReadySink],
        kept: &BTreeSet<String>,
        kept_sinks: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut changes = Vec::new();
        let mut say = |what: &str, names: Vec<&str>| {
            if !names.is_empty() {
                changes.push(format!("{what} {}", names.join(", ")));
            }
        };
        let gone = |name: &&str, ready: &[&str], kept: &BTreeSet<String>| {
            !kept.contains(*name) && !ready.contains(name)
        };
        let ready: Vec<&str> = tenants.iter().map(|tenant| tenant.settings.name.as_str()).collect();
        let running = self.tenants.iter().map(|tenant| tenant.settings.name.as_str());
        say("tenants without", running.filter(|name| gone(name, &ready, kept)).collect());
        say("tenants started:", ready);
        let ready: Vec<&str> = sinks.iter().map(|sink| sink.settings.name.as_str()).collect();
        let running = self.sinks.iter().map(|sink| sink.settings.name.as_str());
        say("sinks without", running.filter(|name| gone(name, &ready, kept_sinks)).collect());
        say("sinks started:", ready);
        changes
    }

    fn ready_tenant(
        &self,
        tenant: &Arc<config::Tenant>,
        overrides: &Overrides,
        exits: &mut Exits,
    ) -> Result<ReadyTenant, SetupError> {
        let interval = tenant.feeds.iter().map(|feed| feed.poll_interval).min().unwrap_or(MIN_POLL_INTERVAL);
        let pace = Pace::new(interval, tenant.loopback, overrides.clone());
        Ok(ReadyTenant {
            settings: tenant.clone(),
            identity: plan::identity(tenant, &self.clock, exits)?,
            pace,
        })
    }

    /// `begun`: what the store has of the feeds to come. `of`: how many there are in all.
    async fn start_tenant(
        &mut self,
        ready: ReadyTenant,
        begun: &mut impl Iterator<Item = Begun>,
        of: usize,
    ) -> Result<(), SetupError> {
        // only now: while the old parts ran, the stored gate could still change
        let account =
            Account::open(ready.identity, self.store.clone(), self.clock.clone(), ready.pace).await?;
        account.look_at_proxy();
        let (stop, account) = (CancellationToken::new(), Arc::new(account));
        let mut runners = JoinSet::new();
        let mut feeds = Vec::with_capacity(ready.settings.feeds.len());
        let config = plan::mark(&ready.settings, &self.overrides);
        for (feed, begun) in ready.settings.feeds.iter().zip(begun) {
            let Some(row) = catalogue::find(feed.name) else { continue }; // the configuration knows only these
            let key = begun.0.key.clone();
            metrics::begin_feed(&key, &[]);
            let name = format!("runner of {key}");
            let view = FeedView::new(key, FeedLive::default());
            let pace = Pace::new(feed.poll_interval, ready.settings.loopback, self.overrides.clone());
            let pace = pace.among(of);
            let wires = RunnerWires {
                view: view.clone(),
                stop: stop.clone(),
                places: self.places.clone(),
                once: self.once,
                config,
            };
            let window = (feed.overlap, ready.settings.lookback, ready.settings.siem_endpoint);
            let store = (self.store.clone(), begun);
            let runner = Runner::new(row, window, account.clone(), store, (self.clock.clone(), pace), wires);
            let runner = Box::new(runner);
            let (watched, task) = pulse::living(name, runner.run());
            self.board.parts().watch(watched);
            feeds.push(view);
            runners.spawn(task);
        }
        let view = TenantView {
            settings: ready.settings.clone(),
            host: account.host().clone(),
            credential: account.live(),
            feeds: feeds.clone(),
        };
        self.board.parts().tenants.push(view);
        let (settings, secret) = (ready.settings, account.fingerprint());
        self.tenants.push(RunningTenant { settings, account, feeds, secret, stop, runners });
        Ok(())
    }

    async fn start_sinks(&mut self, ready: Vec<ReadySink>, settings: &Settings) -> Result<(), SetupError> {
        let names: Vec<&str> = settings.sinks.iter().map(|sink| sink.name.as_str()).collect();
        for (name, waiting) in self.store.retain_sinks(&names).await.map_err(startup)? {
            let words = format!(
                "sink {name} is gone from the configuration; {waiting} events it had not got yet are no longer kept for it"
            );
            Notice::Process(Process::ConfigWarning { words: &words }).emit();
        }
        for ready in ready {
            // everything still in the store is new to a new sink, unless the configuration says otherwise
            let start = match ready.settings.start {
                config::settings::Start::Oldest => Start::Oldest,
                config::settings::Start::Now => Start::Now,
            };
            let at = self.store.register_sink(&ready.settings.name, start).await.map_err(startup)?;
            metrics::begin_sink(&ready.settings.name);
            let (state, stop) = (watch::Sender::new(SinkState::default()), CancellationToken::new());
            let wake = watch::Sender::new(0);
            let (seen, secret) = (state.subscribe(), knock::mark(&ready.settings, self.store.salt()));
            let view = SinkView { settings: ready.settings.clone(), state: seen.clone() };
            let wires = Wires {
                state,
                wake: wake.subscribe(),
                errands: self.errands.subscribe(),
                stop: stop.clone(),
                drain: self.drain.clone(),
                failed: self.failed.clone(),
            };
            let courier = Courier::new(
                (ready.settings.name.clone(), ready.sink),
                self.store.clone(),
                (ready.packers, plan::filter(&ready.settings)),
                at,
                (self.clock.clone(), Pace::new(MIN_POLL_INTERVAL, false, Overrides::default())),
                wires,
            );
            let (failed, name) = (self.failed.clone(), ready.settings.name.clone());
            let (watched, task) = pulse::living(format!("courier of sink {name}"), courier.run());
            self.board.parts().watch(watched);
            let task = tokio::spawn(task);
            let abort = task.abort_handle();
            let courier = tokio::spawn(async move {
                if let Err(error) = task.await
                    && error.is_panic()
                {
                    report_panic(&format!("courier of sink {name}"), &error.to_string());
                    failed.cancel();
                }
            });
            self.board.parts().sinks.push(view);
            let settings = ready.settings;
            self.sinks.push(RunningSink { settings, state: seen, secret, wake, stop, courier, abort });
        }
        Ok(())
    }

    /// Runs a task of the daemon's own; when it panics the daemon ends and is started again.
    pub fn guard(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (watched, task) = pulse::living(name, task);
        self.board.parts().watch(watched);
        guarded(self.failed.clone(), name.to_owned(), task);
    }

    /// Wakes what an operator said may go on: `acme`, `acme/siem.*`, `sink:siem` or `host:NAME`. Says whether there is
    /// such. Waits for nobody: a credential that is just logging in is resumed when that is over.
    pub fn resume(&self, scope: &str) -> bool {
        if let Some(host) = scope.strip_prefix("host:") {
            return self.board.hosts.resume(host);
        }
        if let Some(name) = scope.strip_prefix("sink:") {
            let mut known = false;
            for sink in self.sinks.iter().filter(|sink| fits(name, &sink.settings.name)) {
                known = true;
                bump(&sink.wake);
            }
            return known;
        }
        let mut known = false;
        let named = Scope::new(scope);
        let meant = |tenant: &&RunningTenant| feed_keys(&tenant.settings).any(|key| named.covers(&key));
        for tenant in self.tenants.iter().filter(meant) {
            known = true;
            self.board.hosts.resume(tenant.account.host()); // or everything of the tenant would go on waiting
            tenant.account.look_at_proxy();
            let (account, scope) = (tenant.account.clone(), scope.to_owned());
            let feeds: Vec<_> = tenant.feeds.iter().filter(|feed| named.covers(&feed.key)).cloned().collect();
            guarded(self.failed.clone(), format!("resume {scope}"), async move {
                if let Err(fault) = account.resume().await {
                    let words = &format!("failed to resume {scope}: {fault}");
                    Notice::Process(Process::ConfigWarning { words }).emit();
                }
                feeds.iter().for_each(|feed| feed.wake.notify_one());
            });
        }
        known
    }

    /// Feeds of `scope` that are held look at their positions again, which were set. Nobody else: a look at what holds
    /// is a request, and for a refused credential one more refusal.
    pub fn look_again(&self, scope: &str) {
        let named = Scope::new(scope);
        self.wake_feeds(|key| named.covers(key));
    }

    /// Every sink looks into the store for what is asked of it: one that is held at its next attempt.
    pub fn tell_errands(&self) {
        bump(&self.errands);
    }

    fn wake_feeds(&self, whose: impl Fn(&FeedKey) -> bool) {
        let feeds = self.tenants.iter().flat_map(|tenant| &tenant.feeds);
        feeds.filter(|feed| whose(&feed.key)).for_each(|feed| feed.wake.notify_one());
    }

    async fn stop_tenants(&mut self, keep: impl Fn(&str) -> bool) {
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.tenants).into_iter().partition(|tenant| keep(&tenant.settings.name));
        self.tenants = kept;
        self.board.parts().tenants.retain(|view| keep(&view.settings.name));
        gone.iter().for_each(|tenant| tenant.stop.cancel());
        drain::runners(gone.into_iter().map(|tenant| tenant.runners)).await;
    }

    async fn stop_sinks(&mut self, keep: impl Fn(&str) -> bool) {
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.sinks).into_iter().partition(|sink| keep(&sink.settings.name));
        self.sinks = kept;
        self.board.parts().sinks.retain(|view| keep(&view.settings.name));
        gone.iter().for_each(|sink| sink.stop.cancel());
        drain::couriers(gone.into_iter().map(|sink| (sink.courier, sink.abort))).await;
    }

    /// `run --once`: waits until every runner has ended. Says whether every feed was caught up.
    pub async fn feeds_out(&mut self) -> bool {
        let mut all_caught_up = true;
        for tenant in &mut self.tenants {
            while let Some(ended) = tenant.runners.join_next().await {
                match ended {
                    Ok(Ended::CaughtUp) => {}
                    Ok(Ended::Stopped | Ended::HeldBack | Ended::Exit(_)) => all_caught_up = false,
                    Err(error) => {
                        report_panic("runner", &error.to_string());
                        all_caught_up = false;
                    }
                }
            }
        }
        all_caught_up
    }

    /// `run --once`, after [`Fleet::feeds_out`]: waits until every courier has delivered what it can.
    pub async fn sinks_out(&mut self) {
        self.drain.cancel();
        for sink in std::mem::take(&mut self.sinks) {
            let _ = sink.courier.await;
        }
    }

    /// Completes when a runner panicked, or met what the recovery table ends the process for; with the exit code.
    pub async fn watch(&mut self) -> u8 {
        loop {
            for tenant in &mut self.tenants {
                match tenant.runners.try_join_next() {
                    Some(Err(error)) if error.is_panic() => {
                        report_panic("runner", &error.to_string());
                        return ExitCode::Failed as u8;
                    }
                    // the recovery table wants the process to end; the runner's notice said why
                    Some(Ok(Ended::Exit(code))) => return code,
                    _ => {}
                }
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Stops everything: runners and couriers finish what is in flight, at most until `limit` has passed.
    pub async fn drain(&mut self, limit: Duration) {
        self.tenants.iter().for_each(|tenant| tenant.stop.cancel());
        self.sinks.iter().for_each(|sink| sink.stop.cancel());
        let all = async {
            self.stop_tenants(|_| false).await;
            self.stop_sinks(|_| false).await;
        };
        // what is cut off here is in the store and goes out again after the next start
        let _ = tokio::time::timeout(limit, all).await;
    }
}

fn bump(wire: &watch::Sender<u64>) {
    wire.send_modify(|count| *count += 1);
}

/// The tenant's feeds, in the order in which they are started.
fn feed_keys(tenant: &config::Tenant) -> impl Iterator<Item = FeedKey> {
    let key =
        |feed: &config::settings::FeedSettings| FeedKey { tenant: tenant.name.clone(), feed: feed.name };
    tenant.feeds.iter().map(key)
}

/// Runs a task; when it panics, that is said and `failed` is cancelled.
pub fn guarded(
    failed: CancellationToken,
    name: String,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = tokio::spawn(task).await {
            report_panic(&name, &error.to_string());
            failed.cancel();
        }
    })
}

fn report_panic(task: &str, words: &str) {
    Notice::Process(Process::TaskFailed { task, words, wait: None }).emit();
}

fn startup(fault: Fault) -> SetupError {
    SetupError::new(ExitCode::Failed, format!("failed to prepare the store: {fault}"))
}
