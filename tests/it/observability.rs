//! A real Prometheus on the daemon: every panel's query is one it can answer, and every shipped alert rule fires when
//! its trouble is made, and resolves when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::counterparts::{Server, free_port, listens, start};
use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::file_sink;
use crate::rig::{Daemon, Receiver, Simulator, Site, eventually, http};

const RULES: &str = include_str!("../../packaging/prometheus/mimecollectd.rules.yml");
const METRICS: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../packaging/grafana/mimecollectd.json");

/// The shipped rules with their patience cut down, so that a day's behaviour is seen in seconds.
fn quick_rules() -> String {
    let quick = RULES
        .lines()
        .map(|line| if line.trim_start().starts_with("for: ") { "        for: 0s" } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let quick = quick
        .replace("[1h]", "[8s]")
        .replace("offset 1h", "offset 8s")
        .replace("seconds + 60", "seconds + 1")
        .replace("> 3600", "> 2");
    assert!(
        !quick.contains("[1h]") && quick.contains("seconds + 1\n") && quick.contains("> 2 and"),
        "{quick}"
    );
    quick + "\n"
}

struct Prometheus {
    url: String,
    _server: Server,
}

impl Prometheus {
    fn start(site: &Site, target: u16) -> Self {
        let rules = site.path("rules.yml");
        fs::write(&rules, quick_rules()).expect("written");
        let config = site.path("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\nrule_files: [{rules:?}]\n\
             scrape_configs:\n  - {{job_name: mimecollectd, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}\n"
        );
        fs::write(&config, text).expect("written");
        let port = free_port();
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let (config, data) = (flag("config.file", &config), flag("storage.tsdb.path", &site.path("tsdb")));
        let listen = format!("--web.listen-address=127.0.0.1:{port}");
        let server = start(Path::new("prometheus"), &[&config, &data, &listen], None);
        let url = format!("http://127.0.0.1:{port}");
        listens(port);
        eventually("Prometheus to be ready", || {
            (http("GET", &format!("{url}/-/ready"), "").0 == 200).then_some(())
        });
        Prometheus { url, _server: server }
    }

    fn get(&self, path: &str) -> Value {
        let (_, body) = http("GET", &format!("{}{path}", self.url), "");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// Names of the alerts that fire now.
    fn firing(&self) -> BTreeSet<String> {
        let alerts = self.get("/api/v1/alerts");
        let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    fn fires(&self, alert: &str) {
        eventually(&format!("{alert} to fire"), || self.firing().contains(alert).then_some(()));
    }

    fn resolves(&self, alert: &str) {
        eventually(&format!("{alert} to resolve"), || (!self.firing().contains(alert)).then_some(()));
    }

    /// How many series the query gives; panics with Prometheus' words when it cannot answer.
    fn series(&self, query: &str) -> usize {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={escaped}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }
}

/// A site whose admin address survives a restart of the daemon.
fn site_on(port: u16, url: &str, tenant: &str, sinks: &str) -> Site {
    let site = Site::new(url, tenant, sinks);
    rewrite(&site, port, url, tenant, sinks);
    site
}

fn rewrite(site: &Site, port: u16, url: &str, tenant: &str, sinks: &str) {
    site.write(url, tenant, sinks);
    let text = fs::read_to_string(&site.config).expect("just written");
    fs::write(&site.config, text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).expect("written");
}

/// Every expression of every panel, with the variables as Grafana fills them in for "All".
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let mut found = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().cloned().unwrap_or_default() {
            let mut query = target["expr"].as_str().expect("an expression").to_owned();
            for variable in ["instance", "tenant", "feed", "sink"] {
                query = query.replace(&format!("${variable}"), ".*");
            }
            query = query.replace("$__rate_interval", "5s");
            found.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    found
}

/// What is empty on a day without trouble.
const EMPTY_WITHOUT_TROUBLE: &[&str] = &[
    "Active alerts of the daemon",
    "Recoveries by action",
    "Age of the oldest waiting event",
    "Time to data loss",
    "Items quarantined",
    "Alert targets that cannot be told",
    "Messages that wait for alert targets",
];

#[test]
fn every_panel_of_the_dashboard_has_data() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "61", "--scenario", "no_quota"]);
    let feeds = "feeds = [\"siem.*\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"\nsecret_expires = 2099-01-01";
    let port = free_port();
    let site = site_on(port, &simulator.url, feeds, "");
    rewrite(&site, port, &simulator.url, feeds, &file_sink(&site.path("events.ndjson")));
    let _daemon = site.spawn();
    let prometheus = Prometheus::start(&site, port);
    let expressions = expressions();
    assert!(expressions.len() > 30, "{} expressions", expressions.len());
    for (title, query) in expressions {
        for name in query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let promised = |name: &str| METRICS.contains(&format!("| `{name}` |"));
            let ours = name.starts_with("mimecollectd_");
            assert!(!ours || promised(name) || base.is_some_and(promised), "{title}: there is no {name}");
        }
        let series = prometheus.series(&query); // each is one it understands
        if series == 0 && !EMPTY_WITHOUT_TROUBLE.contains(&title.as_str()) {
            eventually(&format!("data for {title}: {query}"), || {
                (prometheus.series(&query) > 0).then_some(())
            });
        }
    }
}

