//! Sets that are small on the wire and large, deep or false inside.

use std::iter::repeat_n;
use std::time::Duration;
use std::time::Instant;

use bytes::BufMut;
use bytes::BytesMut;
use flate2::Compress;
use flate2::Compression;
use flate2::FlushCompress;
use gregor::message::Codec;
use gregor::message::set::SetBuilder;
use gregor::protocol::ErrorCode;

use super::honest::Honest;
use super::target::Client;
use super::target::Target;
use super::target::mib;
use super::target::produce;
use super::target::report;
use super::target::scaled;

/// Where an entry's size, checksum and attributes are.
const SIZE: usize = 8;
const CRC: usize = 12;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 17;

/// Connections that send the same at the same time.
const AT_ONCE: usize = 8;

/// How much an image of zeros is made of at a time.
const MIB: usize = 1 << 20;

/// A set of one message that claims to be compressed.
fn wrapper(codec: Codec, value: &[u8]) -> BytesMut {
    let mut set = SetBuilder::new(Codec::None);
    set.push(None, Some(value));
    let mut set = set.build().unwrap();
    set[ATTRIBUTES] = codec.number();
    let crc = crc32fast::hash(&set[MAGIC..]);
    (&mut set[CRC..]).put_u32(crc);
    set
}

/// A gzip member that holds `blocks` MiB of zeros.
fn gzip_zeros(blocks: usize) -> Vec<u8> {
    let zeros = vec![0; MIB];
    let mut deflate = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 << 10);
    deflate
        .compress_vec(&zeros, &mut block, FlushCompress::Full)
        .unwrap();
    assert_eq!(deflate.total_in(), 1 << 20);
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
    for _ in 0..blocks {
        member.extend_from_slice(&block);
    }
    // An empty last block, and the trailer.
    member.extend_from_slice(&[3, 0]);
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&zeros);
    let one = checksum.clone();
    (1..blocks).for_each(|_| checksum.combine(&one));
    member.put_u32_le(checksum.finalize());
    member.put_u32_le(u32::try_from(blocks * MIB).unwrap());
    member
}

/// An LZ4 frame, as 0.8 wants it, of these blocks.
fn lz4(blocks: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut frame = lz4_frame();
    for block in blocks {
        frame.put_u32_le(u32::try_from(block.len()).unwrap());
        frame.put_slice(&block);
    }
    frame.put_u32_le(0);
    frame
}

/// The head of a frame of 4 MiB blocks.
fn lz4_frame() -> Vec<u8> {
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70];
    let [_, checksum, ..] = twox_hash::XxHash32::oneshot(0, &frame).to_le_bytes();
    frame.push(checksum);
    frame
}

/// A frame that holds `blocks` times 4 MiB of zeros.
fn lz4_zeros(blocks: usize) -> Vec<u8> {
    lz4(repeat_n(lz4_flex::block::compress(&vec![0; 4 * MIB]), blocks))
}

/// Raw blocks of snappy in the framing of xerial.
fn snappy(blocks: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut value = xerial();
    for block in blocks {
        value.put_u32(u32::try_from(block.len()).unwrap());
        value.put_slice(&block);
    }
    value
}

/// What xerial's framing puts before its blocks.
fn xerial() -> Vec<u8> {
    let mut value = b"\x82SNAPPY\0".to_vec();
    value.put_u32(1);
    value.put_u32(1);
    value
}

/// Blocks that hold 15 MiB of zeros each: one is within the limit, three are not.
fn snappy_zeros(blocks: usize) -> Vec<u8> {
    snappy(repeat_n(snappy_block(&vec![0; 15 * MIB]), blocks))
}

fn snappy_block(image: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(image).unwrap()
}

/// `count` messages of nothing.
fn tiny(count: usize) -> BytesMut {
    let mut set = SetBuilder::new(Codec::None);
    for _ in 0..count {
        set.push(None, None);
    }
    set.build().unwrap()
}

fn gzip(image: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut value = Vec::with_capacity(2 * image.len() + 1000);
    deflate
        .compress_vec(image, &mut value, FlushCompress::Finish)
        .unwrap();
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
    member.extend_from_slice(&value);
    member.put_u32_le(crc32fast::hash(image));
    member.put_u32_le(u32::try_from(image.len()).unwrap());
    member
}

/// A set in as many wrappers as there are codecs, the innermost first.
fn nested(codecs: &[Codec], innermost: BytesMut) -> BytesMut {
    codecs.iter().fold(innermost, |inner, codec| {
        let value = match codec {
            Codec::Gzip => gzip(&inner),
            Codec::Snappy => snappy(inner.chunks(MIB).map(snappy_block)),
            Codec::Lz4 => lz4(inner.chunks(MIB).map(lz4_flex::block::compress)),
            Codec::None => panic!("no wrapper"),
        };
        wrapper(*codec, &value)
    })
}

