//! The two ways out: [`ApiClient`] talks to Mimecast's API with a token or a signature, [`DownloadClient`] fetches
//! files and has no way to send either. One attempt each, bounded reads, faults out; nothing here waits or logs.

mod failed;
mod incoming;
mod large;
mod pieces;
mod resolver;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use tokio::time::{Instant, timeout};
use url::Url;

use self::failed::fault;
pub use self::incoming::Incoming;
pub use self::large::Place;
use self::pieces::Pieces;
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
    API_TIMEOUT, ARCHIVE_BEGINS_WITHIN, ARCHIVE_TIMEOUT, CONNECT_TIMEOUT, DOWNLOAD_RATE_OVER,
    DOWNLOAD_READ_TIMEOUT, ERROR_BODY_TIMEOUT, IDLE_CONNECTIONS, MAX_ERROR_BODY_BYTES,
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
    /// The body of a refusal.
    pub refusal: Duration,
    /// From a request to the beginning of an answer that is a file.
    pub begin: Duration,
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
            refusal: ERROR_BODY_TIMEOUT,
            begin: ARCHIVE_BEGINS_WITHIN,
            silence: DOWNLOAD_READ_TIMEOUT,
            measured: DOWNLOAD_RATE_OVER,
        }
    }
}

/// Some gateways put it before JSON, which must not begin with it (RFC 8259 §8.1) and may be read without.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Until an answer begins, and for the whole exchange where its body has no limit of its own.
type Limits = (Duration, Option<Duration>);

/// A 200 answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Name (lower case) and value, for `dialect::quota_pause` and for support.
    pub headers: Vec<(String, String)>,
    /// At most [`MAX_ANSWER_BYTES`](crate::limits::MAX_ANSWER_BYTES).
    pub body: Bytes,
    /// Our own id of the request.
    pub sent_id: String,
    /// Where the body lies: what was made of it takes as much, so hold this until that is stored.
    pub place: Place,
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
        let api = finish(builder(outlet)?)?; // each of its calls says how long it may take
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
    timeouts: Timeouts,
}

impl ApiClient {
    pub fn new(ways: &Ways, outlet: &Outlet) -> Self {
        let (base, clock) = (outlet.base_url.clone(), outlet.clock.clone());
        ApiClient { http: ways.api.clone(), base, clock, timeouts: outlet.timeouts }
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
        let limits = (self.timeouts.begin, Some(ARCHIVE_TIMEOUT));
        let (response, sent_id) = self.respond(Origin::Api, request, Some(pass), limits).await?;
        let headers = plain(response.headers());
        Ok(Incoming::new((headers, sent_id), Pieces::new(Origin::Api, response, self.timeouts)))
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
        let (begun, limit) = (Instant::now(), self.timeouts.call);
        let (response, sent_id) = self.respond(origin, request, pass, (limit, None)).await?;
        let (status, headers) = (response.status().as_u16(), plain(response.headers()));
        let ours = Some(sent_id.clone());
        let read = large::read(origin, response, limit.saturating_sub(begun.elapsed())).await;
        let (body, place) = read.map_err(|fault| Fault { sent_id: ours, ..fault })?;
        let body = if body.starts_with(BYTE_ORDER_MARK) { body.slice(BYTE_ORDER_MARK.len()..) } else { body };
        Ok(Answer { status, headers, body, sent_id, place })
    }

    /// The answer's beginning, and our id of the request. `limits`: until the beginning, and for the whole exchange.
    async fn respond(
        &self,
        origin: Origin,
        request: &Request,
        pass: Option<&Pass>,
        limits: Limits,
    ) -> Result<(reqwest::Response, String), Fault> {
        let sent_id = uuid::Uuid::new_v4().to_string();
        let proof = self.proof(pass, request, &sent_id)?;
        match self.exchange(origin, request, proof, limits).await {
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
        (begin, whole): Limits,
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
        if let Some(whole) = whole {
            call = call.timeout(whole);
        }
        let late = |_| Fault::new(origin, Kind::Timeout, format!("no answer began within {begin:?}"));
        let response = timeout(begin, call.send()).await.map_err(late)?;
        let response = response.map_err(|error| fault(origin, error))?;
        succeeded(origin, response, (self.timeouts.refusal, &self.clock)).await
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
    timeouts: Timeouts,
    clock: Clock,
}

impl DownloadClient {
    pub fn new(ways: &Ways, outlet: &Outlet) -> Self {
        let policy =
            LinkPolicy { hosts: outlet.download_hosts.clone(), loopback: is_loopback(&outlet.base_url) };
        let (timeouts, clock) = (outlet.timeouts, outlet.clock.clone());
        DownloadClient { http: ways.downloads.clone(), policy, timeouts, clock }
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
        let limits = (self.timeouts.refusal, &self.clock);
        let response = succeeded(Origin::Download, response, limits).await?;
        Ok(Download(Pieces::new(Origin::Download, response, self.timeouts)))
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
pub struct Download(Pieces);

impl Download {
    /// The next bytes, at most [`DOWNLOAD_PIECE_BYTES`](crate::limits::DOWNLOAD_PIECE_BYTES); `None` at the end. An
    /// answer shorter than it announced ends in a fault, never in `None`.
    ///
    /// Faults: [`Kind::Interrupted`]; [`Kind::Timeout`], also of one that only drips.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        self.0.next().await
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

/// The response, if its status says so; else what its body says, as far as it comes within `limit`.
async fn succeeded(
    origin: Origin,
    mut response: reqwest::Response,
    (limit, clock): (Duration, &Clock),
) -> Result<reqwest::Response, Fault> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), plain(response.headers()));
    let mut body = Vec::new();
    // A body that breaks off, or drips, has still said what it has said.
    let _ = timeout(limit, async {
        while let Ok(Some(bytes)) = response.chunk().await {
            let room = MAX_ERROR_BODY_BYTES.saturating_sub(body.len());
            body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
            if body.len() >= MAX_ERROR_BODY_BYTES {
                break;
            }
        }
    })
    .await;
    Err(dialect::read(origin, status, &headers, &body, clock.now()))
}

fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
