use super::*;
use crate::client::fake::Fake;
use crate::client::fake::TOPIC;

fn config() -> Config {
    let retry = Retry {
        retries: 5,
        backoff: Duration::from_millis(1),
    };
    Config {
        acks: Acks::Leader,
        codec: Codec::None,
        batch_messages: 100,
        batch_bytes: 1 << 20,
        ack_timeout: Duration::from_secs(1),
        retry,
        topic_retry: retry,
    }
}

async fn open(brokers: &Fake, config: Config) -> Producer {
    Producer::open(brokers.cluster().await, TOPIC, config)
        .await
        .unwrap()
}

async fn send(producer: &mut Producer, values: std::ops::Range<i32>) -> Result<(), Error> {
    for value in values {
        producer.send(None, Some(value.to_string().as_bytes())).await?;
    }
    producer.flush().await
}

fn numbers(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn keys_stay_together_and_the_rest_takes_turns() {
    let brokers = Fake::start(3).await;
    let mut producer = open(
        &brokers,
        Config {
            codec: Codec::Gzip,
            ..config()
        },
    )
    .await;
    for value in ["1", "2", "3"] {
        producer.send(Some(b"abc"), Some(value.as_bytes())).await.unwrap();
        producer.flush().await.unwrap();
    }
    let home = partition_of(b"abc", 3);
    assert_eq!(brokers.values(home), ["1", "2", "3"]);
    for turn in 0..6 {
        send(&mut producer, turn..turn + 1).await.unwrap();
    }
    let counts: Vec<usize> = (0..3).map(|partition| brokers.values(partition).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 9);
    for (partition, count) in (0..).zip(counts) {
        assert_eq!(count, if partition == home { 5 } else { 2 });
    }
}

#[tokio::test]
async fn a_batch_is_sent_when_it_is_full() {
    let brokers = Fake::start(1).await;
    for full in [
        Config {
            batch_messages: 4,
            ..config()
        },
        Config {
            batch_bytes: 4 * 27,
            ..config()
        },
    ] {
        let mut producer = open(&brokers, full).await;
        let before = brokers.values(0).len();
        for sent in 1..=4 {
            producer.send(None, Some(b"x")).await.unwrap();
            assert_eq!(brokers.values(0).len() - before, if sent == 4 { 4 } else { 0 });
        }
    }
}

#[tokio::test]
async fn what_a_broker_did_not_take_goes_to_the_new_leader_in_order() {
    let brokers = Fake::start(2).await;
    let mut producer = open(&brokers, config()).await;
    send(&mut producer, 0..1).await.unwrap();
    brokers.state().leaders.insert(0, Some(BrokerId(1)));
    brokers.state().leaders.insert(1, Some(BrokerId(0)));
    for number in 1..10 {
        send(&mut producer, number..number + 1).await.unwrap();
    }
    let mut all = [brokers.values(0), brokers.values(1)];
    assert_eq!(all[0], ["0", "2", "4", "6", "8"]);
    assert_eq!(all[1], ["1", "3", "5", "7", "9"]);
    // Refused for a while.
    brokers
        .state()
        .errors
        .insert(0, [ErrorCode::NotEnoughReplicas; 3].into());
    send(&mut producer, 10..11).await.unwrap();
    all[0].push("10".to_owned());
    assert_eq!(brokers.values(0), all[0]);
}

#[tokio::test]
async fn only_what_may_pass_is_sent_again_and_only_so_often() {
    let brokers = Fake::start(1).await;
    let mut producer = open(&brokers, config()).await;
    brokers
        .state()
        .errors
        .insert(0, [ErrorCode::MessageSizeTooLarge].into());
    let error = send(&mut producer, 0..1).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                code: ErrorCode::MessageSizeTooLarge,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(brokers.state().produced.len(), 1);
    brokers
        .state()
        .errors
        .insert(0, [ErrorCode::RequestTimedOut; 9].into());
    let error = send(&mut producer, 0..1).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                code: ErrorCode::RequestTimedOut,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(brokers.state().produced.len(), 1 + 6);
}

#[tokio::test]
async fn a_new_topic_is_waited_for() {
    let brokers = Fake::start(1).await;
    brokers
        .state()
        .topic_errors
        .extend([ErrorCode::LeaderNotAvailable; 3]);
    let mut producer = open(&brokers, config()).await;
    send(&mut producer, 0..3).await.unwrap();
    assert_eq!(brokers.values(0), numbers(0..3));
    brokers.state().topic_errors.extend([ErrorCode::InvalidTopic; 9]);
    let refused = Producer::open(brokers.cluster().await, TOPIC, config())
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Topic {
                code: ErrorCode::InvalidTopic,
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn closing_waits_until_unacknowledged_messages_have_arrived() {
    let brokers = Fake::start(2).await;
    let mut producer = open(
        &brokers,
        Config {
            acks: Acks::None,
            batch_messages: 10,
            ..config()
        },
    )
    .await;
    for number in 0..105 {
        producer
            .send(None, Some(number.to_string().as_bytes()))
            .await
            .unwrap();
    }
    producer.close().await.unwrap();
    assert_eq!(brokers.values(0).len() + brokers.values(1).len(), 105);
}
