//! The two ways out: [`ApiClient`] talks to Mimecast's API with a token or a signature, [`DownloadClient`] fetches
//! files and has no way to send either. One attempt each, bounded reads, faults out; nothing here waits or logs.

mod failed;
mod incoming;
mod resolver;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use url::Url;

use self::failed::fault;
pub use self::incoming::Incoming;
use self::resolver::PublicNames;
pub use self::tls::Tls;
use super::auth::{self, Pass, Token};
use super::feed::Method;
use super::links::{FileLink, LinkPolicy, is_loopback};
use super::request::{Body, Request};
use super::signature;
use crate::clock::{Clock, Time};
use crate::dialect;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{
    API_TIMEOUT, ARCHIVE_TIMEOUT, CONNECT_TIMEOUT, DOWNLOAD_PIECE_BYTES, DOWNLOAD_RATE_OVER,
    DOWNLOAD_READ_TIMEOUT, IDLE_CONNECTIONS, MAX_ANSWER_BYTES, MAX_ERROR_BODY_BYTES, MIN_DOWNLOAD_BYTES,
};
use crate::names::name_limit;
use crate::secret::Secret;
use crate::setup_error::SetupError;

/// How the clients of one tenant connect.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub base_url: Url,
    /// The egress proxy, with its credentials if it wants any.
    pub proxy: Option<Url>,
    pub tls: Tls,
    /// File hosts beyond the built-in list.
    pub download_hosts: Vec<String>,
    pub timeouts: Timeouts,
    pub clock: Clock,
}

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP and TLS set-up.
    pub connect: Duration,
    /// A whole API call.
    pub call: Duration,
    /// Silence inside a download.
    pub silence: Duration,
    /// Over which a download's rate is measured.
    pub measured: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: CONNECT_TIMEOUT,
            call: API_TIMEOUT,
            silence: DOWNLOAD_READ_TIMEOUT,
            measured: DOWNLOAD_RATE_OVER,
        }
    }
}

/// Some gateways put it before JSON, which must not begin with it (RFC 8259 §8.1) and may be read without.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A 200 answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Name (lower case) and value, for `dialect::quota_pause` and for support.
    pub headers: Vec<(String, String)>,
    /// At most [`MAX_ANSWER_BYTES`].
    pub body: Bytes,
    /// Our own id of the request.
    pub sent_id: String,
}

impl Answer {
    /// A fault that was found inside this answer at `now`, with what the headers add to it and the ids that
    /// Mimecast's support asks for.
    pub fn blame(&self, fault: Fault, now: Time) -> Fault {
        let fault = dialect::with_headers(fault, &self.headers, now);
        Fault { sent_id: Some(self.sent_id.clone()), ..fault }
    }
}

/// The connections behind both clients. Tenants that leave this machine the same way share them: what differs between
/// such tenants travels with each request.
#[derive(Clone, Debug)]
pub struct Ways {
    api: reqwest::Client,
    downloads: reqwest::Client,
}

impl Ways {
    /// Errors: the proxy cannot be used.
    pub fn new(outlet: &Outlet) -> Result<Self, SetupError> {
        let api = finish(builder(outlet)?.timeout(outlet.timeouts.call))?;
        let downloads = finish(builder(outlet)?.read_timeout(outlet.timeouts.silence))?;
        Ok(Ways { api, downloads })
    }
}

/// Calls functions of the API of one tenant.
#[derive(Clone, Debug)]
pub struct ApiClient {
    http: reqwest::Client,
    base: Url,
    clock: Clock,
    /// Longest silence inside of an answer that is a file.
    silence: Duration,
}

impl ApiClient {
    pub fn new(ways: &Ways, outlet: &Outlet) -> Self {
        let (base, clock) = (outlet.base_url.clone(), outlet.clock.clone());
        ApiClient { http: ways.api.clone(), base, clock, silence: outlet.timeouts.silence }
    }

    /// One call of a function.
    ///
    /// Faults: what the answer says if it is none of 2xx; else of the connection; [`Kind::TooLarge`].
    pub async fn send(&self, request: &Request, pass: &Pass) -> Result<Answer, Fault> {
        self.call(Origin::Api, request, Some(pass)).await
    }

    /// One call of a function whose answer is a file of any size. `accept` as for every other function: an answer
    /// that is no file is JSON.
    ///
    /// Faults: as [`ApiClient::send`], before the body; its own as it comes in.
    pub async fn open(&self, request: &Request, pass: &Pass) -> Result<Incoming, Fault> {
        let (response, sent_id) =
            self.respond(Origin::Api, request, Some(pass), Some(ARCHIVE_TIMEOUT)).await?;
        Ok(Incoming::new((plain(response.headers()), sent_id), response, self.silence))
    }

