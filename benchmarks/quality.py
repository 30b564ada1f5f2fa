"""Score the bundled recipes beside baselines and other denoisers, on pairs of dim and good images.

Run as ``python benchmarks/quality.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
Rows are printed as they come. What is measured, and how, is explained in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import peers
from data_sets import Array, Pair, arguments, astronomy, data_parser, hagen, lol, w2s
from numpy.typing import NDArray
from skimage.exposure import equalize_adapthist
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tables import Table, machine
from zero_shot import zero_shot

import napari_noiser as noiser

Floats = NDArray[np.floating]
Score = tuple[float, float]
"""PSNR in dB, and SSIM."""
Render = Callable[[Array, str, str], Floats]
"""From an image, its axes, and whether "enhance" or "denoise" is asked for, to the result."""
Denoise = Callable[[Floats, int | None], Floats]
"""From an image in [0, 1] and its axis of samples to the light."""


@dataclass(frozen=True)
class Method:
    """A method in one or several strengths; which one serves a data set best is looked up there.

    Attributes
    ----------
    variants
        How to render, by strength.
    needs
        Packages that it takes.
    slow
        Over ten seconds a megapixel.
    sets
        The data sets that it is for.
    """

    variants: Mapping[str, Render]
    needs: tuple[str, ...] = ()
    slow: bool = False
    sets: tuple[str, ...] = ("LOL", "W2S", "Hagen", "astronomy")


# The methods that make a display, whatever is asked for.


def unchanged(image: Array, axes: str = "", verb: str = "") -> Floats:
    """Scale to [0, 1]: by 255 for 8 bits, else by the image's own range."""
    if image.dtype == np.uint8:
        return image / 255.0
    values = image.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def auto_gamma(image: Array, axes: str, verb: str) -> Floats:
    """Raise to the power that brings the mean to 0.45, found by bisection."""
    values, low, high = unchanged(image), -10.0, 10.0  # of the power's logarithm
    for _ in range(60):
        middle = (low + high) / 2
        too_bright = (values ** np.exp(middle)).mean() > 0.45
        low, high = (middle, high) if too_bright else (low, middle)
    return values ** np.exp(low)


def clahe(image: Array, axes: str, verb: str) -> Floats:
    """Equalize the histogram adaptively, with scikit-image's defaults."""
    return equalize_adapthist(unchanged(image))


def closed_form(image: Array, axes: str, verb: str) -> Floats:
    """Box mean, standardize, tanh: no training, no network."""
    return noiser.closed_form(image, axes=axes)


def recipe(image: Array, axes: str, verb: str, name: str, colors: str = "balanced") -> Floats:
    """Render with a bundled model of the paper's."""
    return noiser.enhance(image, name, axes=axes, colors=colors, device="cpu")


# The methods that return light.


def structured(image: Array, axes: str, verb: str, name: str = "structured") -> Floats:
    """Render with a bundled model that learned from structured noise."""
    if verb == "denoise":
        return noiser.denoise(image, name, axes=axes, device="cpu")
    return noiser.enhance(image, name, axes=axes, background="gray", device="cpu")


def denoised(image: Array, axes: str, verb: str, denoise: Denoise) -> Floats:
    """Return light; for display standardized by the moments of all samples, times 50/127.5."""
    light = denoise(unchanged(image), 2 if axes.endswith("S") else None)
    if verb == "denoise":
        return light
    return (np.tanh(50 / 127.5 * (light - light.mean()) / light.std()) + 1) / 2


def denoisers(denoise: Callable[..., Floats], *strengths: float) -> dict[str, Render]:
    """Return a denoiser's variants by strength."""
    return {
        f"{each:g}": partial(denoised, denoise=partial(denoise, strength=each))
        for each in strengths
    }


