//! A secret that cannot be printed and is wiped from memory when dropped.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

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
    use super::*;

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
