//! The library and the program against the real thing: ZooKeeper servers, clients, the reference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected should stop; the switches in .clippy.toml reach only test functions"
)]

mod support;
mod zookeeper;
