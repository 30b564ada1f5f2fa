"""Dask in, lazy dask out: moments are a sum over blocks, rendering a map over overlapping blocks.

Every block is rendered like an image of its own by whoever computes it, but for two things: its
neighbors' edges are there to be read, and its moments come from all blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from os import PathLike
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch
from dask.base import clone_key
from dask.blockwise import Blockwise
from dask.graph_manipulation import clone
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._validation import check_unmasked
from napari_noiser.arrays.axis_names import plain_array
from napari_noiser.arrays.banding import WithoutBanding
from napari_noiser.arrays.chunks import widen
from napari_noiser.arrays.companion import GainMap, as_companion, expand_mask, expand_to_axes
from napari_noiser.arrays.fill import Fill
from napari_noiser.arrays.image_array import ImageArray, check_shape, is_dask
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices
from napari_noiser.arrays.sampling import group_windows
from napari_noiser.engine.calibration import (
    Wanted,
    calibrate_channel,
    sample_boxes,
    with_calibration,
)
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.options import ResolvedOptions, Verb
from napari_noiser.engine.passes import check_signal
from napari_noiser.engine.plan import Plan, make_plan, plan_part
from napari_noiser.engine.render import Block, Window, cached_fold, find_display, fold_group
from napari_noiser.methods.base import Method
from napari_noiser.methods.device import best_device
from napari_noiser.methods.patches import Halo

Starts = tuple[tuple[int, ...], ...]
"""Where an image's blocks begin: for each axis, each block along it."""


@dataclass(frozen=True)
class LazyPlan:
    """A plan for a dask array, checked, of which nothing is computed.

    Attributes
    ----------
    plan : Plan
        What was asked for, with an array of nothing in the image's place.
    image : dask array
        In blocks that are nowhere thinner than the halo and hold all samples.
    template : Delayed
        The plan once for all blocks, without the image and its companions.
    integer_offset : dask array, optional
        One value: what 64-bit integers are read against, as in `ImageArray`.
    calibration : dask array of ChannelCalibration, optional
        What is to be estimated of each channel.
    moments : dask array of PatchMoments
        One a statistics group: the image's axes, of length 1 where a group shares them.
    gain_map : dask array, optional
        The gain map in the image's blocks, if there is one.
    mask : dask array, optional
        The mask likewise, if rendering needs it.
    displays : dask array of LightDisplay or None, optional
        One a statistics group, like the moments: how its light is shown, if it is.
    names : mapping
        Of masks and gain maps that are dask arrays, by their argument.
    """

    plan: Plan
    image: Any
    template: Any
    integer_offset: Any
    calibration: Any
    moments: Any
    gain_map: Any = None
    mask: Any = None
    displays: Any = None
    names: Mapping[str, str] = field(default_factory=dict)

    def measured(self) -> LazyPlan:
        """Measure the image now, so that what is computed later is rendering alone."""
        names = ("moments", "calibration", "integer_offset", "displays")
        computed = dask.persist(*(getattr(self, name) for name in names))
        measured = replace(self, **dict(zip(names, computed, strict=True)))
        if measured.calibration is None:
            return measured
        channels = measured.calibration.compute().ravel().tolist()
        return replace(measured, plan=with_calibration(self.plan, channels))

    def result(self) -> Any:
        """Return the result, a lazy dask array."""
        reach = self.plan.reach(self.plan.halo)
        return da.map_blocks(
            _render_block,
            _with_edges(clone_graph(self.image), reach),
            self.moments,
            self.calibration,
            self.integer_offset,
            None if self.gain_map is None else _with_edges(self.gain_map, reach),
            None if self.mask is None else _with_edges(self.mask, reach),
            self.displays,
            template=self.template,
            starts=_starts(self.image),
            chunks=self.image.chunks,
            dtype=self.plan.dtype,
            meta=np.empty((0,) * self.image.ndim, self.plan.dtype),
        )

    def describe(self) -> dict[str, Any]:
        """Return what `Plan.describe` does, but for what only computing would show.

        The device is the one asked for, which may be "auto", and of a dask mask its name stands.
        """
        device = str(self.plan.options["device"])
        return {**self.plan.describe(), "device": device, **self.names}


