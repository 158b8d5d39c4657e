//! What is found in which state, and what is told once instead of once per feed.

use tokio::sync::watch;

use std::sync::Arc;

use super::*;
use crate::config::settings::{Credential, FeedSettings};
use crate::config::{self, SecretRef};
use crate::cursor::TimeSpan;
use crate::delivery::SinkState;
use crate::scheduler::live::{CredentialLive, FeedView};
use crate::secret::Secret;

const NOW: Time = Time(1_767_260_000_000);

fn still<T>(value: T) -> watch::Receiver<T> {
    watch::Sender::new(value).subscribe()
}

fn view(credential: CredentialLive, feeds: Vec<(&'static str, FeedLive)>) -> TenantView {
    let interval = Duration::from_secs(300);
    let settings =
        feeds.iter().map(|(name, _)| FeedSettings { name, poll_interval: interval, overlap: interval });
    TenantView {
        settings: Arc::new(config::Tenant {
            name: "acme".into(),
            base_url: "https://api.example.com".parse().unwrap(),
            loopback: false,
            credential: Credential::OAuth {
                client_id: "id".into(),
                client_secret: SecretRef::Literal(Secret::new("s")),
            },
            secret_expires: None,
            feeds: settings.collect(),
            siem_endpoint: crate::mimecast::feed::Endpoint::Batch,
            lookback: interval,
            proxy: None,
            ca_file: None,
            download_hosts: vec![],
        }),
        host: "api.example.com".into(),
        credential: still(credential),
        feeds: feeds
            .into_iter()
            .map(|(feed, live)| FeedView::new(FeedKey { tenant: "acme".into(), feed }, live))
            .collect(),
    }
}

fn held(id: &str, state: FeedState) -> FeedLive {
    let rule = policy::by_id(id);
    assert!(rule.is_some(), "{id}");
    FeedLive {
        state,
        rule,
        since: Some(NOW),
        why: Some("why".into()),
        last_success: Some(NOW),
        ..FeedLive::default()
    }
}

fn works() -> FeedLive {
    FeedLive { state: FeedState::CaughtUp, last_success: Some(NOW), ..FeedLive::default() }
}

fn found_at(parts: &Parts, facts: &Facts, full: Option<&str>, now: Time) -> Vec<(String, String)> {
    let found = find((parts, &[]), facts, full, (Some(NOW.minus(Duration::from_secs(86_400))), now));
    found.findings.into_iter().map(|f| (f.key.scope, f.key.alert)).collect()
}

fn found(parts: &Parts, facts: &Facts) -> Vec<(String, String)> {
    found_at(parts, facts, None, NOW)
}

fn pair(scope: &str, alert: &str) -> (String, String) {
    (scope.into(), alert.into())
}

#[test]
fn a_secret_that_cannot_be_read_any_more_is_told_at_once_though_everything_works() {
    let unreadable = Some((NOW, "the file is gone".to_owned()));
    let credential = CredentialLive { unreadable, ..CredentialLive::default() };
    let parts = Parts {
        tenants: vec![view(credential, vec![("audit", works()), ("dlp", works())])],
        ..Parts::default()
    };
    assert_eq!(found(&parts, &Facts::default()), [pair("acme", "L08")]);
}

#[test]
fn a_locked_account_is_one_finding_not_one_per_feed() {
    let locked = policy::RULES.iter().find(|rule| rule.title == "locked_out").unwrap();
    let credential = CredentialLive { rule: Some(locked), since: Some(NOW), ..CredentialLive::default() };
    let feed = || FeedLive { rule: Some(locked), ..held("M10", FeedState::Paused) };
    let parts = Parts {
        tenants: vec![view(credential, vec![("audit", feed()), ("ttp.url", feed())])],
        ..Parts::default()
    };
    assert_eq!(found(&parts, &Facts::default()), [pair("acme", locked.id)]);
    let later = NOW.plus(Duration::from_secs(7_200));
    assert_eq!(found_at(&parts, &Facts::default(), None, later).len(), 1, "silence is explained by the lock");
}

/// Two hosts fail in the same way; a tenant of a third one has the same trouble by itself.
#[test]
fn a_credential_waits_for_its_own_host_and_not_for_one_with_the_same_trouble() {
    let rule = policy::by_id("X01").unwrap();
    let credential = || CredentialLive { rule: Some(rule), since: Some(NOW), ..CredentialLive::default() };
    let parts = |host: &str| {
        let view = TenantView { host: host.into(), ..view(credential(), vec![("audit", works())]) };
        Parts { tenants: vec![view], ..Parts::default() }
    };
    let held = || Held { rule, words: "no such name".into(), since: NOW, until: NOW, failures: 1 };
    let hosts: Vec<(HostName, Held)> =
        vec![("eu.example.com".into(), held()), ("us.example.com".into(), held())];
    let found = |host: &str| -> Vec<String> {
        let found = find((&parts(host), &hosts), &Facts::default(), None, (Some(NOW), NOW));
        found.findings.into_iter().map(|finding| finding.key.scope).collect()
    };
    assert_eq!(found("eu.example.com"), ["host:eu.example.com", "host:us.example.com"], "told with its host");
    assert_eq!(found("de.example.com"), ["host:eu.example.com", "host:us.example.com", "acme"]);
}

#[test]
fn a_forbidden_address_is_one_finding_of_the_machine_that_names_the_tenants() {
    let rule = policy::by_id("M20").unwrap();
    let refused = |name: &str, minutes: u64| {
        let since = Some(NOW.minus(Duration::from_secs(minutes * 60)));
        let words = Some(format!("0016 said to {name}"));
        let credential = CredentialLive { rule: Some(rule), since, words, ..CredentialLive::default() };
        let mut view = view(credential, vec![("audit", held("M20", FeedState::Halted))]);
        Arc::make_mut(&mut view.settings).name = name.into();
        view
    };
    let mut tenants = vec![refused("acme", 5), refused("bolt", 9)];
    tenants.push(view(CredentialLive::default(), vec![("audit", works())]));
    let mut parts = Parts { tenants, ..Parts::default() };
    let find = |parts: &Parts| find((parts, &[]), &Facts::default(), None, (Some(NOW), NOW)).findings;
    let found = find(&parts);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (one.key.scope.as_str(), one.key.tenant.as_str(), one.key.alert.as_str()),
        ("machine", "", "M20")
    );
    assert_eq!(one.words, "0016 said to bolt (tenants: acme, bolt)", "the first it was said to");
    assert_eq!((one.stage, one.severity), (2, rule.severity), "a third one is told anew");
    parts.tenants = (0..25).map(|n| refused(&format!("t{n}"), 1)).collect();
    let words = &find(&parts)[0].words;
    assert!(words.contains("t19 and 5 more)") && !words.contains("t20"), "{words}");
}

