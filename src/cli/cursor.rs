//! `cursor`: where reading stands in each feed, and how to move it.

use clap::Subcommand;
use serde_json::json;

use super::asking::ask;
use super::{Common, Printed, done, load, read_store};
use crate::clock::{Clock, Time};
use crate::config::Settings;
use crate::cursor::Scope;
use crate::daemon::positions::is_read;
use crate::daemon::requests::Request;
use crate::daemon::scopes;
use crate::mimecast::catalogue;
use crate::mimecast::position::Position;
use crate::scheduler::lost;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::FeedRow;

/// What can be done with positions. A scope is `acme`, `acme/audit` or `acme/siem.*`.
#[derive(Subcommand)]
pub enum Cursor {
    /// Every feed: how far it is read, and when its position last moved.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// One feed's position in full.
    Show {
        #[command(flatten)]
        common: Common,
        /// `acme/audit`.
        scope: String,
    },
    /// Read feeds from a time on: back, or forward over a span that then is a gap.
    Set {
        #[command(flatten)]
        common: Common,
        /// `acme`, `acme/audit` or `acme/siem.*`.
        scope: String,
        /// A time (2026-01-31T09:30:00Z), a day (2026-01-31), or how long ago (36h).
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Time,
        /// Also store and deliver again what is known already, under the same event ids.
        #[arg(long)]
        again: bool,
    },
    /// Begin feeds as if they had never been polled, at their lookback.
    Reset {
        #[command(flatten)]
        common: Common,
        /// `acme`, `acme/audit` or `acme/siem.*`.
        scope: String,
        /// Also store and deliver again what is known already, under the same event ids.
        #[arg(long)]
        again: bool,
    },
    /// Let the feeds of a tenant begin where those of another, or its own of API 1.0, stopped.
    Migrate {
        #[command(flatten)]
        common: Common,
        /// Whose feeds stopped.
        from: String,
        /// Whose feeds go on; the same tenant when it has changed from API 1.0 to 2.0.
        to: Option<String>,
    },
}

/// Prints positions, or has them moved by the daemon (without one: in the store) and prints what was done.
pub fn cursor(verb: &Cursor) -> Printed {
    match verb {
        Cursor::List { common } => list(common),
        Cursor::Show { common, scope } => show(common, scope),
        Cursor::Set { common, scope, since, again } => {
            ask(&Request::CursorSet { scope: scope.clone(), since: *since, again: *again }, common)
        }
        Cursor::Reset { common, scope, again } => {
            ask(&Request::CursorReset { scope: scope.clone(), again: *again }, common)
        }
        Cursor::Migrate { common, from, to } => {
            let to = to.clone().unwrap_or_else(|| from.clone());
            ask(&Request::CursorMigrate { from: from.clone(), to }, common)
        }
    }
}

/// A time as people write it.
pub(super) fn since(text: &str) -> Result<Time, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Clock::System.now().minus(ago));
    }
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let stamp = text.parse::<jiff::Timestamp>().ok().or_else(|| day().map(|day| day.timestamp()));
    stamp.map(|stamp| Time(stamp.as_millisecond())).ok_or_else(|| {
        "write a time (2026-01-31T09:30:00Z), a day (2026-01-31, UTC) or how long ago (36h)".to_owned()
    })
}

/// A feed's position, read.
struct Standing {
    row: FeedRow,
    read_to: Option<Time>,
    words: String,
}

fn standings(settings: &Settings) -> Result<Vec<Standing>, SetupError> {
    let rows = read_store(settings, async |store| store.feeds().await)?;
    Ok(rows.into_iter().filter(|row| is_read(row) || !row.cursor.is_unset()).map(standing).collect())
}

fn standing(row: FeedRow) -> Standing {
    let known = lost::known(&row);
    let now = Clock::System.now();
    let (read_to, words) = match catalogue::find(row.key.feed) {
        _ if row.cursor.is_unset() => (None, "never polled; starts at its lookback".to_owned()),
        None => (None, "a feed this version does not know".to_owned()),
        Some(feed) => match Position::open(feed, &row.cursor, now, feed.retention) {
            Ok(position) => (position.read_to(known), position.describe()),
            Err(fault) => (None, fault.detail),
        },
    };
    Standing { row, read_to, words }
}

