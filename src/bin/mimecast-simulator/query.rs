//! Forms, query strings and the opaque tokens of the pages.

use sha2::{Digest, Sha256};

/// `a=1&b=two+words%21`, decoded; parts that are not UTF-8 are left out.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The first value of a name.
pub fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// A token as a query takes it.
pub fn escape(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let code = digit(bytes.next())? * 16 + digit(bytes.next())?;
                out.push(u8::try_from(code).ok()?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Lower-case hex of the first `bytes` bytes of SHA-256 over `text`, keyed by the seed.
pub fn signature(seed: u64, text: &str, bytes: usize) -> String {
    let hash = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(text).finalize();
    hash.iter().take(bytes).map(|b| format!("{b:02x}")).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Wraps text into a page token: standard base64 with padding (so that clients have to escape it) over the
/// text and a check sum that only this simulator can make.
pub fn seal(seed: u64, text: &str) -> String {
    let sealed = format!("{}?{text}~", signature(seed, text, 6));
    let mut out = String::new();
    for chunk in sealed.as_bytes().chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'A');
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// The text of a token, if this simulator (or one with the same seed) made it.
pub fn unseal(seed: u64, token: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in token.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|&a| a == letter)?;
        bits = (bits << 6 | u32::try_from(value).ok()?) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    let sealed = String::from_utf8(bytes).ok()?;
    let (check, text) = sealed.strip_suffix('~')?.split_once('?')?;
    (check == signature(seed, text, 6)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let form = pairs("client_id=a%2Bb&type=url+protect&x=%C3%BC&bad=%zz&flag&=e");
        assert_eq!(value(&form, "client_id"), Some("a+b"));
        assert_eq!(value(&form, "type"), Some("url protect"));
        assert_eq!(value(&form, "x"), Some("ü"));
        assert_eq!(value(&form, "bad"), None);
        assert_eq!(value(&form, "flag"), Some(""));
    }

    #[test]
    fn a_seal_opens_with_its_seed_only() {
        for text in ["", "a", "ab", "abc", "cg|receipt|17", "ü|…"] {
            let token = seal(5, text);
            assert_eq!(token.len() % 4, 0);
            assert_eq!(unseal(5, &token).as_deref(), Some(text));
            assert_eq!(unseal(6, &token), None);
            assert_eq!(unseal(5, token.get(1..).unwrap()), None);
        }
        for token in ["", "====", "NDU1NA==", "not base64!", "ü"] {
            assert_eq!(unseal(5, token), None);
        }
        let any = (0..200).map(|n| seal(5, &n.to_string())).collect::<String>();
        assert!(any.contains('='), "tokens have to need escaping");
    }
}
