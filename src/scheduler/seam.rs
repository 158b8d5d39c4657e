//! A SIEM feed between its two functions: pages of the stream, files that are read beside it, and the crossing from
//! one to the other. What makes this safe is told in `mimecast::live`; here it is put into transactions.

use super::decide::{Leads, Outcome};
use super::files::is_gone;
use super::found::Found;
use super::lost::{known, mark};
use super::places::Seat;
use super::side::Side;
use super::steps::Hand;
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::cursor::{Cursor, Span};
use crate::fault::{Fault, Kind};
use crate::limits::{STREAM_MEMORY, STREAM_OVERLAP};
use crate::mimecast::links::FileLink;
use crate::mimecast::live::{Live, Seam};
use crate::mimecast::page::{Leads as PageLeads, Listing, Page};
use crate::mimecast::payload::{FileEnd, FileParser};
use crate::mimecast::position::Position;
use crate::mimecast::reach::Known;
use crate::mimecast::stream::{self, LivePage};
use crate::store::{Dedupe, FeedRow, Gap, Intake};
use crate::telemetry::notice::{Feed as News, Notice};
use crate::telemetry::pulse;

impl Hand {
    /// Where the feed stands, in terms of the function it is to be read from.
    ///
    /// # Errors
    /// A cursor that cannot be read.
    pub(super) fn stand(&self, cursor: &Cursor, now: Time) -> Result<Position, Fault> {
        let position = Position::open(self.feed, cursor, now, self.reach.lookback)?;
        Ok(position.at_endpoint(self.reach.endpoint, None, STREAM_OVERLAP, now))
    }

    /// Where the feed stands, and how far it is read. One that was never read begins one lookback before it was first
    /// to be collected, however long its first requests fail: what expires meanwhile becomes a gap.
    ///
    /// # Errors
    /// A cursor that cannot be read.
    pub(super) fn place(&self, row: &FeedRow, now: Time) -> Result<(Position, Known), Fault> {
        if !row.cursor.is_unset() {
            return Ok((self.stand(&row.cursor, now)?, known(row)));
        }
        // written down by our clock, before Mimecast's was known; in its future nothing can have begun
        let ahead = now.0.saturating_sub(self.clock.now().0);
        let begun = row.begun.map_or(now, |at| Time(at.0.saturating_add(ahead)).min(now));
        let start = begun.minus(self.reach.lookback.min(self.feed.retention));
        let first = Position::first(self.feed, begun, self.reach.lookback);
        let first = first.at_endpoint(self.reach.endpoint, Some(start), STREAM_OVERLAP, now);
        Ok((first, Known { complete: Some(start), ..known(row) }))
    }

    /// Where a feed begins is written down before anything is asked there, once Mimecast's time is known.
    pub(super) async fn begin(&self, row: FeedRow, place: &(Position, Known)) -> Result<Cursor, Fault> {
        let (first, Known { complete: Some(start), .. }) = place else { return Ok(row.cursor) };
        if !row.cursor.is_unset() || !self.account.knows_time() {
            return Ok(row.cursor);
        }
        self.store.begin_at(&self.key, &first.cursor(), *start).await?;
        Ok(first.cursor())
    }

    /// A position that was put into other terms is written down before anything is asked at it: since when events
    /// are remembered must not begin anew with each request.
    pub(super) async fn keep_stand(&mut self, position: &Position, cursor: Cursor) -> Result<Cursor, Fault> {
        let to = position.cursor();
        if to == cursor || (position.seam().is_none() && !matches!(position, Position::Stream(_))) {
            return Ok(cursor);
        }
        let moved = self.intake(Span { from: cursor, to: to.clone() });
        self.store.commit(moved).await?;
        Ok(to)
    }

    // --- the stream ---------------------------------------------------------------------------------------

    pub(super) fn read_live(&self, live: &Live, body: &[u8], now: Time) -> Result<Page, Fault> {
        stream::read((self.feed, &self.key.tenant), live, body, STREAM_OVERLAP, now).map(Page::Live)
    }

