//! Mimecast itself: one login, then one small question per feed. What comes of them is noted in the gate and the
//! quota, as if a feed had asked.

use std::time::Duration;

use super::{Outcome, Row};
use crate::clock::Clock;
use crate::config::{Settings, Tenant};
use crate::cursor::Cursor;
use crate::daemon::plan;
use crate::dialect;
use crate::fault::{Fault, Origin};
use crate::limits::{CLOCK_SKEW_TOLERATED, MIN_POLL_INTERVAL, STREAM_OVERLAP};
use crate::mimecast::catalogue;
use crate::mimecast::feed::{Ask, Endpoint, Feed};
use crate::mimecast::position::Position;
use crate::mimecast::quota::Call;
use crate::mimecast::request::{self, Asking};
use crate::scheduler::account::{Access, Account};
use crate::scheduler::hosts::Hosts;
use crate::store::Store;
use crate::supervisor::backoff::Pace;
use crate::supervisor::gate::Closed;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::Verdict;

/// How far back the question reaches: enough to be a real one, little to read.
const REACH: Duration = Duration::from_secs(3600);

/// Login, each feed, and the clock.
pub async fn ask(tenant: &Tenant, settings: &Settings, store: &Store) -> Vec<Row> {
    let name = tenant.name.as_str();
    let pace = Pace::new(MIN_POLL_INTERVAL, tenant.loopback, plan::overrides(settings));
    let opened =
        match plan::identity(tenant, &Clock::System, &mut plan::Exits::new(Hosts::new(Clock::System))) {
            Ok(identity) => Account::open(identity, store.clone(), Clock::System, pace.clone()).await,
            Err(error) => Err(error),
        };
    let account = match opened {
        Ok(account) => account,
        Err(error) => return vec![Row::unusable(name, "credential", &error)],
    };
    let mut rows = Vec::new();
    if let Some(closed) = account.closed().await {
        rows.push(locked(name, &closed));
        return rows;
    }
    match account.learn_time().await {
        Ok(()) => {}
        Err(fault) => {
            rows.push(Row::failed(name, "credential", &fault));
            rows.push(Row::untried(name, "feeds", "not asked: the login failed, and is not tried again"));
            return rows;
        }
    }
    let asked = ask_feeds(tenant, &account, &pace).await;
    rows.push(credential(name, &account, &asked));
    rows.extend(clock(name, &asked));
    rows.extend(asked.into_iter().map(|feed| feed.row));
    rows
}

fn locked(name: &str, closed: &Closed) -> Row {
    let why = closed.rule.map_or("the outcome of the last attempt is not known", |rule| rule.meaning);
    let until = closed
        .until
        .map_or("until it is changed or resumed".to_owned(), |at| format!("until {}", at.rfc3339()));
    let words = format!("not asked {until}, because one more attempt would do harm: {why}");
    let exit = crate::setup_error::ExitCode::Permission;
    let remedy = closed.rule.map_or("wait, and try again", |rule| rule.remedy);
    Row::new(name, "credential", Outcome::Fails(exit), words).fix(remedy)
}

/// What one feed's question brought.
struct Asked {
    row: Row,
    /// Mimecast's clock minus ours, milliseconds.
    skew: Option<i64>,
    answered: bool,
}

async fn ask_feeds(tenant: &Tenant, account: &Account, pace: &Pace) -> Vec<Asked> {
    let mut all = Vec::new();
    let mut stop: Option<&'static str> = None;
    for feed in tenant.feeds.iter().filter_map(|settings| catalogue::find(settings.name)) {
        let scope = format!("{}/{}", tenant.name, feed.name);
        if let Some(why) = stop {
            all.push(Asked { row: Row::untried(&scope, "permission", why), skew: None, answered: false });
            continue;
        }
        let asked = match ask_feed(&scope, feed, tenant.siem_endpoint, account).await {
            Ok(asked) => asked,
            Err(fault) => {
                let rule = pace.judge(&fault);
                if matches!(rule.verdict, Verdict::Proceed | Verdict::StopPaging) {
                    let row = Row::works(&scope, "permission", format!("answers: {}", rule.meaning));
                    all.push(Asked { row, skew: None, answered: true });
                    continue;
                }
                if rule.is_for_gate(fault.origin) || matches!(rule.verdict, Verdict::PauseFor(_)) {
                    stop = Some("not asked: what the feed before it met holds for all feeds");
                }
                refused(&scope, feed, &fault)
            }
        };
        all.push(asked);
    }
    all
}

