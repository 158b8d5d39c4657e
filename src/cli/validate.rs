//! `validate`: what the configuration says, without touching the network.

use std::path::Path;

use super::{Printed, done, load_from};
use crate::clock::Clock;
use crate::config::{SecretRef, describe};
use crate::daemon::findings::{SECRET_REMEDY, secret_end};
use crate::setup_error::SetupError;

/// Describes what the configuration amounts to, warnings after it; fails with all its mistakes at once.
pub fn validate(config: &Path) -> Printed {
    let settings = load_from(config)?;
    let mut text = describe(&settings);
    for secret in settings.secrets() {
        let what = &secret.what;
        match (secret.read(), secret.place) {
            (Ok(_), _) => {}
            (Err(error), SecretRef::File(_) | SecretRef::Literal(_)) => {
                return Err(SetupError::new(error.exit, format!("{what}: {}", error.message)));
            }
            // the environment and systemd's credentials are the service's, not this shell's
            (Err(error), _) => {
                text.push_str(&format!("warning: {what}, as seen from here: {}\n", error.message))
            }
        }
    }
    let now = Clock::System.now();
    for tenant in &settings.tenants {
        if let Some(words) = tenant.secret_expires.and_then(|ends| secret_end(ends, now)) {
            text.push_str(&format!("warning: tenant {}: {words}. {SECRET_REMEDY}\n", tenant.name));
        }
    }
    for warning in &settings.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str(&format!("{} is valid\n", config.display()));
    done(text)
}
