//! What a sink can be told: how large a message may be, which types it wants, where it begins, and that losses are
//! accepted.

use std::net::UdpSocket;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Daemon, Receiver, Simulator, Site, eventually, text};

fn published(simulator: &Simulator) -> u64 {
    FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum()
}

/// Longer than any record, and shorter than the message around the longest.
fn tight(simulator: &Simulator) -> usize {
    FEEDS.iter().flat_map(|feed| simulator.truth(feed)).map(|line| line.len()).max().expect("events").max(700)
}

fn limited(receiver: &Receiver, bytes: usize, oversize: &str) -> String {
    tcp_sink(receiver.address) + &format!("max_message_size = \"{bytes}B\"\noversize = \"{oversize}\"\n")
}

fn dead(site: &Site) -> u64 {
    let out = site.output(&["dead-letters", "list", "--json"]);
    let list: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    list["all"].as_u64().expect("a number")
}

#[test]
fn what_is_longer_than_the_receiver_takes_arrives_cut_or_is_kept_until_it_takes_more() {
    let simulator = Simulator::start(&["--events", "1500", "--seed", "81", "--scenario", "no_quota"]);
    let (all, tight) = (published(&simulator), tight(&simulator));
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, &limited(&receiver, tight, "dead-letter"));
    site.run_once();
    let kept = dead(&site);
    assert!(kept > 0, "nothing was longer than {tight} bytes");
    assert_eq!(receiver.arrived().distinct() + kept, all);
    let words = text(&site.output(&["dead-letters", "list", "--limit", "1"]).stdout);
    assert!(words.contains(&format!("max_message_size of this sink is {tight}")), "{words}");
    site.reconcile();
    // once more under the same limit, without a daemon: it stays
    assert!(site.output(&["dead-letters", "retry", "--all"]).status.success());
    site.run_once();
    assert_eq!(dead(&site), kept);
    site.reconcile();
    // the receiver takes more now
    site.write(&simulator.url, ALL_FEEDS, &limited(&receiver, 65_536, "dead-letter"));
    assert!(site.output(&["dead-letters", "retry", "--all"]).status.success());
    site.run_once();
    assert_eq!((dead(&site), receiver.arrived().distinct(), receiver.arrived().repeats()), (0, all, 0));
    site.reconcile();

    let cutting = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, &limited(&cutting, tight, "truncate"));
    site.run_once();
    assert_eq!((dead(&site), cutting.arrived().distinct()), (0, all));
    site.reconcile();
}

#[test]
fn datagrams_need_consent_and_are_no_longer_than_they_may_be() {
    let simulator = Simulator::start(&["--events", "400", "--seed", "82", "--scenario", "no_quota"]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = got.clone();
    std::thread::spawn(move || {
        let mut space = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut space) {
            let datagram = String::from_utf8(space[..length].to_vec()).expect("text");
            kept.lock().expect("no panics").push(datagram);
        }
    });
    let sink = |accept: &str| {
        format!("[sinks.udp]\ntype = \"syslog\"\naddress = \"{address}\"\ntransport = \"udp\"\n{accept}\n")
    };
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink(""));
    let refused = site.output(&["validate"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("accept_loss = true"), "{}", text(&refused.stderr));

    site.write(&simulator.url, ALL_FEEDS, &sink("accept_loss = true"));
    let log = site.run_once();
    assert!(text(&log.stderr).contains("level 0"), "{}", text(&log.stderr));
    // how many arrive is the kernel's affair; those that do are whole
    eventually("a datagram", || (!got.lock().expect("no panics").is_empty()).then_some(()));
    for datagram in got.lock().expect("no panics").iter() {
        assert!(datagram.len() <= 2048, "{datagram}");
        let (_, envelope) = datagram.split_once("] {").expect("an envelope behind structured data");
        serde_json::from_str::<Value>(&format!("{{{envelope}")).expect("JSON");
    }
    site.reconcile();
}

#[test]
fn a_sink_gets_its_types_and_a_new_one_begins_where_it_is_told() {
    let simulator = Simulator::start(&["--events", "1500", "--seed", "83", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (file, late) = (site.path("receipts.ndjson"), site.path("late.ndjson"));
    let some = file_sink(&file) + "types = [\"rec*\"]\n";
    site.write(&simulator.url, ALL_FEEDS, &some);
    site.run_once();
    let arrived = Arrived::from_file(&file);
    assert_eq!(arrived.distinct(), simulator.truth("siem.receipt").len() as u64);
    assert_eq!(arrived.feed("siem.receipt"), arrived.distinct());
    site.reconcile();

    let now = format!("[sinks.late]\ntype = \"file\"\npath = {late:?}\nstart = \"now\"\n");
    site.write(&simulator.url, ALL_FEEDS, &(some.clone() + &now));
    let daemon = site.spawn();
    daemon.admin();
    simulator.post("/_sim/publish?feed=siem.av&count=10");
    simulator.post("/_sim/advance?seconds=600");
    eventually("new events", || (Arrived::from_file(&late).feed("siem.av") >= 10).then_some(()));
    daemon.stop();
    assert_eq!(Arrived::from_file(&late).feed("siem.receipt"), 0, "what was stored before is not for it");
    site.reconcile();

    let twice = some
        + &now
        + &format!("[sinks.third]\ntype = \"file\"\npath = \"{}\"\n", site.path("./late.ndjson").display());
    site.write(&simulator.url, ALL_FEEDS, &twice);
    let refused = site.output(&["validate"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("two sinks write to"), "{}", text(&refused.stderr));

    // events would be written into what the daemon lives on, counted as delivered, and be gone
    let link = site.path("harmless.ndjson");
    std::os::unix::fs::symlink(site.path("secret"), &link).expect("linked");
    for (taken, what) in [
        (site.path("state/../state/store.db"), "the daemon's own state"),
        (site.config.clone(), "the configuration"),
        (link, "a secret"),
    ] {
        site.write(&simulator.url, ALL_FEEDS, &file_sink(&taken));
        let refused = site.output(&["validate"]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{said}");
        assert!(said.contains("would write into") && said.contains(what), "{said}");
    }
}

/// Two writes that nobody takes: as many as there are threads for everybody's work.
#[test]
fn outputs_that_stand_still_hold_up_neither_the_other_sinks_nor_the_end() {
    let simulator = Simulator::start(&["--events", "1500", "--seed", "86", "--scenario", "no_quota"]);
    let receiver = HttpReceiver::start("", 0);
    let file = Site::new(&simulator.url, "", "");
    let sinks = ["one", "two"].map(|name| format!("[sinks.{name}]\ntype = \"stdout\"\n")).concat()
        + &file_sink(&file.path("events.ndjson"))
        + &http_sink(receiver.web.address);
    let site = Site::new(&simulator.url, ALL_FEEDS, &sinks);
    let mut daemon = Daemon::start_to(Stdio::piped(), site.command(&["run"]), site.path("log"));
    let all = published(&simulator);
    eventually("everything at the sinks that are well", || {
        let at_web = receiver.arrived.lock().expect("no panics").distinct();
        (at_web == all && Arrived::from_file(&file.path("events.ndjson")).distinct() == all).then_some(())
    });
    daemon.signal("TERM");
    let ended = eventually("the end of the daemon", || daemon.child.try_wait().expect("it can be asked"));
    assert!(ended.success(), "{ended}\n{}", daemon.log());
    site.reconcile();
}
