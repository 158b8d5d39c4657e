//! Dead letters and quarantined items alike: which ones a verb means, how they are listed and shown with their bytes,
//! and how they are given up.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::asking::ask;
use super::{Common, Printed, done, raw, with_store};
use crate::clock::Time;
use crate::daemon::requests::Request;
use crate::daemon::scopes;
use crate::fault::Fault;
use crate::limits::{LISTED_USUALLY, SHOWN_BYTES};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Pick, Shelf, Store};

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

/// A row's number.
pub(super) fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "write a number, as `list` shows it".to_owned())
}

/// One row.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    pub common: Common,
    /// Its number, as `list` has it.
    #[arg(value_parser = number)]
    pub id: i64,
    /// Write the bytes that are kept, as Mimecast sent them, and nothing else; not to a terminal.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// The rows that something is done about.
#[derive(Args)]
pub struct Chosen<W: Args> {
    #[command(flatten)]
    pub common: Common,
    /// Their numbers, as `list` has them.
    #[arg(value_parser = number)]
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

/// Rows that lie in the store until somebody has them tried once more or gives them up.
pub trait PutAside {
    type Row;
    /// Where the store has them.
    const SHELF: Shelf;
    /// The verb as it is typed.
    const VERB: &str;
    /// The rows in JSON.
    const KEY: &str;
    /// Several rows, and one, for people.
    const MANY: &str;
    const ONE: &str;
    /// A row's bytes in JSON.
    const BYTES: &str;

