//! Walking the entries of a segment from front to back.
//!
//! [`Headers`] finds positions: from the twelve bytes before each message, and nothing but them unless it is told to read
//! on. [`EntryReader`] reads everything, a piece at a time: it checks. No size that an entry announces makes either of
//! them reserve memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::message;
use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;
use crate::message::stored::CrcCheck;
use crate::message::stored::StoredEntry;
use crate::message::stored::check_stored;

/// Bytes read at a time: they are still in the processor's cache when they are checked.
const PIECE_LEN: usize = 256 * 1024;
/// Entries up to this size are held in memory to be checked; the checksum of larger ones is computed piece by
/// piece.
const HELD_LEN: usize = 16 * 1024 * 1024;
/// Bytes read on, for walks over many small entries.
const WINDOW_LEN: usize = 64 * 1024;
/// Behind an entry as long as this, nothing is read on.
const SPARSE_LEN: usize = 16 * 1024;
/// [`HEADER_LEN`] in a file.
const HEADER_LEN_ON_DISK: u64 = HEADER_LEN as u64;

/// Where an entry is, and its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: EntryHeader,
}

impl Located {
    /// Where the next entry begins.
    pub(crate) fn end(&self) -> u64 {
        // A length in memory always fits.
        self.position + u64::try_from(self.header.len).unwrap_or(u64::MAX / 2)
    }
}

/// The entry headers of a file, from a position on.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    window: Option<Window>,
}

/// Bytes of a file that were read on.
#[derive(Debug)]
struct Window {
    bytes: Vec<u8>,
    /// Where they begin.
    at: u64,
    /// Whether the next entries are likely to be near.
    dense: bool,
}

impl<'a> Headers<'a> {
    /// Walks from `position`, where an entry must begin, to `end`. Reads nothing but headers.
    pub(crate) fn new(file: &'a File, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
            window: None,
        }
    }

    /// As [`Self::new`], but reads many small entries with one call.
    pub(crate) fn reading_on(file: &'a File, position: u64, end: u64) -> Self {
        Self {
            window: Some(Window {
                bytes: Vec::new(),
                at: position,
                dense: true,
            }),
            ..Self::new(file, position, end)
        }
    }

    /// Where the walk stands.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next header; none at the end, or where no message can follow. The entry may be cut short by the
    /// end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<Located, message::Error>>> {
        if self.position + HEADER_LEN_ON_DISK >= self.end {
            return Ok(None);
        }
        let bytes = match &mut self.window {
            Some(window) => window.header(self.file, self.position)?,
            None => header(self.file, self.position)?,
        };
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        Ok(Some(EntryHeader::parse(&bytes).map(|header| {
            let located = Located {
                position: self.position,
                header,
            };
            self.position = located.end();
            if let Some(window) = &mut self.window {
                window.dense = header.len < SPARSE_LEN;
            }
            located
        })))
    }
}

