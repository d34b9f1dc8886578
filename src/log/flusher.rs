//! Flushing segments that were closed, in a thread of its own: appends must not wait for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::thread::JoinHandle;

use crate::log::Log;
use crate::log::lock;
use crate::log::read_lock;
use crate::types::TopicPartition;

/// Requests that wait. One too many is dropped: what it asks for is flushed with the segment after it, or
/// when the log is closed.
const WAITING: usize = 4096;

/// The logs by partition.
pub(crate) type LogMap = HashMap<TopicPartition, Arc<Log>>;

#[derive(Debug)]
enum Request {
    FlushBelow(TopicPartition, i64),
    Stop,
}

/// Where logs ask for being flushed.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlushRequests(Option<SyncSender<Request>>);

impl FlushRequests {
    /// Asks for a log to be flushed below an offset, soon.
    pub(crate) fn request(&self, topic_partition: &TopicPartition, offset: i64) {
        if let Some(sender) = &self.0 {
            // Full, or stopped: see above.
            let _ = sender.try_send(Request::FlushBelow(topic_partition.clone(), offset));
        }
    }
}

/// The thread that flushes.
#[derive(Debug)]
pub(crate) struct Flusher {
    sender: SyncSender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    /// Starts the thread.
    pub(crate) fn start(logs: Arc<RwLock<LogMap>>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("log-flusher".to_owned())
            .spawn(move || run(&receiver, &logs))?;
        Ok(Self {
            sender,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Where logs ask.
    pub(crate) fn requests(&self) -> FlushRequests {
        FlushRequests(Some(self.sender.clone()))
    }

    /// Stops the thread when it has done what was asked so far.
    pub(crate) fn stop(&self) {
        if let Some(thread) = lock(&self.thread).take() {
            // An error of either means that it has ended already.
            let _ = self.sender.send(Request::Stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(requests: &Receiver<Request>, logs: &RwLock<LogMap>) {
    while let Ok(Request::FlushBelow(topic_partition, offset)) = requests.recv() {
        let log = read_lock(logs).get(&topic_partition).map(Arc::clone);
        if let Some(Err(error)) = log.map(|log| log.flush_below(offset)) {
            // The log accepts nothing more; the next append, or the next look for what is to be flushed, stops the
            // broker.
            tracing::error!("{topic_partition}: flush: {error}");
        }
    }
}
