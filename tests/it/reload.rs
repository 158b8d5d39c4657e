//! A new configuration while everything runs: nothing is lost by it, whatever changes and whenever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::counterparts::certificates;
use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Daemon, Receiver, Simulator, Site, assert_complete, eventually, http};
use crate::web::{Answer, Web};

fn simulator(seed: &str) -> Simulator {
    Simulator::start(&["--events", "4000", "--seed", seed, "--tenants", "3", "--scenario", "no_quota"])
}

fn published(simulator: &Simulator) -> u64 {
    FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum()
}

fn reload(daemon: &Daemon) {
    let before = daemon.log().matches("configuration reloaded").count();
    daemon.signal("HUP");
    eventually("the reload", || {
        (daemon.log().matches("configuration reloaded").count() > before).then_some(())
    });
}

/// Another tenant of the same simulator.
fn second_tenant(site: &Site, url: &str) -> String {
    format!(
        "[tenants.bolt]\napi = \"2.0\"\nbase_url = \"{url}\"\nclient_id = \"demo-1\"\n\
         client_secret = {{ file = {:?} }}\nfeeds = [\"siem.*\"]\npoll_interval = \"1s\"\n",
        site.path("secret")
    )
}

#[test]
fn a_sink_may_come_move_with_a_backlog_and_go_with_one() {
    let simulator = simulator("51");
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    let only_file = file_sink(&file);
    site.write(&simulator.url, ALL_FEEDS, &only_file);
    let daemon = site.spawn();
    daemon.admin();
    let first = published(&simulator);
    eventually("the first sink", || (Arrived::from_file(&file).distinct() >= first).then_some(()));

    // comes, and is down: everything that is stored waits for it
    site.write(&simulator.url, ALL_FEEDS, &(only_file.clone() + &tcp_sink(Receiver::nobody())));
    reload(&daemon);
    simulator.post("/_sim/publish?feed=siem.av&count=40");
    simulator.post("/_sim/advance?seconds=600");
    eventually("what came since", || (Arrived::from_file(&file).distinct() >= first + 40).then_some(()));

    // moves, with its backlog
    let receiver = Receiver::start();
    site.write(&simulator.url, ALL_FEEDS, &(only_file.clone() + &tcp_sink(receiver.address)));
    reload(&daemon);
    receiver.wait_for(first + 40);
    assert_complete(&simulator, &receiver.arrived(), FEEDS);

    // goes, with a backlog of its own: which is said, and costs the others nothing
    site.write(&simulator.url, ALL_FEEDS, &(only_file.clone() + &tcp_sink(Receiver::nobody())));
    reload(&daemon);
    simulator.post("/_sim/publish?feed=siem.av&count=25");
    simulator.post("/_sim/advance?seconds=600");
    eventually("what came since", || (Arrived::from_file(&file).distinct() >= first + 65).then_some(()));
    site.write(&simulator.url, ALL_FEEDS, &only_file);
    reload(&daemon);
    let said = daemon.log();
    assert!(said.contains("sink tcp is gone") && said.contains("no longer kept for it"), "{said}");
    let (status, _) = daemon.stop();
    assert!(status.success(), "{status}");
    let arrived = Arrived::from_file(&file);
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0, "the sink that stayed was not touched");
    site.reconcile();
}

#[test]
fn tenants_feeds_and_secrets_change_in_an_outage_and_nothing_is_lost() {
    let simulator = simulator("52");
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    let sink = file_sink(&file);
    site.write(&simulator.url, "feeds = [\"siem.receipt\", \"audit\"]\npoll_interval = \"1s\"", &sink);
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the first events", || (Arrived::from_file(&file).distinct() > 0).then_some(()));
    simulator.scenario("no_quota; outage=6s");

    // a tenant more, all feeds instead of two, and in the middle of it the same again, twice in a row
    let both = second_tenant(&site, &simulator.url) + &sink;
    site.write(&simulator.url, ALL_FEEDS, &both);
    daemon.signal("HUP");
    daemon.signal("HUP");
    let status = || http("GET", &format!("{admin}/status"), "").1;
    eventually("the second tenant to run", || status().contains("\"bolt\"").then_some(()));

    // a secret that is wrong, in a file that changed, and right again: no reload is needed for that
    let other = site.path("other-secret");
    std::fs::write(&other, "demo").expect("written");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let config = std::fs::read_to_string(&site.config).expect("it is there");
    let secret = format!("{:?}", site.path("secret"));
    std::fs::write(&site.config, config.replacen(&secret, &format!("{other:?}"), 1)).expect("written");
    reload(&daemon);

    // another pace for one feed
    let paced = format!("{ALL_FEEDS}\n[tenants.acme.feed.\"audit\"]\npoll_interval = \"2s\"");
    site.write(&simulator.url, &paced, &both);
    reload(&daemon);
    let all = published(&simulator);
    let of_acme = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mine = text.lines().filter(|line| line.contains("\"tenant\":\"acme\""));
        mine.map(|line| line.get(..60).unwrap_or_default().to_owned())
            .collect::<std::collections::HashSet<_>>()
            .len()
    };
    eventually("everything of the first tenant after the outage", || (of_acme() as u64 >= all).then_some(()));

    // the second tenant goes; what it brought stays
    site.write(&simulator.url, ALL_FEEDS, &sink);
    reload(&daemon);
    eventually("the second tenant to be gone", || (!status().contains("\"bolt\"")).then_some(()));
    let (status, _) = daemon.stop();
    assert!(status.success(), "{status}");
    let mut acme = Arrived::default();
    let text = std::fs::read_to_string(&file).expect("it is there");
    text.lines().filter(|line| line.contains("\"tenant\":\"acme\"")).for_each(|line| acme.add(line));
    assert_complete(&simulator, &acme, FEEDS);
    assert_eq!(acme.repeats(), 0);
    site.reconcile();
}

