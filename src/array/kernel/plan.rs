//! A program made ready to run: instructions over tile registers, with super-operations.
//!
//! ```text
//! a * b + exp(-c) * sqrt(d)   ->   r0 = exp_neg(c);  r1 = mul_sqrt(r0, d);  out = mul_add(a, b, r1)
//! ```
//! A super-operation does what its parts would do, with the same roundings, and saves a tile written and read. A
//! register is free again after its last use; a result never shares a register with an argument of its step, because
//! loops whose destination aliases a source are not vectorised.

use super::op::{BinaryOp, TernaryOp, UnaryOp, is_float};
use super::program::{Node, Operand};
use chunkstore_store::DType;

/// The elements of a tile, unless there are many registers.
const TILE: usize = 4096;
/// The least: sums are segmented by it, so a tile is always a multiple of it.
pub(super) const SEGMENT: usize = 1024;
/// What the registers may take together before tiles get smaller; half of a usual second-level cache.
const CACHE_BYTES: usize = 512 << 10;

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Input(usize),
    Constant(usize),
    Register(usize),
}

/// What an instruction does; the type is that of its (last) argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Code {
    Unary(UnaryOp),
    Binary(BinaryOp),
    Ternary(TernaryOp),
    /// exp(-x)
    ExpNegative,
    /// x * sqrt(y)
    MultiplySqrt,
    /// x * y + z, rounded twice
    MultiplyAdd,
    /// x * y - z, rounded twice
    MultiplySubtract,
    /// (x - y)²
    SquareDifference,
}

/// One step over a tile. Unused arguments repeat the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    pub(super) code: Code,
    pub(super) dtype: DType,
    pub(super) result: DType,
    pub(super) arguments: [Source; 3],
    pub(super) to: usize,
}

/// A program made ready to run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) inputs: Vec<DType>,
    pub(super) used: Vec<bool>,
    pub(super) constants: Vec<(DType, u64)>,
    pub(super) instructions: Vec<Instruction>,
    pub(super) output: Source,
    pub(super) dtype: DType,
    /// Registers of results; inputs and constants may need one each besides.
    pub(super) results: usize,
}

impl Plan {
    /// The plan of a program: its inputs, its values with their types, and which of them is the output.
    pub(super) fn new(inputs: &[DType], nodes: &[Node], dtypes: &[DType], output: Operand) -> Plan {
        let mut uses = vec![0u32; nodes.len()];
        for node in nodes {
            for argument in node.arguments() {
                uses[argument.index()] += 1;
            }
        }
        uses[output.index()] += 1;

        // Which values a super-operation swallows: those used once, by the step that does their work too.
        let mut fused: Vec<Option<(Code, [Operand; 3])>> = vec![None; nodes.len()];
        let mut swallowed = vec![false; nodes.len()];
        for (i, node) in nodes.iter().enumerate().rev() {
            if swallowed[i] {
                continue;
            }
            if let Some((code, arguments, inner)) = super_operation(nodes, dtypes, node, &|operand: Operand| uses[operand.index()] == 1) {
                fused[i] = Some((code, arguments));
                swallowed[inner.index()] = true;
            }
        }

        let mut plan = Plan {
            inputs: inputs.to_vec(),
            used: vec![false; inputs.len()],
            constants: Vec::new(),
            instructions: Vec::new(),
            output: Source::Constant(0),
            dtype: dtypes[output.index()],
            results: 0,
        };
        let mut steps: Vec<(usize, Code, [Operand; 3])> = Vec::new();
        let mut sources = vec![Source::Constant(0); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            match *node {
                _ if swallowed[i] => {}
                Node::Input(input) => {
                    plan.used[input as usize] = true;
                    sources[i] = Source::Input(input as usize);
                }
                Node::Constant(dtype, bits) => {
                    sources[i] = Source::Constant(plan.constants.len());
                    plan.constants.push((dtype, bits));
                }
                _ if fused[i].is_some() => steps.extend(fused[i].map(|(code, arguments)| (i, code, arguments))),
                Node::Unary(op, a) => steps.push((i, Code::Unary(op), [a; 3])),
                Node::Binary(op, a, b) => steps.push((i, Code::Binary(op), [a, b, a])),
                Node::Ternary(op, a, b, c) => steps.push((i, Code::Ternary(op), [a, b, c])),
            }
        }
        plan.assign(dtypes, output, &steps, &mut sources);
        plan.output = sources[output.index()];
        plan
    }

