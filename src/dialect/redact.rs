//! What other machines say may repeat our secrets. Before it reaches a log line, everything that could be one
//! is taken out: what follows an authorization scheme, the query of an address, and long runs that look encoded.

/// The text without anything that could be a secret.
pub(super) fn redact(text: &str) -> String {
    let mut hide_next = false;
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| {
            let hidden = hide_next;
            hide_next = is_scheme(word);
            if hidden { GONE.to_owned() } else { redact_word(word) }
        })
        .collect();
    words.join(" ")
}

const GONE: &str = "[hidden]";
/// Ids of requests and messages are shorter; tokens, keys and signatures are not.
const LONG_RUN: usize = 40;

fn is_scheme(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '\'', '(']).trim_end_matches(':');
    ["bearer", "basic", "mc", "aws4-hmac-sha256", "splunk", "apikey"]
        .iter()
        .any(|s| word.eq_ignore_ascii_case(s))
}

fn redact_word(word: &str) -> String {
    let word = match word.split_once('?') {
        Some((address, query)) if address.contains("://") || query.contains('=') => {
            format!("{address}?{GONE}")
        }
        _ => word.to_owned(),
    };
    let lower = word.to_ascii_lowercase();
    if let Some(at) = SECRET_KEYS.iter().filter_map(|key| lower.find(key).map(|at| at + key.len())).min() {
        // Same length and boundaries in both: only ASCII letters were changed.
        return format!("{}{GONE}", word.get(..at).unwrap_or_default());
    }
    hide_long_runs(&word)
}

/// What follows one of these is hidden.
const SECRET_KEYS: [&str; 10] = [
    "signature=",
    "token=",
    "secret=",
    "password=",
    "x-amz-credential=",
    "api_key=",
    "apikey=",
    "client_secret\":",
    "access_token\":",
    "authorization:",
];

fn hide_long_runs(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-' | '=' | '.' | '%' | '~') {
            run.push(c);
        } else {
            flush(&mut out, &mut run);
            out.push(c);
        }
    }
    flush(&mut out, &mut run);
    out
}

fn flush(out: &mut String, run: &mut String) {
    // Addresses and paths have several short parts; a secret is one long part.
    let encoded = run.split(['/', '.']).any(|part| part.len() >= LONG_RUN);
    let token = run.starts_with("eyJ") && run.len() >= 20;
    if encoded || token {
        out.push_str(GONE);
    } else {
        out.push_str(run);
    }
    run.clear();
}
