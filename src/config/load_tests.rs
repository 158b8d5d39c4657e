//! What good configurations come to mean.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::settings::*;
use super::{Glob, SecretRef, load};
use crate::clock::Time;
use crate::setup_error::{ExitCode, SetupError};
use crate::supervisor::overrides::Action;

const MINUTE: Duration = Duration::from_secs(60);

const fn batch(name: &'static str) -> KnownFeed {
    KnownFeed { name, api1: false, api2: true, window: false, overlap: Duration::ZERO }
}
const fn window(name: &'static str) -> KnownFeed {
    KnownFeed { name, api1: true, api2: true, window: true, overlap: Duration::from_secs(900) }
}

/// A catalogue as a version might have it: neither `dlp` nor `ci.*`.
pub(super) const KNOWN: &[KnownFeed] = &[
    batch("siem.receipt"),
    batch("siem.process"),
    batch("siem.delivery"),
    KnownFeed { name: "siem.mta", api1: true, api2: false, window: false, overlap: Duration::ZERO },
    window("audit"),
    window("ttp.url"),
    window("ttp.attachment"),
    window("rejections"),
];

const TENANT: &str = "[tenants.acme]\nclient_id = \"id\"\nclient_secret = { env = \"SECRET\" }\n";
const SINK: &str = "[sinks.out]\ntype = \"stdout\"\n";

/// Writes `main` and `conf.d/a.toml`, and loads them.
fn load_parts(main: &str, part: Option<&str>) -> Result<Settings, SetupError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mimecollectd.toml");
    fs::write(&path, main).unwrap();
    if let Some(part) = part {
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        fs::write(dir.path().join("conf.d/a.toml"), part).unwrap();
        fs::write(dir.path().join("conf.d/.b.toml.swp"), "not = toml = at all").unwrap();
        fs::write(dir.path().join("conf.d/README"), "not = toml = at all").unwrap();
    }
    load(&path, KNOWN)
}

fn good(text: &str) -> Settings {
    load_parts(text, None).unwrap_or_else(|error| panic!("{error}"))
}

fn tenant(lines: &str) -> std::sync::Arc<Tenant> {
    good(&format!("{TENANT}{lines}\n{SINK}")).tenants.remove(0)
}

fn sink(lines: &str) -> Sink {
    good(&format!("{TENANT}[sinks.out]\n{lines}")).sinks.remove(0)
}

fn syslog(lines: &str) -> Syslog {
    match sink(&format!("type = \"syslog\"\n{lines}")).kind {
        SinkKind::Syslog(syslog) => syslog,
        other => panic!("{other:?}"),
    }
}

