//! Syslog against receivers that confirm, die, lie and dawdle.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::plan::{SyslogPlan, TlsFiles};
use super::receivers::*;
use super::{Plan, Receipt, Sent, Sink};
use crate::fault::{Fault, Kind, Origin};

/// Far above what loopback needs, far below what a person waits for.
const PATIENCE: Duration = Duration::from_secs(5);
/// For peers that never do what is waited for.
const IMPATIENCE: Duration = Duration::from_millis(150);

fn plan(at: SocketAddr) -> SyslogPlan {
    SyslogPlan {
        connect_timeout: PATIENCE,
        write_timeout: PATIENCE,
        confirm_timeout: PATIENCE,
        ..SyslogPlan::tcp(at.ip().to_string(), at.port(), 400)
    }
}

fn tcp(at: SocketAddr) -> Sink {
    Sink::new(Plan::Syslog(plan(at))).unwrap()
}

fn tls(at: SocketAddr, files: TlsFiles) -> Sink {
    Sink::new(Plan::Syslog(plan(at).with_tls(files))).unwrap()
}

/// A peer may be found out while writing or only at the end; either way there must be no receipt.
async fn delivered(sink: &Sink, events: usize) -> Result<Receipt, Fault> {
    assert_eq!(sink.send(&batch(events, 100)).await?, Sent::Written);
    sink.confirm().await
}

fn shared() -> (Got, Got) {
    let got = Got::default();
    (got.clone(), got)
}

// --- TCP --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_receiver_that_reads_to_the_end_confirms_every_batch() {
    let (got, theirs) = shared();
    let at = listen(move |_, mut stream| {
        let got = theirs.clone();
        async move {
            stream.write_all(b"220 hello\r\n").await.unwrap(); // nobody asked, nobody minds
            read_all(&mut stream, &got).await;
        }
    })
    .await;
    let sink = tcp(at);
    let (first, second) = (batch(3, 10), batch(2, 400_000));
    sink.send(&first).await.unwrap();
    sink.send(&second).await.unwrap();
    assert_eq!(sink.confirm().await.unwrap(), Receipt { events: 5, level: 2 });
    assert_eq!(sink.confirm().await.unwrap_err().kind, Kind::Interrupted, "one receipt for one batch");
    assert_eq!(delivered(&sink, 1).await.unwrap(), Receipt { events: 1, level: 2 });
    assert_eq!(*got.lock().unwrap(), [first.bytes.as_slice(), &second.bytes, &batch(1, 100).bytes].concat());
    assert_eq!((sink.ack_level(), sink.probe().await.unwrap()), (2, 2));
}

#[tokio::test]
async fn a_reset_confirms_nothing_and_the_next_batch_gets_a_new_connection() {
    let at = listen(|n, mut stream| async move {
        if n == 0 {
            stream.read_u8().await.unwrap();
            stream.set_zero_linger().unwrap();
        } else {
            read_all(&mut stream, &Got::default()).await;
        }
    })
    .await;
    let sink = tcp(at);
    let fault = delivered(&sink, 3000).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Interrupted), "{fault}");
    assert!(sink.confirm().await.is_err());
    assert_eq!(delivered(&sink, 7).await.unwrap().events(), 7);
}

#[tokio::test]
async fn a_peer_that_leaves_before_us_confirms_nothing() {
    let (left, gone) = tokio::sync::oneshot::channel();
    let left = Mutex::new(Some(left));
    let at = listen(move |_, mut stream| {
        let left = left.lock().unwrap().take();
        async move {
            let mut all = vec![0; batch(2, 100).bytes.len()];
            stream.read_exact(&mut all).await.unwrap(); // so that its kernel has no reason to reset
            stream.shutdown().await.unwrap();
            left.unwrap().send(stream).unwrap();
        }
    })
    .await;
    let sink = tcp(at);
    sink.send(&batch(2, 100)).await.unwrap();
    let _still_open = gone.await.unwrap();
    let fault = sink.confirm().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Interrupted, "{fault}");
    assert!(fault.detail.contains("before the batch was complete"), "{fault}");
}

#[tokio::test]
async fn a_receiver_too_slow_to_confirm_gets_less_until_it_can() {
    let asked = AtomicUsize::new(0);
    let at = listen(move |_, mut stream| {
        let mute = asked.fetch_add(1, Ordering::SeqCst) < 4;
        async move {
            read_all(&mut stream, &Got::default()).await;
            if mute {
                std::future::pending::<()>().await; // never closes
            }
        }
    })
    .await;
    let sink = Sink::new(Plan::Syslog(SyslogPlan { confirm_timeout: IMPATIENCE, ..plan(at) })).unwrap();
    for less in [200, 100, 50, 50] {
        assert_eq!(delivered(&sink, 1).await.unwrap_err().kind, Kind::Timeout);
        assert_eq!(sink.window().confirm_every, less);
    }
    for more in [100, 200, 400, 400] {
        assert_eq!(delivered(&sink, 1).await.unwrap().events(), 1);
        assert_eq!((sink.window().confirm_every, sink.window().max_events), (more, more as usize));
    }
}

