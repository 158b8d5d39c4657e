//! Waits for work that the daemon does, and shows how far it has come.

use super::progress::Progress;
use super::{block_on, unread};
use crate::config::Settings;
use crate::fault::Fault;
use crate::limits::{FOLLOW_EVERY, FOLLOW_PATIENCE};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
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
    look: impl AsyncFn(&Store) -> Result<Reached, Fault>,
) -> Result<Reached, SetupError> {
    let mut progress = Progress::begin(what);
    block_on(async {
        let store = Store::open_read_only(&settings.state_dir).await?;
        let (mut before, mut still) = (0, 0_u32);
        loop {
            let now = look(&store).await.map_err(unread)?;
            if now.ended {
                return Ok(now);
            }
            progress.step(&bar(what, now));
            still = if now.done > before { 0 } else { still + 1 };
            if still > FOLLOW_PATIENCE {
                let text = format!(
                    "{what}: {} of {} so far, and nothing moves; `status` says why. The daemon goes on by itself",
                    now.done, now.all
                );
                return Err(SetupError::new(ExitCode::TryLater, text));
            }
            before = now.done;
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    })?
}

fn bar(what: &str, now: Reached) -> String {
    const WIDTH: u64 = 30;
    let all = now.all.max(1);
    let full = usize::try_from(now.done.min(all) * WIDTH / all).unwrap_or(0);
    let percent = now.done.min(all) * 100 / all;
    let rest = WIDTH as usize - full;
    format!("{what} [{}{}] {percent:>3} %  {} of {}", "#".repeat(full), "-".repeat(rest), now.done, now.all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_at_its_end_as_at_its_beginning() {
        let at = |done| bar("replay 7", Reached { done, all: 200, ended: false });
        assert_eq!(at(0), format!("replay 7 [{}]   0 %  0 of 200", "-".repeat(30)));
        assert_eq!(at(100), format!("replay 7 [{}{}]  50 %  100 of 200", "#".repeat(15), "-".repeat(15)));
        assert_eq!(at(200), format!("replay 7 [{}] 100 %  200 of 200", "#".repeat(30)));
        assert!(bar("x", Reached { done: 9, all: 0, ended: true }).contains("100 %"));
    }
}
