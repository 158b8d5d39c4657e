//! The watch: looks at everything every second, tells what changed to the receivers of alerts and to the daemon's own
//! feed, and writes it down first. A store that cannot take it delays nothing: people are told all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::{findings, heartbeat};
use crate::alerting::collector::{self, Event, Position};
use crate::alerting::message::{Cost, Message};
use crate::clock::Time;
use crate::config::settings::COLLECTOR_FEED;
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::{
    ALERT_LOOK_EVERY, ALERT_STORE_LOOK_EVERY, FEEDS_A_LOOK, MAX_COLLECTOR_EVENTS, MAX_GAPS_TOLD_AT_ONCE,
};
use crate::store::{AlertNews, DueRow};
use crate::supervisor::alert::Change;
use crate::telemetry::label::Grade;
use crate::telemetry::notice::{Alert as News, Notice};
use crate::telemetry::pulse;

/// Looks, compares, tells.
pub struct Watch {
    board: Arc<Board>,
    feed: FeedKey,
    /// Where the daemon's own feed stands; `None` until the store has said so.
    position: Option<Position>,
    /// Events that are not stored yet.
    events: Vec<Event>,
    /// What the store has not taken note of yet.
    book: BTreeMap<String, Option<String>>,
    due: BTreeMap<(String, String), DueRow>,
    /// Of the last message.
    number: i64,
    /// The store could not be written to at the last look, and that was said.
    complained: bool,
    store_look: Instant,
}

impl Watch {
    pub fn new(board: Arc<Board>) -> Self {
        Watch {
            board,
            feed: FeedKey { tenant: String::new(), feed: COLLECTOR_FEED },
            position: None,
            events: Vec::new(),
            book: BTreeMap::new(),
            due: BTreeMap::new(),
            number: 0,
            complained: false,
            store_look: Instant::now(),
        }
    }

    /// Until told to stop. `heartbeat` is how often the daemon says that it lives.
    pub async fn run(mut self, heartbeat: watch::Receiver<Option<Duration>>, stop: CancellationToken) {
        let mut beat = Instant::now();
        loop {
            let wait = self.pace();
            pulse::promise(wait);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let every = *heartbeat.borrow();
            if let Some(every) = every
                && Instant::now() >= beat
                && self.is_heard()
            {
                beat = Instant::now() + every;
                let status = self.board.status().await;
                self.add(Event::heartbeat(status.at, heartbeat::body(&status)));
            }
            self.look(true).await;
        }
    }

    /// From one look to the next: a daemon with many feeds looks less often, so that looking costs it no more.
    fn pace(&self) -> Duration {
        let feeds: usize = self.board.parts().tenants.iter().map(|tenant| tenant.feeds.len()).sum();
        ALERT_LOOK_EVERY.saturating_mul(1 + u32::try_from(feeds / FEEDS_A_LOOK).unwrap_or(u32::MAX - 1))
    }

    /// One look. `events`: the daemon's own feed may still get some.
    pub async fn look(&mut self, events: bool) {
        if Instant::now() >= self.store_look {
            self.store_look = Instant::now() + ALERT_STORE_LOOK_EVERY;
            let _ = self.board.look_into_store().await; // the last look holds until the next
            if events && self.is_heard() && self.gaps().await.is_err() {
                self.position = None; // it is asked for again
            }
        }
        let now = self.board.clock.now();
        let changes = self.compare(now);
        for change in &changes {
            let cost = match change {
                Change::Cleared(..) => Some(self.cost(change).await),
                _ => None,
            };
            self.tell(change, now, cost);
        }
        self.show_active(now);
        self.write_down(events).await;
    }

    fn compare(&mut self, now: Time) -> Vec<Change> {
        let full = self.board.store.why_full();
        let (parts, hosts) = (self.board.parts(), self.board.hosts.all_held());
        let mut alerts = self.board.alerts();
        let found =
            findings::find((&parts, &hosts), &alerts.facts, full.as_deref(), (self.board.started, now));
        let changes = alerts.book.look(found.findings, &found.unsettled, now);
        self.book.extend(alerts.book.take_changed());
        changes
    }

    /// What an alert that is over cost. A store that cannot say leaves it at what is known.
    async fn cost(&self, change: &Change) -> Cost {
        let alert = change.alert();
        let feed = alert.key.scope.strip_prefix(&format!("{}/", alert.key.tenant));
        let tenant = Some(alert.key.tenant.as_str()).filter(|tenant| !tenant.is_empty());
        let gaps = self.board.store.gaps_found_since(alert.since, tenant, feed).await.unwrap_or_default();
        Cost { events_waited: alert.waited, gaps: gaps.gaps, gap_seconds: gaps.seconds }
    }

