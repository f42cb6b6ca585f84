//! Small layers of one number a block, for tests.

use super::graph_calls::tests::run;
use super::{Dependency, Key, KeyBuilder, Layer, LayerRef, Lowering, Operator, Size, Sizes, TaskContext, Value};
use crate::Result;
use std::any::Any;
use std::sync::Arc;

/// What a block is made of.
#[derive(Clone, Debug)]
enum Work {
    /// Numbers that are there.
    Leaf(Vec<i64>),
    /// A sum over the inputs at the same place, by an expression of them.
    Sum(Expression),
    /// The blocks from a number on.
    Slice(u32),
    /// Block 0, everywhere.
    Broadcast,
}

#[derive(Clone, Debug)]
enum Expression {
    Input(usize),
    Number(Vec<i64>),
    Sum(Vec<Expression>),
}

struct Fake {
    name: String,
    key: Key,
    work: Work,
    blocks: u32,
    inputs: Vec<LayerRef>,
    cheap: bool,
    sharing: Option<(Key, u8)>,
}

fn make(name: &str, work: Work, blocks: u32, inputs: &[LayerRef]) -> Fake {
    let key = KeyBuilder::new(name, 1).text(&format!("{work:?}")).number(blocks.into());
    let key = inputs.iter().fold(key, |key, input| key.input(input.key())).finish();
    Fake { name: name.into(), key, work, blocks, inputs: inputs.to_vec(), cheap: false, sharing: None }
}

pub(crate) fn leaf(name: &str, numbers: &[i64]) -> LayerRef {
    Arc::new(make(name, Work::Leaf(numbers.to_vec()), numbers.len() as u32, &[]))
}

pub(crate) fn cheap(name: &str, numbers: &[i64]) -> LayerRef {
    Arc::new(Fake { cheap: true, ..make(name, Work::Leaf(numbers.to_vec()), numbers.len() as u32, &[]) })
}

/// The sum of the inputs, block for block; the name changes the value.
pub(crate) fn add(name: &str, inputs: impl IntoIterator<Item = LayerRef>) -> LayerRef {
    let inputs: Vec<_> = inputs.into_iter().collect();
    let mut terms: Vec<_> = (0..inputs.len()).map(Expression::Input).collect();
    let blocks = inputs[0].blocks();
    terms.push(Expression::Number(vec![name.bytes().map(i64::from).sum(); blocks as usize]));
    Arc::new(make(name, Work::Sum(Expression::Sum(terms)), blocks, &inputs))
}

/// A layer that others of the same `sharing` and input can stand in for.
pub(crate) fn ranked(name: &str, input: &LayerRef, sharing: u8, rank: u8) -> LayerRef {
    let sharing = (KeyBuilder::new("sharing", 1).number(sharing.into()).input(input.key()).finish(), rank);
    let work = Work::Sum(Expression::Sum(vec![Expression::Input(0)]));
    Arc::new(Fake { sharing: Some(sharing), ..make(name, work, input.blocks(), std::slice::from_ref(input)) })
}

pub(crate) fn slice(input: &LayerRef, start: u32, end: u32) -> LayerRef {
    Arc::new(make("slice", Work::Slice(start), end - start, std::slice::from_ref(input)))
}

pub(crate) fn broadcast(input: &LayerRef, blocks: u32) -> LayerRef {
    Arc::new(make("broadcast", Work::Broadcast, blocks, std::slice::from_ref(input)))
}

impl Expression {
    /// The expression with inputs numbered anew, or replaced.
    fn map(&self, input: &impl Fn(usize) -> Expression) -> Expression {
        match self {
            Expression::Input(i) => input(*i),
            Expression::Number(n) => Expression::Number(n.clone()),
            Expression::Sum(terms) => Expression::Sum(terms.iter().map(|term| term.map(input)).collect()),
        }
    }

    fn numbers(&self, change: &impl Fn(&[i64]) -> Vec<i64>) -> Expression {
        match self {
            Expression::Input(i) => Expression::Input(*i),
            Expression::Number(n) => Expression::Number(change(n)),
            Expression::Sum(terms) => Expression::Sum(terms.iter().map(|term| term.numbers(change)).collect()),
        }
    }

