//! The part of `[sinks.NAME]` that one HTTP preset has to itself.

use std::time::Duration;

use super::diagnostic::Problem;
use super::settings::Preset;
use super::sink_http::read_template;
use super::sink_syslog::read_oversize;
use super::table::Table;
use super::tenant::optional;
use super::value::{Value, is_loopback, quoted};
use crate::format::template::Template;
use crate::limits::{MAX_LATER_ACK, MIN_LATER_ACK};

/// Where Entra hands out tokens, in its public cloud.
const LOGIN_URL: &str = "https://login.microsoftonline.com";

/// Which preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ndjson,
    Json,
    Elasticsearch,
    SplunkHec,
    Sentinel,
    Loki,
    Otlp,
    Datadog,
    SumoLogic,
    GoogleSecops,
}

impl Kind {
    pub(super) const ALL: [(&str, Kind); 10] = [
        ("ndjson", Kind::Ndjson),
        ("json", Kind::Json),
        ("elasticsearch", Kind::Elasticsearch),
        ("splunk-hec", Kind::SplunkHec),
        ("sentinel", Kind::Sentinel),
        ("loki", Kind::Loki),
        ("otlp", Kind::Otlp),
        ("datadog", Kind::Datadog),
        ("sumologic", Kind::SumoLogic),
        ("google-secops", Kind::GoogleSecops),
    ];

    /// Its URL may have places.
    pub(super) fn url_has_places(self) -> bool {
        matches!(self, Kind::Ndjson | Kind::Json)
    }

    /// How to write the token that it cannot do without.
    pub(super) fn token_example(self) -> Option<&'static str> {
        match self {
            Kind::SplunkHec => Some("token = { credential = \"splunk-hec\" }"),
            Kind::Datadog => Some("token = { credential = \"datadog-api-key\" }"),
            Kind::SumoLogic => {
                Some("token = { credential = \"sumologic-code\" }, what follows /receiver/v1/http/")
            }
            Kind::GoogleSecops => Some("token = { credential = \"google-api-key\" }"),
            Kind::Ndjson | Kind::Json | Kind::Elasticsearch | Kind::Sentinel | Kind::Loki | Kind::Otlp => {
                None
            }
        }
    }

    /// It takes a token, and does without.
    pub(super) fn token_is_free(self) -> bool {
        self.token_example().is_none() && self.without_effect().is_none()
    }

    /// Keys of every HTTP sink that this one has no use for, and why.
    pub(super) fn without_effect(self) -> Option<(&'static [&'static str], &'static str)> {
        match self {
            Kind::Sentinel => Some((
                &["token", "token_header", "user", "password"],
                "Entra hands out the token, for `client_id` and `client_secret`",
            )),
            Kind::Datadog | Kind::SumoLogic | Kind::GoogleSecops => {
                Some((&["token_header", "user", "password"], "the destination wants its token elsewhere"))
            }
            _ => None,
        }
    }
}

pub(super) fn read_preset(table: &Table<'_>, kind: Kind) -> Option<Preset> {
    match kind {
        Kind::Ndjson => Some(Preset::Ndjson),
        Kind::Json => Some(Preset::Json),
        Kind::Elasticsearch => read_elasticsearch(table),
        Kind::SplunkHec => read_splunk(table),
        Kind::Sentinel => read_sentinel(table),
        Kind::Loki => read_loki(table),
        Kind::Otlp => Some(Preset::Otlp),
        Kind::Datadog => read_datadog(table),
        Kind::SumoLogic => {
            let category = template(table, "category", "mimecast/{feed}");
            let source_name = template(table, "source_name", "{tenant}");
            Some(Preset::SumoLogic { category: category?, source_name: source_name? })
        }
        Kind::GoogleSecops => {
            let key = table.require("access_key", "access_key = { credential = \"secops-webhook\" }");
            let key = key.and_then(|v| table.secret(&v, &format!("access key of {}", table.title)));
            Some(Preset::GoogleSecops { access_key: key? })
        }
    }
}

fn template(table: &Table<'_>, key: &'static str, default: &str) -> Option<Template> {
    table.get(key).map_or_else(|| Template::new(default).ok(), |v| read_template(&v))
}

fn read_elasticsearch(table: &Table<'_>) -> Option<Preset> {
    let index = template(table, "index", "logs-mimecast.{feed}-default");
    let pipeline = optional(table.get("pipeline"), |v| v.text().map(str::to_owned));
    Some(Preset::Elasticsearch { index: index?, pipeline: pipeline? })
}

fn read_splunk(table: &Table<'_>) -> Option<Preset> {
    let raw =
        table.get("endpoint").map_or(Some(false), |v| v.choice(&[("event", false), ("raw", true)], &[]));
    let sourcetype = template(table, "sourcetype", "mimecast:{feed}");
    let source = template(table, "source", "mimecollectd:{tenant}");
    let index = optional(table.get("index"), read_template);
    let acknowledge = table.get("acknowledge");
    if acknowledge.is_none() {
        table.has_no_effect(&["acknowledge_timeout"], "`acknowledge` is not switched on");
    }
    let acknowledge = acknowledge.map_or(Some(false), |v| v.flag());
    let patience = table.get("acknowledge_timeout");
    let patience =
        patience.map_or(Some(Duration::from_secs(300)), |v| v.duration(MIN_LATER_ACK, MAX_LATER_ACK));
    let patience = patience?;
    Some(Preset::SplunkHec {
        raw: raw?,
        sourcetype: sourcetype?,
        source: source?,
        index: index?,
        acknowledge: acknowledge?.then_some(patience),
    })
}

