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

from napari_noiser._progress import Event, map_events
from napari_noiser.plugin.layers.gain_map import gain_for_level
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.background_task import limit_threads

if TYPE_CHECKING:
    from napari_noiser.arrays.lazy_view import LazyView
    from napari_noiser.files.enhance_to_file import SaveTask
    from napari_noiser.methods.noiser.model import Model
    from napari_noiser.plugin.results.statistics import ResultStatistics

__all__ = [
    "TaskResult",
    "TileWritten",
    "begin_or_resume",
    "enhance_in_memory",
    "enhance_live",
    "enhance_on_disk",
    "file_name",
    "mask_for_level",
]


@dataclass(frozen=True)
class TaskResult:
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
    report: ResultStatistics
    trained: Model | None = None


@dataclass(frozen=True)
class TileWritten:
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
    data: LazyView | list[LazyView]
    folder: Path


def enhance_in_memory(
    source: LayerSnapshot, model: str | PathLike[str] | Model, **options: Any
) -> Generator[Event, None, TaskResult]:
    """Enhance a layer's image into an array in memory.

    Raises
    ------
    MemoryError
        If there is no room for the result.
    """
    from napari_noiser.engine.calibration import calibrate
    from napari_noiser.engine.enhance import plan_steps
    from napari_noiser.engine.plan import make_plan

    plan = calibrate(make_plan(source.array, model, axes=source.axes, **options))
    if plan.out is None:
        _check_memory(prod(plan.image.layout.shape) * plan.dtype.itemsize)
    array = yield from plan_steps(plan)
    return _enhanced(source, array, plan.describe())


def enhance_live(
    source: LayerSnapshot, model: str | PathLike[str] | Model, **options: Any
) -> Generator[Event, None, TaskResult]:
    """Measure a layer's image for a result that is rendered as it is shown.

    Each level of a multiscale layer is measured for itself, so that only what is shown is read.
    """
    from napari_noiser.engine.calibration import calibrate
    from napari_noiser.engine.live import live_image
    from napari_noiser.engine.passes import measure_steps
    from napari_noiser.engine.plan import make_plan

    mask, gain = options.pop("mask", None), options.pop("gain", None)
    plans = [
        make_plan(
            level,
            model,
            axes=source.axes,
            mask=mask_for_level(mask, source, level),
            gain=gain_for_level(gain, source, level, options.get("ndim", 2)),
            **options,
        )
        for level in source.levels
    ]
    views, plans = [], [calibrate(plan) for plan in plans]
    for plan in plans:
        moments = yield from measure_steps(plan)
        plan.device_memory.release()
        views.append(_read_with_few_threads(live_image(plan, moments)))
    return _enhanced(source, _one_or_all(views), plans[0].describe())


def enhance_on_disk(
    source: LayerSnapshot,
    model: str | PathLike[str] | Model,
    folder: str | PathLike[str],
    **options: Any,
) -> Generator[TileWritten, None, TaskResult]:
    """Enhance a layer's image into an OME-Zarr in a folder, or go on with one that is unfinished.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    import dask.array as da

    from napari_noiser.files.writers.ome_zarr import OmeZarr

    saving = begin_or_resume(source, model, Path(folder), options)
    looked_at = _one_or_all([_view_of_store(level) for level in saving.target.levels])
    begun = partial(TileWritten, data=looked_at, folder=saving.unfinished.folder)
    path = yield from map_events(
        saving.steps(), lambda event: begun(event.done, event.total, event.stage)
    )
    finished = [
        level if isinstance(level, da.Array) else da.from_zarr(level)
        for level in OmeZarr.open(path, source.axes).levels
    ]
    provenance = {**saving.plan.describe(), "path": str(path)}
    return _enhanced(source, _one_or_all(finished), provenance)


def _enhanced(source: LayerSnapshot, data: Any, provenance: dict[str, Any]) -> TaskResult:
    """Look at a few parts of a finished result: how to show it, and what it made of the image."""
    from napari_noiser.engine.contrast_limits import contrast_limits
    from napari_noiser.plugin.results.statistics import result_statistics

    finest = data[0] if isinstance(data, list) else data
    limits = contrast_limits(finest, source.rgb, provenance["output"])
    report = result_statistics(
        source.array,
        finest,
        source.axes,
        output=provenance["output"],
        camera=provenance["camera"],
    )
    return TaskResult(data, {**provenance, **report.provenance}, limits, report)


def _check_memory(needed: int) -> None:
    from napari_noiser.engine.device_memory import free_memory

    free = free_memory()
    if needed > free:
        raise MemoryError(
            f"the result takes {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB of memory are free: "
            "keep it on disk, or live (rendered as you look), or take a smaller type"
        )


def mask_for_level(mask: Any, source: LayerSnapshot, level: Any) -> Any:
    """Return a mask of the finest level for another one: of each voxel the nearest."""
    if mask is None or level is source.array:
        return mask
    from napari_noiser.arrays.companion import expand_mask
    from napari_noiser.arrays.layout import Layout

    fine = Layout(source.axes, tuple(source.array.shape)).without_samples
    coarse = Layout(source.axes, tuple(level.shape)).without_samples
    placed = expand_mask(np.asarray(mask), fine)
    nearest = (
        np.arange(length) * held // length if held > 1 else [0]
        for held, length in zip(placed.shape, coarse.shape, strict=True)
    )
    return np.broadcast_to(placed[np.ix_(*nearest)], coarse.shape)


def _read_with_few_threads(view: LazyView) -> LazyView:
    """Return a view that leaves a core to napari, whichever of its threads asks."""
    read = view.read

    @wraps(read)
    def politely(box: Any) -> Any:
        with limit_threads():
            return read(box)

    return replace(view, read=politely)


def _view_of_store(level: Any) -> LazyView:
    """Return a view of a store that is being filled.

    napari would read all planes of a zarr array in a multiscale layer, and would remember what
    it once saw of a dask array.
    """
    from napari_noiser.arrays.chunks import chunk_grid
    from napari_noiser.arrays.lazy_view import LazyView

    chunks = chunk_grid(level).largest_chunk
    return LazyView.whole(lambda box: np.asarray(level[box]), level.shape, level.dtype, chunks)


def _one_or_all(levels: list[Any]) -> Any:
    return levels if len(levels) > 1 else levels[0]


_LONGEST = 150  # bytes of a layer's name: file systems take 255


def begin_or_resume(
    source: LayerSnapshot,
    model: str | PathLike[str] | Model,
    folder: Path,
    options: Mapping[str, Any],
) -> SaveTask:
    """Go on with the unfinished result in a folder that was asked for alike, or begin another.

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be written to.
    TypeError, ValueError
        As in `napari_noiser.io.enhance_to_file`.
    """
    from napari_noiser.files.enhance_to_file import start_save
    from napari_noiser.files.partial_output import PartialOutput

    if not folder.is_dir():
        raise NotADirectoryError(f"results go into a folder, but there is none at {folder}")
    recipe = model if isinstance(model, str) else model.recipe.name
    for name in _candidates(f"{file_name(source.name)} ({file_name(recipe)})"):
        path = folder / name
        begun = PartialOutput(path).exists
        if path.exists():
            continue
        try:
            return start_save(
                source.array, path, model, space=source.spatial_metadata, resume=True, **options
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
