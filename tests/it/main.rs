//! Whole-broker tests: real processes, real ZooKeeper, real clients.
//!
//! Every test runs against Gregor, or against the reference (Apache Kafka 0.8.2.2) when the environment says
//! `GREGOR_TEST_BROKER=reference`: what a test demands of Gregor, the original has shown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that meets something unforeseen fails by panicking"
)]

mod clients;
mod consumer_offsets;
mod controller;
mod durability;
mod first_run;
mod mistakes;
mod ordering;
mod readme;
mod recorded;
mod registration;
mod running;
mod scale;
mod support;
mod topics_command;
mod zero_copy;
mod zookeeper;
