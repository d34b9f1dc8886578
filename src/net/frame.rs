//! Cutting what arrives into frames: `size i32`, then that many bytes.
//!
//! One buffer per connection; frames are split off it without a copy. A size that was only announced never reserves more
//! than a small, then [`AHEAD_MAX`] bytes; beyond, memory grows with what has really arrived.

use bytes::Buf;
use bytes::BytesMut;

/// Requests up to this size are read and handled without asking anybody for memory.
pub(super) const SMALL: usize = 64 << 10;
/// Reserved at most for bytes that did not arrive yet.
const AHEAD_MAX: usize = 1 << 20;
/// Room for one read when nothing is known about what comes; doubled while reads fill it.
const CHUNK_MIN: usize = 16 << 10;
const CHUNK_MAX: usize = 256 << 10;
const SIZE_LEN: usize = size_of::<i32>();

/// A frame announced a size that none may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct BadSize(
    /// The size.
    pub i32,
);

/// What arrived on a connection and is not handled yet.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: BytesMut,
    len_max: usize,
    chunk: usize,
}

impl FrameBuffer {
    /// For frames of at most `len_max` bytes, their size not counted.
    pub fn new(len_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            len_max,
            chunk: CHUNK_MIN,
        }
    }

    /// Takes the first frame, without its size, if all of it is here.
    pub fn next_frame(&mut self) -> Result<Option<BytesMut>, BadSize> {
        let Some(len) = self.announced()? else {
            return Ok(None);
        };
        if self.bytes.len() - SIZE_LEN < len {
            return Ok(None);
        }
        self.bytes.advance(SIZE_LEN);
        Ok(Some(self.bytes.split_to(len)))
    }

    /// The size of the first frame, once its first bytes are here.
    fn announced(&self) -> Result<Option<usize>, BadSize> {
        let Some(size) = self.bytes.first_chunk() else {
            return Ok(None);
        };
        let size = i32::from_be_bytes(*size);
        let len = usize::try_from(size)
            .ok()
            .filter(|len| (1..=self.len_max).contains(len));
        len.map(Some).ok_or(BadSize(size))
    }

    /// The size of the first frame if it is one that needs leave before more of it is read.
    pub fn needs_leave(&self) -> Option<usize> {
        let len = self.announced().ok()??;
        (len > SMALL && self.bytes.len() >= SMALL).then_some(len)
    }

    /// Where the next bytes are to be appended, with room for a good read. `leave`: given for the first frame.
    pub fn room(&mut self, leave: bool) -> &mut BytesMut {
        let len = self.bytes.len();
        let missing = match self.announced() {
            Ok(Some(announced)) => (announced + SIZE_LEN).saturating_sub(len),
            Ok(None) | Err(_) => 0,
        };
        let more = if len + missing > self.chunk {
            // Exact, lest the last bytes of a large frame make the whole buffer move.
            missing.min(len.max(if leave { AHEAD_MAX } else { SMALL }))
        } else {
            self.chunk
        };
        self.bytes.reserve(more);
        &mut self.bytes
    }

    /// Notes that a read filled all the room there was, so that the next gets more.
    pub fn was_filled(&mut self) {
        if self.bytes.len() == self.bytes.capacity() {
            self.chunk = (self.chunk * 2).min(CHUNK_MAX);
        }
    }

    /// Gives memory back, if nothing is kept in it.
    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.chunk = CHUNK_MIN;
        }
    }

    /// How much memory it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut frame = i32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    fn push(buffer: &mut FrameBuffer, bytes: &[u8]) {
        buffer.room(true).extend_from_slice(bytes);
    }

    #[test]
    fn frames_are_found_however_the_bytes_arrive() {
        let bytes: Vec<u8> = [&b"a"[..], b"bcd", &[7; 300]]
            .iter()
            .flat_map(|p| framed(p))
            .collect();
        for step in 1..bytes.len() {
            let mut buffer = FrameBuffer::new(300);
            let mut frames = Vec::new();
            for piece in bytes.chunks(step) {
                push(&mut buffer, piece);
                while let Some(frame) = buffer.next_frame().unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(
                frames,
                [b"a".to_vec(), b"bcd".to_vec(), vec![7; 300]],
                "in steps of {step}"
            );
        }
    }

    #[test]
    fn sizes_that_no_frame_may_have_are_refused() {
        for size in [0, -1, i32::MIN, 301, i32::MAX] {
            let mut buffer = FrameBuffer::new(300);
            push(&mut buffer, &size.to_be_bytes());
            assert_eq!(buffer.next_frame(), Err(BadSize(size)));
        }
        let mut buffer = FrameBuffer::new(300);
        push(&mut buffer, &300_i32.to_be_bytes());
        assert_eq!(buffer.next_frame(), Ok(None), "the limit itself is allowed");
    }

    #[test]
    fn an_announcement_reserves_little() {
        let mut buffer = FrameBuffer::new(100 << 20);
        push(&mut buffer, &(100_i32 << 20).to_be_bytes());
        buffer.room(false);
        assert!(buffer.capacity() <= 2 * SMALL, "{}", buffer.capacity());
        assert_eq!(buffer.needs_leave(), None, "nothing came yet");
        buffer.room(true);
        assert!(
            buffer.capacity() <= AHEAD_MAX + 2 * SMALL,
            "{}",
            buffer.capacity()
        );
    }

    #[test]
    fn memory_grows_with_what_arrived() {
        let mut buffer = FrameBuffer::new(100 << 20);
        push(&mut buffer, &(50_i32 << 20).to_be_bytes());
        let mut arrived = 4;
        while buffer.next_frame().unwrap().is_none() {
            push(&mut buffer, &[0; 32 << 10]);
            arrived += 32 << 10;
            assert!(
                buffer.capacity() <= 4 * arrived.max(AHEAD_MAX),
                "{} for {arrived}",
                buffer.capacity()
            );
        }
        buffer.release();
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn only_large_frames_need_leave() {
        let mut buffer = FrameBuffer::new(1 << 20);
        push(&mut buffer, &framed(&[1; SMALL]));
        assert_eq!(buffer.needs_leave(), None);
        buffer.next_frame().unwrap();
        let large = framed(&[1; SMALL + 1]);
        push(&mut buffer, &large[..SMALL - 1]);
        assert_eq!(buffer.needs_leave(), None, "too little of it is here");
        push(&mut buffer, &large[SMALL - 1..]);
        assert_eq!(buffer.needs_leave(), Some(SMALL + 1));
    }

    #[test]
    fn a_handled_frame_leaves_its_memory_to_the_next() {
        let mut buffer = FrameBuffer::new(1 << 20);
        push(&mut buffer, &framed(&[1; 500_000]));
        let first = buffer.next_frame().unwrap().unwrap();
        let address = first.as_ptr();
        drop(first);
        push(&mut buffer, &framed(&[2; 500_000]));
        let second = buffer.next_frame().unwrap().unwrap();
        assert!(
            second.as_ptr().addr().abs_diff(address.addr()) <= SIZE_LEN,
            "it moved"
        );
    }
}
