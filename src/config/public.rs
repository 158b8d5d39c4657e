//! A configuration file as it may leave the house: its shape and its harmless values. Whatever is not known to be
//! harmless is masked, comments are left out; so a secret can be anywhere, even where none belongs.

use toml::{Table, Value};
use url::Url;

use super::mask::MASK;
use super::settings::shown;

/// Keys whose values are shown. Everything else is masked.
const HARMLESS: &[&str] = &[
    "accept_loss",
    "acknowledge",
    "acknowledge_timeout",
    "action",
    "allow_harmful",
    "allow_insecure",
    "api",
    "bytes",
    "ca_file",
    "category",
    "cert_file",
    "compression",
    "concurrency",
    "confirm_every",
    "download_hosts",
    "endpoint",
    "events",
    "facility",
    "feeds",
    "form",
    "format",
    "framing",
    "fsync",
    "hosts",
    "index",
    "interval",
    "keep",
    "key_file",
    "level",
    "listen",
    "lookback",
    "max_message_size",
    "max_size",
    "mechanism",
    "min_severity",
    "mode",
    "original",
    "overlap",
    "oversize",
    "path",
    "pause",
    "pipeline",
    "poll_interval",
    "preset",
    "protocol",
    "region",
    "retention",
    "rotate_every",
    "rotate_size",
    "secret_expires",
    "service",
    "siem_endpoint",
    "source",
    "source_name",
    "sourcetype",
    "start",
    "state_dir",
    "stream",
    "structured_metadata",
    "tags",
    "tenants",
    "timeout",
    "token_header",
    "topic",
    "transport",
    "type",
    "types",
    "wait",
];
/// Keys whose values are shown as far as scheme, host and port: the rest may be a secret.
const PLACES: &[&str] =
    &["address", "base_url", "brokers", "login_url", "proxy", "scope", "server_name", "url"];

/// The text with every value masked that is not known to be harmless; comments are gone. A text that is not TOML shows
/// nothing but the names of its keys and tables.
pub fn public(text: &str) -> String {
    match text.parse::<Table>() {
        Ok(mut table) => {
            table.iter_mut().for_each(|(key, value)| cover(key, value));
            toml::to_string(&table).unwrap_or_else(|_| outline(text))
        }
        Err(_) => {
            format!("# this is not TOML; `mimecollectd validate` says where and why\n{}", outline(text))
        }
    }
}

