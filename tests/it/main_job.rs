//! The main job: every event of every feed, byte for byte, once, to every sink.

use crate::rig::{Arrived, Receiver, Simulator, Site, assert_complete};

pub const FEEDS: &[&str] = &[
    "siem.receipt",
    "siem.process",
    "siem.delivery",
    "siem.av",
    "siem.spam",
    "siem.journal",
    "siem.internal-email-protect",
    "siem.impersonation-protect",
    "siem.url-protect",
    "siem.attachment-protect",
    "ci.entities",
    "ci.mailflow",
    "ci.urlclick",
    "audit",
    "ttp.url",
    "ttp.attachment",
    "ttp.impersonation",
    "dlp",
    "held-release",
    "rejections",
    "archive.search",
    "archive.view",
    "threat-feed.customer",
    "threat-feed.grid",
];

/// The logs that are asked for by time.
pub fn window_feeds() -> &'static [&'static str] {
    let of = |name: &str| FEEDS.iter().position(|feed| *feed == name).expect("one of the feeds");
    &FEEDS[of("audit")..=of("archive.view")]
}

/// Those of [`FEEDS`] and no other: receivers wait for as many events as these feeds have.
pub const ALL_FEEDS: &str = "feeds = [\"*\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";

pub fn file_sink(path: &std::path::Path) -> String {
    format!("[sinks.file]\ntype = \"file\"\npath = {path:?}\n")
}

pub fn tcp_sink(address: std::net::SocketAddr) -> String {
    format!("[sinks.tcp]\ntype = \"syslog\"\naddress = \"{address}\"\ntransport = \"tcp\"\n")
}

#[test]
fn every_event_of_every_feed_reaches_every_sink_once() {
    let simulator = Simulator::start(&["--events", "30000", "--seed", "7", "--scenario", "no_quota"]);
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &(file_sink(&file) + &tcp_sink(receiver.address)));
    site.run_once();

    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    for arrived in [Arrived::from_file(&file), receiver.arrived()] {
        assert_complete(&simulator, &arrived, FEEDS);
        assert_eq!(arrived.repeats(), 0);
        assert!(arrived.distinct() >= published, "{} of {published} events", arrived.distinct());
    }
    site.reconcile();
    assert_eq!(simulator.counted("bearer_leaks"), 0);
}

#[test]
fn a_second_run_repeats_nothing_and_brings_what_is_new() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "8", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
    site.run_once();
    let first = Arrived::from_file(&file).distinct();
    simulator.post("/_sim/publish?feed=siem.receipt&count=500&age=5m");
    simulator.post("/_sim/publish?feed=audit&count=50&age=5m");
    simulator.post("/_sim/advance?seconds=600");
    site.run_once();
    let arrived = Arrived::from_file(&file);
    assert_eq!(arrived.distinct(), first + 550);
    assert_eq!(arrived.repeats(), 0);
    assert_complete(&simulator, &arrived, FEEDS);
    site.reconcile();
}

#[test]
fn one_sink_down_for_the_whole_run_costs_the_other_nothing_and_loses_nothing() {
    let simulator = Simulator::start(&["--events", "12000", "--seed", "9", "--scenario", "no_quota"]);
    let healthy = Receiver::start();
    let dead = Receiver::nobody();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let sinks = tcp_sink(healthy.address)
        + &format!("[sinks.dead]\ntype = \"syslog\"\naddress = \"{dead}\"\ntransport = \"tcp\"\n");
    site.write(&simulator.url, ALL_FEEDS, &sinks);
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();

    let daemon = site.spawn();
    healthy.wait_for(published);
    assert_complete(&simulator, &healthy.arrived(), FEEDS);

    let back = Receiver::on(dead); // the SIEM returns
    back.wait_for(published);
    assert_complete(&simulator, &back.arrived(), FEEDS);
    let (status, _) = daemon.stop();
    assert!(status.success(), "{status}");
    site.reconcile();
}
