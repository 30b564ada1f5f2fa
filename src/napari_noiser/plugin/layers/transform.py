"""Transforms from the voxels of one layer to those of another, in the world of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser.plugin.layers.snapshot import LayerSnapshot


@dataclass(frozen=True)
class LayerTransform:
    """Where a layer's voxels lie: ``linear @ index + start``, in units."""

    linear: NDArray[np.float64]
    start: NDArray[np.float64]
    units: tuple[Any, ...]

    @classmethod
    def of(cls, layer: Layer) -> LayerTransform:
        start = np.array(layer.data_to_world(np.zeros(layer.ndim)))
        ends = [layer.data_to_world(step) for step in np.eye(layer.ndim)]
        return cls(np.array(ends).T - start[:, None], start, tuple(layer.units))

    @classmethod
    def of_source(cls, source: LayerSnapshot) -> LayerTransform:
        return cls.of(Image(np.zeros((1,) * len(source.transform["scale"])), **source.transform))

    def from_image(self, image: LayerTransform) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the matrix and the offset from an image's indices to the ones here.

        Of the last axes, which both have: napari shows a layer everywhere along the others.
        """
        count = min(len(self.start), len(image.start))
        for each in (self, image):
            if not is_degenerate(each.linear[-count:, :-count], each.linear):
                raise InputError(
                    "",
                    f"has {len(self.start)} dimensions and the image {len(image.start)}, and one "
                    "is turned out of the other's planes: take layers of equal dimensions",
                )
        factors = _factors(image.units[-count:], self.units[-count:])
        here = self.linear[-count:, -count:]
        matrix = np.linalg.solve(here, factors[:, None] * image.linear[-count:, -count:])
        offset = np.linalg.solve(here, factors * image.start[-count:] - self.start[-count:])
        return matrix.astype(np.float64), offset.astype(np.float64)


def is_degenerate(part: NDArray[np.float64], matrix: NDArray[np.float64]) -> bool:
    """Return whether a part of a matrix is 0 compared with the rest, but for rounding."""
    return bool((np.abs(part) <= 1e-10 * np.abs(matrix).max()).all())


def _factors(units: tuple[Any, ...], others: tuple[Any, ...]) -> NDArray[np.float64]:
    """Return the units as multiples of others; 1 if some do not go together, as in napari."""
    pairs = list(zip(units, others, strict=True))
    if any(unit.dimensionality != other.dimensionality for unit, other in pairs):
        return np.ones(len(pairs))
    return np.array([(1.0 * unit).to(other).magnitude for unit, other in pairs])
