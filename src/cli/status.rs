//! `status`: asks the running daemon; where none answers, reads the store it left.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::sync::watch;

use super::{Common, Printed, block_on, done, load};
use crate::admin::render_text;
use crate::admin::status::Status;
use crate::clock::Clock;
use crate::config::Settings;
use crate::cursor::FeedKey;
use crate::daemon::{ADMIN_ADDRESS_FILE, Board, SinkView, TenantView};
use crate::delivery::SinkState;
use crate::limits::MAX_ANSWER_BYTES;
use crate::scheduler::live::{CredentialLive, FeedLive};
use crate::setup_error::SetupError;
use crate::store::Store;

/// A daemon on this machine answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows what runs, waits and is behind, as text or JSON.
/// Fails when the configuration cannot be read, or no daemon answers and the store cannot be opened.
pub fn status(common: &Common) -> Printed {
    let settings = load(common)?;
    let status = match ask(&settings) {
        Some(status) => status,
        None => read(&settings)?,
    };
    if common.json {
        let text = serde_json::to_string_pretty(&status)
            .map_err(|error| SetupError::failed(format!("failed to write the status as JSON: {error}")))?;
        return done(text + "\n");
    }
    done(render_text(&status))
}

/// The running daemon's own answer; `None` when none runs or its admin listener is off.
pub(super) fn ask(settings: &Settings) -> Option<Status> {
    let noted = std::fs::read_to_string(settings.state_dir.join(ADMIN_ADDRESS_FILE)).ok();
    let address: SocketAddr = noted.and_then(|text| text.trim().parse().ok()).or(settings.admin)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES as u64).read_to_end(&mut answer).ok()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    serde_json::from_slice(answer.get(split + 4..)?).ok()
}

/// What the store alone can tell: positions, counts and backlog, but not what anything is doing.
fn read(settings: &Settings) -> Result<Status, SetupError> {
    block_on(async {
        let store = Store::open_read_only(&settings.state_dir).await?;
        let board = Board::new(store, Clock::System, None);
        for tenant in &settings.tenants {
            let feed =
                |name| (FeedKey { tenant: tenant.name.clone(), feed: name }, still(FeedLive::default()));
            let feeds = tenant.feeds.iter().map(|settings| feed(settings.name)).collect();
            let credential = still(CredentialLive::default());
            board.parts().tenants.push(TenantView { settings: tenant.clone(), credential, feeds });
        }
        for sink in &settings.sinks {
            board.parts().sinks.push(SinkView { settings: sink.clone(), state: still(SinkState::default()) });
        }
        board.parts().config_ok = true;
        // what cannot be read now is a reason not to be ready, which the status says by itself
        let _ = (board.load_alerts().await, board.look_into_store().await);
        let mut status = board.status().await;
        status.store.limit_bytes = settings.store.max_size;
        status.ready.ok = false;
        status.ready.reasons = vec![
            "the daemon does not run, or its admin listener is off; this is what the store holds".to_owned(),
        ];
        Ok(status)
    })?
}

/// A value nobody will change.
fn still<T>(value: T) -> watch::Receiver<T> {
    watch::Sender::new(value).subscribe()
}
