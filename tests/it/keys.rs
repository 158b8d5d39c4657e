//! Every key means something: what a configuration says is seen on the wire, in the file, or in what the daemon does.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::main_job::file_sink;
use crate::rig::{Arrived, Receiver, Simulator, Site, eventually, http, text};
use crate::web::{Answer, Request, Web};

const AUDIT: &str = "feeds = [\"audit\", \"siem.av\"]\nlookback = \"1h\"\npoll_interval = \"300s\"";

fn few() -> Simulator {
    let simulator = Simulator::start(&["--events", "0", "--seed", "95", "--scenario", "no_quota"]);
    simulator.post("/_sim/publish?feed=audit&count=20&age=10m");
    simulator.post("/_sim/publish?feed=siem.av&count=20&age=10m");
    simulator
}

/// What a web server was asked: first line, headers, body.
type Asked = Arc<Mutex<Vec<(String, Vec<String>, String)>>>;

/// Takes everything and remembers it.
fn web(status: &'static str) -> (Web, Asked) {
    let asked = Asked::default();
    let kept = asked.clone();
    let web = Web::start(move |request: &Request| {
        let (line, body) =
            (request.line.trim_end().to_owned(), String::from_utf8_lossy(&request.body).into_owned());
        // an unknown answer to a batch without events keeps no events back
        let unknown = request.body.is_empty() && line.contains("/_bulk");
        kept.lock().expect("no panics").push((line, request.headers.clone(), body));
        if unknown {
            return Answer::new("400 Bad Request", r#"{"error":"in words of another version"}"#);
        }
        Answer::new(status, r#"{"text":"Success","code":0}"#)
    });
    (web, asked)
}

/// Runs once with these sinks and gives what the web server got.
fn sent(simulator: &Simulator, sinks: impl Fn(SocketAddr) -> String) -> Vec<(String, Vec<String>, String)> {
    let (web, asked) = web("200 OK");
    let site = Site::new(&simulator.url, AUDIT, &sinks(web.address));
    site.run_once();
    let asked = asked.lock().expect("no panics").clone();
    assert!(!asked.is_empty(), "nothing was sent");
    asked
}

#[test]
fn the_keys_of_an_http_sink_are_seen_on_the_wire() {
    let simulator = few();
    let records = simulator.truth("audit");
    let all = sent(&simulator, |at| {
        format!(
            "[sinks.web]\ntype = \"http\"\nurl = \"http://{at}/in/{{tenant}}/{{feed}}\"\ntoken = \"t0ken\"\ntoken_header = \"X-Api-Key\"\n\
             headers = {{ X-Source = \"mimecast\" }}\ncompression = \"gzip\"\nbatch = {{ events = 7, bytes = \"1MiB\", wait = \"10ms\" }}\n\
             format = \"raw\"\nfeeds = [\"audit\"]\n"
        )
    });
    for (line, headers, body) in &all {
        assert_eq!(line, "POST /in/acme/audit");
        for header in ["x-api-key: t0ken", "x-source: mimecast", "content-encoding: gzip"] {
            assert!(headers.iter().any(|has| has == header), "{header} in {headers:?}");
        }
        assert!(!headers.iter().any(|has| has.starts_with("authorization:")), "{headers:?}");
        assert!(
            body.lines().count() <= 7 && body.lines().all(|line| records.iter().any(|it| it == line)),
            "{body}"
        );
    }
    assert!(all.iter().any(|(.., body)| body.lines().count() == 7), "batches are as full as they may be");

    // the other way of each
    let all = sent(&simulator, |at| {
        format!(
            "[sinks.web]\ntype = \"http\"\npreset = \"json\"\nurl = \"http://siem.invalid/in\"\nallow_insecure = true\n\
             proxy = \"http://{at}\"\nuser = \"me\"\npassword = \"pass\"\ntypes = [\"av\"]\nformat = \"ecs\"\noriginal = true\n"
        )
    });
    let (av, mut taken) = (simulator.truth("siem.av"), 0);
    for (line, headers, body) in &all {
        assert_eq!(line, "POST http://siem.invalid/in", "by the proxy");
        // me:pass; the test's server puts headers into lower case
        assert!(headers.iter().any(|has| has == "authorization: basic bwu6cgfzcw=="), "{headers:?}");
        assert!(!headers.iter().any(|has| has.starts_with("content-encoding:")), "{headers:?}");
        let array: Vec<Value> =
            serde_json::from_str(body).unwrap_or_else(|e| panic!("an array ({e}): {body}"));
        assert!(
            array.iter().all(|event| event["ecs"].is_object() || event["ecs.version"].is_string()),
            "{body}"
        );
        let original = |event: &Value| av.iter().any(|record| event["event"]["original"] == record.as_str());
        assert!(array.iter().all(original), "{body}");
        taken += array.len();
    }
    assert_eq!(taken, 20, "those of one type");
}

#[test]
fn the_keys_of_presets_are_seen_on_the_wire() {
    let simulator = few();
    let cases: [(&str, &[&str]); 5] = [
        (
            "preset = \"loki\"\nurl = \"http://{at}\"\nlabels = { job = \"post\" }\norg_id = \"soc7\"\nstructured_metadata = true\nfeeds = [\"audit\"]",
            &["POST /loki/api/v1/push", "x-scope-orgid: soc7", "\"job\":\"post\"", "event_id"],
        ),
        (
            "preset = \"datadog\"\nurl = \"http://{at}\"\ntoken = \"dd\"\nsource = \"src7\"\nservice = \"svc7\"\ntags = [\"site:seven\"]",
            &["dd-api-key: dd", "src7", "svc7", "site:seven"],
        ),
        (
            "preset = \"sumologic\"\nurl = \"http://{at}/receiver/\"\ntoken = \"code7\"\ncategory = \"cat/{feed}\"\nsource_name = \"name-{tenant}\"\nfeeds = [\"audit\"]",
            &["POST /receiver/code7", "x-sumo-category: cat/audit", "x-sumo-name: name-acme"],
        ),
        (
            "preset = \"elasticsearch\"\nurl = \"http://{at}\"\nindex = \"mail-{feed}\"\npipeline = \"pipe7\"\nfeeds = [\"audit\"]",
            &["POST /_bulk", "pipe7", "mail-audit"],
        ),
        (
            "preset = \"splunk-hec\"\nurl = \"http://{at}/services/collector\"\ntoken = \"hec7\"\nsourcetype = \"st-{feed}\"\nsource = \"so-{tenant}\"\n\
             index = \"ix7\"\nfeeds = [\"audit\"]",
            &["authorization: splunk hec7", "st-audit", "so-acme", "ix7"],
        ),
    ];
    for (keys, wanted) in cases {
        let (web, asked) = web("200 OK");
        let sink =
            format!("[sinks.web]\ntype = \"http\"\n{}\n", keys.replace("{at}", &web.address.to_string()));
        let site = Site::new(&simulator.url, AUDIT, &sink);
        // whether the answer pleases the preset is no matter here
        let out = site.output(&["run", "--once"]);
        let asked = asked.lock().expect("no panics").clone();
        let all: Vec<String> = asked
            .iter()
            .map(|(line, headers, body)| format!("{line}\n{}\n{body}", headers.join("\n")))
            .collect();
        assert!(!all.is_empty(), "{keys}: {}", text(&out.stderr));
        for part in wanted {
            let seen = all.iter().any(|one| one.to_lowercase().contains(&part.to_lowercase()));
            assert!(seen, "{part} of\n{keys}\nin {}", all.join("\n\n"));
        }
    }
}

/// Everything that each connection brought.
fn connections() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = kept.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut all = String::new();
            if stream.read_to_string(&mut all).is_ok() && !all.is_empty() {
                keep.lock().expect("no panics").push(all);
            }
        }
    });
    (address, kept)
}

