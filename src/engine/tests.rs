//! Runs of made-up layers through the whole machine.

#![allow(clippy::unwrap_used)]

use super::{Engine, Scheduler};
use crate::exec::Host;
use crate::graph::{Barrier, Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Collected, Collection, Error, ErrorKind, Persist, Result};
use chunkstore_store::io::{Fault, FaultyBackend, MemoryBackend};
use chunkstore_store::{Block, Chunk, DType, Scalar};
use parking_lot::Mutex;
use smallvec::smallvec;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

type Expand = dyn Fn(&Value, &[LayerRef]) -> Result<Vec<LayerRef>> + Send + Sync;
type Body = dyn Fn(&TaskContext<'_>, &[Value]) -> Result<Value> + Send + Sync;
type Edges = dyn Fn(u32, &mut Vec<Dependency>) + Send + Sync;

#[derive(Clone)]
struct Made {
    key: Key,
    name: &'static str,
    inputs: Vec<LayerRef>,
    blocks: u32,
    edges: Arc<Edges>,
    out: u64,
    load: u64,
    source: bool,
    body: Arc<Body>,
    expand: Option<Arc<Expand>>,
}

struct Run(&'static str, Arc<Body>);

impl Operator for Run {
    fn name(&self) -> &str {
        self.0
    }
    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }
    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        (self.1)(task, inputs)
    }
}

impl Layer for Made {
    fn key(&self) -> Key {
        self.key
    }
    fn name(&self) -> &str {
        self.name
    }
    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }
    fn blocks(&self) -> u32 {
        self.blocks
    }
    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        (self.edges)(block, out);
    }
    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(self.out), scratch: 0, load: self.load }
    }
    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Run(self.name, self.body.clone()))
    }
    fn is_source(&self) -> bool {
        self.source
    }
    fn barrier(&self) -> Option<&dyn Barrier> {
        self.expand.is_some().then_some(self as _)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Made { inputs, ..self.clone() }))
    }
}

impl Barrier for Made {
    fn held(&self) -> Vec<usize> {
        vec![0]
    }
    fn expand(&self, output: &Value, held: &[LayerRef]) -> Result<Vec<LayerRef>> {
        self.expand.as_ref().map_or(Ok(Vec::new()), |expand| expand(output, held))
    }
}

const N: usize = 1 << 17;

fn block(task: &TaskContext<'_>, fill: impl Fn(usize) -> f64) -> Result<Value> {
    let mut out = task.alloc(N * 8)?;
    out.as_slice_mut::<f64>().iter_mut().enumerate().for_each(|(i, x)| *x = fill(i));
    Ok(Block::new(out.freeze(), 0, DType::F64, smallvec![N])?.into())
}

fn layer(name: &'static str, inputs: Vec<LayerRef>, blocks: u32, edges: Arc<Edges>, body: Arc<Body>) -> Made {
    Made {
        key: KeyBuilder::new(name, 1).nonce().finish(),
        name,
        inputs,
        blocks,
        edges,
        out: N as u64 * 8,
        load: 0,
        source: false,
        body,
        expand: None,
    }
}

fn same() -> Arc<Edges> {
    Arc::new(|block, out| out.push(Dependency { input: 0, block }))
}

/// Blocks with `block * 1000 + position`.
fn made(blocks: u32) -> Made {
    layer("made", vec![], blocks, Arc::new(|_, _| {}), Arc::new(|task, _| block(task, |i| f64::from(task.block()) * 1000.0 + i as f64)))
}

fn read(blocks: u32, load: u64) -> Made {
    Made { source: true, load, name: "read", ..made(blocks) }
}

fn plus_one(input: LayerRef) -> Made {
    let blocks = input.blocks();
    let body = |task: &TaskContext<'_>, inputs: &[Value]| {
        let x = inputs[0].block().unwrap().as_slice::<f64>()?;
        block(task, |i| x[i] + 1.0)
    };
    layer("plus_one", vec![input], blocks, same(), Arc::new(body))
}

/// Block i is block i plus block n - 1 - i: all inputs live for long.
fn fold_over(input: LayerRef) -> Made {
    let blocks = input.blocks();
    let edges = move |block: u32, out: &mut Vec<Dependency>| {
        out.extend([Dependency { input: 0, block }, Dependency { input: 0, block: blocks - 1 - block }]);
    };
    let body = |task: &TaskContext<'_>, inputs: &[Value]| {
        let (x, y) = (inputs[0].block().unwrap().as_slice::<f64>()?, inputs[1].block().unwrap().as_slice::<f64>()?);
        block(task, |i| x[i] + y[i])
    };
    layer("fold_over", vec![input], blocks, Arc::new(edges), Arc::new(body))
}

