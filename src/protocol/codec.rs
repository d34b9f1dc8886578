//! Primitives of the wire format: nom parsers and their counterparts that write.
//!
//! A frame is whole before anybody parses it, so parsers are of the "complete" kind. No length or count is believed
//! before the bytes are there. What 0.8 forgives in requests is forgiven here: broken UTF-8 is replaced, negative
//! lengths are null, negative counts are none.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use bytes::BufMut;
use bytes::BytesMut;
use nom::IResult;
use nom::bytes::complete::take;
use nom::error::ErrorKind;
pub(super) use nom::number::complete::be_i8;
pub(super) use nom::number::complete::be_i16;
pub(super) use nom::number::complete::be_i32;
pub(super) use nom::number::complete::be_i64;

use crate::protocol::ByTopic;
use crate::protocol::ErrorCode;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// What a parser gives: the rest of the input and a value.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T>;

/// Items of a list, and partitions of a request, beyond which it is refused: a few bytes that each takes in a frame become
/// hundreds. No cluster of 0.8 has as many partitions.
const ITEMS_MAX: usize = 1 << 17;
/// Items for which room is made before they are seen.
const RESERVED_ITEMS: usize = 64;
/// Up to this many, comparing all with each other is quicker than hashing them.
const FEW: usize = 16;

/// Refuses the input at this place.
pub(super) fn refuse<T>(input: &[u8]) -> Parsed<'_, T> {
    Err(nom::Err::Failure(nom::error::Error::new(
        input,
        ErrorKind::Verify,
    )))
}

/// `i16` length, then that many bytes; a negative length is null. Broken UTF-8 is replaced, as in 0.8.
///
/// Replacing makes text longer. What could not be echoed for that is refused.
pub(super) fn nullable_string(input: &[u8]) -> Parsed<'_, Option<String>> {
    let (rest, len) = be_i16(input)?;
    let Ok(len) = u16::try_from(len) else {
        return Ok((rest, None));
    };
    let (rest, raw) = take(len)(rest)?;
    let text = String::from_utf8_lossy(raw).into_owned();
    if i16::try_from(text.len()).is_err() {
        return refuse(input);
    }
    Ok((rest, Some(text)))
}

/// A string that must be there.
pub(super) fn string(input: &[u8]) -> Parsed<'_, String> {
    match nullable_string(input)? {
        (rest, Some(text)) => Ok((rest, text)),
        (_, None) => refuse(input),
    }
}

/// One byte, 0 or 1.
pub(super) fn boolean(input: &[u8]) -> Parsed<'_, bool> {
    match be_i8(input)? {
        (rest, 0) => Ok((rest, false)),
        (rest, 1) => Ok((rest, true)),
        _ => refuse(input),
    }
}

/// Milliseconds; negative ones are none at all.
pub(super) fn milliseconds(input: &[u8]) -> Parsed<'_, Duration> {
    let (rest, ms) = be_i32(input)?;
    Ok((rest, Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// The number of items that follow. A negative one means none.
pub(super) fn count(input: &[u8]) -> Parsed<'_, usize> {
    let (rest, count) = be_i32(input)?;
    Ok((rest, usize::try_from(count).unwrap_or(0)))
}

/// The number of items that follow. A negative one is refused, as the newer of 0.8's parsers do.
pub(super) fn strict_count(input: &[u8]) -> Parsed<'_, usize> {
    let (rest, count) = be_i32(input)?;
    match usize::try_from(count) {
        Ok(count) => Ok((rest, count)),
        Err(_) => refuse(input),
    }
}

/// [`count`], then that many items.
pub(super) fn array<'a, T>(
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    move |input| {
        let (rest, count) = count(input)?;
        items(rest, count, &mut item)
    }
}

/// [`strict_count`], then that many items.
pub(super) fn strict_array<'a, T>(
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    move |input| {
        let (rest, count) = strict_count(input)?;
        items(rest, count, &mut item)
    }
}

fn items<'a, T>(
    input: &'a [u8],
    count: usize,
    item: &mut impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    if count > ITEMS_MAX {
        return refuse(input);
    }
    let mut items = Vec::with_capacity(count.min(input.len()).min(RESERVED_ITEMS));
    let mut rest = input;
    for _ in 0..count {
        let (after, value) = item(rest)?;
        items.push(value);
        rest = after;
    }
    Ok((rest, items))
}

/// So many items, of which only those are kept that were not there before: millions of nulls cost nothing.
pub(super) fn distinct<'a, T: Clone + Eq + Hash>(
    input: &'a [u8],
    count: usize,
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    let mut rest = input;
    for _ in 0..count {
        let (after, value) = item(rest)?;
        rest = after;
        // Most requests are about one thing, for which nothing needs to be hashed.
        if count == 1 {
            kept.push(value);
        } else if !seen.contains(&value) {
            if kept.len() == ITEMS_MAX {
                return refuse(rest);
            }
            seen.insert(value.clone());
            kept.push(value);
        }
    }
    Ok((rest, kept))
}

/// Topics, each with partitions.
pub(super) fn by_topic<'a, P>(
    partition: impl FnMut(&'a [u8]) -> Parsed<'a, P>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, ByTopic<P>> {
    let mut partitions = array(partition);
    let mut left = ITEMS_MAX;
    array(move |input| {
        let (rest, topic) = nullable_string(input)?;
        let (rest, partitions) = partitions(rest)?;
        match left.checked_sub(partitions.len()) {
            Some(fewer) => left = fewer,
            None => return refuse(input),
        }
        Ok((rest, (topic, partitions)))
    })
}

/// A topic and one partition of it.
pub(super) fn topic_partition(input: &[u8]) -> Parsed<'_, (String, i32)> {
    let (input, topic) = string(input)?;
    let (input, partition) = be_i32(input)?;
    Ok((input, (topic, partition)))
}

