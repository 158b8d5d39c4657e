//! The tables of the status page. On a narrow screen every row becomes a card, in which each figure names its column;
//! the roles say to a screen reader that it is a table all the same.

use super::html::Html;
use super::page::pill;
use super::status::{AlertTarget, Feed, Sink, Tenant};
use super::view::{self, Selection, View};
use super::words::{self, Tone};
use crate::clock::Time;
use crate::limits::{PAGE_SINKS, PAGE_TENANTS, PAGE_TENANTS_OPEN};

/// Opens a table: what it lists, for those who do not see the heading, and its columns.
fn open(html: &mut Html, caption: &str, columns: &[(&'static str, &'static str)]) {
    html.raw("<div class=\"card\"><table role=\"table\"><caption>").text(caption).raw("</caption>");
    html.raw("<thead role=\"rowgroup\"><tr role=\"row\">");
    for (name, kind) in columns {
        html.raw("<th scope=\"col\" role=\"columnheader\" class=\"")
            .raw(kind)
            .raw("\">")
            .raw(name)
            .raw("</th>");
    }
    html.raw("</tr></thead><tbody role=\"rowgroup\">");
}

fn close(html: &mut Html) {
    html.raw("</tbody></table></div>");
}

/// Begins a row: its name, what is said below it, and its state. The state's cell stays open for the reason.
fn begin_row(html: &mut Html, name: &str, below: Option<(&str, &str)>, (tone, state): (Tone, &str)) {
    let calm = matches!(tone, Tone::Good | Tone::Busy);
    html.raw("<tr role=\"row\"").raw(if calm { " class=\"calm\">" } else { ">" });
    html.raw("<th scope=\"row\" role=\"rowheader\" class=\"name\">").text(name);
    if let Some((kind, address)) = below {
        html.raw("<span class=\"why\">").text(kind).raw(" · ").text(address).raw("</span>");
    }
    html.raw("</th><td role=\"cell\" class=\"state\">");
    pill(html, tone, state);
}

/// Why it is in this state and when that is tried to change; ends the state's cell.
fn end_state(html: &mut Html, why: Option<&str>, next: Option<(Option<Time>, Time)>) {
    if let Some(why) = why {
        html.raw("<span class=\"why\">").text(why);
        if let Some((Some(at), now)) = next {
            html.raw("; next attempt ").text(&words::ahead(Some(at), now));
        }
        html.raw("</span>");
    }
    html.raw("</td>");
}

/// A cell that names its column, for screens too narrow for columns. Figures that are nothing are left out there.
fn fact(html: &mut Html, label: &'static str, kind: &'static str, text: &str, nothing: bool) {
    html.raw("<td role=\"cell\" class=\"fact ").raw(kind).raw(if nothing { " empty" } else { "" });
    html.raw("\" data-label=\"").raw(label).raw("\">").text(text).raw("</td>");
}

/// A figure that should be zero.
fn trouble(html: &mut Html, label: &'static str, number: u64) {
    fact(html, label, if number > 0 { "num warn" } else { "num" }, &words::count(number), number == 0);
}

/// How many are not shown, where a list is cut.
fn rest(html: &mut Html, all: usize, shown: usize) {
    if all > shown {
        html.raw("<p class=\"note\">").text(&words::count((all - shown) as u64));
        html.raw(" more, of which none is worse, are in the <a href=\"/status\">status as JSON</a>.</p>");
    }
}

pub(super) fn sinks(html: &mut Html, all: &[Sink], now: Time) {
    html.raw("<section aria-labelledby=\"sinks\"><h2 id=\"sinks\">Sinks</h2>");
    let columns = [
        ("Sink", ""),
        ("State", ""),
        ("Waiting", "num"),
        ("Oldest", ""),
        ("Delivered", "num"),
        ("Dead letters", "num"),
        ("Last acknowledgement", ""),
        ("Proves", ""),
    ];
    open(html, "Sinks, those in trouble first", &columns);
    let mut sorted: Vec<&Sink> = all.iter().collect();
    sorted.sort_by_key(|sink| std::cmp::Reverse((words::sink(sink).0, sink.dead_lettered > 0)));
    for sink in sorted.iter().take(PAGE_SINKS) {
        self::sink(html, sink, now);
    }
    close(html);
    rest(html, all.len(), PAGE_SINKS);
    html.raw("</section>");
}

fn sink(html: &mut Html, sink: &Sink, now: Time) {
    begin_row(html, &sink.name, Some((&sink.kind, &sink.address)), words::sink(sink));
    end_state(html, sink.why.as_deref(), Some((sink.next_attempt, now)));
    fact(html, "Waiting", "num", &words::count(sink.waiting_events), false);
    fact(html, "Oldest", "nowrap", &words::ago(sink.oldest_waiting, now), sink.oldest_waiting.is_none());
    fact(html, "Delivered", "num", &words::count(sink.delivered), false);
    trouble(html, "Dead letters", sink.dead_lettered);
    fact(html, "Last acknowledgement", "nowrap", &words::ago(sink.last_ack, now), false);
    let level = sink
        .ack_level
        .map_or("not known yet".to_owned(), |level| format!("{level} · {}", words::ack_level(level)));
    fact(html, "Proves", "nowrap minor", &level, false);
    html.raw("</tr>");
}

