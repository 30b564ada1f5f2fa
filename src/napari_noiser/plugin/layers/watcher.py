"""A watcher of the layers that go with an image: regions that are edited or moved, a gain map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Labels, Layer
from napari.utils.events import EventEmitter
from superqt.utils import QSignalDebouncer

_REST = 500  # milliseconds: a brush makes a hundred moves a second
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")
_PAINTED = ("paint", "selected_label", "show_selected_label")
_BEFORE = ("adding", "changing", "removing")  # shapes: more is to come


class LayerWatcher:
    """Acts once the layers that it follows have changed, and then rested for half a second.

    It does so on the GUI thread. What napari does not announce is not followed: the undoing of a
    brush stroke, and writing into a layer's array.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._layers: tuple[Layer, ...] = ()
        self._rest = QSignalDebouncer()  # no widget's child: it outlives the widget
        self._rest.setTimeout(_REST)
        self._rest.triggered.connect(act)

    def follow(self, *layers: Layer | None) -> None:
        """Follow these layers instead of others; what they did before does not count."""
        self._rest.cancel()
        for event in self._events():
            event.disconnect(self._on_change)
        self._layers = tuple({layer for layer in layers if layer is not None})
        for event in self._events():
            event.connect(self._on_change)

    def refresh(self) -> None:
        """Act later, as if something had changed now."""
        self._rest.throttle()

    def _events(self) -> Iterator[EventEmitter]:
        for layer in self._layers:
            names = ("data", *_TRANSFORM, *(_PAINTED if isinstance(layer, Labels) else ()))
            yield from (layer.events[name] for name in names)

    def _on_change(self, event: Any) -> None:
        of_none = event.type == "selected_label" and not event.source.show_selected_label
        if not of_none and getattr(event, "action", None) not in _BEFORE:
            self._rest.throttle()
