//! Every request and response that was exchanged with 0.8.2.2, and the specification's examples.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::message::entry::entries;
use crate::message::slice::FileSlice;
use crate::protocol::fetch::FetchResponse;
use crate::protocol::fetch::PartitionFetched;
use crate::types::Endpoint;

/// One exchange: what was sent, what came back.
struct Case {
    name: String,
    request: Vec<u8>,
    /// Hex, `closed` or `none`.
    response: String,
    /// The responses in words, one per frame.
    decoded: Vec<Value>,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire")
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cases_in(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(fixtures().join(file)).unwrap();
    let lines = text.lines().enumerate();
    lines
        .map(|(line, text)| {
            let case: Value = serde_json::from_str(text).unwrap();
            let name = case["name"].as_str().map(str::to_owned);
            Case {
                name: name.unwrap_or_else(|| format!("{file}:{}", line + 1)),
                request: hex(case["request"].as_str().unwrap()),
                response: case["response"].as_str().unwrap().to_owned(),
                decoded: match &case["decoded"] {
                    Value::Array(several) => several.clone(),
                    Value::Null => Vec::new(),
                    one => vec![one.clone()],
                },
            }
        })
        .collect()
}

fn cases() -> Vec<Case> {
    let files = [
        "solo.jsonl",
        "cluster.jsonl",
        "controller.jsonl",
        "malformed.jsonl",
        "sessions/between-brokers.jsonl",
        "sessions/console-producer-new-topic.jsonl",
        "sessions/console-producer.jsonl",
        "sessions/consumer-kafka-offsets.jsonl",
        "sessions/consumer-zookeeper-offsets.jsonl",
        "sessions/java-producer.jsonl",
        "sessions/scala-producer.jsonl",
        "sessions/tools.jsonl",
    ];
    let cases: Vec<Case> = files.into_iter().flat_map(cases_in).collect();
    assert_eq!(cases.len(), 464);
    cases
}

/// Splits off the complete frames, without their sizes.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk() {
        let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) else {
            break;
        };
        let Some((frame, rest)) = rest.split_at_checked(size) else {
            break;
        };
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn decode(frame: &[u8]) -> Result<(RequestHeader, Request), DecodeError> {
    decode_request(BytesMut::from(frame))
}

/// What our client would send for it, without the frame's size.
fn encode(header: &RequestHeader, request: &Request) -> Vec<u8> {
    let (id, client) = (header.correlation_id, header.client_id.as_deref());
    let frame = match request {
        Request::Produce(request) => encode_request(id, client, request),
        Request::Fetch(request) => encode_request(id, client, request),
        Request::ListOffsets(request) => encode_request(id, client, request),
        Request::Metadata(request) => encode_request(id, client, request),
        Request::LeaderAndIsr(request) => encode_request(id, client, request),
        Request::StopReplica(request) => encode_request(id, client, request),
        Request::UpdateMetadata(request) => encode_request(id, client, request),
        Request::ControlledShutdown(request) => encode_request(id, client, request),
        Request::OffsetCommit(request) => encode_request(id, client, request),
        Request::OffsetFetch(request) => encode_request(id, client, request),
        Request::ConsumerMetadata(request) => encode_request(id, client, request),
        Request::JoinGroup(request) => encode_request(id, client, request),
        Request::Heartbeat(request) => encode_request(id, client, request),
    };
    assert_eq!(frames(&frame).len(), 1);
    frames(&frame)[0].to_vec()
}

/// A response that was received. Fetched messages are in memory.
enum Received {
    Fetch(FetchResponse<Bytes>),
    Other(Response),
}

fn receive(key: ApiKey, frame: &[u8]) -> Result<(i32, Received), DecodeError> {
    fn other<R: DecodeResponse + Into<Response>>(frame: Bytes) -> Result<(i32, Received), DecodeError> {
        decode_response::<R>(frame).map(|(id, response)| (id, Received::Other(response.into())))
    }
    let frame = Bytes::copy_from_slice(frame);
    match key {
        ApiKey::Fetch => decode_response(frame).map(|(id, response)| (id, Received::Fetch(response))),
        ApiKey::Produce => other::<produce::ProduceResponse>(frame),
        ApiKey::ListOffsets => other::<list_offsets::ListOffsetsResponse>(frame),
        ApiKey::Metadata => other::<metadata::MetadataResponse>(frame),
        ApiKey::LeaderAndIsr => other::<leader_and_isr::LeaderAndIsrResponse>(frame),
        ApiKey::StopReplica => other::<stop_replica::StopReplicaResponse>(frame),
        ApiKey::UpdateMetadata => other::<update_metadata::UpdateMetadataResponse>(frame),
        ApiKey::ControlledShutdown => other::<controlled_shutdown::ControlledShutdownResponse>(frame),
        ApiKey::OffsetCommit => other::<offset_commit::OffsetCommitResponse>(frame),
        ApiKey::OffsetFetch => other::<offset_fetch::OffsetFetchResponse>(frame),
        ApiKey::ConsumerMetadata => other::<consumer_metadata::ConsumerMetadataResponse>(frame),
        ApiKey::JoinGroup => other::<join_group::JoinGroupResponse>(frame),
        ApiKey::Heartbeat => other::<heartbeat::HeartbeatResponse>(frame),
    }
}

