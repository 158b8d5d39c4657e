//! Both clients against servers in this process: what goes onto the wire, and what becomes of every way to fail.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as Incoming, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::auth::{Pass, Token};
use super::catalogue::find;
use super::client::{ApiClient, DownloadClient, Outlet, Timeouts, Tls, Ways};
use super::links::{FileKey, FileLink};
use super::position::Position;
use super::request::{Asking, Request, build, page_size};
use super::signature::SigningKeys;
use crate::clock::{Clock, Time};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{DOWNLOAD_PIECE_BYTES, MAX_ANSWER_BYTES};
use crate::secret::Secret;

const NOW: Time = Time(1_767_259_800_000);

/// What arrived: request line, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

pub(super) struct Server {
    at: SocketAddr,
    seen: Seen,
}

impl Server {
    /// Answers every request with what `answer` makes of its path.
    pub(super) async fn start(answer: fn(&str) -> Response) -> Server {
        let seen = Seen::default();
        let app = Router::new().fallback(move |State(seen): State<Seen>, request: Incoming| async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let line = format!("{} {}", head.method, head.uri);
            seen.lock().unwrap().push((line, head.headers, String::from_utf8(body.to_vec()).unwrap()));
            answer(head.uri.path())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = app.with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { at, seen }
    }
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.at)
    }
    fn last(&self) -> (String, HeaderMap, String) {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

/// A server that reads one request and says these bytes, whatever they are.
pub(super) async fn raw_server(says: &'static [u8], hang: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(says).await;
            if hang {
                std::future::pending::<()>().await;
            }
        }
    });
    format!("http://{at}")
}

pub(super) fn api_of(outlet: &Outlet) -> ApiClient {
    ApiClient::new(&Ways::new(outlet).unwrap(), outlet)
}

fn downloads_of(outlet: &Outlet) -> DownloadClient {
    DownloadClient::new(&Ways::new(outlet).unwrap(), outlet)
}

pub(super) fn outlet(base: &str) -> Outlet {
    let short = Duration::from_millis(400);
    Outlet {
        base_url: base.parse().unwrap(),
        proxy: None,
        tls: Tls::new(None, false).unwrap(),
        download_hosts: Vec::new(),
        timeouts: Timeouts {
            connect: short,
            call: short,
            refusal: short,
            begin: short,
            silence: short,
            measured: short,
        },
        clock: Clock::manual(NOW),
    }
}

pub(super) fn api(base: &str) -> ApiClient {
    api_of(&outlet(base))
}

pub(super) fn pass() -> Pass {
    let expires = NOW.plus(Duration::from_secs(1800));
    Pass::Bearer(Token { secret: Secret::new("t0k3n"), expires })
}

pub(super) fn listing_request(name: &str) -> Request {
    let feed = find(name).unwrap();
    let asking = Asking { page_size: page_size(feed), overlap: feed.overlap, server_now: NOW, until: None };
    build(feed, &Position::first(feed, NOW, Duration::ZERO), &asking).request
}

pub(super) async fn call(base: &str) -> Result<super::client::Answer, Fault> {
    api(base).send(&listing_request("siem.url-protect"), &pass()).await
}

fn link(url: &str) -> FileLink {
    FileLink { url: Secret::new(url), key: FileKey::of(url), name: "f".into(), size: None, expiry: None }
}

