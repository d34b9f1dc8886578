//! Key to partition, as the Java producer of 0.8.2 does it, so that all producers agree where a key lives.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The partition of a key among `partitions` of them, numbered from 0. As 0.8.2.2 does (Partitioner.partition): the
/// sign bit is dropped.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = i32::try_from(murmur2(key) & 0x7fff_ffff).unwrap_or(0);
    positive.checked_rem(partitions).unwrap_or(0)
}

/// MurmurHash2 of 32 bits (Utils.murmur2).
fn murmur2(bytes: &[u8]) -> u32 {
    // Lengths beyond 32 bits don't occur; the seed only wants their low bits.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ len, |hash, word| {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER)
    });
    if !tail.is_empty() {
        let rest = tail
            .iter()
            .rev()
            .fold(0_u32, |rest, byte| rest << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn keys_go_where_the_java_producer_puts_them() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/tables/partitions-bytes.json"
        );
        let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let counts = [1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 50, 100, 1000];
        let rows = table["rows"].as_array().unwrap();
        assert!(rows.len() > 10);
        for row in rows {
            let key = unhex(row["key"].as_str().unwrap());
            let hash = murmur2(&key).cast_signed();
            assert_eq!(i64::from(hash), row["murmur2"].as_i64().unwrap(), "{row}");
            let partitions: Vec<i64> = counts
                .iter()
                .map(|count| partition_of(&key, *count).into())
                .collect();
            let expected: Vec<i64> = row["new"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p.as_i64().unwrap())
                .collect();
            assert_eq!(partitions, expected, "{row}");
        }
    }

    fn unhex(digits: &str) -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
