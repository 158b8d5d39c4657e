//! How long the other side asks us to wait, read against its own clock (recovery rows H10, H11).

use std::time::Duration;

use super::http_date;
use super::said::header;
use crate::clock::Time;
use crate::limits::{MAX_RESET, MAX_RETRY_AFTER, MIN_SERVER_WAIT};

/// The wait that an answer asks for: `Retry-After` (1 s to 24 h), else `X-RateLimit-Reset` (1 s to 1 h). The reset
/// time stands on ordinary answers too; it is a request to wait only when the answer says that the quota is used
/// up, with its headers or as a whole (`limited`).
pub(super) fn asked_for(headers: &[(String, String)], limited: bool, now: Time) -> Option<Duration> {
    let reset = || reset(headers, now).filter(|_| limited || is_used_up(headers));
    retry_after(headers, now).or_else(reset)
}

/// The wait that a *good* answer announces: no calls are left until then (recovery row H11). It spares the 429
/// that would follow. Between 1 s and 1 h.
pub fn quota_pause(headers: &[(String, String)], now: Time) -> Option<Duration> {
    reset(headers, now).filter(|_| is_used_up(headers))
}

/// Server minus local clock in milliseconds, from the `Date` header.
pub fn skew_ms(headers: &[(String, String)], now: Time) -> Option<i64> {
    http_date::parse(header(headers, "date")?, now).map(|theirs| theirs.0.saturating_sub(now.0))
}

/// `X-RateLimit-Remaining` says that no calls are left.
fn is_used_up(headers: &[(String, String)]) -> bool {
    let left = header(headers, "x-ratelimit-remaining").and_then(|left| left.parse::<i64>().ok());
    left.is_some_and(|left| left <= 0)
}

/// `Retry-After`. Unreadable, or more than 24 h: one hour, for something asked us to stay away. A date that is
/// past asks for nothing.
fn retry_after(headers: &[(String, String)], now: Time) -> Option<Duration> {
    let text = header(headers, "retry-after")?;
    let Some(asked) = said(text, Some(server_time(headers, now)), now) else { return Some(MAX_RESET) };
    if asked.is_zero() && seconds(text).is_none() {
        return None;
    }
    Some(if asked > MAX_RETRY_AFTER { MAX_RESET } else { asked.max(MIN_SERVER_WAIT) })
}

/// What a `Retry-After` says as it stands: seconds, or a date, which is read against the answer's own (`theirs`), so that no
/// clock of ours matters. `None`: it cannot be read, or is a date in an answer without one.
fn said(text: &str, theirs: Option<Time>, now: Time) -> Option<Duration> {
    let until = || Some(http_date::parse(text, now)?.since(theirs?));
    seconds(text.trim()).map(Duration::from_secs).or_else(until)
}

/// The same of an answer of which nothing else is known: the values of its headers `Retry-After` and `Date`.
pub fn retry_after_said(value: &str, date: Option<&str>) -> Option<Duration> {
    const EITHER: Time = Time(1_767_225_600_000); // 2026: where a year of two digits belongs, in both alike
    said(value, date.and_then(|date| http_date::parse(date, EITHER)), EITHER)
}

/// `X-RateLimit-Reset`: documented as milliseconds to wait; values too large for that are points in time.
fn reset(headers: &[(String, String)], now: Time) -> Option<Duration> {
    const EPOCH_MS: u64 = 1_000_000_000_000; // 2001-09-09 in milliseconds; as a delay 31 years
    const EPOCH_S: u64 = 1_000_000_000; // the same in seconds; as a delay 11 days
    let text = header(headers, "x-ratelimit-reset")?;
    let value: u64 = text.split('.').next()?.parse().ok()?;
    let until = |at: Time| at.since(server_time(headers, now));
    let asked = match value {
        EPOCH_MS.. => until(Time(i64::try_from(value).unwrap_or(i64::MAX))),
        EPOCH_S.. => until(Time::from_secs(i64::try_from(value).unwrap_or(i64::MAX))),
        _ => Duration::from_millis(value),
    };
    Some(asked.clamp(MIN_SERVER_WAIT, MAX_RESET))
}

/// The clock the server's dates are meant against: its own.
fn server_time(headers: &[(String, String)], now: Time) -> Time {
    header(headers, "date").and_then(|date| http_date::parse(date, now)).unwrap_or(now)
}

