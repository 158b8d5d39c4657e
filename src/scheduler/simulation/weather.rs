//! What goes wrong, and when: episodes drawn from one seed, each with a fault that some row of the recovery table
//! is about. Where a fault is an answer, its bytes are made here and read by the product's own readers.

use std::time::Duration;

use crate::clock::Time;
use crate::dialect;
use crate::fault::{Fault, Kind, Origin};
use crate::supervisor::policy::RULES;

/// What the other side answers, or how it fails to.
#[derive(Clone, Debug)]
pub enum Answer {
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    Broken(Kind),
    /// A file that ends too early.
    CutShort,
    /// Bytes that trickle until the time is up.
    Drip,
}

impl Answer {
    /// As the clients report it; `None` for what has to be read first: a 200, and a file cut short.
    pub fn fault(&self, origin: Origin, now: Time) -> Option<Fault> {
        match self {
            Answer::Http { status, .. } if (200..300).contains(status) && origin != Origin::Token => None,
            Answer::Http { status, headers, body } => {
                Some(dialect::read(origin, *status, headers, body.as_bytes(), now))
            }
            Answer::Drip => Some(Fault::new(origin, Kind::Timeout, "same words")),
            Answer::Broken(kind) => Some(Fault::new(origin, *kind, "same words")),
            Answer::CutShort => None,
        }
    }
}

/// A fault that lasts.
#[derive(Clone, Debug)]
pub struct Episode {
    pub from: Time,
    pub to: Time,
    pub on: Origin,
    /// Which feed meets it; `None`: all of them.
    pub feed: Option<usize>,
    /// Of a hundred requests.
    pub percent: u32,
    pub answer: Answer,
}

impl Episode {
    pub fn strikes(&self, on: Origin, feed: usize, now: Time, dice: &mut fastrand::Rng) -> bool {
        self.on == on
            && self.from <= now
            && now < self.to
            && self.feed.is_none_or(|only| only == feed)
            && dice.u32(0..100) < self.percent
    }
}

const SURFACES: [Origin; 9] = [
    Origin::Api,
    Origin::Token,
    Origin::Download,
    Origin::Local,
    Origin::Api,
    Origin::Download,
    Origin::Sink,
    Origin::Local,
    Origin::Token,
];

/// All episodes of one seed between `from` and `to`.
pub fn draw(dice: &mut fastrand::Rng, from: Time, to: Time, feeds: usize) -> Vec<Episode> {
    let span = to.since(from).as_secs().max(1);
    let mut all: Vec<Episode> = (0..dice.usize(2..9)).map(|_| one(dice, from, span, feeds)).collect();
    if dice.u8(0..4) == 0 {
        all.push(locked(dice, from, span));
    }
    if dice.u8(0..4) == 0 {
        let begins = from.plus(Duration::from_secs(dice.u64(0..span / 4)));
        let ends = begins.plus(Duration::from_secs(dice.u64(span / 8..span)));
        let answer = Answer::Broken(Kind::Connect);
        all.push(Episode {
            from: begins,
            to: ends.min(to),
            on: Origin::Api,
            feed: None,
            percent: 100,
            answer,
        });
    }
    all
}

/// The account is locked for some hours, whoever says so.
fn locked(dice: &mut fastrand::Rng, from: Time, span: u64) -> Episode {
    let begins = from.plus(Duration::from_secs(dice.u64(0..span)));
    let ends = begins.plus(Duration::from_secs(dice.u64(600..40_000)));
    let ends = ends.min(from.plus(Duration::from_secs(span)));
    let on = if dice.bool() { Origin::Token } else { Origin::Api };
    Episode { from: begins, to: ends, on, feed: None, percent: 100, answer: said(401, "0010", Vec::new()) }
}

fn one(dice: &mut fastrand::Rng, from: Time, span: u64, feeds: usize) -> Episode {
    let begins = from.plus(Duration::from_secs(dice.u64(0..span)));
    let length = match dice.u8(0..6) {
        0 => dice.u64(60..900),
        1..4 => dice.u64(900..20_000),
        4 => dice.u64(20_000..150_000),
        _ => dice.u64(150_000..900_000),
    };
    let on = SURFACES[dice.usize(0..SURFACES.len())];
    let feed = if dice.bool() { Some(dice.usize(0..feeds)) } else { None };
    let percent = [100, 100, 60, 15][dice.usize(0..4)];
    let ends = begins.plus(Duration::from_secs(length)).min(from.plus(Duration::from_secs(span)));
    Episode { from: begins, to: ends, on, feed, percent, answer: of_a_row(dice, on) }
}

/// An answer for which some row of that surface was written.
fn of_a_row(dice: &mut fastrand::Rng, on: Origin) -> Answer {
    if on == Origin::Download && dice.u8(0..4) == 0 {
        return Answer::CutShort;
    }
    if matches!(on, Origin::Api | Origin::Download) && dice.u8(0..6) == 0 {
        return Answer::Drip;
    }
    let rows: Vec<_> = RULES.iter().filter(|rule| rule.surfaces.contains(&on)).collect();
    for _ in 0..50 {
        let rule = rows[dice.usize(0..rows.len())];
        if let Some(kind) = dice.choice(rule.on.other_kinds()) {
            return Answer::Broken(*kind);
        }
        if let Some((low, high)) = dice.choice(rule.on.statuses()) {
            let code = dice.choice(rule.on.codes()).copied().unwrap_or_default();
            let mut headers = Vec::new();
            if rule.title.contains("thrott") || dice.u8(0..5) == 0 {
                let seconds = dice.u32(1..2_000);
                headers.push(match dice.u8(0..3) {
                    0 => ("X-RateLimit-Reset".to_owned(), (seconds * 1_000).to_string()),
                    _ => ("Retry-After".to_owned(), seconds.to_string()),
                });
            }
            return said(dice.u16(*low..=*high), code, headers);
        }
    }
    Answer::Broken(Kind::Timeout)
}

/// The token is not taken any more.
pub fn token_ended() -> Answer {
    said(401, "token_expired", Vec::new())
}

fn said(status: u16, code: &str, headers: Vec<(String, String)>) -> Answer {
    let code = if code.is_empty() { String::new() } else { format!("\"code\":\"{code}\",") };
    let body = format!(
        "{{\"meta\":{{\"status\":{status}}},\"data\":[],\"fail\":[{{\"errors\":[{{{code}\"message\":\"same words\"}}]}}]}}"
    );
    Answer::Http { status, headers, body }
}
