"""Results in files: equal to those in memory, resumed after any end, never unfinished by name."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from saved import OPTIONS, files, scene, stored
from scenes import NOISE, untrained
from tifffile import TiffFile

from napari_noiser import enhance, load_model
from napari_noiser.arrays.sampling import content_digest
from napari_noiser.engine.display import contrast_limits
from napari_noiser.files.enhance_to_file import enhance_to_file, start_save
from napari_noiser.files.open_image import open_image
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.methods.base import Model
from napari_noiser.methods.irle.retinex.training import initial_retinex
from napari_noiser.methods.model_file import read_model_file, write_model_file
from napari_noiser.recipes import IRLEModel


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_noiser.files.writers.ome_zarr._SIDE", 32)
    monkeypatch.setattr("napari_noiser.files.writers.ome_zarr._BYTES", 5_000)


@pytest.mark.parametrize("name", ["bright.ome.zarr", "bright.tif"])
@pytest.mark.parametrize(
    ("shape", "axes", "ndim"),
    [((70, 90), "YX", 2), ((3, 40, 50), "TYX", 2), ((9, 30, 40), "ZYX", 3)],
)
def test_a_file_holds_what_memory_would(
    tmp_path: Path, name: str, shape: tuple[int, ...], axes: str, ndim: int, small_chunks: None
) -> None:
    image = scene(shape)
    path = enhance_to_file(image, tmp_path / name, "noiser", axes=axes, ndim=ndim, **OPTIONS)
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing else is left"
    np.testing.assert_allclose(
        stored(path), enhance(image, "noiser", axes=axes, ndim=ndim), atol=1e-6
    )


def test_the_file_says_where_its_voxels_lie_and_how_it_was_made(tmp_path: Path) -> None:
    space = SpatialMetadata("ZYX", (2.0, 0.5, 0.5), (0.0, 0.0, 0.0), ("micrometer",) * 3)
    path = enhance_to_file(
        scene((3, 40, 50)),
        tmp_path / "a.zarr",
        "noiser",
        space=space,
        contrast=1.5,
        dtype="uint16",
    )
    assert open_image(path).space == space
    provenance: Any = zarr.open_group(path, mode="r").attrs[PROVENANCE]
    assert provenance["contrast"] == 1.5
    assert provenance["recipe"]["name"] == "noiser"
    assert zarr.open_group(path, mode="r")["0"].dtype == np.uint16


def test_a_store_is_ready_to_be_looked_at(tmp_path: Path, small_chunks: None) -> None:
    path = enhance_to_file(
        scene((70, 90)), tmp_path / "a.zarr", "noiser", dtype="uint16", **OPTIONS
    )
    group = zarr.open_group(path, mode="r")
    fine, coarse = group["0"][:].astype(float), group["1"][:]
    means = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4
    np.testing.assert_allclose(coarse, means, atol=0.5)
    window = group.attrs["ome"]["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == contrast_limits(group["0"])
    assert (window["min"], window["max"]) == (0, 65535)


def test_what_an_earlier_version_began_is_gone_on_with(tmp_path: Path) -> None:
    image = scene((40, 50, 3))
    start_save(image, tmp_path / "a.tif", "noiser", axes="YXS").close()
    begun = tmp_path / "a.tif.partial" / "run.json"
    description = json.loads(begun.read_text())
    del description["checksum"]
    for name in ("colors", "verb"):
        del description["request"][name]
    description["request"]["channels"] = description["request"].pop("samples")
    for name in ("exposure", "scales", "batch"):
        del description["request"]["recipe"][name]
    begun.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="was made with another colors, fingerprint, samples:"):
        start_save(image, tmp_path / "a.tif", "noiser", axes="YXS", colors="kept", resume=True)
    path = enhance_to_file(image, tmp_path / "a.tif", "noiser", axes="YXS", resume=True)
    np.testing.assert_allclose(stored(path), enhance(image, "noiser", axes="YXS"), atol=1e-6)


LIGHT = initial_retinex(None, 1, 0)


@pytest.mark.parametrize(
    ("model", "later"),
    [
        (untrained(gain="none", spacing=2, scales=()), ["jitter"]),
        (LIGHT, ["losses"]),
        (
            IRLEModel(LIGHT, untrained(spacing=2, scales=())),
            ["light.batch", "light.losses.agreement", "denoiser.jitter"],
        ),
    ],
)
def test_recipes_of_fitted_models_may_have_grown_meanwhile(
    tmp_path: Path, model: Model, later: list[str]
) -> None:
    def shorten(recipe: Any) -> None:
        for name in later:
            *outer, last = name.split(".")
            del reduce(getitem, outer, recipe)[last]

    image, options = scene((70, 90)), {"camera": NOISE, "device": "cpu"}
    start_save(image, tmp_path / "a.tif", model, **options).close()
    begun = tmp_path / "a.tif.partial" / "run.json"
    description = json.loads(begun.read_text())
    del description["checksum"]
    shorten(description["request"]["recipe"])
    begun.write_text(json.dumps(description))
    path = enhance_to_file(image, tmp_path / "a.tif", model, resume=True, **options)
    np.testing.assert_allclose(stored(path), enhance(image, model, **options), atol=1e-5)

    file = model.save(tmp_path / "model")
    header, tensors = read_model_file(file, lambda *parts: parts)
    parts = [header] if "recipe" in header else [header["light"], header["denoiser"]]
    for part in parts:
        part["recipe"].pop("batch")
    assert load_model(write_model_file(file, tensors, header)).describe() == model.describe()


def test_while_it_is_made_it_has_another_name(tmp_path: Path) -> None:
    saving = start_save(scene((70, 90)), tmp_path / "a.zarr", "noiser", **OPTIONS)
    for _ in saving.steps():
        assert not (tmp_path / "a.zarr").exists()
        assert [each.name for each in tmp_path.iterdir()] == ["a.zarr.partial"]
    assert [each.name for each in tmp_path.iterdir()] == ["a.zarr"]


class Counted:
    """An array that counts what of it is read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, (32, 32)
        self.counts = np.zeros(array.shape, int)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        self.counts[box] += 1
        return self.array[box]


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
@pytest.mark.parametrize("events", [1, 30, 80, 100, 110])
def test_what_was_stopped_is_resumed_to_the_same_bytes(
    tmp_path: Path, name: str, events: int, small_chunks: None
) -> None:
    image = scene((130, 150))
    whole = enhance_to_file(image, tmp_path / f"whole.{name}", "noiser", **OPTIONS)
    steps = start_save(image, tmp_path / name, "noiser", **OPTIONS).steps()
    for _ in range(events):
        total = next(steps).total
    steps.close()
    assert total > 110
    assert [each.name for each in sorted(tmp_path.iterdir())] == [f"{name}.partial", whole.name]
    path = enhance_to_file(image, tmp_path / name, "noiser", resume=True, **OPTIONS)
    np.testing.assert_array_equal(stored(path), stored(whole))
    if path.is_dir():
        one, other = files(path), files(whole)
        assert {key: one[key] for key in one if "zarr.json" not in key} == {
            key: other[key] for key in other if "zarr.json" not in key
        }
    assert not (tmp_path / f"{name}.partial").exists()


