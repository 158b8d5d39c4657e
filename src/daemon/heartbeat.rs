//! What a heartbeat says: how the daemon is, in a size that does not grow with the number of tenants.

use serde_json::{Value, json};

use crate::admin::status::Status;
use crate::clock::Time;
use crate::limits::HEARTBEAT_FEEDS;
use crate::telemetry::label::FeedState;

/// Counts of everything, and the feeds one by one, those in trouble first, as far as there is room.
pub fn body(status: &Status) -> Value {
    let all = || status.tenants.iter().flat_map(|tenant| tenant.feeds.iter().map(move |feed| (tenant, feed)));
    let of_state = |state: &FeedState| all().filter(|(_, feed)| feed.state == *state).count();
    let states: serde_json::Map<String, Value> =
        FeedState::ALL.iter().map(|state| (state.as_str().to_owned(), of_state(state).into())).collect();
    let mut feeds: Vec<_> = all().collect();
    feeds.sort_by_key(|(_, feed)| (feed.state == FeedState::CaughtUp, feed.last_success));
    let total = feeds.len();
    let seconds = |since: Option<Time>| since.map(|since| status.at.since(since).as_secs());
    let listed: Vec<Value> = feeds
        .iter()
        .take(HEARTBEAT_FEEDS)
        .map(|(tenant, feed)| {
            json!({
                "tenant": tenant.name, "feed": feed.name, "state": feed.state.as_str(),
                // a feed that never answered has no lag, not a lag of zero
                "seconds_since_success": seconds(feed.last_success), "lag_seconds": seconds(feed.cursor_time),
                "events_stored": feed.events_stored,
            })
        })
        .collect();
    let sinks: Vec<Value> = status
        .sinks
        .iter()
        .take(HEARTBEAT_FEEDS)
        .map(|sink| json!({ "sink": sink.name, "up": sink.up, "waiting": sink.waiting_events }))
        .collect();
    json!({
        "version": status.version,
        "uptime_seconds": seconds(status.started),
        "ready": status.ready.ok,
        "tenants": status.tenants.len(),
        "feed_states": states,
        "feeds": listed,
        "feeds_omitted": total.saturating_sub(HEARTBEAT_FEEDS),
        "sinks": sinks,
        "sinks_omitted": status.sinks.len().saturating_sub(HEARTBEAT_FEEDS),
        "alerts_active": status.alerts.iter().filter(|alert| alert.active).count(),
        "gaps_open": status.feeds().map(|feed| feed.gaps_open).sum::<u64>(),
        "store_bytes": status.store.bytes,
        "store_limit_bytes": status.store.limit_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::{Credential, Feed, Ready, Store, Tenant};
    use crate::telemetry::label::CredentialState;

    fn status(feeds: usize) -> Status {
        let feed = |n: usize| Feed {
            name: "siem.receipt".into(),
            state: if n == 7 { FeedState::Halted } else { FeedState::CaughtUp },
            why: None,
            rule: None,
            last_success: (n != 7).then(|| Time::from_secs(990)),
            next_attempt: None,
            cursor_time: None,
            events_stored: 1,
            quarantined: 0,
            gaps_open: 1,
            poll_interval_seconds: 300.0,
            caught_up: true,
        };
        let tenant = Tenant {
            name: "acme".into(),
            api: "2.0".into(),
            credential: Credential {
                state: CredentialState::Ok,
                until: None,
                rule: None,
                words: None,
                token_expires: None,
                secret_expires: None,
            },
            quota_remaining: None,
            unknown_codes: vec![],
            feeds: (0..feeds).map(feed).collect(),
        };
        Status {
            version: "1".into(),
            at: Time::from_secs(1_000),
            started: Some(Time::from_secs(900)),
            ready: Ready::default(),
            config_ok: true,
            hosts: Vec::new(),
            alerts: vec![],
            tenants: vec![tenant],
            sinks: vec![],
            alert_targets: vec![],
            store: Store::default(),
        }
    }

    #[test]
    fn trouble_comes_first_and_the_size_is_bounded() {
        let said = body(&status(10_000));
        assert_eq!(said["feeds"][0]["state"], "halted");
        assert_eq!(said["feeds"][0]["seconds_since_success"], Value::Null, "never is not zero");
        assert_eq!(said["feeds"][1]["seconds_since_success"], 10);
        assert_eq!(said["feeds_omitted"], 10_000 - HEARTBEAT_FEEDS);
        assert_eq!(
            (&said["feed_states"]["halted"], &said["feed_states"]["caught_up"]),
            (&1.into(), &9_999.into())
        );
        assert!(said.to_string().len() < 64 << 10, "{}", said.to_string().len());
        assert_eq!(said["uptime_seconds"], 100);
    }
}
