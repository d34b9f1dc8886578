//! Watches: the value now, and after every change.

use std::collections::BTreeMap;
use std::time::Duration;

use gregor::zookeeper::Assignment;
use gregor::zookeeper::Error;
use zookeeper_client::Acls;
use zookeeper_client::CreateMode;

use super::Corner;
use super::against_both_releases;
use super::config;
use super::current;
use super::ids;
use super::put;
use super::soon;
use crate::support::zookeeper::Version;

against_both_releases!(
    children_that_come_and_go_are_seen,
    content_that_comes_changes_and_goes_is_seen,
    the_last_of_many_changes_is_never_missed,
    changes_during_a_broken_connection_are_seen,
    a_dropped_wait_loses_nothing,
    a_dropped_wait_for_config_changes_loses_nothing,
    something_corrupt_is_told_once_and_survived,
);

async fn children_that_come_and_go_are_seen(version: Version) {
    let corner = Corner::new(version, "watched-children");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    // The parent does not even exist yet.
    let mut topics = store.watch_topics();
    assert_eq!(topics.next().await.unwrap(), Vec::<String>::new());
    put(&client, "/brokers/topics/a", "").await;
    while soon("a", topics.next()).await.unwrap() != ["a"] {}
    for step in 0..20 {
        put(&client, "/brokers/topics/b", "").await;
        assert_eq!(
            soon("b came", topics.next()).await.unwrap(),
            ["a", "b"],
            "step {step}"
        );
        client.delete("/brokers/topics/b", None).await.unwrap();
        assert_eq!(soon("b went", topics.next()).await.unwrap(), ["a"], "step {step}");
    }
    sessions.close().await;
    assert!(matches!(
        soon("the end", topics.next()).await,
        Err(Error::SessionLost)
    ));
}