#[test]
fn a_forbidden_feed_is_its_own_and_a_dead_host_is_the_tenants() {
    let feeds = vec![
        ("audit", held("M14", FeedState::Halted)),
        ("ttp.url", held("X01", FeedState::BackingOff)),
        ("siem.receipt", held("X01", FeedState::BackingOff)),
        ("siem.process", works()),
    ];
    let parts = Parts { tenants: vec![view(CredentialLive::default(), feeds)], ..Parts::default() };
    let found = found(&parts, &Facts::default());
    assert_eq!(found, [pair("acme", "X01"), pair("acme/audit", "M14")]);
}

#[test]
fn a_feed_that_nothing_holds_back_and_that_is_silent_is_found() {
    let parts = Parts {
        tenants: vec![view(CredentialLive::default(), vec![("audit", works())])],
        ..Parts::default()
    };
    let after =
        |minutes: u64| found_at(&parts, &Facts::default(), None, NOW.plus(Duration::from_secs(minutes * 60)));
    assert_eq!(after(14), []);
    assert_eq!(after(16), [pair("acme/audit", "no_success")], "two intervals of five minutes, and five more");
}

/// Retry-After may ask for a day; so may a probe. It is told when that costs events, not when it does not.
#[test]
fn a_wait_that_outlasts_what_mimecast_keeps_is_told() {
    let day = Duration::from_secs(86_400);
    let outruns = |last: Duration, wait: Duration, closed: Option<Duration>| {
        let live = FeedLive {
            last_success: Some(NOW.minus(last)),
            next_attempt: Some(NOW.plus(wait)),
            ..held("M28", FeedState::Throttled)
        };
        let credential =
            CredentialLive { until: closed.map(|closed| NOW.plus(closed)), ..CredentialLive::default() };
        let parts =
            Parts { tenants: vec![view(credential, vec![("siem.receipt", live)])], ..Parts::default() };
        found(&parts, &Facts::default()).contains(&pair("acme/siem.receipt", "wait_outruns_retention"))
    };
    assert!(!outruns(day * 6, day / 2, None), "seven days are kept");
    assert!(outruns(day * 6, day + Duration::from_secs(1), None));
    assert!(outruns(day * 6, day / 2, Some(day * 2)), "the credential's wait counts as well");
    assert!(!outruns(day * 8, Duration::ZERO, None), "what is due now waits for nothing");
}

#[test]
fn a_secret_that_ends_is_told_in_four_steps() {
    let stages: Vec<Option<(u64, Severity)>> = [31, 30, 14, 7, 1, -3]
        .iter()
        .map(|days| {
            let ends = Time(NOW.0 + days * 86_400_000);
            secret_ends("acme", ends, NOW).map(|finding| (finding.stage, finding.severity))
        })
        .collect();
    assert_eq!(
        stages,
        [
            None,
            Some((1, Severity::Warn)),
            Some((2, Severity::Warn)),
            Some((3, Severity::Error)),
            Some((4, Severity::Critical)),
            Some((4, Severity::Critical)),
        ]
    );
}

