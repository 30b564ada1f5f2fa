"""Model files with changed bits, lengths and headers: told by name, and at once."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import FITTED
from safetensors.torch import load_file, save_file

from napari_noiser import denoise, enhance, load_model
from napari_noiser.files.fit_checkpoint import load_fit_state
from napari_noiser.methods.base import Model
from napari_noiser.methods.irle.blind_spot.training import initial_model
from napari_noiser.methods.irle.checkpoint import FitState
from napari_noiser.methods.irle.retinex.training import initial_retinex
from napari_noiser.methods.model_file import read_model_file
from napari_noiser.recipes import IRLEModel, RetinexRecipe

IMAGE = np.random.default_rng(0).poisson(20, (64, 64)).astype("u2")
SMALL = RetinexRecipe(widths=(2, 3))


def models() -> dict[str, Model]:
    """Return a small model of each kind."""
    blind, retinex = initial_model(FITTED, 1, 2, 0), initial_retinex(SMALL, 1, 0)
    guided = initial_model(replace(FITTED, gain="given"), 1, 2, 0)
    return {
        "noiser": load_model("noiser"),
        "structured-tiny": load_model("structured-tiny"),
        "blind": blind,
        "retinex": retinex,
        "both": IRLEModel(retinex, guided),
    }


MODELS = models()


def mutated(content: bytes, draws: random.Random) -> bytes:
    """Return a file's content with a fault of one of five kinds."""
    changed = bytearray(content)
    at, kind = draws.randrange(len(changed)), draws.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << draws.randrange(8)
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        changed[at : at + draws.randrange(1, 64)] = draws.randbytes(draws.randrange(64))
    elif kind == 3:
        length = int.from_bytes(content[:8], "little")
        at = 8 + draws.randrange(length)
        changed[at] = draws.randrange(32, 127)
    else:
        changed[:8] = draws.randrange(2 ** draws.randrange(64)).to_bytes(8, "little")
    return bytes(changed)


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_changed_is_refused_by_name(kind: str, tmp_path: Path, thorough: bool) -> None:
    path, draws = tmp_path / "a.safetensors", random.Random(kind)
    whole = MODELS[kind].save(path).read_bytes()
    told: list[str] = []
    for _ in range(240 if thorough else 40):
        path.write_bytes(mutated(whole, draws))
        began = time.monotonic()
        try:
            found = load_model(path)
        except ValueError as error:
            told.append(str(error))
        else:  # the same, written otherwise: a space in the header, or no change at all
            assert found.describe() == MODELS[kind].describe()
        assert time.monotonic() - began < 10
    assert len(told) > 20
    assert all(str(path) in each for each in told), told


@pytest.mark.parametrize("kind", ["noiser", "blind"])
def test_the_fingerprint_tells_where_there_is_no_checksum(kind: str, tmp_path: Path) -> None:
    path = MODELS[kind].save(tmp_path / "a.safetensors")
    tensors, header = load_file(path), MODELS[kind].header()
    tensors[next(iter(tensors))].view(-1)[0] += 1
    write(path, {"format": 1, **header}, tensors)
    with pytest.raises(ValueError, match=r"a\.safetensors.*fingerprint"):
        load_model(path)


def write(path: Path, header: Any, tensors: dict[str, torch.Tensor]) -> Path:
    """Write a model file as before there were checksums."""
    save_file(tensors, path, metadata={"napari_noiser": json.dumps(header)})
    return path


