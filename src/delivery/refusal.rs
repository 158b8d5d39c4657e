//! What a request sink makes of a load: acknowledged, refused, or not decided yet. A refused batch is halved
//! until single events stand alone; those become dead letters, unless so many are refused, and nothing taken, that the
//! sink, not the events, must be wrong (recovery row S05). Refused events often lie side by side, because a feed's do:
//! what counts is whether the sink takes anything else meanwhile, so the rest of the load is tried before it is judged.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use super::stream::confirm;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{REFUSED_FLOOD, REFUSED_IN_A_ROW};
use crate::sink::{Batch, Sent, Sink, Undelivered};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;
use crate::telemetry::pulse;

/// An event that was refused for good: its place in the batch, and what the sink said.
pub type Refused = (usize, String);

/// A batch on its way, with what is decided so far. Survives back-offs, so that what was acknowledged is not
/// sent again.
pub struct Delivery {
    pub batch: Batch,
    /// Parts without a verdict, last one first.
    undecided: Vec<Part>,
    /// Single events refused since the last acknowledgement: dead once the sink proves itself by taking another.
    suspects: Vec<Refused>,
    /// Parts refused while the sink is in doubt: not halved before it takes another.
    doubted: Vec<Part>,
    /// With which words the last of them.
    doubt: Option<Fault>,
    /// One event of each doubted part was tried by itself.
    sampled: bool,
    /// The sink was wrong, and nothing was taken since.
    was_wrong: bool,
    pub dead: Vec<Refused>,
    /// The sink acknowledged something of this batch.
    pub acknowledged: bool,
    /// The same since this was last looked at.
    pub progress: bool,
    /// So many were refused that the sink must be wrong, as it is now.
    pub all_refused: bool,
    /// Bytes of the smallest part of several events that the sink called too large, since this was last looked at.
    pub too_large: Option<usize>,
    /// So many refusals that the sink must be wrong are its fault; false for events that it refused before.
    guarded: bool,
    /// How often single events were refused that may be taken another time (recovery row S15).
    refusals: BTreeMap<usize, u8>,
}

impl Delivery {
    /// All of `batch`, nothing decided.
    pub fn new(batch: Batch, guarded: bool) -> Self {
        let all = Part::of(0..batch.len());
        Delivery {
            undecided: if all.is_empty() { Vec::new() } else { vec![all] },
            batch,
            guarded,
            suspects: Vec::new(),
            doubted: Vec::new(),
            doubt: None,
            sampled: false,
            was_wrong: false,
            dead: Vec::new(),
            acknowledged: false,
            progress: false,
            all_refused: false,
            too_large: None,
            refusals: BTreeMap::new(),
        }
    }

    /// The same, each event by itself.
    pub fn each_alone(batch: Batch, guarded: bool) -> Self {
        let undecided = (0..batch.len()).rev().map(|place| Part::of(place..place + 1)).collect();
        Delivery { undecided, ..Delivery::new(batch, guarded) }
    }

    pub fn decided(&self) -> bool {
        self.undecided.is_empty() && self.doubted.is_empty()
    }

    /// The sink refused all of these: it is wrong, or they are.
    pub fn in_doubt(&self) -> bool {
        self.all_refused && !self.acknowledged
    }

    /// The sink takes events of others while it refuses all of these: then it is not the sink. False when it was not in
    /// doubt for that reason.
    pub fn vouch(&mut self) -> bool {
        let doubted = self.in_doubt();
        self.acknowledged |= doubted;
        doubted
    }

    /// Places of events that were taken, and what was refused one by one, when it ends here.
    pub fn so_far(&self) -> (Vec<usize>, impl Iterator<Item = &Refused>) {
        let refused = || self.dead.iter().chain(&self.suspects);
        let mut open: Vec<bool> = vec![true; self.batch.len()];
        let parts = self.undecided.iter().chain(&self.doubted);
        let places = parts.flat_map(|part| part.0.iter().flat_map(Clone::clone));
        for place in places.chain(refused().map(|(place, _)| *place)) {
            if let Some(open) = open.get_mut(place) {
                *open = false;
            }
        }
        (open.iter().enumerate().filter_map(|(place, open)| open.then_some(place)).collect(), refused())
    }

