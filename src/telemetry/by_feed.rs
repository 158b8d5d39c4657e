//! The counters and durations that every feed has, in a recorder of our own beneath the general one. That one keeps
//! 500 bytes for a counter, twice that with four labels, and 1,300 for a histogram: with ten thousand feeds 36 MB, more
//! than half of what the daemon may take (measured; docs/performance.md, "Many tenants"). Here a feed costs 350 bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use metrics::{Counter, CounterFn, Histogram, HistogramFn, Key};

use super::label;
use super::metrics::{BY_FEED_ANSWERS, BY_FEED_COUNTERS, BY_FEED_DURATION, Metric};
use super::scrape;
use crate::limits::METRICS_FEEDS_A_PIECE;

/// Room for the bounds of [`BY_FEED_DURATION`] and one for all that is longer.
const BUCKETS: usize = BY_FEED_DURATION.buckets.len() + 1;
/// A counter that nobody has registered: it is not shown.
const ABSENT: u64 = u64::MAX;
/// Stands for what is no HTTP status.
const NO_STATUS: u16 = u16::MAX;

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
    /// Mostly one kind, and few at most: statuses and codes are closed sets.
    answers: Mutex<Vec<(Kind, u64)>>,
}

/// A kind of answer: its status (`None`: there was none) and its code.
type Kind = (Option<u16>, &'static str);

impl ByFeed {
    /// The counter, when it is one of those kept here.
    pub(super) fn counter(&self, key: &Key) -> Option<Counter> {
        if key.name() == BY_FEED_ANSWERS.name {
            let mut values = key.labels().map(metrics::Label::value).skip(2);
            let status = values.next().unwrap_or_default();
            let status = (!status.is_empty()).then(|| status.parse().unwrap_or(NO_STATUS));
            let kind = (status, label::code(values.next().unwrap_or_default()));
            return Some(Counter::from_arc(Arc::new(Answers { counted: self.of(key), kind })));
        }
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

    /// In the Prometheus text format, piece by piece: with ten thousand feeds there are twenty megabytes of it.
    pub(super) fn pieces(self: Arc<Self>) -> impl Iterator<Item = String> + Send + use<> {
        let counters = BY_FEED_COUNTERS.iter().enumerate().map(|(place, metric)| {
            let each = move |name: &Name, counted: &Counted, out: &mut String| {
                if let Some(count) = counted.count(place) {
                    scrape::series(out, (metric.name, ""), labels(metric, name), count);
                }
            };
            (*metric, "counter", Box::new(each) as Each)
        });
        let answers = (BY_FEED_ANSWERS, "counter", Box::new(show_answers) as Each);
        let durations = (BY_FEED_DURATION, "histogram", Box::new(show_durations) as Each);
        let sections: Vec<_> = counters.chain([answers, durations]).collect();
        sections.into_iter().flat_map(move |(metric, kind, each)| {
            let (by_feed, mut after) = (self.clone(), None);
            let pieces = std::iter::from_fn(move || by_feed.piece(&mut after, &each));
            scrape::section(metric, kind, pieces)
        })
    }

    /// What `each` writes of the next feeds after `after`, which moves on; `None` when there are no more.
    fn piece(&self, after: &mut Option<Name>, each: &Each) -> Option<String> {
        let feeds = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut out, mut last) = (String::new(), None);
        for (name, counted) in feeds.range::<Name, _>((from, Bound::Unbounded)).take(METRICS_FEEDS_A_PIECE) {
            each(name, counted, &mut out);
            last = Some(name);
        }
        *after = Some(last?.clone());
        Some(out)
    }
}

/// Writes the series of one feed.
type Each = Box<dyn Fn(&Name, &Counted, &mut String) + Send>;

fn labels<'a>(metric: &Metric, (tenant, feed): &'a Name) -> impl Iterator<Item = (&'static str, &'a str)> {
    metric.labels.iter().copied().zip([&**tenant, &**feed])
}

fn show_answers((tenant, feed): &Name, counted: &Counted, out: &mut String) {
    for ((status, code), count) in counted.answers().iter() {
        let status = label::status(*status);
        let labels = BY_FEED_ANSWERS.labels.iter().copied().zip([&**tenant, &**feed, &status, code]);
        scrape::series(out, (BY_FEED_ANSWERS.name, ""), labels, count);
    }
}

