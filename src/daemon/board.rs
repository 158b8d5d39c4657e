//! What runs right now, for looking at: the daemon writes it when parts start and stop, `status` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::findings::{self, Facts};
use super::loss::{Growth, Standing, time_to_loss};
use crate::admin::history::History;
use crate::admin::status::{self, Alert, Credential, Ready, Status};
use crate::admin::{Answer, Source};
use crate::alerting::Form;
use crate::alerting::outbox::Outbox;
use crate::alerting::teller::TargetState;
use crate::clock::{Clock, Time};
use crate::config;
use crate::cursor::FeedKey;
use crate::delivery::SinkState;
use crate::fault::{Code, Fault};
use crate::limits::{ALERT_ASIDE_MEMORY, ALERT_BOOKS_EVERY, MIN_POLL_INTERVAL};
use crate::mimecast::catalogue;
use crate::scheduler::hosts::{HostName, Hosts};
use crate::scheduler::live::{CredentialLive, FeedView};
use crate::store::{Account, FeedRow, GapRow, Replay, Store, Usage};
use crate::supervisor::alert::{Book, Finding};
use crate::supervisor::backoff::{Overrides, Pace};
use crate::supervisor::host::Held;
use crate::supervisor::spread::UnknownCode;
use crate::supervisor::{self, policy, words};
use crate::telemetry::label::{FeedState, Grade};
use crate::telemetry::pulse::Watched;

/// A tenant as it runs.
pub struct TenantView {
    pub settings: Arc<config::Tenant>,
    /// Where its API is.
    pub host: HostName,
    pub credential: watch::Receiver<CredentialLive>,
    pub feeds: Vec<Arc<FeedView>>,
}

/// A sink as it runs.
pub struct SinkView {
    pub settings: config::Sink,
    pub state: watch::Receiver<SinkState>,
}

/// A receiver of alerts as it runs.
pub struct TargetView {
    pub name: String,
    pub form: Form,
    /// Scheme, host and port.
    pub address: String,
    pub state: watch::Receiver<TargetState>,
    pub outbox: Arc<Outbox>,
}

/// What changes while the daemon runs.
#[derive(Default)]
pub struct Parts {
    pub tenants: Vec<TenantView>,
    pub sinks: Vec<SinkView>,
    pub targets: Vec<TargetView>,
    /// Tasks that promised signs of life, some of which may have ended.
    pub pulses: Vec<Watched>,
    /// At how many pulses it is worth looking for those that have ended.
    pub look_for_ended: usize,
    pub config_ok: bool,
    /// Why not everything that is configured is shown: the daemon is on its way up or down.
    pub passing: Option<&'static str>,
    /// Why the configuration on disk is not the one in force.
    pub refused: Option<String>,
}

impl Parts {
    /// Tasks that hang, by name.
    pub fn stalled(&self) -> Vec<String> {
        self.pulses.iter().filter_map(Watched::stalled).collect()
    }

    /// Watches one more task. Those that have ended are forgotten whenever as many again have come: looking each time
    /// would make the start of many quadratic.
    pub fn watch(&mut self, task: Watched) {
        if self.pulses.len() >= self.look_for_ended {
            self.pulses.retain(|known| !known.is_gone());
            self.look_for_ended = 2 * self.pulses.len() + 16;
        }
        self.pulses.push(task);
    }
}

/// Everything `status` is made from.
pub struct Board {
    pub store: Store,
    pub clock: Clock,
    pub started: Option<Time>,
    /// What everybody talks to.
    pub hosts: Arc<Hosts>,
    parts: Mutex<Parts>,
    alerts: Mutex<Alerts>,
    history: Mutex<History>,
}

/// What is known of alerts.
#[derive(Default)]
pub struct Alerts {
    pub book: Book,
    pub facts: Facts,
    growth: Growth,
    /// When the accounts are added up next.
    books_due: Option<Time>,
}

impl Board {
    pub fn new(store: Store, clock: Clock, started: Option<Time>) -> Arc<Self> {
        let hosts = Hosts::new(clock.clone());
        Arc::new(Board {
            store,
            clock,
            started,
            hosts,
            parts: Mutex::default(),
            alerts: Mutex::default(),
            history: Mutex::default(),
        })
    }

