//! Leaders die, freeze and move; nothing that was acknowledged by all is lost.

use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::cluster::SOON;
use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::numbered::acknowledged;
use crate::support::numbered::text;
use crate::support::process::Running;

/// Acknowledgements to wait for before and after each fault.
const MORE: usize = 500;

fn wait_for_more(load: &Running) {
    let before = acknowledged(&load.stdout()).len();
    eventually("the producer gets acknowledgements", SOON, || {
        let count = acknowledged(&load.stdout()).len() - before;
        if count > MORE { Ok(()) } else { Err(count) }
    });
}

/// One leader after the other is killed under load, and comes back.
fn killed_leaders(test: &str, kinds: &[Kind]) {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let mut cluster = Cluster::start(test, kinds);
    let all: Vec<usize> = (1..=kinds.len()).collect();
    cluster.create("killed", &all, &["min.insync.replicas=2"]);
    let load = Release::Kafka20.load(&cluster.brokers[0].bootstrap(), "killed", "load", "-1");
    wait_for_more(&load);
    for _ in &all {
        let leader = cluster.leader("killed");
        cluster.brokers[leader].kill();
        cluster.wait_for_state("killed", |state| {
            state["leader"] != leader && state["leader"] != -1
        });
        wait_for_more(&load);
        cluster.restart(leader);
        cluster.wait_for_isr("killed", 0, &all);
        wait_for_more(&load);
    }
    load.signal(Signal::KILL);
    let acked = acknowledged(&load.wait(Duration::from_secs(5)).stdout);
    let read = Python::start(Release::Kafka20, &cluster.brokers[0].bootstrap()).consume("killed", 0, 0);
    for (number, offset) in acked {
        let (found, record) = &read[usize::try_from(offset).unwrap()];
        let expected = text("load", number);
        assert_eq!(
            (*found, record.value.as_deref()),
            (offset, Some(expected.as_bytes()))
        );
    }
    let end = i64::try_from(read.len()).unwrap();
    cluster.wait_for_end("killed", &all, end);
    cluster.assert_equal_logs("killed", &all);
}

#[test]
fn nothing_acknowledged_is_lost_with_a_leader() {
    killed_leaders("killed-gregor", &[Kind::Gregor; 3]);
}

#[test]
fn nothing_acknowledged_is_lost_with_a_leader_beside_the_reference() {
    killed_leaders("killed-mixed", &[Kind::Reference, Kind::Gregor, Kind::Gregor]);
}
