//! `replay`: stored events go to a sink once more.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::asking::asked;
use super::following::{Reached, follow};
use super::{Common, Printed, with_store};
use crate::clock::Time;
use crate::daemon::requests::Request;
use crate::fault::Fault;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Replay as Row, Store};

/// What is sent once more.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    override_usage = "mimecollectd replay --sink <NAME> --since <TIME> [OPTIONS]\n       mimecollectd replay <COMMAND>"
)]
pub struct Replay {
    #[command(flatten)]
    common: Common,
    /// To this sink, with its own format and filter.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Events of these feeds: `acme`, `acme/audit` or `acme/siem.*`; without it all.
    #[arg(long, value_name = "SCOPE", default_value = "", hide_default_value = true)]
    feed: String,
    /// Events of then and later: a time (2026-01-31T09:30:00Z), a day (2026-01-31), or how long ago (36h).
    #[arg(long, value_name = "TIME", value_parser = super::cursor::since)]
    since: Option<Time>,
    /// Events before then; without it up to now.
    #[arg(long, value_name = "TIME", value_parser = super::cursor::since)]
    until: Option<Time>,
    /// Do not wait until all is sent.
    #[arg(long)]
    no_wait: bool,
    #[command(subcommand)]
    verb: Option<Replays>,
}

/// What can be done about replays.
#[derive(Subcommand)]
pub enum Replays {
    /// Replays and how far each has come, newest first.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// End a replay before its end. What it has sent stays sent.
    Cancel {
        #[command(flatten)]
        common: Common,
        /// Its number, as `replay list` has it.
        #[arg(value_parser = super::picking::number)]
        id: i64,
    },
}

/// Has stored events sent once more, or prints how far that has come.
pub fn replay(replay: &Replay) -> Printed {
    match &replay.verb {
        Some(Replays::List { common }) => list(common),
        Some(Replays::Cancel { common, id }) => {
            asked(&Request::ReplayEnd { replay: *id }, common)?.print(common)
        }
        None => order(replay),
    }
}

fn order(replay: &Replay) -> Printed {
    let (Some(sink), Some(since)) = (&replay.sink, replay.since) else {
        let text = "say which sink gets the events and from when on: `replay --sink NAME --since TIME`";
        return Err(SetupError::new(ExitCode::Usage, text));
    };
    let (sink, scope) = (sink.clone(), replay.feed.clone());
    let until = replay.until.unwrap_or(Time(i64::MAX));
    let done = asked(&Request::Replay { sink, scope, since, until }, &replay.common)?;
    let id = done.value("replay").as_i64();
    let begun = done.answer.exit == ExitCode::Done as u8;
    let Some(id) = id.filter(|_| begun && !replay.no_wait && done.by_daemon) else {
        return done.and_later(begun, "it begins when the daemon runs").print(&replay.common);
    };
    match follow(&done.settings, &format!("replay {id}"), async |store: &Store| look(store, id).await) {
        Err(refused) if refused.exit == ExitCode::Permission => return done.unseen().print(&replay.common),
        followed => drop(followed?),
    }
    let end = with_store(&replay.common, async |store| store.replay(id).await)?;
    let Some(end) = end else { return super::done(String::new()) };
    let complete = end.refused == 0 && end.gone() == 0 && end.words.is_empty();
    let exit = if complete { ExitCode::Done } else { ExitCode::Failed };
    let text = format!("replay {id}: {}\n", words(&end));
    Ok((replay.common.either(|| text, as_json(&end)), exit))
}

async fn look(store: &Store, id: i64) -> Result<Reached, Fault> {
    let row = store.replay(id).await?;
    Ok(row.map_or(Reached { done: 0, all: 0, ended: true }, |row| Reached {
        done: row.looked_at,
        all: row.total,
        ended: row.finished.is_some(),
    }))
}

fn list(common: &Common) -> Printed {
    let rows = with_store(common, async |store| store.replays(false).await)?;
    let data = json!({ "replays": rows.iter().map(as_json).collect::<Vec<_>>() });
    super::done(common.either(|| table(&rows), data))
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no replay was asked for in the last 30 days\n".to_owned();
    }
    let mut text = format!("{:>6} {:<16} {:<24} {:<24}  what came of it\n", "id", "sink", "feeds", "asked");
    for row in rows {
        text.push_str(&format!(
            "{:>6} {:<16} {:<24} {:<24}  {}\n",
            row.id,
            row.sink,
            row.scope,
            row.asked.rfc3339(),
            words(row)
        ));
    }
    text
}

fn words(row: &Row) -> String {
    let refused = match row.refused {
        0 => String::new(),
        n => format!(", {n} refused (see `dead-letters list`)"),
    };
    let Some(finished) = row.finished else {
        return format!(
            "{} of {} events looked through, {} sent{refused}",
            row.looked_at, row.total, row.sent
        );
    };
    let why = match (row.words.as_str(), row.gone()) {
        ("", 0) => String::new(),
        ("", gone) => format!("; {gone} were deleted before it came to them, or could not be read back"),
        (words, _) => format!("; {words}"),
    };
    format!("{} events sent{refused}, ended {}{why}", row.sent, finished.rfc3339())
}

fn as_json(row: &Row) -> Value {
    json!({
        "replay": row.id, "sink": row.sink, "scope": row.scope, "since": row.since.rfc3339(),
        "until": if row.until == Time(i64::MAX) { None } else { Some(row.until.rfc3339()) },
        "asked": row.asked.rfc3339(), "events": row.total, "looked_at": row.looked_at, "sent": row.sent,
        "refused": row.refused, "finished": row.finished.map(Time::rfc3339), "words": row.words,
    })
}
