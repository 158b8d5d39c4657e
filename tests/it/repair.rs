//! What an operator does after a bad weekend: dead letters sent once more, stored events replayed, the quarantine
//! read again; with the daemon running and without.

use serde_json::Value;

use crate::http_sink::{HttpReceiver, http_sink};
use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Receiver, Simulator, Site, eventually, http, text};

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
    assert_eq!(told(&site, &["dead-letters", "drop", "7"]).0, 1, "there is none");
    assert_eq!(told(&site, &["quarantine", "drop", "--all"]).0, 1, "there is nothing");

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
    assert!(exit == 0 && words.contains("1 dead letter dropped;"), "{exit} {words}");
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
    // as if this version could read what another could not
    let feed = list["quarantine"][1]["feed"].as_str().expect("a name").to_owned();
    let record = simulator.truth(&feed).remove(0);
    let hex: String = record.bytes().map(|byte| format!("{byte:02x}")).collect();
    site.tamper(&format!("UPDATE quarantine SET bytes = X'{hex}', length = {} WHERE id = 2", record.len()));
    let daemon = site.spawn();
    let admin = daemon.admin();
    let collected = || {
        let metrics = http("GET", &format!("{admin}/metrics"), "").1;
        let line = format!("mimecollectd_events_collected_total{{tenant=\"acme\",feed=\"{feed}\"}} ");
        metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let (earlier, (exit, words)) = (collected(), told(&site, &["quarantine", "retry", "2"]));
    assert!(exit == 0 && words.contains("1 item became events"), "{exit} {words}");
    assert_eq!(collected(), earlier + 1, "the metric counts it");
    assert!(daemon.log().contains("1 events of") && daemon.log().contains("read out of the quarantine"));
    let all = all - 1;
    let (exit, words) = told(&site, &["quarantine", "drop", "1"]);
    assert!(exit == 0 && words.contains("1 quarantined item dropped;"), "{exit} {words}");
    assert_eq!(json(&site, &["quarantine", "list"])["all"], all - 1);
    site.reconcile();
    daemon.stop();
    assert_eq!(Arrived::from_file(&file).distinct(), before);
}

/// Whatever takes a scope takes patterns, and says what there is when nothing is meant; a request that is too long is
/// refused as a whole.
#[test]
fn scopes_are_patterns_everywhere_and_a_mistyped_one_is_told() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "74", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    site.write(&simulator.url, ALL_FEEDS, &file_sink(&site.path("events.ndjson")));
    site.run_once();
    for (args, there_is) in [
        (&["quarantine", "list", "--feed", "acme/sime.*"][..], "acme/siem.av"),
        (&["dead-letters", "list", "--feed", "amce"], "acme"),
        (&["dead-letters", "retry", "--feed", "*/adit"], "acme/audit"),
        (&["quarantine", "drop", "--feed", "amce", "--yes"], "acme"),
        (&["dead-letters", "list", "--sink", "flie"], "file"),
        (&["dead-letters", "retry", "--sink", "flie"], "file"),
        (&["dead-letters", "drop", "--sink", "flie", "--yes"], "file"),
        (&["replay", "--sink", "file", "--since", "1h", "--feed", "acme/adit"], "acme/audit"),
        (&["gaps", "backfill", "amce"], "acme"),
        (&["cursor", "set", "acme/adit", "--since", "1h"], "acme/audit"),
        (&["cursor", "show", "acme/adit"], "acme/audit"),
        (&["resume", "acme/adit"], "acme/audit"),
        (&["resume", "sink:flie"], "sink:file"),
    ] {
        let (exit, words) = told(&site, args);
        let told = words.contains("there are: ") && words.contains(there_is);
        assert!(exit == 2 && told, "{args:?}: {exit} {words}");
    }
    for args in [&["quarantine", "list", "--feed", "*/siem.*"][..], &["cursor", "show", "ac*/siem.*"]] {
        let (exit, words) = told(&site, args);
        assert_eq!(exit, 0, "{args:?}: {words}");
    }
    let daemon = site.spawn();
    daemon.admin();
    let (exit, words) = told(&site, &["gaps", "backfill", "amce"]);
    assert!(exit == 2 && words.contains("there are: acme"), "{exit} {words}");
    let (exit, words) = told(&site, &["resume", "*/siem.*"]);
    assert!(exit == 0 && words.contains("tries */siem.* again now"), "{exit} {words}");
    let numbers: Vec<String> = (0..9_000).map(|n| n.to_string()).collect();
    let mut long = vec!["dead-letters", "drop"];
    long.extend(numbers.iter().map(String::as_str));
    let (exit, words) = told(&site, &long);
    assert!(exit == 2 && words.contains("longer than 32768 bytes"), "{exit} {words}");
    daemon.stop();
    site.reconcile();
}