def make_lazy_plan(
    image: Any,
    model: str | PathLike[str] | Method = "auto",
    verb: Verb = "enhance",
    *,
    device: Any = "auto",
    progress: Any = False,
    **options: Any,
) -> LazyPlan:
    """Check the arguments for a dask array; nothing is computed.

    Parameters
    ----------
    image : dask array
        Of known shape.
    model, verb : see `napari_noiser.engine.plan.make_plan`
        The same.
    device, progress, **options
        As in `napari_noiser.enhance`; there is no `out` to fill, and progress is dask's own
        affair. The mask and the gain map may be dask arrays as well; others are part of the graph.

    Returns
    -------
    LazyPlan
        Its `result` is the lazy array.
    """
    _check(image, device, progress)
    mask, gain_map = options.pop("mask", None), options.get("gain_map")
    # A plan looks at shape and dtype only, but for the offset of 64-bit integers: here it is 0.
    nothing = np.broadcast_to(np.zeros((), image.dtype), image.shape)
    eager = None if is_dask(plain_array(mask)) else mask
    plan = make_plan(nothing, model, verb, mask=eager, device="cpu", **options)
    plan = replace(plan, options={**plan.options, "device": device})
    layout = plan.image.layout
    mask, gain_map = (
        as_companion(name, each, layout) for name, each in (("mask", mask), ("gain_map", gain_map))
    )
    if plan.options["banding"] != "keep":
        image = _without_banding(plan, image, mask)
        # So that the plan is of what blocks hold.
        nothing = np.broadcast_to(np.zeros((), image.dtype), image.shape)
        plan = replace(plan, image=replace(plan.image, array=nothing))
    image = image.rechunk(_chunks(image, layout, plan.reach(plan.halo)))
    long = image.dtype.kind in "ui" and image.dtype.itemsize == 8
    integer_offset = None
    if long and not plan.method.traits.requires_raw_counts:
        integer_offset = image[(slice(0, 1),) * image.ndim]
    stripped = replace(plan.image, array=None)
    template = dask.delayed(
        replace(plan, image=stripped, mask=None, gain_map=None), pure=True, traverse=False
    )
    masks = None if mask is None else mask_blocks(mask, image, layout)
    calibration = None
    wanted = Wanted.of(plan)
    if wanted.anything or len(set(wanted.cameras)) > 1:
        calibration = _calibrations(plan, wanted, image, masks)
    moments = _moments(plan, image, masks, calibration, integer_offset, template)
    gain_maps = None if plan.gain_map is None else gain_blocks(plan.gain_map, image, layout)
    companions: dict[str, Any] = {"mask": mask, "gain_map": gain_map}
    names = {name: each.name for name, each in companions.items() if is_dask(each)}
    if "gain_map" in names:
        plan = replace(plan, gain_map=None)  # whose values nobody is to look at here
    displays = None
    if plan.may_show_light:
        known = (moments, calibration, integer_offset, template)
        displays = _displays(plan, image, masks, gain_maps, *known)
    return LazyPlan(
        plan,
        image,
        template,
        integer_offset,
        calibration,
        moments,
        gain_maps,
        masks if plan.repair_margin else None,
        displays,
        names,
    )


def _without_banding(plan: Plan, image: Any, mask: Any) -> Any:
    """Return an image less its banding, whole planes a chunk."""
    layout, options = plan.image.layout, plan.options
    together = {axis: -1 for axis, letter in enumerate(layout.axes) if letter in "YXS"}
    planes = image.rechunk(together)

    def take_out(block: NDArray[Any], counted: NDArray[np.bool_] | None) -> NDArray[Any]:
        part = Layout(layout.axes, block.shape)
        beside = None if counted is None else mask_of_block(counted, part)
        found = WithoutBanding(block, part, options["banding"], beside, options["fill"])
        return found[(slice(None),) * block.ndim]

    masks = None if mask is None else mask_blocks(mask, planes, layout)
    nothing = np.empty((0,) * planes.ndim, plan.image.array.dtype)
    return da.map_blocks(take_out, planes, masks, dtype=nothing.dtype, meta=nothing)


def _check(image: Any, device: Any, progress: Any) -> None:
    check_shape(image)
    check_unmasked("image", image)
    if progress is not False:
        raise InputError(
            "progress",
            f"must be False for a dask image, whose result is lazy, got {progress!r}; "
            "compute the result under dask.diagnostics.ProgressBar()",
        )
    if device != "auto":
        try:
            torch.device(device)  # whether it works is for those who compute to say
        except (RuntimeError, TypeError):
            best_device(device)  # the error that names what there is


def _calibrations(plan: Plan, wanted: Wanted, image: Any, masks: Any) -> Any:
    """Return what a few planes of each channel tell, when it is computed."""
    layout = plan.image.layout

    def part(box: Slices) -> Any:
        return image[box] if masks is None else da.where(_cut(masks, box), image[box], np.nan)

    parts = [[part(box) for box in boxes] for boxes in sample_boxes(layout)]
    if not wanted.anything:
        parts = [[] for _ in parts]
    shape = [n if letter == "C" else 1 for letter, n in _lengths(layout)]
    channels = dask.delayed(_calibrate_channels, pure=True)(parts, wanted, layout, shape)
    chunks = zip(layout.axes, image.chunks, strict=True)
    return da.from_delayed(channels, shape, object).rechunk(
        tuple(each if letter == "C" else (1,) for letter, each in chunks)
    )


