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
        match &self.job {
            Some(job) if job.was_left(sight) => Some(self.cut(job, sight)),
            Some(job) if job.seen.is_none_or(|seen| sight.now.since(seen) > RETENTION_SLACK / 2) => {
                let job = Job { seen: Some(sight.now), ..job.clone() };
                Some(Side { job: Some(job), ..self.clone() })
            }
            Some(_) => Some(self.clone()),
            None => self.fill(sight).or_else(|| self.sweep(sight)),
        }
    }

    /// What the sweep that is due, or the one that was left, should have read and Mimecast no longer keeps: whether
    /// rows appeared late there, nobody can tell any more.
    pub fn unverified(&self, sight: &Sight<'_>) -> Option<TimeSpan> {
        let kept = sight.now.minus(sight.feed.retention);
        let from = match &self.job {
            Some(job) if job.gap.is_none() && job.was_left(sight) => job.from,
            Some(_) => return None,
            None if self.fill(sight).is_some() => return None,
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
            return Some(Side { swept: Some(sight.now), floor: Some(high.minus(reach)), ..self.clone() });
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
        let position = Position::over(sight.feed, span, FIRST_PASS.saturating_add(self.passes));
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
        let position = Position::over(feed, span, FIRST_PASS.saturating_add(self.passes));
        Side { passes: self.passes.saturating_add(1), ..self.at(position.cursor()) }
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

    /// Records read by the work in hand.
    pub fn records(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| job.records)
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
mod tests {
    use super::*;
    use crate::cursor::FeedKey;
    use crate::mimecast::catalogue::find;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn main_at(high: Time, pass: u64) -> Position {
        Position::Window { high, pass, reading: None }
    }

    fn sight<'a>(feed: &str, main: &'a Position, wanted: Option<&'a GapRow>, now: Time) -> Sight<'a> {
        let feed = find(feed).unwrap();
        Sight { feed, main, overlap: feed.overlap, lookback: HOUR, every: DAY, wanted, now }
    }

    fn gap(feed: &'static str, from: Time, to: Time) -> GapRow {
        GapRow {
            id: 7,
            feed: FeedKey { tenant: "acme".into(), feed },
            span: TimeSpan { from, to },
            cause: "skipped_by_hand".into(),
            detail: String::new(),
            records: 0,
            found: to,
            closed: None,
            fetchable: true,
            wanted: Some(to),
            accepted: None,
        }
    }

    /// Once a day, 48 hours, never before the feed's beginning, never into what the main position reads.
    #[test]
    fn a_sweep_is_due_a_day_after_the_last_one() {
        let fresh = Side::read(&Cursor::unset());
        let first = fresh.due(&sight("ttp.url", &main_at(NOW, 1), None, NOW)).unwrap();
        assert_eq!(first.position(), None, "the first look only notes the time");
        let first = Side::read(&first.cursor());
        let main = main_at(NOW.plus(HOUR * 23), 300);
        assert_eq!(first.due(&sight("ttp.url", &main, None, NOW.plus(HOUR * 23))), None);
        let later = NOW.plus(DAY + HOUR * 3);
        let main = main_at(later, 400);
        let sweep = first.due(&sight("ttp.url", &main, None, later)).unwrap();
        let overlap = find("ttp.url").unwrap().overlap;
        let (from, to) = (NOW.minus(HOUR), later.minus(overlap).minus(SECOND));
        let expected = Position::over(find("ttp.url").unwrap(), TimeSpan { from, to }, FIRST_PASS);
        assert_eq!(sweep.position(), Some(expected.cursor()), "not before the first window's start");
        assert_eq!(
            Side::read(&sweep.cursor()).due(&sight("ttp.url", &main, None, later)),
            Some(sweep.clone())
        );
        let done = sweep.finished();
        assert_eq!(done.due(&sight("ttp.url", &main, None, later)), None);
        let third = later.plus(DAY * 2);
        let main = main_at(third, 900);
        let next = done.due(&sight("ttp.url", &main, None, third)).unwrap();
        assert_eq!(
            next.reaches_back_to(),
            Some(later.minus(DAY)),
            "a day before the last sweep: nothing between is unseen"
        );
        assert_ne!(next.position(), sweep.position(), "another read-through has another number");
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_put_sweeps_off() {
        let noted = Side { swept: Some(NOW.plus(DAY * 400)), ..Side::read(&Cursor::unset()) };
        assert!(noted.due(&sight("audit", &main_at(NOW, 9), None, NOW)).is_some());
    }

    #[test]
    fn files_are_not_swept() {
        let main = Position::first(find("siem.av").unwrap(), NOW, DAY);
        assert_eq!(Side::read(&Cursor::unset()).due(&sight("siem.av", &main, None, NOW)), None);
    }

    #[test]
    fn a_gap_is_filled_once_the_main_position_is_past_it_and_as_far_as_it_is_kept() {
        let side = Side { swept: Some(NOW), ..Side::read(&Cursor::unset()) };
        let main = main_at(NOW, 9);
        let near = gap("ttp.url", NOW.minus(HOUR), NOW.minus(Duration::from_secs(60)));
        assert_eq!(side.due(&sight("ttp.url", &main, Some(&near), NOW)), None, "main still reads there");
        let wide = gap("ttp.url", NOW.minus(DAY * 40), NOW.minus(DAY * 20));
        let filling = side.due(&sight("ttp.url", &main, Some(&wide), NOW)).unwrap();
        let kept = NOW.minus(DAY * 30);
        assert_eq!(filling.filling(), Some((TimeSpan { from: kept, to: wide.span.to }, 7)));
        let gone = gap("ttp.url", NOW.minus(DAY * 50), NOW.minus(DAY * 40));
        assert_eq!(side.due(&sight("ttp.url", &main, Some(&gone), NOW)), None);
        let days = gap("siem.av", NOW.minus(DAY * 3), NOW.minus(DAY));
        let main = Position::first(find("siem.av").unwrap(), NOW, HOUR);
        let filling = side.due(&sight("siem.av", &main, Some(&days), NOW)).unwrap();
        assert_eq!(filling.until(find("siem.av").unwrap()), Some(Day::of(NOW.minus(DAY))));
        assert_ne!(filling.restarted(find("siem.av").unwrap()), filling);
    }

    /// An outage that ends a day before everything would be forgotten: what the next sweep cannot reach is told, and
    /// what Mimecast lost altogether is not told twice.
    #[test]
    fn what_expired_before_its_sweep_is_in_the_ledger() {
        let feed = find("ttp.url").unwrap();
        let side = Side { swept: Some(NOW), floor: Some(NOW.minus(DAY * 9)), ..Side::read(&Cursor::unset()) };
        let back = NOW.plus(feed.retention);
        let main = main_at(back, 900);
        let sight = sight("ttp.url", &main, None, back);
        let span = side.unverified(&sight).unwrap();
        assert_eq!(span, TimeSpan { from: NOW.minus(DAY), to: NOW });
        assert!(side.due(&sight).unwrap().position().is_some(), "what is still kept is swept");
        let spans = |lost: &[TimeSpan]| -> Vec<TimeSpan> {
            late_rows_gaps(feed, span, lost).into_iter().map(|gap| gap.span).collect()
        };
        assert_eq!(spans(&[]), [span]);
        let lost = TimeSpan { from: NOW.minus(HOUR), to: NOW.minus(HOUR / 2) };
        assert_eq!(spans(&[lost]), [TimeSpan { from: NOW.minus(DAY), to: NOW.minus(HOUR) }]);
        let before = TimeSpan { from: NOW.minus(DAY * 40), to: NOW.minus(HOUR * 10 + DAY * 28) };
        assert_eq!(spans(&[before]), [TimeSpan { from: NOW.minus(HOUR * 10), to: NOW }]);
        let soon = NOW.plus(DAY * 2);
        let main = main_at(soon, 300);
        assert_eq!(
            side.unverified(&Sight { main: &main, now: soon, ..sight }),
            None,
            "all of it is still kept"
        );
    }

    /// A backfill that nobody went on with until part of its gap had expired must not close the gap as if it were full.
    #[test]
    fn a_backfill_that_was_left_reads_what_is_still_kept() {
        let main = main_at(NOW, 9);
        let gap = gap("ttp.url", NOW.minus(DAY * 29), NOW.minus(DAY * 20));
        let begun = Side::read(&Cursor::unset()).due(&sight("ttp.url", &main, Some(&gap), NOW)).unwrap();
        let begun = begun.at(Cursor("page two".into()));
        let on = begun.due(&sight("ttp.url", &main, Some(&gap), NOW.plus(HOUR / 4))).unwrap();
        assert_eq!(on.position(), Some(Cursor("page two".into())));
        let late = NOW.plus(DAY * 4);
        let main = main_at(late, 20);
        let cut = on.due(&sight("ttp.url", &main, Some(&gap), late)).unwrap();
        assert_eq!(cut.filling(), Some((TimeSpan { from: NOW.minus(DAY * 26), to: gap.span.to }, 7)));
        assert_eq!(cut.gap_began(), Some(gap.span.from), "the rest stays a gap");
        assert_ne!(cut.position(), Some(Cursor("page two".into())));
        let gone = NOW.plus(DAY * 11);
        let main = main_at(gone, 30);
        assert_eq!(on.due(&sight("ttp.url", &main, None, gone)).unwrap().filling(), None);
    }
}
