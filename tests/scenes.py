"""Until all folders import from helpers."""

from helpers.compare import drained
from helpers.models import QUICK, untrained
from helpers.scenes import NOISE, counts, crops, light

__all__ = ["NOISE", "QUICK", "counts", "crops", "drained", "light", "untrained"]
