//! The message sets that 0.8.2.2 was given, the specification's examples, and bombs.

use std::path::PathBuf;

use bytes::BytesMut;
use flate2::Compress;
use flate2::Compression;
use flate2::FlushCompress;
use serde_json::Value;

use super::*;
use crate::message::compression::Decompressor;
use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;
use crate::message::entry::entries;
use crate::message::framing::Bound;
use crate::message::patch::put_at;
use crate::message::set::Limits;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::message::stored::check_stored;
use crate::message::wrapper::deep_entries;

const LIMIT: usize = 16 << 20;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(path)).unwrap()).unwrap()
}

fn case(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(format!("messages/{name}.bin"))).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn limits(max_message_bytes: usize) -> Limits {
    Limits {
        max_message_bytes,
        max_decompressed_bytes: LIMIT,
        gzip_level: 1,
    }
}

fn produced(bytes: &[u8]) -> ProducedSet {
    ProducedSet::new(BytesMut::from(bytes))
}

/// An entry with a sound checksum, whatever else it is.
fn entry(attributes: u8, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut builder = SetBuilder::new(Codec::None);
    builder.push(key, value);
    let mut bytes = builder.build().unwrap().to_vec();
    bytes[HEADER_LEN + ATTRIBUTES_AT] = attributes;
    with_crc(bytes)
}

fn with_crc(mut entry: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&entry[HEADER_LEN + MAGIC_AT..]);
    put_at(&mut entry, HEADER_LEN, &crc.to_be_bytes());
    entry
}

fn set_of(codec: Codec, messages: i64) -> BytesMut {
    let mut builder = SetBuilder::new(codec);
    for message in 0..messages {
        let value = format!("value {message}").repeat(20);
        builder.push(Some(format!("k{message}").as_bytes()), Some(value.as_bytes()));
    }
    builder.build().unwrap()
}

/// The code that the broker answers with.
fn code(error: &Error) -> i64 {
    match error {
        Error::TooSmall { .. } | Error::Crc { .. } => 2,
        Error::TooLarge { .. } => 10,
        _ => -1,
    }
}

/// Entries as the fixtures describe them: offset, checksum, key and value of each message.
fn described(inner: &Value) -> (i64, u32, Option<Vec<u8>>, Option<Vec<u8>>) {
    let bytes = |field: &Value| field.as_str().map(hex);
    (
        inner["offset"].as_i64().unwrap(),
        u32::try_from(inner["crc"].as_u64().unwrap()).unwrap(),
        bytes(&inner["key"]),
        bytes(&inner["value"]),
    )
}

fn compare_with_description(name: &str, stored: &[u8], description: &Value) {
    let outer: Vec<_> = entries(stored).map(Result::unwrap).collect();
    let expected = description["entries"].as_array().unwrap();
    assert_eq!(outer.len(), expected.len(), "{name}");
    for ((offset, message), expected) in outer.into_iter().zip(expected) {
        assert_eq!(offset, expected["offset"].as_i64().unwrap(), "{name}");
        assert_eq!(
            i64::from(message.attributes()),
            expected["attributes"].as_i64().unwrap(),
            "{name}"
        );
        let Some(inner) = expected["inner"].as_array() else {
            continue;
        };
        assert_eq!((message.key(), message.magic()), (None, 0), "{name}");
        let mut image = Vec::new();
        let bound = Bound {
            limit: LIMIT,
            enough: usize::MAX,
        };
        Decompressor::default()
            .decompress(message.codec().unwrap(), message.value(), &mut image, bound)
            .unwrap();
        let found: Vec<_> = entries(&image).map(Result::unwrap).collect();
        assert_eq!(found.len(), inner.len(), "{name}");
        for ((offset, message), expected) in found.into_iter().zip(inner) {
            let big_value = expected["value"]["bytes"].as_u64();
            let (expected_offset, crc, key, value) = described(expected);
            assert_eq!((offset, message.stored_crc()), (expected_offset, crc), "{name}");
            if expected["key"].is_string() || expected["key"].is_null() {
                assert_eq!(message.key().map(<[u8]>::to_vec), key, "{name}");
            }
            match big_value {
                Some(len) => assert_eq!(message.value().unwrap().len() as u64, len, "{name}"),
                None => assert_eq!(message.value().map(<[u8]>::to_vec), value, "{name}"),
            }
        }
    }
}

