//! One table of a configuration file. Readers ask for the keys they know; [`Table::finish`] then reports every
//! key nobody asked for, so that the list of known keys exists only once: as the reading itself.

use std::cell::RefCell;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Book, Place, Problem};
use super::nearest::nearest;
use super::secret_ref::SecretRef;
use super::value::{Value, quoted};
use crate::secret::Secret;

/// What the table of a whole file is called.
pub(super) const TOP_LEVEL: &str = "the top level";

pub(super) struct Table<'b> {
    pub book: &'b Book<'b>,
    pub here: Place,
    /// How messages name it: `[tenants.acme]`.
    pub title: String,
    entries: &'b DeTable<'b>,
    asked: RefCell<Vec<&'static str>>,
    refused: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<(&'static str, Problem)>>,
}

impl<'b> Table<'b> {
    pub fn new(book: &'b Book<'b>, here: Place, title: String, entries: &'b DeTable<'b>) -> Self {
        Table {
            book,
            here,
            title,
            entries,
            asked: RefCell::default(),
            refused: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    fn within(&self) -> String {
        if self.title == TOP_LEVEL { format!("at {TOP_LEVEL}") } else { format!("in {}", self.title) }
    }

    /// The value of `key`, if it is there; also notes that the key is a known one.
    pub fn get(&self, key: &'static str) -> Option<Value<'b>> {
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
        }
        self.peek(key)
    }
    fn peek(&self, key: &str) -> Option<Value<'b>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.value(name, value))
    }
    fn value(
        &self,
        name: &'b toml::Spanned<toml::de::DeString<'b>>,
        value: &'b toml::Spanned<DeValue<'b>>,
    ) -> Value<'b> {
        Value {
            book: self.book,
            file: self.here.file,
            name: name.get_ref().to_string(),
            key: name.span(),
            inner: value.get_ref(),
            span: value.span(),
        }
    }
    /// Like [`Table::get`], and reports when the key is missing; `example` completes "add …".
    pub fn require(&self, key: &'static str, example: &str) -> Option<Value<'b>> {
        let found = self.get(key);
        if found.is_none() {
            let title = format!("`{key}` is missing {}", self.within());
            let help = format!("add {example}");
            let problem = Problem::new(title).at(self.here.clone(), "in this table").help(help);
            self.missing.borrow_mut().push((key, problem));
        }
        found
    }
    /// A key that means something elsewhere, and nothing here: refused, never ignored. `but` ends the sentence that
    /// says where it stands.
    pub fn foreign(&self, key: &'static str, but: &str, why: &str, help: &str) {
        self.refused.borrow_mut().push(key);
        if let Some(value) = self.peek(key) {
            value.hide_if_secret(key);
            let title = format!("`{key}` is written {}, {but}", self.within());
            self.book.report(Problem::new(title).at(value.key_place(), why).help(help));
        }
    }
    /// Keys that another value of this table makes meaningless: refused, never ignored.
    pub fn has_no_effect(&self, keys: &[&'static str], why: &str) {
        for value in keys.iter().filter_map(|key| self.peek(key)) {
            let title = format!("`{}` has no effect {}", value.name, self.within());
            self.book.report(Problem::new(title).at(value.key_place(), why).help("remove it"));
        }
    }
    /// Every entry, whatever its key.
    pub fn all(&self) -> Vec<Value<'b>> {
        self.entries.iter().map(|(name, value)| self.value(name, value)).collect()
    }

    /// A secret or the place that holds it; `what` names it in the warning about literals.
    pub fn secret(&self, value: &Value<'b>, what: &str) -> Option<SecretRef> {
        const HELP: &str = "write { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";
        if let DeValue::Table(_) = value.inner {
            return secret_table(value, HELP);
        }
        value.hide();
        let text = value.text_like("a secret", HELP)?;
        let advice = format!(
            "the {what} is written in the configuration, where everybody who may read the file can see it; {HELP} instead"
        );
        self.book.warn(&value.place(), &advice);
        Some(SecretRef::Literal(Secret::new(text)))
    }

    /// Reports the keys nobody asked for; `a_kind` is what the table describes: "a tenant".
    pub fn finish(self, a_kind: &str) {
        let (asked, refused, mut missing) = (self.asked.borrow(), self.refused.borrow(), self.missing.take());
        for value in self.all() {
            let name = value.name.as_str();
            if asked.contains(&name) || refused.contains(&name) {
                continue;
            }
            let near = nearest(name, asked.iter().copied());
            value.hide_if_secret(near.unwrap_or(name));
            missing.retain(|(key, _)| near != Some(*key)); // it is there, mistyped
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys of {a_kind} are: {}", asked.join(", ")),
            };
            let title = format!("unknown key {} {}", quoted(name), self.within());
            let why = format!("not a key of {a_kind}");
            self.book.report(Problem::new(title).at(value.key_place(), why).help(help));
        }
        missing.into_iter().for_each(|(_, problem)| self.book.report(problem));
    }
}

/// `{ file = "…" }`, `{ env = "…" }` or `{ credential = "…" }`, exactly one of them.
fn secret_table(value: &Value<'_>, help: &str) -> Option<SecretRef> {
    let table = value.table(format!("`{}`", value.name))?;
    let file = table.get("file").and_then(|v| v.path()).map(SecretRef::File);
    let env = table.get("env").and_then(|v| {
        let name = v.text()?;
        let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        name_or_refuse(&v, fits, "letters, digits and `_`").map(SecretRef::Env)
    });
    let credential = table.get("credential").and_then(|v| {
        let name = v.text()?;
        let fits =
            name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) && !name.starts_with('.');
        name_or_refuse(&v, fits, "letters, digits, `_`, `-` and `.`").map(SecretRef::Credential)
    });
    let mut known = 0;
    for entry in table.all() {
        if ["file", "env", "credential"].contains(&entry.name.as_str()) {
            known += 1;
        } else {
            entry.hide(); // whoever writes { value = "…" } means the secret itself
        }
    }
    if known > 1 || table.all().is_empty() {
        let title = format!("`{}` must name one place of the secret", value.name);
        let why = if known > 1 { "more than one named" } else { "none named" };
        table.book.report(Problem::new(title).at(value.key_place(), why).help(help));
    }
    table.finish("a secret");
    file.or(env).or(credential)
}

fn name_or_refuse(value: &Value<'_>, fits: bool, allowed: &str) -> Option<String> {
    if !fits {
        // Not repeated: a secret in the wrong place looks just like this.
        value.hide();
        value.refuse(
            format!("`{}` is not a name", value.name),
            format!("may only hold {allowed}"),
            "name the place that holds the secret, not the secret",
        );
        return None;
    }
    value.text().map(str::to_owned)
}
