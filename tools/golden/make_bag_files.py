"""Writes tests/data/bag_files: text files of every convention for the ends of lines, in several encodings and compressed; Avro files; and index.json, what dask.bag reads of and writes to such files.

Needs Python 3.11 and `pip install "dask[bag]==2026.8.0" fastavro zstandard`. Run from the root of the repository:

    python tools/golden/make_bag.py

Lines stand in index.json without what ends them. Where dask refuses bytes that are no text, an entry has "error", where they begin, instead.
"""

import bz2
import codecs
import gzip
import json
import lzma
import os
import pathlib
import shutil
import tempfile

import dask
import dask.bag as db
import fastavro
import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "bag_files"

LONG = "x" * 5000
TEXTS = {
    "lf.txt": b"to be\nor not\n\nto be\n",
    "crlf.txt": b"to be\r\nor not\r\n\r\nto be\r\n",
    "cr.txt": b"to be\ror not\r\rto be\r",
    "mixed.txt": ("a\r\n\rb\n\r\n\n\rc\r\r\nd\u00e9\u20ac\n" * 40 + "the end").encode(),
    "noend.txt": b"one\ntwo\r\nthree",
    "empty.txt": b"",
    "ends.txt": b"\n\r\n\r\n\n\r\r",
    "long.txt": ("short\n" + LONG + "\nshort again\n" + LONG).encode(),
    "bom.txt": b"\xef\xbb\xbfone\ntwo\n",
    "invalid.txt": b"good\nbad \xff\xfe here\r\ncut \xe2\x82\nend \xf0\x9f\x98",
    "latin1.txt": "\u00e9t\u00e9\n\u0085\u00ff\r\nfin".encode("latin-1"),
    "cp1252.txt": b"\x80 and \x81\nplain\n",
    "utf16.txt": "one\r\ntwo \u20ac \U0001f600\nthree\r".encode("utf-16"),
    "utf16be.txt": "\ufeffone\ntwo".encode("utf-16-be"),
    "utf16bad.txt": "one\n".encode("utf-16-le") + b"\x00\xd8" + "two\n".encode("utf-16-le") + b"x",
    "sjis.txt": "\u3042\u8868\r\n\u30bd\n".encode("shift_jis"),
    "semicolons.txt": "a;;b\nc;; d;e;;".encode(),
}

# file, encoding, delimiter of lines, errors
READS = [(name, "utf-8", None, "strict") for name in TEXTS if name[:3] not in ("lat", "cp1", "utf", "sji")]
READS += [("invalid.txt", "utf-8", None, errors) for errors in ("replace", "ignore")]
READS += [("bom.txt", "utf-8-sig", None, "strict"), ("lf.txt", "ascii", None, "strict"), ("mixed.txt", "ascii", None, "strict")]
READS += [("mixed.txt", "ascii", None, errors) for errors in ("replace", "ignore")]
READS += [("latin1.txt", "latin-1", None, "strict"), ("mixed.txt", "latin-1", None, "strict"), ("latin1.txt", "iso-8859-9", None, "strict")]
READS += [("cp1252.txt", "cp1252", None, errors) for errors in ("strict", "replace", "ignore")]
READS += [("utf16.txt", "utf-16", None, "strict"), ("utf16be.txt", "utf-16-be", None, "strict")]
READS += [("utf16bad.txt", "utf-16-le", None, errors) for errors in ("strict", "replace", "ignore")]
READS += [("sjis.txt", "shift_jis", None, "strict")]
READS += [("semicolons.txt", "utf-8", end, "strict") for end in (";;", ";", "\n", "\r\n", "\r")]
READS += [("mixed.txt", "utf-8", end, "strict") for end in ("\n", "\r\n", "\r", "\u20ac\n")]

# What stands alone, and can be read in blocks by dask as well.
BLOCKS = [1, 3, 7, 64, 1000]


def strip(line, end):
    for end in [end] if end else ["\n"]:
        if line.endswith(end):
            return line[: -len(end)]
    return line


def read(path, encoding, end, errors, blocksize=None):
    # In one block dask reads a delimiter at the very end as an empty line behind it, in several it does not.
    whole = blocksize or 1 << 30 if end not in (None, "\n", "\r", "\r\n") else blocksize
    lines = db.read_text(str(path), blocksize=whole, encoding=encoding, errors=errors, linedelimiter=end, compression=None).compute()
    return [strip(line, end) for line in lines]


