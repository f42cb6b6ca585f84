//! What is said of the calls of a part of a program: labels, retries, priority.

#![allow(clippy::unwrap_used)]

use chunkstore::array::Array;
use chunkstore::delayed::{Delayed, delayed, try_delayed};
use chunkstore::graph::{Graph, call, key, list, op, try_call};
use chunkstore::optimize::inline_functions;
use chunkstore::{Annotations, Engine, annotate, visualize};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

fn engine() -> Engine {
    Engine::builder().memory("256MiB").threads(1).build().unwrap()
}

/// A function that fails so many times.
fn failing(times: u32) -> impl Fn(i64) -> Result<i64, String> + Send + Sync + 'static {
    let calls = AtomicU32::new(0);
    move |x| if calls.fetch_add(1, Relaxed) < times { Err("not yet".into()) } else { Ok(x) }
}

fn inc(x: i64) -> i64 {
    x + 1
}

#[test]
fn calls_take_what_is_said_where_they_are_written() {
    let engine = engine();
    let say = Annotations::new().retries(2).label("load");
    let inside = annotate(say.clone(), || try_delayed(failing(2)).call((1,)));
    let outside = try_delayed(failing(2)).call((1,));
    let own = annotate(say.clone(), || try_delayed(failing(2)).retries(1).label("mine").call((1,)));
    assert_eq!(engine.compute(&inside).unwrap(), 1);
    assert!(engine.compute(&outside).is_err());
    let error = engine.compute(&own).unwrap_err();
    assert!(error.to_string().contains("mine-"), "{error}");
    assert!(inside.key().starts_with("load-") && !outside.key().starts_with("load-"));
    // Rows of forecasts, keys of pictures, names of event logs.
    let both = annotate(say, || delayed(inc).call((&inside,)));
    let explain = engine.explain(&both).unwrap();
    assert_eq!(explain.layers.iter().find(|layer| layer.name == "load").map(|layer| layer.tasks), Some(2), "{explain}");
    assert!(visualize(&both).unwrap().dot().contains(&inside.key()));
    let recording = engine.record();
    engine.compute(&delayed(inc).label("named").call((1,))).unwrap();
    let history = recording.history();
    assert!(history.tasks().any(|task| history.name(task).starts_with("named-")));
}

#[test]
fn tasks_of_graphs_are_tried_again() {
    let engine = engine();
    let graph = |retries| {
        let mut g = Graph::new();
        annotate(Annotations::new().retries(retries), || g.set("x", try_call(failing(3), (1,))));
        g.set("y", call(inc, (key("x"),)));
        g
    };
    assert_eq!(engine.get::<i64>(&graph(3), "y").unwrap(), 2);
    assert!(engine.get::<i64>(&graph(2), "y").is_err());
    // What is said stays with a task that others take in, and goes with one that is replaced.
    let optimized = chunkstore::optimize::optimize_graph(&graph(3), &["y"]);
    assert_eq!(engine.get::<i64>(&optimized, "y").unwrap(), 2);
    let mut replaced = graph(3);
    replaced.set("x", try_call(failing(1), (1,)));
    assert!(engine.get::<i64>(&replaced, "y").is_err());
    // Delayed values bring what was said of them.
    let mut g = Graph::new();
    g.set("z", call(inc, (try_delayed(failing(2)).retries(2).call((5,)),)));
    assert_eq!(engine.get::<i64>(&g, "z").unwrap(), 6);
    let mut g = Graph::new();
    annotate(Annotations::new().retries(2), || g.set("a", call(inc, (1,))));
    g.set("b", try_call(failing(2), (key("a"),)));
    assert_eq!(engine.get::<i64>(&inline_functions(&g, &["b"], &[op(inc)]), "b").unwrap(), 2);
}

/// Tasks that say when they run.
fn noting(seen: &Arc<Mutex<Vec<i64>>>) -> impl Fn(i64) -> i64 + Send + Sync + 'static {
    let seen = seen.clone();
    move |x| {
        seen.lock().unwrap().push(x);
        x
    }
}

#[test]
fn what_is_urgent_runs_first_with_what_it_needs() {
    let engine = engine();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let step = delayed(noting(&seen));
    let chain = |from: i64| step.call((step.call((from,)).map(|x: i64| x + 1),));
    let later: Vec<Delayed<i64>> = (0..4).map(|i| chain(10 * i)).collect();
    let first = annotate(Annotations::new().priority(5), || chain(90));
    let last = annotate(Annotations::new().priority(-5), || chain(70));
    let all = delayed(|xs: Vec<i64>| xs.len()).call(([&later[..], &[last, first]].concat(),));
    let explain = engine.explain(&all).unwrap();
    assert_eq!(explain.order, "by priority");
    assert_eq!(engine.compute(&all).unwrap(), 6);
    let order = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(order[..2], [90, 91], "{order:?}");
    assert_eq!(order.len(), 12);

    let mut g = Graph::new();
    let run = noting(&seen);
    let run = Arc::new(run);
    for i in 0..5i64 {
        let run = run.clone();
        annotate(Annotations::new().priority(i as i32), || g.set(("x", i), call(move |x: i64| run(x), (i,))));
    }
    g.set("all", call(|xs: Vec<i64>| xs.len(), (list((0..5).map(|i| key(("x", i)))),)));
    assert_eq!(engine.get::<usize>(&g, "all").unwrap(), 5);
    assert_eq!(*seen.lock().unwrap(), [4, 3, 2, 1, 0]);
}

#[test]
fn a_wish_costs_no_memory() {
    let engine = Engine::builder().memory("256MiB").threads(2).build().unwrap();
    let room = engine.memory_for_tasks();
    // More than fits at once, in an order that would hold all of it.
    let side = (room / 8 / 6) as usize;
    let block = delayed(move |x: f64| ndarray::Array1::from_elem(side, x));
    let sums: Vec<Delayed<f64>> = (0..12)
        .map(|i| {
            let made = annotate(Annotations::new().priority(1), || block.call((f64::from(i),)));
            delayed(|x: Arc<ndarray::Array1<f64>>| x[0]).call((made.shared(),))
        })
        .collect();
    let all = delayed(|xs: Vec<f64>| xs.iter().sum::<f64>()).call((sums,));
    assert_eq!(engine.compute(&all).unwrap(), 66.0);
    assert!(engine.last_run().unwrap().peak_bytes <= engine.memory());
    let plain = Array::<f64>::ones([1000], 100).sum(..);
    assert_ne!(engine.explain(plain.item_collection()).unwrap().order, "by priority");
}
