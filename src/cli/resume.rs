//! `resume`: lifts a pause or halt in the running daemon.

use super::{Common, Printed, done, load};
use crate::clock::Clock;
use crate::daemon::requests;
use crate::limits::WATCH_EVERY;
use crate::setup_error::{ExitCode, SetupError};

/// Leaves a request that the daemon finds within [`WATCH_EVERY`]; does not wait for its effect.
/// Fails with [`ExitCode::Usage`] when the configuration has no such tenant or sink.
pub fn resume(scope: &str, common: &Common) -> Printed {
    let settings = load(common)?;
    let name = scope.strip_prefix("sink:").unwrap_or_else(|| scope.split('/').next().unwrap_or(scope));
    let known = if scope.starts_with("sink:") {
        settings.sinks.iter().any(|sink| sink.name == name)
    } else {
        settings.tenants.iter().any(|tenant| tenant.name == name)
    };
    if !known {
        let hint = "name a tenant (acme), a feed (acme/audit) or a sink (sink:siem) of the configuration; `status` shows them";
        return Err(SetupError::new(ExitCode::Usage, format!("{scope:?} is not configured: {hint}")));
    }
    requests::resume(&settings.state_dir, scope, &format!("resume-{}", Clock::System.now().0))?;
    done(format!("asked the daemon to go on with {scope}; it looks every {} s\n", WATCH_EVERY.as_secs()))
}