    /// What stands above the lines of a list.
    fn head() -> String;
    fn line(row: &Self::Row) -> String;
    fn id(row: &Self::Row) -> i64;
    fn json(row: &Self::Row) -> Value;
    /// Everything about one row.
    fn facts(row: &Self::Row) -> Vec<(&'static str, String)>;

    /// At most `limit` rows with numbers above `after`, in their order.
    async fn rows(store: &Store, pick: &Pick, after: i64, limit: u32) -> Result<Vec<Self::Row>, Fault>;
    /// What is kept of a row's bytes; `None` when there is no such row.
    async fn bytes(store: &Store, id: i64) -> Result<Option<Vec<u8>>, Fault>;
    fn give_up(pick: Pick) -> Request;
}

/// Prints a page of those that `pick` means.
///
/// # Errors
/// Configuration or store cannot be read.
pub fn list<S: PutAside>(common: &Common, pick: &Pick, pages: &Pages) -> Printed {
    let (rows, all) = with_store(common, async |store| {
        if let Some(why) = scopes::misnamed(store, &pick.scope, pick.sink.as_deref()).await? {
            return Ok(Err(SetupError::new(ExitCode::Usage, why)));
        }
        let rows = S::rows(store, pick, pages.after, pages.limit).await?;
        Ok(Ok((rows, store.count_on(S::SHELF, pick).await?)))
    })??;
    let data = json!({ S::KEY: rows.iter().map(S::json).collect::<Vec<_>>(), "all": all });
    done(common.either(|| page::<S>(&rows, all, pick, pages), data))
}

/// The rows of a page, and what to do when they are not all; `all` is how many `pick` means on all pages.
fn page<S: PutAside>(rows: &[S::Row], all: u64, pick: &Pick, pages: &Pages) -> String {
    let Some(last) = rows.last() else {
        return match all {
            0 if pick.is_all() => format!("no {}\n", S::MANY),
            0 => format!("no {} fit the filter\n", S::MANY),
            all => format!("nothing after {}; {} in all\n", pages.after, counted::<S>(all)),
        };
    };
    let mut text = S::head();
    rows.iter().for_each(|row| text.push_str(&S::line(row)));
    let shown = rows.len() as u64;
    // a page that is not full is the last one
    if shown == u64::from(pages.limit) && shown < all {
        let next = format!("--after {} shows the next, --limit more at once", S::id(last));
        let _ = write!(text, "\n{shown} of {all} are shown; {next}\n"); // a String takes every write
    }
    text
}

fn counted<S: PutAside>(rows: u64) -> String {
    format!("{rows} {}", if rows == 1 { S::ONE } else { S::MANY })
}

/// Prints one row in full, or with `--raw` nothing but its bytes.
///
/// # Errors
/// There is no such row; configuration or store cannot be read; the bytes would go to a terminal.
pub fn show<S: PutAside>(One { common, id, raw }: &One) -> Printed {
    let found = with_store(common, async |store| {
        let row = S::rows(store, &Pick::ids([*id]), 0, 1).await?.pop();
        Ok(row.zip(S::bytes(store, *id).await?))
    })?;
    let Some((row, bytes)) = found else {
        let text = format!("there is no {} {id}; `{} list` shows them", S::ONE, S::VERB);
        return Err(SetupError::failed(text));
    };
    if *raw {
        return as_they_are(&bytes);
    }
    let data = with_bytes(S::json(&row), S::BYTES, &bytes);
    done(common.either(|| format!("{}\n{}\n", facts(&S::facts(&row)), visible(&bytes)), data))
}

/// Has rows deleted for good, and prints what was done.
///
/// # Errors
/// Nobody said which, or, of more than what was named by number, that it is meant; else as [`ask`].
pub fn give_up<S: PutAside>(common: &Common, pick: Pick, all: bool, yes: bool) -> Printed {
    let pick = meant(pick, all, S::VERB)?;
    sure::<S>(&pick, yes, || with_store(common, async |store| store.count_on(S::SHELF, &pick).await))?;
    ask(&S::give_up(pick), common)
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
fn sure<S: PutAside>(
    pick: &Pick,
    yes: bool,
    would: impl FnOnce() -> Result<u64, SetupError>,
) -> Result<(), SetupError> {
    if yes || !pick.ids.is_empty() {
        return Ok(());
    }
    let rows = would()?;
    if rows == 0 {
        return Err(SetupError::failed(format!(
            "there are no such {}; `{} list` shows all",
            S::MANY,
            S::VERB
        )));
    }
    let what = counted::<S>(rows);
    let text = format!("this gives up {what} for good: say --yes if that is what you want");
    Err(SetupError::new(ExitCode::Usage, text))
}

/// The bytes as they are, for a file or a pipe.
///
/// # Errors
/// Standard output is a terminal, which would obey what is in them.
fn as_they_are(bytes: &[u8]) -> Printed {
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        let text = "the bytes may hold commands for your terminal: write them to a file (`--raw >FILE`) or into a pipe";
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    raw(bytes)
}

/// Bytes for people: every line end, control character and byte that is no text is written out, so that nothing in
/// them can do or hide anything.
fn visible(bytes: &[u8]) -> String {
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
fn with_bytes(mut row: Value, key: &str, bytes: &[u8]) -> Value {
    let bytes = json!({ "text": String::from_utf8_lossy(bytes), "base64": STANDARD.encode(bytes) });
    if let Value::Object(members) = &mut row {
        members.insert(key.to_owned(), bytes);
    }
    row
}

/// One row of facts and its value.
fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::quarantine::Items;
    use super::*;
    use crate::cursor::FeedKey;
    use crate::store::QuarantineRow;

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
        assert!(sure::<Items>(&Pick::ids([1]), false, || Ok(1)).is_ok());
        assert!(sure::<Items>(&Pick::default(), true, || Ok(9)).is_ok());
    }

    #[test]
    fn what_is_given_up_for_good_is_named_with_its_number() {
        let refused = |rows| sure::<Items>(&Pick::default(), false, || Ok(rows)).unwrap_err();
        assert_eq!(refused(9).exit, ExitCode::Usage);
        assert!(refused(214).message.contains("gives up 214 quarantined items for good"), "{}", refused(214));
        assert!(refused(1).message.contains("gives up 1 quarantined item for good"), "{}", refused(1));
    }

    fn row(id: i64) -> QuarantineRow {
        QuarantineRow {
            id,
            feed: FeedKey { tenant: "acme".to_owned(), feed: "audit" },
            found: Time(0),
            source: "/api/audit".to_owned(),
            reason: "not_json".to_owned(),
            detail: "no value".to_owned(),
            sha256: String::new(),
            len: 3,
            kept: 3,
        }
    }

    #[test]
    fn an_empty_page_says_why_it_is_empty() {
        let page = |all, pick: &Pick, after| page::<Items>(&[], all, pick, &Pages { limit: 2, after });
        assert_eq!(page(0, &Pick::default(), 0), "no quarantined items\n");
        assert_eq!(page(0, &Pick::default(), 7), "no quarantined items\n");
        let audit = Pick { scope: "acme/audit".to_owned(), ..Pick::default() };
        assert_eq!(page(0, &audit, 0), "no quarantined items fit the filter\n");
        assert_eq!(page(5, &audit, 7), "nothing after 7; 5 quarantined items in all\n");
        assert_eq!(page(1, &Pick::default(), 7), "nothing after 7; 1 quarantined item in all\n");
    }

    #[test]
    fn only_a_full_page_says_how_to_read_on() {
        let page = |ids: &[i64], after| {
            let rows: Vec<_> = ids.iter().map(|id| row(*id)).collect();
            page::<Items>(&rows, 5, &Pick::default(), &Pages { limit: 2, after })
        };
        assert!(
            page(&[1, 2], 0)
                .ends_with("\n2 of 5 are shown; --after 2 shows the next, --limit more at once\n")
        );
        assert!(!page(&[5], 4).contains("--after"), "{}", page(&[5], 4));
    }
}
