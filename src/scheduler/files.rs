//! The files of a listing: take one, give one up, turn to where the listing leads.

use super::decide::Outcome;
use super::found::Found;
use super::lost::mark;
use super::places::Seat;
use super::side::Side;
use super::steps::Hand;
use crate::cursor::Span;
use crate::fault::{Fault, Kind, Origin};
use crate::mimecast::feed::Ask;
use crate::mimecast::links::FileLink;
use crate::mimecast::page::Leads as PageLeads;
use crate::mimecast::payload::{FileEnd, FileParser};
use crate::store::{Gap, Intake, StagedChunk};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;
use crate::telemetry::notice::{Feed as News, Notice};
use crate::telemetry::pulse;

/// One file, read.
struct FileRead {
    end: FileEnd,
    staged: Vec<StagedChunk>,
    bytes: u64,
}

impl Hand {
    /// Downloads a file of the listing in hand, stores it and marks it done, in one transaction.
    ///
    /// # Errors
    /// Any fault on the way; nothing counts then.
    pub async fn take(&mut self, file: u16) -> Result<Outcome, Fault> {
        let link = self.link(file)?;
        self.room()?;
        let Some(mut seat) = self.seat().await else { return Ok(Outcome::Stopping) };
        if let Some(shut) = self.overtaken() {
            return Ok(shut);
        }
        self.store.let_courier_take().await;
        if self.beside() {
            self.take_beside(&link, false, &mut seat).await?;
            return Ok(Outcome::Took);
        }
        let parser = FileParser::new(self.feed, &self.key.tenant, &link.name);
        let read = self.read_file(&link, parser, &mut seat).await?;
        self.store_file(&link, read, Vec::new()).await?;
        Ok(Outcome::Took)
    }

    /// Keeps what can be read of a file that stays damaged, quarantines its bytes, and marks it done.
    ///
    /// # Errors
    /// Any fault on the way, but not the damage.
    pub async fn give_up(&mut self, file: u16) -> Result<Outcome, Fault> {
        if let Ask::Archive | Ask::Intel { .. } = self.feed.ask {
            return self.give_up_answer().await;
        }
        let link = self.link(file)?;
        let Some(mut seat) = self.seat().await else { return Ok(Outcome::Stopping) };
        if self.beside() {
            return self.give_up_beside(&link, &mut seat).await;
        }
        let salvaging = FileParser::salvaging(self.feed, &self.key.tenant, &link.name);
        let read = match self.read_file(&link, salvaging, &mut seat).await {
            Ok(read) => read,
            Err(fault) if is_gone(&fault) => {
                FileRead { end: self.nothing_left(&link, &fault), staged: Vec::new(), bytes: 0 }
            }
            Err(fault) => return Err(fault),
        };
        // it may have come whole this time, and then nothing is lost
        let gap = read.end.damaged.then(|| self.gap_of(&link.name));
        self.store_file(&link, read, gap.iter().cloned().collect()).await?;
        self.tell_given_up(gap.as_ref());
        Ok(Outcome::GaveUp)
    }

    pub(super) fn tell_given_up(&self, gap: Option<&Gap>) {
        if let Some(Gap { span, .. }) = gap {
            let why = "a file could not be read as a whole";
            Notice::Feed(&self.key, News::GapOpened { span: *span, why }).emit();
        }
    }

    /// A file of which not a byte can be had any more: quarantined by name.
    pub(super) fn nothing_left(&self, link: &FileLink, fault: &Fault) -> FileEnd {
        let mut parser = FileParser::salvaging(self.feed, &self.key.tenant, &link.name);
        let _ = parser.push(fault.to_string().as_bytes()); // salvaging never fails
        FileEnd { damaged: true, ..parser.finish().unwrap_or_default() }
    }

    pub(super) fn link(&self, file: u16) -> Result<FileLink, Fault> {
        let links = self.page.as_deref().map(|(listing, _)| &listing.files);
        links.and_then(|files| files.get(usize::from(file))).cloned().ok_or_else(|| {
            Fault::new(Origin::Local, Kind::Conflict, "the listing in hand is gone; it is asked for again")
        })
    }

