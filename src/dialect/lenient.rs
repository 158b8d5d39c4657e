//! A look into text that should be JSON and is not: Rackspace's own documented samples have a trailing comma, a
//! missing brace and a doubled quote (recovery row D06). Nothing is believed that makes a verdict harsher.

use crate::limits::MAX_LENIENT_BYTES;

/// What was found by searching for names, in no particular structure.
pub(super) struct Glimpse<'a> {
    text: &'a str,
}

impl<'a> Glimpse<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut end = MAX_LENIENT_BYTES.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Glimpse { text: text.get(..end).unwrap_or_default() }
    }

    /// The first quoted name: that of the root member.
    pub(super) fn root(&self) -> Option<&'a str> {
        self.text.split('"').nth(1)
    }

    /// The value after the first `"name":`, a quoted text or a bare word, as it stands.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        let quoted = format!("\"{name}\"");
        let mut rest = self.text;
        while let Some(at) = rest.find(&quoted) {
            rest = rest.get(at + quoted.len()..)?;
            if let Some(value) = rest.trim_start().strip_prefix(':') {
                return scalar(value.trim_start());
            }
        }
        None
    }
}

fn scalar(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let word = text.split([',', '}', ']', '{', '[', '"']).next()?;
        return Some(word.trim()).filter(|word| !word.is_empty());
    };
    let after_second = quoted.strip_prefix('"');
    let doubled = after_second.filter(|rest| !rest.trim_start().starts_with([',', '}', ']']));
    let quoted = doubled.unwrap_or(quoted);
    let mut escaped = false;
    let end = quoted.find(|c| match c {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        c => matches!(c, '"' | '\n' | '\r'),
    });
    quoted.get(..end.unwrap_or(quoted.len())).filter(|value| !value.is_empty())
}
