//! The questions about a destination.

use super::Args;
use super::dialogue::Question;
use super::draft::{Table, quoted};
use super::interview::{Asking, Interview};
use super::keys::Given;
use super::kinds::{self, Kind, More, Named, Place};
use crate::config::settings::FormatName;
use crate::setup_error::{ExitCode, SetupError};

impl Interview<'_> {
    /// `[sinks.NAME]`; `given` as `--sink` says it.
    pub fn sink(&mut self, given: Option<&str>, args: &Args) -> Result<(), SetupError> {
        let named = match given {
            Some(text) => {
                let refused =
                    |why| SetupError::new(ExitCode::Usage, format!("--sink: {why}; nothing was written"));
                kinds::parse(text).map_err(refused)?
            }
            None => self.kind()?,
        };
        let Named { kind, name, place } = named;
        let why = "The sink gets a name of its own, as `status` and the metrics will show it.";
        let question = Question::new("--sink NAME=…", "name of the sink", why).or(name.as_str());
        let filling = place_or_filling(kind, &place);
        self.settle(&question, given.map(|_| name.as_str()), |tables, name| {
            tables.push(sink_table(kind, name, &filling));
            Ok(())
        })?;
        if !matches!(kind.place, Place::Nowhere) {
            let question = place_question(kind);
            let given = given.map(|_| place.as_str());
            self.settle(&question, given, |tables, place| {
                let table = tables.last_mut().ok_or("no sink")?;
                put_place(table, kind, &kinds::with_port(kind, place.to_owned()));
                Ok(())
            })?;
        }
        self.format(kind, args)?;
        self.trust(kind, args)?;
        self.keys(args)?;
        self.token(kind, args)?;
        kind.more.iter().try_for_each(|more| self.more(more, kind, args))
    }

    fn kind(&self) -> Result<Named, SetupError> {
        let mut why = String::from(
            "Where the events go. More destinations can be added later, each with its own progress.\n",
        );
        for (at, kind) in kinds::built_in().enumerate() {
            why.push_str(&format!("  {:>2}  {:<13} {}\n", at + 1, kind.word, kind.title));
        }
        let question =
            Question::new("--sink KIND://…", "kind of destination, by number or word", why.trim_end())
                .or("1");
        loop {
            let answer = self.answer(&question, None)?;
            let by_number =
                answer.parse::<usize>().ok().and_then(|at| kinds::built_in().nth(at.checked_sub(1)?));
            if let Some(kind) = by_number.or_else(|| kinds::built_in().find(|kind| kind.word == answer)) {
                let name = kind.word.replace('+', "-");
                return Ok(Named { kind, name, place: String::new() });
            }
            // a whole `--sink` is an answer as well
            match kinds::parse(&answer) {
                Ok(named) => return Ok(named),
                Err(why) if self.talk.terminal => {
                    self.talk.say(&format!("  {why}, or a number from 1 to {}", kinds::built_in().count()))
                }
                Err(why) => {
                    return Err(SetupError::new(ExitCode::Usage, format!("{why}; nothing was written")));
                }
            }
        }
    }

    fn format(&mut self, kind: &Kind, args: &Args) -> Result<(), SetupError> {
        let names: Vec<&str> = FormatName::ALL.iter().map(|(name, ..)| *name).collect();
        let why = "How an event is written: json is the whole event with its id, leef is for QRadar, cef for ArcSight, ecs for \
                   Elastic, gelf for Graylog.";
        let question = Question::new("--format", format!("format: {}", names.join(" ")), why).or(kind.format);
        let put = |tables: &mut Vec<Table>, format: &str| {
            tables.last_mut().ok_or("no sink")?.put_text(
                "format",
                format,
                "docs/formats.md says which field is which",
            );
            Ok(())
        };
        self.settle(&question, args.format.as_deref(), put).map(drop)
    }

    fn trust(&mut self, kind: &Kind, args: &Args) -> Result<(), SetupError> {
        if !kind.encrypted || self.asking != Asking::All && args.ca_file.is_none() {
            return Ok(());
        }
        let why = "Whose certificates to trust; needed where the receiver's certificate is from an authority of your own.";
        let question =
            Question::new("--ca-file", "PEM file of the authority (empty: what this system trusts)", why)
                .or("");
        let in_table = !matches!(kind.place, Place::Url(_));
        let put = |tables: &mut Vec<Table>, path: &str| {
            let table = tables.last_mut().ok_or("no sink")?;
            match (path.is_empty(), in_table) {
                (true, _) => {}
                (false, true) => table.put(
                    "tls",
                    format!("{{ ca_file = {} }}", quoted(path)),
                    "trusts only this authority",
                ),
                (false, false) => table.put_text("ca_file", path, "trusts only this authority"),
            }
            if !path.is_empty() && !std::path::Path::new(path).is_file() {
                return Err(format!("there is no file {path}"));
            }
            Ok(())
        };
        self.settle(&question, args.ca_file.as_deref(), put).map(drop)
    }

    /// Keys beyond those that are asked for.
    fn keys(&mut self, args: &Args) -> Result<(), SetupError> {
        let set: Vec<(&str, &str)> =
            args.set.iter().map(|text| text.split_once('=').unwrap_or((text, ""))).collect();
        for (key, value) in set {
            let question = Question::new("--set", key, "");
            let put = |tables: &mut Vec<Table>, answer: &str| {
                tables.last_mut().ok_or("no sink")?.put(key, as_toml(answer), "");
                Ok(())
            };
            self.settle(&question, Some(value), put)?;
        }
        Ok(())
    }

    fn token(&mut self, kind: &Kind, args: &Args) -> Result<(), SetupError> {
        let Some(word) = kind.token else { return Ok(()) };
        let given = args.secrets.token();
        let needed = kind.fixed.iter().any(|(key, ..)| *key == "token");
        if matches!(given, Given::Nothing) && !needed {
            if self.asking != Asking::All {
                return Ok(());
            }
            let why = format!("Whether the destination asks for a {word}.");
            let question =
                Question::new("--token-file", format!("does it ask for a {word}? yes or no"), why).or("no");
            if !self.answer(&question, None)?.to_ascii_lowercase().starts_with('y') {
                return Ok(());
            }
        }
        let name = self.tables.last().map(|table| table.name.clone()).unwrap_or_default();
        let question = Question::new("--token-file", word, "It is not shown while it is typed.");
        let value = self.secret(&question, given, format!("{name}-token"), false)?;
        if let Some(table) = self.tables.last_mut() {
            table.put("token", value, "sent with every request");
        }
        self.site.check(&self.tables).map(drop)
    }

    /// A key that this kind cannot do without, unless `--set` has it.
    fn more(&mut self, more: &More, kind: &Kind, args: &Args) -> Result<(), SetupError> {
        let set = |text: &String| text.split_once('=').is_some_and(|(key, _)| key == more.key);
        if args.set.iter().any(set) {
            return Ok(());
        }
        let why = "The page of the destination in docs/ says where to find it.";
        let mut question = Question::new(more.flag, more.ask, why);
        question.default = more.usual.map(str::to_owned);
        if !more.secret {
            let put = |tables: &mut Vec<Table>, answer: &str| {
                tables.last_mut().ok_or("no sink")?.put_text(more.key, answer, more.ask);
                Ok(())
            };
            return self.settle(&question, None, put).map(drop);
        }
        // a flag for one secret of a sink there is; a kind that has two needs `--set` for the other
        let given = if kind.token.is_none() { args.secrets.token() } else { Given::Nothing };
        let name = self.tables.last().map(|table| table.name.clone()).unwrap_or_default();
        question.why.push_str(" It is not shown while it is typed.");
        let file = format!("{name}-{}", more.key.replace('_', "-"));
        let value = self.secret(&question, given, file, false)?;
        if let Some(table) = self.tables.last_mut() {
            table.put(more.key, value, more.ask);
        }
        self.site.check(&self.tables).map(drop)
    }
}