fn in_memory(frame: ResponseFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in frame.chunks {
        match chunk {
            Chunk::Bytes(part) => bytes.extend_from_slice(&part),
            Chunk::File(slice) => panic!("{slice:?}"),
        }
    }
    bytes
}

fn topics<P>(topics: &ByTopic<P>, partition: impl Fn(&P) -> Value) -> Value {
    let topic = |(topic, partitions): &(Option<String>, Vec<P>)| json!({"topic": topic, "partitions": partitions.iter().map(&partition).collect::<Value>()});
    topics.iter().map(topic).collect()
}

fn broker(endpoint: &Endpoint) -> Value {
    json!({"node_id": endpoint.id.0, "host": endpoint.host, "port": endpoint.port})
}

fn ids(ids: &[crate::types::BrokerId]) -> Value {
    ids.iter().map(|id| id.0).collect()
}

fn errors(partitions: &[(String, i32, ErrorCode)]) -> Value {
    let error = |(topic, partition, error): &(String, i32, ErrorCode)| json!({"topic": topic, "partition": partition, "error_code": error.code()});
    partitions.iter().map(error).collect()
}

/// The response in the fixtures' words.
fn described(id: i32, received: &Received) -> Value {
    let mut words = match received {
        Received::Fetch(response) => json!({"topics": topics(&response.topics, |p| {
            json!({"partition": p.partition, "error_code": p.error.code(), "high_watermark": p.high_watermark,
                   "message_set": to_hex(p.messages.as_deref().unwrap_or_default())})
        })}),
        Received::Other(response) => described_other(response),
    };
    words["correlation_id"] = id.into();
    words
}

fn described_other(response: &Response) -> Value {
    match response {
        Response::Fetch(_) => panic!("not in memory"),
        Response::Produce(response) => json!({"topics": topics(&response.topics, |p| {
            json!({"partition": p.partition, "error_code": p.error.code(), "base_offset": p.base_offset})
        })}),
        Response::ListOffsets(response) => json!({"topics": topics(&response.topics, |p| {
            json!({"partition": p.partition, "error_code": p.error.code(), "offsets": p.offsets})
        })}),
        Response::Metadata(response) => {
            let partition = |p: &metadata::PartitionMetadata| {
                json!({"error_code": p.error.code(), "partition": p.partition,
                       "leader": p.leader.map_or(-1, |leader| leader.0),
                       "replicas": ids(&p.replicas), "isr": ids(&p.isr)})
            };
            let topic = |t: &metadata::TopicMetadata| {
                json!({"error_code": t.error.code(), "topic": t.topic,
                       "partitions": t.partitions.iter().map(partition).collect::<Value>()})
            };
            json!({"brokers": response.brokers.iter().map(broker).collect::<Value>(),
                   "topics": response.topics.iter().map(topic).collect::<Value>()})
        }
        Response::LeaderAndIsr(response) => {
            json!({"error_code": response.error.code(), "partitions": errors(&response.partitions)})
        }
        Response::StopReplica(response) => {
            json!({"error_code": response.error.code(), "partitions": errors(&response.partitions)})
        }
        Response::UpdateMetadata(response) => json!({"error_code": response.error.code()}),
        Response::ControlledShutdown(response) => {
            let remaining =
                |(topic, partition): &(String, i32)| json!({"topic": topic, "partition": partition});
            let remaining: Value = response.partitions_remaining.iter().map(remaining).collect();
            json!({"error_code": response.error.code(), "partitions_remaining": remaining})
        }
        Response::OffsetCommit(response) => json!({"topics": topics(&response.topics, |(partition, error)| {
            json!({"partition": partition, "error_code": error.code()})
        })}),
        Response::OffsetFetch(response) => json!({"topics": topics(&response.topics, |p| {
            json!({"partition": p.partition, "offset": p.offset, "metadata": p.metadata,
                   "error_code": p.error.code()})
        })}),
        Response::ConsumerMetadata(response) => {
            let nobody = json!({"node_id": -1, "host": "", "port": -1});
            json!({"error_code": response.error.code(),
                   "coordinator": response.coordinator.as_ref().map_or(nobody, broker)})
        }
        Response::JoinGroup(response) => json!({"error_code": response.error.code(),
            "generation_id": response.generation, "consumer_id": response.consumer_id,
            "assigned_partitions": response.assigned_partitions}),
        Response::Heartbeat(response) => json!({"error_code": response.error.code()}),
    }
}

