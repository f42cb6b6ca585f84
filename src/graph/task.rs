//! Functions that are registered where they stand, by `#[chunkstore::task]`: how a program finds them.
//!
//! The attribute leaves the function as it is and adds an entry to a list that the linker puts together. From that list the first question makes an index
//! by the type of the function, which each `fn` has of its own.

use super::codec::Codec;
use super::registry::FunctionOperator;
use super::{Operator, Registry, TaskFn};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use std::any::{TypeId, type_name};
use std::sync::{Arc, OnceLock};

/// What the build of a program is known by: 128 bits over the files that hold its code; none where these cannot be read.
type BuildOf = fn(address: usize) -> Option<u128>;

/// An entry of the list: made by `#[chunkstore::task]`.
pub struct Task {
    declare: fn() -> Declared,
    build: BuildOf,
}

inventory::collect!(Task);

impl Task {
    /// The entry of the function that `declare` declares.
    pub const fn new(declare: fn() -> Declared, build: BuildOf) -> Self {
        Task { declare, build }
    }
}

/// A function with its name and version.
pub struct Declared {
    id: TypeId,
    name: &'static str,
    version: Option<u32>,
    codec: Option<Codec>,
    operator: Box<dyn Fn(u32) -> Arc<dyn Operator> + Send + Sync>,
}

impl Declared {
    /// `function` under a name and a version; without them, under its path in the program, and for this build of it only.
    /// `codec` is for what it returns.
    pub fn new<F: TaskFn<P> + Copy, P: 'static>(
        function: F,
        name: Option<&'static str>,
        version: Option<u32>,
        codec: Option<Codec>,
    ) -> Self {
        let name = name.unwrap_or_else(type_name::<F>);
        let operator = move |version| Arc::new(FunctionOperator::new(function, name, version)) as Arc<dyn Operator>;
        Declared { id: TypeId::of::<F>(), name, version, codec, operator: Box::new(operator) }
    }
}

/// What is known of a registered function.
pub(super) struct Known {
    pub(super) name: &'static str,
    version: Version,
    /// Where another function has the same name and version.
    twice: bool,
    /// How what it returns is kept on disk.
    pub(super) codec: Option<Codec>,
    operator: Box<dyn Fn(u32) -> Arc<dyn Operator> + Send + Sync>,
}

/// What changes when a function's meaning does.
enum Version {
    Said(u32),
    /// Found out when it is first asked for.
    Build(OnceLock<Option<u128>>, BuildOf, usize),
}

/// A version as keys have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Meaning {
    Version(u32),
    Build(u128),
}

impl Meaning {
    /// A number for it: the version, or 32 bits of the build.
    pub(super) fn number(self) -> u32 {
        match self {
            Meaning::Version(version) => version,
            Meaning::Build(build) => (build >> 96) as u32,
        }
    }
}

impl Known {
    /// What its keys say of its meaning; none where that cannot be known, so that it is a function like any other.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        if self.twice {
            return None;
        }
        match &self.version {
            Version::Said(version) => Some(Meaning::Version(*version)),
            Version::Build(known, build, address) => known.get_or_init(|| build(*address)).map(Meaning::Build),
        }
    }

    fn said(&self) -> Option<u32> {
        match self.version {
            Version::Said(version) => Some(version),
            Version::Build(..) => None,
        }
    }
}

fn all() -> &'static FxHashMap<TypeId, Known> {
    static ALL: OnceLock<FxHashMap<TypeId, Known>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = FxHashMap::<TypeId, Known>::default();
        let mut names = FxHashMap::<(&'static str, Option<u32>), TypeId>::default();
        for task in inventory::iter::<Task> {
            let Declared { id, name, version, codec, operator } = (task.declare)();
            let twice = match names.insert((name, version), id) {
                Some(other) if other != id => {
                    all.entry(other).and_modify(|known| known.twice = true);
                    true
                }
                _ => false,
            };
            let version = version.map_or_else(|| Version::Build(OnceLock::new(), task.build, task.declare as usize), Version::Said);
            all.insert(id, Known { name, version, twice, codec, operator });
        }
        all
    })
}

/// What is known of the function of a type.
#[inline]
pub(super) fn find<F: 'static>() -> Option<&'static Known> {
    // Only those without captures can be there.
    if size_of::<F>() != 0 {
        return None;
    }
    let all = all();
    if all.is_empty() { None } else { all.get(&TypeId::of::<F>()) }
}

/// What is wrong with how a function is registered.
pub(crate) fn fault_of<F: 'static>() -> Option<Error> {
    find::<F>().filter(|known| known.twice).map(taken_twice)
}

fn taken_twice(known: &Known) -> Error {
    let version = known.said().map_or_else(String::new, |version| format!("version {version} of "));
    let message = format!("two functions are registered as {version}{}", known.name);
    Error::new(ErrorKind::Invalid, message).hint("give each `#[chunkstore::task]` a name of its own, or another version")
}

/// Adds all functions that are registered where they stand.
pub(super) fn add_all(registry: &mut Registry) -> Result<()> {
    for known in all().values() {
        if known.twice {
            return Err(taken_twice(known));
        }
        // Without a version it can be in no other process.
        if let Some(meaning) = known.meaning() {
            let version = meaning.number();
            registry.add_function(known.name, version, (known.operator)(version))?;
        }
    }
    Ok(())
}
