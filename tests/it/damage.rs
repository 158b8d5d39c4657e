//! A disk that did not keep the store as it was written, with the real binary: one rotten chunk holds nobody up, a
//! damaged database is refused with words that lead out, and what Mimecast still has arrives after all.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::Value;

use crate::main_job::{file_sink, tcp_sink};
use crate::rig::{Arrived, Receiver, Simulator, Site, assert_complete, eventually, text};

const FEEDS: &[&str] = &["siem.receipt", "siem.av", "audit"];
const TENANT: &str =
    "feeds = [\"siem.receipt\", \"siem.av\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";
const PAGE: usize = 16_384;

/// What was collected while the sink `tcp` was down; the file sink has it.
fn collected(seed: &str) -> (Simulator, Site) {
    let simulator = Simulator::start(&[
        "--events",
        "6000",
        "--seed",
        seed,
        "--scenario",
        "no_quota",
        "--events-per-file",
        "1500",
    ]);
    let site = Site::new(&simulator.url, TENANT, "");
    let sinks = file_sink(&site.path("events.ndjson")) + &tcp_sink(Receiver::nobody());
    site.write(&simulator.url, TENANT, &sinks);
    let out = site.output(&["run", "--once"]);
    assert_eq!(out.status.code(), Some(69), "the sink is down: {}", text(&out.stderr));
    (simulator, site)
}

/// The sink comes back.
fn receiver_for(site: &Site, simulator: &Simulator) -> Receiver {
    let receiver = Receiver::start();
    let sinks = file_sink(&site.path("events.ndjson")) + &tcp_sink(receiver.address);
    site.write(&simulator.url, TENANT, &sinks);
    receiver
}

fn published(simulator: &Simulator) -> u64 {
    FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum()
}

fn json(site: &Site, args: &[&str]) -> Value {
    let out = site.output(args);
    assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON is printed")
}

/// As docs/operations.md says.
fn move_aside(site: &Site) {
    let aside = site.path("state.damaged");
    std::fs::create_dir(&aside).expect("made");
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let from = site.path("state").join(name);
        if from.exists() {
            std::fs::rename(from, aside.join(name)).expect("moved");
        }
    }
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(file).expect("opened");
    file.seek(SeekFrom::Start(at)).expect("sought");
    file.write_all(bytes).expect("written");
}

