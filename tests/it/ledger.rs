//! What was not collected, and positions moved by hand: outages longer than Mimecast's memory, spans skipped and
//! fetched after all, with the daemon running and without it.

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Arrived, Simulator, Site, eventually, text};

const TENANT: &str = "feeds = [\"siem.receipt\", \"audit\"]\npoll_interval = \"200ms\"\nlookback = \"1h\"";
const DAY: i64 = 86_400;

/// A simulator that lives so long ago and has nothing to tell yet.
fn days_ago(days: u32) -> (Simulator, Site, std::path::PathBuf) {
    let offset = format!("-{days}d");
    let simulator = Simulator::start(&["--events", "0", "--scenario", "no_quota", "--clock-offset", &offset]);
    let site = Site::new(&simulator.url, TENANT, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, TENANT, &file_sink(&file));
    (simulator, site, file)
}

fn json(site: &Site, args: &[&str]) -> Value {
    let out = site.output(args);
    assert!(out.status.success(), "{args:?}: {}{}", text(&out.stdout), text(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON is printed")
}

fn seconds(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("a time, not {value}"));
    text.parse::<jiff::Timestamp>().expect("a time").as_second()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Eight days off: of the log that is kept for seven, one day is lost, and the ledger says from when to when; of
/// the one that is kept for sixty nothing is.
#[test]
fn after_eight_days_off_the_missing_day_is_a_gap_and_everything_else_arrives() {
    let (simulator, site, file) = days_ago(8);
    simulator.post("/_sim/publish?feed=siem.receipt&count=300&age=20m&over=10m");
    simulator.post("/_sim/publish?feed=audit&count=40&age=20m&over=10m");
    site.run_once();
    let stopped = now() - 8 * DAY;
    assert_eq!(Arrived::from_file(&file).distinct(), 340);
    assert!(json(&site, &["gaps", "--json"]).as_array().is_some_and(Vec::is_empty));

    simulator.post("/_sim/clock?offset=0d");
    simulator.post("/_sim/publish?feed=siem.receipt&count=70&age=180h&over=1h"); // 7.5 days: nobody gets these
    simulator.post("/_sim/publish?feed=siem.receipt&count=500&age=2d&over=1h");
    simulator.post("/_sim/publish?feed=siem.receipt&count=60&age=5m");
    simulator.post("/_sim/publish?feed=audit&count=80&age=180h&over=1h");
    simulator.post("/_sim/publish?feed=audit&count=20&age=5m");
    site.run_once();

    let gaps = json(&site, &["gaps", "--json"]);
    assert_eq!(gaps.as_array().map(Vec::len), Some(1), "{gaps}");
    let gap = &gaps[0];
    assert_eq!((&gap["feed"], &gap["fetchable"]), (&"siem.receipt".into(), &false.into()), "{gap}");
    assert!((seconds(&gap["from"]) - stopped).abs() <= 30, "{gap}: reading stopped at {stopped}");
    assert!((seconds(&gap["to"]) - (now() - 7 * DAY)).abs() <= 60, "{gap}: memory begins 7 days ago");
    let arrived = Arrived::from_file(&file);
    assert_eq!((arrived.feed("siem.receipt"), arrived.feed("audit")), (300 + 500 + 60, 40 + 80 + 20));
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
    let status = site.status();
    let feeds = status["tenants"][0]["feeds"].as_array().expect("feeds");
    let receipt = feeds.iter().find(|feed| feed["name"] == "siem.receipt").expect("siem.receipt");
    assert_eq!(receipt["gaps_open"], 1, "{receipt}");
    accepted_while_it_runs(&site, &gap["gap"].to_string());
}

/// What nobody can fetch any more is closed by a person: the alert ends, and the ledger keeps who and why.
fn accepted_while_it_runs(site: &Site, gap: &str) {
    let daemon = site.spawn();
    daemon.admin();
    let told = || {
        let status = site.status();
        status["alerts"].as_array().is_some_and(|all| all.iter().any(|alert| alert["rule"] == "gap_open"))
    };
    eventually("the alert", || told().then_some(()));
    for (args, exit, words) in [
        (&["gaps", "accept", gap][..], 2, "--reason"),
        (&["gaps", "accept", "--reason", "INC-4711"], 2, "<GAP>"),
        (&["gaps", "accept", gap, "--reason", " "], 2, "why the loss is accepted"),
        (&["gaps", "accept", "99", "--reason", "INC-4711"], 1, "gap 99: is not open"),
    ] {
        let out = site.output(args);
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(exit) && said.contains(words), "{args:?}: {:?} {said}", out.status);
    }
    assert!(told());
    let done = json(site, &["gaps", "accept", gap, "--reason", "INC-4711: the line was down", "--json"]);
    assert_eq!(done[0]["accepted"], true, "{done}");
    eventually("the alert to end", || (!told()).then_some(()));
    assert!(daemon.stop().0.success());
    assert_eq!(json(site, &["gaps", "--json"]), Value::Array(Vec::new()));
    let kept = json(site, &["gaps", "--all", "--json"]);
    assert_eq!(kept[0]["accepted"]["reason"], "INC-4711: the line was down", "{kept}");
    assert!(kept[0]["accepted"]["by"].as_str().is_some_and(|by| !by.is_empty()), "{kept}");
    assert!(kept[0]["closed"].is_string(), "{kept}");
    let books = text(&site.output(&["reconcile"]).stdout);
    assert!(
        books.contains("0 open, 1 accepted as lost") && books.contains("every account balances"),
        "{books}"
    );
}

/// Skipped by hand, entered in the ledger, fetched after all: every event once.
#[test]
fn what_was_skipped_by_hand_is_fetched_by_backfill() {
    let (simulator, site, file) = days_ago(4);
    simulator.post("/_sim/publish?feed=siem.receipt&count=30&age=10m");
    simulator.post("/_sim/publish?feed=audit&count=10&age=10m");
    site.run_once();
    simulator.post("/_sim/clock?offset=0d");
    simulator.post("/_sim/publish?feed=siem.receipt&count=400&age=60h&over=20h");
    simulator.post("/_sim/publish?feed=siem.receipt&count=50&age=5m");
    simulator.post("/_sim/publish?feed=audit&count=1300&age=60h&over=20h");
    simulator.post("/_sim/publish?feed=audit&count=15&age=5m");

    let set = json(&site, &["cursor", "set", "acme", "--since", "2h", "--json"]);
    assert_eq!(set.as_array().map(Vec::len), Some(2), "{set}");
    site.run_once();
    let arrived = Arrived::from_file(&file);
    assert_eq!((arrived.feed("siem.receipt"), arrived.feed("audit")), (30 + 50, 10 + 15));
    let gaps = json(&site, &["gaps", "--json"]);
    assert_eq!(gaps.as_array().map(Vec::len), Some(2), "{gaps}");
    assert!(gaps.as_array().is_some_and(|gaps| gaps.iter().all(|gap| gap["fetchable"] == true)), "{gaps}");

    let daemon = site.spawn(); // asked while it runs
    daemon.admin();
    let mistyped = site.output(&["gaps", "backfill", "acmee"]);
    assert_eq!(mistyped.status.code(), Some(2), "{}", crate::rig::text(&mistyped.stderr));
    let hasty = site.output(&["gaps", "accept", "--scope", "acme/audit", "--reason", "never mind"]);
    let said = text(&hasty.stderr);
    assert!(hasty.status.code() == Some(1) && said.contains("stays open: Mimecast has it until"), "{said}");
    let wanted = json(&site, &["gaps", "backfill", "--json"]);
    assert!(wanted.as_array().is_some_and(|gaps| gaps.iter().all(|gap| gap["wanted"] == true)), "{wanted}");
    eventually("both gaps to be closed", || {
        json(&site, &["gaps", "--json"]).as_array().is_some_and(Vec::is_empty).then_some(())
    });
    eventually("everything to arrive", || {
        (Arrived::from_file(&file).distinct() >= 30 + 450 + 10 + 1315).then_some(())
    });
    assert!(daemon.stop().0.success());
    let arrived = Arrived::from_file(&file);
    assert_eq!((arrived.feed("siem.receipt"), arrived.feed("audit")), (30 + 450, 10 + 1315));
    assert_eq!(arrived.repeats(), 0, "what lay at the edges is known");
    assert_eq!(json(&site, &["gaps", "--all", "--json"]).as_array().map(Vec::len), Some(2));
    site.reconcile();
}

/// A position set back while the daemon runs: what is known is not stored twice, `--again` brings it once more
/// under the same ids.
#[test]
fn a_position_is_set_back_while_the_daemon_runs() {
    let (simulator, site, file) = days_ago(0);
    simulator.post("/_sim/publish?feed=siem.receipt&count=120&age=10m&over=5m");
    simulator.post("/_sim/publish?feed=audit&count=60&age=10m&over=5m");
    let daemon = site.spawn();
    daemon.admin();
    eventually("everything", || (Arrived::from_file(&file).distinct() == 180).then_some(()));
    let wrong = site.output(&["cursor", "set", "acme/dlp", "--since", "2h"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));

    json(&site, &["cursor", "set", "acme", "--since", "2h", "--json"]);
    simulator.post("/_sim/publish?feed=audit&count=5&age=2m");
    eventually("what is new", || (Arrived::from_file(&file).distinct() == 185).then_some(()));
    assert_eq!(Arrived::from_file(&file).repeats(), 0);

    let said = site.output(&["cursor", "set", "acme/audit", "--since", "2h", "--again"]);
    assert!(text(&said.stdout).contains("under the same event ids"), "{}", text(&said.stdout));
    eventually("the same once more", || (Arrived::from_file(&file).repeats() == 65).then_some(()));
    assert_eq!(Arrived::from_file(&file).distinct(), 185);
    let listed = json(&site, &["cursor", "list", "--json"]);
    assert!(listed.as_array().is_some_and(|rows| rows.len() == 2), "{listed}");
    assert!(text(&site.output(&["cursor", "show", "acme/audit"]).stdout).contains("read up to"));
    site.reconcile();
}

/// As if it had never been polled: what comes again is known, though it is counted from the beginning.
#[test]
fn a_reset_brings_nothing_twice() {
    let (simulator, site, file) = days_ago(0);
    site.write(
        &simulator.url,
        &TENANT.replace("receipt\", \"audit", "receipt\", \"ttp.url"),
        &file_sink(&file),
    );
    simulator.post("/_sim/publish?feed=siem.receipt&count=40&age=10m&over=5m");
    simulator.post("/_sim/publish?feed=ttp.url&count=60&age=10m&over=5m");
    for again in 0..3 {
        site.run_once();
        let arrived = Arrived::from_file(&file);
        assert_eq!((arrived.distinct(), arrived.repeats()), (100, 0), "after {again} resets");
        json(&site, &["cursor", "reset", "acme", "--json"]);
    }
    site.reconcile();
}

/// Rows that appear a day late: too late for the overlap, in time for the daily sweep, also after somebody set the
/// position to where none of them are read.
#[test]
fn rows_that_appear_a_day_late_are_found_by_the_sweep() {
    let (simulator, site, file) = days_ago(0);
    let tenant = TENANT.replace("1h", "3d");
    site.write(&simulator.url, &tenant, &file_sink(&file));
    simulator.post("/_sim/publish?feed=audit&count=900&age=30h&over=10h");
    let daemon = site.spawn(); // with this polling interval a day of its table lasts 57 seconds
    daemon.admin();
    eventually("what is there", || (Arrived::from_file(&file).distinct() == 900).then_some(()));
    json(&site, &["cursor", "set", "acme/audit", "--since", "1m", "--json"]);
    simulator.post("/_sim/publish?feed=audit&count=17&age=26h&over=1h");
    eventually("the late rows", || (Arrived::from_file(&file).distinct() == 917).then_some(()));
    assert_eq!(Arrived::from_file(&file).repeats(), 0);
    assert!(daemon.stop().0.success());
    site.reconcile();
}

/// From its installation on nothing is answered, for eight days and more: what was to be read is decided by then, so
/// what has expired is a gap that begins one lookback before the installation, and the rest arrives.
#[test]
fn a_feed_whose_first_ten_days_fail_owes_them_from_the_beginning() {
    let (simulator, site, file) = days_ago(10);
    simulator.scenario("on data status=503 form=html");
    let began = now() - 10 * DAY - 3_600; // the lookback
    let daemon = site.spawn();
    daemon.admin();
    eventually("both feeds to have a beginning", || {
        let listed = json(&site, &["cursor", "list", "--json"]);
        let told = |row: &Value| row["read_to"].is_string();
        listed.as_array().is_some_and(|rows| rows.len() == 2 && rows.iter().all(told)).then_some(())
    });
    assert!(daemon.stop().0.success());

    simulator.post("/_sim/clock?offset=0d");
    simulator.scenario("");
    simulator.post("/_sim/publish?feed=siem.receipt&count=70&age=192h&over=1h"); // nobody gets these
    simulator.post("/_sim/publish?feed=siem.receipt&count=300&age=60h&over=30h"); // older than the lookback is now
    simulator.post("/_sim/publish?feed=audit&count=80&age=200h&over=1h");
    site.run_once();

    let arrived = Arrived::from_file(&file);
    assert_eq!((arrived.feed("siem.receipt"), arrived.feed("audit"), arrived.repeats()), (300, 80, 0));
    let gaps = json(&site, &["gaps", "--json"]);
    assert_eq!(gaps.as_array().map(Vec::len), Some(1), "{gaps}");
    let gap = &gaps[0];
    assert_eq!((&gap["feed"], &gap["fetchable"]), (&"siem.receipt".into(), &false.into()), "{gap}");
    assert!((seconds(&gap["from"]) - began).abs() <= 60, "{gap}: it was to begin at {began}");
    assert!((seconds(&gap["to"]) - (now() - 7 * DAY)).abs() <= 60, "{gap}: memory begins 7 days ago");
    site.reconcile();
}
