//! Portable operators come back from their bytes, and nothing else does.

use super::super::build::{Argument, elementwise};
use super::super::kernel::{BinaryOp, Finish, ReduceOp, TernaryOp, UnaryOp};
use super::super::lazy::Raw;
use super::super::testing::{compute, hooked};
use super::super::{Array, Chunks, Ellipsis, NewAxis, concatenate, keep, random, stack};
use super::*;
use crate::graph::{LayerRef, Lowering, Operator, TaskContext, Value};
use crate::{ErrorKind, Persist, chunks, s};
use chunkstore_store::{Arena, Block, Buffer, DType, Ledger};
use ndarray::ArrayD;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

fn registry() -> Registry {
    let mut registry = Registry::new();
    operators(&mut registry).unwrap();
    registry
}

/// The names of the variants of a type, as its encoding has them.
fn variants<T: DeserializeOwned>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().unwrap().to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Every variant of a type, with `data` for those that have some.
fn every<T: DeserializeOwned>(data: &[&str]) -> Vec<T> {
    let texts = |name: &String| {
        let with = data.iter().map(move |data| format!("{{\"{name}\":{data}}}"));
        std::iter::once(format!("\"{name}\"")).chain(with).collect::<Vec<_>>()
    };
    let made: Vec<Vec<T>> =
        variants::<T>().iter().map(|name| texts(name).iter().filter_map(|text| serde_json::from_str(text).ok()).collect()).collect();
    assert!(made.iter().all(|variant| !variant.is_empty()));
    made.into_iter().flatten().collect()
}

fn add<T: chunkstore_store::Element>(layers: &mut Vec<LayerRef>, array: &Array<T>) {
    layers.push(array.layer().unwrap());
}

/// Every elementwise operation of every type that it is defined for, on whole numbers from -5 up.
fn operations(layers: &mut Vec<LayerRef>) {
    let index = Array::<i64>::arange(-5, 7, 1, 5).reshape([3, 4]);
    for dtype in DType::ALL {
        let cast = |raw: &crate::Result<Raw>| {
            elementwise("astype", 1, &[Argument::Array(raw)], |p, slots| p.unary(UnaryOp::Cast(dtype), slots[0]))
        };
        let (a, b) = (cast(&index.raw), cast(&index.flip(..).raw));
        let (a, b) = (Argument::Array(&a), Argument::Array(&b));
        for op in every::<UnaryOp>(&["\"I16\"", "{\"seed\":7}"]) {
            layers.extend(elementwise("unary", 1, std::slice::from_ref(&a), |p, slots| p.unary(op, slots[0])).ok().map(|raw| raw.layer));
        }
        for op in every::<BinaryOp>(&[]) {
            layers.extend(
                elementwise("binary", 1, &[a.again(), b.again()], |p, slots| p.binary(op, slots[0], slots[1])).ok().map(|raw| raw.layer),
            );
        }
        for op in every::<TernaryOp>(&[]) {
            let build = |p: &mut super::super::kernel::ProgramBuilder, slots: &[super::super::kernel::Operand]| {
                let truth = p.binary(BinaryOp::Less, slots[0], slots[1])?;
                p.ternary(op, if op == TernaryOp::Where { truth } else { slots[1] }, slots[0], slots[1])
            };
            layers.extend(elementwise("ternary", 1, &[a.again(), b.again()], build).ok().map(|raw| raw.layer));
        }
    }
}

impl Argument<'_> {
    fn again(&self) -> Argument<'_> {
        match self {
            Argument::Array(raw) => Argument::Array(raw),
            Argument::Number(number) => Argument::Number(*number),
        }
    }
}

fn reductions(layers: &mut Vec<LayerRef>) {
    let x = Array::<f64>::linspace(-2.0, 3.0, 60, 7).reshape([5, 4, 3]).rechunk(2);
    let long = Array::<i32>::arange(0, 400, 1, 3).astype::<f64>().sin();
    for axes in [vec![], vec![0], vec![-1, 0], vec![0, 1, 2]] {
        add(layers, &x.sum(axes.clone()));
        add(layers, &x.astype::<f32>().prod(keep(axes.clone())));
        add(layers, &x.min(axes.clone()));
        add(layers, &x.astype::<u8>().max(axes.clone()));
        add(layers, &x.gt(0.0).any(axes.clone()));
        add(layers, &x.all(axes.clone()));
        add(layers, &x.mean(axes.clone()));
        add(layers, &x.var(axes.clone()));
        add(layers, &x.astype::<f32>().std_ddof(axes.clone(), 1.0));
        add(layers, &x.var_ddof(axes.clone(), f64::NEG_INFINITY));
        add(layers, &x.std_ddof(axes, f64::NAN));
    }
    for long in [long.sum(..), long.mean(..), long.std(0), long.ptp(..), Array::<f64>::ones([0], 1).sum(..)] {
        add(layers, &long);
    }
    add(layers, &long.astype::<i8>().count_nonzero(..));
}

