//! Computing arrays: on the default engine, or on one that is named.

use super::Array;
use super::collect::Item;
use crate::engine::{Explain, default_engine};
use crate::graph::Graph;
use crate::{Collection, Persist, Result};
use chunkstore_store::Element;
use ndarray::ArrayD;

impl<T: Element> Array<T>
where
    Array<T>: Collection<Output = ArrayD<T>> + Persist,
    Item<T>: Collection<Output = T>,
{
    /// Computes the array on the default engine; [`Engine::compute`](crate::Engine::compute) computes several at once, on an engine of one's own.
    ///
    /// # Errors
    /// The first error of the steps that made the array; out of memory where the result does not fit, with what to do
    /// about it; whatever a task meets.
    ///
    /// ```
    /// use chunkstore::array::{Array, Auto};
    /// let x = Array::<i64>::arange(0, 6, 1, Auto).reshape([2, 3]);
    /// assert_eq!(x.sum(0).compute()?, ndarray::arr1(&[3, 5, 7]).into_dyn());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn compute(&self) -> Result<ArrayD<T>> {
        default_engine()?.compute(self)
    }

    /// Computes an array of one element on the default engine, and gives the element.
    ///
    /// # Errors
    /// A shape error where there is not just one element; otherwise as [`Array::compute`].
    ///
    /// ```
    /// let mean: f64 = chunkstore::array::Array::<f64>::ones([100, 100], 10).mean(..).item()?;
    /// assert_eq!(mean, 1.0);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn item(&self) -> Result<T> {
        default_engine()?.compute(&self.item_collection())
    }

    /// Computes the array on the default engine and keeps its blocks there: see [`Engine::persist`](crate::Engine::persist).
    ///
    /// # Errors
    /// As [`Array::compute`].
    pub fn persist(&self) -> Result<Self> {
        default_engine()?.persist(self)
    }

    /// What computing the array on the default engine will take: see [`Engine::explain`](crate::Engine::explain).
    ///
    /// # Errors
    /// The first error of the steps that made the array; out of memory where the result does not fit.
    pub fn explain(&self) -> Result<Explain> {
        default_engine()?.explain(self)
    }

    /// The array's graph, as it would be without the optimiser's passes: a key `('mean-1f2e3d4c', i, j)` for each block that its
    /// blocks need. It can be shown, and given to [`Engine::get_values`](crate::Engine::get_values).
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let graph = Array::<f64>::ones([4, 4], 2).sum(..).graph()?;
    /// assert!(graph.to_string().contains("sum"));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn graph(&self) -> Result<Graph> {
        Ok(Graph::from_layers(&[self.layer()?]))
    }
}
