//! What is saved of made-up layers, barriers among them.

#![allow(clippy::unwrap_used)]

use crate::graph::{Barrier, Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Collected, Collection, Engine, Error, ErrorKind, Result};
use chunkstore_store::{Block, Chunk, DType, Scalar};
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How often each kind of task has run, and whether the last kind fails.
#[derive(Default)]
struct World {
    runs: Mutex<BTreeMap<&'static str, u32>>,
    broken: AtomicBool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Blocks of 1000 numbers, for some while each.
    Make,
    /// How many blocks there are.
    Decide,
    /// The sum of a block, which cannot be made in a broken world.
    Sum,
}

/// A layer of portable tasks.
#[derive(Clone)]
struct Known {
    kind: Kind,
    inputs: Vec<LayerRef>,
    blocks: u32,
    world: Arc<World>,
    sums: Option<Arc<Mutex<Vec<f64>>>>,
    version: u32,
}

impl Known {
    fn name(&self) -> &'static str {
        match (self.kind, &self.sums) {
            (Kind::Make, _) => "make",
            (Kind::Decide, _) => "decide",
            (Kind::Sum, None) => "sum",
            (Kind::Sum, Some(_)) => "sink",
        }
    }
}

impl Operator for Known {
    fn name(&self) -> &str {
        Known::name(self)
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn parameters(&self) -> Option<Vec<u8>> {
        self.sums.is_none().then(|| self.blocks.to_le_bytes().to_vec())
    }
    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        *self.world.runs.lock().entry(Known::name(self)).or_default() += 1;
        let number = |value: &Value| match value {
            Value::Chunk(Chunk::Scalar(Scalar::F64(x))) => *x,
            other => panic!("{other:?}"),
        };
        match (self.kind, &self.sums) {
            (Kind::Make, _) => {
                std::thread::sleep(Duration::from_millis(20));
                let mut out = task.alloc(8000)?;
                out.as_slice_mut::<f64>().fill(task.block().into());
                Ok(Block::new(out.freeze(), 0, DType::F64, smallvec![1000])?.into())
            }
            (Kind::Decide, _) => Ok(Scalar::F64(inputs.len() as f64).into()),
            (Kind::Sum, None) => {
                if self.world.broken.load(SeqCst) && task.block() == self.blocks - 1 {
                    std::thread::sleep(Duration::from_millis(200));
                    return Err(Error::new(ErrorKind::Io, "not now"));
                }
                Ok(Scalar::F64(inputs[0].block().unwrap().as_slice::<f64>()?.iter().sum()).into())
            }
            (Kind::Sum, Some(sums)) => {
                sums.lock()[task.block() as usize] = number(&inputs[0]);
                Ok(Value::None)
            }
        }
    }
}

impl Layer for Known {
    fn key(&self) -> Key {
        // No two sinks are the same.
        let key = match &self.sums {
            Some(sums) => KeyBuilder::new("sink", 1).number(Arc::as_ptr(sums) as u64),
            None => KeyBuilder::of(self),
        };
        key.inputs(self.inputs.iter().map(|input| input.key())).finish()
    }
    fn name(&self) -> &str {
        Known::name(self)
    }
    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }
    fn blocks(&self) -> u32 {
        self.blocks
    }
    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        smallvec![block]
    }
    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        match self.kind {
            Kind::Make => {}
            Kind::Decide => out.extend((0..self.inputs[0].blocks()).map(|block| Dependency { input: 0, block })),
            Kind::Sum => out.push(Dependency { input: 0, block }),
        }
    }
    fn sizes(&self, _block: u32) -> Sizes {
        let out = if self.kind == Kind::Make { Size::Exact(8000) } else { Size::AtMost(8) };
        Sizes { out, scratch: 0, load: 0 }
    }
    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        (!inputs.is_empty()).then(|| Arc::new(Known { inputs, ..self.clone() }) as LayerRef)
    }
    fn barrier(&self) -> Option<&dyn Barrier> {
        (self.kind == Kind::Decide).then_some(self as _)
    }
}

impl Barrier for Known {
    fn held(&self) -> Vec<usize> {
        vec![0]
    }
    fn expand(&self, output: &Value, held: &[LayerRef]) -> Result<Vec<LayerRef>> {
        assert!(matches!(output, Value::Chunk(Chunk::Scalar(Scalar::F64(x))) if *x == f64::from(held[0].blocks())), "{output:?}");
        let sum = Known { kind: Kind::Sum, inputs: held.to_vec(), blocks: held[0].blocks(), sums: None, ..self.clone() };
        let sums = self.sums.clone();
        Ok(vec![Arc::new(Known { inputs: vec![Arc::new(sum.clone())], sums, ..sum })])
    }
}

/// The sums of made blocks, which a barrier decides to make; the number of blocks, and the version of the functions.
struct Decided(Arc<World>, u32, u32);

impl Collection for Decided {
    type Output = Vec<f64>;
    fn collect(&self) -> Result<Collected<Vec<f64>>> {
        let sums = Arc::new(Mutex::new(vec![f64::NAN; self.1 as usize]));
        let make = Known { kind: Kind::Make, inputs: Vec::new(), blocks: self.1, world: self.0.clone(), sums: None, version: self.2 };
        let decide = Decide(Known { kind: Kind::Decide, inputs: vec![Arc::new(make.clone())], blocks: 1, ..make }, sums.clone());
        Ok(Collected {
            layer: Arc::new(decide),
            bytes: 0,
            begin: Box::new(|| Ok(())),
            keep: false,
            finish: Box::new(move |_| Ok(sums.lock().clone())),
        })
    }
}

