//! A row of the recovery table in words and as data, for `explain`, `/api/errors` and the documentation.

use std::time::Duration;

use serde_json::json;

use super::rule::{Ladder, Rule, Verdict};

/// One row as `/api/errors` and `explain --json` show it.
pub fn as_json(rule: &Rule) -> serde_json::Value {
    json!({
        "id": rule.id,
        "title": rule.title,
        "surfaces": rule.surfaces.iter().map(|origin| origin.as_str()).collect::<Vec<_>>(),
        "codes": rule.on.codes(),
        "scope": rule.scope.as_str(),
        "action": rule.verdict.as_str(),
        "what_happens": what_happens(rule),
        "retry_is_harmful": rule.harmful,
        "severity": rule.severity.as_str(),
        "alert": rule.alert,
        "meaning": rule.meaning,
        "remedy": rule.remedy,
        "clears_when": rule.clears.as_str(),
    })
}

/// The verdict as the end of a sentence that begins "the daemon …", with its times.
pub fn what_happens(rule: &Rule) -> String {
    match rule.verdict {
        Verdict::Proceed => "goes on".into(),
        Verdict::Backoff { wait, quick: 0, .. } => grows(wait),
        Verdict::Backoff { wait, quick, .. } => {
            format!("tries {quick} times more within seconds, then {}", grows(wait))
        }
        Verdict::PauseFor(wait) => {
            format!("waits as long as the service says; if it does not say, {}", grows(wait))
        }
        Verdict::Refresh { .. } => "asks for a new token and sends the request once more".into(),
        Verdict::Relist { at_once, .. } => {
            format!(
                "lists again from the same position for fresh links, up to {at_once} times at once; nothing is skipped"
            )
        }
        Verdict::Insist { tries, over: Duration::ZERO, .. } => {
            format!("tries again later, and after {tries} refusals keeps the event as a dead letter")
        }
        Verdict::Insist { tries, over, .. } => format!(
            "fetches the file again; when it was damaged the same way {tries} times over {}, saves the readable \
             lines and quarantines the rest",
            span(over)
        ),
        Verdict::Rewind { .. } => {
            "gives the position up and reads again from a date; what cannot be fetched any more becomes a gap"
                .into()
        }
        Verdict::Shrink { .. } => "asks for half as much next time".into(),
        Verdict::Lockout { rungs: [first, second, third], .. } => format!(
            "sends nothing at all with this credential for {}, then makes one attempt; still locked: {}, then {}, \
             then stops",
            span(first),
            span(second),
            span(third)
        ),
        Verdict::ConfirmThenHalt { after, last } => {
            format!(
                "waits {} for one attempt to confirm, {} for a last one, then stops",
                span(after),
                span(last)
            )
        }
        Verdict::Halt { probe: Some(every) } => {
            format!("stops; one request every {} looks whether it works again", span(every))
        }
        Verdict::Halt { probe: None } => "stops until somebody acts".into(),
        Verdict::Quarantine => "keeps the bytes in quarantine and goes on".into(),
        Verdict::SkipWithGap => "goes on without it and records a gap".into(),
        Verdict::StopPaging => "ends this cycle; the position stays".into(),
        Verdict::Bisect => {
            "halves the batch until the refused event stands alone, and keeps that one as a dead letter"
                .into()
        }
        Verdict::DeadLetter => "keeps the event as a dead letter with the sink's words".into(),
        Verdict::PauseIntake { check } => {
            format!("pauses collection, goes on delivering, looks again every {}", span(check))
        }
        Verdict::Exit(code) => format!("ends with exit code {code}"),
    }
}

fn grows(ladder: Ladder) -> String {
    format!(
        "waits {} after the first failure, twice as long each time up to {}",
        span(ladder.first),
        span(ladder.cap)
    )
}

/// `31 min`, `4 h`, `10 s`.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        secs if secs % 86_400 == 0 && secs > 0 => format!("{} d", secs / 86_400),
        secs if secs % 3_600 == 0 && secs > 0 => format!("{} h", secs / 3_600),
        secs if secs % 60 == 0 && secs > 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}
