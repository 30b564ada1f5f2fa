"""What tests look at: a section of the widget, the models it offers, the values of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from magicgui.widgets import Container
from napari.layers import Image

from napari_noiser.plugin.widgets.dock_widget import NoiserWidget


def part_of(widget: NoiserWidget, kind: type, title: str = "") -> Any:
    """Return the section of a kind, or the one of several that has a title."""
    kinds = (each for each in widget.sections if isinstance(each, kind))
    (found,) = (each for each in kinds if title in ("", each.title))
    return found


def rows(widget: NoiserWidget) -> list[Any]:
    """Return the controls of what Apply does, folded or not."""
    parts = ("", *(each.title for each in widget.option_sections))
    return [each for part in parts for each in widget.controls.rows(part)]


def labeled(widget: NoiserWidget, label: str) -> Any:
    """Return the control of a label among those of what Apply does, folded or not."""
    for control in rows(widget):
        if label in (control.label, getattr(control, "text", "")):
            return control[0] if isinstance(control, Container) else control  # beside a button
    raise LookupError(label)


def is_there(control: Any) -> bool:
    """Return whether a control is there for what is chosen, be it in a part that is folded."""
    return not (control.native.isHidden() or control.native.parentWidget().isHidden())


def labels(widget: NoiserWidget) -> list[str]:
    """Return what the models are called in the list."""
    box = widget.controls.model.native
    return [box.itemText(at) for at in range(box.count())]


def values(layer: Image) -> np.ndarray:
    """Return a layer's array, of several levels the finest."""
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)
