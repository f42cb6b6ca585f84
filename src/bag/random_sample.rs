//! A random part of a bag.

use super::counter::{Kind, bits, unit};
use super::lazy::Bag;
use super::pipeline::Item;
use super::stream::{BoxStream, Flow, MORE, Stream};
use crate::{Error, ErrorKind, Result};
use std::panic::Location;

impl<T: Item> Bag<T> {
    /// Each element with the probability `prob`. Which are kept depends on the seed, the number of the partition and that of the element in it, and on nothing else.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let some = bag::range(10_000, 4).random_sample(0.25, 7);
    /// let count = some.count().compute()?;
    /// assert!((2300..2700).contains(&count));
    /// assert_eq!(some.compute()?, bag::range(10_000, 4).random_sample(0.25, 7).compute()?);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn random_sample(&self, prob: f64, seed: u64) -> Bag<T> {
        let line = Location::caller();
        if !(0.0..=1.0).contains(&prob) {
            let error = Error::new(ErrorKind::Invalid, format!("a probability of {prob}")).hint("it is from 0 to 1");
            return Bag::at(self.check().and(Err(error)), line);
        }
        let parameters = [prob.to_bits().to_le_bytes(), seed.to_le_bytes()].concat();
        self.plain_step("random_sample", &parameters, line, move |inner, partition| {
            Box::new(Sampled { inner, dice: Dice { prob, seed, partition, at: 0 } })
        })
    }
}

/// Decides of one element after the other.
struct Dice {
    prob: f64,
    seed: u64,
    partition: u32,
    at: u64,
}

impl Dice {
    fn keeps(&mut self) -> bool {
        let random = bits(self.seed, Kind::Keep, self.partition, self.at);
        self.at += 1;
        unit(random) < self.prob
    }
}

/// The elements that dice keep.
struct Sampled<T> {
    inner: BoxStream<T>,
    dice: Dice,
}

impl<T: 'static> Stream<T> for Sampled<T> {
    fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.inner.next()? {
                Ok(_) if !self.dice.keeps() => {}
                kept => return Some(kept),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let Sampled { inner, dice } = self;
        inner.each(&mut |item| if dice.keeps() { take(item) } else { Ok(MORE) })
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let Sampled { inner, dice } = self;
        inner.each_str(&mut |text| if dice.keeps() { take(text) } else { Ok(MORE) })
    }
}