fn text(table: &Table<'_>, key: &'static str, default: &str) -> Option<String> {
    table.get(key).map_or(Some(default.to_owned()), |v| v.text().map(str::to_owned))
}

/// A text of one kind of characters, refused with `help` otherwise.
fn word(value: &Value<'_>, fits: impl Fn(&str) -> bool, why: &str, help: &str) -> Option<String> {
    let text = value.text()?;
    if !fits(text) {
        value.refuse(format!("`{}` cannot be {}", value.name, quoted(text)), why, help);
        return None;
    }
    Some(text.to_owned())
}

fn is_id(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn read_sentinel(table: &Table<'_>) -> Option<Preset> {
    let id = |v: &Value<'_>| {
        word(v, is_id, "holds more than letters, digits, `-`, `.`", "copy it from the Azure portal")
    };
    let rule = table.require("rule", "rule = \"dcr-00000000000000000000000000000000\"").and_then(|v| {
        let fits = |text: &str| text.starts_with("dcr-") && is_id(text);
        word(&v, fits, "not the immutable id of a rule", "it is in the rule's JSON view: \"dcr-…\"")
    });
    let stream = table.require("stream", "stream = \"Custom-Mimecast_CL\"").and_then(|v| {
        let fits = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_{}".contains(&b));
        word(
            &v,
            fits,
            "not the name of a stream",
            "write it as the rule declares it: \"Custom-Mimecast_CL\"",
        )?;
        read_template(&v)
    });
    let directory = table.require("directory_id", "directory_id = \"00000000-0000-0000-0000-000000000000\"");
    let directory = directory.and_then(|v| id(&v));
    let client_id = table.require("client_id", "client_id = \"00000000-0000-0000-0000-000000000000\"");
    let client_id = client_id.and_then(|v| id(&v));
    let secret = table.require("client_secret", "client_secret = { credential = \"sentinel-secret\" }");
    let secret = secret.and_then(|v| table.secret(&v, &format!("client secret of {}", table.title)));
    let login = table.get("login_url");
    let login = login.map_or(url::Url::parse(LOGIN_URL).ok(), |v| read_login_url(&v));
    let oversize = read_oversize(table);
    let scope = text(table, "scope", "https://monitor.azure.com//.default");
    let mut token_url = login?;
    if let Ok(mut path) = token_url.path_segments_mut() {
        path.pop_if_empty().extend([directory?.as_str(), "oauth2", "v2.0", "token"]);
    }
    Some(Preset::Sentinel {
        rule: rule?,
        stream: stream?,
        token_url,
        client_id: client_id?,
        client_secret: secret?,
        scope: scope?,
        oversize: oversize?,
    })
}

/// A secret goes there: https, or this machine.
fn read_login_url(value: &Value<'_>) -> Option<url::Url> {
    let url = value.url(&["https", "http"], LOGIN_URL)?;
    if url.scheme() != "https" && !is_loopback(&url) {
        value.refuse(
            format!("`{}` cannot be used", value.name),
            "would send the secret unencrypted",
            "write https://",
        );
        return None;
    }
    Some(url)
}

fn read_loki(table: &Table<'_>) -> Option<Preset> {
    let labels =
        table.get("labels").map_or(Some(vec![("job".into(), "mimecast".into())]), |v| read_labels(&v));
    let org_id = optional(table.get("org_id"), |v| {
        let fits = |text: &str| text.bytes().all(|b| (0x21..0x7f).contains(&b));
        word(v, fits, "holds what no header carries", "write Loki's name of the tenant")
    });
    let metadata = table.get("structured_metadata").map_or(Some(false), |v| v.flag());
    Some(Preset::Loki { labels: labels?, org_id: org_id?, structured_metadata: metadata? })
}

fn read_labels(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let table = value.table(format!("`{}`", value.name))?;
    let mut labels = Vec::new();
    for label in table.all() {
        let name = label.name.as_str();
        let mut bytes = name.bytes();
        let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !begins
            || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            || ["tenant", "feed"].contains(&name)
        {
            let title = format!("{} cannot be a label", quoted(name));
            let why = "letters, digits and `_`; `tenant` and `feed` are there already";
            value.book.report(Problem::new(title).at(label.key_place(), why).help("choose another name"));
            return None;
        }
        labels.push((name.to_owned(), label.text()?.to_owned()));
    }
    Some(labels)
}

fn read_datadog(table: &Table<'_>) -> Option<Preset> {
    let source = text(table, "source", "mimecast");
    let service = template(table, "service", "mimecast");
    let tags = table.get("tags").map_or(Some(Vec::new()), |v| {
        let tag = |item: &Value<'_>| {
            word(
                item,
                |text| !text.contains(','),
                "holds a comma",
                "write one tag each: [\"env:prod\", \"team:soc\"]",
            )
        };
        v.list()?.iter().map(tag).collect()
    });
    Some(Preset::Datadog { source: source?, service: service?, tags: tags? })
}
