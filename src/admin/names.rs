//! By which name the listener may be asked for. A page from elsewhere can make a browser on this machine ask a loopback
//! listener by letting its own name lead there (DNS rebinding), and could then read the answer. The name it asks for
//! gives it away: it is the page's own.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;

/// The names a listener answers to.
pub(super) struct Names {
    /// Nobody but this machine can reach the listener.
    loopback: bool,
    /// From the configuration, in lower case.
    hosts: Vec<String>,
}

impl Names {
    /// A listener that other machines reach answers to every name: it is called by whatever the network calls it, and
    /// who is let in is the firewall's to say.
    pub(super) fn of(bound: SocketAddr, hosts: Vec<String>) -> Names {
        Names { loopback: bound.ip().is_loopback(), hosts }
    }

    /// Whether all that a request says about its host is ours. An address proves that no name was led here, and who
    /// sends no name at all is no browser.
    pub(super) fn fit(&self, request: &Request) -> bool {
        let in_headers = request.headers().get_all(HOST).iter();
        let in_headers = in_headers.map(|value| value.to_str().ok()?.parse::<Authority>().ok());
        let in_line = request.uri().authority().map(|authority| Some(authority.clone()));
        !self.loopback
            || in_headers.chain(in_line).all(|said| said.is_some_and(|said| self.is_ours(said.host())))
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost") // nobody else's (RFC 6761 §6.3)
            || self.hosts.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn fits(bound: &str, hosts: &[&str]) -> bool {
        let names = Names::of(bound.parse().unwrap(), vec!["status.example.com".to_owned()]);
        let mut request = Request::builder().uri("/status");
        for host in hosts {
            request = request.header(HOST, *host);
        }
        names.fit(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn a_loopback_listener_is_asked_for_by_names_of_this_machine() {
        for own in [
            "127.0.0.1:9598",
            "[::1]:9598",
            "[::1]",
            "localhost:9598",
            "LOCALHOST",
            "localhost.",
            "a.localhost:1",
        ] {
            assert!(fits("127.0.0.1:9598", &[own]), "{own}");
        }
        for own in ["status.example.com", "Status.Example.Com:443", "10.1.2.3:9598"] {
            assert!(fits("[::1]:9598", &[own]), "{own}");
        }
        assert!(fits("127.0.0.1:9598", &[]), "HTTP/1.0");
        for strange in [
            "evil.example.com:9598",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "notlocalhost",
            "",
            "a b",
        ] {
            assert!(!fits("127.0.0.1:9598", &[strange]), "{strange}");
        }
        assert!(!fits("127.0.0.1:9598", &["localhost", "evil.example.com"]), "neither of two");
    }

    #[test]
    fn a_listener_that_other_machines_reach_answers_to_every_name() {
        for bound in ["0.0.0.0:9598", "192.0.2.1:9598", "[::]:9598"] {
            assert!(fits(bound, &["collector.example.com:9598"]), "{bound}");
        }
    }
}
