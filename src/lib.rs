//! Gregor: a message broker that takes the place of Apache Kafka 0.8.2 brokers.

pub mod shutdown;
pub mod types;
pub mod zookeeper;
