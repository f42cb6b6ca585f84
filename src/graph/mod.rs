//! WHAT is to be computed: keys, values, operators, layers and the columnar run-time form. Pure: no input or output.
//!
//! `SPEC.md` beside this file defines graphs without code.

mod key;
mod layer;
mod operator;
mod table;
mod value;

pub use key::{Key, KeyBuilder};
pub use layer::{Dependency, Layer, LayerRef, Size, Sizes};
pub use operator::{Operator, TaskContext};
pub use table::{Lowering, TaskTable};
pub use value::Value;
