"""Writes tests/data/ufunc: inputs of several types, and what NumPy's elementwise functions make of them.

Needs Python 3.11 and `pip install numpy==2.4.6`. Run from the root of the repository:

    python tools/golden/make_ufunc.py

`TYPE.x.npy` and `TYPE.y.npy` are the operands, `TYPE.n.npy` small counts (exponents and shifts for integers). The outputs of one type stand as
rows of `TYPE.OUTPUT.npy`; ufunc.json says which row is which function of which operands. Integers wrap around, and dividing by zero gives zero.
"""

import json
import pathlib
import shutil
import warnings

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "ufunc"
LENGTH = 96
COMPARE = "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split()
FLOAT_1 = (
    "negative absolute sign sqrt square cbrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh "
    "arctanh floor ceil trunc rint degrees radians isnan isinf isfinite signbit logical_not"
).split()
FLOAT_2 = "add subtract multiply divide floor_divide remainder fmod power maximum minimum fmax fmin hypot arctan2 copysign".split() + COMPARE
INT_1 = "negative absolute sign square invert logical_not sqrt exp".split()
INT_2 = "add subtract multiply divide floor_divide remainder fmod maximum minimum bitwise_and bitwise_or bitwise_xor".split() + COMPARE
INT_N = "power left_shift right_shift".split()


def floats(rng, dtype):
    t = np.dtype(dtype)
    info = np.finfo(t)
    special = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal, 0.5, -0.5, 1.5, 2.5, -2.5]
    drawn = np.concatenate([rng.uniform(-1, 1, 20), rng.normal(0, 10, 20), 10 ** rng.uniform(-6, 6, 20), -(10 ** rng.uniform(-3, 3, 10)), rng.integers(-50, 50, 9)])
    x = np.concatenate([special, drawn]).astype(t)
    assert len(x) == LENGTH
    return x, rng.permutation(x), np.zeros(LENGTH, t)


def integers(rng, dtype):
    t = np.dtype(dtype)
    info = np.iinfo(t)
    special = np.array([0, 1, 2, info.min, info.max, info.max - 1], dtype=t)
    wide = rng.integers(info.min, info.max, 45, dtype=t, endpoint=True)
    near = rng.integers(max(info.min, -20), 20, LENGTH - len(special) - len(wide), dtype=t)
    x = np.concatenate([special, wide, near])
    return x, rng.permutation(x), rng.integers(0, 8, LENGTH, dtype=t)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(20240229)
    entries = []
    for dtype in ("float32", "float64", "int8", "int32", "int64", "uint8", "uint64"):
        kind = np.dtype(dtype).kind
        x, y, n = (floats if kind == "f" else integers)(rng, dtype)
        for name, operand in (("x", x), ("y", y), ("n", n)):
            if kind != "f" or name != "n":
                np.save(OUT / f"{dtype}.{name}.npy", operand)
        calls = [(f, ["x"]) for f in (FLOAT_1 if kind == "f" else INT_1)] + [(f, ["x", "y"]) for f in (FLOAT_2 if kind == "f" else INT_2)]
        if kind != "f":
            calls += [(f, ["x", "n"]) for f in INT_N]
        rows = {}
        for name, operands in calls:
            result = getattr(np, name)(*[{"x": x, "y": y, "n": n}[o] for o in operands])
            if result.dtype == np.float16:
                continue  # a type that is not ours
            same = rows.setdefault(result.dtype.name, [])
            entries.append({"ufunc": name, "dtype": dtype, "inputs": operands, "output": result.dtype.name, "file": f"{dtype}.{result.dtype.name}.npy", "row": len(same)})
            same.append(result)
        for output, results in rows.items():
            np.save(OUT / f"{dtype}.{output}.npy", np.stack(results))
    (OUT / "ufunc.json").write_text('{"numpy": "%s", "entries": [\n%s\n]}\n' % (np.__version__, ",\n".join(map(json.dumps, entries))))


if __name__ == "__main__":
    main()
