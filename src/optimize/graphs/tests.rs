//! The pictures of Dask's documentation, and random graphs.

use super::super::optimize_graph;
use super::*;
use crate::Engine;
use crate::graph::{AnyArg, Argument, Graph, GraphKey, Value, call, call_untyped, key, list, op};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(super) fn inc(x: i64) -> i64 {
    x.wrapping_add(1)
}

pub(super) fn add(x: i64, y: i64) -> i64 {
    x.wrapping_mul(3).wrapping_add(y)
}

pub(super) fn total(xs: Vec<i64>) -> i64 {
    xs.iter().fold(7, |sum, x| sum.wrapping_mul(5).wrapping_add(*x))
}

/// The value of a key.
pub(super) fn get<T: Argument>(graph: &Graph, wanted: impl Into<GraphKey>) -> crate::Result<T> {
    let lowered = graph.lower(&[wanted.into()])?;
    crate::graph::run(&lowered.table)?[lowered.wanted[0] as usize].get()
}

fn split(words: String) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn len(words: Vec<String>) -> usize {
    words.len()
}

fn count(words: String, word: String) -> usize {
    words.matches(&word).count()
}

fn format_str(count: usize, word: String, words: usize) -> String {
    format!("word list has {count} occurrences of {word}, out of {words} words")
}

fn print_and_return(text: String) -> String {
    text
}

/// The graph of "Optimization" in Dask's documentation: occurrences of words in a text.
fn words() -> Graph {
    let mut g = Graph::new();
    g.set("words", "apple orange apple pear orange pear pear");
    g.set("nwords", call(len, (call(split, (key("words"),)),)));
    for (i, word) in ["orange", "apple", "pear"].into_iter().enumerate() {
        let i = i + 1;
        let [val, count_key, format, print] = ["val", "count", "format", "print"].map(|name| format!("{name}{i}"));
        g.set(&val, word);
        g.set(&count_key, call(count, (key("words"), key(&val))));
        g.set(&format, call(format_str, (key(&count_key), key(&val), key("nwords"))));
        g.set(&print, call(print_and_return, (key(&format),)));
    }
    g
}

fn names(graph: &Graph) -> Vec<String> {
    let mut names: Vec<_> = graph.keys().map(GraphKey::to_string).collect();
    names.sort();
    names
}

#[test]
fn the_pictures_of_the_documentation() {
    let (g, outputs) = (words(), ["print1", "print2"]);
    // Removing unnecessary tasks: what only print3 needs goes.
    let culled = cull(&g, &outputs);
    let after_cull = "count1 count2 format1 format2 nwords print1 print2 val1 val2 words";
    assert_eq!(names(&culled).join(" "), after_cull);
    // Inlining constants: each user has the text itself, and no key is left for it.
    let none: [&str; 0] = [];
    let constants = cull(&inline(&culled, &none, true), &outputs);
    assert_eq!(names(&constants).join(" "), "count1 count2 format1 format2 nwords print1 print2");
    assert!(constants.to_string().contains("'count1': (count, \"apple orange apple pear orange pear pear\", \"orange\")"), "{constants}");
    // Inlining cheap functions: the words are counted twice rather than told to others.
    let functions = inline_functions(&constants, &outputs, &[op(len), op(split)]);
    assert_eq!(names(&functions).join(" "), "count1 count2 format1 format2 print1 print2");
    assert!(functions.to_string().contains("'format1': (format_str, 'count1', \"orange\", (len, (split, "), "{functions}");
    // Fusing what is left: one task for each output.
    let fused = fuse(&functions, &outputs, FuseOptions::default());
    assert_eq!(names(&fused).join(" "), "print1 print2");
    let renamed = fuse(&functions, &outputs, FuseOptions { rename_keys: true, ..FuseOptions::default() });
    assert_eq!(names(&renamed).join(" "), "count1-format1-print1 count2-format2-print2 print1 print2");
    for graph in [&culled, &constants, &functions, &fused, &renamed, &optimize_graph(&g, &outputs)] {
        assert_eq!(get::<String>(graph, "print1").unwrap(), "word list has 2 occurrences of orange, out of 7 words");
        assert_eq!(get::<String>(graph, "print2").unwrap(), "word list has 2 occurrences of apple, out of 7 words");
    }
}

/// A chain of blocks of numbers, as a layer of an array gives.
fn block(n: i64) -> ndarray::Array1<f64> {
    ndarray::Array1::from_elem(n as usize, 1.0)
}

