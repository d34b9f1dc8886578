//! Gzip members, as Java's GZIPInputStream reads them.

use flate2::Compress;
use flate2::Compression;
use flate2::Decompress;
use flate2::FlushCompress;
use flate2::FlushDecompress;
use flate2::Status;

use crate::message::Codec;
use crate::message::Error;
use crate::message::framing::Bound;
use crate::message::framing::Framing;

/// Header, an empty deflate stream, trailer.
const MIN_GZIP_MEMBER: usize = 20;
/// What [`compress`] writes before the deflate stream: no name, no time, no flags.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];

/// Flags in a gzip header.
const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

/// Reads gzip members until the value ends or something that is no member follows, as Java's GZIPInputStream does.
pub(super) fn decompress(
    inflate: &mut Decompress,
    value: &[u8],
    out: &mut Vec<u8>,
    bound: Bound,
) -> Result<Framing, Error> {
    let start = out.len();
    let mut rest = gzip_body(value).ok_or(Error::Decompress(Codec::Gzip, "bad header"))?;
    let mut framing = Framing::Ours;
    loop {
        let member = out.len();
        rest = match inflate_member(inflate, rest, out, (start, bound))? {
            Some(rest) => rest,
            None => return Ok(framing),
        };
        rest = check_gzip_trailer(rest, out.get(member..).unwrap_or_default())?;
        if rest.is_empty() {
            return Ok(framing);
        }
        framing = Framing::Foreign;
        match gzip_body(rest) {
            Some(body) if rest.len() >= MIN_GZIP_MEMBER => rest = body,
            _ => return Ok(framing),
        }
    }
}

/// What follows a gzip header; none if there is no sound header.
fn gzip_body(member: &[u8]) -> Option<&[u8]> {
    let (fixed, mut rest) = member.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *fixed else {
        return None;
    };
    if flags & FLAG_EXTRA != 0 {
        let (len, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        let header = member.get(..member.len() - rest.len())?;
        let (crc, after) = rest.split_first_chunk()?;
        if crc32fast::hash(header) & 0xffff != u32::from(u16::from_le_bytes(*crc)) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Appends the image of a deflate stream and gives what follows it; nothing if the caller has enough.
fn inflate_member<'a>(
    inflate: &mut Decompress,
    mut rest: &'a [u8],
    out: &mut Vec<u8>,
    (start, bound): (usize, Bound),
) -> Result<Option<&'a [u8]>, Error> {
    let error = |reason| Error::Decompress(Codec::Gzip, reason);
    inflate.reset(false);
    loop {
        if out.len() == out.capacity() {
            out.reserve(rest.len().min(bound.enough).clamp(256, 1 << 16));
        }
        let before = (inflate.total_in(), out.len());
        let status = inflate
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| error("bad deflate stream"))?;
        let consumed = usize::try_from(inflate.total_in() - before.0).unwrap_or(usize::MAX);
        rest = rest.get(consumed..).ok_or(error("bad deflate stream"))?;
        let written = out.len() - start;
        if written > bound.limit {
            return Err(Error::SetTooLarge { limit: bound.limit });
        }
        if status == Status::StreamEnd {
            return Ok(Some(rest));
        }
        if written >= bound.enough {
            return Ok(None);
        }
        if consumed == 0 && out.len() == before.1 {
            return Err(error("cut short"));
        }
    }
}

/// Compares checksum and length with what was decompressed; gives what follows them.
fn check_gzip_trailer<'a>(trailer: &'a [u8], image: &[u8]) -> Result<&'a [u8], Error> {
    let error = |reason| Error::Decompress(Codec::Gzip, reason);
    let (crc, rest) = trailer.split_first_chunk().ok_or(error("cut short"))?;
    let (len, rest) = rest.split_first_chunk().ok_or(error("cut short"))?;
    let [l0, l1, l2, l3, ..] = image.len().to_le_bytes();
    if u32::from_le_bytes(*crc) != crc32fast::hash(image) || *len != [l0, l1, l2, l3] {
        return Err(error("wrong checksum"));
    }
    Ok(rest)
}

/// Appends `bytes` as one gzip member.
pub(super) fn compress(bytes: &[u8], level: u32, out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(&GZIP_HEADER);
    let mut deflate = Compress::new(Compression::new(level.min(9)), false);
    out.reserve(bytes.len() / 2 + 64);
    loop {
        let consumed = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(consumed..).unwrap_or_default();
        let status = deflate
            .compress_vec(rest, out, FlushCompress::Finish)
            .map_err(|_| Error::Compress(Codec::Gzip))?;
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => out.reserve(rest.len() / 2 + 64),
        }
    }
    out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    let [l0, l1, l2, l3, ..] = bytes.len().to_le_bytes();
    out.extend_from_slice(&[l0, l1, l2, l3]);
    Ok(())
}
