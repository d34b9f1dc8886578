use super::*;
use crate::client::fake::Fake;
use crate::client::fake::TOPIC;

fn config(start: OffsetSpec) -> Config {
    Config {
        start,
        max_wait: Duration::from_millis(10),
        fetch_bytes: 200,
        fetch_bytes_max: 6400,
        request_timeout: Duration::from_secs(10),
        metadata_age_max: Duration::from_secs(600),
        retry: Retry {
            retries: 5,
            backoff: Duration::from_millis(1),
        },
    }
}

async fn open(brokers: &Fake, start: OffsetSpec) -> SimpleConsumer {
    SimpleConsumer::open(brokers.cluster().await, TOPIC, config(start))
        .await
        .unwrap()
}

/// Partition, offset and value of so many messages, in the order of their offsets.
async fn read(consumer: &mut SimpleConsumer, count: usize) -> Vec<(i32, i64, String)> {
    let mut records = Vec::new();
    while records.len() < count {
        let polled = tokio::time::timeout(Duration::from_secs(10), consumer.poll()).await;
        let polled = polled.expect("the messages come in time").unwrap();
        let text = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        records.extend(
            polled
                .into_iter()
                .map(|record| (record.partition, record.offset, text(record.value))),
        );
    }
    records.sort();
    records
}

fn expected(list: &[(i32, i64, &str)]) -> Vec<(i32, i64, String)> {
    list.iter()
        .map(|(partition, offset, value)| (*partition, *offset, (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn all_partitions_are_read_from_the_beginning_or_from_the_end() {
    let brokers = Fake::start(2).await;
    brokers.append(0, b"a");
    brokers.append(1, b"b");
    let mut all = open(&brokers, OffsetSpec::Earliest).await;
    let mut new = open(&brokers, OffsetSpec::Latest).await;
    brokers.append(0, b"c");
    assert_eq!(
        read(&mut all, 3).await,
        expected(&[(0, 0, "a"), (0, 1, "c"), (1, 0, "b")])
    );
    assert_eq!(read(&mut new, 1).await, expected(&[(0, 1, "c")]));
}

#[tokio::test]
async fn many_messages_come_in_order_and_none_twice() {
    let brokers = Fake::start(1).await;
    for number in 0..100 {
        brokers.append(0, number.to_string().as_bytes());
    }
    let mut consumer = open(&brokers, OffsetSpec::Earliest).await;
    let offsets: Vec<i64> = read(&mut consumer, 100)
        .await
        .into_iter()
        .map(|(_, offset, _)| offset)
        .collect();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_leader_that_moves_is_followed() {
    let brokers = Fake::start(1).await;
    brokers.append(0, b"a");
    let mut consumer = open(&brokers, OffsetSpec::Earliest).await;
    assert_eq!(read(&mut consumer, 1).await, expected(&[(0, 0, "a")]));
    brokers.state().leaders.insert(0, None);
    let nothing = tokio::time::timeout(Duration::from_millis(50), consumer.poll()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    brokers.state().leaders.insert(0, Some(BrokerId(1)));
    brokers.append(0, b"b");
    assert_eq!(read(&mut consumer, 1).await, expected(&[(0, 1, "b")]));
}

#[tokio::test]
async fn a_position_that_is_gone_is_looked_up_again() {
    let brokers = Fake::start(1).await;
    let mut consumer = open(&brokers, OffsetSpec::Earliest).await;
    for value in ["a", "b", "c"] {
        brokers.append(0, value.as_bytes());
    }
    // Retention has taken the first two.
    brokers.state().logs.get_mut(&0).unwrap().start = 2;
    assert_eq!(read(&mut consumer, 1).await, expected(&[(0, 2, "c")]));
}

#[tokio::test]
async fn new_partitions_are_read_from_their_beginning() {
    let brokers = Fake::start(1).await;
    let mut consumer = open(&brokers, OffsetSpec::Latest).await;
    brokers.state().leaders.insert(1, Some(BrokerId(1)));
    brokers.append(1, b"new");
    consumer.refresh_at = Instant::now();
    assert_eq!(read(&mut consumer, 1).await, expected(&[(1, 0, "new")]));
}

#[tokio::test]
async fn a_large_message_makes_larger_fetches_up_to_a_limit() {
    let brokers = Fake::start(1).await;
    brokers.append(0, &[b'x'; 3174]);
    brokers.append(0, b"small");
    let mut consumer = open(&brokers, OffsetSpec::Earliest).await;
    assert_eq!(read(&mut consumer, 2).await.len(), 2);
    assert_eq!(brokers.state().fetch_sizes[..6], [200, 400, 800, 1600, 3200, 200]);
    brokers.append(0, &[b'x'; 6400]);
    let error = loop {
        match consumer.poll().await {
            Ok(records) => assert_eq!(records, []),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            Error::TooLarge {
                offset: 2,
                limit: 6400,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_topic_that_cannot_be_read_is_an_error() {
    let brokers = Fake::start(1).await;
    brokers.state().topic_errors.extend([ErrorCode::InvalidTopic; 9]);
    let start = config(OffsetSpec::Earliest);
    let error = SimpleConsumer::open(brokers.cluster().await, TOPIC, start)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Topic {
                code: ErrorCode::InvalidTopic,
                ..
            }
        ),
        "{error}"
    );
}