#[test]
fn sets_are_answered_and_stored_as_by_0_8_2_2() {
    let index = json("messages/index.json");
    let cases = index["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 122);
    for listed in cases {
        let name = listed["name"].as_str().unwrap();
        let description = json(&format!("messages/{name}.json"));
        let limited = matches!(
            name,
            "too-large" | "largest" | "second-too-large" | "wrapper-of-too-large" | "growing-wrapper"
        );
        let limits = limits(if limited { 2000 } else { 1_000_012 });
        let (error_code, base_offset) = (
            listed["error_code"].as_i64().unwrap(),
            listed["base_offset"].as_i64().unwrap(),
        );
        let checked = produced(&case(name)).check(&limits);
        let is_empty = checked.as_ref().is_ok_and(set::CheckedSet::is_empty);
        let assigned = checked.and_then(|checked| checked.assign(3, &limits));
        if name == "lz4-standard-checksum" {
            // 0.8.2.2 refuses the checksum that the format asks for; we read it and write the one it reads.
            assert_eq!(error_code, -1);
            assert_eq!(assigned.unwrap().end_offset(), 5);
            continue;
        }
        let assigned = match assigned {
            Ok(assigned) => assigned,
            Err(error) => {
                assert_eq!(code(&error), error_code, "{name}: {error}");
                continue;
            }
        };
        assert_eq!(error_code, 0, "{name} was accepted");
        assert_eq!(is_empty, base_offset == -1, "{name}");
        assert_eq!(
            assigned.end_offset(),
            listed["log_end_offset"].as_i64().unwrap(),
            "{name}"
        );
        let stored = description["stored"]
            .as_str()
            .map(|file| std::fs::read(fixtures().join("messages").join(file)).unwrap())
            .unwrap_or_default();
        if entries(&stored).all(|entry| entry.unwrap().1.codec() == Ok(Codec::None)) {
            assert_eq!(assigned.bytes(), stored, "{name}");
        } else {
            assert_eq!(
                deep_entries(assigned.bytes(), LIMIT).unwrap(),
                deep_entries(&stored, LIMIT).unwrap(),
                "{name}"
            );
        }
        if !stored.is_empty() {
            compare_with_description(name, assigned.bytes(), &description["stored_set"]);
        }
        // Another append came first.
        let end = assigned.end_offset();
        let again = assigned.reassign(end, &limits).unwrap();
        assert_eq!(again.end_offset(), 2 * end - 3, "{name}");
        let offsets: Vec<i64> = deep_entries(again.bytes(), LIMIT)
            .unwrap()
            .iter()
            .map(|(offset, _)| *offset)
            .collect();
        assert_eq!(offsets, (end..again.end_offset()).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn checksums_are_those_of_0_8_2_2() {
    for row in json("tables/crc32.json")["rows"].as_array().unwrap() {
        let bytes = hex(row["bytes"].as_str().unwrap());
        assert_eq!(u64::from(crc32fast::hash(&bytes)), row["crc32"].as_u64().unwrap());
    }
}

/// One inner set in three codecs, as the reference took it.
#[test]
fn the_worked_examples_are_read() {
    let inner = hex("00000000 00000000 0000000f 51df3a32 0000ffff ffff0000 000161
                     00000000 00000001 0000000f c8d66b88 0000ffff ffff0000 000162");
    let wrappers = [
        "00000000 00000001 0000003f 538eccf3 00 01 ffffffff 00000031
         1f8b0800 00000000 0000 63608003fec0fb56460c0cff8100c8634c840a3382a44e5ccbee404825010077 37e39436000000",
        "00000000 00000001 0000004f 0731e672 00 02 ffffffff 00000041
         82534e41 50505900 00000001 00000001 0000002d
         36000019013c0f51df3a320000ffffffff00000001610d1a4c010000000fc8d66b880000ffffffff0000000162",
        "00000000 00000001 0000004b 236ee88a 00 03 ffffffff 0000003d
         04224d18 60 40 1a 2e000000
         16000100f3010f51df3a320000ffffffff00000001611a00f005010000000fc8d66b880000ffffffff0000000162
         00000000",
    ];
    for wrapper in wrappers {
        assert_eq!(
            deep_entries(&hex(wrapper), LIMIT),
            deep_entries(&inner, LIMIT),
            "{wrapper}"
        );
    }
}

#[test]
fn a_plain_set_is_numbered_where_it_is() {
    let bytes = set_of(Codec::None, 100);
    let place = bytes.as_ptr();
    let assigned = ProducedSet::new(bytes)
        .check(&limits(10_000))
        .unwrap()
        .assign(1 << 40, &limits(10_000))
        .unwrap();
    assert_eq!(assigned.bytes().as_ptr(), place);
    assert_eq!(
        (assigned.base_offset(), assigned.end_offset()),
        (1 << 40, (1 << 40) + 100)
    );
    assert!(entries(assigned.bytes()).all(|entry| entry.unwrap().1.check_crc().is_ok()));
}

#[test]
fn a_wrapper_with_the_right_offsets_is_kept() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let received = set_of(codec, 5);
        let place = received.as_ptr();
        let checked = ProducedSet::new(received.clone()).check(&limits(10_000)).unwrap();
        assert_eq!(checked.message_count(), 5);
        let assigned = checked.assign(0, &limits(10_000)).unwrap();
        assert_eq!(assigned.bytes(), received, "{codec}");

        let moved = assigned.reassign(7, &limits(10_000)).unwrap();
        assert_ne!(moved.bytes().as_ptr(), place);
        let expected: Vec<i64> = (7..12).collect();
        let offsets = |bytes: &[u8]| -> Vec<i64> {
            let deep = deep_entries(bytes, LIMIT).unwrap();
            deep.iter().map(|(offset, _)| *offset).collect()
        };
        assert_eq!(offsets(moved.bytes()), expected, "{codec}");
        let back = moved.reassign(0, &limits(10_000)).unwrap();
        assert_eq!(offsets(back.bytes()), (0..5).collect::<Vec<_>>(), "{codec}");
        assert_eq!(entries(back.bytes()).next().unwrap().unwrap().0, 4);
    }
}

/// A wrapper whose own offset is wrong, or whose framing not every reader takes, is not kept as it is.
#[test]
fn what_is_kept_is_what_we_would_have_written() {
    let mut wrong_offset = set_of(Codec::Gzip, 3);
    put_at(&mut wrong_offset, 0, &77_i64.to_be_bytes());
    let checked = ProducedSet::new(wrong_offset).check(&limits(10_000)).unwrap();
    let assigned = checked.assign(0, &limits(10_000)).unwrap();
    assert_eq!(entries(assigned.bytes()).next().unwrap().unwrap().0, 2);

    for name in [
        "snappy-bare",
        "lz4-standard-checksum",
        "wrapper-with-key",
        "snappy-version-9",
    ] {
        let sent = case(name);
        let checked = produced(&sent).check(&limits(10_000)).unwrap();
        let assigned = checked.assign(0, &limits(10_000)).unwrap();
        assert_ne!(assigned.bytes(), sent, "{name}");
        let (_, wrapper) = entries(assigned.bytes()).next().unwrap().unwrap();
        assert_eq!(wrapper.key(), None, "{name}");
        let value = wrapper.value().unwrap();
        match wrapper.codec().unwrap() {
            Codec::Snappy => assert!(value.starts_with(&hex("82534e41 50505900 00000001 00000001"))),
            Codec::Lz4 => assert!(value.starts_with(&hex("04224d18 60 40 1a"))),
            Codec::Gzip => assert!(value.starts_with(&hex("1f8b08000000000000 00"))),
            Codec::None => panic!("{name} is compressed"),
        }
    }
}

#[test]
fn long_sets_survive_every_codec() {
    let mut noise = 12_345_u32;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(200_000)
    .collect();
    let repetitive = b"the same again and again ".repeat(10_000);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let mut builder = SetBuilder::new(codec);
        builder.push(None, Some(&random));
        builder.push(Some(b"key"), None);
        builder.push(Some(b""), Some(&repetitive));
        let built = builder.build().unwrap();
        let found = deep_entries(&built, LIMIT).unwrap();
        assert_eq!(found.len(), 3, "{codec}");
        assert_eq!(found[0].1.value.as_deref(), Some(random.as_slice()), "{codec}");
        assert_eq!(
            (found[1].1.key.as_deref(), &found[1].1.value),
            (Some(&b"key"[..]), &None)
        );
        assert_eq!(
            found[2].1.value.as_deref(),
            Some(repetitive.as_slice()),
            "{codec}"
        );
        assert!(found.iter().all(|(_, message)| message.crc_matches), "{codec}");
        let checked = ProducedSet::new(built).check(&limits(1 << 20)).unwrap();
        let assigned = checked.assign(9, &limits(1 << 20)).unwrap();
        let stored = check_stored(assigned.bytes(), 1 << 20, true).unwrap();
        assert_eq!((stored.first_offset, stored.codec), (9, codec));
    }
}

#[test]
fn stored_entries_are_checked_as_by_recovery() {
    let stored = std::fs::read(fixtures().join("messages/old-snappy-many.stored.bin")).unwrap();
    let size = stored.len() - HEADER_LEN;
    let checked = check_stored(&stored, size, true).unwrap();
    assert_eq!(
        (checked.first_offset, checked.last_offset, checked.len),
        (3, 22, stored.len())
    );
    assert_eq!(check_stored(&stored, size, false).unwrap().first_offset, 22);
    assert_eq!(
        check_stored(&stored, size - 1, false),
        Err(Error::TooLarge {
            size,
            limit: size - 1
        })
    );
    let mut broken = stored.clone();
    broken[100] ^= 1;
    assert!(matches!(
        check_stored(&broken, size, false),
        Err(Error::Crc { .. })
    ));
    for len in 0..stored.len() {
        let cut = check_stored(&stored[..len], size, false);
        assert!(matches!(cut, Err(Error::TooSmall { .. })), "{len}");
    }
}

#[test]
fn headers_of_entries_are_checked() {
    let header = |size: i32| {
        let mut bytes = [0xff; HEADER_LEN];
        bytes[8..].copy_from_slice(&size.to_be_bytes());
        bytes
    };
    for size in [i32::MIN, -1, 0, 13] {
        let size64 = i64::from(size);
        assert_eq!(
            EntryHeader::parse(&header(size)),
            Err(Error::TooSmall { size: size64 })
        );
    }
    let parsed = EntryHeader::parse(&header(14)).unwrap();
    assert_eq!((parsed.last_offset, parsed.len), (-1, 26));
    assert_eq!(
        EntryHeader::parse(&header(i32::MAX)).unwrap().len,
        0x7fff_ffff + 12
    );
}

#[test]
fn keys_and_values_that_do_not_fit_count_as_none() {
    for name in [
        "key-length-minus-2",
        "key-length-too-long",
        "value-length-too-short",
    ] {
        for entry in entries(&case(name)) {
            let (_, message) = entry.unwrap();
            assert!(
                message
                    .key()
                    .is_none_or(|key| key.len() < message.as_bytes().len()),
                "{name}"
            );
            assert!(
                message
                    .value()
                    .is_none_or(|value| value.len() < message.as_bytes().len()),
                "{name}"
            );
        }
    }
}

#[test]
fn offsets_do_not_run_over() {
    let check = || produced(&set_of(Codec::None, 2)).check(&limits(1000)).unwrap();
    assert!(check().assign(i64::MAX - 2, &limits(1000)).is_ok());
    let base_offset = i64::MAX - 1;
    assert_eq!(
        check().assign(base_offset, &limits(1000)).unwrap_err(),
        Error::OffsetsExhausted { base_offset }
    );
}

/// A deflate stream of so many MiB of zeros. Its blocks are independent, so that one serves for all.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::new(9), false);
    let mut block = Vec::with_capacity(64 << 10);
    deflate
        .compress_vec(&vec![0; 1 << 20], &mut block, FlushCompress::Full)
        .unwrap();
    assert_eq!(deflate.total_in(), 1 << 20);
    let mut value = hex("1f8b0800 00000000 0000");
    for _ in 0..mebibytes {
        value.extend_from_slice(&block);
    }
    value.extend_from_slice(&[3, 0]);
    value
}

fn check(set: &[u8]) -> Result<u64, Error> {
    produced(set)
        .check(&limits(64 << 20))
        .map(|checked| checked.message_count())
}

#[test]
fn a_gibibyte_of_zeros_is_refused_before_it_is_there() {
    let bomb = zeros(1024);
    assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
    assert_eq!(
        check(&entry(1, None, Some(&bomb))),
        Err(Error::SetTooLarge { limit: LIMIT })
    );

    let mut out = Vec::new();
    let bound = Bound {
        limit: LIMIT,
        enough: usize::MAX,
    };
    let refused = Decompressor::default().decompress(Codec::Gzip, Some(&bomb), &mut out, bound);
    assert_eq!(refused, Err(Error::SetTooLarge { limit: LIMIT }));
    assert!(out.capacity() <= 3 * LIMIT, "{} bytes", out.capacity());
}

#[test]
fn the_limit_is_for_all_wrappers_together() {
    let mut value = zeros(9);
    let image = vec![0; 9 << 20];
    value.extend_from_slice(&crc32fast::hash(&image).to_le_bytes());
    value.extend_from_slice(&u32::try_from(image.len()).unwrap().to_le_bytes());
    let one = entry(1, None, Some(&value));
    // Nine MiB of zeros are no message set, but it takes their decompression to see it.
    assert_eq!(check(&one), Err(Error::TooSmall { size: 0 }));

    let mut builder = SetBuilder::new(Codec::Gzip);
    builder.push(None, Some(&image));
    let one = builder.build().unwrap().to_vec();
    assert_eq!(check(&one), Ok(1));
    assert_eq!(check(&one.repeat(2)), Err(Error::SetTooLarge { limit: LIMIT }));
}

#[test]
fn gzip_tries_harder_before_a_set_is_too_large() {
    let mut builder = SetBuilder::new(Codec::Gzip);
    let mut letters = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        let value: Vec<u8> = (0..200).map(|_| letters.u8(b'a'..b'g')).collect();
        builder.push(None, Some(&value));
    }
    let sent = builder.build().unwrap();
    // Not at the offsets that they were sent with, so that they must be compressed again.
    let assign = |max_message_bytes| {
        let checked = ProducedSet::new(sent.clone()).check(&limits(usize::MAX)).unwrap();
        checked
            .assign(7, &limits(max_message_bytes))
            .map(|set| set.bytes().len())
    };
    let quick = assign(usize::MAX).unwrap();
    let hard = assign(quick - 1).unwrap();
    assert!(hard < quick * 3 / 4, "{hard} instead of {quick}");
    assert_eq!(
        assign(hard - 1),
        Err(Error::TooLarge {
            size: hard,
            limit: hard - 1
        })
    );
}

