//! What can be computed together: a collection, or a tuple or list of them.

use crate::graph::LayerRef;
use crate::{Collected, Collection, Error, ErrorKind, Kept, Persist, Result};

/// One part of a computation, prepared.
pub struct Part {
    pub(crate) layer: LayerRef,
    pub(crate) keep: bool,
    pub(crate) bytes: u64,
    pub(crate) begin: Box<dyn FnOnce() -> Result<()> + Send>,
}

/// Makes the output of several parts in the end, from the values that were kept.
pub type Finish<'a, O> = Box<dyn FnOnce(&mut Kept<'_>) -> Result<O> + Send + 'a>;

/// What [`Engine::compute`](super::Engine::compute) takes: a collection, a tuple, slice or list of these, or a reference to one.
pub trait Computable {
    /// What computing it gives.
    type Output;

    /// Prepares every part, and gives what makes the output of them in the end.
    ///
    /// # Errors
    /// The first error of a chain that made a collection.
    #[doc(hidden)]
    fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, Self::Output>>;
}

impl<C: Collection> Computable for C
where
    C::Output: 'static,
{
    type Output = C::Output;

    fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, C::Output>> {
        let Collected { layer, keep, bytes, begin, finish } = self.collect()?;
        parts.push(Part { layer, keep, bytes, begin });
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
            fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, Self::Output>> {
                let ($($name,)*) = self;
                $(let $name = $name.parts(parts)?;)*
                Ok(Box::new(move |kept| Ok(($($name(kept)?,)*))))
            }
        }

        impl<$($name: Computable),*> Computable for &($($name,)*)
        where $($name::Output: 'static),*
        {
            type Output = ($($name::Output,)*);

            fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, Self::Output>> {
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

    fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, Self::Output>> {
        let finish: Vec<_> = self.iter().map(|part| part.parts(parts)).collect::<Result<_>>()?;
        Ok(Box::new(move |kept| finish.into_iter().map(|finish| finish(kept)).collect()))
    }
}

macro_rules! lists {
    ($(($($generics:tt)*) $list:ty;)*) => { $(
        impl<C: Computable, $($generics)*> Computable for $list {
            type Output = Vec<C::Output>;

            fn parts(&self, parts: &mut Vec<Part>) -> Result<Finish<'_, Self::Output>> {
                let finish: Vec<_> = self.iter().map(|part| part.parts(parts)).collect::<Result<_>>()?;
                Ok(Box::new(move |kept| finish.into_iter().map(|finish| finish(kept)).collect()))
            }
        }
    )* };
}
lists! {
    () Vec<C>;
    () &Vec<C>;
    (const N: usize) [C; N];
    (const N: usize) &[C; N];
}

/// What [`Engine::persist`](super::Engine::persist) and [`Engine::optimize`](super::Engine::optimize) take: a reference to a collection, a tuple of references, or a slice
/// or list of collections.
pub trait Persistable {
    /// The same collections, each with the layers that it was given.
    type Output;

    /// The layers that give the collections' blocks.
    ///
    /// # Errors
    /// The first error of a chain that made a collection.
    #[doc(hidden)]
    fn layers(&self, layers: &mut Vec<LayerRef>) -> Result<()>;

    /// The collections on other layers, of which `next` gives one for each that [`Persistable::layers`] gave.
    #[doc(hidden)]
    fn rebuilt(&self, next: &mut dyn Iterator<Item = LayerRef>) -> Result<Self::Output>;
}

fn one<C: Persist>(collection: &C, next: &mut dyn Iterator<Item = LayerRef>) -> Result<C> {
    let layer = next.next().ok_or_else(|| Error::new(ErrorKind::Invalid, "a collection has no layer; this is a defect of the engine"))?;
    Ok(collection.with_layer(layer))
}

impl<C: Persist> Persistable for &C {
    type Output = C;

    fn layers(&self, layers: &mut Vec<LayerRef>) -> Result<()> {
        layers.push(self.layer()?);
        Ok(())
    }

    fn rebuilt(&self, next: &mut dyn Iterator<Item = LayerRef>) -> Result<C> {
        one(*self, next)
    }
}

macro_rules! persistable_lists {
    ($(($($generics:tt)*) $list:ty;)*) => { $(
        impl<C: Persist, $($generics)*> Persistable for $list {
            type Output = Vec<C>;

            fn layers(&self, layers: &mut Vec<LayerRef>) -> Result<()> {
                self.iter().try_for_each(|collection| collection.layer().map(|layer| layers.push(layer)))
            }

            fn rebuilt(&self, next: &mut dyn Iterator<Item = LayerRef>) -> Result<Vec<C>> {
                self.iter().map(|collection| one(collection, next)).collect()
            }
        }
    )* };
}
persistable_lists! {
    () &[C];
    () Vec<C>;
    () &Vec<C>;
    (const N: usize) [C; N];
    (const N: usize) &[C; N];
}

macro_rules! persistable_tuples {
    ($($name:ident)*) => {
        impl<$($name: Persistable),*> Persistable for ($($name,)*) {
            type Output = ($($name::Output,)*);

            #[allow(non_snake_case)]
            fn layers(&self, layers: &mut Vec<LayerRef>) -> Result<()> {
                let ($($name,)*) = self;
                $($name.layers(layers)?;)*
                Ok(())
            }

            #[allow(non_snake_case)]
            fn rebuilt(&self, next: &mut dyn Iterator<Item = LayerRef>) -> Result<Self::Output> {
                let ($($name,)*) = self;
                Ok(($($name.rebuilt(next)?,)*))
            }
        }
    };
}
persistable_tuples!(A);
persistable_tuples!(A B);
persistable_tuples!(A B C);
persistable_tuples!(A B C D);
persistable_tuples!(A B C D E);
persistable_tuples!(A B C D E F);
persistable_tuples!(A B C D E F G);
persistable_tuples!(A B C D E F G H);
