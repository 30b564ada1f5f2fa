"""What a few planes of each channel tell before it is measured: camera, background, choice."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError
from napari_noiser._progress import run_with_progress
from napari_noiser.arrays.companion import without_masked
from napari_noiser.arrays.fill import Fill, fill_mask, find_fill
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.reader import read_region
from napari_noiser.arrays.sampling import sample_values
from napari_noiser.arrays.storage import check_store
from napari_noiser.camera.noise_model import CameraNoise, constant_noise, estimate_pooled_noise
from napari_noiser.camera.noise_variance import noise_variance
from napari_noiser.engine.background import BackgroundLevel, estimate_background
from napari_noiser.engine.choice import Choice, choose_for_planes
from napari_noiser.engine.moments import Bounds
from napari_noiser.engine.options import ResolvedOptions
from napari_noiser.engine.plan import Plan, check_cameras, make_plan

_PLANES = 4  # of each channel
_SIDE = 1024
_CORNER = 128


@dataclass(frozen=True)
class ChannelCalibration:
    """What was estimated of a channel.

    Attributes
    ----------
    camera : CameraNoise, optional
        The given one or the estimated; None if it is not to be considered, or where variance
        does not grow with the mean.
    background_level : BackgroundLevel, optional
        Its background, if it is to be dark.
    choice : Choice, optional
        What suits it, if that was left to us.
    fill : Fill
        The values that are fill in it.
    bounds : Bounds, optional
        What few of its values lie beyond.
    """

    camera: CameraNoise | None
    background_level: BackgroundLevel | None = None
    choice: Choice | None = None
    fill: Fill = field(default_factory=Fill)
    bounds: Bounds | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be estimated of each channel.

    Attributes
    ----------
    cameras : tuple of CameraNoise, "auto", "any" or None
        What was asked for of each channel's camera: its noise, nothing, or to estimate it. "any"
        where a method needs one: noise that does not grow with the light is one, too.
    background : bool
        Whether the background's level is looked for.
    choice : bool
        Whether what suits the image is chosen.
    fills : tuple of Fill, optional
        The values that are fill in each channel; None if they are to be found.
    bounds : bool
        Whether it is looked for what few values lie beyond, if the image is looked at anyway.
    """

    cameras: tuple[CameraNoise | str | None, ...]
    background: bool
    choice: bool
    fills: tuple[Fill, ...] | None
    bounds: bool = False

    @classmethod
    def of(cls, plan: Plan) -> Wanted:
        """Return what a plan still needs to know of its image."""
        unknown = "any" if plan.method.traits.requires_camera_noise else "auto"
        every = (unknown,) * plan.image.layout.n_channels
        return cls(
            every if plan.cameras is None else plan.cameras,
            plan.needs_background_level and plan.background_levels is None,
            plan.needs_choice and plan.choice is None,
            plan.fills,
            plan.bounds is None,
        )

    @property
    def anything(self) -> bool:
        """Whether the image has to be looked at."""
        estimated = any(isinstance(camera, str) for camera in self.cameras)
        return estimated or self.background or self.choice or self.fills is None


def calibrate(plan: Plan) -> Plan:
    """Return a plan with all of it known that only its array can tell.

    Of each channel the middles of up to 4 planes are read, if there is something to estimate.
    """
    return run_with_progress(calibrate_steps(plan), False, "")


@dataclass(frozen=True)
class CalibrationStep:
    """One finished step of a calibration: a part was read, or a channel estimated."""

    done: int
    total: int
    stage: str = "calibrate"


def calibrate_steps(plan: Plan) -> Generator[CalibrationStep, None, Plan]:
    """Calibrate as `calibrate` does, giving control back after each part and each channel.

    Parameters
    ----------
    plan : Plan
        Of what is to be measured.

    Returns
    -------
    Plan
        With all of it known that only its array can tell.
    """
    wanted = Wanted.of(plan)
    if not wanted.anything:
        return plan
    layout = plan.image.layout
    boxes, channels = sample_boxes(layout), []
    steps = count(1)
    total = sum(len(each) + 1 for each in boxes)
    for channel, places in enumerate(boxes):
        parts = []
        for box in places:
            parts.append(read_part(plan, box))
            yield CalibrationStep(next(steps), total)
        channels.append(calibrate_channel(parts, channel, wanted, layout))
        yield CalibrationStep(next(steps), total)
    check_store(plan.image.array)
    return with_calibration(plan, channels)


