//! The line of a configuration file as it may be shown: without the secrets that it holds.

use std::ops::Range;

use super::nearest::nearest;

/// Stands for a secret of any length.
pub const MASK: &str = "********";
/// A line, or the header of its table, that contains one of these holds a secret after its `=`. Deliberately
/// wide: a masked harmless value costs a glance, a shown secret costs the account.
const SECRET_WORDS: [&str; 12] = [
    "secret",
    "token",
    "pass",
    "pwd",
    "authorization",
    "bearer",
    "access_key",
    "app_key",
    "apikey",
    "api_key",
    "api-key",
    "headers",
];
/// Keys whose values are secrets. A key that is nearly one of these is one of these, mistyped.
pub(super) const SECRET_KEYS: [&str; 7] =
    ["client_secret", "password", "token", "app_key", "access_key", "secret_key", "headers"];
/// Keys that contain such a word and hold no secret.
const HARMLESS_KEYS: [&str; 1] = ["secret_expires"];

/// One line, masked, with a place in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShownLine {
    /// From 1.
    pub number: usize,
    pub text: String,
    /// The marked bytes within `text`.
    pub mark: Range<usize>,
}

/// The line of `source` on which `mark` begins. `secrets` are spans known to be secret; whatever else looks like
/// a secret is masked as well, because a file with a syntax error has no known spans.
pub(super) fn shown_line(source: &str, mark: &Range<usize>, secrets: &[Range<usize>]) -> ShownLine {
    let (number, line) = line_at(source, mark.start);
    let text = source.get(line.clone()).unwrap_or("");
    let within = |span: &Range<usize>| {
        let start = span.start.clamp(line.start, line.end) - line.start;
        let end = span.end.clamp(line.start, line.end) - line.start;
        start..end.max(start)
    };
    let touches = |span: &&Range<usize>| span.start < line.end && span.end > line.start;
    let mut masks: Vec<Range<usize>> = secrets.iter().filter(touches).map(within).collect();
    masks.extend(suspicious(source.get(..line.start).unwrap_or(""), text));
    masks.extend(url_secrets(text));
    masks.sort_by_key(|mask| (mask.start, mask.end));
    let mark = within(mark);
    let mut pieces = Pieces { text, shown: String::new(), moves: Vec::new(), done: 0 };
    for mask in masks {
        if mask.start >= pieces.done {
            pieces.keep(mask.start);
            pieces.mask(mask.end);
        } else {
            pieces.done = pieces.done.max(mask.end); // overlaps the mask before it
        }
    }
    pieces.keep(text.len());
    let (start, end) = (pieces.moved_start(mark.start), pieces.moved_end(mark.end));
    ShownLine { number, text: pieces.shown, mark: start..end.max(start) }
}

/// A line being copied, piece by piece.
struct Pieces<'t> {
    text: &'t str,
    shown: String,
    /// Where each kept piece was and where it begins now; between them are masks.
    moves: Vec<(Range<usize>, usize)>,
    /// Bytes of `text` that are dealt with.
    done: usize,
}

impl Pieces<'_> {
    fn keep(&mut self, end: usize) {
        let piece = self.text.get(self.done..end).unwrap_or("");
        self.moves.push((self.done..self.done + piece.len(), self.shown.len()));
        self.shown.push_str(piece);
        self.done = self.done.max(end);
    }
    fn mask(&mut self, end: usize) {
        self.shown.push_str(MASK);
        self.done = end;
    }
    /// Where a mark now begins; one that began inside a mask begins where the mask does.
    fn moved_start(&self, at: usize) -> usize {
        let piece = self.moves.iter().rev().find(|(was, _)| was.start <= at);
        piece.map_or(0, |(was, is)| is + at.min(was.end) - was.start)
    }
    /// Where a mark now ends; one that ended inside a mask ends where the mask does.
    fn moved_end(&self, at: usize) -> usize {
        let piece = self.moves.iter().find(|(was, _)| at <= was.end);
        piece.map_or(self.shown.len(), |(was, is)| is + at.max(was.start) - was.start)
    }
}

/// Number (from 1) and bytes, without the line break, of the line that holds `offset`.
pub(super) fn line_at(source: &str, offset: usize) -> (usize, Range<usize>) {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let (before, after) = source.split_at(offset);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').map_or(source.len(), |at| offset + at);
    let end = if end > start && source.as_bytes().get(end - 1) == Some(&b'\r') { end - 1 } else { end };
    (before.matches('\n').count() + 1, start..end)
}

