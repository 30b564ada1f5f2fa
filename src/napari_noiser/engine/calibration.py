"""What a few planes of each channel tell before it is measured: camera noise and background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.arrays.image_array import Background, ImageArray
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.storage import check_store
from napari_noiser.camera.noise_model import CameraNoise, constant_noise, estimate_pooled_noise
from napari_noiser.camera.noise_variance import noise_variance
from napari_noiser.engine.background import BackgroundLevel, estimate_background
from napari_noiser.engine.plan import Plan, check_cameras

__all__ = [
    "ChannelCalibration",
    "calibrate",
    "calibrate_channel",
    "requested_cameras",
    "sample_boxes",
    "single_plane",
    "with_calibration",
]

_PLANES = 4  # of each channel
_SIDE = 1024
_FOUND = ("camera", "background_level")


@dataclass(frozen=True)
class ChannelCalibration:
    """What was found of a channel.

    Attributes
    ----------
    camera : CameraNoise, optional
        The given one or the estimated; None if it is not to be considered, or where variance
        does not grow with the mean.
    ground : Ground, optional
        Its background, if it is to be dark.
    """

    camera: CameraNoise | None
    background_level: BackgroundLevel | None


def calibrate(plan: Plan) -> Plan:
    """Return the same work with all of it known that only its array can tell.

    Of each channel the middles of up to 4 planes are read, if there is something to be found.
    """
    if plan.cameras is not None and (
        plan.background == "gray" or plan.background_levels is not None
    ):
        return plan
    array, layout = plan.image.array, plan.image.layout
    parts = [[np.asarray(array[box]) for box in each] for each in sample_boxes(layout)]
    check_store(array)
    asked = requested_cameras(plan)
    found = [
        calibrate_channel(*each, layout, plan.background)
        for each in zip(parts, asked, strict=True)
    ]
    return with_calibration(plan, found)


def requested_cameras(plan: Plan) -> tuple[CameraNoise | str | None, ...]:
    """Return what was asked for of each channel's camera: its noise, nothing, "auto" or "any".

    "any" where a method needs one: noise that does not grow with the light is one, too.
    """
    unknown = "any" if plan.method.requires_camera_noise else "auto"
    return (unknown,) * plan.image.layout.n_channels if plan.cameras is None else plan.cameras


def with_calibration(plan: Plan, found: Sequence[ChannelCalibration]) -> Plan:
    """Return the same work with what was found of each channel."""
    cameras, background_levels = (tuple(getattr(each, name) for each in found) for name in _FOUND)
    check_cameras(plan.method, cameras)
    return replace(plan, cameras=cameras, background_levels=background_levels)


def calibrate_channel(
    parts: Sequence[ArrayLike],
    asked: CameraNoise | str | None,
    layout: Layout,
    background: Background,
) -> ChannelCalibration:
    """Return what some parts of a channel tell.

    Parameters
    ----------
    parts : sequence of array
        What boxes of `sample_boxes` hold.
    asked : CameraNoise, "auto", "any" or None
        What the channel's camera is to be, as of `requested_cameras`.
    layout : Layout
        Of the whole.
    background : {"gray", "dark"}
        Whether it has to be found.
    """
    stacks = [ImageArray.from_array(part, layout.axes, layout.ndim) for part in parts]
    if isinstance(asked, str):
        planes = [plane for each in stacks for plane in single_plane(each)]
        camera = _estimated_camera(planes)
        if camera is None and asked == "any":
            camera = _camera_of_even_noise(planes)
    else:
        camera = asked
    if background == "gray":
        return ChannelCalibration(camera, None)
    return ChannelCalibration(
        camera, estimate_background([single_plane(each, camera) for each in stacks])
    )


def sample_boxes(layout: Layout) -> list[list[Slices]]:
    """Return the boxes to look at: for each channel, the middles of a few planes."""
    return [_sampled_boxes(layout, channel) for channel in range(layout.n_channels)]


def _sampled_boxes(layout: Layout, channel: int) -> list[Slices]:
    lengths = dict(zip(layout.axes, layout.shape, strict=True))
    stacked = [letter for letter in layout.axes if letter in "TZ"]
    total = int(np.prod([lengths[letter] for letter in stacked]))
    count = min(_PLANES, total)
    boxes = []
    for at in range(count):
        index = np.unravel_index(
            (2 * at + 1) * total // (2 * count), [lengths[letter] for letter in stacked]
        )
        place = {letter: _one(int(i)) for letter, i in zip(stacked, index, strict=True)}
        place |= {letter: _middle(lengths[letter]) for letter in "YX"}
        place |= {"C": _one(channel), "S": slice(None)}
        boxes.append(tuple(place[letter] for letter in layout.axes))
    return boxes


def single_plane(stack: ImageArray, camera: CameraNoise | None = None) -> NDArray[np.float64]:
    """Return the samples of a stack of one plane, stabilized if its camera is known."""
    (image,) = stack.layout.images()
    raw = stack.read(image, tuple(slice(0, length) for length in stack.layout.image_shape))
    values = stack.to_float64(raw, camera)
    return values.reshape(len(values), *values.shape[-2:]) + (
        0 if camera else stack.integer_offset
    )


def _estimated_camera(planes: Sequence[NDArray[np.float64]]) -> CameraNoise | None:
    try:
        return estimate_pooled_noise(planes)
    except ValueError:
        return None


def _camera_of_even_noise(planes: Sequence[NDArray[np.float64]]) -> CameraNoise | None:
    """Return a camera whose noise is that of some planes at any light; None if there is none."""
    found = [noise_variance(plane[None]) for plane in planes]
    known = [variance for variance in found if variance > 0]  # not so NaN
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not known:
        return None
    return constant_noise(float(np.mean(known)) ** 0.5, float(values.min()), float(values.max()))


def _one(at: int) -> slice:
    return slice(at, at + 1)


def _middle(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, min(length, start + _SIDE))