fn show_durations(name: &Name, counted: &Counted, out: &mut String) {
    let metric = BY_FEED_DURATION;
    if counted.durations().all(|count| count == 0) {
        return;
    }
    let mut sofar = 0;
    let bounds = metric.buckets.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(counted.durations()) {
        sofar += count;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        let labels = labels(metric, name).chain([("le", bound.as_str())]);
        scrape::series(out, (metric.name, "_bucket"), labels, sofar);
    }
    let sum = f64::from_bits(counted.sum.load(Ordering::Relaxed));
    scrape::series(out, (metric.name, "_sum"), labels(metric, name), sum);
    scrape::series(out, (metric.name, "_count"), labels(metric, name), sofar);
}

impl Counted {
    fn count(&self, place: usize) -> Option<u64> {
        let count = self.counters.get(place)?.load(Ordering::Relaxed);
        (count != ABSENT).then_some(count)
    }

    fn durations(&self) -> impl Iterator<Item = u64> {
        self.durations.iter().map(|count| count.load(Ordering::Relaxed))
    }

    fn answers(&self) -> MutexGuard<'_, Vec<(Kind, u64)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Counted {
    fn default() -> Self {
        Counted {
            counters: [const { AtomicU64::new(ABSENT) }; BY_FEED_COUNTERS.len()],
            durations: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0f64.to_bits()),
            answers: Mutex::default(),
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

/// A handle to the count of one kind of answers of a feed.
struct Answers {
    counted: Arc<Counted>,
    kind: Kind,
}

impl Answers {
    fn change(&self, to: impl FnOnce(u64) -> u64) {
        let mut answers = self.counted.answers();
        if let Some((_, count)) = answers.iter_mut().find(|(kind, _)| *kind == self.kind) {
            *count = to(*count);
        } else {
            answers.reserve_exact(1); // most feeds never need a second
            answers.push((self.kind, to(0)));
        }
    }
}

impl CounterFn for Answers {
    fn increment(&self, value: u64) {
        self.change(|count| count.saturating_add(value));
    }
    fn absolute(&self, value: u64) {
        self.change(|count| count.max(value));
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
        let series = Arc::new(ByFeed::default());
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "audit")).unwrap().increment(0);
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "dlp")).unwrap().increment(3);
        series.counter(&key(BY_FEED_COUNTERS[0], "acme", "dlp")).unwrap().increment(4);
        let out = series.pieces().collect::<String>();
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
        let series = Arc::new(ByFeed::default());
        let histogram = series.histogram(&key(BY_FEED_DURATION, "acme", "")).unwrap();
        [0.05, 0.06, 61.0].into_iter().for_each(|seconds| histogram.record(seconds));
        let out = series.pieces().collect::<String>();
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
    fn answers_are_counted_by_status_and_code() {
        let series = Arc::new(ByFeed::default());
        let answer = |status: &str, code: &str| {
            let labels = [("tenant", "acme"), ("feed", "dlp"), ("status", status), ("code", code)];
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
            series.counter(&Key::from_parts(BY_FEED_ANSWERS.name, labels)).unwrap().increment(1);
        };
        for (status, code) in [("200", ""), ("", ""), ("200", ""), ("other", label::OTHER), ("503", "")] {
            answer(status, code);
        }
        let out = series.pieces().collect::<String>();
        for (status, code, count) in [("200", "", 2), ("", "", 1), ("other", "other", 1), ("503", "", 1)] {
            let labels = format!("tenant=\"acme\",feed=\"dlp\",status=\"{status}\",code=\"{code}\"");
            let line = format!("mimecollectd_api_requests_total{{{labels}}} {count}\n");
            assert!(out.contains(&line), "{line} is missing in {out}");
        }
    }

    /// A scrape of many feeds comes in pieces, none twice and none left out, under one head.
    #[test]
    fn pieces_hold_every_feed_once() {
        let series = Arc::new(ByFeed::default());
        let feeds = 2 * METRICS_FEEDS_A_PIECE + 1;
        for n in 0..feeds {
            series.counter(&key(BY_FEED_COUNTERS[0], &format!("t{n}"), "audit")).unwrap().increment(n as u64);
        }
        let pieces: Vec<String> = series.pieces().collect();
        let longest = pieces.iter().map(|piece| piece.lines().count()).max();
        assert!(longest <= Some(METRICS_FEEDS_A_PIECE + 2), "{longest:?} lines");
        let text = pieces.concat();
        assert_eq!(text.matches("# TYPE").count(), 1, "{text}");
        for n in 0..feeds {
            assert_eq!(text.matches(&format!("{{tenant=\"t{n}\",feed=\"audit\"}} {n}\n")).count(), 1);
        }
    }

    #[test]
    fn other_metrics_are_not_kept_here() {
        let series = ByFeed::default();
        assert!(series.counter(&Key::from_name("mimecollectd_recoveries_total")).is_none());
        assert!(series.histogram(&Key::from_name("mimecollectd_delivery_lag_seconds")).is_none());
    }
}