/// What looks like a secret in a line that nobody has understood yet.
fn suspicious(before: &str, line: &str) -> Vec<Range<usize>> {
    let rest_of_line = |start: usize| std::iter::once(start..line.len()).collect();
    let open = |quotes: &str| before.matches(quotes).count() % 2 == 1;
    if open("\"\"\"") || open("'''") {
        return rest_of_line(0); // inside a text of several lines, whose key is further up
    }
    let header = before.lines().rev().find(|line| line.trim_start().starts_with('[')).unwrap_or("");
    let names_secret = |text: &str| {
        let lower = text.to_lowercase();
        SECRET_WORDS.iter().any(|word| lower.contains(word))
    };
    if opener(before).is_some_and(names_secret) {
        return rest_of_line(0); // further down in a table or list that holds secrets
    }
    if let Some(rest) = line.trim_start().strip_prefix('[') {
        // The header of a table names secrets, but holds none; what follows it on the line should not be there.
        let rest = rest.trim_start_matches(|c| c != ']').trim_start_matches(']');
        return if names_secret(rest) { rest_of_line(line.len() - rest.len()) } else { Vec::new() };
    }
    let (key, value) = key_and_value(line);
    let harmless = HARMLESS_KEYS.contains(&key) && !names_secret(value);
    // the address of an alert target is what keeps others out
    let last = key.rsplit('.').next().unwrap_or(key);
    let address = (header.contains("alerts") || line.contains("alerts"))
        && (last == "url" || nearest(last, ["url"]).is_some());
    let mistyped = address || nearest(key.rsplit('.').next().unwrap_or(key), SECRET_KEYS).is_some();
    if harmless || !(mistyped || names_secret(line) || names_secret(header)) {
        return Vec::new();
    }
    let start = line.len() - value.len();
    if value.starts_with('{') && value.trim_end().ends_with('}') {
        return quoted(value).into_iter().map(|text| start + text.start..start + text.end).collect();
    }
    rest_of_line(start)
}

/// Splits a line, which may be broken in any way, after its first word and what stands between it and the value.
fn key_and_value(line: &str) -> (&str, &str) {
    let bare = line.trim_start();
    let quote = bare.chars().next().filter(|c| *c == '"' || *c == '\'');
    let end = match quote {
        Some(quote) => bare.get(1..).and_then(|inside| inside.find(quote)).map_or(bare.len(), |at| at + 2),
        None => {
            let in_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            bare.find(|c| !in_key(c)).unwrap_or(bare.len())
        }
    };
    let (key, rest) = bare.split_at(end);
    let value = rest.trim_start();
    (key, value.strip_prefix(['=', ':']).unwrap_or(value).trim_start())
}

/// The line whose `{` or `[` is still open, judged by counting brackets, which is near enough for hiding.
fn opener(before: &str) -> Option<&str> {
    let mut closed = 0_usize;
    for line in before.lines().rev() {
        for c in line.chars().rev() {
            match c {
                '}' | ']' => closed += 1,
                '{' | '[' if closed == 0 => return Some(line),
                '{' | '[' => closed -= 1,
                _ => {}
            }
        }
    }
    None
}

/// The insides of quoted texts; what is left after an unpaired quote counts as quoted.
fn quoted(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match open {
            _ if escaped => escaped = false,
            Some((_, '"')) if c == '\\' => escaped = true,
            Some((start, quote)) if c == quote => {
                found.push(start..at);
                open = None;
            }
            None if c == '"' || c == '\'' => open = Some((at + 1, c)),
            _ => {}
        }
    }
    found.extend(open.map(|(start, _)| start..text.len()));
    found
}

/// User, password, path and query of URLs: the path of a webhook is what keeps others out, and a key that is mistyped does
/// not say whose URL it is. In a configuration an `@` has no other use, so that everything before it is hidden, however
/// broken the URL is.
fn url_secrets(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if let Some(end) = line.rfind('@') {
        let before = line.get(..end).unwrap_or("");
        let scheme = before.find("://").map(|at| at + 3);
        let start = scheme
            .or_else(|| before.find(['"', '\'']).or_else(|| before.find('=')).map(|at| at + 1))
            .unwrap_or(0);
        found.push(start..end);
    }
    for (at, _) in line.match_indices("://") {
        found.extend(behind_host(line, at + 3));
    }
    let (key, value) = key_and_value(line);
    let last = key.rsplit('.').next().unwrap_or(key);
    if !value.contains("://") && (last.ends_with("url") || nearest(last, ["url"]).is_some()) {
        found.extend(behind_host(line, line.len() - value.len()));
    }
    found
}

