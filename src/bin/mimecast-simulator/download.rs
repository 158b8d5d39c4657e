//! `GET /files/…`: pre-signed links to files, as an S3 bucket serves them.

use crate::answers::{Form, Reply, respond};
use crate::dates;
use crate::feeds::{self, Feed};
use crate::files;
use crate::query::{signature, value};
use crate::scenario::{Effect, Verdict};
use crate::server::Request;
use crate::world::{FeedState, Tenant, World};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use std::io;
use std::sync::{Arc, OnceLock};

/// Additional files that scenarios list.
pub const BOMB: &str = "extra-bomb.json.gz";
pub const EMPTY: &str = "extra-empty.json.gz";
pub const ZERO_BYTES: &str = "extra-zero-bytes.json.gz";

const MEDIA_TYPE: Option<&str> = Some("binary/octet-stream");

/// The path of a file: stable from listing to listing. `None`: there is no such file.
pub fn path(tenant: &Tenant, feed: &Feed, state: &FeedState, file: u64) -> Option<String> {
    let run = state.run_of_file(file)?;
    let day = dates::day(run.file_time(file - run.first_file));
    Some(format!("/files/{}/{}/{day}/part-{file:06}.json.gz", tenant.name, feed.folder()))
}

/// The query that makes a link valid from `at` (simulator's clock) for `life` milliseconds.
pub fn sign(seed: u64, path: &str, at: i64, life: i64) -> String {
    let (at, life) = (dates::amz(at), (life / 1000).max(1));
    let proof = signature(seed, &format!("{path} {at} {life}"), 32);
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SIMULATOR%2F{}%2Feu-west-1%2Fs3%2Faws4_request\
         &X-Amz-Date={at}&X-Amz-Expires={life}&X-Amz-SignedHeaders=host&X-Amz-Signature={proof}",
        at.get(..8).unwrap_or("")
    )
}

fn s3(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status, Form::S3, code, message)
}

/// # Errors
/// The refusal of a link that was not signed here, or has expired.
fn check_link(world: &World, request: &Request) -> Result<(), Box<Reply>> {
    let query = |name| value(&request.query, name).unwrap_or("");
    let (at, life) = (query("X-Amz-Date"), query("X-Amz-Expires"));
    let proof = signature(world.setup.seed, &format!("{} {at} {life}", request.path), 32);
    if proof != query("X-Amz-Signature") {
        let message = "The request signature we calculated does not match the signature you provided.";
        return Err(s3(403, "SignatureDoesNotMatch", message).refusal());
    }
    let until = dates::parse_amz(at).zip(life.parse::<i64>().ok()).map_or(0, |(at, life)| at + life * 1000);
    if world.clock.now() >= until { Err(s3(403, "AccessDenied", "").refusal()) } else { Ok(()) }
}

/// What a path names: tenant, feed and the file's name without folders.
pub struct Target {
    pub tenant: Arc<Tenant>,
    pub feed: &'static Feed,
    pub name: String,
}

impl Target {
    pub fn read(world: &World, path: &str) -> Option<Target> {
        let (tenant, rest) = path.strip_prefix("/files/")?.split_once('/')?;
        let (folders, name) = rest.rsplit_once('/')?;
        let (folder, _day) = folders.rsplit_once('/')?;
        Some(Target { tenant: world.tenant(tenant)?, feed: feeds::of_folder(folder)?, name: name.to_owned() })
    }

    /// Number of the file in its feed.
    pub fn file(&self) -> Option<u64> {
        self.name.strip_prefix("part-")?.strip_suffix(".json.gz")?.parse().ok()
    }
}

