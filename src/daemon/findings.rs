//! Everything that can be wrong, found in one place: what `status`, the page, `alert_active` and the alerts that
//! people get are made from, so that none of them can know more than another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::board::{Parts, SinkView, TenantView};
use super::findings_words::WORDS;
use super::positions;
use crate::alerting::outbox;
use crate::clock::Time;
use crate::config::API_1_RETIRES;
use crate::config::settings::Api;
use crate::cursor::FeedKey;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{
    ALERT_ASIDE_MEMORY, ALERT_COUNTED_ROWS, ALERT_LOSS_NEAR, ALERT_SILENT_INTERVALS, ALERT_SILENT_SLACK,
    ALERT_STORE_PERCENT, ALERT_TENANTS_NAMED, SECRET_WARNING_DAYS, SINK_PROBE_EVERY,
};
use crate::mimecast::catalogue;
use crate::scheduler::hosts::HostName;
use crate::scheduler::live::FeedLive;
use crate::store::{Aside, GapRow, Usage};
use crate::supervisor::alert::{Finding, Key, patience};
use crate::supervisor::host::Held;
use crate::supervisor::policy;
use crate::supervisor::rule::{Rule, Scope, Severity, Verdict};
use crate::supervisor::spread::UnknownCode;
use crate::telemetry::label::FeedState;
use crate::telemetry::notice::Span;

/// Scope of what is wrong with this machine in Mimecast's eyes, whichever tenant it asks for.
pub(super) const MACHINE: &str = "machine";

/// What only the store can tell, as of its last look.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub usage: Option<Usage>,
    /// Quarantined or refused in the last day.
    pub aside: Vec<Aside>,
    /// Open gaps of each feed that has any: how many, and the newest.
    pub gaps: Vec<(u64, GapRow)>,
    /// Accounts that do not balance, in words.
    pub unbalanced: Vec<String>,
    pub time_to_loss: Option<Duration>,
}

/// What is wrong now, and of whom nobody can say yet.
#[derive(Debug, Default)]
pub struct Found {
    pub findings: Vec<Finding>,
    /// Scopes that have not been asked since the start.
    pub unsettled: BTreeSet<String>,
}

/// Looks at everything once. `hosts`: those that answer nobody. `full`: why collection pauses for want of room.
pub fn find(
    (parts, hosts): (&Parts, &[(HostName, Held)]),
    facts: &Facts,
    full: Option<&str>,
    (started, now): (Option<Time>, Time),
) -> Found {
    let mut found = Found::default();
    for view in &parts.tenants {
        tenant(view, hosts, (started, now), &mut found);
    }
    found.findings.extend(address_forbidden(&parts.tenants, now));
    found.findings.extend(hosts.iter().filter_map(|held| host(held, now)));
    for view in &parts.sinks {
        sink(view, facts, now, &mut found);
    }
    for view in &parts.targets {
        let (scope, live) = (format!("{}{}", outbox::SCOPE, view.name), view.state.borrow().clone());
        match live.rule.filter(|rule| tells(rule) || live.refused > 0) {
            Some(rule) => {
                let (words, name) = (live.why.unwrap_or_default(), &view.name);
                let finding = by_rule(rule, key("", &scope, rule.id), (live.since, now), words);
                let remedy = format!(
                    "Look at `type`, `url` and `token` of [alerts.{name}] and at the receiver; after a reload and after \
                     `mimecollectd resume {scope}` it is tried at once. What it has not heard waits."
                );
                let clears = "a message that it takes".to_owned();
                found.findings.push(Finding { remedy, clears, ..finding });
            }
            None if live.up.is_none() => drop(found.unsettled.insert(scope)),
            None => {}
        }
    }
    found.findings.extend(parts.stalled().iter().filter_map(|task| stalled(task, now)));
    found.findings.extend(store(facts, full));
    found.findings.extend(put_aside(&facts.aside));
    found.findings.extend(facts.gaps.iter().map(|of_feed| gap(of_feed, now)));
    if let Some(why) = &parts.refused {
        found.findings.push(refused(why));
    }
    one_of_each(&mut found.findings);
    found
}

fn key(tenant: &str, scope: &str, alert: &str) -> Key {
    Key { tenant: tenant.to_owned(), scope: scope.to_owned(), alert: alert.to_owned() }
}

