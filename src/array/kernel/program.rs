//! A straight-line program over elements: what an elementwise operator computes for one element.

use super::op::{BinaryOp, TernaryOp, UnaryOp, is_float};
use super::plan::Plan;
use chunkstore_store::{DType, Scalar};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most values, and the most tile registers, of a program that [`Program::compose`] makes.
const MAX_NODES: usize = 192;
const MAX_REGISTERS: usize = 48;
/// The most inputs, and the most values, of a program that is decoded.
const MAX_DECODED: usize = 4096;

/// A value of a program: an input, a constant or the result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Operand(u16);

impl Operand {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a value comes about. Arguments stand before the values that use them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Node {
    Input(u16),
    /// The bits of the constant, in the low bytes.
    Constant(DType, u64),
    Unary(UnaryOp, Operand),
    Binary(BinaryOp, Operand, Operand),
    Ternary(TernaryOp, Operand, Operand, Operand),
}

/// A program: typed inputs, steps, and one output. Equal steps occur once, and equal programs have equal encodings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Encoded", try_from = "Encoded")]
pub(crate) struct Program {
    inputs: Vec<DType>,
    nodes: Vec<Node>,
    dtypes: Vec<DType>,
    output: Operand,
    plan: Arc<Plan>,
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        // The rest follows from these.
        self.inputs == other.inputs && self.nodes == other.nodes && self.output == other.output
    }
}

/// What is stored of a program; decoding checks it by building it again.
#[derive(Serialize, Deserialize)]
struct Encoded {
    inputs: Vec<DType>,
    nodes: Vec<Node>,
    output: Operand,
}

impl From<Program> for Encoded {
    fn from(program: Program) -> Self {
        Encoded { inputs: program.inputs, nodes: program.nodes, output: program.output }
    }
}

impl TryFrom<Encoded> for Program {
    type Error = &'static str;
    fn try_from(encoded: Encoded) -> Result<Self, Self::Error> {
        if encoded.inputs.len().max(encoded.nodes.len()) > MAX_DECODED {
            return Err("a program is too long");
        }
        let fits = |node: &Node| match node {
            Node::Constant(DType::Bool, bits) => *bits < 2,
            Node::Constant(dtype, bits) => dtype.size() == 8 || bits >> (8 * dtype.size()) == 0,
            _ => true,
        };
        if !encoded.nodes.iter().all(fits) {
            return Err("a constant is no value of its type");
        }
        let mut builder = Program::builder();
        let inputs: Vec<_> = encoded.inputs.iter().map(|dtype| builder.input(*dtype)).collect();
        let values = builder.import(&encoded.nodes, &inputs).ok_or("a program's steps do not fit together")?;
        let output = values.get(encoded.output.index()).ok_or("a program has no output")?;
        Ok(builder.finish(*output))
    }
}

impl Program {
    /// An empty builder.
    pub(crate) fn builder() -> ProgramBuilder {
        ProgramBuilder { inputs: Vec::new(), nodes: Vec::new(), dtypes: Vec::new() }
    }

    /// The types of the inputs.
    pub(crate) fn inputs(&self) -> &[DType] {
        &self.inputs
    }

    /// The type of the output.
    pub(crate) fn output(&self) -> DType {
        self.dtypes[self.output.index()]
    }

    /// The program made ready to run.
    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Replaces input `input` by the output of `inner`. The new inputs are the others of `self` in order, then those of
    /// `inner`. `None` where the types differ, or the program would grow past the limit of steps or registers.
    pub(crate) fn compose(&self, input: usize, inner: &Program) -> Option<Program> {
        if *self.inputs.get(input)? != inner.output() {
            return None;
        }
        let mut builder = Program::builder();
        let mut inputs: Vec<Operand> = Vec::with_capacity(self.inputs.len());
        for (i, dtype) in self.inputs.iter().enumerate() {
            inputs.push(if i == input { Operand(0) } else { builder.input(*dtype) });
        }
        let inner_inputs: Vec<_> = inner.inputs.iter().map(|dtype| builder.input(*dtype)).collect();
        inputs[input] = *builder.import(&inner.nodes, &inner_inputs)?.get(inner.output.index())?;
        let output = *builder.import(&self.nodes, &inputs)?.get(self.output.index())?;
        let program = builder.finish(output);
        (program.nodes.len() <= MAX_NODES && program.plan.registers() <= MAX_REGISTERS).then_some(program)
    }

