//! Answers in words, as the recordings have them; written out by hand, so that it depends on nothing that is under test.

use gregor::message::entry::entries;
use gregor::message::wrapper::deep_entries;
use gregor::protocol::ApiKey;
use serde_json::Value;
use serde_json::json;

/// More than any recorded set unfolds to.
const UNFOLDED_MAX: usize = 1 << 24;

/// The answer to a request of this API, without the frame's size.
pub(crate) fn decode(api: ApiKey, frame: &[u8]) -> Value {
    let mut rest = Reader(frame);
    let id = rest.i32();
    let mut answer = match api {
        ApiKey::Produce => json!({"topics": rest.by_topic(|r| {
            json!({"partition": r.i32(), "error_code": r.i16(), "base_offset": r.i64()})
        })}),
        ApiKey::Fetch => json!({"topics": rest.by_topic(|r| {
            json!({"partition": r.i32(), "error_code": r.i16(), "high_watermark": r.i64(), "message_set": r.blob()})
        })}),
        ApiKey::ListOffsets => json!({"topics": rest.by_topic(|r| {
            json!({"partition": r.i32(), "error_code": r.i16(), "offsets": r.array(Reader::i64)})
        })}),
        ApiKey::Metadata => {
            json!({"brokers": rest.array(Reader::broker), "topics": rest.array(Reader::topic_metadata)})
        }
        ApiKey::LeaderAndIsr | ApiKey::StopReplica => {
            json!({"error_code": rest.i16(), "partitions": rest.array(|r| {
                json!({"topic": r.string(), "partition": r.i32(), "error_code": r.i16()})
            })})
        }
        ApiKey::UpdateMetadata | ApiKey::Heartbeat => json!({"error_code": rest.i16()}),
        ApiKey::ControlledShutdown => {
            json!({"error_code": rest.i16(), "partitions_remaining": rest.array(|r| {
                json!({"topic": r.string(), "partition": r.i32()})
            })})
        }
        ApiKey::OffsetCommit => {
            json!({"topics": rest.by_topic(|r| json!({"partition": r.i32(), "error_code": r.i16()}))})
        }
        ApiKey::OffsetFetch => json!({"topics": rest.by_topic(|r| {
            json!({"partition": r.i32(), "offset": r.i64(), "metadata": r.string(), "error_code": r.i16()})
        })}),
        ApiKey::ConsumerMetadata => json!({"error_code": rest.i16(), "coordinator": rest.broker()}),
        ApiKey::JoinGroup => json!({
            "error_code": rest.i16(),
            "generation_id": rest.i32(),
            "consumer_id": rest.string(),
            "assigned_partitions": rest.by_topic(Reader::i32),
        }),
    };
    answer["correlation_id"] = json!(id);
    if !rest.0.is_empty() {
        answer["surplus_bytes"] = json!(rest.0.len());
    }
    answer
}

/// Takes out what may differ: the order of topics, partitions, brokers and replicas; how a compressed set is compressed.
pub(crate) fn canonical(answer: &Value) -> Value {
    match answer {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("message_set", Value::String(hex)) => message_set(hex),
                    ("replicas" | "isr", Value::Array(ids)) => {
                        let mut ids = ids.clone();
                        ids.sort_by_key(Value::as_i64);
                        Value::Array(ids)
                    }
                    _ => canonical(value),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(canonical).collect();
            if items.iter().all(Value::is_object) {
                items.sort_by_key(|item| {
                    let number = |name| item[name].as_i64();
                    (
                        item["topic"].as_str().map(str::to_owned),
                        number("partition"),
                        number("node_id"),
                    )
                });
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// Plain sets are compared byte by byte, incomplete ends included; of compressed ones the offsets, codecs and messages.
pub(crate) fn message_set(hex: &str) -> Value {
    let bytes = from_hex(hex);
    let outer: Vec<_> = entries(&bytes)
        .map(|entry| entry.expect("a sound set"))
        .map(|(offset, message)| (offset, message.codec().expect("a known codec").number()))
        .collect();
    if outer.iter().all(|(_, codec)| *codec == 0) {
        return json!(hex);
    }
    let show = |bytes: Option<bytes::Bytes>| bytes.map(|bytes| to_hex(&bytes));
    let messages: Vec<_> = deep_entries(&bytes, UNFOLDED_MAX)
        .expect("a sound set")
        .into_iter()
        .map(|(offset, message)| {
            json!([
                offset,
                show(message.key),
                show(message.value),
                message.crc_matches
            ])
        })
        .collect();
    json!({"outer": outer, "messages": messages})
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "whole bytes");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is left of a frame. Panics when less is left than asked for.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, len: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn string(&mut self) -> Option<String> {
        let len = usize::try_from(self.i16()).ok()?;
        Some(String::from_utf8_lossy(self.take(len)).into_owned())
    }

    fn blob(&mut self) -> Option<String> {
        let len = usize::try_from(self.i32()).ok()?;
        Some(to_hex(self.take(len)))
    }

    fn array<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.i32();
        assert!(count >= 0, "no answer has a null array");
        (0..count).map(|_| one(self)).collect()
    }

    fn by_topic<T: serde::Serialize>(&mut self, mut partition: impl FnMut(&mut Self) -> T) -> Vec<Value> {
        self.array(|rest| json!({"topic": rest.string(), "partitions": rest.array(&mut partition)}))
    }

    fn broker(&mut self) -> Value {
        json!({"node_id": self.i32(), "host": self.string(), "port": self.i32()})
    }

    fn topic_metadata(&mut self) -> Value {
        json!({"error_code": self.i16(), "topic": self.string(), "partitions": self.array(|r| json!({
            "error_code": r.i16(),
            "partition": r.i32(),
            "leader": r.i32(),
            "replicas": r.array(Self::i32),
            "isr": r.array(Self::i32),
        }))})
    }
}
