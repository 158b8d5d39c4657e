//! A disk that is really full. Needs the right to mount a small file system (root, or a user namespace).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::fixture::{assert_balanced, chunk, deliver, intake, key, options, scalar};
use super::{Options, Start, Store, ballast};
use crate::clock::{Clock, Time};
use crate::fault::Kind;

const BALLAST: u64 = 8 << 20;

/// A file system of its own, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> SmallDisk {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        let done = mount.output().unwrap();
        assert!(
            done.status.success(),
            "this test fills a disk and needs the right to mount a tmpfs; run it as root: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        SmallDisk(dir)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// A record that gzip cannot shrink.
fn noise(n: u64, len: usize) -> String {
    let mut state = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 32) as u8 % 90)
    };
    (0..len).map(|_| next()).collect()
}

fn cursor(n: u64) -> String {
    if n == 0 { String::new() } else { format!("c{n}") }
}

/// Commits chunks until the disk is full; returns how many went in.
async fn fill(store: &Store, mut n: u64) -> u64 {
    loop {
        let mut page = intake(&key("audit"), &cursor(n), &cursor(n + 1), &[noise(n, 300_000)]);
        page.collected = Time(10_000);
        match store.commit(page).await {
            Ok(_) => n += 1,
            Err(fault) => {
                assert_eq!(fault.kind, Kind::DiskFull, "{fault}");
                return n;
            }
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_ballast_lets_it_drain() {
    let disk = SmallDisk::mount("64m");
    let clock = Clock::manual(Time(10_000));
    let options = Options { ballast: BALLAST, ..options(&clock) };
    let store = Store::open(disk.path(), &options).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    assert_eq!(store.sweep().await.unwrap().ballast_bytes, BALLAST);

    let count = fill(&store, 0).await;
    assert!(count > 20, "{count}");
    assert_eq!(ballast::size(disk.path()), 0, "given back");
    assert!(store.over_limit(), "collection pauses");
    let why = store.why_full().unwrap();
    assert_eq!(
        why,
        format!("the disk that holds {} is full", store.dir().display()),
        "not the operator's limit"
    );
    assert!(store.usage().await.unwrap().disk_full);
    assert_eq!(
        store.feed(&key("audit")).await.unwrap().cursor.0,
        cursor(count),
        "the failed page left no trace"
    );
    assert_balanced(&store).await;

    // Whoever goes on collecting meets the same answer, and still nothing is lost.
    let count = fill(&store, count).await;
    deliver_all(&store, count).await;
    store.sweep().await.unwrap();
    assert!(store.over_limit(), "delivered events are kept for their retention: no room yet");

    clock.advance(Duration::from_secs(3600));
    let swept = store.sweep().await.unwrap();
    assert_eq!((swept.chunks, swept.ballast_bytes), (count, BALLAST));
    assert!(!store.over_limit(), "collection goes on");
    assert_balanced(&store).await;
    store.commit(intake(&key("audit"), &cursor(count), "next", &["after"])).await.unwrap();
    assert_eq!(deliver(&store, "siem", 10).await[0].0, "after");
    let check: String = {
        let mut tx = store.begin("check").await.unwrap();
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(tx.conn()).await.unwrap()
    };
    assert_eq!(check, "ok");
}

/// Every record once, whole, in order, with the disk as full as it is.
async fn deliver_all(store: &Store, count: u64) {
    for n in 0..count {
        let got = deliver(store, "siem", 1).await;
        assert_eq!(got.len(), 1);
        assert!(got[0].0 == noise(n, 300_000), "record {n}");
    }
    assert_eq!(store.usage().await.unwrap().bytes_used, 0);
    assert_balanced(store).await;
}

#[tokio::test]
async fn a_full_disk_survives_a_restart() {
    let disk = SmallDisk::mount("24m");
    let clock = Clock::manual(Time(10_000));
    let options = Options { ballast: 4 << 20, ..options(&clock) };
    let store = Store::open(disk.path(), &options).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.sweep().await.unwrap();
    let count = fill(&store, 0).await;
    drop(store);
    let store = Store::open(disk.path(), &options).await.unwrap();
    assert!(store.over_limit(), "still");
    assert_eq!(fill(&store, count).await, count, "collection takes none of the room");
    deliver_all(&store, count).await;
    clock.advance(Duration::from_secs(3600));
    store.sweep().await.unwrap();
    assert!(!store.over_limit());
    drop(store);
    assert!(!Store::open(disk.path(), &options).await.unwrap().over_limit());
}

/// Somebody else's log has filled the disk while nothing ran here.
#[tokio::test]
async fn a_disk_that_others_have_filled_does_not_keep_the_store_shut() {
    let disk = SmallDisk::mount("24m");
    let clock = Clock::manual(Time(10_000));
    let options = Options { ballast: 4 << 20, ..options(&clock) };
    let store = Store::open(disk.path(), &options).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.sweep().await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let log = disk.path().join("somebody-s.log");
    let mut file = std::fs::File::create(&log).unwrap();
    while std::io::Write::write_all(&mut file, &[b'x'; 4_096]).is_ok() {}
    drop(file);

    let store = Store::open(disk.path(), &options).await.unwrap();
    assert!(store.over_limit(), "collection pauses");
    assert_eq!(deliver(&store, "siem", 10).await.len(), 2, "delivery goes on");
    assert_balanced(&store).await;
    std::fs::remove_file(log).unwrap();
    store.sweep().await.unwrap();
    assert!(!store.over_limit());
    store.commit(intake(&key("audit"), "c1", "c2", &["c"])).await.unwrap();
    assert_eq!(deliver(&store, "siem", 10).await[0].0, "c");
}

#[tokio::test]
async fn staging_on_a_full_disk_leaves_nothing_behind() {
    let disk = SmallDisk::mount("16m");
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(disk.path(), &Options { ballast: 2 << 20, ..options(&clock) }).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.sweep().await.unwrap();
    let mut parts = 0;
    let fault = loop {
        match store.stage(&key("audit"), chunk(&key("audit"), &[noise(parts, 300_000)])).await {
            Ok(_) => parts += 1,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, Kind::DiskFull);
    assert_eq!(store.unstage(&key("audit")).await.unwrap(), parts, "deletes, thanks to the ballast");
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 0);
}

#[tokio::test]
async fn a_small_disk_gets_a_small_ballast() {
    let disk = SmallDisk::mount("8m");
    let store =
        Store::open(disk.path(), &Options { ballast: 64 << 20, ..options(&Clock::manual(Time(0))) }).await;
    let size = store.unwrap().sweep().await.unwrap().ballast_bytes;
    assert!((1 << 20..3 << 20).contains(&size), "{size}");
}