#[test]
fn chains_and_trees_as_in_dask() {
    let wide = |ave_width: f64| FuseOptions { ave_width, ..FuseOptions::default() };
    let keys = |graph: &Graph| names(graph).join(" ");
    // w -> x -> y -> z, and v beside x.
    let mut g = Graph::new();
    g.set("w", call(inc, (key("x"),)));
    g.set("x", call(inc, (key("y"),)));
    g.set("y", call(inc, (key("z"),)));
    g.set("z", call(add, (key("a"), key("b"))));
    g.set("a", 1);
    g.set("b", 2);
    assert_eq!(keys(&fuse(&g, &["w"], wide(1.0))), "a b w");
    g.set("v", call(inc, (key("y"),)));
    assert_eq!(keys(&fuse(&g, &["w"], wide(1.0))), "a b v w y");
    // Reductions: b1 b2 -> c1, b3 b4 -> c2, c1 c2 -> d.
    let mut g = Graph::new();
    g.set("a", call(|| 1i64, ()));
    (1..=4).for_each(|i| g.set(format!("b{i}"), call(inc, (key("a"),))));
    g.set("c1", call(add, (key("b1"), key("b2"))));
    g.set("c2", call(add, (key("b3"), key("b4"))));
    g.set("d", call(add, (key("c1"), key("c2"))));
    assert_eq!(keys(&fuse(&g, &["d"], wide(1.9))), "a b1 b2 b3 b4 c1 c2 d");
    assert_eq!(keys(&fuse(&g, &["d"], wide(2.0))), "a c1 c2 d");
    assert_eq!(keys(&fuse(&g, &["d"], wide(2.9))), "a c1 c2 d");
    assert_eq!(keys(&fuse(&g, &["d"], wide(3.0))), "a d");
    assert_eq!(keys(&fuse(&g, &["d"], FuseOptions { max_height: 1, ..wide(4.0) })), "a c1 c2 d");
    assert_eq!(keys(&fuse(&g, &["d"], FuseOptions { max_width: Some(2.0), ..wide(4.0) })), "a c1 c2 d");
    assert_eq!(keys(&fuse(&g, &["c2"], wide(3.0))), "a c2 d");
    // New edges: each level needs one more.
    let mut g = Graph::new();
    (0..4).for_each(|i| g.set(("e", i), call(|| 1i64, ())));
    (0..4).for_each(|i| g.set(("other", i), call(inc, (key(("e", i)),))));
    g.set("a", call(inc, (key(("e", 0)),)));
    g.set("b", call(add, (key("a"), key(("e", 1)))));
    g.set("c", call(add, (key("b"), key(("e", 2)))));
    g.set("d", call(add, (key("c"), key(("e", 3)))));
    let left = |options| fuse(&g, &["d"], options).len() - 8;
    assert_eq!(
        (left(wide(1.0)), left(wide(1.5)), left(wide(2.0)), left(FuseOptions { max_depth_new_edges: Some(9.0), ..wide(2.0) })),
        (4, 4, 2, 1)
    );
    assert_eq!(left(FuseOptions { max_depth_new_edges: Some(2.0), ..wide(2.0) }), 3);
}

#[test]
fn what_is_fused_stays_within_the_bound() {
    let mut g = Graph::new();
    g.set("a", call(block, (10,)));
    g.set("b", call(|x: ndarray::Array1<f64>| x * 2.0, (key("a"),)));
    g.set("c", call(|x: ndarray::Array1<f64>| x * 2.0, (key("b"),)));
    let need = |graph: &Graph| {
        let table = graph.lower(&[key("c")]).unwrap().table;
        (0..table.len() as u32).map(|t| need(&table, t)).max().unwrap()
    };
    let alone = need(&g);
    let fused = need(&fuse(&g, &["c"], FuseOptions::default()));
    for bound in [alone.min(fused) - 1, fused] {
        let graph = fuse(&g, &["c"], FuseOptions { max_need: bound, ..FuseOptions::default() });
        assert!(need(&graph) <= bound.max(alone), "{bound}: {graph}");
        assert_eq!(graph.len() == 1, bound == fused);
    }
}

/// What a task needs in bytes.
fn need(table: &crate::graph::TaskTable, task: u32) -> u64 {
    let inputs: u64 = table.inputs_of(task).iter().map(|input| table.out[*input as usize]).sum();
    inputs + table.out[task as usize] + table.scratch_of(task)
}

