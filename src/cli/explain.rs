//! `explain`: what a code means and what the daemon does about it, from the recovery table itself.

use serde_json::json;

use super::{Common, Printed, done};
use crate::setup_error::{ExitCode, SetupError};
use crate::supervisor::policy;
use crate::supervisor::rule::{Ladder, Rule, Verdict};
use crate::telemetry::notice::Span;

pub fn explain(words: &[String], all: bool, common: &Common) -> Printed {
    let question = words.join(" ");
    let rules: Vec<&Rule> = if all {
        policy::RULES.iter().collect()
    } else {
        let (status, code) = policy::parse_question(&question);
        policy::explain(status, code.as_ref())
    };
    if rules.is_empty() {
        let hint = "give a status (403), a status and a code (401/0010, 403 app_forbidden), a code, or the id of a rule (M10); `explain --all` lists everything";
        return Err(SetupError::new(ExitCode::Failed, format!("nothing is known of {question:?}: {hint}")));
    }
    if common.json {
        let rows: Vec<_> = rules.iter().map(|rule| rule_json(rule)).collect();
        return done(format!("{:#}\n", serde_json::Value::from(rows)));
    }
    done(rules.iter().map(|rule| paragraph(rule)).collect::<Vec<_>>().join("\n"))
}

/// One rule as `/api/errors` and `--json` show it.
pub fn rule_json(rule: &Rule) -> serde_json::Value {
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

fn paragraph(rule: &Rule) -> String {
    let surfaces: Vec<_> = rule.surfaces.iter().map(|origin| origin.as_str()).collect();
    let harm = if rule.harmful { "\n  Careful   another attempt without a change makes it worse" } else { "" };
    let remedy = if rule.remedy.is_empty() { "nothing; it passes by itself" } else { rule.remedy };
    format!(
        "{} {} (from: {}; severity {})\n  Means     {}\n  Daemon    {}\n  Reaches   {}\n  Ends with {}\n  You       {remedy}{harm}\n",
        rule.id,
        rule.title,
        surfaces.join(", "),
        rule.severity.as_str(),
        rule.meaning,
        what_happens(rule),
        rule.scope.as_str(),
        rule.clears.as_str(),
    )
}

/// The verdict as a sentence, with its times.
fn what_happens(rule: &Rule) -> String {
    let min = |d: std::time::Duration| {
        if d.as_secs() >= 60 && d.as_secs() < 7200 { format!("{} min", d.as_secs() / 60) } else { Span(d).to_string() }
    };
    let grows = |l: Ladder| format!("waits {} after the first failure, twice as long each time up to {}", min(l.first), min(l.cap));
    let probing = |probe: Option<std::time::Duration>| match probe {
        Some(every) => format!("stops; one request every {} looks whether it works again", min(every)),
        None => "stops until somebody acts".to_owned(),
    };
    match rule.verdict {
        Verdict::Proceed => "goes on".into(),
        Verdict::Backoff { wait, quick: 0, .. } => grows(wait),
        Verdict::Backoff { wait, quick, .. } => format!("tries {quick} times more within seconds, then {}", grows(wait)),
        Verdict::PauseFor(wait) => format!("waits as long as the service says; if it does not say, {}", grows(wait)),
        Verdict::Refresh { .. } => "asks for a new token and sends the request once more".into(),
        Verdict::Relist { at_once, .. } => format!("lists again from the same position for fresh links, up to {at_once} times at once; nothing is skipped"),
        Verdict::Insist { tries, over, .. } => format!("fetches the file again; when it was damaged the same way {tries} times over {}, saves the readable lines and quarantines the rest", min(over)),
        Verdict::Rewind { .. } => "gives the position up and reads again from a date, with what cannot be fetched as a gap".into(),
        Verdict::Shrink { .. } => "asks for half as much next time".into(),
        Verdict::Lockout { rungs: [first, second, third], .. } => format!("sends nothing at all with this credential for {}, then one attempt; still locked: {}, then {}, then stops", min(first), min(second), min(third)),
        Verdict::ConfirmThenHalt { after, last } => format!("waits {} for one attempt to confirm, {} for a last one, then stops", min(after), min(last)),
        Verdict::Halt { probe } => probing(probe),
        Verdict::Quarantine => "keeps the bytes in quarantine and goes on".into(),
        Verdict::SkipWithGap => "goes on without it and records a gap".into(),
        Verdict::StopPaging => "ends this cycle; the position stays".into(),
        Verdict::Bisect => "halves the batch until the refused event stands alone, and keeps that one as a dead letter".into(),
        Verdict::DeadLetter => "keeps the event as a dead letter with the sink's words".into(),
        Verdict::PauseIntake { check } => format!("pauses collection, goes on delivering, looks again every {}", min(check)),
        Verdict::Exit(code) => format!("ends with exit code {code}"),
    }
}
