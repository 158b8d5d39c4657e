//! What all feeds of one tenant share: the credential behind its gate, the token, the quota, the two clients.
//! Token requests are single-flight (the lock is held across them), and the gate is written down before each. Keys
//! that sign have no login: there the first call goes alone, and the others wait for what comes of it.

mod shared;
mod signing;
mod telling;
mod time;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};

use super::hosts::{HostName, Hosts};
use super::live::CredentialLive;
use super::server_clock::ServerClock;
use crate::clock::{Clock, StepWatch, Time};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::{SIGNED_CALLS, SIGNING_KEYS_LIFE};
use crate::mimecast::auth::{Keys, Pass, Token};
use crate::mimecast::client::{ApiClient, DownloadClient};
use crate::mimecast::feed::Feed;
use crate::mimecast::quota::Quota;
use crate::mimecast::signature::SigningKeys;
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::Store;
use crate::supervisor::backoff::Pace;
use crate::supervisor::gate::{Closed, Gate, Permit};
use crate::supervisor::spread::Spread;
use crate::telemetry::label::CredentialState;
use crate::telemetry::notice::{Notice, Tenant as News};

/// Reads the keys from where the configuration keeps them; again and again, because their files may change.
pub type KeyReader = Arc<dyn Fn() -> Result<Keys, SetupError> + Send + Sync>;

/// Who we are to Mimecast.
pub struct Identity {
    pub tenant: String,
    pub keys: KeyReader,
    /// Whom we talk to.
    pub base_url: String,
    pub api: ApiClient,
    pub downloads: DownloadClient,
    /// The feeds that share the quota.
    pub feeds: Vec<&'static Feed>,
    /// The API is on this machine: nobody counts calls against a quota.
    pub loopback: bool,
    /// All hosts of the process.
    pub hosts: Arc<Hosts>,
    /// Where the API is, and by which proxy everything goes.
    pub host: HostName,
    pub via: Option<String>,
    /// The proxy with its login.
    pub proxy: Option<Secret>,
}

impl Identity {
    /// Tells whether anything about who we are has changed: a key, an id, or whom we talk to.
    fn fingerprint(&self, keys: &Keys, store: &Store) -> String {
        let all = format!("{}\n{}", self.base_url, keys.identity().expose());
        Secret::new(all).fingerprint(store.salt())
    }
}

/// One tenant's credential and clients, shared by its runners.
pub struct Account {
    identity: Identity,
    pub api: ApiClient,
    pub downloads: DownloadClient,
    /// One of its files is read at a time.
    pub one_file: Arc<Semaphore>,
    store: Store,
    clock: Clock,
    pace: Pace,
    credential: tokio::sync::Mutex<Credential>,
    quota: Mutex<Quota>,
    spread: Mutex<Spread>,
    server_clock: Mutex<ServerClock>,
    /// Held by the first call of keys that sign, until its outcome is known.
    first_call: Arc<tokio::sync::Mutex<()>>,
    /// Places for signed calls: each is held from the signature until it is clear what came of it.
    signed_calls: Arc<Semaphore>,
    /// There is no login.
    signs: bool,
    /// The keys as they were last read: used while their file cannot be (recovery row L08).
    known: Mutex<Keys>,
    live: watch::Sender<CredentialLive>,
    /// Bumped whenever the gate may have opened.
    changed: watch::Sender<u64>,
}

