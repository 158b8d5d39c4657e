//! The edges of each condition in [`decide`]: what is so at the last moment, and no longer a moment later.

use std::time::Duration;

use super::decide::{By, Leads, Outcome, State, Step, Why, decide};
use super::decide_tests::{Feed, listed, poll};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind, Origin};

const DAY: i64 = 86_400;

fn stored(records: u64, leads: Leads, caught_up: bool) -> Outcome {
    Outcome::Stored { records, leads, caught_up }
}

/// Whatever comes of a side request that leads nowhere, the cycle ends with it; a listing leaves room for the next.
#[test]
fn side_work_that_leads_nowhere_ends() {
    for leads in [Leads::Same, Leads::Missing] {
        let mut feed = Feed::asking();
        assert_eq!(feed.hears(stored(3, Leads::Forward, true)), Step::Aside);
        assert_eq!(feed.hears(stored(3, leads, true)), poll(300));
        let mut feed = Feed::asking();
        assert_eq!(feed.hears(listed(0, Leads::Same, true)), Step::Aside);
        assert_eq!(feed.hears(listed(0, leads, true)), Step::Aside);
    }
}

/// A cycle that ends before the feed is up to date says nothing about the position that was given up in it.
#[test]
fn only_a_feed_that_is_up_to_date_may_give_up_its_position_again() {
    let ten_empty_pages = |feed: &mut Feed| {
        for _ in 0..9 {
            assert_eq!(feed.hears(stored(0, Leads::Forward, false)), Step::Ask);
        }
        assert!(matches!(feed.hears(stored(0, Leads::Forward, false)), Step::Wait { why: Why::Poll, .. }));
        assert_eq!(feed.waits(), Step::Ask);
    };
    let mut feed = Feed::asking();
    ten_empty_pages(&mut feed);
    assert_eq!(feed.fails(Origin::Api, Kind::Status(400), ""), Step::Rewind);
    feed.hears(Outcome::Rewound);
    ten_empty_pages(&mut feed);
    assert!(matches!(feed.fails(Origin::Api, Kind::Status(400), ""), Step::Hold { .. }));
    let mut feed = Feed::asking();
    feed.fails(Origin::Api, Kind::Status(400), "");
    feed.hears(Outcome::Rewound);
    feed.hears(stored(1, Leads::Forward, true));
    feed.hears(Outcome::Nothing);
    feed.waits();
    assert_eq!(feed.fails(Origin::Api, Kind::Status(400), ""), Step::Rewind);
}

/// A position that is too old may be moved once in every cycle, and is never a reason to stop.
#[test]
fn a_position_beyond_retention_is_moved_once_in_a_cycle() {
    let mut feed = Feed::asking();
    for _ in 0..3 {
        assert_eq!(feed.fails(Origin::Local, Kind::BeyondRetention, ""), Step::Rewind);
        assert_eq!(feed.hears(Outcome::Rewound), Step::Ask);
        assert!(matches!(feed.fails(Origin::Local, Kind::BeyondRetention, ""), Step::Wait { .. }));
        assert_eq!(feed.waits(), Step::Ask);
    }
}

#[test]
fn a_probe_is_due_at_its_time_after_a_restart_too() {
    let mut feed = Feed::asking();
    feed.fails(Origin::Api, Kind::Status(403), "app_forbidden");
    let Some(probe) = feed.state.next() else { panic!() };
    let at = |now| {
        let state = State::restore(&feed.state.to_text()).unwrap();
        decide(state, Outcome::Ready, Moment { now, dice: 0 }, &feed.pace).step
    };
    assert_eq!(at(Time(probe.0 - 1)), Step::Hold { probe: Some(probe) });
    assert_eq!(at(probe), Step::Ask);
}

#[test]
fn a_gate_that_opens_when_the_next_poll_is_due_lets_it_go() {
    for (now, step) in [(299_999, Step::AwaitGate), (300_000, Step::Ask), (900_000, Step::Ask)] {
        let mut feed = Feed::asking();
        assert_eq!(feed.fails(Origin::Api, Kind::Status(401), "0010"), Step::AwaitGate);
        feed.now = Time(now);
        assert_eq!(feed.hears(Outcome::Ready), step, "{now}");
    }
}

