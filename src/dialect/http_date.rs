//! The three date forms of RFC 9110 §5.6.7.

use crate::clock::Time;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
/// `now` places a year of two digits: one more than 50 years ahead is in the past.
pub(super) fn parse(text: &str, now: Time) -> Option<Time> {
    const LONGEST: usize = 64; // the longest form has 33 characters
    let text = text.trim();
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, clock) = match words.as_slice() {
        [_, day, month, year, clock, zone] if is_utc(zone) => (*day, *month, full_year(year)?, *clock),
        [_, date, clock, zone] if is_utc(zone) => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            (day, month, two_digit_year(year, now)?, *clock)
        }
        [_, month, day, clock, year] => (*day, *month, full_year(year)?, *clock),
        _ => return None,
    };
    let month = month_number(month)?;
    let day = number(day, 2).filter(|day| (1..=days_in(month, year)).contains(day))?;
    Some(Time::from_secs(days_from_civil(year, month, day) * 86_400 + second_of_day(clock)?))
}

fn is_utc(zone: &str) -> bool {
    ["GMT", "UTC", "+0000", "Z"].iter().any(|known| known.eq_ignore_ascii_case(zone))
}

fn number(text: &str, longest: usize) -> Option<i64> {
    let digits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn full_year(text: &str) -> Option<i64> {
    number(text, 4).filter(|year| *year >= 1000)
}

fn two_digit_year(text: &str, now: Time) -> Option<i64> {
    let short = number(text, 4)?;
    if short >= 100 {
        return Some(short).filter(|year| *year >= 1000);
    }
    let this = number(now.rfc3339().get(..4)?, 4)?;
    let year = this - this % 100 + short;
    Some(if year > this + 50 { year - 100 } else { year })
}

fn month_number(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(text))?;
    i64::try_from(at).ok().map(|at| at + 1)
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A leap second counts as the second before it.
fn second_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute, second) =
        (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let sane = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    sane.then(|| hour * 3600 + minute * 60 + second.min(59))
}

/// Day number of a Gregorian date, 1970-01-01 = 0; the inverse of what `clock.rs` does to print one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z

    #[test]
    fn the_three_forms_are_one_moment() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text, NOW), Some(Time::from_secs(784_111_777)), "{text}");
        }
    }

    #[test]
    fn short_years_lie_within_fifty_years() {
        let year = |text: &str| {
            parse(&format!("Sunday, 06-Nov-{text} 08:49:37 GMT"), NOW).unwrap().rfc3339()[..4].to_owned()
        };
        assert_eq!(year("26"), "2026");
        assert_eq!(year("76"), "2076");
        assert_eq!(year("77"), "1977");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "Sun, 31 Feb 2026 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 29 Feb 2100 00:00:00 GMT",
            "1-2-3 4 5 6",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    /// Each of them next to a date that is one.
    #[test]
    fn the_bounds_of_each_part() {
        let padded = |length: usize| {
            let (start, end) = ("Sun, 06 Nov 1994", "08:49:37 GMT");
            format!("{start}{}{end}", " ".repeat(length - start.len() - end.len()))
        };
        assert!(parse(&padded(64), NOW).is_some() && parse(&padded(65), NOW).is_none());
        assert!(parse(&padded(64).replace("Sun", "Sün"), NOW).is_none(), "not ASCII");
        assert!(parse("Sün, 06 Nov 1994 08:49:37 GMT", NOW).is_none(), "not ASCII");
        let second_form = |date: &str, clock: &str| parse(&format!("Sunday, {date} {clock}"), NOW);
        for (date, is_one) in [
            ("06-Nov-94", true),
            ("6-Nov-94", true),
            ("006-Nov-94", false),
            ("+6-Nov-94", false),
            ("06-Nov-1994", true),
            ("06-Nov-1000", true),
            ("06-Nov-999", false),
            ("06-Nov-100", false),
            ("06-Nov-99", true),
            ("06-Nov-01994", false),
            ("29-Feb-2000", true),
            ("29-Feb-2024", true),
            ("29-Feb-2023", false),
            ("29-Feb-1900", false),
            ("28-Feb-2023", true),
            ("30-Apr-2026", true),
            ("31-Apr-2026", false),
            ("31-Jun-2026", false),
            ("31-Sep-2026", false),
            ("31-Nov-2026", false),
            ("31-Dec-2026", true),
            ("32-Dec-2026", false),
            ("00-Dec-2026", false),
        ] {
            assert_eq!(second_form(date, "08:49:37 GMT").is_some(), is_one, "{date}");
        }
        for (clock, is_one) in [
            ("23:59:59 UTC", true),
            ("08:49:37 PST", false),
            ("24:00:00 GMT", false),
            ("23:60:00 GMT", false),
            ("23:59:61 GMT", false),
            ("23:59:59:00 GMT", false),
        ] {
            assert_eq!(second_form("06-Nov-94", clock).is_some(), is_one, "{clock}");
        }
        assert_eq!(second_form("31-Dec-16", "23:59:60 GMT"), second_form("31-Dec-16", "23:59:59 GMT"));
        for year in ["0999", "19940"] {
            assert_eq!(parse(&format!("Sun Nov  6 08:49:37 {year}"), NOW), None, "{year}");
        }
        assert_eq!(
            parse("Thu Nov  6 08:49:37 1000", NOW).map(|at| at.rfc3339()[..10].to_owned()).as_deref(),
            Some("1000-11-06")
        );
    }

    #[test]
    fn agrees_with_an_independent_library() {
        for secs in (0..4_000_000_000_i64).step_by(86_400 * 11 + 12_347) {
            let theirs = jiff::Timestamp::from_second(secs).unwrap();
            let text = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            assert_eq!(parse(&text, NOW), Some(Time::from_secs(secs)), "{text}");
        }
    }
}