/// Every block plus the sum over all blocks of their first elements: all blocks live until the last has been made.
fn plus_all(input: LayerRef) -> Made {
    let blocks = input.blocks();
    let first = |_: &TaskContext<'_>, inputs: &[Value]| Ok(Scalar::F64(inputs[0].block().unwrap().as_slice::<f64>()?[0]).into());
    let firsts = Made { out: 0, ..layer("first", vec![input.clone()], blocks, same(), Arc::new(first)) };
    let scalar = |value: &Value| match value {
        Value::Chunk(Chunk::Scalar(Scalar::F64(x))) => *x,
        other => panic!("{other:?}"),
    };
    let all = move |_: u32, out: &mut Vec<Dependency>| out.extend((0..blocks).map(|block| Dependency { input: 0, block }));
    let add = move |_: &TaskContext<'_>, inputs: &[Value]| Ok(Scalar::F64(inputs.iter().map(scalar).sum()).into());
    let sum = Made { out: 0, ..layer("sum", vec![Arc::new(firsts)], 1, Arc::new(all), Arc::new(add)) };
    let edges = |block: u32, out: &mut Vec<Dependency>| out.extend([Dependency { input: 0, block }, Dependency { input: 1, block: 0 }]);
    let body = move |task: &TaskContext<'_>, inputs: &[Value]| {
        let (x, y) = (inputs[0].block().unwrap().as_slice::<f64>()?, scalar(&inputs[1]));
        block(task, |i| x[i] + y)
    };
    layer("plus_all", vec![input, Arc::new(sum)], blocks, Arc::new(edges), Arc::new(body))
}

/// What [`plus_all`] of [`made`] adds up to.
fn total_plus_all(block: u32, blocks: u32) -> f64 {
    total(block) + N as f64 * (0..blocks).map(|b| f64::from(b) * 1000.0).sum::<f64>()
}

/// Sums blocks into a shared list.
#[derive(Clone)]
struct Sums(LayerRef);

impl Collection for Sums {
    type Output = Vec<f64>;
    fn collect(&self) -> Result<Collected<Vec<f64>>> {
        let result = Arc::new(Mutex::new(vec![f64::NAN; self.0.blocks() as usize]));
        let filled = result.clone();
        let body = move |task: &TaskContext<'_>, inputs: &[Value]| {
            let sum = inputs[0].block().unwrap().as_slice::<f64>()?.iter().sum();
            filled.lock()[task.block() as usize] = sum;
            Ok(Value::None)
        };
        let sink = Made { out: 0, ..layer("sums", vec![self.0.clone()], self.0.blocks(), same(), Arc::new(body)) };
        let bytes = u64::from(self.0.blocks()) * 8;
        Ok(Collected {
            layer: Arc::new(sink),
            keep: false,
            bytes,
            begin: Box::new(|| Ok(())),
            finish: Box::new(move |_| Ok(result.lock().clone())),
        })
    }
}

impl Persist for Sums {
    fn layer(&self) -> Result<LayerRef> {
        Ok(self.0.clone())
    }
    fn with_layer(&self, layer: LayerRef) -> Self {
        Sums(layer)
    }
}

fn total(block: u32) -> f64 {
    f64::from(block) * 1000.0 * N as f64 + (N as f64 * (N as f64 - 1.0)) / 2.0
}

/// An engine whose tasks share `mib` MiB, apart from what the process has. Other tests change that meanwhile, so that what was left is
/// looked at, and another engine is made where it is not that.
fn engine(mib: u64, threads: usize) -> Engine {
    engine_on(Host::default(), mib, threads)
}

/// The same, with threads and files of the test's own.
fn engine_on(host: Host, mib: u64, threads: usize) -> Engine {
    // Tests share a process: each would take the others' memory for the program's own.
    let host = Host { measure: |_| Ok(()), measure_under_way: |_, _, _| Ok(false), ..host };
    let scheduler = if threads == 0 { Scheduler::Sync } else { Scheduler::Threads };
    let mut memory = ((mib + 48) << 20) + chunkstore_store::resident_bytes();
    loop {
        let engine = Engine::builder().memory(memory).threads(threads.max(1)).scheduler(scheduler).host(host.clone()).build().unwrap();
        let (left, wanted) = (engine.memory_for_tasks(), (mib + 32) << 20);
        if left.abs_diff(wanted) < 1 << 20 {
            return engine;
        }
        memory = memory + wanted - left;
    }
}