    /// Sends what is undecided until everything is decided or a fault concerns more than single events.
    /// `refused_before` counts single refusals in a row before this load.
    pub async fn proceed(&mut self, sink: &Sink, refused_before: usize) -> Result<(), Fault> {
        (self.all_refused, self.sampled) = (false, false);
        while let Some(part) = self.undecided.pop() {
            pulse::beat();
            let sent = if part.len() == self.batch.len() {
                sink.send(&self.batch).await
            } else {
                sink.send(&self.batch.pick(&part.0)).await
            };
            match sent {
                Ok(Sent::Acknowledged(receipt)) => {
                    self.partly(part, receipt.events(), Vec::new(), refused_before)?;
                }
                Ok(Sent::Partly(receipt, rest)) => {
                    self.partly(part, receipt.events(), rest, refused_before)?;
                }
                Ok(Sent::Written) => match confirm(sink, part.len()).await {
                    Ok(()) => self.taken(),
                    Err(fault) => self.refused(part, fault, refused_before)?,
                },
                Err(fault) => self.refused(part, fault, refused_before)?,
            }
            if self.undecided.is_empty()
                && !self.sample()
                && let Some(fault) = self.doubt.take()
            {
                return Err(self.sink_is_wrong(fault));
            }
        }
        self.dead.append(&mut self.suspects);
        Ok(())
    }

    fn taken(&mut self) {
        (self.acknowledged, self.progress, self.doubt) = (true, true, None);
        if std::mem::take(&mut self.was_wrong) {
            // it may have been mended between one event and the next: what it refused before is tried once more
            self.undecided.extend(self.suspects.drain(..).rev().map(|(place, _)| Part::of(place..place + 1)));
        }
        self.dead.append(&mut self.suspects);
        self.undecided.extend(self.doubted.drain(..).rev());
    }

    /// Before the sink is called wrong: has the last event of every doubted part sent by itself, because a receiver that
    /// judges whole batches refuses a part for any one of it. False when that was done or there is none.
    fn sample(&mut self) -> bool {
        if self.doubt.is_some() && !std::mem::replace(&mut self.sampled, true) {
            for part in self.doubted.iter_mut().filter(|part| part.len() > 1) {
                let last = part.len() - 1;
                self.undecided.push(part.sub(last..last + 1));
                *part = part.sub(0..last);
            }
        }
        !self.undecided.is_empty()
    }

    /// All that it refused is still to be delivered.
    fn sink_is_wrong(&mut self, fault: Fault) -> Fault {
        self.undecided.extend(self.doubted.drain(..).rev());
        self.undecided.extend(self.suspects.drain(..).rev().map(|(place, _)| Part::of(place..place + 1)));
        (self.all_refused, self.was_wrong) = (true, true);
        fault
    }

