"""Results larger than memory: enhanced into a file, block by block, and resumed after a kill."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from inspect import signature
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.files.ome_zarr import OmeZarr
from napari_noiser.files.space import Space
from napari_noiser.files.tif import Tif
from napari_noiser.files.unfinished import Unfinished
from napari_noiser.progress import Progress, drain
from napari_noiser.srm.model import Model
from napari_noiser.stack.axes import Region
from napari_noiser.stack.display import display_limits
from napari_noiser.stack.steps import TileDone, fill_steps, measure_steps
from napari_noiser.stack.work import Work, plan

__all__ = ["ENDINGS", "PROVENANCE", "Saving", "enhance_to_file", "start_saving"]

Kind = OmeZarr | Tif

PROVENANCE = "napari_noiser"
"""The key of a result's provenance among its attributes."""

ENDINGS = (".zarr", ".tif", ".tiff")
"""Of the files that can be made: OME-Zarr and OME-TIFF."""

_KEEP_MOMENTS = 20.0  # seconds of measuring that a kill may cost
_CORNER = 32


def enhance_to_file(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Model = "noiser",
    *,
    space: Space | None = None,
    resume: bool = False,
    progress: Progress = False,
    **options: Any,
) -> Path:
    """Enhance an image of any size into a file.

    Parameters
    ----------
    image : array
        As in `enhance`; a dask array is computed here and now, a chunk at a time.
    path : str or path
        ``.zarr`` makes an OME-Zarr 0.5 image with a pyramid, ``.tif`` an OME-TIFF. While it is
        being made, all that there is of it lies in the folder ``PATH.partial``.
    model : str, path or Model
        As in `enhance`.
    space : Space, optional
        Axes, steps and units, to be written down; left out, pixels.
    resume : bool
        Go on with what an earlier run has left; what is finished is not computed again. If
        nothing was left, start; if all is finished, leave it as it is.
    progress : bool or callable
        As in `enhance`.
    **options
        ndim, statistics, mask, brightness, contrast, device, tile, memory_limit, dtype: as in
        `enhance`. Axes are those of `space`, or else `axes`.

    Returns
    -------
    Path
        Of the file, complete.

    Raises
    ------
    FileExistsError
        If there is a file, or an unfinished one and `resume` is False.
    OSError
        If the file cannot be written: what was finished stays, to be resumed.
    TypeError, ValueError
        As in `enhance`, or if the unfinished file was made of something else.
    """
    saving = start_saving(image, path, model, space=space, resume=resume, **options)
    return drain(saving.steps(), progress, "enhancing")


@dataclass(frozen=True)
class Saving:
    """A result on its way into a file; `start_saving` makes one.

    Attributes
    ----------
    work : Work
        What is done.
    path : Path
        Where the file will be.
    target : OmeZarr or Tif, optional
        The file as it is being made, to be looked at; None if it was finished before.
    """

    work: Work
    path: Path
    target: Kind | None
    unfinished: Unfinished

    def steps(self) -> Generator[TileDone, None, Path]:
        """Measure and render what is left to do; closing the generator leaves it to be resumed.

        Yields
        ------
        TileDone
            Once a tile.

        Returns
        -------
        Path
            Of the file, complete.
        """
        if self.target is None:
            return self.path
        try:
            moments = yield from self._measure()
            out = _Recorded(self.target, self.unfinished)
            yield from fill_steps(self.work, out, moments, self.unfinished.finished)
            if isinstance(self.target, OmeZarr):
                colour = "S" in self.work.stack.layout.axes
                self.target.set_limits(*display_limits(self.target.levels[0], colour))
            self.unfinished.complete()
        finally:
            self.work.room.release()
            self.unfinished.release()
        return self.path

    def _measure(self) -> Generator[TileDone, None, Any]:
        moments, blocks = self.unfinished.load_moments()
        kept = monotonic()
        for event in measure_steps(self.work, self.target, moments, blocks):
            blocks += event.block is not None
            if event.block is not None and monotonic() - kept > _KEEP_MOMENTS:
                self.unfinished.save_moments(moments, blocks)
                kept = monotonic()
            yield event
        self.unfinished.save_moments(moments, blocks)
        return moments


