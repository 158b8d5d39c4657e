//! What is going to be written, as text that can be checked before it is on disk.

use std::path::{Path, PathBuf};

use crate::config::{self, KnownFeed, Settings};
use crate::setup_error::{ExitCode, SetupError};

/// The reference, whose general part becomes the beginning of a new configuration.
const REFERENCE: &str = include_str!("../../../config/mimecollectd.toml");
/// Makes any part of a configuration a whole one, so that only what was answered can be wrong.
const FILLING: &str = "[tenants.zz-init]\nclient_id = \"zz-init\"\nclient_secret = { env = \"X\" }\n\
                       [sinks.zz-init]\ntype = \"stdout\"\n";
/// Name of everything in [`FILLING`].
const FILLING_NAME: &str = "zz-init";

/// One `[group.name]` with its keys in the order in which they were put.
#[derive(Clone)]
pub struct Table {
    pub group: &'static str,
    pub name: String,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    key: String,
    /// As TOML.
    value: String,
    comment: String,
}

impl Table {
    pub fn new(group: &'static str, name: &str) -> Self {
        Table { group, name: name.to_owned(), entries: Vec::new() }
    }
    /// Sets a key to TOML text, with what it means.
    pub fn put(&mut self, key: &str, value: impl Into<String>, comment: &str) {
        let entry = Entry { key: key.to_owned(), value: value.into(), comment: comment.to_owned() };
        match self.entries.iter_mut().find(|found| found.key == key) {
            Some(found) => *found = entry,
            None => self.entries.push(entry),
        }
    }
    /// Sets a key to a text.
    pub fn put_text(&mut self, key: &str, text: &str, comment: &str) {
        self.put(key, quoted(text), comment);
    }
    /// Takes a key out again.
    pub fn drop(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }
    fn render(&self) -> String {
        let mut text = format!("[{}.{}]\n", self.group, key(&self.name));
        for entry in &self.entries {
            if !entry.comment.is_empty() {
                text.push_str(&format!("# {}\n", entry.comment));
            }
            text.push_str(&format!("{} = {}\n", key(&entry.key), entry.value));
        }
        text
    }
}

/// A text as TOML has it.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}

/// Where the configuration is, and what it has so far.
pub struct Site {
    /// The main file.
    pub main: PathBuf,
    /// Where the store will be; only written into a new main file.
    pub state_dir: PathBuf,
    pub tenants: Vec<String>,
    pub sinks: Vec<String>,
    known: Vec<KnownFeed>,
}

impl Site {
    /// Looks at what is there.
    ///
    /// # Errors
    /// There is a configuration, and it has mistakes: what is added could not be checked.
    pub fn look(main: &Path, state_dir: Option<PathBuf>) -> Result<Site, SetupError> {
        let main = std::path::absolute(main)
            .map_err(|why| SetupError::failed(format!("failed to find {}: {why}", main.display())))?;
        let system = main.starts_with("/etc");
        let directory = main.parent().unwrap_or(Path::new("/"));
        let usual = if system { PathBuf::from("/var/lib/mimecollectd") } else { directory.join("state") };
        let mut site = Site {
            state_dir: state_dir.unwrap_or(usual),
            main,
            tenants: Vec::new(),
            sinks: Vec::new(),
            known: crate::daemon::known_feeds(),
        };
        let found = site.check(&[]).map_err(|error| {
            if error.exit != ExitCode::Configuration {
                return error; // it may be well, and is not ours to read
            }
            let what = "the configuration that is there has to be mended before anything is added to it";
            SetupError::new(error.exit, format!("{what}:\n\n{}", error.message))
        })?;
        let ours = |name: &String| name != FILLING_NAME;
        site.tenants = found.tenants.into_iter().map(|tenant| tenant.name.clone()).filter(ours).collect();
        site.sinks = found.sinks.into_iter().map(|sink| sink.name).filter(ours).collect();
        Ok(site)
    }
    /// Directory of the main file.
    pub fn directory(&self) -> &Path {
        self.main.parent().unwrap_or(Path::new("/"))
    }
    /// There is no configuration yet.
    pub fn is_new(&self) -> bool {
        !self.main.exists()
    }
    /// The file that these tables go to: the main file while there is none, else one of their own beside it.
    pub fn target(&self, tables: &[Table]) -> PathBuf {
        match tables.first() {
            Some(first) if !self.is_new() => {
                self.directory().join("conf.d").join(format!("{}.toml", first.name))
            }
            _ => self.main.clone(),
        }
    }
    /// The text of that file.
    pub fn text(&self, tables: &[Table]) -> String {
        let mut text = if self.is_new() {
            general(&self.state_dir)
        } else {
            "# Written by `mimecollectd init`; belongs to mimecollectd.toml beside conf.d.\n".to_owned()
        };
        for table in tables {
            text.push('\n');
            text.push_str(&table.render());
        }
        text
    }
    /// What the whole configuration would be with these tables, in the words of `validate` where it is wrong.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn check(&self, tables: &[Table]) -> Result<Settings, SetupError> {
        let mut drafts = vec![(self.directory().join("conf.d").join("zz-init.toml"), FILLING.to_owned())];
        if self.is_new() || !tables.is_empty() {
            drafts.push((self.target(tables), self.text(tables)));
        }
        config::load_with(&self.main, &drafts, &self.known)
    }
}

/// Everything before the tables, from the reference.
fn general(state_dir: &Path) -> String {
    let begins = REFERENCE.find("# Where the store and its lock live").unwrap_or(0);
    let ends = REFERENCE.find("# --- one table per Mimecast account").unwrap_or(REFERENCE.len());
    let part = REFERENCE.get(begins..ends).unwrap_or_default();
    let usual = "state_dir = \"/var/lib/mimecollectd\"";
    let ours = format!("state_dir = {}", quoted(&state_dir.to_string_lossy()));
    format!(
        "# mimecollectd. Every key that may stand here, with its default, is in the reference that comes with the\n\
         # package (/usr/share/doc/mimecollectd/examples/mimecollectd.toml); `mimecollectd validate` says what the\n\
         # daemon makes of this file. After a change: `mimecollectd validate && systemctl reload mimecollectd`.\n\n{}\n",
        part.trim_end().replace(usual, &ours)
    )
}
