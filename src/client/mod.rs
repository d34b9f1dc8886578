//! What programs use to write to and read from a cluster, whoever its brokers are.
//!
//! A [`Cluster`] knows who leads what and holds one connection per broker; a [`Producer`] and a [`SimpleConsumer`] each
//! work on one topic through it. Nobody here knows ZooKeeper.

mod cluster;
mod error;
#[cfg(test)]
mod fake;
mod producer;
mod retry;
mod simple_consumer;

pub use cluster::Cluster;
pub use cluster::Config as ClusterConfig;
pub use cluster::Topic;
pub use error::Error;
pub use producer::Config as ProducerConfig;
pub use producer::Producer;
pub use producer::partition_of;
pub use retry::Retry;
pub use simple_consumer::Config as ConsumerConfig;
pub use simple_consumer::Record;
pub use simple_consumer::SimpleConsumer;
