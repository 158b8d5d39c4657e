//! Appends one event a line to a file. A confirmation is an fsync (level 5), unless the configuration wants none
//! (level 1). The file may be rotated away under us, by [`super::rotation`] or by logrotate: the next batch goes to a
//! new one. A last line that a crash left torn is ended first, so that it spoils no other; a batch that did not fit on
//! the disk is taken back, so that attempts do not fill it with pieces.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::plan::FilePlan;
use super::{Batch, Receipt, Sent, Window, nothing_to_confirm, rotation};
use crate::apart::apart;
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits;

/// Code of a fault that only somebody with other rights can end.
const REFUSED: &str = "permission_denied";
/// Stored.
const LEVEL_SYNCED: u8 = 5;
/// The kernel took it.
const LEVEL_WRITTEN: u8 = 1;

/// One batch at a time, sent without waiting for more; one fsync for [`limits::FILE_BATCH_EVENTS`] events.
pub const WINDOW: Window = Window {
    max_events: limits::FILE_BATCH_EVENTS,
    max_bytes: limits::SINK_BATCH_BYTES,
    wait: Duration::ZERO,
    concurrency: 1,
    confirm_every: limits::FILE_BATCH_EVENTS as u32,
};

/// One file.
#[derive(Debug)]
pub struct FileSink {
    plan: FilePlan,
    target: Arc<Mutex<Target>>,
    /// Events written since the last receipt. Counted here, not where they are written, so that a send that
    /// was cancelled is never counted.
    waiting: AtomicU64,
}

#[derive(Debug)]
struct Target {
    plan: FilePlan,
    open: Option<File>,
}

impl FileSink {
    pub fn new(plan: FilePlan) -> Self {
        let target = Target { plan: plan.clone(), open: None };
        FileSink { plan, target: Arc::new(Mutex::new(target)), waiting: AtomicU64::new(0) }
    }

    /// 5 when each confirmation is an fsync, else 1.
    pub fn ack_level(&self) -> u8 {
        if self.plan.sync { LEVEL_SYNCED } else { LEVEL_WRITTEN }
    }

    /// Appends the batch; it is safe only after [`FileSink::confirm`].
    ///
    /// # Errors
    /// The file cannot be opened or written, or the disk is full; nothing since the last receipt counts.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let bytes = batch.bytes.clone();
        self.on_disk(move |target| target.append(&bytes)).await?;
        self.waiting.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(Sent::Written)
    }

    /// Syncs the file to disk and answers for all events since the last receipt.
    ///
    /// # Errors
    /// The sync failed, or nothing was written since the last receipt.
    pub async fn confirm(&self) -> Result<Receipt, Fault> {
        // Taken first: events of a confirmation that is cancelled midway are in no later receipt.
        let events = self.waiting.swap(0, Ordering::Relaxed);
        if events == 0 {
            return Err(nothing_to_confirm());
        }
        if self.plan.sync {
            self.on_disk(Target::sync).await?;
        }
        Ok(Receipt::new(events, self.ack_level()))
    }

    /// Counts for no receipt what was written since the last one.
    pub fn forget(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Opens the file for writing and adds no event; returns the level of its acknowledgement.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub async fn probe(&self) -> Result<u8, Fault> {
        self.on_disk(|target| target.append(b"")).await?;
        Ok(self.ack_level())
    }

    /// Runs blocking work elsewhere, and none beside it: where a file system hangs, one thread does. Any failure takes
    /// back what was written since the last receipt.
    async fn on_disk(
        &self,
        work: impl FnOnce(&mut Target) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Fault> {
        let mut target = Arc::clone(&self.target).lock_owned().await;
        let failure = match apart(move || work(&mut target)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(err)) | Err(err) => fault(&self.plan.path, &err),
        };
        self.waiting.store(0, Ordering::Relaxed);
        Err(failure)
    }
}

