//! Custom graphs: the talk's `get`.

use super::roots::{Values, each_once};
use super::{Engine, Future};
use crate::exec::{Lowered, Shared};
use crate::graph::{Argument, Given, Graph, GraphKey, Value};
use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::hash::BuildHasher;

impl Engine {
    /// The value of one key of a graph. Only what it needs is run.
    ///
    /// # Errors
    /// A graph error where a key has no task or tasks need each other in a circle; a type error where the value is no `T`;
    /// whatever a task meets.
    ///
    /// ```
    /// use chunkstore::{Engine, graph::{Graph, call, key, list}};
    /// fn add(x: i64, y: i64) -> i64 { x + y }
    /// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
    /// let mut g = Graph::new();
    /// g.set("x", call(add, (2, 3)));
    /// g.set("y", call(add, (2, key("x"))));
    /// g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("y")))],)));
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let z: i64 = engine.get(&g, "z")?;
    /// assert_eq!(z, 17);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn get<T: Argument>(&self, graph: &Graph, key: impl Into<GraphKey>) -> Result<T> {
        let key = key.into();
        let values = self.get_values(graph, std::slice::from_ref(&key))?;
        let value = values.first().ok_or_else(|| Error::new(ErrorKind::Graph, "a key gave no value"))?;
        T::take(Given::from(value)).ok_or_else(|| {
            let message =
                format!("the value of {key} is {}, and {} was asked for", Given::from(value).describe(), std::any::type_name::<T>());
            Error::new(ErrorKind::Type, message)
        })
    }

    /// As [`Engine::get`], in the background: see [`Engine::submit`].
    ///
    /// ```
    /// use chunkstore::{Engine, graph::{Graph, call}};
    /// let mut g = Graph::new();
    /// g.set("x", call(|a: i64, b: i64| a + b, (2, 3)));
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// assert_eq!(engine.submit_get::<i64>(&g, "x").result()?, 5);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn submit_get<T: Argument>(&self, graph: &Graph, key: impl Into<GraphKey>) -> Future<T> {
        let (graph, key) = (graph.clone(), key.into());
        self.spawn(move |engine| engine.get(&graph, key))
    }

    /// The values of several keys of a graph, with a mapping of the caller's: keys that have a value there are not computed, and what they alone need
    /// is not either; the values that were computed for `keys` are put there. It may hold values from earlier graphs: keys that the graph does not have are ignored.
    ///
    /// The values of the mapping are the caller's memory and are not booked.
    ///
    /// # Errors
    /// As [`Engine::get`]; the mapping is then as it was.
    ///
    /// ```
    /// use chunkstore::{Engine, graph::{Graph, call, key}};
    /// use std::collections::HashMap;
    /// let mut g = Graph::new();
    /// g.set("x", call(|| -> i64 { panic!("not again") }, ()));
    /// g.set("y", call(|x: i64| x + 1, (key("x"),)));
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let mut known = HashMap::from([(key("x"), chunkstore::graph::Value::of(5i64)?)]);
    /// assert_eq!(engine.get_with(&g, &[key("y")], &mut known)?[0].get::<i64>()?, 6);
    /// assert_eq!(known[&key("y")].get::<i64>()?, 6);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn get_with<S: BuildHasher>(
        &self,
        graph: &Graph,
        keys: &[GraphKey],
        known: &mut HashMap<GraphKey, Value, S>,
    ) -> Result<Vec<Value>> {
        let mut graph = graph.clone();
        for (key, value) in known.iter().filter(|(key, _)| graph.contains(*key)).collect::<Vec<_>>() {
            graph.set(key, value.clone());
        }
        let values = self.get_values(&graph, keys)?;
        known.extend(keys.iter().cloned().zip(values.iter().cloned()));
        Ok(values)
    }

    /// The values of several keys of a graph, of any type; what they share is run once.
    ///
    /// # Errors
    /// As [`Engine::get`].
    pub fn get_values(&self, graph: &Graph, keys: &[GraphKey]) -> Result<Vec<Value>> {
        Shared::refuse_nested()?;
        let lowered = graph.lower(keys)?;
        let tasks = each_once(&lowered.wanted);
        let executed = self.run(Lowered { table: lowered.table, roots: Vec::new(), barriers: Vec::new() }, &tasks, 0)?;
        let mut values = Values::new(&self.shared, tasks, executed.kept, lowered.wanted);
        keys.iter().map(|_| values.next()).collect()
    }
}
