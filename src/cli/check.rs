//! `check`: tries everything that the configuration names, once, and says for each thing that does not work what
//! to do. Mimecast is asked through the same gate and quota as the daemon's feeds; while a daemon runs, both are its
//! own, so that its answers are told instead of asking again.

mod api;
mod certificate;
mod reach;
mod running;
mod sinks;

use serde_json::json;

use super::daemon_user::{self, Owner};
use super::progress::Progress;
use super::{Common, Printed, block_on, load, terminal};
use crate::admin::{TextLook, Tone};
use crate::clock::Clock;
use crate::config::Settings;
use crate::daemon::findings::{SECRET_REMEDY, secret_end};
use crate::fault::{Fault, Kind};
use crate::limits::MIN_POLL_INTERVAL;
use crate::setup_error::{ExitCode, SetupError};
use crate::store::{Options, Store};
use crate::supervisor::backoff::{Overrides, Pace};
use crate::supervisor::rule::Verdict;

/// How one thing turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    /// It works, but not for long, or not well.
    Look,
    /// Not tried, because something before it failed or somebody else is in charge.
    Untried,
    /// It does not work; with the exit code that this means.
    Fails(ExitCode),
}

impl Outcome {
    fn tone(self) -> Tone {
        match self {
            Outcome::Works => Tone::Good,
            Outcome::Look => Tone::Warn,
            Outcome::Untried => Tone::Idle,
            Outcome::Fails(_) => Tone::Bad,
        }
    }
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Works => "ok",
            Outcome::Look => "look",
            Outcome::Untried => "-",
            Outcome::Fails(_) => "FAILS",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// `acme`, `acme/audit`, `sink:siem`, as `status` names it.
    pub scope: String,
    /// One word: what was tried.
    pub tried: &'static str,
    pub outcome: Outcome,
    /// What came of it.
    pub words: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Row {
    fn new(scope: &str, tried: &'static str, outcome: Outcome, words: impl Into<String>) -> Self {
        Row { scope: scope.to_owned(), tried, outcome, words: words.into(), remedy: None }
    }
    fn works(scope: &str, tried: &'static str, words: impl Into<String>) -> Self {
        Row::new(scope, tried, Outcome::Works, words)
    }
    fn untried(scope: &str, tried: &'static str, words: impl Into<String>) -> Self {
        Row::new(scope, tried, Outcome::Untried, words)
    }
    fn fix(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
    /// What the recovery table says about a fault.
    fn failed(scope: &str, tried: &'static str, fault: &Fault) -> Self {
        let rule = Pace::new(MIN_POLL_INTERVAL, false, Overrides::default()).judge(fault);
        let words = format!("{fault} ({}: {})", rule.id, rule.meaning);
        Row::new(scope, tried, Outcome::Fails(exit_of(fault, rule.verdict)), words).fix(rule.remedy)
    }
    /// A secret, certificate or address that cannot even be tried.
    fn unusable(scope: &str, tried: &'static str, error: &SetupError) -> Self {
        let exit = if error.exit == ExitCode::Failed { ExitCode::Configuration } else { error.exit };
        Row::new(scope, tried, Outcome::Fails(exit), error.message.clone())
    }
}

/// A person has to change a credential or a right; or the other side is not there.
fn exit_of(fault: &Fault, verdict: Verdict) -> ExitCode {
    match (fault.kind, verdict) {
        (Kind::SecretUnreadable, _) => ExitCode::Configuration,
        // a file sink's disk halts it only by what this user may not do
        (Kind::DiskIo, Verdict::Halt { .. }) => ExitCode::Permission,
        (
            Kind::Status(_),
            Verdict::Halt { .. }
            | Verdict::Lockout { .. }
            | Verdict::ConfirmThenHalt(_)
            | Verdict::Refresh { .. },
        ) => ExitCode::Permission,
        _ => ExitCode::Unreachable,
    }
}

/// Tries everything and prints one table. With `send_test_event`, each sink gets one event that says what it is.
/// Exits with 78 before 77 before 69 where several things fail.
///
/// # Errors
/// The configuration cannot be read. What does not work is in the table.
pub fn check(common: &Common, send_test_event: bool) -> Printed {
    let settings = load(common)?;
    let mut rows = vec![Row::works(
        "configuration",
        "reading",
        format!("{}, {}", common.place.config.display(), contents(&settings)),
    )];
    rows.extend(
        settings
            .warnings
            .iter()
            .map(|text| Row::new("configuration", "reading", Outcome::Look, text.clone())),
    );
    let now = Clock::System.now();
    rows.extend(settings.tenants.iter().filter_map(|tenant| {
        let words = secret_end(tenant.secret_expires?, now)?;
        Some(Row::new(&tenant.name, "secret", Outcome::Look, words).fix(SECRET_REMEDY))
    }));
    // one TLS provider for client and sinks; a second call changes nothing
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asking =
        Progress::begin("asking Mimecast and every sink").watch(everything(&settings, send_test_event));
    rows.extend(block_on(asking)?);
    let exit = exit(&rows);
    let checks: Vec<_> = rows.iter().map(as_json).collect();
    let data = json!({ "ok": exit == ExitCode::Done, "exit": exit as u8, "checks": checks });
    Ok((common.either(|| table(&rows, terminal::look()) + verdict(&rows), data), exit))
}

fn contents(settings: &Settings) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", count(settings.tenants.len(), "tenant"), count(settings.sinks.len(), "sink"))
}

async fn everything(settings: &Settings, send_test_event: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for tenant in &settings.tenants {
        rows.extend(reach::api(tenant).await);
    }
    rows.extend(ask_mimecast(settings).await);
    let sinks = settings.sinks.iter().map(|sink| sinks::check(sink, send_test_event));
    rows.extend(futures_util::future::join_all(sinks).await.into_iter().flatten());
    rows
}

/// With our own hands, or, where a daemon has the store, in its words.
async fn ask_mimecast(settings: &Settings) -> Vec<Row> {
    let home = match Home::open(settings).await {
        Ok(home) => home,
        Err(held) if held.exit == ExitCode::TryLater => return running::told(settings),
        Err(refused) => {
            let hint = "run this as root or as the daemon's user (`sudo -u mimecollectd mimecollectd check`)";
            let why = format!(
                "not asked, because what is known of locks cannot be read or kept: {}",
                refused.message
            );
            return vec![Row::new("store", "opening", Outcome::Fails(refused.exit), why).fix(hint)];
        }
    };
    let mut rows = Vec::new();
    for tenant in &settings.tenants {
        rows.extend(api::ask(tenant, settings, &home.store).await);
    }
    home.leave().await;
    rows
}

/// The store whose gates and quotas count. Where the daemon has never run it is created, and stays: what a refused
/// secret has cost must not be forgotten until the next check.
struct Home {
    store: Store,
    created: bool,
}

impl Home {
    async fn open(settings: &Settings) -> Result<Home, SetupError> {
        let options = Options::new(settings.store.max_size, settings.store.retention, Clock::System);
        let created = !settings.state_dir.exists();
        let store = Store::open(&settings.state_dir, &options).await?;
        Ok(Home { store, created })
    }

