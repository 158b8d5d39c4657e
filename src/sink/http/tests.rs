//! HTTP against receivers that accept, refuse, lie and break off.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Preset;
use crate::event::{Event, EventId, Severity};
use crate::fault::{Fault, Kind, Origin};
use crate::format::{Body, Encoder, Shape, Wire};
use crate::limits;
use crate::secret::Secret;
use crate::sink::plan::{Auth, HttpPlan, TlsFiles};
use crate::sink::receivers::*;
use crate::sink::{Batch, Packer, Plan, Receipt, Sent, Sink};
use crate::telemetry::pulse;

/// One request: its head, and its body by Content-Length.
pub async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

pub fn bearer(token: &str) -> Vec<Auth> {
    vec![Auth::Header { name: "authorization", scheme: "Bearer ", secret: Secret::new(token).into() }]
}

/// An event of the first minute of 2026.
pub fn event() -> Event<'static> {
    Event {
        id: EventId([0xab; 16]),
        tenant: "acme",
        feed: "siem.receipt",
        kind: "receipt",
        time: Some(1_767_225_600_123),
        collected: 1_767_225_660_000,
        severity: Severity::Informational,
        repaired: false,
        json: true,
        raw: br#"{"subject":"a \"b\" c","n":1}"#,
    }
}

/// So many events with ids 0, 1, …, as a preset writes them with a format.
pub fn packed(preset: &Arc<dyn Preset>, body: Body, count: usize) -> Batch {
    let json = !matches!(body, Body::Raw | Body::Cef | Body::Leef1 | Body::Leef2);
    let encoder = Encoder::new(&Shape { body, wire: Wire::Line });
    let mut packer = Packer::new(encoder, json, Some(preset.clone()));
    let mut batch = Batch::default();
    for n in 0..count {
        let feed = if n % 3 == 2 { "audit" } else { "siem.receipt" };
        packer.pack(&Event { id: EventId([n as u8; 16]), feed, ..event() }, &mut batch).unwrap();
    }
    batch
}

