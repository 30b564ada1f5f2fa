"""Which files a command is about: images, what belongs to each, and where its result goes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = [
    "Maps",
    "files_named",
    "find_images",
    "input_output_pairs",
    "make_parent_folder",
    "maps_for_images",
    "pair_maps",
]

Maps = dict[str, Path]
"""Of an image, by the argument that each is for."""

_STORES = ("zarr.json", ".zgroup", ".zarray")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return images, and all that are in folders."""
    from napari_noiser.files.open_image import list_images

    files: list[Path] = []
    for path in paths:
        within = list_images(path) if path.is_dir() and not _is_store(path) else [path]
        if not within:
            raise ValueError(f"no images in {path}: neither TIFF nor zarr (*.zarr) nor .npy")
        files += within
    return files


def maps_for_images(images: Sequence[Path], **given: Path | None) -> dict[Path, Maps]:
    """Return for each image its map of each kind that is given, a file or a folder of them.

    Raises
    ------
    OSError, ValueError
        If a map cannot be opened, or as in `pair_maps`.
    """
    from napari_noiser.files.open_image import open_image

    found: dict[Path, Maps] = {image: {} for image in images}
    for kind, place in given.items():
        if place is None:
            continue
        files = find_images([place])
        for path in files:
            open_image(path)
        for image, path in zip(images, pair_maps(images, files, kind), strict=True):
            found[image][kind] = path
    return found


def pair_maps(images: Sequence[Path], maps: Sequence[Path], kind: str) -> Sequence[Path]:
    """Return a map for each image: of its name, or in their order if no name is the same.

    A single map serves all images.

    Raises
    ------
    ValueError
        If only some have a partner, or there are more of one than of the other.
    """
    if len(maps) == 1:
        return [*maps] * len(images)
    named = {_name(each): each for each in maps}
    names = [_name(each) for each in images]
    if named.keys().isdisjoint(names):
        if len(maps) != len(images):
            count = f"{len(images)}; got {len(maps)}"
            raise ValueError(f"--{kind} must be one map, or one map an image, {count}")
        return maps
    alone = [each for each in images if _name(each) not in named]
    alone += [each for each in maps if named[_name(each)] != each or _name(each) not in names]
    if alone:
        said = ", ".join(map(str, alone))
        raise ValueError(
            f"--{kind} takes a map of the name of each image; without a partner: {said}"
        )
    return [named[name] for name in names]


def _name(image: Path) -> str:
    return image.stem.removesuffix(".ome")


@contextmanager
def files_named(files: Sequence[Path]) -> Iterator[None]:
    """Let errors that tell of images[N] name its file."""
    try:
        yield
    except ValueError as error:
        text = re.sub(r"\bimages\[(\d+)\]", lambda found: str(files[int(found[1])]), str(error))
        raise ValueError(text) from error


def make_parent_folder(target: Path) -> None:
    """Make the folder of a file, and raise an `OSError` if nothing can be written there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OSError(
            error.errno, f"{target} cannot be written ({error.strerror or error})"
        ) from error


def input_output_pairs(source: Path, target: Path, to: str | None) -> list[tuple[Path, Path]]:
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
    from napari_noiser.files.enhance_to_file import ENDINGS

    if source.is_dir() and not _is_store(source):
        return _pairs_in_folder(source, target, to)
    if to is not None:
        raise ValueError(f"--to is for folders: the ending of OUT says it, got {target}")
    if target.suffix.lower() not in ENDINGS:
        raise ValueError(f"OUT of one image must end in {', '.join(ENDINGS)}, got {target}")
    return [(source, target)]


def _pairs_in_folder(folder: Path, target: Path, to: str | None) -> list[tuple[Path, Path]]:
    """Return the images in a folder, each with where its result goes."""
    from napari_noiser.files.enhance_to_file import ENDINGS
    from napari_noiser.files.open_image import list_images

    if target.suffix.lower() in ENDINGS or target.is_file():
        raise ValueError(f"IN is a folder of images, so OUT must be a folder, got {target}")
    pairs = [(image, target / _result_name(image, to)) for image in list_images(folder)]
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
