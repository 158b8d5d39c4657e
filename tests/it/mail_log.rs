//! The mail log of API 1.0 (`siem.mta`): zips of many files, byte for byte, once, whatever else is in them.

use crate::main_job::file_sink;
use crate::rig::{Arrived, Simulator, Site, assert_complete};

const TENANT: &str = "feeds = [\"siem.mta\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";

fn site(simulator: &Simulator) -> (Site, std::path::PathBuf) {
    let site = Site::new(&simulator.url, "", "");
    let file = site.path("events.ndjson");
    site.write_signed(&simulator.url, TENANT, &file_sink(&file));
    (site, file)
}

fn complete_and_once(simulator: &Simulator, site: &Site, file: &std::path::Path) {
    let arrived = Arrived::from_file(file);
    assert_complete(simulator, &arrived, &["siem.mta"]);
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
}

fn feed(site: &Site) -> serde_json::Value {
    site.status()["tenants"][0]["feeds"][0].clone()
}

#[test]
fn every_event_of_the_mail_log_arrives_once_and_what_is_new_follows() {
    let simulator = Simulator::start(&["--events", "60000", "--seed", "61"]);
    let (site, file) = site(&simulator);
    site.run_once();
    complete_and_once(&simulator, &site, &file);
    site.run_once();
    complete_and_once(&simulator, &site, &file);
    simulator.post("/_sim/publish?feed=siem.mta&count=3000&age=1m");
    simulator.post("/_sim/advance?seconds=3600"); // files appear half an hour later
    site.run_once();
    complete_and_once(&simulator, &site, &file);
    let left: Vec<_> =
        std::fs::read_dir(site.path("state")).expect("the state directory").flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("answer-")), "{left:?}");
}

#[test]
fn poison_beside_good_files_costs_no_event() {
    let scenario = "on siem.mta first=2 effect=broken-member; on siem.mta first=3 effect=zero-bytes-member; \
                    on siem.mta nth=1 effect=traversal; on siem.mta nth=2 effect=unknown-prefix; no_quota";
    let simulator = Simulator::start(&["--events", "60000", "--seed", "62", "--scenario", scenario]);
    let (site, file) = site(&simulator);
    site.run_once();
    complete_and_once(&simulator, &site, &file);
    let feed = feed(&site);
    assert!(feed["quarantined"].as_u64().is_some_and(|count| count >= 2), "{feed}");
}

#[test]
fn an_answer_cut_short_or_without_its_token_is_asked_for_again() {
    let scenario = "on siem.mta nth=1 effect=cut; on siem.mta nth=3 effect=no-siem-token; no_quota";
    let simulator = Simulator::start(&["--events", "60000", "--seed", "63", "--scenario", scenario]);
    let (site, file) = site(&simulator);
    site.run_once();
    site.run_once();
    complete_and_once(&simulator, &site, &file);
}

#[test]
fn a_refused_token_costs_a_second_reading_and_no_event_twice() {
    let simulator = Simulator::start(&["--events", "40000", "--seed", "64", "--scenario", "no_quota"]);
    let (site, file) = site(&simulator);
    site.run_once();
    let refused = "on siem.mta nth=1 status=200 code=err_audit_siem_invalid_token form=meta";
    simulator.scenario(&format!("no_quota; {refused}"));
    site.run_once();
    complete_and_once(&simulator, &site, &file);
    let books = simulator.ledger()["tenants"]["demo"]["feeds"]["siem.mta"].clone();
    let count = |name: &str| books[name].as_u64().unwrap_or_else(|| panic!("{name} in {books}"));
    assert_eq!(count("handed_out"), 2 * count("published"), "all of it was read again");
}

#[test]
fn an_archive_that_is_unreadable_for_a_while_is_asked_for_again() {
    let simulator = Simulator::start(&[
        "--events",
        "40000",
        "--seed",
        "65",
        "--scenario",
        "on siem.mta first=3 effect=not-a-zip; no_quota",
    ]);
    let (site, file) = site(&simulator);
    let daemon = site.spawn();
    let wanted = simulator.truth("siem.mta").len() as u64;
    crate::rig::eventually("every event of the mail log", || {
        (Arrived::from_file(&file).distinct() >= wanted).then_some(())
    });
    assert!(daemon.stop().0.success());
    complete_and_once(&simulator, &site, &file);
}
