//! RELP against receivers that answer, dawdle, cut frames in pieces, lie and die.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;

use super::frame::{self, Frame};
use super::session::{Answer, Session};
use super::*;
use crate::sink::plan::TlsFiles;
use crate::sink::receivers::{Got, Pki, batch, listen};
use crate::sink::{Plan, Sink};
use crate::telemetry::pulse;

const PATIENCE: Duration = Duration::from_secs(5);
const OPENED: &str = "200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog";

/// The server's half of the protocol, as the tests need it: one frame at a time.
struct Peer<S> {
    stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Self {
        Peer { stream, read: Vec::new() }
    }

    /// The next frame, by a reader of its own: number, command, data.
    async fn next(&mut self) -> Option<(u32, String, Vec<u8>)> {
        loop {
            if let Some(found) = self.complete() {
                return Some(found);
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn complete(&mut self) -> Option<(u32, String, Vec<u8>)> {
        let text = String::from_utf8_lossy(&self.read).into_owned();
        let mut words = text.splitn(3, ' ');
        let (number, command, rest) = (words.next()?, words.next()?, words.next()?);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let head = number.len() + command.len() + digits.len() + 2;
        let length: usize = digits.parse().ok()?;
        let (data, end) = if length == 0 { (head, head) } else { (head + 1, head + 1 + length) };
        if self.read.len() <= end {
            return None;
        }
        assert_eq!(self.read[end], b'\n', "{text}");
        let found = (number.parse().unwrap(), command.to_owned(), self.read[data..end].to_vec());
        self.read.drain(..=end);
        Some(found)
    }

    async fn say(&mut self, txnr: u32, command: &str, data: &str) {
        let mut out = Vec::new();
        frame::write(&mut out, txnr, command, data.as_bytes());
        self.stream.write_all(&out).await.ok();
        self.stream.flush().await.ok();
    }

    /// Answers `open`, as it must be the first.
    async fn opened(mut self) -> Self {
        let (txnr, command, offers) = self.next().await.unwrap();
        assert_eq!((txnr, &*command), (1, "open"));
        assert!(String::from_utf8(offers).unwrap().contains("commands=syslog"));
        self.say(txnr, "rsp", OPENED).await;
        self
    }

    /// Takes messages until `count` have come or the session ends.
    async fn take(&mut self, count: usize, got: &Got) -> usize {
        for taken in 0..count {
            let Some((txnr, command, data)) = self.next().await else { return taken };
            if command == "close" {
                self.say(txnr, "rsp", "").await;
                return taken;
            }
            assert_eq!(command, "syslog");
            got.lock().unwrap().extend_from_slice(&data);
            self.say(txnr, "rsp", "200 OK").await;
        }
        count
    }
}

fn plan(at: SocketAddr) -> RelpPlan {
    RelpPlan {
        connect_timeout: PATIENCE,
        answer_timeout: PATIENCE,
        ..RelpPlan::new(at.ip().to_string(), at.port())
    }
}

fn relp(at: SocketAddr) -> Sink {
    Sink::new(Plan::Relp(plan(at))).unwrap()
}

fn taken(sent: Sent) -> u64 {
    match sent {
        Sent::Acknowledged(receipt) => receipt.events(),
        other => panic!("{other:?}"),
    }
}

/// A session over memory whose peer does what `behave` does.
async fn against<F: Future<Output = ()> + Send + 'static>(
    behave: impl FnOnce(Peer<DuplexStream>) -> F,
) -> Session<DuplexStream> {
    let (ours, theirs) = duplex(64 << 10);
    let peer = Peer::new(theirs);
    tokio::spawn(behave(peer));
    Session::open(ours, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn every_message_is_answered_and_the_session_is_used_again() {
    let (got, sessions) = (Got::default(), Arc::new(AtomicUsize::new(0)));
    let (theirs, counted) = (got.clone(), sessions.clone());
    let at = listen(move |_, stream| {
        let (got, sessions) = (theirs.clone(), counted.clone());
        async move {
            sessions.fetch_add(1, Ordering::SeqCst);
            Peer::new(stream).opened().await.take(usize::MAX, &got).await;
        }
    })
    .await;
    let sink = relp(at);
    let (first, second) = (batch(1000, 300), batch(3, 400_000));
    let sent = sink.send(&first).await.unwrap();
    assert_eq!(sent, Sent::of(1000, 4, Vec::new()));
    assert_eq!(taken(sink.send(&second).await.unwrap()), 3);
    assert_eq!(*got.lock().unwrap(), [first.bytes.as_slice(), &second.bytes].concat());
    assert_eq!(sessions.load(Ordering::SeqCst), 1, "one session for both");
    assert_eq!((sink.ack_level(), sink.probe().await.unwrap(), sink.window().confirm_every), (4, 4, 0));
}

#[tokio::test]
async fn no_more_messages_are_open_than_the_window_allows() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let mut session = against(move |peer| async move {
        let (mut peer, mut open) = (peer.opened().await, Vec::new());
        loop {
            // everything that comes without an answer is read before any answer is given
            match tokio::time::timeout(Duration::from_millis(50), peer.next()).await {
                Ok(Some((txnr, ..))) => open.push(txnr),
                Ok(None) => return,
                Err(_) => {
                    seen.fetch_max(open.len(), Ordering::SeqCst);
                    for txnr in open.drain(..).rev() {
                        peer.say(txnr, "rsp", "200 OK").await; // last first: any order is allowed
                    }
                }
            }
        }
    })
    .await;
    let (answers, failed) = session.transfer(&batch(300, 20)).await;
    assert!(failed.is_none() && answers == vec![Answer::Taken; 300], "{failed:?}");
    assert_eq!(most.load(Ordering::SeqCst), limits::RELP_WINDOW);
}

#[tokio::test]
async fn transaction_numbers_begin_again_after_the_last_one() {
    let (ours, theirs) = duplex(64 << 10);
    let numbers = tokio::spawn(async move {
        let (mut peer, mut seen) = (Peer::new(theirs), Vec::new());
        while let Some((txnr, command, _)) = peer.next().await {
            peer.say(txnr, "rsp", if command == "open" { OPENED } else { "200 OK" }).await;
            seen.push(txnr);
        }
        seen
    });
    let mut session = Session::open_at(ours, PATIENCE, 999_999_997).await.unwrap();
    let (answers, failed) = session.transfer(&batch(4, 5)).await;
    assert!(failed.is_none() && answers == vec![Answer::Taken; 4], "{failed:?}");
    drop(session);
    assert_eq!(numbers.await.unwrap(), [999_999_997, 999_999_998, 999_999_999, 1, 2]);
}

#[tokio::test]
async fn answers_in_single_bytes_are_understood() {
    let mut session = against(|peer| async move {
        let mut peer = peer.opened().await;
        while let Some((txnr, ..)) = peer.next().await {
            for byte in format!("{txnr} rsp 6 200 OK\n").bytes() {
                peer.stream.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert!(session.transfer(&batch(20, 5)).await.1.is_none());
}

#[tokio::test]
async fn one_message_refused_is_told_apart_from_its_neighbours() {
    let at = listen(|_, stream| async move {
        let mut peer = Peer::new(stream).opened().await;
        for n in 0.. {
            let Some((txnr, ..)) = peer.next().await else { return };
            peer.say(txnr, "rsp", if n == 2 { "500 queue\nfull" } else { "200 OK" }).await;
        }
    })
    .await;
    let sink = relp(at);
    let Sent::Partly(receipt, rest) = sink.send(&batch(5, 10)).await.unwrap() else { panic!("not partly") };
    assert_eq!((receipt.events(), receipt.level()), (4, 4));
    assert_eq!(rest.len(), 1);
    let refused = &rest[0];
    let fault = refused.fault.as_ref().unwrap();
    assert_eq!((refused.events[0].clone(), fault.kind, fault.code_str()), (2..3, Kind::Partial, REFUSAL));
    assert!(fault.detail.contains("500 queue"), "{fault}");
    assert_eq!(taken(sink.send(&batch(1, 10)).await.unwrap()), 1, "the session goes on");
}

#[tokio::test]
async fn what_was_answered_before_the_connection_broke_is_settled() {
    let at = listen(|n, stream| async move {
        let mut peer = Peer::new(stream).opened().await;
        let got = Got::default();
        if n == 0 {
            peer.take(7, &got).await;
            peer.next().await.unwrap();
            peer.stream.set_zero_linger().unwrap();
        } else {
            peer.take(usize::MAX, &got).await;
        }
    })
    .await;
    let sink = relp(at);
    let Sent::Partly(receipt, rest) = sink.send(&batch(50, 10)).await.unwrap() else { panic!("not partly") };
    // a reset may overtake answers that were on their way: they are then simply asked for again
    let settled = receipt.events() as usize;
    assert!(settled <= 7, "{settled}");
    assert_eq!(rest.len(), 1);
    assert_eq!(
        (rest[0].events[0].clone(), rest[0].fault.as_ref().unwrap().kind),
        (settled..50, Kind::Interrupted)
    );
    assert_eq!(taken(sink.send(&batch(43, 10)).await.unwrap()), 43);
}

#[tokio::test]
async fn serverclose_in_the_middle_ends_the_session_and_keeps_what_was_answered() {
    let mut session = against(|peer| async move {
        let mut peer = peer.opened().await;
        peer.take(3, &Got::default()).await;
        peer.say(0, "serverclose", "").await;
        std::future::pending::<()>().await;
    })
    .await;
    let (answers, failed) = session.transfer(&batch(9, 10)).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Taken).count(), 3);
    assert!(failed.unwrap().to_string().contains("serverclose"));
}

#[tokio::test]
async fn a_session_the_receiver_closed_while_idle_costs_nothing() {
    for hint in [true, false] {
        let at = listen(move |n, stream| async move {
            let mut peer = Peer::new(stream).opened().await;
            if n == 0 {
                peer.take(1, &Got::default()).await;
                if hint {
                    peer.say(0, "serverclose", "").await;
                }
            } else {
                peer.take(usize::MAX, &Got::default()).await;
            }
        })
        .await;
        let sink = relp(at);
        assert_eq!(taken(sink.send(&batch(1, 10)).await.unwrap()), 1);
        for _ in 0..3 {
            assert_eq!(taken(sink.send(&batch(2, 10)).await.unwrap()), 2, "no fault, whatever moment it is");
        }
    }
}

#[tokio::test]
async fn peers_that_do_not_keep_to_the_protocol_are_left() {
    for (said, word) in [
        ("7 rsp 6 200 OK\n", "transaction 7"),
        ("2 rsp 6 200 OK\n2 rsp 6 200 OK\n", "transaction 2"),
        ("0 rsp 6 200 OK\n", "transaction 0"),
        ("2 rsp 5000 200", "larger"),
        ("2 rsp 999999999 ", "larger"),
        ("9999999999 rsp 6 200 OK\n", "number"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "not RELP"),
        ("2 syslog 2 hi\n", "only a client may"),
        (
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "not RELP",
        ),
    ] {
        let mut session = against(move |peer| async move {
            let mut peer = peer.opened().await;
            peer.next().await.unwrap();
            peer.stream.write_all(said.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let err = session.transfer(&batch(3, 10)).await.1.unwrap();
        assert_eq!(err.kind(), io::ErrorKind::InvalidData, "{said:?}");
        assert!(err.to_string().contains(word), "{said:?}: {err}");
    }
}

/// On tokio's held clock.
async fn passes(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_falls_silent_is_given_up_and_a_slow_one_is_not() {
    let mut session = against(|peer| async move {
        let mut peer = peer.opened().await;
        for _ in 0..5 {
            let (txnr, ..) = peer.next().await.unwrap();
            passes(PATIENCE - Duration::from_millis(1)).await; // every answer late, none too late
            peer.say(txnr, "rsp", "200 OK").await;
        }
        // bytes that never become an answer are no answer
        loop {
            if peer.stream.write_all(b"7").await.is_err() {
                return;
            }
            passes(PATIENCE / 4).await;
        }
    })
    .await;
    let (answers, failed) = session.transfer(&batch(6, 10)).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Taken).count(), 5);
    assert_eq!(failed.unwrap().kind(), io::ErrorKind::TimedOut);
}

/// Hours for one batch, and a sign of life with every answer: the watchdog ends what hangs, not what is slow.
#[tokio::test(start_paused = true)]
async fn a_slow_receiver_does_not_look_like_a_task_that_hangs() {
    let count = 2 * limits::TASK_STALLED.as_secs() as usize / PATIENCE.as_secs() as usize;
    let mut session = against(move |peer| async move {
        let mut peer = peer.opened().await;
        for _ in 0..count {
            let (txnr, ..) = peer.next().await.unwrap();
            passes(PATIENCE - Duration::from_millis(1)).await;
            peer.say(txnr, "rsp", "200 OK").await;
        }
    })
    .await;
    let (watched, task) = pulse::living("courier", async move {
        pulse::beat();
        session.transfer(&batch(count, 10)).await
    });
    let watchdog = async {
        loop {
            passes(limits::TASK_STALLED / 4).await;
            assert_eq!(watched.stalled(), None);
        }
    };
    tokio::select! {
        (answers, failed) = task => {
            assert!(failed.is_none() && answers.iter().all(|answer| *answer == Answer::Taken));
        }
        () = watchdog => {}
    }
}

#[tokio::test]
async fn a_receiver_that_refuses_the_session_says_why() {
    for (answer, word) in [
        ("500 required commands not offered", "required commands"),
        ("200 OK\ncommands=syslog", "versions"),
        ("200 OK\nrelp_version=0\ncommands=eventlog", "syslog"),
        ("", "refuses"),
    ] {
        let (ours, theirs) = duplex(4096);
        tokio::spawn(async move {
            let mut peer = Peer::new(theirs);
            let (txnr, ..) = peer.next().await.unwrap();
            peer.say(txnr, "rsp", answer).await;
            std::future::pending::<()>().await;
        });
        let err = Session::open(ours, PATIENCE).await.unwrap_err();
        assert!(err.to_string().contains(word), "{answer}: {err}");
    }
}

#[tokio::test]
async fn over_tls_with_client_certificates_and_a_refused_one_is_heard() {
    for version in [&TLS12, &TLS13] {
        let pki = Pki::new();
        let server = pki.server(true, version);
        let at = listen(move |_, stream: TcpStream| {
            let server = server.clone();
            async move {
                let Some(stream) = server.accept(stream).await else { return };
                Peer::new(stream).opened().await.take(usize::MAX, &Got::default()).await;
            }
        })
        .await;
        let with =
            |files: TlsFiles| Sink::new(Plan::Relp(RelpPlan { tls: Some(files), ..plan(at) })).unwrap();
        assert_eq!(taken(with(pki.files_with_client()).send(&batch(500, 100)).await.unwrap()), 500);
        let fault = with(pki.files()).send(&batch(2, 10)).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::TlsHandshake), "{fault}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_fault_of_the_connection() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fault = relp(closed).send(&batch(1, 10)).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Connect), "{fault}");
}

#[test]
fn the_frames_of_this_test_are_the_protocols() {
    let mut out = Vec::new();
    frame::write(&mut out, 3, "rsp", b"200 OK");
    assert_eq!(out, b"3 rsp 6 200 OK\n");
    assert_eq!(
        frame::read(&out).unwrap(),
        Some(Frame { txnr: 3, command: b"rsp", data: b"200 OK", len: 15 })
    );
}
