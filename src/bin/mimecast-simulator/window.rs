//! The functions of `/api/…`: pages of records inside a span of time.

use crate::answers::{Form, Reply, json_answer};
use crate::dates;
use crate::feeds::{Api, Feed};
use crate::functions::{self, Function};
use crate::message::mix;
use crate::query::{seal, unseal};
use crate::records::Pen;
use crate::runs::Run;
use crate::scenario::{Effect, Verdict};
use crate::server::Request;
use crate::world::{FeedState, Tenant, World};
use axum::response::Response;
use serde_json::{Map, Value, json};

/// More records than this are never in one page, whatever was asked for.
const MAX_PAGE: u64 = 500;

/// What a client asked for; a page token carries all of it.
struct Ask {
    from: i64,
    to: i64,
    oldest_first: bool,
    /// Only the caller's own mailbox, which has nothing.
    own: bool,
    /// Records that earlier pages had.
    offset: u64,
    size: u64,
    /// Empty pages that came before.
    hop: u64,
    /// It came with a page token.
    continued: bool,
}

/// A failure inside an answer with status 200, as these functions do.
pub fn fail(code: &str, message: &str, fields: &[&str]) -> Box<Reply> {
    let errors: Vec<Value> = fields
        .iter()
        .map(|field| json!({"field": field, "code": code, "message": message, "retryable": false}))
        .collect();
    let body = json!({"meta": {"status": 200}, "data": [], "fail": [{"key": {}, "errors": errors}]});
    Reply { body: Some(body.to_string()), ..Reply::new(200, Form::Meta, code, message) }.refusal()
}

/// # Errors
/// The refusal of a body that is not JSON.
pub fn read_body(body: &[u8]) -> Result<Value, Box<Reply>> {
    serde_json::from_slice(body)
        .map_err(|_| Reply::new(400, Form::Meta, "err_validation_json", "The request is not JSON").refusal())
}

/// The time in a field of `data[0]`, if it is there.
pub fn time_field(data: Option<&Value>, name: &'static str, api: Api) -> Result<Option<i64>, Box<Reply>> {
    let Some(value) = data.and_then(|d| d.get(name)).filter(|v| !v.is_null()) else { return Ok(None) };
    let at = value.as_str().and_then(|text| functions::parse_time(text, api));
    let format = "Field must match yyyy-MM-dd'T'HH:mm:ssZ";
    at.map(Some).ok_or_else(|| fail("err_validation_date_format", format, &[name]))
}

/// The surroundings of one answer.
struct Page<'a> {
    world: &'a World,
    tenant: &'a Tenant,
    feed: &'static Feed,
    function: &'static Function,
    api: Api,
    verdict: &'a Verdict,
}

