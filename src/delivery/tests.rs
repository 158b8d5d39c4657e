//! A courier between a real store and a receiver that behaves as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod judging;

use super::reader::Reader;
use super::stream::stream;
use super::*;
use crate::clock::{Clock, Time};
use crate::event::EventId;
use crate::format::{Body, Encoder, Limit, Shape, Wire};
use crate::limits::{CHUNK_BYTES_PER_LOAD, FILE_BATCH_EVENTS, FILTERED_CHUNKS_PER_LOAD, REFUSED_IN_A_ROW};
use crate::sink::http::{Otlp, Preset};
use crate::sink::{FilePlan, HttpPlan, Packer, Plan, Sink};
use crate::store::fixture::{assert_balanced, intake, key, open};
use crate::store::{DeadLetter, Order, Pick, Position, Shelf, Start, Store, Tally};
use crate::supervisor::backoff::Pace;

/// Far below the shortest wait of a halted sink, and long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn packer(limit: Option<usize>) -> Packer {
    let encoder = Encoder::new(&Shape { body: Body::Raw, wire: Wire::Line });
    Packer::new(encoder.within(limit.map(|bytes| Limit { bytes, cut: false, columns: false })), false, None)
}

fn everything() -> Filter {
    Filter { feeds: Arc::new(|_, _| true), kinds: None }
}

async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let look = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        loop {
            looks.tick().await;
            if let Some(found) = check().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// A store with one sink, and what was stored so far.
struct Scene {
    store: Store,
    commits: usize,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        for feed in ["audit", "dlp"] {
            store.register_feed(&key(feed)).await.unwrap();
        }
        store.register_sink("siem", Start::Oldest).await.unwrap();
        Scene { store, commits: 0, dir }
    }

    /// One chunk of these lines; `kinds` says which of two types each is of.
    async fn commit_kinds(&mut self, feed: &'static str, lines: &[String], kinds: impl Fn(usize) -> u8) {
        let cursor = |n: usize| if n == 0 { String::new() } else { format!("c{n}") };
        let standing = self.store.feed(&key(feed)).await.unwrap().cursor.0;
        self.commits += 1;
        let mut intake = intake(&key(feed), &standing, &cursor(self.commits), lines);
        for chunk in &mut intake.chunks {
            chunk.kinds = vec!["receipt".into(), "rare".into()];
            chunk.records.iter_mut().enumerate().for_each(|(n, record)| record.kind = kinds(n));
        }
        self.store.commit(intake).await.unwrap();
    }

    async fn commit(&mut self, feed: &'static str, lines: &[String]) {
        self.commit_kinds(feed, lines, |_| 0).await;
    }

    fn reader(&self, wants: Filter, limit: Option<usize>) -> Reader {
        Reader::new(self.store.clone(), wants, packer(limit), Position::default())
    }

    fn file(&self) -> Sink {
        Sink::new(Plan::File(FilePlan::new(self.dir.path().join("out")))).unwrap()
    }

    async fn courier(&self, sink: Sink) -> Running {
        self.courier_packing(sink, [packer(None), packer(None)]).await
    }

    async fn courier_packing(&self, sink: Sink, packers: [Packer; 2]) -> Running {
        let at = self.store.sink_position("siem").await.unwrap().unwrap();
        let (wake, errands, stop) = (watch::Sender::new(0), watch::Sender::new(0), CancellationToken::new());
        let told = watch::Sender::new(SinkState::default());
        let state = told.subscribe();
        let wires = Wires {
            state: told,
            wake: wake.subscribe(),
            errands: errands.subscribe(),
            stop: stop.clone(),
            drain: CancellationToken::new(),
            failed: CancellationToken::new(),
        };
        let courier = Courier::new(
            ("siem".into(), sink),
            self.store.clone(),
            (packers, everything()),
            at,
            (Clock::System, Pace::default()),
            wires,
        );
        Running { state, wake, errands, stop, task: tokio::spawn(courier.run()) }
    }
}

struct Running {
    state: watch::Receiver<SinkState>,
    /// Ends a pause.
    wake: watch::Sender<u64>,
    errands: watch::Sender<u64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn tell_errands(&self) {
        self.errands.send_modify(|n| *n += 1);
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the courier stops").unwrap();
    }
}

/// No status: OTLP's partial success, which says that one record was rejected.
const ONE_REJECTED: u16 = 0;

