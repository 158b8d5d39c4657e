//! Moves bytes to a destination and says what became of them. A sink connects when it is first used, tries
//! everything once and reports a [`Fault`] or a [`Receipt`]; when to try again is decided elsewhere.
//!
//! What a receipt is worth is its level (contract §8): 0 a datagram was sent, 1 the kernel took it, 2 the peer closed cleanly after
//! the batch, 3 the peer answered `close_notify` after the batch, 4 the application answered, 5 stored.

mod answer;
mod batch;
mod dial;
mod file;
pub mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod pack;
mod peer;
mod plan;
#[cfg(test)]
mod receivers;
mod relp;
mod rotation;
mod stdout;
mod syslog;
#[cfg(test)]
mod syslog_tests;
mod tls;
mod udp;
mod wire;

use std::time::Duration;

pub use answer::{bounded, excerpt, wait_asked, without_queries};
pub use batch::Batch;
pub use dial::ReceiverNames;
pub use http::unanswered;
pub use pack::Packer;
pub use peer::{tls_error, tls_kind, tls_text};
pub use plan::{
    Auth, Entra, FilePlan, HttpPlan, KafkaPlan, Keeper, Plan, RelpPlan, Sasl, SyslogPlan, TlsFiles, UdpPlan,
};

pub use tls::client_config;

use crate::fault::{Fault, Kind, Origin};
use crate::setup_error::SetupError;
use crate::telemetry::pulse;

/// What a build without the feature `kafka` says to whoever wants it.
pub const WITHOUT_KAFKA: &str = "this mimecollectd was built without Kafka, which needs libraries in C; build it with \
     `cargo build --release --features kafka`, or use another type of sink";

/// What an acknowledgement of a level means (contract §8).
pub fn ack_words(level: u8) -> &'static str {
    match level {
        0 => "a datagram was sent; nobody confirms it",
        1 => "the kernel took it",
        2 => "the peer closed cleanly after the batch",
        3 => "the peer answered close_notify after the batch",
        4 => "the receiving application answered",
        _ => "it is stored",
    }
}

/// Proof that a sink has taken responsibility for events. Only this room can make one, and it cannot be
/// copied, so that a position moves once for it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt is the only thing that moves a sink's position"]
pub struct Receipt {
    events: u64,
    level: u8,
}

impl Receipt {
    fn new(events: u64, level: u8) -> Self {
        Receipt { events, level }
    }
    /// How many events it covers: all that were sent since the last receipt. Compare it with what was sent; a
    /// send that was cancelled is not in it.
    pub fn events(&self) -> u64 {
        self.events
    }
    /// What it is worth, 1–5.
    pub fn level(&self) -> u8 {
        self.level
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// The destination answered for it.
    Acknowledged(Receipt),
    /// Handed to the operating system only: [`Sink::confirm`] must follow, here or some batches later. If
    /// anything fails before, everything since the last receipt has to be sent again.
    Written,
    /// The destination answered for some events, and for these not: each has its own fault. The receipt covers all
    /// others of the batch.
    Partly(Receipt, Vec<Undelivered>),
}

impl Sent {
    /// Of so many events all were taken but these.
    fn of(events: usize, level: u8, rest: Vec<Undelivered>) -> Self {
        let missing: usize = rest.iter().map(Undelivered::len).sum();
        let receipt = Receipt::new(events.saturating_sub(missing) as u64, level);
        if rest.is_empty() { Sent::Acknowledged(receipt) } else { Sent::Partly(receipt, rest) }
    }
}

/// Events of a batch that the destination did not take, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Places in the batch, ascending. Several runs: the destination judged them as one.
    pub events: Vec<std::ops::Range<usize>>,
    /// Why not; `None`: the destination has not looked at them, so that they are to be sent again at once.
    pub fault: Option<Fault>,
}

