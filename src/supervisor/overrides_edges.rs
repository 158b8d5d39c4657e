//! The edges of what an operator may change: each row's floor, and whose word is followed.

use super::*;
use crate::supervisor::policy::by_id;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
fn table(status: u16, code: &str, action: Option<Action>) -> Override {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Override { status, code, pause: Some(secs(3_600)), action, allow_harmful: true }
}
fn said(status: u16, code: &str, attributed: bool) -> Fault {
    let mut fault = Fault::new(Origin::Api, Kind::Status(status), "");
    (fault.code, fault.attributed) = (Code::new(code), attributed);
    fault
}

#[test]
fn a_span_is_written_in_its_largest_whole_unit() {
    for (span, text) in [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (90, "90s"),
        (900, "15m"),
        (3_599, "3599s"),
        (3_600, "1h"),
        (5_400, "90m"),
        (7_200, "2h"),
    ] {
        assert_eq!(humantime_of(secs(span)), text);
    }
}

#[test]
fn each_kind_of_row_has_its_shortest_pause() {
    for (id, harmful, least) in [
        ("D01", true, Some(60)),    // waits as long as the service says
        ("H09", false, Some(300)),  // a halt that is probed: at most every cycle
        ("H01", true, Some(3_600)), // the same where an attempt does harm: as the row says
        ("X04", true, Some(900)),
        ("M08", false, Some(900)), // a halt without a probe
        ("M11", true, None),       // the same where an attempt does harm
        ("M10", true, Some(900)),
        ("M34", true, Some(900)),
        ("M25", false, Some(300)),
        ("M29", false, Some(300)),
        ("M30", false, None),
    ] {
        let rule = by_id(id).unwrap();
        assert_eq!((rule.harmful, floor(rule)), (harmful, least.map(secs)), "{id}");
    }
}

#[test]
fn allow_harmful_gives_a_pause_only_to_a_row_that_does_harm() {
    for (status, code, key) in [(400, "", Some("pause")), (403, "0009", None), (302, "", None)] {
        let change = table(status, code, None);
        assert_eq!(change.check(true).err().map(|refusal| refusal.key), key, "{status}/{code}");
    }
}

/// A rule for a code is Mimecast's own words' alone, and never for a code that the table knows.
#[test]
fn an_action_is_for_codes_of_mimecast_that_the_table_does_not_name() {
    for (action, given) in [(Action::Pause, "C02"), (Action::Halt, "C04")] {
        let all = Overrides::new(vec![
            table(401, "odd", Some(action)),
            table(401, "0010", Some(action)),
            table(401, "", Some(action)),
        ]);
        for (code, attributed, rule) in [
            ("odd", true, given),
            ("odd", false, "X09"),
            ("0010", true, "M10"),
            ("", true, "M36"),
            ("", false, "X09"),
        ] {
            assert_eq!(all.judge(&said(401, code, attributed)).id, rule, "{action:?} {code} {attributed}");
        }
    }
}
