//! The door: reads a request, finds the surface it is for, lets the scenario have its say, counts the answer.

use crate::answers::{Form, Reply, respond};
use crate::control;
use crate::download::{self, Target};
use crate::feeds::{self, FEEDS, Feed, Kind};
use crate::listing;
use crate::message::mix;
use crate::query;
use crate::scenario::{Call, Surface, Verdict};
use crate::token;
use crate::window;
use crate::world::{Tenant, World, hold};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{self, HeaderMap, HeaderValue, Method};
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;

/// Longest body of a request; real ones are below 1 KiB.
const MAX_BODY: usize = 1 << 20;

/// A request that has been read whole.
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What the client called us; links are made with it.
    pub host: String,
}

impl Request {
    /// `""` when it is missing or not ASCII.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    async fn read(request: http::Request<Body>) -> Option<Request> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY).await.ok()?;
        let host = parts.headers.get("host").and_then(|v| v.to_str().ok()).unwrap_or("127.0.0.1");
        Some(Request {
            host: host.to_owned(),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: query::pairs(parts.uri.query().unwrap_or("")),
            headers: parts.headers,
            body,
        })
    }
}

pub fn router(world: Arc<World>) -> Router {
    Router::new().fallback(serve).with_state(world)
}

pub async fn serve(State(world): State<Arc<World>>, request: http::Request<Body>) -> Response {
    let Some(request) = Request::read(request).await else {
        return respond(413, None, Body::empty());
    };
    if request.path.starts_with("/_sim/") {
        return control::answer(&world, &request).await;
    }
    let (tenant, surface, mut response) = play(&world, &request).await;
    let status = response.status().as_u16();
    match &tenant {
        Some(tenant) => tenant.count(surface, status),
        None => *hold(&world.strangers).entry(surface).or_default().entry(status).or_default() += 1,
    }
    if surface != "file" {
        let dice = mix(world.setup.seed, world.clock.now().unsigned_abs());
        if let Ok(id) = HeaderValue::from_str(&format!("{dice:016x}{:016x}", mix(dice, 1))) {
            response.headers_mut().insert("x-request-id", id);
        }
    }
    response
}