fn copies(layers: &mut Vec<LayerRef>) {
    let a = Array::<i16>::arange(0, 20, 1, 6).reshape([5, 4]).rechunk(chunks![2, 3]);
    let b = Array::<i16>::full([3, 4], 9, chunks![3, 1]);
    add(layers, &concatenate(&[&a, &b, &a], 0));
    add(layers, &concatenate(&[&a.t(), &b.t()], -1));
    add(layers, &concatenate(&[&b.slice(s![..0]), &b], 0));
    add(layers, &concatenate(&[&b.slice(s![..0]), &b.slice(s![3..])], 0));
    add(layers, &stack(&[&b, &b, &(&b + 1)], 1));
    add(layers, &stack(&[&Array::<f64>::ones((), 1), &Array::<f64>::zeros((), 1)], 0));
    add(layers, &(&a * 2).rechunk(chunks![[1, 3, 1], [4]]));
    add(layers, &(&a * 2).rechunk(1));
    add(layers, &a.reshape([2, 10]));
    add(layers, &a.t().ravel());
    add(layers, &b.slice(s![..1, ..1]).reshape(()));
    add(layers, &Array::<u8>::zeros([0, 3], 1).reshape([5, 0]));
}

fn views(layers: &mut Vec<LayerRef>) {
    let x = Array::<f64>::arange(0.0, 120.0, 1.0, 9).reshape([4, 5, 6]).rechunk(chunks![3, 2, 4]).exp().sqrt();
    for seen in [x.t(), x.permute([1, 2, 0]), x.flip(1), x.slice(s![1, Ellipsis, NewAxis, ..;-2]), x.slice(s![..;3, 4..1;-2, 5])] {
        add(layers, &(&seen + 1.0));
        add(layers, &seen);
    }
    // A step beyond the end.
    add(layers, &x.slice(s![..;i64::MAX, 1..;i64::MAX, ..;i64::MIN]));
    add(layers, &x.slice(s![4..;i64::MIN, .., ..]));
    add(layers, &x.expand_dims(0).squeeze(..).slice(s![..1]).broadcast_to([2, 3, 5, 6]));
    let square = x.slice(s![.., ..4, 0]);
    add(layers, &(&square * &square.t()));
    add(layers, &(&x - x.mean(0) * x.slice(s![0, 0, ..])));
}

fn created(layers: &mut Vec<LayerRef>) {
    add(layers, &Array::full([5, 3], true, 2));
    add(layers, &Array::full([3], f32::NAN, 2));
    add(layers, &Array::<f64>::full([2, 2], -0.0, 1));
    add(layers, &Array::<u64>::arange(u64::MAX - 9, u64::MAX, 2, 3));
    add(layers, &Array::linspace(0.0, 1.0, 9, 4));
    add(layers, &Array::<i8>::eye(5, 2));
    add(layers, &random::uniform(-1.0, 4.0, [7, 6]).seed(u64::MAX).chunks(4).array());
    add(layers, &random::normal(2.0, 3.0, [7, 6]).seed(3).chunks(4).array().slice(s![1.., ..;-2]));
}

fn files(layers: &mut Vec<LayerRef>, folder: &std::path::Path) {
    let path = folder.join("x.npy");
    let x = Array::<i32>::arange(0, 70, 1, 40).reshape([7, 10]);
    compute(&x.to_npy(&path)).unwrap();
    let file = Array::<i32>::from_npy_chunks(&path, chunks![3, 4]).unwrap();
    add(layers, &file);
    add(layers, &file.slice(s![1..;5, ..;-4]));
    add(layers, &file.rechunk(chunks![-1, 2]).t().sum(0));
    add(layers, &(file.slice(s![..0]) + 1));
    let store = chunkstore_store::Store::open(folder.join("store")).unwrap();
    compute(&x.rechunk(chunks![4, 3]).save(&store, "x")).unwrap();
    let saved = Array::<i32>::open(&store, "x").unwrap();
    add(layers, &saved);
    add(layers, &saved.slice(s![1..;5, ..;-4]));
    add(layers, &(Array::<i32>::open_chunks(&store, "x", chunks![3, -1]).unwrap() + 1));
    // Of both orders of axes and of bytes.
    let small = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy");
    for path in npy_files(&small) {
        layers.extend(super::super::AnyArray::from_npy_chunks(path, 2).ok().map(|any| any.astype::<f64>().layer().unwrap()));
    }
}

