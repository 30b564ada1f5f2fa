"""Where a result is kept: in memory, nowhere (it is rendered as one looks), or on disk.

torch is imported inside the functions, on the worker's thread: it takes seconds, and Qt must not
wait.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from itertools import count
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_noiser._errors import InputError
from napari_noiser._progress import Event, map_events
from napari_noiser.arrays.companion import expand_mask
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout
from napari_noiser.engine.options import Verb
from napari_noiser.plugin.layers.gain_map import gain_for_level
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, result_label
from napari_noiser.plugin.results.statistics import ResultStatistics, lazy_statistics
from napari_noiser.plugin.tasks.background_task import limit_threads

if TYPE_CHECKING:
    from napari_noiser.arrays.lazy_view import LazyView
    from napari_noiser.engine.display import ViewRange
    from napari_noiser.engine.plan import Plan
    from napari_noiser.files.enhance_to_file import SaveTask
    from napari_noiser.methods.base import Method
    from napari_noiser.methods.noiser.model import NoiserModel


@dataclass(frozen=True)
class TaskRequest:
    """What is asked for of one layer's image.

    `images` are its levels, the finest first; mask and gain map among the options are of the
    finest. `layers` is what the provenance says of the layers that these two come from.
    """

    source: LayerSnapshot
    images: tuple[ImageArray, ...]
    model: str | PathLike[str] | Method
    verb: Verb = "enhance"
    options: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[str, Any] = field(default_factory=dict)

    def plans(self) -> list[Plan]:
        """Return the plan of each level."""
        from napari_noiser.engine.plan import make_plan

        finest = self.images[0].layout

        def plan(image: ImageArray) -> Plan:
            mask = _mask_for_level(self.options.get("mask"), finest, image.layout)
            gain_map = gain_for_level(self.options.get("gain_map"), finest, image.layout)
            options = {**self.options, "mask": mask, "gain_map": gain_map}
            return make_plan(image, self.model, self.verb, **options)

        return [plan(image) for image in self.images]

    def plan(self) -> Plan:
        """Return the plan of the finest level."""
        from napari_noiser.engine.plan import make_plan

        return make_plan(self.images[0], self.model, self.verb, **self.options)

    def calibrated_plans(self) -> Generator[Event, None, list[Plan]]:
        """Calibrate the plan of each level, giving control back after every look at it."""
        from napari_noiser.engine.calibration import calibrate_steps

        found = []
        for plan in self.plans():
            calibrated = yield from calibrate_steps(plan)
            found.append(calibrated)
        return found


@dataclass(frozen=True)
class TaskResult:
    """What a task leaves: all that the result's layer takes.

    `data` are one array, or those of the levels of a multiscale layer; `shown` is how a viewer
    shows them. `statistics` compares the image with its result when it is first called, off the
    GUI thread, and keeps neither of them alive. `trained` is what rendered the result, if it was
    trained on the way.
    """

    data: Any
    provenance: dict[str, Any]
    shown: ViewRange
    statistics: Callable[[], ResultStatistics]
    trained: NoiserModel | None = None

    def layer(self, source: LayerSnapshot) -> Image:
        """Return the layer of the result, not yet in a viewer."""
        return source.result(self.data, self.provenance, self.shown.limits, self.shown.gamma)


@dataclass(frozen=True)
class TileWritten:
    """The event of one finished tile of a result on disk.

    `data` shows what there is of the result, to be looked at again and again; `folder` is where it
    is until it is finished.
    """

    done: int
    total: int
    stage: str
    data: LazyView | list[LazyView]
    folder: Path


def enhance_in_memory(request: TaskRequest) -> Generator[Event, None, TaskResult]:
    """Enhance a layer's image into an array in memory."""
    from napari_noiser.engine.calibration import calibrate_steps
    from napari_noiser.engine.enhance import plan_steps

    plan = yield from calibrate_steps(request.plan())
    if plan.options["out"] is None:
        _check_memory(prod(plan.image.layout.shape) * plan.dtype.itemsize)
    array = yield from plan_steps(plan)
    return _finish(request, array, plan)


def enhance_live(request: TaskRequest) -> Generator[Event, None, TaskResult]:
    """Measure a layer's image for a result that is rendered as it is shown.

    Each level of a multiscale layer is measured for itself, so that only what is shown is read.
    """
    from napari_noiser.engine.live import live_image
    from napari_noiser.engine.passes import measure_steps

    views, plans = [], (yield from request.calibrated_plans())
    for plan in plans:
        moments = yield from measure_steps(plan)
        plan.device_memory.release()
        views.append(_read_with_few_threads(live_image(plan, moments)))
    return _finish(request, _one_or_all(views), plans[0])


