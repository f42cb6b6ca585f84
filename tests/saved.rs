//! Arrays that are saved in a store and opened again.
#![allow(clippy::unwrap_used)]

use chunkstore::array::{AnyArray, Array, random};
use chunkstore::store::StoreOptions;
use chunkstore::{Engine, ErrorKind, Store, chunks, s};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

fn folder() -> tempfile::TempDir {
    let beside = std::env::current_exe().unwrap();
    tempfile::tempdir_in(beside.parent().unwrap()).unwrap()
}

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // Without its backtrace, for which this process would read a hundred megabytes of debug information.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine() -> Engine {
    Engine::builder().memory("256MiB").threads(2).build().unwrap()
}

#[test]
fn what_was_saved_is_there_in_the_next_process() {
    let _alone = alone();
    let folder = folder();
    let (path, engine) = (folder.path().join("store"), engine());
    let x = random::normal(0.0, 1.0, [300, 70, 5]).seed(3).array().rechunk(chunks![64, 33, -1]);
    let flags = x.gt(0.5);
    {
        let store = Store::open(&path).unwrap();
        engine.compute((&x.save(&store, "a/x").attribute("units", "m"), &flags.save(&store, "a/flags"))).unwrap();
        store.save_value("note", &("made for a test", 7u8)).unwrap();
    }
    let store = Store::open_read_only(&path).unwrap();
    assert_eq!(store.names().unwrap(), ["a/flags", "a/x", "note"]);
    assert_eq!(store.value::<(String, u8)>("note").unwrap(), ("made for a test".to_string(), 7));
    assert_eq!(store.dataset("a/x").unwrap().info().attributes["units"], "m");
    let back = Array::<f64>::open(&store, "a/x").unwrap();
    assert_eq!(back.numblocks().unwrap(), [5, 3, 1]);
    let (want, got) = engine.compute((&x, &back)).unwrap();
    assert_eq!(want, got);
    assert_eq!(engine.compute(&Array::<bool>::open(&store, "a/flags").unwrap()).unwrap(), want.mapv(|v| v > 0.5));
    let any = AnyArray::open(&store, "a/x").unwrap();
    assert_eq!(engine.compute(&any.astype::<f32>()).unwrap(), want.mapv(|v| v as f32));
}

#[test]
fn parts_and_other_chunks_are_read_from_it() {
    let _alone = alone();
    let folder = folder();
    let (store, engine) = (Store::open(folder.path().join("s")).unwrap(), engine());
    let x = Array::<i32>::arange(0, 37 * 23, 1, 100).reshape([37, 23]).rechunk(chunks![10, 7]);
    engine.compute(&x.save(&store, "x")).unwrap();
    let want = engine.compute(&x).unwrap();
    let back = Array::<i32>::open(&store, "x").unwrap();
    let recut = Array::<i32>::open_chunks(&store, "x", chunks![8, -1]).unwrap();
    assert_eq!(engine.compute(&recut).unwrap(), want);
    for (a, b) in [
        (x.slice(s![3..30;4, ..]), back.slice(s![3..30;4, ..])),
        (x.slice(s![.., 5..6]), back.slice(s![.., 5..6])),
        (x.slice(s![30..2;-3, ..;-1]), back.slice(s![30..2;-3, ..;-1])),
        (x.slice(s![9..11, 20..]), recut.slice(s![9..11, 20..])),
        (x.slice(s![5..5, ..]), back.slice(s![5..5, ..])),
        (x.t(), back.t()),
    ] {
        assert_eq!(engine.compute(&a).unwrap(), engine.compute(&b).unwrap());
    }
    for shape in [vec![], vec![0], vec![3, 0, 2]] {
        let empty = Array::<u8>::ones(shape.clone(), 2);
        engine.compute(&empty.save(&store, "odd").replace()).unwrap();
        assert_eq!(engine.compute(&Array::<u8>::open(&store, "odd").unwrap()).unwrap(), engine.compute(&empty).unwrap(), "{shape:?}");
    }
}

#[test]
fn what_goes_wrong_says_what_to_do() {
    let _alone = alone();
    let folder = folder();
    let path: PathBuf = folder.path().join("s");
    let (store, engine) = (Store::open(&path).unwrap(), engine());
    let x = Array::<f32>::ones([100], 10);
    engine.compute(&x.save(&store, "x")).unwrap();
    let kind = |result: chunkstore::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(engine.compute(&x.save(&store, "x"))), ErrorKind::Exists);
    assert_eq!(kind(engine.compute(&x.save(&store, "../x"))), ErrorKind::Invalid);
    let error = Array::<f64>::open(&store, "x").map(drop).unwrap_err();
    assert!(error.kind() == ErrorKind::Type && error.to_string().contains("AnyArray::open"), "{error}");
    assert_eq!(kind(Array::<f32>::open(&store, "y").map(drop)), ErrorKind::NotFound);
    store.save_value("v", &1).unwrap();
    assert_eq!(kind(Array::<f32>::open(&store, "v").map(drop)), ErrorKind::Type);
    let locked = Store::open(&path).map(drop).unwrap_err();
    assert_eq!(locked.kind(), chunkstore::store::ErrorKind::Locked, "{locked}");

    // A run that fails saves nothing, and leaves what was there.
    let broken = x.map_blocks(|block| if block.sum() > 0.0 { panic!("not this block") } else { block.to_owned() });
    assert_eq!(kind(engine.compute(&broken.save(&store, "x").replace())), ErrorKind::Panicked);
    assert_eq!(engine.compute(&Array::<f32>::open(&store, "x").unwrap().sum(..).item_collection()).unwrap(), 100.0);

    // A full disk is an error that names the store, and the store goes on.
    drop(store);
    let store = StoreOptions::default().quota(Some(24 << 20)).open(&path).unwrap();
    let large = random::uniform(0.0, 1.0, [1 << 23]).seed(1).array();
    let error = engine.compute(&large.save(&store, "large")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(store.names().unwrap(), ["v", "x"]);
    store.save_value("after", &2).unwrap();
    assert_eq!(engine.compute(&Array::<f32>::open(&store, "x").unwrap().sum(..).item_collection()).unwrap(), 100.0);
}

#[test]
fn an_array_larger_than_the_bound_goes_through() {
    let _alone = alone();
    let folder = folder();
    let (store, engine) = (Store::open(folder.path().join("s")).unwrap(), engine());
    let x = random::normal(1.0, 2.0, [36 << 20]).seed(9).array();
    engine.compute(&x.save(&store, "x")).unwrap();
    let back = Array::<f64>::open(&store, "x").unwrap();
    let (mean, same) = engine.compute((&back.mean(..).item_collection(), &back.eq_(&x).all(..).item_collection())).unwrap();
    assert!((mean - 1.0).abs() < 0.01 && same);
}
