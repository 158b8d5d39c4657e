//! `gaps`: the ledger of what was not collected.

use clap::Subcommand;
use serde_json::json;

use super::asking::ask;
use super::{Common, Printed, daemon_user, done, with_store};
use crate::clock::{Clock, Time};
use crate::daemon::positions::{self, fetchable};
use crate::daemon::requests::Request;
use crate::store::{Accepted, GapRow};
use crate::telemetry::escape::clean;

/// What can be done about gaps.
#[derive(Subcommand)]
pub enum Gaps {
    /// Fetch the open gaps that Mimecast still has; the daemon does it after the feed's next poll.
    Backfill {
        #[command(flatten)]
        common: Common,
        /// `acme`, `acme/audit` or `acme/siem.*`; without it all.
        scope: Option<String>,
    },
    /// Close gaps that stay lost, so that their alert ends. The ledger keeps your name and the reason.
    Accept {
        #[command(flatten)]
        common: Common,
        /// Their numbers, as `gaps` has them.
        #[arg(value_name = "GAP", value_parser = super::picking::number, required_unless_present = "scope")]
        gaps: Vec<i64>,
        /// Instead of numbers: `acme`, `acme/audit` or `acme/siem.*`.
        #[arg(long, conflicts_with = "gaps")]
        scope: Option<String>,
        /// Why the loss is accepted, such as the number of a ticket.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Also those that Mimecast still has and `gaps backfill` could fetch.
        #[arg(long)]
        fetchable: bool,
    },
}

/// Prints the open gaps (`all`: the closed ones too), or has them fetched.
pub fn gaps(common: &Common, all: bool, verb: Option<&Gaps>) -> Printed {
    match verb {
        Some(Gaps::Backfill { common, scope }) => {
            ask(&Request::Backfill { scope: scope.clone().unwrap_or_default() }, common)
        }
        Some(Gaps::Accept { common, gaps, scope, reason, fetchable }) => {
            let scope = scope.clone().unwrap_or_default();
            let (gaps, by, why) = (gaps.clone(), daemon_user::asker(), reason.trim().to_owned());
            ask(&Request::AcceptGaps { gaps, scope, by, why, fetchable: *fetchable }, common)
        }
        None => list(common, all),
    }
}

fn list(common: &Common, all: bool) -> Printed {
    let rows = with_store(common, async |store| positions::gaps(store, "").await)?;
    let rows: Vec<GapRow> = rows.into_iter().filter(|gap| all || gap.closed.is_none()).collect();
    let now = Clock::System.now();
    done(common.either(|| table(&rows, now), as_rows(&rows, now)))
}

fn table(rows: &[GapRow], now: Time) -> String {
    if rows.is_empty() {
        return "no gap is open\n".to_owned();
    }
    let mut text = format!(
        "{:>5} {:<36} {:<24} {:<24} {:>8} {:<18} fetchable\n",
        "gap", "feed", "from", "to", "records", "cause"
    );
    for gap in rows {
        text.push_str(&format!(
            "{:>5} {:<36} {:<24} {:<24} {:>8} {:<18} {}\n",
            gap.id,
            gap.feed.to_string(),
            gap.span.from.rfc3339(),
            gap.span.to.rfc3339(),
            if gap.records == 0 { "unknown".to_owned() } else { gap.records.to_string() },
            gap.cause,
            words(gap, now)
        ));
    }
    if rows.iter().any(|gap| gap.wanted.is_none() && fetchable(gap, now).is_some()) {
        text.push_str("\n`gaps backfill` fetches what can be fetched\n");
    }
    if rows.iter().any(|gap| gap.closed.is_none() && fetchable(gap, now).is_none()) {
        text.push_str("\n`gaps accept` closes what stays lost, with a reason\n");
    }
    text
}

/// Whether the gap can be fetched, for people.
fn words(gap: &GapRow, now: Time) -> String {
    if let (Some(closed), Some(Accepted { by, why })) = (gap.closed, &gap.accepted) {
        return format!("no; {} accepted it {}: {}", clean(by), closed.rfc3339(), clean(why));
    }
    if let Some(closed) = gap.closed {
        return format!("fetched {}", closed.rfc3339());
    }
    match fetchable(gap, now) {
        None => "no".to_owned(),
        Some((span, until)) => {
            let part = if span.from > gap.span.from {
                format!("from {} on", span.from.rfc3339())
            } else {
                format!("until {}", until.rfc3339())
            };
            if gap.wanted.is_some() { format!("{part}, is being fetched") } else { part }
        }
    }
}

/// Gaps as data.
pub(super) fn as_rows(rows: &[GapRow], now: Time) -> serde_json::Value {
    rows.iter().map(|gap| as_json(gap, now)).collect()
}

fn as_json(gap: &GapRow, now: Time) -> serde_json::Value {
    let able = fetchable(gap, now);
    json!({
        "gap": gap.id,
        "tenant": gap.feed.tenant,
        "feed": gap.feed.feed,
        "from": gap.span.from.rfc3339(),
        "to": gap.span.to.rfc3339(),
        "cause": gap.cause,
        "detail": gap.detail,
        "records": if gap.records == 0 { None } else { Some(gap.records) },
        "found": gap.found.rfc3339(),
        "closed": gap.closed.map(Time::rfc3339),
        "accepted": gap.accepted.as_ref().map(|accepted| json!({ "by": accepted.by, "reason": accepted.why })),
        "wanted": gap.wanted.map(Time::rfc3339),
        "fetchable": able.is_some(),
        "fetchable_from": able.map(|(span, _)| span.from.rfc3339()),
        "fetchable_until": able.map(|(_, until)| until.rfc3339()),
    })
}
