//! `POST /api/audit/get-siem-logs`, API 1.0: the mail log in files, one after the other or many in a zip. The position
//! is a token in the header `mc-siem-token`.

use crate::answers::{Form, Reply, json_answer, respond};
use crate::dates::{self, DAY};
use crate::feeds::{Feed, MTA};
use crate::mta_records::file_type;
use crate::query::{seal, unseal};
use crate::records::Pen;
use crate::runs::Run;
use crate::scenario::{Effect, Verdict};
use crate::window::{Asked, fail, read_body};
use crate::world::{FeedState, Tenant, World};
use crate::zip::Zip;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};
use std::io;

pub const PATH: &str = "/api/audit/get-siem-logs";
const TOKEN: HeaderName = HeaderName::from_static("mc-siem-token");
/// Most files, and about the most bytes, of one zip.
const ZIP_FILES: u64 = 60;
const ZIP_BYTES: usize = 8 << 20;
/// A token is good for as long as the log is kept.
const TOKEN_LIFE: i64 = 7 * DAY;

struct Ask {
    /// Number of the first file that is wanted.
    position: u64,
    lines: bool,
    zip: bool,
}

fn token(world: &World, tenant: &Tenant, position: u64) -> String {
    seal(world.setup.seed, &format!("{}|{MTA}|{position}|{}", tenant.name, world.clock.now()))
}

/// # Errors
/// The refusal of a token that is not ours, or too old.
fn read_token(world: &World, tenant: &Tenant, token: &str) -> Result<u64, Box<Reply>> {
    let read = || {
        let text = unseal(world.setup.seed, token)?;
        let rest = text.strip_prefix(&tenant.name)?.strip_prefix('|')?;
        let (position, issued) = rest.strip_prefix(MTA)?.strip_prefix('|')?.split_once('|')?;
        Some((position.parse::<u64>().ok()?, issued.parse::<i64>().ok()?))
    };
    let young = |(position, issued): (u64, i64)| {
        (world.clock.now().saturating_sub(issued) <= TOKEN_LIFE).then_some(position)
    };
    let position = read().and_then(young);
    position.ok_or_else(|| fail("err_audit_siem_invalid_token", "0007 Invalid token", &["token"]))
}

fn read_ask(world: &World, asked: &Asked) -> Result<Ask, Box<Reply>> {
    let body = read_body(&asked.request.body)?;
    let data = body.pointer("/data/0");
    let field = |name: &str| data.and_then(|d| d.get(name)).filter(|v| !v.is_null());
    match field("type").and_then(Value::as_str) {
        Some("MTA") => {}
        None => return Err(fail("err_validation_null", "Field can not be null", &["type"])),
        Some(_) => return Err(fail("err_validation_value_not_allowed", "Value is not allowed", &["type"])),
    }
    let format = field("fileFormat").and_then(Value::as_str).unwrap_or("key_value").to_ascii_lowercase();
    let lines = match format.as_str() {
        "json" => false,
        "key_value" => true,
        _ => return Err(fail("err_validation_value_not_allowed", "Value is not allowed", &["fileFormat"])),
    };
    let position = match field("token").and_then(Value::as_str).filter(|t| !t.is_empty()) {
        Some(token) => read_token(world, asked.tenant, token)?,
        None => 0,
    };
    Ok(Ask { position, lines, zip: field("compress").and_then(Value::as_bool).unwrap_or(false) })
}

/// One file of the log, as it is handed out.
struct Made {
    file: u64,
    name: String,
    content: Vec<u8>,
}

/// `process_20211018093329655.json`
fn file_name(kind: &str, at: i64, lines: bool) -> String {
    let stamp: String = dates::iso(at).chars().filter(char::is_ascii_digit).collect();
    format!("{kind}_{stamp}.{}", if lines { "siem" } else { "json" })
}

/// Writes a file; its records come out with the number that they have in the feed.
fn make(feed: &Feed, run: &Run, file: u64, lines: bool, code: &str, each: &mut Each<'_>) -> Made {
    let mut pen = Pen::new(code, run.hostility);
    pen.second = lines;
    let mut content = if lines { Vec::new() } else { b"{\"type\":\"MTA\",\"data\":[".to_vec() };
    for (position, number) in run.events_of(file).enumerate() {
        if position > 0 && !lines {
            content.extend_from_slice(b",\n ");
        }
        let start = content.len();
        pen.write(feed, &run.nth(number), &mut content);
        each(run.first_event + number, content.get(start..).unwrap_or_default());
        if lines {
            // The last line of some files has no end.
            let last = number + 1 == run.events_of(file).end && file.is_multiple_of(3);
            content.extend_from_slice(if last { b"" } else { b"\r\n" });
        }
    }
    if !lines {
        content.extend_from_slice(b"]}");
    }
    let name = file_name(file_type(run.seed, file), run.file_time(file), lines);
    Made { file: run.first_file + file, name, content }
}

type Each<'a> = dyn FnMut(u64, &[u8]) + 'a;