pub(super) async fn fetch(client: &DownloadClient, url: &str) -> Result<Vec<u8>, Fault> {
    let mut download = client.open(&link(url)).await?;
    let mut out = Vec::new();
    while let Some(piece) = download.next_piece().await? {
        assert!(piece.len() <= DOWNLOAD_PIECE_BYTES);
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

pub(super) fn downloads(base: &str) -> DownloadClient {
    downloads_of(&outlet(base))
}

#[tokio::test]
async fn a_call_carries_token_request_id_and_our_name() {
    let server = Server::start(|_| ([("x-ratelimit-remaining", "7")], "{}").into_response()).await;
    let answer = call(&server.url()).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert!(answer.headers.contains(&("x-ratelimit-remaining".to_owned(), "7".to_owned())));
    let (line, headers, body) = server.last();
    let expected =
        "GET /siem/v1/batch/events/cg?type=url%20protect&pageSize=100&dateRangeStartsAt=2026-01-01";
    assert_eq!((line.as_str(), body.as_str()), (expected, ""));
    assert_eq!(headers["authorization"], "Bearer t0k3n");
    assert_eq!(headers["accept"], "application/json");
    assert_eq!(headers["user-agent"], format!("mimecollectd/{}", env!("CARGO_PKG_VERSION")));
    let id = |headers: &HeaderMap| headers["x-request-id"].to_str().unwrap().parse::<uuid::Uuid>().unwrap();
    call(&server.url()).await.unwrap();
    assert_ne!(id(&headers), id(&server.last().1), "each request has its own id");
    assert!(!headers.contains_key("cookie") && !headers.contains_key("referer"));
    api(&server.url()).send(&listing_request("audit"), &pass()).await.unwrap();
    let (line, headers, body) = server.last();
    assert_eq!(
        (line.as_str(), &headers["content-type"]),
        ("POST /api/audit/get-audit-events", &"application/json".parse().unwrap())
    );
    assert!(body.contains("\"startDateTime\":\"2026-01-01T09:30:00+0000\""), "{body}");
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_form_and_no_bearer() {
    let server =
        Server::start(|_| include_str!("../../tests/fixtures/mimecast/v2-token.json").into_response()).await;
    let token = api(&server.url()).token("id", &Secret::new("a+b/=")).await.unwrap();
    assert_eq!(token.0.expires, NOW.plus(Duration::from_secs(1799)));
    let (line, headers, body) = server.last();
    assert_eq!(line, "POST /oauth/token");
    assert_eq!(body, "client_id=id&client_secret=a%2Bb%2F%3D&grant_type=client_credentials");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!headers.contains_key("authorization"));
    let refusing = Server::start(|_| {
        (StatusCode::UNAUTHORIZED, "{\"fail\":[{\"code\":\"InvalidClientIdentifier\"}]}").into_response()
    })
    .await;
    let fault = api(&refusing.url()).token("id", &Secret::new("s")).await.unwrap_err();
    assert_eq!(
        (fault.origin, fault.status(), fault.code_str()),
        (Origin::Token, Some(401), "InvalidClientIdentifier")
    );
}

/// The header and the signed text have to agree, so the server computes the same from what it got.
#[tokio::test]
async fn a_signed_call_carries_what_its_signature_covers() {
    let server = Server::start(|_| "{}".into_response()).await;
    let keys = || {
        let (app_key, access) = (Secret::new("app-key"), Secret::new("access"));
        Arc::new(SigningKeys::new("app-id", app_key, access, &Secret::new("ZGVtbw==")).unwrap())
    };
    let pass = Pass::Signed { keys: keys(), date: NOW };
    let answer = api(&server.url()).send(&listing_request("audit"), &pass).await.unwrap();
    let (line, headers, _) = server.last();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(line, "POST /api/audit/get-audit-events");
    assert_eq!(
        (header("x-mc-date").as_str(), header("x-mc-app-id").as_str()),
        ("Thu, 01 Jan 2026 09:30:00 UTC", "app-id")
    );
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-mc-req-id"), answer.sent_id);
    assert!(header("x-mc-req-id").parse::<uuid::Uuid>().is_ok());
    let same =
        keys().authorization("/api/audit/get-audit-events", &header("x-mc-date"), &header("x-mc-req-id"));
    assert_eq!(header("authorization"), same.expose());
    api(&server.url()).send(&listing_request("siem.av"), &pass).await.unwrap();
    let (line, headers, _) = server.last();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert!(line.contains('?'), "{line}");
    let same = keys().authorization("/siem/v1/batch/events/cg", &header("x-mc-date"), &header("x-mc-req-id"));
    assert_eq!(header("authorization"), same.expose(), "the path alone is signed");
    assert_ne!(header("x-mc-req-id"), answer.sent_id, "each request has its own id");
}

#[tokio::test]
async fn support_gets_both_ids_of_a_refused_request() {
    let server = Server::start(|_| {
        let body = include_str!("../../tests/fixtures/mimecast/v1-401-invalid-signature.json");
        (StatusCode::UNAUTHORIZED, [("x-mc-req-id", "theirs-1")], body).into_response()
    })
    .await;
    let fault = call(&server.url()).await.unwrap_err();
    let sent = server.last().1["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!((fault.sent_id.as_ref(), fault.request_id.as_deref()), (Some(&sent), Some("theirs-1")));
    assert!(fault.to_string().ends_with(&format!("(request {sent}, answered as theirs-1)")), "{fault}");
    let silent = call("http://127.0.0.1:1").await.unwrap_err();
    assert!(silent.sent_id.is_some(), "an id even where no answer came");
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_not_sent() {
    let server = Server::start(|_| "{}".into_response()).await;
    let keys = SigningKeys::new("app\nid", Secret::new("k"), Secret::new("a"), &Secret::new("ZGVtbw=="));
    let pass = Pass::Signed { keys: Arc::new(keys.unwrap()), date: NOW };
    let fault = api(&server.url()).send(&listing_request("audit"), &pass).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Local, Kind::SecretUnreadable));
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_error_answer_is_read_once_and_bounded() {
    let server = Server::start(|_| {
        let endless =
            futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 4096])));
        (StatusCode::FORBIDDEN, Body::from_stream(endless)).into_response()
    })
    .await;
    assert_eq!(call(&server.url()).await.unwrap_err().status(), Some(403));
    assert_eq!(server.seen.lock().unwrap().len(), 1);
    let server = Server::start(|_| {
        let body = include_str!("../../tests/fixtures/mimecast/v2-401-token-expired.json");
        (StatusCode::UNAUTHORIZED, [("x-request-id", "r-1")], body).into_response()
    })
    .await;
    let fault = call(&server.url()).await.unwrap_err();
    assert_eq!((fault.status(), fault.code_str()), (Some(401), "token_expired"));
    assert_eq!((fault.origin, fault.request_id.as_deref()), (Origin::Api, Some("r-1")));
}