METHODS: Mapping[str, Method] = {
    "input": Method({"": unchanged}),
    "auto-gamma": Method({"": auto_gamma}),
    "CLAHE": Method({"": clahe}),
    "closed form": Method({"": closed_form}),
    "noiser": Method({"": partial(recipe, name="noiser")}),
    "noiser-es": Method({"": partial(recipe, name="noiser-es")}),
    "noiser-var3": Method({"": partial(recipe, name="noiser-var3")}),
    "noiser, colors kept": Method(
        {"": partial(recipe, name="noiser", colors="kept")}, sets=("LOL",)
    ),
    "structured": Method({"": structured}),
    "structured-tiny": Method({"": partial(structured, name="structured-tiny")}),
    "Gaussian": Method(
        denoisers(peers.gaussian, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
    ),
    "wavelets": Method(
        denoisers(peers.wavelets, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0), ("pywt",)
    ),
    "total variation": Method(
        denoisers(peers.total_variation, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0), ("pywt",)
    ),
    "non-local means": Method(
        denoisers(peers.non_local_means, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0), ("pywt",), slow=True
    ),
    "BM3D": Method(denoisers(peers.bm3d, 1.0, 1.5, 2.2, 3.0), ("pywt", "bm3d"), slow=True),
    "BM3D, stabilized": Method(
        denoisers(peers.stabilized_bm3d, 1.0, 1.5, 2.2),
        ("pywt", "bm3d"),
        slow=True,
        sets=("W2S", "Hagen", "astronomy"),
    ),
    "ZS-N2N": Method({"": partial(denoised, denoise=zero_shot)}, slow=True),
}


# The scores: a result beside the truth.


def score_photograph(result: Floats, truth: Array) -> Score:
    """Compare in 8 bits, as both are shown."""
    shown = np.rint(result.clip(0, 1) * 255).astype(np.uint8)
    similarity = structural_similarity(
        truth / 255.0, shown / 255.0, channel_axis=-1, data_range=1.0
    )
    return float(peak_signal_noise_ratio(truth, shown)), float(similarity)


def score_fitted(result: Floats, truth: Array) -> Score:
    """Fit gain and offset by least squares, and compare over the truth's 99.9 % range."""
    wanted, values = truth.astype(np.float64), result.astype(np.float64)
    columns = np.stack([values.ravel(), np.ones(values.size)], axis=1)
    (gain, offset), *_ = np.linalg.lstsq(columns, wanted.ravel(), rcond=None)
    fitted = gain * values + offset
    span = float(np.percentile(wanted, 99.9) - wanted.min())
    similarity = structural_similarity(wanted, fitted, data_range=span)
    return float(peak_signal_noise_ratio(wanted, fitted, data_range=span)), float(similarity)


@dataclass(frozen=True)
class DataSet:
    """Pairs, what of a method is looked at, and how it is scored."""

    name: str
    pairs: tuple[Pair, ...]
    verb: str
    score: Callable[[Floats, Array], Score]


def data_sets(folder: Path) -> tuple[DataSet, ...]:
    """Read all of them."""
    sets = (
        DataSet("LOL", tuple(lol(folder)), "enhance", score_photograph),
        DataSet("W2S", tuple(w2s(folder)), "denoise", score_fitted),
        DataSet("Hagen", tuple(hagen(folder)), "denoise", score_fitted),
        DataSet("astronomy", tuple(astronomy(folder)), "denoise", score_fitted),
    )
    for data in sets:
        if not data.pairs:
            raise FileNotFoundError(f"{folder} holds no images of {data.name}")
    return sets


# The table.


@dataclass(frozen=True)
class Found:
    """What a method reaches on a data set, and in how many seconds."""

    psnr: float
    ssim: float
    seconds: float
    strength: str = field(default="")


def best(method: Method, data: DataSet) -> Found:
    """Score a method in the strength of the best mean PSNR."""
    return max((scored(*each, data) for each in method.variants.items()), key=lambda f: f.psnr)


def scored(strength: str, render: Render, data: DataSet) -> Found:
    """Score a method in one strength: means over the pairs."""
    scores, seconds = [], 0.0
    for pair in data.pairs:
        start = perf_counter()
        result = render(pair.dim, pair.axes, data.verb)
        seconds += perf_counter() - start
        scores.append(data.score(result, pair.truth))
    psnr, ssim = np.mean(scores, axis=0)
    return Found(float(psnr), float(ssim), seconds, strength)


def cells(name: str, sets: tuple[DataSet, ...]) -> list[str]:
    """Return a method's row."""
    method = METHODS[name]
    served = [data for data in sets if data.name in method.sets]
    found = {data.name: best(method, data) for data in served}
    scores = [
        f"{found[data.name].psnr:.2f} / {found[data.name].ssim:.3f}" if data in served else "-"
        for data in sets
    ]
    megapixels = sum(pair.megapixels for data in served for pair in data.pairs)
    speed = sum(each.seconds for each in found.values()) / megapixels
    strengths = (
        ", ".join(each.strength for each in found.values()) if len(method.variants) > 1 else ""
    )
    return [name, *scores, f"{speed:.2g}", strengths]


def main() -> None:
    """Print the machine and the table."""
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=METHODS, metavar="NAME", default=METHODS)
    parser.add_argument("--quick", action="store_true", help="leave the slow methods out")
    given = arguments(parser)
    sets = data_sets(given.folder)
    print(f"{machine('scikit-image')}\n")
    table = Table([20, 13, 13, 13, 13, 6, 22])
    titles = [f"{data.name} ({len(data.pairs)})" for data in sets]
    table.head(["PSNR (dB) / SSIM", *titles, "s/Mpx", "strength"])
    for name in given.only:
        missing = [each for each in METHODS[name].needs if not find_spec(each)]
        if missing:
            print(f"<!-- {name} needs {', '.join(missing)} -->")
        elif not (given.quick and METHODS[name].slow):
            table.row(cells(name, sets))


if __name__ == "__main__":
    main()