/// `run --once` to its refusal; what it said.
fn refused(site: &Site) -> String {
    let before = std::fs::read(site.path("state/store.db")).expect("read");
    let out = site.output(&["run", "--once"]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for words in ["is damaged", "move it aside", "never delete it", "cursors.shadow", "dmesg"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let after = std::fs::read(site.path("state/store.db")).expect("read");
    assert!(after == before, "evidence is not touched");
    said
}

#[test]
fn one_rotten_chunk_holds_nobody_up_and_is_fetched_again() {
    let (simulator, site) = collected("71");
    // a byte of the deflate stream of one large body, as a disk would change it
    let half = "length(gzip) / 2";
    site.tamper(&format!(
        "UPDATE body SET gzip = CAST(substr(gzip, 1, {half}) || X'00FF00' || substr(gzip, {half} + 4) AS BLOB) \
         WHERE id = (SELECT body FROM chunk WHERE feed = (SELECT id FROM feed WHERE feed = 'siem.receipt') \
         ORDER BY bytes DESC LIMIT 1)"
    ));
    let receiver = receiver_for(&site, &simulator);
    let all = published(&simulator);
    let said = text(&site.run_once().stderr);
    assert!(said.contains("could not be read back from the store"), "{said}");
    assert!(said.contains("sink tcp does not get") && said.contains("gaps backfill"), "{said}");
    let gaps = json(&site, &["gaps", "--json"]);
    assert_eq!(gaps.as_array().map(Vec::len), Some(1), "{gaps}");
    assert_eq!((&gaps[0]["cause"], &gaps[0]["feed"]), (&"damaged_in_store".into(), &"siem.receipt".into()));
    assert_eq!(gaps[0]["fetchable"], true, "{gaps}");
    let lost: u64 =
        gaps[0]["detail"].as_str().and_then(|text| text.split(' ').next()?.parse().ok()).expect("n");
    eventually("what is sound", || (receiver.arrived().distinct() >= all - lost).then_some(()));
    assert_eq!(receiver.arrived().distinct(), all - lost);
    assert!(lost > 0 && lost < all, "{lost} of {all}");
    let told = json(&site, &["reconcile", "--json"]);
    let accounts = told["accounts"].as_array().expect("accounts").iter();
    let sinks = accounts.flat_map(|account| account["sinks"].as_array().expect("sinks"));
    let sum = |name: &str, what: &str| -> u64 {
        sinks.clone().filter(|sink| sink["sink"] == name).filter_map(|sink| sink[what].as_u64()).sum()
    };
    assert_eq!((sum("tcp", "dead_lettered"), sum("tcp", "delivered")), (lost, all - lost), "{told}");
    assert_eq!(
        (sum("file", "dead_lettered"), sum("file", "delivered")),
        (0, all),
        "it had everything before"
    );
    site.reconcile();

    let daemon = site.spawn();
    daemon.admin();
    json(&site, &["gaps", "backfill", "--json"]);
    receiver.wait_for(all);
    eventually("the gap to be closed", || {
        json(&site, &["gaps", "--json"]).as_array().is_some_and(Vec::is_empty).then_some(())
    });
    assert!(daemon.stop().0.success());
    assert_complete(&simulator, &receiver.arrived(), FEEDS);
    site.reconcile();
}

/// What SQLite itself finds in the middle of a day ends the daemon; the store is not left as sound, so that the next
/// start looks before it uses it.
#[test]
fn damage_met_while_running_ends_the_daemon_and_the_next_start_refuses() {
    let (simulator, site) = collected("72");
    let store = site.path("state/store.db");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_checkpoint(TRUNCATE)'); \
                  b = c.execute('SELECT gzip FROM body ORDER BY length(gzip) DESC LIMIT 1').fetchone()[0]; c.close(); \
                  print(b[len(b) // 2:][:64].hex())";
    let out = std::process::Command::new("python3").args(["-c", script]).arg(&store).output();
    let hex = text(&out.expect("python3; scripts/test installs it").stdout);
    let piece: Vec<u8> =
        (0..64).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex")).collect();
    let mut bytes = Vec::new();
    std::fs::File::open(&store).and_then(|mut file| file.read_to_end(&mut bytes)).expect("read");
    let at = bytes.windows(64).position(|window| window == piece).expect("the body lies in the file");
    overwrite(&store, (at / PAGE * PAGE) as u64, &[0xA5; 4]); // leads to a page that is not there

    let _receiver = receiver_for(&site, &simulator);
    let mut daemon = site.spawn();
    let ended = eventually("the daemon to end", || daemon.child.try_wait().expect("a child"));
    let log = daemon.log();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("(L03)") && log.contains("move the store's files aside"), "{log}");
    refused(&site);
    refused(&site); // for as often as a service manager tries
}

/// What a disk does to a file.
type Spoil = fn(&Path);

/// Damage of every coarse kind after a kill: refused with the way out, which works.
#[test]
fn a_damaged_database_is_refused_and_the_way_out_brings_everything() {
    let spoils: [(&str, Spoil); 3] = [
        ("a run of pages overwritten", |store| {
            let len = std::fs::metadata(store).expect("there").len() as usize;
            for page in (1..len / PAGE).step_by(2) {
                overwrite(store, (page * PAGE) as u64, &[0xA5; 4_096]);
            }
        }),
        ("cut in half", |store| {
            let file = std::fs::File::options().write(true).open(store).expect("opened");
            file.set_len(file.metadata().expect("there").len() / 2 / PAGE as u64 * PAGE as u64).expect("cut");
        }),
        ("not a database", |store| overwrite(store, 0, &[0xA5; PAGE])),
    ];
    for (what, spoil) in spoils {
        let (simulator, site) = collected("73");
        site.tamper("INSERT INTO meta (name, value) VALUES ('open', X'01')"); // as a kill leaves it
        spoil(&site.path("state/store.db"));
        let receiver = receiver_for(&site, &simulator);
        println!("{what}: {}", refused(&site));
        move_aside(&site);
        let said = text(&site.run_once().stderr);
        assert!(said.contains("the store is new") && said.contains("cursors.shadow"), "{what}: {said}");
        receiver.wait_for(published(&simulator));
        assert_complete(&simulator, &receiver.arrived(), FEEDS);
        assert_complete(&simulator, &Arrived::from_file(&site.path("events.ndjson")), FEEDS);
        site.reconcile();
    }
}

/// SQLite takes a WAL that is no WAL for an empty one: the store stands where it was last checkpointed, positions and
/// events alike, and what came after is collected again.
#[test]
fn a_wal_of_garbage_costs_repeats_and_no_event() {
    let (simulator, site) = collected("74");
    let receiver = receiver_for(&site, &simulator);
    let daemon = site.spawn();
    simulator.post("/_sim/publish?feed=siem.receipt&count=500&age=6m");
    simulator.post("/_sim/publish?feed=audit&count=100&age=6m");
    receiver.wait_for(published(&simulator));
    drop(daemon); // SIGKILL: the newest of it lies in the WAL
    let wal = site.path("state/store.db-wal");
    let len = std::fs::metadata(&wal).expect("a WAL").len() as usize;
    assert!(len > PAGE, "{len}");
    overwrite(&wal, 0, &vec![0xA5; len]);
    site.run_once();
    assert_complete(&simulator, &receiver.arrived(), FEEDS);
    assert_complete(&simulator, &Arrived::from_file(&site.path("events.ndjson")), FEEDS);
    site.reconcile();
}