#[tokio::test]
async fn h01_a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::start(|path| match path {
        "/elsewhere" => "stolen".into_response(),
        _ => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
    })
    .await;
    assert_eq!(call(&server.url()).await.unwrap_err().status(), Some(302));
    assert!(server.seen.lock().unwrap().iter().all(|(line, ..)| !line.contains("elsewhere")));
}

#[tokio::test]
async fn h02_a_download_follows_one_hop_to_an_allowed_address() {
    let server = Server::start(|path| match path {
        "/file" => "the file".into_response(),
        "/once" => (StatusCode::TEMPORARY_REDIRECT, [("location", "/file?sig=2")]).into_response(),
        "/twice" => (StatusCode::FOUND, [("location", "/once")]).into_response(),
        "/away" => (StatusCode::FOUND, [("location", "https://evil.example/x")]).into_response(),
        _ => (StatusCode::FOUND, [("location", "http://169.254.169.254/latest/")]).into_response(),
    })
    .await;
    let client = downloads(&server.url());
    let from = |path: &str| format!("{}{path}", server.url());
    assert_eq!(fetch(&client, &from("/once?sig=1")).await.unwrap(), b"the file");
    let (line, headers, _) = server.last();
    assert_eq!(line, "GET /file?sig=2");
    assert!(!headers.contains_key("authorization"));
    for (path, status) in [("/twice", 307), ("/away", 302), ("/metadata", 302)] {
        assert_eq!(fetch(&client, &from(path)).await.unwrap_err().status(), Some(status), "{path}");
    }
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_refused() {
    let announced = Server::start(|_| vec![b' '; MAX_ANSWER_BYTES + 1].into_response()).await;
    assert_eq!(call(&announced.url()).await.unwrap_err().kind, Kind::TooLarge);
    let endless = Server::start(|_| {
        let block = Bytes::from(vec![b' '; 1 << 20]);
        Body::from_stream(futures_util::stream::repeat_with(move || Ok::<_, Infallible>(block.clone())))
            .into_response()
    })
    .await;
    let mut outlet = outlet(&endless.url());
    outlet.timeouts = Timeouts::default();
    let fault = api_of(&outlet).send(&listing_request("audit"), &pass()).await.unwrap_err();
    assert_eq!(fault.kind, Kind::TooLarge);
}

#[tokio::test]
async fn x03_x06_connection_faults_have_names() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(); // dropped at once
    for (base, kind) in [
        (format!("http://{closed}"), Kind::Connect),
        (raw_server(b"", true).await, Kind::Timeout),
        (raw_server(b"", false).await, Kind::Interrupted),
        (raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", false).await, Kind::Interrupted),
        (raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", true).await, Kind::Timeout),
        (
            raw_server(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort", false).await,
            Kind::Interrupted,
        ),
        (
            raw_server(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", false).await,
            Kind::Interrupted,
        ),
        (raw_server(b"nonsense\r\n\r\n", false).await, Kind::Interrupted),
    ] {
        let fault = call(&base).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Api, kind), "{fault}");
        let fault = fetch(&downloads(&base), &format!("{base}/f?X-Amz-Signature=s3cr3t")).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Download, kind), "{fault}");
        assert!(!fault.to_string().contains("s3cr3t"));
    }
}

