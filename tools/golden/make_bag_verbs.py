"""Answers of dask.bag, which tests/bag.rs compares with.

    python3 -m venv /tmp/dask && /tmp/dask/bin/pip install "dask[bag]"
    /tmp/dask/bin/python tools/golden/make_bag_verbs.py

Each case names the verb, the partitions that it is applied to, and the partitions or the value that dask gives. Texts of every
convention for the ends of lines are written beside them, with the lines that dask reads.
"""

import json
import operator
from collections import OrderedDict
from pathlib import Path

import dask
import dask.bag as db
import dask.bag.random

HERE = Path(__file__).resolve().parents[2] / "tests" / "data" / "bag"

INTS = [[3, 1, 4, 1, 5], [9, 2, 6], [], [5, 3, 5, 8, 9, 7]]
MORE = [[10, 20, 30, 40, 50], [60, 70, 80], [], [90, 100, 110, 120, 130, 140]]
FLOATS = [[0.5, -1.25, 3.0], [2.5], [7.75, -0.125]]
WORDS = [["to be", "or not"], ["  To Be ", "that is, the question", ""], ["été,hiver", "a,b,,c", "No"]]
PAIRS = [[["a", 1], ["b", 2]], [["a", 3]], [["c", 4], ["b", 5], ["a", 6]]]
ROWS = [[{"name": 1, "age": 36}, {"name": 2}], [{"name": 3, "age": 41}]]
LISTS = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9]]]
OTHER = [["a", 100], ["c", 300], ["a", 101], ["d", 400]]

dask.config.set(scheduler="synchronous")


def bag(parts):
    return db.from_delayed([dask.delayed(part, pure=True) for part in parts])


def plain(x):
    """As JSON has it: tuples as lists, and no types of NumPy's."""
    if isinstance(x, (list, tuple)):
        return [plain(y) for y in x]
    if isinstance(x, dict):
        return {key: plain(y) for key, y in x.items()}
    return x.item() if hasattr(x, "item") else x


def parts(result):
    return plain([list(part) for part in dask.compute(*result.to_delayed())])


CASES = OrderedDict()


def bag_case(name, result):
    CASES[name] = parts(result)


def value_case(name, result):
    CASES[name] = plain(result.compute())


ints, more, floats, words, pairs, rows, lists = map(bag, (INTS, MORE, FLOATS, WORDS, PAIRS, ROWS, LISTS))

bag_case("from_sequence", db.from_sequence(range(10), npartitions=5))
bag_case("range", db.range(10, npartitions=5))
bag_case("concat", db.concat([ints, more]))
bag_case("map", ints.map(lambda x: x * x))
bag_case("map_two", ints.map(operator.add, more))
bag_case("map_with", ints.map(operator.sub, ints.max()))
bag_case("filter", ints.filter(lambda x: x % 2 == 0))
bag_case("remove", ints.remove(lambda x: x % 2 == 0))
bag_case("flatten", lists.flatten())
bag_case("starmap", pairs.starmap(lambda a, n: a * n))
bag_case("pluck_name", rows.pluck("name"))
bag_case("pluck_age_or", rows.pluck("age", -1))
bag_case("pluck_number", lists.pluck(1))
bag_case("unzip_first", pairs.unzip(2)[0])
bag_case("unzip_second", pairs.unzip(2)[1])
bag_case("map_partitions", ints.map_partitions(lambda part: [sum(part)]))
bag_case("zip", db.zip(ints, more))
bag_case("zip_uneven", db.zip(ints, more.filter(lambda x: x != 50)))
bag_case("product", pairs.product(lists))
bag_case("join", pairs.join(OTHER, lambda p: p[0]))
bag_case("join_bag", pairs.join(bag([OTHER]), lambda p: p[0], lambda p: p[0]))
bag_case("accumulate", ints.accumulate(operator.add))
bag_case("accumulate_initial", ints.accumulate(operator.add, initial=-1))
value_case("take", ints.take(3, compute=False))
value_case("take_too_many", ints.take(9, compute=False, warn=False))
value_case("take_two", ints.take(7, npartitions=2, compute=False))
value_case("take_all", ints.take(10, npartitions=-1, compute=False))
bag_case("topk", ints.topk(4))
bag_case("topk_more", ints.topk(100))
bag_case("topk_key", ints.topk(4, key=lambda x: -x))
# Ties: the elements of equal keys are told apart by the second.
ties = bag([[[1, "a"], [2, "b"], [2, "c"]], [[2, "d"], [1, "e"]], [[3, "f"], [2, "g"]]])
bag_case("topk_ties", ties.topk(4, key=lambda row: row[0]))
for n in [1, 2, 3, 4, 6, 9]:
    bag_case(f"repartition_{n}", ints.repartition(npartitions=n))
value_case("count", ints.count())
value_case("sum", ints.sum())
value_case("min", ints.min())
value_case("max", ints.max())
value_case("mean", ints.mean())
for ddof in [0, 1]:
    value_case(f"var_{ddof}", ints.var(ddof=ddof))
    value_case(f"std_{ddof}", ints.std(ddof=ddof))
    value_case(f"var_floats_{ddof}", floats.var(ddof=ddof))
