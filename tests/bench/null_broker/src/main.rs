//! A server that does the least with which a client of 0.8 is content: Metadata, Produce, Fetch and Offsets in version 0,
//! one blocking thread per connection, no ZooKeeper, nothing kept. What it reaches is the ceiling for a broker.
//!
//! `null_broker PORT FOLDER`: produced messages are checked, given their offsets and appended to a file per partition, from
//! which fetches are answered. How many partitions a topic has is the number behind the last hyphen of its name.

mod partition;
mod wire;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use rustix::net::SendFlags;

use partition::Partition;
use wire::Reader;
use wire::Writer;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const OFFSETS: i16 = 2;
const METADATA: i16 = 3;

/// No client of the benchmark sends more.
const LARGEST: usize = 100 << 20;

/// What all connections know.
struct Broker {
    port: u16,
    folder: PathBuf,
    partitions: Mutex<HashMap<(String, i32), Arc<Partition>>>,
}

impl Broker {
    fn partition(&self, topic: &str, id: i32) -> io::Result<Arc<Partition>> {
        let mut partitions = self.partitions.lock().expect("no thread panics with it");
        if let Some(partition) = partitions.get(&(topic.to_owned(), id)) {
            return Ok(Arc::clone(partition));
        }
        let partition = Arc::new(Partition::create(&self.folder.join(format!("{topic}-{id}")))?);
        partitions.insert((topic.to_owned(), id), Arc::clone(&partition));
        Ok(partition)
    }
}

/// One connection.
struct Connection {
    broker: Arc<Broker>,
    socket: TcpStream,
    /// So that the map of all is asked once per connection and partition.
    known: HashMap<String, HashMap<i32, Arc<Partition>>>,
}

impl Connection {
    fn partition(&mut self, topic: &str, id: i32) -> io::Result<Arc<Partition>> {
        if let Some(partition) = self.known.get(topic).and_then(|topic| topic.get(&id)) {
            return Ok(Arc::clone(partition));
        }
        let partition = self.broker.partition(topic, id)?;
        let topic = self.known.entry(topic.to_owned()).or_default();
        topic.insert(id, Arc::clone(&partition));
        Ok(partition)
    }

    fn serve(mut self) -> io::Result<()> {
        self.socket.set_nodelay(true)?;
        let mut request = Vec::new();
        loop {
            let mut length = [0; 4];
            self.socket.read_exact(&mut length)?;
            let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if length > LARGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if request.len() < length {
                request.resize(length, 0);
            }
            self.socket.read_exact(&mut request[..length])?;
            self.answer(&mut request[..length])?;
        }
    }

