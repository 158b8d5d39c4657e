//! Positions moved and gaps wanted by an operator: the same work in the running daemon and, while none runs, in the
//! verb itself. A position is moved from where it was seen; a feed that reads at that moment starts over from the
//! new one.

use std::time::Duration;

use serde_json::{Value, json};

use super::requests::{Answer, Request};
use super::{repair, scopes, transfer};
use crate::clock::Time;
use crate::config::{Settings, Tenant};
use crate::cursor::{Cursor, FeedKey, Scope, Span, TimeSpan};
use crate::fault::Fault;
use crate::limits::{MAX_LISTED_ROWS, SET_LOOKS, STREAM_MEMORY, WINDOW_MEMORY};
use crate::mimecast::catalogue;
use crate::mimecast::feed::{Ask, Feed};
use crate::mimecast::position::Position;
use crate::scheduler::lost;
use crate::scheduler::side::Side;
use crate::setup_error::ExitCode;
use crate::store::{Accepted, Cause, Change, FeedRow, Gap, GapRow, Order, Store};
use crate::telemetry::notice::{Feed as News, Notice};

/// Where a feed is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Since(Time),
    /// As if it had never been polled.
    Beginning,
}

/// A movement worked out but not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub to: Cursor,
    /// What is still to be looked for besides.
    pub side: Side,
    /// Everything before it counts as read from now on.
    pub complete: Option<Time>,
    pub gap: Option<Gap>,
    /// Where reading stood; `None`: nobody knows.
    pub read_to: Option<Time>,
    pub starts: Time,
    /// For people: what will happen.
    pub words: String,
}

/// Carries a request out and says what was done.
pub async fn carry_out(store: &Store, settings: &Settings, now: Time, request: &Request) -> Answer {
    match scopes::misnamed(store, request.feeds(), request.sink()).await {
        Ok(None) => {}
        Ok(Some(why)) => return refused(format!("{why}. Nothing was changed")),
        Err(fault) => return unusable(&fault),
    }
    let done = match request {
        Request::Resume { .. } => Ok(refused("only a running daemon has something to resume".to_owned())),
        Request::CursorSet { scope, since, .. } if *since > now => {
            Ok(refused(format!("{scope}: {} lies in the future; nothing was changed", since.rfc3339())))
        }
        Request::CursorSet { scope, since, again } => {
            set_all(store, settings, now, (scope, *again), Target::Since(*since)).await
        }
        Request::CursorReset { scope, again } => {
            set_all(store, settings, now, (scope, *again), Target::Beginning).await
        }
        Request::CursorMigrate { from, to } => transfer::migrate(store, settings, now, (from, to)).await,
        Request::Backfill { scope } => backfill(store, now, scope).await,
        Request::AcceptGaps { gaps, scope, by, why, fetchable } => {
            let accepted = Accepted { by: by.clone(), why: why.clone() };
            repair::accept_gaps(store, now, (gaps, scope), *fetchable, &accepted).await
        }
        Request::DeadLettersAgain { pick } => repair::letters_again(store, now, pick).await,
        Request::DeadLettersDrop { pick } => repair::drop_letters(store, pick).await,
        Request::QuarantineAgain { pick } => repair::read_again(store, pick).await,
        Request::QuarantineDrop { pick } => repair::drop_quarantined(store, pick).await,
        Request::Replay { sink, scope, since, until } => {
            let order = Order { sink: sink.clone(), scope: scope.clone(), since: *since, until: *until };
            repair::replay(store, settings, &order).await
        }
        Request::ReplayEnd { replay } => repair::end_replay(store, *replay).await,
    };
    done.unwrap_or_else(|fault| unusable(&fault))
}

fn unusable(fault: &Fault) -> Answer {
    let text = format!("failed to use the store: {fault}\n");
    Answer { exit: ExitCode::Failed as u8, text, data: Value::Null }
}

fn refused(text: String) -> Answer {
    Answer { exit: ExitCode::Usage as u8, text: text + "\n", data: Value::Null }
}

/// A feed that is read from Mimecast; the daemon's own has no position to move.
pub fn is_read(row: &FeedRow) -> bool {
    catalogue::find(row.key.feed).is_some()
}

