//! Which Mimecast a tenant talks to, and as whom: API generation, region and keys, which belong together.

use url::Url;

use super::diagnostic::{Book, Problem};
use super::nearest::nearest;
use super::secret_ref::SecretRef;
use super::settings::{Api, Credential, Tenant};
use super::table::Table;
use super::value::{Value, is_loopback, quoted};

/// Names, and the addresses they stand for.
type Regions = &'static [(&'static str, &'static str)];

const REGIONS_OF_API_2: Regions = &[
    ("global", "https://api.services.mimecast.com"),
    ("us", "https://us-api.services.mimecast.com"),
    ("uk", "https://uk-api.services.mimecast.com"),
];
/// API 1.0 has no address for all regions; the one of `uspcom` has a domain of its own.
const REGIONS_OF_API_1: Regions = &[
    ("eu", "https://eu-api.mimecast.com"),
    ("us", "https://us-api.mimecast.com"),
    ("usb", "https://usb-api.mimecast.com"),
    ("uspcom", "https://uspcom-api.mimecast-pscom-us.com"),
    ("uk", "https://eu-api.mimecast.com"),
    ("de", "https://de-api.mimecast.com"),
    ("ca", "https://ca-api.mimecast.com"),
    ("za", "https://za-api.mimecast.com"),
    ("au", "https://au-api.mimecast.com"),
    ("je", "https://je-api.mimecast.com"),
    ("sandbox", "https://sandbox-api.mimecast.com"),
];
/// Names of the regions of a generation of the API.
pub fn regions(api: Api) -> impl Iterator<Item = &'static str> {
    let regions = match api {
        Api::V2 => REGIONS_OF_API_2,
        Api::V1 => REGIONS_OF_API_1,
    };
    regions.iter().map(|(name, _)| *name)
}

const KEYS_OF_API_2: [&str; 4] = ["client_id", "client_secret", "download_hosts", "siem_endpoint"];
const KEYS_OF_API_1: [&str; 4] = ["app_id", "app_key", "access_key", "secret_key"];

/// Why a tenant of API 1.0 should not stay one; the end of that sentence tells what to do.
pub const API_1_RETIRES: &str = "Mimecast is retiring API 1.0: since the end of June 2025 no new application can be \
     made for it, so keys that expire may have no successor. Create an API 2.0 application, then move with \
     `mimecollectd cursor migrate`";

/// `api`: 2.0 unless something else is written; `None` when that cannot be read.
pub(super) fn api(table: &Table<'_>) -> Option<Api> {
    let Some(value) = table.get("api") else { return Some(Api::V2) };
    let api = value.choice(&[("2.0", Api::V2), ("1.0", Api::V1)], &[])?;
    if api == Api::V1 {
        table.book.warn(&value.place(), &format!("{} uses API 1.0. {API_1_RETIRES}", table.title));
    }
    Some(api)
}

/// The keys that belong to `api`; those of the other generation are reported.
pub(super) fn credential(table: &Table<'_>, name: &str, api: Option<Api>) -> Option<Credential> {
    let Some(api) = api else {
        // which keys are due is not known, but what is written can still be wrong
        for key in ["client_id", "app_id"] {
            table.get(key).map(|value| value.text());
        }
        for key in ["client_secret", "app_key", "access_key", "secret_key"] {
            table.get(key).map(|value| table.secret(&value, &format!("{key} of tenant `{name}`")));
        }
        return None;
    };
    let secret = |key: &'static str, what: &str, example: &str| {
        let value = table.require(key, example)?;
        table.secret(&value, &format!("{what} of tenant `{name}`"))
    };
    match api {
        Api::V2 => {
            KEYS_OF_API_1.into_iter().for_each(|key| foreign(table, key, Api::V1));
            let client_id = id(table, "client_id", "client_id = \"…\" of the API 2.0 application");
            let example = "client_secret = { file = \"…\" } or { credential = \"…\" }";
            let client_secret = secret("client_secret", "client secret", example);
            Some(Credential::OAuth { client_id: client_id?, client_secret: client_secret? })
        }
        Api::V1 => {
            KEYS_OF_API_2.into_iter().for_each(|key| foreign(table, key, Api::V2));
            let app_id = id(table, "app_id", "app_id = \"…\" of the API 1.0 application");
            let app_key = secret("app_key", "application key", "app_key = { file = \"…\" }");
            let access_key = secret("access_key", "access key", "access_key = { file = \"…\" }");
            let secret_key = secret("secret_key", "secret key", "secret_key = { file = \"…\" }");
            if let Some(SecretRef::Literal(key)) = &secret_key
                && key.base64_bytes().is_none()
                && let Some(value) = table.get("secret_key")
            {
                let (why, help) = ("is not the base64 text that Mimecast shows", SECRET_KEY_HELP);
                value.refuse("`secret_key` cannot be used", why, help);
                return None;
            }
            Some(Credential::Signed {
                app_id: app_id?,
                app_key: app_key?,
                access_key: access_key?,
                secret_key: secret_key?,
            })
        }
    }
}