/// A barrier that knows where the sums go, which is no part of what it computes.
#[derive(Clone)]
struct Decide(Known, Arc<Mutex<Vec<f64>>>);

impl Layer for Decide {
    fn key(&self) -> Key {
        self.0.key()
    }
    fn name(&self) -> &str {
        "decide"
    }
    fn inputs(&self) -> &[LayerRef] {
        &self.0.inputs
    }
    fn blocks(&self) -> u32 {
        1
    }
    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        self.0.dependencies(block, out);
    }
    fn sizes(&self, block: u32) -> Sizes {
        self.0.sizes(block)
    }
    fn operator(&self) -> Arc<dyn Operator> {
        self.0.operator()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Decide(Known { inputs, ..self.0.clone() }, self.1.clone())))
    }
    fn barrier(&self) -> Option<&dyn Barrier> {
        Some(self)
    }
}

impl Barrier for Decide {
    fn held(&self) -> Vec<usize> {
        self.0.held()
    }
    fn expand(&self, output: &Value, held: &[LayerRef]) -> Result<Vec<LayerRef>> {
        Known { sums: Some(self.1.clone()), ..self.0.clone() }.expand(output, held)
    }
}

fn engine(folder: &Path) -> Engine {
    Engine::builder().memory("1GiB").threads(2).checkpoint(folder).build().unwrap()
}

#[test]
fn barriers_what_they_hold_and_what_they_bring_are_found_again() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let world = Arc::new(World::default());
    world.broken.store(true, SeqCst);
    let run = || engine(folder.path()).compute(&Decided(world.clone(), 50, 1));
    let count = |name| world.runs.lock().get(name).copied().unwrap_or(0);
    assert_eq!(run().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!((count("make"), count("decide")), (50, 1));
    // Those of the first tenth of a second are made again.
    assert_eq!(run().unwrap_err().kind(), ErrorKind::Io);
    let (made, decided, summed) = (count("make"), count("decide"), count("sum"));
    assert!(made <= 50 + 14 && decided == 1, "{made} {decided}");
    assert!((50..=60).contains(&summed), "{summed}");
    world.broken.store(false, SeqCst);
    let engine = engine(folder.path());
    let expected: Vec<f64> = (0..50).map(|block| f64::from(block) * 1000.0).collect();
    assert_eq!(engine.compute(&Decided(world.clone(), 50, 1)).unwrap(), expected);
    assert_eq!((count("make"), count("decide"), count("sum")), (made, 1, summed + 1), "only what failed is done");
    assert!(engine.last_run().unwrap().notes.iter().any(|note| note == "resumed: 51 blocks found"), "{:?}", engine.last_run());
    assert!(engine.store().unwrap().names().unwrap().is_empty());
}

#[test]
fn two_computes_of_the_same_at_once() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let (engine, world) = (engine(folder.path()), Arc::new(World::default()));
    let used = engine.shared.core.arena.ledger().used();
    let expected: Vec<f64> = (0..30).map(|block| f64::from(block) * 1000.0).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(engine.compute(&Decided(world.clone(), 30, 1)).unwrap(), expected));
        }
    });
    let store = engine.store().unwrap();
    assert_eq!((store.names().unwrap(), store.gc(true).unwrap().files), (Vec::<String>::new(), Vec::new()));
    engine.shared.core.arena.trim();
    let left = engine.shared.core.arena.ledger().used();
    assert!(left < used + (4 << 20), "{left} {used}");
}

#[test]
fn another_version_of_a_function_is_other_work() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let (engine, world) = (engine(folder.path()), Arc::new(World::default()));
    let names = || engine.store().unwrap().names().unwrap();
    world.broken.store(true, SeqCst);
    let run = |version| engine.compute(&Decided(world.clone(), 40, version));
    assert_eq!(run(1).unwrap_err().kind(), ErrorKind::Io);
    let left = names();
    world.broken.store(false, SeqCst);
    run(2).unwrap();
    assert_eq!(world.runs.lock().get("make"), Some(&80), "all is made again");
    assert_eq!((engine.last_run().unwrap().notes, names()), (Vec::new(), left));
    run(1).unwrap();
    assert!(world.runs.lock().get("make").unwrap() < &100 && names().is_empty());
}

#[test]
fn a_block_that_is_damaged_is_made_again() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let world = Arc::new(World::default());
    world.broken.store(true, SeqCst);
    assert_eq!(engine(folder.path()).compute(&Decided(world.clone(), 40, 1)).unwrap_err().kind(), ErrorKind::Io);
    world.broken.store(false, SeqCst);
    // The end of the payload of a made block: its numbers are all the same.
    let damage = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let wanted = 39f64.to_le_bytes().repeat(100);
        let at = bytes.windows(wanted.len()).position(|window| window == wanted)?;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
        Some(())
    };
    let segments: Vec<_> = std::fs::read_dir(folder.path().join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    if segments.iter().find_map(|path| damage(path)).is_none() {
        // It was compressed: the largest file is damaged in its middle.
        let largest = segments.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(largest).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[end / 2] ^= 0xff;
        std::fs::write(largest, bytes).unwrap();
    }
    let engine = engine(folder.path());
    let mut failed = 0;
    let expected: Vec<f64> = (0..40).map(|block| f64::from(block) * 1000.0).collect();
    let sums = loop {
        match engine.compute(&Decided(world.clone(), 40, 1)) {
            Ok(sums) => break sums,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated), "{error}");
                assert!(error.to_string().contains("compute the same again"), "{error}");
                failed += 1;
                assert!(failed < 10);
            }
        }
    };
    assert!(failed > 0 && sums == expected, "{failed}");
    assert!(engine.store().unwrap().names().unwrap().is_empty());
}
