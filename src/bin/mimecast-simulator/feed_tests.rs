//! The mail log of API 1.0, the stream of API 2.0 and the threat feeds, asked in-process.

use crate::dates::{self, DAY, HOUR};
use crate::mta;
use crate::query::escape;
use crate::server_tests::{Got, NOW, bearer, ledger, lines, list, send, sum, world};
use crate::threat_feed;
use crate::window_tests::signed;
use crate::world::World;
use crate::zip;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

async fn ask_mta(world: &Arc<World>, format: &str, compress: bool, token: Option<&str>) -> Got {
    let data = json!({"type": "MTA", "fileFormat": format, "compress": compress, "token": token});
    signed(world, mta::PATH, &json!({"data": [data]}).to_string()).await
}

fn token(got: &Got) -> Option<String> {
    got.headers.get("mc-siem-token").map(|v| v.to_str().unwrap().to_owned())
}

/// The files of an answer with their names.
fn files(got: &Got) -> Vec<(String, Vec<u8>)> {
    let disposition = got.headers["content-disposition"].to_str().unwrap();
    let name = disposition.strip_prefix("attachment; filename=\"").unwrap().trim_end_matches('"');
    let body = got.body.clone().unwrap();
    if name.ends_with(".zip") { zip::read(&body) } else { vec![(name.to_owned(), body)] }
}