/// An HTTP receiver that keeps the lines it takes, and answers requests in which a word occurs with a status.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<String>>>,
    /// Requests that were answered with something else than 200.
    refused: Arc<Mutex<Vec<String>>>,
    hates: Arc<Mutex<Option<(String, u16)>>>,
    /// It hates nothing any more after so many refusals.
    mended_after: Arc<Mutex<Option<usize>>>,
    /// Bytes of a request beyond which it answers 413.
    most: Arc<Mutex<Option<usize>>>,
    /// It answers when so many requests are there.
    together: Option<Arc<Barrier>>,
    address: Option<std::net::SocketAddr>,
}

impl Receiver {
    async fn start() -> (Self, Sink) {
        Self::asked_by(|plan| plan, None).await
    }

    async fn speaking(preset: Arc<dyn Preset>) -> (Self, Sink) {
        Self::asked_by(|plan| HttpPlan { preset, ..plan }, None).await
    }

    async fn asked_by(
        change: impl FnOnce(HttpPlan) -> HttpPlan,
        together: Option<Arc<Barrier>>,
    ) -> (Self, Sink) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Receiver { together, address: Some(address), ..Receiver::default() };
        let theirs = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(theirs.clone().serve(stream));
            }
        });
        let sink = receiver.sink(change);
        (receiver, sink)
    }

    fn sink(&self, change: impl FnOnce(HttpPlan) -> HttpPlan) -> Sink {
        let url = format!("http://{}/", self.address.unwrap()).parse().unwrap();
        let plan =
            HttpPlan { batch_wait: Duration::ZERO, concurrency: 1, timeout: PATIENCE, ..HttpPlan::new(url) };
        Sink::new(Plan::Http(change(plan))).unwrap()
    }

    async fn serve(self, mut stream: TcpStream) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).await.unwrap();
            let body = String::from_utf8_lossy(&body).into_owned();
            if let Some(together) = &self.together {
                together.wait().await;
            }
            let hated = self.hates.lock().unwrap().clone().filter(|(word, _)| body.contains(word));
            let large = self.most.lock().unwrap().is_some_and(|most| body.len() > most);
            let status = if large { 413 } else { hated.map_or(200, |(_, status)| status) };
            match status {
                200 => self.got.lock().unwrap().extend(body.lines().map(str::to_owned)),
                _ => {
                    self.refused.lock().unwrap().push(body);
                    let mut left = self.mended_after.lock().unwrap();
                    *left = left.map(|left| left.saturating_sub(1));
                    if *left == Some(0) {
                        *self.hates.lock().unwrap() = None;
                    }
                }
            }
            let (status, said) = if status == ONE_REJECTED { (200, "\n\x02\x08\x01") } else { (status, "") };
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{said}", said.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn hate(&self, word: &str, status: u16) {
        *self.hates.lock().unwrap() = Some((word.into(), status));
    }

    async fn has(&self, line: &str) {
        eventually(line, async || self.got.lock().unwrap().iter().any(|got| got == line).then_some(())).await;
    }
}

fn lines(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{{\"{word}\":{n}}}")).collect()
}

#[tokio::test]
async fn events_that_are_too_long_are_booked_as_often_as_others() {
    let mut scene = Scene::new().await;
    for n in 0..3 {
        scene.commit("audit", &lines(&format!("long{n}"), 2_000)).await;
    }
    let (sink, stop) = (scene.file(), CancellationToken::new());
    let mut reader = scene.reader(everything(), Some(5));
    let (mut dead, mut from) = (0, Position::default());
    while let Some(streamed) = stream(&sink, &mut reader, &stop).await.unwrap() {
        let accounts = streamed.accounts;
        assert!(accounts.dead.len() <= FILE_BATCH_EVENTS, "{} letters at once", accounts.dead.len());
        dead += accounts.dead.len();
        scene.store.advance("siem", from, accounts.to, &accounts.tally, &accounts.dead).await.unwrap();
        from = accounts.to;
    }
    assert_eq!(dead, 6_000);
    assert_balanced(&scene.store).await;

    // their bytes count as well
    let mut scene = Scene::new().await;
    scene.commit("audit", &(0..100).map(|n| format!("{n:0>60000}")).collect::<Vec<_>>()).await;
    let mut reader = scene.reader(everything(), Some(50_000));
    let load = reader.next(FILE_BATCH_EVENTS, 256 << 10).await.unwrap().unwrap();
    let letters = load.letters(&scene.store, &[]).await.unwrap();
    let bytes: usize = letters.iter().map(|letter| letter.record.len()).sum();
    assert!(bytes < (256 << 10) + 60_001, "{bytes} bytes of letters in one load");
}

