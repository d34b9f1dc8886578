//! What clients may not do, and what it costs when they try.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::*;
use crate::net::Error;
use crate::net::Listener;
use crate::net::ListenerConfig;

const OPEN: &str = "kafka_network_connections";

fn closed_because(reason: &str) -> String {
    format!("kafka_network_connections_closed_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn an_address_gets_only_so_many_connections() {
    let served = serve(ListenerConfig {
        max_connections_per_ip: 2,
        ..config()
    })
    .await;
    let mut first = served.client().await;
    let mut second = served.client().await;
    for client in [&mut first, &mut second] {
        client.send(&["a"]).await;
        client.expect(&[(0, "a")]).await;
    }
    assert!(served.client().await.closed().await.is_empty());
    assert_eq!(metric(&served.metrics, &closed_because("per_ip_limit")), 1.0);
    drop(first);
    eventually(|| metric(&served.metrics, OPEN), |open| *open == 1.0).await;
    let mut again = served.client().await;
    again.send(&["b"]).await;
    again.expect(&[(0, "b")]).await;
}

#[tokio::test]
async fn a_host_may_have_a_limit_of_its_own() {
    let max_connections_per_ip_overrides = HashMap::from([("localhost".to_owned(), 1)]);
    let served = serve(ListenerConfig {
        max_connections_per_ip_overrides,
        ..config()
    })
    .await;
    let mut first = served.client().await;
    first.send(&["a"]).await;
    first.expect(&[(0, "a")]).await;
    assert!(served.client().await.closed().await.is_empty());
}

#[tokio::test]
async fn only_bytes_from_the_client_keep_a_connection_open() {
    let max_idle = Duration::from_millis(400);
    let served = serve(ListenerConfig { max_idle, ..config() }).await;
    let mut waiting = served.client().await;
    waiting.send(&["later a"]).await;
    let mut silent = served.client().await;
    let mut busy = served.client().await;
    let start = Instant::now();
    let mut pause = tokio::time::interval(max_idle / 8);
    while start.elapsed() < 2 * max_idle {
        pause.tick().await;
        busy.send(&["b"]).await;
        busy.answer().await;
    }
    assert!(silent.closed().await.is_empty());
    assert!(
        waiting.closed().await.is_empty(),
        "that it awaits an answer makes no difference"
    );
    assert_eq!(metric(&served.metrics, &closed_because("idle")), 2.0);
    assert_eq!(metric(&served.metrics, OPEN), 1.0);
    assert!(busy.closed().await.is_empty());
}

#[tokio::test]
async fn a_connection_may_be_idle_for_ever() {
    let max_idle = Duration::MAX;
    let served = serve(ListenerConfig { max_idle, ..config() }).await;
    let mut client = served.client().await;
    client.send(&["a"]).await;
    client.expect(&[(0, "a")]).await;
}

#[tokio::test]
async fn acknowledgements_under_way_are_bounded() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["ack a"; 100]).await;
    served.handled(&["ack a"; 64]).await;
    served.script.0.open("a");
    for id in 0..100 {
        assert_eq!(client.answer().await.0, id);
    }
}

