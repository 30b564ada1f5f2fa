from .methods.irle.blind_spot.model import BlindSpotModel
from .methods.irle.blind_spot.recipe import BlindSpotRecipe
from .methods.irle.retinex.model import RetinexModel
from .methods.irle.retinex.recipe import RetinexLosses, RetinexRecipe
from .methods.irle.two_stage.model import IRLEModel
from .methods.irle.two_stage.recipe import IRLERecipe
from .methods.noiser.detector_noise import DetectorNoise
from .methods.noiser.exposure import NoExposure, PhotonNoise
from .methods.noiser.model import NoiserModel
from .methods.noiser.noise_sources import GaussianNoise, Palette, PureColor
from .methods.noiser.recipe import RECIPES, Recipe, mean_shifted_recipe, target_mean
from .methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure

__all__ = [
    "RECIPES",
    "BlindSpotModel",
    "BlindSpotRecipe",
    "DeadLeaves",
    "DetectorNoise",
    "GaussianNoise",
    "IRLEModel",
    "IRLERecipe",
    "NoExposure",
    "NoiserModel",
    "Palette",
    "PhotonNoise",
    "PowerLaw",
    "PureColor",
    "Recipe",
    "RetinexLosses",
    "RetinexModel",
    "RetinexRecipe",
    "Structure",
    "mean_shifted_recipe",
    "target_mean",
]