/// Not the daemon's user: that is what is wrong, and not that there is no store.
#[test]
fn who_may_not_look_is_told_so() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new("http://127.0.0.1:9", "", "[sinks.out]\ntype = \"stdout\"\n");
    let (exit, words) = told(&site, &["gaps"]);
    assert!(exit == 1 && words.contains("state/store.db yet"), "{exit} {words}");
    let (exit, words) = told(&site, &["resume", "acme"]);
    assert!(
        exit == 75 && words.contains("no daemon took the request"),
        "before the first start: {exit} {words}"
    );

    let program = site.path("mimecollectd");
    std::fs::copy(env!("CARGO_BIN_EXE_mimecollectd"), &program).expect("copied");
    std::fs::create_dir(site.path("state")).expect("mkdir");
    std::fs::write(site.path("state/store.db"), "").expect("written");
    let mode = |path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(site.dir.path().to_owned(), 0o755);
    mode(site.config.clone(), 0o644);
    mode(site.path("state"), 0o000);
    for verb in [&["gaps"][..], &["cursor", "set", "acme", "--since", "1h"], &["resume", "acme"], &["run"]] {
        let out =
            as_another(&program).args(verb).arg("--config").arg(&site.config).output().expect("it runs");
        let words = text(&out.stderr);
        assert_eq!(out.status.code(), Some(77), "{verb:?}: {words}");
        assert!(words.contains("daemon's user"), "{verb:?}: {words}");
    }
    mode(site.path("state"), 0o700);
}

/// The program as a user who owns nothing; root may look everywhere.
pub fn as_another(program: &std::path::Path) -> std::process::Command {
    if !rustix::process::geteuid().is_root() {
        return std::process::Command::new(program);
    }
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(program);
    command
}

/// Members of the daemon's group may ask it, and not read its store: what they asked for is begun, and they are told that
/// nobody waits for its end.
#[test]
fn a_member_of_the_group_has_events_sent_again_without_watching() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return; // only root can be somebody else of the same group
    }
    let simulator = Simulator::start(&["--events", "200", "--seed", "94", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, "feeds = [\"audit\"]", "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, "feeds = [\"audit\"]", &file_sink(&file));
    let program = site.path("mimecollectd");
    std::fs::copy(env!("CARGO_BIN_EXE_mimecollectd"), &program).expect("copied");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(site.dir.path(), 0o755);
    mode(&site.config, 0o644);
    let daemon = site.spawn();
    daemon.admin();
    let published = simulator.truth("audit").len() as u64;
    eventually("all events", || (Arrived::from_file(&file).distinct() == published).then_some(()));
    let member = as_another(&program)
        .args(["replay", "--sink", "file", "--since", "30d", "--config"])
        .arg(&site.config)
        .output();
    let member = member.expect("it runs");
    let said = text(&member.stdout) + &text(&member.stderr);
    assert_eq!(member.status.code(), Some(0), "{said}");
    assert!(said.contains("only who may read its store can watch it"), "{said}");
    eventually("all events again", || (Arrived::from_file(&file).repeats() == published).then_some(()));
    assert!(daemon.stop().0.success());
    site.reconcile();
}