/// What is carried out and not acknowledged is what followers lag behind.
#[tokio::test]
async fn bytes_that_wait_for_an_acknowledgement_are_bounded() {
    let served = serve(config()).await;
    let (mut client, mut other) = (served.client().await, served.client().await);
    let filler = vec!["f".repeat(30_000); 20];
    let topics = [vec!["ack a".to_owned()], filler].concat();
    let requests: Vec<_> = (0..8).flat_map(|id| request(id, &topics)).collect();
    let carried_out = async {
        served.handled(&["ack a"; 2]).await;
        other.send(&["b"]).await;
        other.expect(&[(0, "b")]).await;
        let handled = served.script.0.handled();
        served.script.0.open("a");
        handled
    };
    let (handled, sent) = tokio::join!(carried_out, client.socket.write_all(&requests));
    sent.unwrap();
    assert_eq!(handled, ["ack a", "ack a", "b"]);
    for id in 0..8 {
        assert_eq!(client.answer().await.0, id);
    }
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed_while_it_waits_for_acknowledgements() {
    let served = serve(config()).await;
    let mut client = served.client().await;
    client.send(&["ack a"; 65]).await;
    served.handled(&["ack a"; 64]).await;
    // It is reset instead of closed, as when a client is killed with answers unread.
    rustix::net::sockopt::set_socket_linger(&client.socket, Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually(|| metric(&served.metrics, OPEN), |open| *open == 0.0).await;
}

/// Resident memory of this process.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

/// What the whole process takes is measured, so that no other test may run in it.
#[test]
fn a_thousand_announcements_cost_little() {
    const ALONE: &str = "GREGOR_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args([
            "net::tests::limits::a_thousand_announcements_cost_little",
            "--exact",
            "--nocapture",
        ]);
        let ended = alone.env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(announce_a_thousand_times());
}

async fn announce_a_thousand_times() {
    let served = serve(config()).await;
    let announced = i32::try_from(config().max_request_bytes).unwrap().to_be_bytes();
    let before = resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let mut socket = TcpStream::connect(served.address).await.unwrap();
        socket.write_all(&announced).await.unwrap();
        socket.write_all(&[0; 1_000]).await.unwrap();
        clients.push(socket);
    }
    let mut good = served.client().await;
    good.send(&["a"]).await;
    good.expect(&[(0, "a")]).await;
    eventually(|| metric(&served.metrics, OPEN), |open| *open == 1_001.0).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes for 100 GB announced");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_lets_answers_finish() {
    let served = serve(ListenerConfig {
        drain: PATIENCE,
        ..config()
    })
    .await;
    let mut idle = served.client().await;
    idle.send(&["a"]).await;
    idle.expect(&[(0, "a")]).await;
    let mut busy = served.client().await;
    busy.send(&["ack b"]).await;
    served.handled(&["a", "ack b"]).await;
    served.trigger.stop();
    assert!(idle.closed().await.is_empty());
    busy.socket
        .write_all(&request(1, &["too late".to_owned()]))
        .await
        .unwrap();
    served.script.0.open("b");
    busy.expect(&[(0, "ack b")]).await;
    assert!(busy.closed().await.is_empty());
    assert_eq!(served.script.0.handled(), ["a", "ack b"]);
    patiently("the listener", served.running).await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let served = serve(ListenerConfig {
        drain: Duration::from_millis(50),
        ..config()
    })
    .await;
    let mut client = served.client().await;
    client.send(&["later a"]).await;
    served.handled(&["later a"]).await;
    served.trigger.stop();
    patiently("the listener", served.running).await.unwrap();
    assert_eq!(served.script.0.dropped(), ["later a"]);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let served = serve(config()).await;
    let taken = ListenerConfig {
        port: served.address.port(),
        ..config()
    };
    let error = Listener::bind(taken, &served.metrics).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {}", served.address));
    let nowhere = ListenerConfig {
        host: Some("no-such-host.invalid".to_owned()),
        ..config()
    };
    let error = Listener::bind(nowhere, &served.metrics).await.unwrap_err();
    assert!(matches!(error, Error::Resolve { host, .. } if host == "no-such-host.invalid"));
}

#[tokio::test]
async fn all_addresses_means_both_families() {
    let served = serve(ListenerConfig {
        host: None,
        ..config()
    })
    .await;
    for address in ["127.0.0.1", "::1"] {
        let Ok(socket) = TcpStream::connect((address, served.address.port())).await else {
            assert_eq!(address, "::1", "only IPv6 may be missing");
            continue;
        };
        let mut client = Client { socket, sent: 0 };
        client.send(&["a"]).await;
        client.expect(&[(0, "a")]).await;
    }
}
