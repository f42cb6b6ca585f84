//! Our own exponential and logarithm: branch-free, so that loops of them are vectorised, and without fused
//! multiply-adds, so that every CPU level gives the same bits.
//!
//! Both reduce the argument as Cody and Waite (1980) do. The polynomials are Chebyshev fits computed to 60 digits.

/// log2(e), and ln(2) in two parts of which the first times any exponent is exact.
const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// (exp(r) - 1 - r - r²/2) / r³ on |r| <= ln(2)/2, within 1e-20; from r⁰ up.
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
const LOG: [f64; 7] = [
    0.666666666666667,
    0.3999999999989889,
    0.28571428626253836,
    0.22222211089379496,
    0.1818289243253687,
    0.15331611722055008,
    0.14617807153417325,
];

/// The polynomial of ten terms with these coefficients, from the lowest, by Estrin's scheme (1960): its chain of
/// dependent operations is half as long as Horner's, and that is what limits a loop of them.
#[inline(always)]
pub(super) fn polynomial10(c: &[f64; 10], x: f64) -> f64 {
    let x2 = x * x;
    let x4 = x2 * x2;
    let low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * x2;
    let middle = (c[4] + c[5] * x) + (c[6] + c[7] * x) * x2;
    low + (middle + (c[8] + c[9] * x) * x4) * x4
}

