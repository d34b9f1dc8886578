//! Numbers and strings of the 0.8 protocol.

use std::io;
use std::io::ErrorKind::InvalidData;

/// Takes a request apart.
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    pub fn at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(InvalidData)?;
        self.position += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| InvalidData.into())
    }

    pub fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn string(&mut self) -> io::Result<&'a str> {
        let length = self.i16()?.max(0).unsigned_abs();
        std::str::from_utf8(self.take(length.into())?).map_err(|_| InvalidData.into())
    }

    pub fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let length = self.i32()?.max(0).unsigned_abs();
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

/// Puts an answer together.
pub struct Writer(Vec<u8>);

impl Writer {
    /// A frame, its length still to be written.
    pub fn frame(correlation: i32) -> Self {
        let mut frame = Self(vec![0; 4]);
        frame.i32(correlation);
        frame
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn i16(&mut self, number: i16) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn i32(&mut self, number: i32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn i64(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    /// The frame, to which the caller sends `more` bytes between its parts.
    pub fn finish(&mut self, more: usize) -> &[u8] {
        let length = i32::try_from(self.0.len() - 4 + more).unwrap_or(i32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        &self.0
    }
}
