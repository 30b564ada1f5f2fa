"""How a live layer scrolls in napari, beside its source: ``python benchmarks/scrolling.py``.

Needs a screen, or ``xvfb-run -a -s "-screen 0 1400x900x24"`` before it. Prints a table: for how
long a move of the slider blocks the window (the longest stretch in which it answers nothing), and
how long it takes until the plane is drawn. Take it with OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SHAPE = (200, 1024, 1024)
MOVES = 40
REPETITIONS = 3
CASES = ("numpy", "numpy, live", "zarr", "zarr, live")


def stack() -> np.ndarray:
    """Return a dim stack; its planes are a few ones, shifted, since drawing them takes minutes."""
    rng = np.random.default_rng(0)
    rows = 3 + 2 * np.sin(np.linspace(0, 9, SHAPE[1]))[:, None]
    few = [rng.poisson(np.broadcast_to(rows, SHAPE[1:])).astype(np.uint16) for _ in range(5)]
    planes = np.empty(SHAPE, np.uint16)
    for at in range(SHAPE[0]):
        planes[at] = np.roll(few[at % len(few)], 7 * at, axis=1)
    return planes


def stored(planes: np.ndarray, folder: str) -> Any:
    """Return the stack in a zarr store, a plane a chunk."""
    import zarr

    array = zarr.create_array(
        Path(folder) / "planes.zarr", shape=SHAPE, chunks=(1, *SHAPE[1:]), dtype=planes.dtype
    )
    array[:] = planes
    return array


def scroll(layer: Any) -> tuple[list[float], list[float]]:
    """Return, for each move of the slider, how long it blocked and when the plane was drawn."""
    from napari import Viewer
    from qtpy.QtWidgets import QApplication

    viewer = Viewer()
    viewer.add_layer(layer)
    drawn: list[float] = []  # when the canvas was drawn with the plane that was asked for
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(
        lambda event: drawn.append(time.perf_counter()) if layer.loaded else None, position="last"
    )

    def settle(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            QApplication.processEvents()

    settle(1.0)
    blocked, shown = [], []
    for move in range(MOVES):
        drawn.clear()
        start = before = time.perf_counter()
        longest = 0.0
        viewer.dims.set_current_step(0, 10 + move)
        while True:
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
            if drawn:
                break
            assert now < start + 60, "the plane is never drawn"
            QApplication.processEvents()
        blocked.append(longest)
        shown.append(drawn[0] - start)
        settle(0.05)
    viewer.close()
    return blocked, shown


def measure() -> dict[str, tuple[list[float], list[float]]]:
    """Scroll through every kind of layer, in this process."""
    from napari.layers import Image

    from napari_noiser import live_layer
    from napari_noiser.plugin.tasks.background_task import limit_threads

    planes = stack()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"numpy": planes, "zarr": stored(planes, folder)}
        for case in CASES:
            layer = Image(arrays[case.split(",")[0]], contrast_limits=(0, 20))
            if "live" in case:
                with limit_threads():  # as the widget's worker measures
                    layer = live_layer(layer)
            found[case] = scroll(layer)
    return found


def main() -> None:
    """Measure in processes of their own, and print a table."""
    print(f"{MOVES} moves, {REPETITIONS} times, milliseconds: median (worst); load", end=" ")
    print(f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| layer | slicing | a move blocks the window | until the plane is drawn |")
    print("|---|---|---:|---:|")
    for name, setting in (("synchronous", "0"), ("asynchronous", "1")):
        pooled: dict[str, tuple[list[float], list[float]]] = {case: ([], []) for case in CASES}
        for _ in range(REPETITIONS):
            done = subprocess.run(
                [sys.executable, __file__, "--here"],
                env={**os.environ, "NAPARI_ASYNC": setting, "NAPARI_CONFIG": ""},
                stdout=subprocess.PIPE,
                check=True,
            )
            for case, times in json.loads(done.stdout.splitlines()[-1]).items():
                for all_times, more in zip(pooled[case], times, strict=True):
                    all_times.extend(more)
        for case, columns in pooled.items():
            cells = (f"{1e3 * median(each):.0f} ({1e3 * max(each):.0f})" for each in columns)
            print(f"| {case} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if "--here" in sys.argv:
        print(json.dumps(measure()))
    else:
        main()
