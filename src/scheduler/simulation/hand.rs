//! What the steps of a feed do, as `scheduler::steps`, `files` and `lost` do it: the product's own requests, pages,
//! positions and file parser, between the server in memory and the store in memory.

use std::time::Duration;

use super::account::Pass;
use super::audit::Knock;
use super::mimecast::TENANT;
use super::planted::Planted;
use super::store::{Commit, Trouble};
use super::weather::{self, Answer};
use super::world::{Event, World, local};
use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{API_TIMEOUT, CLOCK_SKEW_TOLERATED};
use crate::mimecast::feed::{Feed, Identity};
use crate::mimecast::page::{self, Leads as PageLeads, Listing, Page, RecordPage};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::{self, Asking};
use crate::scheduler::decide::{By, Leads, Outcome, State, Step};
use crate::store::{Cause, Dedupe, Gap};
use crate::supervisor::policy::judge;

pub const LOOKBACK: Duration = Duration::from_secs(86_400);

/// What is under way.
pub enum Flight {
    Page(Box<Asked>),
    File(u16),
    /// A file that will not have come when the time is up.
    Drip(u16),
}

/// A request that was sent, and what is coming back.
pub struct Asked {
    token: u64,
    generation: u64,
    position: Position,
    cursor: Cursor,
    /// Mimecast's time, as far as it was known.
    at: Time,
    answer: Result<String, Fault>,
}

/// What a runner has in hand between two steps.
pub struct Hand {
    pub feed: &'static Feed,
    pub state: State,
    pub step: Step,
    /// Names the wait that counts.
    pub serial: u64,
    pub flight: Option<Flight>,
    pub trouble_stored: bool,
    pub cycle: Option<Time>,
    pub(super) page: Option<(Listing, Cursor)>,
    asked: Time,
    first: bool,
    /// The cursor that was read last, and what it says: the same text says the same again.
    opened: Option<(String, Position)>,
}

/// A file that was being fetched when its process was taken for dead, with the listing it belongs to.
pub struct Ghost {
    feed: &'static str,
    page: (Listing, Cursor),
    file: u16,
}

impl Hand {
    /// What is left behind in the middle of a file.
    pub fn leave(&mut self) -> Option<Ghost> {
        let Some(Flight::File(file)) = self.flight else { return None };
        Some(Ghost { feed: self.feed.name, page: self.page.take()?, file })
    }
    pub fn new(feed: &'static Feed) -> Self {
        Hand {
            feed,
            state: State::default(),
            step: Step::Stop,
            serial: 0,
            flight: None,
            trouble_stored: false,
            cycle: None,
            page: None,
            asked: Time(0),
            first: true,
            opened: None,
        }
    }
    pub fn new_cycle(&mut self) {
        self.page = None;
        self.first = true;
    }
}

impl World {
    // --- asking -------------------------------------------------------------------------------------------

    pub(super) fn room(&self) -> Result<(), Fault> {
        let full = self.store.over_limit() && !self.is(Planted::RoomIgnored);
        if full { Err(local(Kind::DiskFull)) } else { Ok(()) }
    }

    fn place(&mut self, feed: usize) -> Result<(Position, Cursor), Fault> {
        let (cursor, now) = (Cursor(self.store.rows[feed].cursor.clone()), self.server_now());
        let hand = &mut self.feeds[feed];
        let known = hand.opened.take().filter(|(text, _)| *text == cursor.0 && !cursor.is_unset());
        let position = match known {
            Some((_, position)) => position,
            None => Position::open(hand.feed, &cursor, now, LOOKBACK)?,
        };
        hand.opened = Some((cursor.0.clone(), position.clone()));
        Ok((position, cursor))
    }

    /// Where a feed begins is written down with its registration, when the story begins.
    fn begin(&mut self, feed: usize) {
        let (forgotten, start) = (self.is(Planted::BeginningForgotten), self.plan.start);
        let row = &mut self.store.rows[feed];
        if row.cursor.is_empty() && !forgotten {
            row.cursor = Position::first(self.feeds[feed].feed, start, LOOKBACK).cursor().0;
            row.known.complete = Some(start.minus(LOOKBACK));
        }
    }

