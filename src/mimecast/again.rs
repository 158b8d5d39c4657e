//! Records that could not be read when they came, read once more: by a later version of this program, which knows
//! more.

use super::feed::{Feed, Records};
use super::log_file::Gathering;
use super::mta::row_of;
use crate::chunk::Chunk;

/// What has become of pieces of input.
#[derive(Debug)]
pub struct Again {
    /// The records that can be read now, in the order of `read`; their ids are for the store to give.
    pub chunk: Option<Chunk>,
    /// Places of the pieces that they are.
    pub read: Vec<usize>,
    /// What is wrong with the others, for people; one entry a piece, but for those beyond what one file may report.
    pub unread: Vec<String>,
}

/// Reads pieces of one file, or of pages of one function, each of which is one record. All of them are JSON texts or
/// none is. `file` tells the type of a record of API 1.0's mail log; `source` is for people.
pub fn read(feed: &'static Feed, tenant: &str, (source, file): (&str, &str), pieces: &[Vec<u8>]) -> Again {
    let row = if feed.records == Records::Files { row_of(file) } else { feed };
    let mut out = Gathering::new(feed, tenant, source);
    let read =
        |(place, piece): (usize, &Vec<u8>)| out.add_alone(row, piece, place as u64 + 1).then_some(place);
    let read = pieces.iter().enumerate().filter_map(read).collect();
    let (chunks, unreadable) = out.finish();
    let unread = unreadable.into_iter().map(|item| format!("{}: {}", item.reason, item.detail)).collect();
    Again { chunk: chunks.into_iter().next(), read, unread }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mimecast::catalogue::find;

    #[test]
    fn what_is_a_record_now_is_told_from_what_is_none() {
        let pieces =
            [b"{\"eventType\":\"audit\"".to_vec(), b"{\"eventTime\":\"2026-01-01T09:30:00Z\"}".to_vec()];
        let again = read(find("audit").unwrap(), "acme", ("/api/audit", ""), &pieces);
        assert_eq!(again.read, [1]);
        assert_eq!(again.unread.len(), 1, "{:?}", again.unread);
        assert!(again.unread[0].starts_with("not_json"), "{:?}", again.unread);
        let chunk = again.chunk.unwrap();
        assert_eq!(chunk.event(0, "acme", "audit", 0).unwrap().raw, pieces[1]);
        assert_eq!(chunk.source, "/api/audit");
    }

    #[test]
    fn a_line_of_the_mail_log_has_the_type_of_its_file() {
        let pieces = [b"datetime=2026-01-01T09:30:00+0000|aCode=x".to_vec()];
        let again = read(find("siem.mta").unwrap(), "acme", ("logs.zip", "receipt_1.siem"), &pieces);
        let chunk = again.chunk.unwrap();
        assert!(!chunk.json);
        assert_eq!(chunk.event(0, "acme", "siem.mta", 0).unwrap().kind, "receipt");
    }
}
