//! The real nginx in front of an HTTP receiver, as many have it: it ends the TLS, closes connections when it likes, refuses
//! large bodies, and answers for a backend that is down or slow.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::counterparts::{Server, certificates, free_port, listens, start};
use crate::http_sink::HttpReceiver;
use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Simulator, Site, assert_complete, eventually};

/// nginx with TLS before `backend`; `settings` go into its `server`. The server and its port.
fn nginx(dir: &Path, backend: u16, settings: &str) -> (Server, u16) {
    let (_, cert, key) = certificates(dir);
    let (port, at) = (free_port(), dir.display());
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {at}/{name};"))
        .concat();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let conf = format!(
        "{user} daemon off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/nginx.log; events {{}}\n\
         http {{ access_log off; {temp}\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; {settings}\n\
         location / {{ proxy_pass http://127.0.0.1:{backend}; }} }} }}\n",
        cert = cert.display(),
        key = key.display(),
    );
    let path = dir.join("nginx.conf");
    std::fs::write(&path, conf).expect("written");
    let log = format!("{at}/nginx.log");
    let args = ["-c", path.to_str().expect("utf-8"), "-p", dir.to_str().expect("utf-8"), "-e", &log];
    let server = start(&program(), &args, None);
    listens(port);
    (server, port)
}

fn program() -> PathBuf {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from);
    places.into_iter().find(|path| path.exists()).expect("nginx is installed by scripts/test")
}

fn sink(dir: &Path, port: u16) -> String {
    format!(
        "[sinks.web]\ntype = \"http\"\nurl = \"https://localhost:{port}/in\"\nca_file = {:?}\n\
         batch = {{ events = 500, bytes = \"1MiB\", wait = \"1s\" }}\n",
        dir.join("ca.pem")
    )
}

fn published(simulator: &Simulator) -> u64 {
    FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum()
}

/// The backend is not there at first (502), bodies above 64 KiB are refused (413), and each connection serves three
/// requests: every event arrives, and none twice, for all of these answers are clear.
#[test]
fn a_proxy_that_refuses_and_a_backend_that_is_down() {
    let simulator = Simulator::start(&["--events", "3000", "--seed", "71", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let backend = free_port();
    let settings = "client_max_body_size 64k; keepalive_requests 3;";
    let (_nginx, port) = nginx(site.dir.path(), backend, settings);
    site.write(&simulator.url, ALL_FEEDS, &sink(site.dir.path(), port));
    let daemon = site.spawn();
    eventually("the sink to be down", || daemon.log().contains("502").then_some(()));
    let receiver = HttpReceiver::on(&format!("127.0.0.1:{backend}"), "", 0);
    daemon.signal("HUP"); // ends the sink's back-off
    let all = published(&simulator);
    eventually("everything to arrive", || {
        (receiver.arrived.lock().expect("no panics").distinct() >= all).then_some(())
    });
    assert!(daemon.stop().0.success());
    let arrived = receiver.arrived.lock().expect("no panics").clone();
    assert_complete(&simulator, &arrived, FEEDS);
    assert_eq!(arrived.repeats(), 0);
    assert_eq!(site.status()["sinks"][0]["dead_lettered"], 0);
    site.reconcile();
}

/// A backend that takes the first requests and never answers: nginx says 504, nobody knows what became of them, and they are
/// sent again.
#[test]
fn a_backend_that_is_too_slow() {
    let simulator = Simulator::start(&["--events", "2000", "--seed", "72", "--scenario", "no_quota"]);
    let site = Site::new(&simulator.url, ALL_FEEDS, "");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let backend = silent.local_addr().expect("bound").port();
    let (_nginx, port) = nginx(site.dir.path(), backend, "proxy_read_timeout 1s;");
    site.write(&simulator.url, ALL_FEEDS, &sink(site.dir.path(), port));
    let daemon = site.spawn();
    let (mut held, _) = silent.accept().expect("nginx comes");
    let mut asked = Vec::new();
    held.read_to_end(&mut asked).expect("nginx gives up");
    assert!(asked.starts_with(b"POST /in"));
    drop((silent, held));
    let receiver = HttpReceiver::on(&format!("127.0.0.1:{backend}"), "", 0);
    let all = published(&simulator);
    eventually("everything to arrive", || {
        (receiver.arrived.lock().expect("no panics").distinct() >= all).then_some(())
    });
    assert!(daemon.log().contains("504"), "{}", daemon.log());
    assert!(daemon.stop().0.success());
    assert_complete(&simulator, &receiver.arrived.lock().expect("no panics"), FEEDS);
    site.reconcile();
}
