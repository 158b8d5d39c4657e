//! The documentation, held to its word: every piece of configuration in it can be used, every link in it leads
//! somewhere, and the page of keys is the reference.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config;

const REFERENCE: &str = "config/mimecollectd.toml";
const KEYS: &str = "docs/configuration.md";
/// Completes a piece of configuration.
const TENANT: &str = "[tenants.zz]\nclient_id = \"-\"\nclient_secret = { env = \"X\" }\n";
const SINK: &str = "[sinks.zz]\ntype = \"stdout\"\n";

/// Every page for people.
fn pages() -> Vec<PathBuf> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "packaging/INSTALL.md"];
    let mut found: Vec<PathBuf> = top.iter().map(PathBuf::from).collect();
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    found.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    found.sort();
    found
}

/// Contents of the fenced blocks in a language, with the line they begin on.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line.trim_start().starts_with("```") => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line.trim() == format!("```{language}") => open = Some((at + 2, String::new())),
            None => {}
        }
    }
    found
}

#[test]
fn every_piece_of_configuration_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mimecollectd.toml");
    let mut seen = 0;
    for page in pages() {
        for (line, block) in blocks(&fs::read_to_string(&page).unwrap(), "toml") {
            seen += 1;
            let mut text = block.clone();
            if !block.contains("[tenants.") {
                // a sink that names a tenant means one of the reader's
                let named = if block.contains("tenants = [\"acme\"]") {
                    TENANT.replace("zz", "acme")
                } else {
                    TENANT.to_owned()
                };
                text.push_str(&named);
            }
            if !block.contains("[sinks.") {
                text.push_str(SINK);
            }
            fs::write(&path, &text).unwrap();
            if let Err(error) = config::load(&path, &crate::daemon::known_feeds()) {
                if error.message.contains("was built without") {
                    continue; // of a destination that has to be asked for when building
                }
                panic!("{}:{line}: {}\n{block}", page.display(), error.message);
            }
        }
    }
    assert!(seen >= 12, "only {seen} pieces: were the pages moved?");
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_';
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// `[words](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        if code {
            continue;
        }
        // what stands between backticks is no link
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            found.extend(rest.split(')').next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue; // of other people; cannot be looked at without a network
            }
            seen += 1;
            let (file, part) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap_or(Path::new("")).join(file),
            };
            let Ok(text) = fs::read_to_string(&target)
                .or_else(|why| if target.is_dir() { Ok(String::new()) } else { Err(why) })
            else {
                broken.push(format!("{}: {link}", page.display()));
                continue;
            };
            let mut headings =
                text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
            if !part.is_empty() && !headings.any(|heading| anchor(heading) == part) {
                broken.push(format!("{}: {link} (no such heading)", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    assert!(seen >= 30, "only {seen} links looked at");
}

/// What a line of the reference is.
enum Line<'t> {
    /// `# --- title ---`
    Part(&'t str),
    /// `[table]`
    Table(&'t str),
    /// A key, its value, and whether that is the default.
    Key(&'t str, &'t str, bool),
    Words(&'t str),
    Blank,
}

fn line(text: &str) -> Line<'_> {
    if text.trim().is_empty() || text.trim() == "#" {
        return Line::Blank;
    }
    if let Some(title) = text.strip_prefix("# --- ") {
        return Line::Part(title.trim_end_matches('-').trim());
    }
    let (bare, example) = match text.strip_prefix("# ") {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('#').unwrap_or(text), false),
    };
    if bare.starts_with('[') && bare.ends_with(']') {
        return Line::Table(bare);
    }
    match bare.split_once(" = ") {
        Some((key, value)) if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            let shown_in_capitals = value.chars().any(|c| c.is_ascii_uppercase()) && !value.contains("iB");
            Line::Key(key, value, !example && !shown_in_capitals && !value.contains("credential = "))
        }
        _ => Line::Words(text.trim_start_matches('#').trim()),
    }
}

/// `docs/configuration.md`, as the reference has it.
fn document() -> String {
    let reference = fs::read_to_string(REFERENCE).unwrap();
    let (preface, rest) = reference.split_once("\n\n# Where the store").unwrap();
    let rest = format!("# Where the store{rest}");
    let mut out = String::from(
        "# Configuration: every key\n\nGenerated from [config/mimecollectd.toml](../config/mimecollectd.toml), the commented reference \
         that comes with the package.\n`mimecollectd validate` says what the daemon makes of a file; a key that does not exist is an error \
         with its line and the nearest\nkey that does. Words such as `acme` and `siem` are names of your choice.\n\n",
    );
    let kept = preface.lines().skip_while(|line| !line.starts_with("# Durations"));
    out.push_str("```text\n");
    kept.for_each(|line| out.push_str(&format!("{}\n", line.trim_start_matches("# "))));
    out.push_str("```\n\n## At the top of the file\n\n");
    let mut words: Vec<&str> = Vec::new();
    let mut rows = false;
    for text in rest.lines() {
        match line(text) {
            Line::Blank => prose(&mut out, &mut words, &mut rows),
            Line::Part(title) => {
                prose(&mut out, &mut words, &mut rows);
                let mut letters = title.chars();
                let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
                out.push_str(&format!("\n## {first}{}\n\n", letters.as_str()));
            }
            Line::Table(name) => {
                rows = false;
                out.push_str(&format!("\n### `{name}`\n\n"));
                if !words.is_empty() {
                    out.push_str(&format!("{}\n\n", std::mem::take(&mut words).join(" ")));
                }
            }
            Line::Words(said) => words.push(said),
            Line::Key(key, value, default) => {
                if !rows {
                    out.push_str("| key | default | meaning |\n|---|---|---|\n");
                    rows = true;
                }
                let shown = if default { format!("`{value}`") } else { format!("none; such as `{value}`") };
                let meaning = std::mem::take(&mut words).join(" ");
                out.push_str(&format!("| `{key}` | {} | {} |\n", cell(&shown), cell(&meaning)));
            }
        }
    }
    prose(&mut out, &mut words, &mut rows);
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out
}

/// Words that no key follows.
fn prose(out: &mut String, words: &mut Vec<&str>, rows: &mut bool) {
    *rows = false;
    if !words.is_empty() {
        out.push_str(&format!("\n{}\n\n", std::mem::take(words).join(" ")));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Run with `UPDATE_EXPECT=1` to write the page anew, and read the difference.
#[test]
fn the_page_of_keys_is_the_reference() {
    let document = document();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(KEYS, &document).unwrap();
    }
    let committed = fs::read_to_string(KEYS).unwrap_or_default();
    assert!(committed == document, "{KEYS} is not what {REFERENCE} says; set UPDATE_EXPECT=1");
    assert!(document.matches("\n| `").count() > 60, "too few keys");
}
