//! Writes NDJSON to standard output, for pipes and trials. All that can be known is that the kernel took it.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Batch, Receipt, Sent, Window};
use crate::apart::apart;
use crate::fault::{Fault, Kind, Origin};
use crate::limits;

/// The kernel took it.
pub const LEVEL: u8 = 1;

/// One batch at a time, sent without waiting for more; nothing to confirm, each write is acknowledged.
pub const WINDOW: Window = Window {
    max_events: limits::FILE_BATCH_EVENTS,
    max_bytes: limits::SINK_BATCH_BYTES,
    wait: Duration::ZERO,
    concurrency: 1,
    confirm_every: 0,
};

/// Standard output.
#[derive(Clone)]
pub struct Stdout(Arc<Mutex<dyn Write + Send>>);

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stdout")
    }
}

impl Stdout {
    pub fn new() -> Self {
        Self::over(io::stdout())
    }

    fn over(out: impl Write + Send + 'static) -> Self {
        Stdout(Arc::new(Mutex::new(out)))
    }

    /// Writes and flushes the batch, which the reader of a pipe may still lose (level 1).
    ///
    /// # Errors
    /// The reader has gone, the disk behind it is full, or the write failed.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        // a reader that stands still holds up one thread, however often we come
        let mut out = Arc::clone(&self.0).lock_owned().await;
        let bytes = batch.bytes.clone();
        let written = apart(move || out.write_all(&bytes).and_then(|()| out.flush())).await;
        let failed =
            |kind, why: String| Fault::new(Origin::Sink, kind, format!("failed to write to stdout: {why}"));
        written.map_err(|err| failed(Kind::Interrupted, err.to_string()))?.map_err(|err| {
            match err.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    failed(Kind::DiskFull, err.to_string())
                }
                io::ErrorKind::BrokenPipe => failed(Kind::Interrupted, "its reader has gone".to_owned()),
                _ => failed(Kind::DiskIo, err.to_string()),
            }
        })?;
        Ok(Sent::Acknowledged(Receipt::new(batch.len() as u64, LEVEL)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::event::EventId;

    #[tokio::test]
    async fn a_reader_that_goes_away_is_a_fault() {
        let (mut reader, writer) = io::pipe().unwrap();
        let out = Stdout::over(writer);
        let mut batch = Batch::default();
        assert!(batch.push(EventId([0; 16]), |out| out.extend_from_slice(b"{}\n")));
        assert_eq!(out.send(&batch).await.unwrap(), Sent::Acknowledged(Receipt { events: 1, level: 1 }));
        let mut got = [0; 3];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"{}\n");
        drop(reader);
        let fault = out.send(&batch).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Sink, Kind::Interrupted));
    }
}
