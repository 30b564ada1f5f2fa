"""Numbers in and out: any integer or float type to float64, [0, 1] to any output."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_unmasked
from napari_noiser.arrays.axis_names import own_axes, plain_array
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices
from napari_noiser.arrays.mapped_file import unmapped
from napari_noiser.arrays.places import name_place
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize

_FAR = 1e18  # standard deviations: what a mask keeps out of the statistics may be anything
_OUTPUTS = ("float32", "float64", "uint8", "uint16")


@dataclass(frozen=True)
class ImageArray:
    """An array of any kind, its layout, and the offset that its values are read against.

    `integer_offset` is taken off 64-bit integers before they become float64, which would round
    them otherwise.
    """

    array: Any
    layout: Layout
    integer_offset: int = 0

    @classmethod
    def from_array(cls, image: Any, axes: str | None = None, ndim: int = 2) -> ImageArray:
        """Check an image and return it as a stack; axes that are left out are its own."""
        if axes is None:
            axes = own_axes(image)
        image = plain_array(image)
        check_unmasked("image", image)
        if not hasattr(image, "shape") and hasattr(image, "data"):
            raise InputTypeError(
                "image",
                f"must be an array, got {type(image).__name__}: pass its data, "
                "or use enhance_layer",
            )
        try:
            known = isinstance(getattr(image, "dtype", None), np.dtype)
            plain = known and not hasattr(image, "mask")  # which leaves nothing out here
            array = image if plain else np.asarray(image)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputTypeError(
                "image", f"must be an array, got {type(image).__name__}: {error}"
            ) from error
        array = unmapped(array)
        check_shape(array)
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "uif":
            raise InputTypeError("image", f"must hold integers or floats, got {dtype}")
        layout = Layout.of(tuple(array.shape), axes, ndim)
        integer_offset = 0
        if dtype.kind in "ui" and dtype.itemsize == 8:
            integer_offset = int(np.asarray(array[(slice(0, 1),) * len(layout.shape)]).item())
        return cls(array, layout, integer_offset)

    def read(self, image: ImageIndex, region: Slices) -> NDArray[Any]:
        """Return a region as it is, in the array's own type: shape (S, *spatial)."""
        with name_place(self.array):
            return self.layout.read(self.array, image, region)

    def to_float64(
        self, raw: NDArray[Any], camera: CameraNoise | None = None
    ) -> NDArray[np.float64]:
        """Return the samples (without alpha) of a region in float64, less `integer_offset`.

        Where the camera is known they are stabilized instead: their noise is 1 everywhere.
        """
        samples = raw[: self.layout.samples]
        if camera is not None:
            values = self.to_float64(raw)
            if raw.dtype.kind == "f":
                values[~np.isfinite(values)] = np.nan
            return stabilize(values, replace(camera, offset=camera.offset - self.integer_offset))
        if not self.integer_offset:
            return samples.astype(np.float64, order="C")
        bits, integer_offset = samples.astype(np.uint64), np.uint64(self.integer_offset % 2**64)
        above = (bits - integer_offset).astype(np.float64)
        return np.where(
            samples >= self.integer_offset, above, -((integer_offset - bits).astype(np.float64))
        )

    def normalize(
        self,
        raw: NDArray[Any],
        center: NDArray[np.float64],
        scale: float,
        camera: CameraNoise | None = None,
    ) -> NDArray[np.float32]:
        """Return the samples of a region, less a center each and divided by a scale, in float32.

        They are those of `to_float64`. The center is taken off before any rounding: in two steps
        in float32, where that holds the values exactly (8 and 16 bits, float32), otherwise in
        float64. Values that are not finite are read as the center, and ones that are very far from
        it as 1e18.
        """
        samples = raw[: self.layout.samples]
        middle = center.reshape(-1, *(1 for _ in samples.shape[1:]))
        if camera is None and np.can_cast(raw.dtype, np.float32) and 1e-30 < scale < 1e30:
            values: NDArray[Any] = samples.astype(np.float32, order="C")
            values -= middle.astype(np.float32)
            values -= (middle - middle.astype(np.float32)).astype(np.float32)
        else:
            values = self.to_float64(raw, camera)
            values -= middle
        if raw.dtype.kind == "f":
            values[~np.isfinite(values)] = 0.0
        values /= values.dtype.type(scale)
        if raw.dtype.kind == "f":
            np.clip(values, -_FAR, _FAR, out=values)
        return values.astype(np.float32, copy=False)


