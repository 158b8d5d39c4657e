//! How the severity of a fault grows while it lasts.

use std::time::Duration;

use super::rule::{DAY, HOUR, Severity};

/// Nothing changes when it lasts.
pub(super) const STEADY: &[(Duration, Severity)] = &[];
/// After three cycles, counted in time: a passing fault has passed by then.
pub(super) const THREE_CYCLES: &[(Duration, Severity)] = &[(Duration::from_secs(15 * 60), Severity::Error)];
/// Faults of the service: an hour is worth knowing, a day endangers what it keeps for a week.
pub(super) const HOUR_THEN_DAY: &[(Duration, Severity)] =
    &[(HOUR, Severity::Error), (DAY, Severity::Critical)];
/// Held up, but nothing is lost for days.
pub(super) const AN_HOUR: &[(Duration, Severity)] = &[(HOUR, Severity::Error)];
