//! Work of a feed that may wait until what happens now is read: the daily sweep of a log that is asked for by time,
//! for rows that appeared later than its overlap reaches, and the backfill of a gap. Both are a span that is read
//! once from end to end. Their position is the feed's second one, moved in the same transactions as the first.
//!
//! A span is only begun when it lies before everything the main position still reads: equal records are counted
//! within one read-through, and two read-throughs that meet the same record in turns would disturb each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::limits::{RETENTION_SLACK, SWEEP_SPAN};
use crate::mimecast::feed::{Ask, Feed};
use crate::mimecast::page::Leads;
use crate::mimecast::position::{Day, Position};
use crate::store::{Cause, Gap, GapRow};

const VERSION: u32 = 1;
/// Read-throughs of the side are numbered from here, those of the main position from 0.
const FIRST_PASS: u64 = 1 << 32;

/// The second position of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    v: u32,
    /// Read-throughs begun.
    passes: u64,
    /// When the last sweep began; at first, when sweeping was first thought of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swept: Option<Time>,
    /// Nothing before it was ever to be read, so a sweep must not bring it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
}

/// A span that is being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// The gap it fills; `None`: a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<i64>,
    /// Where that gap began, which may be further back than what is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap_from: Option<Time>,
    from: Time,
    to: Time,
    /// A position's text.
    at: String,
    /// When it was last seen to go on, within [`RETENTION_SLACK`]; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Time>,
    /// Records read so far, repeats included.
    #[serde(default)]
    records: u64,
}

/// What is known of a feed when its side is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub feed: &'static Feed,
    /// The main position, up to date.
    pub main: &'a Position,
    pub overlap: Duration,
    /// How far back the feed's very first window reached.
    pub lookback: Duration,
    /// How often to sweep.
    pub every: Duration,
    /// A gap somebody wants filled.
    pub wanted: Option<&'a GapRow>,
    /// The last request of the work in hand failed.
    pub faltered: bool,
    /// Mimecast's time.
    pub now: Time,
}

impl Side {
    /// What the cursor tells; one that cannot be read begins anew, which costs one sweep.
    pub fn read(cursor: &Cursor) -> Self {
        Side::parse(cursor).unwrap_or(Side { v: VERSION, ..Side::default() })
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        serde_json::from_str(&cursor.0).ok().filter(|side: &Side| side.v == VERSION)
    }

    /// As a cursor's text. The same side always gives the same text.
    pub fn cursor(&self) -> Cursor {
        Cursor(serde_json::to_string(self).unwrap_or_default()) // numbers and text always have a JSON form
    }

    /// It has nothing to go on with.
    pub fn is_idle(&self) -> bool {
        self.job.is_none()
    }

    /// The side with the work to do now, if there is any, or with a note that has to be kept; `None`: nothing.
    pub fn due(&self, sight: &Sight<'_>) -> Option<Side> {
        match self.going_on(sight) {
            Some(job) if job.was_left(sight) => Some(self.cut(job, sight)),
            Some(job) if job.seen.is_none_or(|seen| sight.now.since(seen) > RETENTION_SLACK / 2) => {
                let job = Job { seen: Some(sight.now), ..job.clone() };
                Some(Side { job: Some(job), ..self.clone() })
            }
            Some(_) => Some(self.clone()),
            None if self.sweep_from(sight).is_some() => self.finished().sweep(sight),
            None => self.fill(sight).or_else(|| self.sweep(sight)),
        }
    }

    /// The work in hand. A backfill that meets nothing but failures lets a sweep that is due go first: what appears late
    /// cannot wait for ever, and the gap is still wanted.
    fn going_on(&self, sight: &Sight<'_>) -> Option<&Job> {
        let yields = |job: &Job| job.gap.is_some() && sight.faltered && self.sweep_from(sight).is_some();
        self.job.as_ref().filter(|job| !yields(job))
    }

    /// What the sweep that is due, or the one that was left, should have read and Mimecast no longer keeps: whether
    /// rows appeared late there, nobody can tell any more.
    pub fn unverified(&self, sight: &Sight<'_>) -> Option<TimeSpan> {
        let kept = sight.now.minus(sight.feed.retention);
        let from = match self.going_on(sight) {
            Some(job) if job.gap.is_none() && job.was_left(sight) => job.from,
            Some(_) => return None,
            None => self.sweep_from(sight)?,
        };
        (from < kept).then_some(TimeSpan { from, to: kept })
    }