/// What a row of the recovery table says about a fault.
fn by_rule(rule: &Rule, key: Key, (since, now): (Option<Time>, Time), words: String) -> Finding {
    let lasting = since.map_or(Duration::ZERO, |since| now.since(since));
    Finding {
        key,
        severity: rule.severity_after(lasting),
        title: rule.title.to_owned(),
        words: if words.is_empty() { rule.meaning.to_owned() } else { words },
        remedy: rule.remedy.to_owned(),
        clears: rule.clears.as_str().to_owned(),
        since,
        patience: patience(rule).unwrap_or_default(),
        stage: 0,
        waiting: 0,
    }
}

/// What no row stands for.
fn by_word(key: Key, severity: Severity, words: String, (remedy, clears): (&str, &str)) -> Finding {
    debug_assert!(WORDS.iter().any(|(word, ..)| *word == key.alert), "{} cannot be explained", key.alert);
    Finding {
        title: key.alert.clone(),
        key,
        severity,
        words,
        remedy: remedy.to_owned(),
        clears: clears.to_owned(),
        since: None,
        patience: Duration::ZERO,
        stage: 0,
        waiting: 0,
    }
}

/// It is worth telling, now or when it lasts.
fn tells(rule: &Rule) -> bool {
    patience(rule).is_some() || matches!(rule.verdict, Verdict::Halt { .. } | Verdict::Lockout { .. })
}

/// A host that answers nobody: told once, however many wait for it.
fn host((name, held): &(HostName, Held), now: Time) -> Option<Finding> {
    let key = key("", &format!("host:{name}"), held.rule.id);
    tells(held.rule).then(|| by_rule(held.rule, key, (Some(held.since), now), held.words.to_string()))
}

fn tenant(
    view: &TenantView,
    hosts: &[(HostName, Held)],
    (started, now): (Option<Time>, Time),
    found: &mut Found,
) {
    let (name, credential) = (view.settings.name.as_str(), view.credential.borrow().clone());
    let away = hosts.iter().any(|(host, _)| *host == view.host);
    let told_elsewhere = |rule: &Rule| of_this_machine(rule) || (rule.scope == Scope::Host && away);
    if let Some(rule) = credential.rule.filter(|rule| tells(rule) && !told_elsewhere(rule)) {
        let words = credential.words.clone().unwrap_or_default();
        found.findings.push(by_rule(rule, key(name, name, rule.id), (credential.since, now), words));
    }
    for one in &view.feeds {
        let (feed, live) = (&one.key, one.live().clone());
        let settings = view.settings.feeds.iter().find(|settings| settings.name == feed.feed);
        let silent = (credential.rule.is_none() && live.rule.is_none())
            .then(|| silence(feed, &live, settings.map(|settings| settings.poll_interval)?, (started?, now)))
            .flatten();
        found.findings.extend(silent);
        if live.rule.is_none() && !matches!(live.state, FeedState::CaughtUp | FeedState::Collecting) {
            found.unsettled.insert(feed.to_string()); // what held it before a restart may hold it still
        }
        let waits = live.host.as_ref().is_some_and(|host| hosts.iter().any(|(held, _)| held == host));
        found.findings.extend(of_feed(feed, &live, now).filter(|_| !waits));
        found.findings.extend(outruns(feed, &live, credential.until, now));
    }
    let unknown = |live: &FeedLive| {
        live.rule.is_none() && matches!(live.state, FeedState::Starting | FeedState::BackingOff)
    };
    if view.feeds.iter().any(|feed| unknown(&feed.live())) {
        found.unsettled.extend([name.to_owned(), MACHINE.to_owned()]);
    }
    if view.settings.api() == Api::V1 {
        found.findings.push(retires(name));
    }
    if let Some(ends) = view.settings.secret_expires {
        found.findings.extend(secret_ends(name, ends, now));
    }
    found.findings.extend(unknown_codes(name, &credential.unknown_codes, now));
    if let (Some((since, words)), Some(rule)) = (credential.unreadable, policy::by_id("L08")) {
        found.findings.push(by_rule(rule, key(name, name, rule.id), (Some(since), now), words));
    }
    if let Some(skew) = credential.skew_ms
        && let Some(rule) = policy::by_id("L06")
    {
        let words = format!("this machine's clock differs from Mimecast's by {:.0} s", skew as f64 / 1000.0);
        let clears = "a clock that agrees with Mimecast's within a minute".to_owned();
        found
            .findings
            .push(Finding { clears, ..by_rule(rule, key(name, name, rule.id), (None, now), words) });
    }
}

