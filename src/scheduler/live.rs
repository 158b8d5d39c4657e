//! What runners and accounts publish about themselves for `status`, metrics and readiness: plain values that others look
//! at when they want to. Nobody waits for a feed's to change, and there are thousands: so theirs is a lock around the
//! value, in one allocation with the feed's name and its bell, where a `watch` channel takes 300 bytes more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hosts::HostName;
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::supervisor::rule::Rule;
use crate::supervisor::spread::UnknownCode;
use crate::telemetry::label::{CredentialState, FeedState};

/// One feed as others see it.
#[derive(Debug)]
pub struct FeedView {
    pub key: FeedKey,
    live: Mutex<FeedLive>,
    /// Rung by a reload or an operator: who is held looks again. What is wished during a look is one more look.
    pub wake: Notify,
}

impl FeedView {
    pub fn new(key: FeedKey, live: FeedLive) -> Arc<Self> {
        Arc::new(FeedView { key, live: Mutex::new(live), wake: Notify::new() })
    }
    /// What it is doing; held for moments, never across an `await`.
    pub fn live(&self) -> MutexGuard<'_, FeedLive> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one feed is doing.
#[derive(Clone, Debug)]
pub struct FeedLive {
    pub state: FeedState,
    /// Why, where that is not plain: the fault in words, or what it waits for.
    pub why: Option<String>,
    /// The rule that holds it back.
    pub rule: Option<&'static Rule>,
    /// The host it waits for, with all others.
    pub host: Option<HostName>,
    /// Since when that rule holds.
    pub since: Option<Time>,
    pub next_attempt: Option<Time>,
    /// Last page or empty answer that was stored.
    pub last_success: Option<Time>,
    pub caught_up: bool,
}

impl Default for FeedLive {
    fn default() -> Self {
        FeedLive {
            state: FeedState::Starting,
            why: None,
            rule: None,
            host: None,
            since: None,
            next_attempt: None,
            last_success: None,
            caught_up: false,
        }
    }
}

/// What is known of one tenant's credential.
#[derive(Clone, Debug)]
pub struct CredentialLive {
    pub state: CredentialState,
    /// When a closed credential is tried next; `None` when it is open or waits for a person.
    pub until: Option<Time>,
    pub rule: Option<&'static Rule>,
    pub words: Option<String>,
    pub since: Option<Time>,
    pub token_expires: Option<Time>,
    /// Listing calls left in the present window.
    pub quota_remaining: Option<u64>,
    /// Codes that no row of the recovery table names.
    pub unknown_codes: Vec<UnknownCode>,
    /// Since when the secret cannot be read where it is kept, and why; the one in memory is used meanwhile.
    pub unreadable: Option<(Time, String)>,
    /// Mimecast's clock minus this machine's, milliseconds, while they differ by more than is tolerated.
    pub skew_ms: Option<i64>,
}

impl Default for CredentialLive {
    fn default() -> Self {
        CredentialLive {
            state: CredentialState::Ok,
            until: None,
            rule: None,
            words: None,
            since: None,
            token_expires: None,
            quota_remaining: None,
            unknown_codes: Vec::new(),
            unreadable: None,
            skew_ms: None,
        }
    }
}
