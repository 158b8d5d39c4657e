//! A real Prometheus on the daemon: every panel's query is one it can answer, and every shipped alert rule fires when
//! its trouble is made, and resolves when it is over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::counterparts::{Server, free_port, listens, start};
use crate::main_job::file_sink;
use crate::rig::{Daemon, Receiver, Simulator, Site, eventually, http};

const RULES: &str = include_str!("../../packaging/prometheus/mimecollectd.rules.yml");
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
];

#[test]
fn every_panel_of_the_dashboard_has_data() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "61", "--scenario", "no_quota"]);
    let feeds = "feeds = [\"siem.*\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";
    let port = free_port();
    let site = site_on(port, &simulator.url, feeds, "");
    rewrite(&site, port, &simulator.url, feeds, &file_sink(&site.path("events.ndjson")));
    let _daemon = site.spawn();
    let prometheus = Prometheus::start(&site, port);
    let expressions = expressions();
    assert!(expressions.len() > 30, "{} expressions", expressions.len());
    for (title, query) in expressions {
        let series = prometheus.series(&query); // each is one it understands
        if series == 0 && !EMPTY_WITHOUT_TROUBLE.contains(&title.as_str()) {
            eventually(&format!("data for {title}: {query}"), || {
                (prometheus.series(&query) > 0).then_some(())
            });
        }
    }
}

/// What only promtool's tests make fire: these need a full store, a refusing receiver, a damaged ledger.
const ONLY_IN_THE_RULES_OWN_TESTS: &[&str] = &[
    "MimecollectdDeadLetters",
    "MimecollectdStoreFilling",
    "MimecollectdDataLossNear",
    "MimecollectdAccountsUnbalanced",
];

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

    fn configure(&self, secret_expires: &str, sink: &str) {
        let tenant = format!(
            "feeds = [\"siem.receipt\", \"siem.spam\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"\n\
             secret_expires = {secret_expires}\n"
        );
        let file = file_sink(&self.site.path("events.ndjson"));
        rewrite(&self.site, self.port, &self.simulator.url, &tenant, &(sink.to_owned() + &file));
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
    scene.configure(&soon.strftime("%Y-%m-%d").to_string(), "");
    let daemon = scene.site.spawn();
    scene.fires("MimecastFeedNeverAnswered");
    scene.fires("MimecastSecretExpiring");
    scene.fires("MimecollectdAttention");
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecastFeedNeverAnswered");

    // a broken file, then a good one with a secret that lasts
    fs::write(&scene.site.config, "nonsense = 1\n").expect("written");
    daemon.signal("HUP");
    scene.fires("MimecollectdReloadFailed");
    scene.configure("2099-01-01", "");
    daemon.signal("HUP");
    scene.resolves("MimecollectdReloadFailed");
    scene.resolves("MimecastSecretExpiring");
    scene.resolves("MimecollectdAttention");

    a_receiver_that_is_down(&mut scene, &daemon);
    feeds_in_trouble(&mut scene);
    a_locked_account_and_no_daemon(&mut scene, daemon);

    let shipped: BTreeSet<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let covered: BTreeSet<&str> = scene.seen.iter().chain(ONLY_IN_THE_RULES_OWN_TESTS).copied().collect();
    assert_eq!(shipped, covered);
}

/// A new receiver that is down: events wait, and grow old.
fn a_receiver_that_is_down(scene: &mut Scene, daemon: &Daemon) {
    let nobody = Receiver::nobody();
    let tcp = format!("[sinks.late]\ntype = \"syslog\"\naddress = \"{nobody}\"\ntransport = \"tcp\"\n");
    scene.configure("2099-01-01", &tcp);
    daemon.signal("HUP");
    scene.fires("MimecollectdSinkDown");
    scene.fires("MimecollectdDeliveryLate");
    let _receiver = Receiver::on(nobody);
    scene.resolves("MimecollectdSinkDown");
    scene.resolves("MimecollectdDeliveryLate");
}

fn feeds_in_trouble(scene: &mut Scene) {
    scene.simulator.scenario("no_quota,forbidden-feed=siem.spam");
    scene.fires("MimecastFeedHalted");
    scene.simulator.scenario("no_quota");
    scene.does(&["resume", "acme/siem.spam"]);
    scene.resolves("MimecastFeedHalted");

    scene.simulator.scenario("no_quota,outage=10m");
    scene.fires("MimecastFeedSilent");
    scene.simulator.scenario("no_quota");
    scene.resolves("MimecastFeedSilent");

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

fn a_locked_account_and_no_daemon(scene: &mut Scene, daemon: Daemon) {
    scene.simulator.scenario("no_quota,lockout=1h");
    scene.fires("MimecastCredentialClosed");
    drop(daemon);
    scene.fires("MimecollectdDown");
    scene.simulator.scenario("no_quota");
    let _daemon = scene.site.spawn();
    scene.resolves("MimecollectdDown");
    scene.does(&["resume", "acme"]);
    scene.resolves("MimecastCredentialClosed");
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
