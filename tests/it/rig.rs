//! The rig: the real binaries on loopback, receivers of our own, and the arithmetic that compares what the
//! simulator published with what arrived.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Longest a test waits for anything: a loaded two-core machine, a debug build.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running simulator; killed when dropped.
pub struct Simulator {
    child: Child,
    pub url: String,
}

impl Simulator {
    pub fn start(args: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", args)
    }
    pub fn start_on(address: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mimecast-simulator"))
            .args(["--listen", address, "--newest", &minutes_ago(5)])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
            })
            .expect("the simulator says where it listens");
        std::thread::spawn(move || lines.for_each(drop)); // keeps the pipe from filling
        Simulator { child, url: url.trim_end_matches('/').to_owned() }
    }
    pub fn ledger(&self) -> Value {
        serde_json::from_str(&http("GET", &format!("{}/_sim/ledger", self.url), "").1)
            .expect("the ledger is JSON")
    }
    /// One of the counters the simulator keeps for the tenant under test.
    pub fn counted(&self, name: &str) -> u64 {
        let ledger = self.ledger();
        ledger["tenants"]["demo"][name].as_u64().unwrap_or_else(|| panic!("{name} in the ledger: {ledger}"))
    }
    pub fn scenario(&self, text: &str) {
        let (status, body) = http("POST", &format!("{}/_sim/scenario", self.url), text);
        assert_eq!(status, 200, "scenario {text:?}: {body}");
    }
    pub fn post(&self, path: &str) {
        let (status, body) = http("POST", &format!("{}{path}", self.url), "");
        assert_eq!(status, 200, "{path}: {body}");
    }
    /// Every published record of a feed, as the simulator knows it.
    pub fn truth(&self, feed: &str) -> Vec<String> {
        let (status, body) = http("GET", &format!("{}/_sim/events?feed={feed}", self.url), "");
        assert_eq!(status, 200, "{body}");
        body.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A time before now, RFC 3339: windows leave out the newest minute, in which rows may still appear.
fn minutes_ago(minutes: i64) -> String {
    let past = jiff::Timestamp::now().as_second() - minutes * 60;
    jiff::Timestamp::from_second(past).expect("a time of this century").to_string()
}

/// One HTTP exchange over a fresh connection: status (0: nobody listens) and body.
pub fn http(method: &str, url: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (host, path) = rest.split_once('/').map_or((rest, String::from("/")), |(h, p)| (h, format!("/{p}")));
    let Ok(mut stream) = TcpStream::connect(host) else { return (0, format!("nobody listens on {host}")) };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the request goes out");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer comes in");
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("an HTTP answer has a head");
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
    let mut body = answer[split + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = dechunk(&body);
    }
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap_or("0").trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    out
}

/// Looks again every 20 ms until `check` gives something.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let (lock, signal) = (Mutex::new(()), Condvar::new());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        let guard = lock.lock().expect("nobody else holds it");
        drop(signal.wait_timeout(guard, Duration::from_millis(20)));
    }
}

/// A directory with a configuration and a state directory; the daemon under test runs in it.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

