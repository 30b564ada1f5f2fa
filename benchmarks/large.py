"""A sparse 64 GB stack into a file, and the memory that it takes: ``python benchmarks/large.py``.

Arguments: a folder with room for 2 GB (a temporary one), and how many planes of 8 MB (8192). One
plane in 64 holds light; the others were never written, as around an embryo on a light-sheet.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE, EVERY = 2048, 64


def sparse_stack(path: Path, planes: int):
    """Return a zarr array of which only a few planes are there."""
    import zarr

    shape, chunks = (planes, SIDE, SIDE), (1, SIDE // 2, SIDE // 2)
    stack = zarr.create_array(path, shape=shape, chunks=chunks, dtype="uint16", fill_value=0)
    random = np.random.default_rng(0)
    light = 20 + 15 * np.sin(np.linspace(0, 20, SIDE))[:, None]
    for plane in range(0, planes, EVERY):
        stack[plane] = random.poisson(light, (SIDE, SIDE))
    return stack


def peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main() -> None:
    """Print what was done, how fast, and the peak of memory."""
    import torch

    import napari_noiser as noiser

    planes = int(sys.argv[2]) if len(sys.argv) > 2 else 8192
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        stack = sparse_stack(Path(folder) / "raw.zarr", planes)
        start = time.perf_counter()
        path = noiser.io.enhance_to_file(
            stack, Path(folder) / "bright.ome.zarr", dtype="uint16", progress=_line
        )
        seconds = time.perf_counter() - start
        files = sum(1 for each in path.rglob("*") if each.is_file())
    size = 2 * planes * SIDE * SIDE
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), {torch.get_num_threads()} threads; "
        f"{size / 2**30:.0f} GB of uint16 in {planes} planes into {files} files: {seconds:.0f} s, "
        f"{size / 2 / seconds / 1e6:.1f} Mvoxel/s, peak RSS {peak() / 1e9:.2f} GB"
    )


def _line(done: int, total: int) -> None:
    if done % max(1, total // 20) == 0:
        print(f"{done / total:.0%}, peak RSS {peak() / 1e9:.2f} GB", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
