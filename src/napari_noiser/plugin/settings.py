"""What a user chose for one enhancement, or for a fit; defaults are napari's preferences."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

    from napari_noiser.arrays.image_array import Background, Output
    from napari_noiser.arrays.layout import Colors
    from napari_noiser.camera.noise_model import Camera
    from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
    from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
    from napari_noiser.methods.noiser.recipe import Recipe
    from napari_noiser.methods.registry import AnyModel
    from napari_noiser.plugin.layers.gain_map import GainMapLayer
    from napari_noiser.plugin.layers.region import RegionSnapshot

__all__ = ["DEVICES", "DTYPES", "KEEPS", "FitSettings", "Settings"]

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
DTYPES = ("float32", "uint16", "uint8")
KEEPS = ("memory", "live", "disk")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One enhancement's choices, named as the arguments of `napari_noiser.enhance`.

    Attributes
    ----------
    model : str, Recipe or AnyModel
        The name of a recipe (trained first, if it is not bundled), a recipe (trained first), or a
        model.
    axes : str, optional
        Left out, the layer's own.
    ndim, colors, statistics, camera, repair, max_change, conserve, background
        As in `napari_noiser.enhance`.
    output, brightness, contrast, device, dtype
        As in `napari_noiser.enhance`.
    region, leave_out : Labels or Shapes, optional
        Layers that say which pixels set the exposure; see
        `napari_noiser.plugin.layers.region.statistics_mask`.
    all_planes : bool
        Whether what was painted or drawn on one plane holds on every plane.
    gain_map : Image, optional
        The layer that holds the gain map, for a model that takes one; see
        `napari_noiser.plugin.layers.gain_map`.
    seed : int
        For a recipe that is trained first.
    keep : str
        Where the result is kept: in "memory", nowhere ("live": rendered as it is shown), or on
        "disk".
    results_folder : path, optional
        Where results on disk go.
    """

    model: str | Recipe | AnyModel = "noiser"
    axes: str | None = None
    ndim: int = 2
    colors: Colors = "balanced"
    statistics: str = "stack"
    camera: Camera = "auto"
    repair: bool = True
    max_change: float | None = None
    conserve: float | None = None
    background: Background = "gray"
    output: Output = "display"
    brightness: float = 0.0
    contrast: float = 1.0
    device: str = "auto"
    dtype: str = "float32"
    region: Labels | Shapes | RegionSnapshot | None = None
    leave_out: Labels | Shapes | RegionSnapshot | None = None
    all_planes: bool = False
    gain_map: Image | GainMapLayer | None = None
    seed: int = 0
    keep: str = "memory"
    results_folder: str | PathLike[str] | None = None

    @classmethod
    def from_preferences(cls) -> Settings:
        """Return the defaults, as set in napari's preferences where there are any."""
        try:
            from napari.settings import get_plugin_settings

            chosen = get_plugin_settings("napari-noiser").defaults
        except (ImportError, KeyError):  # an older napari, or headless without its registry
            return cls()
        names = {"model", "statistics", "device", "dtype", "keep"}
        folder = chosen.results_folder or None  # preferences know no other way to say none
        return cls(results_folder=folder, **{name: getattr(chosen, name) for name in names})

    def snapshot_layers(self) -> Settings:
        """Return the settings with their layers as they are now: they may change meanwhile."""
        from napari_noiser.plugin.layers.gain_map import GainMapLayer
        from napari_noiser.plugin.layers.region import RegionSnapshot

        names = [name for name in ("region", "leave_out") if getattr(self, name) is not None]
        regions = {name: RegionSnapshot.from_layer(getattr(self, name)) for name in names}
        gain = None if self.gain_map is None else GainMapLayer.from_layer(self.gain_map)
        return replace(self, gain_map=gain, **regions)

    @property
    def layers(self) -> dict[str, Any]:
        """What a result's provenance says of the layers of its mask and gain map."""
        named = {"region": self.region, "leave_out": self.leave_out}
        found: dict[str, Any] = {key: each.name for key, each in named.items() if each is not None}
        if found and self.all_planes:
            found["all_planes"] = True
        return found if self.gain_map is None else {**found, "gain_layer": self.gain_map.name}

    @property
    def options(self) -> dict[str, Any]:
        """What `napari_noiser.enhance` takes as keyword arguments; axes, mask, gain left out."""
        names = ("ndim", "colors", "statistics", "camera", "repair", "max_change")
        tone = ("conserve", "background", "output", "brightness", "contrast", "device", "dtype")
        return {name: getattr(self, name) for name in (*names, *tone)}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """A fit's choices, named as the arguments of `napari_noiser.fit`, which says what they are."""

    recipe: BlindSpotRecipe | IRLERecipe
    axes: str | None = None
    ndim: int = 2
    camera: Camera = "auto"
    repair: bool = True
    device: str = "auto"
    seed: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """What `napari_noiser.fit` takes as keyword arguments."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