/// As [`polynomial10`], of seven terms.
#[inline(always)]
fn polynomial7(c: &[f64; 7], x: f64) -> f64 {
    let x2 = x * x;
    let low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * x2;
    low + ((c[4] + c[5] * x) + c[6] * x2) * (x2 * x2)
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
    let value = 1.0 + (r + (lost + square * (0.5 + r * polynomial10(&EXP, r))));
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
    let series = z * polynomial7(&LOG, z);
    let value = k * LN2_HIGH - ((half_square - (s * (half_square + series) + k * LN2_LOW)) - f);
    let value = if x < f64::INFINITY { value } else { x };
    let value = if x < 0.0 { f64::NAN } else { value };
    if x == 0.0 { f64::NEG_INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits of x and of exp(x) correctly rounded, by mpmath 1.3 with 40 digits.
    const EXPONENTIALS: &[(u64, u64)] = &[
        (0x0000_0000_0000_0000, 0x3ff0_0000_0000_0000),
        (0x3ff0_0000_0000_0000, 0x4005_bf0a_8b14_5769),
        (0xbff0_0000_0000_0000, 0x3fd7_8b56_362c_ef38),
        (0x3fe0_0000_0000_0000, 0x3ffa_6129_8e1e_069c),
        (0xbfe0_0000_0000_0000, 0x3fe3_68b2_fc6f_960a),
        (0x4024_0000_0000_0000, 0x40d5_829d_cf95_0560),
        (0xc024_0000_0000_0000, 0x3f07_cd79_b564_7c9b),
        (0x4034_0000_0000_0000, 0x41bc_eb08_8b68_e804),
        (0xc034_0000_0000_0000, 0x3e21_b486_55f3_7267),
        (0x4059_0000_0000_0000, 0x48f3_494a_9b17_1bf5),
        (0xc059_0000_0000_0000, 0x36ea_8c1f_14e2_af5d),
        (0x3fd6_2e42_fead_449c, 0x3ff6_a09e_6664_0654),
        (0xbfd6_2e43_096a_0c0d, 0x3fe6_a09e_62ce_9a31),
        (0x3ddb_7cdf_d9d7_bdbb, 0x3ff0_0000_0006_df38),
        (0xbc67_0ef5_4646_d497, 0x3ff0_0000_0000_0000),
        (0x4086_2800_0000_0000, 0x7fdd_422d_2be5_dc9b),
        (0x4086_2e42_fefa_39ef, 0x7fef_ffff_ffff_ff2a),
        (0x4086_2e42_fefa_39f0, 0x7ff0_0000_0000_0000),
        (0xc086_2000_0000_0000, 0x0017_c8ab_2288_c9ab),
        (0xc086_2400_0000_0000, 0x000e_6cf6_d088_97ac),
        (0xc086_8200_0000_0000, 0x0000_0007_7564_144f),
        (0xc087_2000_0000_0000, 0x0000_0000_0000_0055),
        (0xc087_4385_446d_71c3, 0x0000_0000_0000_0001),
        (0xc087_4800_0000_0000, 0x0000_0000_0000_0001),
        (0xc087_4910_d52d_3051, 0x0000_0000_0000_0001),
        (0xc087_4910_d52d_3052, 0x0000_0000_0000_0000),
        (0xc087_5000_0000_0000, 0x0000_0000_0000_0000),
        (0x4081_0f04_7ace_0976, 0x7127_2c08_af7b_9136),
        (0x407b_1984_94cb_5fe8, 0x6707_58d6_46fa_5100),
        (0xc078_4a80_e53c_be70, 0x1ce3_865d_1012_7011),
        (0x407b_ee5b_5915_7154, 0x683a_a890_37a9_1f44),
        (0x4085_92bb_2cde_f428, 0x7e2e_f482_6622_2697),
        (0x4079_bb61_c76d_4a4c, 0x650f_6d6e_eff8_0ff3),
        (0xc066_62c5_22d5_a634, 0x2fc8_ceb5_10e3_0fbd),
        (0xc07c_a98d_f7bd_1934, 0x1694_e1a8_0492_e00a),
        (0xc078_60d0_d18a_9740, 0x1cc3_5d74_6c1c_f893),
        (0x4070_d8f8_2468_4dd8, 0x583d_ba2d_4dcc_92ed),
        (0x4064_6172_ef2b_12a0, 0x4ea2_b20a_726c_a013),
        (0xc052_8701_0995_a250, 0x3940_f199_40cb_f3c6),
        (0x4050_43f2_d701_96e0, 0x45cd_2001_80d5_6c3e),
        (0x407f_3b09_c7bb_0adc, 0x6cfd_dc0e_e030_d281),
        (0x4083_e0e2_50ad_069a, 0x794a_3c65_776e_cbad),
        (0x4072_02bd_f474_5f18, 0x59ea_c940_4f74_a405),
        (0x3fe7_e561_fd37_fab0, 0x4000_e18d_3dea_c1f6),
        (0x3fc0_7047_8972_0200, 0x3ff2_314e_97a1_3717),
        (0xc000_4451_8faa_317c, 0x3fc0_c12c_1109_f26d),
        (0xbfc8_e573_f058_d140, 0x3fea_5804_517a_12b4),
        (0x3fd1_c9a5_bbd6_5860, 0x3ff5_2058_c963_77b3),
        (0x3fd8_f1d8_6073_3630, 0x3ff7_a044_9b14_906d),
        (0xbff5_619b_c7d1_2f91, 0x3fd0_d1da_215d_698c),
        (0x3fb2_2c64_5357_fa80, 0x3ff1_2d58_199d_1278),
        (0x3fea_a7db_21ff_8038, 0x4002_66c8_361c_0572),
        (0xbff8_7e1e_a9bb_3ac3, 0x3fcb_b1d4_abd0_4ae1),
        (0x4002_f9bd_6ef8_ae54, 0x4025_6fb8_12b9_d221),
        (0x3ff5_b411_552d_9808, 0x400f_0f38_ac4c_87a5),
        (0x4001_90aa_a163_ffb2, 0x4021_f8b1_d304_e472),
        (0x3fb7_2b77_823c_d8c0, 0x3ff1_8402_bc7e_2734),
        (0xbfff_fa65_1cc8_6edb, 0x3fc1_58bd_3afa_656f),
        (0xc007_d609_bbed_4f22, 0x3faa_04c6_ba77_aeb6),
        (0xc004_5159_62c5_8fad, 0x3fb4_3207_7a6f_d079),
        (0x4004_e7f0_092d_3e1a, 0x402b_4962_a08c_f5c6),
        (0x3ffa_de06_7159_efdc, 0x4015_71f7_0d9f_d2dc),
        (0x3fe8_d419_18d0_fecc, 0x4001_6155_af3f_9117),
        (0x4003_2fda_eb75_424c, 0x4026_02a7_f7ed_6e88),
    ];

    /// The bits of x and of log(x) correctly rounded, by mpmath 1.3 with 40 digits.
    const LOGARITHMS: &[(u64, u64)] = &[
        (0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000),
        (0x4000_0000_0000_0000, 0x3fe6_2e42_fefa_39ef),
        (0x3fe0_0000_0000_0000, 0xbfe6_2e42_fefa_39ef),
        (0x4005_bf0a_8b14_5769, 0x3ff0_0000_0000_0000),
        (0x4024_0000_0000_0000, 0x4002_6bb1_bbb5_5516),
        (0x01a5_6e1f_c2f8_f359, 0xc085_9634_47f8_7fb5),
        (0x0000_0000_0000_0001, 0xc087_4385_446d_71c3),
        (0x0000_1268_8b70_e62b, 0xc086_4e69_394d_9508),
        (0x0010_0000_0000_0000, 0xc086_232b_dd7a_bcd2),
        (0x7fef_ffff_ffff_ffff, 0x4086_2e42_fefa_39ef),
        (0x3fe6_a09e_667f_3bcc, 0xbfd6_2e42_fefa_39f1),
        (0x3fe6_a09e_667f_3bcd, 0xbfd6_2e42_fefa_39ee),
        (0x3ff6_a09e_667f_3bcd, 0x3fd6_2e42_fefa_39f0),
        (0x3ff6_a09e_667f_3bcc, 0x3fd6_2e42_fefa_39ee),
        (0x3ff0_0000_0000_0001, 0x3caf_ffff_ffff_ffff),
        (0x3fef_ffff_ffff_ffff, 0xbca0_0000_0000_0000),
        (0x64ef_c13b_12f7_aa76, 0x4079_a55d_f56a_5e16),
        (0x2745_e911_320a_47c3, 0xc071_17a9_0329_ff48),
        (0x5190_12d1_7af7_4af2, 0x4068_6f1b_59c4_d292),
        (0x4707_420e_ac66_60bc, 0x4053_acc7_c6d8_d3c5),
        (0x7b13_e89c_7e0a_1554, 0x4084_7f7c_838d_2d66),
        (0x5bf8_6c01_65b5_2d07, 0x4073_6f3e_c8e0_2b3f),
        (0x333b_a639_e3ac_e574, 0xc061_9b5c_42f2_c855),
        (0x2a4e_ce2c_2efb_a42c, 0xc06d_fbbe_3b44_d2c8),
        (0x71ad_d705_1a43_dca2, 0x4081_3d66_f25e_abae),
        (0x7d8c_3581_402b_eb18, 0x4085_5a89_4493_39f9),
        (0x7d62_c42c_8e6c_dadb, 0x4085_4c2f_6ab3_a32e),
        (0x6bca_f57b_494b_c5e0, 0x407e_66af_b6a5_e599),
        (0x734c_be1a_9630_1c3c, 0x4081_cd46_ea52_ab84),
        (0x0000_0000_0003_78a7, 0xc086_e0d7_6d01_ae35),
        (0x79c3_ebf4_66a2_7a1a, 0x4084_0b0a_fba4_ed0e),
        (0x0bf0_0e01_7ef0_51e9, 0xc082_058f_717a_b5bf),
        (0x3ff9_eb89_7a9c_557a, 0x3fde_e01c_b0b7_8a6a),
        (0x4005_a6d8_7b2f_3d45, 0x3fef_dc51_767e_06da),
        (0x4002_b147_80d3_1f5c, 0x3feb_2864_66e9_cf64),
        (0x3ff5_a54a_f40d_0c1d, 0x3fd3_5785_b934_0d68),
        (0x3ff5_dcd2_efff_4968, 0x3fd3_fae5_0fe3_f12f),
        (0x3ff8_80bf_83a6_faa7, 0x3fdb_46eb_bc65_699f),
        (0x3fe8_ef99_0cc0_e422, 0xbfcf_ed32_a53a_dddd),
        (0x4006_a36b_ed4f_a224, 0x3ff0_a4ad_7e02_edfe),
        (0x4005_6d4d_d189_c232, 0x3fef_86d4_9da4_c17e),
        (0x3ff3_0f5b_985a_332c, 0x3fc6_667d_3fa5_6a69),
        (0x3fe1_6ccc_5da1_1e27, 0xbfe3_7358_95b0_cacc),
        (0x3fdd_140b_d8b2_b737, 0xbfe9_3e97_b229_b276),
        (0x3fdb_111e_5724_7d8e, 0xbfeb_89cf_a311_737e),
        (0x3fef_4cbc_1453_934a, 0xbf96_a82f_cff5_d4c3),
        (0x4006_b5db_bed6_5b5a, 0x3ff0_b1af_ffbd_87e2),
        (0x3ff9_b6cd_534f_7e15, 0x3fde_5d61_e67d_8a44),
    ];

    #[test]
    fn exp_and_log_are_within_a_unit_of_the_exact_value() {
        for (x, expected) in EXPONENTIALS {
            let got = exp(f64::from_bits(*x));
            assert!(got.to_bits().abs_diff(*expected) <= 1, "exp({}) gave {got}", f64::from_bits(*x));
        }
        for (x, expected) in LOGARITHMS {
            let got = log(f64::from_bits(*x));
            assert!(got.to_bits().abs_diff(*expected) <= 1, "log({}) gave {got}", f64::from_bits(*x));
        }
    }

    #[test]
    fn exp_and_log_agree_with_libm_everywhere() {
        let mut x = -746.0;
        while x < 710.5 {
            assert!(exp(x).to_bits().abs_diff(libm::exp(x).to_bits()) <= 1, "exp({x})");
            x += 0.037_121_3;
        }
        let mut bits = 1u64;
        while bits < f64::INFINITY.to_bits() {
            let x = f64::from_bits(bits);
            let (got, expected) = (log(x), libm::log(x));
            assert!(got.to_bits().abs_diff(expected.to_bits()) <= 1, "log({x})");
            bits += 0x0000_7123_4567_89ab;
        }
    }

    #[test]
    fn exp_and_log_at_the_ends() {
        assert_eq!((exp(0.0), exp(-0.0), exp(f64::INFINITY), exp(f64::NEG_INFINITY)), (1.0, 1.0, f64::INFINITY, 0.0));
        assert_eq!((exp(f64::MAX), exp(f64::MIN), exp(709.782712893385), exp(-745.2)), (f64::INFINITY, 0.0, f64::INFINITY, 0.0));
        assert!(exp(f64::NAN).is_nan() && exp(-f64::NAN).is_nan() && exp(f64::from_bits(u64::MAX >> 1)).is_nan());
        assert_eq!((log(0.0), log(-0.0), log(1.0), log(f64::INFINITY)), (f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, f64::INFINITY));
        assert!(log(-1.0).is_nan() && log(f64::NEG_INFINITY).is_nan() && log(f64::NAN).is_nan() && log(-f64::from_bits(1)).is_nan());
    }
}
