//! Sinks that take events one after another and confirm many at once.

use tokio_util::sync::CancellationToken;

use super::reader::{Accounts, Reader};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::FILTERED_CHUNKS_PER_LOAD;
use crate::sink::Sink;
use crate::telemetry::pulse;

/// What a stream took and confirmed.
pub(super) struct Streamed {
    pub accounts: Accounts,
    pub events: usize,
    pub bytes: usize,
}

/// Writes events to a stream until a batch is full or nothing is left, then asks for the one confirmation of all. Events
/// that are too long fill a batch as well, and so does a long way past what the sink does not want: both are to be
/// booked soon. What was written before a fault, the store's too, is in no later receipt, for all of it is sent again.
pub(super) async fn stream(
    sink: &Sink,
    reader: &mut Reader,
    stop: &CancellationToken,
) -> Result<Option<Streamed>, Fault> {
    let streamed = write(sink, reader, stop).await;
    if streamed.is_err() {
        sink.forget().await;
    }
    streamed
}

async fn write(
    sink: &Sink,
    reader: &mut Reader,
    stop: &CancellationToken,
) -> Result<Option<Streamed>, Fault> {
    let window = sink.window();
    let every = window.confirm_every as usize;
    let (mut sent, mut events, mut bytes) = (None::<Accounts>, 0, 0);
    while !stop.is_cancelled() {
        let dead = sent.as_ref().map_or(0, |accounts| accounts.dead.len());
        let long = sent.as_ref().is_some_and(|accounts| {
            accounts.dead_bytes >= window.max_bytes || accounts.fruitless >= FILTERED_CHUNKS_PER_LOAD
        });
        let room = window.max_events.min(every.saturating_sub(events + dead));
        if room == 0 || long {
            break;
        }
        pulse::beat();
        let Some(mut load) = reader.next(room, window.max_bytes).await? else { break };
        if !load.batch.is_empty() {
            (events, bytes) = (events + load.batch.len(), bytes + load.batch.bytes.len());
            sink.send(&load.batch).await?;
        }
        reader.reuse(std::mem::take(&mut load.batch), 1);
        match &mut sent {
            Some(accounts) => accounts.add(load.account()),
            None => sent = Some(load.account()),
        }
    }
    let Some(accounts) = sent else { return Ok(None) };
    if events > 0 {
        confirm(sink, events).await?;
    }
    Ok(Some(Streamed { accounts, events, bytes }))
}

/// Has the sink answer for what was sent to it, which is `events`.
pub(super) async fn confirm(sink: &Sink, events: usize) -> Result<(), Fault> {
    let receipt = sink.confirm().await?;
    if receipt.events() == events as u64 {
        return Ok(());
    }
    let words = format!(
        "the receiver confirmed {} of the {events} events it was sent; all of them are sent again. If it stays, look at its \
         log and at what stands between",
        receipt.events()
    );
    Err(Fault::new(Origin::Sink, Kind::Interrupted, words))
}
