//! `quarantine`: input that could not be read.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Printed;
use super::asking::ask;
use super::picking::{Chosen, GivenUp, Listed, Narrow, One, PutAside, give_up, list, meant, show};
use crate::daemon::requests::Request;
use crate::fault::Fault;
use crate::store::{Pick, QuarantineRow, Shelf, Store};
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

/// Prints quarantined items, or has something done about them and prints what came of it.
pub fn quarantine(verb: &Quarantine) -> Printed {
    match verb {
        Quarantine::List(Listed { common, which, pages }) => list::<Items>(common, &which.pick(&[]), pages),
        Quarantine::Show(one) => show::<Items>(one),
        Quarantine::Retry(Chosen { common, ids, which, all }) => {
            ask(&Request::QuarantineAgain { pick: meant(which.pick(ids), *all, Items::VERB)? }, common)
        }
        Quarantine::Drop(GivenUp { chosen: Chosen { common, ids, which, all }, yes }) => {
            give_up::<Items>(common, which.pick(ids), *all, *yes)
        }
    }
}

/// The quarantine.
pub enum Items {}

impl PutAside for Items {
    type Row = QuarantineRow;
    const SHELF: Shelf = Shelf::Quarantine;
    const VERB: &str = "quarantine";
    const KEY: &str = "quarantine";
    const MANY: &str = "quarantined items";
    const ONE: &str = "quarantined item";
    const BYTES: &str = "kept";

    fn head() -> String {
        format!(
            "{:>6} {:<32} {:<24} {:<16} {:>8}  source: what was wrong\n",
            "id", "feed", "found", "reason", "bytes"
        )
    }

    fn line(row: &QuarantineRow) -> String {
        let words: String =
            format!("{}: {}", clean(&row.source), clean(&row.detail)).chars().take(120).collect();
        format!(
            "{:>6} {:<32} {:<24} {:<16} {:>8}  {words}\n",
            row.id,
            row.feed.to_string(),
            row.found.rfc3339(),
            row.reason,
            row.len,
        )
    }

    fn id(row: &QuarantineRow) -> i64 {
        row.id
    }

    fn json(row: &QuarantineRow) -> Value {
        json!({
            "id": row.id, "tenant": row.feed.tenant, "feed": row.feed.feed, "found": row.found.rfc3339(),
            "source": row.source, "reason": row.reason, "detail": row.detail, "sha256": row.sha256,
            "bytes": row.len, "bytes_kept": row.kept,
        })
    }

    fn facts(row: &QuarantineRow) -> Vec<(&'static str, String)> {
        vec![
            ("item", row.id.to_string()),
            ("feed", row.feed.to_string()),
            ("found", row.found.rfc3339()),
            ("source", clean(&row.source).into_owned()),
            ("reason", row.reason.clone()),
            ("detail", clean(&row.detail).into_owned()),
            ("bytes", format!("{}, of which {} are kept", row.len, row.kept)),
            ("sha256", format!("{} (of all of them)", row.sha256)),
        ]
    }

    async fn rows(store: &Store, pick: &Pick, after: i64, limit: u32) -> Result<Vec<QuarantineRow>, Fault> {
        store.quarantine_list(pick, after, limit).await
    }

    async fn bytes(store: &Store, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        store.quarantine_bytes(id).await
    }

    fn give_up(pick: Pick) -> Request {
        Request::QuarantineDrop { pick }
    }
}
