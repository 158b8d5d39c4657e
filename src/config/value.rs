//! One value of a configuration file, where it stands, and reading it as what it should be. A value that is
//! something else is reported and read as `None`, so that the rest is still checked.

use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeValue;
use url::{Host, Url};

use super::diagnostic::{Book, Place, Problem};
use super::mask::SECRET_KEYS;
use super::nearest::nearest;
use super::table::Table;
use crate::clock::Time;

/// Characters of a user's word that a message repeats.
const MAX_QUOTED_CHARS: usize = 80;

#[derive(Clone)]
pub(super) struct Value<'b> {
    pub book: &'b Book<'b>,
    pub file: usize,
    /// The key, or `key[2]` for an element, for messages.
    pub name: String,
    pub key: Range<usize>,
    pub inner: &'b DeValue<'b>,
    pub span: Range<usize>,
}

impl<'b> Value<'b> {
    /// Where the value stands.
    pub fn place(&self) -> Place {
        Place::new(self.file, self.span.clone())
    }
    /// Where the key before the value stands; for mistakes about the whole entry.
    pub fn key_place(&self) -> Place {
        Place::new(self.file, self.key.clone())
    }
    /// Reports this value: what is wrong, why, what to do.
    pub fn refuse(&self, what: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        self.book.report(Problem::new(what).at(self.place(), why).help(help));
    }
    /// Keeps the value out of every message if a key of this name holds a secret.
    pub fn hide_if_secret(&self, key: &str) {
        if SECRET_KEYS.contains(&key) {
            self.hide();
        }
    }
    /// Keeps the value out of every message; of a table, what its keys hold.
    pub fn hide(&self) {
        fn hide(book: &Book<'_>, file: usize, value: &DeValue<'_>, span: Range<usize>) {
            match value {
                DeValue::Table(table) => table.values().for_each(|v| hide(book, file, v.get_ref(), v.span())),
                _ => book.mark_secret(Place::new(file, span)),
            }
        }
        hide(self.book, self.file, self.inner, self.span.clone());
    }
    fn wrong_type(&self, due: &str, help: &str) {
        let found = kind_of(self.inner);
        let place = if matches!(self.inner, DeValue::Table(_)) { self.key_place() } else { self.place() };
        let title = format!("`{}` must be {due}", self.name);
        self.book.report(Problem::new(title).at(place, format!("this is {found}")).help(help));
    }

