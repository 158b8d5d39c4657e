//! What the steps of a feed do: ask and store here, the files of a listing in `files`, answers that are files
//! themselves in `answers`. Each is one exchange with Mimecast or one transaction with the store, and reports what
//! happened; none waits or tries twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::{Access, Account, Slip};
use super::decide::{By, Leads, Outcome, Step};
use super::found::{Damage, Found};
use super::hosts::{HostName, Leave};
use super::lost::mark;
use super::places::{Places, Seat};
use super::repeats::Repeats;
use super::side::Side;
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::mimecast::auth::Pass;
use crate::mimecast::client::Place;
use crate::mimecast::feed::{Endpoint, Feed};
use crate::mimecast::page::{self, Leads as PageLeads, Listing, Page, RecordPage};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::reach::Known;
use crate::mimecast::request::{self, Asking};
use crate::store::{Dedupe, FileMark, Intake, Lane, Store};
use crate::telemetry::notice::{Feed as News, Notice};
use crate::telemetry::pulse;

/// What a feed's runner has in hand between two steps.
pub struct Hand {
    pub(super) key: FeedKey,
    pub(super) feed: &'static Feed,
    pub(super) reach: Reach,
    pub(super) account: Arc<Account>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) places: Arc<Places>,
    /// The listing being worked through, and the cursor the store holds now. In boxes, this and what follows: most
    /// of the time there is none, and thousands of feeds wait.
    pub(super) page: Option<Box<(Listing, Cursor)>>,
    /// Where the files end for now, when that is where a feed crosses to or from the stream.
    pub(super) crossing: Option<Box<Position>>,
    /// Side work, while that is what is done.
    pub(super) side: Option<Box<Side>>,
    /// How far back the side work will read, whatever lane is being read now.
    pub(super) side_reach: Option<Time>,
    /// When the cycle began there was no side work, and only a wanted gap could make some: nothing that comes with time.
    pub(super) side_idle: bool,
    /// When side work failed last, and for how long it rests then.
    pub(super) side_rests: Option<(Time, Duration)>,
    /// The last fault may be about a position inside the side's span.
    pub(super) side_refused: bool,
    /// How far the feed was read when the page in hand was asked for.
    pub(super) read_to: Option<Time>,
    /// When the page in hand was asked for, by Mimecast's clock.
    pub(super) asked: Time,
    /// When the store was last told that nothing is new.
    pub(super) noted: Option<Time>,
    pub(super) tally: PageTally,
    /// What this cycle has been shown.
    pub(super) repeats: Option<Box<Repeats>>,
    /// Under which the present step sends.
    pub(super) leave: Option<Leave>,
    /// Who waits for a place to read a file in has nothing under way that is worth finishing.
    pub(super) stop: CancellationToken,
    /// The next request is the first of its cycle.
    first: bool,
    last_success: Option<Time>,
}

/// What one request goes out with, and what its outcome is reported with.
pub(super) struct Going {
    pub pass: Pass,
    pub slip: Slip,
}

/// Whether one may go out.
pub(super) enum Ready {
    Go(Going),
    Shut(Outcome),
}

/// How far a feed reaches back, and when.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// How much of the previous window is read again.
    pub overlap: Duration,
    /// The very first poll.
    pub lookback: Duration,
    /// Which of its two functions a SIEM feed is read from.
    pub endpoint: Endpoint,
    /// How often the last 48 hours are read again.
    pub sweep_every: Duration,
}

/// What the page in hand brought so far, for its one log line.
pub(super) struct PageTally {
    since: Instant,
    pub(super) events: u64,
    duplicate: u64,
    pub(super) files: u64,
    bytes: u64,
    pub(super) newest: Option<Time>,
}

impl PageTally {
    pub(super) fn new() -> Self {
        PageTally { since: Instant::now(), events: 0, duplicate: 0, files: 0, bytes: 0, newest: None }
    }
}

