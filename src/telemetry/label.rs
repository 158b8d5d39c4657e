//! The closed sets that label values come from (contract §7). A label value of outside origin could grow
//! without bound and take the operator's Prometheus with it, so every one passes through here.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::supervisor::rule::Severity;

/// Declares a closed set: the enum, its label texts (also its JSON), and `ALL`.
macro_rules! closed_set {
    ($(#[$about:meta])* $name:ident { $($(#[$why:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$why])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every member, in the order of the contract.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The member with this label value.
            pub fn named(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|member| member.as_str() == text)
            }
            /// The label value.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

closed_set! {
    /// What a feed is doing.
    FeedState {
        /// Not asked yet since the daemon started.
        Starting = "starting",
        /// Reading pages that were already there.
        Collecting = "collecting",
        /// Everything Mimecast had is here; waiting for the next poll.
        CaughtUp = "caught_up",
        /// A passing fault; asked again later by itself.
        BackingOff = "backing_off",
        /// Mimecast, or our own share of its quota, asks for a pause.
        Throttled = "throttled",
        /// Waits for its credential or for room in the store.
        Paused = "paused",
        /// Stopped until somebody removes the cause.
        Halted = "halted",
    }
}

closed_set! {
    /// What is known of a tenant's credential.
    CredentialState {
        Ok = "ok",
        /// A new token is being asked for.
        Refreshing = "refreshing",
        /// Held back after a failure whose cause is not certain.
        Suspended = "suspended",
        /// The account is locked at Mimecast; nothing is asked until the lock is over.
        LockedOut = "locked_out",
        /// The secret or password is past its end.
        Expired = "expired",
        /// The secret, application or key was withdrawn.
        Revoked = "revoked",
        /// Refused: wrong secret, or no permission to log in.
        Denied = "denied",
    }
}

closed_set! {
    /// How much a fault matters to the operator.
    Grade {
        /// Passes by itself, nothing to do.
        Info = "info",
        /// Worth knowing; passes by itself.
        Warning = "warn",
        /// Something stands still until it is repaired.
        Error = "error",
        /// Collection as a whole, or evidence, is in danger.
        Critical = "critical",
    }
}

impl Grade {
    /// The grade of a recovery row.
    pub fn of(severity: Severity) -> Self {
        match severity {
            Severity::Info => Grade::Info,
            Severity::Warn => Grade::Warning,
            Severity::Error => Grade::Error,
            Severity::Critical => Grade::Critical,
        }
    }
}

closed_set! {
    /// How one attempt to hand a batch to a sink ended.
    Attempt {
        Acknowledged = "acknowledged",
        /// The sink took part of the batch and refused the rest.
        Partial = "partial",
        /// The sink answered no.
        Refused = "refused",
        /// No answer, or a broken connection: nobody knows.
        Failed = "failed",
    }
}

/// Label value of a code that the recovery table does not name.
pub const OTHER: &str = "other";

/// By lower case: services are not consistent in their own spelling.
static KNOWN_CODES: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();

/// Names the codes that may become label values: those of the recovery table. The first call counts.
pub fn know_codes(codes: impl IntoIterator<Item = &'static str>) {
    let _ = KNOWN_CODES.set(codes.into_iter().map(|code| (code.to_ascii_lowercase(), code)).collect()); // a second call changes nothing, by contract
}

/// `code` where the recovery table names it, `""` for none, else [`OTHER`].
pub fn code(code: &str) -> &'static str {
    if code.is_empty() {
        return "";
    }
    KNOWN_CODES.get().and_then(|known| known.get(&code.to_ascii_lowercase()).copied()).unwrap_or(OTHER)
}

/// An HTTP status as label value: `""` when there was no answer, [`OTHER`] when it is no HTTP status.
pub fn status(status: Option<u16>) -> String {
    match status {
        None => String::new(),
        Some(status @ 100..=599) => status.to_string(),
        Some(_) => OTHER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_agree_with_the_contract() {
        let text = |states: &[FeedState]| states.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(text(FeedState::ALL), "starting collecting caught_up backing_off throttled paused halted");
        let states: Vec<_> = CredentialState::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(states.join(" "), "ok refreshing suspended locked_out expired revoked denied");
        assert!(Grade::ALL.iter().all(|grade| Grade::named(grade.as_str()) == Some(*grade)));
        assert_eq!(serde_json::to_string(&FeedState::BackingOff).unwrap(), "\"backing_off\"");
    }

    #[test]
    fn outside_codes_and_statuses_stay_within_the_set() {
        know_codes(["0010", "token_expired"]);
        assert_eq!(
            (code("0010"), code("Token_Expired"), code("4711' or 1=1")),
            ("0010", "token_expired", OTHER)
        );
        assert_eq!(
            (status(Some(503)), status(None), status(Some(9999))),
            ("503".into(), String::new(), OTHER.into())
        );
    }
}