    /// Held for moments, never across an `await`.
    pub fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for moments, never across an `await`, and after [`Board::parts`] where both are needed.
    pub fn alerts(&self) -> MutexGuard<'_, Alerts> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last day; held for moments, never across an `await`.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago the feed that is furthest behind answered; one that never did counts from the daemon's start.
    pub fn longest_silence(&self, now: Time) -> Duration {
        let parts = self.parts();
        let feeds = parts.tenants.iter().flat_map(|tenant| &tenant.feeds);
        let last = feeds.filter_map(|feed| feed.live().last_success.or(self.started)).min();
        last.map_or(Duration::ZERO, |last| now.since(last))
    }

    /// Reads the book of alerts as the store has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn load_alerts(&self) -> Result<(), Fault> {
        let texts = self.store.alert_book().await?;
        self.alerts().book = Book::restore(texts.iter().map(String::as_str));
        Ok(())
    }

    /// Asks the store for what only it can tell about alerts. What cannot be read stays as it was.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_into_store(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let usage = self.store.usage().await?;
        let aside = self.store.put_aside_since(now.minus(ALERT_ASIDE_MEMORY)).await?;
        let gaps = self.store.newest_gaps().await?;
        let due = self.alerts().books_due.is_none_or(|due| now >= due);
        let unbalanced = match due {
            true => Some(self.store.accounts().await?.iter().flat_map(Account::differences).collect()),
            false => None,
        };
        let rows = self.store.feeds_without_positions().await?;
        let feeds = standings(&self.parts(), &rows, now);
        let mut alerts = self.alerts();
        alerts.growth.note(now, usage.bytes_used);
        alerts.facts.time_to_loss = time_to_loss(alerts.growth.fills_in(room(&usage)), &feeds, now);
        (alerts.facts.usage, alerts.facts.aside, alerts.facts.gaps) = (Some(usage), aside, gaps);
        if let Some(unbalanced) = unbalanced {
            (alerts.facts.unbalanced, alerts.books_due) = (unbalanced, Some(now.plus(ALERT_BOOKS_EVERY)));
        }
        Ok(())
    }

    /// The state of everything now. What the store cannot tell becomes a reason not to be ready.
    pub async fn status(&self) -> Status {
        let (usage, rows, books) = (
            self.store.usage().await,
            self.store.feeds_without_positions().await,
            self.store.accounts().await,
        );
        let failures = [usage.as_ref().err(), rows.as_ref().err(), books.as_ref().err()];
        let told = |fault: &Fault| format!("the store cannot be read: {fault}");
        let reasons: Vec<String> = failures.into_iter().flatten().map(told).collect();
        let gaps = self.store.newest_gaps().await.unwrap_or_default();
        let replays = self.store.replays(true).await.unwrap_or_default();
        let told = Told {
            usage: usage.ok(),
            rows: rows.unwrap_or_default(),
            books: books.unwrap_or_default(),
            gaps,
            replays,
        };
        self.assemble(&told, reasons)
    }

    fn assemble(&self, told: &Told, mut reasons: Vec<String>) -> Status {
        let (parts, now) = (self.parts(), self.clock.now());
        let hosts = self.hosts.all_held();
        let gaps = told.gaps.iter().map(|(open, newest)| (&newest.feed, *open)).collect();
        let tenants: Vec<_> = parts.tenants.iter().map(|view| tenant(view, told, &gaps)).collect();
        let sinks = parts.sinks.iter().map(|view| sink(view, told)).collect();
        let mut store = told.usage.as_ref().map(|usage| store(usage, told)).unwrap_or_default();
        let alerts = {
            let alerts = self.alerts();
            let full = self.store.why_full();
            let facts = told.facts(&parts, &alerts, now);
            store.time_to_data_loss_seconds = facts.time_to_loss.map(|left| left.as_secs());
            let found = findings::find((&parts, &hosts), &facts, full.as_deref(), (self.started, now));
            shown(&alerts.book, found.findings)
        };
        let working = |feed: &status::Feed| {
            matches!(feed.state, FeedState::CaughtUp | FeedState::Collecting | FeedState::Throttled)
        };
        if let Some(why) = parts.passing {
            reasons.insert(0, why.to_owned());
        } else if !tenants.iter().flat_map(|tenant| &tenant.feeds).any(working) {
            reasons.push("no feed works: none has answered yet, or all are held back".to_owned());
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now,
            started: self.started,
            ready: Ready { ok: reasons.is_empty(), reasons },
            config_ok: parts.config_ok,
            alerts,
            hosts: hosts.iter().map(host).collect(),
            tenants,
            sinks,
            alert_targets: parts.targets.iter().map(target).collect(),
            store,
        }
    }
}

