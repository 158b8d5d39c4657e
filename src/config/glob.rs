//! Patterns that name feeds: `*`, `siem.*`, `audit`.

use std::fmt;

/// A feed pattern; `*` stands for any run of characters, everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: impl Into<String>) -> Self {
        Glob(pattern.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// No `*` in it: names one feed.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }
    pub fn matches(&self, name: &str) -> bool {
        crate::cursor::fits(&self.0, name)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, exponential and obvious.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', p)), n) => slow(p, name) || n.is_some_and(|(_, rest)| slow(pattern, rest)),
            (Some((p, ps)), Some((n, ns))) => p == n && slow(ps, ns),
            _ => false,
        }
    }

    #[test]
    fn examples() {
        for (pattern, name, expected) in [
            ("*", "siem.receipt", true),
            ("siem.*", "siem.receipt", true),
            ("siem.*", "siem", false),
            ("audit", "audit", true),
            ("audit", "audits", false),
            ("*.url", "ttp.url", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(Glob::new(pattern.as_str()).matches(&name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
