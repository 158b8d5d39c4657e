//! `status`: asks the running daemon; where none answers, reads the store it left.

use std::io::{IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::sync::watch;

use super::progress::Progress;
use super::{Common, Printed, block_on, done, load, terminal};
use crate::admin::render_text;
use crate::admin::status::Status;
use crate::clock::Clock;
use crate::config::Settings;
use crate::cursor::FeedKey;
use crate::daemon::{ADMIN_ADDRESS_FILE, Board, SinkView, TenantView};
use crate::delivery::SinkState;
use crate::limits::MAX_ANSWER_BYTES;
use crate::scheduler::live::{CredentialLive, FeedLive, FeedView};
use crate::setup_error::{ExitCode, SetupError};
use crate::signals::Signals;
use crate::store::Store;

/// A daemon on this machine answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

pub const HELP: &str = "\
Examples:
  mimecollectd status                  once; what needs a person stands first
  mimecollectd status --watch          every 2 seconds, until Ctrl-C
  mimecollectd status --json | jq '.alerts'

Colours only at a terminal, and not where NO_COLOR is set.";

/// Shows what runs, waits and is behind, as text or JSON; with `every` (seconds), again and again until Ctrl-C.
/// Fails when the configuration cannot be read, or no daemon answers and the store cannot be opened.
pub fn status(common: &Common, every: Option<u64>) -> Printed {
    match every {
        Some(seconds) => {
            block_on(watching(common, Duration::from_secs(seconds)))??;
            done(String::new())
        }
        None => done(block_on(Progress::begin("reading the store").watch(shown(common)))??),
    }
}

/// The status now, in the form asked for.
async fn shown(common: &Common) -> Result<String, SetupError> {
    let status = current(&load(common)?).await?;
    let data = serde_json::to_value(&status)
        .map_err(|error| SetupError::failed(format!("failed to write the status as JSON: {error}")))?;
    Ok(common.either(|| render_text(&status, terminal::look()), data))
}

/// From the daemon, or, where none answers, what the store tells.
///
/// # Errors
/// Neither can be read.
pub(super) async fn current(settings: &Settings) -> Result<Status, SetupError> {
    match ask(settings) {
        Some(status) => Ok(status),
        None => read(settings).await,
    }
}

/// Draws the status anew until Ctrl-C.
async fn watching(common: &Common, every: Duration) -> Result<(), SetupError> {
    if !std::io::stdout().is_terminal() && !common.json {
        let text = "--watch draws on a terminal, and standard output is none; without it `status` prints once, with --json \
                    it prints again and again";
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    let mut signals =
        Signals::listen().map_err(|why| SetupError::failed(format!("failed to take over signals: {why}")))?;
    let mut screen = (!common.json).then(Screen::enter);
    loop {
        // a daemon that is just restarting is no reason to stop watching
        let text = shown(common).await.unwrap_or_else(|error| format!("{error}\n"));
        let drawn = match &mut screen {
            Some(screen) => screen.draw(&text),
            None => std::io::stdout().write_all(text.as_bytes()),
        };
        if drawn.is_err() {
            return Ok(()); // nobody looks any more
        }
        tokio::select! {
            _ = signals.next() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// The terminal's second screen, left again as it was found.
struct Screen;

impl Screen {
    fn enter() -> Screen {
        let _ = std::io::stdout().write_all(b"\x1b[?1049h\x1b[?25l"); // nobody there: the first drawing will say so
        Screen
    }
    /// As many lines as there are; what matters most stands at the top.
    fn draw(&mut self, text: &str) -> std::io::Result<()> {
        let rows = terminal::size().map_or(usize::MAX, |(_, rows)| rows).saturating_sub(1);
        let all: Vec<&str> = text.lines().collect();
        let fits = if all.len() > rows { rows.saturating_sub(1) } else { all.len() };
        let mut frame = String::from("\x1b[H");
        for line in all.iter().take(fits) {
            frame.push_str(&format!("{line}\x1b[K\r\n"));
        }
        if fits < all.len() {
            frame.push_str(&format!("… {} more lines; Ctrl-C ends\x1b[K\r\n", all.len() - fits));
        }
        frame.push_str("\x1b[J");
        let mut out = std::io::stdout().lock();
        out.write_all(frame.as_bytes()).and_then(|()| out.flush())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = std::io::stdout().lock();
        // nobody there to see it
        let _ = out.write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| out.flush());
    }
}

/// The running daemon's own answer; `None` when none runs or its admin listener is off.
pub(super) fn ask(settings: &Settings) -> Option<Status> {
    serde_json::from_slice(&get(settings, "/status")?).ok()
}

/// What the running daemon's admin listener answers on a path.
pub(super) fn get(settings: &Settings, path: &str) -> Option<Vec<u8>> {
    let noted = std::fs::read_to_string(settings.state_dir.join(ADMIN_ADDRESS_FILE)).ok();
    let address: SocketAddr = noted
        .and_then(|text| text.trim().parse().ok())
        .or(settings.admin.as_ref().map(|admin| admin.listen))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES as u64).read_to_end(&mut answer).ok()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(answer.split_off(split + 4))
}

/// What the store alone can tell: positions, counts and backlog, but not what anything is doing.
async fn read(settings: &Settings) -> Result<Status, SetupError> {
    let store = Store::open_read_only(&settings.state_dir).await?;
    let ended = store.is_closed().await.unwrap_or(false); // what cannot be read, the status says below
    let board = Board::new(store, Clock::System, None);
    for tenant in &settings.tenants {
        let feed = |feed| FeedView::new(FeedKey { tenant: tenant.name.clone(), feed }, FeedLive::default());
        let feeds = tenant.feeds.iter().map(|settings| feed(settings.name)).collect();
        let credential = still(CredentialLive::default());
        let host = "".into(); // nobody is asked, so nobody is away
        board.parts().tenants.push(TenantView { settings: tenant.clone(), host, credential, feeds });
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
    let why = if ended {
        "no daemon runs: the last run ended in good order, and this is what it left in the store"
    } else {
        "the daemon does not run, or its admin listener is off; this is what the store holds"
    };
    status.ready.reasons = vec![why.to_owned()];
    Ok(status)
}

/// A value nobody will change.
fn still<T>(value: T) -> watch::Receiver<T> {
    watch::Sender::new(value).subscribe()
}
