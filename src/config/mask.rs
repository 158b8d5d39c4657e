//! The line of a configuration file as it may be shown: without the secrets that it holds.

use std::ops::Range;

use super::nearest::nearest;

/// Stands for a secret of any length.
const MASK: &str = "********";
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
/// A key that is nearly one of these is one of these, mistyped.
const SECRET_KEYS: [&str; 4] = ["client_secret", "access_key", "token", "headers"];
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
    let (start, end) = (pieces.moved(mark.start), pieces.moved(mark.end));
    ShownLine { number, text: pieces.shown, mark: start..end.max(start) }
}

/// A line being copied, piece by piece.
struct Pieces<'t> {
    text: &'t str,
    shown: String,
    /// Where each kept piece began, where it begins now, and its length.
    moves: Vec<(usize, usize, usize)>,
    /// Bytes of `text` that are dealt with.
    done: usize,
}

impl Pieces<'_> {
    fn keep(&mut self, end: usize) {
        let piece = self.text.get(self.done..end).unwrap_or("");
        self.moves.push((self.done, self.shown.len(), piece.len()));
        self.shown.push_str(piece);
        self.done = self.done.max(end);
    }
    fn mask(&mut self, end: usize) {
        self.shown.push_str(MASK);
        self.done = end;
    }
    /// Where a byte of the line is now; one inside a mask has moved to the mask's end.
    fn moved(&self, at: usize) -> usize {
        for (was, is, len) in &self.moves {
            if at < *was {
                return *is;
            }
            if at <= was + len {
                return is + (at - was);
            }
        }
        self.shown.len()
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
    let open = |quotes: &str| before.matches(quotes).count() % 2 == 1;
    if open("\"\"\"") || open("'''") {
        return vec![0..line.len()]; // inside a text of several lines, whose key is further up
    }
    let header = before.lines().rev().find(|line| line.trim_start().starts_with('[')).unwrap_or("");
    let names_secret = |text: &str| {
        let lower = text.to_lowercase();
        SECRET_WORDS.iter().any(|word| lower.contains(word))
    };
    if opener(before).is_some_and(names_secret) {
        return vec![0..line.len()]; // further down in a table or list that holds secrets
    }
    let Some((key, value)) = line.split_once('=') else { return Vec::new() };
    let harmless = HARMLESS_KEYS.contains(&key.trim());
    let mistyped = nearest(key.trim(), SECRET_KEYS).is_some();
    if harmless
        || key.trim_start().starts_with('[')
        || !(mistyped || names_secret(line) || names_secret(header))
    {
        return Vec::new();
    }
    let start = line.len() - value.len();
    let blanks = value.len() - value.trim_start().len();
    if value.trim_start().starts_with('{') && value.trim_end().ends_with('}') {
        return quoted(value).into_iter().map(|text| start + text.start..start + text.end).collect();
    }
    vec![start + blanks..line.len()]
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

/// User, password and query of every URL in the line.
fn url_secrets(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("://") {
        let start = at + 3;
        let rest = line.get(start..).unwrap_or("");
        let url = rest.get(..rest.find(['"', '\'', ' ', '\t']).unwrap_or(rest.len())).unwrap_or("");
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        if let Some(end) = url.get(..authority).and_then(|authority| authority.rfind('@')) {
            found.push(start..start + end);
        }
        if let Some(query) = url.find('?') {
            found.push(start + query + 1..start + url.len());
        }
    }
    found
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
            ("headers = {\n  x = 1,\n  y = 'hunter2'", "********"),
            ("proxy = \"http://me:hunter2@proxy:3128\"", "proxy = \"http://********@proxy:3128\""),
            ("url = \"https://a/b?sig=hunter2\"", "url = \"https://a/b?********\""),
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
            "url = \"https://a/b\"",
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
