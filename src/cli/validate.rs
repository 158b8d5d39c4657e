//! `validate`: what the configuration says, without touching the network.

use super::{Common, Printed, done, load};
use crate::config;

/// Describes what the configuration amounts to, warnings after it; fails with all its mistakes at once.
pub fn validate(common: &Common) -> Printed {
    let settings = load(common)?;
    let mut text = config::describe(&settings);
    for warning in &settings.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str(&format!("{} is valid\n", common.config.display()));
    done(text)
}