struct Credential {
    gate: Gate,
    proof: Option<Proof>,
    closed_since: Option<Time>,
    /// The hold that was last told of: the row, and until when. Several calls may find one and the same.
    told: Option<(&'static str, Option<Time>)>,
    steps: StepWatch,
}

/// What calls are made with while the gate is open.
#[derive(Clone)]
enum Proof {
    Token(Token),
    Keys(Arc<SigningKeys>),
}

/// Whether a request may go out, and with what.
pub enum Access {
    /// Report what comes of the call: [`Account::call_ok`], [`Account::call_fault`].
    Go {
        pass: Pass,
        slip: Slip,
    },
    Shut(Closed),
}

/// Which call an outcome belongs to.
pub struct Slip {
    generation: u64,
    /// The date it was signed with.
    signed: Option<Time>,
    /// It is the first call of keys that sign; while this is held, no other goes out.
    first: Option<OwnedMutexGuard<()>>,
    /// Its place among the signed calls.
    _place: Option<OwnedSemaphorePermit>,
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
        let keys = (identity.keys)()?;
        let fingerprint = identity.fingerprint(&keys, &store);
        let name = &identity.tenant;
        let mut kept = store.load_gate(name).await.map_err(startup)?;
        let mut counted = store.load_quota(name).await.map_err(startup)?;
        // a lock is the account's, under whatever name its credential was used before
        if kept.is_none()
            && let Some((other, saved)) = store.find_gate(name, &fingerprint).await.map_err(startup)?
        {
            kept = Some(saved);
            counted = counted.or(store.load_quota(&other).await.map_err(startup)?);
        }
        let gate = kept.and_then(|saved| {
            let mut gate = Gate::restore(&saved.text, clock.moment(), &pace)?;
            gate.set_back(saved.ahead_of(clock.now()));
            Some(gate)
        });
        let signs = matches!(keys, Keys::Signing(_));
        let steps = StepWatch::new(&clock);
        let gate = gate.unwrap_or_else(|| Gate::new(fingerprint)).signing(signs);
        let way = identity.proxy.as_ref().map(|proxy| proxy.fingerprint(store.salt()));
        let gate = gate.by_way(way.unwrap_or_default());
        let mut quota = Quota::new(&identity.feeds, !identity.loopback);
        quota.restore(&counted.unwrap_or_default(), clock.now());
        let account = Account {
            api: identity.api.clone(),
            downloads: identity.downloads.clone(),
            one_file: Arc::new(Semaphore::new(1)),
            quota: Mutex::new(quota),
            spread: Mutex::default(),
            server_clock: Mutex::default(),
            first_call: Arc::default(),
            signed_calls: Arc::new(Semaphore::new(SIGNED_CALLS)),
            signs,
            known: Mutex::new(keys),
            identity,
            store,
            clock,
            pace,
            credential: tokio::sync::Mutex::new(Credential {
                gate,
                proof: None,
                closed_since: None,
                told: None,
                steps,
            }),
            live: watch::Sender::new(CredentialLive::default()),
            changed: watch::Sender::new(0),
        };
        account.publish(&mut *account.credential.lock().await, None);
        Ok(account)
    }

