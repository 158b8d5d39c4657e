//! Which events of a feed were handed out one by one, how often, and what they add up to. One byte per event, and
//! none as long as nobody asks.

use crate::files::digest;

#[derive(Default)]
pub struct Rows {
    /// How often each event was handed out; stops counting at 255.
    times: Vec<u8>,
    /// Repeats included.
    pub handed: u64,
    pub distinct: u64,
    /// [`digest`] summed over the distinct ones.
    pub digest: u128,
    /// Digests of what was published, of the first runs, as far as somebody asked.
    pub published: Vec<u128>,
}

impl Rows {
    /// Event number `event` of the feed was handed out as `record`.
    pub fn hand(&mut self, event: u64, record: &[u8]) {
        let Ok(at) = usize::try_from(event) else { return };
        if self.times.len() <= at {
            self.times.resize(at + 1, 0);
        }
        let Some(times) = self.times.get_mut(at) else { return };
        self.handed += 1;
        *times = times.saturating_add(1);
        if *times == 1 {
            self.distinct += 1;
            self.digest = self.digest.wrapping_add(digest(record));
        }
    }

    pub fn times(&self, event: u64) -> u8 {
        usize::try_from(event).ok().and_then(|at| self.times.get(at)).copied().unwrap_or(0)
    }

    pub fn most_often(&self) -> u8 {
        self.times.iter().copied().max().unwrap_or(0)
    }

    /// Events in `from..to` that nobody was handed.
    pub fn missing(&self, from: u64, to: u64) -> u64 {
        (from..to).filter(|&event| self.times(event) == 0).count() as u64
    }

    pub fn published_digest(&self) -> u128 {
        self.published.iter().fold(0, |sum, d| sum.wrapping_add(*d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_but_not_added_up_again() {
        let mut rows = Rows::default();
        for event in [4, 0, 4, 4] {
            rows.hand(event, format!("record {event}").as_bytes());
        }
        assert_eq!((rows.handed, rows.distinct, rows.most_often()), (4, 2, 3));
        assert_eq!(rows.digest, digest(b"record 0").wrapping_add(digest(b"record 4")));
        assert_eq!((rows.times(0), rows.times(1), rows.times(4), rows.times(99)), (1, 0, 3, 0));
        assert_eq!(rows.missing(0, 6), 4);
        (0..300).for_each(|_| rows.hand(1, b"x"));
        assert_eq!(rows.most_often(), 255);
    }
}
