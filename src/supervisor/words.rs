//! A row of the recovery table in words and as data, for `explain`, `/api/errors` and the documentation.

use std::time::Duration;

use serde_json::{Value, json};

use super::backoff::Pace;
use super::host::Shows;
use super::policy;
use super::rule::{CYCLES, Confirm, DAY, End, Ladder, Last, Patience, Refused, Rule, Scope, Spent, Verdict};
use super::spread;
use crate::fault::Origin;
use crate::limits::HOST_WITNESSES;

/// One row as `/api/errors` and `explain --json` show it.
pub fn as_json(rule: &Rule) -> Value {
    let lasting = rule.lasting.iter();
    let lasting =
        lasting.map(|(after, severity)| json!({"after": span(*after), "severity": severity.as_str()}));
    json!({
        "id": rule.id,
        "title": rule.title,
        "surfaces": rule.surfaces.iter().map(|origin| origin.as_str()).collect::<Vec<_>>(),
        "statuses": rule.on.statuses().iter().map(range).collect::<Vec<_>>(),
        "codes": rule.on.codes(),
        "scope": rule.scope.as_str(),
        "action": rule.verdict.as_str(),
        "what_happens": what_happens(rule),
        "retry_is_harmful": rule.harmful,
        "severity": rule.severity.as_str(),
        "alert": rule.alert,
        "when_it_lasts": lasting.collect::<Vec<_>>(),
        "meaning": rule.meaning,
        "remedy": rule.remedy,
        "clears_when": rule.clears.as_str(),
    })
}

/// As [`as_json`], with the surfaces for which this row answers the question that was asked.
pub fn answer_json(from: &[Origin], rule: &Rule) -> Value {
    let mut row = as_json(rule);
    if let Some(members) = row.as_object_mut() {
        members.insert("from".to_owned(), from.iter().map(|origin| origin.as_str()).collect());
    }
    row
}

/// What lifts a hold of this row, as a sentence: the same in `status`, log, alert and `explain`.
pub fn key(rule: &Rule) -> String {
    format!("Ends with {}.", rule.clears.as_str())
}

/// What holds, what the daemon does at this tenant's pace, what to do, and what lifts it.
pub fn held(rule: &Rule, pace: &Pace) -> String {
    format!("{} The daemon {}. {} {}", rule.meaning, what_happens_at(rule, pace), rule.remedy, key(rule))
}

/// Where an answer comes from, for people.
pub fn surface(origin: Origin) -> &'static str {
    match origin {
        Origin::Token => "Mimecast's token endpoint",
        Origin::Api => "a function of Mimecast's API",
        Origin::Download => "the host of a file link",
        Origin::Sink => "a destination",
        Origin::Local => "this machine",
    }
}

/// One row for people, in lines that begin with `indent`.
pub fn paragraph(rule: &Rule, indent: &str) -> String {
    let mut lines = vec![
        format!("{} {} ({})", rule.id, rule.title, rule.severity.as_str()),
        format!("  Means     {}", rule.meaning),
        policy::found_by(rule).map_or_else(String::new, |who| format!("  Found by  {who}")),
        format!("  Daemon    {}", what_happens(rule)),
        format!("  Reaches   {}", reach(rule)),
        format!("  Ends with {}", rule.clears.as_str()),
        format!("  You       {}", rule.remedy),
    ];
    if rule.harmful {
        lines.push("  Careful   another attempt without a change makes it worse".to_owned());
    }
    if let Some(lasting) = lasting(rule) {
        lines.push(format!("  Lasting   {lasting}"));
    }
    lines.iter().filter(|line| !line.is_empty()).map(|line| format!("{indent}{line}\n")).collect()
}

