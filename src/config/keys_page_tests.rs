//! `docs/configuration.md` is the reference as a page.

use std::fs;

use super::reference_lines::{Line, Shown, line, sections, text};

const PAGE: &str = "docs/configuration.md";

/// `docs/configuration.md`, as the reference has it.
fn document() -> String {
    let reference = text();
    let (preface, rest) = reference.split_once("\n\n# Where the store").unwrap();
    let rest = format!("# Where the store{rest}");
    let mut out = String::from(
        "# Configuration: every key\n\nGenerated from [config/mimecollectd.toml](../config/mimecollectd.toml), the commented reference \
         that comes with the package.\n`mimecollectd validate` says what the daemon makes of a file; a key that does not exist is an error \
         with its line and the nearest\nkey that does. Words such as `acme` and `siem` are names of your choice.\n\n",
    );
    let kept = preface.lines().skip_while(|line| !line.starts_with("# Durations"));
    out.push_str("```text\n");
    kept.for_each(|line| {
        out.push_str(&format!("{}\n", line.trim_start_matches('#').strip_prefix(' ').unwrap_or_default()))
    });
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
            Line::Table(name, _) => {
                rows = false;
                out.push_str(&format!("\n### `{name}`\n\n"));
                if !words.is_empty() {
                    out.push_str(&format!("{}\n\n", std::mem::take(&mut words).join(" ")));
                }
            }
            Line::Words(said) => words.push(said),
            Line::Key(key, value, how) => {
                if !rows {
                    out.push_str("| key | default | meaning |\n|---|---|---|\n");
                    rows = true;
                }
                let default = how != Shown::Optional && !value.is_yours();
                let value = value.0;
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
        fs::write(PAGE, &document).unwrap();
    }
    let committed = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(committed == document, "{PAGE} is not what the reference says; set UPDATE_EXPECT=1");
    assert!(document.matches("\n| `").count() > 60, "too few keys");
}

/// Reads the page as its reader does: a heading is a table, a row under it is a key of that table.
#[test]
fn it_shows_every_key_once_under_its_table() {
    let page = document();
    let mut shown: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in page.lines() {
        let code = |before: &str| line.strip_prefix(before).and_then(|rest| rest.split('`').next());
        match (code("### `"), code("| `"), shown.last_mut()) {
            (Some(table), ..) => shown.push((table, Vec::new())),
            (_, Some(key), None) => shown.push(("", vec![key])),
            (_, Some(key), Some((_, keys))) => keys.push(key),
            _ => {}
        }
    }
    let reference = text();
    let meant = sections(&reference);
    assert_eq!(shown.len(), meant.len());
    for ((table, keys), (title, all)) in shown.iter().zip(&meant) {
        assert_eq!((table, keys), (title, &all.iter().map(|(key, _)| *key).collect()));
        let once = keys.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(once.len(), keys.len(), "{table} shows a key twice: {keys:?}");
    }
}
