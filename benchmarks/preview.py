"""How fast the preview follows the controls in napari: ``python benchmarks/preview.py``.

Needs a screen, or ``xvfb-run -a -s "-screen 0 1400x900x24"`` before it. Prints a table: how long
it takes from a control's move until the plane in view is drawn anew. Take it with
OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from statistics import median

import numpy as np
from napari import Viewer
from qtpy.QtWidgets import QApplication

from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

SIDE = 1024
PLANES = 200
DEPTH = 32  # planes of the volume
MOVES = 30
PAUSE = 0.1  # seconds between two moves, so that each is drawn


def images() -> Iterator[tuple[str, np.ndarray, bool, int]]:
    """Yield a dim plane, a color image, a stack and a volume; whether it is RGB, and its ndim."""
    rng = np.random.default_rng(0)
    rows = np.broadcast_to(3 + 2 * np.sin(np.linspace(0, 9, SIDE))[:, None], (SIDE, SIDE))
    few = [rng.poisson(rows).astype(np.uint16) for _ in range(5)]
    yield "plane", few[0], False, 2
    yield "RGB plane", np.stack(few[:3], axis=-1).astype(np.uint8), True, 2
    # Drawing 200 planes takes minutes: a few ones, shifted.
    stack = np.stack([np.roll(few[at % len(few)], 7 * at, axis=1) for at in range(PLANES)])
    yield f"{PLANES} planes", stack, False, 2
    yield f"volume of {DEPTH} planes", stack[:DEPTH], False, 3


def moves(widget: NoiserWidget) -> dict[str, Callable[[int], None]]:
    """Return what is moved, and how for the nth time."""
    chosen = widget.controls
    models = cycle(("noiser-es", "noiser-var3", "noiser"))
    scopes = cycle(("plane" if chosen.options["ndim"].value == 2 else "volume", "stack"))
    return {
        "brightness": lambda at: setattr(chosen.options["brightness"], "value", (at + 1) * 0.05),
        "contrast": lambda at: setattr(chosen.options["contrast"], "value", 1 + (at + 1) * 0.05),
        "model": lambda at: setattr(chosen.model, "value", next(models)),
        "exposure": lambda at: setattr(chosen.options["statistics"], "value", next(scopes)),
    }


def wait(until: Callable[[], bool], seconds: float) -> None:
    """Let Qt work until something is true; raise an error if it never is."""
    end = time.perf_counter() + seconds
    while not until():
        assert time.perf_counter() < end, "it never came"
        QApplication.processEvents()
        time.sleep(0.001)  # or this thread would take the interpreter's time from the others


def settle(seconds: float) -> None:
    """Let Qt work for a while."""
    end = time.perf_counter() + seconds
    wait(lambda: time.perf_counter() > end, seconds + 1)


def measure(image: np.ndarray, rgb: bool, ndim: int) -> Iterator[tuple[str, float, list[float]]]:
    """Yield for each control the seconds until the preview was there, and until it followed."""
    viewer = Viewer()
    viewer.add_image(image, name="image", rgb=rgb)
    _, widget = viewer.window.add_plugin_dock_widget("napari-noiser", "Noise self-regression")
    widget.controls.options["ndim"].value = ndim
    section = next(each for each in widget.sections if each.title == "Preview")
    settle(2)
    start = time.perf_counter()
    section.switch.value = True
    wait(lambda: BackgroundTask.current is None, 300)
    ready = time.perf_counter() - start
    layer = viewer.layers[-1]
    drawn: list[float] = []
    new: list[bool] = []
    layer.events.set_data.connect(lambda event: new.append(True))
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(
        lambda event: drawn.append(time.perf_counter()) if new else None, position="last"
    )
    settle(2)
    for name, move in moves(widget).items():
        times = []
        for at in range(MOVES):
            drawn.clear()
            new.clear()
            start = time.perf_counter()
            move(at)
            wait(lambda: bool(drawn), 60)
            times.append(drawn[0] - start)
            settle(PAUSE)
        yield name, ready, times
    viewer.close()


def main() -> None:
    """Print a table."""
    print(f"{MOVES} moves, milliseconds until drawn: median (worst); load", end=" ")
    print(f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| image | measured in | brightness | contrast | model | exposure |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, *image in images():
        found = list(measure(*image))
        cells = (f"{1e3 * median(times):.0f} ({1e3 * max(times):.0f})" for *_, times in found)
        print(f"| {name} | {found[0][1]:.1f} s | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
