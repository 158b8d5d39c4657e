//! Real counterparts: rsyslog and syslog-ng take hostile subjects as one message each; promtool finds nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Receiver, Simulator, Site, assert_complete, eventually, http, text};

/// A server of somebody else's, killed when dropped.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn start(program: &Path, args: &[&str], library: Option<String>) -> Server {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(library) = library {
        command.env("LD_LIBRARY_PATH", library);
    }
    Server(command.spawn().unwrap_or_else(|e| panic!("{}: {e}; scripts/test installs it", program.display())))
}

pub fn listens(port: u16) {
    eventually(&format!("port {port}"), || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
}

/// A certificate authority and a server certificate for `localhost`.
pub fn certificates(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("params");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // a name of its own: OpenSSL takes a certificate whose issuer has its own name for self-signed
    ca.distinguished_name.push(DnType::CommonName, "authority of the test");
    let ca_cert = ca.self_signed(&ca_key).expect("signed");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key");
    let cert = CertificateParams::new(vec!["localhost".into()])
        .expect("params")
        .signed_by(&key, &issuer)
        .expect("signed");
    let paths = (dir.join("ca.pem"), dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&paths.0, ca_cert.pem()).expect("written");
    std::fs::write(&paths.1, cert.pem()).expect("written");
    std::fs::write(&paths.2, key.serialize_pem()).expect("written");
    paths
}

pub fn free_port() -> u16 {
    Receiver::nobody().port()
}

/// Collects everything into `sink` and compares what the real server wrote, one message a line.
pub fn delivers_to(sink: &str, out: &Path, site: &Site, simulator: &Simulator) {
    site.write(&simulator.url, ALL_FEEDS, sink);
    site.run_once();
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    let lines = || std::fs::read_to_string(out).unwrap_or_default();
    eventually("the server to write everything", || {
        (lines().lines().count() as u64 >= published).then_some(())
    });
    let written = lines();
    let mut arrived = Arrived::default();
    written.split('\n').filter(|line| !line.is_empty()).for_each(|line| arrived.add(line.trim_start()));
    assert_complete(simulator, &arrived, FEEDS);
    assert_eq!(
        written.split('\n').filter(|line| !line.is_empty()).count() as u64,
        published,
        "one message each"
    );
}

pub fn hostile() -> Simulator {
    Simulator::start(&["--events", "3000", "--seed", "51", "--scenario", "no_quota"])
}

/// rsyslog with imtcp; `globals` are further parameters of its `global()`. The server, its port, the file it writes.
fn rsyslog(site: &Site, globals: &str) -> (Server, u16, PathBuf) {
    let (port, out) = (free_port(), site.path("rsyslog.out"));
    let conf = site.path("rsyslog.conf");
    let text = format!(
        "global(maxMessageSize=\"2m\" {globals} workDirectory=\"{dir}\")\n\
         module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"m\" type=\"string\" string=\"%msg%\\n\")\naction(type=\"omfile\" file=\"{out}\" template=\"m\")\n",
        dir = site.dir.path().display(),
        out = out.display()
    );
    std::fs::write(&conf, text).expect("written");
    let pid = site.path("rsyslog.pid");
    let server = start(
        Path::new("/usr/sbin/rsyslogd"),
        &["-n", "-f", conf.to_str().expect("utf-8"), "-i", pid.to_str().expect("utf-8")],
        None,
    );
    listens(port);
    (server, port, out)
}

/// rsyslog's two TLS drivers, each wanting a certificate of ours.
fn rsyslog_tls(driver: &str) {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (ca, cert, key) = certificates(site.dir.path());
    let (port, out) = (free_port(), site.path("rsyslog.out"));
    let text = format!(
        "global(maxMessageSize=\"2m\" parser.escapeControlCharactersOnReceive=\"off\" workDirectory=\"{dir}\" \
         defaultNetstreamDriverCAFile=\"{dir}/ca.pem\" defaultNetstreamDriverCertFile=\"{dir}/cert.pem\" \
         defaultNetstreamDriverKeyFile=\"{dir}/key.pem\")\n\
         module(load=\"imtcp\" streamDriver.name=\"{driver}\" streamDriver.mode=\"1\" streamDriver.authMode=\"x509/certvalid\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"m\" type=\"string\" string=\"%msg%\\n\")\naction(type=\"omfile\" file=\"{out}\" template=\"m\")\n",
        dir = site.dir.path().display(),
        out = out.display()
    );
    let (conf, pid) = (site.path("rsyslog.conf"), site.path("rsyslog.pid"));
    std::fs::write(&conf, text).expect("written");
    let args = ["-n", "-f", conf.to_str().expect("utf-8"), "-i", pid.to_str().expect("utf-8")];
    let _server = start(Path::new("/usr/sbin/rsyslogd"), &args, None);
    listens(port);
    let sink = format!(
        "[sinks.rsyslog]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"tls\"\n\
         tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?}, server_name = \"localhost\" }}\n"
    );
    delivers_to(&sink, &out, &site, &simulator);
}

#[test]
fn rsyslog_over_tls_by_openssl() {
    rsyslog_tls("ossl");
}

#[test]
fn rsyslog_over_tls_by_gnutls() {
    rsyslog_tls("gtls");
}

/// syslog-ng with TLS, which wants a certificate of ours. The server, the sink's address and trust as TOML, the file it writes.
fn syslog_ng_tls(site: &Site) -> (Server, String, PathBuf) {
    let (ca, cert, key) = certificates(site.dir.path());
    let (port, out) = (free_port(), site.path("syslog-ng.out"));
    let conf = site.path("syslog-ng.conf");
    let text = format!(
        "@version: 3.38\noptions {{ log-msg-size(2097152); stats-freq(0); }};\n\
         source s {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\") flags(no-multi-line, dont-store-legacy-msghdr) max-connections(100)\n\
           tls(key-file(\"{key}\") cert-file(\"{cert}\") ca-file(\"{ca}\") peer-verify(required-trusted))); }};\n\
         destination d {{ file(\"{out}\" template(\"${{MSG}}\\n\")); }};\nlog {{ source(s); destination(d); flags(flow-control); }};\n",
        ca = ca.display(),
        key = key.display(),
        cert = cert.display(),
        out = out.display()
    );
    std::fs::write(&conf, text).expect("written");
    let (program, library, modules) = syslog_ng();
    let at = |name: &str| site.path(name).display().to_string();
    let (conf, persist, control, pid) =
        (conf.display().to_string(), at("sng.persist"), at("sng.ctl"), at("sng.pid"));
    let modules = format!("--module-path={}", modules.display());
    let args = ["-F", "--no-caps", "-f", &conf, "-R", &persist, "-c", &control, "-p", &pid, &modules];
    let server = start(&program, &args, Some(library));
    listens(port);
    let reach = format!(
        "address = \"127.0.0.1:{port}\"\ntransport = \"tls\"\n\
         tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?}, server_name = \"localhost\" }}\n"
    );
    (server, reach, out)
}

#[test]
fn rsyslog_over_tcp_takes_every_event_as_one_message() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (_server, port, out) = rsyslog(&site, "parser.escapeControlCharactersOnReceive=\"off\"");
    let sink =
        format!("[sinks.rsyslog]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\n");
    delivers_to(&sink, &out, &site, &simulator);
}

