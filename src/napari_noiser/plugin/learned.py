"""How a model learned, as its file remembers it: the loss of each of its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_noiser.plugin.figures import Learned

if TYPE_CHECKING:
    from napari_noiser.stack.models import AnyModel

__all__ = ["learned_by"]

_EVENTS = {None: "train", "light": "light", "denoise": "fit"}  # of the stages of methods


def learned_by(model: AnyModel) -> dict[str, Learned]:
    """Return the losses of a model's stages, if it has some, by the names of their events."""
    from napari_noiser.irle.two_stages import IRLEModel

    stages = [model.light, model.denoiser] if isinstance(model, IRLEModel) else [model]
    found, begun = {}, 0
    for stage in stages:
        count, steps = len(stage.losses), stage.recipe.iterations
        if count:
            at = [begun + (mean + 0.5) * steps / count for mean in range(count)]
            found[_EVENTS[stage.describe().get("stage")]] = Learned(at, list(stage.losses))
        begun += steps
    return found
