//! What operators' scopes name, and what is said when one names nothing: what there is.

use super::findings::MACHINE;
use crate::config::Settings;
use crate::cursor::{FeedKey, Scope};
use crate::fault::Fault;
use crate::limits::SCOPES_NAMED;
use crate::store::{Store, Sum};

/// Why a scope means no feed of the store, or a name none of its sinks; `None` when both mean something.
///
/// # Errors
/// The store's.
pub async fn misnamed(store: &Store, scope: &str, sink: Option<&str>) -> Result<Option<String>, Fault> {
    match sink {
        Some(sink) => Ok(no_sink(store, sink).await?.or(no_feed(store, scope).await?)),
        None => no_feed(store, scope).await,
    }
}

/// Sinks that are gone may have left dead letters.
async fn no_sink(store: &Store, sink: &str) -> Result<Option<String>, Fault> {
    let mut names = store.sinks();
    if names.iter().any(|name| name == sink) {
        return Ok(None);
    }
    names.extend(store.dead_letters_sums().await?.into_iter().map(|Sum { of: [sink, _], .. }| sink));
    names.sort();
    let there_are = |names: Vec<String>| list(names.into_iter()).unwrap_or_else(|| "none yet".to_owned());
    Ok((!names.iter().any(|name| name == sink))
        .then(|| format!("the store knows no sink {sink:?}; there are: {}", there_are(names))))
}

/// Why a scope means no feed of the store; `None` when it means some. The empty scope means all there are.
///
/// # Errors
/// The store's.
async fn no_feed(store: &Store, scope: &str) -> Result<Option<String>, Fault> {
    if scope.is_empty() {
        return Ok(None);
    }
    let rows = store.feeds().await?;
    let covered = rows.iter().any(|row| Scope::new(scope).covers(&row.key));
    Ok((!covered).then(|| names_nothing(scope, rows.iter().map(|row| &row.key))))
}

/// That a scope means none of these feeds, for people.
pub fn names_nothing<'k>(scope: &str, keys: impl Iterator<Item = &'k FeedKey> + Clone) -> String {
    let of_tenant = keys.clone().filter(|key| Scope::new(scope).covers_tenant(&key.tenant));
    let tenants = keys.map(|key| key.tenant.clone()).filter(|tenant| !tenant.is_empty());
    let there_are = list(of_tenant.map(FeedKey::to_string)).or_else(|| list(tenants));
    let there_are = there_are.unwrap_or_else(|| "none yet".to_owned());
    format!(
        "{scope:?} names no feed of the store; there are: {there_are}. `*` stands for any run of characters"
    )
}

/// What an operator means who names what an alert is about: trouble of the whole machine holds every tenant.
pub fn meant<'s>(settings: &Settings, scope: &'s str) -> &'s str {
    let tenant = settings.tenants.iter().any(|tenant| tenant.name == MACHINE);
    if scope == MACHINE && !tenant { "*" } else { scope }
}

/// Why `resume` has nothing of that name; `None` when the configuration has. Which hosts there are, only a running
/// daemon knows.
pub fn no_part(settings: &Settings, scope: &str) -> Option<String> {
    let tenants = settings.tenants.iter().flat_map(|tenant| {
        let key = |feed| FeedKey { tenant: tenant.name.clone(), feed };
        tenant.feeds.iter().map(move |feed| key(feed.name))
    });
    let known = match scope.split_once(':') {
        Some(("host", name)) => !name.is_empty(),
        Some(("sink", glob)) => settings.sinks.iter().any(|sink| crate::cursor::fits(glob, &sink.name)),
        Some(("alerts", glob)) => {
            settings.alerts.iter().any(|target| crate::cursor::fits(glob, &target.name))
        }
        _ => !scope.is_empty() && tenants.clone().any(|key| Scope::new(scope).covers(&key)),
    };
    (!known).then(|| {
        let named = Scope::new(scope);
        let of_tenant = tenants.filter(|key| named.covers_tenant(&key.tenant)).map(|key| key.to_string());
        let sinks = settings.sinks.iter().map(|sink| format!("sink:{}", sink.name));
        let names = settings.tenants.iter().map(|tenant| tenant.name.clone());
        let of_tenant = list(of_tenant).filter(|_| !scope.is_empty());
        let targets = settings.alerts.iter().map(|target| format!("alerts:{}", target.name));
        let there_are = of_tenant.or_else(|| list(names.chain(sinks).chain(targets))).unwrap_or_default();
        format!(
            "{scope:?} is not configured; there are: {there_are}. Or name a host that is away, as `status` does: host:NAME"
        )
    })
}

/// The first names of a list, each once; `None` for an empty one.
fn list(names: impl Iterator<Item = String>) -> Option<String> {
    let mut names: Vec<String> = names.collect();
    names.dedup();
    let more = names.len().saturating_sub(SCOPES_NAMED);
    names.truncate(SCOPES_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| names.join(", ") + &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_says_how_much_longer_it_is() {
        let names = |n: usize| list((0..n).map(|n| format!("t{n}")));
        assert_eq!(names(0), None);
        assert_eq!(names(2).unwrap(), "t0, t1");
        assert!(names(SCOPES_NAMED + 3).unwrap().ends_with(" and 3 more"));
    }
}
