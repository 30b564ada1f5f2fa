"""Open napari with a dim sample beside its enhancement, or save a screenshot of that."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_noiser import enhance_layer
from napari_noiser.plugin.samples import hubble_photon_limited


def open_viewer() -> napari.Viewer:
    """The sample is enhanced before the window opens, so that it opens finished."""
    dim = Layer.create(*hubble_photon_limited()[0])
    bright = enhance_layer(dim)
    viewer = napari.Viewer(title="napari-noiser")
    viewer.add_layer(dim)
    viewer.add_layer(bright)
    viewer.canvas.grid.enabled = True
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
    viewer.window.resize(1300, 720)
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
