//! Keys that sign, against a server that counts: however many feeds want in, one call shows whether the keys work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as Incoming, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::net::TcpListener;

use super::account::{Access, Account, Identity};
use super::decide::Outcome;
use super::hosts::Hosts;
use super::places::Places;
use super::steps::{Hand, Reach};
use crate::clock::{Clock, Time};
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::SIGNING_KEYS_LIFE;
use crate::mimecast::auth::Keys;
use crate::mimecast::catalogue::find;
use crate::mimecast::client::{ApiClient, DownloadClient, Outlet, Timeouts, Tls, Ways};
use crate::mimecast::feed::Endpoint;
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::{Asking, build};
use crate::mimecast::signature::SigningKeys;
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::store::{Options, Store};
use crate::supervisor::backoff::{Overrides, Pace};

pub(super) const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const EMPTY: &str = r#"{"meta":{"status":200},"data":[],"fail":[]}"#;
const REFUSED: &str = r#"{"meta":{"status":401},"data":[],"fail":[{"errors":[{"code":"err_xdk_invalid_signature","message":"0004 Invalid Signature"}]}]}"#;

const LOCKED: &str =
    r#"{"meta":{"status":401},"data":[],"fail":[{"errors":[{"code":"0010","message":"same words"}]}]}"#;

/// The clocks agree, so that a refusal is for the keys.
const OUR_TIME: [(&str, &str); 1] = [("date", "Thu, 01 Jan 2026 09:30:02 GMT")];

type Seen = Arc<Mutex<Vec<HeaderMap>>>;
type Answering = fn(&HeaderMap, usize) -> Response;

/// A Mimecast that answers as it is told, and a directory with a store.
pub(super) struct World {
    pub base: String,
    seen: Seen,
    dir: tempfile::TempDir,
    tenant: &'static str,
    /// The file with the keys is gone.
    unreadable: Arc<AtomicBool>,
    pub clock: Clock,
}

impl World {
    pub async fn new(answer: Answering) -> World {
        let seen = Seen::default();
        let app = Router::new().fallback(move |State(seen): State<Seen>, request: Incoming| async move {
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.headers().clone());
                seen.len()
            };
            answer(request.headers(), number)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = app.with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        World {
            base,
            seen,
            dir: tempfile::tempdir().unwrap(),
            tenant: "acme",
            unreadable: Arc::default(),
            clock: Clock::manual(NOW),
        }
    }

    /// The daemon starts: everything it knew is what the store holds.
    async fn account(&self, secret: &'static str) -> Arc<Account> {
        self.account_and_store(secret).await.0
    }

    pub async fn account_and_store(&self, secret: &'static str) -> (Arc<Account>, Store) {
        let outlet = Outlet {
            base_url: self.base.parse().unwrap(),
            proxy: None,
            tls: Tls::new(None, false).unwrap(),
            download_hosts: Vec::new(),
            timeouts: Timeouts::default(),
            clock: self.clock.clone(),
        };
        let ways = Ways::new(&outlet).unwrap();
        let unreadable = self.unreadable.clone();
        let identity = Identity {
            tenant: self.tenant.into(),
            keys: Arc::new(move || {
                if unreadable.load(Ordering::Relaxed) {
                    return Err(SetupError::failed("the file is gone".to_owned()));
                }
                let keys =
                    SigningKeys::new("app", Secret::new("key"), Secret::new("access"), &Secret::new(secret));
                Ok(Keys::Signing(Arc::new(keys.unwrap())))
            }),
            base_url: self.base.clone(),
            api: ApiClient::new(&ways, &outlet),
            downloads: DownloadClient::new(&ways, &outlet),
            feeds: vec![find("audit").unwrap(), find("siem.mta").unwrap()],
            loopback: false,
            hosts: Hosts::new(self.clock.clone()),
            host: "api".into(),
            via: None,
            proxy: None,
        };
        let options = Options { ballast: 128 << 10, ..Options::new(1 << 30, MINUTE, self.clock.clone()) };
        let store = Store::open(self.dir.path(), &options).await.unwrap();
        let pace = Pace::new(MINUTE * 5, false, Overrides::default());
        let account = Account::open(identity, store.clone(), self.clock.clone(), pace).await.unwrap();
        (Arc::new(account), store)
    }

