//! Against the client library's own mock cluster, which speaks Kafka over real sockets and fails as it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::event::{Event, EventId, Severity};
use crate::fault::Code;
use crate::format::{Body, Encoder, Shape, Wire};
use crate::secret::Secret;
use crate::sink::plan::{Keeper, Sasl, TlsFiles};
use crate::sink::receivers;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PARTITIONS: i32 = 4;
/// Long enough for a loaded machine, where the cluster is expected to answer.
const PATIENT: Duration = Duration::from_secs(60);

fn cluster(topics: &[&str]) -> Cluster {
    let cluster = MockCluster::new(3).unwrap();
    topics.iter().for_each(|topic| cluster.create_topic(topic, PARTITIONS, 3).unwrap());
    cluster
}

fn plan(brokers: String, topic: &str, timeout: Duration) -> KafkaPlan {
    KafkaPlan {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        topic: topic.to_owned(),
        compression: "lz4",
        tls: None,
        sasl: None,
        batch_events: 1000,
        batch_bytes: 1 << 20,
        batch_wait: Duration::ZERO,
        timeout,
    }
}

fn sink(cluster: &Cluster, topic: &str, timeout: Duration) -> Kafka {
    Kafka::new(plan(cluster.bootstrap_servers(), topic, timeout)).unwrap()
}

/// Events `numbers`, each of a mail of its own.
fn batch(numbers: std::ops::Range<u32>) -> Batch {
    let mut encoder = Encoder::new(&Shape { body: Body::Raw, wire: Wire::Keyed });
    let mut batch = Batch::default();
    for n in numbers {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let raw = format!("{{\"messageId\":\"<{n}@example.com>\",\"subject\":\"a\\u0000b\"}}");
        let event = Event {
            id: EventId(id),
            tenant: "acme",
            feed: if n.is_multiple_of(2) { "siem.receipt" } else { "audit" },
            kind: "receipt",
            time: None,
            collected: 0,
            severity: Severity::Informational,
            repaired: false,
            json: true,
            raw: raw.as_bytes(),
        };
        batch.push(event.id, |out| _ = encoder.encode(&event, out));
    }
    batch
}

/// Everything in these topics, by event id: how often it is there, and what was last seen of it.
#[derive(Default)]
struct Log {
    times: BTreeMap<String, usize>,
    last: BTreeMap<String, (String, String, String, BTreeMap<String, String>)>,
}

fn read(cluster: &Cluster, topics: &[&str]) -> Log {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "reader");
    let consumer: BaseConsumer = config.set("enable.partition.eof", "true").create().unwrap();
    let mut wanted = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..PARTITIONS {
            wanted.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&wanted).unwrap();
    let (mut log, mut open) = (Log::default(), wanted.count());
    while open > 0 {
        match consumer.poll(PATIENT).expect("the cluster answers") {
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
            Ok(message) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let headers = message.headers().unwrap().iter();
                let headers: BTreeMap<_, _> =
                    headers.map(|header| (header.key.to_owned(), text(header.value))).collect();
                let id = headers["event_id"].clone();
                *log.times.entry(id.clone()).or_default() += 1;
                let seen =
                    (message.topic().to_owned(), text(message.key()), text(message.payload()), headers);
                log.last.insert(id, seen);
            }
        }
    }
    log
}

fn code(fault: &Fault) -> &str {
    fault.code.as_ref().map_or("", Code::as_str)
}

#[tokio::test]
async fn every_event_is_one_message_with_key_and_headers() {
    let topics = ["mail.acme.siem.receipt", "mail.acme.audit"];
    let cluster = cluster(&topics);
    let sink = sink(&cluster, "mail.{tenant}.{feed}", PATIENT);
    assert_eq!(sink.probe().await.unwrap(), 5);
    for batch in [batch(0..1000), batch(1000..1500)] {
        let Sent::Acknowledged(receipt) = sink.send(&batch).await.unwrap() else { panic!() };
        assert_eq!((receipt.events(), receipt.level()), (batch.len() as u64, 5));
    }
    let log = read(&cluster, &topics);
    assert_eq!(log.times.len(), 1500);
    assert!(log.times.values().all(|times| *times == 1));
    let (topic, key, value, headers) = &log.last["00000007000000000000000000000000"];
    assert_eq!((topic.as_str(), key.as_str()), ("mail.acme.audit", "acme/7@example.com"));
    assert_eq!(value, "{\"messageId\":\"<7@example.com>\",\"subject\":\"a\\u0000b\"}");
    let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let id = "00000007000000000000000000000000";
    assert_eq!(headers, [("event_id", id), ("feed", "audit"), ("tenant", "acme"), ("type", "receipt")]);
}

