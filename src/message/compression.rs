//! A set inside one compressed message, and out again.
//!
//! Whatever a wrapper holds, opening it takes no more memory than a few times the limit that the caller gives:
//! lengths are compared with it before they are believed, and streams are stopped when they pass it.

use flate2::Compress;
use flate2::Compression;
use flate2::Decompress;
use flate2::FlushCompress;
use flate2::FlushDecompress;
use flate2::Status;

use crate::message::ATTRIBUTES_AT;
use crate::message::Codec;
use crate::message::Error;
use crate::message::MAGIC_AT;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::Message;
use crate::message::entry::HEADER_LEN;
use crate::message::entry::entries;
use crate::message::lz4;
use crate::message::xerial;

/// How deep wrappers may be nested. Producers don't nest at all; what a mirror of a mirror once did fits easily.
const MAX_DEPTH: usize = 8;

/// A wrapper's bytes around its value.
const WRAPPER_LEN: usize = HEADER_LEN + MIN_MESSAGE_LEN;

/// How much a decompressor may write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// More than this is an error.
    pub(super) limit: usize,
    /// With this much the caller is content; the rest need not be decompressed, nor be sound.
    pub(super) enough: usize,
}

/// Whether the bytes around compressed blocks are the ones that we write, which every 0.8 client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// They are.
    Ours,
    /// Acceptable here, but not to every reader.
    Foreign,
}

/// Decompresses values; keeps what is costly to set up.
#[derive(Debug, Default)]
pub(super) struct Decompressor {
    inflate: Option<Decompress>,
    snappy: snap::raw::Decoder,
}

impl Decompressor {
    /// Appends the image of a wrapper's value.
    pub(super) fn decompress(
        &mut self,
        codec: Codec,
        value: Option<&[u8]>,
        out: &mut Vec<u8>,
        bound: Bound,
    ) -> Result<Framing, Error> {
        let value = value.ok_or(Error::Decompress(codec, "no value"))?;
        match codec {
            Codec::None => Err(Error::Decompress(codec, "not compressed")),
            Codec::Gzip => self.gunzip(value, out, bound),
            Codec::Snappy => xerial::decompress(&mut self.snappy, value, out, bound),
            Codec::Lz4 => lz4::decompress(value, out, bound),
        }
    }

    /// Reads gzip members until the value ends or something that is no member follows, as Java's GZIPInputStream does.
    fn gunzip(&mut self, value: &[u8], out: &mut Vec<u8>, bound: Bound) -> Result<Framing, Error> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
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
}

/// Header, an empty deflate stream, trailer.
const MIN_GZIP_MEMBER: usize = 20;
/// What [`gzip`] writes before the deflate stream: no name, no time, no flags.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];

