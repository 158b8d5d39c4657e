//! The destinations that `init` can write: one row each. What a row writes is read by the same code as any other
//! configuration, so a row can be incomplete or wrong only until its test runs.

use crate::sink::WITHOUT_KAFKA;

/// What a person has to say about where it is.
#[derive(Clone, Copy)]
pub enum Place {
    /// `address = "HOST:PORT"`; the port where none is given.
    Address(u16),
    /// `brokers`: one such address or several, separated by commas.
    Brokers(u16),
    /// `url`, and one that looks like it.
    Url(&'static str),
    /// `path`, and a usual one.
    Path(&'static str),
    Nowhere,
}

/// One row.
pub struct Kind {
    /// As `--sink WORD://…` has it, and the sink's name where none is given.
    pub word: &'static str,
    pub title: &'static str,
    pub place: Place,
    /// Keys that make it this kind, with their values as TOML, and what they mean.
    pub fixed: &'static [(&'static str, &'static str, &'static str)],
    /// The usual `format`.
    pub format: &'static str,
    /// What its `token` is called; `None` where it has none.
    pub token: Option<&'static str>,
    /// What else it cannot do without.
    pub more: &'static [More],
    /// It takes a private authority: `tls` for syslog, `ca_file` for HTTP.
    pub encrypted: bool,
}

/// A key that has to be asked for.
pub struct More {
    pub key: &'static str,
    /// The flag that answers it on the command line.
    pub flag: &'static str,
    pub ask: &'static str,
    /// TOML that stands there until it is known.
    pub filling: &'static str,
    /// Taken when nothing is answered.
    pub usual: Option<&'static str>,
    pub secret: bool,
}

const MORE: More = More { key: "", flag: "", ask: "", filling: "\"-\"", usual: None, secret: false };
const TOPIC: More = More {
    key: "topic",
    flag: "--set topic=…",
    ask: "topic; {tenant} and {feed} stand for the event's",
    filling: "\"mimecast\"",
    usual: Some("mimecast"),
    ..MORE
};

const SYSLOG: (&str, &str, &str) = ("type", "\"syslog\"", "");
const HTTP: (&str, &str, &str) = ("type", "\"http\"", "");

const KAFKA: (&str, &str, &str) = ("type", "\"kafka\"", "docs/kafka.md names its keys, `sasl` among them");

/// The place of a secret until it is known.
const SOMEWHERE: &str = "{ env = \"X\" }";
/// A destination that takes nothing without one.
const TOKEN: (&str, &str, &str) = ("token", SOMEWHERE, "");

