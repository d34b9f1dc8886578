//! Brokers that go and come back.

use super::*;
use crate::support::clients::Record;
use crate::support::java::JavaProducer;
use crate::support::java::java_produce;
use crate::support::java::java_simple_consume;

/// Java brokers follow and lead under a controller that is none of them; what was acknowledged outlives the leader.
#[test]
fn a_java_follower_takes_over_when_its_java_leader_dies() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "java-takes-over");
    let controller = setup(Kind::Gregor, &connect, 0).start();
    let mut first = setup(Kind::Reference, &connect, 1).start();
    let second = setup(Kind::Reference, &connect, 2).start();
    create(&connect, "t", "1:2");
    for broker in [&controller, &first, &second] {
        wait_for_leader(broker, "t", 0, 1);
    }
    let sent: Vec<Record> = ["a", "b", "c"]
        .map(|value| Record::new(Some("k"), Some(value)))
        .into();
    java_produce(JavaProducer::Old, &controller.bootstrap(), "t", "none", &sent);

    first.kill();
    let after = wait_for_state(&connect, "t", 0, |state| state["leader"] == 2);
    assert_eq!(
        (&after["isr"], &after["leader_epoch"]),
        (&serde_json::json!([2]), &serde_json::json!(1))
    );
    wait_for_leader(&second, "t", 0, 2);
    assert_eq!(java_simple_consume(&second.bootstrap(), "t"), sent);

    first.start_again();
    wait_for_state(&connect, "t", 0, |state| {
        state["isr"] == serde_json::json!([2, 1])
    });
    wait_for_leader(&first, "t", 0, 2);
}
