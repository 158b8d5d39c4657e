//! Which path answers what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::status::Status;
use super::view::View;
use super::{Source, gauges, page};
use crate::limits::ADMIN_STATUS_TIMEOUT;
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

pub(super) fn router(source: Arc<dyn Source>, exporter: Exporter) -> Router {
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
        .layer(map_response(guarded))
        .with_state(Admin { source, exporter })
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
    match serde_json::to_string_pretty(value) {
        Ok(text) => answer(StatusCode::OK, JSON, text + "\n"),
        Err(error) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("failed to write JSON: {error}\n"))
        }
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
    let status = admin.status().await.ok();
    let text = admin.exporter.render(|| {
        if let Some(status) = &status {
            gauges::publish(status);
        }
    });
    answer(StatusCode::OK, METRICS, text)
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
