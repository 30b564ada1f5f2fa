"""Open napari with dim cells and dim stars beside what one click makes, or save a screenshot."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_noiser import enhance_layer
from napari_noiser.plugin.samples import dim_fluorescence, hubble_photon_limited

PLANE = 16  # of the dim stack


def dim_layers() -> list[Image]:
    """Return a plane of dim nuclei and an exposure of stars, squares of one size."""
    nuclei, stars = dim_fluorescence()[1][0][PLANE], hubble_photon_limited()[0][0]
    height = len(stars)
    size = height / len(nuclei)
    cells = Image(nuclei, name="Cells", scale=(size, size))
    return [cells, Image(stars[:, :height], name="Stars")]


def open_viewer() -> napari.Viewer:
    """Open a viewer, the images enhanced before, so that it opens finished."""
    dim = dim_layers()
    pairs = [(layer, enhance_layer(layer)) for layer in dim]
    viewer = napari.Viewer(title="napari-noiser")
    for pair in pairs:
        for layer in pair:
            viewer.add_layer(layer)
    grid = viewer.canvas.grid
    grid.shape, grid.stride, grid.enabled = (len(pairs), 2), 1, True
    viewer.reset_view()
    return viewer


def let_qt_draw(seconds: float) -> None:
    """Handle what waits in Qt's queue, for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def save_screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Save the whole window as it looks once everything is drawn."""
    viewer.window.resize(1160, 860)
    let_qt_draw(1)
    viewer.reset_view()
    let_qt_draw(1)
    viewer.screenshot(str(path), canvas_only=False, flash=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshot", type=Path, metavar="PNG", help="save it there and exit")
    path = parser.parse_args().screenshot
    viewer = open_viewer()
    if path is None:
        napari.run()
    else:
        save_screenshot(viewer, path)
        viewer.close()
        print(f"Saved the screenshot to {path.resolve()}")


if __name__ == "__main__":
    main()
