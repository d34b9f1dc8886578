//! Clients that others wrote, unmodified: kcat (librdkafka) and two releases of kafka-python.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::process::Running;
use super::process::run;
use super::project;
use super::target;

/// How long one step of a client may take.
const STEP: Duration = Duration::from_secs(60);

/// A message as clients see it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Record {
    pub(crate) fn new<B: AsRef<[u8]> + ?Sized>(key: Option<&B>, value: Option<&B>) -> Self {
        let own = |bytes: Option<&B>| bytes.map(|bytes| bytes.as_ref().to_vec());
        Self {
            key: own(key),
            value: own(value),
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |bytes: &Option<Vec<u8>>| match bytes {
            None => "null".to_owned(),
            Some(bytes) if bytes.len() > 60 => format!("{} bytes", bytes.len()),
            Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        };
        write!(out, "{}={}", show(&self.key), show(&self.value))
    }
}

/// The codecs of 0.8.2 by the names that clients use.
pub(crate) const CODECS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];

/// kcat with the settings that librdkafka needs for 0.8.
fn kcat(bootstrap: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args([
        "-b",
        bootstrap,
        "-X",
        "broker.version.fallback=0.8.2.2",
        "-X",
        "api.version.request=false",
    ]);
    command.args(arguments);
    command
}

/// What stands between key and value, and after each message, where a client works on text: no test sends it.
pub(super) const KEY_END: &str = "<key|value>";
pub(super) const MESSAGE_END: &str = "<end>";

/// Produces with kcat; empty values are sent as nulls if `empty_as_null`.
#[track_caller]
pub(crate) fn kcat_produce(
    bootstrap: &str,
    topic: &str,
    codec: &str,
    records: &[Record],
    empty_as_null: bool,
) {
    let mut arguments = vec![
        "-P",
        "-t",
        topic,
        "-p",
        "0",
        "-z",
        codec,
        "-K",
        KEY_END,
        "-D",
        MESSAGE_END,
    ];
    if empty_as_null {
        arguments.push("-Z");
    }
    let mut input = Vec::new();
    for record in records {
        if let Some(key) = &record.key {
            input.extend_from_slice(key);
            input.extend_from_slice(KEY_END.as_bytes());
        }
        input.extend_from_slice(record.value.as_deref().unwrap_or_default());
        input.extend_from_slice(MESSAGE_END.as_bytes());
    }
    run(kcat(bootstrap, &arguments), &input, STEP).succeeded();
}

/// Consumes partition 0 with kcat from the beginning to its end.
#[track_caller]
pub(crate) fn kcat_consume(bootstrap: &str, topic: &str) -> Vec<(i64, Record)> {
    kcat_consume_from(bootstrap, topic, 0)
}

/// Consumes partition 0 with kcat from an offset to its end.
#[track_caller]
pub(crate) fn kcat_consume_from(bootstrap: &str, topic: &str, offset: i64) -> Vec<(i64, Record)> {
    let from = if offset == 0 {
        "beginning".to_owned()
    } else {
        offset.to_string()
    };
    let arguments = [
        "-C",
        "-t",
        topic,
        "-p",
        "0",
        "-o",
        &from,
        "-e",
        "-q",
        "-f",
        "%o %K %S %k%s\n",
    ];
    let finished = run(kcat(bootstrap, &arguments), b"", STEP).succeeded();
    let mut rest = finished.stdout.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let mut number = || -> i64 {
            let end = rest
                .iter()
                .position(|byte| *byte == b' ')
                .expect("a number and a blank");
            let text = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 1..];
            text.parse()
                .unwrap_or_else(|_| panic!("{text} is no number: {}", finished.account()))
        };
        let (offset, key_len, value_len) = (number(), number(), number());
        let mut bytes = |len: i64| {
            let len = usize::try_from(len).ok()?;
            let (bytes, after) = rest.split_at(len);
            rest = after;
            Some(bytes.to_vec())
        };
        let record = Record {
            key: bytes(key_len),
            value: bytes(value_len),
        };
        rest = rest.strip_prefix(b"\n").expect("a line end after each message");
        records.push((offset, record));
    }
    records
}

/// Releases of kafka-python, each in its own virtual environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Kafka14,
    Kafka20,
}

impl Release {
    pub(crate) const ALL: [Self; 2] = [Self::Kafka14, Self::Kafka20];

    /// Its interpreter, as `scripts/test.sh` installs it.
    pub(crate) fn python(self) -> PathBuf {
        let name = match self {
            Self::Kafka14 => "kafka-python-1.4.7",
            Self::Kafka20 => "kafka-python-2.0.6",
        };
        target().join("clients").join(name).join("bin/python")
    }

