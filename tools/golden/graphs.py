#!/usr/bin/env python3
"""Makes recorded task graphs: tasks with output bytes and dependencies, Dask's order, and the peaks of three orders.

    graphs.py FOLDER [NAME ...]         writes FOLDER/NAME.json for each graph, or for those named
    graphs.py --check FILE ...          recomputes the peaks of files and prints them beside those recorded

Needs dask, numpy and pandas. Array and frame graphs are run once, in Dask's order, for the true bytes of every output; the
others are made of seeded random numbers. Labels are shuffled, so that an order learns nothing from them. A peak counts an
output from its start until its last consumer has run, outputs without consumers until they have run. `postorder` and
`greedy_bytes` are the least of several tie-breaks each.
"""

import heapq
import json
import os
import random
import sys
import warnings

warnings.filterwarnings("ignore")


# ---------------------------------------------------------------- peaks and orders


def users_of(deps):
    users = [[] for _ in deps]
    for task, inputs in enumerate(deps):
        for dep in inputs:
            users[dep].append(task)
    return users


def peak(out, deps, order):
    left = [len(u) for u in users_of(deps)]
    held = most = 0
    for task in order:
        held += out[task]
        most = max(most, held)
        if not left[task]:
            held -= out[task]
        for dep in deps[task]:
            left[dep] -= 1
            if not left[dep]:
                held -= out[dep]
    return most


def largest_need(out, deps):
    return max(out[t] + sum(out[d] for d in deps[t]) for t in range(len(out)))


def topological(deps):
    users, missing = users_of(deps), [len(d) for d in deps]
    order = [t for t in range(len(deps)) if not missing[t]]
    for task in order:
        for user in users[task]:
            missing[user] -= 1
            if not missing[user]:
                order.append(user)
    return order


def postorder(out, deps, rank, choose=max):
    """Liu's best postorder on a spanning forest: each output hangs under the user that comes last (or first) by `rank`."""
    users = users_of(deps)
    parent = [choose(u, key=lambda t: rank[t]) if u else None for u in users]
    need = [0] * len(out)
    descent = [()] * len(out)
    for task in topological(deps):
        climb = {d: need[d] - out[d] if parent[d] == task else 0 for d in deps[task]}
        descent[task] = sorted(deps[task], key=lambda d: (-climb[d], rank[d]))
        held = most = 0
        for d in descent[task]:
            most = max(most, held + climb[d] + out[d])
            held += out[d]
        need[task] = max(most, held + out[task])
    order, seen = [], [False] * len(out)
    for sink in sorted((t for t in range(len(out)) if not users[t]), key=lambda t: rank[t]):
        stack = [(sink, iter(descent[sink]))]
        seen[sink] = True
        while stack:
            task, inputs = stack[-1]
            for d in inputs:
                if not seen[d]:
                    seen[d] = True
                    stack.append((d, iter(descent[d])))
                    break
            else:
                order.append(task)
                stack.pop()
    return order


def greedy(out, deps, rank, roots_last):
    """Starts what frees most now; among those that free nothing the one whose user misses fewest others."""
    users = users_of(deps)
    left, missing = [len(u) for u in users], [len(d) for d in deps]
    done = [False] * len(out)

    def key(task):
        growth = (out[task] if users[task] else 0) - sum(out[d] for d in deps[task] if left[d] == 1)
        siblings = min((missing[u] for u in users[task]), default=0)
        if roots_last:
            return (not deps[task], siblings if not deps[task] else 0, growth, rank[task])
        return (growth > 0, 0 if growth <= 0 else siblings, growth, rank[task])

    heap, latest, order = [], {}, []

    def push(task):
        if not done[task] and not missing[task]:
            now = key(task)
            if latest.get(task) != now:
                latest[task] = now
                heapq.heappush(heap, (now, task))

    for task in range(len(out)):
        push(task)
    while heap:
        seen, task = heapq.heappop(heap)
        if done[task] or latest[task] != seen:
            continue
        done[task] = True
        order.append(task)
        touched = set(users[task])
        for d in deps[task]:
            left[d] -= 1
            if left[d] == 1:
                touched.update(u for u in users[d] if not done[u])
        for u in users[task]:
            missing[u] -= 1
            touched.update(d for d in deps[u] if not done[d])
        for t in touched:
            push(t)
    assert len(order) == len(out)
    return order


