from .banding import BandingStrength, banding_profile, banding_strength
from .correlation import noise_correlation, residual_whiteness
from .noise_model import CameraNoise, estimate_noise
from .outliers import find_outliers, repair_outliers
from .stabilization import stabilize, unstabilize

__all__ = [
    "BandingStrength",
    "CameraNoise",
    "banding_profile",
    "banding_strength",
    "estimate_noise",
    "find_outliers",
    "noise_correlation",
    "repair_outliers",
    "residual_whiteness",
    "stabilize",
    "unstabilize",
]
