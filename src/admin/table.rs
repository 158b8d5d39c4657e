//! The status as an aligned table for a terminal (`status`): what needs a person comes first, with what to do.

use std::fmt::Write as _;

use super::columns::{Cell, Column, TextLook, columns};
use super::status::{Alert, AlertTarget, Feed, Health, Sink, Status, Tenant};
use super::words::{self, Tone};
use crate::clock::Time;
use crate::telemetry::escape::clean;

/// The whole status, for people. Without colour and width it is plain text of any width, fit for a file.
pub fn render_text(status: &Status, look: TextLook) -> String {
    let mut out = Text { out: String::new(), look };
    let (tone, health) = words::health(status.health());
    let running = match status.started {
        Some(started) => format!(", running for {}", words::length(status.at.since(started))),
        None if status.health() == Health::NotRunning => String::new(),
        None => ", not running".to_owned(),
    };
    out.line(&format!("mimecollectd {}: {}{running}", clean(&status.version), look.paint(tone, health)));
    for reason in status.ready.reasons.iter().chain(&status.store.paused) {
        let tone = if status.started.is_some() { Tone::Bad } else { Tone::Idle };
        out.wrapped(&look.paint(tone, "  ! "), "    ", &clean(reason));
    }
    let mut alerts: Vec<&Alert> = status.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse((alert.active, alert.severity))); // the worst first
    for alert in alerts {
        self::alert(&mut out, alert, status.at);
    }
    for tenant in &status.tenants {
        self::tenant(&mut out, tenant, status);
    }
    sinks(&mut out, status);
    targets(&mut out, &status.alert_targets, status.at);
    let store = &status.store;
    let (bytes, limit) = (words::size(store.bytes), words::size(store.limit_bytes));
    let aside = words::put_aside(store).map_or_else(String::new, |words| format!(", {words}"));
    out.line(&format!("\nStore: {} events, {bytes} of {limit}{aside}", words::count(store.events)));
    out.out
}

/// What has been written so far, and for what terminal.
struct Text {
    out: String,
    look: TextLook,
}

impl Text {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", text.trim_end()); // a String takes every write
    }
    /// Prose after a lead, broken at the terminal's width, further lines below the first word.
    fn wrapped(&mut self, lead: &str, indent: &str, text: &str) {
        for (at, part) in self.look.wrap(text, indent.chars().count()).iter().enumerate() {
            let begin = if at == 0 { lead } else { indent };
            self.line(&format!("{begin}{part}"));
        }
    }
    fn table(&mut self, heads: &[Column], rows: Vec<Vec<Cell>>) {
        for line in columns(self.look, heads, rows) {
            self.line(&line);
        }
    }
}

fn alert(out: &mut Text, alert: &Alert, now: Time) {
    let since = words::since(alert.since, now);
    let severity = out.look.paint(words::severity(alert.severity), alert.severity.as_str());
    let lead = format!("  ! {severity} ");
    let text = format!("{} ({since}{}): {}", clean(&alert.scope), clean(&alert.rule), clean(&alert.words));
    out.wrapped(&lead, "    ", &text);
    if !alert.remedy.is_empty() {
        out.wrapped("    what to do: ", "                ", &clean(&alert.remedy));
    }
    if !alert.clears.is_empty() {
        let yet = if alert.active { "" } else { " (nobody is told yet)" };
        out.wrapped("    ends with: ", "               ", &format!("{}{yet}", clean(&alert.clears)));
    }
}

fn sign(tone: Tone) -> Cell {
    match tone {
        Tone::Good | Tone::Busy | Tone::Idle => Cell::plain(" "),
        Tone::Warn | Tone::Bad => Cell::toned("!", tone),
    }
}

/// What a daemon that does not run is doing.
const STOPPED: (Tone, &str) = (Tone::Idle, "–");

fn tenant(out: &mut Text, tenant: &Tenant, status: &Status) {
    let now = status.at;
    let (tone, state) = words::credential(tenant.credential.state);
    let next = match tenant.credential.until {
        Some(until) => format!(", next attempt {}", words::ahead(Some(until), now)),
        None => String::new(),
    };
    let state = out.look.paint(tone, state);
    out.line(&format!("\n{} (API {}), {state}{next}", clean(&tenant.name), clean(&tenant.api)));
    if let Some(why) = &tenant.credential.words {
        out.wrapped("  ", "  ", &clean(why));
    }
    for code in &tenant.unknown_codes {
        let (name, seen) = (clean(&code.code), words::ago(Some(code.last), now));
        let times = if code.count == 1 { "once".to_owned() } else { format!("{} times", code.count) };
        out.line(&format!(
            "  ? {} answered {}/{name}, which no rule knows: {times}, last {seen}",
            code.from, code.status
        ));
    }
    const HEADS: [Column; 10] = [
        Column::words(""),
        Column::words("FEED"),
        Column::words("STATE"),
        Column::words("LAST ANSWER").less(1),
        Column::words("NEXT POLL").less(3),
        Column::words("STORED UP TO").less(4),
        Column::figures("EVENTS").less(5),
        Column::figures("QUARANTINED").less(2),
        Column::figures("GAPS").less(2),
        Column::below("WHY"),
    ];
    out.table(&HEADS, tenant.feeds.iter().map(|feed| self::feed(feed, status)).collect());
}