def peaks(out, deps, dask_order):
    rank = [0] * len(out)
    for place, task in enumerate(dask_order):
        rank[task] = place
    label = list(range(len(out)))
    return {
        "dask_order": peak(out, deps, dask_order),
        "postorder": min(peak(out, deps, postorder(out, deps, r, choose)) for r in (rank, label) for choose in (max, min)),
        "greedy_bytes": min(peak(out, deps, greedy(out, deps, r, last)) for r in (rank, label) for last in (False, True)),
    }


# ---------------------------------------------------------------- graphs of Dask's collections


def nbytes(value):
    import numpy as np
    import pandas as pd

    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
        used = value.memory_usage(index=True) if not isinstance(value, pd.Index) else value.nbytes
        return int(used.sum()) if hasattr(used, "sum") else int(used)
    if isinstance(value, dict):
        return sum(nbytes(v) for v in value.values()) or 8
    if isinstance(value, (list, tuple)):
        return sum(nbytes(v) for v in value) or 8
    return 8


def of_dask(*collections):
    """Tasks of the optimised graph with the bytes that their outputs have, and Dask's order."""
    import dask
    from dask._task_spec import DependenciesMapping, convert_legacy_graph
    from dask.order import order as dask_order

    frames = [c.optimize(fuse=True) for c in collections if hasattr(c, "expr")]
    graph = {}
    for collection in frames + list(dask.optimize(*[c for c in collections if not hasattr(c, "expr")])):
        graph.update(dict(collection.__dask_graph__()))
    graph = dict(convert_legacy_graph(graph))
    deps = {key: set(found) for key, found in DependenciesMapping(graph).items()}
    place = dask_order(dict(graph))
    keys = sorted(graph, key=place.__getitem__)
    left = {key: 0 for key in graph}
    for found in deps.values():
        for dep in found:
            left[dep] += 1
    values, size = {}, {}
    for key in keys:
        values[key] = graph[key]({d: values[d] for d in deps[key]}) if callable(graph[key]) else graph[key]
        size[key] = nbytes(values[key])
        for dep in deps[key]:
            left[dep] -= 1
            if not left[dep]:
                del values[dep]
    number = {key: n for n, key in enumerate(graph)}
    out = [size[key] for key in graph]
    edges = [[number[d] for d in deps[key]] for key in graph]
    return out, edges, [number[key] for key in keys]


def of_edges(out, deps):
    """A graph made by hand; its Dask order is of keys that name layer and number, as collections name them."""
    from dask._task_spec import Task, TaskRef
    from dask.order import order as dask_order

    def nothing(*_):
        pass

    graph = {("t", n): Task(("t", n), nothing, *[TaskRef(("t", d)) for d in inputs]) for n, inputs in enumerate(deps)}
    place = dask_order(graph)
    return out, [sorted(set(d)) for d in deps], sorted(range(len(out)), key=lambda n: place[("t", n)])


MAKERS = {}




def family(name, **cases):
    """Several graphs of one maker."""

    def note(make):
        for case, arguments in cases.items():
            MAKERS[f"{name}_{case}"] = lambda arguments=arguments: make(*arguments)
        return make

    return note


def da():
    import dask.array

    return dask.array


@family(
    "rechunk",
    rows_cols=((1200, 1200), (40, -1), (-1, 40)),
    rows_blocks=((1200, 1200), (40, -1), (200, 200)),
    blocks_finer=((1200, 1200), (300, 300), (100, 50)),
    blocks_coarser=((1200, 1200), (60, 60), (400, 300)),
    shifted=((1000, 1000), (100, 100), (130, 70)),
    cubes=((60, 60, 60), (60, 5, 5), (5, 60, 5)),
    cubes_thin=((40, 40, 40), (4, 40, 40), (40, 40, 4)),
)
def rechunk(shape, before, after):
    return of_dask(da().random.random(shape, chunks=before).rechunk(after).sum())