fn sink_table(kind: &Kind, name: &str, place: &str) -> Table {
    let mut table = Table::new("sinks", name);
    for (key, value, comment) in kind.fixed {
        table.put(key, *value, comment);
    }
    for more in kind.more {
        table.put(more.key, more.filling, more.ask);
    }
    put_place(&mut table, kind, place);
    table
}

/// A value as `--set` has it: TOML where it is TOML, else a text.
fn as_toml(text: &str) -> String {
    let one = |table: toml::Table| table.len() == 1 && !text.contains('\n');
    let is_toml = format!("x = {text}").parse::<toml::Table>().is_ok_and(one);
    if is_toml { text.to_owned() } else { quoted(text) }
}

fn put_place(table: &mut Table, kind: &Kind, place: &str) {
    match kind.place {
        Place::Address(_) => table.put_text("address", place, "HOST:PORT of the receiver"),
        Place::Brokers(_) => {
            let brokers: Vec<String> = place.split(',').map(|broker| quoted(broker.trim())).collect();
            let comment = "brokers to begin with; the cluster names the others";
            table.put("brokers", format!("[{}]", brokers.join(", ")), comment);
        }
        Place::Url(_) => table.put_text("url", place, "where the events are posted"),
        Place::Path(_) => table.put_text(
            "path",
            place,
            "the daemon's user must be able to write there (ReadWritePaths= of the unit)",
        ),
        Place::Nowhere => {}
    }
}

