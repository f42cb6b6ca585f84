//! Keys of tasks from what they do: equal functions with equal arguments.

use super::function::Callee;
use super::node::Input;
use super::word::scalar_bits;
use super::{DEEPEST, Key, KeyBuilder, StampedPath, Value};
use chunkstore_store::Chunk;
use std::path::PathBuf;
use std::time::Duration;

/// The key of a task; none where a function or a literal in it cannot be compared with others.
pub(super) fn content_key(words: &[u32], literals: &[Value], callees: &[Callee], inputs: &[Input]) -> Option<Key> {
    let mut key = KeyBuilder::new("delayed", 1).number(callees.len() as u64);
    for callee in callees {
        match callee {
            Callee::Function(function) => key = function.op().add_to(key.text(function.name()))?,
            Callee::Layer(..) => return None,
        }
    }
    key = key.number(words.len() as u64);
    for pair in words.chunks(2) {
        let word = |at: usize| pair.get(at).copied().map_or(0, u64::from);
        key = key.number(word(0) | word(1) << 32);
    }
    key = key.number(literals.len() as u64);
    for literal in literals {
        key = value(key, literal)?;
    }
    key = key.number(inputs.len() as u64);
    Some(inputs.iter().fold(key, |key, input| input.add_to(key)).finish())
}

/// Adds a value; none where its type is not one that can be looked into.
fn value(key: KeyBuilder, value: &Value) -> Option<KeyBuilder> {
    Some(match value {
        Value::None => key.number(0),
        Value::Chunk(Chunk::Scalar(scalar)) => {
            let (kind, bits) = scalar_bits(*scalar);
            key.number(1).number(u64::from(kind)).number(bits)
        }
        Value::Chunk(Chunk::Block(block)) => {
            let key = key.number(2).text(&block.dtype().to_string());
            key.numbers(block.shape().iter().map(|extent| *extent as u64)).bytes(block.bytes())
        }
        Value::Chunk(_) => return None,
        Value::List(list) if list.depth() > DEEPEST => return None,
        Value::List(list) => {
            let mut key = key.number(3).number(list.len() as u64);
            for element in list.iter() {
                key = self::value(key, element)?;
            }
            key
        }
        Value::Object(object) => {
            let key = key.number(4).text(object.type_name());
            macro_rules! seen {
                ($($t:ty, $x:ident => $bytes:expr;)*) => { $(
                    if let Some($x) = object.get::<$t>() {
                        return Some($bytes(key));
                    }
                )* };
            }
            macro_rules! vectors {
                ($($t:ty),*) => { $(
                    if let Some(x) = object.get::<Vec<$t>>() {
                        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
                        return Some(key.bytes(&bytes));
                    }
                )* };
            }
            vectors!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);
            seen! {
                String, x => |key: KeyBuilder| key.text(x);
                char, x => |key: KeyBuilder| key.number(u64::from(u32::from(*x)));
                i128, x => |key: KeyBuilder| key.bytes(&x.to_le_bytes());
                u128, x => |key: KeyBuilder| key.bytes(&x.to_le_bytes());
                PathBuf, x => |key: KeyBuilder| key.bytes(x.as_os_str().as_encoded_bytes());
                StampedPath, x => |key: KeyBuilder| {
                    let key = key.bytes(x.path().as_os_str().as_encoded_bytes()).number(x.size());
                    key.bytes(&x.mtime_ns().to_le_bytes())
                };
                Duration, x => |key: KeyBuilder| key.bytes(&x.as_nanos().to_le_bytes());
                Vec<String>, x => |key: KeyBuilder| x.iter().fold(key.number(x.len() as u64), |key, text| key.text(text));
                Vec<bool>, x => |key: KeyBuilder| key.numbers(x.iter().map(|x| u64::from(*x)));
            }
            return None;
        }
    })
}