/// Mimecast refuses this machine's address (recovery row M20): one thing to mend, so it is told once, with the tenants
/// that it keeps out.
fn address_forbidden(tenants: &[TenantView], now: Time) -> Option<Finding> {
    let refused = |view: &&TenantView| view.credential.borrow().rule.is_some_and(of_this_machine);
    let refused: Vec<&TenantView> = tenants.iter().filter(refused).collect();
    let credentials = refused.iter().map(|view| view.credential.borrow().clone());
    let first = credentials.min_by_key(|credential| credential.since.unwrap_or(now))?;
    let names: Vec<&str> =
        refused.iter().take(ALERT_TENANTS_NAMED).map(|view| view.settings.name.as_str()).collect();
    let more = match refused.len() - names.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let said = first.words.unwrap_or_default();
    let words = format!("{said} (tenants: {}{more})", names.join(", "));
    let rule = first.rule?;
    let finding = by_rule(rule, key("", MACHINE, rule.id), (first.since, now), words);
    Some(Finding { stage: refused.len() as u64, ..finding })
}

fn of_this_machine(rule: &Rule) -> bool {
    rule.title == "source_ip_forbidden"
}

/// Codes of Mimecast that the recovery table does not name (recovery row H12), for a day after the newest.
fn unknown_codes(tenant: &str, known: &[UnknownCode], now: Time) -> Option<Finding> {
    let recent = known.iter().filter(|code| now.since(code.first) < ALERT_ASIDE_MEMORY);
    let names: Vec<String> = recent.map(|code| format!("{}/{}", code.status, code.code)).collect();
    let words = match names.len() {
        0 => return None,
        1 => format!("Mimecast answered with a code that this version does not know: {}", names.join(", ")),
        _ => format!("Mimecast answered with codes that this version does not know: {}", names.join(", ")),
    };
    let remedy = ("Please report it: it was treated like its status alone.", "a day without another one");
    let stage = names.len() as u64;
    Some(Finding { stage, ..by_word(key(tenant, tenant, "unknown_code"), Severity::Warn, words, remedy) })
}

/// What holds one feed back; what holds the whole credential, tenant or store is told once, with them.
fn of_feed(feed: &FeedKey, live: &FeedLive, now: Time) -> Option<Finding> {
    let rule = live.rule.filter(|rule| tells(rule))?;
    let scope = match rule.scope {
        Scope::Credential | Scope::Tenant => return None,
        Scope::Process if matches!(rule.verdict, Verdict::PauseIntake { .. }) => return None,
        Scope::Host | Scope::Process => feed.tenant.clone(),
        Scope::Item | Scope::File | Scope::Feed | Scope::Sink => feed.to_string(),
    };
    let words = live.why.clone().unwrap_or_default();
    Some(by_rule(rule, key(&feed.tenant, &scope, rule.id), (live.since, now), words))
}

/// A feed that nothing holds back, and that has not answered for too long.
fn silence(
    feed: &FeedKey,
    live: &FeedLive,
    interval: Duration,
    (started, now): (Time, Time),
) -> Option<Finding> {
    let last = live.last_success.map_or(started, |last| last.max(started));
    if now.since(last) < interval * ALERT_SILENT_INTERVALS + ALERT_SILENT_SLACK {
        return None;
    }
    let words = format!("no answer for {}, which is asked every {}", Span(now.since(last)), Span(interval));
    let remedy = ("Look at its line in `status`, and at the log.", "the next good answer");
    let key = key(&feed.tenant, &feed.to_string(), "no_success");
    Some(Finding { since: Some(last), ..by_word(key, Severity::Error, words, remedy) })
}

/// The next attempt, of the feed or of its credential, comes later than Mimecast keeps what is not read yet: whoever
/// asked us to wait for so long has to be told apart from one that costs nothing.
fn outruns(feed: &FeedKey, live: &FeedLive, closed: Option<Time>, now: Time) -> Option<Finding> {
    let next = live.next_attempt.max(closed).filter(|next| *next > now)?;
    let last = live.last_success?;
    let forgets = last.plus(catalogue::find(feed.feed)?.retention);
    if next <= forgets {
        return None;
    }
    let words = format!(
        "the next attempt is due at {}, and from {} on Mimecast forgets what was not read since {}",
        next.rfc3339(),
        forgets.rfc3339(),
        last.rfc3339()
    );
    let remedy = (
        "Remove what holds it up, then run `resume`; else the gap ledger will show a loss.",
        "an earlier attempt that succeeds",
    );
    Some(by_word(
        key(&feed.tenant, &feed.to_string(), "wait_outruns_retention"),
        Severity::Critical,
        words,
        remedy,
    ))
}

