//! Keeps the history that the status page draws.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::admin::history::{History, Look};
use crate::fault::Fault;
use crate::limits::HISTORY_LOOK_EVERY;
use crate::telemetry::pulse;

/// Looks once a minute, and keeps what was seen whenever a step is complete. A history that cannot be read or kept is
/// a picture less and nothing else, so nobody is told.
pub async fn keep(board: Arc<Board>, stop: CancellationToken) {
    if let Ok(text) = board.store.load_history().await {
        *board.history() = History::restore(&text, board.clock.now());
    }
    let mut kept = History::step(board.clock.now());
    loop {
        if let Ok(look) = look(&board).await {
            board.history().note(look);
            let step = History::step(look.at);
            if step != kept && !board.store.over_limit() {
                save(&board).await;
                kept = step;
            }
        }
        pulse::promise(HISTORY_LOOK_EVERY);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HISTORY_LOOK_EVERY) => {}
        }
    }
}

/// Writes the history beside the positions; the daemon does so once more when it stops.
pub async fn save(board: &Board) {
    let text = board.history().text();
    let _ = board.store.save_history(&text).await; // the plots begin anew after a restart, that is all
}

async fn look(board: &Board) -> Result<Look, Fault> {
    let (stored, delivered) = board.store.totals().await?;
    let usage = board.store.usage().await?;
    let at = board.clock.now();
    let oldest = usage.sinks.iter().filter_map(|sink| sink.oldest_waiting).min();
    Ok(Look {
        at,
        stored,
        delivered,
        waiting: usage.sinks.iter().map(|sink| sink.events_waiting).max().unwrap_or(0),
        oldest_waiting: oldest.map_or(Duration::ZERO, |oldest| at.since(oldest)),
        longest_silence: board.longest_silence(at),
    })
}
