"""The divider between before and after in a preview: dragged with the mouse, where it is seen."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari import Viewer

from napari_noiser.plugin.layers.preview_layer import PreviewLayer

_GRIP = 8  # pixels of the screen, to either side


class Divider:
    """Moves a preview's divider in a viewer, whichever layer is active, until it is removed."""

    def __init__(self, viewer: Viewer, preview: PreviewLayer) -> None:
        self._viewer, self._preview = viewer, preview
        self._along = preview.measured.source.axes.index("X")
        viewer.mouse_drag_callbacks.append(self._on_drag)

    def remove(self) -> None:
        """Leave the mouse alone."""
        if self._on_drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_drag)

    def _on_drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if not self._is_gripped(event.position):
            return
        camera = self._viewer.scene.camera
        pans, camera.mouse_pan = camera.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                self._preview.divider = self._at(event.position) / self._width
                yield
        finally:
            camera.mouse_pan = pans

    @property
    def _width(self) -> int:
        return int(self._preview.measured.source.array.shape[self._along])

    def _at(self, position: Any) -> float:
        """Return where a position in the world lies along X, in pixels of the image."""
        return float(self._preview.layer.world_to_data(position)[self._along])

    def _is_gripped(self, position: Any) -> bool:
        layer, dims = self._preview.layer, self._viewer.dims
        shown = [axis - dims.ndim + layer.ndim for axis in dims.displayed]
        if not layer.visible or dims.ndisplay != 2 or self._along not in shown:
            return False
        step = np.zeros(layer.ndim)
        step[self._along] = 1.0
        ends = [np.asarray(layer.data_to_world(each)) for each in (0 * step, step)]
        grip = _GRIP / (self._viewer.scene.camera.zoom * float(np.linalg.norm(ends[1] - ends[0])))
        return bool(abs(self._at(position) - self._preview.divider * self._width) <= grip)
