//! How API 1.0 is signed: every call carries a keyed digest of its date, its id, its path and the application's
//! key (Mimecast's authorization guide; the recipe is the same in all of its samples). There is no login.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::clock::Time;
use crate::secret::Secret;

/// The keys of an API 1.0 application and of its user's binding. Printing them shows only the application's id.
#[derive(Clone)]
pub struct SigningKeys {
    app_id: String,
    app_key: Secret,
    access_key: Secret,
    /// The secret key itself: what its base64 text stands for.
    key: Zeroizing<Vec<u8>>,
}

/// The secret key is not base64, so it cannot be what Mimecast handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

impl SigningKeys {
    /// # Errors
    /// [`NotBase64`]: nothing could be signed with that, and nothing should be sent.
    pub fn new(
        app_id: &str,
        app_key: Secret,
        access_key: Secret,
        secret_key: &Secret,
    ) -> Result<Self, NotBase64> {
        let key = secret_key.base64_bytes().ok_or(NotBase64)?;
        Ok(SigningKeys { app_id: app_id.to_owned(), app_key, access_key, key })
    }

    /// Everything that makes another credential of it when it changes.
    pub(super) fn identity(&self) -> Secret {
        let (app_key, access_key) = (self.app_key.expose(), self.access_key.expose());
        let key = Zeroizing::new(STANDARD.encode(&*self.key));
        Secret::new(format!("{}\n{app_key}\n{access_key}\n{}", self.app_id, *key))
    }

    /// For the header `x-mc-app-id`.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// The `Authorization` of one call. `path` is the function's path alone, `date` the text of [`date_text`] and
    /// `request_id` an id that was never used before; both go into headers of the same call.
    pub fn authorization(&self, path: &str, date: &str, request_id: &str) -> Secret {
        let text = Zeroizing::new(format!("{date}:{request_id}:{path}:{}", self.app_key.expose()));
        // HMAC takes keys of every length: there is no error to come
        let signed = Hmac::<Sha1>::new_from_slice(&self.key).map(|mac| mac.chain_update(text.as_bytes()));
        let signature = signed.map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default();
        Secret::new(format!("MC {}:{signature}", self.access_key.expose()))
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// `Tue, 24 Nov 2015 12:50:11 UTC`: the form in which Mimecast's guide writes `x-mc-date`.
pub fn date_text(at: Time) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Time = Time(1_448_369_411_000);
    const ID: &str = "8578fcfc-a305-4d9a-99cb-f4d5ecefe297";
    const SIEM: &str = "/api/audit/get-siem-logs";
    const SECRET: &str = "bWltZWNhc3QtZXhhbXBsZS1zZWNyZXQta2V5LTMyYnk=";

    fn keys(secret: &str) -> SigningKeys {
        let app_key = Secret::new("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");
        let access_key = Secret::new("mYtOKEnAcCeSsKeY-example_0001");
        SigningKeys::new("1f0c9f6e-0000-4000-8000-5ea1ab1e0001", app_key, access_key, &Secret::new(secret))
            .unwrap()
    }

    /// What is known to go wrong, by the signature it leads to.
    fn mistake(signature: &str) -> &'static str {
        match signature {
            "+L2ZZ38cdUMBgWDbzoC12+JCDqo=" => "the secret key was used as text; it has to be decoded first",
            "9fMlS/8VHvahnTmrweBIEhdaPas=" => "the date says GMT; the header and the text have to say UTC",
            "LlSHPD90OXtSdHWwah222CFbmTc=" => "the whole URL was signed; only the path may be",
            _ => "none of the known mistakes; compare date, id, path and application key one by one",
        }
    }

    fn signed(keys: &SigningKeys, path: &str, date: &str) -> String {
        let authorization = keys.authorization(path, date, ID);
        let text = authorization.expose();
        text.strip_prefix("MC mYtOKEnAcCeSsKeY-example_0001:").unwrap().to_owned()
    }

    #[test]
    fn the_worked_example_comes_out() {
        assert_eq!(date_text(AT), "Tue, 24 Nov 2015 12:50:11 UTC");
        assert_eq!(date_text(Time(1_767_225_600_999)), "Thu, 01 Jan 2026 00:00:00 UTC");
        for (path, expected) in [
            (SIEM, "fcVITna3PLfF9ao6KutJ+HAXkco="),
            ("/api/ttp/url/get-logs", "j1muBi9uQxaR2YFvhQtaNf4E+Q0="),
        ] {
            let signature = signed(&keys(SECRET), path, &date_text(AT));
            assert_eq!(signature, expected, "{path}: {}", mistake(&signature));
        }
    }

    /// The three mistakes people make, made on purpose: each gives the signature by which it is told.
    #[test]
    fn a_wrong_signature_names_its_mistake() {
        let date = date_text(AT);
        // the text of the key, encoded once more, decodes to itself
        let undecoded = signed(&keys(&STANDARD.encode(SECRET)), SIEM, &date);
        let gmt = signed(&keys(SECRET), SIEM, &date.replace("UTC", "GMT"));
        let url = signed(&keys(SECRET), &format!("https://eu-api.mimecast.com{SIEM}"), &date);
        assert!(mistake(&undecoded).contains("decoded"), "{undecoded}");
        assert!(mistake(&gmt).contains("GMT"), "{gmt}");
        assert!(mistake(&url).contains("whole URL"), "{url}");
    }

    #[test]
    fn a_secret_key_that_is_not_base64_signs_nothing() {
        let key =
            |text: &str| SigningKeys::new("a", Secret::new("b"), Secret::new("c"), &Secret::new(text)).err();
        assert_eq!(key("not base64!"), Some(NotBase64));
        assert_eq!(key(SECRET), None);
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = keys(SECRET);
        let printed = format!("{keys:?} {:?}", keys.authorization(SIEM, &date_text(AT), ID));
        for secret in ["aaaaaaaa-bbbb", "mYtOKEn", "bWltZWNhc3Q", "mimecast-example", "fcVITna3"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains("1f0c9f6e"), "{printed}");
    }
}
