"""What a few planes of each channel tell before it is measured: camera noise and background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.storage import check_store
from napari_noiser.camera.noise_model import CameraNoise, constant_noise, estimate_pooled_noise
from napari_noiser.camera.noise_variance import noise_variance
from napari_noiser.engine.background import BackgroundLevel, estimate_background
from napari_noiser.engine.plan import Plan, check_cameras

_PLANES = 4  # of each channel
_SIDE = 1024


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
    """

    camera: CameraNoise | None
    background_level: BackgroundLevel | None


def calibrate(plan: Plan) -> Plan:
    """Return a plan with all of it known that only its array can tell.

    Of each channel the middles of up to 4 planes are read, if there is something to estimate.
    """
    dark_known = not plan.darkens_background or plan.background_levels is not None
    if plan.cameras is not None and dark_known:
        return plan
    array, layout = plan.image.array, plan.image.layout
    parts = [[np.asarray(array[box]) for box in each] for each in sample_boxes(layout)]
    check_store(array)
    channels = [
        calibrate_channel(part, camera, layout, plan.darkens_background)
        for part, camera in zip(parts, requested_cameras(plan), strict=True)
    ]
    return with_calibration(plan, channels)


def requested_cameras(plan: Plan) -> tuple[CameraNoise | str | None, ...]:
    """Return what was asked for of each channel's camera: its noise, nothing, "auto" or "any".

    "any" where a method needs one: noise that does not grow with the light is one, too.
    """
    unknown = "any" if plan.method.traits.requires_camera_noise else "auto"
    return (unknown,) * plan.image.layout.n_channels if plan.cameras is None else plan.cameras


def with_calibration(plan: Plan, channels: Sequence[ChannelCalibration]) -> Plan:
    """Return a plan with what was estimated of each channel."""
    cameras = tuple(each.camera for each in channels)
    check_cameras(plan.method, cameras)
    levels = tuple(each.background_level for each in channels)
    return replace(plan, cameras=cameras, background_levels=levels)


def calibrate_channel(
    parts: Sequence[ArrayLike],
    camera: CameraNoise | str | None,
    layout: Layout,
    find_background: bool,
) -> ChannelCalibration:
    """Estimate what is asked for from some parts of a channel.

    Parameters
    ----------
    parts : sequence of array
        What boxes of `sample_boxes` hold.
    camera : CameraNoise, "auto", "any" or None
        What the channel's camera is to be, as of `requested_cameras`.
    layout : Layout
        Of the whole.
    find_background : bool
        Whether the background is estimated.
    """
    images = [ImageArray.from_array(part, layout.axes, layout.ndim) for part in parts]
    if isinstance(camera, str):
        camera = _estimate_camera(
            [plane for each in images for plane in single_plane(each)], camera
        )
    if not find_background:
        return ChannelCalibration(camera, None)
    planes = [single_plane(each, camera) for each in images]
    return ChannelCalibration(camera, estimate_background(planes))


def sample_boxes(layout: Layout) -> list[list[Slices]]:
    """Return the boxes to look at: for each channel, the middles of a few planes."""
    return [_boxes_of_channel(layout, channel) for channel in range(layout.n_channels)]


def _boxes_of_channel(layout: Layout, channel: int) -> list[Slices]:
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
    (index,) = image.layout.images()
    raw = image.read(index, tuple(slice(0, length) for length in image.layout.image_shape))
    values = image.to_float64(raw, camera)
    return values.reshape(len(values), *values.shape[-2:]) + (
        0 if camera else image.integer_offset
    )


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
