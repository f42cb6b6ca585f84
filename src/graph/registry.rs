//! Portable operators and functions: what can be named to another process of the same program.

use super::function::{Function, Typed};
use super::given::{Args, Frame};
use super::word::Word;
use super::{Operator, Portable, TaskContext, TaskFn, Value};
use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// Makes an operator from its parameters' bytes.
pub type Decode = fn(&[u8]) -> Result<Arc<dyn Operator>>;

/// The operators and functions that can be named to another process: each has a name and a version, and no two have both alike.
///
/// ```
/// use chunkstore::graph::{Graph, Registry, call, key};
/// fn inc(x: i64) -> i64 { x + 1 }
/// let mut registry = Registry::new();
/// let inc = registry.function("example.inc", 1, inc)?;
/// assert!(registry.function("example.inc", 1, inc).is_err());
/// let mut g = Graph::new();
/// g.set("y", call(inc, (1,)));
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<(String, u32), Entry>,
}

enum Entry {
    Operator(Decode),
    Function(Arc<dyn Operator>),
}

impl Registry {
    /// A registry without entries.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Registers an operator, which `decode` makes from the bytes that its [`Operator::parameters`] gave.
    ///
    /// # Errors
    /// Invalid where the name and version are taken.
    pub fn register(&mut self, name: &str, version: u32, decode: Decode) -> Result<()> {
        self.insert(name, version, Entry::Operator(decode))
    }

    /// Registers a function without captures; the handle that it gives is called in graphs in its place.
    ///
    /// # Errors
    /// Invalid where the name and version are taken, or the function has captures.
    pub fn function<F: TaskFn<P> + Copy, P: 'static>(&mut self, name: &'static str, version: u32, function: F) -> Result<Portable<F>> {
        if size_of::<F>() != 0 {
            let message = format!("{name} cannot be registered: it has captures, which another process does not have");
            return Err(Error::new(ErrorKind::Invalid, message).hint("register a `fn` and pass what it needs as arguments"));
        }
        self.add_function(name, version, Arc::new(FunctionOperator::new(function, name, version)))?;
        Ok(Portable { name, version, function })
    }

    /// A registry of all functions of the program that are registered where they stand: see [`macro@crate::task`]. More can be added.
    ///
    /// ```
    /// use chunkstore::graph::Registry;
    /// #[chunkstore::task(name = "example.double", version = 2)]
    /// fn double(x: i64) -> i64 { 2 * x }
    /// assert!(Registry::of_tasks()?.manifest().any(|known| known == ("example.double", 2)));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// Invalid where two of them have the same name and version.
    pub fn of_tasks() -> Result<Self> {
        let mut registry = Registry::new();
        super::task::add_all(&mut registry)?;
        Ok(registry)
    }

    pub(super) fn add_function(&mut self, name: &str, version: u32, operator: Arc<dyn Operator>) -> Result<()> {
        self.insert(name, version, Entry::Function(operator))
    }

    fn insert(&mut self, name: &str, version: u32, entry: Entry) -> Result<()> {
        match self.entries.entry((name.to_owned(), version)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(entry);
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(_) => {
                let message = format!("version {version} of {name} is registered twice");
                Err(Error::new(ErrorKind::Invalid, message).hint("give one of them another name, or raise its version"))
            }
        }
    }

    /// Makes the operator of a name, a version and parameters.
    ///
    /// # Errors
    /// Unsupported where nothing is registered by that name and version; whatever the operator finds wrong with the parameters.
    pub fn decode(&self, name: &str, version: u32, parameters: &[u8]) -> Result<Arc<dyn Operator>> {
        match self.entries.get(&(name.to_owned(), version)) {
            Some(Entry::Operator(decode)) => decode(parameters),
            Some(Entry::Function(function)) if parameters.is_empty() => Ok(function.clone()),
            Some(Entry::Function(_)) => Err(Error::new(ErrorKind::Corrupt, format!("the function {name} has no parameters"))),
            None => {
                let known: Vec<_> = self.manifest().filter(|(known, _)| *known == name).map(|(_, version)| version.to_string()).collect();
                let found = match known.is_empty() {
                    true => "no operator is registered by that name".to_owned(),
                    false => format!("registered are version {}", known.join(", ")),
                };
                let message = format!("version {version} of operator {name} is not known here: {found}");
                Err(Error::new(ErrorKind::Unsupported, message).hint("run the same build of the program everywhere"))
            }
        }
    }

    /// Names and versions of all that is registered, in order.
    pub fn manifest(&self) -> impl Iterator<Item = (&str, u32)> {
        self.entries.keys().map(|(name, version)| (name.as_str(), *version))
    }
}

