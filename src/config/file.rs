//! From files to settings: reads the main file and `conf.d/*.toml` beside it, parses them, merges them by table.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::diagnostic::{Book, Place, Problem, SourceFile};
use super::mask::line_at;
use super::settings::{KnownFeed, Settings};
use super::table::{TOP_LEVEL, Table};
use super::value::Value;
use super::{access, alerts, general, sink, sink_file, tenant};
use crate::limits::{MAX_CONFIG_BYTES, MAX_CONFIG_FILES};
use crate::setup_error::{ExitCode, SetupError};

/// The configuration in `path` and in `conf.d/*.toml` beside it, checked against the feeds this version has.
///
/// Reads no secrets and no network. The error's text holds every mistake that could be found, each with file,
/// line, the line itself (secrets masked) and what to do; exit code 78, or 77 when a file may not be read.
pub fn load(path: &Path, known: &[KnownFeed]) -> Result<Settings, SetupError> {
    load_with(path, &[], known)
}

/// Like [`load`], as if the files of `drafts` (path and text) were already written: what they say is checked before
/// it is on disk.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: &Path,
    drafts: &[(PathBuf, String)],
    known: &[KnownFeed],
) -> Result<Settings, SetupError> {
    let draft = |path: &Path| drafts.iter().find(|(drafted, _)| drafted == path);
    let file = |path: &Path| match draft(path) {
        Some((path, text)) => Ok(SourceFile { path: path.clone(), text: Zeroizing::new(text.clone()) }),
        None => read(path),
    };
    let mut paths = parts(path)?;
    paths.extend(drafts.iter().map(|(drafted, _)| drafted.clone()).filter(|drafted| drafted != path));
    paths.sort();
    paths.dedup();
    let mut files = vec![file(path)?];
    for part in &paths {
        files.push(file(part)?);
    }
    let book = Book::new(&files);
    let documents: Vec<DeTable<'_>> =
        files.iter().enumerate().map(|(at, file)| parse(&book, at, &file.text)).collect();
    // After a syntax error the rest of a file means something else than what its author sees.
    let settings = if book.has_problems() { None } else { Roots::new(&book, &documents).settings(known) };
    let warnings = book.finish()?;
    // Nothing reported, yet nothing built: a reader above forgot to say why. Never reached by a test.
    let settings = settings.ok_or_else(|| SetupError::config("failed to read the configuration"))?;
    Ok(Settings { warnings, ..settings })
}

fn read(path: &Path) -> Result<SourceFile, SetupError> {
    let failed = |why: String, exit| {
        SetupError::new(exit, format!("failed to read the configuration file {}: {why}", path.display()))
    };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).and_then(|file| file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes)).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::NotFound => failed(
                "there is no such file; `mimecollectd init` writes one, --config PATH names another".into(),
                ExitCode::Configuration,
            ),
            std::io::ErrorKind::PermissionDenied => failed(
                format!("{error}; run as root or as the daemon's user, or correct the file's owner and mode"),
                ExitCode::Permission,
            ),
            _ => failed(error.to_string(), ExitCode::Configuration),
        },
    )?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        let why = format!("it is larger than {MAX_CONFIG_BYTES} bytes; is this the right file?");
        return Err(failed(why, ExitCode::Configuration));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(SourceFile { path: path.to_owned(), text: Zeroizing::new(text.to_owned()) }),
        Err(error) => {
            let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            let why = format!("line {line} is not UTF-8 text; save the file as UTF-8");
            Err(failed(why, ExitCode::Configuration))
        }
    }
}

/// The files that `load` reads: the main one and those beside it.
///
/// # Errors
/// `conf.d` cannot be read, or holds what is no file.
pub fn files(main: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let mut files = vec![main.to_owned()];
    files.extend(parts(main)?);
    Ok(files)
}

/// `conf.d/*.toml` beside the main file, by name; hidden files (editors' leftovers) are no configuration.
fn parts(main: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let directory = main.parent().unwrap_or(Path::new("")).join("conf.d");
    let failed = |error: std::io::Error| {
        let (exit, advice) = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                (ExitCode::Permission, "; run as root or as the daemon's user, or correct its owner and mode")
            }
            _ => (ExitCode::Configuration, ""),
        };
        SetupError::new(exit, format!("failed to read {}: {error}{advice}", directory.display()))
    };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        // A directory is nobody's configuration; opening a pipe would wait for its writer.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            let why = "it is not a regular file; remove it from conf.d";
            return Err(SetupError::config(format!("failed to read {}: {why}", path.display())));
        }
        found.push(path);
        if found.len() > MAX_CONFIG_FILES {
            let why = format!("more than {MAX_CONFIG_FILES} configuration files in it");
            return Err(SetupError::config(format!("failed to read {}: {why}", directory.display())));
        }
    }
    found.sort();
    Ok(found)
}

