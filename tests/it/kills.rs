//! The receiver killed at random moments: rsyslog behind each transport, with the queue that it acknowledges from. What it
//! had acknowledged and lost is the receiver's loss; a proxy in between keeps the answers, so that one can tell.
//!
//! `KILLS=300` sets the number of kills for each transport; `docs/performance.md` has the figures.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::counterparts::{Server, certificates, free_port, listens, start};
use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Daemon, Simulator, Site, eventually};

/// Without `KILLS`: a few seconds for each transport.
const KILLS: u32 = 12;
/// Published by each of ten feeds for each kill, so that there is always something under way.
const EVENTS_A_KILL: u32 = 20;
/// The same for a receiver that syncs a file for each event.
const EVENTS_A_KILL_SYNCED: u32 = 8;

/// A long run says how far it is after so many kills.
const PROGRESS: u32 = 50;

/// A queue that writes nothing for so long is empty.
const SILENCE: Duration = Duration::from_secs(2);

fn kills() -> u32 {
    std::env::var("KILLS").map_or(KILLS, |text| text.parse().expect("KILLS is a number"))
}

/// A message is written out before it is acknowledged.
const DIRECT: &str = "main_queue(queue.type=\"direct\")";
/// A message is written into a file on disk, synced, before it is acknowledged.
const SYNCED: &str = "main_queue(queue.type=\"disk\" queue.filename=\"mainq\" queue.syncQueueFiles=\"on\" \
                      queue.checkpointInterval=\"1\" queue.saveOnShutdown=\"on\")";

/// One transport: how rsyslog listens and how the sink reaches it.
struct Way {
    name: &'static str,
    queue: &'static str,
    input: String,
    sink: String,
    /// rsyslog's own port, and where the sink goes: a proxy, or rsyslog itself.
    port: u16,
    dir: PathBuf,
}

impl Way {
    fn rsyslog(&self) -> Server {
        let text = format!(
            "global(maxMessageSize=\"2m\" parser.escapeControlCharactersOnReceive=\"off\" workDirectory=\"{dir}\" \
             defaultNetstreamDriverCAFile=\"{dir}/ca.pem\" defaultNetstreamDriverCertFile=\"{dir}/cert.pem\" \
             defaultNetstreamDriverKeyFile=\"{dir}/key.pem\")\n{queue}\n{input}\n\
             template(name=\"m\" type=\"string\" string=\"%msg%\\n\")\naction(type=\"omfile\" file=\"{dir}/out\" template=\"m\")\n",
            dir = self.dir.display(),
            queue = self.queue,
            input = self.input,
        );
        let (conf, pid) = (self.dir.join("rsyslog.conf"), self.dir.join("rsyslog.pid"));
        std::fs::write(&conf, text).expect("written");
        let _ = std::fs::remove_file(&pid); // of the one that was killed
        let (conf, pid) = (conf.display().to_string(), pid.display().to_string());
        let server = start(Path::new("/usr/sbin/rsyslogd"), &["-n", "-f", &conf, "-i", &pid], None);
        listens(self.port);
        server
    }
}

/// What is told of one transport.
struct Told {
    published: HashSet<[u8; 16]>,
    lost: Vec<[u8; 16]>,
    repeats: u64,
}

