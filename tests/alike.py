"""Until all folders import from helpers."""

from helpers.compare import assert_alike

__all__ = ["assert_alike"]
