"""Bad input is refused by name, and an image without signal comes out flat, with a warning."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from helpers.compare import assert_same, largest_difference
from helpers.errors import refused
from helpers.scenes import scene

from napari_noiser import closed_form, denoise, enhance, load_model
from napari_noiser.engine.tone import DARK

IMAGE = scene((20, 22))
VOLUME = scene((5, 12, 13))
COLOR = scene((20, 22, 3))
GRAY = load_model("noiser")
GRAY_3D = load_model("noiser", ndim=3)
VERBS = [enhance, denoise, closed_form]


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (np.zeros((0, 5)), "(0, 5)"),
        (np.zeros((3, 0, 5)), "(3, 0, 5)"),
        (np.float32(3), "()"),
        (7, "()"),
        (np.arange(5), "(5,)"),
        (np.zeros((2,) * 6), "axes"),
        (np.full((5, 6), np.nan), "finite"),
        (np.full((5, 6), np.inf), "finite"),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "finite"),
        (IMAGE * 1e200, "too large"),
        (np.random.default_rng(0).random((12, 12)) * 1e-170, "too small"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_images_that_cannot_be_measured(verb: Any, image: object, came: str) -> None:
    with refused("image", came):
        verb(image)


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (IMAGE > 3, "bool"),
        (IMAGE + 1j, "complex128"),
        (IMAGE.astype(object), "object"),
        (IMAGE.astype("M8[s]"), "datetime64"),
        ([["a", "b"], ["c", "d"]], "<U1"),
        (None, "object"),
        (np.ma.masked_greater(IMAGE, 10), "mask="),
        (SimpleNamespace(data=IMAGE, dtype=IMAGE.dtype), "enhance_layer"),  # napari's layers
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_types_that_hold_no_brightness(verb: Any, image: object, came: str) -> None:
    with refused("image", came, error=TypeError):
        verb(image)


@pytest.mark.parametrize(
    ("image", "arguments", "blamed", "came"),
    [
        (IMAGE, {"axes": "XX"}, "axes", ["'XX'"]),
        (IMAGE, {"axes": "QX"}, "axes", ["'QX'", "T, C, Z, Y, X, S"]),
        (IMAGE, {"axes": "yx"}, "axes", ["'yx'", "T, C, Z, Y, X, S"]),
        (IMAGE, {"axes": ""}, "axes", ["''"]),
        (IMAGE, {"axes": "ZYX"}, "axes", ["'ZYX'", "(20, 22)"]),
        (VOLUME, {"axes": "TZX"}, "axes", ["'TZX'"]),
        (VOLUME[..., :3], {"axes": "ZXS"}, "axes", ["'ZXS'"]),
        (COLOR[..., :2], {"axes": "YXS"}, "axes", ["2"]),
        (IMAGE, {"ndim": 4}, "ndim", ["4", "2", "3"]),
        (IMAGE, {"ndim": "2"}, "ndim", ["'2'"]),
        (IMAGE, {"ndim": 3}, "axes", ["ndim=3", "'YX'"]),
        (COLOR, {"axes": "YXS", "model": GRAY}, "model", ["1 samples", "3"]),
        (IMAGE, {"model": load_model("noiser", samples=3)}, "model", ["3 samples", "1"]),
        (IMAGE, {"model": GRAY_3D}, "model", ["ndim=3", "ndim=2"]),
        (VOLUME, {"model": GRAY, "ndim": 3}, "model", ["ndim=2", "ndim=3"]),
        (IMAGE, {"model": "nois"}, "model", ["'nois'", "noiser-var3"]),
        (IMAGE, {"model": "ms-noiser"}, "model", ["ms-noiser", "train", "noiser-var3"]),
        (IMAGE, {"brightness": np.nan}, "brightness", ["nan"]),
        (IMAGE, {"brightness": np.inf}, "brightness", ["inf"]),
        (IMAGE, {"contrast": 0}, "contrast", ["above 0", "got 0"]),
        (IMAGE, {"contrast": -1.5}, "contrast", ["-1.5"]),
        (IMAGE, {"contrast": np.nan}, "contrast", ["nan"]),
        (IMAGE, {"tile": 0}, "tile", ["at least 1", "got 0"]),
        (IMAGE, {"memory_limit": 0}, "memory_limit", ["at least 1", "got 0"]),
        (IMAGE, {"memory_limit": -5}, "memory_limit", ["-5"]),
        (IMAGE, {"statistics": "frame"}, "statistics", ["'stack'", "'plane'", "'frame'"]),
        (IMAGE, {"statistics": None}, "statistics", ["None"]),
        (IMAGE, {"statistics": np.ones(2)}, "statistics", ["array"]),
        (VOLUME, {"statistics": "plane", "ndim": 3}, "statistics", ["ndim=3", "'plane'"]),
        (IMAGE, {"mask": np.zeros(IMAGE.shape, bool)}, "image", ["mask"]),
        (IMAGE, {"mask": np.ones((3, 4), bool)}, "mask", ["(20, 22)", "(3, 4)"]),
        (IMAGE, {"mask": np.ones((2, 20, 22), bool)}, "mask", ["(20, 22)", "(2, 20, 22)"]),
        (VOLUME, {"mask": np.ones((5, 12), bool)}, "mask", ["(5, 12, 13)", "(5, 12)"]),
        (COLOR, {"axes": "YXS", "mask": np.ones((20, 22, 3), bool)}, "mask", ["(20, 22)"]),
        (VOLUME, {"mask": 3}, "mask", ["(5, 12, 13)", "()"]),
        (IMAGE, {"mask": True}, "mask", ["(20, 22)", "()"]),
        (IMAGE, {"colors": np.ones(2)}, "colors", ["'kept'", "array"]),
        (IMAGE, {"background": np.ones(2)}, "background", ["'dark'", "array"]),
        (IMAGE, {"background": None}, "background", ["'dark'", "None"]),
        (IMAGE, {"device": "nonsense"}, "device", ["'nonsense'", "'cpu'"]),
    ],
)
def test_arguments_that_do_not_fit(
    image: np.ndarray, arguments: dict[str, Any], blamed: str, came: list[str]
) -> None:
    with refused(blamed, *came):
        enhance(image, **arguments)


@pytest.mark.parametrize(
    ("arguments", "came"),
    [
        ({"axes": 5}, "5"),
        ({"model": 5}, "int"),
        ({"model": None}, "NoneType"),
        ({"mask": np.ones(IMAGE.shape)}, "float64"),
        ({"progress": 5}, "5"),
        ({"brightness": "bright"}, "bright"),
        ({"contrast": None}, "None"),
        ({"tile": 1.5}, "1.5"),
        ({"repair": "no"}, "'no'"),
        ({"camera": np.ones(())}, "1"),
        ({"memory_limit": "64 MB"}, "64 MB"),
    ],
)
def test_arguments_of_the_wrong_type(arguments: dict[str, Any], came: str) -> None:
    with refused(next(iter(arguments)), came, error=TypeError):
        enhance(IMAGE, **arguments)


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (np.nan, ValueError), ("a", TypeError), ([], TypeError)]
)
def test_light_that_cannot_be_conserved(value: Any, error: type[Exception]) -> None:
    with refused("conserve", value, error=error):
        denoise(IMAGE, conserve=value)


@pytest.mark.parametrize("argument", [{"mask": 3}, {"contrast": -1}, {"background": None}])
def test_a_lazy_image_is_no_excuse(argument: dict[str, Any]) -> None:
    said = []
    for image in (IMAGE, da.from_array(IMAGE, chunks=(10, 22))):
        with refused(next(iter(argument))) as caught:
            enhance(image, **argument)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_mask_that_only_touches_bad_values() -> None:
    image = IMAGE.copy()
    image[10, 10] = np.nan
    mask = np.zeros(IMAGE.shape, bool)
    mask[9:12, 9:12] = True
    with refused("image", "mask"):
        enhance(image, "noiser", mask=mask)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 64])
def test_a_corrupt_model_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with refused("", path, "model"):
        enhance(IMAGE, path)


def test_a_model_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=path.name):
        enhance(IMAGE, path)


def test_an_out_that_cannot_be_written_is_refused_before_the_work() -> None:
    out = np.empty(IMAGE.shape, "f4")
    out.flags.writeable = False
    with refused("out"):
        enhance(IMAGE, "noiser", out=out)


@pytest.mark.parametrize("value", [0, 7, 1e-300, 0.1, 1e300, -5.5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 4, 5)])
def test_an_image_without_signal_is_flat(shape: tuple[int, ...], value: float) -> None:
    image = np.full(shape, value)
    noiser = partial(enhance, model="noiser")
    for function, level in ((enhance, DARK), (noiser, 0.5), (closed_form, 0.5)):
        with pytest.warns(UserWarning, match="no signal"):
            found = function(image)
        assert found.dtype == np.float32
        assert (found == np.float32(level)).all()


def test_flat_is_flat_in_every_form() -> None:
    constant = np.full((4, 20, 21, 3), 9, "uint16")
    with pytest.warns(UserWarning, match="no signal"):
        assert (enhance(constant, "noiser", axes="ZYXS", tile=7) == 0.5).all()
    with pytest.warns(UserWarning, match="no signal"):
        assert (enhance(constant[..., 0], "noiser", ndim=3, tile=7) == 0.5).all()
    with pytest.warns(UserWarning, match="no signal"):
        assert (enhance(constant[0, ..., 0], "noiser", dtype="uint8") == 128).all()


def test_one_constant_plane_of_several() -> None:
    planes = VOLUME.copy()
    planes[2] = 11
    with pytest.warns(UserWarning, match="no signal in 1 of 5"):
        found = enhance(planes, "noiser", statistics="plane")
    assert (found[2] == 0.5).all()
    for z in (0, 1, 3, 4):
        assert largest_difference(found[z], enhance(planes[z], "noiser")) < 1e-6
    assert (
        np.ptp(enhance(planes, "noiser")[2]) < 0.5
    )  # with the others it has a brightness of its own


def test_one_constant_sample_of_a_color_is_no_obstacle() -> None:
    color = COLOR.copy()
    color[..., 1] = 5
    assert np.isfinite(enhance(color, "noiser", axes="YXS")).all()
    flat = closed_form(color, axes="YXS")
    assert largest_difference(flat[..., 1], np.full(IMAGE.shape, 0.5)) < 1e-5
    assert largest_difference(flat[..., 0], closed_form(color[..., 0])) < 1e-5


@pytest.mark.parametrize("gain", [1e-12, 1e-150])
def test_a_faint_signal_is_not_called_constant(gain: float) -> None:
    assert largest_difference(enhance(IMAGE * gain, "noiser"), enhance(IMAGE, "noiser")) < 1e-4


def test_a_tensor_is_taken_for_the_array_that_it_holds() -> None:
    image = np.random.default_rng(0).random((12, 12))
    assert_same(enhance(torch.from_numpy(image), "noiser"), enhance(image, "noiser"))