impl Page<'_> {
    fn read_ask(&self, body: &[u8]) -> Result<Ask, Box<Reply>> {
        let body = read_body(body)?;
        let pagination = body.pointer("/meta/pagination");
        let field = |name| pagination.and_then(|p| p.get(name));
        let size = field("pageSize").and_then(Value::as_u64).unwrap_or(25).clamp(1, MAX_PAGE);
        if let Some(token) = field("pageToken").and_then(Value::as_str).filter(|t| !t.is_empty()) {
            return match self.read_token(token) {
                Some(ask) => Ok(Ask { size, ..ask }),
                None => Err(fail("xdk_failure", "0007 Invalid token", &["pageToken"])),
            };
        }
        let data = body.pointer("/data/0");
        let function = self.function;
        let (from, to) =
            (time_field(data, function.from, self.api)?, time_field(data, function.to, self.api)?);
        let now = self.world.clock.wire();
        let missing: Vec<&str> = [(function.from, from), (function.to, to)]
            .into_iter()
            .filter(|(_, at)| at.is_none())
            .map(|(name, _)| name)
            .collect();
        let start = function.unsaid.start(now);
        if !missing.is_empty() && start.is_none() {
            return Err(fail("err_validation_null", "Field can not be null", &missing));
        }
        let flag = |name: &str| data.and_then(|d| d.get(name)).and_then(Value::as_bool).unwrap_or(false);
        let everything = function.no_span_in_two && self.api == Api::Two;
        Ok(Ask {
            from: if everything { 0 } else { from.or(start).unwrap_or(now) },
            to: if everything { now } else { to.unwrap_or(now) },
            // Functions without this switch ignore it, as they ignore every unknown field.
            oldest_first: flag("oldestFirst") && function.oldest_first,
            own: function.admin && !flag("admin"),
            offset: 0,
            size,
            hop: 0,
            continued: false,
        })
    }

    fn token(&self, ask: &Ask, offset: u64) -> String {
        let text = format!(
            "{}|{}|{}|{}|{}|{}|{offset}|{}",
            self.tenant.name, self.function.path, ask.from, ask.to, ask.oldest_first, ask.own, ask.hop
        );
        format!("eN{}", seal(self.world.setup.seed, &text).replace('+', "-").replace('/', "_"))
    }

    fn read_token(&self, token: &str) -> Option<Ask> {
        let token = token.strip_prefix("eN")?.replace('-', "+").replace('_', "/");
        let text = unseal(self.world.setup.seed, &token)?;
        let rest = text.strip_prefix(&self.tenant.name)?.strip_prefix('|')?;
        let mut parts = rest.strip_prefix(self.function.path)?.strip_prefix('|')?.split('|');
        let mut next = || parts.next();
        Some(Ask {
            from: next()?.parse().ok()?,
            to: next()?.parse().ok()?,
            oldest_first: next()? == "true",
            own: next()? == "true",
            offset: next()?.parse().ok()?,
            size: 0,
            hop: next()?.parse().ok()?,
            continued: true,
        })
    }

    fn has(&self, effect: Effect) -> bool {
        self.verdict.has(effect)
    }

    /// `meta.pagination` of an answer.
    fn pagination(&self, ask: &Ask, page: &Selected, body: &[u8]) -> Value {
        let behind = ask.offset + page.rows.len() as u64;
        // A last page sometimes promises another one, which is then empty.
        let promise = !page.rows.is_empty() && mix(ask.offset, page.total).is_multiple_of(2);
        let more = page.more || self.has(Effect::NextAlways) || promise && !self.has(Effect::NextNever);
        let mut map = Map::new();
        map.insert("pageSize".into(), page.rows.len().into());
        map.insert("totalCount".into(), page.total.into());
        if more {
            let mut next: Value = match (self.has(Effect::SameNext), ask.continued) {
                (true, true) => sent_token(body).unwrap_or_default().into(),
                _ => self.token(ask, behind).into(),
            };
            if self.has(Effect::NextObject) {
                next = json!({"pageToken": next});
            }
            map.insert("next".into(), next);
        } else if self.has(Effect::NextNull) {
            map.insert("next".into(), Value::Null);
        }
        if ask.offset > 0 {
            map.insert("previous".into(), self.token(ask, ask.offset.saturating_sub(ask.size)).into());
        }
        map.into()
    }

    fn meta(&self, pagination: Value) -> Option<Value> {
        match (self.has(Effect::NoMeta), self.has(Effect::NoPagination)) {
            (true, _) => None,
            (false, true) => Some(json!({"status": 200})),
            (false, false) => Some(json!({"status": 200, "pagination": pagination})),
        }
    }

    /// Writes the list of records, in whatever it stands in, and takes them down as handed out.
    fn data(&self, state: &mut FeedState, rows: &[Row], body: &mut Vec<u8>) {
        if self.has(Effect::NoData) {
            return body.extend_from_slice(b"\"data\":null,");
        }
        body.extend_from_slice(b"\"data\":[");
        let list = self.function.list.filter(|_| !rows.is_empty() || self.has(Effect::EmptyList));
        if let Some(list) = list {
            body.extend_from_slice(format!("{{\"{list}\":[").as_bytes());
        }
        self.records(state, rows, body);
        if list.is_some() {
            body.push(b']');
            if self.feed.name == "ttp.impersonation" {
                body.extend_from_slice(format!(",\"resultCount\":{}", rows.len()).as_bytes());
            }
            body.push(b'}');
        }
        body.extend_from_slice(b"],");
    }

    fn records(&self, state: &mut FeedState, rows: &[Row], body: &mut Vec<u8>) {
        let runs: Vec<Run> = state.runs.clone();
        let mut pen = Pen::new(&self.tenant.code(), Default::default());
        pen.second = self.function.second;
        for (position, &(_, index, number)) in rows.iter().enumerate() {
            let Some(run) = runs.get(index) else { continue };
            if position > 0 {
                body.push(b',');
            }
            let start = body.len();
            pen.hostility = run.hostility;
            pen.write(self.feed, &run.nth(number), body);
            let record = body.get(start..).unwrap_or_default();
            let books = if self.function.second { &mut state.second } else { &mut state.rows };
            // Of an answer that breaks off nothing arrives.
            if !self.has(Effect::Cut) {
                books.hand(run.first_event + number, record);
            }
        }
    }

    /// The whole good answer.
    fn body(&self, ask: &Ask, page: &Selected, state: &mut FeedState, request: &[u8]) -> Vec<u8> {
        let mut body = b"{".to_vec();
        if let Some(meta) = self.meta(self.pagination(ask, page, request)) {
            body.extend_from_slice(format!("\"meta\":{meta},").as_bytes());
        }
        self.data(state, &page.rows, &mut body);
        let fail = match self.has(Effect::Partial) {
            true => json!([{"key": {"part": "archive"}, "errors": [{"code": "err_partial_result",
                "message": "0006 A part of the data could not be read", "retryable": true}]}]),
            false => json!([]),
        };
        body.extend_from_slice(format!("\"fail\":{fail}}}").as_bytes());
        body
    }
}

