//! Bags against dask.bag, against a model of lists, and where they go wrong.
//!
//! The answers of dask.bag are made by `tools/golden/make_bag_verbs.py`.

#![allow(clippy::unwrap_used)]

use chunkstore::bag::{self, Bag, BagValue, Item};
use chunkstore::delayed::{delayed, value};
use chunkstore::{Engine, ErrorKind, visualize};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Panics are shown without their backtrace, for which this process would read a hundred megabytes of debug information.
fn alone() -> MutexGuard<'static, ()> {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(threads: usize) -> Engine {
    Engine::builder().memory("512MiB").threads(threads).scratch(env!("CARGO_TARGET_TMPDIR")).progress(false).build().unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bag").join(name)
}

/// A bag of just these partitions.
fn bag_of<T: Item>(parts: Vec<Vec<T>>) -> Bag<T> {
    let bags: Vec<Bag<T>> = parts.into_iter().map(|part| bag::from_sequence(part, 1)).collect();
    bag::concat(&bags.iter().collect::<Vec<_>>())
}

/// The partitions of a bag.
fn parts<T: Item>(engine: &Engine, bag: &Bag<T>) -> chunkstore::Result<Vec<Vec<T>>> {
    engine.compute(&bag.map_partitions(|rows| [rows.collect::<Vec<T>>()]))
}

/// What dask answered, and what was asked so far.
struct Golden {
    json: Value,
    seen: BTreeSet<&'static str>,
    engine: Engine,
}

impl Golden {
    fn new() -> Self {
        let json = serde_json::from_slice(&std::fs::read(data("verbs.json")).unwrap()).unwrap();
        Golden { json, seen: BTreeSet::new(), engine: engine(2) }
    }

    fn input<T: DeserializeOwned>(&self, name: &str) -> Vec<Vec<T>> {
        serde_json::from_value(self.json["inputs"][name].clone()).unwrap()
    }

