//! What is saved, by number, and chance that can be repeated.

use chunkstore_store::{Arena, Bytes, Chunk, checksum};

/// A linear congruential generator.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        for _ in 0..3 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        (self.0 >> 33) % n
    }

    /// A number that no other process draws, but by chance.
    pub(crate) fn number(&mut self) -> u32 {
        self.below(1 << 31) as u32
    }
}

/// The bytes that `number` stands for: none, few and many, compressible and not.
pub(crate) fn bytes_of(number: u32) -> Vec<u8> {
    let mut dice = Dice(u64::from(number));
    let len = [0, 1, 700, 5000, 70_000, 150_000][number as usize % 6];
    let front = number.to_le_bytes();
    let byte = |i: usize| front.get(i).copied().unwrap_or_else(|| if number % 4 < 2 { (i / 100) as u8 } else { dice.below(256) as u8 });
    (0..len).map(byte).collect()
}

/// Their checksum.
pub(crate) fn sum_of(number: u32) -> u64 {
    checksum(&bytes_of(number))
}

pub(crate) fn chunk(arena: &Arena, number: u32) -> Chunk {
    let bytes = bytes_of(number);
    let mut buffer = arena.alloc(bytes.len()).unwrap();
    buffer.copy_from_slice(&bytes);
    Chunk::Bytes(Bytes(buffer.freeze()))
}
