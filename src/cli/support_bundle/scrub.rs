//! The last look at every text before it leaves: the secrets of this configuration, wherever they might have got to,
//! and the query of every link.

use std::path::Path;

use crate::config::{MASK, SecretRef, Settings};
use crate::secret::Secret;
use crate::sink::without_queries;

/// Where systemd keeps what it hands to the service; root can read it.
const CREDENTIALS: &str = "/run/credentials/mimecollectd.service";
/// A shorter text stands in too many innocent words.
const SHORTEST: usize = 4;

/// Knows what must not leave.
pub struct Scrub(Vec<Secret>);

impl Scrub {
    /// Reads whatever secrets can be read from here.
    pub fn new(settings: Option<&Settings>) -> Scrub {
        let Some(settings) = settings else { return Scrub(Vec::new()) };
        let read = |place: &SecretRef| match place {
            SecretRef::Credential(name) => {
                SecretRef::File(Path::new(CREDENTIALS).join(name)).read().or_else(|_| place.read()).ok()
            }
            _ => place.read().ok(),
        };
        let known = settings.secrets();
        Scrub(known.iter().filter_map(|secret| read(secret.place)).collect())
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST) {
            text = text.replace(secret, MASK);
            // as JSON has it
            let escaped = serde_json::Value::from(secret).to_string();
            text = text.replace(escaped.trim_matches('"'), MASK);
        }
        without_queries(&text, &format!("?{MASK}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_queries_go_wherever_they_are() {
        let scrub = Scrub(vec![Secret::new("hun\"ter2"), Secret::new("abc")]);
        for (text, clean) in [
            ("key hun\"ter2, abc", "key ********, abc"),
            ("{\"a\":\"hun\\\"ter2\"}", "{\"a\":\"********\"}"),
            ("get https://a.example/b?sig=x&y done", "get https://a.example/b?******** done"),
            ("\"http://a/b?c\",\"http://d/\"", "\"http://a/b?********\",\"http://d/\""),
            ("no :// link", "no :// link"),
        ] {
            assert_eq!(scrub.clean(text), clean);
        }
    }
}
