//! A graph of the same meaning with keys left out, taken into their users, or named anew.
//!
//! ```text
//! x: (inc, 1)                          y takes x in: its words are those of x, whose result goes onto
//! y: (add, x, (dec, 2))                the stack above what is there already, and then its own.
//!
//! inc 1 | STACK 0                      dec 2 | inc 1 | add STACK 1, STACK 0
//! ```
//! A task that a key takes in at several places, or by way of several others, runs once for that key: its result stays at the
//! bottom of the stack.

use super::graph::{Graph, NOWHERE, Said, words_of};
use super::links::KeyLinks;
use super::word::{LIMIT, Word};
use super::{GraphKey, Value};

/// What becomes of each key, by number.
pub(crate) struct Rewrite {
    /// Keys that keep a task.
    pub(crate) keep: Vec<bool>,
    /// Keys whose tasks stand in their users' in place of them.
    pub(crate) inline: Vec<bool>,
    /// For each key, the one that is mentioned in its place; empty where each stands for itself. A key that is kept and has another in
    /// its place becomes an alias.
    pub(crate) instead: Vec<u32>,
    /// Keys whose tasks get another key, and that become aliases of it.
    pub(crate) renamed: Vec<(u32, GraphKey)>,
}

impl Rewrite {
    /// Every key keeps its task as it is.
    pub(crate) fn nothing(graph: &Graph) -> Self {
        let keys = graph.program.keys.len();
        Rewrite { keep: vec![true; keys], inline: vec![false; keys], instead: Vec::new(), renamed: Vec::new() }
    }
}

impl Graph {
    /// The graph with its keys rewritten. Of keys that are to be taken in and need each other in a circle, one at least is not.
    ///
    /// Takes time linear in the words of both graphs.
    pub(crate) fn rewritten(&self, rewrite: Rewrite) -> Graph {
        Writer::new(self, rewrite).write()
    }
}

/// A number that has none yet in the new graph.
const NONE: u32 = u32::MAX;

struct Writer<'a> {
    old: &'a Graph,
    rewrite: Rewrite,
    new: Graph,
    /// What is said of the old tasks that are in the one that is being written.
    said: Said,
    /// The new numbers of keys, literals and functions.
    keys: Vec<u32>,
    literals: Vec<u32>,
    callees: Vec<u32>,
    /// Words of arguments and expressions that are on the way.
    pending: Vec<u32>,
    /// The lists that are open: where they stand in `pending`, and where the old ones end.
    lists: Vec<(usize, usize)>,
    frames: Vec<Frame>,
    /// How often what a key takes in is mentioned in it.
    mentions: Vec<u32>,
    /// Where in `shared` the words stand that give the value of what a key takes in at several places.
    at: Vec<(u32, u32)>,
    shared: Vec<u32>,
}

/// A task whose words are being copied.
#[derive(Clone, Copy)]
struct Frame {
    /// The old words that are left.
    next: usize,
    end: usize,
    /// Where its stack begins, and the first place above all results that are still needed. A call's result is just below that.
    bottom: u32,
    top: u32,
    /// The call that is being copied.
    step: Option<Step>,
    /// Whether the last that was copied is a call.
    called: bool,
    /// The lists that were open before.
    lists: usize,
}

#[derive(Clone, Copy)]
struct Step {
    head: Word,
    arity: u32,
    base: u32,
    block: Option<u32>,
    /// Where its arguments begin in `pending`.
    args: usize,
    /// Where the old ones end.
    end: usize,
}

impl<'a> Writer<'a> {
    fn new(old: &'a Graph, mut rewrite: Rewrite) -> Self {
        let keys = old.program.keys.len();
        rewrite.keep.resize(keys, false);
        rewrite.inline.resize(keys, false);
        for id in 0..keys {
            let defined = old.span(id as u32) != NOWHERE;
            rewrite.keep[id] &= defined;
            rewrite.inline[id] &= defined;
        }
        if rewrite.inline.contains(&true) {
            let inlined = |id: u32| rewrite.inline.get(id as usize).copied().unwrap_or(false);
            let (_, circular) = KeyLinks::new(old).inputs_first(0..keys as u32, inlined);
            for id in circular {
                rewrite.inline[id as usize] = false;
                rewrite.keep[id as usize] = true;
            }
        }
        Writer {
            old,
            rewrite,
            new: Graph::new(),
            said: Said::default(),
            keys: vec![NONE; keys],
            literals: vec![NONE; old.program.literals.len()],
            callees: vec![NONE; old.program.callees.len()],
            pending: Vec::new(),
            lists: Vec::new(),
            frames: Vec::new(),
            mentions: vec![0; keys],
            at: vec![(NONE, 0); keys],
            shared: Vec::new(),
        }
    }

