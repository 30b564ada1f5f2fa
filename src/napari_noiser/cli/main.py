"""The command line: `enhance`, `train` and `fit` files, with the arguments they have in Python.

It knows neither napari nor Qt; torch is imported only once there is something to compute.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_noiser._validation import same_axes
from napari_noiser.cli.console import (
    Terminated,
    between_steps,
    escaped,
    report,
    say,
    say_done,
    shown_progress,
    terminated_by_signal,
    warnings_said,
)
from napari_noiser.cli.parser import parser
from napari_noiser.cli.paths import (
    Maps,
    files_named,
    files_of,
    make_room,
    maps_of,
    paired,
    pairs_of,
)
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import RECIPES

__all__ = ["main"]

_DONE, _FAILED, _USAGE, _INTERRUPTED, _TERMINATED = 0, 1, 2, 130, 143

_ENHANCING = (
    *("ndim", "colors", "statistics", "camera", "repair", "max_change"),
    *("conserve", "background", "output"),
    *("brightness", "contrast", "device", "tile", "memory_limit", "dtype"),
)
_TRAINING = ("channels", "ndim", "device", "seed")
_FITTING = ("ndim", "camera", "repair", "device", "seed")
_RECIPE = ("iterations", "width")
_GOES_ON = {
    "enhance": "; what is finished is kept, the same command with --resume goes on",
    "fit": "; what was learned so far is kept, the same command with --resume goes on",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``napari-noiser``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process, if left out.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        By argparse: 2 after wrong usage, 0 after help.
    """
    escaped()
    asked = parser().parse_args(arguments)
    try:
        with terminated_by_signal():
            return _COMMANDS[asked.command](asked)
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        told = "terminated" if terminated else "interrupted"
        say(told + _GOES_ON.get(asked.command, ""))
        return _TERMINATED if terminated else _INTERRUPTED
    except (OSError, TypeError, ValueError) as error:
        report(error, asked.debug)
        return _USAGE


def _enhance(asked: Namespace) -> int:
    pairs = pairs_of(asked.source, asked.target, asked.to)
    if not asked.resume:
        _check_free([target for _, target in pairs])
    with warnings_said():
        options = _checked_options(asked)
        maps = maps_of([source for source, _ in pairs], mask=asked.mask, gain=asked.gain)
    done = [_enhance_one(*pair, asked, options, maps[pair[0]]) for pair in pairs]
    return _DONE if all(done) else _FAILED


def _enhance_one(
    source: Path, target: Path, asked: Namespace, options: Mapping[str, Any], maps: Maps
) -> bool:
    """Enhance an image into a file; if that fails, say why and return False."""
    from napari_noiser._progress import drain
    from napari_noiser.files.enhance_to_file import start_saving
    from napari_noiser.files.open_image import open_image

    try:
        with warnings_said(source.name):
            image = open_image(source, asked.axes)
            beside = {name: open_image(path).array for name, path in maps.items()}
            saving = start_saving(
                image.array,
                target,
                asked.model,
                space=image.space,
                resume=asked.resume,
                **options,
                **beside,
            )
            drain(saving.steps(), shown_progress(source.name, asked.quiet), source.name)
    except Exception as error:  # whatever is wrong with this one, the next may be well
        report(error, asked.debug, source.name)
        return False
    say_done(target)
    return True


def _train(asked: Namespace) -> int:
    target = _checked_model_file(asked.target)
    _check_free([target])
    from napari_noiser import load_model, train_steps
    from napari_noiser._progress import drain

    recipe = RECIPES[asked.recipe]
    if asked.iterations is not None:
        recipe = replace(recipe, iterations=asked.iterations)
    options = {name: getattr(asked, name) for name in _TRAINING}
    if asked.start is not None:
        options["start"] = load_model(asked.start, channels=asked.channels)
    with warnings_said():
        steps = train_steps(recipe, **options)
        make_room(target)
        model = drain(steps, shown_progress(target.name, asked.quiet), target.name)
    try:
        path = model.save(target)
    except OSError as error:
        report(error, asked.debug, target.name)
        return _FAILED
    say_done(path)
    return _DONE


