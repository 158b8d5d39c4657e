//! SIGKILL at random moments while collecting and delivering: nothing lost, repeats only within what was not
//! yet confirmed, and every copy under the same id.

use std::time::Duration;

use crate::main_job::{ALL_FEEDS, FEEDS, file_sink, tcp_sink};
use crate::rig::{Arrived, Receiver, Simulator, Site, assert_complete, eventually};

/// The figure; each kill hits a daemon that is between starting and done.
const KILLS: u32 = 200;
/// Events per confirmed batch in this test: bounds the repeats of one kill.
const CONFIRM_EVERY: u64 = 500;

#[test]
fn two_hundred_kills_lose_nothing() {
    let simulator = Simulator::start(&[
        "--events",
        "150000",
        "--seed",
        "11",
        "--scenario",
        "no_quota",
        "--events-per-file",
        "700",
    ]);
    let receiver = Receiver::start();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    let tcp = tcp_sink(receiver.address) + &format!("confirm_every = {CONFIRM_EVERY}\n");
    site.write(&simulator.url, ALL_FEEDS, &(file_sink(&file) + &tcp));
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();

    // a secret that never worked is tried twice in a day, and a kill in the middle of a login counts as one of them: on a
    // slow machine the first two kills would close the account's gate for longer than a single run waits
    let first = site.spawn();
    receiver.wait_for(1);
    drop(first); // SIGKILL

    let mut dice = fastrand::Rng::with_seed(11);
    for _ in 0..KILLS {
        let mut daemon = site.spawn();
        // exponential-like spread: from before the store is open to well into delivery
        let life = Duration::from_millis(dice.u64(1..=8) * dice.u64(1..=60));
        let ended = wait_at_most(&mut daemon.child, life);
        assert!(ended.is_none(), "the daemon ended by itself: {ended:?}\n{}", daemon.log());
        drop(daemon); // SIGKILL
    }
    // a receiver that still reads what dead daemons sent would be too slow for a run that gives up after three tries
    let mut after_kills = 0;
    eventually("the receiver to have read what was sent", || {
        let now = receiver.arrived().distinct();
        (std::mem::replace(&mut after_kills, now) == now).then_some(())
    });
    site.run_once();
    eventually("the receiver to take what is in its socket", || {
        (receiver.arrived().distinct() >= published).then_some(())
    });
    println!("{KILLS} kills; {after_kills} of {published} events had arrived before the last start");

    let arrived = receiver.arrived();
    assert_complete(&simulator, &arrived, FEEDS);
    let bound = u64::from(KILLS + 1) * CONFIRM_EVERY;
    assert!(arrived.repeats() <= bound, "{} repeats, allowed {bound}", arrived.repeats());
    let (in_file, torn) = Arrived::from_file_after_kills(&file);
    assert_complete(&simulator, &in_file, FEEDS);
    assert!(torn <= u64::from(KILLS + 1), "{torn} torn lines: more than one a kill");
    site.reconcile();
}

/// How the child ended within `life`, if it did.
fn wait_at_most(child: &mut std::process::Child, life: Duration) -> Option<std::process::ExitStatus> {
    let deadline = std::time::Instant::now() + life;
    let (lock, signal) = (std::sync::Mutex::new(()), std::sync::Condvar::new());
    while std::time::Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let guard = lock.lock().expect("nobody else holds it");
        drop(signal.wait_timeout(guard, Duration::from_millis(1)));
    }
    None
}