    fn write(mut self) -> Graph {
        // Keys keep their order.
        for id in 0..self.keys.len() as u32 {
            if self.rewrite.keep[id as usize] {
                self.key(id);
            }
        }
        let renamed = std::mem::take(&mut self.rewrite.renamed);
        let mut renamed = renamed.into_iter().peekable();
        for id in 0..self.keys.len() as u32 {
            if !self.rewrite.keep[id as usize] {
                continue;
            }
            let start = self.new.program.words.len();
            let instead = self.instead(id);
            if instead != id {
                let word = Word::Key(self.key(instead)).encode();
                self.new.program.words.push(word);
                self.define(id, start);
                continue;
            }
            self.said = Said::default();
            self.task(id);
            match renamed.next_if(|(of, _)| *of == id) {
                Some((_, name)) => {
                    let span = self.new.program.end_task(start);
                    let named = self.new.program.keys.intern(name);
                    self.set(named, span);
                    self.new.say(named, self.said);
                    let start = self.new.program.words.len();
                    self.new.program.words.push(Word::Key(named).encode());
                    self.define(id, start);
                }
                None => {
                    self.define(id, start);
                    let key = self.key(id);
                    self.new.say(key, self.said);
                }
            }
        }
        let callees = &self.callees;
        self.new.program.share_callees(&self.old.program, |old| callees.get(old as usize).copied().filter(|new| *new != NONE));
        self.new.program.error = self.new.program.error.take().or_else(|| self.old.program.error.clone());
        self.new.spans.resize(self.new.program.keys.len(), NOWHERE);
        self.new
    }

    /// The words from `start` on are the task of an old key.
    fn define(&mut self, id: u32, start: usize) {
        let span = self.new.program.end_task(start);
        let key = self.key(id);
        self.set(key, span);
    }

    fn set(&mut self, key: u32, span: (u32, u32)) {
        if self.new.spans.len() <= key as usize {
            self.new.spans.resize(self.new.program.keys.len(), NOWHERE);
        }
        if let Some(place) = self.new.spans.get_mut(key as usize) {
            self.new.defined += usize::from(*place == NOWHERE);
            *place = span;
        }
    }

    fn instead(&self, id: u32) -> u32 {
        self.rewrite.instead.get(id as usize).copied().unwrap_or(id)
    }

    /// Writes the task of a key that stays.
    fn task(&mut self, id: u32) {
        let words = self.old.words(id);
        let takes_in = words_of(words).any(|word| matches!(word, Word::Key(id) if self.rewrite.inline[self.instead(id) as usize]));
        let mut bottom = 0;
        let mut several = Vec::new();
        if takes_in {
            several = self.several(id);
            for id in &several {
                bottom = self.copy(*id, bottom);
                let start = self.shared.len() as u32;
                self.shared.append(&mut self.pending);
                self.at[*id as usize] = (start, self.shared.len() as u32);
            }
        }
        self.copy(id, bottom);
        // What a call gives needs no expression.
        let is_result = matches!(*self.pending, [word] if matches!(Word::decode(word), Word::Stack(_)));
        if !is_result {
            self.new.program.words.extend_from_slice(&self.pending);
        }
        self.pending.clear();
        self.shared.clear();
        for id in several {
            self.at[id as usize] = (NONE, 0);
        }
    }

    /// What a key takes in at several places, inputs first.
    fn several(&mut self, id: u32) -> Vec<u32> {
        // Keys whose words have been looked through have their words' mentions counted.
        let mut order = Vec::new();
        let mut stack = vec![(id, self.old.span(id).0 as usize)];
        while let Some((id, next)) = stack.pop() {
            let end = self.old.span(id).1 as usize;
            let mut at = next;
            let mut found = None;
            while at < end {
                let Some(word) = self.old.program.words.get(at).map(|word| Word::decode(*word)) else { break };
                at += word.len();
                if let Word::Key(input) = word {
                    let input = self.instead(input);
                    if self.rewrite.inline[input as usize] {
                        self.mentions[input as usize] += 1;
                        if self.mentions[input as usize] == 1 {
                            found = Some(input);
                            break;
                        }
                    }
                }
            }
            match found {
                Some(input) => {
                    stack.push((id, at));
                    stack.push((input, self.old.span(input).0 as usize));
                }
                None => order.push(id),
            }
        }
        order.pop();
        order.retain(|id| std::mem::take(&mut self.mentions[*id as usize]) > 1);
        order
    }

