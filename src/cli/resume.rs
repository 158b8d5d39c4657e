//! `resume`: lifts a pause or halt in the running daemon.

use super::{Common, Printed, block_on, done, load};
use crate::clock::Clock;
use crate::config::Tenant;
use crate::daemon::requests;
use crate::setup_error::{ExitCode, SetupError};

/// Leaves a request that the daemon finds within [`WATCH_EVERY`]; does not wait for its effect.
/// Fails with [`ExitCode::Usage`] when the configuration has no such tenant or sink.
pub fn resume(scope: &str, common: &Common) -> Printed {
    let settings = load(common)?;
    let name = scope.strip_prefix("sink:").unwrap_or_else(|| scope.split('/').next().unwrap_or(scope));
    let known = if let Some(host) = scope.strip_prefix("host:") {
        !host.is_empty() // which hosts there are, only the daemon knows
    } else if scope.starts_with("sink:") {
        settings.sinks.iter().any(|sink| sink.name == name)
    } else {
        let feed = scope.split_once('/').map(|(_, feed)| feed);
        let has =
            |tenant: &Tenant| feed.is_none_or(|feed| tenant.feeds.iter().any(|known| known.name == feed));
        settings.tenants.iter().any(|tenant| tenant.name == name && has(tenant))
    };
    if !known {
        let hint = "name a tenant (acme), a feed (acme/audit) or a sink (sink:siem) of the configuration, or a host that is away (host:NAME); `status` shows them";
        return Err(SetupError::new(ExitCode::Usage, format!("{scope:?} is not configured: {hint}")));
    }
    let taken = block_on(requests::resume(
        &settings.state_dir,
        scope,
        &format!("resume-{}", Clock::System.now().0),
    ))??;
    if !taken {
        let hint = "see whether it runs, and with this state_dir";
        return Err(SetupError::new(
            ExitCode::TryLater,
            format!("no daemon took the request for {scope}: {hint}"),
        ));
    }
    done(format!("the daemon tries {scope} again now; `status` shows what comes of it\n"))
}