async fn content_that_comes_changes_and_goes_is_seen(version: Version) {
    let corner = Corner::new(version, "watched-content");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let mut watched = store.watch_assignment("t");
    assert_eq!(watched.next().await.unwrap(), None);
    store
        .create_topic("t", &Assignment::new(), &config(&[]))
        .await
        .unwrap();
    assert_eq!(
        soon("it came", watched.next()).await.unwrap(),
        Some(Assignment::new())
    );
    for replica in 0..20 {
        let data = format!(r#"{{"version":1,"partitions":{{"0":[{replica}]}}}}"#);
        client
            .set_data("/brokers/topics/t", data.as_bytes(), None)
            .await
            .unwrap();
        let expected = Assignment::from([(0, ids(&[replica]))]);
        assert_eq!(soon("it changed", watched.next()).await.unwrap(), Some(expected));
    }
    client.delete("/brokers/topics/t", None).await.unwrap();
    assert_eq!(soon("it went", watched.next()).await.unwrap(), None);
    sessions.close().await;
}

async fn the_last_of_many_changes_is_never_missed(version: Version) {
    let corner = Corner::new(version, "watched-burst");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    put(&client, "/brokers/topics/t", r#"{"partitions":{}}"#).await;
    let mut watched = store.watch_assignment("t");
    let writes = async {
        for replica in 0..500 {
            let data = format!(r#"{{"partitions":{{"0":[{replica}]}}}}"#);
            client
                .set_data("/brokers/topics/t", data.as_bytes(), None)
                .await
                .unwrap();
        }
    };
    let reads = async {
        let mut seen = -1;
        while seen < 499 {
            let assignment = watched.next().await.unwrap().unwrap();
            let now = assignment.get(&0).map_or(-1, |replicas| replicas[0].0);
            assert!(now >= seen, "back in time from {seen} to {now}");
            seen = now;
        }
    };
    soon("the last change", async { tokio::join!(writes, reads) }).await;
    sessions.close().await;
}

async fn changes_during_a_broken_connection_are_seen(version: Version) {
    let corner = Corner::new(version, "watched-broken");
    let client = corner.client().await;
    put(&client, "/brokers/topics/a", "").await;
    let (proxy, sessions) = corner.fragile_sessions().await;
    let store = current(&sessions).await;
    let mut topics = store.watch_topics();
    let mut content = store.watch_assignment("b");
    assert_eq!(topics.next().await.unwrap(), ["a"]);
    assert_eq!(content.next().await.unwrap(), None);
    proxy.cut();
    put(&client, "/brokers/topics/b", r#"{"partitions":{"3":[4]}}"#).await;
    proxy.mend();
    assert_eq!(soon("b", topics.next()).await.unwrap(), ["a", "b"]);
    let expected = Assignment::from([(3, ids(&[4]))]);
    assert_eq!(soon("b's content", content.next()).await.unwrap(), Some(expected));
    assert_eq!(
        current(&sessions).await.session_id(),
        store.session_id(),
        "the session is the same"
    );
    sessions.close().await;
}

async fn a_dropped_wait_loses_nothing(version: Version) {
    let corner = Corner::new(version, "watched-dropped");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    put(&client, "/brokers/topics/a", "").await;
    let mut topics = store.watch_topics();
    assert_eq!(topics.next().await.unwrap(), ["a"]);
    for number in 0..30 {
        // Gives up at every stage: before the change, while it arrives, while it is read.
        let change = put(&client, "/brokers/topics/b", "");
        let mut seen = None;
        tokio::join!(change, async {
            let limit = Duration::from_micros(number * 100);
            seen = tokio::time::timeout(limit, topics.next()).await.ok();
        });
        let topics_now = match seen {
            Some(topics) => topics.unwrap(),
            None => soon("b", topics.next()).await.unwrap(),
        };
        assert_eq!(topics_now, ["a", "b"], "{number}");
        client.delete("/brokers/topics/b", None).await.unwrap();
        assert_eq!(soon("b went", topics.next()).await.unwrap(), ["a"]);
    }
    sessions.close().await;
}

async fn something_corrupt_is_told_once_and_survived(version: Version) {
    let corner = Corner::new(version, "watched-corrupt");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    let mut controller = store.watch_controller();
    assert_eq!(controller.next().await.unwrap(), None);
    put(&client, "/controller", "junk").await;
    assert!(matches!(
        soon("junk", controller.next()).await,
        Err(Error::Corrupt { .. })
    ));
    put(
        &client,
        "/controller",
        r#"{"version":1,"brokerid":4,"timestamp":"1"}"#,
    )
    .await;
    assert_eq!(soon("4", controller.next()).await.unwrap().unwrap().id.0, 4);

    let mut changes = store.watch_config_changes();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    put(&client, "/config/changes/config_change_0000000001", "\"t\"").await;
    let unreadable = "/config/changes/config_change_0000000002";
    client.create(unreadable, &[0xff, 0xfe], &options).await.unwrap();
    put(&client, "/config/changes/config_change_0000000003", "\"u\"").await;
    let topics: Vec<_> = changes
        .next()
        .await
        .unwrap()
        .into_iter()
        .map(|change| change.topic)
        .collect();
    assert_eq!(topics, ["t", "u"]);
    assert_eq!(store.topic_config("t").await.unwrap(), BTreeMap::new());
    sessions.close().await;
}

async fn a_dropped_wait_for_config_changes_loses_nothing(version: Version) {
    let corner = Corner::new(version, "watched-dropped-changes");
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    store.create_common_paths().await.unwrap();
    let mut changes = store.watch_config_changes();
    assert_eq!(changes.next().await.unwrap(), []);
    for number in 0..30 {
        let topic = format!("t{number}");
        store.change_topic_config(&topic, &config(&[])).await.unwrap();
        // Gives up while the names are read, and while the notifications are.
        let limit = Duration::from_micros(number * 50);
        let seen = match tokio::time::timeout(limit, changes.next()).await {
            Ok(changes) => changes,
            Err(_) => soon("the notification", changes.next()).await,
        };
        let topics: Vec<_> = seen.unwrap().into_iter().map(|change| change.topic).collect();
        assert_eq!(topics, [topic]);
    }
    sessions.close().await;
}
