//! Presets against receivers that check every byte of a request by the destination's documentation, and give the
//! answers that it lists.

use std::sync::Arc;

use serde_json::Value;

use super::preset::Preset;
use super::tests::*;
use super::{Array, Elasticsearch, Lines, SplunkHec};
use crate::fault::{Fault, Kind};
use crate::format::Body;
use crate::format::template::Template;
use crate::sink::plan::HttpPlan;
use crate::sink::{Plan, Receipt, Sent, Sink, Undelivered};

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

fn taken(events: u64, level: u8) -> Sent {
    Sent::Acknowledged(Receipt { events, level })
}

type Places = Vec<std::ops::Range<usize>>;
type Left = (Places, Option<(Kind, String)>);

/// What was not taken: places, status, code.
fn left(sent: Sent, level: u8) -> (u64, Vec<Left>) {
    let Sent::Partly(receipt, rest) = sent else { panic!("{sent:?}") };
    assert_eq!(receipt.level(), level);
    let why = |fault: Fault| (fault.kind, fault.code_str().to_owned());
    (receipt.events(), rest.into_iter().map(|some| (some.events, some.fault.map(why))).collect())
}

fn run(start: usize, end: usize) -> Places {
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
async fn a_receiver_that_finds_batches_too_large_gets_smaller_ones() {
    let (plan, _) = scripted(bulk(), vec![reply("413 Too Large", "", "")]).await;
    let sink = Sink::new(Plan::Http(plan)).unwrap();
    let batch = packed(&bulk(), Body::Ecs, 90);
    let before = sink.window().max_bytes;
    assert_eq!(sink.send(&batch).await.unwrap_err().kind, Kind::Status(413));
    assert_eq!(sink.window().max_bytes, batch.bytes.len() / 2);
    assert!(before > batch.bytes.len());
    for _ in 0..20 {
        let _ = sink.send(&batch.pick(&run(0, 2))).await.unwrap_err();
    }
    assert_eq!(sink.window().max_bytes, crate::limits::LEAST_HTTP_ROOM_BYTES, "there is an end to it");
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

fn hec(raw: bool, acknowledge: Option<std::time::Duration>) -> Arc<dyn Preset> {
    Arc::new(SplunkHec {
        raw,
        sourcetype: Template::new("mimecast:{feed}").unwrap(),
        source: Template::new("mimecollectd:{tenant}").unwrap(),
        host: "gate\"way".to_owned(),
        index: Some(Template::new("mail").unwrap()),
        acknowledge,
        channel: "0d4a3f0e-2b1c-4a53-9f6e-111111111111".parse().unwrap(),
    })
}

/// Objects one after another, as "Format events for HTTP Event Collector" has them.
fn check_hec(body: &[u8]) -> Vec<Value> {
    let events: Vec<Value> =
        serde_json::Deserializer::from_slice(body).into_iter().collect::<Result<_, _>>().unwrap();
    for event in &events {
        let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        let known = ["time", "host", "source", "sourcetype", "index", "event"];
        assert!(keys.iter().all(|key| known.contains(key)), "{keys:?}");
        assert!((event["time"].as_f64().unwrap() - 1_767_225_600.123).abs() < 0.0005);
        assert!(!event["event"].is_null());
    }
    events
}

#[tokio::test]
async fn splunk_gets_events_and_raw_lines() {
    let fine = reply("200 OK", "", "{\"text\":\"Success\",\"code\":0}");
    for (body, is_object) in [(Body::Envelope, true), (Body::Ocsf, true), (Body::Cef, false)] {
        let (plan, seen) = scripted(hec(false, None), vec![fine.clone()]).await;
        let plan = HttpPlan { url: plan.url.join("services/collector").unwrap(), ..plan };
        assert_eq!(send(&plan, &packed(&hec(false, None), body, 3)).await.unwrap(), taken(3, 4));
        let (head, sent) = seen.lock().unwrap()[0].clone();
        assert!(head.starts_with("post /services/collector/event http/1.1"), "{head}");
        let events = check_hec(&sent);
        assert_eq!((events.len(), events[2]["event"].is_object()), (3, is_object), "{}", events[2]);
        assert_eq!(
            (events[2]["sourcetype"].as_str(), events[0]["host"].as_str()),
            (Some("mimecast:audit"), Some("gate\"way"))
        );
    }
    let (plan, seen) = scripted(hec(true, None), vec![fine]).await;
    assert_eq!(send(&plan, &packed(&hec(true, None), Body::Envelope, 3)).await.unwrap(), taken(3, 4));
    let seen = seen.lock().unwrap();
    let path = "post /services/collector/raw?sourcetype=mimecast%3asiem.receipt&source=mimecollectd%3aacme&index=mail&host=gate%22way ";
    assert!(seen[0].0.starts_with(path), "{}", seen[0].0);
    assert!(seen[0].0.contains("x-splunk-request-channel: 0d4a"), "{}", seen[0].0);
    assert_eq!((seen.len(), text(&seen[0].1).lines().count(), text(&seen[1].1).lines().count()), (2, 2, 1));
}

#[tokio::test]
async fn splunk_codes_are_told_and_the_bad_event_is_found_at_once() {
    for (status, code) in [("403 Forbidden", 1), ("401 Unauthorized", 2), ("503 Busy", 9), ("500 Error", 8)] {
        let answer = reply(status, "", &format!("{{\"text\":\"words\",\"code\":{code}}}"));
        let (plan, _) = scripted(hec(false, None), vec![answer]).await;
        let fault = send(&plan, &packed(&hec(false, None), Body::Envelope, 2)).await.unwrap_err();
        assert_eq!(fault.code_str(), format!("hec_{code}"));
    }
    let answer = reply(
        "400 Bad Request",
        "",
        "{\"text\":\"Invalid data format\",\"code\":6,\"invalid-event-number\":1}",
    );
    let (plan, _) = scripted(hec(false, None), vec![answer]).await;
    let sent = send(&plan, &packed(&hec(false, None), Body::Envelope, 4)).await.unwrap();
    let bad = (run(1, 2), Some((Kind::Status(400), "hec_6".to_owned())));
    assert_eq!(left(sent, 4), (0, vec![bad, (run(0, 1), None), (run(2, 4), None)]));
    let (plan, _) = scripted(hec(false, None), vec![reply("200 OK", "", "<html>welcome</html>")]).await;
    let fault = send(&plan, &packed(&hec(false, None), Body::Envelope, 1)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Html, "somebody else's 200");
}

#[tokio::test]
async fn splunk_is_asked_until_the_events_are_indexed() {
    let patience = std::time::Duration::from_secs(60);
    let answers = vec![
        reply("200 OK", "", "{\"text\":\"Success\",\"code\":0,\"ackId\":7}"),
        reply("200 OK", "", "{\"acks\":{\"7\":false}}"),
        reply("200 OK", "", "{\"acks\":{\"7\":true}}"),
    ];
    let (plan, seen) = scripted(hec(false, Some(patience)), answers).await;
    let batch = packed(&hec(false, Some(patience)), Body::Envelope, 2);
    assert_eq!(send(&plan, &batch).await.unwrap(), taken(2, 5));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for (head, body) in &seen[1..] {
        assert!(head.starts_with("post /services/collector/ack "), "{head}");
        assert!(head.contains("x-splunk-request-channel: 0d4a"), "{head}");
        assert_eq!(text(body), "{\"acks\":[7]}");
    }
}

#[tokio::test]
async fn splunk_that_never_confirms_gets_the_events_again() {
    let patience = std::time::Duration::from_millis(10);
    let accepted = reply("200 OK", "", "{\"text\":\"Success\",\"code\":0,\"ackId\":0}");
    let never = reply("200 OK", "", "{\"acks\":{\"0\":false}}");
    let (plan, _) = scripted(hec(false, Some(patience)), vec![accepted, never]).await;
    let fault = send(&plan, &packed(&hec(false, Some(patience)), Body::Envelope, 2)).await.unwrap_err();
    assert_eq!((fault.kind, fault.code_str()), (Kind::Timeout, "hec_ack_timeout"));
}

/// Splunk has the events; to send them again, because nobody confirms them, would store them without end.
#[tokio::test]
async fn splunk_whose_token_cannot_confirm_is_believed_as_far_as_it_goes() {
    let patience = std::time::Duration::from_secs(60);
    let confirming = hec(false, Some(patience));
    let answers = vec![
        reply("200 OK", "", "{\"text\":\"Success\",\"code\":0}"),
        reply("400 Bad Request", "", "{\"text\":\"No data\",\"code\":5}"),
        reply("400 Bad Request", "", "{\"text\":\"ACK is disabled\",\"code\":14}"),
        reply("400 Bad Request", "", "{\"text\":\"No data\",\"code\":5}"),
        reply("200 OK", "", "{\"acks\":{\"4294967295\":false}}"),
    ];
    let (plan, _) = scripted(confirming.clone(), answers).await;
    let sink = Sink::new(Plan::Http(plan)).unwrap();
    assert_eq!(sink.ack_level(), 5);
    assert_eq!(sink.send(&packed(&confirming, Body::Envelope, 2)).await.unwrap(), taken(2, 4));
    assert_eq!(sink.ack_level(), 4, "metric and status say so");
    assert_eq!(sink.probe().await.unwrap(), 4, "and so does the log");
    assert_eq!(sink.probe().await.unwrap(), 5, "until it is switched on");
}

/// Two ways make two requests; their indexers are waited for once.
#[tokio::test]
async fn splunk_is_asked_for_all_requests_of_a_batch_together() {
    let confirming = hec(true, Some(std::time::Duration::from_millis(10)));
    let accepted =
        |id: u8| reply("200 OK", "", &format!("{{\"text\":\"Success\",\"code\":0,\"ackId\":{id}}}"));
    let half = reply("200 OK", "", "{\"acks\":{\"3\":false,\"4\":true}}");
    let (plan, seen) = scripted(confirming.clone(), vec![accepted(3), accepted(4), half]).await;
    let sent = send(&plan, &packed(&confirming, Body::Envelope, 3)).await.unwrap();
    let open = (run(0, 2), Some((Kind::Timeout, "hec_ack_timeout".to_owned())));
    assert_eq!(left(sent, 5), (1, vec![open]), "what is confirmed stays confirmed");
    assert_eq!(text(&seen.lock().unwrap()[2].1), "{\"acks\":[3,4]}");
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
