"""Enhance or denoise into a file, block by block, and resume after any end."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from os import PathLike
from os.path import lexists, realpath
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

import napari_noiser
from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Event, Progress, run_with_progress
from napari_noiser._validation import check_bool
from napari_noiser.arrays.chunks import chunk_grid
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.places import store_root
from napari_noiser.arrays.sampling import content_digest
from napari_noiser.arrays.storage import sources_of, version_of
from napari_noiser.engine.calibration import calibrate_steps
from napari_noiser.engine.display import view_range
from napari_noiser.engine.options import (
    PROGRESS_TITLES,
    DenoiseOptions,
    EnhanceOptions,
    ResolvedOptions,
    Verb,
    documented,
)
from napari_noiser.engine.passes import TileDone, measure_steps, render_steps, write_grid
from napari_noiser.engine.plan import Plan, make_plan
from napari_noiser.files.partial_output import PartialOutput, wrap_os_error
from napari_noiser.files.provenance import PROVENANCE, complete_provenance, read_provenance
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.ome_tiff import OmeTiff
from napari_noiser.files.writers.ome_zarr import OmeZarr
from napari_noiser.methods.base import Method
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import Recipe

Writer = OmeZarr | OmeTiff

ENDINGS = (".zarr", ".tif", ".tiff")
"""Of the files that can be written: OME-Zarr and OME-TIFF."""

_ENDING = re.compile(r"(\.ome)?\.(zarr|tiff?)$", re.IGNORECASE)
_FITTED = {"light": RetinexRecipe, "denoise": BlindSpotRecipe, "both": IRLERecipe}
_RESOURCES: Mapping[Literal["tile", "memory_limit"], str] = {
    "tile": "tile_side",
    "memory_limit": "memory_limit",
}
"""What tiles and blocks depend on, and the attribute of the plan that holds its value."""

_SAVE_MOMENTS_EVERY = 20.0  # seconds of measuring that a kill may cost


@documented("enhance", "axes", "out")
def enhance_to_file(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Method = "auto",
    *,
    space: SpatialMetadata | None = None,
    resume: bool = False,
    **options: Unpack[EnhanceOptions],
) -> Path:
    """Enhance an image of any size into a file.

    Parameters
    ----------
    image : array
        As in `enhance`; a dask array is computed here and now, a chunk at a time.
    path : str or path
        ``.zarr`` writes an OME-Zarr 0.5 image with a pyramid, ``.tif`` an OME-TIFF. Until it is
        complete it lies in the folder ``PATH.partial``.
    model : str, path or model
        As in `enhance`.
    space : SpatialMetadata, optional
        Axes, steps and units; left out, pixels, and axes as in `enhance`.
    resume : bool
        Resume what an earlier run has left: finished blocks are not computed again. If nothing
        was left, start; if all is finished, leave it as it is. What was made of another image, or
        with other options, is refused.
    {options}

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
    InputTypeError, InputError
        As in `enhance`, or if the unfinished file was made of something else.
    """
    return _save("enhance", image, path, model, space=space, resume=resume, **options)


@documented("denoise", "axes", "out")
def denoise_to_file(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Method = "auto",
    *,
    space: SpatialMetadata | None = None,
    resume: bool = False,
    **options: Unpack[DenoiseOptions],
) -> Path:
    """Denoise an image of any size into a file.

    Parameters
    ----------
    image, path : see `enhance_to_file`
        As there.
    model : str, path or model
        As in `denoise`.
    space, resume : see `enhance_to_file`
        As there.
    {options}

    Returns
    -------
    Path
        Of the file, complete.

    Raises
    ------
    OSError, InputTypeError, InputError
        As in `enhance_to_file`.
    """
    return _save("denoise", image, path, model, space=space, resume=resume, **options)


def _save(
    verb: Verb, image: Any, path: Any, model: Any, *, progress: Progress = False, **options: Any
) -> Path:
    task = start_save(image, path, model, verb, **options)
    return run_with_progress(task.steps(), progress, PROGRESS_TITLES[verb])


@dataclass(frozen=True)
class _Source:
    """What tells an image and what lies beside it from what they may become during a run."""

    values: str
    version: str

    @classmethod
    def of(cls, plan: Plan) -> _Source:
        beside = [each.array for each in (plan.mask, plan.gain_map) if each is not None]
        return cls(content_digest(plan.image), version_of(plan.image.array, *beside))


@dataclass(frozen=True)
class SaveTask:
    """A result that is being written to a file; `start_save` returns one.

    `target` is the unfinished file, which can be viewed, or None if it was finished before;
    `unfinished` is the folder that it lies in, and `source` what the image was when it was opened.
    """

    plan: Plan
    path: Path
    target: Writer | None
    unfinished: PartialOutput
    source: _Source

    def close(self) -> None:
        """Unlock the unfinished file without a step; `steps` does so when it ends."""
        self.unfinished.release()

    def steps(self) -> Generator[TileDone, None, Path]:
        """Measure and render what is left to do.

        The generator returns the path of the complete file; it can be closed, and the rest
        resumed.
        """
        if self.target is None:
            return self.path
        try:
            moments = yield from self._measure()
            out = _RecordingTarget(self.target, self.unfinished)
            yield from render_steps(self.plan, out, moments, self.unfinished.finished)
            shown = view_range(self.plan, self.target.levels[0], self.plan.image.array)
            with wrap_os_error(f"{self.path} cannot be written", self.unfinished.kept):
                self.target.set_limits(*shown.limits)
            self._check_source()
            self.unfinished.complete()
        except ValueError:
            if not self.unfinished.finished:  # the image itself cannot be enhanced
                self.unfinished.discard()
            raise
        finally:
            self.plan.device_memory.release()
            self.unfinished.release()
        return self.path

    def _check_source(self) -> None:
        """Raise an `OSError` if the image is another one than when it was opened."""
        try:
            changed = _Source.of(self.plan) != self.source
        except OSError:
            changed = True
        if changed:
            self.unfinished.keep_finished([])  # of this image and of that one
            self.unfinished.forget_moments()
            raise OSError(
                f"image has changed while it was read: nothing is kept of {self.path.name}, which "
                "would be made of both"
            )

    def _measure(self) -> Generator[TileDone, None, Any]:
        moments, begun = self.unfinished.load_moments()
        complete, saved_at = (dict(moments), begun), monotonic()  # of whole blocks
        try:
            for event in measure_steps(self.plan, self.target, moments, begun):
                if event.block is not None:
                    complete = dict(moments), complete[1] + 1
                    if monotonic() - saved_at > _SAVE_MOMENTS_EVERY:
                        self.unfinished.save_moments(*complete)
                        saved_at = monotonic()
                yield event
        except BaseException:  # also a generator's end, and Ctrl-C
            if complete[1] > begun:
                with suppress(OSError):  # they can be measured again
                    self.unfinished.save_moments(*complete)
            raise
        self.unfinished.save_moments(moments, complete[1])
        return moments


def start_save(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Method = "auto",
    verb: Verb = "enhance",
    *,
    space: SpatialMetadata | None = None,
    resume: bool = False,
    **options: Any,
) -> SaveTask:
    """Check the arguments of `enhance_to_file`, and create the unfinished file or find it.

    Tiles and memory are those of the run that is resumed. The unfinished file is locked until the
    task's `steps` end.
    """
    _writer_class(Path(path))
    if "out" in options:
        raise InputTypeError("out", "is not taken here: the file is filled")
    if space is not None:
        if not isinstance(space, SpatialMetadata):
            raise InputTypeError("space", f"must be a SpatialMetadata, got {space!r}")
        options["axes"] = space.axes
    steps = start_save_steps(make_plan(image, model, verb, **options), path, space, resume)
    return run_with_progress(steps, False, "")


def start_save_steps(
    plan: Plan, path: str | PathLike[str], space: SpatialMetadata | None, resume: bool
) -> Generator[Event, None, SaveTask]:
    """Start as `start_save` does, giving control back while the plan is calibrated."""
    path = Path(path).absolute()
    writer, resume = _writer_class(path), check_bool("resume", resume)
    _check_outside(path, plan.image.array)
    source = _Source.of(plan)
    plan = yield from calibrate_steps(plan)
    space = space or SpatialMetadata.pixels(plan.image.layout.axes)
    unfinished = PartialOutput(path)
    if not resume:
        _check_free(path, unfinished)
    elif lexists(path):
        return _check_finished(plan, space, unfinished, source)
    earlier = unfinished.claim()
    try:
        if lexists(path):  # another run has just finished it
            raise FileExistsError(f"{path} has come up meanwhile")
        if earlier is None:
            return _begin(plan, space, writer, unfinished, source)
        _check_resources(unfinished, earlier, plan.options)
        return _resume(plan, space, writer, unfinished, source, earlier)
    except BaseException:
        if earlier is None:
            unfinished.discard()
        unfinished.release()
        raise


def _check_free(path: Path, unfinished: PartialOutput) -> None:
    """Raise a `FileExistsError` if there is a file, finished or not."""
    if lexists(path) or unfinished.exists:
        state = "exists" if lexists(path) else "is unfinished"
        raise FileExistsError(f"{path} {state} already: take another name, resume or delete it")


def _check_resources(
    unfinished: PartialOutput, earlier: Mapping[str, Any], options: ResolvedOptions
) -> None:
    """Raise an `InputError` if other tiles or memory are given than in the earlier run."""
    for option, name in _RESOURCES.items():
        before = earlier["given"].get(option)
        if options[option] not in (None, before):
            raise InputError(
                option,
                f"was {before} ({earlier[name]}) when {unfinished.folder} was begun, whose blocks "
                f"depend on it; got {options[option]}: leave it out to resume, or delete the "
                "folder to start over",
            )


def _check_outside(path: Path, array: Any) -> None:
    """Raise an `InputError` if a result would lie in the store that it is made of."""
    for source in sources_of(array):
        root = store_root(source)
        if root is not None and Path(realpath(path)).is_relative_to(realpath(root)):
            raise InputError("path", f"must lie outside the image's own store, {root}; got {path}")


def _check_finished(
    plan: Plan, space: SpatialMetadata, unfinished: PartialOutput, source: _Source
) -> SaveTask:
    """Return a task without anything left to do, if the file is of the same request."""
    path = unfinished.path
    provenance = read_provenance(path)
    if provenance is None or "request" not in provenance:
        raise FileExistsError(f"{path} exists, and is no result of enhance_to_file")
    _compare(str(path), provenance["request"], _request(plan, space, source))
    unfinished.clear_up()
    return SaveTask(plan, path, None, unfinished, source)


def _begin(
    plan: Plan,
    space: SpatialMetadata,
    writer: type[Writer],
    unfinished: PartialOutput,
    source: _Source,
) -> SaveTask:
    request = _request(plan, space, source)
    with wrap_os_error(f"{unfinished.path} cannot be written"):
        target = writer.create(
            unfinished.result,
            plan.image.layout.shape,
            plan.dtype,
            space,
            name=_image_name(unfinished.path),
            attributes={PROVENANCE: {**plan.describe(), "request": request}},
            source_chunks=chunk_grid(plan.image.array).largest_chunk,
        )
    unfinished.begin(
        {
            "request": request,
            "given": {option: plan.options[option] for option in _RESOURCES},
            **{name: getattr(plan, name) for name in _RESOURCES.values()},
            "version": napari_noiser.__version__,
            "source": source.version,
        }
    )
    return SaveTask(plan, unfinished.path, target, unfinished, source)


def _resume(
    plan: Plan,
    space: SpatialMetadata,
    writer: type[Writer],
    unfinished: PartialOutput,
    source: _Source,
    earlier: Mapping[str, Any],
) -> SaveTask:
    _compare(str(unfinished.folder), earlier["request"], _request(plan, space, source))
    if earlier["version"] != napari_noiser.__version__:
        warnings.warn(
            f"{unfinished.path} was begun by napari-noiser {earlier['version']}, and is resumed "
            f"by {napari_noiser.__version__}: delete {unfinished.folder} to start over",
            stacklevel=4,
        )
    # The same tiles in the same blocks: the same result, to the last bit.
    plan = replace(plan, **{name: earlier[name] for name in _RESOURCES.values()})
    target = writer.open(unfinished.result, space.axes)
    if earlier.get("source", source.version) != source.version:
        _warn_of(unfinished, "the image's files were changed or copied since: all is made again")
        unfinished.restart({**earlier, "source": source.version})
    _keep_undamaged(plan, target, unfinished)
    return SaveTask(plan, unfinished.path, target, unfinished, source)


def _warn_of(unfinished: PartialOutput, text: str) -> None:
    warnings.warn(f"{unfinished.path}: {text}", stacklevel=5)


def _keep_undamaged(plan: Plan, target: Writer, unfinished: PartialOutput) -> None:
    """Take blocks for finished up to the first one whose files are not what they were."""
    noted, kept = unfinished.stamps, 0
    grid = write_grid(plan, target)
    for index, stamp in zip(grid, noted, strict=False):
        if stamp != _stamp(target, grid.box(index)):
            break
        kept += 1
    if kept < len(noted):
        _warn_of(unfinished, f"{len(noted) - kept} blocks are damaged, and are made again")
    unfinished.keep_finished(noted[:kept])


def _stamp(target: Writer, region: Slices) -> str:
    """Return hexadecimal digits that tell a finished block, of these files, from others."""
    places = [(part.start, part.stop) for part in region]
    return sha256(repr((places, target.stored_sizes(region))).encode()).hexdigest()[:16]


def _compare(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise an `InputError` if a file was made of another image or with other options."""
    before, now = _complete_recipe(complete_provenance(before)), _complete_recipe(now)
    differing = sorted(name for name in now if now[name] != before.get(name))
    if differing:
        raise InputError(
            "",
            f"{path} was made with another {', '.join(differing)}: "
            f"{ {name: before.get(name) for name in differing} }, now "
            f"{ {name: now[name] for name in differing} }; delete it, or take another name",
        )


