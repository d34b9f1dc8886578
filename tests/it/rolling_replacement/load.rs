//! Producers and consumers that go on whatever happens, and what they were told.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::cluster::Cluster;
use super::cluster::JAVA_TOPIC;
use super::cluster::PARTITIONS;
use super::cluster::PYTHON_TOPIC;
use super::progress::Counts;
use super::progress::Progress;
use crate::support::clients::Python;
use crate::support::clients::Record;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::numbered::text;
use crate::support::process::Running;
use crate::support::reference;
use crate::support::scratch;

/// Acknowledgements and messages to wait for in each partition after each step: with them every member of the ISR has
/// what was acknowledged before, also if it has cut its log to an old high watermark.
const MORE: usize = 30;

/// How long clients may need to find their way after a step.
const PATIENCE: Duration = Duration::from_secs(180);

/// The group of the Java consumer, which keeps its positions in brokers.
const GROUP: &str = "rolling";

/// A message of the Java producer is so long that few of them wait in its input.
const LINE: usize = 200;

/// A partition of a topic.
pub(super) type Place = (String, usize);

/// What Java's producer is given to send.
#[derive(Debug, Default)]
struct Feed {
    lines: AtomicUsize,
    ends: AtomicBool,
}

/// Clients of two makes, each a producer and a consumer.
pub(super) struct Load {
    python_producer: Running,
    python_consumer: Running,
    java_producer: Running,
    java_consumer: Running,
    end: Sender<Vec<u8>>,
    feed: Arc<Feed>,
    progress: Progress,
    /// Where the group was when it was last asked for.
    committed: i64,
    bootstrap: String,
    _settings: tempfile::TempDir,
}

impl Load {
    /// Starts all of them.
    pub(super) fn start(cluster: &Cluster) -> Self {
        let bootstrap = cluster.bootstrap();
        let (end, ended) = mpsc::channel();
        let feed = Arc::new(Feed::default());
        let settings = scratch("consumer");
        Self {
            python_producer: Release::Kafka20.steady(&bootstrap, PYTHON_TOPIC, "python", ended),
            python_consumer: Release::Kafka20.follow(&bootstrap, &[PYTHON_TOPIC, JAVA_TOPIC]),
            java_producer: java_producer(&bootstrap, Arc::clone(&feed)),
            java_consumer: Running::start(java_consumer(cluster, &settings), None),
            end,
            feed,
            progress: Progress::default(),
            committed: 0,
            bootstrap,
            _settings: settings,
        }
    }

    /// Waits until every client has got further in every partition, and the group as well.
    #[track_caller]
    pub(super) fn goes_on(&mut self) {
        let before = self.counts();
        eventually("all clients get further in all partitions", PATIENCE, || {
            let now = self.counts();
            let got_further =
                |(place, count): (&(_, _), &usize)| *count >= before.get(place).unwrap_or(&0) + MORE;
            // Python's producer, its consumer with both topics, and Java's consumer of the same.
            let complete = now.len() == PARTITIONS * 5;
            if complete && now.iter().all(got_further) {
                Ok(())
            } else {
                Err(format!("{now:?} after {before:?}"))
            }
        });
        for (name, client) in self.clients() {
            assert!(client.exited().is_none(), "{name} has ended: {}", client.stderr());
        }
        let before = self.committed;
        // Anew: one that is idle while its coordinator is replaced may wait for it for minutes.
        let mut watcher = Python::start(Release::Kafka14, &self.bootstrap);
        self.committed = eventually("the group commits", PATIENCE, || {
            let committed = watcher.committed("kafka", GROUP, PYTHON_TOPIC).unwrap_or(-1);
            assert!(
                committed >= before || committed == -1 && before == 0,
                "the group is back from {before} to {committed}"
            );
            if committed > before {
                Ok(committed)
            } else {
                Err(committed)
            }
        });
    }

