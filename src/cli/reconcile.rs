//! `reconcile`: proves from the store that the accounts balance.

use serde_json::json;

use super::progress::Progress;
use super::{Common, Printed, block_on, load};
use crate::daemon::positions;
use crate::fault::Fault;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Account, Store};

/// Prints the account of each feed; exits with [`ExitCode::Failed`] when one does not balance.
/// Fails when configuration or store cannot be read; the store is never written.
pub fn reconcile(common: &Common) -> Printed {
    let settings = load(common)?;
    let (accounts, gaps) = block_on(async {
        let store = Store::open_read_only(&settings.state_dir).await?;
        let books = async { Ok((store.accounts().await?, positions::gaps(&store, "").await?)) };
        let read: Result<_, Fault> = Progress::begin("adding up the books").watch(books).await;
        read.map_err(|fault| SetupError::failed(format!("failed to read the store: {fault}")))
    })??;
    let accepted = gaps.iter().filter(|gap| gap.accepted.is_some()).count();
    let open = gaps.iter().filter(|gap| gap.closed.is_none()).count();
    let differences: Vec<String> = accounts.iter().flat_map(Account::differences).collect();
    let exit = if differences.is_empty() { ExitCode::Done } else { ExitCode::Failed };
    let text = if common.json {
        let rows = as_rows(&accounts);
        format!(
            "{:#}\n",
            json!({
                "balanced": differences.is_empty(), "accounts": rows, "differences": differences,
                "gaps": { "open": open, "accepted": accepted },
            })
        )
    } else {
        table(&accounts) + &not_collected(open, accepted) + &verdict(&differences)
    };
    Ok((text, exit))
}

fn table(accounts: &[Account]) -> String {
    let mut text =
        format!("{:<40} {:>10} = {:>10} + {:>10} + {:>6}\n", "feed", "listed", "stored", "quarantine", "gap");
    for account in accounts {
        text.push_str(&format!(
            "{:<40} {:>10} = {:>10} + {:>10} + {:>6}\n",
            account.feed.to_string(),
            account.listed,
            account.stored,
            account.quarantined,
            account.gap
        ));
    }
    text.push_str(&format!(
        "\n{:<40} {:>10} = {:>10} + {:>10} + {:>6} + {:>10} + {:>10}\n",
        "sink ← feed", "stored", "delivered", "waiting", "dead", "filtered", "before it"
    ));
    for account in accounts {
        for sink in &account.sinks {
            text.push_str(&format!(
                "{:<40} {:>10} = {:>10} + {:>10} + {:>6} + {:>10} + {:>10}\n",
                format!("{} ← {}", sink.sink, account.feed),
                account.stored,
                sink.delivered,
                sink.waiting,
                sink.dead_lettered,
                sink.filtered,
                sink.base
            ));
        }
    }
    text
}

/// Spans that were not collected: of most of them nobody can know how many records they held.
fn not_collected(open: usize, accepted: usize) -> String {
    if open + accepted == 0 {
        return String::new();
    }
    format!(
        "\nspans not collected: {open} open, {accepted} accepted as lost; `mimecollectd gaps --all` tells which, who and why\n"
    )
}

fn verdict(differences: &[String]) -> String {
    if differences.is_empty() {
        return "\nevery account balances\n".to_owned();
    }
    format!(
        "\nDIFFERENCES:\n  {}\nKeep the store as it is and report this: it must not happen.\n",
        differences.join("\n  ")
    )
}

/// Accounts as data.
pub(super) fn as_rows(accounts: &[Account]) -> serde_json::Value {
    accounts.iter().map(row).collect()
}

fn row(account: &Account) -> serde_json::Value {
    let sinks = account.sinks.iter().map(|sink| {
        json!({
            "sink": sink.sink, "before_its_start": sink.base, "delivered": sink.delivered, "waiting": sink.waiting,
            "dead_lettered": sink.dead_lettered, "filtered": sink.filtered,
        })
    });
    json!({
        "feed": account.feed.to_string(), "listed": account.listed, "stored": account.stored,
        "quarantined": account.quarantined, "gap": account.gap, "duplicate": account.duplicate,
        "sinks": sinks.collect::<Vec<_>>(),
    })
}
