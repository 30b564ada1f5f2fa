"""What runs in the background: the core's generators, strung together for a layer.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_noiser._progress import Event, PartDone, mapped
from napari_noiser.plugin.layers.gain_map import gain_of
from napari_noiser.plugin.layers.region import statistics_mask
from napari_noiser.plugin.layers.snapshot import ImageSource
from napari_noiser.plugin.settings import FitSettings, Settings
from napari_noiser.plugin.tasks.destinations import (
    Enhanced,
    keep_in_memory,
    keep_live,
    keep_on_disk,
)
from napari_noiser.plugin.tasks.errors import ImageFailed

if TYPE_CHECKING:
    from napari_noiser.arrays.layout import Layout
    from napari_noiser.engine.fit_stages import Fitted, State
    from napari_noiser.methods.noiser.model import Model
    from napari_noiser.methods.noiser.recipe import Recipe

__all__ = ["enhance_each", "enhance_job", "fit_job", "to_train", "train_job"]


def train_job(
    recipe: Recipe, channels: int, ndim: int, device: str, seed: int
) -> Generator[Event, None, Model]:
    """Train a model as `napari_noiser.train_steps` does."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, channels=channels, ndim=ndim, device=device, seed=seed))


def fit_job(
    sources: Sequence[ImageSource],
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


def enhance_job(
    source: ImageSource, settings: Settings, trained: dict[int, Model] | None = None
) -> Generator[Event, None, Enhanced]:
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
    channels = _checked(source, settings).channels(settings.colors)
    mask = statistics_mask(
        settings.region, settings.leave_out, source, all_planes=settings.all_planes
    )
    gain = gain_of(settings, source)
    trained = {} if trained is None else trained
    new, model = None, settings.model
    recipe = to_train(settings, channels)
    if recipe is not None:
        channels = 1 if recipe.restores else channels  # it keeps colors: one by one is better
        if channels not in trained:
            new = trained[channels] = yield from train_job(
                recipe, channels, settings.ndim, settings.device, settings.seed
            )
        model = trained[channels]
    options = {**settings.options, "mask": mask, "gain": gain}
    enhanced = yield from _kept(source, model, settings, options)
    return replace(enhanced, provenance={**enhanced.provenance, **settings.layers}, trained=new)


def enhance_each(
    sources: Sequence[ImageSource], settings: Settings
) -> Generator[Event, None, Enhanced]:
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
        As of `enhance_job`; of several images the stage names the one. A `PartDone` with what it
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
        return (yield from enhance_job(sources[0], settings))
    trained: dict[int, Model] = {}
    for source in sources:
        with _named(source):
            _checked(source, settings)  # before any work
    for done, source in enumerate(sources, start=1):
        with _named(source):
            enhanced = yield from mapped(
                enhance_job(source, settings, trained),
                lambda event, name=source.name: replace(event, stage=f"{name}: {event.stage}"),
            )
        if done < len(sources):
            yield PartDone(done, len(sources), enhanced)
    return enhanced


@contextmanager
def _told_by_name(sources: Sequence[ImageSource]) -> Iterator[None]:
    """Say of an error which image it is about by its layer's name, not by its number."""
    try:
        yield
    except ValueError as error:
        names = [repr(each.name) for each in sources]
        told = re.sub(r"\bimages\[(\d+)\]", lambda found: names[int(found[1])], str(error))
        if told == str(error):
            raise
        raise ValueError(told) from error


@contextmanager
def _named(source: ImageSource) -> Iterator[None]:
    """Say of an error which image it is about."""
    try:
        yield
    except Exception as error:
        raise ImageFailed(f"{source.name}: {error}") from error


def _checked(source: ImageSource, settings: Settings) -> Layout:
    """Return an image's layout, if it goes with the settings: else training would be in vain."""
    from napari_noiser.arrays.stack import Stack

    layout = Stack.of(source.array, source.axes, settings.ndim).layout
    layout.check_statistics(settings.statistics)
    return layout


def to_train(settings: Settings, channels: int) -> Recipe | None:
    """Return the recipe that a model must be trained by first, if there is none yet."""
    from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form

    model = settings.model
    if isinstance(model, Recipe):
        return model
    if model not in RECIPES or bundled_form(model, channels, settings.ndim):
        return None
    return RECIPES[model]


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