    fn value(&self, block: u32, inputs: &[i64]) -> i64 {
        match self {
            Expression::Input(i) => inputs[*i],
            Expression::Number(n) => n[block as usize],
            Expression::Sum(terms) => terms.iter().fold(0, |sum, term| sum.wrapping_add(term.value(block, inputs))),
        }
    }
}

impl Layer for Fake {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        let block = match self.work {
            Work::Slice(start) => block + start,
            Work::Broadcast => 0,
            _ => block,
        };
        out.extend((0..self.inputs.len() as u32).map(|input| Dependency { input, block }));
    }

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(8), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(FakeOperator(self.name.clone(), self.work.clone()))
    }

    fn is_cheap(&self) -> bool {
        self.cheap
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let made = make(&self.name, self.work.clone(), self.blocks, &inputs);
        (!self.inputs.is_empty()).then(|| Arc::new(Fake { sharing: self.sharing, cheap: self.cheap, ..made }) as LayerRef)
    }

    fn absorb(&self, input: usize) -> Option<LayerRef> {
        let Work::Sum(expression) = &self.work else { return None };
        let other = self.inputs[input].as_any().downcast_ref::<Fake>()?;
        let mut inputs: Vec<LayerRef> = Vec::new();
        let mut place = |layer: &LayerRef| {
            inputs.iter().position(|known| known.key() == layer.key()).unwrap_or_else(|| {
                inputs.push(layer.clone());
                inputs.len() - 1
            })
        };
        let mine: Vec<_> = self.inputs.iter().map(|layer| if layer.key() == other.key { 0 } else { place(layer) }).collect();
        let theirs: Vec<_> = other.inputs.iter().map(&mut place).collect();
        let inner = match &other.work {
            Work::Leaf(numbers) if other.cheap => Expression::Number(numbers.clone()),
            Work::Sum(expression) => expression.map(&|i| Expression::Input(theirs[i])),
            _ => return None,
        };
        let work = expression.map(&|i| match self.inputs[i].key() == other.key {
            true => inner.clone(),
            false => Expression::Input(mine[i]),
        });
        Some(Arc::new(make(&self.name, Work::Sum(work), self.blocks, &inputs)))
    }

    fn push_down(&self) -> Option<LayerRef> {
        let Work::Slice(start) = self.work else { return None };
        let other = self.inputs[0].as_any().downcast_ref::<Fake>()?;
        let end = start + self.blocks;
        let range = start as usize..end as usize;
        match &other.work {
            Work::Slice(before) => Some(slice(&other.inputs[0], before + start, before + end)),
            Work::Leaf(numbers) => {
                Some(Arc::new(Fake { cheap: other.cheap, ..make(&other.name, Work::Leaf(numbers[range].to_vec()), self.blocks, &[]) }))
            }
            Work::Broadcast => None,
            Work::Sum(expression) => {
                let inputs: Vec<_> = other.inputs.iter().map(|input| slice(input, start, end)).collect();
                let work = Work::Sum(expression.numbers(&|n| n[range.clone()].to_vec()));
                Some(Arc::new(make(&other.name, work, self.blocks, &inputs)))
            }
        }
    }

    fn sharing(&self) -> Option<(Key, u8)> {
        self.sharing
    }
}

struct FakeOperator(String, Work);

impl Operator for FakeOperator {
    fn name(&self) -> &str {
        &self.0
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let inputs = inputs.iter().map(Value::get::<i64>).collect::<Result<Vec<_>>>()?;
        Value::of(match &self.1 {
            Work::Leaf(numbers) => numbers[task.block() as usize],
            Work::Sum(expression) => expression.value(task.block(), &inputs),
            Work::Slice(_) | Work::Broadcast => inputs[0],
        })
    }
}

/// The values of all blocks of all roots.
pub(crate) fn values(roots: &[LayerRef]) -> Vec<Vec<i64>> {
    let mut lowering = Lowering::new();
    let tasks: Vec<Vec<u32>> =
        roots.iter().map(|root| (0..root.blocks()).map(|block| lowering.want(root, block).unwrap()).collect()).collect();
    let values = run(&lowering.finish()).unwrap();
    tasks.iter().map(|tasks| tasks.iter().map(|task| values[*task as usize].get().unwrap()).collect()).collect()
}

/// The names of all layers, inputs first.
pub(crate) fn names(roots: &[LayerRef]) -> Vec<String> {
    super::in_order(roots).iter().map(|layer| layer.name().to_owned()).collect()
}
