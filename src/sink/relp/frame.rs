//! Frames of RELP as its specification (`relp.md` of librelp) has them: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.
//! Pure, and bounded before a byte of data is waited for.

use std::io;

use crate::limits::MAX_RELP_ANSWER_BYTES;

/// Transaction numbers run from 1 to this, then from 1 again; 0 is for hints, which nobody answers.
const LAST_NUMBER: u32 = 999_999_999;
const MAX_DIGITS: usize = 9;
const MAX_COMMAND: usize = 32;
/// Two numbers, a command and the spaces between them.
const MAX_HEADER: usize = 2 * MAX_DIGITS + MAX_COMMAND + 3;

/// One frame at the start of what was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub txnr: u32,
    pub command: &'a [u8],
    pub data: &'a [u8],
    /// Bytes it takes, its line feed included.
    pub len: usize,
}

/// The transaction number after `txnr`.
pub fn after(txnr: u32) -> u32 {
    if txnr >= LAST_NUMBER { 1 } else { txnr + 1 }
}

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, txnr: u32, command: &str, data: &[u8]) {
    out.extend_from_slice(format!("{txnr} {command} {}", data.len()).as_bytes());
    if !data.is_empty() {
        out.push(b' ');
        out.extend_from_slice(data);
    }
    out.push(b'\n');
}

/// The first frame of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// `InvalidData`: these bytes begin no frame, or one larger than any answer has a reason to be.
pub fn read(bytes: &[u8]) -> io::Result<Option<Frame<'_>>> {
    let Some((txnr, rest)) = field(bytes, b' ')? else { return Ok(None) };
    let Some((command, rest)) = field(rest, b' ')? else { return Ok(None) };
    if command.is_empty() || command.len() > MAX_COMMAND || !command.iter().all(u8::is_ascii_alphabetic) {
        return Err(no_frame("a command that is none"));
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (length, rest) = rest.split_at_checked(digits).unwrap_or((rest, &[]));
    if length.len() > MAX_DIGITS {
        return Err(no_frame("a length that is none"));
    }
    let Some(separator) = rest.first() else { return Ok(None) };
    let (txnr, length) = (number(txnr)?, number(length)? as usize);
    if length > MAX_RELP_ANSWER_BYTES {
        return Err(no_frame("an answer larger than any answer has a reason to be"));
    }
    // Some write the space even where no data follows it.
    let data = match (separator, rest.get(1)) {
        (b'\n', _) if length == 0 => rest.get(..0),
        (b' ', None) => None,
        (b' ', Some(b'\n')) if length == 0 => rest.get(1..1),
        (b' ', Some(_)) if length > 0 => rest.get(1..1 + length),
        _ => return Err(no_frame("a header that does not end")),
    };
    let Some(data) = data else { return Ok(None) };
    let spaces = usize::from(*separator == b' ');
    let Some(end) = rest.get(spaces + length) else { return Ok(None) };
    if *end != b'\n' {
        return Err(no_frame("data of another length than announced"));
    }
    let len = bytes.len() - rest.len() + spaces + length + 1;
    Ok(Some(Frame { txnr, command, data, len }))
}

/// What stands before `end`, and what after it; `None` when it has not come yet.
fn field(bytes: &[u8], end: u8) -> io::Result<Option<(&[u8], &[u8])>> {
    match bytes.iter().take(MAX_HEADER).position(|byte| *byte == end) {
        Some(at) => Ok(bytes.split_at_checked(at).map(|(field, rest)| (field, rest.get(1..).unwrap_or(&[])))),
        None if bytes.len() >= MAX_HEADER => Err(no_frame("a header without end")),
        None => Ok(None),
    }
}

fn number(digits: &[u8]) -> io::Result<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() <= MAX_DIGITS);
    let plain = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    plain.and_then(|text| text.parse().ok()).ok_or_else(|| no_frame("a number that is none"))
}

fn no_frame(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not RELP: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_as_receivers_write_them() {
        let frame = |text: &'static str| read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(
            frame("2 rsp 6 200 OK\n3 rsp"),
            Frame { txnr: 2, command: b"rsp", data: b"200 OK", len: 15 }
        );
        for empty in ["0 serverclose 0\n", "0 serverclose 0 \n"] {
            let close = frame(empty);
            assert_eq!((close.txnr, close.command, close.data), (0, &b"serverclose"[..], &b""[..]));
            assert_eq!(close.len, empty.len());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_waited_for() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "x rsp 6 200 OK\n",
            "-1 rsp 6 200 OK\n",
            "1234567890 rsp 6 200 OK\n",
            "1 r$p 6 200 OK\n",
            "1  6 200 OK\n",
            "1 rsp 999999999 ",
            "1 rsp 1234567890",
            "1 rsp 5 200 OK\n",
            "1 rsp 7 200 OK\n2",
            "1 rsp x\n",
            "1 rsp 6\n",
            "1 rsp 6x",
            "1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "                                                                              ",
        ] {
            assert_eq!(
                read(text.as_bytes()).map_err(|e| e.kind()),
                Err(io::ErrorKind::InvalidData),
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_begin_again_after_the_last() {
        assert_eq!((after(1), after(999_999_998), after(999_999_999)), (2, 999_999_999, 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_every_beginning_of_it_waits(
            txnr in 0_u32..=LAST_NUMBER, command in "[a-zA-Z]{1,32}",
            data in proptest::collection::vec(any::<u8>(), 0..200), next in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut wire = Vec::new();
            write(&mut wire, txnr, &command, &data);
            let len = wire.len();
            for cut in 0..len {
                prop_assert_eq!(read(&wire[..cut]).unwrap(), None, "{} of {}", cut, len);
            }
            wire.extend_from_slice(&next);
            prop_assert_eq!(read(&wire).unwrap(), Some(Frame { txnr, command: command.as_bytes(), data: &data, len }));
        }

        #[test]
        fn nothing_a_peer_sends_is_a_panic(bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(), Just(b' '), Just(b'\n'), b'0'..=b'9'], 0..80)) {
            if let Ok(Some(frame)) = read(&bytes) {
                prop_assert!(frame.len <= bytes.len());
            }
        }
    }
}