/// Flags in a gzip header.
const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

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
fn gzip(bytes: &[u8], level: u32, out: &mut Vec<u8>) -> Result<(), Error> {
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

/// A set without wrappers: what was inside them and what was beside them, in order, with the offsets that came along.
#[derive(Debug, Default)]
pub(super) struct Unwrapped {
    /// Complete entries, none of them a wrapper.
    pub(super) flat: Vec<u8>,
    /// How many.
    pub(super) count: u64,
    /// The codec of the last outer wrapper.
    pub(super) codec: Codec,
    /// How the last outer wrapper is framed.
    pub(super) framing: Option<Framing>,
    /// Whether that wrapper held neither wrappers nor an incomplete tail.
    pub(super) as_sent: bool,
}

impl Unwrapped {
    /// Opens every wrapper of `set`, which may decompress to at most `limit` bytes in all, into `flat`, which is empty.
    pub(super) fn new(set: &[u8], limit: usize, flat: Vec<u8>) -> Result<Self, Error> {
        Self::open(set, (limit, flat), false)
    }

    /// The same, and compares the checksums of the outer wrappers.
    pub(super) fn verified(set: &[u8], limit: usize) -> Result<Self, Error> {
        Self::open(set, (limit, Vec::new()), true)
    }

    fn open(set: &[u8], (limit, flat): (usize, Vec<u8>), verify: bool) -> Result<Self, Error> {
        let mut opening = Opening {
            unwrapped: Self {
                flat,
                ..Self::default()
            },
            decompressor: Decompressor::default(),
            limit,
            decompressed: 0,
            verify,
        };
        opening.add_set(set, 0)?;
        Ok(opening.unwrapped)
    }
}

/// The work of opening a set.
struct Opening {
    unwrapped: Unwrapped,
    decompressor: Decompressor,
    limit: usize,
    /// What was written so far, on all levels.
    decompressed: usize,
    verify: bool,
}

impl Opening {
    /// Appends a set's messages. `depth` counts the wrappers around it.
    fn add_set(&mut self, mut set: &[u8], depth: usize) -> Result<(), Error> {
        let mut walk = entries(set);
        while let Some(entry) = walk.next() {
            let (_, message) = entry?;
            let (this, rest) = set.split_at(set.len() - walk.rest().len());
            set = rest;
            match message.codec()? {
                Codec::None => {
                    self.unwrapped.flat.extend_from_slice(this);
                    self.unwrapped.count += 1;
                }
                codec => self.add_wrapper(codec, message, depth)?,
            }
        }
        Ok(())
    }

    fn add_wrapper(&mut self, codec: Codec, wrapper: Message<'_>, depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        if self.verify && depth == 0 {
            wrapper.check_crc()?;
        }
        let start = self.unwrapped.flat.len();
        let bound = Bound {
            limit: self.limit.saturating_sub(self.decompressed),
            enough: usize::MAX,
        };
        let framing = self
            .decompressor
            .decompress(codec, wrapper.value(), &mut self.unwrapped.flat, bound)
            .map_err(|error| match error {
                Error::SetTooLarge { .. } => Error::SetTooLarge { limit: self.limit },
                other => other,
            })?;
        self.decompressed += self.unwrapped.flat.len() - start;
        self.add_inner(start, depth + 1)?;
        if depth == 0 {
            self.unwrapped.codec = codec;
            self.unwrapped.framing = Some(framing);
        }
        Ok(())
    }

    /// Takes up the set that was just decompressed to the end of `flat`: where it is, unless there are wrappers in it.
    fn add_inner(&mut self, start: usize, depth: usize) -> Result<(), Error> {
        let inner = self.unwrapped.flat.get(start..).unwrap_or_default();
        let mut walk = entries(inner);
        let mut count = 0;
        for entry in walk.by_ref() {
            let (_, message) = entry?;
            if message.codec()? != Codec::None {
                let nested = self.unwrapped.flat.split_off(start);
                self.unwrapped.as_sent = false;
                return self.add_set(&nested, depth);
            }
            count += 1;
        }
        let complete = start + inner.len() - walk.rest().len();
        self.unwrapped.as_sent = walk.rest().is_empty();
        self.unwrapped.flat.truncate(complete);
        self.unwrapped.count += count;
        Ok(())
    }
}

/// Compresses `flat` into a set of one wrapper.
pub(super) fn wrap(flat: &[u8], codec: Codec, gzip_level: u32, last_offset: i64) -> Result<Vec<u8>, Error> {
    let mut set = vec![0; WRAPPER_LEN];
    match codec {
        Codec::None => set.extend_from_slice(flat),
        Codec::Gzip => gzip(flat, gzip_level, &mut set)?,
        Codec::Snappy => xerial::compress(flat, &mut set)?,
        Codec::Lz4 => lz4::compress(flat, &mut set),
    }
    let too_large = || Error::SetTooLarge {
        limit: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
    };
    let size = i32::try_from(set.len() - HEADER_LEN).map_err(|_| too_large())?;
    let value_len = i32::try_from(set.len() - WRAPPER_LEN).map_err(|_| too_large())?;
    let no_key = -1_i32;
    put_at(&mut set, 0, &last_offset.to_be_bytes());
    put_at(&mut set, 8, &size.to_be_bytes());
    put_at(&mut set, HEADER_LEN + ATTRIBUTES_AT, &[codec.number()]);
    put_at(&mut set, WRAPPER_LEN - 8, &no_key.to_be_bytes());
    put_at(&mut set, WRAPPER_LEN - 4, &value_len.to_be_bytes());
    let crc = crc32fast::hash(set.get(HEADER_LEN + MAGIC_AT..).unwrap_or_default());
    put_at(&mut set, HEADER_LEN, &crc.to_be_bytes());
    Ok(set)
}

/// Writes over what is there.
pub(super) fn put_at(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}
