//! What one receiver has still to be told: the newest message of each alert, never two of the same. A receiver that
//! was away hears of an alert that came and went meanwhile once, not of every step.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::{Message, Told};
use crate::limits::MAX_ALERTS;
use crate::telemetry::label::Grade;

/// Which alerts a receiver wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// The receiver's own name: it is not told that it cannot be told.
    pub name: String,
    /// Empty: everything. Else only what concerns these tenants.
    pub tenants: Vec<String>,
    pub at_least: Grade,
}

impl Accepts {
    /// Whether the receiver wants this message.
    pub fn wants(&self, message: &Message) -> bool {
        message.severity >= self.at_least
            && (self.tenants.is_empty() || self.tenants.contains(&message.key.tenant))
            && message.key.scope.strip_prefix(SCOPE) != Some(self.name.as_str())
    }
}

/// Begins the scope of alerts about receivers of alerts.
pub const SCOPE: &str = "alerts:";

/// A message and its number; a newer one of the same alert has a higher number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub number: i64,
    pub message: Message,
}

/// The queue of one receiver. Bounded: one message for each alert there is.
pub struct Outbox {
    pub accepts: Accepts,
    due: Mutex<BTreeMap<String, Due>>,
    /// What is active, for receivers that want to hear of it again and again.
    active: Mutex<Vec<Message>>,
    changed: Notify,
}

impl Outbox {
    pub fn new(accepts: Accepts) -> Self {
        Outbox { accepts, due: Mutex::default(), active: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message if the receiver wants it, in the place of an older one about the same alert; returns what is
    /// due about this alert now.
    pub fn put(&self, number: i64, message: &Message) -> Option<Due> {
        if !self.accepts.wants(message) {
            return None;
        }
        let mut due = self.lock();
        let name = message.key.name();
        if due.len() >= MAX_ALERTS && !due.contains_key(&name) {
            return None; // the book has no more entries, so this only keeps a promise
        }
        let mut message = message.clone();
        if let Some(old) = due.get(&name)
            && old.message.told == Told::Raised
            && matches!(message.told, Told::Updated | Told::Repeated)
        {
            message.told = Told::Raised; // the receiver has not heard of it yet
        }
        let new = Due { number, message };
        due.insert(name, new.clone());
        drop(due);
        self.changed.notify_one();
        Some(new)
    }

    /// Takes back what the store kept.
    pub fn restore(&self, number: i64, message: Message) {
        let mut due = self.lock();
        if due.len() < MAX_ALERTS {
            due.insert(message.key.name(), Due { number, message });
        }
        drop(due);
        self.changed.notify_one();
    }

    /// The oldest messages, at most `most`.
    pub fn next(&self, most: usize) -> Vec<Due> {
        let mut all: Vec<Due> = self.lock().values().cloned().collect();
        all.sort_by_key(|due| due.number);
        all.truncate(most);
        all
    }

    /// These were told, or never will be; newer ones of the same alerts stay. Returns names and numbers, for the
    /// store.
    pub fn done(&self, told: &[Due]) -> Vec<(String, i64)> {
        let mut due = self.lock();
        let names: Vec<(String, i64)> =
            told.iter().map(|done| (done.message.key.name(), done.number)).collect();
        for (name, number) in &names {
            if due.get(name).is_some_and(|waiting| waiting.number <= *number) {
                due.remove(name);
            }
        }
        names
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// What is active now, as far as the receiver wants to know.
    pub fn set_active(&self, messages: impl Iterator<Item = Message>) {
        let active = messages.filter(|message| self.accepts.wants(message)).collect();
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = active;
    }
    /// As last set.
    pub fn active(&self) -> Vec<Message> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Completes when something was put here since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