    /// Makes the inputs `a` and `b` one: `b` disappears, and `a < b` are of one type. Other arguments change nothing.
    pub(crate) fn unify(&self, a: usize, b: usize) -> Program {
        let build = || {
            if a >= b || self.inputs.get(a)? != self.inputs.get(b)? {
                return None;
            }
            let mut builder = Program::builder();
            let mut inputs: Vec<Operand> = Vec::with_capacity(self.inputs.len());
            for (i, dtype) in self.inputs.iter().enumerate() {
                inputs.push(if i == b { inputs[a] } else { builder.input(*dtype) });
            }
            let output = *builder.import(&self.nodes, &inputs)?.get(self.output.index())?;
            Some(builder.finish(output))
        };
        build().unwrap_or_else(|| self.clone())
    }

    /// Applies `op` to the output; `None` where it is not defined for its type.
    pub(super) fn then(&self, op: UnaryOp) -> Option<Program> {
        let mut builder = ProgramBuilder { inputs: self.inputs.clone(), nodes: self.nodes.clone(), dtypes: self.dtypes.clone() };
        let output = builder.unary(op, self.output)?;
        if output == self.output {
            return Some(self.clone());
        }
        Some(builder.finish(output))
    }

    /// The most bytes of tile registers that running it takes.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        (self.plan.registers() * self.plan.tile() * 8) as u64
    }
}

/// Builds a [`Program`] value by value.
#[derive(Clone, Debug)]
pub(crate) struct ProgramBuilder {
    inputs: Vec<DType>,
    nodes: Vec<Node>,
    dtypes: Vec<DType>,
}

