//! What ends a feed's wait and what does not, with the runner itself, a small server and a real store.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::account_tests::{EMPTY, MINUTE, World};
use super::live::{FeedLive, FeedView};
use super::places::Places;
use super::runner::{Ended, Runner, RunnerWires};
use crate::cursor::FeedKey;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::MAX_EMPTY_PAGES;
use crate::mimecast::catalogue::find;
use crate::mimecast::feed::Endpoint;
use crate::supervisor::backoff::{Overrides, Pace};
use crate::telemetry::label::FeedState;

const FORBIDDEN: &str = r#"{"meta":{"status":403},"data":[],"fail":[{"errors":[{"code":"app_forbidden","message":"Forbidden","retryable":false}]}]}"#;

fn forbidden(_: &HeaderMap, _: usize) -> Response {
    (StatusCode::FORBIDDEN, FORBIDDEN).into_response()
}

struct Running {
    account: Arc<Account>,
    view: Arc<FeedView>,
    stop: CancellationToken,
    runner: JoinHandle<Ended>,
}

fn pace() -> Pace {
    Pace { spread: Duration::ZERO, ..Pace::new(MINUTE * 5, false, Overrides::default()) }
}

impl Running {
    /// The daemon starts with what the store holds.
    async fn start(world: &World) -> Running {
        Self::start_under(world, 1).await
    }

    async fn start_under(world: &World, config: u64) -> Running {
        Self::start_as(world, config, false).await
    }

    async fn start_as(world: &World, config: u64, once: bool) -> Running {
        let (account, store) = world.account_and_store("ZGVtbw==").await;
        let key = FeedKey { tenant: "acme".into(), feed: "audit" };
        let begun = store.begin_feeds(&[key]).await.unwrap().remove(0);
        let view = FeedView::new(begun.0.key.clone(), FeedLive::default());
        let stop = CancellationToken::new();
        let wires =
            RunnerWires { view: view.clone(), stop: stop.clone(), places: Places::new(), once, config };
        let window = (MINUTE, MINUTE, Endpoint::Batch);
        let clock = (world.clock.clone(), pace());
        let runner =
            Runner::new(find("audit").unwrap(), window, account.clone(), (store, begun), clock, wires);
        Running { account, view, stop, runner: tokio::spawn(Box::new(runner).run()) }
    }

    async fn becomes(&self, state: FeedState) {
        self.comes_to(|live| live.state == state).await;
    }

    async fn comes_to(&self, it: impl Fn(&FeedLive) -> bool) {
        let comes = async {
            while !it(&self.view.live()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MINUTE, comes).await.expect("it does not come to it");
    }

    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.runner.await.unwrap(), Ended::Stopped);
    }
}

async fn called(world: &World, times: usize) {
    while world.calls() < times {
        tokio::task::yield_now().await;
    }
}

/// Long enough for a call that must not come.
async fn nothing_happens(world: &World, calls: usize) {
    let more = tokio::time::timeout(Duration::from_millis(200), called(world, calls + 1)).await;
    assert!(more.is_err(), "{} calls", world.calls());
}

#[tokio::test]
async fn a_restart_does_not_knock_at_a_halted_feed_and_a_wish_is_one_look() {
    let world = World::new(forbidden).await;
    let feed = Running::start(&world).await;
    feed.becomes(FeedState::Halted).await;
    feed.stop().await;
    let feed = Running::start(&world).await;
    feed.becomes(FeedState::Halted).await;
    nothing_happens(&world, 1).await;
    feed.view.wake.notify_one();
    called(&world, 2).await;
    feed.becomes(FeedState::Halted).await;
    nothing_happens(&world, 2).await;
    feed.stop().await;
    let feed = Running::start_under(&world, 2).await;
    called(&world, 3).await;
    feed.becomes(FeedState::Halted).await;
    feed.stop().await;
}

/// What the operator mended while the look was under way may not have been mended when it began.
#[tokio::test]
async fn a_wish_during_a_look_is_one_more_look() {
    static ANSWER: Notify = Notify::const_new();
    let world = World::new(|_, number| {
        let wait = async move {
            if number == 2 {
                ANSWER.notified().await;
            }
            Ok::<_, std::io::Error>(FORBIDDEN)
        };
        (StatusCode::FORBIDDEN, Body::from_stream(futures_util::stream::once(wait))).into_response()
    })
    .await;
    let feed = Running::start(&world).await;
    feed.becomes(FeedState::Halted).await;
    feed.view.wake.notify_one();
    called(&world, 2).await;
    feed.view.wake.notify_one();
    ANSWER.notify_one();
    called(&world, 3).await;
    nothing_happens(&world, 3).await;
    feed.stop().await;
}

