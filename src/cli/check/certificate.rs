//! Who signed a certificate, and until when it is good: read from its DER (RFC 5280 §4.1), for people only. What
//! is trusted is decided elsewhere. Total: what cannot be read is not shown.

use crate::clock::Time;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const OBJECT_ID: u8 = 0x06;
/// The attributes `organizationName` and `commonName` (2.5.4.10 and 2.5.4.3).
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// What people want to know of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common name and organization of the authority, fit for a terminal.
    pub issuer: String,
    pub until: Time,
}

impl Certificate {
    /// `None` when `der` is no certificate.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Der(of(SEQUENCE, der)?);
        let mut body = Der(of_next(SEQUENCE, &mut outer)?);
        let (tag, _) = body.next()?;
        if tag == VERSION {
            body.next()?; // the serial number; without a version, it was what has just been read
        }
        body.next()?; // the algorithm
        let issuer = name(of_next(SEQUENCE, &mut body)?);
        let mut validity = Der(of_next(SEQUENCE, &mut body)?);
        validity.next()?;
        let (tag, text) = validity.next()?;
        Some(Certificate { issuer, until: time(tag, text)? })
    }
}

/// Values one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(first & 0x7F)).filter(|(b, _)| b.len() <= 4)?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }
}

fn of(tag: u8, der: &[u8]) -> Option<&[u8]> {
    of_next(tag, &mut Der(der))
}

fn of_next<'a>(tag: u8, der: &mut Der<'a>) -> Option<&'a [u8]> {
    der.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
}

fn name(sets: &[u8]) -> String {
    let (mut common, mut organization) = (None, None);
    let mut sets = Der(sets);
    while let Some(set) = of_next(SET, &mut sets) {
        let Some(mut pair) = of(SEQUENCE, set).map(Der) else { continue };
        let (Some(id), Some((_, text))) = (of_next(OBJECT_ID, &mut pair), pair.next()) else { continue };
        let text: String =
            String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(64).collect();
        match id {
            COMMON_NAME => common = Some(text),
            ORGANIZATION => organization = Some(text),
            _ => {}
        }
    }
    match (common, organization) {
        (Some(common), Some(organization)) => format!("{common} ({organization})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "somebody without a name".to_owned(),
    }
}

/// `YYMMDDhhmmssZ` of 1950–2049, or with four digits of the year.
fn time(tag: u8, text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let stamp = format!("{year}-{month}-{day}T{}:{}:{}Z", part(8, 10)?, part(10, 12)?, part(12, 14)?);
    stamp.parse::<jiff::Timestamp>().ok().map(|at| Time(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(common: &str) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["siem.example.com".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn issuer_and_end_of_a_real_one() {
        let read = Certificate::read(&made("Acme Root\n\u{1b}[2J")).unwrap();
        assert_eq!(read.issuer, "Acme Root[2J (Example)", "nothing that moves a terminal's cursor");
        assert_eq!(read.until.rfc3339(), "2031-02-03T00:00:00.000Z");
    }

    #[test]
    fn cut_anywhere_it_is_none_or_the_same() {
        let whole = made("Acme Root");
        let read = Certificate::read(&whole);
        for end in 0..whole.len() {
            let cut = Certificate::read(&whole[..end]);
            assert!(cut.is_none() || cut == read, "{end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Certificate::read(&bytes);
        }
    }
}
