//! The rules, each a function from sources to breaches.

use super::reading::Source;
use super::*;

/// Breaches of one kind, each as `file:line: what`.
#[derive(Default)]
pub struct Breaches(pub Vec<String>);

impl Breaches {
    fn add(&mut self, source: &Source, line: usize, what: impl std::fmt::Display) {
        self.0.push(format!("{}:{line}: {what}", source.path));
    }
}

/// Whether the file lies under one of these, seen from `src/`.
pub fn under(source: &Source, places: &[&str]) -> bool {
    source.in_src().is_some_and(|path| places.iter().any(|place| path.starts_with(place)))
}

pub fn arrows(source: &Source, out: &mut Breaches) {
    let room = source.room();
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        if source.in_src().is_some() {
            out.add(source, 1, format!("room `{room}` has no row in ARROWS"));
        }
        return;
    };
    for (target, module, line) in uses(source) {
        let known = VOCABULARY.contains(&target) || ARROWS.iter().any(|(name, _)| *name == target);
        let vocabulary = VOCABULARY.contains(&target) && room != "simulator";
        let named = allowed.iter().any(|a| *a == "*" || *a == target || *a == format!("{target}::{module}"));
        if known && target != room && !vocabulary && !named {
            out.add(source, line, format!("{room} may not use {target}"));
        }
    }
}

/// Paths that start at the crate's root: first part, second part, line.
pub fn uses(source: &Source) -> Vec<(&str, &str, usize)> {
    let depth = source.in_src().unwrap_or_default().trim_end_matches("/mod.rs").split('/').count();
    let roots: &[&str] = match source.room() {
        "simulator" | "root" => &["mimecollectd"],
        _ => &["crate", "mimecollectd"],
    };
    let mut found = Vec::new();
    let mut supers = 0;
    for (at, word) in source.product_words() {
        if word.text == ":" {
            continue;
        }
        if !source.reads(at + 1, &[":", ":"]) {
            supers = 0;
            continue;
        }
        if word.text == "super" {
            supers += 1;
        }
        let from_root = roots.contains(&word.text.as_str()) || (word.text == "super" && supers >= depth);
        if from_root {
            firsts(source, at + 3, &mut found);
        }
    }
    found
}

/// What follows `crate::`: one name, or the first name of each entry in braces.
pub fn firsts<'s>(source: &'s Source, at: usize, found: &mut Vec<(&'s str, &'s str, usize)>) {
    let text = |n: usize| source.words.get(n).map_or("", |word| word.text.as_str());
    let mut entry = |n: usize| {
        let second = if source.reads(n + 1, &[":", ":"]) { text(n + 3) } else { "" };
        found.push((text(n), second, source.words[n].line));
    };
    if text(at) != "{" {
        return if at < source.words.len() {
            entry(at)
        };
    }
    let (mut depth, mut n) = (0_usize, at);
    while n < source.words.len() {
        match text(n) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if depth == 1 && ["{", ","].contains(&text(n - 1)) => entry(n),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        n += 1;
    }
}

pub fn purity(source: &Source, out: &mut Breaches) {
    if !under(source, PURE) || under(source, NOT_PURE) {
        return;
    }
    for line in source.facts.asynchronous.iter().filter(|line| !source.is_test(**line)) {
        out.add(source, *line, "async in a pure room");
    }
    for (_, word) in source.product_words() {
        if ["await", "tokio", "Clock", "SystemTime", "Instant"].contains(&word.text.as_str()) {
            out.add(source, word.line, format!("`{}` in a pure room", word.text));
        }
    }
}

pub fn owners(source: &Source, out: &mut Breaches) {
    for (at, word) in source.product_words() {
        let text = word.text.as_str();
        if text == "sqlx" && source.reads(at + 1, &[":", ":"]) && !under(source, &["store/"]) {
            out.add(source, word.line, "only store speaks SQL");
        }
        let call = source.reads(at + 1, &["("])
            && at > 0
            && [".", ":"].contains(&source.words[at - 1].text.as_str());
        if ["spawn", "spawn_local", "spawn_on"].contains(&text) && call && !under(source, SPAWN_ALLOWED) {
            out.add(source, word.line, "only the daemon spawns tasks");
        }
        let number = text.trim_end_matches("u16").trim_end_matches('_');
        if STATUSES.contains(&number) && !under(source, STATUSES_ALLOWED) {
            out.add(source, word.line, format!("status {number} named outside the recovery table"));
        }
        // the HTTP client's switch that turns its own second attempts off
        let off =
            source.reads(at, &["retry", ":", ":", "never"]) || source.reads(at, &["retry", "(", "reqwest"]);
        if says_retry(text) && !off && !under(source, RETRY_ALLOWED) {
            out.add(source, word.line, format!("{text}: what follows a fault is the supervisor's to say"));
        }
    }
}

