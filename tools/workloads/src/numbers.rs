//! The random numbers that all data are made of: SplitMix64 of a stream and an index, as `peers/README.md` defines them.

/// `u(s, i)`: SplitMix64's output for the input `s * 2^40 + i`.
pub(crate) fn u(stream: u64, index: u64) -> u64 {
    let mut z = (stream << 40).wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `b(s, i, k)`: an integer below `k`.
pub(crate) fn below(stream: u64, index: u64, k: u64) -> u64 {
    u(stream, index) % k
}

/// CRC-32 of text lines, each ended by a newline, in the order given.
pub(crate) fn crc32_of_lines(lines: impl IntoIterator<Item = String>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::{below, u};

    #[test]
    fn equals_splitmix64() {
        // The first outputs of the reference generator with seed 0.
        assert_eq!(u(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(u(0, 0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(below(51, 7, 1000), u(51, 7) % 1000);
    }
}
