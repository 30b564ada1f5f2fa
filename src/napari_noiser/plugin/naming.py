"""Results in a folder: a name that is free, or that of an unfinished one to go on with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noiser.plugin.source import ImageSource

if TYPE_CHECKING:
    from napari_noiser.files.saving import Saving
    from napari_noiser.srm.model import Model

__all__ = ["begin_or_resume", "file_name"]

_LONGEST = 150  # bytes of a layer's name: file systems take 255


def begin_or_resume(
    source: ImageSource,
    model: str | PathLike[str] | Model,
    folder: Path,
    options: Mapping[str, Any],
) -> Saving:
    """Go on with the unfinished result in a folder that was asked for alike, or begin another.

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be written to.
    TypeError, ValueError
        As in `napari_noiser.enhance_to_file`.
    """
    from napari_noiser.files.saving import start_saving
    from napari_noiser.files.unfinished import Unfinished

    if not folder.is_dir():
        raise NotADirectoryError(f"results go into a folder, but there is none at {folder}")
    recipe = model if isinstance(model, str) else model.recipe.name
    for name in _candidates(f"{file_name(source.name)} ({file_name(recipe)})"):
        path = folder / name
        begun = Unfinished(path).exists
        if path.exists():
            continue
        try:
            return start_saving(
                source.array, path, model, space=source.space, resume=True, **options
            )
        except BlockingIOError:  # another run is making it
            continue
        except ValueError:
            if not begun:
                raise
            continue  # it was begun with other settings
    raise AssertionError("numbers do not end")


def file_name(text: str) -> str:
    """Return a text as part of a file's name that Windows, macOS and Linux take.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
        Without what separates folders, without control characters, and not too long.
    """
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text)
    short = plain.encode()[:_LONGEST].decode(errors="ignore")
    return short.strip(" .") or "_"


def _candidates(stem: str) -> Iterator[str]:
    yield f"{stem}.ome.zarr"
    for number in count(1):
        yield f"{stem}-{number}.ome.zarr"