    pub(super) async fn store_live(&mut self, page: LivePage, cursor: Cursor) -> Result<Outcome, Fault> {
        let leads = match page.forward {
            Some(true) => Leads::Forward,
            Some(false) => Leads::Same,
            None => Leads::Missing,
        };
        let bytes = page.chunk.as_ref().map_or(0, |chunk| chunk.raw.len() as u64);
        let found = Found::new(page.unreadable, stream::live_path(self.feed));
        let keys: Vec<_> = page.chunk.iter().map(|_| page.keys.clone()).collect();
        let intake = Intake {
            quarantined: found.items,
            listed: page.listed,
            dedupe: self.by_content(page.pass, None),
            newest: self.plausible(page.newest),
            chunks: page.chunk.into_iter().collect(),
            complete: Some(self.asked).filter(|_| page.caught_up),
            ..self.intake(Span { from: cursor, to: page.to })
        };
        self.commit_keyed((intake, &keys), stream::live_path(self.feed), bytes, &found.kinds).await?;
        let records = self.news(page.listed, leads);
        self.tell_page(page.caught_up);
        Ok(Outcome::Stored { records, leads, caught_up: page.caught_up })
    }

    /// How an event is known that comes again in other bytes.
    fn by_content(&self, pass: u64, high: Option<Time>) -> Dedupe {
        let now = self.clock.now();
        let horizon = high.map_or(now, |high| high.min(now)).minus(STREAM_MEMORY);
        Dedupe::Ids { pass, horizon }
    }

    // --- files beside the stream --------------------------------------------------------------------------

    /// The listing in hand is read beside the stream.
    pub(super) fn beside(&self) -> bool {
        self.seam().is_some()
    }

    fn seam(&self) -> Option<Seam> {
        self.page.as_deref().and_then(|(listing, _)| listing.position.seam())
    }

    /// Reads one file, each chunk stored as it fills: what came by the stream is left out, and what an attempt before
    /// this one has stored. Returns the gap that damage left, when salvaging.
    pub(super) async fn take_beside(
        &mut self,
        link: &FileLink,
        salvage: bool,
        seat: &mut Seat,
    ) -> Result<Option<Gap>, Fault> {
        let Some(seam) = self.seam() else { return Ok(None) };
        let tenant = self.key.tenant.clone();
        let mut parser = match salvage {
            false => FileParser::new(self.feed, &tenant, &link.name),
            true => FileParser::salvaging(self.feed, &tenant, &link.name),
        };
        let mut seam = seam.afresh();
        let mut given = 0;
        let mut download = seat.wait_to_begin(self.account.downloads.open(link)).await?;
        while let Some(piece) = seat.wait(download.next_piece()).await? {
            pulse::beat();
            parser.push(&piece)?;
            self.store_parts(link, &mut parser, &mut seam, &mut given).await?;
        }
        parser.close();
        self.store_parts(link, &mut parser, &mut seam, &mut given).await?;
        let end = parser.finish().map_err(|mut fault| {
            if fault.kind == Kind::GzipCorrupt {
                let [a, b, c, d, ..] = parser.sha256();
                fault.detail.push_str(&format!(" (sha256 {a:02x}{b:02x}{c:02x}{d:02x}…)"));
            }
            fault
        })?;
        self.store_end_beside(link, end, seam, given).await
    }

    /// What is left of a file once its full chunks are stored, and the file with it.
    async fn store_end_beside(
        &mut self,
        link: &FileLink,
        end: FileEnd,
        seam: Seam,
        given: u64,
    ) -> Result<Option<Gap>, Fault> {
        let damaged = end.damaged.then(|| self.gap_of(&link.name));
        let listed = end.listed.saturating_sub(given);
        let found = Found::new(end.unreadable, &link.name);
        let kinds = found.kinds;
        let intake = Intake {
            quarantined: found.items,
            listed,
            newest: self.plausible(end.newest),
            file: Some(mark(link)).filter(|_| damaged.is_none()),
            gaps: damaged.iter().cloned().collect(),
            ..self.intake(Span { from: Cursor::unset(), to: Cursor::unset() })
        };
        self.store_beside(link, (intake, end.chunk), seam.after_file(), true).await?;
        for damage in &kinds {
            let (reason, lines, first) = (damage.reason, damage.lines, damage.first.as_str());
            Notice::Feed(&self.key, News::LinesQuarantined { file: &link.name, reason, lines, first }).emit();
        }
        self.tally.files += 1;
        Ok(damaged)
    }

