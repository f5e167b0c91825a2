//! The number formats of a stored vector and the loops over them.
//!
//! A unit vector is kept as 16-bit fixed point, split in two planes of bytes: `value = (hi * 256 + lo) * step`. The `hi`
//! plane alone is scanned first (one byte a dimension), the pair rescores the best. The loops are plain Rust that LLVM
//! vectorises; on x86-64 the same loops are compiled again for AVX2 and AVX-512 and chosen when the program runs. Hand
//! written VNNI was tried: 0.42 against 0.53 ms for 100,000 x 128, and only with an 8-bit query, so it is not here.

/// Largest value of the 16-bit fixed point: 127 * 256, so that the rounded high byte never passes 127.
const FULL: f32 = 32_512.0;
/// Largest value of the quantised query. 11 bits and a sign: `2047 * 127 * DIM_MAX` still fits an `i32`.
const COARSE: f32 = 2_047.0;
/// Sums kept side by side in the floating-point loop. Fixed, so that every kernel adds in the same order and gives the
/// same bits.
const LANES: usize = 16;

/// A query in the two forms the scans need.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Unit length, for rescoring.
    pub(super) unit: Vec<f32>,
    /// The same direction in 12 bits, for the first pass. Its scale is dropped: it is the same for every row.
    pub(super) coarse: Vec<i16>,
}

impl Query {
    /// From a vector of unit length.
    pub(super) fn new(unit: Vec<f32>) -> Self {
        let factor = COARSE / largest(&unit);
        let coarse = unit.iter().map(|x| fixed(x * factor, COARSE)).collect();
        Self { unit, coarse }
    }
}

/// Appends the two planes of `unit` and gives the step: `value = (hi * 256 + lo) * step`.
pub(super) fn quantise(unit: &[f32], hi: &mut Vec<i8>, lo: &mut Vec<i8>) -> f32 {
    let step = largest(unit) / FULL;
    for x in unit {
        let q = fixed(x / step, FULL);
        // Rounded, not cut, so that the high plane alone is the nearest 8-bit value and `lo` fits a signed byte.
        let high = (q + 128) >> 8;
        hi.push(byte(high));
        lo.push(byte(q - high * 256));
    }
    step
}

fn largest(unit: &[f32]) -> f32 {
    unit.iter().fold(0.0, |m, x| x.abs().max(m))
}

/// Rounds to a whole number inside `-limit ..= limit`; both limits here are far inside an `i16`.
#[allow(clippy::cast_possible_truncation)]
fn fixed(x: f32, limit: f32) -> i16 {
    x.round().clamp(-limit, limit) as i16
}

/// The value as a byte; the callers' arithmetic keeps it inside.
fn byte(value: i16) -> i8 {
    debug_assert!(i8::try_from(value).is_ok(), "{value} is not a byte");
    i8::try_from(value).unwrap_or_default()
}

/// The loops, compiled for one level of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernel(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Declares one entry of [`Kernel`]: the portable loop, and the same loop compiled for each level.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?, $body:path) => {
        impl Kernel {
            $(#[$doc])*
            #[allow(unsafe_code)]
            pub(super) fn $name(self, $($arg: $ty),*) $(-> $out)? {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx2")]
                    fn avx2($($arg: $ty),*) $(-> $out)? {
                        $body($($arg),*)
                    }
                    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
                    fn avx512($($arg: $ty),*) $(-> $out)? {
                        $body($($arg),*)
                    }
                    match self.0 {
                        // SAFETY: `Kernel::available` is the only maker of this level, and it asked the processor.
                        Level::Avx512 => return unsafe { avx512($($arg),*) },
                        // SAFETY: as above.
                        Level::Avx2 => return unsafe { avx2($($arg),*) },
                        Level::Portable => {}
                    }
                }
                $body($($arg),*)
            }
        }
    };
}

kernel! {
    /// Products of `query` with consecutive rows of the `hi` plane, one for each of `out`.
    dots(query: &[i16], rows: &[i8], out: &mut [i32]), dots_of
}
kernel! {
    /// Products of `query` with the rows of the `hi` plane at `slots`, one for each of `out`.
    dots_at(query: &[i16], plane: &[i8], slots: &[u32], out: &mut [i32]), dots_at_of
}
kernel! {
    /// `sum(query * (hi * 256 + lo))` of one row.
    full(query: &[f32], hi: &[i8], lo: &[i8]) -> f32, full_of
}
#[cfg(feature = "embedded")]
kernel! {
    /// Product of two rows of bytes.
    bytes(a: &[i8], b: &[i8]) -> i32, bytes_of
}

impl Kernel {
    /// What this processor can run, best first. Never empty.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let fast = {
            let avx2 = is_x86_feature_detected!("avx2");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            [avx512.then_some(Self(Level::Avx512)), avx2.then_some(Self(Level::Avx2))]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let fast = [None, None];
        fast.into_iter().flatten().chain([Self(Level::Portable)])
    }

    /// The best of this processor. Cheap: the detection is cached by the standard library.
    pub(super) fn best() -> Self {
        Self::available().next().unwrap_or(Self(Level::Portable))
    }
}

