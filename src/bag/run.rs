//! Computing bags: on the default engine, or on one that is named.

use super::lazy::Bag;
use super::pipeline::Item;
use super::stored::records;
use super::value::BagValue;
use crate::engine::{Explain, default_engine};
use crate::graph::{Graph, LayerRef};
use crate::{Collected, Collection, Persist, Result};
use chunkstore_store::serial::heap_bytes;

/// What elements hold on the heap is set aside in steps of so many bytes.
const STEP: u64 = 1 << 20;

impl<T: Item> Collection for Bag<T> {
    type Output = Vec<T>;

    fn collect(&self) -> Result<Collected<Vec<T>>> {
        let layer = self.stored_layer()?.clone();
        let blocks = layer.blocks();
        Ok(Collected {
            layer,
            keep: true,
            bytes: 0,
            begin: Box::new(|| Ok(())),
            finish: Box::new(move |kept| {
                let (mut items, mut heap) = (Vec::new(), 0);
                for _ in 0..blocks {
                    let value = kept.value()?;
                    let records = records(&value)?;
                    kept.set_aside(records.count.saturating_mul(size_of::<T>() as u64))?;
                    items.reserve_exact(records.iter::<T>().size_hint().0);
                    for item in records.iter() {
                        let item = item?;
                        heap += heap_bytes(&item);
                        if heap >= STEP {
                            kept.set_aside(std::mem::take(&mut heap))?;
                        }
                        items.push(item);
                    }
                }
                kept.set_aside(heap)?;
                Ok(items)
            }),
        })
    }
}

impl<T: Item> Persist for Bag<T> {
    fn layer(&self) -> Result<LayerRef> {
        self.stored_layer().cloned()
    }

    fn with_layer(&self, layer: LayerRef) -> Self {
        Bag::on(layer)
    }
}

impl<T: Item> Collection for BagValue<T> {
    type Output = T;

    fn collect(&self) -> Result<Collected<T>> {
        let what = self.missing();
        Ok(Collected {
            layer: self.bag().stored_layer()?.clone(),
            keep: true,
            bytes: 0,
            begin: Box::new(|| Ok(())),
            finish: Box::new(move |kept| {
                let value = kept.value()?;
                let records = records(&value)?;
                kept.set_aside(records.data.len() as u64)?;
                let value: T = records.clone().into_reader().next()?.ok_or_else(|| what.error())?;
                kept.set_aside(heap_bytes(&value).saturating_sub(records.data.len() as u64))?;
                Ok(value)
            }),
        })
    }
}

impl<T: Item> Persist for BagValue<T> {
    fn layer(&self) -> Result<LayerRef> {
        self.bag().stored_layer().cloned()
    }

    fn with_layer(&self, layer: LayerRef) -> Self {
        self.on(layer)
    }
}

macro_rules! on_the_default_engine {
    ($type:ident, $output:ty) => {
        impl<T: Item> $type<T> {
            /// Computes it on the default engine; [`Engine::compute`](crate::Engine::compute) computes several at once, on an engine of one's own.
            ///
            /// # Errors
            /// The first error of the steps; out of memory where the result does not fit; whatever a task meets.
            pub fn compute(&self) -> Result<$output> {
                default_engine()?.compute(self)
            }

            /// Computes it on the default engine and keeps it there, in memory or spilled: see [`Engine::persist`](crate::Engine::persist).
            ///
            /// # Errors
            /// As for `compute`.
            pub fn persist(&self) -> Result<Self> {
                default_engine()?.persist(self)
            }

            /// What computing it on the default engine will take: see [`Engine::explain`](crate::Engine::explain).
            ///
            /// # Errors
            /// The first error of the steps; out of memory where a task does not fit.
            pub fn explain(&self) -> Result<Explain> {
                default_engine()?.explain(self)
            }

            /// Its graph: a key and a task for each partition of each step.
            ///
            /// # Errors
            /// The first error of the steps.
            pub fn graph(&self) -> Result<Graph> {
                Ok(Graph::from_layers(&[self.layer()?]))
            }
        }
    };
}
on_the_default_engine!(Bag, Vec<T>);
on_the_default_engine!(BagValue, T);
