//! `GET /siem/v1/batch/events/{cg,ci}`: names the files of one feed, page by page.

use crate::answers::{Form, Reply, json_answer};
use crate::dates;
use crate::download;
use crate::feeds::{self, Feed, Kind};
use crate::query::{seal, unseal, value};
use crate::runs::RETENTION;
use crate::scenario::{Effect, Verdict};
use crate::server::Request;
use crate::world::{FeedState, Tenant, World};
use axum::response::Response;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use std::io;

/// What a client asked for.
struct Ask {
    feed: &'static Feed,
    /// Number of the first file that has not been listed yet.
    position: u64,
    /// Empty pages that came before.
    hop: u64,
    /// Only files of these dates (client's clock), first and last.
    since: Option<i64>,
    until: Option<i64>,
    size: u64,
}

fn invalid(field: &'static str, message: &str) -> Box<Reply> {
    Reply { field: Some(field.to_owned()), ..Reply::new(400, Form::ErrorList, "validation_error", message) }
        .refusal()
}

fn read_ask(
    world: &World,
    tenant: &Tenant,
    kind: Kind,
    query: &[(String, String)],
) -> Result<Ask, Box<Reply>> {
    let label = value(query, "type").ok_or_else(|| invalid("type", "must not be null"))?;
    let feed =
        feeds::of_type(kind, label).ok_or_else(|| invalid("type", "must be one of the event types"))?;
    let size = match value(query, "pageSize") {
        None => 100,
        Some(text) => {
            let size = text.parse().ok().filter(|size| (1..=100).contains(size));
            size.ok_or_else(|| invalid("pageSize", "must be between 1 and 100"))?
        }
    };
    let day = |field: &'static str| match value(query, field) {
        None => Ok(None),
        Some(text) => match dates::parse_day(text) {
            Some(day) => Ok(Some(day)),
            None => Err(invalid(field, "must match date pattern yyyy-MM-dd")),
        },
    };
    let (since, until) = (day("dateRangeStartsAt")?, day("dateRangeEndsAt")?);
    let oldest = world.clock.wire() - RETENTION;
    if since.is_some_and(|since| since + dates::DAY <= oldest) {
        return Err(invalid("dateRangeStartsAt", "must not be more than 7 days ago"));
    }
    let mut ask = Ask { feed, position: 0, hop: 0, since, until, size };
    if let Some(token) = value(query, "nextPage").filter(|t| !t.is_empty()) {
        let position = read_token(world, tenant, feed, token);
        (ask.position, ask.hop) =
            position.ok_or_else(|| invalid("nextPage", "is not a page of this type"))?;
        ask.since = None;
    }
    Ok(ask)
}

fn token(world: &World, tenant: &Tenant, feed: &Feed, (position, hop): (u64, u64)) -> String {
    seal(world.setup.seed, &format!("{}|{}|{position}|{hop}", tenant.name, feed.name))
}

fn read_token(world: &World, tenant: &Tenant, feed: &Feed, token: &str) -> Option<(u64, u64)> {
    let text = unseal(world.setup.seed, token)?;
    let rest = text.strip_prefix(&tenant.name)?.strip_prefix('|')?;
    let (position, hop) = rest.strip_prefix(feed.name)?.strip_prefix('|')?.split_once('|')?;
    Some((position.parse().ok()?, hop.parse().ok()?))
}

/// The files of a page.
struct Page {
    files: Vec<u64>,
    /// Where the next page begins.
    next: u64,
    /// There is nothing behind it.
    last: bool,
    hop: u64,
}

fn select(state: &FeedState, ask: &Ask, now: i64, cap: u64) -> Page {
    let mut page = Page { files: Vec::new(), next: ask.position, last: true, hop: ask.hop };
    for file in ask.position..state.files.len() as u64 {
        let Some(run) = state.run_of_file(file) else { break };
        let time = run.file_time(file - run.first_file);
        if ask.until.is_some_and(|until| time >= until + dates::DAY) {
            break;
        }
        let wanted =
            ask.since.is_none_or(|since| time >= since) && !run.file_expired(file - run.first_file, now);
        if wanted {
            if page.files.len() as u64 >= ask.size.min(cap) {
                page.last = false;
                break;
            }
            page.files.push(file);
        }
        page.next = file + 1;
    }
    page
}

