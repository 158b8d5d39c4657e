//! Messages for receivers that take only so many bytes. What is longer is shortened so that it stays what it is, and
//! says so: every place where something was cut ends with [`MARK`].
//!
//! Of JSON the longest texts are cut, all to the same length; keys, numbers, short texts (and with them identities
//! and times) and the structure stay. Lines of other formats lose their end.

use super::{Fit, Limit};

/// What an operator looks for.
pub const MARK: &[u8] = b"...[truncated]";
/// Texts of JSON that are not longer stay whole: identities, times, addresses.
const SHORT: usize = 64;
/// Less of a line than this tells nothing: headers alone take as much.
const LEAST_LINE: usize = 128;

/// Shortens the JSON text behind `start` to `max` bytes. False, with nothing changed, when its texts are not what
/// makes it long.
pub fn json(out: &mut Vec<u8>, start: usize, max: usize) -> bool {
    let text = out.get(start..).unwrap_or_default();
    let texts = texts(text);
    let Some(keep) = length_to_keep(&texts, text.len().saturating_sub(max)) else { return false };
    let (mut short, mut done) = (Vec::with_capacity(max), 0);
    for (from, to) in texts.into_iter().filter(|(from, to)| to - from > keep + MARK.len()) {
        let inside = text.get(from..to).unwrap_or_default();
        short.extend_from_slice(text.get(done..from).unwrap_or_default());
        short.extend_from_slice(inside.get(..last_boundary(inside, keep)).unwrap_or_default());
        short.extend_from_slice(MARK);
        done = to;
    }
    short.extend_from_slice(text.get(done..).unwrap_or_default());
    out.truncate(start);
    out.extend_from_slice(&short);
    true
}

/// Shortens those members of the JSON object behind `start` that are longer than the limit, each to it, as
/// [`json`] does. What cannot be shortened so, or is not to be, is left as it is.
pub fn columns(out: &mut Vec<u8>, start: usize, limit: Limit) -> Fit {
    let text = out.get(start..).unwrap_or_default();
    let (mut short, mut done) = (Vec::new(), 0);
    for (from, to) in members(text).into_iter().filter(|(from, to)| to - from > limit.bytes) {
        let mut member = text.get(from..to).unwrap_or_default().to_vec();
        if !limit.cut || !json(&mut member, 0, limit.bytes) {
            return Fit::TooLong(to - from);
        }
        short.extend_from_slice(text.get(done..from).unwrap_or_default());
        short.append(&mut member);
        done = to;
    }
    if done == 0 {
        return Fit::Whole;
    }
    short.extend_from_slice(text.get(done..).unwrap_or_default());
    out.truncate(start);
    out.extend_from_slice(&short);
    Fit::Cut
}

/// Where the values of the outermost object's members are.
fn members(json: &[u8]) -> Vec<(usize, usize)> {
    let (mut members, mut depth, mut from, mut at) = (Vec::new(), 0_usize, None, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_text(json, at + 1),
            b'{' | b'[' => depth += 1,
            b':' if depth == 1 => from = Some(at + 1),
            b',' | b'}' if depth == 1 => members.extend(from.take().map(|from| (from, at))),
            _ => {}
        }
        if matches!(byte, b'}' | b']') {
            depth = depth.saturating_sub(1);
        }
        at += 1;
    }
    members
}

/// Where the text ends that begins at `at`: its closing quote.
fn end_of_text(json: &[u8], at: usize) -> usize {
    let mut to = at;
    while let Some(step) = memchr::memchr2(b'"', b'\\', json.get(to..).unwrap_or_default()) {
        to += step;
        if json.get(to) == Some(&b'"') {
            break;
        }
        to += 2;
    }
    to
}

