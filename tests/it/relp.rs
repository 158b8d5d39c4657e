//! RELP from outside: the real rsyslog, in clear and over TLS with a client certificate; and a receiver of our own
//! that refuses one message and breaks off in the middle.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::counterparts::{Server, certificates, delivers_to, free_port, hostile, listens, start};
use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Simulator, Site, assert_complete, eventually};

/// rsyslog with these modules and inputs, writing one message a line.
fn rsyslog(site: &Site, queue: &str, input: &str, out: &Path) -> Server {
    let text = format!(
        "global(maxMessageSize=\"2m\" parser.escapeControlCharactersOnReceive=\"off\" workDirectory=\"{dir}\")\n{queue}\n{input}\n\
         template(name=\"m\" type=\"string\" string=\"%msg%\\n\")\naction(type=\"omfile\" file=\"{out}\" template=\"m\")\n",
        dir = site.dir.path().display(),
        out = out.display()
    );
    let conf = site.path("rsyslog.conf");
    std::fs::write(&conf, text).expect("written");
    let pid = site.path("rsyslog.pid");
    let _ = std::fs::remove_file(&pid); // of one that was killed
    start(
        Path::new("/usr/sbin/rsyslogd"),
        &["-n", "-f", conf.to_str().expect("utf-8"), "-i", pid.to_str().expect("utf-8")],
        None,
    )
}

/// The two sides of RELP over TLS with client certificates: rsyslog's parameters and the sink's key.
fn relp_tls((ca, cert, key): &(PathBuf, PathBuf, PathBuf)) -> (String, String) {
    let input = format!(
        "tls=\"on\" tls.cacert=\"{ca}\" tls.mycert=\"{cert}\" tls.myprivkey=\"{key}\" tls.authmode=\"certvalid\"",
        ca = ca.display(),
        cert = cert.display(),
        key = key.display()
    );
    let sink = format!(
        "tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?}, server_name = \"localhost\" }}\n"
    );
    (input, sink)
}

fn relp_input(port: u16, tls: &str) -> String {
    let library = if tls.is_empty() { "" } else { " tls.tlslib=\"openssl\"" };
    format!(
        "module(load=\"imrelp\"{library})\ninput(type=\"imrelp\" port=\"{port}\" address=\"127.0.0.1\" maxdatasize=\"2m\" {tls})\n"
    )
}

fn relp_sink(port: u16, tls: &str) -> String {
    format!("[sinks.relp]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"relp\"\n{tls}")
}

#[test]
fn rsyslog_over_relp_takes_every_event_as_one_message() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (port, out) = (free_port(), site.path("rsyslog.out"));
    let _server = rsyslog(&site, "", &relp_input(port, ""), &out);
    listens(port);
    delivers_to(&relp_sink(port, ""), &out, &site, &simulator);
}

#[test]
fn rsyslog_over_relp_and_tls_with_client_certificates() {
    let simulator = hostile();
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let (input, sink) = relp_tls(&certificates(site.dir.path()));
    let (port, out) = (free_port(), site.path("rsyslog.out"));
    let _server = rsyslog(&site, "", &relp_input(port, &input), &out);
    listens(port);
    delivers_to(&relp_sink(port, &sink), &out, &site, &simulator);
}

/// A RELP receiver of our own. It refuses what holds the poison, and resets the connection after every so many
/// messages.
struct RelpReceiver {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    refusals: Arc<Mutex<u32>>,
}

impl RelpReceiver {
    fn start(poison: String, messages_a_connection: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let receiver = RelpReceiver { address, arrived: Arc::default(), refusals: Arc::default() };
        let (arrived, refusals) = (receiver.arrived.clone(), receiver.refusals.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &poison, messages_a_connection, &arrived, &refusals);
            }
        });
        receiver
    }
}

fn serve(stream: TcpStream, poison: &str, limit: u32, arrived: &Mutex<Arrived>, refusals: &Mutex<u32>) {
    let mut reader = BufReader::new(stream);
    let mut taken = 0;
    while let Some((txnr, command, data)) = frame(&mut reader) {
        let answer = match command.as_str() {
            "open" => "200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog",
            "close" => "",
            _ if !poison.is_empty() && data.contains(poison) => {
                *refusals.lock().expect("no panics") += 1;
                "500 will not have it"
            }
            _ => {
                let at = data.find("] {").expect("an envelope behind structured data");
                arrived.lock().expect("no panics").add(&data[at + 2..]);
                taken += 1;
                "200 OK"
            }
        };
        let space = if answer.is_empty() { "" } else { " " };
        let text = format!("{txnr} rsp {}{space}{answer}\n", answer.len());
        if reader.get_mut().write_all(text.as_bytes()).is_err() || taken >= limit {
            return;
        }
    }
}

fn frame(reader: &mut impl BufRead) -> Option<(String, String, String)> {
    let mut word = |end: u8| {
        let mut bytes = Vec::new();
        reader.read_until(end, &mut bytes).ok()?;
        bytes.pop()?;
        String::from_utf8(bytes).ok()
    };
    let (txnr, command) = (word(b' ')?, word(b' ')?);
    if command == "close" {
        word(b'\n')?;
        return Some((txnr, command, String::new()));
    }
    let mut data = vec![0; word(b' ')?.parse::<usize>().ok()? + 1];
    reader.read_exact(&mut data).ok()?;
    assert_eq!(data.pop(), Some(b'\n'), "a frame ends with a line feed");
    Some((txnr, command, String::from_utf8(data).ok()?))
}

#[test]
fn a_message_refused_three_times_is_a_dead_letter_and_the_rest_arrives_once() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "63", "--scenario", "no_quota"]);
    let truth = simulator.truth("siem.av");
    let receiver = RelpReceiver::start(truth.first().expect("av events").clone(), u32::MAX);
    let site = Site::new(&simulator.url, ALL_FEEDS, &relp_sink(receiver.address.port(), ""));
    site.run_once();
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_eq!(arrived.feed("siem.av"), truth.len() as u64 - 1);
    assert_eq!(arrived.repeats(), 0, "what was answered is not sent again");
    assert_eq!(*receiver.refusals.lock().expect("no panics"), 3);
    assert_eq!(site.status()["sinks"][0]["dead_lettered"], 1);
    site.reconcile();
}

#[test]
fn a_receiver_that_breaks_off_again_and_again_gets_everything_and_little_twice() {
    const A_CONNECTION: u32 = 700;
    let simulator = Simulator::start(&["--events", "6000", "--seed", "64", "--scenario", "no_quota"]);
    let receiver = RelpReceiver::start(String::new(), A_CONNECTION);
    let site = Site::new(&simulator.url, ALL_FEEDS, &relp_sink(receiver.address.port(), ""));
    let daemon = site.spawn();
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    eventually("everything to arrive", || {
        (receiver.arrived.lock().expect("no panics").distinct() >= published).then_some(())
    });
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_complete(&simulator, &arrived, FEEDS);
    // an answer can be overtaken by the reset that follows it; more than a window is never open
    let bound = 128 * (published / u64::from(A_CONNECTION) + 1);
    assert!(arrived.repeats() <= bound, "{} repeats, allowed {bound}", arrived.repeats());
    assert!(daemon.stop().0.success());
    site.reconcile();
}
