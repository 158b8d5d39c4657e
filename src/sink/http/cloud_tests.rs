//! Cloud destinations against receivers that check every request by their documentation.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::Value;

use super::entra::Tokens;
use super::preset::Preset;
use super::tests::*;
use super::{Datadog, GoogleSecops, Loki, Otlp, Sentinel, SumoLogic};
use crate::clock::{Clock, Time};
use crate::fault::Kind;
use crate::format::Body;
use crate::format::template::Template;
use crate::limits::ENTRA_TOKEN_TRUST;
use crate::secret::Secret;
use crate::sink::plan::{Auth, Entra, HttpPlan};
use crate::sink::{Plan, Receipt, Sent, Sink};

fn taken(events: u64) -> Sent {
    Sent::Acknowledged(Receipt { events, level: 4 })
}

fn place(text: &str) -> Template {
    Template::new(text).unwrap()
}

fn sentinel() -> Arc<dyn Preset> {
    Arc::new(Sentinel { rule: "dcr-0123456789abcdef".to_owned(), stream: place("Custom-Mimecast_CL") })
}

/// The plan of a sink that gets its tokens from the same receiver.
fn with_entra(plan: HttpPlan) -> HttpPlan {
    let url = plan.url.join("directory/oauth2/v2.0/token").unwrap();
    let secret = Secret::new("s3cret~value").into();
    let scope = "https://monitor.azure.com//.default".to_owned();
    let auth = vec![Auth::Entra(Entra { url, client_id: "app-1".to_owned(), secret, scope })];
    HttpPlan { auth, gzip: true, ..plan }
}

const TOKEN: &str = "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"tok-abc\"}";

#[tokio::test]
async fn sentinel_gets_arrays_with_a_token_that_is_asked_for_once() {
    let answers = vec![reply("200 OK", "", TOKEN), reply("204 No Content", "", "")];
    let (plan, seen) = scripted(sentinel(), answers).await;
    let sink = Sink::new(Plan::Http(with_entra(plan))).unwrap();
    let batch = packed(&sentinel(), Body::Envelope, 3);
    for _ in 0..2 {
        assert_eq!(sink.send(&batch).await.unwrap(), taken(3));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3, "one token for two batches");
    assert!(seen[0].0.starts_with("post /directory/oauth2/v2.0/token "), "{}", seen[0].0);
    assert!(seen[0].0.contains("content-type: application/x-www-form-urlencoded"));
    let form = "grant_type=client_credentials&client_id=app-1&client_secret=s3cret%7Evalue&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default";
    assert_eq!(std::str::from_utf8(&seen[0].1).unwrap(), form);
    let (head, body) = &seen[1];
    let path = "post /datacollectionrules/dcr-0123456789abcdef/streams/custom-mimecast_cl?api-version=2023-01-01 http/1.1";
    assert!(head.starts_with(path), "{head}");
    for line in ["authorization: bearer tok-abc", "content-type: application/json", "content-encoding: gzip"]
    {
        assert!(head.contains(line), "{head}");
    }
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&body[..]), &mut plain).unwrap();
    let events: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&plain).unwrap();
    assert_eq!((events.len(), &events[2]["feed"]), (3, &Value::from("audit")));
}

#[tokio::test]
async fn a_bad_secret_is_tried_once_and_named() {
    let no = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: s3cret~value is wrong\"}";
    for (status, body, kind) in [
        ("401 Unauthorized", no, Kind::TokenMissing),
        ("400 Bad Request", "{\"error\":\"unauthorized_client\"}", Kind::TokenMissing),
        ("503 Busy", "", Kind::Status(503)),
        ("429 Too Many", "", Kind::Malformed),
        ("200 OK", "<html>", Kind::Malformed),
    ] {
        let (plan, seen) = scripted(sentinel(), vec![reply(status, "retry-after: 5\r\n", body)]).await;
        let sink = Sink::new(Plan::Http(with_entra(plan))).unwrap();
        let fault = sink.probe().await.unwrap_err();
        assert_eq!((fault.kind, seen.lock().unwrap().len()), (kind, 1), "{fault}");
        assert!(!fault.detail.contains("s3cret"), "{fault}");
        assert_eq!(fault.retry_after, Some(std::time::Duration::from_secs(5)));
    }
}

