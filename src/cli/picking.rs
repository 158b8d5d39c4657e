//! Which dead letters or quarantined items a verb means, and how their bytes are shown.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::{Common, Printed, raw};
use crate::clock::Time;
use crate::limits::{LISTED_USUALLY, SHOWN_BYTES};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Pick;

/// Narrows a list down.
#[derive(Args)]
pub struct Narrow {
    /// Of these feeds: `acme`, `acme/audit` or `acme/siem.*`.
    #[arg(long, value_name = "SCOPE")]
    feed: Option<String>,
    /// From then on: a time (2026-01-31T09:30:00Z), a day (2026-01-31), or how long ago (36h).
    #[arg(long, value_name = "TIME", value_parser = super::cursor::since)]
    since: Option<Time>,
    /// And before then.
    #[arg(long, value_name = "TIME", value_parser = super::cursor::since)]
    until: Option<Time>,
}

impl Narrow {
    /// As the store wants it, with numbers of rows.
    pub fn pick(&self, ids: &[i64]) -> Pick {
        Pick {
            ids: ids.to_vec(),
            scope: self.feed.clone().unwrap_or_default(),
            since: self.since,
            until: self.until,
            ..Pick::default()
        }
    }
}

/// A list, and how much of it.
#[derive(Args)]
pub struct Listed<W: Args> {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub which: W,
    #[command(flatten)]
    pub pages: Pages,
}

/// One row.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    pub common: Common,
    pub id: i64,
    /// Write the bytes that are kept as Mimecast sent them, and nothing else.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// The rows that something is done about.
#[derive(Args)]
pub struct Chosen<W: Args> {
    #[command(flatten)]
    pub common: Common,
    pub ids: Vec<i64>,
    #[command(flatten)]
    pub which: W,
    /// All of them.
    #[arg(long)]
    pub all: bool,
}

/// Rows that are given up.
#[derive(Args)]
pub struct GivenUp<W: Args> {
    #[command(flatten)]
    pub chosen: Chosen<W>,
    /// Needed without numbers.
    #[arg(long)]
    pub yes: bool,
}

/// How much of a list is printed.
#[derive(Args)]
pub struct Pages {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = LISTED_USUALLY, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Only what comes after this number.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub after: i64,
}

/// The line under a list that is longer than what was printed.
pub fn more(shown: usize, all: u64, last: i64) -> String {
    if shown as u64 >= all {
        return String::new();
    }
    format!("\n{shown} of {all} are shown; --after {last} shows the next, --limit more at once\n")
}

/// A verb that changes many rows says so: numbers, or a filter, or `--all`.
///
/// # Errors
/// None of them was given.
pub fn meant(pick: Pick, all: bool, verb: &str) -> Result<Pick, SetupError> {
    if pick.is_all() && !all {
        let text = format!("say which: numbers from `{verb} list`, a filter, or --all");
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    Ok(pick)
}

/// Giving up more than what was named by number has to be confirmed.
///
/// # Errors
/// It was not.
pub fn sure(
    pick: &Pick,
    yes: bool,
    would: impl FnOnce() -> Result<u64, SetupError>,
) -> Result<(), SetupError> {
    if yes || !pick.ids.is_empty() {
        return Ok(());
    }
    let text = format!("this gives up {} for good: say --yes if that is what you want", would()?);
    Err(SetupError::new(ExitCode::Usage, text))
}

/// The bytes as they are, for a file or a pipe.
///
/// # Errors
/// Standard output is a terminal, which would obey what is in them.
pub fn as_they_are(bytes: &[u8]) -> Printed {
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        let text = "the bytes may hold commands for your terminal: write them to a file (`--raw >FILE`) or into a pipe";
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    raw(bytes)
}

/// Bytes for people: every line end, control character and byte that is no text is written out, so that nothing in
/// them can do or hide anything.
pub fn visible(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let mut out = String::with_capacity(shown.len() + 64);
    for part in shown.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if crate::telemetry::escape::misleading(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // a String takes every write
                }
                c => out.push(c),
            }
        }
        for byte in part.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if shown.len() < bytes.len() {
        let _ = write!(out, "\n… {} more bytes; --raw gives all of them", bytes.len() - shown.len());
    }
    out
}

/// The data of a row, and its bytes as text and as they are.
pub fn with_bytes(mut row: serde_json::Value, key: &str, bytes: &[u8]) -> serde_json::Value {
    let bytes =
        serde_json::json!({ "text": String::from_utf8_lossy(bytes), "base64": STANDARD.encode(bytes) });
    if let serde_json::Value::Object(members) = &mut row {
        members.insert(key.to_owned(), bytes);
    }
    row
}

/// One row of facts and its value.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// Prints text, or data with `--json`.
pub fn either(common: &Common, text: impl FnOnce() -> String, data: serde_json::Value) -> Printed {
    super::done(if common.json { format!("{data:#}\n") } else { text() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_bytes_reaches_the_terminal_as_itself() {
        let shown = visible("a\u{1b}[2Jb\nc\u{202e}d\\".as_bytes());
        assert_eq!(shown, "a\\u{1b}[2Jb\\nc\\u{202e}d\\\\");
        assert_eq!(visible(b"\xff\x00caf\xc3\xa9"), "\\xff\\u{0}café");
        let long = visible(&vec![b'x'; SHOWN_BYTES + 7]);
        assert!(long.ends_with("… 7 more bytes; --raw gives all of them"), "{long}");
    }

    #[test]
    fn what_changes_rows_has_to_say_which() {
        assert_eq!(meant(Pick::default(), false, "quarantine").unwrap_err().exit, ExitCode::Usage);
        assert!(meant(Pick::default(), true, "quarantine").is_ok());
        assert!(meant(Pick::ids([1]), false, "quarantine").is_ok());
        assert!(sure(&Pick::ids([1]), false, || Ok(1)).is_ok());
        assert_eq!(sure(&Pick::default(), false, || Ok(9)).unwrap_err().exit, ExitCode::Usage);
    }
}