/// What the store told, at one look.
struct Told {
    usage: Option<Usage>,
    /// In order of their keys, and without positions.
    rows: Vec<FeedRow>,
    books: Vec<Account>,
    /// Open gaps of each feed that has some: how many, and the newest.
    gaps: Vec<(u64, GapRow)>,
    /// Those that are not finished, newest first.
    replays: Vec<Replay>,
}

impl Told {
    /// What only the store can tell, as fresh as it is here; the rest as of the watch's last look.
    fn facts(&self, parts: &Parts, alerts: &Alerts, now: Time) -> Facts {
        let last = &alerts.facts;
        let fills_in = self.usage.as_ref().and_then(|usage| alerts.growth.fills_in(room(usage)));
        let unbalanced = match self.books.is_empty() {
            true => last.unbalanced.clone(),
            false => self.books.iter().flat_map(Account::differences).collect(),
        };
        Facts {
            usage: self.usage.clone().or_else(|| last.usage.clone()),
            aside: last.aside.clone(),
            gaps: self.gaps.clone(),
            unbalanced,
            time_to_loss: time_to_loss(fills_in, &standings(parts, &self.rows, now), now),
        }
    }
}

/// One of the rows, which the store gives in order of their keys.
fn of_feed<'a>(rows: &'a [FeedRow], key: &FeedKey) -> Option<&'a FeedRow> {
    rows.binary_search_by(|row| row.key.cmp(key)).ok().and_then(|at| rows.get(at))
}

/// Bytes that may still be taken.
fn room(usage: &Usage) -> u64 {
    usage.limit.saturating_sub(usage.bytes_used)
}

/// Every feed as far as losing events is concerned. When it last answered is known across restarts.
fn standings(parts: &Parts, rows: &[FeedRow], now: Time) -> Vec<Standing> {
    let of_tenant = |tenant: &TenantView| {
        let standing = |feed: &Arc<FeedView>| {
            let reach = (catalogue::find(feed.key.feed)?, tenant.settings.lookback);
            Some(Standing::of(&feed.live(), of_feed(rows, &feed.key), reach, now))
        };
        tenant.feeds.iter().filter_map(standing).collect::<Vec<_>>()
    };
    parts.tenants.iter().flat_map(of_tenant).collect()
}

fn tenant(view: &TenantView, told: &Told, gaps: &BTreeMap<&FeedKey, u64>) -> status::Tenant {
    let (name, credential) = (&view.settings.name, view.credential.borrow().clone());
    let feeds = view.feeds.iter().map(|one| feed(view, one, told, gaps)).collect();
    status::Tenant {
        name: name.clone(),
        api: view.settings.api().as_str().to_owned(),
        credential: Credential {
            state: credential.state,
            until: credential.until,
            rule: credential.rule.map(|rule| rule.id.to_owned()),
            words: credential.rule.map(|rule| words::held(rule, &pace(view))),
            token_expires: credential.token_expires,
            secret_expires: view.settings.secret_expires,
        },
        quota_remaining: credential.quota_remaining,
        unknown_codes: credential.unknown_codes.iter().map(unknown_code).collect(),
        feeds,
    }
}

fn host((name, held): &(HostName, Held)) -> status::Host {
    status::Host {
        name: name.to_string(),
        rule: held.rule.id.to_owned(),
        why: held.words.to_string(),
        words: words::held(held.rule, &Pace::default()),
        since: held.since,
        next_attempt: held.until,
    }
}

/// The pace at which the tenant's waits run, for telling them.
fn pace(view: &TenantView) -> Pace {
    let interval = view.settings.feeds.iter().map(|feed| feed.poll_interval).min();
    Pace::new(interval.unwrap_or(MIN_POLL_INTERVAL), view.settings.loopback, Overrides::default())
}

fn unknown_code(known: &UnknownCode) -> status::UnknownCode {
    let UnknownCode { from, status, code, first, last, count } = known.clone();
    status::UnknownCode { from: from.to_owned(), status, code, first, last, count }
}

