//! API 1.0: signed calls, from the first one to the last event.

use serde_json::Value;

use crate::main_job::{file_sink, window_feeds};
use crate::rig::{Arrived, Simulator, Site, assert_complete, eventually, http, text};

/// Every log that both generations have; `interval` decides how long pauses are.
fn feeds(interval: &str) -> String {
    format!("feeds = {:?}\npoll_interval = \"{interval}\"\nlookback = \"7d\"", window_feeds())
}

fn site(simulator: &Simulator, interval: &str) -> (Site, std::path::PathBuf) {
    let site = Site::new(&simulator.url, "", "");
    let file = site.path("events.ndjson");
    site.write_signed(&simulator.url, &feeds(interval), &file_sink(&file));
    (site, file)
}

fn signatures(simulator: &Simulator) -> Value {
    simulator.ledger()["tenants"]["demo"]["signatures"].clone()
}

fn refused(simulator: &Simulator) -> u64 {
    let refused = signatures(simulator)["refused"].clone();
    refused.as_object().expect("reasons and counts").values().filter_map(Value::as_u64).sum()
}

#[test]
fn every_event_of_every_window_feed_arrives_once_by_signed_calls() {
    let simulator = Simulator::start(&["--events", "60000", "--seed", "41"]);
    let (site, file) = site(&simulator, "1s");
    for _ in 0..2 {
        site.run_once();
        let arrived = Arrived::from_file(&file);
        assert_complete(&simulator, &arrived, window_feeds());
        assert_eq!(arrived.repeats(), 0);
    }
    site.reconcile();
    let said = signatures(&simulator);
    assert!(said["good"].as_u64().is_some_and(|good| good > 20), "several pages were read: {said}");
    assert_eq!((refused(&simulator), &said["replayed_request_ids"]), (0, &Value::from(0)), "{said}");
}

/// What a tenant of API 1.0 has when its configuration names every feed.
#[test]
fn the_mail_log_and_the_threat_feeds_come_by_signed_calls_too() {
    let simulator = Simulator::start(&["--events", "5000", "--seed", "49"]);
    let (site, file) = site(&simulator, "1s");
    let all = "feeds = [\"*\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";
    site.write_signed(&simulator.url, all, &file_sink(&file));
    site.run_once();
    let arrived = Arrived::from_file(&file);
    assert_complete(&simulator, &arrived, window_feeds());
    assert_complete(&simulator, &arrived, &["siem.mta", "threat-feed.customer", "threat-feed.grid"]);
    assert_eq!((arrived.repeats(), refused(&simulator)), (0, 0));
    site.reconcile();
}

#[test]
fn late_rows_are_found_by_signed_calls_too() {
    let simulator = Simulator::start(&["--events", "20000", "--seed", "42", "--scenario", "late-rows"]);
    let (site, file) = site(&simulator, "1s");
    // rows of the last 20 minutes before the newest come late: up to 25 minutes old
    let wide = format!("{}\n[tenants.acme.feed.\"*\"]\noverlap = \"1h\"", feeds("1s"));
    site.write_signed(&simulator.url, &wide, &file_sink(&file));
    site.run_once();
    for _ in 0..3 {
        simulator.post("/_sim/advance?seconds=400");
        site.run_once();
    }
    let arrived = Arrived::from_file(&file);
    assert_complete(&simulator, &arrived, window_feeds());
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
}

#[test]
fn nine_feeds_with_a_wrong_key_call_once_and_the_right_key_is_noticed() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "43"]);
    let (site, file) = site(&simulator, "60s"); // a pace at which every further attempt lies beyond this test
    site.write_key("d3Jvbmc=");
    for _ in 0..3 {
        let out = site.output(&["run", "--once"]);
        assert!(!out.status.success(), "a halted credential is not success");
        assert!(!text(&out.stderr).contains("d3Jvbmc"), "the key is not shown");
    }
    assert_eq!(refused(&simulator), 1, "{}", signatures(&simulator));
    site.write_key("ZGVtbw==");
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), window_feeds());
    assert_eq!(refused(&simulator), 1);
}

