"""The commands `enhance`, `denoise`, `train` and `fit`, of files, with the arguments in Python.

It knows neither napari nor Qt; torch is imported only once there is something to compute.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noiser._errors import InputError
from napari_noiser._progress import run_with_progress
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
    find_images,
    input_output_pairs,
    make_parent_folder,
    maps_for_images,
    pair_maps,
)
from napari_noiser.engine.options import DEFAULT_MODEL, verb_options
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import IN_TRAINING, RECIPES

if TYPE_CHECKING:
    from napari_noiser.methods.base import Model

_DONE, _FAILED, _USAGE, _INTERRUPTED, _TERMINATED = 0, 1, 2, 130, 143

_TRAINING = ("samples", "ndim", "device", "seed")
_FITTING = ("ndim", "fill", "camera", "repair", "device", "seed")
_RESUME_HINTS = {
    **dict.fromkeys(
        ("enhance", "denoise"),
        "; what is finished is kept, the same command with --resume goes on",
    ),
    **dict.fromkeys(
        ("train", "fit"),
        "; what was learned so far is kept, the same command with --resume goes on",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``napari-noiser`` and return its exit code."""
    escape_unencodable()
    args = make_parser().parse_args(arguments)
    try:
        with raise_on_sigterm():
            return _COMMANDS[args.command](args)
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        reason = "terminated" if terminated else "interrupted"
        print_message(reason + _RESUME_HINTS.get(args.command, ""))
        return _TERMINATED if terminated else _INTERRUPTED
    except (InputError, OSError, MemoryError) as error:
        print_error(error, args)
        return _USAGE


def _process(args: Namespace) -> int:
    """Enhance or denoise an image, or all images of a folder."""
    pairs = input_output_pairs(args.source, args.target, args.to)
    if not args.resume:
        _check_free([target for _, target in pairs])
    offered = {name: each for name, each in verb_options(args.command).items() if each.help}
    given = {name: getattr(args, name) for name in offered if name != "axes"}  # of the file
    maps = {name: given.pop(name) for name in offered if offered[name].parse is Path}
    with print_warnings():
        options = _try_options(args, given)
        maps_of = maps_for_images([source for source, _ in pairs], **maps)
    done = [_process_one(*pair, args, options, maps_of[pair[0]]) for pair in pairs]
    return _DONE if all(done) else _FAILED


def _process_one(
    source: Path, target: Path, args: Namespace, options: Mapping[str, Any], maps: Maps
) -> bool:
    """Enhance or denoise an image into a file; if that fails, print why and return False."""
    from napari_noiser.files.enhance_to_file import start_save
    from napari_noiser.files.open_image import open_image

    try:
        with print_warnings(source.name):
            image = open_image(source, args.axes)
            task = start_save(
                image.array,
                target,
                args.model,
                args.command,
                space=image.space,
                resume=args.resume,
                **options,
                **{name: open_image(path).array for name, path in maps.items()},
            )
            run_with_progress(task.steps(), progress_display(source.name, args.quiet), source.name)
    except Exception as error:  # whatever is wrong with this one, the next may be well
        print_error(error, args, source.name)
        return False
    print_path(target)
    return True


