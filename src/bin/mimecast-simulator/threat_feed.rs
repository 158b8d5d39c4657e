//! `POST /api/ttp/threat-intel/get-feed`: malware as STIX 2.0 or as a table, page by page. The position is a token in
//! the header `x-mc-threat-feed-next-token`, and no token means that there is nothing more.

use crate::answers::{Form, Reply, json_answer, respond};
use crate::dates::{self, DAY};
use crate::feeds::Feed;
use crate::query::{seal, unseal};
use crate::records::Pen;
use crate::scenario::Effect;
use crate::threat_records::{TABLE_HEAD, uuid};
use crate::window::{Asked, fail, read_body, time_field};
use crate::world::{FeedState, Tenant, World};
use crate::zip::Zip;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use serde_json::Value;

pub const PATH: &str = "/api/ttp/threat-intel/get-feed";
const TOKEN: HeaderName = HeaderName::from_static("x-mc-threat-feed-next-token");
/// Objects of one answer.
const PAGE: u64 = 300;

#[derive(Clone, Copy)]
struct Ask {
    from: i64,
    to: Option<i64>,
    /// Number of the first object that is wanted.
    position: u64,
    table: bool,
    zip: bool,
    /// The connection does not break off.
    arrives: bool,
}

/// The feed that a request names in its body.
pub fn feed_type(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/data/0/feedType").and_then(Value::as_str).map(str::to_owned)
}

fn token(world: &World, tenant: &Tenant, feed: &Feed, from: i64, position: u64) -> String {
    seal(world.setup.seed, &format!("{}|{}|{from}|{position}", tenant.name, feed.name))
}

fn read_token(world: &World, tenant: &Tenant, feed: &Feed, token: &str) -> Option<(i64, u64)> {
    let text = unseal(world.setup.seed, token)?;
    let rest = text.strip_prefix(&tenant.name)?.strip_prefix('|')?;
    let (from, position) = rest.strip_prefix(feed.name)?.strip_prefix('|')?.split_once('|')?;
    Some((from.parse().ok()?, position.parse().ok()?))
}

fn read_ask(world: &World, feed: &Feed, asked: &Asked) -> Result<Ask, Box<Reply>> {
    let body = read_body(&asked.request.body)?;
    let data = body.pointer("/data/0");
    let field = |name: &str| data.and_then(|d| d.get(name)).filter(|v| !v.is_null());
    let table = match field("fileType").and_then(Value::as_str).unwrap_or("csv") {
        "csv" => true,
        "stix" => false,
        _ => return Err(fail("err_validation_value_not_allowed", "Value is not allowed", &["fileType"])),
    };
    let start = time_field(data, "start", asked.api)?;
    let ask = Ask {
        from: start.unwrap_or(world.clock.wire() - 7 * DAY),
        to: time_field(data, "end", asked.api)?,
        position: 0,
        table,
        zip: field("compress").and_then(Value::as_bool).unwrap_or(false),
        arrives: !asked.verdict.has(Effect::Cut),
    };
    match field("token").and_then(Value::as_str).filter(|t| !t.is_empty()) {
        None => Ok(ask),
        Some(token) => match read_token(world, asked.tenant, feed, token) {
            Some((from, position)) => Ok(Ask { from, to: None, position, ..ask }),
            None => Err(fail("xdk_failure", "0007 Invalid token", &["token"])),
        },
    }
}

/// The numbers (run, number in it) of the objects that are wanted, and whether there are more.
fn select(state: &FeedState, feed: &Feed, ask: &Ask, now: i64) -> (Vec<(usize, u64)>, bool) {
    let mut found = Vec::new();
    for (index, run) in state.runs.iter().enumerate() {
        let first = run.first_at(ask.from).max(run.first_kept(now, feed.kept()));
        let end = ask.to.map_or(run.events, |to| run.first_at(to.saturating_add(dates::SECOND)));
        for number in first.max(ask.position.saturating_sub(run.first_event))..end {
            if found.len() as u64 == PAGE {
                return (found, true);
            }
            found.push((index, number));
        }
    }
    (found, false)
}

fn document(
    state: &mut FeedState,
    feed: &Feed,
    tenant: &Tenant,
    ask: &Ask,
    page: &[(usize, u64)],
) -> Vec<u8> {
    let runs = state.runs.clone();
    let mut pen = Pen::new(&tenant.code(), Default::default());
    pen.second = ask.table;
    let bundle = uuid(ask.position ^ tenant.number);
    let mut body = match ask.table {
        true => [TABLE_HEAD, b"\n"].concat(),
        false => format!(
            "{{\"type\":\"bundle\",\"id\":\"bundle--{bundle}\",\"spec_version\":\"2.0\",\"objects\":["
        )
        .into_bytes(),
    };
    for (position, &(index, number)) in page.iter().enumerate() {
        let Some(run) = runs.get(index) else { continue };
        if position > 0 && !ask.table {
            body.push(b',');
        }
        let start = body.len();
        pen.write(feed, &run.nth(number), &mut body);
        let books = if ask.table { &mut state.second } else { &mut state.rows };
        if ask.arrives {
            books.hand(run.first_event + number, body.get(start..).unwrap_or_default());
        }
        if ask.table {
            body.push(b'\n');
        }
    }
    if !ask.table {
        body.extend_from_slice(b"]}");
    }
    body
}

/// That there is nothing is told like a failure.
fn nothing(zip: bool) -> Box<Reply> {
    match zip {
        true => fail("err_threat_feed", "Unable to compress feeds.", &["feedType"]),
        false => fail("err_threat_feed", "No results found for threat intel feed.", &["feedType"]),
    }
}

pub fn answer(world: &World, feed: Option<&'static Feed>, asked: &Asked) -> Response {
    let wire = world.clock.wire();
    let Some(feed) = feed else {
        let refusal = fail("err_validation_value_not_allowed", "Value is not allowed", &["feedType"]);
        return refusal.response(wire, 0);
    };
    let ask = match read_ask(world, feed, asked) {
        Ok(ask) => ask,
        Err(reply) => return reply.response(wire, 0),
    };
    let Some(mut state) = asked.tenant.feed(feed) else { return json_answer(500, "") };
    let quiet = world.options(&asked.tenant.name).quiet;
    let (page, more) =
        if quiet { (Vec::new(), false) } else { select(&state, feed, &ask, world.clock.now()) };
    let Some(&(index, number)) = page.last() else { return nothing(ask.zip).response(wire, 0) };
    let behind = state.runs.get(index).map_or(0, |run| run.first_event) + number + 1;
    let mut body = document(&mut state, feed, asked.tenant, &ask, &page);
    drop(state);
    let extension = if ask.table { "csv" } else { "stix" };
    if ask.zip {
        let mut archive = Zip::default();
        if let Err(why) = archive.add(&format!("{}.{extension}", feed.label), &body) {
            return Reply::new(500, Form::Meta, "0006", &why.to_string()).response(wire, 0);
        }
        body = archive.finish();
    }
    let media = if ask.zip || ask.table { "application/octet-stream" } else { "application/json" };
    let mut response = respond(200, Some(media), body);
    let name = format!("attachment; filename=\"{}.{}\"", feed.label, if ask.zip { "zip" } else { extension });
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    if let (true, Ok(token)) =
        (more, HeaderValue::from_str(&token(world, asked.tenant, feed, ask.from, behind)))
    {
        response.headers_mut().insert(TOKEN, token);
    }
    response
}
