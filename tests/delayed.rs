//! Delayed values and futures, by the public API: what `dask.delayed` documents, and what this library promises beyond it.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, concatenate};
use chunkstore::delayed::{Delayed, delayed, try_delayed, value};
use chunkstore::engine::{FutureState, Scheduler, as_completed};
use chunkstore::graph::{Graph, Registry, call, key, list, tokenize};
use chunkstore::{Engine, ErrorKind, bag};
use ndarray::{Array1, Array2, ArrayD};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

fn engine() -> Engine {
    Engine::builder().memory("512MiB").threads(2).progress(false).build().unwrap()
}

fn add(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}

fn total(xs: Vec<i64>) -> i64 {
    xs.iter().fold(0, |sum, x| sum.wrapping_add(*x))
}

#[test]
fn arguments_of_every_kind() {
    let engine = engine();
    let add = delayed(add);
    let (one, two) = (add.call((0, 1)), add.call((1, 1)));
    // Values, delayed values owned and borrowed, nested calls.
    let five = add.call((&one, call(|x: i64| x * 2, (&two,))));
    assert_eq!(engine.compute(&five).unwrap(), 5);
    // Lists of all kinds.
    let total = delayed(total);
    let all = vec![one.clone(), two.clone(), five.clone()];
    let sums = [
        total.call((vec![1, 2, 5],)),
        total.call((&all,)),
        total.call((&all[..],)),
        total.call((all.clone(),)),
        total.call(([one.clone(), two.clone(), five.clone()],)),
        total.call((list![&one, 2, call(|| 5, ())],)),
    ];
    assert_eq!(engine.compute(sums).unwrap(), [8; 6]);
    // Maps, and tuples.
    let by_name = HashMap::from([("a".to_string(), one.clone()), ("b".to_string(), five.clone())]);
    let largest = delayed(|map: HashMap<String, i64>| map.into_iter().max_by_key(|(_, x)| *x).unwrap().0).call((by_name,));
    let ordered = BTreeMap::from([(2u8, one.clone()), (1, two.clone())]);
    let first = delayed(|map: BTreeMap<u8, i64>| *map.values().next().unwrap()).call((ordered,));
    let pair = delayed(|(a, (b, c)): (i64, (i64, String))| format!("{a}{b}{c}")).call((list![&one, list![2, "x"]],));
    let both = delayed(|(a, b): (i64, i64)| a - b).call(((one.clone(), two.clone()),));
    assert_eq!(engine.compute((largest, first, pair, both)).unwrap(), ("b".into(), 2, "12x".into(), -1));
    // A key belongs to a graph.
    let wrong = add.call((key("x"), 1));
    let error = engine.compute(&wrong).unwrap_err();
    assert!(error.kind() == ErrorKind::Graph && error.to_string().contains("the key x"), "{error}");
    assert!(error.to_string().contains("tests/delayed.rs"), "{error}");
}

#[test]
fn functions_of_sixteen_parameters() {
    #[allow(clippy::too_many_arguments)]
    fn text(
        a: u8,
        b: i16,
        c: u32,
        d: i64,
        e: f32,
        f: f64,
        g: bool,
        h: char,
        i: String,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
        n: u8,
        o: u8,
        p: Vec<u8>,
    ) -> String {
        format!("{a} {b} {c} {d} {e} {f} {g} {h} {i} {j}{k}{l}{m}{n}{o} {p:?}")
    }
    let one = delayed(|| 1u8).call(());
    let args = (&one, -2i16, 3u32, 4i64, 5f32, 6f64, true, 'h', "i", 1u8, 2u8, 3u8, 4u8, 5u8, 6u8, vec![one.clone(), one.clone()]);
    let got = engine().compute(&delayed(text).call(args)).unwrap();
    assert_eq!(got, "1 -2 3 4 5 6 true h i 123456 [1, 1]");
}