def _try_options(args: Namespace, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for all images, which were tried on an image of one pixel.

    So what is wrong with the options themselves is raised before all work, and the device, if it
    is to be found, is looked for once.
    """
    import numpy as np

    from napari_noiser.engine.plan import make_plan
    from napari_noiser.methods.registry import load_model

    model = DEFAULT_MODEL if args.model == "auto" else args.model
    together = 3 if "S" in (args.axes or "") and options.get("colors") != "kept" else 1
    samples = load_model(model, samples=together, ndim=args.ndim).samples
    axes = args.axes or ("TCZYX" if samples == 1 else "TCZYXS")  # any that an image may have
    pixel = np.zeros([samples if letter == "S" else 1 for letter in axes], np.float32)
    gain_map = None if args.gain_map is None else np.ones(())
    plan = make_plan(pixel, model, args.command, axes=axes, gain_map=gain_map, **options)
    return {**options, "device": str(plan.device_memory.device)}


def _train(args: Namespace) -> int:
    from napari_noiser.files.fit_checkpoint import lock_model

    target = _check_model_path(args.target)
    with lock_model(target):
        return _train_locked(target, args)


def _train_locked(target: Path, args: Namespace) -> int:
    _check_free([target])
    from napari_noiser import load_model, train_steps
    from napari_noiser.files.fit_checkpoint import checkpoint_path, load_training_checkpoint

    recipe = {**RECIPES, **IN_TRAINING}[args.recipe]
    if args.iterations is not None:
        recipe = replace(recipe, iterations=args.iterations)
    options: dict[str, Any] = {name: getattr(args, name) for name in _TRAINING}
    if args.start is not None:
        options["start"] = load_model(args.start, samples=args.samples)
    resume = load_training_checkpoint(target)
    if resume is not None and not args.resume:
        raise FileExistsError(f"{checkpoint_path(target)} is unfinished: --resume goes on with it")
    with print_warnings():
        steps = train_steps(recipe, resume=resume, **options)
        make_parent_folder(target)
        return _run_to_model(steps, target, args)


def _run_to_model(
    steps: Generator[Any, None, Model], target: Path, args: Namespace, images: Any = ()
) -> int:
    """Run a fit or a training with checkpoints, and print the path of its model."""
    from napari_noiser.files.fit_checkpoint import run_with_checkpoints

    try:
        with defer_signals() as check:
            path = run_with_progress(
                run_with_checkpoints(steps, target, check),
                progress_display(target.name, args.quiet),
                target.name,
            )
    except Exception as error:
        print_error(error, args, target.name, images)
        return _FAILED
    print_path(path)
    return _DONE


def _fit(args: Namespace) -> int:
    from napari_noiser.files.fit_checkpoint import lock_model

    target = _check_model_path(args.target)
    with lock_model(target):
        return _fit_locked(target, args)


def _fit_locked(target: Path, args: Namespace) -> int:
    with print_warnings():
        recipe = _recipe_to_fit(args)
        if target.exists():
            return _keep_finished(target, recipe, args)
        from napari_noiser import fit_steps
        from napari_noiser.files.fit_checkpoint import (
            checkpoint_path,
            load_checkpoint,
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
        options: dict[str, Any] = {name: getattr(args, name) for name in _FITTING}
        options |= {"axes": axes, "gain_map": _gain_maps(args, files), "resume": resume}
        options |= {"mask": None if args.mask is None else _beside(files, args.mask, "mask")}
        try:
            steps: Any = fit_steps([each.array for each in images], recipe, **options)
        except InputError as error:
            print_error(error, args, images=files)
            return _USAGE
        make_parent_folder(target)
        return _run_to_model(steps, target, args, files)


def _recipe_to_fit(args: Namespace) -> BlindSpotRecipe | IRLERecipe:
    given = args.gain_map not in ("light", "none")
    recipe = BlindSpotRecipe(
        gain="given" if given else args.gain_map, iterations=args.iterations, width=args.width
    )
    if args.stages == "denoise":
        return recipe
    if given:
        raise InputError("gain_map", "takes no maps with --stages both: stage 1 finds the gain")
    return IRLERecipe(denoiser=replace(recipe, gain="given"))


def _gain_maps(args: Namespace, images: Sequence[Path]) -> Any:
    """Return the gain maps that are given, if any: one an image."""
    if args.stages == "both" or args.gain_map in ("light", "none"):
        return None
    return _beside(images, Path(args.gain_map), "gain_map")


def _beside(images: Sequence[Path], path: Path, kind: str) -> list[Any]:
    """Return what a file, or a folder, holds for each image."""
    from napari_noiser.files.open_image import open_image

    return [open_image(each).array for each in pair_maps(images, find_images([path]), kind)]


def _keep_finished(target: Path, recipe: BlindSpotRecipe | IRLERecipe, args: Namespace) -> int:
    """Leave a finished model as it is with --resume, if its recipe is the same."""
    from napari_noiser.methods.registry import load_model

    with suppress(ValueError):  # it is no model
        model = load_model(target)
        same = (model.recipe, model.ndim, model.seed) == (recipe, args.ndim, args.seed)
        if args.resume and same:
            print_message(
                "it was finished before and is left as it is; whether its images, camera and "
                "repair are the same is not looked at",
                target.name,
            )
            print_path(target)
            return _DONE
    raise FileExistsError(f"{target} exists already: take another name, or delete it")


def _check_model_path(target: Path) -> Path:
    if target.suffix != ".safetensors":
        raise InputError("", f"a model's name must end in .safetensors, got {target}")
    return target


def _check_free(targets: Sequence[Path]) -> None:
    """Raise a `FileExistsError` if anything is, finished or not, where a result is to go."""
    from napari_noiser.files.partial_output import PartialOutput

    for target in targets:
        if target.exists():
            raise FileExistsError(f"{target} exists already: take another name, or delete it")
        if PartialOutput(target).exists:
            raise FileExistsError(f"{target} is unfinished: --resume goes on with it")


_COMMANDS = {"enhance": _process, "denoise": _process, "train": _train, "fit": _fit}
