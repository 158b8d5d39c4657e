//! Reads scenario text: statements separated by line ends or `;`, words by blanks or commas, `#` to the end of
//! the line is a comment, `"…"` keeps blanks together. A statement is one of
//!
//! * the name of a preset, or `preset=argument`: `outage=30s`
//! * a row of the recovery table: `row:M12`, `row:M28=3` for the first three calls of each feed
//! * an option: `token_life=20s`
//! * `tenant GLOB`: what follows concerns these tenants only
//! * a rule: `on SURFACE [filters] [when] what`, see [`RULES`].

use crate::answers::{Form, Reply, WaitAs};
use crate::dates::parse_span;
use crate::feeds;
use crate::message::Hostility;
use crate::presets;
use crate::recovery_rows;
use crate::scenario::{EFFECTS, Effect, Options, Per, Place, Play, Rule, Scenario, Surface, When};

pub const RULES: &str = "\
SCENARIO TEXT
  Statements end at a line end or `;`. Each is a preset, an option, a rule, or `tenant GLOB`: what follows
  is for these tenants only. # starts a comment.
  ROW       row:M12, a row of the recovery table; row:M28=3 for the first 3 calls of each feed
  RULE      on SURFACE [filter...] [when...] WHAT
  SURFACE   token listing stream file; records (all /api functions with pages) or one of them: audit
            ttp.url ttp.attachment ttp.impersonation dlp held-release rejections archive.search
            archive.view; siem.mta threat-feed; data (all but token and file), any; or content
  filters   feed=GLOB  tenant=GLOB  file=N (number of the file in its feed, from 0)
  when      nth=N first=N after=N every=N p=0.1 for=30s, counted per=tenant|feed|file
  WHAT      status=503 [code=0006] [message=\"...\"] [form=FORM] [meta=500] [body=\"...\"]
            [field=NAME] [header=\"Name: value\"]... [delay=1s] [wait=2s wait_as=seconds|date|reset-ms|
            reset-epoch|reset-epoch-ms|none|turn]   or   effect=EFFECT
  FORM      meta meta-status flat flat-code error-list error-object problem json-api
            rackspace-json rackspace-xml header s3 aws-xml oauth html text empty broken-json
            status-error
  EFFECT    on token:   no-token
            on data:    cut
            on listing: empty-page no-value no-next-page same-token caught-up same-file-twice
                        foreign-link list-bomb list-empty list-zero-bytes
            on file:    truncate wrong-crc trailing-garbage cut expired missing redirect
                        content-encoding
            on records: next-object next-null next-always next-never same-next empty-page
                        empty-list no-meta no-pagination no-data partial (rows and fail[])
            on siem.mta: not-a-zip traversal unknown-prefix zero-bytes-member broken-member
                        no-siem-token same-token
            on stream:  no-value no-next-page same-token caught-up
            on content: bad-line long-line invalid-utf8 (which files: file=N or every=N)
  OPTIONS   token_life=20s token_uses=20 lock_after=5 lock_period=30m
            quota=50|off (listings in 15m) stream_quota=300|off (in 1h) no_quota (neither)
            api_quota=off|N (each /api function in 15m)
            lock=30m link_life=15m first_links_dead=true quiet=true page_cap=100 skew_tolerance=5m
            late=60s behind=20m future=2h hostile=some|none|all|separators|surrogates (these four
            concern events that are published from then on, everything else works at once)
  e.g.      on listing feed=siem.* every=4 status=429 form=flat wait=2s wait_as=date
";

/// # Errors
/// The statement that was not understood, and why.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let mut scenario = Scenario::default();
    add(&mut scenario, text)?;
    Ok(scenario)
}

/// Adds what `text` says to a scenario.
pub fn add(scenario: &mut Scenario, text: &str) -> Result<(), String> {
    add_at(scenario, text, 0)
}