/// Client certificates are renewed every few weeks, a daemon runs for a year.
#[test]
fn a_renewed_certificate_under_its_old_name_is_taken_up_by_a_reload() {
    let simulator = simulator("53");
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (ca, cert, key) = certificates(site.dir.path());
    let sink = format!(
        "[sinks.siem]\ntype = \"syslog\"\naddress = \"{}\"\ntransport = \"tls\"\n\
         tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?} }}\n",
        Receiver::nobody()
    );
    site.write(&simulator.url, ALL_FEEDS, &sink);
    let daemon = site.spawn();
    daemon.admin();
    let told = |words: &str| daemon.log().matches(words).count();
    reload(&daemon);
    assert_eq!(told("sinks started: siem"), 0);
    assert_eq!(told("nothing that runs is different"), 1);
    let renewed = site.path("renewed");
    std::fs::create_dir(&renewed).expect("made");
    let (_, new_cert, new_key) = certificates(&renewed);
    std::fs::rename(new_cert, cert).expect("replaced");
    std::fs::rename(new_key, key).expect("replaced");
    reload(&daemon);
    assert_eq!(told("sinks started: siem"), 1);
    reload(&daemon);
    assert_eq!((told("sinks started: siem"), told("nothing that runs is different")), (1, 2));
}

/// What a feed or a sink is halted for is as it was after a reload that changes nothing: each look at it would be one
/// more refusal. A token that was replaced where it lies is worth one.
#[test]
fn a_reload_knocks_only_where_a_secret_was_replaced() {
    let scenario = "no_quota,forbidden-feed=audit";
    let simulator = Simulator::start(&["--events", "300", "--seed", "54", "--scenario", scenario]);
    let refused = Arc::new(AtomicU32::new(0));
    let counted = refused.clone();
    let web = Web::start(move |request| {
        if request.has("authorization: bearer new") {
            return Answer::new("200 OK", "");
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Answer::new("401 Unauthorized", "")
    });
    let site = Site::new(&simulator.url, "", "");
    let place = site.path("token");
    std::fs::write(&place, "old").expect("written");
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let sink = format!(
        "[sinks.web]\ntype = \"http\"\npreset = \"ndjson\"\nurl = \"http://{}/in\"\ntoken = {{ file = {place:?} }}\n",
        web.address
    );
    site.write(&simulator.url, "feeds = [\"siem.av\", \"audit\"]\npoll_interval = \"60s\"", &sink);
    let daemon = site.spawn();
    let admin = daemon.admin();
    let looks = || {
        let metrics = http("GET", &format!("{admin}/metrics"), "").1;
        let mut lines = metrics.lines();
        let line = lines.find(|line| {
            line.starts_with("mimecollectd_api_requests_total") && line.contains("feed=\"audit\"")
        });
        line.map(str::to_owned)
    };
    let status = || -> Option<serde_json::Value> {
        serde_json::from_str(&http("GET", &format!("{admin}/status"), "").1).ok()
    };
    let halted = |status: &serde_json::Value| {
        let feeds = status["tenants"][0]["feeds"].as_array()?;
        let feed = feeds.iter().any(|feed| feed["state"] == "halted");
        let sink = &status["sinks"][0];
        let refused = sink["up"] == false && sink["why"].as_str().is_some_and(|why| why.contains("401"));
        (feed && refused).then_some(())
    };
    eventually("feed and sink to be halted", || halted(&status()?));
    let (before, shown) = (looks(), refused.load(Ordering::SeqCst));
    for _ in 0..3 {
        reload(&daemon);
    }
    std::fs::write(&place, "new").expect("written");
    reload(&daemon);
    eventually("the sink to take events", || (status()?["sinks"][0]["up"] == true).then_some(()));
    assert_eq!(refused.load(Ordering::SeqCst), shown, "the old token was shown again: {}", daemon.log());
    assert!(before.is_some());
    assert_eq!(looks(), before, "the feed was asked again: {}", daemon.log());
}
