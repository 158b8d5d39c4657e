//! What the operator sees over HTTP (contract §6): `/metrics`, `/healthz`, `/readyz`, `/status`,
//! `/api/errors` and a status page. Read-only: nothing here changes anything. All of it, and `status` on the
//! command line, shows the same [`status::Status`].

mod columns;
mod gauges;
pub mod history;
mod html;
mod listener;
mod lists;
mod names;
mod page;
mod plot;
mod routes;
pub mod status;
mod table;
mod view;
mod words;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use columns::TextLook;
pub use table::render_text;
pub use words::Tone;

use crate::limits::{ADMIN_CONNECTIONS, ADMIN_HEAD_BYTES, ADMIN_TIMEOUT};
use crate::telemetry::exporter::Exporter;
use history::History;
use status::Status;

/// A future in a box, so that [`Source`] can be a trait object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the answers come from: the daemon implements it.
pub trait Source: Send + Sync + 'static {
    /// The state of everything now. What cannot be read is `None` and a reason in `ready`.
    fn status(&self) -> Answer<'_, Status>;
    /// The last day, for the plots of the status page.
    fn history(&self) -> History;
    /// The recovery table, for `/api/errors`: an array with one object per rule.
    fn errors(&self) -> serde_json::Value;
    /// The rules an answer with this status and code (empty for none) can meet; `None` when no rule names them.
    fn error(&self, status: u16, code: &str) -> Option<serde_json::Value>;
}

/// Serves until `stop` completes, then lets answers under way finish. The caller has bound the listener; `hosts` are
/// the names by which it may be asked for besides this machine's own.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    (listener, hosts): (TcpListener, Vec<String>),
    source: Arc<dyn Source>,
    exporter: Exporter,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let names = names::Names::of(listener.local_addr()?, hosts);
    let listener = listener::Bounded::new(listener, ADMIN_CONNECTIONS, ADMIN_HEAD_BYTES, ADMIN_TIMEOUT);
    axum::serve(listener, routes::router(source, exporter, names)).with_graceful_shutdown(stop).await
}

#[cfg(test)]
mod admin_tests;
#[cfg(test)]
mod page_tests;
