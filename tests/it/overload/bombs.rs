//! Sets that are small on the wire and large, deep or false inside.

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

/// Where an entry's checksum, attributes and key length are.
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

/// An LZ4 frame, as 0.8 wants it, that holds `blocks` times 4 MiB of zeros.
fn lz4_zeros(blocks: usize) -> Vec<u8> {
    let block = lz4_flex::block::compress(&vec![0; 4 * MIB]);
    let mut frame = lz4_frame();
    for _ in 0..blocks {
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

/// What xerial's framing puts before its blocks.
fn xerial() -> Vec<u8> {
    let mut value = b"\x82SNAPPY\0".to_vec();
    value.put_u32(1);
    value.put_u32(1);
    value
}

fn snappy_zeros(mib: usize) -> Vec<u8> {
    let block = snap::raw::Encoder::new()
        .compress_vec(&vec![0; mib * MIB])
        .unwrap();
    let mut value = xerial();
    value.put_u32(u32::try_from(block.len()).unwrap());
    value.put_slice(&block);
    value
}

/// `count` messages of nothing.
fn tiny(codec: Codec, count: usize) -> BytesMut {
    let mut set = SetBuilder::new(codec);
    for _ in 0..count {
        set.push(None, None);
    }
    set.build().unwrap()
}

/// A set in wrappers in wrappers.
fn nested(depth: usize, innermost: BytesMut) -> BytesMut {
    (0..depth).fold(innermost, |inner, _| {
        let mut deflate = Compress::new(Compression::fast(), false);
        let mut value = Vec::with_capacity(2 * inner.len() + 1000);
        deflate
            .compress_vec(&inner, &mut value, FlushCompress::Finish)
            .unwrap();
        let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
        member.extend_from_slice(&value);
        member.put_u32_le(crc32fast::hash(&inner));
        member.put_u32_le(u32::try_from(inner.len()).unwrap());
        wrapper(Codec::Gzip, &member)
    })
}

/// What each bomb is called, the set, and what it is answered with.
fn bombs() -> Vec<(&'static str, BytesMut, &'static [ErrorCode])> {
    const TOO_LARGE: &[ErrorCode] = &[ErrorCode::MessageSizeTooLarge];
    // Its image is no set, and there is no message in it that could be kept.
    const NO_SET: &[ErrorCode] = &[ErrorCode::InvalidMessage];
    const BROKEN: &[ErrorCode] = &[ErrorCode::Unknown];
    const TAKEN: &[ErrorCode] = &[ErrorCode::None];
    // Every announcement is of a gigabyte or more.
    let mut bare_lie = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    bare_lie.extend_from_slice(&[0; 20]);
    let mut framed_lie = xerial();
    framed_lie.put_u32(u32::try_from(bare_lie.len()).unwrap());
    framed_lie.put_slice(&bare_lie);
    let mut length_lie = xerial();
    length_lie.put_u32(0x7fff_ffff);
    length_lie.put_slice(&[0; 20]);
    let mut lz4_lie = lz4_frame();
    lz4_lie.put_u32_le(0x7fff_ffff);
    lz4_lie.put_slice(&[0; 20]);
    let tiny_count = scaled(200_000, 1_000_000);
    let tiny_inner = tiny(Codec::None, tiny_count);
    vec![
        ("gzip, 1 MiB", wrapper(Codec::Gzip, &gzip_zeros(1)), NO_SET),
        ("gzip, 1 GiB", wrapper(Codec::Gzip, &gzip_zeros(1024)), TOO_LARGE),
        ("lz4, 200 MiB", wrapper(Codec::Lz4, &lz4_zeros(50)), TOO_LARGE),
        (
            "snappy, 15 MiB",
            wrapper(Codec::Snappy, &snappy_zeros(15)),
            NO_SET,
        ),
        (
            "gzip in gzip, 1 GiB",
            nested(1, wrapper(Codec::Gzip, &gzip_zeros(1024))),
            TOO_LARGE,
        ),
        ("snappy that lies", wrapper(Codec::Snappy, &bare_lie), BROKEN),
        (
            "framed snappy that lies",
            wrapper(Codec::Snappy, &framed_lie),
            BROKEN,
        ),
        (
            "xerial length that lies",
            wrapper(Codec::Snappy, &length_lie),
            BROKEN,
        ),
        ("lz4 that lies", wrapper(Codec::Lz4, &lz4_lie), BROKEN),
        ("tiny messages", tiny_inner.clone(), TAKEN),
        ("tiny messages in gzip", nested(1, tiny_inner.clone()), TAKEN),
        ("tiny messages five deep", nested(5, tiny_inner), TAKEN),
        ("nine deep", nested(9, tiny(Codec::None, 10)), BROKEN),
    ]
}

#[test]
fn bombs_are_refused_or_handled_within_the_limit() {
    // Many tiny messages are more than a message may be if they don't compress well.
    let settings = [
        ("message.max.bytes", "8000000"),
        ("replica.fetch.max.bytes", "8000000"),
    ];
    let Some(mut target) = Target::start("overload-bombs", &settings) else {
        return;
    };
    target.topic("bombs");
    target.topic("honest");
    let honest = Honest::start(target.address(), "honest");
    for (what, set, answers) in bombs() {
        target.forget_peak();
        let before = target.resident();
        let (sent, start) = (set.len(), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                let (set, address) = (set.clone(), target.address());
                scope.spawn(move || {
                    let answer = Client::connect(address).ask(&produce("bombs", set));
                    let error = answer.topics[0].1[0].error;
                    assert!(answers.contains(&error), "{what}: {error:?}");
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