#[test]
fn blocks_of_layers_fuse_too() {
    use crate::array::Array;
    let x = Array::<f64>::linspace(0.0, 1.0, 100, 10);
    let g = (x.exp() + 1.0).sum(0).graph().unwrap();
    let wanted: Vec<GraphKey> = g.keys().last().cloned().into_iter().collect();
    let h = optimize_graph(&g, &wanted);
    assert!(h.len() < g.len(), "{} {}", h.len(), g.len());
    let value = |graph: &Graph| get::<ndarray::ArrayD<f64>>(graph, wanted[0].clone()).unwrap();
    assert_eq!(value(&g), value(&h));
    let merged = common_subexpressions(&g, &wanted);
    assert_eq!(value(&g), value(&merged));
}

#[test]
fn what_cannot_be_told_apart_is_not_merged() {
    let n = 3i64;
    let with_capture = move |x: i64| x + n;
    let mut g = Graph::new();
    g.set("a", call(with_capture, (1,)));
    g.set("b", call(with_capture, (1,)));
    g.set("c", call_untyped("c", |_: &[Value]| Value::of(1i64), (1,)));
    g.set("d", call_untyped("c", |_: &[Value]| Value::of(1i64), (1,)));
    g.set("one", call(inc, (1i64,)));
    g.set("also", call(inc, (1i64,)));
    g.set("other", call(inc, (2i64,)));
    g.set("text", call(|a: String, b: Vec<i64>| a.len() + b.len(), ("text", vec![1i64, 2])));
    let tuple = list(["a", "b", "c", "d", "one", "also", "other", "text"].map(|name| AnyArg::new(key(name))));
    g.set("out", tuple);
    let h = common_subexpressions(&g, &["out"]);
    assert_eq!(names(&h).join(" "), "a b c d one other out text");
    // Only registered functions are merged unasked.
    let mut registry = crate::graph::Registry::new();
    let portable = registry.function("tests.inc", 1, inc).unwrap();
    g.set("p", call(portable, (1i64,)));
    g.set("q", call(portable, (1i64,)));
    g.set("out", list(["one", "also", "p", "q"].map(key)));
    assert_eq!(optimize_graph(&g, &["out"]).to_string().matches("tests.inc").count(), 1);
    assert_eq!(names(&optimize_graph(&g, &["out"])).join(" "), "also one out p");
}

/// A random graph: what each key maps to, in keys that come before it.
#[derive(Clone, Debug)]
enum Model {
    Key(usize),
    Literal(i64),
    Text(String),
    Inc(Box<Model>),
    Add(Box<Model>, Box<Model>),
    Total(Vec<Model>),
    Captured(i64, Box<Model>),
    Len(Vec<Model>),
}

/// The key of a place.
fn name(place: usize) -> GraphKey {
    key((["k", "m", "n"][place % 3], place))
}

impl Model {
    fn arg(&self, place: usize, calls: &Arc<AtomicUsize>) -> AnyArg {
        let arg = |model: &Model| model.arg(place, calls);
        match self {
            Model::Key(i) if place > 0 => AnyArg::new(name(*i % place)),
            Model::Key(i) => AnyArg::new(*i as i64),
            Model::Literal(n) => AnyArg::new(*n),
            Model::Text(text) => AnyArg::new(call(count, (text.clone(), "a"))),
            Model::Inc(a) => AnyArg::new(call(inc, (arg(a),))),
            Model::Add(a, b) => AnyArg::new(call(add, (arg(a), arg(b)))),
            Model::Total(items) => AnyArg::new(call(total, (list(items.iter().map(arg).collect::<Vec<_>>()),))),
            Model::Captured(n, a) => {
                let (n, calls) = (*n, calls.clone());
                let function = move |x: i64| {
                    calls.fetch_add(1, Relaxed);
                    x.wrapping_mul(n)
                };
                AnyArg::new(call(function, (arg(a),)))
            }
            Model::Len(items) => {
                let count =
                    |args: &[Value]| Value::of(args.len() as i64 + args.iter().filter(|arg| matches!(arg, Value::List(_))).count() as i64);
                AnyArg::new(call_untyped("count", count, (list(items.iter().map(arg).collect::<Vec<_>>()), arg(&Model::Key(0)))))
            }
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        4 => (0usize..100).prop_map(Model::Key),
        1 => (0i64..4).prop_map(Model::Literal),
        1 => "[ab]{0,3}".prop_map(Model::Text),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Model::Inc(a.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Model::Add(a.into(), b.into())),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Model::Total),
            (0i64..3, inner.clone()).prop_map(|(n, a)| Model::Captured(n, a.into())),
            prop::collection::vec(inner, 0..3).prop_map(Model::Len),
        ]
    })
}