def start_saving(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Model = "noiser",
    *,
    space: Space | None = None,
    resume: bool = False,
    **options: Any,
) -> Saving:
    """Check what `enhance_to_file` was asked for, and make the unfinished file, or find it.

    Parameters
    ----------
    image, path, model, space, resume, **options : see `enhance_to_file`
        What is asked for. Tiles and memory are those of the run that is resumed.

    Returns
    -------
    Saving
        Holds the unfinished file until its `steps` end.

    Raises
    ------
    BlockingIOError
        If another run is making the same file.
    FileExistsError, OSError, TypeError, ValueError
        As in `enhance_to_file`.
    """
    path, kind = Path(path), _kind(Path(path))
    unknown = set(options) - set(signature(plan).parameters) | {"out"} & set(options)
    if unknown:
        raise TypeError(f"enhance_to_file takes no argument {sorted(unknown)}; see enhance")
    if space is not None:
        options["axes"] = space.axes
    work = plan(image, model, **options)
    space = space or Space.pixels(work.stack.layout.axes)
    unfinished = Unfinished(path)
    if path.exists() and resume:
        unfinished.clear_up()
        return Saving(work, path, None, unfinished)
    if path.exists() or (unfinished.exists and not resume):
        which = "exists" if path.exists() else "is unfinished"
        raise FileExistsError(f"{path} {which} already: take another name, resume or delete it")
    found = unfinished.claim()
    try:
        if found is None:
            return _begin(work, space, kind, unfinished)
        return _go_on(work, space, kind, unfinished, found)
    except BaseException:
        unfinished.release() if found else unfinished.discard()
        raise


def _begin(work: Work, space: Space, kind: type[Kind], unfinished: Unfinished) -> Saving:
    asked = _asked(work, space)
    target = kind.create(
        unfinished.result,
        work.stack.layout.shape,
        work.dtype,
        space,
        name=unfinished.path.name.split(".")[0],
        attributes={PROVENANCE: work.describe()},
    )
    unfinished.begin({"asked": asked, "side": work.side, "memory": work.memory})
    return Saving(work, unfinished.path, target, unfinished)


def _go_on(
    work: Work,
    space: Space,
    kind: type[Kind],
    unfinished: Unfinished,
    found: Mapping[str, Any],
) -> Saving:
    asked = _asked(work, space)
    others = sorted(name for name in asked if asked[name] != found["asked"].get(name))
    if others:
        raise ValueError(
            f"{unfinished.folder} was begun with another {', '.join(others)}: "
            f"{ {name: found['asked'].get(name) for name in others} }, now "
            f"{ {name: asked[name] for name in others} }; delete it, or take another name"
        )
    # The same tiles in the same blocks: the same result, to the last bit.
    work = replace(work, side=found["side"], memory=found["memory"])
    target = kind.open(unfinished.result, space.axes)
    return Saving(work, unfinished.path, target, unfinished)


def _kind(path: Path) -> type[Kind]:
    ending = path.suffix.lower()
    if ending in ENDINGS:
        return OmeZarr if ending == ".zarr" else Tif
    raise ValueError(f"path must end in {', '.join(ENDINGS)}, got {path}")


def _asked(work: Work, space: Space) -> dict[str, Any]:
    """Return what decides the result, as JSON gives it back."""
    described = {
        key: value for key, value in work.describe().items() if key not in ("versions", "device")
    }
    image = {"shape": work.stack.layout.shape, "dtype": str(np.dtype(work.stack.array.dtype))}
    whole = {**described, "image": image | {"values": _corners(work)}, "space": asdict(space)}
    found: dict[str, Any] = json.loads(json.dumps(whole))
    return found


def _corners(work: Work) -> str:
    """Return twelve hexadecimal digits that tell the first and last values of an image."""
    layout = work.stack.layout
    most = [_CORNER if letter in layout.spatial + "S" else 1 for letter in layout.axes]
    lengths = list(zip(layout.shape, most, strict=True))
    first = tuple(slice(0, min(length, few)) for length, few in lengths)
    last = tuple(slice(max(0, length - few), length) for length, few in lengths)
    digest = sha256()
    for corner in (first, last):
        digest.update(np.ascontiguousarray(work.stack.array[corner]).tobytes())
    return digest.hexdigest()[:12]


class _Recorded:
    """A file to be filled that takes note of every block, and says what is kept if it cannot."""

    def __init__(self, target: Kind, unfinished: Unfinished) -> None:
        self.target, self.unfinished = target, unfinished
        self.shape, self.chunks = target.shape, target.chunks

    def __setitem__(self, region: Region, block: NDArray[Any]) -> None:
        self.unfinished.check()
        try:
            self.target[region] = block
            self.target.finish(region)
            self.unfinished.add_finished()
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.unfinished.path} cannot be written on ({error.strerror or error}); what "
                f"is finished is kept in {self.unfinished.folder}, to be resumed",
            ) from error
