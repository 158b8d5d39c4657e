//! The functions of `/api/…` in both generations, asked in-process.

use crate::dates::{self, DAY, HOUR, MINUTE};
use crate::functions::{FUNCTIONS, Function};
use crate::server_tests::{Got, NOW, bearer, ledger, send, sum, world};
use crate::signature::{self, SECRET_KEY};
use crate::world::World;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The headers of a signed call.
pub fn signed_headers(path: &str, id: &str) -> Vec<(&'static str, &'static str)> {
    let date = dates::http(NOW).replace("GMT", "UTC");
    let proof = signature::sign(SECRET_KEY, &date, id, path, "demo").unwrap();
    let leak = |text: String| -> &'static str { text.leak() };
    vec![
        ("authorization", leak(format!("MC demo:{proof}"))),
        ("x-mc-app-id", "demo"),
        ("x-mc-date", leak(date)),
        ("x-mc-req-id", leak(id.to_owned())),
        ("content-type", "application/json"),
    ]
}

/// A call of API 1.0 on behalf of `demo`.
pub async fn signed(world: &Arc<World>, path: &str, body: &str) -> Got {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let id = format!("test-{}", CALLS.fetch_add(1, Ordering::Relaxed));
    let date = dates::http(world.clock.wire()).replace("GMT", "UTC");
    let proof = signature::sign(SECRET_KEY, &date, &id, path, "demo").unwrap();
    let auth = format!("MC demo:{proof}");
    let headers = [
        ("authorization", auth.as_str()),
        ("x-mc-app-id", "demo"),
        ("x-mc-date", date.as_str()),
        ("x-mc-req-id", id.as_str()),
        ("content-type", "application/json"),
    ];
    send(world, "POST", path, &headers, body).await
}

fn ask(function: &Function, from: i64, to: i64, size: u64, page: Option<&str>) -> String {
    let mut pagination = json!({"pageSize": size});
    if let Some(page) = page {
        pagination["pageToken"] = page.into();
    }
    let data = json!({function.from: dates::api(from), function.to: dates::api(to), "oldestFirst": true, "admin": true});
    json!({"meta": {"pagination": pagination}, "data": [data]}).to_string()
}

/// How a call proves where it comes from.
#[derive(Clone, Copy)]
enum Auth<'a> {
    Bearer(&'a str),
    Signed,
}

async fn post(world: &Arc<World>, auth: Auth<'_>, path: &str, body: &str) -> Got {
    match auth {
        Auth::Bearer(bearer) => send(world, "POST", path, &[("authorization", bearer)], body).await,
        Auth::Signed => signed(world, path, body).await,
    }
}

/// The texts of the records in an answer, exactly as they stand there.
fn records(function: &Function, text: &str) -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    let answer: Answer = serde_json::from_str(text).unwrap();
    let Some(list) = function.list else {
        return answer.data.iter().map(|r| r.get().as_bytes().to_vec()).collect();
    };
    let lists = answer.data.iter().flat_map(|object| {
        let object: HashMap<String, &RawValue> = serde_json::from_str(object.get()).unwrap();
        serde_json::from_str::<Vec<&RawValue>>(object[list].get()).unwrap()
    });
    lists.map(|r| r.get().as_bytes().to_vec()).collect()
}

/// Reads a window feed to its end; the texts of its records.
async fn drain_window(world: &Arc<World>, auth: Auth<'_>, function: &Function) -> Vec<Vec<u8>> {
    let (mut all, mut page) = (Vec::new(), None::<String>);
    loop {
        let body = ask(function, NOW - 7 * HOUR, NOW, 100, page.as_deref());
        let got = post(world, auth, function.path, &body).await;
        assert_eq!(got.status, 200, "{}", got.text());
        let records = records(function, &got.text());
        let value = got.json();
        let done = records.is_empty();
        all.extend(records);
        page = value["meta"]["pagination"]["next"].as_str().map(str::to_owned);
        if page.is_none() || done {
            return all;
        }
    }
}

