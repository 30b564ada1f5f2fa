"""A recipe: every number that decides what a self-regression network learns.

Training sees no data, so a recipe, a seed and a device determine the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import (
    check_bool,
    check_field_names,
    check_fields,
    check_float,
    check_int,
    check_ints,
    check_text,
    check_type,
)
from napari_noiser.methods.noiser.detector_noise import DetectorNoise
from napari_noiser.methods.noiser.exposure import Exposure, NoExposure, PhotonNoise
from napari_noiser.methods.noiser.noise_sources import (
    GaussianNoise,
    NoiseSource,
    Palette,
    PureColor,
)
from napari_noiser.methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

KINDS: Mapping[str, Mapping[str, type[NoiseSource] | type[Exposure]]] = {
    "source": {
        source.kind: source
        for source in (GaussianNoise, PureColor, Palette, DeadLeaves, PowerLaw, Structure)
    },
    "exposure": {exposure.kind: exposure for exposure in (NoExposure, PhotonNoise, DetectorNoise)},
}
"""The parts of a recipe that are of one kind or another, and their classes by kind."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a self-regression network (SRM) learns from, and how.

    The defaults are the paper's (arXiv 2211.04700): batch 1, Adam at a fixed rate, fresh noise
    in every iteration, L1 plus total variation. `dataclasses.replace` makes a changed copy.

    Parameters
    ----------
    name : str
        What the recipe and its model are called in menus and in a result's provenance.
    source : NoiseSource
        What is learned from: `GaussianNoise`, `PureColor` or `Palette` of the paper's
        studies, or structured noise: `DeadLeaves`, `PowerLaw`, or `Structure` of both.
    exposure : Exposure
        What becomes of the source before the network sees it: `NoExposure`, it learns to return
        what it sees, as in the paper; `PhotonNoise`, it learns to see light through noise;
        `DetectorNoise`, through all that microscopes add to it.
    iterations : int
        Steps of training, 1 or more. Stopped early (600) the result is grainier.
    symmetric : bool
        Whether the filters of the first layer stand in all flips and quarter turns, of a volume
        flipped in z as well, and for the samples in each cyclic order, and those of the second
        with them: a flipped or turned image, or one of other colors, is then enhanced to the
        flipped or turned result. False, the paper's form, moves and embosses structures, and
        casts a color. Only without an exposure.
    width : int
        Hidden channels, 1 or more; if symmetric, 8 (in volumes 16) times as many, which are
        `width` filters of one sample, `width` / `samples` of more, in all orientations. Of the
        paper's form 16 to 32 are equal, 8 and fewer lose quality; of a symmetric one 9.
    scales : tuple of int
        With an exposure: hidden channels at a half of the size, a quarter, and so on. Each
        scale lets the network look twice as far.
    coarser : int
        With an exposure, of planes: how often an image is binned by 2 x 2 in rendering, for what
        the network makes of that to correct the result. Training is the same.
    batch : int
        Images a step, 1 or more; several make each step surer and slower.
    size : int
        Side of a training image in pixels, for 2-D models; 3 or more. With an exposure it is
        rounded up to what the coarsest scale divides, and 3-D models learn from three such
        planes.
    size_3d : int
        Side of a training volume in voxels, for 3-D models without an exposure; 3 or more. (104,
        the paper's side, would hold a hundred times more voxels than 104 x 104 and teach the
        same.)
    learning_rate : float
        Adam's step size, above 0: how far each step of training goes. With an exposure, the
        highest of one cycle that ends near 0.
    warm_up : int
        Steps until the rate is highest; 0 for a twentieth of all. Of no effect without an
        exposure.
    decay : float
        Above 0, up to 1: the share of the steps, at their end, in which the rate falls; between
        warm-up and decay it is constant. Of no effect without an exposure.
    averaging : float
        0 or more, below 1: how much of a running mean of the weights each step keeps; the model
        has that mean. 0 for the weights of the last step.
    betas : tuple of two floats
        Adam's decay rates, each in [0, 1): how much a step keeps of those before it, in
        direction and in size.
    tv_weight : float
        Weight of the squared total variation of the output, 0 or more. 1 is decisive:
        without it the result is noisy, at 2 it is washed out. Of no effect with an exposure.

    Raises
    ------
    ValueError, TypeError
        If a value is outside its range; the message names the field.

    Examples
    --------
    >>> from dataclasses import replace
    >>> wide = replace(RECIPES["noiser"], name="wide", width=12)
    >>> Recipe.from_json(wide.to_json()) == wide
    True
    """

    name: str
    source: NoiseSource = field(default_factory=GaussianNoise)
    exposure: Exposure = field(default_factory=NoExposure)
    iterations: int = 2000
    symmetric: bool = False
    width: int = 18
    scales: tuple[int, ...] = ()
    coarser: int = 0
    batch: int = 1
    size: int = 104
    size_3d: int = 24
    learning_rate: float = 2e-4
    warm_up: int = 0
    decay: float = 1.0
    averaging: float = 0.0
    betas: tuple[float, float] = (0.5, 0.999)
    tv_weight: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, check_text, "name")
        check_fields(self, check_type, "source", kind=NoiseSource)
        check_fields(self, check_type, "exposure", kind=Exposure)
        check_fields(self, check_bool, "symmetric")
        check_fields(self, check_int, "iterations", "width", "batch")
        check_fields(self, _check_scales, "scales")
        check_fields(self, check_int, "coarser", least=0, most=4)
        check_fields(self, check_int, "size", "size_3d", least=3)
        check_fields(self, check_float, "learning_rate", above=0.0)
        check_fields(self, check_int, "warm_up", least=0)
        check_fields(self, check_float, "decay", above=0.0, most=1.0)
        check_fields(self, check_float, "averaging", least=0.0, below=1.0)
        check_fields(self, _check_betas, "betas")
        check_fields(self, check_float, "tv_weight", least=0.0)
        if self.symmetric and self.is_denoiser:
            raise InputError("symmetric", "must be False with an exposure, got True")

    @property
    def is_denoiser(self) -> bool:
        """Whether the network learns to denoise, not to return its input."""
        return not isinstance(self.exposure, NoExposure)

    def check_samples(self, samples: int) -> None:
        """Raise a `ValueError` if no model of so many samples can be trained by the recipe."""
        self.source.check_samples(samples)

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden channels at every scale of a denoiser."""
        return (self.width, *self.scales)

    @property
    def steady_steps(self) -> int:
        """After how many steps the rate begins to fall; 0 where warm-up depends on their number.

        Up to there a training of another number of steps is the same.
        """
        if not self.is_denoiser:
            return self.iterations
        return max(self.warm_up, int((1 - self.decay) * self.iterations)) if self.warm_up else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-able values."""
        return {
            **asdict(self),
            "source": self.source.to_dict(),
            "exposure": self.exposure.to_dict(),
            "scales": list(self.scales),
            "betas": list(self.betas),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from what `to_dict` returned.

        Raises
        ------
        ValueError
            If a field is missing, unknown or outside its range.
        """
        if "name" not in values:
            raise InputError("", f"a recipe needs a name, got {sorted(values)}")
        check_field_names(cls, values, "a recipe")
        parts = {name: part_from_dict(name, values[name]) for name in KINDS if name in values}
        return cls(**{**values, **parts})

    def to_json(self) -> str:
        """Return the recipe as one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Rebuild a recipe from what `to_json` returned."""
        return cls.from_dict(json.loads(text))

    def training_shape(self, samples: int, ndim: int) -> tuple[int, ...]:
        """Return the shape of one step's images: (N, C, Y, X) or (N, C, Z, Y, X).

        A denoiser of volumes sees a plane between its two neighbors.
        """
        if self.is_denoiser:  # all scales hold whole pixels
            side = self.size + -self.size % 2 ** len(self.scales)
            return (self.batch, samples, *(3,) * (ndim - 2), side, side)
        side = self.size if ndim == 2 else self.size_3d
        return (self.batch, samples, *(side for _ in range(ndim)))


