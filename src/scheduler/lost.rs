//! What is read twice, and what cannot be read any more: repeats of overlapping windows, positions older than
//! Mimecast's memory, files given up.

use std::time::Duration;

use super::decide::Outcome;
use super::side::Side;
use super::steps::Hand;
use crate::clock::Time;
use crate::cursor::{Cursor, Span, TimeSpan};
use crate::fault::Fault;
use crate::limits::{COMPLETE_EVERY, FUTURE_TOLERATED, WINDOW_MEMORY};
use crate::mimecast::feed::Identity;
use crate::mimecast::links::FileLink;
use crate::mimecast::position::Position;
use crate::mimecast::reach::Known;
use crate::store::{Cause, Dedupe, FeedRow, FileMark, Gap, Intake};
use crate::telemetry::notice::{Feed as News, Notice};

impl Hand {
    /// How repeats of an overlapping window are told from new records.
    pub(super) fn dedupe(&self, asked: &Position) -> Dedupe {
        let Some((pass, window)) = asked.window() else { return Dedupe::None };
        let now = self.account.server_now();
        let horizon = horizon(window.from, now, self.side_reach, self.reach.overlap);
        // windows lie in Mimecast's time, and when a record was seen is noted in ours
        let horizon = Time(horizon.0.saturating_add(self.clock.now().0.saturating_sub(now.0)));
        match self.feed.identity {
            Identity::HasOwnId => Dedupe::Exact { horizon },
            Identity::Bytes => Dedupe::Ids { pass, horizon },
        }
    }

    /// The events of a file lie between the newest event stored before it and now; nobody knows more. In a backfill they
    /// lie in its span.
    pub(super) fn gap_of(&self, file: &str) -> Gap {
        let to = self.clock.now();
        let filling = self.side.as_deref().and_then(Side::filling).map(|(span, _)| span.from);
        let before = self.tally.newest.or(filling).or(self.read_to);
        let from = before.unwrap_or(to.minus(self.reach.lookback)).min(to);
        Gap {
            span: TimeSpan { from, to },
            cause: Cause::FileGivenUp,
            detail: format!("file {file} could not be read as a whole; what was readable is stored"),
            records: 0,
            fetchable: false,
        }
    }

    /// The newest event time, unless it lies in the future: such a time says nothing of how far reading has come
    /// (recovery row X16).
    pub(super) fn plausible(&self, newest: Option<Time>) -> Option<Time> {
        let latest = self.account.server_now().plus(FUTURE_TOLERATED);
        newest.filter(|at| *at <= latest)
    }

    /// Moves the cursor to a date the service accepts; what cannot be fetched any more becomes a gap.
    ///
    /// # Errors
    /// The store's.
    pub async fn rewind(&mut self) -> Result<Outcome, Fault> {
        let now = self.account.server_now();
        let row = self.store.feed(&self.key).await?;
        let (position, known) = self.place(&row, now)?;
        let from = row.cursor;
        let without = if position.beyond_retention(self.feed, now, known).is_some() {
            position
        } else {
            position.without_token()
        };
        let lost = without.beyond_retention(self.feed, now, known);
        let after = match lost {
            Some(span) => without.rewound(self.feed, span.to, now),
            None => without,
        };
        let gap = lost.map(forgotten);
        let span = Span { from, to: after.cursor() };
        // what is lost is accounted for: from here on everything counts as read that is older than it
        let complete = lost.map(|span| span.to);
        let intake = Intake { gaps: gap.into_iter().collect(), complete, ..self.intake(span) };
        self.store.commit(intake).await?;
        let why = if let Some(span) = lost {
            Notice::Feed(&self.key, News::GapOpened { span, why: "older than what Mimecast keeps" }).emit();
            "the old position is older than what Mimecast keeps"
        } else {
            "Mimecast refused the old position"
        };
        Notice::Feed(&self.key, News::Rewound { to: &after.describe(), why }).emit();
        Ok(Outcome::Rewound)
    }

    /// Writes down what Mimecast may have forgotten unread while an answer was on its way. Reading goes on where it
    /// stands, and everything older counts as read, so that the next gap begins where this one ends.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn note_forgotten(
        &mut self,
        position: &Position,
        known: Option<Known>,
        cursor: &Cursor,
    ) -> Result<(), Fault> {
        let now = self.account.server_now();
        let Some(span) = known.and_then(|known| position.forgotten_unread(self.feed, now, known)) else {
            return Ok(());
        };
        let stays = Span { from: cursor.clone(), to: cursor.clone() };
        let intake = Intake { gaps: vec![forgotten(span)], complete: Some(span.to), ..self.intake(stays) };
        self.store.commit(intake).await?;
        Notice::Feed(&self.key, News::GapOpened { span, why: "older than what Mimecast keeps" }).emit();
        Ok(())
    }

    /// A feed in which nothing happens leaves no trace of being read, and must not look forgotten after a week.
    pub(super) async fn note_complete(&mut self, cursor: &Cursor) {
        let now = self.clock.now();
        if self.noted.is_none_or(|noted| now.since(noted) >= COMPLETE_EVERY || now < noted)
            && self.store.note_complete(&self.key, cursor, self.asked).await.is_ok()
        {
            self.noted = Some(now); // a store that fails says so where it matters: at the next commit
        }
    }
}

/// What Mimecast no longer keeps. In the same words each time, so that a loss that goes on is one gap in the ledger.
pub(super) fn forgotten(span: TimeSpan) -> Gap {
    let detail = "the position was older than what Mimecast keeps".to_owned();
    Gap { span, cause: Cause::BeyondRetention, detail, records: 0, fetchable: false }
}

/// Identities last seen before this time can be met no more: no later window reaches further back than this one's
/// start, less what the overlap may be set to, and no sweep further than [`WINDOW_MEMORY`].
pub(super) fn horizon(from: Time, now: Time, side: Option<Time>, overlap: Duration) -> Time {
    from.min(now.minus(WINDOW_MEMORY)).min(side.unwrap_or(from)).minus(overlap)
}

/// What the store tells about how far the feed is read.
pub fn known(row: &FeedRow) -> Known {
    Known { complete: row.complete, newest: row.reached, last_success: row.last_success }
}

pub(super) fn mark(link: &FileLink) -> FileMark {
    FileMark { name: link.key.bytes(), size: link.size }
}