/// The page token of a request.
fn sent_token(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/meta/pagination/pageToken").and_then(Value::as_str).map(str::to_owned)
}

/// A visible row: its time, its run, its number there.
type Row = (i64, usize, u64);

/// The rows of a span, oldest first.
enum Rows {
    /// They follow each other in one run: nothing has to be written down, however many they are.
    Span {
        run: Run,
        index: usize,
        first: u64,
        end: u64,
    },
    List(Vec<Row>),
}

impl Rows {
    /// All rows of the span that can be had at `now`. Both ends belong to it; rows are dated to the second, as they
    /// are shown.
    fn of(state: &FeedState, from: i64, to: i64, now: i64, kept: i64) -> Rows {
        let spans: Vec<(usize, &Run, u64, u64)> = state
            .runs
            .iter()
            .enumerate()
            .map(|(index, run)| {
                let first = run.first_at(from).max(run.first_kept(now, kept));
                (index, run, first, run.first_at(to.saturating_add(dates::SECOND)))
            })
            .filter(|(.., first, end)| first < end)
            .collect();
        if let [(index, run, first, end)] = spans.as_slice()
            && run.late_by == 0
            && run.behind == 0
        {
            return Rows::Span { run: **run, index: *index, first: *first, end: *end };
        }
        let visible = spans.into_iter().flat_map(|(index, run, first, end)| {
            let seen = (first..end).filter(move |&n| run.visible_from(n) <= now);
            seen.map(move |n| (run.at(n), index, n))
        });
        let mut rows: Vec<Row> = visible.collect();
        rows.sort_unstable();
        Rows::List(rows)
    }

    fn len(&self) -> u64 {
        match self {
            Rows::Span { first, end, .. } => end - first,
            Rows::List(rows) => rows.len() as u64,
        }
    }

    fn get(&self, place: u64) -> Option<Row> {
        match self {
            Rows::Span { run, index, first, end } => {
                let number = first.saturating_add(place);
                (number < *end).then(|| (run.at(number), *index, number))
            }
            Rows::List(rows) => usize::try_from(place).ok().and_then(|at| rows.get(at)).copied(),
        }
    }
}

/// The rows of one page.
struct Selected {
    rows: Vec<Row>,
    /// There are more behind it.
    more: bool,
    /// In the whole span.
    total: u64,
}

fn select(rows: &Rows, ask: &Ask) -> Selected {
    let total = rows.len();
    let end = ask.offset.saturating_add(ask.size).min(total);
    let place = |n: u64| if ask.oldest_first { n } else { total - 1 - n };
    let page: Vec<Row> = (ask.offset..end).filter_map(|n| rows.get(place(n))).collect();
    Selected { rows: page, more: end < total, total }
}

/// What the door knows about a call.
pub struct Asked<'a> {
    pub tenant: &'a Tenant,
    pub api: Api,
    pub request: &'a Request,
    pub verdict: &'a Verdict,
}

pub fn answer(world: &World, function: &'static Function, feed: &'static Feed, asked: &Asked) -> Response {
    let Asked { tenant, api, request, verdict } = *asked;
    let page = Page { world, tenant, feed, function, api, verdict };
    let mut ask = match page.read_ask(&request.body) {
        Ok(ask) => ask,
        Err(reply) => return reply.response(world.clock.wire(), 0),
    };
    let Some(mut state) = tenant.feed(feed) else { return json_answer(500, "") };
    let nothing = ask.own || world.options(&tenant.name).quiet;
    let all = match nothing {
        true => Rows::List(Vec::new()),
        false => Rows::of(&state, ask.from, ask.to, world.clock.now(), feed.kept()),
    };
    let mut selected = select(&all, &ask);
    if page.has(Effect::EmptyPage) {
        // The page has nothing, and still there is a next one, where the rows are.
        selected.more |= !selected.rows.is_empty();
        selected.rows.clear();
        ask.hop += 1;
    }
    let body = page.body(&ask, &selected, &mut state, &request.body);
    json_answer(200, body)
}
