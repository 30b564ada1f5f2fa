"""Structured noise to learn from: dead leaves and power-law fields.

Photographs and micrographs are made of things that hide each other, of all sizes, and of texture
without a scale. Random shapes whose sizes follow a power law, painted over each other, and random
fields whose spectrum follows one share those statistics. A network that learns to see *them*
through the noise of an exposure has learned what it needs, without a single image.

Dead leaves: Matheron 1968; as a prior for restoration: Achddou, Gousseau, Ladjal, "Synthetic
images as a regularity prior for image restoration neural networks", SSVM 2021. Learning from
procedural noise: Baradad et al., "Learning to See by Looking at Noise", NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_noiser._validation import check_fields, check_float, check_range
from napari_noiser.methods.noiser.adjacent_planes import draw_adjacent_planes
from napari_noiser.methods.noiser.noise_sources import (
    Floats,
    NoiseSource,
    log_uniform,
    power_law_field,
    rescale,
    smooth,
)

if TYPE_CHECKING:
    from numpy.random import Generator as Random
    from torch import Generator, Tensor

_SOFT = (0.05, 1.0)  # of a shape's radius, that its edge may be wide
_EMPTY = (0.0, 0.98)  # of an image, where some of it is empty
_REPLACED = (0.55, 0.35, 0.1)  # how often neighbors show another scene: nowhere, in part, alone


@dataclass(frozen=True)
class DrawnSource(NoiseSource):
    """A source that is drawn with numpy, image by image, as light from 0 upwards."""

    def fill(self, out: Tensor, generator: Generator) -> None:
        import torch

        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        random = np.random.default_rng(int(seed))
        for image in out:
            light = self.light(tuple(image.shape[1:]), image.shape[0], random)
            image.copy_(torch.from_numpy(2 * light - 1))

    def light(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        """Return an image of shape (samples, *shape) from 0 to about 1; highlights lie above."""
        raise NotImplementedError


@dataclass(frozen=True)
class DeadLeaves(DrawnSource):
    """Random shapes that hide each other, or shine through each other.

    Parameters
    ----------
    smallest : tuple of two floats
        The range of the radius of an image's smallest shapes, in pixels.
    exponent : tuple of two floats
        The range of the power by which the number of shapes falls with their radius.
    density : tuple of two floats
        The range of the number of shapes a pixel.
    elongation : float
        1 or more: how much longer than wide a shape may be.
    skew : float
        1 or more: how much rarer than dark ones bright shapes may be.
    texture : float
        0 or more: how strongly a shape's surface may vary.
    soft : float
        0 to 1: how often the edges of an image's shapes are soft, each in a width of its own.
    """

    smallest: tuple[float, float] = (1.0, 6.0)
    exponent: tuple[float, float] = (1.5, 3.0)
    density: tuple[float, float] = (0.001, 0.014)
    elongation: float = 10.0
    skew: float = 6.0
    texture: float = 0.25
    soft: float = 0.0
    kind: ClassVar[str] = "dead-leaves"

    def __post_init__(self) -> None:
        check_fields(self, check_range, "smallest", "exponent", "density")
        check_fields(self, check_float, "elongation", "skew", least=1.0)
        check_fields(self, check_float, "texture", least=0.0)
        check_fields(self, check_float, "soft", least=0.0, most=1.0)

    def light(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        count = round(log_uniform(self.density, random) * float(np.prod(shape))) + 1
        radii = self.radii(count, max(shape) / 2, random)
        if random.random() < 0.5:
            radii = np.sort(radii)[::-1]  # small shapes on top: nothing is quite hidden
        skew = log_uniform((1.0, self.skew), random)
        longest = random.choice([1.0, self.elongation**0.5, self.elongation])
        texture = random.choice([0.0, 0.4, 1.0]) * self.texture
        relief = np.exp(texture * power_law_field(shape, random.uniform(0.3, 1.8), random))
        paint: Callable[..., None] = _add if random.random() < 0.25 else _cover
        canvas = np.empty((samples, *shape), np.float32)
        canvas[:] = _color(samples, skew, random).reshape(-1, *(1 for _ in shape))
        turns = np.linalg.qr(random.standard_normal((count, len(shape), len(shape))))[0]
        edges = np.zeros(count)
        if self.soft and random.random() < self.soft:
            narrowest, widest = map(float, np.log(_SOFT))
            edges = np.exp(random.uniform(narrowest, widest, count))
            paint = _blend if paint is _cover else _add_part
        for radius, turn, edge in zip(radii, turns, edges, strict=True):
            axes = radius * _axes(longest, len(shape), random)
            box, inside = _leaf(shape, axes, turn, edge, random)
            colors = _color(samples, skew, random)
            for color, channel in zip(colors, canvas, strict=True):
                paint(channel[box], color * relief[box], inside)
        return canvas

    def radii(self, count: int, largest: float, random: Random) -> NDArray[np.float64]:
        """Draw from a power law between two radii, by inverting its cumulated distribution."""
        smallest, power = log_uniform(self.smallest, random), 1 - random.uniform(*self.exponent)
        low, high = smallest**power, max(smallest, largest) ** power
        drawn = low + random.random(count) * (high - low)
        return np.asarray(drawn ** (1 / power) if power else smallest + 0 * drawn)


@dataclass(frozen=True)
class PowerLaw(DrawnSource):
    """A random field whose amplitudes fall with frequency by a power law: clouds, haze, texture.

    Parameters
    ----------
    exponent : tuple of two floats
        The range of the power by which amplitudes fall; 1 is 1/f, larger ones are smoother.
    skew : tuple of two floats
        The range of how strongly the field is stretched towards rare, bright peaks.
    """

    exponent: tuple[float, float] = (0.8, 2.5)
    skew: tuple[float, float] = (0.3, 1.5)
    kind: ClassVar[str] = "power-law"

    def __post_init__(self) -> None:
        check_fields(self, check_range, "exponent", "skew")

    def light(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        clouds = power_law_field(shape, random.uniform(*self.exponent), random)
        clouds = np.exp(random.uniform(*self.skew) * clouds)
        tint = _color(samples, 1.0, random).reshape(-1, *(1 for _ in shape))
        return np.asarray(rescale(clouds) * tint, np.float32)


@dataclass(frozen=True)
class Structure(DrawnSource):
    """Dead leaves and power-law fields, mixed, smoothed, under haze, with strands and points.

    The planes of a volume are neighbors of one scene: see
    `napari_noiser.methods.noiser.adjacent_planes`. Leaves and fields are those of `DeadLeaves` and
    `PowerLaw` with their defaults.

    Parameters
    ----------
    share : float
        0 to 1: how often an image is made of leaves alone. Of the others, half are fields alone.
    blur : tuple of two floats
        The range of the standard deviation, in pixels, that most images are smoothed by, as by
        optics.
    haze : float
        0 to 1: how often an image has light from out of focus.
    points : float
        0 to 1: how often an image has points of light, as stars or spots.
    strands : float
        0 to 1: how often an image has bent lines of light, as fibers or cracks.
    soft : float
        0 to 1: how often the edges of leaves are soft.
    empty : float
        0 to 1: how often the darker part of leaves and fields, of any size, is empty.
    """

    share: float = 0.75
    blur: tuple[float, float] = (0.4, 3.0)
    haze: float = 0.4
    points: float = 0.3
    strands: float = 0.35
    soft: float = 0.0
    empty: float = 0.0
    kind: ClassVar[str] = "structure"

    def __post_init__(self) -> None:
        check_fields(self, check_range, "blur")
        shares = ("share", "haze", "points", "strands", "soft", "empty")
        check_fields(self, check_float, *shares, least=0.0, most=1.0)

    def light(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        if len(shape) == 2:
            return self._scene(shape, samples, random)
        scene = other = self._scene(shape[1:], samples, random)
        replaced = random.choice([0.0, random.random(), 1.0], p=_REPLACED)
        if replaced:
            other = self._scene(shape[1:], samples, random)
        return draw_adjacent_planes(scene, other, replaced, shape[0], random)

    def _scene(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        light = self._mixed(shape, samples, random)
        if self.empty and random.random() < self.empty:
            dark = np.quantile(light, random.uniform(*_EMPTY), axis=(1, 2), keepdims=True)
            light = np.maximum(light - dark, 0.0)
        if random.random() < self.strands:
            light = random.uniform(0.0, 1.0) * rescale(light) + _strands(shape, samples, random)
        if random.random() < 0.8:
            light = smooth(light, log_uniform(self.blur, random))
        if random.random() < self.haze:
            far = smooth(light, log_uniform((6.0, 30.0), random))
            light = light + random.uniform(0.1, 2.0) * far
        light = rescale(light)
        if random.random() < self.points:
            light = light + _points(shape, samples, random)
        return light

    def _mixed(self, shape: tuple[int, ...], samples: int, random: Random) -> Floats:
        chosen, leaves = random.random(), DeadLeaves(soft=self.soft)
        if chosen < self.share:
            return leaves.light(shape, samples, random)
        clouds = PowerLaw().light(shape, samples, random)
        if chosen < (1 + self.share) / 2:
            return clouds
        mixed = leaves.light(shape, samples, random)
        return np.asarray(mixed + random.uniform(0.2, 1.5) * clouds, np.float32)


def _leaf(
    shape: tuple[int, ...],
    axes: NDArray[np.float64],
    turn: NDArray[np.float64],
    edge: float,
    random: Random,
) -> tuple[tuple[slice, ...], NDArray[Any]]:
    """Return the bounding box of a shape, and its mask in that box.

    If there is an edge, a width over the radius, the mask rises over it from 0 to 1.
    """
    center = random.random(len(shape)) * shape
    reaches = np.linalg.norm(turn * axes[:, None], axis=0) * len(shape) ** 0.5 + 1
    box = tuple(
        slice(max(0, int(at - reach)), min(length, int(at + reach) + 1))
        for at, reach, length in zip(center, reaches, shape, strict=True)
    )
    from_center = np.ix_(
        *(np.arange(part.start, part.stop) - at for part, at in zip(box, center, strict=True))
    )
    along = [
        reduce(np.add, (part * weight for part, weight in zip(from_center, row, strict=True)))
        for row in turn / axes[:, None]
    ]
    form = int(random.random() * 4)
    if form == 0:
        farthest = reduce(np.maximum, map(np.abs, along))
        return box, _rise(1 - farthest, edge) if edge else np.asarray(farthest < 1)
    squared = reduce(np.add, map(np.square, along))
    shell = random.uniform(0.3, 0.9) if form == 1 and axes.min() > 4 else 0.0  # membranes, rings
    if edge:
        distance = np.sqrt(squared)
        outer = _rise(1 - distance, edge)
        return box, outer * _rise(distance - shell, edge) if shell else outer
    inside = squared < 1
    if shell:
        inside &= squared > shell
    return box, np.asarray(inside)


def _rise(depth: NDArray[np.float64], edge: float) -> Floats:
    """Return 0 outside and 1 from a depth of `edge` on, smoothly."""
    part = np.clip(depth / edge, 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def _axes(longest: float, ndim: int, random: Random) -> NDArray[np.float64]:
    """Return the half-axes of a shape of radius 1: one longer, the others shorter."""
    ratio = log_uniform((1.0, longest), random) ** 0.5
    return np.array([ratio, *(max(1 / ratio, 0.3) for _ in range(ndim - 1))])


def _cover(below: Floats, above: Floats, inside: NDArray[np.bool_]) -> None:
    np.copyto(below, above, where=inside)


def _add(below: Floats, above: Floats, inside: NDArray[np.bool_]) -> None:
    np.add(below, above, out=below, where=inside)


def _blend(below: Floats, above: Floats, part: Floats) -> None:
    below += part * (above - below)


def _add_part(below: Floats, above: Floats, part: Floats) -> None:
    below += part * above


def _color(samples: int, skew: float, random: Random) -> Floats:
    """Draw a color: a brightness, rarely a high one, and a tint around gray."""
    brightness = random.random() ** skew
    if samples == 1:
        return np.full(1, brightness, np.float32)
    tint = np.exp(0.3 * random.standard_normal(samples))
    return np.asarray(brightness * tint / tint.mean(), np.float32)


def _strands(shape: tuple[int, ...], samples: int, random: Random) -> Floats:
    """Return bent lines of light, each of one brightness, that cross and shine through."""
    count = random.integers(3, 60) * int(np.prod(shape)) // 2**14 + 1
    length = round(max(shape) * random.uniform(0.3, 1.5))
    bends = random.normal(0, log_uniform((0.005, 0.2), random), (count, length, len(shape)))
    bends[:, 0] = random.standard_normal((count, len(shape)))
    ways = np.cumsum(bends, axis=1)
    ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
    paths = np.cumsum(ways, axis=1)
    paths += random.uniform(0, shape, (count, 1, len(shape))) - paths.mean(axis=1, keepdims=True)
    light = np.zeros((samples, *shape))
    for path in paths:
        inside = ((path >= 0) & (path < shape)).all(axis=1)
        pixels = tuple(path[inside].astype(int).T)
        light[(slice(None), *pixels)] += _color(samples, 2.0, random)[:, None]
    return rescale(smooth(light, log_uniform((0.4, 2.5), random)))


def _points(shape: tuple[int, ...], samples: int, random: Random) -> Floats:
    """Return points of light of widely different brightness, as a lens spreads them."""
    count = random.integers(5, 200) * int(np.prod(shape)) // 2**16 + 1
    pixels = tuple(random.integers(0, length, count) for length in shape)
    light = np.zeros((samples, *shape))
    for channel, weight in zip(light, _color(samples, 0.0, random), strict=True):
        channel[pixels] = weight * (random.pareto(1.5, count) + 0.2)
    spread = smooth(light, random.uniform(0.7, 2.0))
    return np.asarray(spread / spread.max() * random.uniform(0.3, 2.0), np.float32)