    async fn leave(self) {
        let dir = self.store.dir().to_owned();
        let _ = self.store.close().await; // else the next start checks the store
        drop(self.store);
        hand_over(&dir, self.created);
    }
}

/// What root creates for the daemon has to be the daemon's: the directory itself last, because systemd puts right what
/// lies in one that is another's.
fn hand_over(dir: &std::path::Path, created: bool) {
    use std::os::unix::fs::{MetadataExt, chown};
    let (Ok(found), Ok(files)) = (dir.metadata(), dir.read_dir()) else { return };
    let owner = Owner { user: found.uid(), group: found.gid() };
    let owner = daemon_user::to_give_to().filter(|_| created).unwrap_or(owner);
    let give = |path: &std::path::Path| chown(path, Some(owner.user), Some(owner.group));
    for file in files.flatten() {
        let is_ours = file.metadata().is_ok_and(|found| found.is_file() && found.uid() != owner.user);
        if is_ours {
            let _ = give(&file.path()); // refused to all but root
        }
    }
    if found.uid() != owner.user {
        let _ = give(dir);
    }
}

fn exit(rows: &[Row]) -> ExitCode {
    let has = |exit| rows.iter().any(|row| row.outcome == Outcome::Fails(exit));
    let worst = [ExitCode::Configuration, ExitCode::Permission, ExitCode::Unreachable];
    worst.into_iter().find(|exit| has(*exit)).unwrap_or({
        let fails = |row: &Row| matches!(row.outcome, Outcome::Fails(_));
        if rows.iter().any(fails) { ExitCode::Failed } else { ExitCode::Done }
    })
}

/// What fails is red; a terminal wraps what is too long by itself.
fn table(rows: &[Row], look: TextLook) -> String {
    let wide = rows.iter().map(|row| row.scope.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let (outcome, scope, tried) = (row.outcome.as_str(), &row.scope, row.tried);
        let outcome = look.paint(row.outcome.tone(), &format!("{outcome:<5}"));
        text.push_str(&format!("{outcome}  {scope:<wide$}  {tried:<10}  {}\n", row.words));
        if let Some(remedy) = &row.remedy {
            text.push_str(&format!("{:<5}  {:<wide$}  {:<10}  → {remedy}\n", "", "", ""));
        }
    }
    text
}

fn verdict(rows: &[Row]) -> &'static str {
    let any = |wanted: fn(Outcome) -> bool| rows.iter().any(|row| wanted(row.outcome));
    if any(|outcome| matches!(outcome, Outcome::Fails(_))) {
        "\nnot everything works; what to do stands after each →\n"
    } else if any(|outcome| outcome == Outcome::Untried) {
        "\nnothing fails; what was not tried is marked with -\n"
    } else {
        "\neverything works\n"
    }
}

fn as_json(row: &Row) -> serde_json::Value {
    let outcome = match row.outcome {
        Outcome::Works => "ok",
        Outcome::Look => "warning",
        Outcome::Untried => "untried",
        Outcome::Fails(_) => "failed",
    };
    json!({
        "scope": row.scope, "check": row.tried, "outcome": outcome, "words": row.words, "remedy": row.remedy,
        "exit": if let Outcome::Fails(exit) = row.outcome { exit as u8 } else { 0 },
    })
}