    fn answer<T: DeserializeOwned>(&mut self, name: &'static str) -> T {
        self.seen.insert(name);
        serde_json::from_value(self.json["cases"][name].clone()).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn bag<T: Item + PartialEq + Debug>(&mut self, name: &'static str, bag: &Bag<T>) {
        assert_eq!(parts(&self.engine, bag).unwrap_or_else(|e| panic!("{name}: {e}")), self.answer::<Vec<Vec<T>>>(name), "{name}");
    }

    fn value<T: Item + PartialEq + Debug>(&mut self, name: &'static str, value: &BagValue<T>) {
        assert_eq!(self.engine.compute(value).unwrap_or_else(|e| panic!("{name}: {e}")), self.answer::<T>(name), "{name}");
    }

    fn close(&mut self, name: &'static str, value: &BagValue<f64>) {
        let (ours, theirs) = (self.engine.compute(value).unwrap(), self.answer::<f64>(name));
        assert!((ours - theirs).abs() <= 1e-12 * theirs.abs(), "{name}: {ours} and {theirs}");
    }
}

#[test]
fn every_verb_answers_as_dask_does() {
    let _alone = alone();
    let mut golden = Golden::new();
    let g = &mut golden;
    let ints = bag_of(g.input::<i64>("ints"));
    let more = bag_of(g.input::<i64>("more"));
    let floats = bag_of(g.input::<f64>("floats"));
    let words = bag_of(g.input::<String>("words"));
    let pairs = bag_of(g.input::<(String, i64)>("pairs"));
    let rows = bag_of(g.input::<HashMap<String, i64>>("rows"));
    let lists = bag_of(g.input::<Vec<i64>>("lists"));
    let other: Vec<(String, i64)> = serde_json::from_value(g.json["inputs"]["other"].clone()).unwrap();

    g.bag("from_sequence", &bag::from_sequence(0..10i64, 5));
    g.bag("range", &bag::range(10, 5));
    g.bag("concat", &bag::concat(&[&ints, &more]));
    g.bag("map", &ints.map(|x| x * x));
    g.bag("map_two", &ints.map2(&more, |x, y| x + y));
    g.bag("map_with", &ints.map_with(&ints.max(), |x, most| x - most));
    g.bag("map_with", &ints.map_with(&value(9i64), |x, most| x - most));
    g.bag("filter", &ints.filter(|x| x % 2 == 0));
    g.bag("remove", &ints.remove(|x| x % 2 == 0));
    g.bag("flatten", &lists.flatten());
    g.bag("starmap", &pairs.starmap(|text, n| text.repeat(n as usize)));
    g.bag("pluck_name", &rows.pluck("name"));
    g.bag("pluck_age_or", &rows.pluck_or("age", -1));
    g.bag("pluck_number", &lists.pluck(1));
    let (first, second) = pairs.unzip();
    g.bag("unzip_first", &first);
    g.bag("unzip_second", &second);
    g.bag("map_partitions", &ints.map_partitions(|rows| [rows.sum::<i64>()]));
    g.bag("zip", &ints.zip(&more));
    // What dask drops here is an error.
    g.answer::<Value>("zip_uneven");
    assert_eq!(g.engine.compute(ints.zip(&more.filter(|x| *x != 50))).unwrap_err().kind(), ErrorKind::Shape);
    g.bag("product", &pairs.product(&lists));
    let key = |pair: &(String, i64)| pair.0.clone();
    g.bag("join", &pairs.join(other.clone(), key, key));
    g.bag("join", &pairs.join(&value(other.clone()), key, key));
    g.bag("join_bag", &pairs.join(&bag::from_sequence(other, 1), key, key));
    g.bag("accumulate", &ints.accumulate_first(|sum, x| sum + x));
    g.bag("accumulate_initial", &ints.accumulate(-1, |sum, x| sum + x));
    g.value("take", &ints.take(3));
    g.value("take_too_many", &ints.take(9));
    g.value("take_two", &ints.take_from(7, 2));
    g.value("take_all", &ints.take_from(10, None));
    g.bag("topk", &ints.topk(4));
    g.bag("topk_more", &ints.topk(100));
    g.bag("topk_key", &ints.topk_by(4, |x| -x));
    let ties = [vec![(1, "a"), (2, "b"), (2, "c")], vec![(2, "d"), (1, "e")], vec![(3, "f"), (2, "g")]];
    let ties = bag_of(ties.map(|part| part.into_iter().map(|(n, text)| (n, text.to_string())).collect()).to_vec());
    g.bag("topk_ties", &ties.topk_by(4, |row| row.0));
    for (n, name) in [(1, "repartition_1"), (2, "repartition_2"), (3, "repartition_3"), (4, "repartition_4")] {
        g.bag(name, &ints.repartition(n));
    }
    // Dask gives the last partition all the parts that are left over; here each has about as many.
    for (n, name) in [(6, "repartition_6"), (9, "repartition_9")] {
        let (ours, theirs) = (parts(&g.engine, &ints.repartition(n)).unwrap(), g.answer::<Vec<Vec<i64>>>(name));
        assert_eq!((ours.len(), ours.concat()), (theirs.len(), theirs.concat()));
    }
    g.value("count", &ints.count());
    g.value("sum", &ints.sum());
    g.value("min", &ints.min());
    g.value("max", &ints.max());
    g.close("mean", &ints.mean());
    for (ddof, var, std, var_floats) in [(0.0, "var_0", "std_0", "var_floats_0"), (1.0, "var_1", "std_1", "var_floats_1")] {
        g.close(var, &ints.var(ddof));
        g.close(std, &ints.std(ddof));
        g.close(var_floats, &floats.var(ddof));
    }
    let error = g.engine.compute(bag::range(1, 1).var(1.0)).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Invalid && error.to_string().contains("var of a bag that has no more elements than `ddof`"),
        "{error}"
    );
    g.value("any", &ints.any(|x| *x == 9));
    g.value("all", &ints.all(|x| *x > 0));
    g.value("fold", &ints.fold(0, |sum, x| sum + x, |a, b| a + b));
    g.value("reduction", &ints.reduction(2, |rows| rows.count() as u64, |counts| counts.sum()));
    g.value("item_apply", &ints.sum().apply(|sum| sum + 1));
    let text = words.str();
    g.bag("str_lower", &text.lower());
    g.bag("str_upper", &text.upper());
    g.bag("str_strip", &text.strip());
    g.bag("str_lstrip", &text.lstrip());
    g.bag("str_rstrip", &text.rstrip());
    g.bag("str_split_whitespace", &text.split_whitespace());
    g.bag("str_split", &text.split(","));
    g.bag("str_split_n", &text.split_n(",", 1));
    g.bag("str_fields", &text.fields(","));
    g.bag("str_replace", &text.replace("o", "0"));
    g.bag("str_startswith", &text.startswith("to"));
    g.bag("str_endswith", &text.endswith("not"));
    g.bag("str_contains", &text.contains("be"));
    g.bag("str_len", &text.len());
    g.bag("str_match", &text.matches("*o*[!t]"));

