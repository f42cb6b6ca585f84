//! A graph as text, as Dask shows its dictionaries.

use super::function::Callee;
use super::graph::{Graph, NOWHERE};
use super::word::{Word, scalar_from};
use super::{GraphKey, Value};
use chunkstore_store::{Chunk, Scalar};
use std::fmt;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut between = "";
        for (id, key) in self.program.keys.keys().iter().enumerate() {
            if self.span(id as u32) == NOWHERE {
                continue;
            }
            f.write_str(between)?;
            between = ",\n ";
            write!(f, "{}: {}", key.quoted(), self.task_text(id as u32))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Graph {
    fn task_text(&self, id: u32) -> String {
        let mut words = self.words(id);
        let mut stack = Vec::new();
        loop {
            let (callee, head) = match words.first().map(|word| Word::decode(*word)) {
                Some(Word::Step(callee)) => (callee, 4),
                Some(Word::Block(callee)) => (callee, 5),
                Some(_) => return self.args_text(words, &mut stack).join(", "),
                None => return stack.pop().unwrap_or_default(),
            };
            let len = words.get(2).map_or(0, |n| *n as usize);
            let base = words.get(3).map_or(0, |n| *n as usize);
            let (args, rest) = words.get(head..).and_then(|rest| rest.split_at_checked(len)).unwrap_or_default();
            let mut parts = vec![self.callee_text(callee, words.get(4).copied().filter(|_| head == 5))];
            parts.extend(self.args_text(args, &mut stack));
            stack.truncate(base);
            stack.push(format!("({})", if parts.len() == 1 { format!("{},", parts.concat()) } else { parts.join(", ") }));
            words = rest;
        }
    }

    fn callee_text(&self, callee: u32, block: Option<u32>) -> String {
        let name = self.program.callees.get(callee as usize).map_or("?", Callee::name);
        block.map_or_else(|| name.into(), |block| format!("{name}[{block}]"))
    }

    fn args_text(&self, mut words: &[u32], stack: &mut [String]) -> Vec<String> {
        let mut parts = Vec::new();
        // The lists that are open: how many parts came before each, and how many words after it.
        let mut open: Vec<(usize, usize)> = Vec::new();
        loop {
            while let Some((before, after)) = open.pop_if(|(_, after)| *after == words.len()) {
                let _ = after;
                let list = parts.split_off(before);
                parts.push(format!("[{}]", list.join(", ")));
            }
            let Some(word) = words.first().map(|word| Word::decode(*word)) else { return parts };
            let (here, rest) = words.split_at_checked(word.len()).unwrap_or((words, &[]));
            words = rest;
            match word {
                Word::Key(id) => parts.push(self.program.keys.key(id).map(GraphKey::quoted).unwrap_or_default()),
                Word::Literal(l) => parts.push(self.program.literals.get(l as usize).map(value_text).unwrap_or_default()),
                Word::Stack(n) => parts.push(stack.get_mut(n as usize).map(std::mem::take).unwrap_or_default()),
                Word::Scalar(kind) => {
                    let half = |i: usize| here.get(i).map_or(0, |w| u64::from(*w));
                    parts.push(scalar_text(scalar_from(kind, half(1) | half(2) << 32)));
                }
                Word::List(_) => open.push((parts.len(), rest.len().saturating_sub(here.get(1).map_or(0, |n| *n as usize)))),
                Word::Step(_) | Word::Block(_) => return parts,
            }
        }
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Chunk(Chunk::Scalar(scalar)) => scalar_text(*scalar),
        Value::Chunk(Chunk::Block(block)) => format!("<{} {:?}>", block.dtype(), block.shape()),
        Value::Chunk(Chunk::Records(records)) => format!("<{} records>", records.count),
        Value::Chunk(Chunk::Bytes(bytes)) => format!("<{} bytes>", bytes.0.len()),
        Value::Object(object) => match object.get::<String>() {
            Some(text) if text.chars().count() > 40 => format!("{:?}..", text.chars().take(37).collect::<String>()),
            Some(text) => format!("{text:?}"),
            None => format!("<{}>", super::argument::shorten(object.type_name())),
        },
        Value::List(list) => format!("[{}]", list.iter().map(value_text).collect::<Vec<_>>().join(", ")),
    }
}

fn scalar_text(scalar: Scalar) -> String {
    match scalar {
        Scalar::Bool(x) => x.to_string(),
        Scalar::I8(x) => x.to_string(),
        Scalar::I16(x) => x.to_string(),
        Scalar::I32(x) => x.to_string(),
        Scalar::I64(x) => x.to_string(),
        Scalar::U8(x) => x.to_string(),
        Scalar::U16(x) => x.to_string(),
        Scalar::U32(x) => x.to_string(),
        Scalar::U64(x) => x.to_string(),
        Scalar::F32(x) => format!("{x:?}"),
        Scalar::F64(x) => format!("{x:?}"),
    }
}