    /// Books what each event of a part got for an answer, in the order of the events; the first fault that is about
    /// more than events is returned when all of them have their place. What has to wait is sent as one part again.
    fn partly(
        &mut self,
        part: Part,
        taken: u64,
        mut rest: Vec<Undelivered>,
        before: usize,
    ) -> Result<(), Fault> {
        rest.sort_by_key(Undelivered::first);
        let missing: usize = rest.iter().map(Undelivered::len).sum();
        if taken as usize + missing != part.len() {
            let words = format!(
                "the receiver answered for {taken} events and refused {missing}, of {} it was sent; all of them are sent \
                 again. If it stays, look at its log and at what stands between",
                part.len()
            );
            self.undecided.push(part);
            return Err(Fault::new(Origin::Sink, Kind::Interrupted, words));
        }
        if taken > 0 {
            self.taken();
        }
        let (mut first, mut again) = (Ok(()), Part::default());
        let halves = self.undecided.len();
        for Undelivered { events, fault } in rest {
            let events = part.subs(events);
            let Some(fault) = fault else {
                again.add(events);
                continue;
            };
            if !concerns_events(&fault) {
                again.add(events);
                first = first.and(Err(fault));
            } else if let Err(fault) = self.refused(events, fault, before) {
                first = first.and(Err(fault));
            }
        }
        if self.all_refused {
            self.undecided.extend(self.suspects.drain(..).map(|(place, _)| Part::of(place..place + 1)));
        } else if taken > 0 {
            self.taken();
        }
        if let Some(found) = self.undecided.get_mut(halves..) {
            found.sort_by_key(|part| Reverse(part.first())); // the last one is sent first
        }
        if !again.is_empty() {
            self.undecided.push(again);
        }
        first
    }

    fn refused(&mut self, part: Part, fault: Fault, before: usize) -> Result<(), Fault> {
        match judge(&fault).verdict {
            Verdict::DeadLetter if fault.kind == Kind::Partial => {
                self.put_aside(&part, &fault);
                return Ok(());
            }
            Verdict::Bisect { smaller: true } if part.len() > 1 => {
                let bytes = self.batch.size(&part.0);
                self.too_large = Some(self.too_large.map_or(bytes, |known| known.min(bytes)));
            }
            Verdict::Bisect { .. } | Verdict::DeadLetter => {}
            Verdict::Insist { tries, .. } if part.len() == 1 => {
                let refusals = self.refusals.entry(part.first()).or_default();
                *refusals += 1;
                if *refusals < tries && self.guarded {
                    self.undecided.push(part);
                    return Err(fault);
                }
            }
            _ => {
                self.undecided.push(part);
                return Err(fault);
            }
        }
        let in_a_row = self.suspects.len() + before + usize::from(part.len() == 1);
        if self.guarded && !self.acknowledged && in_a_row >= REFUSED_IN_A_ROW {
            self.doubted.push(part);
            self.doubt = Some(fault);
            return Ok(());
        }
        if part.len() > 1 {
            let middle = part.len() / 2;
            self.undecided.extend([part.sub(middle..part.len()), part.sub(0..middle)]);
            return Ok(());
        }
        if self.guarded && self.mostly_refused() {
            self.undecided.push(part);
            return Err(self.sink_is_wrong(fault));
        }
        self.suspects.push((part.first(), fault.to_string()));
        Ok(())
    }

    /// The sink took a part of these, does not say which, and may not be asked again (recovery row S04): all of them
    /// become dead letters, so that nothing is lost.
    fn put_aside(&mut self, part: &Part, fault: &Fault) {
        self.taken();
        for place in part.0.iter().flat_map(Clone::clone) {
            self.dead.push((place, fault.to_string()));
        }
    }

    /// More than half of a load refused one by one: nobody's events are that bad. What was taken for a dead letter
    /// before stays one; each of them was followed by an event that the sink took.
    fn mostly_refused(&self) -> bool {
        let refused = self.dead.len() + self.suspects.len() + 1;
        refused >= REFUSED_FLOOD && refused * 2 > self.batch.len()
    }
}

/// Whether a fault is about what was sent, not about the destination.
pub(super) fn about_contents(fault: &Fault) -> bool {
    matches!(judge(fault).verdict, Verdict::Bisect { .. } | Verdict::DeadLetter)
}

/// Whether a fault is about single events: those are judged one by one.
fn concerns_events(fault: &Fault) -> bool {
    about_contents(fault) || matches!(judge(fault).verdict, Verdict::Insist { .. })
}

/// Places of a load, ascending.
#[derive(Debug, Default)]
struct Part(Vec<Range<usize>>);

