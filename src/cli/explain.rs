//! `explain`: what a code, or a saved answer, means and what the daemon does about it, from the recovery table
//! itself. The same answer means different things from different sides, so each is told with its side.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::saved_answer::SavedAnswer;
use super::{Common, Printed, done};
use crate::clock::Clock;
use crate::daemon::findings_words::WORDS;
use crate::dialect;
use crate::fault::{Code, Fault, Origin};
use crate::limits::MAX_SAVED_ANSWER_BYTES;
use crate::setup_error::{ExitCode, SetupError};
use crate::supervisor::policy;
use crate::supervisor::rule::Rule;
use crate::supervisor::words::{answer_json, as_json, paragraph, surface};
use crate::telemetry::escape::clean;

/// Rules and the surfaces for which they answer.
type Answers = Vec<(Vec<Origin>, &'static Rule)>;

/// Answers with the rules that apply to a status, a code or a rule's id, to a saved answer, or with all; fails
/// when none does.
pub fn explain(words: &[String], all: bool, response: Option<&Path>, common: &Common) -> Printed {
    if all {
        return done(common.either(table, policy::RULES.iter().map(as_json).collect()));
    }
    let question = words.join(" ");
    if let Some(path) = response {
        return saved(path, &question, common);
    }
    if let Some(&(word, meaning, remedy)) = WORDS.iter().find(|(word, ..)| *word == question.trim()) {
        let text = format!("{word}, an alert of the daemon's own:\n  {meaning}\n  What to do: {remedy}\n");
        let data = json!([{ "id": word, "title": word, "meaning": meaning, "remedy": remedy }]);
        return done(common.either(|| text, data));
    }
    let (status, code) = policy::parse_question(&question);
    let answers = policy::explain(status, code.as_ref());
    if answers.is_empty() {
        let hint = "give a status (403), a status and a code (401/0010, 403 app_forbidden), a code, or the id of a rule (M10); `explain --all` lists everything";
        return Err(SetupError::new(ExitCode::Failed, format!("nothing is known of {question:?}: {hint}")));
    }
    let data = answers.iter().map(|(from, rule)| answer_json(from, rule)).collect();
    done(common.either(|| answers_text(&answers, code.as_ref().filter(|_| status.is_some())), data))
}

fn table() -> String {
    let mut text = String::new();
    for (title, rules) in policy::parts() {
        let _ = writeln!(text, "{}\n", title.to_uppercase()); // a String takes every write
        for rule in rules {
            let from: Vec<&str> = rule.surfaces.iter().map(|origin| origin.as_str()).collect();
            let _ = write!(text, "from {}: {}", from.join(", "), paragraph(rule, ""));
            text.push('\n');
        }
    }
    text
}

/// Each rule under the sides it answers for. Where some side knows the code, the others, for which only the status
/// counts, are one line; where none does, that is said of each.
fn answers_text(answers: &Answers, code: Option<&Code>) -> String {
    let knows = |rule: &Rule| code.is_none_or(|code| rule.knows(code.as_str()));
    let somebody_knows = answers.iter().any(|(_, rule)| knows(rule));
    let sides = |from: &[Origin]| from.iter().map(|origin| surface(*origin)).collect::<Vec<_>>().join(" or ");
    let (mut text, mut elsewhere) = (String::new(), Vec::new());
    for (from, rule) in answers {
        if somebody_knows && !knows(rule) {
            elsewhere.push(format!("from {}: {} {}", sides(from), rule.id, rule.title));
            continue;
        }
        let note = if knows(rule) { "" } else { " (this code is not known there; the status decides)" };
        let _ = write!(text, "From {}{note}:\n{}\n", sides(from), paragraph(rule, "  ")); // as above
    }
    text.pop();
    if !elsewhere.is_empty() {
        let _ = write!(text, "\nElsewhere only the status counts: {}.\n", elsewhere.join("; ")); // as above
    }
    text
}

// --- saved answers ----------------------------------------------------------------------------------------

/// Decodes an answer that was saved with or without its status line and headers.
fn saved(path: &Path, question: &str, common: &Common) -> Printed {
    let bytes = read(path)?;
    let answer = SavedAnswer::parse(&bytes);
    let given = question.trim().parse::<u16>().ok().filter(|status| (100..=999).contains(status));
    let in_body = || dialect::status_in_body(&answer.headers, answer.body);
    let Some(status) = answer.status.or(given).or_else(in_body) else {
        let words = format!(
            "neither a status line nor the body of {} says with which status it came; give it: \
             `explain 403 --response {}`",
            path.display(),
            path.display()
        );
        return Err(SetupError::new(ExitCode::Usage, words));
    };
    let now = Clock::System.now();
    let judged: Vec<(Origin, Fault)> = [Origin::Token, Origin::Api, Origin::Download, Origin::Sink]
        .into_iter()
        .filter(|origin| *origin != Origin::Sink || !(200..=299).contains(&status))
        .map(|origin| (origin, dialect::read(origin, status, &answer.headers, answer.body, now)))
        .collect();
    if (200..=299).contains(&status) && dialect::failure_in_success(Origin::Api, answer.body).is_none() {
        let words = || format!("HTTP {status}, and nothing in it says that anything failed\n");
        return done(common.either(words, json!({"status": status, "answers": []})));
    }
    let rows: Vec<Value> = judged.iter().map(|(origin, fault)| judged_json(*origin, fault)).collect();
    done(common.either(|| judged_text(status, &judged), json!({"status": status, "answers": rows})))
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    let failed = |error: std::io::Error| {
        SetupError::failed(format!("failed to read the saved answer {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MAX_SAVED_ANSWER_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_SAVED_ANSWER_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

fn judged_json(origin: Origin, fault: &Fault) -> Value {
    let rule = policy::judge(fault);
    json!({
        "from": origin.as_str(),
        "read_as": {
            "status": fault.status(),
            "kind": fault.kind.as_str(),
            "code": fault.code.as_ref().map(Code::as_str),
            "field": fault.field,
            "in_mimecasts_form": fault.attributed,
            "asks_to_wait_seconds": fault.retry_after.map(|wait| wait.as_secs_f64()),
            "request_id": fault.request_id,
            "detail": fault.detail,
        },
        "rule": as_json(rule),
    })
}

fn judged_text(status: u16, judged: &[(Origin, Fault)]) -> String {
    let mut text = format!("HTTP {status}");
    if let Some((_, fault)) = judged.iter().find(|(origin, _)| *origin == Origin::Api) {
        let _ = write!(text, ", read as: {}", clean(&fault.to_string())); // a String takes every write
        if let Some(wait) = fault.retry_after {
            let _ = write!(text, "\nasks to wait {} s", wait.as_secs());
        }
        if let Some(id) = &fault.request_id {
            let _ = write!(text, "\nrequest id for support: {}", clean(id));
        }
    }
    text.push_str("\n\n");
    let mut answers: Answers = Vec::new();
    for (origin, fault) in judged {
        let rule = policy::judge(fault);
        match answers.iter_mut().find(|(_, known)| std::ptr::eq(*known, rule)) {
            Some((from, _)) => from.push(*origin),
            None => answers.push((vec![*origin], rule)),
        }
    }
    let code = judged.first().and_then(|(_, fault)| fault.code.clone());
    text + &answers_text(&answers, code.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Mimecast says, and whoever saved it, may hold commands for a terminal.
    #[test]
    fn an_answer_commands_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let saved_answer = dir.path().join("answer");
        let body = r#"{"fail":[{"errors":[{"code":"err_x","message":"deny \u202ed'noitcennoc\u001b[2J"}]}]}"#;
        std::fs::write(
            &saved_answer,
            format!("HTTP/1.1 403 Forbidden\r\nx-request-id: a\u{9b}b\r\n\r\n{body}"),
        )
        .unwrap();
        let common = Common { place: super::super::Place { config: "none".into() }, json: false };
        let (text, _) = saved(&saved_answer, "", &common).unwrap();
        assert!(text.contains("\\u{202e}d'noitcennoc"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
    }
}
