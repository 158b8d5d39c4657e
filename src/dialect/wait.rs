//! How long the other side asks us to wait, read against its own clock and clamped (recovery rows H10, H11).

use std::time::Duration;

use super::header;
use crate::clock::Time;

/// No wait is shorter, whatever the service says: 0 would be a hot loop.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// `Retry-After` up to this is believed.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// What a `Retry-After` beyond belief or beyond reading counts as.
pub const UNREADABLE_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// `X-RateLimit-Reset` is about windows of minutes.
pub const LONGEST_RESET: Duration = Duration::from_secs(3_600);

/// The wait that an answer with this status asks for: `Retry-After`, else, when a quota is behind it,
/// `X-RateLimit-Reset`. `None` when it asks for none, or for a time that is past.
pub fn asked_for(status: u16, headers: &[(String, String)], now: Time) -> Option<Duration> {
    match header(headers, "retry-after") {
        Some(value) => retry_after(value, server_now(headers, now)),
        None if status == 429 || is_used_up(headers) => reset(headers, now),
        None => None,
    }
}

/// The wait that a *good* answer announces: no calls remain. It spares the 429 that would follow.
pub fn quota_pause(headers: &[(String, String)], now: Time) -> Option<Duration> {
    if is_used_up(headers) { reset(headers, now) } else { None }
}

/// Server minus local clock in milliseconds, from the `Date` header.
pub fn skew_ms(headers: &[(String, String)], now: Time) -> Option<i64> {
    header(headers, "date").and_then(http_date).map(|date| date.0.saturating_sub(now.0))
}

fn server_now(headers: &[(String, String)], now: Time) -> Time {
    header(headers, "date").and_then(http_date).unwrap_or(now)
}

fn retry_after(value: &str, server_now: Time) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are beyond belief, like every wait of more than a day.
        let wait = Duration::from_secs(value.parse().unwrap_or(u64::MAX));
        return Some(believed(wait));
    }
    match http_date(value) {
        Some(date) if date <= server_now => None,
        Some(date) => Some(believed(date.since(server_now))),
        None => Some(UNREADABLE_RETRY_AFTER),
    }
}

fn believed(wait: Duration) -> Duration {
    if wait > LONGEST_RETRY_AFTER { UNREADABLE_RETRY_AFTER } else { wait.max(SHORTEST) }
}

fn is_used_up(headers: &[(String, String)]) -> bool {
    header(headers, "x-ratelimit-remaining")
        .and_then(|value| value.parse::<i64>().ok())
        .is_some_and(|n| n <= 0)
}

/// Documented as milliseconds to wait; also met as epoch seconds and epoch milliseconds, told by their size.
fn reset(headers: &[(String, String)], now: Time) -> Option<Duration> {
    const EPOCH_MS: i64 = 1_000_000_000_000;
    const EPOCH_S: i64 = 1_000_000_000;
    let value =
        header(headers, "x-ratelimit-reset")?.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0)?;
    let value = value.ceil() as i64; // saturates
    let wait = match value {
        EPOCH_MS.. => Time(value).since(server_now(headers, now)),
        EPOCH_S.. => Time::from_secs(value).since(server_now(headers, now)),
        ms => Duration::from_millis(ms.unsigned_abs()),
    };
    Some(wait.clamp(SHORTEST, LONGEST_RESET))
}

/// RFC 9110 `HTTP-date`, in the form every server sends (`Sun, 06 Nov 1994 08:49:37 GMT`).
fn http_date(text: &str) -> Option<Time> {
    const LONGEST: usize = 40;
    if text.len() > LONGEST {
        return None;
    }
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok().map(|date| Time(date.as_millisecond()))
}
