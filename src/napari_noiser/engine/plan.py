"""What was asked for, checked: the stack, the method, the scope, the tiles and the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

import napari_noiser
from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_bool, check_choice, check_float, check_int
from napari_noiser.arrays.companion import GainMap, Mask
from napari_noiser.arrays.image_array import (
    Background,
    ImageArray,
    Output,
    check_output_dtype,
    is_dask,
)
from napari_noiser.arrays.layout import Colors, ImageIndex, Layout, Slices, Statistics
from napari_noiser.arrays.storage import shares_memory
from napari_noiser.camera.noise_model import (
    Camera,
    CameraNoise,
    Cameras,
    broadcast_cameras,
    cameras_to_json,
)
from napari_noiser.camera.outliers import REACH
from napari_noiser.camera.outliers import repair_outliers as repaired_outliers
from napari_noiser.engine.background import BackgroundLevel
from napari_noiser.engine.device_memory import DeviceMemory, default_memory_limit
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.tiles import default_side, tile_side
from napari_noiser.engine.tone import conservation_reach
from napari_noiser.methods.base import Method
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.per_sample import PerSampleMethod
from napari_noiser.methods.registry import load_model

__all__ = ["Plan", "check_cameras", "make_plan", "resolve_method"]


@dataclass(frozen=True)
class Plan:
    """One enhancement: everything that it takes, checked. `make_plan` makes one.

    Attributes
    ----------
    stack, method, colors, statistics, mask, gain, output, brightness, contrast, dtype
        As asked for; the method is for all samples that the stack has.
    cameras : tuple of CameraNoise or None, optional
        Of each channel: how values are stabilized before all else, if they are. None as a whole:
        still to be estimated, by `napari_noiser.engine.calibration.calibrate`.
    estimated : bool
        Whether nobody gave the cameras.
    grounds : tuple of Ground or None, optional
        Of each channel, in its stabilized units: where a background that is to be dark lies. None
        as a whole: still to be found, or not needed.
    repair, max_change, conserve, background
        As asked for.
    room : Room
        The device, and what it has room for.
    tile_side : int
        Of the tiles.
    memory_limit : int
        Bytes that may be held beside the result.
    repair_margin : int
        Pixels along y and x that may be needed around what is read, to repair it.
    out : array, optional
        To be filled; a new one where there is none.
    """

    image: ImageArray
    method: Method
    colors: Colors
    statistics: Statistics
    mask: Mask | None
    gain_map: GainMap | None
    cameras: Cameras | None
    repair: bool
    max_change: float | None
    conserve: float | None
    background: Background
    output: Output
    brightness: float
    contrast: float
    device_memory: DeviceMemory
    tile_side: int
    memory_limit: int
    dtype: np.dtype[Any]
    repair_margin: int = 0
    out: Any = None
    cameras_estimated: bool = False
    background_levels: tuple[BackgroundLevel | None, ...] | None = None

    @property
    def empty_moments(self) -> PatchMoments:
        """What the moments of patches are summed from."""
        layout = self.image.layout
        return PatchMoments.empty(layout.samples * 3**layout.ndim)

    def group(self, image: ImageIndex) -> ImageIndex:
        """Return the key of the exposure that an image belongs to."""
        return self.image.layout.group(image, self.statistics)

    @property
    def conserved(self) -> tuple[int, ...]:
        """How far light is given back, along each spatial axis."""
        far = conservation_reach(self.conserve) if self.conserve is not None else 0
        return (0,) * (self.image.layout.ndim - 2) + (far, far)

    @property
    def halo(self) -> tuple[int, ...]:
        """What rendering a tile needs around it, along each spatial axis."""
        return tuple(map(sum, zip(self.method.halo, self.conserved, strict=True)))

    def camera(self, image: ImageIndex) -> CameraNoise | None:
        """Return the noise of the camera that took an image, if it is to be considered."""
        return self._camera_of(self.image.layout.channel(image))

    def camera_of_group(self, group: ImageIndex) -> CameraNoise | None:
        """Return the same of an exposure, all images of which one camera took."""
        return self._camera_of(self.image.layout.channel_of_group(group, self.statistics))

    def _camera_of(self, channel: int) -> CameraNoise | None:
        if self.cameras is None:
            raise RuntimeError("cameras are still to be estimated: see calibrated()")
        return self.cameras[channel]

    def background_level(self, image: ImageIndex) -> BackgroundLevel | None:
        """Return where the background of an image lies, if it is to be dark."""
        return (
            self.background_levels[self.image.layout.channel(image)]
            if self.background_levels
            else None
        )

    def reach(self, halo: tuple[int, ...]) -> tuple[int, ...]:
        """Return how far to read around a block, along each of the stack's axes, for a halo."""
        *deep, y, x = halo
        wide = (*deep, y + self.repair_margin, x + self.repair_margin)
        far = dict(zip(self.image.layout.spatial, wide, strict=True))
        return tuple(far.get(letter, 0) for letter in self.image.layout.axes)

    def read(self, image: ImageIndex, region: Slices, camera: CameraNoise | None) -> NDArray[Any]:
        """Return a region as it is, (S, *spatial), but for outliers if they are to be repaired."""
        if camera is None or not self.repair:
            return self.image.read(image, region)
        lengths = self.image.layout.image_shape
        wide, inner = list(region), [slice(None)] * (1 + len(region))
        for axis in (-2, -1):
            part = region[axis]
            wide[axis] = slice(max(0, part.start - REACH), min(lengths[axis], part.stop + REACH))
            inner[axis] = slice(part.start - wide[axis].start, part.stop - wide[axis].start)
        values = self.image.read(image, tuple(wide))
        samples = self.image.layout.samples
        repaired = repaired_outliers(values[:samples], camera)
        return np.concatenate([repaired, values[samples:]])[tuple(inner)]

    def describe(self) -> dict[str, Any]:
        """Return what it takes to make the same result again, as JSON-able values."""
        return {
            **self.method.describe(),
            "axes": self.image.layout.axes,
            "colors": self.colors,
            "statistics": self.statistics,
            "mask": None if self.mask is None else self.mask.fingerprint(),
            "gain": None if self.gain_map is None else self.gain_map.fingerprint(),
            "camera": cameras_to_json(self.cameras),
            "camera_estimated": self.cameras_estimated,
            "repair": self.repair,
            "max_change": self.max_change,
            "conserve": self.conserve,
            "background": self.background,
            "output": self.output,
            "brightness": self.brightness,
            "contrast": self.contrast,
            "dtype": self.dtype.name,
            "device": str(self.device_memory.device),
            "versions": {
                "napari-noiser": napari_noiser.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }


def make_plan(
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
) -> Plan:
    """Check what `napari_noiser.enhance` was asked for; nothing is computed yet.

    Raises
    ------
    TypeError, ValueError
        As in `napari_noiser.enhance`.
    """
    stack = ImageArray.from_array(image, axes, ndim)
    asked = stack.layout.check_colors(colors)
    made: Output = check_choice("output", output, Output)
    bound = _positive("max_change", max_change)
    method = resolve_method(model, stack.layout, asked, made, bound)
    if method.requires_raw_counts:
        stack = replace(stack, integer_offset=0)
    device_memory = DeviceMemory(best_device(device))
    side = default_side(method.halo, device_memory.device) if tile is None else tile
    memory = check_int(
        "memory_limit", default_memory_limit() if memory_limit is None else memory_limit
    )
    patches = 2 * 8 * method.samples * 3**ndim  # in float64, twice
    voxel_bytes = max(patches, method.voxel_bytes) + 3 * 8 * method.samples
    cameras = _check_cameras_given(camera, stack.layout, method)
    repair = check_bool("repair", repair)
    conserve = _positive("conserve", conserve)
    return Plan(
        stack,
        method,
        "kept" if isinstance(method, PerSampleMethod) else asked,
        stack.layout.check_statistics(statistics),
        None if mask is None else Mask.of(mask, stack.layout),
        _check_gain_map(gain, stack.layout, method),
        cameras,
        repair,
        bound,
        conserve if made == "intensity" else None,
        check_choice("background", background, Background),
        made,
        check_float("brightness", brightness),
        check_float("contrast", contrast, above=0.0),
        device_memory,
        tile_side(ndim, voxel_bytes, side, max(1, memory // 4)),
        memory,
        _result_dtype(stack, dtype, out),
        REACH if repair and (cameras is None or any(cameras)) else 0,
        out,
        isinstance(camera, str),
    )


def _check_gain_map(gain: ArrayLike | None, layout: Layout, method: Method) -> GainMap | None:
    """Return the gain map, or raise a `ValueError` if a method needs one or takes none."""
    if method.requires_gain_map and gain is None:
        raise InputError(
            "gain", "must be given: the model was fitted to images with their gain maps"
        )
    if gain is not None and not method.requires_gain_map:
        raise InputError("gain", "takes a model that was fitted to images with their gain maps")
    return None if gain is None else GainMap.of(gain, layout)


def _check_cameras_given(camera: Camera, layout: Layout, method: Method) -> Cameras | None:
    """Return the camera's noise for each channel, or None if it is to be estimated."""
    found = broadcast_cameras(camera, layout.n_channels)
    if method.requires_camera_noise and found is not None and None in found:
        raise InputError(
            "camera",
            "must be known for this model: give CameraNoise(gain, offset, read_noise), or "
            "'auto' to have it estimated",
        )
    return (None,) * layout.n_channels if found is None and not method.is_denoiser else found


def check_cameras(method: Method, cameras: Cameras | None) -> None:
    """Raise a `ValueError` if a method needs the noise of a camera that could not be told."""
    if method.requires_camera_noise and cameras is not None and None in cameras:
        raise InputError(
            "camera",
            "must be known for this model, and cannot be told from the image: its noise "
            "does not grow with the light. Give camera=CameraNoise(gain, offset, read_noise)",
        )


def _positive(name: str, value: float | None) -> float | None:
    return None if value is None else check_float(name, value, above=0.0)


def _result_dtype(stack: ImageArray, dtype: DTypeLike | None, out: Any) -> np.dtype[Any]:
    """Return the dtype of the result: of `out` if there is one, otherwise as asked for.

    Raises
    ------
    ValueError
        If `out` has another shape or dtype, cannot be written to, or lies in the image's memory,
        file or store.
    """
    if out is None:
        return check_output_dtype("float32" if dtype is None else dtype)
    if not hasattr(out, "dtype") or tuple(out.shape) != stack.layout.shape:
        raise InputError(
            "out",
            f"must be an array of the image's shape {stack.layout.shape}, "
            f"got {getattr(out, 'shape', type(out).__name__)}",
        )
    found = check_output_dtype(out.dtype)
    if dtype is not None and check_output_dtype(dtype) != found:
        raise InputError("dtype", f"{dtype!r} came with an out of {found}; give one of them")
    if is_dask(out):
        raise InputError("out", "must be an array that can be written to, it is a dask array")
    read_only = getattr(out, "read_only", False)  # as zarr says it
    if read_only is True or (isinstance(out, np.ndarray) and not out.flags.writeable):
        raise InputError("out", "must be an array that can be written to, it is read-only")
    if shares_memory(stack.array, out):
        raise InputError("out", "shares its memory with image, which is read while out is filled")
    return found


def resolve_method(
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
    found = _load_method(model, layout, colors)
    return _for_samples(_for_output(found, output, max_change), layout, colors)


def _load_method(model: str | PathLike[str] | Method, layout: Layout, colors: Colors) -> Method:
    """Return the method that a model, a name or a path stands for."""
    if isinstance(model, (str, PathLike)):
        return load_model(model, samples=layout.model_samples(colors), ndim=layout.ndim)
    if isinstance(model, type) or not hasattr(model, "fold"):
        kind = type(model).__name__
        raise InputTypeError("model", f"must be a name, a path or a Model, got {model!r} ({kind})")
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
    if not method.is_denoiser and (light or max_change is not None):
        raise InputError(
            "",
            f"{asked} takes a model that learned to see light through noise, such as "
            "'structured'; this one makes a display",
        )
    if not isinstance(method, IRLEModel):
        return method
    if not light and max_change is not None:
        raise InputError(
            "max_change",
            "takes output='intensity' with a model of both stages: its display is of "
            "reflectance, not of light",
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
    one = model.is_denoiser and model.samples == 1
    samples = 1 if one else layout.model_samples(colors)
    if model.samples != samples and colors == "kept":
        raise InputError(
            "",
            f"colors='kept' takes a model of one sample, trained for samples=1, and gives each "
            f"color to it alone; got one that sees {model.samples} together",
        )
    if model.samples != samples:
        other = "" if model.samples > 1 else ", or colors='kept'"
        raise InputError(
            "model",
            f"sees {model.samples} samples together, but the image has {layout.samples} "
            f"along S (axes {layout.axes!r}); take a model trained for samples={samples}{other}",
        )
    if model.ndim != layout.ndim:
        raise InputError(
            "model", f"was trained for ndim={model.ndim}, but ndim={layout.ndim} came"
        )
    return model if samples == layout.samples else PerSampleMethod(model, layout.samples)
