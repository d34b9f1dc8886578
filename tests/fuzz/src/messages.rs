//! Entries as the harness makes and reads them, apart from the code that it looks at.

use bytes::Bytes;
use gregor::message::Codec;
use gregor::message::Error;
use gregor::message::set::CheckedSet;
use gregor::message::set::Limits;
use gregor::message::set::ProducedSet;
use gregor::message::set::SetBuilder;
use gregor::message::wrapper::OwnedMessage;
use gregor::message::wrapper::deep_entries;

use super::input::Input;
use super::within;

/// What wrappers may hold here: little, so that one soon has more.
pub(super) const UNFOLDED: usize = 64 << 10;
/// What compressors and decompressors take for themselves.
const CODECS: usize = 1 << 20;

/// What one set may cost here.
pub(super) fn limits() -> Limits {
    Limits {
        max_message_bytes: 100_000,
        max_decompressed_bytes: UNFOLDED,
        gzip_level: 1,
    }
}

/// What may be held while a set of so many bytes is looked at.
pub(super) fn memory(len: usize) -> usize {
    6 * len + 8 * UNFOLDED + CODECS
}

/// Key and value.
pub(super) type Pair = (Option<Bytes>, Option<Bytes>);

pub(super) fn pair(message: OwnedMessage) -> Pair {
    (message.key, message.value)
}

/// Where each entry of a set begins and ends, up to the first that is not whole or that no message fits into.
pub(super) fn bounds(set: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(size) = set.get(start + 8..start + 12) {
        let size = i32::from_be_bytes(size.try_into().unwrap());
        let Ok(size @ 14..) = usize::try_from(size) else {
            break;
        };
        let end = start + 12 + size;
        if end > set.len() {
            break;
        }
        found.push((start, end));
        start = end;
    }
    found
}

/// The offset of an entry.
pub(super) fn offset(entry: &[u8]) -> i64 {
    i64::from_be_bytes(entry[..8].try_into().unwrap())
}

/// Whether the checksum of an entry is right.
pub(super) fn is_sound(entry: &[u8]) -> bool {
    crc32fast::hash(&entry[16..]).to_be_bytes() == entry[12..16]
}

/// Makes every checksum right, so that the bytes behind it are looked at.
pub(super) fn make_sound(set: &mut [u8]) {
    for (start, end) in bounds(set) {
        let crc = crc32fast::hash(&set[start + 16..end]);
        set[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
    }
}

/// An entry without key that is sound from outside, whatever its value is.
pub(super) fn wrapper(codec: Codec, value: &[u8]) -> Vec<u8> {
    let mut set = SetBuilder::new(Codec::None);
    set.push(None, Some(value));
    let mut set = set.build().unwrap().to_vec();
    set[17] = codec.number();
    make_sound(&mut set);
    set
}

/// The values of the wrappers of this codec in a set.
pub(super) fn wrapped(set: &[u8], codec: Codec) -> Vec<Vec<u8>> {
    let entries = gregor::message::entry::entries(set).filter_map(Result::ok);
    entries
        .filter(|(_, message)| message.codec() == Ok(codec))
        .filter_map(|(_, message)| Some(message.value()?.to_vec()))
        .collect()
}

/// A compressed value is refused, or yields the same to everybody, within the limit; what was compressed here comes out
/// as it went in. The first byte chooses between the two.
pub(super) fn holds_for_codec(codec: Codec, input: &[u8], image: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let mut input = Input(input);
    if input.byte() % 4 == 3 {
        comes_out_as_it_went_in(codec, input);
    } else {
        is_refused_or_read(codec, input.0, image);
    }
}

fn is_refused_or_read(codec: Codec, value: &[u8], image: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let set = wrapper(codec, value);
    let memory = memory(set.len());
    let deep = within(memory, || deep_entries(&set, UNFOLDED));
    let checked = within(memory, || ProducedSet::new(set[..].into()).check(&limits()));
    assert_eq!(
        deep.as_ref().map(|deep| deep.len() as u64),
        checked.as_ref().map(CheckedSet::message_count),
        "producers and consumers find the same"
    );
    if !crc32fast::hash(value).is_multiple_of(4) && deep.is_err() {
        // The rest takes as long again, and most mutations are refused.
        return;
    }
    // Recovery opens the beginning of a wrapper.
    let _ = within(memory + 30 * set.len(), || {
        gregor::message::stored::check_stored(&set, usize::MAX, true)
    });
    let Some(image) = image(value).filter(|image| image.len() <= UNFOLDED) else {
        return;
    };
    let expected = deep_entries(&image, UNFOLDED);
    match (&deep, &expected) {
        // One level and one image more than without the wrapper.
        (Err(Error::TooDeep { .. } | Error::SetTooLarge { .. }), _) => {}
        // The checksums of wrappers in a wrapper are not looked at.
        (_, Err(Error::Crc { .. })) => {}
        _ => assert_eq!(deep, expected, "the image is that of another decompressor"),
    }
}

fn comes_out_as_it_went_in(codec: Codec, mut input: Input<'_>) {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut set = SetBuilder::new(codec);
    // More than a few blocks of the codec shows nothing new.
    while !input.0.is_empty() && set.len() < 10 << 10 {
        let repeated = usize::from(input.byte() % 16) + 1;
        let bytes = |bytes: &[u8]| (bytes != b"null").then(|| Bytes::from(bytes.to_vec()));
        let key_len = usize::from(input.byte() % 8);
        let key = bytes(input.take(key_len));
        let value_len = usize::from(input.byte());
        let value = bytes(&input.take(value_len).repeat(repeated));
        set.push(key.as_deref(), value.as_deref());
        pairs.push((key, value));
    }
    let len = set.len();
    let built = set.build().unwrap();
    let deep = within(memory(len) + 2 * len, || deep_entries(&built, len)).unwrap();
    assert!(
        deep.iter()
            .zip(0..)
            .all(|((offset, message), at)| *offset == at && message.crc_matches)
    );
    let found: Vec<Pair> = deep.into_iter().map(|(_, message)| pair(message)).collect();
    assert_eq!(found, pairs);
    if len > 0 {
        assert_eq!(
            deep_entries(&built, len - 1),
            Err(Error::SetTooLarge { limit: len - 1 }),
            "the limit is one"
        );
        // With the offsets that it was built with it is stored as it came.
        let limits = Limits {
            max_message_bytes: usize::MAX,
            ..Limits::default()
        };
        let checked = ProducedSet::new(built.clone()).check(&limits).unwrap();
        assert_eq!(checked.assign(0, &limits).unwrap().bytes(), built);
    }
}
