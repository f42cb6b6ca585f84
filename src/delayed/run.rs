//! Computing delayed values: on the default engine, or on one that is named.

use super::Delayed;
use crate::engine::{Explain, default_engine};
use crate::graph::{Argument, Given, Graph, LayerRef, Picked};
use crate::{Collected, Collection, Error, ErrorKind, Persist, Result};
use std::sync::Arc;

impl<T: Argument> Collection for Delayed<T> {
    type Output = T;

    fn collect(&self) -> Result<Collected<T>> {
        let node = self.node.clone();
        Ok(Collected {
            layer: self.layer()?,
            bytes: 0,
            keep: true,
            begin: Box::new(|| Ok(())),
            finish: Box::new(move |kept| {
                let value = kept.value()?;
                let given = Given::from(&value);
                T::take(given).ok_or_else(|| {
                    let wanted = std::any::type_name::<T>();
                    let message = format!("the value of {} is {}, and {wanted} was asked for", node.short_name(), given.describe());
                    Error::new(ErrorKind::Type, message)
                })
            }),
        })
    }
}

impl<T> Persist for Delayed<T> {
    fn layer(&self) -> Result<LayerRef> {
        Ok(Arc::new(Picked::values(vec![self.node.clone()])))
    }

    fn with_layer(&self, layer: LayerRef) -> Self {
        Delayed::of(self.node.with_block(layer, 0))
    }
}

impl<T: Argument> Delayed<T> {
    /// Computes the value on the default engine; [`Engine::compute`](crate::Engine::compute) computes several at once, on an engine of one's own.
    ///
    /// # Errors
    /// Whatever a call meets: its error names the call and the line of the program that made it.
    pub fn compute(&self) -> Result<T> {
        default_engine()?.compute(self)
    }

    /// What computing the value on the default engine will take: see [`Engine::explain`](crate::Engine::explain).
    ///
    /// # Errors
    /// The first error of the arguments; out of memory where a call does not fit.
    pub fn explain(&self) -> Result<Explain> {
        default_engine()?.explain(self)
    }
}

impl<T> Delayed<T> {
    /// Computes the value on the default engine and keeps it there: see [`Engine::persist`](crate::Engine::persist).
    ///
    /// # Errors
    /// As [`Delayed::compute`].
    pub fn persist(&self) -> Result<Self> {
        default_engine()?.persist(self)
    }

    /// The value's graph: a key and a task for each call that it needs, and for each block of arrays among the arguments. The value has the key [`Delayed::key`].
    ///
    /// # Errors
    /// The first error of the arguments.
    pub fn graph(&self) -> Result<Graph> {
        Ok(Graph::from_layers(&[self.layer()?]))
    }
}
