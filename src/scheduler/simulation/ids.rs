//! Sets and maps by event: an id is a hash already, and a second one would be a tenth of the whole simulation.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::event::EventId;

pub type Ids = HashSet<EventId, BuildHasherDefault<AsItIs>>;
pub type ById<T> = HashMap<EventId, T, BuildHasherDefault<AsItIs>>;

/// Takes the bytes as they are.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for half in bytes.as_chunks().0 {
            self.0 = self.0.rotate_left(5) ^ u64::from_le_bytes(*half);
        }
    }
    fn write_usize(&mut self, _length: usize) {}
}
