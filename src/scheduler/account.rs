//! What all feeds of one tenant share: the credential behind its gate, the token, the quota, the two clients.
//! Token requests are single-flight (the lock is held across them), and the gate is written down before each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::live::CredentialLive;
use crate::clock::{Clock, Time};
use crate::config;
use crate::dialect;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::BATCH_QUOTA_CALLS;
use crate::mimecast::auth::Token;
use crate::mimecast::catalogue;
use crate::mimecast::client::{ApiClient, DownloadClient, Outlet, Timeouts, Tls};
use crate::mimecast::feed::Feed;
use crate::mimecast::quota::{Call, May, Quota};
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;
use crate::supervisor::backoff::Pace;
use crate::supervisor::gate::{Closed, Gate, Permit};
use crate::supervisor::rule::Rule;
use crate::telemetry::label::CredentialState;
use crate::telemetry::notice::{Incident, Notice, Tenant as News};

/// Who we are to Mimecast.
pub struct Identity {
    pub tenant: String,
    client_id: String,
    secret: config::SecretRef,
    outlet: Outlet,
    /// The feeds that share the quota.
    feeds: Vec<&'static Feed>,
    /// The API is on this machine: nobody counts calls against a quota.
    loopback: bool,
}

impl Identity {
    /// From settings; reads the secret once, so that a missing one is found at start.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub fn of(tenant: &config::Tenant, clock: &Clock) -> Result<Self, SetupError> {
        tenant.client_secret.read()?;
        Ok(Identity {
            tenant: tenant.name.clone(),
            client_id: tenant.client_id.clone(),
            secret: tenant.client_secret.clone(),
            outlet: Outlet {
                base_url: tenant.base_url.clone(),
                proxy: tenant.proxy.clone(),
                tls: Tls::new(tenant.ca_file.as_deref(), !tenant.loopback)?,
                download_hosts: tenant.download_hosts.clone(),
                timeouts: Timeouts::default(),
                clock: clock.clone(),
            },
            feeds: tenant.feeds.iter().filter_map(|feed| catalogue::find(feed.name)).collect(),
            loopback: tenant.loopback,
        })
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
    /// Restores the gate and builds the clients.
    ///
    /// # Errors
    /// A certificate that cannot be used, or a store that cannot be read.
    pub async fn open(
        identity: Identity,
        store: Store,
        clock: Clock,
        pace: Pace,
    ) -> Result<Self, SetupError> {
        let startup =
            |fault: Fault| SetupError::new(ExitCode::Failed, format!("failed to read the store: {fault}"));
        let fingerprint = identity.secret.read()?.fingerprint(store.salt());
        let kept = store.load_gate(&identity.tenant).await.map_err(startup)?;
        let gate = kept.and_then(|text| Gate::restore(&text, clock.moment(), &pace));
        let gate = gate.unwrap_or_else(|| Gate::new(fingerprint));
        let account = Account {
            api: ApiClient::new(&identity.outlet)?,
            downloads: DownloadClient::new(&identity.outlet)?,
            quota: Mutex::new(Quota::new(&identity.feeds, !identity.loopback)),
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

    pub fn live(&self) -> watch::Receiver<CredentialLive> {
        self.live.subscribe()
    }
    /// Changes whenever a closed gate is worth another look.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Asks the quota for one call; `None`: go, and it is counted. Else when to ask again.
    pub fn quota(&self, feed: &Feed, call: Call) -> Option<Time> {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        match quota.may(feed, call, self.clock.now()) {
            May::Go => {
                let left = u64::from(BATCH_QUOTA_CALLS.saturating_sub(quota.used()));
                self.live.send_modify(|live| live.quota_remaining = Some(left));
                None
            }
            May::Wait(until) => Some(until),
        }
    }

    /// What an answer's headers say about the budget: none left means a pause before the refusal comes.
    pub fn note_budget(&self, feed: &Feed, headers: &[(String, String)]) {
        let now = self.clock.now();
        if let Some(wait) = dialect::quota_pause(headers, now) {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.exhausted(feed, Some(now.plus(wait)), now);
        }
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
        let Ok(secret) = self.identity.secret.read() else { return Ok(()) }; // the old fault still says it all
        if credential.gate.offer(&secret.fingerprint(self.store.salt())) {
            self.keep(credential).await?;
            self.publish(credential, None);
        }
        Ok(())
    }

    /// One login, counted and written down before it is made. `Some` when none may be made now.
    async fn log_in(&self, credential: &mut Credential) -> Result<Option<Closed>, Fault> {
        let secret = self.read_secret()?;
        let fingerprint = secret.fingerprint(self.store.salt());
        let began = credential.gate.begin_login(self.clock.moment(), &fingerprint, &self.pace);
        self.keep(credential).await?;
        if let Err(closed) = began {
            return Ok(Some(closed));
        }
        self.live.send_modify(|live| live.state = CredentialState::Refreshing);
        let start = tokio::time::Instant::now();
        let answer = self.api.token(&self.identity.client_id, &secret).await;
        let took = start.elapsed();
        match answer {
            Ok(token) => {
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
        self.identity.secret.read().map_err(unreadable)
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

    async fn keep(&self, credential: &mut Credential) -> Result<(), Fault> {
        self.store.save_gate(&self.identity.tenant, &credential.gate.to_text()).await
    }

    /// Tells everybody: status, log, and feeds that wait.
    fn publish(&self, credential: &mut Credential, cause: Option<(&Fault, &'static Rule)>) {
        let now = self.clock.now();
        let (state, holding) = (credential.gate.state(now), credential.gate.holding());
        let name = &self.identity.tenant;
        match (credential.closed_since, &holding) {
            (None, Some(_)) => credential.closed_since = Some(now),
            (Some(since), None) => {
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
