//! One sink: the way to it, whether it would take events, and what its acknowledgement is worth.

use std::path::Path;
use std::sync::Arc;

use super::reach::{self, Peer};
use super::{Outcome, Row};
use crate::clock::Clock;
use crate::config::Sink;
use crate::config::settings::{COLLECTOR_FEED, SinkKind};
use crate::daemon::{host_name, plan};
use crate::event::{Event, EventId, Severity};
use crate::fault::Fault;
use crate::setup_error::ExitCode;
use crate::sink::{Batch, Sent, TlsFiles, client_config};

/// Levels of acknowledgement (contract §8), from 0.
const LEVELS: [&str; 6] = [
    "nobody confirms a datagram",
    "this machine's kernel took it",
    "the receiver closed the connection cleanly after the batch",
    "the receiver answered the end of the TLS stream after the batch",
    "the receiving program answered",
    "the receiver says that it is stored",
];

/// The way, the probe and, if wanted, one event.
pub async fn check(sink: &Sink, send_test_event: bool) -> Vec<Row> {
    let scope = format!("sink:{}", sink.name);
    let opened = match plan::sink(sink) {
        Ok(opened) => opened,
        Err(error) => return vec![Row::unusable(&scope, "settings", &error)],
    };
    if let SinkKind::File { path } = &sink.kind
        && !path.exists()
    {
        return vec![to_come(&scope, path)];
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
        rows.push(match send(&opened, sink).await {
            Ok(words) => Row::works(&scope, "test event", words),
            Err(fault) => Row::failed(&scope, "test event", &fault),
        });
    } else if matches!(&sink.kind, SinkKind::Http(http) if http.token.is_some() || !http.headers.is_empty()) {
        let words = "not tried: only an event shows whether the token is taken";
        rows.push(Row::untried(&scope, "token", words).fix("`check --send-test-event`"));
    }
    rows
}

async fn way(scope: &str, sink: &Sink) -> Vec<Row> {
    match &sink.kind {
        SinkKind::Http(http) => reach::url(scope, &http.url, http.ca_file.as_deref()).await,
        SinkKind::Syslog(syslog) => {
            let name = syslog.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(&syslog.host);
            let config = syslog.tls.as_ref().map(|tls| {
                client_config(&TlsFiles {
                    ca_file: tls.ca_file.clone(),
                    cert_file: tls.cert_file.clone(),
                    key_file: tls.key_file.clone(),
                    server_name: tls.server_name.clone(),
                })
            });
            let tls = match config.transpose() {
                Ok(config) => config.map(|config| (Arc::new(config), name)),
                Err(error) => return vec![Row::unusable(scope, "tls", &error)],
            };
            reach::peer(&Peer { scope, host: &syslog.host, port: syslog.port, tls }).await
        }
        SinkKind::File { .. } | SinkKind::Stdout => Vec::new(),
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
    let words = LEVELS.get(usize::from(level)).copied().unwrap_or("a level this version does not know");
    Row::works(scope, "probe", format!("acknowledges at level {level}: {words}"))
}

/// One event that says what it is, under the daemon's own feed.
async fn send(opened: &crate::sink::Sink, sink: &Sink) -> Result<String, Fault> {
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
    let mut encoder = plan::encoder(sink, &host_name());
    let mut batch = Batch::default();
    batch.push(id, |out| encoder.encode(&event, out));
    let receipt = match opened.send(&batch).await? {
        Sent::Acknowledged(receipt) => receipt,
        Sent::Written => opened.confirm().await?,
        Sent::Partly(receipt, undelivered) => match undelivered.into_iter().next() {
            Some(refused) => return Err(refused.fault),
            None => receipt,
        },
    };
    Ok(format!("event {id} of feed {COLLECTOR_FEED} sent and acknowledged at level {}", receipt.level()))
}
