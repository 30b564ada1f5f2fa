"""What is interrupted: each way to make a file, small, and what it makes undisturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_noiser.files.fit_checkpoint as checkpoint
from napari_noiser import RECIPES, fit_steps, load_model, train_steps
from napari_noiser.files.enhance_to_file import enhance_to_file
from napari_noiser.files.open_image import open_image
from napari_noiser.recipes import BlindSpotRecipe

OPTIONS: dict[str, Any] = {"tile": 16, "memory_limit": 2_000_000}
IMAGE = np.random.default_rng(0).poisson(9, (3, 96, 100)).astype("u2")
DIM = np.random.default_rng(1).poisson(9 + np.arange(256) / 9, (256, 256)).astype("u2")
RECIPE = replace(RECIPES["noiser"], iterations=4, width=2, size=16)
FITTED = BlindSpotRecipe(iterations=3, width=2, scales=(2,), crop=32, batch=1)
OLDER = load_model("noiser")


@dataclass(frozen=True)
class Job:
    """A file that is made, resumed if it was begun; `read` returns what tells it from others."""

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]

    def whole(self, folder: Path) -> Any:
        """Return what an undisturbed run makes."""
        path = folder / "whole" / self.name
        path.parent.mkdir()
        self.make(path)
        found = self.read(path)
        shutil.rmtree(path.parent)
        return found


def _save(path: Path) -> None:
    enhance_to_file(IMAGE, path, "noiser", resume=True, **OPTIONS)


def _stored(path: Path) -> bytes:
    return np.asarray(open_image(path).array[:]).tobytes()


def _run(steps: Generator[Any, None, Path]) -> None:
    for _ in steps:
        pass


def _train(path: Path) -> None:
    if not path.exists():
        with checkpoint.lock_model(path):
            resume = checkpoint.load_training_checkpoint(path)
            steps = train_steps(RECIPE, device="cpu", resume=resume)
            _run(checkpoint.run_with_checkpoints(steps, path))


def _fit(path: Path) -> None:
    if not path.exists():
        with checkpoint.lock_model(path):
            resume: Any = checkpoint.load_checkpoint(path)
            steps = fit_steps(DIM, FITTED, device="cpu", resume=resume)
            _run(checkpoint.run_with_checkpoints(steps, path))


def _fingerprint(path: Path) -> str:
    return load_model(path).fingerprint


JOBS = {
    "zarr": Job("a.zarr", _save, _stored),
    "tif": Job("a.tif", _save, _stored),
    "train": Job("a.safetensors", _train, _fingerprint),
    "fit": Job("a.safetensors", _fit, _fingerprint),
}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make small chunks, and a checkpoint after each step."""
    monkeypatch.setattr("napari_noiser.files.writers.ome_zarr._SIDE", 32)
    monkeypatch.setattr("napari_noiser.files.writers.ome_zarr._BYTES", 5_000)
    monkeypatch.setattr(checkpoint, "_EVERY", -1.0)
