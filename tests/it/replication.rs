//! Copying between brokers: Gregor from Gregor, from the reference, and the other way round.
//!
//! The controller is a broker of the reference that keeps no replicas: what it orders is what it orders in a cluster of
//! its own kind.

mod cluster;
mod compacted;
mod cut_off;
mod failover;
mod follower;
mod isr;
mod losses;
mod offsets;
