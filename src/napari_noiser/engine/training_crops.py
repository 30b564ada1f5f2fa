"""Random crops out of stacks of any size and kind: what each step of a fit sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices
from napari_noiser.arrays.reader import with_chunk_cache
from napari_noiser.arrays.sampling import sample_values
from napari_noiser.engine.device_memory import default_memory_limit
from napari_noiser.engine.plan import Plan
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts

Reading = Callable[[Plan, ImageIndex, Slices], NDArray[np.float64]]
"""Reads a region of one of a stack's images: (C, *spatial), NaN where it does not count."""

_LEAST_SIDE = 64
_LEAST_PIXELS = 2**16
_FEW_DRAWS, _MOST_DRAWS = 4, 5000  # of a crop that counts throughout; of one that will do
_LEAST_COUNTED = 0.25  # of each of a crop's planes, neighbors of what does not count left out


@dataclass(frozen=True)
class Crops:
    """Crops of stacks, turned and mirrored; those of a step follow from its number alone.

    The plans' cameras are known; a larger stack is seen more often. `side` is in pixels, `count`
    are the crops a step, and `read` (`stabilized`, `scale_levels`, `stack_pairs`) reads a region
    of a stack.
    """

    plans: Sequence[Plan]
    side: int
    count: int
    seed: int
    read: Reading

    @classmethod
    def of(
        cls,
        plans: Sequence[Plan],
        wanted: int,
        grid: int,
        count: int,
        seed: int,
        read: Reading,
    ) -> Crops:
        """Return crops of a side, or smaller ones where an image is; whole periods of a grid.

        What is read of arrays that are not in memory is held, as far as a quarter of it allows.
        """
        lengths = [length for plan in plans for length in plan.image.layout.image_shape[-2:]]
        most = default_memory_limit() // len(plans)
        cached = [_with_cache(plan, most) for plan in plans]
        return cls(cached, min(wanted, *lengths) // grid * grid, count, seed, read)

    def __call__(self, number: int) -> Tensor:
        """Return the crops of a step: (N, C, Y, X) or (N, C, 3, Y, X), in float32."""
        random = np.random.default_rng([self.seed, number])
        crops = [self._crop(random) for _ in range(self.count)]
        return torch.from_numpy(np.stack(crops))

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        """Return a crop that counts throughout, or the best of a few: NaN where it does not."""
        best, share, few = np.zeros(0), 0.0, 0
        for _ in range(_MOST_DRAWS):
            values = self._read_box(random)
            if values is None:
                continue
            few, counted = few + 1, _counted_share(np.isnan(values))
            if counted > share:
                best, share = values, counted
            if share == 1 or (few >= _FEW_DRAWS and share >= _LEAST_COUNTED):
                break
        else:
            masked = any(plan.mask is not None for plan in self.plans)
            raise InputError(
                "mask" if masked else "images",
                f"leaves too few pixels to fit to: of {self.side} x {self.side} there must be "
                f"{_LEAST_COUNTED:.0%} that count, with all their neighbors"
                if masked
                else "hold too little but fill to fit to",
            )
        turned = np.rot90(best, int(random.integers(4)), (-2, -1))
        mirrored = turned[..., ::-1] if random.integers(2) else turned
        return np.ascontiguousarray(mirrored, np.float32)

    def _read_box(self, random: np.random.Generator) -> NDArray[np.float64] | None:
        """Return what a random box of a random image holds, None if a mask leaves it out."""
        sizes = np.array([float(np.prod(plan.image.layout.shape)) for plan in self.plans])
        at = int(random.choice(len(self.plans), p=sizes / sizes.sum()))
        plan = self.plans[at]
        layout = plan.image.layout
        outer = [layout.shape[layout.axes.index(letter)] for letter in layout.outer]
        image = tuple(int(random.integers(length)) for length in outer)
        box = tuple(self._box(layout.image_shape, random))
        if plan.mask is not None:
            counted = layout.without_samples.read(plan.mask, image, box) != 0
            if _counted_share(~counted) < _LEAST_COUNTED:
                return None
        try:
            return self.read(plan, image, box)
        except InputError as error:
            if error.argument:
                raise
            raise error.about(index=at) from error

    def _box(self, shape: tuple[int, ...], random: np.random.Generator) -> Iterator[slice]:
        sides = (*(3,) * (len(shape) - 2), self.side, self.side)
        for length, side in zip(shape, sides, strict=True):
            start = int(random.integers(length - side + 1))
            yield slice(start, start + side)


def _with_cache(plan: Plan, most: int) -> Plan:
    """Return a plan that caches the chunks it reads, in so many bytes."""
    image = replace(plan.image, array=with_chunk_cache(plan.image.array, most))
    if plan.mask is None:
        return replace(plan, image=image)
    mask = replace(plan.mask, array=with_chunk_cache(plan.mask.array, most))
    return replace(plan, image=image, mask=mask)


def _counted_share(unknown: NDArray[np.bool_]) -> float:
    """Return how much of the plane that has least counts, all neighbors counting too."""
    if not unknown.any():
        return 1.0
    near = maximum_filter(unknown, (1,) * (unknown.ndim - 2) + (3, 3))
    return float(1 - near.mean(axis=(-2, -1)).max())


def check_sizes(layouts: Sequence[Layout]) -> None:
    """Raise an `InputError` if images are too small to fit a model to.

    Each has 64 pixels a side at least, all together 65,536, and volumes have 3 planes.
    """
    for at, layout in enumerate(layouts):
        *deep, height, width = layout.image_shape
        if min(height, width) < _LEAST_SIDE:
            raise InputError(
                "",
                f"has too few pixels: {_LEAST_SIDE} a side at least, got shape {layout.shape}",
                index=at,
            )
        if deep and deep[0] < 3:
            raise InputError(
                "",
                f"must have 3 planes at least along {layout.spatial[0]} for {{ndim}}, "
                f"got {deep[0]}",
                index=at,
                ndim=3,
            )
    pixels = sum(prod(layout.without_samples.shape) for layout in layouts)
    if pixels < _LEAST_PIXELS:
        raise InputError(
            "images",
            f"have too few pixels: {_LEAST_PIXELS} in all at least, got {pixels}; "
            "of fewer, the network learns the noise by heart",
        )


def check_values(stacks: Sequence[ImageArray]) -> None:
    """Raise an `InputError` if an image is constant or not finite, as a few of its values tell."""
    for at, stack in enumerate(stacks):
        (values,) = sample_values(stack.array, layout=stack.layout)
        known = values[np.isfinite(values)]
        if not known.size:
            raise InputError("", "must be finite throughout", index=at)
        if known.min() == known.max():
            raise InputError("", "is constant: there is nothing to learn", index=at)


def stabilized(black: float) -> Reading:
    """Return what reads (C, *spatial) with noise of a variance of 1, black taken off.

    With a gain map, its logarithm is one channel more.
    """

    def read(plan: Plan, image: ImageIndex, region: Slices) -> NDArray[np.float64]:
        channel = plan.image.layout.channel(image)
        camera = plan.camera(channel)
        if camera is None:
            raise InputError("camera", "must be known to even the noise out")
        counts = _read_counts(plan, image, region)
        values = StabilizedCounts(camera, black).stabilize(counts)
        if plan.gain_map is None:
            return values
        return np.concatenate([values, plan.gain_map.read_log(image, region)])

    return read


def scale_levels(black: float, white: float) -> Reading:
    """Return what reads (C, *spatial) so that these counts become 0 and 1."""

    def read(plan: Plan, image: ImageIndex, region: Slices) -> NDArray[np.float64]:
        return np.asarray((_read_counts(plan, image, region) - black) / (white - black))

    return read


def _read_counts(plan: Plan, image: ImageIndex, region: Slices) -> NDArray[np.float64]:
    """Return the counts in a region, (C, *spatial), NaN where they do not count."""
    layout = plan.image.layout
    raw, fill = plan.read(image, region, layout.channel(image), plan.mask)
    counts = plan.image.to_float64(raw) + plan.image.integer_offset
    left_out = np.zeros(counts.shape[1:], bool) if fill is None else fill
    if plan.mask is not None:
        left_out = left_out | (layout.without_samples.read(plan.mask, image, region)[0] == 0)
    if not np.isfinite(counts[:, ~left_out]).all():
        raise InputError("", "must be finite throughout")
    counts[:, left_out] = np.nan
    return counts


def stack_pairs(first: Reading, second: Reading) -> Reading:
    """Return what reads the channels of one way of reading, then of another."""
    return lambda *place: np.concatenate([first(*place), second(*place)])
