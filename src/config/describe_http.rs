//! What the daemon would do with an HTTP sink, in plain words.

use humantime::format_duration;

use super::describe::{Rows, of_batches, of_oversize, of_tls};
use super::settings::{Http, Preset, TlsFiles, place, shown};
use crate::format::template::Template;
use crate::limits::SENTINEL_COLUMN_BYTES;

pub(super) fn of_http(http: &Http) -> Rows {
    let gzip = if http.gzip { ", gzip" } else { "" };
    // whoever takes lines or an array may have no other secret than its path
    let url = match &http.preset {
        Preset::Ndjson | Preset::Json if http.url.path() != "/" => format!("{}/…", place(&http.url)),
        _ => shown(&http.url),
    };
    let mut rows = vec![("http", format!("POST {url}, {}{gzip}", in_words(&http.preset)))];
    rows.extend(of_preset(&http.preset));
    rows.extend([
        of_batches(http.batch_events, http.batch_bytes, http.batch_wait),
        (
            "requests",
            format!("up to {} at once, each within {}", http.concurrency, format_duration(http.timeout)),
        ),
    ]);
    if let Some(token) = &http.token {
        let header = http.token_header.as_ref().map(|name| format!(", in {name}")).unwrap_or_default();
        rows.push(("token", format!("from {token}{header}")));
    }
    if let Some((user, password)) = &http.login {
        rows.push(("user", format!("{user}, password from {password}")));
    }
    if !http.headers.is_empty() {
        let names: Vec<&str> = http.headers.iter().map(|(name, _)| name.as_str()).collect();
        rows.push(("headers", format!("{} (values not shown)", names.join(", "))));
    }
    if let Some(proxy) = &http.proxy {
        rows.push(("proxy", shown(proxy)));
    }
    match &http.tls {
        TlsFiles { ca_file: Some(file), cert_file: None, server_name: None, .. } => {
            rows.push(("trusts", format!("the certificates in {}", file.display())));
        }
        tls if *tls != TlsFiles::default() => rows.push(("tls", of_tls(tls))),
        _ => {}
    }
    rows
}

fn in_words(preset: &Preset) -> &'static str {
    match preset {
        Preset::Ndjson => "one event per line",
        Preset::Json => "a JSON array",
        Preset::Elasticsearch { .. } => "Elasticsearch's _bulk",
        Preset::SplunkHec { raw: false, .. } => "Splunk HEC events",
        Preset::SplunkHec { raw: true, .. } => "Splunk HEC raw",
        Preset::Sentinel { .. } => "Azure's Logs Ingestion API",
        Preset::Loki { .. } => "Loki's push API",
        Preset::Otlp => "OpenTelemetry logs",
        Preset::Datadog { .. } => "Datadog's log intake",
        Preset::SumoLogic { .. } => "a Sumo Logic source",
        Preset::GoogleSecops { .. } => "a Google SecOps webhook feed",
    }
}

fn of_preset(preset: &Preset) -> Rows {
    match preset {
        Preset::Ndjson | Preset::Json | Preset::Otlp => Vec::new(),
        Preset::Elasticsearch { index, pipeline } => {
            let through =
                pipeline.as_ref().map(|name| format!(", through pipeline {name}")).unwrap_or_default();
            vec![
                ("index", format!("{index}{through}")),
                ("confirmed", "stored, each event by its own status; its id is the event's".to_owned()),
            ]
        }
        Preset::SplunkHec { sourcetype, source, index, acknowledge, .. } => {
            let index = index.as_ref().map_or("the token's own".to_owned(), Template::to_string);
            let confirmed = match acknowledge {
                None => "received: Splunk answers before it indexes".to_owned(),
                Some(patience) => format!("indexed, within {}", format_duration(*patience)),
            };
            vec![
                ("sourcetype", format!("{sourcetype}, source {source}")),
                ("index", index),
                ("confirmed", confirmed),
            ]
        }
        Preset::Sentinel { rule, stream, token_url, client_id, client_secret, scope, oversize } => vec![
            ("rule", format!("{rule}, stream {stream}")),
            ("entra", format!("{} for {client_id} with the secret from {client_secret}", shown(token_url))),
            ("scope", scope.clone()),
            (
                "columns",
                format!("up to {SENTINEL_COLUMN_BYTES} bytes; what is longer {}", of_oversize(*oversize)),
            ),
        ],
        Preset::Loki { labels, org_id, structured_metadata } => {
            let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
            names.extend(["tenant", "feed"]);
            let ids = if *structured_metadata { ", the event's id as structured metadata" } else { "" };
            let mut rows = vec![("labels", format!("{}{ids}", names.join(", ")))];
            rows.extend(org_id.as_ref().map(|org| ("org id", org.clone())));
            rows
        }
        Preset::Datadog { source, service, tags } => {
            let tags = tags.iter().map(|tag| format!(", {tag}")).collect::<String>();
            vec![("source", format!("{source}, service {service}")), ("tags", format!("tenant, feed{tags}"))]
        }
        Preset::SumoLogic { category, source_name } => {
            vec![("category", format!("{category}, source name {source_name}"))]
        }
        Preset::GoogleSecops { access_key } => vec![("access key", format!("from {access_key}"))],
    }
}
