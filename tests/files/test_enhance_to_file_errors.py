"""What saving refuses, and what is left where it fails: nothing of anybody else's is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from saved import OPTIONS, files, scene, stored

from napari_noiser import enhance
from napari_noiser.files.enhance_to_file import enhance_to_file, start_save
from napari_noiser.files.provenance import read_provenance


def test_what_was_begun_differently_is_not_gone_on_with(tmp_path: Path) -> None:
    image = scene((70, 90))
    steps = start_save(image, tmp_path / "a.zarr", "noiser", contrast=2, **OPTIONS).steps()
    next(steps)
    steps.close()
    for others, names in [
        ({"contrast": 1.0}, "another contrast"),
        ({"contrast": 2.0, "model": "noiser-es"}, "another"),
        ({"contrast": 2.0, "dtype": "uint8"}, "another dtype"),
        ({"contrast": 2.0, "tile": 8}, r"tile was 16 \(16\) when"),
        ({"contrast": 2.0, "memory_limit": 10**6}, "memory_limit was 2000000"),
    ]:
        with pytest.raises(ValueError, match=names):
            start_save(image, tmp_path / "a.zarr", resume=True, **{"model": "noiser", **others})
    with pytest.raises(ValueError, match="another image"):
        start_save(image + 1, tmp_path / "a.zarr", "noiser", resume=True, contrast=2)
    path = enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True, contrast=2)
    np.testing.assert_allclose(stored(path), enhance(image, "noiser", contrast=2), atol=1e-6)


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_what_is_finished_is_not_passed_off_for_something_else(tmp_path: Path, name: str) -> None:
    image, path = scene((70, 90)), tmp_path / name
    enhance_to_file(image, path, "noiser")
    assert read_provenance(path)["recipe"]["name"] == "noiser"
    assert enhance_to_file(image, path, "noiser", resume=True) == path
    for others in ({"brightness": 0.5}, {"dtype": "uint8"}):
        with pytest.raises(ValueError, match=f"another {next(iter(others))}"):
            enhance_to_file(image, path, "noiser", resume=True, **others)
    with pytest.raises(ValueError, match="another image"):
        enhance_to_file(image[::-1], path, "noiser", resume=True)


def test_what_is_no_result_is_neither_taken_for_one_nor_cleared_away(tmp_path: Path) -> None:
    image = scene((40, 50))
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.tif").touch()
    tifffile.imwrite(tmp_path / "other.tif", image)
    (tmp_path / "dangling.tif").symlink_to(tmp_path / "nowhere" / "a.tif")
    for name in ("empty.zarr", "empty.tif", "other.tif", "dangling.tif"):
        with pytest.raises(FileExistsError, match=r"no result of enhance_to_file"):
            enhance_to_file(image, tmp_path / name, "noiser", resume=True)
    (tmp_path / "a.zarr.partial").mkdir()
    (tmp_path / "a.zarr.partial" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="napari-noiser has not made it"):
        enhance_to_file(image, tmp_path / "a.zarr", "noiser")
    assert (tmp_path / "a.zarr.partial" / "thesis.txt").read_text() == "precious"


def test_a_run_may_end_on_another_thread_or_never_begin(tmp_path: Path) -> None:
    image = scene((40, 50))
    saving = start_save(image, tmp_path / "a.zarr", "noiser")

    def begin_and_stop() -> None:
        steps = saving.steps()
        next(steps)
        steps.close()

    thread = threading.Thread(target=begin_and_stop)
    thread.start()
    thread.join()
    never = start_save(image, tmp_path / "a.zarr", "noiser", resume=True)
    never.close()
    enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True)


def test_the_folder_one_is_in_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    steps = start_save(scene((40, 50)), "a.zarr", "noiser").steps()
    next(steps)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for _ in steps:
        pass
    assert (tmp_path / "a.zarr").exists()


def test_an_image_without_anything_to_measure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no patch to measure"):
        enhance_to_file(np.full((40, 50), np.nan), tmp_path / "a.tif", "noiser")
    assert list(tmp_path.iterdir()) == []


def test_what_zarr_left_of_a_chunk_is_cleared_away(tmp_path: Path) -> None:
    image = scene((40, 50))
    steps = start_save(image, tmp_path / "a.zarr", "noiser").steps()
    next(steps)
    steps.close()
    orphan = tmp_path / "a.zarr.partial" / "a.zarr" / "0" / "c" / "0" / "0.ef15.partial"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"half")
    path = enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True)
    assert not list(path.rglob("*.partial"))


def test_another_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = scene((40, 50))
    steps = start_save(image, tmp_path / "a.zarr", "noiser").steps()
    next(steps)
    steps.close()
    monkeypatch.setattr("napari_noiser.__version__", "99.0")
    with pytest.warns(UserWarning, match=r"begun by napari-noiser .* resumed by 99\.0"):
        enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True)


def test_broken_notes_are_said_to_be_broken(tmp_path: Path) -> None:
    image = scene((40, 50))
    steps = start_save(image, tmp_path / "a.zarr", "noiser").steps()
    next(steps)
    steps.close()
    (tmp_path / "a.zarr.partial" / "run.json").write_text("")
    with pytest.raises(ValueError, match=r"a\.zarr\.partial.* is broken, delete it"):
        enhance_to_file(image, tmp_path / "a.zarr", "noiser", resume=True)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    image = scene((40, 50))
    path = enhance_to_file(image, tmp_path / "a.zarr", "noiser")
    before = files(path)
    with pytest.raises(FileExistsError, match=r"a\.zarr exists already"):
        enhance_to_file(image, path, "noiser")
    assert enhance_to_file(image, path, "noiser", resume=True) == path
    assert files(path) == before
    steps = start_save(image, tmp_path / "b.zarr", "noiser").steps()
    next(steps)
    steps.close()
    with pytest.raises(FileExistsError, match=r"b\.zarr is unfinished already"):
        enhance_to_file(image, tmp_path / "b.zarr", "noiser")


def test_what_a_kill_left_after_the_end_is_cleared_up(tmp_path: Path) -> None:
    image = scene((40, 50))
    saving = start_save(image, tmp_path / "a.tif", "noiser")
    saving.unfinished.discard = saving.unfinished.release
    for _ in saving.steps():
        pass
    assert (tmp_path / "a.tif.partial").exists()
    enhance_to_file(image, tmp_path / "a.tif", "noiser", resume=True)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_two_runs_do_not_make_the_same_file(tmp_path: Path) -> None:
    image = scene((40, 50))
    first = start_save(image, tmp_path / "a.zarr", "noiser").steps()
    next(first)
    with pytest.raises(BlockingIOError, match="made by another run"):
        start_save(image, tmp_path / "a.zarr", "noiser", resume=True)
    for _ in first:
        pass
    assert (tmp_path / "a.zarr").exists()


def test_what_was_killed_before_it_began_starts_anew(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr.partial"
    (folder / "a.zarr" / "0").mkdir(parents=True)
    (folder / "a.zarr" / "zarr.json").write_text("{")
    (folder / "made by napari-noiser").touch()
    image = scene((40, 50))
    path = enhance_to_file(image, tmp_path / "a.zarr", "noiser")
    np.testing.assert_allclose(stored(path), enhance(image, "noiser"), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"contrast": 0}, ValueError, "contrast"),
        ({"out": np.zeros((40, 50))}, TypeError, "out is not taken here"),
        ({"color": 1}, TypeError, "takes no argument 'color'"),
        ({"axes": "ZYX"}, ValueError, "axes 'ZYX'"),
    ],
)
def test_bad_arguments_leave_nothing_behind(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        enhance_to_file(scene((40, 50)), tmp_path / "a.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end in .zarr, .tif, .tiff, got .*a\.png"):
        enhance_to_file(scene((40, 50)), tmp_path / "a.png", "noiser")


def test_resume_is_no_string(tmp_path: Path) -> None:
    resume: Any = "no"
    with pytest.raises(TypeError, match="resume must be True or False, got 'no'"):
        enhance_to_file(scene((40, 50)), tmp_path / "a.zarr", "noiser", resume=resume)


def test_a_space_is_no_string(tmp_path: Path) -> None:
    space: Any = "YX"
    with pytest.raises(TypeError, match="space must be a SpatialMetadata, got 'YX'"):
        enhance_to_file(scene((40, 50)), tmp_path / "a.zarr", "noiser", space=space)


FULL = """
import resource, sys
import numpy as np
import napari_noiser.files.writers.ome_zarr as ome_zarr
from napari_noiser.files.enhance_to_file import enhance_to_file

