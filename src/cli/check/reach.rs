//! The way to a counterpart: its name, a connection, its certificate. Nothing is sent over it.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::certificate::Certificate;
use super::{Outcome, Row};
use crate::clock::{Clock, Time};
use crate::config::Tenant;
use crate::config::settings::shown;
use crate::limits::{CERTIFICATE_ENDS_SOON, CONNECT_TIMEOUT};
use crate::setup_error::ExitCode;
use crate::sink::{TlsFiles, client_config};

/// A counterpart, and how to trust it; `None`: without TLS.
pub struct Peer<'a> {
    pub scope: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub tls: Option<(Arc<ClientConfig>, &'a str)>,
}

/// The API of a tenant, or its proxy.
pub async fn api(tenant: &Tenant) -> Vec<Row> {
    let name = tenant.name.as_str();
    if let Some(proxy) = &tenant.proxy {
        return through(name, proxy).await;
    }
    url(name, &tenant.base_url, tenant.ca_file.as_deref()).await
}

/// A proxy; what lies behind it is not looked at.
pub async fn through(scope: &str, proxy: &Url) -> Vec<Row> {
    let mut rows = url(scope, proxy, None).await;
    if let Some(row) = rows.first_mut() {
        row.words = format!("proxy {}: {}", shown(proxy), row.words);
    }
    rows
}

/// Whoever answers at a URL.
pub async fn url(scope: &str, url: &Url, ca_file: Option<&Path>) -> Vec<Row> {
    with(scope, url, &TlsFiles { ca_file: ca_file.map(Path::to_owned), ..TlsFiles::default() }).await
}

/// The same with a client certificate or another name.
pub async fn with(scope: &str, url: &Url, files: &TlsFiles) -> Vec<Row> {
    let Some(host) = url.host_str() else { return Vec::new() };
    let host = host.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let tls = if url.scheme() == "https" {
        match client_config(files) {
            Ok(config) => Some((Arc::new(config), files.server_name.as_deref().unwrap_or(host))),
            Err(error) => return vec![Row::unusable(scope, "tls", &error)],
        }
    } else {
        None
    };
    peer(&Peer { scope, host, port, tls }).await
}

/// Name, connection, certificate.
pub async fn peer(peer: &Peer<'_>) -> Vec<Row> {
    let fails = |tried, words: String, fix: &str| {
        vec![Row::new(peer.scope, tried, Outcome::Fails(ExitCode::Unreachable), words).fix(fix)]
    };
    let (host, port) = (peer.host, peer.port);
    let found = match timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return fails(
                "dns",
                format!("{host} does not resolve: {error}"),
                "correct the name, or this machine's DNS",
            );
        }
        Err(_) => {
            let words = format!("{host} did not resolve within {CONNECT_TIMEOUT:?}");
            return fails("dns", words, "see to it that this machine reaches its DNS server");
        }
    };
    let addresses: Vec<_> = found.iter().take(4).map(|address| address.ip().to_string()).collect();
    let mut rows = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() {
        rows.push(Row::works(peer.scope, "dns", format!("{host} is {}", addresses.join(", "))));
    }
    let tcp = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&*found)).await {
        Ok(Ok(tcp)) => tcp,
        refused => {
            let why = match refused {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer within {CONNECT_TIMEOUT:?}"),
            };
            let fix = "start what should listen there, or open the firewall for it";
            rows.extend(fails("connection", format!("{host}:{port}: {why}"), fix));
            return rows;
        }
    };
    let Some((config, name)) = &peer.tls else {
        rows.push(Row::works(peer.scope, "connection", format!("{host}:{port} accepts, without TLS")));
        return rows;
    };
    rows.push(handshake(peer.scope, tcp, Arc::clone(config), name).await);
    rows
}

async fn handshake(scope: &str, tcp: TcpStream, config: Arc<ClientConfig>, name: &str) -> Row {
    let fails = |words: String, fix: &str| {
        Row::new(scope, "tls", Outcome::Fails(ExitCode::Unreachable), words).fix(fix)
    };
    let Ok(server) = ServerName::try_from(name.to_owned()) else {
        return fails(format!("{name} is neither a host name nor an address"), "set server_name");
    };
    let agreed = timeout(CONNECT_TIMEOUT, TlsConnector::from(config).connect(server, tcp)).await;
    let stream = match agreed {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let fix = "name the authority that signed it as ca_file, correct the certificate's names, or the port \
                       if it does not speak TLS";
            return fails(format!("no TLS with {name}: {error}"), fix);
        }
        Err(_) => {
            return fails(
                format!("no TLS with {name} within {CONNECT_TIMEOUT:?}"),
                "see whether that port speaks TLS",
            );
        }
    };
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    let read = session.peer_certificates().and_then(<[_]>::first).and_then(|first| Certificate::read(first));
    match read {
        Some(certificate) => trusted(scope, version, &certificate, Clock::System.now()),
        None => Row::works(scope, "tls", format!("{version}; the certificate of {name} verifies")),
    }
}

fn trusted(scope: &str, version: &str, certificate: &Certificate, now: Time) -> Row {
    let until = certificate.until.rfc3339();
    let words = format!("{version}; certificate signed by {}, good until {until}", certificate.issuer);
    if certificate.until.since(now) < CERTIFICATE_ENDS_SOON {
        return Row::new(scope, "tls", Outcome::Look, words).fix("have it renewed before it ends");
    }
    Row::works(scope, "tls", words)
}
