"""The command line does to files what Python does to arrays, and says in a line what is wrong."""

from __future__ import annotations

import io
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import tifffile
from alike import assert_alike

from napari_noiser import RECIPES, denoise, enhance, load_model, train
from napari_noiser.__main__ import main as installed
from napari_noiser.camera import CameraNoise
from napari_noiser.cli.main import main
from napari_noiser.cli.parser import add_options, make_parser
from napari_noiser.engine.options import EnhanceOptions, Option, options_of
from napari_noiser.files.open_image import open_image

STACK = np.random.default_rng(0).poisson(5, (3, 40, 50)).astype(np.uint16) + 100


def stored(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).array[:])


def run(*arguments: object) -> int:
    """Return the exit code of the command, which is quiet."""
    return main([*map(str, arguments), "--quiet"])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "a.tif", STACK, ome=True, metadata={"axes": "ZYX"})
    return tmp_path / "a.tif"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images; the second, by name, is broken."""
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "a.ome.tif", STACK, ome=True, metadata={"axes": "ZYX"})
    (images / "b.tif").write_bytes(b"II*\0 and no more")
    np.save(images / "c.npy", STACK[0])
    return images


def defaults(of: Callable[..., Any], *others: str) -> dict[str, Any]:
    """Return the arguments of a function with their defaults, but for some."""
    parameters = signature(of).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in others}


@pytest.mark.parametrize(
    ("shape", "options"), [((40, 50, 3), ()), ((4, 20, 30, 3), ("--ndim", 3))]
)
def test_colors_are_kept(tmp_path: Path, shape: tuple[int, ...], options: tuple[Any, ...]) -> None:
    color = np.random.default_rng(0).poisson(5, shape).astype(np.uint16) * [4, 2, 1]
    np.save(tmp_path / "a.npy", color)
    axes = "ZYXS"[-len(shape) :]
    arguments = ("--axes", axes, "--colors", "kept", *options)
    assert run("enhance", tmp_path / "a.npy", tmp_path / "b.tif", *arguments) == 0
    expected = enhance(color, axes=axes, colors="kept", ndim=3 if options else 2)
    np.testing.assert_allclose(stored(tmp_path / "b.tif"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("verb", [enhance, denoise])
def test_the_options_are_the_arguments_of_the_function(verb: Callable[..., Any]) -> None:
    asked = vars(make_parser().parse_args([verb.__name__, "IN", "OUT"]))
    own = {"command", "source", "target", "to", "resume", "quiet", "debug"}
    options = {name: value for name, value in asked.items() if name not in own}
    assert options == defaults(verb, "image", "out", "progress")


class ExtendedOptions(EnhanceOptions, total=False):
    """The options of enhance, and two more."""

    gamma: Annotated[
        float, Option(2.0, "float", "", help="100 % bent", parse=float, metavar="POWER")
    ]
    inverted: Annotated[bool, Option(False, "bool", "", help="show a negative")]
    internal: Annotated[int, Option(0, "int", "Not for the command line.")]


def test_an_option_is_offered_as_soon_as_it_is_defined() -> None:
    parser = ArgumentParser()
    add_options(parser, options_of(ExtendedOptions))
    given = parser.parse_args(["--gamma", "1.5", "--inverted", "--ndim", "3"])
    assert (given.gamma, given.inverted, given.ndim) == (1.5, True, 3)
    assert not hasattr(given, "internal")
    without = parser.parse_args(["--no-inverted"])
    assert (without.gamma, without.inverted) == (2.0, False)
    said = " ".join(parser.format_help().split())
    assert "--gamma POWER 100 % bent (default: 2.0)" in said
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--gamma", "much"])


def test_the_options_are_the_arguments_of_train() -> None:
    asked = vars(make_parser().parse_args(["train", "noiser", "OUT"]))
    own = {"command", "recipe", "target", "iterations", "resume", "quiet", "debug"}
    options = {name: value for name, value in asked.items() if name not in own}
    assert options == defaults(train, "recipe", "resume", "progress")
    assert Parameter.empty not in options.values()


def test_training_begins_from_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volumes = tmp_path / "volumes.safetensors"
    options = ("--steps", 1, "--device", "cpu", "--ndim", 3, "--start", "structured-tiny")
    assert run("train", "structured-tiny", volumes, *options) == 0
    assert load_model(volumes).begun_from == load_model("structured-tiny").fingerprint
    assert run("train", "noiser", tmp_path / "b.safetensors", *options) == 2
    assert "--start must be a model of the same shapes" in capsys.readouterr().err


def test_a_training_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "noiser", tmp_path / "mine.safetensors", "--steps", 6, "--device", "cpu")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("napari_noiser.cli.main.progress_display", lambda *_: stop)
        assert run(*words) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["mine.partial.safetensors"]
    assert run(*words) == 2
    assert "is unfinished: --resume goes on with it" in capsys.readouterr().err
    assert run(*words, "--seed", 1, "--resume") == 2
    assert run(*words, "--resume") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    recipe = replace(RECIPES["noiser"], iterations=6)
    model = load_model(tmp_path / "mine.safetensors")
    assert model.fingerprint == train(recipe, device="cpu").fingerprint


@pytest.mark.parametrize("name", ["bright.ome.zarr", "bright.zarr", "bright.tif", "bright.TIFF"])
def test_a_file_holds_what_python_returns(
    tmp_path: Path, image: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("enhance", image, tmp_path / "results" / name) == 0
    np.testing.assert_allclose(stored(tmp_path / "results" / name), enhance(STACK), atol=1e-6)
    assert open_image(tmp_path / "results" / name).space.axes == "ZYX"
    assert capsys.readouterr() == (f"{tmp_path / 'results' / name}\n", "")


def test_every_option_reaches_enhance(tmp_path: Path) -> None:
    stack, mask = np.stack([STACK, STACK[::-1] ** 2]), np.ones(STACK.shape, bool)
    mask[..., 30:] = False
    np.save(tmp_path / "a.npy", stack)
    np.save(tmp_path / "mask.npy", mask)
    words = (
        "--model noiser-es --axes CZYX --ndim 3 --statistics volume --brightness -.5 "
        "--contrast 1.5 --device cpu --tile 16 --memory-limit 2MB --dtype uint16"
    )
    options = [*words.split(), "--mask", tmp_path / "mask.npy"]
    out = tmp_path / "b.zarr"
    assert run("enhance", tmp_path / "a.npy", out, *options) == 0
    expected = enhance(
        stack,
        "noiser-es",
        axes="CZYX",
        ndim=3,
        statistics="volume",
        mask=mask,
        brightness=-0.5,
        contrast=1.5,
        dtype="uint16",
    )
    assert stored(out).dtype == np.uint16
    np.testing.assert_allclose(stored(out).astype(int), expected.astype(int), atol=1)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", {}),
        ("--camera none", {"camera": None}),
        ("--camera 2,100,1.5", {"camera": CameraNoise(2, 100, 1.5)}),
        ("--camera 2,100,1.5 --no-repair", {"camera": CameraNoise(2, 100, 1.5), "repair": False}),
        ("--max-change .5 --conserve 2", {"max_change": 0.5, "conserve": 2.0}),
    ],
)
def test_the_camera_and_what_light_keeps_are_passed_on(
    tmp_path: Path, words: str, asked: dict[str, Any]
) -> None:
    electrons = np.random.default_rng(0).poisson(np.linspace(3, 60, 90), (80, 90))
    electrons[40, 40] = 5000
    image = (2 * electrons + 100).astype("uint16")
    np.save(tmp_path / "a.npy", image)
    options = ["--device", "cpu", *words.split()]
    assert run("denoise", tmp_path / "a.npy", tmp_path / "b.tif", *options) == 0
    expected = denoise(image, "structured", device="cpu", **asked)
    assert_alike(stored(tmp_path / "b.tif"), expected)
    if asked:
        plain = denoise(image, "structured", device="cpu")
        assert abs(expected - plain).max() > 0.1


def test_a_background_is_passed_on(tmp_path: Path, image: Path) -> None:
    assert run("enhance", image, tmp_path / "b.tif", "--background", "gray") == 0
    expected = enhance(STACK, background="gray")
    np.testing.assert_allclose(stored(tmp_path / "b.tif"), expected, atol=1e-6)
    assert abs(expected - enhance(STACK)).max() > 0.1


def test_a_model_of_ones_own_is_trained_and_used(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "models" / "mine.safetensors"
    assert run("train", "noiser-var3", model, "--iterations", 3, "--seed", 7) == 0
    assert capsys.readouterr() == (f"{model}\n", "")
    assert (load_model(model).seed, load_model(model).recipe.iterations) == (7, 3)
    assert run("enhance", image, tmp_path / "b.tif", "--model", model) == 0
    np.testing.assert_allclose(stored(tmp_path / "b.tif"), enhance(STACK, model), atol=1e-6)
    assert run("train", "noiser", model) == 2
    assert "mine.safetensors exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ([], ["a.ome.tif", "c.tif"]),
        (["--to", "tif"], ["a.ome.tif", "c.tif"]),
        (["--to", "zarr"], ["a.ome.zarr", "c.zarr"]),
    ],
)
def test_of_a_folder_all_are_tried_and_the_broken_one_is_named(
    tmp_path: Path, folder: Path, to: list[str], names: list[str], capsys: Any
) -> None:
    out = tmp_path / "results"
    assert run("enhance", folder, out, *to) == 1
    said = capsys.readouterr()
    assert said.out.split() == [str(out / name) for name in names]
    (line,) = said.err.splitlines()
    assert line.startswith("napari-noiser: b.tif: ")
    assert "cannot be opened" in line
    assert sorted(path.name for path in out.iterdir()) == names
    np.testing.assert_allclose(stored(out / names[0]), enhance(STACK), atol=1e-6)


def test_a_folder_of_stores_becomes_one_of_stores(tmp_path: Path, image: Path) -> None:
    assert run("enhance", image, tmp_path / "images" / "a.ome.zarr") == 0
    assert run("enhance", tmp_path / "images", tmp_path / "results") == 0
    assert run("enhance", tmp_path / "images" / "a.ome.zarr", tmp_path / "b.tif") == 0
    result = stored(tmp_path / "results" / "a.ome.zarr")
    np.testing.assert_array_equal(result, stored(tmp_path / "b.tif"))


def test_what_exists_is_an_error_before_anything_is_computed(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    out.mkdir()
    (out / "c.tif").write_text("mine")
    assert run("enhance", folder, out) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"napari-noiser: {out / 'c.tif'} exists already")
    assert [path.name for path in out.iterdir()] == ["c.tif"]
    assert run("enhance", folder, out, "--resume") == 1
    assert (out / "c.tif").read_text() == "mine"
    said = capsys.readouterr()
    assert said.out.split() == [str(out / "a.ome.tif")]
    assert "c.tif exists, and is no result of enhance_to_file" in said.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("none.tif b.zarr", "no image at .*none.tif"),
        ("a.tif b.png", r"OUT of one image must end in .zarr, .tif, .tiff, got .*b\.png"),
        ("a.tif a.tif", "OUT must be another place than IN"),
        ("a.tif b.tif --to tif", "--to is for folders"),
        ("empty results", "no images in .*empty: neither TIFF nor zarr"),
        ("images b.zarr", "OUT must be a folder, got .*b.zarr"),
        ("images a.tif", "OUT must be a folder, got .*a.tif"),
        ("twins results", r"c\.npy and c\.tif would both become .*c\.tif"),
        ("a.tif b.tif --axes ZZYX", "--axes takes each of T, C, Z, Y, X, S once, got 'ZZYX'"),
        ("a.tif b.tif --axes QYX", "--axes takes each of T, C, Z, Y, X, S once, got 'QYX'"),
        ("a.tif b.tif --axes CYX --ndim 3", "--axes must have Z, or T in its place, for --ndim 3"),
        (
            "a.tif b.tif --model noiser --max-change 2",
            "--max-change takes a model that learned to see light",
        ),
        (
            "a.tif b.tif --statistics plane --ndim 3",
            "--statistics 'plane' does not go with --ndim 3",
        ),
        ("a.tif b.tif --max-change -1", "--max-change must be a finite number above 0"),
        ("a.tif b.tif --contrast 0", "--contrast must be a finite number above 0.*got 0"),
        ("a.tif b.tif --model nosier", "--model must be .* one of .*'noiser'.*got 'nosier'"),
        ("a.tif b.tif --model no.safetensors", "there is no model file no.safetensors"),
        ("a.tif b.tif --device tpu", "--device 'tpu' does not work here"),
        ("a.tif b.tif --dtype int8", "--dtype must be one of .*got 'int8'"),
        ("a.tif b.tif --tile 0", "--tile must be a whole number"),
        ("a.tif b.tif --mask no.tif", "no image at no.tif"),
    ],
)
def test_a_wrong_command_is_said_in_one_line_and_begins_nothing(
    tmp_path: Path, folder: Path, image: Path, arguments: str, reason: str, capsys: Any
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "twins").mkdir()
    for name in ("c.tif", "c.npy"):
        (tmp_path / "twins" / name).touch()
    before = sorted(tmp_path.rglob("*"))
    source, target, *options = arguments.split()
    assert run("enhance", tmp_path / source, tmp_path / target, *options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(f"napari-noiser: .*{reason}.*\n", said.err), said.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["enhance", "a.tif"],
        ["enhance", "a.tif", "b.tif", "--ndim", "4"],
        ["enhance", "a.tif", "b.tif", "--statistics", "all"],
        ["enhance", "a.tif", "b.tif", "--memory-limit", "8 apples"],
        ["enhance", "a.tif", "b.tif", "--memory-limit", "3.5"],
        ["train", "unknown", "b.safetensors"],
        ["train", "noiser", "b.safetensors", "--samples", "2"],
        ["fit", "a.tif", "b.safetensors", "--camera", "none"],
        ["enhance", "a.tif", "b.tif", "--camera", "2,100"],
        ["denoise", "a.tif", "b.tif", "--background", "dark"],
    ],
)
def test_what_argparse_refuses_is_2_as_well(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8000", 8000),
        ("8GB", 8 * 10**9),
        ("1.5g", 1_500_000_000),
        ("500 MiB", 500 * 2**20),
        ("2TiB", 2 * 2**40),
        ("64k", 64_000),
    ],
)
def test_memory_is_given_with_its_unit(text: str, number: int) -> None:
    asked = make_parser().parse_args(["enhance", "IN", "OUT", "--memory-limit", text])
    assert asked.memory_limit == number


def test_options_that_do_not_fit_an_image_are_its_own_failure(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "mask.npy", np.ones((9, 9), bool))
    assert run("enhance", image, tmp_path / "b.tif", "--axes", "YX") == 1
    assert "--axes 'YX' names 2 axes, but the image has 3" in capsys.readouterr().err
    assert run("enhance", image, tmp_path / "b.tif", "--mask", tmp_path / "mask.npy") == 1
    said = capsys.readouterr().err
    assert said.startswith("napari-noiser: a.tif: --mask must have the image's shape")
    assert "Traceback" not in said
    assert run("enhance", image, tmp_path / "b.tif", "--axes", "YX", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_warnings_are_lines_for_every_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat").mkdir()
    for name in "ab":
        np.save(tmp_path / "flat" / f"{name}.npy", np.ones((9, 9)))
    assert run("enhance", tmp_path / "flat", tmp_path / "results") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" in 1 of")[0] for line in lines] == [
        f"napari-noiser: {name}.npy: warning: no signal" for name in "ab"
    ]


class Terminal(io.StringIO):
    """What tqdm takes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert main(["enhance", str(image), str(tmp_path / "b.tif")]) == 0
    assert capsys.readouterr().err == "napari-noiser: a.tif: 1 of 6 steps\n"
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["enhance", str(image), str(tmp_path / "c.tif")]) == 0
    assert "a.tif: 100%|" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_it_is_installed_under_its_name() -> None:
    (command,) = entry_points(group="console_scripts", name="napari-noiser")
    assert command.load() is installed
