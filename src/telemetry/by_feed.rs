//! The counters and durations that every feed has, in a recorder of our own beneath the general one. That one keeps
//! 500 bytes for a counter and 1,300 for a histogram: with ten thousand feeds 27 MB, half of what the daemon may take
//! (measured; docs/performance.md, "Many tenants"). Here a feed costs 300 bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Counter, CounterFn, Histogram, HistogramFn, Key};

use super::metrics::{BY_FEED_COUNTERS, BY_FEED_DURATION, Metric};
use super::scrape;

/// Room for the bounds of [`BY_FEED_DURATION`] and one for all that is longer.
const BUCKETS: usize = BY_FEED_DURATION.buckets.len() + 1;
/// A counter that nobody has registered: it is not shown.
const ABSENT: u64 = u64::MAX;

/// Tenant and feed.
type Name = (Box<str>, Box<str>);

/// The series of all feeds, by tenant and feed.
#[derive(Debug, Default)]
pub(super) struct ByFeed {
    feeds: RwLock<BTreeMap<Name, Arc<Counted>>>,
}

#[derive(Debug)]
struct Counted {
    counters: [AtomicU64; BY_FEED_COUNTERS.len()],
    /// How many fell between a bound and the one before.
    durations: [AtomicU64; BUCKETS],
    /// Of all durations, the bits of an `f64`, seconds.
    sum: AtomicU64,
}

impl ByFeed {
    /// The counter, when it is one of those kept here.
    pub(super) fn counter(&self, key: &Key) -> Option<Counter> {
        let place = BY_FEED_COUNTERS.iter().position(|metric| metric.name == key.name())?;
        let counted = self.of(key);
        let _ =
            counted.counters.get(place)?.compare_exchange(ABSENT, 0, Ordering::Relaxed, Ordering::Relaxed);
        Some(Counter::from_arc(Arc::new(Count { counted, place })))
    }

    /// The histogram, when it is the one kept here.
    pub(super) fn histogram(&self, key: &Key) -> Option<Histogram> {
        (key.name() == BY_FEED_DURATION.name).then(|| Histogram::from_arc(self.of(key)))
    }

    fn of(&self, key: &Key) -> Arc<Counted> {
        let mut values = key.labels().map(|label| label.value().into());
        let name = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        if let Some(counted) = self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return counted.clone();
        }
        self.feeds.write().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// In the Prometheus text format, appended to `out`.
    pub(super) fn render(&self, out: &mut String) {
        let feeds = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
        for (place, metric) in BY_FEED_COUNTERS.iter().enumerate() {
            let counters = feeds.iter().filter_map(|(name, counted)| Some((name, counted.count(place)?)));
            section(out, metric, "counter", counters, |out, name, count| {
                scrape::series(out, (metric.name, ""), labels(metric, name), count);
            });
        }
        let durations = feeds.iter().filter(|(_, counted)| counted.durations().sum::<u64>() > 0);
        section(out, BY_FEED_DURATION, "histogram", durations, |out, name, counted| {
            counted.render(name, out)
        });
    }
}

/// A metric with all its series, or nothing at all.
fn section<'a, T>(
    out: &mut String,
    metric: &Metric,
    kind: &str,
    all: impl Iterator<Item = (&'a Name, T)>,
    each: impl Fn(&mut String, &'a Name, T),
) {
    let mut all = all.peekable();
    if all.peek().is_none() {
        return;
    }
    out.push_str(&scrape::head(metric, kind));
    all.for_each(|(name, value)| each(out, name, value));
    out.push('\n');
}

fn labels<'a>(metric: &Metric, (tenant, feed): &'a Name) -> impl Iterator<Item = (&'static str, &'a str)> {
    metric.labels.iter().copied().zip([&**tenant, &**feed])
}

impl Counted {
    fn count(&self, place: usize) -> Option<u64> {
        let count = self.counters.get(place)?.load(Ordering::Relaxed);
        (count != ABSENT).then_some(count)
    }