def _fit(asked: Namespace) -> int:
    target = _checked_model_file(asked.target)
    with warnings_said():
        recipe = _recipe_to_fit(asked)
        if target.exists():
            return _left_alone(target, recipe, asked)
        from napari_noiser import fit_steps
        from napari_noiser._progress import drain
        from napari_noiser.files.fit_checkpoint import checkpoint_of, kept, load_checkpoint
        from napari_noiser.files.open_image import open_image

        files = files_of(asked.images)
        images = [open_image(path, asked.axes) for path in files]
        resume = load_checkpoint(target)
        if resume is not None and not asked.resume:
            raise FileExistsError(
                f"{checkpoint_of(target)} is unfinished: --resume goes on with it"
            )
        axes = same_axes((str(each.path), each.space.axes) for each in images)
        options = {name: getattr(asked, name) for name in _FITTING}
        arrays = [each.array for each in images]
        options |= {"gain": _gain_maps(asked, files), "resume": resume}
        with files_named(files):
            steps: Any = fit_steps(arrays, recipe, axes=axes, **options)
        make_room(target)
        try:
            with files_named(files), between_steps() as check:
                fitting = kept(steps, target, check)
                path = drain(fitting, shown_progress(target.name, asked.quiet), target.name)
        except Exception as error:
            report(error, asked.debug, target.name)
            return _FAILED
    say_done(path)
    return _DONE


def _recipe_to_fit(asked: Namespace) -> BlindSpotRecipe | IRLERecipe:
    given = asked.gain not in ("light", "none")
    options = {name: getattr(asked, name) for name in _RECIPE}
    recipe = BlindSpotRecipe(gain="given" if given else asked.gain, **options)
    if asked.stages == "denoise":
        return recipe
    if given:
        raise ValueError("--gain takes no maps with --stages both: stage 1 finds the gain")
    return IRLERecipe(denoiser=replace(recipe, gain="given"))


def _gain_maps(asked: Namespace, images: Sequence[Path]) -> Any:
    """Return the gain maps that are given, if any: one an image."""
    if asked.stages == "both" or asked.gain in ("light", "none"):
        return None
    from napari_noiser.files.open_image import open_image

    maps = paired(images, files_of([Path(asked.gain)]), "gain")
    return [open_image(path).array for path in maps]


def _left_alone(target: Path, recipe: BlindSpotRecipe | IRLERecipe, asked: Namespace) -> int:
    """Leave a finished model as it is, if it was asked for so; it must be alike."""
    from napari_noiser.methods.registry import load_model

    with suppress(ValueError):  # it is no model
        found = load_model(target)
        alike = (found.recipe, found.ndim, found.seed) == (recipe, asked.ndim, asked.seed)
        if asked.resume and alike:
            say(
                "it was finished before and is left as it is; whether its images, camera and "
                "repair are the same is not looked at",
                target.name,
            )
            say_done(target)
            return _DONE
    raise FileExistsError(f"{target} exists already: take another name, or delete it")


def _checked_model_file(target: Path) -> Path:
    if target.suffix != ".safetensors":
        raise ValueError(f"a model's name must end in .safetensors, got {target}")
    return target


def _check_free(targets: Sequence[Path]) -> None:
    """Raise a `FileExistsError` if anything is, finished or not, where a result is to go."""
    from napari_noiser.files.partial_output import Unfinished

    for target in targets:
        if target.exists():
            raise FileExistsError(f"{target} exists already: take another name, or delete it")
        if Unfinished(target).exists:
            raise FileExistsError(f"{target} is unfinished: --resume goes on with it")


def _checked_options(asked: Namespace) -> dict[str, Any]:
    """Return the options for all images, which were tried on an image of one pixel.

    So what is wrong with the options themselves is raised before all work, and the device, if it
    is to be found, is looked for once.

    Raises
    ------
    OSError, TypeError, ValueError
        As in `napari_noiser.enhance`.
    """
    import numpy as np

    from napari_noiser.engine.plan import plan
    from napari_noiser.methods.registry import load_model

    options = {name: getattr(asked, name) for name in _ENHANCING}
    together = 3 if "S" in (asked.axes or "") and asked.colors != "kept" else 1
    samples = load_model(asked.model, channels=together, ndim=asked.ndim).channels
    axes = asked.axes or ("TCZYX" if samples == 1 else "TCZYXS")  # any that an image may have
    shape = [samples if letter == "S" else 1 for letter in axes]
    gain = None if asked.gain is None else np.ones(())
    tried = plan(np.zeros(shape, np.float32), asked.model, axes=axes, gain=gain, **options)
    options["device"] = str(tried.room.device)
    return options


_COMMANDS = {"enhance": _enhance, "train": _train, "fit": _fit}