def enhance_on_disk(
    request: TaskRequest, folder: str | PathLike[str]
) -> Generator[Event, None, TaskResult]:
    """Enhance a layer's image into an OME-Zarr in a folder, or resume an unfinished one."""
    import dask.array as da

    from napari_noiser.files.writers.ome_zarr import OmeZarr

    if note := request.source.placement_warning:
        warnings.warn(note, stacklevel=2)
    task = yield from begin_or_resume(request, Path(folder))
    levels = [] if task.target is None else task.target.levels
    begun = partial(
        TileWritten,
        data=_one_or_all([_view_of_store(level) for level in levels]),
        folder=task.unfinished.folder,
    )
    path = yield from map_events(
        task.steps(), lambda event: begun(event.done, event.total, event.stage)
    )
    finished = [
        level if isinstance(level, da.Array) else da.from_zarr(level)
        for level in OmeZarr.open(path, request.source.axes).levels
    ]
    return _finish(request, _one_or_all(finished), task.plan, path=str(path))


def _finish(request: TaskRequest, data: Any, plan: Plan, **more: str) -> TaskResult:
    """Look at a few parts of a finished result, to show it well."""
    from napari_noiser.engine.display import view_range

    finest = data[0] if isinstance(data, list) else data
    source, provenance = request.source, {**plan.describe(), **more, **request.layers}
    statistics = lazy_statistics(
        source.array, finest, source.axes, verb=request.verb, camera=provenance["camera"]
    )
    return TaskResult(data, provenance, view_range(plan, finest, source.array), statistics)


def _check_memory(needed: int) -> None:
    from napari_noiser.engine.device_memory import free_memory

    free = free_memory()
    if needed > free:
        raise MemoryError(
            f"the result takes {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB of memory are free: "
            "keep it on disk, or live (rendered as you look), or take a smaller type"
        )


def _mask_for_level(mask: Any, finest: Layout, level: Layout) -> Any:
    """Return a mask of the finest level for another one: of each voxel the nearest."""
    if mask is None or level == finest:
        return mask
    expanded = expand_mask(np.asarray(mask), finest)
    shape = level.without_samples.shape
    nearest = (
        np.arange(length) * fine // length if fine > 1 else [0]
        for fine, length in zip(expanded.shape, shape, strict=True)
    )
    return np.broadcast_to(expanded[np.ix_(*nearest)], shape)


def _read_with_few_threads(view: LazyView) -> LazyView:
    """Return a view that leaves a core to napari, whichever of its threads asks."""
    read = view.read

    @wraps(read)
    def leave_one_core(box: Any) -> Any:
        with limit_threads():
            return read(box)

    return replace(view, read=leave_one_core)


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
    return levels[0] if len(levels) == 1 else levels


_LONGEST = 150  # bytes of a layer's name: file systems take 255


def begin_or_resume(request: TaskRequest, folder: Path) -> Generator[Event, None, SaveTask]:
    """Go on with the unfinished result of an equal request in a folder, or begin another."""
    from napari_noiser.files.enhance_to_file import start_save_steps
    from napari_noiser.files.partial_output import PartialOutput

    if not folder.is_dir():
        raise NotADirectoryError(f"results go into a folder, but there is none at {folder}")
    source, model = request.source, request.model
    plan = request.plan()
    made = result_label(str(getattr(model, "name", model)), request.verb)
    stem = f"{file_name(source.name)} ({file_name(made)})"
    path, numbers = folder / f"{stem}.ome.zarr", count(1)
    while True:
        begun = PartialOutput(path).exists
        if not path.exists():
            try:
                return (
                    yield from start_save_steps(plan, path, source.spatial_metadata, resume=True)
                )
            except BlockingIOError:  # another run is making it
                pass
            except InputError:
                if not begun:
                    raise  # otherwise it was begun with other settings
        path = folder / f"{stem}-{next(numbers)}.ome.zarr"


def file_name(text: str) -> str:
    """Return a text as part of a file's name that Windows, macOS and Linux take."""
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text)
    short = plain.encode()[:_LONGEST].decode(errors="ignore")
    return short.strip(" .") or "_"
