//! Long outages under a movable clock, and many tenants on one simulator.

use crate::dates::{self, DAY, HOUR};
use crate::server_tests::{NOW, bearer, drain, list, login, send, world};
use crate::window_tests::signed;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

async fn books(world: &Arc<World>, tenant: &str) -> Value {
    let path = format!("/_sim/ledger?tenant={tenant}");
    send(world, "GET", &path, &[], "").await.json()["tenants"][tenant].clone()
}

async fn rejections(world: &Arc<World>, from: i64, to: i64) -> u64 {
    let ask = json!({"data": [{"admin": true, "start": dates::api(from), "end": dates::api(to)}]});
    let got = signed(world, "/api/gateway/get-rejections", &ask.to_string()).await.json();
    got["meta"]["pagination"]["totalCount"].as_u64().unwrap()
}

/// Mimecast lives eight days in the past. Somebody reads everything and is then away for eight days, in which events
/// go on happening; back in the present, the oldest of them are gone for good, and the ledger says how many.
#[tokio::test]
async fn eight_days_of_outage_in_no_time() {
    let world = world("no_quota", 0);
    send(&world, "POST", "/_sim/clock?offset=-8d", &[], "").await;
    send(&world, "POST", "/_sim/publish?count=5000", &[], "").await;
    let auth = bearer(&world).await;
    assert_eq!(
        drain(&world, &auth, "cg", "spam").await.len() as u64,
        books(&world, "demo").await["feeds"]["siem.spam"]["published"].as_u64().unwrap()
    );
    let before = books(&world, "demo").await;

    send(&world, "POST", "/_sim/clock?offset=0", &[], "").await;
    for feed in ["siem.spam", "rejections", "dlp"] {
        let path = format!("/_sim/publish?feed={feed}&count=8000&over=8d");
        assert_eq!(send(&world, "POST", &path, &[], "").await.status, 200);
    }
    assert_eq!(list(&world, &auth, "cg", "type=spam").await.status, 401, "tokens are eight days older, too");
    let auth = bearer(&world).await;
    let found = drain(&world, &auth, "cg", "spam").await.len() as u64;
    let after = books(&world, "demo").await;
    let number = |books: &Value, feed: &str, name: &str| books["feeds"][feed][name].as_u64().unwrap();
    assert!((6_900..7_200).contains(&found), "seven of eight days: {found}");
    assert_eq!(number(&after, "siem.spam", "obtainable"), found);
    assert_eq!(number(&after, "siem.spam", "expired"), 8_000 - found);
    let had = number(&before, "siem.spam", "handed_out_distinct");
    assert_eq!(
        number(&after, "siem.spam", "handed_out_distinct"),
        had + found,
        "what was had stays in the books"
    );

    let all = rejections(&world, NOW - 9 * DAY, NOW).await;
    assert!((6_900..7_200).contains(&all), "{all}");
    assert_eq!(rejections(&world, NOW - 9 * DAY, NOW - 7 * DAY - HOUR).await, 0);
    assert_eq!(number(&after, "rejections", "obtainable"), all);
    assert_eq!(number(&after, "dlp", "expired"), 0, "kept for sixty days");
}

#[tokio::test]
async fn what_was_handed_out_how_often() {
    let world = world("", 20_000);
    let auth = bearer(&world).await;
    let ask = json!({"meta": {"pagination": {"pageSize": 10}}, "data": [{"oldestFirst": true,
        "from": dates::api(NOW - 6 * HOUR), "to": dates::api(NOW)}]})
    .to_string();
    for _ in 0..2 {
        signed(&world, "/api/dlp/get-logs", &ask).await;
    }
    let handed = async |feed: &str| -> Vec<Value> {
        let text = send(&world, "GET", &format!("/_sim/handed?feed={feed}"), &[], "").await.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let spans = handed("dlp").await;
    assert_eq!(spans[0], json!({"feed": "dlp", "first": 0, "events": 10, "handed": 2}));
    assert_eq!((spans.len(), &spans[1]["handed"]), (2, &json!(0)));
    list(&world, &auth, "cg", "type=spam&pageSize=1").await;
    let files = handed("siem.spam").await;
    assert_eq!(
        (&files[0]["listed"], &files[0]["handed"], &files[1]["listed"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(files[1]["first"], 100);
}

#[tokio::test]
async fn tenants_have_their_own_events_books_quotas_and_troubles() {
    let world = world("tenant demo-1; lockout=10m; tenant demo-2; quota=1", 5_000);
    assert_eq!(login(&world, "demo-1", "demo").await.status, 401);
    let token = login(&world, "demo-2", "demo").await.json()["access_token"].as_str().unwrap().to_owned();
    let second = format!("Bearer {token}");
    let first = bearer(&world).await;
    assert_eq!(list(&world, &second, "cg", "type=av").await.status, 200);
    assert_eq!(list(&world, &second, "cg", "type=av").await.status, 429);
    for _ in 0..3 {
        assert_eq!(list(&world, &first, "cg", "type=av").await.status, 200);
    }
    let event = async |tenant: &str| {
        send(&world, "GET", &format!("/_sim/events?feed=siem.av&tenant={tenant}"), &[], "").await.text()
    };
    assert_ne!(event("demo").await, event("demo-2").await);
    let (mine, theirs, locked) =
        (books(&world, "demo").await, books(&world, "demo-2").await, books(&world, "demo-1").await);
    assert_eq!(mine["quotas"]["listing"]["calls_this_window"], 3);
    assert_eq!(theirs["quotas"]["listing"]["refused"], 1);
    assert_eq!((&locked["locked"], &mine["locked"]), (&json!(true), &json!(false)));
    assert_ne!(mine["account_id"], theirs["account_id"]);
    assert_eq!(send(&world, "GET", "/_sim/events?feed=siem.av&tenant=demo-6", &[], "").await.status, 400);
}
