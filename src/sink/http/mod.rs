//! HTTP destinations: one POST a batch, and the whole answer is read before it is believed. What a destination wants
//! and says is its preset's; this is the client all of them share. Redirects are not followed, for a token must not
//! travel to where an answer points, and proxies of the environment are not used.

#[cfg(test)]
mod cloud_tests;
mod datadog;
mod elasticsearch;
mod entra;
mod google_secops;
mod keys;
mod lines;
mod loki;
mod otlp;
mod preset;
#[cfg(test)]
mod preset_tests;
mod sentinel;
mod splunk_hec;
#[cfg(test)]
mod splunk_tests;
mod sumologic;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, HeaderMap, HeaderName, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

pub use datadog::Datadog;
pub use elasticsearch::Elasticsearch;
pub use google_secops::GoogleSecops;
pub use lines::{Array, Lines};
pub use loki::Loki;
pub use otlp::Otlp;
pub use preset::Preset;
pub use sentinel::Sentinel;
pub use splunk_hec::SplunkHec;
pub use sumologic::SumoLogic;

use super::batch::Group;
use super::dial::{ReceiverNames, Unresolved};
use super::plan::HttpPlan;
use super::{Batch, Sent, Undelivered, Window, answer, peer, tls};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits;
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::telemetry::pulse;
use keys::{Keys, Shown};
use preset::{ANSWERED, Item, Judged, NO_NUMBER, Question};

/// One receiver.
#[derive(Debug)]
pub struct Http {
    plan: HttpPlan,
    client: Client,
    keys: Keys,
    /// Scheme, host and port, for people: the path may be a secret.
    peer: String,
    /// What an acknowledgement is worth, as far as is known.
    level: AtomicU8,
}

