//! Alerts from outside: who is told what, how often, and what becomes of it when nobody listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Daemon, Simulator, Site, eventually, http, text};

/// An HTTP receiver that keeps every body it was posted.
pub struct Hook {
    pub address: SocketAddr,
    bodies: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    pub fn start() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
    pub fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let hook = Hook { address: listener.local_addr().expect("bound"), bodies: Arc::default() };
        let bodies = hook.bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let bodies = bodies.clone();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(request) = request(&mut reader) {
                        bodies.lock().expect("no panics").push(request);
                        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        hook
    }
    /// Heads and bodies, in order.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.bodies.lock().expect("no panics").clone()
    }
    /// `state alert scope` of every message in the JSON form.
    fn told(&self) -> Vec<String> {
        let word = |alert: &Value, name: &str| alert[name].as_str().expect("a text").to_owned();
        let line = |a: &Value| format!("{} {} {}", word(a, "state"), word(a, "title"), word(a, "scope"));
        self.messages().iter().map(line).collect()
    }
    fn messages(&self) -> Vec<Value> {
        let bodies = self.requests();
        let documents = bodies.iter().map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON"));
        documents.flat_map(|document| document["alerts"].as_array().cloned().expect("a list")).collect()
    }
}

/// The next request's head and body; `None` when the connection ends.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

const TOKEN: &str = "hook-token-4711";

fn targets(hook: SocketAddr) -> String {
    format!(
        "[alerts.ops]\ntype = \"webhook\"\nurl = \"http://{hook}/services/very-secret-path?key=very-secret-key\"\n\
         token = {{ env = \"HOOK_TOKEN\" }}\n"
    )
}

fn spawn(site: &Site) -> Daemon {
    let number = std::fs::read_dir(site.dir.path()).map_or(0, |files| files.count());
    let mut command = site.command(&["run"]);
    command.env("HOOK_TOKEN", TOKEN);
    Daemon::start(command, site.path(&format!("log.{number}")))
}

fn status(daemon: &Daemon) -> Option<Value> {
    serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()
}

/// A site whose one tenant is at the simulator, with these alert tables.
fn site(simulator: &Simulator, tenant: &str, alerts: &str) -> Site {
    let site = Site::new(&simulator.url, "", "");
    let sinks = format!("{}\n{alerts}", file_sink(&site.path("events.ndjson")));
    site.write(&simulator.url, tenant, &sinks);
    site
}

/// 31 minutes of lock become six.
const SLOWLY: &str = "feeds = [\"*\"]\npoll_interval = \"60s\"";

#[test]
fn a_locked_account_is_told_once_however_often_the_daemon_starts() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "71", "--scenario", "lockout"]);
    let hook = Hook::start();
    let site = site(&simulator, SLOWLY, &targets(hook.address));
    let mut seen = String::new();
    for _ in 0..4 {
        let daemon = spawn(&site);
        eventually("the lockout to be an alert, and told", || {
            let status = status(&daemon)?;
            let alert =
                status["alerts"].as_array()?.iter().find(|alert| alert["title"] == "locked_out")?.clone();
            (alert["active"] == true && status["alert_targets"][0]["waiting"] == 0).then_some(())
        });
        let (_, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
        assert!(
            metrics
                .lines()
                .any(|line| line.starts_with("mimecollectd_alert_active{tenant=\"acme\"")
                    && line.ends_with(" 1")),
            "{metrics}"
        );
        seen.push_str(&metrics);
        seen.push_str(&daemon.log());
        seen.push_str(&status(&daemon).expect("a status").to_string());
        drop(daemon); // SIGKILL
    }
    assert_eq!(hook.told(), ["raised locked_out acme"], "{:?}", hook.requests());
    let (head, body) = hook.requests().remove(0);
    assert!(head.starts_with("POST /services/very-secret-path?key=very-secret-key "), "{head}");
    assert!(head.contains(&format!("Bearer {TOKEN}")), "{head}");
    let message = &hook.messages()[0];
    assert_eq!((&message["alert"], &message["severity"]), (&"M10".into(), &"critical".into()));
    assert!(message["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{message}");
    seen.push_str(&body);
    for secret in [TOKEN, "very-secret-path", "very-secret-key"] {
        assert!(!seen.contains(secret), "{secret} is shown somewhere");
    }
    assert!(simulator.counted("attempts_while_locked") <= 1);
}

#[test]
fn what_is_over_is_told_with_its_length_and_to_alertmanager_too() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "72", "--scenario", "password-expired"]);
    let (hook, manager) = (Hook::start(), Hook::start());
    let alerts = format!(
        "{}[alerts.prometheus]\ntype = \"alertmanager\"\nurl = \"http://{}\"\n",
        targets(hook.address),
        manager.address
    );
    let site = site(&simulator, "feeds = [\"audit\"]\npoll_interval = \"1s\"", &alerts);
    let daemon = spawn(&site);
    eventually("the expired password to be told", || (!hook.told().is_empty()).then_some(()));
    simulator.scenario("no_quota");
    std::fs::write(site.path("secret"), "demo").expect("the secret file is written");
    let out = site.output(&["resume", "acme"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    eventually("its end to be told", || (hook.told().len() >= 2).then_some(()));
    assert_eq!(hook.told(), ["raised password_expired acme", "cleared password_expired acme"]);
    let messages = hook.messages();
    assert_eq!(messages[0]["incident"], messages[1]["incident"]);
    assert!(
        messages[1]["lasted_seconds"].is_u64() && messages[1]["meanwhile"]["gaps"] == 0,
        "{}",
        messages[1]
    );
    let posted = eventually("Alertmanager to hear of both", || {
        let posted = manager.requests();
        (posted.len() >= 2).then_some(posted)
    });
    assert!(posted[0].0.starts_with("POST /api/v2/alerts "), "{}", posted[0].0);
    let last: Value = serde_json::from_str(&posted[posted.len() - 1].1).expect("JSON");
    assert_eq!(last[0]["labels"]["alertname"], "password_expired");
    assert!(last[0]["endsAt"].as_str() < messages[1]["at"].as_str(), "it ended before it was told: {last}");
    drop(daemon);
}

#[test]
fn a_receiver_that_was_away_hears_of_everything_once() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "73", "--scenario", "lockout"]);
    let address = crate::rig::Receiver::nobody();
    let site = site(&simulator, SLOWLY, &targets(address));
    let daemon = spawn(&site);
    let seen = eventually("the dead receiver to be noticed", || {
        let status = status(&daemon)?;
        let target = status["alert_targets"][0].clone();
        (target["up"] == false && target["waiting"] == 1).then_some(target)
    });
    assert!(seen["why"].as_str().is_some_and(|why| why.contains("no connection")), "{seen}");
    let (_, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
    assert!(metrics.contains("mimecollectd_alert_target_up{target=\"ops\"} 0"), "{metrics}");
    drop(daemon); // what was not told survives a SIGKILL
    let hook = Hook::on(address);
    let daemon = spawn(&site);
    eventually("the receiver to be told", || {
        (status(&daemon)?["alert_targets"][0]["waiting"] == 0 && !hook.told().is_empty()).then_some(())
    });
    assert_eq!(hook.told(), ["raised locked_out acme"]);
    let status = status(&daemon).expect("a status");
    assert_eq!(status["alert_targets"][0]["up"], true, "{status}");
}
