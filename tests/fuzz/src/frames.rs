//! Cutting a stream into frames. Against the rule: `size i32` from 1 to the limit, then that many bytes; whatever the
//! pieces in which the bytes arrive, and without memory for what did not arrive.

use std::path::Path;

use gregor::net::BadSize;
use gregor::net::FrameBuffer;

use super::fixtures;
use super::input::Input;

const LIMITS: [usize; 4] = [100, 1000, 100 << 20, i32::MAX as usize];
/// What may be reserved beyond what arrived.
const AHEAD: usize = (1 << 20) + (256 << 10);

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let limit = LIMITS[usize::from(choice & 3)];
    let step = usize::from(input.byte()) + 1;
    let stream = input.0;

    let mut charged = 0;
    let mut buffer = FrameBuffer::new(limit);
    let mut found = Vec::new();
    let mut end = Ok(());
    'stream: for piece in stream.chunks(step) {
        while let Some(more) = buffer.lacks(charged) {
            assert!(more > charged, "asks for more, and not for ever");
            charged = more;
        }
        let room = buffer.room(charged);
        assert!(room.capacity() > room.len(), "there is room for a read");
        room.extend_from_slice(piece);
        loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(size) => {
                    end = Err(size);
                    break 'stream;
                }
            }
        }
        let allowed = 4 * stream.len() + AHEAD;
        assert!(
            buffer.capacity() <= allowed,
            "{} bytes of memory",
            buffer.capacity()
        );
        if choice & 8 != 0 {
            buffer.release();
        }
    }
    assert_eq!((found, end), expected(stream, limit));
}

fn expected(mut stream: &[u8], limit: usize) -> (Vec<Vec<u8>>, Result<(), BadSize>) {
    let mut frames = Vec::new();
    while let Some((size, rest)) = stream.split_first_chunk() {
        let size = i32::from_be_bytes(*size);
        if size <= 0 || size as usize > limit {
            return (frames, Err(BadSize(size)));
        }
        let Some((frame, rest)) = rest.split_at_checked(size as usize) else {
            break;
        };
        frames.push(frame.to_vec());
        stream = rest;
    }
    (frames, Ok(()))
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let frames = fixtures::frames(folder);
    let alone = frames.iter().map(|frame| [&[2, 255], &frame[..]].concat());
    let together = frames
        .chunks(5)
        .map(|frames| [vec![9, 40], frames.concat()].concat());
    alone.chain(together).filter(|seed| seed.len() < 10_000).collect()
}
