"""Make dim images and stacks visible without any training data, by noise self-regression.

Every name is loaded on first use: importing the package imports neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from napari_noiser.remedy import torch_remedy

try:
    __version__ = version("napari-noiser")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from napari_noiser.camera.anscombe import stabilise, unstabilise
    from napari_noiser.camera.noise_model import CameraNoise, estimate_noise
    from napari_noiser.camera.repair import outliers, repair
    from napari_noiser.camera.whiteness import noise_correlation, residual_whiteness
    from napari_noiser.files.saving import enhance_to_file
    from napari_noiser.files.space import Space
    from napari_noiser.irle.model import BlindSpotModel
    from napari_noiser.irle.recipe import BlindSpotRecipe
    from napari_noiser.irle.retinex_model import RetinexModel
    from napari_noiser.irle.retinex_recipe import RetinexLosses, RetinexRecipe
    from napari_noiser.irle.state import load_fitting_state
    from napari_noiser.irle.two_stages import IRLEModel
    from napari_noiser.irle.two_stages_recipe import IRLERecipe
    from napari_noiser.plugin.layers import enhance_layer, live_layer
    from napari_noiser.plugin.region import region_mask
    from napari_noiser.plugin.replay import replay
    from napari_noiser.plugin.script import as_python
    from napari_noiser.srm.exposure import Photons, Unexposed
    from napari_noiser.srm.model import Model
    from napari_noiser.srm.noise import Gaussian, Palette, PureColour
    from napari_noiser.srm.recipe import RECIPES, Recipe, mean_shifted, target_mean
    from napari_noiser.srm.structure import DeadLeaves, PowerLaw, Structure
    from napari_noiser.srm.training import train, train_steps
    from napari_noiser.stack.closed_form import closed_form
    from napari_noiser.stack.diagnosis import diagnose
    from napari_noiser.stack.enhance import enhance
    from napari_noiser.stack.fitting import fit, fit_steps
    from napari_noiser.stack.linearity import linearity
    from napari_noiser.stack.models import load_model
    from napari_noiser.stack.report import LightReport, report
    from napari_noiser.stack.transfer import transfer_curve

_HOME = {
    "RECIPES": "srm.recipe",
    "Recipe": "srm.recipe",
    "mean_shifted": "srm.recipe",
    "target_mean": "srm.recipe",
    "Gaussian": "srm.noise",
    "PureColour": "srm.noise",
    "Palette": "srm.noise",
    "DeadLeaves": "srm.structure",
    "PowerLaw": "srm.structure",
    "Structure": "srm.structure",
    "Photons": "srm.exposure",
    "Unexposed": "srm.exposure",
    "train": "srm.training",
    "train_steps": "srm.training",
    "Model": "srm.model",
    "load_model": "stack.models",
    "fit": "stack.fitting",
    "fit_steps": "stack.fitting",
    "BlindSpotModel": "irle.model",
    "BlindSpotRecipe": "irle.recipe",
    "RetinexModel": "irle.retinex_model",
    "RetinexRecipe": "irle.retinex_recipe",
    "RetinexLosses": "irle.retinex_recipe",
    "IRLEModel": "irle.two_stages",
    "IRLERecipe": "irle.two_stages_recipe",
    "load_fitting_state": "irle.state",
    "enhance": "stack.enhance",
    "closed_form": "stack.closed_form",
    "diagnose": "stack.diagnosis",
    "linearity": "stack.linearity",
    "report": "stack.report",
    "LightReport": "stack.report",
    "transfer_curve": "stack.transfer",
    "CameraNoise": "camera.noise_model",
    "estimate_noise": "camera.noise_model",
    "noise_correlation": "camera.whiteness",
    "residual_whiteness": "camera.whiteness",
    "outliers": "camera.repair",
    "repair": "camera.repair",
    "stabilise": "camera.anscombe",
    "unstabilise": "camera.anscombe",
    "enhance_to_file": "files.saving",
    "Space": "files.space",
    "enhance_layer": "plugin.layers",
    "live_layer": "plugin.layers",
    "region_mask": "plugin.region",
    "as_python": "plugin.script",
    "replay": "plugin.replay",
}

__all__ = [
    "RECIPES",
    "BlindSpotModel",
    "BlindSpotRecipe",
    "CameraNoise",
    "DeadLeaves",
    "Gaussian",
    "IRLEModel",
    "IRLERecipe",
    "LightReport",
    "Model",
    "Palette",
    "Photons",
    "PowerLaw",
    "PureColour",
    "Recipe",
    "RetinexLosses",
    "RetinexModel",
    "RetinexRecipe",
    "Space",
    "Structure",
    "Unexposed",
    "as_python",
    "closed_form",
    "diagnose",
    "enhance",
    "enhance_layer",
    "enhance_to_file",
    "estimate_noise",
    "fit",
    "fit_steps",
    "linearity",
    "live_layer",
    "load_fitting_state",
    "load_model",
    "mean_shifted",
    "noise_correlation",
    "outliers",
    "region_mask",
    "repair",
    "replay",
    "report",
    "residual_whiteness",
    "stabilise",
    "target_mean",
    "train",
    "train_steps",
    "transfer_curve",
    "unstabilise",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        with torch_remedy():
            value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "napari":
            raise
        raise ImportError(f'{name} needs napari: pip install "napari-noiser[all]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
