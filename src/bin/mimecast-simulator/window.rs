//! `POST /api/audit/get-audit-events` and `POST /api/ttp/url/get-logs`: pages of records inside a span of time.

use crate::answers::{Form, Reply, json_answer};
use crate::dates;
use crate::feeds::{Feed, Kind};
use crate::files::digest;
use crate::message::mix;
use crate::query::{seal, unseal};
use crate::records::Pen;
use crate::runs::Run;
use crate::server::Request;
use crate::world::{FeedState, Tenant, World, hold};
use axum::response::Response;
use serde_json::{Value, json};

/// More records than this are never in one page, whatever was asked for.
const MAX_PAGE: u64 = 500;

/// What a client asked for; a page token carries all of it.
struct Ask {
    from: i64,
    to: i64,
    oldest_first: bool,
    /// Records that earlier pages had.
    offset: u64,
    size: u64,
}

fn field_names(feed: &Feed) -> (&'static str, &'static str) {
    if feed.kind == Kind::Audit { ("startDateTime", "endDateTime") } else { ("from", "to") }
}

/// A failure inside an answer with status 200, as these functions do.
fn fail(code: &str, message: &str, fields: &[&str]) -> Box<Reply> {
    let errors: Vec<Value> = fields
        .iter()
        .map(|field| json!({"field": field, "code": code, "message": message, "retryable": false}))
        .collect();
    let body = json!({"meta": {"status": 200}, "data": [], "fail": [{"key": {}, "errors": errors}]});
    Reply { body: Some(body.to_string()), ..Reply::new(200, Form::Meta, code, message) }.refusal()
}

fn read_ask(world: &World, tenant: &Tenant, feed: &Feed, body: &[u8]) -> Result<Ask, Box<Reply>> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let reply = Reply::new(400, Form::Meta, "err_validation_json", "The request is not JSON");
        return Err(reply.refusal());
    };
    let pagination = body.pointer("/meta/pagination");
    let size =
        pagination.and_then(|p| p.get("pageSize")).and_then(Value::as_u64).unwrap_or(25).clamp(1, MAX_PAGE);
    let token = pagination.and_then(|p| p.get("pageToken")).and_then(Value::as_str).filter(|t| !t.is_empty());
    if let Some(token) = token {
        return match read_token(world, tenant, feed, token) {
            Some(ask) => Ok(Ask { size, ..ask }),
            None => Err(fail("xdk_failure", "0007 Invalid token", &["pageToken"])),
        };
    }
    let data = body.pointer("/data/0");
    let text = |name: &str| data.and_then(|d| d.get(name)).and_then(Value::as_str);
    let (from_name, to_name) = field_names(feed);
    let missing: Vec<&str> = [from_name, to_name].into_iter().filter(|name| text(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(fail("err_validation_null", "Field can not be null", &missing));
    }
    let date = |name| text(name).and_then(dates::parse_api);
    let (Some(from), Some(to)) = (date(from_name), date(to_name)) else {
        let bad: Vec<&str> = [from_name, to_name].into_iter().filter(|name| date(name).is_none()).collect();
        return Err(fail("err_validation_date_format", "Field must match yyyy-MM-dd'T'HH:mm:ssZ", &bad));
    };
    let oldest_first = data.and_then(|d| d.get("oldestFirst")).and_then(Value::as_bool).unwrap_or(false);
    // The audit function has no such switch: unknown fields are ignored.
    Ok(Ask { from, to, oldest_first: oldest_first && feed.kind == Kind::TtpUrl, offset: 0, size })
}

fn token(world: &World, tenant: &Tenant, feed: &Feed, ask: &Ask, offset: u64) -> String {
    let text = format!("{}|{}|{}|{}|{}|{offset}", tenant.name, feed.name, ask.from, ask.to, ask.oldest_first);
    format!("eN{}", seal(world.setup.seed, &text).replace('+', "-").replace('/', "_"))
}

fn read_token(world: &World, tenant: &Tenant, feed: &Feed, token: &str) -> Option<Ask> {
    let token = token.strip_prefix("eN")?.replace('-', "+").replace('_', "/");
    let text = unseal(world.setup.seed, &token)?;
    let rest =
        text.strip_prefix(&tenant.name)?.strip_prefix('|')?.strip_prefix(feed.name)?.strip_prefix('|')?;
    let mut parts = rest.split('|');
    let mut next = || parts.next();
    Some(Ask {
        from: next()?.parse().ok()?,
        to: next()?.parse().ok()?,
        oldest_first: next()? == "true",
        offset: next()?.parse().ok()?,
        size: 0,
    })
}

