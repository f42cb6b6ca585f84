//! Numbers that bags can sum.

use super::pipeline::Item;

/// A number that a bag can sum: integers are summed in 64 bits (in 128 where they have that many), floating-point numbers in `f64`.
pub trait Number: Item + Copy {
    /// The type of a sum.
    type Sum: Item + Copy + Sync;

    /// The sum of none.
    const ZERO: Self::Sum;

    /// The number as a sum of one.
    fn to_sum(self) -> Self::Sum;

    /// Two sums together; `None` where that is beyond the type.
    fn add(left: Self::Sum, right: Self::Sum) -> Option<Self::Sum>;

    /// The number as an `f64`, rounded where it has more digits.
    fn to_f64(self) -> f64;
}

macro_rules! integers {
    ($($t:ty => $sum:ty;)*) => { $(
        impl Number for $t {
            type Sum = $sum;
            const ZERO: $sum = 0;

            #[inline]
            fn to_sum(self) -> $sum {
                self as $sum
            }

            #[inline]
            fn add(left: $sum, right: $sum) -> Option<$sum> {
                left.checked_add(right)
            }

            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )* };
}
integers! {
    i8 => i64; i16 => i64; i32 => i64; i64 => i64; isize => i64; i128 => i128;
    u8 => u64; u16 => u64; u32 => u64; u64 => u64; usize => u64; u128 => u128;
}

macro_rules! floats {
    ($($t:ty)*) => { $(
        impl Number for $t {
            type Sum = f64;
            const ZERO: f64 = 0.0;

            #[inline]
            fn to_sum(self) -> f64 {
                self.into()
            }

            #[inline]
            fn add(left: f64, right: f64) -> Option<f64> {
                Some(left + right)
            }

            fn to_f64(self) -> f64 {
                self.into()
            }
        }
    )* };
}
floats!(f32 f64);

impl Number for bool {
    type Sum = u64;
    const ZERO: u64 = 0;

    fn to_sum(self) -> u64 {
        self.into()
    }

    fn add(left: u64, right: u64) -> Option<u64> {
        left.checked_add(right)
    }

    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}