    fn command(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.python());
        command
            .arg(project().join("tests/clients/client.py"))
            .args(arguments);
        command
    }

    /// Starts sending numbered messages to all partitions, a few hundred per second, until `end` is dropped or says so;
    /// its standard output says what was acknowledged.
    #[track_caller]
    pub(crate) fn steady(
        self,
        bootstrap: &str,
        topic: &str,
        sender: &str,
        end: Receiver<Vec<u8>>,
    ) -> Running {
        Running::start_fed(
            self.command(&["steady", bootstrap, topic, sender]),
            end.into_iter(),
        )
    }

    /// Starts consuming topics from their beginning; its standard output says what comes.
    #[track_caller]
    pub(crate) fn follow(self, bootstrap: &str, topics: &[&str]) -> Running {
        Running::start(self.command(&[&["follow", bootstrap], topics].concat()), None)
    }

    /// Starts sending numbered messages as fast as it can; its standard output says what was acknowledged.
    #[track_caller]
    pub(crate) fn load(self, bootstrap: &str, topic: &str, sender: &str, acks: &str) -> Running {
        Running::start(self.command(&["load", bootstrap, topic, sender, acks]), None)
    }
}

/// A Python process that does what it is told, line by line: many steps cost one start.
#[derive(Debug)]
pub(crate) struct Python {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Python {
    pub(crate) fn start(release: Release, bootstrap: &str) -> Self {
        let mut command = release.command(&["serve", bootstrap]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let stdin = child.stdin.take().expect("was asked for");
        let stdout = BufReader::new(child.stdout.take().expect("was asked for"));
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            stdin,
            answers,
        }
    }

    /// Produces to partition 0; per record its offset, or the name of the client's exception.
    #[track_caller]
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        codec: &str,
        acks: &str,
        records: &[Record],
    ) -> Vec<Result<i64, String>> {
        let records: Vec<Value> = records
            .iter()
            .map(|record| json!([hex(record.key.as_deref()), hex(record.value.as_deref())]))
            .collect();
        let answer = self.call(
            &json!({"do": "produce", "topic": topic, "codec": codec, "acks": acks, "records": records}),
        );
        let each = answer.as_array().unwrap();
        each.iter()
            .map(|one| one.as_i64().ok_or_else(|| one.as_str().unwrap().to_owned()))
            .collect()
    }

    /// Consumes everything between two offsets of a partition.
    #[track_caller]
    pub(crate) fn consume(&mut self, topic: &str, partition: i32, from: i64) -> Vec<(i64, Record)> {
        let answer =
            self.call(&json!({"do": "consume", "topic": topic, "partition": partition, "offset": from}));
        let each = answer.as_array().unwrap();
        each.iter()
            .map(|one| {
                (
                    one[0].as_i64().unwrap(),
                    Record {
                        key: unhex(&one[1]),
                        value: unhex(&one[2]),
                    },
                )
            })
            .collect()
    }

    /// First and end offset of a partition.
    #[track_caller]
    pub(crate) fn bounds(&mut self, topic: &str, partition: i32) -> (i64, i64) {
        let answer = self.call(&json!({"do": "bounds", "topic": topic, "partition": partition}));
        (answer[0].as_i64().unwrap(), answer[1].as_i64().unwrap())
    }

    /// Commits a position of a group; `storage` is `kafka` or `zookeeper`.
    #[track_caller]
    pub(crate) fn commit(&mut self, storage: &str, group: &str, topic: &str, offset: i64) {
        self.call(
            &json!({"do": "commit", "storage": storage, "group": group, "topic": topic, "offset": offset}),
        );
    }

    /// What a group has committed for partition 0.
    #[track_caller]
    pub(crate) fn committed(&mut self, storage: &str, group: &str, topic: &str) -> Option<i64> {
        self.call(&json!({"do": "committed", "storage": storage, "group": group, "topic": topic}))
            .as_i64()
    }

    #[track_caller]
    fn call(&mut self, command: &Value) -> Value {
        writeln!(self.stdin, "{command}").expect("the client reads");
        let line = self
            .answers
            .recv_timeout(STEP)
            .expect("the client answers in time");
        let mut answer: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert!(
            answer.get("error").is_none(),
            "{}",
            answer["error"].as_str().unwrap_or_default()
        );
        answer["answer"].take()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into()
    })
}

fn unhex(text: &Value) -> Option<Vec<u8>> {
    let digits = text.as_str()?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.chunks(2).map(byte).collect())
}

/// Where a piece of text begins.
pub(crate) fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes.windows(piece.len()).position(|window| window == piece)
}
