"""What runs in the background: the core's generators, strung together for a layer.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_noiser.plugin.keeping import Enhanced, keep_in_memory, keep_live, keep_on_disk
from napari_noiser.plugin.region import statistics_mask
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.source import ImageSource
from napari_noiser.progress import Event

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model
    from napari_noiser.srm.recipe import Recipe

__all__ = ["enhance_job", "to_train", "train_job"]


def train_job(
    recipe: Recipe, channels: int, ndim: int, device: str, seed: int
) -> Generator[Event, None, Model]:
    """Train a model as `napari_noiser.train_steps` does."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, channels=channels, ndim=ndim, device=device, seed=seed))


def enhance_job(source: ImageSource, settings: Settings) -> Generator[Event, None, Enhanced]:
    """Enhance a layer's image; train the model first, if settings have but its recipe."""
    from napari_noiser.stack.values import Stack

    ndim, model = settings.ndim, settings.model
    layout = Stack.of(source.array, source.axes, ndim).layout
    layout.check_statistics(settings.statistics)  # before training, which would be in vain
    mask = statistics_mask(
        settings.region, settings.leave_out, source, all_planes=settings.all_planes
    )
    recipe = to_train(settings, layout.samples)
    if recipe is not None:
        model = yield from train_job(recipe, layout.samples, ndim, settings.device, settings.seed)
    options = {**settings.options, "mask": mask}
    enhanced = yield from _kept(source, model, settings, options)
    provenance = {**enhanced.provenance, **settings.regions}
    return replace(enhanced, provenance=provenance, trained=recipe is not None)


def to_train(settings: Settings, samples: int) -> Recipe | None:
    """Return the recipe that a model must be trained by first, if there is none yet."""
    from napari_noiser.srm.model import BUNDLED
    from napari_noiser.srm.recipe import RECIPES, Recipe

    model = settings.model
    if isinstance(model, Recipe):
        return model
    if model not in RECIPES or (model, samples, settings.ndim) in BUNDLED:
        return None
    if settings.training_steps is None:
        return RECIPES[model]
    return replace(RECIPES[model], iterations=settings.training_steps)


def _kept(
    source: ImageSource, model: str | Model, settings: Settings, options: dict[str, Any]
) -> Generator[Event, None, Enhanced]:
    match settings.keep:
        case "live":
            return keep_live(source, model, **options)
        case "disk":
            return keep_on_disk(source, model, settings.results_folder, **options)
        case _:
            return keep_in_memory(source, model, **options)
