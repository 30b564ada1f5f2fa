"""What tests look at: a section of the widget, the models it offers, the values of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from magicgui.widgets import Container
from napari.layers import Image

from napari_noiser.plugin.widgets.dock_widget import NoiserWidget


def part_of(widget: NoiserWidget, kind: type) -> Any:
    """Return the section of a kind."""
    (found,) = (each for each in widget.sections if isinstance(each, kind))
    return found


def labeled(widget: NoiserWidget, label: str) -> Any:
    """Return the control of a label in the form above the buttons."""
    for control in widget.form:
        if label in (control.label, getattr(control, "text", "")):
            return control[0] if isinstance(control, Container) else control  # beside a button
    raise LookupError(label)


def labels(widget: NoiserWidget) -> list[str]:
    """Return what the models are called in the list."""
    box = widget.controls.model.native
    return [box.itemText(at) for at in range(box.count())]


def values(layer: Image) -> np.ndarray:
    """Return a layer's array, of several levels the finest."""
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)