/// What to do about a secret key that is not base64.
pub(super) const SECRET_KEY_HELP: &str = "copy the secret key again as a whole, with the `=` at its end: letters, \
     digits, `+` and `/`, as Mimecast shows it when the keys are made; the access key and the application key \
     look different";

fn id(table: &Table<'_>, key: &'static str, example: &str) -> Option<String> {
    table.require(key, example)?.text().map(|text| text.trim().to_owned())
}

/// Reports a key of the other generation.
fn foreign(table: &Table<'_>, key: &'static str, of: Api) {
    let (theirs, ours) = match of {
        Api::V1 => ("1.0", "2.0"),
        Api::V2 => ("2.0", "1.0"),
    };
    let why = format!("a key of API {theirs}");
    let help = format!("remove it, or write api = \"{theirs}\" if the keys are of that generation");
    table.foreign(key, &format!("and this tenant uses API {ours}"), &why, &help);
}

/// `region` or `base_url`, as the generation has them.
pub(super) fn base_url(table: &Table<'_>, api: Option<Api>) -> Option<Url> {
    let (region, base_url) = (table.get("region"), table.get("base_url"));
    let Some(value) = base_url else { return of_region(table, region, api?) };
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
        return refuse("would send the keys unencrypted", "write https://, or use a loopback address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user or password", "remove it; the credentials have keys of their own");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("holds more than scheme, host and port", &format!("write it like \"{example}\""));
    }
    Some(url)
}

fn of_region(table: &Table<'_>, region: Option<Value<'_>>, api: Api) -> Option<Url> {
    let (ours, others) = match api {
        Api::V1 => (REGIONS_OF_API_1, REGIONS_OF_API_2),
        Api::V2 => (REGIONS_OF_API_2, REGIONS_OF_API_1),
    };
    let names: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
    let all = format!("available: \"{}\"", names.join("\", \""));
    let Some(value) = region else {
        return match api {
            Api::V2 => ours.first().and_then(|(_, url)| Url::parse(url).ok()),
            Api::V1 => {
                let example = format!("region = \"eu\" (or where your account lives; {all})");
                table.require("region", &example).and(None)
            }
        };
    };
    let text = value.text_like("a text", &all)?;
    if let Some((_, url)) = ours.iter().find(|(name, _)| *name == text) {
        return Url::parse(url).ok();
    }
    let why = match others.iter().any(|(name, _)| *name == text) {
        true => "a region of the other API generation",
        false => "not one of its values",
    };
    let near = nearest(text, names).map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    value.refuse(format!("`region` cannot be {}", quoted(text)), why, format!("{near}{all}"));
    None
}

/// A tenant is one account: in two of them a wrong secret would be tried twice as often as an account bears, and every
/// event be collected twice out of one quota.
pub(super) fn refuse_shared(book: &Book<'_>, tenants: &[Option<Tenant>], values: &[Value<'_>]) {
    let known: Vec<_> =
        tenants.iter().zip(values).filter_map(|(tenant, value)| Some((tenant.as_ref()?, value))).collect();
    for (at, (tenant, value)) in known.iter().enumerate() {
        let same = |(other, _): &&(&Tenant, &Value<'_>)| {
            other.base_url == tenant.base_url && account(&other.credential) == account(&tenant.credential)
        };
        if let Some((_, first)) = known.iter().take(at).find(same) {
            let key = account(&tenant.credential).0;
            let title =
                format!("tenants {} and {} use the same {key}", quoted(&first.name), quoted(&value.name));
            if tenant.loopback {
                // a simulator locks nobody out for good, and may know one credential only
                book.warn_in_general(format!(
                    "{title}: every event would be collected twice out of one quota"
                ));
                continue;
            }
            let problem =
                Problem::new(title).at(first.key_place(), "first here").at(value.key_place(), "again here");
            book.report(problem.help(
                "an account that is asked twice as often is locked twice as soon: name all its feeds in one tenant; \
                 single feeds may have an interval of their own ([tenants.NAME.feed.\"…\"]), and sinks choose by `feeds`",
            ));
        }
    }
}

/// What stands for the account at Mimecast: the key's name, and what is written there.
fn account(credential: &Credential) -> (&'static str, &str, Option<&SecretRef>) {
    match credential {
        Credential::OAuth { client_id, .. } => ("client_id", client_id, None),
        Credential::Signed { app_id, access_key, .. } => ("app_id and access_key", app_id, Some(access_key)),
    }
}
