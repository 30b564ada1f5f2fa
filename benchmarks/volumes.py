"""Tell what neighboring planes are worth: structured for volumes beside that for planes.

Run as ``python benchmarks/volumes.py``; no data are needed. Scenes are drawn as in training, from
seeds that training never had, and exposed. docs/science.md says what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from tables import Table, machine

import napari_noiser as noiser
from napari_noiser.methods.noiser.adjacent_planes import draw_adjacent_planes
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.structured_noise import Structure

Floats = NDArray[np.floating]

SCENES = 24
SIDE = 128
FIRST = 10_000
PHOTONS = ((0.5, 3.0), (3.0, 20.0), (20.0, 100.0))


def scene(seed: int) -> Floats:
    """Draw a plane of light, (1, Y, X)."""
    return Structure().light((SIDE, SIDE), 1, np.random.default_rng(seed))


def moving(seed: int) -> Floats:
    """Draw planes of one scene that moves and goes out of focus."""
    return draw_adjacent_planes(scene(seed), scene(seed), 0.0, 3, np.random.default_rng(seed))


KINDS: Mapping[str, Callable[[int], Floats]] = {
    "as in training": lambda seed: Structure().light(
        (3, SIDE, SIDE), 1, np.random.default_rng(seed)
    ),
    "standing still": lambda seed: np.stack([scene(seed)] * 3, axis=1),
    "moving, defocused": moving,
    "unrelated": lambda seed: np.stack([scene(seed + at) for at in (5000, 0, 9000)], axis=1),
}


def left(found: Floats, light: Floats, seen: Floats) -> float:
    """Return how much of the noise is left, as a root mean square."""
    return float(np.sqrt(np.mean((found - light) ** 2) / np.mean((seen - light) ** 2)))


def compare(draw: Callable[[int], Floats], exposure: PhotonNoise) -> tuple[Floats, Floats]:
    """Return what planes alone leave of the noise of middle planes, and what neighbors do."""
    rows = []
    for seed in range(FIRST, FIRST + SCENES):
        signal = torch.from_numpy(2 * draw(seed) - 1)[None].float()
        both = exposure.expose(signal, torch.Generator().manual_seed(seed))
        seen, light = (each[0, 0].numpy() for each in both)
        options = {"camera": None, "device": "cpu"}
        alone = noiser.denoise(seen[1], **options)
        between = noiser.denoise(seen, ndim=3, **options)[1]
        rows.append([left(found, light[1], seen[1]) for found in (alone, between)])
    alone, between = np.array(rows).T
    return alone, between


def main() -> None:
    """Print the machine and the table."""
    print(f"{machine('scikit-image')}\n")
    table = Table([20, 10, 12, 12, 8, 10])
    table.head(["neighbors", "photons", "planes alone", "between them", "ratio", "better in"])
    for span in PHOTONS:
        for name, draw in KINDS.items():
            alone, between = compare(draw, PhotonNoise(photons=span))
            table.row(
                [
                    name,
                    f"{span[0]:g}-{span[1]:g}",
                    f"{alone.mean():.3f}",
                    f"{between.mean():.3f}",
                    f"{np.median(between / alone):.3f}",
                    f"{np.mean(between < alone):.0%}",
                ]
            )


if __name__ == "__main__":
    main()
