"""A few layers of a viewer alone, or side by side; afterwards all is as it was before."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Layer

__all__ = ["CompareGrid"]

_GRID = ("stride", "shape", "spacing", "enabled")
_CAMERA = ("center", "zoom", "angles")
_GAP = 4  # pixels between two images


class CompareGrid:
    """What a viewer shows for as long as layers are compared.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        As it is now it will be when the comparison ends, but for the camera, which is the user's.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._visible: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        self._grid = _read(viewer.canvas.grid, _GRID)

    def show(self, layers: Collection[Layer]) -> None:
        """Show these layers only: several lie beside each other, seen by the same camera."""
        for layer in self._viewer.layers:
            self._visible.setdefault(layer, layer.visible)
            layer.visible = layer in layers
        beside = {"stride": 1, "shape": (1, len(layers)), "spacing": _GAP, "enabled": True}
        self._arrange(beside if len(layers) > 1 else self._grid)

    def end(self) -> None:
        """Show what was shown before, and what has been added since."""
        for layer, visible in self._visible.items():
            layer.visible = visible
        self._arrange(self._grid)

    def _arrange(self, grid: dict[str, Any]) -> None:
        camera = _read(self._viewer.scene.camera, _CAMERA)
        _write(self._viewer.canvas.grid, grid)
        _write(self._viewer.scene.camera, camera)


def _read(model: Any, names: Collection[str]) -> dict[str, Any]:
    return {name: getattr(model, name) for name in names}


def _write(model: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(model, name, value)
