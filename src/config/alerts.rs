//! `[alerts.NAME]` and `[heartbeat]`: who is told when something is wrong, and how often the daemon says that it
//! lives.

use std::time::Duration;

use url::Url;

use super::diagnostic::{Book, Problem};
use super::file::Roots;
use super::pem_file::PemFile;
use super::secret_ref::SecretRef;
use super::settings::{AlertForm, AlertSeverity, AlertTarget, COLLECTOR_FEED, Settings};
use super::sink::read_tenants;
use super::sink_http::read_headers;
use super::table::Table;
use super::tenant::{name_fits, optional, read_proxy};
use super::value::{Value, is_loopback};
use crate::limits::{MAX_HEARTBEAT_INTERVAL, MIN_HEARTBEAT_INTERVAL};

#[derive(Clone, Copy)]
enum Type {
    Webhook,
    Alertmanager,
}

/// Every `[alerts.NAME]`; `tenants` are the names of the tenants there are.
pub(super) fn read(roots: &Roots<'_>, tenants: &[&str]) -> Option<Vec<AlertTarget>> {
    // all of them are read before the first mistake ends it
    let found: Vec<_> =
        roots.named("alerts", "alert target").iter().map(|value| read_target(value, tenants)).collect();
    found.into_iter().collect()
}

fn read_target(value: &Value<'_>, tenants: &[&str]) -> Option<AlertTarget> {
    let table = value.table(format!("[alerts.{}]", value.name))?;
    let name = name_fits(value, "alert target");
    let types = [("webhook", Type::Webhook), ("alertmanager", Type::Alertmanager)];
    let kind =
        table.require("type", "type = \"webhook\" or \"alertmanager\"").and_then(|v| v.choice(&types, &[]));
    let form = table.get("form");
    let form = match (kind, &form) {
        (Some(Type::Alertmanager), Some(form)) => {
            let problem = Problem::new(format!("{} has `form` but is no webhook", table.title));
            let problem = problem.at(form.key_place(), "would be ignored");
            table.book.report(problem.help("remove it, or write type = \"webhook\""));
            None
        }
        (Some(Type::Alertmanager), None) => Some(AlertForm::Alertmanager),
        (_, form) => {
            let forms = [("json", AlertForm::Json), ("slack", AlertForm::Slack), ("teams", AlertForm::Teams)];
            form.as_ref().map_or(Some(AlertForm::Json), |v| v.choice(&forms, &[]))
        }
    };
    let insecure = table.get("allow_insecure").map_or(Some(false), |v| v.flag());
    let url = table.require("url", "url = { file = \"/etc/mimecollectd/ops-webhook\" }");
    let url = url.and_then(|v| read_url(&table, &v, form, insecure.unwrap_or(true)));
    let token = optional(table.get("token"), |v| table.secret(v, &format!("token of {}", table.title)));
    let headers = table.get("headers").map_or(Some(Vec::new()), |v| read_headers(&v));
    let tenants = table.get("tenants").map_or(Some(Vec::new()), |v| read_tenants(&v, tenants));
    let severities = [
        ("info", AlertSeverity::Info),
        ("warn", AlertSeverity::Warn),
        ("error", AlertSeverity::Error),
        ("critical", AlertSeverity::Critical),
    ];
    let at_least =
        table.get("min_severity").map_or(Some(AlertSeverity::Warn), |v| v.choice(&severities, &[]));
    let proxy = optional(table.get("proxy"), |v| read_proxy(v));
    let ca_file = optional(table.get("ca_file"), |v| v.path().map(PemFile::new));
    table.finish("an alert target");
    Some(AlertTarget {
        name: name?,
        form: form?,
        url: url?,
        allow_insecure: insecure?,
        token: token?,
        headers: headers?,
        tenants: tenants?,
        at_least: at_least?,
        proxy: proxy?,
        ca_file: ca_file?,
    })
}

/// The address is a secret for those whose address is all that keeps others out: it is never shown.
fn read_url(
    table: &Table<'_>,
    value: &Value<'_>,
    form: Option<AlertForm>,
    insecure: bool,
) -> Option<SecretRef> {
    value.hide();
    if value.peek_text().is_none() {
        return table.secret(value, "address");
    }
    let url = value.url(&["https", "http"], "https://hooks.example.com/…")?;
    if let Err(why) = url_fits(&url, insecure) {
        value.refuse(
            format!("`{}` cannot be used", value.name),
            why,
            "write https:// without user and password; allow_insecure = true allows http://",
        );
        return None;
    }
    if matches!(form, Some(AlertForm::Slack | AlertForm::Teams)) {
        let text = "whoever can read this address can post to the channel; write { file = \"…\" }, { env = \"…\" } or \
                    { credential = \"…\" } instead";
        value.book.warn(&value.place(), text);
    }
    Some(SecretRef::Literal(crate::secret::Secret::new(url.to_string())))
}

/// Whether an alert may be sent to this address; else why not.
///
/// # Errors
/// It is unencrypted and not on this machine, or holds a user or password.
pub fn url_fits(url: &Url, insecure: bool) -> Result<(), &'static str> {
    if url.scheme() != "https" && (url.scheme() != "http" || (!is_loopback(url) && !insecure)) {
        return Err("would send alerts unencrypted");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or password; use `token`");
    }
    Ok(())
}

/// `None`: no heartbeats.
pub(super) fn read_heartbeat(roots: &Roots<'_>) -> Option<Duration> {
    let table = roots.single("heartbeat").and_then(|v| v.table("[heartbeat]"))?;
    let interval = table.get("interval").filter(|v| v.peek_text() != Some("off"));
    let interval = interval.and_then(|v| v.duration(MIN_HEARTBEAT_INTERVAL, MAX_HEARTBEAT_INTERVAL));
    table.finish("the heartbeat");
    interval
}

/// Alerts about nobody's tenant that nobody hears, and heartbeats that go nowhere.
pub(super) fn warn_of_the_whole(book: &Book<'_>, settings: &Settings) {
    if !settings.alerts.is_empty() && settings.alerts.iter().all(|target| !target.tenants.is_empty()) {
        book.warn_in_general(
            "every [alerts] table names tenants, so nobody is told about sinks, the store and the daemon itself; add \
             one without `tenants`"
                .to_owned(),
        );
    }
    let heard = settings.sinks.iter().any(|sink| sink.wants("", COLLECTOR_FEED));
    if settings.heartbeat.is_some() && !heard {
        book.warn_in_general(format!(
            "heartbeats go nowhere: no sink names the feed \"{COLLECTOR_FEED}\"; write feeds = [\"*\", \
             \"{COLLECTOR_FEED}\"] at the sink that shall get them"
        ));
    }
}