    /// How many messages each client knows of, by client and partition.
    fn counts(&mut self) -> Counts {
        let counts = self
            .progress
            .look(&self.python_producer, &self.python_consumer, &self.java_consumer);
        counts.clone()
    }

    fn clients(&mut self) -> [(&'static str, &mut Running); 4] {
        [
            ("Python's producer", &mut self.python_producer),
            ("Python's consumer", &mut self.python_consumer),
            ("Java's producer", &mut self.java_producer),
            ("Java's consumer", &mut self.java_consumer),
        ]
    }

    /// Ends the producers, lets the consumers read to the end, and checks what they were told against what is there.
    /// Answers how many messages were acknowledged, and the longest time without an acknowledgement in a partition.
    #[track_caller]
    pub(super) fn finish(self, cluster: &Cluster) -> (usize, String) {
        drop(self.end);
        self.feed.ends.store(true, Ordering::Relaxed);
        let python = self.python_producer.wait(PATIENCE).succeeded();
        let pause = python.stderr.trim().to_owned();
        let python = acknowledged(&python.stdout);
        // It waits for each answer, and would have ended with the first error.
        self.java_producer.wait(PATIENCE).succeeded();

        let mut reader = Python::start(Release::Kafka20, &cluster.bootstrap());
        let mut logs: BTreeMap<Place, Vec<String>> = BTreeMap::new();
        for topic in [PYTHON_TOPIC, JAVA_TOPIC] {
            for number in 0..PARTITIONS {
                let read = reader.consume(topic, i32::try_from(number).unwrap(), 0);
                let offsets = read.iter().map(|(offset, _)| *offset);
                assert!(
                    offsets.eq(0..i64::try_from(read.len()).unwrap()),
                    "{topic}-{number} has a gap"
                );
                let text =
                    |(_, record): &(i64, Record)| String::from_utf8(record.value.clone().unwrap()).unwrap();
                logs.insert((topic.to_owned(), number), read.iter().map(text).collect());
            }
        }
        for (place, offset, message) in &python {
            let found = logs[place].get(usize::try_from(*offset).unwrap());
            assert_eq!(found, Some(message), "acknowledged in {place:?} at {offset}");
        }
        for (place, log) in &logs {
            let firsts = without_repetitions(log);
            assert!(firsts.is_sorted(), "{place:?} is out of order");
        }
        let java: BTreeSet<_> = (0..PARTITIONS)
            .flat_map(|number| logs[&(JAVA_TOPIC.to_owned(), number)].clone())
            .collect();
        let sent = self.feed.lines.load(Ordering::Relaxed);
        assert!(
            java.into_iter().eq((0..sent).map(line)),
            "something of Java's producer is missing"
        );

        consumers_saw_everything(&self.python_consumer, &self.java_consumer, &logs);
        (python.len() + sent, pause)
    }
}

/// Every message has been consumed, by each consumer and in order. What was seen twice was consumed again.
#[track_caller]
fn consumers_saw_everything(python: &Running, java: &Running, logs: &BTreeMap<Place, Vec<String>>) {
    eventually("Python's consumer has everything", PATIENCE, || {
        let mut seen: BTreeMap<Place, Vec<(i64, String)>> = BTreeMap::new();
        for (place, offset, message) in consumed(&python.stdout()) {
            seen.entry(place).or_default().push((offset, message));
        }
        let missing = logs
            .iter()
            .find(|(place, log)| seen.get(place).map_or(0, Vec::len) < log.len());
        if let Some((place, log)) = missing {
            return Err(format!("{place:?} has {}", log.len()));
        }
        for (place, log) in logs {
            let expected = (0..).zip(log.iter().cloned());
            assert!(
                seen[place].iter().cloned().eq(expected),
                "Python consumed something else from {place:?}"
            );
        }
        Ok(())
    });
    let places: BTreeMap<&String, &Place> = logs
        .iter()
        .flat_map(|(place, log)| log.iter().map(move |message| (message, place)))
        .collect();
    eventually("Java's consumer has everything", PATIENCE, || {
        let mut seen: BTreeMap<&Place, Vec<String>> = BTreeMap::new();
        for message in lines(&java.stdout()) {
            let place = places
                .get(&message)
                .unwrap_or_else(|| panic!("nobody sent {message}"));
            seen.entry(place).or_default().push(message);
        }
        for (place, log) in logs {
            let (seen, all) = (
                without_repetitions(seen.get(place).map_or(&[], Vec::as_slice)),
                without_repetitions(log),
            );
            if seen.len() < all.len() {
                return Err(format!("{} of {} of {place:?}", seen.len(), all.len()));
            }
            assert!(seen == all, "Java consumed something else from {place:?}");
        }
        Ok(())
    });
}

/// The reference's new producer: it sends one line after the other, each when the one before is acknowledged.
fn java_producer(bootstrap: &str, feed: Arc<Feed>) -> Running {
    let arguments = [
        "console-producer",
        "--broker-list",
        bootstrap,
        "--topic",
        JAVA_TOPIC,
        "--new-producer",
        // The new producer takes no notice of --sync.
        "--property",
        "producer.type=sync",
        "--timeout",
        "0",
        "--request-required-acks",
        "-1",
        "--message-send-max-retries",
        "1000000",
    ];
    let lines = std::iter::from_fn(move || {
        let next = || line(feed.lines.fetch_add(1, Ordering::Relaxed)) + "\n";
        (!feed.ends.load(Ordering::Relaxed)).then(|| next().into_bytes())
    });
    Running::start_fed(reference::command(&arguments), lines)
}

/// The reference's consumer of whole groups.
fn java_consumer(cluster: &Cluster, settings: &tempfile::TempDir) -> Command {
    let file = settings.path().join("consumer.properties");
    let text = format!(
        "group.id={GROUP}\noffsets.storage=kafka\ndual.commit.enabled=false\nauto.commit.interval.ms=200\n\
         zookeeper.session.timeout.ms=20000\nrefresh.leader.backoff.ms=50\n"
    );
    std::fs::write(&file, text).unwrap();
    let (topics, file) = (
        format!("{PYTHON_TOPIC}|{JAVA_TOPIC}"),
        file.to_string_lossy().into_owned(),
    );
    reference::command(&[
        "console-consumer",
        "--zookeeper",
        &cluster.connect,
        "--whitelist",
        &topics,
        "--from-beginning",
        "--consumer.config",
        &file,
    ])
}

fn line(number: usize) -> String {
    format!("{:LINE$}", text("java", number))
}

/// Whole lines of an output.
fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output)
        .split_inclusive('\n')
        // A line that is still being written says nothing yet.
        .filter_map(|line| line.strip_suffix('\n').map(str::to_owned))
        .collect()
}

/// What Python's producer got acknowledged: where, at which offset, and which message.
pub(super) fn acknowledged(output: &[u8]) -> Vec<(Place, i64, String)> {
    let parse = |line: String| {
        let mut fields = line.splitn(3, ' ');
        let (partition, offset) = (fields.next().unwrap(), fields.next().unwrap());
        (
            (PYTHON_TOPIC.to_owned(), partition.parse().unwrap()),
            offset.parse().unwrap(),
            fields.next().unwrap().to_owned(),
        )
    };
    lines(output).into_iter().map(parse).collect()
}

/// What Python's consumer got: from where, at which offset, and which message.
pub(super) fn consumed(output: &[u8]) -> Vec<(Place, i64, String)> {
    let parse = |line: String| {
        let mut fields = line.splitn(4, ' ');
        let mut field = || fields.next().unwrap().to_owned();
        (
            (field(), field().parse().unwrap()),
            field().parse().unwrap(),
            field(),
        )
    };
    lines(output).into_iter().map(parse).collect()
}

/// Each message where it comes first.
fn without_repetitions(messages: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    messages.iter().filter(|message| seen.insert(*message)).collect()
}
