"""One block of an array: measured and rendered, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.arrays.chunks import widen
from napari_noiser.arrays.companion import GainMap, Mask, log_gain, without_masked
from napari_noiser.arrays.image_array import to_display, to_intensity
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices
from napari_noiser.arrays.reader import read_region
from napari_noiser.arrays.sampling import group_windows
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import unstabilize
from napari_noiser.engine.display import LightDisplay, adjust, noise_taken_out
from napari_noiser.engine.moments import PatchMoments, patch_moments
from napari_noiser.engine.plan import Plan
from napari_noiser.engine.tiles import Tile, tile_count, tiles
from napari_noiser.engine.tone import DARK, Tone, crop_edge, smoothed_residual
from napari_noiser.methods.base import Folded, FoldedDenoiser
from napari_noiser.methods.bounded import BoundedInput
from napari_noiser.methods.patches import Halo

_NO_HALO: Halo = ((0, 0),) * 3
_FEWEST_SEEN = 1000  # pixels of which percentiles tell something


@dataclass(frozen=True)
class GroupRenderer:
    """What renders the images of one statistics group.

    Attributes
    ----------
    network : Folded
        The method, folded for the group.
    display : LightDisplay, optional
        How its light is shown, if that is what a display shows.
    """

    network: Folded
    display: LightDisplay | None = None


Fold = Callable[[ImageIndex], GroupRenderer | None]
"""Returns what renders a statistics group; None where it has no signal."""


@dataclass(frozen=True)
class Response:
    """What a method makes of a part of an image; brightness and contrast are still to come.

    Attributes
    ----------
    image : ImageIndex
        Which image of the block.
    region : Slices
        Where in the image, the block's margin taken off.
    renderer : GroupRenderer, optional
        What responded; None without a signal.
    values : Tensor, optional
        Before tanh, of shape (1, samples, *spatial); None without a signal.
    raw : array, shape (S, *spatial)
        The part as it was read.
    camera : CameraNoise, optional
        How the part was stabilized before the network saw it, if it was.
    tone : Tone, optional
        What becomes of it before it is shown, if its background is to be dark.
    fill : array of bool, shape (*spatial), optional
        Where there are no data, if anywhere.
    edge : Halo
        How much of `values` and `raw` lies around the region: what it takes to conserve light.
    """

    image: ImageIndex
    region: Slices
    renderer: GroupRenderer | None
    values: Tensor | None
    raw: NDArray[Any]
    camera: CameraNoise | None = None
    tone: Tone | None = None
    fill: NDArray[np.bool_] | None = None
    edge: Halo = ()

    def to_array(self, plan: Plan) -> NDArray[Any]:
        """Return (S, *spatial) in the result's type."""
        return self._to_light(plan) if plan.verb == "denoise" else self._to_display(plan)

    @torch.inference_mode()
    def _to_display(self, plan: Plan) -> NDArray[Any]:
        """Return a display, black where there is fill; it is flat without a signal."""
        shown = self._shown(plan)
        if self.fill is not None and self.values is not None:
            shown[:, self.fill] = 0.0
        return to_display(shown, self.raw, plan.dtype)

    def _shown(self, plan: Plan) -> NDArray[np.float32]:
        """Return (samples, *spatial) in [0, 1]."""
        if self.values is None or self.renderer is None:
            shape = (plan.image.layout.samples, *self.raw.shape[1:])
            flat = DARK if plan.has_dark_background else 0.5
            return np.full(shape, flat, np.float32)
        if self.renderer.display is not None:
            shown = self.renderer.display.apply(self.light(plan))
            shown = adjust(shown, plan.options["brightness"], plan.options["contrast"])
            return shown.astype(np.float32)
        if self.tone is None:
            response = self.values[0] * plan.options["contrast"]
        else:
            response = self.tone.shown(self.values[0], plan.options["contrast"])
        # (tanh(z) + 1) / 2 is the logistic function of 2 z
        toned = response.add_(plan.options["brightness"]).mul_(2).sigmoid_()
        return np.asarray(toned.cpu().numpy())

    def light(self, plan: Plan) -> NDArray[np.float64]:
        """Return (samples, *spatial) in the image's units; as read, where nothing can be denoised.

        What is not finite in the image is here like any other pixel.
        """
        network = None if self.renderer is None else self.renderer.network
        raw = self.raw[: plan.image.layout.samples]
        if self.values is None or not isinstance(network, FoldedDenoiser):
            return raw.astype(np.float64)
        response = self.values[0].cpu().numpy().astype(np.float64)
        light = network.output_offset + network.output_scale * response
        if self.camera is None:
            light += plan.image.integer_offset
        else:
            light = unstabilize(light, self.camera)
        return light if self.fill is None else np.where(self.fill, raw, light)

    def _to_light(self, plan: Plan) -> NDArray[Any]:
        """Return the light in the result's type."""
        light, deviation = self.light(plan), plan.options["conserve"]
        if deviation is None:
            return to_intensity(light, self.raw, plan.dtype)
        inner, raw = crop_edge(self.edge), self.raw[: len(light)]
        conserved = light + smoothed_residual(raw, light, deviation)
        if self.fill is not None:  # which nothing was taken from
            conserved = np.where(self.fill, raw, conserved)
        return to_intensity(conserved[inner], self.raw[inner], plan.dtype)