def _calibrate_channels(
    parts: list[Any], wanted: Wanted, layout: Layout, shape: list[int]
) -> NDArray[Any]:
    channels = np.empty(shape, object)
    for at, part in enumerate(parts):
        channels.flat[at] = calibrate_channel(part, at, wanted, layout)
    return channels


def _chunks(image: Any, layout: Layout, reach: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the image's chunks, S in one, merged where thinner than the reach, none empty."""

    def along(letter: str, chunks: tuple[int, ...], far: int) -> Any:
        if letter == "S":
            return -1
        filled = tuple(length for length in chunks if length)
        return _merge_thin_chunks(filled, far) if far else filled

    return tuple(map(along, layout.axes, image.chunks, reach))


def _merge_thin_chunks(chunks: tuple[int, ...], least: int) -> Any:
    """Return chunks of at least a length, and regular where they change, as zarr wants them."""
    if min(chunks) >= least:
        return chunks
    length, step = sum(chunks), max(chunks)
    for size in range(step, length, step):
        if size >= least and (length % size == 0 or length % size >= least):
            return size
    return -1


def _with_edges(image: Any, reach: tuple[int, ...]) -> Any:
    """Return the image in blocks with their neighbors' edges; where it ends there are none."""
    depth = {axis: far * (image.numblocks[axis] > 1) for axis, far in enumerate(reach)}
    return da.overlap.overlap(image, depth=depth, boundary="none", allow_rechunk=False)


def _moments(
    plan: Plan,
    image: Any,
    mask: Any,
    calibration: Any,
    integer_offset: Any,
    template: Any,
) -> Any:
    """Return the moments of each group: those of all images in all blocks, summed as a tree."""
    layout, reach = plan.image.layout, plan.reach((1,) * plan.image.layout.ndim)
    nothing = np.empty((0,) * image.ndim, object)
    measured = da.map_blocks(
        _measure_block,
        _with_edges(image, reach),
        None if mask is None else _with_edges(mask, reach),
        calibration,
        integer_offset,
        template=template,
        starts=_starts(image),
        chunks=tuple(
            each if letter in layout.outer else (1,) * len(each)
            for letter, each in zip(layout.axes, image.chunks, strict=True)
        ),
        dtype=object,
        meta=nothing,
    )
    shared = layout.spatial + "S" + layout.shared(plan.options["statistics"])
    axes = tuple(axis for axis, letter in enumerate(layout.axes) if letter in shared)
    groups = measured.sum(axis=axes, dtype=object, keepdims=True)
    return groups.map_blocks(_checked, count=groups.size, dtype=object, meta=nothing)


def _checked(moments: NDArray[Any], count: int) -> NDArray[Any]:
    """Return moments as they are, or say that there is no signal."""
    check_signal(moments.ravel().tolist(), everything=moments.size == count)
    return moments


def _measure_block(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    calibration: NDArray[Any] | None,
    integer_offset: NDArray[Any] | None,
    *,
    block_id: tuple[int, ...],
    template: Plan,
    starts: Starts,
) -> NDArray[Any]:
    """Return the moments of each image in a block: its outer axes, the others of length 1."""
    plan = _plan_block(block, calibration, integer_offset, template)
    part = _make_block(plan, (1,) * plan.image.layout.ndim, block_id, starts)
    layout = part.plan.image.layout
    if mask is not None:
        mask = mask_of_block(mask, layout)
    # Each image for itself: what is shared is summed as a tree.
    options: ResolvedOptions = {**plan.options, "statistics": "plane"}
    alone = replace(part, plan=replace(plan, options=options), mask=mask)
    total = dict.fromkeys(layout.images(), part.plan.empty_moments)
    for image, moments in alone.measure():
        total[image] += moments
    measured = np.empty([n if a in layout.outer else 1 for a, n in _lengths(layout)], object)
    measured.flat[:] = list(total.values())
    return measured


def _render_block(
    block: NDArray[Any],
    moments: NDArray[Any],
    calibration: NDArray[Any] | None,
    integer_offset: NDArray[Any] | None,
    gain: NDArray[Any] | None,
    mask: NDArray[np.bool_] | None,
    displays: NDArray[Any] | None,
    *,
    block_id: tuple[int, ...],
    template: Plan,
    starts: Starts,
) -> NDArray[Any]:
    """Return a block rendered, without its edges."""
    plan = _plan_block(block, calibration, integer_offset, template)
    part, layout = _make_block(plan, plan.halo, block_id, starts), plan.image.layout
    if gain is not None:
        samples = layout.axes.index("S") if "S" in layout.axes else None
        part = replace(part, gain=gain if samples is None else gain.squeeze(samples))
    if mask is not None:
        part = replace(part, mask=mask_of_block(mask, layout))
    groups: dict[ImageIndex, PatchMoments] = _by_group(plan, moments)
    shown = None if displays is None else _by_group(plan, displays)
    result = np.empty(inner_shape(layout, part.margin), plan.dtype)
    for _ in part.render(cached_fold(plan, groups, shown), result):
        pass
    return result


def _by_group(plan: Plan, values: NDArray[Any]) -> dict[ImageIndex, Any]:
    """Return the values of the statistics groups of a block, which broadcast to its images."""
    layout = plan.image.layout
    each = np.broadcast_to(values, [n if a in layout.outer else 1 for a, n in _lengths(layout)])
    images = zip(layout.images(), each.flat, strict=True)
    return {plan.group(image): value for image, value in images}


def _displays(
    plan: Plan,
    image: Any,
    masks: Any,
    gain_maps: Any,
    moments: Any,
    calibration: Any,
    integer_offset: Any,
    template: Any,
) -> Any:
    """Return how the light of each group is best shown: a few windows of each are rendered."""
    layout, statistics = plan.image.layout, plan.options["statistics"]
    own = layout.separate(statistics)
    chunks = tuple(1 if letter in own else -1 for letter in layout.axes)
    windows: list[Any] = []
    places: list[tuple[Slices, Slices]] = []
    for window in group_windows(layout, statistics):
        region = tuple(window.get(letter, slice(0, length)) for letter, length in _lengths(layout))
        box = widen(region, plan.reach(plan.halo), layout.shape)
        windows += [
            None if array is None else _cut(array, box).rechunk(chunks)
            for array in (image, masks, gain_maps)
        ]
        places.append((region, box))
    # A group at a time, which stands for itself.
    places = [
        (_at_0(region, own, layout.axes), _at_0(box, own, layout.axes)) for region, box in places
    ]
    return da.map_blocks(
        _find_display,
        moments,
        calibration,
        integer_offset,
        *windows,
        template=template,
        places=places,
        dtype=object,
        chunks=moments.chunks,
        meta=np.empty((0,) * image.ndim, object),
    )


def _at_0(place: Slices, letters: str, axes: str) -> Slices:
    """Return a place moved to the first index along some axes."""
    return tuple(
        slice(0, 1) if letter in letters else part
        for letter, part in zip(axes, place, strict=True)
    )


def _cut(array: Any, place: Slices) -> Any:
    """Return a part of an array, all of the axes that it is repeated along."""
    parts = zip(place, array.shape, strict=True)
    return array[tuple(slice(None) if length == 1 else part for part, length in parts)]


def _find_display(
    moments: NDArray[Any],
    calibration: NDArray[Any] | None,
    integer_offset: NDArray[Any] | None,
    *parts: Any,
    template: Plan,
    places: Sequence[tuple[Slices, Slices]],
) -> NDArray[Any]:
    """Return how the light of one group is best shown, if a display shows it."""
    plan = _plan_block(parts[0], calibration, integer_offset, template)
    layout, shown = plan.image.layout, np.full(moments.shape, None, object)
    group = (0,) * len(layout.separate(plan.options["statistics"]))
    found = moments.item()
    network = fold_group(plan, found, group)
    if network is None or not plan.shows_light:
        return shown

    def without_samples(array: NDArray[Any] | None, place: Slices) -> NDArray[Any] | None:
        if array is None:
            return None
        lengths = {a: part.stop - part.start for a, part in zip(layout.axes, place, strict=True)}
        flat = array.squeeze(layout.axes.index("S")) if "S" in layout.axes else array
        return np.broadcast_to(flat, [length for a, length in lengths.items() if a != "S"])

    windows = [
        Window(region, box, values, without_samples(mask, box), without_samples(gain, box))
        for (region, box), values, mask, gain in zip(
            places, parts[::3], parts[1::3], parts[2::3], strict=True
        )
    ]
    shown.flat[0] = find_display(plan, network, found, group, windows)
    return shown


def _plan_block(
    block: NDArray[Any],
    calibration: NDArray[Any] | None,
    integer_offset: NDArray[Any] | None,
    template: Plan,
) -> Plan:
    """Return the plan of a block, on the device and in the memory of whoever computes it."""
    offset = 0 if integer_offset is None else int(integer_offset.item())
    layout = replace(template.image.layout, shape=block.shape)
    plan = plan_part(template, ImageArray(block, layout, offset))
    if calibration is not None:
        return with_calibration(plan, calibration.ravel().tolist())
    cameras = template.cameras or (None,)  # which are all the same
    fills = template.fills or (Fill(),)  # likewise
    bounds = template.bounds or (None,)
    return replace(
        plan,
        cameras=cameras[:1] * layout.n_channels,
        fills=fills[:1] * layout.n_channels,
        bounds=bounds[:1] * layout.n_channels,
    )


def _make_block(
    plan: Plan, halo: tuple[int, ...], block_id: tuple[int, ...], starts: Starts
) -> Block:
    """Return a block between its neighbors' edges."""
    layout = plan.image.layout
    where = dict(
        zip(layout.axes, zip(block_id, starts, plan.reach(halo), strict=True), strict=True)
    )
    places = [where[letter] for letter in layout.spatial]
    margin = tuple((far * (i > 0), far * (i < len(along) - 1)) for i, along, far in places)
    corner = tuple(along[i] - low for (i, along, _), (low, _) in zip(places, margin, strict=True))
    return Block(plan, margin, (0,) * len(layout.outer), corner)


def _starts(image: Any) -> Starts:
    """Return where each block begins, along every axis."""
    return tuple((0, *accumulate(along[:-1])) for along in image.chunks)


def _lengths(layout: Layout) -> Iterator[tuple[str, int]]:
    return zip(layout.axes, layout.shape, strict=True)


_SEED = "napari-noiser renders"


def clone_graph(image: Any) -> Any:
    """Return an image under other names, so that dask computes it a second time.

    Otherwise it would hold each block from its measuring to its rendering: all of them at once.
    """
    twin = clone(image, seed=_SEED)
    known = twin.dask.get_all_external_keys()
    layers = {
        name: layer
        if isinstance(layer, Blockwise)
        else MaterializedLayer({key: _renamed(key, task, known) for key, task in layer.items()})
        for name, layer in twin.dask.layers.items()
    }
    graph = HighLevelGraph(layers, twin.dask.dependencies)
    return da.Array(graph, twin.name, twin.chunks, meta=twin._meta)


def _renamed(key: Any, task: Any, known: Collection[Any]) -> Any:
    """Return a cloned task under its key: clone() leaves some the old names (dask issue 12455)."""
    if not hasattr(task, "dependencies") or task.key == key:  # of older dask, or on a cluster
        return task
    names = {old: clone_key(old, _SEED) for old in task.dependencies}
    return task.substitute({old: new for old, new in names.items() if new in known}, key=key)


def mask_blocks(mask: Any, image: Any, layout: Layout) -> Any:
    """Return a mask with the image's axes and blocks, of length 1 where it is to be repeated."""
    # Another lazy array stays where it is as well, and is read in its own chunks.
    array = mask if is_dask(mask) else da.asarray(mask)
    placed = expand_mask(array, layout) != 0
    whole = placed[tuple(None if letter == "S" else slice(None) for letter in layout.axes)]
    return whole.rechunk(
        tuple(
            each if length > 1 else 1
            for each, length in zip(image.chunks, whole.shape, strict=True)
        )
    )


def gain_blocks(gain: GainMap, image: Any, layout: Layout) -> Any:
    """Return a gain map with the image's axes but S, whole, and the image's blocks."""
    array = gain.array if is_dask(gain.array) else da.asarray(gain.array)
    placed = expand_to_axes(array, gain.axes, gain.layout)
    whole = da.broadcast_to(placed, gain.layout.shape)
    whole = whole[tuple(None if letter == "S" else slice(None) for letter in layout.axes)]
    return whole.rechunk(
        tuple(
            1 if letter == "S" else each
            for letter, each in zip(layout.axes, image.chunks, strict=True)
        )
    )


def mask_of_block(mask: NDArray[np.bool_], layout: Layout) -> NDArray[np.bool_]:
    """Return a mask as `Plan` takes it, repeated along the axes of length 1 that it has."""
    if "S" in layout.axes:
        mask = mask.squeeze(layout.axes.index("S"))
    return np.broadcast_to(mask, layout.without_samples.shape)


def inner_shape(layout: Layout, margin: Halo) -> list[int]:
    """Return the shape of a block without its neighbors' edges."""
    edges = {letter: sum(sides) for letter, sides in zip(layout.spatial, margin, strict=True)}
    return [
        length - edges.get(letter, 0)
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    ]
