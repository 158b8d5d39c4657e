//! Kafka from outside: the daemon is killed again and again, and brokers come and go, while it writes to the client library's
//! mock cluster.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::main_job::{ALL_FEEDS, FEEDS};
use crate::rig::{Arrived, PATIENCE, Simulator, Site, assert_complete, eventually};

const TOPIC: &str = "mimecast";
const PARTITIONS: i32 = 4;
const KILLS: u32 = 6;
const BATCH: u32 = 300;
/// How long the reader listens before it looks at its patience again.
const LOOK: Duration = Duration::from_secs(1);

fn reader(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader");
    config.create().expect("a consumer")
}

/// Messages in the topic.
fn written(reader: &BaseConsumer) -> i64 {
    let high = |partition| reader.fetch_watermarks(TOPIC, partition, PATIENCE).map_or(0, |(_, high)| high);
    (0..PARTITIONS).map(high).sum()
}

/// Reads until the topic has been read to its end. That a broker is only just back is no error of the test's: the library
/// goes on by itself.
fn read_all(reader: &BaseConsumer) -> Arrived {
    let all = eventually("the cluster to say how much there is", || {
        let highs = (0..PARTITIONS).map(|partition| reader.fetch_watermarks(TOPIC, partition, PATIENCE));
        highs.map(|marks| marks.ok().map(|(_, high)| high)).collect::<Option<Vec<_>>>()
    });
    let mut wanted = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        wanted.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a partition");
    }
    reader.assign(&wanted).expect("assigned");
    let (mut arrived, mut read) = (Arrived::default(), 0);
    let all: i64 = all.into_iter().sum();
    eventually("the topic to be read to its end", || {
        while read < all {
            let message = reader.poll(LOOK)?.ok()?;
            read += 1;
            let value = message.payload().expect("a value");
            arrived.add(std::str::from_utf8(value).expect("an envelope"));
        }
        Some(())
    });
    arrived
}

#[test]
fn kills_and_absent_brokers_lose_nothing() {
    let simulator = Simulator::start(&["--events", "6000", "--seed", "91", "--scenario", "no_quota"]);
    let cluster = MockCluster::new(3).expect("a cluster");
    cluster.create_topic(TOPIC, PARTITIONS, 3).expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let listed = brokers.split(',').map(|broker| format!("{broker:?}")).collect::<Vec<_>>().join(", ");
    let sink = format!(
        "[sinks.bus]\ntype = \"kafka\"\nbrokers = [{listed}]\ntopic = \"{TOPIC}\"\ncompression = \"lz4\"\n\
         batch = {{ events = {BATCH}, bytes = \"1MiB\", wait = \"1s\" }}\ntimeout = \"60s\"\n"
    );
    let site = Site::new(&simulator.url, ALL_FEEDS, &sink);
    let reader = reader(&brokers);
    for n in 0..KILLS {
        let seen = written(&reader);
        let daemon = site.spawn();
        eventually("messages to be written", || (written(&reader) > seen).then_some(()));
        let broker = 1 + (n % 3) as i32;
        cluster.broker_down(broker).expect("a broker");
        drop(daemon); // SIGKILL
        cluster.broker_up(broker).expect("a broker");
        let all: u64 = FEEDS.iter().map(|feed| simulator.truth(feed).len() as u64).sum();
        if written(&reader) as u64 >= all {
            simulator.post("/_sim/publish?feed=siem.*&count=100&age=1m");
        }
    }
    site.run_once();
    let arrived = read_all(&reader);
    assert_complete(&simulator, &arrived, FEEDS);
    let bound = u64::from(KILLS * BATCH) * 2; // a batch for the kill, and one for the broker that was away
    assert!(arrived.repeats() <= bound, "{} repeats, allowed {bound}", arrived.repeats());
    assert_eq!(site.status()["sinks"][0]["dead_lettered"], 0);
    site.reconcile();
}
