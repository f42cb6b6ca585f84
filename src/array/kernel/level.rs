//! CPU levels: the same plain loops compiled for AVX-512, AVX2 and the base instruction set, chosen at run time.

#![allow(unsafe_code)]

/// The instructions that loops may use. A value exists only for what this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Base,
}

impl Level {
    /// Which one it is.
    pub(super) fn kind(self) -> Kind {
        self.0
    }

    /// The best level of this CPU.
    pub(super) fn best() -> Level {
        Level::available().next().unwrap_or(Level(Kind::Base))
    }

    /// The levels that this CPU has, the best first.
    pub(super) fn available() -> impl Iterator<Item = Level> {
        #[cfg(target_arch = "x86_64")]
        let wide = {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            let avx2 = is_x86_feature_detected!("avx2");
            avx512.then_some(Level(Kind::Avx512)).into_iter().chain(avx2.then_some(Level(Kind::Avx2)))
        };
        #[cfg(not(target_arch = "x86_64"))]
        let wide = std::iter::empty();
        wide.chain(std::iter::once(Level(Kind::Base)))
    }
}

/// Emits a function that runs `$body` compiled for a level; `$body` is an `#[inline(always)]` function of plain loops.
macro_rules! at_levels {
    ($(#[$attribute:meta])* $name:ident, $body:ident, [$($generic:ident),*] [$($bounds:tt)*], ($($argument:ident: $type:ty),*)) => {
        $(#[$attribute])*
        #[inline]
        #[allow(unsafe_code)]
        pub(super) fn $name<$($generic),*>(level: $crate::array::kernel::level::Level, $($argument: $type),*) where $($bounds)* {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            #[inline(never)]
            fn avx512<$($generic),*>($($argument: $type),*) where $($bounds)* {
                $body::<$($generic),*>($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            #[inline(never)]
            fn avx2<$($generic),*>($($argument: $type),*) where $($bounds)* {
                $body::<$($generic),*>($($argument),*)
            }
            #[inline(never)]
            fn base<$($generic),*>($($argument: $type),*) where $($bounds)* {
                $body::<$($generic),*>($($argument),*)
            }
            match level.kind() {
                // SAFETY: a level exists only where the CPU has its instructions (see `Level`).
                #[cfg(target_arch = "x86_64")]
                $crate::array::kernel::level::Kind::Avx512 => unsafe { avx512::<$($generic),*>($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::array::kernel::level::Kind::Avx2 => unsafe { avx2::<$($generic),*>($($argument),*) },
                $crate::array::kernel::level::Kind::Base => base::<$($generic),*>($($argument),*),
            }
        }
    };
}
pub(super) use at_levels;

#[inline(always)]
fn map1_loop<A: Copy, D, F: Fn(A) -> D>(a: &[A], to: &mut [D], f: F) {
    for (to, a) in to.iter_mut().zip(a) {
        *to = f(*a);
    }
}

#[inline(always)]
fn map2_loop<A: Copy, B: Copy, D, F: Fn(A, B) -> D>(a: &[A], b: &[B], to: &mut [D], f: F) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = f(*a, *b);
    }
}

#[inline(always)]
fn map3_loop<A: Copy, B: Copy, C: Copy, D, F: Fn(A, B, C) -> D>(a: &[A], b: &[B], c: &[C], to: &mut [D], f: F) {
    for (((to, a), b), c) in to.iter_mut().zip(a).zip(b).zip(c) {
        *to = f(*a, *b, *c);
    }
}

at_levels!(
    /// `to[i] = f(a[i])`.
    map1, map1_loop, [A, D, F] [A: Copy, F: Fn(A) -> D], (a: &[A], to: &mut [D], f: F));
at_levels!(
    /// `to[i] = f(a[i], b[i])`.
    map2, map2_loop, [A, B, D, F] [A: Copy, B: Copy, F: Fn(A, B) -> D], (a: &[A], b: &[B], to: &mut [D], f: F));
at_levels!(
    /// `to[i] = f(a[i], b[i], c[i])`.
    map3, map3_loop, [A, B, C, D, F] [A: Copy, B: Copy, C: Copy, F: Fn(A, B, C) -> D], (a: &[A], b: &[B], c: &[C], to: &mut [D], f: F));
