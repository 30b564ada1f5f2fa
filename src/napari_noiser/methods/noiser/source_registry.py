"""All that a recipe can learn from, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.noise_sources import (
    GaussianNoise,
    NoiseSource,
    Palette,
    PureColor,
)
from napari_noiser.methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure

__all__ = ["SOURCES", "source_from_dict"]

SOURCES: Mapping[str, type[NoiseSource]] = MappingProxyType(
    {cls.kind: cls for cls in (GaussianNoise, PureColor, Palette, DeadLeaves, PowerLaw, Structure)}
)
"""The sources by kind."""


def source_from_dict(values: Mapping[str, Any]) -> NoiseSource:
    """Rebuild a source from what `NoiseSource.to_dict` returned.

    Raises
    ------
    ValueError
        If the kind or one of the fields is unknown.
    TypeError, ValueError
        As of the source, if a value is outside its range.
    """
    given = dict(values)
    kind = given.pop("kind", None)
    if kind not in SOURCES:
        raise InputError("source", f"kind must be one of {sorted(SOURCES)}, got {kind!r}")
    known = {field.name for field in fields(SOURCES[kind])}
    if not set(given) <= known:
        raise InputError("source", f"{kind!r} takes {sorted(known)}, got {sorted(given)}")
    return SOURCES[kind](**given)
