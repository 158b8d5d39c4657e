//! What is said once: state, log, admin listener, store, recovery; and what only the whole can show.

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::diagnostic::{Book, Problem};
use super::file::Roots;
use super::nearest::nearest;
use super::settings::{Log, LogFormat, Settings, StoreLimits};
use super::value::{Value, quoted};
use super::{admin, alerts};
use crate::fault::Code;
use crate::limits::{MAX_RECOVERY_PAUSE, MAX_RETENTION, MIN_LOOPBACK_POLL_INTERVAL, MIN_STORE_BYTES};
use crate::supervisor::overrides::{Action, Override};

const STATE_DIR: &str = "/var/lib/mimecollectd";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const MAX_STORE_BYTES: u64 = i64::MAX as u64; // what the store can count

/// Everything but tenants, sinks, alert targets and `[recovery]`, which are left empty.
pub(super) fn read(roots: &Roots<'_>) -> Option<Settings> {
    let state_dir = roots.single("state_dir").map_or_else(|| Some(PathBuf::from(STATE_DIR)), |v| v.path());
    let log = read_log(roots);
    let admin = admin::read(roots);
    let store = read_store(roots);
    let heartbeat = alerts::read_heartbeat(roots);
    Some(Settings {
        state_dir: state_dir?,
        log,
        admin: admin?,
        store,
        tenants: Vec::new(),
        sinks: Vec::new(),
        recovery: Vec::new(),
        alerts: Vec::new(),
        heartbeat,
        warnings: Vec::new(),
    })
}

fn read_log(roots: &Roots<'_>) -> Log {
    let mut log = Log { filter: "info".into(), format: LogFormat::Auto };
    let Some(table) = roots.single("log").and_then(|v| v.table("[log]")) else { return log };
    if let Some(filter) = table.get("level").and_then(|v| read_filter(&v)) {
        log.filter = filter;
    }
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = table.get("format").and_then(|v| v.choice(&formats, &[])) {
        log.format = format;
    }
    table.finish("the log");
    log
}

/// A level, or a filter of `tracing`: `info,mimecollectd::sink=debug`.
fn read_filter(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let title = format!("`{}` is not a log level", value.name);
    let all =
        format!("write one of {}, or a filter such as \"info,mimecollectd::sink=debug\"", LEVELS.join(", "));
    // A lone word that is no level would be taken as a module's name, and everything else would fall silent.
    let lone = !text.contains(['=', ',', ':', '[']);
    if lone && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
        let near = nearest(text, LEVELS).map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
        value.refuse(title, "not a level", format!("{near}{all}"));
        return None;
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            value.refuse(title, error.to_string(), all);
            None
        }
    }
}

fn read_store(roots: &Roots<'_>) -> StoreLimits {
    let mut limits = StoreLimits { max_size: 10 << 30, retention: Duration::from_secs(24 * 3600) };
    let Some(table) = roots.single("store").and_then(|v| v.table("[store]")) else { return limits };
    if let Some(url) = table.get("url")
        && let Some(text) = url.text()
        && text != "sqlite"
    {
        // Not repeated: a database URL carries a password.
        url.hide();
        let title = "this store is not available in this version";
        url.refuse(title, "must be \"sqlite\"", "write url = \"sqlite\": a file in state_dir");
    }
    if let Some(size) = table.get("max_size").and_then(|v| v.size(MIN_STORE_BYTES, MAX_STORE_BYTES)) {
        limits.max_size = size;
    }
    if let Some(retention) = table.get("retention").and_then(|v| v.duration(Duration::ZERO, MAX_RETENTION)) {
        limits.retention = retention;
    }
    table.finish("the store");
    limits
}

/// The tables `[recovery."401/0010"]` and `[recovery."429"]`, each checked against the recovery table itself;
/// `floors`: some tenant is no simulator on this machine.
pub(super) fn read_recoveries(roots: &Roots<'_>, floors: bool) -> Vec<Override> {
    let tables = roots.named("recovery", "recovery");
    tables.iter().filter_map(|value| read_recovery(value, floors)).collect()
}

fn read_recovery(value: &Value<'_>, floors: bool) -> Option<Override> {
    const ACTIONS: [(&str, Action); 2] = [("pause", Action::Pause), ("halt", Action::Halt)];
    let table = value.table(format!("[recovery.\"{}\"]", value.name))?;
    let key = read_recovery_key(value);
    let action = table.get("action");
    let allow_harmful = table.get("allow_harmful").and_then(|v| v.flag()).unwrap_or_default();
    let pause = if action.is_some() { table.get("pause") } else { table.require("pause", "pause = \"45m\"") };
    table.finish("a recovery");
    let (status, code) = key?;
    let change = Override {
        status,
        code,
        pause: match &pause {
            Some(pause) => Some(pause.duration(MIN_LOOPBACK_POLL_INTERVAL, MAX_RECOVERY_PAUSE)?),
            None if action.is_none() => return None, // reported
            None => None,
        },
        action: match &action {
            Some(action) => Some(action.choice(&ACTIONS, &[])?),
            None => None,
        },
        allow_harmful,
    };
    if let Err(refusal) = change.check(floors) {
        let title = format!("[recovery.\"{}\"] cannot be followed", value.name);
        let place = match refusal.key {
            "pause" => pause.as_ref().map(Value::place),
            "action" => action.as_ref().map(Value::place),
            _ => None,
        };
        let place = place.unwrap_or_else(|| value.key_place());
        value.book.report(Problem::new(title).at(place, refusal.why).help(refusal.help));
        return None;
    }
    Some(change)
}

fn read_recovery_key(value: &Value<'_>) -> Option<(u16, Option<String>)> {
    let (status, code) = match value.name.split_once('/') {
        Some((status, code)) => (status, Some(code)),
        None => (value.name.as_str(), None),
    };
    let number = status.parse().ok().filter(|n| (100..=599).contains(n) && status.len() == 3);
    let clean = code.is_none_or(|code| Code::new(code).is_some_and(|parsed| parsed.as_str() == code));
    if let (Some(number), true) = (number, clean) {
        return Some((number, code.map(str::to_owned)));
    }
    let title = format!("{} does not name a failure", quoted(&value.name));
    let help = "write the HTTP status, or status and code: [recovery.\"429\"], [recovery.\"401/0010\"]";
    value.book.report(Problem::new(title).at(value.key_place(), "must be STATUS or STATUS/CODE").help(help));
    None
}

/// Allowed, and probably not meant: feeds nobody receives.
pub(super) fn warn_of_the_whole(book: &Book<'_>, settings: &Settings) {
    alerts::warn_of_the_whole(book, settings);
    for tenant in &settings.tenants {
        let unheard = |feed: &&str| !settings.sinks.iter().any(|sink| sink.wants(&tenant.name, feed));
        let unheard: Vec<&str> = tenant.feeds.iter().map(|feed| feed.name).filter(unheard).collect();
        if !unheard.is_empty() {
            book.warn_in_general(format!("no sink takes {} of tenant {}", unheard.join(", "), tenant.name));
        }
    }
}
