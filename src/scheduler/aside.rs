//! Side work of a feed, one request at a time: the daily sweep and backfills. What it is and when it is due is in
//! `side.rs`; a fault in it never keeps the feed from what happens now.

use std::time::Duration;

use super::decide::Outcome;
use super::side::{Side, Sight, late_rows_gaps};
use super::steps::Hand;
use crate::clock::Time;
use crate::cursor::{Span, TimeSpan};
use crate::fault::{Fault, Origin};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::Asking;
use crate::store::{Cause, Gap, Intake};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;
use crate::telemetry::notice::{Feed as News, Notice};

impl Hand {
    /// One request of the side work, or [`Outcome::Nothing`] when there is none now.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub async fn aside(&mut self, page_size: u32) -> Result<Outcome, Fault> {
        (self.page, self.side) = (None, None);
        let now = self.account.server_now();
        if self.side_rests.is_some_and(|(since, rest)| rests(since, rest, self.clock.now())) {
            return Ok(Outcome::Nothing);
        }
        if self.side_idle && !self.store.gaps_wanted() {
            return Ok(Outcome::Nothing); // and the store need not be asked, by thousands of feeds a minute
        }
        self.room()?;
        let row = self.store.feed(&self.key).await?;
        let main = Position::open(self.feed, &row.cursor, now, self.reach.lookback)?;
        let wanted = self.store.wanted_gap(&self.key, now.minus(self.feed.retention)).await?;
        let sight = Sight {
            feed: self.feed,
            main: &main,
            overlap: self.reach.overlap,
            lookback: self.reach.lookback,
            every: self.reach.sweep_every,
            wanted: wanted.as_ref(),
            faltered: self.side_rests.take().is_some(),
            now,
        };
        let kept = Side::read(&row.side);
        let Some(due) = kept.due(&sight) else { return Ok(Outcome::Nothing) };
        let late = self.late(kept.unverified(&sight)).await?;
        let due = if std::mem::take(&mut self.side_refused) { due.restarted(self.feed) } else { due };
        let text = due.cursor();
        let asking =
            Asking { page_size, overlap: self.reach.overlap, server_now: now, until: due.until(self.feed) };
        let at = due.position();
        self.side_reach = due.reaches_back_to();
        self.side = Some(Box::new(due));
        if text != row.side {
            let begun = self.intake(Span { from: row.side, to: text.clone() });
            self.store.commit(Intake { gaps: late.clone(), ..begun }).await?;
            for Gap { span, .. } in late {
                let why = "forgotten by Mimecast before it could be read again for late rows";
                Notice::Feed(&self.key, News::GapOpened { span, why }).emit();
            }
        }
        let Some(at) = at else { return Ok(Outcome::Nothing) };
        let position = Position::open(self.feed, &at, now, self.reach.lookback)?;
        match self.exchange((position, None), text, &asking, Call::CatchUp).await? {
            // the budget is for what happens now; the rest of it has been asked for
            Outcome::Shut { by: super::decide::By::Quota, .. } => Ok(Outcome::Nothing),
            outcome => Ok(outcome),
        }
    }

    /// The ledger's entries for what can no longer be read again for late rows.
    async fn late(&self, unverified: Option<TimeSpan>) -> Result<Vec<Gap>, Fault> {
        let Some(span) = unverified else { return Ok(Vec::new()) };
        // a loss before it still tells that what lies behind was read late
        let since = span.from.minus(self.feed.retention);
        let lost = self.store.gaps_after(&self.key, Cause::BeyondRetention, since).await?;
        Ok(late_rows_gaps(self.feed, span, &lost))
    }

    /// A step failed: side work rests for a while, and begins its span anew when a page of it was refused.
    pub fn put_aside(&mut self, fault: &Fault, rest: Duration) {
        if self.side.is_none() || fault.origin == Origin::Local {
            return;
        }
        let refused = matches!(judge(fault).verdict, Verdict::Rewind { .. } | Verdict::Halt { .. });
        self.side_refused |= refused && fault.origin == Origin::Api;
        self.side_rests = Some((self.clock.now(), rest));
    }

    /// What the last page of side work settles besides.
    pub(super) fn ending(&self, intake: Intake) -> Intake {
        let Some((read, gap)) = self.side.as_deref().and_then(Side::filling) else { return intake };
        Intake { closes: vec![gap], gaps: self.rest_of(read, gap).into_iter().collect(), ..intake }
    }

    /// The part of a gap that had expired before it was fetched stays a gap.
    fn rest_of(&self, read: TimeSpan, gap: i64) -> Option<Gap> {
        let whole = self.side.as_deref().and_then(Side::gap_began)?;
        (whole < read.from).then(|| Gap {
            span: TimeSpan { from: whole, to: read.from },
            cause: Cause::BeyondRetention,
            detail: format!("the part of gap {gap} that Mimecast no longer kept when it was fetched"),
            records: 0,
            fetchable: false,
        })
    }

    /// After a commit of so many records: tells of a gap that is closed.
    pub(super) fn side_moved(&mut self, after: Option<Side>, ended: bool, records: u64) {
        let Some(before) = self.side.take() else { return };
        if let (true, Some((span, events))) = (ended, before.filled(records)) {
            Notice::Feed(&self.key, News::GapClosed { span, events }).emit();
        }
        self.side = after.filter(|_| !ended).map(Box::new);
    }
}

/// Whether what failed at `since` is to be left alone. A clock that was set back since then must not make the rest longer.
fn rests(since: Time, rest: Duration, now: Time) -> bool {
    since <= now && now < since.plus(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_ahead_makes_no_rest_longer() {
        let (wrong, rest) = (Time(1_767_259_800_000), Duration::from_secs(300));
        assert!(rests(wrong, rest, wrong.plus(rest / 2)));
        assert!(!rests(wrong, rest, wrong.plus(rest)));
        assert!(!rests(wrong, rest, wrong.minus(Duration::from_secs(86_400))));
    }
}