#[test]
fn arrays_are_arguments_and_results() {
    let engine = engine();
    let x = Array::<f64>::linspace(0.0, 99.0, 100, 7);
    let norm = delayed(|x: Array1<f64>, mean: f64| x.iter().map(|x| (x - mean).abs()).sum::<f64>());
    let direct = norm.call((&x, x.mean(..).item_collection()));
    assert_eq!(engine.compute(&direct).unwrap(), 2500.0);
    // There and back again, by blocks and as a whole.
    let blocks = x.to_delayed().unwrap();
    assert_eq!(blocks.len(), 15);
    let doubled: Vec<_> = blocks.iter().map(|block| block.map(|block: ArrayD<f64>| block * 2.0)).collect();
    let y = Array::from_delayed_blocks(&doubled, x.chunks().unwrap().clone());
    let parts: Vec<_> = doubled.iter().map(|block| Array::from_delayed(block, [7])).take(14).collect();
    let z = concatenate(&parts.iter().collect::<Vec<_>>(), 0);
    let (y, z, sum) = engine.compute((&y, &z, y.sum(..).item_collection())).unwrap();
    let x = engine.compute(&x).unwrap();
    assert_eq!((y.clone(), sum), (x * 2.0, 9900.0));
    assert_eq!(z, y.slice(ndarray::s![..98]).to_owned().into_dyn());
    // Delayed, array, delayed, array, ...
    let mut level = value(vec![1.0f64, 2.0, 3.0]);
    for _ in 0..20 {
        let array = Array::<f64>::from_delayed(&level, [3]) + 1.0;
        level = delayed(|x: Vec<f64>| x.iter().rev().copied().collect::<Vec<f64>>()).call((&array,));
    }
    assert_eq!(engine.compute(&level).unwrap(), [21.0, 22.0, 23.0]);
    // What does not fit is said.
    let wrong = Array::<f64>::from_delayed(&delayed(|| Array2::<f64>::zeros((2, 3))).call(()), [3, 2]);
    let error = engine.compute(&wrong).unwrap_err();
    assert!(error.to_string().contains("[2, 3]") && error.to_string().contains("[3, 2]"), "{error}");
}

#[test]
fn work_is_shared() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    fn slow(x: i64) -> i64 {
        RUNS.fetch_add(1, SeqCst);
        x * x
    }
    let engine = engine();
    let runs = || RUNS.swap(0, SeqCst);
    // One value with many users, also through arrays.
    let square = delayed(slow).call((3,));
    let array = Array::<i64>::from_delayed(&square.map(|x: i64| vec![x, x + 1]), [2]);
    let (a, b, c) = engine.compute((&square + 1, &square * 2, &array)).unwrap();
    assert_eq!((a, b, c[[1]], runs()), (10, 18, 10, 1));
    // Impure calls are each run, pure ones that are equal once.
    let (impure, pure) = (delayed(slow), delayed(slow).pure(true));
    engine.compute((impure.call((2,)), impure.call((2,)))).unwrap();
    assert_eq!(runs(), 2);
    let calls: Vec<_> = (0..10i64).map(|i| pure.call((i % 3,))).collect();
    assert_eq!(engine.compute(&calls).unwrap(), (0..10i64).map(|i| (i % 3) * (i % 3)).collect::<Vec<_>>());
    assert_eq!(runs(), 3);
    let deep = || pure.call((pure.call((2,)) + pure.call((call(slow, (1,)),)),));
    assert_eq!(deep().key(), deep().key());
    engine.compute((deep(), deep())).unwrap();
    assert_eq!(runs(), 4);
    // Registered functions are pure by themselves; closures with captures never are.
    let mut registry = Registry::new();
    let registered = delayed(registry.function("test.slow", 1, slow).unwrap());
    assert_eq!(registered.call((7,)).key(), registered.call((7,)).key());
    assert_ne!(registered.call((7,)).key(), registered.call((8,)).key());
    assert_ne!(registered.call((7,)).key(), registered.clone().pure(false).call((7,)).key());
    let n = RUNS.load(SeqCst) as i64;
    let capturing = delayed(move |x: i64| x + n).pure(true);
    assert_ne!(capturing.call((1,)).key(), capturing.call((1,)).key());
    // What is persisted is not run again.
    runs();
    let (square, other) = engine.persist((&impure.call((5,)), &vec![impure.call((6,)), impure.call((7,))])).unwrap();
    assert_eq!(runs(), 3);
    assert_eq!(engine.compute((&square + 1, &other)).unwrap(), (26, vec![36, 49]));
    assert_eq!(engine.compute(&square).unwrap(), 25);
    assert_eq!(runs(), 0);
}

