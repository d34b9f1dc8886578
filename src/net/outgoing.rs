//! What is to be written to a connection: bytes and stretches of files, in order.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;

use bytes::Buf;
use bytes::Bytes;
use tokio::net::TcpStream;

use super::sendfile::send_bytes;
use super::sendfile::send_file;
use crate::protocol::Chunk;
use crate::protocol::ResponseFrame;

/// Pieces of memory per call.
const PIECES_MAX: usize = 64;

/// Chunks of answers that are not written yet. None is empty, lest the kernel wait for more that does not come.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that are not written yet.
    pub(super) fn len(&self) -> u64 {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// Appends an answer.
    pub(super) fn push(&mut self, frame: ResponseFrame) {
        self.chunks
            .extend(frame.chunks.into_iter().filter(|chunk| !chunk.is_empty()));
    }

    /// Writes everything. `sent_by_file` is told how much went from file to socket.
    pub(super) async fn write(&mut self, socket: &TcpStream, sent_by_file: impl Fn(u64)) -> io::Result<()> {
        while let Some(first) = self.chunks.front_mut() {
            if let Chunk::File(slice) = first {
                sent_by_file(send_file(socket, slice).await?);
                if slice.len == 0 {
                    self.chunks.pop_front();
                }
            } else {
                self.write_bytes(socket).await?;
            }
        }
        Ok(())
    }

    async fn write_bytes(&mut self, socket: &TcpStream) -> io::Result<()> {
        let pieces: Vec<IoSlice<'_>> = self
            .chunks
            .iter()
            .map_while(bytes_of)
            .take(PIECES_MAX)
            .map(|b| IoSlice::new(b))
            .collect();
        let more = pieces.len() < self.chunks.len();
        let mut sent = send_bytes(socket, &pieces, more).await?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(Chunk::Bytes(bytes)) = self.chunks.front_mut() {
            if sent < bytes.len() {
                bytes.advance(sent);
                break;
            }
            sent -= bytes.len();
            self.chunks.pop_front();
        }
        Ok(())
    }
}

fn bytes_of(chunk: &Chunk) -> Option<&Bytes> {
    match chunk {
        Chunk::Bytes(bytes) => Some(bytes),
        Chunk::File(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::message::slice::FileSlice;

    #[tokio::test]
    async fn many_pieces_arrive_in_order_and_empty_ones_do_no_harm() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (writer, _) = listener.accept().await.unwrap();
        let nothing = FileSlice {
            file: Arc::new(tempfile::tempfile().unwrap()),
            position: 0,
            len: 0,
            cold: false,
        };
        let (mut outgoing, mut expected) = (Outgoing::default(), Vec::new());
        for piece in 0..=255 {
            let bytes = vec![piece; 10_000];
            expected.extend_from_slice(&bytes);
            let chunks = vec![
                Chunk::Bytes(Bytes::new()),
                Chunk::Bytes(bytes.into()),
                Chunk::File(nothing.clone()),
            ];
            outgoing.push(ResponseFrame { chunks });
        }
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        });
        outgoing.write(&writer, |_| panic!("no file")).await.unwrap();
        assert!(outgoing.is_empty());
        drop(writer);
        assert!(reading.await.unwrap() == expected);
    }
}