impl Target {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Left out of its slot when anything fails: opening it anew is what ends a torn line.
        let mut file = match self.open.take() {
            Some(file) if self.still_there(&file)? => file,
            Some(rotated) => {
                rotated.sync_all()?; // events in it may be unconfirmed
                self.create()?
            }
            None => self.create()?,
        };
        if rotation::due(&self.plan, &file, bytes.len())? {
            file.sync_all()?;
            rotation::rotate(&self.plan)?;
            file = self.create()?;
        }
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(bytes) {
            // the room is worth more than half a batch, which would come again whole
            if file.metadata()?.len() > before {
                let _ = file.set_len(before);
            }
            return Err(error);
        }
        self.open = Some(file);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // After a failed fsync the kernel forgets which pages were dirty, so the file is not trusted again.
        let file = self.open.take().ok_or_else(|| io::Error::other("the file is no longer open"))?;
        file.sync_all()?;
        self.open = Some(file);
        Ok(())
    }

    fn still_there(&self, file: &File) -> io::Result<bool> {
        let ours = file.metadata()?;
        match std::fs::metadata(&self.plan.path) {
            Ok(now) => Ok((now.dev(), now.ino()) == (ours.dev(), ours.ino())),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }

    fn create(&self) -> io::Result<File> {
        let FilePlan { path, mode, .. } = &self.plan;
        // Opening a pipe would wait for its reader, and nothing but a file can be synced.
        let existed = match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a regular file")),
            Ok(_) => true,
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => return Err(err),
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(*mode).open(path)?;
        end_torn_line(&mut file)?;
        if !existed {
            file.set_permissions(PermissionsExt::from_mode(*mode))?; // whatever the umask took away
            sync_folder(path)?; // without its name the file would be lost with the power
        }
        Ok(file)
    }
}