/// Seconds until a file that is refused under every link is given up.
fn given_up(feed: &mut Feed, mut step: Step) -> i64 {
    while !matches!(step, Step::GiveUp { .. }) {
        step = match step {
            Step::Take { .. } => feed.fails(Origin::Download, Kind::Status(403), "AccessDenied"),
            Step::Ask => feed.hears(listed(1, Leads::Forward, true)),
            _ => feed.waits(),
        };
        assert!(feed.now < Time::from_secs(5 * DAY), "never given up");
    }
    feed.now.secs()
}

/// What was found up to date in between begins the patience anew, with the position's files as with the side's.
#[test]
fn patience_with_a_file_begins_anew_after_progress() {
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Forward, true));
    assert_eq!(feed.fails(Origin::Download, Kind::Status(403), "AccessDenied"), Step::Ask);
    assert_eq!(feed.hears(listed(0, Leads::Same, true)), Step::Aside);
    feed.hears(Outcome::Nothing);
    feed.now = Time::from_secs(DAY);
    let step = feed.hears(Outcome::Ready);
    assert!(given_up(&mut feed, step) >= 2 * DAY);

    let side_file = |progress: bool| {
        let mut feed = Feed::asking();
        feed.hears(listed(0, Leads::Same, true));
        feed.hears(listed(1, Leads::Forward, true));
        assert_eq!(feed.fails(Origin::Download, Kind::Status(403), "AccessDenied"), Step::Aside);
        if progress {
            feed.hears(listed(0, Leads::Same, true));
        }
        feed.hears(Outcome::Nothing);
        let since = feed.state.trouble.map(|trouble| trouble.count);
        feed.waits();
        feed.hears(listed(0, Leads::Same, true));
        (since, feed.state.trouble.map(|trouble| trouble.count))
    };
    assert_eq!(side_file(true), (None, None));
    assert_eq!(side_file(false), (Some(1), Some(1)), "the position's progress says nothing about it");
}

/// A failure after something was stored is the first one again.
#[test]
fn failures_are_counted_since_the_last_progress() {
    let mut feed = Feed::asking();
    for _ in 0..3 {
        feed.fails(Origin::Api, Kind::Status(429), "");
        feed.waits();
    }
    assert_eq!(feed.state.failures(), 3);
    feed.hears(stored(1, Leads::Forward, false));
    assert_eq!(feed.state.failures(), 0);
}

/// Only pages without anything on them count as empty.
#[test]
fn full_pages_go_on_for_ever() {
    let (mut feed, mut files) = (Feed::asking(), Feed::asking());
    for _ in 0..30 {
        assert_eq!(feed.hears(stored(1, Leads::Forward, false)), Step::Ask);
        files.hears(listed(1, Leads::Forward, false));
        assert_eq!(files.hears(Outcome::Took), Step::Turn);
        assert_eq!(files.hears(Outcome::Turned), Step::Ask);
    }
}

/// Records on a page that leads to itself are a loop; none are the end.
#[test]
fn a_page_that_leads_to_itself_is_a_loop_when_there_is_something_on_it() {
    let mut feed = Feed::asking();
    assert_eq!((feed.hears(stored(1, Leads::Same, false)), feed.rule()), (poll(300), "X11"));
    for (records, leads, caught_up) in
        [(0, Leads::Same, false), (1, Leads::Missing, false), (1, Leads::Same, true)]
    {
        let mut feed = Feed::asking();
        assert_eq!(feed.hears(stored(records, leads, caught_up)), Step::Aside, "{records} {leads:?}");
    }
}

/// A file that could not be fetched for want of leave is the next step all the same.
#[test]
fn a_host_that_is_shut_keeps_the_file_in_hand() {
    let mut feed = Feed::asking();
    feed.hears(listed(1, Leads::Forward, true));
    let until = Some(Time::from_secs(60));
    assert!(matches!(feed.hears(Outcome::Shut { until, by: By::Host }), Step::Wait { .. }));
    assert_eq!(feed.waits(), Step::Take { file: 0 });
}

/// All who wait for one host do not come back at once; a share of a quota is one feed's own.
#[test]
fn only_the_return_to_a_host_is_spread() {
    let shut = |by| {
        let feed = Feed::asking();
        let outcome = Outcome::Shut { until: Some(Time::from_secs(60)), by };
        decide(feed.state, outcome, Moment { now: Time(0), dice: 29_999 }, &feed.pace).step
    };
    assert_eq!(shut(By::Quota), Step::Wait { until: Time(60_000), why: Why::Throttled });
    assert_eq!(shut(By::Host), Step::Wait { until: Time(89_999), why: Why::Backoff });
}

