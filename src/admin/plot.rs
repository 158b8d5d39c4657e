//! The last day as four small drawings, made here as SVG: no script, no picture from anywhere. What a drawing shows is
//! also said in words, for those who cannot see it.

use super::history::{History, Point};
use super::html::Html;
use super::status::Status;
use super::words;
use crate::clock::Time;
use crate::limits::{HISTORY_POINTS, HISTORY_STEP};

/// Height of a drawing in its own units; the tallest bar leaves room for its line.
const HEIGHT: f64 = 60.0;
const TALLEST: f64 = 57.0;

/// How a figure is written.
type Words = fn(f64) -> String;

/// One thing over time. Points that were not looked at are left out.
struct Series {
    /// As in `12 /s collected`; empty where the drawing's title says it.
    name: &'static str,
    values: Vec<(Time, f64)>,
    now: Option<f64>,
}

impl Series {
    /// A count of each step, a second.
    fn rate(name: &'static str, history: &History, events: fn(&Point) -> u64) -> Self {
        let looked = history.points().filter(|point| point.seconds > 0);
        let values: Vec<_> =
            looked.map(|point| (point.at, events(point) as f64 / point.seconds as f64)).collect();
        Series { name, now: values.last().map(|(_, value)| *value), values }
    }

    /// The largest value of each step, and the present one.
    fn peaks(history: &History, value: fn(&Point) -> u64, (now, present): (Time, u64)) -> Self {
        let mut values: Vec<_> = history.points().map(|point| (point.at, value(point) as f64)).collect();
        let (step, present) = (History::step(now), present as f64);
        match values.last_mut() {
            Some((at, peak)) if *at == step => *peak = peak.max(present),
            _ => values.push((step, present)),
        }
        Series { name: "", values, now: Some(present) }
    }

