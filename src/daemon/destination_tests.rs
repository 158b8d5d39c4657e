//! What an operator writes about a sink is what the sink gets: each key of the configuration up to the plan, for the
//! sinks' own tests begin there.

use std::path::Path;
use std::time::Duration;

use super::destination;
use super::plan::{known_feeds, sink};
use crate::config::settings::{Settings, SinkKind};
use crate::sink::{Auth, HttpPlan, Sink};

const TENANT: &str = "[tenants.acme]\nclient_id = \"id\"\nclient_secret = { env = \"SECRET\" }\n";

fn settings(keys: &str) -> Settings {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mimecollectd.toml");
    std::fs::write(&path, format!("{TENANT}[sinks.out]\n{keys}\n")).unwrap();
    crate::config::load(&path, &known_feeds()).unwrap_or_else(|error| panic!("{error}"))
}

fn http(keys: &str) -> HttpPlan {
    let settings = settings(&format!("type = \"http\"\nurl = \"https://127.0.0.1:9/in\"\n{keys}"));
    let SinkKind::Http(http) = &settings.sinks[0].kind else { panic!("another sink") };
    destination::plan(http, destination::preset(http).unwrap())
}

#[test]
fn what_is_written_about_an_http_sink_is_what_it_does() {
    let plain = http("");
    let plan = http(
        "timeout = \"7s\"\nconcurrency = 9\nca_file = \"/etc/ssl/siem.pem\"\nbatch = { events = 11, bytes = \"13KiB\", \
         wait = \"17s\" }\ncompression = \"gzip\"\nproxy = \"http://127.0.0.1:3128\"",
    );
    assert_ne!((plain.timeout, plain.concurrency), (plan.timeout, plan.concurrency), "no defaults");
    assert_eq!((plan.timeout, plan.concurrency), (Duration::from_secs(7), 9));
    assert_eq!(plan.tls.ca_file.as_deref(), Some(Path::new("/etc/ssl/siem.pem")));
    assert_eq!((plan.batch_events, plan.batch_bytes), (11, 13 << 10));
    assert_eq!((plan.batch_wait, plan.gzip), (Duration::from_secs(17), true));
    assert_eq!(plan.proxy.map(|url| url.to_string()).as_deref(), Some("http://127.0.0.1:3128/"));
}

#[test]
fn a_login_is_asked_for_where_the_configuration_says() {
    let plan = http(
        "preset = \"sentinel\"\nrule = \"dcr-0\"\nstream = \"Custom-M_CL\"\ndirectory_id = \"11111111-2222\"\n\
         client_id = \"00000000-1111\"\nclient_secret = { env = \"SECRET\" }\nlogin_url = \"https://login.example.com/\"",
    );
    let urls = plan.auth.iter().filter_map(|auth| match auth {
        Auth::Entra(entra) => Some(entra.url.to_string()),
        _ => None,
    });
    assert_eq!(urls.collect::<Vec<_>>(), ["https://login.example.com/11111111-2222/oauth2/v2.0/token"]);
}

#[test]
fn splunk_is_waited_for_as_long_as_the_configuration_says() {
    let plan = http(
        "preset = \"splunk-hec\"\ntoken = { env = \"TOKEN\" }\nacknowledge = true\nacknowledge_timeout = \"77s\"",
    );
    let question = plan.preset.question(&plan.url, 1).unwrap();
    assert_eq!(question.patience, Duration::from_secs(77));
}

#[test]
fn a_file_is_synced_unless_the_configuration_says_otherwise() {
    for (keys, level) in [("", 5), ("fsync = true", 5), ("fsync = false", 1)] {
        let settings = settings(&format!("type = \"file\"\npath = \"/var/log/out.ndjson\"\n{keys}"));
        let (sink, []): (Sink, [_; 0]) = sink(&settings.sinks[0], "host").unwrap();
        assert_eq!(sink.ack_level(), level, "{keys}");
    }
}
