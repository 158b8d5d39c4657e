//! An HTTP server for tests: one thread a connection, bodies inflated, answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server that runs as long as the test.
pub struct Web {
    pub address: SocketAddr,
    compressed: Arc<AtomicU32>,
}

/// What was asked.
pub struct Request {
    /// `POST /path?query`.
    pub line: String,
    /// In lower case.
    pub headers: Vec<String>,
    /// Inflated.
    pub body: Vec<u8>,
}

/// What is answered; without one the connection is closed.
pub struct Answer(Option<String>);

impl Answer {
    pub fn new(status: &str, body: &str) -> Self {
        Answer(Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())))
    }
    /// The request was read, and perhaps honoured, but nobody hears of it.
    pub fn lost() -> Self {
        Answer(None)
    }
}

impl Request {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("bodies are UTF-8")
    }
    pub fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == header)
    }
}

impl Web {
    pub fn start(behave: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", behave)
    }

    /// As [`Web::start`], at this address.
    pub fn on(address: &str, behave: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let (behave, compressed) = (Arc::new(behave), Arc::new(AtomicU32::new(0)));
        let counter = compressed.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (behave, counter) = (behave.clone(), counter.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(request) = read(&mut reader, &counter) {
                        let Some(answer) = behave(&request).0 else { return };
                        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Web { address, compressed }
    }
    /// Requests whose body came compressed.
    pub fn compressed(&self) -> u32 {
        self.compressed.load(Ordering::SeqCst)
    }
}

/// The next request; `None` when the connection ends.
fn read(reader: &mut BufReader<TcpStream>, compressed: &AtomicU32) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let line = lines.remove(0).rsplit_once(' ')?.0.to_owned();
    let headers: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Ok(0), str::parse).ok()?; // a request without a body may be silent about it
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if headers.iter().any(|line| line == "content-encoding: gzip") {
        compressed.fetch_add(1, Ordering::SeqCst);
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain).ok()?;
        body = plain;
    }
    Some(Request { line, headers, body })
}
