//! What the daemon tells of itself: its figures against those of the simulator, why it is not ready, and every gap, once,
//! in its log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::{file_sink, tcp_sink};
use crate::rig::{Daemon, Receiver, Simulator, Site, eventually, http, text as text_of};

/// Every sample of `/metrics`: name with its labels → value.
fn figures(admin: &str) -> BTreeMap<String, f64> {
    let (status, body) = http("GET", &format!("{admin}/metrics"), "");
    assert_eq!(status, 200, "{body}");
    let samples = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.strip_prefix("mimecollectd_")?.to_owned(), value.parse().ok()?))
    };
    samples.filter_map(sample).collect()
}

/// The sum of all series of a metric that carry these labels.
fn sum(figures: &BTreeMap<String, f64>, metric: &str, labels: &[&str]) -> f64 {
    let of = |name: &str| name.split('{').next() == Some(metric) && labels.iter().all(|l| name.contains(l));
    let found: Vec<f64> = figures.iter().filter(|(name, _)| of(name)).map(|(_, value)| *value).collect();
    assert!(!found.is_empty(), "no {metric} with {labels:?}");
    found.iter().sum()
}

/// The ledger, and the figures of a moment in which the simulator was asked nothing.
fn both(simulator: &Simulator, daemon: &Daemon) -> (Value, BTreeMap<String, f64>) {
    eventually("a moment without a request", || {
        let before = simulator.ledger()["tenants"]["demo"].clone();
        let found = figures(&daemon.admin());
        (simulator.ledger()["tenants"]["demo"] == before).then_some((before, found))
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"))
}

const FEW: [&str; 3] = ["siem.receipt", "siem.av", "audit"];
const TENANT: &str =
    "feeds = [\"siem.receipt\", \"siem.av\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"1h\"";

#[test]
fn the_figures_are_those_of_the_simulator() {
    let simulator = Simulator::start(&["--events", "0", "--seed", "93", "--scenario", "no_quota,bad-line=1"]);
    simulator.post("/_sim/publish?feed=siem.receipt&count=400&age=10m");
    simulator.post("/_sim/publish?feed=siem.av&count=30&age=10m");
    simulator.post("/_sim/publish?feed=audit&count=150&age=10m");
    let poison = simulator.truth("siem.av").first().expect("events").clone();
    let (web, tcp) = (HttpReceiver::start(&poison, 0), Receiver::start());
    let gone = format!(
        "[sinks.gone]\ntype = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\n",
        Receiver::nobody()
    );
    let site = Site::new(&simulator.url, TENANT, "");
    let sinks =
        file_sink(&site.path("events.ndjson")) + &tcp_sink(tcp.address) + &http_sink(web.web.address) + &gone;
    site.write(&simulator.url, TENANT, &sinks);
    let began = jiff::Timestamp::now();
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the sinks to have everything", || {
        let found = figures(&admin);
        let at = |sink: &str| found.get(&format!("events_delivered_total{{sink=\"{sink}\"}}")).copied();
        (at("file") == Some(580.0) && at("tcp") == Some(580.0) && at("web") == Some(579.0)).then_some(())
    });
    eventually("every feed to be caught up", || {
        (sum(&figures(&admin), "feed_caught_up", &[]) == 3.0).then_some(())
    });
    eventually("audit to be read twice", || {
        (number(&simulator.ledger()["tenants"]["demo"]["feeds"]["audit"]["most_often"]) > 1.0).then_some(())
    });
    // an answer may have been given and not yet be counted
    let (ledger, found) = eventually("what was answered to be counted", || {
        let (ledger, found) = both(&simulator, &daemon);
        let audit = &ledger["feeds"]["audit"];
        let again = number(&audit["handed_out"]) - number(&audit["handed_out_distinct"]);
        let asked = |function: &str| number(&ledger["requests"][function]["200"]);
        let counted = sum(&found, "events_duplicate_total", &["feed=\"audit\""]) == again
            && sum(&found, "api_requests_total", &[])
                == asked("token") + asked("audit") + asked("listing.cg");
        counted.then_some((ledger, found))
    });
    for feed in FEW {
        let (label, books) = (format!("feed=\"{feed}\""), &ledger["feeds"][feed]);
        assert_eq!(sum(&found, "events_collected_total", &[&label]), number(&books["published"]), "{feed}");
        let repeats = match feed {
            "audit" => number(&books["handed_out"]) - number(&books["handed_out_distinct"]),
            _ => 0.0, // a file is fetched once
        };
        assert_eq!(sum(&found, "events_duplicate_total", &[&label]), repeats, "{feed}");
        if feed != "audit" {
            assert!(number(&books["unreadable"]) > 0.0, "{books}");
            let quarantined = sum(&found, "events_quarantined_total", &[&label, "reason=\"not_json\""]);
            assert_eq!(quarantined, number(&books["unreadable"]), "{feed}");
        }
    }
    let asked = |function: &str| number(&ledger["requests"][function]["200"]);
    for (labels, calls) in [
        (&["feed=\"\""][..], asked("token")),
        (&["feed=\"audit\""], asked("audit")),
        (&["feed=\"siem."], asked("listing.cg")),
    ] {
        assert_eq!(sum(&found, "api_requests_total", labels), calls, "{labels:?}: {ledger}");
        assert_eq!(sum(&found, "api_request_duration_seconds_count", labels), calls, "{labels:?}");
    }
    the_sinks_are_counted(&found, began);
    let expiry = sum(&found, "token_expiry_timestamp_seconds", &[]) - began.as_second() as f64;
    assert!((1700.0..1900.0).contains(&expiry), "a token lives for half an hour: {expiry} s");
}