    /// Sends a request; `None` while its answer is awaited.
    pub(super) fn ask(&mut self, feed: usize) -> Result<Option<Outcome>, Fault> {
        self.room()?;
        self.begin(feed);
        self.feeds[feed].page = None;
        self.learn_time(feed)?;
        if !self.account.server_clock.is_known()
            && let Some(closed) = self.closed()
        {
            return Ok(Some(Outcome::Shut { until: closed.until, by: By::Gate }));
        }
        let now = self.server_now();
        let (position, cursor) = self.place(feed)?;
        let (row, known) = (self.feeds[feed].feed, self.store.rows[feed].known);
        if !self.is(Planted::AgeUnnoticed) && position.beyond_retention(row, now, known).is_some() {
            return Err(local(Kind::BeyondRetention));
        }
        let call = if self.feeds[feed].first { Call::Live } else { Call::CatchUp };
        let (token, generation) = match self.may_ask(feed, call)? {
            Pass::Go { token, generation } => (token, generation),
            Pass::Shut(outcome) => return Ok(Some(outcome)),
        };
        (self.feeds[feed].first, self.feeds[feed].asked) = (false, now);
        let ahead = if self.is(Planted::WindowIntoTheFuture) { 1_800 } else { 0 };
        let asking = Asking {
            page_size: self.feeds[feed].state.page_size(request::page_size(row)),
            overlap: if self.is(Planted::NoOverlap) { Duration::ZERO } else { row.overlap },
            server_now: now.plus(Duration::from_secs(ahead)),
            until: None,
        };
        let asked = request::build(row, &position, &asking);
        self.audit_knock(Knock::Call, feed, "call");
        self.audit_call(feed);
        self.audit_token(feed, token);
        let ended = (self.now >= self.server.token_until).then(weather::token_ended);
        let struck = self.weather(Origin::Api, feed).or(ended);
        let drips = matches!(struck, Some(Answer::Drip));
        let answer = match struck {
            None => Ok(self.server.answer(feed, &asked.request, self.now)),
            Some(answer) => match (answer.fault(Origin::Api, self.clock()), answer) {
                (Some(fault), _) => Err(fault),
                (None, Answer::Http { body, .. }) => Ok(body),
                (None, _) => Err(Fault::new(Origin::Api, Kind::Interrupted, "same words")),
            },
        };
        let flight = Asked { token, generation, position: asked.position, cursor, at: now, answer };
        self.sent(feed, Flight::Page(Box::new(flight)), drips.then_some(API_TIMEOUT));
        Ok(None)
    }

    /// Something is under way: its answer comes soon, or the time allowed runs out.
    pub(super) fn sent(&mut self, feed: usize, flight: Flight, drips: Option<Duration>) {
        self.feeds[feed].flight = Some(flight);
        let millis = self.dice.u64(20..3_000);
        let after = drips.unwrap_or_default() + Duration::from_millis(millis);
        if drips.is_none() || !self.is(Planted::DripWaitedFor) {
            self.at(self.now.plus(after), Event::Arrives { feed });
        }
    }

    /// The answer is there.
    pub(super) fn arrive(&mut self, feed: usize, flight: Flight) -> Outcome {
        let done = match flight {
            Flight::Page(asked) => self.answered(feed, *asked),
            Flight::File(file) => self.take(feed, file, false),
            Flight::Drip(file) => self.take(feed, file, true),
        };
        done.unwrap_or_else(Outcome::Fault)
    }

