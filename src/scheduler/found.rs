//! Unreadable input on its way to the quarantine, and what the log says of it.

use crate::mimecast::payload::Unreadable;
use crate::store::Quarantined;

/// Unreadable input of one file or page: for the store, and by kind for the log.
pub struct Found {
    pub items: Vec<Quarantined>,
    /// One entry a kind of damage.
    pub kinds: Vec<Damage>,
}

/// One kind of damage.
pub struct Damage {
    /// Short code, safe as a metric label.
    pub reason: &'static str,
    pub lines: u64,
    /// What the first of them looked like.
    pub first: String,
}

impl Damage {
    /// Lines that the store did not know; `known` are the reasons of those it knew from an earlier read of the window.
    pub fn news(&self, known: &[String]) -> u64 {
        let known = known.iter().filter(|reason| *reason == self.reason).count() as u64;
        self.lines.saturating_sub(known)
    }
}

impl Found {
    /// `source`: the file's name, or the function's path.
    pub fn new(unreadable: Vec<Unreadable>, source: &str) -> Self {
        let mut kinds: Vec<Damage> = Vec::new();
        for item in &unreadable {
            match kinds.iter_mut().find(|kind| kind.reason == item.reason) {
                Some(kind) => kind.lines += 1,
                None => kinds.push(Damage { reason: item.reason, lines: 1, first: item.detail.clone() }),
            }
        }
        let kept = |item: Unreadable| Quarantined {
            source: if item.line > 0 { format!("{source}, line {}", item.line) } else { source.to_owned() },
            reason: item.reason.to_owned(),
            detail: item.detail,
            bytes: item.bytes,
            sha256: item.sha256,
            len: item.len,
        };
        Found { items: unreadable.into_iter().map(kept).collect(), kinds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_knew_is_no_news() {
        let damage = Damage { reason: "not_json", lines: 3, first: String::new() };
        let known = ["not_json".to_owned(), "line_too_long".to_owned(), "not_json".to_owned()];
        assert_eq!((damage.news(&known), damage.news(&[])), (1, 3));
    }
}
