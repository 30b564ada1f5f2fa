"""Files that belong to images: maps of their names; and whether a model's file can be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from scenes import counts, light, untrained

from napari_noiser import enhance
from napari_noiser.camera import CameraNoise
from napari_noiser.cli.main import main
from napari_noiser.files.open_image import open_image

DIM = counts(light())[:80, :90]


def run(*arguments: object) -> int:
    """Return the exit code of the command, which is quiet."""
    return main([*map(str, arguments), "--quiet"])


def saved(folder: Path, **images: Any) -> Path:
    folder.mkdir()
    for name, image in images.items():
        np.save(folder / f"{name}.npy", image)
    return folder


@pytest.mark.parametrize(("kind", "flag"), [("gain_map", "--gain-map"), ("mask", "--mask")])
def test_each_image_of_a_folder_has_its_map(
    tmp_path: Path, kind: str, flag: str, capsys: Any
) -> None:
    model, options = "noiser", {}
    if kind == "gain_map":
        model = untrained(spacing=2, scales=()).save(tmp_path / "mine")
        options = {"camera": CameraNoise(3, 50, 0.5)}
    ramp = np.linspace(1, 3, 90) * np.ones((80, 90))
    maps = {"a": ramp > 2, "b": ramp < 2} if kind == "mask" else {"a": ramp, "b": ramp[:, ::-1]}
    images = {"a": DIM, "b": DIM[::-1] * 2}
    raw, folder_of_maps = saved(tmp_path / "raw", **images), saved(tmp_path / "maps", **maps)
    words = ["--model", model, *(["--camera", "3,50,.5"] if options else []), flag]
    assert run("enhance", raw, tmp_path / "out", *words, folder_of_maps) == 0
    assert run("enhance", raw, tmp_path / "all", *words, folder_of_maps / "a.npy") == 0
    for name, image in images.items():
        for folder, values in (("out", maps[name]), ("all", maps["a"])):
            expected = enhance(image, model, **{kind: values}, **options)
            assert_alike(open_image(tmp_path / folder / f"{name}.tif").array[:], expected)
    (folder_of_maps / "a.npy").rename(folder_of_maps / "c.npy")
    assert run("enhance", raw, tmp_path / "no", *words, folder_of_maps) == 2
    said = capsys.readouterr().err
    assert f"{flag} takes a map of the name of each image; without a partner" in said
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
def test_a_model_that_cannot_be_written_is_not_begun(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", counts(light()))
    for command in (("train", "noiser"), ("fit", tmp_path / "a.npy")):
        assert run(*command, "/proc/x.safetensors") == 2
        assert "/proc/x.safetensors cannot be written (No such file" in capsys.readouterr().err


def test_no_folder_is_made_for_a_wrong_command(tmp_path: Path) -> None:
    assert run("train", "noiser", tmp_path / "new" / "a.safetensors", "--device", "tpu") == 2
    assert list(tmp_path.iterdir()) == []
