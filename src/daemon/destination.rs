//! From the settings of an HTTP sink to its plan: the preset, and in which form the destination wants to see our keys.

use std::sync::Arc;

use reqwest::header::HeaderValue;

use super::host_name;
use super::plan::tls_files;
use crate::clock::Clock;
use crate::config::SecretRef;
use crate::config::settings::{Http, Preset};
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::sink::http::{
    self, Array, Datadog, Elasticsearch, GoogleSecops, Lines, Loki, Otlp, Sentinel, SplunkHec, SumoLogic,
};
use crate::sink::{Auth, Entra, HttpPlan, Keeper};

/// Everything the sink needs; reads no secret.
pub fn plan(http: &Http, preset: Arc<dyn http::Preset>) -> HttpPlan {
    let headers = http.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    HttpPlan {
        preset,
        headers: headers.collect(),
        auth: auth(http),
        gzip: http.gzip,
        batch_events: http.batch_events,
        batch_bytes: http.batch_bytes,
        batch_wait: http.batch_wait,
        concurrency: http.concurrency,
        timeout: http.timeout,
        tls: tls_files(&http.tls),
        proxy: http.proxy.clone(),
        ..HttpPlan::new(http.url.clone())
    }
}

fn auth(http: &Http) -> Vec<Auth> {
    let (name, scheme) = match &http.preset {
        Preset::SplunkHec { .. } => ("authorization", "Splunk "),
        Preset::Elasticsearch { .. } => ("authorization", "ApiKey "),
        Preset::Datadog { .. } => ("dd-api-key", ""),
        Preset::GoogleSecops { .. } => ("x-goog-api-key", ""),
        _ => ("authorization", "Bearer "),
    };
    let token = http.token.as_ref().map(|token| match &http.token_header {
        _ if matches!(http.preset, Preset::SumoLogic { .. }) => Auth::Path { secret: keeper(token) },
        Some(name) => Auth::Named { name: name.clone(), secret: keeper(token) },
        None => Auth::Header { name, scheme, secret: keeper(token) },
    });
    let login = http
        .login
        .as_ref()
        .map(|(user, password)| Auth::Basic { user: user.clone(), password: keeper(password) });
    let more = match &http.preset {
        Preset::Sentinel { token_url, client_id, client_secret, scope, .. } => Some(Auth::Entra(Entra {
            url: token_url.clone(),
            client_id: client_id.clone(),
            secret: keeper(client_secret),
            scope: scope.clone(),
        })),
        Preset::GoogleSecops { access_key } => {
            Some(Auth::Header { name: "x-webhook-access-key", scheme: "", secret: keeper(access_key) })
        }
        _ => None,
    };
    token.into_iter().chain(login).chain(more).collect()
}

/// Reads the secret anew whenever it is asked for.
pub fn keeper(secret: &SecretRef) -> Keeper {
    let secret = secret.clone();
    Keeper::new(move || secret.read())
}

/// What the destination wants to see.
///
/// # Errors
/// An organisation that no header can carry.
pub fn preset(http: &Http) -> Result<Arc<dyn http::Preset>, SetupError> {
    Ok(match &http.preset {
        Preset::Ndjson => Arc::new(Lines::new(http.way.clone())),
        Preset::Json => Arc::new(Array::new(http.way.clone())),
        Preset::Elasticsearch { index, pipeline } => {
            Arc::new(Elasticsearch::new(index.clone(), pipeline.clone()))
        }
        Preset::SplunkHec { raw, sourcetype, source, index, acknowledge } => Arc::new(SplunkHec {
            raw: *raw,
            sourcetype: sourcetype.clone(),
            source: source.clone(),
            host: host_name(),
            index: index.clone(),
            acknowledge: *acknowledge,
        }),
        Preset::Sentinel { rule, stream, .. } => {
            Arc::new(Sentinel { rule: rule.clone(), stream: stream.clone() })
        }
        Preset::Loki { labels, org_id, structured_metadata } => Arc::new(Loki {
            labels: labels.iter().cloned().collect(),
            organisation: org_id.as_deref().map(header).transpose()?,
            metadata: *structured_metadata,
        }),
        Preset::Otlp => Arc::new(Otlp::new(&host_name())),
        Preset::Datadog { source, service, tags } => Arc::new(Datadog {
            source: source.clone(),
            service: service.clone(),
            tags: tags.join(","),
            host: host_name(),
            clock: Clock::System,
        }),
        Preset::SumoLogic { category, source_name } => {
            Arc::new(SumoLogic { category: category.clone(), name: source_name.clone(), host: host_name() })
        }
        Preset::GoogleSecops { .. } => Arc::new(GoogleSecops),
    })
}

fn header(text: &str) -> Result<HeaderValue, SetupError> {
    HeaderValue::from_str(text).map_err(|_| {
        SetupError::config(format!("{text:?} holds characters that an HTTP header cannot carry"))
    })
}
