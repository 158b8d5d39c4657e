//! The door: reads a request, finds the surface it is for, lets the scenario have its say, counts the answer.

use crate::answers::{Form, Reply, WaitAs, respond};
use crate::caller::Caller;
use crate::control;
use crate::dates;
use crate::download::{self, Target};
use crate::feeds::{self, Api, FEEDS, Feed, Kind};
use crate::functions::{self, Function};
use crate::listing;
use crate::message::mix;
use crate::mta;
use crate::query;
use crate::quota::{Counted, LISTINGS, STREAM};
use crate::scenario::{Call, Effect, Options, Surface, Verdict};
use crate::stream;
use crate::threat_feed;
use crate::token;
use crate::window::{self, Asked};
use crate::world::{Tenant, World, hold};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{self, HeaderMap, HeaderValue, Method};
use axum::response::Response;
use std::io;
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
    let headers = response.headers_mut();
    if surface != "file" {
        let dice = mix(world.setup.seed, world.clock.now().unsigned_abs());
        // 1.0 gives the id of the request back, 2.0 makes one up.
        let (name, id) = match request.header("x-mc-req-id") {
            "" => ("x-request-id", format!("{dice:016x}{:016x}", mix(dice, 1))),
            id => ("x-mc-req-id", id.to_owned()),
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(name, id);
        }
    }
    if !headers.contains_key(http::header::DATE)
        && let Ok(date) = HeaderValue::from_str(&dates::http(world.clock.wire()))
    {
        headers.insert(http::header::DATE, date);
    }
    response
}

type Played = (Option<Arc<Tenant>>, &'static str, Response);

/// What a path is for.
#[derive(Clone, Copy)]
enum Route {
    Token,
    Data(Door),
    File,
    Trap,
    Unknown,
}

/// What a path with data is for.
#[derive(Clone, Copy)]
pub enum Door {
    Listing(Kind),
    Stream(Kind),
    Function(&'static Function),
    Mta,
    ThreatFeed,
}

impl Door {
    fn of(path: &str) -> Option<Door> {
        Some(match path {
            "/siem/v1/batch/events/cg" => Door::Listing(Kind::Cg),
            "/siem/v1/batch/events/ci" => Door::Listing(Kind::Ci),
            "/siem/v1/events/cg" => Door::Stream(Kind::Cg),
            "/siem/v1/events/ci" => Door::Stream(Kind::Ci),
            mta::PATH => Door::Mta,
            threat_feed::PATH => Door::ThreatFeed,
            _ => Door::Function(functions::at(path)?),
        })
    }

    fn method(self) -> Method {
        match self {
            Door::Listing(_) | Door::Stream(_) => Method::GET,
            Door::Function(_) | Door::Mta | Door::ThreatFeed => Method::POST,
        }
    }

    /// As the ledger calls it.
    fn name(self) -> &'static str {
        match self {
            Door::Listing(Kind::Cg) => "listing.cg",
            Door::Listing(_) => "listing.ci",
            Door::Stream(Kind::Cg) => "stream.cg",
            Door::Stream(_) => "stream.ci",
            Door::Function(function) => function.feed,
            Door::Mta => feeds::MTA,
            Door::ThreatFeed => "threat-feed",
        }
    }

    fn surface(self) -> Surface {
        match self {
            Door::Listing(_) => Surface::Listing,
            Door::Stream(_) => Surface::Stream,
            Door::Function(_) => Surface::Window,
            Door::Mta => Surface::Mta,
            Door::ThreatFeed => Surface::ThreatFeed,
        }
    }

    fn is_of(self, api: Api) -> bool {
        match self {
            Door::Listing(_) | Door::Stream(_) => api == Api::Two,
            Door::Function(_) | Door::ThreatFeed => true,
            Door::Mta => api == Api::One,
        }
    }

    fn feed(self, request: &Request) -> Option<&'static Feed> {
        match self {
            Door::Listing(kind) => {
                query::value(&request.query, "type").and_then(|label| feeds::of_type(kind, label))
            }
            Door::Stream(kind) => {
                let first = query::value(&request.query, "types")?.split([',', ':']).next()?;
                feeds::of_type(kind, first)
            }
            Door::Function(function) => feeds::named(function.feed),
            Door::Mta => feeds::named(feeds::MTA),
            Door::ThreatFeed => {
                let label = threat_feed::feed_type(&request.body)?;
                FEEDS.iter().find(|feed| feed.kind == Kind::Intel && feed.label == label)
            }
        }
    }

    /// What its calls are counted with, and how many are allowed.
    fn quota(self, options: &Options) -> (Counted, Option<u64>) {
        match self {
            Door::Listing(_) => (LISTINGS, options.quota),
            Door::Stream(_) => (STREAM, options.stream_quota),
            _ => (Counted::function(self.name()), options.api_quota),
        }
    }
}

