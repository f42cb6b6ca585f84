//! Keys: 128 bits of BLAKE3 over what a layer computes, so that equal work has equal keys.

use super::Operator;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Changes when the meaning of an operator's parameters does; part of every key.
const EPOCH: u32 = 2;

/// The name of a computed thing: equal work has equal keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// A key that nothing else has, in this process or in another.
    pub(crate) fn fresh() -> Key {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        static PROCESS: OnceLock<u64> = OnceLock::new();
        let process = *PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        // The finaliser of SplitMix64 (Steele, Lea, Flood, 2014), which gives different numbers for different ones: the first digits of keys made one
        // after the other differ.
        let mut mixed = NEXT.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Key((u128::from(mixed) << 64 | u128::from(process)).to_be_bytes())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Builds a [`Key`] from an operator's name and version, its parameters and its inputs' keys, in that order.
///
/// ```
/// use chunkstore::graph::KeyBuilder;
/// let one = KeyBuilder::new("sum", 1).bytes(b"axis 0").finish();
/// assert_eq!(one, KeyBuilder::new("sum", 1).bytes(b"axis 0").finish());
/// assert_ne!(one, KeyBuilder::new("sum", 1).bytes(b"axis 1").finish());
/// ```
pub struct KeyBuilder(blake3::Hasher);

impl KeyBuilder {
    /// Begins the key of an operator.
    pub fn new(operator: &str, version: u32) -> Self {
        KeyBuilder(blake3::Hasher::new()).number(EPOCH.into()).text(operator).number(version.into())
    }

    /// Begins the key of what an operator makes, from its name, its version and its parameters. One that has none is a closure,
    /// and no other key is equal.
    pub fn of(operator: &dyn Operator) -> Self {
        let key = KeyBuilder::new(operator.name(), operator.version());
        match operator.parameters() {
            Some(parameters) => key.text("parameters").bytes(&parameters),
            None => key.nonce(),
        }
    }

    /// Adds parameters; every part is framed by its length, so that parts cannot run into each other.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a piece of something long, whose pieces' lengths say nothing: nothing may follow them.
    pub(crate) fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// Adds text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds numbers, framed by their count.
    pub fn numbers(self, numbers: impl ExactSizeIterator<Item = u64>) -> Self {
        let framed = self.number(numbers.len() as u64);
        numbers.fold(framed, Self::number)
    }

    /// Adds the key of an input.
    pub fn input(mut self, key: Key) -> Self {
        self.0.update(&key.0);
        self
    }

    /// Adds the keys of inputs, framed by their count.
    pub fn inputs(self, keys: impl ExactSizeIterator<Item = Key>) -> Self {
        let framed = self.number(keys.len() as u64);
        keys.fold(framed, Self::input)
    }

    /// Adds a number that no other key of this process has: a closure cannot be compared.
    pub fn nonce(self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.text("nonce").number(std::process::id().into()).number(NEXT.fetch_add(1, Relaxed))
    }

    /// The key.
    pub fn finish(self) -> Key {
        let mut key = [0; 16];
        self.0.finalize_xof().fill(&mut key);
        Key(key)
    }
}
