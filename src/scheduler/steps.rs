//! What the steps of a feed do: ask and rewind here, the files of a listing in `files`, answers that are files
//! themselves in `answers`. Each is one exchange with Mimecast or one transaction with the store, and reports what
//! happened; none waits or tries twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::account::{Access, Account};
use super::decide::{By, Leads, Outcome};
use super::found::{Damage, Found};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::fault::{Fault, Kind, Origin};
use crate::mimecast::auth::Token;
use crate::mimecast::feed::{Feed, Identity};
use crate::mimecast::page::{self, Leads as PageLeads, Listing, Page, RecordPage};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::{self, Asking};
use crate::store::{Dedupe, Gap, Intake, Store};
use crate::telemetry::notice::{Feed as News, Notice};

/// What a feed's runner has in hand between two steps.
pub struct Hand {
    pub(super) key: FeedKey,
    pub(super) feed: &'static Feed,
    pub(super) overlap: Duration,
    pub(super) lookback: Duration,
    pub(super) account: Arc<Account>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) files: Arc<Semaphore>,
    /// The listing being worked through, and the cursor the store holds now.
    pub(super) page: Option<(Listing, Cursor)>,
    pub(super) tally: PageTally,
    /// The next request is the first of its cycle.
    first: bool,
    last_success: Option<Time>,
}

/// What the page in hand brought so far, for its one log line.
pub(super) struct PageTally {
    since: Instant,
    events: u64,
    duplicate: u64,
    pub(super) files: u64,
    bytes: u64,
    pub(super) newest: Option<Time>,
}

impl PageTally {
    fn new() -> Self {
        PageTally { since: Instant::now(), events: 0, duplicate: 0, files: 0, bytes: 0, newest: None }
    }
}

/// A request that may go out.
pub(super) struct Due {
    /// Where the store stands, as text and as what it means.
    pub cursor: Cursor,
    pub position: Position,
    /// The server's time.
    pub now: Time,
    pub token: Token,
    pub generation: u64,
}

/// Whether one may.
pub(super) enum Ready {
    Go(Due),
    Shut(Outcome),
}

impl Hand {
    pub fn new(
        key: FeedKey,
        feed: &'static Feed,
        (overlap, lookback): (Duration, Duration),
        account: Arc<Account>,
        (store, clock): (Store, Clock),
        files: Arc<Semaphore>,
    ) -> Self {
        Hand {
            key,
            feed,
            overlap,
            lookback,
            account,
            store,
            clock,
            files,
            page: None,
            tally: PageTally::new(),
            first: true,
            last_success: None,
        }
    }

    pub fn key(&self) -> &FeedKey {
        &self.key
    }
    pub fn last_success(&self) -> Option<Time> {
        self.last_success
    }
    /// Files or records a full page has.
    pub fn page_size(&self) -> u32 {
        request::page_size(self.feed)
    }
    /// The cycle is over: the page in hand is dropped, the next request counts as a poll.
    pub fn new_cycle(&mut self) {
        self.page = None;
        self.first = true;
    }

    // --- asking -------------------------------------------------------------------------------------------

