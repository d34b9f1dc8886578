use super::*;
use crate::client::fake;
use crate::client::fake::Fake;
use crate::client::fake::TOPIC;

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn one_live_broker_is_enough() {
    let brokers = Fake::start(2).await;
    let dead = ("127.0.0.1".to_owned(), free_port().await);
    let cluster = Cluster::connect(fake::config(vec![dead, brokers.last_broker()]))
        .await
        .unwrap();
    let topic = cluster.refresh(TOPIC).await.unwrap();
    assert_eq!(
        topic.leaders,
        BTreeMap::from([(0, Some(BrokerId(0))), (1, Some(BrokerId(1)))])
    );
    let ports: Vec<i32> = brokers.state().brokers.iter().map(|broker| broker.port).collect();
    for (partition, port) in (0..).zip(ports) {
        let leader = cluster
            .leader(&TopicPartition::new(TOPIC, partition))
            .await
            .unwrap();
        assert_eq!(leader.endpoint().port, port);
    }
}

#[tokio::test]
async fn without_any_broker_each_is_told() {
    let dead = [free_port().await, free_port().await];
    let brokers = dead.map(|port| ("127.0.0.1".to_owned(), port)).to_vec();
    let text = Cluster::connect(fake::config(brokers))
        .await
        .unwrap_err()
        .to_string();
    for port in dead {
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    }
}

#[tokio::test]
async fn a_topic_that_is_gone_is_forgotten() {
    let brokers = Fake::start(1).await;
    let cluster = brokers.cluster().await;
    cluster.refresh(TOPIC).await.unwrap();
    assert!(cluster.known(TOPIC).is_some());
    brokers
        .state()
        .topic_errors
        .push_back(ErrorCode::UnknownTopicOrPartition);
    let error = cluster.refresh(TOPIC).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Topic {
                code: ErrorCode::UnknownTopicOrPartition,
                ..
            }
        ),
        "{error}"
    );
    assert!(cluster.known(TOPIC).is_none());
}

#[tokio::test]
async fn a_partition_without_leader_has_nobody_to_talk_to() {
    let brokers = Fake::start(1).await;
    brokers.state().leaders.insert(0, None);
    let cluster = brokers.cluster().await;
    cluster.refresh(TOPIC).await.unwrap();
    let error = cluster.leader(&TopicPartition::new(TOPIC, 0)).await.unwrap_err();
    assert!(matches!(error, Error::NoLeader { .. }), "{error}");
}