#[inline(always)]
fn dot(query: &[i16], row: &[i8]) -> i32 {
    query.iter().zip(row).map(|(q, v)| i32::from(*q) * i32::from(*v)).sum()
}

#[inline(always)]
fn dots_of(query: &[i16], rows: &[i8], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = dot(query, row);
    }
}

#[inline(always)]
fn dots_at_of(query: &[i16], plane: &[i8], slots: &[u32], out: &mut [i32]) {
    for (slot, out) in slots.iter().zip(out) {
        *out = dot(query, row(plane, *slot, query.len()));
    }
}

#[inline(always)]
fn full_of(query: &[f32], hi: &[i8], lo: &[i8]) -> f32 {
    let value = |hi: i8, lo: i8| f32::from(i16::from(hi) * 256 + i16::from(lo));
    let mut sums = [0.0f32; LANES];
    let (q, q_rest) = query.as_chunks::<LANES>();
    let (h, h_rest) = hi.as_chunks::<LANES>();
    let (l, l_rest) = lo.as_chunks::<LANES>();
    for ((q, h), l) in q.iter().zip(h).zip(l) {
        for i in 0..LANES {
            sums[i] += q[i] * value(h[i], l[i]);
        }
    }
    let rest: f32 = q_rest.iter().zip(h_rest).zip(l_rest).map(|((q, h), l)| q * value(*h, *l)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(feature = "embedded")]
#[inline(always)]
fn bytes_of(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// The row of `plane` at `slot`, in a plane of rows of `dim` bytes.
#[inline(always)]
pub(super) fn row(plane: &[i8], slot: u32, dim: usize) -> &[i8] {
    let start = slot as usize * dim;
    &plane[start..start + dim]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rng: &mut fastrand::Rng, dim: usize) -> Vec<f32> {
        let v: Vec<f32> = (0..dim).map(|_| rng.f32() * 2.0 - 1.0).collect();
        let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.into_iter().map(|x| x / norm).collect()
    }

    #[test]
    fn every_kernel_gives_the_bits_of_the_portable_loop() {
        let mut rng = fastrand::Rng::with_seed(1);
        for dim in [1, 2, 15, 16, 17, 31, 63, 64, 100, 128, 384, 1_000, 4_096] {
            let (mut hi, mut lo) = (Vec::new(), Vec::new());
            for _ in 0..9 {
                quantise(&random(&mut rng, dim), &mut hi, &mut lo);
            }
            let query = Query::new(random(&mut rng, dim));
            let slots = [3, 0, 8, 8, 1];
            let (mut want, mut want_at) = ([0; 9], [0; 5]);
            dots_of(&query.coarse, &hi, &mut want);
            dots_at_of(&query.coarse, &hi, &slots, &mut want_at);
            for kernel in Kernel::available() {
                let (mut got, mut got_at) = ([0; 9], [0; 5]);
                kernel.dots(&query.coarse, &hi, &mut got);
                kernel.dots_at(&query.coarse, &hi, &slots, &mut got_at);
                assert_eq!((got, got_at), (want, want_at), "{kernel:?} at {dim}");
                for slot in 0..9 {
                    let (h, l) = (row(&hi, slot, dim), row(&lo, slot, dim));
                    assert_eq!(kernel.full(&query.unit, h, l).to_bits(), full_of(&query.unit, h, l).to_bits());
                    #[cfg(feature = "embedded")]
                    let scalar: i32 = h.iter().zip(l).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                    #[cfg(feature = "embedded")]
                    assert_eq!(kernel.bytes(h, l), scalar);
                }
            }
        }
    }

    #[test]
    fn the_largest_products_of_the_largest_dimension_do_not_overflow() {
        let dim = crate::limits::DIM_MAX;
        let flat = vec![1.0 / (dim as f32).sqrt(); dim];
        let (mut hi, mut lo) = (Vec::new(), Vec::new());
        quantise(&flat, &mut hi, &mut lo);
        let query = Query::new(flat);
        for kernel in Kernel::available() {
            let mut out = [0];
            kernel.dots(&query.coarse, &hi, &mut out);
            assert_eq!(i64::from(out[0]), 2_047 * 127 * i64::try_from(dim).unwrap());
            #[cfg(feature = "embedded")]
            assert_eq!(i64::from(kernel.bytes(&hi, &hi)), 127 * 127 * i64::try_from(dim).unwrap());
        }
    }

    #[test]
    fn two_bytes_keep_a_value_to_one_part_in_thirty_thousand_of_the_largest() {
        let mut rng = fastrand::Rng::with_seed(2);
        for dim in [1, 3, 128, 384] {
            let unit = random(&mut rng, dim);
            let (mut hi, mut lo) = (Vec::new(), Vec::new());
            let step = quantise(&unit, &mut hi, &mut lo);
            for ((x, h), l) in unit.iter().zip(&hi).zip(&lo) {
                let back = f32::from(i16::from(*h) * 256 + i16::from(*l)) * step;
                assert!((x - back).abs() <= step * 0.51, "{x} came back as {back}");
                assert!(l.unsigned_abs() <= 128 && h.unsigned_abs() <= 127);
            }
        }
    }
}
