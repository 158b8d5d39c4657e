//! What the feeds of a tenant share besides the credential: the quota, the hosts, and what several of them met.

use std::sync::PoisonError;

use url::Url;

use super::Account;
use crate::clock::Time;
use crate::dialect;
use crate::fault::Fault;
use crate::limits::BATCH_QUOTA_CALLS;
use crate::mimecast::feed::{Endpoint, Feed};
use crate::mimecast::quota::{Call, May};
use crate::scheduler::hosts::{HostName, Hosts, host_name};
use crate::secret::Secret;
use crate::telemetry::notice::{Notice, Tenant as News};

impl Account {
    /// The hosts this tenant shares with others.
    pub fn hosts(&self) -> &Hosts {
        &self.identity.hosts
    }
    /// Where its API is.
    pub fn host(&self) -> &HostName {
        &self.identity.host
    }
    /// The proxy may have got its right login: the next request by it looks.
    pub fn look_at_proxy(&self) {
        if let Some(via) = &self.identity.via {
            self.identity.hosts.resume(via);
        }
    }
    /// Where a file is, by its link.
    pub fn host_of(&self, link: &Secret) -> Option<HostName> {
        let url = Url::parse(link.expose()).ok()?;
        Some(host_name(&url, self.identity.via.as_deref()))
    }

    /// Asks the quota for one call; `None`: go, and it is counted. Else when to ask again.
    ///
    /// # Errors
    /// The store's: a call that cannot be written down is not made, or a restart would count it anew.
    pub async fn quota(&self, feed: &Feed, endpoint: Endpoint, call: Call) -> Result<Option<Time>, Fault> {
        let counted = {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            let may = match endpoint {
                Endpoint::Stream => quota.may_stream(call, self.clock.now()),
                Endpoint::Batch => quota.may(feed, call, self.clock.now()),
            };
            match may {
                May::Go if endpoint == Endpoint::Stream => quota.counts(feed).then(|| quota.to_text()),
                May::Go => {
                    let left = u64::from(BATCH_QUOTA_CALLS.saturating_sub(quota.used()));
                    self.live.send_modify(|live| live.quota_remaining = Some(left));
                    quota.counts(feed).then(|| quota.to_text())
                }
                May::Wait(until) => return Ok(Some(until)),
            }
        };
        if let Some(text) = counted {
            self.store.save_quota(&self.identity.tenant, &text).await?;
        }
        Ok(None)
    }

    /// What an answer's headers say about Mimecast's clock, and about the budget: none left means a pause before
    /// the refusal comes. Returns Mimecast's time by this answer.
    pub fn note_headers(
        &self,
        feed: &Feed,
        endpoint: Endpoint,
        headers: &[(String, String)],
    ) -> Option<Time> {
        let now = self.clock.now();
        let skew = dialect::skew_ms(headers, now);
        if let Some(skew) = skew {
            self.note_skew(skew);
        }
        if let Some(wait) = dialect::quota_pause(headers, now) {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            match endpoint {
                Endpoint::Batch => quota.exhausted(feed, Some(now.plus(wait)), now),
                Endpoint::Stream => quota.stream_exhausted(Some(now.plus(wait)), now),
            }
        }
        skew.map(|skew| Time(now.0.saturating_add(skew)))
    }

    /// A feed met a fault: what several feeds meet within a short time is the credential's, and a code that no row
    /// names is remembered.
    ///
    /// # Errors
    /// The store's.
    pub async fn met(&self, feed: &'static str, fault: &Fault) -> Result<(), Fault> {
        let (rule, now) = (self.pace.judge(fault), self.clock.now());
        let (wide, new) = {
            let mut spread = self.spread.lock().unwrap_or_else(PoisonError::into_inner);
            let new = spread.note_code(fault, rule, now);
            self.live.send_modify(|live| live.unknown_codes = spread.unknown().to_vec());
            (spread.met(feed, rule, self.identity.feeds.len(), now), new)
        };
        if new {
            Notice::Tenant(&self.identity.tenant, News::UnknownCode { fault, rule: rule.id }).emit();
        }
        if wide {
            let mut credential = self.credential.lock().await;
            credential.gate.widen(fault, self.clock.moment(), &self.pace);
            self.keep(&mut credential).await?;
            self.publish(&mut credential, Some((fault, rule)));
        }
        Ok(())
    }
}