/// The right is named where a right is missing, not where the credential is refused.
fn refused(scope: &str, feed: &Feed, fault: &Fault) -> Asked {
    if judge(fault).is_for_gate(fault.origin) {
        return Asked { row: Row::failed(scope, "credential", fault), skew: None, answered: false };
    }
    let mut row = Row::failed(scope, "permission", fault);
    if row.outcome == Outcome::Fails(crate::setup_error::ExitCode::Permission) {
        let known = row.remedy.take().unwrap_or_default();
        row = row.fix(format!("grant the application's role the right \"{}\". {known}", feed.permission));
    }
    Asked { row, skew: None, answered: false }
}

async fn ask_feed(
    scope: &str,
    feed: &'static Feed,
    endpoint: Endpoint,
    account: &Account,
) -> Result<Asked, Fault> {
    let untried =
        |words: String| Asked { row: Row::untried(scope, "permission", words), skew: None, answered: false };
    if let Some(until) = account.quota(feed, endpoint, Call::Live).await? {
        return Ok(untried(format!("not asked: the quota is used up until {}", until.rfc3339())));
    }
    let (pass, slip) = match account.access().await? {
        Access::Go { pass, slip } => (pass, slip),
        Access::Shut(closed) => {
            let until = closed.until.map(|at| format!(" until {}", at.rfc3339())).unwrap_or_default();
            return Ok(untried(format!("not asked: the credential is held back{until}")));
        }
    };
    let now = account.server_now();
    let position = Position::open(feed, &Cursor::unset(), now, REACH)?;
    let position = position.at_endpoint(endpoint, Some(now.minus(REACH)), STREAM_OVERLAP, now);
    let asking = Asking { page_size: 1, overlap: Duration::ZERO, server_now: now, until: None };
    let request = request::build(feed, &position, &asking).request;
    let answer = match feed.ask {
        // an answer that is a file of any size; its head says enough
        Ask::Archive | Ask::Intel { .. } => match account.api.open(&request, &pass).await {
            Ok(mut file) => {
                let first = file.next_piece().await;
                first.map(|bytes| (file.headers().to_vec(), bytes.unwrap_or_default()))
            }
            Err(fault) => Err(fault),
        },
        Ask::Batch { .. } | Ask::Window { .. } => {
            account.api.send(&request, &pass).await.map(|answer| (answer.headers, answer.body))
        }
    };
    let failure = match &answer {
        Ok((_, body)) => dialect::failure_in_success(Origin::Api, body),
        Err(fault) => Some(fault.clone()),
    };
    if let Some(fault) = failure {
        account.call_fault(feed.name, &fault, slip).await?;
        return Err(fault);
    }
    account.call_ok(feed.name, slip).await?;
    let skew = answer.ok().and_then(|(headers, _)| dialect::skew_ms(&headers, Clock::System.now()));
    Ok(Asked { row: Row::works(scope, "permission", "answers"), skew, answered: true })
}

fn credential(name: &str, account: &Account, asked: &[Asked]) -> Row {
    let token = account.live().borrow().token_expires;
    match token {
        Some(until) => {
            Row::works(name, "credential", format!("a token was given, good until {}", until.rfc3339()))
        }
        None if asked.iter().any(|feed| feed.answered) => Row::works(name, "credential", "taken by Mimecast"),
        None => Row::new(name, "credential", Outcome::Look, "no answer shows yet that it works"),
    }
}

fn clock(name: &str, asked: &[Asked]) -> Option<Row> {
    let skew = asked.iter().find_map(|feed| feed.skew)?;
    let seconds = skew.unsigned_abs() / 1000;
    let side = if skew > 0 { "behind" } else { "ahead of" };
    let words = format!("this machine is {seconds} s {side} Mimecast's clock");
    if skew.unsigned_abs() >= CLOCK_SKEW_TOLERATED.as_millis() as u64 {
        let fix = "set this machine's clock by NTP (`timedatectl set-ntp true`)";
        return Some(Row::new(name, "clock", Outcome::Look, words).fix(fix));
    }
    Some(Row::works(name, "clock", if seconds == 0 { "agrees with Mimecast's".to_owned() } else { words }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Code, Kind};

    #[test]
    fn a_right_is_asked_for_only_where_a_right_is_missing() {
        for (status, code, title, right) in [
            (403, "app_forbidden", "permission", true),
            (401, "0004", "credential", false),
            (401, "InvalidClientIdentifier", "credential", false),
            (401, "0003", "credential", false),
        ] {
            let mut fault = Fault::new(Origin::Api, Kind::Status(status), "");
            (fault.code, fault.attributed) = (Code::new(code), true);
            let row = refused("acme/audit", catalogue::find("audit").unwrap(), &fault).row;
            let advice = row.remedy.clone().unwrap_or_default();
            assert_eq!(
                (row.tried, advice.contains("the right \"")),
                (title, right),
                "{status}/{code}: {advice}"
            );
        }
    }
}
