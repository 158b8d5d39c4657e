//! A real browser without a window, led over its own protocol (CDP) through two pipes. It has no network but loopback
//! that anybody would miss: every request it makes is written down.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::rig::PATIENCE;

/// The browser, with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// Events that came while an answer was waited for.
    events: VecDeque<Value>,
    session: String,
    number: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        // the protocol speaks on descriptors 3 and 4
        let script = "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec chromium \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, "chromium", "--headless", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let (to, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let events = VecDeque::new();
        let mut browser =
            Browser { child, to, from, events, session: String::new(), number: 0, _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = browser.ask("Target.attachToTarget", attach)["sessionId"]
            .as_str()
            .expect("a session; chromium is needed for this test, scripts/test installs it")
            .to_owned();
        for domain in ["Page", "Network", "Log", "Runtime", "Accessibility"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn next(&mut self) -> Value {
        self.from.recv_timeout(PATIENCE).expect("chromium answers; scripts/test installs it")
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.to.write_all(&text).expect("chromium listens; scripts/test installs it");
        loop {
            let mut answer = self.next();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push_back(answer);
        }
    }

    /// Opens an address and waits until everything is loaded. Gives what the browser complained about, and every
    /// address it asked for.
    pub fn open(&mut self, url: &str) -> (Vec<String>, Vec<String>) {
        self.events.clear();
        self.ask("Page.navigate", json!({"url": url}));
        let mut seen = Vec::new();
        loop {
            let event = self.events.pop_front().unwrap_or_else(|| self.next());
            let loaded = event["method"] == "Page.loadEventFired";
            seen.push(event);
            if loaded {
                break;
            }
        }
        self.evaluate("1"); // whatever the page had to say is said by now
        seen.extend(self.events.drain(..));
        let of = |name: &'static str| seen.iter().filter(move |event| event["method"] == name);
        let complaints =
            of("Log.entryAdded").chain(of("Runtime.consoleAPICalled")).chain(of("Runtime.exceptionThrown"));
        let asked =
            of("Network.requestWillBeSent").filter_map(|event| event["params"]["request"]["url"].as_str());
        (complaints.map(Value::to_string).collect(), asked.map(str::to_owned).collect())
    }

    /// The value of a JavaScript expression, as the browser's own tools see it: the page's policy does not matter.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.ask("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].take()
    }

    /// A screen of this size in this scheme (`light`, `dark`).
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", features);
    }

    /// A picture of the whole page, PNG in base64.
    pub fn picture(&mut self) -> String {
        let picture = self.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        picture["data"].as_str().unwrap_or_default().to_owned()
    }

    /// What a screen reader finds: role and name of everything that is not ignored.
    pub fn accessible(&mut self) -> Vec<(String, String)> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let heard = nodes.iter().filter(|node| node["ignored"] == false);
        heard.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
