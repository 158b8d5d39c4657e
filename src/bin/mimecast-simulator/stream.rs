//! `GET /siem/v1/events/{cg,ci}`: the events of the last 24 hours, inline and page by page. The same events as in the
//! files of the batch listings, in other words: `eventType` and `subType`, and nothing of offsets.

use crate::answers::{Form, Reply, json_answer};
use crate::dates::{self, DAY};
use crate::feeds::{self, Feed, Kind};
use crate::query::{escape, seal, unseal, value};
use crate::records::Pen;
use crate::scenario::Effect;
use crate::window::Asked;
use crate::world::{Tenant, World};
use axum::response::Response;

/// How far back it reaches.
const REACH: i64 = DAY;
/// Events that one call looks through for a subtype.
const LOOK_THROUGH: u64 = 20_000;

/// One of the `types`: `process` or `process:Hld`.
struct Wanted {
    feed: &'static Feed,
    subtype: Option<String>,
}

struct Ask {
    wanted: Vec<Wanted>,
    /// As asked for; a token is good for no other.
    types: String,
    from: i64,
    to: Option<i64>,
    size: u64,
    /// For each type: the first event that was not looked at yet.
    positions: Vec<u64>,
}

fn invalid(field: &'static str, message: &str) -> Box<Reply> {
    Reply { field: Some(field.to_owned()), ..Reply::new(400, Form::ErrorList, "validation_error", message) }
        .refusal()
}

fn wanted(kind: Kind, types: &str) -> Option<Vec<Wanted>> {
    let one = |label: &str| {
        let (label, subtype) = label.split_once(':').map_or((label, None), |(l, s)| (l, Some(s.to_owned())));
        Some(Wanted { feed: feeds::of_type(kind, label)?, subtype })
    };
    types.split(',').map(|label| one(label.trim())).collect()
}

/// `2026-01-25T10:30:45.642Z`, milliseconds included.
fn instant(text: &str) -> Option<i64> {
    let (seconds, milli) = text.strip_suffix('Z')?.split_once('.')?;
    let three = milli.len() == 3 && milli.bytes().all(|b| b.is_ascii_digit());
    Some(dates::parse_api(&format!("{seconds}+0000"))? + milli.parse::<i64>().ok().filter(|_| three)?)
}

fn read_ask(
    world: &World,
    tenant: &Tenant,
    kind: Kind,
    query: &[(String, String)],
) -> Result<Ask, Box<Reply>> {
    let types = value(query, "types").ok_or_else(|| invalid("types", "must not be null"))?;
    let wanted = wanted(kind, types).ok_or_else(|| invalid("types", "must be one of the event types"))?;
    let size = match value(query, "pageSize") {
        None => 100,
        Some(text) => {
            let size = text.parse().ok().filter(|size| (1..=100).contains(size));
            size.ok_or_else(|| invalid("pageSize", "must be between 1 and 100"))?
        }
    };
    let time = |field: &'static str| match value(query, field).map(instant) {
        None => Ok(None),
        Some(Some(at)) => Ok(Some(at)),
        Some(None) => Err(invalid(field, "must match date pattern yyyy-MM-dd'T'HH:mm:ss.SSSZ")),
    };
    let (from, to) = (time("dateRangeStartsAt")?, time("dateRangeEndsAt")?);
    let now = world.clock.wire();
    let (from, positions) = (from.unwrap_or(now - REACH), vec![0; wanted.len()]);
    let mut ask = Ask { wanted, types: types.to_owned(), from, to, size, positions };
    if let Some(token) = value(query, "nextPage").filter(|t| !t.is_empty()) {
        read_token(world, tenant, &mut ask, token)
            .ok_or_else(|| invalid("nextPage", "is not a page of these types"))?;
    } else if ask.from < now - REACH {
        return Err(invalid("dateRangeStartsAt", "must not be more than 24 hours ago"));
    }
    Ok(ask)
}

