//! One producer of the client library, and what it reports. Nothing here waits longer than it is told to; what waits at all
//! is for a thread that may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::statistics::Statistics;
use tokio::time::Instant;

use super::verdict::{self, Trouble};
use crate::fault::Fault;
use crate::format::keyed;
use crate::limits;
use crate::setup_error::SetupError;
use crate::sink::Batch;
use crate::sink::plan::KafkaPlan;

/// Reports of one exchange, as they come in.
#[derive(Debug, Default)]
pub struct Reports {
    /// By place; `None`: not yet, `NoError`: taken.
    pub outcomes: Vec<Option<RDKafkaErrorCode>>,
    missing: usize,
    /// What the client met on its way; what ends it is never overwritten by what may pass.
    pub trouble: Option<Trouble>,
}

impl Reports {
    fn note(&mut self, place: usize, code: RDKafkaErrorCode) {
        if let Some(free) = self.outcomes.get_mut(place).filter(|slot| slot.is_none()) {
            *free = Some(code);
            self.missing = self.missing.saturating_sub(1);
        }
    }

    fn meet(&mut self, trouble: Trouble) {
        // that all brokers are down follows from what happened to each of them, which says more
        let says_less = trouble.code == RDKafkaErrorCode::AllBrokersDown && self.trouble.is_some();
        if trouble.is_final() || !self.is_hopeless() && !says_less {
            self.trouble = Some(trouble);
        }
    }

    fn is_hopeless(&self) -> bool {
        self.trouble.as_ref().is_some_and(Trouble::is_final)
    }
}

/// Hears what the library says.
struct Ear(Arc<Mutex<Reports>>);

fn lock(reports: &Mutex<Reports>) -> MutexGuard<'_, Reports> {
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Ear {
    /// What matters comes as an error or as a report.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn stats(&self, _: Statistics) {}
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            lock(&self.0).meet(Trouble::new(code, reason));
        }
    }
}

impl ProducerContext for Ear {
    /// Place in the exchange.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let code = match result {
            Ok(_) => RDKafkaErrorCode::NoError,
            Err((error, _)) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
        };
        lock(&self.0).note(place, code);
    }
}

/// A producer with its connections. Dropping it gives up what it still has, and blocks for a moment.
pub struct Client {
    producer: BaseProducer<Ear>,
    reports: Arc<Mutex<Reports>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Connects to nobody yet. Fails, in words for people, on a password, certificates and settings that cannot be used.
    pub fn open(plan: &KafkaPlan) -> Result<Self, String> {
        let tls = plan.tls.iter();
        for file in tls.flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]).flatten() {
            // the library's own message does not name the file
            let opened = std::fs::File::open(file);
            opened.map_err(|err| format!("failed to read {}: {err}", file.display()))?;
        }
        let reports: Arc<Mutex<Reports>> = Arc::default();
        let config = configured(plan).map_err(|error| error.message)?;
        let producer = config.create_with_context(Ear(reports.clone()));
        let producer = producer.map_err(|err| format!("the Kafka client cannot be set up: {err}"))?;
        Ok(Client { producer, reports })
    }

    /// Forgets the last exchange and expects `events` reports.
    pub fn begin(&self, events: usize) {
        self.producer.poll(Duration::ZERO); // what it met while idle is old news
        let fresh = Reports { outcomes: vec![None; events], missing: events, trouble: None };
        *lock(&self.reports) = fresh;
    }

    /// Puts one event into the client's queue.
    ///
    /// # Errors
    /// It cannot be a message.
    pub fn produce(
        &self,
        plan: &KafkaPlan,
        batch: &Batch,
        place: usize,
        opaque: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let record = batch.record(place).and_then(keyed::read);
        let (Some(record), Some(id)) = (record, batch.ids.get(place)) else {
            return Err(RDKafkaErrorCode::InvalidRecord);
        };
        let id = id.hex();
        let headers: [(&str, &[u8]); 4] = [
            ("event_id", &id),
            ("tenant", record.tenant.as_bytes()),
            ("feed", record.feed.as_bytes()),
            ("type", record.kind.as_bytes()),
        ];
        let empty = OwnedHeaders::new_with_capacity(headers.len());
        let headers = headers
            .into_iter()
            .fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let topic = plan.topic_of(record.tenant, record.feed);
        let message = BaseRecord::with_opaque_to(&topic, opaque).key(record.key).payload(record.value);
        let queued = self.producer.send(message.headers(headers));
        queued.map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::InvalidTopic))
    }

    /// Books a report of our own.
    pub fn note(&self, place: usize, code: RDKafkaErrorCode) {
        lock(&self.reports).note(place, code);
    }

    /// Waits until every message is reported. What cannot go well any more, or is waited for by nobody, is given up, and
    /// reported as such.
    pub fn wait(&self, timeout: Duration, left: &AtomicBool) -> Reports {
        let end = Instant::now() + timeout + limits::kafka::SILENCE;
        let mut given_up = false;
        loop {
            let hopeless = {
                let mut reports = lock(&self.reports);
                if reports.missing == 0 || Instant::now() >= end {
                    return std::mem::take(&mut *reports);
                }
                reports.is_hopeless()
            };
            if !given_up && (hopeless || left.load(Ordering::Relaxed)) {
                given_up = true;
                self.producer.purge(PurgeConfig::default().queue().inflight());
            }
            self.producer.poll(limits::kafka::LOOK);
        }
    }

    /// Asks for the topic, or where events go to many, for all of them.
    ///
    /// # Errors
    /// No answer in time, or one that says no.
    pub fn ask(&self, plan: &KafkaPlan, left: &AtomicBool) -> Result<(), Fault> {
        self.begin(0);
        let peer = plan.brokers.join(", ");
        let end = Instant::now() + limits::CONNECT_TIMEOUT.min(plan.timeout);
        loop {
            let answer = self.producer.client().fetch_metadata(plan.one_topic(), limits::kafka::PROBE_LOOK);
            self.producer.poll(Duration::ZERO);
            let code = match answer {
                Ok(topics) => {
                    let refused =
                        topics.topics().iter().filter(|topic| plan.one_topic() == Some(topic.name()));
                    let mut refused = refused.filter_map(|topic| topic.error()).map(RDKafkaErrorCode::from);
                    // a topic that is only just being made has no leader yet
                    let refused = refused.find(|code| *code != RDKafkaErrorCode::LeaderNotAvailable);
                    return refused.map_or(Ok(()), |code| Err(verdict::fault(&peer, Some(code), None)));
                }
                Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
            };
            let reports = lock(&self.reports);
            if reports.is_hopeless() || left.load(Ordering::Relaxed) || Instant::now() >= end {
                return Err(verdict::fault(&peer, Some(code), reports.trouble.as_ref()));
            }
        }
    }
}