#[test]
fn paging_that_is_stopped_is_up_to_date_only_where_nothing_is_left() {
    for (kind, code, name) in [
        (Kind::Status(200), "no_results", "caught_up"),
        (Kind::NoProgress, "", "collecting"),
        (Kind::EmptyPages, "", "collecting"),
    ] {
        let mut feed = Feed::asking();
        assert_eq!(feed.fails(Origin::Api, kind, code), poll(300), "{kind:?}");
        assert_eq!(feed.state.name(), name, "{kind:?}");
        let mut feed = Feed::asking();
        feed.hears(stored(1, Leads::Forward, true));
        assert_eq!(feed.fails(Origin::Api, kind, code), poll(300), "{kind:?}");
        assert_eq!(feed.state.name(), "caught_up", "{kind:?} aside");
    }
}

/// Halvings of the page begin when the service has failed for that long, and failures of more than one kind count.
#[test]
fn a_page_is_halved_from_the_second_hour_on() {
    let size_after = |seconds: i64| {
        let mut feed = Feed::asking();
        feed.fails(Origin::Api, Kind::Status(500), "");
        feed.waits();
        feed.now = Time::from_secs(seconds);
        feed.fails(Origin::Api, Kind::Status(500), "");
        feed.state.page_size(100)
    };
    assert_eq!([7_199, 7_200].map(size_after), [100, 50]);
}

/// What an answer itself could not be read for is given up as its file; what another surface says is not.
#[test]
fn an_answer_that_is_its_own_file_is_given_up() {
    let mut feed = Feed::asking();
    assert_eq!(feed.fails(Origin::Download, Kind::Bomb, ""), Step::GiveUp { file: 0 });
    let wait = Duration::from_secs(300);
    let mut feed = Feed::asking();
    let step = feed.fails(Origin::Api, Kind::Bomb, "");
    assert!(matches!(step, Step::Wait { until, .. } if until >= Time(0).plus(wait)), "{step:?}");
}

/// The gate says when it opens; that only a person opens it is known at once.
#[test]
fn a_feed_behind_a_gate_knows_whether_it_opens_by_itself() {
    let poll = Time::from_secs(300);
    for (status, code, next) in
        [(401, "0010", Some(poll)), (403, "0016", Some(poll)), (401, "0003", Some(poll)), (401, "0011", None)]
    {
        let mut feed = Feed::asking();
        feed.now = Time::from_secs(100);
        assert_eq!(feed.fails(Origin::Api, Kind::Status(status), code), Step::AwaitGate, "{code}");
        for _ in 0..2 {
            let name = if next.is_some() { "paused" } else { "halted" };
            assert_eq!((feed.state.next(), feed.state.name()), (next, name), "{code}");
            assert_eq!(feed.hears(Outcome::Ready), Step::AwaitGate, "{code}: a look at the gate");
        }
    }
}

/// The clock was ten hours ahead when the cycle began.
#[test]
fn the_next_poll_is_one_interval_away_at_most() {
    let mut feed = Feed::asking();
    feed.now = Time::from_secs(-36_000);
    assert_eq!(feed.hears(listed(0, Leads::Same, true)), Step::Aside);
    assert_eq!(feed.hears(Outcome::Nothing), poll(300 - 36_000));
}

/// Without a position of the service's own in the request there is none to give up.
#[test]
fn a_request_from_a_date_that_is_refused_is_not_made_again() {
    for (status, code, field) in
        [(400, "", None), (410, "", None), (400, "validation_error", Some("startDateTime"))]
    {
        for from_start in [false, true] {
            let mut feed = Feed::asking();
            let mut fault = Fault::new(Origin::Api, Kind::Status(status), "");
            (fault.code, fault.attributed) = (crate::fault::Code::new(code), true);
            (fault.field, fault.from_start) = (field.map(str::to_owned), from_start);
            let step = feed.hears(Outcome::Fault(fault));
            assert_eq!(step == Step::Rewind, !from_start, "{status} {code}: {step:?}");
            assert_eq!(
                matches!(step, Step::Hold { probe: Some(_) }),
                from_start,
                "{status} {code}: {step:?}"
            );
        }
    }
}