@dataclass(frozen=True)
class Block:
    """A part of a larger array, cut out with its neighbors' edges.

    Attributes
    ----------
    plan : Plan
        What to do with it: its image is the part.
    margin : Halo
        How much of the part, along each spatial axis, are its neighbors' edges.
    first : ImageIndex
        Which of the larger array's images its first image is.
    corner : tuple of int
        Where in the larger array's images the part lies, along each spatial axis.
    mask, gain : array, optional
        Beside the part, without S: the mask, not 0 where a pixel counts, and the gain map.
    """

    plan: Plan
    margin: Halo
    first: ImageIndex
    corner: tuple[int, ...]
    mask: NDArray[Any] | None = None
    gain: NDArray[Any] | None = None

    @property
    def tile_count(self) -> int:
        """How many tiles there are in all its images."""
        layout = self.plan.image.layout
        lengths = (
            length - sum(edges)
            for length, edges in zip(layout.image_shape, self.margin, strict=True)
        )
        images = prod(layout.shape[layout.axes.index(letter)] for letter in layout.outer)
        return images * tile_count(tuple(lengths), self.plan.tile_side)

    def measure(self) -> Iterator[tuple[ImageIndex, PatchMoments]]:
        """Yield for each tile its statistics group and the moments of its patches."""
        halo = (1,) * self.plan.image.layout.ndim
        for image, tile in self._tiles(halo):
            measure = partial(_measure_tile, self, image)
            found = (
                moments
                for _, moments in self.plan.device_memory.run_in_pieces(tile, halo, measure)
            )
            yield self._group(image), sum(found, self.plan.empty_moments)

    def render(self, folded: Fold, out: Any) -> Iterator[None]:
        """Fill an array of the block's shape, margin taken off; yield after each tile.

        Parameters
        ----------
        folded : callable
            Returns what renders a statistics group; where there is nothing, the result is flat.
        out : array
            In the result's type.
        """
        for responses in self.respond(folded):
            for each in responses:
                self.plan.image.layout.write(
                    out, each.image, each.region, each.to_array(self.plan)
                )
            yield

    def respond(self, folded: Fold) -> Iterator[list[Response]]:
        """Yield for each tile the response to it, in one or more pieces; see `render`."""
        low, halo = [before for before, _ in self.margin], self.plan.halo
        for image, tile in self._tiles(halo):
            renderer, camera = folded(self._group(image)), self.camera(image)
            network = None if renderer is None else renderer.network
            tone = self._tone(image, network)
            respond = partial(_respond, self, network, image)
            for_tile = []
            for piece, (values, raw, fill, edge) in self.plan.device_memory.run_in_pieces(
                tile, halo, respond
            ):
                region = _moved_back(piece.inner, low)
                for_tile.append(
                    Response(image, region, renderer, values, raw, camera, tone, fill, edge)
                )
            yield for_tile

    def camera(self, image: ImageIndex) -> CameraNoise | None:
        """Return the noise of the camera that took one of the block's images, if it counts."""
        return self.plan.camera(self.channel(image))

    def _tone(self, image: ImageIndex, network: Folded | None) -> Tone | None:
        """Return what becomes of responses where the background is to be dark."""
        background_level = self.plan.background_level(self.channel(image))
        if network is None or background_level is None:
            return None
        stack, device = self.plan.image, self.plan.device_memory.device
        integer_offset = 0 if self.camera(image) else stack.integer_offset
        return Tone.of(network, background_level, integer_offset, stack.layout.ndim, device)

    def _tiles(self, halo: tuple[int, ...]) -> Iterator[tuple[ImageIndex, Tile]]:
        layout = self.plan.image.layout
        for image in layout.images():
            for tile in tiles(layout.image_shape, self.plan.tile_side, halo, self.margin):
                yield image, tile

    def _group(self, image: ImageIndex) -> ImageIndex:
        return self.plan.group(self._whole(image))

    def channel(self, image: ImageIndex) -> int:
        """Return which of the larger array's channels an image is of."""
        return self.plan.image.layout.channel(self._whole(image))

    def _whole(self, image: ImageIndex) -> ImageIndex:
        """Return which of the larger array's images one of the block is."""
        return tuple(map(sum, zip(image, self.first, strict=True)))


