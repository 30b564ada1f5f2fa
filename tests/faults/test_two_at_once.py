"""Two processes on one output, outputs in their own input, names that are too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_noiser.cli.main import main
from napari_noiser.files.enhance_to_file import enhance_to_file
from napari_noiser.files.fit_checkpoint import lock_model
from napari_noiser.files.open_image import open_image
from napari_noiser.files.partial_output import PartialOutput

IMAGE = np.random.default_rng(0).poisson(9, (256, 256)).astype("u2")
COMMANDS = {
    "enhance": ["enhance", "{image}", "{out}.zarr"],
    "denoise": ["denoise", "{image}", "{out}.tif"],
    "train": ["train", "noiser", "{out}.safetensors", "--iterations", "2"],
    "fit": ["fit", "{image}", "{out}.safetensors", "--iterations", "2", "--width", "2"],
}


def command(name: str, folder: Path) -> tuple[list[str], Path]:
    np.save(folder / "image.npy", IMAGE)
    words = [
        each.format(image=folder / "image.npy", out=folder / "out") for each in COMMANDS[name]
    ]
    return [*words, "--quiet"], Path(words[2])


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("name", COMMANDS)
def test_who_comes_second_is_told(
    name: str, resume: list[str], tmp_path: Path, capsys: Any
) -> None:
    words, out = command(name, tmp_path)
    if name in ("train", "fit"):
        with lock_model(out):
            assert main([*words, *resume]) in (1, 2)
    else:
        first = PartialOutput(out)
        first.claim()
        assert main([*words, *resume]) in (1, 2)
        first.release()
    said = capsys.readouterr().err
    assert "is being made by another run" in said
    assert not out.exists()
    assert main([*words, *resume]) == 0
    assert out.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"image.npy", out.name}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_of_two_processes_one_works(name: str, tmp_path: Path) -> None:
    words, out = command(name, tmp_path)
    longer = {"train": ["--iterations", "1000"], "fit": ["--iterations", "30"]}.get(name, [])
    run = [sys.executable, "-m", "napari_noiser", *words, *longer]
    both = [subprocess.Popen(run, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate()[1] for each in both]
    codes = sorted(each.returncode for each in both)
    assert codes[0] == 0
    assert codes[1] in (1, 2), said
    told = ("another run", "exists already", "is unfinished")
    assert sum(any(words in each for words in told) for each in said) == 1
    assert out.exists()


def test_a_model_is_not_made_again_over_one_that_has_come_up(tmp_path: Path) -> None:
    words, out = command("train", tmp_path)
    assert main(words) == 0
    content = out.read_bytes()
    assert main(words) == 2
    assert out.read_bytes() == content


@pytest.mark.parametrize("inside", ["b.zarr", "0/b.zarr", "0/c/b.tif"])
def test_a_result_does_not_go_into_the_store_of_its_image(
    inside: str, tmp_path: Path, capsys: Any
) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("0", data=IMAGE)
    before = sorted((tmp_path / "a.zarr").rglob("*"))
    array: Any = group["0"]
    with pytest.raises(ValueError, match="outside the image's own store"):
        enhance_to_file(array, tmp_path / "a.zarr" / inside, "noiser")
    import dask.array as da

    with pytest.raises(ValueError, match="outside the image's own store"):
        enhance_to_file(da.from_zarr(array), tmp_path / "a.zarr" / inside, "noiser")
    assert sorted((tmp_path / "a.zarr").rglob("*")) == before


@pytest.mark.parametrize("length", [243, 250])
def test_a_name_that_becomes_too_long_is_told(length: int, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    out = tmp_path / ("b" * length + ".zarr")
    assert main(["enhance", str(tmp_path / "a.npy"), str(out), "--quiet"]) in (1, 2)
    assert "too long a name" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["a.npy"]


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    out = tmp_path / ("b" * 242 + ".zarr")
    enhance_to_file(IMAGE, out, "noiser")
    assert open_image(out).array.shape == IMAGE.shape


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal can be sent there")
@pytest.mark.parametrize("wait", [0.0, 0.1, 0.4, 0.8])
def test_ctrl_c_is_no_traceback(wait: float, tmp_path: Path) -> None:
    words, _ = command("enhance", tmp_path)
    words[1] = str(tmp_path / "image.npy")
    script = (
        "from napari_noiser.__main__ import main\n"
        "import sys; sys.stderr.write('begun\\n'); sys.stderr.flush()\n"
        f"sys.argv = ['napari-noiser', *{words}]\n"
        "sys.exit(main())"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    assert run.stderr.readline() == "begun\n"
    time.sleep(0.05 + wait)
    for _ in range(2):
        if run.poll() is None:
            os.kill(run.pid, signal.SIGINT)
        time.sleep(0.05)
    said = run.communicate()[1]
    assert "Traceback" not in said
    assert run.returncode in (0, 130)
