//! The status page: one HTML text, rendered here, without script, font or picture from anywhere. It says
//! first whether all is well, then what to do where it is not, then the details.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::html::Html;
use super::status::{Alert, Feed, Sink, Status, Tenant};
use super::words::{self, Tone};
use crate::clock::Time;

const STYLE: &str = include_str!("style.css");

/// The page may apply exactly this style sheet and load or run nothing at all.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        base64(&Sha256::digest(STYLE))
    )
});

/// The policy header; should the text ever not fit a header, nothing at all is allowed.
pub(super) fn content_security_policy() -> HeaderValue {
    HeaderValue::from_str(&POLICY).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let six = word >> (18 - 6 * place) & 63;
            let digit = ALPHABET.get(six as usize).copied().unwrap_or(b'='); // 63 is the last
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// The whole page.
pub(super) fn render(status: &Status) -> String {
    let mut html = Html::default();
    let (tone, health) = words::health(status.health());
    html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>").text(health);
    html.raw(
        " · mimecollectd</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    );
    html.raw("<meta http-equiv=\"refresh\" content=\"30\"><style>").raw(STYLE).raw("</style></head><body>");
    html.raw("<header><h1>mimecollectd</h1>");
    pill(&mut html, tone, health, true);
    html.raw("<span class=\"when\">version ").text(&status.version).raw(" · ");
    match status.started {
        Some(started) => html.raw("running for ").text(&words::length(status.at.since(started))),
        None => html.raw("not running"),
    };
    html.raw(" · as of <time>").text(&words::moment(status.at)).raw("</time></span></header><main>");
    tiles(&mut html, status);
    alerts(&mut html, status);
    sinks(&mut html, status);
    for tenant in &status.tenants {
        self::tenant(&mut html, tenant, status.at);
    }
    targets(&mut html, status);
    html.raw("</main><footer><span>This page refreshes every 30 s and changes nothing.</span>");
    html.raw("<a href=\"/status\">status as JSON</a><a href=\"/metrics\">metrics</a>");
    html.raw("<a href=\"/api/errors\">recovery table</a></footer></body></html>\n");
    html.finish()
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Busy => "busy",
        Tone::Idle => "idle",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

fn pill(html: &mut Html, tone: Tone, words: &str, big: bool) {
    html.raw("<span class=\"pill ").raw(class(tone)).raw(if big { " big\">" } else { "\">" });
    html.text(words).raw("</span>");
}

/// The figures an operator looks for first.
fn tiles(html: &mut Html, status: &Status) {
    let feeds = status.feeds().count();
    let caught_up = status.feeds().filter(|feed| feed.caught_up).count();
    let up = status.sinks.iter().filter(|sink| sink.up == Some(true)).count();
    let waiting = status.sinks.iter().map(|sink| sink.waiting_events).max().unwrap_or(0);
    let gaps: u64 = status.feeds().map(|feed| feed.gaps_open).sum();
    let kept: u64 = status.feeds().map(|feed| feed.quarantined).sum();
    let dead: u64 = status.sinks.iter().map(|sink| sink.dead_lettered).sum();
    let warn = |bad: bool| if bad { Tone::Warn } else { Tone::Good };
    html.raw("<div class=\"tiles\">");
    tile(html, &format!("{caught_up} / {feeds}"), "feeds caught up", Tone::Good);
    tile(html, &format!("{up} / {}", status.sinks.len()), "sinks up", warn(up < status.sinks.len()));
    tile(html, &words::count(waiting), "events waiting at the slowest sink", Tone::Good);
    tile(html, &words::count(gaps), "open gaps", warn(gaps > 0));
    tile(html, &words::count(kept + dead), "in quarantine or refused", warn(kept + dead > 0));
    store_tile(html, status);
    html.raw("</div>");
}

fn tile(html: &mut Html, figure: &str, label: &str, tone: Tone) {
    html.raw("<div class=\"tile\"><b class=\"")
        .raw(if tone == Tone::Good { "" } else { class(tone) })
        .raw("\">");
    html.text(figure).raw("</b><span>").text(label).raw("</span></div>");
}

fn store_tile(html: &mut Html, status: &Status) {
    let store = &status.store;
    let percent = store.bytes.saturating_mul(100).checked_div(store.limit_bytes).unwrap_or(0).min(100);
    let tone = match percent {
        0..=69 => Tone::Good,
        70..=94 => Tone::Warn,
        _ => Tone::Bad,
    };
    html.raw("<div class=\"tile\"><b>").text(&words::size(store.bytes)).raw("</b><span>store, of ");
    html.text(&words::size(store.limit_bytes)).raw("</span><svg role=\"img\" aria-label=\"");
    html.text(&format!("{percent} % full"))
        .raw("\"><rect class=\"")
        .raw(class(tone))
        .raw("\" height=\"6\" width=\"");
    html.text(&format!("{percent}%")).raw("\"/></svg></div>");
}

fn alerts(html: &mut Html, status: &Status) {
    for reason in status.ready.reasons.iter().chain(&status.store.paused) {
        html.raw("<div class=\"alert bad\"><p class=\"head\"><span class=\"name\">Not ready</span></p><p>");
        html.text(reason).raw("</p></div>");
    }
    if let Some(left) = status.store.time_to_data_loss_seconds {
        html.raw("<div class=\"alert warn\"><p class=\"head\"><span class=\"name\">Undelivered events pile up</span></p><p>");
        html.text(&format!(
            "At this pace the first is lost in {}.",
            words::length(std::time::Duration::from_secs(left))
        ));
        html.raw("</p></div>");
    }
    let mut alerts: Vec<&Alert> = status.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    for alert in alerts {
        html.raw("<div class=\"alert ")
            .raw(class(words::severity(alert.severity)))
            .raw("\"><p class=\"head\">");
        pill(html, words::severity(alert.severity), alert.severity.as_str(), false);
        html.raw("<span class=\"name\">").text(&alert.scope).raw("</span><span class=\"dim\">");
        html.text(&words::since(alert.since, status.at)).raw("rule ").text(&alert.rule).raw("</span></p><p>");
        html.prose(&alert.words).raw("</p>");
        if !alert.remedy.is_empty() {
            html.raw("<p><b>What to do:</b> ").prose(&alert.remedy).raw("</p>");
        }
        if !alert.clears.is_empty() {
            html.raw("<p><b>Ends with:</b> ").prose(&alert.clears).raw("</p>");
        }
        if !alert.active {
            html.raw("<p class=\"dim\">It may pass by itself; nobody is told yet.</p>");
        }
        html.raw("</div>");
    }
}

/// A cell that names its column, for screens too narrow for columns. Figures that are nothing are left out there.
fn fact(html: &mut Html, label: &'static str, kind: &'static str, text: &str, nothing: bool) {
    html.raw("<td class=\"fact ").raw(kind).raw(if nothing { " empty" } else { "" }).raw("\" data-label=\"");
    html.raw(label).raw("\">").text(text).raw("</td>");
}

/// A figure that should be zero.
fn trouble(html: &mut Html, label: &'static str, number: u64) {
    fact(html, label, if number > 0 { "num warn" } else { "num" }, &words::count(number), number == 0);
}

fn sinks(html: &mut Html, status: &Status) {
    html.raw(
        "<h2>Sinks</h2><div class=\"card\"><table><thead><tr><th>Sink<th>State<th class=\"num\">Waiting",
    );
    html.raw("<th>Oldest<th class=\"num\">Delivered<th class=\"num\">Refused<th>Last acknowledgement");
    html.raw("<th>Proves</tr></thead><tbody>");
    for sink in &status.sinks {
        self::sink(html, sink, status.at);
    }
    html.raw("</tbody></table></div>");
}

fn sink(html: &mut Html, sink: &Sink, now: Time) {
    html.raw("<tr><td class=\"name\">")
        .text(&sink.name)
        .raw("<span class=\"why\">")
        .text(&sink.kind)
        .raw(" · ");
    html.text(&sink.address).raw("</span></td><td class=\"state\">");
    let (tone, state) = words::sink(sink);
    pill(html, tone, state, false);
    if let Some(why) = &sink.why {
        html.raw("<span class=\"why\">").text(why);
        if sink.next_attempt.is_some() {
            html.raw("; next attempt ").text(&words::ahead(sink.next_attempt, now));
        }
        html.raw("</span>");
    }
    html.raw("</td>");
    fact(html, "Waiting", "num", &words::count(sink.waiting_events), false);
    fact(html, "Oldest", "nowrap", &words::ago(sink.oldest_waiting, now), sink.oldest_waiting.is_none());
    fact(html, "Delivered", "num", &words::count(sink.delivered), false);
    trouble(html, "Refused", sink.dead_lettered);
    fact(html, "Last acknowledgement", "nowrap", &words::ago(sink.last_ack, now), false);
    let level = sink
        .ack_level
        .map_or("not known yet".to_owned(), |level| format!("{level} · {}", words::ack_level(level)));
    fact(html, "Proves", "nowrap", &level, false);
    html.raw("</tr>");
}

/// Who is told about alerts; left out where nobody is.
fn targets(html: &mut Html, status: &Status) {
    if status.alert_targets.is_empty() {
        return;
    }
    html.raw("<h2>Alerts go to</h2><div class=\"card\"><table><thead><tr><th>Target<th>State");
    html.raw("<th class=\"num\">Waiting<th>Last told</tr></thead><tbody>");
    for target in &status.alert_targets {
        html.raw("<tr><td class=\"name\">").text(&target.name).raw("<span class=\"why\">").text(&target.kind);
        html.raw(" · ").text(&target.address).raw("</span></td><td class=\"state\">");
        let (tone, state) = words::target(target);
        pill(html, tone, state, false);
        if let Some(why) = &target.why {
            html.raw("<span class=\"why\">").text(why).raw("; next attempt ");
            html.text(&words::ahead(target.next_attempt, status.at)).raw("</span>");
        }
        html.raw("</td>");
        fact(html, "Waiting", "num", &words::count(target.waiting), target.waiting == 0);
        fact(
            html,
            "Last told",
            "nowrap",
            &words::ago(target.last_told, status.at),
            target.last_told.is_none(),
        );
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
}

fn tenant(html: &mut Html, tenant: &Tenant, now: Time) {
    let credential = &tenant.credential;
    html.raw("<h2>").text(&tenant.name).raw("<small>API ").text(&tenant.api).raw("</small>");
    let (tone, state) = words::credential(credential.state);
    pill(html, tone, state, false);
    if let Some(left) = tenant.quota_remaining {
        html.raw("<small>").text(&words::count(left)).raw(" calls left in this window</small>");
    }
    html.raw("</h2>");
    if let Some(why) = &credential.words {
        html.raw("<p class=\"note\">").text(why);
        match credential.until {
            Some(_) => html.raw(" Next attempt ").text(&words::ahead(credential.until, now)).raw("."),
            None => html.raw(" Waits for somebody to act."),
        };
        html.raw("</p>");
    }
    html.raw(
        "<div class=\"card\"><table><thead><tr><th>Feed<th>State<th>Last answer<th>Next poll<th>Stored up to",
    );
    html.raw(
        "<th class=\"num\">Events<th class=\"num\">Quarantined<th class=\"num\">Gaps</tr></thead><tbody>",
    );
    for feed in &tenant.feeds {
        self::feed(html, feed, now);
    }
    html.raw("</tbody></table></div>");
}

fn feed(html: &mut Html, feed: &Feed, now: Time) {
    html.raw("<tr><td class=\"name\">").text(&feed.name).raw("</td><td class=\"state\">");
    let (tone, state) = words::feed(feed);
    pill(html, tone, state, false);
    if let Some(why) = &feed.why {
        html.raw("<span class=\"why\">").text(why).raw("</span>");
    }
    html.raw("</td>");
    fact(html, "Last answer", "nowrap", &words::ago(feed.last_success, now), false);
    fact(html, "Next poll", "nowrap", &words::ahead(feed.next_attempt, now), false);
    fact(html, "Stored up to", "nowrap", &words::ago(feed.cursor_time, now), false);
    fact(html, "Events", "num", &words::count(feed.events_stored), false);
    trouble(html, "Quarantined", feed.quarantined);
    trouble(html, "Gaps", feed.gaps_open);
    html.raw("</tr>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_known_values() {
        let said: Vec<_> =
            [&b""[..], b"f", b"fo", b"foo", b"foobar", &[255, 254]].iter().map(|b| base64(b)).collect();
        assert_eq!(said, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy", "//4="]);
    }

    #[test]
    fn policy_fits_a_header_and_allows_no_script() {
        let policy = content_security_policy();
        let text = policy.to_str().unwrap();
        assert!(text.contains("style-src 'sha256-") && !text.contains("unsafe") && !text.contains("script"));
    }
}