def extract_block(
    plan: Plan,
    values: NDArray[Any],
    box: Slices,
    region: Slices,
    mask: Mask | None = None,
    gain_map: GainMap | None = None,
) -> Block:
    """Return a block of the stack that some work is about.

    Parameters
    ----------
    plan : Plan
        About the whole.
    values : array
        What ``box`` holds.
    box : Slices
        What was read.
    region : Slices
        The same without the neighbors' edges.
    mask, gain_map : Mask, GainMap, optional
        What it takes beside the values: they are read here.
    """
    layout = plan.image.layout
    here = dict(zip(layout.axes, zip(box, region, strict=True), strict=True))
    beside = tuple(here[letter][0] for letter in layout.without_samples.axes)
    part = Layout(layout.axes, values.shape, layout.ndim)
    return Block(
        replace(plan, image=replace(plan.image, array=values, layout=part)),
        tuple(
            (inner.start - outer.start, outer.stop - inner.stop)
            for outer, inner in (here[letter] for letter in layout.spatial)
        ),
        tuple(here[letter][1].start for letter in layout.outer),
        tuple(here[letter][0].start for letter in layout.spatial),
        *(None if each is None else each.read(beside) for each in (mask, gain_map)),
    )


def cached_fold(
    plan: Plan,
    moments: Mapping[ImageIndex, PatchMoments],
    displays: Mapping[ImageIndex, LightDisplay | None] | None = None,
) -> Fold:
    """Return a function that folds the method for a statistics group, on the first call.

    Parameters
    ----------
    plan : Plan
        About the whole array, unless `displays` are given.
    moments : mapping
        Of each statistics group.
    displays : mapping, optional
        How the light of each group is shown, if that is known; otherwise it is found where a
        display shows it.
    """

    @cache
    def folded(group: ImageIndex) -> GroupRenderer | None:
        network = fold_group(plan, moments.get(group), group)
        if network is None or not plan.shows_light:
            return None if network is None else GroupRenderer(network)
        if displays is not None:
            return GroupRenderer(network, displays[group])
        windows = (_read_window(plan, region) for region in group_regions(plan, group))
        return GroupRenderer(network, find_display(plan, network, moments[group], group, windows))

    return folded


