//! Everything that is remembered while the simulator runs: tenants, their feeds and what was handed out.

use crate::accounts::Account;
use crate::clock::Clock;
use crate::feeds::{self, Api, FEEDS, Feed, Kind};
use crate::files::{Cache, Key, Made, Order, Spoil};
use crate::message::mix;
use crate::quota::{Counted, Quota};
use crate::rows::Rows;
use crate::runs::Run;
use crate::scenario::{Call, Options, Scenario, Stage, Verdict};
use crate::signature::Signatures;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// A lock that a panic elsewhere does not spoil: the ledger stays readable.
pub fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the command line fixes.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Per tenant, at the start.
    pub events: u64,
    pub per_file: u64,
    /// Event times reach this far back, milliseconds.
    pub span: i64,
    /// Time of the newest event at the start (client's clock).
    pub newest: i64,
    /// `demo-1` to `demo-<tenants>`, and as many `t-…`, exist beside `demo`.
    pub tenants: u64,
    pub cache_bytes: usize,
}

/// What is known of one file of a feed.
#[derive(Clone, Debug, Default)]
pub struct FileNote {
    pub listed: u32,
    /// Whole and good answers.
    pub handed: u32,
    /// Answers whose bytes were damaged on purpose.
    pub damaged: u32,
    /// Unreadable lines in the last good answer.
    pub unreadable: u64,
    /// Compressed size by what was put into it, and the records' digest.
    pub size: Option<(Spoil, usize)>,
    pub digest: Option<u128>,
}

#[derive(Default)]
pub struct FeedState {
    pub runs: Vec<Run>,
    pub files: Vec<FileNote>,
    /// Events handed out, repeats included.
    pub handed: u64,
    /// Events that were handed out one by one.
    pub rows: Rows,
    /// The same for the records' second form.
    pub second: Rows,
    /// Additional files (empty, bomb) that were handed out, with the unreadable items in each.
    pub extras: BTreeMap<&'static str, u64>,
}

impl FeedState {
    pub fn events(&self) -> u64 {
        self.runs.iter().map(|r| r.events).sum()
    }

    /// The run that a file belongs to.
    pub fn run_of_file(&self, file: u64) -> Option<Run> {
        let at = self.runs.partition_point(|r| r.first_file + r.files <= file);
        self.runs.get(at).copied()
    }

    pub fn note(&mut self, file: u64) -> Option<&mut FileNote> {
        usize::try_from(file).ok().and_then(|at| self.files.get_mut(at))
    }
}

pub struct Tenant {
    pub name: String,
    /// What its events are generated from: 0 is `demo`, n is `demo-n`, numbers behind these are `t-n`.
    pub number: u64,
    pub account: Mutex<Account>,
    pub signatures: Mutex<Signatures>,
    /// The generations of the API that it has used.
    pub used: Mutex<BTreeSet<Api>>,
    pub quotas: Mutex<BTreeMap<Counted, Quota>>,
    feeds: Vec<Mutex<FeedState>>,
    /// Surface → status → requests.
    pub requests: Mutex<BTreeMap<&'static str, BTreeMap<u16, u64>>>,
    pub bearer_leaks: Mutex<u64>,
}

impl Tenant {
    fn new(name: &str, number: u64) -> Self {
        Tenant {
            name: name.to_owned(),
            number,
            account: Mutex::default(),
            signatures: Mutex::default(),
            used: Mutex::default(),
            quotas: Mutex::default(),
            feeds: FEEDS.iter().map(|_| Mutex::default()).collect(),
            requests: Mutex::default(),
            bearer_leaks: Mutex::default(),
        }
    }

    pub fn feed(&self, feed: &Feed) -> Option<MutexGuard<'_, FeedState>> {
        self.feeds.get(feed.index).map(hold)
    }

    /// As in `accountId`.
    pub fn code(&self) -> String {
        format!("CSIM{:05}", self.number)
    }

    pub fn count(&self, surface: &'static str, status: u16) {
        *hold(&self.requests).entry(surface).or_default().entry(status).or_default() += 1;
    }
}

pub struct World {
    pub clock: Clock,
    /// When it began (simulator's clock): tokens of an earlier process are not accepted.
    pub began: i64,
    pub setup: Setup,
    tenants: Mutex<BTreeMap<String, Arc<Tenant>>>,
    pub stage: Mutex<Stage>,
    cache: Mutex<Cache>,
    /// As many files are made at the same time.
    makers: Semaphore,
    /// Requests that belong to no tenant: surface → status → requests.
    pub strangers: Mutex<BTreeMap<&'static str, BTreeMap<u16, u64>>>,
    /// Client ids that do not exist.
    pub unknown_clients: Mutex<BTreeSet<String>>,
}

/// A run of the log of API 1.0 has at least this many files, if it has the events for it.
const MTA_FILES: u64 = 40;
/// Unknown client ids are remembered up to this number.
const MAX_UNKNOWN_CLIENTS: usize = 100;

impl World {
    pub fn new(clock: Clock, setup: Setup, scenario: Scenario) -> Arc<Self> {
        let began = clock.now();
        let stage = Stage::new(scenario, began, setup.seed);
        let makers = std::thread::available_parallelism().map_or(2, usize::from);
        let world = Arc::new(World {
            cache: Mutex::new(Cache::new(setup.cache_bytes)),
            clock,
            began,
            setup,
            tenants: Mutex::default(),
            stage: Mutex::new(stage),
            makers: Semaphore::new(makers),
            strangers: Mutex::default(),
            unknown_clients: Mutex::default(),
        });
        world.tenant("demo");
        world
    }

