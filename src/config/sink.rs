//! `[sinks.NAME]`: what may be written and what it means. The type is read first; then only the keys of that type
//! are known, so that a mistake is shown where it stands.

use super::diagnostic::Problem;
use super::glob::Glob;
use super::kafka;
use super::nearest::nearest;
use super::settings::{FormatName, KnownFeed, Sink, SinkKind, Start};
use super::sink_file::read_file;
use super::sink_http::{default_format, needs_json, read_http};
use super::sink_syslog::read_syslog;
use super::table::Table;
use super::tenant::{Whose, name_fits, read_globs};
use super::value::{Value, quoted};

#[derive(Clone, Copy)]
enum Type {
    Syslog,
    Http,
    Kafka,
    File,
    Stdout,
}

pub(super) fn read(value: &Value<'_>, tenants: &[&str], known: &[KnownFeed]) -> Option<Sink> {
    const TYPES: [(&str, Type); 5] = [
        ("syslog", Type::Syslog),
        ("http", Type::Http),
        ("kafka", Type::Kafka),
        ("file", Type::File),
        ("stdout", Type::Stdout),
    ];
    let table = value.table(format!("[sinks.{}]", value.name))?;
    let name = name_fits(value, "sink");
    let Some(kind) = table.get("type") else {
        let problem = Problem::new(format!("`type` is missing in {}", table.title));
        let problem = problem.at(value.key_place(), "in this table");
        table.book.report(problem.help("add type = \"syslog\", \"http\", \"kafka\", \"file\" or \"stdout\""));
        return None;
    };
    let type_key = kind;
    let kind = type_key.choice(&TYPES, &[])?;
    let feeds = table.get("feeds").map_or(Some(vec![Glob::new("*")]), |v| read_globs(&v, known, Whose::Sink));
    let tenants = table.get("tenants").map_or(Some(Vec::new()), |v| read_tenants(&v, tenants));
    let types = table.get("types").map_or(Some(Vec::new()), |v| read_types(&v));
    let starts = [("oldest", Start::Oldest), ("now", Start::Now)];
    let start = table.get("start").map_or(Some(Start::Oldest), |v| v.choice(&starts, &[]));
    let (kind, a_kind) = match kind {
        Type::Syslog => (read_syslog(&table).map(SinkKind::Syslog), "a syslog sink"),
        Type::Http => (read_http(&table).map(|http| SinkKind::Http(Box::new(http))), "an http sink"),
        Type::Kafka => {
            kafka::refuse_without(&type_key);
            (kafka::read(&table).map(SinkKind::Kafka), "a kafka sink")
        }
        Type::File => (read_file(&table).map(SinkKind::File), "a file sink"),
        Type::Stdout => (Some(SinkKind::Stdout), "a stdout sink"),
    };
    let format = read_format(&table, kind.as_ref());
    let original = read_original(&table, format);
    table.finish(a_kind);
    Some(Sink {
        name: name?,
        kind: kind?,
        format: format?,
        original: original?,
        feeds: feeds?,
        tenants: tenants?,
        types: types?,
        start: start?,
    })
}

/// The envelope, unless the destination wants something else; and what it can take.
fn read_format(table: &Table<'_>, kind: Option<&SinkKind>) -> Option<FormatName> {
    let formats = FormatName::ALL.map(|(name, format, _)| (name, format));
    let preset = if let Some(SinkKind::Http(http)) = kind { Some(&http.preset) } else { None };
    let default = preset.map_or(FormatName::Json, default_format);
    let Some(value) = table.get("format") else { return Some(default) };
    let format = value.choice(&formats, &[])?;
    if let Some(preset) = preset.filter(|preset| needs_json(preset))
        && !format.is_json()
    {
        let title = format!("`{}` cannot be sent this way", value.name);
        let why = format!("{} {} no JSON objects", format.words(), "are");
        value.refuse(title, why, format!("preset = \"{}\" takes json, ecs, ocsf, gelf", preset.as_str()));
        return None;
    }
    Some(format)
}

/// `types = ["receipt", "internal*"]`.
fn read_types(value: &Value<'_>) -> Option<Vec<Glob>> {
    let items = value.list()?;
    if items.is_empty() {
        let title = format!("`{}` is empty", value.name);
        value.refuse(title, "names no type", "name types, or remove the key to take all of them");
        return None;
    }
    items.iter().map(|item| item.text().map(Glob::new)).collect()
}

/// `original = true`, which only formats that leave Mimecast's own bytes out have a use for.
fn read_original(table: &Table<'_>, format: Option<FormatName>) -> Option<bool> {
    let Some(value) = table.get("original") else { return Some(false) };
    let original = value.flag()?;
    if original && let Some(format) = format.filter(|format| format.has_original()) {
        let title = format!("`{}` is of no use here", value.name);
        let why = format!("{} hold Mimecast's own bytes anyway", format.words());
        value.refuse(title, &why, "remove it");
        return None;
    }
    Some(original)
}

pub(super) fn read_tenants(value: &Value<'_>, tenants: &[&str]) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        let title = format!("`{}` is empty", value.name);
        value.refuse(title, "names no tenant", "name tenants, or remove the key to take all of them");
        return None;
    }
    let mut names = Vec::new();
    for item in &items {
        let name = item.text()?;
        if !tenants.contains(&name) {
            let near = nearest(name, tenants.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the tenants are: {}", tenants.join(", ")),
            };
            item.refuse(
                format!("there is no tenant {}", quoted(name)),
                "not the name of a [tenants] table",
                help,
            );
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}
