"""Killed or out of space at each operation on files: nothing is lost, and it can be resumed."""

from __future__ import annotations

import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("processes are not copied there", allow_module_level=True)

from injection import (
    count_operations,
    fault_at,
    in_child,
    killed_after,
    killed_at,
    largest_file,
    no_space,
)
from jobs import JOBS, OLDER, Job, often  # noqa: F401

from napari_noiser import RECIPES, load_model, train

pytestmark = [
    pytest.mark.usefixtures("often"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def some(total: int, thorough: bool, count: int) -> list[int]:
    """Return numbers from 1 to a total: all, or so many evenly spread ones."""
    every = list(range(1, total + 1))
    return every if thorough or total <= count else every[:: -(-total // count)]


def check_resumes(job: Job, folder: Path, whole: Any) -> None:
    """Check that a file is whole or not there, and that the same again makes it."""
    path = folder / job.name
    if path.exists():
        assert job.read(path) == whole
    job.make(path)
    assert job.read(path) == whole
    left = {each.name for each in folder.iterdir() if not each.name.startswith(".napari-noiser-")}
    assert left - {"a.partial.lock", "a.partial.safetensors"} == {job.name}  # of a model: kept
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", JOBS)
def test_killed_at_each_operation_it_resumes(kind: str, tmp_path: Path, thorough: bool) -> None:
    job, folder = JOBS[kind], tmp_path / "made"
    whole = job.whole(tmp_path)
    folder.mkdir()
    total = count_operations(folder, lambda: job.make(folder / job.name))
    shutil.rmtree(folder)
    for at in some(total, thorough, 5):
        folder.mkdir()
        ended = killed_at(folder, at, lambda: job.make(folder / job.name))
        # Of threads either makes a folder that both need: the last operation may not come.
        assert ended == -9 or (at == total and (folder / job.name).exists())
        check_resumes(job, folder, whole)


@pytest.mark.parametrize("kind", JOBS)
def test_killed_at_random_moments_it_resumes(kind: str, tmp_path: Path, thorough: bool) -> None:
    job, folder = JOBS[kind], tmp_path / "made"
    began = time.monotonic()
    whole = job.whole(tmp_path)
    lasted, draws = time.monotonic() - began, random.Random(kind)
    for _ in range(60 if thorough else 2):
        folder.mkdir()
        killed_after(lasted * draws.random(), lambda: job.make(folder / job.name))
        check_resumes(job, folder, whole)


@pytest.mark.parametrize("kind", JOBS)
def test_without_space_at_each_operation_it_resumes(
    kind: str, tmp_path: Path, thorough: bool
) -> None:
    job, folder = JOBS[kind], tmp_path / "made"
    whole = job.whole(tmp_path)
    folder.mkdir()
    total = count_operations(folder, lambda: job.make(folder / job.name))
    shutil.rmtree(folder)
    told: list[str] = []
    for at in some(total, thorough, 12):
        folder.mkdir()
        with fault_at(folder, at, no_space):
            try:
                job.make(folder / job.name)
            except OSError as error:
                told.append(str(error))
        check_resumes(job, folder, whole)
    assert all(str(folder) in each for each in told), told


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("size", [100, 1000, 4096])
def test_a_file_that_is_cut_is_not_taken_for_a_whole_one(
    kind: str, size: int, tmp_path: Path
) -> None:
    job, folder = JOBS[kind], tmp_path / "made"
    whole = job.whole(tmp_path)
    folder.mkdir()
    told: list[str] = []
    with largest_file(size):
        try:
            job.make(folder / job.name)
        except OSError as error:
            told.append(str(error))
    check_resumes(job, folder, whole)
    assert all(str(folder) in each for each in told), told


def test_a_model_is_saved_as_a_whole_or_stays_what_it_was(tmp_path: Path, thorough: bool) -> None:
    path = tmp_path / "a.safetensors"
    newer = train(RECIPES["noiser"].__class__(name="new", iterations=1, size=16))
    total = count_operations(tmp_path, lambda: OLDER.save(path))
    fingerprints = {OLDER.fingerprint, newer.fingerprint}
    for at in range(1, total + 1):
        OLDER.save(path)
        with fault_at(tmp_path, at, no_space), pytest.raises(OSError, match="No space"):
            newer.save(path)
        assert load_model(path).fingerprint == OLDER.fingerprint
        assert list(tmp_path.iterdir()) == [path]
        assert killed_at(tmp_path, at, lambda: newer.save(path)) == -9
        assert load_model(path).fingerprint == OLDER.fingerprint
    for size in (0, 100, 1500):
        with largest_file(size), pytest.raises(OSError, match="File too large"):
            newer.save(path)
        assert load_model(path).fingerprint == OLDER.fingerprint
    draws = random.Random(0)
    for _ in range(100 if thorough else 5):
        OLDER.save(path)
        killed_after(0.003 * draws.random(), lambda: newer.save(path))
        assert load_model(path).fingerprint in fingerprints
    assert in_child(lambda: newer.save(path)) == 0
    assert load_model(path).fingerprint == newer.fingerprint
