//! `[tenants.NAME]`: what may be written and what it means.

use std::time::Duration;

use url::Url;

use super::access;
use super::diagnostic::{Place, Problem};
use super::glob::Glob;
use super::nearest::nearest;
use super::pem_file::PemFile;
use super::settings::{Api, COLLECTOR_FEED, FeedSettings, KnownFeed, Tenant};
use super::table::Table;
use super::value::{Value, is_loopback, quoted};
use crate::limits::{MAX_LOOKBACK, MAX_POLL_INTERVAL, MIN_LOOPBACK_POLL_INTERVAL, MIN_POLL_INTERVAL};
use crate::mimecast::feed::Endpoint;

const LOOKBACK: Duration = Duration::from_secs(24 * 3600);
const FEEDS: [&str; 4] = ["siem.*", "audit", "ttp.*", "dlp"];
/// Feeds of the documentation, some of which only later versions have.
const DOCUMENTED_FEEDS: [&str; 25] = [
    "siem.receipt",
    "siem.process",
    "siem.delivery",
    "siem.av",
    "siem.spam",
    "siem.journal",
    "siem.internal-email-protect",
    "siem.impersonation-protect",
    "siem.url-protect",
    "siem.attachment-protect",
    "siem.mta",
    "ci.entities",
    "ci.mailflow",
    "ci.urlclick",
    "audit",
    "ttp.url",
    "ttp.attachment",
    "ttp.impersonation",
    "dlp",
    "held-release",
    "rejections",
    "archive.search",
    "archive.view",
    "threat-feed.customer",
    "threat-feed.grid",
];

pub(super) fn read(value: &Value<'_>, known: &[KnownFeed]) -> Option<Tenant> {
    let table = value.table(format!("[tenants.{}]", value.name))?;
    let name = name_fits(value, "tenant");
    let api = access::api(&table);
    let base_url = access::base_url(&table, api);
    let loopback = base_url.as_ref().is_some_and(is_loopback);
    let credential = access::credential(&table, &value.name, api);
    let secret_expires = optional(table.get("secret_expires"), |v| v.date());
    // A base_url that cannot be read may have been meant as a loopback address.
    let unclear = base_url.is_none() && table.get("base_url").is_some();
    let feeds = read_feeds(&table, (known, api), loopback || unclear);
    let lookback =
        table.get("lookback").map_or(Some(LOOKBACK), |v| v.duration(Duration::from_secs(1), MAX_LOOKBACK));
    let siem_endpoint = match api {
        Some(Api::V1) => Some(Endpoint::Batch), // written, it has been reported
        _ => read_endpoint(&table),
    };
    let proxy = optional(table.get("proxy"), |v| read_proxy(v));
    let ca_file = optional(table.get("ca_file"), |v| v.path().map(PemFile::new));
    let download_hosts = match api {
        Some(Api::V1) => Some(Vec::new()), // written, it has been reported
        _ => table.get("download_hosts").map_or(Some(Vec::new()), |v| read_hosts(&v)),
    };
    table.finish("a tenant");
    Some(Tenant {
        name: name?,
        base_url: base_url?,
        loopback,
        credential: credential?,
        secret_expires: secret_expires?,
        feeds: feeds?,
        lookback: lookback?,
        siem_endpoint: siem_endpoint?,
        proxy: proxy?,
        ca_file: ca_file?,
        download_hosts: download_hosts?,
    })
}

/// `Some(None)`: not written; `None`: written, and wrong.
pub(super) fn optional<'b, T>(
    value: Option<Value<'b>>,
    read: impl Fn(&Value<'b>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}

/// Names appear in metrics, paths and event ids, and stay readable there.
pub(super) fn name_fits(value: &Value<'_>, kind: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if value.name.chars().all(fits) && (1..=64).contains(&value.name.len()) {
        return Some(value.name.clone());
    }
    let title = format!("{} cannot be the name of a {kind}", quoted(&value.name));
    let help = "use 1 to 64 letters (a–z, A–Z), digits, `_` and `-`";
    value.book.report(Problem::new(title).at(value.key_place(), "not a name").help(help));
    None
}

/// Which function of API 2.0 the SIEM feeds are read from.
fn read_endpoint(table: &Table<'_>) -> Option<Endpoint> {
    let choices = [("batch", Endpoint::Batch), ("stream", Endpoint::Stream)];
    table.get("siem_endpoint").map_or(Some(Endpoint::Batch), |v| v.choice(&choices, &[]))
}