#[test]
fn values_are_taken_apart_and_put_together() {
    let engine = engine();
    let (a, b, c) = delayed(|| (1i64, "two".to_string(), vec![3.0f64])).call(()).split();
    let text = delayed(|a: i64, b: String, c: Vec<f64>| format!("{a} {b} {c:?}")).call((a, b, c));
    assert_eq!(engine.compute(&text).unwrap(), "1 two [3.0]");
    for n in [3usize, 100_000] {
        // A large vector of numbers is a block, a small one an object.
        let parts = delayed(|n: usize| (0..n as i64).collect::<Vec<i64>>()).call((n,));
        assert_eq!(engine.compute((parts.get(2), parts.nout(n).remove(1))).unwrap(), (2, 1));
        let error = engine.compute(parts.nout(n + 1)).unwrap_err();
        assert!(error.to_string().contains(&format!("a list of {n} elements")), "{error}");
        assert!(engine.compute(parts.get(n)).unwrap_err().to_string().contains("no element"));
    }
    let (x, y) = value((value(5i64), value(6i64))).split();
    assert_eq!(engine.compute((10 - x.clone() * 2, -(&x % 3) + 7 / y)).unwrap(), (0, -1));
    assert_eq!(engine.compute(value("text").map(|text: String| text.len())).unwrap(), 4);
    let half = 1.0 / value(2.0f64);
    assert_eq!(engine.compute(value(vec![half.clone(), half])).unwrap(), [0.5, 0.5]);
    struct Unclonable(i64);
    let shared = delayed(|| Unclonable(7)).call(());
    assert_eq!(engine.compute(shared.shared()).unwrap().0, 7);
    assert_eq!(engine.compute(delayed(|x: Arc<Unclonable>| x.0 + 1).call((&shared,))).unwrap(), 8);
}

#[test]
fn errors_name_the_call() {
    fn explode(x: i64) -> i64 {
        panic!("boom {x}")
    }
    let engine = engine();
    let error = engine.compute(delayed(explode).call((1,))).unwrap_err();
    assert!(error.kind() == ErrorKind::Panicked && error.to_string().contains("task explode-"), "{error}");
    assert!(error.to_string().contains("boom 1"), "{error}");
    let error = engine.compute(delayed(explode).call((1,)).named("the one")).unwrap_err();
    assert!(error.to_string().contains("task the one"), "{error}");
    let parse = try_delayed(|text: String| text.parse::<i64>());
    let error = engine.compute(parse.call(("x",)) + 1).unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.to_string().contains("tests/delayed.rs"), "{error}");
    // Too large for its parameter.
    let error = engine.compute(delayed(|x: u8| x).call((call(|| Arc::new(0u8), ()),)).map(|_: u8| explode(2))).unwrap_err();
    assert!(error.kind() == ErrorKind::Panicked, "{error}");
    let broken = Array::<f64>::ones([3], 3) + Array::<f64>::ones([4], 4);
    let error = engine.compute(delayed(|x: ArrayD<f64>| x.len()).call((&broken,))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let twice = delayed(add).call((value(1).map(|x: i64| x).named("x"), value(2).map(|x: i64| x).named("x")));
    let error = engine.compute(&twice).unwrap_err();
    assert!(error.to_string().contains("named 'x'"), "{error}");
    // Tried again.
    let (tries, flaky) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (tries.clone(), flaky.clone());
    let flaky = try_delayed(move || match counted.0.fetch_add(1, SeqCst) {
        n if n < 2 => Err(format!("try {n}")),
        n => Ok(n),
    });
    assert_eq!(engine.compute(flaky.clone().retries(2).call(())).unwrap(), 2);
    tries.store(0, SeqCst);
    assert!(engine.compute(flaky.retries(1).call(())).unwrap_err().to_string().contains("try 1"));
    assert_eq!(tries.load(SeqCst), 2);
    // The engine goes on.
    assert_eq!(engine.compute(value(1)).unwrap(), 1);
}