def read_part(plan: Plan, box: Slices) -> NDArray[Any]:
    """Return what a box of a plan's image holds, NaN where the mask leaves it out."""
    values = read_region(plan.image.array, box)
    layout = plan.image.layout
    if plan.mask is None:
        return values
    beside = tuple(part for letter, part in zip(layout.axes, box, strict=True) if letter != "S")
    found: NDArray[Any] = without_masked(values, plan.mask.read(beside), layout)
    return found


def sample_counted(plan: Plan) -> NDArray[np.float64]:
    """Return some values of a calibrated plan's image, flat: finite ones that count."""
    image, layout = plan.image, plan.image.layout
    if plan.mask is None and not any(plan.fills or ()):
        (values,) = sample_values(image.array, layout=layout)
        known: NDArray[np.float64] = values[np.isfinite(values)].astype(np.float64)
        return known
    found = []
    for channel in range(layout.n_channels):
        for box in _middles(layout, channel):
            part = ImageArray.from_array(read_part(plan, box), layout.axes, layout.ndim)
            plane = single_plane(part)
            fill = fill_mask(plane, plan.fills[channel] if plan.fills else Fill())
            found.append(plane[:, ~fill][np.isfinite(plane[:, ~fill])])
    return np.concatenate(found)


def choose(
    image: ArrayLike, *, axes: str | None = None, ndim: int = 2, mask: ArrayLike | None = None
) -> Choice:
    """Choose what suits an image: what "auto" takes in `enhance`, and why.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size, lazy or not. The middles of up to 4 planes of each channel
        are read.
    axes, ndim, mask : see `enhance`
        As there.

    Returns
    -------
    Choice
        Model, background and colors, the reason in a sentence, and how sure it is.

    Raises
    ------
    InputTypeError, InputError
        As in `enhance`.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(np.eye(128) + 1)
    >>> choice = choose(counts)
    >>> choice.model, choice.background
    ('structured', 'dark')
    """
    plan = calibrate(make_plan(image, axes=axes, ndim=ndim, mask=mask, camera=None))
    assert plan.choice is not None  # which is needed wherever the model is left to us
    return plan.choice


def with_calibration(plan: Plan, channels: Sequence[ChannelCalibration]) -> Plan:
    """Return a plan with what was estimated of each channel."""
    cameras = tuple(each.camera for each in channels)
    check_cameras(plan.method, cameras)
    levels = tuple(each.background_level for each in channels)
    fills = tuple(each.fill for each in channels)
    bounds = tuple(each.bounds for each in channels)
    plan = replace(plan, cameras=cameras, background_levels=levels, fills=fills, bounds=bounds)
    choices = [each.choice for each in channels if each.choice is not None]
    if not choices:
        return plan
    choice = min(choices, key=lambda each: each.signal_to_noise)  # NaN counts as any
    name = plan.method.describe().get("recipe", {}).get("name", "")
    options: ResolvedOptions = {**plan.options}
    if options["background"] == "auto":
        options["background"] = choice.background
    return replace(plan, choice=replace(choice, model=name), options=options)