#[tokio::test]
async fn every_function_is_read_page_by_page_in_both_generations_and_the_ledger_agrees() {
    for signed in [false, true] {
        let world = world("", 20_000);
        let bearer = bearer(&world).await;
        let auth = if signed { Auth::Signed } else { Auth::Bearer(&bearer) };
        for function in FUNCTIONS.iter() {
            let records = drain_window(&world, auth, function).await;
            let entry = ledger(&world).await["feeds"][function.feed].clone();
            assert!(records.len() >= 80, "{}", function.path);
            assert_eq!(entry["published"], records.len());
            let books = if function.second { entry["get-search-logs"].clone() } else { entry };
            assert_eq!(books["handed_out"], records.len());
            assert_eq!(books["published_digest"], sum(&records));
            assert_eq!(books["handed_out_digest"], sum(&records));
            assert_eq!(books["most_often"], 1);
        }
    }
}

fn function(feed: &str) -> &'static Function {
    FUNCTIONS.iter().find(|f| f.feed == feed).unwrap()
}

#[tokio::test]
async fn what_is_left_out_loses_data_in_silence() {
    let world = world("", 20_000);
    let total = async |path: &str, data: Value| {
        let body = json!({"data": [data]}).to_string();
        let got = signed(&world, path, &body).await.json();
        assert_eq!(got["fail"], json!([]));
        got["meta"]["pagination"]["totalCount"].as_u64().unwrap()
    };
    // It is ten in the morning; events reach six hours back.
    let all = total("/api/gateway/get-rejections", json!({"admin": true})).await;
    assert!(all > 80);
    assert_eq!(total("/api/gateway/get-rejections", json!({})).await, 0);
    send(&world, "POST", "/_sim/clock?offset=14h", &[], "").await;
    assert_eq!(total("/api/gateway/get-rejections", json!({"admin": true})).await, 0, "only today");
    assert_eq!(total("/api/dlp/get-logs", json!({})).await, 0, "only today");
    assert!(total("/api/gateway/get-held-release-logs", json!({})).await > 0, "a month back");
    assert_eq!(total("/api/archive/get-archive-search-logs", json!({})).await, 0, "only today");
    let bearer = bearer(&world).await;
    let got =
        post(&world, Auth::Bearer(&bearer), "/api/archive/get-archive-search-logs", "{\"data\":[{}]}").await;
    assert!(got.json()["meta"]["pagination"]["totalCount"].as_u64() > Some(0), "2.0 knows no span here");
}

#[tokio::test]
async fn the_two_generations_read_dates_differently() {
    let world = world("", 1_000);
    let bearer = bearer(&world).await;
    let body = r#"{"data":[{"from":"2026-01-01T00:00:00+00:00","to":"2026-01-01T09:00:00Z"}]}"#;
    let two = post(&world, Auth::Bearer(&bearer), "/api/dlp/get-logs", body).await.json();
    assert_eq!(two["fail"], json!([]));
    let one = post(&world, Auth::Signed, "/api/dlp/get-logs", body).await.json();
    assert_eq!(one["fail"][0]["errors"][0]["field"], "from");
}

#[tokio::test]
async fn pages_shift_when_rows_arrive_while_the_newest_come_first() {
    let world = world("", 20_000);
    let bearer = bearer(&world).await;
    let read = async |oldest_first: bool, next: Option<&Value>| {
        let body = json!({"meta": {"pagination": {"pageSize": 20, "pageToken": next}},
            "data": [{"from": dates::api(NOW - HOUR), "to": dates::api(NOW), "oldestFirst": oldest_first}]});
        let got = post(&world, Auth::Bearer(&bearer), "/api/dlp/get-logs", &body.to_string()).await;
        (records(function("dlp"), &got.text()), got.json()["meta"]["pagination"]["next"].clone())
    };
    for (oldest_first, shifted) in [(false, 5), (true, 0)] {
        let (first, next) = read(oldest_first, None).await;
        send(&world, "POST", "/_sim/publish?feed=dlp&count=5", &[], "").await;
        let (second, _) = read(oldest_first, Some(&next)).await;
        assert_eq!(second.iter().filter(|r| first.contains(r)).count(), shifted);
    }
}