#[test]
fn graphs_show_and_take_delayed_values() {
    let engine = engine();
    let x = delayed(add).call((1, 2)).named("x");
    let y = delayed(total).call((list![&x, 4, call(add, (&x, 1))],)).named("y");
    let graph = y.graph().unwrap();
    assert_eq!(graph.to_string(), "{'x': (add, 1, 2),\n 'y': (total, ['x', 4, (add, 'x', 1)])}");
    assert_eq!(engine.get::<i64>(&graph, "y").unwrap(), 11);
    let unnamed = delayed(add).call((&y, 1));
    assert_eq!(engine.get::<i64>(&unnamed.graph().unwrap(), unnamed.key()).unwrap(), 12);
    let a = Array::<i64>::arange(0, 6, 1, 2);
    let sum = delayed(|x: Array1<i64>, y: i64| x.sum() + y).call((&a, &y)).named("sum");
    let graph = sum.graph().unwrap();
    assert_eq!(engine.get::<i64>(&graph, "sum").unwrap(), 26);
    assert!(graph.len() > 3, "{graph}");
    let block = &a.to_delayed().unwrap()[1];
    assert_eq!(engine.get::<Vec<i64>>(&block.graph().unwrap(), block.key()).unwrap(), [2, 3]);
    // In a graph of one's own.
    let mut g = Graph::new();
    g.set("z", call(add, (&sum, key("n"))));
    g.set("n", 100);
    g.set("w", call(|x: ArrayD<i64>| x.sum(), (&a,)));
    g.set("v", &x);
    assert_eq!(engine.get::<i64>(&g, "z").unwrap(), 126);
    assert_eq!((engine.get::<i64>(&g, "w").unwrap(), engine.get::<i64>(&g, "v").unwrap()), (15, 3));
    // An array of delayed values shows them.
    let array = Array::<i64>::from_delayed(&x.map(|x: i64| vec![x]), [1]) + 1;
    assert!(array.graph().unwrap().to_string().contains("'x': (add, 1, 2)"));
    assert_eq!(engine.compute(engine.optimize(&array).unwrap()).unwrap()[[0]], 4);
    let optimised = engine.optimize((&y, &[x.clone()][..])).unwrap();
    assert_eq!(engine.compute(optimised).unwrap(), (11, vec![3]));
    // Rows by kind.
    let explain = engine.explain((&sum, &y)).unwrap().to_string();
    assert!(["sum", "x", "y"].iter().all(|row| explain.contains(row)), "{explain}");
}

