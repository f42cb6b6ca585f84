"""Writes tests/data/npy: .npy files by NumPy, sound and broken, and index.json, which says what each holds.

Needs Python 3.11 and `pip install numpy==2.4.6`. Run from the root of the repository:

    python tools/golden/make_npy.py
"""

import datetime
import io
import json
import pathlib
import shutil
import struct

import numpy as np
from numpy.lib import format as npy

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "npy"
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
SHAPES = [("0d", ()), ("1d", (5,)), ("3d", (2, 3, 4)), ("zero", (3, 0, 2))]


def values(dtype, shape):
    """Values that use every byte of an element, so that a wrong byte order is seen."""
    k = np.arange(1, 1 + int(np.prod(shape)), dtype=np.uint64)
    t = np.dtype(dtype)
    if t == bool:
        flat = k % 3 == 1
    elif t.kind == "f":
        flat = (k.astype("f8") * 1.1 - 7.3).astype(t)
    else:
        flat = ((k * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 8 * t.itemsize)).astype(t)
    return flat.reshape(shape)


def raw(header, version=(1, 0), align=64, length=None, magic=b"\x93NUMPY"):
    """A header written by hand, for what NumPy of today does not write."""
    size = "<H" if version[0] == 1 else "<I"
    text = header.encode("utf-8")
    start = 8 + struct.calcsize(size)
    text += b" " * (-(start + len(text) + 1) % align) + b"\n"
    return magic + bytes(version) + struct.pack(size, len(text) if length is None else length) + text


def saved(array, version=None, **options):
    out = io.BytesIO()
    npy.write_array(out, array, version=version, **options)
    return out.getvalue()


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "bad").mkdir(parents=True)
    good, bad = [], []

    def put(name, data, array, version=1):
        path = OUT / name
        path.write_bytes(data)
        back = np.load(path)
        assert back.dtype == array.dtype.newbyteorder("=") or back.dtype == array.dtype, name
        assert np.array_equal(back, array), name
        good.append({
            "file": name,
            "dtype": array.dtype.newbyteorder("=").name,
            "shape": list(array.shape),
            "fortran": bool(array.flags.f_contiguous and not array.flags.c_contiguous),
            "version": version,
            "as_numpy_writes": data == saved(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).reshape(array.shape)),
            "values": array.ravel(order="C").tolist(),
        })

    for dtype in DTYPES:
        for label, shape in SHAPES:
            array = values(dtype, shape)
            for order in "<>" if array.itemsize > 1 else "|":
                this = array.astype(array.dtype.newbyteorder(order))
                side = {"<": "le", ">": "be", "|": "one"}[order]
                put(f"{dtype}-{side}-{label}.npy", saved(this), this)
                if label == "3d":
                    turned = np.asfortranarray(this)
                    put(f"{dtype}-{side}-{label}-fortran.npy", saved(turned), turned)

    two = values("float64", (2, 3))
    for version in (1, 2, 3):
        put(f"version-{version}.npy", saved(two, version=(version, 0)), two, version)
    put("trailing-bytes.npy", saved(two) + b"and more", two)
    # As Python 2 wrote shapes, aligned to 16 as before NumPy 1.14.
    put("python-2.npy", raw("{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }", align=16) + two.tobytes(), two)
    # Another order of keys, other quotes, data that begin at no multiple of 8.
    put("odd-offset.npy", raw('{"shape":(2,3),"fortran_order":False,"descr":"<f8"}', align=7) + two.tobytes(), two)
    put("native-order.npy", raw("{'descr': '=f8', 'fortran_order': False, 'shape': (2, 3)}") + two.tobytes(), two)

    def broken(name, data, kind):
        (OUT / "bad" / name).write_bytes(data)
        bad.append({"file": f"bad/{name}", "kind": kind})

    whole = saved(two)
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
    broken("empty.npy", b"", "Truncated")
    broken("truncated-magic.npy", whole[:4], "Truncated")
    broken("truncated-length.npy", whole[:9], "Truncated")
    broken("truncated-header.npy", whole[:60], "Truncated")
    broken("truncated-data.npy", whole[:-11], "Truncated")
    broken("no-data.npy", whole[:128], "Truncated")
    broken("wrong-magic.npy", b"\x93NUMPI" + whole[6:], "Corrupt")
    broken("text.npy", b"1.0, 2.0, 3.0\n" * 20, "Corrupt")
    broken("not-a-dictionary.npy", raw("[1, 2, 3]"), "Corrupt")
    broken("missing-key.npy", raw("{'descr': '<f8', 'shape': (2, 3)}") + two.tobytes(), "Corrupt")
    broken("negative-extent.npy", raw(head % ("<f8", "(-2, 3)")) + two.tobytes(), "Corrupt")
    broken("too-large-shape.npy", raw(head % ("<f8", "(9223372036854775807, 9223372036854775807)")) + two.tobytes(), "Corrupt")
    broken("bool-of-2.npy", saved(np.array([True, False])) [:-1] + b"\x02", "Corrupt")
    broken("hostile-length.npy", raw(head % ("<f8", "(2, 3)"), version=(2, 0), length=0xFFFF_FFF0) + two.tobytes(), "Corrupt")
    broken("version-9.npy", b"\x93NUMPY\x09\x00" + whole[8:], "Unsupported")
    broken("object.npy", saved(np.array([1, "a", None], dtype=object)), "Unsupported")
    broken("structured.npy", saved(np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8")])), "Unsupported")
    wide = np.zeros(1, dtype=[(f"a_long_name_of_field_{i}", "<f8") for i in range(2000)])
    broken("structured-wide.npy", saved(wide, version=(2, 0))[: 80_000], "Unsupported")
    broken("complex64.npy", saved(np.zeros(3, "<c8")), "Unsupported")
    broken("complex128.npy", saved(np.zeros(3, "<c16")), "Unsupported")
    broken("float16.npy", saved(np.zeros(3, "<f2")), "Unsupported")
    broken("longdouble.npy", raw(head % ("<f16", "(1,)")) + bytes(16), "Unsupported")
    broken("str.npy", saved(np.array(["ab", "c"])), "Unsupported")
    broken("bytes.npy", saved(np.array([b"ab", b"c"])), "Unsupported")
    broken("void.npy", saved(np.zeros(3, "V4")), "Unsupported")
    broken("datetime.npy", saved(np.array([datetime.date(2020, 2, 29)], dtype="<M8[D]")), "Unsupported")
    broken("timedelta.npy", saved(np.zeros(3, dtype="<m8[s]")), "Unsupported")
    archive = io.BytesIO()
    np.savez(archive, x=two)
    broken("archive.npz", archive.getvalue(), "Unsupported")

    lines = lambda rows: "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"
    (OUT / "index.json").write_text('{"numpy": "%s", "good": %s, "bad": %s}\n' % (np.__version__, lines(good), lines(bad)))


if __name__ == "__main__":
    main()
