//! What one seed stands for: how big the tenant is, how long its story, and what happens in it.

use std::time::Duration;

use super::weather::{self, Episode};
use crate::clock::Time;
use crate::mimecast::catalogue::find;
use crate::mimecast::feed::Feed;

const DAY: u64 = 86_400;
const START: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const FEEDS: [&str; 5] = ["siem.receipt", "audit", "siem.process", "ttp.url", "siem.av"];

/// One story, not yet told.
pub struct Plan {
    pub feeds: Vec<&'static Feed>,
    pub sinks: usize,
    pub interval: Duration,
    pub start: Time,
    /// Faults end.
    pub calm: Time,
    /// The story ends.
    pub end: Time,
    /// Between two events of one log, seconds, on average.
    pub happens_every: u64,
    /// Between two deaths of the process, on average; `None`: it lives.
    pub dies_every: Option<u64>,
    /// Of a thousand logins.
    pub death_in_login: u32,
    /// Between two looks of a person, seconds, on average.
    pub person_every: u64,
    /// Mimecast's password changes, and some time later ours.
    pub secret: Option<(Time, Time)>,
    pub room: usize,
    pub episodes: Vec<Episode>,
    /// When our clock is set, and by how many milliseconds it is wrong from then on.
    pub clock: Vec<(Time, i64)>,
    /// Between two reloads of the configuration, seconds, on average; `None`: there are none.
    pub reloads_every: Option<u64>,
}

/// In one story of three our clock is set now and then, most often while something is wrong; in the end it is right.
fn clock(dice: &mut fastrand::Rng, episodes: &[Episode], calm: Time) -> Vec<(Time, i64)> {
    if dice.u8(0..3) != 0 {
        return Vec::new();
    }
    let mut steps: Vec<(Time, i64)> = Vec::new();
    for _ in 0..dice.u8(1..4) {
        let episode = &episodes[dice.usize(0..episodes.len())];
        let at = episode.from.plus(Duration::from_secs(dice.u64(0..9_000))).min(calm);
        let seconds = [90, 600, 10_800, 172_800, 34_560_000][dice.usize(0..5)];
        steps.push((at, if dice.bool() { seconds * 1_000 } else { -seconds * 1_000 }));
    }
    steps.push((calm, 0));
    steps
}

impl Plan {
    pub fn of(seed: u64) -> (Plan, fastrand::Rng) {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let storm = dice.u64(2..12) * DAY;
        let feeds = dice.usize(1..FEEDS.len());
        let first = dice.usize(0..FEEDS.len());
        let calm = START.plus(Duration::from_secs(storm));
        let episodes = weather::draw(&mut dice, START, calm, feeds);
        let feeds = (0..feeds).filter_map(|n| find(FEEDS[(first + n) % FEEDS.len()])).collect();
        let changed = START.plus(Duration::from_secs(dice.u64(0..storm)));
        let followed = changed.plus(Duration::from_secs(dice.u64(3_600..4 * DAY))).min(calm);
        let deadly = dice.u8(0..4) == 0;
        let plan = Plan {
            feeds,
            sinks: dice.usize(1..4),
            interval: Duration::from_secs([300, 300, 900, 3_600][dice.usize(0..4)]),
            start: START,
            calm,
            end: calm.plus(Duration::from_secs(3 * DAY)),
            happens_every: [300, 1_200, 3_600, 10_000, 40_000][dice.usize(0..5)],
            dies_every: [None, Some(DAY), Some(7_200), Some(1_200), Some(400)][dice.usize(0..5)],
            death_in_login: if deadly { 600 } else { 5 },
            person_every: [DAY, 3 * DAY, 30 * DAY][dice.usize(0..3)],
            secret: (dice.u8(0..3) == 0).then_some((changed, followed)),
            room: [40, 2_000, 1_000_000][dice.usize(0..3)],
            clock: clock(&mut dice, &episodes, calm),
            reloads_every: [None, None, Some(4 * DAY), Some(DAY), Some(7_200)][dice.usize(0..5)],
            episodes,
        };
        (plan, dice)
    }
}