fn npy_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "npy")).collect();
    found.sort();
    assert!(found.iter().any(|path| path.to_string_lossy().contains("be-3d-fortran")));
    found
}

/// Real arrays that have every operator, but files.
fn layers() -> Vec<LayerRef> {
    let mut layers = Vec::new();
    operations(&mut layers);
    reductions(&mut layers);
    copies(&mut layers);
    views(&mut layers);
    created(&mut layers);
    layers
}

fn run(operator: &dyn Operator, block: u32, inputs: &[Value], bytes: u64) -> crate::Result<Value> {
    let (arena, cancelled) = (Arena::new(Ledger::new(bytes)), AtomicBool::new(false));
    operator.run(&TaskContext::new(block, &arena, &cancelled), inputs)
}

fn block(value: &Value) -> (DType, &[usize], &[u8]) {
    let block = value.block().unwrap();
    (block.dtype(), block.shape(), block.bytes())
}

/// Runs every task of a layer, and the same with the operator that comes back from bytes; adds the operators' names.
fn compare(layer: &LayerRef, registry: &Registry, seen: &mut BTreeSet<(String, u32)>) {
    let mut lowering = Lowering::new();
    for block in 0..layer.blocks() {
        lowering.want(layer, block).unwrap();
    }
    let table = lowering.finish();
    let mut back: Vec<Option<Arc<dyn Operator>>> = Vec::new();
    for operator in &table.operators {
        let parameters = operator.parameters();
        assert!(parameters.is_some() || ["array.from_ndarray", "map_blocks"].contains(&operator.name()), "{}", operator.name());
        back.push(parameters.map(|parameters| {
            let back = registry.decode(operator.name(), operator.version(), &parameters).unwrap();
            assert_eq!((back.name(), back.version()), (operator.name(), operator.version()));
            assert_eq!(back.parameters().unwrap(), parameters);
            seen.insert((back.name().to_owned(), back.version()));
            back
        }));
    }
    let mut values: Vec<Value> = Vec::new();
    for task in 0..table.len() {
        let inputs: Vec<Value> = table.inputs_of(task as u32).iter().map(|input| values[*input as usize].clone()).collect();
        let (operator, number) = (table.layer[task] as usize, table.block[task]);
        let value = run(&*table.operators[operator], number, &inputs, 64 << 20).unwrap();
        if let Some(back) = &back[operator] {
            let again = run(&**back, number, &inputs, 64 << 20).unwrap();
            assert_eq!(block(&again), block(&value), "{}", table.name_of(task as u32));
        }
        values.push(value);
    }
}

#[test]
fn operators_from_bytes_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, mut seen) = (registry(), BTreeSet::new());
    let mut layers = layers();
    files(&mut layers, folder.path());
    let user = Array::from_ndarray(ArrayD::<f64>::ones(vec![4, 4]), 3);
    add(&mut layers, &(user.map_blocks(|block| block.to_owned()).t() * user).mean(0));
    for layer in &layers {
        compare(layer, &registry, &mut seen);
        compare(&hooked(layer), &registry, &mut seen);
        compare(&crate::optimize::optimize(vec![layer.clone()])[0], &registry, &mut seen);
    }
    let known: BTreeSet<_> = registry.manifest().map(|(name, version)| (name.to_owned(), version)).collect();
    assert_eq!(seen, known);
}