value_case("any", ints.map(lambda x: x == 9).any())
value_case("all", ints.map(lambda x: x > 0).all())
value_case("fold", ints.fold(operator.add, initial=0))
value_case("reduction", ints.reduction(lambda part: len(list(part)), sum))
value_case("item_apply", ints.sum().apply(lambda x: x + 1))
bag_case("str_lower", words.str.lower())
bag_case("str_upper", words.str.upper())
bag_case("str_strip", words.str.strip())
bag_case("str_lstrip", words.str.lstrip())
bag_case("str_rstrip", words.str.rstrip())
bag_case("str_split_whitespace", words.str.split().flatten())
bag_case("str_split", words.str.split(",").flatten())
bag_case("str_split_n", words.str.split(",", 1).flatten())
bag_case("str_fields", words.str.split(","))
bag_case("str_replace", words.str.replace("o", "0"))
bag_case("str_startswith", words.str.startswith("to"))
bag_case("str_endswith", words.str.endswith("not"))
bag_case("str_contains", words.map(lambda text: "be" in text))
bag_case("str_len", words.map(len))
bag_case("str_match", words.str.match("*o*[!t]"))
bag_case("from_delayed", db.from_delayed([dask.delayed(part, pure=True) for part in LISTS]))
CASES["to_delayed"] = [plain(list(part.compute())) for part in ints.to_delayed()]
bag_case("random_sample_none", ints.random_sample(0.0, 1))
bag_case("random_sample_all", ints.random_sample(1.0, 1))
# What chance decides: how many there are, and where there is no choice, which.
CASES["sample_count"] = len(db.random.sample(ints, k=5).compute())
CASES["sample_all"] = plain(sorted(db.random.sample(ints, k=14).compute()))
CASES["choices_count"] = len(db.random.choices(ints, k=30).compute())
CASES["choices_of_one"] = plain(list(db.random.choices(bag([[7], []]), k=3).compute()))
# Zeros are equal, whatever their sign.
zeros = bag([[0.0, -0.0, 1.5], [-0.0], []])
CASES["frequencies_zeros"] = plain(sorted((abs(x), n) for x, n in zeros.frequencies().compute()))
CASES["distinct_zeros"] = plain(sorted(abs(x) for x in zeros.distinct().compute()))
CASES["foldby_zeros"] = plain(sorted((abs(x), n) for x, n in zeros.foldby(lambda x: x, lambda n, x: n + 1, 0, operator.add, 0).compute()))
CASES["groupby_zeros"] = plain(sorted((abs(x), len(group)) for x, group in zeros.groupby(lambda x: x).compute()))
value_case("fold_split_every", ints.fold(operator.add, initial=0, split_every=2))
CASES["foldby_split_every"] = plain(sorted(ints.foldby(lambda x: x % 3, operator.add, 0, split_every=2).compute()))
# In no order that follows from the elements: sorted.
CASES["frequencies"] = plain(sorted(ints.frequencies().compute()))
CASES["distinct"] = plain(sorted(ints.distinct().compute()))
CASES["distinct_key"] = plain(sorted(ints.map(lambda x: x % 4).distinct().compute()))
CASES["foldby"] = plain(sorted(ints.foldby(lambda x: x % 3, operator.add, 0).compute()))
CASES["foldby_combine"] = plain(
    sorted(ints.foldby(lambda x: x % 3, lambda n, x: n + 1, 0, operator.add, 0).compute())
)
CASES["groupby"] = plain(sorted((key, sorted(group)) for key, group in ints.groupby(lambda x: x % 3).compute()))
CASES["sort"] = plain(sorted(x for part in INTS for x in part))

TEXTS = {
    "lf": b"one\ntwo\nthree\n",
    "crlf": b"one\r\ntwo\r\nthree\r\n",
    "cr": b"one\rtwo\rthree\r",
    "mixed": b"one\r\ntwo\rthree\nfour\n\r\nfive",
    "empty": b"",
    "only_newline": b"\n",
    "no_newline": b"one\ntwo",
    "blank": b"\n\none\n\n",
    "unicode": "été\n\u4e00\u4e8c\n\u2028x\x0by\x85z\n".encode(),
    "long": b"a" * 20000 + b"\nshort\n" + b"b" * 9000,
}


def ends(lines):
    return [line.rstrip("\n") if line.endswith("\n") else line for line in lines]


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    texts = {}
    for name, content in TEXTS.items():
        path = HERE / f"{name}.txt"
        path.write_bytes(content)
        texts[name] = ends(db.read_text(str(path)).compute())
    (HERE / "invalid.txt").write_bytes(b"fine\nnot \xff fine\n")
    inputs = {"ints": INTS, "more": MORE, "floats": FLOATS, "words": WORDS, "pairs": PAIRS, "rows": ROWS, "lists": LISTS, "other": OTHER}
    golden = {"dask": dask.__version__, "inputs": inputs, "cases": CASES, "texts": texts}
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in CASES.items()]
    golden["cases"] = None
    head = json.dumps(golden, ensure_ascii=False, indent=None)
    text = head.replace('"cases": null', '"cases": {\n' + ",\n".join(lines) + "\n}")
    json.loads(text)
    (HERE / "verbs.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