/// What a bomb is called, the set, and what it is answered with.
type Bomb = (&'static str, BytesMut, ErrorCode);

// Their images are no sets, and there is no message in them that could be kept.
const NO_SET: ErrorCode = ErrorCode::InvalidMessage;
const BROKEN: ErrorCode = ErrorCode::Unknown;
const TAKEN: ErrorCode = ErrorCode::None;
const TOO_LARGE: ErrorCode = ErrorCode::MessageSizeTooLarge;

/// Nothing but zeros inside.
fn zeros() -> Vec<Bomb> {
    let gzip = |mib| wrapper(Codec::Gzip, &gzip_zeros(mib));
    let snappy = |blocks| wrapper(Codec::Snappy, &snappy_zeros(blocks));
    vec![
        ("gzip, 1 MiB", gzip(1), NO_SET),
        ("gzip, 16 MiB", gzip(16), NO_SET),
        ("gzip, 128 MiB", gzip(128), TOO_LARGE),
        ("gzip, 1 GiB", gzip(1024), TOO_LARGE),
        ("lz4, 200 MiB", wrapper(Codec::Lz4, &lz4_zeros(50)), TOO_LARGE),
        ("snappy, 15 MiB", snappy(1), NO_SET),
        ("snappy, 150 MiB", snappy(10), TOO_LARGE),
        (
            "gzip in gzip, 1 GiB",
            nested(&[Codec::Gzip], gzip(1024)),
            TOO_LARGE,
        ),
        (
            "1 GiB in gzip five deep",
            nested(&[Codec::Gzip; 5], gzip(1024)),
            TOO_LARGE,
        ),
    ]
}

/// Announcements of a gigabyte or more.
fn lies() -> Vec<Bomb> {
    let mut bare = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    bare.extend_from_slice(&[0; 20]);
    let framed = snappy([bare.clone()]);
    let mut length = xerial();
    length.put_u32(0x7fff_ffff);
    length.put_slice(&[0; 20]);
    let mut lz4 = lz4_frame();
    lz4.put_u32_le(0x7fff_ffff);
    lz4.put_slice(&[0; 20]);
    vec![
        ("snappy that lies", wrapper(Codec::Snappy, &bare), BROKEN),
        ("framed snappy that lies", wrapper(Codec::Snappy, &framed), BROKEN),
        ("xerial length that lies", wrapper(Codec::Snappy, &length), BROKEN),
        ("lz4 that lies", wrapper(Codec::Lz4, &lz4), BROKEN),
    ]
}

/// Many messages, and many wrappers.
fn sets() -> Vec<Bomb> {
    const MIXED: [Codec; 5] = [Codec::Snappy, Codec::Gzip, Codec::Lz4, Codec::Snappy, Codec::Gzip];
    let many = tiny(scaled(200_000, 1_000_000));
    // Fewer, for what is on all levels counts.
    let fewer = tiny(scaled(50_000, 600_000));
    let inside = |codecs: &[Codec]| nested(codecs, many.clone());
    let deep_inside = |codecs: &[Codec]| nested(codecs, fewer.clone());
    vec![
        ("tiny messages", many.clone(), TAKEN),
        ("tiny messages in gzip", inside(&[Codec::Gzip]), TAKEN),
        ("tiny messages in snappy", inside(&[Codec::Snappy]), TAKEN),
        ("tiny messages in lz4", inside(&[Codec::Lz4]), TAKEN),
        (
            "tiny messages in gzip five deep",
            inside(&[Codec::Gzip; 5]),
            TAKEN,
        ),
        (
            "tiny messages in snappy five deep",
            deep_inside(&[Codec::Snappy; 5]),
            TAKEN,
        ),
        (
            "tiny messages in lz4 five deep",
            deep_inside(&[Codec::Lz4; 5]),
            TAKEN,
        ),
        ("tiny messages in all codecs", deep_inside(&MIXED), TAKEN),
        ("gzip nine deep", nested(&[Codec::Gzip; 9], tiny(10)), BROKEN),
        ("snappy nine deep", nested(&[Codec::Snappy; 9], tiny(10)), BROKEN),
        ("lz4 nine deep", nested(&[Codec::Lz4; 9], tiny(10)), BROKEN),
    ]
}

#[test]
fn bombs_are_refused_or_handled_within_the_limit() {
    // Many tiny messages are more than a message may be if they don't compress well.
    let message_max = 8_000_000;
    let message_max_text = message_max.to_string();
    let settings = [
        ("message.max.bytes", &*message_max_text),
        ("replica.fetch.max.bytes", &*message_max_text),
    ];
    let Some(mut target) = Target::start("overload-bombs", &settings) else {
        return;
    };
    target.topic("bombs");
    target.topic("honest");
    let honest = Honest::start(target.address(), "honest");
    for (what, set, answer) in [zeros(), lies(), sets()].into_iter().flatten() {
        let first = u32::from_be_bytes(set[SIZE..CRC].try_into().unwrap());
        assert!(
            first < message_max,
            "{what}: it is refused for what is inside only"
        );
        target.forget_peak();
        let before = target.resident();
        let (sent, start) = (set.len(), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                let (set, address) = (set.clone(), target.address());
                scope.spawn(move || {
                    let produced = Client::connect(address).ask(&produce("bombs", set));
                    assert_eq!(produced.topics[0].1[0].error, answer, "{what}");
                });
            }
        });
        report(&format!(
            "{AT_ONCE} x {what} ({} KiB each): {} ms; {:.1} MiB resident before, at most {:.1} meanwhile",
            sent >> 10,
            start.elapsed().as_millis(),
            mib(before),
            mib(target.peak())
        ));
        target.holds(what);
    }
    assert!(
        honest.rate(1, Duration::from_millis(500)) > 0.0,
        "an honest client is served"
    );
}
