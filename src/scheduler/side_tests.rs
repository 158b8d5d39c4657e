//! Sweeps and backfills: when they are due, what they read, what becomes of them when they are left.

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
    Sight { feed, main, overlap: feed.overlap, lookback: HOUR, every: DAY, wanted, faltered: false, now }
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
        accepted: None,
        fetchable: true,
        wanted: Some(to),
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
    assert_eq!(Side::read(&sweep.cursor()).due(&sight("ttp.url", &main, None, later)), Some(sweep.clone()));
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

/// A position set to where nothing is read again: what happened before it and appears later is still looked for, also
/// what a sweep that was under way has not come to.
#[test]
fn a_position_set_by_hand_leaves_late_rows_to_the_sweep() {
    let feed = find("ttp.url").unwrap();
    let (begun, swept) = (NOW.minus(DAY * 9), NOW.minus(HOUR * 20));
    let side = Side { swept: Some(swept), floor: Some(begun), passes: 4, ..Side::read(&Cursor::unset()) };
    let set = side.set_by_hand(NOW.minus(Duration::from_secs(60)));
    assert_eq!(set, side, "nothing of it has changed");
    let earlier = side.set_by_hand(NOW.minus(DAY * 20));
    assert_eq!((earlier.floor, earlier.swept), (Some(NOW.minus(DAY * 20)), Some(swept)));
    let later = NOW.plus(HOUR * 5);
    let main = main_at(later, 400);
    let sweeping = set.due(&sight("ttp.url", &main, None, later)).unwrap();
    let from = |side: &Side| side.job.as_ref().unwrap().from;
    assert_eq!(from(&sweeping), swept.minus(SWEEP_SPAN / 2));
    let set = sweeping.set_by_hand(later);
    assert_eq!(set.position(), None);
    let again = set.due(&sight("ttp.url", &main, None, later)).unwrap();
    assert_eq!(from(&again), from(&sweeping), "it is read after all");
    let numbers: Vec<_> = [&sweeping, &again].map(|side| side.position().unwrap()).into();
    assert_ne!(numbers.first(), numbers.last(), "under another number");
    assert_eq!(set.looks_back_to(later), Some(from(&sweeping)));
    let past = sweeping.set_past(later);
    assert_eq!(past.looks_back_to(later), Some(later), "what was skipped by hand is not swept");
    let unswept = Side::read(&Cursor::unset()).set_by_hand(NOW.minus(DAY));
    let main = main_at(NOW, 9);
    let noted = unswept.due(&sight("ttp.url", &main, None, NOW)).unwrap();
    assert_eq!(noted.floor, Some(NOW.minus(DAY).min(NOW.minus(feed.overlap))));
}

/// A backfill whose page fails each time must not keep late rows from being looked for.
#[test]
fn a_backfill_that_falters_lets_a_sweep_go_first() {
    let side = Side { swept: Some(NOW), floor: Some(NOW.minus(DAY * 9)), ..Side::read(&Cursor::unset()) };
    let wide = gap("ttp.url", NOW.minus(DAY * 20), NOW.minus(DAY * 10));
    let main = main_at(NOW, 9);
    let filling = side.due(&sight("ttp.url", &main, Some(&wide), NOW)).unwrap();
    let at = |now: Time| main_at(now, 9);
    let early = at(NOW.plus(HOUR * 20));
    let tired = Sight { faltered: true, ..sight("ttp.url", &early, Some(&wide), NOW.plus(HOUR * 20)) };
    let going_on = filling.due(&tired).unwrap();
    assert!(going_on.filling().is_some(), "no sweep is due");
    let due = at(NOW.plus(DAY));
    let on = Sight { faltered: false, ..sight("ttp.url", &due, Some(&wide), NOW.plus(DAY)) };
    assert!(going_on.due(&on).unwrap().filling().is_some(), "it goes on");
    let sweeping = going_on.due(&Sight { faltered: true, ..on }).unwrap();
    assert!(sweeping.position().is_some() && sweeping.filling().is_none());
    let back = sweeping.finished().due(&on).unwrap();
    assert_eq!(back.filling(), filling.filling(), "and then the gap, which is still wanted");
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
    let (span, _) = filling.filling().unwrap();
    assert_eq!(filling.read_on(500).filled(30), Some((span, 530)), "the last page counts as well");
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
    assert_eq!(side.unverified(&Sight { main: &main, now: soon, ..sight }), None, "all of it is still kept");
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