@family("rechunk_twice", a=((800, 800), (40, -1), (-1, 40)), b=((900, 900), (90, 90), (900, 30)))
def rechunk_twice(shape, one, two):
    return of_dask(da().random.random(shape, chunks=one).rechunk(two).map_blocks(lambda b: b + 1).rechunk(one).sum(axis=0))


@family("rechunk_store", rows_cols=((1200, 1200), (40, -1), (-1, 40)), blocks=((960, 960), (80, 80), (120, 480)))
def rechunk_store(shape, before, after):
    return of_dask(da().random.random(shape, chunks=before).rechunk(after))


@family("transpose", square=(1600, 100, 100), wide=(1600, 400, 100), tall=(1600, 50, 400), fine=(1500, 50, 50), three=(900, 300, 30))
def transpose(n, rows, cols):
    x = da().random.random((n, n), chunks=(rows, cols))
    return of_dask((x + x.T).sum())


@family("transpose_means", square=(1600, 100), fine=(1500, 50))
def transpose_means(n, chunk):
    x = da().random.random((n, n), chunks=(chunk, chunk))
    return of_dask((x + x.T).mean(axis=0), (x - x.T).sum(axis=1))


@family("transpose_kept", square=(1600, 100), wide=(1200, 60))
def transpose_kept(n, chunk):
    x = da().random.random((n, n), chunks=(chunk, chunk))
    return of_dask(x + x.T)


@family(
    "matmul",
    square=((800, 800, 800), (100, 100, 100)),
    inner=((300, 2400, 300), (100, 100, 100)),
    outer=((1600, 100, 1600), (100, 100, 100)),
    tall=((2400, 400, 200), (100, 100, 100)),
    uneven=((1200, 600, 800), (100, 60, 200)),
    wide=((300, 900, 2100), (100, 90, 70)),
)
def matmul(shape, chunk):
    (m, k, n), (a, b, c) = shape, chunk
    x, y = da().random.random((m, k), chunks=(a, b)), da().random.random((k, n), chunks=(b, c))
    return of_dask((x @ y).sum())


@family("matmul_kept", square=(800, 100), fine=(600, 50))
def matmul_kept(n, chunk):
    x, y = (da().random.random((n, n), chunks=chunk) for _ in range(2))
    return of_dask(x @ y)


@family("matmul_chain", three=(500, 100), shared=(600, 100))
def matmul_chain(n, chunk):
    x, y = (da().random.random((n, n), chunks=chunk) for _ in range(2))
    return of_dask((x @ y @ x).sum())


@family("gram", rows=(4000, 400, 250, 100), blocks=(1500, 1500, 100, 150))
def gram(m, n, a, b):
    x = da().random.random((m, n), chunks=(a, b))
    return of_dask((x.T @ x).std(), x.mean(axis=0))


@family("tensordot", cube=(120, 30), fine=(90, 15))
def tensordot(n, chunk):
    x, y = da().random.random((n, n, 20), chunks=(chunk, chunk, 20)), da().random.random((n, 20, n), chunks=(chunk, 20, chunk))
    return of_dask(da().tensordot(x, y, axes=([1, 2], [2, 1])).sum(axis=0))


@family("einsum", a=(60, 15), b=(48, 8))
def einsum(n, chunk):
    x, y = (da().random.random((n, n, n), chunks=chunk) for _ in range(2))
    return of_dask(da().einsum("ijk,kjl->il", x, y).sum())


@family("covariance", a=(3000, 300), b=(2000, 100))
def covariance(n, chunk):
    x = da().random.random((n, 200), chunks=(chunk, 50))
    c = x - x.mean(axis=0)
    return of_dask((c.T @ c / n).sum())


