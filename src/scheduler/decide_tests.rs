//! Single stories of [`decide`], one for each thing that is easy to get wrong.

use std::time::Duration;

use super::decide::{By, Decision, Leads, Outcome, State, Step, Why, decide};
use super::state::Rest;
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::MAX_SIDE_REQUESTS;
use crate::supervisor::backoff::{Overrides, Pace};

/// A feed whose story is told outcome by outcome.
pub(super) struct Feed {
    pub pace: Pace,
    pub state: State,
    pub now: Time,
    last: Option<Decision>,
}

impl Feed {
    fn new() -> Self {
        let pace = Pace::new(Duration::from_secs(300), false, Overrides::default());
        Feed { pace, state: State::default(), now: Time(0), last: None }
    }
    /// In the middle of its first cycle, just before the first answer.
    pub fn asking() -> Self {
        let mut feed = Feed::new();
        feed.hears(Outcome::Ready);
        assert_eq!(feed.hears(Outcome::Ready), Step::Ask);
        feed
    }
    pub fn hears(&mut self, outcome: Outcome) -> Step {
        let at = Moment { now: self.now, dice: 0 };
        let decision = decide(self.state.clone(), outcome, at, &self.pace);
        self.state = decision.state.clone();
        let step = decision.step;
        self.last = Some(decision);
        step
    }
    pub fn fails(&mut self, origin: Origin, kind: Kind, code: &str) -> Step {
        let mut fault = Fault::new(origin, kind, "same words");
        (fault.code, fault.attributed) = (Code::new(code), true);
        self.hears(Outcome::Fault(fault))
    }
    /// Lets the wait or the probe pass.
    pub fn waits(&mut self) -> Step {
        self.now = self.state.next().expect("a time to wait for").max(self.now);
        self.hears(Outcome::Ready)
    }
    pub fn rule(&self) -> &'static str {
        self.last.as_ref().and_then(|decision| decision.rule).map_or("", |rule| rule.id)
    }
}

pub(super) fn listed(files: u16, leads: Leads, caught_up: bool) -> Outcome {
    Outcome::Listed { files, leads, caught_up }
}
pub(super) fn poll(secs: i64) -> Step {
    Step::Wait { until: Time::from_secs(secs), why: Why::Poll }
}

#[test]
fn a_cycle_ends_one_interval_after_it_began() {
    let mut feed = Feed::asking();
    assert_eq!(feed.hears(listed(2, Leads::Forward, true)), Step::Take { file: 0 });
    feed.now = Time::from_secs(100);
    assert_eq!(feed.hears(Outcome::Took), Step::Take { file: 1 });
    assert_eq!(feed.hears(Outcome::Took), Step::Turn);
    assert_eq!(feed.state.name(), "collecting");
    assert_eq!(feed.hears(Outcome::Turned), Step::Aside);
    assert_eq!(feed.state.name(), "caught_up");
    assert_eq!(feed.hears(Outcome::Nothing), poll(300));
    assert_eq!(feed.state.name(), "caught_up");
    assert_eq!(feed.waits(), Step::Ask);
}

#[test]
fn first_polls_are_spread_unless_the_tenant_is_a_simulator() {
    let spread = |loopback, dice| {
        let pace = Pace::new(Duration::from_secs(300), loopback, Overrides::default());
        decide(State::default(), Outcome::Ready, Moment { now: Time(0), dice }, &pace).step
    };
    assert_eq!(spread(false, 29_999), Step::Wait { until: Time(29_999), why: Why::Spread });
    assert_eq!(spread(true, 29_999), Step::Ask);
}

#[test]
fn an_expired_link_is_asked_for_again_three_times_and_then_in_the_next_cycle() {
    let mut feed = Feed::asking();
    feed.hears(listed(3, Leads::Forward, false));
    feed.hears(Outcome::Took);
    for _ in 0..3 {
        assert_eq!(feed.fails(Origin::Download, Kind::Status(403), "RequestExpired"), Step::Ask);
        assert_eq!(feed.rule(), "X17");
        assert_eq!(feed.hears(listed(2, Leads::Forward, false)), Step::Take { file: 0 });
    }
    let step = feed.fails(Origin::Download, Kind::Status(403), "RequestExpired");
    assert_eq!(step, Step::Wait { until: Time::from_secs(300), why: Why::Backoff });
}

