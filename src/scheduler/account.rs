//! What all feeds of one tenant share: the credential behind its gate, the token, the quota, the two clients.
//! Token requests are single-flight (the lock is held across them), and the gate is written down before each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::live::CredentialLive;
use crate::clock::{Clock, Time};
use crate::dialect;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{BATCH_QUOTA_CALLS, CLOCK_SKEW_SAMPLES, CLOCK_SKEW_TOLERATED};
use crate::mimecast::auth::Token;
use crate::mimecast::client::{ApiClient, DownloadClient};
use crate::mimecast::feed::Feed;
use crate::mimecast::quota::{Call, May, Quota};
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;
use crate::supervisor::backoff::Pace;
use crate::supervisor::gate::{Closed, Gate, Permit};
use crate::supervisor::rule::Rule;
use crate::supervisor::spread::Spread;
use crate::telemetry::label::CredentialState;
use crate::telemetry::notice::{Incident, Notice, Process, Tenant as News};

/// Reads the secret from where the configuration keeps it; again and again, because its file may change.
pub type SecretReader = Arc<dyn Fn() -> Result<Secret, SetupError> + Send + Sync>;

/// Who we are to Mimecast.
pub struct Identity {
    pub tenant: String,
    pub client_id: String,
    pub secret: SecretReader,
    /// Whom we talk to.
    pub base_url: String,
    pub api: ApiClient,
    pub downloads: DownloadClient,
    /// The feeds that share the quota.
    pub feeds: Vec<&'static Feed>,
    /// The API is on this machine: nobody counts calls against a quota.
    pub loopback: bool,
}

impl Identity {
    /// Tells whether anything about who we are has changed: the secret, the client id, or whom we talk to.
    fn fingerprint(&self, secret: &Secret, store: &Store) -> String {
        let all = format!("{}\n{}\n{}", self.base_url, self.client_id, secret.expose());
        Secret::new(all).fingerprint(store.salt())
    }
}

/// One tenant's credential and clients, shared by its runners.
pub struct Account {
    identity: Identity,
    pub api: ApiClient,
    pub downloads: DownloadClient,
    store: Store,
    clock: Clock,
    pace: Pace,
    credential: tokio::sync::Mutex<Credential>,
    quota: Mutex<Quota>,
    spread: Mutex<Spread>,
    /// Mimecast's clock minus ours, milliseconds, sorted; of the last few answers.
    skews: Mutex<Vec<i64>>,
    live: watch::Sender<CredentialLive>,
    /// Bumped whenever the gate may have opened.
    changed: watch::Sender<u64>,
}

struct Credential {
    gate: Gate,
    token: Option<Token>,
    closed_since: Option<Time>,
}

/// Whether a request may go out, and with what.
pub enum Access {
    Go { token: Token, generation: u64 },
    Shut(Closed),
}

impl Account {
    /// Restores the gate as the store has it: nobody else may use this credential any more.
    ///
    /// # Errors
    /// A secret that cannot be read, or a store that cannot be read.
    pub async fn open(
        identity: Identity,
        store: Store,
        clock: Clock,
        pace: Pace,
    ) -> Result<Self, SetupError> {
        let startup =
            |fault: Fault| SetupError::new(ExitCode::Failed, format!("failed to read the store: {fault}"));
        let fingerprint = identity.fingerprint(&(identity.secret)()?, &store);
        let kept = store.load_gate(&identity.tenant).await.map_err(startup)?;
        let gate = kept.and_then(|saved| {
            let mut gate = Gate::restore(&saved.text, clock.moment(), &pace)?;
            gate.set_back(saved.ahead_of(clock.now()));
            Some(gate)
        });
        let gate = gate.unwrap_or_else(|| Gate::new(fingerprint));
        let counted = store.load_quota(&identity.tenant).await.map_err(startup)?;
        let mut quota = Quota::new(&identity.feeds, !identity.loopback);
        quota.restore(&counted.unwrap_or_default(), clock.now());
        let account = Account {
            api: identity.api.clone(),
            downloads: identity.downloads.clone(),
            quota: Mutex::new(quota),
            spread: Mutex::default(),
            skews: Mutex::default(),
            identity,
            store,
            clock,
            pace,
            credential: tokio::sync::Mutex::new(Credential { gate, token: None, closed_since: None }),
            live: watch::Sender::new(CredentialLive::default()),
            changed: watch::Sender::new(0),
        };
        account.publish(&mut *account.credential.lock().await, None);
        Ok(account)
    }