fn cover(key: &str, value: &mut Value) {
    match value {
        Value::Table(table) if key == "headers" => {
            table.iter_mut().for_each(|(_, value)| *value = Value::from(MASK));
        }
        Value::Table(table) => table.iter_mut().for_each(|(key, value)| cover(key, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| cover(key, item)),
        _ if HARMLESS.contains(&key) => {}
        Value::String(text) if PLACES.contains(&key) => *text = place(text),
        // `{ file = "/path" }` names the place of a secret; anything else there may be the secret itself
        Value::String(text) if key == "file" && text.starts_with('/') => {}
        other => *other = Value::from(MASK),
    }
}

/// `host:port`, or a URL's scheme, host and port.
fn place(text: &str) -> String {
    if let Ok(mut url) = Url::parse(text)
        && url.has_host()
    {
        url.set_path("/");
        return shown(&url);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
    let is_place = text.chars().all(plain) && (text.contains('.') || text.contains(':') || text == "sqlite");
    if is_place { text.to_owned() } else { MASK.to_owned() }
}

/// Tables and keys of a text that cannot be parsed.
fn outline(text: &str) -> String {
    let bare = |key: &str| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.\" ".contains(&b))
    };
    let mut out = String::new();
    for line in text.lines().map(str::trim) {
        let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|name| bare(name));
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| bare(key));
        match (header, key) {
            (Some(_), _) => out.push_str(&format!("{line}\n")),
            (None, Some(key)) => out.push_str(&format!("{key} = {MASK}\n")),
            (None, None) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of the reference whose values never leave: secrets, where they are, and who somebody is. In `headers` and
    /// `labels` (`job` is one of the reference) a person chooses the keys.
    const MASKED: &[&str] = &[
        "access_key",
        "app_id",
        "app_key",
        "client_id",
        "client_secret",
        "credential",
        "directory_id",
        "env",
        "headers",
        "job",
        "labels",
        "org_id",
        "password",
        "rule",
        "secret_key",
        "token",
        "user",
    ];
    /// They hold keys and no value of their own; what is in `file` depends on it.
    const TABLES: &[&str] = &["batch", "file", "sasl", "tls"];

    /// `key = …`, wherever a line has it, inline tables included.
    fn keys(text: &str) -> Vec<&str> {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let word = |(end, _)| {
            let before = &text[..end];
            &before[before.rfind(|c| !in_word(c)).map_or(0, |at| at + 1)..]
        };
        let key = |key: &&str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let mut keys: Vec<&str> = text.match_indices(" = ").map(word).filter(key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    #[test]
    fn every_key_is_known_to_be_harmless_or_not() {
        let kafka = include_str!("../../docs/kafka.md");
        let kafka = kafka.split("```toml").nth(1).unwrap().split("```").next().unwrap();
        let text = format!("{}\n{kafka}", include_str!("../../config/mimecollectd.toml"));
        let keys = keys(&text);
        assert!(keys.len() > 90 && keys.contains(&"rotate_size") && keys.contains(&"mechanism"), "{keys:?}");
        for key in &keys {
            let in_lists =
                [HARMLESS, PLACES, MASKED, TABLES].iter().filter(|list| list.contains(key)).count();
            assert_eq!(in_lists, 1, "`{key}` has to be in exactly one of HARMLESS, PLACES, MASKED, TABLES");
        }
        for key in [HARMLESS, PLACES, MASKED, TABLES].concat() {
            assert!(keys.contains(&key), "`{key}` is no key any more");
        }
    }

    /// Everywhere a person might put one, rightly or not.
    const WITH_SECRETS: &str = r#"
# client_secret = "hunter2"
state_dir = "/var/lib/mimecollectd"
hunter = "hunter2"
[store]
url = "sqlite"
max_size = "10GiB"
[tenants.acme]
client_id = "hunter2"
client_secret = { file = "hunter2" }
base_url = "https://hunter2:hunter2@api.example.com/?sig=hunter2"
proxy = "http://me:hunter2@proxy.example.com:3128"
feeds = ["siem.*"]
[tenants.beta]
client_secret = { env = "hunter2" }
app_key = """
hunter2"""
[sinks.siem]
type = "http"
url = "https://siem.example.com/hunter2?token=hunter2"
token = "hunter2"
headers = { X-Key = "hunter2" }
batch = { events = 1000 }
[sinks.other]
type = "syslog"
address = "siem.example.com:6514"
tls = { key_file = "/etc/mimecollectd/client.key" }
[alerts.ops]
url = "https://hooks.example.com/services/hunter2"
[[odd]]
thing = "hunter2"
number = 12345678
"#;

    #[test]
    fn no_secret_leaves_and_what_helps_stays() {
        let text = public(WITH_SECRETS);
        assert!(!text.contains("hunter2") && !text.contains("12345678"), "{text}");
        for part in [
            "state_dir = \"/var/lib/mimecollectd\"",
            "[tenants.acme]",
            "feeds = [\"siem.*\"]",
            "base_url = \"https://api.example.com\"",
            "proxy = \"http://proxy.example.com:3128\"",
            "url = \"https://hooks.example.com\"",
            "address = \"siem.example.com:6514\"",
            "key_file = \"/etc/mimecollectd/client.key\"",
            "events = 1000",
            "url = \"sqlite\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_is_not_toml_shows_only_names() {
        let text = public(&format!("{WITH_SECRETS}\nbroken = \"\nhunter2 hunter2\n"));
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("[tenants.acme]") && text.contains("client_secret = ********"), "{text}");
    }
}