    fn answered(&mut self, feed: usize, asked: Asked) -> Result<Outcome, Fault> {
        let row = self.feeds[feed].feed;
        let read = |body: &str| page::read(row, TENANT, &asked.position, body.as_bytes(), asked.at);
        if asked.answer.is_ok() {
            self.note_date();
        }
        let page = match &asked.answer {
            Err(fault) => Err(fault.clone()),
            Ok(body) if self.is(Planted::FirstPageOnly) => read(&body.replace("\"next\"", "\"nothing\"")),
            Ok(body) => read(body),
        };
        let page = match page {
            Err(_) if self.is(Planted::FaultTakenForEmpty) => read(r#"{"data":[],"value":[]}"#),
            page => page,
        };
        match page {
            Err(fault) => {
                self.audit_call_fault(&fault, asked.token);
                let heard = self.as_heard(fault.clone());
                let name = row.name;
                self.tell(|| format!("{name}: {fault} ({})", judge(&fault).name()));
                self.call_fault(feed, &heard, asked.generation)?;
                self.audit_feed_fault(feed, &fault);
                Err(heard)
            }
            Ok(page) => {
                self.call_ok(feed, asked.generation)?;
                self.audit_call_ok(asked.token, self.feeds[feed].asked);
                self.audit.went_well(feed);
                if asked.at.since(self.server_now()) >= CLOCK_SKEW_TOLERATED {
                    return Ok(Outcome::Shut { until: Some(self.clock()), by: By::Gate }); // asked again
                }
                self.note_forgotten(feed, &asked)?;
                match page {
                    Page::Files(listing) => self.listed(feed, listing, asked.cursor),
                    Page::Records(page) => self.store_records(feed, page, asked.cursor, &asked.position),
                    // this Mimecast answers in full or not at all, and has no stream
                    Page::Partial(_, fault) => Err(fault),
                    Page::Live(_) => Err(local(Kind::Malformed)),
                }
            }
        }
    }

    fn listed(&mut self, feed: usize, mut listing: Listing, cursor: Cursor) -> Result<Outcome, Fault> {
        listing.files.retain(|link| !self.store.knows_file(feed, link.key.bytes()));
        let now = self.clock();
        if listing.caught_up && listing.files.is_empty() && self.writable().is_ok() {
            let known = &mut self.store.rows[feed].known;
            known.complete = known.complete.max(Some(self.feeds[feed].asked));
            known.last_success = Some(now);
        }
        if self.is(Planted::LastFileLeftOut) && listing.files.len() > 1 {
            listing.files.pop();
        }
        let outcome = Outcome::Listed {
            files: u16::try_from(listing.files.len()).unwrap(),
            leads: leads(&listing.leads),
            caught_up: listing.caught_up,
        };
        self.feeds[feed].page = Some((listing, cursor));
        Ok(outcome)
    }

    fn store_records(
        &mut self,
        feed: usize,
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
        let Some((pass, span)) = asked.window() else { return Err(local(Kind::Malformed)) };
        let horizon = span.from;
        let dedupe = match self.feeds[feed].feed.identity {
            Identity::HasOwnId => Dedupe::Exact { horizon },
            Identity::Bytes => Dedupe::Ids { pass, horizon },
        };
        let commit = Commit {
            ids: page.chunk.iter().flat_map(|chunk| chunk.records.iter().map(|record| record.id)).collect(),
            quarantined: page.unreadable.len() as u64,
            listed: page.listed,
            dedupe,
            newest: page.newest,
            complete: page.caught_up.then_some(span.to),
            ..self.moving(feed, cursor, to)
        };
        self.commit(commit)?;
        Ok(outcome)
    }

    /// The process that was taken for dead finishes its file, from where it believes the feed to stand.
    pub(super) fn haunt(&mut self) {
        let Some(ghost) = self.ghost.take().filter(|_| !self.dead) else { return };
        let Some(feed) = self.feeds.iter().position(|hand| hand.feed.name == ghost.feed) else { return };
        if self.off[feed] {
            return;
        }
        let own = self.feeds[feed].page.replace(ghost.page);
        let done = self.take(feed, ghost.file, false).is_ok();
        self.tell(|| format!("{}: a process taken for dead has stored a file: {done}", ghost.feed));
        self.feeds[feed].page = own;
    }

    // --- storing ------------------------------------------------------------------------------------------

    pub(super) fn moving(&self, feed: usize, from: Cursor, to: Cursor) -> Commit {
        Commit {
            feed,
            from,
            to,
            ids: Vec::new(),
            dedupe: Dedupe::None,
            quarantined: 0,
            listed: 0,
            gaps: Vec::new(),
            newest: None,
            complete: None,
            file: None,
        }
    }

    pub(super) fn commit(&mut self, mut commit: Commit) -> Result<(), Fault> {
        let trouble = match self.local_trouble() {
            None => Trouble::None,
            Some(kind) if self.dice.u8(0..3) == 0 => Trouble::After(kind),
            Some(kind) => Trouble::Before(kind),
        };
        let (feed, added) = (commit.feed, commit.ids.len());
        if self.is(Planted::QuarantineForgotten) {
            commit.quarantined = 0;
        }
        if self.is(Planted::GapForgotten) {
            commit.gaps.clear();
        }
        let name = self.feeds[feed].feed.name;
        let to = commit.to.0.clone();
        let before = self.store.rows[feed].quarantined;
        if trouble == Trouble::None || matches!(trouble, Trouble::After(_)) {
            self.audit.collected[feed] = true;
        }
        let done = self.store.commit(commit, self.clock(), trouble, self.planted());
        self.audit.quarantined[feed] += self.store.rows[feed].quarantined - before;
        self.tell(|| format!("{name}: commits {added} events, {done:?}; to {to}"));
        self.audit_store(added);
        self.wake_couriers();
        done.map(|_| ())
    }

    pub(super) fn turn(&mut self, feed: usize) -> Result<Outcome, Fault> {
        if let Some((listing, cursor)) = self.feeds[feed].page.take()
            && let PageLeads::Forward(to) = &listing.leads
        {
            let complete = Some(self.feeds[feed].asked).filter(|_| listing.caught_up);
            let commit = Commit { complete, ..self.moving(feed, cursor.clone(), to.clone()) };
            if let Err(fault) = self.commit(commit) {
                self.feeds[feed].page = Some((listing, cursor));
                return Err(fault);
            }
        }
        Ok(Outcome::Turned)
    }

    /// What the server may have forgotten unread while the answer was on its way.
    fn note_forgotten(&mut self, feed: usize, asked: &Asked) -> Result<(), Fault> {
        let (row, known) = (self.feeds[feed].feed, self.store.rows[feed].known);
        let lost = asked.position.forgotten_unread(row, self.server_now(), known);
        let Some(span) = lost.filter(|_| !self.is(Planted::AgeUnnoticed)) else { return Ok(()) };
        let stays = self.moving(feed, asked.cursor.clone(), asked.cursor.clone());
        self.commit(Commit { gaps: vec![forgotten(span)], complete: Some(span.to), ..stays })
    }

    pub(super) fn rewind(&mut self, feed: usize) -> Result<Outcome, Fault> {
        let (position, from) = self.place(feed)?;
        let now = self.server_now();
        let (row, known) = (self.feeds[feed].feed, self.store.rows[feed].known);
        let without = match position.beyond_retention(row, now, known) {
            Some(_) => position,
            None => position.without_token(),
        };
        let lost = without.beyond_retention(row, now, known);
        let mut after = match lost {
            Some(span) => without.rewound(row, span.to, now),
            None => without,
        };
        if self.is(Planted::RewoundToNow) {
            let tomorrow = now.plus(LOOKBACK);
            after = Position::first(row, tomorrow, Duration::ZERO);
        }
        let gap = lost.map(forgotten);
        let complete = lost.map(|span| span.to);
        let commit =
            Commit { gaps: gap.into_iter().collect(), complete, ..self.moving(feed, from, after.cursor()) };
        self.commit(commit)?;
        Ok(Outcome::Rewound)
    }
}

fn forgotten(span: TimeSpan) -> Gap {
    Gap { span, cause: Cause::BeyondRetention, detail: String::new(), records: 0, fetchable: false }
}

fn leads(leads: &PageLeads) -> Leads {
    match leads {
        PageLeads::Forward(_) => Leads::Forward,
        PageLeads::Same => Leads::Same,
        PageLeads::Missing => Leads::Missing,
    }
}
