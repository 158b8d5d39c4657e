//! What the store says, as counts and positions: no event, no token.

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
use crate::store::{Store, Sum};

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
        told(block_on(async { Ok(as_counts(&store.quarantine_sums().await?, ["feed", "reason"])) })),
    ));
    parts.push(Part::new(
        "dead-letters.json",
        "how much a sink refused, by sink and feed",
        told(block_on(async { Ok(as_counts(&store.dead_letters_sums().await?, ["sink", "feed"])) })),
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

fn as_counts(sums: &[Sum], [first, second]: [&str; 2]) -> Value {
    let row =
        |Sum { of: [a, b], rows, bytes }: &Sum| json!({ first: a, second: b, "count": rows, "bytes": bytes });
    json!({ "counts": sums.iter().map(row).collect::<Vec<_>>() })
}