pub(super) fn read_proxy(value: &Value<'_>) -> Option<Url> {
    let url = value.url(&["http", "https"], "http://proxy.example.com:3128")?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let title = format!("`{}` cannot be used", value.name);
        value.refuse(
            title,
            "holds more than scheme, user, host and port",
            "write it like \"http://proxy.example.com:3128\"",
        );
        return None;
    }
    if url.password().is_some() {
        let text = "the password of the proxy is written in the configuration, where everybody who may read the file \
                    can see it; let the proxy know this machine by its address instead";
        value.book.warn(&value.place(), text);
    }
    Some(url)
}

fn read_hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    for item in value.list()? {
        let text = item.text()?.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let fits = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && label.len() <= 63
        };
        if !name.contains('.') || !name.split('.').all(fits) {
            item.refuse(
                format!("{} is not a pattern of host names", quoted(&text)),
                "must be a name with a dot, without scheme, port or path",
                "write \"files.example.net\" or \"*.example.net\"",
            );
            return None;
        }
        hosts.push(text);
    }
    Some(hosts)
}

/// The catalogue, and the API whose part of it is meant.
type Known<'k> = (&'k [KnownFeed], Option<Api>);

/// Who names feeds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// A tenant of that API; `None` when that cannot be read.
    Tenant(Option<Api>),
    /// A sink takes any feed, and the daemon's own.
    Sink,
}

impl Whose {
    fn can_have(self, feed: &KnownFeed) -> bool {
        match self {
            Whose::Tenant(Some(Api::V1)) => feed.api1,
            Whose::Tenant(Some(Api::V2)) => feed.api2,
            Whose::Tenant(None) | Whose::Sink => true,
        }
    }
}

/// The feeds of this tenant in the catalogue's order, each with its own intervals.
fn read_feeds(table: &Table<'_>, (known, api): Known<'_>, no_floor: bool) -> Option<Vec<FeedSettings>> {
    let whose = Whose::Tenant(api);
    let wanted = match table.get("feeds") {
        Some(value) => read_globs(&value, known, whose),
        None => Some(FEEDS.map(Glob::new).to_vec()),
    };
    let interval =
        table.get("poll_interval").map_or(Some(MIN_POLL_INTERVAL), |v| read_interval(&v, no_floor));
    let overrides = table.get("feed").and_then(|v| v.table(format!("{} feed", table.title)));
    let mut overrides: Vec<Override> = overrides.map_or(Vec::new(), |overrides| {
        let read = |value: &Value<'_>| read_override(value, &table.title, (known, api), no_floor);
        overrides.all().iter().filter_map(read).collect()
    });
    // A name beats a pattern, a longer pattern a shorter one: the most special comes last and wins.
    overrides.sort_by_key(|o| (o.glob.is_literal(), o.glob.as_str().len()));
    let (wanted, interval) = (wanted?, interval?);
    let chosen =
        known.iter().filter(|feed| whose.can_have(feed) && wanted.iter().any(|glob| glob.matches(feed.name)));
    let chosen: Vec<&KnownFeed> = chosen.collect();
    for special in overrides.iter().filter(|o| !chosen.iter().any(|feed| o.glob.matches(feed.name))) {
        let title = format!("{} does not collect {}", table.title, quoted(special.glob.as_str()));
        let help = "add it to `feeds` of the tenant, or remove this table";
        table.book.report(Problem::new(title).at(special.key.clone(), "would be ignored").help(help));
    }
    let settings = |feed: &&KnownFeed| {
        let overlap = if feed.window { feed.overlap } else { Duration::ZERO };
        let mut settings = FeedSettings { name: feed.name, poll_interval: interval, overlap };
        for special in overrides.iter().filter(|o| o.glob.matches(feed.name)) {
            settings.poll_interval = special.poll_interval.unwrap_or(settings.poll_interval);
            if feed.window {
                settings.overlap = special.overlap.unwrap_or(settings.overlap);
            }
        }
        settings
    };
    Some(chosen.iter().map(settings).collect())
}