#[test]
fn a_damaged_file_is_given_up_after_half_an_hour_of_the_same_damage() {
    let mut feed = Feed::asking();
    let mut tries = 0;
    let mut step = feed.hears(listed(2, Leads::Forward, true));
    while step != (Step::GiveUp { file: 0 }) {
        step = match step {
            Step::Take { .. } => {
                tries += 1;
                feed.fails(Origin::Download, Kind::GzipCorrupt, "")
            }
            Step::Ask => feed.hears(listed(2, Leads::Forward, true)),
            _ => feed.waits(),
        };
        assert!(feed.now < Time::from_secs(2_400), "never given up");
    }
    assert!(feed.now >= Time::from_secs(1_800), "given up after {} s", feed.now.secs());
    assert!(tries >= 3);
    assert_eq!(feed.hears(Outcome::GaveUp), Step::Take { file: 1 });
}

#[test]
fn other_damage_starts_the_count_again() {
    let mut feed = Feed::asking();
    for round in 0..20 {
        let mut step = feed.hears(listed(1, Leads::Forward, true));
        while let Step::Take { .. } = step {
            let words = format!("hash {round}");
            step = feed.hears(Outcome::Fault(Fault::new(Origin::Download, Kind::GzipCorrupt, words)));
            if let Step::Wait { .. } = step {
                step = feed.waits();
            }
        }
        assert_eq!(step, Step::Ask);
    }
}

#[test]
fn a_bomb_is_given_up_at_once_and_a_foreign_link_never() {
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Forward, true));
    assert_eq!(feed.fails(Origin::Download, Kind::Bomb, ""), Step::GiveUp { file: 0 });
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Forward, true));
    assert_eq!(
        feed.fails(Origin::Download, Kind::LinkRefused, ""),
        Step::Hold { probe: Some(Time::from_secs(300)) }
    );
    assert_eq!(feed.state.name(), "halted");
}

#[test]
fn stop_rules() {
    // Files and the same token: process them, then stop; without "caught up" it is a loop.
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Same, false));
    assert_eq!(feed.hears(Outcome::Took), poll(300));
    assert_eq!((feed.rule(), feed.state.name()), ("X11", "collecting"));
    // No files and the same token, or no token: nothing new.
    for leads in [Leads::Same, Leads::Missing] {
        let mut feed = Feed::asking();
        assert_eq!(feed.hears(listed(0, leads, false)), Step::Aside);
        assert_eq!(feed.hears(Outcome::Nothing), poll(300));
        assert_eq!((feed.rule(), feed.state.name()), ("", "caught_up"));
    }
    // Caught up with files: process them first.
    let mut feed = Feed::asking();
    assert_eq!(feed.hears(listed(1, Leads::Missing, true)), Step::Take { file: 0 });
    assert_eq!(feed.hears(Outcome::Took), Step::Aside);
    assert_eq!(feed.state.name(), "caught_up");
    // The token moved although nothing came: keep it.
    let mut feed = Feed::asking();
    assert_eq!(feed.hears(listed(0, Leads::Forward, true)), Step::Turn);
}

#[test]
fn ten_empty_pages_end_the_cycle_with_the_position_kept() {
    let mut feed = Feed::asking();
    for page in 1..=10 {
        assert_eq!(feed.hears(listed(0, Leads::Forward, false)), Step::Turn);
        let step = feed.hears(Outcome::Turned);
        assert_eq!(step, if page < 10 { Step::Ask } else { poll(300) });
    }
    assert_eq!(feed.rule(), "X12");
}

#[test]
fn a_fresh_token_once_then_patience() {
    let mut feed = Feed::asking();
    assert_eq!(feed.fails(Origin::Api, Kind::Status(401), "token_expired"), Step::Refresh);
    assert_eq!(feed.hears(Outcome::Refreshed), Step::Ask);
    let step = feed.fails(Origin::Api, Kind::Status(401), "token_expired");
    assert_eq!(step, Step::Wait { until: Time::from_secs(300), why: Why::Backoff });
}

