//! The recorders behind [`super::metrics`] and their text form for `/metrics`. Counters and histograms live
//! as long as the process; those that every feed has are kept apart ([`ByFeed`]). Gauges live for one scrape: they are written afresh from the present status, so
//! what no longer applies (a tenant that left, a wait that is over) is absent, not stale.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::by_feed::ByFeed;
use super::metrics::{Kind, METRICS};
use super::process::Usage;
use super::scrape;
use crate::clock::Time;
use crate::setup_error::SetupError;

/// Renders `/metrics`.
#[derive(Clone)]
pub struct Exporter {
    kept: PrometheusHandle,
    by_feed: Arc<ByFeed>,
    started: Time,
}

/// Takes every count of this process.
pub struct Recorder {
    general: PrometheusRecorder,
    by_feed: Arc<ByFeed>,
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.general.describe_counter(name, unit, help);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.general.describe_gauge(name, unit, help);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.general.describe_histogram(name, unit, help);
    }
    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.by_feed.counter(key).unwrap_or_else(|| self.general.register_counter(key, metadata))
    }
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.general.register_gauge(key, metadata)
    }
    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.by_feed.histogram(key).unwrap_or_else(|| self.general.register_histogram(key, metadata))
    }
}

/// Makes every later count of this process end here; `started` is when the process began. Once per process.
///
/// # Errors
/// A recorder was installed before.
pub fn install(started: Time) -> Result<Exporter, SetupError> {
    let (recorder, exporter) = build_recorder(started)?;
    metrics::set_global_recorder(recorder)
        .map_err(|error| SetupError::failed(format!("failed to set up metrics: {error}")))?;
    Ok(exporter)
}

/// A recorder that knows every row of the table, and the exporter that renders it.
///
/// # Errors
/// A row has buckets that are no buckets.
pub fn build_recorder(started: Time) -> Result<(Recorder, Exporter), SetupError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
            .map_err(|error| SetupError::failed(format!("failed to set up {}: {error}", metric.name)))?;
    }
    let (general, by_feed) = (described(builder), Arc::new(ByFeed::default()));
    let kept = general.handle();
    Ok((Recorder { general, by_feed: by_feed.clone() }, Exporter { kept, by_feed, started }))
}

fn described(builder: PrometheusBuilder) -> PrometheusRecorder {
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
            }
        }
    });
    recorder
}

impl Exporter {
    /// The Prometheus text format, version 0.0.4, in pieces, each made when it is asked for: a page of many feeds is
    /// larger than all the rest of the daemon. `gauges` sets every gauge that applies now to one of `parts` parts of
    /// what there is.
    pub fn pieces<F: Fn(usize) + Clone + Send>(
        &self,
        parts: usize,
        gauges: F,
    ) -> impl Iterator<Item = String> + Send + use<F> {
        let kept = self.kept.render();
        let started = self.started;
        let all = METRICS.iter().filter(|metric| metric.kind == Kind::Gauge);
        let gauges = all.flat_map(move |metric| {
            let gauges = gauges.clone();
            let pieces = (0..parts).map(move |part| scrape::piece(metric, || gauges(part)));
            scrape::section(metric, "gauge", pieces)
        });
        let process = std::iter::once_with(move || {
            let mut out = String::new();
            Usage::now().render(started, &mut out);
            out
        });
        std::iter::once(kept).chain(self.by_feed.clone().pieces()).chain(gauges).chain(process)
    }

    /// The whole page.
    #[cfg(test)]
    pub fn render(&self, gauges: impl Fn() + Clone + Send) -> String {
        self.pieces(1, move |_| gauges()).collect()
    }

    /// Folds recorded durations into buckets. To be called every few seconds, or histograms grow until the
    /// next scrape.
    pub fn upkeep(&self) {
        self.kept.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::telemetry::{label, metrics as table};

    fn everything() -> String {
        let (recorder, exporter) = build_recorder(Time(1_700_000_000_000)).unwrap();
        metrics::with_local_recorder(&recorder, || table::exercise(&[Kind::Counter, Kind::Histogram]));
        exporter.render(|| table::exercise(&[Kind::Gauge]))
    }

    #[test]
    fn every_metric_of_the_table_is_rendered_and_promtool_has_nothing_to_say() {
        let text = everything();
        for metric in METRICS {
            assert!(text.contains(&format!("# HELP {} ", metric.name)), "{} is missing", metric.name);
        }
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool (Debian package prometheus) is needed for the tests");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            let unit = metric.unit;
            let base = ["seconds", "bytes"].contains(&unit);
            assert!(!base || metric.name.contains(unit), "{} does not name its unit {unit}", metric.name);
        }
    }

    #[test]
    fn a_gauge_that_no_longer_applies_is_gone_at_the_next_scrape() {
        let (_recorder, exporter) = build_recorder(Time(0)).unwrap();
        let text = exporter.render(|| table::feed_next_poll("acme", "audit", Some(Time(1_500))));
        assert!(
            text.contains(
                "mimecollectd_feed_next_poll_timestamp_seconds{tenant=\"acme\",feed=\"audit\"} 1.5"
            )
        );
        let text = exporter.render(|| table::feed_next_poll("acme", "audit", None));
        assert!(!text.contains("feed_next_poll"), "{text}");
    }

    #[test]
    fn a_state_is_one_series_of_its_set() {
        let (_recorder, exporter) = build_recorder(Time(0)).unwrap();
        let text = exporter.render(|| table::feed_state("acme", "audit", label::FeedState::Halted));
        let ones = text.lines().filter(|line| line.contains("feed_state{") && line.ends_with(" 1"));
        assert_eq!(ones.count(), 1);
        assert_eq!(text.matches("mimecollectd_feed_state{").count(), label::FeedState::ALL.len());
    }
}
