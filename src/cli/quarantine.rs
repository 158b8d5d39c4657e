//! `quarantine`: input that could not be read.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::asking::asked;
use super::picking::{
    Chosen, GivenUp, Listed, Narrow, One, Pages, as_they_are, either, facts, meant, more, sure, visible,
    with_bytes,
};
use super::{Common, Printed, with_store};
use crate::daemon::requests::Request;
use crate::setup_error::SetupError;
use crate::store::{Pick, QuarantineRow};
use crate::telemetry::escape::clean;

/// What can be done about the quarantine.
#[derive(Subcommand)]
pub enum Quarantine {
    /// Every item: where it came from, and why it could not be read.
    List(Listed<Which>),
    /// One item in full, with what is kept of its bytes.
    Show(One),
    /// Read them once more, as this version reads. What can be read now becomes events.
    Retry(Chosen<Which>),
    /// Give them up: the bytes are deleted, the accounts keep counting them as quarantined.
    Drop(GivenUp<Which>),
}

/// Narrows the list down.
#[derive(Args)]
pub struct Which {
    /// Of this reason: `not_json`.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    #[command(flatten)]
    narrow: Narrow,
}

impl Which {
    fn pick(&self, ids: &[i64]) -> Pick {
        Pick { reason: self.reason.clone(), ..self.narrow.pick(ids) }
    }
}

const VERB: &str = "quarantine";

/// Prints quarantined items, or has something done about them and prints what came of it.
pub fn quarantine(verb: &Quarantine) -> Printed {
    match verb {
        Quarantine::List(Listed { common, which, pages }) => list(common, &which.pick(&[]), pages),
        Quarantine::Show(One { common, id, raw }) => show(common, *id, *raw),
        Quarantine::Retry(Chosen { common, ids, which, all }) => {
            let pick = meant(which.pick(ids), *all, VERB)?;
            asked(&Request::QuarantineAgain { pick }, common)?.print(common)
        }
        Quarantine::Drop(GivenUp { chosen: Chosen { common, ids, which, all }, yes }) => {
            let pick = meant(which.pick(ids), *all, VERB)?;
            sure(&pick, *yes, || with_store(common, async |store| store.quarantine_count(&pick).await))?;
            asked(&Request::QuarantineDrop { pick }, common)?.print(common)
        }
    }
}

fn list(common: &Common, pick: &Pick, pages: &Pages) -> Printed {
    let (rows, all) = with_store(common, async |store| {
        Ok((
            store.quarantine_list(pick, pages.after, pages.limit).await?,
            store.quarantine_count(pick).await?,
        ))
    })?;
    let data = json!({ "quarantine": rows.iter().map(as_json).collect::<Vec<_>>(), "all": all });
    either(common, || table(&rows, all), data)
}

fn table(rows: &[QuarantineRow], all: u64) -> String {
    if rows.is_empty() {
        return "nothing is quarantined\n".to_owned();
    }
    let mut text = format!(
        "{:>6} {:<32} {:<24} {:<16} {:>8}  source: what was wrong\n",
        "id", "feed", "found", "reason", "bytes"
    );
    for row in rows {
        let words: String =
            format!("{}: {}", clean(&row.source), clean(&row.detail)).chars().take(120).collect();
        text.push_str(&format!(
            "{:>6} {:<32} {:<24} {:<16} {:>8}  {words}\n",
            row.id,
            row.feed.to_string(),
            row.found.rfc3339(),
            row.reason,
            row.len,
        ));
    }
    text + &more(rows.len(), all, rows.last().map_or(0, |row| row.id))
}

fn as_json(row: &QuarantineRow) -> Value {
    json!({
        "id": row.id, "tenant": row.feed.tenant, "feed": row.feed.feed, "found": row.found.rfc3339(),
        "source": row.source, "reason": row.reason, "detail": row.detail, "sha256": row.sha256,
        "bytes": row.len, "bytes_kept": row.kept,
    })
}

fn show(common: &Common, id: i64, raw: bool) -> Printed {
    let found = with_store(common, async |store| {
        let row = store.quarantine_list(&Pick::ids([id]), 0, 1).await?.pop();
        Ok(row.zip(store.quarantine_bytes(id).await?))
    })?;
    let Some((row, bytes)) = found else {
        let text = format!("there is no quarantined item {id}; `quarantine list` shows them");
        return Err(SetupError::failed(text));
    };
    if raw {
        return as_they_are(&bytes);
    }
    let data = with_bytes(as_json(&row), "kept", &bytes);
    let text = || {
        facts(&[
            ("item", row.id.to_string()),
            ("feed", row.feed.to_string()),
            ("found", row.found.rfc3339()),
            ("source", clean(&row.source).into_owned()),
            ("reason", row.reason.clone()),
            ("detail", clean(&row.detail).into_owned()),
            ("bytes", format!("{}, of which {} are kept", row.len, row.kept)),
            ("sha256", format!("{} (of all of them)", row.sha256)),
        ]) + "\n"
            + &visible(&bytes)
            + "\n"
    };
    either(common, text, data)
}
