//! Copying between brokers: Gregor from Gregor, from the reference, and the other way round.
//!
//! The controller is a broker of the reference that keeps no replicas, unless a test says otherwise: what it orders is
//! what it orders in a cluster of its own kind.

mod cluster;
mod follower;
