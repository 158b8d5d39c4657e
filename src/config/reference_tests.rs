//! `config/mimecollectd.toml` is documentation that cannot lie: its values are the defaults, and it names every key.

use std::fs;
use std::path::Path;

use super::load;
use super::load_tests::KNOWN;
use super::reference_lines::{Line, Section, Shown, line, sections, text, with};
use super::settings::Settings;

const REFERENCE: &str = "config/mimecollectd.toml";
/// The same tenant and sinks, with nothing but what has no default.
const LEAST: &str = r#"
[tenants.acme]
client_id = "CLIENT-ID"
client_secret = { credential = "acme-client-secret" }
[tenants.old]
api = "1.0"
region = "eu"
app_id = "APP-ID"
app_key = { credential = "old-app-key" }
access_key = { credential = "old-access-key" }
secret_key = { credential = "old-secret-key" }
[sinks.siem]
type = "syslog"
address = "SIEM.EXAMPLE.COM:6514"
[sinks.http]
type = "http"
url = "https://SIEM.EXAMPLE.COM/ingest"
[sinks.elastic]
type = "http"
preset = "elasticsearch"
url = "https://ELASTIC.EXAMPLE.COM:9200"
[sinks.splunk]
type = "http"
preset = "splunk-hec"
url = "https://SPLUNK.EXAMPLE.COM:8088/services/collector"
token = { credential = "splunk-hec" }
[sinks.sentinel]
type = "http"
preset = "sentinel"
url = "https://ENDPOINT.INGEST.MONITOR.AZURE.COM"
rule = "dcr-IMMUTABLE-ID"
stream = "Custom-Mimecast_CL"
directory_id = "DIRECTORY-ID"
client_id = "CLIENT-ID"
client_secret = { credential = "sentinel-client-secret" }
[sinks.loki]
type = "http"
preset = "loki"
url = "https://LOKI.EXAMPLE.COM"
[sinks.otlp]
type = "http"
preset = "otlp"
url = "https://COLLECTOR.EXAMPLE.COM:4318"
[sinks.datadog]
type = "http"
preset = "datadog"
url = "https://HTTP-INTAKE.LOGS.DATADOGHQ.EU"
token = { credential = "datadog-api-key" }
[sinks.sumo]
type = "http"
preset = "sumologic"
url = "https://ENDPOINT4.COLLECTION.SUMOLOGIC.COM/receiver/v1/http/"
token = { credential = "sumologic-code" }
[sinks.secops]
type = "http"
preset = "google-secops"
url = "https://FEED.GOOGLEAPIS.COM/ADDRESS"
token = { credential = "google-api-key" }
access_key = { credential = "secops-feed-key" }
[sinks.archive]
type = "file"
path = "/VAR/LOG/MIMECAST/EVENTS.NDJSON"
[sinks.screen]
type = "stdout"
[alerts.ops]
type = "webhook"
url = "https://HOOKS.EXAMPLE.COM/ALERT"
"#;

/// The reference as a configuration of its examples.
fn with_examples() -> String {
    with(&text(), |line| matches!(line, Line::Key(.., Shown::Example) | Line::Table(_, Shown::Example)))
}

fn read(text: &str) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mimecollectd.toml");
    fs::write(&path, text).unwrap();
    load(&path, KNOWN).map_err(|error| error.message)
}

#[test]
fn as_shipped_it_lacks_only_tenants_and_sinks() {
    let error = load(Path::new(REFERENCE), KNOWN).unwrap_err().message;
    assert!(
        error.contains("no tenants") && error.contains("no sinks") && error.contains("2 mistakes"),
        "{error}"
    );
}

#[test]
fn its_values_are_the_defaults() {
    let (mut reference, mut least) = (read(&with_examples()).unwrap(), read(LEAST).unwrap());
    let said = |settings: &mut Settings| std::mem::take(&mut settings.warnings).len(); // they name lines
    assert_eq!(said(&mut reference), said(&mut least));
    assert_eq!(reference, least);
}

/// Stand instead of `region` and `token`, or want another transport.
const NOT_TOGETHER: [&str; 4] = ["base_url", "user", "password", "accept_loss"];

#[test]
fn its_optional_keys_can_be_used() {
    let examples = with_examples();
    let mut optional = 0;
    for text in examples.lines() {
        optional += usize::from(matches!(line(text), Line::Key(.., Shown::Optional)));
    }
    assert!(optional >= 18, "only {optional}");
    let all = with(&examples, |line| match line {
        Line::Key(key, _, Shown::Optional) => !NOT_TOGETHER.contains(&key),
        Line::Table(_, Shown::Optional) => true,
        _ => false,
    });
    assert_ne!(read(&all).unwrap(), read(&examples).unwrap());
}

/// A key that does not exist makes the reader list those that do; each of them has to be in the reference.
#[test]
fn it_names_every_key() {
    let (reference, text) = (text(), with_examples());
    let mut missing = Vec::new();
    let mut seen = 0;
    let sections = sections(&reference);
    for (header, section) in sections.iter().filter(|(header, _)| !header.starts_with("[recovery")) {
        let odd = "zzzzzzzzzzzz = 1\n";
        let broken = if header.is_empty() {
            format!("{odd}{text}")
        } else {
            text.replacen(&format!("{header}\n"), &format!("{header}\n{odd}"), 1)
        };
        let error = read(&broken).unwrap_err();
        let list =
            error.lines().find_map(|line| line.split_once(" are: ")).unwrap_or_else(|| panic!("{error}")).1;
        for key in list.split(", ") {
            seen += 1;
            let tables =
                ["log", "admin", "store", "heartbeat", "tenants", "sinks", "recovery", "feed", "alerts"];
            let names = |keys: &[(&str, &str)]| keys.iter().any(|(name, _)| *name == key);
            // the second tenant and the presets show only what is different
            let same = |other: &&Section<'_>| match other.0 {
                "[tenants.acme]" => *header == "[tenants.old]",
                "[sinks.http]" => section.contains(&("type", "\"http\"")),
                _ => false,
            };
            let named = names(section) || sections.iter().find(same).is_some_and(|(_, keys)| names(keys));
            if !named && !tables.contains(&key) {
                missing.push(format!("{header} {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
    assert!(seen > 250, "only {seen} keys looked at");
}
