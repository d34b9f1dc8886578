//! What a controller has begun when it dies, and the next one finishes, also where one of them is of the reference.

use rustix::process::Signal;
use serde_json::json;

use super::deletion::delete;
use super::deletion::wait_until_deleted;
use super::reassignment::wanted;
use super::*;

/// Broker 0, which is controller until it is killed; broker 1, the only one that can take over from it; and broker 2,
/// which stands still until that has happened: what concerns it cannot be finished before.
struct Succession {
    connect: String,
    first: Broker,
    second: Broker,
    third: Broker,
    _zookeeper: std::sync::Arc<ZooKeeper>,
}

impl Succession {
    #[track_caller]
    fn start(name: &str, first: Kind, second: Kind) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, name);
        // Only the first is to be away for the others.
        let launch = |kind, id, session: &str| {
            setup(kind, &connect, id)
                .set("zookeeper.session.timeout.ms", session)
                .set("auto.leader.rebalance.enable", "false")
                .set("delete.topic.enable", "true")
                .launch()
        };
        let mut first = launch(first, 0, "6000");
        first.wait_until_ready();
        let mut others = [(second, 1), (Kind::Gregor, 2)].map(|(kind, id)| launch(kind, id, "30000"));
        for (id, broker) in (1..).zip(&mut others) {
            broker.wait_until_ready();
            wait_until_registered(&connect, id);
        }
        let [second, third] = others;
        Self {
            connect,
            first,
            second,
            third,
            _zookeeper: zookeeper,
        }
    }

    #[track_caller]
    fn stand_still(&self) {
        assert_eq!(self.office(), (json!(0), json!(1)), "broker 0 is the controller");
        self.third.freeze();
    }

    /// Who is controller, and its epoch.
    fn office(&self) -> (Value, Value) {
        let controller = content(&self.connect, "/controller").unwrap_or_default();
        let epoch = content(&self.connect, "/controller_epoch").unwrap_or_default();
        (controller["brokerid"].clone(), epoch)
    }

    /// The controller dies, the next one takes over, and only then the third goes on.
    #[track_caller]
    fn take_over(&mut self) {
        self.take_over_after(|| ());
    }

    /// The same where something happens while nobody is controller.
    #[track_caller]
    fn take_over_after(&mut self, meanwhile: impl FnOnce()) {
        assert_eq!(self.office(), (json!(0), json!(1)), "it was begun by broker 0");
        self.second.freeze();
        self.first.kill();
        meanwhile();
        self.second.signal(Signal::CONT);
        eventually("the next is in office", FAILOVER, || match self.office() {
            office if office == (json!(1), json!(2)) => Ok(()),
            office => Err(format!("{office:?}")),
        });
        if self.second.kind() == Kind::Gregor {
            eventually("it has taken over", FAILOVER, || {
                let said = self.second.output();
                let lines = ["controller is this broker, epoch 2", "partitions of 1 topics"];
                if lines.iter().all(|line| said.contains(line)) {
                    Ok(())
                } else {
                    Err(said)
                }
            });
        }
    }

    /// Lets the third go on; `finished` waits until the work is done.
    #[track_caller]
    fn finish(&self, finished: impl FnOnce()) {
        self.third.signal(Signal::CONT);
        finished();
        assert_eq!(self.office(), (json!(1), json!(2)), "the second has finished it");
    }
}

/// Partition 0 of topic t goes from broker 1 to broker 2.
fn a_move_is_finished(name: &str, first: Kind, second: Kind) {
    if !have(&NEEDS) {
        return;
    }
    let mut brokers = Succession::start(name, first, second);
    let connect = brokers.connect.clone();
    let replicas = || content(&connect, "/brokers/topics/t").unwrap()["partitions"].clone();
    create(&connect, "t", "1");
    wait_for_leader(&brokers.second, "t", 0, 1);
    brokers.stand_still();
    let document = wanted(&[("t", 0, &[2]), ("unknown", 0, &[1])]);
    znodes::put(&connect, "/admin/reassign_partitions", &document.to_string());
    eventually("the move has begun", FAILOVER, || match replicas() {
        both if both == json!({"0": [2, 1]}) => Ok(()),
        other => Err(other),
    });
    brokers.take_over();
    // The new replica was not in sync yet.
    assert_eq!(replicas(), json!({"0": [2, 1]}));
    let half_done = state(&connect, "t", 0).unwrap();
    assert_eq!(
        (&half_done["leader"], &half_done["isr"]),
        (&json!(1), &json!([1]))
    );

    brokers.finish(|| wait_until_gone(&connect, "/admin/reassign_partitions"));
    let moved = state(&connect, "t", 0).unwrap();
    assert_eq!(
        (&moved["leader"], &moved["isr"], &moved["controller_epoch"]),
        (&json!(2), &json!([2]), &json!(2))
    );
    assert_eq!(replicas(), json!({"0": [2]}));
    wait_for_leader(&brokers.second, "t", 0, 2);
    wait_until_replica_gone(&brokers.second, "t", 0);
}