#[test]
fn the_manifest() {
    // Other processes and saved keys know the operators by these. What is added is a line more, what means something else
    // now has a higher version.
    let expected = [
        ("array.assemble", 1),
        ("array.combine", 1),
        ("array.elementwise", 1),
        ("array.read_npy", 1),
        ("array.read_saved", 1),
        ("array.reduce", 1),
    ];
    assert_eq!(registry().manifest().collect::<Vec<_>>(), expected);
    assert_eq!(operators(&mut registry()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn what_parameters_are_made_of() {
    // A name that changes makes other bytes, and other keys: then the versions of the operators change too.
    let all = [
        variants::<UnaryOp>(),
        variants::<BinaryOp>(),
        variants::<TernaryOp>(),
        variants::<ReduceOp>(),
        variants::<Finish>(),
        variants::<DType>(),
    ];
    let expected = [
        "Negative Absolute Positive Square Sqrt Cbrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1p Sin Cos Tan Arcsin Arccos Arctan Sinh \
         Cosh Tanh Arcsinh Arccosh Arctanh Floor Ceil Trunc Rint Sign IsNan IsInf IsFinite SignBit LogicalNot Invert Deg2Rad Rad2Deg Cast \
         Uniform Normal",
        "Add Subtract Multiply Divide FloorDivide Remainder Power Minimum Maximum FMin FMax Arctan2 Hypot CopySign Greater GreaterEqual \
         Less LessEqual Equal NotEqual LogicalAnd LogicalOr LogicalXor BitAnd BitOr BitXor LeftShift RightShift",
        "Where Clip",
        "Sum Prod Min Max Any All Moments",
        "Same Cast Mean Var Std",
        "Bool I8 I16 I32 I64 U8 U16 U32 U64 F32 F64",
    ];
    assert_eq!(all.map(|names| names.join(" ")), expected);
    let x = Array::<i64>::arange(0, 10, 1, 4);
    let parameters = |layer: &LayerRef| String::from_utf8(layer.operator().parameters().unwrap()).unwrap();
    let std = x.std_ddof(0, 1.0).layer().unwrap();
    let found = [&x.slice(s![1..;2]).layer().unwrap(), &std.inputs()[0], &std, &x.reshape([2, 5]).layer().unwrap()].map(parameters);
    assert_eq!(found, EXPECTED);
}

const EXPECTED: [&str; 4] = [
    r#"[[[[2,2],[1,1]]],{"inputs":["I64"],"nodes":[{"Input":0}],"output":0},[{"Blocks":{"input":0,"view":{"axes":[{"out":0,"start":1,"step":2}]}}}],[[[[4,2],[2,1]]]]]"#,
    r#"[[[[[4,2],[2,1]]],{"inputs":["I64"],"nodes":[{"Input":0}],"output":0},[{"Blocks":{"input":0,"view":{"axes":[{"out":0,"start":0,"step":1}]}}}],[[[[4,2],[2,1]]]]],{"Moments":{"spread":true}},[true]]"#,
    r#"{"op":{"Moments":{"spread":true}},"dtype":"F64","last":[{"Std":{"ddof":4607182418800017408}},"F64"],"grid":[],"groups":1}"#,
    r#"{"grid":[[[3,1],[2,1],[3,1],[2,1]]],"dtype":"I64","axis":0,"parts":[[[[[4,2],[2,1]]],0]],"shapes":[[[1,2]],[[3,1],[2,1]]]}"#,
];

#[test]
fn keys_differ_where_parameters_do() {
    let mut keys = BTreeMap::new();
    for layer in layers() {
        let inputs: Vec<_> = layer.inputs().iter().map(|input| input.key()).collect();
        let operator = layer.operator();
        let work = (operator.name().to_owned(), operator.parameters(), inputs);
        let known = keys.entry(layer.key()).or_insert_with(|| work.clone());
        assert_eq!(*known, work);
    }
    let again: BTreeSet<_> = layers().iter().map(|layer| layer.key()).collect();
    assert!(again.iter().eq(keys.keys()));
}

#[test]
fn a_file_has_the_key_of_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let write = |n: i32| compute(&Array::<i32>::full([9], n, 9).to_npy(&path)).unwrap();
    let open = || Array::<i32>::from_npy_chunks(&path, 4).unwrap();
    write(1);
    let (first, operator) = (open().key().unwrap(), open().layer().unwrap().operator());
    assert_eq!(first, open().key().unwrap());
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_ne!(first, open().key().unwrap());
    let changed = registry().decode(operator.name(), operator.version(), &operator.parameters().unwrap()).err().unwrap();
    assert_eq!((changed.kind(), changed.path()), (ErrorKind::Corrupt, Some(path.canonicalize().unwrap().as_path())));
    // A part that is not in the file.
    let text = String::from_utf8(open().layer().unwrap().operator().parameters().unwrap()).unwrap();
    let beyond = text.replace("[[0,1]]", "[[1,1]]");
    assert_ne!(text, beyond);
    assert_eq!(registry().decode(READ_NPY.0, READ_NPY.1, beyond.as_bytes()).err().unwrap().kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(registry().decode(READ_NPY.0, READ_NPY.1, text.as_bytes()).err().unwrap().kind(), ErrorKind::Io);
}

/// Parameters of real operators, each kind once for each length.
fn corpus() -> &'static Vec<(String, u32, Vec<u8>)> {
    static CORPUS: OnceLock<Vec<(String, u32, Vec<u8>)>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut layers = layers();
        files(&mut layers, folder.path());
        let fused: Vec<LayerRef> = layers.iter().map(hooked).collect();
        layers.extend(fused);
        let mut kinds = BTreeMap::new();
        while let Some(layer) = layers.pop() {
            layers.extend(layer.inputs().iter().cloned());
            let operator = layer.operator();
            let Some(parameters) = operator.parameters() else { continue };
            kinds.entry((operator.name().to_owned(), operator.version(), parameters.len())).or_insert(parameters);
        }
        kinds.into_iter().map(|((name, version, _), parameters)| (name, version, parameters)).collect()
    })
}