    /// Asks for a token. With it comes Mimecast's clock minus ours, milliseconds, if the answer told.
    ///
    /// Faults: as [`ApiClient::send`], and those of [`auth::answer`].
    pub async fn token(
        &self,
        client_id: &str,
        client_secret: &Secret,
    ) -> Result<(Token, Option<i64>), Fault> {
        let answer = self.call(Origin::Token, &auth::request(client_id, client_secret), None).await?;
        let now = self.clock.now();
        auth::answer(&answer.body, now).map(|token| (token, dialect::skew_ms(&answer.headers, now)))
    }

    async fn call(&self, origin: Origin, request: &Request, pass: Option<&Pass>) -> Result<Answer, Fault> {
        let (response, sent_id) = self.respond(origin, request, pass, None).await?;
        let (status, headers) = (response.status().as_u16(), plain(response.headers()));
        let ours = Some(sent_id.clone());
        let body = read_bounded(origin, response).await.map_err(|fault| Fault { sent_id: ours, ..fault })?;
        let body = if body.starts_with(BYTE_ORDER_MARK) { body.slice(BYTE_ORDER_MARK.len()..) } else { body };
        Ok(Answer { status, headers, body, sent_id })
    }

    /// The answer's beginning, and our id of the request. `limit`: for the whole exchange, instead of the usual one.
    async fn respond(
        &self,
        origin: Origin,
        request: &Request,
        pass: Option<&Pass>,
        limit: Option<Duration>,
    ) -> Result<(reqwest::Response, String), Fault> {
        let sent_id = uuid::Uuid::new_v4().to_string();
        let proof = self.proof(pass, request, &sent_id)?;
        match self.exchange(origin, request, proof, limit).await {
            Ok(response) => Ok((response, sent_id)),
            Err(fault) => Err(Fault { sent_id: Some(sent_id), ..fault }),
        }
    }

    /// The headers that say who asks, and under which id.
    fn proof(
        &self,
        pass: Option<&Pass>,
        request: &Request,
        sent_id: &str,
    ) -> Result<Vec<(&'static str, HeaderValue)>, Fault> {
        Ok(match pass {
            None => vec![("x-request-id", header(sent_id)?)],
            Some(Pass::Bearer(token)) => {
                let bearer = Secret::new(format!("Bearer {}", token.secret.expose()));
                vec![("x-request-id", header(sent_id)?), ("authorization", header(bearer.expose())?)]
            }
            Some(Pass::Signed { keys, date }) => {
                let date = signature::date_text(*date);
                let path = request.path_and_query.split('?').next().unwrap_or_default();
                let signed = keys.authorization(path, &date, sent_id);
                vec![
                    ("x-mc-req-id", header(sent_id)?),
                    ("x-mc-app-id", header(keys.app_id())?),
                    ("x-mc-date", header(&date)?),
                    ("authorization", header(signed.expose())?),
                ]
            }
        })
    }

    async fn exchange(
        &self,
        origin: Origin,
        request: &Request,
        proof: Vec<(&'static str, HeaderValue)>,
        limit: Option<Duration>,
    ) -> Result<reqwest::Response, Fault> {
        let url = self.base.join(&request.path_and_query).map_err(|error| {
            Fault::new(origin, Kind::Malformed, format!("the base URL cannot be used: {error}"))
        })?;
        let mut call = match request.method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
        };
        call = call.header(ACCEPT, "application/json");
        call = match &request.body {
            Some(Body::Json(json)) => call.header(CONTENT_TYPE, "application/json").body(json.clone()),
            Some(Body::Form(form)) => {
                call.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.expose().to_owned())
            }
            None => call,
        };
        for (name, value) in proof {
            call = call.header(name, value);
        }
        if let Some(limit) = limit {
            call = call.timeout(limit);
        }
        let response = call.send().await.map_err(|error| fault(origin, error))?;
        succeeded(origin, response, &self.clock).await
    }
}

