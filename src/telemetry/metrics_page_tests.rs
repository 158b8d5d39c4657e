//! `docs/metrics.md` is the table of metrics; UPDATE_EXPECT=1 writes it anew.

use super::label::{Attempt, CredentialState, FeedState};
use super::metrics::{Kind, METRICS, Metric};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nGenerated from the program's own table. Scrape `http://127.0.0.1:9598/metrics`; `process_*` are the usual ones of every \
         process.\nAlert rules with their tests are in `packaging/prometheus`, a Grafana dashboard in `packaging/grafana`; in the packages both are under\n`/usr/share/doc/mimecollectd/examples`.\n\n\
         | metric | type | unit | labels | |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, unit, help) = (metric.name, metric.unit, metric.help);
        text.push_str(&format!("| `{name}` | {kind} | {unit} | {} | {help} |\n", metric.labels.join(", ")));
    }
    text.push_str(&cardinality());
    text
}

/// Series of one metric for one tenant, feed or sink; what grows with what was met counts once.
fn series(metric: &Metric) -> usize {
    let values = |label: &&str| match *label {
        "state" if metric.labels.contains(&"feed") => FeedState::ALL.len(),
        "state" => CredentialState::ALL.len(),
        "result" => Attempt::ALL.len(),
        _ => 1,
    };
    let buckets = if metric.kind == Kind::Histogram { metric.buckets.len() + 3 } else { 1 }; // +Inf, sum, count
    metric.labels.iter().map(values).product::<usize>() * buckets
}

/// Series of all metrics that are counted for each `of`.
fn series_of(of: &str) -> usize {
    let belongs = |metric: &&&Metric| {
        let order = ["feed", "tenant", "sink", "target"];
        let first = order.into_iter().find(|label| metric.labels.contains(label)).unwrap_or("process");
        first == of
    };
    METRICS.iter().filter(belongs).map(|metric| series(metric)).sum()
}

fn cardinality() -> String {
    let (feed, tenant, sink) = (series_of("feed"), series_of("tenant"), series_of("sink"));
    let (target, process) = (series_of("target"), series_of("process"));
    let many = 1_000 * (15 * feed + tenant) + 2 * sink + process;
    format!(
        "\n## How many series\n\nA feed has {feed}, a tenant {tenant}, a sink {sink}, an alert target {target}, the process {process}. One tenant with \
         the 15 feeds of the default and one sink: about {}. A thousand such tenants with two sinks: about {} thousand.\n\n\
         `api_requests_total`, `events_quarantined_total`, `recoveries_total` and `alert_active` have a series for each status, code, reason and \
         rule that was met. All of these come from closed sets: a code that the recovery table does not name is `other`. Nothing that \
         Mimecast, a sink or a sender writes becomes a label, so nobody outside can add series.\n\n\
         Where a thousand tenants are too many for a Prometheus, leave out what is counted most, at the scrape:\n\n\
         ```yaml\nmetric_relabel_configs:\n  - source_labels: [__name__]\n    regex: mimecollectd_api_request_duration_seconds_bucket\n    action: drop\n```\n\n\
         A feed that received nothing reports no time of its last success and no position, and so never a lag of zero; \
         `MimecastFeedNeverAnswered` is the alert about that.\n",
        15 * feed + tenant + sink + process,
        many / 1_000,
    )
}

#[test]
fn the_page_of_metrics_is_the_table() {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(written, page(), "run this test with UPDATE_EXPECT=1 and commit docs/metrics.md");
}

/// Contract §7: metric, then its labels.
const CONTRACT: &str = "
    events_collected_total tenant feed; events_duplicate_total tenant feed; events_quarantined_total tenant feed reason;
    events_delivered_total sink; events_dead_lettered_total sink; delivery_attempts_total sink result;
    api_requests_total tenant feed status code; api_request_duration_seconds tenant feed;
    api_quota_remaining tenant; api_throttled_seconds_total tenant; feed_state tenant feed state;
    feed_last_success_timestamp_seconds tenant feed; feed_cursor_timestamp_seconds tenant feed;
    feed_next_poll_timestamp_seconds tenant feed; feed_caught_up tenant feed; credential_state tenant state;
    credential_next_attempt_timestamp_seconds tenant; credential_expiry_timestamp_seconds tenant;
    token_expiry_timestamp_seconds tenant; recoveries_total tenant status code action;
    alert_active tenant alert severity; gaps_open tenant feed; gap_seconds_total tenant feed;
    store_events sink; store_bytes; store_limit_bytes; store_oldest_event_timestamp_seconds sink; sink_ack_level sink;
    time_to_data_loss_seconds; sink_up sink; sink_send_duration_seconds sink; delivery_lag_seconds sink;
    build_info version; config_last_reload_successful";

#[test]
fn every_metric_of_the_contract_is_there_with_its_labels() {
    for row in CONTRACT.split(';') {
        let mut words = row.split_whitespace();
        let name = format!("mimecollectd_{}", words.next().unwrap());
        let metric = METRICS.iter().find(|metric| metric.name == name);
        assert_eq!(metric.map(|metric| metric.labels), Some(&words.collect::<Vec<_>>()[..]), "{name}");
    }
}
