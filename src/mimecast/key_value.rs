//! Lines of `key=value|key=value`, the older form of API 1.0's logs. A value may be wrapped in backslashes and then
//! holds what it likes; the first `=` ends the name (mimecast-api.md §3.1.2).

use super::feed::Feed;
use super::record::{self, Bad, Facts, Reading, Scalar};

/// What intake must know of one line.
pub(super) fn facts<'a>(feed: &Feed, line: &'a str) -> Result<Facts<'a>, Bad> {
    let mut reading = Reading::new(feed);
    let mut known = 0_usize;
    for (name, value) in Fields(line) {
        known += 1;
        let field = reading.field(name);
        if !matches!(field, record::Field::Other) {
            reading.learn(field, Scalar::Text(value.into()));
        }
    }
    if known == 0 {
        let detail = "a line without any `name=value`".to_owned();
        return Err(Bad { reason: "not_key_value", detail });
    }
    Ok(reading.facts())
}

/// Names and values in order; wrapped ones without their backslashes.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let (name, rest) = match self.0.split_once('=') {
                Some((name, rest)) if is_name(name) => (name, rest),
                _ => {
                    // no field begins here: a piece of a value that has a bar in it
                    self.0 = self.0.split_once('|').map_or("", |(_, after)| after);
                    continue;
                }
            };
            let end = match rest.strip_prefix('\\') {
                Some(wrapped) => wrapped.find("\\|").map_or(rest.len(), |at| at + 2),
                None => rest.find('|').unwrap_or(rest.len()),
            };
            let (value, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            self.0 = after.strip_prefix('|').unwrap_or(after);
            let inside = value.strip_prefix('\\').map(|inside| inside.strip_suffix('\\').unwrap_or(inside));
            return Some((name, inside.unwrap_or(value)));
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::MTA;
    use super::*;

    const FIRST: &str = include_str!("../../tests/fixtures/mta/receipt_20260101083000123.siem");

    #[test]
    fn bars_and_signs_inside_of_values_end_nothing() {
        let line = FIRST.lines().next().unwrap();
        let fields: Vec<(&str, &str)> = Fields(line).collect();
        let of = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
        assert_eq!(fields.len(), 17);
        assert_eq!(of("Subject"), Some("Offer a=b | today only"));
        assert_eq!(of("MsgId"), Some("<20260101.0930.77@mx1.vendor.example.net>"));
        assert_eq!(of("SpamProcessingDetail"), Some(r#"{"spf":{"info":"ALLOW","allow":true}}"#));
        assert_eq!(
            Fields("a=\\x\\|b=|c=\\\\|d=1|junk|e=2").collect::<Vec<_>>(),
            [("a", "x"), ("b", ""), ("c", ""), ("d", "1"), ("e", "2"),]
        );
    }

    #[test]
    fn time_has_an_offset_and_may_be_missing() {
        let time = |line: &str| facts(&MTA, line).unwrap().time;
        assert_eq!(time(FIRST.lines().next().unwrap()), Some(1_767_256_200_000));
        assert_eq!(time("acc=C0A0|datetime=2026-01-01T09:30:00-0400"), Some(1_767_274_200_000));
        assert_eq!(time("acc=C0A0|Subject=\\datetime=2026-01-01T09:30:00+0100\\"), None);
        assert_eq!(facts(&MTA, "no field at all").unwrap_err().reason, "not_key_value");
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[a=|\\\\ \\PC]{0,60}") {
            let _ = facts(&MTA, &line);
            prop_assert!(Fields(&line).count() <= line.len());
        }
    }
}
