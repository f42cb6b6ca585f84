//! Parameters of operators: any bytes are those of one or an error; what an operator says of itself makes the same one again.
#![no_main]

use chunkstore::Persist;
use chunkstore::array::{self, Array};
use chunkstore::graph::{LayerRef, Registry};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static REGISTRY: LazyLock<(Registry, Vec<(String, u32)>)> = LazyLock::new(|| {
    let mut registry = Registry::new();
    array::operators(&mut registry).unwrap();
    let names = registry.manifest().map(|(name, version)| (name.to_owned(), version)).collect();
    (registry, names)
});

/// Parameters of some operators, with their place in the registry.
static SOUND: LazyLock<Vec<(u8, Vec<u8>)>> = LazyLock::new(|| {
    let x = Array::<f64>::ones([6, 8], [3, 4]);
    let layers =
        [x.exp(), &x + &x, x.sum(0), x.mean(1), x.var(0), x.max(..).reshape([1]), x.reshape([8, 6]), x.rechunk([2, 8]), x.transpose()];
    let mut sound = Vec::new();
    let mut next: Vec<LayerRef> = layers.iter().filter_map(|x| x.layer().ok()).collect();
    while let Some(layer) = next.pop() {
        next.extend(layer.inputs().iter().cloned());
        let operator = layer.operator();
        let which = REGISTRY.1.iter().position(|(name, version)| *name == operator.name() && *version == operator.version());
        sound.extend(which.map(|n| n as u8).zip(operator.parameters()));
    }
    sound.sort();
    sound.dedup();
    assert!(!sound.is_empty());
    sound
});

fn decode(which: u8, parameters: &[u8]) {
    let (registry, names) = &*REGISTRY;
    let (name, version) = &names[usize::from(which) % names.len()];
    let Ok(operator) = registry.decode(name, *version, parameters) else { return };
    let own = operator.parameters().expect("a registered operator has parameters");
    let again = registry.decode(name, *version, &own).expect("what an operator says of itself is right");
    assert_eq!(again.parameters(), Some(own));
}

fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else { return };
    if which % 2 == 0 {
        return decode(which / 2, rest);
    }
    // Sound parameters, a part of which is something else.
    let (which, sound) = &SOUND[usize::from(which / 2) % SOUND.len()];
    let Some((&[a, b, removed], rest)) = rest.split_first_chunk::<3>() else { return };
    let begin = usize::from(u16::from_le_bytes([a, b])) % (sound.len() + 1);
    let end = (begin + usize::from(removed % 32)).min(sound.len());
    decode(*which, &[&sound[..begin], rest, &sound[end..]].concat());
});
