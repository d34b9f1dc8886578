//! Changing the cluster through ZooKeeper, as functions.

pub mod assignment;
pub mod filter;
pub mod topics;
