"""The files of a command: images, the maps that belong to them, and where results go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from napari_noiser._errors import InputError

Maps = dict[str, Path]
"""The files of an image's maps, by the argument that each is for."""

_ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return the images that are named, and those in folders that are."""
    return [
        image for path in paths for image in (_images_in(path) if _is_folder(path) else [path])
    ]


def maps_for_images(images: Sequence[Path], **given: Path | None) -> dict[Path, Maps]:
    """Return for each image its map of each kind that is given, a file or a folder of them."""
    from napari_noiser.files.open_image import open_image

    maps_of: dict[Path, Maps] = {image: {} for image in images}
    for kind, folder in given.items():
        if folder is None:
            continue
        files = find_images([folder])
        for path in files:
            open_image(path)
        for image, path in zip(images, pair_maps(images, files, kind), strict=True):
            maps_of[image][kind] = path
    return maps_of


def pair_maps(images: Sequence[Path], maps: Sequence[Path], kind: str) -> Sequence[Path]:
    """Return a map for each image: of its name, or in their order if no name is the same.

    A single map serves all images.
    """
    if len(maps) == 1:
        return [*maps] * len(images)
    named = {_name(each): each for each in maps}
    names = [_name(each) for each in images]
    if named.keys().isdisjoint(names):
        if len(maps) != len(images):
            count = f"{len(images)}; got {len(maps)}"
            raise InputError(kind, f"must be one map, or one map an image, {count}")
        return maps
    unpaired = [each for each in images if _name(each) not in named]
    unpaired += [each for each in maps if named[_name(each)] != each or _name(each) not in names]
    if unpaired:
        files = ", ".join(map(str, unpaired))
        raise InputError(
            kind, f"takes a map of the name of each image; without a partner: {files}"
        )
    return [named[name] for name in names]


def _name(image: Path) -> str:
    return image.stem.removesuffix(".ome")


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
    """Return the images, each with where its result goes."""
    if not source.exists():
        raise FileNotFoundError(f"no image at {source}")
    if source.resolve() == target.resolve():
        raise InputError("", f"OUT must be another place than IN, got {target} for both")
    from napari_noiser.files.enhance_to_file import ENDINGS

    if _is_folder(source):
        return _pairs_in_folder(source, target, to)
    if to is not None:
        raise InputError("", f"--to is for folders: the ending of OUT says it, got {target}")
    if target.suffix.lower() not in ENDINGS:
        raise InputError("", f"OUT of one image must end in {', '.join(ENDINGS)}, got {target}")
    return [(source, target)]


def _pairs_in_folder(folder: Path, target: Path, to: str | None) -> list[tuple[Path, Path]]:
    """Return the images in a folder, each with where its result goes."""
    from napari_noiser.files.enhance_to_file import ENDINGS

    if target.suffix.lower() in ENDINGS or target.is_file():
        raise InputError("", f"IN is a folder of images, so OUT must be a folder, got {target}")
    images: dict[Path, Path] = {}
    for image in _images_in(folder):
        result = target / _result_name(image, to)
        other = images.setdefault(result, image)
        if other != image:
            raise InputError("", f"{other.name} and {image.name} would both become {result}")
    return [(image, result) for result, image in images.items()]


def _images_in(folder: Path) -> list[Path]:
    from napari_noiser.files.open_image import list_images

    found = list_images(folder)
    if not found:
        raise InputError("", f"no images in {folder}: neither TIFF nor zarr (*.zarr) nor .npy")
    return found


def _is_folder(path: Path) -> bool:
    """Return whether there may be several images in a folder: it is no zarr store."""
    if not path.is_dir() or path.suffix.lower() == ".zarr":
        return False
    return not any((path / name).exists() for name in _ZARR_METADATA)


def _result_name(image: Path, to: str | None) -> str:
    """Return an image's own name, or with the ending of another kind; .npy becomes .tif."""
    ending = image.suffix.lower()
    kind = to or ("zarr" if ending == ".zarr" else "tif")
    same = ending in ((".zarr",) if kind == "zarr" else (".tif", ".tiff"))
    return image.name if same else image.with_suffix(f".{kind}").name
