//! What tests start and talk to.

pub(crate) mod proxy;
pub(crate) mod zookeeper;
