//! Numbers as kernels see them: typed views of bytes, and loops chosen by the type at run time.
//!
//! Kernels take truth values as the bytes 0 and 1, never as `bool`.

#![allow(unsafe_code)]

/// A number for which every pattern of bits is a value.
///
/// # Safety
/// That must be so, and there must be no padding.
pub(super) unsafe trait Plain: Copy + Default + PartialEq + PartialOrd + 'static {}

macro_rules! plain {
    // SAFETY: integers and floats have a value for every pattern of bits, and no padding.
    ($($t:ty),*) => { $( unsafe impl Plain for $t {} )* };
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// The whole numbers in `bytes`; nothing where they are not aligned.
pub(super) fn view<T: Plain>(bytes: &[u8]) -> &[T] {
    // SAFETY: `Plain` says that all bytes make numbers.
    let (before, numbers, _) = unsafe { bytes.align_to::<T>() };
    debug_assert!(before.is_empty(), "a block or register is not aligned");
    if before.is_empty() { numbers } else { &[] }
}

/// As [`view`], for writing.
pub(super) fn view_mut<T: Plain>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: `Plain` says that all bytes make numbers, and numbers bytes.
    let (before, numbers, _) = unsafe { bytes.align_to_mut::<T>() };
    debug_assert!(before.is_empty(), "a block or register is not aligned");
    if before.is_empty() { numbers } else { &mut [] }
}

/// Memory for a tile of up to eight bytes an element, aligned to cache lines.
#[derive(Clone, Default)]
pub(super) struct Register(Vec<Line>);

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u64; 8]);

impl Register {
    /// Memory of at least `bytes` bytes, zero.
    pub(super) fn new(bytes: usize) -> Self {
        Register(vec![Line([0; 8]); bytes.div_ceil(64)])
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `Line` is eight integers without padding, and bytes need no alignment.
        unsafe { self.0.align_to::<u8>() }.1
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.0.align_to_mut::<u8>() }.1
    }
}

/// What integers do here, where that is not simply an operator.
pub(super) trait Integer: Plain + Ord {
    fn floor_divide(self, by: Self) -> Self;
    fn remainder(self, by: Self) -> Self;
    fn power(self, exponent: Self) -> Self;
    fn shift_left(self, by: Self) -> Self;
    fn shift_right(self, by: Self) -> Self;
    fn sign(self) -> Self;
    fn reciprocal(self) -> Self;
}

macro_rules! integers {
    ($($t:ident $u:ident $signed:literal),*) => { $(
        impl Integer for $t {
            #[inline(always)]
            fn floor_divide(self, by: Self) -> Self {
                if by == 0 {
                    return 0;
                }
                let quotient = self.wrapping_div(by);
                #[allow(unused_comparisons)]
                if self.wrapping_rem(by) != 0 && (self < 0) != (by < 0) { quotient.wrapping_sub(1) } else { quotient }
            }
            #[inline(always)]
            fn remainder(self, by: Self) -> Self {
                if by == 0 {
                    return 0;
                }
                let rest = self.wrapping_rem(by);
                #[allow(unused_comparisons)]
                if rest != 0 && (self < 0) != (by < 0) { rest.wrapping_add(by) } else { rest }
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                #[allow(unused_comparisons)]
                if exponent < 0 {
                    let odd = exponent & 1 == 1;
                    return if self == 1 { 1 } else if $signed && self.wrapping_add(1) == 0 { if odd { self } else { 1 } } else { 0 };
                }
                let (mut result, mut base, mut left) = (1 as $t, self, exponent as $u);
                while left != 0 {
                    if left & 1 == 1 {
                        result = result.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                result
            }
            #[inline(always)]
            fn shift_left(self, by: Self) -> Self {
                let shifted = self.wrapping_shl(by as u32);
                if (by as $u) < $t::BITS as $u { shifted } else { 0 }
            }
            #[inline(always)]
            fn shift_right(self, by: Self) -> Self {
                let inside = (by as $u) < $t::BITS as $u;
                let shifted = self.wrapping_shr(if inside { by as u32 } else { $t::BITS - 1 });
                // An unsigned number has no sign bits to fill with.
                if inside || $signed { shifted } else { 0 }
            }
            #[inline(always)]
            fn sign(self) -> Self {
                #[allow(unused_comparisons)]
                if self < 0 { (0 as $t).wrapping_sub(1) } else { (self != 0) as $t }
            }
            #[inline(always)]
            fn reciprocal(self) -> Self {
                if self == 1 || ($signed && self.wrapping_add(1) == 0) { self } else { 0 }
            }
        }
    )* };
}
integers!(i8 u8 true, i16 u16 true, i32 u32 true, i64 u64 true, u8 u8 false, u16 u16 false, u32 u32 false, u64 u64 false);

/// Runs the expression with `$T` as the integer type of that name; nothing for other types.
macro_rules! by_integer {
    ($dtype:expr, $T:ident, $body:expr) => {
        match $dtype {
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::Bool | DType::F32 | DType::F64 => {}
        }
    };
}

/// Runs the expression with `$T` as the unsigned type of the size of an integer or truth value, where signs do not
/// matter; nothing for floats.
macro_rules! by_bits {
    ($dtype:expr, $T:ident, $body:expr) => {
        match $dtype {
            DType::Bool | DType::I8 | DType::U8 => {
                type $T = u8;
                $body
            }
            DType::I16 | DType::U16 => {
                type $T = u16;
                $body
            }
            DType::I32 | DType::U32 => {
                type $T = u32;
                $body
            }
            DType::I64 | DType::U64 => {
                type $T = u64;
                $body
            }
            DType::F32 | DType::F64 => {}
        }
    };
}

/// Runs the expression with `$T` as the float type; nothing for other types.
macro_rules! by_float {
    ($dtype:expr, $T:ident, $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            _ => {}
        }
    };
}

/// Runs the expression with `$T` as the type; truth values are bytes.
macro_rules! by_any {
    ($dtype:expr, $T:ident, $body:expr) => {
        match $dtype {
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::Bool | DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// Runs the expression with `$T` as an unsigned type of that many bytes; nothing for sizes that no type has.
macro_rules! by_size {
    ($size:expr, $T:ident, $body:expr) => {
        match $size {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            8 => {
                type $T = u64;
                $body
            }
            _ => {}
        }
    };
}

pub(super) use {by_any, by_bits, by_float, by_integer, by_size};

/// The bytes of numbers.
pub(super) fn bytes_of_mut<T: Plain>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: `Plain` says that numbers are bytes without padding, and all bytes make numbers.
    unsafe { numbers.align_to_mut::<u8>() }.1
}