fn feed(feed: &Feed, status: &Status) -> Vec<Cell> {
    let now = status.at;
    let (tone, state) = if status.started.is_some() { words::feed(feed) } else { STOPPED };
    let some = |count: u64| {
        let tone = if count == 0 { Tone::Idle } else { Tone::Warn };
        Cell::toned(words::count(count), tone)
    };
    vec![
        sign(tone),
        Cell::plain(&feed.name),
        Cell::toned(state, tone),
        Cell::plain(words::ago(feed.last_success, now)),
        Cell::plain(words::ahead(feed.next_attempt, now)),
        Cell::plain(words::ago(feed.cursor_time, now)),
        Cell::plain(words::count(feed.events_stored)),
        some(feed.quarantined),
        some(feed.gaps_open),
        Cell::plain(feed.why.clone().unwrap_or_default()),
    ]
}

fn sinks(out: &mut Text, status: &Status) {
    let now = status.at;
    out.line("\nSinks");
    let row = |sink: &Sink| {
        let (tone, state) = if status.started.is_some() { words::sink(sink) } else { STOPPED };
        let refused = if sink.dead_lettered == 0 { Tone::Idle } else { Tone::Warn };
        vec![
            sign(tone),
            Cell::plain(&sink.name),
            Cell::toned(state, tone),
            Cell::plain(words::count(sink.waiting_events)),
            Cell::plain(words::ago(sink.oldest_waiting, now)),
            Cell::plain(words::count(sink.delivered)),
            Cell::toned(words::count(sink.dead_lettered), refused),
            Cell::plain(words::ago(sink.last_ack, now)),
            Cell::plain(words::ahead(sink.next_attempt, now)),
            Cell::plain(sink.ack_level.map_or("–".to_owned(), |level| level.to_string())),
            Cell::plain(&sink.address),
            Cell::plain(sink.why.clone().unwrap_or_default()),
        ]
    };
    const HEADS: [Column; 12] = [
        Column::words(""),
        Column::words("SINK"),
        Column::words("STATE"),
        Column::figures("WAITING"),
        Column::words("OLDEST").less(4),
        Column::figures("DELIVERED").less(5),
        Column::figures("REFUSED").less(3),
        Column::words("LAST ACK").less(3),
        Column::words("NEXT TRY").less(3),
        Column::figures("LEVEL").less(1),
        Column::words("ADDRESS").less(2),
        Column::below("WHY"),
    ];
    out.table(&HEADS, status.sinks.iter().map(row).collect());
    for (sink, replay) in
        status.sinks.iter().flat_map(|sink| sink.replays.iter().map(move |replay| (sink, replay)))
    {
        let percent = replay.looked_at.min(replay.events) * 100 / replay.events.max(1);
        let (looked_at, events) = (words::count(replay.looked_at), words::count(replay.events));
        let text = format!(
            "replay {} to {}: {looked_at} of {events} events of {} looked through ({percent} %), {} sent",
            replay.replay,
            sink.name,
            replay.scope,
            words::count(replay.sent)
        );
        out.wrapped("   ", "   ", &text);
    }
}

fn targets(out: &mut Text, targets: &[AlertTarget], now: Time) {
    if targets.is_empty() {
        return;
    }
    out.line("\nAlerts go to");
    let row = |target: &AlertTarget| {
        let (tone, state) = words::target(target);
        vec![
            sign(tone),
            Cell::plain(&target.name),
            Cell::plain(&target.kind),
            Cell::toned(state, tone),
            Cell::plain(words::count(target.waiting)),
            Cell::plain(words::ago(target.last_told, now)),
            Cell::plain(&target.address),
            Cell::plain(target.why.clone().unwrap_or_default()),
        ]
    };
    const HEADS: [Column; 8] = [
        Column::words(""),
        Column::words("TARGET"),
        Column::words("TYPE").less(1),
        Column::words("STATE"),
        Column::figures("WAITING").less(4),
        Column::words("LAST TOLD").less(3),
        Column::words("ADDRESS").less(2),
        Column::below("WHY"),
    ];
    out.table(&HEADS, targets.iter().map(row).collect());
}
