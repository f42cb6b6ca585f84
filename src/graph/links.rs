//! Which keys of a user's graph need which.

use super::graph::{Graph, NOWHERE, words_of};
use super::word::Word;

/// For each key by number, the keys with a task that its own task mentions, each once, in the order in which it does.
pub(crate) struct KeyLinks {
    start: Vec<u32>,
    inputs: Vec<u32>,
    /// For each of `inputs`, whether the task mentions it more than once.
    again: Vec<bool>,
}

/// For each key by number, the keys whose tasks mention it, each once.
pub(crate) struct KeyUsers {
    start: Vec<u32>,
    users: Vec<u32>,
}

fn part<T>(all: &[T], start: &[u32], id: u32) -> std::ops::Range<usize> {
    let at = |id: usize| start.get(id).map_or(all.len(), |at| *at as usize);
    at(id as usize)..at(id as usize + 1)
}

impl KeyLinks {
    /// Takes time linear in the graph's words.
    pub(crate) fn new(graph: &Graph) -> Self {
        let keys = graph.program.keys.len();
        let mut links = KeyLinks { start: Vec::with_capacity(keys + 1), inputs: Vec::new(), again: Vec::new() };
        // For each key, its place among the inputs of the last task that mentions it.
        let mut place = vec![u32::MAX; keys];
        links.start.push(0);
        for id in 0..keys as u32 {
            let first = links.inputs.len() as u32;
            for word in words_of(graph.words(id)) {
                let Word::Key(input) = word else { continue };
                if graph.span(input) == NOWHERE {
                    continue;
                }
                let Some(place) = place.get_mut(input as usize) else { continue };
                if *place != u32::MAX && *place >= first {
                    if let Some(again) = links.again.get_mut(*place as usize) {
                        *again = true;
                    }
                    continue;
                }
                *place = links.inputs.len() as u32;
                links.inputs.push(input);
                links.again.push(false);
            }
            links.start.push(links.inputs.len() as u32);
        }
        links
    }

    /// The number of keys, those without a task among them.
    pub(crate) fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// What the task of a key needs.
    pub(crate) fn inputs(&self, id: u32) -> &[u32] {
        self.inputs.get(part(&self.inputs, &self.start, id)).unwrap_or_default()
    }

    /// For each of [`KeyLinks::inputs`], whether the task mentions it more than once.
    pub(crate) fn again(&self, id: u32) -> &[bool] {
        self.again.get(part(&self.again, &self.start, id)).unwrap_or_default()
    }

    /// The edges the other way round.
    pub(crate) fn users(&self) -> KeyUsers {
        let mut start = vec![0u32; self.len() + 1];
        for input in &self.inputs {
            if let Some(count) = start.get_mut(*input as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut start {
            sum += *count;
            *count = sum;
        }
        let mut next = start.clone();
        let mut users = vec![0u32; self.inputs.len()];
        for id in 0..self.len() as u32 {
            for input in self.inputs(id) {
                if let Some(next) = next.get_mut(*input as usize) {
                    if let Some(place) = users.get_mut(*next as usize) {
                        *place = id;
                    }
                    *next += 1;
                }
            }
        }
        KeyUsers { start, users }
    }

    /// All that `roots` need and they themselves, inputs first; and the keys that close circles: without these there is none.
    ///
    /// Only keys that `through` accepts are gone into.
    pub(crate) fn inputs_first(&self, roots: impl IntoIterator<Item = u32>, through: impl Fn(u32) -> bool) -> (Vec<u32>, Vec<u32>) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Unseen,
            Open,
            Done,
        }
        let mut state = vec![State::Unseen; self.len()];
        let (mut order, mut circular, mut stack) = (Vec::new(), Vec::new(), Vec::new());
        for root in roots {
            if state.get(root as usize) != Some(&State::Unseen) || !through(root) {
                continue;
            }
            state[root as usize] = State::Open;
            stack.push((root, 0));
            while let Some((id, next)) = stack.last_mut() {
                let (id, at) = (*id, *next);
                *next += 1;
                match self.inputs(id).get(at) {
                    None => {
                        state[id as usize] = State::Done;
                        order.push(id);
                        stack.pop();
                    }
                    Some(input) => match state[*input as usize] {
                        State::Unseen if through(*input) => {
                            state[*input as usize] = State::Open;
                            stack.push((*input, 0));
                        }
                        State::Open => circular.push(*input),
                        _ => {}
                    },
                }
            }
        }
        (order, circular)
    }
}

impl KeyUsers {
    /// The keys whose tasks mention a key.
    pub(crate) fn of(&self, id: u32) -> &[u32] {
        self.users.get(part(&self.users, &self.start, id)).unwrap_or_default()
    }
}
