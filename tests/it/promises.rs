//! Small promises, each by the figure or the words it makes: what `check` says of a clock and of a certificate, how
//! long until something is lost, when a secret ends, and what is refused.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::check::{checked, row};
use crate::counterparts::{certificates, free_port, listens, start};
use crate::main_job::{file_sink, tcp_sink};
use crate::rig::{Receiver, Simulator, Site, eventually, http, text};

const SLOWLY: &str = "feeds = [\"siem.receipt\", \"siem.av\", \"audit\"]\npoll_interval = \"300s\"";
const DAY: i64 = 86_400;

fn site(simulator: &Simulator, tenant: &str) -> Site {
    let site = Site::new(&simulator.url, tenant, "");
    site.write(&simulator.url, tenant, &file_sink(&site.path("events.ndjson")));
    site
}

/// A figure of the metrics page; `None` while it is not there.
fn figure(admin: &str, series: &str) -> Option<f64> {
    let (_, page) = http("GET", &format!("{admin}/metrics"), "");
    let line = page.lines().find_map(|line| line.strip_prefix("mimecollectd_")?.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn check_tells_how_far_the_clock_is_off_and_how_to_set_it() {
    for (offset, side) in [("-10m", "ahead of"), ("10m", "behind")] {
        let offset = format!("--clock-offset={offset}");
        let simulator = Simulator::start(&["--events", "100", "--seed", "101", &offset]);
        let (_, table) = checked(&site(&simulator, SLOWLY), &[]);
        let (outcome, words) = row(&table, "acme", "clock");
        assert_eq!(outcome, "warning", "{words}");
        let seconds: u64 =
            words.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{words}"));
        assert!((590..=610).contains(&seconds) && words.contains(side), "{offset}: {words}");
        assert!(words.contains("timedatectl set-ntp true"), "{words}");
    }
}

#[test]
fn check_tells_who_signed_a_certificate_and_which_one_does_not_verify() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "102"]);
    let site = site(&simulator, SLOWLY);
    let (ca, cert, key) = certificates(site.dir.path());
    let port = free_port();
    let listen = format!("localhost:{port}");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let args = ["s_server", "-accept", &listen, "-cert", &cert, "-key", &key, "-quiet", "-ign_eof"];
    let _server = start(Path::new("openssl"), &args, None);
    listens(port);
    let sink = |tls: &str| {
        format!("[sinks.siem]\ntype = \"syslog\"\naddress = \"localhost:{port}\"\ntransport = \"tls\"\n{tls}")
    };
    site.write(&simulator.url, SLOWLY, &sink(&format!("tls = {{ ca_file = {ca:?} }}\n")));
    let (_, table) = checked(&site, &[]);
    let (outcome, words) = row(&table, "sink:siem", "tls");
    assert_eq!(outcome, "ok", "{words}");
    assert!(words.contains("TLS 1.3; certificate signed by authority of the test, good until"), "{words}");

    site.write(&simulator.url, SLOWLY, &sink(""));
    let (exit, table) = checked(&site, &[]);
    let (outcome, words) = row(&table, "sink:siem", "tls");
    assert!(outcome == "failed" && words.contains("as ca_file"), "{words}");
    assert_eq!(exit, Some(69), "{table:#}");
}

#[test]
fn a_secret_is_spoken_of_from_thirty_days_before_its_end() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "104"]);
    for (days, told) in [(32, false), (30, true)] {
        let end = jiff::Timestamp::now().as_second() / DAY * DAY + days * DAY;
        let date = jiff::Timestamp::from_second(end).expect("a time").to_string();
        let date = date.get(..10).expect("a date");
        let site = site(&simulator, &format!("{SLOWLY}\nsecret_expires = {date}"));
        let daemon = site.spawn();
        let admin = daemon.admin();
        let expiry = "credential_expiry_timestamp_seconds{tenant=\"acme\"}";
        let at = eventually("the figure", || figure(&admin, expiry));
        assert!((at - end as f64).abs() <= DAY as f64, "{at}: {date}");
        let alerts = || -> Value {
            let body = http("GET", &format!("{admin}/status"), "").1;
            let status: Value = serde_json::from_str(&body).expect("JSON");
            status["alerts"].clone()
        };
        if told {
            eventually("the alert", || alerts().to_string().contains("the secret ends on").then_some(()));
            eventually("the reminder", || daemon.log().contains(date).then_some(()));
        } else {
            assert!(!alerts().to_string().contains("secret"), "{}", alerts());
            assert!(!daemon.log().contains(date), "{}", daemon.log());
        }
    }
}