pub async fn answer(
    world: &World,
    target: Option<&Target>,
    request: &Request,
    verdict: &Verdict,
) -> Response {
    let refuse = |reply: Reply| reply.response(world.clock.wire(), 0);
    if let Err(reply) = check_link(world, request) {
        return refuse(*reply);
    }
    let missing = || refuse(s3(404, "NoSuchKey", ""));
    let Some(target) = target else { return missing() };
    if verdict.has(Effect::Expired) {
        return refuse(s3(403, "AccessDenied", ""));
    }
    if verdict.has(Effect::Missing) {
        return missing();
    }
    if verdict.has(Effect::Redirect) {
        let mut response = respond(302, None, Body::empty());
        // one hop to where a link might have led is fine; this is where cloud machines keep their secrets
        if let Ok(to) = HeaderValue::from_str(&format!("http://169.254.169.254/trap{}", request.path)) {
            response.headers_mut().insert(header::LOCATION, to);
        }
        return response;
    }
    let Some(file) = target.file() else { return extra(target).unwrap_or_else(missing) };
    let known = target.tenant.feed(target.feed).is_some_and(|state| {
        let expired =
            |f: u64| state.run_of_file(f).is_none_or(|r| r.file_expired(f - r.first_file, world.clock.now()));
        path(&target.tenant, target.feed, &state, file).is_some_and(|p| p == request.path) && !expired(file)
    });
    if !known {
        return missing();
    }
    let spoil = world.spoil(&target.tenant, target.feed, file);
    let made = match world.file(&target.tenant, target.feed, file, spoil).await {
        Ok(made) => made,
        Err(why) => return refuse(s3(500, "InternalError", &why.to_string())),
    };
    let (body, damaged) = damage(&made.gzip, verdict);
    note(target, file, damaged, spoil.lines());
    let mut response = respond(200, MEDIA_TYPE, body);
    let headers = response.headers_mut();
    if verdict.has(Effect::Cut) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(made.gzip.len()));
    }
    if verdict.has(Effect::ContentEncoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Writes down that a file was served.
fn note(target: &Target, file: u64, damaged: bool, unreadable: u64) {
    let Some(mut state) = target.tenant.feed(target.feed) else { return };
    let events = state.run_of_file(file).map_or(0, |run| {
        let range = run.events_of(file - run.first_file);
        range.end - range.start
    });
    let Some(note) = state.note(file) else { return };
    if damaged {
        note.damaged += 1;
        return;
    }
    note.handed += 1;
    note.unreadable = unreadable;
    state.handed += events;
}

/// The bytes as the scenario wants them, and whether they are no longer good.
fn damage(gzip: &Bytes, verdict: &Verdict) -> (Body, bool) {
    if verdict.has(Effect::Cut) {
        let half = gzip.slice(..gzip.len() / 2);
        let parts = [Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
        return (Body::from_stream(stream::iter(parts)), true);
    }
    if verdict.has(Effect::Truncate) {
        return (gzip.slice(..gzip.len() * 2 / 3).into(), true);
    }
    let mut bytes = gzip.to_vec();
    if verdict.has(Effect::WrongCrc) {
        let at = bytes.len().saturating_sub(6); // inside the CRC of the last member
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0xff;
        }
        return (bytes.into(), true);
    }
    if verdict.has(Effect::TrailingGarbage) {
        bytes.extend_from_slice(b"garbage after the end");
        return (bytes.into(), true);
    }
    (gzip.clone().into(), false)
}

/// The bomb's member and how often it is repeated; made once.
fn bomb() -> (Bytes, usize) {
    static BOMB: OnceLock<(Bytes, usize)> = OnceLock::new();
    BOMB.get_or_init(|| files::bomb().unwrap_or_default()).clone()
}

fn empty_gzip() -> Vec<u8> {
    GzEncoder::new(Vec::new(), Compression::fast()).finish().unwrap_or_default()
}

pub fn extra_size(name: &str) -> usize {
    match name {
        BOMB => {
            let (member, times) = bomb();
            member.len() * times
        }
        EMPTY => empty_gzip().len(),
        _ => 0,
    }
}

fn extra(target: &Target) -> Option<Response> {
    let (name, unreadable, body) = match target.name.as_str() {
        BOMB => {
            let (member, times) = bomb();
            let parts = (0..times).map(move |_| Ok::<_, io::Error>(member.clone()));
            (BOMB, 1, Body::from_stream(stream::iter(parts)))
        }
        EMPTY => (EMPTY, 0, Body::from(empty_gzip())),
        ZERO_BYTES => (ZERO_BYTES, 1, Body::empty()),
        _ => return None,
    };
    if let Some(mut state) = target.tenant.feed(target.feed) {
        state.extras.insert(name, unreadable);
    }
    let mut response = respond(200, MEDIA_TYPE, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(extra_size(name)));
    Some(response)
}

/// Says no to a download that carries a bearer: S3 does, and the token has leaked to a third party.
pub fn leak(world: &World) -> Response {
    let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query \
                   string parameter or the Authorization header should be specified";
    s3(400, "InvalidArgument", message).response(world.clock.wire(), 0)
}