/// What an idle engine holds, apart from the buffers reserved for spilling. Its threads give back what they had a moment after a run has
/// ended.
fn held(engine: &Engine) -> u64 {
    let core = &engine.shared.core;
    let mut used = u64::MAX;
    for _ in 0..500 {
        core.arena.trim();
        used = core.arena.ledger().used() - core.spill.reserved_bytes();
        if used < 1 << 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    used
}

#[test]
fn runs_on_any_number_of_threads() {
    for threads in 0..5 {
        let engine = engine(16, threads);
        let sums = Sums(Arc::new(plus_one(Arc::new(made(20)))));
        let expected: Vec<f64> = (0..20).map(|b| total(b) + N as f64).collect();
        assert_eq!(engine.compute(&sums).unwrap(), expected);
        let sources = Sums(Arc::new(plus_one(Arc::new(read(20, 1 << 20)))));
        assert_eq!(engine.compute(&(sources, sums)).unwrap(), (expected.clone(), expected));
    }
}

#[test]
fn spills_and_reads_back() {
    for threads in 0..4 {
        let engine = engine(12, threads);
        let added = Sums(Arc::new(plus_all(Arc::new(made(60)))));
        let expected: Vec<f64> = (0..60).map(|b| total_plus_all(b, 60)).collect();
        assert_eq!(engine.compute(&added).unwrap(), expected);
        let report = engine.last_run().unwrap();
        assert!(report.spilled_bytes > 0 && report.spilled_bytes <= 60 << 20, "{report}");
        assert!(report.peak_bytes <= engine.memory_for_tasks());
    }
}

#[test]
fn persisted_chunks_are_used_again_and_spilled() {
    for threads in [0, 2] {
        let engine = engine(12, threads);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = {
            let runs = runs.clone();
            let inner = made(30);
            let body = inner.body.clone();
            Made {
                body: Arc::new(move |task: &TaskContext<'_>, inputs: &[Value]| {
                    runs.fetch_add(1, SeqCst);
                    body(task, inputs)
                }),
                ..inner
            }
        };
        let kept = engine.persist(&Sums(Arc::new(counted))).unwrap();
        assert_eq!(runs.load(SeqCst), 30);
        let expected: Vec<f64> = (0..30).map(total).collect();
        for _ in 0..3 {
            assert_eq!(engine.compute(&kept).unwrap(), expected);
            let folded = Sums(Arc::new(fold_over(kept.0.clone())));
            assert_eq!(engine.compute(&folded).unwrap(), (0..30).map(|b| total(b) + total(29 - b)).collect::<Vec<_>>());
        }
        assert_eq!(runs.load(SeqCst), 30);
        let other = super::tests::engine(12, 1);
        assert_eq!(other.compute(&kept).unwrap_err().kind(), ErrorKind::Invalid);
        drop(other);
        drop(kept);
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
    }
}

#[test]
fn two_computes_at_once() {
    let engine = engine(16, 2);
    std::thread::scope(|scope| {
        for shift in 0..4u32 {
            let engine = engine.clone();
            scope.spawn(move || {
                for _ in 0..5 {
                    let blocks = 20 + shift;
                    let folded = Sums(Arc::new(plus_all(Arc::new(made(blocks)))));
                    let expected: Vec<f64> = (0..blocks).map(|b| total_plus_all(b, blocks)).collect();
                    assert_eq!(engine.compute(&folded).unwrap(), expected);
                }
            });
        }
    });
}

fn failing(at: u32, how: fn() -> Result<Value>) -> Sums {
    let inner = plus_one(Arc::new(made(20)));
    let body = inner.body.clone();
    let fails = move |task: &TaskContext<'_>, inputs: &[Value]| if task.block() == at { how() } else { body(task, inputs) };
    Sums(Arc::new(plus_all(Arc::new(Made { body: Arc::new(fails), ..inner }))))
}

#[test]
fn errors_and_panics_end_a_run_and_leave_nothing() {
    for threads in 0..4 {
        let engine = engine(12, threads);
        let failed = engine.compute(&failing(7, || Err(Error::new(ErrorKind::Failed, "no luck")))).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Failed);
        assert!(failed.task_name().unwrap().starts_with("plus_one"), "{failed}");
        let panicked = engine.compute(&failing(11, || panic!("oh no"))).unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::Panicked);
        assert!(panicked.to_string().contains("oh no"));
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
        assert_eq!(engine.compute(&Sums(Arc::new(made(3)))).unwrap(), (0..3).map(total).collect::<Vec<_>>());
    }
}

#[test]
fn source_errors_end_a_run() {
    let engine = engine(12, 2);
    let inner = read(20, 1 << 20);
    let body = inner.body.clone();
    let fails = move |task: &TaskContext<'_>, inputs: &[Value]| {
        if task.block() == 9 { Err(Error::new(ErrorKind::Io, "gone")) } else { body(task, inputs) }
    };
    let sums = Sums(Arc::new(plus_one(Arc::new(Made { body: Arc::new(fails), ..inner }))));
    let error = engine.compute(&sums).unwrap_err();
    assert_eq!((error.kind(), error.task_name().unwrap().starts_with("read")), (ErrorKind::Io, true));
}

