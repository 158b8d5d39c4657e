//! A small TCP syslog receiver for the demo: octet-counted RFC 5424 in, one message a line out.
//!
//! `syslog-receiver 127.0.0.1:0 FILE` prints `listening on ADDRESS` and appends each message's body to FILE.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Longest message taken; anything longer is a broken stream.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(path)) = (args.next(), args.next()) else {
        return Err(std::io::Error::other("usage: syslog-receiver ADDRESS FILE"));
    };
    let listener = TcpListener::bind(address)?;
    let out = Arc::new(Mutex::new(BufWriter::new(File::options().create(true).append(true).open(path)?)));
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, out) = (stream?, out.clone());
        std::thread::spawn(move || {
            if let Err(error) = receive(stream, &out) {
                eprintln!("syslog-receiver: {error}");
            }
        });
    }
    Ok(())
}

/// Takes messages until the sender closes; what arrived is on disk before our own side closes.
fn receive(stream: TcpStream, out: &Mutex<BufWriter<File>>) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut message = Vec::new();
    while read_frame(&mut reader, &mut message)? {
        let body = message.windows(3).position(|w| w == b"] {").map_or(0, |at| at + 2);
        let mut out = out.lock().map_err(|_| std::io::Error::other("another connection failed"))?;
        out.write_all(message.get(body..).unwrap_or_default())?;
        out.write_all(b"\n")?;
    }
    out.lock().map_err(|_| std::io::Error::other("another connection failed"))?.flush()
}

fn read_frame(reader: &mut impl BufRead, message: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut count = Vec::new();
    reader.take(12).read_until(b' ', &mut count)?;
    if count.is_empty() {
        return Ok(false);
    }
    let length = std::str::from_utf8(&count).ok().and_then(|text| text.trim_end().parse().ok());
    let length: usize =
        length.filter(|n| *n <= MAX_MESSAGE_BYTES).ok_or_else(|| std::io::Error::other("no octet count"))?;
    message.resize(length, 0);
    reader.read_exact(message)?;
    Ok(true)
}
