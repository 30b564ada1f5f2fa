"""Score models that learned from structured noise on what is hardest for them.

Run as ``python benchmarks/structured.py [FOLDER] [--models NAME_OR_FILE ...]``; without a folder,
NAPARI_NOISER_DATA names it. Besides real pairs: a nucleus, simulated far below its noise; noise
that neighbors share, beside white noise of the same strength; and the spots and holes that a
result shows and the truth does not. Rows are printed as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from data_sets import Array, Pair, arguments, data_parser, fmd, hagen, w2s
from numpy.typing import NDArray
from quality import Score, score_fitted
from scipy.ndimage import gaussian_filter, maximum_filter, shift
from tables import Table, machine

import napari_noiser as noiser

Floats = NDArray[np.floating]
Render = Callable[[Array], Floats]

_SIDE = 512
_WIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)  # of Gaussians, in pixels
_BAND = (1.0, 3.0)  # pixels: standard deviations whose difference shows spots and holes
_HEIGHT = 0.04  # of the truth's range: what a spot or a hole has at least
_NEAR = 3  # pixels: the same spot
_SAME = 1 / 3  # of its height: what the other image has of a spot that both show


def nucleus(signal_to_noise: float, seed: int = 0) -> Pair:
    """Simulate a nucleus of a radius of 90 pixels, with spots and nucleoli, in white noise.

    Its light's standard deviation over the frame is so many times that of the noise in a pixel.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2
    texture = gaussian_filter(random.standard_normal((_SIDE, _SIDE)), 6.0)
    light = (1 + 0.25 * texture / texture.std()) * (np.hypot(rows / 90, columns / 120) < 1)
    for _ in range(12):
        row, column = random.uniform(-70, 70), random.uniform(-90, 90)
        spot = np.hypot(rows - row, columns - column) < random.uniform(4, 14)
        light = np.where(spot, light * random.choice([0.3, 1.8]), light)
    light = gaussian_filter(light, 2.0)
    light /= light.std()
    noise = random.standard_normal(light.shape) / signal_to_noise
    return Pair(np.rint(2000 + 100 * (light + noise)).astype(np.uint16), light)


def in_noise(truth: Array, kind: str, seed: int = 0) -> Pair:
    """Put a truth in noise that neighbors share, or in white noise as strong.

    "2x1" is white noise behind the mean of two rows, "moved" behind a shift by half a pixel along
    both axes; "2x1, white" and "moved, white" have independent pixels of the same variance.
    """
    light = truth.astype(np.float64)
    light = (light - light.min()) / np.ptp(light)
    noise = 0.25 * np.random.default_rng(seed).standard_normal(light.shape)
    if kind == "2x1":
        noise = (noise + np.roll(noise, 1, 0)) / 2
    elif kind == "moved":
        noise = shift(noise, 0.5, order=1, mode="grid-wrap")
    elif kind == "2x1, white":
        noise *= 0.5**0.5
    elif kind == "moved, white":
        noise *= 0.5
    return Pair(np.rint(2000 + 1000 * (light + noise)).astype(np.uint16), light)


def scenes(folder: Path) -> Mapping[str, Sequence[Pair]]:
    """Return pairs by the name of their set."""
    fields = tuple(w2s(folder))
    shared = {
        kind: [in_noise(pair.truth, kind, at) for at, pair in enumerate(fields[:3])]
        for kind in ("2x1", "2x1, white", "moved", "moved, white")
    }
    return {
        "W2S": fields,
        "Hagen": tuple(hagen(folder)),
        "fmd": tuple(fmd(folder)),
        "nucleus .2": [nucleus(0.2)],
        "nucleus .05": [nucleus(0.05)],
        **shared,
    }


@dataclass(frozen=True)
class Spots:
    """How many spots and holes a result shares with the truth, has besides, and has lost."""

    found: int
    invented: int
    lost: int


def count_spots(result: Floats, truth: Array) -> Spots:
    """Compare peaks of both signs behind a band-pass, a result's gain and offset fitted."""
    wanted = truth.astype(np.float64)
    gain, offset = np.polyfit(result.astype(np.float64).ravel(), wanted.ravel(), 1)
    span = float(np.percentile(wanted, 99.9) - wanted.min())
    own, true = (_band(image / span) for image in (gain * result + offset, wanted))
    invented, found = _peaks(own, true)
    lost, _ = _peaks(true, own)
    return Spots(found, invented, lost)


def _band(image: Floats) -> Floats:
    """Return the height of spots, and that of holes."""
    low, high = _BAND
    band = gaussian_filter(image, low) - gaussian_filter(image, high)
    return np.stack([band, -band])


def _peaks(own: Floats, other: Floats) -> tuple[int, int]:
    """Return how many peaks the other image does not have, and how many it has."""
    near, around = (1, 3, 3), (1, 2 * _NEAR + 1, 2 * _NEAR + 1)
    peaks = (own == maximum_filter(own, near)) & (own > _HEIGHT)
    alone = peaks & (maximum_filter(other, around) < _SAME * own)
    return int(alone.sum()), int(peaks.sum() - alone.sum())


def gaussian(image: Array, width: float) -> Floats:
    """Smooth with a Gaussian."""
    return gaussian_filter(image.astype(np.float64), width)


def scored(render: Render, pairs: Sequence[Pair]) -> Score:
    """Return the mean score of a method on pairs."""
    scores = [score_fitted(render(pair.dim), pair.truth) for pair in pairs]
    psnr, ssim = np.mean(scores, axis=0)
    return float(psnr), float(ssim)


def main() -> None:
    """Print the machine and the table."""
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["structured"], metavar="NAME_OR_FILE")
    given = arguments(parser)
    methods: dict[str, Render] = {
        Path(name).stem: partial(noiser.denoise, model=noiser.load_model(name), device="cpu")
        for name in given.models
    }
    print(f"{machine()}\n")
    table = Table([14, *[max(14, len(name)) for name in methods], 20])
    table.head(["PSNR (dB) / SSIM", *methods, "best Gaussian"])
    for name, pairs in scenes(given.folder).items():
        scores = [scored(render, pairs) for render in methods.values()]
        width = max(_WIDTHS, key=lambda width: scored(partial(gaussian, width=width), pairs)[0])
        best = scored(partial(gaussian, width=width), pairs)
        cells = [f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in [*scores, best]]
        table.row([name, *cells[:-1], f"{cells[-1]} ({width:g})"])
    for name, render in chain(methods.items(), [("Gaussian 2", partial(gaussian, width=2.0))]):
        counts = [count_spots(render(pair.dim), pair.truth) for pair in w2s(given.folder)]
        sums = [sum(getattr(each, what) for each in counts) for what in ("found", "invented")]
        lost = sum(each.lost for each in counts)
        print(f"\nW2S, spots and holes, {name}: {sums[0]} found, {sums[1]} invented, {lost} lost")


if __name__ == "__main__":
    main()