def test_finished_blocks_are_neither_read_nor_computed_again(
    tmp_path: Path, small_chunks: None
) -> None:
    image = Counted(scene((256, 160)))
    steps = start_save(image, tmp_path / "a.zarr", "noiser", **OPTIONS).steps()
    events = [next(steps)]
    while sum(event.stage == "render" and event.block is not None for event in events) < 7:
        events.append(next(steps))
    steps.close()
    saving = start_save(image, tmp_path / "a.zarr", "noiser", resume=True, **OPTIONS)
    image.counts[:] = 0
    content_digest(saving.plan.image)
    image.counts *= -1  # what tells the image from others is looked at once more, at the end
    resumed = list(saving.steps())
    assert {event.stage for event in resumed} == {"render"}
    assert (resumed[0].done, resumed[0].total) == (events[-1].done + 1, events[-1].total)
    assert image.counts[:64, 64:].max() == 0
    assert image.counts.max() <= 2


def test_measuring_is_resumed_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_noiser.files.enhance_to_file._SAVE_MOMENTS_EVERY", 0.0)
    image = Counted(scene((128, 160)))
    whole = enhance_to_file(image, tmp_path / "whole.zarr", "noiser", **OPTIONS)
    steps = start_save(image, tmp_path / "a.zarr", "noiser", **OPTIONS).steps()
    events = [next(steps)]
    while sum(event.block is not None for event in events) < 5:
        events.append(next(steps))
    next(steps)  # what follows on a block is kept with the next
    steps.close()
    resumed = start_save(image, tmp_path / "a.zarr", "noiser", resume=True, **OPTIONS).steps()
    event = next(resumed)
    assert event.stage == "measure"
    assert event.done == events[-1].done + 1
    for _ in resumed:
        pass
    np.testing.assert_array_equal(stored(tmp_path / "a.zarr"), stored(whole))


