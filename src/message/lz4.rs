//! The LZ4 framing of 0.8, with its own header checksum.
//!
//! ```text
//! 04 22 4d 18 | FLG | BD | HC | { length u32, top bit: stored | block | [xxh32] }* | 00 00 00 00
//! ```
//!
//! HC should be computed over FLG and BD; 0.8 takes the magic, too (KAFKA-3160), and its consumers accept nothing else.
//! So that is written, and both are read.

use lz4_flex::block::DecompressError;
use lz4_flex::block::get_maximum_output_size;
use twox_hash::XxHash32;

use crate::message::Codec;
use crate::message::Error;
use crate::message::framing::Bound;
use crate::message::framing::Framing;
use crate::message::patch::put_at;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks, nothing else.
const FLG: u8 = 0x60;
/// Each block is followed by its checksum.
const FLG_BLOCK_CHECKSUM: u8 = 0x10;
/// Blocks of 64 KiB.
const BD: u8 = 0x40;
const BLOCK_LEN: usize = 64 * 1024;
/// The top bit of a block's length: it is not compressed.
const STORED: u32 = 0x8000_0000;
/// A byte of a block yields at most 255.
const MAX_RATIO: usize = 255;

fn error(reason: &'static str) -> Error {
    Error::Decompress(Codec::Lz4, reason)
}

/// The second-lowest byte of the hash, as the header has it.
fn header_checksum(bytes: &[u8]) -> u8 {
    let [_, checksum, ..] = XxHash32::oneshot(0, bytes).to_le_bytes();
    checksum
}

/// The size of the blocks that BD announces.
fn block_len(descriptor: u8) -> Result<usize, Error> {
    match descriptor {
        0x40 => Ok(64 << 10),
        0x50 => Ok(256 << 10),
        0x60 => Ok(1 << 20),
        0x70 => Ok(4 << 20),
        _ => Err(error("unknown block size")),
    }
}

/// Appends the image of a frame. Bytes after its end mark are ignored, as 0.8.2.2 does (KafkaLZ4BlockInputStream).
pub(super) fn decompress(value: &[u8], out: &mut Vec<u8>, bound: Bound) -> Result<Framing, Error> {
    let (header, mut rest) = value.split_first_chunk::<7>().ok_or(error("cut short"))?;
    let [.., flags, descriptor, checksum] = *header;
    if !header.starts_with(&MAGIC) {
        return Err(error("not a frame"));
    }
    if flags & !FLG_BLOCK_CHECKSUM != FLG {
        return Err(error("unknown flags"));
    }
    let block_len = block_len(descriptor)?;
    let kafkas = checksum == header_checksum(header.get(..6).unwrap_or_default());
    if !kafkas && checksum != header_checksum(&[flags, descriptor]) {
        return Err(error("wrong header checksum"));
    }

    let start = out.len();
    while out.len() - start < bound.enough {
        let (len, after) = rest.split_first_chunk().ok_or(error("no end mark"))?;
        let len = u32::from_le_bytes(*len);
        if len == 0 {
            let ours = kafkas && flags == FLG && after.is_empty();
            return Ok(if ours { Framing::Ours } else { Framing::Foreign });
        }
        let stored = usize::try_from(len & !STORED).map_err(|_| error("block too large"))?;
        if stored > block_len {
            return Err(error("block too large"));
        }
        let (block, after) = after.split_at_checked(stored).ok_or(error("cut short"))?;
        rest = if flags & FLG_BLOCK_CHECKSUM == 0 {
            after
        } else {
            check_block(block, after)?
        };
        let room = bound.limit.saturating_sub(out.len() - start);
        if !add_block(block, len & STORED != 0, out, (block_len, room))? {
            return Err(Error::SetTooLarge { limit: bound.limit });
        }
    }
    Ok(Framing::Foreign)
}

/// Compares a block with the checksum that follows it; gives what comes then.
fn check_block<'a>(block: &[u8], after: &'a [u8]) -> Result<&'a [u8], Error> {
    let (checksum, rest) = after.split_first_chunk().ok_or(error("cut short"))?;
    if u32::from_le_bytes(*checksum) == XxHash32::oneshot(0, block) {
        Ok(rest)
    } else {
        Err(error("wrong block checksum"))
    }
}

/// Appends a block's image, of at most `block_len` bytes; false if there is no room for it.
fn add_block(
    block: &[u8],
    stored: bool,
    out: &mut Vec<u8>,
    (block_len, room): (usize, usize),
) -> Result<bool, Error> {
    if stored {
        let fits = block.len() <= room;
        out.extend_from_slice(if fits { block } else { &[] });
        return Ok(fits);
    }
    let at = out.len();
    // No more than the block can yield: a frame of many tiny blocks shall not have 4 MiB cleared for each.
    let longest = block.len().saturating_mul(MAX_RATIO).min(block_len);
    out.resize(at + longest.min(room), 0);
    match lz4_flex::block::decompress_into(block, out.get_mut(at..).unwrap_or_default()) {
        Ok(written) => {
            out.truncate(at + written);
            Ok(true)
        }
        Err(DecompressError::OutputTooSmall { .. }) if room < longest => Ok(false),
        Err(_) => Err(error("bad block")),
    }
}

/// Appends `bytes` as a frame.
pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FLG, BD]);
    let checksum = header_checksum(out.get(at..).unwrap_or_default());
    out.push(checksum);
    for block in bytes.chunks(BLOCK_LEN) {
        let at = out.len();
        out.resize(at + 4 + get_maximum_output_size(block.len()), 0);
        let room = out.get_mut(at + 4..).unwrap_or_default();
        let len = match lz4_flex::block::compress_into(block, room) {
            Ok(len) if len < block.len() => {
                out.truncate(at + 4 + len);
                u32::try_from(len).unwrap_or_default()
            }
            Ok(_) | Err(_) => {
                out.truncate(at + 4);
                out.extend_from_slice(block);
                u32::try_from(block.len()).unwrap_or_default() | STORED
            }
        };
        put_at(out, at, &len.to_le_bytes());
    }
    out.extend_from_slice(&0_u32.to_le_bytes());
}
