//! `docs/metrics.md` is the table of metrics; UPDATE_EXPECT=1 writes it anew.

use super::metrics::{Kind, METRICS};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nGenerated from the program's own table. Scrape `http://127.0.0.1:9598/metrics`; `process_*` are the usual ones of every \
         process.\nAlert rules with their tests are in `packaging/prometheus`, a Grafana dashboard in `packaging/grafana`.\n\n\
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
    text
}

#[test]
fn the_page_of_metrics_is_the_table() {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(written, page(), "run this test with UPDATE_EXPECT=1 and commit docs/metrics.md");
}
