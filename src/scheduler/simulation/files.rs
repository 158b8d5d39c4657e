//! Files: fetched by link, read by the product's own parser, stored one by one, given up with a gap.

use super::audit::Knock;
use super::hand::{Flight, LOOKBACK};
use super::mimecast::{TENANT, number_of};
use super::planted::Planted;
use super::store::Commit;
use super::weather::Answer;
use super::world::{World, local};
use crate::cursor::TimeSpan;
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::DOWNLOAD_RATE_OVER;
use crate::mimecast::links::FileLink;
use crate::mimecast::payload::{FileEnd, FileParser};
use crate::scheduler::decide::Outcome;
use crate::store::{Cause, Gap};
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;

impl World {
    /// Fetches a file, or what there is of it.
    pub(super) fn fetch(&mut self, feed: usize, file: u16) {
        match self.weather(Origin::Download, feed) {
            Some(Answer::Drip) => self.sent(feed, Flight::Drip(file), Some(DOWNLOAD_RATE_OVER)),
            _ => self.sent(feed, Flight::File(file), None),
        }
    }

    fn link(&self, feed: usize, file: u16) -> Result<FileLink, Fault> {
        let files = self.feeds[feed].page.as_ref().map(|(listing, _)| &listing.files);
        files.and_then(|files| files.get(usize::from(file))).cloned().ok_or_else(|| local(Kind::Conflict))
    }

    fn download(&mut self, feed: usize, link: &FileLink, drips: bool) -> Result<Vec<u8>, Fault> {
        self.audit_knock(Knock::Download, feed, "download");
        let struck = if drips { Some(Answer::Drip) } else { self.weather(Origin::Download, feed) };
        let cut = match struck {
            Some(Answer::Drip) if self.is(Planted::DripTakenForWhole) => true,
            Some(Answer::CutShort) => true,
            Some(answer) => match answer.fault(Origin::Download, self.clock()) {
                Some(fault) => return Err(self.as_heard(fault)),
                None => true,
            },
            None => false,
        };
        let Some(bytes) = self.server.file(feed, link.url.expose(), self.now) else {
            let gone = Answer::Http { status: 403, headers: Vec::new(), body: String::new() };
            return Err(gone.fault(Origin::Download, self.clock()).unwrap());
        };
        Ok(if cut { bytes[..bytes.len() / 2].to_vec() } else { bytes.to_vec() })
    }

    fn read_file(
        &mut self,
        feed: usize,
        link: &FileLink,
        mut parser: FileParser,
        drips: bool,
    ) -> Result<(FileEnd, Vec<EventId>), Fault> {
        let bytes = self.download(feed, link, drips)?;
        parser.push(&bytes)?;
        parser.close();
        let mut ids = Vec::new();
        while let Some(chunk) = parser.take_sealed() {
            ids.extend(chunk.records.iter().map(|record| record.id));
        }
        let end = parser.finish()?;
        ids.extend(end.chunk.iter().flat_map(|chunk| chunk.records.iter().map(|record| record.id)));
        Ok((end, ids))
    }

    pub(super) fn take(&mut self, feed: usize, file: u16, drips: bool) -> Result<Outcome, Fault> {
        let link = self.link(feed, file)?;
        self.room()?;
        let row = self.feeds[feed].feed;
        let whole = self.is(Planted::DamageTakenForWhole) || self.is(Planted::DripTakenForWhole) && drips;
        let parser = if whole {
            FileParser::salvaging(row, TENANT, &link.name)
        } else {
            FileParser::new(row, TENANT, &link.name)
        };
        let read = match self.read_file(feed, &link, parser, drips) {
            Err(_) if self.is(Planted::FaultTakenForFile) => Ok((FileEnd::default(), Vec::new())),
            read => read,
        };
        let (end, ids) = read.inspect_err(|fault| {
            self.audit_feed_fault(feed, fault);
            self.tell(|| format!("{}: {fault} ({})", row.name, judge(fault).name()));
        })?;
        self.store_file(feed, &link, end, ids, Vec::new())?;
        Ok(Outcome::Took)
    }

    pub(super) fn give_up(&mut self, feed: usize, file: u16) -> Result<Outcome, Fault> {
        let link = self.link(feed, file)?;
        let row = self.feeds[feed].feed;
        let (end, ids) =
            match self.read_file(feed, &link, FileParser::salvaging(row, TENANT, &link.name), false) {
                Ok(read) => read,
                Err(fault)
                    if fault.status().is_some()
                        && matches!(
                            judge(&fault).verdict,
                            Verdict::Insist { .. } | Verdict::Relist { .. }
                        ) =>
                {
                    let mut parser = FileParser::salvaging(row, TENANT, &link.name);
                    let _ = parser.push(fault.to_string().as_bytes());
                    (parser.finish()?, Vec::new())
                }
                Err(fault) => return Err(fault),
            };
        let files = &self.server.logs[feed].files;
        let given = number_of(&link.name).and_then(|number| files.get(number));
        self.audit.given_up.extend(given.iter().flat_map(|file| file.ids.iter().copied()));
        let gap = Gap {
            span: TimeSpan { from: self.server_now().minus(LOOKBACK), to: self.server_now() },
            cause: Cause::FileGivenUp,
            detail: link.name.clone(),
            records: 0,
            fetchable: false,
        };
        self.store_file(feed, &link, end, ids, vec![gap])?;
        if !self.store.rows[feed].gaps.iter().any(|gap| gap.detail == link.name) {
            self.breach(format!("{} was given up, and no gap tells of it", link.name));
        }
        Ok(Outcome::GaveUp)
    }

    fn store_file(
        &mut self,
        feed: usize,
        link: &FileLink,
        end: FileEnd,
        ids: Vec<EventId>,
        gaps: Vec<Gap>,
    ) -> Result<(), Fault> {
        let Some((listing, cursor)) = &self.feeds[feed].page else { return Ok(()) };
        let mut after = listing.position.with_done(link.mark());
        if self.is(Planted::DoneFilesForgotten) {
            after = listing.position.clone();
        }
        if self.is(Planted::AllFilesDoneAtOnce) {
            after = listing.files.iter().fold(after, |after, file| after.with_done(file.mark()));
        }
        let to = after.cursor();
        let commit = Commit {
            ids,
            quarantined: end.unreadable.len() as u64,
            listed: end.listed,
            newest: end.newest,
            file: Some(link.key.bytes()).filter(|_| gaps.is_empty() && !self.is(Planted::DoneFilesForgotten)),
            gaps,
            ..self.moving(feed, cursor.clone(), to.clone())
        };
        self.commit(commit)?;
        if let Some((listing, cursor)) = &mut self.feeds[feed].page {
            (listing.position, *cursor) = (after, to);
        }
        Ok(())
    }
}