    /// Writes the calls of an old task, with results from `bottom` on, and leaves in `pending` the words that give its value. Gives the
    /// first place above what these words need.
    fn copy(&mut self, id: u32, bottom: u32) -> u32 {
        self.open(id, bottom);
        while let Some(mut frame) = self.frames.pop() {
            while self.lists.len() > frame.lists
                && let Some((head, _)) = self.lists.pop_if(|(_, end)| *end == frame.next)
            {
                let len = self.pending.len() - head - 2;
                if let Some(place) = self.pending.get_mut(head + 1) {
                    *place = len as u32;
                }
            }
            match frame.step.take_if(|step| step.end == frame.next) {
                Some(step) => {
                    self.call(step, frame.bottom);
                    frame.top = frame.bottom + step.base + 1;
                    frame.called = true;
                    self.frames.push(frame);
                }
                None if frame.next >= frame.end => {
                    // The result of the last call, below which there may be others that stood in several places.
                    if frame.called {
                        self.pending.push(Word::Stack(frame.top - 1).encode());
                    }
                    match self.frames.last_mut() {
                        Some(user) => user.top = frame.top,
                        None => return frame.top,
                    }
                }
                None => self.word(frame),
            }
        }
        bottom
    }

    fn open(&mut self, id: u32, bottom: u32) {
        let Said { retries, priority } = self.old.said(id);
        self.said = Said { retries: self.said.retries.max(retries), priority: self.said.priority.max(priority) };
        let (start, end) = self.old.span(id);
        if bottom > LIMIT / 2 {
            self.new.program.fail("a task has too many nested calls");
        }
        let (next, end) = (start as usize, end as usize);
        self.frames.push(Frame { next, end, bottom, top: bottom, step: None, called: false, lists: self.lists.len() });
    }

    /// Copies one word.
    fn word(&mut self, mut frame: Frame) {
        let at = |i: usize| self.old.program.words.get(frame.next + i).copied().unwrap_or_default();
        let word = Word::decode(at(0));
        let mut taken_in = None;
        match word {
            Word::Step(_) | Word::Block(_) => {
                let block = (word.len() == 5).then(|| at(4));
                let end = frame.next + word.len() + at(2) as usize;
                frame.step = Some(Step { head: word, arity: at(1), base: at(3), block, args: self.pending.len(), end });
            }
            Word::Scalar(_) => self.pending.extend_from_slice(&[at(0), at(1), at(2)]),
            Word::List(_) => {
                self.lists.push((self.pending.len(), frame.next + 2 + at(1) as usize));
                self.pending.extend_from_slice(&[at(0), 0]);
            }
            Word::Stack(place) => self.pending.push(Word::Stack(place + frame.bottom).encode()),
            Word::Literal(literal) => {
                let literal = self.literal(literal);
                self.pending.push(Word::Literal(literal).encode());
            }
            Word::Key(id) => {
                let id = self.instead(id);
                match self.at[id as usize] {
                    _ if !self.rewrite.inline[id as usize] => {
                        let key = self.key(id);
                        self.pending.push(Word::Key(key).encode());
                    }
                    (NONE, _) => taken_in = Some(id),
                    (start, end) => self.pending.extend_from_slice(self.shared.get(start as usize..end as usize).unwrap_or_default()),
                }
            }
        }
        frame.next += word.len();
        frame.called = false;
        self.frames.push(frame);
        if let Some(id) = taken_in {
            self.open(id, frame.top);
        }
    }

    fn call(&mut self, step: Step, bottom: u32) {
        let head = match step.head {
            Word::Block(callee) => Word::Block(self.callee(callee)),
            Word::Step(callee) => Word::Step(self.callee(callee)),
            word => word,
        };
        let args = self.pending.get(step.args..).unwrap_or_default();
        let words = &mut self.new.program.words;
        words.extend_from_slice(&[head.encode(), step.arity, args.len() as u32, bottom + step.base]);
        words.extend(step.block);
        words.extend_from_slice(args);
        self.pending.truncate(step.args);
    }

    fn key(&mut self, old: u32) -> u32 {
        if self.keys[old as usize] == NONE {
            let key = self.old.program.keys.key(old).cloned();
            self.keys[old as usize] = self.new.program.keys.intern(key.unwrap_or_else(|| GraphKey::from("")));
        }
        self.keys[old as usize]
    }

    fn literal(&mut self, old: u32) -> u32 {
        if self.literals[old as usize] == NONE {
            self.literals[old as usize] = self.new.program.literals.len() as u32;
            let value = self.old.program.literals.get(old as usize).cloned();
            self.new.program.literals.push(value.unwrap_or(Value::None));
        }
        self.literals[old as usize]
    }

    fn callee(&mut self, old: u32) -> u32 {
        if self.callees[old as usize] == NONE {
            self.callees[old as usize] = self.new.program.callees.len() as u32;
            self.new.program.callees.extend(self.old.program.callees.get(old as usize).cloned());
        }
        self.callees[old as usize]
    }
}