def reads():
    for name, encoding, end, errors in READS:
        entry = {"file": name, "encoding": encoding, "linedelimiter": end, "errors": errors}
        try:
            entry["lines"] = read(OUT / name, encoding, end, errors)
        except UnicodeDecodeError as e:
            entry["error"] = e.start
        if encoding == "utf-8" and "lines" in entry:
            for blocksize in BLOCKS:
                try:
                    same = read(OUT / name, encoding, end, errors, blocksize) == entry["lines"]
                except Exception:
                    same = None
                # dask looks for `\n` alone, within blocks; where that matters it does not read the same in blocks.
                entry.setdefault("dask_reads_the_same_in_blocks_of", []).extend([blocksize] if same else [])
        yield entry


def compressed():
    data = TEXTS["mixed.txt"]
    half = len(data) // 2 + 1
    parts = [data[:half], data[half:]]
    (OUT / "mixed.txt.gz").write_bytes(gzip.compress(parts[0], mtime=0) + gzip.compress(parts[1], 1, mtime=0) + bytes(37))
    (OUT / "mixed.txt.bz2").write_bytes(b"".join(map(bz2.compress, parts)))
    presets = zip(parts, (1, 6), strict=True)
    (OUT / "mixed.txt.xz").write_bytes(b"".join(lzma.compress(part, preset=preset) for part, preset in presets))
    frames = [zstandard.ZstdCompressor(level=3, write_checksum=True).compress(part) for part in parts]
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    (OUT / "mixed.txt.zst").write_bytes(frames[0] + skipped + frames[1])
    (OUT / "empty.txt.gz").write_bytes(b"")
    for suffix in ("gz", "bz2", "xz"):
        lines = [strip(line, None) for line in db.read_text(str(OUT / f"mixed.txt.{suffix}"), encoding="utf-8").compute()]
        assert lines == read(OUT / "mixed.txt", "utf-8", None, "strict"), suffix


def included():
    paths = [str(OUT / "lf.txt"), str(OUT / "mixed.txt.gz"), str(OUT / "noend.txt")]
    pairs = db.read_text(paths, include_path=True, encoding="utf-8").compute()
    return [[strip(line, None), os.path.basename(path)] for line, path in pairs if "lf" in path or "noend" in path]


def single_bytes():
    """What Python makes of each byte in encodings of one byte a character."""
    names = ["ascii", "latin-1", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "cp1258", "cp866", "koi8-r", "koi8-u"]
    names += [f"iso-8859-{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)]
    table = {}
    for name in names:
        table[name] = [bytes([i]).decode(name, "ignore") for i in range(256)]
        assert codecs.lookup(name)
    return table


def written():
    parts = [["to be", "or not"], [], ["\u00e9t\u00e9"], [""]]
    for path in ("out-*.txt", "folder"):
        for last in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                bag = db.Bag({("x", i): part for i, part in enumerate(parts)}, "x", len(parts))
                bag.to_textfiles(os.path.join(folder, path), encoding="utf-8", last_endline=last)
                files = sorted(pathlib.Path(folder).rglob("*"))
                contents = [[str(f.relative_to(folder)), f.read_bytes().decode()] for f in files if f.is_file()]
            yield {"partitions": parts, "path": path, "last_endline": last, "files": contents}
    names = {}
    for n in (1, 2, 10, 11, 101):
        with tempfile.TemporaryDirectory() as folder:
            bag = db.Bag({("x", i): ["x"] for i in range(n)}, "x", n)
            names[n] = [os.path.basename(path) for path in bag.to_textfiles(os.path.join(folder, "*.txt"))][-1]
    yield {"last_names": names}


SCHEMA = {
    "type": "record",
    "name": "Person",
    "namespace": "test",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "age", "type": "int"},
        {"name": "height", "type": ["null", "double"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}


def people():
    for i in range(300):
        yield {"name": f"p\u00e9rson {i}", "age": i % 90 - 5, "height": i / 8 if i % 3 else None, "tags": ["t"] * (i % 4)}


def avro():
    for codec in ("null", "deflate", "bzip2", "xz"):
        with open(OUT / f"people-{codec}.avro", "wb") as f:
            fastavro.writer(f, SCHEMA, people(), codec=codec, sync_interval=700, sync_marker=b"0123456789abcdef")
        for blocksize in (1000, 1 << 20):
            back = db.read_avro(str(OUT / f"people-{codec}.avro"), blocksize=blocksize).compute()
            assert back == list(people())
    return {"schema": json.dumps(SCHEMA), "records": list(people())}


def main():
    dask.config.set(scheduler="sync")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for name, data in TEXTS.items():
        (OUT / name).write_bytes(data)
    compressed()
    index = {
        "dask": dask.__version__,
        "reads": list(reads()),
        "with_paths": included(),
        "bytes": single_bytes(),
        "written": list(written()),
        "avro": avro(),
    }
    text = json.dumps(index, ensure_ascii=True, indent=None, separators=(",", ":"))
    (OUT / "index.json").write_text(text.replace('},{"file"', '},\n{"file"') + "\n")


if __name__ == "__main__":
    main()
