//! Characters that do not show, or that change how others show: control characters, bidirectional overrides,
//! zero-width and other invisible ones (Unicode's `Cc`, `Cf` and the blank fillers). Nothing of the kind leaves
//! a text format as itself: it becomes `<U+202E>`, which every format can carry and an analyst can read. JSON
//! formats write it as `\u202e`: readable on the wire, and the exact value for whoever parses it.

/// A character that must not be written as itself.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A byte that may belong to a [`hidden`] character in UTF-8: a control byte or the first byte of one.
pub const fn suspicious(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | 0x7f | 0xc2 | 0xd8 | 0xe1 | 0xe2 | 0xe3 | 0xef | 0xf0 | 0xf3)
}

/// `<U+202E>`: at least four upper-case hex digits, as Unicode itself writes code points.
pub fn named(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(b"<U+");
    let code = c as u32;
    let digits = (32 - code.leading_zeros()).div_ceil(4).max(4);
    for place in (0..digits).rev() {
        out.push(hex((code >> (4 * place)) & 15).to_ascii_uppercase());
    }
    out.push(b'>');
}

/// `\u202e`, beyond the basic plane as two surrogates (RFC 8259 §7).
pub fn json_escape(out: &mut Vec<u8>, c: char) {
    let mut units = [0_u16; 2];
    for unit in c.encode_utf16(&mut units) {
        out.extend_from_slice(b"\\u");
        for place in (0..4).rev() {
            out.push(hex((u32::from(*unit) >> (4 * place)) & 15));
        }
    }
}

fn hex(nibble: u32) -> u8 {
    char::from_digit(nibble, 16).map_or(b'0', |digit| digit as u8) // a nibble is a hex digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hidden_character_begins_with_a_suspicious_byte() {
        for c in ('\0'..=char::MAX).filter(|c| hidden(*c)) {
            let first = c.to_string().into_bytes()[0];
            assert!(suspicious(first), "{:04X} begins with {first:02x}", c as u32);
        }
        assert!(!"Grüße, 日本 ❤\u{fe0f}🎉".chars().any(hidden));
    }

    #[test]
    fn both_forms() {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        for c in ['\n', '\u{202e}', '\u{e0041}'] {
            named(&mut text, c);
            json_escape(&mut json, c);
        }
        assert_eq!(text, b"<U+000A><U+202E><U+E0041>");
        assert_eq!(json, b"\\u000a\\u202e\\udb40\\udc41");
    }
}
