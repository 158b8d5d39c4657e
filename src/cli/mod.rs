//! The verbs an operator types, one file each. A verb returns what it prints or a [`SetupError`]; only this file
//! writes to the terminal and turns errors into exit codes.

mod asking;
mod check;
mod cursor;
mod daemon_user;
mod dead_letters;
#[cfg(test)]
mod docs_tests;
mod explain;
mod feeds;
mod following;
mod gaps;
mod generated;
mod help;
mod init;
mod picking;
mod progress;
mod quarantine;
mod reconcile;
mod replay;
mod resume;
mod run;
mod saved_answer;
mod status;
mod support_bundle;
mod terminal;
mod validate;

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Settings};
use crate::fault::Fault;
use crate::secret;
use crate::setup_error::{self, SetupError};
use crate::store::Store;
use crate::telemetry::escape::visible;
use progress::Progress;

/// Collects every Mimecast email-security event and delivers it to your SIEMs: stored first, delivered second,
/// nothing lost, nothing skipped in silence.
#[derive(Parser)]
#[command(name = "mimecollectd", version, about, max_term_width = 100, subcommand_required = true)]
#[command(after_help = help::exit_codes())]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Where the configuration is.
#[derive(Args)]
pub struct Place {
    /// The configuration file; `conf.d/*.toml` beside it is merged into it.
    #[arg(long, value_name = "PATH", default_value = "/etc/mimecollectd/mimecollectd.toml")]
    config: PathBuf,
}

/// The same, and in what form to print.
#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    place: Place,
    /// Print data as JSON.
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Text, or data with `--json`.
    fn either(&self, text: impl FnOnce() -> String, data: serde_json::Value) -> String {
        if self.json { format!("{data:#}\n") } else { text() }
    }
}