/// Who is told about alerts; left out where nobody is.
pub(super) fn targets(html: &mut Html, all: &[AlertTarget], now: Time) {
    if all.is_empty() {
        return;
    }
    html.raw("<section aria-labelledby=\"targets\"><h2 id=\"targets\">Alerts go to</h2>");
    let columns = [("Target", ""), ("State", ""), ("Waiting", "num"), ("Last told", "")];
    open(html, "Who is told about alerts, those in trouble first", &columns);
    let mut sorted: Vec<&AlertTarget> = all.iter().collect();
    sorted.sort_by_key(|target| std::cmp::Reverse(words::target(target).0));
    for target in sorted.iter().take(PAGE_SINKS) {
        begin_row(html, &target.name, Some((&target.kind, &target.address)), words::target(target));
        end_state(html, target.why.as_deref(), Some((target.next_attempt, now)));
        fact(html, "Waiting", "num", &words::count(target.waiting), target.waiting == 0);
        let told = words::ago(target.last_told, now);
        fact(html, "Last told", "nowrap", &told, target.last_told.is_none());
        html.raw("</tr>");
    }
    close(html);
    rest(html, all.len(), PAGE_SINKS);
    html.raw("</section>");
}

/// The tenants of this view, those in trouble first and unfolded.
pub(super) fn tenants(html: &mut Html, all: &[Tenant], view: &View, now: Time) {
    let selection = view.select(all);
    html.raw("<section aria-labelledby=\"tenants\"><h2 id=\"tenants\">Tenants");
    if all.len() > PAGE_TENANTS {
        let (from, to) = (selection.before + 1, selection.before + selection.shown.len());
        let part =
            format!("{from} to {to} of {}, those in trouble first", words::count(selection.found as u64));
        html.raw(" <small>").text(if selection.found == 0 { "none" } else { &part }).raw("</small>");
    }
    html.raw("</h2>");
    if all.len() > PAGE_TENANTS {
        search(html, view);
    }
    if selection.found == 0 {
        html.raw("<p class=\"note\">There is no such tenant.</p>");
    }
    for (tone, tenant) in &selection.shown {
        let unfolded = *tone >= Tone::Warn || all.len() <= PAGE_TENANTS_OPEN || selection.found == 1;
        self::tenant(html, tenant, unfolded, now);
    }
    pages(html, &selection, view);
    html.raw("</section>");
}

fn search(html: &mut Html, view: &View) {
    html.raw("<form role=\"search\" action=\"/\" method=\"get\"><label for=\"find\">Find a tenant</label>");
    html.raw(" <input id=\"find\" name=\"tenant\" type=\"search\" maxlength=\"64\" value=\"")
        .text(&view.search);
    html.raw("\"> <button>Find</button>");
    if view.still {
        html.raw("<input type=\"hidden\" name=\"refresh\" value=\"off\">");
    }
    html.raw("</form>");
}

fn pages(html: &mut Html, selection: &Selection<'_>, view: &View) {
    let (page, pages) = (selection.page, selection.pages);
    if pages == 1 {
        return;
    }
    html.raw("<nav class=\"pages\" aria-label=\"Pages of tenants\"><span>Page ");
    html.text(&format!("{page} of {pages}")).raw("</span>");
    let links = [
        ("First", 1, page > 1),
        ("Previous", page - 1, page > 1),
        ("Next", page + 1, page < pages),
        ("Last", pages, page < pages),
    ];
    for (name, to, _) in links.iter().filter(|(_, _, there)| *there) {
        html.raw(" <a href=\"").text(&view.at(*to)).raw("#tenants\">").raw(name).raw("</a>");
    }
    html.raw("</nav>");
}

fn tenant(html: &mut Html, tenant: &Tenant, unfolded: bool, now: Time) {
    let credential = &tenant.credential;
    html.raw("<details class=\"tenant\"").raw(if unfolded { " open>" } else { ">" });
    html.raw("<summary><h3>").text(&tenant.name).raw("</h3>");
    let (tone, state) = words::credential(credential.state);
    pill(html, tone, state);
    html.raw("<span class=\"dim\">API ").text(&tenant.api).raw(" · ").text(&words::feeds(&tenant.feeds));
    if let Some(left) = tenant.quota_remaining {
        html.raw(" · ").text(&words::count(left)).raw(" calls left in this window");
    }
    html.raw("</span></summary>");
    if let Some(why) = &credential.words {
        html.raw("<p class=\"note\">").text(why);
        match credential.until {
            Some(_) => html.raw(" Next attempt ").text(&words::ahead(credential.until, now)).raw("."),
            None => html.raw(" Waits for somebody to act."),
        };
        html.raw("</p>");
    }
    let columns = [
        ("Feed", ""),
        ("State", ""),
        ("Last answer", ""),
        ("Next poll", ""),
        ("Stored up to", ""),
        ("Events", "num"),
        ("Quarantined", "num"),
        ("Gaps", "num"),
    ];
    open(html, &format!("Feeds of {}, those in trouble first", tenant.name), &columns);
    for feed in view::feeds(tenant) {
        self::feed(html, feed, now);
    }
    close(html);
    html.raw("</details>");
}

fn feed(html: &mut Html, feed: &Feed, now: Time) {
    begin_row(html, &feed.name, None, words::feed(feed));
    end_state(html, feed.why.as_deref(), None);
    fact(html, "Last answer", "nowrap minor", &words::ago(feed.last_success, now), false);
    fact(html, "Next poll", "nowrap minor", &words::ahead(feed.next_attempt, now), false);
    fact(html, "Stored up to", "nowrap", &words::ago(feed.cursor_time, now), false);
    fact(html, "Events", "num", &words::count(feed.events_stored), false);
    trouble(html, "Quarantined", feed.quarantined);
    trouble(html, "Gaps", feed.gaps_open);
    html.raw("</tr>");
}
