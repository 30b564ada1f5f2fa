"""A plan: the checked options, the image, the method, the tiles and the result's dtype."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

import napari_noiser
from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.arrays.banding import WithoutBanding
from napari_noiser.arrays.chunks import relative_to, widen
from napari_noiser.arrays.companion import GainMap, Mask
from napari_noiser.arrays.fill import FILL_REACH, Fill, fill_mask
from napari_noiser.arrays.image_array import ImageArray, check_output_dtype, is_dask
from napari_noiser.arrays.layout import Colors, ImageIndex, Layout, Slices
from napari_noiser.arrays.storage import shares_memory
from napari_noiser.camera.noise_model import (
    Camera,
    CameraNoise,
    Cameras,
    broadcast_cameras,
    cameras_to_json,
)
from napari_noiser.camera.outliers import REACH, repair_outliers
from napari_noiser.engine.background import BackgroundLevel
from napari_noiser.engine.choice import Choice
from napari_noiser.engine.device_memory import DeviceMemory, default_memory_limit
from napari_noiser.engine.moments import Bounds, PatchMoments
from napari_noiser.engine.options import (
    DEFAULT_MODEL,
    Background,
    ResolvedOptions,
    Verb,
    check_options,
    verb_options,
)
from napari_noiser.engine.tiles import default_side, tile_side
from napari_noiser.engine.tone import conservation_reach
from napari_noiser.methods.base import Method
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.per_sample import PerSampleMethod
from napari_noiser.methods.registry import load_model


@dataclass(frozen=True)
class Plan:
    """One enhancement, or one denoising: everything that it takes, checked; see `make_plan`.

    Attributes
    ----------
    verb : {"enhance", "denoise"}
        What is done.
    options : ResolvedOptions
        As asked for.
    image : ImageArray
        What it is done to.
    method : Method
        For all samples that the image has.
    automatic : bool
        Whether the model, or what a display makes of the background, was left to us.
    mask, gain_map : Mask, GainMap, optional
        The companions of the image.
    cameras : tuple of CameraNoise or None, optional
        Of each channel: how values are stabilized before all else, if they are. None as a whole:
        still to be estimated, by `napari_noiser.engine.calibration.calibrate`.
    device_memory : DeviceMemory
        The device, and what it has room for.
    tile_side : int
        Of the tiles, in pixels.
    memory_limit : int
        Bytes that may be held besides the result.
    dtype : dtype
        Of the result.
    repair_margin : int
        Pixels along y and x that may be needed around what is read, to repair it.
    background_levels : tuple of BackgroundLevel or None, optional
        Of each channel, in its stabilized units: where a background that is to be dark lies. None
        as a whole: still to be estimated, or not needed.
    choice : Choice, optional
        What was chosen by looking at the image, if something was; None: still to be.
    fills : tuple of Fill, optional
        Of each channel: the values that are fill where they fill areas. None as a whole: still to
        be found.
    bounds : tuple of Bounds or None, optional
        Of each channel, in its stabilized units: what few values lie beyond. None as a whole:
        still to be found.
    """

    verb: Verb
    options: ResolvedOptions
    image: ImageArray
    method: Method
    automatic: bool
    mask: Mask | None
    gain_map: GainMap | None
    cameras: Cameras | None
    device_memory: DeviceMemory
    tile_side: int
    memory_limit: int
    dtype: np.dtype[Any]
    repair_margin: int = 0
    background_levels: tuple[BackgroundLevel | None, ...] | None = None
    choice: Choice | None = None
    fills: tuple[Fill, ...] | None = None
    bounds: tuple[Bounds | None, ...] | None = None

    @property
    def empty_moments(self) -> PatchMoments:
        """The moments of no patches, which sums begin with."""
        layout = self.image.layout
        return PatchMoments.empty(layout.samples * 3**layout.ndim)

    @property
    def conservation_halo(self) -> tuple[int, ...]:
        """How far light is given back, along each spatial axis."""
        deviation = self.options["conserve"]
        far = 0 if deviation is None else conservation_reach(deviation)
        return (0,) * (self.image.layout.ndim - 2) + (far, far)

    @property
    def halo(self) -> tuple[int, ...]:
        """What rendering a tile needs around it, along each spatial axis."""
        return tuple(map(sum, zip(self.method.halo, self.conservation_halo, strict=True)))

    @property
    def shows_light(self) -> bool:
        """Whether a display shows the denoised light itself, from black to white."""
        return self.has_dark_background and can_show_light(self.method)

    @property
    def may_show_light(self) -> bool:
        """Whether it does, or that is still to be chosen."""
        undecided = self.verb == "enhance" and self.options["background"] == "auto"
        return self.shows_light or undecided

    @property
    def has_dark_background(self) -> bool:
        """Whether a display is to have a dark background."""
        return self.verb == "enhance" and self.options["background"] == "dark"

    @property
    def needs_background_level(self) -> bool:
        """Whether the background is looked for before the image is measured."""
        return self.has_dark_background and not can_show_light(self.method)

    @property
    def needs_choice(self) -> bool:
        """Whether something is chosen by looking at the image."""
        return self.verb == "enhance" and self.automatic

    @property
    def rendering_mask(self) -> Mask | None:
        """The mask, if rendering needs it: to repair what lies beside pixels left out."""
        return self.mask if self.repair_margin else None

    def group(self, image: ImageIndex) -> ImageIndex:
        """Return the key of the statistics group that an image belongs to."""
        return self.image.layout.group(image, self.options["statistics"])

    def camera(self, channel: int) -> CameraNoise | None:
        """Return the noise of a channel's camera, if it is to be considered."""
        if self.cameras is None:
            raise RuntimeError("cameras are still to be estimated: see calibrate()")
        return self.cameras[channel]

    def camera_of_group(self, group: ImageIndex) -> CameraNoise | None:
        """Return the noise of the camera that took all images of a statistics group."""
        return self.camera(self.channel_of_group(group))

    def channel_of_group(self, group: ImageIndex) -> int:
        """Return which channel all images of a statistics group are of."""
        return self.image.layout.channel_of_group(group, self.options["statistics"])

    @property
    def bounds_input(self) -> bool:
        """Whether the method only has to see what is bright, not how bright: it is no denoiser."""
        traits = self.method.traits
        return not (traits.is_denoiser or traits.has_own_display or traits.requires_raw_counts)

    def bounds_of(self, channel: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return what few values of a channel lie below and above, as they are measured."""
        found = self.bounds[channel] if self.bounds else None
        offset = 0 if self.camera(channel) else self.image.integer_offset
        return None if found is None else found.arrays(offset, self.image.layout.ndim)

    def background_level(self, channel: int) -> BackgroundLevel | None:
        """Return where the background of a channel lies, if it is to be dark."""
        return self.background_levels[channel] if self.background_levels else None

    def reach(self, halo: tuple[int, ...]) -> tuple[int, ...]:
        """Return how far to read around a block, along each of the image's axes, for a halo."""
        *deep, y, x = halo
        # As asked for, not as found: the edges of a dask array's blocks are cut before.
        margin = self.repair_margin + (FILL_REACH if self.options["fill"] else 0)
        wide = (*deep, y + margin, x + margin)
        far = dict(zip(self.image.layout.spatial, wide, strict=True))
        return tuple(far.get(letter, 0) for letter in self.image.layout.axes)

    def read(
        self, image: ImageIndex, region: Slices, channel: int, mask: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return a region as it is, (S, *spatial), but for outliers if they are to be repaired.

        And where in it there is fill, (*spatial), None if nowhere. What is fill, or left out by a
        mask of the image without S, tells nothing of the outliers beside it.
        """
        camera, lengths = self.camera(channel), self.image.layout.image_shape
        if camera is None or not self.options["repair"]:
            return self.image.read(image, region), self._fill_in(image, region, channel)
        wide = widen(region, (0,) * (len(region) - 2) + (REACH, REACH), lengths)
        inner = relative_to(region, wide)
        values = self.image.read(image, wide)
        samples = values[: self.image.layout.samples]
        repaired = repair_outliers(samples, camera)
        fill = self._fill_in(image, wide, channel)
        counted = True if fill is None else ~fill
        if mask is not None:
            counted = counted & (self.image.layout.without_samples.read(mask, image, wide)[0] != 0)
        if not np.all(counted):
            beside = repair_outliers(samples, camera, mask=counted)
            repaired = np.where(counted, beside, repaired)
        if fill is not None:
            repaired = np.where(fill, samples, repaired)
            fill = fill[inner] if fill[inner].any() else None
        raw = np.concatenate([repaired, values[len(samples) :]])
        return raw[(slice(None), *inner)], fill

    def _fill_in(
        self, image: ImageIndex, region: Slices, channel: int
    ) -> NDArray[np.bool_] | None:
        """Return where a region is fill, of its shape (*spatial); None if nowhere."""
        fill = Fill() if self.fills is None else self.fills[channel]
        if not fill:
            return None
        reach = (0,) * (len(region) - 2) + (FILL_REACH, FILL_REACH)
        wide = widen(region, reach, self.image.layout.image_shape)
        values = self.image.read(image, wide)[: self.image.layout.samples]
        found = fill_mask(values, fill)[relative_to(region, wide)]
        return found if found.any() else None

    def _banding_found(self) -> dict[str, Any]:
        """Return how strong the banding of the first plane was, if that was taken out."""
        if not isinstance(self.image.array, WithoutBanding):
            return {}
        height, outer = self.image.layout.image_shape[-2], self.image.array.outer_axes
        profile = self.image.array.profile((0,) * outer)
        rows, columns = (float(each.std()) for each in np.split(profile, [height], axis=1))
        return {"banding_removed": {"rows": round(rows, 6), "columns": round(columns, 6)}}

    def __dask_tokenize__(self) -> Any:
        # What makes two plans the same to dask, which cannot see into a device's memory.
        rest = (self.options["tile"], self.options["memory_limit"], self.image.layout.shape)
        return self.describe(), rest

    def describe(self) -> dict[str, Any]:
        """Return the provenance: what it takes to make the result again, as JSON-able values."""
        asked: dict[str, Any] = {**self.options}
        recorded = [name for name, each in verb_options(self.verb).items() if each.recorded]
        found = {
            "axes": self.image.layout.axes,
            "mask": None if self.mask is None else self.mask.fingerprint(),
            "gain_map": None if self.gain_map is None else self.gain_map.fingerprint(),
            "camera": cameras_to_json(self.cameras),
            "dtype": self.dtype.name,
            "device": str(self.device_memory.device),
        }
        return {
            **self.method.describe(),
            "verb": self.verb,
            **{name: found[name] if name in found else asked[name] for name in recorded},
            **({} if self.choice is None else {"choice": self.choice.to_dict()}),
            **self._banding_found(),
            "camera_estimated": isinstance(asked["camera"], str),
            "versions": {
                "napari-noiser": napari_noiser.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }


def make_plan(
    image: ArrayLike | ImageArray,
    model: str | PathLike[str] | Method = "auto",
    verb: Verb = "enhance",
    **options: Any,
) -> Plan:
    """Check the arguments of `enhance` or `denoise`; nothing is computed yet.

    Parameters
    ----------
    image : array or ImageArray
        An `ImageArray` has its axes and its dimensions already.
    model : str, path or Method
        As in `napari_noiser.enhance`.
    verb : {"enhance", "denoise"}
        What is asked for.
    **options
        As in `napari_noiser.enhance` or `napari_noiser.denoise`.
    """
    asked = check_options(verb, options)
    if not isinstance(image, ImageArray):
        image = ImageArray.from_array(image, asked["axes"], asked["ndim"])
    layout = image.layout
    layout.check_statistics(asked["statistics"])
    method = resolve_method(model, layout, asked["colors"], verb, asked["max_change"])
    if isinstance(method, PerSampleMethod):
        asked["colors"] = "kept"
    elif asked["colors"] == "auto":
        asked["colors"] = "balanced"
    automatic = can_show_light(method) and (
        asked["background"] == "auto" or (isinstance(model, str) and model == "auto")
    )
    asked["background"] = _known_background(asked["background"], method)
    if method.traits.requires_raw_counts:
        image = replace(image, integer_offset=0)
    cameras = _check_cameras_given(asked["camera"], layout, method)
    mask = None if asked["mask"] is None else Mask.of(asked["mask"], layout)
    dtype = _result_dtype(image, asked["dtype"], asked["out"])
    if asked["banding"] != "keep":
        level = WithoutBanding(image.array, layout, asked["banding"], mask, asked["fill"])
        image = replace(image, array=level, integer_offset=0)
    return Plan(
        verb,
        asked,
        image,
        method,
        automatic,
        mask,
        _check_gain_map(asked["gain_map"], layout, method),
        cameras,
        *_resources(asked, method, layout.ndim),
        dtype,
        REACH if asked["repair"] and (cameras is None or any(cameras)) else 0,
        fills=_known_fills(asked["fill"], layout),
    )


def can_show_light(method: Method) -> bool:
    """Return whether a display by this method may be of the light that it returns."""
    return method.traits.is_denoiser and not method.traits.has_own_display


def _known_background(background: Background, method: Method) -> Background:
    """Return what becomes of a display's background, as far as no image is needed for it."""
    if background != "auto" or not can_show_light(method):
        return "gray" if background == "auto" else background
    return "auto" if method.samples > 1 else "dark"


def plan_part(plan: Plan, image: ImageArray) -> Plan:
    """Return the plan of a part of an image, with the device and memory of whoever calls this."""
    device_memory, side, memory = _resources(plan.options, plan.method, image.layout.ndim)
    return replace(
        plan, image=image, device_memory=device_memory, tile_side=side, memory_limit=memory
    )


def _known_fills(fill: Any, layout: Layout) -> tuple[Fill, ...] | None:
    """Return the values that are fill in each channel; None if they are to be found."""
    return None if fill == "auto" else (Fill(fill or ()),) * layout.n_channels


def _resources(
    options: ResolvedOptions, method: Method, ndim: int
) -> tuple[DeviceMemory, int, int]:
    """Return the device, the side of the tiles that suits it, and the bytes that may be held."""
    device = best_device(options["device"])
    limit, side = options["memory_limit"], options["tile"]
    memory = default_memory_limit() if limit is None else limit
    if side is None:
        side = default_side(method.halo, device)
    patches = 2 * 8 * method.samples * 3**ndim  # in float64, twice
    voxel_bytes = max(patches, method.voxel_bytes) + 3 * 8 * method.samples
    return DeviceMemory(device), tile_side(ndim, voxel_bytes, side, max(1, memory // 4)), memory


def _check_gain_map(gain: ArrayLike | None, layout: Layout, method: Method) -> GainMap | None:
    """Return the gain map, or raise an `InputError` if a method needs one or takes none."""
    if method.traits.requires_gain_map and gain is None:
        raise InputError(
            "gain_map", "must be given: the model was fitted to images with their gain maps"
        )
    if gain is not None and not method.traits.requires_gain_map:
        raise InputError(
            "gain_map", "takes a model that was fitted to images with their gain maps"
        )
    return None if gain is None else GainMap.of(gain, layout)


def _check_cameras_given(camera: Camera, layout: Layout, method: Method) -> Cameras | None:
    """Return the camera's noise for each channel, or None if it is to be estimated."""
    found = broadcast_cameras(camera, layout.n_channels)
    if method.traits.requires_camera_noise and found is not None and None in found:
        raise InputError(
            "camera",
            "must be known for this model: give CameraNoise(gain, offset, read_noise), or "
            "'auto' to have it estimated",
        )
    display = not method.traits.is_denoiser
    return (None,) * layout.n_channels if found is None and display else found


def check_cameras(method: Method, cameras: Cameras | None) -> None:
    """Raise an `InputError` if a method needs a camera's noise that could not be estimated."""
    if method.traits.requires_camera_noise and cameras is not None and None in cameras:
        raise InputError(
            "camera",
            "must be known for this model, and cannot be estimated from the image: its noise "
            "does not grow with the light. Give camera=CameraNoise(gain, offset, read_noise)",
        )


def _result_dtype(stack: ImageArray, dtype: DTypeLike | None, out: Any) -> np.dtype[Any]:
    """Return the dtype of the result: of `out` if there is one, otherwise as asked for."""
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
        raise InputError(
            "dtype", f"{np.dtype(dtype).name!r} came with an out of {found}; give one of them"
        )
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
    verb: Verb = "enhance",
    max_change: float | None = None,
) -> Method:
    """Return the method that a model, a name or a path stands for, as an image takes it."""
    method = _load_method(model, layout, colors)
    return _for_samples(_for_verb(method, verb, max_change), layout, colors)


def _load_method(model: str | PathLike[str] | Method, layout: Layout, colors: Colors) -> Method:
    """Return the method that a model, a name or a path stands for."""
    if isinstance(model, str) and model == "auto":
        model = DEFAULT_MODEL
    if isinstance(model, (str, PathLike)):
        return load_model(model, samples=layout.model_samples(colors), ndim=layout.ndim)
    if isinstance(model, type) or not hasattr(model, "fold"):
        kind = type(model).__name__
        raise InputTypeError("model", f"must be a name, a path or a model, got {model!r} ({kind})")
    return model


def _for_verb(method: Method, verb: Verb, max_change: float | None) -> Method:
    """Return the method of a verb: only a model of both stages has another one for light."""
    if not method.traits.is_denoiser and (verb == "denoise" or max_change is not None):
        raise InputError(
            "model" if verb == "denoise" else "max_change",
            "must be one that learned to see light through noise, such as 'structured'; this one "
            "makes a display"
            if verb == "denoise"
            else "takes a model that learned to see light through noise, such as 'structured'",
        )
    if not isinstance(method, IRLEModel):
        return method
    if verb == "enhance" and max_change is not None:
        raise InputError(
            "max_change",
            "takes denoise with a model of both stages: its display is of reflectance, not of "
            "light",
        )
    return method.as_denoiser() if verb == "denoise" else method


def _for_samples(method: Method, layout: Layout, colors: Colors) -> Method:
    """Return a method for all samples of a layout.

    Where colors are kept it is one of one sample, taken for each of them; and so is a denoiser of
    one sample, which has no cast to remove.
    """
    one = method.traits.is_denoiser and method.samples == 1
    samples = 1 if one else layout.model_samples(colors)
    if method.samples != samples and colors == "kept":
        raise InputError(
            "model",
            "must be of one sample for {colors}, trained for {samples}, to see each color alone; "
            f"got one that sees {method.samples} together",
            colors="kept",
            samples=1,
        )
    if method.samples != samples:
        raise InputError(
            "model",
            f"sees {method.samples} samples together, but the image has {layout.samples} along S "
            f"(axes {layout.axes!r}); take a model trained for {{samples}}"
            + ("" if method.samples > 1 else ", or {colors}"),
            samples=samples,
            colors="kept",
        )
    if method.ndim != layout.ndim:
        raise InputError(
            "model", f"was trained for ndim={method.ndim}, but {{ndim}} came", ndim=layout.ndim
        )
    return method if samples == layout.samples else PerSampleMethod(method, layout.samples)