@family("svd_compressed", tall=(4000, 400, 250, 400, 20, 1), blocks=(1500, 1200, 150, 200, 20, 0), more=(3000, 1000, 300, 500, 10, 2))
def svd_compressed(m, n, a, b, k, powers):
    x = da().random.random((m, n), chunks=(a, b))
    return of_dask(*da().linalg.svd_compressed(x, k=k, n_power_iter=powers, seed=1))


@family("tsqr", few=(4000, 40, 400), many=(12000, 30, 200))
def tsqr(m, n, chunk):
    return of_dask(*da().linalg.qr(da().random.random((m, n), chunks=(chunk, n))))


@family("svd_tall", few=(4000, 40, 400), many=(9000, 30, 150))
def svd_tall(m, n, chunk):
    return of_dask(*da().linalg.svd(da().random.random((m, n), chunks=(chunk, n))))


@family("sfqr", wide=(60, 1800, 60))
def sfqr(m, n, chunk):
    return of_dask(*da().linalg.qr(da().random.random((m, n), chunks=(m, chunk))))


def spd(n, chunk):
    import numpy as np

    x = np.random.default_rng(0).random((n, n))
    return da().from_array(x @ x.T + n * np.eye(n), chunks=chunk)


@family("lu", six=(300, 50), nine=(270, 30))
def lu(n, chunk):
    return of_dask(*da().linalg.lu(spd(n, chunk)))


@family("cholesky", eight=(400, 50), twelve=(480, 40))
def cholesky(n, chunk):
    return of_dask(da().linalg.cholesky(spd(n, chunk)))


@family("inv", six=(300, 50), eight=(320, 40))
def inv(n, chunk):
    return of_dask(da().linalg.inv(spd(n, chunk)))


@family("solve", eight=(400, 50), lots=(360, 36))
def solve(n, chunk):
    return of_dask(da().linalg.solve(spd(n, chunk), da().random.random((n, 60), chunks=(chunk, 20))))


@family("lstsq", a=(4000, 40, 250))
def lstsq(m, n, chunk):
    x = da().random.random((m, n), chunks=(chunk, n))
    return of_dask(*da().linalg.lstsq(x, da().random.random(m, chunks=chunk)))


@family("cumsum", rows=((2000, 400), (100, 100), 0, False), cols=((800, 800), (80, 80), 1, False), tree=((2000, 300), (100, 100), 0, True))
def cumsum(shape, chunks, axis, blelloch):
    x = da().random.random(shape, chunks=chunks)
    return of_dask((x.cumsum(axis=axis, method="blelloch" if blelloch else "sequential") - x).mean())


@family("cumprod_pair", a=(1200, 60), b=(900, 100))
def cumprod_pair(n, chunk):
    x = da().ones((n, 300), chunks=(chunk, 100))
    return of_dask((x.cumprod(axis=0) + x.cumsum(axis=0)).sum(axis=1))


@family("overlap_twice", two=((800, 800), (80, 80), 3), rows=((3000, 60), (100, 60), 5), three=((60, 60, 60), (15, 15, 15), 2))
def overlap_twice(shape, chunks, depth):
    x = da().random.random(shape, chunks=chunks)
    once = x.map_overlap(lambda b: b + 1, depth=depth, boundary="reflect")
    return of_dask(once.map_overlap(lambda b: b * 2, depth=depth, boundary="none").sum())


@family("gradient", a=((900, 900), (90, 90)), b=((80, 80, 80), (20, 20, 20)))
def gradient(shape, chunks):
    x = da().random.random(shape, chunks=chunks)
    return of_dask(sum(g**2 for g in da().gradient(x)).mean())


@family("gradient_kept", cube=(60, 20), fine=(40, 10))
def gradient_kept(n, chunk):
    return of_dask(*da().gradient(da().random.random((n,) * 3, chunks=chunk)))


@family("stencil", one=((3000,), (100,), 6), two=((400, 400), (80, 80), 4))
def stencil(shape, chunks, steps):
    x = da().random.random(shape, chunks=chunks)
    for _ in range(steps):
        x = x.map_overlap(lambda b: b * 0.5, depth=1, boundary="periodic")
    return of_dask(x)