type Played = (Option<Arc<Tenant>>, &'static str, Response);

async fn play(world: &Arc<World>, request: &Request) -> Played {
    let path = request.path.as_str();
    let (method, surface) = match path {
        "/oauth/token" => (Method::POST, "token"),
        "/siem/v1/batch/events/cg" => (Method::GET, "listing.cg"),
        "/siem/v1/batch/events/ci" => (Method::GET, "listing.ci"),
        "/api/audit/get-audit-events" => (Method::POST, "audit"),
        "/api/ttp/url/get-logs" => (Method::POST, "ttp.url"),
        _ if path.starts_with("/files/") => (Method::GET, "file"),
        _ if path.starts_with("/trap/") => (Method::GET, "trap"),
        _ => (request.method.clone(), "unknown"),
    };
    let wire = world.clock.wire();
    if request.method != method {
        let reply = Reply::new(405, Form::Flat, "method_not_allowed", "Method not allowed");
        return (None, surface, reply.response(wire, 0));
    }
    match surface {
        "token" => login(world, request).await,
        "listing.cg" => list(world, request, Kind::Cg).await,
        "listing.ci" => list(world, request, Kind::Ci).await,
        "audit" => records(world, request, Kind::Audit).await,
        "ttp.url" => records(world, request, Kind::TtpUrl).await,
        "file" => file(world, request).await,
        // Whoever comes here has followed a redirect that should not be followed.
        "trap" => (None, "trap", respond(404, None, Body::empty())),
        // Unknown paths are refused like paths without permission.
        _ => {
            let message =
                "Resource or method requested does not exist in any product assigned to the application.";
            (None, surface, Reply::new(403, Form::Flat, "app_forbidden", message).response(wire, 0))
        }
    }
}

/// The scenario's verdict on a call; waits if it says so. `Some`: its answer.
async fn judged(world: &World, call: &Call<'_>) -> (Verdict, Option<Response>) {
    let verdict = world.judge(call);
    if let Ok(delay @ 1..) = u64::try_from(verdict.delay) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let reply = verdict.reply.as_ref().map(|(reply, turn)| reply.response(world.clock.wire(), *turn));
    (verdict, reply)
}

async fn login(world: &World, request: &Request) -> Played {
    let tenant = world.tenant(&token::client_id(request));
    let name = tenant.as_ref().map_or("-", |t| t.name.as_str());
    let call = Call { surface: Surface::Token, tenant: name, feed: None, file: None };
    let (verdict, reply) = judged(world, &call).await;
    let response = match reply {
        Some(reply) => {
            if let Some(tenant) = &tenant {
                hold(&tenant.account).token_requests += 1;
            }
            reply
        }
        None => token::answer(world, tenant.as_deref(), request, &verdict),
    };
    (tenant, "token", response)
}

async fn list(world: &World, request: &Request, kind: Kind) -> Played {
    let surface = if kind == Kind::Cg { "listing.cg" } else { "listing.ci" };
    let claim = token::claimed(world, &request.headers);
    let tenant = claim.as_ref().map(|(tenant, _)| Arc::clone(tenant));
    let name = tenant.as_ref().map_or("-", |t| t.name.as_str());
    let feed = query::value(&request.query, "type").and_then(|label| feeds::of_type(kind, label));
    let (verdict, reply) =
        judged(world, &Call { surface: Surface::Listing, tenant: name, feed, file: None }).await;
    let limit = hold(&world.stage).scenario.options.quota;
    let room = tenant.as_ref().map_or(Ok(()), |t| hold(&t.quota).call(world.clock.now(), limit));
    let response = match (reply, token::check_unless(world, claim.as_ref(), &verdict), room) {
        (Some(reply), _, _) => reply,
        (None, Err(refusal), _) => refusal.response(world.clock.wire(), 0),
        (None, Ok(_), Err(wait)) => {
            let reply = Reply::new(429, Form::Flat, "too_many_requests", "");
            Reply { wait, wait_as: crate::answers::WaitAs::ResetMs, ..reply }.response(world.clock.wire(), 0)
        }
        (None, Ok(tenant), Ok(())) => listing::answer(world, &tenant, kind, request, &verdict).await,
    };
    (tenant, surface, response)
}

async fn records(world: &World, request: &Request, kind: Kind) -> Played {
    let (surface, name) =
        if kind == Kind::Audit { (Surface::Audit, "audit") } else { (Surface::TtpUrl, "ttp.url") };
    let feed: Option<&Feed> = FEEDS.iter().find(|f| f.kind == kind);
    let claim = token::claimed(world, &request.headers);
    let tenant = claim.as_ref().map(|(tenant, _)| Arc::clone(tenant));
    let tenant_name = tenant.as_ref().map_or("-", |t| t.name.as_str());
    let (verdict, reply) = judged(world, &Call { surface, tenant: tenant_name, feed, file: None }).await;
    let response = match (reply, token::check_unless(world, claim.as_ref(), &verdict), feed) {
        (Some(reply), _, _) => reply,
        (None, Err(refusal), _) => refusal.response(world.clock.wire(), 0),
        (None, Ok(tenant), Some(feed)) => window::answer(world, &tenant, feed, request),
        (None, Ok(_), None) => respond(500, None, Body::empty()),
    };
    (tenant, name, response)
}

async fn file(world: &World, request: &Request) -> Played {
    let target = Target::read(world, &request.path);
    let tenant = target.as_ref().map(|t| Arc::clone(&t.tenant));
    if request.headers.contains_key("authorization") {
        if let Some(tenant) = &tenant {
            *hold(&tenant.bearer_leaks) += 1;
        }
        return (tenant, "file", download::leak(world));
    }
    let call = Call {
        surface: Surface::File,
        tenant: tenant.as_ref().map_or("-", |t| t.name.as_str()),
        feed: target.as_ref().map(|t| t.feed),
        file: target.as_ref().and_then(Target::file),
    };
    let (verdict, reply) = judged(world, &call).await;
    let response = match reply {
        Some(reply) => reply,
        None => download::answer(world, target.as_ref(), request, &verdict).await,
    };
    (tenant, "file", response)
}