    let calls: Vec<_> = g.input::<Vec<i64>>("lists").into_iter().map(|part| delayed(move || part.clone()).call(())).collect();
    g.bag("from_delayed", &Bag::from_delayed(&calls));
    let lists = g.engine.compute(value(ints.to_delayed().unwrap())).unwrap();
    assert_eq!(lists, g.answer::<Vec<Vec<i64>>>("to_delayed"));
    g.bag("random_sample_none", &ints.random_sample(0.0, 1));
    g.bag("random_sample_all", &ints.random_sample(1.0, 1));
    let sorted = |mut items: Vec<i64>| {
        items.sort_unstable();
        items
    };
    assert_eq!(g.engine.compute(bag::random::sample(&ints, 5, 1)).unwrap().len(), g.answer::<usize>("sample_count"));
    assert_eq!(sorted(g.engine.compute(bag::random::sample(&ints, 14, 1)).unwrap()), g.answer::<Vec<i64>>("sample_all"));
    assert_eq!(g.engine.compute(bag::random::choices(&ints, 30, 1)).unwrap().len(), g.answer::<usize>("choices_count"));
    let seven = bag_of(vec![vec![7i64], vec![]]);
    assert_eq!(g.engine.compute(bag::random::choices(&seven, 3, 1)).unwrap(), g.answer::<Vec<i64>>("choices_of_one"));
    // Dask puts 0.0 and -0.0 into one group, but where it groups by their bytes.
    let zeros = bag_of(vec![vec![0.0, -0.0, 1.5], vec![-0.0], vec![]]);
    let counted = |counts: Vec<(f64, u64)>| {
        let mut counts: Vec<_> = counts.into_iter().map(|(zero, n)| (zero.abs(), n)).collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        counts
    };
    let ones = counted(g.engine.compute(zeros.frequencies()).unwrap());
    assert_eq!(ones, g.answer::<Vec<(f64, u64)>>("frequencies_zeros"));
    assert_eq!(counted(g.engine.compute(zeros.foldby(|x| *x, 0, |n, _| n + 1, |a, b| a + b)).unwrap()), g.answer::<Vec<_>>("foldby_zeros"));
    let groups = zeros.group_by(|x| *x).lists().map(|(zero, list)| (zero, list.len() as u64));
    assert_eq!(counted(g.engine.compute(groups).unwrap()), ones);
    assert_ne!(g.answer::<Vec<(f64, u64)>>("groupby_zeros"), ones);
    let mut distinct: Vec<f64> = g.engine.compute(zeros.distinct()).unwrap().into_iter().map(f64::abs).collect();
    distinct.sort_by(f64::total_cmp);
    assert_eq!(distinct, g.answer::<Vec<f64>>("distinct_zeros"));
    g.value("fold_split_every", &ints.fold(0, |sum, x| sum + x, |a, b| a + b));
    let mut sums = g.engine.compute(ints.foldby(|x| x % 3, 0, |sum, x| sum + x, |a, b| a + b)).unwrap();
    sums.sort_unstable();
    assert_eq!(sums, g.answer::<Vec<(i64, i64)>>("foldby_split_every"));

    let elsewhere = ["frequencies", "distinct", "distinct_key", "foldby", "foldby_combine", "groupby", "sort"];
    let all = g.json["cases"].as_object().unwrap();
    let left: Vec<_> = all.keys().filter(|name| !g.seen.contains(name.as_str()) && !elsewhere.contains(&name.as_str())).collect();
    assert!(left.is_empty(), "no answer was compared with that of dask for {left:?}");
}

#[test]
fn text_files_have_the_lines_that_dask_reads() {
    let _alone = alone();
    let golden = Golden::new();
    for (name, lines) in golden.json["texts"].as_object().unwrap() {
        let lines: Vec<String> = serde_json::from_value(lines.clone()).unwrap();
        for blocksize in [1, 3, 4, 7, 1000, 1 << 20] {
            let read = bag::TextFiles::new(data(&format!("{name}.txt"))).blocksize(blocksize).read().unwrap();
            assert_eq!(golden.engine.compute(&read).unwrap(), lines, "{name} in blocks of {blocksize}");
            assert_eq!(golden.engine.compute(read.count()).unwrap(), lines.len() as u64);
        }
    }
    let error = golden.engine.compute(bag::read_text(data("invalid.txt")).unwrap().str().upper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("byte 9 ") && error.path().is_some_and(|path| path.ends_with("invalid.txt")), "{error}");
}