@family("anomaly", months=(240, 40, 12, 1), days=(365, 30, 73, 5), coarse=(480, 60, 12, 4))
def anomaly(times, side, period, chunk):
    """Climatology by position in the period, and the mean of the differences from it."""
    import numpy as np

    x = da().random.random((times, side, side), chunks=(chunk, side // 2, side // 2))
    groups = [x[np.arange(g, times, period)] for g in range(period)]
    away = [g - g.mean(axis=0) for g in groups]
    return of_dask(*[a.mean(axis=(1, 2)) for a in away])


@family("climatology_kept", a=(120, 40, 12))
def climatology_kept(times, side, period):
    x = da().random.random((times, side, side), chunks=(2, side // 2, side))
    mean = da().stack([x[g::period].mean(axis=0) for g in range(period)])
    return of_dask(x.reshape((times // period, period, side, side)) - mean)


@family("standardise", rows=((3000, 300), (100, 300), 0), cols=((600, 900), (60, 90), 1), all=((900, 900), (90, 90), None), tall=((5000, 40), (100, 40), 0))
def standardise(shape, chunks, axis):
    x = da().random.random(shape, chunks=chunks)
    kept = axis is not None
    return of_dask(abs((x - x.mean(axis=axis, keepdims=kept)) / x.std(axis=axis, keepdims=kept)).sum())


@family("standardise_kept", rows=((3000, 200), (100, 200), 0), blocks=((900, 900), (90, 90), 1))
def standardise_kept(shape, chunks, axis):
    x = da().random.random(shape, chunks=chunks)
    return of_dask((x - x.mean(axis=axis, keepdims=True)) / x.std(axis=axis, keepdims=True))


@family("nested", a=(40, 20), b=(24, 60))
def nested(times, side):
    x = da().random.random((times * 5, side, side), chunks=(5, side // 2, side // 2))
    return of_dask((x.max(axis=0) - x.mean(axis=0)).std(), x.sum(axis=(1, 2)).var())


@family("tree_sum", two=(64, 2), four=(128, 4), eight=(200, 8), sixteen=(256, 16))
def tree_sum(blocks, every):
    x = da().random.random((blocks * 50, 100), chunks=(50, 50))
    return of_dask(x.sum(axis=0, split_every=every), x.std(axis=0, split_every=every))


@family("tree_blocks", two=(20, 2), four=(30, 4), eight=(24, 8))
def tree_blocks(side, every):
    x = da().random.random((side * 40, side * 40), chunks=40)
    return of_dask((x - x.mean(axis=0, split_every=every)).var(axis=1, split_every=every).max())


@family("quad_means", a=(60, 40), b=(40, 100))
def quad_means(times, n):
    d = da()
    u, v = d.random.random((times, 1, n), chunks=(1, 1, n)), d.random.random((times, n, 1), chunks=(1, n, 1))
    return of_dask((u**2).mean(axis=0), (u * v).mean(axis=0), (v**2).mean(axis=0))


@family("uv_vw", a=(120, 40), b=(300, 20))
def uv_vw(times, n):
    u, v, w = (da().random.random((times, n, n), chunks=(1, n, n)) for _ in range(3))
    return of_dask((u * v).sum(), (v * w).sum(), (u * w).sum())


@family("histograms", a=(100, 60))
def histograms(blocks, n):
    x = da().random.random(blocks * n, chunks=n)
    y = (x - x.min()) / (x.max() - x.min())
    return of_dask(da().histogram(y, bins=10, range=(0, 1))[0], y.std())


@family("histogram_weighted", ten=(900, 90), fifteen=(900, 60))
def histogram_weighted(n, chunk):
    """Counts and sums of weights, whose bins are kept for each block until all are there."""
    d = da()
    x = d.random.random((n, n), chunks=chunk)
    y = x * 2 + 1
    counts, _ = d.histogram(y, bins=30, range=(1, 3))
    sums, _ = d.histogram(x.ravel(), bins=20, range=(0, 1), weights=y.ravel())
    return of_dask(counts, sums, d.bincount((x.ravel() * 10).astype(int), minlength=10))


@family("bootstrap", few=(20, 8), many=(40, 20))
def bootstrap(blocks, draws):
    """Means of blocks drawn with repeats, and how far they are apart."""
    import numpy as np

    x, rng = da().random.random(blocks * 50, chunks=50), np.random.default_rng(3)
    means = [x.blocks[rng.integers(0, blocks, blocks // 2).tolist()].mean() for _ in range(draws)]
    return of_dask(da().stack(means).std(), x.mean())


@family("slices", a=(800, 80), b=(1200, 60))
def slices(n, chunk):
    x = da().random.random((n, n), chunks=chunk)
    return of_dask((x[::2, 1:] * x[1::2, :-1])[:, ::3].sum(axis=1))


@family("concatenated", a=(30, 60))
def concatenated(parts, n):
    d = da()
    xs = [d.random.random((n, n), chunks=n // 2) for _ in range(parts)]
    both = d.concatenate(xs, axis=0)
    return of_dask((both - both.mean(axis=0)).sum(axis=1), d.stack(xs).max(axis=0))


@family("fft", a=(600, 60))
def fft(n, chunk):
    d = da()
    x = d.random.random((n, n), chunks=(chunk, n))
    once = d.fft.fft(x, axis=1).rechunk((n, chunk))
    return of_dask(abs(d.fft.fft(once, axis=0)).sum())


@family("shuffled", take=(2000, 50))
def shuffled(n, chunk):
    import numpy as np

    x = da().random.random((n, 30), chunks=(chunk, 30))
    return of_dask(x[np.random.default_rng(0).permutation(n)].sum(axis=1))


@family("kmeans", a=(20, 4), b=(40, 3))
def kmeans(blocks, rounds):
    """Each round assigns blocks to centres and sums by centre."""
    import dask

    @dask.delayed(pure=True)
    def load(n):
        import numpy as np

        return np.full((200, 10), float(n))

    @dask.delayed(pure=True)
    def assign(block, centres):
        return block[:5] + centres

    @dask.delayed(pure=True)
    def merge(parts):
        return sum(parts) / len(parts)

    data = [load(n) for n in range(blocks)]
    centres = merge([d[:5] for d in data[:3]])
    for _ in range(rounds):
        centres = merge([assign(d, centres) for d in data])
    return of_dask(centres)


@family("train_score", a=(16, 5), b=(12, 12))
def train_score(blocks, models):
    """Cross validation: each model is trained on all blocks but one, in steps, and scored on that one."""
    import dask
    import numpy as np

    load = dask.delayed(lambda n: np.full(2000, float(n)), pure=True)
    prepare = dask.delayed(lambda x: x[:1500] * 2, pure=True)
    train = dask.delayed(lambda model, x: model + x[:300], pure=True)
    score = dask.delayed(lambda model, x: float(model.sum() + x.sum()), pure=True)
    best = dask.delayed(max, pure=True)
    data = [prepare(load(n)) for n in range(blocks)]
    scores = []
    for m in range(models):
        model = dask.delayed(np.zeros)(300)
        for n, x in enumerate(data):
            if n != m % blocks:
                model = train(model, x)
        scores.append(score(model, data[m % blocks]))
    return of_dask(best(scores))


def frame(parts, rows):
    import dask
    import numpy as np
    import pandas as pd

    dask.config.set({"dataframe.shuffle.method": "tasks"})
    import dask.dataframe as dd

    r = np.random.default_rng(3)
    n = parts * rows
    table = pd.DataFrame({"k": r.integers(0, 50, n), "id": r.permutation(n), "x": r.random(n), "y": r.random(n)})
    return dd.from_pandas(table, npartitions=parts, sort=False)


@family("set_index", a=(20, 100), b=(40, 50))
def set_index(parts, rows):
    f = frame(parts, rows)
    divisions = [int(i * parts * rows / parts) for i in range(parts)] + [parts * rows]
    return of_dask(f.set_index("id", divisions=divisions, shuffle_method="tasks").x.sum())


@family("shuffle", a=(16, 100, 4), b=(40, 60, 32), c=(64, 30, 8))
def shuffle(parts, rows, branch):
    return of_dask(frame(parts, rows).shuffle("id", max_branch=branch, shuffle_method="tasks").x.cumsum().max())


@family("merge", a=(12, 100), b=(24, 60))
def merge(parts, rows):
    left, right = frame(parts, rows), frame(parts // 2, rows)[["id", "y"]]
    return of_dask(left.merge(right, on="id", shuffle_method="tasks").x.sum())


@family("groupby", a=(60, 100, 1), b=(40, 80, 8))
def groupby(parts, rows, out):
    f = frame(parts, rows)
    return of_dask(f.groupby("k").x.mean(split_out=out, shuffle_method="tasks"), f.y.max())


@family("frame_standardise", a=(50, 100))
def frame_standardise(parts, rows):
    f = frame(parts, rows)
    return of_dask(((f.x - f.x.mean()) / f.x.std()).abs().sum(), f.y.var())


# ---------------------------------------------------------------- graphs of random numbers


def draw(seed):
    return random.Random(seed)


def sizes(r, kind):
    if kind == "same":
        return lambda: 1000
    if kind == "few":
        return lambda: r.choice((8, 800, 8000))
    return lambda: int(10 ** r.uniform(1, 5))


@family("layered", **{f"{kind}_{n}": (n, kind, width, layers, fan) for n, (width, layers, fan) in enumerate([(20, 20, 2), (50, 12, 3), (8, 80, 2), (100, 6, 4)]) for kind in ("same", "few", "wide")})
def layered(seed, kind, width, layers, fan):
    r = draw(seed)
    size = sizes(r, kind)
    out, deps = [], []
    for layer in range(layers):
        for _ in range(width):
            deps.append([] if not layer else [(layer - 1) * width + r.randrange(width) for _ in range(r.randint(1, fan))])
            out.append(size())
    return of_edges(out, [sorted(set(d)) for d in deps])


@family("near", **{f"{kind}_{n}": (n, kind, 400, reach) for n, reach in enumerate((10, 40, 150)) for kind in ("same", "few", "wide")})
def near(seed, kind, tasks, reach):
    """Each task takes up to three of those that were made shortly before it."""
    r = draw(seed + 50)
    size = sizes(r, kind)
    deps = [sorted({max(0, n - 1 - int(r.expovariate(3 / reach))) for _ in range(r.randint(0, 3))} if n else ()) for n in range(tasks)]
    return of_edges([size() for _ in range(tasks)], deps)


@family("series_parallel", **{f"{kind}_{n}": (n, kind, tasks) for n, tasks in enumerate((60, 200, 600)) for kind in ("same", "few", "wide")})
def series_parallel(seed, kind, tasks):
    r = draw(seed + 100)
    size = sizes(r, kind)
    out, deps = [], []

    def add(inputs):
        out.append(size())
        deps.append(list(inputs))
        return len(out) - 1

    def build(start, budget):
        if budget <= 1:
            return add([start])
        if r.random() < 0.5:
            part = max(1, int(budget * r.uniform(0.2, 0.8)))
            return build(build(start, part), budget - part)
        fan = min(budget, r.randint(2, 5))
        return add([build(start, max(1, (budget - 1) // fan)) for _ in range(fan)])

    build(add([]), tasks)
    return of_edges(out, deps)


@family("tree", **{f"{kind}_{n}": (n, kind, tasks) for n, tasks in enumerate((100, 800)) for kind in ("same", "few", "wide")})
def tree(seed, kind, tasks):
    """A random tree: every output has one user."""
    r = draw(seed + 200)
    size = sizes(r, kind)
    users = [None] + [r.randrange(max(0, n - 30), n) for n in range(1, tasks)]
    deps = [[] for _ in range(tasks)]
    for n, user in enumerate(users):
        if user is not None:
            deps[tasks - 1 - user].append(tasks - 1 - n)
    return of_edges([size() for _ in range(tasks)], deps)


@family("fan", out_in=(40, 6, 1), many=(10, 40, 2), deep=(12, 12, 3))
def fan(groups, width, seed):
    """Splitters whose pieces are worked on, joined across groups."""
    r = draw(seed + 300)
    size = sizes(r, "few")
    out, deps = [], []

    def add(inputs, bytes):
        out.append(bytes)
        deps.append(list(inputs))
        return len(out) - 1

    pieces = []
    for _ in range(groups):
        load = add([], 12800)
        split = add([load], 12800)
        pieces.append([add([add([split], 320)], size()) for _ in range(width)])
    joins = [add([p[w] for p in pieces], 64) for w in range(width)]
    add(joins, 8)
    return of_edges(out, deps)


@family("grid", a=(20, 20, "same"), b=(12, 40, "few"), c=(25, 25, "wide"))
def grid(rows, cols, kind):
    size = sizes(draw(rows), kind)
    deps = [[d for d in (n - cols if n >= cols else None, n - 1 if n % cols else None) if d is not None] for n in range(rows * cols)]
    return of_edges([size() for _ in deps], deps)


@family("butterfly", four=(4, "same"), six=(6, "few"), seven=(7, "wide"))
def butterfly(levels, kind):
    """The graph of a fast Fourier transform."""
    size, width = sizes(draw(levels), kind), 1 << levels
    deps = [[] for _ in range(width)]
    for level in range(levels):
        deps += [[level * width + n, level * width + (n ^ (1 << level))] for n in range(width)]
    deps.append(list(range(levels * width, (levels + 1) * width)))
    return of_edges([size() for _ in deps], deps)


@family("many_to_many", a=(20, 20, 3), b=(12, 30, 2))
def many_to_many(sources, targets, rounds):
    out, deps, front = [], [], []

    def add(inputs, bytes):
        out.append(bytes)
        deps.append(list(inputs))
        return len(out) - 1

    front = [add([], 10000) for _ in range(sources)]
    for _ in range(rounds):
        parts = [[add([f], 10000 // targets) for _ in range(targets)] for f in front]
        front = [add([p[t] for p in parts], 10000 * sources // targets) for t in range(targets)]
        sources, targets = targets, sources
    for f in front:
        add([f], 8)
    return of_edges(out, deps)


# ---------------------------------------------------------------- files


def write(path, name, made):
    out, deps, order = made
    label = list(range(len(out)))
    draw(name).shuffle(label)
    tasks = [None] * len(out)
    for n, new in enumerate(label):
        tasks[new] = {"bytes": out[n], "deps": sorted(label[d] for d in deps[n])}
    bytes_, edges = [t["bytes"] for t in tasks], [t["deps"] for t in tasks]
    order = [label[n] for n in order]
    found = {"name": name, "tasks": tasks, "largest_need_bytes": largest_need(bytes_, edges), "dask_order": order}
    found["peak_bytes"] = peaks(bytes_, edges, order)
    with open(path, "w") as file:
        json.dump(found, file, separators=(",", ":"))
    return found


def main(arguments):
    sys.setrecursionlimit(100_000)
    if arguments[:1] == ["--check"]:
        for path in arguments[1:]:
            with open(path) as file:
                found = json.load(file)
            out, deps = [t["bytes"] for t in found["tasks"]], [t["deps"] for t in found["tasks"]]
            print(found["name"], found["peak_bytes"], peaks(out, deps, found["dask_order"]))
        return
    folder, names = arguments[0], arguments[1:] or list(MAKERS)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        try:
            made = MAKERS[name]()
        except Exception as error:  # what this version of Dask does not know
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        found = write(os.path.join(folder, name + ".json"), name, made)
        print(name, len(found["tasks"]), found["largest_need_bytes"], found["peak_bytes"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
