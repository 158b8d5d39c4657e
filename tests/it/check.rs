//! `check` from outside: what works, what does not, and that asking does no harm.

use serde_json::Value;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::repair::as_another;
use crate::rig::{Receiver, Simulator, Site, eventually, http, text};

pub fn checked(site: &Site, more: &[&str]) -> (Option<i32>, Value) {
    let mut args = vec!["check", "--json"];
    args.extend(more);
    let out = site.output(&args);
    let said = text(&out.stdout);
    let table = serde_json::from_str(&said).unwrap_or_else(|_| panic!("JSON: {said}{}", text(&out.stderr)));
    (out.status.code(), table)
}

/// Outcome and words of the row about `scope` and `check`.
pub fn row<'a>(table: &'a Value, scope: &str, check: &str) -> (&'a str, String) {
    let rows = table["checks"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["scope"] == scope && row["check"] == check);
    let row = row.unwrap_or_else(|| panic!("{scope} {check} in {table:#}"));
    (row["outcome"].as_str().expect("a word"), format!("{} {}", row["words"], row["remedy"]))
}

fn syslog_sink(receiver: &Receiver) -> String {
    format!("[sinks.siem]\ntype = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\n", receiver.address)
}

#[test]
fn all_is_well_and_one_event_says_that_it_is_a_test() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "41"]);
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, &syslog_sink(&receiver));
    let (exit, table) = checked(&site, &["--send-test-event"]);
    assert_eq!(exit, Some(0), "{table:#}");
    for feed in FEEDS {
        assert_eq!(row(&table, &format!("acme/{feed}"), "permission").0, "ok");
    }
    assert_eq!(row(&table, "acme", "credential").0, "ok");
    assert_eq!(row(&table, "acme", "clock").0, "ok");
    let (outcome, words) = row(&table, "sink:siem", "probe");
    assert!(outcome == "ok" && words.contains("level 2"), "{words}");
    assert_eq!(row(&table, "sink:siem", "test event").0, "ok");
    receiver.wait_for(1);
    let out = site.output(&["run", "--once"]);
    assert!(out.status.success(), "the first start finds a store that is whole: {}", text(&out.stderr));
}

#[test]
fn a_secret_that_has_ended_by_its_date_is_told_with_what_to_do() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "41"]);
    let receiver = Receiver::start();
    let ended = format!("{ALL_FEEDS}\nsecret_expires = 2024-02-29");
    let site = Site::new(&simulator.url, &ended, &syslog_sink(&receiver));
    let said = site.output(&["validate"]);
    let (code, said) = (said.status.code(), text(&said.stdout));
    let warned = "warning: tenant acme: the secret ended on 2024-02-29. Create a new secret in Mimecast";
    assert!(code == Some(0) && said.contains(warned), "{said}");
    let (exit, table) = checked(&site, &[]);
    assert_eq!(exit, Some(0), "a date in a file is no proof that Mimecast refuses: {table:#}");
    let (outcome, words) = row(&table, "acme", "secret");
    assert!(outcome == "warning" && words.contains("ended on 2024-02-29"), "{words}");
    assert!(words.contains("Create a new secret"), "{words}");
}

#[test]
fn a_missing_right_is_named_for_its_feed_alone() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "42", "--scenario", "forbidden-feed"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&site.path("events.ndjson")));
    let (exit, table) = checked(&site, &[]);
    assert_eq!(exit, Some(77), "{table:#}");
    let of = |outcome: &str| {
        let is = |feed: &&&str| row(&table, &format!("acme/{feed}"), "permission").0 == outcome;
        FEEDS.iter().filter(is).copied().collect::<Vec<_>>()
    };
    let refused = of("failed");
    assert_eq!((refused.len(), of("ok").len()), (1, FEEDS.len() - 1), "{table:#}");
    let (_, words) = row(&table, &format!("acme/{}", refused[0]), "permission");
    assert!(words.contains("grant the application's role the right"), "{words}");
}

