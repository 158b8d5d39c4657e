//! Which path answers what.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{map_request_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use tokio::time::timeout;

use super::names::Names;
use super::status::Status;
use super::view::View;
use super::{Source, gauges, page};
use crate::limits::{ADMIN_PIECE_BYTES, ADMIN_STATUS_TIMEOUT};
use crate::telemetry::exporter::Exporter;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The text format's own version, as Prometheus asks for it.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Admin {
    source: Arc<dyn Source>,
    exporter: Exporter,
}

pub(super) fn router(source: Arc<dyn Source>, exporter: Exporter, names: Names) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/healthz", get(async || answer(StatusCode::OK, TEXT, "alive\n")))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/api/errors", get(errors))
        .route("/api/errors/{status}", get(error))
        .route("/api/errors/{status}/{code}", get(error_with_code))
        .fallback(async || answer(StatusCode::NOT_FOUND, TEXT, "there is nothing here; try /\n"))
        .layer(map_request_with_state(Arc::new(names), ours))
        .layer(map_response(guarded))
        .with_state(Admin { source, exporter })
}

/// Lets a request pass that asks for this machine.
async fn ours(State(names): State<Arc<Names>>, request: Request) -> Result<Request, Response> {
    if names.fit(&request) {
        return Ok(request);
    }
    let words = "this is not the host that was asked for. Ask for 127.0.0.1 or localhost; where a proxy on this machine \
                 passes another name on, add the name to [admin] hosts\n";
    Err(answer(StatusCode::MISDIRECTED_REQUEST, TEXT, words))
}

/// Headers of every answer: closed connection, no caching, nothing a browser could be talked into.
async fn guarded(mut response: Response) -> Response {
    let fixed: [(HeaderName, HeaderValue); 7] = [
        (header::CONNECTION, HeaderValue::from_static("close")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::CONTENT_SECURITY_POLICY, page::content_security_policy()),
    ];
    response.headers_mut().extend(fixed);
    response
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

fn json(value: &impl serde::Serialize) -> Response {
    let mut pieces = Pieces::default();
    let written = serde_json::to_writer_pretty(&mut pieces, value);
    match written.map_err(io::Error::from).and_then(|()| pieces.write_all(b"\n")) {
        Ok(()) => streamed(JSON, pieces.0.into_iter()),
        Err(error) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("failed to write JSON: {error}\n"))
        }
    }
}

/// A long text in pieces, none of which has to be copied when the text grows, and each of which goes when it is sent.
#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.last_mut().filter(|last| last.len() + bytes.len() <= last.capacity()) {
            Some(last) => last.extend_from_slice(bytes),
            None => {
                let mut next = Vec::with_capacity(ADMIN_PIECE_BYTES.max(bytes.len()));
                next.extend_from_slice(bytes);
                self.0.push(next);
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Admin {
    /// The status, or the answer to give when it cannot be had in time.
    async fn status(&self) -> Result<Status, Response> {
        timeout(ADMIN_STATUS_TIMEOUT, self.source.status()).await.map_err(|_elapsed| {
            let words = format!("the store did not answer within {} s\n", ADMIN_STATUS_TIMEOUT.as_secs());
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, words)
        })
    }
}

async fn front(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Response, Response> {
    let (status, history) = (admin.status().await?, admin.source.history());
    Ok(answer(StatusCode::OK, HTML, page::render(&status, &history, &View::parse(query.as_deref()))))
}

async fn ready(State(admin): State<Admin>) -> Result<Response, Response> {
    let ready = admin.status().await?.ready;
    if ready.ok {
        return Ok(answer(StatusCode::OK, TEXT, "ready\n"));
    }
    Ok(answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready\n{}\n", ready.reasons.join("\n"))))
}

async fn status(State(admin): State<Admin>) -> Result<Response, Response> {
    Ok(json(&admin.status().await?))
}

/// Without a status in time the counters still answer: a scrape must not go blind when the store is slow.
async fn metrics(State(admin): State<Admin>) -> Response {
    let status = admin.status().await.ok().map(Arc::new);
    let parts = status.as_deref().map_or(0, gauges::parts);
    let gauges = move |part| {
        if let Some(status) = &status {
            gauges::publish(status, part);
        }
    };
    streamed(METRICS, admin.exporter.pieces(parts, gauges))
}

/// An answer whose pieces are made when the reader takes them.
fn streamed<T: Into<Bytes>>(
    kind: &'static str,
    pieces: impl Iterator<Item = T> + Send + 'static,
) -> Response {
    let body = Body::from_stream(stream::iter(pieces.map(|piece| Ok::<Bytes, Infallible>(piece.into()))));
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn errors(State(admin): State<Admin>) -> Response {
    json(&admin.source.errors())
}

async fn error(State(admin): State<Admin>, Path(status): Path<String>) -> Response {
    rule(&admin, &status, "")
}

async fn error_with_code(
    State(admin): State<Admin>,
    Path((status, code)): Path<(String, String)>,
) -> Response {
    rule(&admin, &status, &code)
}

fn rule(admin: &Admin, status: &str, code: &str) -> Response {
    match status.parse().ok().and_then(|status| admin.source.error(status, code)) {
        Some(rules) => json(&rules),
        None => answer(StatusCode::NOT_FOUND, TEXT, "no rule names this status and code; see /api/errors\n"),
    }
}