/// A header's value that no log of the HTTP library shows. What does not fit into one is a secret that was
/// copied badly, as a rule.
fn header(text: &str) -> Result<HeaderValue, Fault> {
    let unfit = |_| {
        let words =
            "a key or token holds characters that no HTTP header can carry; copy it again, on one line";
        Fault::new(Origin::Local, Kind::SecretUnreadable, words)
    };
    let mut value = HeaderValue::try_from(text).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Fetches files behind pre-signed links. There is no way to hand it a token, so none can reach a file host.
#[derive(Clone, Debug)]
pub struct DownloadClient {
    http: reqwest::Client,
    policy: LinkPolicy,
    measured: Duration,
    clock: Clock,
}

impl DownloadClient {
    pub fn new(ways: &Ways, outlet: &Outlet) -> Self {
        let policy =
            LinkPolicy { hosts: outlet.download_hosts.clone(), loopback: is_loopback(&outlet.base_url) };
        let (measured, clock) = (outlet.timeouts.measured, outlet.clock.clone());
        DownloadClient { http: ways.downloads.clone(), policy, measured, clock }
    }

    /// Begins a download.
    ///
    /// Faults: [`Kind::LinkRefused`] before anything is sent; what the answer says if it is none of 2xx; else
    /// of the connection.
    pub async fn open(&self, file: &FileLink) -> Result<Download, Fault> {
        let url = self.policy.check(file.url.expose())?;
        let mut response = self.get(url.clone()).await?;
        // one hop at most, and only to where a link might have led in the first place (recovery row H02)
        if let Some(next) = self.allowed_hop(&url, &response) {
            response = self.get(next).await?;
        }
        let response = succeeded(Origin::Download, response, &self.clock).await?;
        Ok(Download { response, held: Bytes::new(), over: self.measured, waited: Duration::ZERO, came: 0 })
    }

    async fn get(&self, url: Url) -> Result<reqwest::Response, Fault> {
        self.http.get(url).send().await.map_err(|error| fault(Origin::Download, error))
    }

    fn allowed_hop(&self, from: &Url, response: &reqwest::Response) -> Option<Url> {
        if !response.status().is_redirection() {
            return None;
        }
        let to = response.headers().get(LOCATION)?.to_str().ok()?;
        self.policy.check(from.join(to).ok()?.as_str()).ok()
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    held: Bytes,
    over: Duration,
    /// Time spent waiting, and bytes that came in it, since the rate was looked at last.
    waited: Duration,
    came: u64,
}

impl Download {
    /// The next bytes, at most [`DOWNLOAD_PIECE_BYTES`]; `None` at the end. An answer shorter than it announced
    /// ends in a fault, never in `None`.
    ///
    /// Faults: [`Kind::Interrupted`]; [`Kind::Timeout`], also when fewer than [`MIN_DOWNLOAD_BYTES`] come in
    /// [`DOWNLOAD_RATE_OVER`].
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        while self.held.is_empty() {
            let start = tokio::time::Instant::now();
            match self.response.chunk().await.map_err(|error| fault(Origin::Download, error))? {
                Some(bytes) => self.held = bytes,
                None => return Ok(None),
            }
            self.measure(start.elapsed())?;
        }
        let size = self.held.len().min(DOWNLOAD_PIECE_BYTES);
        Ok(Some(self.held.split_to(size)))
    }

    /// A drip keeps every time-out from striking; only its rate gives it away. What this side takes to work is not
    /// counted.
    fn measure(&mut self, waited: Duration) -> Result<(), Fault> {
        self.waited += waited;
        self.came += self.held.len() as u64;
        if self.waited < self.over {
            return Ok(());
        }
        if self.came < MIN_DOWNLOAD_BYTES {
            let detail = format!("only {} bytes came in {} s", self.came, self.waited.as_secs());
            return Err(Fault::new(Origin::Download, Kind::Timeout, detail));
        }
        (self.waited, self.came) = (Duration::ZERO, 0);
        Ok(())
    }
}

fn builder(outlet: &Outlet) -> Result<reqwest::ClientBuilder, SetupError> {
    let proxy_host = outlet.proxy.as_ref().and_then(Url::host_str).map(str::to_owned);
    let limit = name_limit(outlet.timeouts.connect);
    let names = PublicNames { loopback: is_loopback(&outlet.base_url), exempt: proxy_host, limit };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(outlet.tls.config())
        .dns_resolver(names)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .referer(false)
        .no_proxy()
        .connect_timeout(outlet.timeouts.connect)
        .user_agent(concat!("mimecollectd/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &outlet.proxy {
        // The error would quote the URL, which may hold the proxy's password.
        let proxy = reqwest::Proxy::all(proxy.as_str())
            .map_err(|_| SetupError::config("the proxy's URL cannot be used; write http://host:port"))?;
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, SetupError> {
    builder.build().map_err(|error| SetupError::failed(format!("failed to set up the HTTP client: {error}")))
}

/// The response, if its status says so; else what its body says.
async fn succeeded(
    origin: Origin,
    mut response: reqwest::Response,
    clock: &Clock,
) -> Result<reqwest::Response, Fault> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), plain(response.headers()));
    let mut body = Vec::new();
    // A body that breaks off has still said what it has said.
    while let Ok(Some(bytes)) = response.chunk().await {
        let room = MAX_ERROR_BODY_BYTES.saturating_sub(body.len());
        body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        if body.len() >= MAX_ERROR_BODY_BYTES {
            break;
        }
    }
    Err(dialect::read(origin, status, &headers, &body, clock.now()))
}

async fn read_bounded(origin: Origin, mut response: reqwest::Response) -> Result<Bytes, Fault> {
    let too_large = |size: u64| {
        let detail = format!("an answer of at least {size} bytes; the bound is {MAX_ANSWER_BYTES}");
        Fault::new(origin, Kind::TooLarge, detail)
    };
    if let Some(size) = response.content_length().filter(|size| *size > MAX_ANSWER_BYTES as u64) {
        return Err(too_large(size));
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| fault(origin, error))? {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(too_large(body.len() as u64));
        }
    }
    Ok(body.into())
}

fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
