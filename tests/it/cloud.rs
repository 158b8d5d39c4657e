//! Sentinel, Loki and OpenTelemetry from outside, each against a destination that checks what it gets by its own
//! documentation and has a bad day.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::{Value, json};

use crate::counterparts::{free_port, listens, start};
use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::presets::{assert_all_but_one, poison};
use crate::rig::{Arrived, Simulator, Site};
use crate::web::{Answer, Request, Web};

#[derive(Default)]
struct Azure {
    tokens: u32,
    calls: u32,
    lost: usize,
    arrived: Arrived,
}

/// Entra and the Logs Ingestion API.
fn azure(request: &Request, azure: &mut Azure) -> Answer {
    if request.line == "POST /directory/oauth2/v2.0/token" {
        let form: Vec<&str> = request.text().split('&').collect();
        for pair in ["grant_type=client_credentials", "client_id=application", "client_secret=s3cret"] {
            assert!(form.contains(&pair), "{form:?}");
        }
        azure.tokens += 1;
        let token = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "opaque" });
        return Answer::new("200 OK", &token.to_string());
    }
    let line =
        "POST /dataCollectionRules/dcr-0123456789abcdef/streams/Custom-Mimecast_CL?api-version=2023-01-01";
    assert_eq!(request.line, line);
    assert!(request.has("authorization: bearer opaque") && request.has("content-type: application/json"));
    assert!(request.body.len() <= 1_000_000, "{} bytes", request.body.len());
    azure.calls += 1;
    if azure.calls == 1 {
        return Answer::new("429 Too Many Requests\r\nRetry-After: 1", "");
    }
    let events: Vec<Box<serde_json::value::RawValue>> =
        serde_json::from_slice(&request.body).expect("an array");
    events.iter().for_each(|event| azure.arrived.add(event.get()));
    if azure.calls == 3 {
        azure.lost = events.len();
        return Answer::lost();
    }
    Answer::new("204 No Content", "")
}

#[test]
fn sentinel_gets_every_event_within_a_megabyte_and_one_token() {
    let simulator = Simulator::start(&["--events", "6000", "--seed", "81", "--scenario", "no_quota"]);
    let state = Arc::new(Mutex::new(Azure::default()));
    let theirs = state.clone();
    let web = Web::start(move |request| azure(request, &mut theirs.lock().expect("no panics")));
    let sink = format!(
        "[sinks.sentinel]\ntype = \"http\"\npreset = \"sentinel\"\nurl = \"http://{0}\"\nlogin_url = \"http://{0}\"\n\
         rule = \"dcr-0123456789abcdef\"\nstream = \"Custom-Mimecast_CL\"\ndirectory_id = \"directory\"\nclient_id = \"application\"\n\
         client_secret = \"s3cret\"\ncompression = \"gzip\"\nbatch = {{ events = 5000, bytes = \"8MiB\", wait = \"1s\" }}\n",
        web.address
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let state = state.lock().expect("no panics");
    for feed in FEEDS {
        assert_eq!(state.arrived.feed(feed), simulator.truth(feed).len() as u64, "{feed}");
    }
    assert_eq!(
        state.arrived.repeats(),
        state.lost as u64,
        "only what Azure has and nobody heard of comes twice"
    );
    assert!(state.tokens <= 2, "{} tokens: one, and one more after a refusal", state.tokens);
    site.reconcile();
}

#[derive(Default)]
struct Loki {
    pushes: u32,
    /// What Loki knows again: labels, time and text.
    known: HashSet<(String, String, String)>,
    arrived: Arrived,
}

fn loki(request: &Request, loki: &mut Loki, poison: &str) -> Answer {
    assert_eq!(request.line, "POST /loki/api/v1/push");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let streams = body["streams"].as_array().expect("streams");
    if streams.is_empty() {
        return Answer::new(
            "422 Unprocessable Entity",
            "error at least one valid stream is required for ingestion",
        );
    }
    loki.pushes += 1;
    if loki.pushes == 2 {
        return Answer::new("429 Too Many Requests", "ingestion rate limit exceeded");
    }
    let mut refused = 0;
    for stream in streams {
        let labels = stream["stream"].to_string();
        assert_eq!(
            (&stream["stream"]["tenant"], &stream["stream"]["job"]),
            (&json!("acme"), &json!("mimecast"))
        );
        for value in stream["values"].as_array().expect("values") {
            let (time, line) = (value[0].as_str().expect("a string"), value[1].as_str().expect("a string"));
            assert!(time.len() == 19 && time.bytes().all(|b| b.is_ascii_digit()), "{time}");
            if line.contains(poison) {
                refused += 1;
            } else if loki.known.insert((labels.clone(), time.to_owned(), line.to_owned())) {
                loki.arrived.add(line);
            }
        }
    }
    if refused > 0 {
        return Answer::new(
            "400 Bad Request",
            "entry ignored, reason: 'entry too far behind', total ignored: 1",
        );
    }
    Answer::new("204 No Content", "")
}

#[test]
fn loki_keeps_what_it_takes_and_one_line_is_too_old() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "82", "--scenario", "no_quota"]);
    let (state, poison) = (Arc::new(Mutex::new(Loki::default())), poison(&simulator));
    let theirs = state.clone();
    let web = Web::start(move |request| loki(request, &mut theirs.lock().expect("no panics"), poison));
    let sink =
        format!("[sinks.loki]\ntype = \"http\"\npreset = \"loki\"\nurl = \"http://{}\"\n", web.address);
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let state = state.lock().expect("no panics");
    assert_all_but_one(&simulator, &site, &state.arrived);
}

