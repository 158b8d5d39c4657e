//! Secrets out of text that others wrote: error bodies quote requests, and requests carry tokens, secrets and
//! signed links.

use crate::fault::one_line;
use crate::limits::{MAX_REDACTED_CHARS, SECRET_RUN_CHARS};

const REMOVED: &str = "[removed]";
/// Names whose value is a secret, in lower case; and everything that begins with `x-amz-`.
const SECRET_NAMES: [&str; 16] = [
    "authorization",
    "client_secret",
    "clientsecret",
    "client-secret",
    "access_token",
    "refresh_token",
    "id_token",
    "password",
    "passwd",
    "secret",
    "secretkey",
    "accesskey",
    "api_key",
    "apikey",
    "signature",
    "sig",
];
/// What may follow "Bearer" in a sentence.
const PROSE: [&str; 5] = ["token", "tokens", "authentication", "authorization", "realm"];

/// `text` for logs and people: bearer tokens, secrets by name, the query of every link and long base64 runs are
/// replaced; one line, bounded like every detail of a fault.
pub fn redacted(text: &str) -> String {
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REDACTED_CHARS).collect();
    let mut rest = line.as_str();
    if line.len() < text.len() {
        // Half a secret at the cut would be too short to be known as one.
        rest = rest.trim_end_matches(|c: char| !c.is_whitespace());
    }
    let mut out = String::new();
    while let Some(first) = rest.chars().next() {
        if is_break(first) {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let end = rest.find(is_break).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = one_word(word, after, &mut out);
    }
    one_line(out.trim())
}

fn is_break(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '\\' | '<' | '>' | '(' | ')' | '{' | '}' | '[' | ']' | ',' | ';' | '|'
        )
}

/// Writes what may be shown of `word`; the return value is where to go on in `after`.
fn one_word<'a>(word: &str, after: &'a str, out: &mut String) -> &'a str {
    if is_scheme(word) {
        out.push_str(word);
        return token_after(after, out);
    }
    if let Some((link, _)) =
        word.split_once('?').filter(|(_, query)| query.contains('=')).or_else(|| link(word))
    {
        out.push_str(&without_user(link));
        out.push_str("?…");
        return after.get(query_rest(after)..).unwrap_or_default();
    }
    let mut pairs = word.split('&').peekable();
    while let Some(pair) = pairs.next() {
        let secret = pair.find(['=', ':']).filter(|at| pair.get(..*at).is_some_and(is_secret_name));
        match secret.and_then(|at| pair.split_at_checked(at + 1)) {
            Some((name, value)) => {
                out.push_str(name);
                let open = pairs.peek().is_none();
                if value.is_empty() && open {
                    return value_after(after, out);
                }
                out.push_str(REMOVED);
                if open {
                    return after.get(value_rest(after)..).unwrap_or_default();
                }
            }
            None => without_runs(&without_user(pair), out),
        }
        if pairs.peek().is_some() {
            out.push('&');
        }
    }
    if is_secret_name(word) { quoted_value(after, out) } else { after }
}

fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic") || word == "MC"
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_start_matches(['-', '?', '&', '.']);
    SECRET_NAMES.contains(&name) || name.starts_with("x-amz-")
}

/// `https://…?…` or a fragment: what stands before it.
fn link(word: &str) -> Option<(&str, &str)> {
    word.contains("://").then(|| word.split_once(['?', '#'])).flatten()
}

/// After `Bearer`: a space and a token, unless the sentence goes on.
fn token_after<'a>(after: &'a str, out: &mut String) -> &'a str {
    let token = after.trim_start();
    let end = token.find(is_break).unwrap_or(token.len());
    let word = token.get(..end).unwrap_or_default();
    let plain = word.trim_end_matches(['.', ':', '!']).split('=').next().unwrap_or(word);
    if word.is_empty() || PROSE.iter().any(|prose| prose.eq_ignore_ascii_case(plain)) {
        return after;
    }
    out.push(' ');
    out.push_str(REMOVED);
    token.get(end..).unwrap_or_default()
}

/// After `name:` or `name=`: the value is the next thing, maybe in quotes, maybe with a scheme before it.
fn value_after<'a>(after: &'a str, out: &mut String) -> &'a str {
    let value = after.trim_start();
    if value.len() < after.len() {
        out.push(' ');
    }
    for quote in ['"', '\'', '`'] {
        if let Some(inside) = value.strip_prefix(quote) {
            out.push_str(REMOVED);
            return closing(inside, quote);
        }
    }
    let end = value.find(char::is_whitespace).unwrap_or(value.len());
    let (word, rest) = value.split_at(end);
    if is_scheme(word) {
        out.push_str(word);
        return token_after(rest, out);
    }
    out.push_str(if word.is_empty() { "" } else { REMOVED });
    rest
}

