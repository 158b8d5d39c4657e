//! Mimecast, in memory: files that are listed by token and fetched by link, rows that appear late and are asked for
//! by time, logins. It answers with bytes and keeps a ledger of everything it ever had to offer.

use std::time::Duration;

use serde::Deserialize;

use super::ids::ById;
use crate::clock::Time;
use crate::event::EventId;
use crate::mimecast::feed::{Ask, Feed, Identity};
use crate::mimecast::request::{Body, Request};

/// Rows of one page, and files of one listing: small, so that there are many pages.
pub const PAGE: usize = 3;
pub const TENANT: &str = "acme";
/// So long after it happened a row may show up.
pub const LATEST: Duration = Duration::from_secs(600);
const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// A file that is offered from `at` on.
pub struct File {
    pub name: String,
    pub at: Time,
    pub gzip: Vec<u8>,
    pub ids: Vec<EventId>,
    pub broken_lines: u64,
}

struct Row {
    time: Time,
    seen_from: Time,
    json: String,
}

/// One log.
pub struct Log {
    pub feed: &'static Feed,
    pub files: Vec<File>,
    rows: Vec<Row>,
    /// Every event that was ever offered, and since when.
    pub owed: ById<Time>,
    count: u64,
}

/// The service.
pub struct Mimecast {
    pub logs: Vec<Log>,
    /// The password it accepts, by number.
    pub secret: u32,
    tokens: u64,
    /// When the newest token ends.
    pub token_until: Time,
    /// Times of listing calls in the running window, for the quota.
    pub window: (i64, u32),
}

impl Mimecast {
    pub fn new(feeds: &[&'static Feed]) -> Self {
        let log = |feed: &&'static Feed| Log {
            feed,
            files: Vec::new(),
            rows: Vec::new(),
            owed: ById::default(),
            count: 0,
        };
        Mimecast {
            logs: feeds.iter().map(log).collect(),
            secret: 0,
            tokens: 0,
            token_until: Time(0),
            window: (0, 0),
        }
    }

    pub fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// Counts a listing call; how many there were in this quarter of an hour.
    pub fn count_call(&mut self, now: Time) -> u32 {
        let window = now.0.div_euclid(900_000);
        self.window = if self.window.0 == window { (window, self.window.1 + 1) } else { (window, 1) };
        self.window.1
    }

    /// Something happens in a mailbox.
    pub fn happen(&mut self, log: usize, now: Time, dice: &mut fastrand::Rng) {
        let log = &mut self.logs[log];
        match log.feed.ask {
            Ask::Batch { .. } => log.new_file(now, dice),
            _ => log.new_rows(now, dice),
        }
    }

    /// The body of a good answer.
    pub fn answer(&self, log: usize, request: &Request, now: Time) -> String {
        match self.logs[log].feed.ask {
            Ask::Batch { .. } => self.logs[log].listing(&request.path_and_query, now),
            _ => self.logs[log].page(request, now),
        }
    }

    /// The bytes behind a link; `None` when it has expired or the file is gone.
    pub fn file(&self, log: usize, link: &str, now: Time) -> Option<&[u8]> {
        let (place, signed) = link.split_once("?sig=")?;
        let fresh = now.0 < signed.parse::<i64>().ok()? + 600_000;
        let file = self.logs[log].files.get(number_of(place)?).filter(|file| place.ends_with(&file.name))?;
        (fresh && file.at.plus(RETENTION) > now).then_some(&file.gzip)
    }
}

impl Log {
    fn new_file(&mut self, now: Time, dice: &mut fastrand::Rng) {
        let (mut text, mut ids, mut broken) = (String::new(), Vec::new(), 0);
        let (mut last, mut nth) = (String::new(), 0);
        for _ in 0..dice.u32(1..5) {
            self.count += 1;
            match dice.u8(0..12) {
                0 => {
                    text.push_str("{broken\n");
                    broken += 1;
                    continue;
                }
                1 if !last.is_empty() => nth += 1,
                _ => {
                    last = format!("{{\"timestamp\":{},\"n\":{}}}", now.0 - 1_000, self.count);
                    nth = 0;
                }
            }
            ids.push(EventId::of(TENANT, self.feed.name, last.as_bytes(), nth));
            text.push_str(&last);
            text.push('\n');
        }
        let name = format!("{}_{:06}.json.gz", self.feed.name, self.files.len());
        self.owed.extend(ids.iter().map(|id| (*id, now)));
        self.files.push(File { name, at: now, gzip: stored(text.as_bytes()), ids, broken_lines: broken });
    }

