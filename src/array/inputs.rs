//! The input layers of a layer, which may be the head of a chain as long as the user's loop.

use crate::graph::LayerRef;
use std::cell::RefCell;
use std::ops::Deref;

/// Input layers. Dropping them takes no stack however long the chain behind them is.
#[derive(Default)]
pub(super) struct Inputs(Vec<LayerRef>);

impl From<Vec<LayerRef>> for Inputs {
    fn from(layers: Vec<LayerRef>) -> Self {
        Inputs(layers)
    }
}

impl Deref for Inputs {
    type Target = [LayerRef];
    fn deref(&self) -> &[LayerRef] {
        &self.0
    }
}

impl Drop for Inputs {
    /// The outermost drop on a thread works through a list; the drops that it causes only add to the list.
    fn drop(&mut self) {
        thread_local! {
            static WAITING: RefCell<Option<Vec<LayerRef>>> = const { RefCell::new(None) };
        }
        let mine = std::mem::take(&mut self.0);
        if mine.is_empty() {
            return;
        }
        // A thread that is ending has no list any more: the plain drop is right, if deep.
        let outermost = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
            Some(list) => {
                list.extend(mine);
                false
            }
            none => {
                *none = Some(mine);
                true
            }
        });
        if outermost != Ok(true) {
            return;
        }
        let next = || WAITING.try_with(|waiting| waiting.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten();
        while let Some(layer) = next() {
            drop(layer);
        }
        let _ = WAITING.try_with(|waiting| waiting.borrow_mut().take());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::array::Array;

    #[test]
    fn a_chain_of_any_length_can_be_dropped() {
        let mut x = Array::<f64>::ones([4], 2);
        for _ in 0..200_000 {
            x = x + 1.0;
        }
        assert_eq!(x.shape().unwrap(), [4]);
    }
}