pub fn says_retry(word: &str) -> bool {
    let mut word = word.to_ascii_lowercase();
    for theirs in THEIR_WORDS {
        word = word.replace(theirs, "");
    }
    word.contains("retry") || word.contains("retries")
}

pub fn tests(source: &Source, out: &mut Breaches) {
    for line in &source.facts.ignored {
        out.add(source, *line, "an ignored test is no test");
    }
    for word in &source.words {
        if source.is_test(word.line) && ["sleep", "sleep_until"].contains(&word.text.as_str()) {
            out.add(source, word.line, "a test that sleeps is slow or wrong; wait for the event itself");
        }
    }
}

pub fn sizes(sources: &[Source], out: &mut Breaches) {
    let (mut all, mut long) = (0, Vec::new());
    for source in sources {
        let lines = source.text.lines().count();
        if lines > MAX_FILE_LINES {
            out.add(source, lines, format!("{lines} lines in one file, {MAX_FILE_LINES} are allowed"));
        }
        for part in source.path.trim_end_matches(".rs").split('/').filter(|part| EMPTY_NAMES.contains(part)) {
            out.add(source, 1, format!("the name `{part}` says nothing"));
        }
        for (line, name, lines) in source.facts.functions.iter().filter(|f| !source.is_test(f.0)) {
            all += 1;
            if *lines > MAX_FN_LINES {
                out.add(source, *line, format!("fn {name} has {lines} lines, {MAX_FN_LINES} are allowed"));
            }
            if *lines > USUAL_FN_LINES {
                long.push(format!("{}:{line}: fn {name} has {lines} lines", source.path));
            }
        }
    }
    if long.len() * 100 > all * (100 - USUAL_SHARE) {
        out.0.push(format!("{} of {all} functions exceed {USUAL_FN_LINES} lines:", long.len()));
        out.0.extend(long);
    }
}

pub fn documentation(sources: &[Source], out: &mut Breaches) {
    // In a binary, `pub` reaches no reader outside it.
    let product = || {
        let library = |source: &&Source| source.in_src().is_some() && source.room() != "simulator";
        sources.iter().filter(library).filter(|source| !source.test_only)
    };
    let public: usize = product().map(|source| source.facts.public).sum();
    let missing: usize = product().map(|source| source.facts.undocumented.len()).sum();
    if missing * 100 > public * (100 - DOCUMENTED_SHARE) {
        out.0.push(format!("{missing} of {public} public items have no doc comment:"));
        for source in product() {
            for (line, name) in &source.facts.undocumented {
                out.add(source, *line, name);
            }
        }
    }
}

/// Text of one machine in any file, where a path or a host begins.
pub fn machine_text(path: &str, text: &str, out: &mut Breaches) {
    for (n, line) in text.lines().enumerate() {
        for pattern in MACHINE_TEXT {
            let begins = |at: usize| {
                let before = line[..at].chars().next_back();
                !pattern.starts_with('/')
                    || before.is_none_or(|c| !c.is_alphanumeric() && !"./-_".contains(c))
            };
            if line.match_indices(pattern).any(|(at, _)| begins(at)) {
                out.0.push(format!("{path}:{}: text of one machine: {pattern}", n + 1));
            }
        }
    }
}

pub fn breaches(sources: &[Source]) -> Vec<String> {
    let mut out = Breaches::default();
    for source in sources {
        arrows(source, &mut out);
        purity(source, &mut out);
        owners(source, &mut out);
        tests(source, &mut out);
    }
    sizes(sources, &mut out);
    documentation(sources, &mut out);
    out.0
}