#[tokio::test]
async fn a_receiver_that_never_reads_is_given_up() {
    let at = listen(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sink = Sink::new(Plan::Syslog(SyslogPlan { write_timeout: IMPATIENCE, ..plan(at) })).unwrap();
    let fault = sink.send(&batch(40, 1 << 20)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Timeout, "{fault}");
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_while_we_are_stuck_writing() {
    let at = listen(|_, mut stream| async move {
        stream.read_u8().await.unwrap();
        stream.shutdown().await.unwrap();
        std::future::pending::<()>().await; // reads no more, so only its end can be noticed
    })
    .await;
    let fault = tcp(at).send(&batch(40, 1 << 20)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Interrupted, "{fault}");
}

#[tokio::test]
async fn a_peer_that_talks_without_end_is_no_receiver() {
    let at = listen(|_, stream| async move {
        let (mut read, mut write) = stream.into_split();
        let got = Got::default();
        let (_, _) = tokio::join!(read_all(&mut read, &got), async {
            while write.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
    })
    .await;
    let fault = delivered(&tcp(at), 1).await.unwrap_err();
    assert_eq!(fault.kind, Kind::TooLarge, "{fault}");
}

#[tokio::test]
async fn a_send_that_was_cancelled_is_in_no_receipt() {
    let at = listen(|n, mut stream| async move {
        if n == 0 {
            std::future::pending::<()>().await;
        }
        read_all(&mut stream, &Got::default()).await;
    })
    .await;
    let sink = tcp(at);
    sink.send(&batch(1, 10)).await.unwrap();
    let stuck = batch(40, 1 << 20);
    assert!(tokio::time::timeout(IMPATIENCE, sink.send(&stuck)).await.is_err());
    assert_eq!(sink.confirm().await.unwrap_err().kind, Kind::Interrupted);
    assert_eq!(delivered(&sink, 2).await.unwrap().events(), 2);
}

#[tokio::test]
async fn nobody_there() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fault = delivered(&tcp(closed), 1).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Connect), "{fault}");
    let nameless = SyslogPlan { host: "no-such-host.invalid".into(), ..plan(closed) };
    let fault = delivered(&Sink::new(Plan::Syslog(nameless)).unwrap(), 1).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Dns), "{fault}");
}

// --- TLS --------------------------------------------------------------------------------------------------

/// Reads to the end and answers `close_notify`, as RFC 5425 asks.
async fn proper(server: Server, stream: TcpStream, got: Got) {
    let Some(mut stream) = server.accept(stream).await else { return };
    // rsyslog's ossl driver fails resumed sessions when it wants client certificates.
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    if read_all(&mut stream, &got).await {
        stream.shutdown().await.ok();
    }
}

/// Reads to the end and just closes.
async fn curt(server: Server, stream: TcpStream, got: Got) {
    let Some(mut stream) = server.accept(stream).await else { return };
    read_all(&mut stream, &got).await;
}

#[tokio::test]
async fn close_notify_after_the_batch_is_level_three() {
    for version in [&TLS12, &TLS13] {
        let (pki, (got, theirs)) = (Pki::new(), shared());
        let server = pki.server(true, version);
        let at = listen(move |_, stream| proper(server.clone(), stream, theirs.clone())).await;
        let sink = tls(at, pki.files_with_client());
        assert_eq!(delivered(&sink, 3).await.unwrap(), Receipt { events: 3, level: 3 });
        assert_eq!(delivered(&sink, 5000).await.unwrap(), Receipt { events: 5000, level: 3 });
        assert_eq!(*got.lock().unwrap(), [batch(3, 100).bytes.as_slice(), &batch(5000, 100).bytes].concat());
        assert_eq!(sink.ack_level(), 3);
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_close_notify_counts_as_level_two_openly() {
    let (pki, (got, theirs)) = (Pki::new(), shared());
    let server = pki.server(false, &TLS13);
    let at = listen(move |_, stream| curt(server.clone(), stream, theirs.clone())).await;
    let sink = tls(at, pki.files());
    assert_eq!(sink.ack_level(), 3);
    assert_eq!(sink.probe().await.unwrap(), 2);
    assert_eq!(delivered(&sink, 2).await.unwrap(), Receipt { events: 2, level: 2 });
    assert_eq!(*got.lock().unwrap(), *batch(2, 100).bytes);
}

#[tokio::test]
async fn the_first_send_probes_by_itself_so_a_curt_peer_causes_no_endless_resending() {
    let pki = Pki::new();
    let server = pki.server(false, &TLS13);
    let at = listen(move |_, stream| curt(server.clone(), stream, Got::default())).await;
    let sink = tls(at, pki.files());
    assert_eq!(delivered(&sink, 2).await.unwrap(), Receipt { events: 2, level: 2 });
    assert_eq!(sink.ack_level(), 2);
}

#[tokio::test]
async fn end_without_close_notify_is_no_confirmation_once_the_peer_is_known_to_give_one() {
    let pki = Pki::new();
    let server = pki.server(false, &TLS13);
    let at = listen(move |n, stream| {
        let server = server.clone();
        async move {
            match n {
                0 => proper(server, stream, Got::default()).await, // the probe
                _ => curt(server, stream, Got::default()).await, // killed, then replaced by one that never answers
            }
        }
    })
    .await;
    let sink = tls(at, pki.files());
    let fault = delivered(&sink, 2).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Interrupted), "{fault}");
    assert!(fault.detail.contains("close_notify"), "{fault}");
    assert_eq!(sink.ack_level(), 3);
    assert_eq!(
        delivered(&sink, 2).await.unwrap(),
        Receipt { events: 2, level: 2 },
        "asked again before the next batch"
    );
}