    fn durations(&self) -> impl Iterator<Item = u64> {
        self.durations.iter().map(|count| count.load(Ordering::Relaxed))
    }

    fn render(&self, name: &Name, out: &mut String) {
        let metric = BY_FEED_DURATION;
        let mut sofar = 0;
        let bounds = metric.buckets.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(self.durations()) {
            sofar += count;
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            let labels = labels(metric, name).chain([("le", bound.as_str())]);
            scrape::series(out, (metric.name, "_bucket"), labels, sofar);
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        scrape::series(out, (metric.name, "_sum"), labels(metric, name), sum);
        scrape::series(out, (metric.name, "_count"), labels(metric, name), sofar);
    }
}

impl Default for Counted {
    fn default() -> Self {
        Counted {
            counters: [const { AtomicU64::new(ABSENT) }; BY_FEED_COUNTERS.len()],
            durations: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0f64.to_bits()),
        }
    }
}

/// A handle to one counter of a feed.
struct Count {
    counted: Arc<Counted>,
    place: usize,
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        if let Some(counter) = self.counted.counters.get(self.place) {
            counter.fetch_add(value, Ordering::Relaxed);
        }
    }
    fn absolute(&self, value: u64) {
        if let Some(counter) = self.counted.counters.get(self.place) {
            counter.fetch_max(value, Ordering::Relaxed);
        }
    }
}

impl HistogramFn for Counted {
    fn record(&self, seconds: f64) {
        let place = BY_FEED_DURATION.buckets.iter().take_while(|bound| seconds > **bound).count();
        if let Some(count) = self.durations.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |sum| Some((f64::from_bits(sum) + seconds).to_bits());
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add); // `add` never declines
    }
}

#[cfg(test)]
mod tests {
    use metrics::Label;

    use super::*;

    fn key(metric: &'static Metric, tenant: &str, feed: &str) -> Key {
        let labels = vec![Label::new("tenant", tenant.to_owned()), Label::new("feed", feed.to_owned())];
        Key::from_parts(metric.name, labels)
    }

    #[test]
    fn a_feed_shows_what_was_begun_and_nothing_else() {
        let series = ByFeed::default();
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "audit")).unwrap().increment(0);
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "dlp")).unwrap().increment(3);
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "dlp")).unwrap().increment(4);
        let mut out = String::new();
        series.render(&mut out);
        let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "mimecollectd_events_collected_total{tenant=\"acme\",feed=\"audit\"} 0",
                "mimecollectd_events_collected_total{tenant=\"acme\",feed=\"dlp\"} 7",
                ""
            ]
        );
    }

    #[test]
    fn durations_fall_into_buckets_that_add_up() {
        let series = ByFeed::default();
        let histogram = series.histogram(&key(BY_FEED_DURATION, "acme", "")).unwrap();
        [0.05, 0.06, 61.0].into_iter().for_each(|seconds| histogram.record(seconds));
        let mut out = String::new();
        series.render(&mut out);
        let name = BY_FEED_DURATION.name;
        for (suffix, le, value) in [
            ("_bucket", ",le=\"0.05\"", "1"),
            ("_bucket", ",le=\"0.1\"", "2"),
            ("_bucket", ",le=\"60\"", "2"),
            ("_bucket", ",le=\"+Inf\"", "3"),
            ("_count", "", "3"),
            ("_sum", "", "61.11"),
        ] {
            let line = format!("{name}{suffix}{{tenant=\"acme\",feed=\"\"{le}}} {value}\n");
            assert!(out.contains(&line), "{line} is missing in {out}");
        }
    }

    #[test]
    fn other_metrics_are_not_kept_here() {
        let series = ByFeed::default();
        assert!(series.counter(&Key::from_name("mimecollectd_recoveries_total")).is_none());
        assert!(series.histogram(&Key::from_name("mimecollectd_delivery_lag_seconds")).is_none());
    }
}
