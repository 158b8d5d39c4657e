//! `[sinks.NAME]` with `type = "kafka"`.

use std::time::Duration;

use super::settings::{Compression, Kafka, Mechanism, Sasl};
use super::sink_http::read_batch;
use super::sink_syslog::{read_address, read_tls};
use super::table::Table;
use super::tenant::optional;
use super::value::{Value, quoted};
use crate::limits::kafka::MAX_TOPIC_BYTES;
use crate::limits::{MAX_SINK_TIMEOUT, MIN_SINK_TIMEOUT};

/// What a topic's name may be made of, with one name of a tenant or feed in it: they have up to 64 letters each.
const MAX_LITERAL: usize = MAX_TOPIC_BYTES - 2 * 64;

pub(super) fn read(table: &Table<'_>) -> Option<Kafka> {
    let brokers = table.require("brokers", "brokers = [\"kafka.example.com:9093\"]");
    let brokers = brokers.and_then(|v| read_brokers(&v));
    let topic = table.require("topic", "topic = \"mimecast\"").and_then(|v| read_topic(&v));
    let compressions = Compression::ALL.map(|compression| (compression.as_str(), compression));
    let compression =
        table.get("compression").map_or(Some(Compression::None), |v| v.choice(&compressions, &[]));
    let tls = optional(table.get("tls"), |v| {
        let tls = read_tls(v)?;
        if tls.server_name.is_some() {
            let title = "`server_name` has no effect with Kafka";
            v.refuse(title, "each broker's certificate must carry its own name", "remove `server_name`");
            return None;
        }
        Some(tls)
    });
    let sasl_key = table.get("sasl");
    if let (Some(value), None) = (&sasl_key, table.get("tls")) {
        let words = "events and, with mechanism = \"plain\", the password go to this sink unencrypted; add `tls = {}`";
        value.book.warn(&value.place(), words);
    }
    let sasl = optional(sasl_key, read_sasl);
    let batch = read_batch(table);
    let timeout = table
        .get("timeout")
        .map_or(Some(Duration::from_secs(30)), |v| v.duration(MIN_SINK_TIMEOUT, MAX_SINK_TIMEOUT));
    let batch = batch?;
    Some(Kafka {
        brokers: brokers?,
        topic: topic?,
        compression: compression?,
        tls: tls?,
        sasl: sasl?,
        batch_events: batch.events,
        batch_bytes: batch.bytes,
        batch_wait: batch.wait,
        timeout: timeout?,
    })
}

/// A build without Kafka says so where `type` stands.
pub(super) fn refuse_without(kind: &Value<'_>) {
    if !cfg!(feature = "kafka") {
        let title = "this mimecollectd was built without Kafka";
        let help = "use a build made with `--features kafka`, or another type of sink";
        kind.refuse(title.to_owned(), "needs libraries in C, which this build does not have", help);
    }
}

fn read_brokers(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        let title = format!("`{}` is empty", value.name);
        value.refuse(title, "names no broker", "name one or more, as \"kafka.example.com:9093\"");
        return None;
    }
    let written = |item: &Value<'_>| {
        let (host, port) = read_address(item)?;
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    };
    items.iter().map(written).collect()
}

/// A name, with `{tenant}` and `{feed}` where they are wanted.
fn read_topic(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let literal = text.replace("{tenant}", "").replace("{feed}", "");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let whole = matches!(text, "" | "." | "..");
    if whole || !literal.chars().all(fits) || literal.len() > MAX_LITERAL {
        let title = format!("`{}` cannot be {}", value.name, quoted(text));
        let help = format!(
            "use up to {MAX_LITERAL} letters (a–z, A–Z), digits, `.`, `_` and `-`, and the words {{tenant}} and {{feed}}"
        );
        value.refuse(title, "not the name of a topic", help);
        return None;
    }
    Some(text.to_owned())
}

fn read_sasl(value: &Value<'_>) -> Option<Sasl> {
    let table = value.table(format!("`{}`", value.name))?;
    let mechanisms = Mechanism::ALL.map(|mechanism| (mechanism.word(), mechanism));
    let mechanism = table.require("mechanism", "mechanism = \"scram-sha-512\"");
    let mechanism = mechanism.and_then(|v| v.choice(&mechanisms, &["oauthbearer", "gssapi"]));
    let user = table.require("user", "user = \"mimecollectd\"").and_then(|v| v.text().map(str::to_owned));
    let password = table.require("password", "password = { file = \"…\" }");
    let password = password.and_then(|v| table.secret(&v, "sasl.password"));
    table.finish("`sasl`");
    Some(Sasl { mechanism: mechanism?, user: user?, password: password? })
}

#[cfg(test)]
mod tests {
    /// The page's example is a configuration, and names every key there is.
    #[cfg(feature = "kafka")]
    #[test]
    fn the_page_says_what_may_be_written() {
        let page = std::fs::read_to_string("docs/kafka.md").unwrap();
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let tenant = "[tenants.acme]\nclient_id = \"c\"\nclient_secret = { env = \"S\" }\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mimecollectd.toml");
        std::fs::write(&path, format!("{tenant}{example}")).unwrap();
        let settings = crate::config::load(&path, crate::config::load_tests::KNOWN).unwrap();
        assert_eq!(settings.warnings, Vec::<String>::new());
        std::fs::write(&path, format!("{tenant}{example}\nzzzzzzzz = 1\n")).unwrap();
        let error = crate::config::load(&path, crate::config::load_tests::KNOWN).unwrap_err().message;
        let keys = error.split(" are: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        let lost: Vec<_> = keys.split(", ").filter(|key| !example.contains(&format!("{key} = "))).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
