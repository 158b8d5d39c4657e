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
    /// Held while one is fetched; when and why that failed the last time.
    fetching: tokio::sync::Mutex<Option<(Instant, Fault)>>,
    held: Mutex<Option<Held>>,
}

/// A token, and how a request carries it.
#[derive(Clone, Debug)]
pub struct Token {
    pub secret: Secret,
    pub header: HeaderValue,
}

#[derive(Clone, Debug)]
struct Held {
    token: Token,
    /// When it was asked for, and when it is time for another.
    since: Instant,
    until: Instant,
    /// A request that showed it was refused.
    doubted: bool,
}

impl Held {
    fn is_good(&self) -> bool {
        Instant::now() < self.until && !(self.doubted && self.since.elapsed() >= limits::ENTRA_TOKEN_TRUST)
    }
}

impl Tokens {
    /// Reads the secret once, so that a missing one is found at start.
    pub fn new(entra: Entra) -> Result<Self, SetupError> {
        entra.secret.read()?;
        let peer = shown(&entra.url);
        Ok(Tokens { entra, peer, fetching: tokio::sync::Mutex::default(), held: Mutex::default() })
    }

    /// A token that lives for some minutes more. Whoever waited while Entra refused one is told so as well, for asking
    /// again at once would be a second attempt with the same secret.
    pub async fn current(&self, client: &Client) -> Result<Token, Fault> {
        let came = Instant::now();
        let mut failed = self.fetching.lock().await;
        if let Some(held) = self.lock().as_ref().filter(|held| held.is_good()) {
            return Ok(held.token.clone());
        }
        if let Some((_, fault)) = failed.as_ref().filter(|(at, _)| *at > came) {
            return Err(fault.clone());
        }
        let held =
            self.fetch(client).await.inspect_err(|fault| *failed = Some((Instant::now(), fault.clone())))?;
        let token = held.token.clone();
        *self.lock() = Some(held);
        Ok(token)
    }

    /// A request that showed this token was refused, perhaps for it: another one takes its place, if it is still the current
    /// one, as soon as it is older than [`limits::ENTRA_TOKEN_TRUST`].
    pub fn doubt(&self, shown: &Token) {
        if let Some(held) = self.lock().as_mut().filter(|held| held.token.secret == shown.secret) {
            held.doubted = true;
        }
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
        let body = answer::bounded(&mut response, limits::MAX_ERROR_BODY_BYTES).await.map_err(failed)?;
        let said: Said = serde_json::from_slice(&body).unwrap_or_default();
        if let (true, Some(token)) = (response.status().is_success(), said.access_token) {
            let life = match said.expires_in {
                None | Some(0) => limits::TOKEN_LIFETIME,
                Some(seconds) => Duration::from_secs(seconds.min(limits::MAX_ENTRA_TOKEN_SECONDS)),
            };
            let until = asked + life - limits::ENTRA_TOKEN_SPARE.min(life / 2);
            return Ok(Held { token: self.token(token)?, since: asked, until, doubted: false });
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
        let words = if response.status().is_success() {
            "an answer without a token that can be read".to_owned() // it may hold one all the same: not quoted
        } else {
            answer::excerpt(&body, &[secret])
        };
        let detail = format!("no token: {}: {words}", response.status().as_u16());
        let code = said.error.as_deref().and_then(Code::new);
        Err(Fault { code, retry_after: wait, ..self.fault(kind, &detail) })
    }

    fn token(&self, text: String) -> Result<Token, Fault> {
        let header = HeaderValue::from_str(&format!("Bearer {text}"));
        let mut header =
            header.map_err(|_| self.fault(Kind::Malformed, "a token that no header can carry"))?;
        header.set_sensitive(true);
        Ok(Token { secret: Secret::new(text), header })
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
    expires_in: Option<u64>,
    error: Option<String>,
}
