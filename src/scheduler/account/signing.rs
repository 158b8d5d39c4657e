//! Keys that sign: every call carries what may be refused, so how many are under way is how many may be refused at once.

use tokio::sync::OwnedSemaphorePermit;

use super::{Access, Account, Proof, Slip};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::SIGNING_KEYS_LIFE;
use crate::mimecast::auth::Keys;

impl Access {
    /// The same, with the place that the call holds.
    pub(super) fn in_place(self, place: Option<OwnedSemaphorePermit>) -> Access {
        match self {
            Access::Go { pass, slip } => Access::Go { pass, slip: Slip { _place: place, ..slip } },
            Access::Shut(closed) => Access::Shut(closed),
        }
    }
}

impl Account {
    /// Waits for a place among the signed calls; `None` where a token is what carries them: a refused one is no
    /// failed login.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if !self.signs {
            return None;
        }
        self.signed_calls.clone().acquire_owned().await.ok() // an error only where somebody closes it: nobody does
    }

    /// The first call of keys that sign: one goes, counted and written down before; who comes meanwhile waits for
    /// its outcome. Keys that work already are only read again.
    pub(super) async fn knock(&self) -> Result<Access, Fault> {
        let first = self.first_call.clone().lock_owned().await;
        let mut credential = self.credential.lock().await;
        if let Some(access) = self.permitted(&mut credential) {
            return Ok(access);
        }
        let keys = self.read_keys();
        let fingerprint = self.identity.fingerprint(&keys, &self.store);
        let Keys::Signing(signing) = keys else {
            return Err(Fault::new(Origin::Local, Kind::Conflict, "the keys became others while being read"));
        };
        if credential.gate.go_on(&fingerprint, self.clock.now(), SIGNING_KEYS_LIFE)
            && let Some(access) = self.permitted(&mut credential)
        {
            return Ok(access);
        }
        if let Some(closed) = self.begin(&mut credential, &fingerprint).await? {
            return Ok(Access::Shut(closed));
        }
        credential.proof = Some(Proof::Keys(signing.clone()));
        Ok(self.go(Proof::Keys(signing), 0, Some(first)))
    }
}
