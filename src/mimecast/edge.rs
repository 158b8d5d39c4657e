//! Where two pages of a window meet. Rows that appear while pages are read shift the later ones, so that the end of a
//! page is seen again at the beginning of the next: nothing but a second look tells such a row from a twin. So each
//! page is counted by itself, which is one moment and therefore true, and when a record of a page's last second
//! stands on the next page, too, that second alone is asked for: one answer, in which twins stand together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::position::whole_second;
use crate::chunk::Record;
use crate::clock::Time;
use crate::cursor::TimeSpan;
use crate::event::EventId;
use crate::limits::MAX_EDGE_RECORDS;

/// Answers of one window have this many bits of a read-through's number.
const NUMBER_BITS: u32 = u16::BITS;
const SECOND: Duration = Duration::from_secs(1);

/// What the next page of a window has to be compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Answers that were counted by themselves; the pages after the last possible one are counted together.
    #[serde(default, skip_serializing_if = "is_zero")]
    number: u16,
    /// A page was not in the order of time, so that twins need not be neighbours: all others are counted together, and
    /// a row that shifts is taken for a twin. That is a repeat; the other mistake would be a loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mixed: bool,
    /// Time of the last record, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    /// Beginnings of the ids of the last records of that time; none: too many to compare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<u32>,
    /// To be asked for before the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    look: Option<Look>,
}

/// One second asked for by itself. When it has several pages, all of them are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl Edge {
    /// Nothing was read yet, or nothing that has to be kept.
    pub(super) fn is_new(&self) -> bool {
        *self == Edge::default()
    }

    /// The number under which the next answer of read-through `pass` is counted.
    pub(super) fn pass(&self, pass: u64) -> u64 {
        (pass << NUMBER_BITS) | u64::from(self.number)
    }

    /// The span to ask for before the next page, and its page.
    pub(super) fn look(&self) -> Option<(TimeSpan, Option<&str>)> {
        self.look.as_ref().map(|look| (look.span(), look.page.as_deref()))
    }

    /// After an answer with these records. `whole`: all of its records could be read.
    #[must_use]
    pub(super) fn after(&self, records: &[Record], whole: bool, next: Option<&String>) -> Edge {
        if let Some(look) = &self.look {
            return self.looked(look, records, next);
        }
        let Some(last) = records.last() else { return self.clone() };
        let in_order =
            records.is_sorted_by_key(|record| record.time) || records.is_sorted_by(|a, b| a.time >= b.time);
        let timed = records.iter().all(|record| record.time.is_some());
        let (Some(at), true) = (last.time, in_order && timed && whole && !self.mixed) else {
            return Edge { number: self.number, mixed: true, ..Edge::default() };
        };
        let doubt = self.at.filter(|at| {
            let equal = |id| self.ids.is_empty() || self.ids.contains(&start(id));
            records.iter().any(|record| record.time == Some(*at) && equal(record.id))
        });
        Edge {
            number: self.number.saturating_add(1),
            mixed: false,
            at: Some(at),
            ids: self.ids_of(at, records),
            look: doubt.map(|at| Look { at, page: None }),
        }
    }

    /// The records of the last time `at`, and those of the page before when they are of the same.
    fn ids_of(&self, at: i64, records: &[Record]) -> Vec<u32> {
        let before = if self.at == Some(at) { self.ids.clone() } else { Vec::new() };
        if self.at == Some(at) && before.is_empty() {
            return before; // too many already
        }
        let here = records.iter().rev().take_while(|record| record.time == Some(at));
        let mut ids: Vec<u32> = before.into_iter().chain(here.map(|record| start(record.id))).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > MAX_EDGE_RECORDS {
            ids.clear();
        }
        ids
    }

    /// After an answer about one second: that was all, or there is more of it. A server that answers with other times
    /// does not look at what it is asked.
    fn looked(&self, look: &Look, records: &[Record], next: Option<&String>) -> Edge {
        let span = look.span();
        let inside = |record: &Record| record.time.is_some_and(|at| span.from.0 <= at && at <= span.to.0);
        match next.filter(|_| records.iter().all(inside)) {
            Some(page) => {
                Edge { look: Some(Look { page: Some(page.clone()), ..look.clone() }), ..self.clone() }
            }
            None => Edge { number: self.number.saturating_add(1), look: None, ..self.clone() },
        }
    }
}

impl Look {
    /// A second on either side, for servers that leave out one end.
    fn span(&self) -> TimeSpan {
        let second = whole_second(Time(self.at));
        TimeSpan { from: second.minus(SECOND), to: second.plus(SECOND * 2) }
    }
}

fn start(id: EventId) -> u32 {
    let [a, b, c, d, ..] = id.0;
    u32::from_be_bytes([a, b, c, d])
}
