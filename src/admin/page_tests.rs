//! The status page with more in it than fits.

use super::admin_tests::{day, feed, rendered, sample, tenant};
use super::status::{Alert, Feed, Ready, Status};
use super::view::View;
use super::{page, words};
use crate::telemetry::label::{CredentialState, FeedState};

/// As many tenants as one daemon is meant to have, one of them locked out, one with a halted feed.
fn crowd() -> Status {
    let mut status = sample();
    let feeds = status.tenants[0].feeds.clone();
    let well: Vec<Feed> =
        feeds.iter().filter(|feed| feed.name == "audit").cloned().cycle().take(27).collect();
    let one = |n: u32| match n {
        700 => tenant("tenant-700", CredentialState::LockedOut, vec![feed("audit", FeedState::Paused, None)]),
        800 => tenant("tenant-800", CredentialState::Ok, feeds.clone()),
        n => tenant(&format!("tenant-{n:03}"), CredentialState::Ok, well.clone()),
    };
    status.tenants = (0..1_000).map(one).collect();
    let alert = status.alerts.remove(0);
    status.alerts = (0..1_000).map(|n| Alert { scope: format!("tenant-{n:03}"), ..alert.clone() }).collect();
    status
}

#[test]
fn a_thousand_tenants_are_a_page_of_bounded_size_with_trouble_first() {
    let status = crowd();
    let of = |query| page::render(&status, &day(), &View::parse(Some(query)));
    let page = of("");
    assert!(page.len() < 600 << 10, "{} KiB", page.len() >> 10);
    let place = |page: &str, name: &str| page.find(&format!("<h3>{name}</h3>"));
    let (locked, halted, well) =
        (place(&page, "tenant-700"), place(&page, "tenant-800"), place(&page, "tenant-000"));
    assert!(locked < halted && halted < well && locked.is_some(), "{locked:?} {halted:?} {well:?}");
    assert_eq!((page.matches("<details").count(), page.matches(" open>").count()), (20, 2));
    assert!(
        page.contains("980 more alerts")
            && page.contains("Page 1 of 50")
            && page.contains("1 to 20 of 1,000")
    );
    let last = of("page=5000&refresh=off");
    assert!(last.contains("Page 50 of 50") && place(&last, "tenant-999").is_some());
    assert!(last.contains("href=\"/?page=49&amp;refresh=off#tenants\"") && !last.contains("http-equiv"));
    let one = of("tenant=ENANT-123");
    assert!(place(&one, "tenant-123").is_some() && one.matches("<details").count() == 1, "a search finds it");
    assert!(one.contains(" open>") && !one.contains("Page 1"));
    assert!(of("tenant=nobody").contains("There is no such tenant."));
}

#[test]
fn the_first_sentence_says_the_worst() {
    let mut status = sample();
    let says = |status: &Status, words: &str| {
        let page = rendered(status);
        assert!(page.contains(words), "{words}: {}", words::sentence(status));
    };
    says(&status, "<p>globex: a word, and 2 more alerts.</p>");
    let worst = status.alerts.iter().find(|alert| alert.scope == "globex").unwrap().clone();
    status.alerts.push(Alert { scope: "initech".into(), ..worst });
    says(&status, "<p>globex: a word, and 3 more alerts.</p>");
    status.alerts.pop();
    status.store.paused = Some("the disk is full".into());
    says(&status, "<p>Collection is paused: the disk is full, and 2 more alerts.</p>");
    (status.store.paused, status.alerts) = (None, vec![]);
    says(
        &status,
        "<p>Every feed is collected and every sink takes events; 182,334 events are on their way.</p>",
    );
    status.ready = Ready { ok: false, reasons: vec!["no feed works".into()] };
    says(&status, "<p>Not ready: no feed works.</p>");
    assert!(rendered(&status).contains("9 feeds: 6 caught up, 1 collecting, 1 backing off, 1 halted"));
}

/// For a look at the page: `STATUS_PAGE=FILE cargo test --lib writes_the_page` writes it with the sample data.
#[test]
fn writes_the_page_where_asked() {
    let page = rendered(&sample());
    assert!(page.ends_with("</html>\n"));
    if let Some(path) = std::env::var_os("STATUS_PAGE") {
        std::fs::write(path, page).unwrap();
    }
}
