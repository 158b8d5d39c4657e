//! Long silences: of the daemon, and of the tenant.

use serde_json::Value;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::rig::{Arrived, Simulator, Site, assert_complete, eventually, text};

const DAY: i64 = 86_400;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn seconds(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time").as_second()
}

/// Every feed of the tenant at once, with the limits on calls that Mimecast has: what is still kept arrives, what is
/// not is a gap of each feed that is kept for seven days, and the simulator refused no call.
#[test]
fn every_feed_comes_back_from_eight_days_without_a_call_too_many() {
    let simulator = Simulator::start(&["--events", "0", "--clock-offset=-8d"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
    simulator.post("/_sim/publish?feed=*&count=240&age=20m&over=10m");
    site.run_once();
    let stopped = now() - 8 * DAY;
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);

    simulator.post("/_sim/clock?offset=0d");
    let before = Arrived::from_file(&file).distinct();
    simulator.post("/_sim/publish?feed=*&count=240&age=180h&over=1h"); // 7.5 days
    let lost: u64 = KEPT_SEVEN_DAYS.iter().map(|feed| count(&simulator, feed) - arrived(&file, feed)).sum();
    simulator.post("/_sim/publish?feed=*&count=480&age=60h&over=20h");
    simulator.post("/_sim/publish?feed=*&count=240&age=5m");
    site.run_once();

    let all = Arrived::from_file(&file);
    let published: u64 = FEEDS.iter().map(|feed| count(&simulator, feed)).sum();
    assert_eq!(
        (all.distinct(), all.repeats()),
        (published - lost, 0),
        "{before} before, {lost} were forgotten"
    );
    let out = site.output(&["gaps", "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let gaps: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let gaps = gaps.as_array().expect("a list");
    let (lost, late): (Vec<&Value>, Vec<&Value>) =
        gaps.iter().partition(|gap| gap["cause"] == "beyond_retention");
    let mut feeds: Vec<&str> = lost.iter().filter_map(|gap| gap["feed"].as_str()).collect();
    feeds.sort_unstable();
    let mut expected = KEPT_SEVEN_DAYS.to_vec();
    expected.sort_unstable();
    assert_eq!(feeds, expected, "{gaps:?}");
    for gap in &lost {
        assert!((seconds(&gap["from"]) - stopped).abs() <= 90, "{gap}: reading stopped at {stopped}");
        assert!((seconds(&gap["to"]) - (now() - 7 * DAY)).abs() <= 90, "{gap}: memory begins 7 days ago");
    }
    // of the one that is asked for by time, what was read just before was never read again for late rows
    let [late] = late.as_slice() else { panic!("{gaps:?}") };
    let rejections = lost.iter().find(|gap| gap["feed"] == "rejections").expect("its gap");
    assert_eq!((&late["feed"], &late["cause"]), (&"rejections".into(), &"late_rows_unverified".into()));
    assert_eq!(late["to"], rejections["from"], "the two adjoin");
    site.reconcile();
    let calls =
        (simulator.counted("max_listing_calls_per_window"), simulator.counted("listing_calls_over_quota"));
    assert!((1..=50).contains(&calls.0) && calls.1 == 0, "{calls:?} listing calls");
}

const KEPT_SEVEN_DAYS: &[&str] = &[
    "siem.receipt",
    "siem.process",
    "siem.delivery",
    "siem.av",
    "siem.spam",
    "siem.journal",
    "siem.internal-email-protect",
    "siem.impersonation-protect",
    "siem.url-protect",
    "siem.attachment-protect",
    "ci.entities",
    "ci.mailflow",
    "ci.urlclick",
    "rejections",
    "threat-feed.customer",
    "threat-feed.grid",
];

fn count(simulator: &Simulator, feed: &str) -> u64 {
    simulator.truth(feed).len() as u64
}

fn arrived(file: &std::path::Path, feed: &str) -> u64 {
    Arrived::from_file(file).feed(feed)
}

/// Nothing happens for many polls; then something does. The place is kept: no file is fetched twice, and the first
/// event comes with the next poll.
#[test]
fn a_quiet_tenant_keeps_its_place_and_brings_the_next_event_at_once() {
    let simulator = Simulator::start(&["--events", "0", "--scenario", "no_quota"]);
    let tenant = "feeds = [\"siem.receipt\", \"audit\"]\npoll_interval = \"200ms\"\nlookback = \"1h\"";
    let site = Site::new(&simulator.url, tenant, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, tenant, &file_sink(&file));
    simulator.post("/_sim/publish?feed=siem.receipt&count=50&age=10m");
    let asked = || {
        let requests = simulator.ledger()["tenants"]["demo"]["requests"].clone();
        let by_status =
            requests.as_object().into_iter().flat_map(|by| by.values().filter_map(Value::as_object));
        by_status.flat_map(|by| by.values().filter_map(Value::as_u64)).sum::<u64>()
    };
    let daemon = site.spawn();
    daemon.admin();
    eventually("what there is", || (Arrived::from_file(&file).distinct() == 50).then_some(()));
    let quiet = asked();
    eventually("twenty polls of silence", || (asked() >= quiet + 40).then_some(()));
    simulator.post("/_sim/publish?feed=siem.receipt&count=20&age=2m");
    simulator.post("/_sim/publish?feed=audit&count=5&age=2m");
    eventually("the burst", || (Arrived::from_file(&file).distinct() == 75).then_some(()));
    assert_eq!(Arrived::from_file(&file).repeats(), 0);
    assert!(daemon.stop().0.success());
    let books = &simulator.ledger()["tenants"]["demo"]["feeds"]["siem.receipt"];
    assert_eq!(books["handed_out"], books["handed_out_distinct"], "no file was fetched twice: {books}");
    site.reconcile();
}