impl Hand {
    pub fn new(
        key: FeedKey,
        feed: &'static Feed,
        reach: Reach,
        account: Arc<Account>,
        (store, clock): (Store, Clock),
        places: Arc<Places>,
    ) -> Self {
        let clock_now = clock.now();
        Hand {
            key,
            feed,
            reach,
            account,
            store,
            clock,
            places,
            page: None,
            crossing: None,
            side: None,
            side_reach: None,
            side_idle: false,
            side_rests: None,
            side_refused: false,
            read_to: None,
            asked: clock_now,
            noted: None,
            tally: PageTally::new(),
            repeats: None,
            leave: None,
            stop: CancellationToken::new(),
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
    /// Whom a step sends to, if to anybody.
    pub fn host_of(&self, step: Step) -> Option<HostName> {
        match step {
            Step::Ask | Step::Aside => Some(self.account.host().clone()),
            Step::Take { file } | Step::GiveUp { file } => match self.link(file) {
                Ok(link) => self.account.host_of(&link.url),
                Err(_) => Some(self.account.host().clone()), // answers that are files
            },
            _ => None,
        }
    }
    /// The host was found away while this step waited for its turn.
    pub(super) fn overtaken(&self) -> Option<Outcome> {
        let until = self.leave.as_ref().and_then(|leave| self.account.hosts().overtaken(leave))?;
        Some(Outcome::Shut { until: Some(until), by: By::Host })
    }
    /// A place to read a file in; `None` when told to stop before one is free.
    pub(super) async fn seat(&self) -> Option<Seat> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            seat = self.places.sit(&self.account.one_file) => Some(seat),
        }
    }
    /// The cycle is over: the page in hand is dropped, the next request counts as a poll.
    pub fn new_cycle(&mut self) {
        (self.page, self.side, self.crossing, self.repeats) = (None, None, None, None);
        self.first = true;
    }
    /// A step failed: what is read again now shows what was seen.
    pub fn fell_back(&mut self) {
        self.repeats = None;
    }

    // --- asking -------------------------------------------------------------------------------------------