/// A graph, the wanted keys, and what counts the calls of closures.
fn graph(models: &[Model], wanted: &[usize], backwards: bool) -> (Graph, Vec<GraphKey>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let mut g = Graph::new();
    let mut order: Vec<_> = (0..models.len()).collect();
    if backwards {
        order.reverse();
    }
    order.into_iter().for_each(|i| g.set(name(i), models[i].arg(i, &calls)));
    (g, wanted.iter().map(|i| name(i % models.len())).collect(), calls)
}

/// The values of all wanted keys, and how many calls of closures that took.
fn values(graph: &Graph, wanted: &[GraphKey], calls: &AtomicUsize) -> (Vec<i64>, usize) {
    calls.store(0, Relaxed);
    let lowered = graph.lower(wanted).unwrap();
    let values = crate::graph::run(&lowered.table).unwrap();
    (lowered.wanted.iter().map(|task| values[*task as usize].get().unwrap()).collect(), calls.load(Relaxed))
}

/// One pass, drawn by a number. Whether calls may become more.
fn pass(graph: &Graph, wanted: &[GraphKey], which: u8, some: &[usize], bound: u64) -> (Graph, bool) {
    let keys: Vec<GraphKey> = some.iter().map(|i| name(*i % 12)).collect();
    let trees = FuseOptions {
        ave_width: 1.0 + f64::from(which % 5),
        max_need: bound,
        rename_keys: which.is_multiple_of(2),
        ..FuseOptions::default()
    };
    match which % 8 {
        0 => (cull(graph, wanted), false),
        1 => (inline(graph, &keys, false), true),
        2 => (inline(graph, &keys, true), true),
        3 => (inline_functions(graph, wanted, &[op(inc), op(add)]), false),
        4 => (inline_functions(graph, wanted, &[op(total), op(count), op(inc)]), false),
        5 => (common_subexpressions(graph, wanted), false),
        6 => (optimize_graph(graph, wanted), false),
        _ => (fuse(graph, wanted, trees), false),
    }
}

proptest! {

    #[test]
    fn no_combination_of_passes_changes_values(
        models in prop::collection::vec(model(), 1..14),
        wanted in prop::collection::vec(0usize..100, 1..4),
        backwards in any::<bool>(),
        passes in prop::collection::vec((any::<u8>(), prop::collection::vec(0usize..100, 0..6)), 1..5),
    ) {
        let (mut g, wanted, calls) = graph(&models, &wanted, backwards);
        let (before, mut most) = values(&g, &wanted, &calls);
        for (which, some) in passes {
            let (after, more) = pass(&g, &wanted, which, &some, 400);
            for wanted in &wanted {
                prop_assert!(after.contains(wanted));
            }
            let (values, called) = values(&after, &wanted, &calls);
            prop_assert_eq!(&values, &before, "pass {} of\n{}\ngave\n{}", which % 8, g, after);
            prop_assert!(more || called <= most, "pass {} of\n{}\ngave\n{}", which % 8, g, after);
            most = called;
            g = after;
        }
        // What is left can be extended, shown and run.
        g.set("more", call(inc, (wanted[0].clone(),)));
        prop_assert_eq!(get::<i64>(&g, "more").unwrap(), inc(before[0]));
        prop_assert_eq!(g.to_string().lines().count(), g.len());
    }

    #[test]
    fn culling_and_merging_twice_is_culling_and_merging_once(
        models in prop::collection::vec(model(), 1..14),
        wanted in prop::collection::vec(0usize..100, 1..4),
    ) {
        let (g, wanted, calls) = graph(&models, &wanted, false);
        let once = cull(&g, &wanted);
        prop_assert_eq!(cull(&once, &wanted).to_string(), once.to_string());
        prop_assert!(once.lower(&wanted).unwrap().table.len() <= once.len());
        let merged = common_subexpressions(&g, &wanted);
        prop_assert_eq!(common_subexpressions(&merged, &wanted).to_string(), merged.to_string());
        let none: [&str; 0] = [];
        let constants = inline(&g, &none, true);
        prop_assert_eq!(inline(&constants, &none, true).to_string(), constants.to_string());
        prop_assert!(values(&merged, &wanted, &calls).1 <= values(&g, &wanted, &calls).1);
    }

    #[test]
    fn fused_tasks_need_no_more_than_the_bound(
        models in prop::collection::vec(model(), 1..14),
        wanted in prop::collection::vec(0usize..100, 1..4),
        bound in 0u64..1500,
        ave_width in 0.0f64..5.0,
    ) {
        let (g, wanted, _) = graph(&models, &wanted, false);
        let h = fuse(&g, &wanted, FuseOptions { ave_width, max_need: bound, ..FuseOptions::default() });
        let (before, after) = (g.lower(&wanted).unwrap().table, h.lower(&wanted).unwrap().table);
        let old: std::collections::BTreeMap<String, u64> = (0..before.len() as u32).map(|t| (before.name_of(t), need(&before, t))).collect();
        for task in 0..after.len() as u32 {
            let name = after.name_of(task);
            prop_assert!(need(&after, task) <= bound.max(old.get(&name).copied().unwrap_or(0)), "{} needs {} of {bound}:\n{g}\n{h}", name, need(&after, task));
        }
    }
}

