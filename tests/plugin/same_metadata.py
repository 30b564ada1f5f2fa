"""Whether two results say the same of themselves: the linearity of what differs in rounding."""

from __future__ import annotations

import pytest
from napari.layers import Image


def assert_same_metadata(found: Image, expected: Image) -> None:
    """Compare the metadata of two results that are equal to float rounding."""
    told, wanted = ({**layer.metadata["napari_noiser"]} for layer in (found, expected))
    assert told.pop("linearity") == pytest.approx(wanted.pop("linearity"), abs=1e-3)
    assert told == wanted
    assert found.metadata.keys() == expected.metadata.keys()
    for name in found.metadata.keys() - {"napari_noiser"}:
        assert found.metadata[name] == expected.metadata[name]
