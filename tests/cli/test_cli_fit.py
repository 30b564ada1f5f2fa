"""The command that fits a model to images: what it writes, how it is stopped, and gone on with."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from scenes import counts, light, untrained

import napari_noiser.files.fit_checkpoint as checkpoint
from napari_noiser import enhance, fit, load_model
from napari_noiser.camera import CameraNoise
from napari_noiser.cli.main import main
from napari_noiser.cli.parser import make_parser
from napari_noiser.files.open_image import open_image
from napari_noiser.io import denoise_to_file, load_fit_state
from napari_noiser.recipes import BlindSpotRecipe, IRLEModel, IRLERecipe, RetinexRecipe

QUICK = ["--iterations", "3", "--width", "4", "--device", "cpu"]
RECIPE = BlindSpotRecipe(iterations=3, width=4)
DIM, OTHER = counts(light()), counts(light(seed=4), seed=5)


def run(*arguments: object) -> int:
    """Return the exit code of the command, which is quiet."""
    return main([*map(str, arguments), "--quiet"])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", DIM)
    return tmp_path / "a.npy"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "models" / "mine.safetensors"


def test_the_options_are_the_arguments_of_fit_and_its_recipe() -> None:
    asked = vars(make_parser().parse_args(["fit", "A", "B", "MODEL"]))
    own = {"command", "images", "target", "stages", "resume", "quiet", "debug"}
    recipe = {name: asked.pop(name) for name in ("iterations", "width")}
    recipe["gain"] = asked.pop("gain_map")
    assert BlindSpotRecipe(**recipe) == BlindSpotRecipe()
    parameters = signature(fit).parameters
    options = {name: value for name, value in asked.items() if name not in own}
    assert options == {
        name: each.default
        for name, each in parameters.items()
        if name not in {"images", "recipe", "gain_map", "resume", "progress"}
    }


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> IRLERecipe:
    """Return the recipe of both stages, which is quick in the command as well."""
    quick = partial(IRLERecipe, retinex=RetinexRecipe(iterations=2, widths=(4, 4)))
    monkeypatch.setattr("napari_noiser.cli.main.IRLERecipe", quick)
    return quick(denoiser=replace(RECIPE, gain="given"))


def test_both_stages_are_fitted(
    tmp_path: Path, image: Path, model: Path, both: IRLERecipe
) -> None:
    words = ("fit", image, model, "--stages", "both", *QUICK)
    assert run(*words) == 0
    found = load_model(model)
    assert isinstance(found, IRLEModel)
    assert found.recipe == both
    assert run(*words) == 2
    assert run(*words, "--resume") == 0
    assert run("enhance", image, tmp_path / "b.tif", "--model", model, "--device", "cpu") == 0


def test_a_model_is_fitted_and_used(
    tmp_path: Path, image: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", image, model, *QUICK) == 0
    assert capsys.readouterr() == (f"{model}\n", "")
    assert [path.name for path in model.parent.iterdir()] == ["mine.safetensors"]
    assert load_model(model).describe() == fit(DIM, RECIPE, device="cpu").describe()
    assert run("enhance", image, tmp_path / "b.tif", "--model", model) == 0
    assert_alike(open_image(tmp_path / "b.tif").array[:], enhance(DIM, model))
    assert run("enhance", image, tmp_path / "c.tif", "--model", model, "--camera", "none") == 2
    assert "--camera must be known for this model" in capsys.readouterr().err


def test_a_gain_map_is_passed_on(tmp_path: Path, image: Path, capsys: Any) -> None:
    gain = np.full(DIM.shape, 2.0)
    gain[:100] = 5
    np.save(tmp_path / "gain.npy", gain)
    recipe = BlindSpotRecipe(iterations=3, width=4, gain="given")
    model = fit(DIM, recipe, gain_map=gain, device="cpu")
    words = [image, tmp_path / "b.tif", "--model", model.save(tmp_path / "mine")]
    assert run("enhance", *words) == 2
    assert "--gain-map must be given" in capsys.readouterr().err
    assert run("enhance", *words, "--gain-map", tmp_path / "gain.npy") == 0
    assert_alike(open_image(tmp_path / "b.tif").array[:], enhance(DIM, model, gain_map=gain))


def test_a_gain_map_of_colors_whatever_their_axis(tmp_path: Path) -> None:
    photo, gain = np.stack([DIM[:80, :90]] * 3), np.linspace(1, 3, 90) * np.ones((80, 90))
    np.save(tmp_path / "photo.npy", photo)
    np.save(tmp_path / "gain.npy", gain)
    path = untrained(samples=3, spacing=2, scales=()).save(tmp_path / "mine")
    words = ["--model", path, "--gain-map", tmp_path / "gain.npy", "--camera", "3,50,0.5"]
    places = [tmp_path / "photo.npy", tmp_path / "b.zarr"]
    assert run("enhance", *places, *words, "--axes", "SYX") == 0
    expected = enhance(photo, path, axes="SYX", gain_map=gain, camera=CameraNoise(3, 50, 0.5))
    assert_alike(open_image(tmp_path / "b.zarr").array[:], expected)


def test_gain_maps_guide_the_fit(tmp_path: Path, model: Path) -> None:
    gain = 1 / np.linspace(0.2, 1, 256) * np.ones((256, 256))
    maps = tmp_path / "maps"
    maps.mkdir()
    a, b, one, other = tmp_path / "a.npy", tmp_path / "b.npy", maps / "a.npy", maps / "b.npy"
    for path, values in ((a, DIM), (b, OTHER), (one, gain), (other, gain[:, ::-1])):
        np.save(path, values)
    recipe, both = replace(RECIPE, gain="given"), [gain, gain[:, ::-1]]
    for named, given in ((one, [gain] * 2), (maps, both)):
        assert run("fit", a, b, model, *QUICK, "--gain-map", named) == 0
        found = load_model(model)
        expected = fit([DIM, OTHER], recipe, gain_map=given, device="cpu")
        assert found.describe() == expected.describe()
        assert run("fit", a, b, model, *QUICK, "--gain-map", named, "--resume") == 0
        model.unlink()


def test_gain_maps_are_of_the_image_of_their_name(tmp_path: Path, model: Path) -> None:
    gain = 1 / np.linspace(0.2, 1, 256) * np.ones((256, 256))
    for folder in ("maps", "others"):
        (tmp_path / folder).mkdir()
    a, b = tmp_path / "dim.ome.zarr", tmp_path / "a.other.npy"
    denoise_to_file(DIM, a, "structured-tiny")
    places = {"a.other": gain, "dim": gain[:, ::-1]}
    np.save(b, OTHER)
    for name, values in places.items():
        np.save(tmp_path / "maps" / f"{name}.npy", values)
    for name, values in zip(("1", "2"), places.values(), strict=True):
        np.save(tmp_path / "others" / f"{name}.npy", values)
    recipe, images = replace(RECIPE, gain="given"), [open_image(a).array, OTHER]
    for folder, maps in (("maps", [gain[:, ::-1], gain]), ("others", [gain, gain[:, ::-1]])):
        assert run("fit", a, b, model, *QUICK, "--gain-map", tmp_path / folder) == 0
        expected = fit(images, recipe, gain_map=maps, device="cpu")
        assert load_model(model).describe() == expected.describe()
        model.unlink()


def test_results_on_disk_are_gone_on_with(tmp_path: Path, image: Path, model: Path) -> None:
    assert run("fit", image, model, *QUICK) == 0
    for _ in range(2):
        assert run("enhance", image, tmp_path / "b.zarr", "--model", model, "--resume") == 0
    other = tmp_path / "other.safetensors"
    assert run("fit", image, other, *QUICK, "--seed", 1) == 0
    assert run("enhance", image, tmp_path / "b.zarr", "--model", other, "--resume") == 1


def test_every_option_and_several_images_reach_the_fit(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    stacks = [np.stack([each] * 3) for each in (DIM, OTHER, DIM * 2)]
    for name, stack in zip(("b", "c"), stacks[1:], strict=True):
        np.save(folder / f"{name}.npy", stack)
    np.save(tmp_path / "a.npy", stacks[0])
    words = "--axes TYX --ndim 3 --gain-map none --seed 5 --camera 3,50,.5 --no-repair"
    images = [tmp_path / "a.npy", folder]
    assert run("fit", *images, model, *QUICK, *words.split()) == 0
    found = load_model(model)
    assert (found.ndim, found.seed, found.recipe.gain) == (3, 5, "none")
    options: dict[str, Any] = {"axes": "TYX", "ndim": 3, "camera": CameraNoise(3, 50, 0.5)}
    recipe = BlindSpotRecipe(iterations=3, width=4, gain="none")
    expected = fit(stacks, recipe, repair=False, device="cpu", seed=5, **options)
    assert found.describe() == expected.describe()


class Stops:
    """A progress that a signal comes with after some steps."""

    def __init__(self, number: signal.Signals, after: int) -> None:
        self.number, self.after = number, after

    def __call__(self, done: int, total: int) -> None:
        if done == self.after:
            signal.raise_signal(self.number)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_keeps_what_was_learned_and_resume_goes_on(
    tmp_path: Path,
    image: Path,
    model: Path,
    number: signal.Signals,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr("napari_noiser.cli.main.progress_display", lambda *_: Stops(number, 2))
        assert run("fit", image, model, *QUICK) == code
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert capsys.readouterr().err.startswith(f"napari-noiser: {word}; what was learned")
    assert [path.name for path in model.parent.iterdir()] == ["mine.partial.safetensors"]
    state = load_fit_state(model.parent / "mine.partial.safetensors")
    assert state.done == 3  # a step is finished before it stops
    assert run("fit", image, model, *QUICK) == 2
    assert "is unfinished: --resume goes on with it" in capsys.readouterr().err
    assert run("fit", image, model, *QUICK, "--seed", 1, "--resume") == 2
    assert "--resume is of another fit: its seed is 0, not 1" in capsys.readouterr().err
    np.save(tmp_path / "other.npy", DIM[::-1])
    assert run("fit", tmp_path / "other.npy", model, *QUICK, "--resume") == 2
    assert "--resume is of another fit: its images" in capsys.readouterr().err
    image = image.rename(tmp_path / "moved.npy")
    assert run("fit", image, model, *QUICK, "--resume") == 0
    assert [path.name for path in model.parent.iterdir()] == ["mine.safetensors"]
    assert load_model(model).fingerprint == fit(DIM, RECIPE, device="cpu").fingerprint


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_both_stages_are_gone_on_with_wherever_they_stopped(
    image: Path, model: Path, both: IRLERecipe, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("fit", image, model, "--stages", "both", *QUICK)

    def stop(done: int, total: int) -> None:
        if done == steps:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("napari_noiser.cli.main.progress_display", lambda *_: stop)
        assert run(*words) == 130
    state = checkpoint.load_checkpoint(model)
    assert state is not None
    assert (state.done, state.total) == (steps, 5)
    assert run(*words, "--seed", 1, "--resume") == 2
    assert run(*words, "--resume") == 0
    assert load_model(model).fingerprint == fit(DIM, both, device="cpu").fingerprint


def test_a_minute_is_lost_at_most(
    image: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    write = checkpoint._write
    monkeypatch.setattr(checkpoint, "_EVERY", 0.0)
    monkeypatch.setattr(
        checkpoint, "_write", lambda state, path: (kept.append(state.done), write(state, path))
    )
    assert run("fit", image, model, *QUICK) == 0
    assert kept == [1, 2, 3]
    assert [path.name for path in model.parent.iterdir()] == ["mine.safetensors"]


def test_what_breaks_down_is_1_and_kept(
    image: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaking(done: int, total: int) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("napari_noiser.cli.main.progress_display", lambda *_: breaking)
    assert run("fit", image, model, *QUICK) == 1
    assert capsys.readouterr().err.startswith("napari-noiser: mine.safetensors: RuntimeError out")
    assert checkpoint.load_checkpoint(model).done == 1  # type: ignore[union-attr]


def test_a_finished_model_is_left_alone(
    image: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", image, model, *QUICK) == 0
    written = model.read_bytes()
    capsys.readouterr()
    assert run("fit", image, model, *QUICK, "--resume") == 0
    said = capsys.readouterr()
    assert said.out == f"{model}\n"
    assert "mine.safetensors: it was finished before and is left as it is" in said.err
    for others in ((), ("--seed", 1, "--resume")):
        assert run("fit", image, model, *QUICK, *others) == 2
        assert "mine.safetensors exists already" in capsys.readouterr().err
    assert model.read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("none.npy out.safetensors", "no image at .*none.npy"),
        ("a.npy out.tif", r"must end in .safetensors, got .*out\.tif"),
        ("empty out.safetensors", "no images in .*empty"),
        ("a.npy stack.npy out.safetensors", "--axes must be the same for all.*'YX' of .*'ZYX' of"),
        ("a.npy out.safetensors --axes ZYX", "axes"),
        ("small.npy out.safetensors", "small.npy has too few pixels"),
        ("a.npy nan.npy out.safetensors", "nan.npy must be finite throughout"),
        ("a.npy out.safetensors --width 0", "--width must be a whole number of at least 1"),
        ("a.npy out.safetensors --iterations 0", "--iterations must be a whole number"),
        ("a.npy out.safetensors --device tpu", "--device 'tpu' does not work here"),
        ("a.npy out.safetensors --gain-map given", "no image at given"),
        ("a.npy out.safetensors --gain-map maps", "without a partner: maps/b.npy"),
        ("a.npy small.npy out.safetensors --gain-map maps", "partner: small.npy, maps/b.npy"),
        (
            "small.npy out.safetensors --gain-map maps",
            "must be one map, or one map an image, 1; got 2",
        ),
        ("a.npy out.safetensors --gain-map small.npy", "--gain-map must have the image's shape"),
        ("a.npy out.safetensors --gain-map zero.npy", "--gain-map must be finite and above 0"),
        ("a.npy out.safetensors --stages both --gain-map a.npy", "stage 1 finds the gain"),
    ],
)
def test_a_wrong_command_is_said_in_one_line_and_begins_nothing(
    tmp_path: Path, image: Path, arguments: str, reason: str, capsys: Any, monkeypatch: Any
) -> None:
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "stack.npy", np.stack([DIM] * 3))
    np.save(tmp_path / "small.npy", DIM[:50])
    np.save(tmp_path / "zero.npy", np.zeros(DIM.shape))
    np.save(tmp_path / "nan.npy", np.full(DIM.shape, np.nan))
    (tmp_path / "maps").mkdir()
    for name in "ab":
        np.save(tmp_path / "maps" / name, DIM)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert run("fit", *arguments.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(f"napari-noiser: .*{reason}.*\n", said.err), said.err
    assert sorted(tmp_path.rglob("*")) == before


def test_as_a_process_it_is_terminated_and_goes_on(image: Path, model: Path) -> None:
    words = ["fit", image, model, "--width", 4, "--device", "cpu", "--iterations"]
    command = [sys.executable, "-m", "napari_noiser", *map(str, words)]
    process = subprocess.Popen([*command, "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line == "napari-noiser: mine.safetensors: 1 of 100000 steps\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert process.stderr.read().splitlines()[-1].startswith("napari-noiser: terminated; what was")
    state = checkpoint.load_checkpoint(model)
    assert state is not None
    assert 1 <= state.done < 100_000
