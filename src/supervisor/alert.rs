//! The book of alerts: what a person has been told about, and when to tell again. Whoever looks at the daemon hands
//! over what is wrong at that moment ([`Finding`]); the book answers with what is worth telling ([`Change`]).
//!
//! An alert is told once when it is raised, again when it gets worse, once a day while it lasts, and once when it is
//! over. A condition that comes and goes is damped: it must be gone for a while before it counts as over, and longer
//! each time it came back. The book is kept as text in the store, so that a restart neither repeats nor forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::{Rule, Severity};
use crate::clock::Time;
use crate::limits::{
    ALERT_FLAP_MEMORY, ALERT_HOLD, ALERT_MAX_HOLD, ALERT_REPEAT, ALERT_UPDATE_EVERY, MAX_ALERTS,
};

/// What tells one alert from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Empty for sinks and this machine.
    pub tenant: String,
    /// What `resume` and `status` call it: `acme`, `acme/audit`, `sink:siem`, `store`.
    pub scope: String,
    /// Id of the recovery rule, or a word for what no rule stands for (`gap_open`).
    pub alert: String,
}

impl Key {
    /// One text for all of it, as the store's key. Names hold no line ends.
    pub fn name(&self) -> String {
        format!("{}\n{}\n{}", self.tenant, self.scope, self.alert)
    }
}

/// Something that is wrong right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub key: Key,
    pub severity: Severity,
    /// One word: `locked_out`.
    pub title: String,
    /// What happened, in the other side's words where it had any.
    pub words: String,
    /// What to do about it.
    pub remedy: String,
    /// What ends it.
    pub clears: String,
    /// When it began, where that is known.
    pub since: Option<Time>,
    /// How long it has to last before anybody is told.
    pub patience: Duration,
    /// A higher number than before is told anew: the number of open gaps, the nearness of an end.
    pub stage: u64,
    /// Events that wait because of it, now.
    pub waiting: u64,
}

/// How long a fault that this row answers has to last before anybody is told; `None`: it is never told. What stands
/// still until somebody acts is told at once, what passes by itself gets time to do so.
pub fn patience(rule: &Rule) -> Option<Duration> {
    if rule.alert { Some(Duration::ZERO) } else { rule.lasting.iter().map(|(from, _)| *from).min() }
}

/// How an entry of the book stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// Seen, and nobody is told yet.
    Pending,
    /// Told.
    Raised,
    /// Over; remembered for a while, because what comes back soon is damped.
    Over,
}

/// One entry of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub key: Key,
    pub severity: Severity,
    pub title: String,
    pub words: String,
    pub remedy: String,
    pub clears: String,
    /// When it began.
    pub since: Time,
    /// Most events that waited because of it.
    pub waited: u64,
    standing: Standing,
    stage: u64,
    /// When a person was last told.
    told: Time,
    /// Not seen since then; for what is over: when it was.
    gone: Option<Time>,
    /// How often it came back soon after it was over.
    flaps: u32,
}

impl Alert {
    fn new(finding: Finding, now: Time) -> Self {
        Alert {
            since: finding.since.filter(|since| *since <= now).unwrap_or(now),
            key: finding.key,
            severity: finding.severity,
            title: finding.title,
            words: finding.words,
            remedy: finding.remedy,
            clears: finding.clears,
            waited: finding.waiting,
            standing: Standing::Pending,
            stage: finding.stage,
            told: now,
            gone: None,
            flaps: 0,
        }
    }

    /// A person has been told, and it is not over.
    pub fn is_active(&self) -> bool {
        self.standing == Standing::Raised
    }
    /// It is over, and only remembered.
    pub fn is_over(&self) -> bool {
        self.standing == Standing::Over
    }
    /// How long it has to be gone before it counts as over.
    fn hold(&self) -> Duration {
        ALERT_HOLD.saturating_mul(1_u32.checked_shl(self.flaps).unwrap_or(u32::MAX)).min(ALERT_MAX_HOLD)
    }
}

/// What is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Raised(Alert),
    /// It got worse.
    Updated(Alert),
    /// It has lasted for another day.
    Repeated(Alert),
    /// It is over since then.
    Cleared(Alert, Time),
}

impl Change {
    /// What the change is about, as it stands after it.
    pub fn alert(&self) -> &Alert {
        match self {
            Change::Raised(alert) | Change::Updated(alert) | Change::Repeated(alert) => alert,
            Change::Cleared(alert, _) => alert,
        }
    }
}

/// Every alert that is active, about to be, or was a short while ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    entries: BTreeMap<Key, Alert>,
    /// Entries that the store has to be told about.
    changed: BTreeSet<Key>,
}