def part_from_dict(name: str, values: Mapping[str, Any]) -> NoiseSource | Exposure:
    """Rebuild a source or an exposure, as `name` says, from what its `to_dict` returned."""
    given, kinds = dict(values), KINDS[name]
    kind = given.pop("kind", None)
    if kind not in kinds:
        raise InputError(name, f"kind must be one of {sorted(kinds)}, got {kind!r}")
    check_field_names(kinds[kind], given, f"{name} {kind!r}")
    return kinds[kind](**given)


def _check_scales(name: str, scales: Any) -> tuple[int, ...]:
    return check_ints(name, scales if isinstance(scales, (tuple, list)) else (scales,))


def _check_betas(name: str, betas: Any) -> tuple[float, ...]:
    if not isinstance(betas, (tuple, list)):
        raise InputTypeError(name, f"must be two numbers, got {betas!r}")
    if len(betas) != 2:
        raise InputError(name, f"must be two numbers, got {betas!r}")
    return tuple(check_float(name, beta, least=0.0, below=1.0) for beta in betas)


def mean_shifted_recipe(target: float | Sequence[float] | np.ndarray) -> Recipe:
    """Return the ms-noiser recipe that aims the output's mean at a target.

    Parameters
    ----------
    target : float or sequence of float
        The mean wanted in the result, in [0, 1]: one value, or one a sample. See `target_mean`
        to take it from an image.

    Returns
    -------
    Recipe
        Noise N(2 target - 1, 1). The output follows for targets of .4 to .6 and lags beyond
        (.3 gives about .34, .7 about .62).

    Raises
    ------
    ValueError
        If a target is outside [0, 1].

    Notes
    -----
    The paper names ms-noiser without its formula (arXiv 2211.04700); this is the natural form.
    """
    try:
        targets = np.atleast_1d(np.asarray(target, dtype=float))
    except (TypeError, ValueError):
        targets = np.array([np.nan])
    if targets.ndim != 1 or not bool(np.all((targets >= 0) & (targets <= 1))):
        raise InputError(
            "target", f"must be one number in [0, 1], or one a sample, got {target!r}"
        )
    source = GaussianNoise(mean=tuple(np.round(2 * targets - 1, 12)))
    one = len(np.unique(targets)) == 1  # which all samples can share
    return replace(_NOISER if one else Recipe(name="noiser"), name="ms-noiser", source=source)


