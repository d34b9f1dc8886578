//! Values compressed and decompressed, whatever the codec.

use flate2::Decompress;

use crate::message::Codec;
use crate::message::Error;
use crate::message::framing::Bound;
use crate::message::framing::Framing;
use crate::message::gzip;
use crate::message::lz4;
use crate::message::xerial;

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
            Codec::Gzip => {
                let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
                gzip::decompress(inflate, value, out, bound)
            }
            Codec::Snappy => xerial::decompress(&mut self.snappy, value, out, bound),
            Codec::Lz4 => lz4::decompress(value, out, bound),
        }
    }
}

/// Appends the image of `bytes`.
pub(super) fn compress(bytes: &[u8], codec: Codec, gzip_level: u32, out: &mut Vec<u8>) -> Result<(), Error> {
    match codec {
        Codec::None => out.extend_from_slice(bytes),
        Codec::Gzip => gzip::compress(bytes, gzip_level, out)?,
        Codec::Snappy => xerial::compress(bytes, out)?,
        Codec::Lz4 => lz4::compress(bytes, out),
    }
    Ok(())
}
