use tokio::io::DuplexStream;
use tokio::io::duplex;
use tokio::net::TcpListener;

use super::*;
use crate::protocol::ErrorCode;
use crate::protocol::Response;
use crate::protocol::consumer_metadata::ConsumerMetadataRequest;
use crate::protocol::consumer_metadata::ConsumerMetadataResponse;
use crate::protocol::heartbeat::HeartbeatRequest;
use crate::protocol::heartbeat::HeartbeatResponse;
use crate::types::BrokerId;

const LONG: Duration = Duration::from_secs(20);

fn endpoint() -> Endpoint {
    Endpoint {
        id: BrokerId(1),
        host: "127.0.0.1".to_owned(),
        port: 9092,
    }
}

fn heartbeat() -> HeartbeatRequest {
    HeartbeatRequest {
        group: "g".to_owned(),
        generation: 1,
        consumer_id: "c".to_owned(),
    }
}

/// A caller and what it is connected to.
fn connected(within: Duration) -> (Arc<Caller>, DuplexStream) {
    let (ours, theirs) = duplex(256);
    (
        Arc::new(Caller::over(ours, endpoint(), within, Some("me"))),
        theirs,
    )
}

/// Reads a request; gives its correlation id.
async fn read_request(broker: &mut DuplexStream) -> i32 {
    let len = broker.read_i32().await.unwrap();
    let mut frame = vec![0; usize::try_from(len).unwrap()];
    broker.read_exact(&mut frame).await.unwrap();
    i32::from_be_bytes(frame[4..8].try_into().unwrap())
}

async fn answer(broker: &mut DuplexStream, correlation_id: i32, response: impl Into<Response>) {
    for chunk in response.into().encode(correlation_id).chunks {
        let crate::protocol::Chunk::Bytes(bytes) = chunk else {
            panic!("no files here")
        };
        broker.write_all(&bytes).await.unwrap();
    }
}

fn call(caller: &Arc<Caller>) -> JoinHandle<Result<HeartbeatResponse, CallError>> {
    let caller = Arc::clone(caller);
    tokio::spawn(async move { caller.call(&heartbeat()).await })
}

#[tokio::test]
async fn each_call_gets_its_own_answer() {
    let (caller, mut broker) = connected(LONG);
    let calls: Vec<_> = (0..50).map(|_| call(&caller)).collect();
    for _ in 0..50 {
        let id = read_request(&mut broker).await;
        answer(&mut broker, id, HeartbeatResponse::refused()).await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().error, ErrorCode::Unknown);
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_disturb_the_next() {
    let (caller, mut broker) = connected(LONG);
    let given_up = call(&caller);
    let first = read_request(&mut broker).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let next = call(&caller);
    let second = read_request(&mut broker).await;
    answer(&mut broker, first, HeartbeatResponse::refused()).await;
    assert!(!next.is_finished());
    answer(&mut broker, second, HeartbeatResponse::refused()).await;
    next.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout() {
    let (caller, _broker) = connected(Duration::from_millis(20));
    let error = call(&caller).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    assert_eq!(error.to_string(), "no answer from 127.0.0.1:9092 within 20ms");
    assert!(!caller.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_long_as_long_as_it_comes() {
    let within = Duration::from_secs(1);
    let (caller, mut broker) = connected(within);
    let waiting = call(&caller);
    let id = read_request(&mut broker).await;
    assert!(!caller.is_receiving());
    let frame = [&6_i32.to_be_bytes()[..], &id.to_be_bytes(), &[0, 0]].concat();
    for byte in &frame {
        tokio::time::sleep(within * 3 / 4).await;
        assert!(!waiting.is_finished());
        broker.write_all(&[*byte]).await.unwrap();
    }
    assert!(waiting.await.unwrap().is_ok());
    assert!(!caller.is_receiving());

    let waiting = call(&caller);
    read_request(&mut broker).await;
    broker.write_all(&frame[..5]).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    assert!(caller.is_receiving());
}

#[tokio::test]
async fn calls_end_when_the_connection_does() {
    let (caller, mut broker) = connected(LONG);
    let waiting = call(&caller);
    read_request(&mut broker).await;
    drop(broker);
    assert!(matches!(waiting.await.unwrap(), Err(CallError::Closed { .. })));
    assert!(matches!(
        call(&caller).await.unwrap(),
        Err(CallError::Closed { .. })
    ));
    assert!(caller.is_closed());
}

#[tokio::test]
async fn an_answer_to_something_else_closes_the_connection() {
    let (caller, mut broker) = connected(LONG);
    let waiting = call(&caller);
    let id = read_request(&mut broker).await;
    answer(&mut broker, id + 1, HeartbeatResponse::refused()).await;
    assert!(matches!(waiting.await.unwrap(), Err(CallError::Closed { .. })));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_told_apart() {
    let (caller, mut broker) = connected(LONG);
    let waiting = call(&caller);
    let id = read_request(&mut broker).await;
    broker
        .write_all(&[&5_i32.to_be_bytes()[..], &id.to_be_bytes(), &[0]].concat())
        .await
        .unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(CallError::BadAnswer { .. })));
}

#[tokio::test]
async fn a_missing_coordinator_is_answered_without_an_id() {
    let (caller, mut broker) = connected(LONG);
    let waiting = tokio::spawn({
        let caller = Arc::clone(&caller);
        async move {
            caller.call(&heartbeat()).await?;
            caller.call(&ConsumerMetadataRequest { group: None }).await
        }
    });
    let id = read_request(&mut broker).await;
    answer(&mut broker, id, HeartbeatResponse::refused()).await;
    assert_ne!(read_request(&mut broker).await, 0);
    let error = ErrorCode::ConsumerCoordinatorNotAvailable;
    answer(
        &mut broker,
        0,
        ConsumerMetadataResponse {
            error,
            coordinator: None,
        },
    )
    .await;
    assert_eq!(waiting.await.unwrap().unwrap().error, error);
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = i32::from(listener.local_addr().unwrap().port());
    drop(listener);
    let error = Caller::connect(&Endpoint { port, ..endpoint() }, LONG, None)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("connect to 127.0.0.1:{port}"));
    let error = Caller::connect(
        &Endpoint {
            port: -1,
            ..endpoint()
        },
        LONG,
        None,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, CallError::Connect { .. }));
}

#[tokio::test]
async fn a_caller_may_wait_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = i32::from(listener.local_addr().unwrap().port());
    let caller = Caller::connect(&Endpoint { port, ..endpoint() }, Duration::MAX, None)
        .await
        .unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    caller.send(&heartbeat()).await.unwrap();
    assert!(socket.read_i32().await.unwrap() > 0);
}

#[tokio::test]
async fn dropping_a_caller_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = i32::from(listener.local_addr().unwrap().port());
    let caller = Caller::connect(&Endpoint { port, ..endpoint() }, LONG, None)
        .await
        .unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    caller.send(&heartbeat()).await.unwrap();
    let len = socket.read_i32().await.unwrap();
    drop(caller);
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), usize::try_from(len).unwrap());
}
