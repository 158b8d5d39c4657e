//! What a reload means for the parts that it leaves running. It says nothing of what they are halted for, and a look at
//! that is one more refusal; but a secret that was replaced where it lies is worth one.

use super::{Fleet, RunningSink, bump};
use crate::config::settings::SinkKind;
use crate::config::{self, SecretRef};
use crate::secret::Secret;
use crate::supervisor::rule::{Rule, Verdict};

impl Fleet {
    /// Wakes feeds and sinks whose secret is another one now, and sinks that one more attempt does no harm. Says which secrets
    /// are others, and which cannot be read any more (recovery row L08, which is told from now on).
    pub(super) fn knock_where_it_may_help(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        for tenant in &mut self.tenants {
            tenant.account.read_keys();
            let (name, secret) = (&tenant.settings.name, tenant.account.fingerprint());
            if secret.is_none() {
                news.push(format!("the secret of {name} cannot be read, the one in memory is used"));
            } else if secret != tenant.secret {
                news.push(format!("the secret of {name} is another one, used from the next token on"));
                tenant.secret = secret;
                tenant.feeds.iter().for_each(|feed| feed.wake.notify_one());
            }
        }
        for sink in &mut self.sinks {
            let (name, secret) = (&sink.settings.name, mark(&sink.settings, self.store.salt()));
            let another = secret.is_some() && secret != sink.secret;
            if another || !sink.is_halted() {
                bump(&sink.wake);
            }
            if another {
                news.push(format!("a secret of sink {name} is another one"));
                sink.secret = secret;
            } else if secret.is_none() {
                news.push(format!("a secret of sink {name} cannot be read"));
            }
        }
        news
    }
}

impl RunningSink {
    fn is_halted(&self) -> bool {
        let state = self.state.borrow();
        // one look more at a certificate does no harm, one more password may
        let halted = |rule: &Rule| rule.harmful && matches!(rule.verdict, Verdict::Halt { .. });
        state.up == Some(false) && state.rule.is_some_and(halted)
    }
}

/// Tells the secrets of a sink, as they are now, from others; `None` where one cannot be read.
pub(super) fn mark(sink: &config::Sink, salt: &[u8]) -> Option<String> {
    let places: Vec<&SecretRef> = match &sink.kind {
        SinkKind::Http(http) => http.secrets().into_iter().map(|(_, place)| place).collect(),
        SinkKind::Kafka(kafka) => kafka.sasl.iter().map(|sasl| &sasl.password).collect(),
        SinkKind::Syslog(_) | SinkKind::File(_) | SinkKind::Stdout => Vec::new(),
    };
    let read = |place: &&SecretRef| Some(place.read().ok()?.fingerprint(salt));
    let marks: Vec<String> = places.iter().map(read).collect::<Option<_>>()?;
    Some(Secret::new(marks.join(" ")).fingerprint(salt))
}
