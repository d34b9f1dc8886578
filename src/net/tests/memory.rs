//! What clients wait for when memory is short, and who must go.

use tokio::io::AsyncWriteExt;

use super::support::*;
use crate::net::ListenerConfig;

const WAITING: &str = "kafka_network_requestchannel_requestqueuesize";
const SLOW: &str = "kafka_network_connections_closed_total{reason=\"slow\"}";

/// A request of `pieces` times 24 KB.
fn large(command: &str, pieces: usize) -> Vec<u8> {
    let padding = (0..pieces).map(|n| format!("{n}{}", "x".repeat(24_000)));
    let topics: Vec<String> = [command.to_owned()].into_iter().chain(padding).collect();
    request(0, &topics)
}

/// A listener with memory for one request, and a quarter of that for everything else.
async fn cramped() -> Served {
    serve(ListenerConfig {
        max_request_bytes: 1 << 20,
        queued_bytes: 1 << 20,
        ..config()
    })
    .await
}

#[tokio::test]
async fn large_requests_wait_for_memory_and_small_ones_do_not() {
    let served = cramped().await;
    let (mut first, mut second) = (served.client().await, served.client().await);
    first.socket.write_all(&large("later a", 30)).await.unwrap();
    served.handled(&["later a"]).await;
    // The exception.
    second.socket.write_all(&large("later b", 30)).await.unwrap();
    served.handled(&["later a", "later b"]).await;
    let mut third = served.client().await;
    let bytes = large("c", 30);
    let sending = async {
        third.socket.write_all(&bytes).await.unwrap();
        third.answer().await
    };
    let watching = async {
        eventually(|| metric(&served.metrics, WAITING), |count| *count == 1.0).await;
        let mut small = served.client().await;
        small.socket.write_all(&fetch(0)).await.unwrap();
        small.frame().await.unwrap();
        assert_eq!(served.script.0.handled(), ["later a", "later b", "fetch"]);
        served.script.0.open("a");
        served.script.0.open("b");
    };
    let (answer, ()) = tokio::join!(sending, watching);
    assert_eq!(answer, (0, "c".to_owned()));
    assert_eq!(first.answer().await, (0, "later a".to_owned()));
    assert_eq!(second.answer().await, (0, "later b".to_owned()));
    assert_eq!(metric(&served.metrics, WAITING), 0.0);
}

#[tokio::test]
async fn acknowledgements_hold_up_nobody() {
    let served = cramped().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = served.client().await;
        client.socket.write_all(&large("ack a", 30)).await.unwrap();
        clients.push(client);
    }
    served.handled(&["ack a"; 3]).await;
    served.script.0.open("a");
    for client in &mut clients {
        client.expect(&[(0, "ack a")]).await;
    }
}

#[tokio::test]
async fn parts_of_frames_do_not_wait_for_each_other() {
    let served = cramped().await;
    let bytes = large("a", 40);
    let half = bytes.len() / 2;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = served.client().await;
        let bytes = bytes.clone();
        clients.push(tokio::spawn(async move {
            client.socket.write_all(&bytes[..half]).await.unwrap();
            client.socket.write_all(&bytes[half..]).await.unwrap();
            client.expect(&[(0, "a")]).await;
        }));
    }
    for client in clients {
        patiently("an answer", client).await.unwrap();
    }
}

#[tokio::test]
async fn who_stops_halfway_is_hung_up_on_once_others_wait() {
    let served = cramped().await;
    let mut stalled = served.client().await;
    stalled
        .socket
        .write_all(&large("a", 40)[..700_000])
        .await
        .unwrap();
    let mut honest = served.client().await;
    let bytes = large("b", 40);
    let sending = async {
        honest.socket.write_all(&bytes).await.unwrap();
        honest.answer().await
    };
    let (answer, rest) = tokio::join!(sending, stalled.closed());
    assert_eq!(answer, (0, "b".to_owned()));
    assert!(rest.is_empty());
    assert_eq!(metric(&served.metrics, SLOW), 1.0);
}

#[tokio::test]
async fn who_waits_for_acknowledgements_is_not_taken_for_slow() {
    let served = cramped().await;
    let mut waiting = served.client().await;
    // Two are as much as may wait; what came of the third is in the buffer.
    let requests = [large("ack a", 25), large("ack a", 25), large("ack a", 8)].concat();
    waiting.socket.write_all(&requests).await.unwrap();
    served.handled(&["ack a"; 2]).await;
    // One after the other they are hung up on, but for the last, so that somebody waits for memory all the time.
    let mut slow = Vec::new();
    for _ in 0..5 {
        let mut client = served.client().await;
        client.socket.write_all(&large("b", 30)[..400_000]).await.unwrap();
        slow.push(client);
    }
    eventually(|| metric(&served.metrics, SLOW), |count| *count >= 4.0).await;
    served.script.0.open("a");
    for _ in 0..3 {
        assert_eq!(waiting.answer().await.1, "ack a");
    }
}
