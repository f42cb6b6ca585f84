//! Random numbers that depend on a seed and a position only.
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): the seed is the
//! key, position and kind of number the counter.

use super::level::at_levels;
use super::math::{log, polynomial10};

/// 2⁻⁵³.
const UNIT: f64 = 1.0 / 9007199254740992.0;

/// sin(2πb) / b in w = b² for |b| <= 1/4, within 2e-21; from w⁰ up.
#[expect(clippy::approx_constant, reason = "a coefficient of the fit, as computed")]
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
    macro_rules! rounds {
        // Unrolled by hand: a loop in a loop is not vectorised.
        ($($n:literal)*) => { $(
            let _ = $n;
            let first = u64::from(a) * 0xd251_1f53;
            let second = u64::from(c) * 0xcd9e_8d57;
            (a, b, c, d) = ((second >> 32) as u32 ^ b ^ low, second as u32, (first >> 32) as u32 ^ d ^ high, first as u32);
            low = low.wrapping_add(0x9e37_79b9);
            high = high.wrapping_add(0xbb67_ae85);
        )* };
    }
    rounds!(0 1 2 3 4 5 6 7 8 9);
    let _ = (low, high);
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
    (-2.0 * log(u)).sqrt() * (turn * polynomial10(&SINE, turn * turn))
}

#[inline(always)]
fn uniforms_loop(seed: u64, positions: &[i64], to: &mut [f64]) {
    for (to, position) in to.iter_mut().zip(positions) {
        *to = uniform(seed, *position);
    }
}

#[inline(always)]
fn normals_loop(seed: u64, positions: &[i64], to: &mut [f64]) {
    for (to, position) in to.iter_mut().zip(positions) {
        *to = normal(seed, *position);
    }
}

// Loops of their own: closures of this size are not inlined, and so not vectorised.
at_levels!(
    /// A uniform number for each position.
    uniforms, uniforms_loop, [] [], (seed: u64, positions: &[i64], to: &mut [f64]));
at_levels!(
    /// A normal number for each position.
    normals, normals_loop, [] [], (seed: u64, positions: &[i64], to: &mut [f64]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        // From kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
        assert_eq!(philox(0, [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox(u64::MAX, [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(0x299f_31d0_a409_3822, pi), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn moments_of_the_distributions() {
        let n = 200_000;
        let mean = |f: &dyn Fn(f64) -> f64, draw: &dyn Fn(i64) -> f64| (0..n).map(|k| f(draw(k))).sum::<f64>() / n as f64;
        let (flat, bell) = (|k| uniform(7, k), |k| normal(7, k));
        assert!((0..n).all(|k| (0.0..1.0).contains(&flat(k)) && bell(k).is_finite()));
        // Five standard errors each.
        let bound = |deviation: f64| 5.0 * deviation / (n as f64).sqrt();
        assert!((mean(&|x| x, &flat) - 0.5).abs() < bound(0.289));
        assert!((mean(&|x| x * x, &flat) - 1.0 / 3.0).abs() < bound(0.299));
        assert!(mean(&|x| x, &bell).abs() < bound(1.0));
        assert!((mean(&|x| x * x, &bell) - 1.0).abs() < bound(1.42));
        assert!(mean(&|x| x.powi(3), &bell).abs() < bound(3.9));
        assert!((mean(&|x| x.powi(4), &bell) - 3.0).abs() < bound(9.8));
        assert!((mean(&|x| f64::from(u8::from(x.abs() > 1.959_963_985)), &bell) - 0.05).abs() < bound(0.218));
        // Neighbours and seeds do not go together.
        let product: f64 = (0..n).map(|k| (uniform(7, k) - 0.5) * (uniform(7, k + 1) - 0.5)).sum::<f64>() / n as f64;
        let seeds: f64 = (0..n).map(|k| (uniform(7, k) - 0.5) * (uniform(8, k) - 0.5)).sum::<f64>() / n as f64;
        assert!(product.abs() < bound(1.0 / 12.0) && seeds.abs() < bound(1.0 / 12.0));
        assert_ne!(uniform(7, 1), uniform(7, 1 + (1 << 32)));
    }
}
