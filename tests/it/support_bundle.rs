//! `support-bundle`: useful when everything is broken, and never a leak.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::rig::{Simulator, Site, text};

/// Unpacks with the system's own tar: file name without the directory → text.
fn unpack(archive: &Path) -> BTreeMap<String, String> {
    let into = tempfile::tempdir().expect("a directory");
    let out =
        Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into.path()).output().expect("tar runs");
    assert!(out.status.success(), "{}", text(&out.stderr));
    let mut found = BTreeMap::new();
    let mut todo = vec![into.path().to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                todo.push(entry);
                continue;
            }
            let name: Vec<_> = entry.strip_prefix(into.path()).expect("below it").iter().skip(1).collect();
            let name = name.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
            found.insert(name, std::fs::read_to_string(&entry).expect("text"));
        }
    }
    found
}

pub fn bundle(site: &Site, name: &str) -> (String, BTreeMap<String, String>) {
    let path = site.path(name);
    let out = site.output(&["support-bundle", "--output", &path.display().to_string()]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    (text(&out.stdout), unpack(&path))
}

/// What must be nowhere: secrets of every place, an event, a page token.
fn has_no_canary(files: &BTreeMap<String, String>, canaries: &[&str]) {
    for (name, content) in files {
        for canary in canaries {
            assert!(!content.contains(canary), "{canary} is in {name}:\n{content}");
        }
    }
}

#[test]
fn it_tells_everything_but_what_is_nobody_elses_business() {
    let simulator = Simulator::start(&["--events", "300", "--scenario", "on content file=1 effect=bad-line"]);
    let out = tempfile::tempdir().expect("a directory");
    let sinks = format!(
        "# a note: canary-comment\n[sinks.out]\ntype = \"file\"\npath = {:?}\n[sinks.web]\ntype = \"http\"\n\
         url = \"http://127.0.0.1:9/in?sig=canary-query\"\ntoken = \"canary-token\"\nheaders = {{ X-Key = \"canary-header\" }}\n\
         [alerts.ops]\ntype = \"webhook\"\nurl = \"https://hooks.example.com/canary-hook\"\n",
        out.path().join("events")
    );
    let site = Site::new(&simulator.url, "feeds = [\"siem.receipt\", \"audit\"]", &sinks);
    let daemon = site.spawn();
    daemon.admin();
    let events = crate::rig::eventually("an event", || {
        std::fs::read_to_string(out.path().join("events")).ok().filter(|text| text.lines().count() > 50)
    });
    let (said, files) = bundle(&site, "live.tar.gz");
    for name in [
        "README.txt",
        "configuration/mimecollectd.toml",
        "status.json",
        "metrics.txt",
        "cursors.json",
        "gaps.json",
        "accounts.json",
        "quarantine.json",
        "store.txt",
        "system.txt",
        "version.txt",
        "validate.txt",
    ] {
        assert!(files.contains_key(name), "{name} is missing: {said}");
        assert!(name == "README.txt" || said.contains(name), "{name} is not told: {said}");
    }
    assert!(said.contains("It does not contain:") && said.contains("page tokens"), "{said}");
    assert!(files["metrics.txt"].contains("mimecollectd_events_collected_total"));
    assert!(files["configuration/mimecollectd.toml"].contains("[tenants.acme]"));
    let quarantine: serde_json::Value = serde_json::from_str(&files["quarantine.json"]).expect("JSON");
    assert!(quarantine["counts"].is_array(), "{quarantine}");
    let event: serde_json::Value =
        serde_json::from_str(events.lines().next().expect("a line")).expect("JSON");
    let id = event["event_id"].as_str().expect("an id");
    let cursors = site.output(&["cursor", "list", "--json"]);
    let cursors: serde_json::Value = serde_json::from_slice(&cursors.stdout).expect("JSON");
    let tokens: Vec<String> = cursors
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| {
            let cursor: serde_json::Value = serde_json::from_str(row["cursor"].as_str()?).ok()?;
            Some(cursor["batch"]["token"].as_str()?.chars().take(8).collect())
        })
        .collect();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| token.len() == 8), "page tokens: {cursors}");
    let mut canaries = vec!["canary-", id, "\"client_id\": \"demo\"", "client_id = \"demo\""];
    canaries.extend(tokens.iter().map(String::as_str));
    has_no_canary(&files, &canaries);
    drop(daemon);

    let again = site.output(&["support-bundle", "--output", &site.path("live.tar.gz").display().to_string()]);
    assert_eq!(again.status.code(), Some(2), "an archive is never overwritten");
}

#[test]
fn a_dead_daemon_a_broken_store_and_a_broken_configuration_are_no_obstacle() {
    let site = Site::new("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    std::fs::create_dir_all(site.path("state")).expect("mkdir");
    std::fs::write(site.path("state/store.db"), "this was a database; canary-store".repeat(1000))
        .expect("written");
    let (said, files) = bundle(&site, "damaged.tar.gz");
    assert!(said.contains("metrics.txt"), "{said}");
    assert!(
        files["store.txt"].contains("store.db") && files["store.txt"].contains("damaged")
            || files["store.txt"].contains("not a database"),
        "{}",
        files["store.txt"]
    );
    has_no_canary(&files, &["canary-store"]);

    let text = std::fs::read_to_string(&site.config).expect("read");
    std::fs::write(&site.config, format!("{text}\ntoken = \"canary-token\nbroken")).expect("written");
    let (said, files) = bundle(&site, "broken.tar.gz");
    assert!(files["validate.txt"].contains("mistake"), "{said}");
    assert!(files["configuration/mimecollectd.toml"].contains("client_secret = ********"));
    has_no_canary(&files, &["canary-token"]);
}
