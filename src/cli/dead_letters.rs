//! `dead-letters`: events that a sink refused for good.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::asking::asked;
use super::following::{Reached, follow};
use super::picking::{Chosen, GivenUp, Listed, Narrow, One, PutAside, give_up, list, meant, show};
use super::{Common, Printed, with_store};
use crate::clock::Time;
use crate::daemon::requests::Request;
use crate::fault::Fault;
use crate::setup_error::ExitCode;
use crate::store::{DeadLetterRow, Pick, Shelf, Store};
use crate::telemetry::escape::clean;

/// What can be done about dead letters.
#[derive(Subcommand)]
pub enum DeadLetters {
    /// Every dead letter: which sink refused it, when, and its words.
    List(Listed<Which>),
    /// One dead letter in full, with the event.
    Show(One),
    /// Send them to their sink once more. What it takes now counts as delivered; what it refuses stays.
    Retry {
        #[command(flatten)]
        chosen: Chosen<Which>,
        /// Do not wait for what comes of it.
        #[arg(long)]
        no_wait: bool,
    },
    /// Give them up: the events are deleted, the accounts keep counting them as dead-lettered.
    Drop(GivenUp<Which>),
}

/// Narrows the list down.
#[derive(Args)]
pub struct Which {
    /// Of this sink.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    #[command(flatten)]
    narrow: Narrow,
}

impl Which {
    fn pick(&self, ids: &[i64]) -> Pick {
        Pick { sink: self.sink.clone(), ..self.narrow.pick(ids) }
    }
}

/// Prints dead letters, or has something done about them and prints what came of it.
pub fn dead_letters(verb: &DeadLetters) -> Printed {
    match verb {
        DeadLetters::List(Listed { common, which, pages }) => {
            list::<Letters>(common, &which.pick(&[]), pages)
        }
        DeadLetters::Show(one) => show::<Letters>(one),
        DeadLetters::Retry { chosen: Chosen { common, ids, which, all }, no_wait } => {
            again(common, meant(which.pick(ids), *all, Letters::VERB)?, *no_wait)
        }
        DeadLetters::Drop(GivenUp { chosen: Chosen { common, ids, which, all }, yes }) => {
            give_up::<Letters>(common, which.pick(ids), *all, *yes)
        }
    }
}

/// The dead letters.
enum Letters {}

impl PutAside for Letters {
    type Row = DeadLetterRow;
    const SHELF: Shelf = Shelf::DeadLetters;
    const VERB: &str = "dead-letters";
    const KEY: &str = "dead_letters";
    const MANY: &str = "dead letters";
    const ONE: &str = "dead letter";
    const BYTES: &str = "event";

    fn head() -> String {
        format!(
            "{:>6} {:<16} {:<32} {:<24} {:>5} {:>8}  words of the sink\n",
            "id", "sink", "feed", "refused", "times", "bytes"
        )
    }

    fn line(row: &DeadLetterRow) -> String {
        let again = if row.wanted.is_some() { "goes out again; " } else { "" };
        let words: String = clean(&row.words).chars().take(120).collect();
        format!(
            "{:>6} {:<16} {:<32} {:<24} {:>5} {:>8}  {again}{words}\n",
            row.id,
            row.sink,
            row.feed.to_string(),
            row.refused.rfc3339(),
            row.refusals,
            row.len,
        )
    }

    fn id(row: &DeadLetterRow) -> i64 {
        row.id
    }

    fn json(row: &DeadLetterRow) -> Value {
        json!({
            "id": row.id, "sink": row.sink, "tenant": row.feed.tenant, "feed": row.feed.feed,
            "event_id": row.event_id.to_string(), "type": row.kind, "time": row.time.map(Time::rfc3339),
            "collected": row.collected.rfc3339(), "refused": row.refused.rfc3339(), "times": row.refusals,
            "words": row.words, "bytes": row.len, "goes_out_again": row.wanted.is_some(),
        })
    }

    fn facts(row: &DeadLetterRow) -> Vec<(&'static str, String)> {
        vec![
            ("dead letter", row.id.to_string()),
            ("sink", row.sink.clone()),
            ("its words", clean(&row.words).into_owned()),
            ("refused", row.refused.rfc3339()),
            ("refusals", row.refusals.to_string()),
            ("feed", row.feed.to_string()),
            ("type", clean(&row.kind).into_owned()),
            ("event id", row.event_id.to_string()),
            ("event time", row.time.map_or("none".to_owned(), Time::rfc3339)),
            ("collected", row.collected.rfc3339()),
            ("bytes", row.len.to_string()),
        ]
    }

    async fn rows(store: &Store, pick: &Pick, after: i64, limit: u32) -> Result<Vec<DeadLetterRow>, Fault> {
        store.dead_letters_list(pick, after, limit).await
    }

    async fn bytes(store: &Store, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        store.dead_letter_bytes(id).await
    }

    fn give_up(pick: Pick) -> Request {
        Request::DeadLettersDrop { pick }
    }
}

fn again(common: &Common, pick: Pick, no_wait: bool) -> Printed {
    let done = asked(&Request::DeadLettersAgain { pick }, common)?;
    let wanted = done.value("wanted").as_u64().unwrap_or(0);
    if wanted == 0 || no_wait || !done.by_daemon {
        return done.and_later(wanted > 0, "they go out when the daemon runs").print(common);
    }
    let since = Time(done.value("asked_ms").as_i64().unwrap_or(0));
    let sinks: Vec<String> = done
        .value("sinks")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| s.as_str().map(str::to_owned))
        .collect();
    let look = async |store: &Store| look(store, &sinks, wanted).await;
    let end = match follow(&done.settings, "dead letters", look) {
        Err(refused) if refused.exit == ExitCode::Permission => return done.unseen().print(common),
        end => end?,
    };
    let refused = with_store(common, async |store| refused_again(store, &sinks, since).await)?;
    let taken = end.done.saturating_sub(refused);
    let exit = if refused > 0 { ExitCode::Failed } else { ExitCode::Done };
    let text = match refused {
        0 => format!("{taken} delivered\n"),
        n => format!("{taken} delivered, {n} refused again; `dead-letters list` shows the sink's words\n"),
    };
    let data = json!({ "delivered": taken, "refused": refused });
    Ok((common.either(|| text, data), exit))
}

/// How many of those wanted have been decided.
async fn look(store: &Store, sinks: &[String], wanted: u64) -> Result<Reached, Fault> {
    let mut waiting = 0;
    for sink in sinks {
        waiting += store.dead_letters_wanted(sink).await?;
    }
    Ok(Reached { done: wanted.saturating_sub(waiting), all: wanted, ended: waiting == 0 })
}

async fn refused_again(store: &Store, sinks: &[String], since: Time) -> Result<u64, Fault> {
    let mut refused = 0;
    for sink in sinks {
        let pick = Pick { sink: Some(sink.clone()), since: Some(since), ..Pick::default() };
        refused += store.dead_letters_refused_again(&pick).await?;
    }
    Ok(refused)
}
