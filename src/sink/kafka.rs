//! Kafka through librdkafka, with an idempotent producer and `acks=all`: an event counts as delivered when every replica in
//! sync has it (level 5; how many those are is the topic's `min.insync.replicas`). The client goes on by itself within
//! the sink's `timeout` without writing anything twice; each message is then reported, and what was not taken
//! is settled like any other fault. After a fault the client is thrown away, so that a sink that waits, or is halted, leaves
//! the cluster alone; a message whose fate was unknown by then can arrive twice, under the same id.
//!
//! Bounds and behaviour follow librdkafka's `CONFIGURATION.md` (2.12).

mod client;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Mutex;

use self::client::Client;
use super::plan::KafkaPlan;
use super::{Batch, Sent, Undelivered, Window};
use crate::apart::{apart, begin};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::REFUSED_IN_A_ROW;
use crate::setup_error::SetupError;

/// Every replica in sync has it.
pub const LEVEL: u8 = 5;

/// One cluster.
#[derive(Debug)]
pub struct Kafka {
    plan: Arc<KafkaPlan>,
    open: Mutex<Option<Client>>,
}

/// Tells the task that waits for reports that nobody waits for it any more.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What became of each message, by place; `None`: taken.
type Outcomes = Vec<Option<Fault>>;

impl Kafka {
    /// Reads the certificates.
    ///
    /// # Errors
    /// A certificate, key or setting that the client library cannot use.
    pub fn new(plan: KafkaPlan) -> Result<Self, SetupError> {
        Client::open(&plan).map_err(SetupError::config)?;
        Ok(Kafka { plan: Arc::new(plan), open: Mutex::default() })
    }

    /// One batch at a time, which the client spreads over partitions and requests.
    pub fn window(&self) -> Window {
        Window {
            max_events: self.plan.batch_events,
            max_bytes: self.plan.batch_bytes,
            wait: self.plan.batch_wait,
            concurrency: 1,
            confirm_every: 0,
        }
    }

    /// Hands every event over and waits for every report.
    ///
    /// # Errors
    /// The cluster took nothing, for one reason.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let mut slot = self.open.lock().await;
        // Taken out, and put back only when all went well: a client that was left in the middle still has messages.
        let client = match slot.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let (client, mut outcomes) = self.exchange(client, batch, 0..batch.len()).await?;
        let mut open = Some(client);
        // A broker that refuses one message refuses the request around it, which is of the client's making, and need not say
        // which one it means (before version 2.4 it cannot): only what is refused alone is refused.
        let together: Vec<usize> = places(&outcomes, of_the_event);
        let (mut asked, mut in_a_row) = (0, 0);
        while let Some(place) = together.get(asked).filter(|_| batch.len() > 1 && in_a_row < REFUSED_IN_A_ROW)
        {
            let Some(client) = open.take() else { break };
            let (client, alone) = self.exchange(client, batch, *place..place + 1).await?;
            let fate = alone.into_iter().next().flatten();
            let passable = fate.as_ref().is_none_or(of_the_event);
            in_a_row = if fate.is_some() { in_a_row + 1 } else { 0 };
            if let Some(slot) = outcomes.get_mut(*place) {
                *slot = fate;
            }
            asked += 1;
            open = passable.then_some(client);
        }
        let unasked = together.get(asked..).filter(|_| batch.len() > 1).unwrap_or_default();
        if places(&outcomes, |fault| !of_the_event(fault)).is_empty() {
            *slot = open;
        } else if let Some(client) = open {
            let _ = begin(move || drop(client)); // saying goodbye takes a moment; without a thread, here
        }
        settle(outcomes, unasked)
    }

    /// Asks the cluster for its topics.
    ///
    /// # Errors
    /// No broker can be reached, none lets us in, or the topic is not there.
    pub async fn probe(&self) -> Result<u8, Fault> {
        let mut slot = self.open.lock().await;
        let client = match slot.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let (plan, leaving) = (self.plan.clone(), Leaving(Arc::default()));
        let left = leaving.0.clone();
        let asked = apart(move || client.ask(&plan, &left).map(|()| client)).await;
        *slot = Some(asked.map_err(|_| self.broken())??);
        Ok(LEVEL)
    }

    async fn connect(&self) -> Result<Client, Fault> {
        let plan = self.plan.clone();
        let opened = apart(move || Client::open(&plan)).await.map_err(|_| self.broken())?;
        opened.map_err(|words| Fault::new(Origin::Sink, Kind::SecretUnreadable, words))
    }

    /// Messages out, reports in.
    async fn exchange(
        &self,
        client: Client,
        batch: &Batch,
        events: std::ops::Range<usize>,
    ) -> Result<(Client, Outcomes), Fault> {
        let first = events.start;
        client.begin(events.len());
        for place in events {
            if let Err(code) = client.produce(&self.plan, batch, place, place - first) {
                client.note(place - first, code);
            }
        }
        let leaving = Leaving(Arc::default());
        let (left, timeout) = (leaving.0.clone(), self.plan.timeout);
        let waited = apart(move || {
            let reports = client.wait(timeout, &left);
            (client, reports)
        });
        let (client, reports) = waited.await.map_err(|_| self.broken())?;
        let peer = self.plan.brokers.join(", ");
        let fate = |code: Option<RDKafkaErrorCode>| match code {
            Some(RDKafkaErrorCode::NoError) => None,
            code => Some(verdict::fault(&peer, code, reports.trouble.as_ref())),
        };
        let outcomes = reports.outcomes.iter().copied().map(fate).collect();
        Ok((client, outcomes))
    }

    fn broken(&self) -> Fault {
        let peer = self.plan.brokers.join(", ");
        let words = format!(
            "{peer}: the task that talks to the Kafka client ended before the cluster had answered; the batch is sent again by \
             a new client. If it stays, report it with the log"
        );
        Fault::new(Origin::Sink, Kind::Interrupted, words)
    }
}

/// The fault is about this event, not about the cluster.
fn of_the_event(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::RecordTooLarge | Kind::Partial)
}

fn places(outcomes: &Outcomes, wanted: impl Fn(&Fault) -> bool) -> Vec<usize> {
    let found = outcomes.iter().enumerate().filter(|(_, fate)| fate.as_ref().is_some_and(&wanted));
    found.map(|(place, _)| place).collect()
}

/// `unasked` are places whose faults may be their neighbours'; ascending.
fn settle(outcomes: Outcomes, unasked: &[usize]) -> Result<Sent, Fault> {
    if let Some(Some(first)) = outcomes.first()
        && !of_the_event(first)
        && outcomes.iter().all(|fate| fate.as_ref() == Some(first))
    {
        return Err(first.clone());
    }
    let total = outcomes.len();
    let asked = |at: usize| unasked.binary_search(&at).is_err();
    let faults = outcomes.into_iter().enumerate().filter_map(|(at, fate)| Some((at, fate?)));
    let faults = faults.map(|(at, fault)| (at, asked(at).then_some(fault)));
    Ok(Sent::of(total, LEVEL, Undelivered::joined(faults, of_the_event)))
}
