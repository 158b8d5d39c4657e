//! How large a request may be for a destination that has called one too large (recovery row S09). What was learnt is
//! doubted after a while: limits are raised, and what refused may have been a proxy that is gone.

use crate::clock::Time;
use crate::limits::{LEAST_ROOM_BYTES, ROOM_GROWS_EVERY};
use crate::sink::Window;

/// Nothing is known to be too large at first.
#[derive(Debug, Default)]
pub struct Room {
    learnt: Option<Learnt>,
}

#[derive(Debug)]
struct Learnt {
    bytes: usize,
    /// When twice as much is tried.
    doubt: Time,
}

impl Room {
    /// So many bytes of several events were too large: half of it from now on.
    pub fn refused(&mut self, bytes: usize, now: Time) {
        let half = (bytes / 2).max(LEAST_ROOM_BYTES);
        let bytes = self.learnt.as_ref().map_or(half, |learnt| learnt.bytes.min(half));
        self.learnt = Some(Learnt { bytes, doubt: now.plus(ROOM_GROWS_EVERY) });
    }

    /// What the sink wants, within what it takes.
    pub fn fit(&mut self, window: Window, now: Time) -> Window {
        let Some(learnt) = &mut self.learnt else { return window };
        if now >= learnt.doubt {
            *learnt = Learnt { bytes: learnt.bytes.saturating_mul(2), doubt: now.plus(ROOM_GROWS_EVERY) };
        }
        let max_bytes = learnt.bytes.min(window.max_bytes);
        if max_bytes == window.max_bytes {
            self.learnt = None;
        }
        Window { max_bytes, ..window }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_shrinks_to_its_least_and_grows_again() {
        let full = Window {
            max_events: 9,
            max_bytes: 1 << 20,
            wait: Duration::ZERO,
            concurrency: 1,
            confirm_every: 0,
        };
        let (mut room, start) = (Room::default(), Time(0));
        assert_eq!(room.fit(full, start), full);
        room.refused(1 << 20, start);
        room.refused(1 << 20, start); // another request of the same round
        assert_eq!(room.fit(full, start).max_bytes, 1 << 19);
        for _ in 0..20 {
            let size = room.fit(full, start).max_bytes;
            room.refused(size, start);
        }
        assert_eq!(room.fit(full, start).max_bytes, LEAST_ROOM_BYTES, "there is an end to it");
        let mut now = start;
        let mut steps = vec![];
        while room.learnt.is_some() {
            now = now.plus(ROOM_GROWS_EVERY);
            steps.push(room.fit(full, now).max_bytes);
            assert_eq!(room.fit(full, now).max_bytes, steps[steps.len() - 1], "one step at a time");
        }
        assert_eq!(steps, [1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20]);
        assert_eq!(room.fit(full, now), full);
    }
}
