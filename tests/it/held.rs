//! What holds a tenant or a feed up, seen from outside: for each kind of trouble the state, the metric, the alert and
//! the words of status, log, alert and `explain` have to be those of one row of the recovery table.

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Daemon, Simulator, Site, eventually, http, text};

/// One kind of trouble, and what has to be seen of it.
struct Trouble {
    scenario: &'static str,
    /// The feed that is held; `None`: the credential.
    feed: Option<&'static str>,
    state: &'static str,
    rule: &'static str,
    title: &'static str,
    /// Label of `recoveries_total`.
    action: &'static str,
    /// It is the feed's own; `false`: it is told as the tenant's.
    alone: bool,
    /// Told at once, or only when it lasts.
    at_once: bool,
}

const fn credential(scenario: &'static str, state: &'static str, rule: [&'static str; 3]) -> Trouble {
    let [rule, title, action] = rule;
    Trouble { scenario, feed: None, state, rule, title, action, alone: false, at_once: true }
}
const fn feed(
    scenario: &'static str,
    state: &'static str,
    rule: [&'static str; 3],
    at_once: bool,
) -> Trouble {
    let [rule, title, action] = rule;
    Trouble { scenario, feed: Some("audit"), state, rule, title, action, alone: true, at_once }
}
/// What stands between us and Mimecast holds the feed up, and concerns the whole tenant.
const fn tenant(
    scenario: &'static str,
    state: &'static str,
    rule: [&'static str; 3],
    at_once: bool,
) -> Trouble {
    Trouble { alone: false, ..feed(scenario, state, rule, at_once) }
}

fn status(daemon: &Daemon) -> Option<Value> {
    serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()
}

/// Plays it to one feed, at a pace at which the next attempt lies beyond the test.
fn see(trouble: &Trouble) {
    let scenario = format!("no_quota,{}", trouble.scenario);
    let simulator = Simulator::start(&["--events", "300", "--seed", "81", "--scenario", &scenario]);
    let site = Site::new(&simulator.url, "", "");
    let tenant = "feeds = [\"audit\"]\npoll_interval = \"60s\"";
    site.write(&simulator.url, tenant, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let (held, alert) = eventually(trouble.scenario, || {
        let status = status(&daemon)?;
        let tenant = &status["tenants"][0];
        let held = if trouble.feed.is_some() { &tenant["feeds"][0] } else { &tenant["credential"] };
        let alerts = status["alerts"].as_array()?;
        let alert = alerts.iter().find(|alert| alert["rule"] == trouble.rule)?;
        if trouble.at_once && alert["active"] != true {
            return None; // it is one look old
        }
        (held["state"] == trouble.state && held["rule"] == trouble.rule)
            .then(|| (held.clone(), alert.clone()))
    });
    let name = trouble.scenario;
    let scope = match trouble.feed.filter(|_| trouble.alone) {
        Some(feed) => format!("acme/{feed}"),
        None if trouble.rule == "M20" => "machine".to_owned(), // whichever tenant it was said to
        None if trouble.rule == "H04" => simulator.url.replace("http://", "host:"), // or by whichever it was met
        None => "acme".to_owned(),
    };
    assert_eq!((&alert["scope"], &alert["title"]), (&scope.into(), &trouble.title.into()), "{name}: {alert}");
    assert_eq!(alert["active"], trouble.at_once, "{name}: {alert}");
    let alerts = status(&daemon).expect("a status")["alerts"].clone();
    assert!(!alerts.to_string().contains("unknown_code"), "{name}: its code is documented: {alerts}");
    assert_metrics(trouble, &http("GET", &format!("{}/metrics", daemon.admin()), "").1);
    let row = row(&site, trouble);
    let log = daemon.log();
    for (what, words) in [("remedy", &row["remedy"]), ("clears", &row["clears_when"])] {
        let words = words.as_str().expect("a text");
        assert_eq!(alert[what], words, "{name}: the alert's {what}");
        assert!(log.contains(words), "{name}: the log's {what}: {log}");
    }
    let fault = alert["words"].as_str().expect("what was answered");
    assert!(log.contains(fault), "{name}: {fault} is not in the log: {log}");
    let why = held["why"].as_str().or(held["words"].as_str()).expect("why");
    let meaning = row["meaning"].as_str().expect("a text");
    assert!(why == fault || why.contains(meaning), "{name}: {why}");
    assert_eq!(simulator.counted("bearer_leaks"), 0);
}

fn assert_metrics(trouble: &Trouble, metrics: &str) {
    let labels = |line: &str, wanted: &[String]| wanted.iter().all(|label| line.contains(label.as_str()));
    let has = |metric: &str, value: &str, wanted: &[String]| {
        let mut lines = metrics.lines();
        let found =
            lines.any(|line| line.starts_with(metric) && line.ends_with(value) && labels(line, wanted));
        assert!(found, "{}: no {metric} {wanted:?} {value} in\n{metrics}", trouble.scenario);
    };
    let state = format!("state=\"{}\"", trouble.state);
    match trouble.feed {
        None => has("mimecollectd_credential_state", " 1", &[state]),
        Some(feed) => has("mimecollectd_feed_state", " 1", &[state, format!("feed=\"{feed}\"")]),
    }
    let told = if trouble.at_once { " 1" } else { " 0" };
    has("mimecollectd_alert_active", told, &[format!("alert=\"{}\"", trouble.rule)]);
    has("mimecollectd_recoveries_total", "", &[format!("action=\"{}\"", trouble.action)]);
}

/// The row as `explain` prints it.
fn row(site: &Site, trouble: &Trouble) -> Value {
    let out = site.output(&["explain", trouble.title, "--json"]);
    let rows: Value = serde_json::from_str(&text(&out.stdout)).expect("explain prints JSON");
    let rows = rows.as_array().expect("a list of rows").clone();
    let row = rows.into_iter().find(|row| row["id"] == trouble.rule && row["action"] == trouble.action);
    row.unwrap_or_else(|| panic!("explain {} has no row {}", trouble.title, trouble.rule))
}

#[test]
fn what_closes_the_credential() {
    for trouble in [
        credential("lockout", "locked_out", ["M10", "locked_out", "lockout"]),
        credential("password-expired", "expired", ["M17", "password_expired", "halt"]),
        credential("row:M12", "revoked", ["M12", "keys_revoked_or_wiped", "halt"]),
        credential("row:M20", "denied", ["M20", "source_ip_forbidden", "halt"]),
        credential("row:H04", "denied", ["H04", "proxy_auth", "halt"]),
        credential("row:M06", "suspended", ["M06", "bad_credentials", "confirm_then_halt"]),
        // somebody in between answers the login: told when it lasts
        Trouble {
            at_once: false,
            ..credential("row:X09", "suspended", ["X09", "unattributed_auth", "backoff"])
        },
    ] {
        see(&trouble);
    }
}

#[test]
fn what_holds_one_feed() {
    for trouble in [
        feed("forbidden-feed=audit", "halted", ["M14", "forbidden_operation", "halt"], true),
        // HTTP said 200
        feed("fail-in-200=1", "backing_off", ["M29", "server_error", "backoff"], false),
        feed("row:M28", "throttled", ["M28", "rate_limited", "pause"], false),
        feed("row:D01", "throttled", ["D01", "rate_limited", "pause"], false),
        tenant("row:X08", "backing_off", ["X08", "html_from_proxy", "backoff"], false),
    ] {
        see(&trouble);
    }
}

/// The feed whose request found it out, too, although its next poll is a minute away.
#[test]
fn all_feeds_of_a_closed_credential_say_the_same() {
    for (scenario, state) in [("lockout", "paused"), ("row:M12", "halted")] {
        let scenario = format!("no_quota,{scenario}");
        let simulator = Simulator::start(&["--events", "300", "--seed", "84", "--scenario", &scenario]);
        let site = Site::new(&simulator.url, "", "");
        let file = file_sink(&site.path("events.ndjson"));
        site.write(&simulator.url, "feeds = [\"siem.*\", \"audit\"]\npoll_interval = \"60s\"", &file);
        let daemon = site.spawn();
        let all_say_it = || {
            let feeds = status(&daemon)?["tenants"][0]["feeds"].clone();
            let says = |feed: &Value| feed["state"] == state && feed["why"] == "the credential is closed";
            let all = feeds.as_array()?;
            (all.len() > 5 && all.iter().all(|feed| says(feed) && feed["rule"].is_null())).then_some(())
        };
        eventually(&format!("all feeds to be {state}"), all_say_it);
        drop(daemon);
    }
}

/// A 401 that is false: one fresh token, and every event arrives; nobody is told.
#[test]
fn a_false_401_costs_a_token_and_no_alert() {
    let simulator =
        Simulator::start(&["--events", "600", "--seed", "82", "--scenario", "no_quota,spurious-401=7"]);
    let site = Site::new(&simulator.url, "", "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, "feeds = [\"audit\"]\npoll_interval = \"1s\"", &file_sink(&file));
    let daemon = site.spawn();
    let published = simulator.truth("audit").len() as u64;
    eventually("all events under false refusals", || {
        (crate::rig::Arrived::from_file(&file).distinct() >= published).then_some(())
    });
    let status = status(&daemon).expect("a status");
    assert!(
        status["alerts"].as_array().is_some_and(|all| all.iter().all(|a| a["active"] == false)),
        "{status}"
    );
    drop(daemon);
}

/// A token endpoint that does not answer: one request for all feeds, everybody else waits for it and says so, and a stop
/// does not wait for it.
#[test]
fn a_token_endpoint_that_hangs_is_asked_once_and_holds_nobody_up_at_the_end() {
    let scenario = "no_quota; on token status=503 delay=10m";
    let simulator = Simulator::start(&["--events", "300", "--seed", "83", "--scenario", scenario]);
    let site = Site::new(&simulator.url, "", "");
    site.write(
        &simulator.url,
        "feeds = [\"*\"]\npoll_interval = \"60s\"",
        &file_sink(&site.path("events.ndjson")),
    );
    let daemon = site.spawn();
    eventually("the login to be under way", || {
        (status(&daemon)?["tenants"][0]["credential"]["state"] == "refreshing").then_some(())
    });
    let (_, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
    let line = "mimecollectd_credential_state{tenant=\"acme\",state=\"refreshing\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    let (_, took) = daemon.stop();
    assert!(took < std::time::Duration::from_secs(15), "the stop took {took:?}");
    assert!(simulator.counted("token_requests") <= 1, "{}", simulator.ledger());
}

/// Mending dead letters or gaps says nothing of what a feed is halted for: a look at it would be one more refusal.
#[test]
fn only_a_wish_for_the_feed_itself_is_a_look_at_what_halted_it() {
    let scenario = "no_quota,forbidden-feed=audit";
    let simulator = Simulator::start(&["--events", "300", "--seed", "84", "--scenario", scenario]);
    let site = Site::new(&simulator.url, "", "");
    let feeds = "feeds = [\"audit\", \"ttp.url\"]\npoll_interval = \"60s\"";
    site.write(&simulator.url, feeds, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let looks = || -> u64 {
        let (_, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
        let of_audit = |line: &&str| {
            line.starts_with("mimecollectd_api_requests_total") && line.contains("feed=\"audit\"")
        };
        let number = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
        metrics.lines().filter(of_audit).filter_map(number).sum()
    };
    let halted = || {
        let feeds = status(&daemon)?["tenants"][0]["feeds"].clone();
        let audit = feeds.as_array()?.iter().find(|feed| feed["name"] == "audit")?.clone();
        (audit["state"] == "halted").then_some(())
    };
    eventually("the feed to halt", halted);
    assert_eq!(looks(), 1);
    let errands: [&[&str]; 4] = [
        &["gaps", "backfill"],
        &["dead-letters", "drop", "--all", "--yes"],
        &["cursor", "set", "acme/ttp.url", "--since", "1h"],
        &["resume", "acme/ttp.url"],
    ];
    for errand in errands {
        let out = site.output(errand);
        assert_ne!(out.status.code(), Some(2), "{errand:?}: {}", text(&out.stderr));
    }
    assert_eq!(looks(), 1);
    assert!(site.output(&["resume", "acme/audit"]).status.success());
    eventually("one more look", || (looks() > 1).then_some(()));
    eventually("the feed to halt again", halted);
    assert_eq!(looks(), 2);
}
