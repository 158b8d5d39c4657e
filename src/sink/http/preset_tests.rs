//! Presets against receivers that check every byte of a request by the destination's documentation, and give the
//! answers that it lists.

use std::sync::Arc;

use serde_json::Value;

use super::preset::Preset;
use super::splunk_tests::hec;
use super::tests::*;
use super::{Array, Elasticsearch, Lines};
use crate::fault::{Fault, Kind};
use crate::format::Body;
use crate::format::template::Template;
use crate::sink::plan::HttpPlan;
use crate::sink::{Plan, Receipt, Sent, Sink, Undelivered};

pub fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

pub fn taken(events: u64, level: u8) -> Sent {
    Sent::Acknowledged(Receipt { events, level })
}

pub type Places = Vec<std::ops::Range<usize>>;
pub type Left = (Places, Option<(Kind, String)>);

/// What was not taken: places, status, code.
pub fn left(sent: Sent, level: u8) -> (u64, Vec<Left>) {
    let Sent::Partly(receipt, rest) = sent else { panic!("{sent:?}") };
    assert_eq!(receipt.level(), level);
    let why = |fault: Fault| (fault.kind, fault.code_str().to_owned());
    (receipt.events(), rest.into_iter().map(|some| (some.events, some.fault.map(why))).collect())
}

pub fn run(start: usize, end: usize) -> Places {
    std::iter::once(start..end).collect()
}

#[tokio::test]
async fn a_json_array_by_ways() {
    let way = |url: &str| Some(Template::new(url).unwrap());
    let plain: Arc<dyn Preset> = Arc::new(Array::default());
    let (plan, seen) = scripted(plain.clone(), vec![reply("200 OK", "", "")]).await;
    assert_eq!(send(&plan, &packed(&plain, Body::Envelope, 3)).await.unwrap(), taken(3, 4));
    let (head, body) = seen.lock().unwrap()[0].clone();
    assert!(head.contains("content-type: application/json"), "{head}");
    let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!((events.len(), &events[2]["feed"]), (3, &Value::from("audit")));

    let split: Arc<dyn Preset> = Arc::new(Array::new(way("http://HOST/in/{tenant}/{feed}?day={date}")));
    let answers = vec![reply("200 OK", "", ""), reply("503 Busy", "retry-after: 7\r\n", "")];
    let (plan, seen) = scripted(split, answers).await;
    let url = format!("{}in/{{tenant}}/{{feed}}?day={{date}}", plan.url);
    let split: Arc<dyn Preset> = Arc::new(Array::new(way(&url)));
    let plan = HttpPlan { preset: split.clone(), ..plan };
    let sent = send(&plan, &packed(&split, Body::Envelope, 6)).await.unwrap();
    let (count, rest) = left(sent, 4);
    assert_eq!((count, &rest[0].0), (4, &vec![2..3, 5..6]), "the audit events, judged as one");
    assert_eq!(rest[0].1, Some((Kind::Status(503), String::new())));
    let paths: Vec<String> =
        seen.lock().unwrap().iter().map(|(head, _)| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        ["post /in/acme/siem.receipt?day=2026-01-01 http/1.1", "post /in/acme/audit?day=2026-01-01 http/1.1"]
    );
}

#[tokio::test]
async fn what_comes_after_a_failed_request_was_not_looked_at() {
    let (plan, _) = scripted(Arc::new(Lines::default()), vec![reply("503 Busy", "", "")]).await;
    let split: Arc<dyn Preset> =
        Arc::new(Lines::new(Some(Template::new(&format!("{}{{feed}}", plan.url)).unwrap())));
    let plan = HttpPlan { preset: split.clone(), ..plan };
    let (count, rest) = left(send(&plan, &packed(&split, Body::Envelope, 3)).await.unwrap(), 4);
    assert_eq!((count, rest.len(), rest[0].1.is_some(), rest[1].1.is_some()), (0, 2, true, false));
}

