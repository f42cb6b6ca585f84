//! Our own exponential and logarithm: branch-free, so that loops of them are vectorised, and without fused
//! multiply-adds, so that every CPU level gives the same bits.
//!
//! Both reduce the argument as Cody and Waite (1980) do. The polynomials are Chebyshev fits computed to 60 digits.

/// log2(e), and ln(2) in two parts of which the first times any exponent is exact.
const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// (exp(r) - 1 - r - r²/2) / r³ on |r| <= ln(2)/2, within 1e-20; from r⁰ up.
#[expect(clippy::excessive_precision, reason = "as computed")]
const EXP: [f64; 10] = [
    0.16666666666666669,
    0.041666666666666664,
    0.008333333333330051,
    0.0013888888888886545,
    0.00019841269863105968,
    2.4801587317181886e-05,
    2.7557268378684192e-06,
    2.755728291148268e-07,
    2.5100424157005067e-08,
    2.0911264239196083e-09,
];

/// (2 atanh(s) / s - 2) / s² in z = s² for s up to (√2 - 1) / (√2 + 1), within 4e-16; from z⁰ up.
#[expect(clippy::excessive_precision, reason = "as computed")]
const LOG: [f64; 7] = [
    0.666666666666667,
    0.3999999999989889,
    0.28571428626253836,
    0.22222211089379496,
    0.1818289243253687,
    0.15331611722055008,
    0.14617807153417325,
];

/// The polynomial with these coefficients, from the lowest.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let mut value = coefficients[N - 1];
    for k in (0..N - 1).rev() {
        value = value * x + coefficients[k];
    }
    value
}

/// e to the power of x, within 1 unit in the last place.
///
/// x = k ln 2 + r; the result is exp(r) 2ᵏ, scaled in two steps so that a subnormal result is rounded once.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    // Beyond these the result is infinite or zero anyway; NaN passes.
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    // Adding this rounds to an integer, whose sum with 2046 is in the lowest bits then.
    const ROUND: f64 = 6755399441055744.0 + 2046.0;
    let rounded = x * LOG2_E + ROUND;
    let k = rounded - ROUND;
    let high = x - k * LN2_HIGH;
    let low = k * LN2_LOW;
    let r = high - low;
    let lost = (high - r) - low;
    let square = r * r;
    let value = 1.0 + (r + (lost + square * (0.5 + r * polynomial(&EXP, r))));
    // Two biased exponents whose sum is 2 * 1023 + k.
    let sum = rounded.to_bits() & 0xfff;
    let half = sum >> 1;
    value * f64::from_bits(half << 52) * f64::from_bits((sum - half) << 52)
}

/// The natural logarithm, within 1 unit in the last place: minus infinity for 0, NaN below.
///
/// x = 2ᵏ (1 + f) with 1 + f in [√½, √2); log(1 + f) by the series in s = f / (2 + f), arranged as in FDLIBM (1993).
#[inline(always)]
pub(super) fn log(x: f64) -> f64 {
    const ROOT_HALF: u64 = 0x3fe6_a09e_0000_0000;
    let tiny = x < f64::MIN_POSITIVE;
    let scaled = if tiny { x * 18014398509481984.0 } else { x };
    let shifted = scaled.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - ROOT_HALF);
    let f = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff) + ROOT_HALF) - 1.0;
    // An integer below 2⁵² becomes a float without a conversion, which AVX2 does not have.
    let biased = f64::from_bits((shifted >> 52) | 0x4330_0000_0000_0000) - 4503599627370496.0;
    let k = biased - if tiny { 1077.0 } else { 1023.0 };
    let s = f / (2.0 + f);
    let z = s * s;
    let half_square = 0.5 * f * f;
    let series = z * polynomial(&LOG, z);
    let value = k * LN2_HIGH - ((half_square - (s * (half_square + series) + k * LN2_LOW)) - f);
    let value = if x < f64::INFINITY { value } else { x };
    let value = if x < 0.0 { f64::NAN } else { value };
    if x == 0.0 { f64::NEG_INFINITY } else { value }
}