def test_measuring_advances_however_often_it_is_stopped(tmp_path: Path) -> None:
    image = Counted(scene((128, 160)))
    whole = enhance_to_file(image, tmp_path / "whole.zarr", "noiser", **OPTIONS)
    done = 0
    for _ in range(3):
        steps = start_save(image, tmp_path / "a.zarr", "noiser", resume=True, **OPTIONS).steps()
        event = next(steps)
        assert (event.stage, event.done) == ("measure", done + 1)
        while event.block is None:
            event = next(steps)
        done = event.done
        next(steps)  # a tile of the next block, which is measured anew
        steps.close()
    enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True, **OPTIONS)
    np.testing.assert_array_equal(stored(tmp_path / "a.zarr"), stored(whole))


@pytest.mark.parametrize("name", ["2024.05.12 cells", "a.tiff.b"])
def test_the_image_has_the_name_of_its_file(tmp_path: Path, name: str) -> None:
    store = zarr.open_group(
        enhance_to_file(scene((9, 9)), tmp_path / f"{name}.ome.zarr", "noiser")
    )
    assert store.attrs["ome"]["multiscales"][0]["name"] == name
    with TiffFile(enhance_to_file(scene((9, 9)), tmp_path / f"{name}.OME.TIF", "noiser")) as file:
        assert f'Name="{name}"' in file.ome_metadata


KILLED = """
import os
import sys
import numpy as np
import napari_noiser.files.writers.ome_zarr as ome_zarr
from napari_noiser.files.enhance_to_file import enhance_to_file

ome_zarr._SIDE = 64
image = np.random.default_rng(0).poisson(5, (2, 320, 390)).astype("u2")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        path = line.removesuffix("\\n")
        enhance_to_file(image, path, "noiser", resume=True, tile=32, memory_limit=2_000_000)
        os._exit(0)
    print("begun", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs each path in a process of its own, which need not import all again."""


@pytest.fixture(scope="module")
def runner() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", KILLED]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.stdin.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be forked here")
@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_killed_at_random_moments_it_ends_the_same_to_the_last_bit(
    tmp_path: Path, name: str, runner: subprocess.Popen[str]
) -> None:
    def begin(path: Path) -> int:
        """Return the number of the process that began to write a file."""
        runner.stdin.write(f"{path}\n")
        runner.stdin.flush()
        return told("begun")

    def told(word: str) -> int:
        said, number = runner.stdout.readline().split()
        assert said == word
        return int(number)

    begin(tmp_path / f"whole.{name}")
    start = time.monotonic()
    assert told("ended") == 0
    lasting = time.monotonic() - start
    moments = random.Random(str(tmp_path))
    for _ in range(3):
        process = begin(tmp_path / name)
        time.sleep(moments.uniform(0.1, 0.4) * lasting)
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process, signal.SIGKILL)
        assert told("ended") == 0 or not (tmp_path / name).exists()
    begin(tmp_path / name)
    assert told("ended") == 0
    np.testing.assert_array_equal(stored(tmp_path / name), stored(tmp_path / f"whole.{name}"))
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture(autouse=True)
def _no_descriptor_is_leaked() -> Iterator[None]:
    folder = Path("/proc/self/fd")
    before = len(os.listdir(folder)) if folder.exists() else 0
    yield
    if folder.exists():
        assert len(os.listdir(folder)) <= before + 4
