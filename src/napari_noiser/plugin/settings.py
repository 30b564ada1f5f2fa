"""What a user chose for one result, or for a fit; defaults are napari's preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes

from napari_noiser._errors import InputError
from napari_noiser.arrays.layout import Layout
from napari_noiser.engine.options import (
    DEFAULT_MODEL,
    Option,
    ResolvedOptions,
    Verb,
    check_options,
    verb_options,
)
from napari_noiser.methods.noiser.recipe import BUNDLED, Recipe
from napari_noiser.plugin.layers.gain_map import GainMapSnapshot, gain_maps_for
from napari_noiser.plugin.layers.region import RegionSnapshot, statistics_mask
from napari_noiser.plugin.layers.snapshot import LayerSnapshot

if TYPE_CHECKING:
    from napari_noiser.camera.noise_model import Camera
    from napari_noiser.methods.base import Model
    from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
    from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe

KEEPS = ("memory", "live", "disk")
"""Where a result can be kept: in memory, nowhere (rendered as it is shown), or on disk."""


@dataclass(frozen=True)
class Look:
    """A kind of picture that can be asked for in a word, and the options that make it.

    `words` name it in the widget, `about` says what it suits.
    """

    words: str
    model: str
    background: str
    colors: str
    about: str
    gamma: float | None = None


LOOKS: Mapping[str, Look] = {
    "auto": Look(
        "auto", "auto", "auto", "auto", "the image is looked at, and what suits it is taken"
    ),
    "fluorescence": Look(
        "fluorescence", "structured", "dark", "kept", "the noise is taken out, shown on black", 1.0
    ),
    "stars": Look(
        "stars",
        "structured",
        "dark",
        "kept",
        "noise is taken out, faint stars are lifted",
        0.5,
    ),
    "photograph": Look(
        "photograph", "structured", "gray", "kept", "the noise is taken out, colors stay"
    ),
    "brighten": Look(
        "brighten only", "noiser-var3", "auto", "kept", "brightened, with most of its noise"
    ),
}
"""What can be looked for, by name: the default first."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that is chosen for one result.

    A recipe, given or named, that has no bundled model is trained first, from `seed`. Axes that
    are left out are the layer's own, options their defaults. `region` and `leave_out` say which
    pixels count in the statistics; with `all_planes`, what was painted or drawn on one plane holds
    on every plane. `keep` is one of `KEEPS`.
    """

    verb: Verb = "enhance"
    model: str | PathLike[str] | Recipe | Model = "auto"
    axes: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    region: Labels | Shapes | RegionSnapshot | None = None
    leave_out: Labels | Shapes | RegionSnapshot | None = None
    all_planes: bool = False
    gain_map: Image | GainMapSnapshot | None = None
    seed: int = 0
    keep: str = "memory"
    results_folder: str | PathLike[str] | None = None

    @classmethod
    def from_preferences(cls) -> Settings:
        """Return the defaults, as set in napari's preferences where there are any."""
        try:
            from napari.settings import get_plugin_settings

            preferred = get_plugin_settings("napari-noiser").defaults
        except (ImportError, KeyError):  # an older napari, or headless without its registry
            return cls()
        chosen = {
            name: getattr(preferred, name)
            for name, each in preferences_schema().items()
            if getattr(preferred, name) != each["default"]
        }
        own = {name: chosen.pop(name) for name in _OWN_PREFERENCES if name in chosen}
        return cls(options=chosen, **own)

    @property
    def resolved(self) -> ResolvedOptions:
        """All options, checked, with the defaults of those that were not asked for."""
        return check_options(self.verb, self.options)

    @property
    def resolved_model(self) -> str | PathLike[str] | Recipe | Model:
        """The model, or the name of the one that "auto" stands for."""
        automatic = isinstance(self.model, str) and self.model == "auto"
        return DEFAULT_MODEL if automatic else self.model

    def with_look(self, name: str) -> Settings:
        """Return settings of which model, background, colors and gamma are those of a look."""
        look = LOOKS[name]
        names = ("background", "colors", "gamma")
        options = {**self.options, **{each: getattr(look, each) for each in names}}
        return replace(self, model=look.model, verb="enhance", options=options)

    def with_options(self, **changed: Any) -> Settings:
        """Return settings of which some options are others."""
        return replace(self, options={**self.options, **changed})

    def snapshot_layers(self) -> Settings:
        """Return the settings with their layers as they are now: they may change meanwhile."""
        region, leave_out = (
            None if layer is None else RegionSnapshot.from_layer(layer)
            for layer in (self.region, self.leave_out)
        )
        gain_map = None if self.gain_map is None else GainMapSnapshot.from_layer(self.gain_map)
        return replace(self, region=region, leave_out=leave_out, gain_map=gain_map)

    @property
    def layers(self) -> dict[str, Any]:
        """What a result's provenance says of the layers of its mask and gain map."""
        named = {"region": self.region, "leave_out": self.leave_out}
        found: dict[str, Any] = {key: each.name for key, each in named.items() if each is not None}
        if found and self.all_planes:
            found["all_planes"] = True
        return found if self.gain_map is None else {**found, "gain_layer": self.gain_map.name}

    def companions(self, source: LayerSnapshot, layout: Layout) -> dict[str, Any]:
        """Return the mask and the gain map for one image, as options."""
        mask = statistics_mask(self.region, self.leave_out, source, all_planes=self.all_planes)
        if self.gain_map is None:
            return {"mask": mask, "gain_map": None}
        gain_map = GainMapSnapshot.from_layer(self.gain_map)
        return {"mask": mask, "gain_map": gain_map.array_for(source, layout)}

    def check_folder(self) -> Path:
        """Return where results on disk go, or raise an `InputError` if no folder was chosen."""
        if self.results_folder:
            return Path(self.results_folder)
        raise InputError(
            "",
            "Choose a folder for results on disk, in the widget or in Preferences > napari-noiser",
        )

    def check_gain_map(self, sources: Sequence[LayerSnapshot]) -> None:
        """Raise an `InputError` if the model takes a gain map, and none is there or fits."""
        traits = getattr(self.model, "traits", None)  # a name or a recipe has none
        if traits is not None and traits.requires_gain_map:
            gain_maps_for(self.gain_map, sources, self.resolved["ndim"])


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