def fold_group(plan: Plan, found: PatchMoments | None, group: ImageIndex) -> Folded | None:
    """Return the method folded for a statistics group; None if it has no signal."""
    if found is None or not found.has_signal:
        return None
    camera = plan.camera_of_group(group)
    bounds = plan.bounds_of(plan.channel_of_group(group))
    robust = bounds is not None and plan.bounds_input and found.swamped
    seen = found.bounded if robust and found.bounded is not None else found
    network: Folded = plan.device_memory.run_with_cpu_fallback(
        lambda: plan.method.fold(seen.mean, seen.covariance, plan.device_memory.device, camera)
    )
    if bounds is None or seen is found:
        return network
    return BoundedInput(network, *(each.ravel() for each in bounds))


@dataclass(frozen=True)
class Window:
    """A part of an array that is looked at, to see how a statistics group is best shown.

    Attributes
    ----------
    region : Slices
        Where it lies in the array.
    box : Slices
        The same with all that rendering it needs.
    values : array
        What the box holds.
    mask, gain : array, optional
        What lies beside the box, without S.
    """

    region: Slices
    box: Slices
    values: NDArray[Any]
    mask: NDArray[Any] | None = None
    gain: NDArray[Any] | None = None


def group_regions(plan: Plan, group: ImageIndex) -> list[Slices]:
    """Return the regions of an array that tell how a statistics group is best shown."""
    layout = plan.image.layout
    own = layout.separate(plan.options["statistics"])
    fixed = {letter: slice(at, at + 1) for letter, at in zip(own, group, strict=True)}
    if "S" in layout.axes:
        fixed["S"] = slice(0, layout.shape[layout.axes.index("S")])
    return [
        tuple({**fixed, **window}[letter] for letter in layout.axes)
        for window in group_windows(layout, plan.options["statistics"])
    ]


def _read_window(plan: Plan, region: Slices) -> Window:
    layout = plan.image.layout
    box = widen(region, plan.reach(plan.halo), layout.shape)
    values = read_region(plan.image.array, box)
    beside = tuple(part for letter, part in zip(layout.axes, box, strict=True) if letter != "S")
    companions = (plan.mask, plan.gain_map)
    mask, gain = (None if each is None else each.read(beside) for each in companions)
    return Window(region, box, values, mask, gain)


def find_display(
    plan: Plan,
    network: Folded,
    found: PatchMoments,
    group: ImageIndex,
    windows: Iterable[Window],
) -> LightDisplay | None:
    """Find how the light of a statistics group is best shown, by rendering a few windows of it.

    They lie where the layout says. If a mask or fill leaves next to nothing of them, the group's
    moments tell, in which all that counts has its part: no other window is looked for.
    """
    light, taken = zip(*(_render_window(plan, network, window) for window in windows), strict=True)
    planes = [plane for each in light for plane in each.swapaxes(0, 1)]
    seen = sum(int(np.isfinite(plane).all(axis=0).sum()) for plane in planes)
    if seen < min(_FEWEST_SEEN, found.count) and isinstance(network, FoldedDenoiser):
        return _display_of_moments(plan, network, found, group)
    return LightDisplay.of(planes, noise_taken_out(np.concatenate(taken)), plan.options["gamma"])


def _display_of_moments(
    plan: Plan, network: FoldedDenoiser, found: PatchMoments, group: ImageIndex
) -> LightDisplay:
    """Return how light with some moments is shown, of which nothing else is known."""
    known, camera = found.bounded or found, plan.camera_of_group(group)
    samples = plan.image.layout.samples
    mean = known.mean.reshape(samples, -1).mean(axis=1)
    total = np.diagonal(known.covariance).reshape(samples, -1).mean(axis=1)
    deviation = np.sqrt(np.maximum(total - network.noise_std**2, 0.0))

    def to_counts(measured: NDArray[np.float64]) -> NDArray[np.float64]:
        return (
            measured + plan.image.integer_offset
            if camera is None
            else unstabilize(measured, camera)
        )

    half = network.noise_std / 2
    noise = float((to_counts(mean + half) - to_counts(mean - half)).mean())
    middle, low, high = (to_counts(mean + step * deviation) for step in (0.0, -1.0, 1.0))
    return LightDisplay.around(middle, (high - low) / 2, noise, plan.options["gamma"])


