//! Every operation of a store.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::SystemTime;

use gregor::shutdown::Trigger;
use gregor::types::BrokerId;
use gregor::types::TopicPartition;
use gregor::zookeeper::Assignment;
use gregor::zookeeper::ControllerRegistration;
use gregor::zookeeper::Election;
use gregor::zookeeper::Error;
use gregor::zookeeper::LivePartition;
use gregor::zookeeper::Role;
use gregor::zookeeper::SessionId;
use gregor::zookeeper::Sessions;
use gregor::zookeeper::Versioned;
use gregor::zookeeper::Waiting;
use zookeeper_client::Acl;
use zookeeper_client::Acls;
use zookeeper_client::AuthId;
use zookeeper_client::Client;
use zookeeper_client::CreateMode;
use zookeeper_client::Permission;

use super::Corner;
use super::against_both_releases;
use super::broker;
use super::config;
use super::current;
use super::gone;
use super::ids;
use super::partition;
use super::put;
use super::soon;
use super::start;
use super::state;
use super::text;
use crate::support::zookeeper::Version;

against_both_releases!(
    the_common_paths_are_made_sure_of,
    a_broker_registers_as_the_reference_does,
    a_registration_that_nobody_understands_hides_no_other,
    an_id_that_is_taken_is_refused_with_its_holder,
    a_dead_session_of_the_same_broker_is_waited_out,
    one_broker_is_elected,
    an_election_does_not_believe_an_old_session,
    controller_epochs_are_given_once,
    partition_states_are_created_once,
    partition_states_are_changed_at_their_version_only,
    thousands_of_partition_states_keep_their_order,
    wishes_are_read_and_taken_away,
    a_deleted_topic_leaves_nothing,
    many_changes_share_transactions,
    many_deletions_share_transactions,
    topics_have_assignments_and_settings,
    config_changes_come_in_order_and_once,
    what_is_served_shows_and_vanishes,
    offsets_of_groups_are_kept,
    what_others_wrote_badly_is_corrupt,
    credentials_that_are_refused_end_the_first_connect,
    secured_nodes_are_ours,
);

async fn the_common_paths_are_made_sure_of(version: Version) {
    let corner = Corner::new(version, "common");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    store.create_common_paths().await.unwrap();
    store.create_common_paths().await.unwrap();

    let client = corner.client().await;
    let mut created = Vec::new();
    for path in [
        "/consumers",
        "/brokers",
        "/brokers/ids",
        "/brokers/topics",
        "/config",
        "/config/changes",
        "/config/topics",
        "/admin",
        "/admin/delete_topics",
    ] {
        let (data, stat) = client.get_data(path).await.unwrap();
        assert_eq!((data.len(), stat.ephemeral_owner), (0, 0), "{path}");
        let (acl, _) = client.get_acl(path).await.unwrap();
        assert_eq!(acl, [Acl::new(Permission::ALL, AuthId::anyone())], "{path}");
        created.push(stat.czxid);
    }
    assert!(
        created.is_sorted(),
        "created in the reference's order: {created:?}"
    );
    sessions.close().await;
}

async fn a_broker_registers_as_the_reference_does(version: Version) {
    let corner = Corner::new(version, "register");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let mut watched = store.watch_broker_ids();
    assert_eq!(soon("nobody", watched.next()).await.unwrap(), []);

    let me = broker(7, "kafka.example", 9999);
    let registered = store
        .register_broker(&me, |_| panic!("nothing to wait for"))
        .await
        .unwrap();
    assert_eq!(registered.waited, Duration::ZERO);
    // Once more in the same session, and with something new to say.
    store
        .register_broker(&me, |_| panic!("it is ours"))
        .await
        .unwrap();
    let moved = broker(7, "elsewhere.example", 9998);
    store
        .register_broker(&moved, |_| panic!("it is ours"))
        .await
        .unwrap();
    store
        .register_broker(&me, |_| panic!("it is ours"))
        .await
        .unwrap();

    let client = corner.client().await;
    assert_eq!(
        text(&client, "/brokers/ids/7").await,
        r#"{"jmx_port":-1,"timestamp":"1795368446749","host":"kafka.example","version":1,"port":9999}"#
    );
    let (_, stat) = client.get_data("/brokers/ids/7").await.unwrap();
    assert_eq!(SessionId(stat.ephemeral_owner), store.session_id());
    assert_eq!(store.brokers().await.unwrap(), std::slice::from_ref(&me));
    assert_eq!(store.broker(BrokerId(7)).await.unwrap(), Some(me));
    assert_eq!(store.broker(BrokerId(8)).await.unwrap(), None);
    assert_eq!(soon("us", watched.next()).await.unwrap(), ids(&[7]));

    sessions.close().await;
    assert!(
        client.check_stat("/brokers/ids/7").await.unwrap().is_none(),
        "gone at once"
    );
}

