"""Labels and shapes on another grid of voxels: looked up, or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from skimage.draw import line, polygon

from napari_noiser._errors import InputError
from napari_noiser.plugin.layers.transform import is_degenerate

_FLAT = 0.5  # voxels that the vertices of a shape may lie apart across its plane
_ELLIPSE = 100  # corners of the outline, as napari draws it


@dataclass(frozen=True)
class PaintedRegion:
    """Labels: an array, and the only label that counts, or None for all."""

    array: Any
    label: int | None

    @classmethod
    def of(cls, layer: Labels) -> PaintedRegion:
        data = layer.data[0] if layer.multiscale else layer.data
        array = data.copy() if isinstance(data, np.ndarray) else data  # it may be painted on
        return cls(array, layer.selected_label if layer.show_selected_label else None)

    def within(
        self, matrix: NDArray[Any], offset: NDArray[Any], shape: tuple[int, ...]
    ) -> NDArray[np.bool_]:
        """Return which voxels are in the labels: each has the label nearest to it."""
        painted = np.asarray(self.array)
        inside = painted != 0 if self.label is None else painted == self.label
        if not painted.any():
            raise InputError("", "is empty: paint on it, or choose another layer")
        if not inside.any():
            raise InputError(
                "", f"shows label {self.label} alone, which is nowhere: show all labels"
            )
        inside = inside.any(axis=tuple(range(inside.ndim - len(shape))))
        if is_degenerate(matrix - np.diag(matrix.diagonal()), matrix):
            return _nearest(inside, matrix.diagonal(), offset, shape)
        from scipy.ndimage import affine_transform  # slow to import

        found: NDArray[np.uint8] = affine_transform(
            inside.view(np.uint8),
            matrix,
            offset,
            shape,
            order=0,
            mode="grid-constant",  # so that the outer half of a voxel at the border belongs to it
        )
        return found.view(np.bool_)


def _nearest(
    inside: NDArray[np.bool_], steps: NDArray[Any], offset: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Look up the nearest labels along each axis alone: far faster than an affine transform."""
    mask = np.zeros(shape, np.bool_)
    axes = zip(steps, offset, shape, inside.shape, strict=True)
    nearest = [
        (np.floor(step * np.arange(count) + start + 0.5), length)
        for step, start, count, length in axes
    ]
    known = [(at >= 0) & (at < length) for at, length in nearest]
    indices = [at[here].astype(np.intp) for (at, _), here in zip(nearest, known, strict=True)]
    mask[np.ix_(*known)] = inside[np.ix_(*indices)]
    return mask


@dataclass(frozen=True)
class DrawnRegion:
    """Shapes: the kind and the vertices of each."""

    shapes: tuple[tuple[str, NDArray[np.float64]], ...]

    @classmethod
    def of(cls, layer: Shapes) -> DrawnRegion:
        vertices = [np.array(each, np.float64) for each in layer.data]
        return cls(tuple(zip(layer.shape_type, vertices, strict=True)))

    def within(
        self, matrix: NDArray[Any], offset: NDArray[Any], shape: tuple[int, ...]
    ) -> NDArray[np.bool_]:
        """Return which voxels are in the shapes."""
        if not self.shapes:
            raise InputError("", "is empty: draw in it, or choose another layer")
        mask = np.zeros(shape, np.bool_)
        for kind, vertices in self.shapes:
            moved = np.linalg.solve(matrix, (vertices[:, -len(shape) :] - offset).T).T
            _draw(mask, kind, moved)
        return mask


def _draw(mask: NDArray[np.bool_], kind: str, vertices: NDArray[np.float64]) -> None:
    """Draw a shape on the plane of a mask that it lies in."""
    spread = np.ptp(vertices, axis=0)
    order = np.argsort(spread, kind="stable")  # where two are equal the last axes span the plane
    across, plane = order[:-2], np.sort(order[-2:])
    if (spread[across] > _FLAT).any():
        raise InputError(
            "",
            f"has a {kind} that lies obliquely in the image: draw it on one plane, or paint "
            "labels",
        )
    at = np.rint(vertices[:, across].mean(axis=0)).astype(int)
    if ((at < 0) | (at >= np.array(mask.shape)[across])).any():
        return
    index: list[int | slice] = [slice(None)] * mask.ndim
    for axis, position in zip(across, at, strict=True):
        index[axis] = int(position)
    _draw_flat(mask[tuple(index)], kind, vertices[:, plane])


def _draw_flat(mask: NDArray[np.bool_], kind: str, vertices: NDArray[np.float64]) -> None:
    if kind in ("line", "path"):
        for start, end in pairwise(np.rint(vertices).astype(int)):
            points = np.stack(line(*start, *end))
            inside = ((points >= 0) & (points < np.array(mask.shape)[:, None])).all(axis=0)
            mask[tuple(points[:, inside])] = True
        return
    if kind == "ellipse":
        vertices = _ellipse(vertices)
    y, x = vertices.T
    mask[polygon(y, x, mask.shape)] = True


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outline of an ellipse in a box, which may be turned and sheared."""
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE, endpoint=False)[:, None]
    first, second = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    outline: NDArray[np.float64] = np.cos(angle) * first + np.sin(angle) * second
    outline += corners.mean(axis=0)
    return outline
