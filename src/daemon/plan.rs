//! From settings to parts: what the rooms call their own plans, made from what the configuration says.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use super::destination;
use crate::clock::Clock;
use crate::config::settings::{
    Credential, FormatName, Framing, Kafka, Oversize, Preset, Protocol, SinkKind, Syslog, Transport, place,
};
use crate::config::{self, KnownFeed, PemFile, Settings};
use crate::delivery::Filter;
use crate::format::{self, Body, Encoder, Limit, Shape, SyslogHeader, Wire};
use crate::limits::{CONNECT_TIMEOUT, SENTINEL_COLUMN_BYTES};
use crate::mimecast::auth::Keys;
use crate::mimecast::catalogue;
use crate::mimecast::client::{ApiClient, DownloadClient, Outlet, Timeouts, Tls, Ways};
use crate::mimecast::feed::{Api, Ask};
use crate::mimecast::signature::SigningKeys;
use crate::scheduler::account::Identity;
use crate::scheduler::hosts::{Hosts, host_name};
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::sink::{FilePlan, KafkaPlan, Packer, Plan, RelpPlan, Sasl, Sink, SyslogPlan, TlsFiles, UdpPlan};
use crate::supervisor::overrides::Overrides;

/// The catalogue as the configuration needs it.
pub fn known_feeds() -> Vec<KnownFeed> {
    let known = |feed: &crate::mimecast::feed::Feed| KnownFeed {
        name: feed.name,
        api1: feed.offered_by(Api::V1),
        api2: feed.offered_by(Api::V2),
        window: matches!(feed.ask, Ask::Window { .. }),
        overlap: feed.overlap,
    };
    catalogue::FEEDS.iter().map(known).collect()
}

/// What the configuration changes in the recovery table.
pub fn overrides(settings: &Settings) -> Overrides {
    Overrides::new(settings.recovery.clone())
}

/// Tells one configuration of a tenant from another, across restarts. Secrets are masked: the credential's gate looks
/// after them. Another version of the program may see a difference where there is none, which costs one look.
pub fn mark(tenant: &config::Tenant, overrides: &Overrides) -> u64 {
    let mut hash = DefaultHasher::new();
    format!("{tenant:?} {overrides:?}").hash(&mut hash);
    hash.finish()
}

/// The ways out of this machine, each set up once for all tenants that take it: authorities and connections cost more
/// memory than everything else of a tenant that rests.
pub struct Exits {
    known: Vec<Exit>,
    hosts: Arc<Hosts>,
}

struct Exit {
    proxy: Option<Url>,
    ca_file: Option<PemFile>,
    loopback: bool,
    tls: Tls,
    ways: Ways,
}

impl Exits {
    /// None yet; `hosts` are those of the process.
    pub fn new(hosts: Arc<Hosts>) -> Self {
        Exits { known: Vec::new(), hosts }
    }

    /// How the tenant connects, and over which connections.
    ///
    /// # Errors
    /// A certificate or proxy that cannot be used.
    fn of(&mut self, tenant: &config::Tenant, clock: &Clock) -> Result<(Outlet, Ways), SetupError> {
        let same = |exit: &&Exit| {
            exit.proxy == tenant.proxy && exit.ca_file == tenant.ca_file && exit.loopback == tenant.loopback
        };
        let outlet = |tls| Outlet {
            base_url: tenant.base_url.clone(),
            proxy: tenant.proxy.clone(),
            tls,
            download_hosts: tenant.download_hosts.clone(),
            timeouts: Timeouts::default(),
            clock: clock.clone(),
        };
        if let Some(exit) = self.known.iter().find(same) {
            return Ok((outlet(exit.tls.clone()), exit.ways.clone()));
        }
        let tls = Tls::new(tenant.ca_file.as_deref(), !tenant.loopback)?;
        let outlet = outlet(tls.clone());
        let ways = Ways::new(&outlet)?;
        self.known.push(Exit {
            proxy: tenant.proxy.clone(),
            ca_file: tenant.ca_file.clone(),
            loopback: tenant.loopback,
            tls,
            ways: ways.clone(),
        });
        Ok((outlet, ways))
    }
}