#[test]
fn a_move_is_finished_by_the_next_controller() {
    a_move_is_finished("move-gregor-gregor", Kind::Gregor, Kind::Gregor);
}

#[test]
fn a_move_that_a_java_controller_began_is_finished_by_gregor() {
    a_move_is_finished("move-java-gregor", Kind::Reference, Kind::Gregor);
}

#[test]
fn a_move_that_gregor_began_is_finished_by_a_java_controller() {
    a_move_is_finished("move-gregor-java", Kind::Gregor, Kind::Reference);
}

/// Topic t has a replica on broker 1, which deletes it for the first controller, and one on broker 2.
fn a_deletion_is_finished(name: &str, first: Kind, second: Kind) {
    if !have(&NEEDS) {
        return;
    }
    let mut brokers = Succession::start(name, first, second);
    let connect = brokers.connect.clone();
    create(&connect, "t", "1:2");
    wait_for_leader(&brokers.third, "t", 0, 1);
    brokers.stand_still();
    delete(&connect, "t");
    wait_until_replica_gone(&brokers.second, "t", 0);
    brokers.take_over();
    for path in ["/brokers/topics/t", "/admin/delete_topics/t"] {
        assert!(znodes::node(&connect, path).is_some(), "{path} is gone");
    }
    assert!(has_replica(&brokers.third, "t", 0));

    brokers.finish(|| wait_until_deleted(&connect, "t", &[&brokers.second, &brokers.third]));
}

#[test]
fn a_deletion_is_finished_by_the_next_controller() {
    a_deletion_is_finished("deletion-gregor-gregor", Kind::Gregor, Kind::Gregor);
}

#[test]
fn a_deletion_that_a_java_controller_began_is_finished_by_gregor() {
    a_deletion_is_finished("deletion-java-gregor", Kind::Reference, Kind::Gregor);
}

#[test]
fn a_deletion_that_gregor_began_is_finished_by_a_java_controller() {
    a_deletion_is_finished("deletion-gregor-java", Kind::Gregor, Kind::Reference);
}

/// Partition 0 of topic t is led by broker 2, which it does not prefer any more.
#[test]
fn what_was_wanted_while_nobody_was_controller_is_done() {
    if !have(&NEEDS) {
        return;
    }
    let mut brokers = Succession::start("wanted-meanwhile", Kind::Gregor, Kind::Gregor);
    let connect = brokers.connect.clone();
    create(&connect, "t", "2:1");
    wait_for_state(&connect, "t", 0, |state| state["isr"] == json!([2, 1]));
    // Only the order changes: nobody is elected.
    znodes::put(
        &connect,
        "/admin/reassign_partitions",
        &wanted(&[("t", 0, &[1, 2])]).to_string(),
    );
    wait_until_gone(&connect, "/admin/reassign_partitions");
    let before = state(&connect, "t", 0).unwrap();
    assert_eq!((&before["leader"], &before["isr"]), (&json!(2), &json!([2, 1])));
    brokers.stand_still();
    let election = "/admin/preferred_replica_election";
    brokers.take_over_after(|| {
        let wish = r#"{"version":1,"partitions":[{"topic":"t","partition":0}]}"#;
        znodes::put(&connect, election, wish);
        add_partitions(&connect, "t", "2");
        assert_eq!(state(&connect, "t", 0).unwrap(), before);
        assert_eq!(state(&connect, "t", 1), None);
    });

    // Which one the tool makes first depends on whether broker 0 was still registered.
    let replicas = content(&connect, "/brokers/topics/t").unwrap()["partitions"]["1"].clone();
    let [first, _]: [i32; 2] = serde_json::from_value(replicas).unwrap();
    brokers.finish(|| {
        wait_until_gone(&connect, election);
        let elected = state(&connect, "t", 0).unwrap();
        assert_eq!(
            (&elected["leader"], &elected["controller_epoch"]),
            (&json!(1), &json!(2))
        );
        wait_for_leader(&brokers.third, "t", 0, 1);
        for broker in [&brokers.second, &brokers.third] {
            wait_for_leader(broker, "t", 1, first);
        }
    });
}
