//! What a running daemon has found out already: its gate and its quota are not for others to use.

use super::{Outcome, Row};
use crate::admin::status::{Feed, Sink, Status, Tenant};
use crate::cli::status;
use crate::config::{SecretRef, Settings};
use crate::daemon::exit_of;
use crate::mimecast::catalogue;
use crate::setup_error::ExitCode;
use crate::telemetry::label::{CredentialState, FeedState};

/// Credential and feeds of every tenant, in the daemon's words.
pub fn told(settings: &Settings) -> Vec<Row> {
    let Some(status) = status::ask(settings) else {
        let words = "not asked: a daemon runs, and its quota and its attempts are its own; its admin listener does \
                     not answer, so what it found out is not known";
        return vec![Row::untried("daemon", "asking", words).fix("see its log, or stop it and check again")];
    };
    let words = "it runs; what follows about Mimecast is what it found out itself, nothing is asked twice";
    let mut rows = vec![Row::works("daemon", "asking", words)];
    rows.extend(unreadable(settings));
    rows.extend(status.sinks.iter().filter_map(|sink| of_sink(sink, &status)));
    for tenant in &settings.tenants {
        match status.tenants.iter().find(|known| known.name == tenant.name) {
            Some(known) => of_tenant(known, &status, &mut rows),
            None => {
                let words = "not asked: the running daemon does not know this tenant yet";
                rows.push(
                    Row::untried(&tenant.name, "credential", words).fix("`systemctl reload mimecollectd`"),
                );
            }
        }
    }
    rows
}

/// A sink that the daemon cannot use, whatever a new connection to it shows.
fn of_sink(sink: &Sink, status: &Status) -> Option<Row> {
    (sink.up == Some(false)).then(|| {
        let scope = format!("sink:{}", sink.name);
        let waits = format!("{} events wait", sink.waiting_events);
        let words = format!("the daemon cannot deliver, {waits}: {}", sink.why.clone().unwrap_or_default());
        with_remedy(Row::new(&scope, "delivery", Outcome::Fails(ExitCode::Failed), words), status, &scope)
    })
}

/// Secrets that the daemon will fail to read when it needs them next. What lies in the environment or with systemd is the
/// service's, not this shell's.
fn unreadable(settings: &Settings) -> impl Iterator<Item = Row> {
    let files = settings.secrets().into_iter().filter(|secret| matches!(secret.place, SecretRef::File(_)));
    files.filter_map(|secret| {
        let error = secret.read().err()?;
        let words = format!("{}: {}", secret.what, error.message);
        Some(Row::new("configuration", "secret", Outcome::Fails(error.exit), words))
    })
}

fn of_tenant(tenant: &Tenant, status: &Status, rows: &mut Vec<Row>) {
    let credential = &tenant.credential;
    let said = credential.words.clone().unwrap_or_default();
    let until = credential.until.map(|at| format!(", tried next at {}", at.rfc3339())).unwrap_or_default();
    let of_the_file = status.alerts.iter().find(|alert| alert.scope == tenant.name && alert.rule == "L08");
    rows.extend(of_the_file.map(|alert| {
        let words = format!("the one in memory is used meanwhile: {}", alert.words);
        let exit = Outcome::Fails(ExitCode::Configuration);
        Row::new(&tenant.name, "secret", exit, words).fix(alert.remedy.clone())
    }));
    rows.push(match credential.state {
        CredentialState::Ok | CredentialState::Refreshing => Row::works(&tenant.name, "credential", "works"),
        state => {
            let exit = exit_of(credential).unwrap_or(ExitCode::Permission);
            let row = Row::new(
                &tenant.name,
                "credential",
                Outcome::Fails(exit),
                format!("{}{until}: {said}", state.as_str()),
            );
            with_remedy(row, status, &tenant.name)
        }
    });
    rows.extend(tenant.feeds.iter().map(|feed| of_feed(tenant, feed, status)));
}

fn of_feed(tenant: &Tenant, feed: &Feed, status: &Status) -> Row {
    let scope = format!("{}/{}", tenant.name, feed.name);
    let why = feed.why.clone().map_or(String::new(), |why| format!("; {why}"));
    // what answered with no right is a matter of rights; what did not answer is not
    let tried = if feed.state == FeedState::BackingOff { "asking" } else { "permission" };
    let last = feed
        .last_success
        .map_or("it has never answered".to_owned(), |at| format!("last answer {}", at.rfc3339()));
    match feed.state {
        FeedState::Halted => {
            let row =
                Row::new(&scope, "permission", Outcome::Fails(ExitCode::Permission), format!("{last}{why}"));
            let row = with_remedy(row, status, &scope);
            let known = row.remedy.clone().unwrap_or_default();
            let right = catalogue::find(&feed.name).map_or("", |row| row.permission);
            row.fix(format!("grant the right \"{right}\" if it is missing. {known}"))
        }
        FeedState::BackingOff => {
            Row::new(&scope, tried, Outcome::Fails(ExitCode::Unreachable), format!("{last}{why}"))
        }
        _ if feed.last_success.is_none() => Row::untried(&scope, tried, format!("{last}{why}")),
        _ => Row::works(&scope, tried, last),
    }
}

fn with_remedy(row: Row, status: &Status, scope: &str) -> Row {
    match status.alerts.iter().find(|alert| alert.scope == scope) {
        Some(alert) => row.fix(alert.remedy.clone()),
        None => row,
    }
}
