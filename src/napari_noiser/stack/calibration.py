"""The camera's noise, estimated from a few planes of each channel of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from napari_noiser.camera.noise_model import CameraNoise, pooled_noise
from napari_noiser.stack.axes import Layout, Region
from napari_noiser.stack.sources import check_store
from napari_noiser.stack.values import Stack
from napari_noiser.stack.work import Work

__all__ = ["calibrated", "estimated_camera", "sampled_boxes"]

_PLANES = 4  # of each channel
_SIDE = 1024


def calibrated(work: Work) -> Work:
    """Return the same work with the cameras' noise estimated, if that is still to be done.

    Of each channel the middles of up to 4 planes are read. Where they do not tell how their
    variance grows with their mean, the camera is not considered.
    """
    if work.cameras is not None:
        return work
    array, layout = work.stack.array, work.stack.layout
    parts = [[np.asarray(array[box]) for box in each] for each in sampled_boxes(layout)]
    check_store(array)
    cameras = tuple(estimated_camera(each, layout) for each in parts)
    return replace(work, cameras=cameras)


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


def estimated_camera(parts: Sequence[ArrayLike], layout: Layout) -> CameraNoise | None:
    """Return the noise of the camera that took some planes, None where they do not tell.

    Parameters
    ----------
    parts : sequence of array
        What boxes of `sampled_boxes` hold. Each colour sample counts as a plane.
    layout : Layout
        Of the whole.
    """
    planes = []
    for part in parts:
        stack = Stack.of(part, layout.axes, layout.ndim)
        (image,) = stack.layout.images()
        raw = stack.read(image, tuple(slice(0, n) for n in stack.layout.image_shape))
        planes += [sample.reshape(sample.shape[-2:]) + stack.zero for sample in stack.exact(raw)]
    try:
        return pooled_noise(planes)
    except ValueError:
        return None


def _one(at: int) -> slice:
    return slice(at, at + 1)


def _middle(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, min(length, start + _SIDE))
