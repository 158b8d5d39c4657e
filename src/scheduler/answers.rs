//! Answers that are files themselves (`siem.mta`, the threat feeds): received whole, because an archive is read from
//! its end; read on a thread of their own; stored in parts as they are read.
//!
//! The cursor moves with each part and the token with the last one. What breaks off in between is read once more from
//! the beginning, under another number, and the store leaves out what it has.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::account::Slip;
use super::decide::{Leads, Outcome};
use super::found::Found;
use super::places::Seat;
use super::spool::{Body, Spool};
use super::steps::{Going, Hand, Ready};
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::cursor::{Cursor, Span};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_ERROR_BODY_BYTES, TOKEN_MEMORY};
use crate::mimecast::archive::{self, ArchiveEnd, Reading};
use crate::mimecast::client::Incoming;
use crate::mimecast::feed::{Ask, Endpoint, Identity};
use crate::mimecast::mta::{self, Head};
use crate::mimecast::position::{Place, Position};
use crate::mimecast::quota::Call;
use crate::mimecast::reach::Known;
use crate::mimecast::request::{self, Asking, Request};
use crate::store::{Cause, Dedupe, Gap, Intake};
use crate::supervisor::policy::judge;
use crate::telemetry::notice::{Feed as News, Notice};
use crate::telemetry::pulse;

/// What came as the answer.
enum Received {
    /// Nothing new; the place may have moved all the same.
    Nothing(Head),
    File(Head, Body),
}

/// An answer on its way into the store.
struct Storing {
    /// Where the store stands.
    cursor: Cursor,
    place: Place,
    source: String,
}

impl Hand {
    /// One request whose answer is a file, stored with its place. The seat was taken before it was signed: to wait
    /// for one may take longer than a signature is good for.
    ///
    /// # Errors
    /// Any fault on the way. Parts of the answer may be stored; they are recognised when it is read again.
    pub(super) async fn ask_for_file(
        &mut self,
        (cursor, old, known): (Cursor, &Place, Option<Known>),
        going: Going,
        request: &Request,
        mut seat: Seat,
    ) -> Result<Outcome, Fault> {
        let received = self.converse(going, request, &mut seat).await;
        let received = received.map_err(|fault| Fault { from_start: old.token.is_none(), ..fault })?;
        self.note_forgotten(&Position::Token(old.clone()), known, &cursor).await?;
        match received {
            Received::Nothing(head) => {
                let leads = leads(&head, old);
                let to = match leads {
                    Leads::Forward => Position::Token(old.after_answer(head.token)).cursor(),
                    Leads::Same | Leads::Missing => cursor.clone(),
                };
                let intake = Intake { complete: Some(self.asked), ..self.intake(Span { from: cursor, to }) };
                self.commit(intake, self.feed.path, 0, &[]).await?;
                self.tell_page(true);
                Ok(Outcome::Stored { records: 0, leads, caught_up: true })
            }
            Received::File(head, body) => {
                let leads = leads(&head, old);
                let caught_up = leads == Leads::Missing;
                let records = self.store_answer(&cursor, old, (head, body), Reading::Strict).await?.0;
                let records = self.news(records, leads);
                self.tell_page(caught_up);
                Ok(Outcome::Stored { records, leads, caught_up })
            }
        }
    }

    /// The way past an answer that stays unreadable: the same place asked for as one plain file. What of that cannot
    /// be read is quarantined, and a gap record says so.
    ///
    /// # Errors
    /// Any fault on the way, but not the damage.
    pub(super) async fn give_up_answer(&mut self) -> Result<Outcome, Fault> {
        self.room()?;
        let now = self.account.server_now();
        let row = self.store.feed(&self.key).await?;
        let (position, _) = self.place(&row, now)?;
        let cursor = row.cursor;
        let Position::Token(old) = &position else { return Ok(Outcome::GaveUp) };
        let Some(mut seat) = self.seat().await else { return Ok(Outcome::Stopping) };
        let going = match self.may_ask(Endpoint::Batch, Call::CatchUp, now).await? {
            Ready::Go(going) => going,
            Ready::Shut(outcome) => return Ok(outcome),
        };
        let request = match self.feed.ask {
            Ask::Archive => request::single_file(self.feed, &position),
            _ => {
                let (page_size, overlap) = (self.page_size(), self.reach.overlap);
                let asking = Asking { page_size, overlap, server_now: now, until: None };
                request::build(self.feed, &position, &asking).request
            }
        };
        if let Received::File(head, body) = self.converse(going, &request, &mut seat).await? {
            let (_, lost) = self.store_answer(&cursor, old, (head, body), Reading::Salvage).await?;
            if let Some(gap) = lost {
                let why = "an answer could not be read as a whole";
                Notice::Feed(&self.key, News::GapOpened { span: gap.span, why }).emit();
            }
            self.tell_page(false);
        }
        Ok(Outcome::GaveUp)
    }