#[test]
fn what_is_said_about_the_credential_waits_for_the_gate() {
    for code in ["0003", "0010", "0012"] {
        let mut feed = Feed::asking();
        assert_eq!(feed.fails(Origin::Api, Kind::Status(401), code), Step::AwaitGate);
        // A gate that opens at once does not make a second call in the same cycle.
        assert_eq!(feed.hears(Outcome::Ready), Step::AwaitGate);
        feed.now = Time::from_secs(300);
        assert_eq!(feed.hears(Outcome::Ready), Step::Ask);
    }
    let mut feed = Feed::asking();
    feed.hears(Outcome::Shut { until: Some(Time(9)), by: By::Gate });
    assert_eq!(feed.state.name(), "paused");
    feed.hears(Outcome::Shut { until: None, by: By::Gate });
    assert_eq!(feed.state.name(), "halted");
}

#[test]
fn a_quota_without_a_time_does_not_spin() {
    let mut feed = Feed::asking();
    let step = feed.hears(Outcome::Shut { until: Some(Time(0)), by: By::Quota });
    assert_eq!(step, Step::Wait { until: Time(1_000), why: Why::Throttled });
    assert_eq!(feed.state.name(), "throttled");
    assert_eq!(feed.waits(), Step::Ask);
}

#[test]
fn transport_faults_are_tried_twice_within_seconds() {
    let mut feed = Feed::asking();
    for _ in 0..2 {
        let Step::Wait { until, why: Why::Backoff } = feed.fails(Origin::Api, Kind::Interrupted, "") else {
            panic!()
        };
        assert!(until < feed.now.plus(Duration::from_secs(31)));
        assert_eq!(feed.waits(), Step::Ask);
    }
    let Step::Wait { until, .. } = feed.fails(Origin::Api, Kind::Interrupted, "") else { panic!() };
    assert!(until >= Time::from_secs(300));
}

#[test]
fn a_refused_position_is_left_once() {
    let mut feed = Feed::asking();
    assert_eq!(feed.fails(Origin::Api, Kind::Status(400), ""), Step::Rewind);
    assert_eq!(feed.hears(Outcome::Rewound), Step::Ask);
    assert_eq!(
        feed.fails(Origin::Api, Kind::Status(400), ""),
        Step::Hold { probe: Some(Time::from_secs(86_400)) }
    );
    assert_eq!(feed.hears(Outcome::Woken), Step::Ask);
    assert_eq!(
        feed.fails(Origin::Api, Kind::Status(400), ""),
        Step::Rewind,
        "resume gives it another chance"
    );
}

#[test]
fn pages_shrink_down_to_a_limit() {
    let mut feed = Feed::asking();
    let mut sizes = Vec::new();
    while let Step::Wait { .. } = feed.fails(Origin::Api, Kind::Status(413), "") {
        sizes.push(feed.state.page_size(500));
        feed.waits();
    }
    assert_eq!(sizes, [250, 125, 62, 31, 15]);
    assert_eq!(feed.state.name(), "halted");
}

#[test]
fn a_full_disk_keeps_the_page_in_hand() {
    let mut feed = Feed::asking();
    feed.hears(listed(2, Leads::Forward, true));
    feed.hears(Outcome::Took);
    feed.fails(Origin::Local, Kind::DiskFull, "");
    assert_eq!(feed.state.name(), "paused");
    assert_eq!(feed.waits(), Step::Take { file: 1 });
}

#[test]
fn a_busy_store_ends_the_process_after_five_tries() {
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Forward, true));
    for _ in 0..5 {
        assert!(matches!(feed.fails(Origin::Local, Kind::Busy, ""), Step::Wait { .. }));
        assert_eq!(feed.waits(), Step::Take { file: 0 });
    }
    assert_eq!((feed.fails(Origin::Local, Kind::Busy, ""), feed.rule()), (Step::Stop, "L04"));
}

#[test]
fn halts_and_waits_survive_a_restart() {
    let mut feed = Feed::asking();
    feed.fails(Origin::Api, Kind::Status(403), "app_forbidden");
    let mut again = State::restore(&feed.state.to_text()).unwrap();
    let at = |secs| Moment { now: Time::from_secs(secs), dice: 0 };
    let decision = decide(again.clone(), Outcome::Ready, at(10), &feed.pace);
    assert_eq!(
        (decision.step, decision.state.name()),
        (Step::Hold { probe: Some(Time::from_secs(3_600)) }, "halted")
    );
    again = decision.state;
    assert_eq!(decide(again, Outcome::Ready, at(3_600), &feed.pace).step, Step::Ask);

    let mut feed = Feed::asking();
    feed.fails(Origin::Api, Kind::Status(500), "");
    let again = State::restore(&feed.state.to_text()).unwrap();
    let decision = decide(again, Outcome::Ready, at(10), &feed.pace);
    assert_eq!(decision.step, Step::Wait { until: Time::from_secs(300), why: Why::Backoff });
    assert_eq!(decision.state.failures(), 1);
    assert!(State::restore("{}").is_none());
}

