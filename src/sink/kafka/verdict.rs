//! What the client library says, as a fault. Its own codes are negative, the brokers' are Kafka's
//! (`org.apache.kafka.common.protocol.Errors`).

use rdkafka::error::RDKafkaErrorCode::{self, *};

use crate::fault::{Code, Fault, Kind, Origin};

/// The last thing of weight that the client met on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub code: RDKafkaErrorCode,
    pub words: String,
}

impl Trouble {
    /// From version 1.3 of TLS on, a broker tells after the handshake that it does not want our certificate; the library
    /// takes that for a broken connection.
    pub fn new(code: RDKafkaErrorCode, words: &str) -> Self {
        let alert = words.contains("SSL routines") && words.contains("alert");
        let code = if code == BrokerTransportFailure && alert { SSL } else { code };
        Trouble { code, words: words.to_owned() }
    }

    /// Going on would only knock at a closed door.
    pub fn is_final(&self) -> bool {
        matches!(self.code, Authentication | SSL | UnsupportedFeature | Fatal) || denied(self.code).is_some()
    }
}

/// The fault behind a report; `None` where none came. A message that was given up says nothing by itself: then it is what
/// the client met on its way that counts.
pub fn fault(peer: &str, code: Option<RDKafkaErrorCode>, trouble: Option<&Trouble>) -> Fault {
    let (code, words) = match (code, trouble) {
        (Some(code), Some(trouble)) if gave_up(code) => (trouble.code, trouble.words.clone()),
        (None, Some(trouble)) => (trouble.code, trouble.words.clone()),
        (Some(code), _) => (code, code.to_string()),
        (None, None) => {
            (MessageTimedOut, "the client library did not report what became of the message".into())
        }
    };
    let (kind, name) = meaning(code, &words);
    let fault = Fault::new(Origin::Sink, kind, format!("{peer}: {words}"));
    Fault { code: name.and_then(Code::new), ..fault }
}

fn gave_up(code: RDKafkaErrorCode) -> bool {
    let local = [
        MessageTimedOut,
        OperationTimedOut,
        PurgeQueue,
        PurgeInflight,
        BrokerTransportFailure,
        AllBrokersDown,
        Fail,
        Fatal,
    ];
    local.contains(&code)
}

/// Refused for who we are or what we ask for, whatever the event: the code of its recovery row.
fn denied(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        Authentication
        | SaslAuthenticationFailed
        | UnsupportedSASLMechanism
        | IllegalSASLState
        | SecurityDisabled => Some("kafka_auth"),
        TopicAuthorizationFailed | ClusterAuthorizationFailed | TransactionalIdAuthorizationFailed => {
            Some("kafka_denied")
        }
        UnknownTopic | UnknownTopicOrPartition | UnknownPartition | UnknownTopicId | InvalidTopic => {
            Some("kafka_topic")
        }
        UnsupportedVersion
        | UnsupportedForMessageFormat
        | UnsupportedCompressionType
        | UnsupportedFeature
        | InvalidRequiredAcks => Some("kafka_version"),
        _ => None,
    }
}

fn meaning(code: RDKafkaErrorCode, words: &str) -> (Kind, Option<&'static str>) {
    if let Some(name) = denied(code) {
        return (Kind::Malformed, Some(name));
    }
    let kind = match code {
        MessageSizeTooLarge | InvalidMessageSize | MessageBatchTooLarge => Kind::RecordTooLarge,
        // of this message alone
        InvalidRecord | PolicyViolation | InvalidTimestamp => Kind::Partial,
        SSL if words.contains("verif") => Kind::TlsVerify,
        SSL => Kind::TlsHandshake,
        Resolve => Kind::Dns,
        BrokerTransportFailure | AllBrokersDown => Kind::Connect,
        MessageTimedOut
        | OperationTimedOut
        | RequestTimedOut
        | NotEnoughReplicas
        | NotEnoughReplicasAfterAppend => Kind::Timeout,
        _ => Kind::Interrupted,
    };
    (kind, None)
}
