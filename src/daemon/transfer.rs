//! From one generation of the API to the next, or from one tenant's name to another: the new feeds begin where the
//! old ones stopped, with an overlap, so that the change costs no event.

use serde_json::{Value, json};

use super::positions;
use super::requests::Answer;
use crate::clock::Time;
use crate::config::Settings;
use crate::cursor::{Cursor, FeedKey, Span, TimeSpan};
use crate::fault::Fault;
use crate::limits::MIGRATION_OVERLAP;
use crate::mimecast::catalogue;
use crate::mimecast::feed::{Ask, Feed};
use crate::mimecast::position::Position;
use crate::scheduler::lost;
use crate::scheduler::side::Side;
use crate::setup_error::ExitCode;
use crate::store::{Cause, Change, FeedRow, Gap, Store};

/// The one log of API 1.0 whose events the ten `siem.*` feeds of API 2.0 bring.
const OLD_LOG: &str = "siem.mta";

/// Where a feed of the new tenant begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// After the old feed of that name, which had read up to there.
    After { old: &'static str, read_to: Time, position: Position },
    /// It has a position of its own.
    Kept,
    /// The old tenant had nothing to go on from.
    Fresh,
}

/// Gives every feed of tenant `to` that was never polled a position after what tenant `from` has read.
///
/// # Errors
/// The store's.
pub async fn migrate(
    store: &Store,
    settings: &Settings,
    now: Time,
    (from, to): (&str, &str),
) -> Result<Answer, Fault> {
    let rows = store.feeds().await?;
    let old: Vec<FeedRow> = rows.iter().filter(|row| row.key.tenant == from).cloned().collect();
    let Some(tenant) = settings.tenants.iter().find(|tenant| tenant.name == to) else {
        return Ok(failed(format!("there is no tenant {to} in the configuration; nothing was changed")));
    };
    if old.is_empty() {
        return Ok(failed(format!("the store knows no feed of tenant {from}; nothing was changed")));
    }
    let (mut text, mut data) = (String::new(), Vec::new());
    for configured in &tenant.feeds {
        let Some(feed) = catalogue::find(configured.name) else { continue };
        let key = FeedKey { tenant: to.to_owned(), feed: feed.name };
        let row = store.register_feed(&key).await?;
        let begin = begin(feed, &row, &old, now, configured.overlap);
        if let Begin::After { position, read_to, old: name } = &begin {
            let side = side(name, &old).set_by_hand(position.starts_at());
            let gap = forgotten(feed, *read_to, now);
            let change = Change {
                feed: key.clone(),
                from: row.cursor.clone(),
                to: position.cursor(),
                side: Span { from: row.side.clone(), to: side.cursor() },
                complete: Some((*read_to).max(now.minus(feed.retention))),
                gaps: gap.iter().cloned().collect(),
            };
            if !store.set_position(&change).await? {
                text.push_str(&format!("{key}: has begun meanwhile and keeps its position\n"));
                continue;
            }
            positions::tell(&key, gap.as_ref());
        }
        text.push_str(&format!("{key}: {}\n", words(feed, &begin, from, now)));
        data.push(as_json(&key, &begin));
    }
    Ok(Answer { exit: ExitCode::Done as u8, text, data: data.into() })
}

/// What is still to be read again for late rows of what the old feed has read: by the new one now.
fn side(name: &str, old: &[FeedRow]) -> Side {
    let row = old.iter().find(|row| row.key.feed == name);
    row.map_or_else(|| Side::read(&Cursor::unset()), |row| Side::read(&row.side))
}

/// What Mimecast has forgotten since the old feed stopped.
fn forgotten(feed: &Feed, read_to: Time, now: Time) -> Option<Gap> {
    let kept = now.minus(feed.retention);
    (read_to < kept).then(|| Gap {
        span: TimeSpan { from: read_to, to: kept },
        cause: Cause::BeyondRetention,
        detail: "the old feed had stopped before what Mimecast keeps".to_owned(),
        records: 0,
        fetchable: false,
    })
}

fn failed(text: String) -> Answer {
    Answer { exit: ExitCode::Usage as u8, text: text + "\n", data: Value::Null }
}

/// Where `feed` begins, given its row and those of the old tenant.
pub fn begin(feed: &Feed, row: &FeedRow, old: &[FeedRow], now: Time, overlap: std::time::Duration) -> Begin {
    // a feed that has never got an answer stands where it began, and has nothing to keep
    if !row.cursor.is_unset() && row.last_success.is_some() {
        return Begin::Kept;
    }
    let read_to = |row: &FeedRow| {
        let known = lost::known(row);
        let feed = catalogue::find(row.key.feed);
        let position = feed.and_then(|feed| Position::open(feed, &row.cursor, now, feed.retention).ok());
        let position = position.filter(|_| !row.cursor.is_unset());
        // a log that this version does not read any more still left its newest event behind
        position.and_then(|position| position.read_to(known)).or(row.reached.min(row.last_success))
    };
    let gateway = feed.name.starts_with("siem.") && matches!(feed.ask, Ask::Batch { .. });
    let after = |name: &str| {
        let row = old.iter().find(|old| old.key.feed == name && old.key != row.key)?;
        Some((row.key.feed, read_to(row)?))
    };
    let Some((old, read_to)) = after(feed.name).or_else(|| gateway.then(|| after(OLD_LOG)).flatten()) else {
        return Begin::Fresh;
    };
    let overlap = overlap.max(MIGRATION_OVERLAP);
    let position = Position::first(feed, now, feed.retention).rewound(feed, read_to.minus(overlap), now);
    Begin::After { old, read_to, position }
}

