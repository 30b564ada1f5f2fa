"""The parser of the command line: its options are the arguments in Python, with their defaults."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_noiser import __version__
from napari_noiser._errors import InputError
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.engine.options import Option, Verb, camera_from_text, verb_options
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.noiser.recipe import IN_TRAINING, RECIPES

_EXIT_CODES = """\
exit codes:
  0    all is done
  1    it failed; of a folder, at least one image: the others are done
  2    the command is wrong, nothing was begun
  130  interrupted by Ctrl-C
  143  terminated (SIGTERM, which SLURM sends before it kills)

The path of each finished result goes to stdout, all else to stderr.
"""

_RESUMING = """
While a result is being made it lies in OUT.partial. After any end, a kill included, the same
command with --resume goes on with it.
"""

_RESUMING_FIT = """
How far it is lies in NAME.partial.safetensors, written once a minute and when it is stopped.
The same command with --resume goes on with it.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Results are named as the arguments of `enhance`, `denoise`, `train` and `fit`; besides these
    there are command, source, images, target, recipe, stages, iterations, width, to, resume, quiet
    and debug.
    """
    parser = argparse.ArgumentParser(
        "napari-noiser",
        description="Make dim images and stacks visible without any training data.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    display = "Make an image, or a folder of images, visible: a display from 0 to 1."
    light = "Take the noise off an image, or a folder of images, to measure on: linear light."
    for name, add, text, more in (
        ("enhance", partial(_add_verb, verb="enhance"), display, _RESUMING),
        ("denoise", partial(_add_verb, verb="denoise"), light, _RESUMING),
        ("train", _add_train, "Train a model of your own on noise, in seconds.", _RESUMING_FIT),
        ("fit", _add_fit, "Fit a model to your own noisy images alone.", _RESUMING_FIT),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=_EXIT_CODES + more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(command)
        command.add_argument("--quiet", action="store_true", help="show no progress")
        command.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def add_options(command: argparse.ArgumentParser, options: Mapping[str, Option]) -> None:
    """Add those options that have a help text, under their names in Python."""
    for name, option in options.items():
        if option.help:
            _add_option(command, name, option)


def _add_option(command: argparse.ArgumentParser, name: str, option: Option) -> None:
    flag, text = f"--{name.replace('_', '-')}", option.help.replace("%", "%%")
    if isinstance(option.default, bool):
        action = argparse.BooleanOptionalAction
        command.add_argument(flag, action=action, default=option.default, help=text)
        return
    command.add_argument(
        flag,
        type=_argparse_type(name, option.parse),
        default=option.default,
        choices=None if option.open else option.choices or None,
        metavar=option.metavar,
        help=text if option.default is None else f"{text} (default: %(default)s)",
    )


def _argparse_type(name: str, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parse function whose errors argparse shows."""

    def parse_text(text: str) -> Any:
        try:
            return parse(text)
        except InputError as error:
            problem = error.problem if error.argument == name else str(error)
            raise argparse.ArgumentTypeError(problem) from error

    parse_text.__name__ = parse.__name__  # "invalid float value"
    return parse_text


def _add_verb(command: argparse.ArgumentParser, verb: Verb) -> None:
    add = command.add_argument
    add("source", type=Path, metavar="IN", help="a TIFF, OME-Zarr, zarr or .npy; or a folder")
    add(
        "target",
        type=Path,
        metavar="OUT",
        help="NAME.zarr (OME-Zarr with a pyramid), NAME.tif (OME-TIFF); for a folder a folder",
    )
    add("--model", default="auto", help="a name, or a .safetensors file (default: %(default)s)")
    add_options(command, verb_options(verb))
    add("--to", choices=("zarr", "tif"), help="kind of a folder's results (default: as they were)")
    add(
        "--resume",
        action="store_true",
        help="go on with what is unfinished, leave what is finished",
    )


def _add_train(command: argparse.ArgumentParser) -> None:
    add, options = command.add_argument, verb_options("enhance")
    add(
        "recipe",
        choices=[*RECIPES, *IN_TRAINING],
        metavar="RECIPE",
        help=f"one of {', '.join(RECIPES)}",
    )
    add("target", type=Path, metavar="OUT", help="NAME.safetensors")
    add(
        "--samples",
        type=int,
        choices=(1, 3),
        default=1,
        help="1 gray, 3 RGB (default: %(default)s)",
    )
    ndim = replace(options["ndim"], help="2 for planes, 3 for volumes")
    add_options(command, {"ndim": ndim, "device": options["device"]})
    _add_seed(command)
    add(
        "--iterations",
        "--steps",
        type=int,
        metavar="N",
        help="how many steps (default: what the recipe says)",
    )
    add(
        "--start",
        metavar="MODEL",
        help="a bundled name or a file to begin from: for volumes, a model of planes",
    )
    add("--resume", action="store_true", help="go on with a training that was stopped")


def _add_fit(command: argparse.ArgumentParser) -> None:
    add, recipe = command.add_argument, BlindSpotRecipe()
    add(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="TIFF, OME-Zarr, zarr, .npy, or folders of them; all of the same axes",
    )
    add("target", type=Path, metavar="MODEL", help="NAME.safetensors")
    add(
        "--stages",
        choices=("denoise", "both"),
        default="denoise",
        help="denoise fits a blind spot; both fits illumination before, guiding the blind spot "
        "(default: %(default)s)",
    )
    add("--iterations", type=int, default=recipe.iterations, help="steps (default: %(default)s)")
    add("--width", type=int, default=recipe.width, help="of the network (default: %(default)s)")
    add(
        "--gain-map",
        default=recipe.gain,
        metavar="GAIN",
        help="what guides the network: light, the image's own; the file of a gain map for all "
        "images, or a folder of one for each, of its name, or in their order if no name is the "
        "same; or none (default: %(default)s)",
    )
    options = verb_options("denoise")
    changed = {
        "ndim": replace(options["ndim"], help="2 sees planes, 3 planes between their neighbors"),
        "camera": replace(
            options["camera"],
            help="noise of the camera: estimated (auto), or known, in counts an electron, "
            "counts and electrons",
            parse=_known_camera_from_text,
        ),
    }
    names = ("axes", "ndim", "mask", "fill", "camera", "repair", "device")
    add_options(command, {name: changed.get(name, options[name]) for name in names})
    _add_seed(command)
    add("--resume", action="store_true", help="go on with a fit that was stopped")


def _add_seed(command: argparse.ArgumentParser) -> None:
    text = "the same seed, the same model (default: %(default)s)"
    command.add_argument("--seed", type=int, default=0, help=text)


def _known_camera_from_text(text: str) -> CameraNoise | str:
    """Return a camera's noise or "auto": a fit cannot do without."""
    camera = camera_from_text(text)
    if camera is None:
        raise InputError(
            "camera", "must be GAIN,OFFSET,READ_NOISE (2.2,100,1.6) or auto for a fit, got 'none'"
        )
    return camera
