//! Name resolution that refuses addresses which are not on the internet, before anything connects to them. The
//! addresses it returns are the ones connected to, so a second answer of the DNS changes nothing.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::mimecast::links::is_public;
use crate::names::{self, Whose};

/// The system's resolver behind the rule.
#[derive(Clone, Debug)]
pub(super) struct PublicNames {
    /// The tenant's API is on this machine: loopback addresses are allowed.
    pub loopback: bool,
    /// The egress proxy's name: it is ours and mostly private.
    pub exempt: Option<String>,
    /// How long a name may take.
    pub limit: Duration,
}

/// Why a name gives no address.
#[derive(Debug)]
pub(super) enum NameFault {
    Unresolved { name: String, why: String },
    Private { name: String },
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameFault::Unresolved { name, why } => write!(f, "{name} does not resolve: {why}"),
            NameFault::Private { name } => {
                write!(f, "{name} resolves to an address that is not on the internet")
            }
        }
    }
}

impl std::error::Error for NameFault {}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = names::look_up(Whose::Mimecast, &name, rule.limit).await;
            let found = found.map_err(|why| NameFault::Unresolved { name: name.clone(), why });
            let allowed = rule.allowed(&name, found?)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl PublicNames {
    /// All addresses, if all are allowed: a name with one private address is not to be trusted with the others.
    pub fn allowed(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NameFault> {
        if found.is_empty() {
            return Err(NameFault::Unresolved { name: name.to_owned(), why: "no address".to_owned() });
        }
        let exempt = self.exempt.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name));
        let fine = |at: &SocketAddr| is_public(at.ip()) || (self.loopback && at.ip().is_loopback());
        if exempt || found.iter().all(fine) {
            return Ok(found);
        }
        Err(NameFault::Private { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x02_private_addresses_are_refused_unless_they_are_ours() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let limit = Duration::ZERO;
        let strict = PublicNames { loopback: false, exempt: Some("Proxy.corp.example".into()), limit };
        let local = PublicNames { loopback: true, exempt: None, limit };
        assert!(strict.allowed("a.example", vec![at("8.8.8.8:0")]).is_ok());
        assert!(strict.allowed("a.example", vec![at("8.8.8.8:0"), at("10.0.0.1:0")]).is_err());
        assert!(strict.allowed("a.example", vec![at("127.0.0.1:0")]).is_err());
        assert!(strict.allowed("proxy.corp.example", vec![at("10.0.0.1:0")]).is_ok());
        assert!(strict.allowed("a.example", vec![]).is_err());
        assert!(local.allowed("localhost", vec![at("127.0.0.1:0"), at("[::1]:0")]).is_ok());
        assert!(local.allowed("a.example", vec![at("10.0.0.1:0")]).is_err());
    }
}
