//! Cutting what arrives into frames: `size i32`, then that many bytes.
//!
//! One buffer per connection; frames are split off it without a copy. A size that was only announced reserves nothing:
//! the buffer grows with what is charged for it, and that with what has arrived.

use bytes::Buf;
use bytes::BytesMut;

use super::budget::FREE;
use crate::protocol::ApiKey;
use crate::protocol::api_key;

/// Charged at most in one step.
const STEP_MAX: usize = 1 << 20;
/// Room for one read when nothing is known about what comes.
const CHUNK_MAX: usize = 256 << 10;
/// A buffer beyond this is not kept for the next frame.
const KEPT_MAX: usize = 4 << 20;
const SIZE_LEN: usize = size_of::<i32>();

/// A byte of a request that is no message becomes at most so many when it is decoded and answered, in the worst case.
const DECODED_RATIO: usize = 8;
/// The protocol refuses requests that decode to more.
const DECODED_MAX: usize = 32 << 20;

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
}

impl FrameBuffer {
    /// For frames of at most `len_max` bytes, their size not counted.
    pub fn new(len_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            len_max,
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

    /// What has to be charged, instead of `charged`, before more of the first frame is read. None if it may be.
    pub fn lacks(&self, charged: usize) -> Option<usize> {
        let whole = self.announced().ok()?? + SIZE_LEN;
        let (here, room) = (self.bytes.len(), FREE + charged);
        if here >= whole || here < room {
            return None;
        }
        let step = room.min(STEP_MAX);
        Some(whole.min(here + step) - FREE)
    }

    /// What has to be charged before the first frame, which is complete, is decoded: none if it is one that anybody may
    /// have decoded at any time.
    pub(super) fn weight(&self) -> Option<usize> {
        let len = self.announced().ok()??;
        let frame = self.bytes.get(SIZE_LEN..SIZE_LEN + len)?;
        let weight = len
            .saturating_mul(DECODED_RATIO)
            .min(DECODED_MAX)
            .saturating_sub(FREE);
        match api_key(frame) {
            // Messages stay where they are.
            Some(ApiKey::Produce) => None,
            Some(ApiKey::Fetch) if weight == 0 => None,
            // The answers of these may be larger than anybody asked for.
            _ => Some(weight),
        }
    }

    /// Where the next bytes are to be appended, with room for a good read as far as that is charged.
    pub fn room(&mut self, charged: usize) -> &mut BytesMut {
        let len = self.bytes.len();
        let missing = match self.announced() {
            Ok(Some(announced)) => (announced + SIZE_LEN).saturating_sub(len),
            Ok(None) | Err(_) => 0,
        };
        let room = (FREE + charged).saturating_sub(len).max(1);
        let chunk = (FREE + charged).min(CHUNK_MAX);
        let more = if len + missing > chunk {
            // Exact, lest the last bytes of a large frame make the whole buffer move.
            missing.min(room)
        } else {
            chunk.min(room)
        };
        self.bytes.reserve(more);
        &mut self.bytes
    }

    /// What to charge, instead of `charged`, for more bytes with the next read: of use if the last one filled all the
    /// room there was.
    pub(super) fn wishes(&self, charged: usize) -> Option<usize> {
        let full = self.bytes.len() == self.bytes.capacity();
        (full && FREE + charged < CHUNK_MAX).then_some(FREE + 2 * charged)
    }

    /// Gives memory back if nothing is kept in it; whether it did.
    pub fn release(&mut self) -> bool {
        let empty = self.bytes.is_empty();
        if empty {
            self.bytes = BytesMut::new();
        }
        empty
    }

    /// Whether so much is better given back at once. Who sends much and fast keeps a little even if others wait, lest it
    /// wait behind them for each request.
    pub(super) fn is_too_large_to_keep(charged: usize, others_wait: bool) -> bool {
        charged > if others_wait { CHUNK_MAX } else { KEPT_MAX }
    }

    /// How much memory it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if everything were charged.
    const ENOUGH: usize = 1 << 30;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut frame = i32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    fn push(buffer: &mut FrameBuffer, bytes: &[u8]) {
        buffer.room(ENOUGH).extend_from_slice(bytes);
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
    fn an_announcement_reserves_nothing() {
        let mut buffer = FrameBuffer::new(100 << 20);
        buffer.room(0).extend_from_slice(&(100_i32 << 20).to_be_bytes());
        buffer.room(0);
        assert!(buffer.capacity() <= 2 * FREE, "{}", buffer.capacity());
        assert_eq!(buffer.lacks(0), None, "nothing came yet");
    }

    #[test]
    fn charges_and_memory_grow_with_what_arrived() {
        let mut buffer = FrameBuffer::new(100 << 20);
        let (mut charged, mut arrived, mut steps) = (0, 4, 0);
        buffer.room(0).extend_from_slice(&(50_i32 << 20).to_be_bytes());
        while buffer.next_frame().unwrap().is_none() {
            while let Some(more) = buffer.lacks(charged) {
                assert!(more > charged);
                charged = more;
                steps += 1;
            }
            assert!(
                charged <= arrived + STEP_MAX.min(arrived),
                "{charged} for {arrived}"
            );
            let piece = (FREE + charged - arrived).clamp(1, 8 << 10);
            buffer.room(charged).extend_from_slice(&vec![0; piece]);
            arrived += piece;
            assert!(
                buffer.capacity() <= 3 * arrived.max(FREE),
                "{} for {arrived}",
                buffer.capacity()
            );
        }
        assert!(steps < 100, "{steps} steps");
        assert!(buffer.release());
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn what_came_with_one_read_is_charged_afterwards() {
        let mut buffer = FrameBuffer::new(1 << 20);
        push(&mut buffer, &framed(&[1; 500_000])[..300_000]);
        let more = buffer.lacks(0).unwrap();
        assert!(more > 300_000 - FREE && more <= 500_004 - FREE, "{more}");
        assert_eq!(buffer.lacks(more), None);
    }

    #[test]
    fn messages_weigh_nothing_and_lists_a_multiple() {
        let weight = |key: i16, len: usize| {
            let mut frame = key.to_be_bytes().to_vec();
            frame.resize(len, 0);
            let mut buffer = FrameBuffer::new(200 << 20);
            push(&mut buffer, &framed(&frame));
            buffer.weight()
        };
        assert_eq!(weight(0, 1 << 20), None);
        assert_eq!(weight(1, 500), None);
        assert_eq!(weight(1, 10_000), Some(80_000 - FREE));
        assert_eq!(weight(3, 100), Some(0), "may ask for a lot with little");
        assert_eq!(weight(3, 100 << 20), Some(DECODED_MAX - FREE));
        assert_eq!(weight(99, 1), Some(0));
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
