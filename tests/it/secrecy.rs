//! Secrets stay secret: in a run in which tokens are refused, links expire and sinks fail, every byte that the daemon
//! writes or answers is searched for them.

use std::path::{Path, PathBuf};

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::rig::{Arrived, Daemon, Receiver, Simulator, Site, eventually, http, text};
use crate::support_bundle::bundle;

/// What must be found nowhere. Tokens of the simulator begin with `sim.`, its links are signed like those of S3.
const CANARIES: &[&str] =
    &["sim.demo.", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Expires", "ZGVtbw==", "canary-", "Bearer s"];

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn clean(place: &str, bytes: &[u8]) {
    for canary in CANARIES {
        let at = bytes.windows(canary.len()).position(|window| window == canary.as_bytes());
        if let Some(at) = at {
            let near = text(&bytes[at.saturating_sub(200)..bytes.len().min(at + 100)]);
            panic!("{canary} stands in {place}: …{near}…");
        }
    }
}

/// Pages, verbs, the support bundle and the process list.
fn clean_answers(site: &Site, daemon: &Daemon) {
    let admin = daemon.admin();
    for path in ["/", "/status", "/metrics", "/readyz", "/healthz", "/api/errors"] {
        clean(path, http("GET", &format!("{admin}{path}"), "").1.as_bytes());
    }
    for verb in [
        &["status"][..],
        &["status", "--json"],
        &["validate"],
        &["check", "--json"],
        &["cursor", "list", "--json"],
        &["gaps", "--all", "--json"],
        &["quarantine", "list", "--json"],
        &["dead-letters", "list", "--json"],
    ] {
        let said = site.output(verb);
        clean(&verb.join(" "), &said.stdout);
        clean(&verb.join(" "), &said.stderr);
    }
    let (said, packed) = bundle(site, "bundle.tar.gz");
    clean("what support-bundle says", said.as_bytes());
    packed.iter().for_each(|(name, content)| clean(&format!("{name} of the bundle"), content.as_bytes()));
    let process = format!("/proc/{}/cmdline", daemon.child.id());
    clean("ps", &std::fs::read(process).expect("it runs"));
}

#[test]
fn no_token_and_no_signed_link_is_left_anywhere() {
    let simulator = Simulator::start(&[
        "--events",
        "2000",
        "--seed",
        "94",
        "--scenario",
        "no_quota,expired-links,token-expiry=20,redirect=1; on file feed=siem.av first=1 status=403 form=s3; \
         on file feed=siem.process first=1 status=500 form=html; on content file=0 effect=bad-line",
    ]);
    let site = Site::new(&simulator.url, "", "");
    site.write_key("ZGVtbw==");
    let out = site.path("events.ndjson");
    let nobody = Receiver::nobody();
    let more = format!(
        "{ALL_FEEDS}\n[log]\nlevel = \"trace\"\n[tenants.signed]\napi = \"1.0\"\nbase_url = {:?}\napp_id = \"demo\"\napp_key = \"demo\"\n\
         access_key = \"demo\"\nsecret_key = {{ file = {:?} }}\nfeeds = [\"audit\"]\npoll_interval = \"1s\"\n\
         [tenants.proxied]\napi = \"2.0\"\nbase_url = \"https://mimecast.invalid\"\nclient_id = \"demo\"\nclient_secret = \"canary-client\"\n\
         proxy = \"http://user:canary-proxy@{nobody}\"\n[alerts.ops]\ntype = \"webhook\"\nurl = \"http://{nobody}/canary-hook\"\n",
        simulator.url,
        site.path("secret-key"),
    );
    let sinks = file_sink(&out)
        + &format!(
            "[sinks.web]\ntype = \"http\"\nurl = \"http://{nobody}/canary-path?sig=canary-query\"\ntoken = \"canary-token\"\n\
             headers = {{ X-Key = \"canary-header\" }}\n[sinks.login]\ntype = \"http\"\nurl = \"http://{nobody}/in\"\n\
             user = \"me\"\npassword = \"canary-password\"\n"
        );
    site.write(&simulator.url, &more, &sinks);
    let daemon = site.spawn();
    daemon.admin();
    let siem = FEEDS.iter().filter(|feed| feed.starts_with("siem."));
    let published: u64 = siem.map(|feed| simulator.truth(feed).len() as u64).sum();
    eventually("the files in spite of all", || {
        let arrived = Arrived::from_file(&out);
        let siem = arrived.events.values().filter(|(_, feed, _)| feed.starts_with("siem.")).count() as u64;
        (siem >= published && arrived.feed("audit") > 0).then_some(())
    });
    eventually("the sinks and the proxy to fail", || {
        let log = daemon.log();
        let fails = |what: &str| log.contains(what);
        (fails("sink web") && fails("sink login") && fails("proxied")).then_some(())
    });
    clean_answers(&site, &daemon);
    let store = files(&site.path("state"));
    assert!(
        store.iter().any(|path| path.ends_with("store.db-wal")),
        "the log of the store is searched, too: {store:?}"
    );
    for path in &store {
        clean(&path.display().to_string(), &std::fs::read(path).unwrap_or_default());
    }
    let log = daemon.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log says all it can");
    clean("the log", log.as_bytes());
    assert!(daemon.stop().0.success());
    for path in files(&site.path("state")) {
        clean(&path.display().to_string(), &std::fs::read(&path).expect("it is there"));
    }
    assert!(simulator.counted("tokens_issued") > 1, "tokens were refused, too");
}
