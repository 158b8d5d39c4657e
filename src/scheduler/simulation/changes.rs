//! What people do to a daemon that runs: its clock is set, its configuration is read again.

use std::time::Duration;

use super::planted::Planted;
use super::world::World;
use crate::clock::Time;
use crate::mimecast::position::Position;
use crate::supervisor::backoff::{Override, Overrides, Pace};

impl World {
    /// What our clock shows.
    pub(super) fn clock(&self) -> Time {
        self.now.moved(self.skew)
    }
    /// By a clock that nobody sets.
    pub(super) fn uptime(&self) -> Duration {
        self.now.since(self.plan.start)
    }
    /// When it will be as late as that, if nobody sets our clock meanwhile: waits are slept, not looked up.
    pub(super) fn slept(&self, until: Time) -> Time {
        self.now.plus(until.since(self.clock()))
    }
    /// The waits of feeds go on; the next poll counts from what the clock shows.
    pub(super) fn set_clock(&mut self, skew: i64) {
        self.tell(|| format!("our clock is set: {} s ahead", skew / 1_000));
        self.skew = skew;
        self.server.window = (i64::MIN, 0);
        self.audit.clock_set();
        self.feeds.iter_mut().for_each(|hand| hand.cycle = None);
    }

    /// As the daemon does it for a tenant: what is under way is finished, then everything begins as after a start.
    pub(super) fn reload(&mut self) {
        if self.dead {
            return;
        }
        let feed = self.dice.usize(0..self.feeds.len());
        self.finish_what_is_under_way();
        if self.dead || self.audit.broken.is_some() {
            return;
        }
        match self.dice.u8(0..4) {
            0 | 1 => {
                self.off[feed] = !self.off[feed];
                let (name, off) = (self.feeds[feed].feed.name, self.off[feed]);
                self.tell(|| {
                    format!("the configuration changes: {name} is {}", if off { "gone" } else { "there" })
                });
                if !off && self.is(Planted::AddedFeedBeginsAnew) {
                    let first = Position::first(self.feeds[feed].feed, self.now, Duration::ZERO);
                    self.store.rows[feed].cursor = first.cursor().0;
                }
            }
            2 => {
                self.tell(|| "the configuration changes: another pause".into());
                let slow = Override {
                    status: 503,
                    code: None,
                    pause: Some(Duration::from_secs(1_200)),
                    action: None,
                    allow_harmful: false,
                };
                let chosen = if self.config.is_multiple_of(2) { vec![slow] } else { Vec::new() };
                self.pace = Pace::new(self.plan.interval, false, Overrides::new(chosen));
            }
            _ => return self.begin_again(), // the same again
        }
        self.config += 1;
        self.audit.reconfigured();
        self.begin_again();
    }

    pub(super) fn finish_what_is_under_way(&mut self) {
        for feed in 0..self.feeds.len() {
            if let Some(flight) = self.feeds[feed].flight.take() {
                let outcome = self.arrive(feed, flight);
                if self.dead || self.audit.broken.is_some() {
                    return;
                }
                self.decide(feed, outcome);
            }
        }
    }

    pub(super) fn begin_again(&mut self) {
        self.tell(|| "the configuration is read again".into());
        self.start();
    }
}
