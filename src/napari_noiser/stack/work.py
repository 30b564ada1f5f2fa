"""What was asked for, checked: the stack, the method, the scope, the tiles and the result."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor

import napari_noiser
from napari_noiser.checks import real, whole
from napari_noiser.srm.device import best_device
from napari_noiser.srm.model import Model, load_model
from napari_noiser.srm.patches import Halo, Scratch
from napari_noiser.stack.axes import ImageIndex, Layout, Statistics
from napari_noiser.stack.moments import PatchMoments
from napari_noiser.stack.room import Room, default_memory
from napari_noiser.stack.tiles import default_side, tile_side
from napari_noiser.stack.values import Stack, output_type

__all__ = ["Folded", "Method", "Work", "place_mask", "plan"]


class Folded(Protocol):
    """A method for one exposure: a plain map of tiles."""

    @property
    def centre(self) -> NDArray[np.float64]: ...
    @property
    def scale(self) -> float: ...
    def to(self, device: torch.device) -> Folded: ...
    def __call__(self, tile: Tensor, halo: Halo, scratch: Scratch) -> Tensor: ...


class Method(Protocol):
    """What can be rendered: anything that the moments of patches turn into a map of tiles."""

    @property
    def channels(self) -> int: ...
    @property
    def ndim(self) -> int: ...
    @property
    def halo(self) -> int: ...
    @property
    def voxel_bytes(self) -> int: ...
    def describe(self) -> dict[str, Any]: ...
    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
    ) -> Folded: ...


@dataclass(frozen=True)
class Work:
    """One enhancement: everything that it takes, checked. `plan` makes one.

    Attributes
    ----------
    stack, method, statistics, mask, brightness, contrast, dtype
        As asked for; the mask has the image's shape without S.
    room : Room
        The device, and what it has room for.
    side : int
        Of the tiles.
    memory : int
        Bytes that may be held beside the result.
    out : array, optional
        To be filled; a new one where there is none.
    """

    stack: Stack
    method: Method
    statistics: Statistics
    mask: NDArray[np.bool_] | None
    brightness: float
    contrast: float
    room: Room
    side: int
    memory: int
    dtype: np.dtype[Any]
    out: Any = None

    @property
    def no_moments(self) -> PatchMoments:
        """What the moments of patches are summed from."""
        layout = self.stack.layout
        return PatchMoments.none(layout.samples * 3**layout.ndim)

    def exposure(self, image: ImageIndex) -> ImageIndex:
        """Return the key of the exposure that an image belongs to."""
        return self.stack.layout.exposure(image, self.statistics)

    def describe(self) -> dict[str, Any]:
        """Return what it takes to make the same result again, as JSON-able values."""
        return {
            **self.method.describe(),
            "axes": self.stack.layout.axes,
            "statistics": self.statistics,
            "mask": None if self.mask is None else _fingerprint(self.mask),
            "brightness": self.brightness,
            "contrast": self.contrast,
            "dtype": self.dtype.name,
            "device": str(self.room.device),
            "versions": {
                "napari-noiser": napari_noiser.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }


def plan(
    image: ArrayLike,
    model: str | PathLike[str] | Model | Method = "noiser",
    *,
    axes: str | None = None,
    ndim: int = 2,
    statistics: str = "stack",
    mask: ArrayLike | None = None,
    brightness: float = 0.0,
    contrast: float = 1.0,
    device: str = "auto",
    tile: int | None = None,
    memory_limit: int | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
) -> Work:
    """Check what `napari_noiser.enhance` was asked for; nothing is computed yet.

    Raises
    ------
    TypeError, ValueError
        As in `napari_noiser.enhance`.
    """
    stack = Stack.of(image, axes, ndim)
    method = _find_method(model, stack.layout)
    room = Room(best_device(device))
    side = default_side(ndim, room.device) if tile is None else tile
    memory = whole("memory_limit", default_memory() if memory_limit is None else memory_limit)
    patches = 2 * 8 * method.channels * 3**ndim  # in float64, twice
    voxel_bytes = max(patches, method.voxel_bytes) + 3 * 8 * method.channels
    return Work(
        stack,
        method,
        stack.layout.check_statistics(statistics),
        None if mask is None else _find_mask(np.asarray(mask), stack.layout),
        real("brightness", brightness),
        real("contrast", contrast, above=0.0),
        room,
        tile_side(ndim, voxel_bytes, side, max(1, memory // 4)),
        memory,
        _find_type(stack, dtype, out),
        out,
    )


def _find_method(model: str | PathLike[str] | Model | Method, layout: Layout) -> Method:
    """Return the method that a model, a name or a path stands for, if it fits the layout.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it sees another number of samples or dimensions than the layout has.
    """
    if isinstance(model, (str, PathLike)):
        model = load_model(model, channels=layout.samples, ndim=layout.ndim)
    if isinstance(model, type) or not hasattr(model, "fold"):
        kind = type(model).__name__
        raise TypeError(f"model must be a name, a path or a Model, got {model!r} ({kind})")
    if model.channels != layout.samples:
        raise ValueError(
            f"model sees {model.channels} samples together, but the image has {layout.samples} "
            f"along S (axes {layout.axes!r}); take a model trained for channels={layout.samples}"
        )
    if model.ndim != layout.ndim:
        raise ValueError(f"model was trained for ndim={model.ndim}, but ndim={layout.ndim} came")
    return model


def _find_mask(mask: NDArray[Any], layout: Layout) -> NDArray[np.bool_]:
    """Return a mask in the layout's shape without S."""
    return np.broadcast_to(place_mask(mask, layout) != 0, layout.without_samples.shape)


