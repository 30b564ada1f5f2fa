"""Noise to learn from: Gaussian noise, a pure color, a palette of colors; and random fields.

A source fills a tensor that already exists, in place and from an explicit generator. So one
buffer serves all iterations (a captured CUDA graph needs that), the draw is reproducible,
and this file needs no torch to be imported: recipes can be listed in an instant.

Values live in [-1, 1], the range of the network's tanh; colors are given in [0, 1] as people
name them, and map by ``2c - 1``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_float, check_int

if TYPE_CHECKING:
    from numpy.random import Generator as Random
    from torch import Generator, Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NoiseSource(ABC):
    """What a recipe learns from; one subclass a kind of signal."""

    kind: ClassVar[str]

    @abstractmethod
    def fill(self, out: Tensor, generator: Generator) -> None:
        """Overwrite training images, (N, C, Y, X) or (N, C, Z, Y, X), with a fresh draw."""

    def check_samples(self, samples: int) -> None:  # noqa: B027 - most take any number
        """Raise a `ValueError` if this source cannot make an image of so many samples."""

    def to_dict(self) -> dict[str, Any]:
        """Return the source as JSON-able values, its kind among them."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class GaussianNoise(NoiseSource):
    """Independent normal noise in every pixel.

    Parameters
    ----------
    mean : tuple of float
        One value for all samples, or one a sample; the image's range is [-1, 1]. The result's
        mean is drawn to (mean + 1) / 2: -0.2 aims at 0.4, as mean_shifted_recipe(0.4) does.
    variance : float
        Greater than 0; 3 gives more contrast and less grain than 1. The paper's "noise level 3"
        is read as a variance.
    """

    mean: tuple[float, ...] = (0.0,)
    variance: float = 1.0
    kind: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        check_fields(self, _check_floats, "mean")
        check_fields(self, check_float, "variance", above=0.0)

    def check_samples(self, samples: int) -> None:
        _check_length("mean", self.mean, samples)

    def fill(self, out: Tensor, generator: Generator) -> None:
        out.normal_(0.0, self.variance**0.5, generator=generator)
        out.add_(_per_sample(self.mean, out))


@dataclass(frozen=True)
class PureColor(NoiseSource):
    """One constant color, the paper's c-regression: it binarizes, and shows why noise is needed.

    Parameters
    ----------
    color : tuple of float
        One value for all samples, or one a sample, each in [0, 1].
    """

    color: tuple[float, ...] = (0.0,)
    kind: ClassVar[str] = "pure-color"

    def __post_init__(self) -> None:
        check_fields(self, _check_floats, "color")
        if not all(0 <= value <= 1 for value in self.color):
            raise InputError("color", f"must lie in [0, 1], got {self.color!r}")

    def check_samples(self, samples: int) -> None:
        _check_length("color", self.color, samples)

    def fill(self, out: Tensor, generator: Generator) -> None:
        out.copy_(_per_sample(tuple(2 * value - 1 for value in self.color), out).expand_as(out))


@dataclass(frozen=True)
class Palette(NoiseSource):
    """A grid of patches of random colors, fresh in every iteration: the paper's p-regression.

    Parameters
    ----------
    grid : int
        Patches along each side, 1 or more. (The paper leaves the geometry open.)
    """

    grid: int = 4
    kind: ClassVar[str] = "palette"

    def __post_init__(self) -> None:
        check_fields(self, check_int, "grid")

    def fill(self, out: Tensor, generator: Generator) -> None:
        samples, spatial = out.shape[1], out.shape[2:]
        colors = out.new_empty((len(out), samples, *(self.grid for _ in spatial)))
        colors.uniform_(-1.0, 1.0, generator=generator)
        for axis, length in enumerate(spatial, start=2):
            patch = [at * self.grid // length for at in range(length)]
            colors = colors.index_select(axis, out.new_tensor(patch).long())
        out.copy_(colors)


def power_law_field(shape: tuple[int, ...], exponent: float, random: Random) -> Floats:
    """Return a normal random field of mean 0 and variance 1 with a power-law spectrum."""
    frequencies = [np.fft.fftfreq(length) for length in shape]
    squares = sum(each**2 for each in np.meshgrid(*frequencies, indexing="ij", sparse=True))
    squares.flat[0] = np.inf  # no mean
    white = np.fft.fftn(random.standard_normal(shape))
    drawn = np.fft.ifftn(white * squares ** (-exponent / 2)).real
    return np.asarray(drawn / drawn.std(), np.float32)


def smooth(light: NDArray[Any], deviation: float) -> Floats:
    """Return light of shape (C, ...) behind a Gaussian blur of a standard deviation."""
    from scipy.ndimage import gaussian_filter  # slow to import, and recipes are listed often

    return np.asarray(gaussian_filter(light, deviation, axes=tuple(range(1, light.ndim))))


def rescale(light: NDArray[Any]) -> Floats:
    """Move and scale to 0 and about 1; highlights lie above."""
    light = light - light.min()
    return np.asarray(light / (np.quantile(light, 0.999) + 1e-6), np.float32)


def log_uniform(span: Sequence[float], random: Random) -> float:
    """Draw a scale: all of its orders of magnitude are equally likely."""
    return exp(random.uniform(log(span[0]), log(span[1])))


def _check_floats(name: str, values: Any) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        values = (values,)
    numbers = tuple(check_float(name, value) for value in values)
    if not numbers:
        raise InputError(name, f"must hold one number or more, got {values!r}")
    return numbers


def _check_length(name: str, values: tuple[float, ...], samples: int) -> None:
    if len(values) not in (1, samples):
        raise InputError(
            name, f"must hold 1 value or one a sample ({samples}), got {len(values)}: {values}"
        )


def _per_sample(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, -1, *(1 for _ in like.shape[2:]))
