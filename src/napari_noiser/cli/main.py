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

from napari_noiser._validation import check_same_axes
from napari_noiser.cli.console import (
    Terminated,
    defer_signals,
    escape_unencodable,
    print_error,
    print_message,
    print_path,
    print_warnings,
    progress_display,
    raise_on_sigterm,
)
from napari_noiser.cli.parser import make_parser
from napari_noiser.cli.paths import (
    Maps,
    files_named,
    find_images,
    input_output_pairs,
    make_parent_folder,
    maps_for_images,
    pair_maps,
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
_TRAINING = ("samples", "ndim", "device", "seed")
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
    escape_unencodable()
    args = make_parser().parse_args(arguments)
    try:
        with raise_on_sigterm():
            return _COMMANDS[args.command](args)
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        told = "terminated" if terminated else "interrupted"
        print_message(told + _GOES_ON.get(args.command, ""))
        return _TERMINATED if terminated else _INTERRUPTED
    except (OSError, TypeError, ValueError) as error:
        print_error(error, args.debug)
        return _USAGE


def _enhance(args: Namespace) -> int:
    pairs = input_output_pairs(args.source, args.target, args.to)
    if not args.resume:
        _check_free([target for _, target in pairs])
    with print_warnings():
        options = _checked_options(args)
        maps = maps_for_images([source for source, _ in pairs], mask=args.mask, gain=args.gain)
    done = [_enhance_one(*pair, args, options, maps[pair[0]]) for pair in pairs]
    return _DONE if all(done) else _FAILED


def _enhance_one(
    source: Path, target: Path, args: Namespace, options: Mapping[str, Any], maps: Maps
) -> bool:
    """Enhance an image into a file; if that fails, say why and return False."""
    from napari_noiser._progress import run_with_progress
    from napari_noiser.files.enhance_to_file import start_save
    from napari_noiser.files.open_image import open_image

    try:
        with print_warnings(source.name):
            image = open_image(source, args.axes)
            companion = {name: open_image(path).array for name, path in maps.items()}
            saving = start_save(
                image.array,
                target,
                args.model,
                space=image.space,
                resume=args.resume,
                **options,
                **companion,
            )
            run_with_progress(
                saving.steps(), progress_display(source.name, args.quiet), source.name
            )
    except Exception as error:  # whatever is wrong with this one, the next may be well
        print_error(error, args.debug, source.name)
        return False
    print_path(target)
    return True


def _train(args: Namespace) -> int:
    target = _checked_model_file(args.target)
    _check_free([target])
    from napari_noiser import load_model, train_steps
    from napari_noiser._progress import run_with_progress

    recipe = RECIPES[args.recipe]
    if args.iterations is not None:
        recipe = replace(recipe, iterations=args.iterations)
    options = {name: getattr(args, name) for name in _TRAINING}
    if args.start is not None:
        options["start"] = load_model(args.start, samples=args.samples)
    with print_warnings():
        steps = train_steps(recipe, **options)
        make_parent_folder(target)
        model = run_with_progress(steps, progress_display(target.name, args.quiet), target.name)
    try:
        path = model.save(target)
    except OSError as error:
        print_error(error, args.debug, target.name)
        return _FAILED
    print_path(path)
    return _DONE


def _fit(args: Namespace) -> int:
    target = _checked_model_file(args.target)
    with print_warnings():
        recipe = _recipe_to_fit(args)
        if target.exists():
            return _left_alone(target, recipe, args)
        from napari_noiser import fit_steps
        from napari_noiser._progress import run_with_progress
        from napari_noiser.files.fit_checkpoint import (
            checkpoint_path,
            load_checkpoint,
            run_with_checkpoints,
        )
        from napari_noiser.files.open_image import open_image

        files = find_images(args.images)
        images = [open_image(path, args.axes) for path in files]
        resume = load_checkpoint(target)
        if resume is not None and not args.resume:
            raise FileExistsError(
                f"{checkpoint_path(target)} is unfinished: --resume goes on with it"
            )
        axes = check_same_axes((str(each.path), each.space.axes) for each in images)
        options = {name: getattr(args, name) for name in _FITTING}
        arrays = [each.array for each in images]
        options |= {"gain": _gain_maps(args, files), "resume": resume}
        with files_named(files):
            steps: Any = fit_steps(arrays, recipe, axes=axes, **options)
        make_parent_folder(target)
        try:
            with files_named(files), defer_signals() as check:
                fitting = run_with_checkpoints(steps, target, check)
                path = run_with_progress(
                    fitting, progress_display(target.name, args.quiet), target.name
                )
        except Exception as error:
            print_error(error, args.debug, target.name)
            return _FAILED
    print_path(path)
    return _DONE


def _recipe_to_fit(args: Namespace) -> BlindSpotRecipe | IRLERecipe:
    given = args.gain not in ("light", "none")
    options = {name: getattr(args, name) for name in _RECIPE}
    recipe = BlindSpotRecipe(gain="given" if given else args.gain, **options)
    if args.stages == "denoise":
        return recipe
    if given:
        raise ValueError("--gain takes no maps with --stages both: stage 1 finds the gain")
    return IRLERecipe(denoiser=replace(recipe, gain="given"))


def _gain_maps(args: Namespace, images: Sequence[Path]) -> Any:
    """Return the gain maps that are given, if any: one an image."""
    if args.stages == "both" or args.gain in ("light", "none"):
        return None
    from napari_noiser.files.open_image import open_image

    maps = pair_maps(images, find_images([Path(args.gain)]), "gain")
    return [open_image(path).array for path in maps]


def _left_alone(target: Path, recipe: BlindSpotRecipe | IRLERecipe, args: Namespace) -> int:
    """Leave a finished model as it is, if it was asked for so; it must be alike."""
    from napari_noiser.methods.registry import load_model

    with suppress(ValueError):  # it is no model
        found = load_model(target)
        alike = (found.recipe, found.ndim, found.seed) == (recipe, args.ndim, args.seed)
        if args.resume and alike:
            print_message(
                "it was finished before and is left as it is; whether its images, camera and "
                "repair are the same is not looked at",
                target.name,
            )
            print_path(target)
            return _DONE
    raise FileExistsError(f"{target} exists already: take another name, or delete it")


def _checked_model_file(target: Path) -> Path:
    if target.suffix != ".safetensors":
        raise ValueError(f"a model's name must end in .safetensors, got {target}")
    return target


def _check_free(targets: Sequence[Path]) -> None:
    """Raise a `FileExistsError` if anything is, finished or not, where a result is to go."""
    from napari_noiser.files.partial_output import PartialOutput

    for target in targets:
        if target.exists():
            raise FileExistsError(f"{target} exists already: take another name, or delete it")
        if PartialOutput(target).exists:
            raise FileExistsError(f"{target} is unfinished: --resume goes on with it")


def _checked_options(args: Namespace) -> dict[str, Any]:
    """Return the options for all images, which were tried on an image of one pixel.

    So what is wrong with the options themselves is raised before all work, and the device, if it
    is to be found, is looked for once.

    Raises
    ------
    OSError, TypeError, ValueError
        As in `napari_noiser.enhance`.
    """
    import numpy as np

    from napari_noiser.engine.plan import make_plan
    from napari_noiser.methods.registry import load_model

    options = {name: getattr(args, name) for name in _ENHANCING}
    together = 3 if "S" in (args.axes or "") and args.colors != "kept" else 1
    samples = load_model(args.model, samples=together, ndim=args.ndim).samples
    axes = args.axes or ("TCZYX" if samples == 1 else "TCZYXS")  # any that an image may have
    shape = [samples if letter == "S" else 1 for letter in axes]
    gain = None if args.gain is None else np.ones(())
    tried = make_plan(np.zeros(shape, np.float32), args.model, axes=axes, gain=gain, **options)
    options["device"] = str(tried.device_memory.device)
    return options


_COMMANDS = {"enhance": _enhance, "train": _train, "fit": _fit}
