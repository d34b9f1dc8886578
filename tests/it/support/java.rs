//! The reference's own clients, unmodified: console producer (old and new), perf, consumers, offsets.

use super::clients::KEY_END;
use super::clients::MESSAGE_END;
use super::clients::Record;
use super::clients::find;
use super::reference;
use super::scratch;

/// The producers behind the reference's console producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JavaProducer {
    Old,
    New,
}

/// Produces with the Java console producer; keys are optional, values are text.
#[track_caller]
pub(crate) fn java_produce(
    producer: JavaProducer,
    bootstrap: &str,
    topic: &str,
    codec: &str,
    records: &[Record],
) {
    let mut arguments = vec!["console-producer", "--broker-list", bootstrap, "--topic", topic];
    arguments.extend(["--request-required-acks", "-1", "--compression-codec", codec]);
    // A line without separator is a value without key.
    arguments.extend(["--property", "parse.key=true", "--property", "ignore.error=true"]);
    let separator = format!("key.separator={KEY_END}");
    arguments.extend(["--property", &separator]);
    if producer == JavaProducer::New {
        arguments.push("--new-producer");
    }
    let mut input = Vec::new();
    for record in records {
        if let Some(key) = &record.key {
            input.extend_from_slice(key);
            input.extend_from_slice(KEY_END.as_bytes());
        }
        input.extend_from_slice(record.value.as_deref().expect("it cannot send null values"));
        input.push(b'\n');
    }
    reference::tool(&arguments, &input);
}

/// Produces with the Java producer's measuring program: `count` messages of `size` bytes without keys. Returns what it said.
#[track_caller]
pub(crate) fn java_perf(bootstrap: &str, topic: &str, codec: &str, count: usize, size: usize) -> String {
    let (count, size) = (count.to_string(), size.to_string());
    let servers = format!("bootstrap.servers={bootstrap}");
    let codec = format!("compression.type={codec}");
    let arguments = [
        "new-producer-perf",
        topic,
        &count,
        &size,
        "-1",
        &servers,
        &codec,
        "acks=-1",
        "retries=3",
    ];
    reference::tool(&arguments, b"").account()
}

const FORMAT: [&str; 6] = [
    "--property",
    "print.key=true",
    "--property",
    "key.separator=<key|value>",
    "--property",
    "line.separator=<end>",
];

/// Consumes `count` messages with the Java console consumer, group membership and all, with the given configuration.
#[track_caller]
pub(crate) fn java_consume(connect: &str, topic: &str, count: usize, settings: &str) -> Vec<Record> {
    let directory = scratch("consumer");
    let file = directory.path().join("consumer.properties");
    // Should messages be missing, it ends after this time instead of never.
    std::fs::write(&file, format!("consumer.timeout.ms=15000\n{settings}")).unwrap();
    let file = file.to_string_lossy().into_owned();
    let count = count.to_string();
    let mut arguments = vec!["console-consumer", "--zookeeper", connect, "--topic", topic];
    arguments.extend([
        "--from-beginning",
        "--max-messages",
        &count,
        "--consumer.config",
        &file,
    ]);
    arguments.extend(FORMAT);
    split(&reference::tool(&arguments, b"").stdout)
}

/// What the reference's formatter makes of the first `count` records of `__consumer_offsets`.
#[track_caller]
pub(crate) fn java_format_offsets(connect: &str, count: usize) -> String {
    let directory = scratch("consumer");
    let file = directory.path().join("consumer.properties");
    std::fs::write(
        &file,
        "consumer.timeout.ms=15000\nexclude.internal.topics=false\n",
    )
    .unwrap();
    let (file, count) = (file.to_string_lossy().into_owned(), count.to_string());
    let mut arguments = vec!["console-consumer", "--zookeeper", connect, "--from-beginning"];
    arguments.extend(["--topic", "__consumer_offsets", "--max-messages", &count]);
    arguments.extend([
        "--formatter",
        "kafka.server.OffsetManager$OffsetsMessageFormatter",
    ]);
    arguments.extend(["--consumer.config", &file]);
    reference::tool(&arguments, b"").text()
}

/// Consumes partition 0 from the beginning to its end with the Java simple consumer.
#[track_caller]
pub(crate) fn java_simple_consume(bootstrap: &str, topic: &str) -> Vec<Record> {
    let mut arguments = vec![
        "simple-consumer-shell",
        "--broker-list",
        bootstrap,
        "--topic",
        topic,
    ];
    arguments.extend(["--partition", "0", "--offset", "-2", "--no-wait-at-logend"]);
    arguments.extend(FORMAT);
    let stdout = reference::tool(&arguments, b"").stdout;
    // Its farewell follows on the last message.
    let end = find(&stdout, b"Terminating. Reached the end of partition").unwrap_or(stdout.len());
    split(&stdout[..end])
}

/// The offsets that Java's GetOffsetShell prints for partition 0: `-1` asks for the end, `-2` for the beginning.
#[track_caller]
pub(crate) fn java_offsets(bootstrap: &str, topic: &str, time: &str) -> String {
    let arguments = [
        "get-offset-shell",
        "--broker-list",
        bootstrap,
        "--topic",
        topic,
        "--time",
        time,
    ];
    reference::tool(&arguments, b"").text().trim().to_owned()
}

/// Java's formatter prints nulls as text, so a reader cannot tell them from the word.
pub(crate) fn as_java_prints(record: &Record) -> Record {
    let null = || b"null".to_vec();
    Record {
        key: Some(record.key.clone().unwrap_or_else(null)),
        value: Some(record.value.clone().unwrap_or_else(null)),
    }
}

fn split(mut output: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(end) = find(output, MESSAGE_END.as_bytes()) {
        let message = &output[..end];
        let key_end = find(message, KEY_END.as_bytes()).expect("a key before each value");
        records.push(Record::new(
            Some(&message[..key_end]),
            Some(&message[key_end + KEY_END.len()..]),
        ));
        output = &output[end + MESSAGE_END.len()..];
    }
    records
}