async fn a_registration_that_nobody_understands_hides_no_other(version: Version) {
    let corner = Corner::new(version, "poisoned");
    let client = corner.client().await;
    put(
        &client,
        "/brokers/ids/1",
        r#"{"host":"a","port":4294967296,"version":1}"#,
    )
    .await;
    put(
        &client,
        "/brokers/ids/2",
        r#"{"host":"b","port":92,"version":2,"timestamp":17,"more":[1.5]}"#,
    )
    .await;
    put(&client, "/brokers/ids/3", "junk").await;
    put(&client, "/brokers/ids/10", r#" { "port" : 93, "host" : "c" } "#).await;
    put(&client, "/brokers/ids/11", "").await;
    put(&client, "/brokers/ids/x", "").await;

    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let found: Vec<_> = store
        .brokers()
        .await
        .unwrap()
        .into_iter()
        .map(|b| (b.id.0, b.host, b.port, b.timestamp))
        .collect();
    let expected = [
        (2, "b".to_owned(), 92, String::new()),
        (10, "c".to_owned(), 93, String::new()),
    ];
    assert_eq!(found, expected);
    assert!(
        matches!(store.broker(BrokerId(1)).await, Err(Error::Corrupt { path, .. }) if path == "/brokers/ids/1")
    );
    sessions.close().await;
}

async fn an_id_that_is_taken_is_refused_with_its_holder(version: Version) {
    let corner = Corner::new(version, "taken");
    let (first, second) = (corner.sessions().await, corner.sessions().await);
    let (owner, rival) = (current(&first).await, current(&second).await);
    owner
        .register_broker(&broker(1, "one", 9092), |_| ())
        .await
        .unwrap();

    let refused = rival
        .register_broker(&broker(1, "two", 9092), |_| panic!("no reason to wait"))
        .await;
    let Err(Error::BrokerIdTaken {
        id,
        host,
        port,
        timestamp,
        session,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((id, host.as_str(), port), (1, "one", 9092));
    assert_eq!(
        (timestamp.as_str(), session),
        ("1795368446749", owner.session_id())
    );
    assert!(
        rival
            .register_broker(&broker(1, "one", 9093), |_| ())
            .await
            .is_err(),
        "another port"
    );

    // A node that never goes away is not waited for.
    put(
        &corner.client().await,
        "/brokers/ids/5",
        r#"{"host":"one","port":9092}"#,
    )
    .await;
    let refused = rival.register_broker(&broker(5, "one", 9092), |_| ()).await;
    assert!(matches!(refused, Err(Error::BrokerIdTaken { .. })), "{refused:?}");
    first.close().await;
    rival
        .register_broker(&broker(1, "two", 9092), |_| ())
        .await
        .unwrap();
    second.close().await;
}

async fn a_dead_session_of_the_same_broker_is_waited_out(version: Version) {
    let corner = Corner::new(version, "restart");
    let (proxy, before) = corner.fragile_sessions().await;
    let me = broker(1, "one", 9092);
    let old = current(&before).await;
    old.register_broker(&me, |_| ()).await.unwrap();
    proxy.cut();

    let after = corner.sessions().await;
    let store = current(&after).await;
    let mut heard: Vec<Waiting> = Vec::new();
    let registered = soon(
        "the id is free",
        store.register_broker(&me, |waiting| heard.push(waiting)),
    )
    .await;
    assert!(registered.unwrap().waited > Duration::from_millis(500));
    assert!(!heard.is_empty());
    assert!(heard.iter().all(|waiting| waiting.session == old.session_id()));
    assert!(
        heard.is_sorted_by(|a, b| a.remaining > b.remaining),
        "a countdown: {heard:?}"
    );
    let (_, stat) = corner.client().await.get_data("/brokers/ids/1").await.unwrap();
    assert_eq!(SessionId(stat.ephemeral_owner), store.session_id());
    after.close().await;
    before.close().await;
}

async fn one_broker_is_elected(version: Version) {
    let corner = Corner::new(version, "election");
    let (first, second) = (corner.sessions().await, corner.sessions().await);
    let (one, two) = (current(&first).await, current(&second).await);
    let mut watched = two.watch_controller();
    assert_eq!(watched.next().await.unwrap(), None);
    assert_eq!(one.controller().await.unwrap(), None);

    let electing = tokio::spawn({
        let one = one.clone();
        async move { one.try_elect(BrokerId(1)).await }
    });
    assert_eq!(electing.await.unwrap().unwrap(), Election::Elected);
    assert_eq!(
        two.try_elect(BrokerId(2)).await.unwrap(),
        Election::Other(BrokerId(1))
    );
    assert_eq!(one.try_elect(BrokerId(1)).await.unwrap(), Election::Elected);
    let controller = |id, session| {
        Some(ControllerRegistration {
            id: BrokerId(id),
            session,
        })
    };
    assert_eq!(two.controller().await.unwrap(), controller(1, one.session_id()));
    assert_eq!(
        soon("1", watched.next()).await.unwrap(),
        controller(1, one.session_id())
    );
    let written = text(&corner.client().await, "/controller").await;
    let digits = written
        .strip_prefix(r#"{"version":1,"brokerid":1,"timestamp":""#)
        .and_then(|rest| rest.strip_suffix(r#""}"#));
    assert!(
        digits.is_some_and(|digits| digits.len() == 13 && digits.parse::<i64>().is_ok()),
        "{written}"
    );

    first.close().await;
    while let Some(controller) = soon("nobody", watched.next()).await.unwrap() {
        assert_eq!(controller.id, BrokerId(1));
    }
    assert_eq!(two.try_elect(BrokerId(2)).await.unwrap(), Election::Elected);
    assert_eq!(
        soon("2", watched.next()).await.unwrap(),
        controller(2, two.session_id())
    );

    // What releases before 0.8 wrote.
    let client = corner.client().await;
    client.set_data("/controller", b"17", None).await.unwrap();
    assert_eq!(two.controller().await.unwrap(), controller(17, two.session_id()));
    second.close().await;
}

async fn an_election_does_not_believe_an_old_session(version: Version) {
    let corner = Corner::new(version, "stale-controller");
    let (proxy, before) = corner.fragile_sessions().await;
    let old = current(&before).await;
    assert_eq!(old.try_elect(BrokerId(1)).await.unwrap(), Election::Elected);
    proxy.cut();

    let after = corner.sessions().await;
    let store = current(&after).await;
    assert_eq!(
        store.controller().await.unwrap().unwrap().session,
        old.session_id()
    );
    assert_eq!(
        soon("elected", store.try_elect(BrokerId(1))).await.unwrap(),
        Election::Elected
    );
    assert_eq!(
        store.controller().await.unwrap().unwrap().session,
        store.session_id()
    );
    after.close().await;
    before.close().await;
}

async fn controller_epochs_are_given_once(version: Version) {
    let corner = Corner::new(version, "epochs");
    let (first, second) = (corner.sessions().await, corner.sessions().await);
    let (one, two) = (current(&first).await, current(&second).await);
    assert_eq!(one.controller_epoch().await.unwrap(), None);
    let mut given = BTreeSet::new();
    let mut conflicts = 0;
    for _ in 0..50 {
        let (a, b) = tokio::join!(one.next_controller_epoch(), two.next_controller_epoch());
        for epoch in [a, b] {
            match epoch {
                Ok(epoch) => assert!(given.insert(epoch.value), "{epoch:?} is given twice"),
                Err(Error::Conflict { .. }) => conflicts += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(conflicts > 0, "none of 50 races was lost");
    assert_eq!(given, (1..=i32::try_from(given.len()).unwrap()).collect());
    let last = *given.last().unwrap();
    let read = one.controller_epoch().await.unwrap();
    assert_eq!(
        read,
        Some(Versioned {
            value: last,
            version: last - 1
        })
    );
    let next = two.next_controller_epoch().await.unwrap();
    assert_eq!(
        next,
        Versioned {
            value: last + 1,
            version: last
        }
    );
    assert_eq!(
        text(&corner.client().await, "/controller_epoch").await,
        (last + 1).to_string()
    );
    first.close().await;
    second.close().await;
}

async fn partition_states_are_created_once(version: Version) {
    let corner = Corner::new(version, "new-states");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let t0 = partition("t", 0);
    assert_eq!(store.partition_state(&t0).await.unwrap(), None);
    // A topic that was deleted a moment ago does not come back by its partitions.
    let topicless = store.create_partition_state(&t0, &state(1, 0, &[1, 2])).await;
    assert!(matches!(topicless, Err(Error::NotFound { .. })), "{topicless:?}");
    put(&corner.client().await, "/brokers/topics/t", "").await;
    store
        .create_partition_state(&t0, &state(1, 0, &[1, 2]))
        .await
        .unwrap();
    // Told again, it may be the answer that got lost; told otherwise, somebody else was first.
    store
        .create_partition_state(&t0, &state(1, 0, &[1, 2]))
        .await
        .unwrap();
    let refused = store.create_partition_state(&t0, &state(2, 0, &[2])).await;
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");

    let found = store.partition_state(&t0).await.unwrap();
    assert_eq!(
        found,
        Some(Versioned {
            value: state(1, 0, &[1, 2]),
            version: 0
        })
    );
    assert_eq!(
        text(&corner.client().await, "/brokers/topics/t/partitions/0/state").await,
        r#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1,2]}"#
    );
    sessions.close().await;
}

async fn partition_states_are_changed_at_their_version_only(version: Version) {
    let corner = Corner::new(version, "states");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let t0 = partition("t", 0);
    put(&corner.client().await, "/brokers/topics/t", "").await;
    store
        .create_partition_state(&t0, &state(1, 0, &[1, 2]))
        .await
        .unwrap();
    assert_eq!(
        store
            .set_partition_state(&t0, &state(1, 1, &[1, 2]), 0)
            .await
            .unwrap(),
        1
    );
    // Exactly this is there already, so the write counts, whatever the version.
    assert_eq!(
        store
            .set_partition_state(&t0, &state(1, 1, &[1, 2]), 0)
            .await
            .unwrap(),
        1
    );
    for other in [
        state(1, 1, &[2, 1]),
        state(1, 2, &[1, 2]),
        state(2, 1, &[1, 2]),
        state(1, 1, &[1]),
    ] {
        let lost = store.set_partition_state(&t0, &other, 0).await;
        assert!(matches!(lost, Err(Error::Conflict { .. })), "{other:?}: {lost:?}");
    }
    let mut leaderless = state(1, 3, &[]);
    leaderless.leader = None;
    assert_eq!(store.set_partition_state(&t0, &leaderless, 1).await.unwrap(), 2);
    let path = "/brokers/topics/t/partitions/0/state";
    let client = corner.client().await;
    assert_eq!(
        text(&client, path).await,
        r#"{"controller_epoch":1,"leader":-1,"version":1,"leader_epoch":3,"isr":[]}"#
    );
    assert_eq!(
        store.partition_state(&t0).await.unwrap().unwrap().value,
        leaderless
    );

    client.delete(path, None).await.unwrap();
    let missing = store.set_partition_state(&t0, &leaderless, 2).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    sessions.close().await;
}

async fn thousands_of_partition_states_keep_their_order(version: Version) {
    let corner = Corner::new(version, "many-states");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let client = corner.client().await;
    for topic in ["/brokers/topics/a", "/brokers/topics/b"] {
        put(&client, topic, "").await;
    }
    let epoch = store.next_controller_epoch().await.unwrap();
    let partitions: Vec<TopicPartition> = ["a", "b"]
        .iter()
        .flat_map(|topic| (0..1000).map(|number| partition(topic, number)))
        .collect();
    let new: Vec<_> = partitions
        .iter()
        .map(|p| (p.clone(), state(p.partition, 0, &[1])))
        .collect();
    for created in soon("created", store.create_partition_states(&new)).await {
        created.unwrap();
    }
    let changed: Vec<_> = partitions
        .iter()
        .map(|p| {
            (
                p.clone(),
                Versioned {
                    value: state(p.partition, 1, &[1]),
                    version: p.partition % 2,
                },
            )
        })
        .collect();
    let results = soon("changed", store.decide_partition_states(&changed, epoch.version)).await;
    for ((partition, _), result) in changed.iter().zip(results) {
        match result {
            Ok(version) => assert_eq!((version, partition.partition % 2), (1, 0)),
            Err(Error::Conflict { .. }) => assert_eq!(partition.partition % 2, 1),
            Err(error) => panic!("{error}"),
        }
    }
    let found = soon("read", store.partition_states(&partitions)).await;
    assert_eq!(found.len(), partitions.len());
    for (partition, found) in partitions.iter().zip(found) {
        assert_eq!(
            found.unwrap().unwrap().value.leader,
            Some(BrokerId(partition.partition))
        );
    }

    // Whoever is replaced decides nothing any more, whatever version it knows.
    let successor = store.next_controller_epoch().await.unwrap();
    let late = [(
        partition("a", 0),
        Versioned {
            value: state(7, 2, &[7]),
            version: 1,
        },
    )];
    let fenced = store.decide_partition_states(&late, epoch.version).await;
    assert!(
        matches!(fenced.as_slice(), [Err(Error::Fenced { .. })]),
        "{fenced:?}"
    );
    let decided = store.decide_partition_states(&late, successor.version).await;
    assert!(matches!(decided.as_slice(), [Ok(2)]), "{decided:?}");
    sessions.close().await;
}

async fn wishes_are_read_and_taken_away(version: Version) {
    let corner = Corner::new(version, "wishes");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let client = corner.client().await;
    assert_eq!(store.reassignments().await.unwrap(), BTreeMap::new());
    let wanted = BTreeMap::from([
        (partition("a", 0), ids(&[1, 2])),
        (partition("a", 1), ids(&[2, 3])),
    ]);
    store.request_reassignments(&wanted).await.unwrap();
    let again = store.request_reassignments(&wanted).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    let path = "/admin/reassign_partitions";
    assert_eq!(
        text(&client, path).await,
        concat!(
            r#"{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[1,2]},"#,
            r#"{"topic":"a","partition":1,"replicas":[2,3]}]}"#
        )
    );
    // One that asks for something else by now is not taken away.
    let settled = BTreeMap::from([
        (partition("a", 0), ids(&[1, 2])),
        (partition("a", 1), ids(&[3, 2])),
    ]);
    store.remove_reassignments(&settled).await.unwrap();
    assert_eq!(
        store.reassignments().await.unwrap(),
        BTreeMap::from([(partition("a", 1), ids(&[2, 3]))])
    );
    store.remove_reassignments(&wanted).await.unwrap();
    store.remove_reassignments(&wanted).await.unwrap();
    gone(&client, path).await;

    let mut elections = store.watch_preferred_elections();
    assert_eq!(soon("none", elections.next()).await.unwrap(), None);
    let elected = BTreeSet::from([partition("t1", 1), partition("zz", 0)]);
    store.request_preferred_elections(&elected).await.unwrap();
    assert_eq!(
        text(&client, "/admin/preferred_replica_election").await,
        r#"{"version":1,"partitions":[{"topic":"t1","partition":1},{"topic":"zz","partition":0}]}"#
    );
    assert_eq!(soon("two", elections.next()).await.unwrap(), Some(elected));
    for broken in [r#"{"version":1}"#, r#"{"partitions":[{"topic":"t"}]}"#, "x"] {
        put(&client, "/admin/preferred_replica_election", broken).await;
        let read = soon("broken", elections.next()).await;
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{broken}: {read:?}");
    }
    store.remove_preferred_elections().await.unwrap();
    assert_eq!(soon("none", elections.next()).await.unwrap(), None);
    sessions.close().await;
}

async fn a_deleted_topic_leaves_nothing(version: Version) {
    let corner = Corner::new(version, "deleted");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let client = corner.client().await;
    let assignment = BTreeMap::from([(0, ids(&[1])), (1, ids(&[1]))]);
    store
        .create_topic("t", &assignment, &BTreeMap::new())
        .await
        .unwrap();
    store
        .create_partition_state(&partition("t", 0), &state(1, 0, &[1]))
        .await
        .unwrap();
    // What nobody here writes goes, too.
    put(&client, "/brokers/topics/t/partitions/1/other", "x").await;
    store
        .create_topic("u", &assignment, &BTreeMap::new())
        .await
        .unwrap();
    for topic in ["t", "u"] {
        store.request_topic_deletion(topic).await.unwrap();
    }
    assert_eq!(
        store.topic_deletions().await.unwrap(),
        BTreeSet::from(["t".to_owned(), "u".to_owned()])
    );
    store.delete_topics(&["t", "u"]).await.unwrap();
    store.delete_topics(&["t", "u"]).await.unwrap();
    for topic in ["t", "u"] {
        for parent in ["/brokers/topics", "/config/topics", "/admin/delete_topics"] {
            let path = format!("{parent}/{topic}");
            assert_eq!(client.check_stat(&path).await.unwrap(), None, "{path}");
        }
    }
    assert!(store.topics().await.unwrap().is_empty());
    sessions.close().await;
}

/// How many transactions the server has seen, this question included.
async fn transactions(client: &Client) -> i64 {
    let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let (_, sequence) = client.create("/transactions-", b"", &options).await.unwrap();
    let path = format!("/transactions-{sequence}");
    client.check_stat(&path).await.unwrap().unwrap().czxid
}

/// Partitions of the topics whose transactions are counted.
const COUNTED: i32 = 500;

/// A topic of so many partitions with their states, on a server of its own: what others do would be counted, too.
async fn counted_topic(version: Version) -> (Corner, Sessions) {
    let corner = Corner::alone(version);
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let assignment = (0..COUNTED).map(|number| (number, ids(&[1]))).collect();
    store
        .create_topic("t", &assignment, &BTreeMap::new())
        .await
        .unwrap();
    let new: Vec<_> = (0..COUNTED)
        .map(|number| (partition("t", number), state(1, 0, &[1])))
        .collect();
    for created in soon("created", store.create_partition_states(&new)).await {
        created.unwrap();
    }
    (corner, sessions)
}

async fn many_changes_share_transactions(version: Version) {
    let (corner, sessions) = counted_topic(version).await;
    let (client, store) = (corner.client().await, current(&sessions).await);
    let epoch = store.next_controller_epoch().await.unwrap();
    let changed = |version: i32| -> Vec<_> {
        let value = state(1, version + 1, &[1]);
        let state = Versioned { value, version };
        (0..COUNTED)
            .map(|number| (partition("t", number), state.clone()))
            .collect()
    };

    let before = transactions(&client).await;
    for decided in soon(
        "decided",
        store.decide_partition_states(&changed(0), epoch.version),
    )
    .await
    {
        assert_eq!(decided.unwrap(), 1);
    }
    for written in soon("written", store.set_partition_states(&changed(1))).await {
        assert_eq!(written.unwrap(), 2);
    }
    let counted = transactions(&client).await - before;
    assert!(counted < 30, "{counted} for two changes of {COUNTED} partitions");

    // Somebody else's change concerns its own partition only, whether it is another one or the same.
    let path = |number: i32| format!("/brokers/topics/t/partitions/{number}/state");
    put(&client, &path(7), &state(9, 9, &[1]).encode()).await;
    put(&client, &path(8), &state(1, 3, &[1]).encode()).await;
    client.delete(&path(9), None).await.unwrap();
    let results = soon(
        "decided",
        store.decide_partition_states(&changed(2), epoch.version),
    )
    .await;
    for (number, result) in (0..COUNTED).zip(results) {
        match number {
            7 => assert!(matches!(result, Err(Error::Conflict { .. })), "{result:?}"),
            9 => assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}"),
            _ => assert_eq!(result.unwrap(), 3, "{number}"),
        }
    }
    sessions.close().await;
}

async fn many_deletions_share_transactions(version: Version) {
    let (corner, sessions) = counted_topic(version).await;
    let (client, store) = (corner.client().await, current(&sessions).await);
    let assignment = BTreeMap::from([(0, ids(&[1]))]);
    store
        .create_topic("u", &assignment, &BTreeMap::new())
        .await
        .unwrap();
    for topic in ["t", "u"] {
        store.request_topic_deletion(topic).await.unwrap();
    }
    // One that is gone already takes none of the others with it.
    client.delete("/config/topics/t", None).await.unwrap();
    let before = transactions(&client).await;
    soon("deleted", store.delete_topics(&["t", "u"])).await.unwrap();
    // Two nodes of each partition, and the topic's own.
    let counted = transactions(&client).await - before;
    assert!(counted < 50, "{counted} for {COUNTED} partitions");
    assert_eq!(client.list_children("/config/topics").await.unwrap(), [""; 0]);
    assert!(store.topics().await.unwrap().is_empty());
    assert!(store.topic_deletions().await.unwrap().is_empty());
    sessions.close().await;
}

async fn topics_have_assignments_and_settings(version: Version) {
    let corner = Corner::new(version, "topics");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    assert_eq!(store.topics().await.unwrap(), Vec::<String>::new());
    assert_eq!(store.assignment("t1").await.unwrap(), None);
    assert_eq!(store.topic_config("t1").await.unwrap(), BTreeMap::new());

    let assignment = Assignment::from([(0, ids(&[1, 3])), (1, ids(&[2, 1]))]);
    let overrides = config(&[
        ("max.message.bytes", "70000"),
        ("unclean.leader.election.enable", "false"),
    ]);
    store.create_topic("t1", &assignment, &overrides).await.unwrap();
    store
        .create_topic("a", &Assignment::from([(0, ids(&[1]))]), &config(&[]))
        .await
        .unwrap();
    let again = store.create_topic("t1", &Assignment::new(), &config(&[])).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");

    assert_eq!(store.topics().await.unwrap(), ["a", "t1"]);
    assert_eq!(store.assignment("t1").await.unwrap(), Some(assignment.clone()));
    assert_eq!(store.topic_config("t1").await.unwrap(), overrides);
    let names = ["t1", "none", "a"].map(String::from);
    let found: Vec<_> = store
        .assignments(&names)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        found,
        [Some(assignment), None, Some(Assignment::from([(0, ids(&[1]))]))]
    );
    let found: Vec<_> = store
        .topic_configs(&names)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(found, [overrides, config(&[]), config(&[])]);
    let client = corner.client().await;
    assert_eq!(
        text(&client, "/brokers/topics/t1").await,
        r#"{"version":1,"partitions":{"0":[1,3],"1":[2,1]}}"#
    );
    assert_eq!(
        text(&client, "/config/topics/t1").await,
        r#"{"version":1,"config":{"max.message.bytes":"70000","unclean.leader.election.enable":"false"}}"#
    );
    assert_eq!(
        text(&client, "/config/topics/a").await,
        r#"{"version":1,"config":{}}"#
    );
    sessions.close().await;
}

#[expect(clippy::disallowed_methods, reason = "the age of nodes, by their times")]
async fn config_changes_come_in_order_and_once(version: Version) {
    let corner = Corner::new(version, "changes");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    store.create_common_paths().await.unwrap();
    let topics: Vec<String> = (0..12).map(|number| format!("t{number}")).collect();
    for topic in &topics {
        store
            .change_topic_config(topic, &config(&[("segment.ms", "1")]))
            .await
            .unwrap();
    }
    let client = corner.client().await;
    assert_eq!(
        text(&client, "/config/changes/config_change_0000000003").await,
        "\"t3\""
    );
    // What 0.8.2.2 would skip, too.
    put(&client, "/config/changes/config_change_0000000100", "").await;
    put(&client, "/config/changes/else", "\"else\"").await;

    let mut changes = store.watch_config_changes();
    let pending = changes.next().await.unwrap();
    assert_eq!(
        pending
            .iter()
            .map(|change| change.topic.clone())
            .collect::<Vec<_>>(),
        topics
    );
    assert!(pending.iter().map(|change| change.number).eq(0..12));

    put(&client, "/config/changes/config_change_0000000101", "\"later\"").await;
    let added = soon("the new one", changes.next()).await.unwrap();
    assert_eq!(
        added
            .iter()
            .map(|change| change.topic.as_str())
            .collect::<Vec<_>>(),
        ["later"]
    );

    let names = || async { client.list_children("/config/changes").await.unwrap().len() };
    let age = |created: SystemTime| created.elapsed().unwrap_or_default();
    let minutes = |count: u64| Duration::from_secs(count * 60);
    store
        .purge_config_changes(|created| age(created) + minutes(14))
        .await
        .unwrap();
    assert_eq!(names().await, 15);
    store
        .purge_config_changes(|created| age(created) + minutes(16))
        .await
        .unwrap();
    assert_eq!(names().await, 1, "only what is no notification");
    assert_eq!(soon("nothing new", changes.next()).await.unwrap(), []);
    sessions.close().await;
}

async fn what_is_served_shows_and_vanishes(version: Version) {
    let corner = Corner::new(version, "live");
    let client = corner.client().await;
    let (first, second) = (corner.sessions().await, corner.sessions().await);
    let (store, other) = (current(&first).await, current(&second).await);
    let serves = |role, leader_epoch| LivePartition { role, leader_epoch };
    let mut live = BTreeMap::from([(0, serves(Role::Leader, 3)), (2, serves(Role::Follower, 1))]);
    store.set_live("t", BrokerId(1), &live).await.unwrap();
    assert_eq!(
        text(&client, "/brokers/live/t/1").await,
        r#"{"version":1,"partitions":{"0":{"role":"leader","leader_epoch":3},"2":{"role":"follower","leader_epoch":1}}}"#
    );
    live.remove(&2);
    store.set_live("t", BrokerId(1), &live).await.unwrap();
    assert_eq!(other.live("t", BrokerId(1)).await.unwrap(), Some(live.clone()));
    assert_eq!(other.live("t", BrokerId(2)).await.unwrap(), None);
    other.set_live("t", BrokerId(2), &live).await.unwrap();

    store.remove_live("t", BrokerId(1)).await.unwrap();
    store.remove_live("t", BrokerId(1)).await.unwrap();
    assert!(client.check_stat("/brokers/live/t/2").await.unwrap().is_some());
    other.remove_live("t", BrokerId(2)).await.unwrap();
    assert_eq!(
        client.list_children("/brokers/live").await.unwrap(),
        Vec::<String>::new()
    );

    // Left over from a session before: replaced, not written into, since it is about to vanish.
    other.set_live("t", BrokerId(1), &live).await.unwrap();
    store.set_live("t", BrokerId(1), &live).await.unwrap();
    let (_, stat) = client.get_data("/brokers/live/t/1").await.unwrap();
    assert_eq!(SessionId(stat.ephemeral_owner), store.session_id());
    first.close().await;
    gone(&client, "/brokers/live/t/1").await;
    second.close().await;
}

async fn offsets_of_groups_are_kept(version: Version) {
    let corner = Corner::new(version, "offsets");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let t0 = partition("t", 0);
    assert_eq!(store.fetch_offset("g", &t0).await.unwrap(), None);
    store.commit_offset("g", &t0, 50).await.unwrap();
    store.commit_offset("g", &t0, i64::MAX).await.unwrap();
    assert_eq!(store.fetch_offset("g", &t0).await.unwrap(), Some(i64::MAX));
    assert_eq!(
        text(&corner.client().await, "/consumers/g/offsets/t/0").await,
        i64::MAX.to_string()
    );

    let many: Vec<_> = (0..600)
        .map(|number| (partition("m", number), i64::from(number) * 3))
        .collect();
    for committed in store.commit_offsets("g", &many).await {
        committed.unwrap();
    }
    let partitions: Vec<_> = (0..601).map(|number| partition("m", number)).collect();
    let fetched: Vec<_> = store
        .fetch_offsets("g", &partitions)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let expected: Vec<_> = many
        .iter()
        .map(|(_, offset)| Some(*offset))
        .chain([None])
        .collect();
    assert_eq!(fetched, expected);
    // Names that ZooKeeper cannot have in a path.
    for group in ["", "a/../b", "a\0b"] {
        assert!(
            matches!(
                store.commit_offset(group, &t0, 1).await,
                Err(Error::Refused { .. })
            ),
            "{group:?}"
        );
    }
    sessions.close().await;
}

async fn what_others_wrote_badly_is_corrupt(version: Version) {
    let corner = Corner::new(version, "corrupt");
    let client = corner.client().await;
    put(
        &client,
        "/brokers/topics/t",
        r#"{"version":1,"partitions":{"0":[1,"x"]}}"#,
    )
    .await;
    put(&client, "/brokers/topics/empty", "").await;
    put(&client, "/config/topics/t", r#"{"version":2,"config":{}}"#).await;
    put(&client, "/config/topics/empty", "").await;
    put(&client, "/controller", r#"{"version":1}"#).await;
    put(&client, "/controller_epoch", "x").await;
    put(&client, "/consumers/g/offsets/t/0", "1.5").await;
    put(&client, "/consumers/g/offsets/t/1", "").await;
    put(&client, "/brokers/topics/t/partitions/0/state", "[]").await;
    put(&client, "/brokers/topics/t/partitions/1/state", "").await;

    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    assert!(matches!(store.assignment("t").await, Err(Error::Corrupt { .. })));
    assert_eq!(store.assignment("empty").await.unwrap(), None);
    assert!(matches!(
        store.topic_config("t").await,
        Err(Error::Corrupt { .. })
    ));
    assert_eq!(store.topic_config("empty").await.unwrap(), BTreeMap::new());
    assert!(matches!(store.controller().await, Err(Error::Corrupt { .. })));
    assert!(matches!(
        store.next_controller_epoch().await,
        Err(Error::Corrupt { .. })
    ));
    assert!(matches!(
        store.fetch_offset("g", &partition("t", 0)).await,
        Err(Error::Corrupt { .. })
    ));
    assert_eq!(store.fetch_offset("g", &partition("t", 1)).await.unwrap(), None);
    let states = store
        .partition_states(&[partition("t", 0), partition("t", 1)])
        .await;
    assert!(
        matches!(states[..], [Err(Error::Corrupt { .. }), Ok(None)]),
        "{states:?}"
    );
    sessions.close().await;
}

async fn credentials_that_are_refused_end_the_first_connect(version: Version) {
    let corner = Corner::new(version, "unknown-scheme");
    let mut settings = corner.config();
    settings.auth = Some(("nonsense".to_owned(), "kafka:secret".to_owned()));
    settings.connection_timeout = Duration::from_secs(60);
    let refused = soon("refused", Sessions::start(settings, Trigger::new().signal())).await;
    assert!(matches!(refused, Err(Error::Auth { .. })), "{refused:?}");
}

async fn secured_nodes_are_ours(version: Version) {
    let corner = Corner::new(version, "secured/inner");
    let mut settings = corner.config();
    settings.auth = Some(("digest".to_owned(), "kafka:secret".to_owned()));
    settings.set_acl = true;
    let sessions = start(settings.clone()).await;
    let store = current(&sessions).await;
    store.create_common_paths().await.unwrap();
    store
        .register_broker(&broker(1, "one", 9092), |_| ())
        .await
        .unwrap();
    store
        .create_topic("t", &Assignment::from([(0, ids(&[1]))]), &config(&[]))
        .await
        .unwrap();
    store
        .create_partition_state(&partition("t", 0), &state(1, 0, &[1]))
        .await
        .unwrap();
    store.next_controller_epoch().await.unwrap();
    store.commit_offset("g", &partition("t", 0), 1).await.unwrap();

    // Without credentials everything can be read, and only the consumers' tree can be written.
    let stranger = Client::connector()
        .with_server_version(3, 4, 6)
        .connect(&format!("{}/secured/inner", corner.server.address()))
        .await
        .unwrap();
    for path in [
        "/brokers",
        "/brokers/ids/1",
        "/brokers/topics/t",
        "/brokers/topics/t/partitions/0/state",
        "/config/topics/t",
        "/controller_epoch",
    ] {
        let (acl, _) = stranger.get_acl(path).await.unwrap();
        // 3.4.6 keeps them in no order.
        let rights = |scheme| acl.iter().find(|acl| acl.scheme() == scheme).map(Acl::permission);
        assert_eq!(
            (acl.len(), rights("digest")),
            (2, Some(Permission::ALL)),
            "{path}"
        );
        assert_eq!(rights("world"), Some(Permission::READ), "{path}");
        stranger.get_data(path).await.unwrap();
        assert_eq!(
            stranger.set_data(path, b"", None).await,
            Err(zookeeper_client::Error::NoAuth),
            "{path}"
        );
    }
    stranger
        .set_data("/consumers/g/offsets/t/0", b"7", None)
        .await
        .unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    stranger.create("/consumers/h", b"", &options).await.unwrap();
    assert_eq!(
        store.fetch_offset("g", &partition("t", 0)).await.unwrap(),
        Some(7)
    );

    for sessions in [sessions, start(settings).await] {
        current(&sessions).await.next_controller_epoch().await.unwrap();
        sessions.close().await;
    }
    // A broker without the credentials is told so.
    let without = corner.sessions().await;
    let refused = current(&without).await.next_controller_epoch().await;
    assert!(matches!(refused, Err(Error::Auth { .. })), "{refused:?}");
    without.close().await;
}
