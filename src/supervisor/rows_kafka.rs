//! Rows about Kafka: what its brokers refuse whatever the event, by the names that the sink gives their codes. All else (a
//! broker that is away, a message too large, TLS) meets the rows of every destination.

use std::time::Duration;

use super::rule::Clears::Probe;
use super::rule::Severity::{Critical, Error};
use super::rule::{On, Rule, STEADY, Scope, halt_probing};
use crate::fault::Origin;

const SINK: &[Origin] = &[Origin::Sink];
const QUARTER: Duration = Duration::from_secs(15 * 60);

pub(super) const ROWS: &[Rule] = &[
    Rule {
        id: "K01",
        surfaces: SINK,
        on: On::ANYTHING.code(&["kafka_auth"]),
        scope: Scope::Sink,
        verdict: halt_probing(QUARTER),
        harmful: true,
        severity: Critical,
        alert: true,
        lasting: STEADY,
        clears: Probe,
        title: "kafka_auth",
        meaning: "Kafka does not know our user, refuses the password, or does not offer the SASL mechanism. Events wait; \
                  other sinks go on.",
        remedy: "Correct `sasl` (mechanism, user, password); it is looked at now and then, or at once with `resume`.",
    },
    Rule {
        id: "K02",
        surfaces: SINK,
        on: On::ANYTHING.code(&["kafka_denied"]),
        scope: Scope::Sink,
        verdict: halt_probing(QUARTER),
        harmful: false,
        severity: Critical,
        alert: true,
        lasting: STEADY,
        clears: Probe,
        title: "kafka_denied",
        meaning: "Kafka knows our user but does not let it write to the topic.",
        remedy: "Grant `Write` and `Describe` on the topic (before Kafka 2.8 also `IdempotentWrite` on the cluster); it is \
                 looked at now and then, or at once with `resume`.",
    },
    Rule {
        id: "K03",
        surfaces: SINK,
        on: On::ANYTHING.code(&["kafka_topic"]),
        scope: Scope::Sink,
        verdict: halt_probing(QUARTER),
        harmful: false,
        severity: Error,
        alert: true,
        lasting: STEADY,
        clears: Probe,
        title: "kafka_topic",
        meaning: "The topic is not there and the cluster creates none by itself, or its name is not allowed.",
        remedy: "Create the topic, or correct `topic`; it is looked at now and then, or at once with `resume`.",
    },
    Rule {
        id: "K04",
        surfaces: SINK,
        on: On::ANYTHING.code(&["kafka_version"]),
        scope: Scope::Sink,
        verdict: halt_probing(QUARTER),
        harmful: false,
        severity: Error,
        alert: true,
        lasting: STEADY,
        clears: Probe,
        title: "kafka_version",
        meaning: "The brokers do not support what the sink needs: an idempotent producer (Kafka 0.11), acks=all, or the \
                  compression that was chosen.",
        remedy: "Update the brokers, or choose another `compression`; it is looked at now and then, or at once with `resume`.",
    },
];
