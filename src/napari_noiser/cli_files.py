"""Which files a command is about: images, what belongs to each, and where its result goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_noiser.files.reading import ImageFile

__all__ = ["opened", "paired", "pairs_of"]

_STORES = ("zarr.json", ".zgroup", ".zarray")


def opened(paths: Sequence[Path], axes: str | None) -> list[ImageFile]:
    """Open images, and all that are in folders."""
    from napari_noiser.files.reading import image_files, open_image

    files: list[Path] = []
    for path in paths:
        within = image_files(path) if path.is_dir() and not _is_store(path) else [path]
        if not within:
            raise ValueError(f"no images in {path}: neither TIFF nor zarr (*.zarr) nor .npy")
        files += within
    return [open_image(path, axes) for path in files]


def paired(images: Sequence[ImageFile], maps: Sequence[ImageFile]) -> Sequence[ImageFile]:
    """Return a map for each image: of its name, or in their order if no name is the same.

    A single map serves all images.

    Raises
    ------
    ValueError
        If only some have a partner.
    """
    if len(maps) == 1:
        return [*maps] * len(images)
    named = {_name(each): each for each in maps}
    names = [_name(each) for each in images]
    if named.keys().isdisjoint(names):
        return maps
    alone = [each for each in images if _name(each) not in named]
    alone += [each for each in maps if named[_name(each)] is not each or _name(each) not in names]
    if alone:
        said = ", ".join(str(each.path) for each in alone)
        raise ValueError(
            f"--gain takes a map of the name of each image; without a partner: {said}"
        )
    return [named[name] for name in names]


def _name(image: ImageFile) -> str:
    return image.path.stem.removesuffix(".ome")


def pairs_of(source: Path, target: Path, to: str | None) -> list[tuple[Path, Path]]:
    """Return the images, each with where its result goes.

    Raises
    ------
    OSError, ValueError
        If there are none, or their results cannot go there.
    """
    if not source.exists():
        raise FileNotFoundError(f"no image at {source}")
    if source.resolve() == target.resolve():
        raise ValueError(f"OUT must be another place than IN, got {target} for both")
    from napari_noiser.files.saving import ENDINGS

    if source.is_dir() and not _is_store(source):
        return _pairs_in(source, target, to)
    if to is not None:
        raise ValueError(f"--to is for folders: the ending of OUT says it, got {target}")
    if target.suffix.lower() not in ENDINGS:
        raise ValueError(f"OUT of one image must end in {', '.join(ENDINGS)}, got {target}")
    return [(source, target)]


def _pairs_in(folder: Path, target: Path, to: str | None) -> list[tuple[Path, Path]]:
    """Return the images in a folder, each with where its result goes."""
    from napari_noiser.files.reading import image_files
    from napari_noiser.files.saving import ENDINGS

    if target.suffix.lower() in ENDINGS or target.is_file():
        raise ValueError(f"IN is a folder of images, so OUT must be a folder, got {target}")
    pairs = [(image, target / _result_name(image, to)) for image in image_files(folder)]
    if not pairs:
        raise ValueError(f"no images in {folder}: neither TIFF nor zarr (*.zarr) nor .npy")
    images: dict[Path, Path] = {}
    for image, result in pairs:
        other = images.setdefault(result, image)
        if other != image:
            raise ValueError(f"{other.name} and {image.name} would both become {result}")
    return pairs


def _is_store(folder: Path) -> bool:
    known = any((folder / name).exists() for name in _STORES)
    return known or folder.suffix.lower() == ".zarr"


def _result_name(image: Path, to: str | None) -> str:
    """Return an image's own name, or with the ending of another kind; .npy becomes .tif."""
    kept = image.suffix.lower()
    kind = to or ("zarr" if kept == ".zarr" else "tif")
    same = kept in ((".zarr",) if kind == "zarr" else (".tif", ".tiff"))
    return image.name if same else image.with_suffix(f".{kind}").name
