//! The status as gauges.

use std::collections::BTreeMap;
use std::time::Duration;

use super::status::{Sink, Status, Tenant};
use crate::limits::METRICS_TENANTS_A_PIECE;
use crate::telemetry::metrics;

/// So many parts the gauges come in.
pub(super) fn parts(status: &Status) -> usize {
    1 + status.tenants.len().div_ceil(METRICS_TENANTS_A_PIECE)
}

/// Sets every gauge that applies to a part of what there is: some tenants, or (0) all the rest. Meant for
/// [`crate::telemetry::exporter::Exporter::pieces`].
pub(super) fn publish(status: &Status, part: usize) {
    match part.checked_sub(1) {
        Some(part) => {
            status.tenants.chunks(METRICS_TENANTS_A_PIECE).nth(part).into_iter().flatten().for_each(tenant)
        }
        None => whole(status),
    }
}

fn whole(status: &Status) {
    metrics::build_info(&status.version);
    metrics::config_last_reload(status.config_ok);
    metrics::store_size(status.store.bytes, status.store.limit_bytes);
    metrics::put_aside(status.store.dead_letter_bytes, status.store.quarantine_bytes);
    metrics::accounts_unbalanced(status.store.unbalanced.len() as u64);
    metrics::time_to_data_loss(status.store.time_to_data_loss_seconds.map(Duration::from_secs));
    // several scopes can share a series: it is active when one of them is
    let mut alerts = BTreeMap::new();
    for alert in &status.alerts {
        *alerts.entry((&alert.tenant, &alert.rule, alert.severity)).or_insert(false) |= alert.active;
    }
    for ((tenant, rule, severity), active) in alerts {
        metrics::alert_active(tenant, rule, severity, active);
    }
    for target in &status.alert_targets {
        metrics::alert_target(&target.name, target.up, target.waiting);
    }
    for host in &status.hosts {
        metrics::host_held(&host.name, &host.rule, host.next_attempt);
    }
    status.sinks.iter().for_each(sink);
}

fn tenant(tenant: &Tenant) {
    let (name, credential) = (tenant.name.as_str(), &tenant.credential);
    metrics::credential_state(name, credential.state);
    metrics::credential_next_attempt(name, credential.until);
    metrics::credential_expiry(name, credential.secret_expires);
    metrics::token_expiry(name, credential.token_expires);
    metrics::api_quota_remaining(name, tenant.quota_remaining);
    for feed in &tenant.feeds {
        metrics::feed_state(name, &feed.name, feed.state);
        metrics::feed_last_success(name, &feed.name, feed.last_success);
        metrics::feed_cursor(name, &feed.name, feed.cursor_time);
        metrics::feed_poll_interval(name, &feed.name, Duration::from_secs_f64(feed.poll_interval_seconds));
        metrics::feed_next_poll(name, &feed.name, feed.next_attempt);
        metrics::feed_caught_up(name, &feed.name, feed.caught_up);
        metrics::gaps_open(name, &feed.name, feed.gaps_open);
    }
}

fn sink(sink: &Sink) {
    metrics::store_waiting(&sink.name, sink.waiting_events, sink.oldest_waiting);
    if let Some(level) = sink.ack_level {
        metrics::sink_ack_level(&sink.name, level);
    }
    if let Some(up) = sink.up {
        metrics::sink_up(&sink.name, up);
    }
}