#[test]
fn the_keys_of_a_syslog_sink_are_seen_on_the_wire() {
    let simulator = few();
    let run = |keys: &str| {
        let (address, kept) = connections();
        let sink = format!(
            "[sinks.siem]\ntype = \"syslog\"\naddress = \"{address}\"\ntransport = \"tcp\"\nfeeds = [\"audit\"]\n{keys}\n"
        );
        let site = Site::new(&simulator.url, AUDIT, &sink);
        site.run_once();
        let all = kept.lock().expect("no panics").clone();
        assert!(!all.is_empty(), "nothing came");
        all
    };
    let usual = run("");
    // mail is 2, informational 6; octet counting, RFC 5424, MSGID and structured data
    let (count, message) = usual[0].split_once(' ').expect("a count before each message");
    assert!(count.parse::<usize>().is_ok() && message.starts_with("<22>1 "), "{message}");
    assert!(
        message.contains(" mimecollectd ") && message.contains(" audit [mimecast@32473 tenant=\"acme\""),
        "{message}"
    );
    assert!(message.contains("] {\"event_id\":"), "{message}");
    assert_eq!(usual.len(), 1, "one batch");

    let other = run(
        "protocol = \"rfc3164\"\nframing = \"newline\"\nfacility = \"local3\"\nformat = \"cef\"\noriginal = true\nconfirm_every = 6",
    );
    let lines: Vec<&str> = other.iter().flat_map(|one| one.lines()).collect();
    assert_eq!((lines.len(), other.len()), (20, 4), "{lines:?}");
    let records = simulator.truth("audit");
    for line in lines {
        // local3 is 19
        assert!(
            line.starts_with("<158>") && !line.starts_with("<158>1 ") && line.contains("CEF:0|"),
            "{line}"
        );
        let inner = |record: &String| record.split('"').find(|part| part.len() > 20).map(str::to_owned);
        assert!(records.iter().filter_map(inner).any(|part| line.contains(&part)), "the original in {line}");
    }
}