/// Who a tenant is to Mimecast; reads its secrets once, so that a missing one is found at start.
///
/// # Errors
/// A secret, certificate or proxy that cannot be used.
pub fn identity(tenant: &config::Tenant, clock: &Clock, exits: &mut Exits) -> Result<Identity, SetupError> {
    let credential = tenant.credential.clone();
    keys(&credential)?;
    let (outlet, ways) = exits.of(tenant, clock)?;
    let via = tenant.proxy.as_ref().map(|proxy| host_name(proxy, None).to_string());
    Ok(Identity {
        tenant: tenant.name.clone(),
        keys: Arc::new(move || keys(&credential)),
        base_url: tenant.base_url.to_string(),
        api: ApiClient::new(&ways, &outlet),
        downloads: DownloadClient::new(&ways, &outlet),
        feeds: tenant.feeds.iter().filter_map(|feed| catalogue::find(feed.name)).collect(),
        loopback: tenant.loopback,
        hosts: exits.hosts.clone(),
        host: host_name(&tenant.base_url, via.as_deref()),
        via,
        proxy: tenant.proxy.as_ref().map(|proxy| Secret::new(proxy.as_str())),
    })
}

/// The keys as they are now.
fn keys(credential: &Credential) -> Result<Keys, SetupError> {
    match credential {
        Credential::OAuth { client_id, client_secret } => {
            Ok(Keys::Client { id: client_id.clone(), secret: client_secret.read()? })
        }
        Credential::Signed { app_id, app_key, access_key, secret_key } => {
            let secret = secret_key.read_base64()?;
            let keys = SigningKeys::new(app_id, app_key.read()?, access_key.read()?, &secret);
            let unusable = |_| SetupError::config("the secret key of API 1.0 is not base64");
            Ok(Keys::Signing(Arc::new(keys.map_err(unusable)?)))
        }
    }
}

/// The sink itself, and so many times what turns events into its records. Reads secrets and certificates; `host` is this
/// machine.
///
/// # Errors
/// A secret or certificate that cannot be used.
pub fn sink<const N: usize>(settings: &config::Sink, host: &str) -> Result<(Sink, [Packer; N]), SetupError> {
    let mut preset = None;
    let sink = Sink::new(match &settings.kind {
        SinkKind::File(file) => Plan::File(FilePlan {
            max_size: file.rotate_size,
            every: file.rotate_every,
            keep: file.keep,
            mode: file.mode,
            sync: file.fsync,
            ..FilePlan::new(file.path.clone())
        }),
        SinkKind::Stdout => Plan::Stdout,
        SinkKind::Http(http) => {
            let known = preset.insert(destination::preset(http)?);
            Plan::Http(destination::plan(http, known.clone()))
        }
        SinkKind::Kafka(kafka) => Plan::Kafka(kafka_plan(kafka)),
        SinkKind::Syslog(syslog) => syslog_plan(syslog),
    })?;
    let json = settings.format.is_json();
    let packers = std::array::from_fn(|_| Packer::new(encoder(settings, host), json, preset.clone()));
    Ok((sink, packers))
}

/// The files of a TLS connection.
pub fn tls_files(tls: &config::settings::TlsFiles) -> TlsFiles {
    TlsFiles {
        ca_file: path(&tls.ca_file),
        cert_file: path(&tls.cert_file),
        key_file: path(&tls.key_file),
        server_name: tls.server_name.clone(),
    }
}

fn path(file: &Option<PemFile>) -> Option<PathBuf> {
    file.as_deref().map(Path::to_owned)
}

fn syslog_plan(syslog: &Syslog) -> Plan {
    let tls = syslog.tls.as_ref().map(tls_files);
    match syslog.transport {
        Transport::Relp => Plan::Relp(RelpPlan { tls, ..RelpPlan::new(&syslog.host, syslog.port) }),
        Transport::Udp => {
            let (host, port) = (syslog.host.clone(), syslog.port);
            Plan::Udp(UdpPlan { host, port, connect_timeout: CONNECT_TIMEOUT })
        }
        Transport::Tcp | Transport::Tls => Plan::Syslog(SyslogPlan {
            tls,
            ..SyslogPlan::tcp(&syslog.host, syslog.port, syslog.confirm_every)
        }),
    }
}

