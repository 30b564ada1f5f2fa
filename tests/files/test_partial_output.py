"""The folder of an unfinished result, where the file system does not do what is asked of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from napari_noiser.files.partial_output import PartialOutput


def begun(path: Path) -> PartialOutput:
    unfinished = PartialOutput(path)
    assert unfinished.claim() is None
    unfinished.begin({"request": 1})
    return unfinished


def test_a_folder_that_vanishes_while_it_is_measured_is_said(tmp_path: Path) -> None:
    unfinished = begun(tmp_path / "a.zarr")
    shutil.rmtree(unfinished.folder)
    with pytest.raises(FileNotFoundError, match=r"a\.zarr\.partial has vanished"):
        unfinished.save_moments({}, 1)
    with pytest.raises(FileNotFoundError, match=r"a\.zarr\.partial has vanished"):
        _ = unfinished.finished
    unfinished.release()


def test_a_file_in_its_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unfinished = PartialOutput(tmp_path / "file" / "a.zarr")
    with pytest.raises(NotADirectoryError, match=r"a\.zarr\.partial cannot be made \(Not a dir"):
        unfinished.claim()


def test_what_cannot_be_given_its_name_is_complete(tmp_path: Path, monkeypatch) -> None:
    unfinished = begun(tmp_path / "a.zarr")
    with pytest.raises(FileNotFoundError, match=r"cannot be given its name; .* is complete"):
        unfinished.complete()
    unfinished.release()


def test_another_run_is_told_from_a_fault(tmp_path: Path) -> None:
    unfinished = begun(tmp_path / "a.zarr")
    with pytest.raises(BlockingIOError, match="is being made by another run"):
        PartialOutput(tmp_path / "a.zarr").claim()
    unfinished.release()