impl Http {
    /// Reads certificates and secrets; nothing is sent.
    ///
    /// # Errors
    /// One that cannot be used; the text names it.
    pub fn new(plan: HttpPlan) -> Result<Self, SetupError> {
        let mut config = tls::http_config(&plan.tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let unusable = |err| SetupError::config(format!("the HTTP client cannot be set up: {}", chain(&err)));
        let mut client = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(ReceiverNames::within(plan.connect_timeout))
            .connect_timeout(plan.connect_timeout);
        if let Some(proxy) = &plan.proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.clone()).map_err(unusable)?);
        }
        let peer = shown(&plan.url);
        let keys = Keys::new(&plan.headers, &plan.auth, &peer)?;
        let client = client.build().map_err(unusable)?;
        let level = AtomicU8::new(plan.preset.level());
        Ok(Http { keys, peer, client, level, plan })
    }

    /// As configured, within what the destination takes; every answer acknowledges its own batch, so nothing is left
    /// to confirm.
    pub fn window(&self) -> Window {
        let caps = self.plan.preset.caps();
        // the last event of a batch may reach beyond; what is too much for one request is sent in two
        let bytes = caps.bytes.saturating_sub(caps.bytes.min(limits::HTTP_REQUEST_SLACK_BYTES));
        Window {
            max_events: self.plan.batch_events.min(caps.events),
            max_bytes: self.plan.batch_bytes.min(bytes),
            wait: self.plan.batch_wait,
            concurrency: self.plan.concurrency,
            confirm_every: 0,
        }
    }

    /// See [`Preset::judges_as_a_whole`].
    pub fn judges_as_a_whole(&self) -> bool {
        self.plan.preset.judges_as_a_whole()
    }

    /// What an acknowledgement of this destination is worth.
    pub fn ack_level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    /// Sends one batch, in one request for each way and size that the destination takes. A request that fails as a
    /// whole ends it: what was not sent is told apart from what was refused.
    ///
    /// # Errors
    /// The only request failed: no answer in time, a status other than success, or a body that reports a failure.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let (requests, mut rest) = self.requests(batch);
        let alone = requests.len() == 1 && rest.is_empty();
        let (mut failed, mut later) = (false, Vec::new());
        for request in requests {
            if failed {
                rest.push(Undelivered { events: request.events, fault: None });
                continue;
            }
            match self.exchange(batch, &request).await {
                Ok(Reply::Settled(items)) => rest.extend(items),
                Ok(Reply::Later(number, thread)) => {
                    later.push(Promised { number, thread, events: request.events })
                }
                Err(fault) if alone => return Err(fault),
                Err(fault) => {
                    failed = true;
                    rest.push(Undelivered { events: request.events, fault: Some(fault) });
                }
            }
        }
        match self.confirmed(&mut later).await {
            Err(fault) if alone => return Err(fault),
            Err(fault) => rest.extend(
                later.into_iter().map(|open| Undelivered { events: open.events, fault: Some(fault.clone()) }),
            ),
            Ok(()) => {}
        }
        Ok(Sent::of(batch.len(), self.ack_level(), rest))
    }

    /// Asks what is harmless to ask: for a token, or with an empty batch where the destination says how it answers
    /// that. Returns the level of an acknowledgement.
    ///
    /// # Errors
    /// Whatever would stop a batch too.
    pub async fn probe(&self) -> Result<u8, Fault> {
        self.keys.renew(&self.client).await?;
        let preset = &self.plan.preset;
        if let Some(harmless) = preset.harmless() {
            let group = Group { route: "", events: Vec::new() };
            let answer = self.post(&group, harmless.body.into(), self.plan.gzip).await?;
            if let Judged::Refused(kind, code) = preset.judge(&answer, 0)
                && !(harmless.lets_in)(&answer)
            {
                return Err(self.refused(kind, code, &answer));
            }
        }
        if let Some(question) = preset.question(&self.plan.url, NO_NUMBER) {
            let mut thread = HeaderMap::new();
            preset.headers("", &mut thread);
            let idle = (question.is_idle)(&self.ask(&question, thread).await?);
            self.level.store(if idle { ANSWERED } else { preset.level() }, Ordering::Relaxed);
        }
        Ok(self.ack_level())
    }

    /// The batch by ways, each cut to what the destination takes at once; events it never takes are told apart.
    fn requests<'a>(&self, batch: &'a Batch) -> (Vec<Group<'a>>, Vec<Undelivered>) {
        let caps = self.plan.preset.caps();
        let (mut requests, mut never): (Vec<Group<'a>>, Vec<Undelivered>) = (Vec::new(), Vec::new());
        if self.plan.preset.all_in_one() {
            let all = std::iter::once(0..batch.len()).collect();
            return (vec![Group { route: "", events: all }], never);
        }
        for group in batch.groups() {
            if batch.size(&group.events) <= caps.bytes.min(caps.event_bytes) {
                requests.push(group);
                continue;
            }
            let mut open = (Vec::new(), 0);
            for place in group.events.iter().flat_map(Clone::clone) {
                let bytes = batch.record(place).map_or(0, <[u8]>::len);
                if bytes > caps.event_bytes {
                    let words = format!(
                        "{}: takes events of {} bytes, this has {bytes}",
                        self.peer, caps.event_bytes
                    );
                    never
                        .push(Undelivered::one(place, Fault::new(Origin::Sink, Kind::RecordTooLarge, words)));
                    continue;
                }
                if open.1 + bytes > caps.bytes {
                    requests.push(Group { route: group.route, events: std::mem::take(&mut open.0) });
                    open.1 = 0;
                }
                add(&mut open.0, place);
                open.1 += bytes;
            }
            if !open.0.is_empty() {
                requests.push(Group { route: group.route, events: open.0 });
            }
        }
        (requests, never)
    }

    /// One request and what its answer says.
    async fn exchange(&self, batch: &Batch, request: &Group<'_>) -> Result<Reply, Fault> {
        let preset = &self.plan.preset;
        let events = request.events.iter().map(ExactSizeIterator::len).sum();
        let body = preset.body(batch, request);
        let answer = self.post(request, body, self.plan.gzip).await?;
        match preset.judge(&answer, events) {
            Judged::Taken => Ok(Reply::Settled(Vec::new())),
            Judged::Unconfirmed => {
                self.level.store(ANSWERED, Ordering::Relaxed);
                Ok(Reply::Settled(Vec::new()))
            }
            Judged::Refused(kind, code) => Err(self.refused(kind, code, &answer)),
            Judged::Items(items) => {
                let items = items.into_iter().map(|item| self.undelivered(item, request, &answer));
                Ok(Reply::Settled(items.collect()))
            }
            Judged::Later(number) => {
                self.level.store(preset.level(), Ordering::Relaxed);
                Ok(Reply::Later(number, answer.thread))
            }
        }
    }

    /// Asks for each of these until the destination has confirmed it, or patience ends; what is left in `open` is not
    /// confirmed. A question that fails is asked again as well: what was taken is not sent twice for it.
    async fn confirmed(&self, open: &mut Vec<Promised>) -> Result<(), Fault> {
        let begun = tokio::time::Instant::now();
        let mut pause = limits::LATER_ACK_FIRST;
        while !open.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::LATER_ACK_EVERY);
            let answers = join_all(open.iter().map(|promised| self.is_confirmed(promised))).await;
            let fault = answers.iter().find_map(|answer| answer.clone().err());
            let mut answers = answers.into_iter();
            open.retain(|_| answers.next() != Some(Ok(true)));
            let patience = open.first().and_then(|promised| self.about(promised)).map(|asked| asked.patience);
            if let Some(patience) = patience.filter(|patience| begun.elapsed() >= *patience) {
                let words = format!("{}: not confirmed within {patience:?}", self.peer);
                let code = Code::new("hec_ack_timeout");
                let late = || Fault { code, ..Fault::new(Origin::Sink, Kind::Timeout, words) };
                return Err(fault.unwrap_or_else(late));
            }
        }
        Ok(())
    }

    fn about(&self, promised: &Promised) -> Option<Question> {
        self.plan.preset.question(&self.plan.url, promised.number)
    }

    async fn is_confirmed(&self, promised: &Promised) -> Result<bool, Fault> {
        let Some(question) = self.about(promised) else { return Ok(true) };
        let answer = self.ask(&question, promised.thread.clone()).await?;
        if answer.status.is_success() {
            return Ok((question.confirms)(&answer.body, promised.number));
        }
        self.keys.doubt(None);
        Err(match self.plan.preset.judge(&answer, 0) {
            Judged::Refused(kind, code) => self.refused(kind, code, &answer),
            _ => self.refused(Kind::Malformed, None, &answer),
        })
    }

    async fn ask(&self, question: &Question, thread: HeaderMap) -> Result<Answer, Fault> {
        let request = self.client.post(question.url.clone()).header(CONTENT_TYPE, "application/json");
        let shown = self.keys.shown(&self.client).await?;
        self.answer(request.body(question.body.clone()), shown, thread).await
    }

    async fn post(&self, group: &Group<'_>, mut body: Bytes, gzip: bool) -> Result<Answer, Fault> {
        let preset = &self.plan.preset;
        let mut shown = self.keys.shown(&self.client).await?;
        let url = shown.url(preset.url(&self.plan.url, group.route));
        shown.secrets.push(Secret::new(url.path()));
        let mut request = self.client.post(url).header(CONTENT_TYPE, preset.content_type());
        if body.is_empty() {
            request = request.header(CONTENT_LENGTH, "0"); // servers want to be told
        } else if gzip {
            body = compressed(body).await?;
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let token = shown.token.clone();
        let mut thread = HeaderMap::new();
        preset.headers(group.route, &mut thread);
        let answer = self.answer(request.body(body), shown, thread).await?;
        if !answer.status.is_success() {
            // who is busy, or asks for patience, has no quarrel with the token
            let about_us = answer.status.is_client_error() && answer.wait.is_none();
            self.keys.doubt(token.filter(|_| about_us).as_ref());
        }
        Ok(answer)
    }

    /// Sends once and reads the answer to its end, or to the bound of what anybody needs of it.
    async fn answer(
        &self,
        request: RequestBuilder,
        shown: Shown,
        thread: HeaderMap,
    ) -> Result<Answer, Fault> {
        pulse::beat(); // a batch may be many requests, and many questions after them, each as long as it may take
        let request = request.headers(shown.headers).headers(thread.clone()).timeout(self.plan.timeout);
        let mut response = request.send().await.map_err(|err| self.unanswered(err))?;
        let bound = if response.status().is_success() {
            limits::MAX_SINK_ANSWER_BYTES
        } else {
            limits::MAX_ERROR_BODY_BYTES
        };
        let body = answer::bounded(&mut response, bound).await.map_err(|err| self.unanswered(err))?;
        Ok(Answer::new(&response, body, shown.secrets, thread))
    }

    fn refused(&self, kind: Kind, code: Option<Code>, answer: &Answer) -> Fault {
        let said = answer::excerpt(&answer.body, &answer.secrets);
        let mut detail = format!("{}: {}", self.peer, if said.is_empty() { "no explanation" } else { &said });
        if let Some(location) = &answer.location {
            detail.push_str(&format!(
                "; it points to {}",
                answer::excerpt(location.as_bytes(), &answer.secrets)
            ));
        }
        let carried_by = Some(answer.status.as_u16()).filter(|_| answer.status.is_success());
        Fault { code, carried_by, retry_after: answer.wait, ..Fault::new(Origin::Sink, kind, detail) }
    }

    fn undelivered(&self, item: Item, request: &Group<'_>, answer: &Answer) -> Undelivered {
        let fault = item.why.map(|why| {
            let said = answer::excerpt(why.said.as_bytes(), &answer.secrets);
            let detail = format!("{}: {said}", self.peer);
            Fault { code: why.code, retry_after: answer.wait, ..Fault::new(Origin::Sink, why.kind, detail) }
        });
        let mut events = Vec::new();
        let places = request.events.iter().flat_map(Clone::clone);
        places.skip(item.events.start).take(item.events.len()).for_each(|place| add(&mut events, place));
        Undelivered { events, fault }
    }

    fn unanswered(&self, err: reqwest::Error) -> Fault {
        unanswered(&err, &self.peer, self.plan.timeout)
    }
}