fn kafka_plan(kafka: &Kafka) -> KafkaPlan {
    let sasl = kafka.sasl.as_ref().map(|sasl| Sasl {
        mechanism: sasl.mechanism.as_str(),
        user: sasl.user.clone(),
        password: destination::keeper(&sasl.password),
    });
    KafkaPlan {
        brokers: kafka.brokers.clone(),
        topic: kafka.topic.clone(),
        compression: kafka.compression.as_str(),
        tls: kafka.tls.as_ref().map(tls_files),
        sasl,
        batch_events: kafka.batch_events,
        batch_bytes: kafka.batch_bytes,
        batch_wait: kafka.batch_wait,
        timeout: kafka.timeout,
    }
}

/// What turns events into the format's bytes.
fn encoder(settings: &config::Sink, host: &str) -> Encoder {
    let body = match settings.format {
        FormatName::Json => Body::Envelope,
        FormatName::Raw => Body::Raw,
        FormatName::Cef => Body::Cef,
        FormatName::Leef1 => Body::Leef1,
        FormatName::Leef2 => Body::Leef2,
        FormatName::Ecs => Body::Ecs,
        FormatName::Ocsf => Body::Ocsf,
        FormatName::Gelf => Body::Gelf,
    };
    let wire = match &settings.kind {
        SinkKind::Syslog(syslog) => {
            let header = SyslogHeader {
                facility: syslog.facility,
                host: host.to_owned(),
                framing: match (syslog.transport, syslog.framing) {
                    (Transport::Relp | Transport::Udp, _) => format::Framing::Bare,
                    (_, Framing::OctetCounting) => format::Framing::OctetCounting,
                    (_, Framing::Newline) => format::Framing::Newline,
                },
            };
            match syslog.protocol {
                Protocol::Rfc5424 => Wire::Syslog5424(header),
                Protocol::Rfc3164 => Wire::Syslog3164(header),
            }
        }
        SinkKind::Kafka(_) => Wire::Keyed,
        SinkKind::Http(_) | SinkKind::File(_) | SinkKind::Stdout => Wire::Line,
    };
    let limit = match &settings.kind {
        SinkKind::Syslog(syslog) => {
            let cut = syslog.oversize == Oversize::Truncate;
            Some(Limit { bytes: syslog.max_message_size, cut, columns: false })
        }
        SinkKind::Http(http) => match &http.preset {
            Preset::Sentinel { oversize, .. } => {
                let cut = *oversize == Oversize::Truncate;
                Some(Limit { bytes: SENTINEL_COLUMN_BYTES, cut, columns: true })
            }
            _ => None,
        },
        SinkKind::Kafka(_) | SinkKind::File(_) | SinkKind::Stdout => None,
    };
    Encoder::new(&Shape { body, wire }).with_original(settings.original).on_host(host).within(limit)
}

/// Which events the sink wants.
pub fn filter(settings: &config::Sink) -> Filter {
    let settings = settings.clone();
    let types = settings.clone();
    Filter {
        feeds: Arc::new(move |tenant, feed| settings.wants(tenant, feed)),
        kinds: (!types.types.is_empty()).then(|| -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
            Arc::new(move |kind| types.wants_type(kind))
        }),
    }
}

/// The sink's type and address, for people.
pub fn address(settings: &config::Sink) -> (&'static str, String) {
    match &settings.kind {
        SinkKind::Syslog(syslog) => ("syslog", format!("{}:{}", syslog.host, syslog.port)),
        SinkKind::Http(http) => ("http", place(&http.url)),
        SinkKind::Kafka(kafka) => ("kafka", format!("{} at {}", kafka.topic, kafka.brokers.join(","))),
        SinkKind::File(file) => ("file", file.path.display().to_string()),
        SinkKind::Stdout => ("stdout", "standard output".to_owned()),
    }
}