    /// Of one feed.
    async fn hand(&self, account: &Arc<Account>, store: Store, name: &'static str) -> Hand {
        let key = FeedKey { tenant: "acme".into(), feed: name };
        store.register_feed(&key).await.unwrap();
        let (feed, endpoint) = (find(name).unwrap(), Endpoint::Batch);
        let reach = Reach { overlap: MINUTE, lookback: MINUTE, endpoint, sweep_every: MINUTE };
        Hand::new(key, feed, reach, account.clone(), (store, self.clock.clone()), Places::new())
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn last(&self, header: &str) -> String {
        self.seen.lock().unwrap().last().unwrap()[header].to_str().unwrap().to_owned()
    }
}

/// What a feed's runner does with the account. `None`: it may not call now.
async fn call(account: &Account) -> Option<Result<(), Fault>> {
    let feed = find("audit").unwrap();
    let asking = Asking { page_size: 500, overlap: feed.overlap, server_now: NOW, until: None };
    let asked = build(feed, &Position::first(feed, NOW, MINUTE), &asking);
    let Access::Go { pass, slip } = account.access().await.unwrap() else { return None };
    Some(match account.api.send(&asked.request, &pass).await {
        Ok(_) => {
            account.call_ok("audit", slip).await.unwrap();
            Ok(())
        }
        Err(fault) => {
            account.call_fault("audit", &fault, slip).await.unwrap();
            Err(fault)
        }
    })
}

/// Twenty feeds at once; how many of them got an answer.
async fn twenty(account: &Arc<Account>) -> usize {
    let feeds: Vec<_> = (0..20)
        .map(|_| {
            let account = account.clone();
            tokio::spawn(async move { call(&account).await.is_some() })
        })
        .collect();
    let mut answered = 0;
    for feed in feeds {
        answered += usize::from(feed.await.unwrap());
    }
    answered
}

#[tokio::test]
async fn keys_that_cannot_be_read_any_more_are_used_as_they_were_and_it_is_told() {
    let world = World::new(|_: &HeaderMap, _| (StatusCode::OK, EMPTY).into_response()).await;
    let account = world.account("ZGVtbw==").await;
    let told = || account.live().borrow().unreadable.clone();
    call(&account).await.unwrap().unwrap();
    assert_eq!(told(), None);
    world.unreadable.store(true, Ordering::Relaxed);
    world.clock.advance(SIGNING_KEYS_LIFE + MINUTE);
    let since = world.clock.now();
    call(&account).await.unwrap().unwrap();
    assert_eq!(told(), Some((since, "the file is gone".to_owned())));
    world.clock.advance(SIGNING_KEYS_LIFE + MINUTE);
    call(&account).await.unwrap().unwrap();
    assert_eq!(told().unwrap().0, since, "it is one state, not one for each look");
    world.unreadable.store(false, Ordering::Relaxed);
    call(&account).await.unwrap().unwrap();
    assert_eq!(told(), None, "it does not wait for the next login");
}

#[tokio::test]
async fn twenty_feeds_with_bad_keys_call_once_and_so_does_a_restart_not() {
    let refusing = |_: &HeaderMap, _| (StatusCode::UNAUTHORIZED, OUR_TIME, REFUSED).into_response();
    let world = World::new(refusing).await;
    for _ in 0..3 {
        let account = world.account("ZGVtbw==").await;
        twenty(&account).await;
        assert_eq!(world.calls(), 1, "the state outlives the process");
    }
    let account = world.account("b3RoZXI=").await;
    twenty(&account).await;
    assert_eq!(world.calls(), 2, "other keys get a call of their own");
}

/// Each refused signature counts as a failed login, and an account is locked after five of them: however many feeds
/// are due when keys are revoked, only the calls under way are refused.
#[tokio::test]
async fn keys_that_are_revoked_while_twenty_feeds_are_due_are_refused_twice() {
    let world = World::new(|_, number| match number {
        1 => (OUR_TIME, EMPTY).into_response(),
        _ => (StatusCode::UNAUTHORIZED, OUR_TIME, REFUSED).into_response(),
    })
    .await;
    let account = world.account("ZGVtbw==").await;
    assert!(call(&account).await.is_some_and(|answer| answer.is_ok()), "they worked");
    let answered = twenty(&account).await;
    assert!((1..=2).contains(&answered), "{answered} asked");
    assert_eq!(world.calls(), 1 + answered);
}

/// A tenant that is called something else is the same account to Mimecast.
#[tokio::test]
async fn a_locked_account_stays_locked_under_another_name() {
    let locked =
        |_: &HeaderMap, _| (StatusCode::UNAUTHORIZED, REFUSED.replace("0004", "0010")).into_response();
    let mut world = World::new(locked).await;
    twenty(&world.account("ZGVtbw==").await).await;
    world.tenant = "renamed";
    twenty(&world.account("ZGVtbw==").await).await;
    assert_eq!(world.calls(), 1, "the lock is the account's");
    world.tenant = "other";
    twenty(&world.account("b3RoZXI=").await).await;
    assert_eq!(world.calls(), 2, "that is another account");
}

#[tokio::test]
async fn twenty_feeds_with_good_keys_wait_for_the_first_and_all_go() {
    let world = World::new(|_, _| EMPTY.into_response()).await;
    let account = world.account("ZGVtbw==").await;
    assert_eq!(twenty(&account).await, 20);
    assert_eq!(world.calls(), 20);
    let ids: std::collections::HashSet<_> =
        world.seen.lock().unwrap().iter().map(|headers| headers["x-mc-req-id"].clone()).collect();
    assert_eq!(ids.len(), 20, "a fresh id for each");
    world.clock.advance(MINUTE * 31);
    assert_eq!(twenty(&account).await, 20, "keys that work are only read again");
}

/// The first call happens to be an archive that takes long: that it is sent shows that the keys work.
#[tokio::test]
async fn an_archive_that_takes_long_keeps_no_other_feed_waiting() {
    let world = World::new(|_, number| match number {
        1 => {
            let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("PK\u{3}\u{4}")]);
            let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
            let head = [("content-type", "application/octet-stream"), ("mc-siem-token", "next")];
            (head, body).into_response()
        }
        _ => EMPTY.into_response(),
    })
    .await;
    let (account, store) = world.account_and_store("ZGVtbw==").await;
    let mut hand = world.hand(&account, store, "siem.mta").await;
    let reading = tokio::spawn(async move { hand.ask(500).await });
    while world.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let other = tokio::time::timeout(MINUTE, call(&account)).await.expect("it waits for the whole archive");
    assert!(other.unwrap().is_ok());
    assert!(!reading.is_finished(), "it is still on its way");
    reading.abort();
}