#[test]
fn snappy_blocks_that_announce_too_much_are_refused() {
    let lies = Error::Decompress(Codec::Snappy, "announces more than it can hold");
    let announcing_4_gib = hex("ffffffff0f 00 61");
    assert_eq!(check(&entry(2, None, Some(&announcing_4_gib))), Err(lies.clone()));
    let mut framed = hex("82534e41 50505900 00000001 00000001 00000007");
    framed.extend_from_slice(&announcing_4_gib);
    assert_eq!(check(&entry(2, None, Some(&framed))), Err(lies));

    let honest = snap::raw::Encoder::new()
        .compress_vec(&vec![0; LIMIT + 1])
        .unwrap();
    assert_eq!(
        check(&entry(2, None, Some(&honest))),
        Err(Error::SetTooLarge { limit: LIMIT })
    );
    let mut negative = hex("82534e41 50505900 00000001 00000001 ffffffff");
    negative.push(0);
    assert_eq!(
        check(&entry(2, None, Some(&negative))),
        Err(Error::Decompress(Codec::Snappy, "negative length"))
    );
}

#[test]
fn lz4_blocks_that_announce_too_much_are_refused() {
    let frame = |blocks: &[u8]| {
        let mut value = hex("04224d18 60 70 10");
        value.extend_from_slice(blocks);
        value.extend_from_slice(&[0; 4]);
        entry(3, None, Some(&value))
    };
    for len in [0x0040_0001_u32, 0x7fff_ffff, 0x8040_0001, 0xffff_ffff] {
        assert_eq!(
            check(&frame(&len.to_le_bytes())),
            Err(Error::Decompress(Codec::Lz4, "block too large")),
            "{len:x}"
        );
    }
    let compressed = lz4_flex::block::compress(&vec![0; 4 << 20]);
    let mut block = u32::try_from(compressed.len()).unwrap().to_le_bytes().to_vec();
    block.extend_from_slice(&compressed);
    assert_eq!(check(&frame(&block.repeat(4))), Err(Error::TooSmall { size: 0 }));
    assert_eq!(
        check(&frame(&block.repeat(5))),
        Err(Error::SetTooLarge { limit: LIMIT })
    );
    // A block may not yield more than the frame says, either.
    let compressed = lz4_flex::block::compress(&vec![0; (4 << 20) + 1]);
    let mut block = u32::try_from(compressed.len()).unwrap().to_le_bytes().to_vec();
    block.extend_from_slice(&compressed);
    assert_eq!(
        check(&frame(&block)),
        Err(Error::Decompress(Codec::Lz4, "bad block"))
    );
}

