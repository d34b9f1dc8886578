//! A cluster under load to which everything happens: nothing acknowledged is lost, nothing is reordered, nobody is left
//! without a leader.
//!
//! What happens is decided by a seed (`plan`); `scripts/chaos.sh` lets it go on for as long as one likes. Environment:
//! `GREGOR_CHAOS_ROUNDS`, `GREGOR_CHAOS_SEED`, `GREGOR_CHAOS_JAVA` (how many of the four brokers are of the reference),
//! `GREGOR_CHAOS_LEAVE` (a directory for logs and data when something is wrong), `GREGOR_CHAOS_LOG` (as `RUST_LOG`).

mod book;
mod brief;
mod client;
mod cluster;
mod faults;
mod load;
mod plan;
mod rounds;
mod verdict;

use self::cluster::Cluster;
use self::rounds::Rounds;
use crate::support::Need;
use crate::support::have;
use crate::support::lan::Lan;

/// A seed whose first rounds have all kinds of faults but CutOneWay, Stall and ZooKeeperKilled: Resignation and
/// CutFromZooKeeper, which is survived with nothing mended; ZooKeeperFrozen and CutFromBrokers; Stop, ZooKeeperSplit and
/// Bounce; Kill; Freeze, ZooKeeperLeader and CutOff. A topic is created, deleted, created again and deleted again in the
/// first two, and partitions are reassigned in the third.
const SEED: u64 = 23_008_577;

/// These rounds.
const ROUNDS: u64 = 5;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost_in_chaos() {
    if !have(&[
        Need::Gregor,
        Need::Reference,
        Need::ZooKeeper,
        Need::Python,
        Need::Lan,
    ]) {
        return;
    }
    Lan::new(Cluster::hosts()).run(|lan| {
        Rounds::start(lan, number("GREGOR_CHAOS_SEED", SEED)).run(number("GREGOR_CHAOS_ROUNDS", ROUNDS));
    });
}
