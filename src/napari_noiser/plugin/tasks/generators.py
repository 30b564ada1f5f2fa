"""What runs in the background: the engine's generators, strung together for a layer.

torch is imported inside the functions, on the worker's thread: it takes seconds, and Qt must not
wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_noiser._errors import InputError
from napari_noiser._progress import Event, PartDone, map_events
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form
from napari_noiser.plugin.layers.region import RegionSnapshot, statistics_mask
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import FitSettings, Settings
from napari_noiser.plugin.tasks.destinations import (
    TaskRequest,
    TaskResult,
    enhance_in_memory,
    enhance_live,
    enhance_on_disk,
)
from napari_noiser.plugin.tasks.errors import ImageError, describe_error

if TYPE_CHECKING:
    from napari_noiser.engine.fit import Fitted, State
    from napari_noiser.methods.noiser.model import NoiserModel

Regions = tuple[RegionSnapshot | None, RegionSnapshot | None, bool]
"""What counts, what is left out, and whether both hold on all planes."""


def train_task(
    recipe: Recipe, samples: int, ndim: int, device: str, seed: int
) -> Generator[Event, None, NoiserModel]:
    """Train a model as `napari_noiser.train_steps` does."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, samples=samples, ndim=ndim, device=device, seed=seed))


def fit_task(
    sources: Sequence[LayerSnapshot],
    settings: FitSettings,
    resume: State | None = None,
    keep: Callable[[State | None], object] = lambda state: None,
    gain_map: Sequence[Any] | None = None,
    regions: Regions = (None, None, False),
) -> Generator[Event, None, Fitted]:
    """Fit a model to layers' images as `napari_noiser.fit_steps` does.

    All have the axes that the settings say, and a gain map each, if the recipe takes some. Pixels
    count where `regions`, the first three arguments of a mask (`statistics_mask`), say so.
    `resume` is where an earlier fit, asked for alike, was canceled; `keep` gets the state that the
    fit is in when it is canceled after a step, or None, if `resume` cannot be gone on with.
    """
    from napari_noiser.engine.fit import prepare_fit

    images = [each.array for each in sources]
    with _naming(sources):
        try:
            include, leave_out, all_planes = regions
            mask = None
            if include is not None or leave_out is not None:
                mask = [
                    statistics_mask(include, leave_out, each, all_planes=all_planes)
                    for each in sources
                ]
            steps = yield from prepare_fit(
                images, gain_map=gain_map, mask=mask, resume=resume, **vars(settings)
            )
        except InputError:
            if resume is not None:
                keep(None)
            raise
    with closing(steps), _naming(sources):
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


def enhance_task(source: LayerSnapshot, settings: Settings) -> Generator[Event, None, TaskResult]:
    """Enhance or denoise a layer's image; train the model first, if settings have its recipe."""
    images = _check_images(source, settings)
    return (yield from _enhance_images(source, images, settings, {}))


def _check_images(source: LayerSnapshot, settings: Settings) -> tuple[ImageArray, ...]:
    """Return a layer's levels, checked before any work: else training would be in vain."""
    options = settings.resolved
    images = source.images(options["ndim"])
    images[0].layout.check_statistics(options["statistics"])
    return images


def _enhance_images(
    source: LayerSnapshot,
    images: tuple[ImageArray, ...],
    settings: Settings,
    trained: dict[int, NoiserModel],
) -> Generator[Event, None, TaskResult]:
    """Enhance or denoise a layer's levels.

    `trained` holds models that need not be trained again, by their samples; a new one is added.
    """
    options, layout = settings.resolved, images[0].layout
    companions = settings.companions(source, layout)
    new: NoiserModel | None = None
    model: Any = settings.resolved_model
    samples = layout.model_samples(options["colors"])
    recipe = recipe_to_train(settings, samples)
    if recipe is not None:
        samples = 1 if recipe.is_denoiser else samples  # it keeps colors: one by one is better
        if samples not in trained:
            new = trained[samples] = yield from train_task(
                recipe, samples, options["ndim"], options["device"], settings.seed
            )
        model = trained[samples]
    given = {**settings.options, **companions}
    request = TaskRequest(source, images, model, settings.verb, given, settings.layers)
    result = yield from _run(request, settings)
    return replace(result, trained=new)


def enhance_all(
    sources: Sequence[LayerSnapshot], settings: Settings
) -> Generator[Event, None, TaskResult]:
    """Enhance one image after the other with the same settings, each by its own moments.

    A model that has to be trained is trained once. Events are those of `enhance_task`, whose stage
    names the image if there are several; a `PartDone` with its result comes after each but the
    last, whose result is returned.
    """
    if len(sources) == 1:
        return (yield from enhance_task(sources[0], settings))
    trained: dict[int, NoiserModel] = {}
    checked = []
    for source in sources:
        with _naming_image(source):
            checked.append((source, _check_images(source, settings)))
    for done, (source, images) in enumerate(checked, start=1):
        with _naming_image(source):
            steps = _enhance_images(source, images, settings, trained)
            result = yield from map_events(steps, _with_stage_of(source))
        if done < len(sources):
            yield PartDone(done, len(sources), result)
    return result


def _with_stage_of(source: LayerSnapshot) -> Callable[[Any], Event]:
    return lambda event: replace(event, stage=f"{source.name}: {event.stage}")


@contextmanager
def _naming(sources: Sequence[LayerSnapshot]) -> Iterator[None]:
    """Call the image that an error counts by its layer's name."""
    try:
        yield
    except InputError as error:
        if error.index is None:
            raise
        names = [each.name for each in sources]
        raise ImageError(describe_error(error, names)) from error


@contextmanager
def _naming_image(source: LayerSnapshot) -> Iterator[None]:
    """Say of an error which image it is about."""
    try:
        yield
    except Exception as error:
        raise ImageError(f"{source.name}: {describe_error(error)}") from error


def recipe_to_train(settings: Settings, samples: int) -> Recipe | None:
    """Return the recipe that a model must be trained by first, if there is none yet."""
    model = settings.resolved_model
    if isinstance(model, Recipe):
        return model
    if not isinstance(model, str) or model not in RECIPES:
        return None
    return None if bundled_form(model, samples, settings.resolved["ndim"]) else RECIPES[model]


def _run(request: TaskRequest, settings: Settings) -> Generator[Event, None, TaskResult]:
    match settings.keep:
        case "live":
            return enhance_live(request)
        case "disk":
            return enhance_on_disk(request, settings.check_folder())
        case _:
            return enhance_in_memory(request)