#[tokio::test]
async fn the_quirks_of_pages() {
    let world = world("", 20_000);
    let bearer = bearer(&world).await;
    let read = async |scenario: &str, span: i64, token: Option<&str>| {
        assert_eq!(send(&world, "POST", "/_sim/scenario", &[], scenario).await.status, 200);
        let body = ask(function("ttp.url"), NOW - span, NOW, 10, token);
        post(&world, Auth::Bearer(&bearer), "/api/ttp/url/get-logs", &body).await.json()
    };
    let effect = |name: &str| format!("on ttp.url effect={name}");
    let next = |answer: &Value| answer["meta"]["pagination"]["next"].clone();
    let plain = read("", 6 * HOUR, None).await;
    let token = next(&plain).as_str().unwrap().to_owned();
    assert_eq!(next(&read(&effect("next-object"), 6 * HOUR, None).await)["pageToken"], token);
    let again = read(&effect("same-next"), 6 * HOUR, Some(&token)).await;
    assert_eq!(next(&again), token);
    let empty = read(&effect("empty-page"), 6 * HOUR, None).await;
    assert_eq!((&empty["data"], next(&empty).is_string()), (&json!([]), true));
    assert_eq!(next(&empty), next(&read(&effect("empty-page"), 6 * HOUR, None).await));
    let rest = read("", 6 * HOUR, next(&empty).as_str()).await;
    assert_eq!(rest["data"], plain["data"], "the rows stand behind the empty page");
    assert!(next(&read(&effect("next-always"), 0, None).await).is_string());
    let null = read("on records effect=next-null; on records effect=next-never", 0, None).await;
    assert!(null["meta"]["pagination"].as_object().unwrap().contains_key("next") && next(&null).is_null());
    assert_eq!(read(&effect("empty-list"), 0, None).await["data"], json!([{"clickLogs": []}]));
    assert_eq!(read(&effect("no-meta"), 0, None).await.get("meta"), None);
    assert_eq!(read(&effect("no-pagination"), 0, None).await["meta"], json!({"status": 200}));
    assert_eq!(read(&effect("no-data"), 0, None).await["data"], Value::Null);
    let partial = read(&effect("partial"), 6 * HOUR, None).await;
    assert_eq!(partial["data"][0]["clickLogs"].as_array().unwrap().len(), 10);
    assert_eq!(partial["fail"][0]["errors"][0]["retryable"], true);
}

#[tokio::test]
async fn rows_older_than_their_log_keeps_them_vanish() {
    let world = world("", 20_000);
    send(&world, "POST", "/_sim/advance?seconds=691200", &[], "").await; // eight days
    for (feed, gone) in [("rejections", true), ("dlp", false), ("audit", false)] {
        let records = drain_window(&world, Auth::Signed, function(feed)).await;
        assert_eq!(records.is_empty(), gone, "{feed}");
        let entry = ledger(&world).await["feeds"][feed].clone();
        let left = if gone { json!(0) } else { entry["published"].clone() };
        assert_eq!(entry["obtainable"], left);
        assert_eq!(entry["expired"] == entry["published"], gone, "{feed}: {entry}");
    }
}

