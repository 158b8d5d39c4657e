//! What runs right now, for looking at: the daemon writes it when parts start and stop, `status` reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::status::{self, Alert, Credential, Ready, Status};
use crate::admin::{Answer, Source};
use crate::clock::{Clock, Time};
use crate::config;
use crate::config::settings::Api;
use crate::cursor::FeedKey;
use crate::delivery::SinkState;
use crate::fault::{Code, Fault};
use crate::scheduler::live::{CredentialLive, FeedLive};
use crate::store::{Account, FeedRow, GapRow, Store, Usage};
use crate::supervisor::policy;
use crate::supervisor::rule::{Rule, Scope};
use crate::supervisor::words;
use crate::telemetry::label::{FeedState, Grade};

/// A tenant as it runs.
pub struct TenantView {
    pub settings: config::Tenant,
    pub credential: watch::Receiver<CredentialLive>,
    pub feeds: Vec<(FeedKey, watch::Receiver<FeedLive>)>,
}

/// A sink as it runs.
pub struct SinkView {
    pub settings: config::Sink,
    pub state: watch::Receiver<SinkState>,
}

/// What changes while the daemon runs.
#[derive(Default)]
pub struct Parts {
    pub tenants: Vec<TenantView>,
    pub sinks: Vec<SinkView>,
    pub config_ok: bool,
    /// Why the configuration on disk is not the one in force.
    pub refused: Option<String>,
}

/// Everything `status` is made from.
pub struct Board {
    pub store: Store,
    pub clock: Clock,
    pub started: Option<Time>,
    parts: Mutex<Parts>,
}

impl Board {
    pub fn new(store: Store, clock: Clock, started: Option<Time>) -> Arc<Self> {
        Arc::new(Board { store, clock, started, parts: Mutex::default() })
    }

    /// Held for moments, never across an `await`.
    pub fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of everything now. What the store cannot tell becomes a reason not to be ready.
    pub async fn status(&self) -> Status {
        let (usage, rows, books) =
            (self.store.usage().await, self.store.feeds().await, self.store.accounts().await);
        let failures = [usage.as_ref().err(), rows.as_ref().err(), books.as_ref().err()];
        let told = |fault: &Fault| format!("the store cannot be read: {fault}");
        let reasons: Vec<String> = failures.into_iter().flatten().map(told).collect();
        let gaps = self.store.gaps_list(0, GAPS_LOOKED_AT).await.unwrap_or_default();
        let told = Told {
            at: self.clock.now(),
            usage: usage.ok(),
            rows: rows.unwrap_or_default(),
            books: books.unwrap_or_default(),
            gaps,
        };
        self.assemble(&told, reasons)
    }

    fn assemble(&self, told: &Told, mut reasons: Vec<String>) -> Status {
        let parts = self.parts();
        let mut alerts = Vec::new();
        let tenants: Vec<_> = parts.tenants.iter().map(|view| tenant(view, told, &mut alerts)).collect();
        let sinks = parts.sinks.iter().map(|view| sink(view, told, &mut alerts)).collect();
        alerts.extend(told.usage.as_ref().and_then(store_alert));
        alerts.extend(parts.refused.as_deref().map(refused_alert));
        let working = |feed: &status::Feed| {
            matches!(feed.state, FeedState::CaughtUp | FeedState::Collecting | FeedState::Throttled)
        };
        if !tenants.iter().flat_map(|tenant| &tenant.feeds).any(working) {
            reasons.push("no feed works: none has answered yet, or all are held back".to_owned());
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: self.clock.now(),
            started: self.started,
            ready: Ready { ok: reasons.is_empty(), reasons },
            config_ok: parts.config_ok,
            alerts,
            tenants,
            sinks,
            store: told.usage.as_ref().map(|usage| store(usage, told)).unwrap_or_default(),
        }
    }
}

/// Open gaps counted for `status`; more than this are one incident anyway.
const GAPS_LOOKED_AT: u32 = 1_000;

/// What the store told, at one look.
struct Told {
    at: Time,
    usage: Option<Usage>,
    rows: Vec<FeedRow>,
    books: Vec<Account>,
    gaps: Vec<GapRow>,
}

fn tenant(view: &TenantView, told: &Told, alerts: &mut Vec<Alert>) -> status::Tenant {
    let (name, credential) = (&view.settings.name, view.credential.borrow().clone());
    if let Some(rule) = credential.rule {
        let words = credential.words.clone().unwrap_or_default();
        let since = (credential.since, told.at);
        alerts.push(alert(name.clone(), name, rule, since, words));
    }
    if view.settings.api() == Api::V1 {
        alerts.push(retiring_alert(name));
    }
    let feeds = view.feeds.iter().map(|(key, live)| feed(key, &live.borrow(), told, alerts)).collect();
    status::Tenant {
        name: name.clone(),
        api: view.settings.api().as_str().to_owned(),
        credential: Credential {
            state: credential.state,
            until: credential.until,
            rule: credential.rule.map(|rule| rule.id.to_owned()),
            words: credential
                .rule
                .map(|rule| format!("{} {} {}", rule.meaning, rule.remedy, words::key(rule))),
            token_expires: credential.token_expires,
            secret_expires: view.settings.secret_expires,
        },
        quota_remaining: credential.quota_remaining,
        feeds,
    }
}

