"""What symmetry does: shift and embossing of simulated discs, and quality over several seeds.

Run as ``python benchmarks/symmetry.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
``--widths 9`` takes some minutes on one core. docs/science.md says what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from data_sets import Pair, arguments, data_parser, lol, w2s
from numpy.typing import NDArray
from quality import score_fitted, score_photograph
from skimage.registration import phase_cross_correlation
from tables import Table, machine

import napari_noiser as noiser
from napari_noiser.recipes import RECIPES, NoiserModel, Recipe

Floats = NDArray[np.floating]

RECIPE_NAMES = ("noiser", "noiser-var3")
WIDTHS = (6, 9, 12)
SEEDS = range(5)
FRAMES = 128
SIDE = 96
RADII = (3.0, 6.0, 12.0, 24.0)
LIGHT = (4.0, 16.0)
"""Photons a pixel of what is darker, and of what is brighter."""


# Discs: where they are, and whether opposite edges look the same.


def disc(radius: float) -> Floats:
    """Return a disc of 1 on 0 in the middle of a plane, the shares of pixels at its edge."""
    return (radius + 0.5 - distance()).clip(0, 1)


def distance() -> Floats:
    """Return the distance of each pixel from the middle of a plane."""
    return np.hypot(*offsets())


def offsets() -> Floats:
    """Return how far down and right of the middle of a plane each pixel is."""
    return np.indices((SIDE, SIDE)) - (SIDE - 1) / 2


def mean_display(light: Floats, model: NoiserModel | str, samples: int) -> Floats:
    """Return the mean display of noisy frames of light."""
    random = np.random.default_rng(0)
    axes, shape = ("TYXS", (SIDE, SIDE, samples)) if samples > 1 else ("TYX", (SIDE, SIDE))
    expected = np.broadcast_to(light.reshape(SIDE, SIDE, *(1,) * (len(shape) - 2)), shape)
    frames = random.poisson(expected, (FRAMES, *shape)).astype(np.float32)
    shown = noiser.enhance(frames, model, axes=axes, camera=None, background="gray", device="cpu")
    return shown.mean(axis=(0, -1) if samples > 1 else 0)


def shift_and_embossing(model: NoiserModel | str, samples: int = 1) -> tuple[float, float]:
    """Return the largest shift in pixels, and the largest difference of opposite edges.

    Of bright discs of several sizes on dark ground, and of dark ones on bright ground.
    """
    shifts, differences = [], []
    for radius in RADII:
        for outside, inside in (LIGHT, LIGHT[::-1]):
            light = outside + (inside - outside) * disc(radius)
            shown = mean_display(light, model, samples)
            found, *_ = phase_cross_correlation(
                light, shown, upsample_factor=200, normalization=None
            )
            shifts.append(float(np.hypot(*found)))
            differences += opposite_edges(shown, radius)
    return max(shifts), max(differences)


def opposite_edges(shown: Floats, radius: float) -> Iterator[float]:
    """Yield how much the left edge of a disc differs from the right, and the upper from the lower.

    An edge is what is within a pixel of the radius, in a quarter of the circle.
    """
    edge = np.abs(distance() - radius) < 1
    down, right = offsets()
    for along, across in ((down, right), (right, down)):
        sides = (shown[edge & (sign * along > np.abs(across))].mean() for sign in (-1, 1))
        low, high = sides
        yield float(abs(high - low))


# Quality, over seeds and numbers of filters.


def paper_form(name: str) -> Recipe:
    """Return a recipe with the paper's network and size of images."""
    return replace(RECIPES[name], symmetric=False, width=18, size=104)


def forms(name: str, widths: Sequence[int]) -> Iterator[tuple[str, Recipe]]:
    """Yield the paper's form of a recipe, and symmetric ones of several numbers of filters."""
    yield "paper's form, 18", paper_form(name)
    for width in widths:
        yield f"symmetric, {width}", replace(RECIPES[name], symmetric=True, width=width)


def scores(recipe: Recipe, seed: int, pairs: Sequence[Pair]) -> tuple[float, float]:
    """Train; return mean PSNR in dB and SSIM over pairs."""
    samples = 3 if pairs[0].axes.endswith("S") else 1
    model = noiser.train(recipe, samples=samples, seed=seed, device="cpu")
    score = score_photograph if samples == 3 else score_fitted
    found = []
    for pair in pairs:
        shown = noiser.enhance(
            pair.dim, model, axes=pair.axes, camera=None, background="gray", device="cpu"
        )
        found.append(score(shown, pair.truth))
    psnr, ssim = np.mean(found, axis=0)
    return float(psnr), float(ssim)


def print_discs() -> None:
    """Print shift and embossing of the bundled models, and of the paper's form."""
    table = Table([32, 14, 16])
    table.head(["discs", "shift, pixels", "opposite edges"])
    for name in ("noiser", "noiser-es", "noiser-var3"):
        paper = paper_form(name)
        models = {
            f"{name}, paper's form": (noiser.train(paper, device="cpu"), 1),
            f"{name}, paper's form, RGB": (noiser.train(paper, samples=3, device="cpu"), 3),
            name: (name, 1),
            f"{name}, RGB": (name, 3),
        }
        for label, (model, samples) in models.items():
            shift, difference = shift_and_embossing(model, samples)
            table.row([label, f"{shift:.3f}", f"{difference:.3f}"])
    shift, difference = shift_and_embossing("structured")
    table.row(["structured", f"{shift:.3f}", f"{difference:.3f}"])


def print_seeds(folder: Path, widths: Sequence[int]) -> None:
    """Print each seed's scores, their mean and their spread."""
    sets = {"LOL": list(lol(folder)), "W2S": list(w2s(folder))}
    for name in RECIPE_NAMES:
        for title, pairs in sets.items():
            print(f"\n{name}, {title} ({len(pairs)}), PSNR (dB) / SSIM\n")
            table = Table([18, *(13,) * (len(SEEDS) + 2)])
            table.head(["filters", *(f"seed {seed}" for seed in SEEDS), "mean", "deviation"])
            for label, recipe in forms(name, widths):
                found = [scores(recipe, seed, pairs) for seed in SEEDS]
                mean, deviation = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
                rows = [*found, mean, deviation]
                table.row([label, *(f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in rows)])


def main() -> None:
    """Print the machine and all tables."""
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--widths", nargs="*", type=int, default=WIDTHS, metavar="FILTERS")
    given = arguments(parser)
    print(f"{machine('scikit-image')}\n")
    print_discs()
    print_seeds(given.folder, given.widths)


if __name__ == "__main__":
    main()