    /// Tells the keys, as they are kept now, from others; `None` where they cannot be read.
    pub fn fingerprint(&self) -> Option<String> {
        let keys = (self.identity.keys)().ok()?;
        Some(self.identity.fingerprint(&keys, &self.store))
    }
    /// State of the credential, as it changes.
    pub fn live(&self) -> watch::Receiver<CredentialLive> {
        self.live.subscribe()
    }
    /// Changes whenever a closed gate is worth another look.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Why no request may go out now; `None` while the gate is open, or when its time has come. A changed secret
    /// opens it.
    pub async fn closed(&self) -> Option<Closed> {
        let mut credential = self.credential.lock().await;
        let _ = self.follow_clock(&mut credential).await; // as below
        if credential.gate.holding().is_some() {
            let _ = self.may_have_passed(&mut credential).await; // a store that fails says so at the request itself
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

    /// What a request may carry now, after a login if one is due and allowed. Where keys sign, waits for the
    /// outcome of the first call if another feed is making it.
    ///
    /// # Errors
    /// The token endpoint's fault (the gate has counted it), or the store's.
    pub async fn access(&self) -> Result<Access, Fault> {
        let place = self.place().await;
        let access = self.access_now().await?;
        Ok(access.in_place(place))
    }

    async fn access_now(&self) -> Result<Access, Fault> {
        let mut credential = self.credential.lock().await;
        self.follow_clock(&mut credential).await?;
        if credential.gate.holding().is_some() {
            self.may_have_passed(&mut credential).await?;
        }
        if self.live.borrow().unreadable.is_some() {
            self.read_keys(); // it may be mended, and nobody should be told of it until the next login
        }
        if let Some(access) = self.permitted(&mut credential) {
            return Ok(access);
        }
        if self.signs {
            drop(credential);
            return self.knock().await;
        }
        if let Some(closed) = self.log_in(&mut credential).await? {
            return Ok(Access::Shut(closed));
        }
        let later = Closed { until: Some(self.clock.now().plus(Duration::from_secs(1))), rule: None };
        Ok(self.permitted(&mut credential).unwrap_or(Access::Shut(later)))
    }

    /// What the gate says; `None` when a login is due.
    fn permitted(&self, credential: &mut Credential) -> Option<Access> {
        match credential.gate.permit(self.clock.now()) {
            Permit::Closed(closed) => Some(Access::Shut(closed)),
            Permit::Go { generation } => Some(self.go(credential.proof.clone()?, generation, None)),
            Permit::Login => None,
        }
    }

    fn go(&self, proof: Proof, generation: u64, first: Option<OwnedMutexGuard<()>>) -> Access {
        let (pass, signed) = match proof {
            Proof::Token(token) => (Pass::Bearer(token), None),
            Proof::Keys(keys) => {
                let date = self.server_now();
                (Pass::Signed { keys, date }, Some(date))
            }
        };
        Access::Go { pass, slip: Slip { generation, signed, first, _place: None } }
    }

    /// A changed secret file opens a gate that its old content closed, and a host that is back one that only the
    /// host's being away had closed.
    async fn may_have_passed(&self, credential: &mut Credential) -> Result<(), Fault> {
        let back = |since| self.identity.hosts.is_back_since(&self.identity.host, since);
        if credential.closed_since.is_some_and(back) && credential.gate.host_back() {
            self.keep(credential).await?;
            self.publish_as(credential, None, false);
        }
        let Ok(keys) = (self.identity.keys)() else { return Ok(()) }; // the old fault still says it all
        if credential.gate.offer(&self.identity.fingerprint(&keys, &self.store)) {
            self.keep(credential).await?;
            self.publish_as(credential, None, false);
        }
        Ok(())
    }

    /// Somebody has set our clock: what the gate waits for is as far away as it was, and no quota for longer.
    async fn follow_clock(&self, credential: &mut Credential) -> Result<(), Fault> {
        let Some(step) = credential.steps.step(&self.clock) else { return Ok(()) };
        credential.gate.moved(step);
        credential.closed_since = credential.closed_since.map(|since| since.moved(step));
        if step < 0 {
            let by = Duration::from_millis(step.unsigned_abs());
            self.quota.lock().unwrap_or_else(PoisonError::into_inner).set_back(by);
        }
        self.keep(credential).await?;
        self.publish_as(credential, None, false);
        Ok(())
    }

    /// Counts an attempt and writes it down before it is made. `Some` when none may be made now.
    async fn begin(&self, credential: &mut Credential, fingerprint: &str) -> Result<Option<Closed>, Fault> {
        let before = credential.gate.clone();
        let began = credential.gate.begin_login(self.clock.moment(), fingerprint, &self.pace);
        if let Err(fault) = self.keep(credential).await {
            credential.gate = before; // nothing was sent, so nothing counts
            return Err(fault);
        }
        if let Err(closed) = began {
            if let Some(rule) = closed.rule.filter(|_| credential.gate != before) {
                let mut fault = Fault::new(Origin::Local, Kind::Conflict, rule.meaning);
                fault.code = Code::new(rule.title);
                self.publish(credential, Some((&fault, rule)));
            }
            return Ok(Some(closed));
        }
        self.live.send_modify(|live| live.state = CredentialState::Refreshing);
        Ok(None)
    }

    /// One login. `Some` when none may be made now.
    async fn log_in(&self, credential: &mut Credential) -> Result<Option<Closed>, Fault> {
        let keys = self.read_keys();
        let fingerprint = self.identity.fingerprint(&keys, &self.store);
        let Keys::Client { id, secret } = keys else { return Ok(None) }; // keys that sign have no login
        if let Some(closed) = self.begin(credential, &fingerprint).await? {
            return Ok(Some(closed));
        }
        let start = tokio::time::Instant::now();
        let answer = self.api.token(&id, &secret).await;
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
                credential.proof = Some(Proof::Token(token));
                self.keep(credential).await?;
                // after a refusal a token alone shows nothing: the next call does
                let works = !credential.gate.on_trial();
                self.publish_as(credential, None, works);
                Ok(None)
            }
            Err(fault) => {
                let news = News::Answered { status: fault.status(), code: fault.code_str(), took };
                Notice::Tenant(&self.identity.tenant, news).emit();
                let rule = credential.gate.login_fault(&fault, self.clock.moment(), &self.pace);
                credential.proof = None;
                self.keep(credential).await?;
                self.publish(credential, Some((&fault, rule)));
                Err(fault)
            }
        }
    }