def calibrate_channel(
    parts: Sequence[ArrayLike], channel: int, wanted: Wanted, layout: Layout
) -> ChannelCalibration:
    """Estimate what is asked for from some parts of a channel.

    Parameters
    ----------
    parts : sequence of array
        What boxes of `sample_boxes` hold.
    channel : int
        Which channel it is.
    wanted : Wanted
        What is asked for.
    layout : Layout
        Of the whole.
    """
    images = [ImageArray.from_array(part, layout.axes, layout.ndim) for part in parts]
    raw = [_read_plane(each)[: layout.samples] for each in images]
    raw = [each.reshape(len(each), *each.shape[-2:]) for each in raw]
    known = None if wanted.fills is None else wanted.fills[channel]
    fill = find_fill(raw, None if known is None else known.values)
    middles = slice(len(_middles(layout, channel)))
    images, raw = images[middles], raw[middles]
    masks = [fill_mask(each, fill) for each in raw]

    def counted(camera: CameraNoise | None = None) -> list[NDArray[np.float64]]:
        both = zip(images, masks, strict=True)
        return [np.where(mask, np.nan, single_plane(image, camera)) for image, mask in both]

    planes = counted()
    camera = wanted.cameras[channel]
    if isinstance(camera, str):
        camera = _estimate_camera([sample for plane in planes for sample in plane], camera)
    level = choice = None
    bounds = Bounds.of(planes, camera) if wanted.bounds else None
    if wanted.background:
        level = estimate_background(counted(camera), bounds)
    if wanted.choice:
        choice = choose_for_planes(planes)
    return ChannelCalibration(camera, level, choice, fill, bounds)


def sample_boxes(layout: Layout) -> list[list[Slices]]:
    """Return the boxes to look at: for each channel, the middles of a few planes.

    And the corners of one that is larger, which only fill is looked for in.
    """
    return [
        _middles(layout, channel) + _corners(layout, channel)
        for channel in range(layout.n_channels)
    ]


def _corners(layout: Layout, channel: int) -> list[Slices]:
    """Return the corners of the first plane that is looked at, if its middle is not all of it."""
    lengths = dict(zip(layout.axes, layout.shape, strict=True))
    if max(lengths["Y"], lengths["X"]) <= _SIDE:
        return []
    first = dict(zip(layout.axes, _middles(layout, channel)[0], strict=True))
    ends = {
        letter: [slice(max(0, end - _CORNER), end) for end in sorted({min(_CORNER, n), n})]
        for letter, n in lengths.items()
        if letter in "YX"
    }
    return [
        tuple({**first, "Y": rows, "X": columns}[letter] for letter in layout.axes)
        for rows in ends["Y"]
        for columns in ends["X"]
    ]


def _middles(layout: Layout, channel: int) -> list[Slices]:
    lengths = dict(zip(layout.axes, layout.shape, strict=True))
    stacked = {letter: lengths[letter] for letter in layout.axes if letter in "TZ"}
    total = int(np.prod(list(stacked.values())))
    count = min(_PLANES, total)
    boxes = []
    for number in range(count):
        index = np.unravel_index((2 * number + 1) * total // (2 * count), list(stacked.values()))
        box = {letter: slice(int(i), int(i) + 1) for letter, i in zip(stacked, index, strict=True)}
        box |= {letter: _middle(lengths[letter]) for letter in "YX"}
        box |= {"C": slice(channel, channel + 1), "S": slice(None)}
        boxes.append(tuple(box[letter] for letter in layout.axes))
    return boxes


def single_plane(image: ImageArray, camera: CameraNoise | None = None) -> NDArray[np.float64]:
    """Return the samples of an image of one plane, stabilized if its camera is known."""
    values = image.to_float64(_read_plane(image), camera)
    return values.reshape(len(values), *values.shape[-2:]) + (
        0 if camera else image.integer_offset
    )


def _read_plane(image: ImageArray) -> NDArray[Any]:
    (index,) = image.layout.images()
    return image.read(index, tuple(slice(0, length) for length in image.layout.image_shape))


def _estimate_camera(planes: Sequence[NDArray[np.float64]], asked: str) -> CameraNoise | None:
    """Estimate the camera's noise from planes; None if they do not tell, unless "any" will do."""
    try:
        return estimate_pooled_noise(planes)
    except InputError:
        return _constant_camera(planes) if asked == "any" else None


def _constant_camera(planes: Sequence[NDArray[np.float64]]) -> CameraNoise | None:
    """Return a camera whose noise is that of some planes at any light; None if there is none."""
    found = [noise_variance(plane[None]) for plane in planes]
    known = [variance for variance in found if variance > 0]  # not so NaN
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not known:
        return None
    return constant_noise(float(np.mean(known)) ** 0.5, float(values.min()), float(values.max()))


def _middle(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, min(length, start + _SIDE))
