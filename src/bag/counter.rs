//! Random numbers that depend on a seed and a place only, as those of arrays do.
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): the seed is the key, place and kind the counter.
//! Arrays have a version of their own that is vectorised; a test here has the same published vectors.

/// What random numbers are for: those of different kinds have nothing to do with each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Whether an element is kept.
    Keep = 1,
    /// The order in which elements come into a sample.
    Tag = 2,
    /// How far it is to the next element that is chosen.
    Skip = 3,
    /// Of which part a choice is taken.
    Merge = 4,
}

fn philox(seed: u64, counter: [u32; 4]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let (mut low, mut high) = (seed as u32, (seed >> 32) as u32);
    for _ in 0..10 {
        let first = u64::from(a) * 0xd251_1f53;
        let second = u64::from(c) * 0xcd9e_8d57;
        (a, b, c, d) = ((second >> 32) as u32 ^ b ^ low, second as u32, (first >> 32) as u32 ^ d ^ high, first as u32);
        low = low.wrapping_add(0x9e37_79b9);
        high = high.wrapping_add(0xbb67_ae85);
    }
    [a, b, c, d]
}

/// 64 random bits of the `n`-th of a sequence.
pub(super) fn bits(seed: u64, kind: Kind, sequence: u32, n: u64) -> u64 {
    // The upper bits of the last word are the kind's, and `n` has the rest of three words.
    let [a, b, ..] = philox(seed, [n as u32, (n >> 32) as u32, sequence, (kind as u32) << 24]);
    u64::from(a) | u64::from(b) << 32
}

/// As [`bits`], of a sequence that has two numbers.
pub(super) fn bits2(seed: u64, kind: Kind, (sequence, part): (u32, u32), n: u32) -> u64 {
    let [a, b, ..] = philox(seed, [n, part, sequence, (kind as u32) << 24]);
    u64::from(a) | u64::from(b) << 32
}

/// Uniform in [0, 1), of random bits.
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(philox(0, [0; 4]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox(u64::MAX, [u32::MAX; 4]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        assert_eq!(philox(0x299f31d0_a4093822, pi), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }
}
