"""Results larger than memory: enhanced into a file, block by block, and resumed after a kill."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from inspect import signature
from os import PathLike
from os.path import lexists
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

import napari_noiser
from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser._validation import check_bool
from napari_noiser.arrays.chunks import chunk_grid
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.sampling import content_digest
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.contrast_limits import contrast_limits
from napari_noiser.engine.passes import TileDone, measure_steps, render_steps
from napari_noiser.engine.plan import Plan, make_plan
from napari_noiser.files.partial_output import PartialOutput
from napari_noiser.files.provenance import EARLIER, PROVENANCE, read_provenance
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.ome_tiff import OmeTiff
from napari_noiser.files.writers.ome_zarr import OmeZarr
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.model import Model
from napari_noiser.methods.noiser.recipe import Recipe

__all__ = ["ENDINGS", "SaveTask", "enhance_to_file", "start_save"]

Kind = OmeZarr | OmeTiff

ENDINGS = (".zarr", ".tif", ".tiff")
"""Of the files that can be made: OME-Zarr and OME-TIFF."""

_ENDING = re.compile(r"(\.ome)?\.(zarr|tiff?)$", re.IGNORECASE)
_FITTED = {"light": RetinexRecipe, "denoise": BlindSpotRecipe, "both": IRLERecipe}
_KEEP_MOMENTS = 20.0  # seconds of measuring that a kill may cost


def enhance_to_file(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Model = "noiser",
    *,
    space: SpatialMetadata | None = None,
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
        nothing was left, start; if all is finished, leave it as it is. What was made of another
        image, or otherwise, is refused.
    progress : bool or callable
        As in `enhance`.
    **options
        All others of `enhance` but `out`. Axes are those of `space`, or else `axes`.

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
    saving = start_save(image, path, model, space=space, resume=resume, **options)
    return run_with_progress(saving.steps(), progress, "enhancing")


@dataclass(frozen=True)
class SaveTask:
    """A result on its way into a file; `start_save` makes one.

    Attributes
    ----------
    work : Work
        What is done.
    path : Path
        Where the file will be.
    target : OmeZarr or Tif, optional
        The file as it is being made, to be looked at; None if it was finished before.
    """

    plan: Plan
    path: Path
    target: Kind | None
    unfinished: PartialOutput

    def close(self) -> None:
        """Let go of the unfinished file without a step; `steps` does so when it ends."""
        self.unfinished.release()

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
            out = _RecordingTarget(self.target, self.unfinished)
            yield from render_steps(self.plan, out, moments, self.unfinished.finished)
            color = "S" in self.plan.image.layout.axes
            finest, output = self.target.levels[0], self.plan.output
            self.target.set_limits(*contrast_limits(finest, color, output))
            self.unfinished.complete()
        except ValueError:
            if not self.unfinished.finished:  # the image itself cannot be enhanced
                self.unfinished.discard()
            raise
        finally:
            self.plan.device_memory.release()
            self.unfinished.release()
        return self.path

    def _measure(self) -> Generator[TileDone, None, Any]:
        moments, begun = self.unfinished.load_moments()
        whole, kept = (dict(moments), begun), monotonic()  # of whole blocks
        try:
            for event in measure_steps(self.plan, self.target, moments, begun):
                if event.block is not None:
                    whole = dict(moments), whole[1] + 1
                    if monotonic() - kept > _KEEP_MOMENTS:
                        self.unfinished.save_moments(*whole)
                        kept = monotonic()
                yield event
        except BaseException:  # also a generator's end, and Ctrl-C
            if whole[1] > begun:
                with suppress(OSError):  # they can be measured again
                    self.unfinished.save_moments(*whole)
            raise
        self.unfinished.save_moments(moments, whole[1])
        return moments


def start_save(
    image: Any,
    path: str | PathLike[str],
    model: str | PathLike[str] | Model = "noiser",
    *,
    space: SpatialMetadata | None = None,
    resume: bool = False,
    **options: Any,
) -> SaveTask:
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
    path = Path(path).absolute()
    kind, resume = _writer_class(path), check_bool("resume", resume)
    unknown = set(options) - (set(signature(make_plan).parameters) - {"out"})
    if unknown:
        raise InputTypeError(
            "", f"enhance_to_file takes no argument {sorted(unknown)}; see enhance"
        )
    if space is not None:
        if not isinstance(space, SpatialMetadata):
            raise InputTypeError("space", f"must be a Space, got {space!r}")
        options["axes"] = space.axes
    plan = calibrate(make_plan(image, model, **options))
    space = space or SpatialMetadata.pixels(plan.image.layout.axes)
    unfinished = PartialOutput(path)
    if not resume:
        _check_free(path, unfinished)
    elif lexists(path):
        return _finished(plan, space, unfinished)
    found = unfinished.claim()
    try:
        if lexists(path):  # another run has just finished it
            raise FileExistsError(f"{path} has come up meanwhile")
        if found is None:
            return _begin(plan, space, kind, unfinished, options)
        _check_limits(unfinished, found, options)
        return _resume(plan, space, kind, unfinished, found)
    except BaseException:
        if found is None:
            unfinished.discard()
        unfinished.release()
        raise


def _check_free(path: Path, unfinished: PartialOutput) -> None:
    """Raise a `FileExistsError` if there is a file, finished or not."""
    if lexists(path) or unfinished.exists:
        which = "exists" if lexists(path) else "is unfinished"
        raise FileExistsError(f"{path} {which} already: take another name, resume or delete it")


def _check_limits(
    unfinished: PartialOutput, found: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Raise a `ValueError` if tiles or memory are asked for that are not those of the file."""
    for option, name in (("tile", "side"), ("memory_limit", "memory")):
        if options.get(option) not in (None, found["given"].get(option)):
            raise InputError(
                "",
                f"{unfinished.folder} was begun with {option}={found['given'].get(option)} "
                f"({found[name]}), which its blocks depend on; got {options[option]}: leave it "
                "out to go on, or delete the folder to begin anew",
            )