fn parse<'t>(book: &Book<'_>, file: usize, text: &'t str) -> DeTable<'t> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut lines = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let (line, _) = line_at(text, span.start);
        if lines.contains(&line) {
            continue; // the echo of the first mistake on this line
        }
        lines.push(line);
        // Only the first line of the parser's words: its own snippet would show the text unmasked.
        let why = error.message().lines().next().unwrap_or("cannot be read").to_owned();
        book.report(Problem::new("this is not TOML").at(Place::new(file, span), why).help(
            "texts stand in quotes, tables in [brackets], one `key = value` per line: https://toml.io",
        ));
    }
    document.into_inner()
}

/// The top level of every file, read as if it were one.
pub(super) struct Roots<'b> {
    pub book: &'b Book<'b>,
    tables: Vec<Table<'b>>,
}

impl<'b> Roots<'b> {
    fn new(book: &'b Book<'b>, documents: &'b [DeTable<'b>]) -> Self {
        let table = |(file, entries)| Table::new(book, Place::new(file, 0..0), TOP_LEVEL.into(), entries);
        Roots { book, tables: documents.iter().enumerate().map(table).collect() }
    }

    /// A key or table that may be written once in all files.
    pub fn single(&self, key: &'static str) -> Option<Value<'b>> {
        let mut found = self.tables.iter().filter_map(|table| table.get(key)).collect::<Vec<_>>().into_iter();
        let first = found.next()?;
        for again in found {
            self.twice(&format!("`{key}`"), &first, &again, "keep one of the two");
        }
        Some(first)
    }
    /// The tables `[group.NAME]` of all files in their order; the same name twice is reported.
    pub fn named(&self, group: &'static str, kind: &str) -> Vec<Value<'b>> {
        let mut found: Vec<Value<'b>> = Vec::new();
        let help = format!("write one table for each {kind}: [{group}.NAME]");
        let groups = self.tables.iter().filter_map(|table| table.get(group));
        let tables = groups.filter_map(|value| value.table_or(format!("[{group}]"), &help));
        for value in tables.flat_map(|table| table.all()) {
            match found.iter().find(|earlier| earlier.name == value.name) {
                Some(earlier) => {
                    let what = format!("{kind} `{}`", value.name);
                    self.twice(
                        &what,
                        earlier,
                        &value,
                        "keep one of the two, or give one of them another name",
                    );
                }
                None => found.push(value),
            }
        }
        found
    }
    fn twice(&self, what: &str, first: &Value<'_>, again: &Value<'_>, help: &str) {
        let problem = Problem::new(format!("{what} is written in two files"));
        self.book.report(
            problem.at(first.key_place(), "first here").at(again.key_place(), "again here").help(help),
        );
    }

    fn settings(self, known: &[KnownFeed]) -> Option<Settings> {
        let general = general::read(&self);
        let accounts = self.named("tenants", "tenant");
        let sinks = self.named("sinks", "sink");
        self.require_some(
            &accounts,
            "tenants",
            "nothing would be collected; add a table such as [tenants.acme]",
        );
        self.require_some(&sinks, "sinks", "nothing would be delivered; add a table such as [sinks.archive]");
        let names: Vec<&str> = accounts.iter().map(|tenant| tenant.name.as_str()).collect();
        let values = sinks;
        let sinks: Vec<_> = values.iter().map(|value| sink::read(value, &names, known)).collect();
        sink_file::refuse_shared(self.book, &sinks, &values);
        let tenants: Vec<_> = accounts.iter().map(|value| tenant::read(value, known)).collect();
        access::refuse_shared(self.book, &tenants, &accounts);
        let alerts = alerts::read(&self, &names);
        let floors = tenants.iter().flatten().any(|tenant| !tenant.loopback);
        let recovery = general::read_recoveries(&self, floors);
        let book = self.book;
        self.tables.into_iter().for_each(|table| table.finish(TOP_LEVEL));
        let settings = Settings {
            tenants: tenants.into_iter().map(|tenant| tenant.map(Arc::new)).collect::<Option<_>>()?,
            sinks: sinks.into_iter().collect::<Option<_>>()?,
            alerts: alerts?,
            recovery,
            ..general?
        };
        sink_file::refuse_taken(book, &settings, &values);
        general::warn_of_the_whole(book, &settings);
        Some(settings)
    }
    fn require_some(&self, found: &[Value<'_>], group: &str, help: &str) {
        if let (true, Some(main)) = (found.is_empty(), self.book.files().first()) {
            let title = format!("no {group} in {} or conf.d beside it", main.path.display());
            self.book.report(Problem::new(title).help(help));
        }
    }
}
