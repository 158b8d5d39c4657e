//! The books: what was published, what was handed out, and who asked for what. A collector is right when its
//! sinks hold exactly what stands here.

use crate::dates;
use crate::feeds::{Api, FEEDS, Feed, glob};
use crate::files::{Order, Spoil};
use crate::quota::{Counted, LISTINGS, Quota};
use crate::rows::Rows;
use crate::runs::Run;
use crate::world::{FeedState, Tenant, World, hold};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The records of one run in pieces of a file's size.
fn orders_of(tenant: &Tenant, feed: &'static Feed, run: Run, second: bool) -> Vec<Order> {
    let account = tenant.code();
    let order = |file| Order { feed, run, file, account: account.clone(), spoil: Spoil::default(), second };
    (0..run.events.div_ceil(run.per_file)).map(order).collect()
}

/// All records of a feed in pieces of a file's size, in the order of publication.
pub fn orders(tenant: &Tenant, feed: &'static Feed, second: bool) -> Vec<Order> {
    let runs = tenant.feed(feed).map(|state| state.runs.clone()).unwrap_or_default();
    runs.into_iter().flat_map(|run| orders_of(tenant, feed, run, second)).collect()
}

/// Digests of many pieces, two at a time, in order.
async fn digests(orders: Vec<Order>) -> io::Result<Vec<u128>> {
    let sum = |order: Order| async move {
        let task = tokio::task::spawn_blocking(move || order.digest());
        task.await.map_err(io::Error::other)?
    };
    stream::iter(orders.into_iter().map(sum)).buffered(2).try_collect().await
}

/// Adds up digests of the published truth that are not known yet.
async fn complete(tenant: &Tenant, feed: &'static Feed) -> io::Result<()> {
    let second_used = tenant.feed(feed).is_some_and(|state| state.second.handed > 0);
    if second_used {
        complete_rows(tenant, feed, true).await?;
    }
    if feed.is_batch() {
        complete_files(tenant, feed).await
    } else {
        complete_rows(tenant, feed, false).await
    }
}

async fn complete_files(tenant: &Tenant, feed: &'static Feed) -> io::Result<()> {
    let (runs, missing) = match tenant.feed(feed) {
        Some(state) => {
            let missing: Vec<bool> = state.files.iter().map(|note| note.digest.is_none()).collect();
            (state.runs.clone(), missing)
        }
        None => return Ok(()),
    };
    let all = runs.into_iter().flat_map(|run| orders_of(tenant, feed, run, false));
    let (files, orders): (Vec<usize>, Vec<Order>) =
        all.enumerate().filter(|(file, _)| missing.get(*file).copied().unwrap_or(false)).unzip();
    let sums = digests(orders).await?;
    if let Some(mut state) = tenant.feed(feed) {
        for (file, sum) in files.into_iter().zip(sums) {
            if let Some(note) = state.files.get_mut(file) {
                note.digest = Some(sum);
            }
        }
    }
    Ok(())
}

fn books(state: &mut FeedState, second: bool) -> &mut Rows {
    if second { &mut state.second } else { &mut state.rows }
}

async fn complete_rows(tenant: &Tenant, feed: &'static Feed, second: bool) -> io::Result<()> {
    let (runs, known) = match tenant.feed(feed) {
        Some(mut state) => (state.runs.clone(), books(&mut state, second).published.len()),
        None => return Ok(()),
    };
    for (index, run) in runs.into_iter().enumerate().skip(known) {
        let sums = digests(orders_of(tenant, feed, run, second)).await?;
        let sum = sums.into_iter().fold(0_u128, u128::wrapping_add);
        if let Some(mut state) = tenant.feed(feed) {
            let published = &mut books(&mut state, second).published;
            if published.len() == index {
                published.push(sum); // a second ledger drawn up at the same time may have been faster
            }
        }
    }
    Ok(())
}

fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

/// Sums over the files of a batch feed.
#[derive(Default)]
struct Files {
    handed_events: u64,
    handed_digest: u128,
    published_digest: u128,
    damaged_events: u64,
    expired_events: u64,
    unreadable: u64,
    listed: u64,
    handed: u64,
}

fn add_files(state: &FeedState, now: i64) -> Files {
    let mut sum = Files::default();
    for (file, note) in (0_u64..).zip(&state.files) {
        let Some(run) = state.run_of_file(file) else { continue };
        let range = run.events_of(file - run.first_file);
        let events = range.end - range.start;
        let digest = note.digest.unwrap_or(0);
        sum.published_digest = sum.published_digest.wrapping_add(digest);
        sum.listed += u64::from(note.listed > 0);
        if note.handed > 0 {
            sum.handed += 1;
            sum.handed_events += events;
            sum.handed_digest = sum.handed_digest.wrapping_add(digest);
            sum.unreadable += note.unreadable;
        } else if run.file_expired(file - run.first_file, now) {
            sum.expired_events += events;
        } else if note.damaged > 0 {
            sum.damaged_events += events;
        }
    }
    sum.unreadable += state.extras.values().sum::<u64>();
    sum
}

