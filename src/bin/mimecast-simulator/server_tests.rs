//! The surfaces, asked in-process: request in, answer out, and the ledger must agree.

use crate::clock::Clock;
use crate::dates::{self, DAY, HOUR, MINUTE, SECOND};
use crate::files::digest;
use crate::scenario_text::parse;
use crate::server;
use crate::world::{Setup, World};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

pub const NOW: i64 = 1_767_225_600_000 + 10 * HOUR + 7 * MINUTE;

pub fn world(scenario: &str, events: u64) -> Arc<World> {
    let setup = Setup {
        seed: 3,
        events,
        per_file: 100,
        span: 6 * HOUR,
        newest: NOW - SECOND,
        tenants: 5,
        cache_bytes: 1 << 20,
    };
    World::new(Clock::held_at(NOW), setup, parse(scenario).unwrap())
}

pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    /// `None`: the connection broke.
    pub body: Option<Vec<u8>>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_ref().unwrap()).into_owned()
    }
}

pub async fn send(world: &Arc<World>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
    let mut request = Request::builder().method(method).uri(path).header("host", "sim.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = server::serve(State(Arc::clone(world)), request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.ok().map(|b| b.to_vec());
    Got { status: parts.status.as_u16(), headers: parts.headers, body }
}

pub async fn login(world: &Arc<World>, id: &str, secret: &str) -> Got {
    let form = format!("client_id={id}&client_secret={secret}&grant_type=client_credentials");
    send(world, "POST", "/oauth/token", &[("content-type", "application/x-www-form-urlencoded")], &form).await
}

/// An `Authorization` value.
pub async fn bearer(world: &Arc<World>) -> String {
    format!("Bearer {}", login(world, "demo", "demo").await.json()["access_token"].as_str().unwrap())
}

pub async fn list(world: &Arc<World>, bearer: &str, kind: &str, query: &str) -> Got {
    send(world, "GET", &format!("/siem/v1/batch/events/{kind}?{query}"), &[("authorization", bearer)], "")
        .await
}

async fn download(world: &Arc<World>, link: &Value) -> Got {
    let path = link["url"].as_str().unwrap().strip_prefix("http://sim.test").unwrap().to_owned();
    send(world, "GET", &path, &[], "").await
}

pub fn lines(gzip: &[u8]) -> Vec<Vec<u8>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(gzip).read_to_end(&mut text).unwrap();
    text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

pub async fn ledger(world: &Arc<World>) -> Value {
    send(world, "GET", "/_sim/ledger", &[], "").await.json()["tenants"]["demo"].clone()
}

/// Sum of digests as the ledger writes it.
pub fn sum<'a>(records: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    let sum = records
        .into_iter()
        .collect::<HashSet<_>>()
        .into_iter()
        .fold(0_u128, |s, r| s.wrapping_add(digest(r)));
    format!("{sum:032x}")
}

/// Reads a batch feed to its end, as a client would.
pub async fn drain(world: &Arc<World>, bearer: &str, kind: &str, label: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut query =
        format!("type={label}&pageSize=7&dateRangeStartsAt={}", dates::day(world.clock.wire() - 7 * DAY));
    loop {
        let page = list(world, bearer, kind, &query).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for link in page["value"].as_array().unwrap() {
            let file = download(world, link).await;
            assert_eq!(file.status, 200, "{}", file.text());
            let body = file.body.unwrap();
            assert_eq!(link["size"].as_u64().unwrap(), body.len() as u64);
            records.extend(lines(&body));
        }
        if page["isCaughtUp"] == true {
            return records;
        }
        let token =
            page["@nextPage"].as_str().unwrap().replace('+', "%2B").replace('=', "%3D").replace('/', "%2F");
        query = format!("type={label}&pageSize=7&nextPage={token}");
    }
}

#[tokio::test]
async fn tokens() {
    let world = world("", 100);
    let good = login(&world, "demo", "demo").await;
    assert_eq!((good.status, &good.json()["expires_in"]), (200, &json!(1799)));
    assert_eq!(login(&world, "t-5", "demo").await.status, 200);
    assert_eq!(login(&world, "demo-5", "demo").await.status, 200);
    for (id, secret) in [("t-6", "demo"), ("demo-05", "demo"), ("nobody", "demo"), ("demo", "wrong")] {
        let bad = login(&world, id, secret).await;
        assert_eq!((bad.status, &bad.json()["fail"][0]["code"]), (401, &json!("InvalidClientIdentifier")));
    }
    for _ in 0..4 {
        login(&world, "demo", "wrong").await;
    }
    let locked = login(&world, "demo", "demo").await;
    assert_eq!(locked.status, 401);
    assert!(locked.json()["fail"][0]["message"].as_str().unwrap().starts_with("0010 "));
    send(&world, "POST", "/_sim/advance?seconds=1800", &[], "").await;
    assert_eq!(login(&world, "demo", "demo").await.status, 200);
    let books = ledger(&world).await;
    assert_eq!((&books["failed_logins"], &books["attempts_while_locked"]), (&json!(5), &json!(1)));
    assert_eq!(books["requests"]["token"], json!({"200": 2, "401": 6}));
}