    async fn converse(
        &mut self,
        Going { pass, slip }: Going,
        request: &Request,
        seat: &mut Seat,
    ) -> Result<Received, Fault> {
        let (start, mut slip) = (Instant::now(), Some(slip));
        let received = match seat.wait_to_begin(self.account.api.open(request, &pass)).await {
            Ok(incoming) => seat.wait(self.receive(incoming, &mut slip)).await,
            Err(fault) => Err(fault),
        };
        self.tell_answer(received.as_ref().err(), start.elapsed());
        match (&received, slip) {
            (Err(fault), Some(slip)) => self.failed(fault, slip).await?,
            (Err(fault), None) => self.account.met(self.key.feed, fault).await?,
            (Ok(_), Some(slip)) => self.account.call_ok(self.key.feed, slip).await?,
            (Ok(_), None) => {}
        }
        received
    }

    /// The slip is used up as soon as it is clear that the call was let in, which may be long before all is here.
    async fn receive(&self, mut incoming: Incoming, slip: &mut Option<Slip>) -> Result<Received, Fault> {
        self.account.note_headers(self.feed, Endpoint::Batch, incoming.headers());
        let archive = self.feed.ask == Ask::Archive;
        let head =
            Head::read(incoming.headers(), if archive { mta::TOKEN_HEADER } else { mta::INTEL_TOKEN_HEADER });
        let is_file = !head.json && head.token.is_some();
        let mut spool = Spool::new(self.store.dir());
        let mut began = Began::default();
        while let Some(piece) = incoming.next_piece().await? {
            pulse::beat();
            began.take(&piece);
            // only who signed well is sent a file with a token; the tenant's other feeds need not wait for the rest of it
            if is_file
                && began.is_no_failure()
                && let Some(slip) = slip.take()
            {
                self.account.call_ok(self.key.feed, slip).await?;
            }
            spool.push(&piece).await.map_err(|fault| incoming.blame(fault, self.clock.now()))?;
        }
        let full = |fault| incoming.blame(fault, self.clock.now());
        let body = spool.finish().await.map_err(full)?;
        if let Some(bytes) = body.held() {
            if archive && head.json {
                if !mta::holds_records(bytes).map_err(full)? {
                    return Ok(Received::Nothing(head));
                }
            } else if bytes.len() <= MAX_ERROR_BODY_BYTES && bytes.trim_ascii_start().starts_with(b"{") {
                match mta::believe(bytes) {
                    // told as a failure, and found up to date all the same
                    Err(fault) if judge(&fault).title == "nothing_there" => {
                        return Ok(Received::Nothing(head));
                    }
                    believed => believed.map_err(full)?,
                }
            }
        }
        Ok(Received::File(head, body))
    }

