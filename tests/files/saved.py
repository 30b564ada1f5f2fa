"""What the tests of saving share: small options, scenes, and what a file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_noiser.files.open_image import open_image

OPTIONS = {"tile": 16, "memory_limit": 2_000_000}
"""Blocks of 64 x 64 at most: a few dozen of them."""


def scene(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(5, shape).astype(np.uint16) + 100


def stored(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).array[:])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }
