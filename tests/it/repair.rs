//! What an operator does after a bad weekend: dead letters sent once more, stored events replayed, the quarantine
//! read again; with the daemon running and without.

use serde_json::Value;

use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Receiver, Simulator, Site, eventually, text};

fn json(site: &Site, args: &[&str]) -> Value {
    let out = site.output(&[args, &["--json"]].concat());
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&out.stderr)))
}

/// Runs a verb and says how it ended and what it printed.
fn told(site: &Site, args: &[&str]) -> (i32, String) {
    let out = site.output(args);
    (out.status.code().expect("an exit code"), text(&out.stdout) + &text(&out.stderr))
}

#[test]
fn a_dead_letter_is_shown_sent_once_more_and_counted_where_it_ends() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "71", "--scenario", "no_quota"]);
    let truth = simulator.truth("siem.av");
    let (poison, second) = (&truth[0], &truth[1]);
    let receiver = HttpReceiver::start(poison, 0);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.web.address));
    site.run_once();

    let list = json(&site, &["dead-letters", "list"]);
    assert_eq!(list["all"], 1, "{list}");
    let letter = &list["dead_letters"][0];
    assert_eq!((letter["sink"].as_str(), letter["feed"].as_str()), (Some("web"), Some("siem.av")));
    assert!(letter["words"].as_str().is_some_and(|words| words.contains("400")), "{letter}");
    let raw = site.output(&["dead-letters", "show", "1", "--raw"]);
    assert_eq!(text(&raw.stdout), *poison, "the bytes as Mimecast sent them");
    assert!(told(&site, &["dead-letters", "show", "1"]).1.contains("its words"));
    assert_eq!(told(&site, &["dead-letters", "show", "7"]).0, 1);
    assert_eq!(told(&site, &["dead-letters", "retry"]).0, 2, "which?");
    assert_eq!(told(&site, &["dead-letters", "drop", "--all"]).0, 2, "sure?");

    // without a daemon: when it runs next. The sink still refuses it.
    let (exit, words) = told(&site, &["dead-letters", "retry", "--all"]);
    assert!(exit == 0 && words.contains("when the daemon runs"), "{exit} {words}");
    site.run_once();
    assert_eq!(json(&site, &["dead-letters", "list"])["dead_letters"][0]["times"], 2);
    site.reconcile();

    let daemon = site.spawn();
    daemon.admin();
    let (exit, words) = told(&site, &["dead-letters", "retry", "1"]);
    assert!(exit == 1 && words.contains("1 refused again"), "{exit} {words}");
    receiver.poison.lock().expect("no panics").clear();
    let (exit, words) = told(&site, &["dead-letters", "retry", "--sink", "web"]);
    assert!(exit == 0 && words.contains("1 delivered"), "{exit} {words}");
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_eq!(arrived.feed("siem.av"), truth.len() as u64);
    assert_eq!(arrived.repeats(), 0);
    assert_eq!(json(&site, &["dead-letters", "list"])["all"], 0);
    let status = site.status();
    assert_eq!(status["sinks"][0]["dead_lettered"], 0, "{status}");
    site.reconcile();

    // a replay that the sink refuses an event of: that one becomes a letter that no account counts
    receiver.poison.lock().expect("no panics").clone_from(second);
    let (exit, words) =
        told(&site, &["replay", "--sink", "web", "--feed", "acme/siem.av", "--since", "2000-01-01"]);
    assert!(exit == 1 && words.contains("1 refused"), "{exit} {words}");
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_eq!(arrived.repeats(), truth.len() as u64 - 1);
    site.reconcile();
    let (exit, words) = told(&site, &["dead-letters", "drop", "--sink", "web", "--yes"]);
    assert!(exit == 0 && words.contains("1 dead letters dropped"), "{exit} {words}");
    site.reconcile();
    daemon.stop();
    site.reconcile();
}

#[test]
fn a_replay_goes_on_after_a_kill_beside_new_events_and_says_how_far_it_is() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "72", "--scenario", "no_quota"]);
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, &tcp_sink(receiver.address));
    site.run_once();
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    assert_eq!(receiver.arrived().distinct(), published);

    for (args, exit, says) in [
        (&["replay"][..], 2, "--sink"),
        (&["replay", "--sink", "none", "--since", "1h"], 2, "the sinks are: tcp"),
        (&["replay", "--sink", "tcp", "--since", "1h", "--until", "2h"], 2, "not before"),
        (
            &["replay", "--sink", "tcp", "--since", "2000-01-01", "--until", "2000-01-02"],
            1,
            "nothing to replay",
        ),
        (&["replay", "--sink", "tcp", "--since", "2000-01-01"], 0, "when the daemon runs"),
    ] {
        let (code, words) = told(&site, args);
        assert!(code == exit && words.contains(says), "{args:?}: {code} {words}");
    }
    let waits = site.status();
    assert_eq!(waits["sinks"][0]["replays"][0]["events"], published, "{waits}");
    // killed as soon as the first copies are there: what is left goes out after the next start
    let daemon = site.spawn();
    eventually("the first copies", || (receiver.arrived().repeats() > 0).then_some(()));
    drop(daemon);
    let daemon = site.spawn();
    daemon.admin();
    simulator.post("/_sim/publish?feed=siem.av&count=10");
    simulator.post("/_sim/advance?seconds=600");
    eventually("the end of the replay", || {
        (json(&site, &["replay", "list"])["replays"][0]["finished"].is_string()).then_some(())
    });
    receiver.wait_for(published + 10);
    let arrived = receiver.arrived();
    assert!(arrived.repeats() >= published, "{} copies of {published}", arrived.repeats());
    let row = &json(&site, &["replay", "list"])["replays"][0];
    assert_eq!((row["sent"].as_u64(), row["refused"].as_u64()), (Some(published), Some(0)), "{row}");
    let (exit, words) =
        told(&site, &["replay", "--sink", "tcp", "--since", "2000-01-01", "--feed", "acme/siem.av"]);
    assert!(exit == 0 && words.contains("events sent"), "{exit} {words}");
    assert!(told(&site, &["replay", "cancel", "1"]).1.contains("ended before"));
    assert_eq!(told(&site, &["replay", "cancel", "99"]).0, 1);
    daemon.stop();
    site.reconcile();
}

#[test]
fn the_quarantine_is_listed_shown_read_again_and_given_up() {
    let simulator =
        Simulator::start(&["--events", "3000", "--seed", "73", "--scenario", "no_quota,bad-line"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&file));
    site.run_once();
    let before = Arrived::from_file(&file).distinct();
    let list = json(&site, &["quarantine", "list"]);
    let all = list["all"].as_u64().expect("a number");
    assert!(all > 0, "{list}");
    let shown = json(&site, &["quarantine", "show", "1"]);
    assert!(shown["kept"]["text"].is_string() && shown["sha256"].is_string(), "{shown}");
    assert_eq!(
        json(&site, &["quarantine", "list", "--limit", "1"])["quarantine"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(json(&site, &["quarantine", "list", "--reason", "no_such"])["all"], 0);
    // this version reads as the one that quarantined it: nothing has changed
    let (exit, words) = told(&site, &["quarantine", "retry", "--all"]);
    assert!(exit == 1 && words.contains("still cannot be read"), "{exit} {words}");
    site.reconcile();
    let daemon = site.spawn();
    daemon.admin();
    let (exit, words) = told(&site, &["quarantine", "drop", "1"]);
    assert!(exit == 0 && words.contains("1 quarantined items dropped"), "{exit} {words}");
    assert_eq!(json(&site, &["quarantine", "list"])["all"], all - 1);
    site.reconcile();
    daemon.stop();
    assert_eq!(Arrived::from_file(&file).distinct(), before);
}
