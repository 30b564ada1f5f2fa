"""Make dim images and stacks visible without any training data, by noise self-regression.

Every name is loaded on first use: importing the package imports neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from napari_noiser._torch_import import torch_remedy

try:
    __version__ = version("napari-noiser")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from napari_noiser.analysis.diagnose import diagnose
    from napari_noiser.analysis.linearity import linearity
    from napari_noiser.analysis.photometry import LightReport, report
    from napari_noiser.analysis.transfer_curve import transfer_curve
    from napari_noiser.camera.noise_correlation import noise_correlation, residual_whiteness
    from napari_noiser.camera.noise_model import CameraNoise, estimate_noise
    from napari_noiser.camera.outliers import outliers, repair
    from napari_noiser.camera.stabilization import stabilize, unstabilize
    from napari_noiser.engine.baseline import closed_form
    from napari_noiser.engine.enhance import enhance
    from napari_noiser.engine.fit import fit, fit_steps
    from napari_noiser.files.enhance_to_file import enhance_to_file
    from napari_noiser.files.spatial_metadata import Space
    from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
    from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
    from napari_noiser.methods.irle.checkpoint import load_fitting_state
    from napari_noiser.methods.irle.retinex.model import RetinexModel
    from napari_noiser.methods.irle.retinex.recipe import RetinexLosses, RetinexRecipe
    from napari_noiser.methods.irle.two_stage.model import IRLEModel
    from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
    from napari_noiser.methods.noiser.exposure import Photons, Unexposed
    from napari_noiser.methods.noiser.model import Model
    from napari_noiser.methods.noiser.noise_sources import Gaussian, Palette, PureColor
    from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, mean_shifted, target_mean
    from napari_noiser.methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure
    from napari_noiser.methods.noiser.training import train, train_steps
    from napari_noiser.methods.registry import load_model
    from napari_noiser.plugin.layers.enhance_layer import enhance_layer, live_layer
    from napari_noiser.plugin.layers.region import region_mask
    from napari_noiser.plugin.results.python_script import as_python
    from napari_noiser.plugin.results.reapply import replay

_HOME = {
    "RECIPES": "methods.noiser.recipe",
    "Recipe": "methods.noiser.recipe",
    "mean_shifted": "methods.noiser.recipe",
    "target_mean": "methods.noiser.recipe",
    "Gaussian": "methods.noiser.noise_sources",
    "PureColor": "methods.noiser.noise_sources",
    "Palette": "methods.noiser.noise_sources",
    "DeadLeaves": "methods.noiser.structured_noise",
    "PowerLaw": "methods.noiser.structured_noise",
    "Structure": "methods.noiser.structured_noise",
    "Photons": "methods.noiser.exposure",
    "Unexposed": "methods.noiser.exposure",
    "train": "methods.noiser.training",
    "train_steps": "methods.noiser.training",
    "Model": "methods.noiser.model",
    "load_model": "methods.registry",
    "fit": "engine.fit",
    "fit_steps": "engine.fit",
    "BlindSpotModel": "methods.irle.blind_spot.model",
    "BlindSpotRecipe": "methods.irle.blind_spot.recipe",
    "RetinexModel": "methods.irle.retinex.model",
    "RetinexRecipe": "methods.irle.retinex.recipe",
    "RetinexLosses": "methods.irle.retinex.recipe",
    "IRLEModel": "methods.irle.two_stage.model",
    "IRLERecipe": "methods.irle.two_stage.recipe",
    "load_fitting_state": "methods.irle.checkpoint",
    "enhance": "engine.enhance",
    "closed_form": "engine.baseline",
    "diagnose": "analysis.diagnose",
    "linearity": "analysis.linearity",
    "report": "analysis.photometry",
    "LightReport": "analysis.photometry",
    "transfer_curve": "analysis.transfer_curve",
    "CameraNoise": "camera.noise_model",
    "estimate_noise": "camera.noise_model",
    "noise_correlation": "camera.noise_correlation",
    "residual_whiteness": "camera.noise_correlation",
    "outliers": "camera.outliers",
    "repair": "camera.outliers",
    "stabilize": "camera.stabilization",
    "unstabilize": "camera.stabilization",
    "enhance_to_file": "files.enhance_to_file",
    "Space": "files.spatial_metadata",
    "enhance_layer": "plugin.layers.enhance_layer",
    "live_layer": "plugin.layers.enhance_layer",
    "region_mask": "plugin.layers.region",
    "as_python": "plugin.results.python_script",
    "replay": "plugin.results.reapply",
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
    "PureColor",
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
    "stabilize",
    "target_mean",
    "train",
    "train_steps",
    "transfer_curve",
    "unstabilize",
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