#[tokio::test]
async fn close_notify_of_a_peer_that_stops_without_reading_is_no_confirmation() {
    let pki = Pki::new();
    let server = pki.server(false, &TLS13);
    let (close, closing) = tokio::sync::oneshot::channel::<()>();
    let closing = Mutex::new(Some(closing));
    let at = listen(move |n, stream| {
        let server = server.clone();
        let closing = if n == 0 { None } else { closing.lock().unwrap().take() };
        async move {
            let Some(closing) = closing else { return proper(server, stream, Got::default()).await }; // the probe
            let mut stream = server.accept(stream).await.unwrap();
            stream.get_ref().0.readable().await.unwrap();
            stream.get_mut().1.send_close_notify();
            stream.flush().await.unwrap();
            closing.await.unwrap(); // then it closes with the batch unread, and its kernel resets
        }
    })
    .await;
    let sink = tls(at, pki.files());
    sink.send(&batch(300, 100)).await.unwrap(); // more than TLS reads ahead, less than what the kernel holds
    let mut confirmed = std::pin::pin!(sink.confirm());
    let early = tokio::time::timeout(IMPATIENCE, &mut confirmed).await;
    close.send(()).unwrap();
    let confirmed = match early {
        Ok(confirmed) => confirmed,
        Err(_) => confirmed.await,
    };
    let fault = confirmed.unwrap_err();
    assert_eq!(fault.kind, Kind::Interrupted, "{fault}");
}

#[tokio::test]
async fn a_refused_client_certificate_is_heard_although_every_write_succeeds() {
    for version in [&TLS12, &TLS13] {
        let pki = Pki::new();
        let server = pki.server(true, version);
        let at = listen(move |_, stream| proper(server.clone(), stream, Got::default())).await;
        let fault = delivered(&tls(at, pki.files()), 2).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::TlsHandshake), "{fault}");
        let fault = tls(at, pki.files()).probe().await.unwrap_err();
        assert_eq!(fault.kind, Kind::TlsHandshake, "{fault}");
        assert!(version.version != TLS13.version || fault.detail.contains("cert_file"), "{fault}");
    }
}

#[tokio::test]
async fn certificates_that_do_not_verify() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = pki.server(false, &TLS13);
    let at = listen(move |_, stream| proper(server.clone(), stream, Got::default())).await;
    let misnamed = TlsFiles { server_name: Some("other.example".into()), ..pki.files() };
    for files in [other.files(), misnamed, TlsFiles::default()] {
        let fault = delivered(&tls(at, files), 1).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::TlsVerify), "{fault}");
    }
    let named = TlsFiles { server_name: Some("localhost".into()), ..pki.files() };
    assert_eq!(delivered(&tls(at, named), 1).await.unwrap().level(), 3);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls() {
    let talks = listen(|_, mut stream| async move { stream.write_all(b"220 smtp\r\n").await.unwrap() }).await;
    let closes = listen(|_, stream| async move { drop(stream) }).await;
    let silent = listen(|_, mut stream| async move {
        read_all(&mut stream, &Got::default()).await;
    })
    .await;
    let pki = Pki::new();
    for (at, connect_timeout, kind) in [
        (talks, PATIENCE, Kind::TlsHandshake),
        (closes, PATIENCE, Kind::TlsHandshake),
        (silent, IMPATIENCE, Kind::Timeout),
    ] {
        let plan = SyslogPlan { connect_timeout, ..plan(at) }.with_tls(pki.files());
        let fault = delivered(&Sink::new(Plan::Syslog(plan)).unwrap(), 1).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, kind), "{fault}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_runs() {
    let pki = Pki::new();
    let at = "127.0.0.1:1".parse().unwrap();
    let refused = |files: TlsFiles| Sink::new(Plan::Syslog(plan(at).with_tls(files))).unwrap_err().message;
    let missing = TlsFiles { ca_file: Some(pki.path("none.pem")), ..TlsFiles::default() };
    assert!(refused(missing).contains("none.pem"));
    let no_certificate = TlsFiles { ca_file: Some(pki.path("client.key")), ..TlsFiles::default() };
    assert!(refused(no_certificate).contains("no certificate"));
    assert!(
        refused(TlsFiles { cert_file: Some(pki.path("client.pem")), ..pki.files() })
            .contains("belong together")
    );
    let swapped = TlsFiles { key_file: Some(pki.path("server.key")), ..pki.files_with_client() };
    assert!(refused(swapped).contains("do not fit"));
    let nameless = TlsFiles { server_name: Some("not a name".into()), ..pki.files() };
    assert!(refused(nameless).contains("server_name"));
}
