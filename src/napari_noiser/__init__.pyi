from . import analysis, camera, io, recipes
from .analysis.baseline import closed_form
from .analysis.diagnosis import diagnose
from .analysis.photometry import report
from .engine.calibration import choose
from .engine.enhance import denoise, enhance
from .engine.fit import fit, fit_steps
from .methods.noiser.recipe import RECIPES
from .methods.noiser.training import train, train_steps
from .methods.registry import load_model
from .plugin.layers.enhance_layer import denoise_layer, enhance_layer, live_layer
from .plugin.layers.region import region_mask
from .plugin.results.python_script import as_python
from .plugin.results.reapply import reapply

__version__: str
__all__ = [
    "RECIPES",
    "analysis",
    "as_python",
    "camera",
    "choose",
    "closed_form",
    "denoise",
    "denoise_layer",
    "diagnose",
    "enhance",
    "enhance_layer",
    "fit",
    "fit_steps",
    "io",
    "live_layer",
    "load_model",
    "reapply",
    "recipes",
    "region_mask",
    "report",
    "train",
    "train_steps",
]