fn feed(view: &TenantView, feed: &FeedView, told: &Told, gaps: &BTreeMap<&FeedKey, u64>) -> status::Feed {
    let (key, live) = (&feed.key, feed.live().clone());
    let row = of_feed(&told.rows, key);
    // in order of keys, too
    let book = told.books.binary_search_by(|book| book.feed.cmp(key)).ok().and_then(|at| told.books.get(at));
    status::Feed {
        name: key.feed.to_owned(),
        state: live.state,
        why: live.why,
        rule: live.rule.map(|rule| rule.id.to_owned()),
        last_success: live.last_success.or(row.and_then(|row| row.last_success)),
        next_attempt: live.next_attempt,
        cursor_time: row.and_then(|row| row.last_event_time),
        events_stored: row.map_or(0, |row| row.stored),
        quarantined: book.map_or(0, |book| book.in_quarantine.0),
        gaps_open: gaps.get(key).copied().unwrap_or(0),
        poll_interval_seconds: view
            .settings
            .feeds
            .iter()
            .find(|feed| feed.name == key.feed)
            .map_or(0.0, |feed| feed.poll_interval.as_secs_f64()),
        caught_up: live.caught_up,
    }
}

fn sink(view: &SinkView, told: &Told) -> status::Sink {
    let (name, live) = (&view.settings.name, view.state.borrow().clone());
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
        dead_lettered: books.iter().map(|account| account.in_letters.0).sum(),
        last_ack: live.last_ack,
        next_attempt: live.next_attempt,
        why: live.why,
        replays: told.replays.iter().rev().filter(|replay| replay.sink == *name).map(replay).collect(),
    }
}

fn replay(row: &Replay) -> status::Replay {
    status::Replay {
        replay: row.id,
        scope: row.scope.clone(),
        asked: row.asked,
        events: row.total,
        looked_at: row.looked_at,
        sent: row.sent,
        refused: row.refused,
    }
}

fn store(usage: &Usage, told: &Told) -> status::Store {
    let full = "the disk is full: collection pauses until there is room, delivery goes on";
    let put_aside = usage.dead_letter_bytes.saturating_add(usage.quarantine_bytes);
    let over = if put_aside.saturating_mul(2) > usage.bytes_used {
        "dead letters and quarantine fill [store] max_size: collection pauses until they are sent or given up"
    } else {
        "undelivered events reached [store] max_size: collection pauses until sinks have taken some"
    };
    status::Store {
        events: told.books.iter().map(|account| account.kept).sum(),
        bytes: usage.bytes_used,
        dead_letter_bytes: usage.dead_letter_bytes,
        quarantine_bytes: usage.quarantine_bytes,
        limit_bytes: usage.limit,
        time_to_data_loss_seconds: None,
        unbalanced: told.books.iter().flat_map(Account::differences).collect(),
        paused: if usage.disk_full {
            Some(full.to_owned())
        } else {
            usage.over_limit.then(|| over.to_owned())
        },
    }
}

/// What is wrong now, and what was a moment ago and is not believed to be over yet.
fn shown(book: &Book, found: Vec<Finding>) -> Vec<Alert> {
    let loud: BTreeSet<_> = found.iter().map(|finding| finding.key.clone()).collect();
    let quiet = book.active().filter(|alert| !loud.contains(&alert.key));
    let now = found.into_iter().map(|finding| {
        let entry = book.get(&finding.key).filter(|entry| !entry.is_over());
        Alert {
            active: entry.is_some_and(supervisor::alert::Alert::is_active),
            since: entry.map(|entry| entry.since).or(finding.since),
            scope: finding.key.scope,
            tenant: finding.key.tenant,
            rule: finding.key.alert,
            title: finding.title,
            severity: Grade::of(finding.severity),
            words: finding.words,
            remedy: finding.remedy,
            clears: finding.clears,
        }
    });
    let before = quiet.map(|alert| Alert {
        scope: alert.key.scope.clone(),
        tenant: alert.key.tenant.clone(),
        rule: alert.key.alert.clone(),
        title: alert.title.clone(),
        severity: Grade::of(alert.severity),
        active: true,
        since: Some(alert.since),
        words: alert.words.clone(),
        remedy: alert.remedy.clone(),
        clears: alert.clears.clone(),
    });
    now.chain(before).collect()
}

fn target(view: &TargetView) -> status::AlertTarget {
    let live = view.state.borrow().clone();
    status::AlertTarget {
        name: view.name.clone(),
        kind: view.form.as_str().to_owned(),
        address: view.address.clone(),
        up: live.up,
        waiting: view.outbox.waiting() as u64,
        refused: live.refused as u64,
        last_told: live.last_told,
        next_attempt: live.next_attempt,
        why: live.why,
    }
}

impl Source for Board {
    fn status(&self) -> Answer<'_, Status> {
        Box::pin(Board::status(self))
    }
    fn history(&self) -> History {
        Board::history(self).clone()
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
