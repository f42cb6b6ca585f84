//! The graph of the talk: a dict of keys and tasks, which an engine runs.

use chunkstore::graph::{Graph, call, key, list};
use chunkstore::{Engine, Result};

fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn total(numbers: Vec<i64>) -> i64 {
    numbers.iter().sum()
}

fn main() -> Result<()> {
    chunkstore::init();
    let mut g = Graph::new();
    g.set("x", call(add, (2, 3)));
    g.set("y", call(add, (2, key("x"))));
    // An argument is a literal, a key, a nested task, or a list of these.
    g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("y")))],)));
    // Not needed for z, and so never run.
    g.set("unused", call(add, (key("z"), key("no such key"))));
    println!("{g}");

    let engine = Engine::builder().memory("256MiB").build()?;
    let z: i64 = engine.get(&g, "z")?;
    println!("z = {z}");
    assert_eq!(z, 17);

    // What the types can refuse does not compile: call(add, (2, "three")). The rest is an error before anything runs.
    let error = engine.get::<i64>(&g, "unused").err();
    println!("unused: {}", error.map(|error| error.to_string()).unwrap_or_default());
    Ok(())
}
