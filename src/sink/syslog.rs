//! Syslog over TCP and TLS, in confirmed batches. Neither protocol acknowledges a message, so the end of a
//! connection is made to: after a batch we close our side and wait for the peer to close its own. Over TLS
//! the peer's `close_notify` is an answer of the application (RFC 5425 §4.4, level 3); over TCP its FIN says
//! that it read to the end (level 2). A reset, an alert or a missing answer means: nothing was delivered.
//!
//! A connection lives from the first send to the confirmation, so none is ever idle long enough to be
//! forgotten by a firewall.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::dial::Dialer;
use super::peer::{late, transport};
use super::plan::SyslogPlan;
use super::wire::{Connection, Farewell};
use super::{Batch, Receipt, Sent, Window, nothing_to_confirm};
use crate::fault::{Fault, Kind, Origin};
use crate::limits;
use crate::setup_error::SetupError;

const LEVEL_CLOSED: u8 = 2;
const LEVEL_NOTIFIED: u8 = 3;

/// One receiver.
#[derive(Debug)]
pub struct Syslog {
    plan: SyslogPlan,
    dialer: Dialer,
    level: AtomicU8,
    /// Events per confirmation; halved when the peer cannot confirm in time.
    confirm_every: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// Whether the peer answers `close_notify` is known.
    probed: bool,
}

/// A connection and the events on it that nobody has confirmed.
#[derive(Debug)]
struct Open {
    connection: Connection,
    events: u64,
}

impl Syslog {
    pub fn new(plan: SyslogPlan) -> Result<Self, SetupError> {
        let dialer = Dialer::new(&plan.host, plan.port, plan.tls.as_ref(), plan.connect_timeout)?;
        Ok(Syslog {
            level: AtomicU8::new(if dialer.encrypts() { LEVEL_NOTIFIED } else { LEVEL_CLOSED }),
            confirm_every: AtomicU32::new(plan.confirm_every.max(1)),
            dialer,
            plan,
            state: Mutex::default(),
        })
    }

    /// 3 when the peer answers `close_notify`, else 2; TLS counts as 3 until a probe finds otherwise.
    pub fn ack_level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    /// One batch at a time, of as many events as the receiver is now trusted to confirm in time.
    pub fn window(&self) -> Window {
        let confirm_every = self.confirm_every.load(Ordering::Relaxed);
        Window {
            max_events: confirm_every as usize,
            max_bytes: limits::SINK_BATCH_BYTES,
            wait: Duration::ZERO,
            concurrency: 1,
            confirm_every,
        }
    }

    /// Writes the batch to the open connection, or to a new one; [`Syslog::confirm`] must follow.
    ///
    /// # Errors
    /// The peer cannot be reached or stopped reading; the connection is dropped, torn message and all.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let mut state = self.state.lock().await;
        // Taken out, and put back only when all went well: a send that fails or is cancelled leaves a torn
        // message behind, and such a connection must not be written to or confirmed.
        let mut open = match state.open.take() {
            Some(open) => open,
            None => {
                if self.dialer.encrypts() && !state.probed {
                    self.learn_level(&mut state).await?;
                }
                Open { connection: self.connect().await?, events: 0 }
            }
        };
        for piece in batch.bytes.chunks(limits::WRITE_BYTES) {
            timeout(self.plan.write_timeout, open.connection.write(piece))
                .await
                .map_err(|_| {
                    late(
                        self.dialer.peer(),
                        "write a batch (the receiver does not read)",
                        self.plan.write_timeout,
                    )
                })?
                .map_err(|err| transport(self.dialer.peer(), "write a batch", &err))?;
        }
        open.events += batch.len() as u64;
        state.open = Some(open);
        Ok(Sent::Written)
    }

    /// Ends the connection and takes the peer's clean close as its word for all that was written on it.
    ///
    /// # Errors
    /// Nothing is open, the peer did not close in time, or it closed with less than its usual worth.
    pub async fn confirm(&self) -> Result<Receipt, Fault> {
        let mut state = self.state.lock().await;
        let Some(open) = state.open.take() else { return Err(nothing_to_confirm()) };
        let farewell = self.farewell(open.connection).await.inspect_err(|fault| {
            if fault.kind == Kind::Timeout {
                self.ask_for_less();
            }
        })?;
        let level = match farewell {
            Farewell::Notified => LEVEL_NOTIFIED,
            Farewell::Closed => LEVEL_CLOSED,
        };
        if level < self.ack_level() {
            state.probed = false; // perhaps the receiver was replaced by one that never answers
            let why = format!(
                "{}: the receiver closed without TLS close_notify, so {} events are not confirmed",
                self.dialer.peer(),
                open.events
            );
            return Err(Fault::new(Origin::Sink, Kind::Interrupted, why));
        }
        self.ask_for_more();
        Ok(Receipt::new(open.events, level))
    }

    /// Drops the open connection and what was written on it.
    pub async fn forget(&self) {
        self.state.lock().await.open = None;
    }

    /// Opens and closes a connection without events; returns the level its end is worth.
    ///
    /// # Errors
    /// The peer cannot be reached, its certificate is refused, or it does not close in time.
    pub async fn probe(&self) -> Result<u8, Fault> {
        self.learn_level(&mut *self.state.lock().await).await?;
        Ok(self.ack_level())
    }

    /// Opens an empty connection and sees how the peer ends it (recovery row S13).
    async fn learn_level(&self, state: &mut State) -> Result<(), Fault> {
        let farewell = self.farewell(self.connect().await?).await?;
        let level = if farewell == Farewell::Notified { LEVEL_NOTIFIED } else { LEVEL_CLOSED };
        self.level.store(level, Ordering::Relaxed);
        state.probed = true;
        Ok(())
    }

    async fn farewell(&self, connection: Connection) -> Result<Farewell, Fault> {
        let doing = "have the end of the stream confirmed";
        timeout(self.plan.confirm_timeout, connection.farewell())
            .await
            .map_err(|_| late(self.dialer.peer(), doing, self.plan.confirm_timeout))?
            .map_err(|err| transport(self.dialer.peer(), doing, &err))
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        Ok(Connection::new(self.dialer.connect().await?))
    }

    /// A receiver that is slow, not dead, would otherwise get the same batch for ever: what it had no time to
    /// read when we ended the stream is what makes it late.
    fn ask_for_less(&self) {
        let least = limits::MIN_CONFIRM_EVERY.min(self.plan.confirm_every.max(1));
        let less = self.confirm_every.load(Ordering::Relaxed) / 2;
        self.confirm_every.store(less.max(least), Ordering::Relaxed);
    }

    fn ask_for_more(&self) {
        let more = self.confirm_every.load(Ordering::Relaxed).saturating_mul(2);
        self.confirm_every.store(more.min(self.plan.confirm_every.max(1)), Ordering::Relaxed);
    }
}
