//! The exit codes that people script against, each by the verb and the trouble it is for; usage (2), a store somebody
//! else holds (75) and configuration (78) also have tests beside what they are about.

use serde_json::Value;

use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::rig::{Receiver, Simulator, Site, assert_complete, eventually, http, text};

/// A pace at which no second attempt comes while a test runs.
const SLOWLY: &str = "feeds = [\"siem.av\", \"audit\"]\npoll_interval = \"300s\"";

/// Exit code of a verb, and everything it said.
fn ends(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let out = site.output(args);
    (out.status.code(), text(&out.stdout) + &text(&out.stderr))
}

#[test]
fn reconcile_ends_with_1_and_the_difference_when_a_record_is_missing() {
    let simulator = Simulator::start(&["--events", "300", "--seed", "91", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, "", "");
    let sinks = file_sink(&site.path("events.ndjson"));
    site.write(&simulator.url, "feeds = [\"siem.*\", \"audit\"]", &sinks);
    site.run_once();
    let (exit, said) = ends(&site, &["reconcile"]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains("every account balances"), "{said}");

    site.tamper("UPDATE feed SET listed = listed + 1 WHERE feed = 'audit'");
    let (exit, said) = ends(&site, &["reconcile"]);
    assert_eq!(exit, Some(1), "{said}");
    let listed = simulator.truth("audit").len() + 1;
    let difference =
        format!("\n  acme/audit: listed = stored + quarantined + gap: {listed} is not {}\n", listed - 1);
    assert!(said.contains("DIFFERENCES") && said.contains(&difference), "{said}");

    site.tamper("UPDATE feed SET listed = listed - 1 WHERE feed = 'audit'");
    site.tamper("UPDATE account SET delivered = delivered - 2 WHERE delivered > 2");
    let (exit, said) = ends(&site, &["reconcile", "--json"]);
    assert_eq!(exit, Some(1), "{said}");
    let told: Value = serde_json::from_str(&said).expect("JSON alone");
    assert_eq!(told["balanced"], false, "{said}");
    let differences = told["differences"].as_array().expect("a list");
    assert!(!differences.is_empty(), "{said}");
    for difference in differences {
        let words = difference.as_str().expect("a sentence");
        assert!(words.starts_with("acme/") && words.contains("sink file: stored = "), "{words}");
        assert_eq!(words.matches("acme/").count(), 1, "{words}");
    }
}

#[test]
fn a_single_run_tells_refused_credentials_from_a_mimecast_that_is_away() {
    for (scenario, secret, wanted) in [
        ("no_quota", "wrong", 77),
        ("row:M34", "demo", 77),
        ("password-expired", "demo", 77),
        ("lockout=40m", "demo", 77),
        ("row:M11", "demo", 77),
        ("row:M12", "demo", 77),
        ("on token status=503 form=html", "demo", 69),
    ] {
        let simulator = Simulator::start(&["--events", "200", "--scenario", scenario]);
        let site = Site::new(&simulator.url, "", "");
        site.write(&simulator.url, SLOWLY, &file_sink(&site.path("events.ndjson")));
        std::fs::write(site.path("secret"), secret).expect("written");
        let (exit, said) = ends(&site, &["run", "--once"]);
        assert_eq!(exit, Some(wanted), "{scenario}: {said}");
        assert!(simulator.counted("failed_logins") <= 1, "{scenario}: one attempt");
    }
    let site = Site::new(&format!("http://{}", Receiver::nobody()), "", "");
    site.write(&format!("http://{}", Receiver::nobody()), SLOWLY, &file_sink(&site.path("events.ndjson")));
    let (exit, said) = ends(&site, &["run", "--once"]);
    assert_eq!(exit, Some(69), "{said}");
}

#[test]
fn keys_of_api_1_that_are_refused_end_a_single_run_with_77() {
    let simulator = Simulator::start(&["--events", "200"]);
    let site = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"audit\"]\npoll_interval = \"300s\"";
    site.write_signed(&simulator.url, slowly, &file_sink(&site.path("events.ndjson")));
    site.write_key("d3Jvbmc=");
    let (exit, said) = ends(&site, &["run", "--once"]);
    assert_eq!(exit, Some(77), "{said}");
}

/// Beside a daemon `check` repeats what the daemon found out, with the same code as a run of its own.
#[test]
fn check_beside_a_daemon_tells_a_wrong_secret_with_77() {
    let simulator = Simulator::start(&["--events", "200"]);
    let site = Site::new(&simulator.url, "", "");
    site.write(&simulator.url, SLOWLY, &file_sink(&site.path("events.ndjson")));
    std::fs::write(site.path("secret"), "wrong").expect("written");
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the refusal", || {
        http("GET", &format!("{admin}/status"), "").1.contains("\"suspended\"").then_some(())
    });
    let (exit, said) = ends(&site, &["check"]);
    assert_eq!(exit, Some(77), "{said}");
    assert!(said.contains("suspended"), "{said}");
}

