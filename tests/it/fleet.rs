//! Many tenants in one process: what they cost, that one's trouble is nobody else's, and that what is true for all of
//! them is found out once.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Daemon, PATIENCE, Simulator, Site, eventually, http};

/// Tenants `t1` to `tN`, each of which is `demo-1` to `demo-N` at the simulator.
fn tenants(numbers: impl IntoIterator<Item = usize>, url: &str, secret: &Path, rest: &str) -> String {
    let mut text = String::new();
    for n in numbers {
        let _ = write!(
            text,
            "[tenants.t{n}]\napi = \"2.0\"\nbase_url = \"{url}\"\nclient_id = \"demo-{n}\"\n\
             client_secret = {{ file = {secret:?} }}\n{rest}\n"
        );
    }
    text
}

/// A site whose configuration is these tenants and sinks.
fn site(tenants: impl Fn(&Path) -> String, sinks: impl Fn(&Site) -> String) -> Site {
    let site = Site::new("http://127.0.0.1:1", "", ""); // which writes the secret, too
    let text = format!(
        "state_dir = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n{}{}",
        site.path("state"),
        tenants(&site.path("secret")),
        sinks(&site)
    );
    std::fs::write(&site.config, text).expect("the configuration is written");
    site
}

fn to_file(site: &Site) -> String {
    file_sink(&site.path("events.ndjson"))
}

fn status(daemon: &Daemon) -> Value {
    let (_, body) = http("GET", &format!("{}/status", daemon.admin()), "");
    serde_json::from_str(&body).expect("the status is JSON")
}

fn feeds(status: &Value) -> impl Iterator<Item = &Value> {
    let tenants = status["tenants"].as_array().expect("tenants").iter();
    tenants.flat_map(|tenant| tenant["feeds"].as_array().expect("feeds"))
}

fn all_caught_up(daemon: &Daemon) {
    eventually("every feed to be caught up", || {
        feeds(&status(daemon)).all(|feed| feed["caught_up"] == true).then_some(())
    });
}