#[test]
fn cancelled_from_another_thread() {
    let engine = engine(12, 2);
    let started = Arc::new(AtomicU32::new(0));
    let seen = started.clone();
    let inner = made(1000);
    let body = inner.body.clone();
    let slow = move |task: &TaskContext<'_>, inputs: &[Value]| {
        seen.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        body(task, inputs)
    };
    let sums = Sums(Arc::new(Made { body: Arc::new(slow), ..inner }));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while started.load(SeqCst) < 5 {
                std::thread::yield_now();
            }
            engine.cancel();
        });
        assert_eq!(engine.compute(&sums).unwrap_err().kind(), ErrorKind::Cancelled);
    });
    assert!(started.load(SeqCst) < 1000);
}

#[test]
fn what_does_not_fit_is_refused_before_it_starts() {
    let engine = engine(12, 2);
    let started = Arc::new(AtomicU32::new(0));
    let seen = started.clone();
    let body = move |_: &TaskContext<'_>, _: &[Value]| {
        seen.fetch_add(1, SeqCst);
        Ok(Value::None)
    };
    let huge = Made { out: 1 << 30, ..layer("huge", vec![], 3, Arc::new(|_, _| {}), Arc::new(body)) };
    let error = engine.compute(&Sums(Arc::new(huge))).unwrap_err();
    assert_eq!((error.kind(), started.load(SeqCst)), (ErrorKind::OutOfMemory, 0));
    assert!(error.to_string().contains("rechunk"), "{error}");
}

#[test]
fn tasks_that_need_more_than_they_said_run_again() {
    let engine = engine(24, 2);
    let body = |task: &TaskContext<'_>, _: &[Value]| {
        let scratch: Vec<_> = (0..8).map(|_| task.alloc(1 << 20)).collect::<Result<_>>()?;
        std::thread::sleep(Duration::from_millis(1));
        drop(scratch);
        block(task, |i| i as f64)
    };
    let hungry = layer("hungry", vec![], 12, Arc::new(|_, _| {}), Arc::new(body));
    let sums = engine.compute(&Sums(Arc::new(hungry))).unwrap();
    assert_eq!(sums, vec![total(0); 12]);
    let body = |task: &TaskContext<'_>, _: &[Value]| {
        let _too_much: Vec<_> = (0..100).map(|_| task.alloc(1 << 20)).collect::<Result<_>>()?;
        block(task, |i| i as f64)
    };
    let error = engine.compute(&Sums(Arc::new(layer("greedy", vec![], 12, Arc::new(|_, _| {}), Arc::new(body))))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
}

#[test]
fn a_compute_inside_a_task_is_refused() {
    let engine = engine(12, 2);
    let inner = engine.clone();
    let body = move |_: &TaskContext<'_>, _: &[Value]| inner.compute(&Sums(Arc::new(made(1)))).map(|_| Value::None);
    let error = engine.compute(&Sums(Arc::new(layer("nested", vec![], 2, Arc::new(|_, _| {}), Arc::new(body))))).unwrap_err();
    assert!(error.to_string().contains("inside a task"), "{error}");
}

#[test]
fn forecasts_stand_beside_facts() {
    let engine = engine(12, 2);
    let folded = Sums(Arc::new(plus_all(Arc::new(plus_one(Arc::new(read(60, 1 << 20)))))));
    let explain = engine.explain(&folded).unwrap();
    assert_eq!((explain.tasks, explain.sources, explain.read_bytes), (241, 60, 60 << 20));
    assert!(explain.exact && explain.spilled_bytes > 0 && explain.peak_bytes <= engine.memory_for_tasks());
    engine.compute(&folded).unwrap();
    let report = engine.last_run().unwrap();
    assert_eq!(report.tasks, 241);
    assert!(report.to_string().contains("forecast") && explain.to_string().contains("plus_one"));
}

/// Blocks, of which a barrier says how many are taken; the layers that sum those come to be only then.
struct First(LayerRef, u32);

