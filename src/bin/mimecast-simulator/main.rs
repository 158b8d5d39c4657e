//! `mimecast-simulator`: the Mimecast side of both generations of its API on one's own machine, with a ledger of what it handed out.
//!
//! It is a second opinion: it shares no code with the collector, so that a misreading of the API would have to be
//! made twice to go unnoticed. The map, in reading order:
//!
//! * the truth: `feeds` → `message` → `records`, `window_records`, `mta_records`, `threat_records` (by `json`) → `runs`
//!   → `files`
//! * the surfaces: `server` → `caller` (`token`, `signature`) → `listing` and `download`, `stream`, `window` (by
//!   `functions`), `mta`, `threat_feed`; the rules they keep: `accounts`, `quota`
//! * the mischief: `scenario` ← `scenario_text` ← `presets`; `answers` has every form of failure
//! * the books: `world` remembers, `ledger` adds up, `control` is the way in

mod accounts;
mod answers;
mod caller;
mod clock;
mod control;
mod dates;
mod download;
#[cfg(test)]
mod feed_tests;
mod feeds;
mod files;
mod functions;
mod json;
mod ledger;
mod listing;
mod message;
mod mta;
mod mta_records;
#[cfg(test)]
mod outage_tests;
mod presets;
mod query;
mod quota;
mod records;
mod recovery_rows;
#[cfg(test)]
mod recovery_tests;
mod rows;
mod runs;
mod scenario;
mod scenario_text;
mod server;
#[cfg(test)]
mod server_tests;
mod signature;
mod stream;
mod threat_feed;
mod threat_records;
mod token;
mod window;
mod window_records;
#[cfg(test)]
mod window_tests;
mod world;
mod zip;

use crate::clock::Clock;
use crate::scenario::Scenario;
use crate::world::{Setup, World};
use clap::Parser;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// Plays the Mimecast side of API 2.0 and API 1.0: tokens and signatures, listings of gzip files, all logs.
///
/// Point a collector at it with base_url = "http://127.0.0.1:8480" and, for API 2.0, client_id = "demo" and
/// client_secret = "demo"; for API 1.0 app_id = "demo", app_key = "demo", access_key = "demo" and secret_key =
/// "ZGVtbw==". More tenants are called demo-1, demo-2, … (client_id and access_key). The same seed gives the same
/// events, except for their times, which end now (see --newest). What was handed out stands in /_sim/ledger.
#[derive(Parser, Debug)]
#[command(name = "mimecast-simulator", version, after_help = after_help(), max_term_width = 120)]
struct Args {
    /// Address to listen on; port 0 takes any free one. The line `listening on http://…` says which
    #[arg(long, default_value = "127.0.0.1:8480", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Print every scenario that has a name, one per line, and end
    #[arg(long)]
    list_scenarios: bool,
    /// Allow an address that other machines can reach. There is no protection: everybody may read and change
    /// everything
    #[arg(long)]
    allow_remote: bool,
    /// Events per tenant at the start, over all feeds
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    events: u64,
    /// What everything is generated from
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// What goes wrong: a preset, a file, or scenario text; may be repeated, and presets may be joined by commas
    #[arg(long, value_name = "NAME|FILE|TEXT")]
    scenario: Vec<String>,
    /// How many tenants demo-1 to demo-N (and t-1 to t-N) there are beside demo
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    tenants: u64,
    /// How far back the events of the start reach: 90m, 6h, 2d
    #[arg(long, default_value = "6h", value_parser = span, value_name = "TIME")]
    span: i64,
    /// Time of the newest event at the start, like 2026-01-01T00:00:00Z [default: now]
    #[arg(long, value_parser = instant, value_name = "TIME")]
    newest: Option<i64>,
    /// How far all of Mimecast lives from the machine's time: -8d, 2h; POST /_sim/clock moves it later
    #[arg(long, default_value = "0", value_parser = offset, value_name = "TIME", allow_hyphen_values = true)]
    clock_offset: i64,
    /// Events per file
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    events_per_file: u64,
    /// Memory for files that were made already, MiB
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    cache: usize,
}

fn after_help() -> String {
    format!("{}\n{}\n{}", scenario_text::RULES, control::preset_list(), control::ENDPOINTS)
}

fn span(text: &str) -> Result<i64, String> {
    dates::parse_span(text).ok_or_else(|| "wants a length of time like 90m or 6h".to_owned())
}

fn offset(text: &str) -> Result<i64, String> {
    dates::parse_offset(text).ok_or_else(|| "wants a length of time like -8d or 2h".to_owned())
}

fn instant(text: &str) -> Result<i64, String> {
    dates::parse_rfc3339(text).ok_or_else(|| "wants a time like 2026-01-01T00:00:00Z".to_owned())
}

/// Adds up all `--scenario` arguments: the content of a file where one has that name, else the text itself.
fn read_scenarios(arguments: &[String]) -> Result<Scenario, String> {
    let mut scenario = Scenario::default();
    for argument in arguments {
        let is_file = std::path::Path::new(argument).is_file();
        let text = match is_file {
            true => std::fs::read_to_string(argument)
                .map_err(|why| format!("{argument} cannot be read: {why}"))?,
            false => argument.clone(),
        };
        scenario_text::add(&mut scenario, &text).map_err(|why| match is_file {
            true => format!("{argument}: {why}"),
            false => why,
        })?;
    }
    Ok(scenario)
}

/// What ended the program, and its exit code: 2 for a wrong use, 1 for anything else.
type Failure = (u8, String);

async fn run(args: Args) -> Result<(), Failure> {
    let failed = |why: String| (1, why);
    if args.list_scenarios {
        let list = format!("{}\n{}", control::preset_list(), control::row_list());
        return std::io::stdout().write_all(list.as_bytes()).map_err(|why| failed(why.to_string()));
    }
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        let why = "can be reached from other machines; add --allow-remote if you mean it";
        return Err((2, format!("{} {why}", args.listen)));
    }
    let scenario = read_scenarios(&args.scenario).map_err(|why| (2, why))?;
    let clock = Clock::system();
    clock.set_offset(args.clock_offset);
    let setup = Setup {
        seed: args.seed,
        events: args.events,
        per_file: args.events_per_file,
        span: args.span,
        newest: args.newest.unwrap_or_else(|| clock.wire()),
        tenants: args.tenants,
        cache_bytes: args.cache.saturating_mul(1 << 20),
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|why| failed(format!("cannot listen on {}: {why}", args.listen)))?;
    let address = listener.local_addr().map_err(|why| failed(why.to_string()))?;
    let world = World::new(clock, setup, scenario);
    let mut out = std::io::stdout();
    let told = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    told.map_err(|why| failed(format!("cannot write to standard output: {why}")))?;
    axum::serve(listener, server::router(world)).await.map_err(|why| failed(why.to_string()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            let _ = writeln!(std::io::stderr(), "mimecast-simulator: {why}");
            ExitCode::from(code)
        }
    }
}
