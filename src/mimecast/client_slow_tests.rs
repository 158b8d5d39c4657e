//! Both clients against servers that are slow, silent or send a lot: nobody else is held up by them for long.

use std::time::Duration;

use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Timeouts;
use super::client_tests::{
    Server, api, api_of, call, downloads, fetch, listing_request, outlet, pass, raw_server,
};
use crate::fault::{Kind, Origin};
use crate::limits::{LARGE_ANSWERS_AT_ONCE, LARGE_FROM_BYTES};

/// A server that says a head and then a byte now and then.
async fn dripping(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 1000000\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let mut beat = tokio::time::interval(Duration::from_millis(50));
                while stream.write_all(b"x").await.is_ok() {
                    beat.tick().await;
                }
            });
        }
    });
    base
}

/// A byte now and then keeps every time-out from striking.
#[tokio::test]
async fn x06_a_download_that_only_drips_is_broken_off() {
    let base = dripping("200 OK").await;
    let fault = fetch(&downloads(&base), &format!("{base}/file")).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Timeout);
    assert!(fault.detail.contains("bytes came in"), "{}", fault.detail);
    let mut archive = api(&base).open(&listing_request("audit"), &pass()).await.unwrap();
    let fault = loop {
        match archive.next_piece().await {
            Ok(piece) => assert!(piece.is_some()),
            Err(fault) => break fault,
        }
    };
    assert_eq!((fault.origin, fault.kind), (Origin::Api, Kind::Timeout));
}

/// It has said what it is by its status, and may say the rest to whom it likes.
#[tokio::test]
async fn a_refusal_that_drips_holds_nobody_up() {
    let base = dripping("403 Forbidden").await;
    let fault = fetch(&downloads(&base), &format!("{base}/file")).await.unwrap_err();
    assert_eq!((fault.origin, fault.status()), (Origin::Download, Some(403)));
    let fault = call(&base).await.unwrap_err();
    assert_eq!((fault.origin, fault.status()), (Origin::Api, Some(403)));
}

#[tokio::test]
async fn an_answer_that_is_a_file_has_to_begin() {
    let base = raw_server(b"", true).await;
    let fault = api(&base).open(&listing_request("audit"), &pass()).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Api, Kind::Timeout));
    assert!(fault.sent_id.is_some());
}

/// Each page is there several times while it is read and stored; many tenants must not have one each.
#[tokio::test]
async fn few_large_answers_are_in_hand_at_a_time() {
    let server = Server::start(|_| vec![b' '; LARGE_FROM_BYTES + 1].into_response()).await;
    let mut outlet = outlet(&server.url());
    outlet.timeouts = Timeouts::default();
    let (client, request, pass) = (api_of(&outlet), listing_request("audit"), pass());
    let ask = || client.send(&request, &pass);
    let mut in_hand = Vec::new();
    for _ in 0..LARGE_ANSWERS_AT_ONCE {
        in_hand.push(ask().await.unwrap());
    }
    let mut next = std::pin::pin!(ask());
    let soon = tokio::time::timeout(Duration::from_millis(300), &mut next).await;
    assert!(soon.is_err(), "it waits");
    in_hand.pop();
    assert_eq!(next.await.unwrap().body.len(), LARGE_FROM_BYTES + 1);
}