/// Requests that can be read, although the reference closed the connection or waited: for what they ask, not for how.
const CLOSED_LATER: [&str; 3] = [
    "produce-acks-0-not-leader",
    "produce-acks-0-unknown-topic",
    "produce-acks-0-one-bad-of-two",
];

/// Recordings of whole conversations, at whose end somebody still waited.
const SESSIONS: &str = "sessions/";

#[test]
fn what_0_8_2_2_reads_is_read_and_what_it_refuses_is_refused() {
    for case in cases() {
        let decoded: Vec<_> = frames(&case.request).into_iter().map(decode).collect();
        let refused = decoded.iter().any(Result::is_err);
        let waits = |(_, request): &(RequestHeader, Request)| match request {
            Request::Produce(request) => request.acks != produce::Acks::None,
            _ => true,
        };
        let answered = decoded
            .iter()
            .map_while(|decoded| decoded.as_ref().ok())
            .filter(|d| waits(d));
        let answered = answered.count();
        match case.response.as_str() {
            "closed" if CLOSED_LATER.contains(&case.name.as_str()) => assert!(!refused, "{}", case.name),
            "closed" => assert!(refused || decoded.is_empty(), "{}", case.name),
            "none" if case.name.starts_with(SESSIONS) => assert!(!refused, "{}", case.name),
            "none" => assert!(!refused && answered == 0, "{}", case.name),
            response => assert_eq!(answered, frames(&hex(response)).len(), "{}", case.name),
        }
    }
}

/// Why a request of the reference is not what our client would send for the same wish.
const NOT_CANONICAL: [(&str, &str); 41] = [
    ("metadata-duplicate-names", "said twice"),
    ("metadata-version-7", "another version"),
    ("produce-acks-minus-5", "another number below -1"),
    ("produce-timeout-negative-acks-2", "a negative time"),
    ("produce-same-partition-twice", "said twice"),
    ("produce-topic-twice", "said twice"),
    ("produce-no-partitions", "a topic without partitions"),
    ("produce-min-isr-acks-minus-5", "another number below -1"),
    ("produce-version-3", "another version"),
    ("produce-surplus-bytes", "surplus bytes"),
    ("fetch-same-partition-twice", "said twice"),
    ("fetch-no-partitions", "a topic without partitions"),
    ("fetch-max-wait-negative", "a negative time"),
    ("fetch-replica-minus-3", "another number below -2"),
    ("fetch-version-2", "another version"),
    ("offsets-same-partition-twice", "said twice"),
    ("offsets-version-1", "another version"),
    ("commit-v0-new-group-no-partitions", "a topic without partitions"),
    ("fetch-offset-v2", "another version"),
    ("commit-v1-same-partition-twice", "said twice"),
    ("fetch-offset-v1-same-partition-twice", "said twice"),
    ("produce-min-isr-acks-minus-5-one-dead", "another number below -1"),
    ("leader-and-isr-same-partition-twice", "said twice"),
    ("leader-and-isr-version-3", "another version"),
    ("update-metadata-version-1", "another version"),
    ("controlled-shutdown-with-client-id", "surplus bytes"),
    ("client-id-length-min", "another length of null"),
    ("client-id-bad-utf8", "broken UTF-8"),
    ("metadata-name-bad-utf8", "broken UTF-8"),
    ("metadata-surplus", "surplus bytes"),
    ("produce-topic-count-negative", "a negative count"),
    ("produce-set-size-shorter", "surplus bytes"),
    ("fetch-topic-count-negative", "a negative count"),
    ("fetch-topic-bad-utf8", "broken UTF-8"),
    ("offsets-count-negative", "a negative count"),
    (
        "commit-v0-body-as-v1",
        "a topic without partitions, surplus bytes",
    ),
    ("commit-count-negative", "a negative count"),
    ("fetch-offset-count-negative", "a negative count"),
    ("fetch-offset-version-minus-1", "another version"),
    ("coordinator-bad-utf8", "broken UTF-8"),
    ("zeros", "surplus bytes"),
];

