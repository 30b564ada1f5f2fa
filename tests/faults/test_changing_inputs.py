"""Images that are overwritten, cut or deleted while they are read: told, and never mixed."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from napari_noiser import enhance, fit_steps
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.mapped_file import unmapped
from napari_noiser.arrays.sampling import content_digest
from napari_noiser.files.enhance_to_file import enhance_to_file, start_save
from napari_noiser.files.open_image import open_image
from napari_noiser.recipes import BlindSpotRecipe

OPTIONS: dict[str, Any] = {"tile": 32, "memory_limit": 2_000_000}
IMAGE = np.random.default_rng(0).poisson(9, (6, 128, 128)).astype("u2")
OTHER = np.random.default_rng(1).poisson(50, IMAGE.shape).astype("u2")

pytestmark = pytest.mark.filterwarnings("ignore:.*made again")


def npy(path: Path, image: NDArray[Any]) -> Path:
    np.save(path.with_suffix(".npy"), image)
    return path.with_suffix(".npy")


def plain_tiff(path: Path, image: NDArray[Any]) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), image, metadata={"axes": "ZYX"})
    return path.with_suffix(".tif")


def inverted_tiff(path: Path, image: NDArray[Any]) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, image, metadata={"axes": "ZYX"}, photometric="miniswhite")
    return path


def compressed_tiff(path: Path, image: NDArray[Any]) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, image, metadata={"axes": "ZYX"}, compression="zlib")
    return path


def zarr_store(path: Path, image: NDArray[Any]) -> Path:
    path = path.with_suffix(".zarr")
    zarr.create_array(str(path), data=image, chunks=(1, 64, 64), overwrite=True)
    return path


WRITERS = [npy, plain_tiff, inverted_tiff, compressed_tiff, zarr_store]


def overwrite(path: Path, write: Callable[[Path, NDArray[Any]], Path]) -> None:
    other = write(path.with_name("other"), OTHER)
    if path.is_dir():
        shutil.copytree(other, path, dirs_exist_ok=True)
        return
    with path.open("r+b") as file:
        file.write(other.read_bytes())


def put_another(path: Path, write: Callable[[Path, NDArray[Any]], Path]) -> None:
    other = write(path.with_name("other"), OTHER)
    if path.is_dir():
        shutil.rmtree(path)
    other.rename(path)


def cut(path: Path, write: object) -> None:
    if path.is_dir():
        for chunk in sorted((path / "c").rglob("*"))[::2]:
            if chunk.is_file():
                chunk.write_bytes(chunk.read_bytes()[:20])
        return
    os.truncate(path, path.stat().st_size // 3)


def delete(path: Path, write: object) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], NDArray[Any]]:
    """What an image that stays the same comes out as."""

    @cache
    def result(write: Callable[[Path, NDArray[Any]], Path]) -> NDArray[Any]:
        folder = tmp_path_factory.mktemp("whole")
        image = open_image(write(folder / "a", IMAGE), "ZYX")
        path = enhance_to_file(image.array, folder / "b.zarr", "noiser", **OPTIONS)
        return np.asarray(open_image(path).array[:])

    return result


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("change", [overwrite, put_another, cut, delete])
def test_an_image_that_changes_is_not_finished(
    write: Callable[[Path, NDArray[Any]], Path],
    change: Callable[[Path, Any], None],
    tmp_path: Path,
    whole: Callable[[Any], NDArray[Any]],
    thorough: bool,
) -> None:
    draws = random.Random(f"{write.__name__} {change.__name__}")
    for number in range(5 if thorough else 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        source, path = write(folder / "a", IMAGE), folder / "b.zarr"
        image = open_image(source, "ZYX")
        steps = start_save(image.array, path, "noiser", space=image.space, **OPTIONS).steps()
        total = next(steps).total
        for _ in range(draws.randrange(total - 2)):
            next(steps)
        change(source, write)
        with pytest.raises(OSError, match=r"image has (changed|vanished)|cannot be read|No such"):
            for _ in steps:
                pass
        assert not path.exists()
        again = write(folder / "a", IMAGE)
        image = open_image(again, "ZYX")
        saved = enhance_to_file(
            image.array, path, "noiser", space=image.space, resume=True, **OPTIONS
        )
        np.testing.assert_array_equal(open_image(saved).array[:], whole(write))


def test_a_part_that_changes_between_two_runs_is_not_mixed_in(tmp_path: Path) -> None:
    source, image = npy(tmp_path / "a", IMAGE), IMAGE.copy()
    same = content_digest(ImageArray.from_array(IMAGE))
    for place in np.ndindex(IMAGE.shape):  # where nothing looks that tells images apart
        image[place] += 99
        if content_digest(ImageArray.from_array(image)) == same:
            break
        image[place] -= 99
    saving = start_save(open_image(source).array, tmp_path / "b.tif", "noiser", **OPTIONS)
    steps = saving.steps()
    for _ in steps:
        if saving.unfinished.finished > 2:
            break
    steps.close()
    np.save(source, image)
    with pytest.warns(UserWarning, match="made again"):
        found = enhance_to_file(
            open_image(source).array, tmp_path / "b.tif", "noiser", resume=True, **OPTIONS
        )
    whole = enhance_to_file(open_image(source).array, tmp_path / "c.tif", "noiser", **OPTIONS)
    np.testing.assert_array_equal(open_image(found).array[:], open_image(whole).array[:])


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be cut there")
def test_a_map_that_is_cut_ends_in_an_error_and_not_the_process(tmp_path: Path) -> None:
    source = npy(tmp_path / "a", IMAGE)
    mapped = np.load(source, mmap_mode="r")
    for image in (mapped, mapped[1:, ::2], mapped.transpose(0, 2, 1), np.asarray(mapped)):
        np.save(source, IMAGE)
        assert enhance(image, "noiser").shape == image.shape
        os.truncate(source, 5000)
        with pytest.raises(OSError, match="has changed"):
            enhance(unmapped(image), "noiser")
    np.save(source, IMAGE)
    opened = unmapped(np.load(source, mmap_mode="r"))
    os.truncate(source, 5000)
    with pytest.raises(OSError, match="has changed"):
        enhance(opened, "noiser")
    np.save(source, IMAGE)


def test_a_fit_to_images_that_change_is_not_finished(tmp_path: Path) -> None:
    source = npy(tmp_path / "a", np.tile(IMAGE, (1, 2, 2)))
    recipe = BlindSpotRecipe(iterations=4, width=2, scales=(2,), crop=32, batch=1)
    steps = fit_steps(open_image(source).array, recipe, device="cpu")
    next(steps)
    overwrite(source, lambda path, _: npy(path, np.tile(OTHER, (1, 2, 2))))
    with pytest.raises(OSError, match="image has changed"):
        for _ in steps:
            pass


VIEWS: list[Callable[[Any], Any]] = [
    lambda image: image,
    lambda image: image[2],
    lambda image: image[1:, 3:90, ::3],
    lambda image: image.transpose(2, 0, 1),
    lambda image: image[:, ::5, 1:2],
    lambda image: image[..., None].transpose(3, 1, 0, 2),
    lambda image: image.reshape(6, 128, 64, 2)[..., 1],
    np.asarray,
]


@pytest.mark.parametrize("number", range(len(VIEWS)))
@pytest.mark.parametrize("dtype", ["u2", ">f4"])
def test_any_part_of_a_file_is_read_as_its_map_shows_it(
    number: int, dtype: str, tmp_path: Path
) -> None:
    draws = random.Random(number)
    np.save(tmp_path / "a.npy", IMAGE.astype(dtype))
    mapped = VIEWS[number](np.load(tmp_path / "a.npy", mmap_mode="r"))
    read = unmapped(mapped)
    assert read is not mapped
    assert (read.shape, read.dtype) == (mapped.shape, mapped.dtype)
    np.testing.assert_array_equal(np.asarray(read), mapped)
    for _ in range(20):
        key = tuple(
            slice(start := draws.randrange(n), draws.randrange(start, n) + 1, draws.choice([1, 2]))
            for n in mapped.shape
        )
        np.testing.assert_array_equal(np.asarray(read[key]), mapped[key])


def test_a_map_whose_file_was_replaced_is_read_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.save(tmp_path / "b.npy", OTHER)
    os.replace(tmp_path / "b.npy", tmp_path / "a.npy")
    assert unmapped(mapped) is mapped
    copied = np.load(tmp_path / "a.npy", mmap_mode="c")
    assert unmapped(copied) is copied
    assert unmapped(mapped[::-1]) is not None
