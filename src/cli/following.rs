//! Waits for work that the daemon does, and shows how far it has come when that takes longer than two seconds.

use std::io::{IsTerminal, Write as _};

use super::block_on;
use crate::config::Settings;
use crate::fault::Fault;
use crate::limits::{FOLLOW_EVERY, FOLLOW_PATIENCE, FOLLOW_SILENT};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub all: u64,
    pub ended: bool,
}

/// Looks until the work has ended. `what` is for people.
///
/// # Errors
/// Exit 75: nothing moves. The work goes on; only the waiting ends.
pub fn follow(
    settings: &Settings,
    what: &str,
    look: impl AsyncFn(&Store) -> Result<Progress, Fault>,
) -> Result<Progress, SetupError> {
    let terminal = std::io::stderr().is_terminal();
    block_on(async {
        let store = Store::open_read_only(&settings.state_dir).await?;
        let failed = |fault| SetupError::failed(format!("failed to read the store: {fault}"));
        let (mut before, mut still, mut looks) = (0, 0_u32, 0_u32);
        loop {
            let now = look(&store).await.map_err(failed)?;
            let shown = terminal && looks > FOLLOW_SILENT;
            if shown {
                line(&bar(what, now));
            }
            if now.ended {
                if shown {
                    line("\n");
                }
                return Ok(now);
            }
            still = if now.done > before { 0 } else { still + 1 };
            if still > FOLLOW_PATIENCE {
                let text = format!(
                    "{what}: {} of {} so far, and nothing moves; `status` says why. The daemon goes on by itself",
                    now.done, now.all
                );
                return Err(SetupError::new(ExitCode::TryLater, text));
            }
            (before, looks) = (now.done, looks.saturating_add(1));
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    })?
}

/// A closed terminal is no reason to stop looking.
fn line(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn bar(what: &str, now: Progress) -> String {
    const WIDTH: u64 = 30;
    let all = now.all.max(1);
    let full = usize::try_from(now.done.min(all) * WIDTH / all).unwrap_or(0);
    let percent = now.done.min(all) * 100 / all;
    let rest = WIDTH as usize - full;
    format!("\r{what} [{}{}] {percent:>3} %  {} of {}", "#".repeat(full), "-".repeat(rest), now.done, now.all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_at_its_end_as_at_its_beginning() {
        let at = |done| bar("replay 7", Progress { done, all: 200, ended: false });
        assert_eq!(at(0), format!("\rreplay 7 [{}]   0 %  0 of 200", "-".repeat(30)));
        assert_eq!(at(100), format!("\rreplay 7 [{}{}]  50 %  100 of 200", "#".repeat(15), "-".repeat(15)));
        assert_eq!(at(200), format!("\rreplay 7 [{}] 100 %  200 of 200", "#".repeat(30)));
        assert!(bar("x", Progress { done: 9, all: 0, ended: true }).contains("100 %"));
    }
}
