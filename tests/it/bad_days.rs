//! Bad days of the machine and of whoever runs it: a disk that turns read-only, a version that is put back, a secret
//! that is corrected in its file, clocks that are wrong.

use std::path::Path;
use std::process::Command;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink};
use crate::rig::{Arrived, Daemon, Simulator, Site, assert_complete, eventually, http, text};

fn site(simulator: &Simulator, tenant: &str) -> (Site, std::path::PathBuf) {
    let site = Site::new(&simulator.url, tenant, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, tenant, &file_sink(&file));
    (site, file)
}

/// The daemon ends rather than going on with a disk it cannot trust, and says why; when the disk is well again, the next
/// start goes on where the store stands.
#[test]
fn a_disk_that_turns_read_only_ends_the_daemon_and_costs_nothing() {
    let simulator = Simulator::start(&["--events", "1000", "--seed", "91", "--scenario", "no_quota"]);
    let (site, file) = site(&simulator, ALL_FEEDS);
    let (shim, sign) = (site.path("read_only.so"), site.path("read-only"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/disk/read_only.c");
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).args([&shim, &source]).status();
    assert!(built.expect("gcc; scripts/test installs it").success());
    let mut command = site.command(&["run"]);
    command.env("LD_PRELOAD", &shim).env("READ_ONLY_WHILE", &sign);
    let mut daemon = Daemon::start(command, site.path("log"));
    eventually("the first events", || (Arrived::from_file(&file).distinct() > 0).then_some(()));

    std::fs::write(&sign, "").expect("written");
    // only what is listed as files: a row that appears while a log is read newest first shifts its pages, and repeats
    // look like twins (`history_tests`), which is another story
    simulator.post("/_sim/publish?feed=siem.*&count=400&age=2m");
    let status = eventually("the end of the daemon", || daemon.child.try_wait().expect("a child"));
    let log = daemon.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("(L02)") && log.contains("kernel log"), "{log}");
    let out =
        site.command(&["run"]).env("LD_PRELOAD", &shim).env("READ_ONLY_WHILE", &sign).output().expect("runs");
    assert_eq!(out.status.code(), Some(1), "nor does it start: {}", text(&out.stderr));
    assert!(text(&out.stderr).contains("store.db"), "{}", text(&out.stderr));

    std::fs::remove_file(&sign).expect("removed");
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
    site.reconcile();
}

/// Mounted by root where the state directory is; unmounted when dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn mount(at: &Path, args: &[&str]) {
        let out = Command::new("mount").args(args).arg(at).output().expect("mount");
        assert!(
            out.status.success(),
            "this test mounts a file system; run it as root: {}",
            text(&out.stderr)
        );
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_state_directory_on_a_read_only_disk_is_said_before_anything_is_asked_and_can_be_looked_at() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "92", "--scenario", "no_quota"]);
    let (site, file) = site(&simulator, ALL_FEEDS);
    let state = site.path("state");
    std::fs::create_dir(&state).expect("made");
    Mounted::mount(&state, &["-t", "tmpfs", "-o", "size=128m", "tmpfs"]);
    let mounted = Mounted(state);
    site.run_once();
    let logins = simulator.counted("token_requests");
    Mounted::mount(&mounted.0, &["-o", "remount,ro"]);
    simulator.post("/_sim/publish?feed=*&count=200&age=2m");
    for verb in [&["run"][..], &["run", "--once"]] {
        let out = site.output(verb);
        let words = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{verb:?}: {words}");
        assert!(words.contains("Read-only file system") && words.contains("state"), "{verb:?}: {words}");
    }
    assert_eq!(simulator.counted("token_requests"), logins, "nothing was asked");
    // what is there can be looked at, which is what one wants on such a day
    site.reconcile();
    site.status();
    for verb in [&["gaps"][..], &["cursor", "list"], &["quarantine", "list"], &["dead-letters", "list"]] {
        let out = site.output(verb);
        assert!(out.status.success(), "{verb:?}: {}", text(&out.stderr));
    }
    Mounted::mount(&mounted.0, &["-o", "remount,rw"]);
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
    site.reconcile();
}

