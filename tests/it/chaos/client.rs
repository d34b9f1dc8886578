//! A client that takes everything that can go wrong for an answer: nothing here panics because of a broker.

use std::collections::BTreeMap;
use std::io::Error;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use gregor::protocol::Api;
use gregor::protocol::ApiKey;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;
use gregor::protocol::metadata::MetadataRequest;
use serde_json::Value;

use crate::support::answer::decode;
use crate::support::requests::offsets;

/// How long connecting, and looking something up, may take.
const QUICK: Duration = Duration::from_millis(700);

/// How long a request may take that waits for replicas, by its own limit and then some.
const PATIENT: Duration = Duration::from_secs(4);

/// A connection to one broker.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub(super) fn open(broker: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect_timeout(&broker, QUICK)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENT))?;
        stream.set_write_timeout(Some(PATIENT))?;
        Ok(Self {
            stream,
            correlation: 0,
        })
    }

    /// Sends a request; its number.
    pub(super) fn send<A: Api>(&mut self, request: &A) -> Result<i32, Error> {
        self.correlation += 1;
        self.stream
            .write_all(&encode_request(self.correlation, None, request))?;
        Ok(self.correlation)
    }

    /// The answer to the request with this number, which is the next one to be answered.
    pub(super) fn receive(&mut self, api: ApiKey, number: i32) -> Result<Value, Error> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).map_err(Error::other)?;
        let mut frame = vec![0; size];
        self.stream.read_exact(&mut frame)?;
        let answer = decode(api, &frame);
        assert_eq!(answer["correlation_id"], number, "answers come in order");
        Ok(answer)
    }

    pub(super) fn call<A: Api>(&mut self, request: &A) -> Result<Value, Error> {
        let number = self.send(request)?;
        self.receive(A::KEY, number)
    }

    fn quick(broker: SocketAddr) -> Result<Self, Error> {
        let client = Self::open(broker)?;
        client.stream.set_read_timeout(Some(QUICK))?;
        Ok(client)
    }
}

/// Who leads each partition of a topic, by what one broker says.
pub(super) fn leaders(broker: SocketAddr, topic: &str) -> Result<Vec<Option<usize>>, Error> {
    let mut all = leaders_of(broker, &[topic])?;
    Ok(all.remove(topic).unwrap_or_default())
}

/// The same for several topics.
pub(super) fn leaders_of(
    broker: SocketAddr,
    topics: &[&str],
) -> Result<BTreeMap<String, Vec<Option<usize>>>, Error> {
    let request = MetadataRequest {
        topics: topics.iter().map(|topic| Some((*topic).to_owned())).collect(),
    };
    let answer = Client::quick(broker)?.call(&request)?;
    let topics = answer["topics"].as_array().into_iter().flatten();
    let leaders = topics.filter_map(|topic| {
        let mut partitions = topic["partitions"].as_array()?.clone();
        partitions.sort_by_key(|partition| partition["partition"].as_i64());
        let leaders = partitions
            .iter()
            .map(|partition| usize::try_from(partition["leader"].as_i64()?).ok());
        Some((topic["topic"].as_str()?.to_owned(), leaders.collect()))
    });
    Ok(leaders.collect())
}

/// Whether a broker itself says that it leads a partition.
pub(super) fn leads(broker: SocketAddr, topic: &str, partition: usize) -> Result<(), Error> {
    let partition = i32::try_from(partition).map_err(Error::other)?;
    let request = offsets(Reader::Consumer, topic, partition, OffsetSpec::Latest);
    let answer = Client::quick(broker)?.call(&request)?;
    match answer["topics"][0]["partitions"][0]["error_code"].as_i64() {
        Some(0) => Ok(()),
        code => Err(Error::new(ErrorKind::NotFound, format!("error {code:?}"))),
    }
}