/// A registered function as an operator: its inputs are its arguments.
pub(super) struct FunctionOperator<F, P> {
    function: Typed<Portable<F>, P>,
    name: &'static str,
    version: u32,
}

impl<F, P> FunctionOperator<F, P> {
    pub(super) fn new(function: F, name: &'static str, version: u32) -> Self {
        FunctionOperator { function: Typed(Portable { name, version, function }, PhantomData), name, version }
    }
}

impl<F: TaskFn<P>, P: 'static> Operator for FunctionOperator<F, P> {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let words: SmallVec<[u32; 8]> = (0..inputs.len() as u32).map(|input| Word::Key(input).encode()).collect();
        let frame = Frame { inputs, literals: &[], stack: &[], task: Some(task) };
        self.function.run(Args::new(&frame, &words, Some(&self.function)), task)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::graph_calls::tests::get;
    use super::super::{FunctionKind, Graph, call, key, try_call};
    use super::*;
    use chunkstore_store::{Arena, Ledger};
    use std::sync::atomic::AtomicBool;

    struct Scale(i64);

    impl Operator for Scale {
        fn name(&self) -> &str {
            "test.scale"
        }

        fn parameters(&self) -> Option<Vec<u8>> {
            Some(self.0.to_le_bytes().to_vec())
        }

        fn run(&self, _task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
            let x: i64 = inputs[0].get()?;
            Value::of(self.0 * x)
        }
    }

    fn decode_scale(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
        let bytes = bytes.try_into().map_err(|_| Error::new(ErrorKind::Corrupt, "a scale has 8 bytes"))?;
        Ok(Arc::new(Scale(i64::from_le_bytes(bytes))))
    }

    fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    fn run(operator: &dyn Operator, inputs: &[i64]) -> Result<i64> {
        let (arena, cancelled) = (Arena::new(Ledger::new(0)), AtomicBool::new(false));
        let inputs: Vec<_> = inputs.iter().map(|x| Value::of(*x).unwrap()).collect();
        operator.run(&TaskContext::new(0, &arena, &cancelled), &inputs)?.get()
    }

    #[test]
    fn operators_come_back_from_bytes() {
        let mut registry = Registry::new();
        registry.register("test.scale", 1, decode_scale).unwrap();
        assert_eq!(registry.register("test.scale", 1, decode_scale).unwrap_err().kind(), ErrorKind::Invalid);
        registry.register("test.scale", 2, decode_scale).unwrap();
        registry.function("test.add", 1, add).unwrap();
        assert_eq!(registry.manifest().collect::<Vec<_>>(), [("test.add", 1), ("test.scale", 1), ("test.scale", 2)]);
        let sent: Box<dyn Operator> = Box::new(Scale(7));
        let back = registry.decode(sent.name(), sent.version(), &sent.parameters().unwrap()).unwrap();
        assert_eq!(run(&*back, &[6]).unwrap(), 42);
        assert_eq!(registry.decode("test.scale", 1, b"short").err().unwrap().kind(), ErrorKind::Corrupt);
        assert_eq!(run(&*registry.decode("test.add", 1, &[]).unwrap(), &[1, 2]).unwrap(), 3);
        assert!(run(&*registry.decode("test.add", 1, &[]).unwrap(), &[1]).unwrap_err().to_string().contains("argument 2 of test.add"));
        let unknown = registry.decode("test.scale", 3, &[]).err().unwrap();
        assert!(unknown.to_string().contains("registered are version 1, 2"), "{unknown}");
    }

    #[test]
    fn registered_functions_in_graphs() {
        let mut registry = Registry::new();
        let add = registry.function("test.add", 1, add).unwrap();
        let n = 1;
        assert_eq!(registry.function("test.captures", 1, move |x: i64| x + n).err().unwrap().kind(), ErrorKind::Invalid);
        let parse = registry.function("test.parse", 1, |text: String| text.parse::<i64>()).unwrap();
        let mut g = Graph::new();
        g.set("x", call(add, (1, try_call(parse, ("5",)))));
        g.set("y", call(add, (key("x"), 1)));
        assert_eq!(get::<i64>(&g, "y").unwrap(), 7);
        let portable = |name: &str| FunctionKind::Portable { name: name.into(), version: 1 };
        assert_eq!(g.functions(), [portable("test.add"), portable("test.parse")]);
        assert_eq!(add.op(), add.op());
        assert_ne!(add.op(), parse.op());
    }
}
