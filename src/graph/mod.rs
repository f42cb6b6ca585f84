//! WHAT is to be computed: keys, values, operators, layers and the columnar run-time form. Pure: no input or output.
//!
//! `SPEC.md` beside this file defines graphs without code.

mod allowance;
mod annotate;
mod argument;
mod booking;
mod call;
mod codec;
mod content;
mod display;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fake;
mod from_layers;
mod function;
mod given;
#[allow(clippy::module_inception)]
mod graph;
mod graph_calls;
mod graph_key;
mod kept;
mod key;
mod key_table;
mod layer;
mod link;
mod links;
mod list;
mod lower;
mod nearest;
mod node;
mod operator;
mod outline;
mod picked;
mod program;
mod registry;
mod result;
mod rewrite;
mod same;
mod spill_room;
mod stamped_path;
mod table;
mod task;
mod tokenize;
mod value;
mod values;
mod walk;
mod word;

pub use crate::__graph_list as list;
pub(crate) use allowance::{Allowance, Grant, Holding, TRIMMED};
pub use annotate::{Annotations, annotate};
pub use argument::{Argument, Fits, Plain};
pub use call::{Arguments, Call, IntoArg, IntoTask, TryCall, TupleArgs, UntypedCall, call, call_untyped, try_call};
pub(crate) use codec::LONGEST as LONGEST_RECORD;
#[doc(hidden)]
pub use codec::{Codec, NoCodec, ResultCodec, Returned, SerdeCodec};
pub(crate) use function::{Callee, Fallible, Function, Library, Typed};
pub use function::{Op, Portable, TaskFn, op};
pub use given::{Args, Elements, Given};
pub(crate) use graph::words_of;
pub use graph::{FunctionKind, Graph};
#[cfg(test)]
pub(crate) use graph_calls::tests::run;
pub use graph_key::{GraphKey, KeyIndex, key};
pub use kept::KeptLog;
pub(crate) use kept::{Keeper, Keeping};
pub use key::{Key, KeyBuilder};
pub use layer::{Barrier, Dependency, Layer, LayerRef, Size, Sizes};
pub(crate) use link::{Linked as LinkedLayers, NodeLayer, link};
pub(crate) use links::{KeyLinks, KeyUsers};
pub use list::{AnyArg, Cons, List, Nil, list};
pub use lower::Lowered;
pub(crate) use node::{CallOptions, Input, Node, NodeRef};
pub(crate) use operator::{Cancellation, patiently};
pub use operator::{Operator, TaskContext};
pub(crate) use picked::{Becomes, Picked};
pub(crate) use program::Program;
pub use registry::{Decode, Registry};
pub(crate) use result::{from_block, from_scalar, into_value, list_element, list_len};
pub(crate) use rewrite::Rewrite;
pub(crate) use spill_room::SpillRoom;
pub use stamped_path::StampedPath;
pub use table::{Lowering, TaskTable};
#[doc(hidden)]
pub use task::{Declared, Task};
pub use tokenize::tokenize;
pub use value::{Object, Value};
pub(crate) use values::DEEPEST;
pub use values::Values;
pub(crate) use walk::in_order;
pub(crate) use word::Word;