impl Collection for First {
    type Output = Vec<f64>;
    fn collect(&self) -> Result<Collected<Vec<f64>>> {
        let result: Arc<Mutex<Vec<f64>>> = Arc::default();
        let (filled, count, blocks) = (result.clone(), self.1, self.0.blocks());
        let all = move |_: u32, out: &mut Vec<Dependency>| out.extend((0..blocks).map(|block| Dependency { input: 0, block }));
        let decide = move |_: &TaskContext<'_>, _: &[Value]| Ok(Scalar::U32(count).into());
        let expand = move |output: &Value, held: &[LayerRef]| -> Result<Vec<LayerRef>> {
            let Value::Chunk(Chunk::Scalar(Scalar::U32(count))) = output else { panic!("{output:?}") };
            if *count > blocks {
                return Err(Error::new(ErrorKind::Shape, "there are not so many"));
            }
            let filled = filled.clone();
            filled.lock().resize(*count as usize, 0.0);
            let body = move |task: &TaskContext<'_>, inputs: &[Value]| {
                filled.lock()[task.block() as usize] = inputs[0].block().unwrap().as_slice::<f64>()?.iter().sum();
                Ok(Value::None)
            };
            let more: LayerRef = Arc::new(plus_one(held[0].clone()));
            Ok(vec![Arc::new(Made { out: 0, ..layer("sums", vec![more], *count, same(), Arc::new(body)) })])
        };
        let firsts = Made { out: 0, ..layer("seen", vec![self.0.clone()], blocks, same(), Arc::new(|_, _| Ok(Scalar::U8(0).into()))) };
        let barrier = Made {
            out: 0,
            expand: Some(Arc::new(expand)),
            ..layer(
                "decide",
                vec![self.0.clone(), Arc::new(firsts)],
                1,
                Arc::new(move |b, out| {
                    all(b, out);
                    out.iter_mut().for_each(|dependency| dependency.input = 1);
                }),
                Arc::new(decide),
            )
        };
        let finish = Box::new(move |_: &mut crate::Kept<'_>| Ok(result.lock().clone()));
        Ok(Collected { layer: Arc::new(barrier), keep: false, bytes: 0, begin: Box::new(|| Ok(())), finish })
    }
}

#[test]
fn a_barrier_decides_what_comes_next() {
    for threads in [0, 1, 2, 3] {
        let engine = engine(12, threads);
        for count in [0, 1, 7, 40] {
            let first = First(Arc::new(made(40)), count);
            let expected: Vec<f64> = (0..count).map(|b| total(b) + N as f64).collect();
            assert_eq!(engine.compute(&first).unwrap(), expected);
        }
        assert_eq!(engine.compute(&First(Arc::new(made(4)), 5)).unwrap_err().kind(), ErrorKind::Shape);
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
        // On what is kept already, which stays.
        let kept = engine.persist(&Sums(Arc::new(made(20)))).unwrap();
        assert_eq!(engine.compute(&First(kept.0.clone(), 20)).unwrap().len(), 20);
        assert_eq!(engine.compute(&kept).unwrap(), (0..20).map(total).collect::<Vec<_>>());
    }
}

/// Defect: the first of two barriers that held the same blocks gave them up for both.
#[test]
fn barriers_share_what_they_hold_with_each_other_and_with_persist() {
    for threads in [0, 1, 3] {
        let engine = engine(12, threads);
        let shared: LayerRef = Arc::new(made(40));
        let two = (First(shared.clone(), 7), First(shared.clone(), 40), Sums(shared.clone()));
        let expected = |count: u32| (0..count).map(|b| total(b) + N as f64).collect::<Vec<_>>();
        let sums: Vec<f64> = (0..40).map(total).collect();
        assert_eq!(engine.compute(&two).unwrap(), (expected(7), expected(40), sums.clone()));
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
        // Barriers on what was persisted before, which stays.
        let kept = engine.persist(&Sums(shared)).unwrap();
        for _ in 0..2 {
            let (first, second, again) = engine.compute(&(First(kept.0.clone(), 3), First(kept.0.clone(), 40), kept.clone())).unwrap();
            assert_eq!((first, second, again), (expected(3), expected(40), sums.clone()));
        }
        drop(kept);
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
    }
}

/// Defect: a source that was persisted had no copy anywhere, and its operator was gone when it was to be read again.
#[test]
fn a_persisted_source_is_used_again() {
    for load in [0, 1000] {
        let engine = engine(64, 2);
        let kept = engine.persist(&Sums(Arc::new(read(4, load)))).unwrap();
        for _ in 0..2 {
            assert_eq!(engine.compute(&kept).unwrap(), (0..4).map(total).collect::<Vec<_>>());
        }
    }
}

