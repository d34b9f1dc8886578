//! What an application can tell apart.

use crate::message;
use crate::net::CallError;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Why the cluster did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the brokers that are known answers.
    #[error("no broker answers: {}", list(.failures))]
    NoBroker {
        /// What happened at each of them.
        failures: Vec<CallError>,
    },
    /// The cluster cannot serve the topic.
    #[error("topic {topic}: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// What the brokers say.
        code: ErrorCode,
    },
    /// The partition has no leader at the moment.
    #[error("{partition} has no leader")]
    NoLeader {
        /// The partition.
        partition: TopicPartition,
    },
    /// A broker could not be talked to.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The leader refused a partition's part of a request.
    #[error("{partition}: {code}")]
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// What it says.
        code: ErrorCode,
    },
    /// Messages cannot be put together.
    #[error("messages for {partition}")]
    Unsendable {
        /// Where they should have gone.
        partition: TopicPartition,
        /// What is wrong with them.
        source: message::Error,
    },
    /// What was fetched cannot be read.
    #[error("{partition} at offset {offset}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The offset fetched from.
        offset: i64,
        /// What is wrong.
        source: message::Error,
    },
    /// A message is larger than anything this client takes.
    #[error("{partition}: the message at offset {offset} is larger than {limit} bytes")]
    TooLarge {
        /// The partition.
        partition: TopicPartition,
        /// The message.
        offset: i64,
        /// How much was asked for.
        limit: i32,
    },
}

impl Error {
    /// Whether the same may go well a little later, after asking who leads what.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoBroker { .. } | Self::NoLeader { .. } => true,
            // A topic is often asked for while it, or a broker, is only coming up; and brokers have no code for that.
            Self::Topic { code, .. } => *code != ErrorCode::InvalidTopic,
            Self::Refused { code, .. } => is_retriable(*code),
            Self::Call(error) => !matches!(error, CallError::BadAnswer { .. }),
            Self::Unsendable { .. } | Self::Corrupt { .. } | Self::TooLarge { .. } => false,
        }
    }
}

/// Whether a code speaks of a state that passes.
fn is_retriable(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderForPartition
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
    )
}

/// Each failure with its cause, since whoever prints an error has only one chain of causes to follow.
fn list(failures: &[CallError]) -> String {
    let one = |failure: &CallError| match std::error::Error::source(failure) {
        Some(cause) => format!("{failure}: {cause}"),
        None => failure.to_string(),
    };
    failures.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::types::BrokerId;
    use crate::types::Endpoint;

    fn endpoint(host: &str) -> Endpoint {
        let (id, port) = (BrokerId(-1), 9092);
        Endpoint {
            id,
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn every_broker_that_failed_is_named_with_its_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failures = vec![
            CallError::Connect {
                endpoint: endpoint("a"),
                source: refused,
            },
            CallError::Closed {
                endpoint: endpoint("b"),
            },
        ];
        assert_eq!(
            Error::NoBroker { failures }.to_string(),
            "no broker answers: connect to a:9092: connection refused, b:9092 closed the connection"
        );
    }

    #[test]
    fn what_passes_is_retried_and_what_stays_is_not() {
        let refused = |code| {
            Error::Refused {
                partition: TopicPartition::new("t", 0),
                code,
            }
            .is_retriable()
        };
        assert!(refused(ErrorCode::NotLeaderForPartition));
        assert!(refused(ErrorCode::NotEnoughReplicas));
        assert!(!refused(ErrorCode::MessageSizeTooLarge));
        assert!(!refused(ErrorCode::InvalidTopic));
        assert!(!refused(ErrorCode::Unknown));
        let topic = |code| {
            Error::Topic {
                topic: "t".to_owned(),
                code,
            }
            .is_retriable()
        };
        assert!(topic(ErrorCode::Unknown));
        assert!(!topic(ErrorCode::InvalidTopic));
        assert!(
            Error::Call(CallError::Closed {
                endpoint: endpoint("a")
            })
            .is_retriable()
        );
    }
}