#[test]
fn stopping_stops_from_everywhere() {
    let mut feed = Feed::asking();
    assert_eq!(feed.hears(Outcome::Stopping), Step::Stop);
    assert_eq!(feed.hears(Outcome::Ready), Step::Stop);
}

#[test]
fn a_file_refused_under_every_fresh_link_for_a_day_is_given_up_and_the_next_one_taken() {
    let mut feed = Feed::asking();
    let mut step = feed.hears(listed(2, Leads::Forward, true));
    let mut tries = 0;
    while step != (Step::GiveUp { file: 0 }) {
        step = match step {
            Step::Take { .. } => {
                tries += 1;
                feed.fails(Origin::Download, Kind::Status(403), "AccessDenied")
            }
            Step::Ask => feed.hears(listed(2, Leads::Forward, true)),
            _ => feed.waits(),
        };
        assert!(feed.now < Time::from_secs(100_000), "never given up");
    }
    assert!(feed.now >= Time::from_secs(86_400), "given up after {} s", feed.now.secs());
    assert!(tries >= 24, "{tries} tries");
    assert_eq!((feed.rule(), feed.hears(Outcome::GaveUp)), ("X17", Step::Take { file: 1 }));
}

#[test]
fn a_page_that_fails_for_hours_is_asked_for_in_halves_and_never_given_up() {
    let mut feed = Feed::asking();
    let mut halved = None;
    for _ in 0..60 {
        feed.fails(Origin::Api, Kind::Status(500), "");
        if feed.state.page_size(100) < 100 {
            halved = halved.or(Some(feed.now.secs()));
        }
        assert_eq!(feed.waits(), Step::Ask);
    }
    assert!((7_200..9_100).contains(&halved.unwrap()), "halved after {halved:?} s");
    assert_eq!(feed.state.page_size(100), crate::limits::MIN_PAGE_SIZE);
}

#[test]
fn a_reduced_page_size_grows_again_after_good_pages() {
    let mut feed = Feed::asking();
    for _ in 0..2 {
        feed.fails(Origin::Api, Kind::Status(413), "");
        feed.waits();
    }
    assert_eq!(feed.state.page_size(100), 25);
    let mut sizes = Vec::new();
    for _ in 0..2 * crate::limits::PAGES_BEFORE_GROWING {
        feed.hears(Outcome::Stored { records: 5, leads: Leads::Forward, caught_up: false });
        sizes.push(feed.state.page_size(100));
    }
    let grown: Vec<_> = [25, 50, 100].map(|size| sizes.iter().filter(|known| **known == size).count()).into();
    assert_eq!(grown, [7, 8, 1]);
}

/// Side work comes after what happens now, page by page, and is bounded in each cycle.
#[test]
fn side_work_has_its_turn_and_no_more() {
    let mut feed = Feed::asking();
    let mut step = feed.hears(Outcome::Stored { records: 3, leads: Leads::Forward, caught_up: true });
    let mut asked = 0;
    while step == Step::Aside {
        asked += 1;
        assert_eq!(feed.state.name(), "caught_up");
        step = feed.hears(Outcome::Stored { records: 500, leads: Leads::Forward, caught_up: false });
    }
    assert_eq!((asked, step), (MAX_SIDE_REQUESTS, poll(300)));
    assert_eq!(feed.waits(), Step::Ask, "the next poll comes first");
}

