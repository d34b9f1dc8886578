//! One connection to a broker, as raw as a client may have it: bytes out, frames in.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take that is sure to come.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

/// What came of waiting for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// A frame, without its size.
    Frame(Vec<u8>),
    Closed,
    Nothing,
}

impl Connection {
    pub(crate) fn open(broker: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&broker, ANSWER).expect("connect to the broker");
        // So that what is sent apart arrives apart.
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends bytes. That the broker has closed is for `receive` to tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Sends nothing more.
    pub(crate) fn finish_sending(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame, if one comes in time.
    pub(crate) fn receive(&mut self, limit: Duration) -> Received {
        self.0.set_read_timeout(Some(limit)).unwrap();
        let mut size = [0; 4];
        match self.0.read_exact(&mut size) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Received::Nothing;
            }
            Err(_) => return Received::Closed,
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size is positive")];
        self.0.set_read_timeout(Some(ANSWER)).unwrap();
        match self.0.read_exact(&mut frame) {
            Ok(()) => Received::Frame(frame),
            Err(_) => Received::Closed,
        }
    }

    /// The next frame, which must come.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        match self.receive(ANSWER) {
            Received::Frame(frame) => frame,
            other => panic!("instead of an answer: {other:?}"),
        }
    }
}
