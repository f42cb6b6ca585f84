//! Scratch timing.
use chunkstore::{Engine, array::Array};
use std::time::Instant;
fn main() {
    chunkstore::init();
    let m = std::env::args().nth(1).unwrap();
    let engine = Engine::builder().memory(m).threads(2).scratch("/work/peers/scratch").build().unwrap();
    let t = Instant::now();
    let x = Array::<f64>::from_npy("/work/peers/data/full/big/x.npy").unwrap();
    let y = ((&x - x.mean(..)) / x.std(..)).abs().sum(..);
    println!("{}", engine.explain(&y).unwrap());
    let t1 = Instant::now();
    let v = engine.compute(&y.item_collection()).unwrap();
    println!("{v} {:?} {:?}", t1.elapsed(), t.elapsed());
    println!("{}", engine.last_run().unwrap());
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
