//! What the pages of one cycle showed. A service that shows the same again under ever new tokens moves the position
//! with each page and would be read without end.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::decide::Leads;
use super::steps::Hand;
use crate::limits::{MAX_PAGES_REMEMBERED, MAX_PAGES_WITHOUT_NEWS, WINDOW_OLD};
use crate::mimecast::position::Position;
use crate::store::Intake;

/// The pages that were stored since the cycle began, or since its last fault: what follows one may show again what
/// came before it.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Of the page in hand.
    content: DefaultHasher,
    /// Of those before it, the newest last.
    seen: VecDeque<u64>,
    /// Pages in a row of which the store knew everything.
    known: u32,
}

impl Repeats {
    /// Another page begins.
    pub fn begin_page(&mut self) {
        self.content = DefaultHasher::new();
    }

    /// A part of the page, or the whole. Identities stand for bytes.
    pub fn part(&mut self, intake: &Intake) {
        for record in intake.chunks.iter().flat_map(|chunk| &chunk.records) {
            record.id.hash(&mut self.content);
        }
        for item in &intake.quarantined {
            item.sha256.hash(&mut self.content);
        }
    }

    /// Whether the page, of which the store had not known so many records, brings the reader on. A window that overlaps
    /// another is read to its end although its rows are known, but no two of its pages are the same; and however large
    /// the overlap, it ends.
    pub fn bring_on(&mut self, stored: u64) -> bool {
        let content = std::mem::take(&mut self.content).finish();
        self.known = if stored == 0 { self.known.saturating_add(1) } else { 0 };
        let again = self.seen.contains(&content);
        if !again {
            self.seen.push_back(content);
            if self.seen.len() > MAX_PAGES_REMEMBERED {
                self.seen.pop_front();
            }
        }
        !again && self.known <= MAX_PAGES_WITHOUT_NEWS
    }
}

impl Hand {
    /// For how many records a page counts that is stored: for none where it leads on and shows what this cycle has
    /// been shown (recovery row X12). Side work has its own end.
    pub(super) fn news(&mut self, records: u64, leads: Leads) -> u64 {
        let stored = self.tally.events;
        let repeats = self.repeats.as_mut().filter(|_| self.side.is_none() && leads == Leads::Forward);
        if repeats.is_none_or(|repeats| repeats.bring_on(stored)) { records } else { 0 }
    }

    /// The window was begun a while ago, before a stop maybe: its end is not now, and more happened since.
    pub(super) fn is_old(&self, asked: &Position) -> bool {
        let end = asked.window().filter(|_| self.side.is_none()).map(|(_, span)| span.to);
        end.is_some_and(|end| self.asked.since(end) >= self.feed.settle + WINDOW_OLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(repeats: &mut Repeats, content: u64, stored: u64) -> bool {
        repeats.begin_page();
        content.hash(&mut repeats.content);
        repeats.bring_on(stored)
    }

    #[test]
    fn a_page_that_came_before_brings_nobody_on_however_many_lie_between() {
        let mut repeats = Repeats::default();
        let rounds = MAX_PAGES_REMEMBERED as u64;
        for content in 0..rounds {
            assert!(page(&mut repeats, content, 0), "an overlap: known rows, but pages of its own");
        }
        for content in 0..rounds {
            assert!(!page(&mut repeats, content, 0), "{content}");
        }
        assert!(page(&mut repeats, rounds, 1));
    }

    #[test]
    fn pages_that_differ_and_bring_nothing_end_too() {
        let mut repeats = Repeats::default();
        let limit = u64::from(MAX_PAGES_WITHOUT_NEWS);
        assert!((0..limit).all(|content| page(&mut repeats, content, 0)));
        assert!(!page(&mut repeats, limit, 0));
        assert!(page(&mut repeats, limit + 1, 1), "something new");
        assert!(page(&mut repeats, limit + 2, 0));
    }
}