/// What the figures say of the four sinks of the test above.
fn the_sinks_are_counted(found: &BTreeMap<String, f64>, began: jiff::Timestamp) {
    for (sink, level, up, dead) in [("file", 5.0, 1.0, 0.0), ("tcp", 2.0, 1.0, 0.0), ("web", 4.0, 1.0, 1.0)] {
        let label = format!("sink=\"{sink}\"");
        let of = |metric: &str| sum(found, metric, &[&label]);
        assert_eq!((of("sink_ack_level"), of("sink_up"), of("store_events")), (level, up, 0.0), "{sink}");
        assert_eq!(of("events_dead_lettered_total"), dead, "{sink}");
        assert!(sum(found, "delivery_attempts_total", &[&label, "result=\"acknowledged\""]) >= 1.0, "{sink}");
        assert!(of("sink_send_duration_seconds_count") >= 1.0, "{sink}");
        // event time to acknowledgement: ten minutes, the ten seconds over which they happened, and this test's time
        let lag = of("delivery_lag_seconds_sum") / of("delivery_lag_seconds_count");
        let most = 615.0 + jiff::Timestamp::now().duration_since(began).as_secs_f64();
        assert!((599.0..=most).contains(&lag), "{sink}: {lag} s");
    }
    assert_eq!(sum(found, "sink_up", &["sink=\"gone\""]), 0.0);
    assert_eq!(sum(found, "store_events", &["sink=\"gone\""]), 580.0);
    assert_eq!(sum(found, "events_delivered_total", &["sink=\"gone\""]), 0.0);
    assert!(sum(found, "delivery_attempts_total", &["sink=\"gone\"", "result=\"failed\""]) >= 1.0);
    assert_eq!(sum(found, "delivery_attempts_total", &["sink=\"web\"", "result=\"partial\""]), 1.0);
}

#[test]
fn throttling_and_what_was_done_about_it_are_counted() {
    let throttled = "no_quota; on audit first=3 status=429 code=0008 wait=2s wait_as=seconds";
    let simulator = Simulator::start(&["--events", "0", "--scenario", throttled]);
    simulator.post("/_sim/publish?feed=audit&count=10&age=10m");
    let tenant = "feeds = [\"audit\"]\npoll_interval = \"1s\"\nlookback = \"1h\"";
    let site = Site::new(&simulator.url, "", "");
    site.write(&simulator.url, tenant, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the feed to be caught up", || {
        (sum(&figures(&admin), "feed_caught_up", &[]) > 0.0).then_some(())
    });
    let (ledger, found) = both(&simulator, &daemon);
    assert_eq!(number(&ledger["requests"]["audit"]["429"]), 3.0, "{ledger}");
    let of_429 = ["feed=\"audit\"", "status=\"429\"", "code=\"0008\""];
    assert_eq!(sum(&found, "api_requests_total", &of_429), 3.0);
    assert_eq!(sum(&found, "recoveries_total", &["tenant=\"acme\"", "status=\"429\""]), 3.0);
    let waited = sum(&found, "api_throttled_seconds_total", &[]);
    assert!((6.0..9.0).contains(&waited), "told three times to wait for 2 s: {waited} s");
}

