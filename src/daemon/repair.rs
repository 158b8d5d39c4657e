//! What operators do about dead letters, the quarantine, gaps and stored events: the same work in the running daemon and,
//! while none runs, in the verb itself.

use serde_json::{Value, json};

use super::positions;
use super::requests::Answer;
use crate::clock::Time;
use crate::config::Settings;
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::{CHUNK_TARGET_BYTES, MAX_LISTED_ROWS, MAX_REASON_BYTES};
use crate::mimecast::{again, catalogue};
use crate::setup_error::ExitCode;
use crate::store::{Accepted, GapRow, Order, Pick, QuarantineRow, Readmitted, Shelf, Store};
use crate::telemetry::notice::{Feed as News, Notice};

fn answer(exit: ExitCode, text: String, data: Value) -> Answer {
    Answer { exit: exit as u8, text: text + "\n", data }
}

fn nothing(what: &str, verb: &str, pick: &Pick) -> Answer {
    let exit = if pick.ids.is_empty() { ExitCode::Done } else { ExitCode::Failed };
    answer(exit, format!("no {what} fits; `{verb} list` shows what there is"), json!({ "items": 0 }))
}

fn none_dropped(what: &str, verb: &str, pick: &Pick) -> Answer {
    // a filter that fits nothing is mistyped more often than not
    let exit = if pick.is_all() { ExitCode::Done } else { ExitCode::Failed } as u8;
    Answer { exit, data: json!({ "dropped": 0 }), ..nothing(what, verb, pick) }
}

fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn dropped(what: &str, column: &str, n: u64) -> Answer {
    let text = format!("{} dropped; the accounts keep counting what was {column}", counted(n, what));
    answer(ExitCode::Done, text, json!({ "dropped": n }))
}

// --- dead letters -----------------------------------------------------------------------------------------

pub(super) async fn drop_letters(store: &Store, pick: &Pick) -> Result<Answer, Fault> {
    Ok(match store.drop_dead_letters(pick).await? {
        0 => none_dropped("dead letter", "dead-letters", pick),
        n => dropped("dead letter", "dead-lettered", n),
    })
}

pub(super) async fn letters_again(store: &Store, now: Time, pick: &Pick) -> Result<Answer, Fault> {
    let all = store.count_on(Shelf::DeadLetters, pick).await?;
    if all == 0 {
        return Ok(nothing("dead letter", "dead-letters", pick));
    }
    let sinks = store.want_dead_letters(pick).await?;
    let wanted: u64 = sinks.iter().map(|(_, letters)| letters).sum();
    let mut lines: Vec<String> = sinks
        .iter()
        .map(|(sink, letters)| format!("sink {sink} gets {} once more", counted(*letters, "dead letter")))
        .collect();
    if wanted < all {
        let stay = counted(all - wanted, "dead letter");
        lines.push(format!("not sent, because the sink is not in the configuration: {stay}"));
    }
    let exit = if wanted == 0 { ExitCode::Failed } else { ExitCode::Done };
    let names: Vec<&str> = sinks.iter().map(|(sink, _)| sink.as_str()).collect();
    let data = json!({ "wanted": wanted, "stay": all - wanted, "sinks": names, "asked": now.rfc3339(), "asked_ms": now.0 });
    Ok(answer(exit, lines.join("\n"), data))
}

// --- quarantine -------------------------------------------------------------------------------------------

pub(super) async fn drop_quarantined(store: &Store, pick: &Pick) -> Result<Answer, Fault> {
    Ok(match store.drop_quarantined(pick).await? {
        0 => none_dropped("quarantined item", "quarantine", pick),
        n => dropped("quarantined item", "quarantined", n),
    })
}

