//! Which requests are handled when, and in which order their answers leave.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use super::support::*;

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.socket.set_nodelay(true).unwrap();
    for byte in request(9, &["hello".to_owned()]) {
        client.socket.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.expect(&[(9, "hello")]).await;
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order() {
    let served = serve(config()).await;
    let client = served.client().await;
    let commands: Vec<String> = (0..5_000).map(|n| format!("c{n}")).collect();
    let (mut reading, mut writing) = client.socket.into_split();
    let bytes: Vec<u8> = (0..)
        .zip(&commands)
        .flat_map(|(n, c)| request(n, std::slice::from_ref(c)))
        .collect();
    let sending = tokio::spawn(async move {
        writing.write_all(&bytes).await.unwrap();
        writing
    });
    for (id, command) in (0..).zip(&commands) {
        let len = patiently("a frame", reading.read_i32()).await.unwrap();
        let mut frame = vec![0; usize::try_from(len).unwrap()];
        reading.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..4], i32::to_be_bytes(id));
        assert!(frame.ends_with(&[command.as_bytes(), &[0; 4]].concat()));
    }
    drop(sending.await.unwrap());
    let requests = "kafka_network_requestmetrics_requests_total{request=\"Metadata\"}";
    assert_eq!(metric(&served.metrics, requests), 5_000.0);
}

#[tokio::test]
async fn an_outstanding_acknowledgement_holds_up_answers_but_not_requests() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["ack a", "b", "ack c", "d"]).await;
    served.handled(&["ack a", "b", "ack c", "d"]).await;
    served.script.0.open("c");
    assert!(client.hears_nothing());
    assert_eq!(
        metric(&served.metrics, "kafka_network_requestchannel_responsequeuesize"),
        4.0
    );
    served.script.0.open("a");
    client
        .expect(&[(0, "ack a"), (1, "b"), (2, "ack c"), (3, "d")])
        .await;
    assert_eq!(
        metric(&served.metrics, "kafka_network_requestchannel_responsequeuesize"),
        0.0
    );
}

#[tokio::test]
async fn what_waits_for_messages_holds_up_everything_behind_it() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["later a", "b"]).await;
    served.handled(&["later a"]).await;
    // Another connection is served meanwhile, and later than the first was read.
    let mut other = served.client().await;
    other.send(&["c"]).await;
    other.expect(&[(0, "c")]).await;
    served.handled(&["later a", "c"]).await;
    assert!(client.hears_nothing());
    served.script.0.open("a");
    client.expect(&[(0, "later a"), (1, "b")]).await;
}

#[tokio::test]
async fn a_wait_ends_when_its_client_hangs_up() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["later a", "b", "c"]).await;
    served.handled(&["later a"]).await;
    drop(client);
    eventually(|| served.script.0.dropped(), |dropped| *dropped == ["later a"]).await;
    assert_eq!(served.script.0.handled(), ["later a"]);
    eventually(
        || metric(&served.metrics, "kafka_network_connections"),
        |open| *open == 0.0,
    )
    .await;
    let closed = "kafka_network_connections_closed_total{reason=\"client\"}";
    assert_eq!(metric(&served.metrics, closed), 1.0);
}

#[tokio::test]
async fn requests_without_an_answer_leave_no_gap() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["a", "nothing", "b", "nothing"]).await;
    client.expect(&[(0, "a"), (2, "b")]).await;
    let requests = "kafka_network_requestmetrics_requests_total{request=\"Metadata\"}";
    eventually(|| metric(&served.metrics, requests), |count| *count == 4.0).await;
}

#[tokio::test]
async fn closing_comes_after_earlier_answers_and_before_later_requests() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["ack a", "close", "b"]).await;
    served.handled(&["ack a", "close"]).await;
    served.script.0.open("a");
    client.expect(&[(0, "ack a")]).await;
    assert!(client.closed().await.is_empty());
    assert_eq!(served.script.0.handled(), ["ack a", "close"]);
}

#[tokio::test]
async fn answers_still_come_after_the_client_has_sent_its_last() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["ack a", "b"]).await;
    client.socket.shutdown().await.unwrap();
    served.handled(&["ack a", "b"]).await;
    served.script.0.open("a");
    client.expect(&[(0, "ack a"), (1, "b")]).await;
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn what_is_no_request_costs_only_its_own_connection() {
    let served = serve(config()).await;
    let mut good = served.client().await;
    let unknown_api = [&8_i32.to_be_bytes()[..], &[0, 99, 0, 0, 0, 0, 0, 1]].concat();
    let cut_short = [&5_i32.to_be_bytes()[..], &[0, 3, 0, 0, 0]].concat();
    let bad: [Vec<u8>; 6] = [
        0_i32.to_be_bytes().into(),
        (-1_i32).to_be_bytes().into(),
        (i32::try_from(config().max_request_bytes).unwrap() + 1)
            .to_be_bytes()
            .into(),
        b"GET / HTTP/1.1\r\n\r\n".into(),
        unknown_api,
        cut_short,
    ];
    for (count, bytes) in (1..).zip(&bad) {
        let mut client = served.client().await;
        client.send(&["before"]).await;
        client.socket.write_all(bytes).await.unwrap();
        client.expect(&[(0, "before")]).await;
        assert!(client.closed().await.is_empty());
        eventually(|| served.script.0.refused(), |refused| refused.len() == count).await;
    }
    assert_eq!(served.script.0.refused()[0], "size 0");
    good.send(&["still here"]).await;
    good.expect(&[(0, "still here")]).await;
    let closed = "kafka_network_connections_closed_total{reason=\"error\"}";
    eventually(|| metric(&served.metrics, closed), |count| *count == 6.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_a_request_is_forgotten() {
    let served = serve(config()).await;
    for len in [1, 3, 4, 10] {
        let mut client = served.client().await;
        client
            .socket
            .write_all(&request(0, &["a".to_owned()])[..len])
            .await
            .unwrap();
        client.socket.shutdown().await.unwrap();
        assert!(client.closed().await.is_empty());
    }
    assert!(served.script.0.handled().is_empty());
}
