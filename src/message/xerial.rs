//! The block framing around raw snappy that Kafka clients use, from xerial's snappy-java.
//!
//! ```text
//! 82 "SNAPPY" 00 | version i32 | lowest compatible version i32 | { length i32 | raw snappy block }*
//! ```

use snap::raw::Decoder;
use snap::raw::Encoder;

use crate::message::Codec;
use crate::message::Error;
use crate::message::framing::Bound;
use crate::message::framing::Framing;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The version that is written, and the lowest that may read it.
const VERSION: i32 = 1;
/// How much goes into one block, as 0.8.2.2's broker and Scala producer do it.
const BLOCK_LEN: usize = 32 * 1024;
/// No element of a snappy block yields more: 64 bytes out of 3.
const MAX_RATIO: usize = 22;

fn error(reason: &'static str) -> Error {
    Error::Decompress(Codec::Snappy, reason)
}

/// Appends the image of a framed value, or of a bare block.
pub(super) fn decompress(
    decoder: &mut Decoder,
    value: &[u8],
    out: &mut Vec<u8>,
    bound: Bound,
) -> Result<Framing, Error> {
    let start = out.len();
    let framed = value
        .split_first_chunk::<16>()
        .filter(|(header, _)| header.starts_with(&MAGIC));
    let Some((header, mut blocks)) = framed else {
        block(decoder, value, out, (start, bound))?;
        return Ok(Framing::Foreign);
    };
    let [.., v0, v1, v2, v3, c0, c1, c2, c3] = *header;
    let (version, compatible) = (
        i32::from_be_bytes([v0, v1, v2, v3]),
        i32::from_be_bytes([c0, c1, c2, c3]),
    );
    if version < VERSION {
        return Err(error("version below 1"));
    }
    // A length that is cut short ends the stream, a block doesn't: as snappy-java does.
    while let Some((len, rest)) = blocks.split_first_chunk()
        && out.len() - start < bound.enough
    {
        let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| error("negative length"))?;
        let (compressed, rest) = rest.split_at_checked(len).ok_or(error("cut short"))?;
        block(decoder, compressed, out, (start, bound))?;
        blocks = rest;
    }
    if (version, compatible) == (VERSION, VERSION) && blocks.is_empty() {
        Ok(Framing::Ours)
    } else {
        Ok(Framing::Foreign)
    }
}

/// Appends the image of one raw block. Its announced length is believed only as far as it is possible and allowed.
fn block(
    decoder: &mut Decoder,
    compressed: &[u8],
    out: &mut Vec<u8>,
    (start, bound): (usize, Bound),
) -> Result<(), Error> {
    let len = snap::raw::decompress_len(compressed).map_err(|_| error("bad block"))?;
    if len > compressed.len().saturating_mul(MAX_RATIO) {
        return Err(error("announces more than it can hold"));
    }
    let at = out.len();
    if len > bound.limit.saturating_sub(at - start) {
        return Err(Error::SetTooLarge { limit: bound.limit });
    }
    out.resize(at + len, 0);
    decoder
        .decompress(compressed, out.get_mut(at..).unwrap_or_default())
        .map_err(|_| error("bad block"))?;
    Ok(())
}

/// Appends `bytes`, framed.
pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut encoder = Encoder::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    for block in bytes.chunks(BLOCK_LEN) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let (len, room) = out
            .get_mut(at..)
            .and_then(|tail| tail.split_first_chunk_mut())
            .ok_or(Error::Compress(Codec::Snappy))?;
        let written = encoder
            .compress(block, room)
            .map_err(|_| Error::Compress(Codec::Snappy))?;
        *len = i32::try_from(written)
            .map_err(|_| Error::Compress(Codec::Snappy))?
            .to_be_bytes();
        out.truncate(at + 4 + written);
    }
    Ok(())
}
