"""What files mean, from the command line: masks, fill, named axes, white at zero, banding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from helpers.compare import assert_alike
from helpers.scenes import counts, light
from numpy.typing import NDArray

from napari_noiser import denoise, enhance, load_model
from napari_noiser.cli.main import main
from napari_noiser.files.open_image import open_image

DIM = np.round(counts(light((90, 110)))).astype("uint16")
VERBS: dict[str, Any] = {"enhance": enhance, "denoise": denoise}
MODELS = {"enhance": "noiser", "denoise": "structured-tiny"}


def result(verb: str, source: Path, *words: object) -> NDArray[Any]:
    """Return what the command makes of a file."""
    target = source.with_name("out.tif")
    target.unlink(missing_ok=True)
    arguments = [verb, source, target, "--model", MODELS[verb], "--device", "cpu", *words]
    assert main([*map(str, arguments), "--quiet"]) == 0
    return np.asarray(open_image(target).array[:])


def expected(verb: str, image: Any, **options: Any) -> Any:
    return VERBS[verb](image, MODELS[verb], device="cpu", **options)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stored", ["npy", "tif", "zarr"])
def test_a_mask_leaves_pixels_out(tmp_path: Path, verb: str, stored: str) -> None:
    mask = np.ones(DIM.shape, "uint8")
    mask[:, :30] = 0
    beside, spoiled = tmp_path / f"mask.{stored}", DIM.copy()
    if stored == "npy":
        np.save(beside, mask)
    elif stored == "tif":
        tifffile.imwrite(beside, mask)
    else:
        zarr.save_array(str(beside), mask)
    spoiled[:, :27] = 60000
    found = []
    for name, image in (("a", DIM), ("b", spoiled)):
        np.save(tmp_path / f"{name}.npy", image)
        found.append(result(verb, tmp_path / f"{name}.npy", "--mask", beside))
        assert_alike(found[-1], expected(verb, image, mask=mask), 1e-3)
    far = 2 + (60 if verb == "denoise" else 30)
    np.testing.assert_array_equal(found[0][:, far:], found[1][:, far:])


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("value", "said", "fill"),
    [
        (0, [], "auto"),
        (0, ["--fill", "auto"], "auto"),
        (0, ["--fill", "none"], None),
        (65535, ["--fill", "65535"], 65535),
        (7, ["--fill", "0,7"], (0, 7)),
    ],
)
def test_fill_is_found_said_or_denied(
    tmp_path: Path, verb: str, value: int, said: list[str], fill: Any
) -> None:
    image = DIM.copy()
    image[:20] = value
    np.save(tmp_path / "a.npy", image)
    found = result(verb, tmp_path / "a.npy", *said)
    assert_alike(found, expected(verb, image, fill=fill), 1e-3)
    if fill is not None:
        assert (found[:20] == (0 if verb == "enhance" else value)).all()


@pytest.mark.parametrize(("said", "part"), [("nothing", "numbers"), ("0;1", "numbers")])
def test_what_is_no_fill_is_refused(
    tmp_path: Path, said: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", DIM)
    words = ["enhance", str(tmp_path / "a.npy"), str(tmp_path / "b.tif"), "--fill", said]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("names", "axes"),
    [(("time", "y", "x"), "TYX"), (("channel", "row", "col"), "CYX"), (("z", "y", "x"), "ZYX")],
)
@pytest.mark.parametrize("version", [2, 3])
def test_axes_have_the_names_that_a_store_gives_them(
    tmp_path: Path, verb: str, names: tuple[str, ...], axes: str, version: int
) -> None:
    stack = np.stack([DIM, DIM[::-1] * 3])
    path = tmp_path / "a.zarr"
    if version == 3:
        array = zarr.create_array(
            str(path), shape=stack.shape, dtype=stack.dtype, dimension_names=names
        )
    else:
        array = zarr.create_array(str(path), shape=stack.shape, dtype=stack.dtype, zarr_format=2)
        array.attrs["_ARRAY_DIMENSIONS"] = list(names)
    array[:] = stack
    found = result(verb, path)
    assert_alike(found, expected(verb, stack, axes=axes), 1e-3)
    assert_alike(result(verb, path, "--axes", axes), found, 1e-6)


def test_a_name_that_is_not_understood_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=(2, 90, 110),
        dtype="u2",
        dimension_names=("flavor", "y", "x"),
    )
    array[:] = np.stack([DIM, DIM])
    code = main(["enhance", str(tmp_path / "a.zarr"), str(tmp_path / "b.tif"), "--quiet"])
    assert code != 0
    assert "flavor" in capsys.readouterr().err
    assert not (tmp_path / "b.tif").exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_at_zero_is_light(tmp_path: Path, verb: str, dtype: str) -> None:
    image = (DIM // (1 if dtype == "uint16" else 4)).clip(0, np.iinfo(dtype).max).astype(dtype)
    stored = np.iinfo(dtype).max - image
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    assert_alike(result(verb, tmp_path / "a.tif"), expected(verb, image), 1e-3)


@pytest.mark.parametrize("lines", ["rows", "columns", "both"])
def test_banding_is_taken_out(tmp_path: Path, lines: str) -> None:
    image = DIM + np.random.default_rng(0).integers(0, 90, (90, 1)).astype("uint16")
    np.save(tmp_path / "a.npy", image)
    found = result("denoise", tmp_path / "a.npy", "--banding", lines)
    assert_alike(found, expected("denoise", image, banding=lines), 1e-3)


def test_a_fit_hears_a_mask_and_fill(tmp_path: Path) -> None:
    image = np.round(counts(light((256, 260)))).astype("uint16")
    mask = np.ones(image.shape, "uint8")
    mask[:, :60] = 0
    np.save(tmp_path / "mask.npy", mask)
    models = []
    for name, value in (("a", 3), ("b", 60000)):
        np.save(tmp_path / f"{name}.npy", np.where(mask, image, np.uint16(value)))
        words = ["fit", tmp_path / f"{name}.npy", tmp_path / f"{name}.safetensors"]
        words += ["--iterations", "2", "--width", "4", "--camera", "3,50,.5", "--device", "cpu"]
        words += ["--mask", tmp_path / "mask.npy", "--fill", "none"]
        assert main([*map(str, words)]) == 0
        models.append(load_model(tmp_path / f"{name}.safetensors"))
    assert models[0].fingerprint == models[1].fingerprint


def test_as_a_process(tmp_path: Path) -> None:
    """The command itself, and not only what it calls."""
    image = DIM.copy()
    image[:, :20] = 0
    np.save(tmp_path / "a.npy", image)
    words = ["enhance", "a.npy", "b.tif", "--model", "noiser", "--fill", "0", "--device", "cpu"]
    command = [sys.executable, "-m", "napari_noiser", *words]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert_alike(open_image(tmp_path / "b.tif").array[:], expected("enhance", image), 1e-3)