#[test]
fn syslog_ng_over_tls_takes_every_event_as_one_message() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (_server, reach, out) = syslog_ng_tls(&site);
    delivers_to(&format!("[sinks.sng]\ntype = \"syslog\"\n{reach}"), &out, &site, &simulator);
}

/// CEF through rsyslog as it is shipped, which rewrites control characters, and LEEF through syslog-ng: what they
/// write is what a file sink of the same format has, line for line.
#[test]
fn cef_and_leef_arrive_intact() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (_rsyslog, port, cef) = rsyslog(&site, "");
    let (_syslog_ng, reach, leef) = syslog_ng_tls(&site);
    let (cef_file, leef_file) = (site.path("cef.txt"), site.path("leef.txt"));
    let sinks = format!(
        "[sinks.cef]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nformat = \"cef\"\n\
         [sinks.leef]\ntype = \"syslog\"\nformat = \"leef\"\n{reach}\
         [sinks.cef-file]\ntype = \"file\"\npath = {cef_file:?}\nformat = \"cef\"\n\
         [sinks.leef-file]\ntype = \"file\"\npath = {leef_file:?}\nformat = \"leef\"\n"
    );
    site.write(&simulator.url, ALL_FEEDS, &sinks);
    site.run_once();
    let sorted = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().map(|line| line.trim_start().to_owned()).collect();
        lines.sort();
        lines
    };
    for (written, expected, begin) in
        [(cef, cef_file, "CEF:0|Mimecast|"), (leef, leef_file, "LEEF:2.0|Mimecast|")]
    {
        let expected = sorted(&expected);
        assert!(expected.len() >= 2000, "{} events", expected.len());
        assert!(expected.iter().all(|line| line.starts_with(begin)));
        assert!(expected.iter().any(|line| line.contains("<U+")), "nothing hostile was in it");
        eventually("the server to write everything", || {
            (sorted(&written).len() >= expected.len()).then_some(())
        });
        assert_eq!(sorted(&written), expected);
    }
}

/// syslog-ng conflicts with rsyslog in apt, so `scripts/test` unpacks it beside the system and names the folder:
/// program, library path, module folder.
fn syslog_ng() -> (PathBuf, String, PathBuf) {
    let root =
        std::env::var("SYSLOG_NG_ROOT").expect("SYSLOG_NG_ROOT: run scripts/test, which unpacks syslog-ng");
    let library =
        format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu:{root}/usr/lib/syslog-ng");
    let home = PathBuf::from(&root).join("usr/lib/syslog-ng");
    let folders = std::fs::read_dir(&home).expect("syslog-ng is unpacked").filter_map(Result::ok);
    let modules = folders.map(|entry| entry.path()).find(|path| path.is_dir()).expect("a folder of modules");
    (PathBuf::from(root).join("usr/sbin/syslog-ng"), library, modules)
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let file = site.path("events.ndjson");
    site.write(&simulator.url, ALL_FEEDS, &crate::main_job::file_sink(&file));
    let daemon = site.spawn();
    eventually("some delivery", || (Arrived::from_file(&file).distinct() > 500).then_some(()));
    let (status, metrics) = http("GET", &format!("{}/metrics", daemon.admin()), "");
    assert_eq!(status, 200);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/test");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), metrics.as_bytes()).expect("fed");
    let out = promtool.wait_with_output().expect("promtool ends");
    let words = text(&out.stdout) + &text(&out.stderr);
    assert!(out.status.success() && words.trim().is_empty(), "{words}");
    for name in
        ["events_collected_total", "feed_state", "sink_up", "store_bytes", "api_requests_total", "build_info"]
    {
        assert!(metrics.contains(&format!("mimecollectd_{name}")), "{name} is missing");
    }
}
