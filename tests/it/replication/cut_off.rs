//! Brokers that don't reach each other for a while: what is sent is lost without a word.

use std::time::Duration;

use serde_json::Value;

use super::cluster::SOON;
use super::follower::metric;
use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::ensemble::Ensemble;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::have;
use crate::support::lan::Lan;
use crate::support::process::run;
use crate::support::wire;
use crate::support::znodes;
use crate::support::zookeeper::Version;

const FAILURES: &str = "kafka_server_fetcherstats_failures_total";

/// Tries of the follower until the network is back: with the usual pauses of TCP the next one would be long to come, and
/// with the time that an answer may take (30 s by default) as the limit of each, these would take minutes.
const TRIES: f64 = 4.0;

/// For these tries, each of a few seconds.
const CUT: Duration = Duration::from_secs(60);

/// Once the network is back: a try of connecting, the pause before it, and what follows from it. Less than connecting would
/// be allowed to take.
const REACHED: Duration = Duration::from_secs(15);

fn isr(connect: &str, topic: &str) -> Value {
    let node = znodes::node(connect, &format!("/brokers/topics/{topic}/partitions/0/state"));
    let state: Option<Value> = node.and_then(|node| serde_json::from_str(&node.data?).ok());
    state.unwrap_or_default()["isr"].clone()
}

#[track_caller]
fn wait_for_isr(connect: &str, topic: &str, expected: &[usize]) {
    eventually(&format!("the ISR of {topic} is {expected:?}"), SOON, || {
        let found = isr(connect, topic);
        if found == serde_json::json!(expected) {
            Ok(())
        } else {
            Err(found)
        }
    });
}

fn create(connect: &str, topic: &str) {
    let mut command = gregor();
    command.args(["topics", "--zookeeper", connect, "--create", "--topic", topic]);
    command.args(["--replica-assignment", "0:1"]);
    run(command, b"", SOON).succeeded();
}

/// With the default timeouts: the follower fetches, and the controller orders, soon after they can.
fn cut_off_for_a_while(lan: Lan) {
    let ensemble = Ensemble::start(Version::Installed, &lan, &[2]);
    let connect = format!("{}/cut-off", ensemble.connect());
    let start = |id: usize| -> Broker {
        let mut broker = Setup::of_kind(Kind::Gregor, &connect)
            .set("broker.id", id.to_string())
            .set("zookeeper.session.timeout.ms", "30000")
            .set("replica.lag.time.max.ms", "2000")
            .at(lan.address(id))
            .stopped();
        let under = lan.under(id);
        broker.run_under(&under.each_ref().map(String::as_str));
        broker.launch_again();
        broker.wait_until_started();
        broker
    };
    let (leader, follower) = (start(0), start(1));
    create(&connect, "before");
    wait_for_isr(&connect, "before", &[0, 1]);
    eventually("the follower fetches", SOON, || {
        match metric(&follower, "kafka_server_fetcherstats_requests_total") {
            1.0.. => Ok(()),
            count => Err(count),
        }
    });
    let before = metric(&follower, FAILURES);

    let directions = [(0, 1), (1, 0)];
    directions.iter().for_each(|(from, to)| lan.cut(*from, *to));
    wait_for_isr(&connect, "before", &[0]);
    // An order that can't be delivered.
    create(&connect, "meanwhile");
    wait_for_isr(&connect, "meanwhile", &[0]);
    eventually("the follower has tried again and again", CUT, || {
        let tries = metric(&follower, FAILURES) - before;
        if tries >= TRIES { Ok(()) } else { Err(tries) }
    });
    directions.iter().for_each(|(from, to)| lan.mend(*from, *to));
    eventually(
        "the follower knows the new topic, and both are in sync",
        REACHED,
        || {
            let seen = wire::metadata(follower.address()).map_err(|error| error.to_string())?;
            let isrs = ["before", "meanwhile"].map(|topic| isr(&connect, topic));
            if seen.topics.len() == 2 && isrs.iter().all(|isr| *isr == serde_json::json!([0, 1])) {
                Ok(())
            } else {
                Err(format!("{isrs:?} {seen:?} {}", leader.output()))
            }
        },
    );
}

#[test]
fn a_broker_that_was_cut_off_is_reached_soon_after() {
    if !have(&[Need::Gregor, Need::ZooKeeper, Need::Python, Need::Lan]) {
        return;
    }
    Lan::new(3).run(cut_off_for_a_while);
}
