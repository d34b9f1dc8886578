//! Producers that number their messages, and readers that follow them, through everything.
//!
//! Each partition has two producers, both with acks=-1. One sends a batch after the other, each until it is acknowledged:
//! its first copies must be in order and complete. The other has several requests under way at once and never repeats
//! one: what it gets acknowledged must be there, once and in order, and of the rest nothing twice.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use gregor::message::Codec;
use gregor::message::wrapper::deep_entries;
use gregor::protocol::ApiKey;
use gregor::protocol::produce::ProduceRequest;
use serde_json::Value;

use super::book::Book;
use super::book::Label;
use super::book::Sender;
use super::client;
use super::client::Client;
use super::cluster::TOPIC;
use super::plan::PARTITIONS;
use crate::support::answer::from_hex;
use crate::support::eventually::within;
use crate::support::requests::fetch;
use crate::support::requests::produce;
use crate::support::requests::set;

/// How long the leader may wait for the other replicas.
const ACKS: Duration = Duration::from_millis(2500);

/// Between two batches of a producer, or two fetches of a reader.
const PACE: Duration = Duration::from_millis(40);

/// After something went wrong.
const BACKOFF: Duration = Duration::from_millis(60);

/// Requests of one producer that are under way at once.
const WINDOW: usize = 4;

/// More than is fetched at once.
const UNFOLDED_MAX: usize = 1 << 24;

/// How long producers may need to get their last messages through once all is well.
const LAST: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Go,
    /// Producers finish what they are at, and wait.
    Rest,
    End,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    brokers: Vec<SocketAddr>,
    book: Mutex<Book>,
    signal: Mutex<Signal>,
    changed: Condvar,
    /// Producers that rest.
    resting: AtomicUsize,
    /// Acknowledged requests of each producer.
    progress: Vec<AtomicUsize>,
}

/// All producers and readers.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(brokers: Vec<SocketAddr>) -> Self {
        let shared = Arc::new(Shared {
            brokers,
            book: Mutex::new(Book::new(PARTITIONS)),
            signal: Mutex::new(Signal::Go),
            changed: Condvar::new(),
            resting: AtomicUsize::new(0),
            progress: (0..2 * PARTITIONS).map(|_| AtomicUsize::new(0)).collect(),
        });
        let mut threads = Vec::new();
        for partition in 0..PARTITIONS {
            let of = || Worker::new(Arc::clone(&shared), partition);
            let (mut first, mut second, mut third) = (of(), of(), of());
            threads.push(std::thread::spawn(move || first.persist(2 * partition)));
            threads.push(std::thread::spawn(move || second.stream(2 * partition + 1)));
            threads.push(std::thread::spawn(move || third.read()));
        }
        Self { shared, threads }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.shared.book)
    }

    /// Acknowledged requests of each producer.
    pub(super) fn progress(&self) -> Vec<usize> {
        let counts = self.shared.progress.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Lets the producers finish what they are at; which don't get it acknowledged.
    pub(super) fn rest(&self) -> Result<(), String> {
        self.say(Signal::Rest);
        let all = self.shared.progress.len();
        let resting = || self.shared.resting.load(Ordering::Relaxed);
        match within(LAST, || (resting() == all).then_some(())) {
            Some(()) => Ok(()),
            None => Err(format!("only {} of {all} producers have come to rest", resting())),
        }
    }

    pub(super) fn go_on(&self) {
        self.say(Signal::Go);
    }

    /// Ends all threads.
    pub(super) fn end(&mut self) {
        self.say(Signal::End);
        for thread in self.threads.drain(..) {
            thread.join().expect("a producer or reader panicked");
        }
    }

    fn say(&self, signal: Signal) {
        *lock(&self.shared.signal) = signal;
        self.shared.changed.notify_all();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.say(Signal::End);
    }
}

/// A producer or a reader of one partition.
struct Worker {
    shared: Arc<Shared>,
    partition: usize,
    client: Option<Client>,
}

impl Worker {
    fn new(shared: Arc<Shared>, partition: usize) -> Self {
        Self {
            shared,
            partition,
            client: None,
        }
    }