/// Leaders move and answers are late while batches are under way: the client goes on by itself and writes nothing twice.
#[tokio::test]
async fn what_the_client_can_mend_is_no_fault() {
    let cluster = cluster(&["mail"]);
    let sink = sink(&cluster, "mail", PATIENT);
    for round in 0..4 {
        let errors = [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ];
        cluster.request_errors(RDKafkaApiKey::Produce, &errors);
        for partition in 0..PARTITIONS {
            cluster.partition_leader("mail", partition, Some(1 + (partition + round) % 3)).unwrap();
        }
        cluster.broker_round_trip_time(1 + round % 3, Duration::from_millis(50)).unwrap();
        let from = round as u32 * 300;
        let sent = sink.send(&batch(from..from + 300)).await.unwrap();
        assert!(matches!(sent, Sent::Acknowledged(_)), "{sent:?}");
    }
    let log = read(&cluster, &["mail"]);
    assert_eq!(log.times.len(), 1200);
    assert!(log.times.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_cluster_that_is_away_is_a_fault_and_what_it_missed_is_sent_again() {
    let cluster = cluster(&["mail"]);
    let sink = sink(&cluster, "mail", Duration::from_secs(2));
    assert!(matches!(sink.send(&batch(0..100)).await.unwrap(), Sent::Acknowledged(_)));
    (1..=3).for_each(|broker| cluster.broker_down(broker).unwrap());
    let fault = sink.send(&batch(100..200)).await.unwrap_err();
    assert_eq!(fault.origin, Origin::Sink);
    assert!(matches!(fault.kind, Kind::Timeout | Kind::Connect), "{fault}");
    let (first, ..) = fault.detail.split_once(',').unwrap();
    assert!(cluster.bootstrap_servers().starts_with(first), "{fault}");
    assert!(sink.probe().await.is_err());
    (1..=3).for_each(|broker| cluster.broker_up(broker).unwrap());
    let patient = Kafka::new(plan(cluster.bootstrap_servers(), "mail", PATIENT)).unwrap();
    assert_eq!(patient.probe().await.unwrap(), 5);
    assert!(matches!(patient.send(&batch(100..200)).await.unwrap(), Sent::Acknowledged(_)));
    assert_eq!(read(&cluster, &["mail"]).times.len(), 200);
}

/// A request is of the client's making, and brokers refuse it as a whole: what was refused together is sent again alone, and
/// only what is refused then is refused.
#[tokio::test]
async fn only_an_event_refused_alone_is_refused() {
    for (error, kind) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Kind::RecordTooLarge),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD, Kind::Partial),
    ] {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("mail", 1, 1).unwrap();
        let sink = sink(&cluster, "mail", PATIENT);
        sink.send(&batch(0..1)).await.unwrap();
        cluster.request_errors(RDKafkaApiKey::Produce, &[error, error]);
        let Sent::Partly(receipt, rest) = sink.send(&batch(1..21)).await.unwrap() else { panic!() };
        assert_eq!((receipt.events(), rest.len()), (19, 1));
        assert_eq!(
            (rest[0].clone(), rest[0].fault.as_ref().unwrap().kind),
            (Undelivered::one(0, rest[0].fault.clone().unwrap()), kind)
        );
        assert!(matches!(sink.send(&batch(1..2)).await.unwrap(), Sent::Acknowledged(_)));

        // so many in a row say something about the cluster: the others are not tried one by one
        cluster.request_errors(RDKafkaApiKey::Produce, &[error; REFUSED_IN_A_ROW + 1]);
        let Sent::Partly(receipt, rest) = sink.send(&batch(21..41)).await.unwrap() else { panic!() };
        let told: Vec<_> = rest.iter().map(|part| (part.fault.is_some(), part.len())).collect();
        let alone = vec![(true, 1); REFUSED_IN_A_ROW];
        assert_eq!((receipt.events(), told), (0, [alone, vec![(false, 20 - REFUSED_IN_A_ROW)]].concat()));
    }
}

