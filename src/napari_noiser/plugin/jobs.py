"""What runs in the background: the core's generators, strung together for a layer.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_noiser.plugin.keeping import Enhanced, keep_in_memory, keep_live, keep_on_disk
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.source import ImageSource
from napari_noiser.progress import Event

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model
    from napari_noiser.srm.recipe import Recipe

__all__ = ["enhance_job", "train_job"]


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
    from napari_noiser.stack.values import Stack

    ndim, model = settings.ndim, settings.model
    layout = Stack.of(source.array, source.axes, ndim).layout
    layout.check_statistics(settings.statistics)  # before training, which would be in vain
    trained = model in RECIPES and (model, layout.samples, ndim) not in BUNDLED
    if trained:
        recipe = RECIPES[model]
        if settings.training_steps is not None:
            recipe = replace(recipe, iterations=settings.training_steps)
        model = yield from train_job(recipe, layout.samples, ndim, settings.device, settings.seed)
    return replace((yield from _kept(source, model, settings)), trained=trained)


def _kept(
    source: ImageSource, model: str | Model, settings: Settings
) -> Generator[Event, None, Enhanced]:
    match settings.keep:
        case "live":
            return keep_live(source, model, **settings.options)
        case "disk":
            return keep_on_disk(source, model, settings.results_folder, **settings.options)
        case _:
            return keep_in_memory(source, model, **settings.options)