impl Undelivered {
    fn one(place: usize, fault: Fault) -> Self {
        Undelivered { events: vec![std::ops::Range { start: place, end: place + 1 }], fault: Some(fault) }
    }
    /// By ascending place: neighbours with the same fault (or none) are judged as one, unless it is one that is
    /// judged `alone`.
    fn joined(
        faults: impl IntoIterator<Item = (usize, Option<Fault>)>,
        alone: fn(&Fault) -> bool,
    ) -> Vec<Self> {
        let mut all: Vec<Undelivered> = Vec::new();
        for (at, fault) in faults {
            let alone = fault.as_ref().is_some_and(alone);
            let like = all.last_mut().filter(|last| last.fault == fault && !alone);
            match like.and_then(|last| last.events.last_mut()) {
                Some(run) if run.end == at => run.end += 1,
                _ => {
                    all.push(Undelivered { events: vec![std::ops::Range { start: at, end: at + 1 }], fault })
                }
            }
        }
        all
    }
    /// How many events.
    pub fn len(&self) -> usize {
        self.events.iter().map(ExactSizeIterator::len).sum()
    }
    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The first place.
    pub fn first(&self) -> usize {
        self.events.first().map_or(0, |run| run.start)
    }
}

/// How a sink wants its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Most events of one [`Sink::send`].
    pub max_events: usize,
    /// Bytes at which a batch is full.
    pub max_bytes: usize,
    /// How long to wait for a batch to fill; zero: send what is there.
    pub wait: Duration,
    /// Sends that may be under way at once.
    pub concurrency: usize,
    /// Events after which [`Sink::confirm`] is due; 0 where every send is acknowledged by itself.
    pub confirm_every: u32,
}

/// One destination.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each sink, made at start")]
pub enum Sink {
    Syslog(syslog::Syslog),
    Relp(relp::Relp),
    Udp(udp::Udp),
    Http(http::Http),
    #[cfg(feature = "kafka")]
    Kafka(kafka::Kafka),
    File(file::FileSink),
    Stdout(stdout::Stdout),
}

impl Sink {
    /// Reads certificates and checks what can be checked without the network.
    ///
    /// # Errors
    /// A certificate, key or header that cannot be used; the text names it.
    pub fn new(plan: Plan) -> Result<Self, SetupError> {
        Ok(match plan {
            Plan::Syslog(plan) => Sink::Syslog(syslog::Syslog::new(plan)?),
            Plan::Relp(plan) => Sink::Relp(relp::Relp::new(&plan)?),
            Plan::Http(plan) => Sink::Http(http::Http::new(plan)?),
            #[cfg(feature = "kafka")]
            Plan::Kafka(plan) => Sink::Kafka(kafka::Kafka::new(plan)?),
            #[cfg(not(feature = "kafka"))]
            Plan::Kafka(_) => return Err(SetupError::config(WITHOUT_KAFKA)),
            Plan::Udp(plan) => Sink::Udp(udp::Udp::new(&plan)?),
            Plan::File(plan) => Sink::File(file::FileSink::new(plan)),
            Plan::Stdout => Sink::Stdout(stdout::Stdout::new()),
        })
    }