/// Defect: a panic in what a barrier decides left its task unfinished, and its run without an end.
#[test]
fn a_panic_of_a_barrier_ends_its_run() {
    for threads in [0, 3] {
        let engine = engine(64, threads);
        let expand: Arc<Expand> = Arc::new(|_, _| panic!("no way on"));
        let barrier = Made { expand: Some(expand), ..plus_one(Arc::new(made(1))) };
        let error = engine.compute(&Sums(Arc::new(barrier))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        assert_eq!(engine.compute(&Sums(Arc::new(made(2)))).unwrap(), (0..2).map(total).collect::<Vec<_>>());
    }
}

/// Defect: a persisted collection that was dropped while another compute numbered the kept chunks anew gave up, by its old
/// number, a chunk of another collection.
#[test]
fn dropping_a_persisted_collection_beside_a_compute_leaves_others_alone() {
    let engine = engine(64, 2);
    let scalars = |blocks: u32| {
        let body = |task: &TaskContext<'_>, _: &[Value]| Ok(Scalar::F64(f64::from(task.block())).into());
        Sums(Arc::new(Made { out: 0, ..layer("scalars", vec![], blocks, Arc::new(|_, _| {}), Arc::new(body)) }))
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| {
            for _ in 0..200 {
                drop(engine.persist(&scalars(500)).unwrap());
            }
            done.store(true, SeqCst);
        });
        let kept = engine.persist(&Sums(Arc::new(made(3)))).unwrap();
        while !done.load(SeqCst) && !dropping.is_finished() {
            engine.explain(&kept).unwrap();
            engine.explain(&kept).unwrap();
        }
        assert_eq!(engine.compute(&kept).unwrap(), (0..3).map(total).collect::<Vec<_>>());
    });
}

/// Defect: helpers that had found nothing to do slept on while slow tasks with small outputs waited behind the caller's.
#[test]
fn slow_tasks_wake_helpers_however_small_they_are() {
    let engine = engine(64, 4);
    let threads = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let slow = |_: &TaskContext<'_>, _: &[Value]| {
        std::thread::sleep(Duration::from_millis(30));
        Ok(Scalar::F64(1.0).into())
    };
    let first = Made { out: 0, ..layer("first", vec![], 1, Arc::new(|_, _| {}), Arc::new(slow)) };
    let seen = threads.clone();
    let body = move |task: &TaskContext<'_>, inputs: &[Value]| {
        seen.lock().insert(std::thread::current().id());
        slow(task, inputs)
    };
    let edges = |_: u32, out: &mut Vec<Dependency>| out.push(Dependency { input: 0, block: 0 });
    let many = Made { out: 0, ..layer("many", vec![Arc::new(first)], 12, Arc::new(edges), Arc::new(body)) };
    drop(engine.persist(&Sums(Arc::new(many))).unwrap());
    assert!(threads.lock().len() > 1, "one thread did it all");
}

/// Defect: runs of a single task start no threads, and nobody wrote what had to leave memory for them.
#[test]
fn runs_of_one_task_spill_what_is_kept() {
    let engine = engine(64, 2);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        const LARGE: usize = 40 << 20;
        let large = |value: u8| {
            let body = move |task: &TaskContext<'_>, _: &[Value]| {
                let mut out = task.alloc(LARGE)?;
                out.fill(value);
                Ok(Block::new(out.freeze(), 0, DType::U8, smallvec![LARGE])?.into())
            };
            Sums(Arc::new(Made { out: LARGE as u64, ..layer("large", vec![], 1, Arc::new(|_, _| {}), Arc::new(body)) }))
        };
        let kept = [engine.persist(&large(1)).unwrap(), engine.persist(&large(2)).unwrap()];
        ended.send(kept.len()).unwrap();
    });
    assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(2));
}

/// Defect: a value was asked for by a number that a compute on another thread had given to another chunk meanwhile.
#[test]
fn values_of_graphs_computed_at_once_are_not_confused() {
    use crate::graph::{Graph, call};
    fn same(x: i64) -> i64 {
        x
    }
    let engine = engine(64, 1);
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..500 {
                    let mut graph = Graph::new();
                    graph.set("x", call(same, (thread * 1000 + i,)));
                    assert_eq!(engine.get::<i64>(&graph, "x").unwrap(), thread * 1000 + i);
                }
            });
        }
    });
}

/// Defect: where the system started no thread, a computation that one can do ended in an error, and the threads that there were stayed
/// without the others.
#[test]
fn threads_that_are_not_to_be_had_are_done_without() {
    fn none(_: String, _: Box<dyn FnOnce() + Send>) -> std::io::Result<std::thread::JoinHandle<()>> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    fn some(name: String, body: Box<dyn FnOnce() + Send>) -> std::io::Result<std::thread::JoinHandle<()>> {
        let asked = ASKED.fetch_add(1, SeqCst);
        if asked == 1 || asked == 4 { none(name, body) } else { (Host::default().spawn)(name, body) }
    }
    let folded = Sums(Arc::new(plus_all(Arc::new(made(30)))));
    let expected: Vec<f64> = (0..30).map(|b| total_plus_all(b, 30)).collect();
    let without = engine_on(Host { spawn: none, ..Host::default() }, 12, 4);
    assert_eq!(without.compute(&folded).unwrap(), expected);
    let report = without.last_run().unwrap();
    assert!(report.spilled_bytes > 0);
    assert!(report.notes[0].contains("1 of 4 workers and 0 of 2 threads"), "{report}");
    assert!(report.to_string().contains("note: ran on 1 of 4"), "{report}");
    let with_some = engine_on(Host { spawn: some, ..Host::default() }, 12, 4);
    // One helper; all; those for input and output as well.
    for said in [Some("2 of 4 workers and 0 of 2"), Some("4 of 4 workers and 0 of 2"), None] {
        assert_eq!(with_some.compute(&folded).unwrap(), expected);
        let notes = with_some.last_run().unwrap().notes;
        assert!(notes.len() == said.iter().len() && notes.iter().zip(said).all(|(note, said)| note.contains(said)), "{notes:?}");
    }
}

