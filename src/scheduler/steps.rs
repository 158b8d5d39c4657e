//! What the steps of a feed do: ask, take a file, turn the page, give a file up, rewind. Each is one exchange
//! with Mimecast or one transaction with the store, and reports what happened; none waits or tries twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::account::{Access, Account};
use super::decide::{By, Leads, Outcome};
use super::found::{Damage, Found};
use super::lost::{known, mark};
use super::side::Side;
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::fault::{Fault, Kind, Origin};
use crate::mimecast::feed::Feed;
use crate::mimecast::links::FileLink;
use crate::mimecast::page::{self, Leads as PageLeads, Listing, Page, RecordPage};
use crate::mimecast::payload::{FileEnd, FileParser};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::{self, Asking};
use crate::store::{Dedupe, FileMark, Gap, Intake, Lane, StagedChunk, Store};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;
use crate::telemetry::notice::{Feed as News, Notice};

/// What a feed's runner has in hand between two steps.
pub struct Hand {
    pub(super) key: FeedKey,
    pub(super) feed: &'static Feed,
    pub(super) reach: Reach,
    pub(super) account: Arc<Account>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    files: Arc<Semaphore>,
    /// The listing being worked through, and the cursor the store holds now.
    pub(super) page: Option<(Listing, Cursor)>,
    /// Side work, while that is what is done.
    pub(super) side: Option<Side>,
    /// No side work before this time, after a fault.
    pub(super) side_rests: Option<Time>,
    /// The last fault may be about a position inside the side's span.
    pub(super) side_refused: bool,
    /// When the page in hand was asked for, by Mimecast's clock.
    pub(super) asked: Time,
    /// When the store was last told that nothing is new.
    pub(super) noted: Option<Time>,
    pub(super) tally: PageTally,
    /// The next request is the first of its cycle.
    first: bool,
    last_success: Option<Time>,
}

/// How far a feed reaches back, and when.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// How much of the previous window is read again.
    pub overlap: Duration,
    /// The very first poll.
    pub lookback: Duration,
    /// How often the last 48 hours are read again.
    pub sweep_every: Duration,
}

/// What the page in hand brought so far, for its one log line.
pub(super) struct PageTally {
    since: Instant,
    events: u64,
    duplicate: u64,
    files: u64,
    bytes: u64,
    pub(super) newest: Option<Time>,
}

impl PageTally {
    pub(super) fn new() -> Self {
        PageTally { since: Instant::now(), events: 0, duplicate: 0, files: 0, bytes: 0, newest: None }
    }
}

/// One file, read.
struct FileRead {
    end: FileEnd,
    staged: Vec<StagedChunk>,
    bytes: u64,
}

impl Hand {
    pub fn new(
        key: FeedKey,
        feed: &'static Feed,
        reach: Reach,
        account: Arc<Account>,
        (store, clock): (Store, Clock),
        files: Arc<Semaphore>,
    ) -> Self {
        let clock_now = clock.now();
        Hand {
            key,
            feed,
            reach,
            account,
            store,
            clock,
            files,
            page: None,
            side: None,
            side_rests: None,
            side_refused: false,
            asked: clock_now,
            noted: None,
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
        (self.page, self.side) = (None, None);
        self.first = true;
    }

    // --- asking -------------------------------------------------------------------------------------------

    /// One API request at the cursor the store holds.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub async fn ask(&mut self, page_size: u32) -> Result<Outcome, Fault> {
        self.room()?;
        (self.page, self.side) = (None, None);
        self.account.learn_time().await?; // which the first window is made of
        let now = self.account.server_now();
        let row = self.store.feed(&self.key).await?;
        let position = Position::open(self.feed, &row.cursor, now, self.reach.lookback)?;
        if position.beyond_retention(self.feed, now, known(&row)).is_some() {
            let words = format!("the position of {} is older than what Mimecast keeps", self.key);
            return Err(Fault::new(Origin::Local, Kind::BeyondRetention, words));
        }
        let call = if self.first { Call::Live } else { Call::CatchUp };
        let asking = Asking { page_size, overlap: self.reach.overlap, server_now: now, until: None };
        self.exchange(position, row.cursor, &asking, call).await
    }