#[tokio::test]
async fn a_batch_feed_is_read_to_its_end_and_the_ledger_agrees() {
    let world = world("no_quota", 20_000);
    let bearer = bearer(&world).await;
    let mut handed = HashMap::new();
    for (kind, label, feed) in [
        ("cg", "receipt", "siem.receipt"),
        ("cg", "internal+email%20protect", "siem.internal-email-protect"),
        ("ci", "urlclicks", "ci.urlclick"),
    ] {
        handed.insert(feed, drain(&world, &bearer, kind, label).await);
    }
    let books = ledger(&world).await;
    for (feed, records) in handed {
        let entry = &books["feeds"][feed];
        assert_eq!(entry["published"], records.len());
        assert_eq!(entry["handed_out_distinct"], records.len());
        assert_eq!(entry["handed_out_digest"], sum(&records));
        assert_eq!(entry["published_digest"], entry["handed_out_digest"]);
        let truth = send(&world, "GET", &format!("/_sim/events?feed={feed}"), &[], "").await.body.unwrap();
        assert_eq!(truth.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect::<Vec<_>>(), records);
    }
    assert_eq!(books["feeds"]["siem.process"]["handed_out"], 0);
    assert_eq!(books["totals"]["published"], 20_000);
}

#[tokio::test]
async fn what_is_published_later_is_found_with_the_kept_token() {
    let world = world("", 1_000);
    let bearer = bearer(&world).await;
    let page = list(&world, &bearer, "cg", "type=av").await.json();
    let token = page["@nextPage"].as_str().unwrap().replace('=', "%3D").replace('+', "%2B");
    let query = format!("type=av&nextPage={token}");
    let again = list(&world, &bearer, "cg", &query).await.json();
    assert_eq!(again, json!({"value": [], "@nextPage": page["@nextPage"], "isCaughtUp": true}));
    let told = send(&world, "POST", "/_sim/publish?feed=siem.av&count=7", &[], "").await;
    assert_eq!(told.json()["published"], json!({"siem.av": 7}));
    let page = list(&world, &bearer, "cg", &query).await.json();
    let file = download(&world, &page["value"][0]).await;
    assert_eq!(lines(&file.body.unwrap()).len(), 7);
    assert_eq!(page["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn listings_refuse_what_is_wrong() {
    let world = world("", 5_000);
    let auth = bearer(&world).await;
    let old = dates::day(NOW - 8 * DAY);
    let receipt = list(&world, &auth, "cg", "type=receipt&pageSize=1").await.json();
    let foreign = receipt["@nextPage"].as_str().unwrap().replace('=', "%3D").replace('+', "%2B");
    for query in [
        "type=mail".to_owned(),
        "pageSize=5".to_owned(),
        "type=receipt&pageSize=101".to_owned(),
        "type=receipt&dateRangeStartsAt=01.01.2026".to_owned(),
        format!("type=receipt&dateRangeStartsAt={old}"),
        format!("type=process&nextPage={foreign}"),
        "type=receipt&nextPage=NDU1NA%3D%3D".to_owned(),
    ] {
        let got = list(&world, &auth, "cg", &query).await;
        assert_eq!(
            (got.status, &got.json()["error"][0]["code"]),
            (400, &json!("validation_error")),
            "{query}"
        );
    }
    assert_eq!(list(&world, &auth, "cg", "type=receipt&colour=red").await.status, 200);
    let bad = list(&world, "Bearer sim.demo.1.00", "cg", "type=av").await;
    assert_eq!((bad.status, &bad.json()["fail"][0]["code"]), (401, &json!("token_verification_failed")));
    send(&world, "POST", "/_sim/advance?seconds=1799", &[], "").await;
    let old = list(&world, &auth, "cg", "type=av").await;
    assert_eq!((old.status, &old.json()["fail"][0]["code"]), (401, &json!("token_expired")));
}

#[tokio::test]
async fn the_quota_is_shared_and_told_in_milliseconds() {
    let world = world("", 100);
    let bearer = bearer(&world).await;
    for n in 0..50 {
        let (kind, label) = if n % 2 == 0 { ("cg", "av") } else { ("ci", "mailflow") };
        assert_eq!(list(&world, &bearer, kind, &format!("type={label}")).await.status, 200);
    }
    let over = list(&world, &bearer, "ci", "type=entities").await;
    assert_eq!(over.status, 429);
    assert_eq!(over.headers["x-ratelimit-reset"], (8 * MINUTE).to_string());
    assert_eq!(ledger(&world).await["max_listing_calls_per_window"], 51);
    send(&world, "POST", "/_sim/advance?seconds=480", &[], "").await;
    assert_eq!(list(&world, &bearer, "ci", "type=entities").await.status, 200);
}

#[tokio::test]
async fn links_expire_are_signed_and_want_no_bearer() {
    let world = world("", 1_000);
    let bearer = bearer(&world).await;
    let page = list(&world, &bearer, "cg", "type=spam").await.json();
    let link = &page["value"][0];
    assert_eq!(link["expiry"], dates::iso(NOW + 15 * MINUTE));
    let path = link["url"].as_str().unwrap().strip_prefix("http://sim.test").unwrap();
    let leak = send(&world, "GET", path, &[("authorization", &bearer)], "").await;
    assert_eq!(leak.status, 400);
    assert!(leak.text().contains("<Code>InvalidArgument</Code>"));
    let forged = send(&world, "GET", &path.replace("X-Amz-Expires=900", "X-Amz-Expires=901"), &[], "").await;
    assert!(forged.status == 403 && forged.text().contains("SignatureDoesNotMatch"));
    send(&world, "POST", "/_sim/advance?seconds=900", &[], "").await;
    let expired = download(&world, link).await;
    assert!(expired.status == 403 && expired.text().contains("<Message>Request has expired</Message>"));
    let fresh = list(&world, &bearer, "cg", "type=spam").await.json();
    assert_eq!(download(&world, &fresh["value"][0]).await.status, 200);
    let books = ledger(&world).await;
    assert_eq!(
        (&books["bearer_leaks"], &books["requests"]["file"]),
        (&json!(1), &json!({"200": 1, "400": 1, "403": 2}))
    );
}

#[tokio::test]
async fn a_week_later_files_are_gone_and_the_books_still_balance() {
    let world = world("", 20_000);
    let old = bearer(&world).await;
    let page = list(&world, &old, "cg", "type=spam&pageSize=1").await.json();
    download(&world, &page["value"][0]).await;
    send(&world, "POST", "/_sim/advance?seconds=691200", &[], "").await;
    let bearer = bearer(&world).await;
    let page = list(&world, &bearer, "cg", "type=spam").await.json();
    assert_eq!(page["value"], json!([]));
    let entry = ledger(&world).await["feeds"]["siem.spam"].clone();
    let number = |name: &str| entry[name].as_u64().unwrap();
    assert_eq!(number("handed_out"), 100);
    assert_eq!(number("handed_out_distinct") + number("expired"), number("published"));
    assert_eq!(number("waiting"), 0);
}

#[tokio::test]
async fn damaged_files_are_not_handed_out_until_they_are_good() {
    let world = world("truncated-gzip; wrong-crc; on file feed=siem.spam first=1 effect=cut", 20_000);
    let auth = bearer(&world).await;
    for (label, bad) in [("receipt", 2), ("process", 2), ("spam", 1)] {
        let page = list(&world, &auth, "cg", &format!("type={label}&pageSize=1")).await.json();
        let link = &page["value"][0];
        for _ in 0..bad {
            let mut text = Vec::new();
            let broken = match download(&world, link).await.body {
                Some(body) => MultiGzDecoder::new(&body[..]).read_to_end(&mut text).is_err(),
                None => true,
            };
            assert!(broken, "{label}");
        }
        let entry = ledger(&world).await["feeds"][format!("siem.{label}")].clone();
        assert_eq!((&entry["damaged"], &entry["handed_out"]), (&json!(100), &json!(0)));
        assert_eq!(lines(&download(&world, link).await.body.unwrap()).len(), 100);
        let entry = ledger(&world).await["feeds"][format!("siem.{label}")].clone();
        assert_eq!((&entry["damaged"], &entry["handed_out"]), (&json!(0), &json!(100)));
    }
}

#[tokio::test]
async fn unreadable_lines_and_files_are_counted_apart() {
    let world = world("bad-line; invalid-utf8; empty-file; zero-bytes; bomb", 1_000);
    let auth = bearer(&world).await;
    let page = list(&world, &auth, "cg", "type=receipt").await.json();
    let (mut total, mut extras) = (0, 0);
    for link in page["value"].as_array().unwrap() {
        let body = download(&world, link).await.body.unwrap();
        assert_eq!(link["size"].as_u64().unwrap(), body.len() as u64);
        if link["url"].as_str().unwrap().contains("/extra-") {
            extras += 1
        } else {
            total += lines(&body).len()
        }
    }
    let entry = ledger(&world).await["feeds"]["siem.receipt"].clone();
    // 3 files: a bad line in each, bytes that are not UTF-8 in the first and third; bomb and zero bytes as a whole
    assert_eq!((extras, &entry["unreadable"]), (3, &json!(3 + 2 + 2)));
    assert_eq!(entry["listed"].as_u64().unwrap(), total as u64 + 2);
    assert_eq!(entry["handed_out_digest"], entry["published_digest"]);
}

#[tokio::test]
async fn scenarios_of_the_listing() {
    let world = world("expired-links, same-file-twice, caught-up-with-files", 20_000);
    let auth = bearer(&world).await;
    let page = list(&world, &auth, "cg", "type=receipt&pageSize=3").await.json();
    let value = page["value"].as_array().unwrap();
    assert_eq!((value.len(), &page["isCaughtUp"]), (4, &json!(true)));
    assert_eq!(value[0], value[3]);
    assert_eq!(download(&world, &value[0]).await.status, 403);
    let page = list(&world, &auth, "cg", "type=receipt&pageSize=3").await.json();
    assert_eq!(download(&world, &page["value"][0]).await.status, 200);

    let set =
        async |text: &str| assert_eq!(send(&world, "POST", "/_sim/scenario", &[], text).await.status, 200);
    set("foreign-link").await;
    let first = list(&world, &auth, "cg", "type=receipt").await.json();
    let second = list(&world, &auth, "cg", "type=receipt").await.json();
    assert!(first["value"][0]["url"].as_str().unwrap().starts_with("http://169.254.169.254/"));
    assert!(second["value"][0]["url"].as_str().unwrap().starts_with("https://evil.example/"));
    set("no-value=1; no-next-page=1").await;
    let bare = list(&world, &auth, "cg", "type=receipt&pageSize=1").await.json();
    assert_eq!(bare, json!({"isCaughtUp": false}));
    set("same-token").await;
    let start = list(&world, &auth, "cg", "type=receipt&pageSize=1").await.json();
    let token = start["@nextPage"].as_str().unwrap().replace('=', "%3D").replace('+', "%2B");
    let stuck = list(&world, &auth, "cg", &format!("type=receipt&pageSize=1&nextPage={token}")).await.json();
    assert_eq!((&stuck["@nextPage"], stuck["value"].as_array().unwrap().len()), (&start["@nextPage"], 1));
    set("redirect").await;
    assert_eq!(
        download(&world, &start["value"][0]).await.headers["location"].to_str().unwrap().find("/trap/"),
        Some(22)
    );
    assert_eq!(send(&world, "POST", "/_sim/scenario", &[], "thrott").await.status, 400);
}

#[tokio::test]
async fn scenarios_of_the_credential() {
    let world = world("lockout=10m; token-expiry=2; forbidden-feed; outage=1s", 1_000);
    let out = login(&world, "demo", "demo").await;
    assert_eq!((out.status, out.text().contains("<html>")), (503, true));
    send(&world, "POST", "/_sim/advance?seconds=1", &[], "").await;
    assert!(login(&world, "demo", "demo").await.text().contains("0010"));
    send(&world, "POST", "/_sim/advance?seconds=600", &[], "").await;
    let auth = bearer(&world).await;
    let forbidden = list(&world, &auth, "cg", "type=spam").await;
    assert_eq!((forbidden.status, &forbidden.json()["fail"][0]["code"]), (403, &json!("app_forbidden")));
    let statuses = [
        list(&world, &auth, "cg", "type=av").await.status,
        list(&world, &auth, "cg", "type=av").await.status,
        list(&world, &auth, "cg", "type=av").await.status,
    ];
    assert_eq!(statuses, [200, 200, 401]);
    let books = ledger(&world).await;
    assert_eq!((&books["attempts_while_locked"], &books["token_requests"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn a_real_socket_answers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = world("quiet", 1_000);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, server::router(world)).await });
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /_sim/ledger HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"published\": 0"));
    server.abort();
}
