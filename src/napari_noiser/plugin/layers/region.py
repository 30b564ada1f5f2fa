"""Regions of an image that were painted (Labels) or drawn (Shapes) in another layer.

What napari shows is what counts: an axis that one of the two layers lacks is one along which it
is shown everywhere, and a shape lies on the plane on which it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.plugin.layers.rasterize import DrawnRegion, PaintedRegion
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_type
from napari_noiser.plugin.layers.transform import LayerTransform


def region_mask(
    region: Labels | Shapes | RegionSnapshot,
    image: Image | LayerSnapshot,
    *,
    all_planes: bool = False,
) -> NDArray[np.bool_]:
    """Return which voxels of an image lie in a region, wherever the two layers lie in the world.

    Parameters
    ----------
    region : napari.layers.Labels or Shapes
        Everything painted or drawn in it; of labels, if only the selected one is shown, that one.
        Scale, translation, rotation, shear, affine and units of both layers are taken into
        account. A voxel is in a label if its center is nearest to one of the label's, and in a
        shape if its center is inside, on the plane nearest to the shape. Lines are one voxel
        wide.
    image : napari.layers.Image
        The layer that will be enhanced; level 0 of a multiscale layer.
    all_planes : bool
        Whether a region on one plane holds on every plane, channel and time point.

    Returns
    -------
    array of bool
        To be passed as ``mask=`` to `enhance_layer`: of the image's shape without colors or,
        where the region holds for every plane, of its last axes.

    Raises
    ------
    InputTypeError
        If the layers are of other kinds.
    InputError
        If the region is empty or outside the image, or if the layers are turned against each
        other so that a shape is in no plane of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image, Shapes
    >>> image = Image(np.zeros((4, 8, 8)), scale=(1, 0.5, 0.5))
    >>> cell = Shapes([[0.9, 0.9], [0.9, 2.1], [2.1, 2.1], [2.1, 0.9]], shape_type="polygon")
    >>> mask = region_mask(cell, image)
    >>> mask.shape, int(mask.sum())
    ((8, 8), 9)
    """
    source = image if isinstance(image, LayerSnapshot) else LayerSnapshot.from_layer(image)
    mask = RegionSnapshot.from_layer(region).mask_for(source)
    all_letters = source.axes[: len(source.transform["scale"])]  # which do not count colors
    letters = all_letters[-mask.ndim :]
    if all_planes:
        planes = tuple(axis for axis, letter in enumerate(letters) if letter not in "YX")
        first = min(letters.index("Y"), letters.index("X")) if {"Y", "X"} <= {*letters} else 0
        mask = np.broadcast_to(mask.any(axis=planes, keepdims=True), mask.shape)[(0,) * first]
    if mask.ndim == 2 and not all_letters.endswith("YX"):
        # Otherwise `enhance` could take it for one of other axes of equal lengths.
        return np.broadcast_to(mask, source.array.shape[: len(all_letters)])
    return mask


def statistics_mask(
    include: Labels | Shapes | RegionSnapshot | None,
    leave_out: Labels | Shapes | RegionSnapshot | None,
    source: Image | LayerSnapshot,
    *,
    all_planes: bool = False,
) -> NDArray[np.bool_] | None:
    """Return which voxels of an image count in its statistics, as in `region_mask`.

    Those of the whole image, if no region is included; what is left out may lie anywhere.
    """
    if include is None and leave_out is None:
        return None
    counted: NDArray[np.bool_] = np.ones((), np.bool_)
    if include is not None:
        counted = region_mask(include, source, all_planes=all_planes)
    if leave_out is not None:  # of both the last axes are the same
        counted = counted & ~region_mask(leave_out, source, all_planes=all_planes)
    if not counted.any():
        raise InputError(
            "",
            f"{RegionSnapshot.from_layer(leave_out).name!r} leaves no pixel that could count: "
            "choose another region to leave out",
        )
    return counted


@dataclass(frozen=True)
class RegionSnapshot:
    """A Labels or Shapes layer as it was when the task began: it may change meanwhile."""

    name: str
    content: PaintedRegion | DrawnRegion
    transform: LayerTransform

    @classmethod
    def from_layer(cls, layer: Layer | RegionSnapshot) -> RegionSnapshot:
        """Take what is needed from a layer; lazy labels are not computed."""
        if isinstance(layer, RegionSnapshot):
            return layer
        if isinstance(layer, Labels):
            return cls(layer.name, PaintedRegion.of(layer), LayerTransform.of(layer))
        if isinstance(layer, Shapes):
            return cls(layer.name, DrawnRegion.of(layer), LayerTransform.of(layer))
        raise InputTypeError(
            "region", f"must be a Labels or a Shapes layer, got {describe_type(layer)}"
        )

    def mask_for(self, source: LayerSnapshot) -> NDArray[np.bool_]:
        """Return which voxels of an image lie in the region, along the axes that both have."""
        shape = source.array.shape[: len(source.transform["scale"])]
        try:
            matrix, offset = self.transform.from_image(LayerTransform.of_source(source))
            mask = self.content.within(matrix, offset, shape[-len(offset) :])
        except InputError as error:
            raise InputError("region", f"{self.name!r} {error}") from error
        if not mask.any():
            raise InputError(
                "region",
                f"{self.name!r} has no voxel in the image {source.name!r}: move it there, "
                "or choose another layer",
            )
        return mask