/// The header at a position; none if the file was cut meanwhile.
fn header(file: &File, position: u64) -> io::Result<Option<[u8; HEADER_LEN]>> {
    let mut bytes = [0; HEADER_LEN];
    match file.read_exact_at(&mut bytes, position) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl Window {
    fn header(&mut self, file: &File, position: u64) -> io::Result<Option<[u8; HEADER_LEN]>> {
        if let Some(held) = self.held(position) {
            return Ok(Some(held));
        }
        if !self.dense {
            return header(file, position);
        }
        self.at = position;
        self.bytes.resize(WINDOW_LEN, 0);
        let mut filled = 0;
        while let Some(room @ [_, ..]) = self.bytes.get_mut(filled..) {
            match read_at(file, room, position + u64::try_from(filled).unwrap_or_default())? {
                0 => break,
                read => filled += read,
            }
        }
        self.bytes.truncate(filled);
        Ok(self.held(position))
    }

    fn held(&self, position: u64) -> Option<[u8; HEADER_LEN]> {
        let from = usize::try_from(position.checked_sub(self.at)?).ok()?;
        self.bytes.get(from..)?.first_chunk().copied()
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Checked {
    /// A whole entry.
    Entry {
        at: Located,
        /// What its check says.
        check: Result<StoredEntry, message::Error>,
    },
    /// No whole entry comes any more.
    End,
}

/// Reads the entries of a file and checks them, holding one at a time.
#[derive(Debug)]
pub(crate) struct EntryReader<'a> {
    file: &'a File,
    end: u64,
    /// Where the next entry begins.
    position: u64,
    /// Bytes of the file; those from `position` on begin at `used` and end at `filled`.
    buffer: Vec<u8>,
    used: usize,
    filled: usize,
}

impl<'a> EntryReader<'a> {
    /// Reads a file of `len` bytes from its beginning.
    pub(crate) fn new(file: &'a File, len: u64) -> Self {
        Self {
            file,
            end: len,
            position: 0,
            buffer: Vec::new(),
            used: 0,
            filled: 0,
        }
    }

    /// The next entry. A wrapper is opened only if its first offset is wanted; that of an entry too large to
    /// be held is not known, and its check then says [`message::Error::TooLarge`].
    pub(crate) fn next(&mut self, want_first_offset: bool) -> io::Result<Checked> {
        if !self.hold(HEADER_LEN)? {
            return Ok(Checked::End);
        }
        let Some(Ok(header)) = self.held().first_chunk().map(EntryHeader::parse) else {
            return Ok(Checked::End);
        };
        let at = Located {
            position: self.position,
            header,
        };
        if at.end() > self.end {
            return Ok(Checked::End);
        }
        let check = if header.len > HELD_LEN {
            self.check_in_pieces(header, want_first_offset)?
        } else if self.hold(header.len)? {
            let check = check_stored(self.held(), usize::MAX, want_first_offset);
            self.skip(header.len);
            Some(check)
        } else {
            None
        };
        Ok(check.map_or(Checked::End, |check| Checked::Entry { at, check }))
    }

    /// The bytes from `position` on that are in memory.
    fn held(&self) -> &[u8] {
        self.buffer.get(self.used..self.filled).unwrap_or_default()
    }

    fn skip(&mut self, len: usize) {
        self.used += len;
        self.position += u64::try_from(len).unwrap_or_default();
    }

    /// Reads until so many bytes are held; false if the file has less.
    fn hold(&mut self, len: usize) -> io::Result<bool> {
        while self.held().len() < len {
            if self.used > 0 {
                self.buffer.copy_within(self.used..self.filled, 0);
                self.filled -= self.used;
                self.used = 0;
            }
            if self.read_piece()? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads what follows the bytes that are held.
    fn read_piece(&mut self) -> io::Result<usize> {
        let from = self.position + u64::try_from(self.filled).unwrap_or(u64::MAX);
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(PIECE_LEN);
        let room = self.filled..self.filled + left.min(PIECE_LEN);
        if self.buffer.len() < room.end {
            self.buffer.resize(room.end, 0);
        }
        let read = match self.buffer.get_mut(room) {
            Some(room) if !room.is_empty() => read_at(self.file, room, from)?,
            _ => 0,
        };
        self.filled += read;
        Ok(read)
    }

    /// Checks an entry that is not held as a whole; nothing if the file ends before it does.
    fn check_in_pieces(
        &mut self,
        header: EntryHeader,
        want_first_offset: bool,
    ) -> io::Result<Option<Result<StoredEntry, message::Error>>> {
        let mut check = CrcCheck::default();
        self.skip(HEADER_LEN);
        let mut left = header.len - HEADER_LEN;
        while left > 0 {
            if !self.hold(1)? {
                return Ok(None);
            }
            let piece = self.held().len().min(left);
            check.update(self.held().get(..piece).unwrap_or_default());
            self.skip(piece);
            left -= piece;
        }
        Ok(Some(check.finish().and_then(|codec| {
            if want_first_offset {
                return Err(message::Error::TooLarge {
                    size: header.len,
                    limit: HELD_LEN,
                });
            }
            Ok(StoredEntry {
                first_offset: header.last_offset,
                last_offset: header.last_offset,
                len: header.len,
                codec,
            })
        })))
    }
}

/// Reads once, again if interrupted.
fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    loop {
        match file.read_at(bytes, position) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::log::testing::numbered;
    use crate::log::testing::set;
    use crate::message::Codec;
    use crate::message::set::Limits;
    use crate::message::set::ProducedSet;
    use crate::message::set::SetBuilder;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn entries(codec: Codec, base_offset: i64, values: Vec<String>) -> Vec<u8> {
        let limits = Limits {
            max_message_bytes: usize::MAX,
            ..Limits::default()
        };
        let mut set = SetBuilder::new(codec);
        values
            .iter()
            .for_each(|value| set.push(None, Some(value.as_bytes())));
        let set = ProducedSet::new(set.build().unwrap()).check(&limits).unwrap();
        set.assign(base_offset, &limits).unwrap().bytes().to_vec()
    }

    /// Where an entry begins, and its first and last offset.
    type Found = (u64, Result<(i64, i64), message::Error>);

    fn walk(bytes: &[u8]) -> Vec<Found> {
        let file = file(bytes);
        let mut reader = EntryReader::new(&file, bytes.len() as u64);
        let mut found = Vec::new();
        let mut next = 0;
        while let Checked::Entry { at, check } = reader.next(true).unwrap() {
            assert_eq!(at.position, next);
            next = at.end();
            found.push((
                at.position,
                check.map(|entry| (entry.first_offset, entry.last_offset)),
            ));
        }
        found
    }

    #[test]
    fn entries_are_checked_across_pieces() {
        // Entries that don't divide the piece, two of which are larger than it.
        let big = |from| entries(Codec::None, from, vec!["b".repeat(1_500_000)]);
        let small = entries(Codec::None, 0, (0..50_000).map(|n| format!("{n}")).collect());
        let bytes = [
            small,
            big(50_000),
            big(50_001),
            entries(Codec::Gzip, 50_002, vec!["x".to_owned(); 9]),
        ]
        .concat();
        let walked = walk(&bytes);
        assert_eq!(walked.len(), 50_003);
        for (n, (_, check)) in walked.iter().enumerate() {
            let first = n as i64;
            let last = if n == 50_002 { first + 8 } else { first };
            assert_eq!(*check, Ok((first, last)));
        }
    }

    #[test]
    fn entries_too_large_to_be_held_are_checked_too() {
        let large = entries(Codec::None, 0, vec!["x".repeat(HELD_LEN)]);
        let next = entries(Codec::None, 1, vec![numbered(1)]);
        let at = large.len() as u64;
        let bytes = [large, next].concat();
        let walked = walk(&bytes);
        assert!(
            matches!(walked[0], (0, Err(message::Error::TooLarge { .. }))),
            "not known, but no mismatch"
        );
        assert_eq!(walked[1], (at, Ok((1, 1))));
        let mut broken = bytes;
        broken[5_000_000] ^= 1;
        assert!(matches!(walk(&broken)[0], (0, Err(message::Error::Crc { .. }))));
        assert_eq!(walk(&broken)[1], (at, Ok((1, 1))));
    }

    #[test]
    fn a_walk_ends_where_no_entry_can_be() {
        let good = set(Codec::None, ["a", "b"])
            .assign(0, &Limits::default())
            .unwrap();
        let good = good.bytes();
        let huge = [0, 0, 0, 0, 0, 0, 0, 2, 0x7f, 0xff, 0xff, 0xff];
        for tail in [&[][..], &[0; 11], &[0; 100], &[0xff; 100], &huge, &good[..20]] {
            assert_eq!(walk(&[good, tail].concat()).len(), 2, "{tail:?}");
        }
    }

    #[test]
    fn reading_on_finds_the_same_headers() {
        let small = |from| entries(Codec::None, from, (0..3_000).map(numbered).collect());
        let large = |from| {
            entries(
                Codec::None,
                from,
                vec!["l".repeat(SPARSE_LEN), "m".repeat(WINDOW_LEN + 1)],
            )
        };
        let bytes = [small(0), large(3_000), small(3_002), large(6_002), vec![0; 7]].concat();
        let file = file(&bytes);
        for end in [bytes.len(), bytes.len() - 8, bytes.len() + 100_000] {
            let (start, end) = (0, end as u64);
            let walk = |mut headers: Headers<'_>| {
                std::iter::from_fn(|| headers.next().unwrap().map(Result::unwrap)).collect::<Vec<_>>()
            };
            let one_by_one = walk(Headers::new(&file, start, end));
            assert_eq!(one_by_one.len(), 6_004);
            assert_eq!(walk(Headers::reading_on(&file, start, end)), one_by_one);
        }
    }

    #[test]
    fn headers_are_walked_without_what_is_between() {
        let good = set(Codec::None, ["aaa", "b"])
            .assign(7, &Limits::default())
            .unwrap();
        let bytes = [good.bytes(), &good.bytes()[..12]].concat();
        let file = file(&bytes);
        let mut headers = Headers::new(&file, 0, bytes.len() as u64);
        let mut next = || {
            headers
                .next()
                .unwrap()
                .map(|at| at.map(|at| (at.position, at.header.last_offset)))
        };
        assert_eq!(next(), Some(Ok((0, 7))));
        assert_eq!(next(), Some(Ok((29, 8))));
        assert_eq!(next(), None, "twelve bytes are no entry");
        let mut beyond = Headers::new(&file, 0, 1 << 40);
        assert_eq!(
            std::iter::from_fn(|| beyond.next().unwrap()).count(),
            3,
            "a file that was cut meanwhile"
        );
    }
}
