"""Where a result is kept: in memory, nowhere (it is rendered as one looks), or on disk.

torch is imported in here, on the worker's thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from itertools import count
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noiser._progress import Event, mapped
from napari_noiser.engine.device_memory import free_memory
from napari_noiser.plugin.layers.gain_map import gain_for_level
from napari_noiser.plugin.layers.snapshot import ImageSource
from napari_noiser.plugin.tasks.background_task import few_threads

if TYPE_CHECKING:
    from napari_noiser.arrays.lazy_view import Deferred
    from napari_noiser.files.enhance_to_file import Saving
    from napari_noiser.methods.noiser.model import Model
    from napari_noiser.plugin.results.statistics import Report

__all__ = [
    "Enhanced",
    "Filling",
    "begin_or_resume",
    "file_name",
    "keep_in_memory",
    "keep_live",
    "keep_on_disk",
    "mask_for_level",
]


@dataclass(frozen=True)
class Enhanced:
    """What an enhancement leaves: all that the result's layer takes.

    Attributes
    ----------
    data : array or list of array
        The result; a list holds the levels of a multiscale layer.
    provenance : dict
        How it was made, and how far it is from its raw data.
    limits : pair of float
        Contrast limits.
    report : Report
        What it made of the image.
    trained : Model, optional
        What rendered it, if it was trained on the way.
    """

    data: Any
    provenance: dict[str, Any]
    limits: tuple[float, float]
    report: Report
    trained: Model | None = None


@dataclass(frozen=True)
class Filling:
    """One finished tile of a result on disk.

    Attributes
    ----------
    done, total, stage
        As in `napari_noiser._progress.Event`.
    data : Deferred or list of Deferred
        What there is of the result, to be looked at again and again.
    folder : Path
        Where it is until it is finished.
    """

    done: int
    total: int
    stage: str
    data: Deferred | list[Deferred]
    folder: Path


def keep_in_memory(
    source: ImageSource, model: str | PathLike[str] | Model, **options: Any
) -> Generator[Event, None, Enhanced]:
    """Enhance a layer's image into an array in memory.

    Raises
    ------
    MemoryError
        If there is no room for the result.
    """
    from napari_noiser.engine.calibration import calibrated
    from napari_noiser.engine.enhance import render_steps
    from napari_noiser.engine.plan import plan

    work = calibrated(plan(source.array, model, axes=source.axes, **options))
    if work.out is None:
        _check_memory(prod(work.stack.layout.shape) * work.dtype.itemsize)
    array = yield from render_steps(work)
    return _enhanced(source, array, work.describe())


def keep_live(
    source: ImageSource, model: str | PathLike[str] | Model, **options: Any
) -> Generator[Event, None, Enhanced]:
    """Measure a layer's image for a result that is rendered as it is shown.

    Each level of a multiscale layer is measured for itself, so that only what is shown is read.
    """
    from napari_noiser.engine.calibration import calibrated
    from napari_noiser.engine.live import live_image
    from napari_noiser.engine.passes import measure_steps
    from napari_noiser.engine.plan import plan

    mask, gain = options.pop("mask", None), options.pop("gain", None)
    works = [
        plan(
            level,
            model,
            axes=source.axes,
            mask=mask_for_level(mask, source, level),
            gain=gain_for_level(gain, source, level, options.get("ndim", 2)),
            **options,
        )
        for level in source.levels
    ]
    views, works = [], [calibrated(work) for work in works]
    for work in works:
        moments = yield from measure_steps(work)
        work.room.release()
        views.append(_politely_read(live_image(work, moments)))
    return _enhanced(source, _one_or_all(views), works[0].describe())


def keep_on_disk(
    source: ImageSource,
    model: str | PathLike[str] | Model,
    folder: str | PathLike[str],
    **options: Any,
) -> Generator[Filling, None, Enhanced]:
    """Enhance a layer's image into an OME-Zarr in a folder, or go on with one that is unfinished.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    import dask.array as da

    from napari_noiser.files.writers.ome_zarr import OmeZarr

    saving = begin_or_resume(source, model, Path(folder), options)
    looked_at = _one_or_all([_looked_at(level) for level in saving.target.levels])
    begun = partial(Filling, data=looked_at, folder=saving.unfinished.folder)
    path = yield from mapped(
        saving.steps(), lambda event: begun(event.done, event.total, event.stage)
    )
    finished = [
        level if isinstance(level, da.Array) else da.from_zarr(level)
        for level in OmeZarr.open(path, source.axes).levels
    ]
    provenance = {**saving.work.describe(), "path": str(path)}
    return _enhanced(source, _one_or_all(finished), provenance)


def _enhanced(source: ImageSource, data: Any, provenance: dict[str, Any]) -> Enhanced:
    """Look at a few parts of a finished result: how to show it, and what it made of the image."""
    from napari_noiser.engine.contrast_limits import display_limits
    from napari_noiser.plugin.results.statistics import report_on

    finest = data[0] if isinstance(data, list) else data
    limits = display_limits(finest, source.rgb, provenance["output"])
    report = report_on(
        source.array,
        finest,
        source.axes,
        output=provenance["output"],
        camera=provenance["camera"],
    )
    return Enhanced(data, {**provenance, **report.provenance}, limits, report)


def _check_memory(needed: int) -> None:
    free = free_memory()
    if needed > free:
        raise MemoryError(
            f"the result takes {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB of memory are free: "
            "keep it on disk, or live (rendered as you look), or take a smaller type"
        )


def mask_for_level(mask: Any, source: ImageSource, level: Any) -> Any:
    """Return a mask of the finest level for another one: of each voxel the nearest."""
    if mask is None or level is source.array:
        return mask
    from napari_noiser.arrays.companion import place_mask
    from napari_noiser.arrays.layout import Layout

    fine = Layout(source.axes, tuple(source.array.shape)).without_samples
    coarse = Layout(source.axes, tuple(level.shape)).without_samples
    placed = place_mask(np.asarray(mask), fine)
    nearest = (
        np.arange(length) * held // length if held > 1 else [0]
        for held, length in zip(placed.shape, coarse.shape, strict=True)
    )
    return np.broadcast_to(placed[np.ix_(*nearest)], coarse.shape)


def _politely_read(view: Deferred) -> Deferred:
    """Return a view that leaves a core to napari, whichever of its threads asks."""
    read = view.read

    @wraps(read)
    def politely(box: Any) -> Any:
        with few_threads():
            return read(box)

    return replace(view, read=politely)


def _looked_at(level: Any) -> Deferred:
    """Return a view of a store that is being filled.

    napari would read all planes of a zarr array in a multiscale layer, and would remember what
    it once saw of a dask array.
    """
    from napari_noiser.arrays.chunks import chunk_grid
    from napari_noiser.arrays.lazy_view import Deferred

    chunks = chunk_grid(level).largest
    return Deferred.whole(lambda box: np.asarray(level[box]), level.shape, level.dtype, chunks)


def _one_or_all(levels: list[Any]) -> Any:
    return levels if len(levels) > 1 else levels[0]


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
    from napari_noiser.files.enhance_to_file import start_saving
    from napari_noiser.files.partial_output import Unfinished

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
