"""What was asked for, checked: the stack, the method, the scope, the tiles and the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

import napari_noiser
from napari_noiser._validation import choice, real, switch, whole
from napari_noiser.arrays.companion import GainMap, Mask
from napari_noiser.arrays.layout import Colors, ImageIndex, Layout, Region, Statistics
from napari_noiser.arrays.stack import Background, Output, Stack, is_dask, output_type
from napari_noiser.arrays.storage import share_values
from napari_noiser.camera.noise_model import (
    Camera,
    CameraNoise,
    Cameras,
    each_camera,
    told_cameras,
)
from napari_noiser.camera.outliers import REACH
from napari_noiser.camera.outliers import repair as repaired_outliers
from napari_noiser.engine.background import Ground
from napari_noiser.engine.device_memory import Room, default_memory
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.tiles import default_side, tile_side
from napari_noiser.engine.tone import reach_of
from napari_noiser.methods.base import Method
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.per_sample import SharedColors
from napari_noiser.methods.registry import load_model

__all__ = ["Work", "check_cameras", "method_for", "plan"]


@dataclass(frozen=True)
class Work:
    """One enhancement: everything that it takes, checked. `plan` makes one.

    Attributes
    ----------
    stack, method, colors, statistics, mask, gain, output, brightness, contrast, dtype
        As asked for; the method is for all samples that the stack has.
    cameras : tuple of CameraNoise or None, optional
        Of each channel: how values are stabilized before all else, if they are. None as a whole:
        still to be estimated, by `napari_noiser.engine.calibration.calibrated`.
    estimated : bool
        Whether nobody gave the cameras.
    grounds : tuple of Ground or None, optional
        Of each channel, in its stabilized units: where a background that is to be dark lies. None
        as a whole: still to be found, or not needed.
    repair, max_change, conserve, background
        As asked for.
    room : Room
        The device, and what it has room for.
    side : int
        Of the tiles.
    memory : int
        Bytes that may be held beside the result.
    margin : int
        Pixels along y and x that may be needed around what is read, to repair it.
    out : array, optional
        To be filled; a new one where there is none.
    """

    stack: Stack
    method: Method
    colors: Colors
    statistics: Statistics
    mask: Mask | None
    gain: GainMap | None
    cameras: Cameras | None
    repair: bool
    max_change: float | None
    conserve: float | None
    background: Background
    output: Output
    brightness: float
    contrast: float
    room: Room
    side: int
    memory: int
    dtype: np.dtype[Any]
    margin: int = 0
    out: Any = None
    estimated: bool = False
    grounds: tuple[Ground | None, ...] | None = None

    @property
    def no_moments(self) -> PatchMoments:
        """What the moments of patches are summed from."""
        layout = self.stack.layout
        return PatchMoments.none(layout.samples * 3**layout.ndim)

    def exposure(self, image: ImageIndex) -> ImageIndex:
        """Return the key of the exposure that an image belongs to."""
        return self.stack.layout.exposure(image, self.statistics)

    @property
    def conserved(self) -> tuple[int, ...]:
        """How far light is given back, along each spatial axis."""
        far = reach_of(self.conserve) if self.conserve is not None else 0
        return (0,) * (self.stack.layout.ndim - 2) + (far, far)

    @property
    def halo(self) -> tuple[int, ...]:
        """What rendering a tile needs around it, along each spatial axis."""
        return tuple(map(sum, zip(self.method.halo, self.conserved, strict=True)))

    def camera(self, image: ImageIndex) -> CameraNoise | None:
        """Return the noise of the camera that took an image, if it is to be considered."""
        return self._camera_of(self.stack.layout.dye(image))

    def exposure_camera(self, exposure: ImageIndex) -> CameraNoise | None:
        """Return the same of an exposure, all images of which one camera took."""
        return self._camera_of(self.stack.layout.dye_of_exposure(exposure, self.statistics))

    def _camera_of(self, dye: int) -> CameraNoise | None:
        if self.cameras is None:
            raise RuntimeError("cameras are still to be estimated: see calibrated()")
        return self.cameras[dye]

    def ground(self, image: ImageIndex) -> Ground | None:
        """Return where the background of an image lies, if it is to be dark."""
        return self.grounds[self.stack.layout.dye(image)] if self.grounds else None

    def reach(self, halo: tuple[int, ...]) -> tuple[int, ...]:
        """Return how far to read around a block, along each of the stack's axes, for a halo."""
        *deep, y, x = halo
        wide = (*deep, y + self.margin, x + self.margin)
        far = dict(zip(self.stack.layout.spatial, wide, strict=True))
        return tuple(far.get(letter, 0) for letter in self.stack.layout.axes)

    def read(self, image: ImageIndex, region: Region, camera: CameraNoise | None) -> NDArray[Any]:
        """Return a region as it is, (S, *spatial), but for outliers if they are to be repaired."""
        if camera is None or not self.repair:
            return self.stack.read(image, region)
        lengths = self.stack.layout.image_shape
        wide, inner = list(region), [slice(None)] * (1 + len(region))
        for axis in (-2, -1):
            part = region[axis]
            wide[axis] = slice(max(0, part.start - REACH), min(lengths[axis], part.stop + REACH))
            inner[axis] = slice(part.start - wide[axis].start, part.stop - wide[axis].start)
        values = self.stack.read(image, tuple(wide))
        samples = self.stack.layout.samples
        repaired = repaired_outliers(values[:samples], camera)
        return np.concatenate([repaired, values[samples:]])[tuple(inner)]

    def describe(self) -> dict[str, Any]:
        """Return what it takes to make the same result again, as JSON-able values."""
        return {
            **self.method.describe(),
            "axes": self.stack.layout.axes,
            "colors": self.colors,
            "statistics": self.statistics,
            "mask": None if self.mask is None else self.mask.fingerprint(),
            "gain": None if self.gain is None else self.gain.fingerprint(),
            "camera": told_cameras(self.cameras),
            "camera_estimated": self.estimated,
            "repair": self.repair,
            "max_change": self.max_change,
            "conserve": self.conserve,
            "background": self.background,
            "output": self.output,
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
    model: str | PathLike[str] | Method = "noiser",
    *,
    axes: str | None = None,
    ndim: int = 2,
    colors: str = "balanced",
    statistics: str = "stack",
    mask: ArrayLike | None = None,
    gain: ArrayLike | None = None,
    camera: Camera = "auto",
    repair: bool = True,
    max_change: float | None = None,
    conserve: float | None = None,
    background: str = "gray",
    output: str = "display",
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
    asked = stack.layout.check_colors(colors)
    made: Output = choice("output", output, Output)
    bound = _positive("max_change", max_change)
    method = method_for(model, stack.layout, asked, made, bound)
    if method.knows_counts:
        stack = replace(stack, zero=0)
    room = Room(best_device(device))
    side = default_side(method.halo, room.device) if tile is None else tile
    memory = whole("memory_limit", default_memory() if memory_limit is None else memory_limit)
    patches = 2 * 8 * method.channels * 3**ndim  # in float64, twice
    voxel_bytes = max(patches, method.voxel_bytes) + 3 * 8 * method.channels
    cameras = _find_cameras(camera, stack.layout, method)
    repair = switch("repair", repair)
    conserve = _positive("conserve", conserve)
    return Work(
        stack,
        method,
        "kept" if isinstance(method, SharedColors) else asked,
        stack.layout.check_statistics(statistics),
        None if mask is None else Mask.of(mask, stack.layout),
        _find_gain(gain, stack.layout, method),
        cameras,
        repair,
        bound,
        conserve if made == "intensity" else None,
        choice("background", background, Background),
        made,
        real("brightness", brightness),
        real("contrast", contrast, above=0.0),
        room,
        tile_side(ndim, voxel_bytes, side, max(1, memory // 4)),
        memory,
        _find_type(stack, dtype, out),
        REACH if repair and (cameras is None or any(cameras)) else 0,
        out,
        isinstance(camera, str),
    )


def _find_gain(gain: ArrayLike | None, layout: Layout, method: Method) -> GainMap | None:
    """Return the gain map, or raise a `ValueError` if a method needs one or takes none."""
    if method.gain_given and gain is None:
        raise ValueError("gain must be given: the model was fitted to images with their gain maps")
    if gain is not None and not method.gain_given:
        raise ValueError("gain takes a model that was fitted to images with their gain maps")
    return None if gain is None else GainMap.of(gain, layout)


def _find_cameras(camera: Camera, layout: Layout, method: Method) -> Cameras | None:
    """Return the camera's noise for each channel, or None if it is to be estimated."""
    found = each_camera(camera, layout.dyes)
    if method.needs_camera and found is not None and None in found:
        raise ValueError(
            "camera must be known for this model: give CameraNoise(gain, offset, read_noise), or "
            "'auto' to have it estimated"
        )
    return (None,) * layout.dyes if found is None and not method.restores else found


def check_cameras(method: Method, cameras: Cameras | None) -> None:
    """Raise a `ValueError` if a method needs the noise of a camera that could not be told."""
    if method.needs_camera and cameras is not None and None in cameras:
        raise ValueError(
            "camera must be known for this model, and cannot be told from the image: its noise "
            "does not grow with the light. Give camera=CameraNoise(gain, offset, read_noise)"
        )


def _positive(name: str, value: float | None) -> float | None:
    return None if value is None else real(name, value, above=0.0)


def _find_type(stack: Stack, dtype: DTypeLike | None, out: Any) -> np.dtype[Any]:
    """Return the dtype of the result: of `out` if there is one, otherwise as asked for.

    Raises
    ------
    ValueError
        If `out` has another shape or dtype, cannot be written to, or lies in the image's memory,
        file or store.
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
    if is_dask(out):
        raise ValueError("out must be an array that can be written to, it is a dask array")
    read_only = getattr(out, "read_only", False)  # as zarr says it
    if read_only is True or (isinstance(out, np.ndarray) and not out.flags.writeable):
        raise ValueError("out must be an array that can be written to, it is read-only")
    if share_values(stack.array, out):
        raise ValueError("out shares its memory with image, which is read while out is filled")
    return found


def method_for(
    model: str | PathLike[str] | Method,
    layout: Layout,
    colors: Colors,
    output: Output,
    max_change: float | None,
) -> Method:
    """Return the method that a model, a name or a path stands for, as an image takes it.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it sees another number of samples or dimensions than the layout has, or cannot bound
        the change of this output.
    """
    found = _found(model, layout, colors)
    return _for_samples(_for_output(found, output, max_change), layout, colors)


def _found(model: str | PathLike[str] | Method, layout: Layout, colors: Colors) -> Method:
    """Return the method that a model, a name or a path stands for."""
    if isinstance(model, (str, PathLike)):
        return load_model(model, channels=layout.channels(colors), ndim=layout.ndim)
    if isinstance(model, type) or not hasattr(model, "fold"):
        kind = type(model).__name__
        raise TypeError(f"model must be a name, a path or a Model, got {model!r} ({kind})")
    return model


def _for_output(method: Method, output: Output, max_change: float | None) -> Method:
    """Return the method of an output: only a model of both stages has another one for light.

    Raises
    ------
    ValueError
        If it makes no light, or none of which `max_change` could be said.
    """
    light = output == "intensity"
    asked = "output='intensity'" if light else "max_change"
    if not method.restores and (light or max_change is not None):
        raise ValueError(
            f"{asked} takes a model that learned to see light through noise, such as "
            "'structured'; this one makes a display"
        )
    if not isinstance(method, IRLEModel):
        return method
    if not light and max_change is not None:
        raise ValueError(
            "max_change takes output='intensity' with a model of both stages: its display is of "
            "reflectance, not of light"
        )
    return method.restoration() if light else method


def _for_samples(model: Method, layout: Layout, colors: Colors) -> Method:
    """Return a method for all samples of a layout.

    Where colors are kept it is one of one channel, taken for each of the samples; and so is one
    of one channel that restores light, which has no cast to remove.

    Raises
    ------
    ValueError
        If it sees another number of samples or dimensions than the layout has.
    """
    one = model.restores and model.channels == 1
    channels = 1 if one else layout.channels(colors)
    if model.channels != channels and colors == "kept":
        raise ValueError(
            f"colors='kept' takes a model of one sample, trained for channels=1, and gives each "
            f"color to it alone; got one that sees {model.channels} together"
        )
    if model.channels != channels:
        other = "" if model.channels > 1 else ", or colors='kept'"
        raise ValueError(
            f"model sees {model.channels} samples together, but the image has {layout.samples} "
            f"along S (axes {layout.axes!r}); take a model trained for channels={channels}{other}"
        )
    if model.ndim != layout.ndim:
        raise ValueError(f"model was trained for ndim={model.ndim}, but ndim={layout.ndim} came")
    return model if channels == layout.samples else SharedColors(model, layout.samples)