#[test]
fn bags_and_delayed_values() {
    let _alone = alone();
    let engine = engine(2);
    let words =
        bag_of(vec![vec!["a", "b"], vec![], vec!["c"]].into_iter().map(|part| part.into_iter().map(String::from).collect()).collect());
    let lists = words.map(|word| word + "!").to_delayed().unwrap();
    let joined = lists.iter().map(|list| list.map(|list: Vec<String>| list.concat())).collect::<Vec<_>>();
    assert_eq!(engine.compute(value(joined)).unwrap(), ["a!b!", "", "c!"]);
    // There and back: large lists of numbers, lists of calls, and lists of texts.
    let numbers = bag::range(50_000, 2).map(|x| x as f64);
    let back = Bag::from_delayed(&numbers.to_delayed().unwrap());
    assert_eq!(engine.compute((&back, back.sum())).unwrap(), (engine.compute(&numbers).unwrap(), 1_249_975_000.0));
    let double = delayed(|x: i64| 2 * x);
    let calls = Bag::from_delayed(&[value(vec![double.call((1,)), double.call((2,))]), value(vec![5i64])]);
    assert_eq!(parts(&engine, &calls).unwrap(), [vec![2, 4], vec![5]]);
    assert_eq!(engine.compute(Bag::from_delayed(&lists)).unwrap(), ["a!", "b!", "c!"]);
    // Single values, both ways, and an error on the way.
    let longest = BagValue::from_delayed(&words.max().to_delayed());
    assert_eq!(engine.compute(words.map_with(&longest, |word, longest| word + longest)).unwrap(), ["ac", "bc", "cc"]);
    // As arguments, lent and given.
    let both = delayed(|words: Vec<String>, longest: String| words.concat() + &longest);
    let (lent, given) = (both.call((&words, &words.max())), both.call((words.clone(), words.max())));
    assert_eq!(engine.compute((&lent, &given)).unwrap(), ("abcc".to_string(), "abcc".to_string()));
    let none = words.filter(|_| false).max().to_delayed();
    assert_eq!(engine.compute(&none).unwrap_err().kind(), ErrorKind::Invalid);
    let picture = visualize((&words.map(|word| word.len()), &words.count())).unwrap();
    assert!(picture.dot().contains("count"));
}

