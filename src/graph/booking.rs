//! What is known of the bytes that a task of a user's graph takes, from its words.
//!
//! ```text
//! y: (add, (inc, x), (dec, x))        inc | dec | add
//!
//! scratch of y = the most of   inc's out + scratch
//!                              inc's out + dec's out + scratch
//!                              inc's out + dec's out + add's scratch
//! ```

use super::function::Callee;
use super::graph::Graph;
use super::program::Program;
use super::result::{LARGE, unknown};
use super::word::Word;
use super::{Size, Sizes, Value};

/// A value that takes no memory of its own.
const NOTHING: Sizes = Sizes { out: Size::Exact(0), scratch: 0, load: 0 };

impl Program {
    /// What is known of the value that a call, or a literal, gives, and whether it is a source; `rest` are the words behind the first.
    pub(crate) fn sizes_of(&self, word: Word, rest: &[u32]) -> (Option<Sizes>, bool) {
        match word {
            Word::Step(callee) => match self.callees.get(callee as usize) {
                Some(Callee::Function(function)) => (Some(function.sizes()), false),
                _ => (None, false),
            },
            Word::Block(callee) => match (self.callees.get(callee as usize), rest.get(3)) {
                (Some(Callee::Layer(layer, _)), Some(block)) => (Some(layer.sizes(*block)), layer.is_source()),
                _ => (None, false),
            },
            Word::Literal(literal) => {
                let bytes = self.literals.get(literal as usize).map_or(0, Value::nbytes);
                (Some(Sizes { out: Size::Exact(bytes), ..NOTHING }), bytes > LARGE)
            }
            Word::Scalar(_) => (Some(NOTHING), false),
            _ => (None, false),
        }
    }
}

impl Graph {
    /// What the task of a key takes in bytes, what its nested calls hold among it; and whether it is a source. An alias takes nothing.
    pub(crate) fn sizes(&self, id: u32) -> (Sizes, bool) {
        let words = self.words(id);
        let (mut held, mut outs) = (0u64, Vec::<u64>::new());
        let (mut scratch, mut load) = (0u64, 0u64);
        let mut at = 0;
        while let Some(first) = words.get(at) {
            let word = Word::decode(*first);
            let rest = words.get(at + 1..at + word.len()).unwrap_or_default();
            let is_call = matches!(word, Word::Step(_) | Word::Block(_));
            if !is_call {
                // An expression, whose value is the task's.
                let alone = words.len() == at + word.len();
                let (sizes, source) = if alone { self.program.sizes_of(word, rest) } else { (None, false) };
                let expression = match (word, sizes) {
                    (_, Some(sizes)) => sizes,
                    (Word::Key(_), None) if alone => NOTHING,
                    _ => unknown(held),
                };
                return (
                    Sizes { scratch: scratch.max(expression.scratch), load: load.saturating_add(expression.load), ..expression },
                    source,
                );
            }
            let (sizes, source) = self.program.sizes_of(word, rest);
            let sizes = sizes.unwrap_or_else(|| unknown(0));
            let base = rest.get(2).map_or(0, |base| *base as usize);
            let end = at + word.len() + rest.get(1).map_or(0, |n| *n as usize);
            load = load.saturating_add(sizes.load);
            if end >= words.len() {
                return (Sizes { scratch: scratch.max(held.saturating_add(sizes.scratch)), load, ..sizes }, source && at == 0);
            }
            let out = sizes.out.bytes();
            scratch = scratch.max(held.saturating_add(out).saturating_add(sizes.scratch));
            while outs.len() > base {
                held = held.saturating_sub(outs.pop().unwrap_or(0));
            }
            outs.push(out);
            held = held.saturating_add(out);
            at = end;
        }
        (NOTHING, false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{call, key, list};
    use super::*;

    fn vec(n: i64) -> Vec<i64> {
        vec![n; n as usize]
    }

    #[test]
    fn nested_calls_are_booked() {
        let mut g = Graph::new();
        g.set("x", call(vec, (3,)));
        g.set("alias", key("x"));
        g.set("one", call(|x: Vec<i64>| x.len(), (call(vec, (3,)),)));
        g.set("two", call(|x: Vec<i64>, y: Vec<i64>| x.len() + y.len(), (call(vec, (3,)), call(vec, (3,)))));
        g.set("list", list![call(vec, (3,)), key("x")]);
        let sizes = |name: &str| {
            let (sizes, source) = g.sizes(g.id(&name.into()).unwrap());
            (sizes.out.bytes(), sizes.scratch, source)
        };
        assert_eq!(sizes("x"), (64, 64, false));
        assert_eq!(sizes("alias"), (0, 0, false));
        assert_eq!(sizes("one"), (0, 128, false));
        assert_eq!(sizes("two"), (0, 192, false));
        assert_eq!(sizes("list"), (64, 128, false));
        let lowered = g.lower(&[key("one"), key("two"), key("list")]).unwrap();
        assert_eq!(lowered.table.scratch, [128, 192, 64, 128]);
    }
}
