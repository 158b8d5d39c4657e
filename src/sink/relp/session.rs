//! One RELP session over any stream: open, messages within a window, answers in whatever order, close. It knows no
//! address and no time limits but its own, so that tests can put any peer at the other end.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::frame;
use crate::limits::{RELP_WINDOW, WRITE_BYTES};
use crate::sink::Batch;
use crate::telemetry::pulse;

/// Versions 0 and 1 differ in nothing that is used here; rsyslog's library speaks 0.
const OFFERS: &str =
    concat!("relp_version=0\nrelp_software=mimecollectd,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog");
/// What is quoted of a refusal: the specification allows 80 characters.
const MAX_WORDS: usize = 200;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None came.
    None,
    /// `rsp 200`
    Taken,
    /// Any other code, and its words.
    Refused(String),
}

/// An open session.
#[derive(Debug)]
pub struct Session<S> {
    stream: S,
    /// The number of the next transaction.
    next: u32,
    /// Read and not yet understood: at most one answer and what came with it.
    inbox: Vec<u8>,
    /// No answer and no way made for this long: the peer is gone.
    patience: Duration,
}

/// Messages on their way.
struct Transfer<'a> {
    batch: &'a Batch,
    answers: Vec<Answer>,
    /// Transaction and place in the batch of each message without an answer, oldest first.
    under_way: VecDeque<(u32, usize)>,
    /// Messages written, or at least queued.
    queued: usize,
    out: Vec<u8>,
    written: usize,
}

/// Answers by message, and why there are no more of them.
pub type Transferred = (Vec<Answer>, Option<io::Error>);

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Says what we offer and hears what the peer accepts.
    ///
    /// # Errors
    /// The peer does not speak RELP, refuses, or does not take syslog messages.
    pub async fn open(stream: S, patience: Duration) -> io::Result<Self> {
        Self::open_at(stream, patience, 1).await
    }

    /// As [`Session::open`], with another first transaction number.
    pub(super) async fn open_at(stream: S, patience: Duration, first: u32) -> io::Result<Self> {
        let mut session = Session { stream, next: first, inbox: Vec::new(), patience };
        let answer = session.ask("open", OFFERS.as_bytes()).await?;
        let (head, offers) = answer.split_once('\n').unwrap_or((&answer, ""));
        // Some put the offers behind the words on the first line, so they are looked for in all of it.
        let all = || answer.split(['\n', ' ']).chain(offers.split('\n'));
        let offered = |name: &str| all().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if !head.starts_with("200") {
            return Err(refused(format!("the receiver refuses the RELP session: {}", words(head))));
        }
        if offered("relp_version").is_none() {
            return Err(refused("the receiver accepts none of the RELP versions offered".to_owned()));
        }
        if !offered("commands").is_some_and(|list| list.split(',').any(|name| name.trim() == "syslog")) {
            return Err(refused("the receiver's RELP does not take syslog messages".to_owned()));
        }
        Ok(session)
    }

    /// Sends every message of the batch and waits for every answer, with at most [`RELP_WINDOW`] open at a time.
    /// Whatever happens, the answers that came are returned: what they are about is settled.
    pub async fn transfer(&mut self, batch: &Batch) -> Transferred {
        let mut transfer = Transfer {
            batch,
            answers: vec![Answer::None; batch.len()],
            under_way: VecDeque::new(),
            queued: 0,
            out: Vec::new(),
            written: 0,
        };
        let failed = self.run(&mut transfer).await.err();
        (transfer.answers, failed)
    }

    async fn run(&mut self, transfer: &mut Transfer<'_>) -> io::Result<()> {
        let patience = self.patience;
        let (mut deadline, mut flushed) = (Instant::now() + patience, true);
        loop {
            transfer.queue(&mut self.next);
            if transfer.is_done() {
                return Ok(());
            }
            let heard = {
                let rest = transfer.out.get(transfer.written..).unwrap_or_default();
                let (mut read, mut write) = tokio::io::split(&mut self.stream);
                let way = async {
                    if rest.is_empty() { write.flush().await.map(|()| 0) } else { write.write(rest).await }
                };
                tokio::select! {
                    read = read.read_buf(&mut self.inbox) => Some(read?),
                    made = way, if !rest.is_empty() || !flushed => {
                        match made {
                            Ok(0) if !rest.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                            Ok(wrote) => transfer.written += wrote,
                            // an alert that explains the broken pipe may be waiting to be read
                            Err(err) => {
                                let said = read.read_buf(&mut self.inbox).now_or_never();
                                return Err(said.and_then(Result::err).unwrap_or(err));
                            }
                        }
                        (deadline, flushed) = (Instant::now() + patience, rest.is_empty());
                        None
                    }
                    () = sleep_until(deadline) => return Err(silent(patience)),
                }
            };
            let before = transfer.under_way.len();
            match heard {
                None => {}
                Some(0) => return Err(gone()),
                Some(_) => self.hear(|txnr, data| transfer.answered(txnr, data))?,
            }
            if transfer.under_way.len() < before {
                pulse::beat(); // a slow receiver is no task that hangs
                deadline = Instant::now() + patience;
            }
        }
    }

    /// Whether an idle session can still be used: a peer that left, or said that it leaves, costs nothing but a new
    /// connection.
    pub fn is_alive(&mut self) -> bool {
        match self.stream.read_buf(&mut self.inbox).now_or_never() {
            None => self.inbox.is_empty(),
            Some(_) => false, // its end, a hint that it closes, or an answer to nothing
        }
    }

    /// Ends the session properly.
    ///
    /// # Errors
    /// The peer did not answer; nothing is lost by it.
    pub async fn close(mut self) -> io::Result<()> {
        self.ask("close", b"").await?;
        self.stream.shutdown().await
    }

    /// One command, and its answer's data.
    async fn ask(&mut self, command: &str, data: &[u8]) -> io::Result<String> {
        let (txnr, deadline) = (self.next, Instant::now() + self.patience);
        self.next = frame::after(txnr);
        let mut out = Vec::new();
        frame::write(&mut out, txnr, command, data);
        let exchange = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await?;
            let mut answer = None;
            while answer.is_none() {
                if self.stream.read_buf(&mut self.inbox).await? == 0 {
                    return Err(gone());
                }
                self.hear(|answered, data| {
                    if answered != txnr || answer.is_some() {
                        return Err(stray(answered));
                    }
                    answer = Some(String::from_utf8_lossy(data).into_owned());
                    Ok(())
                })?;
            }
            Ok(answer.unwrap_or_default())
        };
        match tokio::time::timeout_at(deadline, exchange).await {
            Ok(done) => done,
            Err(_) => Err(silent(self.patience)),
        }
    }

    /// Hands every complete answer to `take`.
    fn hear(&mut self, mut take: impl FnMut(u32, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut used = 0;
        while let Some(frame) = frame::read(self.inbox.get(used..).unwrap_or_default())? {
            match frame.command {
                b"rsp" => take(frame.txnr, frame.data)?,
                b"serverclose" => return Err(closing()),
                _ => {
                    return Err(refused(format!(
                        "the receiver sent the RELP command {:?}, which only a client may",
                        words(&String::from_utf8_lossy(frame.command))
                    )));
                }
            }
            used += frame.len;
        }
        self.inbox.drain(..used);
        Ok(())
    }
}

