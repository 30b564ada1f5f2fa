"""What runs in the background: the core's generators, strung together for a layer.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_noiser._errors import InputError
from napari_noiser._progress import Event, PartDone, map_events
from napari_noiser.plugin.layers.gain_map import gain_map_for
from napari_noiser.plugin.layers.region import statistics_mask
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import FitSettings, Settings
from napari_noiser.plugin.tasks.destinations import (
    TaskResult,
    enhance_in_memory,
    enhance_live,
    enhance_on_disk,
)
from napari_noiser.plugin.tasks.errors import ImageError

if TYPE_CHECKING:
    from napari_noiser.arrays.layout import Layout
    from napari_noiser.engine.fit_stages import Fitted, State
    from napari_noiser.methods.noiser.model import Model
    from napari_noiser.methods.noiser.recipe import Recipe

__all__ = ["enhance_all", "enhance_task", "fit_task", "recipe_to_train", "train_task"]


def train_task(
    recipe: Recipe, samples: int, ndim: int, device: str, seed: int
) -> Generator[Event, None, Model]:
    """Train a model as `napari_noiser.train_steps` does."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, samples=samples, ndim=ndim, device=device, seed=seed))


def fit_task(
    sources: Sequence[LayerSnapshot],
    settings: FitSettings,
    resume: State | None = None,
    keep: Callable[[State | None], object] = lambda state: None,
    gain: Sequence[Any] | None = None,
) -> Generator[Event, None, Fitted]:
    """Fit a model to layers' images as `napari_noiser.fit_steps` does.

    Parameters
    ----------
    sources : sequence of ImageSource
        All have the axes that the settings say.
    settings : FitSettings
        How.
    resume : FittingState or IRLEState, optional
        Where an earlier fit, asked for alike, was canceled.
    keep : callable
        Gets the state that the fit is in when it is canceled after a step; None, if `resume`
        cannot be gone on with.
    gain : sequence of array, optional
        A gain map for each of them, if the recipe takes some.
    """
    from napari_noiser import fit_steps

    images = [each.array for each in sources]
    with _told_by_name(sources):
        try:
            steps = fit_steps(images, gain=gain, resume=resume, **settings.options)
        except ValueError:
            if resume is not None:
                keep(None)
            raise
    with closing(steps), _told_by_name(sources):
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                yield event
            except GeneratorExit:
                keep(event.state())
                raise


def enhance_task(
    source: LayerSnapshot, settings: Settings, trained: dict[int, Model] | None = None
) -> Generator[Event, None, TaskResult]:
    """Enhance a layer's image; train the model first, if settings have but its recipe.

    Parameters
    ----------
    source : ImageSource
        What to enhance.
    settings : Settings
        How.
    trained : dict, optional
        Models that need not be trained again, by their channels; one trained here is added.
    """
    samples = _checked(source, settings).model_samples(settings.colors)
    mask = statistics_mask(
        settings.region, settings.leave_out, source, all_planes=settings.all_planes
    )
    gain = gain_map_for(settings, source)
    trained = {} if trained is None else trained
    new, model = None, settings.model
    recipe = recipe_to_train(settings, samples)
    if recipe is not None:
        samples = 1 if recipe.is_denoiser else samples  # it keeps colors: one by one is better
        if samples not in trained:
            new = trained[samples] = yield from train_task(
                recipe, samples, settings.ndim, settings.device, settings.seed
            )
        model = trained[samples]
    options = {**settings.options, "mask": mask, "gain": gain}
    enhanced = yield from _kept(source, model, settings, options)
    return replace(enhanced, provenance={**enhanced.provenance, **settings.layers}, trained=new)


def enhance_all(
    sources: Sequence[LayerSnapshot], settings: Settings
) -> Generator[Event, None, TaskResult]:
    """Enhance one image after the other with the same settings, each by its own moments.

    Parameters
    ----------
    sources : sequence of ImageSource
        One at least.
    settings : Settings
        For all of them; a model that has to be trained is trained once.

    Yields
    ------
    Event
        As of `enhance_task`; of several images the stage names the one. A `PartDone` with what it
        is enhanced to comes after each but the last.

    Returns
    -------
    Enhanced
        The last one.

    Raises
    ------
    ImageFailed
        If one of several images cannot be enhanced; those before it are finished.
    """
    if len(sources) == 1:
        return (yield from enhance_task(sources[0], settings))
    trained: dict[int, Model] = {}
    for source in sources:
        with _named(source):
            _checked(source, settings)  # before any work
    for done, source in enumerate(sources, start=1):
        with _named(source):
            enhanced = yield from map_events(
                enhance_task(source, settings, trained),
                lambda event, name=source.name: replace(event, stage=f"{name}: {event.stage}"),
            )
        if done < len(sources):
            yield PartDone(done, len(sources), enhanced)
    return enhanced


@contextmanager
def _told_by_name(sources: Sequence[LayerSnapshot]) -> Iterator[None]:
    """Say of an error which image it is about by its layer's name, not by its number."""
    try:
        yield
    except ValueError as error:
        names = [repr(each.name) for each in sources]
        told = re.sub(r"\bimages\[(\d+)\]", lambda found: names[int(found[1])], str(error))
        if told == str(error):
            raise
        raise InputError("", told) from error


@contextmanager
def _named(source: LayerSnapshot) -> Iterator[None]:
    """Say of an error which image it is about."""
    try:
        yield
    except Exception as error:
        raise ImageError(f"{source.name}: {error}") from error


def _checked(source: LayerSnapshot, settings: Settings) -> Layout:
    """Return an image's layout, if it goes with the settings: else training would be in vain."""
    from napari_noiser.arrays.image_array import ImageArray

    layout = ImageArray.from_array(source.array, source.axes, settings.ndim).layout
    layout.check_statistics(settings.statistics)
    return layout


def recipe_to_train(settings: Settings, samples: int) -> Recipe | None:
    """Return the recipe that a model must be trained by first, if there is none yet."""
    from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form

    model = settings.model
    if isinstance(model, Recipe):
        return model
    if model not in RECIPES or bundled_form(model, samples, settings.ndim):
        return None
    return RECIPES[model]


def _kept(
    source: LayerSnapshot, model: str | Model, settings: Settings, options: dict[str, Any]
) -> Generator[Event, None, TaskResult]:
    match settings.keep:
        case "live":
            return enhance_live(source, model, **options)
        case "disk":
            return enhance_on_disk(source, model, settings.results_folder, **options)
        case _:
            return enhance_in_memory(source, model, **options)
