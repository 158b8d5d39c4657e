//! `init`: from nothing to a configuration that works, by asking a person or by flags. It writes the configuration
//! and the files of secrets, each with the mode it needs, and never replaces what is there.

mod dialogue;
mod draft;
mod files;
mod interview;
mod keys;
mod kinds;
mod sinks;

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::{Common, Place, Printed, check, done};
use crate::config::{self, Api};
use crate::setup_error::{ExitCode, SetupError};
use dialogue::{Dialogue, Question};
use draft::Site;
use files::Files;
use interview::{Asking, Interview, agrees};
use keys::Given;

/// How it ends and what else to know, below the flags.
pub const HELP: &str = "\
Examples:
  mimecollectd init                                asks what it needs
  mimecollectd init --tenant acme --client-id ID --secret-file - \\
      --sink siem=syslog+tls://siem.example.com:6514 --format cef < secret
  mimecollectd init --sink archive=file:///var/log/mimecast/events.ndjson

Without a configuration it writes one, else a file of its own in conf.d beside it. A secret from standard input is put \
into a file beside the configuration that only the daemon's user can read.";

/// Every region of both generations.
fn region_help() -> String {
    let names = |api| config::regions(api).collect::<Vec<_>>().join(", ");
    format!("Where the account lives. API 2.0: {}; API 1.0: {}", names(Api::V2), names(Api::V1))
}

/// The flags.
#[derive(ClapArgs)]
pub struct Args {
    /// Name of the Mimecast account, as events and metrics will show it.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Mimecast's API: 2.0 or 1.0.
    #[arg(long, value_name = "GENERATION", requires = "tenant")]
    api: Option<String>,
    #[arg(long, requires = "tenant", help = region_help())]
    region: Option<String>,
    /// Instead of a region: Mimecast's address, such as http://127.0.0.1:8480 of the simulator.
    #[arg(long, value_name = "URL", requires = "tenant", conflicts_with = "region")]
    base_url: Option<String>,
    /// The API 2.0 application's client id.
    #[arg(long, value_name = "ID", requires = "tenant")]
    client_id: Option<String>,
    /// The API 1.0 application's id.
    #[arg(long, value_name = "ID", requires = "tenant")]
    app_id: Option<String>,
    #[command(flatten)]
    secrets: SecretFlags,
    /// Feeds to collect, separated by commas.
    #[arg(long, value_name = "FEED,…", value_delimiter = ',', requires = "tenant")]
    feeds: Vec<String>,
    /// A destination: [NAME=]KIND://PLACE, such as syslog+tls://siem.example.com:6514. May be given several times.
    #[arg(long, value_name = "SINK")]
    sink: Vec<String>,
    /// How events are written to the sinks of this call: json, cef, leef, ecs, …
    #[arg(long, requires = "sink")]
    format: Option<String>,
    /// The authority to trust for the sinks of this call, a PEM file.
    #[arg(long, value_name = "PATH", requires = "sink")]
    ca_file: Option<String>,
    /// Any other key of the sinks of this call: --set framing=newline, --set 'batch={ events = 1 }'. May be given
    /// several times.
    #[arg(long, value_name = "KEY=VALUE", requires = "sink")]
    set: Vec<String>,
    /// Where the store will be; only for a new configuration.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Replace files that are there; they are kept as .bak.
    #[arg(long)]
    force: bool,
    /// Run `check` afterwards.
    #[arg(long)]
    check: bool,
}

/// Where secrets are: a PATH, `-` for standard input, `credential:NAME` of systemd, `env:NAME`.
#[derive(ClapArgs)]
pub struct SecretFlags {
    /// The client secret: PATH, - (standard input), credential:NAME (systemd) or env:NAME.
    #[arg(long, value_name = "SECRET", requires = "tenant")]
    secret_file: Option<String>,
    /// API 1.0: the application key, likewise.
    #[arg(long, value_name = "SECRET", requires = "tenant")]
    app_key_file: Option<String>,
    /// API 1.0: the access key, likewise.
    #[arg(long, value_name = "SECRET", requires = "tenant")]
    access_key_file: Option<String>,
    /// API 1.0: the secret key, likewise.
    #[arg(long, value_name = "SECRET", requires = "tenant")]
    secret_key_file: Option<String>,
    /// The token of an HTTP destination, likewise.
    #[arg(long, value_name = "SECRET", requires = "sink")]
    token_file: Option<String>,
}

impl SecretFlags {
    fn client_secret(&self) -> Given<'_> {
        given(self.secret_file.as_deref())
    }
    fn app_key(&self) -> Given<'_> {
        given(self.app_key_file.as_deref())
    }
    fn access_key(&self) -> Given<'_> {
        given(self.access_key_file.as_deref())
    }
    fn secret_key(&self) -> Given<'_> {
        given(self.secret_key_file.as_deref())
    }
    fn token(&self) -> Given<'_> {
        given(self.token_file.as_deref())
    }
    /// How many come on standard input, which has only one end.
    fn piped(&self) -> usize {
        let all = [self.client_secret(), self.app_key(), self.access_key(), self.secret_key(), self.token()];
        all.iter().filter(|given| matches!(given, Given::Piped)).count()
    }
}

