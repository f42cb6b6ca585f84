//! A graph as text, as Dask shows its dictionaries.

use super::function::Callee;
use super::graph::{Graph, NOWHERE};
use super::word::{Word, scalar_from};
use super::{DEEPEST, GraphKey, Value};
use chunkstore_store::{Chunk, Scalar};
use rustc_hash::FxHashMap;
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
            write!(f, "{}: ", key.quoted())?;
            self.write_task(f, id as u32)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A call of a task: its name, and where its arguments stand.
struct CallText {
    name: String,
    start: usize,
    end: usize,
    shown: bool,
}

/// Something that is being written: a call, a list, or what gives the task's value.
struct Open {
    next: usize,
    end: usize,
    first: bool,
    close: &'static str,
}

impl Graph {
    /// Writes a task, its outermost call first. A call whose result stands in several places is written in full in the first of them, and as `(name, ..)` in
    /// the others.
    fn write_task(&self, f: &mut fmt::Formatter<'_>, id: u32) -> fmt::Result {
        let words = self.words(id);
        let (mut calls, given, value) = self.calls_of(words);
        let mut open = Vec::new();
        match calls.last() {
            Some(call) if value == words.len() => {
                write!(f, "({}", call.name)?;
                open.push(Open::call(call));
            }
            _ => open.push(Open { next: value, end: words.len(), first: true, close: "" }),
        }
        while let Some(top) = open.last_mut() {
            if top.next >= top.end {
                f.write_str(if top.first && top.close == ")" { ",)" } else { top.close })?;
                open.pop();
                continue;
            }
            if !std::mem::take(&mut top.first) || top.close == ")" {
                f.write_str(", ")?;
            }
            let at = top.next;
            let word = words.get(at).map_or(Word::Key(u32::MAX), |word| Word::decode(*word));
            let here = |i: usize| words.get(at + i).copied().unwrap_or(0);
            top.next += word.len();
            match word {
                Word::Key(id) => f.write_str(&self.program.keys.key(id).map(GraphKey::quoted).unwrap_or_default())?,
                Word::Literal(l) => f.write_str(&self.program.literals.get(l as usize).map(value_text).unwrap_or_default())?,
                Word::Scalar(kind) => {
                    f.write_str(&scalar_text(scalar_from(kind, u64::from(here(1)) | u64::from(here(2)) << 32)))?;
                }
                Word::List(_) => {
                    f.write_str("[")?;
                    let (next, end) = (at + 2, at + 2 + here(1) as usize);
                    top.next = end;
                    open.push(Open { next, end, first: true, close: "]" });
                }
                Word::Stack(_) => match given.get(&at).and_then(|call| calls.get_mut(*call)) {
                    Some(call) if call.shown => write!(f, "({}, ..)", call.name)?,
                    Some(call) => {
                        write!(f, "({}", call.name)?;
                        call.shown = true;
                        open.push(Open::call(call));
                    }
                    None => f.write_str("?")?,
                },
                Word::Step(_) | Word::Block(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The calls of a task; for each place where a result stands, the call that gives it; and where the words begin that give the
    /// task's value.
    fn calls_of(&self, words: &[u32]) -> (Vec<CallText>, FxHashMap<usize, usize>, usize) {
        let (mut calls, mut given, mut live) = (Vec::new(), FxHashMap::default(), Vec::new());
        let mut look = |from: usize, to: usize, live: &[usize]| {
            let mut at = from;
            while let Some(word) = words.get(at).filter(|_| at < to).map(|word| Word::decode(*word)) {
                if let (Word::Stack(place), at) = (word, at)
                    && let Some(call) = live.get(place as usize)
                {
                    given.insert(at, *call);
                }
                at += word.len();
            }
        };
        let mut at = 0;
        while let Some(word) = words.get(at).map(|word| Word::decode(*word)) {
            let (Word::Step(callee) | Word::Block(callee)) = word else { break };
            let here = |i: usize| words.get(at + i).copied().unwrap_or(0);
            let start = at + word.len();
            let end = start + here(2) as usize;
            look(start, end, &live);
            live.truncate(here(3) as usize);
            live.push(calls.len());
            let name = self.callee_text(callee, (word.len() == 5).then(|| here(4)));
            calls.push(CallText { name, start, end, shown: false });
            at = end;
        }
        look(at, words.len(), &live);
        (calls, given, at)
    }

    fn callee_text(&self, callee: u32, block: Option<u32>) -> String {
        let name = self.program.callees.get(callee as usize).map_or("?", Callee::name);
        block.map_or_else(|| name.into(), |block| format!("{name}[{block}]"))
    }
}

impl Open {
    /// The arguments of a call.
    fn call(call: &CallText) -> Self {
        Open { next: call.start, end: call.end, first: true, close: ")" }
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
        Value::List(list) if list.depth() > DEEPEST => format!("[{} lists deep]", list.depth()),
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