pub async fn answer(
    world: &World,
    tenant: &Tenant,
    kind: Kind,
    request: &Request,
    verdict: &Verdict,
) -> Response {
    let refuse = |reply: Reply| reply.response(world.clock.wire(), 0);
    let ask = match read_ask(world, tenant, kind, &request.query) {
        Ok(ask) => ask,
        Err(reply) => return refuse(*reply),
    };
    let options = world.options(&tenant.name);
    let page = match tenant.feed(ask.feed) {
        _ if verdict.has(Effect::EmptyPage) => {
            Page { files: Vec::new(), next: ask.position, last: false, hop: ask.hop + 1 }
        }
        Some(state) if !options.quiet => select(&state, &ask, world.clock.now(), options.page_cap),
        _ => Page { files: Vec::new(), next: ask.position, last: true, hop: ask.hop },
    };
    let mut list = match entries(world, tenant, ask.feed, &page.files, &request.host).await {
        Ok(list) => list,
        Err(why) => return refuse(Reply::new(500, Form::Flat, "internal_error", &why.to_string())),
    };
    let extras = [
        (Effect::ListBomb, download::BOMB),
        (Effect::ListEmpty, download::EMPTY),
        (Effect::ListZeroBytes, download::ZERO_BYTES),
    ];
    for (_, name) in extras.into_iter().filter(|(effect, _)| verdict.has(*effect)) {
        let day = dates::day(world.clock.wire());
        let path = format!("/files/{}/{}/{day}/{name}", tenant.name, ask.feed.folder());
        list.push(entry(world, &path, &request.host, options.link_life, false, download::extra_size(name)));
    }
    twist(&mut list, verdict);
    // Real listings say "caught up" now with the last files, now only with the empty page after them.
    let caught_up = page.last && (page.files.is_empty() || ask.feed.index % 2 == 0);
    let next = if verdict.has(Effect::SameToken) { (ask.position, ask.hop) } else { (page.next, page.hop) };
    let mut body = Map::new();
    if !verdict.has(Effect::NoValue) {
        body.insert("value".into(), list.into());
    }
    if !verdict.has(Effect::NoNextPage) {
        body.insert("@nextPage".into(), token(world, tenant, ask.feed, next).into());
    }
    body.insert("isCaughtUp".into(), (caught_up || verdict.has(Effect::CaughtUp)).into());
    json_answer(200, Value::Object(body).to_string())
}

/// Effects that change the list of files.
fn twist(list: &mut Vec<Value>, verdict: &Verdict) {
    if verdict.has(Effect::SameFileTwice)
        && let Some(first) = list.first().cloned()
    {
        list.push(first);
    }
    if let Some((_, strikes)) = verdict.effects.iter().find(|(e, _)| *e == Effect::ForeignLink)
        && let Some(link) = list.first_mut().and_then(|first| first.get_mut("url"))
    {
        *link = match strikes % 2 {
            0 => "http://169.254.169.254/latest/meta-data/iam/?X-Amz-Signature=00".into(),
            _ => "https://evil.example/cg/receipt/part-000000.json.gz?X-Amz-Signature=00".into(),
        };
    }
}

/// The entries of files, with their true sizes.
async fn entries(
    world: &World,
    tenant: &Tenant,
    feed: &'static Feed,
    files: &[u64],
    host: &str,
) -> io::Result<Vec<Value>> {
    let sizes = join_all(files.iter().map(|&file| async move {
        let spoil = world.spoil(tenant, feed, file);
        let known = tenant.feed(feed).and_then(|mut state| state.note(file).and_then(|note| note.size));
        match known {
            Some((what, size)) if what == spoil => Ok(size),
            _ => world.file(tenant, feed, file, spoil).await.map(|made| made.gzip.len()),
        }
    }))
    .await;
    let options = world.options(&tenant.name);
    let mut list = Vec::with_capacity(files.len());
    let Some(mut state) = tenant.feed(feed) else { return Ok(list) };
    for (&file, size) in files.iter().zip(sizes) {
        let Some(path) = download::path(tenant, feed, &state, file) else { continue };
        let Some(note) = state.note(file) else { continue };
        let dead = options.first_links_dead && note.listed == 0;
        note.listed += 1;
        list.push(entry(world, &path, host, options.link_life, dead, size?));
    }
    Ok(list)
}

fn entry(world: &World, path: &str, host: &str, life: i64, dead: bool, size: usize) -> Value {
    // A dead link looks like any other; only the download tells.
    let signed_at = world.clock.now() - if dead { life + dates::MINUTE } else { 0 };
    json!({
        "url": format!("http://{host}{path}?{}", download::sign(world.setup.seed, path, signed_at, life)),
        "expiry": dates::iso(world.clock.wire() + life),
        "size": size,
    })
}