fn token(world: &World, tenant: &Tenant, ask: &Ask, positions: &[u64]) -> String {
    let positions: Vec<String> = positions.iter().map(u64::to_string).collect();
    let text = format!("{}|stream|{}|{}|{}", tenant.name, ask.types, ask.from, positions.join(","));
    seal(world.setup.seed, &text)
}

fn read_token(world: &World, tenant: &Tenant, ask: &mut Ask, token: &str) -> Option<()> {
    let text = unseal(world.setup.seed, token)?;
    let rest = text.strip_prefix(&tenant.name)?.strip_prefix("|stream|")?;
    let (from, positions) = rest.strip_prefix(&ask.types)?.strip_prefix('|')?.split_once('|')?;
    ask.from = from.parse().ok()?;
    ask.positions = positions.split(',').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (ask.positions.len() == ask.wanted.len()).then_some(())
}

/// What one call found.
struct Found {
    objects: Vec<Vec<u8>>,
    next: Vec<u64>,
    caught_up: bool,
}

/// Reads one type after the other; what does not arrive is not handed out.
fn gather(world: &World, tenant: &Tenant, ask: &Ask, arrives: bool) -> Found {
    let mut found = Found { objects: Vec::new(), next: ask.positions.clone(), caught_up: false };
    let mut looked = 0;
    let mut pen = Pen::new(&tenant.code(), Default::default());
    pen.second = true;
    for (wanted, next) in ask.wanted.iter().zip(&mut found.next) {
        let Some(mut state) = tenant.feed(wanted.feed) else { continue };
        for run in state.runs.clone() {
            let (first, end) = (run.first_at(ask.from), ask.to.map_or(run.events, |to| run.first_at(to + 1)));
            let start = first.max(run.first_kept(world.clock.now(), REACH));
            pen.hostility = run.hostility;
            for number in start.max(next.saturating_sub(run.first_event))..end {
                if found.objects.len() as u64 == ask.size || looked == LOOK_THROUGH {
                    return found;
                }
                looked += 1;
                let mut record = Vec::new();
                pen.write(wanted.feed, &run.nth(number), &mut record);
                *next = run.first_event + number + 1;
                if wanted.subtype.is_none() || wanted.subtype.as_deref() == pen.subtype {
                    if arrives {
                        state.second.hand(run.first_event + number, &record);
                    }
                    found.objects.push(record);
                }
            }
        }
    }
    found.caught_up = true;
    found
}

pub fn answer(world: &World, kind: Kind, asked: &Asked) -> Response {
    let Asked { tenant, request, verdict, .. } = *asked;
    let ask = match read_ask(world, tenant, kind, &request.query) {
        Ok(ask) => ask,
        Err(reply) => return reply.response(world.clock.wire(), 0),
    };
    let found = match world.options(&tenant.name).quiet {
        true => Found { objects: Vec::new(), next: ask.positions.clone(), caught_up: true },
        false => gather(world, tenant, &ask, !verdict.has(Effect::Cut)),
    };
    let mut body = b"{".to_vec();
    if !verdict.has(Effect::NoValue) {
        body.extend_from_slice(b"\"value\":[");
        body.extend_from_slice(&found.objects.join(&b','));
        body.extend_from_slice(b"],");
    }
    if !verdict.has(Effect::NoNextPage) {
        let next = if verdict.has(Effect::SameToken) { &ask.positions } else { &found.next };
        let token = token(world, tenant, &ask, next);
        let link = format!("http://{}{}?nextPage={}", request.host, request.path, escape(&token));
        body.extend_from_slice(format!("\"@nextLink\":\"{link}\",\"@nextPage\":\"{token}\",").as_bytes());
    }
    let caught_up = found.caught_up || verdict.has(Effect::CaughtUp);
    let size = found.objects.len();
    body.extend_from_slice(format!("\"pageSize\":{size},\"isCaughtUp\":{caught_up}}}").as_bytes());
    json_answer(200, body)
}
