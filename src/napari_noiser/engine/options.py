"""The options of `enhance` and `denoise`, each defined once, for every surface.

The signatures and their documentation, the command line, the widget's settings, the preferences,
provenance, replay, the copied script and the dask graph derive from the two classes at the end of
this file. A new option is one more entry there, and its use in the engine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from textwrap import fill, indent
from typing import (
    Annotated,
    Any,
    Literal,
    TypedDict,
    TypeVar,
    cast,
    get_args,
    get_type_hints,
)

from numpy.typing import ArrayLike, DTypeLike

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress
from napari_noiser._validation import check_bool, check_choice, check_float, check_int, check_ndim
from napari_noiser.arrays.image_array import check_output_dtype
from napari_noiser.arrays.layout import Colors, Statistics
from napari_noiser.camera.banding import Banding
from napari_noiser.camera.noise_model import Camera, CameraNoise, camera_from_json

Verb = Literal["enhance", "denoise"]
"""Enhance makes a display in [0, 1], denoise returns light in the image's units."""

PROGRESS_TITLES: Mapping[Verb, str] = {"enhance": "enhancing", "denoise": "denoising"}
"""What a progress bar is called."""

Background = Literal["auto", "gray", "dark"]
"""What a display makes of the background: mid-gray with the image's mean, or black."""

DEFAULT_MODEL = "structured"
"""What model="auto" takes: on every kind of image measured it is ahead of the other ones."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _unchecked(name: str, value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Option:
    """The definition of an option: all that is said of it anywhere.

    Attributes
    ----------
    default
        What holds where nothing is said.
    kind : str
        Its type, as numpydoc writes it.
    doc : str
        What it does, for the documentation in Python.
    help : str
        The same in a line or two, for the command line and the widget's tooltip. Empty: neither
        offers it.
    check : callable
        Takes its name and a value; returns the value as the engine takes it, or raises an
        `InputError`.
    parse : callable
        Turns what the command line was given into a value.
    metavar : str, optional
        What stands for its value in the command line's help.
    choices : tuple
        The values that are offered, if there are a few: by the command line unless `open`, the
        widget and the preferences.
    open : bool
        Whether others than the choices are accepted, too.
    label : str
        Of its control in the widget; empty if it has none.
    words : tuple of str
        The choices in words, for that control.
    of_image : bool
        Whether it belongs to one image, and is not taken over to another.
    recorded : bool
        Whether it stands in the provenance: it decides the result.
    preference : bool
        Whether its default can be set in napari's preferences.
    from_json : callable
        Turns what the provenance holds into a value.
    """

    default: Any
    kind: str
    doc: str
    help: str = ""
    check: Callable[[str, Any], Any] = _unchecked
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    choices: tuple[Any, ...] = ()
    open: bool = False
    label: str = ""
    words: tuple[str, ...] = ()
    of_image: bool = False
    recorded: bool = True
    preference: bool = False
    from_json: Callable[[Any], Any] = field(default=lambda value: value)


def _check_optional(check: Callable[..., Any], name: str, value: Any, **limits: Any) -> Any:
    return None if value is None else check(name, value, **limits)


def _check_literal(literal: Any) -> Callable[[str, Any], Any]:
    return lambda name, value: check_choice(name, value, literal)


def bytes_from_text(text: str) -> int:
    """Return a number of bytes: "8GB", "500 MiB", "1.5G" or "8000000000"."""
    from dask.utils import parse_bytes

    try:
        return int(text if text.strip()[-1:].isdigit() else parse_bytes(text))
    except ValueError as error:
        raise InputError(
            "memory_limit", f"must be a size such as 500MB or 8GB, got {text!r}"
        ) from error


def camera_from_text(text: str) -> CameraNoise | str | None:
    """Return a camera's noise, which "2.2,100,1.6" says, "auto", or None for "none"."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        gain, offset, read_noise = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            "camera", f"must be GAIN,OFFSET,READ_NOISE (2.2,100,1.6), auto or none, got {text!r}"
        ) from error
    return CameraNoise(gain, offset, read_noise)


