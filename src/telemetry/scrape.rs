//! The gauges of one scrape, written as text the moment they are set. A recorder would keep each series as an object
//! of its own first: with ten thousand feeds, which have a dozen gauges each, that is more memory than the daemon has.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};

use super::metrics::Metric;

thread_local! {
    /// The gauge whose series are wanted, and what was written of them so far.
    static PIECE: RefCell<Option<(&'static str, String)>> = const { RefCell::new(None) };
}

/// What `gauges` sets of that metric, in the Prometheus text format, without what stands above it.
pub(super) fn piece(metric: &Metric, gauges: impl FnOnce()) -> String {
    let outer = PIECE.replace(Some((metric.name, String::new())));
    gauges();
    PIECE.replace(outer).map(|(_, text)| text).unwrap_or_default()
}

/// Sets a gauge, whose label values come in the table's order. Each series may be set once a scrape.
pub(super) fn set(metric: &Metric, values: &[&str], value: f64) {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    PIECE.with_borrow_mut(|piece| match piece {
        Some((wanted, text)) if std::ptr::eq(*wanted, metric.name) => {
            let labels = metric.labels.iter().copied().zip(values.iter().copied());
            series(text, (metric.name, ""), labels, value);
        }
        _ => {} // its turn comes or has been, or nobody scrapes
    });
}

/// A metric with all its series, which come in pieces; nothing at all when there are none.
pub(super) fn section(
    metric: &'static Metric,
    kind: &'static str,
    pieces: impl Iterator<Item = String>,
) -> impl Iterator<Item = String> {
    let mut pieces = pieces.filter(|piece| !piece.is_empty()).fuse();
    let first = pieces.next().map(|first| head(metric, kind) + &first);
    let end = first.is_some().then(|| "\n".to_owned());
    first.into_iter().chain(pieces).chain(end)
}

/// What stands above the series of a metric.
fn head(metric: &Metric, kind: &str) -> String {
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