#[test]
fn samples_are_what_they_promise() {
    let _alone = alone();
    let (one, two) = (engine(1), engine(2));
    let x = bag::range(10_000, 37).filter(|x| x % 3 != 0);
    let all = one.compute(&x).unwrap();
    let (some, without, with) = (x.random_sample(0.3, 5), bag::random::sample(&x, 500, 5), bag::random::choices(&x, 500, 5));
    let first = one.compute((&some, &without, &with)).unwrap();
    assert_eq!(two.compute((&some, &without, &with)).unwrap(), first);
    let kept = two.persist(&x).unwrap();
    let again = (kept.random_sample(0.3, 5), bag::random::sample(&kept, 500, 5), bag::random::choices(&kept, 500, 5));
    assert_eq!(two.compute((&again.0, &again.1, &again.2)).unwrap(), first);
    let (some, without, with) = first;
    assert!(some.is_sorted() && (1850..2150).contains(&some.len()), "{}", some.len());
    let different: BTreeSet<u64> = without.iter().copied().collect();
    assert!(different.len() == 500 && !without.is_sorted());
    assert!(with.len() == 500 && without.iter().chain(&with).all(|x| all.binary_search(x).is_ok()));
    let [none, every] = [0.0, 1.0].map(|prob| two.compute(x.random_sample(prob, 1).count()).unwrap());
    assert_eq!((none, every), (0, all.len() as u64));
    assert_eq!(x.random_sample(1.5, 0).check().unwrap_err().kind(), ErrorKind::Invalid);
    for error in [bag::random::sample(&x, 10_000, 0), bag::random::choices(&x.filter(|_| false), 1, 0)].map(|bag| two.compute(bag)) {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn every_element_is_as_likely_as_any_other() {
    let _alone = alone();
    let engine = engine(2);
    // Partitions of very different sizes, an empty one among them, and more than a step of the tree takes.
    let sizes = [1, 7, 0, 40, 2, 10];
    let mut next = 0..;
    let x = bag_of(sizes.iter().map(|size| next.by_ref().take(*size).collect::<Vec<u32>>()).collect()).repartition(19);
    let x = engine.persist(&x).unwrap();
    let (n, k, runs) = (60, 12, 200);
    let bags: Vec<_> = (0..runs).flat_map(|seed| [bag::random::sample(&x, k, seed), bag::random::choices(&x, k, seed)]).collect();
    let mut counts = [vec![0u32; n], vec![0; n]];
    for (i, bag) in bags.iter().enumerate() {
        for item in engine.compute(bag).unwrap() {
            counts[i % 2][item as usize] += 1;
        }
    }
    // 40 expected of each: chi squared with 59 degrees of freedom is below 110 with a probability of more than 0.9999.
    for counts in counts {
        let expected = (k * runs as usize) as f64 / n as f64;
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi < 110.0, "{chi}: {counts:?}");
    }
}

/// A step that a bag and its model can both make.
#[derive(Clone, Debug)]
enum Step {
    Map,
    Filter,
    FlatMap,
    Reverse,
    Accumulate,
    Zip,
    Repartition(usize),
    Product,
    Concat,
    With,
}

fn on_bag(step: &Step, x: &Bag<i64>) -> Bag<i64> {
    match step {
        Step::Map => x.map(|x| x.wrapping_mul(3) ^ 5),
        Step::Filter => x.filter(|x| x % 3 != 0),
        Step::FlatMap => x.flat_map(|x| vec![x; x.rem_euclid(3) as usize]),
        Step::Reverse => x.map_partitions(|rows| rows.collect::<Vec<_>>().into_iter().rev()),
        Step::Accumulate => x.accumulate(1, |a, x| a.wrapping_mul(31) ^ x),
        Step::Zip => x.zip(&x.map(|x| !x)).starmap(|x, y| x.wrapping_sub(y >> 1)),
        Step::Repartition(n) => x.repartition(*n),
        Step::Product => x.product(&bag::from_sequence([1i64, 2], 2)).starmap(i64::wrapping_add),
        Step::Concat => bag::concat(&[x, x]),
        Step::With => x.map_with(&x.count(), |x, n| x.wrapping_add(*n as i64)),
    }
}

fn on_lists(step: &Step, x: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    let each = |f: &dyn Fn(&Vec<i64>) -> Vec<i64>| x.iter().map(f).collect::<Vec<_>>();
    match step {
        Step::Map => each(&|part| part.iter().map(|x| x.wrapping_mul(3) ^ 5).collect()),
        Step::Filter => each(&|part| part.iter().copied().filter(|x| x % 3 != 0).collect()),
        Step::FlatMap => each(&|part| part.iter().flat_map(|x| vec![*x; x.rem_euclid(3) as usize]).collect()),
        Step::Reverse => each(&|part| part.iter().rev().copied().collect()),
        Step::Accumulate => {
            let mut last = 1i64;
            let mut lists: Vec<Vec<i64>> = x
                .iter()
                .map(|part| {
                    part.iter()
                        .map(|x| {
                            last = last.wrapping_mul(31) ^ x;
                            last
                        })
                        .collect()
                })
                .collect();
            lists[0].insert(0, 1);
            lists
        }
        Step::Zip => each(&|part| part.iter().map(|x| x.wrapping_sub(!x >> 1)).collect()),
        Step::Repartition(n) => {
            let have = x.len();
            let cut = |i: usize, of: usize, n: usize| i * of / n;
            if *n <= have {
                return (0..*n).map(|i| x[cut(i, have, *n)..cut(i + 1, have, *n)].concat()).collect();
            }
            let pieces = |i: usize| cut(i + 1, *n, have) - cut(i, *n, have);
            x.iter()
                .enumerate()
                .flat_map(|(i, part)| {
                    let n = pieces(i);
                    (0..n).map(|j| part[cut(j, part.len(), n)..cut(j + 1, part.len(), n)].to_vec()).collect::<Vec<_>>()
                })
                .collect()
        }
        Step::Product => x.iter().flat_map(|part| [1, 2].map(|y| part.iter().map(|x| x.wrapping_add(y)).collect())).collect(),
        Step::Concat => [x.clone(), x].concat(),
        Step::With => {
            let n = x.iter().map(Vec::len).sum::<usize>() as i64;
            each(&|part| part.iter().map(|x| x.wrapping_add(n)).collect())
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Map),
        Just(Step::Filter),
        Just(Step::FlatMap),
        Just(Step::Reverse),
        Just(Step::Accumulate),
        Just(Step::Zip),
        (1usize..9).prop_map(Step::Repartition),
        Just(Step::Product),
        Just(Step::Concat),
        Just(Step::With),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn chains_give_the_same_however_they_run(
        lists in prop::collection::vec(prop::collection::vec(-50i64..50, 0..12), 1..6),
        chain in prop::collection::vec((step(), any::<bool>()), 0..5),
        split_every in 2usize..20,
        k in 0usize..10,
    ) {
        let _alone = alone();
        let engines = [engine(1), engine(2)];
        let mut expected = lists.clone();
        let (mut fused, mut kept) = (bag_of(lists.clone()), bag_of(lists));
        for (step, persist) in &chain {
            expected = on_lists(step, expected);
            fused = on_bag(step, &fused);
            kept = on_bag(step, &kept);
            if *persist {
                kept = engines[1].persist(&kept).unwrap();
            }
        }
        for engine in &engines {
            prop_assert_eq!(&parts(engine, &fused).unwrap(), &expected);
        }
        prop_assert_eq!(&parts(&engines[1], &kept).unwrap(), &expected);
        let all = expected.concat();
        // What is made of all of it, in order: whatever the shape of the tree.
        let gathered = fused.reduction(split_every, |rows| rows.collect::<Vec<_>>(), |lists| lists.flatten().collect());
        let (mut greatest, mut first) = (all.clone(), all.clone());
        greatest.sort_by(|a, b| b.cmp(a));
        greatest.truncate(k);
        first.truncate(k);
        let found = engines[1].compute((&fused.topk(k), &fused.take_from(k, None), &gathered, &fused.count())).unwrap();
        prop_assert_eq!(found, (greatest, first, all.clone(), all.len() as u64));
        // The first of equal ones.
        let mut by_key = all;
        by_key.sort_by_key(|x| std::cmp::Reverse(x.rem_euclid(4)));
        by_key.truncate(k);
        prop_assert_eq!(engines[1].compute(kept.topk_by(k, |x| x.rem_euclid(4))).unwrap(), by_key);
        for sampled in [bag::random::choices(&fused, 0, 1), bag::random::sample(&fused, 0, 1)] {
            prop_assert_eq!(engines[1].compute(&sampled).unwrap(), Vec::<i64>::new());
        }
    }
}

#[test]
fn a_step_that_fails_or_panics_is_told_with_its_line_and_leaves_nothing() {
    let _alone = alone();
    let engine = engine(2);
    let x = bag::range(1000, 4);
    let held = engine.memory_for_tasks();
    let bomb = |n: u64| if n == 700 { panic!("at {n}") } else { n };
    let refuse = |n: u64| if n == 700 { Err("refused") } else { Ok(n) };
    let (first, panics) = (
        line!() + 1,
        [
            x.map(bomb),
            x.filter(move |n| bomb(*n) < 2000),
            x.remove(move |n| bomb(*n) > 2000),
            x.flat_map(move |n| [bomb(n)]),
            x.map_partitions(move |rows| rows.map(bomb)),
            x.accumulate(0, move |_, n| bomb(n)),
            x.accumulate_first(move |_, n| bomb(n)),
            x.map_with(&x.count(), move |n, _| bomb(n)),
            x.map2(&x, move |n, _| bomb(n)),
            x.join([1u64], move |n| bomb(*n), |n| *n).starmap(|a, _| a),
            x.topk_by(3, move |n| bomb(*n)),
            x.fold(0, move |_, n| bomb(n), |_, n| n).to_bag(),
            x.reduce(move |_, n| bomb(n)).to_bag(),
        ],
    );
    for (i, bag) in panics.iter().enumerate() {
        let error = engine.compute(bag).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked, "{i}: {error}");
        assert!(error.to_string().contains("at 700"), "{i}: {error}");
        let location = error.location().unwrap();
        assert!(location.file().ends_with("bag.rs") && location.line() == first + 1 + i as u32, "{i}: {error}");
    }
    let (first, errors) = (
        line!() + 1,
        [
            x.try_map(refuse),
            x.try_map_partitions(|rows| rows.map(|n| if n == 700 { Err("refused") } else { Ok(n) }).collect::<Result<Vec<u64>, _>>()),
            x.try_map(refuse).map_partitions(|_| [1]),
            x.try_map(refuse).map_partitions(|rows| rows.chain(0..1000)),
            x.try_map(refuse).try_map_partitions(|rows| if rows.count() < 250 { Err("too few") } else { Ok([1]) }),
        ],
    );
    for (i, bag) in errors.iter().enumerate() {
        match engine.compute(bag) {
            // What a function does not read cannot fail.
            Ok(read) => assert!(i == 2 && read == [1; 4]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Failed, "{i}: {error}");
                assert!(error.to_string().contains("refused"), "{i}: {error}");
                let location = error.location().unwrap();
                assert!(location.file().ends_with("bag.rs") && location.line() == first + 1 + i as u32, "{i}: {error}");
            }
        }
    }
    // What the process holds beside is measured again in between, to the page.
    assert!(engine.memory_for_tasks().abs_diff(held) < 1 << 16, "something is still booked");
    assert_eq!(engine.compute(x.sum()).unwrap(), 499_500);
}