#[test]
fn the_same_answers_on_any_number_of_threads() {
    let build = || {
        let mut level: Vec<Delayed<i64>> = (0..512i64).map(|i| delayed(|x: i64| x * 7 % 13).call((i,))).collect();
        while level.len() > 1 {
            level = level.chunks(3).map(|some| delayed(total).call((some,)) * 3 % 1009).collect();
        }
        level.remove(0)
    };
    let mut answers = Vec::new();
    for threads in [1, 2, 4] {
        let engine = Engine::builder().memory("256MiB").threads(threads).progress(false).build().unwrap();
        answers.push(engine.compute(build()).unwrap());
        answers.push(engine.with_scheduler(Scheduler::Sync).compute(build()).unwrap());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[test]
fn futures_run_end_and_are_cancelled() {
    let engine = Engine::builder().memory("256MiB").threads(2).futures(1).progress(false).build().unwrap();
    let (started, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let gates = (started.clone(), go.clone());
    let first = engine.submit(
        delayed(move || {
            gates.0.wait();
            gates.1.wait();
            1i64
        })
        .call(()),
    );
    started.wait();
    assert_eq!((first.state(), first.done()), (FutureState::Running, false));
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    let count = delayed(move |n: i64| {
        counted.fetch_add(1, SeqCst);
        n
    });
    let (queued, dropped, last) = (engine.submit(count.call((2,))), engine.submit(count.call((3,))), engine.submit(count.call((4,))));
    assert_eq!(queued.state(), FutureState::Queued);
    queued.cancel();
    drop(dropped);
    assert_eq!((queued.state(), queued.done()), (FutureState::Cancelled, true));
    assert_eq!(queued.result().unwrap_err().kind(), ErrorKind::Cancelled);
    let last = last.result_timeout(Duration::from_millis(20)).unwrap_err();
    // Another computation is not in the way.
    assert_eq!(engine.compute(value(5i64) + 1).unwrap(), 6);
    go.wait();
    assert_eq!(first.result().unwrap(), 1);
    assert_eq!((last.result().unwrap(), ran.load(SeqCst)), (4, 1));
    // Errors arrive, and the queue goes on; an engine lives as long as its futures.
    let failed = engine.submit(try_delayed(|| Err::<i64, _>("no")).call(()));
    let panicked = engine.submit(delayed(|| -> i64 { panic!("boom") }).call(()));
    let fine = engine.submit((value(1i64), Array::<f64>::ones([10], 3)));
    let effect = Arc::new(Mutex::new(0));
    let seen = effect.clone();
    engine.submit(delayed(move || *seen.lock().unwrap() = 7).call(())).detach();
    drop(engine);
    assert_eq!(failed.result().unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(panicked.result().unwrap_err().kind(), ErrorKind::Panicked);
    let (one, ones) = fine.result().unwrap();
    assert_eq!((one, ones.sum()), (1, 10.0));
    assert_eq!(*effect.lock().unwrap(), 7);
}

#[test]
fn a_running_future_is_cancelled_alone() {
    let engine = Engine::builder().memory("256MiB").threads(2).progress(false).build().unwrap();
    let (started, go) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
    let after = Arc::new(AtomicUsize::new(0));
    let submit = || {
        let (gates, counted) = ((started.clone(), go.clone()), after.clone());
        let wait = delayed(move |n: i64| {
            gates.0.wait();
            gates.1.wait();
            n
        });
        let count = delayed(move |n: i64| {
            counted.fetch_add(1, SeqCst);
            n
        });
        engine.submit(count.call((wait.call((1,)),)))
    };
    let (one, two) = (submit(), submit());
    started.wait();
    one.cancel();
    go.wait();
    assert_eq!(one.result().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((two.result().unwrap(), after.load(SeqCst)), (1, 1));
}

#[test]
fn as_completed_gives_what_ends_first() {
    let engine = Engine::builder().memory("256MiB").threads(3).futures(3).progress(false).build().unwrap();
    let gates: Vec<_> = (0..3).map(|_| Arc::new(Barrier::new(2))).collect();
    let futures: Vec<_> = gates
        .iter()
        .enumerate()
        .map(|(i, gate)| {
            let gate = gate.clone();
            engine.submit(
                delayed(move || {
                    gate.wait();
                    i
                })
                .call(()),
            )
        })
        .collect();
    let mut completed = as_completed(futures);
    for i in [2, 0, 1] {
        gates[i].wait();
        assert_eq!(completed.next().unwrap().result().unwrap(), i);
    }
    assert!(completed.next().is_none());
}

#[test]
fn nothing_is_submitted_inside_a_task() {
    let outer = engine();
    let inner = outer.clone();
    let nested = delayed(move || {
        let submitted = inner.submit(value(1i64)).result().unwrap_err().kind();
        let computed = inner.compute(value(1i64)).unwrap_err().kind();
        i64::from(submitted == ErrorKind::Invalid && computed == ErrorKind::Invalid)
    });
    assert_eq!(outer.submit(nested.call(())).result().unwrap(), 1);
    let mut g = Graph::new();
    g.set("x", call(add, (1, 2)));
    assert_eq!(outer.submit_get::<i64>(&g, "x").result().unwrap(), 3);
}

#[test]
fn tokens() {
    assert_eq!(tokenize(&(1, "a")).unwrap(), tokenize(&(1, "a".to_string())).unwrap());
    let different = [
        tokenize(&vec![1, 2]),
        tokenize(&vec![vec![1], vec![2]]),
        tokenize(&(1, 2)),
        tokenize(&Some(1)),
        tokenize(&1),
        tokenize(&1u8),
        tokenize("1"),
        tokenize(&f64::NAN),
        tokenize(&()),
        tokenize(&BTreeMap::from([(1, 2)])),
    ];
    let different: std::collections::HashSet<String> = different.into_iter().map(|token| token.unwrap()).collect();
    assert_eq!(different.len(), 10);
}

/// Lists of lists, what may be missing, arrays, bags and their values as arguments.
#[test]
fn containers_of_lazy_values_are_arguments() {
    let one = |n: i64| delayed(|n: i64| n).call((n,));
    let nested = vec![vec![one(1), one(2)], vec![], vec![one(3)]];
    let shape = |lists: Vec<Vec<i64>>| lists.into_iter().map(|list| list.into_iter().sum::<i64>()).collect::<Vec<_>>();
    assert_eq!(delayed(shape).call((&nested,)).compute().unwrap(), [3, 0, 3]);
    assert_eq!(delayed(shape).call((nested,)).compute().unwrap(), [3, 0, 3]);
    let pair = [one(4), one(5)];
    assert_eq!(delayed(|list: Vec<i64>| list.len() as i64).call((&pair,)).compute().unwrap(), 2);
    let or = delayed(|n: Option<i64>| n.unwrap_or(-1));
    assert_eq!((or.call((Some(one(7)),)).compute().unwrap(), or.call((None::<Delayed<i64>>,)).compute().unwrap()), (7, -1));
    let arrays = vec![Array::<f64>::ones([4], 2), Array::<f64>::ones([3], 2)];
    let sum = delayed(|arrays: Vec<Vec<f64>>| arrays.iter().flatten().sum::<f64>()).call((&arrays,));
    assert_eq!(sum.compute().unwrap(), 7.0);
    let bag = bag::range(10, 3);
    let both = delayed(|all: Vec<u64>, sum: u64| all.iter().sum::<u64>() + sum).call((&bag, &bag.sum()));
    assert_eq!(both.compute().unwrap(), 90);
}