    /// One request for a page at `position`, and what is stored of its answer. `cursor` is what the store holds.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub(super) async fn exchange(
        &mut self,
        position: Position,
        cursor: Cursor,
        asking: &Asking,
        call: Call,
    ) -> Result<Outcome, Fault> {
        if let Some(closed) = self.account.closed().await {
            return Ok(Outcome::Shut { until: closed.until, by: By::Gate }); // costs nothing of the quota
        }
        if let Some(until) = self.account.quota(self.feed, call).await? {
            return Ok(Outcome::Shut { until: Some(until), by: By::Quota });
        }
        let (pass, slip) = match self.account.access().await? {
            Access::Go { pass, slip } => (pass, slip),
            Access::Shut(closed) => return Ok(Outcome::Shut { until: closed.until, by: By::Gate }),
        };
        let now = asking.server_now;
        self.first = false;
        self.asked = now;
        self.tally = PageTally::new();
        let asked = request::build(self.feed, &position, asking);
        let start = Instant::now();
        let answer = self.account.api.send(&asked.request, &pass).await;
        let page = answer.and_then(|answer| {
            self.account.note_headers(self.feed, &answer.headers);
            let full = |fault| answer.blame(fault, self.clock.now());
            let page = page::read(self.feed, &self.key.tenant, &asked.position, &answer.body, now);
            page.map(|page| page.told(full)).map_err(full)
        });
        let said = match &page {
            Err(fault) | Ok(Page::Partial(_, fault)) => Some(fault),
            Ok(Page::Files(_) | Page::Records(_)) => None,
        };
        self.tell_answer(said, start.elapsed());
        match said {
            Some(fault) => self.account.call_fault(fault, slip).await?,
            None => self.account.call_ok(slip).await?,
        }
        if said.is_none() && self.account.was_ahead(now) {
            return Ok(Outcome::Shut { until: Some(self.clock.now()), by: By::Gate }); // asked again, by its clock
        }
        match page? {
            Page::Files(listing) => self.listed(listing, cursor).await,
            Page::Records(records) => self.store_records(records, cursor, &asked.position).await,
            Page::Partial(records, fault) => {
                self.store_records(records, cursor, &asked.position).await?;
                Err(fault)
            }
        }
    }

    pub(super) fn room(&self) -> Result<(), Fault> {
        if self.store.over_limit() {
            return Err(Fault::new(Origin::Local, Kind::DiskFull, "the store has no room for more events"));
        }
        Ok(())
    }

    fn tell_answer(&self, fault: Option<&Fault>, took: Duration) {
        let status = fault.map_or(Some(200), Fault::status);
        let code = fault.map_or("", Fault::code_str);
        Notice::Feed(&self.key, News::Answered { status, code, took }).emit();
    }

    async fn listed(&mut self, mut listing: Listing, cursor: Cursor) -> Result<Outcome, Fault> {
        let marks: Vec<FileMark> = listing.files.iter().map(mark).collect();
        let known = self.store.known_files(&self.key, &marks).await?;
        listing.files.retain(|link| !known.contains(&mark(link)));
        if let Some(side) = &self.side {
            listing.leads = PageLeads::Forward(side.led_to(&listing.leads, listing.caught_up).cursor());
        } else if listing.caught_up && listing.files.is_empty() {
            self.note_complete().await;
        }
        let outcome = Outcome::Listed {
            files: u16::try_from(listing.files.len()).unwrap_or(u16::MAX), // MAX_FILES_PER_LISTING is far below
            leads: leads(&listing.leads),
            caught_up: listing.caught_up,
        };
        self.last_success = Some(self.clock.now());
        self.page = Some((listing, cursor));
        Ok(outcome)
    }

    async fn store_records(
        &mut self,
        page: RecordPage,
        cursor: Cursor,
        asked: &Position,
    ) -> Result<Outcome, Fault> {
        let outcome =
            Outcome::Stored { records: page.listed, leads: leads(&page.leads), caught_up: page.caught_up };
        let after =
            self.side.as_ref().map(|side| side.led_to(&page.leads, page.caught_up).read_on(page.listed));
        let to = match (&after, page.leads) {
            (Some(side), _) => side.cursor(),
            (None, PageLeads::Forward(to)) => to,
            (None, PageLeads::Same | PageLeads::Missing) => cursor.clone(),
        };
        let complete = asked.window().filter(|_| page.caught_up && after.is_none()).map(|(_, span)| span.to);
        let bytes = page.chunk.as_ref().map_or(0, |chunk| chunk.raw.len() as u64);
        let found = Found::new(page.unreadable, self.feed.path);
        let intake = Intake {
            quarantined: found.items,
            listed: page.listed,
            dedupe: self.dedupe(asked),
            newest: self.plausible(page.newest),
            chunks: page.chunk.into_iter().collect(),
            complete,
            ..self.intake(Span { from: cursor, to })
        };
        let intake = if page.caught_up { self.ending(intake) } else { intake };
        self.commit(intake, self.feed.path, bytes, &found.kinds).await?;
        self.side_moved(after, page.caught_up);
        self.tell_page(page.caught_up);
        Ok(outcome)
    }

    // --- files --------------------------------------------------------------------------------------------

    /// Downloads a file of the listing in hand, stores it and marks it done, in one transaction.
    ///
    /// # Errors
    /// Any fault on the way; nothing counts then.
    pub async fn take(&mut self, file: u16) -> Result<Outcome, Fault> {
        let link = self.link(file)?;
        self.room()?;
        let _one_of_few = self.files.clone().acquire_owned().await; // never closed: an error cannot happen
        self.store.let_courier_take().await;
        let read = self.read_file(&link, FileParser::new(self.feed, &self.key.tenant, &link.name)).await?;
        self.store_file(&link, read, Vec::new()).await?;
        Ok(Outcome::Took)
    }

    /// Keeps what can be read of a file that stays damaged, quarantines its bytes, and marks it done.
    ///
    /// # Errors
    /// Any fault on the way, but not the damage.
    pub async fn give_up(&mut self, file: u16) -> Result<Outcome, Fault> {
        let link = self.link(file)?;
        let _one_of_few = self.files.clone().acquire_owned().await;
        let salvaging = FileParser::salvaging(self.feed, &self.key.tenant, &link.name);
        let read = match self.read_file(&link, salvaging).await {
            Ok(read) => read,
            // the server says for good that it has no such file; any other fault may pass, so the file stays due
            Err(fault)
                if fault.status().is_some()
                    && matches!(judge(&fault).verdict, Verdict::Insist { .. } | Verdict::Relist { .. }) =>
            {
                self.nothing_left(&link, &fault)
            }
            Err(fault) => return Err(fault),
        };
        let gap = self.gap_of(&link);
        let span = gap.span;
        self.store_file(&link, read, vec![gap]).await?;
        Notice::Feed(&self.key, News::GapOpened { span, why: "a file could not be read as a whole" }).emit();
        Ok(Outcome::GaveUp)
    }

    /// A file of which not a byte can be had any more: quarantined by name.
    fn nothing_left(&self, link: &FileLink, fault: &Fault) -> FileRead {
        let mut parser = FileParser::salvaging(self.feed, &self.key.tenant, &link.name);
        let _ = parser.push(fault.to_string().as_bytes()); // salvaging never fails
        let end = parser.finish().unwrap_or_else(|_| FileEnd::default());
        FileRead { end, staged: Vec::new(), bytes: 0 }
    }

    fn link(&self, file: u16) -> Result<FileLink, Fault> {
        let links = self.page.as_ref().map(|(listing, _)| &listing.files);
        links.and_then(|files| files.get(usize::from(file))).cloned().ok_or_else(|| {
            Fault::new(Origin::Local, Kind::Conflict, "the listing in hand is gone; it is asked for again")
        })
    }

    async fn read_file(&self, link: &FileLink, mut parser: FileParser) -> Result<FileRead, Fault> {
        let mut staged = Vec::new();
        let outcome = self.pour(link, &mut parser, &mut staged).await;
        match outcome.and_then(|bytes| Ok((parser.finish()?, bytes))) {
            Ok((end, bytes)) => Ok(FileRead { end, staged, bytes }),
            Err(mut fault) => {
                if !staged.is_empty() {
                    self.store.unstage(&self.key).await?;
                }
                if fault.kind == Kind::GzipCorrupt {
                    // the same damage again, or another: the supervisor compares words
                    let [a, b, c, d, ..] = parser.sha256();
                    fault.detail.push_str(&format!(" (sha256 {a:02x}{b:02x}{c:02x}{d:02x}…)"));
                }
                Err(fault)
            }
        }
    }

    /// Streams the file through the parser; full chunks go to the store at once, so that memory stays constant.
    async fn pour(
        &self,
        link: &FileLink,
        parser: &mut FileParser,
        staged: &mut Vec<StagedChunk>,
    ) -> Result<u64, Fault> {
        let mut download = self.account.downloads.open(link).await?;
        let mut bytes = 0;
        while let Some(piece) = download.next_piece().await? {
            parser.push(&piece)?;
            bytes += self.stage(parser, staged).await?;
        }
        parser.close();
        bytes += self.stage(parser, staged).await?;
        Ok(bytes)
    }

    /// Stores the chunks that are complete; returns their bytes.
    async fn stage(&self, parser: &mut FileParser, staged: &mut Vec<StagedChunk>) -> Result<u64, Fault> {
        let mut bytes = 0;
        while let Some(chunk) = parser.take_sealed() {
            bytes += chunk.raw.len() as u64;
            staged.push(self.store.stage(&self.key, chunk).await?);
        }
        Ok(bytes)
    }

    async fn store_file(&mut self, link: &FileLink, read: FileRead, gaps: Vec<Gap>) -> Result<(), Fault> {
        let Some((listing, cursor)) = &self.page else { return Ok(()) }; // `link` came from it
        let after = listing.position.with_done(link.key);
        let side = self.side.as_ref().map(|side| side.at(after.cursor()).read_on(read.end.listed));
        let to = side.as_ref().map_or_else(|| after.cursor(), Side::cursor);
        let span = Span { from: cursor.clone(), to };
        // a file given up may come back mended
        let file = Some(mark(link)).filter(|_| gaps.is_empty());
        let bytes = read.bytes + read.end.chunk.as_ref().map_or(0, |chunk| chunk.raw.len() as u64);
        let found = Found::new(read.end.unreadable, &link.name);
        let intake = Intake {
            staged: read.staged,
            quarantined: found.items,
            gaps,
            listed: read.end.listed,
            newest: self.plausible(read.end.newest),
            file,
            chunks: read.end.chunk.into_iter().collect(),
            ..self.intake(span.clone())
        };
        self.commit(intake, &link.name, bytes, &found.kinds).await?;
        if let Some((listing, cursor)) = &mut self.page {
            listing.position = after;
            *cursor = span.to;
        }
        if let (Some(side), Some((listing, _))) = (side, &mut self.page) {
            listing.leads = PageLeads::Forward(side.led_to(&listing.leads, listing.caught_up).cursor());
            self.side = Some(side);
        }
        self.tally.files += 1;
        Ok(())
    }

    /// Moves the cursor to where the finished listing leads.
    ///
    /// # Errors
    /// The store's.
    pub async fn turn(&mut self) -> Result<Outcome, Fault> {
        if let Some((listing, cursor)) = self.page.take()
            && let PageLeads::Forward(to) = &listing.leads
        {
            let mut intake = self.intake(Span { from: cursor.clone(), to: to.clone() });
            intake.complete = Some(self.asked).filter(|_| listing.caught_up && self.side.is_none());
            let intake = if listing.caught_up { self.ending(intake) } else { intake };
            if let Err(fault) = self.store.commit(intake).await {
                self.page = Some((listing, cursor));
                return Err(fault);
            }
            self.side_moved(self.side.clone(), listing.caught_up);
            self.tell_page(listing.caught_up);
        }
        Ok(Outcome::Turned)
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
            lane: if self.side.is_some() { Lane::Side } else { Lane::Main },
            complete: None,
            file: None,
            closes: Vec::new(),
        }
    }

    async fn commit(
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

    fn tell_page(&mut self, caught_up: bool) {
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
