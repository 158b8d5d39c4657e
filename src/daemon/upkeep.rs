//! What has to be done from time to time: retention, room in the store, histogram upkeep, the watchdog.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::clock::Time;
use crate::limits::{
    SECRET_WARNING_DAYS, STALLED_GRACE, SWEEP_EVERY, SWEEP_WHEN_FULL_EVERY, TELEMETRY_UPKEEP_EVERY,
};
use crate::signals::service;
use crate::supervisor::policy::judge;
use crate::telemetry::exporter::Exporter;
use crate::telemetry::notice::{Incident, Notice, Process, Store as News, Tenant as TenantNews};
use crate::telemetry::pulse;

/// Deletes what is past its retention, and tells when the store fills up and empties.
pub async fn store(board: Arc<Board>, stop: CancellationToken) {
    let mut full_since: Option<Time> = None;
    loop {
        let every = if full_since.is_some() { SWEEP_WHEN_FULL_EVERY } else { SWEEP_EVERY };
        pulse::promise(every);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let start = tokio::time::Instant::now();
        match board.store.sweep().await {
            Ok(swept) if swept.chunks > 0 => {
                let news = News::Swept { events: swept.events, bytes: swept.bytes, took: start.elapsed() };
                Notice::Store(news).emit();
            }
            Ok(_) => {}
            Err(fault) => Notice::Store(News::FaultMet(Incident::of(&fault, judge(&fault), None))).emit(),
        }
        tell_fullness(&board, &mut full_since).await;
    }
}

async fn tell_fullness(board: &Board, full_since: &mut Option<Time>) {
    let (full, now) = (board.store.over_limit(), board.clock.now());
    if full == full_since.is_some() {
        return;
    }
    let Ok(usage) = board.store.usage().await else { return };
    let (bytes, limit) = (usage.bytes_used, usage.limit);
    match full_since.take() {
        None if usage.disk_full => Notice::Store(News::DiskFull { words: "a write found no room" }).emit(),
        None => Notice::Store(News::LimitReached { bytes, limit }).emit(),
        Some(since) => Notice::Store(News::LimitPassed { bytes, limit, paused_for: now.since(since) }).emit(),
    }
    if full {
        *full_since = Some(now);
    }
}

/// Says once a day which secrets end soon, from 30 days before.
pub async fn secrets(board: Arc<Board>, stop: CancellationToken) {
    loop {
        let now = board.clock.now();
        let ends: Vec<(String, Time)> = board
            .parts()
            .tenants
            .iter()
            .filter_map(|view| Some((view.settings.name.clone(), view.settings.secret_expires?)))
            .collect();
        for (tenant, expires) in ends {
            let days = (expires.0 - now.0).div_euclid(DAY.as_millis() as i64);
            if days <= SECRET_WARNING_DAYS {
                Notice::Tenant(&tenant, TenantNews::SecretExpiring { expires, days }).emit();
            }
        }
        pulse::promise(DAY);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DAY) => {}
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Keeps histograms small and tells the service manager that the daemon lives: that its runtime turns, and that every
/// task gives the signs of life it promised. When one does not (recovery row L10), the service manager waits in vain
/// and starts the daemon afresh; where nobody watches, `failed` ends it after the same time.
pub async fn telemetry(
    board: Arc<Board>,
    exporter: Exporter,
    failed: CancellationToken,
    stop: CancellationToken,
) {
    let watchdog = service::watchdog_interval();
    let every =
        watchdog.map_or(TELEMETRY_UPKEEP_EVERY, |interval: Duration| interval.min(TELEMETRY_UPKEEP_EVERY));
    let mut since: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        exporter.upkeep();
        let stalled = board.parts().stalled().into_iter().next();
        let Some(task) = stalled else {
            since = None;
            if watchdog.is_some() {
                let _ = service::alive(); // a deaf service manager restarts us, which is its right
            }
            continue;
        };
        let begun = *since.get_or_insert_with(|| {
            Notice::Process(Process::TaskStalled { task: &task }).emit();
            tokio::time::Instant::now()
        });
        if watchdog.is_none() && begun.elapsed() >= STALLED_GRACE {
            failed.cancel();
        }
    }
}
