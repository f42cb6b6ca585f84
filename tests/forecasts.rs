//! Forecasts beside facts, over runs of many shapes: `cargo test --release --test forecasts -- --ignored --nocapture` prints the table.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, random};
use chunkstore::engine::RunReport;
use chunkstore::{Engine, chunks};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// Something to compute on an engine, by name.
struct Job {
    name: &'static str,
    run: Box<dyn Fn(&Engine)>,
}

fn job(name: &'static str, run: impl Fn(&Engine) + 'static) -> Job {
    Job { name, run: Box::new(run) }
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forecasts");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A file of 128 MiB: 4096 rows of 4096 numbers.
fn file() -> PathBuf {
    let path = folder().join("x.npy");
    if !path.exists() {
        let engine = engine(2, 1 << 30);
        let x = random::random([4096, 4096]).chunks([256, 4096]).seed(1).array();
        engine.compute(&x.to_npy(&path)).unwrap();
    }
    path
}

fn opened(chunks: [usize; 2]) -> Array<f64> {
    Array::from_npy_chunks(file(), chunks).unwrap()
}

/// An engine with so many bytes for tasks.
fn engine(threads: usize, bytes: u64) -> Engine {
    let engine = Engine::builder().memory("4GiB").threads(threads).scratch(folder()).progress(false).build().unwrap();
    // What is kept for other things depends on the bound.
    for _ in 0..16 {
        let outside = engine.memory() - engine.memory_for_tasks();
        engine.set_memory(outside + bytes).unwrap();
    }
    engine
}

fn jobs() -> Vec<Job> {
    let out = || folder().join("out.npy");
    let made = |rows: usize, seed: u64| {
        random::random([rows, 65_536]).chunks([8, 65_536]).seed(seed).array().map_blocks(|block| block.to_owned() + 1.0)
    };
    vec![
        job("sum of a file", |engine| {
            engine.compute(&opened([256, 4096]).sum(..).item_collection()).unwrap();
        }),
        job("large blocks", |engine| {
            engine.compute(&opened([512, 4096]).max(..).item_collection()).unwrap();
        }),
        job("small blocks", |engine| {
            engine.compute(&opened([2, 4096]).sum(..).item_collection()).unwrap();
        }),
        job("to a file", move |engine| {
            engine.compute(&(opened([256, 4096]) * 2.0 + 1.0).sqrt().to_npy(out())).unwrap();
        }),
        job("two inputs", move |engine| {
            let x = opened([128, 4096]);
            engine.compute(&(&x + &x.flip(0)).to_npy(out())).unwrap();
        }),
        job("standardise", |engine| {
            let x = opened([128, 4096]);
            let z = (&x - x.mean(..)) / x.std(..);
            engine.compute(&z.abs().sum(..).item_collection()).unwrap();
        }),
        job("by column", |engine| {
            let x = opened([256, 4096]);
            engine.compute(&(&x - x.mean(0)).abs().max(0)).unwrap();
        }),
        job("transpose", move |engine| {
            engine.compute(&opened([256, 4096]).t().to_npy(out())).unwrap();
        }),
        job("and transposed", |engine| {
            let x = opened([512, 512]);
            engine.compute(&(&x + &x.t()).sum(..).item_collection()).unwrap();
        }),
        job("rechunk", move |engine| {
            engine.compute(&opened([256, 4096]).rechunk([4096, 256]).to_npy(out())).unwrap();
        }),
        job("into memory", |engine| {
            engine.compute(&opened([256, 4096]).sqrt().slice(chunkstore::s![..512, ..])).unwrap();
        }),
        job("made", move |engine| {
            engine.compute(&made(256, 2).sum(..).item_collection()).unwrap();
        }),
        job("made, twice", move |engine| {
            let x = made(128, 3);
            engine.compute(&(&x - x.mean(0)).abs().sum(..).item_collection()).unwrap();
        }),
        job("persisted", move |engine| {
            let x = engine.persist(&made(128, 4)).unwrap();
            engine.compute(&(&x - x.mean(0)).abs().sum(..).item_collection()).unwrap();
        }),
        job("product", |engine| {
            let x = random::random([1024, 1024]).chunks(chunks![256, 256]).seed(5).array();
            let y = x.map_blocks(|block| block.to_owned() * 2.0);
            engine.compute(&(&y + &y.t() + y.mean(0)).std(..).item_collection()).unwrap();
        }),
    ]
}

fn line(job: &Job, threads: usize, room: u64, run: &RunReport) -> f64 {
    let forecast = &run.forecast;
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let ratio = run.peak_bytes as f64 / forecast.peak_bytes.max(1) as f64;
    println!(
        "{:<16} {threads} {:>6.0} | {:>8.2} {:>8.2} {ratio:>6.3} | {:>7.1} {:>7.1} | {:>7.1} {:>7.1} | {:>7.1} {:>7.1} | {:.3} s{}{}",
        job.name,
        mib(room),
        mib(forecast.peak_bytes),
        mib(run.peak_bytes),
        mib(forecast.spilled_bytes),
        mib(run.spilled_bytes),
        mib(forecast.reread_bytes),
        mib(run.reread_bytes),
        mib(forecast.read_again_bytes),
        mib(run.source_reread_bytes),
        run.seconds,
        if forecast.exact { "" } else { " about" },
        if run.audit().is_empty() { "" } else { " !" },
    );
    ratio
}

/// Runs all jobs on so many threads within so much room: where sizes are exact, a run books at most what was forecast, and comes near it.
fn measure(threads: &[usize], rooms: &[u64]) {
    chunkstore::init();
    file();
    let heads = ["peak", "spilled", "read back", "sources again"];
    println!("{heads:?}, forecast and fact in MiB");
    let mut wrong = Vec::new();
    for threads in threads {
        for room in rooms {
            for job in jobs() {
                let engine = engine(*threads, *room);
                (job.run)(&engine);
                let run = engine.last_run().unwrap();
                let ratio = line(&job, *threads, *room, &run);
                if run.forecast.exact && !(0.9..=1.0).contains(&ratio) {
                    wrong.push(format!("{} on {threads} threads within {room}: {ratio:.3}", job.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "a measurement: whether threads work at the same time is up to the machine"]
fn facts_are_as_forecast() {
    measure(&[2], &[1 << 30, 64 * MIB]);
}

#[test]
#[ignore = "a measurement"]
fn facts_are_as_forecast_within_any_room() {
    measure(&[1, 2], &[1 << 30, 160 * MIB, 80 * MIB, 64 * MIB]);
}