fn given(flag: Option<&str>) -> Given<'_> {
    match flag {
        None => Given::Nothing,
        Some("-") => Given::Piped,
        Some(place) => Given::Place(place),
    }
}

/// Writes what was answered, says what was written and what comes next.
///
/// # Errors
/// An answer that cannot be used, a file that is there already or cannot be written. Nothing is left half written.
pub fn init(config: &Path, args: &Args) -> Printed {
    if args.secrets.piped() > 1 {
        let text = "only one secret can come from standard input; give the others as files";
        return Err(SetupError::new(ExitCode::Usage, text));
    }
    let talk = Dialogue::open();
    let site = Site::look(config, args.state_dir.clone())?;
    let flags = args.tenant.is_some() || !args.sink.is_empty();
    let asking = match (flags, talk.terminal) {
        (false, _) => Asking::All,
        (true, true) => Asking::Missing,
        (true, false) => Asking::Nobody,
    };
    let mut interview =
        Interview { talk: &talk, asking, site: &site, tables: Vec::new(), secrets: Vec::new() };
    walk(&mut interview, args)?;
    let Interview { tables, secrets, .. } = interview;
    site.check(&tables)?;
    let target = site.target(&tables);
    if !args.force && target.exists() {
        return Err(files::there(&target));
    }
    let text = site.text(&tables);
    let mut files = Files::new(args.force);
    for file in &secrets {
        files.secret(&site.directory().join(&file.name), file.secret.expose())?;
    }
    files.configuration(&target, &text)?;
    let mut said = files.keep();
    said.push_str(&next(config, &text));
    let wants = args.check || {
        let why = "`check` tries the credential (once), each feed's permission and each sink.";
        let question = Question::new("--check", "try it now? yes or no", why).or("yes");
        asking == Asking::All && talk.terminal && agrees(&talk, &question)
    };
    if !wants {
        return done(said);
    }
    let (table, exit) =
        check::check(&Common { place: Place { config: config.to_owned() }, json: false }, false)?;
    Ok((format!("{said}\n{table}"), exit))
}

fn walk(interview: &mut Interview<'_>, args: &Args) -> Result<(), SetupError> {
    let site = interview.site;
    if interview.asking != Asking::All {
        if args.tenant.is_some() {
            interview.tenant(args)?;
        }
        if args.sink.is_empty() && site.sinks.is_empty() {
            match interview.asking {
                Asking::Nobody => {
                    let text = format!(
                        "--sink is missing: there is no destination yet; write {}; nothing was written",
                        kinds::forms().join(", ")
                    );
                    return Err(SetupError::new(ExitCode::Usage, text));
                }
                _ => interview.sink(None, args)?,
            }
        }
        for sink in &args.sink {
            interview.sink(Some(sink), args)?;
        }
        if args.tenant.is_none() && site.tenants.is_empty() {
            let text = "--tenant is missing: there is no Mimecast account in the configuration yet; nothing was written";
            return Err(SetupError::new(ExitCode::Usage, text));
        }
        return Ok(());
    }
    interview.talk.say(&greeting(site));
    let (tenant, sink) = match (site.tenants.is_empty(), site.sinks.is_empty()) {
        (false, false) => {
            let question =
                Question::new("--tenant or --sink", "add an account, a sink, or both?", "").or("sink");
            let answer = interview.talk.line(&question)?;
            (!answer.starts_with('s'), !answer.starts_with('a'))
        }
        missing => missing,
    };
    if tenant {
        interview.tenant(args)?;
    }
    if sink {
        interview.sink(None, args)?;
    }
    Ok(())
}

fn greeting(site: &Site) -> String {
    let place = site.main.display();
    let there = if site.is_new() {
        format!("{place} does not exist yet and is written at the end.")
    } else {
        let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!(
            "{place} exists and stays as it is; a file is added in conf.d beside it.\naccounts: {} · sinks: {}",
            names(&site.tenants),
            names(&site.sinks)
        )
    };
    format!("{there}\nReturn takes the answer in [brackets]; Ctrl-C leaves everything as it is.")
}

/// What to do after it, for this place and these secrets.
fn next(config: &Path, text: &str) -> String {
    let usual = Path::new("/etc/mimecollectd/mimecollectd.toml");
    let place = if config == usual { String::new() } else { format!(" --config {}", config.display()) };
    let mut lines = String::from("\nNext:\n");
    let written = text.lines().filter(|line| !line.starts_with('#'));
    for name in written.filter_map(|line| line.split("{ credential = \"").nth(1)?.split('"').next()) {
        lines.push_str(&format!(
            "  systemctl edit mimecollectd      add below [Service]: LoadCredential={name}:/path/of/the/secret\n"
        ));
    }
    lines.push_str(&format!("  mimecollectd validate{place}      what the daemon will do\n"));
    lines.push_str(&format!(
        "  mimecollectd check{place}         tries the credential, each feed's permission, each sink\n"
    ));
    if config == usual {
        lines.push_str("  systemctl enable --now mimecollectd    (where it runs already: systemctl reload mimecollectd)\n");
    } else {
        lines.push_str(&format!("  mimecollectd run{place}\n"));
    }
    lines
}
