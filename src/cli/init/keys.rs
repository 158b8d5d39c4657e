//! Who the collector is to Mimecast: the keys of each generation of the API, and the ways to give a secret.

use super::SecretFlags;
use super::draft::quoted;
use crate::config::SecretRef;

/// What Mimecast knows the collector by.
pub struct Key {
    pub key: &'static str,
    pub flag: &'static str,
    pub secret: bool,
    pub ask: &'static str,
    pub why: &'static str,
    pub comment: &'static str,
    pub given: fn(&SecretFlags) -> Given<'_>,
}

/// Of API 2.0.
pub const KEYS_2: [Key; 2] = [
    Key {
        key: "client_id",
        flag: "--client-id",
        secret: false,
        ask: "client id",
        why: "Mimecast shows it when the application is made: Administration > Services > API and Platform Integrations.",
        comment: "of the API 2.0 application",
        given: |_| Given::Nothing,
    },
    Key {
        key: "client_secret",
        flag: "--secret-file",
        secret: true,
        ask: "client secret",
        why: "It goes into a file that only the daemon's user can read. It is not shown while it is typed.",
        comment: "a file with mode 0600 that belongs to the daemon's user; or { credential = \"…\" }, { env = \"…\" }",
        given: SecretFlags::client_secret,
    },
];

/// Of API 1.0.
pub const KEYS_1: [Key; 4] = [
    Key {
        key: "app_id",
        flag: "--app-id",
        secret: false,
        ask: "application id",
        why: "Of the API 1.0 application.",
        comment: "of the API 1.0 application",
        given: |_| Given::Nothing,
    },
    Key {
        key: "app_key",
        flag: "--app-key-file",
        secret: true,
        ask: "application key",
        why: "Shown beside the application id. It is not shown while it is typed.",
        comment: "",
        given: SecretFlags::app_key,
    },
    Key {
        key: "access_key",
        flag: "--access-key-file",
        secret: true,
        ask: "access key",
        why: "Of the service account. It is not shown while it is typed.",
        comment: "",
        given: SecretFlags::access_key,
    },
    Key {
        key: "secret_key",
        flag: "--secret-key-file",
        secret: true,
        ask: "secret key",
        why: "Of the service account: base64, as Mimecast shows it. It is not shown while it is typed.",
        comment: "",
        given: SecretFlags::secret_key,
    },
];

/// How a secret was given on the command line.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    Nothing,
    /// `-`: it comes on standard input.
    Piped,
    /// A path, `credential:NAME` or `env:NAME`.
    Place(&'a str),
}

/// `PATH`, `credential:NAME` or `env:NAME`, as TOML.
pub fn of_place(place: &str) -> Result<(SecretRef, String), String> {
    if let Some(name) = place.strip_prefix("credential:") {
        let value = format!("{{ credential = {} }}", quoted(name));
        return Ok((SecretRef::Credential(name.to_owned()), value));
    }
    if let Some(name) = place.strip_prefix("env:") {
        return Ok((SecretRef::Env(name.to_owned()), format!("{{ env = {} }}", quoted(name))));
    }
    let path = std::path::absolute(place).map_err(|why| format!("{place:?} is not a path: {why}"))?;
    let value = format!("{{ file = {} }}", quoted(&path.to_string_lossy()));
    Ok((SecretRef::File(path), value))
}