    fn answer(&mut self, request: &mut [u8]) -> io::Result<()> {
        let mut reader = Reader::new(request);
        let (api, _version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
        reader.string()?;
        let body = reader.position();
        let mut answer = Writer::frame(correlation);
        match api {
            METADATA => self.metadata(Reader::at(request, body), &mut answer)?,
            PRODUCE if !self.produce(request, body, &mut answer)? => return Ok(()),
            PRODUCE => {}
            OFFSETS => self.offsets(Reader::at(request, body), &mut answer)?,
            FETCH => return self.fetch(Reader::at(request, body), answer),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        self.socket.write_all(answer.finish(0))
    }

    fn metadata(&self, mut request: Reader<'_>, answer: &mut Writer) -> io::Result<()> {
        let topics = request.i32()?;
        answer.i32(1);
        answer.i32(0);
        answer.string("127.0.0.1");
        answer.i32(i32::from(self.broker.port));
        answer.i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            let number = topic.rsplit('-').next().unwrap_or_default();
            let partitions = number.parse().unwrap_or(1);
            answer.i16(0);
            answer.string(topic);
            answer.i32(partitions);
            for partition in 0..partitions {
                answer.i16(0);
                answer.i32(partition);
                // The leader, then the replicas, then those in sync.
                for number in [0, 1, 0, 1, 0] {
                    answer.i32(number);
                }
            }
        }
        Ok(())
    }

    /// Whether the client wants an answer.
    fn produce(&mut self, request: &mut [u8], body: usize, answer: &mut Writer) -> io::Result<bool> {
        let mut sets = Vec::new();
        let mut reader = Reader::at(request, body);
        let acks = reader.i16()?;
        reader.i32()?;
        let topics = reader.i32()?;
        answer.i32(topics);
        for _ in 0..topics {
            let topic = reader.string()?;
            answer.string(topic);
            let partitions = reader.i32()?;
            answer.i32(partitions);
            for _ in 0..partitions {
                let id = reader.i32()?;
                let set = reader.bytes()?;
                let partition = self.partition(topic, id)?;
                answer.i32(id);
                answer.i16(0);
                answer.i64(partition.end());
                sets.push((partition, reader.position() - set.len()..reader.position()));
            }
        }
        for (partition, set) in sets {
            partition.append(&mut request[set])?;
        }
        Ok(acks != 0)
    }

    fn offsets(&mut self, mut request: Reader<'_>, answer: &mut Writer) -> io::Result<()> {
        const EARLIEST: i64 = -2;
        request.i32()?;
        let topics = request.i32()?;
        answer.i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            answer.string(topic);
            let partitions = request.i32()?;
            answer.i32(partitions);
            for _ in 0..partitions {
                let id = request.i32()?;
                let time = request.i64()?;
                request.i32()?;
                answer.i32(id);
                answer.i16(0);
                answer.i32(1);
                answer.i64(if time == EARLIEST {
                    0
                } else {
                    self.partition(topic, id)?.end()
                });
            }
        }
        Ok(())
    }

    /// Each partition's bytes go from its file to the socket, after the part of the answer in front of them.
    fn fetch(&mut self, mut request: Reader<'_>, mut answer: Writer) -> io::Result<()> {
        for _ in 0..3 {
            request.i32()?;
        }
        let mut pieces: Vec<(usize, File, u64, usize)> = Vec::new();
        let topics = request.i32()?;
        answer.i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            answer.string(topic);
            let partitions = request.i32()?;
            answer.i32(partitions);
            for _ in 0..partitions {
                let (id, offset, most) = (request.i32()?, request.i64()?, request.i32()?);
                let partition = self.partition(topic, id)?;
                let (place, length) = partition.range(offset, most);
                answer.i32(id);
                answer.i16(0);
                answer.i64(partition.end());
                answer.i32(i32::try_from(length).unwrap_or(i32::MAX));
                pieces.push((answer.len(), partition.file()?, place, length));
            }
        }
        let message_bytes = pieces.iter().map(|(_, _, _, length)| length).sum();
        let head = answer.finish(message_bytes);
        let mut sent = 0;
        for (end, file, mut place, mut left) in pieces {
            while sent < end {
                sent += rustix::net::send(
                    &self.socket,
                    &head[sent..end],
                    SendFlags::MORE | SendFlags::NOSIGNAL,
                )?;
            }
            while left > 0 {
                match rustix::fs::sendfile(&self.socket, &file, Some(&mut place), left)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    moved => left -= moved,
                }
            }
        }
        // What still waits for more is sent when nothing more is announced.
        self.socket.set_nodelay(true)
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, folder] = arguments.as_slice() else {
        return Err(io::Error::other("null_broker PORT FOLDER"));
    };
    let port = port.parse().map_err(io::Error::other)?;
    let broker = Arc::new(Broker {
        port,
        folder: PathBuf::from(folder),
        partitions: Mutex::default(),
    });
    for socket in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let connection = Connection {
            broker: Arc::clone(&broker),
            socket: socket?,
            known: HashMap::new(),
        };
        // A client that goes away ends its thread and nothing else.
        std::thread::spawn(move || connection.serve());
    }
    Ok(())
}