/// A daemon, its simulated Mimecast, and Prometheus with the quick rules.
struct Scene {
    simulator: Simulator,
    port: u16,
    site: Site,
    prometheus: Prometheus,
    seen: BTreeSet<&'static str>,
}

impl Scene {
    fn new(scenario: &str) -> Self {
        let simulator = Simulator::start(&["--events", "3000", "--seed", "62", "--scenario", scenario]);
        let port = free_port();
        let site = Site::new(&simulator.url, "", "");
        let prometheus = Prometheus::start(&site, port);
        Scene { simulator, port, site, prometheus, seen: BTreeSet::new() }
    }

    /// `sinks` in TOML; a file is one more, unless there is to be none that takes events.
    fn configure(&self, secret_expires: &str, sinks: &str, file: bool) {
        let tenant = format!(
            "feeds = [\"siem.receipt\", \"siem.spam\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"\n\
             secret_expires = {secret_expires}\n"
        );
        let file = if file { file_sink(&self.site.path("events.ndjson")) } else { String::new() };
        let sinks = format!("{sinks}{file}[store]\nmax_size = \"16MiB\"\n");
        rewrite(&self.site, self.port, &self.simulator.url, &tenant, &sinks);
    }

    fn fires(&mut self, alert: &'static str) {
        self.prometheus.fires(alert);
        self.seen.insert(alert);
    }

    fn resolves(&self, alert: &str) {
        self.prometheus.resolves(alert);
    }

    fn does(&self, args: &[&str]) {
        let out = self.site.output(args);
        assert!(out.status.success(), "{args:?}: {}", crate::rig::text(&out.stderr));
    }
}

#[test]
fn every_alert_rule_fires_and_resolves() {
    // nothing answers at first, and the secret ends in five days
    let mut scene = Scene::new("no_quota,outage=2m");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(5 * 24);
    scene.configure(&soon.strftime("%Y-%m-%d").to_string(), "", true);
    let daemon = scene.site.spawn();
    scene.fires("MimecastFeedNeverAnswered");
    // what received nothing has no lag, not a lag of zero
    for time in ["feed_last_success_timestamp_seconds", "feed_cursor_timestamp_seconds"] {
        assert_eq!(scene.prometheus.series(&format!("mimecollectd_{time}")), 0, "{time}");
    }
    scene.fires("MimecastSecretExpiring");
    scene.fires("MimecollectdAttention");
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecastFeedNeverAnswered");

    // a broken file, then a good one with a secret that lasts
    fs::write(&scene.site.config, "nonsense = 1\n").expect("written");
    daemon.signal("HUP");
    scene.fires("MimecollectdReloadFailed");
    scene.configure("2099-01-01", "", true);
    daemon.signal("HUP");
    scene.resolves("MimecollectdReloadFailed");
    scene.resolves("MimecastSecretExpiring");
    scene.resolves("MimecollectdAttention");

    a_receiver_that_is_down(&mut scene, &daemon);
    a_store_that_fills_up(&mut scene, &daemon);
    feeds_in_trouble(&mut scene, &daemon);
    let daemon = a_locked_account_and_no_daemon(&mut scene, daemon);
    a_damaged_ledger_and_a_feed_long_silent(&mut scene, daemon);

    let shipped: BTreeSet<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(shipped, scene.seen);
    every_metric_was_seen(&scene.prometheus);
}

/// A new receiver that is down: events wait, and grow old.
fn a_receiver_that_is_down(scene: &mut Scene, daemon: &Daemon) {
    let nobody = Receiver::nobody();
    let tcp = format!("[sinks.late]\ntype = \"syslog\"\naddress = \"{nobody}\"\ntransport = \"tcp\"\n");
    scene.configure("2099-01-01", &tcp, true);
    daemon.signal("HUP");
    scene.fires("MimecollectdSinkDown");
    scene.fires("MimecollectdDeliveryLate");
    let _receiver = Receiver::on(nobody);
    scene.resolves("MimecollectdSinkDown");
    scene.resolves("MimecollectdDeliveryLate");
}

/// Nobody takes events, and more come than there is room for 70 % of; then that sink is given up.
fn a_store_that_fills_up(scene: &mut Scene, daemon: &Daemon) {
    let nobody = Receiver::nobody();
    let tcp = format!("[sinks.late]\ntype = \"syslog\"\naddress = \"{nobody}\"\ntransport = \"tcp\"\n");
    scene.configure("2099-01-01", &tcp, false);
    daemon.signal("HUP");
    scene.simulator.post("/_sim/publish?feed=siem.receipt&count=75000&over=5m");
    scene.fires("MimecollectdStoreFilling");
    scene.configure("2099-01-01", "", true);
    daemon.signal("HUP");
    scene.resolves("MimecollectdStoreFilling");
}

