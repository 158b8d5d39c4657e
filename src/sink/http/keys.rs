//! Who we are to a destination: headers, tokens and passwords, read when they are needed and read again after a
//! refusal, for a person may have replaced them meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::entra::{Token, Tokens};
use crate::fault::{Fault, Kind, Origin};
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::sink::plan::Auth;

/// All that a request shows.
#[derive(Debug)]
pub struct Keys {
    headers: Vec<(String, Secret)>,
    auth: Vec<Auth>,
    tokens: Option<Tokens>,
    peer: String,
    /// As last read; `None`: to be read again.
    known: Mutex<Option<Arc<Known>>>,
}

#[derive(Debug, Default)]
struct Known {
    headers: HeaderMap,
    /// The last part of the path.
    path: Option<Secret>,
    /// Whatever must not be quoted from an answer.
    secrets: Vec<Secret>,
}

/// What one request shows.
#[derive(Debug)]
pub struct Shown {
    pub headers: HeaderMap,
    /// The last part of the path.
    path: Option<Secret>,
    /// Of Entra.
    pub token: Option<Token>,
    /// Whatever must not be quoted from its answer.
    pub secrets: Vec<Secret>,
}

impl Shown {
    /// The URL with what belongs into its path.
    pub fn url(&self, mut url: Url) -> Url {
        if let Some(path) = &self.path {
            let own = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{own}/{}", path.expose()));
        }
        url
    }
}

impl Keys {
    /// Reads everything once, so that what is missing is found at start.
    pub fn new(headers: &[(String, Secret)], auth: &[Auth], peer: &str) -> Result<Self, SetupError> {
        let entra =
            auth.iter().find_map(|auth| if let Auth::Entra(entra) = auth { Some(entra) } else { None });
        let tokens = entra.map(|entra| Tokens::new(entra.clone())).transpose()?;
        let keys = Keys {
            headers: headers.to_vec(),
            auth: auth.to_vec(),
            tokens,
            peer: peer.to_owned(),
            known: Mutex::default(),
        };
        *keys.lock() = Some(Arc::new(keys.read()?));
        Ok(keys)
    }

    /// What a request is to show; fetches a token where one is needed.
    pub async fn shown(&self, client: &Client) -> Result<Shown, Fault> {
        let known = self.known()?;
        let mut shown = Shown {
            headers: known.headers.clone(),
            path: known.path.clone(),
            token: None,
            secrets: known.secrets.clone(),
        };
        if let Some(tokens) = &self.tokens {
            let token = tokens.current(client).await?;
            shown.headers.insert(AUTHORIZATION, token.header.clone());
            shown.secrets.push(token.secret.clone());
            shown.token = Some(token);
        }
        Ok(shown)
    }

    /// Fetches what has to be fetched from elsewhere.
    pub async fn renew(&self, client: &Client) -> Result<(), Fault> {
        match &self.tokens {
            Some(tokens) => tokens.current(client).await.map(drop),
            None => Ok(()),
        }
    }

    /// The destination refused something: whatever the reason, look at the secrets again before the next request. `token`
    /// is the one that the request showed, if it may have been the reason.
    pub fn doubt(&self, token: Option<&Token>) {
        *self.lock() = None;
        if let (Some(tokens), Some(token)) = (&self.tokens, token) {
            tokens.doubt(token);
        }
    }

    fn known(&self) -> Result<Arc<Known>, Fault> {
        let mut known = self.lock();
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let read = self.read().map_err(|error| {
            Fault::new(Origin::Sink, Kind::SecretUnreadable, format!("{}: {}", self.peer, error.message))
        })?;
        Ok(known.insert(Arc::new(read)).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves it whole
    }

    fn read(&self) -> Result<Known, SetupError> {
        let mut known = Known::default();
        for (name, value) in &self.headers {
            known
                .headers
                .append(self.named(name)?, self.sensitive(value.expose(), &format!("the header {name}"))?);
            known.hide(value);
        }
        for auth in &self.auth {
            match auth {
                Auth::Header { name, scheme, secret } => {
                    let secret = secret.read()?;
                    let text = format!("{scheme}{}", secret.expose());
                    let value = self.sensitive(&text, "the token")?;
                    known.headers.insert(HeaderName::from_static(name), value);
                    known.hide(&secret);
                }
                Auth::Named { name, secret } => {
                    let secret = secret.read()?;
                    let value = self.sensitive(secret.expose(), "the token")?;
                    known.headers.insert(self.named(name)?, value);
                    known.hide(&secret);
                }
                Auth::Basic { user, password } => {
                    let password = password.read()?;
                    let both = Secret::new(STANDARD.encode(format!("{user}:{}", password.expose())));
                    let value = self.sensitive(&format!("Basic {}", both.expose()), "the password")?;
                    known.headers.insert(AUTHORIZATION, value);
                    known.hide(&both);
                    known.hide(&password);
                }
                Auth::Path { secret } => {
                    let secret = secret.read()?;
                    known.hide(&secret);
                    known.path = Some(secret);
                }
                Auth::Entra(_) => {}
            }
        }
        Ok(known)
    }

    fn named(&self, name: &str) -> Result<HeaderName, SetupError> {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| SetupError::config(format!("{name:?} is no name of an HTTP header ({})", self.peer)))
    }

    fn sensitive(&self, text: &str, what: &str) -> Result<HeaderValue, SetupError> {
        let mut value = HeaderValue::from_str(text).map_err(|_| {
            SetupError::config(format!(
                "{what} of {} holds characters that an HTTP header cannot carry",
                self.peer
            ))
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Known {
    /// The secret, and of `Scheme credentials` the credentials too.
    fn hide(&mut self, secret: &Secret) {
        let credentials = secret.expose().split_once(' ').map(|(_, rest)| Secret::new(rest));
        self.secrets.extend([Some(secret.clone()), credentials].into_iter().flatten());
    }
}
