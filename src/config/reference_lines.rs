//! How `config/mimecollectd.toml` is written: the one reader of its lines that all its tests share.

const REFERENCE: &str = "config/mimecollectd.toml";

/// What a line of the reference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'t> {
    /// `# --- title ---`
    Part(&'t str),
    /// `[table]`, with its brackets.
    Table(&'t str, Shown),
    Key(&'t str, Value<'t>, Shown),
    Words(&'t str),
    Blank,
}

/// How a table or a key stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it is: the file is a configuration.
    Bare,
    /// After "#" alone: a part of the example, as it is unless it is written.
    Example,
    /// After "# ": an optional one, with some value.
    Optional,
}

/// What stands behind ` = `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'t>(pub &'t str);

impl Value<'_> {
    /// It is the reader's to fill in: in capitals, or a secret.
    pub fn is_yours(self) -> bool {
        let capitals = self.0.chars().any(|c| c.is_ascii_uppercase()) && !self.0.contains("iB");
        capitals || self.0.contains("credential = ")
    }
}

/// The text of the reference.
pub fn text() -> String {
    std::fs::read_to_string(REFERENCE).unwrap()
}

/// Reads one line.
pub fn line(text: &str) -> Line<'_> {
    if text.trim_start_matches('#').trim().is_empty() {
        return Line::Blank;
    }
    if let Some(title) = text.strip_prefix("# --- ") {
        return Line::Part(title.trim_end_matches('-').trim());
    }
    let (bare, shown) = match (text.strip_prefix("# "), text.strip_prefix('#')) {
        (Some(bare), _) => (bare, Shown::Optional),
        (None, Some(bare)) => (bare, Shown::Example),
        (None, None) => (text, Shown::Bare),
    };
    if bare.starts_with('[') && bare.ends_with(']') {
        return Line::Table(bare, shown);
    }
    match bare.split_once(" = ") {
        Some((key, value)) if is_key(key) => Line::Key(key, Value(value), shown),
        _ => Line::Words(text.trim_start_matches('#').trim()),
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The reference as a configuration: `lines` of it without the marks before them, the others as they are.
pub fn with(reference: &str, lines: impl Fn(Line<'_>) -> bool) -> String {
    let one = |text: &str| if lines(line(text)) { bare(text) } else { text.to_owned() };
    reference.lines().map(|text| one(text) + "\n").collect()
}

fn bare(text: &str) -> String {
    text.trim_start_matches('#').trim_start().to_owned()
}

/// A table of the reference with the keys under it.
pub type Section<'t> = (&'t str, Vec<(&'t str, &'t str)>);

/// The tables in their order; what stands before the first has no name.
pub fn sections(reference: &str) -> Vec<Section<'_>> {
    let mut sections = vec![("", Vec::new())];
    for text in reference.lines() {
        match (line(text), sections.last_mut()) {
            (Line::Table(name, _), _) => sections.push((name, Vec::new())),
            (Line::Key(key, value, _), Some((_, keys))) => keys.push((key, value.0)),
            _ => {}
        }
    }
    sections
}

#[test]
fn a_line_is_read_as_it_is_meant() {
    use Shown::{Bare, Example, Optional};
    assert_eq!(line("state_dir = \"/x\""), Line::Key("state_dir", Value("\"/x\""), Bare));
    assert_eq!(line("#api = \"2.0\""), Line::Key("api", Value("\"2.0\""), Example));
    assert_eq!(line("# proxy = 1"), Line::Key("proxy", Value("1"), Optional));
    assert_eq!(line("#[tenants.acme.feed.\"ttp.*\"]"), Line::Table("[tenants.acme.feed.\"ttp.*\"]", Example));
    assert_eq!(line("# --- a title ------"), Line::Part("a title"));
    assert_eq!(line("# Words, with a = in them."), Line::Words("Words, with a = in them."));
    assert_eq!((line("#"), line("")), (Line::Blank, Line::Blank));
}

/// Indented, a key would be read as words and be missing from the page of keys.
#[test]
fn no_key_is_written_as_words() {
    let reference = text();
    let hidden: Vec<&str> = reference
        .lines()
        .filter(|text| {
            let key = |said: &str| said.split_once('=').is_some_and(|(key, _)| is_key(key.trim()));
            matches!(line(text), Line::Words(said) if key(said))
        })
        .collect();
    assert!(hidden.is_empty(), "write `#key = value` or `# key = value`: {hidden:?}");
}