/// Kills the receiver again and again while events come in, lets it take the rest, and compares.
fn survive(way: &Way, seed: u64) -> Told {
    let a_kill = if way.queue == SYNCED { EVENTS_A_KILL_SYNCED } else { EVENTS_A_KILL };
    let simulator =
        Simulator::start(&["--events", "500", "--seed", &seed.to_string(), "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, &way.sink);
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut server = way.rsyslog();
    let daemon = site.spawn();
    let out = way.dir.join("out");
    let mut seen = 0;
    for n in 1..=kills() {
        simulator.post(&format!("/_sim/publish?feed=siem.*&count={a_kill}&age=1m"));
        // something is under way: then a moment later it is over
        pressed(&daemon, "events to arrive", || (size(&out) > seen).then_some(()));
        wait(Duration::from_millis(dice.u64(0..=60)));
        drop(server); // SIGKILL
        server = way.rsyslog();
        seen = size(&out);
        daemon.signal("HUP"); // ends the sink's back-off
        if n.is_multiple_of(PROGRESS) {
            println!("{}: {n} kills", way.name);
        }
    }
    let published: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
    // a daemon that fell behind the kills has as long as it gets on
    let delivered = || site.status()["sinks"][0]["delivered"].as_u64().unwrap_or(0);
    let mut now = delivered();
    while now < published {
        now = pressed(&daemon, "the daemon to deliver more", || Some(delivered()).filter(|more| *more > now));
    }
    assert!(daemon.stop().0.success());
    site.reconcile();
    let published: HashSet<_> = FEEDS
        .iter()
        .flat_map(|feed| simulator.truth(feed))
        .map(|line| crate::rig::digest(line.as_bytes()))
        .collect();
    let arrived = || Arrived::from_file_after_kills(&out).0;
    let mut last = size(&out);
    let all = eventually("the receiver to empty its queue", || {
        let arrived = arrived();
        let digests: HashSet<_> = arrived.events.values().map(|(.., digest)| *digest).collect();
        if published.is_subset(&digests) {
            return Some((arrived, digests));
        }
        // nothing more comes from a queue that lost something
        wait(SILENCE);
        let now = size(&out);
        (std::mem::replace(&mut last, now) == now).then_some((arrived, digests))
    });
    let (arrived, digests) = all;
    let lost: Vec<_> = published.difference(&digests).copied().collect();
    let told = Told { lost, repeats: arrived.repeats(), published };
    println!(
        "{}: {} kills, {} events, {} lost, {} repeated",
        way.name,
        kills(),
        told.published.len(),
        told.lost.len(),
        told.repeats
    );
    told
}

/// As [`eventually`], and now and then it ends the sink's back-off, which may have begun after it was last ended.
fn pressed<T>(daemon: &Daemon, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    const LOOKS: u32 = 50;
    let mut looks = 0_u32;
    eventually(what, || {
        looks += 1;
        if looks.is_multiple_of(LOOKS) {
            daemon.signal("HUP");
        }
        check()
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// Lets time pass; nothing is expected to have happened by then.
fn wait(time: Duration) {
    let (_silent, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

fn way(name: &'static str, dir: &Path, queue: &'static str, transport: &str) -> Way {
    let (ca, cert, key) = certificates(dir);
    let port = free_port();
    let tls = format!(
        "tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?}, server_name = \"localhost\" }}\n"
    );
    let relp = |tls: &str| {
        format!("input(type=\"imrelp\" port=\"{port}\" address=\"127.0.0.1\" maxdatasize=\"2m\" {tls})")
    };
    let (input, more) = match transport {
        "relp" => (format!("module(load=\"imrelp\")\n{}", relp("")), String::new()),
        "relp+tls" => {
            let files = format!(
                "tls=\"on\" tls.cacert=\"{}\" tls.mycert=\"{}\" tls.myprivkey=\"{}\" tls.authmode=\"certvalid\"",
                ca.display(),
                cert.display(),
                key.display()
            );
            (format!("module(load=\"imrelp\" tls.tlslib=\"openssl\")\n{}", relp(&files)), tls)
        }
        "tls" => (
            format!(
                "module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
                 input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")"
            ),
            tls,
        ),
        _ => (
            format!("module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")"),
            String::new(),
        ),
    };
    let transport = transport.trim_end_matches("+tls");
    let sink = format!(
        "[sinks.out]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"{transport}\"\n{more}"
    );
    Way { name, queue, input, sink, port, dir: dir.to_owned() }
}

#[test]
fn over_relp_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = survive(&way("RELP, direct queue", dir.path(), DIRECT, "relp"), 81);
    assert_eq!(told.lost.len(), 0);
    assert!(told.repeats <= u64::from(kills()) * 128, "{} repeats: more than a window each", told.repeats);
}

#[test]
fn over_relp_and_tls_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = survive(&way("RELP and TLS, direct queue", dir.path(), DIRECT, "relp+tls"), 82);
    assert_eq!(told.lost.len(), 0);
    assert!(told.repeats <= u64::from(kills()) * 128, "{} repeats: more than a window each", told.repeats);
}

#[test]
fn over_tls_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = survive(&way("syslog over TLS, direct queue", dir.path(), DIRECT, "tls"), 83);
    assert_eq!(told.lost.len(), 0);
}

/// A kernel closes the connections of a killed process as if it had ended properly, so TCP promises less; what it comes to
/// is measured, and is never more than the batches that were open.
#[test]
fn over_tcp_at_most_the_open_batches_are_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut way = way("syslog over TCP, direct queue", dir.path(), DIRECT, "tcp");
    way.sink.push_str("confirm_every = 100\n"); // with the usual batch all events of this test could be open
    let told = survive(&way, 84);
    assert!(told.lost.len() as u64 <= u64::from(kills()) * 100, "{} lost", told.lost.len());
}

/// rsyslog's disk queue can lose a message it has acknowledged when it is killed: it writes over what it had not yet entered
/// in its index, and reads past it (rsyslog issues 1269 and 5771). So it may lose here, but never what it had not
/// acknowledged.
#[test]
fn what_a_disk_queue_loses_it_had_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut way = way("RELP, synced disk queue", dir.path(), SYNCED, "relp");
    let witness = Witness::before(way.port);
    way.sink = way.sink.replace(&way.port.to_string(), &witness.port.to_string());
    let told = survive(&way, 85);
    let acknowledged = witness.acknowledged.lock().expect("no panics");
    let unexplained: Vec<_> = told.lost.iter().filter(|digest| !acknowledged.contains(*digest)).collect();
    assert!(
        unexplained.is_empty(),
        "{} of {} lost were never acknowledged",
        unexplained.len(),
        told.lost.len()
    );
    assert!(
        told.lost.len() as u64 <= u64::from(kills()) * 16,
        "{} lost: more than a batch of the queue each",
        told.lost.len()
    );
    assert!(acknowledged.is_superset(&told.published), "the daemon counted what was not acknowledged");
}

/// A proxy before a RELP receiver that remembers what was answered with 200.
struct Witness {
    port: u16,
    acknowledged: Arc<Mutex<HashSet<[u8; 16]>>>,
}

impl Witness {
    fn before(receiver: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("bound").port();
        let witness = Witness { port, acknowledged: Arc::default() };
        let acknowledged = witness.acknowledged.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let acknowledged = acknowledged.clone();
                std::thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", receiver)) {
                        stand_between(client, server, &acknowledged);
                    }
                });
            }
        });
        witness
    }
}

