//! Speed, by `cargo test --release -p chunkstore --lib kernel::bench -- --ignored --nocapture`.

use super::level::Level;
use super::reduce::reduce_at;
use super::run::evaluate_at;
use super::*;
use chunkstore_store::{Block, Buffer, DType, Shape};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

const BLOCK: usize = 1 << 20;

fn filled(seed: u64, n: usize) -> Block {
    let mut state = seed;
    let values = (0..n).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / 9007199254740992.0 * 3.0 + 0.1
    });
    Block::new(Buffer::from_vec(Arc::new(values.collect::<Vec<f64>>())), 0, DType::F64, Shape::from_slice(&[n])).unwrap()
}

/// The seconds that this thread has spent on a CPU, to some milliseconds; other programs hardly change it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The least of twenty times, in seconds.
fn timed(mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..20).map(once).fold(f64::INFINITY, f64::min)
}

fn expression() -> Program {
    let mut p = Program::builder();
    let [a, b, c, d] = std::array::from_fn(|_| p.input(DType::F64));
    let product = p.binary(BinaryOp::Multiply, a, b).unwrap();
    let negative = p.unary(UnaryOp::Negative, c).unwrap();
    let exp = p.unary(UnaryOp::Exp, negative).unwrap();
    let root = p.unary(UnaryOp::Sqrt, d).unwrap();
    let right = p.binary(BinaryOp::Multiply, exp, root).unwrap();
    let sum = p.binary(BinaryOp::Add, product, right).unwrap();
    p.finish(sum)
}

#[test]
#[ignore = "a measurement"]
fn mean_of_an_expression() {
    let blocks: Vec<[Block; 4]> = (0..64).map(|k| std::array::from_fn(|j| filled(k * 4 + j as u64, BLOCK))).collect();
    let program = expression();
    for level in Level::available() {
        for threads in [1, 2] {
            let (mut wall, mut cpu) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..5 {
                let (start, next) = (Instant::now(), AtomicUsize::new(0));
                let work = || {
                    let start = cpu_seconds();
                    while let Some(inputs) = blocks.get(next.fetch_add(1, Relaxed)) {
                        let arguments = inputs.each_ref().map(Argument::Block);
                        let mut out = [0f64; 3];
                        let out = super::number::bytes_of_mut(&mut out);
                        reduce_at(level, ReduceOp::Moments { spread: false }, &program, &[BLOCK], &arguments, &[true], out).unwrap();
                    }
                    cpu_seconds() - start
                };
                let seconds: f64 = std::thread::scope(|scope| {
                    let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                    workers.into_iter().map(|worker| worker.join().unwrap()).sum()
                });
                (wall, cpu) = (wall.min(start.elapsed().as_secs_f64()), cpu.min(seconds));
            }
            println!("mean(a*b + exp(-c)*sqrt(d)), 64M, {level:?}, {threads} threads: {:.0} ms, CPU {:.0} ms", wall * 1e3, cpu * 1e3);
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn reductions() {
    let block = filled(1, 16 * BLOCK);
    let mut p = Program::builder();
    let x = p.input(DType::F64);
    let program = p.finish(x);
    let shapes: [(&[usize], &[bool]); 7] = [
        (&[16 * BLOCK], &[true]),
        (&[4096, 4096], &[false, true]),
        (&[4096, 4096], &[true, false]),
        (&[1 << 20, 16], &[true, false]),
        (&[1 << 20, 16], &[false, true]),
        (&[256, 256, 256], &[true, false, true]),
        (&[256, 16, 16, 256], &[false, true, false, true]),
    ];
    for (shape, mask) in shapes {
        let block = block.reshaped(Shape::from_slice(shape)).unwrap();
        for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Moments { spread: true }] {
            for level in Level::available() {
                let mut out = vec![0f64; 3 << 20];
                let seconds = timed(|| {
                    let out = super::number::bytes_of_mut(&mut out);
                    reduce_at(level, op, &program, shape, &[Argument::Block(&block)], mask, out).unwrap();
                });
                println!("{op:?} of {shape:?} over {mask:?}, {level:?}: {:.1} GB/s", 0.134217728 / seconds);
            }
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn functions() {
    let block = filled(1, BLOCK);
    let positions = Argument::Index { offset: 0, strides: smallvec::smallvec![1] };
    let ops = [
        UnaryOp::Square,
        UnaryOp::Exp,
        UnaryOp::Log,
        UnaryOp::Sqrt,
        UnaryOp::Sin,
        UnaryOp::Tanh,
        UnaryOp::Floor,
        UnaryOp::Cast(DType::I32),
    ];
    for op in ops.into_iter().chain([UnaryOp::Uniform { seed: 1 }, UnaryOp::Normal { seed: 1 }]) {
        let random = matches!(op, UnaryOp::Uniform { .. } | UnaryOp::Normal { .. });
        let mut p = Program::builder();
        let x = p.input(if random { DType::I64 } else { DType::F64 });
        let y = p.unary(op, x).unwrap();
        let program = p.finish(y);
        let argument = if random { positions.clone() } else { Argument::Block(&block) };
        let mut out = vec![0f64; 4096];
        for level in Level::available() {
            let seconds = timed(|| {
                for _ in 0..256 {
                    let out = super::number::bytes_of_mut(&mut out);
                    let small = match &argument {
                        Argument::Block(block) => Block::new(block.buffer().0.clone(), 0, DType::F64, Shape::from_slice(&[4096])).unwrap(),
                        Argument::Index { .. } => block.clone(),
                    };
                    let argument = if random { positions.clone() } else { Argument::Block(&small) };
                    evaluate_at(level, &program, &[4096], &[argument], out).unwrap();
                }
            });
            println!("{op:?}, {level:?}: {:.2} ns an element", seconds * 1e9 / (256.0 * 4096.0));
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn small_blocks() {
    let inputs: [Block; 4] = std::array::from_fn(|j| filled(j as u64, 16));
    let program = expression();
    let mut out = vec![0f64; 16];
    let seconds = timed(|| {
        for _ in 0..10_000 {
            let arguments = inputs.each_ref().map(Argument::Block);
            evaluate_at(Level::best(), &program, &[16], &arguments, super::number::bytes_of_mut(&mut out)).unwrap();
        }
    });
    println!("a block of 16: {:.0} ns", seconds * 1e5);
}

#[test]
#[ignore = "a measurement"]
fn transposes() {
    let n = 4096;
    let source = filled(1, n * n);
    let mut to = vec![0f64; n * n];
    for (name, strides) in [("copy", [n as isize, 1]), ("transpose", [1, n as isize])] {
        let seconds = timed(|| {
            let to = super::number::bytes_of_mut(&mut to);
            copy_strided(8, &[n, n], source.bytes(), 0, &strides, to, 0, &[n as isize, 1]).unwrap();
        });
        println!("{name} of {n} x {n} f64: {:.1} GB/s written", 0.134217728 / seconds);
    }
}