    /// Keeps what can be read of a file that stays damaged or is gone.
    pub(super) async fn give_up_beside(
        &mut self,
        link: &FileLink,
        seat: &mut Seat,
    ) -> Result<Outcome, Fault> {
        let gap = match (self.take_beside(link, true, seat).await, self.seam()) {
            (Err(fault), Some(seam)) if is_gone(&fault) => {
                let end = self.nothing_left(link, &fault);
                self.store_end_beside(link, end, seam.afresh(), 0).await?
            }
            (taken, _) => taken?,
        };
        self.tell_given_up(gap.as_ref());
        Ok(Outcome::GaveUp)
    }

    async fn store_parts(
        &mut self,
        link: &FileLink,
        parser: &mut FileParser,
        seam: &mut Seam,
        given: &mut u64,
    ) -> Result<(), Fault> {
        while let Some(chunk) = parser.take_sealed() {
            *seam = seam.after_part();
            *given += chunk.records.len() as u64;
            let listed = chunk.records.len() as u64;
            let newest = self.plausible(chunk.newest().map(Time));
            let part =
                Intake { listed, newest, ..self.intake(Span { from: Cursor::unset(), to: Cursor::unset() }) };
            self.store_beside(link, (part, Some(chunk)), *seam, false).await?;
        }
        Ok(())
    }

    /// One part of a file, or its end, with the position after it.
    async fn store_beside(
        &mut self,
        link: &FileLink,
        (intake, chunk): (Intake, Option<Chunk>),
        seam: Seam,
        done: bool,
    ) -> Result<(), Fault> {
        let Some((listing, cursor)) = self.page.as_deref() else { return Ok(()) }; // `link` came from it
        let after = listing.position.with_seam(seam);
        let after = if done { after.with_done(link.mark()) } else { after };
        let side = self.side.as_deref().map(|side| side.at(after.cursor()).read_on(intake.listed));
        let to = side.as_ref().map_or_else(|| after.cursor(), Side::cursor);
        let span = Span { from: cursor.clone(), to };
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.raw.len() as u64);
        let keys: Vec<_> =
            chunk.iter().map(|chunk| stream::keys(self.feed, &self.key.tenant, chunk)).collect();
        let dedupe = self.by_content(seam.pass(), seam.high());
        let intake = Intake { span: span.clone(), dedupe, chunks: chunk.into_iter().collect(), ..intake };
        self.commit_keyed((intake, &keys), &link.name, bytes, &[]).await?;
        if let Some((listing, cursor)) = self.page.as_deref_mut() {
            (listing.position, *cursor) = (after, span.to);
            if let Some(side) = side {
                listing.leads = PageLeads::Forward(side.led_to(&listing.leads, listing.caught_up).cursor());
                self.side = Some(Box::new(side));
            }
        }
        Ok(())
    }

    // --- crossing -----------------------------------------------------------------------------------------

    /// A listing that ends the files for now may be where the feed crosses: then it leads there, even if the
    /// service's own token says nothing new.
    pub(super) fn look_across(&mut self, listing: &mut Listing) -> Result<(), Fault> {
        self.crossing = None;
        if !listing.caught_up || listing.position.seam().is_none() {
            return Ok(());
        }
        let end = match &listing.leads {
            PageLeads::Forward(to) => Position::open(self.feed, to, self.asked, self.reach.lookback)?,
            PageLeads::Same | PageLeads::Missing => listing.position.clone(),
        };
        if let Some(across) = end.crossed(self.reach.endpoint, STREAM_OVERLAP, self.asked) {
            listing.leads = PageLeads::Forward(across.cursor());
            self.crossing = Some(Box::new(end));
        }
        Ok(())
    }

    /// Where a finished listing leads, counting the files that were read since it came.
    pub(super) fn across(&self, listing: &Listing, to: &Cursor) -> Result<Cursor, Fault> {
        let Some(seam) = listing.position.seam() else { return Ok(to.clone()) };
        if self.side.is_some() {
            let side = Side::read(to);
            let Some(at) = side.position() else { return Ok(to.clone()) }; // it is done
            let at = Position::open(self.feed, &at, self.asked, self.reach.lookback)?.with_seam(seam);
            return Ok(side.at(at.cursor()).cursor());
        }
        let across = self
            .crossing
            .as_ref()
            .and_then(|end| end.with_seam(seam).crossed(self.reach.endpoint, STREAM_OVERLAP, self.asked));
        Ok(match across {
            Some(across) => across.cursor(),
            None => Position::open(self.feed, to, self.asked, self.reach.lookback)?.with_seam(seam).cursor(),
        })
    }
}