    fn tell(&mut self, change: &Change, now: Time, cost: Option<Cost>) {
        let message = Message::of(change, now, cost);
        say(change, &message);
        self.number = now.0.max(self.number + 1);
        for target in &self.board.parts().targets {
            if let Some(due) = target.outbox.put(self.number, &message)
                && let Ok(text) = serde_json::to_string(&due.message)
            {
                let name = message.key.name();
                let row = DueRow {
                    target: target.name.clone(),
                    name: name.clone(),
                    number: due.number,
                    message: text,
                };
                self.due.insert((target.name.clone(), name), row);
            }
        }
        if self.is_heard() {
            self.add(Event::alert(&message));
        }
    }

    /// Receivers that want to hear of what lasts get it as it is now.
    fn show_active(&self, now: Time) {
        let (parts, alerts) = (self.board.parts(), self.board.alerts());
        let active = || {
            let raised = alerts.book.active().cloned().map(Change::Raised);
            raised.map(|change| Message::of(&change, now, None))
        };
        for target in parts.targets.iter().filter(|target| target.form.repeats()) {
            target.outbox.set_active(active());
        }
    }

    /// Some sink wants the daemon's own feed.
    fn is_heard(&self) -> bool {
        self.board.parts().sinks.iter().any(|sink| sink.settings.wants("", COLLECTOR_FEED))
    }

    fn add(&mut self, event: Event) {
        if self.events.len() < MAX_COLLECTOR_EVENTS {
            self.events.push(event);
        }
    }

    async fn position(&mut self) -> Result<Position, Fault> {
        match self.position {
            Some(position) => Ok(position),
            None => {
                let position = Position::of(&self.board.store.collector_cursor(&self.feed).await?);
                Ok(*self.position.insert(position))
            }
        }
    }

    /// Gaps of the ledger that the daemon's own feed has not told yet.
    async fn gaps(&mut self) -> Result<(), Fault> {
        let told =
            self.position().await?.gap.max(self.events.iter().map(Event::gap_number).max().unwrap_or(0));
        for gap in self.board.store.gaps_list(told, MAX_GAPS_TOLD_AT_ONCE).await? {
            self.add(Event::gap(&gap));
        }
        Ok(())
    }

    /// Book, messages and events in one transaction. What the store cannot take now comes again with the next look.
    async fn write_down(&mut self, events: bool) {
        let events = events && !self.events.is_empty();
        if self.book.is_empty() && self.due.is_empty() && !events {
            return;
        }
        let written = self.try_write(events).await;
        match written {
            Ok(()) => {
                self.book.clear();
                self.due.clear();
                self.complained = false;
            }
            Err(fault) => {
                self.position = None; // whether it was written is asked again
                if !std::mem::replace(&mut self.complained, true) {
                    Notice::Alert(News::NotKept { words: &fault.to_string() }).emit();
                }
            }
        }
    }

    async fn try_write(&mut self, events: bool) -> Result<(), Fault> {
        let from = if events { Some(self.position().await?) } else { None };
        let now = self.board.clock.now();
        let intake = from.and_then(|from| collector::intake(&self.feed, from, &self.events, now));
        let (intake, to) = intake.unzip();
        let news = AlertNews {
            book: self.book.iter().map(|(name, text)| (name.clone(), text.clone())).collect(),
            due: self.due.values().cloned().collect(),
            events: intake,
        };
        if self.board.store.note_alerts(news).await?
            && let Some(to) = to
        {
            self.position = Some(to);
            self.events.clear();
        } else {
            self.events.retain(|event| !event.is_heartbeat()); // no room: an old heartbeat tells nobody anything
        }
        Ok(())
    }
}

fn say(change: &Change, message: &Message) {
    let (scope, alert, words) = (&message.key.scope, &message.key.alert, &message.words);
    let severity = Grade::of(change.alert().severity);
    let cost = message.cost.map(|cost| cost.words()).unwrap_or_default();
    Notice::Alert(match change {
        Change::Raised(_) => News::Raised { scope, alert, severity, words },
        Change::Updated(_) | Change::Repeated(_) => News::Again { scope, alert, severity, words },
        Change::Cleared(..) => {
            News::Cleared { scope, alert, lasted: message.lasted().unwrap_or_default(), cost: &cost }
        }
    })
    .emit();
}
