//! Lists of values.

use super::Value;
use std::ops::Deref;
use std::sync::Arc;

/// Lists that are this deep or less give their values back one inside the other.
const SHALLOW: u32 = 64;

/// What looks through lists inside lists goes no deeper.
pub(crate) const DEEPEST: u32 = 1000;

/// Values in order, shared: an argument or a result that is a list.
///
/// ```
/// use chunkstore::graph::{Value, Values};
/// let list = Values::from(vec![Value::of(1i64)?, Value::of(2i64)?]);
/// assert_eq!((list.len(), list.depth()), (2, 1));
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Values {
    items: Arc<[Value]>,
    bytes: u64,
    depth: u32,
}

impl Values {
    /// How many lists are inside each other, this one included.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The bytes that its values hold.
    pub fn nbytes(&self) -> u64 {
        self.bytes
    }

    fn new(items: Arc<[Value]>) -> Self {
        let inner = items.iter().map(|item| if let Value::List(list) = item { list.depth } else { 0 }).max().unwrap_or(0);
        let bytes = items.iter().map(Value::nbytes).fold(0, u64::saturating_add);
        Values { items, bytes, depth: inner.saturating_add(1) }
    }
}

impl From<Vec<Value>> for Values {
    fn from(items: Vec<Value>) -> Self {
        Values::new(items.into())
    }
}

impl FromIterator<Value> for Values {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Values::new(items.into_iter().collect())
    }
}

impl Deref for Values {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// Deep lists are taken apart one by one: a drop inside a drop for each would need more stack than there is.
impl Drop for Values {
    fn drop(&mut self) {
        if self.depth <= SHALLOW {
            return;
        }
        let mut left = vec![std::mem::replace(&mut self.items, Arc::new([]))];
        while let Some(mut items) = left.pop() {
            for item in Arc::get_mut(&mut items).into_iter().flatten() {
                if let Value::List(list) = item {
                    list.depth = 0;
                    left.push(std::mem::replace(&mut list.items, Arc::new([])));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, Values};

    #[test]
    fn a_deep_list_is_given_back_without_a_deep_stack() {
        let mut list = Values::from(Vec::new());
        let mut others = Vec::new();
        for i in 0..1_000_000 {
            if i % 100_000 == 0 {
                others.push(list.clone());
            }
            list = Values::from(vec![Value::None, Value::List(list)]);
        }
        assert_eq!(list.depth(), 1_000_001);
        drop(list);
        assert!(others.iter().zip(0..).all(|(list, i)| list.depth() == i * 100_000 + 1 && list.len() == if i == 0 { 0 } else { 2 }));
    }
}