#[tokio::test]
async fn a_signature_is_looked_at_closely() {
    let world = world("", 1_000);
    let path = "/api/dlp/get-logs";
    let date = dates::http(NOW).replace("GMT", "UTC");
    let good = signature::sign(SECRET_KEY, &date, "id-1", path, "demo").unwrap();
    let call = async |changed: &[(&str, &str)]| {
        let mut headers = HashMap::from([
            ("authorization", format!("MC demo:{good}")),
            ("x-mc-app-id", "demo".into()),
            ("x-mc-date", date.clone()),
            ("x-mc-req-id", "id-1".into()),
            ("content-type", "application/json".into()),
        ]);
        headers.extend(changed.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let got = send(&world, "POST", path, &headers, "{\"data\":[{}]}").await;
        let errors = got.json()["fail"][0]["errors"][0].clone();
        let told = errors["message"].as_str().unwrap_or("").split(' ').next().unwrap().to_owned();
        (got.status, if told.len() == 4 { told } else { errors["code"].as_str().unwrap_or("").to_owned() })
    };
    assert_eq!(call(&[]).await, (200, String::new()));
    let wrong = format!("MC demo:{}", good.replace(good.chars().next().unwrap(), "_"));
    let late = dates::http(NOW - 6 * MINUTE).replace("GMT", "UTC");
    let resigned = format!("MC demo:{}", signature::sign(SECRET_KEY, &late, "id-1", path, "demo").unwrap());
    for (changed, status, code) in [
        (vec![("authorization", wrong.as_str())], 401, "0004"),
        (vec![("x-mc-req-id", "id-2")], 401, "0004"),
        (vec![("x-mc-date", late.as_str()), ("authorization", resigned.as_str())], 401, "0004"),
        (vec![("x-mc-date", "")], 401, "0004"),
        (vec![("authorization", "MC nobody:abc")], 401, "0013"),
        (vec![("authorization", "")], 400, "0001"),
        (vec![("authorization", "Basic abc")], 401, "0005"),
        (vec![("x-mc-app-id", "other")], 401, "err_developer_key"),
        (vec![("content-type", "text/plain")], 400, "err_validation_content_type"),
    ] {
        assert_eq!(call(&changed).await, (status, code.to_owned()), "{changed:?}");
        assert_eq!(call(&[]).await.0, 200, "in between: five in a row would lock");
    }
    let books = ledger(&world).await["signatures"].clone();
    assert_eq!(books["good"], 10);
    assert_eq!(books["refused"]["the signature does not match"], 2);
    assert_eq!(books["refused"]["x-mc-date is too far from our clock"], 1);
    assert!(books["replayed_request_ids"].as_u64() > Some(9));
    for _ in 0..5 {
        call(&[("x-mc-req-id", "id-3")]).await;
    }
    assert_eq!(call(&[]).await, (401, "0010".to_owned()), "bad signatures lock the account");
}

#[tokio::test]
async fn each_generation_has_its_own_paths() {
    let world = world("", 1_000);
    let listing = "/siem/v1/batch/events/cg?type=av";
    let got = send(&world, "GET", listing, &signed_headers("/siem/v1/batch/events/cg", "x"), "").await;
    assert_eq!(got.status, 403);
    let answer = signed(&world, "/api/dlp/get-logs", "{\"data\":[{}]}").await;
    assert!(
        answer.headers.contains_key("x-mc-req-id") && answer.headers["date"] == dates::http(NOW).as_str()
    );
    assert_eq!(ledger(&world).await["apis"], json!(["1.0"]));
}

#[tokio::test]
async fn window_functions_refuse_inside_a_200() {
    let world = world("", 1_000);
    let auth = bearer(&world).await;
    let post =
        async |body: &str| post(&world, Auth::Bearer(&auth), "/api/ttp/url/get-logs", body).await.json();
    let audit =
        send(&world, "POST", "/api/audit/get-audit-events", &[("authorization", &auth)], "{\"data\":[{}]}")
            .await;
    let audit = audit.json();
    let codes: Vec<&Value> =
        audit["fail"][0]["errors"].as_array().unwrap().iter().map(|e| &e["code"]).collect();
    assert_eq!(codes, ["err_validation_null", "err_validation_null"]);
    let form = post(r#"{"data":[{"from":"2026-01-01T00:00:00Z","to":"2026-01-01 00:00:00"}]}"#).await;
    assert_eq!(form["fail"][0]["errors"][0]["field"], "to");
    let empty = post(&ask(function("ttp.url"), NOW - 30 * DAY, NOW - 29 * DAY, 10, None)).await;
    assert_eq!((&empty["data"], &empty["fail"]), (&json!([]), &json!([])));
    let nobody = send(&world, "POST", "/api/ttp/url/get-logs", &[], "{}").await;
    assert_eq!(nobody.status, 401);
    assert_eq!(send(&world, "GET", "/api/ttp/url/get-logs", &[], "").await.status, 405);
    let unknown = send(&world, "POST", "/api/no/such/thing", &[("authorization", &auth)], "{}").await;
    assert_eq!((unknown.status, &unknown.json()["fail"][0]["code"]), (403, &json!("app_forbidden")));
}

#[tokio::test]
async fn late_rows_appear_later_with_an_older_time() {
    let world = world("late=60s", 20_000);
    let auth = bearer(&world).await;
    let first = drain_window(&world, Auth::Bearer(&auth), function("audit")).await;
    send(&world, "POST", "/_sim/advance?seconds=60", &[], "").await;
    let all = drain_window(&world, Auth::Bearer(&auth), function("audit")).await;
    let entry = ledger(&world).await["feeds"]["audit"].clone();
    assert!(first.len() < all.len());
    assert_eq!((&entry["published"], &entry["handed_out_distinct"]), (&json!(all.len()), &json!(all.len())));
}