#[tokio::test]
async fn a_sink_that_wants_one_event_of_each_chunk_does_not_wait_for_all_of_them() {
    let mut scene = Scene::new().await;
    let chunks = CHUNK_BYTES_PER_LOAD >> 20;
    for n in 0..chunks + 4 {
        let lines: Vec<String> = (0..17).map(|line| format!("{n} {line:0>65000}")).collect();
        scene.commit_kinds("audit", &lines, |line| u8::from(line == 0)).await;
    }
    let wants = Filter { kinds: Some(Arc::new(|kind| kind == "rare")), ..everything() };
    let mut reader = scene.reader(wants, None);
    let (mut loads, mut events) = (0, 0);
    while let Some(load) = reader.next(1_000, 200 << 10).await.unwrap() {
        (loads, events) = (loads + 1, events + load.batch.len());
        assert!(load.batch.len() <= chunks + 1, "{} chunks in one load", load.batch.len());
    }
    assert!(loads > 1);
    assert_eq!(events, chunks + 4);
}

#[tokio::test]
async fn a_long_way_past_others_events_is_booked_on_the_way() {
    let mut scene = Scene::new().await;
    for n in 0..FILTERED_CHUNKS_PER_LOAD * 2 {
        let kind = u8::from(n % 10 == 0);
        scene.commit_kinds("audit", &lines(&format!("n{n}"), 2), |line| kind * u8::from(line == 0)).await;
    }
    let wants = Filter { kinds: Some(Arc::new(|kind| kind == "rare")), ..everything() };
    let (sink, stop, mut reader) = (scene.file(), CancellationToken::new(), scene.reader(wants, None));
    let (mut times, mut events) = (0, 0);
    while let Some(streamed) = stream(&sink, &mut reader, &stop).await.unwrap() {
        (times, events) = (times + 1, events + streamed.events);
    }
    assert!(times >= 2, "the position moves on the way");
    assert_eq!(events, FILTERED_CHUNKS_PER_LOAD.div_ceil(5));
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_the_sink_wants() {
    let mut scene = Scene::new().await;
    let three = |plan| HttpPlan { concurrency: 3, batch_events: 1, ..plan };
    let (receiver, sink) = Receiver::asked_by(three, Some(Arc::new(Barrier::new(3)))).await;
    let courier = scene.courier(sink).await;
    let lines = lines("n", 6);
    scene.commit("audit", &lines).await;
    receiver.has(&lines[5]).await;
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// A refused token counts where it is checked, once for each request.
#[tokio::test]
async fn a_sink_that_refuses_the_token_is_looked_at_by_one_request() {
    let mut scene = Scene::new().await;
    let three = |plan| HttpPlan { concurrency: 3, batch_events: 1, ..plan };
    let (receiver, sink) = Receiver::asked_by(three, None).await;
    receiver.hate("n", 401);
    let lines = lines("n", 6);
    scene.commit("audit", &lines).await;
    let courier = scene.courier(sink).await;
    let refusals = || receiver.refused.lock().unwrap().len();
    for least in 3..7 {
        eventually("a refusal", async || (refusals() >= least).then_some(())).await;
        courier.wake.send_modify(|n| *n += 1);
    }
    assert!(refusals() <= 7, "three at once, and one for each look");
    *receiver.hates.lock().unwrap() = None;
    courier.wake.send_modify(|n| *n += 1);
    receiver.has(&lines[5]).await;
    courier.end().await;
    assert_balanced(&scene.store).await;
}

#[tokio::test]
async fn a_receiver_that_finds_requests_too_large_gets_smaller_ones() {
    let mut scene = Scene::new().await;
    let long = |word: &str| -> Vec<String> { (0..400).map(|n| format!("{word}{n:0>500}")).collect() };
    let (receiver, sink) = Receiver::start().await;
    *receiver.most.lock().unwrap() = Some(60_000);
    let courier = scene.courier(sink).await;
    let first = long("first");
    scene.commit("audit", &first).await;
    receiver.has(&first[399]).await;
    let refused = || receiver.refused.lock().unwrap().len();
    let learnt = refused();
    assert!(learnt > 0, "the first was too large");
    let second = long("second");
    scene.commit("audit", &second).await;
    receiver.has(&second[399]).await;
    assert_eq!(refused(), learnt, "nothing is too large any more");
    let got = receiver.got.lock().unwrap().clone();
    assert_eq!(got, [first, second].concat(), "each once, in order");
    courier.end().await;
    assert_balanced(&scene.store).await;
}

#[tokio::test]
async fn a_replay_that_the_sink_refuses_ends_and_new_events_go_on() {
    let mut scene = Scene::new().await;
    let (receiver, sink) = Receiver::start().await;
    let courier = scene.courier(sink).await;
    scene.commit("audit", &lines("old", REFUSED_IN_A_ROW * 4)).await;
    receiver.has("{\"old\":0}").await;
    eventually("the position", async || {
        (scene.store.usage().await.unwrap().sinks[0].events_waiting == 0).then_some(())
    })
    .await;
    receiver.hate("old", 400);
    let order =
        Order { sink: "siem".into(), scope: String::new(), since: Time(i64::MIN), until: Time(i64::MAX) };
    let replay = scene.store.add_replay(&order).await.unwrap().id;
    courier.tell_errands();
    let ended = eventually("the replay to end", async || {
        scene.store.replay(replay).await.unwrap().filter(|replay| replay.finished.is_some())
    })
    .await;
    assert!(ended.words.contains("refuses") && ended.words.contains("400"), "{}", ended.words);
    scene.commit("dlp", &lines("new", 1)).await;
    receiver.has("{\"new\":0}").await;
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// Letters as a sink leaves them that refused these lines of the first chunk.
async fn bury(scene: &Scene, lines: &[String]) {
    let letter = |line: &String| DeadLetter {
        feed: key("audit"),
        id: EventId::of("acme", "audit", line.as_bytes(), 0),
        record: line.clone().into_bytes(),
        words: "no".into(),
        collected: Time(5_000),
        time: None,
        kind: "receipt".into(),
        severity: crate::event::Severity::Notice,
        json: true,
    };
    let dead: Vec<DeadLetter> = lines.iter().map(letter).collect();
    let tally = Tally { dead_lettered: lines.len() as u64, ..Tally::default() };
    let to = Position { seq: 1, index: 0 };
    scene.store.advance("siem", Position::default(), to, &[(key("audit"), tally)], &dead).await.unwrap();
}

#[tokio::test]
async fn letters_that_the_sink_fails_on_wait_while_new_events_go_on() {
    let mut scene = Scene::new().await;
    let letters = lines("letter", 3);
    scene.commit("audit", &letters).await;
    bury(&scene, &letters).await;
    scene.store.want_dead_letters(&Pick::default()).await.unwrap();
    let (receiver, sink) = Receiver::start().await;
    receiver.hate("letter", 503);
    let courier = scene.courier(sink).await;
    let failed = || receiver.refused.lock().unwrap().len();
    eventually("the letters to fail", async || (failed() > 0).then_some(())).await;
    for n in 0..20 {
        scene.commit("dlp", &lines(&format!("new{n}"), 1)).await;
        receiver.has(&format!("{{\"new{n}\":0}}")).await;
    }
    assert!(failed() < 20, "they wait: {} attempts", failed());

    // one is given up meanwhile: the others are delivered, and that one is never sent again
    let first = scene.store.dead_letters_list(&Pick::default(), 0, 1).await.unwrap()[0].id;
    assert_eq!(scene.store.drop_dead_letters(&Pick::ids([first])).await.unwrap(), 1);
    *receiver.hates.lock().unwrap() = None;
    courier.tell_errands();
    receiver.has(&letters[2]).await;
    receiver.has(&letters[1]).await;
    assert!(!receiver.got.lock().unwrap().contains(&letters[0]), "it was given up");
    eventually("the books", async || {
        (scene.store.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap() == 0).then_some(())
    })
    .await;
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// A receiver that does not say which records it rejects gets letters one at a time: else one of them would bury the others
/// again, with one more copy of each at every attempt.
#[tokio::test]
async fn letters_are_sent_alone_where_one_would_bury_the_others() {
    let mut scene = Scene::new().await;
    let letters = lines("letter", 3);
    scene.commit("audit", &letters).await;
    bury(&scene, &letters).await;
    scene.store.want_dead_letters(&Pick::default()).await.unwrap();
    let otlp: Arc<dyn Preset> = Arc::new(Otlp::new("gateway"));
    let (receiver, sink) = Receiver::speaking(otlp.clone()).await;
    receiver.hate(&letters[1], ONE_REJECTED);
    let packer =
        || Packer::new(Encoder::new(&Shape { body: Body::Raw, wire: Wire::Line }), false, Some(otlp.clone()));
    let courier = scene.courier_packing(sink, [packer(), packer()]).await;
    eventually("the books", async || {
        (scene.store.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap() == 1).then_some(())
    })
    .await;
    courier.end().await;
    let got = receiver.got.lock().unwrap().join("\n");
    assert!(got.contains(&letters[0]) && got.contains(&letters[2]), "{got}");
    let refused = receiver.refused.lock().unwrap().clone();
    assert!(refused.len() == 1 && !refused[0].contains(&letters[0]), "{refused:?}");
    assert_balanced(&scene.store).await;
}