/// A broker and where it is reached.
pub(super) fn endpoint(input: &[u8]) -> Parsed<'_, Endpoint> {
    let (input, id) = broker_id(input)?;
    let (input, host) = string(input)?;
    let (input, port) = be_i32(input)?;
    Ok((input, Endpoint { id, host, port }))
}

/// A broker's number.
pub(super) fn broker_id(input: &[u8]) -> Parsed<'_, BrokerId> {
    let (input, id) = be_i32(input)?;
    Ok((input, BrokerId(id)))
}

/// An error code.
pub(super) fn error_code(input: &[u8]) -> Parsed<'_, ErrorCode> {
    let (input, code) = be_i16(input)?;
    Ok((input, ErrorCode::from_code(code)))
}

/// Makes every topic and every partition of it appear once. What was said last about a partition counts, and a topic
/// of which no partition is named is gone, as in the maps by partition that 0.8.2.2 makes of its requests.
pub(super) fn grouped<P>(topics: ByTopic<P>, partition: impl Fn(&P) -> i32) -> ByTopic<P> {
    let mut topics = merged(topics);
    topics.retain(|(_, partitions)| !partitions.is_empty());
    for (_, partitions) in &mut topics {
        let numbers = || partitions.iter().map(&partition);
        let ascending = numbers().zip(numbers().skip(1)).all(|(one, next)| one < next);
        if !ascending && !all_differ(numbers) {
            let keys = numbers().collect();
            keep_last(partitions, keys);
        }
    }
    topics
}

/// Puts the partitions of a topic that is named again to those it had before.
fn merged<P>(topics: ByTopic<P>) -> ByTopic<P> {
    if all_differ(|| topics.iter().map(|(topic, _)| topic)) {
        return topics;
    }
    let mut positions = HashMap::new();
    let mut merged: ByTopic<P> = Vec::new();
    for (topic, partitions) in topics {
        let position = *positions.entry(topic.clone()).or_insert(merged.len());
        match merged.get_mut(position) {
            Some((_, known)) => known.extend(partitions),
            None => merged.push((topic, partitions)),
        }
    }
    merged
}

/// Whether nothing appears twice. Allocates only for more than a few.
fn all_differ<K: Eq + Hash, I: ExactSizeIterator<Item = K>>(keys: impl Fn() -> I) -> bool {
    if keys().len() <= FEW {
        return keys()
            .enumerate()
            .all(|(position, key)| keys().take(position).all(|other| other != key));
    }
    let mut seen = HashSet::new();
    keys().all(|key| seen.insert(key))
}

/// Removes every item whose key comes again later.
pub(super) fn keep_last<T, K: Eq + Hash>(items: &mut Vec<T>, keys: Vec<K>) {
    let mut seen = HashSet::with_capacity(keys.len());
    let mut kept: Vec<bool> = keys.into_iter().rev().map(|key| seen.insert(key)).collect();
    items.retain(|_| kept.pop().unwrap_or(true));
}

/// Writes a string, or null. Strings come from requests, from legal names or from configurations; none is longer than
/// the format can tell, and what were would be cut.
pub(super) fn put_string(buf: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else {
        buf.put_i16(-1);
        return;
    };
    let mut cut = text.len().min(usize::from(i16::MAX.unsigned_abs()));
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let text = text.get(..cut).unwrap_or_default();
    buf.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    buf.put_slice(text.as_bytes());
}

/// Writes whether.
pub(super) fn put_boolean(buf: &mut BytesMut, value: bool) {
    buf.put_i8(value.into());
}

/// Writes milliseconds.
pub(super) fn put_milliseconds(buf: &mut BytesMut, duration: Duration) {
    buf.put_i32(i32::try_from(duration.as_millis()).unwrap_or(i32::MAX));
}

/// Writes an error code.
pub(super) fn put_error(buf: &mut BytesMut, error: ErrorCode) {
    buf.put_i16(error.code());
}

/// Writes a count and that many items.
pub(super) fn put_array<T>(buf: &mut BytesMut, items: &[T], mut put: impl FnMut(&mut BytesMut, &T)) {
    buf.put_i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
    for item in items {
        put(buf, item);
    }
}

/// Writes topics, each with partitions.
pub(super) fn put_by_topic<P>(
    buf: &mut BytesMut,
    topics: &ByTopic<P>,
    mut put: impl FnMut(&mut BytesMut, &P),
) {
    put_array(buf, topics, |buf, (topic, partitions)| {
        put_string(buf, topic.as_deref());
        put_array(buf, partitions, &mut put);
    });
}

/// Writes a topic and one partition of it.
pub(super) fn put_topic_partition(buf: &mut BytesMut, topic: &str, partition: i32) {
    put_string(buf, Some(topic));
    buf.put_i32(partition);
}

/// Writes a broker and where it is reached.
pub(super) fn put_endpoint(buf: &mut BytesMut, endpoint: &Endpoint) {
    buf.put_i32(endpoint.id.0);
    put_string(buf, Some(&endpoint.host));
    buf.put_i32(endpoint.port);
}

/// Writes brokers' numbers.
pub(super) fn put_broker_ids(buf: &mut BytesMut, ids: &[BrokerId]) {
    put_array(buf, ids, |buf, id| buf.put_i32(id.0));
}
