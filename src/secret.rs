//! A secret that cannot be printed and is wiped from memory when dropped.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::setup_error::SetupError;

/// Keeps this process's memory to itself: no core dump, also none through a pipe (`core_pattern = |…` does not ask for the
/// limit), and nobody but root reads it or its environment in `/proc` or attaches to it.
///
/// # Errors
/// The system does not allow it.
pub fn close_memory() -> Result<(), SetupError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let closed =
        setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    closed.map_err(|e| {
        SetupError::failed(format!(
            "failed to forbid core dumps, which would hold secrets (setrlimit, prctl PR_SET_DUMPABLE): {e}"
        ))
    })
}

/// A password, key or token. `Debug` and `Display` show only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }
    /// The text itself. Call it only where it goes onto the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The bytes that this text stands for in padded base64 of the standard alphabet; `None` when it is anything
    /// else.
    pub fn base64_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        STANDARD.decode(self.0.as_bytes()).ok().filter(|bytes| !bytes.is_empty()).map(Zeroizing::new)
    }
    /// Tells one secret from another across restarts without storing either: SHA-256 keyed with a random
    /// per-installation `salt`, so that nothing guessable lies on disk.
    pub fn fingerprint(&self, salt: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt);
        hash.update(self.0.as_bytes());
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn memory_is_closed() {
        close_memory().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }

    #[test]
    fn base64_is_read_strictly() {
        let bytes = |text: &str| Secret::new(text).base64_bytes().map(|bytes| bytes.to_vec());
        assert_eq!(bytes("ZGVtbw==").as_deref(), Some(&b"demo"[..]));
        for not in ["ZGVtbw", "ZGVtbw==\n", " ZGVtbw==", "ZGV-_w==", "demo!", "ZGVtbx==", "", "hunter2"] {
            assert_eq!(bytes(not), None, "{not:?}");
        }
    }

    #[test]
    fn never_printed() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?} {:?}", Some(&secret)).contains("hunter2"));
        assert_ne!(secret.fingerprint(b"a"), secret.fingerprint(b"b"));
        assert_eq!(secret.fingerprint(b"a"), Secret::new("hunter2").fingerprint(b"a"));
    }
}
