//! Names of feeds and positions in them. A [`Cursor`] is opaque outside `mimecast/position.rs`: the store
//! compares and keeps its text, and nobody else looks inside.

use std::fmt;

use crate::clock::Time;

/// One feed of one tenant: `acme/siem.receipt`. The daemon's own feed has the tenant `""`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedKey {
    pub tenant: String,
    pub feed: &'static str,
}

impl fmt::Display for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant.as_str() {
            "" => f.write_str(self.feed), // the daemon's own feed is nobody's
            tenant => write!(f, "{tenant}/{}", self.feed),
        }
    }
}

/// The position in a feed, as text: versioned, opaque, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

impl Cursor {
    /// The position of a feed that was never polled.
    pub fn unset() -> Self {
        Cursor(String::new())
    }
    /// Whether the feed was never polled, so that it starts at its lookback.
    pub fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

/// A movement of a feed's position: what lies after `from`, up to and including `to`. A store that stands at
/// `from` moves to `to`; one that stands at `to` has done so already; any other refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Cursor,
    pub to: Cursor,
}

/// A span of time of a feed, half open: `(from, to]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    pub from: Time,
    pub to: Time,
}