fn add_at(scenario: &mut Scenario, text: &str, depth: u8) -> Result<(), String> {
    let mut scope = None;
    for words in statements(text)? {
        let shown = words.join(" ");
        let told = |why: String| format!("{why}, in `{shown}`");
        match words.first().map(String::as_str) {
            Some("on") => {
                let mut rule = rule(words.get(1..).unwrap_or_default()).map_err(told)?;
                rule.tenant = rule.tenant.or_else(|| scope.clone());
                scenario.rules.push(rule);
                continue;
            }
            Some("tenant") => {
                scope = words.get(1).cloned();
                continue;
            }
            _ => {}
        }
        for word in &words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if option(options_in(scenario, scope.as_deref()), name, value).map_err(told)? {
                continue;
            }
            if let Some(id) = name.strip_prefix("row:") {
                row(scenario, id, value, scope.as_deref(), depth).map_err(told)?;
                scenario.names.push(word.clone());
                continue;
            }
            let preset = presets::named(name).ok_or_else(|| {
                told(format!("`{name}` is neither an option nor a preset; presets are: {}", presets::names()))
            })?;
            if depth > 0 {
                return Err(told("a preset cannot name a preset".into()));
            }
            let argument = if value.is_empty() { preset.argument } else { value };
            let text = scoped(scope.as_deref(), &preset.text.replace("{}", argument));
            add_at(scenario, &text, depth + 1)?;
            scenario.names.push(word.clone());
        }
    }
    Ok(())
}

fn scoped(scope: Option<&str>, text: &str) -> String {
    scope.map_or(text.to_owned(), |glob| format!("tenant {glob}\n{text}"))
}

/// Adds a row of the recovery table; with a number, its rules strike so often per feed and then no more.
fn row(scenario: &mut Scenario, id: &str, times: &str, scope: Option<&str>, depth: u8) -> Result<(), String> {
    let row = recovery_rows::named(id);
    let row = row
        .ok_or_else(|| format!("no answer causes row `{id}`; --list-scenarios has those that can be had"))?;
    let before = scenario.rules.len();
    add_at(scenario, &scoped(scope, row.text), depth + 1)?;
    if !times.is_empty() {
        let times = number(&format!("row:{id}"), times)?;
        for rule in scenario.rules.iter_mut().skip(before) {
            rule.when.first = Some(times);
            rule.per = Per::Feed;
        }
    }
    Ok(())
}

fn statements(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut comment) = (false, false);
    for c in text.chars().chain(['\n']) {
        match c {
            '\n' | ';' if !quoted && (c == '\n' || !comment) => {
                comment = false;
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()));
                all.extend(Some(std::mem::take(&mut words)).filter(|w: &Vec<String>| !w.is_empty()));
            }
            _ if comment => {}
            '"' => quoted = !quoted,
            '#' if !quoted => comment = true,
            ',' | ' ' | '\t' | '\r' if !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()));
            }
            _ => word.push(c),
        }
    }
    if quoted { Err("a quote `\"` is not closed".into()) } else { Ok(all) }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("`{name}` wants a whole number, not `{value}`"))
}

fn span(name: &str, value: &str) -> Result<i64, String> {
    parse_span(value).ok_or_else(|| format!("`{name}` wants a length of time like 30s or 15m, not `{value}`"))
}

fn limit(name: &str, value: &str) -> Result<Option<u64>, String> {
    if matches!(value, "off" | "false") { Ok(None) } else { number(name, value).map(Some) }
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(format!("`{name}` wants true or false, not `{value}`")),
    }
}

/// The options that a statement in this scope changes.
fn options_in<'a>(scenario: &'a mut Scenario, scope: Option<&str>) -> &'a mut Options {
    let Some(scope) = scope else { return &mut scenario.options };
    let known = scenario.special.iter().position(|(pattern, _)| pattern == scope);
    let at = known.unwrap_or_else(|| {
        scenario.special.push((scope.to_owned(), scenario.options.clone()));
        scenario.special.len() - 1
    });
    match scenario.special.get_mut(at) {
        Some((_, options)) => options,
        None => &mut scenario.options,
    }
}

