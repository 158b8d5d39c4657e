//! Answers as they come: own samples, and one test per quirk of the API notes §0.

use super::catalogue::find;
use super::feed::Feed;
use super::page::{Leads, Listing, Page, RecordPage, read};
use super::position::Position;
use crate::clock::Time;
use crate::cursor::Cursor;
use crate::event::{EventId, Severity};
use crate::fault::{Fault, Kind, Origin};

const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z

fn feed(name: &str) -> &'static Feed {
    find(name).unwrap()
}

fn at(token: Option<&str>) -> Position {
    let token = token.map_or(String::new(), |token| format!(r#","token":"{token}""#));
    let text = format!(r#"{{"v":1,"batch":{{"since":"2025-12-31"{token}}}}}"#);
    Position::open(feed("siem.receipt"), &Cursor(text), NOW, std::time::Duration::ZERO).unwrap()
}

fn listing_at(position: &Position, body: &str) -> Result<Listing, Fault> {
    match read(feed("siem.receipt"), "acme", position, body.as_bytes(), NOW)? {
        Page::Files(listing) => Ok(listing),
        other => panic!("{other:?}"),
    }
}

fn listing(token: Option<&str>, body: &str) -> Result<Listing, Fault> {
    listing_at(&at(token), body)
}

fn reading(name: &str, page: Option<&str>) -> Position {
    let page = page.map_or("null".to_owned(), |page| serde_json::to_string(page).unwrap());
    let text = format!(r#"{{"v":1,"window":{{"high":5,"pass":3,"reading":[10,20,{page}]}}}}"#);
    Position::open(feed(name), &Cursor(text), NOW, std::time::Duration::ZERO).unwrap()
}

fn records_at(name: &str, position: &Position, body: &[u8]) -> Result<RecordPage, Fault> {
    match read(feed(name), "acme", position, body, NOW)? {
        Page::Records(page) => Ok(page),
        other => panic!("{other:?}"),
    }
}

fn records(name: &str, body: &str) -> Result<RecordPage, Fault> {
    records_at(name, &reading(name, None), body.as_bytes())
}

fn forward(leads: &Leads) -> &str {
    match leads {
        Leads::Forward(cursor) => &cursor.0,
        other => panic!("{other:?}"),
    }
}

const NEXT_WINDOW: &str = r#"{"v":1,"window":{"high":20,"pass":4}}"#;

// --- listings ---------------------------------------------------------------------------------------------

#[test]
fn sample_listing_is_read() {
    let page = listing(None, include_str!("../../tests/fixtures/mimecast/v2-batch-listing.json")).unwrap();
    let [file] = page.files.as_slice() else { panic!("{page:?}") };
    assert_eq!(file.name, "bucket.s3.eu-west-1.amazonaws.com/cg/receipt/2026-01-01/part-0001.json.gz");
    assert!(file.url.expose().ends_with("X-Amz-Signature=00ff"));
    assert_eq!((file.size, file.expiry), (Some(489), Some(Time(1_767_260_700_000))));
    assert!(!format!("{page:?}").contains("00ff"), "a signature is a secret");
}

#[test]
fn fact_8_token_is_kept_when_caught_up_and_may_come_back_unchanged() {
    let body = include_str!("../../tests/fixtures/mimecast/v2-batch-listing-empty.json");
    let first = listing(None, body).unwrap();
    assert!(first.files.is_empty() && first.caught_up);
    assert!(forward(&first.leads).contains(r#""token":"NTI6bnVsbA==""#));
    let again = listing(Some("NTI6bnVsbA=="), body).unwrap();
    assert_eq!((again.leads, again.caught_up), (Leads::Same, true));
}

#[test]
fn fact_9_caught_up_with_files_gives_the_files_first() {
    let body = r#"{"value":[{"url":"https://a.mimecast.com/1"}],"@nextPage":"n","isCaughtUp":true}"#;
    let page = listing(Some("o"), body).unwrap();
    assert_eq!((page.files.len(), page.caught_up), (1, true));
    assert!(forward(&page.leads).contains(r#""token":"n""#));
}

#[test]
fn missing_token_keeps_the_old_one() {
    for next in ["", r#","@nextPage":null"#, r#","@nextPage":"""#] {
        let page = listing(Some("old"), &format!(r#"{{"value":[{{"url":"https://x/1"}}]{next}}}"#)).unwrap();
        assert_eq!((page.leads, page.caught_up, page.files.len()), (Leads::Missing, true, 1), "{next}");
        assert!(page.position.cursor().0.contains(r#""token":"old""#));
    }
}

#[test]
fn fact_10_the_same_file_twice_in_a_page_is_fetched_once() {
    let body = r#"{"value":[{"url":"https://x/1?s=1"},{"url":"https://x/1?s=2"},{"url":"https://x/2"}],"@nextPage":"n"}"#;
    let page = listing(None, body).unwrap();
    assert_eq!(page.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["x/1", "x/2"]);
}

#[test]
fn files_already_read_are_left_out_and_known_one_listing_longer() {
    let body = r#"{"value":[{"url":"https://x/1?s=1"},{"url":"https://x/2?s=1"}],"@nextPage":"n"}"#;
    let page = listing(None, body).unwrap();
    let one = page.position.with_done(page.files[0].mark());
    let relisted = listing_at(&one, &body.replace("s=1", "s=9")).unwrap();
    assert_eq!(relisted.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["x/2"]);
    assert_eq!(relisted.position, one);
    // @nextPage may point at the very files it came with: they are not read a second time
    let behind = Position::open(
        find("siem.av").unwrap(),
        &Cursor(forward(&relisted.leads).to_owned()),
        NOW,
        std::time::Duration::ZERO,
    )
    .unwrap();
    assert!(page.files.iter().all(|file| behind.is_done(file.mark())));
    let grown = listing_at(&one, r#"{"value":[{"url":"https://x/3"}]}"#).unwrap();
    assert_eq!(grown.position, at(None), "a file the listing no longer shows need not be remembered");
}

/// A file of the same name that has grown is another one; without sizes there is nothing to tell by.
#[test]
fn a_file_that_has_another_size_is_read_again() {
    let body = r#"{"value":[{"url":"https://x/1?s=1","size":10}],"@nextPage":"n"}"#;
    let page = listing(None, body).unwrap();
    let read = page.position.with_done(page.files[0].mark());
    assert!(listing_at(&read, body).unwrap().files.is_empty());
    let grown = listing_at(&read, &body.replace("10", "20")).unwrap();
    assert_eq!(grown.files.len(), 1);
    assert_eq!(grown.files[0].key, page.files[0].key);
}

#[test]
fn an_empty_page_with_a_new_token_goes_on_unless_it_says_caught_up() {
    let page = |said: &str| listing(Some("o"), &format!(r#"{{"value":[],"@nextPage":"n"{said}}}"#)).unwrap();
    assert!(!page(r#","isCaughtUp":false"#).caught_up);
    assert!(page(r#","isCaughtUp":true"#).caught_up);
    assert!(page(r#","isCaughtUp":"true""#).caught_up);
    assert!(page("").caught_up);
    let full = listing(Some("o"), r#"{"value":[{"url":"https://x/1"}],"@nextPage":"n"}"#).unwrap();
    assert!(!full.caught_up);
}

/// An integration's stop rule has the list missing at the end; only an answer that says so is believed.
#[test]
fn a_listing_that_says_that_nothing_is_left_may_leave_the_list_out() {
    for body in [r#"{"@nextPage":"n","isCaughtUp":true}"#, r#"{"value":null,"isCaughtUp":"true"}"#] {
        let listing = listing(Some("t"), body).unwrap();
        assert!(listing.caught_up && listing.files.is_empty(), "{body}");
    }
}

#[test]
fn x10_a_listing_without_its_list_is_a_fault_and_not_empty() {
    let long = format!(r#"{{"value":[],"@nextPage":"{}"}}"#, "x".repeat(9000));
    let link = format!(r#"{{"value":[{{"url":"https://x/{}"}}]}}"#, "x".repeat(9000));
    for body in [
        "{}",
        r#"{"@nextPage":"n"}"#,
        r#"{"value":null,"isCaughtUp":false}"#,
        r#"{"value":{},"isCaughtUp":true}"#,
        r#"{"value":[{}]}"#,
        r#"{"value":["https://x"]}"#,
        r#"{"value":[{"url":""}]}"#,
        r#"{"value":[{"url":"https://x"}]"#,
        "[]",
        "\"text\"",
        "",
        "  \n",
        "This is not JSON",
        &long,
        &link,
    ] {
        let fault = listing(Some("t"), body).unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Api, Kind::Malformed), "{body}");
    }
}

#[test]
fn x08_a_web_page_is_not_an_answer() {
    for body in ["<html><body>Log in</body></html>", "\r\n <!DOCTYPE html>"] {
        assert_eq!(listing(None, body).unwrap_err().kind, Kind::Html);
        assert_eq!(records("audit", body).unwrap_err().kind, Kind::Html);
    }
}

// --- records ----------------------------------------------------------------------------------------------

#[test]
fn evidence_is_each_record_s_own_text() {
    let body = r#"{"meta":{"status":200},"data":[{"id":"1",  "x":[1, 2 ]},
        {"id":"2","eventTime":"2026-01-01T08:00:03+0000","t":"\u00fc"}],"fail":[]}"#;
    let page = records("audit", body).unwrap();
    let chunk = page.chunk.unwrap();
    let event = chunk.event(0, "acme", "audit", 0).unwrap();
    assert_eq!(event.raw, br#"{"id":"1",  "x":[1, 2 ]}"#);
    assert_eq!(event.id, EventId::of("acme", "audit", event.raw, 0));
    let event = chunk.event(1, "acme", "audit", 0).unwrap();
    assert_eq!(event.raw, br#"{"id":"2","eventTime":"2026-01-01T08:00:03+0000","t":"\u00fc"}"#);
    assert_eq!((event.time, event.kind), (Some(1_767_254_403_000), "audit"));
    assert_eq!((page.listed, page.newest), (2, Some(Time(1_767_254_403_000))));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&chunk.gzip[..]), &mut unpacked)
        .unwrap();
    assert_eq!(unpacked, chunk.raw);
}

#[test]
fn samples_of_both_window_feeds_are_read() {
    let audit = records("audit", include_str!("../../tests/fixtures/mimecast/api-audit-page.json")).unwrap();
    assert_eq!((audit.listed, audit.caught_up, forward(&audit.leads)), (1, true, NEXT_WINDOW));
    let clicks =
        records("ttp.url", include_str!("../../tests/fixtures/mimecast/api-ttp-url-page.json")).unwrap();
    let chunk = clicks.chunk.unwrap();
    let event = chunk.event(0, "acme", "ttp.url", 0).unwrap();
    assert_eq!(
        (event.severity, event.time, event.kind),
        (Severity::Warning, Some(1_767_256_500_000), "ttp.url")
    );
    assert_eq!(chunk.source, "/api/ttp/url/get-logs");
    assert!(!clicks.caught_up && forward(&clicks.leads).contains("eNoExamplePageToken-_01"));
}

#[test]
fn fact_2_a_200_is_asked_for_failure_before_it_is_believed() {
    let fault =
        records("audit", include_str!("../../tests/fixtures/mimecast/v2-200-with-fail.json")).unwrap_err();
    assert_eq!(
        (fault.origin, fault.code_str(), fault.attributed),
        (Origin::Api, "err_validation_null", true)
    );
    let status_only = r#"{"meta":{"status":403},"data":[],"fail":[]}"#;
    assert_eq!(records("audit", status_only).unwrap_err().status(), Some(403));
    let on_a_listing = r#"{"fail":[{"code":"token_expired","message":"x"}],"value":[]}"#;
    assert_eq!(listing(None, on_a_listing).unwrap_err().code_str(), "token_expired");
    let mut broken_text = b"{\"data\":[],\"x\":\"\xff\",\"fail\":[{\"code\":\"app_forbidden\"}]}".to_vec();
    assert!(records_at("audit", &reading("audit", None), &broken_text).is_err());
    broken_text.truncate(3);
    assert!(records_at("audit", &reading("audit", None), &broken_text).is_err());
}

#[test]
fn fact_3_empty_data_is_legal_and_ends_the_window_even_with_a_next() {
    let sample = include_str!("../../tests/fixtures/mimecast/api-empty-data.json");
    for (name, body) in [
        ("audit", sample),
        ("ttp.url", sample),
        ("ttp.url", r#"{"data":[{"clickLogs":[]}],"meta":{"pagination":{"next":"n"}}}"#),
        ("audit", r#"{"data":[]}"#),
    ] {
        let page = records(name, body).unwrap();
        assert!(page.chunk.is_none() && page.caught_up && page.listed == 0, "{body}");
        assert_eq!(forward(&page.leads), NEXT_WINDOW, "{body}");
    }
}

#[test]
fn fact_3_next_on_the_last_page_leads_to_one_more_empty_page_and_no_further() {
    let body = r#"{"data":[{"id":"1"}],"meta":{"pagination":{"next":"n"}}}"#;
    let page = records("audit", body).unwrap();
    assert!(!page.caught_up);
    assert_eq!(forward(&page.leads), r#"{"v":1,"window":{"high":5,"pass":3,"reading":[10,20,"\"n\""]}}"#);
    let behind = records_at("audit", &reading("audit", Some("\"n\"")), br#"{"data":[]}"#).unwrap();
    assert!(behind.caught_up && forward(&behind.leads) == NEXT_WINDOW);
}

#[test]
fn x11_records_that_lead_to_themselves_do_not_end_the_window() {
    let body = br#"{"data":[{"id":"1"}],"meta":{"pagination":{"next":"n"}}}"#;
    let Page::Partial(page, fault) =
        read(feed("audit"), "acme", &reading("audit", Some("\"n\"")), body, NOW).unwrap()
    else {
        panic!("what follows them is not read")
    };
    assert_eq!((fault.kind, page.listed, page.caught_up), (Kind::NoProgress, 1, false));
    assert_eq!(forward(&page.leads), r#"{"v":1,"window":{"high":5,"pass":4}}"#, "not past the window");
}

#[test]
fn x11_a_token_that_stays_is_the_end_unless_there_are_files_and_more_of_them() {
    let page = |files: &str, said: &str| {
        let body = format!(r#"{{"value":[{files}],"@nextPage":"o","isCaughtUp":{said}}}"#);
        let page = listing(Some("o"), &body).unwrap();
        (page.leads, page.caught_up)
    };
    let file = r#"{"url":"https://x/1"}"#;
    assert_eq!(page(file, "false"), (Leads::Same, false));
    for (files, said) in [(file, "true"), (file, "null"), ("", "false"), ("", "true")] {
        assert_eq!(page(files, said), (Leads::Same, true), "{files} {said}");
    }
}

#[test]
fn next_comes_as_text_or_as_object() {
    let page = |next: &str| {
        let body = format!(r#"{{"data":[{{"id":"1"}}],"meta":{{"pagination":{{"next":{next}}}}}}}"#);
        let leads = records("audit", &body).unwrap().leads;
        serde_json::from_str::<serde_json::Value>(forward(&leads)).unwrap()["window"]["reading"][2].clone()
    };
    assert_eq!(page(r#""a\"b""#), r#""a\"b""#);
    assert_eq!(page(r#"{ "pageToken": "t", "x": 1 }"#), "\"t\"");
    assert_eq!(page(r#"{"cursor": 7}"#), r#"{"cursor":7}"#);
    for nothing in ["null", "\"\"", "{}", "false"] {
        assert_eq!(page(nothing), serde_json::Value::Null, "{nothing}");
    }
}

#[test]
fn x10_a_page_without_its_list_is_a_fault_and_not_empty() {
    for (name, body) in [
        ("audit", "{}"),
        ("audit", r#"{"data":null}"#),
        ("audit", r#"{"data":{}}"#),
        ("audit", r#"{"meta":{"status":200},"fail":[]}"#),
        ("ttp.url", r#"{"data":[{}]}"#),
        ("ttp.url", r#"{"data":[{"clickLogs":null}]}"#),
        ("ttp.url", r#"{"data":[{"attachmentLogs":[]}]}"#),
        ("ttp.url", r#"{"data":["x"]}"#),
        ("audit", r#"{"data":[{"id":"1"}"#),
        ("audit", ""),
    ] {
        let fault = records(name, body).unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Api, Kind::Malformed), "{body}");
    }
}

#[test]
fn a_bad_record_is_set_aside_and_the_others_stay() {
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let body = format!(r#"{{"data":["text",{{"id":"1"}},{{"a":{deep}}},7]}}"#);
    let page = records("audit", &body).unwrap();
    assert_eq!((page.chunk.unwrap().records.len(), page.listed), (1, 4));
    let found: Vec<_> = page.unreadable.iter().map(|item| (item.line, item.reason)).collect();
    assert_eq!(found, [(1, "not_an_object"), (3, "too_deep"), (4, "not_an_object")]);
    assert_eq!((page.unreadable[0].bytes.as_slice(), page.unreadable[0].len), (&b"\"text\""[..], 6));
}

#[test]
fn x15_bytes_that_are_not_utf8_stay_in_the_evidence() {
    let body =
        b"{\"data\":[{\"id\":\"\xff\xfe\"},{\"id\":\"2\"}],\"meta\":{\"pagination\":{\"next\":\"n\"}}}";
    let page = records_at("audit", &reading("audit", None), body).unwrap();
    let chunk = page.chunk.unwrap();
    let event = chunk.event(0, "acme", "audit", 0).unwrap();
    assert_eq!((event.raw, event.repaired), (&b"{\"id\":\"\xff\xfe\"}"[..], true));
    assert_eq!(event.id, EventId::of("acme", "audit", event.raw, 0));
    let event = chunk.event(1, "acme", "audit", 0).unwrap();
    assert_eq!((event.raw, event.repaired), (&b"{\"id\":\"2\"}"[..], false));
}

#[test]
fn equal_records_of_a_window_are_all_kept_for_the_store_to_number() {
    let page =
        records("ttp.url", r#"{"data":[{"clickLogs":[{"a":1},{"a":1}]},{"clickLogs":[{"a":2}]}]}"#).unwrap();
    let ids: Vec<_> = page.chunk.unwrap().records.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[1]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = read(feed("siem.av"), "acme", &at(None), &body, NOW);
        let _ = read(feed("ttp.url"), "acme", &reading("ttp.url", None), &body, NOW);
    }

    #[test]
    fn any_damage_to_a_page_is_read_or_refused(place in 0_usize..900, byte in proptest::prelude::any::<u8>()) {
        for (name, sample) in [
            ("audit", &include_bytes!("../../tests/fixtures/mimecast/api-audit-page.json")[..]),
            ("ttp.url", &include_bytes!("../../tests/fixtures/mimecast/api-ttp-url-page.json")[..]),
        ] {
            let mut body = sample.to_vec();
            let place = place % body.len();
            body[place] = byte;
            if let Ok(Page::Records(RecordPage { chunk: Some(chunk), .. })) =
                read(feed(name), "acme", &reading(name, None), &body, NOW)
            {
                for n in 0..chunk.records.len() {
                    let raw = chunk.event(n, "acme", name, 0).unwrap().raw;
                    proptest::prop_assert!(memchr::memmem::find(&body, raw).is_some(), "evidence is a part of the body");
                }
            }
        }
    }
}