def target_mean(reference: ArrayLike, *, samples: int = 1) -> tuple[float, ...]:
    """Return the mean of a well-exposed reference image, as a target for `mean_shifted_recipe`.

    Parameters
    ----------
    reference : array
        Any shape; the samples last if `samples` is above 1. Integers span their type's range
        (255 or 65535 is 1), floats lie in [0, 1].
    samples : int
        1 for one mean over everything, or the length of the last axis.

    Returns
    -------
    tuple of float
        `samples` numbers in [0, 1].

    Raises
    ------
    ValueError
        If the array is empty, its values leave [0, 1], or its last axis is not `samples` long.
    TypeError
        If the array holds neither integers nor floats.
    """
    image = np.asarray(reference)
    if image.dtype.kind not in "uif":
        raise InputTypeError("reference", f"must hold integers or floats, got {image.dtype}")
    if image.size == 0 or samples < 1 or (samples > 1 and image.shape[-1:] != (samples,)):
        raise InputError("reference", f"of shape {image.shape} does not hold {samples} samples")
    full = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1.0
    low, high = float(image.min()) / full, float(image.max()) / full
    if not (low >= 0 and high <= 1):  # so that NaN is refused, too
        raise InputError("reference", f"must lie in [0, 1] once scaled, it spans {low} to {high}")
    means = image.reshape(-1, samples).mean(axis=0, dtype=np.float64) / full
    return tuple(float(mean) for mean in means)


def as_recipe(recipe: str | Recipe) -> Recipe:
    """Return a recipe as it is, or the one of `RECIPES` that a name stands for."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str) and recipe in RECIPES:
        return RECIPES[recipe]
    raise InputError("recipe", f"must be a Recipe or one of {list(RECIPES)}, got {recipe!r}")


# Each filter learns in all its orientations at once, of a quarter of the paper's pixels: with
# about four times its hidden channels, a step takes as long.
_NOISER = Recipe(name="noiser", symmetric=True, width=9, size=52, size_3d=16)

_STRUCTURED = Recipe(
    name="structured",
    source=Structure(),
    exposure=PhotonNoise(),
    iterations=18_000,
    width=16,
    scales=(32, 56),
    batch=8,
    size=128,
    learning_rate=2e-3,
    betas=(0.9, 0.99),
)

_STRUCTURED_NEXT = replace(
    _STRUCTURED,
    name="structured-next",
    source=Structure(share=0.6, soft=0.5, empty=0.3),
    exposure=DetectorNoise(),
    iterations=100_000,
    warm_up=1_000,
    decay=0.2,
    averaging=0.9995,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _NOISER,
            replace(_NOISER, name="noiser-es", iterations=600),
            replace(_NOISER, name="noiser-var3", source=GaussianNoise(variance=3.0)),
            _STRUCTURED,
            replace(_STRUCTURED, name="structured-tiny", iterations=8_000, width=8, scales=(16,)),
            replace(_STRUCTURED, name="structured-large", width=32, scales=(64, 112)),
            mean_shifted_recipe(0.4),
            Recipe(name="c-regression", source=PureColor()),
            Recipe(name="p-regression", source=Palette()),
        )
    }
)
"""The paper's variants by name, and what goes beyond it: structured, in three sizes.

Those that enhance are symmetric, which the paper's are not: ``Recipe(name="noiser")`` is its form.
Its studies, c-regression and p-regression, have it.
ms-noiser aims at a mean of 0.4, c-regression learns black; structured-large wants a graphics card.
"""

IN_TRAINING: Mapping[str, Recipe] = MappingProxyType({_STRUCTURED_NEXT.name: _STRUCTURED_NEXT})
"""What bundled models are going to be: their training takes days, only the command line offers it.
"""

BUNDLED = (
    *(
        (name, samples, ndim)
        for name in ("noiser", "noiser-es", "noiser-var3")
        for samples, ndim in ((1, 2), (3, 2), (1, 3))
    ),
    ("structured", 1, 2),
    ("structured", 1, 3),
    ("structured-tiny", 1, 2),
)
"""The (recipe, samples, ndim) whose weights come with the package."""


def bundled_form(name: str, samples: int, ndim: int) -> tuple[str, int, int] | None:
    """Return which of `BUNDLED` serves a recipe's images of so many samples, if one does.

    A denoiser sees each sample alone: together they are one statistics group, so that colors
    keep their cast.
    """
    form = (name, 1 if RECIPES[name].is_denoiser else samples, ndim)
    return form if form in BUNDLED else None