/// The texts of the records in a file.
fn records(name: &str, content: &[u8]) -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    if name.ends_with(".siem") {
        let text = String::from_utf8(content.to_vec()).unwrap();
        return text.split("\r\n").filter(|l| !l.is_empty()).map(|l| l.as_bytes().to_vec()).collect();
    }
    let file: File = serde_json::from_slice(content).unwrap();
    file.data.iter().map(|r| r.get().as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn the_mail_log_is_read_to_its_end_in_every_form() {
    for (format, compress) in [("json", true), ("JSON", false), ("key_value", true)] {
        let world = world("", 2_000);
        let (mut all, mut kinds, mut position) = (Vec::new(), BTreeSet::new(), None);
        loop {
            let got = ask_mta(&world, format, compress, position.as_deref()).await;
            assert_eq!(got.status, 200, "{}", got.text());
            let media = got.headers["content-type"].to_str().unwrap().to_ascii_lowercase();
            if media.starts_with("application/json") {
                assert_eq!(
                    got.json(),
                    json!({"meta": {"isLastToken": true, "status": 200}, "data": [], "fail": []})
                );
                break;
            }
            assert!(media.starts_with("application/octet-stream"));
            let files = files(&got);
            assert!(compress || files.len() == 1);
            for (name, content) in files {
                let (kind, stamp) = name.rsplit_once('_').unwrap();
                assert_eq!(stamp.split('.').next().unwrap().len(), 17, "{name}");
                kinds.insert(kind.to_owned());
                all.extend(records(&name, &content));
            }
            position = token(&got);
        }
        assert_eq!(kinds.len(), 11, "{kinds:?}");
        let entry = ledger(&world).await["feeds"]["siem.mta"].clone();
        let books = if format == "key_value" { &entry["key_value"] } else { &entry };
        assert_eq!((&entry["published"], &books["handed_out"]), (&json!(all.len()), &json!(all.len())));
        assert_eq!(
            (&books["published_digest"], &books["handed_out_digest"]),
            (&json!(sum(&all)), &json!(sum(&all)))
        );
        let form = if format == "key_value" { "&form=key_value" } else { "" };
        let truth = send(&world, "GET", &format!("/_sim/events?feed=siem.mta{form}"), &[], "").await;
        assert_eq!(truth.text().lines().filter(|l| !l.is_empty()).count(), all.len());
        // A kept token goes on with what came since.
        send(&world, "POST", "/_sim/publish?feed=siem.mta&count=7", &[], "").await;
        let more = ask_mta(&world, format, true, position.as_deref()).await;
        assert_eq!(files(&more).iter().map(|(n, c)| records(n, c).len()).sum::<usize>(), 7);
    }
}

#[tokio::test]
async fn the_mail_log_refuses_inside_a_200() {
    let world = world("", 1_000);
    let code =
        |got: Got| (got.status, got.json()["fail"][0]["errors"][0]["code"].as_str().unwrap().to_owned());
    let invalid = (200, "err_audit_siem_invalid_token".to_owned());
    assert_eq!(code(ask_mta(&world, "json", true, Some("bm90IG91cnM=")).await), invalid);
    let first = ask_mta(&world, "json", true, None).await;
    let old = token(&first).unwrap();
    send(&world, "POST", "/_sim/advance?seconds=604801", &[], "").await; // a week and a second
    assert_eq!(code(ask_mta(&world, "json", true, Some(&old)).await), invalid);
    let expired = ask_mta(&world, "json", true, None).await;
    assert_eq!(expired.json()["meta"]["isLastToken"], true, "a week later there is nothing left");
    let entry = ledger(&world).await["feeds"]["siem.mta"].clone();
    assert_eq!(entry["obtainable"], 0);
    assert_eq!(code(signed(&world, mta::PATH, "{\"data\":[{}]}").await).1, "err_validation_null");
    let bearer = bearer(&world).await;
    let two = send(&world, "POST", mta::PATH, &[("authorization", &bearer)], "{}").await;
    assert_eq!(two.status, 403, "API 2.0 does not have it");
}

#[tokio::test]
async fn poison_in_the_mail_log() {
    let set = "on siem.mta nth=1 effect=not-a-zip; on siem.mta nth=2 effect=cut; on siem.mta nth=3 effect=traversal;
        on siem.mta nth=3 effect=zero-bytes-member; on siem.mta nth=3 effect=broken-member;
        on siem.mta nth=4 effect=unknown-prefix; on siem.mta nth=5 effect=no-siem-token";
    let world = world(set, 2_000);
    let bad = ask_mta(&world, "json", true, None).await;
    assert!(bad.text().contains("not a valid zip") && token(&bad).is_some());
    assert!(ask_mta(&world, "json", true, None).await.body.is_none(), "the connection broke");
    assert_eq!(ledger(&world).await["feeds"]["siem.mta"]["handed_out"], 0);
    let members = files(&ask_mta(&world, "json", true, None).await);
    assert!(members[0].0.starts_with("../"));
    let ends: Vec<usize> = members.iter().rev().take(2).map(|(_, content)| content.len()).collect();
    assert!(ends[1] == 0 && ends[0] > 0);
    assert!(serde_json::from_slice::<Value>(&members.last().unwrap().1).is_err());
    let entry = ledger(&world).await["feeds"]["siem.mta"].clone();
    assert_eq!(entry["unreadable"], 1);
    assert!(entry["handed_out"].as_u64() > Some(1_000));
    assert!(files(&ask_mta(&world, "json", true, None).await)[0].0.starts_with("newlog_"));
    assert_eq!(token(&ask_mta(&world, "json", true, None).await), None);
}

async fn stream(world: &Arc<World>, bearer: &str, query: &str) -> Got {
    let path = format!("/siem/v1/events/cg?{query}");
    send(world, "GET", &path, &[("authorization", bearer), ("accept", "application/json")], "").await
}

/// Reads the stream to its end; the texts of its objects, and the last token.
async fn drain(world: &Arc<World>, bearer: &str, types: &str) -> (Vec<Vec<u8>>, String) {
    let mut objects = Vec::new();
    let mut query = format!("types={types}&pageSize=90&dateRangeStartsAt={}", dates::iso(NOW - 7 * HOUR));
    loop {
        let got = stream(world, bearer, &query).await;
        assert_eq!(got.status, 200, "{}", got.text());
        let text = got.text();
        let page: HashMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        let list: Vec<&RawValue> = serde_json::from_str(page["value"].get()).unwrap();
        objects.extend(list.iter().map(|r| r.get().as_bytes().to_vec()));
        let token: String = serde_json::from_str(page["@nextPage"].get()).unwrap();
        if page["isCaughtUp"].get() == "true" {
            return (objects, token);
        }
        query = format!("types={types}&pageSize=90&nextPage={}", escape(&token));
    }
}

#[tokio::test]
async fn the_stream_tells_of_the_same_events_as_the_batch() {
    let world = world("stream_quota=off", 5_000);
    let bearer = bearer(&world).await;
    let (objects, token) = drain(&world, &bearer, "process,av").await;
    let books = ledger(&world).await["feeds"]["siem.process"].clone();
    assert_eq!(books["stream"]["handed_out_distinct"], books["published"]);
    assert_eq!(books["stream"]["published_digest"], books["stream"]["handed_out_digest"]);
    assert_eq!(books["handed_out"], 0, "the batch books are others");
    let page = list(&world, &bearer, "cg", "type=process").await.json();
    let link = page["value"][0]["url"].as_str().unwrap().strip_prefix("http://sim.test").unwrap();
    let batch = lines(&send(&world, "GET", link, &[], "").await.body.unwrap());
    for (object, line) in objects.iter().zip(&batch) {
        let object: Value = serde_json::from_slice(object).unwrap();
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!((&object["eventType"], &object["subType"]), (&line["type"], &line["subtype"]));
        assert_eq!(
            (&object["aggregateId"], &object["timestamp"]),
            (&line["aggregateId"], &line["timestamp"])
        );
        assert!(object.get("type").is_none() && object.get("_offset").is_none());
    }
    let (held, _) = drain(&world, &bearer, "process:Hld").await;
    assert!(!held.is_empty() && held.len() < objects.len() / 4);
    assert!(held.iter().all(|o| serde_json::from_slice::<Value>(o).unwrap()["subType"] == "Hld"));
    // The kept token finds what is new of either type.
    send(&world, "POST", "/_sim/publish?feed=siem.process&count=3", &[], "").await;
    send(&world, "POST", "/_sim/publish?feed=siem.av&count=4", &[], "").await;
    let more = stream(&world, &bearer, &format!("types=process,av&nextPage={}", escape(&token))).await.json();
    assert_eq!((more["value"].as_array().unwrap().len(), &more["isCaughtUp"]), (7, &json!(true)));
}

#[tokio::test]
async fn the_stream_has_a_day_and_three_hundred_calls_an_hour() {
    let world = world("", 1_000);
    let auth = bearer(&world).await;
    for query in [
        format!("types=av&dateRangeStartsAt={}", dates::iso(NOW - DAY - 1)),
        format!("types=av&dateRangeStartsAt={}", dates::day(NOW)),
        "type=av".to_owned(),
        "types=mail".to_owned(),
        "types=av&pageSize=101".to_owned(),
        "types=av&nextPage=NDU1NA%3D%3D".to_owned(),
    ] {
        let got = stream(&world, &auth, &query).await;
        assert_eq!(
            (got.status, &got.json()["error"][0]["code"]),
            (400, &json!("validation_error")),
            "{query}"
        );
    }
    for _ in 0..294 {
        assert_eq!(stream(&world, &auth, "types=av").await.status, 200);
    }
    let over = stream(&world, &auth, "types=av").await;
    assert_eq!((over.status, over.headers["x-ratelimit-remaining"].to_str().unwrap()), (429, "0"));
    assert_eq!(list(&world, &auth, "cg", "type=av").await.status, 200, "the batch has its own");
    let quota = ledger(&world).await["quotas"]["stream"].clone();
    let expected =
        json!({"window_seconds": 3600, "calls_this_window": 301, "max_calls_per_window": 301, "refused": 1});
    assert_eq!(quota, expected);
    send(&world, "POST", "/_sim/advance?seconds=90000", &[], "").await;
    let auth = bearer(&world).await;
    assert_eq!(stream(&world, &auth, "types=av").await.json()["value"], json!([]), "a day later it is gone");
}

#[tokio::test]
async fn functions_have_quotas_of_their_own() {
    let world = world("api_quota=2", 1_000);
    let ask = "{\"data\":[{}]}";
    let first = signed(&world, "/api/dlp/get-logs", ask).await;
    let header = |got: &Got, name: &str| got.headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header(&first, "x-ratelimit-limit"), header(&first, "x-ratelimit-remaining")),
        ("2".into(), "1".into())
    );
    signed(&world, "/api/dlp/get-logs", ask).await;
    let over = signed(&world, "/api/dlp/get-logs", ask).await;
    assert_eq!((over.status, header(&over, "x-ratelimit-reset")), (429, (8 * dates::MINUTE).to_string()));
    assert!(over.text().contains("\"0008 "));
    assert_eq!(signed(&world, "/api/ttp/url/get-logs", ask).await.status, 200);
    assert_eq!(ledger(&world).await["quotas"]["dlp"]["refused"], 1);
}

