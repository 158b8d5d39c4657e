//! `/_sim/…`: the truth, the ledger and the levers. No scenario disturbs these, and they are not counted.

use crate::answers::{json_answer, respond};
use crate::dates;
use crate::feeds::{self, FEEDS, Feed, glob};
use crate::files::Order;
use crate::ledger::{self, Drawn};
use crate::presets::PRESETS;
use crate::query::value;
use crate::recovery_rows::ROWS;
use crate::scenario::Stage;
use crate::scenario_text::{RULES, parse};
use crate::server::Request;
use crate::world::{Batch, Tenant, World, hold};
use axum::body::{Body, Bytes};
use axum::http::Method;
use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use std::io;
use std::sync::Arc;

/// Most events that one call may publish per feed.
const MAX_PUBLISH: u64 = 10_000_000;

pub const ENDPOINTS: &str = "\
CONTROL
  GET  /_sim/ledger[?tenant=demo][&feed=siem.*,audit][&digests=no]
           what was published, handed out and can still be had; requests, logins,
           signatures, quota
  GET  /_sim/events?feed=siem.receipt[&tenant=demo][&form=stream]
           every published record, one per line; feed is a glob; form is the other
           form of a feed's records: stream, key_value, csv, get-search-logs
  GET  /_sim/handed?feed=audit[&tenant=demo][&form=stream]
           how often each event was handed out: spans of events, and files with what
           became of them, one per line
  GET  /_sim/scenario
           the scenario language and the presets
  POST /_sim/scenario
           the body is the new scenario (empty: none); counters start anew
  POST /_sim/advance?seconds=N
           tokens, locks, quotas, links and files get N seconds older
  POST /_sim/clock?offset=-8d
           all of Mimecast lives so far from the machine's time, Date header included;
           0 comes back, and what happened in between is that much older
  POST /_sim/publish?count=N[&feed=GLOB][&tenant=demo][&age=30m][&over=8d]
           N more events for each matching feed (no feed: N spread over all), which
           happened in the 10 s (or over=) before age ago
";

pub async fn answer(world: &Arc<World>, request: &Request) -> Response {
    let post = request.method == Method::POST;
    let result = match (post, request.path.as_str()) {
        (false, "/_sim/ledger") => ledger_answer(world, request).await,
        (false, "/_sim/events") => events(world, request),
        (false, "/_sim/handed") => handed(world, request),
        (false, "/_sim/scenario") => Ok(text(200, format!("{RULES}\n{}\n{}", preset_list(), row_list()))),
        (true, "/_sim/scenario") => set_scenario(world, request),
        (true, "/_sim/advance") => advance(world, request),
        (true, "/_sim/clock") => set_clock(world, request),
        (true, "/_sim/publish") => publish(world, request),
        (false, "/_sim/") => Ok(text(200, ENDPOINTS.to_owned())),
        _ => {
            Ok(text(404, format!("there is no {} {}; there are\n{ENDPOINTS}", request.method, request.path)))
        }
    };
    result.unwrap_or_else(|why| text(400, format!("{why}\n")))
}

fn text(status: u16, body: String) -> Response {
    respond(status, Some("text/plain; charset=utf-8"), body)
}

pub fn preset_list() -> String {
    let lines = PRESETS.iter().map(|p| {
        let name =
            if p.argument.is_empty() { p.name.to_owned() } else { format!("{}={}", p.name, p.argument) };
        format!("  {name:<26} {}\n", p.about)
    });
    format!("PRESETS\n{}", lines.collect::<String>())
}

/// The rows of the recovery table that can be played.
pub fn row_list() -> String {
    let lines = ROWS.iter().map(|row| format!("  {:<26} {}\n", format!("row:{}[=N]", row.id), row.about));
    format!(
        "ROWS OF THE RECOVERY TABLE (all calls, or the first N of each feed)\n{}",
        lines.collect::<String>()
    )
}

async fn ledger_answer(world: &Arc<World>, request: &Request) -> Result<Response, String> {
    let digests = value(&request.query, "digests") != Some("no");
    let feeds = value(&request.query, "feed").unwrap_or("*").split(',').collect();
    let drawn = Drawn { tenant: value(&request.query, "tenant"), feeds, digests };
    let ledger = ledger::ledger(world, &drawn).await;
    let ledger = ledger.map_err(|why| format!("the ledger could not be drawn up: {why}"))?;
    Ok(json_answer(200, format!("{ledger:#}\n")))
}

fn tenant_of(world: &World, request: &Request) -> Result<Arc<Tenant>, String> {
    let name = value(&request.query, "tenant").unwrap_or("demo");
    world.tenant(name).ok_or_else(|| format!("there is no tenant `{name}`"))
}

fn feeds_of(request: &Request) -> Result<Vec<&'static Feed>, String> {
    let pattern = value(&request.query, "feed").unwrap_or("*");
    let found: Vec<&Feed> = FEEDS.iter().filter(|f| glob(pattern, f.name)).collect();
    if found.is_empty() { Err(format!("there is no feed `{pattern}`")) } else { Ok(found) }
}

