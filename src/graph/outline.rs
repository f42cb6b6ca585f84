//! What a drawing needs of a graph: keys, the function that gives each, and what each needs.

use super::Graph;
use super::function::Callee;
use super::graph::NOWHERE;
use super::word::Word;

/// A key of a graph, as a drawing shows it.
pub(crate) struct Outline {
    /// The key, as text.
    pub(crate) key: String,
    /// The function that is called last to give its value; none for a literal, an alias or a list.
    pub(crate) function: Option<String>,
    /// The numbers of the keys that it needs, each once.
    pub(crate) needs: Vec<u32>,
}

impl Graph {
    /// All keys that have a task or are needed, in the order in which they were first mentioned.
    pub(crate) fn outline(&self) -> Vec<Outline> {
        let keys = self.program.keys.keys();
        let one = |id: usize| {
            let words = self.words(id as u32);
            let (mut function, mut needs, mut at) = (None, Vec::new(), 0);
            while let Some(word) = words.get(at).map(|word| Word::decode(*word)) {
                match word {
                    Word::Key(need) => needs.push(need),
                    // The last step gives the value, unless something follows its arguments.
                    Word::Step(callee) | Word::Block(callee) => function = Some(callee),
                    _ => {}
                }
                at += word.len();
            }
            // An expression that is no call comes after all steps.
            let is_call = self.span(id as u32) != NOWHERE && self.ends_in_call(words);
            needs.sort_unstable();
            needs.dedup();
            let name = function.filter(|_| is_call).and_then(|callee| self.program.callees.get(callee as usize)).map(Callee::name);
            Outline { key: keys.get(id).map(ToString::to_string).unwrap_or_default(), function: name.map(str::to_string), needs }
        };
        (0..keys.len()).map(one).collect()
    }

    /// Whether the words of a task are calls and nothing else.
    fn ends_in_call(&self, words: &[u32]) -> bool {
        let mut at = 0;
        while let Some(word) = words.get(at).map(|word| Word::decode(*word)) {
            match word {
                Word::Step(_) | Word::Block(_) => at += word.len() + words.get(at + 2).map_or(0, |len| *len as usize),
                _ => return false,
            }
        }
        !words.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Graph, call, key, list};

    fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    #[test]
    fn keys_functions_and_needs() {
        let mut g = Graph::new();
        g.set("x", 1);
        g.set("y", call(add, (key("x"), call(add, (key("x"), key("z"))))));
        g.set("l", list![key("x"), call(add, (1, key("y")))]);
        g.set("a", key("y"));
        let outline = g.outline();
        let shown: Vec<_> = outline.iter().map(|o| (o.key.as_str(), o.function.as_deref(), o.needs.as_slice())).collect();
        let expected: [(&str, Option<&str>, &[u32]); 5] =
            [("x", None, &[]), ("y", Some("add"), &[0, 2]), ("z", None, &[]), ("l", None, &[0, 1]), ("a", None, &[1])];
        assert_eq!(shown, expected);
    }
}