/// Anonymous memory of a process, bytes.
fn memory(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// What one more tenant with five feeds may cost while it waits and after everything was looked at, in a debug build:
/// half as much again as it does.
const TENANT_BYTES: u64 = 32 << 10;

#[test]
fn a_tenant_that_waits_costs_little_and_many_start_and_stop_quickly() {
    const FEW: usize = 20;
    const MANY: usize = 160;
    let simulator = Simulator::start(&["--events", "0", "--tenants", "160", "--scenario", "no_quota"]);
    let run = |count: usize| {
        // as many polls a second with many as with few: what is under way at once costs memory too, the more the
        // slower the machine is, and is not what a tenant costs that waits
        let slowly = format!(
            "feeds = [\"siem.receipt\", \"siem.process\", \"siem.delivery\", \"siem.av\", \"siem.spam\"]\n\
             poll_interval = \"{}s\"",
            count / 4
        );
        let site = site(|secret| tenants(1..=count, &simulator.url, secret, &slowly), to_file);
        let daemon = site.spawn();
        let begun = std::time::Instant::now();
        daemon.admin();
        let started = begun.elapsed();
        all_caught_up(&daemon);
        let metrics = http("GET", &format!("{}/metrics", daemon.admin()), "").1;
        let answered =
            "mimecollectd_api_requests_total{tenant=\"t1\",feed=\"siem.av\",status=\"200\",code=\"\"}";
        assert!(metrics.contains(answered), "{answered}");
        let memory = memory(&daemon);
        let (ended, took) = daemon.stop();
        assert!(ended.success(), "{ended}");
        site.reconcile();
        (memory, started, took)
    };
    let (few, ..) = run(FEW);
    let (many, started, stopped) = run(MANY);
    let each = many.saturating_sub(few) / (MANY - FEW) as u64;
    println!(
        "{few} bytes with {FEW} tenants, {many} with {MANY}: {each} each; start {started:?}, stop {stopped:?}"
    );
    assert!(each <= TENANT_BYTES, "{each} bytes a tenant");
    assert!(started < PATIENCE / 6 && stopped < PATIENCE / 6, "start {started:?}, stop {stopped:?}");
}

/// Tenant 1 and 2 are well; each of the others has a trouble of its own.
#[test]
fn the_trouble_of_one_tenant_is_nobody_elses() {
    let troubles = "no_quota; tenant demo-3; on token status=401 code=0010; tenant demo-4; on data status=500 form=meta; \
                    tenant demo-5; on data status=504 delay=100s; tenant demo-6; on file status=504 delay=100s; \
                    tenant demo-7; on listing effect=same-token; tenant demo-8; on listing status=200 form=broken-json; \
                    tenant demo-9; on token status=401 code=0003";
    let simulator =
        Simulator::start(&["--events", "3000", "--seed", "77", "--tenants", "9", "--scenario", troubles]);
    let each = "feeds = [\"siem.*\"]\npoll_interval = \"1s\"";
    let site = site(|secret| tenants(1..=9, &simulator.url, secret, each), to_file);
    let file = site.path("events.ndjson");
    let daemon = site.spawn();
    let well = |status: &Value, name: &str| {
        let tenants = status["tenants"].as_array().expect("tenants");
        let tenant = tenants.iter().find(|tenant| tenant["name"] == name).expect("it is there");
        tenant["feeds"].as_array().expect("feeds").iter().all(|feed| feed["caught_up"] == true)
    };
    eventually("the healthy tenants to be caught up", || {
        let status = status(&daemon);
        (well(&status, "t1") && well(&status, "t2")).then_some(())
    });
    let status = status(&daemon);
    assert_eq!(status["hosts"], serde_json::json!([]), "a host that answers others is not away");
    for sick in ["t3", "t4", "t5", "t6", "t8", "t9"] {
        assert!(!well(&status, sick), "{sick} has its trouble");
    }
    let state = |name: &str| {
        let tenants = status["tenants"].as_array().expect("tenants").iter();
        tenants
            .filter(|tenant| tenant["name"] == name)
            .map(|tenant| tenant["credential"]["state"].clone())
            .next()
    };
    assert_eq!(state("t1"), Some("ok".into()));
    assert_eq!(state("t3"), Some("locked_out".into()));
    drop(daemon);
    let arrived = std::fs::read_to_string(&file).expect("events");
    let of = |tenant: &str| arrived.matches(&format!("\"tenant\":\"{tenant}\"")).count();
    assert!(of("t1") > 0 && of("t2") > 0, "{} {}", of("t1"), of("t2"));
    for sick in ["t3", "t4", "t5", "t6", "t8", "t9"] {
        assert_eq!(of(sick), 0, "{sick} gives nothing, and nobody else's events go by its name");
    }
    site.reconcile();
}

/// Nobody listens where twelve tenants want to go; another host works.
#[test]
fn a_host_that_is_away_is_looked_at_once_for_all_and_holds_up_no_other() {
    let well =
        Simulator::start(&["--events", "500", "--seed", "78", "--tenants", "20", "--scenario", "no_quota"]);
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = gone.local_addr().expect("bound").to_string();
    drop(gone);
    let each = "feeds = [\"siem.*\"]\npoll_interval = \"3s\"";
    let (here, there) = (well.url.clone(), format!("http://{address}"));
    let site = site(
        |secret| tenants(1..=12, &there, secret, each) + &tenants(13..=14, &here, secret, each),
        to_file,
    );
    let daemon = site.spawn();
    let seen = eventually("the host to be found away, and the other tenants to be served", || {
        let status = status(&daemon);
        let served = feeds(&status).filter(|feed| feed["caught_up"] == true).count();
        (status["hosts"][0]["name"] == address.as_str() && served == 20).then_some(status)
    });
    assert_eq!(seen["hosts"][0]["rule"], "X03", "{}", seen["hosts"]);
    let waiting = eventually("all feeds of the host to wait for it", || {
        let status = status(&daemon);
        (feeds(&status).filter(|feed| feed["rule"] == "X03").count() == 120).then_some(status)
    });
    let alerts = waiting["alerts"].as_array().expect("alerts");
    let of_host: Vec<_> = alerts.iter().filter(|alert| alert["rule"] == "X03").collect();
    assert_eq!(of_host.len(), 1, "{of_host:?}");
    assert_eq!(of_host[0]["scope"], format!("host:{address}"));
    let metrics = http("GET", &format!("{}/metrics", daemon.admin()), "").1;
    assert!(metrics.contains("mimecollectd_host_next_attempt_timestamp_seconds{"), "the metric");
    let more = ["--events", "500", "--seed", "79", "--tenants", "20", "--scenario", "no_quota"];
    let back = Simulator::start_on(&address, &more);
    let resumed = site.output(&["resume", &format!("host:{address}")]);
    assert!(resumed.status.success(), "{}", crate::rig::text(&resumed.stderr));
    all_caught_up(&daemon);
    assert_eq!(status(&daemon)["hosts"], serde_json::json!([]));
    let log = daemon.log();
    assert_eq!(log.matches("requests of all tenants wait").count(), 1, "told once:\n{log}");
    assert_eq!(log.matches("answers again after").count(), 1, "told once");
    let (ended, _) = daemon.stop();
    assert!(ended.success(), "{ended}");
    drop((well, back));
    site.reconcile();
}
