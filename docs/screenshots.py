"""Retake the guide's screenshots from the real viewer, in napari's dark and light theme.

python docs/screenshots.py [name ...]

Without a screen: xvfb-run -a -s "-screen 0 1400x1800x24" python docs/screenshots.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image as Picture
from qtpy.QtWidgets import QApplication, QScrollArea
from snippets import snippets
from superqt import QCollapsible

DOCS = Path(__file__).parent
SIZE = 1280, 860  # of the window, in pixels
TALL = 1280, 1500  # for all of the widget
MARGIN = 12  # pixels below the widget's last section: without, one theme needs a scroll bar
COLORS = 96  # of a picture: a third of the bytes of all of them


class Stage:
    """A napari window with the plugin's widget in it, on data that a page of the guide opens."""

    def __init__(self, page: str, size: tuple[int, int] = SIZE) -> None:
        import napari

        self.viewer = napari.Viewer(title="napari")
        self.viewer.window.resize(*size)
        exec(snippets(DOCS / "guide" / page)[0], {"viewer": self.viewer})
        add = self.viewer.window.add_plugin_dock_widget
        self.dock, self.widget = add("napari-noiser", "Noise self-regression")
        self.settle()

    def settle(self, seconds: float = 0.5) -> None:
        """Let work in the background end, and Qt draw."""
        from napari_noiser.plugin.tasks.background_task import BackgroundTask

        until = time.monotonic() + seconds
        while time.monotonic() < until or BackgroundTask.current is not None:
            QApplication.processEvents()
            time.sleep(0.01)

    def apply(self) -> None:
        """Press Apply, and wait for the result."""
        self.widget.apply.native.click()
        self.settle()

    def unfold(self, *titles: str) -> None:
        """Unfold the parts of the widget with these titles, and scroll to the first one."""
        found = [
            box
            for box in self.widget.native.findChildren(QCollapsible)
            if any(title in box.text() for title in titles)
        ]
        for box in found:
            box.expand(animate=False)
        self.settle()
        self.page.verticalScrollBar().setValue(found[0].y())

    @property
    def page(self) -> QScrollArea:
        """What scrolls in the widget."""
        return self.widget.native.findChild(QScrollArea)

    def section(self, title: str) -> Any:
        """Return the section of the widget whose title begins so."""
        return next(each for each in self.widget.sections if each.title.startswith(title))

    def grid(self, shape: tuple[int, int] = (-1, -1)) -> None:
        """Show the layers beside each other, the lowest first."""
        grid = self.viewer.canvas.grid
        grid.shape, grid.stride, grid.enabled = shape, 1, True
        self.settle()
        self.viewer.reset_view()

    def take(self, name: str, *, widget_only: bool = False) -> None:
        """Save the window, or the widget alone and as high as it needs to be, in both themes."""
        if widget_only:
            needed = self.page.widget().layout().totalHeightForWidth(self.page.width())
            spare = self.page.height() - needed - MARGIN
            self.viewer.window.resize(TALL[0], TALL[1] - spare)
        self.viewer.status = ""
        if focused := QApplication.focusWidget():
            focused.clearFocus()
        for theme in ("dark", "light"):
            self.viewer.theme = theme
            self.settle(1.0)
            pixels = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
            if widget_only:
                pixels = self._cropped(pixels)
            save(pixels, DOCS / "images" / f"{name}-{theme}.png")

    def _cropped(self, pixels: np.ndarray) -> np.ndarray:
        """Return the dock's part of a picture of the window."""
        place = self.dock.geometry()
        ratio = pixels.shape[1] / self.dock.window().width()
        edges = (place.top(), place.bottom() + 1, place.left(), place.right() + 1)
        top, bottom, left, right = (round(ratio * edge) for edge in edges)
        return pixels[top:bottom, left:right]

    def close(self) -> None:
        self.viewer.close()
        self.settle(0.1)


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture of few colors."""
    few = Picture.fromarray(pixels).quantize(COLORS, dither=Picture.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {few.width} x {few.height}")


def beside(stage: Stage) -> None:
    """Compare the source with what became of it."""
    stage.unfold("Compare")
    stage.section("Compare").choice.value = "side by side"
    stage.settle()


def z_stack() -> None:
    stage = Stage("z_stack.md")
    stage.apply()
    stage.viewer.dims.set_current_step(0, 16)
    beside(stage)
    stage.take("z_stack")
    stage.close()


def time_lapse() -> None:
    stage = Stage("time_lapse.md")
    controls = stage.widget.controls
    movie, shown = controls.image.value, []
    for scope, name in (("plane", "each plane"), ("stack", "whole series")):
        controls.options["statistics"].value = scope
        stage.apply()
        result = stage.viewer.layers.pop()
        shown += [(f"{name}, frame {frame}", result.data[frame]) for frame in (11, 12)]
    movie.visible = False
    for name, picture in shown:
        stage.viewer.add_image(picture, name=name, contrast_limits=(0, 1))
    stage.grid()
    stage.take("time_lapse")
    stage.close()


def astronomy() -> None:
    stage = Stage("astronomy.md")
    stage.apply()
    beside(stage)
    camera = stage.viewer.scene.camera
    camera.center, camera.zoom = (0, 330, 560), 2.2
    stage.take("astronomy")
    stage.close()


def photograph() -> None:
    stage = Stage("photograph.md")
    stage.apply()
    controls = stage.widget.controls
    controls.look.value = "brighten"
    controls.options["colors"].value = "balanced"
    stage.apply()
    stage.viewer.layers[-1].name += ", colors balanced"
    stage.grid(shape=(3, 1))
    stage.take("photograph")
    stage.close()


def channels() -> None:
    stage = Stage("channels.md")
    stack = stage.viewer.layers.pop()
    names, colors = ["Hematoxylin", "DAB"], ["cyan", "bop orange"]
    n_channels = stage.viewer.add_image(stack.data, channel_axis=0, name=names, colormap=colors)
    stage.viewer.layers.selection = n_channels
    stage.widget.controls.image.value = n_channels[0]
    stage.settle()
    stage.apply()
    stage.viewer.layers.selection = n_channels  # both are offered
    stage.grid()
    stage.take("channels")
    stage.close()


def widget() -> None:
    stage = Stage("z_stack.md", size=TALL)
    stage.viewer.dims.set_current_step(0, 16)
    stage.widget.preview.switch.value = True
    stage.settle()
    stage.take("widget", widget_only=True)
    stage.close()


def training() -> None:
    stage = Stage("z_stack.md", size=TALL)
    controls = stage.widget.controls
    controls.look.value, controls.model.value = "own", "noiser"
    stage.unfold("Models", "All numbers")
    stage.section("Models").train.native.click()
    stage.settle()
    stage.take("training", widget_only=True)
    stage.close()


def fitting() -> None:
    from napari_noiser.recipes import BlindSpotRecipe

    stage = Stage("z_stack.md", size=TALL)
    stage.unfold("Models")
    controls = stage.widget.controls
    controls.method.value = "images"
    controls.fit.show_recipe(BlindSpotRecipe(iterations=150, width=12))
    stage.section("Models").fitting.fit.native.click()
    stage.settle()
    stage.take("fitting", widget_only=True)
    stage.close()


def plots() -> None:
    stage = Stage("z_stack.md", size=TALL)
    stage.apply()
    stage.unfold("Plots", "Repeat")
    stage.section("Plots").choice.value = "transfer curve"
    stage.settle()
    stage.take("plots", widget_only=True)
    stage.close()


SCENES: dict[str, Callable[[], None]] = {
    scene.__name__: scene
    for scene in (
        z_stack,
        time_lapse,
        astronomy,
        photograph,
        channels,
        widget,
        training,
        fitting,
        plots,
    )
}


def main() -> None:
    wanted = sys.argv[1:] or list(SCENES)
    with TemporaryDirectory() as folder:  # nobody's own preferences
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        for name in wanted:
            SCENES[name]()


if __name__ == "__main__":
    main()