/// Shortens the line behind `start` to `max` bytes; `separator` stands between its fields, if something does that no
/// value can hold. False, with nothing changed, when next to nothing of it would be left.
pub fn line(out: &mut Vec<u8>, start: usize, max: usize, separator: Option<u8>) -> bool {
    let text = out.get(start..).unwrap_or_default();
    let Some(keep) = max.checked_sub(MARK.len()).filter(|keep| *keep >= LEAST_LINE) else { return false };
    let mut end = keep.min(text.len());
    while end > 0 && text.get(end).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
        end -= 1; // in the middle of a character
    }
    let kept = text.get(..end).unwrap_or_default();
    let escapes = kept.iter().rev().take_while(|byte| **byte == b'\\').count();
    end -= escapes % 2; // half an escape
    if let Some(separator) = separator {
        let kept = text.get(..end).unwrap_or_default();
        let last = kept.iter().rposition(|byte| *byte == separator);
        // half a name without its value is no field
        end = last.filter(|at| !kept.get(*at..).unwrap_or_default().contains(&b'=')).unwrap_or(end);
    }
    out.truncate(start + end);
    out.extend_from_slice(MARK);
    true
}

/// Where the texts are that are values, without their quotes.
fn texts(json: &[u8]) -> Vec<(usize, usize)> {
    let (mut texts, mut at) = (Vec::new(), 0);
    while let Some(quote) = memchr::memchr(b'"', json.get(at..).unwrap_or_default()) {
        let from = at + quote + 1;
        let to = end_of_text(json, from);
        at = to + 1;
        let rest = json.get(at..).unwrap_or_default();
        if rest.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b':') && to - from > SHORT {
            texts.push((from, to));
        }
    }
    texts
}

/// The greatest length to which longer texts can be cut so that `excess` bytes are saved; `None`: there is none.
fn length_to_keep(texts: &[(usize, usize)], excess: usize) -> Option<usize> {
    let saved = |keep: usize| -> usize {
        texts.iter().map(|(from, to)| (to - from).saturating_sub(keep + MARK.len())).sum()
    };
    let (mut enough, mut longest) =
        (SHORT, texts.iter().map(|(from, to)| to - from).max().unwrap_or(0).max(SHORT));
    if saved(enough) < excess {
        return None;
    }
    while longest - enough > 1 {
        let middle = enough + (longest - enough) / 2;
        if saved(middle) >= excess { enough = middle } else { longest = middle }
    }
    Some(enough)
}

/// The last place at or before `keep` where neither an escape, nor a pair of them, nor a character is cut through.
fn last_boundary(text: &[u8], keep: usize) -> usize {
    let (mut at, mut last) = (0, 0);
    while at <= keep && at < text.len() {
        last = at;
        at += match (text.get(at), text.get(at + 1)) {
            (Some(b'\\'), Some(b'u')) if is_first_of_pair(text.get(at + 2..).unwrap_or_default()) => 12,
            (Some(b'\\'), Some(b'u')) => 6,
            (Some(b'\\'), _) => 2,
            _ => 1,
        };
        while text.get(at).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
            at += 1;
        }
    }
    last
}