async fn set_all(
    store: &Store,
    settings: &Settings,
    now: Time,
    (scope, again): (&str, bool),
    target: Target,
) -> Result<Answer, Fault> {
    let named = Scope::new(scope);
    let rows: Vec<FeedRow> =
        store.feeds().await?.into_iter().filter(|row| named.covers(&row.key) && is_read(row)).collect();
    if rows.is_empty() || scope.is_empty() {
        return Ok(refused(format!(
            "{scope:?} names no feed of the store; `cursor list` shows them. Nothing was changed"
        )));
    }
    let (mut text, mut data, mut exit) = (String::new(), Vec::new(), ExitCode::Done);
    for row in rows {
        let tenant = settings.tenants.iter().find(|tenant| tenant.name == row.key.tenant);
        let done = set_one(store, tenant.map(AsRef::as_ref), now, &row.key, target, again).await?;
        match done {
            Ok(plan) => {
                text.push_str(&format!("{}: {}\n", row.key, plan.words));
                data.push(as_json(&row.key, &plan));
            }
            Err(why) => {
                exit = ExitCode::Failed;
                text.push_str(&format!("{}: {why}; it was left as it is\n", row.key));
                data.push(json!({ "feed": row.key.to_string(), "error": why }));
            }
        }
    }
    Ok(Answer { exit: exit as u8, text, data: data.into() })
}

fn as_json(key: &FeedKey, plan: &Plan) -> Value {
    let gap = plan.gap.as_ref();
    json!({
        "feed": key.to_string(),
        "read_to": plan.read_to.map(Time::rfc3339),
        "starts": plan.starts.rfc3339(),
        "gap": gap.map(|gap| json!({ "from": gap.span.from.rfc3339(), "to": gap.span.to.rfc3339() })),
        "words": plan.words,
    })
}

/// Moves one feed; an error in words leaves it where it is.
async fn set_one(
    store: &Store,
    tenant: Option<&Tenant>,
    now: Time,
    key: &FeedKey,
    target: Target,
    again: bool,
) -> Result<Result<Plan, String>, Fault> {
    let Some(feed) = catalogue::find(key.feed) else {
        return Ok(Err("this version does not know the feed".to_owned()));
    };
    // a feed that is just storing something moves on meanwhile
    for _ in 0..SET_LOOKS {
        let row = store.feed(key).await?;
        let plan = plan(feed, &row, tenant, now, target, again);
        if again {
            // before the move, in transactions of its own: a death between leaves repeats under known ids for what is
            // read twice anyway, and asking again does the rest. After it, the feed would pass over what it still knows
            store.forget(key).await?;
        }
        let change = Change {
            feed: key.clone(),
            from: row.cursor,
            to: plan.to.clone(),
            side: Span { from: row.side, to: plan.side.cursor() },
            complete: plan.complete,
            gaps: plan.gap.iter().cloned().collect(),
        };
        if store.set_position(&change).await? {
            tell(key, plan.gap.as_ref());
            return Ok(Ok(plan));
        }
    }
    Ok(Err("its position moved each time it was looked at".to_owned()))
}

/// The log line and the metric of a gap that has just been entered; while no daemon runs there is neither.
pub(super) fn tell(key: &FeedKey, gap: Option<&Gap>) {
    if let Some(gap) = gap {
        Notice::Feed(key, News::GapOpened { span: gap.span, why: &gap.detail }).emit();
    }
}

/// Works out what setting a feed means.
pub fn plan(
    feed: &Feed,
    row: &FeedRow,
    tenant: Option<&Tenant>,
    now: Time,
    target: Target,
    again: bool,
) -> Plan {
    let lookback = tenant.map_or(feed.retention, |tenant| tenant.lookback);
    let old = Position::open(feed, &row.cursor, now, lookback).ok().filter(|_| !row.cursor.is_unset());
    let known = lost::known(row);
    let read_to = old.as_ref().and_then(|old| old.read_to(known));
    let first = Position::first(feed, now, lookback);
    let (to, starts) = match target {
        Target::Beginning => (Cursor::unset(), first.starts_at()),
        Target::Since(at) => {
            let new = old.as_ref().unwrap_or(&first).rewound(feed, at, now);
            (new.cursor(), new.starts_at())
        }
    };
    // without its token such a log begins with the oldest that is kept, whatever one asks for
    let starts = if feed.ask == Ask::Archive { now.minus(feed.retention) } else { starts };
    // a listing begins with a whole day, of which a part may be forgotten
    let comes_back = starts.max(now.minus(feed.retention));
    let skipped = read_to.filter(|read_to| *read_to < comes_back);
    let began = row.begun.map(|at| at.minus(lookback.min(feed.retention)));
    let side = Side::read(&row.side).begun_at(began);
    // what was read once, and would have been again for rows that appear late, is passed as well
    let late = side.looks_back_to(now);
    let gap = skipped.map(|read_to| Gap {
        span: TimeSpan { from: late.map_or(read_to, |late| late.min(read_to)), to: comes_back },
        cause: Cause::SkippedByHand,
        detail: "the position was set past it".to_owned(),
        records: 0,
        fetchable: true,
    });
    let side = if gap.is_some() { side.set_past(starts) } else { side.set_by_hand(starts) };
    let complete = (target != Target::Beginning).then_some(comes_back);
    let twice = again_after(old.as_ref()).filter(|(memory, _)| starts < now.minus(*memory));
    let words = words(feed, (read_to, starts), target, (gap.as_ref(), again, twice), now);
    Plan { to, side, complete, gap, read_to, starts, words }
}

