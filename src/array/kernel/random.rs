//! Random numbers that depend on a seed and a position only.
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): the seed is the
//! key, position and kind of number the counter.

use super::math::{log, polynomial};

/// 2⁻⁵³.
const UNIT: f64 = 1.0 / 9007199254740992.0;

/// sin(2πb) / b in w = b² for |b| <= 1/4, within 2e-21; from w⁰ up.
#[expect(clippy::excessive_precision, reason = "as computed")]
const SINE: [f64; 10] = [
    6.283185307179586,
    -41.34170224039976,
    81.60524927607506,
    -76.70585975306072,
    42.058693944828704,
    -15.094642572701975,
    3.819952434866809,
    -0.7181189218910659,
    0.10418309087064648,
    -0.011683082881307493,
];

/// Four random words.
#[inline(always)]
pub(super) fn philox(seed: u64, counter: [u32; 4]) -> [u32; 4] {
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

/// The upper 53 bits of two words.
#[inline(always)]
fn bits(low: u32, high: u32) -> f64 {
    ((u64::from(low) | (u64::from(high) << 32)) >> 11) as f64
}

/// Uniform in [0, 1).
#[inline(always)]
pub(super) fn uniform(seed: u64, position: i64) -> f64 {
    let [a, b, _, _] = philox(seed, [position as u32, (position >> 32) as u32, 0, 0]);
    bits(a, b) * UNIT
}

/// Normal with mean 0 and deviation 1, by Box and Muller (1958): √(-2 ln u) cos(2πv).
#[inline(always)]
pub(super) fn normal(seed: u64, position: i64) -> f64 {
    let [a, b, c, d] = philox(seed, [position as u32, (position >> 32) as u32, 1, 0]);
    let u = (bits(a, b) + 1.0) * UNIT;
    // cos(2πv) = sin(2π (|v - 1/2| - 1/4)), where the subtractions are exact.
    let turn = (bits(c, d) * UNIT - 0.5).abs() - 0.25;
    (-2.0 * log(u)).sqrt() * (turn * polynomial(&SINE, turn * turn))
}