#[tokio::test]
async fn x01_x02_names_that_do_not_resolve_or_resolve_to_us() {
    let fault = call("http://no-such-host.invalid").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Dns, "{fault}");
    let mut outlet = outlet("https://api.services.mimecast.com");
    outlet.download_hosts = vec!["localhost".into()];
    let client = downloads_of(&outlet);
    let fault = fetch(&client, "https://localhost/f?s=1").await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Download, Kind::PrivateAddress), "{fault}");
    let fault = fetch(&client, "https://127.0.0.1/f?s=1").await.unwrap_err();
    assert_eq!(fault.kind, Kind::LinkRefused);
}

#[tokio::test]
async fn a_file_comes_in_bounded_pieces_and_never_with_a_token() {
    let server = Server::start(|_| {
        let blocks = (0..5_u8).map(|n| Ok::<_, Infallible>(Bytes::from(vec![n; 100_000])));
        ([("content-encoding", "gzip")], Body::from_stream(futures_util::stream::iter(blocks)))
            .into_response()
    })
    .await;
    let url = format!("{}/cg/part%20one.gz?X-Amz-Signature=a%2Fb%3D&X=%7E", server.url());
    let file = fetch(&downloads(&server.url()), &url).await.unwrap();
    assert_eq!((file.len(), file[0], file[499_999]), (500_000, 0, 4));
    let (line, headers, _) = server.last();
    assert_eq!(
        line, "GET /cg/part%20one.gz?X-Amz-Signature=a%2Fb%3D&X=%7E",
        "the link is sent byte for byte"
    );
    assert!(!headers.contains_key("authorization") && !headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn x17_an_expired_link_is_read_as_what_it_says() {
    let server = Server::start(|_| {
        let xml = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        (StatusCode::FORBIDDEN, [("content-type", "application/xml")], xml).into_response()
    })
    .await;
    let fault = fetch(&downloads(&server.url()), &format!("{}/f?s=1", server.url())).await.unwrap_err();
    assert_eq!((fault.origin, fault.status()), (Origin::Download, Some(403)));
    assert!(fault.code.is_some(), "{fault}");
}

#[tokio::test]
async fn h05_a_proxy_that_wants_credentials_is_named() {
    let proxy =
        raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", false).await;
    let mut outlet = outlet("https://api.services.mimecast.com");
    outlet.proxy = Some(proxy.parse().unwrap());
    let fault = api_of(&outlet).send(&listing_request("audit"), &pass()).await.unwrap_err();
    assert_eq!(fault.status(), Some(407), "{fault}");
}

#[tokio::test]
async fn a_loopback_call_goes_through_the_proxy_if_one_is_set() {
    let proxy = Server::start(|_| "{}".into_response()).await;
    let mut outlet = outlet("http://api.example.invalid");
    outlet.proxy = Some(proxy.url().parse().unwrap());
    api_of(&outlet).send(&listing_request("audit"), &pass()).await.unwrap();
    assert!(proxy.last().0.starts_with("POST http://api.example.invalid/api/audit"), "{}", proxy.last().0);
}

/// A TLS server for 127.0.0.1 with an own authority; returns its URL and the authority's certificate.
async fn tls_server(versions: &[&'static rustls::SupportedProtocolVersion]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], der)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        }
    });
    (format!("https://{at}"), cert.pem())
}

#[tokio::test]
async fn x04_x05_certificates_are_verified_and_an_own_authority_helps() {
    let (url, authority) = tls_server(rustls::ALL_VERSIONS).await;
    let fault = call(&url).await.unwrap_err();
    assert_eq!((fault.origin, fault.kind), (Origin::Api, Kind::TlsVerify), "{fault}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority).unwrap();
    let mut trusting = outlet(&url);
    trusting.tls = Tls::new(Some(file.path()), false).unwrap();
    let client = api_of(&trusting);
    assert_eq!(client.send(&listing_request("audit"), &pass()).await.unwrap().body, "{}");
    let plain = raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await.replace("http:", "https:");
    let fault = call(&plain).await.unwrap_err();
    assert_eq!(fault.kind, Kind::TlsHandshake, "{fault}");
}

#[test]
fn a_ca_file_that_holds_nothing_is_said_so() {
    assert!(
        Tls::new(Some(Path::new("/nonexistent/ca.pem")), false)
            .unwrap_err()
            .message
            .contains("/nonexistent/ca.pem")
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(Tls::new(Some(file.path()), false).unwrap_err().message.contains("no readable PEM"));
}