/// A lock that is told in an answer that calls itself a file, with the token of the next: nobody asks on.
#[tokio::test]
async fn a_failure_that_looks_like_a_file_is_a_verdict_on_the_keys_all_the_same() {
    let world = World::new(|_, number| {
        let head = [("content-type", "application/octet-stream"), ("mc-siem-token", "next")];
        match number {
            1 => EMPTY.into_response(),
            _ => (head, LOCKED.replace("same words", "0010 Account Locked Out")).into_response(),
        }
    })
    .await;
    let (account, store) = world.account_and_store("ZGVtbw==").await;
    assert!(call(&account).await.is_some_and(|answer| answer.is_ok()), "the keys work");
    let mut hand = world.hand(&account, store, "siem.mta").await;
    assert!(hand.ask(500).await.is_err());
    assert!(account.closed().await.is_some(), "the account is locked");
    assert!(matches!(hand.ask(500).await.unwrap(), Outcome::Shut { .. }));
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn a_server_in_trouble_is_no_verdict_on_the_keys() {
    let world = World::new(|_, number| match number {
        1 | 2 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => EMPTY.into_response(),
    })
    .await;
    let account = world.account("ZGVtbw==").await;
    assert!(call(&account).await.is_some_and(|answer| answer.is_err()));
    assert!(call(&account).await.is_some_and(|answer| answer.is_err()));
    assert_eq!(twenty(&account).await, 20);
}

/// A server whose clock shows 09:40 and that takes no other date.
fn at_twenty_to_ten(headers: &HeaderMap, _: usize) -> Response {
    let date = [("date", "Thu, 01 Jan 2026 09:40:00 GMT")];
    match headers["x-mc-date"].to_str().unwrap() {
        "Thu, 01 Jan 2026 09:40:00 UTC" => (date, EMPTY).into_response(),
        _ => (StatusCode::UNAUTHORIZED, date, REFUSED).into_response(),
    }
}

/// This machine's clock is ten minutes behind: the next call carries Mimecast's date.
#[tokio::test]
async fn a_signature_refused_for_its_date_is_made_anew_with_the_servers() {
    let world = World::new(at_twenty_to_ten).await;
    let account = world.account("ZGVtbw==").await;
    let refused = call(&account).await.unwrap().unwrap_err();
    assert_eq!(world.last("x-mc-date"), "Thu, 01 Jan 2026 09:30:00 UTC");
    assert!(call(&account).await.unwrap().is_ok());
    assert_eq!(account.server_now(), NOW.plus(MINUTE * 10));
    assert_eq!(twenty(&account).await, 20);
    let words = refused.to_string();
    assert!(words.contains("0004") && words.contains("(request "), "support asks for the id: {words}");
}

/// NTP sets our clock right while it is still corrected: the stale correction is what was refused, not the key.
#[tokio::test]
async fn a_correction_that_is_no_longer_due_costs_one_call_and_not_the_key() {
    let world = World::new(at_twenty_to_ten).await;
    let account = world.account("ZGVtbw==").await;
    assert!(call(&account).await.unwrap().is_err());
    assert!(call(&account).await.unwrap().is_ok());
    world.clock.advance(MINUTE * 10);
    assert!(call(&account).await.unwrap().is_err());
    assert_eq!(world.last("x-mc-date"), "Thu, 01 Jan 2026 09:50:00 UTC");
    assert!(call(&account).await.unwrap().is_ok());
    assert_eq!(world.last("x-mc-date"), "Thu, 01 Jan 2026 09:40:00 UTC");
    assert_eq!(account.server_now(), NOW.plus(MINUTE * 10));
}

/// This machine was three hours slow, which answers had told; NTP set it right, and one answer of many says so.
#[tokio::test]
async fn a_window_by_a_stale_correction_is_asked_for_again_by_the_clock_of_its_own_answer() {
    fn answer(_: &HeaderMap, number: usize) -> Response {
        let date =
            if number == 6 { "Thu, 01 Jan 2026 12:30:30 GMT" } else { "Thu, 01 Jan 2026 12:30:00 GMT" };
        ([("date", date)], EMPTY).into_response()
    }
    let world = World::new(answer).await;
    let (account, store) = world.account_and_store("ZGVtbw==").await;
    let mut hand = world.hand(&account, store, "audit").await;
    let hours = MINUTE * 180;
    assert!(matches!(hand.ask(500).await.unwrap(), Outcome::Stored { .. }));
    for _ in 0..4 {
        hand.new_cycle();
        assert!(matches!(hand.ask(500).await.unwrap(), Outcome::Stored { .. }));
    }
    assert_eq!(account.server_now(), NOW.plus(hours));
    world.clock.advance(hours);
    hand.new_cycle();
    assert!(
        matches!(hand.ask(500).await.unwrap(), Outcome::Shut { .. }),
        "by one answer, though five said else"
    );
    assert_eq!(account.server_now(), NOW.plus(hours));
    assert!(matches!(hand.ask(500).await.unwrap(), Outcome::Stored { .. }));
}

/// Other files are read for longer than a signature is good for: what waits for its turn is signed when that comes.
#[tokio::test]
async fn who_waits_for_a_place_signs_afterwards() {
    let world = World::new(|_, _| EMPTY.into_response()).await;
    let (account, store) = world.account_and_store("ZGVtbw==").await;
    let mut hand = world.hand(&account, store, "siem.mta").await;
    let other = account.one_file.clone().acquire_owned().await.unwrap();
    {
        let mut asking = std::pin::pin!(hand.ask(500));
        assert!(tokio::time::timeout(Duration::from_millis(500), &mut asking).await.is_err(), "it waits");
        world.clock.advance(MINUTE * 20);
        drop(other);
        asking.await.unwrap();
    }
    assert_eq!((world.calls(), world.last("x-mc-date").as_str()), (1, "Thu, 01 Jan 2026 09:50:00 UTC"));
}

/// A reload that takes a tenant away, or a stop, need not wait until the tenant's other files are read.
#[tokio::test]
async fn who_waits_for_a_place_hears_a_stop() {
    let world = World::new(|_, _| EMPTY.into_response()).await;
    let (account, store) = world.account_and_store("ZGVtbw==").await;
    let mut hand = world.hand(&account, store, "siem.mta").await;
    let _other = account.one_file.clone().acquire_owned().await.unwrap();
    let stop = hand.stop.clone();
    let (asked, ()) = tokio::join!(tokio::time::timeout(MINUTE, hand.ask(500)), async { stop.cancel() });
    assert!(matches!(asked.expect("it hears the stop").unwrap(), Outcome::Stopping));
    assert_eq!(world.calls(), 0, "nothing was sent");
}

#[tokio::test]
async fn what_is_left_of_the_quota_is_told_and_survives_a_restart() {
    let world = World::new(|_, _| EMPTY.into_response()).await;
    let feed = find("siem.av").unwrap();
    let ask = async |account: &Account| {
        let held = account.quota(feed, Endpoint::Batch, Call::Live).await.unwrap();
        assert_eq!(held, None);
        account.live().borrow().quota_remaining
    };
    let account = world.account("a2V5").await;
    assert_eq!(account.live().borrow().quota_remaining, None, "nothing was asked");
    assert_eq!((ask(&account).await, ask(&account).await), (Some(49), Some(48)));
    drop(account);
    let account = world.account("a2V5").await;
    assert_eq!(ask(&account).await, Some(47));
    world.clock.advance(MINUTE * 15);
    assert_eq!(ask(&account).await, Some(49), "another window");
}

/// Half an hour is half an hour, whatever our clock shows meanwhile.
#[tokio::test]
async fn a_lock_neither_ends_early_nor_lasts_when_our_clock_is_set() {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    for set_to in [NOW.plus(YEAR), NOW.minus(YEAR)] {
        let world = World::new(|_, _| (StatusCode::UNAUTHORIZED, LOCKED).into_response()).await;
        let account = world.account("ZGVtbw==").await;
        assert!(call(&account).await.is_some_and(|answer| answer.is_err()));
        world.clock.set(set_to);
        let until = account.closed().await.and_then(|closed| closed.until).expect("closed for a while");
        let left = until.since(set_to);
        assert!(left >= MINUTE * 31 && left <= MINUTE * 32, "{left:?}");
        assert!(call(&account).await.is_none(), "nobody calls");
        drop(account);
        let again = world.account("ZGVtbw==").await;
        assert_eq!(again.closed().await.and_then(|closed| closed.until), Some(until), "it is written down");
        world.clock.advance(left);
        assert!(call(&again).await.is_some() && world.calls() == 2, "one call looks");
    }
}