impl ProgramBuilder {
    fn push(&mut self, node: Node, dtype: DType) -> Operand {
        let index = self.nodes.iter().position(|other| *other == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.dtypes.push(dtype);
            self.nodes.len() - 1
        });
        Operand(index as u16)
    }

    /// Whether there is room for the few values that one step can add.
    fn has_room(&self) -> bool {
        self.nodes.len() < u16::MAX as usize - 4
    }

    /// A new input.
    pub(crate) fn input(&mut self, dtype: DType) -> Operand {
        self.inputs.push(dtype);
        self.push(Node::Input((self.inputs.len() - 1) as u16), dtype)
    }

    /// A constant.
    pub(crate) fn constant(&mut self, value: Scalar) -> Operand {
        let (dtype, bits) = match value {
            Scalar::Bool(v) => (DType::Bool, u64::from(v)),
            Scalar::I8(v) => (DType::I8, u64::from(v as u8)),
            Scalar::I16(v) => (DType::I16, u64::from(v as u16)),
            Scalar::I32(v) => (DType::I32, u64::from(v as u32)),
            Scalar::I64(v) => (DType::I64, v as u64),
            Scalar::U8(v) => (DType::U8, u64::from(v)),
            Scalar::U16(v) => (DType::U16, u64::from(v)),
            Scalar::U32(v) => (DType::U32, u64::from(v)),
            Scalar::U64(v) => (DType::U64, v),
            Scalar::F32(v) => (DType::F32, u64::from(v.to_bits())),
            Scalar::F64(v) => (DType::F64, v.to_bits()),
        };
        self.push(Node::Constant(dtype, bits), dtype)
    }

    /// The type of a value.
    pub(crate) fn dtype(&self, operand: Operand) -> Option<DType> {
        self.dtypes.get(operand.index()).copied()
    }

    /// Casts a value to F64 unless it is of a floating point type.
    fn float(&mut self, a: Operand) -> Option<Operand> {
        if is_float(self.dtype(a)?) { Some(a) } else { self.unary(UnaryOp::Cast(DType::F64), a) }
    }

    /// The result of `op`; `None` where it is not defined for the type.
    pub(crate) fn unary(&mut self, op: UnaryOp, a: Operand) -> Option<Operand> {
        let from = self.dtype(a)?;
        let dtype = op.output(from)?;
        let integral = !is_float(from);
        match op {
            UnaryOp::Positive => return Some(a),
            UnaryOp::Cast(to) if to == from => return Some(a),
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Trunc if integral => return Some(a),
            _ => {}
        }
        let a = if op.in_float() { self.float(a)? } else { a };
        self.has_room().then(|| self.push(Node::Unary(op, a), dtype))
    }

    /// The result of `op`; `None` where it is not defined for the types.
    pub(crate) fn binary(&mut self, op: BinaryOp, a: Operand, b: Operand) -> Option<Operand> {
        let dtype = op.output(self.dtype(a)?, self.dtype(b)?)?;
        if op == BinaryOp::Power
            && let Some(Node::Constant(DType::F64 | DType::F32, bits)) = self.nodes.get(b.index())
        {
            // As NumPy does for these exponents.
            match if dtype == DType::F64 { f64::from_bits(*bits) } else { f64::from(f32::from_bits(*bits as u32)) } {
                1.0 => return Some(a),
                2.0 => return self.unary(UnaryOp::Square, a),
                0.5 => return self.unary(UnaryOp::Sqrt, a),
                -1.0 => return self.unary(UnaryOp::Reciprocal, a),
                _ => {}
            }
        }
        let (a, b) = if op.in_float() { (self.float(a)?, self.float(b)?) } else { (a, b) };
        self.has_room().then(|| self.push(Node::Binary(op, a, b), dtype))
    }

    /// The result of `op`; `None` where it is not defined for the types.
    pub(crate) fn ternary(&mut self, op: TernaryOp, a: Operand, b: Operand, c: Operand) -> Option<Operand> {
        let dtype = op.output(self.dtype(a)?, self.dtype(b)?, self.dtype(c)?)?;
        self.has_room().then(|| self.push(Node::Ternary(op, a, b, c), dtype))
    }

    /// Adds the nodes of another program; `inputs` are the values of its inputs. Gives the value of every node.
    fn import(&mut self, nodes: &[Node], inputs: &[Operand]) -> Option<Vec<Operand>> {
        let mut values: Vec<Operand> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let value = |operand: Operand| values.get(operand.index()).copied();
            let new = match *node {
                Node::Input(i) => *inputs.get(i as usize)?,
                Node::Constant(dtype, bits) => self.has_room().then(|| self.push(Node::Constant(dtype, bits), dtype))?,
                Node::Unary(op, a) => self.unary(op, value(a)?)?,
                Node::Binary(op, a, b) => self.binary(op, value(a)?, value(b)?)?,
                Node::Ternary(op, a, b, c) => self.ternary(op, value(a)?, value(b)?, value(c)?)?,
            };
            values.push(new);
        }
        Some(values)
    }

    /// The program whose output is `output`: values that it does not need are dropped, the others are put in the order
    /// in which a depth first walk meets them. All inputs stay.
    pub(crate) fn finish(self, output: Operand) -> Program {
        const UNSEEN: u16 = u16::MAX;
        let mut number = vec![UNSEEN; self.nodes.len()];
        let (mut nodes, mut dtypes) = (Vec::new(), Vec::new());
        let mut stack = vec![output];
        while let Some(&top) = stack.last() {
            let node = self.nodes[top.index()];
            if number[top.index()] != UNSEEN {
                stack.pop();
                continue;
            }
            let arguments = node.arguments();
            let depth = stack.len();
            stack.extend(arguments.iter().rev().filter(|argument| number[argument.index()] == UNSEEN));
            if stack.len() > depth {
                continue;
            }
            stack.pop();
            let new = |operand: Operand| Operand(number[operand.index()]);
            nodes.push(match node {
                Node::Input(_) | Node::Constant(..) => node,
                Node::Unary(op, a) => Node::Unary(op, new(a)),
                Node::Binary(op, a, b) => Node::Binary(op, new(a), new(b)),
                Node::Ternary(op, a, b, c) => Node::Ternary(op, new(a), new(b), new(c)),
            });
            dtypes.push(self.dtypes[top.index()]);
            number[top.index()] = (nodes.len() - 1) as u16;
        }
        let output = Operand(number[output.index()]);
        let plan = Arc::new(Plan::new(&self.inputs, &nodes, &dtypes, output));
        Program { inputs: self.inputs, nodes, dtypes, output, plan }
    }
}

impl Node {
    /// The values that it uses.
    pub(super) fn arguments(&self) -> smallvec::SmallVec<[Operand; 3]> {
        match *self {
            Node::Input(_) | Node::Constant(..) => smallvec::smallvec![],
            Node::Unary(_, a) => smallvec::smallvec![a],
            Node::Binary(_, a, b) => smallvec::smallvec![a, b],
            Node::Ternary(_, a, b, c) => smallvec::smallvec![a, b, c],
        }
    }
}
