"""Ask when to stop self-regression: quality over steps, and what rules without a reference pick.

Run as ``python benchmarks/stopping.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
It takes some minutes on one core. docs/science.md says what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from data_sets import Array, Pair, arguments, data_parser, hagen, lol, w2s
from numpy.typing import NDArray
from quality import Score, score_fitted, score_photograph
from tables import Table, machine
from torch import Tensor

import napari_noiser as noiser
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.training import regress, total_variation

Floats = NDArray[np.floating]
Quantities = dict[str, float]

STEPS = (100, 150, 200, 300, 400, 600, 800, 1000, 1400, 2000, 2800, 4000, 5600, 8000)
SEEDS = range(4)
SETTLED = 0.01
"""Of a quantity: it settled where it changes by less from one of `STEPS` to the next."""
CONTRAST = 50 / 127.5
"""Of the closed form: a standard deviation's response."""
LARGEST = 1024
"""Pixels a side of what is looked at of an image."""


# What training alone tells.


@dataclass(frozen=True)
class Snapshot:
    """A network after some steps, and what is known of it without any image."""

    model: NoiserModel
    known: Quantities


def snapshots(samples: int, seed: int) -> Iterator[Snapshot]:
    """Train with the paper's recipe, stopping to look at each of `STEPS`."""
    recipe = Recipe(name="noiser", iterations=STEPS[-1])
    network = SRM(samples, recipe.width, 2, torch.Generator().manual_seed(seed))
    shape = recipe.training_shape(samples, 2)
    noise = torch.randn((8, *shape[1:]), generator=torch.Generator().manual_seed(1000 + seed))
    losses, before = [], state(network, noise)
    for step in regress(network, recipe, shape, seed):
        losses.append(step.loss)
        if step.done in STEPS:
            now = state(network, noise)
            weights = {name: value.clone() for name, value in network.state_dict().items()}
            model = NoiserModel(replace(recipe, iterations=step.done), samples, 2, seed, weights)
            known = {"loss": float(np.mean(losses)), **on_noise(now[1], noise)}
            known["step"] = edge(network, samples)
            known["weights moved"], known["output moved"] = map(moved, now, before)
            yield Snapshot(model, known)
            losses, before = [], now


