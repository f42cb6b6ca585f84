//! What can be computed together: a collection, or a tuple or list of them.

use crate::graph::LayerRef;
use crate::{Collected, Collection, Result};

/// One part of a computation, prepared.
pub struct Part {
    pub(crate) layer: LayerRef,
    pub(crate) bytes: u64,
    pub(crate) begin: Box<dyn FnOnce() -> Result<()> + Send>,
}

/// What [`Engine::compute`](super::Engine::compute) takes: a collection, a tuple or slice of these, or a reference to one.
pub trait Computable {
    /// What computing it gives.
    type Output;

    /// Prepares every part, and gives what makes the output of them in the end.
    ///
    /// # Errors
    /// The first error of a chain that made a collection.
    #[doc(hidden)]
    #[allow(clippy::type_complexity)]
    fn parts(&self, parts: &mut Vec<Part>) -> Result<Box<dyn FnOnce() -> Result<Self::Output> + Send + '_>>;
}

impl<C: Collection> Computable for C
where
    C::Output: 'static,
{
    type Output = C::Output;

    fn parts(&self, parts: &mut Vec<Part>) -> Result<Box<dyn FnOnce() -> Result<C::Output> + Send + '_>> {
        let Collected { layer, bytes, begin, finish } = self.collect()?;
        parts.push(Part { layer, bytes, begin });
        Ok(finish)
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: Computable),*> Computable for ($($name,)*)
        where $($name::Output: 'static),*
        {
            type Output = ($($name::Output,)*);

            #[allow(non_snake_case)]
            fn parts(&self, parts: &mut Vec<Part>) -> Result<Box<dyn FnOnce() -> Result<Self::Output> + Send + '_>> {
                let ($($name,)*) = self;
                $(let $name = $name.parts(parts)?;)*
                Ok(Box::new(move || Ok(($($name()?,)*))))
            }
        }

        impl<$($name: Computable),*> Computable for &($($name,)*)
        where $($name::Output: 'static),*
        {
            type Output = ($($name::Output,)*);

            fn parts(&self, parts: &mut Vec<Part>) -> Result<Box<dyn FnOnce() -> Result<Self::Output> + Send + '_>> {
                (**self).parts(parts)
            }
        }
    };
}
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);

impl<C: Computable> Computable for &[C] {
    type Output = Vec<C::Output>;

    fn parts(&self, parts: &mut Vec<Part>) -> Result<Box<dyn FnOnce() -> Result<Self::Output> + Send + '_>> {
        let finish: Vec<_> = self.iter().map(|part| part.parts(parts)).collect::<Result<_>>()?;
        Ok(Box::new(move || finish.into_iter().map(|finish| finish()).collect()))
    }
}