    fn new_rows(&mut self, now: Time, dice: &mut fastrand::Rng) {
        for _ in 0..dice.u32(1..5) {
            self.count += 1;
            let time = Time(now.0.div_euclid(1_000) * 1_000);
            // most rows are there within a minute, some take longer
            let late = if dice.u8(0..4) == 0 { dice.u64(60..LATEST.as_secs()) } else { dice.u64(0..55) };
            let text = time.rfc3339();
            let text = format!("{}+0000", &text[..19]);
            let json = format!("{{\"id\":\"n{}\",\"eventTime\":\"{text}\",\"date\":\"{text}\"}}", self.count);
            let twin = self.feed.identity == Identity::Bytes && dice.u8(0..5) == 0;
            for nth in 0..=u8::from(twin) {
                let mut id = EventId::of(TENANT, self.feed.name, json.as_bytes(), 0);
                id.0[15] ^= nth;
                let seen_from = now.plus(Duration::from_secs(late));
                self.owed.insert(id, seen_from);
                self.rows.push(Row { time, seen_from, json: json.clone() });
            }
        }
    }

    fn listing(&self, query: &str, now: Time) -> String {
        let value =
            |name: &str| query.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let gone = self.files.partition_point(|file| file.at.plus(RETENTION) <= now);
        let start = match (value("nextPage"), value("dateRangeStartsAt")) {
            (Some(token), _) => token.trim_start_matches('t').parse().unwrap_or(0),
            (None, Some(day)) => {
                let from = start_of(day);
                self.files.partition_point(|file| file.at < from)
            }
            _ => self.files.len(),
        };
        let start = start.max(gone);
        let end = (start + PAGE).min(self.files.len());
        let links: Vec<String> = self.files[start..end]
            .iter()
            .map(|file| {
                let size = file.gzip.len();
                format!(
                    "{{\"url\":\"https://files.example.com/{}?sig={}\",\"size\":{size}}}",
                    file.name, now.0
                )
            })
            .collect();
        let caught_up = end == self.files.len();
        format!("{{\"value\":[{}],\"@nextPage\":\"t{end}\",\"isCaughtUp\":{caught_up}}}", links.join(","))
    }

    fn page(&self, request: &Request, now: Time) -> String {
        let Some(Body::Json(body)) = &request.body else { return String::new() };
        let body: Question = serde_json::from_str(body).unwrap();
        let (from, to) = (moment(body.data[0].from), moment(body.data[0].to));
        let token = body.meta.pagination.page_token;
        let (skip, seen) = token
            .and_then(|token| token.split_once('@'))
            .map_or((0, now.0), |(skip, seen)| (skip.parse().unwrap(), seen.parse().unwrap()));
        let first = self.rows.partition_point(|row| row.time < from);
        let mut found = self.rows[first..]
            .iter()
            .take_while(|row| row.time <= to)
            .filter(|row| row.seen_from.0 <= seen)
            .skip(skip);
        let rows: Vec<&str> = found.by_ref().take(PAGE).map(|row| row.json.as_str()).collect();
        let next = match found.next() {
            Some(_) => format!("\"next\":\"{}@{seen}\"", skip + PAGE),
            None => String::new(),
        };
        let rows = rows.join(",");
        let rows = match self.feed.records {
            crate::mimecast::feed::Records::List(name) => format!("{{\"{name}\":[{rows}]}}"),
            _ => rows,
        };
        format!("{{\"meta\":{{\"status\":200,\"pagination\":{{{next}}}}},\"data\":[{rows}],\"fail\":[]}}")
    }
}

/// What a window is asked for with.
#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    meta: Meta<'a>,
    data: [Bounds<'a>; 1],
}
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    pagination: Pagination<'a>,
}
#[derive(Deserialize)]
struct Pagination<'a> {
    #[serde(rename = "pageToken", default)]
    page_token: Option<&'a str>,
}
#[derive(Deserialize)]
struct Bounds<'a> {
    #[serde(alias = "startDateTime")]
    from: &'a str,
    #[serde(alias = "endDateTime")]
    to: &'a str,
}

/// Which file of its log that is.
pub fn number_of(name: &str) -> Option<usize> {
    name.strip_suffix(".json.gz")?.rsplit_once('_')?.1.parse().ok()
}

/// A gzip member whose content is not compressed (RFC 1951 §3.2.4): a compressor for every small file would cost more
/// than all the rest of a story.
fn stored(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(text);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(text);
    gzip.extend(crc.sum().to_le_bytes());
    gzip.extend(u32::from(length).to_le_bytes());
    gzip
}

fn start_of(day: &str) -> Time {
    let day: jiff::civil::Date = day.parse().unwrap();
    Time(day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond())
}

fn moment(text: &str) -> Time {
    let at: jiff::civil::DateTime = text[..19].parse().unwrap();
    Time(at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond())
}