fn retires(tenant: &str) -> Finding {
    let (words, remedy) = API_1_RETIRES.split_once(". ").unwrap_or((API_1_RETIRES, ""));
    let remedy = (remedy, "a tenant of API 2.0");
    by_word(key(tenant, tenant, "api_1_retires"), Severity::Warn, words.to_owned(), remedy)
}

fn secret_ends(tenant: &str, ends: Time, now: Time) -> Option<Finding> {
    let words = secret_end(ends, now)?;
    let (stage, severity) = match days_left(ends, now) {
        ..=1 => (4, Severity::Critical),
        2..=7 => (3, Severity::Error),
        8..=14 => (2, Severity::Warn),
        _ => (1, Severity::Warn),
    };
    let remedy = (SECRET_REMEDY, "a later `secret_expires` and a reload");
    Some(Finding { stage, ..by_word(key(tenant, tenant, "secret_expiring"), severity, words, remedy) })
}

/// What to do about a secret that ends or has ended.
pub const SECRET_REMEDY: &str =
    "Create a new secret in Mimecast, put it where the configuration points, and correct `secret_expires`.";

/// Says that the secret has ended, or ends within [`SECRET_WARNING_DAYS`]; `None` when it lasts longer.
pub fn secret_end(ends: Time, now: Time) -> Option<String> {
    let days = days_left(ends, now);
    let date = ends.rfc3339();
    let date = date.get(..10).unwrap_or_default();
    let when = if days < 0 { "ended" } else { "ends" };
    (days <= SECRET_WARNING_DAYS).then(|| format!("the secret {when} on {date}"))
}

fn days_left(ends: Time, now: Time) -> i64 {
    (ends.0 - now.0).div_euclid(86_400_000)
}

fn sink(view: &SinkView, facts: &Facts, now: Time, found: &mut Found) {
    let (scope, live) = (format!("sink:{}", view.settings.name), view.state.borrow().clone());
    let usage =
        facts.usage.iter().flat_map(|usage| &usage.sinks).find(|sink| sink.sink == view.settings.name);
    // a refusal of events holds a sink up only when it refuses all of them, which is never a small thing
    let refuses_all = |rule: &Rule| matches!(rule.verdict, Verdict::Bisect { .. } | Verdict::DeadLetter);
    match live.rule.filter(|rule| tells(rule) || refuses_all(rule)) {
        Some(rule) => {
            let waiting = usage.map_or(0, |usage| usage.events_waiting);
            let words = live.why.unwrap_or_default();
            let finding = by_rule(rule, key("", &scope, rule.id), (live.since, now), words);
            let finding = if refuses_all(rule) { takes_nothing(finding) } else { finding };
            found.findings.push(Finding { waiting, ..finding });
        }
        None if live.up.is_none() => drop(found.unsettled.insert(scope)),
        None => {}
    }
}

/// The row speaks of one event; here it is every event, and at most the first few were put aside.
fn takes_nothing(finding: Finding) -> Finding {
    let scope = &finding.key.scope;
    Finding {
        severity: finding.severity.max(Severity::Error),
        remedy: format!(
            "It refuses every event, so that the sink and not the events must be wrong, and nothing more is put aside: look at \
             what it says, and at the sink's format and address; then run `mimecollectd resume {scope}`."
        ),
        clears: format!(
            "an event that it takes, which is tried every {}, at a reload that changes the sink, and by `resume {scope}`",
            Span(SINK_PROBE_EVERY)
        ),
        ..finding
    }
}

fn store(facts: &Facts, full: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let at = |alert: &str| key("", "store", alert);
    let usage = facts.usage.as_ref();
    if let Some(why) = full {
        // by what happened: the same row of the table has another remedy for a sink's own disk
        let rule = policy::judge(&Fault::new(Origin::Local, Kind::DiskFull, ""));
        findings.push(by_rule(rule, at(rule.id), (None, Time(0)), why.to_owned()));
    } else if let Some(usage) = usage
        && u128::from(usage.bytes_used) * 100 > u128::from(usage.limit) * u128::from(ALERT_STORE_PERCENT)
    {
        let percent = u128::from(usage.bytes_used) * 100 / u128::from(usage.limit.max(1));
        let put_aside = u128::from(usage.dead_letter_bytes.saturating_add(usage.quarantine_bytes));
        let part = put_aside * 100 / u128::from(usage.limit.max(1));
        let words = format!(
            "{percent} % of [store] max_size are full ({part} % of dead letters and quarantine, the rest of undelivered events); at \
             100 % collection pauses"
        );
        let remedy = if put_aside * 2 > u128::from(usage.bytes_used) {
            (
                "Send once more or give up what was put aside (`dead-letters`, `quarantine`), or raise `store.max_size`.",
                "enough of it sent or given up",
            )
        } else {
            ("Get the slow sink going, or raise `store.max_size`.", "sinks that have taken enough events")
        };
        findings.push(by_word(at("store_filling"), Severity::Warn, words, remedy));
    }
    if let Some(left) = facts.time_to_loss.filter(|left| *left < ALERT_LOSS_NEAR) {
        let words = format!("at this pace the first events are lost in {}", Span(left));
        let remedy = (
            "Get going what stands still: the other alerts say what.",
            "a feed that answers again, or a sink that takes events",
        );
        findings.push(by_word(at("data_loss_near"), Severity::Critical, words, remedy));
    }
    if let Some(first) = facts.unbalanced.first() {
        let more = match facts.unbalanced.len() {
            1 => String::new(),
            n => format!("; and {} more", n - 1),
        };
        let remedy =
            ("Keep the store as it is and report this: it must not happen.", "accounts that balance");
        findings.push(by_word(
            at("accounts_unbalanced"),
            Severity::Critical,
            format!("{first}{more}"),
            remedy,
        ));
    }
    findings
}

