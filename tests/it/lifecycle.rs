//! Starting, stopping, reloading, and the verbs an operator types.

use std::time::Duration;

use serde_json::Value;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Receiver, Simulator, Site, assert_complete, eventually, http, text};

fn small() -> (Simulator, Site, std::path::PathBuf) {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "41", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
    (simulator, site, file)
}

#[test]
fn sigterm_drains_within_ten_seconds_even_with_a_silent_sink() {
    let (simulator, site, file) = small();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port"); // accepts, never answers
    let sinks = file_sink(&file) + &tcp_sink(silent.local_addr().expect("bound"));
    site.write(&simulator.url, ALL_FEEDS, &sinks);
    let daemon = site.spawn();
    eventually("delivery to begin", || (Arrived::from_file(&file).distinct() > 0).then_some(()));
    let (status, took) = daemon.stop();
    assert!(status.success(), "{status}");
    assert!(took <= Duration::from_secs(11), "{took:?}");
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused() {
    let (_simulator, site, _) = small();
    let daemon = site.spawn();
    daemon.admin();
    let second = site.output(&["run"]);
    assert_eq!(second.status.code(), Some(75), "{}", text(&second.stderr));
    assert!(
        text(&second.stderr).contains(&daemon.child.id().to_string()),
        "names the holder: {}",
        text(&second.stderr)
    );
}

#[test]
fn reload_adds_a_sink_and_a_broken_file_keeps_the_old_configuration() {
    let (simulator, site, file) = small();
    let daemon = site.spawn();
    daemon.admin();
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    eventually("the first sink", || (Arrived::from_file(&file).distinct() >= published).then_some(()));

    let receiver = Receiver::start();
    let good = file_sink(&file) + &tcp_sink(receiver.address);
    site.write(&simulator.url, ALL_FEEDS, &good);
    daemon.signal("HUP");
    receiver.wait_for(published);
    assert_complete(&simulator, &receiver.arrived(), FEEDS);

    site.write(&simulator.url, "feeds = [\"*\"]\npol_interval = \"1s\"", &good);
    daemon.signal("HUP");
    eventually("the refusal in the log", || daemon.log().contains("pol_interval").then_some(()));
    simulator.post("/_sim/publish?feed=siem.av&count=10");
    simulator.post("/_sim/advance?seconds=600");
    receiver.wait_for(published + 10);
    assert_eq!(metric_value(&daemon.admin(), "mimecollectd_config_last_reload_successful"), 0.0);
    let (status, _) = daemon.stop();
    assert!(status.success());
    site.write(&simulator.url, ALL_FEEDS, &good);
    site.reconcile();
}

fn metric_value(admin: &str, name: &str) -> f64 {
    let body = http("GET", &format!("{admin}/metrics"), "").1;
    let line =
        body.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{body}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn health_readiness_status_and_errors_answer() {
    let (_simulator, site, _) = small();
    let daemon = site.spawn();
    let admin = daemon.admin();
    assert_eq!(http("GET", &format!("{admin}/healthz"), "").0, 200);
    eventually("readiness", || (http("GET", &format!("{admin}/readyz"), "").0 == 200).then_some(()));
    let status: Value = serde_json::from_str(&http("GET", &format!("{admin}/status"), "").1).expect("JSON");
    assert_eq!(status["tenants"][0]["name"], "acme");
    assert_eq!(status["tenants"][0]["feeds"].as_array().map(Vec::len), Some(FEEDS.len()));
    let row: Value =
        serde_json::from_str(&http("GET", &format!("{admin}/api/errors/401/0010"), "").1).expect("JSON");
    assert!(row.to_string().contains("M10"), "{row}");
    assert_eq!(http("POST", &format!("{admin}/status"), "").0, 405, "HTTP changes nothing");
    assert!(http("GET", &format!("{admin}/"), "").1.contains("siem.receipt"), "the page names the feeds");
}

#[test]
fn verbs_print_what_they_promise() {
    let (_simulator, site, _) = small();
    let validate = site.output(&["validate"]);
    assert!(validate.status.success(), "{}", text(&validate.stderr));
    assert!(text(&validate.stdout).contains("acme"));
    let feeds = text(&site.output(&["feeds"]).stdout);
    for feed in FEEDS {
        assert!(feeds.contains(feed), "{feed} in\n{feeds}");
    }
    let json: Value = serde_json::from_slice(&site.output(&["feeds", "--json"]).stdout).expect("JSON");
    assert!(json.as_array().is_some_and(|rows| rows.len() >= FEEDS.len()));
    let explain = text(&site.output(&["explain", "401/0010"]).stdout);
    assert!(explain.contains("locked") && explain.contains("31 min"), "{explain}");
    assert!(text(&site.output(&["explain", "403", "app_forbidden"]).stdout).contains("permission"));
    let gap = text(&site.output(&["explain", "gap_open"]).stdout);
    assert!(gap.contains("was not collected") && gap.contains("gaps backfill"), "{gap}");
    assert_eq!(site.output(&["explain", "--all", "M12"]).status.code(), Some(2));
    assert!(
        explain.contains("\nElsewhere only the status counts: from the host of a file link: X17"),
        "{explain}"
    );
    let saved = site.path("saved.json");
    let body = r#"{"meta":{"status":401},"fail":[{"errors":[{"code":"err_xdk_invalid_signature"}]}]}"#;
    std::fs::write(&saved, body).expect("written");
    let path = saved.to_str().expect("a plain path");
    let told = text(&site.output(&["explain", "--response", path]).stdout);
    assert!(told.starts_with("HTTP 401") && told.contains("M07 bad_signature"), "{told}");
    std::fs::write(&saved, "no status anywhere").expect("written");
    assert_eq!(site.output(&["explain", "--response", path]).status.code(), Some(2));
    site.run_once();
    let status = site.status();
    assert_eq!(status["tenants"][0]["feeds"].as_array().map(Vec::len), Some(FEEDS.len()));
    let status = text(&site.output(&["status"]).stdout);
    assert!(status.contains(": Not running\n") && status.contains("siem.receipt"), "{status}");
    assert!(status.contains("no daemon runs: the last run ended in good order"), "{status}");
    assert_eq!(site.output(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn a_bad_configuration_is_exit_78_with_line_and_suggestion() {
    let (simulator, site, file) = small();
    site.write(&simulator.url, "feds = [\"*\"]", &file_sink(&file));
    for verb in [&["validate"][..], &["run", "--once"][..]] {
        let out = site.output(verb);
        assert_eq!(out.status.code(), Some(78));
        let words = text(&out.stderr);
        assert!(
            words.contains("feds") && words.contains("feeds") && words.contains("mimecollectd.toml:"),
            "{words}"
        );
    }
}

#[test]
fn no_secret_anywhere() {
    const CANARY: &str = "demo-canary-7f3a";
    let simulator = Simulator::start(&["--events", "1000", "--seed", "42", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, &format!("{ALL_FEEDS}\n[log]\nlevel = \"trace\""), &file_sink(&file));
    std::fs::write(site.path("secret"), CANARY).expect("written"); // a wrong secret: errors talk about it
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the refusal", || {
        http("GET", &format!("{admin}/status"), "").1.contains("\"suspended\"").then_some(())
    });
    let mut seen = vec![("log", daemon.log())];
    for path in ["/status", "/metrics", "/", "/readyz"] {
        seen.push((path, http("GET", &format!("{admin}{path}"), "").1));
    }
    for name in ["store.db", "store.db-wal"] {
        seen.push((name, text(&std::fs::read(site.path("state").join(name)).unwrap_or_default())));
    }
    for (place, words) in &seen {
        assert!(!words.contains(CANARY), "the secret stands in {place}");
    }
    drop(daemon);
    // a fresh state: the old one rightly waits before it tries another time
    let site = Site::new(&simulator.url, "", "");
    site.write(&simulator.url, &format!("{ALL_FEEDS}\n[log]\nlevel = \"trace\""), &file_sink(&file));
    let said = text(&site.run_once().stderr);
    assert!(said.contains("events stored"), "the log was at work:\n{said}");
    assert!(
        !said.contains("X-Amz-Signature") && !said.contains("Bearer "),
        "signed links and tokens are secrets too"
    );
}

#[test]
fn once_with_a_dead_sink_ends_and_says_so() {
    let (simulator, site, file) = small();
    let dead = tcp_sink(Receiver::nobody());
    site.write(&simulator.url, ALL_FEEDS, &(file_sink(&file) + &dead));
    let out = site.output(&["run", "--once"]);
    assert_eq!(out.status.code(), Some(69), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("could not be reached: tcp"), "{}", text(&out.stderr));
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
    site.reconcile();
}

#[test]
fn resume_lifts_a_halt_after_the_cause_was_fixed() {
    let simulator =
        Simulator::start(&["--events", "500", "--seed", "43", "--scenario", "no_quota,password-expired"]);
    let site = Site::new(&simulator.url, "", "");
    let file = site.path("events.ndjson");
    // a pace at which no probe comes by itself while this test runs
    let slowly = "feeds = [\"*\"]\npoll_interval = \"60s\"";
    site.write(&simulator.url, slowly, &file_sink(&file));
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the halt", || {
        http("GET", &format!("{admin}/status"), "").1.contains("\"expired\"").then_some(())
    });
    simulator.scenario("no_quota");
    let out = site.output(&["resume", "acme"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    eventually("events after resume", || (Arrived::from_file(&file).distinct() > 0).then_some(()));
    assert_eq!(site.output(&["resume", "nobody"]).status.code(), Some(2));
}

/// While a daemon drains, fewer and fewer of its parts run: `status` says why they are not shown.
#[test]
fn a_daemon_that_is_stopping_says_so_instead_of_showing_nothing() {
    let simulator = Simulator::start(&["--events", "200", "--seed", "95", "--scenario", "no_quota"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let sink = format!(
        "[sinks.silent]\ntype = \"http\"\npreset = \"ndjson\"\nurl = \"http://{}/\"\n",
        silent.local_addr().expect("bound")
    );
    let site = Site::new(&simulator.url, "feeds = [\"audit\"]", &sink);
    let daemon = site.spawn();
    let status = format!("{}/status", daemon.admin());
    let (_held, _) = silent.accept().expect("a request that is never answered");
    daemon.signal("TERM");
    let told = eventually("the daemon to say that it is stopping", || {
        let told: Value = serde_json::from_str(&http("GET", &status, "").1).ok()?;
        told["ready"]["reasons"][0].as_str().is_some_and(|why| why.contains("is stopping")).then_some(told)
    });
    assert_eq!(told["ready"]["ok"], false, "{told}");
}