impl Book {
    /// The book as it was kept, entry by entry; what cannot be read is left out and raised again if it still holds.
    pub fn restore<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let alerts = texts.into_iter().filter_map(|text| serde_json::from_str::<Alert>(text).ok());
        let entries = alerts.take(MAX_ALERTS).map(|alert| (alert.key.clone(), alert)).collect();
        Book { entries, changed: BTreeSet::new() }
    }

    /// What changed since the last call, for the store: the key's name, and the entry as text or `None` when it is
    /// gone.
    pub fn take_changed(&mut self) -> Vec<(String, Option<String>)> {
        let text = |key: &Key| self.entries.get(key).and_then(|alert| serde_json::to_string(alert).ok());
        let texts = self.changed.iter().map(|key| (key.name(), text(key))).collect();
        self.changed.clear();
        texts
    }

    /// The alerts a person has been told about and that are not over.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.entries.values().filter(|alert| alert.is_active())
    }
    /// What is over, and was active not long ago.
    pub fn over(&self) -> impl Iterator<Item = &Alert> {
        self.entries.values().filter(|alert| alert.standing == Standing::Over)
    }
    /// The entry of this key, active or not.
    pub fn get(&self, key: &Key) -> Option<&Alert> {
        self.entries.get(key)
    }

    /// Compares what is wrong now with what was known. `unsettled` names the scopes of which nobody can say yet how
    /// they are (just started, not asked yet): their alerts stay as they are.
    pub fn look(&mut self, found: Vec<Finding>, unsettled: &BTreeSet<String>, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut seen = BTreeSet::new();
        for finding in found {
            if !self.entries.contains_key(&finding.key) && self.entries.len() >= MAX_ALERTS {
                continue; // so many at once are one incident; the first thousand tell it
            }
            seen.insert(finding.key.clone());
            changes.extend(self.see(finding, now));
        }
        let missing = self.entries.iter().filter(|(key, _)| !seen.contains(*key));
        let missing = missing
            .filter(|(key, alert)| alert.standing == Standing::Over || !unsettled.contains(&key.scope));
        let missing: Vec<Key> = missing.map(|(key, _)| key.clone()).collect();
        for key in missing {
            changes.extend(self.miss(key, now));
        }
        changes
    }

    fn see(&mut self, finding: Finding, now: Time) -> Option<Change> {
        let key = finding.key.clone();
        let (patience, stage, severity) = (finding.patience, finding.stage, finding.severity);
        let before = self.entries.get(&key).cloned();
        let mut alert = match before.clone() {
            None => Alert::new(finding, now),
            Some(old) if old.standing == Standing::Over => {
                let soon = old.gone.is_some_and(|gone| now.since(gone) <= ALERT_FLAP_MEMORY);
                let flaps = if soon { old.flaps.saturating_add(1) } else { 0 };
                Alert { flaps, ..Alert::new(finding, now) }
            }
            Some(old) => Alert {
                words: finding.words,
                remedy: finding.remedy,
                clears: finding.clears,
                waited: old.waited.max(finding.waiting),
                severity: old.severity.max(severity),
                gone: None,
                ..old
            },
        };
        let change = if alert.standing == Standing::Pending {
            (now.since(alert.since) >= patience).then(|| {
                (alert.standing, alert.told) = (Standing::Raised, now);
                Change::Raised(alert.clone())
            })
        } else {
            let quiet = now.since(alert.told);
            let worse = stage > alert.stage || before.is_some_and(|old| severity > old.severity);
            if worse && quiet >= ALERT_UPDATE_EVERY {
                (alert.told, alert.stage) = (now, stage);
                Some(Change::Updated(alert.clone()))
            } else if quiet >= ALERT_REPEAT {
                alert.told = now;
                Some(Change::Repeated(alert.clone()))
            } else {
                None
            }
        };
        self.put(alert);
        change
    }

    fn miss(&mut self, key: Key, now: Time) -> Option<Change> {
        let mut alert = self.entries.get(&key)?.clone();
        match alert.standing {
            Standing::Pending => self.drop_entry(key),
            Standing::Over => {
                if alert.gone.is_none_or(|gone| now.since(gone) > ALERT_FLAP_MEMORY) {
                    self.drop_entry(key);
                }
            }
            Standing::Raised => {
                let gone = *alert.gone.get_or_insert(now);
                if now.since(gone) >= alert.hold() {
                    let told = alert.clone();
                    (alert.standing, alert.told) = (Standing::Over, now);
                    self.put(alert);
                    return Some(Change::Cleared(told, gone));
                }
                self.put(alert);
            }
        }
        None
    }

    fn put(&mut self, alert: Alert) {
        let key = alert.key.clone();
        let old = self.entries.insert(key.clone(), alert.clone());
        // words and figures alone are not worth a write: they come again with the next look
        let same = old.is_some_and(|old| {
            old.standing == alert.standing
                && old.gone == alert.gone
                && old.told == alert.told
                && old.stage == alert.stage
        });
        if !same {
            self.changed.insert(key);
        }
    }

    fn drop_entry(&mut self, key: Key) {
        self.entries.remove(&key);
        self.changed.insert(key);
    }
}

#[cfg(test)]
#[path = "alert_edges.rs"]
mod edges;
#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