#[test]
fn check_tells_a_broken_configuration_with_78_and_a_request_nobody_takes_ends_with_75() {
    let site = Site::new("http://127.0.0.1:9", "fedes = [\"audit\"]", "[sinks.out]\ntype = \"stdout\"\n");
    let (exit, said) = ends(&site, &["check"]);
    assert_eq!(exit, Some(78), "{said}");
    assert!(said.contains("fedes") && said.contains("feeds"), "{said}");

    site.write("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    let (exit, said) = ends(&site, &["resume", "acme"]);
    assert_eq!(exit, Some(75), "{said}");
    assert!(said.contains("no daemon took the request"), "{said}");
    for unknown in ["sink:nobody", "acme/siem.mta", "acm"] {
        assert_eq!(ends(&site, &["resume", unknown]).0, Some(2), "{unknown}");
    }
}

#[test]
fn resume_opens_a_sink_that_refused_everything() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "92", "--scenario", "no_quota"]);
    let receiver = HttpReceiver::start("\"event_id\"", 0);
    // everything is stored before the sink refuses any of it: what arrives meanwhile would be offered to it at once
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(nobody));
    assert_eq!(site.output(&["run", "--once"]).status.code(), Some(69), "nobody listens");
    site.write(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
    let daemon = site.spawn();
    daemon.admin();
    let state = || site.status()["sinks"][0].clone();
    eventually("the sink to be halted", || daemon.log().contains("halted").then_some(()));
    receiver.poison.lock().expect("no panics").clear();
    assert_eq!(state()["delivered"], 0);
    let (exit, said) = ends(&site, &["resume", "sink:web"]);
    assert_eq!(exit, Some(0), "{said}");
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    eventually("everything after resume", || (state()["delivered"] == published).then_some(()));
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_complete(&simulator, &arrived, FEEDS);
    assert!(daemon.stop().0.success());
    site.reconcile();
}

/// The connection works and the token is taken; only the daemon knows that no event is.
#[test]
fn check_beside_a_daemon_tells_a_sink_that_takes_nothing_with_1() {
    let simulator = Simulator::start(&["--events", "200", "--seed", "93", "--scenario", "no_quota"]);
    let receiver = HttpReceiver::start("\"event_id\"", 0);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
    let daemon = site.spawn();
    daemon.admin();
    let halted = || site.status()["alerts"].to_string().contains("resume sink:web");
    eventually("the alert of the sink", || halted().then_some(()));
    let (exit, said) = ends(&site, &["check"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("the daemon cannot deliver") && said.contains("resume sink:web"), "{said}");
}

/// What was saved is not whole, and the exit code says so; a closed pipe is how `| head` ends.
#[test]
fn output_that_cannot_be_written_fails() {
    let site = Site::new("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let out = site.command(&["feeds", "--json"]).stdout(full).output().expect("it runs");
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("failed to write to standard output"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let out = site.command(&["feeds", "--json"]).stdout(writer).output().expect("it runs");
    assert_eq!((out.status.code(), text(&out.stderr)), (Some(0), String::new()));
}

/// A secret that cannot be read any more is told when the configuration is read again, not when the token ends.
#[test]
fn a_reload_and_check_tell_a_secret_that_cannot_be_read() {
    let simulator = Simulator::start(&["--events", "200"]);
    let site = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"audit\"]\npoll_interval = \"300s\"";
    site.write(&simulator.url, slowly, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let admin = daemon.admin();
    let status = || http("GET", &format!("{admin}/status"), "").1;
    eventually("the first answer", || {
        (site.status()["tenants"][0]["feeds"][0]["caught_up"] == true).then_some(())
    });
    let secret = site.path("secret");
    std::fs::rename(&secret, site.path("elsewhere")).expect("moved");
    let (exit, said) = ends(&site, &["check"]);
    assert_eq!(exit, Some(78), "{said}");
    assert!(said.contains("client secret of tenant acme"), "{said}");
    daemon.signal("HUP");
    eventually("the alert", || status().contains("\"L08\"").then_some(()));
    eventually("the reload to say it", || {
        daemon.log().contains("the secret of acme cannot be read").then_some(())
    });
    std::fs::rename(site.path("elsewhere"), &secret).expect("moved back");
    daemon.signal("HUP");
    eventually("its end", || (!status().contains("\"L08\"")).then_some(()));
}

#[test]
fn a_name_commands_no_terminal() {
    let site = Site::new("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    let (exit, said) = ends(&site, &["explain", "--response", "no\u{1b}[2Jsuch\u{202e}file"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("no\\u{1b}[2Jsuch\\u{202e}file"), "{said:?}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}