HEADERS: list[Any] = [
    None,
    0,
    "text",
    [],
    [1],
    {},
    {"format": 1},
    {"format": 1, "denoiser": 3},
    {"format": 1, "recipe": [], "samples": 1, "ndim": 2, "seed": 0, "trained_on": "cpu"},
]
CLAIMS: list[dict[str, Any]] = [
    {"width": 10**9},
    {"width": 2**62},
    {"blocks": 10**9},
    {"blocks": 10**4},
    {"scales": [10**8]},
    {"scales": [2**40, 2**40]},
    {"spacing": 10**12},
    {"crop": 2**62},
]


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_header_that_is_none_is_refused(header: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", header, MODELS["noiser"].weights)
    for load in (load_model, load_fit_state):
        with pytest.raises(ValueError, match=r"a\.safetensors is not a readable"):
            load(path)


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
@pytest.mark.parametrize("samples", [1, 10**9])
def test_what_a_header_claims_is_held_against_the_weights(
    claim: dict[str, Any], samples: int, tmp_path: Path
) -> None:
    import resource

    model = MODELS["blind"]
    header = {"format": 1, **model.header(), "samples": samples}
    header["recipe"] = {**header["recipe"], **claim}
    path = write(tmp_path / "a.safetensors", header, model.weights)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    if claim == {"crop": 2**62} and samples == 1:  # of the fit alone
        load_model(path)
    else:
        with pytest.raises(ValueError, match=r"a\.safetensors is not a readable model"):
            load_model(path)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_nothing_of_a_checkpoint_is_believed(tmp_path: Path) -> None:
    path = FitState(initial_model(FITTED, 1, 2, 0), 0).save(tmp_path / "a.safetensors")
    content, draws = path.read_bytes(), random.Random(0)
    assert load_fit_state(path).done == 0  # type: ignore[union-attr]
    for _ in range(30):
        path.write_bytes(changed := mutated(content, draws))
        if changed != content:
            with pytest.raises(ValueError, match=re.escape(str(path))):
                load_fit_state(path)


def zeros(weight: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(weight)


def huge(weight: torch.Tensor) -> torch.Tensor:
    return torch.full_like(weight, 3e38)


def not_finite(weight: torch.Tensor) -> torch.Tensor:
    return torch.full_like(weight, torch.inf)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("make", [zeros, huge, not_finite])
@pytest.mark.parametrize("verb", [enhance, denoise])
@pytest.mark.filterwarnings("ignore:no signal")
def test_no_display_is_nan_where_the_image_is_not(
    kind: str, make: Callable[[torch.Tensor], torch.Tensor], verb: Any, tmp_path: Path
) -> None:
    model = MODELS[kind]
    if kind == "both" or (verb is denoise and not model.traits.is_denoiser):
        return
    try:
        weights = {name: make(each) for name, each in model.weights.items()}
        result = verb(IMAGE, replace(model, weights=weights))  # type: ignore[call-arg]
    except ValueError:
        return
    assert np.isfinite(result).all()


NAMES = ["noiser", "structured", "auto", "mine", "noiser-es"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_current_folder_is_no_bundled_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MODELS["blind"].save(tmp_path / name)
    other.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    if name in ("auto", "mine"):
        with pytest.raises(ValueError, match="model must be"):
            load_model(name)
    else:
        assert load_model(name).recipe.name == name
        assert load_model(Path(name)).recipe.name == name  # type: ignore[arg-type]
    assert load_model(f"./{name}").fingerprint == MODELS["blind"].fingerprint
    assert load_model(tmp_path / name).fingerprint == MODELS["blind"].fingerprint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="no regular file"):
        load_model(tmp_path / "a.safetensors")


def test_a_model_in_memory_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = MODELS["blind"].save(tmp_path / "a.safetensors")
    model = load_model(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    with path.open("r+b") as file:
        file.truncate(0)
    assert model.fingerprint == MODELS["blind"].fingerprint


def test_every_bundled_model_is_held_against_its_checksum() -> None:
    from napari_noiser.methods.noiser.model import bundled_file
    from napari_noiser.methods.noiser.recipe import BUNDLED

    for form in BUNDLED:
        header, _ = read_model_file(bundled_file(*form), lambda *parts: parts)
        assert (
            header["fingerprint"]
            == load_model(*form[:1], samples=form[1], ndim=form[2]).fingerprint
        )
