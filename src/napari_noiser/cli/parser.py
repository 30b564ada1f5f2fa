"""The arguments of the command line: named as in Python, with the same defaults."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from napari_noiser import __version__
from napari_noiser.arrays.image_array import Background, Output
from napari_noiser.arrays.layout import Colors, Statistics
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.noiser.recipe import RECIPES

__all__ = ["make_parser"]

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
How far a fit is lies in NAME.partial.safetensors, written once a minute and when it is stopped.
The same command with --resume goes on with it.
"""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {f"{unit}I": 1024**power for power, unit in enumerate("KMGT", start=1)}


def make_parser() -> argparse.ArgumentParser:
    """Return what understands the arguments.

    Returns
    -------
    argparse.ArgumentParser
        Its answers are named as the arguments of `enhance`, `train` and `fit`; beside them stand
        command, source, images, target, recipe, stages, iterations, width, to, resume, quiet and
        debug.
    """
    whole = argparse.ArgumentParser(
        "napari-noiser",
        description="Make dim images and stacks visible without any training data.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add, text, more in (
        ("enhance", _add_enhance, "Make an image, or a folder of images, visible.", _RESUMING),
        ("train", _add_train, "Train a model of your own on noise, in seconds.", ""),
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
    return whole


def _add_enhance(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("source", type=Path, metavar="IN", help="a TIFF, OME-Zarr, zarr or .npy; or a folder")
    add(
        "target",
        type=Path,
        metavar="OUT",
        help="NAME.zarr (OME-Zarr with a pyramid), NAME.tif (OME-TIFF); for a folder a folder",
    )
    add("--model", default="noiser", help="a name, or a .safetensors file (default: %(default)s)")
    _add_axes(command)
    add(
        "--ndim",
        type=int,
        choices=(2, 3),
        default=2,
        help="2 renders planes, 3 volumes, T in place of a Z that is not there "
        "(default: %(default)s)",
    )
    add(
        "--colors",
        choices=get_args(Colors),
        default="balanced",
        help="of RGB: without a color cast, as a model sees them together; or with one exposure "
        "for all three (default: %(default)s)",
    )
    add(
        "--statistics",
        choices=get_args(Statistics),
        default="stack",
        help="what shares one exposure: the series, a time point, a plane (default: %(default)s)",
    )
    each = "a file for all, or a folder of one for each image, paired as by fit"
    add("--mask", type=Path, help=f"which pixels (not 0) set the exposure: {each}")
    add("--gain", type=Path, help=f"gain maps, of a model that was fitted with such: {each}")
    others = "none; or auto: estimated for models such as structured"
    _add_camera(command, _parse_camera_or_none, others)
    add(
        "--max-change",
        type=float,
        metavar="SIGMAS",
        help="of structured: how far a pixel may be moved, in standard deviations of its noise",
    )
    add(
        "--conserve",
        type=float,
        metavar="PIXELS",
        help="of light: give what was taken away back behind a Gaussian, for photometry",
    )
    add(
        "--background",
        choices=get_args(Background),
        default="gray",
        help="of a display: mid-gray with the mean, or found and nearly black "
        "(default: %(default)s)",
    )
    add(
        "--output",
        choices=get_args(Output),
        default="display",
        help="to be looked at, or the light itself, denoised, in the image's units; that takes "
        "a model such as structured (default: %(default)s)",
    )
    add("--brightness", type=float, default=0.0, help="0 leaves the mean at mid-gray, the default")
    add("--contrast", type=float, default=1.0, help="above 0 (default: %(default)s)")
    _add_device(command)
    add("--tile", type=int, metavar="PIXELS", help="side of the tiles; never changes the result")
    add(
        "--memory-limit",
        type=_parse_bytes,
        metavar="SIZE",
        help="such as 8GB, to hold at a time (default: a quarter of what is free)",
    )
    add("--dtype", help="of the result: float32 (default), float64, uint8 or uint16")
    add("--to", choices=("zarr", "tif"), help="kind of a folder's results (default: as they were)")
    add(
        "--resume",
        action="store_true",
        help="go on with what is unfinished, leave what is finished",
    )


def _add_train(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("recipe", choices=list(RECIPES), metavar="RECIPE", help=f"one of {', '.join(RECIPES)}")
    add("target", type=Path, metavar="OUT", help="NAME.safetensors")
    add(
        "--samples",
        type=int,
        choices=(1, 3),
        default=1,
        help="1 gray, 3 RGB (default: %(default)s)",
    )
    add("--ndim", type=int, choices=(2, 3), default=2, help="for planes, the default, or volumes")
    _add_device(command)
    add("--seed", type=int, default=0, help="the same seed, the same model (default: %(default)s)")
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
    _add_axes(command)
    add(
        "--ndim",
        type=int,
        choices=(2, 3),
        default=2,
        help="2 sees planes, 3 planes between their neighbors (default: %(default)s)",
    )
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
        "--gain",
        default=recipe.gain,
        metavar="GAIN",
        help="what guides the network: light, the image's own; the file of a gain map for all "
        "images, or a folder of one for each, of its name, or in their order if no name is the "
        "same; or none (default: %(default)s)",
    )
    _add_camera(command, _parse_camera, "or auto: estimated")
    _add_device(command)
    add("--seed", type=int, default=0, help="the same seed, the same model (default: %(default)s)")
    add("--resume", action="store_true", help="go on with a fit that was stopped")


def _add_axes(command: argparse.ArgumentParser) -> None:
    text = "a letter an axis, of TCZYXS, such as TZYX (default: what the file says)"
    command.add_argument("--axes", help=text)


def _add_camera(
    command: argparse.ArgumentParser, read: Callable[[str], CameraNoise | str | None], others: str
) -> None:
    add = command.add_argument
    add(
        "--camera",
        type=read,
        default="auto",
        metavar="NOISE",
        help="GAIN,OFFSET,READ_NOISE in counts an electron, counts and electrons; "
        f"{others} (default: %(default)s)",
    )
    add("--no-repair", dest="repair", action="store_false", help="keep hot pixels, cosmic rays")


def _add_device(command: argparse.ArgumentParser) -> None:
    text = "auto, cpu, cuda, cuda:N, mps or xpu (default: %(default)s)"
    command.add_argument("--device", default="auto", help=text)


def _parse_camera_or_none(text: str) -> CameraNoise | str | None:
    """Return a camera's noise, "auto" or None, which "none" says."""
    return None if text == "none" else _parse_camera(text)


def _parse_camera(text: str) -> CameraNoise | str:
    """Return a camera's noise, which "2.2,100,1.6" says, or "auto"."""
    if text == "auto":
        return text
    try:
        gain, offset, read_noise = map(float, text.split(","))
        return CameraNoise(gain, offset, read_noise)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            "it must be GAIN,OFFSET,READ_NOISE (2.2,100,1.6), auto, or, for enhance alone, none; "
            f"got {text!r}"
        ) from error


def _parse_bytes(text: str) -> int:
    """Return a number of bytes: "8GB", "500 MiB", "1.5G" or "8000000000"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    if not found or found[2] not in _UNITS or ("." in found[1] and not found[2]):
        raise argparse.ArgumentTypeError(f"it must be a size such as 500MB or 8GB, got {text!r}")
    return int(float(found[1]) * _UNITS[found[2]])
