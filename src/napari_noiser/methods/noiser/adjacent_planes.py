"""Draw the neighbors of a scene in depth or in time: moved, blurred, or replaced in part.

A step in z or in time shows most of the same things at almost the same place. How far they moved,
whether together, how sharp they are and what is new there differs from image to image: a network
that sees planes with their neighbors has to find out how much of them to believe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.methods.noiser.noise_sources import (
    Floats,
    log_uniform,
    power_law_field,
    smooth,
)

if TYPE_CHECKING:
    from numpy.random import Generator as Random

_SPEED = (0.1, 4.0)  # pixels a plane
_DEFOCUS = (0.2, 2.0)  # pixels of standard deviation a plane away from focus
_FLICKER = (0.01, 0.2)
_SHARP = 0.1  # pixels: less of a blur does nothing


def draw_adjacent_planes(
    scene: Floats, other: Floats, replaced: float, depth: int, random: Random
) -> Floats:
    """Return planes of one scene, the middle one as it is but for its focus and brightness.

    Scenes are (C, Y, X) of light from 0 upwards; `other` has nothing to do with the first, and
    shows in a part, 0 to 1, of the neighbors, before, behind or both.
    """
    away, shape = np.arange(depth) - depth // 2, scene.shape[1:]
    motion, steady = _motion(shape, random), random.random() < 0.5
    new = _part(shape, replaced, random)
    sides = {-1, 1} if random.random() < 0.5 else {random.choice([-1, 1])}
    focus = random.uniform(away[0], away[-1])
    spread = log_uniform(_DEFOCUS, random) * random.integers(2)
    flicker = log_uniform(_FLICKER, random)
    volume = np.empty((len(scene), depth, *shape), np.float32)
    for at, step in enumerate(away):
        path = motion * (step if steady else random.standard_normal() * np.sign(step))
        plane = _displace(scene, path)
        if replaced and np.sign(step) in sides:
            plane = np.where(new, _displace(other, path), plane)
        blur = spread * abs(step - focus)
        plane = smooth(plane, blur) if blur > _SHARP else plane
        volume[:, at] = plane * np.exp(flicker * random.standard_normal())
    return volume


def _motion(shape: tuple[int, ...], random: Random) -> Floats:
    """Return how far each pixel moves along each axis: not at all, together, in parts, or bent."""
    speed = log_uniform(_SPEED, random) * (random.random() < 0.8)
    motion = np.zeros((2, *shape), np.float32)
    motion += random.normal(0, 0.7, (2, 1, 1))
    if random.random() < 0.5:
        motion += random.normal(0, 0.7, (2, 1, 1)) * _part(shape, random.random(), random)
    if random.random() < 0.5:
        motion += 0.5 * np.stack(
            [power_law_field(shape, random.uniform(2.0, 3.0), random) for _ in "YX"]
        )
    return np.asarray(speed * motion)


def _part(shape: tuple[int, ...], share: float, random: Random) -> NDArray[np.bool_]:
    """Draw a share of a plane, in large or in small patches."""
    height = power_law_field(shape, random.uniform(1.0, 2.5), random)
    return np.asarray(height <= np.quantile(height, share))


def _displace(light: Floats, path: NDArray[Any]) -> Floats:
    """Return light (C, Y, X) that comes from some pixels away, mirrored where it ends."""
    from scipy.ndimage import map_coordinates  # slow to import, and recipes are listed often

    if not path.any():
        return light
    origins = np.indices(light.shape[1:]) + path
    moved = [map_coordinates(channel, origins, order=3, mode="mirror") for channel in light]
    return np.asarray(np.maximum(moved, 0.0), np.float32)