#[derive(Default)]
struct Otlp {
    requests: u32,
    arrived: Arrived,
    /// Records of the request of which one was rejected.
    partly: usize,
}

fn otlp(request: &Request, otlp: &mut Otlp, poison: &str) -> Answer {
    assert!(request.line == "POST /v1/logs" && request.has("content-type: application/x-protobuf"));
    let logs = ExportLogsServiceRequest::decode(&request.body[..]).expect("an ExportLogsServiceRequest");
    if logs.resource_logs.is_empty() {
        return Answer::new("200 OK", "");
    }
    otlp.requests += 1;
    if otlp.requests == 1 {
        return Answer::new("503 Service Unavailable", "");
    }
    let records =
        logs.resource_logs.into_iter().flat_map(|logs| logs.scope_logs).flat_map(|logs| logs.log_records);
    let lines: Vec<String> = records
        .map(|record| {
            assert!(record.time_unix_nano > 0 || record.observed_time_unix_nano > 0);
            match record.body.and_then(|body| body.value) {
                Some(Any::StringValue(line)) => line,
                other => panic!("no text: {other:?}"),
            }
        })
        .collect();
    let rejected = lines.iter().filter(|line| line.contains(poison)).count();
    if rejected > 0 {
        otlp.partly += lines.len();
        let error_message = "one record has no place here".to_owned();
        let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records: 1, error_message });
        let said = ExportLogsServiceResponse { partial_success }.encode_to_vec();
        return Answer::new("200 OK", &String::from_utf8(said).expect("ASCII"));
    }
    lines.iter().for_each(|line| otlp.arrived.add(line));
    Answer::new("200 OK", "")
}

#[test]
fn an_otlp_batch_of_which_one_record_is_rejected_is_put_aside_whole() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "83", "--scenario", "no_quota"]);
    let (state, poison) = (Arc::new(Mutex::new(Otlp::default())), poison(&simulator));
    let theirs = state.clone();
    let web = Web::start(move |request| otlp(request, &mut theirs.lock().expect("no panics"), poison));
    let sink = format!(
        "[sinks.otlp]\ntype = \"http\"\npreset = \"otlp\"\nurl = \"http://{}\"\nbatch = {{ events = 20, wait = \"1s\" }}\n",
        web.address
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let state = state.lock().expect("no panics");
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    assert!((2..=20).contains(&state.partly), "sent once, in one batch: {}", state.partly);
    assert_eq!(state.arrived.distinct() + state.partly as u64, published);
    assert_eq!(state.arrived.repeats(), 0);
    let status = site.status();
    assert_eq!(status["sinks"][0]["dead_lettered"], state.partly, "{status}");
    site.reconcile();
}

/// OpenTelemetry's own classes read what was sent: the messages above are written and read by the same crate, which could
/// be wrong twice.
#[test]
fn otlp_is_read_by_opentelemetrys_own_classes() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "84", "--scenario", "no_quota"]);
    let poison = poison(&simulator);
    let dir = tempfile::tempdir().expect("a directory");
    let (out, port) = (dir.path().join("out"), free_port());
    let receiver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/otlp/receiver.py");
    let text =
        std::env::var("OTLP_PYTHON").expect("OTLP_PYTHON: run scripts/test, which installs the classes");
    let args = [receiver, &port.to_string(), &out.display().to_string(), poison];
    let _server = start(std::path::Path::new(&text), &args, None);
    listens(port);
    let sink = format!(
        "[sinks.otlp]\ntype = \"http\"\npreset = \"otlp\"\nurl = \"http://127.0.0.1:{port}\"\ncompression = \"gzip\"\n\
         batch = {{ events = 20, wait = \"1s\" }}\n"
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let mut arrived = Arrived::default();
    let lines = std::fs::read_to_string(&out).expect("what arrived");
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let body = record["body"].as_str().expect("a text");
        arrived.add(body);
        let envelope: Value = serde_json::from_str(body).expect("an envelope");
        let attributes = &record["attributes"];
        for (name, key) in [
            ("log.record.uid", "event_id"),
            ("mimecast.tenant", "tenant"),
            ("mimecast.feed", "feed"),
            ("mimecast.type", "type"),
        ] {
            assert_eq!(attributes[name], envelope[key], "{line}");
        }
        for (name, key) in [("time", "time"), ("observed", "collected")] {
            let told = envelope[key].as_str().map(|text| text.parse::<jiff::Timestamp>().expect("a time"));
            let nanos = told.map_or(0, jiff::Timestamp::as_nanosecond);
            assert_eq!(record[name].as_i64().map(i128::from), Some(nanos), "{key}: {line}");
        }
        let resource = (&record["resource"]["service.name"], &record["scope"]);
        assert_eq!(resource, (&json!("mimecollectd"), &json!("mimecollectd")), "{line}");
        assert!([9, 10, 13].contains(&record["severity"].as_u64().expect("a number")), "{line}");
    }
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    let dead = site.status()["sinks"][0]["dead_lettered"].as_u64().expect("a number");
    assert!((1..=20).contains(&dead), "the batch of the rejected record: {dead}");
    assert_eq!((arrived.distinct() + dead, arrived.repeats()), (published, 0));
    site.reconcile();
}