    /// The tenant of a client id; it comes into being, with its events, when first asked for.
    pub fn tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        let (behind, digits) = match (name.strip_prefix("demo-"), name.strip_prefix("t-")) {
            _ if name == "demo" => (0, "0"),
            (Some(digits), _) => (0, digits),
            (None, Some(digits)) => (self.setup.tenants, digits),
            (None, None) => return None,
        };
        let number = digits.parse::<u64>().ok().filter(|number| *number <= self.setup.tenants)?;
        if name != "demo" && digits.starts_with(['0', '+']) {
            return None;
        }
        let number = behind + number;
        let mut tenants = hold(&self.tenants);
        if let Some(tenant) = tenants.get(name) {
            return Some(Arc::clone(tenant));
        }
        let tenant = Arc::new(Tenant::new(name, number));
        let events = if self.options(name).quiet { 0 } else { self.setup.events };
        let shares = feeds::shares(events);
        let messages = shares.first().copied().unwrap_or(0);
        for (feed, share) in FEEDS.iter().zip(shares) {
            let (from, until) = (self.setup.newest - self.setup.span, self.setup.newest);
            self.publish(&tenant, feed, Batch { events: share, messages, from, until });
        }
        tenants.insert(name.to_owned(), Arc::clone(&tenant));
        Some(tenant)
    }

    /// Those that exist so far, by name.
    pub fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        hold(&self.tenants).values().map(Arc::clone).collect()
    }

    /// Makes more events of a feed available.
    pub fn publish(&self, tenant: &Tenant, feed: &Feed, batch: Batch) {
        if batch.events == 0 {
            return;
        }
        let options = self.options(&tenant.name);
        let Some(mut state) = tenant.feed(feed) else { return };
        self.add_run(tenant, feed, &mut state, batch, &options);
        if options.future > 0 {
            let from = self.clock.wire() + options.future;
            let ahead = Batch { events: 1, messages: 1, from, until: from + 1 };
            self.add_run(tenant, feed, &mut state, ahead, &options);
        }
    }

    fn add_run(&self, tenant: &Tenant, feed: &Feed, state: &mut FeedState, batch: Batch, options: &Options) {
        let mut per_file = self.setup.per_file;
        if feed.kind == Kind::Mta {
            // A file has one type, and a backlog should have files of every type.
            per_file = per_file.min(batch.events.div_ceil(MTA_FILES));
        }
        let in_files = feed.is_batch() || feed.kind == Kind::Mta;
        let files = if in_files { batch.events.div_ceil(per_file) } else { 0 };
        let seed = mix(mix(self.setup.seed, tenant.number), state.runs.len() as u64);
        let run = Run {
            seed,
            events: batch.events,
            messages: batch.messages.max(1),
            first_event: state.events(),
            first_file: state.files.len() as u64,
            files,
            per_file,
            from: batch.from,
            until: batch.until,
            published: self.clock.now(),
            shift: self.clock.ahead(),
            late_by: options.late,
            behind: options.behind,
            hostility: options.hostility,
        };
        state.runs.push(run);
        let total = state.files.len() + usize::try_from(files).unwrap_or(0);
        state.files.resize(total, FileNote::default());
    }

    pub fn note_unknown_client(&self, id: &str) {
        let mut unknown = hold(&self.unknown_clients);
        if unknown.len() < MAX_UNKNOWN_CLIENTS {
            unknown.insert(id.chars().take(100).collect());
        }
    }

    /// The scenario's options as they are for one tenant.
    pub fn options(&self, tenant: &str) -> Options {
        hold(&self.stage).scenario.options_of(tenant).clone()
    }

    /// Until when (simulator's clock) the scenario locks a tenant's account.
    pub fn locked_until(&self, tenant: &str) -> i64 {
        hold(&self.stage).locked_until(tenant)
    }

    /// What the scenario does to a call; counts it.
    pub fn judge(&self, call: &Call) -> Verdict {
        hold(&self.stage).judge(call, self.clock.now())
    }

    /// The bytes of a file, from the cache or freshly made.
    pub async fn file(
        &self,
        tenant: &Tenant,
        feed: &'static Feed,
        file: u64,
        spoil: Spoil,
    ) -> io::Result<Made> {
        let key: Key = (tenant.number, feed.index, file, spoil);
        if let Some(made) = hold(&self.cache).get(&key) {
            return Ok(made);
        }
        let run = tenant.feed(feed).and_then(|state| state.run_of_file(file));
        let run = run.ok_or_else(|| io::Error::other("no such file"))?;
        let order =
            Order { feed, run, file: file - run.first_file, account: tenant.code(), spoil, second: false };
        let permit = self.makers.acquire().await.map_err(io::Error::other)?;
        let made = tokio::task::spawn_blocking(move || order.make()).await.map_err(io::Error::other)??;
        drop(permit);
        hold(&self.cache).put(key, made.clone());
        if let Some(mut state) = tenant.feed(feed)
            && let Some(note) = state.note(file)
        {
            note.size = Some((spoil, made.gzip.len()));
            note.digest = Some(made.digest);
        }
        Ok(made)
    }

    pub fn spoil(&self, tenant: &Tenant, feed: &Feed, file: u64) -> Spoil {
        hold(&self.stage).scenario.spoil(&tenant.name, feed, file)
    }
}

/// Events to publish.
#[derive(Clone, Copy)]
pub struct Batch {
    pub events: u64,
    pub messages: u64,
    pub from: i64,
    pub until: i64,
}

impl Batch {
    /// `events` that happened in the time `over` before `until`.
    pub fn lately(events: u64, until: i64, over: i64) -> Self {
        Batch { events, messages: events, from: until - over, until }
    }
}
