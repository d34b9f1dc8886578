//! Answers that are stretches of files.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::support::*;
use crate::message::slice::FileSlice;
use crate::protocol::decode_response;
use crate::protocol::fetch::FetchResponse;

/// A file of `len` bytes that tell where they are.
fn file(len: usize) -> (Arc<File>, Vec<u8>) {
    let bytes: Vec<u8> = (0_u32..)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .take(len)
        .collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (Arc::new(file), bytes)
}

const SENDFILE: &str = "kafka_network_sendfile_bytes_total";

async fn slices_arrive_as_they_are_in_the_file() {
    let served = serve(config()).await;
    let (file, bytes) = file(5_000_000);
    let slice = |position: u64, len, cold| FileSlice {
        file: Arc::clone(&file),
        position,
        len,
        cold,
    };
    let slices = vec![
        slice(0, 100, false),
        slice(17, 3_000_001, true),
        slice(9, 0, false),
        slice(4_000_000, 1_000_000, false),
    ];
    served.script.0.slices.lock().unwrap().clone_from(&slices);
    let mut client = served.client().await;
    client
        .socket
        .write_all(&[fetch(1), fetch(2)].concat())
        .await
        .unwrap();
    for id in [1, 2] {
        let frame = client.frame().await.unwrap();
        let (answered, response) = decode_response::<FetchResponse<Bytes>>(frame).unwrap();
        assert_eq!(answered, id);
        for (slice, partition) in slices.iter().zip(&response.topics[0].1) {
            let start = usize::try_from(slice.position).unwrap();
            let expected = &bytes[start..][..usize::try_from(slice.len).unwrap()];
            assert!(
                partition.messages.as_deref().unwrap_or_default() == expected,
                "{slice:?}"
            );
        }
    }
    // All of it, so no byte went through this process.
    eventually(
        || metric(&served.metrics, SENDFILE),
        |sent| *sent == 2.0 * 4_000_101.0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_arrive_over_several_threads() {
    slices_arrive_as_they_are_in_the_file().await;
}

#[tokio::test]
async fn slices_arrive_over_one_thread_which_may_not_wait_for_the_disk() {
    slices_arrive_as_they_are_in_the_file().await;
}

#[tokio::test]
async fn no_answer_is_held_back() {
    let served = serve(config()).await;
    let (file, _) = file(10);
    *served.script.0.slices.lock().unwrap() = vec![FileSlice {
        file,
        position: 0,
        len: 10,
        cold: false,
    }];
    let mut client = served.client().await;
    for id in 0..10 {
        for bytes in [fetch(id).to_vec(), request(id, &["x".to_owned()])] {
            let asked = Instant::now();
            client.socket.write_all(&bytes).await.unwrap();
            client.frame().await.unwrap();
            // The kernel holds back what is announced to go on for 200 ms.
            assert!(
                asked.elapsed() < Duration::from_millis(150),
                "{:?}",
                asked.elapsed()
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_was_truncated_closes_the_connection() {
    let served = serve(config()).await;
    let (file, bytes) = file(1_000);
    let slice = FileSlice {
        file: Arc::clone(&file),
        position: 0,
        len: 1_000,
        cold: false,
    };
    served.script.0.slices.lock().unwrap().push(slice);
    file.set_len(400).unwrap();
    let mut client = served.client().await;
    client.socket.write_all(&fetch(0)).await.unwrap();
    let sent = client.closed().await;
    assert!(sent.ends_with(&bytes[..400]), "what there was is sent");
    let closed = "kafka_network_connections_closed_total{reason=\"error\"}";
    eventually(|| metric(&served.metrics, closed), |count| *count == 1.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_either() {
    let served = serve(config()).await;
    let (file, _) = file(256 << 10);
    let slice = FileSlice {
        file,
        position: 0,
        len: 256 << 10,
        cold: false,
    };
    served.script.0.slices.lock().unwrap().push(slice);
    let mut client = served.client().await;
    let all: Vec<u8> = (0..300).flat_map(fetch).collect();
    client.socket.write_all(&all).await.unwrap();
    let writing = "kafka_network_socketserver_responsesbeingsent";
    // The first answers fill the socket's buffers; then somebody else can be served many times without one more of
    // these requests being handled.
    let mut other = served.client().await;
    let mut handled = usize::MAX;
    loop {
        other.send(&["x"]).await;
        other.answer().await;
        let fetches = served
            .script
            .0
            .handled()
            .iter()
            .filter(|command| *command == "fetch")
            .count();
        if fetches == handled && metric(&served.metrics, writing) == 1.0 {
            break;
        }
        handled = fetches;
    }
    assert!(handled < 200, "{handled} of 300 handled although none was read");
    for _ in 0..300 {
        assert!(client.frame().await.unwrap().len() > 256 << 10);
    }
}
