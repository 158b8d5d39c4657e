//! What could lock an account by numbers: many verbs, restarts, kills, reloads and secrets, and one account that counts
//! failed logins. Mimecast locks after a handful; the simulator after five.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::main_job::file_sink;
use crate::rig::{Daemon, Simulator, Site, eventually, http, text};

/// A pace at which every wait is a real one, so that what is tried again by itself lies beyond these tests.
const SLOWLY: &str = "feeds = [\"audit\", \"ttp.url\", \"dlp\", \"siem.av\"]\npoll_interval = \"300s\"";

fn site(simulator: &Simulator) -> Site {
    let site = Site::new(&simulator.url, "", "");
    site.write(&simulator.url, SLOWLY, &file_sink(&site.path("events.ndjson")));
    site
}

fn state(daemon: &Daemon) -> Option<String> {
    let (_, body) = http("GET", &format!("{}/status", daemon.admin()), "");
    let status: serde_json::Value = serde_json::from_str(&body).ok()?;
    status["tenants"][0]["credential"]["state"].as_str().map(str::to_owned)
}

fn refused_signatures(simulator: &Simulator) -> u64 {
    let refused = simulator.ledger()["tenants"]["demo"]["signatures"]["refused"].clone();
    refused.as_object().expect("reasons and counts").values().filter_map(serde_json::Value::as_u64).sum()
}

/// Two programs write the secret's file in turn: each change is worth an attempt, but not each of many.
#[test]
fn secrets_that_change_all_the_time_do_not_lock_the_account() {
    let simulator = Simulator::start(&["--events", "300", "--seed", "301"]);
    let of_api_2 = site(&simulator);
    for n in 0..7 {
        std::fs::write(of_api_2.path("secret"), format!("wrong {n}")).expect("written");
        assert_eq!(of_api_2.output(&["run", "--once"]).status.code(), Some(77), "secret {n}");
    }
    assert_eq!(simulator.counted("failed_logins"), 4);
    assert_eq!(simulator.counted("locks"), 0);

    let simulator = Simulator::start(&["--events", "300", "--seed", "302"]);
    let of_api_1 = Site::new(&simulator.url, "", "");
    let slowly = "feeds = [\"audit\", \"ttp.url\", \"dlp\", \"rejections\"]\npoll_interval = \"300s\"";
    of_api_1.write_signed(&simulator.url, slowly, &file_sink(&of_api_1.path("events.ndjson")));
    for n in 0..7 {
        of_api_1.write_key(["YQ==", "Yg=="][n % 2]);
        assert_eq!(of_api_1.output(&["run", "--once"]).status.code(), Some(77), "key {n}");
    }
    assert_eq!(refused_signatures(&simulator), 4);
    assert_eq!((simulator.counted("locks"), simulator.counted("calls_while_locked")), (0, 0));
    let (exit, table) = crate::check::checked(&of_api_1, &[]);
    assert!(exit == Some(77) && table.to_string().contains("could lock the account"), "{table:#}");
}

/// One credential in two tenants would be two gates, two quotas, and twice as many attempts as there may be.
#[test]
fn a_credential_in_two_tenants_is_refused_before_anything_is_sent() {
    let simulator = Simulator::start(&["--events", "0", "--seed", "303"]);
    let site = site(&simulator);
    let one = std::fs::read_to_string(&site.config).expect("a configuration");
    let one = one.replace(&simulator.url, "https://api.services.mimecast.com"); // for a simulator it is a warning
    let twice = one.replace("[sinks.", &format!("{}\n[sinks.", tenant_alone(&one)));
    std::fs::write(&site.config, twice).expect("written");
    for verb in [&["validate"][..], &["run", "--once"], &["check"]] {
        let out = site.output(verb);
        let words = text(&out.stderr);
        assert!(out.status.code() == Some(78) && words.contains("same client_id"), "{verb:?}: {words}");
    }
    assert_eq!(simulator.counted("token_requests"), 0);
}

/// The tenant's table once more, under another name.
fn tenant_alone(config: &str) -> String {
    let at = config.find("[tenants.acme]").expect("a tenant");
    let end = config.find("[sinks.").expect("a sink");
    config[at..end].replace("[tenants.acme]", "[tenants.other]")
}

