//! What a request sink makes of a load: acknowledged, refused, or not decided yet. A refused batch is halved
//! until single events stand alone; those become dead letters, unless so many in a row are refused that the
//! sink, not the events, must be wrong (recovery row S05).

use std::collections::BTreeMap;
use std::ops::Range;

use super::courier::confirm;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::REFUSED_IN_A_ROW;
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
            dead: Vec::new(),
            acknowledged: false,
            progress: false,
            all_refused: false,
            too_large: None,
            refusals: BTreeMap::new(),
        }
    }

    pub fn decided(&self) -> bool {
        self.undecided.is_empty()
    }

    /// Places of events that were taken, and what was refused one by one, when it ends here.
    pub fn so_far(&self) -> (Vec<usize>, impl Iterator<Item = &Refused>) {
        let refused = || self.dead.iter().chain(&self.suspects);
        let mut open: Vec<bool> = vec![true; self.batch.len()];
        let places = self.undecided.iter().flat_map(|part| part.0.iter().flat_map(Clone::clone));
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
        }
        self.dead.append(&mut self.suspects);
        Ok(())
    }

    fn taken(&mut self) {
        (self.acknowledged, self.progress) = (true, true);
        self.dead.append(&mut self.suspects);
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
        let (mut first, mut again, mut at) = (Ok(()), Part::default(), 0);
        let halves = self.undecided.len();
        for Undelivered { events, fault } in rest {
            let (start, end) =
                (events.first().map_or(at, |run| run.start), events.last().map_or(at, |run| run.end));
            if taken > 0 && start > at {
                self.taken();
            }
            at = at.max(end);
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
        if taken > 0 && at < part.len() {
            self.taken();
        }
        if let Err(fault) = &first
            && about_contents(fault)
        {
            self.undecided.extend(self.suspects.drain(..).map(|(place, _)| Part::of(place..place + 1)));
        }
        if let Some(found) = self.undecided.get_mut(halves..) {
            found.reverse(); // the last one is sent first
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
        if part.len() > 1 {
            let middle = part.len() / 2;
            self.undecided.extend([part.sub(middle..part.len()), part.sub(0..middle)]);
            return Ok(());
        }
        let in_a_row = self.suspects.len() + 1 + if self.acknowledged { 0 } else { before };
        if self.guarded && (in_a_row >= REFUSED_IN_A_ROW || self.mostly_refused()) {
            // the sink is wrong, not the events: all that it refused is still to be delivered
            let suspects = self.suspects.drain(..).map(|(place, _)| Part::of(place..place + 1));
            self.undecided.push(part);
            self.undecided.extend(suspects);
            self.all_refused = true;
            return Err(fault);
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
        refused >= REFUSED_IN_A_ROW && refused * 2 > self.batch.len()
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
        let mut batch = Batch::default();
        batch.push(EventId([1; 16]), |out| out.extend_from_slice(b"{}\n"));
        let mut delivery = Delivery::new(batch, true);
        delivery.proceed(&sink, 0).await.unwrap();
        assert!(delivery.decided() && delivery.acknowledged);
        assert!(sink.confirm().await.is_err(), "nothing is left to confirm");
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
