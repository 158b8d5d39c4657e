//! What the store says, as counts and positions: no event, no token.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use super::Part;
use crate::cli::progress::Progress;
use crate::cli::{block_on, cursor, gaps, reconcile};
use crate::clock::Clock;
use crate::config::Settings;
use crate::fault::Fault;
use crate::limits::{MAX_LISTED_ROWS, SUPPORT_LIST_PAGES};
use crate::store::{Pick, Store};

/// The store's files and health, and its books.
pub fn parts(settings: &Settings, progress: &mut Progress) -> Vec<Part> {
    let dir = &settings.state_dir;
    let opened =
        block_on(Store::open_read_only(dir)).and_then(|opened| opened).map_err(|error| error.message);
    let health = match &opened {
        Ok(_) => "it opens for reading\n".to_owned(),
        Err(why) => format!("{why}\n"),
    };
    let mut parts = vec![Part::new("store.txt", "files and health of the store", Ok(files(dir) + &health))];
    let cursors = cursor::public(settings).map_err(|error| error.message).map(as_text);
    parts.push(Part::new("cursors.json", "where each feed stands, without page tokens", cursors));
    let store = match &opened {
        Ok(store) => store,
        Err(why) => {
            let missing = Err(format!("the store cannot be read: {why}"));
            parts.push(Part::new("accounts.json", "the books, as `reconcile` reads them", missing));
            return parts;
        }
    };
    let told = |read: Result<Result<Value, Fault>, crate::setup_error::SetupError>| match read {
        Ok(Ok(value)) => Ok(as_text(value)),
        Ok(Err(fault)) => Err(fault.to_string()),
        Err(error) => Err(error.message),
    };
    progress.step("reading the gaps");
    let found = block_on(async {
        Ok(gaps::as_rows(&crate::daemon::positions::gaps(store, "").await?, Clock::System.now()))
    });
    parts.push(Part::new("gaps.json", "what was not collected and why", told(found)));
    progress.step("counting the quarantine");
    parts.push(Part::new(
        "quarantine.json",
        "how much could not be read, by feed and reason",
        told(block_on(quarantine(store))),
    ));
    parts.push(Part::new(
        "dead-letters.json",
        "how much a sink refused, by sink and feed",
        told(block_on(refused(store))),
    ));
    progress.step("adding up the books");
    let books = block_on(async { Ok(reconcile::as_rows(&store.accounts().await?)) });
    parts.push(Part::new("accounts.json", "the books, as `reconcile` reads them", told(books)));
    parts
}

fn as_text(value: Value) -> String {
    format!("{value:#}\n")
}

/// Name, size, mode and owner of every file in the state directory.
fn files(dir: &Path) -> String {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(why) => return format!("{}: {why}\n", dir.display()),
    };
    let mut lines: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let found = entry.metadata().ok()?;
            let (name, size) = (entry.file_name(), found.len());
            let (mode, user, group) = (found.mode() & 0o7777, found.uid(), found.gid());
            Some(format!(
                "{:<24} {size:>14} bytes  mode {mode:04o}  owner {user}:{group}\n",
                name.to_string_lossy()
            ))
        })
        .collect();
    lines.sort();
    format!("{}\n{}", dir.display(), lines.concat())
}

/// Counts by two words, over as many rows as a reader waits for.
#[derive(Default)]
struct Counts {
    rows: BTreeMap<(String, String), (u64, u64)>,
    all: bool,
}

impl Counts {
    fn add(&mut self, first: String, second: String, bytes: u64) {
        let entry = self.rows.entry((first, second)).or_default();
        *entry = (entry.0 + 1, entry.1 + bytes);
    }
    fn as_json(&self, [first, second]: [&str; 2]) -> Value {
        let row = |((a, b), (count, bytes)): (&(String, String), &(u64, u64))| json!({ first: a, second: b, "count": count, "bytes": bytes });
        json!({ "complete": self.all, "counts": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

async fn quarantine(store: &Store) -> Result<Value, Fault> {
    let (mut counts, mut after) = (Counts::default(), 0);
    for _ in 0..SUPPORT_LIST_PAGES {
        let rows = store.quarantine_list(&Pick::default(), after, MAX_LISTED_ROWS).await?;
        for row in &rows {
            counts.add(row.feed.to_string(), row.reason.clone(), row.len);
            after = row.id;
        }
        if rows.len() < MAX_LISTED_ROWS as usize {
            counts.all = true;
            break;
        }
    }
    Ok(counts.as_json(["feed", "reason"]))
}

async fn refused(store: &Store) -> Result<Value, Fault> {
    let (mut counts, mut after) = (Counts::default(), 0);
    for _ in 0..SUPPORT_LIST_PAGES {
        let rows = store.dead_letters_list(&Pick::default(), after, MAX_LISTED_ROWS).await?;
        for row in &rows {
            counts.add(row.sink.clone(), row.feed.to_string(), row.len);
            after = row.id;
        }
        if rows.len() < MAX_LISTED_ROWS as usize {
            counts.all = true;
            break;
        }
    }
    Ok(counts.as_json(["sink", "feed"]))
}
