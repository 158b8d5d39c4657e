//! The HTTP sink from outside: batches, compression, a receiver that is busy, and one event it will not take.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, Simulator, Site, assert_complete, text};

/// An NDJSON receiver that refuses whatever holds the poison, and is busy for its first requests.
struct HttpReceiver {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    compressed: Arc<Mutex<u32>>,
}

impl HttpReceiver {
    fn start(poison: &'static str, busy: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let receiver = HttpReceiver { address, arrived: Arc::default(), compressed: Arc::default() };
        let (arrived, compressed) = (receiver.arrived.clone(), receiver.compressed.clone());
        let left = Arc::new(Mutex::new(busy));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (arrived, compressed, left) = (arrived.clone(), compressed.clone(), left.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(body) = request(&mut reader, &compressed) {
                        let status = answer(&body, poison, &arrived, &left);
                        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                        if reader.get_mut().write_all(head.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        receiver
    }
}

fn answer(body: &str, poison: &str, arrived: &Mutex<Arrived>, busy: &Mutex<u32>) -> &'static str {
    let mut busy = busy.lock().expect("no panics");
    if *busy > 0 {
        *busy -= 1;
        return "503 Busy";
    }
    drop(busy);
    if !poison.is_empty() && body.contains(poison) {
        return "400 Bad Request";
    }
    let mut arrived = arrived.lock().expect("no panics");
    body.lines().for_each(|line| arrived.add(line));
    "200 OK"
}

/// The next request's body, inflated; `None` when the connection ends.
fn request(reader: &mut BufReader<TcpStream>, compressed: &Mutex<u32>) -> Option<String> {
    let (mut length, mut gzip) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        gzip |= line == "content-encoding: gzip";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if gzip {
        *compressed.lock().expect("no panics") += 1;
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain).ok()?;
        body = plain;
    }
    String::from_utf8(body).ok()
}

fn http_sink(address: SocketAddr) -> String {
    format!(
        "[sinks.web]\ntype = \"http\"\npreset = \"ndjson\"\nurl = \"http://{address}/in\"\ncompression = \"gzip\"\n\
         batch = {{ events = 200, bytes = \"1MiB\", wait = \"1s\" }}\nconcurrency = 4\n"
    )
}

#[test]
fn every_event_arrives_once_although_the_receiver_is_busy_at_first() {
    let simulator = Simulator::start(&["--events", "6000", "--seed", "61", "--scenario", "no_quota"]);
    let receiver = HttpReceiver::start("", 2);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.address));
    site.run_once();
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0);
    assert!(*receiver.compressed.lock().expect("no panics") > 0, "bodies are compressed");
    site.reconcile();
}

#[test]
fn one_event_the_receiver_refuses_becomes_a_dead_letter_and_the_rest_arrives() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "62", "--scenario", "no_quota"]);
    // a record of the truth that occurs once: its bytes are the poison
    let truth = simulator.truth("siem.av");
    let poison: &'static str = String::leak(truth.first().expect("av events").clone());
    let receiver = HttpReceiver::start(poison, 0);
    let site = Site::new(&simulator.url, ALL_FEEDS, &http_sink(receiver.address));
    let out = site.run_once();
    assert!(
        text(&out.stderr).contains("refused for good") || text(&out.stderr).contains("dead"),
        "it is said"
    );
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_eq!(arrived.feed("siem.av"), truth.len() as u64 - 1);
    for feed in FEEDS.iter().filter(|feed| **feed != "siem.av") {
        assert_eq!(arrived.feed(feed), simulator.truth(feed).len() as u64, "{feed}");
    }
    assert_eq!(arrived.repeats(), 0, "what was acknowledged is not sent again");
    let status = site.status();
    assert_eq!(status["sinks"][0]["dead_lettered"], 1, "{status}");
    site.reconcile();
}
