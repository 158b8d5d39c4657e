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

/// Which feeds an operator means: `acme`, `acme/audit`, `acme/siem.*`, `*/audit`; the empty scope means all. `*` stands
/// for any run of characters, everything else for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    tenant: &'a str,
    feed: &'a str,
}

impl<'a> Scope<'a> {
    /// As it was written.
    pub fn new(text: &'a str) -> Self {
        match text.split_once('/') {
            Some((tenant, feed)) => Scope { tenant, feed },
            None if text.is_empty() => Scope { tenant: "*", feed: "*" },
            None => Scope { tenant: text, feed: "*" },
        }
    }

    /// The feed is one of those meant.
    pub fn covers(&self, key: &FeedKey) -> bool {
        self.covers_tenant(&key.tenant) && fits(self.feed, key.feed)
    }

    /// Some feed of the tenant may be meant.
    pub fn covers_tenant(&self, tenant: &str) -> bool {
        fits(self.tenant, tenant)
    }

    /// The same as a pattern of SQL's GLOB over `tenant/feed`. Neither name has a slash in it, so no star reaches
    /// beyond its own.
    pub fn glob(&self) -> String {
        let Scope { tenant, feed } = self;
        format!("{tenant}/{feed}").replace('[', "[[]").replace('?', "[?]")
    }
}

/// Whether a name fits a pattern in which `*` stands for any run of characters. Takes time proportional to pattern times
/// name: on a mismatch only the last `*` is widened.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let key = FeedKey { tenant: "acme".into(), feed: "siem.av" };
        let covers = |scope: &&str| Scope::new(scope).covers(&key);
        assert!(
            ["", "*", "acme", "ac*", "acme/siem.av", "acme/siem.*", "acme/*", "*/siem.*"].iter().all(covers)
        );
        assert!(!["bcme", "acme/audit", "siem.av", "acme/", "acme/siem.?v", "/siem.av"].iter().any(covers));
    }
}