#[test]
fn the_keys_of_a_file_are_seen_in_the_file() {
    let simulator = few();
    let site = Site::new(&simulator.url, "", "");
    simulator.post("/_sim/publish?feed=audit&count=600&age=10m");
    let path = site.path("events");
    let keys = "mode = \"0600\"\nformat = \"raw\"\nfeeds = [\"audit\"]\nrotate_size = \"64KiB\"\nkeep = 2\n";
    site.write(&simulator.url, AUDIT, &(file_sink(&path) + keys));
    site.run_once();
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let lines = std::fs::read_to_string(&path).expect("text");
    let records = simulator.truth("audit");
    assert!(
        !lines.is_empty() && lines.lines().all(|line| records.iter().any(|record| record == line)),
        "{lines}"
    );
    let old = std::fs::read_dir(site.dir.path()).expect("a directory").map_while(Result::ok);
    let old = old.filter(|entry| entry.file_name().to_string_lossy().starts_with("events.")).count();
    assert!((1..=2).contains(&old), "{old} rotated files");
    assert!(lines.len() <= 66_000, "{}", lines.len());
}

#[test]
fn standard_output_carries_events_alone_and_the_log_is_json_where_it_is_told_to_be() {
    let simulator = few();
    let site = Site::new(&simulator.url, "", "");
    site.write(
        &simulator.url,
        &format!("{AUDIT}\n[log]\nformat = \"json\"\nlevel = \"debug\""),
        "[sinks.screen]\ntype = \"stdout\"\n",
    );
    let out = site.run_once();
    let mut arrived = Arrived::default();
    text(&out.stdout).lines().for_each(|line| arrived.add(line));
    assert_eq!((arrived.distinct(), arrived.repeats()), (40, 0));
    let log = text(&out.stderr);
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
        assert!(line["message"].is_string() && !line["event_id"].is_string(), "{line}");
    }
}

#[test]
fn a_tenant_goes_through_its_proxy_and_nowhere_else() {
    let (proxy, asked) = web("403 Forbidden");
    let site = Site::new("https://mimecast.invalid", "", "");
    let tenant = format!("feeds = [\"audit\"]\nproxy = \"http://user:pr0xy@{}\"", proxy.address);
    site.write("https://mimecast.invalid", &tenant, &file_sink(&site.path("events.ndjson")));
    let out = site.output(&["run", "--once"]);
    assert_eq!(out.status.code(), Some(69), "{}", text(&out.stderr));
    let asked = asked.lock().expect("no panics").clone();
    assert!(!asked.is_empty(), "{}", text(&out.stderr));
    for (line, headers, _) in &asked {
        assert_eq!(line, "CONNECT mimecast.invalid:443");
        let login = headers.iter().find(|header| header.starts_with("proxy-authorization: "));
        let login = login.unwrap_or_else(|| panic!("{headers:?}"));
        assert!(login.eq_ignore_ascii_case("proxy-authorization: Basic dXNlcjpwcjB4eQ=="), "{login}");
    }
    assert!(!text(&out.stderr).contains("pr0xy"), "{}", text(&out.stderr));
}