async fn feed(world: &Arc<World>, data: Value) -> Got {
    signed(world, threat_feed::PATH, &json!({"data": [data]}).to_string()).await
}

#[tokio::test]
async fn a_threat_feed_is_read_until_there_is_no_token() {
    for (file_type, compress) in [("stix", false), ("stix", true), ("csv", false)] {
        let world = world("", 200_000);
        let (mut all, mut token, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let data = json!({"feedType": "malware_grid", "fileType": file_type, "compress": compress, "token": token});
            let got = feed(&world, data).await;
            let mut body = got.body.clone().unwrap();
            if compress {
                body = zip::read(&body).remove(0).1;
            }
            if file_type == "csv" {
                let text = String::from_utf8(body).unwrap();
                assert!(text.starts_with("type|id|"));
                all.extend(text.lines().skip(1).map(|l| l.as_bytes().to_vec()));
            } else {
                let bundle: HashMap<String, &RawValue> = serde_json::from_slice(&body).unwrap();
                let objects: Vec<&RawValue> = serde_json::from_str(bundle["objects"].get()).unwrap();
                all.extend(objects.iter().map(|o| o.get().as_bytes().to_vec()));
            }
            pages += 1;
            let next = got.headers.get("x-mc-threat-feed-next-token");
            let Some(next) = next else { break };
            token = Some(next.to_str().unwrap().to_owned());
        }
        assert!(pages > 2);
        let entry = ledger(&world).await["feeds"]["threat-feed.grid"].clone();
        let books = if file_type == "csv" { &entry["csv"] } else { &entry };
        assert_eq!(
            (&entry["published"], &books["handed_out_digest"]),
            (&json!(all.len()), &json!(sum(&all)))
        );
        assert_eq!(books["published_digest"], books["handed_out_digest"]);
    }
}

#[tokio::test]
async fn an_empty_threat_feed_is_told_like_a_failure() {
    let world = world("", 1_000);
    let ancient = json!({"feedType": "malware_customer", "fileType": "stix",
        "start": dates::api(NOW - 3 * DAY), "end": dates::api(NOW - 2 * DAY)});
    let got = feed(&world, ancient).await;
    assert_eq!((got.status, &got.json()["data"]), (200, &json!([])));
    let message = got.json()["fail"][0]["errors"][0]["message"].clone();
    assert_eq!(message, "No results found for threat intel feed.");
    for data in [json!({"feedType": "other"}), json!({"feedType": "malware_grid", "fileType": "pdf"})] {
        assert_eq!(
            feed(&world, data).await.json()["fail"][0]["errors"][0]["code"],
            "err_validation_value_not_allowed"
        );
    }
}
