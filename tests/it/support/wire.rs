//! What the harness itself asks a broker, written out by hand so that it depends on nothing that is under test.

use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// A partition's number, error and leader.
type Partition = (i32, i16, i32);

/// What a broker says about its cluster.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// Id, host and port of each broker.
    pub(crate) brokers: Vec<(i32, String, i32)>,
    /// Topic, error, partitions.
    pub(crate) topics: Vec<(String, i16, Vec<Partition>)>,
}

/// Asks for all topics.
pub(crate) fn metadata(broker: SocketAddr) -> Result<Metadata, Error> {
    // key 3 | version 0 | correlation 7 | client id "test" | no topics: all of them
    let frame = call(broker, b"\0\x03\0\0\0\0\0\x07\0\x04test\0\0\0\0", LIMIT)?;
    let mut rest = Reader(&frame);
    assert_eq!(rest.i32()?, 7, "the correlation id comes back");
    let brokers = rest.array(|rest| Ok((rest.i32()?, rest.string()?, rest.i32()?)))?;
    let topics = rest.array(|rest| {
        let error = rest.i16()?;
        let name = rest.string()?;
        let partitions = rest.array(|rest| {
            let error = rest.i16()?;
            let partition = rest.i32()?;
            let leader = rest.i32()?;
            rest.array(Reader::i32)?;
            rest.array(Reader::i32)?;
            Ok((partition, error, leader))
        })?;
        Ok((name, error, partitions))
    })?;
    Ok(Metadata { brokers, topics })
}

/// Fetches from partition 0 of a topic, without waiting; the error code of the answer.
pub(crate) fn fetch(broker: SocketAddr, topic: &str, offset: i64) -> Result<i16, Error> {
    fetch_waiting(broker, topic, offset, Duration::ZERO)
}

/// As `fetch`, but waits so long for something to be there.
pub(crate) fn fetch_waiting(
    broker: SocketAddr,
    topic: &str,
    offset: i64,
    wait: Duration,
) -> Result<i16, Error> {
    let mut request = Vec::new();
    // key 1 | version 0 | correlation 7 | client id "test" | consumer
    request.extend(b"\0\x01\0\0\0\0\0\x07\0\x04test\xff\xff\xff\xff");
    request.extend(
        i32::try_from(wait.as_millis())
            .map_err(Error::other)?
            .to_be_bytes(),
    );
    // at least a byte | one topic
    request.extend(b"\0\0\0\x01\0\0\0\x01");
    request.extend(i16::try_from(topic.len()).map_err(Error::other)?.to_be_bytes());
    request.extend(topic.as_bytes());
    // one partition | number 0 | offset | at most 4 KiB
    request.extend(b"\0\0\0\x01\0\0\0\0");
    request.extend(offset.to_be_bytes());
    request.extend(b"\0\0\x10\0");
    let frame = call(broker, &request, LIMIT + wait)?;
    let mut rest = Reader(&frame);
    assert_eq!(rest.i32()?, 7, "the correlation id comes back");
    let topics = rest.array(|rest| {
        rest.string()?;
        rest.array(|rest| {
            rest.i32()?;
            let error = rest.i16()?;
            rest.take::<8>()?;
            let len = usize::try_from(rest.i32()?).map_err(Error::other)?;
            let (_messages, after) = rest.0.split_at_checked(len).ok_or(ErrorKind::UnexpectedEof)?;
            rest.0 = after;
            Ok(error)
        })
    })?;
    topics
        .first()
        .and_then(|partitions| partitions.first().copied())
        .ok_or(ErrorKind::InvalidData.into())
}

/// Sends one request on a connection of its own and returns the answer without its size.
fn call(broker: SocketAddr, request: &[u8], limit: Duration) -> Result<Vec<u8>, Error> {
    let mut stream = TcpStream::connect_timeout(&broker, LIMIT)?;
    stream.set_read_timeout(Some(limit))?;
    let size = u32::try_from(request.len()).map_err(Error::other)?;
    stream.write_all(&[&size.to_be_bytes(), request].concat())?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).map_err(Error::other)?];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// A page over HTTP: its status and its body.
pub(crate) fn http_get(server: SocketAddr, path: &str) -> Result<(u16, String), Error> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    )?;
    let answer = std::io::read_to_string(stream)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    Ok((status.ok_or(ErrorKind::InvalidData)?, body.to_owned()))
}

/// What is left of a frame.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(*first)
    }

    fn i16(&mut self) -> Result<i16, Error> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32, Error> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn string(&mut self) -> Result<String, Error> {
        let len = usize::try_from(self.i16()?).map_err(Error::other)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn array<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let count = self.i32()?;
        (0..count).map(|_| one(self)).collect()
    }
}
