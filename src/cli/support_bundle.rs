//! `support-bundle`: what somebody else needs to understand a problem, in one archive, without what is nobody else's
//! business. It works when the daemon is dead and the store damaged: what cannot be read says so in its place.

mod archive;
mod facts;
mod scrub;
mod stored;

use std::path::{Path, PathBuf};

use super::progress::Progress;
use super::{Common, Printed, done, load, status};
use crate::clock::{Clock, Time};
use crate::config::Settings;
use crate::setup_error::{ExitCode, SetupError};
use scrub::Scrub;

/// How it ends and what it is for, below the flags.
pub const HELP: &str = "\
Example: sudo mimecollectd support-bundle --output /tmp/ticket.tar.gz

Run it as root or as the daemon's user, or parts are missing. It contains no event, no secret, no page token, no query of \
a link and no content of the quarantine; it does contain the names of tenants, feeds and sinks and the hosts they talk to. \
Look into it before you send it.";

/// What is never in it, for the archive's own README and for the terminal.
const LEFT_OUT: &str = "\
events and their contents · secrets and tokens · client and application ids · page tokens · the query of every link · \
contents of quarantine and dead letters · comments of the configuration";

/// One file of the archive.
struct Part {
    name: String,
    /// For people, what it is.
    what: &'static str,
    /// `Err`: why it is not there.
    content: Result<String, String>,
}

impl Part {
    fn new(name: &str, what: &'static str, content: Result<String, String>) -> Part {
        Part { name: name.to_owned(), what, content }
    }
}

/// Writes the archive, mode 0600, and says what is in it.
///
/// # Errors
/// The file exists or cannot be written. What cannot be read is no error: the archive says so.
pub fn support_bundle(common: &Common, output: Option<&Path>) -> Printed {
    let now = Clock::System.now();
    let stamp = stamp(now);
    let name = format!("mimecollectd-support-{stamp}");
    let path = output.map_or_else(|| PathBuf::from(format!("{name}.tar.gz")), Path::to_path_buf);
    if path.as_os_str() == "-" {
        return Err(SetupError::new(
            ExitCode::Usage,
            "the bundle is written to a file, not to standard output; name one",
        ));
    }
    if path.exists() {
        let text = format!("{} exists already; name another file with --output", path.display());
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    let loaded = load(common);
    let scrub = Scrub::new(loaded.as_ref().ok());
    let mut parts = gather(common, loaded.as_ref().map_err(|error| error.message.clone()));
    for part in &mut parts {
        part.content = match &part.content {
            Ok(text) => Ok(scrub.clean(text)),
            Err(why) => Err(scrub.clean(why)),
        };
    }
    let readme = readme(&parts, now);
    archive::write(&path, &name, &readme, &parts, now)?;
    let text = || {
        let mode = "mode 0600; look into it before you send it: `tar -xzf`";
        format!("{readme}\nwritten to {} ({mode})\n", path.display())
    };
    let row = |part: &Part| {
        serde_json::json!({
            "file": part.name, "what": part.what, "bytes": part.content.as_ref().ok().map(String::len),
            "missing": part.content.as_ref().err(),
        })
    };
    let files: Vec<_> = parts.iter().map(row).collect();
    done(common.either(text, serde_json::json!({ "archive": path, "files": files })))
}

/// `20260131-093000`, UTC.
fn stamp(now: Time) -> String {
    let digits: String = now.rfc3339().chars().filter(char::is_ascii_digit).collect();
    let (day, time) = (digits.get(..8).unwrap_or_default(), digits.get(8..14).unwrap_or_default());
    format!("{day}-{time}")
}

fn gather(common: &Common, loaded: Result<&Settings, String>) -> Vec<Part> {
    let mut progress = Progress::of_steps();
    let settings = loaded.as_ref().ok().copied();
    let no_settings = || "the configuration cannot be read, so it is not known where to look".to_owned();
    let mut parts = vec![Part::new("version.txt", "version of the program", Ok(facts::version()))];
    parts.extend(facts::configuration(&common.place.config));
    let valid = match &loaded {
        Ok(settings) => {
            Ok(settings.warnings.iter().map(|text| format!("warning: {text}\n")).collect::<String>()
                + "valid\n")
        }
        Err(error) => Ok(format!("{error}\n")),
    };
    parts.push(Part::new("validate.txt", "what `validate` says about it", valid));
    progress.step("asking the daemon");
    let asked = |path: &str| {
        let settings = settings.ok_or_else(no_settings)?;
        let answer = status::get(settings, path)
            .ok_or("no daemon answers on the admin listener (it does not run, or the listener is off)")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let state = settings.ok_or_else(no_settings).and_then(|settings| {
        super::block_on(status::current(settings)).and_then(|read| read).map_err(|error| error.message)
    });
    let state = state.and_then(|state| serde_json::to_string_pretty(&state).map_err(|why| why.to_string()));
    parts.push(Part::new("status.json", "state of every tenant, feed and sink", state));
    parts.push(Part::new("metrics.txt", "every metric, as Prometheus would read it", asked("/metrics")));
    progress.step("reading the store");
    match settings {
        Some(settings) => parts.extend(stored::parts(settings, &mut progress)),
        None => parts.push(Part::new("store.txt", "files and health of the store", Err(no_settings()))),
    }
    progress.step("reading the journal");
    parts.push(Part::new("journal.txt", "the last lines of the journal", facts::journal()));
    progress.step("looking at this machine");
    parts.push(Part::new("unit.txt", "the systemd unit with its drop-ins", facts::unit()));
    parts.push(Part::new(
        "system.txt",
        "operating system, memory, disks, clock",
        Ok(facts::system(settings)),
    ));
    parts
}

fn readme(parts: &[Part], now: Time) -> String {
    let mut text = format!(
        "Support archive of mimecollectd {}, made at {}.\n\nIt contains:\n",
        env!("CARGO_PKG_VERSION"),
        now.rfc3339()
    );
    let wide = parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
    for part in parts {
        let state = match &part.content {
            Ok(content) => format!("{} bytes", content.len()),
            Err(why) => format!("MISSING: {}", why.lines().next().unwrap_or_default()),
        };
        text.push_str(&format!("  {:<wide$}  {} ({state})\n", part.name, part.what));
    }
    text.push_str(&format!(
        "\nIt does not contain:\n  {LEFT_OUT}\n\nIt does contain names of tenants, feeds and sinks, and the hosts they talk to.\n"
    ));
    text
}
