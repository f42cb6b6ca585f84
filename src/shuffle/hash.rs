//! The one hash of shuffles: the same in every process and on every machine.

use chunkstore_store::checksum;

/// What the words of a short key are mixed with: digits of pi.
const MIX: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0];

/// Keys up to this length are two words.
pub(crate) const SHORT: usize = 16;

/// What is left of sixteen bytes, as two words, where a key has fewer.
const MASKS: [[u64; 2]; SHORT + 1] = {
    let mut masks = [[0; 2]; SHORT + 1];
    let mut len = 0;
    while len <= SHORT {
        let (first, second) = (if len < 8 { len } else { 8 }, len.saturating_sub(8));
        masks[len] =
            [if first == 8 { u64::MAX } else { (1 << (8 * first)) - 1 }, if second == 8 { u64::MAX } else { (1 << (8 * second)) - 1 }];
        len += 1;
    }
    masks
};

/// The two words that a short key is: its bytes, and zeros.
#[inline]
pub(super) fn words(key: &[u8]) -> [u64; 2] {
    let four = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let len = key.len();
    match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            let behind = u64::from_le_bytes(*last).checked_shr(8 * (SHORT - len.min(SHORT)) as u32).unwrap_or(0);
            [u64::from_le_bytes(*first), behind]
        }
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => [four(first) | four(last) << (8 * (len - 4)), 0],
            _ => match key {
                [] => [0, 0],
                [a] => [u64::from(*a), 0],
                [a, b] => [u64::from(*a) | u64::from(*b) << 8, 0],
                [a, b, c, ..] => [u64::from(*a) | u64::from(*b) << 8 | u64::from(*c) << 16, 0],
            },
        },
    }
}

/// The same for the `len` bytes of a text from `start` on: without a branch where sixteen bytes are there.
#[inline]
pub(super) fn words_at(text: &[u8], start: usize, len: usize) -> [u64; 2] {
    match (text.get(start..).and_then(|text| text.first_chunk::<SHORT>()), MASKS.get(len)) {
        (Some(bytes), Some([first, second])) => {
            let (words, _) = bytes.as_chunks::<8>();
            match words {
                [a, b] => [u64::from_le_bytes(*a) & first, u64::from_le_bytes(*b) & second],
                _ => [0, 0],
            }
        }
        _ => words(text.get(start..start + len).unwrap_or_default()),
    }
}

/// The key that two words are, and zeros.
#[inline]
pub(super) fn unword(words: [u64; 2]) -> [u8; SHORT] {
    let mut key = [0; SHORT];
    let (first, last) = key.split_at_mut(8);
    first.copy_from_slice(&words[0].to_le_bytes());
    last.copy_from_slice(&words[1].to_le_bytes());
    key
}

/// The hash of a short key: a product of 128 bits folded into 64, as in wyhash (Wang Yi, 2019).
#[inline]
pub(super) fn hash_words(words: [u64; 2], len: usize) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let mixed = fold(words[0] ^ MIX[0], words[1] ^ MIX[1] ^ len as u64);
    fold(mixed ^ MIX[2], MIX[1])
}

/// The hash of a key.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    match key.len() {
        0..=SHORT => hash_words(words(key), key.len()),
        // XXH3-64.
        _ => checksum(key),
    }
}

/// The partition of `partitions` that a hash goes to, by its upper bits.
#[inline]
pub(crate) fn bucket(hash: u64, partitions: u32) -> u32 {
    ((u128::from(hash) * u128::from(partitions)) >> 64) as u32
}

/// The part of `parts` that a key goes to where a partition is split for the `depth`-th time: by another hash, so that keys that have one hash part, and by bits of it that the splits
/// before did not look at.
#[inline]
pub(crate) fn sub_bucket(key: &[u8], depth: u32, parts: u32) -> u32 {
    // An odd factor for each depth brings other bits to the top.
    bucket(checksum(key).wrapping_mul(MIX[(depth % 3) as usize] | 1).rotate_left(17 * depth + 23), parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        // What was written by one version is read by another.
        let key: Vec<u8> = (0..40).collect();
        let hashes: Vec<u64> = [0, 1, 3, 4, 7, 8, 16, 17, 40].iter().map(|len| hash(&key[..*len])).collect();
        assert_eq!(hashes, HASHES);
    }

    const HASHES: [u64; 9] = [
        12572389119662025932,
        13599766004992468821,
        2328709586407065987,
        7954731500017206872,
        11563073388769995965,
        13947363103596116710,
        7932013558105863775,
        11453570474087510824,
        14821515161921229372,
    ];

    #[test]
    fn keys_of_one_hash_part_where_a_partition_is_split() {
        // The first word takes the place of a factor that is nothing then.
        let keys = (0..1000u64).map(|i| [MIX[0].to_le_bytes(), i.to_le_bytes()].concat());
        let mut counts = [0u32; 4];
        for key in keys {
            assert_eq!(hash(&key), hash(&MIX[0].to_le_bytes().repeat(2)));
            counts[sub_bucket(&key, 0, 4) as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(250) < 80), "{counts:?}");
    }

    #[test]
    fn short_keys_are_their_words() {
        let key: Vec<u8> = (1..=16).collect();
        for len in 0..=16 {
            let unworded = unword(words(&key[..len]));
            assert_eq!((&unworded[..len], &unworded[len..]), (&key[..len], &vec![0; 16 - len][..]));
            assert_eq!(words_at(&key, 0, len), words(&key[..len]));
            assert_eq!(words_at(&key, 16 - len, len), words(&key[16 - len..]));
        }
    }

    #[test]
    fn partitions_are_even() {
        for parts in [3, 76, 1024] {
            let mut counts = vec![0u32; parts as usize];
            let mut subs = [0u32; 16];
            for i in 0..100_000u32 {
                let key = format!("k{i}");
                let hash = hash(key.as_bytes());
                counts[bucket(hash, parts) as usize] += 1;
                if bucket(hash, 16) == 5 {
                    subs[sub_bucket(key.as_bytes(), 1, 16) as usize] += 1;
                }
            }
            let mean = 100_000 / parts;
            assert!(counts.iter().all(|count| count.abs_diff(mean) < 40 + mean / 3), "{counts:?}");
            assert!(subs.iter().all(|count| count.abs_diff(390) < 120), "{subs:?}");
        }
    }
}