    /// What is left of a span whose beginning expired while nobody read: pages of it would not be those they were.
    fn cut(&self, job: &Job, sight: &Sight<'_>) -> Side {
        let kept = sight.now.minus(sight.feed.retention);
        if kept >= job.to {
            return self.finished();
        }
        let gap = job.gap.map(|id| (id, job.gap_from.unwrap_or(job.from)));
        self.begin(sight, TimeSpan { from: kept, to: job.to }, gap)
    }

    fn fill(&self, sight: &Sight<'_>) -> Option<Side> {
        let gap = sight.wanted.filter(|_| sight.feed.reads_spans())?;
        let kept = sight.now.minus(sight.feed.retention);
        let span = TimeSpan { from: gap.span.from.max(kept), to: gap.span.to };
        let before_main = match sight.main {
            Position::Window { high, .. } => span.to < high.minus(sight.overlap).minus(SECOND),
            _ => true, // files are read as a whole and told by name
        };
        (before_main && kept < span.to).then(|| self.begin(sight, span, Some((gap.id, gap.span.from))))
    }

    fn sweep(&self, sight: &Sight<'_>) -> Option<Side> {
        let Position::Window { high, pass, .. } = sight.main else { return None };
        if self.swept.is_none() {
            let reach = if *pass <= 1 { sight.lookback.min(sight.feed.retention) } else { sight.overlap };
            let floor = high.minus(reach);
            let floor = self.floor.map_or(floor, |set| set.min(floor));
            return Some(Side { swept: Some(sight.now), floor: Some(floor), ..self.clone() });
        }
        let from = self.sweep_from(sight)?.max(sight.now.minus(sight.feed.retention));
        let noted = Side { swept: Some(sight.now), ..self.clone() };
        let to = high.minus(sight.overlap).minus(SECOND);
        if from >= to {
            return Some(noted);
        }
        Some(noted.begin(sight, TimeSpan { from, to }, None))
    }

    /// Where the sweep that is due should begin; `None`: none is.
    fn sweep_from(&self, sight: &Sight<'_>) -> Option<Time> {
        let (Position::Window { high, .. }, Some(swept)) = (sight.main, self.swept) else { return None };
        if sight.now.since(swept) < sight.every && swept <= sight.now.plus(RETENTION_SLACK) {
            return None;
        }
        // after an outage: what appeared late since the last sweep has been seen by none
        let from = sight.now.minus(SWEEP_SPAN).min(swept.minus(SWEEP_SPAN / 2));
        Some(from.max(self.floor.unwrap_or(*high)))
    }

    fn begin(&self, sight: &Sight<'_>, span: TimeSpan, gap: Option<(i64, Time)>) -> Side {
        let number = FIRST_PASS.saturating_add(self.passes);
        let position = Position::over(sight.feed, span, number).beside(sight.main, number);
        let job = Job {
            gap: gap.map(|(id, _)| id),
            gap_from: gap.map(|(_, from)| from),
            from: span.from,
            to: span.to,
            at: position.cursor().0,
            seen: Some(sight.now),
            records: 0,
        };
        Side { passes: self.passes.saturating_add(1), job: Some(job), ..self.clone() }
    }

    /// Where in the span reading stands; `None` without work.
    pub fn position(&self) -> Option<Cursor> {
        self.job.as_ref().map(|job| Cursor(job.at.clone()))
    }

    /// The side with its reading moved.
    #[must_use]
    pub fn at(&self, position: Cursor) -> Side {
        let job = self.job.clone().map(|job| Job { at: position.0, ..job });
        Side { job, ..self.clone() }
    }

    /// The span read again from its start, after the server refused a page of it.
    #[must_use]
    pub fn restarted(&self, feed: &'static Feed) -> Side {
        let Some(job) = &self.job else { return self.clone() };
        let span = TimeSpan { from: job.from, to: job.to };
        let number = FIRST_PASS.saturating_add(self.passes);
        let position = Position::over(feed, span, number);
        let position = match Position::open(feed, &Cursor(job.at.clone()), job.to, Duration::ZERO) {
            Ok(refused) => position.beside(&refused, number),
            Err(_) => position,
        };
        Side { passes: self.passes.saturating_add(1), ..self.at(position.cursor()) }
    }

    /// The side of a feed whose main position was set by hand, to where reading begins at `starts`. Its work ends, for it
    /// may lie in what is read again now. What is still to be looked at for late rows stays, from a sweep that was under
    /// way as well, and so do the numbers of the read-throughs.
    #[must_use]
    pub fn set_by_hand(&self, starts: Time) -> Side {
        let floor = Some(self.floor.map_or(starts, |floor| floor.min(starts)));
        Side { floor, ..self.ended() }
    }

    /// The same for a position that was set past something: a sweep must not bring that after all.
    #[must_use]
    pub fn set_past(&self, starts: Time) -> Side {
        Side { floor: Some(starts), ..self.ended() }
    }