fn words(feed: &Feed, begin: &Begin, from: &str, now: Time) -> String {
    match begin {
        Begin::Kept => "keeps the position it has".to_owned(),
        Begin::Fresh => {
            format!("tenant {from} has read nothing it could go on from; it starts at its lookback")
        }
        Begin::After { old, read_to, position } => {
            let starts = position.starts_at();
            let overlap = jiff::SignedDuration::from_millis(read_to.0.saturating_sub(starts.0));
            let beyond = if forgotten(feed, *read_to, now).is_some() {
                "; what lies between is older than Mimecast keeps and is in the ledger of gaps".to_owned()
            } else {
                let late = match feed.ask {
                    Ask::Window { .. } => {
                        ", and two days by its daily sweep, for rows that appear late; what both have read arrives \
                         under two ids"
                    }
                    _ => "",
                };
                format!("; {overlap:#} before that are read by both{late}")
            };
            format!(
                "starts at {}; {from}/{old} had read up to {}{beyond}",
                starts.rfc3339(),
                read_to.rfc3339()
            )
        }
    }
}

fn as_json(key: &FeedKey, begin: &Begin) -> Value {
    let (how, old, read_to, starts) = match begin {
        Begin::Kept => ("kept", None, None, None),
        Begin::Fresh => ("fresh", None, None, None),
        Begin::After { old, read_to, position } => {
            ("after", Some(*old), Some(read_to.rfc3339()), Some(position.starts_at().rfc3339()))
        }
    };
    json!({ "feed": key.to_string(), "begins": how, "after": old, "read_to": read_to, "starts": starts })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mimecast::catalogue::find;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
    const HOUR: Duration = Duration::from_secs(3_600);

    fn row(tenant: &str, feed: &'static str, cursor: &str, newest: Option<Time>) -> FeedRow {
        FeedRow {
            key: FeedKey { tenant: tenant.into(), feed },
            cursor: Cursor(cursor.into()),
            cursor_updated: None,
            last_event_time: newest,
            reached: newest,
            last_success: newest.map(|at| at.plus(HOUR)),
            listed: 0,
            stored: 0,
            duplicate: 0,
            quarantined: 0,
            gap: 0,
            side: Cursor::unset(),
            complete: None,
            begun: None,
        }
    }

    /// The one log of API 1.0 hands over to every feed of the gateway; the functions keep what they have.
    #[test]
    fn feeds_of_the_new_generation_begin_where_the_old_log_stopped() {
        let stopped = NOW.minus(HOUR * 20);
        let window = Position::Window { high: stopped, pass: 9, reading: None }.cursor();
        let old = [
            row("acme", OLD_LOG, "whatever 1.0 wrote", Some(stopped)),
            row("acme", "audit", &window.0, Some(stopped)),
        ];
        for name in ["siem.receipt", "siem.attachment-protect"] {
            let feed = find(name).unwrap();
            let Begin::After { old, read_to, position } =
                begin(feed, &row("acme", name, "", None), &old, NOW, HOUR)
            else {
                panic!("{name} starts anew")
            };
            assert_eq!((old, read_to), (OLD_LOG, stopped));
            assert_eq!(
                position.starts_at().rfc3339(),
                "2025-12-31T00:00:00.000Z",
                "files are listed by days"
            );
        }
        assert_eq!(
            begin(find("ci.mailflow").unwrap(), &row("acme", "ci.mailflow", "", None), &old, NOW, HOUR),
            Begin::Fresh
        );
        assert_eq!(
            begin(find("audit").unwrap(), &row("acme", "audit", &window.0, Some(stopped)), &old, NOW, HOUR),
            Begin::Kept
        );
        let refused = row("acme-2", "audit", &window.0, None);
        let begun = begin(find("audit").unwrap(), &refused, &old, NOW, HOUR);
        assert!(matches!(begun, Begin::After { .. }), "it has never got an answer: {begun:?}");
        let Begin::After { position, .. } =
            begin(find("audit").unwrap(), &row("acme-2", "audit", "", None), &old, NOW, HOUR)
        else {
            panic!("another tenant's audit log starts anew")
        };
        assert_eq!(position.starts_at(), stopped.minus(HOUR), "with an overlap");
    }

    #[test]
    fn what_stopped_too_long_ago_is_taken_up_where_memory_begins() {
        let old = [row("acme", OLD_LOG, "x", Some(NOW.minus(HOUR * 24 * 30)))];
        let feed = find("siem.av").unwrap();
        let begun = begin(feed, &row("acme", "siem.av", "", None), &old, NOW, HOUR);
        let said = words(feed, &begun, "acme", NOW);
        assert!(said.contains("older than Mimecast keeps and is in the ledger"), "{said}");
        let Begin::After { read_to, .. } = begun else { panic!("{begun:?}") };
        let gap = forgotten(feed, read_to, NOW).unwrap();
        let span = TimeSpan { from: NOW.minus(HOUR * 24 * 30), to: NOW.minus(HOUR * 24 * 7) };
        assert_eq!((gap.span, gap.fetchable), (span, false));
    }
}
