//! The forms that receivers read. Text of outside origin cannot become markup in any of them.
//!
//! - Slack, incoming webhooks: `text` for notifications, `blocks` for the message; `&`, `<` and `>` are written as
//!   entities, which also keeps a text from calling `<!channel>` (docs.slack.dev, "Sending messages using incoming
//!   webhooks", "Formatting message text").
//! - Teams, workflows: a `message` with one Adaptive Card; connectors that took a `MessageCard` are retired
//!   (learn.microsoft.com, "Create incoming webhooks with Workflows"). A `RichTextBlock` shows its runs as they are,
//!   where a `TextBlock` would read Markdown in them.
//! - Alertmanager, API v2: a list of alerts, identified by their labels; active ones are sent again and again with an
//!   end in the near future (prometheus.io/docs/alerting/latest/alerts_api).

use serde_json::{Value, json};

use super::message::{Message, Told};
use crate::clock::Time;
use crate::limits::{ALERTMANAGER_VALID, ALERTS_SHOWN};

/// How a receiver wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Slack,
    Teams,
    Alertmanager,
}

impl Form {
    /// The body of one POST. `host` is this machine's name, `now` the time of sending.
    pub fn body(self, messages: &[Message], host: &str, now: Time) -> Vec<u8> {
        let value = match self {
            Form::Json => document(messages, host),
            Form::Slack => slack(messages, host),
            Form::Teams => teams(messages, host),
            Form::Alertmanager => messages.iter().map(|message| alertmanager(message, host, now)).collect(),
        };
        value.to_string().into_bytes()
    }

    /// It wants to hear again and again of what lasts.
    pub fn repeats(self) -> bool {
        self == Form::Alertmanager
    }

    /// As `status` and `validate` call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Json => "webhook",
            Form::Slack => "slack",
            Form::Teams => "teams",
            Form::Alertmanager => "alertmanager",
        }
    }
}

fn document(messages: &[Message], host: &str) -> Value {
    json!({
        "version": 1,
        "collector": { "name": "mimecollectd", "version": env!("CARGO_PKG_VERSION"), "host": host },
        "alerts": messages.iter().map(Message::as_json).collect::<Vec<_>>(),
    })
}

/// The few that are shown in full, and how many more there are.
fn shown(messages: &[Message]) -> (&[Message], usize) {
    let shown = messages.get(..ALERTS_SHOWN).unwrap_or(messages);
    (shown, messages.len() - shown.len())
}

fn headline(messages: &[Message], host: &str) -> String {
    match messages {
        [one] => format!("mimecollectd on {host}: {}", one.headline()),
        several => format!("mimecollectd on {host}: {} alerts", several.len()),
    }
}

fn sign(message: &Message) -> &'static str {
    match (message.told, message.severity) {
        (Told::Cleared, _) => "✅",
        (_, crate::telemetry::label::Grade::Critical) => "🔴",
        (_, crate::telemetry::label::Grade::Error) => "🟠",
        _ => "🟡",
    }
}

fn slack(messages: &[Message], host: &str) -> Value {
    const MAX_SECTION_CHARS: usize = 3_000; // Slack's bound of a section's text
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (few, more) = shown(messages);
    let mut blocks: Vec<Value> = few
        .iter()
        .map(|message| {
            let mut text = format!("{} *{}*", sign(message), escape(&plain(&message.headline())));
            for (name, fact) in message.facts() {
                text.push_str(&format!("\n*{name}:* {}", escape(&plain(&fact))));
            }
            let text: String = text.chars().take(MAX_SECTION_CHARS).collect();
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
        })
        .collect();
    if more > 0 {
        let text = format!("and {more} more; `mimecollectd status` shows all");
        blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": text }] }));
    }
    json!({ "text": escape(&headline(messages, host)), "blocks": blocks })
}

/// Without the characters that Slack reads as bold, italic, struck out or code.
fn plain(text: &str) -> String {
    const WORD_JOINER: char = '\u{2060}'; // a mark beside it opens and closes nothing
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '~' | '`' => out.extend([WORD_JOINER, c, WORD_JOINER]),
            c => out.push(c),
        }
    }
    out
}

fn teams(messages: &[Message], host: &str) -> Value {
    let run = |text: &str, bold: bool| json!({ "type": "TextRun", "text": text, "weight": if bold { "Bolder" } else { "Default" } });
    let line = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let (few, more) = shown(messages);
    let mut body = vec![line(vec![run(&headline(messages, host), true)])];
    for message in few {
        let mut items = vec![line(vec![run(&format!("{} {}", sign(message), message.headline()), true)])];
        for (name, fact) in message.facts() {
            items.push(line(vec![run(&format!("{name}: "), true), run(&fact, false)]));
        }
        let style = if message.told == Told::Cleared { "good" } else { "attention" };
        body.push(json!({ "type": "Container", "style": style, "items": items }));
    }
    if more > 0 {
        body.push(line(vec![run(&format!("and {more} more; mimecollectd status shows all"), false)]));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": body, "msteams": { "width": "Full" },
    });
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}

fn alertmanager(message: &Message, host: &str, now: Time) -> Value {
    let mut labels = json!({
        "alertname": message.title, "rule": message.key.alert, "severity": message.severity.as_str(),
        "scope": message.key.scope, "job": "mimecollectd", "instance": host,
    });
    // an empty label is none
    let tenant = Some(message.key.tenant.as_str()).filter(|tenant| !tenant.is_empty());
    for (name, value) in [("tenant", tenant), ("feed", message.feed()), ("sink", message.sink())] {
        if let (Some(value), Some(labels)) = (value, labels.as_object_mut()) {
            labels.insert(name.to_owned(), value.into());
        }
    }
    let mut annotations = json!({ "summary": message.headline(), "description": message.words });
    if let Some(map) = annotations.as_object_mut() {
        for (name, text) in [("remedy", message.remedy.clone()), ("clears_when", message.clears.clone())] {
            if !text.is_empty() {
                map.insert(name.to_owned(), text.into());
            }
        }
        if let Some(cost) = &message.cost {
            map.insert("meanwhile".to_owned(), cost.words().into());
        }
    }
    let ends = message.over.unwrap_or(now.plus(ALERTMANAGER_VALID));
    json!({
        "labels": labels, "annotations": annotations, "startsAt": message.since.rfc3339(), "endsAt": ends.rfc3339(),
    })
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