/// The library's own names, from its `CONFIGURATION.md`. Fails when the password cannot be read.
fn configured(plan: &KafkaPlan) -> Result<ClientConfig, SetupError> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut config = ClientConfig::new();
    let settings = [
        ("bootstrap.servers", plan.brokers.join(",")),
        ("client.id", "mimecollectd".to_owned()),
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("partitioner", "murmur2_random".to_owned()), // as Kafka's own clients do it
        ("compression.type", plan.compression.to_owned()),
        ("message.timeout.ms", millis(plan.timeout)),
        ("request.timeout.ms", millis(plan.timeout)),
        ("socket.connection.setup.timeout.ms", millis(limits::CONNECT_TIMEOUT)),
        ("topic.metadata.propagation.max.ms", millis(limits::kafka::TOPIC_PATIENCE)),
        ("reconnect.backoff.ms", millis(limits::kafka::RECONNECT)),
        ("reconnect.backoff.max.ms", millis(limits::kafka::RECONNECT_MAX)),
        ("linger.ms", limits::kafka::LINGER_MS.to_string()),
        ("message.max.bytes", limits::kafka::MESSAGE_BYTES.to_string()),
        ("batch.size", limits::kafka::REQUEST_BYTES.to_string()),
        ("queue.buffering.max.kbytes", limits::kafka::QUEUE_KIB.to_string()),
        ("queue.buffering.max.messages", limits::kafka::QUEUE_MESSAGES.to_string()),
        ("enable.metrics.push", "false".to_owned()), // the library would tell brokers about itself
    ];
    for (key, value) in settings {
        config.set(key, value);
    }
    let protocol = match (&plan.tls, &plan.sasl) {
        (None, None) => "plaintext",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), None) => "ssl",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(sasl) = &plan.sasl {
        config.set("sasl.mechanism", sasl.mechanism);
        config.set("sasl.username", &sasl.user).set("sasl.password", sasl.password.read()?.expose());
    }
    let files = plan.tls.iter().flat_map(|tls| {
        [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.cert_file),
            ("ssl.key.location", &tls.key_file),
        ]
    });
    for (key, file) in files {
        if let Some(file) = file {
            config.set(key, file.display().to_string());
        }
    }
    config.set_log_level(RDKafkaLogLevel::Emerg);
    Ok(config)
}