/// `d83d\ude00`: the first half of a character beyond the basic plane, with the second behind it.
fn is_first_of_pair(digits: &[u8]) -> bool {
    matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', _, _, b'\\', b'u', ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn short(text: &str, max: usize) -> Option<String> {
        let mut out = [b"<13>", text.as_bytes()].concat();
        json(&mut out, 4, max).then(|| String::from_utf8(out[4..].to_vec()).unwrap())
    }

    #[test]
    fn the_longest_texts_are_cut_and_everything_else_stays() {
        let event = json!({
            "event_id": "abababababababababababababababab", "n": 1.50, "list": ["x".repeat(500), "y".repeat(80)],
            "z".repeat(200): "kept", "deep": { "subject": "s".repeat(300) },
        });
        let text = event.to_string();
        let cut = short(&text, 800).unwrap();
        assert!(cut.len() <= 800 && cut.len() > 790, "{}", cut.len());
        let cut: Value = serde_json::from_str(&cut).unwrap();
        let (long, subject) = (cut["list"][0].as_str().unwrap(), cut["deep"]["subject"].as_str().unwrap());
        assert!(long.ends_with("x...[truncated]") && subject.ends_with("s...[truncated]"), "{cut}");
        assert_eq!(long.len(), subject.len(), "cut to the same length");
        for whole in ["event_id", "n", &"z".repeat(200)] {
            assert_eq!(cut[whole], event[whole]);
        }
        assert_eq!(cut["list"][1], event["list"][1]);
    }

    #[test]
    fn only_columns_that_are_too_long_are_shortened() {
        let limit = Limit { bytes: 300, cut: true, columns: true };
        let event = json!({
            "event_id": "ab", "n": [1, {"a,b:}": 2}], "event": { "subject": "s\\\"}".repeat(200), "to": ["t"] },
            "a": "x".repeat(250), "b": "y".repeat(250), "whole": "z".repeat(400),
        });
        let mut out = [b"<13>", event.to_string().as_bytes()].concat();
        assert_eq!(columns(&mut out, 4, limit), Fit::Cut);
        let cut: Value = serde_json::from_slice(&out[4..]).unwrap();
        for same in ["event_id", "n", "a", "b"] {
            assert_eq!(cut[same], event[same]);
        }
        for short in ["event", "whole"] {
            let len = cut[short].to_string().len();
            assert!(len <= 300 && len > 290, "{short}: {len}");
        }
        assert!(cut["event"]["subject"].as_str().unwrap().ends_with("...[truncated]"));
        let again = out.clone();
        assert_eq!((columns(&mut out, 4, limit), &out), (Fit::Whole, &again));

        let numbers = json!({ "n": vec![1; 500] }).to_string().into_bytes();
        let mut out = numbers.clone();
        assert_eq!((columns(&mut out, 0, limit), &out), (Fit::TooLong(1001), &numbers));
        let mut out = event.to_string().into_bytes();
        assert!(matches!(columns(&mut out, 0, Limit { cut: false, ..limit }), Fit::TooLong(n) if n > 300));
    }

    #[test]
    fn what_is_long_for_other_reasons_is_left_alone() {
        let numbers = json!({ "n": vec![1; 500] }).to_string();
        assert_eq!(short(&numbers, 400), None);
        let short_texts = json!(vec!["x".repeat(60); 20]).to_string();
        assert_eq!(short(&short_texts, 400), None);
    }

    #[test]
    fn a_line_ends_at_a_whole_character_escape_and_field() {
        let cut = |text: &str, max, separator| {
            let mut out = [b"1 ", text.as_bytes()].concat();
            line(&mut out, 2, max, separator).then(|| String::from_utf8(out[2..].to_vec()).unwrap())
        };
        let mark = String::from_utf8(MARK.to_vec()).unwrap();
        let body = "k=".to_owned() + &"a".repeat(126);
        assert_eq!(
            cut(&(body.clone() + "aaaaaaaaaaaaaaaaaaaaaaaa"), 142, None).unwrap(),
            body.clone() + &mark
        );
        let tail = "ääääääääääääääääää";
        assert_eq!(cut(&(body.clone() + tail), 143, None).unwrap(), body.clone() + &mark, "not half of one");
        assert_eq!(
            cut(&(body.clone() + "\\=bbbbbbbbbbbbbbbbbbbb"), 143, None).unwrap(),
            body.clone() + &mark
        );
        assert_eq!(
            cut(&(body.clone() + "^subject=bbbbbbbbbbbbbb"), 146, Some(b'^')).unwrap(),
            body.clone() + &mark
        );
        let whole = cut(&(body.clone() + "^su=bbbbbbbbbbbbbbbbbbbb"), 147, Some(b'^')).unwrap();
        assert_eq!(whole, body.clone() + "^su=b" + &mark);
        assert_eq!(cut(&body, 100, None), None, "nothing worth having is left");
    }

    proptest! {
        #[test]
        fn what_is_cut_is_json_of_the_same_shape_and_fits(
            texts in proptest::collection::vec("[a\\\\\"\u{1F600}ä\n]{0,300}", 1..5), ascii in any::<bool>(), less in 1_usize..400,
        ) {
            let text = json!(texts).to_string();
            // as formats that escape everything beyond ASCII write it
            let text: String = if ascii {
                text.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect()
            } else { text };
            let max = text.len().saturating_sub(less);
            if let Some(cut) = short(&text, max) {
                prop_assert!(cut.len() <= max);
                let cut: Vec<String> = serde_json::from_str(&cut).unwrap();
                prop_assert_eq!(cut.len(), texts.len());
                for (cut, text) in cut.iter().zip(&texts) {
                    let kept = cut.strip_suffix("...[truncated]").unwrap_or(cut);
                    prop_assert!(text.starts_with(kept));
                }
            }
        }
    }
}