    /// One API request at the cursor the store holds.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub async fn ask(&mut self, page_size: u32) -> Result<Outcome, Fault> {
        self.room()?;
        (self.page, self.side, self.crossing) = (None, None, None);
        self.account.learn_time().await?; // which the first window is made of
        if !self.account.knows_time()
            && let Some(closed) = self.account.closed().await
        {
            // by a clock that nobody vouches for no position is too old
            return Ok(Outcome::Shut { until: closed.until, by: By::Gate });
        }
        let now = self.account.server_now();
        let row = self.store.feed(&self.key).await?;
        let side = Side::read(&row.side);
        self.side_reach = side.reaches_back_to();
        let place = self.place(&row, now)?;
        self.read_to = place.0.read_to(place.1);
        self.side_idle = side.is_idle() && !matches!(place.0, Position::Window { .. });
        let cursor = self.begin(row, &place).await?;
        let (position, known) = place;
        if position.beyond_retention(self.feed, now, known).is_some() {
            let words = format!("the position of {} is older than what Mimecast keeps", self.key);
            return Err(Fault::new(Origin::Local, Kind::BeyondRetention, words));
        }
        let call = if self.first { Call::Live } else { Call::CatchUp };
        let asking = Asking { page_size, overlap: self.reach.overlap, server_now: now, until: None };
        let cursor = self.keep_stand(&position, cursor).await?;
        self.exchange((position, Some(known)), cursor, &asking, call).await
    }

    /// One request for a page at `position`, and what is stored of its answer. `cursor` is what the store holds, `known`
    /// what it tells of the main position; `None`: this is side work.
    ///
    /// # Errors
    /// Any fault on the way; nothing was stored then.
    pub(super) async fn exchange(
        &mut self,
        (position, known): (Position, Option<Known>),
        cursor: Cursor,
        asking: &Asking,
        call: Call,
    ) -> Result<Outcome, Fault> {
        let now = asking.server_now;
        let asked = request::build(self.feed, &position, asking);
        let seat = match &asked.position {
            Position::Token(_) => match self.seat().await {
                Some(seat) => Some(seat),
                None => return Ok(Outcome::Stopping),
            },
            _ => None,
        };
        let going = match self.may_ask(position.endpoint(), call, now).await? {
            Ready::Go(going) => going,
            Ready::Shut(outcome) => return Ok(outcome),
        };
        if let (Position::Token(place), Some(seat)) = (&asked.position, seat) {
            return self.ask_for_file((cursor, place, known), going, &asked.request, seat).await;
        }
        let start = Instant::now();
        pulse::rest(); // all of it has a time of its own, but for the wait for a place in memory
        let answer = self.account.api.send(&asked.request, &going.pass).await;
        pulse::beat();
        let (mut answered, mut _place) = (None, Place::default()); // which is held until the page is stored
        let page = answer.and_then(|mut answer| {
            _place = std::mem::take(&mut answer.place);
            answered = self.account.note_headers(self.feed, asked.position.endpoint(), &answer.headers);
            let full = |fault| answer.blame(fault, self.clock.now());
            let page = match &asked.position {
                Position::Stream(live) => self.read_live(live, &answer.body, now),
                position => page::read(self.feed, &self.key.tenant, position, &answer.body, now),
            };
            page.map(|page| page.told(full)).map_err(full)
        });
        let page = page.map_err(|fault| Fault { from_start: !asked.position.carries_token(), ..fault });
        let said = match &page {
            Err(fault) | Ok(Page::Partial(_, fault)) => Some(fault),
            Ok(Page::Files(_) | Page::Records(_) | Page::Live(_)) => None,
        };
        self.tell_answer(said, start.elapsed());
        match said {
            Some(fault) => self.failed(fault, going.slip).await?,
            None => self.account.call_ok(self.key.feed, going.slip).await?,
        }
        if said.is_none() && answered.is_some_and(|answered| self.account.was_ahead(now, answered)) {
            return Ok(Outcome::Shut { until: Some(self.clock.now()), by: By::Gate }); // asked again, by its clock
        }
        let page = page?;
        self.note_forgotten(&position, known, &cursor).await?;
        match page {
            Page::Files(listing) => self.listed(listing, cursor).await,
            Page::Records(records) => self.store_records(records, cursor, &asked.position, true).await,
            Page::Live(page) => self.store_live(page, cursor).await,
            Page::Partial(records, fault) => {
                self.store_records(records, cursor, &asked.position, false).await?;
                Err(fault)
            }
        }
    }

    /// Whether a request may go out now, and with what; it is counted then.
    pub(super) async fn may_ask(
        &mut self,
        endpoint: Endpoint,
        call: Call,
        now: Time,
    ) -> Result<Ready, Fault> {
        let shut = |until, by| Ok(Ready::Shut(Outcome::Shut { until, by }));
        if let Some(closed) = self.account.closed().await {
            return shut(closed.until, By::Gate); // costs nothing of the quota
        }
        if let Some(until) = self.account.quota(self.feed, endpoint, call).await? {
            return shut(Some(until), By::Quota);
        }
        let access = self.account.access().await;
        if let Err(fault) = &access {
            self.account.met(self.key.feed, fault).await?;
        }
        let going = match access? {
            Access::Go { pass, slip } => Going { pass, slip },
            Access::Shut(closed) => return shut(closed.until, By::Gate),
        };
        self.first = false;
        self.asked = now;
        self.tally = PageTally::new();
        if let Some(repeats) = &mut self.repeats {
            repeats.begin_page();
        }
        Ok(Ready::Go(going))
    }

    /// Tells the account what a call met.
    pub(super) async fn failed(&self, fault: &Fault, slip: Slip) -> Result<(), Fault> {
        self.account.call_fault(self.key.feed, fault, slip).await?;
        self.account.met(self.key.feed, fault).await
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

    async fn listed(&mut self, mut listing: Listing, cursor: Cursor) -> Result<Outcome, Fault> {
        let marks: Vec<FileMark> = listing.files.iter().map(mark).collect();
        let known = self.store.known_files(&self.key, &marks).await?;
        listing.files.retain(|link| !known.contains(&mark(link)));
        if listing.files.is_empty() && listing.leads == PageLeads::Same && !listing.caught_up {
            return Err(page::stands_still());
        }
        if let Some(side) = &self.side {
            listing.leads = PageLeads::Forward(side.led_to(&listing.leads, listing.caught_up).cursor());
        } else {
            self.look_across(&mut listing)?;
            if listing.caught_up && listing.files.is_empty() {
                self.note_complete(&cursor).await;
            }
        }
        let outcome = Outcome::Listed {
            files: u16::try_from(listing.files.len()).unwrap_or(u16::MAX), // MAX_FILES_PER_LISTING is far below
            leads: leads(&listing.leads),
            caught_up: listing.caught_up,
        };
        self.last_success = Some(self.clock.now());
        self.page = Some(Box::new((listing, cursor)));
        Ok(outcome)
    }

    /// `whole`: nothing was wrong with the page. Otherwise its span is read once more from the beginning, also one of
    /// the side, whose position knows no other window than its own.
    async fn store_records(
        &mut self,
        page: RecordPage,
        cursor: Cursor,
        asked: &Position,
        whole: bool,
    ) -> Result<Outcome, Fault> {
        let (ended, led, listed) = (page.caught_up, leads(&page.leads), page.listed);
        let caught_up = ended && !self.is_old(asked);
        let after = self.side.as_deref().map(|side| match whole {
            true => side.led_to(&page.leads, ended).read_on(listed),
            false => side.restarted(self.feed),
        });
        let to = match (&after, page.leads) {
            (Some(side), _) => side.cursor(),
            (None, PageLeads::Forward(to)) => to,
            (None, PageLeads::Same | PageLeads::Missing) => cursor.clone(),
        };
        let complete = asked.window().filter(|_| ended && after.is_none()).map(|(_, span)| span.to);
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
        let intake = if ended { self.ending(intake) } else { intake };
        self.commit(intake, self.feed.path, bytes, &found.kinds).await?;
        let records = self.news(listed, led);
        self.side_moved(after, ended, listed);
        self.tell_page(caught_up);
        Ok(Outcome::Stored { records, leads: led, caught_up })
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

    pub(super) async fn commit(
        &mut self,
        intake: Intake,
        source: &str,
        bytes: u64,
        found: &[Damage],
    ) -> Result<(), Fault> {
        self.commit_keyed((intake, &[]), source, bytes, found).await
    }

    /// The same, with what each record says; see [`Store::commit_keyed`].
    pub(super) async fn commit_keyed(
        &mut self,
        (intake, keys): (Intake, &[Vec<EventId>]),
        source: &str,
        bytes: u64,
        found: &[Damage],
    ) -> Result<(), Fault> {
        let (start, newest) = (Instant::now(), intake.newest);
        if intake.lane == Lane::Main {
            self.repeats.get_or_insert_default().part(&intake);
        }
        let committed = self.store.commit_keyed(intake, keys).await?;
        self.last_success = Some(self.clock.now());
        self.tally.events += committed.stored;
        self.tally.duplicate += committed.duplicate;
        self.tally.bytes += bytes;
        self.tally.newest = self.tally.newest.max(newest);
        let (events, duplicate, took) = (committed.stored, committed.duplicate, start.elapsed());
        Notice::Feed(&self.key, News::Committed { source, events, duplicate, took }).emit();
        for damage in found.iter().filter(|_| !committed.already) {
            let (reason, lines, first) =
                (damage.reason, damage.news(&committed.known), damage.first.as_str());
            if lines > 0 {
                Notice::Feed(&self.key, News::LinesQuarantined { file: source, reason, lines, first }).emit();
            }
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
