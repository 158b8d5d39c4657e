//! Syslog over RELP, the one transport of its family whose receiver answers every message (level 4). The session
//! stays open between batches; one that the receiver closed in the meantime is replaced, which is no fault.
//!
//! What was answered is settled even if the connection breaks afterwards: only the rest is sent again, under the
//! same ids (recovery row S15). An answer means that the receiver has the message in its main queue; whether that
//! survives the receiver's own end is up to its configuration (`docs/delivery.md`).

mod frame;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use self::session::{Answer, Session};
use super::dial::Dialer;
use super::peer::transport;
use super::plan::RelpPlan;
use super::wire::Stream;
use super::{Batch, Sent, Undelivered, Window};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits;
use crate::setup_error::SetupError;

/// The application answered.
pub const LEVEL: u8 = 4;
/// The code of a message that was answered with anything but 200, in the recovery table.
const REFUSAL: &str = "relp_refused";

/// What failed where a receiver leaves right after the TLS handshake; with what it may want.
const UNCERTIFIED: &str = "open a RELP session (the receiver may want a client certificate, `cert_file` and `key_file` of \
                           the sink's `tls`: its log says)";

/// Ends a session in which nothing is open any more. rsyslog says `serverclose` where an answer is due, others just
/// close: none of it matters, and nobody waits long for it.
async fn leave(session: Session<Stream>) {
    let _ = tokio::time::timeout(limits::FAREWELL_GRACE, session.close()).await;
}

/// One receiver.
#[derive(Debug)]
pub struct Relp {
    dialer: Dialer,
    patience: Duration,
    open: Mutex<Option<Idle>>,
}

/// A session between two batches.
#[derive(Debug)]
struct Idle {
    session: Session<Stream>,
    since: Instant,
}

impl Relp {
    pub fn new(plan: &RelpPlan) -> Result<Self, SetupError> {
        let dialer = Dialer::new(&plan.host, plan.port, plan.tls.as_ref(), plan.connect_timeout)?;
        Ok(Relp { dialer, patience: plan.answer_timeout, open: Mutex::default() })
    }

    /// One batch at a time; within it the protocol's own window applies.
    pub fn window(&self) -> Window {
        Window {
            max_events: limits::FILE_BATCH_EVENTS,
            max_bytes: limits::RELP_BATCH_BYTES,
            wait: Duration::ZERO,
            concurrency: 1,
            confirm_every: 0,
        }
    }

    /// Sends every message of the batch and collects every answer.
    ///
    /// # Errors
    /// Nothing at all was answered: the receiver cannot be reached, refuses the session or is silent.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let mut slot = self.open.lock().await;
        // Taken out, and put back only when all went well: a transfer that was cancelled leaves a torn frame.
        if let Some(mut session) = self.usable(slot.take()).await {
            let (answers, failed) = session.transfer(batch).await;
            let lost = failed.is_some() && answers.iter().all(|answer| *answer == Answer::None);
            if !lost {
                return self.settle(session, &mut slot, answers, failed);
            }
            // it had gone while nobody looked: a session of its own tells whether there is a fault
        }
        let mut session = self.connect().await?;
        let (answers, failed) = session.transfer(batch).await;
        self.settle(session, &mut slot, answers, failed)
    }

    /// Opens and ends a session without messages.
    ///
    /// # Errors
    /// The receiver cannot be reached or does not speak RELP.
    pub async fn probe(&self) -> Result<u8, Fault> {
        let session = self.connect().await?;
        leave(session).await;
        Ok(LEVEL)
    }

    /// The session of the last batch, unless it stood too long or its peer has left.
    async fn usable(&self, idle: Option<Idle>) -> Option<Session<Stream>> {
        let Idle { mut session, since } = idle?;
        if !session.is_alive() {
            return None;
        }
        if since.elapsed() < limits::RELP_IDLE {
            return Some(session);
        }
        leave(session).await; // firewalls forget what is silent
        None
    }

    async fn connect(&self) -> Result<Session<Stream>, Fault> {
        let stream = self.dialer.connect().await?;
        Session::open(stream, self.patience).await.map_err(|err| {
            let closed = matches!(err.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
            match closed && self.dialer.encrypts() {
                // TLS 1.3 tells a client that its certificate is wanted only after the handshake
                true => self.fault(UNCERTIFIED, &err),
                false => self.fault("open a RELP session", &err),
            }
        })
    }

    fn settle(
        &self,
        session: Session<Stream>,
        slot: &mut Option<Idle>,
        answers: Vec<Answer>,
        failed: Option<io::Error>,
    ) -> Result<Sent, Fault> {
        let failed = failed.map(|err| self.fault("have messages answered", &err));
        if failed.is_none() {
            *slot = Some(Idle { session, since: Instant::now() });
        }
        if let (Some(fault), true) = (&failed, answers.iter().all(|answer| *answer == Answer::None)) {
            return Err(fault.clone());
        }
        let total = answers.len();
        let fault = |answer| match (answer, &failed) {
            (Answer::Taken, _) => None,
            (Answer::Refused(words), _) => Some(self.refusal(&words)),
            (Answer::None, Some(fault)) => Some(fault.clone()),
            (Answer::None, None) => {
                Some(self.fault("have messages answered", &io::ErrorKind::TimedOut.into()))
            }
        };
        let faults =
            answers.into_iter().enumerate().filter_map(|(at, answer)| Some((at, Some(fault(answer)?))));
        Ok(Sent::of(total, LEVEL, Undelivered::joined(faults, |fault| fault.code.is_some())))
    }

    fn refusal(&self, words: &str) -> Fault {
        let text = format!("{}: the receiver answered {words:?}", self.dialer.peer());
        Fault { code: Code::new(REFUSAL), ..Fault::new(Origin::Sink, Kind::Partial, text) }
    }

    fn fault(&self, doing: &str, err: &io::Error) -> Fault {
        transport(self.dialer.peer(), doing, err)
    }
}
