//! The HTTP sink from outside: batches, compression, a receiver that is busy, and one event it will not take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Simulator, Site, assert_complete, text};
use crate::web::{Answer, Web};

/// An NDJSON receiver that refuses whatever holds the poison, and is busy for its first requests.
pub struct HttpReceiver {
    pub web: Web,
    pub arrived: Arc<Mutex<Arrived>>,
    /// What it refuses; empty: nothing.
    pub poison: Arc<Mutex<String>>,
}

impl HttpReceiver {
    pub fn start(poison: &str, busy: u32) -> Self {
        Self::on("127.0.0.1:0", poison, busy)
    }

    /// As [`HttpReceiver::start`], at this address.
    pub fn on(address: &str, poison: &str, busy: u32) -> Self {
        let (arrived, left) = (Arc::new(Mutex::new(Arrived::default())), Mutex::new(busy));
        let poison = Arc::new(Mutex::new(poison.to_owned()));
        let (mine, refused) = (arrived.clone(), poison.clone());
        let web = Web::on(address, move |request| {
            let mut left = left.lock().expect("no panics");
            if *left > 0 {
                *left -= 1;
                return Answer::new("503 Busy", "");
            }
            drop(left);
            let body = request.text();
            let refused = refused.lock().expect("no panics").clone();
            if !refused.is_empty() && body.contains(&refused) {
                return Answer::new("400 Bad Request", "");
            }
            let mut arrived = mine.lock().expect("no panics");
            body.lines().for_each(|line| arrived.add(line));
            Answer::new("200 OK", "")
        });
        HttpReceiver { web, arrived, poison }
    }
}

pub fn http_sink(address: SocketAddr) -> String {
    format!(
        "[sinks.web]\ntype = \"http\"\npreset = \"ndjson\"\nurl = \"http://{address}/in\"\ncompression = \"gzip\"\n\
         batch = {{ events = 200, bytes = \"1MiB\", wait = \"1s\" }}\nconcurrency = 4\n"
    )
}

#[test]
fn every_event_arrives_once_although_the_receiver_is_busy_at_first() {
    let simulator = Simulator::start(&["--events", "6000", "--seed", "61", "--scenario", "no_quota"]);
    let receiver = HttpReceiver::start("", 2);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
    site.run_once();
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0);
    assert!(receiver.web.compressed() > 0, "bodies are compressed");
    site.reconcile();
}

#[test]
fn one_event_the_receiver_refuses_becomes_a_dead_letter_and_the_rest_arrives() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "62", "--scenario", "no_quota"]);
    // a record of the truth that occurs once: its bytes are the poison
    let truth = simulator.truth("siem.av");
    let poison = truth.first().expect("av events");
    let receiver = HttpReceiver::start(poison, 0);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
    let out = site.run_once();
    let said = "sink web refused 1 events for good; they are kept, see `mimecollectd dead-letters`";
    assert!(text(&out.stderr).contains(said), "{}", text(&out.stderr));
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_eq!(arrived.feed("siem.av"), truth.len() as u64 - 1);
    for feed in FEEDS.iter().filter(|feed| **feed != "siem.av") {
        assert_eq!(arrived.feed(feed), simulator.truth(feed).len() as u64, "{feed}");
    }
    assert_eq!(arrived.repeats(), 0, "what was acknowledged is not sent again");
    let status = site.status();
    assert_eq!(status["sinks"][0]["dead_lettered"], 1, "{status}");
    site.reconcile();
}

/// One request at a time, and all events of a feed side by side: nothing beside them can vouch for the receiver, but what follows.
#[test]
fn a_feed_that_the_receiver_refuses_does_not_halt_a_sink_that_takes_the_others() {
    let simulator = Simulator::start(&["--events", "100", "--seed", "64", "--scenario", "no_quota"]);
    let refused = simulator.truth("siem.receipt").len() as u64;
    assert!((9..50).contains(&refused), "{refused}: fewer than a flood, more than chance");
    let receiver = HttpReceiver::start("\"feed\":\"siem.receipt\"", 0);
    let sink = http_sink(receiver.web.address).replace("concurrency = 4", "concurrency = 1");
    let site =
        Site::new(&simulator.url, ALL_FEEDS, &sink.replace("events = 200", &format!("events = {refused}")));
    site.run_once();
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    for feed in FEEDS.iter().filter(|feed| **feed != "siem.receipt") {
        assert_eq!(arrived.feed(feed), simulator.truth(feed).len() as u64, "{feed}");
    }
    assert_eq!((arrived.feed("siem.receipt"), arrived.repeats()), (0, 0));
    assert_eq!(site.status()["sinks"][0]["dead_lettered"], refused);
    site.reconcile();
}

#[test]
fn a_receiver_that_refuses_everything_or_most_is_halted_and_no_event_becomes_a_dead_letter() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "63", "--scenario", "no_quota"]);
    for poison in ["\"event_id\"", "siem."] {
        let receiver = HttpReceiver::start(poison, 0);
        let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
        let out = site.output(&["run", "--once"]);
        assert_eq!(out.status.code(), Some(69), "{poison}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("halted"), "{poison}: {}", text(&out.stderr));
        let status = site.status();
        let sink = &status["sinks"][0];
        // a few single refusals between events that are taken are letters; a flood of them is the sink's fault
        assert!(sink["dead_lettered"].as_u64().expect("a number") < 100, "{poison}: {sink}");
        assert!(sink["waiting_events"].as_u64().expect("a number") > 0, "{poison}: {sink}");
        site.reconcile();
        receiver.poison.lock().expect("no panics").clear();
        site.run_once();
        let dead = site.status()["sinks"][0]["dead_lettered"].as_u64().expect("a number");
        let arrived = receiver.arrived.lock().expect("no panics").clone();
        let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
        assert_eq!(arrived.distinct() + dead, published, "{poison}");
        // requests beside the refused one were answered, but the position never moves past it: after the first daemon's
        // end they go out again, three of four at most
        assert!(arrived.repeats() <= 3 * 200, "{poison}: {} repeats", arrived.repeats());
        site.reconcile();
    }
}