/// What the proxy counts as wrong passwords must not grow with feeds, polls or reloads.
#[test]
fn a_proxy_that_refuses_the_login_is_asked_once_by_each_tenant_and_again_when_told_to() {
    let (proxy, asked) = web("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"");
    let tenant = format!(
        "feeds = [\"audit\", \"ttp.*\", \"dlp\"]\npoll_interval = \"1m\"\nproxy = \"http://user:wrong@{}\"",
        proxy.address
    );
    let nobody = "http://127.0.0.1:9";
    let site = Site::new(nobody, "", "");
    site.write_signed(nobody, &tenant, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    let settled = || {
        let status: Value =
            serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()?;
        let feeds = status["tenants"][0]["feeds"].as_array()?.clone();
        let states: Vec<_> = feeds.iter().map(|feed| feed["state"].as_str().unwrap_or("")).collect();
        (states.len() == 5 && states.iter().all(|state| ["halted", "paused", "backing_off"].contains(state)))
            .then_some(())
    };
    eventually("all feeds to be held", settled);
    let times = || asked.lock().expect("no panics").len();
    assert_eq!(times(), 1, "{}", daemon.log());
    daemon.signal("HUP");
    assert!(site.output(&["resume", "acme"]).status.success());
    eventually("one more look", || (times() > 1).then_some(()));
    eventually("all feeds to be held", settled);
    assert_eq!(times(), 2, "{}", daemon.log());
}

#[test]
fn a_recovery_table_of_the_configuration_is_what_the_daemon_does() {
    let status = |daemon: &crate::rig::Daemon| -> Option<Value> {
        serde_json::from_str(&http("GET", &format!("{}/status", daemon.admin()), "").1).ok()
    };
    let simulator = Simulator::start(&["--events", "100", "--scenario", "no_quota,lockout=40m"]);
    let site = Site::new(&simulator.url, "", "");
    let sinks = file_sink(&site.path("events.ndjson"));
    let tenant = "feeds = [\"audit\"]\npoll_interval = \"300s\"";
    site.write(&simulator.url, &format!("{tenant}\n[recovery.\"401/0010\"]\npause = \"3h\""), &sinks);
    let daemon = site.spawn();
    let credential = eventually("the lockout", || {
        let credential = status(&daemon)?["tenants"][0]["credential"].clone();
        (credential["state"] == "locked_out").then_some(credential)
    });
    let until: jiff::Timestamp = credential["until"].as_str().expect("a time").parse().expect("a time");
    let wait = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((10_500..=11_000).contains(&wait), "in {wait} s: {credential}");
    drop(daemon);

    // a code that nobody knows, and what is to be done about it
    let unknown = "no_quota; on audit status=409 code=brand_new form=flat";
    for (action, state) in
        [("action = \"halt\"", "halted"), ("action = \"pause\"\npause = \"2h\"", "throttled")]
    {
        let simulator = Simulator::start(&["--events", "100", "--scenario", unknown]);
        let site = Site::new(&simulator.url, "", "");
        let sinks = file_sink(&site.path("events.ndjson"));
        site.write(&simulator.url, &format!("{tenant}\n[recovery.\"409/brand_new\"]\n{action}"), &sinks);
        let daemon = site.spawn();
        let feed = eventually("what is to be done", || {
            let feed = status(&daemon)?["tenants"][0]["feeds"][0].clone();
            (feed["rule"].as_str()?.starts_with('C')).then_some(feed)
        });
        assert_eq!(feed["state"], state, "{feed}");
    }
}

#[test]
fn a_daemon_leaves_no_core_dump() {
    let site = Site::new(&format!("http://{}", Receiver::nobody()), "", "");
    site.write(&format!("http://{}", Receiver::nobody()), AUDIT, &file_sink(&site.path("events.ndjson")));
    let daemon = site.spawn();
    daemon.admin();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit on cores");
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words.get(4..6), Some(&["0", "0"][..]), "soft and hard: {core}");
}
