//! The activation, written so that the compiler turns it into vector instructions; with `erf` and `exp`
//! of the standard libraries it takes as long as all the matrix products.

use candle_core::{CpuStorage, InplaceOp1, Layout};
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// GELU in place over the whole of a tensor's storage, for a tensor that owns it.
pub(super) struct Gelu;

impl InplaceOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> candle_core::Result<()> {
        match storage {
            CpuStorage::F32(numbers) => numbers.iter_mut().for_each(|x| *x = gelu(*x)),
            _ => candle_core::bail!("gelu of numbers that are not f32"),
        }
        Ok(())
    }
}

/// `x * Phi(x)` with Abramowitz and Stegun 7.1.26 for Phi: off by less than 2e-7 times x.
#[inline]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * exp_of_negative(-z * z);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// `e^x` for x <= 0 to six digits: a power of two by its exponent bits, the rest by a polynomial (Cephes).
#[inline]
fn exp_of_negative(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let rounded = x * LOG2_E + ROUND;
    let whole = rounded - ROUND;
    // ln 2 in two parts, so that the product with the first is exact.
    let r = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    (p * r * r + r + 1.0) * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_exponential() {
        for i in 0..43_500_u16 {
            let x = -f32::from(i) / 500.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp_of_negative(x)) - exact).abs() <= 3e-7 * exact, "{x}");
        }
        assert!(exp_of_negative(f32::NEG_INFINITY) < 1e-37 && exp_of_negative(f32::MIN) >= 0.0);
    }

    #[test]
    fn gelu_is_the_exact_one_at_known_places() {
        // 0.5 x (1 + erf(x / sqrt 2)), computed with scipy.
        let known = [
            (-6.0, -5.919_526e-9),
            (-3.0, -0.004_049_694),
            (-1.0, -0.158_655_25),
            (-0.25, -0.100_323_42),
            (0.0, 0.0),
            (0.25, 0.149_676_58),
            (1.0, 0.841_344_7),
            (3.0, 2.995_950_3),
            (9.0, 9.0),
        ];
        for (x, y) in known {
            assert!((gelu(x) - y).abs() <= 4e-7 * x.abs().max(1.0), "{x}: {} for {y}", gelu(x));
        }
        assert!(gelu(f32::NAN).is_nan());
    }
}