fn stand_between(client: TcpStream, server: TcpStream, acknowledged: &Mutex<HashSet<[u8; 16]>>) {
    let asked: Mutex<HashMap<String, [u8; 16]>> = Mutex::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pass_on(&client, &server, |txnr, command, data| {
                if command == "syslog" {
                    let at = data.find("] {").expect("an envelope behind structured data");
                    let mut one = Arrived::default();
                    one.add(&data[at + 2..]);
                    let digest = one.events.into_values().next().expect("one event").2;
                    asked.lock().expect("no panics").insert(txnr, digest);
                }
            });
        });
        pass_on(&server, &client, |txnr, command, data| {
            if let Some(digest) = asked.lock().expect("no panics").remove(&txnr)
                && command == "rsp"
                && data.starts_with("200")
            {
                acknowledged.lock().expect("no panics").insert(digest);
            }
        });
    });
}

/// Passes whole frames on, each after it was looked at, until one side ends; then both do.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, mut look: impl FnMut(String, &str, &str)) {
    let mut held = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while let Ok(got @ 1..) = from.read(&mut piece) {
        held.extend_from_slice(&piece[..got]);
        let mut used = 0;
        while let Some((len, txnr, command, data)) = frame(&held[used..]) {
            look(txnr, &command, &data);
            used += len;
        }
        if to.write_all(&held[..used]).is_err() {
            break;
        }
        held.drain(..used);
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// `TXNR COMMAND LENGTH[ DATA]LF` at the beginning of these bytes: its length, and its parts.
fn frame(bytes: &[u8]) -> Option<(usize, String, String, String)> {
    let space = |from: usize| Some(from + bytes.get(from..)?.iter().position(|byte| *byte == b' ')?);
    let (first, second) = (space(0)?, space(space(0)? + 1)?);
    let digits = bytes[second + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = second + 1 + digits;
    bytes.get(end)?; // whether there are more digits is seen by what follows them
    let text = |range: std::ops::Range<usize>| String::from_utf8(bytes[range].to_vec()).expect("text");
    let length: usize = text(second + 1..end).parse().expect("a length");
    let start = if length == 0 { end } else { end + 1 };
    bytes.get(start + length)?;
    Some((start + length + 1, text(0..first), text(first + 1..second), text(start..start + length)))
}
