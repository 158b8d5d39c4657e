//! `explain`: what a code means and what the daemon does about it, from the recovery table itself.

use super::{Common, Printed, done};
use crate::setup_error::{ExitCode, SetupError};
use crate::supervisor::policy;
use crate::supervisor::rule::Rule;
use crate::supervisor::words::{as_json, what_happens};

/// Answers with the rules that apply to a status, a code or a rule's id, or with all; fails when none does.
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
        let rows: Vec<_> = rules.iter().map(|rule| as_json(rule)).collect();
        return done(format!("{:#}\n", serde_json::Value::from(rows)));
    }
    done(rules.iter().map(|rule| paragraph(rule)).collect::<Vec<_>>().join("\n"))
}

fn paragraph(rule: &Rule) -> String {
    let surfaces: Vec<_> = rule.surfaces.iter().map(|origin| origin.as_str()).collect();
    let harm =
        if rule.harmful { "\n  Careful   another attempt without a change makes it worse" } else { "" };
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
