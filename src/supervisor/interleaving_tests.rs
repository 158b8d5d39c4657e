//! 32 feeds, one secret, every order of events up to a depth: who asks, what comes back and when, what never comes
//! back, when the process dies or restarts, when a call from before the refusal is answered well late, when another
//! secret comes. Whatever the order, a wrong
//! password is sent once and a wrong client secret twice in a day, and a locked account is left alone.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use super::backoff::Pace;
use super::gate::{Gate, Permit};
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};

const FEEDS: usize = 32;
const DEPTH: usize = 12;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const LIFE: Duration = Duration::from_secs(1_800);

/// Whose secret it is, and what the other side has against it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Secret {
    signs: bool,
    status: u16,
    code: &'static str,
}

impl Secret {
    fn refusal(self, origin: Origin) -> Fault {
        let mut fault = Fault::new(origin, Kind::Status(self.status), "");
        (fault.code, fault.attributed) = (Code::new(self.code), true);
        fault
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Turn {
    /// All feeds ask; the one that may goes.
    Ask,
    /// What was sent is answered: refused.
    Refused,
    /// It never arrived.
    NotConnected,
    /// Somebody in between answered.
    Gateway,
    /// It may have arrived; nothing came back.
    Timeout,
    /// The process dies and starts again, with or without a request under way.
    Restart,
    Minute,
    /// A call from before the refusal is answered: well.
    Late,
    /// The secret's file is changed.
    Another,
    /// Time passes until the gate says it may be asked again, at most a day.
    Opening,
}

const TURNS: [Turn; 10] = [
    Turn::Ask,
    Turn::Refused,
    Turn::NotConnected,
    Turn::Gateway,
    Turn::Timeout,
    Turn::Restart,
    Turn::Minute,
    Turn::Late,
    Turn::Another,
    Turn::Opening,
];

/// One point in one order of events.
#[derive(Clone)]
struct Point {
    gate: Gate,
    now: i64,
    under_way: bool,
    /// Which secret is in the file; it is changed once.
    secret: &'static str,
    /// The token's generation of a call that was let through before the gate closed.
    late: Option<u64>,
    /// When the other side looked at the secret; `true`: and its refusal reached us.
    looks: Vec<(i64, bool)>,
}

fn moment(ms: i64) -> Moment {
    Moment { now: Time(ms), dice: 0 }
}

impl Point {
    fn new(secret: Secret) -> Self {
        let gate = Gate::new("another").signing(secret.signs);
        Point { gate, now: 0, under_way: false, secret: "another", late: None, looks: Vec::new() }
    }

    /// Two calls were let through; one was refused, the other is still under way.
    fn overtaken(secret: Secret, pace: &Pace) -> Self {
        let mut point = Point { secret: "f", ..Point::new(secret) };
        point.gate.begin_login(moment(0), "f", pace).unwrap();
        if secret.signs {
            point.gate.knock_ok("audit", Time(0), LIFE);
        } else {
            point.gate.login_ok(Time(0), LIFE);
        }
        let Permit::Go { generation } = point.gate.permit(Time(0)) else { panic!("it works") };
        point.gate.call_fault("audit", &secret.refusal(Origin::Api), generation, moment(0), pace);
        Point { late: Some(generation), looks: vec![(0, true)], ..point }
    }

    /// The point after `turn`; `None` where it cannot happen.
    fn after(&self, turn: Turn, secret: Secret, pace: &Pace) -> Option<Point> {
        let mut next = self.clone();
        match turn {
            Turn::Ask if !self.under_way => next.ask(pace),
            Turn::Ask => return None,
            Turn::Refused | Turn::NotConnected | Turn::Gateway | Turn::Timeout if self.under_way => {
                next.answer(turn, secret, pace);
            }
            Turn::Refused | Turn::NotConnected | Turn::Gateway | Turn::Timeout => return None,
            Turn::Restart => {
                if self.under_way {
                    next.looks.push((self.now, false));
                }
                (next.under_way, next.late) = (false, None);
                next.gate = Gate::restore(&self.gate.to_text(), moment(self.now), pace).unwrap();
            }
            // an answer that takes longer than its request may last does not come
            Turn::Minute | Turn::Opening if self.under_way => return None,
            Turn::Minute => next.now += MINUTE,
            Turn::Late => _ = next.gate.call_ok("audit", next.late.take()?),
            Turn::Another if next.secret == "another" => return None,
            Turn::Another => {
                next.secret = "another";
                next.gate.offer(next.secret);
            }
            Turn::Opening => {
                let until = self.gate.holding()?.until.map_or(self.now + DAY, |until| until.0);
                next.now = until.clamp(self.now + 1, self.now + DAY);
            }
        }
        Some(next)
    }

    fn ask(&mut self, pace: &Pace) {
        for _ in 0..FEEDS {
            if let Permit::Login = self.gate.permit(Time(self.now))
                && self.gate.begin_login(moment(self.now), self.secret, pace).is_ok()
            {
                assert!(!self.under_way, "two feeds at once");
                self.under_way = true;
            }
        }
    }

    fn answer(&mut self, turn: Turn, secret: Secret, pace: &Pace) {
        let origin = if secret.signs { Origin::Api } else { Origin::Token };
        let kind = match turn {
            Turn::NotConnected => Kind::Connect,
            Turn::Gateway => Kind::Html,
            Turn::Timeout => Kind::Timeout,
            _ => Kind::Timeout,
        };
        let mut fault = Fault::new(origin, kind, "");
        if turn == Turn::Refused {
            fault = secret.refusal(origin);
            self.looks.push((self.now, true));
        }
        if turn == Turn::Timeout {
            self.looks.push((self.now, false));
        }
        if secret.signs {
            self.gate.knock_fault("audit", &fault, LIFE, moment(self.now), pace);
        } else {
            self.gate.login_fault(&fault, moment(self.now), pace);
        }
        self.under_way = false;
    }

    /// Closed for good: years of asking and restarting bring no request. Nothing else has to be looked at.
    fn is_final(&self, pace: &Pace) -> bool {
        let halted = self.gate.holding().is_some_and(|closed| closed.until.is_none()) && !self.under_way;
        if halted {
            let mut later = self.clone();
            later.now += 400 * DAY;
            later.gate = Gate::restore(&later.gate.to_text(), moment(later.now), pace).unwrap();
            later.ask(pace);
            assert!(!later.under_way, "a halt without a probe was left: {}", later.gate.to_text());
        }
        halted
    }

    /// What tells this point from others.
    fn mark(&self) -> impl Eq + Hash + use<> {
        let open = (self.under_way, self.late, self.secret);
        (self.gate.to_text(), self.now, open, self.looks.clone())
    }
}

/// Visits every order of events; `check` sees the looks of each point. Returns how many points there are.
fn exhaust(secret: Secret, check: impl Fn(&[(i64, bool)])) -> usize {
    exhaust_from(Point::new(secret), secret, DEPTH, check)
}

fn exhaust_from(start: Point, secret: Secret, depth: usize, check: impl Fn(&[(i64, bool)])) -> usize {
    let pace = Pace::default();
    let (mut level, mut seen) = (vec![start], HashSet::new());
    for _ in 0..depth {
        let mut following = Vec::new();
        for point in &level {
            for next in TURNS.iter().filter_map(|turn| point.after(*turn, secret, &pace)) {
                if seen.insert(next.mark()) {
                    check(&next.looks);
                    if !next.is_final(&pace) {
                        following.push(next);
                    }
                }
            }
        }
        level = following;
    }
    seen.len()
}

/// Refusals we heard of, in any span of a day that begins with one.
fn heard_in_a_day(looks: &[(i64, bool)]) -> usize {
    let heard: Vec<i64> = looks.iter().filter(|look| look.1).map(|look| look.0).collect();
    let day = |from: i64| heard.iter().filter(|at| (from..from + DAY).contains(*at)).count();
    heard.iter().map(|from| day(*from)).max().unwrap_or(0)
}

#[test]
fn a_wrong_password_is_sent_once_by_32_feeds() {
    for (status, code) in [(401, "0003"), (401, "0004")] {
        let points = exhaust(Secret { signs: true, status, code }, |looks| {
            assert!(looks.iter().filter(|look| look.1).count() <= 1, "{status}/{code}: {looks:?}");
        });
        assert!(points > 1_000, "{points}");
    }
}

#[test]
fn a_wrong_client_secret_is_sent_twice_a_day_by_32_feeds() {
    for code in ["invalid_client", "brand_new"] {
        let points = exhaust(Secret { signs: false, status: 401, code }, |looks| {
            assert!(heard_in_a_day(looks) <= 2, "{code}: {looks:?}");
            assert!(looks.iter().filter(|look| look.1).count() <= 3, "{code}: {looks:?}");
        });
        assert!(points > 1_000, "{points}");
    }
}

/// Requests whose answer never came count as well: with the refusals, two in any hour.
#[test]
fn what_is_never_answered_does_not_become_a_flood() {
    for signs in [true, false] {
        let unheard = std::cell::Cell::new(0);
        let points = exhaust(Secret { signs, status: 401, code: "0003" }, |looks| {
            unheard.set(unheard.get().max(looks.iter().filter(|look| !look.1).count()));
            let hour =
                |from: i64| looks.iter().filter(|(at, _)| (from..from + 60 * MINUTE).contains(at)).count();
            let most = looks.iter().map(|(at, _)| hour(*at)).max().unwrap_or(0);
            assert!(most <= 2, "signs {signs}: {looks:?}");
        });
        assert!(points > 1_000 && unheard.get() > 1, "{points} points, {} unheard at most", unheard.get());
    }
}

#[test]
fn a_locked_account_is_left_alone_by_32_feeds() {
    for signs in [true, false] {
        let points = exhaust(Secret { signs, status: 401, code: "0010" }, |looks| {
            for pair in looks.windows(2).filter(|pair| pair[0].1) {
                assert!(pair[1].0 - pair[0].0 >= 31 * MINUTE, "signs {signs}: {looks:?}");
            }
        });
        assert!(points > 500, "{points}");
    }
}

/// A call from before the lock that is answered well, and another secret during it: neither ends the lock.
#[test]
fn a_late_success_does_not_open_a_locked_account() {
    for signs in [true, false] {
        let secret = Secret { signs, status: 401, code: "0010" };
        let start = Point::overtaken(secret, &Pace::default());
        let points = exhaust_from(start, secret, DEPTH / 2, |looks| {
            for pair in looks.windows(2).filter(|pair| pair[0].1) {
                assert!(pair[1].0 - pair[0].0 >= 31 * MINUTE, "signs {signs}: {looks:?}");
            }
        });
        assert!(points > 500, "{points}");
    }
}