async fn play(world: &Arc<World>, request: &Request) -> Played {
    let path = request.path.as_str();
    let (method, surface, route) = match (path, Door::of(path)) {
        ("/oauth/token", _) => (Method::POST, "token", Route::Token),
        (_, Some(door)) => (door.method(), door.name(), Route::Data(door)),
        _ if path.starts_with("/files/") => (Method::GET, "file", Route::File),
        _ if path.starts_with("/trap/") => (Method::GET, "trap", Route::Trap),
        _ => (request.method.clone(), "unknown", Route::Unknown),
    };
    let wire = world.clock.wire();
    if request.method != method {
        let reply = Reply::new(405, Form::Flat, "method_not_allowed", "Method not allowed");
        return (None, surface, reply.response(wire, 0));
    }
    match route {
        Route::Token => login(world, request).await,
        Route::Data(door) => data(world, request, door).await,
        Route::File => file(world, request).await,
        // Whoever comes here has followed a redirect that should not be followed.
        Route::Trap => (None, "trap", respond(404, None, Body::empty())),
        Route::Unknown => (None, surface, unknown().response(wire, 0)),
    }
}

/// Unknown paths are refused like paths without permission.
fn unknown() -> Reply {
    let message = "Resource or method requested does not exist in any product assigned to the application.";
    Reply::new(403, Form::Flat, "app_forbidden", message)
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

/// The scenario has the first word, then the credential, then the quota. Every call counts for the quota.
async fn data(world: &World, request: &Request, door: Door) -> Played {
    let caller = Caller::of(world, request);
    let call = Call { surface: door.surface(), tenant: caller.name(), feed: door.feed(request), file: None };
    let (verdict, reply) = judged(world, &call).await;
    let room = caller.tenant.as_ref().map_or(Ok(None), |tenant| quota(world, tenant, door));
    let response = match reply {
        Some(reply) => reply,
        // A call that the scenario answers is not a use of the token.
        None => match caller.check(world, request) {
            Err(refusal) => refusal.response(world.clock.wire(), 0),
            Ok(_) if !door.is_of(caller.api) => unknown().response(world.clock.wire(), 0),
            Ok(tenant) => match room {
                Err(wait) => too_many(caller.api, wait).response(world.clock.wire(), 0),
                Ok(left) => {
                    let asked = Asked { tenant: &tenant, api: caller.api, request, verdict: &verdict };
                    let mut response = given(world, door, &asked).await;
                    if caller.api == Api::One {
                        tell_room(&mut response, left);
                    }
                    response
                }
            },
        },
    };
    let response = if verdict.has(Effect::Cut) { cut(response).await } else { response };
    (caller.tenant, door.name(), response)
}

/// The connection breaks in the middle of an answer.
async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = [Ok(whole.slice(..whole.len() / 2)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(half)))
}

/// The limit, and how many calls are left of it.
type Room = Option<(u64, u64)>;

/// # Errors
/// The milliseconds to wait, for a call over the quota.
fn quota(world: &World, tenant: &Tenant, door: Door) -> Result<Room, i64> {
    let (counted, limit) = door.quota(&world.options(&tenant.name));
    let mut quotas = hold(&tenant.quotas);
    let quota = quotas.entry(counted).or_default();
    quota.call(world.clock.now(), counted.window, limit)?;
    Ok(limit.map(|limit| (limit, limit.saturating_sub(quota.calls))))
}

/// API 1.0 says in every answer how many calls are left, 2.0 only when there are none.
fn tell_room(response: &mut Response, room: Room) {
    let Some((limit, left)) = room else { return };
    response.headers_mut().insert("x-ratelimit-limit", HeaderValue::from(limit));
    response.headers_mut().insert("x-ratelimit-remaining", HeaderValue::from(left));
}

fn too_many(api: Api, wait: i64) -> Reply {
    let reply = match api {
        Api::One => Reply::new(429, Form::Meta, "0008", "Too Many Requests"),
        Api::Two => Reply::new(429, Form::Flat, "too_many_requests", ""),
    };
    Reply { wait, wait_as: WaitAs::ResetMs, ..reply }
}

/// The good answer.
async fn given(world: &World, door: Door, asked: &Asked<'_>) -> Response {
    match door {
        Door::Listing(kind) => listing::answer(world, asked.tenant, kind, asked.request, asked.verdict).await,
        Door::Stream(kind) => stream::answer(world, kind, asked),
        Door::ThreatFeed => threat_feed::answer(world, door.feed(asked.request), asked),
        Door::Mta | Door::Function(_) => match (door, door.feed(asked.request)) {
            (Door::Function(function), Some(feed)) => window::answer(world, function, feed, asked),
            (_, Some(feed)) => mta::answer(world, feed, asked),
            _ => respond(500, None, Body::empty()),
        },
    }
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