/// Something that can be checked while the place is not known.
fn place_or_filling(kind: &Kind, place: &str) -> String {
    if !place.is_empty() {
        return place.to_owned();
    }
    match kind.place {
        Place::Address(port) | Place::Brokers(port) => format!("siem.example.com:{port}"),
        Place::Url(example) | Place::Path(example) => example.to_owned(),
        Place::Nowhere => String::new(),
    }
}

fn place_question(kind: &Kind) -> Question {
    match kind.place {
        Place::Address(port) => {
            let why = format!("Host and port of the receiver; without a port, {port}.");
            Question::new("--sink", "address", why)
        }
        Place::Brokers(port) => {
            let why = format!(
                "Host and port of a broker or of several, separated by commas; without a port, {port}."
            );
            Question::new("--sink", "brokers", why)
        }
        Place::Url(example) => {
            Question::new("--sink", "URL", format!("Where events are posted, such as {example}"))
        }
        Place::Path(example) => Question::new(
            "--sink",
            "path of the file",
            "Its directory has to exist and belong to the daemon's user.",
        )
        .or(example),
        Place::Nowhere => Question::new("--sink", "", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::Site;
    use super::*;

    /// Every type and preset of the reference; `json` is `ndjson` as an array, for whoever asks with `--set`.
    #[test]
    fn every_destination_has_a_row() {
        let reference = include_str!("../../../config/mimecollectd.toml");
        let sinks = reference.split("# --- one table per").nth(2).unwrap();
        let kinds = sinks.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = "));
        let mut seen = 0;
        for (key, value) in kinds.filter(|(key, _)| matches!(*key, "type" | "preset")) {
            let named = |kind: &Kind| kind.fixed.iter().any(|(k, v, _)| (*k, *v) == (key, value));
            assert!(kinds::KINDS.iter().any(named), "{key} = {value} cannot be written by `init`");
            seen += 1;
        }
        assert!(seen > 18, "{seen}");
        assert!(kinds::KINDS.iter().any(|kind| kind.word == "kafka"));
    }

    /// What a row writes, before anybody has answered anything, is a sink that the daemon would run.
    #[test]
    fn every_row_makes_a_sink() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::look(&dir.path().join("m.toml"), None).unwrap();
        for kind in kinds::built_in() {
            let mut table = sink_table(kind, "siem", &place_or_filling(kind, ""));
            table.put_text("format", kind.format, "");
            let found =
                site.check(&[table]).unwrap_or_else(|error| panic!("{}: {}", kind.word, error.message));
            assert!(found.sinks.iter().any(|sink| sink.name == "siem"), "{}", kind.word);
        }
    }

    #[test]
    fn a_value_is_toml_or_else_a_text() {
        for (text, value) in [
            ("true", "true"),
            ("5", "5"),
            ("{ events = 1 }", "{ events = 1 }"),
            ("\"a\"", "\"a\""),
            ("newline", "\"newline\""),
            ("logs-{feed}", "\"logs-{feed}\""),
        ] {
            assert_eq!(as_toml(text), value, "{text}");
        }
        let two_lines: toml::Table = format!("k = {}", as_toml("1\nx = 2")).parse().unwrap();
        assert_eq!((two_lines.len(), two_lines["k"].as_str()), (1, Some("1\nx = 2")));
    }
}