/// `cargo test --release -p chunkstore --lib costs_of_the_pipeline -- --ignored --nocapture`
#[test]
#[ignore = "prints nanoseconds a task"]
fn costs_of_the_pipeline() {
    let n = 1_000_000i64;
    let mut chain = Graph::new();
    chain.set(("c", 0), call(inc, (0,)));
    (1..n).for_each(|i| chain.set(("c", i), call(inc, (key(("c", i - 1)),))));
    let (mut tree, mut width, mut level) = (Graph::new(), n, 0);
    (0..n).for_each(|i| tree.set(("t", 0, i), call(inc, (i,))));
    while width > 1 {
        let next = (width + 15) / 16;
        for i in 0..next {
            let below = (16 * i..(16 * i + 16).min(width)).map(|j| key(("t", level, j)));
            tree.set(("t", level + 1, i), call(total, (list(below),)));
        }
        (level, width) = (level + 1, next);
    }
    for (name, graph, wanted) in [("chain", chain, key(("c", n - 1))), ("tree", tree, key(("t", level, 0)))] {
        let time = |what: &str, run: &dyn Fn() -> usize| {
            let mut best = u128::MAX;
            let mut tasks = 0;
            for _ in 0..3 {
                let start = std::time::Instant::now();
                tasks = run();
                best = best.min(start.elapsed().as_nanos());
            }
            println!("{name:6} {what:20} {} ns a task, {tasks} left", best / graph.len() as u128);
        };
        let wanted = [wanted];
        time("cull", &|| cull(&graph, &wanted).len());
        time("inline constants", &|| inline(&graph, &wanted, true).len());
        time("fuse", &|| fuse(&graph, &wanted, FuseOptions::default()).len());
        time("common", &|| common_subexpressions(&graph, &wanted).len());
        time("optimize_graph", &|| optimize_graph(&graph, &wanted).len());
        time("order", &|| crate::plan::order(&graph, &wanted).unwrap().infos().len());
        let optimised = optimize_graph(&graph, &wanted);
        for (what, graph) in [("lower, run", &graph), ("optimised lower, run", &optimised)] {
            time(what, &|| {
                let table = graph.lower(&wanted).unwrap().table;
                crate::graph::run(&table).unwrap();
                table.len()
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_gives_the_same(
        models in prop::collection::vec(model(), 1..14),
        wanted in prop::collection::vec(0usize..100, 1..4),
        threads in 1usize..5,
        some in prop::collection::vec(0usize..100, 0..6),
    ) {
        let (g, wanted, calls) = graph(&models, &wanted, false);
        let (before, _) = values(&g, &wanted, &calls);
        let engine = Engine::builder().memory("1GiB").threads(threads).build().unwrap();
        for which in 0..8 {
            let (h, _) = pass(&g, &wanted, which, &some, 1 << 20);
            let values = engine.get_values(&h, &wanted).unwrap();
            let values: Vec<i64> = values.iter().map(|value| value.get().unwrap()).collect();
            prop_assert_eq!(&values, &before);
        }
    }
}