/// How long what was read at such a position is known, where that is less than what Mimecast keeps, and which event
/// ids it has when it is read again after that.
fn again_after(old: Option<&Position>) -> Option<(Duration, &'static str)> {
    match old? {
        Position::Window { .. } => Some((WINDOW_MEMORY, "the same")),
        Position::Stream(_) | Position::Batch { seam: Some(_), .. } => Some((STREAM_MEMORY, "other")),
        Position::Batch { seam: None, .. } | Position::Token(_) => None,
    }
}

fn words(
    feed: &Feed,
    (read_to, starts): (Option<Time>, Time),
    target: Target,
    (gap, again, twice): (Option<&Gap>, bool, Option<(Duration, &str)>),
    now: Time,
) -> String {
    let mut words = format!("reads from {} at its next poll", starts.rfc3339());
    if let Some(read_to) = read_to {
        words.push_str(&format!("; it had read up to {}", read_to.rfc3339()));
    }
    if let Target::Since(at) = target
        && at < now.minus(feed.retention)
    {
        let days = feed.retention.as_secs() / 86_400;
        words.push_str(&format!(
            "; Mimecast keeps {} for {days} days, so nothing before comes back",
            feed.name
        ));
    } else if let (Ask::Batch { .. }, Target::Since(_)) = (feed.ask, target) {
        words.push_str("; its files are listed by whole days");
    }
    match gap {
        Some(gap) => words.push_str(&format!(
            "; {} to {} is skipped and is in the ledger of gaps, `gaps backfill` fetches it",
            gap.span.from.rfc3339(),
            gap.span.to.rfc3339()
        )),
        None if read_to.is_none() => {}
        None if again => {
            words.push_str("; what it reads again is stored and delivered again, under the same event ids")
        }
        None => words.push_str(&match twice {
            None => "; what is known of it is not stored twice (`--again` would)".to_owned(),
            Some((memory, ids)) => format!(
                "; what was read of it in the last {} days is not stored twice (`--again` would), what was read \
                 before is stored and delivered once more, under {ids} event ids",
                memory.as_secs() / 86_400
            ),
        }),
    }
    words
}

// --- gaps -------------------------------------------------------------------------------------------------

/// What of a gap can still be fetched, and until when all of it can; `None`: nothing.
pub fn fetchable(gap: &GapRow, now: Time) -> Option<(TimeSpan, Time)> {
    let feed = catalogue::find(gap.feed.feed)?;
    let kept = now.minus(feed.retention);
    let able = gap.fetchable && feed.reads_spans() && gap.closed.is_none() && gap.span.to > kept;
    let span = TimeSpan { from: gap.span.from.max(kept), to: gap.span.to };
    able.then(|| (span, span.from.plus(feed.retention)))
}