/// Sums over the rows of a feed that is handed out event by event.
fn add_rows(state: &FeedState, feed: &Feed, now: i64) -> Files {
    let expired = |run: &Run| {
        let kept = run.first_kept(now, feed.kept());
        state.rows.missing(run.first_event, run.first_event + kept)
    };
    Files {
        handed_events: state.rows.distinct,
        handed_digest: state.rows.digest,
        published_digest: state.rows.published_digest(),
        expired_events: state.runs.iter().map(expired).sum(),
        unreadable: state.extras.values().sum(),
        ..Files::default()
    }
}

/// Events that could still be had now, whether somebody had them already or not.
fn obtainable(state: &FeedState, feed: &Feed, now: i64) -> u64 {
    if !feed.is_batch() {
        return state.runs.iter().map(|run| run.events - run.first_kept(now, feed.kept())).sum();
    }
    let files = state.runs.iter().flat_map(|run| (0..run.files).map(move |file| (run, file)));
    let kept = files.filter(|(run, file)| !run.file_expired(*file, now));
    kept.map(|(run, file)| run.events_of(file)).map(|events| events.end - events.start).sum()
}

fn feed_entry(state: &FeedState, feed: &Feed, now: i64, digests: bool) -> Value {
    let published = state.events();
    let files = if feed.is_batch() { add_files(state, now) } else { add_rows(state, feed, now) };
    let gone = files.handed_events + files.damaged_events + files.expired_events;
    let mut entry = json!({
        "published": published,
        "handed_out": state.handed + state.rows.handed,
        "handed_out_distinct": files.handed_events,
        "handed_out_digest": hex(files.handed_digest),
        "unreadable": files.unreadable,
        "listed": files.handed_events + files.unreadable,
        "damaged": files.damaged_events,
        "expired": files.expired_events,
        "obtainable": obtainable(state, feed, now),
        "waiting": published.saturating_sub(gone),
    });
    let Some(map) = entry.as_object_mut() else { return entry };
    if digests {
        map.insert("published_digest".into(), hex(files.published_digest).into());
    }
    if feed.is_batch() {
        let extras: Vec<&str> = state.extras.keys().copied().collect();
        let files = json!({"published": state.files.len(), "listed": files.listed, "handed_out": files.handed,
            "additional": extras});
        map.insert("files".into(), files);
    } else {
        map.insert("most_often".into(), state.rows.most_often().into());
    }
    if let (Some(form), true) = (feed.second_form(), state.second.handed > 0) {
        let mut second = json!({
            "handed_out": state.second.handed,
            "handed_out_distinct": state.second.distinct,
            "handed_out_digest": hex(state.second.digest),
            "most_often": state.second.most_often(),
        });
        if let (true, Some(second)) = (digests, second.as_object_mut()) {
            second.insert("published_digest".into(), hex(state.second.published_digest()).into());
        }
        map.insert(form.into(), second);
    }
    entry
}

/// Files or events of one piece of [`spans`].
const SPAN_PIECE: u64 = 20_000;

/// How many pieces [`spans`] comes in.
pub fn span_pieces(tenant: &Tenant, feed: &Feed, second: bool) -> u64 {
    let files = feed.is_batch() && !second;
    let count = |state: &FeedState| if files { state.files.len() as u64 } else { state.events() };
    tenant.feed(feed).map_or(0, |state| count(&state).div_ceil(SPAN_PIECE))
}

/// How often the events of one piece were handed out, in lines of JSON.
pub fn spans(tenant: &Tenant, feed: &Feed, second: bool, piece: u64, now: i64) -> String {
    let Some(state) = tenant.feed(feed) else { return String::new() };
    let range = piece * SPAN_PIECE..(piece + 1) * SPAN_PIECE;
    let mut out = String::new();
    if feed.is_batch() && !second {
        for file in range.start..range.end.min(state.files.len() as u64) {
            let note = usize::try_from(file).ok().and_then(|at| state.files.get(at));
            let (Some(run), Some(note)) = (state.run_of_file(file), note) else { continue };
            let events = run.events_of(file - run.first_file);
            let line = json!({"feed": feed.name, "file": file, "first": run.first_event + events.start,
                "events": events.end - events.start, "listed": note.listed, "handed": note.handed,
                "damaged": note.damaged, "expired": run.file_expired(file - run.first_file, now)});
            out += &format!("{line}\n");
        }
        return out;
    }
    let rows = if second { &state.second } else { &state.rows };
    let (mut first, end) = (range.start, range.end.min(state.events()));
    while first < end {
        let times = rows.times(first);
        let next = (first..end).find(|&event| rows.times(event) != times).unwrap_or(end);
        let line = json!({"feed": feed.name, "first": first, "events": next - first, "handed": times});
        out += &format!("{line}\n");
        first = next;
    }
    out
}

