//! `[admin]`: where the status is shown, and under which names.

use std::net::SocketAddr;

use super::file::Roots;
use super::value::{Value, quoted};

const LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9598));

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Names by which a proxy on this machine passes requests on to a loopback listener; in lower case.
    pub hosts: Vec<String>,
}

/// `Some(None)`: off.
pub(super) fn read(roots: &Roots<'_>) -> Option<Option<Admin>> {
    let Some(table) = roots.single("admin").and_then(|v| v.table("[admin]")) else {
        return Some(Some(Admin { listen: LISTEN, hosts: Vec::new() }));
    };
    let listen = table.get("listen").map_or(Some(Some(LISTEN)), |v| read_listen(&v));
    let hosts = table.get("hosts").map_or(Some(Vec::new()), |v| read_hosts(&v));
    table.finish("the admin listener");
    let hosts = hosts?;
    Some(listen?.map(|listen| Admin { listen, hosts }))
}

fn read_listen(value: &Value<'_>) -> Option<Option<SocketAddr>> {
    let text = value.text()?;
    if text == "off" {
        return Some(None);
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let title = format!("`{}` is not an address to listen on", value.name);
        value.refuse(
            title,
            "must be an IP address and a port",
            "write \"127.0.0.1:9598\", \"[::1]:9598\" or \"off\"",
        );
        return None;
    };
    if !address.ip().is_loopback() {
        let text = "the admin listener is open to other machines and asks nobody for a password; restrict it with a \
                    firewall, or listen on 127.0.0.1";
        value.book.warn(&value.place(), text);
    }
    Some(Some(address))
}

fn read_hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    for item in value.list()? {
        let text = item.text()?.to_ascii_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if text.is_empty() || !text.chars().all(fits) {
            item.refuse(
                format!("{} is not the name of a host", quoted(&text)),
                "must be a name without scheme, port or path",
                "write \"status.example.com\"",
            );
            return None;
        }
        hosts.push(text);
    }
    Some(hosts)
}
