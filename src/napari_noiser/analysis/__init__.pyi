from .diagnosis import Diagnosis, diagnose
from .linearity import Linearity, measure_linearity
from .photometry import LightReport, report
from .transfer import transfer_curve

__all__ = [
    "Diagnosis",
    "LightReport",
    "Linearity",
    "diagnose",
    "measure_linearity",
    "report",
    "transfer_curve",
]