/// Streams the truth piece by piece; only one piece is in memory at a time.
fn events(world: &World, request: &Request) -> Result<Response, String> {
    let tenant = tenant_of(world, request)?;
    let feeds = feeds_of(request)?;
    let form = value(&request.query, "form");
    if let Some(form) = form
        && !feeds.iter().any(|feed| feed.second_form() == Some(form))
    {
        return Err(format!("no such feed has records in the form `{form}`"));
    }
    let orders: Vec<Order> = feeds
        .into_iter()
        .filter(|feed| form.is_none() || feed.second_form() == form)
        .flat_map(|feed| ledger::orders(&tenant, feed, form.is_some()))
        .collect();
    let pieces = stream::unfold(orders.into_iter(), |mut orders| async move {
        let order = orders.next()?;
        let piece = tokio::task::spawn_blocking(move || piece(&order)).await.map_err(io::Error::other);
        Some((piece.and_then(|piece| piece), orders))
    });
    Ok(respond(200, Some("application/x-ndjson"), Body::from_stream(pieces)))
}

/// One line per file, or per span of events that were handed out equally often.
fn handed(world: &World, request: &Request) -> Result<Response, String> {
    let tenant = tenant_of(world, request)?;
    let second = value(&request.query, "form").is_some();
    let pieces: Vec<(&Feed, u64)> = feeds_of(request)?
        .into_iter()
        .flat_map(|feed| (0..ledger::span_pieces(&tenant, feed, second)).map(move |piece| (feed, piece)))
        .collect();
    let now = world.clock.now();
    let lines = pieces.into_iter().map(move |(feed, piece)| {
        Ok::<_, io::Error>(Bytes::from(ledger::spans(&tenant, feed, second, piece, now)))
    });
    Ok(respond(200, Some("application/x-ndjson"), Body::from_stream(stream::iter(lines))))
}

fn piece(order: &Order) -> io::Result<Bytes> {
    let mut out = Vec::new();
    order.records(|_, record| {
        out.extend_from_slice(record);
        out.push(b'\n');
        Ok(())
    })?;
    Ok(Bytes::from(out))
}

fn set_scenario(world: &World, request: &Request) -> Result<Response, String> {
    let scenario = parse(&request.text())?;
    let told = json!({"presets": scenario.names, "rules": scenario.rules.len()});
    let seed = world.setup.seed;
    *hold(&world.stage) = Stage::new(scenario, world.clock.now(), seed);
    Ok(json_answer(200, format!("{told}\n")))
}

fn number(request: &Request, name: &str, limit: u64) -> Result<u64, String> {
    let text = value(&request.query, name).ok_or_else(|| format!("`{name}=` is missing"))?;
    let number = text.parse::<u64>().ok().filter(|n| *n <= limit);
    number.ok_or_else(|| format!("`{name}` wants a whole number up to {limit}, not `{text}`"))
}

fn advance(world: &World, request: &Request) -> Result<Response, String> {
    let seconds = number(request, "seconds", 10 * 366 * 86_400)?;
    world.clock.advance(i64::try_from(seconds).unwrap_or(0) * dates::SECOND);
    Ok(json_answer(200, format!("{}\n", json!({"advanced_seconds": world.clock.ahead() / dates::SECOND}))))
}

fn span_of(request: &Request, name: &str, unsaid: i64) -> Result<i64, String> {
    let Some(text) = value(&request.query, name) else { return Ok(unsaid) };
    dates::parse_span(text).ok_or_else(|| format!("`{name}` wants something like 30m, not `{text}`"))
}

fn set_clock(world: &World, request: &Request) -> Result<Response, String> {
    let text = value(&request.query, "offset").ok_or("`offset=` is missing")?;
    let offset = dates::parse_offset(text)
        .ok_or_else(|| format!("`offset` wants something like -8d, not `{text}`"))?;
    world.clock.set_offset(offset);
    let now = world.clock.now();
    let mut stage = hold(&world.stage);
    stage.since = stage.since.min(now); // a scenario does not begin in the future
    Ok(json_answer(200, format!("{}\n", json!({"client_time": dates::iso(world.clock.wire())}))))
}

fn publish(world: &World, request: &Request) -> Result<Response, String> {
    let count = number(request, "count", MAX_PUBLISH)?;
    let (age, over) = (span_of(request, "age", 0)?, span_of(request, "over", 10 * dates::SECOND)?);
    let tenant = tenant_of(world, request)?;
    let until = world.clock.wire() - age;
    let feeds = feeds_of(request)?;
    let shares = match value(&request.query, "feed") {
        None => feeds::shares(count),
        Some(_) => vec![count; feeds.len()],
    };
    let mut told = serde_json::Map::new();
    for (feed, share) in feeds.into_iter().zip(shares) {
        world.publish(&tenant, feed, Batch::lately(share, until, over));
        told.insert(feed.name.into(), share.into());
    }
    Ok(json_answer(200, format!("{}\n", json!({"tenant": tenant.name, "published": told}))))
}