fn http(lines: &str) -> Http {
    match sink(&format!("type = \"http\"\n{lines}")).kind {
        SinkKind::Http(http) => *http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_configuration_is_the_contract_s_defaults() {
    let settings = good(&format!("{TENANT}{SINK}"));
    assert_eq!(settings.state_dir.to_str(), Some("/var/lib/mimecollectd"));
    assert_eq!(settings.log, Log { filter: "info".into(), format: LogFormat::Auto });
    assert_eq!(settings.admin.unwrap().listen, "127.0.0.1:9598".parse().unwrap());
    assert_eq!(settings.store, StoreLimits { max_size: 10 << 30, retention: 24 * 60 * MINUTE });
    assert!(settings.recovery.is_empty() && settings.warnings.is_empty(), "{:?}", settings.warnings);
    let tenant = &settings.tenants[0];
    assert_eq!((tenant.name.as_str(), tenant.api(), tenant.loopback), ("acme", Api::V2, false));
    assert_eq!(tenant.base_url.as_str(), "https://api.services.mimecast.com/");
    let client_secret = SecretRef::Env("SECRET".into());
    assert_eq!(tenant.credential, Credential::OAuth { client_id: "id".into(), client_secret });
    assert_eq!((tenant.lookback, tenant.secret_expires), (24 * 60 * MINUTE, None));
    let feeds: Vec<_> = tenant.feeds.iter().map(|feed| feed.name).collect();
    assert_eq!(
        feeds,
        ["siem.receipt", "siem.process", "siem.delivery", "audit", "ttp.url", "ttp.attachment"]
    );
    assert!(tenant.feeds.iter().all(|feed| feed.poll_interval == 5 * MINUTE));
    assert_eq!((tenant.feeds[0].overlap, tenant.feeds[3].overlap), (Duration::ZERO, 15 * MINUTE));
    let sink = &settings.sinks[0];
    assert_eq!((&sink.kind, sink.format), (&SinkKind::Stdout, FormatName::Json));
    assert_eq!((&sink.feeds, sink.tenants.len()), (&vec![Glob::new("*")], 0));
}

#[test]
fn parts_are_merged_by_table() {
    let settings = load_parts(SINK, Some(&format!("[log]\nlevel = \"debug\"\n{TENANT}"))).unwrap();
    assert_eq!((settings.log.filter.as_str(), settings.tenants.len(), settings.sinks.len()), ("debug", 1, 1));
    let both = load_parts(
        &format!("{TENANT}{SINK}"),
        Some("[tenants.b]\nclient_id=\"b\"\nclient_secret={env=\"B\"}"),
    );
    let names: Vec<_> = both.unwrap().tenants.into_iter().map(|tenant| tenant.name.clone()).collect();
    assert_eq!(names, ["acme", "b"]);
}

#[test]
fn regions_and_addresses() {
    for (lines, url, loopback) in [
        ("region = \"us\"", "https://us-api.services.mimecast.com/", false),
        ("region = \"uk\"", "https://uk-api.services.mimecast.com/", false),
        ("base_url = \"http://127.0.0.1:8480\"", "http://127.0.0.1:8480/", true),
        ("base_url = \"http://127.9.9.9/\"", "http://127.9.9.9/", true),
        ("base_url = \"http://[::1]:8480\"", "http://[::1]:8480/", true),
        ("base_url = \"http://localhost:8480\"", "http://localhost:8480/", true),
        ("base_url = \"https://mimecast.example.com\"", "https://mimecast.example.com/", false),
    ] {
        let tenant = tenant(lines);
        assert_eq!((tenant.base_url.as_str(), tenant.loopback), (url, loopback));
    }
    for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "[::ffff:10.0.0.1]"] {
        let text = format!("{TENANT}base_url = \"http://{host}\"\n{SINK}");
        assert!(load_parts(&text, None).is_err(), "{host} is no loopback address and must be https");
    }
}

#[test]
fn floors_are_off_on_loopback_only() {
    let loopback = "base_url = \"http://127.0.0.1:8480\"\npoll_interval = \"50ms\"";
    assert_eq!(tenant(loopback).feeds[0].poll_interval, Duration::from_millis(50));
    for lines in [
        "poll_interval = \"299s\"",
        "base_url = \"https://mimecast.example.com\"\npoll_interval = \"1s\"",
        "[tenants.acme.feed.audit]\npoll_interval = \"1s\"",
        "base_url = \"http://127.0.0.1:8480\"\npoll_interval = \"0s\"",
        "poll_interval = \"2days\"",
        "lookback = \"0s\"",
    ] {
        assert!(load_parts(&format!("{TENANT}{lines}\n{SINK}"), None).is_err(), "{lines}");
    }
}

#[test]
fn the_more_special_override_wins() {
    let tenant = tenant(
        "feeds = [\"*\"]\npoll_interval = \"6m\"\n\
         [tenants.acme.feed.audit]\npoll_interval = \"10m\"\n\
         [tenants.acme.feed.\"*\"]\npoll_interval = \"20m\"\noverlap = \"2h\"\n\
         [tenants.acme.feed.\"ttp.*\"]\npoll_interval = \"30m\"\n",
    );
    let feed = |name: &str| *tenant.feeds.iter().find(|feed| feed.name == name).unwrap();
    assert_eq!(feed("audit").poll_interval, 10 * MINUTE);
    assert_eq!(feed("ttp.url").poll_interval, 30 * MINUTE);
    assert_eq!(feed("siem.receipt").poll_interval, 20 * MINUTE);
    assert_eq!((feed("audit").overlap, feed("siem.receipt").overlap), (120 * MINUTE, Duration::ZERO));
    assert!(!tenant.feeds.iter().any(|feed| feed.name == "siem.mta"), "API 1.0 only");
}

#[test]
fn the_rest_of_a_tenant() {
    let tenant = tenant(
        "secret_expires = 2027-01-31\nlookback = \"9days\"\nproxy = \"http://proxy:3128\"\nca_file = \"ca.pem\"\n\
         download_hosts = [\"*.Example.NET\", \"files.example.org\"]",
    );
    assert_eq!(tenant.secret_expires.map(Time::rfc3339).as_deref(), Some("2027-01-31T00:00:00.000Z"));
    assert_eq!(tenant.lookback, 9 * 24 * 60 * MINUTE, "kept as written; feeds clamp it themselves");
    assert_eq!(tenant.proxy.as_ref().unwrap().port(), Some(3128));
    assert!(tenant.ca_file.as_ref().is_some_and(|path| path.is_absolute()), "beside the file that names it");
    assert_eq!(tenant.download_hosts, ["*.example.net", "files.example.org"]);
}

#[test]
fn dates_with_and_without_time() {
    for (written, expected) in [
        ("2027-01-31T10:00:00+01:00", "2027-01-31T09:00:00.000Z"),
        ("2027-01-31T10:00:00", "2027-01-31T10:00:00.000Z"),
        ("2027-01-31T10:00:00Z", "2027-01-31T10:00:00.000Z"),
    ] {
        let found = tenant(&format!("secret_expires = {written}")).secret_expires.map(Time::rfc3339);
        assert_eq!(found.as_deref(), Some(expected));
    }
}

#[test]
fn syslog_defaults_and_choices() {
    let plain = syslog("address = \"siem.example.com:6514\"");
    let expected = Syslog {
        host: "siem.example.com".into(),
        port: 6514,
        transport: Transport::Tls,
        protocol: Protocol::Rfc5424,
        framing: Framing::OctetCounting,
        confirm_every: 5000,
        facility: 2,
        max_message_size: 65_536,
        oversize: Oversize::Truncate,
        tls: Some(TlsFiles::default()),
    };
    assert_eq!(plain, expected);
    let tcp = syslog(
        "address = \"[2001:db8::1]:514\"\ntransport = \"tcp\"\nfacility = \"local7\"\nconfirm_every = 1",
    );
    assert_eq!((tcp.host.as_str(), tcp.port, tcp.tls, tcp.facility), ("2001:db8::1", 514, None, 23));
    assert_eq!(syslog("address = \"10.0.0.1:514\"\nfacility = 0").facility, 0);
    let named = syslog(
        "address = \"10.0.0.1:514\"\ntls = { server_name = \"siem.example.com\", ca_file = \"/ca.pem\" }",
    );
    let tls = named.tls.unwrap();
    let ca_file = tls.ca_file.as_deref().and_then(Path::to_str);
    assert_eq!((tls.server_name.as_deref(), ca_file), (Some("siem.example.com"), Some("/ca.pem")));
    for address in
        ["siem.example.com", "siem:0", "siem:65536", "2001:db8::1:514", "si em:514", ":514", "http://a:1"]
    {
        let text = format!("{TENANT}[sinks.out]\ntype = \"syslog\"\naddress = \"{address}\"");
        assert!(load_parts(&text, None).is_err(), "{address}");
    }
}

#[test]
fn http_defaults_and_choices() {
    let plain = http("url = \"https://siem.example.com/in\"");
    assert_eq!(
        (plain.batch_events, plain.batch_bytes, plain.batch_wait),
        (1000, 1 << 20, Duration::from_secs(1))
    );
    assert_eq!((plain.concurrency, plain.timeout, plain.gzip), (4, Duration::from_secs(30), false));
    let loki = "preset = \"loki\"\nurl = \"https://loki.example.com\"";
    assert_eq!(http(loki).concurrency, 1, "requests that overtake each other make lines too old");
    assert_eq!(http(&format!("{loki}\nconcurrency = 3")).concurrency, 3);
    assert_eq!((plain.preset, plain.token, plain.headers.len()), (Preset::Ndjson, None, 0));
    let full = http(
        "url = \"https://siem.example.com/in\"\ncompression = \"gzip\"\nbatch = { events = 5 }\n\
         token = { credential = \"hec\" }\nheaders = { X-Source = \"mimecast\" }",
    );
    assert_eq!((full.gzip, full.batch_events, full.batch_bytes), (true, 5, 1 << 20));
    assert_eq!(full.token, Some(SecretRef::Credential("hec".into())));
    assert_eq!(full.headers, [("x-source".to_owned(), "mimecast".to_owned())]);
    assert_eq!(http("url = \"http://127.0.0.1:1/in\"").url.port(), Some(1));
    let insecure = good(&format!(
        "{TENANT}[sinks.out]\ntype = \"http\"\nurl = \"http://siem/in\"\nallow_insecure = true"
    ));
    assert!(insecure.warnings.iter().any(|text| text.contains("unencrypted")), "{:?}", insecure.warnings);
}

#[test]
fn what_a_sink_wants() {
    let all = sink("type = \"stdout\"");
    assert!(all.wants("acme", "audit") && !all.wants("acme", "collector") && !all.wants("", "collector"));
    let some = sink("type = \"stdout\"\nfeeds = [\"siem.*\", \"collector\"]\ntenants = [\"acme\"]");
    assert!(
        some.wants("acme", "siem.receipt") && some.wants("acme", "collector") && some.wants("", "collector")
    );
    assert!(!some.wants("acme", "audit") && !some.wants("other", "siem.receipt"));
}

#[test]
fn recovery_tables_are_checked_against_the_recovery_table() {
    let with = |tenant: &str, tables: &str| load_parts(&format!("{tenant}{SINK}{tables}"), None);
    let text = "[recovery.\"401/0010\"]\npause = \"45m\"\n[recovery.409]\npause = \"10m\"\n\
        [recovery.\"409/foo\"]\naction = \"halt\"";
    let found = with(TENANT, text).unwrap().recovery;
    assert_eq!((found[0].code.as_deref(), found[0].pause), (Some("0010"), Some(45 * MINUTE)));
    assert_eq!((found[1].status, found[1].code.as_deref(), found[1].action), (409, None, None));
    assert_eq!((found[2].action, found[2].pause), (Some(Action::Halt), None));

    let short = "[recovery.\"401/0010\"]\npause = \"1m\"";
    let error = with(TENANT, short).unwrap_err().message;
    assert!(error.contains("mimecollectd.toml:7:9") && error.contains("15m or more"), "{error}");
    let loopback = TENANT.replace("[tenants.acme]", "[tenants.acme]\nbase_url = \"http://127.0.0.1:1\"");
    assert!(with(&loopback, short).is_ok(), "the simulator has no floors");
}

#[test]
fn warnings() {
    let text = "[admin]\nlisten = \"0.0.0.0:9598\"\n\
        [tenants.a]\nclient_id = \"one\"\nclient_secret = \"hunter2\"\n\
        [tenants.b]\nclient_id = \"two\"\nclient_secret = { env = \"S\" }\nproxy = \"http://u:hunter2@proxy:3128\"\n\
        [sinks.out]\ntype = \"stdout\"\nfeeds = [\"siem.*\"]\n";
    let settings = good(text);
    let all = settings.warnings.join("\n");
    for due in [
        "open to other machines",
        "client secret of tenant `a`",
        "password of the proxy",
        "no sink takes audit",
    ] {
        assert!(all.contains(due), "{due}: {all}");
    }
    assert!(!format!("{all} {settings:?} {}", super::describe(&settings)).contains("hunter2"));
    let secrets = settings.secrets();
    assert_eq!((secrets.len(), secrets[0].what.as_str()), (2, "client secret of tenant a"));
}

const SIGNED: &str = "[tenants.old]\napi = \"1.0\"\nregion = \"eu\"\napp_id = \"app\"\napp_key = { env = \"K\" }\n\
                      access_key = { file = \"/access\" }\nsecret_key = { credential = \"secret\" }\n";

#[test]
fn a_tenant_of_api_1() {
    let settings = good(&format!("{SIGNED}{SINK}"));
    let tenant = &settings.tenants[0];
    assert_eq!((tenant.api(), tenant.base_url.as_str()), (Api::V1, "https://eu-api.mimecast.com/"));
    let signed = Credential::Signed {
        app_id: "app".into(),
        app_key: SecretRef::Env("K".into()),
        access_key: SecretRef::File("/access".into()),
        secret_key: SecretRef::Credential("secret".into()),
    };
    assert_eq!(tenant.credential, signed);
    let feeds: Vec<_> = tenant.feeds.iter().map(|feed| feed.name).collect();
    assert_eq!(feeds, ["siem.mta", "audit", "ttp.url", "ttp.attachment"], "the default, as this API has it");
    let [warning] = &settings.warnings[..] else { panic!("{:?}", settings.warnings) };
    assert!(warning.contains("mimecollectd.toml:2:7") && warning.contains("cursor migrate"), "{warning}");
    let secrets: Vec<_> = settings.secrets().into_iter().map(|secret| secret.what).collect();
    assert_eq!(
        secrets,
        ["application key of tenant old", "access key of tenant old", "secret key of tenant old"]
    );
}

#[test]
fn regions_of_api_1() {
    for (region, url) in [
        ("us", "https://us-api.mimecast.com/"),
        ("usb", "https://usb-api.mimecast.com/"),
        ("uspcom", "https://uspcom-api.mimecast-pscom-us.com/"),
        ("uk", "https://eu-api.mimecast.com/"),
        ("de", "https://de-api.mimecast.com/"),
        ("ca", "https://ca-api.mimecast.com/"),
        ("za", "https://za-api.mimecast.com/"),
        ("au", "https://au-api.mimecast.com/"),
        ("je", "https://je-api.mimecast.com/"),
        ("sandbox", "https://sandbox-api.mimecast.com/"),
    ] {
        let text = SIGNED.replace("region = \"eu\"", &format!("region = \"{region}\""));
        assert_eq!(good(&format!("{text}{SINK}")).tenants[0].base_url.as_str(), url);
    }
    let own = SIGNED.replace("region = \"eu\"", "base_url = \"http://127.0.0.1:8480\"");
    assert!(good(&format!("{own}{SINK}")).tenants[0].loopback);
}

#[test]
fn admin_and_log_choices() {
    let head = |lines: &str| good(&format!("{lines}\n{TENANT}{SINK}"));
    assert_eq!(head("[admin]\nlisten = \"off\"").admin, None);
    let admin = head("[admin]\nhosts = [\"Status.example.com\"]").admin.unwrap();
    assert_eq!((admin.listen.port(), &admin.hosts[..]), (9598, &["status.example.com".to_owned()][..]));
    assert_eq!(head("[log]\nlevel = \"info,sqlx=warn\"\nformat = \"json\"").log.filter, "info,sqlx=warn");
    assert_eq!(head("[store]\nretention = \"0s\"").store.retention, Duration::ZERO);
}

#[test]
fn files_that_cannot_be_read() {
    let missing = load(std::path::Path::new("/nonexistent/mimecollectd.toml"), KNOWN).unwrap_err();
    assert_eq!(missing.exit, ExitCode::Configuration);
    assert!(missing.message.contains("mimecollectd init"), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
    assert!(load(&path, KNOWN).unwrap_err().message.contains("line 2"));
    fs::write(&path, vec![b'#'; crate::limits::MAX_CONFIG_BYTES as usize + 1]).unwrap();
    assert!(load(&path, KNOWN).unwrap_err().message.contains("larger"));
    fs::create_dir_all(dir.path().join("conf.d/x.toml")).unwrap();
    fs::write(&path, "").unwrap();
    assert!(load(&path, KNOWN).unwrap_err().message.contains("not a regular file"));
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No text makes the reader panic, and none makes it print the secret.
        #[test]
        fn is_survived(lines in proptest::collection::vec(prop_oneof![
            Just("[tenants.acme]".to_owned()), Just("[sinks.x]".to_owned()), Just("type = \"http\"".to_owned()),
            Just("client_secret = \"hunter2\"".to_owned()), Just("token = \"hunter2".to_owned()),
            Just("headers = { a = \"hunter2\", b = 1".to_owned()), Just("feeds = [\"ttp.*\", 1]".to_owned()),
            Just("client_sceret = 'hunter2'".to_owned()), Just("batch = { wait = 1 }".to_owned()),
            Just("client_secret = { value = \"hunter2\", b = \"\"\"x".to_owned()),
            Just("client_secret: \"hunter2\"".to_owned()), Just("client_secret hunter2".to_owned()),
            Just("[tenants.b] client_secret = \"hunter2\"".to_owned()), Just("\"client_secret\" = hunter2".to_owned()),
            "[a-z_]{1,8} = [\"'\\[{]?[ -~äé\u{1f600}]{0,12}", "[ -~\t]{0,20}",
        ], 0..12)) {
            if let Err(error) = load_parts(&lines.join("\n"), None) {
                prop_assert!(!error.message.contains("hunter2"), "{}", error);
            }
        }
    }
}

/// Whoever asks for the secrets (`validate`, the support bundle) gets every place that the configuration names.
#[test]
fn every_place_of_a_secret_is_listed() {
    let text = "[tenants.a]\nclient_id = \"c\"\nclient_secret = { env = \"S1\" }\n\
        [sinks.hec]\ntype = \"http\"\npreset = \"splunk-hec\"\nurl = \"https://a\"\ntoken = { env = \"S2\" }\n\
        [sinks.es]\ntype = \"http\"\npreset = \"elasticsearch\"\nurl = \"https://a\"\nuser = \"u\"\npassword = { env = \"S3\" }\n\
        [sinks.azure]\ntype = \"http\"\npreset = \"sentinel\"\nurl = \"https://a\"\nrule = \"dcr-0\"\nstream = \"Custom-M_CL\"\n\
        directory_id = \"d\"\nclient_id = \"c\"\nclient_secret = { env = \"S4\" }\n\
        [sinks.google]\ntype = \"http\"\npreset = \"google-secops\"\nurl = \"https://a\"\ntoken = { env = \"S5\" }\n\
        access_key = { env = \"S6\" }\n\
        [alerts.ops]\ntype = \"webhook\"\nurl = { env = \"S7\" }\ntoken = { env = \"S8\" }\n";
    let settings = good(text);
    let listed: Vec<_> = settings.secrets().iter().map(|secret| secret.place.clone()).collect();
    let written: Vec<_> = (1..=8).map(|n| SecretRef::Env(format!("S{n}"))).collect();
    for place in &written {
        assert!(listed.contains(place), "{place} is not listed");
    }
    assert_eq!(listed.len(), written.len());
    let whose = "client secret of sink azure";
    assert!(settings.secrets().iter().any(|secret| secret.what == whose), "{:?}", settings.secrets());
}

/// Two gates for one account would be twice the attempts that it bears.
#[test]
fn a_credential_belongs_to_one_tenant() {
    let refused = |first: &str, second: &str| {
        let found = load_parts(&format!("{first}{second}{SINK}"), None);
        found.err().map(|error| error.message).unwrap_or_default()
    };
    let twice = refused(TENANT, &TENANT.replace("acme", "other"));
    assert!(
        twice.contains("`acme` and `other` use the same client_id") && twice.contains("again here"),
        "{twice}"
    );
    let signed = refused(SIGNED, &SIGNED.replace("old", "older"));
    assert!(signed.contains("the same app_id and access_key"), "{signed}");
    let other_key = SIGNED.replace("old", "older").replace("/access", "/other");
    assert_eq!(refused(SIGNED, &other_key), "");
    let simulated = TENANT.replace("[tenants.acme]", "[tenants.acme]\nbase_url = \"http://127.0.0.1:1\"");
    let loaded = good(&format!("{simulated}{}{SINK}", simulated.replace("acme", "other")));
    assert!(loaded.warnings.iter().any(|text| text.contains("same client_id")), "{:?}", loaded.warnings);
    let elsewhere = TENANT.replace("[tenants.acme]", "[tenants.other]\nbase_url = \"http://127.0.0.1:1\"");
    assert_eq!(refused(TENANT, &elsewhere), "", "another Mimecast, to try things out");
}