/// A visible row: its time, its run, its number there.
type Row = (i64, usize, u64);

/// All rows of the span that can be seen at `now`, oldest first. Both ends belong to it; rows are dated to the
/// second, as they are shown.
fn rows(state: &FeedState, from: i64, to: i64, now: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, run) in state.runs.iter().enumerate() {
        let (first, end) = (run.first_at(from), run.first_at(to.saturating_add(dates::SECOND)));
        rows.extend((first..end).filter(|&n| run.visible_from(n) <= now).map(|n| (run.at(n), index, n)));
    }
    if state.runs.len() > 1 {
        rows.sort_unstable();
    }
    rows
}

/// The rows of one page; `true`: there are more behind it.
fn page(rows: &[Row], ask: &Ask) -> (Vec<Row>, bool) {
    let (offset, size) =
        (usize::try_from(ask.offset).unwrap_or(usize::MAX), usize::try_from(ask.size).unwrap_or(0));
    let page: Vec<Row> = if ask.oldest_first {
        rows.iter().skip(offset).take(size).copied().collect()
    } else {
        rows.iter().rev().skip(offset).take(size).copied().collect()
    };
    let more = rows.len().saturating_sub(offset) > page.len();
    (page, more)
}

pub fn answer(world: &World, tenant: &Tenant, feed: &Feed, request: &Request) -> Response {
    let ask = match read_ask(world, tenant, feed, &request.body) {
        Ok(ask) => ask,
        Err(reply) => return reply.response(world.clock.wire(), 0),
    };
    let quiet = hold(&world.stage).scenario.options.quiet;
    let Some(mut state) = tenant.feed(feed) else { return json_answer(500, "") };
    let all = if quiet { Vec::new() } else { rows(&state, ask.from, ask.to, world.clock.now()) };
    let (page, more) = page(&all, &ask);
    // A last page sometimes promises another one, which is then empty.
    let promise = !page.is_empty() && mix(ask.offset, all.len() as u64).is_multiple_of(2);
    let next = (more || promise).then(|| token(world, tenant, feed, &ask, ask.offset + page.len() as u64));
    let mut pagination = json!({"pageSize": page.len(), "totalCount": all.len()});
    if let (Some(next), Some(map)) = (next, pagination.as_object_mut()) {
        map.insert("next".into(), next.into());
    }
    let meta = json!({"status": 200, "pagination": pagination});
    let mut body = format!("{{\"meta\":{meta},\"data\":[").into_bytes();
    if feed.kind == Kind::TtpUrl && !page.is_empty() {
        body.extend_from_slice(b"{\"clickLogs\":[");
    }
    hand_out(&mut state, tenant, feed, &page, &mut body);
    if feed.kind == Kind::TtpUrl && !page.is_empty() {
        body.extend_from_slice(b"]}");
    }
    body.extend_from_slice(b"],\"fail\":[]}");
    json_answer(200, body)
}

/// Writes the records of a page and takes them down as handed out.
fn hand_out(state: &mut FeedState, tenant: &Tenant, feed: &Feed, page: &[Row], body: &mut Vec<u8>) {
    let runs: Vec<Run> = state.runs.clone();
    state.rows.resize(usize::try_from(state.events()).unwrap_or(0), false);
    let mut pen = Pen::new(&tenant.code(), Default::default());
    for (position, &(_, index, number)) in page.iter().enumerate() {
        let Some(run) = runs.get(index) else { continue };
        if position > 0 {
            body.push(b',');
        }
        let start = body.len();
        pen.hostility = run.hostility;
        pen.write(feed, &run.nth(number), body);
        state.handed += 1;
        let row = usize::try_from(run.first_event + number).ok().and_then(|at| state.rows.get_mut(at));
        if let Some(seen) = row.filter(|seen| !**seen) {
            *seen = true;
            state.rows_handed += 1;
            let record = body.get(start..).unwrap_or_default();
            state.rows_digest = state.rows_digest.wrapping_add(digest(record));
        }
    }
}
