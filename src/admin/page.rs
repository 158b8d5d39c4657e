//! The status page: one HTML text, rendered here, without script, font or picture from anywhere. It says first
//! whether all is well, then what to do where it is not, then the figures, then the details.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::history::History;
use super::html::Html;
use super::lists;
use super::plot;
use super::status::{Alert, Status};
use super::view::View;
use super::words::{self, Tone};
use crate::limits::PAGE_ALERTS;
use crate::telemetry::label::Grade;

const STYLE: &str = include_str!("style.css");

/// The page may apply exactly this style sheet, load and run nothing at all (its icon is an empty `data:`, so that
/// browsers ask for none), and search in itself.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
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
pub(super) fn render(status: &Status, history: &History, view: &View) -> String {
    let mut html = Html::default();
    head(&mut html, status, view);
    html.raw("<main id=\"main\">");
    verdict(&mut html, status);
    alerts(&mut html, status);
    tiles(&mut html, status);
    plot::plots(&mut html, status, history);
    lists::sinks(&mut html, &status.sinks, status.at);
    lists::tenants(&mut html, &status.tenants, view, status.at);
    lists::targets(&mut html, &status.alert_targets, status.at);
    html.raw("</main><footer><span>This page changes nothing. ");
    html.raw(if view.still { "It stands still." } else { "It loads itself again every 30 s." });
    html.raw(" <a href=\"").text(&view.with_refresh(view.still)).raw("\">");
    html.raw(if view.still { "Keep it current" } else { "Let it stand still" }).raw("</a></span>");
    html.raw(
        "<nav aria-label=\"Data\"><a href=\"/status\">status as JSON</a> <a href=\"/metrics\">metrics</a> ",
    );
    html.raw("<a href=\"/api/errors\">recovery table</a></nav></footer></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, status: &Status, view: &View) {
    let (_, health) = words::health(status.health());
    html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>").text(health);
    html.raw(
        " · mimecollectd</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    );
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    if !view.still {
        html.raw("<meta http-equiv=\"refresh\" content=\"30\">");
    }
    html.raw("<link rel=\"icon\" href=\"data:,\"><style>").raw(STYLE).raw("</style></head><body>");
    html.raw("<a class=\"skip\" href=\"#main\">Skip to the state</a>");
    html.raw("<header><h1>mimecollectd</h1><p class=\"when\">version ").text(&status.version).raw(" · ");
    match status.started {
        Some(started) => html.raw("running ").text(&words::since(Some(started), status.at).replace(", ", "")),
        None => html.raw("not running"),
    };
    html.raw(" · as of <time datetime=\"").text(&status.at.rfc3339()).raw("\">");
    html.text(&words::moment(status.at)).raw("</time></p></header>");
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

/// A state in a word. Its sign and colour repeat what the word says.
pub(super) fn pill(html: &mut Html, tone: Tone, words: &str) {
    html.raw("<span class=\"pill ").raw(class(tone)).raw("\">").text(words).raw("</span>");
}

/// One word and one sentence for everything.
fn verdict(html: &mut Html, status: &Status) {
    let (tone, health) = words::health(status.health());
    html.raw("<div class=\"verdict ").raw(class(tone)).raw("\"><p class=\"word\">").text(health);
    html.raw("</p><p>").text(&words::sentence(status)).raw("</p></div>");
}

/// The figures an operator looks for first.
fn tiles(html: &mut Html, status: &Status) {
    let feeds = status.feeds().count();
    let caught_up = status.feeds().filter(|feed| feed.caught_up).count();
    let up = status.sinks.iter().filter(|sink| sink.up == Some(true)).count();
    let waiting = status.sinks.iter().map(|sink| sink.waiting_events).max().unwrap_or(0);
    let gaps: u64 = status.feeds().map(|feed| feed.gaps_open).sum();
    let quarantined: u64 = status.feeds().map(|feed| feed.quarantined).sum();
    let dead: u64 = status.sinks.iter().map(|sink| sink.dead_lettered).sum();
    let warn = |bad: bool| if bad { Tone::Warn } else { Tone::Good };
    let of = |part: usize, all: usize| format!("{part} of {all}");
    html.raw("<section aria-label=\"Figures\"><dl class=\"tiles\">");
    tile(html, &of(caught_up, feeds), "feeds caught up", Tone::Good);
    tile(html, &of(up, status.sinks.len()), "sinks up", warn(up < status.sinks.len()));
    tile(html, &words::count(waiting), "events waiting at the slowest sink", Tone::Good);
    tile(html, &words::count(gaps), "open gaps", warn(gaps > 0));
    tile(html, &words::count(quarantined), "in quarantine: could not be read", warn(quarantined > 0));
    tile(html, &words::count(dead), "dead letters: refused by a sink", warn(dead > 0));
    store_tile(html, status);
    html.raw("</dl></section>");
}

fn tile(html: &mut Html, figure: &str, label: &'static str, tone: Tone) {
    html.raw("<div class=\"tile\"><dt>").raw(label).raw("</dt><dd class=\"");
    html.raw(if tone == Tone::Good { "" } else { class(tone) }).raw("\">").text(figure).raw("</dd></div>");
}

fn store_tile(html: &mut Html, status: &Status) {
    let store = &status.store;
    let percent = store.bytes.saturating_mul(100).checked_div(store.limit_bytes).unwrap_or(0).min(100);
    let tone = match percent {
        0..=69 => Tone::Good,
        70..=94 => Tone::Warn,
        _ => Tone::Bad,
    };
    let (used, limit) = (words::size(store.bytes), words::size(store.limit_bytes));
    html.raw("<div class=\"tile\"><dt>of ").text(&limit).raw(" taken by undelivered events");
    if let Some(aside) = words::put_aside(store) {
        html.raw(", ").text(&aside);
    }
    html.raw("</dt><dd class=\"");
    html.raw(if tone == Tone::Good { "" } else { class(tone) }).raw("\">").text(&used);
    html.raw("</dd><dd class=\"meter\"><svg role=\"img\" aria-label=\"").text(&format!("{percent} % full"));
    html.raw("\"><rect class=\"").raw(class(tone)).raw("\" height=\"6\" width=\"");
    html.text(&format!("{percent}%")).raw("\"/></svg></dd></div>");
}

fn alerts(html: &mut Html, status: &Status) {
    // said once: the alert about it has the remedy too
    let told = status.alerts.iter().any(|alert| alert.scope == "store" && alert.severity == Grade::Critical);
    let paused = status.store.paused.iter().filter(|_| !told);
    let pressing: Vec<(&str, String)> = status
        .ready
        .reasons
        .iter()
        .map(|reason| ("Not ready", reason.clone()))
        .chain(paused.map(|why| ("Collection is paused", why.clone())))
        .collect();
    let left = status.store.time_to_data_loss_seconds.map(|left| words::length(Duration::from_secs(left)));
    if pressing.is_empty() && left.is_none() && status.alerts.is_empty() {
        return;
    }
    html.raw(
        "<section aria-labelledby=\"act\"><h2 id=\"act\">What needs attention</h2><ul class=\"alerts\">",
    );
    for (title, words) in pressing {
        html.raw("<li class=\"alert bad\"><p class=\"head\"><span class=\"name\">").text(title);
        html.raw("</span></p><p>").text(&words).raw("</p></li>");
    }
    if let Some(left) = left {
        html.raw(
            "<li class=\"alert warn\"><p class=\"head\"><span class=\"name\">Events pile up</span></p><p>",
        );
        html.text(&format!("At this pace the first is lost in {left}, here or at Mimecast."))
            .raw("</p></li>");
    }
    let mut alerts: Vec<&Alert> = status.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse((alert.severity, alert.active)));
    for alert in alerts.iter().take(PAGE_ALERTS) {
        self::alert(html, alert, status);
    }
    html.raw("</ul>");
    let more = alerts.len().saturating_sub(PAGE_ALERTS);
    if more > 0 {
        html.raw("<p class=\"note\">").text(&words::count(more as u64));
        html.raw(" more alerts are in the <a href=\"/status\">status as JSON</a>.</p>");
    }
    html.raw("</section>");
}

fn alert(html: &mut Html, alert: &Alert, status: &Status) {
    let tone = words::severity(alert.severity);
    html.raw("<li class=\"alert ").raw(class(tone)).raw("\"><p class=\"head\">");
    pill(html, tone, alert.severity.as_str());
    html.raw("<span class=\"name\">").text(&alert.scope).raw(": ").text(&words::title(&alert.title));
    html.raw("</span><span class=\"dim\">").text(words::since(alert.since, status.at).trim_end_matches(", "));
    if alert.rule != alert.title {
        html.raw(" · rule ").text(&alert.rule);
    }
    html.raw(if alert.active { "" } else { " · may pass by itself, nobody is told yet" });
    html.raw("</span></p><p>").prose(&alert.words).raw("</p>");
    if !alert.remedy.is_empty() {
        html.raw("<p><b>What to do:</b> ").prose(&alert.remedy).raw("</p>");
    }
    if !alert.clears.is_empty() {
        html.raw("<p class=\"dim\">Ends with: ").prose(&alert.clears).raw("</p>");
    }
    html.raw("</li>");
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