    /// Sends one batch, once.
    ///
    /// # Errors
    /// Any fault of the destination; then nothing since the last receipt counts as delivered.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        match self {
            Sink::Syslog(sink) => sink.send(batch).await,
            Sink::Relp(sink) => sink.send(batch).await,
            Sink::Udp(sink) => sink.send(batch).await,
            Sink::Http(sink) => sink.send(batch).await,
            #[cfg(feature = "kafka")]
            Sink::Kafka(sink) => sink.send(batch).await,
            Sink::File(sink) => unhurried(sink.send(batch)).await,
            Sink::Stdout(sink) => unhurried(sink.send(batch)).await,
        }
    }

    /// Has everything that was written since the last receipt confirmed.
    ///
    /// # Errors
    /// The peer did not confirm, or there is nothing to confirm.
    pub async fn confirm(&self) -> Result<Receipt, Fault> {
        match self {
            Sink::Syslog(sink) => sink.confirm().await,
            Sink::File(sink) => unhurried(sink.confirm()).await,
            Sink::Relp(_) | Sink::Udp(_) | Sink::Http(_) | Sink::Stdout(_) => Err(nothing_to_confirm()),
            #[cfg(feature = "kafka")]
            Sink::Kafka(_) => Err(nothing_to_confirm()),
        }
    }

    /// Lets go of what was written since the last receipt: it will be sent again, and no later receipt may cover it.
    pub async fn forget(&self) {
        match self {
            Sink::Syslog(sink) => sink.forget().await,
            Sink::File(sink) => sink.forget(),
            Sink::Relp(_) | Sink::Udp(_) | Sink::Http(_) | Sink::Stdout(_) => {}
            #[cfg(feature = "kafka")]
            Sink::Kafka(_) => {}
        }
    }

    /// Asks the destination whether it would take events, without sending one, and learns what its
    /// acknowledgement is worth (recovery row S13: a TLS peer that never answers `close_notify` counts as
    /// level 2 from then on). Returns the level. Worth doing at start, once a day and for `check`.
    ///
    /// # Errors
    /// Whatever would stop a batch before its first byte.
    pub async fn probe(&self) -> Result<u8, Fault> {
        match self {
            Sink::Syslog(sink) => sink.probe().await,
            Sink::Relp(sink) => sink.probe().await,
            Sink::Udp(sink) => sink.probe().await,
            Sink::Http(sink) => sink.probe().await,
            #[cfg(feature = "kafka")]
            Sink::Kafka(sink) => sink.probe().await,
            Sink::File(sink) => unhurried(sink.probe()).await,
            Sink::Stdout(_) => Ok(stdout::LEVEL),
        }
    }

    /// What an acknowledgement of this sink is worth at the moment, 1–5.
    pub fn ack_level(&self) -> u8 {
        match self {
            Sink::Syslog(sink) => sink.ack_level(),
            Sink::Relp(_) => relp::LEVEL,
            Sink::Udp(_) => udp::LEVEL,
            Sink::Http(sink) => sink.ack_level(),
            #[cfg(feature = "kafka")]
            Sink::Kafka(_) => kafka::LEVEL,
            Sink::File(sink) => sink.ack_level(),
            Sink::Stdout(_) => stdout::LEVEL,
        }
    }

    /// It may refuse a part of a batch without a word about which: what became of one event is known only if that was sent alone.
    pub fn judges_as_a_whole(&self) -> bool {
        matches!(self, Sink::Http(sink) if sink.judges_as_a_whole())
    }

    /// The batches it wants now. A syslog receiver that cannot confirm in time gets fewer events per
    /// confirmation until it can, so ask before every batch.
    pub fn window(&self) -> Window {
        match self {
            Sink::Syslog(sink) => sink.window(),
            Sink::Relp(sink) => sink.window(),
            Sink::Udp(_) => udp::WINDOW,
            Sink::Http(sink) => sink.window(),
            #[cfg(feature = "kafka")]
            Sink::Kafka(sink) => sink.window(),
            Sink::File(_) => file::WINDOW,
            Sink::Stdout(_) => stdout::WINDOW,
        }
    }
}

/// What a disk takes, or the reader of a pipe, has no time of its own: to wait for it is no task that hangs (recovery
/// row L10), and a restart would wait for the same.
async fn unhurried<T>(work: impl Future<Output = T>) -> T {
    pulse::rest();
    let done = work.await;
    pulse::beat();
    done
}

fn nothing_to_confirm() -> Fault {
    let why = "nothing waits for confirmation: the connection that carried the last batch is gone";
    Fault::new(Origin::Sink, Kind::Interrupted, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TASK_STALLED;

    #[tokio::test(start_paused = true)]
    async fn a_paused_reader_is_no_task_that_hangs() {
        let (go_on, goes_on) = tokio::sync::oneshot::channel();
        let (courier, waits) = pulse::living("courier", async {
            pulse::beat();
            unhurried(goes_on).await.unwrap();
            std::future::pending::<()>().await;
        });
        let task = tokio::spawn(waits);
        tokio::task::yield_now().await;
        tokio::time::advance(TASK_STALLED * 2).await;
        assert_eq!(courier.stalled(), None);
        go_on.send(()).unwrap();
        tokio::task::yield_now().await;
        tokio::time::advance(TASK_STALLED * 2).await;
        assert!(courier.stalled().is_some(), "it works again, and hangs for another reason");
        task.abort();
    }
}