/// The clock jumps; what happens on the wire takes its own time.
async fn later(wait: Duration) {
    tokio::time::pause();
    tokio::time::advance(wait).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_that_azure_no_longer_takes_is_replaced() {
    let answers = vec![
        reply("200 OK", "", TOKEN),
        reply("503 Busy", "", ""),
        reply("429 Too Many", "retry-after: 5\r\n", ""),
        reply("401 Unauthorized", "", ""),
        reply("401 Unauthorized", "", ""),
        reply("200 OK", "", TOKEN),
        reply("204 No Content", "", ""),
    ];
    let (plan, seen) = scripted(sentinel(), answers).await;
    let sink = Sink::new(Plan::Http(with_entra(plan))).unwrap();
    let batch = packed(&sentinel(), Body::Envelope, 1);
    assert_eq!(sink.send(&batch).await.unwrap_err().kind, Kind::Status(503));
    later(ENTRA_TOKEN_TRUST - Duration::from_secs(30)).await;
    assert_eq!(sink.send(&batch).await.unwrap_err().kind, Kind::Status(429), "the same token");
    assert_eq!(sink.send(&batch).await.unwrap_err().kind, Kind::Status(401), "the same token");
    assert_eq!(
        sink.send(&batch).await.unwrap_err().kind,
        Kind::Status(401),
        "not before its first minute is over"
    );
    later(ENTRA_TOKEN_TRUST).await;
    assert_eq!(sink.send(&batch).await.unwrap(), taken(1));
    assert_eq!(seen.lock().unwrap().len(), 7);
}

/// Tokens from a receiver with these answers, and a client to ask with.
async fn tokens(answers: &[&str]) -> (Tokens, reqwest::Client, Seen) {
    let answers = answers.iter().map(|text| reply("200 OK", "", text)).collect();
    let (plan, seen) = scripted(sentinel(), answers).await;
    let plan = with_entra(plan);
    let Auth::Entra(entra) = plan.auth[0].clone() else { panic!("{:?}", plan.auth) };
    (Tokens::new(entra).unwrap(), super::Http::new(plan).unwrap().client, seen)
}

#[tokio::test]
async fn a_late_refusal_of_an_old_token_does_not_cost_the_new_one() {
    let (tokens, client, seen) = tokens(&[TOKEN, &TOKEN.replace("tok-abc", "tok-new")]).await;
    let old = tokens.current(&client).await.unwrap();
    tokens.doubt(&old);
    later(ENTRA_TOKEN_TRUST).await;
    let new = tokens.current(&client).await.unwrap();
    assert_eq!(new.secret.expose(), "tok-new");
    tokens.doubt(&old);
    later(ENTRA_TOKEN_TRUST).await;
    assert_eq!(tokens.current(&client).await.unwrap().secret, new.secret);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn requests_that_wait_for_one_token_try_a_bad_secret_once() {
    let (tokens, client, seen) = tokens(&["{\"error\":\"invalid_client\"}"]).await;
    let (one, two, three) =
        tokio::join!(tokens.current(&client), tokens.current(&client), tokens.current(&client));
    for refused in [one, two, three] {
        assert_eq!(refused.unwrap_err().kind, Kind::TokenMissing);
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
    tokens.current(&client).await.unwrap_err();
    assert_eq!(seen.lock().unwrap().len(), 2, "who comes later asks anew: somebody may have put it right");
}

#[tokio::test]
async fn short_lives_of_tokens_are_used_and_missing_ones_guessed() {
    for (life, used, over) in
        [(",\"expires_in\":240", 110, 20), ("", 1_490, 20), (",\"expires_in\":0", 1_490, 20)]
    {
        let (tokens, client, seen) = tokens(&[&format!("{{\"access_token\":\"tok\"{life}}}")]).await;
        tokens.current(&client).await.unwrap();
        later(Duration::from_secs(used)).await;
        tokens.current(&client).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 1, "{life}");
        later(Duration::from_secs(over)).await;
        tokens.current(&client).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 2, "{life}");
    }
}

/// A token answer that is not quite as it should be may hold a token all the same.
#[tokio::test]
async fn a_success_of_the_token_endpoint_is_not_quoted() {
    let (tokens, client, _) = tokens(&["{\"expires_in\":\"3599\",\"access_token\":\"tok-abc\"}"]).await;
    let fault = tokens.current(&client).await.unwrap_err();
    assert!(fault.kind == Kind::Malformed && !fault.detail.contains("tok-abc"), "{fault}");
}

#[tokio::test]
async fn a_refusal_that_quotes_the_token_of_entra_is_masked() {
    let answers = vec![
        reply("200 OK", "", TOKEN),
        reply("403 Forbidden", "", "{\"authorization\":\"Bearer tok-abc\"}"),
    ];
    let (plan, _) = scripted(sentinel(), answers).await;
    let sink = Sink::new(Plan::Http(with_entra(plan))).unwrap();
    let fault = sink.send(&packed(&sentinel(), Body::Envelope, 1)).await.unwrap_err();
    assert!(fault.detail.contains("Bearer <secret>") && !fault.detail.contains("tok-abc"), "{fault}");
}

#[tokio::test]
async fn what_is_too_much_for_one_call_is_sent_in_two() {
    let answers =
        vec![reply("200 OK", "", TOKEN), reply("204 No Content", "", ""), reply("413 Too Large", "", "")];
    let (plan, seen) = scripted(sentinel(), answers).await;
    let sink = Sink::new(Plan::Http(with_entra(HttpPlan { batch_bytes: 64 << 20, ..plan }))).unwrap();
    assert!(sink.window().max_bytes < crate::limits::SENTINEL_REQUEST_BYTES);
    let small = packed(&sentinel(), Body::Envelope, 1);
    let mut batch = crate::sink::Batch::default();
    let record = |len: usize| [b",{\"event_id\":\"".as_slice(), &vec![b'x'; len], b"\"}"].concat();
    for (n, len) in [600_000, 300_000, 2_000_000, 300_000].into_iter().enumerate() {
        batch.route("Custom-Mimecast_CL");
        batch.push(crate::event::EventId([n as u8; 16]), |out| out.extend_from_slice(&record(len)));
    }
    let Sent::Partly(receipt, rest) = sink.send(&batch).await.unwrap() else { panic!("all of it?") };
    assert_eq!((receipt.events(), small.len()), (2, 1));
    let kinds: Vec<_> = rest.iter().map(|some| (some.first(), some.fault.as_ref().unwrap().kind)).collect();
    assert_eq!(kinds, [(2, Kind::RecordTooLarge), (3, Kind::Status(413))]);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

fn loki(metadata: bool) -> Arc<dyn Preset> {
    Arc::new(Loki {
        labels: [("job".to_owned(), "mime\"cast".to_owned())].into(),
        organisation: Some("soc".parse().unwrap()),
        metadata,
    })
}

/// One push by the "Ingest logs" section; returns labels and values of each stream.
fn check_push(head: &str, body: &[u8]) -> Vec<(Value, Vec<Value>)> {
    assert!(head.starts_with("post /loki/api/v1/push http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("x-scope-orgid: soc"), "{head}");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    let stream = |stream: &Value| {
        let values = stream["values"].as_array().unwrap().clone();
        for value in &values {
            let nanos = value[0].as_str().expect("the time is a string");
            assert_eq!((nanos.len(), nanos), (19, "1767225600123000000"));
            assert!(value[1].is_string());
            assert!(value.get(2).is_none_or(|meta| meta.as_object().unwrap().values().all(Value::is_string)));
        }
        (stream["stream"].clone(), values)
    };
    body["streams"].as_array().unwrap().iter().map(stream).collect()
}

#[tokio::test]
async fn loki_gets_a_stream_for_each_feed_in_one_request() {
    for metadata in [false, true] {
        let (plan, seen) = scripted(loki(metadata), vec![reply("204 No Content", "", "")]).await;
        assert_eq!(send(&plan, &packed(&loki(metadata), Body::Envelope, 6)).await.unwrap(), taken(6));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        let streams = check_push(&seen[0].0, &seen[0].1);
        for ((labels, values), (feed, count)) in streams.iter().zip([("siem.receipt", 4), ("audit", 2)]) {
            assert_eq!(*labels, serde_json::json!({ "job": "mime\"cast", "tenant": "acme", "feed": feed }));
            let line: Value = serde_json::from_str(values[1][1].as_str().unwrap()).unwrap();
            assert_eq!((values.len(), line["feed"].as_str()), (count, Some(feed)));
            assert_eq!(values[1][2]["event_id"].is_string(), metadata);
        }
        assert_eq!(streams.len(), 2);
    }
}

#[tokio::test]
async fn loki_that_refuses_and_loki_that_is_asked_for_nothing() {
    let said =
        "entry with timestamp 2026-01-01 00:00:00.123 +0000 UTC ignored, reason: 'entry too far behind'";
    let (plan, _) = scripted(loki(false), vec![reply("400 Bad Request", "", said)]).await;
    let fault = send(&plan, &packed(&loki(false), Body::Envelope, 2)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Status(400));
    assert!(fault.detail.contains("entry too far behind"), "{fault}");
    let empty = "error at least one valid stream is required for ingestion";
    for (status, said, fails) in [
        ("204 No Content", "", false),
        ("422 Empty", empty, false),
        ("422 Empty", "somebody else's", true),
        ("401 Unauthorized", "", true),
    ] {
        let (plan, seen) = scripted(loki(false), vec![reply(status, "", said)]).await;
        assert_eq!(Sink::new(Plan::Http(plan)).unwrap().probe().await.is_err(), fails, "{status}");
        assert_eq!(seen.lock().unwrap()[0].1, b"{\"streams\":[]}");
    }
}

fn otlp() -> Arc<dyn Preset> {
    Arc::new(Otlp::new("gateway"))
}

fn partial(rejected: i64, words: &str) -> String {
    let partial_success =
        Some(ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: words.to_owned() });
    String::from_utf8(ExportLogsServiceResponse { partial_success }.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn otlp_requests_are_what_the_generated_messages_read() {
    let (plan, seen) = scripted(otlp(), vec![reply("200 OK", "", "")]).await;
    let batch = packed(&otlp(), Body::Envelope, 200);
    assert_eq!(send(&plan, &batch).await.unwrap(), taken(200));
    let (head, body) = seen.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("post /v1/logs http/1.1") && head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
    assert_eq!(request.encode_to_vec(), body, "the same bytes as the crate's own");
    let resource = &request.resource_logs[0];
    let names: Vec<&str> =
        resource.resource.as_ref().unwrap().attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(names, ["service.name", "host.name"]);
    let records = &resource.scope_logs[0].log_records;
    assert_eq!((request.resource_logs.len(), resource.scope_logs.len(), records.len()), (1, 1, 200));
    let last = &records[199];
    assert_eq!((last.time_unix_nano, last.severity_number), (1_767_225_600_123_000_000, 9));
    let Some(Any::StringValue(line)) = last.body.as_ref().unwrap().value.clone() else { panic!("no text") };
    let line: Value = serde_json::from_str(&line).unwrap();
    let uid = last.attributes.iter().find(|pair| pair.key == "log.record.uid").unwrap();
    let Some(Any::StringValue(uid)) = uid.value.as_ref().unwrap().value.clone() else { panic!("no text") };
    assert_eq!(line["event_id"], uid.as_str());
}

#[tokio::test]
async fn otlp_partial_successes_are_counted_honestly() {
    for (rejected, kind) in [(1, Some(Kind::Partial)), (3, Some(Kind::Partial)), (0, None)] {
        let answer = reply("200 OK", "", &partial(rejected, "attribute too long"));
        let (plan, _) = scripted(otlp(), vec![answer]).await;
        match (send(&plan, &packed(&otlp(), Body::Envelope, 3)).await.unwrap(), kind) {
            (Sent::Partly(receipt, rest), Some(kind)) => {
                let fault = rest[0].fault.as_ref().unwrap();
                assert_eq!((receipt.events(), rest[0].len(), fault.kind), (0, 3, kind));
                let code = if rejected == 3 { "" } else { "otlp_rejected" };
                assert_eq!(fault.code_str(), code, "what was not taken at all may be sent again in halves");
                assert!(
                    fault.detail.contains(&format!("{rejected} of 3 records rejected: attribute too long"))
                );
            }
            (sent, _) => assert_eq!(sent, taken(3), "a warning asks for nothing"),
        }
    }
    for (said, rejected) in [
        ("", 0),
        ("{}", 0),
        (" {\"partialSuccess\":{}}", 0),
        ("{\"partialSuccess\":{\"rejectedLogRecords\":\"2\",\"errorMessage\":\"too long\"}}", 2),
        ("{\"partialSuccess\":{\"rejectedLogRecords\":2}}", 2),
    ] {
        let (plan, _) = scripted(otlp(), vec![reply("200 OK", "", said)]).await;
        match send(&plan, &packed(&otlp(), Body::Envelope, 3)).await.unwrap() {
            Sent::Partly(_, rest) => assert_eq!((rest[0].len(), rejected), (3, 2), "{said}"),
            sent => assert_eq!((sent, rejected), (taken(3), 0), "{said}"),
        }
    }
    for (said, kind) in
        [("{\"error\":\"no\"}", Kind::Status(500)), ("{\"cut", Kind::Malformed), ("ok", Kind::Malformed)]
    {
        let (plan, _) = scripted(otlp(), vec![reply("200 OK", "", said)]).await;
        assert_eq!(send(&plan, &packed(&otlp(), Body::Envelope, 3)).await.unwrap_err().kind, kind, "{said}");
    }
    let (plan, _) = scripted(otlp(), vec![reply("503 Busy", "retry-after: 9\r\n", "")]).await;
    let fault = send(&plan, &packed(&otlp(), Body::Envelope, 3)).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry_after), (Kind::Status(503), Some(std::time::Duration::from_secs(9))));
    let (plan, seen) = scripted(otlp(), vec![reply("200 OK", "", "")]).await;
    assert_eq!(Sink::new(Plan::Http(plan)).unwrap().probe().await.unwrap(), 4);
    assert!(seen.lock().unwrap()[0].1.is_empty(), "an empty request is an empty message");
}

fn datadog(clock: Clock) -> Arc<dyn Preset> {
    Arc::new(Datadog {
        source: "mimecast".to_owned(),
        service: place("mail-{feed}"),
        tags: "env:prod".to_owned(),
        host: "gateway".to_owned(),
        clock,
    })
}

/// Datadog takes events up to 18 hours old, answers 202 and shows no others: late ones are dated by their receipt.
#[tokio::test]
async fn datadog_gets_late_events_without_a_date_that_it_would_drop_them_for() {
    const DATES: [&str; 6] = ["timestamp", "date", "_timestamp", "Timestamp", "eventTime", "published_date"];
    let born = Time(event().time.unwrap());
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let raw = br#"{"timestamp":1767225600123,"subject":"a, \"message\":\"b"}"#;
    for (body, parsed, kept) in [
        (Body::Envelope, true, "/event/subject"),
        (Body::Raw, true, "/event/subject"),
        (Body::Ecs, true, "/event/event/id"),
        (Body::Cef, false, ""),
    ] {
        let clock = Clock::manual(born);
        let preset = datadog(clock.clone());
        let (plan, seen) = scripted(preset.clone(), vec![reply("202 Accepted", "", "{}")]).await;
        let sink = Sink::new(Plan::Http(plan)).unwrap();
        let json = body != Body::Cef;
        let encoder =
            crate::format::Encoder::new(&crate::format::Shape { body, wire: crate::format::Wire::Line });
        let mut packer = crate::sink::Packer::new(encoder, json, Some(preset.clone()));
        let mut batch = crate::sink::Batch::default();
        packer.pack(&crate::event::Event { raw, ..event() }, &mut batch).unwrap();
        packer.pack(&crate::event::Event { time: None, ..event() }, &mut batch).unwrap();
        // held back for hours by a fault, the same batch is sent again
        for (wait, dated) in [(hours(16), true), (hours(1), false), (hours(100), false)] {
            clock.advance(wait);
            assert_eq!(sink.send(&batch).await.unwrap(), taken(2));
            let (_, sent) = seen.lock().unwrap().last().unwrap().clone();
            let logs: Vec<Value> = serde_json::from_slice(&sent).unwrap();
            assert_eq!(
                logs[0].get("timestamp").and_then(Value::as_i64),
                dated.then_some(born.0),
                "{}",
                logs[0]
            );
            assert_eq!(logs[1].get("timestamp"), None);
            let message = logs[0]["message"].as_str().unwrap();
            if !dated && parsed {
                let message: Value = serde_json::from_str(message).unwrap();
                assert!(DATES.iter().all(|name| message.get(name).is_none()), "{message}");
                assert!(message.pointer(kept).is_some(), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn datadog_gets_reserved_attributes_and_nothing_that_it_would_cut() {
    let preset = datadog(Clock::manual(Time(event().time.unwrap())));
    let (plan, seen) = scripted(preset.clone(), vec![reply("202 Accepted", "", "{}")]).await;
    let secret = Secret::new("key-1").into();
    let auth = vec![Auth::Header { name: "dd-api-key", scheme: "", secret }];
    let plan = HttpPlan { auth, batch_events: 5000, ..plan };
    let mut batch = packed(&preset, Body::Cef, 3);
    batch.push(crate::event::EventId([9; 16]), |out| out.extend_from_slice(&vec![b'x'; 1_000_001]));
    let sink = Sink::new(Plan::Http(plan)).unwrap();
    assert_eq!(sink.window().max_events, 1000);
    let Sent::Partly(receipt, rest) = sink.send(&batch).await.unwrap() else { panic!("all of it?") };
    assert_eq!((receipt.events(), rest[0].first()), (3, 3));
    assert_eq!(rest[0].fault.as_ref().unwrap().kind, Kind::RecordTooLarge);
    let (head, body) = seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /api/v2/logs http/1.1") && head.contains("dd-api-key: key-1"), "{head}");
    let logs: Vec<Value> = serde_json::from_slice(&body).unwrap();
    for log in &logs {
        let mut keys: Vec<&str> = log.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["ddsource", "ddtags", "hostname", "message", "service", "timestamp"]);
        assert!(log["message"].as_str().unwrap().starts_with("CEF:0|"));
    }
    assert_eq!((logs.len(), logs[2]["service"].as_str()), (3, Some("mail-audit")));
    assert_eq!(logs[2]["ddtags"], "tenant:acme,feed:audit,env:prod");
}

#[tokio::test]
async fn sumo_logic_gets_lines_by_category_and_its_code_is_not_told() {
    let preset: Arc<dyn Preset> = Arc::new(SumoLogic {
        category: place("mimecast/{feed}"),
        name: place("{tenant}"),
        host: "gateway".to_owned(),
    });
    let (plan, seen) =
        scripted(preset.clone(), vec![reply("200 OK", "", ""), reply("401 No", "", "code c0de-secret")])
            .await;
    let url = plan.url.join("receiver/v1/http/").unwrap();
    let auth = vec![Auth::Path { secret: Secret::new("c0de-secret").into() }];
    let sent = send(&HttpPlan { url, auth, ..plan }, &packed(&preset, Body::Envelope, 3)).await.unwrap();
    let Sent::Partly(_, rest) = sent else { panic!("{sent:?}") };
    let fault = rest[0].fault.as_ref().unwrap();
    assert!(fault.kind == Kind::Status(401) && !fault.detail.contains("c0de"), "{fault}");
    let seen = seen.lock().unwrap();
    for ((head, body), (category, count)) in
        seen.iter().zip([("mimecast/siem.receipt", 2), ("mimecast/audit", 1)])
    {
        assert!(head.starts_with("post /receiver/v1/http/c0de-secret http/1.1"), "{head}");
        for line in [
            format!("x-sumo-category: {category}"),
            "x-sumo-name: acme".into(),
            "x-sumo-host: gateway".into(),
        ] {
            assert!(head.contains(&line), "{head}");
        }
        assert_eq!(std::str::from_utf8(body).unwrap().lines().count(), count);
    }
}

#[tokio::test]
async fn a_webhook_feed_of_google_gets_lines_and_two_keys() {
    let preset: Arc<dyn Preset> = Arc::new(GoogleSecops);
    let (plan, seen) = scripted(preset.clone(), vec![reply("200 OK", "", "{}")]).await;
    let header = |name, secret| Auth::Header { name, scheme: "", secret: Secret::new(secret).into() };
    let auth = vec![header("x-goog-api-key", "key-1"), header("x-webhook-access-key", "key-2")];
    assert_eq!(send(&HttpPlan { auth, ..plan }, &packed(&preset, Body::Raw, 3)).await.unwrap(), taken(3));
    let seen = seen.lock().unwrap();
    let (head, body) = &seen[0];
    assert!(head.contains("x-goog-api-key: key-1") && head.contains("x-webhook-access-key: key-2"), "{head}");
    assert_eq!(std::str::from_utf8(body).unwrap().lines().count(), 3);
}