/// `error after 1 h, critical after 1 d`; `None` when it stays as it is.
fn lasting(rule: &Rule) -> Option<String> {
    let each =
        rule.lasting.iter().map(|(after, severity)| format!("{} after {}", severity.as_str(), span(*after)));
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Who holds still, and when it becomes more than the row alone says.
fn reach(rule: &Rule) -> String {
    let reach = match rule.scope {
        Scope::Item => "one record",
        Scope::File => "one file",
        Scope::Feed | Scope::Host if rule.on.shows == Shows::MayBeAway => "one feed",
        Scope::Feed => "one feed",
        Scope::Credential => "every feed of the credential",
        Scope::Tenant => "every feed of the tenant",
        Scope::Host if rule.on.shows == Shows::MayBeAway => "one feed",
        Scope::Host => "everything on that host",
        Scope::Sink => "one destination; others go on",
        Scope::Process if rule.on.shows == Shows::Away => "everything that goes by that proxy",
        Scope::Process => "the whole daemon",
    };
    let wider = match rule.on.shows {
        Shows::MayBeAway => Some(format!(
            "everything on that host, once {HOST_WITNESSES} feeds in a row have met it and none got an answer"
        )),
        Shows::Nothing | Shows::Works | Shows::Away => spread::from(rule).map(|(who, within)| {
            format!("every feed of the credential, once {who} met it within {}", span(within))
        }),
    };
    wider.map(|wider| format!("{reach}; {wider}")).unwrap_or_else(|| reach.to_owned())
}

fn range((low, high): &(u16, u16)) -> String {
    if low == high { low.to_string() } else { format!("{low}–{high}") }
}

/// What a row is about, in a few words: `401 with 0010`.
pub fn about(rule: &Rule) -> String {
    let statuses: Vec<String> = rule.on.statuses().iter().map(range).collect();
    let kinds: Vec<String> = rule.on.other_kinds().iter().map(|kind| kind.as_str().to_owned()).collect();
    let what = match (statuses.is_empty(), kinds.is_empty()) {
        (false, _) => statuses.join(", "),
        (_, false) => kinds.join(", "),
        _ => "anything else".to_owned(),
    };
    let codes: Vec<String> = rule.on.codes().iter().map(|code| format!("`{code}`")).collect();
    match (codes.is_empty(), statuses.is_empty() && kinds.is_empty()) {
        (true, _) => what,
        (false, true) => codes.join(", "),
        (false, false) => format!("{what} with {}", codes.join(", ")),
    }
}

/// The whole table as a page of the documentation (Markdown).
pub fn handbook() -> String {
    let mut page = String::from(HANDBOOK);
    for (title, rules) in policy::parts() {
        page.push_str(&format!("\n## {title}\n"));
        for rule in rules {
            let from: Vec<&str> = rule.surfaces.iter().map(|origin| surface(*origin)).collect();
            page.push_str(&format!("\n### {} {}\n\n{}\n\n", rule.id, rule.title, rule.meaning));
            match policy::found_by(rule) {
                Some(who) => page.push_str(&format!("- Found by: {who}\n")),
                None => page.push_str(&format!("- On: {}, from {}\n", about(rule), from.join(" or "))),
            }
            page.push_str(&format!("- The daemon: {}\n", what_happens(rule)));
            page.push_str(&format!("- Reaches: {}\n- Ends with: {}\n", reach(rule), rule.clears.as_str()));
            page.push_str(&format!("- What to do: {}\n", rule.remedy));
            let told = if rule.alert { ", alert at once" } else { "" };
            let grows =
                lasting(rule).map(|lasting| format!("; when it lasts: {lasting}")).unwrap_or_default();
            page.push_str(&format!("- Severity: {}{told}{grows}\n", rule.severity.as_str()));
            if rule.harmful {
                page.push_str("- Another attempt without a change makes it worse.\n");
            }
        }
    }
    page
}

const HANDBOOK: &str = "# Every error, what it means and what to do\n\n\
    Generated from the recovery table of the program (`mimecollectd explain --all` prints the same). Rows are asked\n\
    from the top; the first one that fits answers. For one code: `mimecollectd explain 401/0010`; for a saved answer:\n\
    `mimecollectd explain --response FILE`.\n\n\
    Times are those of a real tenant. With a loopback `base_url` (the simulator) they shrink with `poll_interval`.\n\
    \"Waits 5 min, twice as long each time up to 30 min\" means: after the n-th failure a random time between 5 min\n\
    and 5 min times 2 to the n, at most 30 min, so that several collectors do not knock at once.\n";

/// The verdict as the end of a sentence that begins "the daemon …", with its times.
pub fn what_happens(rule: &Rule) -> String {
    what_happens_at(rule, &Pace::default())
}

/// As [`what_happens`], with the times of this tenant.
pub fn what_happens_at(rule: &Rule, pace: &Pace) -> String {
    let span = |wait| span(pace.scaled(wait));
    let grows = |wait| grows(wait, pace);
    match rule.verdict {
        Verdict::Proceed => "goes on".into(),
        Verdict::Backoff { wait, quick, last } => {
            let end = last.map(|last| ends(last, pace)).unwrap_or_default();
            format!("{}{}{end}", soon(quick), grows(wait))
        }
        Verdict::BackoffThenShrink { wait, after } => {
            format!("{}; after {} it asks for half as much each time", grows(wait), span(after))
        }
        Verdict::PauseFor(wait) => {
            format!("waits as long as the service says; if it does not say, {}", grows(wait))
        }
        Verdict::Refresh { wait, spent } => refreshes(&grows(wait), spent, pace),
        Verdict::Relist { at_once, wait, patience } => relists(at_once, &grows(wait), patience, pace),
        Verdict::Insist { tries, over: Duration::ZERO, .. } => {
            format!("tries again later, and after {tries} refusals keeps the event as a dead letter")
        }
        Verdict::Insist { tries, over, .. } => format!(
            "fetches the file again; when it failed the same way {tries} times over {}, saves the readable lines, \
             quarantines the rest and records a gap",
            span(over)
        ),
        Verdict::Rewind { probe } => rewinds(probe.filter(|_| rule.surfaces.contains(&Origin::Api)), pace),
        Verdict::Shrink { wait } => format!(
            "{}, then asks for half as much; larger again after good pages. Refused at the smallest size, it stops and \
             looks again every {}",
            grows(wait),
            span(DAY)
        ),
        Verdict::Lockout { rungs: [first, second, third], .. } => format!(
            "sends nothing at all with this credential for {}, then makes one attempt; still locked: {}, then {}, \
             then stops",
            span(first),
            span(second),
            span(third)
        ),
        Verdict::ConfirmThenHalt(confirm) if confirm.keys || !rule.surfaces.contains(&Origin::Api) => {
            confirms(confirm, pace)
        }
        Verdict::ConfirmThenHalt(confirm) => {
            format!("{}; keys that sign (API 1.0) are not tried again", confirms(confirm, pace))
        }
        Verdict::Halt { probe: Some(every) } => {
            format!("stops; one request every {} looks whether it works again", span(every))
        }
        Verdict::Halt { probe: None } => "stops until somebody acts".into(),
        Verdict::Quarantine => "keeps the bytes in quarantine and goes on".into(),
        Verdict::SkipWithGap => format!(
            "goes on without the file that it is about and records a gap; a whole page is never left out: there it {}",
            grows(CYCLES)
        ),
        Verdict::StopPaging => "ends this cycle; the position stays".into(),
        Verdict::Bisect { smaller } => {
            let ever_after = if smaller { "; the next batches are smaller" } else { "" };
            format!(
                "halves the batch until the refused event stands alone, and keeps that one as a dead letter{ever_after}"
            )
        }
        Verdict::DeadLetter => "keeps the event as a dead letter with the sink's words".into(),
        Verdict::PauseIntake { check } => {
            format!("pauses collection, goes on delivering, looks again every {}", span(check))
        }
        Verdict::Exit(code) => format!("ends with exit code {code}"),
    }
}

/// `probe`: how often it looks where even the date was refused.
fn rewinds(probe: Option<Duration>, pace: &Pace) -> String {
    let once =
        "gives the position up and reads again from a date; what cannot be fetched any more becomes a gap";
    match probe {
        None => once.to_owned(),
        Some(every) => format!(
            "{once}. Refused again before the feed was up to date, it stops and looks again every {}",
            span(pace.scaled(every))
        ),
    }
}

fn soon(quick: u8) -> String {
    match quick {
        0 => String::new(),
        1 => "tries once more within seconds, then ".to_owned(),
        times => format!("tries {times} times more within seconds, then "),
    }
}

fn refreshes(then: &str, spent: Option<Spent>, pace: &Pace) -> String {
    let once = "asks for a new token and sends the request once more";
    match spent {
        None => format!("{once}; refused again, {then}"),
        Some(Spent { generations: 2, end: Refused::Halt }) => format!(
            "{once}; refused again, stops until somebody acts. Keys that sign (API 1.0) cannot be renewed: only where \
             the clocks differ is the request signed once more"
        ),
        Some(Spent { generations, end }) => {
            let end = match end {
                Refused::Halt => "stops until somebody acts".to_owned(),
                Refused::Confirm(confirm) => confirms(confirm, pace),
            };
            match generations {
                0..=2 => format!("{once}; refused again, {end}"),
                _ => format!("{once}; refused again, {then}; after {generations} tokens in a row {end}"),
            }
        }
    }
}

fn confirms(confirm: Confirm, pace: &Pace) -> String {
    let first = span(pace.scaled(confirm.after));
    match confirm.last.map(|last| span(pace.scaled(last))) {
        Some(last) => format!("waits {first} for one attempt to confirm, {last} for a last one, then stops"),
        None => format!("waits {first} for one attempt to confirm, then stops"),
    }
}

fn ends(last: Last, pace: &Pace) -> String {
    match last.end {
        End::Halt { probe: Some(every) } => {
            format!("; after {} of them stops and looks again every {}", last.after, span(pace.scaled(every)))
        }
        End::Halt { probe: None } => format!("; after {} of them stops until somebody acts", last.after),
        End::Exit(code) => format!("; after {} of them ends with exit code {code}", last.after),
    }
}

fn relists(at_once: u8, then: &str, patience: Option<Patience>, pace: &Pace) -> String {
    let now = match at_once {
        0 => String::new(),
        1 => " at once, then".to_owned(),
        times => format!(" up to {times} times at once, then"),
    };
    let end = patience.map(|patience| {
        format!(
            "; a file that is refused under every fresh link for {} (at least {} tries) becomes a gap, and the feed \
             goes on",
            span(pace.scaled(patience.over)),
            patience.tries
        )
    });
    format!("lists again from the same position{now} {then}{}", end.unwrap_or_default())
}

fn grows(ladder: Ladder, pace: &Pace) -> String {
    if ladder.first == ladder.cap {
        return format!("waits {}", span(pace.scaled(ladder.first)));
    }
    format!(
        "waits {} after the first failure, twice as long each time up to {}",
        span(pace.scaled(ladder.first)),
        span(pace.scaled(ladder.cap))
    )
}

/// `31 min`, `4 h`, `10 s`, `250 ms`.
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 if !duration.is_zero() => format!("{} ms", duration.as_millis().max(1)),
        secs if secs % 86_400 == 0 && secs > 0 => format!("{} d", secs / 86_400),
        secs if secs % 3_600 == 0 && secs > 0 => format!("{} h", secs / 3_600),
        secs if secs % 60 == 0 && secs > 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::backoff::Overrides;

    #[test]
    fn the_handbook_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, handbook()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == handbook(),
            "docs/errors.md is not what the table says: run with UPDATE_EXPECT=1"
        );
    }

    #[test]
    fn a_simulators_times_are_its_own() {
        let locked = policy::by_id("M10").unwrap();
        assert!(what_happens(locked).contains("for 31 min"), "{}", what_happens(locked));
        let quick = Pace::new(Duration::from_secs(3), true, Overrides::default());
        let words = what_happens_at(locked, &quick);
        assert!(words.contains("for 18 s") && !words.contains("31 min"), "{words}");
        let held = held(locked, &quick);
        assert!(
            held.contains("for 18 s") && held.ends_with(&key(locked)) && held.contains("`resume`"),
            "{held}"
        );
    }

    /// Times are the verdict's to tell, so that they can be told at a tenant's own pace.
    #[test]
    fn meanings_and_remedies_name_no_wait() {
        for rule in policy::RULES.iter().filter(|rule| !matches!(rule.verdict, Verdict::Relist { .. })) {
            for text in [rule.meaning, rule.remedy] {
                let timed =
                    ["minutes", " hour ", "every 1", "every six", "15 min"].iter().any(|w| text.contains(w));
                assert!(!timed || text.contains("15 or 30 minutes"), "{}: {text}", rule.name());
            }
        }
    }
}
