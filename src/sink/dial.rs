//! The way to a receiver of syslog: name, addresses, TLS. One attempt each, within one time limit.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::peer::{late, transport};
use super::plan::TlsFiles;
use super::tls;
use super::wire::Stream;
use crate::fault::{Fault, Kind, Origin};
use crate::limits;
use crate::names::{self, Whose, name_limit};
use crate::setup_error::SetupError;

/// Opens connections to one receiver.
#[derive(Debug)]
pub struct Dialer {
    host: String,
    port: u16,
    /// `host:port`, for people.
    peer: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    limit: Duration,
}

impl Dialer {
    /// Reads the certificates; `limit` is for the name, the connection and the TLS handshake, each.
    ///
    /// # Errors
    /// A file that cannot be used, or a server name that is none.
    pub fn new(host: &str, port: u16, files: Option<&TlsFiles>, limit: Duration) -> Result<Self, SetupError> {
        let tls = match files {
            None => None,
            Some(files) => {
                let name = files.server_name.as_deref().unwrap_or(host);
                let server = ServerName::try_from(name.to_owned()).map_err(|_| {
                    SetupError::config(format!(
                        "{name} is neither a host name nor an address: set server_name"
                    ))
                })?;
                let mut config = tls::client_config(files)?;
                // rsyslog's ossl driver, when it asks for client certificates, fails every resumed session
                // with an internal error; and a full handshake a batch is cheap.
                config.resumption = Resumption::disabled();
                Some((Arc::new(config), server))
            }
        };
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Dialer { peer: format!("{shown}:{port}"), host: host.to_owned(), port, tls, limit })
    }

    /// `host:port`, for people.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether its connections use TLS.
    pub fn encrypts(&self) -> bool {
        self.tls.is_some()
    }

    /// A connection, encrypted where that is configured.
    ///
    /// # Errors
    /// The name does not resolve, nobody answers, or TLS cannot be agreed on.
    pub async fn connect(&self) -> Result<Stream, Fault> {
        let tcp = self.connect_tcp().await?;
        let Some((config, server)) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(server.clone(), tcp);
        let stream = timeout(self.limit, handshake)
            .await
            .map_err(|_| late(&self.peer, "agree on TLS", self.limit))?
            .map_err(|err| {
                let fault = transport(&self.peer, "agree on TLS", &err);
                let kind = if fault.kind == Kind::Interrupted { Kind::TlsHandshake } else { fault.kind };
                Fault { kind, ..fault }
            })?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn connect_tcp(&self) -> Result<TcpStream, Fault> {
        let addresses = self.addresses().await?;
        let share = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = self.unresolved("the name has no address".into());
        for address in addresses {
            let why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    tcp.set_nodelay(true).ok(); // only a delay is lost
                    return Ok(tcp);
                }
                Ok(Err(err)) => err.to_string(),
                Err(_) => format!("no answer within {share:?}"),
            };
            let text = format!("{}: failed to connect to {address}: {why}", self.peer);
            last = Fault::new(Origin::Sink, Kind::Connect, text);
        }
        Err(last)
    }

    /// Where the name leads, at most [`limits::MAX_SINK_ADDRESSES`].
    ///
    /// # Errors
    /// The name does not resolve in time.
    pub async fn addresses(&self) -> Result<Vec<std::net::SocketAddr>, Fault> {
        let found = names::look_up(Whose::Receiver, &self.host, self.limit).await;
        let found = found.map_err(|why| self.unresolved(Unresolved(why).to_string()))?;
        let mut found: Vec<_> = found.into_iter().take(limits::MAX_SINK_ADDRESSES).collect();
        found.iter_mut().for_each(|at| at.set_port(self.port));
        Ok(found)
    }

    fn unresolved(&self, why: String) -> Fault {
        Fault::new(Origin::Sink, Kind::Dns, format!("{}: {why}", self.peer))
    }
}

/// The names of receivers, for the HTTP library.
#[derive(Debug)]
pub struct ReceiverNames(Duration);

impl ReceiverNames {
    /// For a client that gives a connection `connect` to come about.
    pub fn within(connect: Duration) -> Self {
        ReceiverNames(name_limit(connect))
    }
}

impl Resolve for ReceiverNames {
    fn resolve(&self, name: Name) -> Resolving {
        let limit = self.0;
        Box::pin(async move {
            let found = names::look_up(Whose::Receiver, name.as_str(), limit).await.map_err(Unresolved)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Why a name gives no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve: {0}")]
pub struct Unresolved(String);
