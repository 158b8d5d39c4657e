//! Every date form the Mimecast side reads or writes, from and to Unix milliseconds.

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

/// Gregorian calendar by counting 400-year eras that begin on 1 March (the leap day is then the last day).
fn civil(ms: i64) -> Civil {
    let days = ms.div_euclid(DAY) + 719_468;
    let (era, in_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * in_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let in_day = ms.rem_euclid(DAY);
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: in_year - (153 * from_march + 2) / 5 + 1,
        hour: in_day / HOUR,
        minute: in_day / MINUTE % 60,
        second: in_day / SECOND % 60,
        milli: in_day % SECOND,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let in_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + in_year - 719_468
}

/// `2026-01-01`
pub fn day(ms: i64) -> String {
    let c = civil(ms);
    format!("{:04}-{:02}-{:02}", c.year, c.month, c.day)
}

/// `2026-01-01T09:45:00.000Z`
pub fn iso(ms: i64) -> String {
    let c = civil(ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.milli
    )
}

/// `2026-01-01T08:00:03+0000`: the only form the `/api/…` functions take and write.
pub fn api(ms: i64) -> String {
    let c = civil(ms);
    format!("{}T{:02}:{:02}:{:02}+0000", day(ms), c.hour, c.minute, c.second)
}

/// `20260101T093000Z`
pub fn amz(ms: i64) -> String {
    let c = civil(ms);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Thu, 01 Jan 2026 09:30:00 GMT`
pub fn http(ms: i64) -> String {
    let c = civil(ms);
    let name = |list: &[&'static str], i: i64| {
        usize::try_from(i).ok().and_then(|i| list.get(i)).copied().unwrap_or_default()
    };
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, ms.div_euclid(DAY).rem_euclid(7)),
        c.day,
        name(&MONTHS, c.month - 1),
        c.year,
        c.hour,
        c.minute,
        c.second
    )
}

/// Digits of `text[from..to]` as a number; `None` for anything but digits (a sign included).
fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    if part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
}

fn date_at(text: &str, dashes: bool) -> Option<i64> {
    let (month, day) = if dashes { (5, 8) } else { (4, 6) };
    let (y, m, d) = (digits(text, 0, 4)?, digits(text, month, month + 2)?, digits(text, day, day + 2)?);
    let ms = days_from_civil(y, m, d) * DAY;
    let back = civil(ms);
    (back.year == y && back.month == m && back.day == d).then_some(ms)
}

fn clock(h: i64, m: i64, s: i64) -> Option<i64> {
    (h < 24 && m < 60 && s < 60).then_some(h * HOUR + m * MINUTE + s * SECOND)
}

/// Strict `YYYY-MM-DD`; a date that does not exist is `None`.
pub fn parse_day(text: &str) -> Option<i64> {
    (text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-")).then_some(())?;
    date_at(text, true)
}

/// Strict `yyyy-MM-ddTHH:mm:ss+0000`.
pub fn parse_api(text: &str) -> Option<i64> {
    (text.len() == 24 && text.get(10..11) == Some("T") && text.ends_with("+0000")).then_some(())?;
    (text.get(13..14) == Some(":") && text.get(16..17) == Some(":")).then_some(())?;
    Some(
        parse_day(text.get(..10)?)?
            + clock(digits(text, 11, 13)?, digits(text, 14, 16)?, digits(text, 17, 19)?)?,
    )
}

/// `20260101T093000Z`
pub fn parse_amz(text: &str) -> Option<i64> {
    (text.len() == 16 && text.get(8..9) == Some("T") && text.ends_with('Z')).then_some(())?;
    Some(date_at(text, false)? + clock(digits(text, 9, 11)?, digits(text, 11, 13)?, digits(text, 13, 15)?)?)
}

/// `Thu, 01 Jan 2026 09:30:00 UTC`, as API 1.0 wants it in `x-mc-date`: two-digit day, and UTC, GMT or +0000.
pub fn parse_http(text: &str) -> Option<i64> {
    let (name, rest) = text.split_once(", ")?;
    let zone = rest.get(20..)?;
    (rest.get(2..3) == Some(" ") && rest.get(6..7) == Some(" ") && rest.get(11..12) == Some(" "))
        .then_some(())?;
    matches!(zone, " UTC" | " GMT" | " +0000").then_some(())?;
    let month = MONTHS.iter().position(|m| rest.get(3..6) == Some(*m))? + 1;
    let iso = format!("{}-{month:02}-{}T{}+0000", rest.get(7..11)?, rest.get(..2)?, rest.get(12..20)?);
    let at = parse_api(&iso)?;
    let day = usize::try_from(at.div_euclid(DAY).rem_euclid(7)).ok()?;
    (DAYS.get(day) == Some(&name)).then_some(at)
}

/// `2026-01-01T00:00:00Z` or `2026-01-01`, for the command line.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    match text.strip_suffix('Z') {
        Some(base) => parse_api(&format!("{base}+0000")),
        None => parse_day(text),
    }
}

/// A length of time: `500ms`, `90s`, `15m`, `6h`, `7d`; a bare number is seconds.
pub fn parse_span(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 1,
        "s" | "" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

/// As [`parse_span`], with a sign: `-8d`, `+2h`, `0`.
pub fn parse_offset(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => parse_span(rest).map(|span| -span),
        None => parse_span(text.trim_start_matches(['+', ' '])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YEAR: i64 = 1_767_225_600_000;

    #[test]
    fn every_form_is_written_as_documented() {
        let at = NEW_YEAR + 9 * HOUR + 30 * MINUTE + 7 * SECOND + 123;
        assert_eq!(day(at), "2026-01-01");
        assert_eq!(iso(at), "2026-01-01T09:30:07.123Z");
        assert_eq!(api(at), "2026-01-01T09:30:07+0000");
        assert_eq!(amz(at), "20260101T093007Z");
        assert_eq!(http(at), "Thu, 01 Jan 2026 09:30:07 GMT");
        assert_eq!(http(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn reading_is_strict() {
        assert_eq!(parse_day("2026-01-01"), Some(NEW_YEAR));
        for bad in
            ["2026-02-30", "2026-1-01", "01/01/2026", "2026-01-01T00:00:00Z", "+026-01-01", "2026-13-01"]
        {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
        assert_eq!(parse_api("2026-01-01T00:00:01+0000"), Some(NEW_YEAR + SECOND));
        for bad in ["2026-01-01T00:00:01Z", "2026-01-01T00:00:01+00:00", "2026-01-01T24:00:01+0000", "ü"] {
            assert_eq!(parse_api(bad), None, "{bad}");
        }
        assert_eq!(parse_span("15m"), Some(15 * MINUTE));
        assert_eq!(parse_span("250ms"), Some(250));
        assert_eq!(parse_span("7"), Some(7 * SECOND));
        assert_eq!(parse_span("6 h"), None);
        assert_eq!(
            (parse_offset("-8d"), parse_offset("+2h"), parse_offset("0")),
            (Some(-8 * DAY), Some(2 * HOUR), Some(0))
        );
        assert_eq!((parse_offset("--8d"), parse_offset("soon")), (None, None));
    }

    #[test]
    fn the_date_of_a_signed_request() {
        let at = 1_448_369_411_000;
        for zone in ["UTC", "GMT", "+0000"] {
            assert_eq!(parse_http(&format!("Tue, 24 Nov 2015 12:50:11 {zone}")), Some(at));
        }
        for bad in [
            "Mon, 24 Nov 2015 12:50:11 UTC",
            "Tue, 24 nov 2015 12:50:11 UTC",
            "Tue, 4 Nov 2015 12:50:11 UTC",
            "Tue, 24 Nov 2015 12:50:11 CET",
            "2015-11-24T12:50:11Z",
            "",
        ] {
            assert_eq!(parse_http(bad), None, "{bad}");
        }
        assert_eq!(parse_http(&http(NEW_YEAR)), Some(NEW_YEAR));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for at in (0..400).map(|n| NEW_YEAR + n * 3 * DAY + n * 61_007) {
            let second = at - at.rem_euclid(SECOND);
            assert_eq!(parse_api(&api(at)), Some(second));
            assert_eq!(parse_amz(&amz(at)), Some(second));
            assert_eq!(parse_day(&day(at)), Some(at - at.rem_euclid(DAY)));
        }
    }
}