/// Quarantine and dead letters of the last day, a finding for each feed and each sink.
fn put_aside(aside: &[Aside]) -> Vec<Finding> {
    let mut sums: BTreeMap<Key, (u64, Time, &str)> = BTreeMap::new();
    for item in aside {
        let key = match &item.sink {
            Some(sink) => key("", &format!("sink:{sink}"), "dead_letters"),
            None => key(&item.feed.tenant, &item.feed.to_string(), "quarantine"),
        };
        let sum = sums.entry(key).or_insert((0, item.newest, &item.words));
        sum.0 += item.items;
        if item.newest >= sum.1 {
            (sum.1, sum.2) = (item.newest, &item.words);
        }
    }
    let finding = |(key, (items, _, words)): (Key, (u64, Time, &str))| {
        let refused = key.alert == "dead_letters";
        let what = if refused {
            "events were refused for good in the last day; the newest"
        } else {
            "items could not be read in the last day; the newest"
        };
        let remedy = if refused {
            "Look at `mimecollectd dead-letters list` and at what the sink says."
        } else {
            "Look at `mimecollectd quarantine list`; report it if Mimecast sent it so."
        };
        let clears = "a day without another one";
        // told anew when it is ten times as much, not with every item
        let stage = u64::from(items.checked_ilog10().unwrap_or(0));
        let or_more = if items >= u64::from(ALERT_COUNTED_ROWS) { " or more" } else { "" };
        let words = format!("{items}{or_more} {what}: {words}");
        Finding { stage, ..by_word(key, Severity::Error, words, (remedy, clears)) }
    };
    sums.into_iter().map(finding).collect()
}

fn gap((gaps, newest): &(u64, GapRow), now: Time) -> Finding {
    let many = match gaps {
        1 => "a span of time was not collected:".to_owned(),
        n => format!("{n} spans of time were not collected, the newest"),
    };
    let (from, to) = (newest.span.from.rfc3339(), newest.span.to.rfc3339());
    let fetchable = match positions::fetchable(newest, now) {
        Some((_, until)) => format!("can be fetched until {}", until.rfc3339()),
        None => "cannot be fetched".to_owned(),
    };
    let words =
        format!("{many} from {from} to {to} ({}: {}), which {fetchable}", newest.cause, newest.detail);
    let remedy = (
        "Look at `mimecollectd gaps`; what can be fetched `gaps backfill` fetches.",
        "gaps that are fetched, or accepted with `gaps accept`",
    );
    let key = key(&newest.feed.tenant, &newest.feed.to_string(), "gap_open");
    Finding { stage: *gaps, since: Some(newest.found), ..by_word(key, Severity::Critical, words, remedy) }
}

fn stalled(task: &str, now: Time) -> Option<Finding> {
    let rule = policy::by_id("L10")?;
    let words = format!("{task} gives no sign of life");
    Some(by_rule(rule, key("", task, rule.id), (None, now), words))
}

fn refused(why: &str) -> Finding {
    let remedy = (
        "Mend the file and reload; until then the old configuration stays in force.",
        "a configuration that can be read, and a reload",
    );
    by_word(key("", "configuration", "reload_refused"), Severity::Error, why.to_owned(), remedy)
}

/// Feeds that share a host or a proxy find the same thing each: one of them tells it, the one that found it first.
fn one_of_each(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| a.key.cmp(&b.key).then(a.since.cmp(&b.since)));
    findings.dedup_by(|later, first| later.key == first.key);
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