#[test]
fn steps_that_make_no_sense_are_told_before_anything_runs() {
    let x = bag::range(10, 3);
    let checks = [
        x.zip(&bag::range(10, 2)).check(),
        bag::zip::<u64>(&[]).check(),
        x.repartition(0).check(),
        x.take_from(1, 4).check(),
        x.take_from(1, 0).check(),
        x.join(&x, |n| *n, |n| *n).check(),
        x.random_sample(f64::NAN, 0).check(),
        x.map(|n| n.to_string()).str().split("").check(),
        x.map(|n| n.to_string()).str().fields("").check(),
        x.repartition_by_sizes(&[1, 2], 1).check(),
    ];
    for (i, check) in checks.into_iter().enumerate() {
        let error = check.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shape | ErrorKind::Invalid | ErrorKind::Unsupported), "{i}: {error}");
        assert!(error.location().is_some_and(|location| location.file().ends_with("bag.rs")), "{i}: {error}");
    }
    // The first error is kept.
    assert_eq!(x.repartition(0).map(|n| n + 1).topk(1).check().unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_long_partition_can_be_cancelled() {
    let _alone = alone();
    let engine = engine(2);
    let long = bag::range(1 << 50, 1).map(|n| n ^ 1).filter(|n| *n > 1);
    let product = bag::range(1 << 50, 1).product(&bag::range(2, 1)).starmap(|a, b| a ^ b);
    // What functions of the user's give without end, and nobody takes.
    let endless = bag::range(1, 1).map_partitions(|_| 0u64..).filter(|n| *n == u64::MAX);
    let flat = bag::range(1, 1).flat_map(|n| n..).filter(|n| *n == u64::MAX);
    for x in [long.clone(), long.map_partitions(|rows| rows.skip(1)), product, long.random_sample(0.5, 0), endless, flat] {
        let future = engine.submit(x.count());
        std::thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        future.cancel();
        assert_eq!(future.result().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }
    assert_eq!(engine.compute(bag::range(10, 2).count()).unwrap(), 10);
}

#[test]
fn what_is_used_twice_is_made_once_and_no_more_is_made_than_is_needed() {
    let _alone = alone();
    let engine = engine(2);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = |n: u64, npartitions| {
        let calls = calls.clone();
        bag::range(n, npartitions).map(move |x| {
            calls.fetch_add(1, Relaxed);
            x
        })
    };
    let x = counted(1000, 7);
    let doubled = x.map(|x| 2 * x);
    engine.compute((&doubled.sum(), &x.max(), &doubled.zip(&x).count(), &x.accumulate(0, |a, x| a + x).count())).unwrap();
    assert_eq!(calls.swap(0, Relaxed), 1000);
    let (a, b) = counted(100, 3).map(|x| (x, x)).unzip();
    engine.compute((&a, &b)).unwrap();
    assert_eq!(calls.swap(0, Relaxed), 100);
    assert_eq!(engine.compute(counted(1000, 10).take(3)).unwrap(), [0, 1, 2]);
    assert_eq!(calls.swap(0, Relaxed), 3);
    assert_eq!(engine.compute(counted(1000, 10).take_from(120, 2)).unwrap().len(), 120);
    assert_eq!(calls.swap(0, Relaxed), 200);
    assert!(engine.compute(counted(1000, 1).any(|x| *x == 4)).unwrap());
    assert_eq!(calls.swap(0, Relaxed), 5);
}