#[test]
fn requests_go_both_ways() {
    let mut differing = Vec::new();
    for case in cases() {
        for frame in frames(&case.request) {
            let Ok((header, request)) = decode(frame) else {
                continue;
            };
            let encoded = encode(&header, &request);
            if encoded != frame {
                differing.push(case.name.clone());
            }
            // Whatever was dropped on the way in, the rest stays.
            let (_, again) = decode(&encoded).unwrap();
            assert_eq!(format!("{again:?}"), format!("{request:?}"), "{}", case.name);
        }
    }
    let expected: Vec<_> = NOT_CANONICAL.iter().map(|(name, _)| *name).collect();
    assert_eq!(differing, expected);
}

#[test]
fn responses_go_both_ways_and_say_what_the_reference_said() {
    let mut seen = std::collections::HashSet::new();
    for case in cases() {
        if ["closed", "none"].contains(&case.response.as_str()) {
            continue;
        }
        let requests = frames(&case.request)
            .into_iter()
            .map_while(|frame| decode(frame).ok());
        let mut keys = requests
            .filter(|(_, request)| !matches!(request, Request::Produce(p) if p.acks == produce::Acks::None))
            .map(|(_, request)| request.key());
        let bytes = hex(&case.response);
        for (frame, expected) in frames(&bytes).into_iter().zip(&case.decoded) {
            let key = keys.next().unwrap();
            seen.insert(key);
            let (id, received) = receive(key, frame).unwrap();
            assert_eq!(&described(id, &received), expected, "{}", case.name);
            let encoded = in_memory(match received {
                Received::Fetch(response) => response.encode(id),
                Received::Other(response) => response.encode(id),
            });
            assert_eq!(to_hex(&encoded[SIZE_LEN..]), to_hex(frame), "{}", case.name);
            assert_eq!(frames(&encoded), [frame], "{}", case.name);
        }
    }
    assert_eq!(seen.len(), ApiKey::ALL.len());
}