/// Blocks that need room for `count` of themselves at once.
fn at_once(count: usize) -> Sums {
    let body = move |task: &TaskContext<'_>, inputs: &[Value]| {
        assert_eq!(inputs.len(), count);
        block(task, |i| f64::from(task.block()) * 1000.0 + i as f64)
    };
    let edges = move |_: u32, out: &mut Vec<Dependency>| out.extend((0..count as u32).map(|block| Dependency { input: 0, block }));
    Sums(Arc::new(layer("at_once", vec![Arc::new(made(count as u32))], 1, Arc::new(edges), Arc::new(body))))
}

/// Defect: a write of a kept chunk that failed ended every run of the engine.
#[test]
fn what_is_kept_can_be_used_while_the_disk_is_full() {
    for threads in [0, 2] {
        let files = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
        let engine = engine_on(Host { files: Arc::new(files.clone()), ..Host::default() }, 12, threads);
        let expected: Vec<f64> = (0..8).map(total).collect();
        let kept = engine.persist(&Sums(Arc::new(made(8)))).unwrap();
        let most = engine.explain(&kept).unwrap().memory_for_tasks / (N as u64 * 8);
        let large = at_once(most as usize - 4);
        assert_eq!(engine.compute(&large).unwrap(), [total(0)]);
        assert!(engine.last_run().unwrap().spilled_bytes > 0);
        drop(kept);
        let kept = engine.persist(&Sums(Arc::new(made(8)))).unwrap();
        files.fail(Fault::DiskFull, 0, u64::MAX);
        let error = engine.compute(&large).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert_eq!(engine.compute(&kept).unwrap(), expected);
        assert_eq!(engine.compute(&Sums(Arc::new(made(30)))).unwrap().len(), 30);
        files.heal();
        assert_eq!(engine.compute(&large).unwrap(), [total(0)]);
        assert_eq!(engine.compute(&kept).unwrap(), expected);
        drop(kept);
        assert!(held(&engine) < 1 << 20, "{}", held(&engine));
    }
}

/// Defect: a load that found no memory ended its run, though a task under way was about to give some back.
#[test]
fn a_load_that_finds_no_memory_waits_for_others() {
    let given_back = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (sets, looks) = (given_back.clone(), given_back);
    let slow = move |task: &TaskContext<'_>, _: &[Value]| {
        // Longer than a load is patient by itself.
        std::thread::sleep(Duration::from_millis(600));
        sets.store(true, SeqCst);
        block(task, |i| i as f64)
    };
    let inner = read(1, N as u64 * 8);
    let body = inner.body.clone();
    let load = move |task: &TaskContext<'_>, inputs: &[Value]| match looks.load(SeqCst) {
        true => body(task, inputs),
        false => Err(Error::new(ErrorKind::OutOfMemory, "nothing is left")),
    };
    let loaded = Sums(Arc::new(plus_one(Arc::new(Made { body: Arc::new(load), ..inner }))));
    let slow = Sums(Arc::new(layer("slow", vec![], 1, Arc::new(|_, _| {}), Arc::new(slow))));
    let engine = engine(16, 2);
    assert_eq!(engine.compute((&slow, &loaded)).unwrap(), (vec![total(0)], vec![total(0) + N as f64]));
    // Where nobody gives anything back, it is an error after a while.
    let never = |_: &TaskContext<'_>, _: &[Value]| Err(Error::new(ErrorKind::OutOfMemory, "nothing is left"));
    let loaded = Sums(Arc::new(plus_one(Arc::new(Made { body: Arc::new(never), ..read(1, N as u64 * 8) }))));
    assert_eq!(engine.compute(&loaded).unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert!(held(&engine) < 1 << 20, "{}", held(&engine));
}

