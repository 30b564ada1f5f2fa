"""What runs in the background: the core's generators, strung together for a layer.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_noiser.plugin.layers import ImageSource
from napari_noiser.plugin.settings import Settings
from napari_noiser.progress import Event

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model
    from napari_noiser.srm.recipe import Recipe

__all__ = ["Enhanced", "enhance_job", "train_job"]


@dataclass(frozen=True)
class Enhanced:
    """What an enhancement leaves: all that the result's layer takes.

    Attributes
    ----------
    array : array
        The result.
    provenance : dict
        How it was made.
    limits : pair of float
        Contrast limits.
    model : Model
        What rendered it.
    trained : bool
        Whether the model was trained on the way.
    """

    array: Any
    provenance: dict[str, Any]
    limits: tuple[float, float]
    model: Model
    trained: bool


def train_job(
    recipe: Recipe, channels: int, ndim: int, device: str, seed: int
) -> Generator[Event, None, Model]:
    """Train a model as `napari_noiser.train_steps` does."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, channels=channels, ndim=ndim, device=device, seed=seed))


def enhance_job(source: ImageSource, settings: Settings) -> Generator[Event, None, Enhanced]:
    """Enhance a layer's image; train the model first, if it is the name of one not bundled."""
    from napari_noiser.srm.model import BUNDLED
    from napari_noiser.srm.recipe import RECIPES
    from napari_noiser.stack.display import display_limits
    from napari_noiser.stack.enhance import render_steps
    from napari_noiser.stack.values import Stack
    from napari_noiser.stack.work import plan

    ndim, model = settings.ndim, settings.model
    layout = Stack.of(source.array, source.axes, ndim).layout
    layout.check_statistics(settings.statistics)  # before training, which would be in vain
    trained = model in RECIPES and (model, layout.samples, ndim) not in BUNDLED
    if trained:
        recipe = RECIPES[model]
        if settings.training_steps is not None:
            recipe = replace(recipe, iterations=settings.training_steps)
        model = yield from train_job(recipe, layout.samples, ndim, settings.device, settings.seed)
    work = plan(source.array, model, axes=source.axes, **settings.options)
    array = yield from render_steps(work)
    limits = display_limits(array, source.rgb)
    return Enhanced(array, work.describe(), limits, work.method, trained)
