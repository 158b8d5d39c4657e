//! HTTP presets from outside, against destinations that check every request by their own documentation and have a
//! bad day: right events are sent again or put aside, none is lost, none repeated needlessly.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Simulator, Site, assert_complete};
use crate::web::{Answer, Request, Web};

/// The only record of its feed that a destination will never take.
pub fn poison(simulator: &Simulator) -> &'static str {
    String::leak(simulator.truth("siem.av").first().expect("av events").clone())
}

/// Everything arrived but the poison, which is a dead letter.
pub fn assert_all_but_one(simulator: &Simulator, site: &Site, arrived: &Arrived) {
    for feed in FEEDS {
        let missing = u64::from(*feed == "siem.av");
        assert_eq!(arrived.feed(feed) + missing, simulator.truth(feed).len() as u64, "{feed}");
    }
    let status = site.status();
    assert_eq!(status["sinks"][0]["dead_lettered"], 1, "{status}");
    site.reconcile();
}

#[derive(Default)]
struct Index {
    requests: u32,
    ids: HashSet<String>,
    arrived: Arrived,
    /// One answer got lost.
    lost: bool,
    /// Events that came although they were there.
    conflicts: usize,
    /// Events that were told to come again.
    busy: HashSet<String>,
}

/// Elasticsearch on a bad day.
fn elasticsearch(request: &Request, index: &mut Index, poison: &str) -> Answer {
    assert!(request.line.starts_with("POST /_bulk?filter_path="), "{}", request.line);
    assert!(request.has("content-type: application/x-ndjson"), "{:?}", request.headers);
    if !request.has("authorization: apikey a2v5") {
        return Answer::new("401 Unauthorized", "{}");
    }
    if request.body.is_empty() {
        let error = json!({ "error": { "type": "parse_exception", "reason": "request body is required" }, "status": 400 });
        return Answer::new("400 Bad Request", &error.to_string());
    }
    index.requests += 1;
    if index.requests == 1 {
        return Answer::new("503 Service Unavailable", "{}");
    }
    if request.body.len() > 150_000 {
        return Answer::new("413 Request Entity Too Large", "");
    }
    assert!(request.body.ends_with(b"\n"));
    let lines: Vec<&str> = request.text().trim_end_matches('\n').split('\n').collect();
    let mut items = Vec::new();
    for (n, pair) in lines.chunks(2).enumerate() {
        let action: Value = serde_json::from_str(pair[0]).expect("an action");
        let source: Value = serde_json::from_str(pair[1]).expect("a source");
        let id = action["create"]["_id"].as_str().expect("an id").to_owned();
        assert_eq!(source["event_id"], id.as_str());
        let name = action["create"]["_index"].as_str().expect("an index");
        assert!(name.starts_with("mail-acme-") && name == name.to_lowercase(), "{name}");
        let failed = |status: u16, kind: &str| json!({ "create": { "status": status, "error": { "type": kind, "reason": "said so" } } });
        items.push(if pair[1].contains(poison) {
            failed(400, "document_parsing_exception")
        } else if index.ids.contains(&id) {
            index.conflicts += 1;
            failed(409, "version_conflict_engine_exception")
        } else if index.requests > 6 && n % 5 == 0 && index.busy.len() < 40 && index.busy.insert(id.clone()) {
            failed(429, "es_rejected_execution_exception")
        } else {
            index.ids.insert(id);
            index.arrived.add(pair[1]);
            json!({ "create": { "status": 201 } })
        });
    }
    if index.requests >= 5 && !index.lost {
        index.lost = true;
        return Answer::lost();
    }
    Answer::new("200 OK", &json!({ "errors": true, "items": items }).to_string())
}

