"""Gain maps in image layers: how much each pixel of another image would be amplified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.arrays.companion import infer_axes
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.arrays.reader import read_region
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_type

_NONE_CHOSEN = "Choose a gain map: a model that is guided by one is fitted, and applied, with it"


@dataclass(frozen=True, eq=False)
class GainMapSnapshot:
    """A gain map as it was when the task began: its layer may be renamed or removed meanwhile.

    Of a multiscale layer, `array` is the finest level.
    """

    name: str
    array: Any

    @classmethod
    def from_layer(cls, layer: Layer | GainMapSnapshot) -> GainMapSnapshot:
        """Take what is needed from a layer; nothing is computed or loaded."""
        if isinstance(layer, GainMapSnapshot):
            return layer
        if not isinstance(layer, Image):
            raise InputTypeError(
                "gain_map", f"must be an array or an Image layer, got {describe_type(layer)}"
            )
        if layer.rgb:
            raise InputError(
                "gain_map", f"{layer.name!r} must hold one number a pixel, not colors"
            )
        return cls(layer.name, layer.data[0] if layer.multiscale else layer.data)

    def array_for(self, source: LayerSnapshot, layout: Layout) -> Any:
        """Return the map as `napari_noiser.enhance` takes it for an image of this layout."""
        try:
            infer_axes("gain_map", self.array, layout)
        except InputError as error:
            raise InputError(
                "gain_map", f"{self.name!r} for {source.name!r} {error.problem}"
            ) from error
        return self.array


def gain_maps_for(
    gain_map: Layer | GainMapSnapshot | None, sources: Sequence[LayerSnapshot], ndim: int
) -> list[Any]:
    """Return the chosen gain map for each of some images."""
    if gain_map is None:
        raise InputError("", _NONE_CHOSEN)
    snapshot = GainMapSnapshot.from_layer(gain_map)
    return [snapshot.array_for(source, source.layout(ndim)) for source in sources]


def gain_for_level(gain_map: Any, finest: Layout, level: Layout) -> Any:
    """Return a gain map of the finest level for another one: nothing is read before it is used."""
    if gain_map is None or level == finest:
        return gain_map
    array = gain_map if hasattr(gain_map, "shape") else np.asarray(gain_map)
    if not array.shape:  # one number for all
        return array
    axes = infer_axes("gain_map", array, finest)
    lengths = dict(zip(level.axes, level.shape, strict=True))
    return _resample_nearest(array, tuple(lengths[letter] for letter in axes))


def _resample_nearest(array: Any, shape: tuple[int, ...]) -> LazyView:
    """Return an array of fewer values along its axes: for each coarse pixel the nearest.

    Strided reads skip what is not needed, whatever the storage is.
    """
    fine = tuple(array.shape)
    steps = [max(1, many // few) for many, few in zip(fine, shape, strict=True)]

    def read(box: Slices) -> NDArray[Any]:
        nearest = [
            np.arange(part.start, part.stop) * many // few // step
            for part, many, few, step in zip(box, fine, shape, steps, strict=True)
        ]
        spans = zip(nearest, steps, strict=True)
        region = tuple(slice(at[0] * step, at[-1] * step + 1, step) for at, step in spans)
        return read_region(array, region)[np.ix_(*(at - at[0] for at in nearest))]

    return LazyView.whole(read, shape, array.dtype, shape, array)