@torch.no_grad()
def state(network: SRM, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return all weights, and the output on noise that training does not see."""
    return torch.cat([value.flatten() for value in network.parameters()]), network(noise)


def moved(now: Tensor, before: Tensor) -> float:
    """Return by which part of its length a vector has moved."""
    return float((now - before).norm() / now.norm())


def on_noise(output: Tensor, noise: Tensor) -> Quantities:
    """Return both parts of the loss, and what kind of a filter the network is."""
    error, variation = float((output - noise).abs().mean()), float(total_variation(output))
    offsets = list(product(range(-2, 3), repeat=2))
    # Of white noise the input's correlation with the output is the mean kernel.
    kernel = np.array([float((output * noise.roll(each, (2, 3))).mean()) for each in offsets])
    varied = output - output.mean()
    correlation = (varied[..., 1:] * varied[..., :-1]).mean() / varied.square().mean()
    return {
        "held-out loss": error + variation,
        "L1": error,
        "total variation": variation,
        "lag-1": float(correlation),
        "kernel": float(kernel.sum() ** 2 / (kernel**2).sum()),
    }


@torch.no_grad()
def edge(network: SRM, samples: int) -> float:
    """Return the response to a step from -1 to 1."""
    image = torch.full((1, samples, 104, 104), -1.0)
    image[..., 52:] = 1
    row = network(image).mean(1)[0, 52]
    return float(row[80] - row[24])


# What the user's image tells.


def shown(image: Array, axes: str, model: NoiserModel) -> Floats:
    """Render for display."""
    return noiser.enhance(image, model, axes=axes, camera=None, device="cpu")


def response(result: Floats) -> Floats:
    """Return what tanh made a display of."""
    return np.arctanh((2 * result.astype(np.float64) - 1).clip(-1 + 1e-6, 1 - 1e-6))


def alike(first: Floats, second: Floats) -> float:
    """Return the correlation of two images."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def halves(image: Array) -> tuple[Floats, Floats]:
    """Return two images of half the size and of independent noise: the diagonals of 2x2."""
    height, width = (length // 2 * 2 for length in image.shape[:2])
    even = image[:height, :width].astype(np.float64)
    return (even[::2, ::2] + even[1::2, 1::2]) / 2, (even[1::2, ::2] + even[::2, 1::2]) / 2


def on_image(pair: Pair, model: NoiserModel, result: Floats, other: Floats) -> Quantities:
    """Return what a result says of itself; `other` is that of another seed."""
    light = response(result)
    curvature = 2 * light[1:-1] - light[:-2] - light[2:]
    raw = halves(pair.dim)
    made = [shown(half, pair.axes, model) for half in raw]
    return {
        "contrast": float(light.std()),
        "roughness": float(curvature.std() / light.std()),
        "seeds agree": alike(result, other),
        "halves agree": alike(*made),
        "one half tells the other": (alike(made[0], raw[1]) + alike(made[1], raw[0])) / 2,
    }


# Quality.


def at_fixed_contrast(result: Floats, truth: Array) -> Score:
    """Score a photograph once its response is standardized as that of the closed form is."""
    light = response(result)
    light = CONTRAST * (light - light.mean()) / light.std()
    return score_photograph((np.tanh(light) + 1) / 2, truth)


SCORES: Mapping[str, Callable[[Floats, Array], Score]] = {
    "LOL": score_photograph,
    "LOL, contrast fixed": at_fixed_contrast,
    "W2S": score_fitted,
    "Hagen": score_fitted,
}


@dataclass(frozen=True)
class Curve:
    """One seed on one image, over `STEPS`: the scores, (steps, 2), and all quantities."""

    data: str
    scores: Floats
    seen: Mapping[str, Floats]


def curves(folder: Path) -> Iterator[Curve]:
    """Train all seeds in both forms; look at, and score, all images."""
    sources = {3: {"LOL": lol}, 1: {"W2S": w2s, "Hagen": hagen}}
    for samples, sets in sources.items():
        trained = [list(snapshots(samples, seed)) for seed in SEEDS]
        for data, read in sets.items():
            for pair in read(folder):
                part = np.s_[:LARGEST, :LARGEST]
                yield from looked_at(data, Pair(pair.dim[part], pair.truth[part]), trained)


def looked_at(data: str, pair: Pair, trained: Sequence[Sequence[Snapshot]]) -> Iterator[Curve]:
    """Follow all seeds over `STEPS` on one image."""
    names = [name for name in SCORES if name.startswith(data)]
    seen: list[list[Quantities]] = [[] for _ in trained]
    scores: dict[str, list[list[Score]]] = {name: [[] for _ in trained] for name in names}
    for at in range(len(STEPS)):
        results = [shown(pair.dim, pair.axes, each[at].model) for each in trained]
        for seed, result in enumerate(results):
            snapshot = trained[seed][at]
            image = on_image(pair, snapshot.model, result, results[seed - 1])
            seen[seed].append(snapshot.known | image)
            for name in names:
                scores[name][seed].append(SCORES[name](result, pair.truth))
    for name in names:
        for quantities, score in zip(seen, scores[name], strict=True):
            over_steps = {key: np.array([each[key] for each in quantities]) for key in seen[0][0]}
            yield Curve(name, np.array(score), over_steps)


# The rules.


def first(met: NDArray[np.bool_]) -> int:
    """Return where a condition is first met; the last step, if nowhere."""
    return int(np.argmax(met)) if met.any() else len(met) - 1


def settled(values: Floats) -> int:
    """Return where a quantity stops to change."""
    change = np.abs(np.diff(values)) / np.abs(values[1:])
    return 1 + first(change < SETTLED)


def fixed(steps: int) -> Callable[[Curve], int]:
    """Stop at a number of steps, whatever happens."""
    return lambda curve: STEPS.index(steps)


def when_settled(name: str) -> Callable[[Curve], int]:
    """Stop where a quantity settles."""
    return lambda curve: settled(curve.seen[name])


def at_most(name: str) -> Callable[[Curve], int]:
    """Stop where a quantity is highest."""
    return lambda curve: int(np.argmax(curve.seen[name]))


def at_least(name: str) -> Callable[[Curve], int]:
    """Stop where a quantity is lowest."""
    return lambda curve: int(np.argmin(curve.seen[name]))


def when_still(name: str) -> Callable[[Curve], int]:
    """Stop where what moved by so much moves no more."""
    return lambda curve: first(curve.seen[name] < SETTLED)


RULES: Mapping[str, Callable[[Curve], int]] = {
    **{f"{steps} steps": fixed(steps) for steps in (600, 1000, 2000, 4000, 8000)},
    "training loss settled": when_settled("loss"),
    "held-out loss settled": when_settled("held-out loss"),
    "held-out loss lowest": at_least("held-out loss"),
    "L1 settled": when_settled("L1"),
    "total variation settled": when_settled("total variation"),
    "lag-1 correlation settled": when_settled("lag-1"),
    "kernel settled": when_settled("kernel"),
    "step response settled": when_settled("step"),
    "output on noise settled": when_still("output moved"),
    "weights settled": when_still("weights moved"),
    "contrast settled": when_settled("contrast"),
    "contrast highest": at_most("contrast"),
    "roughness settled": when_settled("roughness"),
    "roughness lowest": at_least("roughness"),
    "seeds agree best": at_most("seeds agree"),
    "halves agree best": at_most("halves agree"),
    "a half tells the other best": at_most("one half tells the other"),
}


# The tables.


def over_steps(all_curves: Sequence[Curve]) -> None:
    """Print loss and quality at each of `STEPS`; the deviation is that of seeds."""
    table = Table([5, 15, *(23 for _ in SCORES)])
    table.head(["steps", "loss, gray", *(f"{name}" for name in SCORES)])
    for at, steps in enumerate(STEPS):
        cells = []
        for name in SCORES:
            found = np.array([curve.scores[at] for curve in all_curves if curve.data == name])
            seeds = found.reshape(-1, len(SEEDS), 2).mean(axis=0)
            (psnr, ssim), (spread, _) = seeds.mean(axis=0), seeds.std(axis=0, ddof=1)
            cells.append(f"{psnr:.2f} ({spread:.2f}) / {ssim:.3f}")
        loss = [curve.seen["held-out loss"][at] for curve in all_curves if curve.data == "W2S"]
        table.row([f"{steps}", f"{np.mean(loss):.4f}", *cells])


def picked(all_curves: Sequence[Curve]) -> None:
    """Print at which step each rule stops, and what PSNR it loses to the best step."""
    table = Table([27, 17, 6, 19, 17, 6, 6])
    table.head(["rule", "color: steps", *list(SCORES)[:2], "gray: steps", "W2S", "Hagen"])
    for name, rule in RULES.items():
        steps: dict[str, list[int]] = {data: [] for data in SCORES}
        lost: dict[str, list[float]] = {data: [] for data in SCORES}
        for curve in all_curves:
            at = rule(curve)
            steps[curve.data].append(STEPS[at])
            lost[curve.data].append(curve.scores[:, 0].max() - curve.scores[at, 0])
        dark, contrast_fixed, *gray = (f"{np.mean(each):.2f}" for each in lost.values())
        color = span(steps["LOL"])
        table.row([name, color, dark, contrast_fixed, span(steps["W2S"] + steps["Hagen"]), *gray])


def span(steps: Sequence[int]) -> str:
    """Return the median, the least and the most."""
    return f"{np.median(steps):.0f} ({min(steps)}-{max(steps)})"


def main() -> None:
    """Print the machine, quality over steps, and what each rule is worth."""
    given = arguments(data_parser(__doc__.splitlines()[0]))
    print(f"{machine('scikit-image')}\n")
    all_curves = list(curves(given.folder))
    over_steps(all_curves)
    print()
    picked(all_curves)


if __name__ == "__main__":
    main()