def place_mask(mask: Any, layout: Layout) -> Any:
    """Return a mask with the layout's axes without S, of length 1 where it is to be repeated.

    Parameters
    ----------
    mask : array
        Of numpy or dask, which stays lazy.
    layout : Layout
        Of the image.

    Returns
    -------
    array
        The same values, of the same kind.

    Raises
    ------
    TypeError
        If it holds neither bool nor integers.
    ValueError
        If its shape is not the image's without S, its trailing axes, or one plane's or volume's.
    """
    if mask.dtype.kind not in "bui":
        raise TypeError(
            f"mask must hold bool or integers (of a layer, pass its data), got {mask.dtype}"
        )
    whole = layout.without_samples
    if mask.shape == layout.image_shape:
        order = [letter for letter in whole.axes if letter in layout.spatial]
        mask = mask.transpose([layout.spatial.index(letter) for letter in order])
    elif mask.shape == whole.shape[len(whole.shape) - mask.ndim :]:
        order = list(whole.axes[len(whole.shape) - mask.ndim :])
    else:
        raise ValueError(
            f"mask must have the image's shape without S, {whole.shape}, its trailing axes, or "
            f"one image's shape, {layout.image_shape}; got {mask.shape}"
        )
    return mask[tuple(slice(None) if letter in order else None for letter in whole.axes)]


def _find_type(stack: Stack, dtype: DTypeLike | None, out: Any) -> np.dtype[Any]:
    """Return the dtype of the result: of `out` if there is one, otherwise as asked for.

    Raises
    ------
    ValueError
        If `out` has another shape or dtype, is read-only, or shares its memory with the image.
    """
    if out is None:
        return output_type("float32" if dtype is None else dtype)
    if not hasattr(out, "dtype") or tuple(out.shape) != stack.layout.shape:
        raise ValueError(
            f"out must be an array of the image's shape {stack.layout.shape}, "
            f"got {getattr(out, 'shape', type(out).__name__)}"
        )
    found = output_type(out.dtype)
    if dtype is not None and output_type(dtype) != found:
        raise ValueError(f"dtype {dtype!r} came with an out of {found}; give one of them")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out must be an array that can be written to, it is read-only")
    if _overlap(stack.array, out):
        raise ValueError("out shares its memory with image, which is read while out is filled")
    return found


def _overlap(image: Any, out: Any) -> bool:
    """Return whether two arrays may lie in the same memory, or in the same store (zarr)."""
    if isinstance(image, np.ndarray) and isinstance(out, np.ndarray):
        return np.may_share_memory(image, out)
    store = getattr(out, "store_path", None)
    return image is out or (store is not None and getattr(image, "store_path", None) == store)


def _fingerprint(mask: NDArray[np.bool_]) -> str:
    """Return twelve hexadecimal digits; axes along which a mask is only repeated are left out."""
    unrepeated = mask[tuple(slice(None) if step else slice(0, 1) for step in mask.strides)]
    return sha256(str(mask.shape).encode() + unrepeated.tobytes()).hexdigest()[:12]