/// A host that others found away meanwhile is back: who was asked to wait waits all the same.
#[tokio::test]
async fn a_hosts_return_ends_no_wait_that_is_not_its_own() {
    static ANSWER: Notify = Notify::const_new();
    let world = World::new(|_, number| {
        let wait = async move {
            if number == 1 {
                ANSWER.notified().await;
            }
            Ok::<_, std::io::Error>(EMPTY)
        };
        let head = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "900")]);
        (head.0, head.1, Body::from_stream(futures_util::stream::once(wait))).into_response()
    })
    .await;
    let feed = Running::start(&world).await;
    called(&world, 1).await;
    let account = feed.account.clone();
    let (hosts, host) = (account.hosts(), account.host());
    let other = FeedKey { tenant: "bolt".into(), feed: "audit" };
    let leave = hosts.leave(host).unwrap();
    assert!(hosts.fault(&leave, &other, &Fault::new(Origin::Api, Kind::Connect, ""), &pace()));
    ANSWER.notify_one();
    feed.becomes(FeedState::Throttled).await;
    world.clock.advance(MINUTE);
    let look = hosts.leave(host).expect("it is time for a look");
    hosts.answered(&look);
    assert!(hosts.held(host).is_none());
    nothing_happens(&world, 1).await;
    feed.stop().await;
}

/// The one that found the host away goes on when another one finds it back.
#[tokio::test]
async fn a_hosts_return_ends_the_waits_that_are_its_own() {
    let world = World::new(|_, number| match number {
        1 => (StatusCode::FOUND, [("location", "http://portal.example/")]).into_response(),
        _ => EMPTY.into_response(),
    })
    .await;
    let feed = Running::start(&world).await;
    let account = feed.account.clone();
    let (hosts, host) = (account.hosts(), account.host());
    for witness in ["a", "b"] {
        let leave = hosts.leave(host).unwrap();
        let who = FeedKey { tenant: witness.into(), feed: "audit" };
        assert!(hosts.fault(&leave, &who, &Fault::new(Origin::Api, Kind::Status(302), ""), &pace()));
    }
    feed.comes_to(|live| live.host.is_some()).await;
    world.clock.advance(MINUTE * 6);
    let look = hosts.leave(host).expect("it is time for a look");
    hosts.answered(&look);
    feed.becomes(FeedState::CaughtUp).await;
    assert_eq!(world.calls(), 2);
    feed.stop().await;
}

fn page(number: usize, kinds: usize) -> Response {
    let (next, id) = (number, number % kinds);
    let row = format!(r#"{{"id":"{id}","eventTime":"2026-01-01T09:20:00+0000"}}"#);
    let paging = format!(r#"{{"status":200,"pagination":{{"next":"n{next}"}}}}"#);
    let body = format!(r#"{{"meta":{paging},"data":[{row}],"fail":[]}}"#);
    ([("date", "Thu, 01 Jan 2026 09:30:00 GMT")], body).into_response()
}

/// Every page leads to another token, and shows what was shown before: each is right, and there is no end to them.
#[tokio::test]
async fn x12_pages_that_come_again_under_new_tokens_end_the_cycle() {
    let one = World::new(|_, number| page(number, 1)).await;
    let in_turn = World::new(|_, number| page(number, 3)).await;
    for (world, kinds) in [(one, 1), (in_turn, 3)] {
        let feed = Running::start(&world).await;
        feed.comes_to(|live| live.rule.is_some_and(|rule| rule.id == "X12")).await;
        let calls = kinds + MAX_EMPTY_PAGES as usize;
        assert_eq!(world.calls(), calls);
        nothing_happens(&world, calls).await;
        feed.stop().await;
    }
}

/// The service manager starts it again every half a minute: what crashes it must not poll as often.
#[tokio::test]
async fn a_daemon_that_is_restarted_keeps_the_distance_of_polls() {
    let world = World::new(|_, _| EMPTY.into_response()).await;
    let feed = Running::start(&world).await;
    feed.becomes(FeedState::CaughtUp).await;
    feed.stop().await;
    for _ in 0..2 {
        world.clock.advance(MINUTE);
        let feed = Running::start(&world).await;
        feed.becomes(FeedState::Starting).await;
        feed.comes_to(|live| live.next_attempt.is_some() && live.why.is_some()).await;
        nothing_happens(&world, 1).await;
        feed.stop().await;
    }
    world.clock.advance(MINUTE * 3);
    let feed = Running::start(&world).await;
    called(&world, 2).await;
    feed.becomes(FeedState::CaughtUp).await;
    feed.stop().await;
}

/// The service may ask for a day; a job of cron must not hold the store for so long.
#[tokio::test]
async fn a_single_run_does_not_wait_for_what_mimecast_asks_for() {
    let throttled =
        |_: &HeaderMap, _| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "86400")], EMPTY).into_response();
    let world = World::new(throttled).await;
    let feed = Running::start_as(&world, 1, true).await;
    assert_eq!(tokio::time::timeout(MINUTE, feed.runner).await.unwrap().unwrap(), Ended::HeldBack);
    assert_eq!(world.calls(), 1);
}
