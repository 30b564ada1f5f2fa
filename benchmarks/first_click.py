"""Time the first click in a fresh napari: ``python benchmarks/first_click.py [SIDE]``.

A viewer is opened with one image of SIDE x SIDE pixels (1024), and the one-click command is called
as the menu calls it. Printed are the seconds until something moves on the screen (the task has
said what it does), and until the result's layer is there; then the same for a second click. It
wants a screen, or Xvfb.
"""

from __future__ import annotations

import sys
from time import perf_counter

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication
from tables import machine


def dim_image(side: int) -> np.ndarray:
    """Return a dim frame of cells in 16 bits."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    light = 2 + 20 * (np.hypot(rows % 128 - 64, columns % 128 - 64) < 25)
    return (random.poisson(light) + 100).astype(np.uint16)


def click(viewer: napari.Viewer) -> tuple[float, float]:
    """Return the seconds until something is said, and until the layer is there."""
    from napari_noiser.plugin.commands import enhance_selected
    from napari_noiser.plugin.tasks.background_task import BackgroundTask

    said: list[float] = []

    def look() -> None:
        if not said and BackgroundTask.current is not None:
            said.append(perf_counter() - start)

    loop, timer = QEventLoop(), QTimer()  # napari's own loop sleeps where nothing happens, too
    timer.timeout.connect(look)
    timer.start(10)
    viewer.layers.events.inserted.connect(lambda event: loop.quit())
    start = perf_counter()
    enhance_selected(viewer, viewer.layers[0])
    look()
    loop.exec()
    timer.stop()
    return said[0] if said else float("nan"), perf_counter() - start


def main(side: int) -> None:
    """Print what the first and the second click take."""
    print(machine("napari"), f"{side} x {side}", sep="\n")
    viewer = napari.Viewer()
    viewer.add_image(dim_image(side), name="dim")
    QApplication.processEvents()
    for number in ("first", "second"):
        said, there = click(viewer)
        print(f"{number} click: said after {said:.2f} s, there after {there:.2f} s")
    viewer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
