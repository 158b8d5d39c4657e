//! The forms on sample alerts, and on words that an attacker chose.

use std::time::Duration;

use proptest::prelude::*;

use super::super::message::Cost;
use super::*;
use crate::supervisor::alert::Key;
use crate::telemetry::label::Grade;

const NOW: Time = Time(1_767_260_000_000);

fn message(told: Told, words: &str) -> Message {
    let over = (told == Told::Cleared).then(|| NOW.minus(Duration::from_secs(60)));
    Message {
        told,
        key: Key { tenant: "acme".into(), scope: "acme/audit".into(), alert: "M14".into() },
        title: "forbidden_operation".into(),
        severity: Grade::Error,
        words: words.into(),
        remedy: "Add the permission.".into(),
        clears: "one probe that succeeds, or `resume`".into(),
        since: NOW.minus(Duration::from_secs(3_660)),
        at: NOW,
        over,
        cost: over.map(|_| Cost { events_waited: 12, gaps: 1, gap_seconds: 90 }),
    }
}

fn body(form: Form, messages: &[Message]) -> Value {
    serde_json::from_slice(&form.body(messages, "mail1", NOW)).unwrap()
}

#[test]
fn the_document_says_everything() {
    let said =
        body(Form::Json, &[message(Told::Raised, "api answered 403/0002"), message(Told::Cleared, "x")]);
    assert_eq!(said["version"], 1);
    assert_eq!(said["collector"]["host"], "mail1");
    let [raised, cleared] = &said["alerts"].as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!(
        (&raised["state"], &raised["feed"], &raised["sink"]),
        (&"raised".into(), &"audit".into(), &Value::Null)
    );
    assert_eq!(raised["lasted_seconds"], Value::Null);
    assert_eq!(raised["incident"], cleared["incident"], "both are about the same occurrence");
    assert_eq!(cleared["lasted_seconds"], 3_600);
    assert_eq!(cleared["meanwhile"], json!({ "events_waited": 12, "gaps": 1, "gap_seconds": 90 }));
}

#[test]
fn an_alertmanager_gets_labels_that_never_change_and_an_end() {
    let raised = &body(Form::Alertmanager, &[message(Told::Raised, "a")])[0];
    let cleared = &body(Form::Alertmanager, &[message(Told::Cleared, "b")])[0];
    assert_eq!(raised["labels"], cleared["labels"], "labels are the identity");
    assert_eq!(raised["labels"]["alertname"], "forbidden_operation");
    assert_eq!((&raised["labels"]["tenant"], &raised["labels"]["feed"]), (&"acme".into(), &"audit".into()));
    assert_eq!(raised["labels"].get("sink"), None, "an empty label is left out");
    assert_eq!(raised["startsAt"], NOW.minus(Duration::from_secs(3_660)).rfc3339());
    assert_eq!(raised["endsAt"], NOW.plus(ALERTMANAGER_VALID).rfc3339());
    assert_eq!(cleared["endsAt"], NOW.minus(Duration::from_secs(60)).rfc3339());
    assert!(raised["annotations"]["remedy"].is_string());
}

#[test]
fn chats_show_a_few_in_full_and_count_the_rest() {
    let many: Vec<Message> = (0..ALERTS_SHOWN + 3).map(|_| message(Told::Raised, "words")).collect();
    let slack = body(Form::Slack, &many);
    assert_eq!(slack["blocks"].as_array().unwrap().len(), ALERTS_SHOWN + 1);
    assert!(slack["blocks"][ALERTS_SHOWN].to_string().contains("and 3 more"));
    let teams = body(Form::Teams, &many);
    let card = &teams["attachments"][0]["content"];
    assert_eq!(card["body"].as_array().unwrap().len(), 1 + ALERTS_SHOWN + 1);
    assert_eq!(teams["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    assert!(Form::Teams.body(&many, "mail1", NOW).len() < 28 << 10, "Teams takes no more");
}

#[test]
fn what_is_over_says_for_how_long_and_what_it_cost() {
    let said = body(Form::Slack, &[message(Told::Cleared, "x")]).to_string();
    assert!(said.contains("is over after 1h 0m"), "{said}");
    assert!(said.contains("up to 12 events waited; 1 gap of 1m 30s opened"), "{said}");
    assert!(!said.contains("What to do"), "nothing is to be done any more");
}

proptest! {
    #[test]
    fn nobodys_words_become_markup(words in "[<>&*_~`!@a-z\\[\\]()|\"\\\\ ]{0,200}") {
        let said = body(Form::Slack, &[message(Told::Raised, &words)]);
        let text = said["blocks"][0]["text"]["text"].as_str().unwrap();
        prop_assert!(!text.contains('<') && !text.contains('>'), "{text}");
        for form in [Form::Json, Form::Slack, Form::Teams, Form::Alertmanager] {
            let parsed: Result<Value, _> = serde_json::from_slice(&form.body(&[message(Told::Raised, &words)], "h", NOW));
            prop_assert!(parsed.is_ok());
        }
        let teams = body(Form::Teams, &[message(Told::Raised, &words)]).to_string();
        prop_assert!(!teams.contains("\"TextBlock\""), "plain runs only, no Markdown");
        prop_assert!(!teams.contains("FactSet"));
    }
}
