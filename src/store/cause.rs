//! Why a span was not collected: every cause there is.

/// The cause of a gap. docs/operations.md explains each to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The feed was not read until Mimecast had forgotten the span.
    BeyondRetention,
    /// The span was read once, and forgotten by Mimecast before it was read again for rows that appear late.
    LateRowsUnverified,
    /// An operator moved the position past it.
    SkippedByHand,
    /// A file stayed unreadable.
    FileGivenUp,
    /// An answer that is a file of its own stayed unreadable.
    AnswerGivenUp,
    /// Events were stored, and the disk did not keep their bytes.
    DamagedInStore,
}

impl Cause {
    pub const ALL: [Cause; 6] = [
        Cause::BeyondRetention,
        Cause::LateRowsUnverified,
        Cause::SkippedByHand,
        Cause::FileGivenUp,
        Cause::AnswerGivenUp,
        Cause::DamagedInStore,
    ];

    /// Its code in the ledger, in `gaps --json` and in events of the `collector` feed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::BeyondRetention => "beyond_retention",
            Cause::LateRowsUnverified => "late_rows_unverified",
            Cause::SkippedByHand => "skipped_by_hand",
            Cause::FileGivenUp => "file_given_up",
            Cause::AnswerGivenUp => "answer_given_up",
            Cause::DamagedInStore => "damaged_in_store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_explained_to_operators_and_no_other() {
        let page = include_str!("../../docs/operations.md");
        let (_, table) = page.split_once("| cause | what happened |\n|---|---|\n").unwrap();
        let explained = table.lines().map_while(|line| line.strip_prefix("| `")?.split_once("` | "));
        let codes: Vec<&str> = explained.map(|(code, _)| code).collect();
        assert_eq!(codes, Cause::ALL.map(Cause::as_str));
    }
}