#[test]
fn wrappers_are_opened_only_so_deep() {
    let nested = |depth: usize| {
        let mut set = set_of(Codec::None, 3).to_vec();
        for _ in 0..depth {
            let mut value = hex("04224d18 60 40 1a");
            value.extend_from_slice(&(0x8000_0000 | u32::try_from(set.len()).unwrap()).to_le_bytes());
            value.extend_from_slice(&set);
            value.extend_from_slice(&[0; 4]);
            set = entry(3, None, Some(&value));
        }
        set
    };
    assert_eq!(check(&nested(8)), Ok(3));
    assert_eq!(check(&nested(9)), Err(Error::TooDeep { limit: 8 }));
    assert_eq!(check(&nested(500)), Err(Error::TooDeep { limit: 8 }));
}

/// Whatever is in a wrapper is decompressed, or refused, within the limit.
#[test]
fn damaged_wrappers_are_refused_or_read() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let sound = set_of(codec, 4).to_vec();
        let value = &sound[HEADER_LEN + MIN_MESSAGE_LEN..];
        for len in 0..value.len() {
            let cut = entry(codec.number(), None, Some(&value[..len]));
            let checked = check(&cut);
            assert!(checked != Ok(4) || codec == Codec::Snappy, "{codec} cut to {len}");
        }
        for at in 0..value.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = value.to_vec();
                damaged[at] ^= change;
                let _ = check(&entry(codec.number(), None, Some(&damaged)));
            }
        }
    }
}

#[test]
fn sets_cut_anywhere_keep_their_complete_entries() {
    let whole = set_of(Codec::None, 5);
    let ends: Vec<usize> = entries(&whole)
        .scan(0, |end, entry| {
            *end += HEADER_LEN + entry.unwrap().1.as_bytes().len();
            Some(*end)
        })
        .collect();
    for len in 0..=whole.len() {
        let complete = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(check(&whole[..len]), Ok(complete as u64), "{len}");
        assert_eq!(
            deep_entries(&whole[..len], LIMIT).unwrap().len(),
            complete,
            "{len}"
        );
    }
}
