//! An honest client: appends, reads what it appended, over and over, and counts how often.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use gregor::protocol::ErrorCode;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::fetch::Reader;

use super::target::Client;
use super::target::let_pass;
use super::target::produce;
use super::target::set;

/// Messages per set and their size: one set that is read without asking for memory, one that is not.
const SETS: [(usize, usize); 2] = [(10, 100), (20, 1000)];

/// A thread that goes on until it is dropped.
pub(super) struct Honest {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    /// Starts on the one partition of a topic that is there.
    pub(super) fn start(address: SocketAddr, topic: &str) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped, topic) = (Arc::clone(&rounds), Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(address);
            let sets = SETS.map(|(count, len)| set(count, len));
            while !stopped.load(Ordering::Relaxed) {
                for set in &sets {
                    round(&mut client, &topic, set.clone());
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            rounds,
            stop,
            thread: Some(thread),
        }
    }

    /// Rounds per second, the median of several windows.
    pub(super) fn rate(&self, windows: usize, window: Duration) -> f64 {
        let mut rates: Vec<f64> = (0..windows)
            .map(|_| {
                let (start, before) = (Instant::now(), self.rounds.load(Ordering::Relaxed));
                let_pass(window);
                let rounds = self.rounds.load(Ordering::Relaxed) - before;
                f64::from(u32::try_from(rounds).unwrap()) / start.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))),
                "the honest client was served to the end"
            );
        }
    }
}

/// Appends a set and reads exactly that.
fn round(client: &mut Client, topic: &str, set: bytes::BytesMut) {
    let len = set.len();
    let produced = client.ask(&produce(topic, set));
    let produced = produced.topics[0].1[0];
    assert_eq!(produced.error, ErrorCode::None);
    let fetch = FetchRequest {
        reader: Reader::Consumer,
        max_wait: Duration::ZERO,
        min_bytes: 1,
        topics: vec![(
            Some(topic.to_owned()),
            vec![PartitionFetch {
                partition: 0,
                offset: produced.base_offset,
                max_bytes: i32::try_from(len).unwrap(),
            }],
        )],
    };
    let fetched = client.ask(&fetch);
    let fetched = &fetched.topics[0].1[0];
    assert_eq!(fetched.error, ErrorCode::None);
    assert_eq!(fetched.messages.as_ref().map_or(0, bytes::Bytes::len), len);
}
