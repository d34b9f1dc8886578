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

mod benchmark;
mod chaos;
mod clients;
mod consumer_offsets;
mod controller;
mod durability;
mod faults_clock;
mod faults_crash_points;
mod faults_disks;
mod faults_kills;
mod faults_zookeeper;
mod first_run;
mod fixture_directories;
mod hand_over;
mod mistakes;
mod ordering;
mod overload;
mod probes;
mod readme;
mod recorded;
mod reference_commands;
mod registration;
mod replication;
mod rolling_replacement;
mod running;
mod scale;
mod support;
mod topic_settings;
mod topics_command;
mod zero_copy;
mod zookeeper;
