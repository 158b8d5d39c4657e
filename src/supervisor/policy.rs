//! THE table: what happens on each failure. Rows are asked from the top, the first match wins, and every surface
//! ends in a row that matches everything, so every fault has exactly one answer. This is the only place that
//! names a status code in order to react to it.

use std::sync::LazyLock;

use super::overrides::CONFIGURED;
use super::rule::Rule;
use super::{
    rows_access, rows_download, rows_kafka, rows_local, rows_permission, rows_request, rows_service,
    rows_sink, rows_wire,
};
use crate::fault::{Code, Fault, Kind, Origin};

const PARTS: [&[Rule]; 9] = [
    rows_access::ROWS,
    rows_permission::ROWS,
    rows_request::ROWS,
    rows_service::ROWS,
    rows_wire::ROWS,
    rows_download::ROWS,
    rows_kafka::ROWS,
    rows_sink::ROWS,
    rows_local::ROWS,
];

/// Every row, in the order in which they are asked.
pub static RULES: &[Rule] = &JOINED;

/// The table in parts, each with its title.
pub fn parts() -> [(&'static str, &'static [Rule]); 9] {
    let titles = [
        "Who we are",
        "What the credential may",
        "The request",
        "Quotas, servers and gateways",
        "The way there",
        "Files behind links",
        "Kafka",
        "Destinations",
        "This machine",
    ];
    let mut parts = titles.map(|title| (title, &[] as &'static [Rule]));
    for (part, rules) in parts.iter_mut().zip(PARTS) {
        part.1 = rules;
    }
    parts
}

const COUNT: usize = count();
static JOINED: [Rule; COUNT] = join();

#[expect(clippy::indexing_slicing, reason = "runs while compiling: out of bounds would not compile")]
const fn count() -> usize {
    let (mut part, mut total) = (0, 0);
    while part < PARTS.len() {
        total += PARTS[part].len();
        part += 1;
    }
    total
}

#[expect(clippy::indexing_slicing, reason = "runs while compiling: out of bounds would not compile")]
const fn join() -> [Rule; COUNT] {
    let mut all = [PARTS[0][0]; COUNT];
    let (mut part, mut next) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[next] = PARTS[part][row];
            next += 1;
            row += 1;
        }
        part += 1;
    }
    all
}

/// The rows of each surface, in the order of the table.
static BY_SURFACE: LazyLock<[(Origin, Vec<&'static Rule>); Origin::ALL.len()]> = LazyLock::new(|| {
    let of = |origin| RULES.iter().filter(|rule| rule.surfaces.contains(&origin)).collect();
    Origin::ALL.map(|origin| (origin, of(origin)))
});

/// Rows that no fault of an exchange leads to, and who finds what they are about. They are in the table for what people
/// are told: alerts, log lines, `explain`.
const WITHOUT_A_FAULT: [(&str, &str); 13] = [
    ("S01/sink_acknowledged", "the sink, in each answer that confirms a batch"),
    ("S02/sink_received", "the sink, in an answer that confirms a batch"),
    ("S13/sink_ack_downgraded", "the sink, which closes a connection to see how the receiver answers"),
    ("X13/poison_line", "the reader of files and pages; counted by `events_quarantined_total`"),
    ("X15/utf8_repaired", "the formatter, which marks the event"),
    ("X16/time_suspect", "the reader of files and pages"),
    ("L05/already_running", "the start"),
    ("L09/schema_newer", "the start"),
    ("L06/clock_skew", "the `Date` of Mimecast's answers"),
    ("L10/task_stalled", "the watchdog"),
    ("L08/secret_file", "whoever reads the secret again: each login, and every feed that waits for it"),
    ("M37/logins_spent", "the credential's gate, before a login"),
    ("X23/retention_threat", "the daemon, which compares each feed's wait with what Mimecast keeps"),
];

/// Who finds what the row is about, where no fault of an exchange leads to it.
pub fn found_by(rule: &Rule) -> Option<&'static str> {
    let name = rule.name();
    WITHOUT_A_FAULT.iter().find(|(known, _)| *known == name).map(|(_, who)| *who)
}

/// What is done about `fault`: the first row that matches.
pub fn judge(fault: &Fault) -> &'static Rule {
    let surface = BY_SURFACE.iter().find(|(origin, _)| *origin == fault.origin);
    let row = surface.and_then(|(_, rows)| rows.iter().find(|rule| rule.matches(fault)));
    // The last row of each surface matches everything (tested), so the fallback is never reached.
    row.copied().unwrap_or(&JOINED[COUNT - 1])
}

/// The first row of that name, in upper or lower case: `M10`.
pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// The row of a [`Rule::name`]; `None` when this version has no such row.
pub fn by_name(name: &str) -> Option<&'static Rule> {
    let (id, title) = name.split_once('/')?;
    let known = RULES.iter().chain(CONFIGURED);
    known.into_iter().find(|rule| rule.title == title && rule.id == id)
}

/// `401/0010`, `403 app_forbidden`, `HTTP 429`, `locked_out`, `M10` → status and word, for [`explain`].
pub fn parse_question(text: &str) -> (Option<u16>, Option<Code>) {
    let bare = text.trim().strip_prefix("HTTP ").or_else(|| text.trim().strip_prefix("http "));
    let text = bare.unwrap_or(text).trim();
    let mut parts = text.splitn(2, |c: char| c == '/' || c.is_whitespace()).map(str::trim);
    let first = parts.next().unwrap_or_default();
    let rest = parts.next().and_then(Code::new);
    match first.parse::<u16>() {
        Ok(status) if (100..=999).contains(&status) && first.len() == 3 => (Some(status), rest),
        _ => (None, Code::new(text)),
    }
}

/// The rows that answer a status, a code, or both, in table order and each once, with the surfaces for which they
/// answer. A word without a status is looked for among codes, row names and titles.
pub fn explain(status: Option<u16>, code: Option<&Code>) -> Vec<(Vec<Origin>, &'static Rule)> {
    let answers: Vec<(Origin, usize)> = match status {
        Some(status) => {
            let of = |origin| answer_index(origin, status, code).map(|at| (origin, at));
            Origin::ALL.into_iter().filter_map(of).collect()
        }
        None => {
            let word = code.map_or("", Code::as_str);
            let named = RULES.iter().enumerate().filter(|(_, rule)| names(rule, word));
            named.flat_map(|(at, rule)| rule.surfaces.iter().map(move |origin| (*origin, at))).collect()
        }
    };
    let from =
        |at| answers.iter().filter(move |(_, found)| *found == at).map(|(origin, _)| *origin).collect();
    let rows = RULES.iter().enumerate().map(|(at, rule)| (from(at), rule));
    rows.filter(|(from, _): &(Vec<Origin>, _)| !from.is_empty()).collect()
}

fn answer_index(origin: Origin, status: u16, code: Option<&Code>) -> Option<usize> {
    if origin == Origin::Local {
        return None; // this machine does not answer with a status
    }
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    fault.code = code.cloned();
    fault.attributed = true;
    RULES.iter().position(|rule| rule.matches(&fault))
}

fn names(rule: &Rule, word: &str) -> bool {
    !word.is_empty()
        && (rule.id.eq_ignore_ascii_case(word)
            || rule.title.eq_ignore_ascii_case(word)
            || rule.on.codes().iter().any(|code| code.eq_ignore_ascii_case(word)))
}
