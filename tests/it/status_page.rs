//! The status page in a real browser, made by the real daemon in five states: it renders, nothing leaves, nothing is
//! complained about, it says in its first lines what is the matter, and it can be read on a phone, in the dark and
//! without seeing it. With `SCREENSHOTS=DIR` every state is put there as pictures, to be looked at.

use std::path::Path;

use serde_json::Value;

use crate::browser::Browser;
use crate::main_job::file_sink;
use crate::rig::{Daemon, Receiver, Simulator, Site, eventually, http};

/// Every pair of text and background on the page whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3).
const FAINT: &str = r#"(() => {
  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    if (!node.textContent.trim() || node.parentElement.tagName === 'STYLE') continue;
    let ground = [0, 0, 0, 0];
    for (let at = node.parentElement; at && ground[3] === 0; at = at.parentElement) ground = parse(getComputedStyle(at).backgroundColor);
    const [a, b] = [light(parse(getComputedStyle(node.parentElement).color)), light(ground)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ground[3] === 0 || ratio < 4.5) found.push(`${node.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return found;
})()"#;

/// How much wider than the screen the page is, and what sticks out.
const TOO_WIDE: &str = r#"(() => {
  const room = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > room + 1
    && getComputedStyle(e).position !== 'absolute');
  return document.documentElement.scrollWidth > room ? wide.map(e => e.outerHTML.slice(0, 200)) : [];
})()"#;

/// Looks at the page as it is now, in both schemes and on a phone; gives its text.
fn look(browser: &mut Browser, url: &str, name: &str) -> String {
    for (width, height, scheme) in [(1280, 900, "dark"), (1280, 900, "light"), (360, 760, "dark")] {
        browser.screen(width, height, scheme);
        let (complaints, asked) = browser.open(url);
        assert_eq!(complaints, Vec::<String>::new(), "{name}");
        let strangers: Vec<&String> =
            asked.iter().filter(|to| !to.starts_with(url) && !to.starts_with("data:")).collect();
        assert_eq!(strangers, Vec::<&String>::new(), "{name}: requests that leave");
        let list = |value: Value| value.as_array().cloned().unwrap_or_default();
        assert_eq!(list(browser.evaluate(TOO_WIDE)), Vec::<Value>::new(), "{name} at {width}");
        assert_eq!(list(browser.evaluate(FAINT)), Vec::<Value>::new(), "{name}, {scheme}");
        if let Some(dir) = std::env::var_os("SCREENSHOTS") {
            let file = Path::new(&dir).join(format!("{name}-{width}-{scheme}.png.base64"));
            std::fs::write(file, browser.picture()).expect("the picture is written");
        }
    }
    can_be_heard(browser, name);
    browser.evaluate("document.body.innerText").as_str().unwrap_or_default().to_owned()
}

/// Landmarks, headings, tables with headers, drawings with words.
fn can_be_heard(browser: &mut Browser, name: &str) {
    assert_eq!(browser.evaluate("document.documentElement.lang"), "en");
    let heard = browser.accessible();
    let count = |role: &str| heard.iter().filter(|(is, _)| is == role).count();
    for (role, least) in
        [("banner", 1), ("main", 1), ("contentinfo", 1), ("navigation", 1), ("table", 2), ("row", 4)]
    {
        assert!(count(role) >= least, "{name}: {} of {role}: {heard:?}", count(role));
    }
    assert!(count("columnheader") + count("rowheader") >= 4, "{name}: {heard:?}");
    for role in ["image", "img", "table", "region", "navigation", "link", "heading"] {
        let nameless = heard.iter().filter(|(is, says)| is == role && says.is_empty()).count();
        assert_eq!(nameless, 0, "{name}: {role} without a name: {heard:?}");
    }
    let drawings =
        heard.iter().filter(|(is, says)| (is == "image" || is == "img") && says.contains("24 hours"));
    assert_eq!(drawings.count(), 4, "{name}: {heard:?}");
}

const TENANT: &str = "feeds = [\"siem.*\", \"audit\"]\npoll_interval = \"1s\"\nlookback = \"7d\"";

struct Scene {
    simulator: Simulator,
    site: Site,
    daemon: Daemon,
}

impl Scene {
    fn start(scenario: &str, sinks: &str) -> Self {
        let simulator = Simulator::start(&["--events", "4000", "--seed", "63", "--scenario", scenario]);
        let site = Site::new(&simulator.url, TENANT, "");
        let file = file_sink(&site.path("events.ndjson"));
        site.write(&simulator.url, TENANT, if sinks.is_empty() { &file } else { sinks });
        let daemon = site.spawn();
        Scene { simulator, site, daemon }
    }

    /// The page's address, once the status says so.
    fn when(&self, what: &str, holds: impl Fn(&Value) -> bool) -> String {
        let url = self.daemon.admin();
        eventually(what, || {
            let (status, body) = http("GET", &format!("{url}/status"), "");
            (status == 200 && holds(&serde_json::from_str(&body).ok()?)).then_some(())
        });
        eventually("the first look of the history", || {
            (!http("GET", &url, "").1.contains("Nothing is drawn yet")).then_some(())
        });
        format!("{url}/")
    }
}

fn all_caught_up(status: &Value) -> bool {
    let feeds = status["tenants"][0]["feeds"].as_array().expect("feeds");
    feeds.iter().all(|feed| feed["caught_up"] == true) && status["sinks"][0]["waiting_events"] == 0
}

fn alerts(status: &Value) -> usize {
    status["alerts"].as_array().map_or(0, Vec::len)
}

#[test]
fn the_page_tells_each_state_at_a_glance() {
    let mut browser = Browser::start();
    let nobody = Receiver::nobody();
    let tcp = format!("[sinks.siem]\ntype = \"syslog\"\naddress = \"{nobody}\"\ntransport = \"tcp\"\n");

    let scene = Scene::start("no_quota", "");
    let url = scene.when("everything to be caught up", |status| all_caught_up(status) && alerts(status) == 0);
    let text = look(&mut browser, &url, "healthy");
    assert!(
        text.contains("Working") && text.contains("Every feed is collected and every sink takes events"),
        "{text}"
    );
    assert!(!text.contains("What needs attention"), "{text}");

    // an operator skips: a span that is not collected
    let skipped = scene.site.output(&["cursor", "set", "acme/audit", "--since", "0s"]);
    assert!(skipped.status.success());
    let url =
        scene.when("the gap", |status| status["tenants"][0]["feeds"].to_string().contains("\"gaps_open\":1"));
    let text = look(&mut browser, &url, "gap");
    for words in ["Failing", "acme/audit: gap open.", "What to do:", "a span of time was not collected"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    scene.simulator.scenario("no_quota,lockout=1h");
    let url = scene.when("the lockout", |status| {
        let tenant = &status["tenants"][0];
        tenant["credential"]["state"] == "locked_out" && tenant["feeds"].to_string().contains("\"paused\"")
    });
    let text = look(&mut browser, &url, "lockout");
    for words in ["Failing", "account locked out", "What to do:", "Next attempt in", "paused"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    drop(scene);

    let scene = Scene::start("no_quota", &tcp);
    let url = scene.when("the sink to be down", |status| {
        status["sinks"].to_string().contains("\"up\":false") && alerts(status) > 0
    });
    let text = look(&mut browser, &url, "backlog");
    assert!(text.contains("down") && text.contains("sink:siem") && text.contains("next attempt"), "{text}");
    drop(scene);

    let sized = |size: &str| format!("{tcp}[store]\nmax_size = \"{size}\"\n");
    let scene = Scene::start("no_quota", &sized("16MiB"));
    scene.simulator.post("/_sim/publish?feed=siem.*&count=120000&over=5m");
    let url = scene.when("collection to pause", |status| !status["store"]["paused"].is_null());
    let text = look(&mut browser, &url, "full");
    assert!(text.contains("Collection is paused"), "{text}");
    // what docs/operations.md tells the operator to do
    scene.site.write(&scene.simulator.url, TENANT, &sized("1GiB"));
    scene.daemon.signal("HUP");
    scene.when("collection to go on with a larger store", |status| status["store"]["paused"].is_null());
}
