//! Numbers and times in the words of the page and of the terminal table.

use std::cmp::Reverse;
use std::time::Duration;

use super::status::{AlertTarget, Feed, Health, Sink, Status, Store, Tenant};
use crate::clock::Time;
use crate::telemetry::label::{CredentialState, FeedState, Grade};

/// How a state looks: colour on the page, sign in the terminal. The word beside it carries the meaning. In order: what
/// comes later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Good,
    Busy,
    Idle,
    Warn,
    Bad,
}

/// `with 5 MiB of dead letters and 1.2 KiB of quarantine`, as far as there are any.
pub(super) fn put_aside(store: &Store) -> Option<String> {
    let (letters, quarantine) = (size(store.dead_letter_bytes), size(store.quarantine_bytes));
    match (store.dead_letter_bytes, store.quarantine_bytes) {
        (0, 0) => None,
        (_, 0) => Some(format!("with {letters} of dead letters")),
        (0, _) => Some(format!("with {quarantine} of quarantine")),
        _ => Some(format!("with {letters} of dead letters and {quarantine} of quarantine")),
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `5 MiB`, `1.2 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut units = UNITS.iter().peekable();
    while let Some(unit) = units.next() {
        if value < 1024.0 || units.peek().is_none() {
            let digits = if value < 10.0 && *unit != "B" { 1 } else { 0 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    String::new()
}

/// A length of time in its largest whole unit: `now` below a second.
pub(super) fn length(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => "now".to_owned(),
        1..=119 => format!("{secs} s"),
        120..=7199 => format!("{} min", secs / 60),
        7200..=172_799 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// `3 min ago`; `–` when never.
pub(super) fn ago(time: Option<Time>, now: Time) -> String {
    match time.map(|time| length(now.since(time))) {
        None => "–".to_owned(),
        Some(length) if length == "now" => "just now".to_owned(),
        Some(length) => format!("{length} ago"),
    }
}

/// `for 3 min, `; empty when nobody knows.
pub(super) fn since(time: Option<Time>, now: Time) -> String {
    time.map(|time| format!("for {}, ", length(now.since(time)).replace("now", "a moment")))
        .unwrap_or_default()
}

/// `2026-01-01 09:30:00 UTC`.
pub(super) fn moment(time: Time) -> String {
    let text = time.rfc3339();
    let (date, clock) = (text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default());
    format!("{date} {clock} UTC")
}

/// `in 4 min`; `due` when past; `–` when never.
pub(super) fn ahead(time: Option<Time>, now: Time) -> String {
    match time.map(|time| length(time.since(now))) {
        None => "–".to_owned(),
        Some(length) if length == "now" => "due".to_owned(),
        Some(length) => format!("in {length}"),
    }
}

pub(super) fn health(health: Health) -> (Tone, &'static str) {
    match health {
        Health::Working => (Tone::Good, "Working"),
        Health::NotRunning => (Tone::Idle, "Not running"),
        Health::Attention => (Tone::Warn, "Needs attention"),
        Health::Failing => (Tone::Bad, "Failing"),
    }
}

pub(super) fn feed(feed: &Feed) -> (Tone, &'static str) {
    match feed.state {
        FeedState::Starting => (Tone::Idle, "starting"),
        FeedState::Collecting => (Tone::Busy, "collecting"),
        FeedState::CaughtUp => (Tone::Good, "caught up"),
        FeedState::BackingOff => (Tone::Warn, "backing off"),
        FeedState::Throttled => (Tone::Warn, "throttled"),
        FeedState::Paused => (Tone::Warn, "paused"),
        FeedState::Halted => (Tone::Bad, "halted"),
    }
}

/// The same, and what lies aside or was not collected: what is looked at first.
pub(super) fn trouble(feed: &Feed) -> Tone {
    let aside = feed.quarantined > 0 || feed.gaps_open > 0;
    self::feed(feed).0.max(if aside { Tone::Warn } else { Tone::Good })
}

/// The worst of a tenant's credential and feeds.
pub(super) fn tenant(tenant: &Tenant) -> Tone {
    let worst = tenant.feeds.iter().map(trouble).max().unwrap_or(Tone::Idle);
    worst.max(credential(tenant.credential.state).0)
}

/// `9 feeds: 7 caught up, 1 backing off, 1 halted`.
pub(super) fn feeds(feeds: &[Feed]) -> String {
    let mut counts: Vec<((Tone, &str), usize)> = Vec::new();
    for state in feeds.iter().map(self::feed) {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    counts.sort();
    let all = if feeds.len() == 1 { "1 feed".to_owned() } else { format!("{} feeds", feeds.len()) };
    match counts.as_slice() {
        [] => all,
        [((_, word), _)] => format!("{all} {word}"),
        _ => {
            let parts: Vec<String> =
                counts.iter().map(|((_, word), count)| format!("{count} {word}")).collect();
            format!("{all}: {}", parts.join(", "))
        }
    }
}

/// An alert's title for reading: `locked_out` as `locked out`.
pub(super) fn title(title: &str) -> String {
    title.replace('_', " ")
}

/// What the top of the page says in one sentence: the worst there is, or that all is well.
pub(super) fn sentence(status: &Status) -> String {
    // of equals the first: `max_by_key` would take the last
    let worst = status.alerts.iter().min_by_key(|alert| Reverse((alert.severity, alert.active)));
    let worst = worst.filter(|alert| alert.severity > Grade::Info);
    let more = match status.alerts.iter().filter(|alert| alert.severity > Grade::Info).count() {
        0 | 1 => String::new(),
        2 => ", and one more alert".to_owned(),
        alerts => format!(", and {} more alerts", count(alerts as u64 - 1)),
    };
    match (&status.store.paused, worst, status.ready.reasons.first()) {
        (Some(why), ..) => {
            let why = why.split(':').next().unwrap_or_default();
            format!("Collection is paused: {why}{more}.")
        }
        (None, Some(alert), _) => format!("{}: {}{more}.", alert.scope, title(&alert.title)),
        (None, None, Some(reason)) => format!("Not ready: {reason}."),
        (None, None, None) => {
            let waiting = status.sinks.iter().map(|sink| sink.waiting_events).max().unwrap_or(0);
            let all = "Every feed is collected and every sink takes events";
            match waiting {
                0 => format!("{all}; nothing waits."),
                _ => format!("{all}; {} events are on their way.", count(waiting)),
            }
        }
    }
}

/// Events a second: `12 /s`, `0.4 /s`.
pub(super) fn rate(events: f64) -> String {
    if events >= 10.0 || events == 0.0 { format!("{} /s", whole(events)) } else { format!("{events:.1} /s") }
}

/// A whole number of things.
pub(super) fn whole(number: f64) -> String {
    count(number.round() as u64)
}

/// A length of time given in seconds; `0 s` for none.
pub(super) fn age(seconds: f64) -> String {
    let length = length(Duration::from_secs(seconds as u64));
    if length == "now" { "0 s".to_owned() } else { length }
}

pub(super) fn credential(state: CredentialState) -> (Tone, &'static str) {
    match state {
        CredentialState::Ok => (Tone::Good, "credential ok"),
        CredentialState::Refreshing => (Tone::Busy, "getting a token"),
        CredentialState::Suspended => (Tone::Warn, "credential suspended"),
        CredentialState::LockedOut => (Tone::Bad, "account locked out"),
        CredentialState::Expired => (Tone::Bad, "credential expired"),
        CredentialState::Revoked => (Tone::Bad, "credential revoked"),
        CredentialState::Denied => (Tone::Bad, "credential denied"),
    }
}

pub(super) fn sink(sink: &Sink) -> (Tone, &'static str) {
    match sink.up {
        None => (Tone::Idle, "not tried yet"),
        Some(true) if sink.waiting_events > 0 => (Tone::Busy, "delivering"),
        Some(true) => (Tone::Good, "up to date"),
        Some(false) => (Tone::Bad, "down"),
    }
}

pub(super) fn target(target: &AlertTarget) -> (Tone, &'static str) {
    match target.up {
        None => (Tone::Idle, "nothing told yet"),
        Some(true) => (Tone::Good, "told"),
        Some(false) if target.refused > 0 => (Tone::Bad, "refused"),
        Some(false) => (Tone::Bad, "cannot be told"),
    }
}

pub(super) fn severity(grade: Grade) -> Tone {
    match grade {
        Grade::Info => Tone::Idle,
        Grade::Warning => Tone::Warn,
        Grade::Error | Grade::Critical => Tone::Bad,
    }
}

/// What an acknowledgement of this level means (contract §8).
pub(super) fn ack_level(level: u8) -> &'static str {
    match level {
        0 => "sent",
        1 => "kernel took it",
        2 => "peer closed",
        3 => "close_notify",
        4 => "answered",
        _ => "stored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [size(0), size(1536), size(5 << 20), size(u64::MAX)],
            ["0 B", "1.5 KiB", "5.0 MiB", "16777216 TiB"]
        );
        let now = Time::from_secs(1_000_000);
        let said = |secs: i64| ago(Some(Time::from_secs(1_000_000 - secs)), now);
        assert_eq!(
            [said(0), said(90), said(300), said(7200)],
            ["just now", "90 s ago", "5 min ago", "2 h ago"]
        );
        assert_eq!(ahead(Some(Time::from_secs(1_000_240)), now), "in 4 min");
        assert_eq!((ahead(Some(Time(0)), now), ahead(None, now)), ("due".into(), "–".into()));
    }
}
