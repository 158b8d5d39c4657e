//! File links that Mimecast hands out: which of them may be fetched, what identifies a file, and how a link is
//! written where people read. A link is input from outside: it could point anywhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::secret::Secret;

/// Identity of a file: the first 128 bits of SHA-256 over its link without scheme and query. Signature and
/// expiry change from listing to listing, host and path do not. As text: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey([u8; 16]);

impl FileKey {
    /// Of a link's text, whether or not it may be fetched.
    pub fn of(link: &str) -> Self {
        let place = without_query(link);
        let place = place.split_once("://").map_or(place, |(_, rest)| rest);
        let mut key = [0; 16];
        for (byte, digest) in key.iter_mut().zip(Sha256::digest(place)) {
            *byte = digest;
        }
        FileKey(key)
    }
    /// The digest itself.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
    /// Reads what `Display` writes; `None` unless it is exactly 32 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(FileKey(number.to_be_bytes()))
    }
}

impl Serialize for FileKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl de::Visitor<'_> for Hex {
            type Value = FileKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 lower-case hex digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileKey, E> {
                FileKey::from_hex(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Hex)
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One file of a listing.
#[derive(Clone, Debug)]
pub struct FileLink {
    /// With its signature: a secret.
    pub url: Secret,
    pub key: FileKey,
    /// Host and path: for people, and the `source` of the events.
    pub name: String,
    /// Bytes, as the listing says.
    pub size: Option<u64>,
    /// When the link stops working.
    pub expiry: Option<Time>,
}

impl FileLink {
    /// What marks the file as read at a position: the same name with another size is another file.
    pub fn mark(&self) -> FileKey {
        let Some(size) = self.size else { return self.key };
        let mut mark = [0; 16];
        let digest = Sha256::new().chain_update(self.key.0).chain_update(size.to_be_bytes()).finalize();
        for (byte, digest) in mark.iter_mut().zip(digest) {
            *byte = digest;
        }
        FileKey(mark)
    }
}

/// The link as it may be shown: without userinfo, query and fragment.
pub fn public_url(link: &str) -> String {
    let plain = without_query(link);
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn without_query(link: &str) -> &str {
    link.split(['?', '#']).next().unwrap_or(link)
}

/// What a tenant allows beyond the built-in list.
#[derive(Clone, Debug, Default)]
pub struct LinkPolicy {
    /// `files.example.net` or `*.example.net` (any depth below it, not itself).
    pub hosts: Vec<String>,
    /// The tenant's API is on this machine, so its files may be too: a test or a demonstration.
    pub loopback: bool,
}

impl LinkPolicy {
    /// The link, if it may be fetched: https, port 443, a host on the list, nothing smuggled in.
    ///
    /// Faults: [`Kind::LinkRefused`].
    pub fn check(&self, link: &str) -> Result<Url, Fault> {
        let refused = |why: &str| {
            let detail = format!("{}: {why}", public_url(link));
            Fault::new(Origin::Download, Kind::LinkRefused, detail)
        };
        let url = Url::parse(link).map_err(|error| refused(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("the link carries a user name"));
        }
        if self.loopback && matches!(url.scheme(), "http" | "https") && is_loopback(&url) {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(refused("only https links are fetched"));
        }
        if url.port().is_some() {
            return Err(refused("only port 443 is used for file links"));
        }
        match url.host() {
            Some(Host::Domain(host)) if self.allows(host) => Ok(url),
            Some(Host::Domain(_)) => Err(refused("the host is not on the list (see download_hosts)")),
            _ => Err(refused("the link names an address instead of a host")),
        }
    }

    fn allows(&self, host: &str) -> bool {
        below(host, "mimecast.com") || is_s3(host) || self.hosts.iter().any(|pattern| fits(pattern, host))
    }
}

/// The URL's host is this machine by its very name.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn fits(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    pattern.strip_prefix("*.").map_or(pattern == host, |domain| below(host, domain))
}

fn below(host: &str, domain: &str) -> bool {
    !domain.is_empty()
        && host.strip_suffix(domain).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// `bucket.s3.region`, `bucket.s3`, `s3.region` (path style), each also with `dualstack`, under amazonaws.com.
fn is_s3(host: &str) -> bool {
    let Some(front) = host.strip_suffix(".amazonaws.com") else { return false };
    let region =
        |label: &str| label.contains('-') && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let mut labels: Vec<&str> = front.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return false;
    }
    let regional = labels.pop_if(|last| region(last) && *last != "s3").is_some();
    if regional {
        labels.pop_if(|last| *last == "dualstack");
    }
    let s3 = labels.pop() == Some("s3");
    s3 && (regional || !labels.is_empty())
}

/// The address can be reached over the internet: none of private, shared (CGNAT), loopback, link-local, unique
/// local, multicast, documentation, reserved, nor an IPv6 form that carries an IPv4 address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        0 | 10 | 127 | 224.. => true,
        100 => b & 0xc0 == 64,                                         // shared, CGNAT
        169 => b == 254,                                               // link-local
        172 => b & 0xf0 == 16,                                         // private
        192 => b == 168 || (b == 0 && c <= 2) || (b == 88 && c == 99), // private, protocol, documentation, 6to4 relay
        198 => b & 0xfe == 18 || (b == 51 && c == 100),                // benchmarks, documentation
        203 => b == 0 && c == 113,                                     // documentation
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3. Inside it: 2001::/23 (Teredo and other protocols), 2001:db8::/32 and
    // 3fff::/20 (documentation), 2002::/16 (6to4, carries IPv4). NAT64, mapped, ULA and the rest are outside.
    let global = first & 0xe000 == 0x2000;
    let protocol = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    let carries_v4 = first == 0x2002;
    let documentation = first == 0x3fff && second < 0x1000;
    global && !protocol && !carries_v4 && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: &LinkPolicy, link: &str) -> bool {
        policy.check(link).is_ok()
    }

    #[test]
    fn x22_only_listed_hosts_over_https() {
        let policy =
            LinkPolicy { hosts: vec!["*.Example.net".into(), "files.example.org".into()], loopback: false };
        for link in [
            "https://bucket.s3.eu-west-1.amazonaws.com/a.gz?X-Amz-Signature=1",
            "https://my.dotted.bucket.s3.us-gov-west-1.amazonaws.com/a",
            "https://bucket.s3.amazonaws.com/a",
            "https://s3.eu-central-1.amazonaws.com/bucket/a",
            "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/a",
            "https://files.mimecast.com/a",
            "https://a.b.mimecast.com:443/a",
            "https://BUCKET.S3.EU-WEST-1.AMAZONAWS.COM/a",
            "https://a.example.net/a",
            "https://files.example.org/a",
        ] {
            assert!(verdict(&policy, link), "{link}");
        }
        for link in [
            "http://files.mimecast.com/a",
            "https://files.mimecast.com:8443/a",
            "https://user@files.mimecast.com/a",
            "https://user:word@files.mimecast.com/a",
            "https://mimecast.com.evil.example/a",
            "https://evilmimecast.com/a",
            "https://mimecast.com/a",
            "https://.mimecast.com/a",
            "https://files.mimecast.com./a",
            "https://example.net/a",
            "https://a.files.example.org/a",
            "https://evil.amazonaws.com/a",
            "https://ec2.eu-west-1.amazonaws.com/a",
            "https://s3.amazonaws.com/bucket/a",
            "https://x.s3.evil.com/a",
            "https://bucket.s3.eu-west-1.amazonaws.com.evil.com/a",
            "https://bucket.s3.eu-west-1.evil.amazonaws.com.cn/a",
            "https://execute-api.eu-west-1.amazonaws.com/a",
            "https://93.184.216.34/a",
            "https://[2606:2800::1]/a",
            "https://0x7f000001/a",
            "https://2130706433/a",
            "https://127.0.0.1/a",
            "http://localhost/a",
            "ftp://files.mimecast.com/a",
            "file:///etc/passwd",
            "gopher://files.mimecast.com/a",
            "data:text/plain,x",
            "//files.mimecast.com/a",
            "not a link",
            "",
        ] {
            assert!(!verdict(&policy, link), "{link}");
        }
    }

    #[test]
    fn a_loopback_tenant_may_have_its_files_here() {
        let policy = LinkPolicy { hosts: vec![], loopback: true };
        for link in [
            "http://127.0.0.1:8480/f.gz?s=1",
            "http://localhost:1/f",
            "https://[::1]:9/f",
            "http://127.9.9.9/f",
        ] {
            assert!(verdict(&policy, link), "{link}");
            assert!(!verdict(&LinkPolicy::default(), link), "{link}");
        }
        assert!(!verdict(&policy, "http://files.mimecast.com/a"));
        assert!(!verdict(&policy, "http://10.0.0.1/a"));
        assert!(!verdict(&policy, "http://user@127.0.0.1/a"));
        assert!(!verdict(&policy, "ftp://127.0.0.1/a"));
    }

    #[test]
    fn refusals_and_names_carry_no_secrets() {
        let fault = LinkPolicy::default()
            .check("https://me:word@evil.example/p?X-Amz-Signature=s3cr3t#f")
            .unwrap_err();
        assert_eq!(fault.kind, Kind::LinkRefused);
        for secret in ["s3cr3t", "word", "me:"] {
            assert!(!fault.detail.contains(secret), "{}", fault.detail);
        }
        assert_eq!(public_url("https://a:b@h.example:9/p/q?x=1"), "https://h.example:9/p/q");
        assert_eq!(public_url("https://h.example?x=1"), "https://h.example");
    }

    #[test]
    fn a_file_is_its_host_and_path() {
        let key = FileKey::of("https://b.s3.amazonaws.com/cg/part-1.gz?sig=1");
        assert_eq!(key, FileKey::of("https://b.s3.amazonaws.com/cg/part-1.gz?sig=2&e=3"));
        assert_eq!(key, FileKey::of("https://b.s3.amazonaws.com/cg/part-1.gz#x"));
        assert_ne!(key, FileKey::of("https://b.s3.amazonaws.com/cg/part-2.gz?sig=1"));
        assert_ne!(FileKey::of("https://one.example"), FileKey::of("https://two.example"));
        assert_eq!(FileKey::from_hex(&key.to_string()), Some(key));
        for bad in ["", "0", &"g".repeat(32), &"A".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert_eq!(FileKey::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn x02_only_internet_addresses_are_public() {
        for address in
            ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "2a00:1450::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "2002:808:808::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "::8.8.8.8",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