#[test]
fn a_cut_request_is_refused_or_read_but_never_a_panic() {
    for case in cases() {
        for frame in frames(&case.request) {
            let surplus = decode(frame).map_or(0, |(header, request)| {
                frame.len().saturating_sub(encode(&header, &request).len())
            });
            for len in 0..frame.len() {
                let cut = decode(&frame[..len]);
                // Only surplus bytes can be missed by nobody.
                assert!(
                    cut.is_err() || len + surplus >= frame.len() || surplus > 0,
                    "{} {len}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn a_damaged_request_is_refused_or_read_but_never_a_panic() {
    for case in cases() {
        for frame in frames(&case.request)
            .into_iter()
            .filter(|frame| frame.len() < 300)
        {
            for at in 0..frame.len() {
                for change in [0x01, 0x7f, 0x80, 0xff] {
                    let mut damaged = frame.to_vec();
                    damaged[at] ^= change;
                    if let Ok((header, request)) = decode(&damaged) {
                        encode(&header, &request);
                    }
                }
            }
        }
    }
}

#[test]
fn cut_and_overlong_responses_are_refused() {
    for case in cases() {
        let Some(Ok((header, _))) = frames(&case.request).first().map(|frame| decode(frame)) else {
            continue;
        };
        let key = ApiKey::from_code(header.api_key).unwrap();
        if ["closed", "none"].contains(&case.response.as_str()) {
            continue;
        }
        let bytes = hex(&case.response);
        let frames = frames(&bytes);
        let Some(frame) = frames.first().filter(|_| frames.len() == 1) else {
            continue;
        };
        if receive(key, frame).is_err() {
            // The first request had no answer; this one belongs to the second.
            assert_eq!(case.name, "produce-acks-0-then-offsets");
            continue;
        }
        for len in 0..frame.len() {
            assert!(receive(key, &frame[..len]).is_err(), "{} {len}", case.name);
        }
        let mut longer = frame.to_vec();
        longer.push(0);
        let refused = receive(key, &longer).map(|_| ());
        assert_eq!(
            refused.unwrap_err().failure,
            DecodeFailure::Surplus { bytes: 1 },
            "{}",
            case.name
        );
    }
}

#[test]
fn counts_and_lengths_reserve_nothing() {
    let header = |key: ApiKey| {
        let mut bytes = key.code().to_be_bytes().to_vec();
        bytes.extend_from_slice(&hex("0000 00000001 ffff"));
        bytes
    };
    for (key, body) in [
        (ApiKey::Produce, "0001 00000000 7fffffff"),
        (
            ApiKey::Produce,
            "0001 00000000 00000001 0001 61 00000001 00000000 7fffffff 00",
        ),
        (ApiKey::Fetch, "ffffffff 00000000 00000000 00000001 ffff 7fffffff"),
        (ApiKey::Metadata, "7fffffff 7fff"),
        (ApiKey::StopReplica, "00000000 00000000 00 7fffffff"),
        (
            ApiKey::LeaderAndIsr,
            "00000000 00000000 00000001 0001 61 00000000 00000000 00000000 00000000 7fffffff",
        ),
        (ApiKey::JoinGroup, "0000 00000000 7fffffff"),
    ] {
        let mut frame = header(key);
        frame.extend(hex(body));
        let error = decode(&frame).unwrap_err();
        assert!(
            matches!(error.failure, DecodeFailure::Malformed { .. }),
            "{key:?}"
        );
        assert_eq!(error.header.unwrap().api_key, key.code());
    }
}

#[test]
fn a_refused_request_says_whose_it_is() {
    let error = decode(&hex("0012 0003 0000002a 0003 6c6962 00")).unwrap_err();
    assert_eq!(error.failure, DecodeFailure::UnknownApi(18));
    let header = error.header.unwrap();
    assert_eq!((header.api_version, header.correlation_id), (3, 42));
    assert_eq!(header.client_id.as_deref(), Some("lib"));

    let error = decode(&hex("0008 0002 00000001 0001 63 ffff 00000000")).unwrap_err();
    assert_eq!(error.failure, DecodeFailure::UnknownVersion(2));
    assert_eq!(error.header.unwrap().client_id.as_deref(), Some("c"));

    let error = decode(&hex("0012 0000 00000001")).unwrap_err();
    assert_eq!(error.failure, DecodeFailure::UnknownApi(18));
    let error = decode(&hex("0003 0000 000000")).unwrap_err();
    assert_eq!(
        (error.failure, error.header),
        (DecodeFailure::Malformed { at: 4 }, None)
    );
}

/// Produce to two partitions, one of them twice, in topics that come apart: what was said last counts.
#[test]
fn duplicates_are_resolved_and_topics_grouped() {
    let partition = |number: i32, set: &str| {
        let set = hex(set);
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend_from_slice(&i32::try_from(set.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&set);
        bytes
    };
    let mut frame = hex("0000 0000 00000001 ffff 0001 000003e8 00000003 0001 61 00000002");
    frame.extend(partition(1, "01"));
    frame.extend(partition(0, "0202"));
    frame.extend(hex("ffff 00000001"));
    frame.extend(partition(0, "03"));
    frame.extend(hex("0001 61 00000001"));
    frame.extend(partition(1, "040404"));
    let (_, Request::Produce(request)) = decode(&frame).unwrap() else {
        panic!("not a produce request");
    };
    let sets: Vec<_> = request
        .topics
        .iter()
        .map(|topic| {
            let sets = topic.partitions.iter();
            let sets: Vec<_> = sets.map(|p| (p.partition, to_hex(p.set.as_bytes()))).collect();
            (topic.topic.clone(), sets)
        })
        .collect();
    assert_eq!(
        sets,
        [
            (
                Some("a".to_owned()),
                vec![(0, "0202".to_owned()), (1, "040404".to_owned())]
            ),
            (None, vec![(0, "03".to_owned())]),
        ]
    );
}

#[test]
fn many_topics_are_grouped_like_few() {
    let named: ByTopic<i32> = (0..40).map(|n| (Some(format!("t{}", n % 20)), vec![n])).collect();
    let grouped = codec::grouped(named, |partition| *partition);
    assert_eq!(grouped.len(), 20);
    assert_eq!(grouped[3], (Some("t3".to_owned()), vec![3, 23]));

    let empty = |topic: &str| (Some(topic.to_owned()), Vec::<i32>::new());
    let named = vec![empty("none"), (Some("one".to_owned()), vec![7]), empty("one")];
    let grouped = codec::grouped(named, |partition| *partition);
    assert_eq!(grouped, [(Some("one".to_owned()), vec![7])]);

    let partitions: Vec<i32> = (0..40).rev().chain([7, 3]).collect();
    let grouped = codec::grouped(vec![(None, partitions)], |partition| *partition);
    assert_eq!(grouped[0].1.len(), 40);
    assert!(grouped[0].1.ends_with(&[0, 7, 3]));
}

#[test]
fn sets_are_split_off_the_frame_and_not_copied() {
    let case = &cases_in("sessions/scala-producer.jsonl")[1];
    let frame = BytesMut::from(frames(&case.request)[0]);
    let memory = frame.as_ptr_range();
    let (_, request) = decode_request(frame.clone()).unwrap();
    assert_eq!(request.key(), ApiKey::Metadata);

    let produce = cases_in("sessions/scala-producer.jsonl").remove(0);
    let frame = BytesMut::from(frames(&produce.request)[0]);
    let memory_of_set = frame.as_ptr_range();
    let (_, Request::Produce(request)) = decode_request(frame).unwrap() else {
        panic!("not a produce request");
    };
    let set = &request.topics[0].partitions[0].set;
    assert!(memory_of_set.contains(&set.as_bytes().as_ptr()));
    assert!(!memory.contains(&set.as_bytes().as_ptr()));
    assert!(entries(set.as_bytes()).all(|entry| entry.unwrap().1.check_crc().is_ok()));
}

#[test]
fn texts_that_grow_beyond_a_string_are_refused() {
    let request = |bad: usize| {
        let mut frame = hex("000a 0000 00000001 ffff");
        frame.extend_from_slice(&u16::try_from(bad).unwrap().to_be_bytes());
        frame.extend(std::iter::repeat_n(0xff, bad));
        decode(&frame)
    };
    let (_, Request::ConsumerMetadata(longest)) = request(10_922).unwrap() else {
        panic!("not a lookup of a coordinator");
    };
    assert_eq!(longest.group.unwrap().len(), 32_766);
    assert!(request(10_923).is_err());
}

#[test]
fn fetched_messages_stay_in_their_files() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let file = Arc::new(file);
    let slice = |position, len| FileSlice {
        file: Arc::clone(&file),
        position,
        len,
        cold: false,
    };
    let partition = |partition, messages| PartitionFetched {
        partition,
        error: ErrorCode::None,
        high_watermark: 7,
        messages,
    };
    let response = FetchResponse {
        topics: vec![(
            Some("a".to_owned()),
            vec![
                partition(0, Some(slice(2, 5))),
                partition(1, None),
                partition(2, Some(slice(0, 3))),
            ],
        )],
    };
    let frame = Response::from(response).encode(9);
    let mut bytes = Vec::new();
    let mut files = 0;
    for chunk in &frame.chunks {
        match chunk {
            Chunk::Bytes(part) => bytes.extend_from_slice(part),
            Chunk::File(slice) => {
                files += 1;
                let mut part = vec![0; usize::try_from(slice.len).unwrap()];
                std::os::unix::fs::FileExt::read_exact_at(&*slice.file, &mut part, slice.position).unwrap();
                bytes.extend(part);
            }
        }
    }
    assert_eq!((files, frame.len()), (2, bytes.len() as u64));
    let (id, received) =
        decode_response::<FetchResponse<Bytes>>(Bytes::copy_from_slice(frames(&bytes)[0])).unwrap();
    let sets: Vec<_> = received.topics[0].1.iter().map(|p| p.messages.clone()).collect();
    assert_eq!(id, 9);
    assert_eq!(sets, [Some(Bytes::from("23456")), None, Some(Bytes::from("012"))]);
}

/// More than a frame can hold is cut, at the end of the last set that fits in part.
#[test]
fn a_fetch_response_never_outgrows_its_frame() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let partition = |partition| PartitionFetched {
        partition,
        error: ErrorCode::None,
        high_watermark: 7,
        messages: Some(FileSlice {
            file: Arc::clone(&file),
            position: 0,
            len: 0x5000_0000,
            cold: true,
        }),
    };
    let response = FetchResponse {
        topics: vec![(Some("a".to_owned()), (0..3).map(partition).collect())],
    };
    let frame = response.encode(1);
    assert_eq!(frame.len(), 0x7fff_ffff + 4);
    let lengths: Vec<u64> = frame
        .chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::File(slice) => Some(slice.len),
            Chunk::Bytes(_) => None,
        })
        .collect();
    assert_eq!(lengths.len(), 2);
    assert_eq!(lengths[0], 0x5000_0000);
    let Chunk::Bytes(first) = &frame.chunks[0] else {
        panic!("a frame begins with its size");
    };
    assert_eq!(first[..4], [0x7f, 0xff, 0xff, 0xff]);
}
