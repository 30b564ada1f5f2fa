"""A space says where voxels lie, and nothing that is not so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.units import unit_name, unit_symbol


def test_a_space_in_pixels_has_steps_of_1_and_no_units() -> None:
    space = SpatialMetadata("TYX", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ("", "", ""))
    assert SpatialMetadata.pixels("TYX") == space


def test_numbers_of_any_type_become_floats() -> None:
    steps: Any = np.array([1, 2], np.float32)
    space = SpatialMetadata("YX", steps, (0, 3), ("", ""))
    assert (space.scale, space.translate) == ((1.0, 2.0), (0.0, 3.0))
    assert {type(value) for value in space.scale + space.translate} == {float}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": "QX"}, "axes takes each of T, C, Z, Y, X, S once, got 'QX'"),
        ({"axes": "XX"}, "got 'XX'"),
        ({"axes": "ZX"}, "axes must name Y and X, got 'ZX'"),
        ({"scale": (1.0,)}, r"scale must have a value for each of the axes 'YX', got \(1.0,\)"),
        ({"scale": (1.0, 0.0)}, r"scale must be a finite number above 0.0, got 0.0"),
        ({"scale": (1.0, float("nan"))}, "scale must be a finite number"),
        ({"translate": (0.0, float("inf"))}, "translate must be a finite number"),
        ({"units": "mm"}, "units must have a value for each"),
    ],
)
def test_what_is_no_space_is_refused(change: dict[str, Any], message: str) -> None:
    good = {"axes": "YX", "scale": (1.0, 1.0), "translate": (0.0, 0.0), "units": ("", "")}
    with pytest.raises(ValueError, match=message):
        SpatialMetadata(**{**good, **change})


@pytest.mark.parametrize(
    "change", [{"axes": 3}, {"scale": (1.0, "2")}, {"units": ("micrometer", None)}]
)
def test_what_is_of_another_type_is_refused(change: dict[str, Any]) -> None:
    good = {"axes": "YX", "scale": (1.0, 1.0), "translate": (0.0, 0.0), "units": ("", "")}
    with pytest.raises(TypeError, match=next(iter(change))):
        SpatialMetadata(**{**good, **change})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((text, "micrometer") for text in ("µm", "μm", "um", "micron", "Microns", "\\u00B5m")),
        *((text, "micrometer") for text in ("micrometer", "micrometre", " Micrometers ")),
        *[("nm", "nanometer"), ("mm", "millimeter"), ("Mm", "megameter"), ("Å", "angstrom")],
        *[("sec", "second"), ("s", "second"), ("Seconds", "second"), ("ms", "millisecond")],
        *[("min", "minute"), ("inches", "inch"), ("h", "hour")],
        *[("pixel", ""), ("pixels", ""), ("", ""), ("furlong", "furlong")],
    ],
)
def test_units_have_one_name(text: str, name: str) -> None:
    assert unit_name(text) == name


def test_names_and_symbols_of_units_agree() -> None:
    for name in ("micrometer", "nanometer", "second", "millisecond", "inch", "hour"):
        symbol = unit_symbol(name)
        assert symbol is not None
        assert unit_name(symbol) == name
    assert (unit_symbol("micrometer"), unit_symbol(""), unit_symbol("furlong")) == (
        "µm",
        "pixel",
        None,
    )