#[test]
fn not_ready_says_why_and_a_refused_reload_is_no_reason() {
    let simulator = Simulator::start(&["--events", "300", "--scenario", "no_quota,lockout=40m"]);
    let site = Site::new(&simulator.url, "", "");
    let sinks = file_sink(&site.path("events.ndjson"));
    let slowly = "feeds = [\"siem.av\", \"audit\"]\npoll_interval = \"60s\"";
    site.write(&simulator.url, slowly, &sinks);
    let daemon = site.spawn();
    let admin = daemon.admin();
    let ready = || http("GET", &format!("{admin}/readyz"), "");
    eventually("the lockout", || {
        http("GET", &format!("{admin}/status"), "").1.contains("\"locked_out\"").then_some(())
    });
    let (status, words) = ready();
    assert_eq!((status, words.lines().next()), (503, Some("not ready")), "{words}");
    assert!(words.contains("no feed works"), "{words}");
    assert_eq!(http("GET", &format!("{admin}/healthz"), "").0, 200, "a restart would not help");

    simulator.scenario("no_quota");
    assert!(site.output(&["resume", "acme"]).status.success());
    eventually("readiness", || (ready().0 == 200).then_some(()));

    // it works on its old configuration: a probe that had it started anew would make matters worse
    site.write(&simulator.url, "feedz = 1", &sinks);
    daemon.signal("HUP");
    eventually("the refusal", || daemon.log().contains("feedz").then_some(()));
    eventually("the refusal to be told", || {
        (sum(&figures(&admin), "config_last_reload_successful", &[]) == 0.0).then_some(())
    });
    assert_eq!(ready().0, 200, "{}", ready().1);
    site.write(&simulator.url, slowly, &sinks);

    site.tamper("ALTER TABLE feed RENAME TO feed_gone");
    let (status, words) =
        eventually("the store to be missed", || Some(ready()).filter(|(status, _)| *status != 200));
    assert!(status == 503 && words.contains("the store cannot be read: "), "{status} {words}");
    site.tamper("ALTER TABLE feed_gone RENAME TO feed");
    eventually("readiness", || (ready().0 == 200).then_some(()));
}

#[test]
fn a_gap_that_a_verb_leaves_is_told_once_in_log_and_metric() {
    const DAY: f64 = 86_400.0;
    let tenant = "feeds = [\"siem.receipt\", \"audit\"]\npoll_interval = \"5s\"\nlookback = \"1h\"";
    let simulator = Simulator::start(&["--events", "0", "--scenario", "no_quota", "--clock-offset=-8d"]);
    let site = Site::new(&simulator.url, "", "");
    let sinks = file_sink(&site.path("events.ndjson"));
    site.write(&simulator.url, tenant, &sinks);
    simulator.post("/_sim/publish?feed=*&count=10&age=10m");
    site.run_once();
    // eight days later another tenant is to go on, and nothing is answered, so that positions stay where they are put
    simulator.post("/_sim/clock?offset=0d");
    simulator.scenario("on data status=503 form=html");
    let text = std::fs::read_to_string(&site.config).expect("just written");
    std::fs::write(&site.config, text.replace("[tenants.acme]", "[tenants.beta]")).expect("written");
    let daemon = site.spawn();
    let admin = daemon.admin();
    let told = |feed: &str| {
        let labels = ["tenant=\"beta\"".to_owned(), format!("feed=\"{feed}\"")];
        let seconds = sum(&figures(&admin), "gap_seconds_total", &[&labels[0], &labels[1]]);
        let key = format!("beta/{feed}: ");
        let of_gap = |line: &&str| line.contains(&key) && line.contains(" was not collected: ");
        (daemon.log().lines().filter(of_gap).count(), seconds)
    };
    let does = |args: &[&str]| {
        let out = site.output(args);
        assert!(out.status.success(), "{args:?}: {}", text_of(&out.stderr));
    };
    does(&["cursor", "migrate", "acme", "beta"]);
    // of what is kept for seven days the first of eight is gone; all of the other is still there
    let (lines, migrated) = told("siem.receipt");
    assert!(lines == 1 && (migrated - DAY).abs() < 900.0, "{migrated} s:\n{}", daemon.log());
    assert_eq!(told("audit"), (0, 0.0));

    // the hour before that both read, and two hours that are still to come
    does(&["cursor", "set", "beta/audit", "--since", "2h"]);
    let (lines, set) = told("audit");
    assert!(
        lines == 1 && (set - (8.0 * DAY + 3_600.0 - 7_200.0)).abs() < 900.0,
        "{set} s:\n{}",
        daemon.log()
    );
    assert_eq!(sum(&figures(&admin), "gaps_open", &["feed=\"audit\""]), 1.0);

    does(&["cursor", "reset", "beta/siem.receipt"]);
    let (lines, reset) = told("siem.receipt");
    let reset = reset - migrated;
    assert!(lines == 2 && (5.9 * DAY..7.1 * DAY).contains(&reset), "{reset} s:\n{}", daemon.log());
    assert!(daemon.stop().0.success());
    site.reconcile();
}