#[test]
fn a_sink_that_is_down_waits_for_its_patience_and_one_never_tried_is_unsettled() {
    let sink = |up, rule| SinkView {
        settings: config::Sink {
            name: "siem".into(),
            kind: config::settings::SinkKind::Stdout,
            format: config::settings::FormatName::Json,
            original: false,
            feeds: vec![],
            tenants: vec![],
            types: vec![],
            start: config::settings::Start::Oldest,
        },
        state: still(SinkState { up, rule, ..SinkState::default() }),
    };
    let down = Parts { sinks: vec![sink(Some(false), policy::by_id("S08"))], ..Parts::default() };
    let found = find((&down, &[]), &Facts::default(), None, (None, NOW));
    assert_eq!(found.findings[0].patience, Duration::from_secs(300));
    // rows about single events tell nobody by themselves; a sink that stands still because of one refuses all events
    for id in ["S03", "S05"] {
        let halted = Parts { sinks: vec![sink(Some(false), policy::by_id(id))], ..Parts::default() };
        let found = find((&halted, &[]), &Facts::default(), None, (None, NOW)).findings.remove(0);
        assert!(found.severity >= Severity::Error && found.patience.is_zero(), "{found:?}");
        assert!(found.remedy.contains("`mimecollectd resume sink:siem`"), "{found:?}");
    }
    let new = Parts { sinks: vec![sink(None, None)], ..Parts::default() };
    let found = find((&new, &[]), &Facts::default(), None, (None, NOW));
    assert!(found.findings.is_empty() && found.unsettled.contains("sink:siem"), "{found:?}");
}

#[test]
fn what_the_store_knows_is_found_by_feed_and_sink() {
    let key = FeedKey { tenant: "acme".into(), feed: "audit" };
    let aside = |sink: Option<&str>, items| Aside {
        feed: key.clone(),
        sink: sink.map(str::to_owned),
        items,
        newest: NOW,
        words: "no".into(),
    };
    let usage = Usage {
        bytes_used: 71,
        dead_letter_bytes: 0,
        quarantine_bytes: 0,
        limit: 100,
        over_limit: false,
        disk_full: false,
        file_bytes: 0,
        ballast_bytes: 0,
        sinks: vec![],
    };
    let span =
        TimeSpan { from: NOW.minus(Duration::from_secs(7_200)), to: NOW.minus(Duration::from_secs(3_600)) };
    let newest = GapRow {
        id: 2,
        feed: key.clone(),
        span,
        cause: "beyond_retention".into(),
        detail: "late".into(),
        records: 0,
        found: NOW,
        closed: None,
        fetchable: true,
        wanted: None,
        accepted: None,
    };
    let facts = Facts {
        usage: Some(usage),
        aside: vec![aside(None, 3), aside(Some("siem"), 1), aside(Some("siem"), 20)],
        gaps: vec![(2, newest)],
        unbalanced: vec!["acme/audit: 1 is not 2".into()],
        time_to_loss: Some(Duration::from_secs(3_600)),
    };
    let expected = [
        pair("sink:siem", "dead_letters"),
        pair("store", "accounts_unbalanced"),
        pair("store", "data_loss_near"),
        pair("store", "store_filling"),
        pair("acme/audit", "gap_open"),
        pair("acme/audit", "quarantine"),
    ];
    assert_eq!(found(&Parts::default(), &facts), expected);
    let letters = put_aside(&facts.aside).into_iter().find(|f| f.key.alert == "dead_letters").unwrap();
    assert_eq!(letters.stage, 1, "{letters:?}");
    assert!(letters.words.starts_with("21 events"), "{letters:?}");
    let (from, to) = (span.from.rfc3339(), span.to.rfc3339());
    let words = gap(&facts.gaps[0], NOW).words;
    let expected = format!(
        "2 spans of time were not collected, the newest from {from} to {to} (beyond_retention: late), which can be fetched until "
    );
    assert!(words.starts_with(&expected), "{words}");
    let late = gap(&facts.gaps[0], NOW.plus(Duration::from_secs(400 * 86_400))).words;
    assert!(late.ends_with(", which cannot be fetched"), "{late}");
    let full = found_at(&Parts::default(), &facts, Some("the disk is full"), NOW);
    assert!(
        full.contains(&pair("store", "L01")) && !full.contains(&pair("store", "store_filling")),
        "{full:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_is_found_by_name() {
    let mut parts = Parts::default();
    let (watched, task) = crate::telemetry::pulse::living("courier of sink siem", async {
        crate::telemetry::pulse::beat();
        std::future::pending::<()>().await;
    });
    parts.watch(watched);
    let task = tokio::spawn(task);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(found(&parts, &Facts::default()), []);
    tokio::time::advance(crate::limits::TASK_STALLED + Duration::from_secs(1)).await;
    assert_eq!(found(&parts, &Facts::default()), [pair("courier of sink siem", "L10")]);
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(found(&parts, &Facts::default()), [], "a task that ended hangs no more");
}