    /// The side of a feed that was never looked at, of which one knows all the same where reading began.
    #[must_use]
    pub fn begun_at(self, start: Option<Time>) -> Side {
        Side { floor: self.floor.or(start), ..self }
    }

    /// From when on rows that appear late are still to be looked for.
    pub fn looks_back_to(&self, now: Time) -> Option<Time> {
        let swept = self.ended().swept.unwrap_or(now);
        let from = swept.minus(SWEEP_SPAN / 2).min(now.minus(SWEEP_SPAN));
        Some(from.max(self.floor?))
    }

    /// Without work. The next sweep begins no later than one that was under way.
    fn ended(&self) -> Side {
        let sweeping = self.job.as_ref().filter(|job| job.gap.is_none());
        let begun = |swept: Time| sweeping.map_or(swept, |job| swept.min(job.from.plus(SWEEP_SPAN / 2)));
        Side { swept: self.swept.map(begun), ..self.finished() }
    }

    /// The side with its work done.
    #[must_use]
    pub fn finished(&self) -> Side {
        Side { job: None, ..self.clone() }
    }

    /// The side after a page that leads there; with its last page the work is done.
    #[must_use]
    pub fn led_to(&self, leads: &Leads, ended: bool) -> Side {
        match leads {
            _ if ended => self.finished(),
            // the page of a side listing leads to a side's text once its files are being stored
            Leads::Forward(to) => match Side::parse(to) {
                Some(side) => self.at(side.position().unwrap_or_else(Cursor::unset)),
                None => self.at(to.clone()),
            },
            Leads::Same | Leads::Missing => self.clone(),
        }
    }

    /// With so many more records read.
    #[must_use]
    pub fn read_on(&self, records: u64) -> Side {
        let job = self.job.clone().map(|job| Job { records: job.records.saturating_add(records), ..job });
        Side { job, ..self.clone() }
    }

    /// The gap in hand, and how many records filled it when so many more end it.
    pub fn filled(&self, last: u64) -> Option<(TimeSpan, u64)> {
        let job = self.job.as_ref().filter(|job| job.gap.is_some())?;
        Some((TimeSpan { from: job.from, to: job.to }, job.records.saturating_add(last)))
    }

    /// Where the gap in hand began.
    pub fn gap_began(&self) -> Option<Time> {
        self.job.as_ref()?.gap_from
    }

    /// Span and gap of the work in hand.
    pub fn filling(&self) -> Option<(TimeSpan, i64)> {
        let job = self.job.as_ref()?;
        Some((TimeSpan { from: job.from, to: job.to }, job.gap?))
    }

    /// Where the present read-through begins, or the next sweep at the latest; identities seen since then are still
    /// needed.
    pub fn reaches_back_to(&self) -> Option<Time> {
        let next = self.swept.map(|swept| swept.minus(SWEEP_SPAN / 2));
        let job = self.job.as_ref().map(|job| job.from);
        job.into_iter().chain(next).min()
    }

    /// The day a listing of files ends with.
    pub fn until(&self, feed: &Feed) -> Option<Day> {
        let batch = matches!(feed.ask, Ask::Batch { .. });
        self.job.as_ref().filter(|_| batch).map(|job| Day::of(job.to))
    }
}

impl Job {
    /// Nobody has read it for a while, and its beginning has expired. While pages come it goes on, however slowly.
    fn was_left(&self, sight: &Sight<'_>) -> bool {
        let kept = sight.now.minus(sight.feed.retention);
        let away = self.seen.is_none_or(|seen| sight.now.since(seen) > RETENTION_SLACK);
        away && self.from.plus(RETENTION_SLACK) < kept
    }
}

/// The ledger's entries for a span in which late rows can no longer be looked for, but for what is `lost` altogether
/// (oldest first). What lies behind a loss was read by a feed that came back after such a time that nothing appears
/// late any more.
pub fn late_rows_gaps(feed: &Feed, span: TimeSpan, lost: &[TimeSpan]) -> Vec<Gap> {
    let (mut gaps, mut from) = (Vec::new(), span.from);
    let end = TimeSpan { from: span.to, to: span.to };
    for lost in lost.iter().chain([&end]) {
        let to = lost.from.min(span.to);
        if from < to {
            gaps.push(Gap {
                span: TimeSpan { from, to },
                cause: Cause::LateRowsUnverified,
                detail: "Mimecast forgot it before it was read again for rows that appeared late".to_owned(),
                records: 0,
                fetchable: false,
            });
        }
        from = from.max(lost.to.plus(feed.retention.saturating_sub(SWEEP_SPAN)));
    }
    gaps
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "side_tests.rs"]
mod tests;