/// One `_bulk` request by the "Bulk API" page: pairs of lines, an action and a source, the last one ended.
fn check_bulk(head: &str, body: &[u8], index: &str) -> Vec<String> {
    assert!(head.starts_with("post /base/_bulk?filter_path="), "{head}");
    assert!(head.contains("content-type: application/x-ndjson"), "{head}");
    let body = text(body);
    assert!(body.ends_with('\n') && !body.contains('\r'), "{body:?}");
    let lines: Vec<&str> = body.trim_end_matches('\n').split('\n').collect();
    assert_eq!(lines.len() % 2, 0);
    lines
        .chunks(2)
        .map(|pair| {
            let action: Value = serde_json::from_str(pair[0]).unwrap();
            let source: Value = serde_json::from_str(pair[1]).unwrap();
            assert!(source.is_object() && source["@timestamp"].is_string(), "{source}");
            let action = action.as_object().unwrap();
            assert_eq!(action.len(), 1);
            let meta = action["create"].as_object().unwrap();
            assert!(meta.keys().all(|key| ["_index", "_id"].contains(&key.as_str())));
            assert!(meta["_index"].as_str().unwrap().starts_with(index), "{meta:?}");
            assert_eq!(meta["_id"], source["event"]["id"], "the id is the event's");
            meta["_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn bulk() -> Arc<dyn Preset> {
    Arc::new(Elasticsearch::new(Template::new("logs-mimecast.{feed}-default").unwrap(), None))
}

#[tokio::test]
async fn elasticsearch_judges_every_item_by_itself() {
    let created = r#"{"create":{"status":201}}"#;
    let items = format!(
        r#"{{"errors":true,"items":[{created},
        {{"create":{{"status":409,"error":{{"type":"version_conflict_engine_exception","reason":"[x]: version conflict, document already exists"}}}}}},
        {{"create":{{"status":429,"error":{{"type":"es_rejected_execution_exception","reason":"rejected"}}}}}},
        {{"create":{{"status":400,"error":{{"type":"document_parsing_exception","reason":"failed to parse field [n]","caused_by":{{"type":"illegal_argument_exception","reason":"For input string: \"x\""}}}}}}}},
        {created}]}}"#
    );
    let fine = format!(r#"{{"errors":false,"items":[{created}]}}"#);
    let (plan, seen) = scripted(bulk(), vec![reply("200 OK", "", &items), reply("200 OK", "", &fine)]).await;
    let plan = HttpPlan { url: plan.url.join("base/").unwrap(), ..plan };
    let batch = packed(&bulk(), Body::Ecs, 5);
    let sent = send(&plan, &batch).await.unwrap();
    let words = match &sent {
        Sent::Partly(_, rest) => rest[1].fault.as_ref().unwrap().detail.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        words.contains("document_parsing_exception: failed to parse field [n]: For input string"),
        "{words}"
    );
    let busy = (run(2, 3), Some((Kind::Status(429), "es_rejected_execution_exception".to_owned())));
    let bad = (run(3, 4), Some((Kind::Status(400), "document_parsing_exception".to_owned())));
    assert_eq!(left(sent, 5), (3, vec![busy, bad]), "201 and 409 are delivered");
    assert_eq!(send(&plan, &batch.pick(&run(2, 3))).await.unwrap(), taken(1, 5));
    let seen = seen.lock().unwrap();
    let ids = check_bulk(&seen[0].0, &seen[0].1, "logs-mimecast.");
    assert_eq!(ids.len(), 5);
    assert_eq!(check_bulk(&seen[1].0, &seen[1].1, "logs-mimecast.audit-default"), ids[2..3]);
}

#[tokio::test]
async fn elasticsearch_answers_that_do_not_fit_are_not_believed() {
    for (status, body, kind) in [
        ("200 OK", "{\"errors\":false}", Kind::Malformed),
        ("200 OK", "{\"errors\":false,\"items\":[]}", Kind::Malformed),
        ("200 OK", "<html>", Kind::Malformed),
        (
            "401 Unauthorized",
            "{\"error\":{\"type\":\"security_exception\"},\"status\":401}",
            Kind::Status(401),
        ),
        ("429 Too Many", "", Kind::Status(429)),
        ("", "", Kind::Interrupted),
    ] {
        let answer = if status.is_empty() { String::new() } else { reply(status, "", body) };
        let (plan, _) = scripted(bulk(), vec![answer]).await;
        assert_eq!(
            send(&plan, &packed(&bulk(), Body::Ecs, 2)).await.unwrap_err().kind,
            kind,
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn probes_show_whether_the_keys_are_good_and_store_nothing() {
    for (preset, status, body, fails) in [
        (
            bulk(),
            "400 Bad Request",
            "{\"error\":{\"type\":\"parse_exception\",\"reason\":\"request body is required\"},\"status\":400}",
            None,
        ),
        (bulk(), "401 Unauthorized", "{}", Some(Kind::Status(401))),
        (bulk(), "400 Bad Request", "{\"error\":\"a proxy's own\"}", Some(Kind::Status(400))),
        (bulk(), "200 OK", "<html>sign in</html>", Some(Kind::Malformed)),
        (hec(false, None), "400 Bad Request", "{\"text\":\"No data\",\"code\":5}", None),
        (
            hec(false, None),
            "403 Forbidden",
            "{\"text\":\"Invalid token\",\"code\":4}",
            Some(Kind::Status(403)),
        ),
        (hec(false, None), "503 Busy", "{\"text\":\"Server is busy\",\"code\":9}", Some(Kind::Status(503))),
        (
            hec(true, None),
            "400 Bad Request",
            "{\"text\":\"Data channel is missing\",\"code\":10}",
            Some(Kind::Status(400)),
        ),
    ] {
        let (plan, seen) = scripted(preset, vec![reply(status, "", body)]).await;
        let probed = Sink::new(Plan::Http(plan)).unwrap().probe().await;
        assert_eq!(probed.as_ref().err().map(|fault| fault.kind), fails, "{probed:?}");
        let seen = seen.lock().unwrap();
        assert!(seen[0].1.is_empty() && seen[0].0.contains("content-length: 0"), "{}", seen[0].0);
    }
}

/// A `_bulk` answer is read up to a bound, and none that is cut there can be understood.
#[tokio::test]
async fn elasticsearch_gets_no_more_events_than_it_can_be_heard_about() {
    let (plan, _) = scripted(bulk(), vec![reply("200 OK", "", "{}")]).await;
    let most = crate::limits::MAX_BATCH_EVENTS as usize;
    let window = Sink::new(Plan::Http(HttpPlan { batch_events: most, ..plan })).unwrap().window();
    assert!(window.max_events < most);
    let verdict = "{\"create\":{\"status\":400,\"error\":{}}},".len() + 400; // with type, reason and cause
    assert!(window.max_events * verdict <= crate::limits::MAX_SINK_ANSWER_BYTES);
}

#[test]
fn an_undelivered_event_knows_its_place() {
    let some = Undelivered { events: vec![2..3, 5..9], fault: None };
    assert_eq!((some.len(), some.first(), some.is_empty()), (5, 2, false));
}
