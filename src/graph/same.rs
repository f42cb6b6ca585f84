//! Which literals are the same.

use super::result::LARGE;
use super::word::scalar_bits;
use super::{DEEPEST, Object, Value};
use chunkstore_store::Chunk;

impl Value {
    /// Appends bytes that stand for the value: equal bytes mean the same value of the same type. `false` where it cannot be told: for blocks and vectors of
    /// more than 64 KiB, records, bytes, and types of the user's.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Value::None => out.push(0),
            Value::Chunk(Chunk::Scalar(scalar)) => {
                let (kind, bits) = scalar_bits(*scalar);
                out.extend_from_slice(&[1, kind as u8]);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            Value::Chunk(Chunk::Block(block)) if block.nbytes() as u64 <= LARGE => {
                out.push(2);
                framed(out, block.dtype().to_string().as_bytes());
                out.extend_from_slice(&(block.shape().len() as u64).to_le_bytes());
                block.shape().iter().for_each(|n| out.extend_from_slice(&(*n as u64).to_le_bytes()));
                framed(out, block.bytes());
            }
            Value::Chunk(_) => return false,
            Value::Object(object) if object.nbytes() <= LARGE => return object_bytes(object, out),
            Value::Object(_) => return false,
            Value::List(list) if list.depth() > DEEPEST => return false,
            Value::List(list) => {
                out.push(3);
                out.extend_from_slice(&(list.len() as u64).to_le_bytes());
                return list.iter().all(|value| value.canonical(out));
            }
        }
        true
    }
}

fn framed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Text, and vectors of numbers or of text.
fn object_bytes(object: &Object, out: &mut Vec<u8>) -> bool {
    out.push(4);
    framed(out, object.type_name().as_bytes());
    if let Some(text) = object.get::<String>() {
        framed(out, text.as_bytes());
        return true;
    }
    if let Some(texts) = object.get::<Vec<String>>() {
        out.extend_from_slice(&(texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|text| framed(out, text.as_bytes()));
        return true;
    }
    macro_rules! vectors {
        ($($t:ty),*) => { $(
            if let Some(numbers) = object.get::<Vec<$t>>() {
                numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
                return true;
            }
        )* };
    }
    vectors!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn equal_literals_have_equal_bytes() {
        let bytes = |value: Value| {
            let mut bytes = Vec::new();
            value.canonical(&mut bytes).then_some(bytes)
        };
        let text = |text: &str| bytes(Value::of(text.to_owned()).unwrap());
        assert_eq!(text("a"), text("a"));
        assert_ne!(text("a"), text("b"));
        let row = |n: usize| bytes(Value::of(ndarray::Array1::<f64>::ones(n)).unwrap());
        assert_eq!(row(3), row(3));
        assert_ne!(row(3), row(4));
        assert_eq!(row(100_000), None);
        assert_ne!(bytes(Value::of(1i64).unwrap()), bytes(Value::of(1u64).unwrap()));
        assert_ne!(bytes(Value::of(vec![1i64]).unwrap()), bytes(Value::of(vec![1u64]).unwrap()));
        let list = |items: &[i64]| bytes(Value::List(items.iter().map(|n| Value::of(*n).unwrap()).collect()));
        assert_eq!(list(&[1, 2]), list(&[1, 2]));
        assert_ne!(list(&[1, 2]), list(&[1, 2, 3]));
        struct Mine;
        assert_eq!(bytes(Value::of(std::sync::Arc::new(Mine)).unwrap()), None);
    }
}
