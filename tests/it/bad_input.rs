//! Bad input, one by one: what is readable is delivered, what is not is quarantined, and the state says so.

use serde_json::Value;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::rig::{Arrived, Daemon, Simulator, Site, eventually, http};

struct Case {
    simulator: Simulator,
    site: Site,
    file: std::path::PathBuf,
}

impl Case {
    fn new(scenario: &str) -> Self {
        let simulator = Simulator::start(&[
            "--events",
            "4000",
            "--seed",
            "31",
            "--scenario",
            &format!("no_quota,{scenario}"),
        ]);
        let site = Site::new(&simulator.url, ALL_FEEDS, "");
        let file = site.path("events.ndjson");
        site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
        Case { simulator, site, file }
    }
    fn arrived(&self) -> Arrived {
        Arrived::from_file(&self.file)
    }
    fn published(&self) -> u64 {
        FEEDS.iter().map(|feed| self.simulator.truth(feed).len() as u64).sum()
    }
    /// Runs the daemon until `done` says so, then stops it and proves the accounts.
    fn run_until(&self, what: &str, mut done: impl FnMut(&Case, &Daemon) -> bool) -> Daemon {
        let daemon = self.site.spawn();
        eventually(what, || done(self, &daemon).then_some(()));
        daemon
    }
    fn quarantined(daemon: &Daemon) -> u64 {
        metric(daemon, "mimecollectd_events_quarantined_total")
    }
}

/// Sum of all samples of a metric.
pub fn metric(daemon: &Daemon, name: &str) -> u64 {
    let (status, body) = http("GET", &format!("{}/metrics", daemon.admin()), "");
    assert_eq!(status, 200);
    let samples = body.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Everything published arrives although this happens on the way.
fn everything_arrives(scenario: &str) {
    let case = Case::new(scenario);
    let published = case.published();
    let daemon = case
        .run_until(&format!("everything under {scenario}"), |case, _| case.arrived().distinct() >= published);
    daemon.stop();
    for feed in FEEDS {
        assert_eq!(
            case.arrived().feed(feed),
            case.simulator.truth(feed).len() as u64,
            "{feed} under {scenario}"
        );
    }
    assert_eq!(case.arrived().repeats(), 0);
    case.site.reconcile();
}

/// All readable events arrive, and something is in quarantine.
fn readable_arrives_and_the_rest_is_kept(scenario: &str) {
    let case = Case::new(scenario);
    let published = case.published();
    let daemon = case
        .run_until(&format!("readable events and quarantine under {scenario}"), |case, daemon| {
            case.arrived().distinct() >= published && Case::quarantined(daemon) >= 1
        });
    daemon.stop();
    assert_eq!(case.arrived().repeats(), 0);
    case.site.reconcile();
}

#[test]
fn a_wrong_checksum_that_passes() {
    everything_arrives("wrong-crc");
}

#[test]
fn a_wrong_checksum_that_stays() {
    let case = Case::new("wrong-crc=1000000");
    let daemon =
        case.run_until("the damaged file to be given up", |_, daemon| Case::quarantined(daemon) >= 1);
    daemon.stop();
    case.site.reconcile();
}

#[test]
fn gzip_truncated_for_ever_is_salvaged_and_quarantined() {
    let case = Case::new("truncated-gzip-forever");
    let daemon =
        case.run_until("the damaged file to be given up", |_, daemon| Case::quarantined(daemon) >= 1);
    daemon.stop();
    let other: Vec<&&str> = FEEDS.iter().filter(|feed| case.arrived().feed(feed) == 0).collect();
    assert!(other.is_empty(), "feeds that brought nothing: {other:?}");
    case.site.reconcile();
}

#[test]
fn html_with_status_200() {
    everything_arrives("html");
}

#[test]
fn empty_file() {
    everything_arrives("empty-file");
}

#[test]
fn a_bad_line_among_good_ones() {
    readable_arrives_and_the_rest_is_kept("bad-line");
}

#[test]
fn a_line_over_one_mebibyte() {
    readable_arrives_and_the_rest_is_kept("long-line");
}

#[test]
fn line_separators_of_unicode_inside_a_line() {
    everything_arrives("u2028");
}

#[test]
fn invalid_utf8_is_repaired_and_flagged() {
    let case = Case::new("invalid-utf8");
    let published = case.published();
    let daemon = case.run_until("all events", |case, _| {
        std::fs::read_to_string(&case.file).is_ok_and(|text| text.lines().count() as u64 >= published)
    });
    daemon.stop();
    let text = std::fs::read_to_string(&case.file).expect("valid UTF-8 in the file");
    assert!(text.contains("\"utf8_repaired\":true"), "a repaired event says so");
    case.site.reconcile();
}

#[test]
fn a_link_to_a_foreign_host_is_never_followed() {
    let case = Case::new("foreign-link");
    // the runner's refusal shows at once, the alert when the book is next compared
    let daemon = case.run_until("the refusal and its alert", |_, daemon| {
        let status = http("GET", &format!("{}/status", daemon.admin()), "").1;
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let told = status["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        told && status.to_string().contains("X22")
    });
    daemon.stop();
    case.site.reconcile();
}

#[test]
fn a_redirect_is_never_followed() {
    let case = Case::new("redirect");
    let daemon = case.run_until("the refusal", |_, daemon| {
        let status = http("GET", &format!("{}/status", daemon.admin()), "").1;
        status.contains("H01") || status.contains("H02")
    });
    daemon.stop();
    case.site.reconcile();
}

#[test]
fn a_zip_bomb_is_cut_off_and_quarantined() {
    let case = Case::new("bomb");
    let daemon = case.run_until("the bomb in quarantine", |_, daemon| Case::quarantined(daemon) >= 1);
    let resident = metric(&daemon, "mimecollectd_process_resident_memory_bytes");
    assert!(resident < 128 << 20, "{resident} bytes resident");
    daemon.stop();
    case.site.reconcile();
}

#[test]
fn caught_up_with_files_means_files_first() {
    everything_arrives("caught-up-with-files");
}

#[test]
fn an_unchanged_page_token_ends_the_cycle() {
    let case = Case::new("same-token");
    let published = case.published();
    let daemon = case.run_until("all events", |case, _| case.arrived().distinct() >= published);
    daemon.stop();
    assert_eq!(case.arrived().repeats(), 0);
    let calls = case.simulator.counted("max_listing_calls_per_window");
    assert!(calls < 2_000, "{calls} listing calls: a loop");
    case.site.reconcile();
}

#[test]
fn a_listing_without_value_is_an_error_not_an_empty_page() {
    let case = Case::new("no-value");
    // the listing after the next is good again: by then only the log still tells
    let daemon = case.run_until("the fault to be named", |_, daemon| daemon.log().contains("X10"));
    daemon.stop();
    case.site.reconcile();
}

#[test]
fn the_same_file_twice_in_a_page_is_read_once() {
    everything_arrives("same-file-twice");
}

#[test]
fn a_token_answer_without_a_token() {
    let case = Case::new("no-token");
    let daemon = case.run_until("the fault to be named", |_, daemon| {
        http("GET", &format!("{}/status", daemon.admin()), "").1.contains("M35")
    });
    case.simulator.scenario("no_quota");
    let published = case.published();
    eventually("all events once tokens come", || (case.arrived().distinct() >= published).then_some(()));
    daemon.stop();
    case.site.reconcile();
}
