//! What values are said to hold on the heap, against what an allocator that counts gave them.

#![allow(clippy::unwrap_used, unsafe_code)]

use chunkstore_store::serial::{self, allocated, heap_bytes};
use serde::Serialize;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread holds, as [`allocated`] has it.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: i64) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(allocated(layout.size() as u64) as i64);
        // SAFETY: as asked for by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(allocated(layout.size() as u64) as i64));
        // SAFETY: as asked for by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What a value is said to hold, and what it does when it was decoded.
fn both<T: Serialize + serde::de::DeserializeOwned>(value: T) -> (f64, f64) {
    let mut out = Vec::new();
    serial::encode(&value, &mut out).unwrap();
    drop(value);
    let before = HELD.get();
    let (value, _) = serial::decode::<T>(&out, usize::MAX).unwrap();
    let held = HELD.get() - before;
    (heap_bytes(&value) as f64, held as f64)
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Tree {
    Leaf,
    Branch(Box<Tree>, Box<Tree>, [u64; 3]),
    Named { name: String, rest: Vec<Tree> },
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
enum Mixed {
    None,
    Small(u8),
    Large([u64; 12]),
    Named { at: Option<Box<Mixed>>, large: Option<(u64, [u32; 7])> },
}

fn tree(depth: u32) -> Tree {
    match depth {
        0 => Tree::Leaf,
        n if n % 3 == 0 => Tree::Named { name: "x".repeat(n as usize), rest: vec![tree(n - 1), tree(n - 1)] },
        n => Tree::Branch(Box::new(tree(n - 1)), Box::new(tree(n - 1)), [7; 3]),
    }
}

#[test]
fn what_is_held_is_seen() {
    // Plain values hold nothing.
    assert_eq!((heap_bytes(&(1u8, 2.0f64, Some('x'), [3u64; 9])), heap_bytes(&Some(())), heap_bytes(&String::new())), (0, 0, 0));
    for n in [1usize, 3, 10, 77, 1000, 9000] {
        let word = |i: usize| "abcdefgh"[..1 + i % 8].to_string();
        for (name, (said, held)) in [
            ("text", both("x".repeat(n))),
            ("numbers", both(vec![7u64; n])),
            ("bytes", both(vec![7u8; n])),
            ("words", both((0..n).map(word).collect::<Vec<_>>())),
            ("lists", both((0..n).map(|i| vec![i as u32; i % 5]).collect::<Vec<_>>())),
            ("pairs", both((0..n).map(|i| (i as u8, word(i), Some(word(i + 3)))).collect::<Vec<_>>())),
            ("boxed", both((0..n).map(|i| Box::new([i; 4])).collect::<Vec<_>>())),
            ("some boxed", both((0..n).map(|i| Some(Box::new((i, word(i))))).collect::<Vec<_>>())),
            ("hash map", both((0..n).map(|i| (i as u64, word(i))).collect::<HashMap<_, _>>())),
            ("hash set", both((0..n as u64).collect::<HashSet<_>>())),
            ("tree map", both((0..n).map(|i| (i as u64, i as u64)).collect::<BTreeMap<_, _>>())),
            ("nothing", both(vec![None::<[u64; 5]>; n])),
            ("small variants", both((0..n).map(|i| if i % 2 == 0 { Mixed::None } else { Mixed::Small(7) }).collect::<Vec<_>>())),
            ("maps of none", both((0..n).map(|i| BTreeMap::from([(i as u8, Mixed::None)])).collect::<Vec<_>>())),
            ("boxed variants", both((0..n).map(|_| (Box::new(Mixed::None), None::<Mixed>)).collect::<Vec<_>>())),
            ("tree set", both((0..n).map(word).collect::<BTreeSet<_>>())),
        ] {
            let ok = said >= held * 0.98 - 64.0 && said <= held * 2.5 + 200.0;
            assert!(ok, "{n} {name}: {said} said, {held} held");
        }
    }
    for depth in [1, 4, 9] {
        let (said, held) = both(tree(depth));
        // How large an enum is that shows a small variant is not known.
        assert!(said >= 0.5 * held && said <= 1.2 * held, "tree of {depth}: {said} said, {held} held");
    }
}
