//! Kernels of array blocks: pure functions from blocks to blocks, with the same bits at every CPU level.
//!
//! An elementwise expression is a [`Program`]; [`evaluate`] runs it over a block in cache-sized tiles and [`reduce`]
//! reduces it without materialising it. Loops are plain Rust, compiled for several CPU levels by one macro (`level`).
//! No operation is contracted to a fused multiply-add, sums have a fixed number of accumulators and a fixed order, and
//! transcendental functions are our own or those of the crate `libm`, so every level gives the same bits.
#![allow(dead_code, unused_imports, reason = "until the array module uses all of it")]

mod binary;
mod copy;
mod fold;
mod level;
mod math;
mod number;
mod op;
mod partial;
mod plan;
mod program;
mod random;
mod reduce;
mod run;
mod unary;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod bench;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub(crate) use copy::{byteswap, copy_strided};
pub(crate) use op::{BinaryOp, TernaryOp, UnaryOp};
pub(crate) use partial::{Finish, combine, finish};
pub(crate) use program::{Operand, Program, ProgramBuilder};
pub(crate) use reduce::{ReduceOp, reduce};
pub(crate) use run::{Argument, evaluate};
