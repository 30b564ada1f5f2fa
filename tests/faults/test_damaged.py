"""States that were damaged between two runs, and folders of somebody else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jobs import IMAGE, JOBS, OLDER, OPTIONS, often  # noqa: F401

from napari_noiser.files.enhance_to_file import enhance_to_file, start_save

pytestmark = pytest.mark.usefixtures("often")


def stopped(path: Path, blocks: int = 4) -> Path:
    """Leave a result with some finished blocks; return its folder."""
    saving = start_save(IMAGE, path, "noiser", **OPTIONS)
    steps = saving.steps()
    for _ in steps:
        if saving.unfinished.finished >= blocks:
            break
    steps.close()
    return saving.unfinished.folder


def one_more(folder: Path) -> None:
    with (folder / "finished").open("a") as file:
        file.write("0123456789abcdef\n" * 9)


def many_dots(folder: Path) -> None:
    (folder / "finished").write_text("." * 100_000)


def noise(folder: Path) -> None:
    (folder / "finished").write_bytes(np.random.default_rng(0).bytes(500))


def half_a_line(folder: Path) -> None:
    content = (folder / "finished").read_bytes()
    (folder / "finished").write_bytes(content[:-5])


def without_finished(folder: Path) -> None:
    (folder / "finished").unlink()


def nan_moments(folder: Path) -> None:
    with np.load(folder / "moments.npz") as saved:
        arrays = dict(saved)
    arrays["means"][0, 0] = np.nan
    np.savez(folder / "moments.npz", **arrays)


def other_counts(folder: Path) -> None:
    with np.load(folder / "moments.npz") as saved:
        arrays = dict(saved)
    arrays["counts"] += 1
    np.savez(folder / "moments.npz", **arrays)


def cut_moments(folder: Path) -> None:
    content = (folder / "moments.npz").read_bytes()
    (folder / "moments.npz").write_bytes(content[: len(content) // 2])


def no_moments(folder: Path) -> None:
    (folder / "moments.npz").unlink()


def pickled_moments(folder: Path) -> None:
    np.savez(folder / "moments.npz", blocks=np.array([{}], object))


def chunk_of(folder: Path, level: int) -> Path:
    return next(iter(sorted((folder / "a.zarr" / str(level) / "c").rglob("*/*/*"))))


def lost_chunk(folder: Path) -> None:
    chunk_of(folder, 0).unlink()


def lost_coarse_chunk(folder: Path) -> None:
    chunk_of(folder, 1).unlink()


def cut_chunk(folder: Path) -> None:
    chunk = chunk_of(folder, 0)
    chunk.write_bytes(chunk.read_bytes()[:-3])


HEALED: list[Callable[[Path], None]] = [
    one_more,
    many_dots,
    noise,
    half_a_line,
    without_finished,
    nan_moments,
    other_counts,
    cut_moments,
    no_moments,
    pickled_moments,
    lost_chunk,
    lost_coarse_chunk,
    cut_chunk,
]


@pytest.mark.filterwarnings("ignore:.*damaged")
@pytest.mark.parametrize("damage", HEALED, ids=lambda each: each.__name__)
def test_what_is_damaged_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    whole = JOBS["zarr"].whole(tmp_path)
    damage(stopped(tmp_path / "a.zarr", 8))
    JOBS["zarr"].make(tmp_path / "a.zarr")
    assert JOBS["zarr"].read(tmp_path / "a.zarr") == whole


def other_tile(text: str) -> str:
    return text.replace('"tile_side": 16', '"tile_side": 64')


def no_object(text: str) -> str:
    return json.dumps([text])


def half(text: str) -> str:
    return text[: len(text) // 2]


@pytest.mark.parametrize("change", [other_tile, no_object, half])
def test_a_request_that_was_changed_is_refused(
    change: Callable[[str], str], tmp_path: Path
) -> None:
    folder = stopped(tmp_path / "a.zarr")
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(change(text))
    with pytest.raises(ValueError, match=r"a\.zarr\.partial is broken, delete it"):
        enhance_to_file(IMAGE, tmp_path / "a.zarr", "noiser", resume=True, **OPTIONS)
    shutil.rmtree(folder)
    JOBS["zarr"].make(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json"])
def test_a_store_without_its_metadata_is_refused(name: str, tmp_path: Path) -> None:
    folder = stopped(tmp_path / "a.zarr")
    (folder / "a.zarr" / name).write_text("{")
    with pytest.raises(ValueError, match=r"a\.zarr"):
        JOBS["zarr"].make(tmp_path / "a.zarr")


def test_a_tiff_that_was_cut_is_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "a.tif", 1)
    content = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(content[:-1000])
    with pytest.raises(ValueError, match=r"a\.tif"):
        JOBS["tif"].make(tmp_path / "a.tif")


def foreign(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")


def foreign_with_our_names(folder: Path) -> None:
    foreign(folder)
    (folder / "run.json").write_text("{}")
    (folder / "lock").touch()


def of_another_result(folder: Path) -> None:
    stopped(folder.with_name("b.zarr")).rename(folder)
    (folder / "thesis.txt").write_text("precious")


def a_link(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    foreign(elsewhere)
    (elsewhere / "made by napari-noiser").touch()
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("make", [foreign, foreign_with_our_names, of_another_result, a_link])
@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(
    make: Callable[[Path], None], finished: bool, tmp_path: Path
) -> None:
    path, folder = tmp_path / "a.zarr", tmp_path / "a.zarr.partial"
    if finished:
        JOBS["zarr"].make(path)
    make(folder)
    if finished:
        JOBS["zarr"].make(path)
    else:
        with pytest.raises(FileExistsError, match="has not made it"):
            JOBS["zarr"].make(path)
    assert (folder / "thesis.txt").read_text() == "precious"


def test_what_somebody_puts_into_our_folder_stays(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "a.zarr")
    (folder / "notes.txt").write_text("precious")
    JOBS["zarr"].make(tmp_path / "a.zarr")
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]


def test_a_pipe_or_a_folder_is_not_replaced_by_a_model(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(OSError, match="no regular file"):
        OLDER.save(tmp_path / "a.safetensors")


def test_a_link_to_a_model_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    link, file = tmp_path / "a.safetensors", tmp_path / "models" / "a.safetensors"
    link.symlink_to(file)
    OLDER.save(link)
    assert link.is_symlink()
    assert file.is_file()