    async fn read_file(
        &self,
        link: &FileLink,
        mut parser: FileParser,
        seat: &mut Seat,
    ) -> Result<FileRead, Fault> {
        let mut staged = Vec::new();
        let outcome = self.pour(link, (&mut parser, &mut staged), seat).await;
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
        (parser, staged): (&mut FileParser, &mut Vec<StagedChunk>),
        seat: &mut Seat,
    ) -> Result<u64, Fault> {
        let mut download = seat.wait_to_begin(self.account.downloads.open(link)).await?;
        let mut bytes = 0;
        while let Some(piece) = seat.wait(download.next_piece()).await? {
            pulse::beat();
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
        let Some((listing, cursor)) = self.page.as_deref() else { return Ok(()) }; // `link` came from it
        let after = listing.position.with_done(link.mark());
        let side = self.side.as_deref().map(|side| side.at(after.cursor()).read_on(read.end.listed));
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
        if let Err(fault) = self.commit(intake, &link.name, bytes, &found.kinds).await {
            let _ = self.store.unstage(&self.key).await; // the file is read again, and these parts with it
            return Err(fault);
        }
        if let Some((listing, cursor)) = self.page.as_deref_mut() {
            listing.position = after;
            *cursor = span.to;
        }
        if let (Some(side), Some((listing, _))) = (side, self.page.as_deref_mut()) {
            listing.leads = PageLeads::Forward(side.led_to(&listing.leads, listing.caught_up).cursor());
            self.side = Some(Box::new(side));
        }
        self.tally.files += 1;
        Ok(())
    }

    /// Moves the cursor to where the finished listing leads.
    ///
    /// # Errors
    /// The store's.
    pub async fn turn(&mut self) -> Result<Outcome, Fault> {
        if let Some((listing, cursor)) = self.page.take().map(|page| *page)
            && let PageLeads::Forward(to) = &listing.leads
        {
            let to = self.across(&listing, to)?;
            let mut intake = self.intake(Span { from: cursor.clone(), to });
            intake.complete = Some(self.asked).filter(|_| listing.caught_up && self.side.is_none());
            let intake = if listing.caught_up { self.ending(intake) } else { intake };
            if let Err(fault) = self.store.commit(intake).await {
                self.page = Some(Box::new((listing, cursor)));
                return Err(fault);
            }
            self.side_moved(self.side.as_deref().cloned(), listing.caught_up, 0);
            self.tell_page(listing.caught_up);
        }
        Ok(Outcome::Turned)
    }
}

/// The server says for good that it has no such file; any other fault may pass, so the file stays due.
pub(super) fn is_gone(fault: &Fault) -> bool {
    let verdict = judge(fault).verdict;
    fault.status().is_some() && matches!(verdict, Verdict::Insist { .. } | Verdict::Relist { .. })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::account_tests::{EMPTY, MINUTE, NOW, World};
    use super::super::hand_tests::Feed;
    use super::*;
    use crate::cursor::Cursor;
    use crate::mimecast::catalogue::find;
    use crate::mimecast::links::FileKey;
    use crate::mimecast::page::Listing;
    use crate::mimecast::position::Position;
    use crate::secret::Secret;

    /// The parts of a file whose commit fails are read again with it; those that are stored would take room until
    /// the next start.
    #[tokio::test]
    async fn a_commit_that_fails_leaves_no_parts_behind() {
        let world = World::new(|_, _| axum::response::IntoResponse::into_response(EMPTY)).await;
        let at = Position::first(find("siem.av").unwrap(), NOW, MINUTE);
        let mut feed = Feed::at(&world, "siem.av", at.cursor(), Vec::new()).await;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"aggregateId\":\"a\"}\n").unwrap();
        let mut parser = FileParser::new(feed.hand.feed, "acme", "x/1");
        parser.push(&gzip.finish().unwrap()).unwrap();
        parser.close();
        let mut end = parser.finish().unwrap();
        let staged = vec![feed.store.stage(&feed.key, end.chunk.take().unwrap()).await.unwrap()];
        let key = FileKey::of("https://x/1");
        let url = Secret::new("https://x/1".to_owned());
        let link = FileLink { key, name: "x/1".into(), url, size: None, expiry: None };
        let (files, leads) = (vec![link.clone()], PageLeads::Same);
        let elsewhere = Cursor("moved by hand meanwhile".into());
        feed.hand.page = Some(Box::new((Listing { files, position: at, leads, caught_up: true }, elsewhere)));
        let read = FileRead { end, staged, bytes: 1 };
        let fault = feed.hand.store_file(&link, read, Vec::new()).await.unwrap_err();
        assert_eq!(fault.kind, Kind::Conflict);
        assert_eq!(feed.store.unstage(&feed.key).await.unwrap(), 0);
    }
}