/// `false`: there is no option of this name.
fn option(o: &mut Options, name: &str, value: &str) -> Result<bool, String> {
    // `quiet` without a value is the preset of the same name and means the same.
    match name {
        "token_life" => o.token_life = span(name, value)? / 1000,
        "token_uses" => o.token_uses = Some(number(name, value)?),
        "quota" => o.quota = limit(name, value)?,
        "stream_quota" => o.stream_quota = limit(name, value)?,
        "api_quota" => o.api_quota = limit(name, value)?,
        "no_quota" => {
            let on = !flag(name, value)?;
            (o.quota, o.stream_quota) = (on.then_some(50), on.then_some(300));
        }
        "lock_after" => o.lock_after = usize::try_from(number(name, value)?).unwrap_or(usize::MAX),
        "lock_period" => o.lock_period = span(name, value)?,
        "lock" => o.lock = span(name, value)?,
        "link_life" => o.link_life = span(name, value)?,
        "first_links_dead" => o.first_links_dead = flag(name, value)?,
        "quiet" if !value.is_empty() => o.quiet = flag(name, value)?,
        "late" => o.late = span(name, value)?,
        "behind" => o.behind = span(name, value)?,
        "future" => o.future = span(name, value)?,
        "skew_tolerance" => o.skew_tolerance = span(name, value)?,
        "page_cap" => o.page_cap = number(name, value)?.clamp(1, 100),
        "hostile" => {
            o.hostility = match value {
                "some" => Hostility::Some,
                "none" => Hostility::None,
                "all" => Hostility::All,
                "separators" => Hostility::Separators,
                "surrogates" => Hostility::Surrogates,
                _ => return Err(format!("`hostile` cannot be `{value}`")),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn place(word: &str) -> Result<Place, String> {
    Ok(match word {
        "any" => Place::Any,
        "data" => Place::Data,
        "records" => Place::Records,
        "content" => Place::Content,
        "token" => Place::One(Surface::Token),
        "listing" => Place::One(Surface::Listing),
        "file" => Place::One(Surface::File),
        "stream" => Place::One(Surface::Stream),
        "threat-feed" => Place::One(Surface::ThreatFeed),
        _ => match feeds::named(word) {
            Some(feed) if !feed.is_batch() => Place::Named(feed.name),
            _ => return Err(format!("`{word}` is not a surface")),
        },
    })
}

fn rule(words: &[String]) -> Result<Rule, String> {
    let mut words = words.iter();
    let place = place(words.next().map_or("", |w| w))?;
    let mut rule = Rule {
        place,
        feed: None,
        tenant: None,
        file: None,
        per: Per::Tenant,
        when: When::default(),
        play: Play::Effect(Effect::NoToken),
        delay: 0,
    };
    let (mut effect, mut reply) = (None, Reply::default());
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` wants `name=value`"))?;
        match name {
            "feed" => rule.feed = Some(value.to_owned()),
            "tenant" => rule.tenant = Some(value.to_owned()),
            "file" => rule.file = Some(number(name, value)?),
            "delay" => rule.delay = span(name, value)?,
            "per" => {
                rule.per = match value {
                    "tenant" => Per::Tenant,
                    "feed" => Per::Feed,
                    "file" => Per::File,
                    _ => return Err(format!("`per` cannot be `{value}`")),
                }
            }
            "effect" => {
                let found = EFFECTS.iter().find(|(n, _)| *n == value).map(|(_, e)| *e);
                effect = Some(found.ok_or_else(|| format!("`{value}` is not an effect"))?);
            }
            _ if when(&mut rule.when, name, value)? || answer(&mut reply, name, value)? => {}
            _ => return Err(format!("`{name}` is not a word of rules")),
        }
    }
    rule.play = match (effect, reply.status) {
        (Some(effect), 0) => Play::Effect(effect),
        (None, 100..=599) => Play::Reply(reply),
        (None, _) => return Err("a rule wants `status=` (100 to 599) or `effect=`".into()),
        (Some(_), _) => return Err("a rule has either `status=` or `effect=`, not both".into()),
    };
    let spoils = matches!(effect, Some(Effect::BadLine | Effect::LongLine | Effect::InvalidUtf8));
    if spoils != (place == Place::Content) {
        return Err(
            "`content` goes with the effects bad-line, long-line and invalid-utf8, and they with it".into()
        );
    }
    Ok(rule)
}

fn when(when: &mut When, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "nth" => when.nth = Some(number(name, value)?),
        "first" => when.first = Some(number(name, value)?),
        "after" => when.after = Some(number(name, value)?),
        "every" => when.every = Some(number(name, value)?),
        "for" => when.lasts = Some(span(name, value)?),
        "p" => {
            let p = value.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p));
            when.chance = Some(p.ok_or_else(|| format!("`p` wants a number from 0 to 1, not `{value}`"))?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn answer(reply: &mut Reply, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "status" => reply.status = u16::try_from(number(name, value)?).unwrap_or(0),
        "meta" => reply.meta = u16::try_from(number(name, value)?).ok(),
        "code" => reply.code = Some(value.to_owned()),
        "message" => reply.message = Some(value.to_owned()),
        "field" => reply.field = Some(value.to_owned()),
        "body" => reply.body = Some(value.to_owned()),
        "form" => reply.form = Form::named(value).ok_or_else(|| format!("`{value}` is not a body form"))?,
        "wait" => reply.wait = span(name, value)?,
        "wait_as" => {
            reply.wait_as = WaitAs::named(value).ok_or_else(|| format!("`wait_as` cannot be `{value}`"))?;
        }
        "header" => {
            let (name, value) = value.split_once(':').ok_or("`header` wants \"Name: value\"")?;
            reply.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_everything() {
        let text = "# a comment; with a semicolon\n\
             on listing feed=siem.* tenant=t-* first=2 per=feed status=429 code=too_many \
             message=\"slow down, please\" form=flat header=\"X-A: b; c\" wait=2s wait_as=date delay=10ms";
        let scenario = parse(text).unwrap();
        let rule = &scenario.rules[0];
        assert_eq!((rule.place, rule.per, rule.delay), (Place::One(Surface::Listing), Per::Feed, 10));
        assert_eq!(rule.when.first, Some(2));
        let Play::Reply(reply) = &rule.play else { panic!("not a reply") };
        assert_eq!((reply.status, reply.form, reply.wait), (429, Form::Flat, 2_000));
        assert_eq!(reply.message.as_deref(), Some("slow down, please"));
        assert_eq!(reply.headers, [("X-A".to_owned(), "b; c".to_owned())]);
    }

    #[test]
    fn options_and_presets_mix() {
        let scenario = parse("no_quota, token_life=20s\nquiet; outage=5s").unwrap();
        assert_eq!((scenario.options.quota, scenario.options.token_life), (None, 20));
        assert!(scenario.options.quiet);
        assert_eq!(scenario.names, ["quiet", "outage=5s"]);
        assert_eq!(scenario.rules[0].when.lasts, Some(5_000));
    }

    #[test]
    fn a_scope_limits_options_presets_and_rules() {
        let scenario =
            parse("token_life=20s; tenant demo-1; lockout=9m, quota=off; on token status=503").unwrap();
        let (mine, others) = (scenario.options_of("demo-1"), scenario.options_of("demo-2"));
        assert_eq!((mine.lock, mine.quota, mine.token_life), (540_000, None, 20));
        assert_eq!((others.lock, others.quota, others.token_life), (0, Some(50), 20));
        assert_eq!(scenario.rules[0].tenant.as_deref(), Some("demo-1"));
        let scenario = parse("tenant t-*\noutage=5s").unwrap();
        assert!(scenario.rules.iter().all(|r| r.tenant.as_deref() == Some("t-*")));
    }

    #[test]
    fn every_preset_can_be_read() {
        for preset in presets::PRESETS {
            let scenario = parse(preset.name).unwrap_or_else(|why| panic!("{}: {why}", preset.name));
            assert_ne!(scenario, Scenario::default(), "{}", preset.name);
        }
    }

    #[test]
    fn a_row_of_the_table_can_be_limited_in_number_and_to_a_tenant() {
        let scenario = parse("tenant demo-2; row:M10=3").unwrap();
        assert_eq!(scenario.names, ["row:M10=3"]);
        assert_eq!(scenario.rules.len(), 2);
        for rule in &scenario.rules {
            assert_eq!(
                (rule.when.first, rule.per, rule.tenant.as_deref()),
                (Some(3), Per::Feed, Some("demo-2"))
            );
        }
        assert_eq!(parse("row:M10").unwrap().rules[0].when.first, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("on moon status=500", "`moon` is not a surface"),
            ("on file", "wants `status=`"),
            ("on file effect=explode", "`explode` is not an effect"),
            ("on file status=500 effect=cut", "either"),
            ("on file form=sonnet status=500", "`sonnet` is not a body form"),
            ("on file colour=red status=500", "`colour` is not a word"),
            ("on file p=2 status=500", "from 0 to 1"),
            ("on file effect=bad-line", "content"),
            ("thrrottle", "neither an option nor a preset"),
            ("row:X01", "no answer causes"),
            ("row:M10=many", "whole number"),
            ("token_life=soon", "length of time"),
            ("on any message=\"open", "not closed"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