/// What came of one request.
enum Reply {
    /// All taken but these places of the batch.
    Settled(Vec<Undelivered>),
    /// Taken; whether it is stored is to be asked for under this number, with these headers.
    Later(u64, HeaderMap),
}

/// Events whose acknowledgement comes later.
struct Promised {
    number: u64,
    thread: HeaderMap,
    events: Vec<std::ops::Range<usize>>,
}

/// Adds a place behind the last one.
fn add(places: &mut Vec<std::ops::Range<usize>>, place: usize) {
    match places.last_mut() {
        Some(last) if last.end == place => last.end += 1,
        _ => places.push(std::ops::Range { start: place, end: place + 1 }),
    }
}

/// No whole answer came, and why, without the URL, whose path or query may be a secret. `peer` is its name for people.
pub fn unanswered(err: &reqwest::Error, peer: &str, timeout: Duration) -> Fault {
    let (kind, why) = match peer::tls_error(err) {
        Some(tls) => (peer::tls_kind(tls), peer::tls_text(tls)),
        None => match unresolved(err) {
            Some(name) => (Kind::Dns, name.to_string()),
            None if err.is_connect() => (Kind::Connect, chain(err)),
            None if err.is_timeout() => (Kind::Timeout, format!("no whole answer within {timeout:?}")),
            None => (Kind::Interrupted, chain(err)),
        },
    };
    Fault::new(Origin::Sink, kind, format!("{peer}: {why}"))
}

