//! What a request sink makes of a load: acknowledged, refused, or not decided yet. A refused batch is halved
//! until single events stand alone; those become dead letters, unless so many in a row are refused that the
//! sink, not the events, must be wrong (recovery row S05).

use std::ops::Range;

use super::reader::Load;
use crate::clock::Time;
use crate::fault::Fault;
use crate::limits::REFUSED_IN_A_ROW;
use crate::sink::{Sent, Sink};
use crate::store::DeadLetter;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;

/// A load on its way, with what is decided so far. Survives back-offs, so that what was acknowledged is not
/// sent again.
pub struct Delivery {
    pub load: Load,
    /// Parts without a verdict, last one first.
    undecided: Vec<Range<usize>>,
    /// Single events refused since the last acknowledgement: dead letters once the sink proves itself.
    suspects: Vec<DeadLetter>,
    pub dead: Vec<DeadLetter>,
    /// The sink acknowledged something of this load.
    pub acknowledged: bool,
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
        }
    }

    pub fn decided(&self) -> bool {
        self.undecided.is_empty()
    }

    /// Sends what is undecided until everything is decided or a fault concerns more than single events.
    /// `refused_before` counts single refusals in a row before this load.
    pub async fn proceed(&mut self, sink: &Sink, refused_before: usize) -> Result<(), Fault> {
        while let Some(part) = self.undecided.pop() {
            let batch = self.load.batch.slice(part.clone());
            match sink.send(&batch).await {
                Ok(Sent::Acknowledged(_) | Sent::Written) => {
                    self.acknowledged = true;
                    self.dead.append(&mut self.suspects);
                }
                Err(fault) => self.refused(part, fault, refused_before)?,
            }
        }
        self.dead.append(&mut self.suspects);
        Ok(())
    }

    fn refused(&mut self, part: Range<usize>, fault: Fault, before: usize) -> Result<(), Fault> {
        if !matches!(judge(&fault).verdict, Verdict::Bisect | Verdict::DeadLetter) {
            self.undecided.push(part);
            return Err(fault);
        }
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            self.undecided.extend([middle..part.end, part.start..middle]);
            return Ok(());
        }
        let in_a_row = self.suspects.len() + 1 + if self.acknowledged { 0 } else { before };
        if in_a_row >= REFUSED_IN_A_ROW {
            self.undecided.clear();
            self.undecided.push(0..self.load.batch.len());
            self.suspects.clear();
            self.dead.clear();
            return Err(fault);
        }
        if let Some((chunk, event)) = self.load.event(part.start) {
            self.suspects.push(DeadLetter {
                feed: chunk.key.clone(),
                id: event.id,
                record: event.raw.to_vec(),
                words: fault.to_string(),
                collected: chunk.collected,
                time: event.time.map(Time),
                kind: event.kind.to_owned(),
            });
        }
        Ok(())
    }
}
