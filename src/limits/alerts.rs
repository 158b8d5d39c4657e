//! Bounds of alerts, heartbeats and of what watches the tasks.

use std::time::Duration;

/// Alerts known at once; a thousand tenants in trouble are one incident.
pub const MAX_ALERTS: usize = 1_000;
/// How long a condition must be gone before its alert counts as over; doubled each time it came back soon.
pub const ALERT_HOLD: Duration = Duration::from_secs(30);
/// The longest such time: what comes and goes all day is told at most once an hour.
pub const ALERT_MAX_HOLD: Duration = Duration::from_secs(3_600);
/// What comes back within this time after it was over counts as flapping.
pub const ALERT_FLAP_MEMORY: Duration = Duration::from_secs(2 * 3_600);
/// An alert that lasts is told again once a day (reliability.md §2.4 rule 9).
pub const ALERT_REPEAT: Duration = Duration::from_secs(24 * 3_600);
/// An alert that gets worse and worse is told anew no more often than this.
pub const ALERT_UPDATE_EVERY: Duration = Duration::from_secs(5 * 60);
/// How often the state of credentials, feeds and sinks is looked at for alerts: it is in memory and costs nothing.
pub const ALERT_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Feeds that one such look takes in at that pace; more feeds make the looks rarer.
pub const FEEDS_A_LOOK: usize = 1_000;
/// How often the store is asked for what only it knows: gaps, quarantine, dead letters, room, balance.
pub const ALERT_STORE_LOOK_EVERY: Duration = Duration::from_secs(60);
/// What was put aside (quarantine, dead letters) stays an alert for this long after the last of it.
pub const ALERT_ASIDE_MEMORY: Duration = Duration::from_secs(24 * 3_600);
/// Share of `max_size`, in percent, from which the store is said to fill up.
pub const ALERT_STORE_PERCENT: u64 = 70;
/// Tenants that one alert names, of up to 63 characters each: with more a message says how many.
pub const ALERT_TENANTS_NAMED: usize = 20;
/// Events are said to be in danger of being lost when less than this is left.
pub const ALERT_LOSS_NEAR: Duration = Duration::from_secs(24 * 3_600);
/// Polling intervals without an answer after which a feed is said to be silent.
pub const ALERT_SILENT_INTERVALS: u32 = 2;
/// Added to them: the length of a slow cycle.
pub const ALERT_SILENT_SLACK: Duration = Duration::from_secs(5 * 60);
/// Messages that wait for all alert targets together: every alert once for ten targets.
pub const MAX_ALERTS_DUE: usize = 10 * MAX_ALERTS;
/// Newest rows of quarantine and dead letters that are counted for alerts, of each feed and sink: more are one incident.
pub const ALERT_COUNTED_ROWS: u32 = 1_000;
/// One exchange with an alert target, from the first byte sent to the last byte read.
pub const ALERT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long news waits for more of its kind: what breaks together is told together.
pub const ALERT_GATHER: Duration = Duration::from_millis(500);
/// When a message that an alert target refused is tried again: somebody may have mended the target meanwhile.
pub const ALERT_REFUSED_AGAIN: Duration = Duration::from_secs(3_600);
/// Messages of one POST to an alert target: with 2 KiB each well below what Teams takes (28 KiB shows 10 of them).
pub const ALERT_POST_MESSAGES: usize = 50;
/// Messages that a chat shows in full; the rest is a number.
pub const ALERTS_SHOWN: usize = 8;
/// How often an Alertmanager hears of what is active; it asks for 30 s to 3 min.
pub const ALERTMANAGER_EVERY: Duration = Duration::from_secs(60);
/// How long an Alertmanager believes that an alert is active without hearing of it again: four missed rounds.
pub const ALERTMANAGER_VALID: Duration = Duration::from_secs(5 * 60);
/// Looks at the size of the store that are remembered: an hour of minutes.
pub const GROWTH_SAMPLES: usize = 61;
/// A store that was watched for less than this says nothing about its pace.
pub const GROWTH_SHORTEST: Duration = Duration::from_secs(10 * 60);
/// A feed that waits counts as standing still, as far as losing events is concerned, from here on.
pub const STANDS_STILL_AFTER: Duration = Duration::from_secs(3_600);
/// How often the accounts are added up for alerts: the sums go over every chunk there is.
pub const ALERT_BOOKS_EVERY: Duration = Duration::from_secs(10 * 60);
/// Events of the daemon's own feed that wait for room in the store; alerts are told without them.
pub const MAX_COLLECTOR_EVENTS: usize = 2_000;
/// Gaps told as events at one look; the next look tells the next ones.
pub const MAX_GAPS_TOLD_AT_ONCE: u32 = 500;
/// Feeds, and sinks, that a heartbeat lists: 150 bytes each, so that it fits what every SIEM takes as one event.
pub const HEARTBEAT_FEEDS: usize = 100;
/// How long a daemon that ends waits for alert targets to be told what it still has to tell.
pub const ALERT_FAREWELL: Duration = Duration::from_secs(10);
/// A task that gives no sign of life for this long beyond what it promised hangs (recovery row L10): twice the longest
/// time a single exchange may be configured to take.
pub const TASK_STALLED: Duration = Duration::from_secs(2 * 600);
/// How long a daemon with a task that hangs goes on where no watchdog ends it: time to tell the alert; as the unit's
/// `WatchdogSec=`.
pub const STALLED_GRACE: Duration = Duration::from_secs(120);
/// Shortest interval of heartbeats: each is an event in the store.
pub const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval of heartbeats: a SIEM that waits a day for silence waits for nothing.
pub const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(24 * 3_600);
