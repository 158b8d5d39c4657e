//! The part of `[sinks.NAME]` that one HTTP preset has to itself.

use std::time::Duration;

use super::settings::Preset;
use super::sink_http::read_template;
use super::table::Table;
use super::tenant::optional;
use crate::limits::{MAX_LATER_ACK, MIN_LATER_ACK};

/// Which preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ndjson,
    Json,
    Elasticsearch,
    SplunkHec,
}

impl Kind {
    pub(super) const ALL: [(&str, Kind); 4] = [
        ("ndjson", Kind::Ndjson),
        ("json", Kind::Json),
        ("elasticsearch", Kind::Elasticsearch),
        ("splunk-hec", Kind::SplunkHec),
    ];
    pub(super) const TO_COME: [&str; 3] = ["loki", "sentinel", "otlp"];

    /// Its URL may have places.
    pub(super) fn url_has_places(self) -> bool {
        matches!(self, Kind::Ndjson | Kind::Json)
    }

    /// How to write the token that it cannot do without.
    pub(super) fn token_example(self) -> Option<&'static str> {
        match self {
            Kind::SplunkHec => Some("token = { credential = \"splunk-hec\" }"),
            Kind::Ndjson | Kind::Json | Kind::Elasticsearch => None,
        }
    }
}

pub(super) fn read_preset(table: &Table<'_>, kind: Kind) -> Option<Preset> {
    match kind {
        Kind::Ndjson => Some(Preset::Ndjson),
        Kind::Json => Some(Preset::Json),
        Kind::Elasticsearch => read_elasticsearch(table),
        Kind::SplunkHec => read_splunk(table),
    }
}

fn template(table: &Table<'_>, key: &'static str, default: &str) -> Option<String> {
    table.get(key).map_or(Some(default.to_owned()), |v| read_template(&v))
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
    let acknowledge = table.get("acknowledge").map_or(Some(false), |v| v.flag());
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
