from .correlation import noise_correlation, residual_whiteness
from .noise_model import CameraNoise, estimate_noise
from .outliers import find_outliers, repair_outliers
from .stabilization import stabilize, unstabilize

__all__ = [
    "CameraNoise",
    "estimate_noise",
    "find_outliers",
    "noise_correlation",
    "repair_outliers",
    "residual_whiteness",
    "stabilize",
    "unstabilize",
]
