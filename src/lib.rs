//! Gregor: a message broker that takes the place of Apache Kafka 0.8.2 brokers.

pub mod broker;
pub mod cli;
pub mod client;
pub mod message;
pub mod metrics;
pub mod net;
pub mod protocol;
pub mod shutdown;
pub mod types;
pub mod zookeeper;