    /// Gives every result a register, and frees it after its last use.
    fn assign(&mut self, dtypes: &[DType], output: Operand, steps: &[(usize, Code, [Operand; 3])], sources: &mut [Source]) {
        let mut last_use = vec![0; sources.len()];
        for (at, (_, _, arguments)) in steps.iter().enumerate() {
            for argument in arguments {
                last_use[argument.index()] = at;
            }
        }
        last_use[output.index()] = usize::MAX;
        let mut free: Vec<usize> = Vec::new();
        for (at, (node, code, arguments)) in steps.iter().enumerate() {
            let to = free.pop().unwrap_or_else(|| {
                self.results += 1;
                self.results - 1
            });
            let typed = if matches!(code, Code::Ternary(_)) { arguments[2] } else { arguments[0] };
            self.instructions.push(Instruction {
                code: *code,
                dtype: dtypes[typed.index()],
                result: dtypes[*node],
                arguments: arguments.map(|argument| sources[argument.index()]),
                to,
            });
            for (k, argument) in arguments.iter().enumerate() {
                if let Source::Register(register) = sources[argument.index()]
                    && last_use[argument.index()] == at
                    && !arguments[..k].contains(argument)
                {
                    free.push(register);
                }
            }
            sources[*node] = Source::Register(to);
        }
    }

    /// The most registers that a run needs: results, and each input and constant that has to be laid out.
    pub(super) fn registers(&self) -> usize {
        self.results + self.constants.len() + self.inputs.len()
    }

    /// The elements of a tile; it depends on the program only.
    pub(super) fn tile(&self) -> usize {
        let mut tile = TILE;
        while tile > SEGMENT && self.registers() * tile * 8 > CACHE_BYTES {
            tile /= 2;
        }
        tile
    }
}

/// The super-operation that does the work of `node` and of one argument that nobody else uses.
fn super_operation(nodes: &[Node], dtypes: &[DType], node: &Node, once: &dyn Fn(Operand) -> bool) -> Option<(Code, [Operand; 3], Operand)> {
    let inner = |operand: Operand| once(operand).then(|| nodes[operand.index()]);
    let float = |operand: Operand| is_float(dtypes[operand.index()]);
    match *node {
        Node::Unary(UnaryOp::Exp, a) => match inner(a)? {
            Node::Unary(UnaryOp::Negative, x) => Some((Code::ExpNegative, [x; 3], a)),
            _ => None,
        },
        Node::Unary(UnaryOp::Square, a) if float(a) => match inner(a)? {
            Node::Binary(BinaryOp::Subtract, x, y) => Some((Code::SquareDifference, [x, y, x], a)),
            _ => None,
        },
        Node::Binary(BinaryOp::Multiply, a, b) if float(a) => {
            if let Some(Node::Unary(UnaryOp::Sqrt, y)) = inner(b) {
                return Some((Code::MultiplySqrt, [a, y, a], b));
            }
            match inner(a)? {
                Node::Unary(UnaryOp::Sqrt, y) => Some((Code::MultiplySqrt, [b, y, b], a)),
                _ => None,
            }
        }
        Node::Binary(BinaryOp::Add, a, b) if float(a) => {
            if let Some(Node::Binary(BinaryOp::Multiply, x, y)) = inner(a) {
                return Some((Code::MultiplyAdd, [x, y, b], a));
            }
            match inner(b)? {
                Node::Binary(BinaryOp::Multiply, x, y) => Some((Code::MultiplyAdd, [x, y, a], b)),
                _ => None,
            }
        }
        Node::Binary(BinaryOp::Subtract, a, b) if float(a) => match inner(a)? {
            Node::Binary(BinaryOp::Multiply, x, y) => Some((Code::MultiplySubtract, [x, y, b], a)),
            _ => None,
        },
        _ => None,
    }
}
