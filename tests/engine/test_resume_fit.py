"""A fit that was stopped, in either stage or between them, ends as one that never was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.compare import drained
from helpers.models import BOTH, FIRST, QUICK
from helpers.scenes import counts, light
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from napari_noiser import fit, fit_steps, load_model
from napari_noiser.engine.fit import FittedRecipe, State
from napari_noiser.io import load_fit_state
from napari_noiser.recipes import IRLEModel

IMAGE = counts(light() * np.linspace(0.2, 4, 256))
CPU: dict[str, Any] = {"device": "cpu"}


def stopped(recipe: FittedRecipe, after: int) -> State:
    """Return where a fit stands after some steps."""
    steps = fit_steps(IMAGE, recipe, **CPU)
    event = [next(steps) for _ in range(after)][-1]
    state: State = event.state()
    steps.close()
    return state


@pytest.fixture(scope="module")
def whole() -> IRLEModel:
    found = fit(IMAGE, BOTH, **CPU)
    assert isinstance(found, IRLEModel)
    return found


@pytest.mark.parametrize("after", [1, 2, 3, 4, 6])
def test_both_stages(tmp_path: Path, whole: IRLEModel, after: int) -> None:
    path = stopped(BOTH, after).save(tmp_path / "state")
    state = load_fit_state(path)
    assert (state.done, state.total) == (after, 6)
    with pytest.raises(ValueError, match="it is unfinished: go on with it first"):
        load_model(path)
    steps = fit_steps(IMAGE, BOTH, resume=state, **CPU)
    found, model = drained(steps)
    assert [each.done for each in found] == list(range(after + 1, 7))
    assert model.describe() == whole.describe()
    assert model.retinex.losses == whole.retinex.losses
    assert model.denoiser.losses == whole.denoiser.losses


def test_it_can_be_stopped_again(whole: IRLEModel) -> None:
    """What stage 1 came to is in the states of stage 2, even if that is resumed."""
    state: State | None = None
    for _ in range(BOTH.iterations):
        steps = fit_steps(IMAGE, BOTH, resume=state, **CPU)
        state = next(steps).state()
        steps.close()
    assert fit(IMAGE, BOTH, resume=state, **CPU).describe() == whole.describe()


@pytest.mark.parametrize("after", [1, 3])
def test_stage_1_alone(after: int) -> None:
    resumed = fit(IMAGE, FIRST, resume=stopped(FIRST, after), **CPU)
    assert resumed.describe() == fit(IMAGE, FIRST, **CPU).describe()


@pytest.mark.parametrize("after", [2, 3, 5])
def test_another_fit_is_refused_before_a_step(after: int) -> None:
    state = stopped(BOTH, after)
    others = (
        replace(BOTH, retinex=replace(FIRST, batch=3)),
        replace(BOTH, denoiser=replace(BOTH.denoiser, iterations=4)),
    )
    for recipe in others:
        with pytest.raises(ValueError, match="resume is of another fit: its recipe"):
            fit_steps(IMAGE, recipe, resume=state, **CPU)
    with pytest.raises(ValueError, match="resume is of another fit: its seed is 0, not 3"):
        fit_steps(IMAGE, BOTH, resume=state, seed=3, **CPU)


def saved_again(image: NDArray[Any], path: Path, chunks: tuple[int, int]) -> zarr.Array[Any]:
    return zarr.create_array(path, data=image, chunks=chunks)


@pytest.mark.parametrize(("recipe", "after"), [(FIRST, 2), (QUICK, 2), (BOTH, 2), (BOTH, 5)])
def test_other_images_are_refused_and_the_same_ones_never(
    tmp_path: Path, recipe: FittedRecipe, after: int
) -> None:
    """A larger image, of which few values are sampled: other ones in other chunks."""
    image = np.tile(IMAGE, (5, 4))[:1060, :1000] + np.arange(1000)  # levels are told by chunks
    assert image.size > 2**20
    steps = fit_steps(saved_again(image, tmp_path / "a", (300, 70)), recipe, **CPU)
    event = [next(steps) for _ in range(after)][-1]
    state = load_fit_state(event.state().save(tmp_path / "state"))
    _, whole = drained(steps)
    moved = saved_again(image, tmp_path / "b", (64, 512))
    for same in (image, moved, da.from_array(moved)):
        found = fit(same, recipe, resume=state, **CPU)
        assert found.describe() == whole.describe()
    for others in (image[:, ::-1], [image, image], image[:-1], np.roll(image, 40, axis=0)):
        with pytest.raises(ValueError, match="is of another fit: its images, their camera"):
            fit_steps(others, recipe, resume=state, **CPU)
    with pytest.raises(ValueError, match="their camera, repair or mask are others"):
        fit_steps(image, recipe, resume=state, repair=False, **CPU)


def test_a_state_of_before_images_were_told_apart(tmp_path: Path) -> None:
    old = replace(stopped(FIRST, 2), images="")
    assert fit(IMAGE, FIRST, resume=old, **CPU).describe() == fit(IMAGE, FIRST, **CPU).describe()
    with pytest.raises(ValueError, match="resume is of another fit: its black is"):
        fit_steps(IMAGE + 7, FIRST, resume=old, **CPU)
    path = old.save(tmp_path / "state")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["napari_noiser"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["images"]
    save_file(tensors, path, metadata={"napari_noiser": json.dumps(header)})
    assert load_fit_state(path).images == ""


@pytest.mark.parametrize(
    ("begun", "recipe", "message"),
    [
        (BOTH, FIRST, "resume must be of type FitState for this recipe, got IRLEState"),
        (FIRST, BOTH, "resume must be of type IRLEState for this recipe, got FitState"),
        (FIRST, QUICK, "resume is of another fit: its stage is light, not denoise"),
        (QUICK, FIRST, "resume is of another fit: its stage is denoise, not light"),
    ],
)
def test_states_of_other_stages_are_refused(
    begun: FittedRecipe, recipe: FittedRecipe, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fit_steps(IMAGE, recipe, resume=stopped(begun, 1), **CPU)


def test_files_of_before_stage_1_could_be_resumed(tmp_path: Path, whole: IRLEModel) -> None:
    path = stopped(BOTH, 5).save(tmp_path / "state")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["napari_noiser"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("recipe", "done"):
        del header[name]
    del header["light"]["done"]
    tensors = {name.replace("light.weight.", "light."): each for name, each in tensors.items()}
    save_file(tensors, path, metadata={"napari_noiser": json.dumps(header)})
    state = load_fit_state(path)
    assert (state.done, state.total) == (5, 6)
    assert fit(IMAGE, BOTH, resume=state, **CPU).describe() == whole.describe()


def test_moments_must_go_with_the_weights() -> None:
    state: Any = stopped(FIRST, 2)
    with pytest.raises(ValueError, match="moments must be two of the shape of each weight"):
        replace(state, moments={})
    assert replace(state, done=3, moments={}).total == 3  # nothing is left to be done