fn feed(key: &FeedKey, live: &FeedLive, told: &Told, alerts: &mut Vec<Alert>) -> status::Feed {
    let row = told.rows.iter().find(|row| row.key == *key);
    // what holds the whole credential is told once, with the tenant
    if let Some(rule) = live.rule
        && rule.alerts_after(live.since.map_or(Duration::ZERO, |since| told.at.since(since)))
        && !matches!(rule.scope, Scope::Credential | Scope::Tenant)
    {
        alerts.push(alert(
            key.to_string(),
            &key.tenant,
            rule,
            (live.since, told.at),
            live.why.clone().unwrap_or_default(),
        ));
    }
    let open = |gap: &&GapRow| gap.feed == *key && gap.closed.is_none();
    status::Feed {
        name: key.feed.to_owned(),
        state: live.state,
        why: live.why.clone(),
        rule: live.rule.map(|rule| rule.id.to_owned()),
        last_success: live.last_success.or(row.and_then(|row| row.last_success)),
        next_attempt: live.next_attempt,
        cursor_time: row.and_then(|row| row.last_event_time),
        events_stored: row.map_or(0, |row| row.stored),
        quarantined: row.map_or(0, |row| row.quarantined),
        gaps_open: told.gaps.iter().filter(open).count() as u64,
        caught_up: live.caught_up,
    }
}

fn sink(view: &SinkView, told: &Told, alerts: &mut Vec<Alert>) -> status::Sink {
    let (name, live) = (&view.settings.name, view.state.borrow().clone());
    let lasting = live.since.map_or(Duration::ZERO, |since| told.at.since(since));
    if let Some(rule) = live.rule.filter(|rule| rule.alerts_after(lasting)) {
        alerts.push(alert(
            format!("sink:{name}"),
            "",
            rule,
            (live.since, told.at),
            live.why.clone().unwrap_or_default(),
        ));
    }
    let waiting = told.usage.as_ref().and_then(|usage| usage.sinks.iter().find(|sink| sink.sink == *name));
    let mine = |account: &Account| account.sinks.iter().find(|sink| sink.sink == *name).cloned();
    let books: Vec<_> = told.books.iter().filter_map(mine).collect();
    let (kind, address) = super::plan::address(&view.settings);
    status::Sink {
        name: name.clone(),
        kind: kind.to_owned(),
        address,
        ack_level: live.ack_level,
        up: live.up,
        waiting_events: waiting.map_or(0, |waiting| waiting.events_waiting),
        oldest_waiting: waiting.and_then(|waiting| waiting.oldest_waiting),
        delivered: books.iter().map(|account| account.delivered).sum(),
        dead_lettered: books.iter().map(|account| account.dead_lettered).sum(),
        last_ack: live.last_ack,
        next_attempt: live.next_attempt,
        why: live.why,
    }
}

fn store(usage: &Usage, told: &Told) -> status::Store {
    let full = "the disk is full: collection pauses until there is room, delivery goes on";
    let over = "undelivered events reached [store] max_size: collection pauses until sinks have taken some";
    status::Store {
        events: told.books.iter().map(|account| account.kept).sum(),
        bytes: usage.bytes_used,
        limit_bytes: usage.limit,
        time_to_data_loss_seconds: None,
        paused: if usage.disk_full {
            Some(full.to_owned())
        } else {
            usage.over_limit.then(|| over.to_owned())
        },
    }
}

fn store_alert(usage: &Usage) -> Option<Alert> {
    let rule = policy::by_id("L01")?;
    let words = if usage.disk_full { "the disk is full" } else { "the store is at [store] max_size" };
    (usage.disk_full || usage.over_limit)
        .then(|| alert("store".to_owned(), "", rule, (None, Time(0)), words.to_owned()))
}

fn retiring_alert(tenant: &str) -> Alert {
    let (words, remedy) = config::API_1_RETIRES.split_once(". ").unwrap_or((config::API_1_RETIRES, ""));
    Alert {
        scope: tenant.to_owned(),
        tenant: tenant.to_owned(),
        rule: "api_1_retires".to_owned(),
        severity: Grade::Warning,
        since: None,
        words: format!("{words}."),
        remedy: format!("{remedy}."),
    }
}

fn refused_alert(why: &str) -> Alert {
    Alert {
        scope: "configuration".to_owned(),
        tenant: String::new(),
        rule: "reload_refused".to_owned(),
        severity: Grade::Error,
        since: None,
        words: why.to_owned(),
        remedy: "Mend the file and reload; until then the old configuration stays in force.".to_owned(),
    }
}

fn alert(
    scope: String,
    tenant: &str,
    rule: &'static Rule,
    (since, now): (Option<Time>, Time),
    words: String,
) -> Alert {
    let lasting = since.map_or(Duration::ZERO, |since| now.since(since));
    Alert {
        scope,
        tenant: tenant.to_owned(),
        rule: rule.id.to_owned(),
        severity: Grade::of(rule.severity_after(lasting)),
        since,
        words,
        remedy: format!("{} {}", rule.remedy, words::key(rule)),
    }
}

impl Source for Board {
    fn status(&self) -> Answer<'_, Status> {
        Box::pin(Board::status(self))
    }
    fn errors(&self) -> serde_json::Value {
        policy::RULES.iter().map(words::as_json).collect()
    }
    fn error(&self, status: u16, code: &str) -> Option<serde_json::Value> {
        let rules = policy::explain(Some(status), Code::new(code).as_ref());
        let rows: Vec<_> = rules.iter().map(|(from, rule)| words::answer_json(from, rule)).collect();
        (!rows.is_empty()).then(|| rows.into())
    }
}