/// A receiver that answers the `n`th request as it is told, the last answer for all that follow; and a plan to
/// reach it with this preset.
pub async fn scripted(preset: Arc<dyn Preset>, answers: Vec<String>) -> (HttpPlan, Seen) {
    let (answers, seen) = (Arc::new(answers), Seen::default());
    let theirs = seen.clone();
    let at = listen(move |_, mut stream| {
        let (answers, seen) = (answers.clone(), theirs.clone());
        async move {
            while let Some(request) = request(&mut stream).await {
                let n = seen.lock().unwrap().len();
                seen.lock().unwrap().push(request);
                let text = answers.get(n).or(answers.last()).unwrap();
                if text.is_empty() {
                    return; // no answer at all
                }
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let url = format!("http://{at}").parse().unwrap();
    (HttpPlan { preset, timeout: Duration::from_secs(5), ..HttpPlan::new(url) }, seen)
}

pub async fn send(plan: &HttpPlan, batch: &Batch) -> Result<Sent, Fault> {
    Sink::new(Plan::Http(plan.clone())).unwrap().send(batch).await
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str, seen: &Seen) {
    while let Some(request) = request(stream).await {
        seen.lock().unwrap().push(request);
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

pub type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A receiver with one answer for everything, and a plan to reach it.
async fn receiver(text: impl Into<String>) -> (HttpPlan, Seen) {
    let (text, seen) = (text.into(), Seen::default());
    let theirs = seen.clone();
    let at = listen(move |_, mut stream| {
        let (text, seen) = (text.clone(), theirs.clone());
        async move { answer(&mut stream, &text, &seen).await }
    })
    .await;
    let url = format!("http://user:pw@{at}/path-secret?key=query-secret").parse().unwrap();
    (HttpPlan { timeout: Duration::from_secs(5), ..HttpPlan::new(url) }, seen)
}

pub fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn refused(plan: HttpPlan) -> Fault {
    let fault = Sink::new(Plan::Http(plan)).unwrap().send(&batch(2, 9)).await.unwrap_err();
    for secret in ["query-secret", "path-secret", "pw@"] {
        assert!(!fault.detail.contains(secret), "{fault}");
    }
    assert!(!fault.to_string().to_lowercase().contains("mimecast"), "{fault}");
    fault
}

#[tokio::test]
async fn a_2xx_is_an_acknowledgement() {
    let (plan, seen) = receiver(reply("202 Accepted", "", "{\"errors\":false}")).await;
    let plan = HttpPlan {
        auth: bearer("tok-1"),
        headers: vec![("X-Source".into(), Secret::new("gate way"))],
        ..plan
    };
    let sink = Sink::new(Plan::Http(plan)).unwrap();
    let two = batch(2, 9);
    assert_eq!(sink.send(&two).await.unwrap(), Sent::Acknowledged(Receipt { events: 2, level: 4 }));
    let seen = seen.lock().unwrap();
    let (head, body) = &seen[0];
    assert!(head.starts_with("post /path-secret?key=query-secret http/1.1"), "{head}");
    for header in ["content-type: application/x-ndjson", "authorization: bearer tok-1", "x-source: gate way"]
    {
        assert!(head.contains(header), "{head}");
    }
    assert_eq!(*body, *two.bytes);
    assert_eq!((sink.ack_level(), sink.window().confirm_every), (4, 0));
}

#[tokio::test]
async fn gzip_bodies_inflate_to_the_batch() {
    let (plan, seen) = receiver(reply("200 OK", "", "")).await;
    let sink = Sink::new(Plan::Http(HttpPlan { gzip: true, ..plan })).unwrap();
    let many = batch(500, 200);
    assert!(matches!(sink.send(&many).await.unwrap(), Sent::Acknowledged(_)));
    let seen = seen.lock().unwrap();
    let (head, body) = &seen[0];
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(body.len() * 5 < many.bytes.len());
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut inflated).unwrap();
    assert_eq!(inflated, *many.bytes);
}

#[tokio::test]
async fn a_200_that_carries_a_failure_is_a_failure() {
    for (body, kind) in [
        ("{\"took\":1,\"errors\":true}", Kind::Partial),
        ("{\"status\":\"error\",\"code\":503}", Kind::Status(503)),
        ("{\"error\":\"unknown source\"}", Kind::Status(500)),
        ("{\"status\":429}", Kind::Status(429)),
        ("{\"meta\":{\"status\":401}}", Kind::Status(401)),
        ("{\"fail\":[{\"message\":\"no\"}]}", Kind::Partial),
        ("\r\n<!DOCTYPE html><title>Sign in</title>", Kind::Html), // a portal's
    ] {
        let fault = refused(receiver(reply("200 OK", "", body)).await.0).await;
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, kind), "{fault}");
        if matches!(kind, Kind::Status(_)) {
            let said = fault.to_string(); // the receiver never sent the status that it is judged by
            assert!(said.starts_with("sink answered 200, but its body reports a failure: http"), "{said}");
            assert_eq!(fault.answered(), Some(200));
        }
    }
}

#[tokio::test]
async fn every_other_status_is_a_fault_with_what_was_said() {
    for status in [207, 301, 307, 400, 401, 404, 413, 429, 500, 503] {
        let body = "no:\r\ntok-123456 is bad for /path-secret\u{1b}[31m".to_owned() + &"x".repeat(100_000);
        let (plan, seen) = receiver(reply(
            &format!("{status} Word"),
            "location: http://127.0.0.1:1/path-secret?a=b\r\n",
            &body,
        ))
        .await;
        let fault = refused(HttpPlan { auth: bearer("tok-123456"), ..plan }).await;
        assert_eq!((fault.origin, fault.kind, fault.retry_after), (Origin::Sink, Kind::Status(status), None));
        assert!(fault.detail.contains(": no:  <secret> is bad for <secret> [31mxxx"), "{fault}");
        assert!(fault.detail.chars().count() < 320, "{fault}");
        assert_eq!(fault.detail.ends_with("points to http://127.0.0.1:1"), status / 100 == 3, "{fault}");
        assert_eq!(seen.lock().unwrap().len(), 1, "sent once, and not to where an answer points");
    }
}

#[tokio::test]
async fn a_wait_is_read_in_both_forms() {
    for (headers, wait) in [
        ("retry-after: 7\r\n", Some(7)),
        ("date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n", Some(30)),
        ("retry-after: later\r\n", None),
    ] {
        let fault = refused(receiver(reply("429 Too Many", headers, "")).await.0).await;
        assert_eq!(
            (fault.kind, fault.retry_after),
            (Kind::Status(429), wait.map(Duration::from_secs)),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn answers_that_do_not_come_or_break_off() {
    let slow = listen(|_, mut stream| async move {
        request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let gone = listen(|_, mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    let cut = listen(|_, mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    })
    .await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (patient, impatient) = (Duration::from_secs(5), Duration::from_millis(200));
    for (place, timeout, kind) in [
        (slow.to_string(), impatient, Kind::Timeout),
        (gone.to_string(), patient, Kind::Interrupted),
        (cut.to_string(), patient, Kind::Interrupted),
        (closed.to_string(), patient, Kind::Connect),
        ("no-such-host.invalid".to_owned(), patient, Kind::Dns),
    ] {
        let url = format!("http://{place}/in?key=query-secret").parse().unwrap();
        let fault = refused(HttpPlan { timeout, ..HttpPlan::new(url) }).await;
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, kind), "{fault}");
    }
}

#[tokio::test]
async fn https_trusts_the_named_authority_only() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = pki.server(false, &TLS13);
    let at = listen(move |_, stream| {
        let server = server.clone();
        async move {
            if let Some(mut stream) = server.accept(stream).await {
                answer(&mut stream, &reply("204 No Content", "", ""), &Seen::default()).await;
            }
        }
    })
    .await;
    let plan = |pki: &Pki| HttpPlan {
        tls: TlsFiles { ca_file: Some(pki.path("ca.pem")), ..TlsFiles::default() },
        ..HttpPlan::new(format!("https://localhost:{}/in", at.port()).parse().unwrap())
    };
    let fault = refused(plan(&other)).await;
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::TlsVerify), "{fault}");
    let sink = Sink::new(Plan::Http(plan(&pki))).unwrap();
    assert!(matches!(sink.send(&batch(1, 9)).await.unwrap(), Sent::Acknowledged(_)));
}

/// The receiver (or something on the way) closes a connection that waits for the next batch, without a word before.
#[tokio::test]
async fn a_connection_that_the_receiver_closed_while_idle_costs_nothing() {
    let (seen, (closed, mut was_closed)) = (Seen::default(), tokio::sync::mpsc::unbounded_channel());
    let theirs = seen.clone();
    let at = listen(move |_, mut stream| {
        let (seen, closed) = (theirs.clone(), closed.clone());
        async move {
            if let Some(request) = request(&mut stream).await {
                seen.lock().unwrap().push(request);
                stream.write_all(reply("200 OK", "", "").as_bytes()).await.unwrap();
            }
            drop(stream);
            let _ = closed.send(());
        }
    })
    .await;
    let sink = Sink::new(Plan::Http(HttpPlan::new(format!("http://{at}/in").parse().unwrap()))).unwrap();
    for sent in 1..=20 {
        let answer = sink.send(&batch(2, 9)).await;
        assert!(matches!(answer, Ok(Sent::Acknowledged(_))), "batch {sent}: {answer:?}");
        was_closed.recv().await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), sent, "each batch once");
    }
}

#[tokio::test]
async fn a_probe_sends_nothing() {
    let (plan, seen) = receiver(reply("403 Word", "", "")).await;
    assert_eq!(Sink::new(Plan::Http(plan)).unwrap().probe().await.unwrap(), 4);
    assert!(seen.lock().unwrap().is_empty(), "only a batch tells whether batches are taken");
}

#[test]
fn headers_that_cannot_be_sent_are_named_without_their_value() {
    let plan = HttpPlan::new("http://127.0.0.1/in".parse().unwrap());
    for (name, value) in [("X-Bad", "line\nbreak"), ("no name", "fine")] {
        let plan = HttpPlan { headers: vec![(name.into(), Secret::new(value))], ..plan.clone() };
        let message = Sink::new(Plan::Http(plan)).unwrap_err().message;
        assert!(message.contains(name) && !message.contains(value), "{message}");
    }
    let token = HttpPlan { auth: bearer("a\nb"), ..plan };
    assert!(Sink::new(Plan::Http(token)).unwrap_err().message.contains("the token"));
}

#[tokio::test]
async fn another_name_of_the_server_and_a_client_certificate() {
    let pki = Pki::new();
    let server = pki.server(true, &TLS13);
    let at = listen(move |_, stream| {
        let server = server.clone();
        async move {
            if let Some(mut stream) = server.accept(stream).await {
                answer(&mut stream, &reply("204 No Content", "", ""), &Seen::default()).await;
            }
        }
    })
    .await;
    let url = format!("https://127.0.0.1:{}/in", at.port()).parse().unwrap();
    let plan = HttpPlan::new(url);
    for (files, fails) in [
        (TlsFiles { server_name: Some("localhost".into()), ..pki.files_with_client() }, None),
        (
            TlsFiles { server_name: Some("siem.example.com".into()), ..pki.files_with_client() },
            Some(Kind::TlsVerify),
        ),
    ] {
        let sent = send(&HttpPlan { tls: files, ..plan.clone() }, &batch(1, 9)).await;
        assert_eq!(sent.as_ref().err().map(|fault| fault.kind), fails, "{sent:?}");
    }
    assert!(
        send(&HttpPlan { tls: pki.files(), ..plan }, &batch(1, 9)).await.is_err(),
        "no client certificate"
    );
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_read_after_a_refusal() {
    let (plan, seen) = receiver(reply("401 Unauthorized", "", "")).await;
    let count = Arc::new(Mutex::new(0));
    let secret = super::super::Keeper::new(move || {
        *count.lock().unwrap() += 1;
        Ok(Secret::new(format!("key-{}", count.lock().unwrap())))
    });
    let auth = vec![Auth::Header { name: "authorization", scheme: "Bearer ", secret }];
    let sink = Sink::new(Plan::Http(HttpPlan { auth, ..plan })).unwrap();
    for _ in 0..2 {
        assert_eq!(sink.send(&batch(1, 9)).await.unwrap_err().kind, Kind::Status(401));
    }
    let seen = seen.lock().unwrap();
    assert!(seen[0].0.contains("bearer key-1") && seen[1].0.contains("bearer key-2"), "{seen:?}");
}

/// The operator replaces the secret while a request with the old one is under way, and the refusal quotes the old one.
#[tokio::test]
async fn a_refusal_that_echoes_the_secret_is_masked_though_the_file_holds_another_by_now() {
    let (plan, _) = receiver(reply("401 Unauthorized", "", "no such key: key-number-1")).await;
    let count = Arc::new(Mutex::new(0));
    let secret = super::super::Keeper::new(move || {
        *count.lock().unwrap() += 1;
        Ok(Secret::new(format!("key-number-{}", count.lock().unwrap())))
    });
    let auth = vec![Auth::Header { name: "authorization", scheme: "Bearer ", secret }];
    let fault =
        Sink::new(Plan::Http(HttpPlan { auth, ..plan })).unwrap().send(&batch(1, 9)).await.unwrap_err();
    assert!(fault.detail.ends_with("no such key: <secret>"), "{fault}");
}

/// An hour for one batch, and a sign of life with every request: the watchdog ends what hangs, not what is slow.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_answers_very_slowly_does_not_look_like_a_task_that_hangs() {
    let slow = limits::MAX_SINK_TIMEOUT - Duration::from_secs(10);
    let at = listen(move |_, mut stream| async move {
        while request(&mut stream).await.is_some() {
            let _ = tokio::time::timeout(slow, std::future::pending::<()>()).await; // on tokio's held clock
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let url = format!("http://{at}").parse().unwrap();
    let plan = HttpPlan { timeout: limits::MAX_SINK_TIMEOUT, ..HttpPlan::new(url) };
    let sink = Sink::new(Plan::Http(plan)).unwrap();
    let mut batch = Batch::default();
    for n in 0..6 {
        batch.route(&format!("/{n}")); // each in a request of its own
        batch.push(EventId([n; 16]), |out| out.extend_from_slice(b"{}\n"));
    }
    let (watched, task) = pulse::living("courier", async move {
        pulse::beat();
        sink.send(&batch).await
    });
    let begun = tokio::time::Instant::now();
    let watchdog = async {
        loop {
            let _ = tokio::time::timeout(limits::TASK_STALLED / 8, std::future::pending::<()>()).await;
            assert_eq!(watched.stalled(), None);
        }
    };
    tokio::select! {
        sent = task => assert!(matches!(sent, Ok(Sent::Acknowledged(_))), "{sent:?}"),
        () = watchdog => {}
    }
    assert!(begun.elapsed() > limits::TASK_STALLED * 2, "{:?}", begun.elapsed());
}
