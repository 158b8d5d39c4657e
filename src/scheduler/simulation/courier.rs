//! A courier's progress, by the sentences of `delivery::courier`: a position moves with an acknowledgement and not
//! before, what was not acknowledged is sent again, what is refused for good is kept as a dead letter.

use std::time::Duration;

use super::ids::Ids;
use super::planted::Planted;
use super::world::{Event, World};
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;

const BATCH: usize = 20;

/// One destination, and how the courier stands with it.
#[derive(Default)]
pub struct Courier {
    /// What the destination has.
    pub got: Ids,
    /// For the mistake that takes what is sent again for something else.
    sent: Ids,
    failures: u8,
    idle: bool,
}

impl World {
    pub(super) fn open_courier(&mut self, sink: usize) {
        self.sinks[sink].failures = 0;
        self.sinks[sink].idle = false;
        if self.is(Planted::SkippedAtRestart) && self.store.positions[sink] < self.store.log.len() {
            self.store.positions[sink] += 1;
        }
        self.within(5, Event::Deliver { sink });
    }

    /// There is something new.
    pub(super) fn wake_couriers(&mut self) {
        for sink in 0..self.sinks.len() {
            if std::mem::take(&mut self.sinks[sink].idle) {
                self.within(5, Event::Deliver { sink });
            }
        }
    }

    pub(super) fn deliver(&mut self, sink: usize) {
        let from = self.store.positions[sink];
        let to = (from + BATCH).min(self.store.log.len());
        if from == to {
            self.sinks[sink].idle = true;
            return;
        }
        let batch: Vec<EventId> = self.store.log[from..to].iter().map(|(_, id)| *id).collect();
        let struck =
            self.weather(Origin::Sink, sink).and_then(|answer| answer.fault(Origin::Sink, self.clock()));
        let done = match struck {
            None => {
                self.receive(sink, &batch);
                self.book(sink, to, None)
            }
            Some(fault) => self.refused(sink, from, &batch, fault),
        };
        match done {
            Ok(()) => {
                self.sinks[sink].failures = 0;
                self.within(3, Event::Deliver { sink });
            }
            Err(fault) => {
                let failures = self.sinks[sink].failures.saturating_add(1);
                self.sinks[sink].failures = failures;
                let wait = match judge(&fault).verdict {
                    Verdict::Backoff { wait, .. }
                    | Verdict::PauseFor(wait)
                    | Verdict::Insist { wait, .. } => {
                        let moment = self.moment();
                        self.pace.after_failure(&fault, wait, failures, moment)
                    }
                    _ => Duration::from_secs(900),
                };
                self.at(self.now.plus(wait), Event::Deliver { sink });
            }
        }
    }

    fn receive(&mut self, sink: usize, batch: &[EventId]) {
        let other = self.is(Planted::OtherIdWhenSentAgain);
        let courier = &mut self.sinks[sink];
        for id in batch {
            let mut id = *id;
            if other && !courier.sent.insert(id) {
                id.0[0] ^= 0xff;
            }
            courier.got.insert(id);
        }
    }

    fn refused(&mut self, sink: usize, from: usize, batch: &[EventId], fault: Fault) -> Result<(), Fault> {
        let verdict = judge(&fault).verdict;
        if matches!(verdict, Verdict::Bisect { .. } | Verdict::DeadLetter) {
            // the halves before it were taken, the event alone is refused for good
            let bad = self.dice.usize(0..batch.len());
            self.receive(sink, &batch[..bad]);
            return self.book(sink, from + bad + 1, Some(batch[bad]));
        }
        let part = self.dice.usize(0..batch.len());
        if matches!(fault.kind, Kind::Interrupted | Kind::Timeout | Kind::Partial) {
            self.receive(sink, &batch[..part]);
        } else if self.is(Planted::OtherIdWhenSentAgain) {
            self.sinks[sink].sent.extend(batch);
        }
        let in_part = matches!(fault.kind, Kind::Interrupted | Kind::Timeout | Kind::Partial);
        if self.is(Planted::PartTakenForWhole) && part > 0 && in_part || self.is(Planted::MovedWithoutReceipt)
        {
            self.book(sink, from + batch.len(), None)?;
        }
        Err(fault)
    }

    fn book(&mut self, sink: usize, to: usize, letter: Option<EventId>) -> Result<(), Fault> {
        self.writable()?;
        self.store.positions[sink] = to;
        if !self.is(Planted::DeadLetterForgotten) {
            self.store.dead[sink].extend(letter);
        }
        Ok(())
    }
}