/// What follows the host that begins at `at`, up to the quote that ends it.
fn behind_host(line: &str, at: usize) -> Option<Range<usize>> {
    let rest = line.get(at..)?;
    let quoted = rest.starts_with(['"', '\'']).into();
    let end = rest.get(quoted..)?.find(['"', '\'']).map_or(rest.len(), |end| quoted + end);
    let start = rest.get(..end)?.find(['/', '?', '#'])? + 1;
    (start < end).then_some(at + start..at + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(source: &str, mark: &str, secrets: &[&str]) -> (String, String) {
        let find = |text: &str| {
            let start = source.find(text).unwrap();
            start..start + text.len()
        };
        let secrets: Vec<_> = secrets.iter().map(|text| find(text)).collect();
        let line = shown_line(source, &find(mark), &secrets);
        let marked = line.text[line.mark.clone()].to_owned();
        (line.text, marked)
    }

    #[test]
    fn known_secrets_are_masked_and_the_mark_stays_in_place() {
        let (text, marked) = shown("a = 1\nx = { y = \"hunter2\", z = 3 }\n", "z = 3", &["\"hunter2\""]);
        assert_eq!((text.as_str(), marked.as_str()), ("x = { y = ********, z = 3 }", "z = 3"));
        let (text, marked) = shown("x = \"hunter2\"", "x", &["\"hunter2\""]);
        assert_eq!((text.as_str(), marked.as_str()), ("x = ********", "x"));
        let (text, _) = shown("x = \"hunter2\" # end", "\"hunter2\"", &["\"hunter2\""]);
        assert_eq!(text, "x = ******** # end");
    }

    #[test]
    fn lines_that_look_like_secrets_are_masked() {
        for (source, expected) in [
            ("client_secret = \"hunter2", "client_secret = ********"),
            ("tokne = 'a'\ntoken = { value = \"hunter2\" }", "token = { value = \"********\" }"),
            ("[sinks.x.headers]\nX-Key = \"hunter2\"", "X-Key = ********"),
            ("a = \"\"\"\nhunter2\n\"\"\"", "********"),
            ("clietn_sercet = 'hunter2'", "clietn_sercet = ********"),
            ("pasword = 'hunter2'", "pasword = ********"),
            ("aps_key = 'hunter2'", "aps_key = ********"),
            ("headers = {\n  x = 1,\n  y = 'hunter2'", "********"),
            ("client_secret: \"a=hunter2\"", "client_secret: ********"),
            ("client_secret \"hunter2\"", "client_secret ********"),
            ("client_secret hunter2", "client_secret ********"),
            ("[tenants.acme] client_secret = \"hunter2\"", "[tenants.acme]********"),
            ("secret_expires = 1 client_secret = \"hunter2\"", "secret_expires = ********"),
            ("client_id = 1 client_secret = \"hunter2\"", "client_id = ********"),
            ("proxy = \"http://me:hunter2@proxy:3128\"", "proxy = \"http://********@proxy:3128\""),
            ("proxy = \"me:hunter2@proxy\"", "proxy = \"********@proxy\""),
            ("proxy = \"http://me:a/b c hunter2@proxy\"", "proxy = \"http://********\""),
            ("url = \"https://a/b?sig=hunter2\"", "url = \"https://a/********\""),
            ("url = \"https://a?sig=hunter2\"", "url = \"https://a?********\""),
            ("adress = \"http://a:1/hunter2\" # why", "adress = \"http://a:1/********\" # why"),
            ("x = [\"https://a/hunter2\", 'http://b']", "x = [\"https://a/********\", 'http://b']"),
            ("url = \"hooks.example.com/hunter2\"", "url = \"hooks.example.com/********\""),
            ("ulr = 'hooks.example.com/hunter2", "ulr = 'hooks.example.com/********"),
        ] {
            assert_eq!(shown(source, "hunter2", &[]).0, expected, "{source}");
        }
    }

    #[test]
    fn harmless_lines_are_shown() {
        for line in [
            "secret_expires = \"2027-01-31\"",
            "poll_interval = \"5m\"",
            "[tenants.acme]",
            "url = \"https://a/\"",
            "url = \"https://a:8088\"",
            "path = \"/var/log/a\"",
        ] {
            assert_eq!(shown_line(line, &(0..1), &[]).text, line);
        }
    }

    #[test]
    fn line_numbers_and_ends() {
        assert_eq!(line_at("a\r\nbc\r\n", 3), (2, 3..5));
        assert_eq!(line_at("a\nb", 99), (2, 2..3));
        assert_eq!(line_at("", 0), (1, 0..0));
        assert_eq!(line_at("ä\n", 1), (1, 0..2));
    }

    proptest! {
        /// Whatever is marked and masked: no panic, the mark lies in the line, the secret is gone.
        #[test]
        fn masks_hold(head in "[a-z =\"{]{0,12}", tail in "[a-z =\"}]{0,12}", from in 0usize..40, len in 0usize..20) {
            let source = format!("{head}HUNTER2{tail}\nnext = 1\n");
            let secret = head.len()..head.len() + 7;
            let line = shown_line(&source, &(from..from + len), &[secret]);
            prop_assert!(!line.text.contains("HUNTER2"));
            prop_assert!(line.mark.start <= line.mark.end && line.mark.end <= line.text.len(), "{:?}", line);
        }
    }
}