#[tokio::test]
async fn what_brokers_refuse_whatever_the_event_has_a_name() {
    let cases = [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "kafka_denied"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, "kafka_version"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, "kafka_topic"),
    ];
    for (error, name) in cases {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("mail", 1, 1).unwrap();
        let sink = sink(&cluster, "mail", PATIENT);
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let fault = sink.send(&batch(0..10)).await.unwrap_err();
        assert_eq!(code(&fault), name, "{fault}");
        assert!(matches!(sink.send(&batch(0..10)).await.unwrap(), Sent::Acknowledged(_)), "{name}");
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_by_the_probe_and_by_the_first_batch() {
    let cluster = cluster(&["mail"]);
    cluster.topic_error("mail", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let sink = sink(&cluster, "mail", PATIENT);
    let fault = sink.probe().await.unwrap_err();
    assert_eq!(code(&fault), "kafka_topic", "{fault}");
    let fault = sink.send(&batch(0..10)).await.unwrap_err();
    assert_eq!(code(&fault), "kafka_topic", "{fault}");
}

#[tokio::test]
async fn a_batch_that_nobody_waits_for_any_more_is_let_go() {
    let cluster = cluster(&["mail"]);
    let sink = sink(&cluster, "mail", PATIENT);
    sink.probe().await.unwrap();
    (1..=3).for_each(|broker| cluster.broker_round_trip_time(broker, PATIENT).unwrap());
    let impatient = tokio::time::timeout(Duration::from_millis(50), sink.send(&batch(0..10))).await;
    assert!(impatient.is_err());
    (1..=3).for_each(|broker| cluster.broker_round_trip_time(broker, Duration::ZERO).unwrap());
    assert!(matches!(sink.send(&batch(0..10)).await.unwrap(), Sent::Acknowledged(_)));
}

#[tokio::test]
async fn a_broker_that_cannot_be_trusted_gets_nothing() {
    let pki = receivers::Pki::new();
    let server = pki.server(false, &rustls::version::TLS13);
    let address = receivers::listen(move |_, stream| {
        let server = server.clone();
        async move { drop(server.accept(stream).await) }
    })
    .await;
    let mut plan = plan(format!("localhost:{}", address.port()), "mail", PATIENT);
    plan.tls = Some(TlsFiles::default()); // what the system trusts
    plan.sasl =
        Some(Sasl { mechanism: "SCRAM-SHA-512", user: "us".into(), password: Secret::new("s3cret").into() });
    let sink = Kafka::new(plan).unwrap();
    let fault = sink.probe().await.unwrap_err();
    assert_eq!(fault.kind, Kind::TlsVerify, "{fault}");
    let fault = sink.send(&batch(0..3)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::TlsVerify, "{fault}");
    assert!(!fault.to_string().contains("s3cret") && !format!("{sink:?}").contains("s3cret"));
}

/// What the operator puts into its file is used without a restart (recovery row K01).
#[tokio::test]
async fn the_password_is_read_for_each_client() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let reads = count.clone();
    let password = Keeper::new(move || match reads.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Secret::new("s3cret")),
        _ => Err(SetupError::config("the file is gone")),
    });
    let mut plan = plan("127.0.0.1:9092".into(), "mail", PATIENT);
    plan.sasl = Some(Sasl { mechanism: "SCRAM-SHA-512", user: "us".into(), password });
    let sink = Kafka::new(plan).unwrap();
    let fault = sink.probe().await.unwrap_err();
    assert_eq!((fault.kind, count.load(Ordering::Relaxed)), (Kind::SecretUnreadable, 2), "{fault}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_found_at_start() {
    let mut plan = plan("127.0.0.1:9092".into(), "mail", PATIENT);
    plan.tls = Some(TlsFiles { ca_file: Some("/no/such/ca.pem".into()), ..TlsFiles::default() });
    let error = Kafka::new(plan).unwrap_err();
    assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
}

/// The mock cluster speaks no TLS, so a proxy does. Where the cluster names its broker, the proxy's address is put: the
/// name of the certificate, which is as long as the address was.
async fn proxied(client: TlsStream<TcpStream>, broker: u16, ours: u16) {
    let server = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
    let ((mut asks, mut hears), (mut answers, mut takes)) = (split(client), server.into_split());
    let theirs = [&b"127.0.0.1"[..], &i32::from(broker).to_be_bytes()].concat();
    let named = [&b"localhost"[..], &i32::from(ours).to_be_bytes()].concat();
    let there = async { drop(copy(&mut asks, &mut takes).await) };
    let back = async {
        while let Ok(length) = answers.read_u32().await {
            let mut answer = vec![0; length as usize];
            answers.read_exact(&mut answer).await.unwrap();
            if let Some(at) = answer.windows(theirs.len()).position(|window| window == theirs) {
                answer[at..at + named.len()].copy_from_slice(&named);
            }
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if hears.write_all(&framed).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

#[tokio::test]
async fn over_tls_with_a_certificate_of_our_own() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("mail", PARTITIONS, 1).unwrap();
    let broker: u16 = cluster.bootstrap_servers().rsplit_once(':').unwrap().1.parse().unwrap();
    let pki = receivers::Pki::new();
    let server = pki.server(true, &rustls::version::TLS13);
    let address = receivers::listen(move |_, stream| {
        let server = server.clone();
        async move {
            let ours = stream.local_addr().unwrap().port();
            if let Some(stream) = server.accept(stream).await {
                proxied(stream, broker, ours).await;
            }
        }
    })
    .await;
    let mut with = plan(format!("localhost:{}", address.port()), "mail", PATIENT);
    with.tls = Some(pki.files_with_client());
    let sink = Kafka::new(with.clone()).unwrap();
    assert_eq!(sink.probe().await.unwrap(), 5);
    assert!(matches!(sink.send(&batch(0..100)).await.unwrap(), Sent::Acknowledged(_)));
    assert_eq!(read(&cluster, &["mail"]).times.len(), 100);

    with.tls = Some(pki.files());
    with.timeout = Duration::from_secs(5);
    let fault = Kafka::new(with).unwrap().send(&batch(0..1)).await.unwrap_err();
    assert_eq!(fault.kind, Kind::TlsHandshake, "a certificate is asked for: {fault}");
}
