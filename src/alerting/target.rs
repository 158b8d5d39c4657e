//! One receiver of alerts: one POST, once. Redirects are not followed and proxies of the environment not used, as
//! with HTTP sinks. The address may be the receiver's only secret: people see its host alone.

use std::path::PathBuf;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};
use url::Url;

use super::form::Form;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{ALERT_TIMEOUT, CONNECT_TIMEOUT, MAX_ERROR_BODY_BYTES};
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::sink::{self, TlsFiles};

/// What a receiver is made from.
#[derive(Debug)]
pub struct Plan {
    pub name: String,
    pub form: Form,
    /// Checked by the configuration's rules.
    pub url: Secret,
    pub token: Option<Secret>,
    pub headers: Vec<(String, Secret)>,
    pub proxy: Option<Url>,
    pub ca_file: Option<PathBuf>,
}

/// One receiver.
pub struct Target {
    pub name: String,
    pub form: Form,
    url: Url,
    client: Client,
    headers: HeaderMap,
    /// Whatever must not be quoted from an answer.
    secrets: Vec<Secret>,
    /// Scheme, host and port, for people.
    pub peer: String,
}

impl Target {
    /// Reads certificates and checks what can be checked without the network.
    ///
    /// # Errors
    /// An address, certificate, header or proxy that cannot be used.
    pub fn new(plan: Plan) -> Result<Self, SetupError> {
        let bad = |why: &str| SetupError::config(format!("[alerts.{}]: {why}", plan.name));
        let mut url = Url::parse(plan.url.expose()).map_err(|_| bad("its address is no URL"))?;
        if plan.form == Form::Alertmanager && !url.path().ends_with(ALERTMANAGER_PATH) {
            let path = format!("{}{ALERTMANAGER_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let tls = sink::client_config(&TlsFiles { ca_file: plan.ca_file.clone(), ..TlsFiles::default() })?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(sink::ReceiverNames::within(CONNECT_TIMEOUT))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ALERT_TIMEOUT)
            .pool_max_idle_per_host(1);
        if let Some(proxy) = &plan.proxy {
            // the error would quote the URL, which may hold the proxy's password
            let proxy = reqwest::Proxy::all(proxy.as_str()).map_err(|_| bad("its proxy cannot be used"))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|_| bad("the HTTP client cannot be set up"))?;
        let peer = url.origin().ascii_serialization();
        let secrets = secrets(&plan, &url);
        Ok(Target { headers: headers(&plan)?, name: plan.name, form: plan.form, url, client, secrets, peer })
    }

    /// Posts one body; any 2xx is a confirmation.
    ///
    /// # Errors
    /// No answer in time, or another status.
    pub async fn post(&self, body: Vec<u8>) -> Result<(), Fault> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let unanswered = |err| sink::unanswered(&err, &self.peer, ALERT_TIMEOUT);
        let mut response = request.send().await.map_err(unanswered)?;
        let said = sink::bounded(&mut response, MAX_ERROR_BODY_BYTES).await;
        let said = said.map_err(unanswered)?;
        if response.status().is_success() { Ok(()) } else { Err(self.refused(&response, &said)) }
    }

    fn refused(&self, response: &Response, said: &[u8]) -> Fault {
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let words = sink::excerpt(said, &self.secrets);
        let words = if words.is_empty() { "no explanation" } else { &words };
        let status = Kind::Status(response.status().as_u16());
        Fault {
            retry_after: sink::wait_asked(header(RETRY_AFTER), header(DATE)),
            ..Fault::new(Origin::Sink, status, format!("{}: {words}", self.peer))
        }
    }
}

const ALERTMANAGER_PATH: &str = "/api/v2/alerts";

fn headers(plan: &Plan) -> Result<HeaderMap, SetupError> {
    let unfit = |what: &str| {
        SetupError::config(format!(
            "[alerts.{}]: {what} holds characters that an HTTP header cannot carry",
            plan.name
        ))
    };
    let secret = |text: &str, what: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| unfit(what))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut map = HeaderMap::new();
    for (name, value) in &plan.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit("the name of a header"))?;
        map.append(key, secret(value.expose(), "a header")?);
    }
    if let Some(token) = &plan.token {
        map.insert(AUTHORIZATION, secret(&format!("Bearer {}", token.expose()), "the token")?);
    }
    Ok(map)
}

/// The token, every header, and the parts of the address that could be keys.
fn secrets(plan: &Plan, url: &Url) -> Vec<Secret> {
    const SHORTEST: usize = 6; // characters; a word of a path, not a key
    let parts = url.path_segments().into_iter().flatten().filter(|part| part.len() >= SHORTEST);
    let query =
        url.query().into_iter().flat_map(|query| query.split(['&', '='])).filter(|p| p.len() >= SHORTEST);
    let known = plan.token.iter().chain(plan.headers.iter().map(|(_, value)| value)).cloned();
    let whole = [Secret::new(url.as_str()), Secret::new(url.path())];
    let whole = whole.into_iter().filter(|_| url.path().len() > 1);
    whole.chain(known).chain(parts.chain(query).map(Secret::new)).collect()
}
