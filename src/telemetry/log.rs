//! Where log lines go: the journal with native fields under systemd, else text or JSON on stderr. Stdout
//! belongs to data. Set up once, before anything is said.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::setup_error::SetupError;

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The journal when stderr is connected to it, else text.
    Auto,
    Text,
    /// One JSON object a line.
    Json,
}

/// Libraries speak up only when something is wrong: sqlx would otherwise log every statement with its SQL.
const QUIET: &str =
    "sqlx=warn,hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,rustls=warn,axum=warn,tower=warn";

/// Sends every later log line to its place. `filter` is a level (`info`) or a tracing filter
/// (`info,mimecollectd::sink=debug`); what it says of a library wins over our quiet default.
///
/// # Errors
/// The filter cannot be read, or logging was set up before.
pub fn init(filter: &str, format: Format) -> Result<(), SetupError> {
    let layer = layer(format);
    let filter = parse(filter)?;
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| SetupError::failed(format!("failed to set up logging: {error}")))
}

fn parse(filter: &str) -> Result<EnvFilter, SetupError> {
    EnvFilter::builder().parse(format!("{QUIET},{filter}")).map_err(|error| {
        SetupError::config(format!(
            "[log] level = {filter:?} is no log filter: {error}. Write a level (error, warn, info, debug, trace) \
             or a filter like \"info,mimecollectd::sink=debug\"."
        ))
    })
}

fn layer(format: Format) -> Box<dyn Layer<Registry> + Send + Sync> {
    let text = || tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    match format {
        Format::Json => text().json().flatten_event(true).with_ansi(false).boxed(),
        Format::Text => text().boxed(),
        Format::Auto if !journal_is_stderr() => text().boxed(),
        // Without the journal's socket (a container that only inherits the variable) text still arrives.
        Format::Auto => match tracing_journald::layer() {
            Ok(journal) => {
                journal.with_syslog_identifier("mimecollectd".to_owned()).with_field_prefix(None).boxed()
            }
            Err(_) => text().boxed(),
        },
    }
}

/// `$JOURNAL_STREAM` names the device and inode of the journal's stream. The variable is inherited by every
/// child of a service, so it counts only when it names our own stderr (systemd.exec(5)).
fn journal_is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(stderr()) else { return false };
    names(&stream, stat.st_dev, stat.st_ino)
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    let numbers = stream.split_once(':').map(|(dev, ino)| (dev.parse(), ino.parse()));
    matches!(numbers, Some((Ok(dev), Ok(ino))) if (dev, ino) == (device, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_only_when_it_is_our_own_stderr() {
        assert!(names("8:42", 8, 42));
        for other in ["8:43", "9:42", "8", "", ":", "a:b"] {
            assert!(!names(other, 8, 42), "{other}");
        }
    }

    #[test]
    fn a_wrong_filter_is_a_configuration_error_and_a_users_word_on_sqlx_wins() {
        assert_eq!(parse("info,=nonsense=").unwrap_err().exit, crate::setup_error::ExitCode::Configuration);
        assert!(parse("trace").unwrap().to_string().contains("sqlx=warn"));
        assert!(parse("info,sqlx=debug").unwrap().to_string().contains("sqlx=debug"));
        assert!(!parse("info,sqlx=debug").unwrap().to_string().contains("sqlx=warn"));
    }
}