#[test]
fn how_long_until_something_is_lost_is_what_is_left_of_mimecasts_memory() {
    let simulator = Simulator::start(&["--events", "300", "--seed", "105"]);
    let site = site(&simulator, SLOWLY);
    let sinks = file_sink(&site.path("events.ndjson")) + &tcp_sink(Receiver::nobody());
    site.write(&simulator.url, SLOWLY, &sinks);
    assert_eq!(site.output(&["run", "--once"]).status.code(), Some(69), "one sink is down");
    drop(simulator); // Mimecast is away
    let past = 3 * DAY * 1_000;
    site.tamper(&format!(
        "UPDATE feed SET last_success = last_success - {past}, complete = complete - {past}, reached = reached - {past}"
    ));
    let daemon = site.spawn();
    let admin = daemon.admin();
    let left = eventually("the figure", || figure(&admin, "time_to_data_loss_seconds"));
    assert!((left - 4.0 * DAY as f64).abs() < 300.0, "{left}: of 7 days 3 are gone");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT sum(bytes), sum(events) \
                  FROM chunk').fetchone())";
    let mut python = std::process::Command::new("python3");
    let out = python.args(["-c", script]).arg(site.path("state/store.db")).output().expect("python3");
    let sums = text(&out.stdout);
    let sums: Vec<f64> =
        sums.trim().trim_matches(['(', ')']).split(", ").map(|n| n.parse().expect("a number")).collect();
    eventually("the figures", || (figure(&admin, "store_bytes") == Some(sums[0])).then_some(()));
    assert_eq!(
        figure(&admin, "store_events{sink=\"tcp\"}"),
        Some(sums[1]),
        "all of it waits for the sink that is down"
    );
    assert_eq!(figure(&admin, "store_events{sink=\"file\"}"), Some(0.0));
}

#[test]
fn polling_more_often_than_mimecast_asks_for_is_refused() {
    let site = Site::new("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    let text_of = |site: &Site| std::fs::read_to_string(&site.config).expect("written");
    let write = |line: &str| {
        site.write("http://127.0.0.1:9", line, "[sinks.out]\ntype = \"stdout\"\n");
        let real = text_of(&site).replace("base_url = \"http://127.0.0.1:9\"", "region = \"global\"");
        std::fs::write(&site.config, real).expect("written");
    };
    for line in ["poll_interval = \"299s\"", "[tenants.acme.feed.\"ttp.url\"]\npoll_interval = \"4m\""] {
        write(line);
        for verb in [&["validate"][..], &["run", "--once"]] {
            let out = site.output(verb);
            let said = text(&out.stdout) + &text(&out.stderr);
            assert_eq!(out.status.code(), Some(78), "{verb:?} {line}: {said}");
            assert!(said.contains("poll_interval") && said.contains("5m"), "{verb:?} {line}: {said}");
        }
    }
    write("poll_interval = \"300s\"");
    let out = site.output(&["validate"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}

#[test]
fn the_table_is_the_same_by_http_and_by_explain() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "106"]);
    let site = site(&simulator, SLOWLY);
    let daemon = site.spawn();
    let (status, body) = http("GET", &format!("{}/api/errors", daemon.admin()), "");
    let served: Value = serde_json::from_str(&body).expect("JSON");
    let explained = site.command(&["explain", "--all", "--json"]).output().expect("it runs");
    let explained: Value = serde_json::from_slice(&explained.stdout).expect("JSON");
    assert_eq!(status, 200);
    assert!(served.as_array().is_some_and(|rows| rows.len() > 100), "{} bytes", body.len());
    assert!(served == explained, "{} and {} bytes", body.len(), explained.to_string().len());
    let (stopped, took) = daemon.stop();
    assert!(stopped.success() && took < Duration::from_secs(20), "{took:?}");
}
