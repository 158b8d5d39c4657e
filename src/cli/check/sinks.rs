//! One sink: the way to it, whether it would take events, and what its acknowledgement is worth.

use std::path::Path;
use std::sync::Arc;

use super::reach::{self, Peer};
use super::{Outcome, Row};
use crate::clock::Clock;
use crate::config::Sink;
use crate::config::settings::{COLLECTOR_FEED, Http, SinkKind, Transport};
use crate::daemon::{host_name, plan};
use crate::event::{Event, EventId, Severity};
use crate::fault::Fault;
use crate::setup_error::ExitCode;
use crate::sink::{Batch, Packer, Sent, Undelivered, ack_words, client_config};

/// The way, the probe and, if wanted, one event.
pub async fn check(sink: &Sink, send_test_event: bool) -> Vec<Row> {
    let scope = format!("sink:{}", sink.name);
    let (opened, [mut packer]) = match plan::sink(sink, &host_name()) {
        Ok(made) => made,
        Err(error) => return vec![Row::unusable(&scope, "settings", &error)],
    };
    if let SinkKind::File(file) = &sink.kind
        && !file.path.exists()
    {
        return vec![to_come(&scope, &file.path)];
    }
    let mut rows = way(&scope, sink).await;
    if rows.iter().any(|row| matches!(row.outcome, Outcome::Fails(_))) {
        return rows;
    }
    match opened.probe().await {
        Ok(level) => rows.push(acknowledged(&scope, level)),
        Err(fault) => {
            rows.push(Row::failed(&scope, "probe", &fault));
            return rows;
        }
    }
    if send_test_event {
        rows.push(match send(&opened, &mut packer).await {
            Ok(words) => Row::works(&scope, "test event", words),
            Err(fault) => Row::failed(&scope, "test event", &fault),
        });
    } else if matches!(&sink.kind, SinkKind::Http(http) if !shows_its_keys(http)) {
        let words = "not tried: only an event shows whether the token is taken";
        rows.push(Row::untried(&scope, "token", words).fix("`check --send-test-event`"));
    }
    rows
}

/// The probe has shown them, or there are none.
fn shows_its_keys(http: &Http) -> bool {
    http.preset.proves_keys() || (http.token.is_none() && http.login.is_none() && http.headers.is_empty())
}

async fn way(scope: &str, sink: &Sink) -> Vec<Row> {
    match &sink.kind {
        SinkKind::Http(http) => match &http.proxy {
            Some(proxy) => reach::through(scope, proxy).await,
            None => reach::with(scope, &http.url, &plan::tls_files(&http.tls)).await,
        },
        // there is no connection to look at: whether the name resolves the probe tells
        SinkKind::Syslog(syslog) if syslog.transport == Transport::Udp => Vec::new(),
        SinkKind::Syslog(syslog) => {
            let name = syslog.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(&syslog.host);
            let config = syslog.tls.as_ref().map(|tls| client_config(&plan::tls_files(tls)));
            let tls = match config.transpose() {
                Ok(config) => config.map(|config| (Arc::new(config), name)),
                Err(error) => return vec![Row::unusable(scope, "tls", &error)],
            };
            reach::peer(&Peer { scope, host: &syslog.host, port: syslog.port, tls }).await
        }
        // Kafka's client finds its own way to whichever broker answers; its probe says how far it came
        SinkKind::Kafka(_) | SinkKind::File(_) | SinkKind::Stdout => Vec::new(),
    }
}

/// A file that is not there yet is the daemon's to create: made by another user, it might not be for it to write.
fn to_come(scope: &str, path: &Path) -> Row {
    if path.parent().is_some_and(Path::is_dir) {
        let words = format!("{} does not exist yet; the daemon creates it", path.display());
        return Row::untried(scope, "file", words);
    }
    let words = format!("{} has no directory to be in", path.display());
    Row::new(scope, "file", Outcome::Fails(ExitCode::Configuration), words)
        .fix("create the directory, for the daemon's user to write to")
}

fn acknowledged(scope: &str, level: u8) -> Row {
    Row::works(scope, "probe", format!("acknowledges at level {level}: {}", ack_words(level)))
}

/// One event that says what it is, under the daemon's own feed.
async fn send(opened: &crate::sink::Sink, packer: &mut Packer) -> Result<String, Fault> {
    let now = Clock::System.now();
    let said = serde_json::json!({
        "type": "test", "time": now.rfc3339(),
        "message": "This is a test event that `mimecollectd check --send-test-event` sent; it comes from no mail.",
    });
    let raw = said.to_string();
    let id = EventId::of(COLLECTOR_FEED, COLLECTOR_FEED, raw.as_bytes(), 0);
    let event = Event {
        id,
        tenant: COLLECTOR_FEED,
        feed: COLLECTOR_FEED,
        kind: "test",
        time: Some(now.0),
        collected: now.0,
        severity: Severity::Informational,
        repaired: false,
        json: true,
        raw: raw.as_bytes(),
    };
    let mut batch = Batch::default();
    let _ = packer.pack(&event, &mut batch); // the shortest event there is
    let receipt = match opened.send(&batch).await? {
        Sent::Acknowledged(receipt) => receipt,
        Sent::Written => opened.confirm().await?,
        Sent::Partly(receipt, undelivered) => match undelivered.into_iter().next() {
            Some(Undelivered { fault: Some(fault), .. }) => return Err(fault),
            Some(_) | None => receipt,
        },
    };
    Ok(format!("event {id} of feed {COLLECTOR_FEED} sent and acknowledged at level {}", receipt.level()))
}