fn read_interval(value: &Value<'_>, no_floor: bool) -> Option<Duration> {
    let interval = value.any_duration()?;
    if no_floor {
        return value.duration(MIN_LOOPBACK_POLL_INTERVAL, MAX_POLL_INTERVAL);
    }
    if interval < MIN_POLL_INTERVAL {
        value.refuse(
            format!("`{}` is shorter than 300 s", value.name),
            "Mimecast asks not to be polled more often than every 5 minutes",
            "write \"5m\" or more; shorter intervals work only with a loopback `base_url` (the simulator)",
        );
        return None;
    }
    value.duration(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)
}

/// `[tenants.acme.feed."ttp.url"]`
struct Override {
    key: Place,
    glob: Glob,
    poll_interval: Option<Duration>,
    overlap: Option<Duration>,
}

fn read_override(
    value: &Value<'_>,
    tenant: &str,
    (known, api): Known<'_>,
    no_floor: bool,
) -> Option<Override> {
    let title = format!("{}.feed.\"{}\"]", tenant.trim_end_matches(']'), value.name);
    let table = value.table(title)?;
    let glob = glob_or_report(&value.name, value, &value.key_place(), known, Whose::Tenant(api));
    let poll_interval = table.get("poll_interval").and_then(|v| read_interval(&v, no_floor));
    let overlap = table.get("overlap");
    if let (Some(overlap), Some(glob)) = (&overlap, &glob)
        && !known.iter().any(|feed| feed.window && glob.matches(feed.name))
    {
        let title = format!("`overlap` means nothing for {}", quoted(&value.name));
        let why = "this feed resumes at a token and has no windows";
        table.book.report(Problem::new(title).at(overlap.key_place(), why).help("remove the key"));
    }
    let overlap = overlap.and_then(|v| v.duration(Duration::ZERO, MAX_LOOKBACK));
    table.finish("a feed");
    Some(Override { key: value.key_place(), glob: glob?, poll_interval, overlap })
}

/// `feeds = ["siem.*", "audit"]`, of a tenant or (where `collector` may be named, too) of a sink.
pub(super) fn read_globs(value: &Value<'_>, known: &[KnownFeed], whose: Whose) -> Option<Vec<Glob>> {
    let items = value.list()?;
    if items.iter().map(|item| item.peek_text()).eq(FEEDS.map(Some)) {
        return Some(FEEDS.map(Glob::new).to_vec()); // the default, written out: means what the default means
    }
    if items.is_empty() {
        let title = format!("`{}` is empty", value.name);
        value.refuse(title, "names no feed", "name feeds or patterns, or remove the key for the default");
    }
    let globs: Vec<Option<Glob>> = items
        .iter()
        .map(|item| item.text().and_then(|text| glob_or_report(text, item, &item.place(), known, whose)))
        .collect();
    globs.into_iter().collect::<Option<Vec<_>>>().filter(|globs| !globs.is_empty())
}

/// The pattern, if it matches at least one feed that can be collected.
fn glob_or_report(
    text: &str,
    at: &Value<'_>,
    place: &Place,
    known: &[KnownFeed],
    whose: Whose,
) -> Option<Glob> {
    let glob = Glob::new(text);
    if known.iter().any(|feed| whose.can_have(feed) && glob.matches(feed.name))
        || whose == Whose::Sink && text == COLLECTOR_FEED
    {
        return Some(glob);
    }
    let matching = |name: &&str| glob.matches(name);
    let (title, why, help) = if text == COLLECTOR_FEED {
        let help = "remove it here; a sink may name it";
        (format!("{} is not a feed of Mimecast", quoted(text)), "the daemon's own feed", help.to_owned())
    } else if known.iter().any(|feed| glob.matches(feed.name)) {
        let (theirs, ours) =
            if whose == Whose::Tenant(Some(Api::V1)) { ("2.0", "1.0") } else { ("1.0", "2.0") };
        let title = format!("{} is a feed of API {theirs} only", quoted(text));
        let help = format!("remove it; API {ours} has the gateway's events in siem.*");
        (title, "not served by this tenant's API", help)
    } else if DOCUMENTED_FEEDS.iter().any(matching) {
        let title = format!("feed {} is not available in this version", quoted(text));
        (title, "not available yet", "remove it; `mimecollectd feeds` lists what there is".to_owned())
    } else {
        let near = nearest(text, known.iter().map(|feed| feed.name));
        let near = near.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
        let help = format!("{near}`mimecollectd feeds` lists what there is");
        (format!("there is no feed {}", quoted(text)), "matches no feed", help)
    };
    at.book.report(Problem::new(title).at(place.clone(), why).help(help));
    None
}
