//! What a request sink makes of a load: acknowledged, refused, or not decided yet. A refused batch is halved
//! until single events stand alone; those become dead letters, unless so many in a row are refused that the
//! sink, not the events, must be wrong (recovery row S05).

use std::collections::BTreeMap;
use std::ops::Range;

use super::reader::Load;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::REFUSED_IN_A_ROW;
use crate::sink::{Sent, Sink, Undelivered};
use crate::store::DeadLetter;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;

/// A load on its way, with what is decided so far. Survives back-offs, so that what was acknowledged is not
/// sent again.
pub struct Delivery {
    pub load: Load,
    /// Parts without a verdict, last one first.
    undecided: Vec<Range<usize>>,
    /// Single events refused since the last acknowledgement, with their places: dead letters once the sink proves
    /// itself by taking another.
    suspects: Vec<(usize, DeadLetter)>,
    pub dead: Vec<DeadLetter>,
    /// The sink acknowledged something of this load.
    pub acknowledged: bool,
    /// How often single events were refused that may be taken another time (recovery row S15).
    refusals: BTreeMap<usize, u8>,
}

impl Delivery {
    pub fn new(load: Load) -> Self {
        let all = 0..load.batch.len();
        Delivery {
            undecided: if all.is_empty() { Vec::new() } else { vec![all] },
            load,
            suspects: Vec::new(),
            dead: Vec::new(),
            acknowledged: false,
            refusals: BTreeMap::new(),
        }
    }

    pub fn decided(&self) -> bool {
        self.undecided.is_empty()
    }

    /// Sends what is undecided until everything is decided or a fault concerns more than single events.
    /// `refused_before` counts single refusals in a row before this load.
    pub async fn proceed(&mut self, sink: &Sink, refused_before: usize) -> Result<(), Fault> {
        while let Some(part) = self.undecided.pop() {
            let sent = if part.len() == self.load.batch.len() {
                sink.send(&self.load.batch).await
            } else {
                sink.send(&self.load.batch.slice(part.clone())).await
            };
            match sent {
                Ok(Sent::Acknowledged(_) | Sent::Written) => self.taken(),
                Ok(Sent::Partly(receipt, rest)) => {
                    self.partly(part, receipt.events(), rest, refused_before)?;
                }
                Err(fault) => self.refused(part, fault, refused_before)?,
            }
        }
        self.dead.extend(self.suspects.drain(..).map(|(_, letter)| letter));
        Ok(())
    }

    fn taken(&mut self) {
        self.acknowledged = true;
        self.dead.extend(self.suspects.drain(..).map(|(_, letter)| letter));
    }

    /// Books what each event of a part got for an answer; the first fault that is about more than events is
    /// returned when all of them have their place.
    fn partly(
        &mut self,
        part: Range<usize>,
        taken: u64,
        rest: Vec<Undelivered>,
        before: usize,
    ) -> Result<(), Fault> {
        let missing: usize = rest.iter().map(|some| some.events.len()).sum();
        if taken as usize + missing != part.len() {
            let words = format!("{taken} of {} events answered for, {missing} refused", part.len());
            self.undecided.push(part);
            return Err(Fault::new(Origin::Sink, Kind::Interrupted, words));
        }
        if taken > 0 {
            self.taken();
        }
        let mut first = Ok(());
        for Undelivered { events, fault } in rest.into_iter().rev() {
            let events = part.start + events.start..part.start + events.end;
            if let Err(fault) = self.refused(events, fault, before) {
                first = Err(fault);
            }
        }
        if let Err(fault) = &first
            && matches!(judge(fault).verdict, Verdict::Bisect | Verdict::DeadLetter)
        {
            self.undecided.extend(self.suspects.drain(..).map(|(place, _)| place..place + 1));
        }
        first
    }

    fn refused(&mut self, part: Range<usize>, fault: Fault, before: usize) -> Result<(), Fault> {
        match judge(&fault).verdict {
            Verdict::Bisect | Verdict::DeadLetter => {}
            Verdict::Insist { tries, .. } if part.len() == 1 => {
                let refusals = self.refusals.entry(part.start).or_default();
                *refusals += 1;
                if *refusals < tries {
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
            let middle = part.start + part.len() / 2;
            self.undecided.extend([middle..part.end, part.start..middle]);
            return Ok(());
        }
        let in_a_row = self.suspects.len() + 1 + if self.acknowledged { 0 } else { before };
        if in_a_row >= REFUSED_IN_A_ROW || self.mostly_refused() {
            // the sink is wrong, not the events: all that it refused is still to be delivered
            let suspects = self.suspects.drain(..).map(|(place, _)| place..place + 1);
            self.undecided.push(part);
            self.undecided.extend(suspects);
            return Err(fault);
        }
        self.suspect(part.start, &fault);
        Ok(())
    }

    /// More than half of a load refused one by one: nobody's events are that bad. What was taken for a dead letter
    /// before stays one; each of them was followed by an event that the sink took.
    fn mostly_refused(&self) -> bool {
        let refused = self.dead.len() + self.suspects.len() + 1;
        refused >= REFUSED_IN_A_ROW && refused * 2 > self.load.batch.len()
    }

    fn suspect(&mut self, place: usize, fault: &Fault) {
        let Some((chunk, event)) = self.load.event(place) else { return };
        let letter = DeadLetter {
            feed: chunk.key.clone(),
            id: event.id,
            record: event.raw.to_vec(),
            words: fault.to_string(),
            collected: chunk.collected,
            time: event.time.map(Time),
            kind: event.kind.to_owned(),
        };
        self.suspects.push((place, letter));
    }
}