    /// Reads an answer and stores it: how many records it held, and the gap if it could not be read as a whole.
    async fn store_answer(
        &mut self,
        cursor: &Cursor,
        old: &Place,
        (head, body): (Head, Body),
        how: Reading,
    ) -> Result<(u64, Option<Gap>), Fault> {
        let name = head.name.unwrap_or_default();
        let source = if name.is_empty() { self.feed.path.to_owned() } else { name.clone() };
        let mut storing = Storing { cursor: cursor.clone(), place: old.afresh(), source };
        let (give, mut taken) = mpsc::channel::<Chunk>(1);
        let (feed, tenant) = (self.feed, self.key.tenant.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut give = |chunk| give.blocking_send(chunk).is_ok();
            archive::read(body, &name, (feed, &tenant), how, &mut give)
        });
        let mut given = 0;
        let mut outcome = Ok(());
        while let Some(chunk) = taken.recv().await {
            pulse::beat();
            given += chunk.records.len() as u64;
            outcome = self.store_part(&mut storing, chunk).await;
            if outcome.is_err() {
                break;
            }
        }
        drop(taken); // a reader that has more to give ends now
        let end = reading
            .await
            .map_err(|_| Fault::new(Origin::Local, Kind::DiskIo, "the reader of an answer died"));
        outcome?;
        let end = end??;
        let records = end.readable;
        let gap = end.damage.as_ref().map(|fault| self.gap_of_answer(&storing.source, fault));
        self.store_end(storing, end, given, (head.token, gap.clone())).await?;
        Ok((records, gap))
    }

    async fn store_part(&mut self, storing: &mut Storing, chunk: Chunk) -> Result<(), Fault> {
        let place = storing.place.after_part();
        let span = Span { from: storing.cursor.clone(), to: Position::Token(place.clone()).cursor() };
        let bytes = chunk.raw.len() as u64;
        let intake = Intake {
            listed: chunk.records.len() as u64,
            newest: self.plausible(chunk.newest().map(Time)),
            dedupe: self.by_token(&place),
            chunks: vec![chunk],
            ..self.intake(span.clone())
        };
        let source = storing.source.clone();
        self.commit(intake, &source, bytes, &[]).await?;
        (storing.cursor, storing.place) = (span.to, place);
        Ok(())
    }

    async fn store_end(
        &mut self,
        storing: Storing,
        end: ArchiveEnd,
        given: u64,
        (token, gap): (Option<String>, Option<Gap>),
    ) -> Result<(), Fault> {
        // without a token to go on with, this was all there is
        let complete = Some(self.asked).filter(|_| token.is_none() && self.feed.ask != Ask::Archive);
        let place = storing.place.after_answer(token);
        let span = Span { from: storing.cursor, to: Position::Token(place.clone()).cursor() };
        let found = Found::new(end.unreadable, &storing.source);
        let intake = Intake {
            listed: end.readable.saturating_sub(given) + found.items.len() as u64,
            quarantined: found.items,
            gaps: gap.into_iter().collect(),
            newest: self.plausible(end.newest),
            dedupe: self.by_token(&place),
            chunks: end.chunks,
            complete,
            ..self.intake(span)
        };
        let bytes = intake.chunks.iter().map(|chunk| chunk.raw.len() as u64).sum();
        self.commit(intake, &storing.source, bytes, &found.kinds).await?;
        self.tally.files += end.files;
        Ok(())
    }

    /// How repeats are told of a feed that may have to be read again from the oldest.
    fn by_token(&self, place: &Place) -> Dedupe {
        let horizon = self.clock.now().minus(TOKEN_MEMORY);
        match self.feed.identity {
            Identity::HasOwnId => Dedupe::Exact { horizon },
            Identity::Bytes => Dedupe::Ids { pass: place.pass, horizon },
        }
    }

    fn gap_of_answer(&self, source: &str, fault: &Fault) -> Gap {
        let mut gap = self.gap_of(source);
        gap.cause = Cause::AnswerGivenUp;
        gap.detail = format!("{source}: {}; what was readable is stored", fault.detail);
        gap
    }
}

/// Where an answer leads: without a token the old one stays good.
/// What the beginning of an answer tells before the rest has come.
#[derive(Default)]
struct Began {
    /// Its first byte that is no blank.
    first: Option<u8>,
    bytes: usize,
}

impl Began {
    fn take(&mut self, piece: &[u8]) {
        self.first = self.first.or_else(|| piece.iter().copied().find(|byte| !byte.is_ascii_whitespace()));
        self.bytes = self.bytes.saturating_add(piece.len());
    }

    /// What says that something went wrong is a small JSON object, whatever type and token it comes with.
    fn is_no_failure(&self) -> bool {
        self.bytes > MAX_ERROR_BODY_BYTES || self.first.is_some_and(|byte| byte != b'{')
    }
}

fn leads(head: &Head, old: &Place) -> Leads {
    match &head.token {
        None => Leads::Missing,
        Some(token) if Some(token) == old.token.as_ref() => Leads::Same,
        Some(_) => Leads::Forward,
    }
}
