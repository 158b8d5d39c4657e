//! One message about one alert: what every form says, in the words of `status` and of the log.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::supervisor::alert::{Change, Key};
use crate::telemetry::escape::clean;
use crate::telemetry::label::Grade;
use crate::telemetry::notice::Span;

/// Why the message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Raised,
    /// It got worse.
    Updated,
    /// It has lasted for another day.
    Repeated,
    /// It is over.
    Cleared,
}

impl Told {
    pub fn as_str(self) -> &'static str {
        match self {
            Told::Raised => "raised",
            Told::Updated => "updated",
            Told::Repeated => "repeated",
            Told::Cleared => "cleared",
        }
    }
}

/// What an alert cost until it was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Most events that waited because of it; all of them are delivered or still waiting, none is lost.
    pub events_waited: u64,
    /// Gaps that opened meanwhile.
    pub gaps: u64,
    /// Length of these gaps, seconds.
    pub gap_seconds: u64,
}

impl Cost {
    /// As the end of a sentence.
    pub fn words(&self) -> String {
        let gaps = match self.gaps {
            0 => "no gap opened".to_owned(),
            1 => format!("1 gap of {} opened", Span(Duration::from_secs(self.gap_seconds))),
            n => format!("{n} gaps of {} in all opened", Span(Duration::from_secs(self.gap_seconds))),
        };
        match self.events_waited {
            0 => gaps,
            n => format!("up to {n} events waited; {gaps}"),
        }
    }
}

/// Everything there is to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub told: Told,
    pub key: Key,
    /// One word: `locked_out`.
    pub title: String,
    pub severity: Grade,
    pub words: String,
    pub remedy: String,
    pub clears: String,
    /// When it began.
    pub since: Time,
    /// When this was told.
    pub at: Time,
    /// When it was over.
    pub over: Option<Time>,
    pub cost: Option<Cost>,
}

impl Message {
    /// What a change of the book says; `cost` for what is over.
    pub fn of(change: &Change, at: Time, cost: Option<Cost>) -> Self {
        let alert = change.alert();
        let (told, over) = match change {
            Change::Raised(_) => (Told::Raised, None),
            Change::Updated(_) => (Told::Updated, None),
            Change::Repeated(_) => (Told::Repeated, None),
            Change::Cleared(_, over) => (Told::Cleared, Some(*over)),
        };
        let cleaned = |text: &str| clean(text).into_owned();
        Message {
            told,
            key: alert.key.clone(),
            title: alert.title.clone(),
            severity: Grade::of(alert.severity),
            words: cleaned(&alert.words),
            remedy: cleaned(&alert.remedy),
            clears: cleaned(&alert.clears),
            since: alert.since,
            at,
            over,
            cost,
        }
    }

    /// How long it lasted; `None` while it lasts.
    pub fn lasted(&self) -> Option<Duration> {
        self.over.map(|over| over.since(self.since))
    }

    /// The feed it is about, where it is about one: `acme/audit` → `audit`.
    pub fn feed(&self) -> Option<&str> {
        self.key.scope.strip_prefix(&self.key.tenant)?.strip_prefix('/')
    }
    /// The sink it is about, where it is about one.
    pub fn sink(&self) -> Option<&str> {
        self.key.scope.strip_prefix("sink:")
    }
    /// Names this occurrence of the alert: the same in every message about it.
    pub fn incident(&self) -> String {
        format!("{}/{}/{}", self.key.scope, self.key.alert, self.since.secs())
    }

    /// One line: what, where, how bad.
    pub fn headline(&self) -> String {
        let what = self.title.replace('_', " ");
        match self.lasted() {
            Some(lasted) => format!("{}: {what} is over after {}", self.key.scope, Span(lasted)),
            None => {
                let again = match self.told {
                    Told::Updated => ", worse than before",
                    Told::Repeated => ", still",
                    _ => "",
                };
                format!("{}: {what} ({}{again})", self.key.scope, self.severity.as_str())
            }
        }
    }

    /// What a person needs beyond the headline, line by line: a name and a text.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("What happened", self.words.clone())];
        match &self.cost {
            Some(cost) => facts.push(("Meanwhile", cost.words())),
            None => {
                if !self.remedy.is_empty() {
                    facts.push(("What to do", self.remedy.clone()));
                }
                facts.push(("Ends with", self.clears.clone()));
            }
        }
        facts.push(("Since", self.since.rfc3339()));
        facts.push(("Rule", self.key.alert.clone()));
        facts.retain(|(_, text)| !text.is_empty());
        facts
    }

    /// The message as data, as in the JSON form and in events of the feed `collector`.
    pub fn as_json(&self) -> serde_json::Value {
        json!({
            "state": self.told.as_str(),
            "incident": self.incident(),
            "alert": self.key.alert,
            "title": self.title,
            "severity": self.severity.as_str(),
            "tenant": self.key.tenant,
            "scope": self.key.scope,
            "feed": self.feed(),
            "sink": self.sink(),
            "words": self.words,
            "remedy": self.remedy,
            "clears_when": self.clears,
            "since": self.since.rfc3339(),
            "at": self.at.rfc3339(),
            "over": self.over.map(Time::rfc3339),
            "lasted_seconds": self.lasted().map(|lasted| lasted.as_secs()),
            "meanwhile": self.cost,
        })
    }
}