#[test]
fn elasticsearch_stores_every_event_once_on_a_bad_day() {
    let simulator = Simulator::start(&["--events", "4000", "--seed", "71", "--scenario", "no_quota"]);
    let (index, poison) = (Arc::new(Mutex::new(Index::default())), poison(&simulator));
    let theirs = index.clone();
    let web =
        Web::start(move |request| elasticsearch(request, &mut theirs.lock().expect("no panics"), poison));
    let sink = format!(
        "[sinks.elastic]\ntype = \"http\"\npreset = \"elasticsearch\"\nurl = \"http://{}\"\nindex = \"mail-{{tenant}}-{{feed}}\"\n\
         token = \"a2V5\"\nformat = \"json\"\ncompression = \"gzip\"\nbatch = {{ events = 500, wait = \"1s\" }}\n",
        web.address
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let index = index.lock().expect("no panics");
    assert_all_but_one(&simulator, &site, &index.arrived);
    assert_eq!(index.arrived.repeats(), 0);
    assert_eq!(index.busy.len(), 40, "all those told to come again came: else they would be missing");
    assert!((1..=500).contains(&index.conflicts), "one answer was lost: {}", index.conflicts);
    assert!(web.compressed() > 0);
}

#[derive(Default)]
struct Splunk {
    requests: u32,
    /// How often each acknowledgement was asked for.
    acks: HashMap<u64, u32>,
    arrived: Arrived,
    lost: usize,
}

/// HTTP Event Collector with indexer acknowledgement, on a bad day.
fn splunk(request: &Request, splunk: &mut Splunk, poison: &str) -> Answer {
    if !request.has("authorization: splunk 11111111-2222-3333-4444-555555555555") {
        return Answer::new("403 Forbidden", "{\"text\":\"Invalid token\",\"code\":4}");
    }
    let channel = request.headers.iter().any(|line| line.starts_with("x-splunk-request-channel: "));
    assert!(channel, "{:?}", request.headers);
    if request.line == "POST /services/collector/ack" {
        let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
        let mut said = serde_json::Map::new();
        for id in asked["acks"].as_array().expect("a list") {
            let id = id.as_u64().expect("a number");
            let times = splunk.acks.get_mut(&id).map(|times| {
                *times += 1;
                *times
            });
            said.insert(id.to_string(), json!(times == Some(2))); // true is told once
        }
        return Answer::new("200 OK", &json!({ "acks": said }).to_string());
    }
    assert_eq!(request.line, "POST /services/collector/event");
    if request.body.is_empty() {
        return Answer::new("400 Bad Request", "{\"text\":\"No data\",\"code\":5}");
    }
    splunk.requests += 1;
    if splunk.requests == 1 {
        return Answer::new("503 Service Unavailable", "{\"text\":\"Server is busy\",\"code\":9}");
    }
    let events: Vec<Value> = serde_json::Deserializer::from_slice(&request.body)
        .into_iter()
        .map(|event| event.expect("JSON"))
        .collect();
    let lines: Vec<&str> = request.text().lines().collect();
    assert_eq!(events.len(), lines.len());
    for event in &events {
        let sourcetype = format!("mimecast:{}", event["event"]["feed"].as_str().expect("a feed"));
        assert_eq!(event["sourcetype"], sourcetype.as_str());
        assert!(event["host"].is_string() && event["source"] == "mimecollectd:acme", "{event}");
    }
    if let Some(bad) = lines.iter().position(|line| line.contains(poison)) {
        let said = json!({ "text": "Invalid data format", "code": 6, "invalid-event-number": bad });
        return Answer::new("400 Bad Request", &said.to_string());
    }
    for line in lines {
        let (_, event) = line.split_once("\"event\":").expect("an event");
        splunk.arrived.add(event.strip_suffix('}').expect("the end"));
    }
    if splunk.requests == 4 {
        splunk.lost = events.len();
        return Answer::lost();
    }
    let id = splunk.acks.len() as u64;
    splunk.acks.insert(id, 0);
    Answer::new("200 OK", &json!({ "text": "Success", "code": 0, "ackId": id }).to_string())
}

#[test]
fn splunk_indexes_every_event_on_a_bad_day() {
    let simulator = Simulator::start(&["--events", "4000", "--seed", "72", "--scenario", "no_quota"]);
    let (state, poison) = (Arc::new(Mutex::new(Splunk::default())), poison(&simulator));
    let theirs = state.clone();
    let web = Web::start(move |request| splunk(request, &mut theirs.lock().expect("no panics"), poison));
    let sink = format!(
        "[sinks.splunk]\ntype = \"http\"\npreset = \"splunk-hec\"\nurl = \"http://{}/services/collector\"\n\
         token = \"11111111-2222-3333-4444-555555555555\"\nacknowledge = true\nbatch = {{ events = 500, wait = \"1s\" }}\n",
        web.address
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let state = state.lock().expect("no panics");
    assert_all_but_one(&simulator, &site, &state.arrived);
    assert_eq!(
        state.arrived.repeats(),
        state.lost as u64,
        "only what Splunk has and nobody heard of comes twice"
    );
    assert!(state.acks.values().all(|asked| *asked == 2), "nobody asks again for what was told once");
}

#[test]
fn batches_are_split_by_the_places_of_the_url() {
    let simulator = Simulator::start(&["--events", "1500", "--seed", "73", "--scenario", "no_quota"]);
    let arrived = Arc::new(Mutex::new(Arrived::default()));
    let theirs = arrived.clone();
    let web = Web::start(move |request| {
        let feed = request.line.strip_prefix("POST /in/acme/").expect("the tenant's way");
        let events: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_slice(&request.body).expect("an array");
        for event in events {
            assert!(event.get().contains(&format!("\"feed\":\"{feed}\"")), "{feed}: {event}");
            theirs.lock().expect("no panics").add(event.get());
        }
        Answer::new("204 No Content", "")
    });
    let sink = format!(
        "[sinks.web]\ntype = \"http\"\npreset = \"json\"\nurl = \"http://{}/in/{{tenant}}/{{feed}}\"\n",
        web.address
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    site.run_once();
    let arrived = arrived.lock().expect("no panics");
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0);
    site.reconcile();
}