impl Transfer<'_> {
    /// Puts further messages on their way while the window has room and what is queued leaves in one write.
    fn queue(&mut self, next: &mut u32) {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        while self.under_way.len() < RELP_WINDOW && self.out.len() - self.written < WRITE_BYTES {
            let Some(message) = self.batch.record(self.queued) else { break };
            frame::write(&mut self.out, *next, "syslog", message);
            self.under_way.push_back((*next, self.queued));
            *next = frame::after(*next);
            self.queued += 1;
        }
    }

    fn answered(&mut self, txnr: u32, data: &[u8]) -> io::Result<()> {
        let place = self.under_way.iter().position(|(open, _)| *open == txnr).ok_or_else(|| stray(txnr))?;
        let Some((_, message)) = self.under_way.remove(place) else { return Err(stray(txnr)) };
        let text = String::from_utf8_lossy(data);
        let code = text.split([' ', '\n']).next().unwrap_or_default();
        if let Some(answer) = self.answers.get_mut(message) {
            *answer = if code == "200" { Answer::Taken } else { Answer::Refused(words(&text)) };
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.under_way.is_empty() && self.queued == self.batch.len()
    }
}

fn words(text: &str) -> String {
    text.chars().take(MAX_WORDS).collect()
}

fn refused(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn stray(txnr: u32) -> io::Error {
    refused(format!("the receiver answered transaction {txnr}, which is not open"))
}

fn silent(patience: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the receiver did not answer within {patience:?}"))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver closed the connection with answers open")
}

fn closing() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the receiver closes the session (serverclose)")
}