_OWN_PREFERENCES: Mapping[str, dict[str, Any]] = {
    "model": {
        "type": "string",
        "default": "auto",
        "enum": ["auto", *dict.fromkeys(name for name, _, _ in BUNDLED)],
        "title": "Model",
        "description": "What Layers > Filter > Enhance uses and the widget starts with: auto, or "
        "noiser-es is grainier, noiser-var3 has more contrast and less grain, structured sees "
        "structure through the noise, structured-tiny does so three times faster.",
    },
    "keep": {
        "type": "string",
        "default": "memory",
        "enum": list(KEEPS),
        "title": "Keep results",
        "description": "In memory, live (nothing is kept, what is shown is rendered as you look), "
        "or on disk (for results larger than memory).",
    },
    "results_folder": {
        "type": "string",
        "default": "",  # preferences know no other way to say none
        "title": "Results folder",
        "description": "Where results on disk go, as OME-Zarr. The widget can choose another one.",
    },
}


def preferences_schema() -> dict[str, dict[str, Any]]:
    """Return the properties of `configurations.defaults` in napari.yaml.

    They are the model, then the options whose defaults can be preferred, then where results go.
    """
    options = {
        n: _preference(each) for n, each in verb_options("enhance").items() if each.preference
    }
    model, *places = _OWN_PREFERENCES
    own = _OWN_PREFERENCES
    return {model: own[model], **options, **{name: own[name] for name in places}}


def _preference(option: Option) -> dict[str, Any]:
    known = option.default in option.choices
    return {
        "type": "string",
        "default": option.default if known else option.choices[0],
        "enum": list(option.choices),
        "title": option.label.capitalize(),
        "description": f"{option.help[0].upper()}{option.help[1:]}.",
    }