impl Site {
    /// `sinks` and `tenant` are TOML; the tenant table is `[tenants.acme]` on the simulator at `url`.
    pub fn new(url: &str, tenant: &str, sinks: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let site = Site { config: dir.path().join("mimecollectd.toml"), dir };
        site.write(url, tenant, sinks);
        site
    }
    pub fn write(&self, url: &str, tenant: &str, sinks: &str) {
        let secret = self.path("secret");
        std::fs::write(&secret, "demo").expect("the secret file is written");
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("chmod");
        let text = format!(
            "state_dir = {state:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n[tenants.acme]\napi = \"2.0\"\nbase_url = \"{url}\"\n\
             client_id = \"demo\"\nclient_secret = {{ file = {secret:?} }}\n{tenant}\n{sinks}\n",
            state = self.path("state"),
        );
        std::fs::write(&self.config, text).expect("the configuration is written");
    }
    /// The same tenant on API 1.0, with the simulator's keys.
    pub fn write_signed(&self, url: &str, tenant: &str, sinks: &str) {
        self.write_key("ZGVtbw==");
        let text = format!(
            "state_dir = {state:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n[tenants.acme]\napi = \"1.0\"\nbase_url = \"{url}\"\n\
             app_id = \"demo\"\napp_key = \"demo\"\naccess_key = \"demo\"\nsecret_key = {{ file = {key:?} }}\n{tenant}\n{sinks}\n",
            state = self.path("state"),
            key = self.path("secret-key"),
        );
        std::fs::write(&self.config, text).expect("the configuration is written");
    }
    pub fn write_key(&self, text: &str) {
        let key = self.path("secret-key");
        std::fs::write(&key, text).expect("the secret key is written");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mimecollectd"));
        command.args(args).arg("--config").arg(&self.config);
        command
    }
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the daemon's program runs")
    }
    /// `run --once` to its end; panics with its log when it fails.
    pub fn run_once(&self) -> Output {
        let out = self.output(&["run", "--once"]);
        assert!(out.status.success(), "run --once: {}\n{}", out.status, text(&out.stderr));
        out
    }
    pub fn spawn(&self) -> Daemon {
        let number = std::fs::read_dir(self.dir.path()).map_or(0, |files| files.count());
        Daemon::start(self.command(&["run"]), self.path(&format!("log.{number}")))
    }
    /// Changes the store of a daemon that does not run, as no daemon would.
    pub fn tamper(&self, sql: &str) {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()";
        let mut python = Command::new("python3");
        let out = python.args(["-c", script]).arg(self.path("state/store.db")).arg(sql).output();
        let out = out.expect("python3; scripts/test installs it");
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
    pub fn status(&self) -> Value {
        let out = self.output(&["status", "--json"]);
        assert!(out.status.success(), "status: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("status --json prints JSON")
    }
    pub fn reconcile(&self) {
        let out = self.output(&["reconcile"]);
        assert!(
            out.status.success(),
            "the accounts do not balance:\n{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running daemon; killed with SIGKILL when dropped.
pub struct Daemon {
    pub child: Child,
    log: PathBuf,
}

impl Daemon {
    pub fn start(command: Command, log: PathBuf) -> Self {
        Self::start_to(Stdio::null(), command, log)
    }
    pub fn start_to(stdout: Stdio, mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("the log file opens");
        let child = command.stderr(file).stdout(stdout).spawn().expect("the daemon starts");
        Daemon { child, log }
    }
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
    /// Where the admin endpoint of a daemon started on port 0 listens.
    pub fn admin(&self) -> String {
        eventually("the admin address in the log", || {
            let log = self.log();
            let said = "status page ";
            let at = log.rfind(&format!("{said}http://127.0.0.1:"))? + said.len();
            let url: String =
                log[at..].chars().take_while(|c| !c.is_whitespace() && *c != '"' && *c != '\u{1b}').collect();
            Some(url.trim_end_matches('/').to_owned())
        })
    }
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }
    /// SIGTERM, then how it ended and how long that took.
    pub fn stop(mut self) -> (std::process::ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("TERM");
        let status = self.child.wait().expect("the daemon ends");
        (status, start.elapsed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What arrived at a sink: copies per event id, and the records' own bytes.
#[derive(Default, Clone)]
pub struct Arrived {
    /// Event id → (copies, feed, digest of the record's bytes).
    pub events: HashMap<String, (u32, String, [u8; 16])>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event_id: String,
    feed: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Arrived {
    pub fn add(&mut self, line: &str) {
        let envelope: Envelope =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("not an envelope ({e}): {line}"));
        let digest = digest(envelope.event.get().as_bytes());
        let entry = self.events.entry(envelope.event_id).or_insert((0, envelope.feed, digest));
        assert_eq!(entry.2, digest, "one id, two contents");
        entry.0 += 1;
    }
    /// The complete lines of a file sink; one that is being written has no line end yet.
    pub fn from_file(path: &Path) -> Self {
        let mut arrived = Arrived::default();
        if let Ok(text) = std::fs::read_to_string(path) {
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).for_each(|line| arrived.add(line));
        }
        arrived
    }
    /// The same where the daemon was killed in the middle of lines: such a line ends where the kill came, and
    /// its event stands whole further on. Says how many there are.
    pub fn from_file_after_kills(path: &Path) -> (Self, u64) {
        let (mut arrived, mut torn) = (Arrived::default(), 0);
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            // what was torn has no line feed: the next event stands behind it
            let whole = line.rfind("{\"event_id\":").map_or(line, |at| &line[at..]);
            let torn_before = whole.len() < line.trim_start().len();
            match serde_json::from_str::<Envelope>(whole) {
                Ok(_) => {
                    arrived.add(whole);
                    torn += u64::from(torn_before);
                }
                Err(_) => torn += 1,
            }
        }
        (arrived, torn)
    }
    pub fn distinct(&self) -> u64 {
        self.events.len() as u64
    }
    /// Copies beyond the first.
    pub fn repeats(&self) -> u64 {
        self.events.values().map(|(copies, ..)| u64::from(copies - 1)).sum()
    }
    pub fn feed(&self, feed: &str) -> u64 {
        self.events.values().filter(|(_, name, _)| name == feed).count() as u64
    }
    /// Sum modulo 2^128 of the digests of one feed's events: equal multisets have equal sums.
    pub fn sum(&self, feed: &str) -> u128 {
        let of_feed = self.events.values().filter(|(_, name, _)| name == feed);
        of_feed.fold(0, |sum, (_, _, digest)| sum.wrapping_add(u128::from_be_bytes(*digest)))
    }
}

pub fn digest(bytes: &[u8]) -> [u8; 16] {
    Sha256::digest(bytes).first_chunk::<16>().copied().expect("a digest has 32 bytes")
}

/// Fails unless every event the simulator published for `feeds` arrived, byte for byte.
pub fn assert_complete(simulator: &Simulator, arrived: &Arrived, feeds: &[&str]) {
    for feed in feeds {
        let truth = simulator.truth(feed);
        let sum = truth
            .iter()
            .fold(0_u128, |sum, line| sum.wrapping_add(u128::from_be_bytes(digest(line.as_bytes()))));
        assert_eq!(arrived.feed(feed), truth.len() as u64, "{feed}: arrived, published");
        assert_eq!(arrived.sum(feed), sum, "{feed}: the bytes differ from what was published");
    }
}

/// A TCP syslog receiver with octet counting that keeps everything it got.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<(Mutex<Arrived>, Condvar)>,
    listener: TcpListener,
}

impl Receiver {
    pub fn start() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
    pub fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new((Mutex::new(Arrived::default()), Condvar::new()));
        let (accepting, shared) = (listener.try_clone().expect("clone"), state.clone());
        std::thread::spawn(move || {
            for stream in accepting.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || receive(stream, &shared));
            }
        });
        Receiver { address, state, listener }
    }
    pub fn arrived(&self) -> Arrived {
        self.state.0.lock().expect("receiver threads do not panic").clone()
    }
    pub fn wait_for(&self, distinct: u64) {
        let (lock, signal) = &*self.state;
        let guard = lock.lock().expect("receiver threads do not panic");
        let (guard, late) = signal
            .wait_timeout_while(guard, PATIENCE, |arrived| arrived.distinct() < distinct)
            .expect("receiver threads do not panic");
        assert!(!late.timed_out(), "{} of {distinct} events arrived", guard.distinct());
    }
    /// A free port nobody listens on: a sink that is down.
    pub fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a loopback port")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.listener.set_nonblocking(true);
        let _ = TcpStream::connect(self.address); // wakes the accepting thread, which then sees WouldBlock
    }
}

fn receive(stream: TcpStream, state: &(Mutex<Arrived>, Condvar)) {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    while let Some(message) = read_frame(&mut reader) {
        let at = message.find("] {").expect("an envelope behind structured data");
        state.0.lock().expect("no panics").add(&message[at + 2..]);
        state.1.notify_all();
    }
}

/// One octet-counted message; `None` at the end of the stream or when it is cut.
fn read_frame(reader: &mut impl BufRead) -> Option<String> {
    let mut count = Vec::new();
    reader.read_until(b' ', &mut count).ok()?;
    let length = std::str::from_utf8(&count).ok()?.trim_end().parse::<usize>().ok()?;
    let mut message = vec![0; length];
    reader.read_exact(&mut message).ok()?;
    String::from_utf8(message).ok()
}
