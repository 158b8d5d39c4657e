//! Mimecast in trouble: lockout, expired password, throttling, token expiry, expired links, outages.

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, window_feeds};
use crate::rig::{Arrived, Simulator, Site, assert_complete, eventually, text};

fn site_with_file(simulator: &Simulator) -> (Site, std::path::PathBuf) {
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
    (site, file)
}

/// Runs the daemon under a scenario that passes by itself until everything published has arrived.
fn survives(scenario: &str) {
    let simulator = Simulator::start(&[
        "--events",
        "6000",
        "--seed",
        "21",
        "--scenario",
        &format!("no_quota,{scenario}"),
    ]);
    let (site, file) = site_with_file(&simulator);
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    let daemon = site.spawn();
    eventually(&format!("all events under {scenario}"), || {
        (Arrived::from_file(&file).distinct() >= published).then_some(())
    });
    let (status, _) = daemon.stop();
    assert!(status.success(), "{status}");
    let arrived = Arrived::from_file(&file);
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0, "{scenario}");
    site.reconcile();
    assert_eq!(simulator.counted("bearer_leaks"), 0);
}

#[test]
fn expired_links_are_listed_again_from_the_same_cursor() {
    survives("expired-links");
}

#[test]
fn a_truncated_file_is_fetched_again() {
    survives("truncated-gzip");
}

#[test]
fn tokens_that_die_early_are_replaced() {
    survives("token-expiry");
}

#[test]
fn throttling_in_every_header_form_is_waited_out() {
    survives("throttle");
}

#[test]
fn late_rows_are_found_by_the_overlap() {
    let simulator =
        Simulator::start(&["--events", "4000", "--seed", "22", "--scenario", "no_quota,late-rows"]);
    let (site, file) = site_with_file(&simulator);
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
fn twenty_feeds_on_a_locked_account_knock_once_across_restarts() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "23", "--scenario", "lockout"]);
    let site = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"*\"]\npoll_interval = \"60s\""; // 31 minutes of lock become six
    site.write(&simulator.url, slowly, &file_sink(&site.path("events.ndjson")));
    for _ in 0..5 {
        let daemon = site.spawn();
        eventually("the lockout to be seen", || {
            let status: serde_json::Value =
                serde_json::from_str(&crate::rig::http("GET", &format!("{}/status", daemon.admin()), "").1)
                    .ok()?;
            (status["tenants"][0]["credential"]["state"] == "locked_out").then_some(())
        });
        drop(daemon);
    }
    let knocks = simulator.counted("attempts_while_locked");
    assert!(knocks <= 1, "{knocks} attempts on a locked account");
}

#[test]
fn a_wrong_secret_is_tried_once_not_once_per_feed() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "24"]);
    let site = Site::new(&simulator.url, "", "");
    // a pace at which the one attempt to confirm lies beyond this test
    site.write(
        &simulator.url,
        "feeds = [\"*\"]\npoll_interval = \"300s\"",
        &file_sink(&site.path("events.ndjson")),
    );
    std::fs::write(site.path("secret"), "wrong").expect("written");
    for _ in 0..3 {
        let out = site.output(&["run", "--once"]);
        assert!(!out.status.success(), "a halted feed is not success");
        let words = text(&out.stderr);
        assert!(!words.contains("wrong\""), "the secret is not shown");
    }
    let failed = simulator.counted("failed_logins");
    assert!(failed <= 1, "{failed} failed logins");
}

#[test]
fn an_expired_password_halts_the_tenant_and_says_what_to_do() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "25", "--scenario", "password-expired"]);
    let (site, _) = site_with_file(&simulator);
    let daemon = site.spawn();
    let status = eventually("the expired password to be seen", || {
        let status: serde_json::Value =
            serde_json::from_str(&crate::rig::http("GET", &format!("{}/status", daemon.admin()), "").1)
                .ok()?;
        (status["tenants"][0]["credential"]["state"] == "expired").then_some(status)
    });
    let words = status["tenants"][0]["credential"].to_string();
    assert!(words.to_lowercase().contains("password"), "{words}");
}

#[test]
fn one_forbidden_feed_leaves_the_others_running() {
    let simulator =
        Simulator::start(&["--events", "3000", "--seed", "26", "--scenario", "no_quota,forbidden-feed"]);
    let (site, file) = site_with_file(&simulator);
    let out = site.output(&["run", "--once"]);
    assert_eq!(out.status.code(), Some(1), "a halted feed: exit 1\n{}", text(&out.stderr));
    let arrived = Arrived::from_file(&file);
    let complete =
        FEEDS.iter().filter(|feed| arrived.feed(feed) == simulator.truth(feed).len() as u64).count();
    assert_eq!(complete, FEEDS.len() - 1);
}