/// The generations of the API that a tenant uses; 2.0 until it has used one.
fn generations(tenant: &Tenant) -> Vec<Api> {
    let used: Vec<Api> = hold(&tenant.used).iter().copied().collect();
    if used.is_empty() { vec![Api::Two] } else { used }
}

async fn tenant_entry(world: &World, tenant: &Tenant, drawn: &Drawn<'_>) -> io::Result<Value> {
    let now = world.clock.now();
    let apis = generations(tenant);
    let mut feeds = Map::new();
    let mut totals: Map<String, Value> = Map::new();
    for feed in FEEDS.iter().filter(|feed| drawn.feeds.iter().any(|pattern| glob(pattern, feed.name))) {
        let counts = apis.iter().any(|api| feed.is_of(*api));
        if drawn.digests && counts {
            complete(tenant, feed).await?;
        }
        let Some(state) = tenant.feed(feed) else { continue };
        let entry = feed_entry(&state, feed, now, drawn.digests && counts);
        for (name, value) in entry.as_object().into_iter().flatten().filter(|_| counts) {
            if let Some(number) = value.as_u64() {
                let sum = totals.get(name).and_then(Value::as_u64).unwrap_or(0) + number;
                totals.insert(name.clone(), sum.into());
            }
        }
        feeds.insert(feed.name.into(), entry);
    }
    totals.remove("most_often");
    let account = hold(&tenant.account);
    let quotas = hold(&tenant.quotas);
    let listings = quotas.get(&LISTINGS);
    Ok(json!({
        "account_id": tenant.code(),
        "apis": apis.iter().map(|api| if *api == Api::One { "1.0" } else { "2.0" }).collect::<Vec<_>>(),
        "feeds": feeds,
        "totals": totals,
        "requests": *hold(&tenant.requests),
        "quotas": quota_entries(&quotas),
        "max_listing_calls_per_window": listings.map_or(0, |quota| quota.max_calls),
        "listing_calls_over_quota": listings.map_or(0, |quota| quota.refused),
        "token_requests": account.token_requests,
        "tokens_issued": account.tokens_issued,
        "failed_logins": account.failed_logins,
        "signatures": hold(&tenant.signatures).entry(),
        "locked": account.is_locked(now) || now < world.locked_until(&tenant.name),
        "locks": account.locks,
        "attempts_while_locked": account.attempts_while_locked,
        "calls_while_locked": account.calls_while_locked,
        "bearer_leaks": *hold(&tenant.bearer_leaks),
    }))
}

fn quota_entries(quotas: &BTreeMap<Counted, Quota>) -> Map<String, Value> {
    let entry = |(counted, quota): (&Counted, &Quota)| {
        let entry = json!({"window_seconds": counted.window / dates::SECOND, "calls_this_window": quota.calls,
            "max_calls_per_window": quota.max_calls, "refused": quota.refused});
        (counted.name.to_owned(), entry)
    };
    quotas.iter().map(entry).collect()
}

/// What of the ledger is wanted.
pub struct Drawn<'a> {
    pub tenant: Option<&'a str>,
    /// Globs.
    pub feeds: Vec<&'a str>,
    /// Without these nothing has to be generated.
    pub digests: bool,
}

pub async fn ledger(world: &Arc<World>, drawn: &Drawn<'_>) -> io::Result<Value> {
    let mut tenants = Map::new();
    for tenant in world.all_tenants() {
        if drawn.tenant.is_none_or(|name| name == tenant.name) {
            let entry = tenant_entry(world, &tenant, drawn).await?;
            tenants.insert(tenant.name.clone(), entry);
        }
    }
    let (names, rules) = {
        let stage = hold(&world.stage);
        (stage.scenario.names.clone(), stage.scenario.rules.len())
    };
    Ok(json!({
        "seed": world.setup.seed,
        "client_time": dates::iso(world.clock.wire()),
        "advanced_seconds": world.clock.ahead() / dates::SECOND,
        "scenario": {"presets": names, "rules": rules},
        "digest": "sum mod 2^128 of the first 16 bytes (big-endian) of SHA-256 of each record's bytes",
        "tenants": tenants,
        "unidentified": {"requests": *hold(&world.strangers), "client_ids": *hold(&world.unknown_clients)},
    }))
}