def _finished(plan: Plan, space: SpatialMetadata, unfinished: PartialOutput) -> SaveTask:
    """Return what has nothing left to do, if the file is what is asked for."""
    path = unfinished.path
    provenance = read_provenance(path)
    if provenance is None or "asked" not in provenance:
        raise FileExistsError(f"{path} exists, and is no result of enhance_to_file")
    _compare(str(path), provenance["asked"], _request(plan, space))
    unfinished.clear_up()
    return SaveTask(plan, path, None, unfinished)


def _begin(
    plan: Plan,
    space: SpatialMetadata,
    kind: type[Kind],
    unfinished: PartialOutput,
    options: Mapping[str, Any],
) -> SaveTask:
    asked = _request(plan, space)
    target = kind.create(
        unfinished.result,
        plan.image.layout.shape,
        plan.dtype,
        space,
        name=_ENDING.sub("", unfinished.path.name),
        attributes={PROVENANCE: {**plan.describe(), "asked": asked}},
        source=chunk_grid(plan.image.array).largest_chunk,
    )
    given = {name: options.get(name) for name in ("tile", "memory_limit")}
    version = napari_noiser.__version__
    grid = {"side": plan.tile_side, "memory": plan.memory_limit}
    unfinished.begin({"asked": asked, "given": given, **grid, "version": version})
    return SaveTask(plan, unfinished.path, target, unfinished)


def _resume(
    plan: Plan,
    space: SpatialMetadata,
    kind: type[Kind],
    unfinished: PartialOutput,
    found: Mapping[str, Any],
) -> SaveTask:
    _compare(str(unfinished.folder), found["asked"], _request(plan, space))
    if found["version"] != napari_noiser.__version__:
        warnings.warn(
            f"{unfinished.path} was begun by napari-noiser {found['version']}, and is gone on "
            f"with by {napari_noiser.__version__}: delete {unfinished.folder} to begin anew",
            stacklevel=4,
        )
    # The same tiles in the same blocks: the same result, to the last bit.
    plan = replace(plan, tile_side=found["side"], memory_limit=found["memory"])
    target = kind.open(unfinished.result, space.axes)
    return SaveTask(plan, unfinished.path, target, unfinished)


def _compare(place: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a file was made of something else, or otherwise, than asked for."""
    before, now = _with_whole_recipe({**EARLIER, **before}), _with_whole_recipe(now)
    others = sorted(name for name in now if now[name] != before.get(name))
    if others:
        raise InputError(
            "",
            f"{place} was made with another {', '.join(others)}: "
            f"{ {name: before.get(name) for name in others} }, now "
            f"{ {name: now[name] for name in others} }; delete it, or take another name",
        )


def _with_whole_recipe(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in the fields that a recipe got later: they had what is now their default."""
    if "recipe" not in provenance:
        return provenance
    kind: Any = _FITTED.get(provenance.get("stage", ""), Recipe)
    recipe = kind.from_dict(provenance["recipe"]).to_dict()
    return {**provenance, "recipe": json.loads(json.dumps(recipe))}


def _writer_class(path: Path) -> type[Kind]:
    ending = path.suffix.lower()
    if ending in ENDINGS:
        return OmeZarr if ending == ".zarr" else OmeTiff
    raise InputError("path", f"must end in {', '.join(ENDINGS)}, got {path}")


def _request(plan: Plan, space: SpatialMetadata) -> dict[str, Any]:
    """Return what decides the result, as JSON gives it back."""
    described = {
        key: value for key, value in plan.describe().items() if key not in ("versions", "device")
    }
    image = {
        "shape": plan.image.layout.shape,
        "dtype": str(np.dtype(plan.image.array.dtype)),
        "chunks": chunk_grid(plan.image.array).largest_chunk,  # which the blocks depend on
        "values": content_digest(plan.image),
    }
    whole = {**described, "image": image, "space": asdict(space)}
    found: dict[str, Any] = json.loads(json.dumps(whole))
    return found


class _RecordingTarget:
    """A file to be filled that takes note of every block, and says what is kept if it cannot."""

    def __init__(self, target: Kind, unfinished: PartialOutput) -> None:
        self.target, self.unfinished = target, unfinished
        self.shape, self.chunks = target.shape, target.chunks

    def __setitem__(self, region: Slices, block: NDArray[Any]) -> None:
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
