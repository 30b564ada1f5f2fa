"""Remake bundled weights, from seed 0 and no data.

``python -m napari_noiser.methods.noiser.train_bundled [NAME ...]`` trains the named recipes, or
all of them. The paper's take seconds; structured takes some 75 minutes on one core that computes
in bfloat16, its form for volumes, which begins from that for planes, an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_noiser.methods.noiser.model import bundled_file
from napari_noiser.methods.noiser.recipe import BUNDLED, RECIPES
from napari_noiser.methods.noiser.training import train
from napari_noiser.methods.registry import load_model

_VOLUMES_AFTER_PLANES = {"structured": 8_000}  # steps


def main(names: Sequence[str]) -> None:
    """Train the bundled models of these names, or all, on the CPU, and replace their files."""
    for name, samples, ndim in BUNDLED:
        if names and name not in names:
            continue
        recipe, start = RECIPES[name], None
        if ndim == 3 and recipe.is_denoiser:
            recipe = replace(recipe, iterations=_VOLUMES_AFTER_PLANES[name])
            start = load_model(name)
        form: dict[str, Any] = {"samples": samples, "ndim": ndim, "start": start}
        model = train(recipe, device="cpu", seed=0, progress=True, **form)
        model = replace(model, losses=())  # half of the file
        print(model.save(bundled_file(name, samples, ndim)), model.fingerprint)


if __name__ == "__main__":
    main(sys.argv[1:])
