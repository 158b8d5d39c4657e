//! Tokens of Microsoft Entra (OAuth 2.0 client credentials).
//!
//! Sources: Microsoft identity platform, "OAuth 2.0 client credentials flow" (`POST /{tenant}/oauth2/v2.0/token` with
//! `client_id`, `client_secret`, `scope`, `grant_type`; `expires_in` in seconds); RFC 6749 §5.2 (a refusal names its
//! `error`).
//!
//! A token is asked for when there is none or the last minutes of one run, by one request at a time. A refusal of the
//! application's id or secret is told as [`Kind::TokenMissing`], so that it is not knocked at with a bad secret.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{DATE, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use tokio::time::Instant;

use super::{shown, unanswered};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits;
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::sink::answer;
use crate::sink::plan::Entra;

/// The tokens of one application.
#[derive(Debug)]
pub struct Tokens {
    entra: Entra,
    peer: String,
    /// Held while one is fetched.
    fetching: tokio::sync::Mutex<()>,
    held: Mutex<Option<Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    token: Secret,
    ends: Instant,
}

impl Tokens {
    /// Reads the secret once, so that a missing one is found at start.
    pub fn new(entra: Entra) -> Result<Self, SetupError> {
        entra.secret.read()?;
        let peer = shown(&entra.url);
        Ok(Tokens { entra, peer, fetching: tokio::sync::Mutex::default(), held: Mutex::default() })
    }

    /// The header with a token that lives for some minutes more.
    pub async fn current(&self, client: &Client) -> Result<HeaderValue, Fault> {
        let _one_at_a_time = self.fetching.lock().await;
        let fresh = |held: &Held| held.ends > Instant::now() + limits::ENTRA_TOKEN_SPARE;
        let known = self.lock().clone().filter(fresh);
        let held = match known {
            Some(held) => held,
            None => self.fetch(client).await?,
        };
        let header = HeaderValue::from_str(&format!("Bearer {}", held.token.expose()));
        let mut header =
            header.map_err(|_| self.fault(Kind::Malformed, "a token that no header can carry"))?;
        header.set_sensitive(true);
        *self.lock() = Some(held);
        Ok(header)
    }

    /// Whatever must not be quoted.
    pub fn secrets(&self) -> Vec<Secret> {
        let token = self.lock().as_ref().map(|held| held.token.clone());
        token.into_iter().chain(self.entra.secret.read().ok()).collect()
    }

    /// The token was refused: the next request asks for another.
    pub fn doubt(&self) {
        *self.lock() = None;
    }

    async fn fetch(&self, client: &Client) -> Result<Held, Fault> {
        let secret =
            self.entra.secret.read().map_err(|error| self.fault(Kind::SecretUnreadable, &error.message))?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.entra.client_id)
            .append_pair("client_secret", secret.expose())
            .append_pair("scope", &self.entra.scope)
            .finish();
        let asked = Instant::now();
        let failed = |err| unanswered(&err, &self.peer, limits::ENTRA_TIMEOUT);
        let mut response = client
            .post(self.entra.url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(limits::ENTRA_TIMEOUT)
            .body(form)
            .send()
            .await
            .map_err(failed)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            let room = limits::MAX_ERROR_BODY_BYTES - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() >= room {
                break;
            }
        }
        let said: Said = serde_json::from_slice(&body).unwrap_or_default();
        if let (true, Some(token)) = (response.status().is_success(), said.access_token) {
            let ends = asked + Duration::from_secs(said.expires_in.min(limits::MAX_ENTRA_TOKEN_SECONDS));
            return Ok(Held { token: Secret::new(token), ends });
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = answer::wait_asked(header(RETRY_AFTER), header(DATE));
        let kind = match &said.error {
            Some(error) if error != "temporarily_unavailable" && !response.status().is_server_error() => {
                Kind::TokenMissing
            }
            _ if response.status().is_server_error() => Kind::Status(response.status().as_u16()),
            _ => Kind::Malformed,
        };
        let words = answer::excerpt(&body, &[secret]);
        let detail = format!("no token: {}: {words}", response.status().as_u16());
        let code = said.error.as_deref().and_then(Code::new);
        Err(Fault { code, retry_after: wait, ..self.fault(kind, &detail) })
    }

    fn fault(&self, kind: Kind, words: &str) -> Fault {
        Fault::new(Origin::Sink, kind, format!("{}: {words}", self.peer))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves it whole
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    access_token: Option<String>,
    expires_in: u64,
    error: Option<String>,
}
