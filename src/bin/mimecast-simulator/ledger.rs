//! The books: what was published, what was handed out, and who asked for what. A collector is right when its
//! sinks hold exactly what stands here.

use crate::dates;
use crate::feeds::{FEEDS, Feed};
use crate::files::{Order, Spoil};
use crate::runs::Run;
use crate::world::{FeedState, Tenant, World, hold};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use std::io;
use std::sync::Arc;

/// The records of one run in pieces of a file's size.
fn orders_of(tenant: &Tenant, feed: &'static Feed, run: Run) -> Vec<Order> {
    let account = tenant.code();
    let order = |file| Order { feed, run, file, account: account.clone(), spoil: Spoil::default() };
    (0..run.events.div_ceil(run.per_file)).map(order).collect()
}

/// All records of a feed in pieces of a file's size, in the order of publication.
pub fn orders(tenant: &Tenant, feed: &'static Feed) -> Vec<Order> {
    let runs = tenant.feed(feed).map(|state| state.runs.clone()).unwrap_or_default();
    runs.into_iter().flat_map(|run| orders_of(tenant, feed, run)).collect()
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
    let (runs, known, missing) = match tenant.feed(feed) {
        Some(state) => {
            let missing: Vec<bool> = state.files.iter().map(|note| note.digest.is_none()).collect();
            (state.runs.clone(), state.run_digests.len(), missing)
        }
        None => return Ok(()),
    };
    if feed.is_batch() {
        let all = runs.into_iter().flat_map(|run| orders_of(tenant, feed, run));
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
        return Ok(());
    }
    for (index, run) in runs.into_iter().enumerate().skip(known) {
        let sums = digests(orders_of(tenant, feed, run)).await?;
        let sum = sums.into_iter().fold(0_u128, u128::wrapping_add);
        if let Some(mut state) = tenant.feed(feed)
            && state.run_digests.len() == index
        {
            state.run_digests.push(sum); // a second ledger drawn up at the same time may have been faster
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

fn feed_entry(state: &FeedState, feed: &Feed, now: i64, digests: bool) -> Value {
    let published = state.events();
    let mut files = add_files(state, now);
    if !feed.is_batch() {
        files.handed_events = state.rows_handed;
        files.handed_digest = state.rows_digest;
        files.published_digest = state.run_digests.iter().fold(0, |sum, d| sum.wrapping_add(*d));
    }
    let gone = files.handed_events + files.damaged_events + files.expired_events;
    let mut entry = json!({
        "published": published,
        "handed_out": state.handed,
        "handed_out_distinct": files.handed_events,
        "handed_out_digest": hex(files.handed_digest),
        "unreadable": files.unreadable,
        "listed": files.handed_events + files.unreadable,
        "damaged": files.damaged_events,
        "expired": files.expired_events,
        "waiting": published.saturating_sub(gone),
    });
    if let Some(entry) = entry.as_object_mut() {
        if digests {
            entry.insert("published_digest".into(), hex(files.published_digest).into());
        }
        if feed.is_batch() {
            let extras: Vec<&str> = state.extras.keys().copied().collect();
            entry.insert(
                "files".into(),
                json!({"published": state.files.len(), "listed": files.listed, "handed_out": files.handed,
                    "additional": extras}),
            );
        }
    }
    entry
}

async fn tenant_entry(world: &World, tenant: &Tenant, digests: bool) -> io::Result<Value> {
    let now = world.clock.now();
    let mut feeds = Map::new();
    let mut totals: Map<String, Value> = Map::new();
    for feed in &FEEDS {
        if digests {
            complete(tenant, feed).await?;
        }
        let Some(state) = tenant.feed(feed) else { continue };
        let entry = feed_entry(&state, feed, now, digests);
        for (name, value) in entry.as_object().into_iter().flatten() {
            if let Some(number) = value.as_u64() {
                let sum = totals.get(name).and_then(Value::as_u64).unwrap_or(0) + number;
                totals.insert(name.clone(), sum.into());
            }
        }
        feeds.insert(feed.name.into(), entry);
    }
    let account = hold(&tenant.account);
    let quota = hold(&tenant.quota);
    Ok(json!({
        "account_id": tenant.code(),
        "feeds": feeds,
        "totals": totals,
        "requests": *hold(&tenant.requests),
        "max_listing_calls_per_window": quota.max_calls,
        "listing_calls_over_quota": quota.refused,
        "token_requests": account.token_requests,
        "tokens_issued": account.tokens_issued,
        "failed_logins": account.failed_logins,
        "locked": account.is_locked(now) || now < hold(&world.stage).locked_until(),
        "locks": account.locks,
        "attempts_while_locked": account.attempts_while_locked,
        "calls_while_locked": account.calls_while_locked,
        "bearer_leaks": *hold(&tenant.bearer_leaks),
    }))
}

/// The whole ledger. Without `digests` nothing has to be generated for it.
pub async fn ledger(world: &Arc<World>, only: Option<&str>, digests: bool) -> io::Result<Value> {
    let mut tenants = Map::new();
    for tenant in world.all_tenants() {
        if only.is_none_or(|name| name == tenant.name) {
            let entry = tenant_entry(world, &tenant, digests).await?;
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