/// A receiver that takes everything but one event, which is published while nothing answers.
fn a_receiver_that_refuses_one(scene: &mut Scene, daemon: &Daemon) -> HttpReceiver {
    scene.simulator.post("/_sim/publish?feed=siem.spam&count=20&age=5m");
    let truth = scene.simulator.truth("siem.spam");
    let receiver = HttpReceiver::start(truth.last().expect("just published"), 0);
    scene.configure("2099-01-01", &http_sink(receiver.web.address), true);
    daemon.signal("HUP");
    eventually("the new sink's counters", || {
        (scene.prometheus.series("mimecollectd_events_dead_lettered_total{sink=\"web\"}") > 0).then_some(())
    });
    receiver
}

fn feeds_in_trouble(scene: &mut Scene, daemon: &Daemon) {
    scene.simulator.scenario("no_quota,forbidden-feed=siem.spam");
    scene.fires("MimecastFeedHalted");
    scene.simulator.scenario("no_quota");
    scene.does(&["resume", "acme/siem.spam"]);
    scene.resolves("MimecastFeedHalted");

    scene.simulator.scenario("no_quota,outage=10m");
    scene.fires("MimecastFeedSilent");
    let _receiver = a_receiver_that_refuses_one(scene, daemon);
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecastFeedSilent");
    scene.fires("MimecollectdDeadLetters");
    scene.resolves("MimecollectdDeadLetters");

    scene.simulator.scenario("no_quota,bad-line=1");
    scene.simulator.post("/_sim/publish?feed=siem.receipt&count=500&age=5m");
    scene.fires("MimecastQuarantineRising");
    // an operator skips to now: that is a gap too
    scene.does(&["cursor", "set", "acme/audit", "--since", "0s"]);
    scene.fires("MimecastGapOpened");
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecastQuarantineRising");
    scene.resolves("MimecastGapOpened");
}

fn a_locked_account_and_no_daemon(scene: &mut Scene, daemon: Daemon) -> Daemon {
    scene.simulator.scenario("no_quota,lockout=1h");
    scene.fires("MimecastCredentialClosed");
    drop(daemon);
    scene.fires("MimecollectdDown");
    scene.simulator.scenario("no_quota");
    let daemon = scene.site.spawn();
    scene.resolves("MimecollectdDown");
    scene.does(&["resume", "acme"]);
    scene.resolves("MimecastCredentialClosed");
    daemon
}

/// The books claim a record too many, and Mimecast has not answered for all but 12 hours of what it keeps.
fn a_damaged_ledger_and_a_feed_long_silent(scene: &mut Scene, daemon: Daemon) {
    daemon.stop();
    scene.site.tamper(
        "UPDATE feed SET listed = listed + 1, last_success = last_success - 561600000, \
         complete = complete - 561600000, reached = reached - 561600000",
    );
    scene.simulator.scenario("no_quota,outage=10m");
    let daemon = scene.site.spawn();
    scene.fires("MimecollectdDataLossNear");
    scene.fires("MimecollectdAccountsUnbalanced");
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecollectdDataLossNear");
    daemon.stop();
    scene.site.tamper("UPDATE feed SET listed = listed - 1");
    let _daemon = scene.site.spawn();
    scene.resolves("MimecollectdAccountsUnbalanced");
}

/// Metrics of alert targets, which this scene has none of; tests/it/alerts.rs has them.
const OF_TARGETS: &[&str] =
    &["mimecollectd_alert_deliveries_total", "mimecollectd_alert_target_up", "mimecollectd_alerts_waiting"];

/// After all this trouble Prometheus has seen every metric that docs/metrics.md promises, with exactly its labels.
fn every_metric_was_seen(prometheus: &Prometheus) {
    let answer = prometheus.get("/api/v1/series?match[]=%7B__name__%3D~%22mimecollectd_.*%22%7D");
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in answer["data"].as_array().expect("series") {
        let series = series.as_object().expect("an object of labels");
        let name = series["__name__"].as_str().expect("a name");
        let own = series.keys().filter(|key| !["__name__", "instance", "job", "le"].contains(&key.as_str()));
        let suffix = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        seen.entry(suffix.unwrap_or(name).to_owned()).or_default().extend(own.cloned());
    }
    let rows = METRICS.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|'));
    let promised: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| row.map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>())
        .map(|row| {
            let labels = row[4].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
            (row[1].clone(), labels)
        })
        .filter(|(name, _)| !OF_TARGETS.contains(&name.as_str()))
        .collect();
    assert_eq!(seen, promised);
}

#[test]
fn the_rules_pass_their_own_tests() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus");
    for args in
        [["check", "rules", "mimecollectd.rules.yml"], ["test", "rules", "mimecollectd.rules.test.yml"]]
    {
        let out = std::process::Command::new("promtool").args(args).current_dir(dir).output();
        let out = out.expect("promtool; scripts/test installs it");
        assert!(out.status.success(), "{}{}", crate::rig::text(&out.stdout), crate::rig::text(&out.stderr));
    }
}