/// Whole seconds; a fraction is rounded up, more digits than a number holds are the largest number.
fn seconds(text: &str) -> Option<u64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let up = u64::from(fraction.bytes().any(|byte| byte != b'0'));
    Some(whole.parse::<u64>().unwrap_or(u64::MAX).saturating_add(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_767_259_800_000); // Thu, 01 Jan 2026 09:30:00 GMT

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
    fn wait(pairs: &[(&str, &str)]) -> Option<u64> {
        asked_for(&headers(pairs), true, NOW).map(|wait| u64::try_from(wait.as_millis()).unwrap())
    }

    #[test]
    fn seconds_are_honoured_within_a_day() {
        for (text, ms) in [
            ("0", 1_000),
            ("1", 1_000),
            (" 120 ", 120_000),
            ("1.5", 2_000),
            ("86400", 86_400_000),
            ("86401", 3_600_000),
            ("99999999999999999999999", 3_600_000),
            ("-5", 3_600_000),
            ("soon", 3_600_000),
            ("", 3_600_000),
        ] {
            assert_eq!(wait(&[("Retry-After", text)]), Some(ms), "{text}");
        }
    }

    #[test]
    fn dates_are_read_against_the_servers_clock() {
        let until = ("retry-AFTER", "Thu, 01 Jan 2026 10:00:00 GMT");
        assert_eq!(wait(&[until]), Some(30 * 60_000), "our clock when there is no other");
        assert_eq!(wait(&[until, ("DATE", "Thu, 01 Jan 2026 09:59:00 GMT")]), Some(60_000));
        assert_eq!(wait(&[until, ("date", "nonsense")]), Some(30 * 60_000));
        assert_eq!(wait(&[until, ("date", "Thu, 01 Jan 2026 10:00:00 GMT")]), None, "past: own pace");
        assert_eq!(wait(&[("retry-after", "Fri, 01 Jan 2027 10:00:00 GMT")]), Some(3_600_000), "absurd");
        assert_eq!(wait(&[("retry-after", "Thursday, 01-Jan-26 09:31:00 GMT")]), Some(60_000));
        assert_eq!(wait(&[("retry-after", "Thu Jan  1 09:31:00 2026")]), Some(60_000));
    }

    #[test]
    fn reset_is_milliseconds_or_a_point_in_time() {
        for (text, ms) in [
            ("0", 1_000),
            ("250", 1_000),
            ("90000", 90_000),
            ("900000", 900_000),
            ("999999999", 3_600_000),
            ("1767259860", 60_000),
            ("1767259860000", 60_000),
            ("1500000000", 1_000),
            ("18446744073709551615", 3_600_000),
        ] {
            assert_eq!(wait(&[("X-RateLimit-Reset", text)]), Some(ms), "{text}");
        }
        assert_eq!(wait(&[("X-RateLimit-Reset", "-1")]), None);
        assert_eq!(wait(&[("X-RateLimit-Reset", "later")]), None);
        assert_eq!(
            wait(&[("X-RateLimit-Reset", "1767259860"), ("Date", "Thu, 01 Jan 2026 09:30:50 GMT")]),
            Some(10_000)
        );
    }

    #[test]
    fn retry_after_wins_over_reset() {
        assert_eq!(wait(&[("X-RateLimit-Reset", "5000"), ("Retry-After", "7")]), Some(7_000));
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_good_answer_announces_a_pause_when_nothing_is_left() {
        let pause = |pairs: &[_]| quota_pause(&headers(pairs), NOW).map(|wait| wait.as_secs());
        let reset = ("x-ratelimit-reset", "90000");
        for (left, expected) in [("0", Some(90)), ("-1", Some(90)), ("1", None), ("few", None)] {
            assert_eq!(pause(&[reset, ("X-Ratelimit-REMAINING", left)]), expected, "{left}");
        }
        assert_eq!(pause(&[reset]), None);
        assert_eq!(pause(&[("x-ratelimit-remaining", "0")]), None, "until when, nobody says");
    }

    #[test]
    fn skew_is_theirs_minus_ours() {
        assert_eq!(skew_ms(&headers(&[("date", "Thu, 01 Jan 2026 09:28:30 GMT")]), NOW), Some(-90_000));
        assert_eq!(skew_ms(&[], NOW), None);
    }
}