/// Makes names in a file's folder survive a loss of power.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A crash can leave half a line; a line feed keeps it from merging with the next.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn fault(path: &Path, err: &io::Error) -> Fault {
    let kind = match err.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::DiskFull,
        _ => Kind::DiskIo,
    };
    let refused = matches!(err.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let user = rustix::process::geteuid();
    let words = format!("failed to write {} as user {user}: {err}", path.display());
    Fault { code: refused.then(|| Code::new(REFUSED)).flatten(), ..Fault::new(Origin::Sink, kind, words) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::clock::Clock;
    use crate::event::EventId;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for line in lines {
            assert!(
                batch.push(EventId([0; 16]), |out| out.extend_from_slice(format!("{line}\n").as_bytes()))
            );
        }
        batch
    }

    fn in_folder() -> (tempfile::TempDir, FileSink, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        (folder, FileSink::new(FilePlan::new(path.clone())), path)
    }

    #[tokio::test]
    async fn a_receipt_covers_what_was_written_and_is_given_once() {
        let (_folder, sink, path) = in_folder();
        assert_eq!(sink.confirm().await.unwrap_err().kind, Kind::Interrupted);
        assert_eq!(sink.send(&batch(&["1", "2"])).await.unwrap(), Sent::Written);
        assert_eq!(sink.send(&batch(&["3"])).await.unwrap(), Sent::Written);
        assert_eq!(sink.confirm().await.unwrap(), Receipt { events: 3, level: 5 });
        assert!(sink.confirm().await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o137, 0, "others can read it");
    }

    #[tokio::test]
    async fn a_torn_line_is_ended_and_a_whole_one_left_alone() {
        let (_folder, sink, path) = in_folder();
        std::fs::write(&path, "{\"a\":1}\n{\"torn\":").unwrap();
        sink.send(&batch(&["{}"])).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"torn\":\n{}\n");
        let again = FileSink::new(FilePlan::new(path.clone()));
        again.send(&batch(&["{}"])).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"torn\":\n{}\n{}\n");
    }

    #[tokio::test]
    async fn a_rotated_file_is_left_and_a_new_one_begun() {
        let (folder, sink, path) = in_folder();
        sink.send(&batch(&["1"])).await.unwrap();
        let rotated = folder.path().join("events.ndjson.1");
        std::fs::rename(&path, &rotated).unwrap();
        sink.send(&batch(&["2"])).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "theirs\n").unwrap();
        sink.send(&batch(&["3"])).await.unwrap();
        assert_eq!(sink.confirm().await.unwrap().events(), 3);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "1\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n3\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_takes_back_what_was_unconfirmed() {
        let (_folder, sink, _) = in_folder();
        sink.send(&batch(&["1"])).await.unwrap();
        let full = PathBuf::from("/dev/full"); // every write to it fails with ENOSPC
        let device = OpenOptions::new().write(true).open(&full).unwrap();
        let sink = FileSink::new(FilePlan::new(full));
        sink.target.lock().await.open = Some(device);
        sink.waiting.store(1, Ordering::Relaxed);
        let fault = sink.send(&batch(&["2"])).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::DiskFull));
        assert!(sink.confirm().await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        let (folder, ..) = in_folder();
        for path in [folder.path().to_owned(), folder.path().join("no/such/folder"), "/dev/null".into()] {
            let fault = FileSink::new(FilePlan::new(path)).send(&batch(&["1"])).await.unwrap_err();
            assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::DiskIo), "{fault}");
        }
    }

    fn rotating(path: &Path, clock: &Clock) -> FileSink {
        let every = Some(Duration::from_secs(86_400));
        let plan = FilePlan {
            max_size: Some(10),
            every,
            keep: 2,
            clock: clock.clone(),
            ..FilePlan::new(path.into())
        };
        FileSink::new(plan)
    }

    fn text(path: &Path, n: u32) -> String {
        let name = if n == 0 { path.to_owned() } else { format!("{}.{n}", path.display()).into() };
        std::fs::read_to_string(name).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_file_that_grows_over_its_size_makes_room_and_the_oldest_goes() {
        let (_folder, _, path) = in_folder();
        let sink = rotating(&path, &Clock::System);
        for line in ["11111", "22222", "33333", "44444", "5", "6"] {
            sink.send(&batch(&[line])).await.unwrap();
        }
        assert_eq!(sink.confirm().await.unwrap().events(), 6);
        assert_eq!([0, 1, 2, 3].map(|n| text(&path, n)), ["44444\n5\n6\n", "33333\n", "22222\n", ""]);
        // somebody took .1 away: nothing else has to move
        std::fs::remove_file(format!("{}.1", path.display())).unwrap();
        sink.send(&batch(&["777777777"])).await.unwrap();
        assert_eq!([0, 1, 2].map(|n| text(&path, n)), ["777777777\n", "44444\n5\n6\n", "22222\n"]);
    }

    #[tokio::test]
    async fn a_new_day_begins_a_new_file_and_a_restart_within_the_day_does_not() {
        let (_folder, _, path) = in_folder();
        let clock = Clock::manual(Clock::System.now());
        rotating(&path, &clock).send(&batch(&["1"])).await.unwrap();
        rotating(&path, &clock).send(&batch(&["2"])).await.unwrap();
        assert_eq!(text(&path, 0), "1\n2\n");
        clock.advance(Duration::from_secs(86_400));
        let sink = rotating(&path, &clock);
        sink.probe().await.unwrap();
        assert_eq!(text(&path, 1), "", "looking at it moves nothing");
        sink.send(&batch(&["3"])).await.unwrap();
        assert_eq!([0, 1].map(|n| text(&path, n)), ["3\n", "1\n2\n"]);
    }

    #[tokio::test]
    async fn mode_and_sync_are_as_configured() {
        let (_folder, _, path) = in_folder();
        let sink = FileSink::new(FilePlan { mode: 0o666, sync: false, ..FilePlan::new(path.clone()) });
        sink.send(&batch(&["1"])).await.unwrap();
        assert_eq!(sink.confirm().await.unwrap().level(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o666, "whatever the umask is");
    }
}