def _complete_recipe(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a provenance whose recipe has the fields of today, by default what they were."""
    if "recipe" not in provenance:
        return provenance
    kind: Any = _FITTED.get(provenance.get("stage", ""), Recipe)
    recipe = kind.from_dict(provenance["recipe"]).to_dict()
    return {**provenance, "recipe": json.loads(json.dumps(recipe))}


def _image_name(path: Path) -> str:
    """Return what an image in a file is called: as the file, in characters that XML takes."""
    name = os.fsencode(_ENDING.sub("", path.name)).decode(errors="replace")
    return "".join(each if each.isprintable() else "_" for each in name)


def _writer_class(path: Path) -> type[Writer]:
    ending = path.suffix.lower()
    if ending in ENDINGS:
        return OmeZarr if ending == ".zarr" else OmeTiff
    raise InputError("path", f"must end in {', '.join(ENDINGS)}, got {path}")


def _request(plan: Plan, space: SpatialMetadata, source: _Source) -> dict[str, Any]:
    """Return all that decides the result, as JSON gives it back."""
    described = {
        key: value for key, value in plan.describe().items() if key not in ("versions", "device")
    }
    image = {
        "shape": plan.image.layout.shape,
        "dtype": str(np.dtype(plan.image.array.dtype)),
        "chunks": chunk_grid(plan.image.array).largest_chunk,  # which the blocks depend on
        "values": source.values,
    }
    request = {**described, "image": image, "space": asdict(space)}
    return dict(json.loads(json.dumps(request)))


class _RecordingTarget:
    """A file whose finished blocks are recorded, and whose errors say how to resume."""

    def __init__(self, target: Writer, unfinished: PartialOutput) -> None:
        self.target, self.unfinished = target, unfinished
        self.shape, self.chunks = target.shape, target.chunks

    def __setitem__(self, region: Slices, block: NDArray[Any]) -> None:
        self.unfinished.check()
        with wrap_os_error(f"{self.unfinished.path} cannot be written", self.unfinished.kept):
            self.target[region] = block
            self.target.finish(region)
            self.unfinished.add_finished(_stamp(self.target, region))