    /// One API request at the cursor the store holds.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub async fn ask(&mut self, page_size: u32) -> Result<Outcome, Fault> {
        let due = match self.due().await? {
            Ready::Go(due) => due,
            Ready::Shut(outcome) => return Ok(outcome),
        };
        let asking = Asking { page_size, overlap: self.overlap, server_now: due.now };
        let asked = request::build(self.feed, &due.position, &asking);
        if let Position::Token(_) = asked.position {
            return self.ask_for_file(due, &asked.request).await;
        }
        let Due { cursor, now, token, generation, .. } = due;
        let start = Instant::now();
        let answer = self.account.api.send(&asked.request, &token).await;
        let page = answer.and_then(|answer| {
            self.account.note_headers(self.feed, &answer.headers);
            page::read(self.feed, &self.key.tenant, &asked.position, &answer.body, now)
        });
        self.tell_answer(page.as_ref().err(), start.elapsed());
        match page {
            Err(fault) => {
                self.account.call_fault(&fault, generation).await?;
                Err(fault)
            }
            Ok(page) => {
                self.account.call_ok(generation).await?;
                match page {
                    Page::Files(listing) => Ok(self.listed(listing, cursor)),
                    Page::Records(records) => self.store_records(records, cursor, &asked.position).await,
                }
            }
        }
    }

    /// Opens the way for one request: position, gate, quota, token.
    pub(super) async fn due(&mut self) -> Result<Ready, Fault> {
        self.room()?;
        self.page = None;
        let now = self.account.server_now();
        let cursor = self.store.feed(&self.key).await?.cursor;
        let position = Position::open(self.feed, &cursor, now, self.lookback)?;
        if position.beyond_retention(self.feed, now).is_some() {
            let words = format!("the position of {} is older than what Mimecast keeps", self.key);
            return Err(Fault::new(Origin::Local, Kind::BeyondRetention, words));
        }
        let shut = |until, by| Ok(Ready::Shut(Outcome::Shut { until, by }));
        if let Some(closed) = self.account.closed().await {
            return shut(closed.until, By::Gate); // costs nothing of the quota
        }
        let call = if self.first { Call::Live } else { Call::CatchUp };
        if let Some(until) = self.account.quota(self.feed, call) {
            return shut(Some(until), By::Quota);
        }
        let (token, generation) = match self.account.access().await? {
            Access::Go { token, generation } => (token, generation),
            Access::Shut(closed) => return shut(closed.until, By::Gate),
        };
        self.first = false;
        self.tally = PageTally::new();
        Ok(Ready::Go(Due { cursor, position, now, token, generation }))
    }

    pub(super) fn room(&self) -> Result<(), Fault> {
        if self.store.over_limit() {
            return Err(Fault::new(Origin::Local, Kind::DiskFull, "the store has no room for more events"));
        }
        Ok(())
    }

    pub(super) fn tell_answer(&self, fault: Option<&Fault>, took: Duration) {
        let status = fault.map_or(Some(200), Fault::status);
        let code = fault.map_or("", Fault::code_str);
        Notice::Feed(&self.key, News::Answered { status, code, took }).emit();
    }

    fn listed(&mut self, listing: Listing, cursor: Cursor) -> Outcome {
        let outcome = Outcome::Listed {
            files: u16::try_from(listing.files.len()).unwrap_or(u16::MAX), // MAX_FILES_PER_LISTING is far below
            leads: leads(&listing.leads),
            caught_up: listing.caught_up,
        };
        self.last_success = Some(self.clock.now());
        self.page = Some((listing, cursor));
        outcome
    }

    async fn store_records(
        &mut self,
        page: RecordPage,
        cursor: Cursor,
        asked: &Position,
    ) -> Result<Outcome, Fault> {
        let outcome =
            Outcome::Stored { records: page.listed, leads: leads(&page.leads), caught_up: page.caught_up };
        let to = match page.leads {
            PageLeads::Forward(to) => to,
            PageLeads::Same | PageLeads::Missing => cursor.clone(),
        };
        let bytes = page.chunk.as_ref().map_or(0, |chunk| chunk.raw.len() as u64);
        let found = Found::new(page.unreadable, self.feed.path);
        let intake = Intake {
            quarantined: found.items,
            listed: page.listed,
            dedupe: self.dedupe(asked),
            newest: page.newest,
            chunks: page.chunk.into_iter().collect(),
            ..self.intake(Span { from: cursor, to })
        };
        self.commit(intake, self.feed.path, bytes, &found.kinds).await?;
        self.tell_page(page.caught_up);
        Ok(outcome)
    }

    /// How repeats of an overlapping window are told from new records.
    fn dedupe(&self, asked: &Position) -> Dedupe {
        let Some((pass, window)) = asked.window() else { return Dedupe::None };
        // no later window reaches further back than this one's start, less what the overlap may be set to
        let horizon = window.from.minus(self.overlap);
        match self.feed.identity {
            Identity::HasOwnId => Dedupe::Exact { horizon },
            Identity::Bytes => Dedupe::Ids { pass, horizon },
        }
    }

    /// Moves the cursor to a date the service accepts; what cannot be fetched any more becomes a gap.
    ///
    /// # Errors
    /// The store's.
    pub async fn rewind(&mut self) -> Result<Outcome, Fault> {
        let now = self.account.server_now();
        let from = self.store.feed(&self.key).await?.cursor;
        let position = Position::open(self.feed, &from, now, self.lookback)?;
        let without = if position.beyond_retention(self.feed, now).is_some() {
            position
        } else {
            position.without_token()
        };
        let lost = without.beyond_retention(self.feed, now);
        let after = match lost {
            Some(span) => without.rewound(self.feed, span.to, now),
            None => without,
        };
        let gap = lost.map(|span| Gap {
            span,
            cause: "beyond_retention".to_owned(),
            detail: "the position was older than what Mimecast keeps".to_owned(),
            records: 0,
            fetchable: false,
        });
        let intake =
            Intake { gaps: gap.into_iter().collect(), ..self.intake(Span { from, to: after.cursor() }) };
        self.store.commit(intake).await?;
        let why = if let Some(span) = lost {
            Notice::Feed(&self.key, News::GapOpened { span, why: "older than what Mimecast keeps" }).emit();
            "the old position is older than what Mimecast keeps"
        } else {
            "Mimecast refused the old position"
        };
        Notice::Feed(&self.key, News::Rewound { to: &after.describe(), why }).emit();
        Ok(Outcome::Rewound)
    }

    // --- storing ------------------------------------------------------------------------------------------

    /// An intake that moves the cursor and nothing else.
    pub(super) fn intake(&self, span: Span) -> Intake {
        Intake {
            feed: self.key.clone(),
            span,
            chunks: Vec::new(),
            staged: Vec::new(),
            quarantined: Vec::new(),
            gaps: Vec::new(),
            listed: 0,
            dedupe: Dedupe::None,
            collected: self.clock.now(),
            newest: None,
        }
    }

    pub(super) async fn commit(
        &mut self,
        intake: Intake,
        source: &str,
        bytes: u64,
        found: &[Damage],
    ) -> Result<(), Fault> {
        let (start, newest) = (Instant::now(), intake.newest);
        let committed = self.store.commit(intake).await?;
        self.last_success = Some(self.clock.now());
        self.tally.events += committed.stored;
        self.tally.duplicate += committed.duplicate;
        self.tally.bytes += bytes;
        self.tally.newest = self.tally.newest.max(newest);
        let (events, duplicate, took) = (committed.stored, committed.duplicate, start.elapsed());
        Notice::Feed(&self.key, News::Committed { source, events, duplicate, took }).emit();
        for Damage { reason, lines, first } in found {
            Notice::Feed(&self.key, News::LinesQuarantined { file: source, reason, lines: *lines, first })
                .emit();
        }
        Ok(())
    }

    pub(super) fn tell_page(&mut self, caught_up: bool) {
        let PageTally { since, events, duplicate, files, bytes, newest } =
            std::mem::replace(&mut self.tally, PageTally::new());
        let news =
            News::PageStored { events, duplicate, files, bytes, took: since.elapsed(), caught_up, newest };
        Notice::Feed(&self.key, news).emit();
    }
}

fn leads(leads: &PageLeads) -> Leads {
    match leads {
        PageLeads::Forward(_) => Leads::Forward,
        PageLeads::Same => Leads::Same,
        PageLeads::Missing => Leads::Missing,
    }
}
