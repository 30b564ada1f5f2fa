"""Every method on an image that shows what it does, for the tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.models import structured, untrained, untrained_retinex, untrained_stages
from helpers.scenes import NOISE, counts, light
from napari_noiser import denoise, enhance
from napari_noiser.analysis.baseline import BoxMean
from napari_noiser.camera import CameraNoise
from napari_noiser.engine.options import Verb
from napari_noiser.engine.plan import Plan, make_plan


@dataclass(frozen=True)
class Case:
    """A method and a verb, with an image for it.

    Attributes
    ----------
    verb : {"enhance", "denoise"}
        What is done.
    model : callable
        Makes the model, or its name.
    shape : tuple of int
        Of the image; the last two axes are Y and X, but for samples behind them.
    axes : str
        Of the image.
    options : dict
        What else is asked for.
    absolute : bool
        Whether the model knows the levels of the images that it was fitted to, so that a gain
        matters.
    tiles : tuple of int
        Sides of tiles that cut the image.
    memory : int
        Bytes in which there is no room for the image as one tile.
    within : float
        Of the brightest pixel: how far tiles may be off.
    """

    verb: Verb
    model: Callable[[], Any]
    shape: tuple[int, ...] = (2, 60, 70)
    axes: str = "ZYX"
    options: dict[str, Any] = field(default_factory=dict)
    absolute: bool = False
    tiles: tuple[int, int] = (17, 41)
    memory: int = 1_000_000
    within: float = 2e-5

    @property
    def ndim(self) -> int:
        """2 where planes are rendered, 3 where volumes are."""
        return int(self.options.get("ndim", 2))

    def image(self, shape: tuple[int, ...] | None = None, seed: int = 1) -> NDArray[np.uint16]:
        """Return counts under uneven light, with a few hot pixels."""
        shape = self.shape if shape is None else shape
        colors = self.axes.endswith("S")
        spatial = (shape[-1], *shape[:-1]) if colors else shape
        electrons = light(spatial, seed) * np.linspace(0.3, 3, spatial[-1])
        found = counts(electrons, seed)
        hot = np.random.default_rng(seed).random(spatial) < 1e-3
        found = np.rint(found + 900 * hot).clip(0).astype("uint16")
        return np.ascontiguousarray(np.moveaxis(found, 0, -1)) if colors else found

    def run(self, image: Any, **changed: Any) -> Any:
        """Return what the verb makes of an image, lazy if that is."""
        asked = {"axes": self.axes, "device": "cpu", **self.options, **changed}
        return {"enhance": enhance, "denoise": denoise}[self.verb](image, self.model(), **asked)

    def plan(self, image: Any, **changed: Any) -> Plan:
        """Return the plan of that."""
        asked = {"axes": self.axes, "device": "cpu", **self.options, **changed}
        return make_plan(image, self.model(), self.verb, **asked)

    def with_camera(self, camera: Any) -> Case:
        """Return the case with another camera, where one was given."""
        if not isinstance(self.options.get("camera"), CameraNoise):
            return self
        return replace(self, options={**self.options, "camera": camera})


SEEN = {"camera": NOISE}
THIN: dict[str, Any] = {"tiles": (8, 20)}
WIDE: dict[str, Any] = {"tiles": (60, 90), "memory": 6_000_000, "absolute": True}
GAINS: NDArray[np.float64] = 1 / np.linspace(0.2, 1, 70)

CASES: dict[str, Case] = {
    "noiser": Case("enhance", lambda: "noiser"),
    "noiser, each plane, dark": Case(
        "enhance", lambda: "noiser", options={"statistics": "plane", "background": "dark"}
    ),
    "noiser, volumes": Case(
        "enhance", lambda: "noiser", (9, 30, 34), "ZYX", {"ndim": 3}, tiles=(8, 20)
    ),
    "noiser, RGB": Case(
        "enhance", lambda: "noiser", (60, 70, 3), "YXS", {"brightness": 0.2, "contrast": 1.5}
    ),
    "noiser, colors kept": Case(
        "enhance", lambda: "noiser", (60, 70, 3), "YXS", {"colors": "kept"}
    ),
    "closed form": Case("enhance", lambda: BoxMean(1)),
    "structured": Case("denoise", structured, options=SEEN),
    "structured, display": Case("enhance", structured, options=SEEN),
    "structured, camera estimated": Case(
        "denoise", structured, (2, 70, 80), options={"camera": "auto"}
    ),
    "structured, conserving": Case(
        "denoise", structured, options={**SEEN, "conserve": 1.5, "max_change": 2.0}
    ),
    "structured, volumes": Case(
        "denoise", lambda: structured(3), (5, 36, 40), "TYX", {**SEEN, "ndim": 3}, **THIN
    ),
    "structured, RGB": Case("denoise", structured, (50, 60, 3), "YXS", SEEN),
    "blind spot": Case(
        "denoise",
        lambda: untrained(spacing=2, scales=(8,), gain="light"),
        (60, 70),
        "YX",
        SEEN,
        absolute=True,
    ),
    "blind spot, volumes": Case(
        "denoise",
        lambda: untrained(ndim=3, spacing=2, scales=(), gain="light"),
        (3, 40, 34),
        options={**SEEN, "ndim": 3},
        absolute=True,
        tiles=(12, 20),
        memory=500_000,
    ),
    "blind spot, gain map": Case(
        "denoise",
        lambda: untrained(spacing=2, scales=()),
        options={**SEEN, "gain_map": np.broadcast_to(GAINS, (60, 70))},
        absolute=True,
    ),
    "retinex": Case(
        "enhance",
        lambda: untrained_retinex(widths=(4, 4)),
        (80, 90),
        "YX",
        absolute=True,
        tiles=(41, 60),
        memory=300_000,
    ),
    "both stages": Case("enhance", untrained_stages, (110, 140), "YX", SEEN, **WIDE),
    "both stages, light": Case("denoise", untrained_stages, (110, 140), "YX", SEEN, **WIDE),
}