/// Every gap of the ledger in `scope`, oldest entry first.
///
/// # Errors
/// The store's.
pub async fn gaps(store: &Store, scope: &str) -> Result<Vec<GapRow>, Fault> {
    let (mut all, mut after, named) = (Vec::new(), 0, Scope::new(scope));
    loop {
        let page = store.gaps_list(after, MAX_LISTED_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        all.extend(page.into_iter().filter(|gap| named.covers(&gap.feed)));
    }
    Ok(all)
}

async fn backfill(store: &Store, now: Time, scope: &str) -> Result<Answer, Fault> {
    let open: Vec<GapRow> =
        gaps(store, scope).await?.into_iter().filter(|gap| gap.closed.is_none()).collect();
    let (mut text, mut data, mut wanted) = (String::new(), Vec::new(), 0);
    for gap in &open {
        let span = fetchable(gap, now).map(|(span, _)| span);
        let asked = span.is_some() && store.want_gap(gap.id).await?;
        wanted += usize::from(asked);
        let what = match (asked, span) {
            (true, Some(span)) if span.from > gap.span.from => {
                format!("is fetched from {} on; what is older Mimecast no longer has", span.from.rfc3339())
            }
            (true, _) => "is fetched after the next poll of its feed".to_owned(),
            _ => "cannot be fetched any more".to_owned(),
        };
        let (from, to) = (gap.span.from.rfc3339(), gap.span.to.rfc3339());
        text.push_str(&format!("gap {}: {} {from} to {to} {what}\n", gap.id, gap.feed));
        data.push(
            json!({ "gap": gap.id, "feed": gap.feed.to_string(), "from": from, "to": to, "wanted": asked }),
        );
    }
    text.push_str(&match (open.len(), wanted) {
        (0, _) => "no gap is open\n".to_owned(),
        (_, 0) => "nothing of it can be fetched any more\n".to_owned(),
        (_, n) => format!("{n} to be fetched; `gaps` shows when they are closed\n"),
    });
    Ok(Answer { exit: ExitCode::Done as u8, text, data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mimecast::catalogue::find;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
    const HOUR: Duration = Duration::from_secs(3_600);

    fn row(feed: &'static str, position: &Position, complete: Time) -> FeedRow {
        FeedRow {
            key: FeedKey { tenant: "acme".into(), feed },
            cursor: position.cursor(),
            cursor_updated: None,
            last_event_time: Some(complete),
            reached: Some(complete),
            last_success: Some(complete),
            listed: 0,
            stored: 0,
            duplicate: 0,
            quarantined: 0,
            gap: 0,
            side: Cursor::unset(),
            complete: Some(complete),
            begun: None,
        }
    }

    fn set(feed: &'static str, read_to: Time, target: Target) -> Plan {
        let row_feed = find(feed).unwrap();
        let old = Position::first(row_feed, read_to, Duration::ZERO).forward("token", true, read_to);
        plan(row_feed, &row(feed, &old, read_to), None, NOW, target, false)
    }

    #[test]
    fn setting_back_reads_again_and_leaves_no_gap() {
        let plan = set("audit", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 30)));
        assert_eq!((plan.starts, plan.gap.as_ref()), (NOW.minus(HOUR * 30), None));
        assert!(plan.words.contains("not stored twice"), "{}", plan.words);
        let plan = set("siem.av", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 30)));
        assert_eq!(plan.starts.rfc3339(), "2025-12-31T00:00:00.000Z");
        assert!(plan.words.contains("whole days"), "{}", plan.words);
    }

    /// The memory of what was read is shorter than Mimecast's, and the answer does not promise more.
    #[test]
    fn setting_back_further_than_is_remembered_says_what_comes_twice() {
        let plan = set("audit", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 24 * 21)));
        assert!(plan.words.contains("in the last 4 days is not stored twice"), "{}", plan.words);
        assert!(plan.words.contains("once more, under the same event ids"), "{}", plan.words);
        let plan = set("audit", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 24 * 3)));
        assert!(!plan.words.contains("once more"), "{}", plan.words);
        let plan = set("siem.av", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 24 * 6)));
        assert!(
            !plan.words.contains("once more"),
            "files are known as long as they are listed: {}",
            plan.words
        );
    }

    #[test]
    fn setting_forward_puts_exactly_what_is_skipped_into_the_ledger() {
        let (read_to, since) = (NOW.minus(HOUR * 50), NOW.minus(HOUR * 2));
        let gap = set("audit", read_to, Target::Since(since)).gap.unwrap();
        assert_eq!((gap.span, gap.fetchable), (TimeSpan { from: read_to, to: since }, true));
        let gap = set("siem.av", read_to, Target::Since(since)).gap.unwrap();
        assert_eq!(gap.span.from, read_to);
        assert_eq!(gap.span.to.rfc3339(), "2026-01-01T00:00:00.000Z", "its day is read as a whole");
        assert_eq!(set("siem.av", NOW.minus(HOUR), Target::Since(since)).gap, None, "that day is being read");
    }

    /// Without its token this log begins with the oldest there is: nothing is skipped.
    #[test]
    fn a_log_that_can_only_be_read_from_the_oldest_is_not_set_forward() {
        let feed = find("siem.mta").unwrap();
        let old = Position::first(feed, NOW.minus(HOUR * 50), HOUR);
        let row = row("siem.mta", &old, NOW.minus(HOUR * 50));
        let plan = plan(feed, &row, None, NOW, Target::Since(NOW.minus(HOUR * 2)), false);
        assert_eq!((plan.gap, plan.starts), (None, NOW.minus(feed.retention)));
    }

    /// Rows of the two days before may still appear: without a sweep they are missing as well.
    #[test]
    fn setting_forward_passes_what_was_to_be_read_again() {
        let feed = find("audit").unwrap();
        let (read_to, since) = (NOW.minus(HOUR * 5), NOW.minus(HOUR * 2));
        let old = Position::Window { high: read_to, pass: 9, reading: None };
        let swept = |side: Side| {
            Side::read(&Cursor(side.cursor().0.replace("\"floor\"", "\"swept\":1767254400000,\"floor\"")))
        };
        let side = swept(Side::read(&Cursor::unset()).set_by_hand(NOW.minus(HOUR * 24 * 9)));
        let row = FeedRow { side: side.cursor(), ..row("audit", &old, read_to) };
        let forward = plan(feed, &row, None, NOW, Target::Since(since), false);
        assert_eq!(forward.gap.unwrap().span, TimeSpan { from: NOW.minus(HOUR * 48), to: since });
        assert_eq!(forward.side.looks_back_to(NOW), Some(since));
        let unseen = FeedRow { side: Cursor::unset(), begun: Some(NOW.minus(HOUR)), ..row.clone() };
        let set = plan(feed, &unseen, None, NOW, Target::Since(NOW.minus(HOUR * 6)), false);
        assert_eq!(set.side.looks_back_to(NOW), Some(NOW.minus(HOUR * 48)), "also before it was ever swept");
        let back = plan(feed, &row, None, NOW, Target::Since(NOW.minus(HOUR * 6)), false);
        assert_eq!((back.gap, back.side), (None, side));
    }

    #[test]
    fn setting_behind_mimecast_s_memory_says_so() {
        let plan = set("siem.av", NOW.minus(HOUR), Target::Since(NOW.minus(HOUR * 24 * 20)));
        assert!(plan.words.contains("for 7 days"), "{}", plan.words);
        assert_eq!(plan.starts.rfc3339(), "2025-12-25T00:00:00.000Z");
    }

    #[test]
    fn a_reset_over_a_long_time_is_a_gap_too() {
        let feed = find("audit").unwrap();
        let old = Position::Window { high: NOW.minus(HOUR * 24 * 70), pass: 1, reading: None };
        let row = row("audit", &old, NOW);
        let plan = plan(feed, &row, None, NOW, Target::Beginning, false);
        assert!(plan.to.is_unset());
        assert_eq!(plan.gap.unwrap().span.to, NOW.minus(feed.retention));
    }

    #[test]
    fn what_can_still_be_fetched_of_a_gap() {
        let gap = |days_from: u32, days_to: u32, fetchable| GapRow {
            id: 1,
            feed: FeedKey { tenant: "acme".into(), feed: "siem.av" },
            span: TimeSpan { from: NOW.minus(HOUR * 24 * days_from), to: NOW.minus(HOUR * 24 * days_to) },
            cause: String::new(),
            detail: String::new(),
            records: 0,
            found: NOW,
            closed: None,
            fetchable,
            wanted: None,
            accepted: None,
        };
        let whole = gap(3, 2, true);
        assert_eq!(fetchable(&whole, NOW), Some((whole.span, NOW.plus(HOUR * 24 * 4))));
        let part = fetchable(&gap(9, 2, true), NOW).unwrap().0;
        assert_eq!(part.from, NOW.minus(HOUR * 24 * 7));
        assert_eq!(fetchable(&gap(9, 8, true), NOW), None);
        assert_eq!(fetchable(&gap(3, 2, false), NOW), None);
        assert_eq!(fetchable(&GapRow { closed: Some(NOW), ..gap(3, 2, true) }, NOW), None);
    }
}