/// In the order in which people meet them.
#[derive(Subcommand)]
enum Verb {
    /// Collect and deliver until told to stop (the daemon).
    #[command(after_help = help::RUN)]
    Run {
        #[command(flatten)]
        place: Place,
        /// Poll every feed until it is caught up, deliver everything, exit. 0 only if nothing is left
        /// undelivered and no feed is halted.
        #[arg(long)]
        once: bool,
    },
    /// Read the configuration without touching the network, and say what each tenant and sink will do.
    #[command(after_help = help::VALIDATE)]
    Validate {
        #[command(flatten)]
        place: Place,
    },
    /// Try everything the configuration names: clock, names, TLS, credential, each feed's permission, each sink.
    #[command(after_help = help::CHECK)]
    Check {
        #[command(flatten)]
        common: Common,
        /// Also send one event, marked as a test, to each sink.
        #[arg(long)]
        send_test_event: bool,
    },
    /// Write a configuration and its secret files, asking what it needs, or from flags.
    #[command(after_help = init::HELP)]
    Init {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        args: Box<init::Args>,
    },
    /// Show every tenant, feed and sink: state, backlog, last success, next attempt and why.
    #[command(after_help = status::HELP)]
    Status {
        #[command(flatten)]
        common: Common,
        /// Draw it anew every SECONDS (2), until Ctrl-C.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
    },
    /// List the catalogue of feeds: APIs, endpoint, permission needed, retention, how each resumes.
    #[command(after_help = help::FEEDS)]
    Feeds {
        #[command(flatten)]
        common: Common,
    },
    /// Say what a code means and what the daemon does about it: `explain 401/0010`, `explain 403 app_forbidden`,
    /// `explain M12`, `explain --response saved.txt`.
    #[command(after_help = help::EXPLAIN)]
    Explain {
        #[command(flatten)]
        common: Common,
        /// HTTP status with or without a code, a code alone, or the id of a rule.
        #[arg(value_name = "CODE", required_unless_present_any = ["all", "response"])]
        code: Vec<String>,
        /// Decode a saved HTTP answer, with or without status line and headers; `-` reads standard input. The
        /// status, where the file does not have it, is given as CODE.
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        response: Option<PathBuf>,
        /// Print the whole recovery table.
        #[arg(long, conflicts_with = "code")]
        all: bool,
    },
    /// Show and move the positions in the feeds.
    #[command(after_help = help::CURSOR)]
    Cursor {
        #[command(subcommand)]
        verb: cursor::Cursor,
    },
    /// Lift a pause or halt after its cause was fixed: `acme`, `acme/siem.*`, `sink:siem`, `alerts:ops`, `host:NAME`.
    #[command(after_help = help::RESUME)]
    Resume {
        #[command(flatten)]
        common: Common,
        /// What may go on, as `status` names it: an account, a feed, a sink, a receiver of alerts, or a host that answers
        /// nobody.
        scope: String,
    },
    /// Prove from the store that every event listed is accounted for, per feed and sink.
    #[command(after_help = help::RECONCILE)]
    Reconcile {
        #[command(flatten)]
        common: Common,
    },
    /// List spans of time that were not collected, why, and whether they can still be fetched.
    #[command(after_help = help::GAPS)]
    Gaps {
        #[command(flatten)]
        common: Common,
        /// Also those that were fetched after all, or accepted as lost.
        #[arg(long)]
        all: bool,
        #[command(subcommand)]
        verb: Option<gaps::Gaps>,
    },
    /// Send stored events to a sink once more; works while the daemon runs.
    #[command(after_help = help::REPLAY)]
    Replay(replay::Replay),
    /// List input that could not be read, read it once more, or give it up.
    #[command(after_help = help::QUARANTINE)]
    Quarantine {
        #[command(subcommand)]
        verb: quarantine::Quarantine,
    },
    /// List events that a sink refused for good, send them once more, or give them up.
    #[command(after_help = help::DEAD_LETTERS)]
    DeadLetters {
        #[command(subcommand)]
        verb: dead_letters::DeadLetters,
    },
    /// Write an archive for a ticket: state, configuration, log and facts, without secrets and without events.
    #[command(after_help = support_bundle::HELP)]
    SupportBundle {
        #[command(flatten)]
        common: Common,
        /// The file to write; without it mimecollectd-support-DATE.tar.gz in this directory.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page; with --dir, write it and one page per verb.
    #[command(after_help = help::MAN)]
    Man {
        /// Write the pages as files into this directory.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Parses the command line, runs the verb, prints, and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print(); // a closed terminal is no reason to fail differently
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    // whatever the verb, it reads the configuration's secrets
    match secret::close_memory().and_then(|()| perform(cli.verb)) {
        Ok((text, exit)) => match print(text.as_bytes()) {
            Ok(()) => ExitCode::from(exit as u8),
            Err(error) => complain(&error),
        },
        Err(error) => complain(&error),
    }
}

fn complain(error: &SetupError) -> ExitCode {
    // nowhere is left to say that standard error is closed
    let _ = writeln!(std::io::stderr(), "mimecollectd: {}", visible(error.message.trim_end()));
    ExitCode::from(error.exit as u8)
}

/// What a verb leaves on standard output, and the exit code.
pub type Printed = Result<(String, setup_error::ExitCode), SetupError>;

fn perform(verb: Verb) -> Printed {
    match verb {
        Verb::Run { place, once } => run::run(&place.config, once),
        Verb::Validate { place } => validate::validate(&place.config),
        Verb::Check { common, send_test_event } => check::check(&common, send_test_event),
        Verb::Init { place, args } => init::init(&place.config, &args),
        Verb::Status { common, watch } => status::status(&common, watch),
        Verb::Feeds { common } => feeds::feeds(&common),
        Verb::Explain { code, all, response, common } => {
            explain::explain(&code, all, response.as_deref(), &common)
        }
        Verb::Cursor { verb } => cursor::cursor(&verb),
        Verb::Resume { common, scope } => resume::resume(&scope, &common),
        Verb::Reconcile { common } => reconcile::reconcile(&common),
        Verb::Gaps { common, all, verb } => gaps::gaps(&common, all, verb.as_ref()),
        Verb::Replay(verb) => replay::replay(&verb),
        Verb::Quarantine { verb } => quarantine::quarantine(&verb),
        Verb::DeadLetters { verb } => dead_letters::dead_letters(&verb),
        Verb::SupportBundle { common, output } => support_bundle::support_bundle(&common, output.as_deref()),
        Verb::Completions { shell } => generated::completions(shell),
        Verb::Man { dir } => generated::man(dir.as_deref()),
    }
}

/// Writes to standard output. A closed pipe (`… | head`) ends quietly; a full disk does not, because whoever saved the
/// output has half of it. The daemon prints nothing, and a sink whose reader stands still may hold standard output for
/// ever.
fn print(bytes: &[u8]) -> Result<(), SetupError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let why = "what was written of it is not whole; find room, or another place, and run it again";
            Err(SetupError::failed(format!("failed to write to standard output: {error} ({why})")))
        }
        _ => Ok(()),
    }
}

/// Writes bytes as they are to standard output.
fn raw(bytes: &[u8]) -> Printed {
    print(bytes)?;
    done(String::new())
}

fn load(common: &Common) -> Result<Settings, SetupError> {
    load_from(&common.place.config)
}

fn load_from(config: &Path) -> Result<Settings, SetupError> {
    config::load(config, &crate::daemon::known_feeds())
}

/// Reads the store of a configuration.
fn with_store<T>(
    common: &Common,
    read: impl AsyncFnOnce(&Store) -> Result<T, Fault>,
) -> Result<T, SetupError> {
    read_store(&load(common)?, read)
}

/// Reads the store, beside a running daemon or without one.
fn read_store<T>(
    settings: &Settings,
    read: impl AsyncFnOnce(&Store) -> Result<T, Fault>,
) -> Result<T, SetupError> {
    block_on(Progress::begin("reading the store").watch(async {
        let store = Store::open_read_only(&settings.state_dir).await?;
        read(&store).await.map_err(unread)
    }))?
}

fn unread(fault: Fault) -> SetupError {
    SetupError::failed(format!("failed to read the store: {fault}"))
}

fn done(text: String) -> Printed {
    Ok((text, setup_error::ExitCode::Done))
}

/// A small runtime for verbs that read the store.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, SetupError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map(|rt| rt.block_on(future))
        .map_err(|e| SetupError::failed(format!("failed to start a runtime: {e}")))
}