fn unresolved(err: &reqwest::Error) -> Option<&Unresolved> {
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        if let Some(found) = err.downcast_ref() {
            return Some(found);
        }
        cause = err.source();
    }
    None
}

/// What of an answer matters.
#[derive(Debug)]
pub struct Answer {
    pub(super) status: StatusCode,
    /// How long we are asked to wait.
    wait: Option<Duration>,
    location: Option<String>,
    /// Up to its bound.
    pub(super) body: Vec<u8>,
    /// What its request showed, and nobody may quote: those of the next request may be others.
    secrets: Vec<Secret>,
    /// What a later question about its request has to show: the preset's own headers of that request, and the cookies by
    /// which a balancer knows which of its servers had it.
    thread: HeaderMap,
}

impl Answer {
    fn new(response: &Response, body: Vec<u8>, secrets: Vec<Secret>, mut thread: HeaderMap) -> Self {
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        thread.extend(answer::cookies(response.headers()).map(|cookies| (COOKIE, cookies)));
        Answer {
            thread,
            status: response.status(),
            wait: answer::wait_asked(header(RETRY_AFTER), header(DATE)),
            location: header(LOCATION)
                .filter(|_| response.status().is_redirection())
                .map(|url| url.parse().map_or_else(|_| "another path".to_owned(), |url| shown(&url))),
            body,
            secrets,
        }
    }
}

/// A URL for people: no user, no query, and no path, which for many receivers is the secret.
fn shown(url: &url::Url) -> String {
    url.origin().ascii_serialization()
}

async fn compressed(body: Bytes) -> Result<Bytes, Fault> {
    let work = tokio::task::spawn_blocking(move || {
        // Level 1: a quarter of level 6's time for a tenth more bytes.
        let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(1));
        gzip.write_all(&body)?;
        gzip.finish().map(Bytes::from)
    });
    let failed = |why: String| {
        Fault::new(Origin::Local, Kind::Interrupted, format!("failed to compress a batch: {why}"))
    };
    work.await.map_err(|err| failed(err.to_string()))?.map_err(|err| failed(err.to_string()))
}

/// An error and its causes, without the URL, whose query may be a secret.
fn chain(err: &reqwest::Error) -> String {
    let mut text =
        if err.is_connect() { "failed to connect".to_owned() } else { "the exchange broke off".to_owned() };
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    text
}
