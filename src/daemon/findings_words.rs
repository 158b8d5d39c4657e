//! The alerts for which no row of the recovery table stands, for people.

use super::findings::SECRET_REMEDY;

/// The word, what it means, and what to do.
pub const WORDS: [(&str, &str, &str); 12] = [
    (
        "no_success",
        "A feed that nothing holds back has not answered for two polling intervals and five minutes.",
        "Look at its line in `status`, and at the log.",
    ),
    (
        "gap_open",
        "A span of time was not collected.",
        "Look at `gaps`; `gaps backfill` fetches what Mimecast still has, `gaps accept` closes what stays lost.",
    ),
    (
        "quarantine",
        "Items could not be read in the last day; they are kept.",
        "Look at `quarantine list`; report it if Mimecast sent it so.",
    ),
    (
        "dead_letters",
        "A sink refused events for good in the last day; they are kept.",
        "Look at `dead-letters list` and at what the sink says; `dead-letters` also sends them again.",
    ),
    (
        "store_filling",
        "70 % of `store.max_size` are used; at 100 % collection pauses.",
        "Get the slow sink going, send or give up what was put aside, or raise `store.max_size`.",
    ),
    (
        "data_loss_near",
        "At this pace the first events are lost in less than a day.",
        "Get going what stands still: the other alerts say what.",
    ),
    (
        "accounts_unbalanced",
        "The store's accounts do not balance: `reconcile` shows them.",
        "Keep the store as it is and report this: it must not happen.",
    ),
    (
        "api_1_retires",
        "A tenant still uses API 1.0, which Mimecast switches off.",
        "Move the tenant to API 2.0; `cursor migrate` takes its positions along.",
    ),
    (
        "wait_outruns_retention",
        "The next attempt of a feed comes later than Mimecast keeps what was not read yet.",
        "Remove what holds it up, then run `resume`; else the gap ledger will show a loss.",
    ),
    ("secret_expiring", "A secret ends within a month, by `secret_expires`.", SECRET_REMEDY),
    (
        "unknown_code",
        "Mimecast answered with a code that this version does not know; it was treated like its status alone.",
        "Please report it.",
    ),
    (
        "reload_refused",
        "The configuration cannot be read; the old one stays in force.",
        "Mend the file and reload; `validate` shows what is wrong with it.",
    ),
];