/// Items of one file that are read together.
struct Group {
    feed: FeedKey,
    source: String,
    file: String,
    json: bool,
    ids: Vec<i64>,
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

/// What came of all items.
#[derive(Default)]
struct Outcome {
    done: Readmitted,
    unread: u64,
    /// Evidence that is no record, or of which only the beginning is kept.
    evidence: u64,
    /// What is wrong with the first of those that stay.
    first: Option<String>,
}

pub(super) async fn read_again(store: &Store, pick: &Pick) -> Result<Answer, Fault> {
    let (mut after, mut outcome, mut group) = (0, Outcome::default(), None::<Group>);
    let mut seen = 0_u64;
    loop {
        let page = store.quarantine_list(pick, after, MAX_LISTED_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in &page {
            seen += 1;
            let Some((source, file)) = whole_record(row) else {
                outcome.evidence += 1;
                continue;
            };
            let Some(bytes) = store.quarantine_bytes(row.id).await? else { continue };
            let json = bytes.first() == Some(&b'{');
            let fits = |group: &Group| {
                group.feed == row.feed
                    && (group.source == source && group.file == file && group.json == json)
                    && group.bytes + bytes.len() <= CHUNK_TARGET_BYTES
            };
            if !group.as_ref().is_some_and(fits) {
                read_group(store, group.take(), &mut outcome).await?;
            }
            let group = group.get_or_insert_with(|| Group {
                feed: row.feed.clone(),
                source: source.to_owned(),
                file: file.to_owned(),
                json,
                ids: Vec::new(),
                pieces: Vec::new(),
                bytes: 0,
            });
            group.ids.push(row.id);
            group.bytes += bytes.len();
            group.pieces.push(bytes);
        }
    }
    read_group(store, group, &mut outcome).await?;
    if seen == 0 {
        return Ok(nothing("quarantined item", "quarantine", pick));
    }
    Ok(told(&outcome))
}

/// A record that is kept as a whole: its file, and the member of it whose name tells the record's type.
fn whole_record(row: &QuarantineRow) -> Option<(&str, &str)> {
    let (source, _) = row.source.rsplit_once(", line ")?;
    (row.kept == row.len).then(|| (source, row.detail.split_once(": ").map_or(source, |(file, _)| file)))
}

async fn read_group(store: &Store, group: Option<Group>, outcome: &mut Outcome) -> Result<(), Fault> {
    let Some(group) = group else { return Ok(()) };
    let Some(feed) = catalogue::find(group.feed.feed) else {
        outcome.evidence += group.ids.len() as u64; // of a feed that this version does not read
        return Ok(());
    };
    let again = again::read(feed, &group.feed.tenant, (&group.source, &group.file), &group.pieces);
    outcome.unread += (group.ids.len() - again.read.len()) as u64;
    outcome.first = outcome.first.take().or(again.unread.into_iter().next());
    if let Some(chunk) = again.chunk {
        let ids: Vec<i64> = again.read.iter().filter_map(|place| group.ids.get(*place)).copied().collect();
        let done = store.readmit(&group.feed, chunk, &ids).await?;
        let news = News::Readmitted { source: &group.source, events: done.stored, duplicate: done.duplicate };
        Notice::Feed(&group.feed, news).emit();
        outcome.done.stored += done.stored;
        outcome.done.duplicate += done.duplicate;
    }
    Ok(())
}

fn told(outcome: &Outcome) -> Answer {
    let Outcome { done, unread, evidence, first } = outcome;
    let mut lines = vec![format!("{} became events and go to the sinks", counted(done.stored, "item"))];
    if done.duplicate > 0 {
        lines.push(format!("{} had come in readable meanwhile", done.duplicate));
    }
    if *unread > 0 {
        let first = first.as_deref().unwrap_or("for the reason they were quarantined for");
        lines.push(format!("{unread} still cannot be read: {first}"));
    }
    if *evidence > 0 {
        lines.push(format!(
            "{evidence} are no single records (damaged files, or only their beginning is kept): `cursor set --since` \
             fetches them again, while Mimecast has them"
        ));
    }
    let read = done.stored + done.duplicate;
    let exit = if read == 0 { ExitCode::Failed } else { ExitCode::Done };
    let data = json!({
        "stored": done.stored, "duplicate": done.duplicate, "unreadable": unread, "evidence": evidence, "first": first,
    });
    answer(exit, lines.join("\n"), data)
}

// --- gaps -------------------------------------------------------------------------------------------------

/// Closes open gaps that stay lost. One that Mimecast still has is left open, unless `fetchable`: it need not be lost.
pub(super) async fn accept_gaps(
    store: &Store,
    now: Time,
    (ids, scope): (&[i64], &str),
    fetchable: bool,
    accepted: &Accepted,
) -> Result<Answer, Fault> {
    let fits = |text: &str| !text.trim().is_empty() && text.len() <= MAX_REASON_BYTES;
    if !fits(&accepted.by) || !fits(&accepted.why) {
        let text =
            format!("say in 1 to {MAX_REASON_BYTES} bytes why the loss is accepted; nothing was changed");
        return Ok(answer(ExitCode::Usage, text, Value::Null));
    }
    let named = |gap: &GapRow| gap.closed.is_none() && (ids.is_empty() || ids.contains(&gap.id));
    let open: Vec<GapRow> = positions::gaps(store, scope).await?.into_iter().filter(named).collect();
    let (mut lines, mut data, mut done) = (Vec::new(), Vec::new(), 0);
    for gap in &open {
        let kept = positions::fetchable(gap, now).filter(|_| !fetchable);
        let closed = kept.is_none() && store.accept_gap(gap.id, accepted).await?;
        let what = match kept {
            Some((_, until)) => format!(
                "stays open: Mimecast has it until {}; `gaps backfill` fetches it, `--fetchable` accepts it all the same",
                until.rfc3339()
            ),
            None if closed => "is accepted as lost".to_owned(),
            None => "was closed meanwhile".to_owned(),
        };
        if closed {
            done += 1;
            let news = News::GapAccepted { span: gap.span, by: &accepted.by, why: &accepted.why };
            Notice::Feed(&gap.feed, news).emit();
        }
        let (from, to) = (gap.span.from.rfc3339(), gap.span.to.rfc3339());
        lines.push(format!("gap {}: {} {from} to {to} {what}", gap.id, gap.feed));
        data.push(json!({ "gap": gap.id, "feed": gap.feed.to_string(), "from": from, "to": to, "accepted": closed }));
    }
    for id in ids.iter().filter(|id| !open.iter().any(|gap| gap.id == **id)) {
        lines.push(format!("gap {id}: is not open; `gaps --all` shows them"));
        data.push(json!({ "gap": id, "accepted": false }));
    }
    lines.push(match done {
        0 => "no gap was accepted".to_owned(),
        n => {
            format!("{} accepted as lost; `gaps --all` keeps saying so, with who and why", counted(n, "gap"))
        }
    });
    let missed = done == 0 || done < ids.len() as u64;
    let exit = if missed { ExitCode::Failed } else { ExitCode::Done };
    Ok(answer(exit, lines.join("\n"), data.into()))
}

// --- replay -----------------------------------------------------------------------------------------------

pub(super) async fn replay(store: &Store, settings: &Settings, order: &Order) -> Result<Answer, Fault> {
    let usage = |text: String| Ok(answer(ExitCode::Usage, text, Value::Null));
    let names: Vec<&str> = settings.sinks.iter().map(|sink| sink.name.as_str()).collect();
    if !names.contains(&order.sink.as_str()) {
        return usage(format!("there is no sink {}; the sinks are: {}", order.sink, names.join(", ")));
    }
    if order.since >= order.until {
        return usage("--since is not before --until: nothing lies between".to_owned());
    }
    if store.sink_position(&order.sink).await?.is_none() {
        let text = format!("sink {} is not known to the store yet: start the daemon first", order.sink);
        return Ok(answer(ExitCode::TryLater, text, Value::Null));
    }
    let replay = store.add_replay(order).await?;
    let data = json!({ "replay": replay.id, "sink": replay.sink, "events": replay.total });
    if replay.total == 0 {
        store.end_replay(replay.id, "nothing of that time was stored").await?;
        let until = if order.until == Time(i64::MAX) { "now".to_owned() } else { order.until.rfc3339() };
        let text = format!(
            "nothing to replay: of {} there is no stored event from {} to {until} that sink {} has dealt with. Delivered \
             events are kept for [store] retention = {}",
            replay.scope,
            order.since.rfc3339(),
            order.sink,
            humantime::format_duration(settings.store.retention)
        );
        return Ok(answer(ExitCode::Failed, text, data));
    }
    let text = format!(
        "replay {}: {} stored events are looked through for sink {}, between its new ones",
        replay.id, replay.total, replay.sink
    );
    Ok(answer(ExitCode::Done, text, data))
}

pub(super) async fn end_replay(store: &Store, id: i64) -> Result<Answer, Fault> {
    let ended = store.end_replay(id, "ended by an operator").await?;
    let (exit, text) = match (ended, store.replay(id).await?) {
        (true, Some(replay)) => {
            (ExitCode::Done, format!("replay {id} is ended; {} events had been sent", replay.sent))
        }
        (_, Some(_)) => (ExitCode::Done, format!("replay {id} had ended before")),
        (_, None) => (ExitCode::Failed, format!("there is no replay {id}; `replay list` shows them")),
    };
    Ok(answer(exit, text, json!({ "replay": id, "ended": ended })))
}
