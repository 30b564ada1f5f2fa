"""What a few planes of each channel tell before it is measured: camera noise and background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.arrays.layout import Layout, Region
from napari_noiser.arrays.stack import Background, Stack
from napari_noiser.arrays.storage import check_store
from napari_noiser.camera.noise_model import CameraNoise, even_noise, pooled_noise
from napari_noiser.camera.noise_variance import noise_variance
from napari_noiser.engine.background import Ground, found_ground
from napari_noiser.engine.plan import Work, check_cameras

__all__ = [
    "Found",
    "asked_cameras",
    "calibrated",
    "found_in",
    "plane_of",
    "sampled_boxes",
    "with_found",
]

_PLANES = 4  # of each channel
_SIDE = 1024
_FOUND = ("camera", "ground")


@dataclass(frozen=True)
class Found:
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
    ground: Ground | None


def calibrated(work: Work) -> Work:
    """Return the same work with all of it known that only its array can tell.

    Of each channel the middles of up to 4 planes are read, if there is something to be found.
    """
    if work.cameras is not None and (work.background == "gray" or work.grounds is not None):
        return work
    array, layout = work.stack.array, work.stack.layout
    parts = [[np.asarray(array[box]) for box in each] for each in sampled_boxes(layout)]
    check_store(array)
    asked = asked_cameras(work)
    found = [found_in(*each, layout, work.background) for each in zip(parts, asked, strict=True)]
    return with_found(work, found)


def asked_cameras(work: Work) -> tuple[CameraNoise | str | None, ...]:
    """Return what was asked for of each channel's camera: its noise, nothing, "auto" or "any".

    "any" where a method needs one: noise that does not grow with the light is one, too.
    """
    unknown = "any" if work.method.needs_camera else "auto"
    return (unknown,) * work.stack.layout.dyes if work.cameras is None else work.cameras


def with_found(work: Work, found: Sequence[Found]) -> Work:
    """Return the same work with what was found of each channel."""
    cameras, grounds = (tuple(getattr(each, name) for each in found) for name in _FOUND)
    check_cameras(work.method, cameras)
    return replace(work, cameras=cameras, grounds=grounds)


def found_in(
    parts: Sequence[ArrayLike],
    asked: CameraNoise | str | None,
    layout: Layout,
    background: Background,
) -> Found:
    """Return what some parts of a channel tell.

    Parameters
    ----------
    parts : sequence of array
        What boxes of `sampled_boxes` hold.
    asked : CameraNoise, "auto", "any" or None
        What the channel's camera is to be, as of `asked_cameras`.
    layout : Layout
        Of the whole.
    background : {"gray", "dark"}
        Whether it has to be found.
    """
    stacks = [Stack.of(part, layout.axes, layout.ndim) for part in parts]
    if isinstance(asked, str):
        planes = [plane for each in stacks for plane in plane_of(each)]
        camera = _estimated_camera(planes)
        if camera is None and asked == "any":
            camera = _camera_of_even_noise(planes)
    else:
        camera = asked
    if background == "gray":
        return Found(camera, None)
    return Found(camera, found_ground([plane_of(each, camera) for each in stacks]))


def sampled_boxes(layout: Layout) -> list[list[Region]]:
    """Return the boxes to look at: for each channel, the middles of a few planes."""
    return [_sampled_boxes(layout, dye) for dye in range(layout.dyes)]


def _sampled_boxes(layout: Layout, dye: int) -> list[Region]:
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
        place |= {"C": _one(dye), "S": slice(None)}
        boxes.append(tuple(place[letter] for letter in layout.axes))
    return boxes


def plane_of(stack: Stack, camera: CameraNoise | None = None) -> NDArray[np.float64]:
    """Return the samples of a stack of one plane, stabilized if its camera is known."""
    (image,) = stack.layout.images()
    raw = stack.read(image, tuple(slice(0, length) for length in stack.layout.image_shape))
    values = stack.exact(raw, camera)
    return values.reshape(len(values), *values.shape[-2:]) + (0 if camera else stack.zero)


def _estimated_camera(planes: Sequence[NDArray[np.float64]]) -> CameraNoise | None:
    try:
        return pooled_noise(planes)
    except ValueError:
        return None


def _camera_of_even_noise(planes: Sequence[NDArray[np.float64]]) -> CameraNoise | None:
    """Return a camera whose noise is that of some planes at any light; None if there is none."""
    found = [noise_variance(plane[None]) for plane in planes]
    known = [variance for variance in found if variance > 0]  # not so NaN
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not known:
        return None
    return even_noise(float(np.mean(known)) ** 0.5, float(values.min()), float(values.max()))


def _one(at: int) -> slice:
    return slice(at, at + 1)


def _middle(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, min(length, start + _SIDE))