def check_shape(image: Any) -> None:
    """Raise an `InputError` if a dask array does not know how long it is."""
    if any(length != length for length in image.shape):  # NaN
        raise InputError(
            "image", f"must be of known shape, got {image.shape}; call its compute_chunk_sizes()"
        )


def check_pair(raw: Any, result: Any, axes: str | None) -> tuple[ImageArray, ImageArray]:
    """Return an image and what became of it, of one shape."""
    before = _check_image("raw", raw, axes)
    same = own_axes(result) is None and np.shape(result) == before.layout.shape
    after = _check_image("result", result, before.layout.axes if same else axes)
    shape = before.layout.shape
    if shape != after.layout.shape:
        problem = f"must have the shape of raw, {shape}, got {after.layout.shape}"
        raise InputError("result", problem)
    return before, after


def _check_image(name: str, array: Any, axes: str | None) -> ImageArray:
    """Return `ImageArray.from_array` an argument of this name; an error names it."""
    try:
        return ImageArray.from_array(array, axes)
    except InputError as error:
        if error.argument == "image":
            raise error.about(name) from error
        raise type(error)("", f"{name}: {error}") from error


def is_dask(array: Any) -> bool:
    """Return whether an array is dask's, without importing dask where nobody has."""
    dask = sys.modules.get("dask.array")
    return dask is not None and isinstance(array, dask.Array)


def check_output_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a result, or raise an `InputError` if it is not among those offered."""
    try:
        chosen = np.dtype(dtype)
    except TypeError:
        chosen = np.dtype(object)
    if chosen.name not in _OUTPUTS:
        raise InputError("dtype", f"must be one of {_OUTPUTS}, got {dtype!r}")
    return chosen


def to_display(
    enhanced: NDArray[np.float32], raw: NDArray[Any], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return a rendered block in the result's type, with what passes through put back.

    The enhanced samples (samples, *spatial) lie in [0, 1]; the maximum of an integer type stands
    for 1 (and inf), 0 for 0 (and NaN). NaN and inf of the input (S, *spatial) come out as they
    went in, its alpha scaled to [0, 1].
    """
    alpha = raw[len(enhanced) :] / (np.iinfo(raw.dtype).max if raw.dtype.kind in "ui" else 1)
    block = _restore_alpha_and_nonfinite(enhanced, alpha.astype(np.float32), raw)
    if dtype.kind == "f":
        return block.astype(dtype, copy=False)
    scaled: NDArray[Any] = np.rint(np.nan_to_num(block, nan=0.0).clip(0, 1) * np.iinfo(dtype).max)
    return scaled.astype(dtype)


def to_intensity(
    light: NDArray[np.float64], raw: NDArray[Any], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return light in the result's type, with what passes through put back.

    Light (samples, *spatial) is in the image's units; for an integer type it is rounded and
    clipped (NaN becomes 0). NaN, inf and alpha of the input (S, *spatial) come out as they went
    in.
    """
    block = _restore_alpha_and_nonfinite(light, raw[len(light) :].astype(np.float64), raw)
    if dtype.kind == "f":
        return block.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    rounded: NDArray[Any] = np.rint(np.nan_to_num(block, nan=0.0)).clip(limits.min, limits.max)
    return rounded.astype(dtype)


def _restore_alpha_and_nonfinite(
    block: NDArray[Any], alpha: NDArray[Any], raw: NDArray[Any]
) -> NDArray[Any]:
    """Return a block with its alpha, and the input's values that are not finite."""
    if len(alpha):
        block = np.concatenate([block, alpha])
    if raw.dtype.kind == "f":
        invalid = ~np.isfinite(raw)
        block[invalid] = raw[invalid]
    return block
