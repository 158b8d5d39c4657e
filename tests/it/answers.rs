//! Events that come in the answer itself: the stream of the SIEM feeds, threat intelligence, and the crossing between
//! stream and files.

use std::collections::HashMap;

use crate::main_job::file_sink;
use crate::rig::{Arrived, Simulator, Site, assert_complete, digest, http};

const SIEM: &[&str] = &[
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
];
const FEEDS: &str = "feeds = [\"siem.*\", \"ci.*\"]\npoll_interval = \"1s\"\n";

/// Every published record of a feed in the words of the stream.
fn streamed(simulator: &Simulator, feed: &str) -> Vec<String> {
    let (status, body) = http("GET", &format!("{}/_sim/events?feed={feed}&form=stream", simulator.url), "");
    assert_eq!(status, 200, "{body}");
    body.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Fails unless each event arrived exactly once, in the words of the files or of the stream. Says how many came by
/// the stream.
fn assert_once(simulator: &Simulator, arrived: &Arrived, feed: &str) -> usize {
    let (files, stream) = (simulator.truth(feed), streamed(simulator, feed));
    assert_eq!(files.len(), stream.len(), "{feed}: the same events in both");
    let mut known: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    for (n, line) in files.iter().enumerate().chain(stream.iter().enumerate()) {
        known.entry(digest(line.as_bytes())).or_default().push(n);
    }
    let by_stream: std::collections::HashSet<[u8; 16]> =
        stream.iter().map(|line| digest(line.as_bytes())).collect();
    let mut times = vec![0_u32; files.len()];
    let mut count = 0;
    for (_, _, digest) in arrived.events.values().filter(|(_, name, _)| name == feed) {
        let places = known.get(digest).unwrap_or_else(|| panic!("{feed}: an event nobody published"));
        let place = places.iter().find(|place| times[**place] == 0).copied().unwrap_or(places[0]);
        times[place] += 1;
        count += usize::from(by_stream.contains(digest));
    }
    let wrong: Vec<(usize, u32)> =
        times.iter().copied().enumerate().filter(|(_, times)| *times != 1).collect();
    assert!(wrong.is_empty(), "{feed}: of {} events these came not once: {wrong:?}", files.len());
    count
}

#[test]
fn the_stream_brings_every_event_byte_for_byte_once() {
    let simulator = Simulator::start(&["--events", "4000", "--seed", "21", "--scenario", "no_quota"]);
    let tenant = format!("{FEEDS}siem_endpoint = \"stream\"\nlookback = \"20h\"");
    let site = Site::new(&simulator.url, &tenant, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, &tenant, &file_sink(&file));
    site.run_once();
    simulator.post("/_sim/publish?feed=siem.*&count=150&age=1m");
    site.run_once();
    let arrived = Arrived::from_file(&file);
    for feed in SIEM {
        let truth = streamed(&simulator, feed);
        let sum = truth
            .iter()
            .fold(0_u128, |sum, line| sum.wrapping_add(u128::from_be_bytes(digest(line.as_bytes()))));
        assert_eq!(arrived.feed(feed), truth.len() as u64, "{feed}: arrived, published");
        assert_eq!(arrived.sum(feed), sum, "{feed}: the bytes differ from what was published");
    }
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
    let ledger = simulator.ledger();
    let asked = ledger["tenants"]["demo"]["requests"].as_object().expect("requests by surface");
    assert!(asked.keys().all(|surface| surface == "token" || surface.starts_with("stream")), "{asked:?}");
}

#[test]
fn from_files_to_the_stream_and_back_every_event_comes_once() {
    let simulator = Simulator::start(&["--events", "4000", "--seed", "22", "--scenario", "no_quota"]);
    let files = format!("{FEEDS}lookback = \"7d\"");
    let stream = format!("{files}\nsiem_endpoint = \"stream\"");
    let site = Site::new(&simulator.url, &files, "");
    let file = site.path("events.ndjson");
    let go = |tenant: &str| {
        simulator.post("/_sim/publish?feed=siem.*&count=40&age=0s");
        site.write(&simulator.url, tenant, &file_sink(&file));
        site.run_once();
    };
    go(&files);
    go(&stream); // begins to remember, and goes on with files
    go(&stream);
    simulator.post("/_sim/clock?offset=2h");
    go(&stream); // the hour before is remembered as a whole: crosses
    go(&stream);
    let arrived = Arrived::from_file(&file);
    let by_stream: usize = SIEM.iter().map(|feed| assert_once(&simulator, &arrived, feed)).sum();
    assert!(by_stream >= 400, "only {by_stream} events came by the stream");
    go(&files); // back: the files of the day, less what they and the stream have given
    go(&files);
    simulator.post("/_sim/clock?offset=5h");
    go(&files);
    go(&files);
    let arrived = Arrived::from_file(&file);
    SIEM.iter().for_each(|feed| _ = assert_once(&simulator, &arrived, feed));
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
}

#[test]
fn threat_intelligence_comes_once_however_often_the_last_page_is_asked_for() {
    let simulator = Simulator::start(&["--events", "30000", "--seed", "23", "--scenario", "no_quota"]);
    let tenant = "feeds = [\"threat-feed.*\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";
    let site = Site::new(&simulator.url, tenant, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, tenant, &file_sink(&file));
    let feeds = ["threat-feed.customer", "threat-feed.grid"];
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), &feeds);
    simulator.post("/_sim/publish?feed=threat-feed.*&count=700&age=1m");
    site.run_once();
    site.run_once();
    let arrived = Arrived::from_file(&file);
    assert_complete(&simulator, &arrived, &feeds);
    assert!(arrived.distinct() > 1_400, "{}", arrived.distinct());
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
}