/// The files of one answer, and where the next one starts.
fn gather(state: &mut FeedState, feed: &Feed, asked: &Asked, ask: &Ask, now: i64) -> (Vec<Made>, u64) {
    let (mut made, mut bytes, mut next) = (Vec::new(), 0, ask.position);
    // What cannot be read at the other end is not handed out.
    let good = ![Effect::NotAZip, Effect::Cut].iter().any(|effect| asked.verdict.has(*effect));
    let files = state.files.len() as u64;
    let (limit, code) = (if ask.zip { ZIP_FILES } else { 1 }, asked.tenant.code());
    while next < files && (made.len() as u64) < limit && bytes < ZIP_BYTES {
        let file = next;
        next += 1;
        let Some(run) = state.run_of_file(file) else { continue };
        if run.file_expired(file - run.first_file, now) {
            continue;
        }
        let books = if ask.lines { &mut state.second } else { &mut state.rows };
        let mut each = |event: u64, record: &[u8]| {
            if good {
                books.hand(event, record);
            }
        };
        let one = make(feed, &run, file - run.first_file, ask.lines, &code, &mut each);
        bytes += one.content.len();
        if let Some(note) = state.note(file) {
            note.listed += 1;
            note.handed += u32::from(good);
            note.damaged += u32::from(!good);
        }
        made.push(one);
    }
    (made, next)
}

/// Members that no reader can make sense of, and names that none should trust.
fn poison(state: &mut FeedState, made: &mut Vec<Made>, ask: &Ask, verdict: &Verdict, at: i64) {
    if let Some(first) = made.first_mut() {
        if verdict.has(Effect::Traversal) {
            first.name = format!("../../../../tmp/{}", first.name);
        }
        if verdict.has(Effect::UnknownPrefix) {
            first.name = file_name("newlog", at, ask.lines);
        }
    }
    let additional = [
        (Effect::ZeroBytes, "receipt", "".as_bytes(), 0),
        (
            Effect::BrokenJson,
            "process",
            b"{\"type\":\"MTA\",\"data\":[{\"acc\":\"CSIM00000\",\"Act\":\"Acc",
            1,
        ),
    ];
    for (number, (effect, kind, content, unreadable)) in (1..).zip(additional) {
        if !verdict.has(effect) || !ask.zip {
            continue;
        }
        let name = file_name(kind, at + number, ask.lines);
        let label = if unreadable > 0 { "broken member" } else { "member of 0 bytes" };
        *state.extras.entry(label).or_default() += unreadable;
        made.push(Made { file: u64::MAX, name, content: content.to_vec() });
    }
}

/// There is nothing more; the token may or may not be there.
fn caught_up(world: &World, tenant: &Tenant, position: u64) -> Response {
    let body = json!({"meta": {"isLastToken": true, "status": 200}, "data": [], "fail": []});
    let mut response = json_answer(200, body.to_string());
    if position.is_multiple_of(2) {
        put_token(&mut response, &token(world, tenant, position));
    }
    response
}

fn put_token(response: &mut Response, token: &str) {
    if let Ok(token) = HeaderValue::from_str(token) {
        response.headers_mut().insert(TOKEN, token);
    }
}

/// The body of an answer and the name it is given.
fn pack(mut made: Vec<Made>, zip: bool, at: i64) -> io::Result<(String, Vec<u8>)> {
    if !zip {
        let one = made.pop().ok_or_else(|| io::Error::other("no file"))?;
        return Ok((one.name, one.content));
    }
    let mut archive = Zip::default();
    for one in &made {
        archive.add(&one.name, &one.content)?;
    }
    Ok((file_name("logs", at, false).replace(".json", ".zip"), archive.finish()))
}

pub fn answer(world: &World, feed: &'static Feed, asked: &Asked) -> Response {
    let wire = world.clock.wire();
    let ask = match read_ask(world, asked) {
        Ok(ask) => ask,
        Err(reply) => return reply.response(wire, 0),
    };
    let Some(mut state) = asked.tenant.feed(feed) else { return json_answer(500, "") };
    let quiet = world.options(&asked.tenant.name).quiet;
    let (mut made, next) = match quiet {
        true => (Vec::new(), ask.position),
        false => gather(&mut state, feed, asked, &ask, world.clock.now()),
    };
    let Some(last) = made.last().map(|one| one.file) else { return caught_up(world, asked.tenant, next) };
    poison(&mut state, &mut made, &ask, asked.verdict, wire);
    drop(state);
    let (name, mut body) = match pack(made, ask.zip, wire) {
        Ok(packed) => packed,
        Err(why) => return Reply::new(500, Form::Meta, "0006", &why.to_string()).response(wire, 0),
    };
    if asked.verdict.has(Effect::NotAZip) {
        body = b"PK\x03\x04 this is not a valid zip file".to_vec();
    }
    // The media type comes with or without a parameter, in any case.
    let media = if last.is_multiple_of(2) {
        "application/octet-stream"
    } else {
        "Application/Octet-Stream;charset=UTF-8"
    };
    let mut response = respond(200, Some(media), body);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    if !asked.verdict.has(Effect::NoSiemToken) {
        let position = if asked.verdict.has(Effect::SameToken) { ask.position } else { next };
        put_token(&mut response, &token(world, asked.tenant, position));
    }
    response
}