/// Values that an operator might be given, of any shape.
fn blocks(count: usize, dtype: DType, shape: &[usize]) -> Vec<Value> {
    let elements: usize = shape.iter().product();
    let zeros = Buffer::from_vec(Arc::new(vec![0u64; elements]));
    (0..count).map(|_| Block::new(zeros.clone(), 0, dtype, shape.into()).unwrap().into()).collect()
}

/// The text with some of its numbers replaced.
fn with_numbers(text: &[u8], changes: &[(usize, i128)]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    let mut pieces: Vec<String> = Vec::new();
    for letter in text.chars() {
        match pieces.last_mut() {
            Some(last) if letter.is_ascii_digit() == last.ends_with(|c: char| c.is_ascii_digit()) => last.push(letter),
            _ => pieces.push(letter.to_string()),
        }
    }
    let numbers: Vec<usize> = (0..pieces.len()).filter(|k| pieces[*k].starts_with(|c: char| c.is_ascii_digit())).collect();
    for (at, number) in changes.iter().filter(|_| !numbers.is_empty()) {
        pieces[numbers[at % numbers.len()]] = number.to_string();
    }
    pieces.concat().into_bytes()
}

fn number() -> impl Strategy<Value = i128> {
    prop_oneof![
        6 => 0..12i128,
        1 => -3..0i128,
        1 => prop::sample::select(vec![i64::MAX as i128, i64::MIN as i128, u64::MAX as i128, u32::MAX as i128, 1 << 24, 1 << 60, 1 << 40]),
    ]
}

/// Decodes, and runs what comes of it with whatever inputs: a typed error at most.
fn survive(name: &str, version: u32, parameters: &[u8], number: u32, inputs: &[Value]) {
    match registry().decode(name, version, parameters) {
        Ok(operator) => {
            assert_eq!(operator.parameters().as_deref(), Some(parameters));
            // Blocks that are made from nothing may be reduced whatever their size: that only takes long.
            let grid = serde_json::from_slice::<serde_json::Value>(parameters).unwrap().pointer("/0/0").cloned();
            let grid = grid.and_then(|grid| serde_json::from_value::<Chunks>(grid).ok());
            if name != REDUCE.0 || grid.unwrap().block_len(number) < 1 << 20 {
                let _ = run(&*operator, number, inputs, 1 << 20);
            }
        }
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Corrupt | ErrorKind::Io | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Truncated
                ),
                "{error}"
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10000))]

    #[test]
    fn garbage_is_an_error(kind in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let registry = registry();
        let (name, version) = registry.manifest().nth(kind).unwrap();
        prop_assert_eq!(registry.decode(name, version, &bytes).err().map(|error| error.kind()), Some(ErrorKind::Corrupt));
    }

    #[test]
    fn damaged_parameters_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<u16>(), number()), 0..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        flip in prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
        block in prop_oneof![0..4u32, any::<u32>()],
        (count, dtype, shape) in (0..4usize, 0..11u8, prop::collection::vec(0..6usize, 0..4)),
    ) {
        let corpus = corpus();
        let (name, version, parameters) = &corpus[which.index(corpus.len())];
        let changes: Vec<_> = changes.into_iter().map(|(at, number)| (at as usize, number)).collect();
        let mut bytes = with_numbers(parameters, &changes);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some((at, byte)) = flip && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survive(name, *version, &bytes, block, &blocks(count, DType::from_code(dtype).unwrap(), &shape));
    }
}

#[test]
fn numbers_in_programs_are_of_their_type() {
    let full = |value: bool| {
        let layer = Array::full([2], value, 2).layer().unwrap();
        String::from_utf8(layer.operator().parameters().unwrap()).unwrap()
    };
    let bad = full(true).replace("[\"Bool\",1]", "[\"Bool\",2]");
    assert_ne!(bad, full(true));
    assert_eq!(registry().decode(ELEMENTWISE.0, ELEMENTWISE.1, bad.as_bytes()).err().unwrap().kind(), ErrorKind::Corrupt);
}
