//! What can go wrong before the daemon runs, told to a person, each with its exit code (contract §5).

use std::fmt;

/// Exit codes of every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// A counterpart is unreachable.
    Unreachable = 69,
    /// Try later: somebody else holds the store.
    TryLater = 75,
    /// Credentials or permission.
    Permission = 77,
    Configuration = 78,
}

impl ExitCode {
    /// Every member and what it means, for people.
    pub const ALL: [(ExitCode, &str); 7] = [
        (ExitCode::Done, "done"),
        (ExitCode::Failed, "failed, or not everything is as it should be"),
        (ExitCode::Usage, "usage: a verb, flag or argument that does not exist or cannot be used"),
        (ExitCode::Unreachable, "a counterpart is unreachable"),
        (
            ExitCode::TryLater,
            "try later: another process has the store, or the daemon has not answered or not ended it yet",
        ),
        (ExitCode::Permission, "credentials or permission"),
        (ExitCode::Configuration, "configuration"),
    ];
    /// The member with this number; an unknown number is a failure.
    pub fn from_number(number: u8) -> Self {
        let found = ExitCode::ALL.iter().find(|(code, _)| *code as u8 == number);
        found.map_or(ExitCode::Failed, |(code, _)| *code)
    }
}

/// An error that ends a verb. `message` completes "failed to …" or stands alone; it says what, where, why and
/// what to do, and carries no secret.
#[derive(Clone, Debug)]
pub struct SetupError {
    pub exit: ExitCode,
    pub message: String,
}

impl SetupError {
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        SetupError { exit, message: message.into() }
    }
    /// A mistake in the configuration, exit code 78: nothing helps but editing it.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Configuration, message)
    }
    /// A failure without an exit code of its own, exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SetupError {}