def fill_from_text(text: str) -> tuple[float, ...] | str | None:
    """Return the values that are fill, which "0,-9999" says, "auto", or None for "none"."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return tuple(map(float, text.split(",")))
    except ValueError as error:
        raise InputError(
            "fill", f"must be numbers (0,-9999), auto or none, got {text!r}"
        ) from error


def _check_fill(name: str, value: Any) -> tuple[float, ...] | str | None:
    """Return the values that are fill, "auto", or None."""
    if value is None or value == "auto":
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise InputError(name, f"must be numbers, 'auto' or None, got {value!r}")
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    return tuple(check_float(name, each) for each in values)


_positive = partial(_check_optional, check_float, above=0.0)
_count = partial(_check_optional, check_int)


class _Options(TypedDict, total=False):
    """Options of both verbs."""

    axes: Annotated[
        str | None,
        Option(
            None,
            "str, optional",
            "One letter an axis: T time, C channel (a fluorophore: each is handled for itself), "
            "Z, Y, X, and S for the samples of RGB or RGBA (alpha passes through). Left out, YX, "
            "ZYX, TZYX, TCZYX stand for 2, 3, 4, 5 dimensions, or what a layer's own labels and "
            "`rgb` say: color is never guessed.",
            help="a letter an axis, of TCZYXS, such as TZYX (default: what the file says)",
            of_image=True,
        ),
    ]
    ndim: Annotated[
        int,
        Option(
            2,
            "int",
            "2 renders planes (YX), 3 renders volumes (ZYX together). A 3-D model takes a voxel's "
            "neighbors in z as near as those in y and x, whatever the step in z; a denoiser sees "
            "each plane between its two neighbors. Without Z, time stands in its place (TYX "
            "together): what moves between two time points may then be merged.",
            help="2 renders planes, each by its own neighbors; 3 renders volumes, with T in place "
            "of a Z that is not there: they take neighbors in z as near as those in the plane",
            check=lambda name, value: check_ndim(value),
            parse=int,
            choices=(2, 3),
            label="render",
            words=("planes (2-D)", "volumes (3-D)"),
        ),
    ]
    statistics: Annotated[
        Statistics,
        Option(
            "stack",
            '{"stack", "volume", "plane"}',
            "Which planes share one set of moments, for each channel: the whole series (no "
            "flicker; bleaching and attenuation stay visible), each time point, or each plane for "
            "itself as in the paper.",
            help="what is brightened alike: the whole series (no flicker, and bleaching stays "
            "visible), each time point, or each plane",
            check=_check_literal(Statistics),
            choices=get_args(Statistics),
            label="shared statistics",
            words=("whole series", "each time point", "each plane"),
            preference=True,
        ),
    ]
    mask: Annotated[
        ArrayLike | None,
        Option(
            None,
            "array of bool or integers, optional",
            "Which pixels (not 0) count. All are rendered, but in statistics, estimates and "
            "choices one that does not count has no influence, as if it were NaN. The image's "
            "shape without S, its trailing axes, or the shape of one plane (volume).",
            help="which pixels (not 0) count in the statistics: a file for all, or a folder of "
            "one for each image, paired as by fit",
            parse=Path,
            metavar="MASK",
            of_image=True,
        ),
    ]
    fill: Annotated[
        float | Sequence[float] | str | None,
        Option(
            "auto",
            'float, sequence of float, "auto" or None',
            "Values that stand where there are no data: in borders of mosaics and aligned frames, "
            "around round fields, in frames never written. Where they fill areas of 7 x 7 pixels "
            "they are left out of all statistics, and come out as they went in (black in a "
            'display). "auto" finds them in a few planes; real zeros of a dim camera stand '
            "between others, and stay.",
            help="values that stand where there are no data, and are left out where they fill "
            "areas: auto finds them, none takes all for data, or numbers such as 0,-9999",
            check=_check_fill,
            parse=fill_from_text,
            metavar="VALUES",
        ),
    ]
    gain_map: Annotated[
        ArrayLike | None,
        Option(
            None,
            "array, optional",
            "For a model that was fitted to images with their gain maps (`fit`): the image's, "
            "above 0, of a shape as a mask's, or one number for all of it.",
            help="gain maps, of a model that was fitted with such: a file for all, or a folder of "
            "one for each image, paired as by fit",
            parse=Path,
            metavar="MAP",
            of_image=True,
        ),
    ]
    camera: Annotated[
        Camera,
        Option(
            "auto",
            'CameraNoise, sequence of CameraNoise, "auto" or None',
            "The noise of the camera: values are then stabilized before all else (the generalized "
            "Anscombe transform; light is taken back without bias), so that the same model "
            'serves every camera. One for all, or one for each channel (C). "auto" estimates it '
            'from a few planes for denoisers, such as "structured", and does without for others, '
            "as None does for all.",
            help="noise of the camera, evened out before the network sees it: estimated (auto) "
            "for denoisers such as structured, or known, in counts an electron, counts and "
            "electrons; none: not considered",
            parse=camera_from_text,
            metavar="GAIN,OFFSET,READ_NOISE",
            choices=("auto", None),
            open=True,
            label="camera noise",
            words=("estimated, evened out", "not considered"),
            from_json=camera_from_json,
        ),
    ]
    repair: Annotated[
        bool,
        Option(
            True,
            "bool",
            "Whether pixels that stand out as no lens would have it, hot ones and cosmic rays, "
            "are replaced by their neighbors' median. That takes a camera's noise to tell them "
            "by.",
            help="replace single pixels and thin streaks that stand out, sharper than any lens "
            "draws, by their neighbors; stars and spots stay",
            check=check_bool,
            label="repair hot pixels and cosmic rays",
        ),
    ]
    banding: Annotated[
        Banding,
        Option(
            "keep",
            '{"keep", "rows", "columns", "both"}',
            "Which lines have offsets of their own, as cameras with an amplifier for each and "
            "line scans leave them, to be taken out plane by plane before all else: of each what "
            "it has beyond the running median of 9, in the clipped mean. `diagnose` says whether "
            "there are such, `camera.banding_profile` what is taken out.",
            help="rows or columns with offsets of their own (sCMOS, CCD, line scans), which are "
            "taken out before; lines of light as thin and as long as the image go with them",
            check=_check_literal(Banding),
            choices=get_args(Banding),
            label="banding",
            words=("left as it is", "taken out of rows", "taken out of columns", "of both"),
        ),
    ]
    max_change: Annotated[
        float | None,
        Option(
            None,
            "float, optional",
            "Of a denoiser: by how many standard deviations of the noise the result may differ "
            "from what was read (and repaired).",
            help="of a denoiser: how far a pixel may be moved, in standard deviations of its "
            "noise",
            check=_positive,
            parse=float,
            metavar="SIGMAS",
        ),
    ]
    device: Annotated[
        str,
        Option(
            "auto",
            "str",
            '"auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".',
            help="auto takes a graphics card that works, and otherwise the processor; or cpu, "
            "cuda, cuda:N, mps, xpu",
            choices=("auto", "cpu", "cuda", "mps", "xpu"),
            open=True,
            label="compute on",
            preference=True,
        ),
    ]
    tile: Annotated[
        int | None,
        Option(
            None,
            "int, optional",
            "Side of the tiles in pixels. It never changes the result (beyond float rounding).",
            help="side of the tiles; never changes the result",
            check=_count,
            parse=int,
            metavar="PIXELS",
            recorded=False,
        ),
    ]
    memory_limit: Annotated[
        int | None,
        Option(
            None,
            "int, optional",
            "Bytes to hold at a time, by default a quarter of what is free: parts of the image, "
            "tiles (down to 8 a side) and what is computed from them. On top come a result in "
            "memory, and what zarr and the like take to decode and encode a chunk, or chunks that "
            "are larger than that themselves. It never changes the result either.",
            help="such as 8GB, to hold at a time (default: a quarter of what is free)",
            check=_count,
            parse=bytes_from_text,
            metavar="SIZE",
            recorded=False,
        ),
    ]
    dtype: Annotated[
        DTypeLike | None,
        Option(
            None,
            '{"float32", "float64", "uint8", "uint16"}, optional',
            "Of the result, float32 by default. For a display integers span their range: 255 or "
            "65535 is 1; light is rounded, and clipped to what they hold.",
            help="of the result: float32 (the default) runs from 0 to 1 in a display; uint16 and "
            "uint8 take less room and open in Fiji; or float64",
            check=partial(_check_optional, lambda name, value: check_output_dtype(value)),
            choices=("float32", "uint16", "uint8"),
            open=True,
            label="number type",
            preference=True,
        ),
    ]
    out: Annotated[
        Any,
        Option(
            None,
            "array, optional",
            "A numpy or zarr array of the image's shape to fill, in one of those dtypes, a chunk "
            "at a time; a dask image is then computed here and now.",
            of_image=True,
            recorded=False,
        ),
    ]
    progress: Annotated[
        Progress,
        Option(
            False,
            "bool or callable",
            "True shows a tqdm bar; a callable is called as ``progress(done, total)``. Not for a "
            "lazy result, whose progress is dask's own affair (`dask.diagnostics.ProgressBar`).",
            recorded=False,
        ),
    ]


class EnhanceOptions(_Options, total=False):
    """Options of `enhance`, which makes a display."""

    colors: Annotated[
        Colors,
        Option(
            "auto",
            '{"auto", "balanced", "kept"}',
            "Of an image with samples (S). Balanced: a model of three samples sees them together, "
            "and a color cast is removed like a lack of light. Kept: a model of one sample "
            "renders each of them, with the same statistics for all, so that no cast comes or "
            "goes. Gain and offset do not matter then as long as the samples share them. A "
            'denoiser of one sample, such as "structured", always keeps colors. Auto: balanced, '
            "as in the paper, where the model can.",
            help="of RGB: balanced, without a color cast, so that the image is gray on average; "
            "or kept: red, green and blue are brightened alike, as in a stained section; auto "
            "keeps them if the model denoises",
            check=_check_literal(Colors),
            choices=get_args(Colors),
            label="colors",
            words=("auto", "balanced (gray world)", "kept"),
        ),
    ]
    background: Annotated[
        Background,
        Option(
            "auto",
            '{"auto", "gray", "dark"}',
            "Gray: the mean comes out as mid-gray, as in the paper, and an empty background not "
            "far below. Dark: the darkest comes out black. Of a denoiser, such as "
            '"structured", the denoised light itself is then shown: black, white and `gamma` are '
            "found in a few parts of each statistics group. Of other models a step as high as the "
            "noise is wide stays below 0.2 before tanh, and the background comes out at 0.05. "
            "Auto: dark, if the model denoises and the image is no photograph; else gray.",
            help="dark: shown black, for cells on glass and stars on sky; gray: mid-gray with the "
            "mean, for photographs; auto looks at the image",
            check=_check_literal(Background),
            choices=get_args(Background),
            label="background",
            words=("auto", "gray, as it comes", "dark"),
        ),
    ]
    gamma: Annotated[
        float | None,
        Option(
            None,
            "float, optional",
            "Of denoised light on a dark background: the power by which it is shown; below 1 what "
            "is faint is lifted. Left out, 1, or less where much of the structure is faint beside "
            "the brightest, as with stars.",
            help="of denoised light on a dark background: 1 shows it linear, less lifts what is "
            "faint; left out, it is chosen by looking at the image",
            check=_positive,
            parse=float,
        ),
    ]
    brightness: Annotated[
        float,
        Option(
            0.0,
            "float",
            "Added to the response before tanh, 0 is neutral; of light the response is "
            "artanh(2 u - 1), where u is the light between black and white.",
            help="moves mid-gray up or down; 0 is neutral",
            check=check_float,
            parse=float,
            label="brightness",
        ),
    ]
    contrast: Annotated[
        float,
        Option(
            1.0,
            "float",
            "Multiplies the response before tanh; above 0.",
            help="spreads the grays around the middle; 1 is what the network learned",
            check=partial(check_float, above=0.0),
            parse=float,
            label="contrast",
        ),
    ]


class DenoiseOptions(_Options, total=False):
    """Options of `denoise`, which returns light."""

    conserve: Annotated[
        float | None,
        Option(
            None,
            "float, optional",
            "What was taken away is given back behind a Gaussian of this standard deviation, in "
            "pixels, so that the light of stars and cells stays what it was in the raw data. 2 "
            "leaves a seventh of white noise at least, 4 a fourteenth.",
            help="give what was taken away back behind a Gaussian, for photometry",
            check=_positive,
            parse=float,
            metavar="PIXELS",
        ),
    ]


class ResolvedOptions(EnhanceOptions, DenoiseOptions, total=False):
    """All options, checked, with the defaults of those that do not belong to a verb."""


_CLASSES: Mapping[Verb, type] = {"enhance": EnhanceOptions, "denoise": DenoiseOptions}


@cache
def options_of(definition: type) -> dict[str, Option]:
    """Return the options that a class of this file defines, by name."""
    hints = get_type_hints(definition, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def verb_options(verb: Verb) -> dict[str, Option]:
    """Return the options of a verb, by name."""
    return options_of(_CLASSES[verb])


def check_options(verb: Verb, given: Mapping[str, Any]) -> ResolvedOptions:
    """Check the options of a verb, as far as no image is needed for it.

    Parameters
    ----------
    verb : {"enhance", "denoise"}
        What is done.
    given : mapping
        Options by name; those left out have their defaults.

    Returns
    -------
    ResolvedOptions
        All of them, of the other verb as well.
    """
    known = verb_options(verb)
    for name in given:
        if name not in known:
            others = [other for other in _CLASSES if name in verb_options(other)]
            hint = f": it is an option of {others[0]}" if others else ""
            raise InputTypeError("", f"{verb} takes no argument {name!r}{hint}")
    every = [item for each in _CLASSES for item in verb_options(each).items()]
    resolved = {name: option.default for name, option in every}
    resolved |= {name: known[name].check(name, value) for name, value in given.items()}
    return cast(ResolvedOptions, resolved)


def documented(verb: Verb, *left_out: str) -> Callable[[Function], Function]:
    """Give a function that takes ``**options`` their signature and documentation.

    Parameters
    ----------
    verb : {"enhance", "denoise"}
        Whose options they are.
    *left_out : str
        Options that the function does not take.

    Notes
    -----
    In its docstring a line that says ``{options}`` becomes their numpydoc entries.
    """
    options = {n: each for n, each in verb_options(verb).items() if n not in left_out}
    hints = get_type_hints(_CLASSES[verb])

    def document(function: Function) -> Function:
        known = inspect.signature(function).parameters.values()
        own = [each for each in known if each.kind is not inspect.Parameter.VAR_KEYWORD]
        given = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=hints[name],
            )
            for name, option in options.items()
        ]
        entries = "\n".join(_numpydoc_entry(*each) for each in options.items())
        function.__doc__ = (function.__doc__ or "").replace(
            "    {options}", indent(entries, "    ")
        )
        function.__signature__ = inspect.Signature([*own, *given])  # type: ignore[attr-defined]
        return function

    return document


def _numpydoc_entry(name: str, option: Option) -> str:
    return f"{name} : {option.kind}\n{indent(fill(option.doc, 91), '    ')}"
