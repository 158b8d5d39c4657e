//! The documentation, held to its word: every piece of configuration in it can be used, every command in it is one,
//! and every link in it leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Cli;
use crate::config;

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

const PROGRAM: &str = "mimecollectd";

/// The words of a command line up to where the shell's own business begins, with quotes taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if matches!(c, '|' | '<' | '>' | ';' | '&' | '#' | ')') => break,
            None if c.is_whitespace() => words.push(String::new()),
            _ => words.iter_mut().last().into_iter().for_each(|word| word.push(c)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The calls of the program in a line, each from its name on.
fn calls(line: &str) -> Vec<Vec<String>> {
    let named = format!("{PROGRAM} ");
    let starts = line.match_indices(&named).filter(|(at, _)| {
        let before = line[..*at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == '`' || c == '(')
    });
    starts.map(|(at, _)| words(&line[at..])).collect()
}

/// Reads a call as the program would; nothing is run.
fn refused(call: &[String], whole: bool) -> Option<String> {
    let error = Cli::try_parse_from(call).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        // words in a sentence name a verb; what it needs besides stands elsewhere
        ErrorKind::MissingRequiredArgument
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if !whole =>
        {
            None
        }
        _ => Some(format!("`{}`: {error}", call.join(" "))),
    }
}

#[test]
fn every_command_is_one() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut look = |line: &str, whole: bool| {
            for call in calls(line) {
                // not `mimecollectd …`, and not the user's name before `-m 0750` or a path
                let verb = |word: &String| {
                    let letter = word.starts_with(|c: char| c.is_ascii_lowercase());
                    word.starts_with("--") || letter && !word.contains('/')
                };
                if call.get(1).is_some_and(verb) {
                    seen += 1;
                    wrong.extend(refused(&call, whole).map(|why| format!("{}: {why}", page.display())));
                }
            }
        };
        for (_, block) in blocks(&text, "sh") {
            let joined = block.replace("\\\n", " ");
            // there the name is the unit's
            joined.lines().filter(|line| !line.contains("systemctl")).for_each(|line| look(line, true));
        }
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if !fenced {
                let spans = line.split('`').skip(1).step_by(2).filter(|span| span.starts_with(PROGRAM));
                spans.for_each(|span| look(&span.replace(['[', ']'], ""), false));
            }
        }
    }
    assert!(wrong.is_empty(), "no such commands:\n{}", wrong.join("\n"));
    assert!(seen >= 60, "only {seen} commands looked at");
}