    /// The keys where they are kept, or as they were when that could last be read (recovery row L08).
    pub fn read_keys(&self) -> Keys {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let words = match (self.identity.keys)() {
            Ok(keys) => {
                *known = keys;
                None
            }
            Err(error) => Some(error.message),
        };
        let before = self.live.borrow().unreadable.clone();
        if before.is_some() != words.is_some() {
            let news = News::SecretFile { unreadable: words.as_deref() };
            Notice::Tenant(&self.identity.tenant, news).emit();
            let since = self.clock.now();
            self.live.send_modify(|live| live.unreadable = words.map(|words| (since, words)));
        }
        known.clone()
    }

    /// The API function of the feed `by` answered well.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_ok(&self, by: &str, slip: Slip) -> Result<(), Fault> {
        let mut credential = self.credential.lock().await;
        if slip.first.is_some() {
            credential.gate.knock_ok(by, self.clock.now(), SIGNING_KEYS_LIFE);
        } else if !credential.gate.call_ok(by, slip.generation) {
            return Ok(());
        }
        self.keep(&mut credential).await?;
        self.publish(&mut credential, None);
        Ok(())
    }

    /// The API function of the feed `by` failed; what that says about the credential is counted once per token, or per key.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_fault(&self, by: &str, fault: &Fault, slip: Slip) -> Result<(), Fault> {
        if let Some(skew) = fault.skew_ms.filter(|_| fault.attributed) {
            self.note_skew(skew);
        }
        // what was judged is the date that was signed: ours as it was corrected then, which may be off where our
        // clock is right by now, and right where our clock is off
        let theirs = fault.skew_ms.map(|skew| self.clock.now().0.saturating_add(skew));
        let off = theirs.zip(slip.signed).map(|(theirs, signed)| theirs.saturating_sub(signed.0));
        let judged = Fault { skew_ms: off.or(fault.skew_ms), ..fault.clone() };
        let mut credential = self.credential.lock().await;
        let (before, now) = (credential.gate.clone(), self.clock.moment());
        let rule = match slip.first {
            Some(_) => credential.gate.knock_fault(by, &judged, SIGNING_KEYS_LIFE, now, &self.pace),
            None => credential.gate.call_fault(by, &judged, slip.generation, now, &self.pace),
        };
        if credential.gate == before {
            return Ok(());
        }
        if rule.is_for_gate(fault.origin) {
            credential.proof = None;
            if let Some(skew) = fault.skew_ms.filter(|_| before.can_be_renewed(&judged)) {
                self.believe_skew(skew);
            }
        }
        self.keep(&mut credential).await?;
        self.publish(&mut credential, Some((fault, rule)));
        Ok(())
    }

    async fn keep(&self, credential: &mut Credential) -> Result<(), Fault> {
        self.store.save_gate(&self.identity.tenant, &credential.gate.to_text()).await
    }
}
