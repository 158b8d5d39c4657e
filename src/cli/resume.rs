//! `resume`: lifts a pause or halt in the running daemon.

use super::asking::{Done, name};
use super::progress::Progress;
use super::{Common, Printed, block_on, load};
use crate::daemon::requests::{self, Request};
use crate::daemon::scopes;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;

/// Asks the daemon, and prints what it did; does not wait for what comes of it.
/// Fails with [`ExitCode::Usage`] when the configuration has nothing of that name, and with [`ExitCode::TryLater`] when
/// no daemon took the request.
pub fn resume(scope: &str, common: &Common) -> Printed {
    let settings = load(common)?;
    let scope = scopes::meant(&settings, scope);
    if let Some(why) = scopes::no_part(&settings, scope) {
        return Err(SetupError::new(ExitCode::Usage, why));
    }
    if let Err(why) = Store::is_there(&settings.state_dir)
        && why.exit == ExitCode::Permission
    {
        return Err(why);
    }
    let (request, name) = (Request::Resume { scope: scope.to_owned() }, name());
    let asking = requests::ask(&settings.state_dir, &request, &name);
    let Some(answer) = block_on(Progress::begin("asking the daemon").watch(asking))?? else {
        let hint = "see whether it runs, and with this state_dir";
        let text = format!("no daemon took the request for {scope}: {hint}");
        return Err(SetupError::new(ExitCode::TryLater, text));
    };
    Done { settings, answer, by_daemon: true }.print(common)
}
