//! `splunk-hec` against a collector that checks every byte of a request by Splunk's documentation, and gives the answers that
//! it lists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::SplunkHec;
use super::preset::Preset;
use super::preset_tests::{left, run, taken, text};
use super::tests::*;
use crate::fault::Kind;
use crate::format::Body;
use crate::format::template::Template;
use crate::sink::plan::HttpPlan;
use crate::sink::receivers::listen;
use crate::sink::{Plan, Sink};

pub fn hec(raw: bool, acknowledge: Option<Duration>) -> Arc<dyn Preset> {
    Arc::new(SplunkHec {
        raw,
        sourcetype: Template::new("mimecast:{feed}").unwrap(),
        source: Template::new("mimecollectd:{tenant}").unwrap(),
        host: "gate\"way".to_owned(),
        index: Some(Template::new("mail").unwrap()),
        acknowledge,
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
        assert_eq!(channel(&head).len(), 36, "a token with indexer acknowledgement wants a channel: {head}");
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
    assert_ne!(channel(&seen[0].0), channel(&seen[1].0), "{seen:?}");
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
    let patience = Duration::from_secs(60);
    let answers = vec![
        reply(
            "200 OK",
            "set-cookie: route=a; Path=/; HttpOnly\r\nset-cookie: lb=2\r\n",
            "{\"text\":\"Success\",\"code\":0,\"ackId\":7}",
        ),
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
        assert_eq!(channel(head), channel(&seen[0].0), "{head}");
        assert!(head.contains("cookie: route=a; lb=2\r\n"), "{head}");
        assert_eq!(text(body), "{\"acks\":[7]}");
    }
}

/// The indexer restarts, or the way to it breaks, while it is asked: it has the events all the same.
#[tokio::test]
async fn a_question_that_fails_is_asked_again_and_nothing_is_sent_twice() {
    let accepted = reply("200 OK", "", "{\"text\":\"Success\",\"code\":0,\"ackId\":7}");
    let busy = reply("503 Busy", "", "{\"text\":\"Server is busy\",\"code\":9}");
    let confirmed = reply("200 OK", "", "{\"acks\":{\"7\":true}}");
    for (patience, said, code) in [
        (60, vec![accepted.clone(), busy.clone(), String::new(), confirmed], None),
        (0, vec![accepted, busy], Some("hec_9")),
    ] {
        let confirming = hec(false, Some(Duration::from_secs(patience)));
        let (count, (plan, seen)) = (said.len(), scripted(confirming.clone(), said).await);
        let sent = send(&plan, &packed(&confirming, Body::Envelope, 2)).await;
        match code {
            None => assert_eq!(sent.unwrap(), taken(2, 5)),
            Some(code) => assert_eq!(sent.unwrap_err().code_str(), code, "what stood in the way to the end"),
        }
        let seen = seen.lock().unwrap();
        let posts =
            seen.iter().filter(|(head, _)| head.starts_with("post /services/collector/event ")).count();
        assert_eq!((seen.len(), posts), (count, 1));
    }
}

#[tokio::test]
async fn splunk_that_never_confirms_gets_the_events_again() {
    let patience = Duration::from_millis(10);
    let accepted = reply("200 OK", "", "{\"text\":\"Success\",\"code\":0,\"ackId\":0}");
    let never = reply("200 OK", "", "{\"acks\":{\"0\":false}}");
    let (plan, _) = scripted(hec(false, Some(patience)), vec![accepted, never]).await;
    let fault = send(&plan, &packed(&hec(false, Some(patience)), Body::Envelope, 2)).await.unwrap_err();
    assert_eq!((fault.kind, fault.code_str()), (Kind::Timeout, "hec_ack_timeout"));
}

/// Splunk has the events; to send them again, because nobody confirms them, would store them without end.
#[tokio::test]
async fn splunk_whose_token_cannot_confirm_is_believed_as_far_as_it_goes() {
    let patience = Duration::from_secs(60);
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
    let confirming = hec(true, Some(Duration::from_millis(10)));
    let accepted =
        |id: u8| reply("200 OK", "", &format!("{{\"text\":\"Success\",\"code\":0,\"ackId\":{id}}}"));
    let half = reply("200 OK", "", "{\"acks\":{\"4\":true}}");
    let (plan, seen) = scripted(confirming.clone(), vec![accepted(3), accepted(4), half]).await;
    let sent = send(&plan, &packed(&confirming, Body::Envelope, 3)).await.unwrap();
    let open = (run(0, 2), Some((Kind::Timeout, "hec_ack_timeout".to_owned())));
    assert_eq!(left(sent, 5), (1, vec![open]), "what is confirmed stays confirmed");
    let seen = seen.lock().unwrap();
    for (question, asked) in [(0, "{\"acks\":[3]}"), (1, "{\"acks\":[4]}")] {
        let about = seen.iter().find(|(_, body)| text(body) == asked).unwrap();
        assert_eq!(channel(&about.0), channel(&seen[question].0), "each on the channel of its own request");
    }
}

fn channel(head: &str) -> &str {
    head.split_once("x-splunk-request-channel: ").expect(head).1.lines().next().unwrap()
}

/// Two HECs behind one address, as a balancer sees them.
#[derive(Default)]
struct Cluster {
    /// Requests of each, by channel: each counts them from 0.
    counts: [HashMap<String, usize>; 2],
    posts: usize,
    questions: usize,
    /// How many events each was sent.
    got: [usize; 2],
}

impl Cluster {
    /// The second one indexes at once, the first one never.
    fn answer(&mut self, sticky: bool, head: &str, body: &str) -> String {
        let channel = channel(head).to_owned();
        if head.starts_with("post /services/collector/event ") {
            let at = self.posts % 2;
            self.posts += 1;
            self.got[at] = check_hec(body.as_bytes()).len();
            let count = self.counts[at].entry(channel).or_default();
            *count += 1;
            let cookie = format!("set-cookie: node={at}; Path=/\r\n");
            let id = *count - 1;
            return reply("200 OK", &cookie, &format!("{{\"text\":\"Success\",\"code\":0,\"ackId\":{id}}}"));
        }
        self.questions += 1;
        let kept = head.split_once("cookie: node=").map(|(_, at)| usize::from(at.starts_with('1')));
        let at = kept.filter(|_| sticky).unwrap_or(self.questions % 2);
        let asked: Value = serde_json::from_str(body).unwrap();
        let id = asked["acks"][0].as_u64().unwrap();
        let known = self.counts[at].get(&channel).is_some_and(|count| id < *count as u64);
        reply("200 OK", "", &format!("{{\"acks\":{{\"{id}\":{}}}}}", known && at == 1))
    }
}

/// What one indexer has says nothing about what another one was sent, though both call it number 0.
#[tokio::test]
async fn an_indexer_never_confirms_what_another_one_was_sent() {
    for sticky in [false, true] {
        let cluster = Arc::new(Mutex::new(Cluster::default()));
        let theirs = cluster.clone();
        let at = listen(move |_, mut stream| {
            let cluster = theirs.clone();
            async move {
                while let Some((head, body)) = request(&mut stream).await {
                    let answer = cluster.lock().unwrap().answer(sticky, &head, text(&body));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let confirming = hec(false, Some(Duration::from_secs(1)));
        let url = format!("http://{at}/services/collector").parse().unwrap();
        let sink =
            Sink::new(Plan::Http(HttpPlan { preset: confirming.clone(), ..HttpPlan::new(url) })).unwrap();
        let (one, two) = (packed(&confirming, Body::Envelope, 1), packed(&confirming, Body::Envelope, 2));
        let (first, second) = tokio::join!(sink.send(&one), sink.send(&two));
        let got = cluster.lock().unwrap().got;
        let (never, indexed) = if got[0] == 1 { (first, second) } else { (second, first) };
        assert_eq!(never.unwrap_err().code_str(), "hec_ack_timeout", "sticky: {sticky}");
        if sticky {
            assert_eq!(indexed.unwrap(), taken(got[1] as u64, 5));
        }
    }
}