fn list(common: &Common) -> Printed {
    let all = standings(&load(common)?)?;
    let data = all.iter().map(as_json).collect();
    done(common.either(|| table(&all), data))
}

fn table(all: &[Standing]) -> String {
    let mut text = format!("{:<40} {:<26} {:<26} position\n", "feed", "read up to", "moved");
    for standing in all {
        text.push_str(&format!(
            "{:<40} {:<26} {:<26} {}\n",
            standing.row.key.to_string(),
            shown(standing.read_to),
            shown(standing.row.cursor_updated),
            standing.words
        ));
    }
    text
}

fn shown(at: Option<Time>) -> String {
    at.map_or_else(|| "-".to_owned(), Time::rfc3339)
}

fn show(common: &Common, scope: &str) -> Printed {
    let all = standings(&load(common)?)?;
    let found: Vec<_> = all.iter().filter(|standing| Scope::new(scope).covers(&standing.row.key)).collect();
    if found.is_empty() {
        let keys = all.iter().map(|standing| &standing.row.key);
        return Err(SetupError::new(ExitCode::Usage, scopes::names_nothing(scope, keys)));
    }
    let data = found.iter().map(|standing| as_json(standing)).collect();
    done(common.either(|| found.iter().map(|standing| in_full(standing)).collect(), data))
}

fn in_full(Standing { row, read_to, words }: &Standing) -> String {
    format!(
        "{}\n  position     {words}\n  read up to   {}\n  newest event {}\n  up to date   {}\n  moved        {}\n  \
         main text    {}\n  side text    {}\n\n",
        row.key,
        shown(*read_to),
        shown(row.last_event_time),
        shown(row.complete),
        shown(row.cursor_updated),
        if row.cursor.is_unset() { "-" } else { &row.cursor.0 },
        if row.side.is_unset() { "-" } else { &row.side.0 },
    )
}

fn as_json(standing: &Standing) -> serde_json::Value {
    let Standing { row, read_to, words } = standing;
    json!({
        "feed": row.key.to_string(),
        "position": words,
        "read_to": read_to.map(Time::rfc3339),
        "newest_event": row.last_event_time.map(Time::rfc3339),
        "up_to_date": row.complete.map(Time::rfc3339),
        "moved": row.cursor_updated.map(Time::rfc3339),
        "cursor": row.cursor.0,
        "side": row.side.0,
    })
}

/// Every position as data, without anything of a page token.
///
/// # Errors
/// The store cannot be read.
pub(super) fn public(settings: &Settings) -> Result<serde_json::Value, SetupError> {
    let rows = standings(settings)?.into_iter().map(|standing| {
        let mut row = as_json(&standing);
        if let Some(row) = row.as_object_mut() {
            row.remove("cursor");
            row.remove("side");
            row.insert("position".to_owned(), without_token(&standing.words).into());
        }
        row
    });
    Ok(rows.collect())
}

/// A description shows where a token begins; that is enough to tell two apart, and more than a ticket needs.
fn without_token(words: &str) -> String {
    match words.split_once("token ") {
        Some((before, rest)) => {
            let after = rest.split_once('…').map_or("", |(_, after)| after);
            format!("{before}a token{after}")
        }
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leaves_no_beginning() {
        for (words, public) in [
            (
                "files after token eyJ0…, 3 of this listing read; falls back to 2026",
                "files after a token, 3 of this listing read; falls back to 2026",
            ),
            ("what comes after token eyJ0…", "what comes after a token"),
            ("read up to 2026-01-31T09:30:00.000Z", "read up to 2026-01-31T09:30:00.000Z"),
        ] {
            assert_eq!(without_token(words), public);
        }
    }

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(since("2026-01-31").unwrap().rfc3339(), "2026-01-31T00:00:00.000Z");
        assert_eq!(since("2026-01-31T09:30:00Z").unwrap().rfc3339(), "2026-01-31T09:30:00.000Z");
        assert_eq!(since("2026-01-31T09:30:00+02:00").unwrap().rfc3339(), "2026-01-31T07:30:00.000Z");
        let then = since("36h").unwrap();
        let ago = Clock::System.now().since(then).as_secs();
        assert!((129_600..129_700).contains(&ago), "{ago}");
        assert!(since("yesterday").is_err());
    }
}
