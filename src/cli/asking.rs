//! Verbs that change something: through the running daemon, or, while none runs, in the store itself.

use super::{Common, Printed, block_on, load};
use crate::clock::Clock;
use crate::config::Settings;
use crate::daemon::positions;
use crate::daemon::requests::{self, Answer, Request};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Options, Store};

/// Has the request carried out and prints what was done.
/// Fails with [`ExitCode::TryLater`] when somebody holds the store and does not answer.
pub fn ask(request: &Request, common: &Common) -> Printed {
    let settings = load(common)?;
    let answer = block_on(carried_out(&settings, request))??;
    let text = if common.json { format!("{:#}\n", answer.data) } else { answer.text };
    match ExitCode::from_number(answer.exit) {
        ExitCode::Done => Ok((text, ExitCode::Done)),
        exit if common.json => Ok((text, exit)),
        exit => Err(SetupError::new(exit, text)),
    }
}

async fn carried_out(settings: &Settings, request: &Request) -> Result<Answer, SetupError> {
    if !settings.state_dir.join("store.db").exists() {
        let text = "there is no store yet; it is created when the daemon runs for the first time";
        return Err(SetupError::failed(text));
    }
    let options = Options::new(settings.store.max_size, settings.store.retention, Clock::System);
    match Store::open(&settings.state_dir, &options).await {
        Ok(store) => {
            let answer = positions::carry_out(&store, settings, Clock::System.now(), request).await;
            let _ = store.close().await; // else the next start checks the store
            Ok(answer)
        }
        // held by the daemon, or its user's and not ours: either way it is for the daemon to do
        Err(refused) if matches!(refused.exit, ExitCode::TryLater | ExitCode::Failed) => {
            let name = format!("ask-{}-{}", Clock::System.now().0, std::process::id());
            requests::ask(&settings.state_dir, request, &name).await?.ok_or(refused)
        }
        Err(refused) => Err(refused),
    }
}
