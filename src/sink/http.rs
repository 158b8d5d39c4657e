//! NDJSON over HTTP: one POST a batch, and the whole answer is read before it is believed. 2xx is an
//! acknowledgement of the application (level 4). Redirects are not followed, for a token must not travel to
//! where an answer points, and proxies of the environment are not used.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};

use super::plan::{HttpPlan, TlsFiles};
use super::{Batch, Receipt, Sent, Window, answer, peer, tls};
use crate::fault::{Fault, Kind, Origin};
use crate::limits;
use crate::secret::Secret;
use crate::setup_error::SetupError;

/// The application answered.
pub const LEVEL: u8 = 4;

/// One receiver.
#[derive(Debug)]
pub struct Http {
    plan: HttpPlan,
    client: Client,
    headers: HeaderMap,
    /// Whatever must not be quoted from an answer.
    secrets: Vec<Secret>,
    /// The URL without query and user, for people.
    peer: String,
}

impl Http {
    pub fn new(plan: HttpPlan) -> Result<Self, SetupError> {
        let mut config =
            tls::client_config(&TlsFiles { ca_file: plan.ca_file.clone(), ..TlsFiles::default() })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(plan.connect_timeout)
            .build()
            .map_err(|err| {
                SetupError::config(format!("the HTTP client cannot be set up: {}", chain(&err)))
            })?;
        let peer = shown(&plan.url);
        Ok(Http { headers: headers(&plan, &peer)?, secrets: secrets(&plan), peer, client, plan })
    }

    /// As configured; every answer acknowledges its own batch, so nothing is left to confirm.
    pub fn window(&self) -> Window {
        Window {
            max_events: self.plan.batch_events,
            max_bytes: self.plan.batch_bytes,
            wait: self.plan.batch_wait,
            concurrency: self.plan.concurrency,
            confirm_every: 0,
        }
    }

    /// Posts one batch as NDJSON; a success status counts only if the body does not contradict it.
    ///
    /// # Errors
    /// No answer in time, a status other than success, or a body that reports a failure.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let mut request = self.request(Method::POST).header(CONTENT_TYPE, "application/x-ndjson");
        let mut body = batch.bytes.clone();
        if self.plan.gzip {
            body = compressed(body).await?;
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = self.answer(request.body(body)).await?;
        match answer.status.is_success().then(|| answer::contradiction(&answer.body)) {
            Some(None) => Ok(Sent::Acknowledged(Receipt::new(batch.len() as u64, LEVEL))),
            Some(Some(kind)) => Err(self.refused(kind, answer)),
            None => Err(self.refused(Kind::Status(answer.status.as_u16()), answer)),
        }
    }

    /// Nothing is sent: no request is harmless to every receiver, and the first batch tells all there is to tell.
    pub fn probe(&self) -> u8 {
        LEVEL
    }

    fn request(&self, method: Method) -> RequestBuilder {
        self.client
            .request(method, self.plan.url.clone())
            .headers(self.headers.clone())
            .timeout(self.plan.timeout)
    }

    /// Sends once and reads the answer to its end, or to the bound of what anybody needs of it.
    async fn answer(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let mut response = request.send().await.map_err(|err| self.unanswered(err))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|err| self.unanswered(err))? {
            let room = limits::MAX_ERROR_BODY_BYTES - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() >= room {
                break; // the rest is dropped with the connection
            }
        }
        Ok(Answer::new(&response, body))
    }

    fn refused(&self, kind: Kind, answer: Answer) -> Fault {
        let said = answer::excerpt(&answer.body, &self.secrets);
        let mut detail = format!("{}: {}", self.peer, if said.is_empty() { "no explanation" } else { &said });
        if let Some(location) = answer.location {
            detail
                .push_str(&format!("; it points to {}", answer::excerpt(location.as_bytes(), &self.secrets)));
        }
        Fault { retry_after: answer.wait, ..Fault::new(Origin::Sink, kind, detail) }
    }

    fn unanswered(&self, err: reqwest::Error) -> Fault {
        let (kind, why) = match peer::tls_error(&err) {
            Some(tls) => (peer::tls_kind(tls), peer::tls_text(tls)),
            None if err.is_dns() => (Kind::Dns, "the name does not resolve".to_owned()),
            None if err.is_connect() => (Kind::Connect, chain(&err)),
            None if err.is_timeout() => {
                (Kind::Timeout, format!("no whole answer within {:?}", self.plan.timeout))
            }
            None => (Kind::Interrupted, chain(&err)),
        };
        Fault::new(Origin::Sink, kind, format!("{}: {why}", self.peer))
    }
}

/// What of an answer matters.
struct Answer {
    status: StatusCode,
    wait: Option<Duration>,
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn new(response: &Response, body: Vec<u8>) -> Self {
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        Answer {
            status: response.status(),
            wait: answer::wait_asked(header(RETRY_AFTER), header(DATE)),
            location: header(LOCATION)
                .filter(|_| response.status().is_redirection())
                .map(answer::without_queries),
            body,
        }
    }
}

fn headers(plan: &HttpPlan, peer: &str) -> Result<HeaderMap, SetupError> {
    let mut map = HeaderMap::new();
    let secret = |text: &str, what: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| {
            SetupError::config(format!("{what} of {peer} holds characters that an HTTP header cannot carry"))
        })?;
        value.set_sensitive(true);
        Ok(value)
    };
    for (name, value) in &plan.headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| SetupError::config(format!("{name:?} is no name of an HTTP header ({peer})")))?;
        map.append(key, secret(value.expose(), &format!("the header {name}"))?);
    }
    if let Some(token) = &plan.token {
        map.insert(AUTHORIZATION, secret(&format!("Bearer {}", token.expose()), "the token")?);
    }
    Ok(map)
}

/// The token, every header, and of `Scheme credentials` the credentials too.
fn secrets(plan: &HttpPlan) -> Vec<Secret> {
    let values = plan.token.iter().chain(plan.headers.iter().map(|(_, value)| value));
    values
        .flat_map(|value| {
            let credentials = value.expose().split_once(' ').map(|(_, rest)| Secret::new(rest));
            [Some(value.clone()), credentials]
        })
        .flatten()
        .collect()
}

fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // A URL that cannot hold a user has none to hide.
    let _ = (url.set_username(""), url.set_password(None));
    url.to_string()
}

async fn compressed(body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let work = tokio::task::spawn_blocking(move || {
        // Level 1: a quarter of level 6's time for a tenth more bytes.
        let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(1));
        gzip.write_all(&body)?;
        gzip.finish()
    });
    let failed = |why: String| {
        Fault::new(Origin::Local, Kind::Interrupted, format!("failed to compress a batch: {why}"))
    };
    work.await.map_err(|err| failed(err.to_string()))?.map_err(|err| failed(err.to_string()))
}

/// An error and its causes, without the URL, whose query may be a secret.
fn chain(err: &reqwest::Error) -> String {
    let mut text =
        if err.is_connect() { "failed to connect".to_owned() } else { "the exchange broke off".to_owned() };
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    text
}