    /// State of the credential, as it changes.
    pub fn live(&self) -> watch::Receiver<CredentialLive> {
        self.live.subscribe()
    }
    /// Changes whenever a closed gate is worth another look.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Asks the quota for one call; `None`: go, and it is counted. Else when to ask again.
    ///
    /// # Errors
    /// The store's: a call that cannot be written down is not made, or a restart would count it anew.
    pub async fn quota(&self, feed: &Feed, call: Call) -> Result<Option<Time>, Fault> {
        let counted = {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            match quota.may(feed, call, self.clock.now()) {
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

    /// Mimecast's time, as far as its answers tell: windows follow its clock, not this machine's.
    pub fn server_now(&self) -> Time {
        let now = self.clock.now();
        let skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        let median = skews.get(skews.len() / 2).copied().unwrap_or(0);
        if median.unsigned_abs() < CLOCK_SKEW_TOLERATED.as_millis() as u64 {
            now
        } else {
            Time(now.0.saturating_add(median))
        }
    }

    /// Whether any answer has told Mimecast's time yet.
    pub fn knows_time(&self) -> bool {
        !self.skews.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn note_skew(&self, skew: i64) {
        let mut skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        let large = |skew: i64| skew.unsigned_abs() >= CLOCK_SKEW_TOLERATED.as_millis() as u64;
        let known = skews.get(skews.len() / 2).copied().is_some_and(large);
        if skews.len() >= CLOCK_SKEW_SAMPLES {
            // the sample furthest from the new one makes room
            let far = skews.iter().enumerate().max_by_key(|(_, old)| old.abs_diff(skew)).map(|(at, _)| at);
            far.map(|at| skews.remove(at));
        }
        let at = skews.partition_point(|old| *old < skew);
        skews.insert(at, skew);
        let now = skews.get(skews.len() / 2).copied().is_some_and(large);
        if now && !known {
            let news = Process::ClockSkew { tenant: &self.identity.tenant, millis: skew };
            Notice::Process(news).emit();
        }
        let skew = now.then(|| skews.get(skews.len() / 2).copied()).flatten();
        drop(skews);
        if self.live.borrow().skew_ms.is_some() || skew.is_some() {
            self.live.send_modify(|live| live.skew_ms = skew);
        }
    }

    /// What an answer's headers say about Mimecast's clock, and about the budget: none left means a pause before
    /// the refusal comes.
    pub fn note_headers(&self, feed: &Feed, headers: &[(String, String)]) {
        let now = self.clock.now();
        if let Some(skew) = dialect::skew_ms(headers, now) {
            self.note_skew(skew);
        }
        if let Some(wait) = dialect::quota_pause(headers, now) {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.exhausted(feed, Some(now.plus(wait)), now);
        }
    }

    /// Why no request may go out now; `None` while the gate is open, or when its time has come. A changed secret
    /// opens it.
    pub async fn closed(&self) -> Option<Closed> {
        let mut credential = self.credential.lock().await;
        if credential.gate.holding().is_some() {
            let _ = self.offer_secret(&mut credential).await; // a store that fails says so at the request itself
        }
        let now = self.clock.now();
        credential.gate.holding().filter(|closed| closed.until.is_none_or(|until| now < until))
    }

    /// An operator says that the cause is gone.
    ///
    /// # Errors
    /// The store's.
    pub async fn resume(&self) -> Result<(), Fault> {
        let mut credential = self.credential.lock().await;
        credential.gate.resume();
        self.keep(&mut credential).await?;
        self.publish_as(&mut credential, None, false);
        Ok(())
    }

    /// The token to use now, after a login if one is due and allowed.
    ///
    /// # Errors
    /// The token endpoint's fault (the gate has counted it), or the store's.
    pub async fn access(&self) -> Result<Access, Fault> {
        let mut credential = self.credential.lock().await;
        if credential.gate.holding().is_some() {
            self.offer_secret(&mut credential).await?;
        }
        match credential.gate.permit(self.clock.now()) {
            Permit::Closed(closed) => return Ok(Access::Shut(closed)),
            Permit::Go { generation } => {
                if let Some(token) = credential.token.clone() {
                    return Ok(Access::Go { token, generation });
                }
            }
            Permit::Login => {}
        }
        if let Some(closed) = self.log_in(&mut credential).await? {
            return Ok(Access::Shut(closed));
        }
        match (credential.gate.permit(self.clock.now()), credential.token.clone()) {
            (Permit::Go { generation }, Some(token)) => Ok(Access::Go { token, generation }),
            (Permit::Closed(closed), _) => Ok(Access::Shut(closed)),
            _ => Ok(Access::Shut(Closed {
                until: Some(self.clock.now().plus(Duration::from_secs(1))),
                rule: None,
            })),
        }
    }

    /// A changed secret file opens a gate that its old content closed.
    async fn offer_secret(&self, credential: &mut Credential) -> Result<(), Fault> {
        let Ok(secret) = (self.identity.secret)() else { return Ok(()) }; // the old fault still says it all
        if credential.gate.offer(&self.identity.fingerprint(&secret, &self.store)) {
            self.keep(credential).await?;
            self.publish_as(credential, None, false);
        }
        Ok(())
    }

    /// One login, counted and written down before it is made. `Some` when none may be made now.
    async fn log_in(&self, credential: &mut Credential) -> Result<Option<Closed>, Fault> {
        let secret = self.read_secret()?;
        let fingerprint = self.identity.fingerprint(&secret, &self.store);
        let before = credential.gate.clone();
        let began = credential.gate.begin_login(self.clock.moment(), &fingerprint, &self.pace);
        if let Err(fault) = self.keep(credential).await {
            credential.gate = before; // nothing was sent, so nothing counts
            return Err(fault);
        }
        if let Err(closed) = began {
            return Ok(Some(closed));
        }
        self.live.send_modify(|live| live.state = CredentialState::Refreshing);
        let start = tokio::time::Instant::now();
        let answer = self.api.token(&self.identity.client_id, &secret).await;
        let took = start.elapsed();
        match answer {
            Ok((token, skew)) => {
                if let Some(skew) = skew {
                    self.note_skew(skew);
                }
                let news = News::Answered { status: Some(200), code: "", took };
                Notice::Tenant(&self.identity.tenant, news).emit();
                Notice::Tenant(&self.identity.tenant, News::TokenObtained { expires: token.expires }).emit();
                credential.gate.login_ok(self.clock.now(), token.expires.since(self.clock.now()));
                credential.token = Some(token);
                self.keep(credential).await?;
                self.publish(credential, None);
                Ok(None)
            }
            Err(fault) => {
                let news = News::Answered { status: fault.status(), code: fault.code_str(), took };
                Notice::Tenant(&self.identity.tenant, news).emit();
                let rule = credential.gate.login_fault(&fault, self.clock.moment(), &self.pace);
                credential.token = None;
                self.keep(credential).await?;
                self.publish(credential, Some((&fault, rule)));
                Err(fault)
            }
        }
    }

    fn read_secret(&self) -> Result<Secret, Fault> {
        let unreadable = |error: SetupError| Fault::new(Origin::Local, Kind::SecretUnreadable, error.message);
        (self.identity.secret)().map_err(unreadable)
    }

    /// Makes a login if one is due and allowed, and nothing else: its answer tells Mimecast's time.
    ///
    /// # Errors
    /// As [`Account::access`].
    pub async fn learn_time(&self) -> Result<(), Fault> {
        if let Access::Go { .. } = self.access().await? {
            self.credential.lock().await.gate.not_sent();
        }
        Ok(())
    }

    /// An API function answered well.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_ok(&self, generation: u64) -> Result<(), Fault> {
        let mut credential = self.credential.lock().await;
        if credential.gate.call_ok(generation) {
            self.keep(&mut credential).await?;
            self.publish(&mut credential, None);
        }
        Ok(())
    }

    /// An API function failed; what that says about the credential is counted once per token.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_fault(&self, fault: &Fault, generation: u64) -> Result<(), Fault> {
        let mut credential = self.credential.lock().await;
        let before = credential.gate.clone();
        let rule = credential.gate.call_fault(fault, generation, self.clock.moment(), &self.pace);
        if credential.gate != before {
            if rule.is_for_gate(fault.origin) {
                credential.token = None;
            }
            self.keep(&mut credential).await?;
            self.publish(&mut credential, Some((fault, rule)));
        }
        Ok(())
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

    async fn keep(&self, credential: &mut Credential) -> Result<(), Fault> {
        self.store.save_gate(&self.identity.tenant, &credential.gate.to_text()).await
    }

    /// Tells everybody: status, log, and feeds that wait.
    fn publish(&self, credential: &mut Credential, cause: Option<(&Fault, &'static Rule)>) {
        self.publish_as(credential, cause, true);
    }

    fn publish_as(
        &self,
        credential: &mut Credential,
        cause: Option<(&Fault, &'static Rule)>,
        answered: bool,
    ) {
        let now = self.clock.now();
        let (state, holding) = (credential.gate.state(now), credential.gate.holding());
        let name = &self.identity.tenant;
        match (credential.closed_since, &holding) {
            (None, Some(_)) => credential.closed_since = Some(now),
            // a new secret or `resume` only opens the way; that it works is shown by an answer
            (Some(since), None) if answered => {
                credential.closed_since = None;
                Notice::Tenant(name, News::CredentialOpened { closed_for: now.since(since) }).emit();
            }
            _ => {}
        }
        if let (Some(closed), Some((fault, rule))) = (&holding, cause) {
            let incident = Incident::of(fault, rule, closed.until.map(|until| until.since(now)));
            let news = News::CredentialClosed { state: label(state), incident, until: closed.until };
            Notice::Tenant(name, news).emit();
        }
        self.live.send_modify(|live| {
            live.state = label(state);
            live.until = holding.and_then(|closed| closed.until);
            live.rule = holding.and_then(|closed| closed.rule);
            live.since = credential.closed_since;
            live.words =
                cause.map(|(fault, _)| fault.to_string()).or(live.words.take().filter(|_| holding.is_some()));
            live.token_expires = credential.token.as_ref().map(|token| token.expires);
        });
        self.changed.send_modify(|count| *count += 1);
    }
}

fn label(state: crate::supervisor::gate::CredentialState) -> CredentialState {
    use crate::supervisor::gate::CredentialState as Gate;
    match state {
        Gate::Ok => CredentialState::Ok,
        Gate::Refreshing => CredentialState::Refreshing,
        Gate::Suspended => CredentialState::Suspended,
        Gate::LockedOut => CredentialState::LockedOut,
        Gate::Expired => CredentialState::Expired,
        Gate::Revoked => CredentialState::Revoked,
        Gate::Denied => CredentialState::Denied,
    }
}
