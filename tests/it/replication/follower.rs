//! Following a leader of either kind.

use super::cluster::Cluster;
use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::have;

/// A follower copies what its leader has and gets, byte for byte, and counts for `acks=-1`.
fn copies(test: &str, leader: Kind, follower: Kind) {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let cluster = Cluster::start(test, &[leader, follower]);
    cluster.create("copied", &[1, 2], &[]);
    cluster.wait_for_leader("copied", 1);
    for round in 0..20 {
        let text = format!("message {round}");
        cluster.write(1, "copied", -1, &[&text, &"x".repeat(round * 100)]);
    }
    cluster.wait_for_end("copied", &[1, 2], 40);
    cluster.assert_equal_logs("copied", &[1, 2]);
}

#[test]
fn gregor_copies_from_the_reference() {
    copies("copy-from-java", Kind::Reference, Kind::Gregor);
}

#[test]
fn the_reference_copies_from_gregor() {
    copies("copy-by-java", Kind::Gregor, Kind::Reference);
}

#[test]
fn gregor_copies_from_gregor() {
    copies("copy-gregor", Kind::Gregor, Kind::Gregor);
}
