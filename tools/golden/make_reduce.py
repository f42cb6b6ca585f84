"""Writes tests/data/reduce: small arrays of each type, and reduce.json, what NumPy's reductions make of them.

Needs Python 3.11 and `pip install numpy==2.4.6`. Run from the root of the repository:

    python tools/golden/make_reduce.py

Values that JSON does not have are strings: "nan", "inf", "-inf". An entry is of one file, one reduction and one axis (null: all of them); "keepdims_shape"
is the shape of the same values with keepdims. Where NumPy refuses, as for the least of nothing, the entry has "error" instead.
"""

import json
import pathlib
import shutil
import warnings

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "reduce"
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
REDUCTIONS = ["sum", "prod", "mean", "var", "std", "min", "max", "any", "all"]


def plain(a):
    return [x if not isinstance(x, float) or np.isfinite(x) else str(x) for x in np.asarray(a).ravel().tolist()]


def draw(rng, dtype, shape):
    t = np.dtype(dtype)
    if t == bool:
        return rng.random(shape) < 0.7
    if t.kind == "f":
        return rng.normal(1.0, 3.0, shape).astype(t)
    info = np.iinfo(t)
    low, high = (-9, 10) if info.min < 0 else (0, 19)
    if t.itemsize == 8 and shape == (7,):
        low, high = info.min // 2, info.max  # sums and products that wrap around
    return rng.integers(low, high, shape, dtype=t)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    rng = np.random.default_rng(20240229)
    arrays = []
    for dtype in DTYPES:
        for label, shape in [("1d", (7,)), ("3d", (3, 4, 5)), ("zero", (2, 0, 3))]:
            if label != "zero" or dtype in ("bool", "int32", "float64"):
                arrays.append((f"{dtype}-{label}", draw(rng, dtype, shape)))
    for dtype in ("float32", "float64"):
        special = draw(rng, dtype, (3, 4))
        special[0, 1], special[1, 2], special[2, 2] = np.nan, np.inf, -np.inf
        arrays.append((f"{dtype}-special", special))
    entries = []
    warnings.simplefilter("ignore")
    for name, array in arrays:
        np.save(OUT / f"{name}.npy", array)
        for reduction in REDUCTIONS:
            for axis in [None, *range(array.ndim)]:
                entry = {"file": f"{name}.npy", "reduction": reduction, "axis": axis}
                try:
                    result = getattr(np, reduction)(array, axis=axis)
                    kept = getattr(np, reduction)(array, axis=axis, keepdims=True)
                    assert plain(kept) == plain(result)
                    entry |= {"dtype": result.dtype.name, "shape": list(result.shape), "keepdims_shape": list(kept.shape), "values": plain(result)}
                except ValueError as error:
                    entry["error"] = str(error)
                entries.append(entry)
    rows = ",\n".join(json.dumps(entry) for entry in entries)
    (OUT / "reduce.json").write_text('{"numpy": "%s", "entries": [\n%s\n]}\n' % (np.__version__, rows))


if __name__ == "__main__":
    main()
