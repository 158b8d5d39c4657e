//! Verbs that change something: through the running daemon, or, while none runs, in the store itself.

use serde_json::Value;

use super::progress::Progress;
use super::{Common, Printed, block_on, load};
use crate::clock::Clock;
use crate::config::Settings;
use crate::daemon::positions;
use crate::daemon::requests::{self, Answer, Request};
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Options, Store};

/// What came of a request.
pub struct Done {
    pub settings: Settings,
    pub answer: Answer,
    /// A daemon runs and did it.
    pub by_daemon: bool,
}

impl Done {
    /// Adds what happens only when a daemon runs, if none does and there is something to do.
    pub fn and_later(mut self, something: bool, words: &str) -> Self {
        if something && !self.by_daemon {
            self.answer.text.push_str(words);
            self.answer.text.push('\n');
        }
        self
    }

    /// Adds why its end is not waited for: members of the daemon's group may ask it, and not read its store.
    pub fn unseen(mut self) -> Self {
        self.answer.text.push_str(
            "the daemon goes on by itself; only who may read its store can watch it, and `status` tells\n",
        );
        self
    }

    /// A member of the answer's data; null where it has none.
    pub fn value(&self, key: &str) -> &Value {
        self.answer.data.get(key).unwrap_or(&Value::Null)
    }

    /// As the verb's result.
    pub fn print(self, common: &Common) -> Printed {
        let text = common.either(|| self.answer.text, self.answer.data);
        match ExitCode::from_number(self.answer.exit) {
            ExitCode::Done => Ok((text, ExitCode::Done)),
            exit if common.json => Ok((text, exit)),
            exit => Err(SetupError::new(exit, text)),
        }
    }
}

/// Has the request carried out and prints what was done.
/// Fails with [`ExitCode::TryLater`] when somebody holds the store and does not answer.
pub fn ask(request: &Request, common: &Common) -> Printed {
    asked(request, common)?.print(common)
}

/// Has the request carried out.
/// Fails as [`ask`].
pub fn asked(request: &Request, common: &Common) -> Result<Done, SetupError> {
    let settings = load(common)?;
    let waiting = Progress::begin("asking the daemon").watch(carried_out(&settings, request));
    let (answer, by_daemon) = block_on(waiting)??;
    Ok(Done { settings, answer, by_daemon })
}

/// A name for a request; the daemon takes up the oldest first.
pub fn name() -> String {
    format!("ask-{}-{}", Clock::System.now().0, std::process::id())
}

async fn carried_out(settings: &Settings, request: &Request) -> Result<(Answer, bool), SetupError> {
    Store::is_there(&settings.state_dir)?;
    let options = Options::new(settings.store.max_size, settings.store.retention, Clock::System);
    match Store::open(&settings.state_dir, &options).await {
        Ok(store) => {
            let answer = positions::carry_out(&store, settings, Clock::System.now(), request).await;
            let _ = store.close().await; // else the next start checks the store
            Ok((answer, false))
        }
        // held by the daemon, or its user's and not ours: either way it is for the daemon to do
        Err(refused)
            if matches!(refused.exit, ExitCode::TryLater | ExitCode::Permission | ExitCode::Failed) =>
        {
            let answer = requests::ask(&settings.state_dir, request, &name()).await?;
            answer.map(|answer| (answer, true)).ok_or(refused)
        }
        Err(refused) => Err(refused),
    }
}