#[test]
fn a_locked_account_is_called_once_across_restarts() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "44", "--scenario", "lockout"]);
    let (site, _) = site(&simulator, "60s");
    for _ in 0..3 {
        let daemon = site.spawn();
        eventually("the lock to be seen", || {
            let status: Value =
                serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()?;
            (status["tenants"][0]["credential"]["state"] == "locked_out").then_some(())
        });
        drop(daemon);
    }
    let calls = simulator.counted("calls_while_locked");
    assert_eq!(calls, 1, "calls on a locked account");
}

/// Mimecast lives two hours from this machine's time: the first signature is refused, the next ones carry its date.
#[test]
fn a_clock_that_is_off_costs_one_call() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "45"]);
    let (site, file) = site(&simulator, "1s");
    simulator.post("/_sim/clock?offset=2h");
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), window_feeds());
    assert_eq!(refused(&simulator), 1, "{}", signatures(&simulator));
}

/// The operator sets up NTP while our clock is corrected: the correction is dropped after one refused call.
#[test]
fn a_clock_that_is_set_right_costs_one_call_more() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "50", "--clock-offset=10m"]);
    let (site, _) = site(&simulator, "1s");
    let daemon = site.spawn();
    let good = || signatures(&simulator)["good"].as_u64().unwrap_or(0);
    eventually("calls by its clock", || (good() > 12).then_some(()));
    simulator.post("/_sim/clock?offset=0");
    let before = good();
    eventually("calls by the right clock", || (good() > before + 12).then_some(()));
    let refused = refused(&simulator);
    assert!(refused <= 3, "{refused}: one at the start, and at most two that were under way at once");
    assert_eq!(simulator.counted("locks"), 0, "five bad signatures lock an account");
    drop(daemon);
}

/// Mimecast lives three minutes behind this machine, which its signature check tolerates: a window that ends by our
/// clock would reach into its future, and what happens there would never be asked for.
#[test]
fn a_clock_that_is_ahead_skips_nothing() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "48", "--clock-offset=-3m"]);
    let (site, file) = site(&simulator, "1s");
    let exactly = format!("{}\n[tenants.acme.feed.\"*\"]\noverlap = \"0s\"", feeds("1s"));
    site.write_signed(&simulator.url, &exactly, &file_sink(&file));
    site.run_once();
    simulator.post("/_sim/publish?feed=dlp&count=40&over=30s");
    simulator.post("/_sim/clock?offset=-1m");
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), window_feeds());
    assert_eq!(refused(&simulator), 0, "{}", signatures(&simulator));
}

#[test]
fn a_secret_key_that_is_not_base64_is_a_mistake_and_is_not_sent() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "46"]);
    let (site, _) = site(&simulator, "1s");
    site.write_key("not-base64!");
    for verb in [&["run", "--once"][..], &["validate"]] {
        let out = site.output(verb);
        let words = text(&out.stderr);
        assert_eq!(out.status.code(), Some(78), "{verb:?}: {words}");
        assert!(words.contains("base64") && words.contains("copy the secret key again"), "{words}");
        assert!(!words.contains("not-base64!"), "{words}");
    }
    assert_eq!((refused(&simulator), signatures(&simulator)["good"].as_u64()), (0, Some(0)));
}

#[test]
fn the_end_of_api_1_is_told_at_every_opportunity() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "47"]);
    let (site, _) = site(&simulator, "1s");
    let validated = text(&site.output(&["validate"]).stdout);
    assert!(validated.contains("retiring API 1.0") && validated.contains("cursor migrate"), "{validated}");
    let daemon = site.spawn();
    let status = eventually("the warning in the status", || {
        let status: Value =
            serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()?;
        let alerts = status["alerts"].as_array()?.clone();
        alerts.into_iter().find(|alert| alert["rule"] == "api_1_retires")
    });
    assert_eq!((&status["severity"], &status["tenant"]), (&"warn".into(), &"acme".into()));
    assert!(daemon.log().contains("retiring API 1.0"), "{}", daemon.log());
}