/// An older version on the store of a newer one touches nothing, whatever it is asked, and says what to do.
#[test]
fn an_older_version_leaves_the_store_of_a_newer_one_alone() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "93", "--scenario", "no_quota"]);
    let (site, file) = site(&simulator, ALL_FEEDS);
    site.run_once();
    let store = site.path("state/store.db");
    site.tamper(
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, true, checksum, 0 FROM _sqlx_migrations LIMIT 1",
    );
    let (before, logins) = (std::fs::read(&store).expect("the store"), simulator.counted("token_requests"));
    for verb in [
        &["run"][..],
        &["run", "--once"],
        &["status"],
        &["reconcile"],
        &["gaps"],
        &["cursor", "set", "acme", "--since", "1h"],
        &["quarantine", "drop", "--all", "--yes"],
        &["replay", "--sink", "file", "--since", "1h"],
    ] {
        let out = site.output(verb);
        let words = text(&out.stderr);
        assert_eq!(out.status.code(), Some(78), "{verb:?}: {words}");
        assert!(
            words.contains("schema 9999") && words.contains("run the newer program"),
            "{verb:?}: {words}"
        );
    }
    assert!(std::fs::read(&store).expect("the store") == before, "the store was changed");
    assert_eq!(simulator.counted("token_requests"), logins, "nothing was asked");
    site.tamper("DELETE FROM _sqlx_migrations WHERE version = 9999");
    simulator.post("/_sim/publish?feed=*&count=200&age=2m");
    site.run_once();
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
    site.reconcile();
}

/// A wrong secret is tried once; corrected in its file, it is noticed without a reload, a restart or `resume`.
#[test]
fn a_secret_that_is_corrected_in_its_file_is_noticed() {
    let simulator = Simulator::start(&["--events", "500", "--seed", "94", "--scenario", "no_quota"]);
    let (site, file) = site(&simulator, ALL_FEEDS);
    let secret = site.path("secret");
    std::fs::write(&secret, "wrong").expect("written");
    let daemon = site.spawn();
    let admin = daemon.admin();
    eventually("the refusal", || {
        let status: serde_json::Value =
            serde_json::from_str(&http("GET", &format!("{admin}/status"), "").1).ok()?;
        (status["tenants"][0]["credential"]["state"] != "ok" && simulator.counted("failed_logins") == 1)
            .then_some(())
    });
    std::fs::write(&secret, "demo").expect("written in place: the same file");
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    eventually("every event", || (Arrived::from_file(&file).distinct() >= published).then_some(()));
    assert_eq!(simulator.counted("failed_logins"), 1, "{}", daemon.log());
    assert!(!daemon.log().contains("wrong\""), "the secret is not shown");
    daemon.stop();
    assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
    site.reconcile();
}

/// Mimecast's clock decides where windows end. By ours, ten minutes off, they would reach into its future, and what
/// happens there would never be asked for; or end before what it has.
#[test]
fn a_clock_that_is_ten_minutes_off_either_way_skips_nothing() {
    for (offset, later, seed) in [("-10m", "-8m", "95"), ("10m", "12m", "96")] {
        let clock = format!("--clock-offset={offset}");
        let simulator =
            Simulator::start(&["--events", "0", "--seed", seed, "--scenario", "no_quota", &clock]);
        let exactly = format!("{ALL_FEEDS}\n[tenants.acme.feed.\"*\"]\noverlap = \"0s\"");
        let (site, file) = site(&simulator, &exactly);
        simulator.post("/_sim/publish?feed=*&count=500&age=2m&over=20m");
        let out = site.run_once();
        let words = text(&out.stderr);
        assert!(words.contains("clock of this machine differs from Mimecast's"), "{offset}: {words}");
        assert_complete(&simulator, &Arrived::from_file(&file), FEEDS);
        // two minutes later there, in which something happened
        simulator.post(&format!("/_sim/clock?offset={later}"));
        simulator.post("/_sim/publish?feed=*&count=250&age=65s&over=50s");
        site.run_once();
        let arrived = Arrived::from_file(&file);
        assert_complete(&simulator, &arrived, FEEDS);
        assert_eq!(arrived.repeats(), 0, "{offset}");
        let gaps = site.output(&["gaps", "--json"]);
        assert_eq!(text(&gaps.stdout).trim(), "[]", "{offset}");
        site.reconcile();
    }
}