def _render_window(
    plan: Plan, network: Folded, window: Window
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the light of a window, (samples, planes, Y, X), NaN where it does not count.

    And, flat, what was taken away.
    """
    layout, values = plan.image.layout, window.values
    if window.mask is not None:
        values = without_masked(values, window.mask, layout)
    block = replace(extract_block(plan, values, window.box, window.region), gain=window.gain)
    here = dict(zip(layout.axes, window.region, strict=True))
    shape = [here[letter].stop - here[letter].start for letter in layout.spatial]
    light = np.full((layout.samples, *shape), np.nan)
    taken = light.copy()
    for responses in block.respond(lambda group: GroupRenderer(network)):
        for each in responses:
            found, raw = each.light(plan), each.raw[: layout.samples]
            counted = np.isfinite(raw) if each.fill is None else np.isfinite(raw) & ~each.fill
            place = (slice(None), *each.region)
            light[place] = np.where(counted, found, np.nan)
            taken[place] = raw - light[place]
    return light.reshape(layout.samples, -1, *shape[-2:]), taken.ravel()


def _measure_tile(block: Block, image: ImageIndex, tile: Tile) -> PatchMoments:
    """Return the moments of the patches centered in a tile, read with a halo of 1."""
    plan, mask, camera = block.plan, block.mask, block.camera(image)
    # torch has no float64 on Apple's GPUs; the moments need it.
    device = (
        torch.device("cpu")
        if plan.device_memory.device.type == "mps"
        else plan.device_memory.device
    )
    raw, fill = plan.read(image, tile.outer, block.channel(image), mask)
    bounds = plan.bounds_of(block.channel(image))
    if mask is None and fill is None and _constant(raw):
        one = plan.image.to_float64(_one_voxel(raw), camera)
        count = prod(part.stop - part.start for part in tile.inner)

        def measure(values: NDArray[np.float64]) -> PatchMoments:
            found = patch_moments(torch.from_numpy(values), _NO_HALO[: plan.image.layout.ndim])
            return replace(found, count=found.count * count)

        return _with_bounds(measure, one, bounds, _NO_HALO, count)
    values = plan.image.to_float64(raw, camera)
    if fill is not None:
        values[:, fill] = np.nan
    if mask is not None:
        counted = plan.image.layout.without_samples.read(mask, image, tile.outer) != 0
        values[~np.broadcast_to(counted, values.shape)] = np.nan

    def measure_tile(values: NDArray[np.float64]) -> PatchMoments:
        seen = torch.from_numpy(values).to(device)
        return patch_moments(seen, tile.halo, plan.device_memory.scratch)

    return _with_bounds(measure_tile, values, bounds, tile.halo)


def _with_bounds(
    measure: Callable[[NDArray[np.float64]], PatchMoments],
    values: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    halo: Halo,
    count: int = 1,
) -> PatchMoments:
    """Measure values (samples, *spatial), and bounded ones if some lie beyond bounds.

    `count` is how many pixels each stands for.
    """
    found = measure(values)
    if bounds is None:
        return found
    low, high = bounds
    beyond = (values < low) | (values > high)
    if not beyond.any():
        return found
    beyond &= np.isfinite(values)
    bounded = measure(np.where(beyond, values.clip(low, high), values))
    inner = np.asarray(beyond.any(axis=0))[crop_edge(halo[: beyond.ndim - 1])[1:]]
    return replace(found, bounded=bounded, beyond=count * int(inner.sum()))


def _respond(
    block: Block, network: Folded | None, image: ImageIndex, tile: Tile
) -> tuple[Tensor | None, NDArray[Any], NDArray[np.bool_] | None, Halo]:
    """Return the response in a tile's inner part, None without a network; and what was read there.

    Both, and where it is fill, with an edge around the inner part, as far as light is to be
    conserved.
    """
    plan, camera = block.plan, block.camera(image)
    raw, fill = plan.read(image, tile.outer, block.channel(image), block.mask)
    edge = tuple(
        (min(far, low), min(far, high))
        for far, (low, high) in zip(plan.conservation_halo, tile.halo, strict=True)
    )
    halo = tuple(
        (low - before, high - after)
        for (low, high), (before, after) in zip(tile.halo, edge, strict=True)
    )
    kept = raw[crop_edge(halo)]
    filled = None if fill is None else fill[crop_edge(halo)[1:]]
    if network is None:
        return None, kept, filled, edge
    corner = tuple(at + part.start for at, part in zip(block.corner, tile.outer, strict=True))
    if network.grid_period == 1 and fill is None and _constant(raw):
        one = _response(
            network, _one_voxel(raw), None, None, _NO_HALO[: len(corner)], corner, plan, camera
        )
        return one.expand(-1, -1, *kept.shape[1:]), kept, filled, edge
    gain = None
    if block.gain is not None:
        gain = log_gain(plan.image.layout.without_samples.read(block.gain, image, tile.outer))
    return _response(network, raw, fill, gain, halo, corner, plan, camera), kept, filled, edge


@torch.inference_mode()
def _response(
    network: Folded,
    raw: NDArray[Any],
    fill: NDArray[np.bool_] | None,
    gain: NDArray[np.float32] | None,
    halo: Halo,
    corner: tuple[int, ...],
    plan: Plan,
    camera: CameraNoise | None,
) -> Tensor:
    """Return (1, samples, *spatial) before tanh for a tile as it was read, halo taken off."""
    values = plan.image.normalize(raw, network.input_offset, network.input_scale, camera)
    if fill is not None:
        values[:, fill] = 0.0
    device = plan.device_memory.device
    tile = torch.from_numpy(values)[None].to(device)
    seen = tile
    if gain is not None:
        seen = torch.cat([tile, torch.from_numpy(gain)[None].to(device)], dim=1)
    with _full_precision(device):
        response = network.to(device)(seen, halo, plan.device_memory.scratch, corner)
    if not bool(response.isfinite().all()):  # what it sees is finite, whatever the image is
        raise InputError("model", "makes values that are not finite: its weights are damaged")
    most = plan.options["max_change"]
    if most is None or not isinstance(network, FoldedDenoiser):
        return response
    return _limit_change(response, tile, halo, network, most)


def _limit_change(
    response: Tensor, tile: Tensor, halo: Halo, network: FoldedDenoiser, most: float
) -> Tensor:
    """Keep the light within so many standard deviations of the noise from what was read."""
    for axis, (low, high) in enumerate(halo, start=2):
        tile = tile.narrow(axis, low, tile.shape[axis] - low - high)
    center = torch.from_numpy(network.input_offset - network.output_offset).to(tile)
    read = (tile * network.input_scale + center.view(-1, *(1,) * len(halo))) / network.output_scale
    most *= network.noise_std / network.output_scale
    return torch.minimum(torch.maximum(response, read - most), read + most)


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Keep CUDA's convolutions in float32: TF32's ten bits would make tiles differ."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def _constant(raw: NDArray[Any]) -> bool:
    """Return whether each sample is the same everywhere, as in the unwritten parts of a store."""
    first, last = (raw[(slice(None), *(at,) * (raw.ndim - 1))] for at in (0, -1))
    return bool((first == last).all() and (raw == _one_voxel(raw)).all())


def _one_voxel(raw: NDArray[Any]) -> NDArray[Any]:
    return raw[(slice(None), *(slice(1),) * (raw.ndim - 1))]


def _moved_back(region: Slices, by: list[int]) -> Slices:
    return tuple(
        slice(part.start - far, part.stop - far) for part, far in zip(region, by, strict=True)
    )