    /// The first of the highest points.
    fn highest(&self) -> Option<(Time, f64)> {
        self.values.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

/// The section with all drawings.
pub(super) fn plots(html: &mut Html, status: &Status, history: &History) {
    let now = status.at;
    html.raw("<section aria-labelledby=\"day\"><h2 id=\"day\">Last 24 hours</h2>");
    if history.points().next().is_none() {
        html.raw("<p class=\"note dim\">Nothing is drawn yet: the daemon notes how it is doing once a minute.</p></section>");
        return;
    }
    let collected = Series::rate("collected", history, |point| point.collected);
    let delivered = Series::rate("delivered", history, |point| point.delivered);
    let present = status.sinks.iter().map(|sink| sink.waiting_events).max().unwrap_or(0);
    let waiting = Series::peaks(history, |point| point.waiting, (now, present));
    let ages = status.sinks.iter().filter_map(|sink| sink.oldest_waiting);
    let oldest = ages.min().map_or(0, |oldest| now.since(oldest).as_secs());
    let oldest = Series::peaks(history, |point| point.oldest_waiting, (now, oldest));
    let answers = status.feeds().filter_map(|feed| feed.last_success.or(status.started));
    let silence = answers.min().map_or(0, |last| now.since(last).as_secs());
    let silence = Series::peaks(history, |point| point.longest_silence, (now, silence));
    html.raw("<div class=\"plots\">");
    let throughput = ("Throughput", "events a second; delivered: to all sinks together");
    plot(html, throughput, words::rate, &[collected, delivered], now);
    plot(html, ("Backlog", "events waiting at the slowest sink"), words::whole, &[waiting], now);
    plot(html, ("Delivery lag", "age of the oldest event that waits"), words::age, &[oldest], now);
    plot(html, ("Collection lag", "since the feed furthest behind answered"), words::age, &[silence], now);
    html.raw("</div></section>");
}

/// The first series is drawn as bars, the second as a broken line above them.
fn plot(
    html: &mut Html,
    (title, of): (&'static str, &'static str),
    written: Words,
    series: &[Series],
    now: Time,
) {
    let figures: Vec<String> = series
        .iter()
        .map(|one| format!("{} {}", one.now.map_or("–".to_owned(), written), one.name).trim().to_owned())
        .collect();
    let highest =
        series.iter().filter_map(Series::highest).fold(0.0, |most: f64, (_, value)| most.max(value));
    html.raw("<figure class=\"plot\"><figcaption><b>").raw(title).raw("</b>").raw(of);
    html.raw("</figcaption><p class=\"figures\">");
    for (figure, key) in figures.iter().zip(["bars", "line"]) {
        html.raw("<span class=\"key ").raw(key).raw("\">").text(figure).raw("</span>");
    }
    html.raw("</p><svg role=\"img\" preserveAspectRatio=\"none\" viewBox=\"0 0 ");
    html.text(&format!("{HISTORY_POINTS} {HEIGHT}")).raw("\" aria-label=\"");
    html.text(&in_words(&format!("{title}, {of}"), written, series)).raw("\">");
    for (one, class) in series.iter().zip(["bars", "line"]) {
        let path = if class == "bars" { bars(one, highest, now) } else { line(one, highest, now) };
        html.raw("<path class=\"").raw(class).raw("\" d=\"").text(&path).raw("\"/>");
    }
    html.raw("</svg><p class=\"scale\"><span>24 h ago</span><span>highest ");
    let known = series.iter().any(|one| !one.values.is_empty());
    html.text(&if known { written(highest) } else { "–".to_owned() });
    html.raw("</span><span>now</span></p></figure>");
}

/// `Backlog over the last 24 hours: 12 now, highest 40 at 03:15 UTC.`
fn in_words(title: &str, written: Words, series: &[Series]) -> String {
    let one = |one: &Series| {
        let (at, highest) = one.highest()?;
        let name = if one.name.is_empty() { String::new() } else { format!("{} ", one.name) };
        let clock = words::moment(at);
        let clock = clock.get(11..16).unwrap_or_default();
        Some(format!(
            "{name}{} now, highest {} at {clock} UTC",
            one.now.map_or("–".to_owned(), written),
            written(highest)
        ))
    };
    let all: Vec<String> = series.iter().filter_map(one).collect();
    format!(
        "{title}, over the last 24 hours: {}.",
        if all.is_empty() { "not known yet".into() } else { all.join("; ") }
    )
}

/// Where a point lies: steps from the left edge, and units from the top.
fn place((at, value): (Time, f64), highest: f64, now: Time) -> Option<(i64, f64)> {
    let steps = History::step(now).0.saturating_sub(at.0) / HISTORY_STEP.as_millis() as i64;
    let x = i64::from(HISTORY_POINTS) - 1 - steps;
    let share = if highest > 0.0 { value / highest } else { 0.0 };
    (0..i64::from(HISTORY_POINTS)).contains(&x).then_some((x, HEIGHT - share * TALLEST))
}

fn bars(series: &Series, highest: f64, now: Time) -> String {
    let places = series.values.iter().filter(|(_, value)| *value > 0.0);
    let bar = |point: &(Time, f64)| {
        place(*point, highest, now).map(|(x, y)| format!("M{x} {HEIGHT}V{y:.1}h1V{HEIGHT}z"))
    };
    places.filter_map(bar).collect()
}

/// Steps; broken where nobody looked.
fn line(series: &Series, highest: f64, now: Time) -> String {
    let mut path = String::new();
    let mut end = None;
    for (x, y) in series.values.iter().filter_map(|point| place(*point, highest, now)) {
        path.push_str(&if end == Some(x) { format!("V{y:.1}h1") } else { format!("M{x} {y:.1}h1") });
        end = Some(x + 1);
    }
    path
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::history::Look;

    const START: Time = Time(1_767_261_600_000);

    fn status() -> Status {
        let mut status = crate::admin::admin_tests::sample();
        status.sinks.iter_mut().for_each(|sink| (sink.waiting_events, sink.oldest_waiting) = (7, None));
        status.tenants.clear();
        status
    }

    fn drawn(minutes: impl Iterator<Item = u64>, now: u64) -> String {
        let mut history = History::default();
        for minute in minutes {
            history.note(Look {
                at: START.plus(Duration::from_secs(60 * minute)),
                stored: 600 * minute,
                delivered: 300 * minute,
                waiting: 40 - minute,
                oldest_waiting: Duration::from_secs(90),
                longest_silence: Duration::ZERO,
            });
        }
        let mut html = Html::default();
        let status = Status { at: START.plus(Duration::from_secs(60 * now)), ..status() };
        plots(&mut html, &status, &history);
        html.finish()
    }

    #[test]
    fn a_drawing_says_in_words_what_it_shows() {
        let page = drawn(0..13, 12);
        for words in [
            "collected 10 /s now, highest 10 /s at 10:00 UTC; delivered 5.0 /s now",
            "Backlog, events waiting at the slowest sink, over the last 24 hours: 7 now, highest 40 at 10:00 UTC.",
            "Delivery lag, age of the oldest event that waits, over the last 24 hours: 0 s now, highest 90 s",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        // three steps at the right edge, the tallest first; a line at half the height of the bars
        assert!(page.contains("d=\"M285 60V3.0h1V60zM286 60V10.1h1V60zM287 60V17.2h1V60z\""), "{page}");
        assert!(page.contains("d=\"M285 31.5h1V31.5h1V31.5h1\""), "{page}");
        assert!(page.contains("class=\"bars\" d=\"\""), "nothing to draw of no silence: {page}");
    }

    #[test]
    fn where_nobody_looked_is_a_hole_and_old_points_leave_on_the_left() {
        let page = drawn((0..5).chain(30..35), 34);
        assert!(page.contains("d=\"M281 31.5h1M287 "), "{page}");
        let page = drawn(0..5, 1_500);
        assert_eq!(page.matches("d=\"M").count(), 1, "only what waits now: {page}");
        assert!(drawn(0..0, 0).contains("Nothing is drawn yet"));
    }
}
