//! `[tenants.NAME]`: what may be written and what it means.

use std::time::Duration;

use url::Url;

use super::diagnostic::{Place, Problem};
use super::glob::Glob;
use super::nearest::nearest;
use super::settings::{Api, COLLECTOR_FEED, FeedSettings, KnownFeed, Tenant};
use super::table::Table;
use super::value::{Value, is_loopback, quoted};
use crate::limits::{MAX_LOOKBACK, MAX_POLL_INTERVAL, MIN_LOOPBACK_POLL_INTERVAL, MIN_POLL_INTERVAL};

const LOOKBACK: Duration = Duration::from_secs(24 * 3600);
const FEEDS: [&str; 4] = ["siem.*", "audit", "ttp.*", "dlp"];
const REGIONS: [(&str, &str); 3] = [
    ("global", "https://api.services.mimecast.com"),
    ("us", "https://us-api.services.mimecast.com"),
    ("uk", "https://uk-api.services.mimecast.com"),
];
/// Regions of API 1.0 (contract §4).
const REGIONS_OF_API_1: [&str; 8] = ["eu", "usb", "de", "ca", "za", "au", "je", "sandbox"];
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
    let api = table.get("api").map_or(Some(Api::V2), |v| v.choice(&[("2.0", Api::V2)], &["1.0"]));
    let base_url = read_base_url(&table);
    let loopback = base_url.as_ref().is_some_and(is_loopback);
    // Of API 1.0 they would be missed, too, and nobody is helped by reading it.
    let require =
        |key, example: &str| if api.is_some() { table.require(key, example) } else { table.get(key) };
    let client_id = require("client_id", "client_id = \"…\" of the API 2.0 application");
    let client_id = client_id.and_then(|v| v.text().map(|text| text.trim().to_owned()));
    let secret = require("client_secret", "client_secret = { file = \"…\" } or { credential = \"…\" }");
    let secret = secret.and_then(|v| table.secret(&v, &format!("client secret of tenant `{}`", value.name)));
    let secret_expires = optional(table.get("secret_expires"), |v| v.date());
    // A base_url that cannot be read may have been meant as a loopback address.
    let unclear = base_url.is_none() && table.get("base_url").is_some();
    let feeds = read_feeds(&table, known, loopback || unclear);
    let lookback =
        table.get("lookback").map_or(Some(LOOKBACK), |v| v.duration(Duration::from_secs(1), MAX_LOOKBACK));
    let proxy = optional(table.get("proxy"), |v| read_proxy(v));
    let ca_file = optional(table.get("ca_file"), |v| v.path());
    let download_hosts = table.get("download_hosts").map_or(Some(Vec::new()), |v| read_hosts(&v));
    for key in ["app_id", "app_key", "access_key", "secret_key"] {
        table.not_yet(
            key,
            "it belongs to API 1.0; create an API 2.0 application and use client_id and client_secret",
        );
    }
    table.finish("a tenant");
    Some(Tenant {
        name: name?,
        api: api?,
        base_url: base_url?,
        loopback,
        client_id: client_id?,
        client_secret: secret?,
        secret_expires: secret_expires?,
        feeds: feeds?,
        lookback: lookback?,
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

fn read_base_url(table: &Table<'_>) -> Option<Url> {
    let (region, base_url) = (table.get("region"), table.get("base_url"));
    let Some(value) = base_url else {
        let region = region.map_or(Some(REGIONS[0].1), |v| v.choice(&REGIONS, &REGIONS_OF_API_1))?;
        return Url::parse(region).ok();
    };
    if let Some(region) = region {
        let problem = Problem::new(format!("{} has both `region` and `base_url`", table.title));
        let help = "keep `region` for Mimecast itself, `base_url` for the simulator or another grid";
        let problem = problem.at(region.key_place(), "one of them").at(value.key_place(), "is too many");
        table.book.report(problem.help(help));
    }
    let example = "https://api.services.mimecast.com";
    let url = value.url(&["https", "http"], example)?;
    let refuse = |why: &str, help: &str| {
        value.refuse(format!("`{}` cannot be used", value.name), why, help);
        None
    };
    if url.scheme() != "https" && !is_loopback(&url) {
        return refuse(
            "would send the client secret unencrypted",
            "write https://, or use a loopback address",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user or password", "remove it; credentials are client_id and client_secret");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("holds more than scheme, host and port", &format!("write it like \"{example}\""));
    }
    Some(url)
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

/// The feeds of this tenant in the catalogue's order, each with its own intervals.
fn read_feeds(table: &Table<'_>, known: &[KnownFeed], no_floor: bool) -> Option<Vec<FeedSettings>> {
    let wanted = match table.get("feeds") {
        Some(value) => read_globs(&value, known, false),
        None => Some(FEEDS.map(Glob::new).to_vec()),
    };
    let interval =
        table.get("poll_interval").map_or(Some(MIN_POLL_INTERVAL), |v| read_interval(&v, no_floor));
    let overrides = table.get("feed").and_then(|v| v.table(format!("{} feed", table.title)));
    let mut overrides: Vec<Override> = overrides.map_or(Vec::new(), |overrides| {
        let read = |value: &Value<'_>| read_override(value, &table.title, known, no_floor);
        overrides.all().iter().filter_map(read).collect()
    });
    // A name beats a pattern, a longer pattern a shorter one: the most special comes last and wins.
    overrides.sort_by_key(|o| (o.glob.is_literal(), o.glob.as_str().len()));
    let (wanted, interval) = (wanted?, interval?);
    let chosen = known.iter().filter(|feed| feed.api2 && wanted.iter().any(|glob| glob.matches(feed.name)));
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

fn read_override(value: &Value<'_>, tenant: &str, known: &[KnownFeed], no_floor: bool) -> Option<Override> {
    let title = format!("{}.feed.\"{}\"]", tenant.trim_end_matches(']'), value.name);
    let table = value.table(title)?;
    let glob = glob_or_report(&value.name, value, &value.key_place(), known, false);
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
pub(super) fn read_globs(value: &Value<'_>, known: &[KnownFeed], of_sink: bool) -> Option<Vec<Glob>> {
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
        .map(|item| item.text().and_then(|text| glob_or_report(text, item, &item.place(), known, of_sink)))
        .collect();
    globs.into_iter().collect::<Option<Vec<_>>>().filter(|globs| !globs.is_empty())
}

/// The pattern, if it matches at least one feed that can be collected.
fn glob_or_report(
    text: &str,
    at: &Value<'_>,
    place: &Place,
    known: &[KnownFeed],
    of_sink: bool,
) -> Option<Glob> {
    let glob = Glob::new(text);
    if known.iter().any(|feed| (feed.api2 || of_sink) && glob.matches(feed.name))
        || of_sink && text == COLLECTOR_FEED
    {
        return Some(glob);
    }
    let matching = |name: &&str| glob.matches(name);
    let (title, why, help) = if text == COLLECTOR_FEED {
        let help = "remove it here; a sink may name it";
        (format!("{} is not a feed of Mimecast", quoted(text)), "the daemon's own feed", help.to_owned())
    } else if known.iter().any(|feed| glob.matches(feed.name)) {
        let help = "remove it; API 2.0 has the same events in siem.*";
        (format!("{} is a feed of API 1.0 only", quoted(text)), "not served by API 2.0", help.to_owned())
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
