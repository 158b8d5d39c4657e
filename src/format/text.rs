//! Escaping: how bytes from outside become safe inside a line, a JSON string or a syslog header field.

/// U+FFFD, what an unreadable byte sequence becomes.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// A decimal number.
pub fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8; // one decimal digit always fits
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// A decimal number with its sign.
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

/// A JSON text with every control byte turned into a space. Outside strings they are white space; inside
/// strings JSON does not allow them.
pub fn json_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    controls_to_spaces(out, start);
}

/// A JSON text whose broken UTF-8 is replaced.
pub fn repaired(out: &mut Vec<u8>, json: &[u8], one_line: bool) {
    let start = out.len();
    for chunk in json.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    if one_line {
        controls_to_spaces(out, start);
    }
}

/// Written without a branch so that it is done sixteen bytes at a time.
fn controls_to_spaces(out: &mut [u8], start: usize) {
    for byte in out.get_mut(start..).unwrap_or_default() {
        *byte = if *byte < 0x20 { b' ' } else { *byte };
    }
}

/// A line that is not JSON: control bytes become `#` and three octal digits, as rsyslog itself writes them.
pub fn line(out: &mut Vec<u8>, raw: &[u8]) {
    copy_except(
        out,
        raw,
        |byte| byte < 0x20,
        |out, byte| {
            out.extend_from_slice(&[b'#', b'0', b'0' + (byte >> 3), b'0' + (byte & 7)]);
        },
    );
}

/// A JSON string with its quotes. Broken UTF-8 is replaced.
pub fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if std::str::from_utf8(text).is_ok() {
        json_escaped(out, text);
    } else {
        for chunk in text.utf8_chunks() {
            json_escaped(out, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice(REPLACEMENT);
            }
        }
    }
    out.push(b'"');
}

fn json_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    copy_except(out, text, special, |out, byte| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), hex(byte & 15)]),
    });
}

/// Copies `text`, handing each special byte to `escape`. Most blocks hold none, which is found out without a
/// branch per byte.
fn copy_except(
    out: &mut Vec<u8>,
    text: &[u8],
    special: impl Fn(u8) -> bool,
    escape: impl Fn(&mut Vec<u8>, u8),
) {
    const BLOCK: usize = 64;
    for block in text.chunks(BLOCK) {
        if !block.iter().fold(false, |any, byte| any | special(*byte)) {
            out.extend_from_slice(block);
            continue;
        }
        for byte in block {
            if special(*byte) { escape(out, *byte) } else { out.push(*byte) }
        }
    }
}

fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// A header field of RFC 5424: printable ASCII without space, at most `max` bytes, `-` when nothing is left.
/// What is not allowed becomes `_`, so that two names that differ there stay recognisable.
pub fn header_field(text: &str, max: usize) -> Vec<u8> {
    let clean: Vec<u8> =
        text.chars().map(|c| if c.is_ascii_graphic() { c as u8 } else { b'_' }).take(max).collect();
    if clean.is_empty() { b"-".to_vec() } else { clean }
}

/// The value of a structured-data parameter without its quotes: `"`, `\` and `]` are escaped, control
/// characters become spaces (RFC 5424 §6.3.3 allows them, line-based receivers do not survive them).
pub fn param_value(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b']' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => out.push(b' '),
            _ => out.push(byte),
        }
    }
}