impl Part {
    fn of(places: Range<usize>) -> Self {
        Part(vec![places])
    }
    fn len(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }
    fn is_empty(&self) -> bool {
        self.0.iter().all(Range::is_empty)
    }
    fn first(&self) -> usize {
        self.0.first().map_or(0, |run| run.start)
    }
    fn add(&mut self, more: Part) {
        self.0.extend(more.0);
    }
    fn subs(&self, which: Vec<Range<usize>>) -> Part {
        Part(which.into_iter().flat_map(|run| self.sub(run).0).collect())
    }
    /// Those of `which` in this part's own numbering.
    fn sub(&self, which: Range<usize>) -> Part {
        let mut before = 0;
        let runs = self.0.iter().map(|run| {
            let at = |n: usize| run.start + n.saturating_sub(before).min(run.len());
            let found = at(which.start)..at(which.end);
            before += run.len();
            found
        });
        Part(runs.filter(|run| !run.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::sink::{FilePlan, Plan};

    #[tokio::test]
    async fn what_was_only_written_is_confirmed_before_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::new(Plan::File(FilePlan::new(dir.path().join("out")))).unwrap();
        let mut delivery = Delivery::new(batch(1), true);
        delivery.proceed(&sink, 0).await.unwrap();
        assert!(delivery.decided() && delivery.acknowledged);
        assert!(sink.confirm().await.is_err(), "nothing is left to confirm");
    }

    fn batch(events: u8) -> Batch {
        let mut batch = Batch::default();
        for n in 0..events {
            batch.push(EventId([n; 16]), |out| out.extend_from_slice(b"{}\n"));
        }
        batch
    }

    /// Each of these places refused by itself, as `_bulk` does.
    fn refused(places: Range<usize>) -> Vec<Undelivered> {
        let fault = || Some(Fault::new(Origin::Sink, Kind::Status(400), "document_parsing_exception"));
        let one = |place| Undelivered { events: Part::of(place..place + 1).0, fault: fault() };
        places.map(one).collect()
    }

    #[test]
    fn an_answer_that_takes_some_shows_that_the_others_are_at_fault() {
        for from in [0, 50, 78] {
            let mut delivery = Delivery::new(batch(100), true);
            let part = delivery.undecided.pop().unwrap();
            delivery.partly(part, 78, refused(from..from + 22), 7).unwrap();
            assert!(delivery.decided() && delivery.acknowledged, "from {from}");
            assert_eq!(delivery.dead.len(), 22, "from {from}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_the_sinks_fault_although_it_takes_some() {
        let mut delivery = Delivery::new(batch(98), true);
        let part = delivery.undecided.pop().unwrap();
        delivery.partly(part, 48, refused(0..50), 0).unwrap_err();
        assert!(delivery.all_refused && delivery.dead.is_empty());
        assert_eq!(delivery.so_far().0.len(), 48, "what it took stays taken");
        let order: Vec<usize> = delivery.undecided.iter().rev().map(Part::first).collect();
        assert_eq!(order, (0..50).collect::<Vec<_>>(), "the first is sent first");
    }

    #[tokio::test]
    async fn what_was_forgotten_is_in_no_later_receipt() {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::new(Plan::File(FilePlan::new(dir.path().join("out")))).unwrap();
        let mut batch = Batch::default();
        batch.push(EventId([1; 16]), |out| out.extend_from_slice(b"{}\n"));
        sink.send(&batch).await.unwrap();
        sink.forget().await;
        sink.send(&batch).await.unwrap();
        confirm(&sink, 1).await.unwrap();
    }

    #[test]
    fn a_part_of_a_part_has_the_places_of_the_load() {
        let part = Part(vec![2..4, 7..8, 9..12]);
        let all = [2, 3, 7, 9, 10, 11];
        assert_eq!((part.len(), part.first()), (6, 2));
        for from in 0..7 {
            for to in from..7 {
                let places: Vec<usize> = part.sub(from..to).0.into_iter().flatten().collect();
                assert_eq!(places, all[from.min(6)..to.min(6)]);
            }
        }
    }
}
