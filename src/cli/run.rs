//! `run`: the daemon, in the foreground, as systemd wants it.

use std::path::Path;

use super::Printed;
use crate::daemon;
use crate::setup_error::SetupError;

/// Blocks until the daemon has ended and passes on its exit code; with `once`, it ends when all is delivered.
/// Fails when no runtime can be started or the daemon cannot begin.
pub fn run(config: &Path, once: bool) -> Printed {
    // I/O on one thread; inflating and parsing go to the blocking pool, so two threads carry the whole load. What may
    // hang goes to neither (`apart`).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(crate::limits::BLOCKING_THREADS)
        .build()
        .map_err(|e| SetupError::failed(format!("failed to start a runtime: {e}")))?;
    let exit = runtime.block_on(daemon::run(config, once));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok((String::new(), exit?))
}