    /// A text that is not blank; anything else is reported and `None`.
    pub fn text(&self) -> Option<&'b str> {
        self.text_like("a text", "write it in quotes")
    }
    /// Like [`Value::text`]; `due` and `help` tell the reader which text is wanted and how to write it.
    pub fn text_like(&self, due: &str, help: &str) -> Option<&'b str> {
        match self.inner {
            DeValue::String(text) if !text.trim().is_empty() => Some(text),
            DeValue::String(_) => {
                self.refuse(
                    format!("`{}` is empty", self.name),
                    "nothing in here",
                    "write a value, or remove the key",
                );
                None
            }
            _ => {
                self.wrong_type(due, help);
                None
            }
        }
    }
    /// A TOML boolean; anything else, `"true"` in quotes included, is reported and `None`.
    pub fn flag(&self) -> Option<bool> {
        if let DeValue::Boolean(flag) = self.inner {
            return Some(*flag);
        }
        self.wrong_type("true or false", "write true or false, without quotes");
        None
    }
    /// A whole number in any TOML notation, both bounds allowed; anything else is reported and `None`.
    pub fn integer(&self, low: i64, high: i64) -> Option<i64> {
        let DeValue::Integer(number) = self.inner else {
            self.wrong_type(
                "a whole number",
                &format!("write a number from {low} to {high}, without quotes"),
            );
            return None;
        };
        let found = i64::from_str_radix(number.as_str(), number.radix()).ok();
        self.within(found.filter(|n| (low..=high).contains(n)), low, high)
    }
    /// A duration such as `"5m"`, both bounds allowed.
    pub fn duration(&self, low: Duration, high: Duration) -> Option<Duration> {
        let found = self.any_duration()?;
        let show = |duration| humantime::format_duration(duration);
        self.within(Some(found).filter(|d| (low..=high).contains(d)), show(low), show(high))
    }
    /// A duration such as `"5m"` of any length; anything else is reported and `None`.
    pub fn any_duration(&self) -> Option<Duration> {
        const HELP: &str = "write a number and a unit in quotes: \"30s\", \"5m\", \"24h\", \"7d\"";
        let text = self.text_like("a duration", HELP)?;
        let parsed = humantime::parse_duration(text);
        if let Err(error) = &parsed {
            self.refuse(format!("`{}` is not a duration", self.name), error.to_string(), HELP);
        }
        parsed.ok()
    }
    /// A size in bytes such as `"10GiB"`, both bounds allowed.
    pub fn size(&self, low: u64, high: u64) -> Option<u64> {
        const HELP: &str = "write a number and a unit in quotes: \"512KiB\", \"1MiB\", \"10GiB\"";
        let Ok(size) = self.text_like("a size", HELP)?.parse::<ByteSize>() else {
            self.refuse(format!("`{}` is not a size", self.name), "cannot be read as a size", HELP);
            return None;
        };
        self.within(Some(size.as_u64()).filter(|s| (low..=high).contains(s)), ByteSize(low), ByteSize(high))
    }
    fn within<T>(&self, found: Option<T>, low: impl Display, high: impl Display) -> Option<T> {
        if found.is_none() {
            let title = format!("`{}` is out of range", self.name);
            self.refuse(
                title,
                format!("must be between {low} and {high}"),
                "choose a value within these bounds",
            );
        }
        found
    }
    /// A date (its first moment in UTC) or a date with time; a time without offset is UTC.
    pub fn date(&self) -> Option<Time> {
        const HELP: &str = "write a date without quotes: 2027-01-31";
        if let DeValue::Datetime(found) = self.inner {
            let suffix = match (found.date, found.time, found.offset) {
                (Some(_), None, _) => "T00:00:00Z",
                (_, _, None) => "Z",
                _ => "",
            };
            if let Ok(at) = format!("{found}{suffix}").parse::<jiff::Timestamp>() {
                return Some(Time(at.as_millisecond()));
            }
        }
        self.wrong_type("a date", HELP);
        None
    }
    /// A path; a relative one starts at the directory of the file that names it.
    pub fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.contains('\0') {
            self.refuse(format!("`{}` is not a path", self.name), "contains a NUL", "remove it");
            return None;
        }
        let base = self.book.files().get(self.file).and_then(|file| file.path.parent());
        Some(base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
    }
    /// A URL with a host and one of `schemes`. Its text is never repeated in the message.
    pub fn url(&self, schemes: &[&str], example: &str) -> Option<Url> {
        let title = || format!("`{}` is not a URL that can be used", self.name);
        let help = format!("write it like \"{example}\"");
        let url = match Url::parse(self.text()?) {
            Ok(url) => url,
            Err(error) => {
                self.refuse(title(), error.to_string(), help);
                return None;
            }
        };
        if !schemes.contains(&url.scheme()) || url.host().is_none() {
            self.refuse(title(), format!("must begin with {}://", schemes.join(":// or ")), help);
            return None;
        }
        Some(url)
    }
    /// One of `available`; one of `later` is known to the documentation but not to this version.
    pub fn choice<T: Copy>(&self, available: &[(&str, T)], later: &[&str]) -> Option<T> {
        let names: Vec<&str> = available.iter().map(|(name, _)| *name).collect();
        let all = format!("available: \"{}\"", names.join("\", \""));
        let text = self.text_like("a text", &all)?;
        if let Some((_, value)) = available.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        if later.contains(&text) {
            let title = format!("`{} = \"{text}\"` is not available in this version", self.name);
            self.refuse(title, "not available yet", all);
        } else {
            let help = match nearest(text, names) {
                Some(near) => format!("did you mean \"{near}\"? {all}"),
                None => all,
            };
            self.refuse(format!("`{}` cannot be {}", self.name, quoted(text)), "not one of its values", help);
        }
        None
    }
    /// Items of an array, types unchecked, named `key[0]` in messages; else it is reported and `None`.
    pub fn list(&self) -> Option<Vec<Value<'b>>> {
        let DeValue::Array(items) = self.inner else {
            self.wrong_type("a list of texts", &format!("write {} = [\"…\", \"…\"]", self.name));
            return None;
        };
        let item = |(at, item): (usize, &'b toml::Spanned<DeValue<'b>>)| Value {
            name: format!("{}[{at}]", self.name),
            inner: item.get_ref(),
            span: item.span(),
            ..self.clone()
        };
        Some(items.iter().enumerate().map(item).collect())
    }
    /// A table; `title` is how messages name it.
    pub fn table(&self, title: impl Into<String>) -> Option<Table<'b>> {
        self.table_or(title, &format!("write [{0}] on a line of its own, or {0} = {{ … }}", self.name))
    }
    /// Like [`Value::table`], with another advice to whoever wrote something else.
    pub fn table_or(&self, title: impl Into<String>, help: &str) -> Option<Table<'b>> {
        if let DeValue::Table(entries) = self.inner {
            return Some(Table::new(self.book, self.key_place(), title.into(), entries));
        }
        self.wrong_type("a table", help);
        None
    }
    /// The text, if it is one; reports nothing.
    pub fn peek_text(&self) -> Option<&'b str> {
        match self.inner {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }
}

/// A user's word in a message: one line, cut.
pub(super) fn quoted(word: &str) -> String {
    let clean: String =
        word.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED_CHARS).collect();
    let cut = if word.chars().count() > MAX_QUOTED_CHARS { "…" } else { "" };
    format!("`{clean}{cut}`")
}

/// The URL leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