ome_zarr._SIDE = 64
image = np.random.default_rng(0).poisson(5, (200, 300)).astype("u2")
image[100:, 100:] += np.random.default_rng(1).integers(0, 999, (100, 200)).astype("u2")
if len(sys.argv) > 2:  # no file may be larger: the system's own way to say that there is no room
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
enhance_to_file(image, sys.argv[1], "noiser", resume=True, tile=16, memory_limit=2_000_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind")
def test_a_full_disk_is_said_and_what_is_finished_stays(tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FULL, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run(tmp_path / "whole.zarr").returncode == 0
    sizes = [len(content) for content in files(tmp_path / "whole.zarr" / "0").values()]
    path = tmp_path / "a.zarr"
    failed = run(path, max(sizes) - 1)  # of a block that is not the first
    assert failed.returncode == 1
    last = failed.stderr.strip().splitlines()[-1]
    assert "a.zarr cannot be written (File too large)" in last
    assert "is kept in" in last
    assert not path.exists()
    finished = (tmp_path / "a.zarr.partial" / "finished").stat().st_size
    assert finished > 0
    assert run(path).returncode == 0
    np.testing.assert_array_equal(stored(path), stored(tmp_path / "whole.zarr"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be taken before")
def test_a_tiff_takes_its_room_before_anything_is_computed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "a.tif"), "100000"]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1, "not killed by a bus error"
    assert "OSError" in failed.stderr.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
    path = enhance_to_file(scene((400, 500)), tmp_path / "b.tif", "noiser")
    assert path.stat().st_blocks * 512 >= 400 * 500 * 4


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_a_vanished_store_is_said_and_does_not_come_back(tmp_path: Path, name: str) -> None:
    steps = start_save(scene((130, 150)), tmp_path / name, "noiser", **OPTIONS).steps()
    for event in steps:
        if event.stage == "render":
            break
    shutil.rmtree(tmp_path / f"{name}.partial")
    with pytest.raises(FileNotFoundError, match=rf"{name}.partial has vanished"):
        for _ in steps:
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_result_whose_place_was_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    steps = start_save(scene((40, 50)), tmp_path / "a.tif", "noiser").steps()
    next(steps)
    (tmp_path / "a.tif").write_text("mine")
    with pytest.raises(FileExistsError, match="has come up meanwhile"):
        for _ in steps:
            pass
    assert (tmp_path / "a.tif").read_text() == "mine"
    assert tifffile.imread(tmp_path / "a.tif.partial" / "a.tif").shape == (40, 50)


def test_the_run_can_be_read_by_people(tmp_path: Path) -> None:
    steps = start_save(scene((40, 50)), tmp_path / "a.zarr", "noiser", brightness=0.5).steps()
    next(steps)
    steps.close()
    text = (tmp_path / "a.zarr.partial" / "run.json").read_text()
    assert json.loads(text)["request"]["brightness"] == 0.5
