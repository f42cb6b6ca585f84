"""Writes tests/data/dem: the elevation model of matplotlib's sample data as .npy, and slope.json, what NumPy makes of it.

Needs Python 3.11 and `pip install numpy==2.4.6 matplotlib==3.11.2`. Run from the root of the repository:

    python tools/golden/make_dem.py
"""

import json
import pathlib

import numpy as np
from matplotlib import cbook

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "dem"


def figures(a):
    return {
        "shape": list(a.shape),
        "dtype": a.dtype.name,
        "min": a.min().item(),
        "max": a.max().item(),
        "mean": a.mean(dtype="f8").item(),
        "std": a.std(dtype="f8").item(),
        "sum": a.sum(dtype="f8" if a.dtype.kind == "f" else None).item(),
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as dem:
        elevation, dx, dy, latitude = dem["elevation"], dem["dx"].item(), dem["dy"].item(), dem["ymin"].item()
    np.save(OUT / "elevation.npy", np.ascontiguousarray(elevation))
    # Degrees to metres, as matplotlib's own example does: the latitude of the file's ymin (the northern edge) stands for all.
    metres_y = 111200 * dy
    metres_x = 111200 * dx * np.cos(np.radians(latitude)).item()
    z = elevation.astype("f8")
    dzdx = (z[1:-1, 2:] - z[1:-1, :-2]) / (2 * metres_x)
    dzdy = (z[2:, 1:-1] - z[:-2, 1:-1]) / (2 * metres_y)
    slope = np.sqrt(dzdx * dzdx + dzdy * dzdy)
    rows, columns = slope.shape
    places = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1), (100, 200), (171, 201), (300, 17), (255, 256)]
    golden = {
        "numpy": np.__version__,
        "dx_metres": metres_x,
        "dy_metres": metres_y,
        "elevation": figures(elevation),
        "slope": figures(slope),
        "slope_steeper_than_0.5": int((slope > 0.5).sum()),
        "elevation_samples": [[i, j, elevation[i, j].item()] for i, j in places],
        "slope_samples": [[i, j, slope[i, j].item()] for i, j in places],
        "slope_row_means_first_8": slope.mean(axis=1)[:8].tolist(),
        "slope_column_maxima_first_8": slope.max(axis=0)[:8].tolist(),
    }
    (OUT / "slope.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
