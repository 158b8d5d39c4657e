//! The gauges of one scrape, written as text the moment they are set. A recorder would keep each series as an object
//! of its own first: with ten thousand feeds, which have a dozen gauges each, that is more memory than the daemon has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::metrics::Metric;

thread_local! {
    static PAGE: RefCell<Option<BTreeMap<&'static str, String>>> = const { RefCell::new(None) };
}

/// What `gauges` sets, in the Prometheus text format.
pub(super) fn page(gauges: impl FnOnce()) -> String {
    let outer = PAGE.replace(Some(BTreeMap::new()));
    gauges();
    let page = PAGE.replace(outer).unwrap_or_default();
    let mut out = String::with_capacity(page.values().map(|text| text.len() + 1).sum());
    for text in page.into_values() {
        out.push_str(&text);
        out.push('\n');
    }
    out
}

/// Sets a gauge, whose label values come in the table's order. Each series may be set once a scrape.
pub(super) fn set(metric: &Metric, values: &[&str], value: f64) {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    PAGE.with_borrow_mut(|page| {
        let Some(page) = page else { return }; // nobody scrapes
        let text = page.entry(metric.name).or_insert_with(|| head(metric, "gauge"));
        let labels = metric.labels.iter().copied().zip(values.iter().copied());
        series(text, (metric.name, ""), labels, value);
    });
}

/// What stands above the series of a metric.
pub(super) fn head(metric: &Metric, kind: &str) -> String {
    format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", metric.name, metric.help)
}

/// One line: a name with its suffix, labels, a value.
pub(super) fn series<'a>(
    text: &mut String,
    (name, suffix): (&str, &str),
    labels: impl Iterator<Item = (&'static str, &'a str)>,
    value: impl Display,
) {
    text.push_str(name);
    text.push_str(suffix);
    let mut open = '{';
    for (name, value) in labels {
        text.push(std::mem::replace(&mut open, ','));
        text.push_str(name);
        text.push_str("=\"");
        escape(value, text);
        text.push('"');
    }
    if open == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}"); // a String takes every write
}

/// As the format wants label values.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