/// All rows, the usual ones first.
pub const KINDS: &[Kind] = &[
    Kind {
        word: "syslog+tls",
        title: "syslog over TLS (QRadar, ArcSight, syslog-ng, any SIEM's receiver)",
        place: Place::Address(6514),
        fixed: &[SYSLOG, ("transport", "\"tls\"", "each batch is confirmed by the receiver's close_notify")],
        format: "json",
        token: None,
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "syslog+tcp",
        title: "syslog over TCP, unencrypted",
        place: Place::Address(514),
        fixed: &[
            SYSLOG,
            ("transport", "\"tcp\"", "unencrypted; each batch is confirmed by the peer's close"),
        ],
        format: "json",
        token: None,
        more: &[],
        encrypted: false,
    },
    Kind {
        word: "relp",
        title: "rsyslog over RELP, unencrypted; every event is answered",
        place: Place::Address(2514),
        fixed: &[SYSLOG, ("transport", "\"relp\"", "rsyslog's own protocol: every event is answered")],
        format: "json",
        token: None,
        more: &[],
        encrypted: false,
    },
    Kind {
        word: "relp+tls",
        title: "rsyslog over RELP and TLS; every event is answered",
        place: Place::Address(2514),
        fixed: &[
            SYSLOG,
            ("transport", "\"relp\"", "rsyslog's own protocol: every event is answered"),
            ("tls", "{}", "encrypted; trusts what the system trusts"),
        ],
        format: "json",
        token: None,
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "splunk-hec",
        title: "Splunk's HTTP Event Collector",
        place: Place::Url("https://splunk.example.com:8088/services/collector"),
        fixed: &[HTTP, ("preset", "\"splunk-hec\"", "docs/destinations.md says what to set up there"), TOKEN],
        format: "json",
        token: Some("HEC token"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "elasticsearch",
        title: "Elasticsearch, OpenSearch, Elastic Cloud",
        place: Place::Url("https://elastic.example.com:9200"),
        fixed: &[HTTP, ("preset", "\"elasticsearch\"", "docs/destinations.md says what to set up there")],
        format: "ecs",
        token: Some("API key in its encoded form"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "loki",
        title: "Grafana Loki",
        place: Place::Url("https://loki.example.com"),
        fixed: &[HTTP, ("preset", "\"loki\"", "docs/destinations.md says what to set up there")],
        format: "json",
        token: Some("bearer token"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "otlp",
        title: "OpenTelemetry collector, OTLP over HTTP",
        place: Place::Url("https://collector.example.com:4318"),
        fixed: &[HTTP, ("preset", "\"otlp\"", "docs/destinations.md says what to set up there")],
        format: "json",
        token: Some("bearer token"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "datadog",
        title: "Datadog; the host is that of your site",
        place: Place::Url("https://http-intake.logs.datadoghq.eu"),
        fixed: &[HTTP, ("preset", "\"datadog\"", "docs/destinations.md says what to set up there"), TOKEN],
        format: "json",
        token: Some("API key"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "sumologic",
        title: "Sumo Logic, an HTTP source",
        place: Place::Url("https://endpoint4.collection.sumologic.com/receiver/v1/http/"),
        fixed: &[HTTP, ("preset", "\"sumologic\"", "docs/destinations.md says what to set up there"), TOKEN],
        format: "json",
        token: Some("code after the last slash of the source's address"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "sentinel",
        title: "Microsoft Sentinel, Azure Monitor's Logs Ingestion API",
        place: Place::Url("https://NAME.REGION-1.ingest.monitor.azure.com"),
        fixed: &[HTTP, ("preset", "\"sentinel\"", "docs/destinations.md says what to set up there")],
        format: "json",
        token: None,
        more: &[
            More {
                key: "rule",
                flag: "--set rule=dcr-…",
                ask: "immutable id of the data collection rule",
                filling: "\"dcr-0\"",
                ..MORE
            },
            More {
                key: "stream",
                flag: "--set stream=Custom-…",
                ask: "stream that the rule declares",
                filling: "\"Custom-Mimecast_CL\"",
                usual: Some("Custom-Mimecast_CL"),
                ..MORE
            },
            More {
                key: "directory_id",
                flag: "--set directory_id=…",
                ask: "directory (tenant) id of the application registration",
                ..MORE
            },
            More {
                key: "client_id",
                flag: "--set client_id=…",
                ask: "application (client) id of the registration",
                ..MORE
            },
            More {
                key: "client_secret",
                flag: "--token-file",
                ask: "client secret of the registration",
                filling: SOMEWHERE,
                secret: true,
                ..MORE
            },
        ],
        encrypted: true,
    },
    Kind {
        word: "google-secops",
        title: "Google SecOps, a feed of the source type \"Webhook\"",
        place: Place::Url(
            "https://chronicle.us.rep.googleapis.com/v1alpha/projects/PROJECT/locations/us/instances/INSTANCE/feeds/FEED:importPushLogs",
        ),
        fixed: &[
            HTTP,
            ("preset", "\"google-secops\"", "docs/destinations.md says what to set up there"),
            TOKEN,
        ],
        format: "raw",
        token: Some("API key"),
        more: &[More {
            key: "access_key",
            flag: "--set access_key='{ file = \"PATH\" }'",
            ask: "secret key of the feed",
            filling: SOMEWHERE,
            secret: true,
            ..MORE
        }],
        encrypted: true,
    },
    Kind {
        word: "kafka",
        title: "Apache Kafka, unencrypted",
        place: Place::Brokers(9092),
        fixed: &[KAFKA],
        format: "json",
        token: None,
        more: &[TOPIC],
        encrypted: false,
    },
    Kind {
        word: "kafka+tls",
        title: "Apache Kafka over TLS",
        place: Place::Brokers(9093),
        fixed: &[KAFKA, ("tls", "{}", "encrypted; trusts what the system trusts")],
        format: "json",
        token: None,
        more: &[TOPIC],
        encrypted: true,
    },
    Kind {
        word: "http",
        title: "HTTP, one event per line (NDJSON)",
        place: Place::Url("https://siem.example.com/ingest"),
        fixed: &[HTTP, ("preset", "\"ndjson\"", "one event per line; any 2xx confirms the batch")],
        format: "json",
        token: Some("bearer token"),
        more: &[],
        encrypted: true,
    },
    Kind {
        word: "file",
        title: "a file on this machine, one event per line",
        place: Place::Path("/var/log/mimecast/events.ndjson"),
        fixed: &[("type", "\"file\"", "")],
        format: "json",
        token: None,
        more: &[],
        encrypted: false,
    },
    Kind {
        word: "stdout",
        title: "standard output",
        place: Place::Nowhere,
        fixed: &[("type", "\"stdout\"", "")],
        format: "json",
        token: None,
        more: &[],
        encrypted: false,
    },
];

impl Kind {
    /// This build can send there.
    pub fn is_built_in(&self) -> bool {
        cfg!(feature = "kafka") || !matches!(self.place, Place::Brokers(_))
    }
}

/// Those that this build can send to.
pub fn built_in() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.is_built_in())
}

/// What `--sink` says.
pub struct Named {
    pub kind: &'static Kind,
    /// `NAME=` before it, or the kind's word.
    pub name: String,
    /// Address, URL or path; empty where the kind has none.
    pub place: String,
}

/// Reads `[NAME=]KIND://PLACE`: `syslog+tls://siem.example.com:6514`, `siem=https://siem.example.com/ingest`,
/// `file:///var/log/events.ndjson`, `stdout`. `Err` says what may be written.
pub fn parse(text: &str) -> Result<Named, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or((text.trim_end_matches(':'), ""));
    let (name, word) = scheme.split_once('=').map_or((None, scheme), |(name, word)| (Some(name), word));
    // `http`, `https` and `KIND+https`: the URL is that of the destination
    let (bare, transfer) = match word {
        "http" | "https" => ("http", word),
        other => match other.rsplit_once('+') {
            Some((kind, transfer @ ("http" | "https"))) => (kind, transfer),
            _ => (other, "https"),
        },
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.word == bare) else {
        return Err(format!("`{text}` names no kind of sink; write {}", forms().join(", ")));
    };
    if !kind.is_built_in() {
        return Err(WITHOUT_KAFKA.to_owned());
    }
    let place = match kind.place {
        Place::Url(_) => format!("{transfer}://{rest}"),
        Place::Address(_) | Place::Brokers(_) => rest.trim_end_matches('/').to_owned(),
        Place::Path(_) | Place::Nowhere => rest.to_owned(),
    };
    if rest.is_empty() && !matches!(kind.place, Place::Nowhere) {
        return Err(format!("`{text}` does not say where it is; write {}", form(kind)));
    }
    let name = name.map_or_else(|| kind.word.replace('+', "-"), str::to_owned);
    Ok(Named { kind, name, place: with_port(kind, place) })
}

/// The usual port where a person named only the host.
pub fn with_port(kind: &Kind, place: String) -> String {
    match kind.place {
        // a host alone: the path is the destination's own
        Place::Url(example) => match (url::Url::parse(&place), url::Url::parse(example)) {
            (Ok(mut given), Ok(usual)) if given.path() == "/" && kind.word != "http" => {
                given.set_path(usual.path());
                given.to_string()
            }
            _ => place,
        },
        Place::Brokers(port) => {
            let each = place.split(',').map(|broker| host_port(broker.trim().to_owned(), port));
            each.collect::<Vec<_>>().join(",")
        }
        Place::Address(port) => host_port(place, port),
        _ => place,
    }
}

fn host_port(place: String, port: u16) -> String {
    let bare_six = place.matches(':').count() > 1 && !place.starts_with('[');
    let has_port = !bare_six && place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    match (bare_six, has_port) {
        (true, _) => format!("[{place}]:{port}"),
        (_, true) => place,
        (_, false) => format!("{place}:{port}"),
    }
}

/// How each kind is written after `--sink`.
pub fn forms() -> Vec<String> {
    built_in().map(form).collect()
}

fn form(kind: &Kind) -> String {
    match kind.place {
        Place::Address(port) => format!("{}://HOST:{port}", kind.word),
        Place::Brokers(port) => format!("{}://HOST:{port},HOST:{port}", kind.word),
        Place::Url(_) if kind.word == "http" => "https://HOST/PATH".to_owned(),
        Place::Url(_) => format!("{}+https://HOST/PATH", kind.word),
        Place::Path(_) => format!("{}:///PATH", kind.word),
        Place::Nowhere => kind.word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        let read = |text: &str| {
            let named = parse(text).unwrap_or_else(|why| panic!("{why}"));
            format!("{} {} {}", named.kind.word, named.name, named.place)
        };
        for (text, expected) in [
            ("syslog+tls://siem.example.com", "syslog+tls syslog-tls siem.example.com:6514"),
            ("qradar=syslog+tcp://192.0.2.1:601/", "syslog+tcp qradar 192.0.2.1:601"),
            ("relp://[2001:db8::1]", "relp relp [2001:db8::1]:2514"),
            ("relp://2001:db8::1", "relp relp [2001:db8::1]:2514"),
            ("relp://[2001:db8::1]:20514", "relp relp [2001:db8::1]:20514"),
            ("https://siem.example.com/in?x=1", "http http https://siem.example.com/in?x=1"),
            ("lake=http+http://127.0.0.1:8080/", "http lake http://127.0.0.1:8080/"),
            ("file:///var/log/events", "file file /var/log/events"),
            ("stdout", "stdout stdout "),
            ("screen=stdout:", "stdout screen "),
            (
                "splunk-hec://s.example:8088",
                "splunk-hec splunk-hec https://s.example:8088/services/collector",
            ),
            (
                "sentinel://n.we-1.ingest.monitor.azure.com",
                "sentinel sentinel https://n.we-1.ingest.monitor.azure.com/",
            ),
            ("es=elasticsearch+http://127.0.0.1:9200", "elasticsearch es http://127.0.0.1:9200/"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        if cfg!(feature = "kafka") {
            assert_eq!(read("kafka+tls://a,b:9094"), "kafka+tls kafka-tls a:9093,b:9094");
        } else {
            assert!(parse("kafka://a").err().unwrap().contains("built without Kafka"));
        }
        for (text, part) in [
            ("carrier-pigeon://roof", "names no kind of sink; write syslog+tls://HOST:6514"),
            ("syslog+tls://", "does not say where"),
            ("file", "write file:///PATH"),
        ] {
            let why = parse(text).err().unwrap();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