/// A token endpoint that takes every request and answers none; how many came.
fn silent() -> (String, Arc<Mutex<Vec<TcpStream>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let came: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let keep = came.clone();
    std::thread::spawn(move || {
        listener
            .incoming()
            .map_while(Result::ok)
            .for_each(|stream| keep.lock().expect("no panics").push(stream));
    });
    (url, came)
}

/// A service manager that starts what is killed while it waits for the answer to its login.
#[test]
fn kills_while_a_login_is_under_way_do_not_lock_the_account() {
    let (url, came) = silent();
    let logins = || came.lock().expect("no panics").len();
    let site = Site::new(&url, "", "");
    site.write(&url, SLOWLY, &file_sink(&site.path("events.ndjson")));
    for n in 0..5 {
        let daemon = site.spawn();
        eventually("a login under way, or a gate that stays closed", || {
            (logins() > n || state(&daemon)? == "suspended").then_some(())
        });
        drop(daemon); // SIGKILL
    }
    assert_eq!(logins(), 2);
}

/// Each reload builds the account anew while its login waits for an answer.
#[test]
fn reloads_while_a_login_is_under_way_do_not_lock_the_account() {
    let (url, came) = silent();
    let logins = || came.lock().expect("no panics").len();
    let site = Site::new(&url, "", "");
    let sink = file_sink(&site.path("events.ndjson"));
    site.write(&url, SLOWLY, &sink);
    let daemon = site.spawn();
    eventually("the login", || (logins() == 1).then_some(()));
    for n in 1..=5 {
        site.write(&url, &format!("{SLOWLY}\nlookback = \"{n}h\""), &sink);
        daemon.signal("HUP");
        eventually("the reload", || {
            (daemon.log().matches("configuration reloaded").count() == n).then_some(())
        });
    }
    eventually("the gate to close", || (state(&daemon)? == "suspended").then_some(()));
    assert_eq!(logins(), 2);
}

/// Everything that an operator may start beside a daemon whose secret is refused.
#[test]
fn no_verb_beside_a_daemon_makes_an_attempt() {
    let simulator = Simulator::start(&["--events", "300", "--seed", "306"]);
    let site = site(&simulator);
    std::fs::write(site.path("secret"), "wrong").expect("written");
    let daemon = site.spawn();
    eventually("the refusal", || (state(&daemon)? == "suspended").then_some(()));
    let verbs: [&[&str]; 11] = [
        &["check"],
        &["validate"],
        &["run", "--once"],
        &["status"],
        &["gaps"],
        &["gaps", "backfill"],
        &["replay", "--sink", "file", "--since", "1h"],
        &["cursor", "set", "acme/audit", "--since", "1h"],
        &["cursor", "migrate", "acme"],
        &["quarantine", "retry", "--all"],
        &["reconcile"],
    ];
    for verb in verbs {
        let out = site.output(verb);
        assert_ne!(out.status.code(), Some(2), "{verb:?}: {}", text(&out.stderr));
    }
    daemon.signal("HUP");
    eventually("the reload", || daemon.log().contains("configuration reloaded").then_some(()));
    assert_eq!(simulator.counted("failed_logins"), 1, "{}", simulator.ledger());
}

/// Twenty feeds find the quota used up at the same moment: one line says that the credential waits.
#[test]
fn one_closing_is_one_line_of_log() {
    let scenario = "on data status=429 delay=2s";
    let simulator = Simulator::start(&["--events", "300", "--seed", "307", "--scenario", scenario]);
    let site = Site::new(&simulator.url, "", "");
    // nobody has to wait for its first turn
    let all_at_once = "feeds = [\"*\"]\npoll_interval = \"60s\"";
    site.write(&simulator.url, all_at_once, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let throttled = || {
        let (_, body) = http("GET", &format!("{}/metrics", daemon.admin()), "");
        let of_feed = |line: &&str| {
            line.starts_with("mimecollectd_api_requests_total") && line.contains("status=\"429\"")
        };
        body.lines().filter(of_feed).count()
    };
    eventually("several pairs of feeds to be told", || (throttled() >= 6).then_some(()));
    eventually("the credential to wait", || (state(&daemon)? == "suspended").then_some(()));
    assert_eq!(daemon.log().matches("credential of acme is suspended").count(), 1, "{}", daemon.log());
}
