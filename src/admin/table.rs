//! The status as an aligned table for a terminal (`status`).

use std::fmt::Write as _;

use super::status::{Alert, AlertTarget, Feed, Sink, Status, Tenant};
use super::words::{self, Tone};
use crate::clock::Time;
use crate::telemetry::escape::clean;

/// The whole status, for people: no colour, no line wider than its contents need.
pub fn render_text(status: &Status) -> String {
    let mut out = String::new();
    let (_, health) = words::health(status.health());
    let running = match status.started {
        Some(started) => format!("running for {}", words::length(status.at.since(started))),
        None => "not running".to_owned(),
    };
    line(&mut out, &format!("mimecollectd {}: {health}, {running}", clean(&status.version)));
    for reason in status.ready.reasons.iter().chain(&status.store.paused) {
        line(&mut out, &format!("  ! {}", clean(reason)));
    }
    for alert in &status.alerts {
        self::alert(&mut out, alert, status.at);
    }
    for tenant in &status.tenants {
        self::tenant(&mut out, tenant, status.at);
    }
    sinks(&mut out, &status.sinks, status.at);
    targets(&mut out, &status.alert_targets, status.at);
    let store = &status.store;
    let (bytes, limit) = (words::size(store.bytes), words::size(store.limit_bytes));
    line(&mut out, &format!("\nStore: {} events, {bytes} of {limit}", words::count(store.events)));
    out
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end()); // a String takes every write
}

fn alert(out: &mut String, alert: &Alert, now: Time) {
    let since = words::since(alert.since, now);
    let head =
        format!("  ! {} {} ({since}{})", alert.severity.as_str(), clean(&alert.scope), clean(&alert.rule));
    line(out, &format!("{head}: {}", clean(&alert.words)));
    if !alert.remedy.is_empty() {
        line(out, &format!("    what to do: {}", clean(&alert.remedy)));
    }
    if !alert.clears.is_empty() {
        let yet = if alert.active { "" } else { " (nobody is told yet)" };
        line(out, &format!("    ends with: {}{yet}", clean(&alert.clears)));
    }
}

fn sign(tone: Tone) -> char {
    match tone {
        Tone::Good | Tone::Busy | Tone::Idle => ' ',
        Tone::Warn | Tone::Bad => '!',
    }
}

fn tenant(out: &mut String, tenant: &Tenant, now: Time) {
    let (_, state) = words::credential(tenant.credential.state);
    let why = tenant.credential.words.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
    let next = match tenant.credential.until {
        Some(until) => format!(", next attempt {}", words::ahead(Some(until), now)),
        None => String::new(),
    };
    line(out, &format!("\n{} (API {}), {state}{why}{next}", clean(&tenant.name), clean(&tenant.api)));
    for code in &tenant.unknown_codes {
        let (name, seen) = (clean(&code.code), words::ago(Some(code.last), now));
        let times = if code.count == 1 { "once".to_owned() } else { format!("{} times", code.count) };
        line(
            out,
            &format!(
                "  ? {} answered {}/{name}, which no rule knows: {times}, last {seen}",
                code.from, code.status
            ),
        );
    }
    let heads = [
        "",
        "FEED",
        "STATE",
        "LAST ANSWER",
        "NEXT POLL",
        "STORED UP TO",
        "EVENTS",
        "QUARANTINED",
        "GAPS",
        "WHY",
    ];
    columns(out, &heads, tenant.feeds.iter().map(|feed| self::feed(feed, now)).collect());
}

fn feed(feed: &Feed, now: Time) -> Vec<String> {
    let (tone, state) = words::feed(feed);
    vec![
        sign(tone).to_string(),
        feed.name.clone(),
        state.to_owned(),
        words::ago(feed.last_success, now),
        words::ahead(feed.next_attempt, now),
        words::ago(feed.cursor_time, now),
        words::count(feed.events_stored),
        words::count(feed.quarantined),
        words::count(feed.gaps_open),
        feed.why.clone().unwrap_or_default(),
    ]
}

fn sinks(out: &mut String, sinks: &[Sink], now: Time) {
    line(out, "\nSinks");
    let heads = [
        "",
        "SINK",
        "STATE",
        "WAITING",
        "OLDEST",
        "DELIVERED",
        "REFUSED",
        "LAST ACK",
        "LEVEL",
        "ADDRESS",
        "WHY",
    ];
    let row = |sink: &Sink| {
        let (tone, state) = words::sink(sink);
        vec![
            sign(tone).to_string(),
            sink.name.clone(),
            state.to_owned(),
            words::count(sink.waiting_events),
            words::ago(sink.oldest_waiting, now),
            words::count(sink.delivered),
            words::count(sink.dead_lettered),
            words::ago(sink.last_ack, now),
            sink.ack_level.map_or("–".to_owned(), |level| level.to_string()),
            sink.address.clone(),
            sink.why.clone().unwrap_or_default(),
        ]
    };
    columns(out, &heads, sinks.iter().map(row).collect());
    for (sink, replay) in sinks.iter().flat_map(|sink| sink.replays.iter().map(move |replay| (sink, replay)))
    {
        let percent = replay.looked_at.min(replay.events) * 100 / replay.events.max(1);
        let (looked_at, events) = (words::count(replay.looked_at), words::count(replay.events));
        let text = format!(
            "   replay {} to {}: {looked_at} of {events} events of {} looked through ({percent} %), {} sent",
            replay.replay,
            sink.name,
            replay.scope,
            words::count(replay.sent)
        );
        line(out, &clean(&text));
    }
}

fn targets(out: &mut String, targets: &[AlertTarget], now: Time) {
    if targets.is_empty() {
        return;
    }
    line(out, "\nAlerts go to");
    let row = |target: &AlertTarget| {
        let (tone, state) = words::target(target);
        vec![
            sign(tone).to_string(),
            target.name.clone(),
            target.kind.clone(),
            state.to_owned(),
            words::count(target.waiting),
            words::ago(target.last_told, now),
            target.address.clone(),
            target.why.clone().unwrap_or_default(),
        ]
    };
    let heads = ["", "TARGET", "TYPE", "STATE", "WAITING", "LAST TOLD", "ADDRESS", "WHY"];
    columns(out, &heads, targets.iter().map(row).collect());
}

/// Figures to the right, words to the left, each column as wide as its widest cell.
fn columns(out: &mut String, heads: &[&str], rows: Vec<Vec<String>>) {
    const RIGHT: [&str; 7] = ["EVENTS", "QUARANTINED", "GAPS", "WAITING", "DELIVERED", "REFUSED", "LEVEL"];
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| clean(cell).into_owned()).collect()).collect();
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut put = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for ((cell, head), width) in cells.zip(heads).zip(&widths) {
            let width = *width;
            // a String takes every write
            let _ = if RIGHT.contains(head) {
                write!(text, " {cell:>width$} ")
            } else {
                write!(text, " {cell:<width$} ")
            };
        }
        line(out, &text);
    };
    put(&mut heads.iter().copied());
    for row in &rows {
        put(&mut row.iter().map(String::as_str));
    }
}