/// What the service says about a sweep or a backfill neither halts the feed nor moves its position.
#[test]
fn a_fault_of_side_work_does_not_keep_the_feed() {
    let refusals = [
        (Kind::Status(400), ""),
        (Kind::Status(400), "validation_error"),
        (Kind::Status(403), "app_forbidden"),
    ];
    for (kind, code) in refusals {
        let mut feed = Feed::asking();
        feed.hears(listed(0, Leads::Same, true));
        assert_eq!(feed.fails(Origin::Api, kind, code), poll(300), "{kind:?} {code}");
        assert_eq!(feed.state.name(), "caught_up", "{kind:?} {code}");
        assert_eq!(feed.waits(), Step::Ask);
    }
}

/// A wait written down by a clock that was a year ahead ends when it would have ended.
#[test]
fn a_wait_does_not_outlast_a_clock_that_was_wrong() {
    let year = Duration::from_secs(365 * 86_400);
    let mut feed = Feed::asking();
    feed.now = Time(0).plus(year);
    feed.fails(Origin::Api, Kind::Status(429), "");
    let until = feed.state.next().expect("a wait");
    assert!(until > Time(0).plus(year));
    let state = State::restore(&feed.state.to_text()).expect("a state").set_back(year);
    assert_eq!(state.next(), Some(until.minus(year)));
    let at = |now| Moment { now, dice: 0 };
    let early = decide(state.clone(), Outcome::Ready, at(Time(0)), &feed.pace).step;
    assert!(matches!(early, Step::Wait { .. }), "{early:?}: the wait itself is kept");
    assert_eq!(decide(state, Outcome::Ready, at(until.minus(year)), &feed.pace).step, Step::Ask);
}

/// A process that is killed right after an empty-page storm leaves a planned poll behind.
#[test]
fn a_single_run_asks_although_the_next_poll_was_planned_for_later() {
    let planned =
        |why| State { rest: Rest::Wait { until: Time::from_secs(1 << 33), why }, ..State::default() };
    for (why, waits) in
        [(Why::Poll, false), (Why::Spread, false), (Why::Backoff, true), (Why::Throttled, true)]
    {
        let state = State::restore(&planned(why).to_text()).expect("a state").due_now();
        let moment = Moment { now: Time::from_secs(1_767_259_800), dice: 0 };
        let pace = Pace { spread: Duration::ZERO, ..Pace::default() };
        let step = decide(state, Outcome::Ready, moment, &pace).step;
        assert_eq!(matches!(step, Step::Wait { .. }), waits, "{why:?}: {step:?}");
    }
}

/// A disk on which no answer fits is found full by an answer: to look every ten seconds would fetch it every ten seconds.
#[test]
fn l01_an_answer_that_does_not_fit_costs_one_request_a_poll() {
    let mut feed = Feed::asking();
    let full = Fault::new(Origin::Local, Kind::DiskFull, "no room");
    let soon = Step::Wait { until: Time::from_secs(10), why: Why::Paused };
    assert_eq!(feed.hears(Outcome::Fault(full.clone())), soon, "the store has no room: nothing was asked");
    let found = Fault { sent_id: Some("an id".into()), ..full };
    for poll in 1..4 {
        assert_eq!(feed.waits(), Step::Ask);
        feed.now = feed.now.plus(Duration::from_secs(7));
        let step = feed.hears(Outcome::Fault(found.clone()));
        let next = if poll == 1 { 300 } else { feed.now.secs() - 7 + 300 };
        assert_eq!(step, Step::Wait { until: Time::from_secs(next), why: Why::Paused });
        assert_eq!((feed.rule(), feed.state.name()), ("L01", "paused"));
    }
}

#[test]
fn a_process_that_is_started_again_and_again_asks_once_an_interval() {
    let floor = Duration::from_secs(300);
    let saved = Feed::asking().state.to_text();
    let again = |now: i64| {
        let now = Time::from_secs(now);
        State::restore(&saved).unwrap().not_again_within(floor, now)
    };
    let soon = again(30);
    assert!(soon.just_asked());
    assert_eq!(soon.next(), Some(Time::from_secs(300)));
    let late = again(300);
    assert_eq!((late.just_asked(), late.next(), late.cycle), (false, None, None), "as after a first start");
    let ahead = again(-90_000);
    assert_eq!(ahead.next(), Some(Time::from_secs(-90_000 + 300)), "a clock that was set back");
    let held = State { rest: Rest::Held { probe: None }, ..Feed::asking().state };
    assert_eq!(held.clone().not_again_within(floor, Time(0)), held, "waits for other reasons stay");
}