/// Defect: a kept chunk that could not be read ended runs that did not need it.
#[test]
fn a_kept_chunk_that_is_lost_ends_only_the_runs_that_need_it() {
    let files = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
    let engine = engine_on(Host { files: Arc::new(files.clone()), ..Host::default() }, 12, 2);
    let kept = engine.persist(&Sums(Arc::new(made(30)))).unwrap();
    // All of them go to disk: tasks that are not the first in order have nothing written to make room for themselves.
    let most = engine.explain(&kept).unwrap().memory_for_tasks / (N as u64 * 8);
    engine.compute(&at_once(most as usize - 2)).unwrap();
    let (go_on, wait) = std::sync::mpsc::channel();
    let (started, seen) = std::sync::mpsc::channel();
    let wait = Mutex::new(wait);
    let inner = made(3);
    let body = inner.body.clone();
    let slow = move |task: &TaskContext<'_>, inputs: &[Value]| {
        if task.block() == 1 {
            started.send(()).unwrap();
            wait.lock().recv_timeout(Duration::from_secs(60)).unwrap();
        }
        body(task, inputs)
    };
    let other = Sums(Arc::new(Made { body: Arc::new(slow), ..inner }));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| engine.compute(&other));
        seen.recv_timeout(Duration::from_secs(60)).unwrap();
        files.fail(Fault::FlippedRead, 0, u64::MAX);
        let error = engine.compute(&kept).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("persist the collection again") && error.task_name().is_some(), "{error}");
        files.heal();
        go_on.send(()).unwrap();
        assert_eq!(other.join().unwrap().unwrap(), (0..3).map(total).collect::<Vec<_>>());
    });
    assert_eq!(engine.compute(&kept).unwrap(), (0..30).map(total).collect::<Vec<_>>());
}

#[test]
fn a_call_may_choose_the_thread_that_asks() {
    let engine = engine(16, 3);
    let spills = |threads: Arc<Mutex<std::collections::HashSet<std::thread::ThreadId>>>| {
        let inner = plus_all(Arc::new(made(40)));
        let body = inner.body.clone();
        let noting = move |task: &TaskContext<'_>, inputs: &[Value]| {
            threads.lock().insert(std::thread::current().id());
            body(task, inputs)
        };
        Sums(Arc::new(plus_one(Arc::new(Made { body: Arc::new(noting), ..inner }))))
    };
    let expected: Vec<f64> = (0..40).map(|b| total_plus_all(b, 40) + N as f64).collect();
    let sync = engine.with_scheduler(Scheduler::Sync);
    assert_eq!((sync.scheduler(), sync.threads(), engine.threads()), (Scheduler::Sync, 1, 3));
    std::thread::scope(|scope| {
        for solo in [true, true, false, false] {
            let (engine, expected) = (if solo { sync.clone() } else { engine.clone() }, &expected);
            scope.spawn(move || {
                for _ in 0..6 {
                    let threads = Arc::default();
                    assert_eq!(&engine.compute(&spills(Arc::clone(&threads))).unwrap(), expected);
                    let (here, seen) = (std::thread::current().id(), threads.lock());
                    assert!(!solo || (seen.len() == 1 && seen.contains(&here)));
                }
            });
        }
    });
    // Barriers, errors and cancelling as on all threads; what is kept is the same.
    let kept = sync.persist(&Sums(Arc::new(made(20)))).unwrap();
    assert_eq!(engine.compute(&First(kept.0.clone(), 20)).unwrap(), sync.compute(&First(kept.0.clone(), 20)).unwrap());
    assert_eq!(sync.compute(&failing(7, || Err(Error::new(ErrorKind::Failed, "no luck")))).unwrap_err().kind(), ErrorKind::Failed);
    drop(kept);
    assert!(held(&engine) < 1 << 20, "{}", held(&engine));
}

/// Defect: forecasts of peaks left out the buffers for input and output and memory that waits to be used again.
#[test]
fn no_run_books_more_than_its_forecast() {
    for (mib, threads) in [(12, 0), (12, 1), (12, 2), (30, 2), (30, 4)] {
        let engine = engine(mib, threads);
        let y = || Arc::new(plus_one(Arc::new(read(100, 1 << 20))));
        let jobs = [
            ("spills", Sums(Arc::new(plus_all(y())))),
            ("streams", Sums(y())),
            ("reads twice", Sums(Arc::new(plus_all(Arc::new(read(100, 1 << 20)))))),
        ];
        for (name, job) in jobs {
            let explain = engine.explain(&job).unwrap();
            engine.compute(&job).unwrap();
            let run = engine.last_run().unwrap();
            assert!(explain.exact && explain.peak_bytes <= engine.memory_for_tasks());
            for forecast in [&explain, &run.forecast] {
                assert!(run.peak_bytes <= forecast.peak_bytes, "{name} on {threads} threads: {run}");
            }
        }
    }
}

mod spills;