#[test]
fn a_wrong_secret_costs_one_attempt_however_often_one_checks() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "43"]);
    let site = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"*\"]\npoll_interval = \"300s\"";
    site.write(&simulator.url, slowly, &file_sink(&site.path("events.ndjson")));
    std::fs::write(site.path("secret"), "wrong").expect("written");
    assert!(!site.path("state").exists(), "nothing has run here yet");
    for _ in 0..6 {
        let (exit, table) = checked(&site, &[]);
        assert_eq!(exit, Some(77), "{table:#}");
        assert_eq!(row(&table, "acme", "credential").0, "failed");
    }
    let failed = simulator.counted("failed_logins");
    assert_eq!(failed, 1, "{failed} failed logins");
    // the right secret opens the gate at once
    std::fs::write(site.path("secret"), "demo").expect("written");
    assert_eq!(checked(&site, &[]).0, Some(0));
}

#[test]
fn beside_a_daemon_nothing_is_asked_twice() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "44", "--scenario", "lockout"]);
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"*\"]\npoll_interval = \"300s\"";
    site.write(&simulator.url, slowly, &syslog_sink(&receiver));
    let daemon = site.spawn();
    eventually("the lockout to be seen", || {
        let (_, body) = http("GET", &format!("{}/status", daemon.admin()), "");
        let status: Value = serde_json::from_str(&body).ok()?;
        (status["tenants"][0]["credential"]["state"] == "locked_out").then_some(())
    });
    let before = simulator.counted("attempts_while_locked");
    let (exit, table) = checked(&site, &[]);
    assert_eq!(exit, Some(77), "{table:#}");
    let (outcome, words) = row(&table, "acme", "credential");
    assert!(outcome == "failed" && words.contains("locked_out"), "{words}");
    assert_eq!(row(&table, "sink:siem", "probe").0, "ok", "sinks are tried all the same");
    drop(daemon);
    // the daemon is gone; its gate is not
    let (exit, table) = checked(&site, &[]);
    assert_eq!(exit, Some(77), "{table:#}");
    let (_, words) = row(&table, "acme", "credential");
    assert!(words.contains("not asked until"), "{words}");
    assert_eq!(simulator.counted("attempts_while_locked"), before);
}

#[test]
fn who_is_not_there_is_named() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "45"]);
    let nobody = Receiver::nobody();
    let sinks = format!(
        "[sinks.gone]\ntype = \"syslog\"\naddress = \"{nobody}\"\ntransport = \"tcp\"\n\
         [sinks.unknown]\ntype = \"syslog\"\naddress = \"siem.invalid:601\"\ntransport = \"tcp\"\n"
    );
    let site = Site::new(&simulator.url, "feeds = [\"audit\"]", &sinks);
    let (exit, table) = checked(&site, &[]);
    assert_eq!(exit, Some(69), "{table:#}");
    let (outcome, words) = row(&table, "sink:gone", "connection");
    assert!(outcome == "failed" && words.contains(&nobody.to_string()), "{words}");
    let (outcome, words) = row(&table, "sink:unknown", "dns");
    assert!(outcome == "failed" && words.contains("siem.invalid"), "{words}");
    assert_eq!(row(&table, "acme/audit", "permission").0, "ok");
}

/// A file that is not for this user to write: said so, with the path, the user and what to do.
#[test]
fn a_file_that_this_user_may_not_write_is_a_matter_of_permission() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let simulator = Simulator::start(&["--events", "100", "--seed", "46"]);
    let site = Site::new(&simulator.url, "", "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, "feeds = [\"audit\"]", &file_sink(&file));
    std::fs::write(&file, "").expect("written");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(&file, 0o400);
    mode(site.dir.path(), 0o755);
    mode(&site.config, 0o644);
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(site.path("secret"), Some(65_534), None).expect("chown");
    }
    let program = site.path("mimecollectd");
    std::fs::copy(env!("CARGO_BIN_EXE_mimecollectd"), &program).expect("copied");
    let out = as_another(&program).args(["check", "--json", "--config"]).arg(&site.config).output();
    let out = out.expect("it runs");
    let said = text(&out.stdout) + &text(&out.stderr);
    assert_eq!(out.status.code(), Some(77), "{said}");
    let table: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let (outcome, words) = row(&table, "sink:file", "probe");
    let user = if root { "65534".to_owned() } else { rustix::process::geteuid().to_string() };
    assert_eq!(outcome, "failed");
    for wanted in
        ["Permission denied", &file.display().to_string(), &format!("as user {user}"), "S16", "sudo -u"]
    {
        assert!(words.contains(wanted), "{wanted}: {words}");
    }
}