/// After `"name`: `": "value"`, as JSON writes it.
fn quoted_value<'a>(after: &'a str, out: &mut String) -> &'a str {
    let unquoted = after.trim_start_matches(['"', '\'', '`', '\\']).trim_start();
    match unquoted.strip_prefix([':', '=']) {
        Some(value) => {
            out.push(':');
            value_after(value.trim_start_matches('\\'), out)
        }
        None => after,
    }
}

/// Past the closing quote, a backslash before a quote being part of the value.
fn closing(inside: &str, quote: char) -> &str {
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.and_then(|end| inside.get(end + 1..)).unwrap_or_default()
}

/// A value goes on over commas and brackets to the next space or quote.
fn value_rest(after: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '&');
    after.find(ends).unwrap_or(after.len())
}

fn query_rest(after: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    after.find(ends).unwrap_or(after.len())
}

/// `https://user:password@host/` without the user.
fn without_user(link: &str) -> String {
    let Some((scheme, rest)) = link.split_once("://") else { return link.to_owned() };
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest.get(..authority).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => link.to_owned(),
    }
}

/// Copies `text`, long runs of base64 characters replaced.
fn without_runs(text: &str, out: &mut String) {
    if text.starts_with("eyJ") && text.contains('.') {
        out.push_str(REMOVED); // a JSON web token, whose parts may be short
        return;
    }
    let in_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-' | '%');
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !in_run(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        out.push_str(if is_secret_run(run) { REMOVED } else { run });
        let between = after.find(in_run).unwrap_or(after.len());
        let (kept, next) = after.split_at(between);
        out.push_str(kept);
        rest = next;
    }
}

/// Long, and not lower-case words with something between them (`err_validation_at_least_one_not_null`, a path).
fn is_secret_run(run: &str) -> bool {
    let wordy =
        run.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'/' | b'='))
            && run.contains(['_', '-', '/']);
    run.len() >= SECRET_RUN_CHARS && !wordy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_sentence_stays() {
        for (text, shown) in [
            ("Bearer abc.def-123 was refused", "Bearer [removed] was refused"),
            ("Bearer token is missing", "Bearer token is missing"),
            ("Authorization: Bearer s3cr3t", "Authorization: Bearer [removed]"),
            ("Authorization: MC key:c2lnbmF0dXJl", "Authorization: MC [removed]"),
            (
                "client_id=a&client_secret=p,q+r/s=&grant_type=x",
                "client_id=a&client_secret=[removed]&grant_type=x",
            ),
            (r#"{"client_secret": "a b c", "x": 1}"#, r#"{"client_secret: [removed], "x": 1}"#),
            (r#"{\"password\":\"hunter2\"}"#, r#"{\"password:[removed]"#),
            ("password: hunter2", "password: [removed]"),
            (
                "GET https://files.example.com/a/b.gz?X-Amz-Signature=0a0b&x=(1) failed",
                "GET https://files.example.com/a/b.gz?… failed",
            ),
            ("/a/b.gz?sig=abc", "/a/b.gz?…"),
            ("X-Amz-Security-Token=abc Signature=zzz", "X-Amz-Security-Token=[removed] Signature=[removed]"),
            ("https://user:pass@host.example/x", "https://host.example/x"),
            ("key QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0123 end", "key [removed] end"),
            ("eyJhbGciOiJ.eyJzdWIi.c2ln", "[removed]"),
            ("err_xdk_operation_forbidden_for_address", "err_xdk_operation_forbidden_for_address"),
            ("is this right? yes", "is this right? yes"),
            ("two\r\nlines\u{1b}[31m", "two  lines [31m"),
        ] {
            assert_eq!(redacted(text), shown, "{text}");
        }
    }

    #[test]
    fn long_text_is_cut_before_a_half_secret() {
        let text = format!("{} {}", "é ".repeat(990), "A".repeat(60));
        let shown = redacted(&text);
        assert!(!shown.contains("AA") && shown.chars().count() <= 401);
    }

    proptest::proptest! {
        #[test]
        fn no_secret_survives(before in "[ -~]{0,40}", secret in "Z[a-zA-Z0-9]{39}", after in "[ -~]{0,40}") {
            let shown = redacted(&format!("{before} Bearer {secret} {after} client_secret={secret}"));
            proptest::prop_assert!(!shown.contains(&secret));
        }
        #[test]
        fn any_text_gives_one_bounded_line(text in "\\PC{0,300}|.{0,4000}") {
            let shown = redacted(&text);
            proptest::prop_assert!(shown.chars().count() <= 401);
            proptest::prop_assert!(!shown.contains(char::is_control));
        }
    }
}