    /// Waits so long, and for as long as producers are to rest; whether to go on.
    fn pause(&self, time: Duration) -> bool {
        let signal = lock(&self.shared.signal);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(signal, time, |signal| *signal != Signal::End);
        let (signal, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *signal != Signal::End
    }

    /// Between two batches: rests if it is to; whether to go on.
    fn next_batch(&self) -> bool {
        let mut signal = lock(&self.shared.signal);
        if *signal == Signal::Rest {
            self.shared.resting.fetch_add(1, Ordering::Relaxed);
            while *signal == Signal::Rest {
                let woken = self.shared.changed.wait(signal);
                signal = woken.unwrap_or_else(PoisonError::into_inner);
            }
            self.shared.resting.fetch_sub(1, Ordering::Relaxed);
        }
        drop(signal);
        self.pause(PACE)
    }

    /// A connection to the leader, as far as anybody knows.
    fn leader(&mut self) -> Option<&mut Client> {
        if self.client.is_none() {
            let asked = self.shared.brokers[fastrand::usize(..self.shared.brokers.len())];
            let leaders = client::leaders(asked, TOPIC).ok()?;
            let leader = leaders.get(self.partition).copied().flatten()?;
            self.client = Client::open(*self.shared.brokers.get(leader)?).ok();
        }
        self.client.as_mut()
    }

    fn request(&self, codec: Codec, labels: &[Label]) -> ProduceRequest {
        let texts: Vec<String> = labels.iter().map(Label::text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let set: BytesMut = set(codec, &texts);
        let partition = i32::try_from(self.partition).expect("few partitions");
        produce(-1, ACKS, TOPIC, [(partition, set)])
    }

    fn acknowledged(&self, producer: usize, base: i64, labels: &[Label]) {
        lock(&self.shared.book).acknowledge(self.partition, base, labels);
        self.shared.progress[producer].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&mut self) {
        self.client = None;
        lock(&self.shared.book).failed += 1;
    }

    /// Sends each batch until it is acknowledged.
    fn persist(&mut self, producer: usize) {
        let sender = Sender {
            producer,
            incarnation: 0,
        };
        let codec = [Codec::None, Codec::Snappy][self.partition % 2];
        let mut number = 0;
        while self.next_batch() {
            let batch = fastrand::usize(1..5);
            let mut attempt = 0;
            loop {
                attempt += 1;
                let labels: Vec<Label> = (number..number + batch)
                    .map(|number| Label {
                        sender,
                        number,
                        attempt,
                    })
                    .collect();
                let request = self.request(codec, &labels);
                let answer = self.leader().map(|leader| leader.call(&request));
                match answer {
                    Some(Ok(answer)) => {
                        if let Some(base) = base_offset(&answer) {
                            self.acknowledged(producer, base, &labels);
                            break;
                        }
                        self.failed();
                    }
                    Some(Err(_)) => self.failed(),
                    None => self.client = None,
                }
                if !self.pause(BACKOFF) {
                    return;
                }
            }
            number += batch;
        }
    }

    /// Has several batches under way, and begins anew when something fails.
    fn stream(&mut self, producer: usize) {
        let mut sender = Sender {
            producer,
            incarnation: 0,
        };
        while self.pause(BACKOFF) {
            if self.leader().is_some() && !self.stream_as(sender) {
                return;
            }
            self.client = None;
            sender.incarnation += 1;
            // A resting producer may have nobody to send to.
            if !self.next_batch() {
                return;
            }
        }
    }

    /// Sends until something fails; whether to go on then.
    fn stream_as(&mut self, sender: Sender) -> bool {
        let mut under_way: VecDeque<(i32, Vec<Label>)> = VecDeque::new();
        let mut number = 0;
        loop {
            let resting = *lock(&self.shared.signal) != Signal::Go;
            if under_way.len() == WINDOW || (resting && !under_way.is_empty()) {
                let (id, labels) = under_way.pop_front().expect("there is one");
                let client = self.client.as_mut().expect("connected");
                match client
                    .receive(ApiKey::Produce, id)
                    .map(|answer| base_offset(&answer))
                {
                    Ok(Some(base)) => self.acknowledged(sender.producer, base, &labels),
                    Ok(None) | Err(_) => {
                        self.failed();
                        return true;
                    }
                }
                continue;
            }
            if !self.next_batch() {
                return false;
            }
            let batch = fastrand::usize(1..4);
            let labels: Vec<Label> = (number..number + batch)
                .map(|number| Label {
                    sender,
                    number,
                    attempt: 1,
                })
                .collect();
            number += batch;
            let request = self.request(Codec::None, &labels);
            let client = self.client.as_mut().expect("connected");
            match client.send(&request) {
                Ok(id) => under_way.push_back((id, labels)),
                Err(_) => {
                    self.failed();
                    return true;
                }
            }
        }
    }

    /// Reads from the beginning, each message once.
    fn read(&mut self) {
        let partition = i32::try_from(self.partition).expect("few partitions");
        while self.pause(PACE) {
            let at = lock(&self.shared.book).pages[self.partition].reader_at;
            let request = fetch(TOPIC, partition, at);
            let Some(Ok(answer)) = self.leader().map(|leader| leader.call(&request)) else {
                self.client = None;
                continue;
            };
            let found = &answer["topics"][0]["partitions"][0];
            if found["error_code"] != 0 {
                // Also a leader whose end is before what was read elsewhere: it may have been overtaken and not know it.
                self.client = None;
                continue;
            }
            let messages = from_hex(found["message_set"].as_str().unwrap_or_default());
            let mut book = lock(&self.shared.book);
            match deep_entries(&messages, UNFOLDED_MAX) {
                // A compressed set may begin before what was asked for.
                Ok(entries) => {
                    for (offset, message) in entries.into_iter().filter(|(offset, _)| *offset >= at) {
                        let text = message.value.unwrap_or_default();
                        book.note_read(self.partition, offset, &text);
                    }
                }
                Err(error) => {
                    let partition = self.partition;
                    book.wrong
                        .push(format!("partition {partition}: a reader at {at} got {error}"));
                }
            }
        }
    }
}

/// The offset of the first message, if all of them were acknowledged.
pub(super) fn base_offset(answer: &Value) -> Option<i64> {
    let found = &answer["topics"][0]["partitions"][0];
    (found["error_code"] == 0)
        .then(|| found["base_offset"].as_i64())
        .flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
