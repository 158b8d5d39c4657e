//! Alerts from outside: who is told what, how often, and what becomes of it when nobody listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Daemon, Simulator, Site, eventually, http, text};

/// An HTTP receiver that keeps every body it was posted.
pub struct Hook {
    pub address: SocketAddr,
    bodies: Arc<Mutex<Vec<(String, String)>>>,
    /// Whether it answers 400 and keeps nothing.
    refuses: Arc<AtomicBool>,
}

impl Hook {
    pub fn start() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
    pub fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let hook = Hook {
            address: listener.local_addr().expect("bound"),
            bodies: Arc::default(),
            refuses: Arc::default(),
        };
        let (bodies, refuses) = (hook.bodies.clone(), hook.refuses.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (bodies, refuses) = (bodies.clone(), refuses.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(request) = request(&mut reader) {
                        let answer = if refuses.load(Ordering::Relaxed) {
                            "HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\nno such template"
                        } else {
                            bodies.lock().expect("no panics").push(request);
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                        };
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
    assert!(seen["why"].as_str().is_some_and(|why| why.contains("failed to connect")), "{seen}");
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

#[test]
fn an_alert_that_its_receiver_refuses_is_shown_and_waits_for_another_try() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "76", "--scenario", "lockout"]);
    let (hook, other) = (Hook::start(), Hook::start());
    hook.refuses.store(true, Ordering::Relaxed);
    let alerts = format!(
        "{}[alerts.chat]\ntype = \"webhook\"\nurl = \"http://{}\"\n",
        targets(hook.address),
        other.address
    );
    let site = site(&simulator, SLOWLY, &alerts);
    let daemon = spawn(&site);
    let target = || {
        let status = status(&daemon)?;
        status["alert_targets"].as_array()?.iter().find(|target| target["name"] == "ops").cloned()
    };
    let seen = eventually("the refusal to be seen", || target().filter(|target| target["refused"] == 1));
    assert_eq!((&seen["up"], &seen["waiting"]), (&false.into(), &1.into()), "{seen}");
    assert!(seen["why"].as_str().is_some_and(|why| why.contains("no such template")), "{seen}");
    eventually("the others to hear of it", || {
        other.told().iter().any(|told| told.ends_with(" alerts:ops")).then_some(())
    });
    let (_, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
    assert!(metrics.contains("mimecollectd_alert_target_up{target=\"ops\"} 0"), "{metrics}");
    let log = daemon.log();
    assert!(
        log.lines().any(|line| line.contains("ERROR") && line.contains("alert raised: acme M10")),
        "an alert is logged at its severity: {log}"
    );
    hook.refuses.store(false, Ordering::Relaxed);
    let out = site.output(&["resume", "alerts:ops"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    eventually("it to be told", || target().filter(|target| target["up"] == true && target["waiting"] == 0));
    assert_eq!(hook.told(), ["raised locked_out acme"]);
}

#[test]
fn the_feed_collector_goes_to_whoever_names_it_and_to_nobody_else() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "74", "--scenario", "password-expired"]);
    let site = site(&simulator, "", "");
    let (named, other) = (site.path("named.ndjson"), site.path("other.ndjson"));
    let sinks = format!(
        "[sinks.named]\ntype = \"file\"\npath = {named:?}\nfeeds = [\"*\", \"collector\"]\ntenants = [\"acme\"]\n\
         [sinks.other]\ntype = \"file\"\npath = {other:?}\n[heartbeat]\ninterval = \"1s\"\n"
    );
    site.write(&simulator.url, "feeds = [\"audit\"]\npoll_interval = \"1s\"", &sinks);
    let events = |kind: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(&named).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["feed"] == "collector" && line["type"] == kind).collect()
    };
    for starts in 1..=2 {
        let daemon = spawn(&site);
        eventually("heartbeats and the alert", || {
            (events("heartbeat").len() >= 2 * starts && !events("alert").is_empty()).then_some(())
        });
        let (status, _) = daemon.stop();
        assert!(status.success(), "{status}");
    }
    let alerts = events("alert");
    assert_eq!(alerts.len(), 1, "a restart tells nothing twice: {alerts:?}");
    let alert = &alerts[0]["event"];
    assert_eq!((&alert["state"], &alert["title"]), (&"raised".into(), &"password_expired".into()));
    assert_eq!(
        (&alert["tenant"], &alerts[0]["tenant"]),
        (&"acme".into(), &"".into()),
        "the feed is nobody's"
    );
    let beats = events("heartbeat");
    let last = &beats[beats.len() - 1]["event"];
    assert_eq!(last["feeds"][0]["feed"], "audit");
    assert_eq!(last["feeds"][0]["seconds_since_success"], Value::Null, "it never answered");
    let mut numbers: Vec<u64> =
        alerts.iter().chain(&beats).filter_map(|event| event["event"]["number"].as_u64()).collect();
    numbers.sort_unstable();
    let all: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, all, "no number is missing, none is there twice");
    let text = std::fs::read_to_string(&other).unwrap_or_default();
    assert!(!text.contains("collector"), "a pattern does not name it: {text}");
    site.reconcile();
}

/// A real Alertmanager that nobody hears; killed when dropped.
struct Alertmanager {
    child: std::process::Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = dir.path().join("alertmanager.yml");
        std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n").expect("written");
        let address = crate::rig::Receiver::nobody();
        let child = std::process::Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager (its Debian package) is needed for the tests");
        let manager = Alertmanager { child, url: format!("http://{address}"), _dir: dir };
        eventually("Alertmanager to answer", || {
            (http("GET", &format!("{}/-/ready", manager.url), "").0 == 200).then_some(())
        });
        manager
    }
    /// The alerts it believes to be active.
    fn active(&self) -> Vec<Value> {
        let (status, body) = http("GET", &format!("{}/api/v2/alerts?active=true", self.url), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("a list of alerts")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_alertmanager_sees_it_active_and_then_resolved() {
    let manager = Alertmanager::start();
    let simulator = Simulator::start(&["--events", "500", "--seed", "75", "--scenario", "password-expired"]);
    let alerts = format!("[alerts.am]\ntype = \"alertmanager\"\nurl = \"{}\"\n", manager.url);
    let site = site(&simulator, "feeds = [\"audit\"]\npoll_interval = \"1s\"", &alerts);
    let daemon = spawn(&site);
    let alert = eventually("the alert to be active", || manager.active().into_iter().next());
    let labels = &alert["labels"];
    assert_eq!((&labels["alertname"], &labels["tenant"]), (&"password_expired".into(), &"acme".into()));
    assert_eq!((&labels["severity"], &labels["rule"]), (&"critical".into(), &"M17".into()));
    assert!(alert["annotations"]["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{alert}");
    simulator.scenario("no_quota");
    let out = site.output(&["resume", "acme"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    eventually("it to be resolved", || manager.active().is_empty().then_some(()));
    drop(daemon);
}
